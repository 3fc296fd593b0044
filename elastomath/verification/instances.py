"""The instances on which results are checked: exact masses, random mixtures, and values that share no code with the library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..certify.balls import Enclosure
from ..mixtures.masses import normalise, pareto_masses, union
from ..mixtures.mixture import Mixture

Rows = Sequence[Sequence[Fraction]]


def exact_rows(*rows: Sequence[int | Fraction]) -> list[list[Fraction]]:
    """Rows of counts as exact masses, each divided by its sum."""
    return [[Fraction(mass) / sum(row) for mass in row] for row in rows]


def exact_union(*parts: Sequence[Fraction]) -> list[Fraction]:
    """The union of equal parts, P_p = sum_j P_j / n, exactly."""
    return [sum(masses, start=Fraction(0)) / len(parts) for masses in zip(*parts, strict=True)]


def certified_instances() -> dict[str, tuple[list[list[Fraction]], list[Fraction]]]:
    """The instances on which R1-R5 are certified, as exact masses (rows) and volumes, the perturbation last.

    >>> sorted(certified_instances())[:3]
    ['Pareto floats, union of three', 'Pareto-like', 'four datasets']
    """
    squares = [Fraction(1, j * j) for j in range(1, 9)]
    pareto = exact_rows(squares, [squares[(5 * j) % 8] for j in range(8)], [squares[(3 * j + 1) % 8] for j in range(8)])
    parts = exact_rows([9, 4, 2, 1, 1, 1], [1, 2, 9, 1, 4, 1], [1, 1, 1, 9, 2, 4])
    draws = [[Fraction(float(mass)) for mass in pareto_masses(1.5, 24, seed=seed)] for seed in (1, 2, 3)]
    floats = exact_rows(*draws)
    quarter, half = Fraction(1, 4), Fraction(1, 2)
    return {
        "three leaves": (exact_rows([2, 1, 1], [0, 1, 1], [1, 0, 0]), [Fraction(10), Fraction(1), half]),
        "Pareto-like": (pareto, [Fraction(20), Fraction(1), Fraction(1, 10)]),
        "sparse": (
            exact_rows([1, 2, 0, 0, 3, 0, 1], [0, 1, 4, 0, 0, 2, 0], [0, 0, 1, 0, 5, 1, 0]),
            [Fraction(7, 3), Fraction(1), Fraction(2)],
        ),
        "union of three": ([exact_union(*parts), parts[1], parts[2]], [Fraction(100), Fraction(1), quarter]),
        "union of two": ([exact_union(*parts[:2]), parts[0], parts[1]], [Fraction(5), Fraction(1), half]),
        "large perturbation": (parts, [Fraction(1, 2), Fraction(1), Fraction(1000)]),
        "not covered": (  # the last leaf is P_t's alone: H_t(0) is infinite, and so is the bound
            exact_rows([1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 2]),
            [Fraction(8), Fraction(1), Fraction(1, 3)],
        ),
        "in another unit": (exact_rows([2, 1, 1], [1, 5, 4], [8, 1, 1]), [Fraction(20), Fraction(2), Fraction(1)]),
        "four datasets": (
            [*pareto, exact_rows([1, 1, 1, 1, 2, 2, 0, 0])[0]],
            [Fraction(3), Fraction(1), Fraction(1, 2), Fraction(4, 3)],
        ),
        "Pareto floats, union of three": (
            [exact_union(*floats), floats[1], floats[2]],
            [Fraction(10), Fraction(1), quarter],
        ),
    }


def exact_overlaps(rows: Rows, volumes: Sequence[Fraction]) -> list[Fraction]:
    """``O_i = sum_x P_i P_t / q`` in exact fractions, from the definition; shape (n,).

    >>> exact_overlaps([[Fraction(1, 2)] * 2, [Fraction(1), Fraction(0)]], [Fraction(1), Fraction(1)])
    [Fraction(2, 3), Fraction(4, 3)]
    """
    total = sum(volumes)
    out = [Fraction(0) for _ in rows]
    for masses in zip(*rows, strict=True):
        joint = sum((w * p for w, p in zip(volumes, masses, strict=True)), start=Fraction(0)) / total
        if joint:
            out = [o + p * masses[-1] / joint for o, p in zip(out, masses, strict=True)]
    return out


def as_floats(rows: Rows, volumes: Sequence[Fraction]) -> Mixture:
    """The mixture as the library takes it."""
    return Mixture.of([[float(mass) for mass in row] for row in rows], [float(volume) for volume in volumes])


def meets(enclosure: Enclosure | None, value: float) -> bool:
    """Whether a fraction, rounded to the nearest float, can lie in the enclosure (one float of room on each side)."""
    if enclosure is None:
        return False
    return math.nextafter(enclosure.low, -math.inf) <= value <= math.nextafter(enclosure.high, math.inf)


def whole_rows(*rows: Sequence[int]) -> tuple[tuple[Fraction, ...], ...]:
    """`exact_rows` as tuples, for an instance that is kept."""
    return tuple(tuple(row) for row in exact_rows(*rows))


def sample_mixture(rng: np.random.Generator, datasets: int = 3) -> Mixture:
    """A random mixture to test laws on: smooth, sparse, Pareto, unions and near-equal datasets, volumes over many decades.

    2 to 64 leaves; k from 1e-2 to 1e4, l from 1e-3 to 1e2, every volume > 0, in a unit from 1e-3 to 1e3 of |D_a|; P_t is
    always covered at l > 0.

    >>> sample_mixture(np.random.default_rng(0)).components.shape[0]
    3
    """
    leaves = int(rng.integers(2, 65))
    kind = rng.choice(["smooth", "sparse", "pareto", "union", "near"])
    if kind == "pareto":
        rows = [pareto_masses(1.0 + rng.uniform(0.1, 3.0), leaves, rng) for _ in range(datasets)]
    elif kind == "sparse":
        rows = [normalise(rng.random(leaves) * (rng.random(leaves) < 0.4) + 1e-300) for _ in range(datasets)]
        rows = [normalise(np.where(row > 1e-200, row, 0.0)) if row.max() > 1e-200 else row for row in rows]
    elif kind == "near":
        base = rng.dirichlet(np.ones(leaves))
        rows = [
            normalise(base * (1 + 10.0 ** rng.uniform(-4, -1) * rng.uniform(-1, 1, leaves))) for _ in range(datasets)
        ]
    else:
        rows = [normalise(rng.gamma(0.3, size=leaves) + 1e-12) for _ in range(datasets)]
    if kind == "union":
        rows[0] = union([rng.dirichlet(np.ones(leaves)), *rows[1:]])
    volumes = np.array([10.0 ** rng.uniform(-2, 4), *([1.0] * (datasets - 2)), 10.0 ** rng.uniform(-3, 2)])
    return Mixture.of(rows, volumes * 10.0 ** rng.uniform(-3, 3))


def direct_codes(rows: Array, volumes: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """H(P_i, q) from the definition, one dataset at a time, for complex volumes: shape (n,)."""
    joint = (volumes[:, None] * rows).sum(axis=0) / volumes.sum()
    return np.array([-(row[row > 0] * np.log(joint[row > 0])).sum() for row in rows])


def direct_derivatives(mixture: Mixture) -> Array:
    """dH_i/dl by a complex step in l: the imaginary part of H_i(l + ih)/h, exact to rounding for h = 1e-30."""
    volumes = mixture.volumes.astype(np.complex128)
    volumes[-1] += 1e-30j
    return np.asarray(direct_codes(mixture.components, volumes).imag / 1e-30, dtype=np.float64)


def direct_overlaps(mixture: Mixture) -> list[float]:
    """O_i = sum_x P_i P_t / q from the definition, summed without rounding; shape (n,)."""
    total = math.fsum(mixture.volumes)
    joint = [math.fsum(w * p for w, p in zip(mixture.volumes, column, strict=True)) for column in mixture.components.T]
    perturb = mixture.components[-1]
    return [
        math.fsum(p * t * total / m for p, t, m in zip(row, perturb, joint, strict=True) if m > 0)
        for row in mixture.components
    ]


def random_volumes(rng: np.random.Generator) -> tuple[Fraction, ...]:
    """Volumes (k, 1, l) with k from 1 to 99 and l from 0.1 to 1.9, exact."""
    return Fraction(int(rng.integers(1, 100))), Fraction(1), Fraction(int(rng.integers(1, 20)), 10)
