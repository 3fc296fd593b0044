"""The problem that a compressor is given: datasets on one common leaf set, and how a leaf is spelled in symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastomath import InputError
from elastomath.mixtures.masses import Masses

COMPONENTS = ("pretrain", "align", "perturb")
"""The names of the three datasets of the life cycle, in the order of their rows."""


@dataclass(frozen=True)
class Problem:
    """Datasets P_i as leaf masses, shape (n, M), on the sequences of ``length`` symbols out of ``alphabet``.

    Leaf x is the sequence whose digits in base ``alphabet``, most significant first, spell x; M = alphabet**length. Masses
    without such a structure (the families) are sequences of one symbol: alphabet = M, length = 1.

    names       of the datasets; `COMPONENTS` for a life cycle
    covariates  what made the problem (family, alpha, overlap, seed, ...), as they go into the curve

    Raises InputError where M is not alphabet**length or a row is not a probability distribution.

    >>> Problem(np.full((3, 8), 1 / 8), alphabet=2, length=3).symbols()[5].tolist()
    [1, 0, 1]
    """

    masses: Masses
    alphabet: int
    length: int = 1
    names: tuple[str, ...] = COMPONENTS
    covariates: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        masses = np.asarray(self.masses, dtype=np.float64)
        if masses.ndim != 2 or masses.shape[0] != len(self.names):
            raise InputError(
                f"masses of shape {masses.shape} for {len(self.names)} datasets", where="problem", mend="a row for each"
            )
        if self.alphabet < 2 or self.length < 1 or self.alphabet**self.length != masses.shape[1]:
            raise InputError(
                f"{masses.shape[1]} leaves, not {self.alphabet}**{self.length}",
                where="problem",
                mend="give a mass for every sequence of the alphabet",
            )
        if not np.isfinite(masses).all() or (masses < 0).any() or (np.abs(masses.sum(axis=1) - 1.0) > 1e-9).any():
            raise InputError(
                "a row is not a probability distribution", where="problem", mend="masses >= 0 that sum to 1"
            )
        object.__setattr__(self, "masses", masses)

    @property
    def leaves(self) -> int:
        """M, the number of leaves."""
        return int(self.masses.shape[1])

    def symbols(self) -> NDArray[np.int64]:
        """The symbols of every leaf, shape (M, length), int64."""
        place = self.alphabet ** np.arange(self.length - 1, -1, -1, dtype=np.int64)
        return np.asarray(np.arange(self.leaves, dtype=np.int64)[:, None] // place % self.alphabet)

    def sample(self, dataset: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """``count`` leaves drawn from P_dataset with replacement, shape (count,)."""
        edges = np.cumsum(self.masses[dataset])
        drawn = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
        return np.asarray(np.minimum(drawn, self.leaves - 1), dtype=np.int64)
