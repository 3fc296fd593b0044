"""What is summed over leaves, beside plain numpy, both on one core: 100, 1e5 and 1e6 leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.case import Case
from elastomath import Mixture, chi_square, kl_divergence, normalise, overlap
from elastomath.laws.ceilings import rises
from elastomath.laws.finite import mixture_residual
from elastomath.laws.springs import springs
from elastomath.mixtures import kernels

Array = NDArray[np.float64]
VOLUMES = np.array([10.0, 1.0, 0.5])
LEAVES = "leaves, one core"
"""How the names of these cases end."""
STEPS = np.array([0.0, 0.1, 1.0])


def cases(scale: float = 1.0) -> Iterator[Case]:
    """Every sum at 1e5 and 1e6 leaves, and at 100, where calls and checks are what is paid."""
    for leaves in (100, int(100_000 * scale), int(1_000_000 * scale)):
        yield from leaf_cases(leaves)


def leaf_cases(leaves: int) -> Iterator[Case]:
    """Each sum on one core, and the formula as one writes it in numpy, without checks."""
    rows = 1.0 + np.random.default_rng(0).pareto(1.5, (3, leaves))
    rows /= rows.sum(axis=1, keepdims=True)
    mixture, counts = Mixture.of(rows, VOLUMES), rows[0] * 1e6
    p, other, q = rows

    def our_springs() -> list[Any]:
        found = springs(mixture, STEPS)
        return [found.elongations, found.reverse, found.fall[None], found.energy[None]]

    def our_rises() -> Array:
        found = rises(mixture)
        return np.stack([found.rise, found.low, found.high])

    sums: tuple[tuple[str, Callable[[], Any], Callable[[], Any]], ...] = (
        ("springs", our_springs, lambda: _springs(rows)),
        ("normalise", lambda: normalise(counts), lambda: counts / counts.sum()),
        ("kl_divergence", lambda: kl_divergence(p, q), lambda: (p * np.log(p / q)).sum()),
        ("kl_forward", mixture.kl_forward, lambda: _forward(rows)),
        ("cross_entropies", mixture.cross_entropies, lambda: _cross(rows, VOLUMES)),
        ("mixture_residual", lambda: mixture_residual(mixture, 1.0), lambda: _residual(rows)),
        ("rises", our_rises, lambda: _rises(rows)),
        ("chi_square", lambda: chi_square(p, q), lambda: ((p - q) ** 2 / q).sum()),
        ("overlap", lambda: overlap(p, other, q), lambda: (p * other / q).sum()),
    )
    for name, ours, plain in sums:
        yield Case(
            f"{name}, {leaves:.0e} {LEAVES}",
            ours if leaves < kernels.THREADS_FROM else _on_one_core(ours),
            {"numpy": plain},
            _numbers,
            tolerance=1e-6,
            brief=True,
        )


def _on_one_core(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call with this process held on one core: the loops ask how many there are."""

    def held() -> Any:
        all_cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(all_cores)})
        try:
            return call()
        finally:
            os.sched_setaffinity(0, all_cores)

    return held if hasattr(os, "sched_setaffinity") else call


def _numbers(answer: Any) -> Array:
    """One row of numbers; differences near 0, which plain numpy has lost, count by the largest."""
    flat = np.concatenate([np.ravel(part) for part in (answer if isinstance(answer, list) else [answer])])
    return np.asarray(np.where(np.abs(flat) < 1e-9 * np.abs(flat).max(), 0.0, flat))


def _joint(rows: Array, volumes: Array) -> Array:
    return np.asarray(volumes / volumes.sum() @ rows)


def _cross(rows: Array, volumes: Array) -> Array:
    log = np.log(_joint(rows, volumes))
    return np.array([-(row * log).sum() for row in rows])


def _forward(rows: Array) -> Array:
    q = _joint(rows, VOLUMES)
    return np.array([(row * np.log(row / q)).sum() for row in rows])


def _at(step: float) -> Array:
    return np.array([*VOLUMES[:-1], step])


def _residual(rows: Array) -> float:
    start, end = _joint(rows, _at(0.0)), _joint(rows, _at(1.0))
    return float(VOLUMES[:-1].sum() * (start * np.log(start / end)).sum())


def _springs(rows: Array) -> list[Any]:
    """Changes of rates and of both divergences along the steps."""
    rates, reverse = [], []
    for step in STEPS:
        q = _joint(rows, _at(step))
        log = np.log(q)
        rates.append([-(row * log).sum() for row in rows])
        reverse.append([(q * np.log(q / row)).sum() for row in rows[:-1]])
    moved, apart = np.array(rates).T, np.array(reverse).T
    moved, apart = moved - moved[:, :1], apart - apart[:, :1]
    return [moved[:-1], apart, -moved[-1:], VOLUMES[None, :-1] @ moved[:-1]]


def _rises(rows: Array) -> Array:
    start, end, step, base = _joint(rows, _at(0.0)), _joint(rows, VOLUMES), VOLUMES[-1], VOLUMES[:-1].sum()
    log = np.log(start / end)
    rise = np.array([(row * log).sum() for row in rows])
    before = np.array([(row * rows[-1] / start).sum() for row in rows])
    after = np.array([(row * rows[-1] / end).sum() for row in rows])
    return np.stack(
        [rise, -np.log((base + step * before) / (base + step)), np.log((base + step - step * after) / base)]
    )
