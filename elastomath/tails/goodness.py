"""Does a Pareto tail fit? The distance of the data beside those of samples of the fitted law, thresholds chosen anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import COUNT, SEED, SHARE, checked, choice, positive
from .fit import TailFit, fit_tail, largest_gap, most_likely_index
from .sample import Sample, draw_tail
from .threshold import best_of_scan, scan_threshold


@dataclass(frozen=True, slots=True, eq=False)
class GoodnessOfFit:
    """A fit, and what samples of it give.

    ``fit``         of the data
    ``p_value``     ``(1 + #{D* >= D}) / (1 + samples)``: the share of samples that lie at least as far from their own fit
    ``p_error``     its Monte Carlo standard error, ``sqrt(p (1-p) / samples)``
    ``chosen``      the threshold was chosen by the scan, in the data and in every sample
    ``thresholds``, ``alphas``, ``distances``  of the samples, shape (samples,)
    """

    fit: TailFit
    p_value: float
    p_error: float
    chosen: bool
    thresholds: Array
    alphas: Array
    distances: Array

    @property
    def standard_error(self) -> float:
        """The standard deviation of the samples' indices: with the error of the threshold, where it was chosen."""
        return float(np.std(self.alphas, ddof=1)) if self.alphas.size > 1 else math.nan

    @checked(level=SHARE)
    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Basic bootstrap interval of alpha in its logarithm: ``alpha^2 / alpha*`` at the quantiles of the samples.

        >>> found = goodness_of_fit(1.0 + np.random.default_rng(0).pareto(1.5, 400), 1.0, samples=99)
        >>> low, high = found.interval(0.9)
        >>> low < found.fit.alpha < high
        True
        """
        ends = np.quantile(self.alphas, [(1.0 + level) / 2.0, (1.0 - level) / 2.0])
        low, high = self.fit.alpha**2 / ends
        return float(low), float(high)


@checked(samples=COUNT, seed=SEED, least_tail=COUNT, level=SHARE)
def goodness_of_fit(
    values: ArrayLike | Sample,
    threshold: float | Literal["scan", "least"] = "scan",
    *,
    samples: int = 200,
    seed: int | np.random.Generator = 0,
    whole: bool | None = None,
    least_tail: int = 2,
    level: float = 0.95,
) -> GoodnessOfFit:
    """The semi-parametric bootstrap of Clauset, Shalizi and Newman (2009, section 4.1).

    ``threshold``: ``scan``: chosen by `scan_threshold`; a sample then has n values, each with probability tail/n from the
    fitted law above the threshold and else one of the observed values below it, and the threshold is chosen again in
    it. ``least``: the smallest value, that is, the law is to hold for all; a number: given from outside. Samples are then of
    the tail alone. In each the index is fitted again, so that D* is what D would be if the law held: P[p <= u] <= u under
    a Pareto law at ``least`` or a given threshold, exactly, for D* does not depend on the index; else up to the
    error of what was fitted. ``least_tail``: the smallest tail that the scans try.

    Shape (n,). Raises InputError for bad values, less than one sample, and where no tail can be fitted.

    >>> x = 1.0 + np.random.default_rng(0).pareto(1.5, 400)
    >>> y = np.exp(np.abs(np.random.default_rng(0).normal(size=400)))
    >>> goodness_of_fit(x, 1.0, samples=99).p_value > 0.05, goodness_of_fit(y, 1.0, samples=99).p_value
    (True, 0.01)
    """
    sample, rng = Sample.of(values, whole), np.random.default_rng(seed)
    chosen = threshold == "scan"
    if isinstance(threshold, str):
        choice(threshold, "threshold", "goodness_of_fit", ("scan", "least"))
    else:
        threshold = positive(threshold, "threshold", "goodness_of_fit")
    if chosen:
        fit = scan_threshold(sample, least_tail=least_tail, level=level).best
    else:
        fit = fit_tail(sample, None if isinstance(threshold, str) else threshold, level=level)
    first = int(np.searchsorted(sample.values, fit.threshold)) if chosen else 0
    body = int(sample.below[first])
    shares = sample.multiplicities[:first] / max(body, 1)
    refits = np.empty((samples, 3))
    for row in refits:
        tail = rng.binomial(sample.size, fit.tail / sample.size) if chosen else fit.tail
        drawn = draw_tail(tail, fit.threshold, fit.alpha, sample.whole, rng)
        if body:
            times = rng.multinomial(sample.size - tail, shares)
            drawn = Sample.tallied(
                np.concatenate([sample.values[:first], drawn.values]),
                np.concatenate([times, drawn.multiplicities]),
                sample.whole,
            )
        if chosen:
            row[:] = best_of_scan(drawn, least_tail)
        else:
            x_m = float(drawn.values[0]) if threshold == "least" else fit.threshold
            alpha = most_likely_index(drawn, x_m)
            row[:] = x_m, alpha, largest_gap(drawn, x_m, alpha)
    p_value = (1 + int((refits[:, 2] >= fit.distance).sum())) / (1 + samples)
    return GoodnessOfFit(fit, p_value, math.sqrt(p_value * (1.0 - p_value) / samples), chosen, *refits.T)
