"""Divergences, rates and response, paths: beside numpy, scipy, and reading the masses once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.case import Case
from elastomath import Mixture, cross_entropy, entropy, kl_divergence, overlap, path_entropies
from elastomath.laws.response import Survey, survey
from elastomath.mixtures import kernels
from elastomath.mixtures.divergence import jensen_shannon


def cases(scale: float = 1.0) -> Iterator[Case]:
    """Divergences on 4e6 leaves, rates and response of three datasets on 1e7, rates along a path on 4e5."""
    rng = np.random.default_rng(0)
    yield from _divergences(rng, int(4_000_000 * scale))
    yield from _surveys(rng, int(10_000_000 * scale))
    yield _path(rng, int(400_000 * scale))


def _divergences(rng: np.random.Generator, leaves: int) -> Iterator[Case]:
    from scipy import stats
    from scipy.spatial import distance

    p, q, other = (row / row.sum() for row in 1.0 + rng.pareto(1.5, (3, leaves)))
    cores = f"{leaves:.0e} leaves, {kernels.cores()} cores"
    yield Case(
        f"entropy, {cores}",
        lambda: entropy(p),
        {"numpy": lambda: -(p * np.log(p)).sum(), "scipy.stats.entropy": lambda: stats.entropy(p)},
    )
    yield Case(
        f"cross entropy, {cores}",
        lambda: cross_entropy(p, q),
        {"numpy": lambda: -(p * np.log(q)).sum()},
    )
    yield Case(
        f"KL divergence, {cores}",
        lambda: kl_divergence(p, q),
        {"numpy": lambda: (p * np.log(p / q)).sum(), "scipy.stats.entropy": lambda: stats.entropy(p, q)},
    )
    yield Case(
        f"Jensen-Shannon, {cores}",
        lambda: jensen_shannon([p, q]),
        {"scipy jensenshannon": lambda: distance.jensenshannon(p, q) ** 2},
    )
    yield Case(
        f"overlap, {leaves:.0e} leaves",
        lambda: overlap(p, other, q),
        {"numpy": lambda: (p * other / q).sum()},
    )


def _surveys(rng: np.random.Generator, leaves: int) -> Iterator[Case]:
    """Rates and full response of three datasets in one call; the floor is one sum over the three arrays."""
    rows = 1.0 + rng.pareto(1.5, (3, leaves))
    rows /= rows.sum(axis=1, keepdims=True)
    mixture = Mixture.of(rows, [10, 1, 0.5])

    def plainly(divergences: bool) -> list[Any]:
        q = mixture.masses
        rates = [-(row @ np.log(q)) for row in rows]
        overlaps = [((row / q) @ rows[-1]) for row in rows]
        squares = [((row - q) ** 2 / q).sum() for row in rows]
        if not divergences:
            return [rates, overlaps, squares]
        apart = [np.log(row / q) for row in rows]
        forward = [row @ log for row, log in zip(rows, apart, strict=True)]
        return [rates, overlaps, squares, forward, [-(q @ log) for log in apart]]

    def numbers(answer: Survey | list[Any]) -> list[Any]:
        if isinstance(answer, list):
            return answer
        more = [] if answer.kl_forward is None else [answer.kl_forward, answer.kl_reverse]
        return [answer.cross_entropies, answer.response.overlaps, answer.chi_squares, *more]

    for divergences, name in ((False, "rates and response"), (True, "the same and KL both ways")):
        for threads in sorted({kernels.cores(), 1}, reverse=True):
            yield Case(
                f"{name}, 3 x {leaves:.0e}, threads: {threads}",
                functools.partial(survey, mixture, divergences=divergences, threads=threads),
                {"numpy": functools.partial(plainly, divergences)},
                numbers,
                floors={"reading the arrays once": functools.partial(reading, rows, threads)},
            )


def reading(rows: np.ndarray[Any, np.dtype[np.float64]], threads: int) -> float:
    """The sum of an array, vectorised, in the threads and pieces of our own loops: what reading it takes at least."""
    flat = rows.reshape(-1)
    kernel = _sum_kernel()
    parts = np.zeros(-(-flat.size // kernels.CHUNK))

    def work(first: int, last: int) -> None:
        parts[first] = kernel(flat[first * kernels.CHUNK : last * kernels.CHUNK])

    kernels.in_threads(work, flat.size, threads)
    return float(parts.sum())


@functools.cache
def _sum_kernel() -> Callable[..., float]:
    import numba

    @numba.njit(nogil=True, fastmath={"reassoc", "nsz"})  # type: ignore[untyped-decorator]
    def total(values: Any) -> float:
        found = 0.0
        for j in range(values.size):
            found += values[j]
        return found

    return total  # type: ignore[no-any-return]


def _path(rng: np.random.Generator, leaves: int) -> Case:
    rows = 1.0 + rng.pareto(1.5, (3, leaves))
    mixture, steps = Mixture.of(rows / rows.sum(axis=1, keepdims=True), [10, 1, 0]), np.linspace(0, 3, 11)

    def one_by_one() -> Any:
        found = []
        for step in steps:
            q = mixture.at(step).masses
            found.append([-(row * np.log(q)).sum() for row in mixture.components])
        return np.array(found).T

    return Case(
        f"three rates along 11 perturbations, {leaves:.0e} leaves",
        lambda: path_entropies(mixture, steps),
        {"numpy, one l at a time": one_by_one},
    )
