"""The fit of R16: quadrature, the likelihood with errors in every reading, intervals, the bound, pooling, rivals."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, f

from elastomath import Curve, InputError, cross_entropy, normalise
from elastomath.curve import Run
from elastomath.fit.effective_volumes import (
    CONSTANTS,
    Balance,
    Estimate,
    _conditional_quantiles,
    critical_rise,
    estimate,
    estimates_without,
    interval,
)
from elastomath.fit.fit import fit, fit_run
from elastomath.fit.law_choice import BALANCE
from elastomath.fit.pooling import pooled_kappa, scaling_exponent
from elastomath.fit.quadrature import SCALES, suited_work, work_operator
from elastomath.fit.readings import Readings
from elastomath.fit.result import Bound, Goodness, RunFit, Scatter
from elastomath.fit.rival_laws import LAWS
from elastomath.interval import Interval
from elastomath.laws.forgetting import Phase, decay, elasticity_constant, sequential_masses
from sim import simulate_mixture


def exact_run(k: float, alpha: float = 1.5, points: int = 12, l_max: float = 3.0, **options: object) -> Run:
    (run,) = simulate_mixture([k], alpha=alpha, points=points, l_max=l_max, **options)
    return run


def with_noise(run: Run, noise: float, seed: int = 0, told: bool = True) -> Run:
    draw = np.random.default_rng(seed).standard_normal(run.rates.shape)
    errors = np.full_like(run.rates, noise if told else np.nan)
    return replace(run, rates=run.rates + noise * draw, rate_se=errors)


def random_balance(seed: int, equations: int = 5) -> Balance:
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((3, equations, equations + 2))
    scale = np.exp(rng.normal(-1, 1, 3))[:, None, None]
    return Balance(rng.standard_normal((3, equations)), scale * (factors @ factors.swapaxes(1, 2)))


# --- quadrature


@pytest.mark.parametrize("power", [1, 2, 3])
def test_the_spline_integrates_cubics_exactly(power):
    """int_0^L l (-dg) for g = -l^n is n L^{n+1}/(n+1): positive where the rate falls."""
    steps = np.array([0.0, 0.3, 0.5, 1.1, 2.0])
    expected = power * steps[1:] ** (power + 1) / (power + 1)
    np.testing.assert_allclose(work_operator(steps) @ -(steps**power), expected, rtol=1e-12)


@pytest.mark.parametrize("rule", ["spline", "trapezoid", "right"])
@pytest.mark.parametrize("count", [3, 4, 9])
def test_a_constant_does_no_work(rule, count):
    steps = np.linspace(0, 2, count) ** 1.5
    operator = work_operator(steps, rule)
    assert operator.shape == (count - 1, count)
    np.testing.assert_allclose(operator @ np.ones(count), 0, atol=1e-13)


@pytest.mark.parametrize(("rule", "order"), [("spline", 4), ("trapezoid", 2), ("right", 1)])
def test_orders_of_convergence(rule, order):
    """int_0^L l e^-l dl = 1 - (1 + L) e^-L."""

    def error(count: int) -> float:
        steps = np.linspace(0, 2, count)
        exact = 1 - (1 + steps[1:]) * np.exp(-steps[1:])
        return float(np.abs(work_operator(steps, rule) @ np.exp(-steps) - exact).max())

    assert np.log2(error(17) / error(33)) > order - 0.1
    if rule != "spline":  # its first step has a higher order than it promises
        assert np.log2(error(17) / error(33)) < order + 0.1


@pytest.mark.parametrize("scale", [0.03, 0.4, 7.0])
def test_a_spline_in_a_logarithm_is_exact_for_that_logarithm(scale):
    """int_0^L l (-dg) for g = -ln(1 + l/c) is L - c ln(1 + L/c); the spline in l itself misses it."""
    steps = np.array([0.0, 0.1, 0.3, 0.7, 1.0])
    readings = -np.log1p(steps / scale)
    exact = steps[1:] - scale * np.log1p(steps[1:] / scale)
    np.testing.assert_allclose(work_operator(steps, scale=scale) @ readings, exact, rtol=1e-10)
    assert np.abs(work_operator(steps) @ readings - exact).max() > 1e-8


FAMILIES = [("union", {}), ("independent", {}), ("union2", {}), ("disjoint", {"cover": 0.1})]


def quadrature_errors(family, options, k, points):
    """Errors of the work by the suited rule and by the spline in l, the doubt, and the work, in units of the last l."""
    run = exact_run(k, points=points, leaves=512, family=family, **options)
    steps, readings = run.perturbations / run.perturbations[-1], run.rates[2]
    truth = (k * (run.rates[0] - run.rates[0, 0]) + run.rates[1] - run.rates[1, 0])[1:] / run.perturbations[-1]
    rule = suited_work(steps, readings, np.zeros(steps.size))
    doubt = np.sqrt(np.cumsum(((rule.doubts @ readings) ** 2).sum(0)))
    errors = [np.abs(operator @ readings - truth) for operator in (rule.operator, work_operator(steps))]
    return (*errors, doubt, truth)


@pytest.mark.parametrize(("family", "options"), FAMILIES, ids=[name for name, _ in FAMILIES])
@pytest.mark.parametrize("k", [1.0, 3.0, 10.0, 40.0])
@pytest.mark.parametrize("points", [4, 6, 11])
def test_the_doubt_is_of_the_size_of_the_error(family, options, k, points):
    error, plain, doubt, truth = quadrature_errors(family, options, k, points)
    assert (error < (4.4 if family == "disjoint" else 2.0) * doubt + 1e-13).all()  # it is doubled in the fit
    assert doubt[-1] < 2e-2 * truth[-1]
    assert error.max() < 0.3 * plain.max() + 1e-9


def test_the_variable_is_chosen_from_the_readings():
    steps = np.linspace(0, 1, 9) ** 2
    for index in (3, 9, 14):
        scale = float(SCALES[index])
        found = suited_work(steps, 3 - np.log1p(steps / scale), np.zeros(9))
        assert scale / 2 < found.scale < scale * 2


def test_a_variable_chosen_from_noise_costs_little():
    """Readings that are all noise: the work by the chosen rule scatters hardly more than by the spline in l."""
    rng, steps = np.random.default_rng(0), np.linspace(0, 1, 9) ** 2
    chosen, plain = [], []
    for noise in rng.standard_normal((300, 9)):
        chosen.append(suited_work(steps, 3 + 1e-2 * noise, np.full(9, 1e-4)).operator @ noise)
        plain.append(work_operator(steps) @ noise)
    assert (np.std(chosen, axis=0) < 1.3 * np.std(plain, axis=0)).all()


# --- the likelihood


def test_deviance_is_the_constrained_least_square():
    """Q(K) against the sum of squares minimised over true values under the J constraints, by its normal equations."""
    run = with_noise(exact_run(6.0, points=5), 3e-3)
    rng = np.random.default_rng(1)
    readings = Readings.of(replace(run, rate_se=np.exp(rng.normal(-5, 0.5, run.rates.shape))))
    balance = readings.balance()
    steps, count = readings.perturbations, readings.perturbations.size
    difference = np.hstack([-np.ones((count - 1, 1)), np.eye(count - 1)])
    rule = suited_work(steps, readings.rates[2], readings.rate_se[2] ** 2)
    noise = np.sqrt(rule.doubts**2 @ readings.rate_se[2] ** 2)
    assert (np.abs(rule.doubts @ readings.rates[2]) < 2 * noise).all()  # none seen
    for volumes in ([2.0, 0.3], [0.0, 1.0], [5.0, 0.0]):
        constraint = np.hstack([volumes[0] * difference, volumes[1] * difference, -rule.operator])
        weight = np.diag(readings.rate_se.ravel() ** -2)
        saddle = np.block([[weight, constraint.T], [constraint, np.zeros((count - 1, count - 1))]])
        right = np.concatenate([weight @ readings.rates.ravel(), np.zeros(count - 1)])
        true_values = np.linalg.solve(saddle, right)[: 3 * count]
        squares = (((readings.rates.ravel() - true_values) / readings.rate_se.ravel()) ** 2).sum()
        assert balance.deviance(np.array(volumes)) == pytest.approx(squares, rel=1e-6)


def test_deviance_at_the_truth_is_chi_square():
    """Mean J and variance 2J; a covariance that forgets the shared baseline has neither."""
    run, right, wrong = exact_run(5.0, points=6, leaves=256), [], []
    for seed in range(400):
        balance = Readings.of(with_noise(run, 1e-3, seed)).balance()
        truth = np.array([5.0, 1.0]) / 3.0
        right.append(float(balance.deviance(truth)))
        alone = balance.covariances.copy()
        alone[:2] *= np.eye(6)
        wrong.append(float(replace(balance, covariances=alone).deviance(truth)))
    assert np.mean(right) == pytest.approx(6, abs=4 * np.sqrt(12 / 400))
    assert np.var(right) == pytest.approx(12, rel=0.35)
    assert abs(np.mean(wrong) - 6) > 4 * np.sqrt(12 / 400) or abs(np.var(wrong) - 12) > 0.35 * 12


@pytest.mark.parametrize("seed", range(6))
def test_profiles_are_minima(seed):
    balance = random_balance(seed)
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 4001)])
    for value in (0.0, 0.02, 0.7, 30.0):
        by_grid = {
            "pretrain": np.stack([np.full_like(grid, value), grid], -1),
            "align": np.stack([grid, np.full_like(grid, value)], -1),
            "kappa": np.stack([grid * value, grid], -1),
        }
        for name in CONSTANTS:
            lowest, points = balance.along(name, np.array([value]))
            brute = float(balance.deviance(by_grid[name]).min())
            assert lowest[0] <= brute + 1e-9
            assert lowest[0] >= brute - 1e-3 * max(1.0, brute)
            if np.isfinite(points).all():
                assert balance.deviance(points)[0] == pytest.approx(lowest[0], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("noise", [1e-4, 1e-3])
@pytest.mark.parametrize("count", [3, 11])
def test_what_parts_leave_is_the_estimate_without_their_equations(noise, count):
    """Parts of one equation each, or of every third, which differ in size: side by side as each alone."""
    for seed in range(4):
        balance = Readings.of(with_noise(exact_run(5.0, points=11), noise, seed)).balance()
        places = np.arange(balance.equations)
        parts = [places[first::count] for first in range(count)]
        for part, (align, kappa) in zip(parts, estimates_without(balance, parts), strict=True):
            rest = np.setdiff1d(places, part)
            alone = estimate(Balance(balance.terms[:, rest], balance.covariances[:, rest[:, None], rest]))
            assert (align, kappa) == pytest.approx((alone.volumes[1], alone.kappa), rel=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_the_estimate_is_the_global_minimum(seed):
    balance = random_balance(seed)
    found = estimate(balance)
    starts = np.random.default_rng(seed).normal(0, 3, (20, 2))
    tries = [minimize(lambda z: float(balance.deviance(np.exp(z))), z, method="Nelder-Mead").fun for z in starts]
    assert found.deviance <= min(tries) + 1e-6


def test_at_infinity_is_the_limit():
    balance = random_balance(3)
    for name in ("pretrain", "align"):
        far = balance.along(name, np.array([1e9]))[0][0]
        assert balance.at_infinity(name) == pytest.approx(far, rel=1e-6)


# --- nominal constants from exact curves, and controls that must fail


@pytest.mark.parametrize("alpha", [1.2, 2.0])
@pytest.mark.parametrize("k", [2.0, 40.0, 1000.0])
def test_exact_mixtures_give_their_nominal_volumes(k, alpha):
    fitted = fit_run(exact_run(k, alpha))
    assert fitted.K_pretrain.estimate == pytest.approx(k, rel=1e-3)
    assert fitted.K_align.estimate == pytest.approx(1, rel=1e-3)
    assert fitted.kappa.estimate == pytest.approx(k, rel=5e-4)
    assert fitted.nominal_kappa == k
    for constant, truth in ((fitted.K_pretrain, k), (fitted.K_align, 1.0), (fitted.kappa, k)):
        assert constant.low <= truth <= constant.high
        assert constant.high / constant.low < 1.002


def forgetting_run(align_steps: int, pretrain_steps: int = 20_000, rate: float = 1e-3, joint_axis: bool = True) -> Run:
    """Sequential training with forgetting (R19), read along the perturbation's phase: exact rates, in training steps."""
    rng = np.random.default_rng(5)
    parts = [normalise(1 + rng.pareto(1.5, 256)) for _ in range(3)]
    rows = [np.mean(parts, axis=0), parts[1], parts[2]]
    steps = np.linspace(0, 1, 13) ** 2 * 400
    phases = [Phase(0, pretrain_steps, rate), Phase(1, align_steps, rate)]
    masses = [sequential_masses(rows, [*phases, Phase(2, step, rate)], rows[0])[-1] for step in steps]
    rates = {
        name: [cross_entropy(row, q) for q in masses]
        for name, row in zip(("pretrain", "align", "perturb"), rows, strict=True)
    }
    # what l has to be for q to be a joint mixture: the perturbation's weight over that of all before it
    axis = np.expm1(steps * decay(rate)) / rate if joint_axis else steps
    volumes = {"pretrain": pretrain_steps, "align": align_steps, "perturb": float(axis[-1])}
    (run,) = Curve.from_paths("forgetting", volumes, axis, rates, "nats/symbol", "examples")
    return run


def test_forgetting_gives_its_effective_volumes():
    """R19: kappa = 2.857 where 20,000 / 300 is nominal, and the same for five times the pre-training."""
    for pretrain_steps in (20_000, 100_000):
        fitted = fit_run(forgetting_run(300, pretrain_steps))
        assert fitted.kappa.estimate == pytest.approx(float(elasticity_constant(pretrain_steps, 300, 1e-3)), rel=1e-3)
        # all that came before weighs 1/eta steps: the start counts as pre-training, from which it was not told apart
        assert fitted.K_pretrain.estimate + fitted.K_align.estimate == pytest.approx(1e3, rel=1e-3)
        assert fitted.nominal_kappa == pretrain_steps / 300


def test_forgetting_read_in_plain_steps_keeps_kappa_on_a_short_curve_only():
    """In plain steps the perturbation forgets itself too, R16's integral is off by the order eta l, and kappa less so."""
    exact = float(elasticity_constant(20_000, 300, 1e-3))
    plain = fit_run(forgetting_run(300, joint_axis=False))
    assert plain.kappa.estimate == pytest.approx(exact, rel=0.2)
    assert abs(plain.kappa.estimate / exact - 1) > 1e-3


def test_the_elastic_limit_is_where_pre_training_turns():
    run = exact_run(5.0, points=12)
    fitted = fit_run(run)
    turn = run.perturbations[1:][(run.rates[0] - run.rates[0, 0])[1:] >= 0]
    assert fitted.elastic_limit.high == turn[0]
    assert fitted.elastic_limit.low < fitted.elastic_limit.estimate < turn[0]
    covered = 0
    for seed in range(100):
        limit = fit_run(with_noise(run, 1e-3, seed)).elastic_limit
        assert (limit.low or 0) <= limit.estimate <= (limit.high or np.inf)
        covered += (limit.low or 0) <= fitted.elastic_limit.estimate <= (limit.high or np.inf)
    assert covered >= 93
    heavy = fit_run(with_noise(run, 1.0)).elastic_limit
    assert (heavy.low, heavy.high) == (None, None)


@pytest.mark.parametrize("family", ["union2", "independent"])
def test_the_law_needs_no_union(family):
    fitted = fit_run(exact_run(20.0, family=family))
    assert fitted.kappa.estimate == pytest.approx(20, rel=5e-4)


@pytest.mark.parametrize("k", [2.0, 40.0, 1000.0])
def test_a_right_endpoint_rule_fails(k):
    fitted = fit_run(exact_run(k), quadrature="right")
    assert abs(fitted.kappa.estimate / k - 1) > 0.05
    assert not fitted.kappa.low <= k <= fitted.kappa.high
    assert "control" in " ".join(fitted.notes)


def test_the_trapezoid_fails_where_the_spline_does_not():
    run = exact_run(2.0)
    fitted = fit_run(run, quadrature="trapezoid")
    assert abs(fitted.kappa.estimate / 2 - 1) > 10 * abs(fit_run(run).kappa.estimate / 2 - 1)
    assert abs(fitted.K_align.estimate - 1) > 1e-3
    assert not fitted.kappa.low <= 2 <= fitted.kappa.high


def test_a_wrong_law_is_seen():
    """A mutant curve (pretrain's change turned round) does not fit K >= 0, and the fit says so."""
    run = with_noise(exact_run(10.0), 1e-5)
    rates = run.rates.copy()
    rates[0] = 2 * rates[0, 0] - rates[0]
    assert fit_run(run).goodness.p > 1e-3
    fitted = fit_run(replace(run, rates=rates))
    assert fitted.goodness.p < 1e-6
    assert any("do not follow R16" in note for note in fitted.notes)


def test_least_squares_is_attenuated_and_the_likelihood_is_not():
    """Theory R16: 1% noise, k = 10: least squares finds K_p far below 1 at L = 0.1 and 9 at L = 10."""
    for reach, low, high in ((0.1, -0.6, 0.6), (10.0, 8.4, 9.5)):
        run = exact_run(10.0, l_max=reach, leaves=1024)
        noise = 0.01 * np.abs(run.rates - run.rates[:, :1]).max()
        least, covered = [], 0
        for seed in range(24):
            noisy = with_noise(run, noise, seed)
            change = (noisy.rates - noisy.rates[:, :1])[:2, 1:]
            work = work_operator(run.perturbations) @ noisy.rates[2]
            least.append(np.linalg.lstsq(change.T, work, rcond=None)[0][0])
            constant = fit_run(noisy).K_pretrain
            covered += (constant.low or 0) <= 10 <= (constant.high or np.inf)
        assert low < np.median(least) < high
        assert covered >= 20  # of 24 at 95%: fewer has probability 0.0002
    assert np.median(least) < 9.5


# --- intervals


def test_noise_widens_the_interval():
    run, widths = exact_run(10.0), []
    for noise in (1e-7, 1e-6, 1e-5, 1e-4, 3e-4):
        kappa = fit_run(with_noise(run, noise, seed=4)).kappa
        widths.append(np.log(kappa.high / kappa.low))
    assert (np.diff(widths) > 0).all()
    assert widths[2] / widths[1] == pytest.approx(10, rel=0.3)


def test_level_widens_the_interval():
    run = with_noise(exact_run(10.0), 1e-4)
    half, most = fit_run(run, level=0.5).kappa, fit_run(run, level=0.99).kappa
    assert most.low < half.low < half.estimate < half.high < most.high


def test_where_the_noise_covers_pretrain_the_interval_is_open():
    fitted = fit_run(with_noise(exact_run(100.0), 3e-3))
    assert fitted.kappa.low is None or fitted.kappa.high is None
    assert any("do not bound" in note for note in fitted.notes)


def test_disjoint_supports_give_only_the_sum():
    """R16: with disjoint supports the two changes are equal, and only K_p + K_a is measured."""
    run = with_noise(exact_run(3.0, family="disjoint", cover=1e-3, leaves=900), 3e-3)
    fitted = fit_run(run)
    assert fitted.kappa.low is None
    assert fitted.kappa.high is None
    balance = Readings.of(run).balance()
    shares = np.linspace(0, 4, 81)
    lowest, wrong = (balance.deviance(np.stack([shares, total - shares], -1) / 3) for total in (4, 8))
    assert lowest.max() < chi2.ppf(0.9999, balance.equations)
    assert wrong.min() > 100 * lowest.max()


def test_a_short_curve_gives_kappa_at_best():
    """The scale appears at order L^2: at small L kappa is bounded and the volumes are not (R16)."""
    run = exact_run(3.0, l_max=0.02, points=6)
    noise = 0.003 * np.abs(run.rates[0] - run.rates[0, 0]).max()
    fitted = fit_run(with_noise(run, noise))
    assert fitted.kappa.high / fitted.kappa.low < 1.5
    assert fitted.K_align.low is None or fitted.K_align.high / fitted.K_align.low > 1.5


def test_no_change_says_nothing():
    run = exact_run(10.0)
    still = replace(run, rates=np.repeat(run.rates[:, :1], run.perturbations.size, axis=1))
    fitted = fit_run(still)
    for constant in (fitted.K_pretrain, fitted.K_align, fitted.kappa):
        assert (constant.estimate, constant.low, constant.high) == (None, None, None)
    assert fitted.bound.worst is None
    assert any("no rate changes" in note for note in fitted.notes)
    assert fit_run(replace(still, rates=0 * still.rates)).kappa.estimate is None


def test_two_perturbations():
    """J = 2: the constants solve two equations; with known errors there is an interval, without there is none."""
    run = exact_run(10.0, perturbations=[0, 1.0, 3.0])
    silent = fit_run(run)
    assert silent.kappa.estimate == pytest.approx(10, rel=0.2)
    assert (silent.kappa.low, silent.kappa.high) == (None, None)
    told = fit_run(with_noise(run, 1e-4))
    assert told.goodness.dof == 0
    assert told.goodness.p is None
    assert told.kappa.closed


def test_noise_is_estimated_where_it_is_not_given():
    run = exact_run(5.0, leaves=512)
    found = [Readings.of(with_noise(run, 1e-4, seed, told=False)).rate_se[0, 0] for seed in range(20)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(1e-4, rel=0.25)
    told, untold = (fit_run(with_noise(run, 1e-4, 3, told=told)) for told in (True, False))
    assert untold.kappa.estimate == pytest.approx(told.kappa.estimate, rel=1e-3)
    assert untold.goodness.chi2 == pytest.approx(untold.goodness.dof, rel=0.01)
    assert untold.goodness.p is None


def test_partly_given_errors_are_not_used_and_said():
    run = with_noise(exact_run(5.0, leaves=512), 1e-4)
    errors = run.rate_se.copy()
    errors[0, 3] = np.nan
    fitted = fit_run(replace(run, rate_se=errors))
    assert any("not used" in note for note in fitted.notes)
    assert fitted.kappa.estimate == fit_run(replace(run, rate_se=errors * np.nan)).kappa.estimate


def test_conditional_quantiles_are_those_of_the_two_by_two_eigenproblem():
    """LR = S'S - the smaller eigenvalue of [S,T]'[S,T], S standard normal in J - 1 dimensions, |T|^2 = s."""
    rng = np.random.default_rng(0)
    strengths, quantiles = _conditional_quantiles(4, 0.9, True)
    for s in (0.5, 5.0, 50.0):
        noise = rng.standard_normal((40_000, 5))
        fixed = np.zeros(5)
        fixed[0] = np.sqrt(s)
        square, cross = (noise**2).sum(1), noise @ fixed
        smaller = (square + s - np.sqrt((square - s) ** 2 + 4 * cross**2)) / 2
        assert np.quantile(square - smaller, 0.9) == pytest.approx(np.interp(s, strengths, quantiles), rel=0.03)


def test_critical_rise_runs_between_its_limits():
    assert critical_rise(1e12, 9, 0.95) == pytest.approx(chi2.ppf(0.95, 1), rel=1e-3)
    assert critical_rise(0.0, 9, 0.95) == pytest.approx(chi2.ppf(0.95, 8), rel=1e-2)
    assert critical_rise(1e12, 9, 0.95, known_noise=False) == pytest.approx(f.ppf(0.95, 1, 7), rel=1e-3)
    assert critical_rise(100.0, 2, 0.95, known_noise=False) == np.inf
    rises = [critical_rise(highest, 9, 0.95) for highest in (1, 10, 20, 40, 100, 1000)]
    assert (np.diff(rises) <= 0).all()


def test_ends_are_where_the_profile_meets_the_critical_value():
    balance = Readings.of(with_noise(exact_run(10.0), 2e-4)).balance()
    best = estimate(balance)
    for name in CONSTANTS:
        low, high = interval(balance, best, name, 0.95)
        rises = balance.along(name, np.array([low, high]))[0] - best.deviance
        np.testing.assert_allclose(rises, critical_rise(1e9, balance.equations, 0.95), rtol=0.05)


@pytest.mark.parametrize("only", [0.0, np.inf])
def test_a_set_of_one_end_alone_is_bounded_by_its_neighbour(only):
    """A run that hardly moves may reject every constant but 0 or infinity: a bound then, and no failure."""

    class Balance:
        equations = 5

        def span(self, name):
            return 1e-3, 1e3

        def along(self, name, values):
            return (np.where(values == only, 0.0, 1e9),)

        def at_infinity(self, name):
            return 0.0 if only == np.inf else 1e9

    best = Estimate(np.array([only, 1.0]), only, 0.0, np.full(3, np.nan))
    low, high = interval(Balance(), best, "pretrain", 0.95)
    assert (low, high) == ((None, pytest.approx(1e-3)) if only == 0.0 else (pytest.approx(1e3), None))


def test_the_interval_agrees_with_a_parametric_bootstrap_where_both_apply():
    run = exact_run(5.0, points=8, leaves=512)
    fitted = fit_run(with_noise(run, 1e-4, 1))
    draws = []
    for seed in range(300):
        balance = Readings.of(with_noise(run, 1e-4, 1000 + seed)).balance()
        draws.append(np.log(estimate(balance).kappa))
    spread = np.quantile(draws, 0.975) - np.quantile(draws, 0.025)
    assert np.log(fitted.kappa.high / fitted.kappa.low) == pytest.approx(spread, rel=0.25)
    assert np.mean(draws) == pytest.approx(np.log(5), abs=4 * np.std(draws) / np.sqrt(300))


# --- units


def test_volumes_come_in_the_unit_of_the_curve_and_rates_in_any():
    run = with_noise(exact_run(8.0), 1e-4)
    one = fit_run(run)
    tokens = replace(run, volumes=run.volumes * 5e6, perturbations=run.perturbations * 5e6, volume_unit="tokens")
    bits = replace(run, rates=run.rates * 0.2, rate_se=run.rate_se * 0.2)
    for other, factor in ((fit_run(tokens), 5e6), (fit_run(bits), 1.0)):
        assert other.K_pretrain.estimate == pytest.approx(factor * one.K_pretrain.estimate, rel=1e-6)
        assert other.K_align.high == pytest.approx(factor * one.K_align.high, rel=1e-4)
        assert other.kappa.low == pytest.approx(one.kappa.low, rel=1e-4)
        assert other.nominal_kappa == one.nominal_kappa
        assert other.bound.worst == pytest.approx(one.bound.worst, rel=1e-9)


def test_other_components_are_left_aside():
    run = exact_run(8.0)
    more = replace(
        run,
        components=("pretrain", "align", "heldout", "perturb"),
        volumes=np.insert(run.volumes, 2, 7.0),
        rates=np.insert(run.rates, 2, 3.0, axis=0),
        rate_se=np.insert(run.rate_se, 2, np.nan, axis=0),
    )
    fitted = fit_run(more)
    assert fitted.kappa == fit_run(run).kappa
    assert any("heldout" in note for note in fitted.notes)


# --- the bound


def test_mixtures_keep_the_bound_with_room():
    """For mixtures the residual is at most half the bound: worst is -(1/2) or above, by the size of L."""
    bound = fit_run(exact_run(10.0)).bound
    assert bound.holds
    assert -0.5 <= bound.worst < -0.4
    assert bound.z is None


@pytest.mark.parametrize("side", ["below", "above"])
def test_a_broken_bound_is_seen_and_noise_is_allowed_for(side):
    run = exact_run(10.0)
    rates = run.rates.copy()
    last = -run.perturbations[-1] * (rates[2, -1] - rates[2, 0])
    middle = 10 * (rates[0, -1] - rates[0, 0]) + rates[1, -1] - rates[1, 0]
    missed = 0.1 * last
    rates[1, -1] += (last - middle + missed) if side == "above" else -(middle + missed)
    broken = fit_run(replace(run, rates=rates)).bound
    assert not broken.holds
    assert broken.worst == pytest.approx(0.1, rel=1e-6)
    for noise, holds in ((missed / 1000, False), (missed / 10, True)):
        errors = np.full_like(rates, noise)
        seen = fit_run(replace(run, rates=rates, rate_se=errors)).bound
        assert seen.holds is holds
        assert seen.z > 0


# --- bad input


def test_what_cannot_be_fitted_is_refused_in_one_line():
    run = exact_run(10.0)
    for name in ("pretrain", "align", "perturb"):
        keep = [index for index, component in enumerate(run.components) if component != name]
        less = replace(
            run,
            components=tuple(run.components[i] for i in keep),
            volumes=run.volumes[keep],
            rates=run.rates[keep],
            rate_se=run.rate_se[keep],
        )
        with pytest.raises(InputError, match=f"no component {name}"):
            fit_run(less)
    few = replace(run, perturbations=run.perturbations[:2], rates=run.rates[:, :2], rate_se=run.rate_se[:, :2])
    with pytest.raises(InputError, match="1 positive perturbation "):
        fit_run(few)
    with pytest.raises(InputError, match="level"):
        fit_run(run, level=1.0)
    with pytest.raises(InputError, match="quadrature"):
        fit_run(run, quadrature="simpson")


# --- pooling


def made_up(kappa: float, nominal: float, error: float) -> RunFit:
    constant = Interval(kappa, kappa * np.exp(-1.959964 * error), kappa * np.exp(1.959964 * error), 0.95)
    return RunFit(
        "r",
        constant,
        constant,
        constant,
        nominal,
        Bound(True, 0.0, None),
        Goodness(1.0, 3, 0.5),
        (),
        constant,
        Scatter(1.0, 3),
    )


def test_pooled_kappa_is_that_of_dersimonian_and_laird():
    """Two by two by hand: ln kappa = 0, 1, 2 with variances 0.04, 0.04, 0.08."""
    fits = [made_up(np.exp(x), 3.0, e) for x, e in ((0.0, 0.2), (1.0, 0.2), (2.0, np.sqrt(0.08)))]
    w = np.array([25.0, 25.0, 12.5])
    x = np.array([0.0, 1.0, 2.0])
    q = (w * (x - (w @ x) / w.sum()) ** 2).sum()
    between = (q - 2) / (w.sum() - (w**2).sum() / w.sum())
    star = 1 / (1 / w + between)
    assert np.log(pooled_kappa(fits).estimate) == pytest.approx((star @ x) / star.sum(), rel=1e-5)
    same = [made_up(5.0, 3.0, 0.1)] * 4
    pooled = pooled_kappa(same)
    assert pooled.estimate == pytest.approx(5)
    assert np.log(pooled.high / 5) == pytest.approx(3.1824463 * 0.05, rel=1e-4)  # t with 3 degrees of freedom


def test_an_open_half_that_faces_the_mean_has_no_weight():
    sure = [made_up(4.0, 3.0, 0.1), made_up(4.4, 3.0, 0.1)]
    above = replace(made_up(5.0, 3.0, 0.1), kappa=Interval(5.0, None, 5.5, 0.95))  # silent about what lies below
    below = replace(made_up(3.0, 3.0, 0.1), kappa=Interval(3.0, None, 3.3, 0.95))
    assert pooled_kappa([*sure, above]).estimate == pytest.approx(pooled_kappa(sure).estimate)
    assert pooled_kappa([*sure, below]).estimate < pooled_kappa(sure).estimate
    nowhere = replace(above, kappa=Interval(5.0, None, None, 0.95))
    assert pooled_kappa([nowhere]) == Interval(None, None, None, 0.95)
    assert pooled_kappa([nowhere, sure[0]]) == sure[0].kappa


def test_the_half_that_faces_the_mean_weighs():
    """Estimates whose intervals are skew: the one that came out low may not outweigh the one that came out high."""
    skew = [replace(made_up(1.0, 3.0, 0.1), kappa=Interval(np.exp(x), np.exp(x - down), np.exp(x + up), 0.95))
            for x, down, up in ((-1.0, 0.8, 1.6), (1.0, 1.6, 3.2))]  # fmt: skip
    assert np.log(pooled_kappa(skew).estimate) == pytest.approx(0, abs=1e-9)


def test_beta_is_the_slope():
    fits = [made_up(2.0 * k**0.7, k, 0.1) for k in (3.0, 10.0, 50.0, 50.0)]
    beta = scaling_exponent(fits)
    assert beta.estimate == pytest.approx(0.7)
    assert beta.low < 0.7 < beta.high
    assert scaling_exponent(fits[2:]) is None
    two = scaling_exponent(fits[:2])
    assert two.high - 0.7 == pytest.approx(1.959964 * 0.1 * np.sqrt(2) / np.log(10 / 3), rel=1e-5)


# --- the whole


def test_fit_gives_the_promised_json():
    result = fit(simulate_mixture([3.0, 10.0, 40.0], seeds=[0, 1]))
    assert set(result) >= {"runs", "pooled", "models", "warnings"}
    assert set(result["pooled"]) == {"kappa", "beta", "covariates", "forgetting"}
    for run in result["runs"]:
        assert set(run) == {
            "run",
            "K_pretrain",
            "K_align",
            "kappa",
            "nominal_kappa",
            "bound",
            "goodness",
            "elastic_limit",
            "scatter",
            "notes",
        }
        assert set(run["bound"]) == {"holds", "worst"}
        for name in ("K_pretrain", "K_align", "kappa"):
            assert set(run[name]) == {"estimate", "low", "high", "level"}
    assert result["pooled"]["beta"]["estimate"] == pytest.approx(1, abs=1e-4)  # joint compression
    assert [model["name"] for model in result["models"]] == [*(law.name for law in LAWS), BALANCE]
    assert all(
        set(model) == {"name", "parameters", "heldout_error", "heldout_runs", "p", "chosen"}
        for model in result["models"]
    )
    json.dumps(result, allow_nan=False)


def test_one_k_has_no_beta_and_open_ends_are_null():
    curve = simulate_mixture([100.0], noise=1e-2, leaves=256)
    result = json.loads(json.dumps(fit(curve), allow_nan=False))
    assert result["pooled"]["beta"] is None
    assert None in (result["runs"][0]["kappa"]["low"], result["runs"][0]["kappa"]["high"])


def test_an_executor_changes_nothing():
    curve = simulate_mixture([5.0], seeds=range(4), noise=1e-4, leaves=128, points=6)
    with ThreadPoolExecutor(2) as pool:
        assert fit(curve, executor=pool) == fit(curve)


def test_joint_compression_predicts_what_a_line_does_not():
    models = {m["name"]: m["heldout_error"] for m in fit(simulate_mixture([5.0, 20.0]))["models"]}
    assert models["joint compression"] < 0.05 * models["straight line"]
    assert models[BALANCE] < 0.01 * models["straight line"]


RESULTS = Path(__file__).parents[4] / "paper_checks" / "saved_runs"


def saved(name: str, errors: str) -> Curve:
    """A saved curve with one of its two errors: within the run, or over the population of documents."""
    curve = Curve.read(RESULTS / name / f"{name}.csv")
    return Curve(curve.frame.assign(rate_se=curve.frame[errors]))


@pytest.mark.parametrize("count", [3, 4, 5, 12])
def test_right_errors_are_not_called_too_large(count):
    """With rate_se the noise that is there, the chance of a warning is at most its level."""
    run, level = exact_run(10.0, points=count), 0.01
    draws = [Scatter(*Readings.of(with_noise(run, 1e-3, seed)).scatter()) for seed in range(2000)]
    assert sum(scatter.too_small(level) for scatter in draws) <= 2000 * level + 4 * np.sqrt(2000 * level)
    thrice = with_noise(run, 1e-3)
    assert Scatter(*Readings.of(replace(thrice, rate_se=30 * thrice.rate_se)).scatter()).too_small(level)
    assert not Scatter(*Readings.of(with_noise(run, 1e-3, told=False)).scatter()).too_small(0.5)


def test_the_error_over_documents_is_seen_where_the_error_within_the_run_belongs():
    """SmolLM2's rebound: R5 is broken within the errors of the run; with the errors over documents it seemed to hold."""
    name = "align-96-seed-0"
    within = fit_run(saved("rebound", "rate_se").run(name))
    over = fit_run(saved("rebound", "rate_se_population").run(name))
    assert within.bound.holds is False
    assert within.scatter.p == pytest.approx(1.0)
    assert not any("over documents" in note for note in within.notes)
    assert over.bound.holds is None  # not "yes": nothing was tested
    assert over.bound.z is not None
    assert over.scatter.as_dict() == pytest.approx({"chi2": 0.555, "dof": 6, "p": 0.0029}, rel=0.02)
    assert any("rate_se is 3.3 times the scatter" in note for note in over.notes)


def test_short_runs_are_judged_together():
    """Two perturbations a run: no single run of resistance shows the wrong errors, the twelve together do (p = 3e-5)."""
    right, wrong = (fit(saved("resistance", errors)) for errors in ("rate_se", "rate_se_population"))
    assert right["warnings"] == []
    assert {run["bound"]["holds"] for run in right["runs"]} == {True, False}
    [line] = wrong["warnings"]
    assert "1.8 times the scatter" in line
    assert "`se` of measure" in line
    assert [run["bound"]["holds"] for run in wrong["runs"]] == [None] * 12


def test_a_long_run_is_fitted_by_the_means_of_its_neighbours():
    """2,000 readings with errors: as many constants as 64 means give, their truth inside, in the time of 64 readings."""
    curve = simulate_mixture([3.0], points=2000, leaves=256, noise=0.02)
    readings = Readings.of(next(iter(curve)))
    assert readings.perturbations.size == 65
    assert readings.unit * readings.perturbations[-1] == pytest.approx(readings.unit)
    assert readings.rate_se[:, 1:] == pytest.approx(0.02 / np.sqrt(2000 / 64), rel=0.02)
    assert readings.rate_se[:, 0] == pytest.approx(0.02)
    fitted = fit_run(next(iter(curve)))
    assert fitted.kappa.holds(3.0)
    assert fitted.K_align.holds(1.0)


def test_a_fit_shows_its_summary():
    import pickle

    told = fit(simulate_mixture([3.0, 9.0], points=6, leaves=64, noise=1e-3))
    assert json.loads(json.dumps(told)) == dict(told)
    assert repr(told) == " ".join(told["conclusion"])
    assert len(told.to_frame()) == len(told.summary.groups)
    again = pickle.loads(pickle.dumps(told))
    assert again == told
    assert again.summary.sentences() == told.summary.sentences()


def test_errors_that_do_not_change_along_the_run_are_brought_to_diagonal_form_once(monkeypatch):
    """The profile along each constant is that of the covariances as they are, to rounding."""
    from elastomath.fit.effective_volumes import CONSTANTS, Balance

    (run,) = simulate_mixture([5.0], points=12, leaves=64, noise=1e-4)
    balance = Readings.of(replace(run, rate_se=np.array([[1e-4], [3e-4], [2e-4]]) * np.ones(run.rates.shape))).balance()
    values = np.geomspace(1e-2, 1e3, 40)
    assert balance._rotated()[1].ndim == 2
    once = [balance.along(name, values) for name in CONSTANTS]
    monkeypatch.setattr(Balance, "_rotated", lambda self: (self.terms, self.covariances))
    for name, (profile, points) in zip(CONSTANTS, once, strict=True):
        slow, there = balance.along(name, values)
        assert profile == pytest.approx(slow, rel=1e-9)
        assert points == pytest.approx(there, rel=1e-6)
    uneven = replace(run, rate_se=1e-4 * np.linspace(1, 2, run.rates.size).reshape(run.rates.shape))
    monkeypatch.undo()
    assert Readings.of(uneven).balance()._rotated()[1].ndim == 3
