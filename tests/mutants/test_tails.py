"""Broken tail formulas: each mutant has to be seen by the independent check that belongs to it."""

import math

import numpy as np
import pytest
from scipy import special, stats

from elastomath.tails import fit as tailfit
from elastomath.tails import goodness as tailtest
from elastomath.tails import rivals as tailrivals
from elastomath.tails import sample as tailsample
from elastomath.tails import sampled as sampledpareto
from elastomath.tails import threshold, zeta
from elastomath.tails import verdict as assumption
from elastomath.tails.sample import Sample

from .helper import first_of_each, scaled

X = 1.0 + np.random.default_rng(1).pareto(1.5, 400)
COUNTS = np.random.default_rng(1).zipf(2.4, 400)


def pareto_interval():
    fit = tailfit.fit_tail(X, 1.0)
    total = np.log(X).sum()
    return (
        abs(stats.gamma(X.size, scale=1 / fit.low).cdf(total) - 0.025) < 1e-9 and abs(fit.alpha * total - X.size) < 1e-6
    )


def zeta_score():
    fit, h = tailfit.fit_tail(COUNTS), 1e-5
    logs = np.log(special.zeta(fit.alpha + 1 + np.array([-h, 0, h]), 1.0))
    slope = np.log(COUNTS).mean() + (logs[2] - logs[0]) / (2 * h)
    information = (logs[2] - 2 * logs[1] + logs[0]) / h**2
    return abs(slope) < 1e-7 and abs(fit.standard_error**-2 / COUNTS.size / information - 1) < 1e-2


def scan():
    best = threshold.scan_threshold(X[:120]).best
    rows = [(tailfit.fit_tail(X[:120][X[:120] >= x], x).distance, x) for x in np.sort(X[:120])[:-1]]
    return best.threshold == min(rows)[1]


def draws():
    sample = tailsample.draw_tail(40_000, 1, 0.8, True, 3)
    gaps = np.abs(special.zeta(1.8, sample.values) / special.zeta(1.8) - 1 + sample.below[:-1] / sample.size)
    far = (
        sample.multiplicities[sample.values >= 10_000].sum()
        / sample.size
        * special.zeta(1.8)
        / special.zeta(1.8, 10_000)
    )
    return gaps.max() < 1.6 / math.sqrt(sample.size) and 0.4 < far < 1.6


def cutoff_law():
    t = np.array([0.5, 3.0])  # at alpha = 1/2 the statistic is chi-square, at 2 half of it
    near = [tailrivals.cutoff_p_value(x, 0.5) / stats.chi2(1).sf(x) for x in t]
    half = [tailrivals.cutoff_p_value(x, 2.0) / stats.chi2(1).sf(x) for x in t]
    return np.allclose(near, 1, atol=1e-9) and np.allclose(half, 0.5, atol=1e-9)


def lognormal_ratio():
    x = np.exp(np.abs(np.random.default_rng(3).normal(0.3, 1.0, 3000)))
    for values, whole in ((x, False), (np.ceil(x**1.5).astype(np.int64), True)):
        found = tailrivals.likelihood_ratio(values, "lognormal", 1.0, whole=whole)
        mu, sigma = found.parameters["mu"], found.parameters["sigma"]
        t = np.log(values)
        if whole:
            k = np.log(np.arange(1, 2_000_000.0))
            density = -t - (t - mu) ** 2 / (2 * sigma**2) - np.log(np.exp(-k - (k - mu) ** 2 / (2 * sigma**2)).sum())
        else:
            density = stats.norm(mu, sigma).logpdf(t) - stats.norm(mu, sigma).logsf(0)
        fit = tailfit.fit_tail(values, 1.0, whole=whole)
        if abs(found.log_ratio - (density.sum() - fit.log_likelihood)) > 1e-5:
            return False
    return True


def sampled_law():
    c = np.arange(1.0, 30.0)
    u = np.linspace(0, 1, 400_001)[1:] - 1 / 800_000
    y = 0.8 * u ** (-1 / 1.4)
    mixture = np.array([stats.poisson(y).pmf(k).mean() for k in c])
    mixture /= 1 - np.exp(-y).mean()
    return np.allclose(np.exp(sampledpareto.log_probabilities(c, 1.4, 0.8)), mixture, rtol=1e-3)


def goodness():
    """The size of the test: p-values of true Pareto samples are uniform."""
    p = [
        tailtest.goodness_of_fit(1 + np.random.default_rng([4, r]).pareto(1.5, 40), "least", samples=19, seed=r).p_value
        for r in range(80)
    ]
    return 0.3 < np.mean(np.array(p) <= 0.5) < 0.7


def controls():
    rng = np.random.default_rng(5)
    (good,) = assumption.pareto_verdict(1 + rng.pareto(1.5, 2000), samples=60)
    (bad,) = assumption.pareto_verdict(np.exp(np.abs(rng.normal(size=2000))), samples=60)
    return good.whole_fits and good.mean_exists is True and not bad.whole_fits


MUTANTS = {
    "n - 1 in place of n": (tailfit, "most_likely_index", scaled(tailfit.most_likely_index, 399 / 400), pareto_interval),
    "an interval of half the degrees of freedom": (special, "chdtri", lambda v, p, true=special.chdtri: true(v / 2, p), pareto_interval),
    "Clauset's approximation for counts": (
        tailfit, "most_likely_index",
        lambda tail, x_m: tail.size / float(np.log(tail.values / (x_m - 0.5)) @ tail.multiplicities), zeta_score),
    "the continuous error for counts": (
        tailfit, "_zeta_fit", lambda alpha, total, size, x_m, level: (alpha / math.sqrt(size), 0.0, math.inf, 0.0), zeta_score),
    "the threshold after that of least distance": (
        threshold, "_nearest", lambda s, a, t, true=threshold._nearest: (true(s, a, t)[0], true(s, a, t)[1] + 1), scan),
    "indices of the scan too large": (
        threshold, "_indices", lambda s, true=threshold._indices: (1.5 * true(s)[0], true(s)[1]), scan),
    "draws of another index": (zeta, "tail_probability", lambda x, m, a, true=zeta.tail_probability: true(x, m, a * 1.05), draws),
    "draws that end with the table": (tailsample, "_invert", lambda tails, p, alpha, start: np.full(tails.size, 1e3), draws),
    "the cut-off as if its variance existed": (tailrivals, "cutoff_p_value", lambda t, alpha: tailrivals.half_chi_square(t), cutoff_law),
    "a whole chi-square": (tailrivals, "half_chi_square", scaled(tailrivals.half_chi_square, 2.0), cutoff_law),
    "an exponent inverted": (tailrivals, "_log_kanter", lambda u, a, true=tailrivals._log_kanter: -true(u, a), cutoff_law),
    "dt in place of dx": (
        tailrivals, "_log_normaliser",
        lambda name, a, b, x, whole, true=tailrivals._log_normaliser: true(name, a + whole, b, x, whole), lognormal_ratio),
    "a sum that ends with its terms": (
        tailrivals, "_log_gauss", lambda a, b, true=tailrivals._log_gauss: true(a, b) - 0.01, lognormal_ratio),
    "the law of all leaves, seen or not": (sampledpareto, "at_least", lambda counts, alpha, floor: 1.0, sampled_law),
    "Gamma(c) for c!": (sampledpareto, "_log_ratio", lambda c, a, y, lower, true=sampledpareto._log_ratio: true(c, a, y, 0), sampled_law),
    "samples keep the index of the data": (tailtest, "most_likely_index", lambda tail, x_m: 1.5, goodness),
    "samples of a heavier law": (tailtest, "draw_tail", lambda n, x, a, w, r: Sample.of(x + r.exponential(1 / a, n), w), goodness),
    "every test passes": (assumption, "_passes", lambda *args: True, controls),
    "no test passes": (assumption, "_passes", lambda *args: False, controls),
}  # fmt: skip


@pytest.mark.parametrize("check", sorted({mutant[3] for mutant in MUTANTS.values()}, key=lambda f: f.__name__))
def test_nothing_is_red_while_nothing_is_broken(check):
    assert check()


@pytest.mark.parametrize("name", first_of_each(MUTANTS, 1, 3))
def test_a_broken_formula_is_seen(name, monkeypatch):
    module, attribute, broken, check = MUTANTS[name]
    monkeypatch.setattr(module, attribute, broken)
    try:
        seen = not check()
    except ArithmeticError:  # the fit says that it has no maximum
        seen = True
    assert seen
