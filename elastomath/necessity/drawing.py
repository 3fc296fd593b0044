"""Instances drawn at random, in batches, without one of the assumptions: a function `without_...` for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from .instance import IndependentLaws, Instance, Row, Volumes

Counts = NDArray[np.int64]
Found = Instance | IndependentLaws
BATCH = 2048
"""Random instances that are looked at together."""


@dataclass(frozen=True)
class Batch:
    """Random instances with the same volumes and shares, as arrays: counts (B, R, M), or laws (B, J)."""

    volumes: Volumes
    counts: Counts | None = None
    shares: Row = ()
    model: Counts | None = None
    laws: Counts | None = None

    def gaps(self) -> Array:
        """1 - O_i for pre-training, alignment and perturbation, in floats: shape (B, 3)."""
        data = self._datasets()
        weights = np.array([float(volume) for volume in self.volumes])
        if self.model is None:
            q = weights / weights.sum() @ data
        else:
            q = self.model / self.model.sum(axis=1, keepdims=True)
        share = np.divide(data[:, 2], q, out=np.zeros_like(q), where=q > 0)
        return np.asarray(1.0 - np.einsum("bim,bm->bi", data, share), dtype=np.float64)

    def _datasets(self) -> Array:
        if self.laws is not None:
            values = self.laws / self.laws.sum(axis=1, keepdims=True)
            count = values.shape[1]
            axes = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij")).reshape(3, -1)
            return np.asarray(values[:, axes] / count**2, dtype=np.float64)
        assert self.counts is not None
        rows = self.counts / self.counts.sum(axis=2, keepdims=True)
        if not self.shares:
            return np.asarray(rows, dtype=np.float64)
        weights = np.array(self.shares) / sum(self.shares)
        return np.concatenate([(weights @ rows)[:, None], rows[:, -2:]], axis=1)

    def totals(self) -> Counts:
        """The sum of all counts of each instance, shape (B,)."""
        if self.laws is not None:
            return np.asarray(self.laws.sum(axis=1))
        assert self.counts is not None
        extra = 0 if self.model is None else self.model.sum(axis=1)
        return np.asarray(self.counts.sum(axis=(1, 2)) + extra)

    def pick(self, index: int) -> Found:
        """One of the instances, exactly."""
        if self.laws is not None:
            return IndependentLaws(tuple(sorted(self.laws[index].tolist())), self.volumes)
        assert self.counts is not None
        model = () if self.model is None else tuple(self.model[index].tolist())
        return Instance(tuple(map(tuple, self.counts[index].tolist())), self.volumes, self.shares, model)


Draw = Callable[[np.random.Generator, int, str], Batch]
"""From a generator, a number of leaves (values of the law) and a part: random instances without the assumption."""


def count_rows(leaves: int, most: int) -> Counts:
    """All rows of counts with a sum from 1 to ``most`` and no common divisor: shape (rows, leaves)."""
    if most < 1:
        return np.zeros((0, leaves), dtype=np.int64)
    grid = np.stack(np.meshgrid(*[np.arange(most + 1)] * leaves, indexing="ij"), axis=-1).reshape(-1, leaves)
    grid = grid[(grid.sum(axis=1) >= 1) & (grid.sum(axis=1) <= most)]
    return np.asarray(grid[np.gcd.reduce(grid, axis=1) == 1], dtype=np.int64)


def _counts(rng: np.random.Generator, rows: int, leaves: int, k: int = 10) -> Counts:
    """Counts of shape (BATCH, rows, leaves): flat, heavy-tailed, sparse, and multiples of k; no row is empty."""
    shape = (BATCH, rows, leaves)
    flat = rng.integers(0, 6, shape)
    heavy = np.left_shift(1, rng.integers(0, 12, shape)) * (rng.random(shape) < 0.8)
    sparse = rng.integers(0, 2, shape)
    scaled = rng.choice([0, 1, k, k + 1], shape)
    kind = rng.integers(0, 4, (BATCH, 1, 1))
    counts = np.choose(kind, [flat, heavy, sparse, scaled])
    counts[..., 0] += counts.sum(axis=2) == 0
    return np.asarray(counts, dtype=np.int64)


def _volumes(rng: np.random.Generator, part: str) -> Volumes:
    """(k, 1, l) with a large k and a small l."""
    wide = part == "theta"  # on many families the ratio is 1/k
    k = Fraction(int(10.0 ** rng.uniform(1, 7)) if wide else int(rng.choice([10, 20, 100, 1000, 10_000])))
    return k, Fraction(1), Fraction(1, int(rng.choice([10, 20, 100])))


def without_union(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """P_p, P_a and P_t on their own; for the part "existence" P_t = q, where nothing moves."""
    volumes = _volumes(rng, part)
    counts = _counts(rng, 3, leaves, int(volumes[0]))
    if part == "existence":  # P_t = q: nothing moves
        base, k = counts[:, :2], int(volumes[0])
        totals = base.sum(axis=2)
        counts[:, 2] = k * base[:, 0] * totals[:, 1:] + base[:, 1] * totals[:, :1]
    return Batch(volumes, counts)


def without_difference(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """P_a = P_t, with a third part of D_p; for "existence" all three are equal."""
    counts = _counts(rng, 3, leaves)
    counts[:, 2] = counts[:, 1]
    if part == "existence":
        counts[:, 0] = counts[:, 1]
    return Batch(_volumes(rng, part), counts, (1, 1, 1))


def without_small_step(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """A union of two parts and a large l: about 1 for "theta", 1 for "existence"."""
    k, one, _ = _volumes(rng, part)
    size = int(10.0 ** rng.uniform(0, 7))
    step = Fraction(1) if part == "existence" else Fraction(size + 1, size) if part == "theta" else Fraction(size)
    return Batch((k, one, step), _counts(rng, 2, leaves), (1, 1))


def without_large_k(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """A union of two parts and a small k."""
    _, one, step = _volumes(rng, part)
    return Batch((Fraction(1, int(10.0 ** rng.uniform(0, 9))), one, step), _counts(rng, 2, leaves), (1, 1))


def without_coverage(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """P_t with leaves of its own, at l -> 0."""
    k, one, _ = _volumes(rng, part)
    counts = _counts(rng, 3, leaves, int(k))
    counts[:, :2, -1] = 0
    if leaves > 1:
        counts[:, 2, -1] += 1
        counts[:, :2, 0] += counts[:, :2].sum(axis=2) == 0
    else:
        counts[:, :2, 0] = 1
    return Batch((k, one, Fraction(0)), counts)


def without_optimum(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """A union of two parts, and a compressor anywhere."""
    counts = _counts(rng, 3, leaves)
    return Batch(_volumes(rng, part), counts[:, :2], (1, 1), counts[:, 2] + 1)


def with_third_part(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """A union of three parts; for "existence" P_t = q."""
    volumes = _volumes(rng, part)
    counts = _counts(rng, 3, leaves)
    if part == "existence":  # P_t = q
        base, k = counts[:, :2], int(volumes[0])
        totals = base.sum(axis=2)
        counts[:, 2] = k * base[:, 0] * totals[:, 1:] + (k + 3) * base[:, 1] * totals[:, :1]
    return Batch(volumes, counts, (1, 1, 1))


def with_third_part_alike(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """A union of three parts with the same power-law masses in another order."""
    ranks = np.arange(1, leaves + 1)
    power = int(rng.integers(1, 4))
    masses = np.lcm.reduce(ranks) ** power // ranks**power  # in proportion to rank^-power
    counts = rng.permuted(np.broadcast_to(masses, (BATCH, 3, leaves)), axis=2)
    return Batch(_volumes(rng, part), np.asarray(counts, dtype=np.int64), (1, 1, 1))


def without_equal_parts(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """A union of two parts of unequal shares, beyond or at the threshold l = pi_t/pi_a."""
    volumes = _volumes(rng, part)
    inverse, size = int(1 / volumes[2]), int(10.0 ** rng.uniform(0, 6))
    shares = {"pretrain": (inverse + size, 1), "existence": (inverse, 1)}.get(part, (inverse * size - 1, size))
    return Batch(volumes, _counts(rng, 2, leaves), shares)


def with_independent_masses(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    """A law of which the masses of P_p, P_a and P_t are drawn independently."""
    return Batch(_volumes(rng, part), laws=np.maximum(_counts(rng, 1, min(leaves, 4))[:, 0], 1))
