"""Samples of leaf masses or counts: distinct values with their multiplicities, and draws of Pareto and zeta laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import COUNT, FINITE, POSITIVE, SEED, an, as_array, checked
from ..errors import InputError
from . import zeta


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Positive values with their multiplicities, rising: what every estimate here needs, however large the ties.

    ``values``  (U,): the distinct values, rising, > 0
    ``below``   (U + 1,): how many observations are smaller than each value; the last entry is n, the number of all
    ``whole``   the values are whole numbers (counts), so that a law on whole numbers is fitted

    >>> Sample.of([3, 1, 1]).below
    array([0, 2, 3])
    """

    values: Array
    below: NDArray[np.int64]
    whole: bool

    @classmethod
    def of(cls, values: ArrayLike | Sample, whole: bool | None = None) -> Sample:
        """Sort and count; ``whole``: as the type of the array has it, unless told.

        Raises InputError for values that are not finite, not > 0, not whole where they should be, or none.
        """
        if isinstance(values, Sample):
            return values
        try:
            given = as_array(values, "values", "tail")
            if given.dtype.kind not in "iufb":
                raise TypeError(given.dtype.name)
            numbers = given.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("values are not numbers", where="tail", mend="pass an array of numbers") from error
        if numbers.ndim != 1 or numbers.size == 0:
            raise InputError(f"values have shape {numbers.shape}", where="tail", mend="pass one dimension, not empty")
        whole = given.dtype.kind in "iu" if whole is None else whole
        for wrong, rule in (
            (~np.isfinite(numbers), "values have to be finite"),
            (numbers <= 0, "values have to be > 0: leave out leaves without mass"),
            ((numbers != np.floor(numbers)) & whole, "counts have to be whole"),
            ((numbers > 2.0**53) & whole, "counts have to be below 2^53"),
        ):
            if wrong.any():
                at = int(np.argmax(wrong))
                raise InputError(f"value {at} is {numbers[at]:g}", where="tail", mend=rule)
        distinct, multiplicities = np.unique(numbers, return_counts=True)
        return cls.tallied(distinct, multiplicities, whole)

    @classmethod
    def tallied(cls, values: Array, multiplicities: ArrayLike, whole: bool) -> Sample:
        """From rising distinct values and how often each occurs; values that never occur are left out."""
        times = np.asarray(multiplicities, dtype=np.int64)
        positive = times > 0
        return cls(values[positive], np.concatenate([[0], np.cumsum(times[positive])]), whole)

    @property
    def size(self) -> int:
        """n, the number of observations."""
        return int(self.below[-1])

    @property
    def multiplicities(self) -> NDArray[np.int64]:
        """How often each value occurs, shape (U,)."""
        return np.diff(self.below)

    @property
    def sum(self) -> float:
        """The sum of the observations."""
        return float(self.values @ self.multiplicities)

    @checked(threshold=FINITE)
    def tail(self, threshold: float) -> Sample:
        """The observations >= threshold. Raises InputError where there is none."""
        first = int(np.searchsorted(self.values, threshold))
        if first == self.values.size:
            raise InputError(f"no value >= {threshold:g}", where="tail", mend="lower the threshold")
        return Sample(self.values[first:], self.below[first:] - self.below[first], self.whole)


@checked(size=COUNT, threshold=POSITIVE, alpha=POSITIVE, whole=an(bool), seed=SEED)
def draw_tail(size: int, threshold: float, alpha: float, whole: bool, seed: int | np.random.Generator = 0) -> Sample:
    """A seeded sample of ``size`` values of a Pareto law above the threshold, or of a zeta law, by inversion.

    >>> draw_tail(1000, 5, 1.5, whole=True, seed=1).values[:3]
    array([5., 6., 7.])
    """
    if whole:
        return draw_counts(size, threshold, lambda x: zeta.tail_probability(x, threshold, alpha), alpha, seed)
    uniform = 1.0 - np.random.default_rng(seed).random(size)  # in (0, 1]
    return Sample.of(threshold * uniform ** (-1.0 / alpha), whole=False)


def draw_counts(
    size: int,
    least: float,
    tail_probability: Callable[[Array], Array],
    alpha: float,
    seed: int | np.random.Generator = 0,
) -> Sample:
    """A seeded sample of a law on ``least``, least + 1, ... given by ``Pr[X >= x]``, whose tail falls like x^-alpha.

    Cells of a table are drawn as a multinomial, what lies beyond it by bisection. Counts end at 2^53.
    """
    rng = np.random.default_rng(seed)
    edges = least + np.arange(_TABLE + 1.0)
    above = tail_probability(edges)
    cells = np.maximum(np.append(-np.diff(above), above[-1]), 0.0)
    times = rng.multinomial(size, cells / cells.sum())
    far = int(times[-1])
    if not far:
        return Sample.tallied(edges[:-1], times[:-1], True)
    tails = above[-1] * (1.0 - rng.random(far))
    values, more = np.unique(_invert(tails, tail_probability, alpha, float(edges[-1])), return_counts=True)
    return Sample.tallied(np.concatenate([edges[:-1], values]), np.concatenate([times[:-1], more]), True)


_TABLE = 4096
_LARGEST_COUNT = 2.0**53


def _invert(tails: Array, tail_probability: Callable[[Array], Array], alpha: float, start: float) -> Array:
    """The largest whole x >= start with ``Pr[X >= x] >= tail``, for each of the tails."""
    low = np.full(tails.size, start)
    high = np.full(tails.size, _LARGEST_COUNT)
    with np.errstate(over="ignore"):
        guess = np.ceil(2.0 * start * (tails / float(tail_probability(np.array([start]))[0])) ** (-1.0 / alpha) + 2.0)
    guess = np.minimum(guess, _LARGEST_COUNT)
    high = np.where(tail_probability(guess) < tails, guess, high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2.0)
        reaches = tail_probability(middle) >= tails
        low, high = np.where(reaches, middle, low), np.where(reaches, high, middle)
        high = np.maximum(high, low + 1)
    return low
