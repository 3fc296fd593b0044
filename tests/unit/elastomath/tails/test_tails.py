"""Tail fits: against scipy, mpmath and sums written out, recovered with coverage, tests with their size and power."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from elastomath import InputError
from elastomath.tails import rivals
from elastomath.tails.fit import fit_tail, largest_gap
from elastomath.tails.goodness import goodness_of_fit
from elastomath.tails.rivals import cutoff_p_value, half_chi_square, likelihood_ratio
from elastomath.tails.sample import Sample, draw_tail
from elastomath.tails.sampled import SMALLEST, at_least, fit_sampled_pareto, log_probabilities, sampled_p_value
from elastomath.tails.threshold import scan_threshold
from elastomath.tails.zeta import log_zeta, most_likely_index, tail_probability
from tests.examples import examples


def pareto(alpha, size, *seed):
    return 1.0 + np.random.default_rng(seed).pareto(alpha, size)


# --- the zeta function ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [1.001, 1.3, 2.5, 9.0, 40.0, 88.0, 700.0])
@pytest.mark.parametrize("q", [0.3, 1.0, 5.0, 300.0, 1241.0, 1e6])
def test_the_scaled_zeta_function_is_mpmaths(s, q):
    with mpmath.workdps(60):
        if s < 20:
            expected = mpmath.mpf(q) ** mpmath.mpf(s) * mpmath.zeta(mpmath.mpf(s), mpmath.mpf(q))
        else:  # term by term, and the integral beyond
            terms = 200 + int(3 * s)
            logs = [mpmath.log1p(mpmath.mpf(k) / mpmath.mpf(q)) for k in range(terms + 1)]
            end = mpmath.mpf(q) + terms
            rest = end / (s - 1) + mpmath.mpf(1) / 2 + s / (12 * end) - s * (s + 1) * (s + 2) / (720 * end**3)
            expected = mpmath.fsum(mpmath.exp(-s * log) for log in logs[:-1]) + mpmath.exp(-s * logs[-1]) * rest
        assert float(log_zeta(s, q)) == pytest.approx(float(mpmath.log(expected)), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("alpha", [1e-3, 0.3, 1.5, 8.0])
@pytest.mark.parametrize("q", [1.0, 5.0, 300.0])
def test_the_index_is_where_the_mean_logarithm_is_that_of_the_law(alpha, q):
    with mpmath.workdps(40):
        s, start = mpmath.mpf(alpha) + 1, mpmath.mpf(q)
        mean = -mpmath.zeta(s, start, 1) / mpmath.zeta(s, start) - mpmath.log(start)
    assert float(most_likely_index(float(mean), q)) == pytest.approx(alpha, rel=1e-6)


def test_tail_probabilities_are_scipys():
    x = np.arange(1.0, 60.0)
    np.testing.assert_allclose(tail_probability(x, 1.0, 1.4), stats.zipf(2.4).sf(x - 1), rtol=1e-10)


# --- estimators -----------------------------------------------------------------------------------------------------


def test_paretos_index_is_scipys_and_its_interval_the_gamma_law():
    x = pareto(1.7, 300, 1)
    fit = fit_tail(x, 1.0)
    assert fit.alpha == pytest.approx(stats.pareto.fit(x, floc=0, fscale=1.0)[0], rel=1e-12)
    assert fit.log_likelihood == pytest.approx(stats.expon(scale=1 / fit.alpha).logpdf(np.log(x)).sum(), rel=1e-12)
    # the true sum of logarithms exceeds what was seen with probability 1/40 at either end
    total = np.log(x).sum()
    assert stats.gamma(300, scale=1 / fit.low).cdf(total) == pytest.approx(0.025, rel=1e-9)
    assert stats.gamma(300, scale=1 / fit.high).sf(total) == pytest.approx(0.025, rel=1e-9)
    assert fit.distance == pytest.approx(np.abs(1 - np.sort(x) ** -fit.alpha - np.arange(300) / 300).max(), rel=1e-12)
    runs = np.exp(np.random.default_rng(3).exponential(1 / 1.3, (500, 8)))
    for threshold in (1.0, None):
        fits = [fit_tail(row, threshold, level=0.8) for row in runs]
        assert abs(np.mean([fit.low < 1.3 < fit.high for fit in fits]) - 0.8) < 3.5 * math.sqrt(0.16 / 500)


@pytest.mark.parametrize(("alpha", "least"), [(0.5, 1), (1.5, 1), (3.0, 2), (1.2, 30)])
def test_the_zeta_index_is_that_of_scipys_likelihood(alpha, least):
    sample = draw_tail(2000, least, alpha, True, 4)
    x = np.repeat(sample.values, sample.multiplicities)
    cost = lambda s: s * np.log(x).mean() + np.log(special.zeta(s, least))  # noqa: E731
    found = optimize.minimize_scalar(cost, bounds=(1.01, 8), method="bounded", options={"xatol": 1e-9})
    fit = fit_tail(x.astype(np.int64), least)
    assert fit.alpha == pytest.approx(found.x - 1, abs=2e-6)
    assert fit.log_likelihood == pytest.approx(-found.fun * x.size, rel=1e-12)
    h = 1e-4
    curvature = (cost(found.x + h) - 2 * found.fun + cost(found.x - h)) / h**2
    assert fit.standard_error == pytest.approx(1 / math.sqrt(x.size * curvature), rel=1e-4)
    drop = stats.chi2(1).ppf(0.95) / 2
    for end in (fit.low, fit.high):
        assert x.size * (cost(end + 1) - found.fun) == pytest.approx(drop, rel=1e-5)
    assert (fit.alpha - alpha) / fit.standard_error == pytest.approx(0, abs=3.5)


def test_zeta_intervals_cover_and_the_continuous_fit_of_counts_does_not():
    fits, wrong = [], []
    for run in range(120):
        sample = draw_tail(300, 1, 1.5, True, [9, run])
        fits.append(fit_tail(sample, level=0.8))
        wrong.append(fit_tail(Sample(sample.values, sample.below, False), level=0.8))
    covered = np.mean([fit.low < 1.5 < fit.high for fit in fits])
    assert abs(covered - 0.8) < 3.5 * math.sqrt(0.16 / 120)
    assert np.mean([fit.low < 1.5 < fit.high for fit in wrong]) < 0.05


def test_draws_have_the_law():
    sample = draw_tail(200_000, 3, 0.7, True, 1)
    expected = tail_probability(sample.values, 3, 0.7)
    gaps = np.abs(1 - expected - sample.below[:-1] / sample.size)
    assert gaps.max() < 1.7 / math.sqrt(sample.size)
    assert sample.values.max() > 4096 * 3  # the part beyond the table is drawn
    far = sample.values > 10_000
    share = sample.multiplicities[far].sum() / sample.size
    assert share == pytest.approx(float(tail_probability(10_001.0, 3, 0.7)), rel=0.1)


# --- the scan -------------------------------------------------------------------------------------------------------


def slow_scan(x, whole):
    """Every threshold and every point, with scipy's zeta function."""
    values, rows = np.unique(x), []
    for x_m in values[:-1]:
        tail = np.sort(x[x >= x_m])
        points = np.unique(tail)
        alpha = fit_tail(tail, x_m, whole=whole).alpha
        if whole:
            below = 1 - special.zeta(alpha + 1, points) / special.zeta(alpha + 1, x_m)
        else:
            below = 1 - (points / x_m) ** -alpha
        gaps = np.abs(below - np.searchsorted(tail, points) / tail.size)
        rows.append((gaps.max(), x_m, alpha))
    return np.array(rows)


BODIES = {
    "pareto": lambda rng, n: 1 + rng.pareto(1.3, n),
    "lognormal": lambda rng, n: np.exp(1.5 * rng.normal(size=n)),
    "uniform below, pareto above": lambda rng, n: np.where(
        rng.random(n) < 0.5, rng.uniform(0.1, 1, n), 1 + rng.pareto(1.5, n)
    ),
    "ties": lambda rng, n: np.round(1 + rng.pareto(1.3, n), 1),
    "counts": lambda rng, n: rng.zipf(2.1, n).clip(max=10**9),
    "steep counts": lambda rng, n: rng.geometric(0.3, n),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_scan_is_the_slow_one(name):
    for seed in range(3):
        x = BODIES[name](np.random.default_rng(seed), 250)
        whole = x.dtype.kind == "i"
        rows = slow_scan(x, whole)
        scan = scan_threshold(x)
        best, seen = scan.best, ~np.isnan(scan.distances)
        np.testing.assert_allclose(scan.distances[seen], rows[seen, 0], rtol=0, atol=1e-7)
        np.testing.assert_allclose(scan.alphas, rows[:, 2], rtol=1e-6)
        assert seen.sum() < 0.2 * seen.size, "most thresholds are only bounded"
        assert best.threshold == rows[rows[:, 0].argmin(), 1]
        assert best.distance == pytest.approx(rows[:, 0].min(), abs=1e-7)


@examples(60)
@given(st.lists(st.integers(1, 12), min_size=3, max_size=40), st.booleans())
def test_the_scan_is_the_slow_one_on_few_values(values, whole):
    x = np.array(values) if whole else np.array(values) / 4
    if np.unique(x).size < 2:
        with pytest.raises(InputError):
            scan_threshold(x)
        return
    rows = slow_scan(x, whole)
    scan = scan_threshold(x)
    assert scan.best.distance == pytest.approx(rows[:, 0].min(), abs=1e-7)
    seen = ~np.isnan(scan.distances)
    np.testing.assert_allclose(scan.distances[seen], rows[seen, 0], atol=1e-7)


def test_the_scan_is_powerlaws():
    powerlaw = pytest.importorskip("powerlaw")
    for name in ("pareto", "lognormal", "uniform below, pareto above"):
        x = BODIES[name](np.random.default_rng(1), 600)
        theirs = powerlaw.Fit(x, verbose=0)
        ours = scan_threshold(x, largest_index=2.0).best
        assert ours.threshold == theirs.xmin
        assert ours.alpha == pytest.approx(theirs.alpha - 1, rel=1e-9)


def test_the_threshold_is_found_and_its_error_counted():
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.uniform(0.1, 1, 1000), 1 + rng.pareto(1.5, 1000)])
    fit = goodness_of_fit(x, samples=60, seed=1)
    assert fit.fit.threshold == pytest.approx(1.0, abs=0.15)
    assert fit.p_value > 0.05
    assert fit.standard_error > fit.fit.standard_error, "the choice of the threshold adds error"
    assert 0.5 < np.median(fit.thresholds) < 1.5
    low, high = fit.interval()
    assert low < 1.5 < high


# --- goodness of fit ------------------------------------------------------------------------------------------------


def test_the_size_at_a_given_threshold_is_exact_and_there_is_power():
    p = [goodness_of_fit(pareto(1.2, 60, 6, run), "least", samples=39, seed=run).p_value for run in range(300)]
    for level in (0.1, 0.5):
        assert abs(np.mean(np.array(p) <= level) - level) < 3.5 * math.sqrt(level * (1 - level) / 300)
    q = [
        goodness_of_fit(np.exp(np.abs(np.random.default_rng(run).normal(size=400))), 1.0, samples=39, seed=run).p_value
        for run in range(20)
    ]
    assert np.mean(np.array(q) <= 0.05) > 0.8


def test_p_values_have_their_monte_carlo_error():
    found = goodness_of_fit(draw_tail(300, 1, 1.5, True, 3), "least", samples=50, seed=1)
    assert found.p_value == (1 + (found.distances >= found.fit.distance).sum()) / 51
    assert found.p_error == pytest.approx(math.sqrt(found.p_value * (1 - found.p_value) / 50))
    assert found.p_value > 0.05


@pytest.mark.parametrize("threshold", ["Scan", "SCAN", "", "smallest"])
def test_a_threshold_that_is_no_way_of_choosing_is_refused(threshold):
    with pytest.raises(InputError, match="threshold"):
        goodness_of_fit([1.0, 2.0, 4.0], threshold, samples=2)


# --- rivals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [-3.0, -0.7, -1e-3, -1e-14, 0.0, 1e-6, 9e-4, 0.4, 0.6, 30.0])
@pytest.mark.parametrize("log_b", [-150.0, -199.9, -200.1, -1400.0])
def test_a_cut_off_far_out_is_mpmaths(a, log_b):
    """b + ln E_{1+a}(b), where b is no double any more, too."""
    with mpmath.workdps(60):
        b = mpmath.exp(log_b)
        expected = float(b + mpmath.log(mpmath.expint(1 + mpmath.mpf(a), b)))
    assert rivals._log_cut_off(a, log_b) == pytest.approx(expected, rel=1e-13, abs=1e-13)


def test_a_cut_off_is_found_from_end_to_end_of_the_doubles():
    """Values even in ln x over 1400 e-folds are no Pareto's: the search had a start outside its bounds, and then the gain 0."""
    values = np.logspace(-300, 308, 400)
    ratio = likelihood_ratio(values, "cutoff")
    t = np.log(values) - math.log(values[0])
    alpha, rate = ratio.parameters["alpha"], ratio.parameters["rate"]
    with mpmath.workdps(30):
        b, a = mpmath.mpf(rate) * values[0], mpmath.mpf(alpha)
        cut_off = (
            -mpmath.log(mpmath.exp(b) * mpmath.expint(1 + a, b))
            - a * t.mean()
            - b * np.mean([mpmath.expm1(x) for x in t])
        )
    pareto = -math.log(t.mean()) - 1
    assert ratio.log_ratio == pytest.approx(400 * (float(cut_off) - pareto), rel=1e-3)
    assert ratio.log_ratio > 120
    assert ratio.favoured == "cutoff"
    parts = [likelihood_ratio(np.array([1.0, 1.5, 2.0, 4.0, 9.0, end]), "cutoff", 1.0) for end in (1e30, 1.7e308)]
    assert [part.favoured for part in parts] == ["neither", "neither"]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("name", "a", "b", "x_m"), [("lognormal", 1.2, 0.1, 1.0), ("lognormal", -0.8, 0.4, 6.0),
                                                      ("cutoff", 0.6, 1e-4, 2.0), ("cutoff", 2.5, 0.3, 1.0),
                                                      ("cutoff", -3.0, 60.0, 40.0)])  # fmt: skip
def test_normalisers_are_mpmaths(name, a, b, x_m, whole):
    g = {"lognormal": lambda t: t * t, "cutoff": mpmath.expm1}[name]
    if whole:
        term = lambda k: mpmath.exp(-(a + 1) * mpmath.log1p(k / x_m) - b * g(mpmath.log1p(k / x_m)))  # noqa: E731
        total = mpmath.nsum(term, [0, mpmath.inf], method="e")
    else:
        total = mpmath.quad(lambda t: mpmath.exp(-a * t - b * g(t)), [0, 0.1, 0.5, 1, 2, 4, 8, 12, 16, 24, 40])
    assert rivals._log_normaliser(name, a, math.log(b), x_m, whole) == pytest.approx(
        float(mpmath.log(total)), abs=1e-10
    )


def test_a_truncated_lognormal_is_recovered_and_its_likelihood_is_scipys():
    rng = np.random.default_rng(2)
    x = np.exp(rng.normal(0.5, 1.2, 40_000))
    x = x[x >= 1.0]
    found = likelihood_ratio(x, "lognormal", 1.0)
    mu, sigma = found.parameters["mu"], found.parameters["sigma"]
    assert (mu, sigma) == (pytest.approx(0.5, abs=0.15), pytest.approx(1.2, abs=0.08))
    t = np.log(x)
    density = stats.norm(mu, sigma).logpdf(t) - stats.norm(mu, sigma).logsf(0.0)
    assert found.log_ratio == pytest.approx(density.sum() - fit_tail(x, 1.0).log_likelihood, rel=1e-8)
    for away in ((0.02, 0.0), (0.0, 0.02), (-0.02, 0.0), (0.0, -0.02)):
        law = stats.norm(mu + away[0], sigma + away[1])
        assert (law.logpdf(t) - law.logsf(0.0)).sum() < density.sum()


@pytest.mark.parametrize("whole", [False, True])
def test_a_cut_off_is_recovered_and_told_from_pareto(whole):
    rng = np.random.default_rng(4)
    x = draw_tail(60_000, 1.0, 1.2, whole, rng)
    x = np.repeat(x.values, x.multiplicities)
    x = x[rng.random(x.size) < np.exp(-0.01 * (x - 1))]  # rejection: a cut-off at rate 0.01
    found = likelihood_ratio(x, "cutoff", 1.0, whole=whole)
    assert found.favoured == "cutoff"
    assert found.parameters["alpha"] == pytest.approx(1.2, abs=0.05)
    assert found.parameters["rate"] == pytest.approx(0.01, rel=0.15)
    if not whole:  # the cut-off at a = -1 is the exponential law
        assert found.log_ratio >= stats.expon(1, x.mean() - 1).logpdf(x).sum() - stats.pareto(1.2).logpdf(x).sum()


def test_the_gain_is_nothing_where_the_data_lean_the_other_way():
    t = np.random.default_rng(0).exponential(1, 500) ** 2  # heavier than Pareto: its variance exceeds the squared mean
    found = likelihood_ratio(np.exp(t), "lognormal", 1.0)
    assert (found.log_ratio, found.p_value, found.favoured) == (0.0, 1.0, "neither")


@pytest.mark.parametrize("runs", [40, pytest.param(100, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("whole", [False, True])
def test_the_size_of_the_nested_tests(whole, runs):
    p = {"lognormal": [], "cutoff": []}
    for run in range(runs):
        sample = draw_tail(1500, 1.0, 1.2, whole, [5, run])
        for name, found in p.items():
            found.append(likelihood_ratio(sample, name, 1.0).p_value)
    for name, found in p.items():
        for level in (0.1, 0.3):
            share = np.mean(np.array(found) < level)
            assert abs(share - level) < 3.5 * math.sqrt(level * (1 - level) / runs), (name, level)
    assert abs(np.mean(np.array(p["lognormal"]) == 1.0) - 0.5) < 3.5 * math.sqrt(0.25 / runs)
    assert abs(np.mean(np.array(p["cutoff"]) == 1.0) - (1 - 1 / 1.2)) < 0.15 * math.sqrt(100 / runs)


def test_the_law_of_the_cut_off_statistic_is_that_of_the_stable_supremum():
    """For 1 < alpha < 2: T = 2 (alpha-1) (-S/alpha)^(alpha/(alpha-1)) where S < 0, ln E e^(-cS) = c^alpha (scipy's stable law)."""
    alpha = 1.5
    scale = (-math.cos(math.pi * alpha / 2)) ** (1 / alpha)  # of the totally skewed law with that transform
    law = stats.levy_stable(alpha, 1.0, scale=scale)
    c = 0.7
    transform = integrate.quad(lambda s: law.pdf(s) * math.exp(-c * s), -12, 60, limit=200)[0]
    assert transform == pytest.approx(math.exp(c**alpha), rel=1e-2)
    for t in (0.5, 2.0, 4.0):
        s = -alpha * (t / 2 / (alpha - 1)) ** ((alpha - 1) / alpha)
        assert cutoff_p_value(t, alpha) == pytest.approx(law.cdf(s), rel=1e-4)


def test_the_cut_off_law_has_its_limits():
    for t in (0.3, 2.7, 11.0):
        assert cutoff_p_value(t, 2.0 - 1e-9) == pytest.approx(half_chi_square(t), rel=1e-6)
        assert half_chi_square(t) == pytest.approx(stats.chi2(1).sf(t) / 2, rel=1e-12)
        assert cutoff_p_value(t, 1.0) == pytest.approx(cutoff_p_value(t, 1.0 + 1e-5), rel=1e-4)
        # alpha = 1/2: S is Levy's law, T = 1/(4 S) with S = 1/(2 Z^2): T = Z^2/2 ... is chi-square, whole
        assert cutoff_p_value(t, 0.5) == pytest.approx(stats.chi2(1).sf(t), rel=1e-10)
    for alpha in (0.4, 0.9, 1.3, 1.9):
        assert cutoff_p_value(1e-18, alpha) == pytest.approx(min(1, 1 / alpha), rel=1e-2)
        t = 60.0
        assert cutoff_p_value(t, alpha) / half_chi_square(t) == pytest.approx(math.sqrt(2 / alpha), rel=0.03)


# --- masses behind counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.6, 1.5, 20.0, 59.5])
@pytest.mark.parametrize("count", [1, 17, 76, 1000, 99_999, 100_001, 10**6, 10**12])
def test_the_law_of_large_counts_keeps_its_digits(alpha, count):
    """ln [Gamma(c - alpha)/Gamma(c + 1)] to 40 digits: from c = 1e5 on it was off by 8e-10 at alpha = 20 and by 7e-9 at 59.5."""
    with mpmath.workdps(40):
        a, y = mpmath.mpf(alpha), mpmath.mpf(30)
        if count - alpha > 100:
            tail = mpmath.loggamma(count - a) + mpmath.log(1 - mpmath.gammainc(count - a, 0, y, regularized=True))
        else:
            tail = mpmath.log(mpmath.gammainc(count - a, y))
        log = mpmath.log(a) + a * mpmath.log(y) + tail - mpmath.loggamma(count + 1)
        expected = float(log - mpmath.log(1 - a * mpmath.expint(1 + a, y)))
    assert float(log_probabilities(count, alpha, 30.0)) == pytest.approx(expected, rel=1e-14, abs=0.0)


@pytest.mark.parametrize(("alpha", "floor"), [(0.3, 1e-4), (1.0, 0.01), (1.5, 0.7), (2.0, 40.0), (3.7, 3.0)])
def test_the_law_of_sampled_counts_is_mpmaths(alpha, floor):
    for c in (1, 2, 4, 30, 3000):
        missed = alpha * mpmath.quad(lambda u: mpmath.exp(-floor * u) * u ** (-alpha - 1), [1, 2, 10, mpmath.inf])
        mass = alpha * mpmath.mpf(floor) ** alpha * mpmath.gammainc(c - alpha, floor) / mpmath.factorial(c)
        assert float(log_probabilities(c, alpha, floor)) == pytest.approx(
            float(mpmath.log(mass / (1 - missed))), rel=1e-8, abs=1e-8
        )
    steps = np.arange(1, 200.0)
    tails = at_least(steps, alpha, floor)
    shares = np.exp(log_probabilities(steps, alpha, floor)) * tails[0]
    np.testing.assert_allclose(-np.diff(tails), shares[:-1], rtol=1e-6, atol=1e-13)


def test_sampled_masses_are_recovered_with_coverage():
    covered, floors = [], []
    for run in range(30):
        rng = np.random.default_rng([3, run])
        counts = rng.poisson(0.4 * (1 + rng.pareto(1.3, 4000)))
        fit = fit_sampled_pareto(counts[counts > 0])
        covered.append(abs(fit.alpha - 1.3) < 1.2816 * fit.standard_error)
        floors.append(fit.floor)
    assert abs(np.mean(covered) - 0.8) < 3.5 * math.sqrt(0.16 / 30)
    assert np.mean(floors) == pytest.approx(0.4, rel=0.05)


def test_thinning_keeps_the_index_of_the_masses_and_moves_that_of_the_counts():
    rng = np.random.default_rng(6)
    counts = rng.poisson(2.0 * (1 + rng.pareto(1.4, 60_000)))
    few = rng.binomial(counts, 0.1)
    whole, thin = (fit_sampled_pareto(c[c > 0]) for c in (counts, few))
    assert abs(whole.alpha - thin.alpha) < 3.5 * math.hypot(whole.standard_error, thin.standard_error)
    assert thin.floor == pytest.approx(whole.floor / 10, rel=0.1)
    zeta, zeta_thin = (fit_tail(c[c > 0]) for c in (counts, few))
    assert zeta_thin.alpha - zeta.alpha > 10 * zeta_thin.standard_error


def test_a_floor_of_nothing_is_sibuyas_law():
    c = np.arange(1, 50.0)
    sibuya = 0.6 * special.gamma(c - 0.6) / special.gamma(0.4) / special.gamma(c + 1)
    np.testing.assert_allclose(np.exp(log_probabilities(c, 0.6, 1e-20)), sibuya, rtol=1e-6)
    rng = np.random.default_rng(1)
    counts = rng.choice(c.astype(np.int64), 3000, p=sibuya / sibuya.sum())
    assert fit_sampled_pareto(counts).floor >= SMALLEST


def test_sampled_goodness_of_fit_has_size_and_power():
    rng = np.random.default_rng(2)
    passed = []
    for _ in range(4):
        counts = rng.poisson(0.4 * (1 + rng.pareto(1.3, 500)))
        passed.append(sampled_p_value(fit_sampled_pareto(counts[counts > 0]), 9, rng)[0])
    assert np.mean(np.array(passed) <= 0.1) < 0.5
    counts = rng.poisson(3 * np.exp(1.5 * rng.normal(size=3000)))
    assert sampled_p_value(fit_sampled_pareto(counts[counts > 0]), 19, rng)[0] == 0.05


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: fit_tail([1.0, float("nan")]),
        lambda: fit_tail([1.0, -1.0]),
        lambda: fit_tail([0, 1, 2]),
        lambda: fit_tail([]),
        lambda: fit_tail([[1.0]]),
        lambda: fit_tail(["a"]),
        lambda: fit_tail([1.5, 2.0], whole=True),
        lambda: fit_tail([1.0, 1.0]),
        lambda: fit_tail([1.0, 2.0], 3.0),
        lambda: fit_tail([1.0, 2.0], float("nan")),
        lambda: fit_tail([1.0, 2.0], level=1.0),
        lambda: fit_tail([1 << 60, 2]),
        lambda: scan_threshold([1.0, 2.0, 3.0], least_tail=9),
        lambda: goodness_of_fit([1.0, 2.0], samples=0),
        lambda: likelihood_ratio([1.0, 2.0], "weibull"),
        lambda: cutoff_p_value(1.0, 0.0),
        lambda: fit_sampled_pareto([1, 1]),
        lambda: log_probabilities([0], 1.0, 1.0),
    ],
)
def test_bad_input_is_one_line(call):
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)


@examples(50)
@given(st.lists(st.floats(1e-300, 1e300), min_size=2, max_size=30, unique=True))
def test_any_positive_numbers_have_a_fit(values):
    x = np.array(values)
    if np.log(x.max()) - np.log(x.min()) < 1e-9 or np.log(x.max()) - np.log(x.min()) > 700:
        return
    fit = fit_tail(x)
    assert fit.low <= fit.alpha <= fit.high
    assert 0 <= largest_gap(Sample.of(x), fit.threshold, fit.alpha) <= 1
    assert scan_threshold(x).best.distance <= fit.distance + 1e-12


@pytest.mark.parametrize("threshold", [1e-320, 5e-324, 1e-310])
def test_a_threshold_whose_quotients_are_beyond_the_doubles(threshold):
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    fitted = fit_tail(values, threshold)
    total = sum(math.log(value) - math.log(threshold) for value in values)
    assert fitted.alpha == pytest.approx(8 / total, rel=1e-14)
    assert fitted.log_likelihood == pytest.approx(8 * math.log(8 / total) - 8, rel=1e-12)
    assert fitted.low < fitted.alpha < fitted.high
    # no law has its observed values so far above where it begins: F is near 1 - 1/e at all of them
    assert fitted.distance == pytest.approx(
        1 - math.exp(-fitted.alpha * (math.log(1.0) - math.log(threshold))), abs=1e-12
    )
