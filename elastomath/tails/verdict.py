"""Assumption A.7, tried: do the leaf masses of a token tree follow a Pareto law with a mean, at each depth?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..trees.tokentree import TokenTree
from .fit import TailFit
from .goodness import GoodnessOfFit, goodness_of_fit
from .rivals import ALTERNATIVES, LikelihoodRatio, likelihood_ratio
from .sample import Sample
from .sampled import SampledPareto, fit_sampled_pareto, sampled_p_value

HOLDS, TAIL_ONLY, REJECTED = "not rejected", "tail only", "rejected"
"""The verdicts: for all leaves; only above a threshold; not even there."""
LEAST_TAIL = 50
"""The smallest tail that is looked at: below it nothing can be rejected."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one set of leaves says of A.7. The random variable is the mass (or count) of a leaf drawn uniformly.

    ``depth``     layers kept, or None; ``leaves`` M; ``total`` the sum of the counts, or of the masses
    ``whole``     the law over all leaves (threshold: the smallest value), ``whole_p`` its goodness of fit
    ``tail``      the law above the threshold that the scan chose, ``tail_p`` its goodness of fit, the threshold chosen anew
                  in every sample; ``tail_interval`` of alpha has the error of the threshold in it
    ``tail_mass`` share of the mass that lies in the tail
    ``sampled``   counts only: Pareto *masses* under Poisson sampling, over all leaves that were seen; ``sampled_p``
    ``whole_rivals``, ``tail_rivals``  Pareto against each alternative, over all leaves and in the tail
    ``level``     of the intervals, and 1 minus that of the tests. ``p_errors``: Monte Carlo, of whole, tail, sampled
    """

    depth: int | None
    leaves: int
    total: float
    whole: TailFit
    whole_p: float
    tail: TailFit
    tail_p: float
    tail_interval: tuple[float, float]
    tail_mass: float
    sampled: SampledPareto | None
    sampled_p: float | None
    whole_rivals: tuple[LikelihoodRatio, ...]
    tail_rivals: tuple[LikelihoodRatio, ...]
    level: float
    p_errors: tuple[float, float, float | None]

    @property
    def whole_fits(self) -> bool:
        """Three tests of the law over all leaves, each at a third of 1 - level: its distance, lognormal, cut-off."""
        return _passes(self.whole_p, self.whole_rivals, self.level)

    @property
    def tail_fits(self) -> bool:
        """The same in the tail."""
        return _passes(self.tail_p, self.tail_rivals, self.level)

    @property
    def sampled_fits(self) -> bool | None:
        """Whether the counts may come from Pareto masses, at 1 - level; None for numbers."""
        return None if self.sampled_p is None else self.sampled_p >= 1.0 - self.level

    @property
    def verdict(self) -> str:
        """``not rejected`` where the law, or for counts the sampled law, passes over all leaves; ``tail only``; ``rejected``."""
        if self.whole_fits or self.sampled_fits:
            return HOLDS
        return TAIL_ONLY if self.tail_fits else REJECTED

    @property
    def sampled_interval(self) -> tuple[float, float] | None:
        """Interval of the index of the masses at ``level``, of the sampled law (normal in ln alpha)."""
        if self.sampled is None:
            return None
        from scipy.special import ndtri

        spread = float(ndtri(0.5 + self.level / 2.0)) * self.sampled.standard_error / self.sampled.alpha
        return float(self.sampled.alpha * np.exp(-spread)), float(self.sampled.alpha * np.exp(spread))

    @property
    def mean_exists(self) -> bool | None:
        """Whether alpha > 1, as A.7 has it; None where the data do not say.

        By the interval of the law that fits: that over all leaves, else of the masses behind counts, else of the tail.
        Where none fits, the intervals of the tail and of the masses have to agree.
        """
        intervals = [self.tail_interval]
        if self.whole_fits:
            intervals = [(self.whole.low, self.whole.high)]
        elif self.sampled_interval is not None and self.sampled_fits:
            intervals = [self.sampled_interval]
        elif self.sampled_interval is not None and not self.tail_fits:
            intervals.append(self.sampled_interval)
        if min(low for low, _ in intervals) > 1.0:
            return True
        return False if max(high for _, high in intervals) < 1.0 else None

    @property
    def better(self) -> str | None:
        """The alternative that is favoured over Pareto in the tail with the largest likelihood, or None."""
        better = [rival for rival in self.tail_rivals if rival.favoured == rival.alternative]
        return max(better, key=lambda rival: rival.log_ratio).alternative if better else None

    def row(self) -> dict[str, object]:
        """One flat row for a table or JSON."""
        sampled, ends = self.sampled, self.sampled_interval or (None, None)
        return {
            "depth": self.depth,
            "leaves": self.leaves,
            "total": self.total,
            "verdict": self.verdict,
            "mean_exists": self.mean_exists,
            "whole_alpha": self.whole.alpha,
            "whole_low": self.whole.low,
            "whole_high": self.whole.high,
            "whole_distance": self.whole.distance,
            "whole_p": self.whole_p,
            "threshold": self.tail.threshold,
            "tail": self.tail.tail,
            "tail_mass": self.tail_mass,
            "tail_alpha": self.tail.alpha,
            "tail_low": self.tail_interval[0],
            "tail_high": self.tail_interval[1],
            "tail_distance": self.tail.distance,
            "tail_p": self.tail_p,
            "sampled_alpha": sampled.alpha if sampled else None,
            "sampled_low": ends[0],
            "sampled_high": ends[1],
            "sampled_floor": sampled.floor if sampled else None,
            "sampled_seen": sampled.observed if sampled else None,
            "sampled_distance": sampled.distance if sampled else None,
            "sampled_p": self.sampled_p,
            "better": self.better,
            **{f"tail_{rival.alternative}": rival.log_ratio for rival in self.tail_rivals},
            **{f"tail_{rival.alternative}_p": rival.p_value for rival in self.tail_rivals},
        }


def pareto_verdict(
    source: TokenTree | Mapping[int, ArrayLike] | ArrayLike,
    depths: Sequence[int] | None = None,
    *,
    samples: int = 100,
    seed: int = 0,
    level: float = 0.95,
    least_tail: int = LEAST_TAIL,
) -> list[Verdict]:
    """A.7 for a token tree at several depths: Pareto over all leaves, in the tail, as masses behind sampled counts.

    A.7: ``Pr[Y > y] = (y/y_m)^-alpha`` with alpha > 1, Y the mass of a leaf drawn uniformly from the M leaves, masses X = Y/M
    with E[Y] = 1. Dividing by the sum changes y_m, not alpha, so counts and masses are asked the same question; but counts are
    whole, start at 1 (a leaf that was not seen is no leaf) and carry sampling noise, so integer counts are fitted by
    the zeta law and, for the masses behind them, by `elastomath.tails.sampled`. (A leaf drawn by its own mass has
    index alpha - 1.) ``alpha <= 1`` contradicts A.7's mean: Zipf's law with exponent s has alpha = 1/s.
    ``source``: a tree, which is pruned to each of ``depths`` (its own by default); counts or masses by depth; or one
    array of counts (integers) or masses (floats). p-values are from ``samples`` bootstrap samples, so none is below
    1/(samples + 1), which has to be less than (1 - level)/3.

    A row for each depth, in the order given. Raises InputError for depths that the source lacks, bad values, too few samples,
    and fewer than ``least_tail`` leaves.

    >>> from elastomath import pareto_masses
    >>> (row,) = pareto_verdict(pareto_masses(1.5, 2000, seed=3), samples=99)
    >>> row.verdict, row.mean_exists, abs(row.whole.alpha - 1.5) < 0.1
    ('not rejected', True, True)
    >>> (row,) = pareto_verdict(np.exp(2 * np.random.default_rng(0).normal(size=2000)), samples=99)
    >>> row.verdict, row.better
    ('rejected', 'cutoff')
    """
    if not 0.0 < level < 1.0 or (1.0 - level) * (samples + 1) < 3:
        raise InputError(
            f"{samples} samples at level {level:g}", where="A.7", mend="draw more than 3/(1 - level), 0 < level < 1"
        )
    return [
        _verdict(depth, Sample.of(counts), samples, seed, level, least_tail)
        for depth, counts in _by_depth(source, depths)
    ]


def _passes(p_value: float, rivals: tuple[LikelihoodRatio, ...], level: float) -> bool:
    """No test of Pareto's law rejects it, at a third of 1 - level each (Bonferroni)."""
    return 3.0 * min(p_value, *(rival.p_value for rival in rivals)) >= 1.0 - level


def _by_depth(
    source: TokenTree | Mapping[int, ArrayLike] | ArrayLike, depths: Sequence[int] | None
) -> list[tuple[int | None, ArrayLike]]:
    if isinstance(source, TokenTree):
        return [(depth, source.prune(depth).counts) for depth in depths or [source.depth]]
    if isinstance(source, Mapping):
        missing = [depth for depth in depths or [] if depth not in source]
        if missing:
            raise InputError(
                f"no counts at depth {missing[0]}", where="A.7", mend=f"give them, or ask for {sorted(source)}"
            )
        return [(depth, source[depth]) for depth in depths or list(source)]
    if depths is not None:
        raise InputError("depths without a tree", where="A.7", mend="pass a TokenTree, or counts by depth")
    return [(None, source)]


def _verdict(depth: int | None, sample: Sample, samples: int, seed: int, level: float, least_tail: int) -> Verdict:
    if sample.size < least_tail or sample.values.size < 2:
        raise InputError(
            f"{sample.size} leaves, {sample.values.size} different masses",
            where="A.7" if depth is None else f"A.7 at depth {depth}",
            mend=f"at least {least_tail} leaves of different masses are needed",
        )
    streams = [np.random.default_rng([seed, depth or 0, part]) for part in range(3)]
    whole = goodness_of_fit(sample, "least", samples=samples, seed=streams[0], level=level)
    tail: GoodnessOfFit = goodness_of_fit(
        sample, "scan", samples=samples, seed=streams[1], level=level, least_tail=least_tail
    )
    above = sample.tail(tail.fit.threshold)
    sampled, sampled_p, sampled_error = None, None, None
    if sample.whole:
        sampled = fit_sampled_pareto(sample)
        sampled_p, sampled_error = sampled_p_value(sampled, samples, streams[2])
    return Verdict(
        depth,
        sample.size,
        sample.sum,
        whole.fit,
        whole.p_value,
        tail.fit,
        tail.p_value,
        tail.interval(level),
        above.sum / sample.sum,
        sampled,
        sampled_p,
        tuple(likelihood_ratio(sample, name) for name in ALTERNATIVES),
        tuple(likelihood_ratio(sample, name, tail.fit.threshold) for name in ALTERNATIVES),
        level,
        (whole.p_error, tail.p_error, sampled_error),
    )
