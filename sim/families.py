"""Families of synthetic datasets: three vectors of leaf masses with a known relation between them."""

from __future__ import annotations

from typing import Final

import numpy as np

from elastomath import InputError, pareto_masses, union
from elastomath.masses import Masses

FAMILIES: Final = ("union", "union2", "independent", "disjoint")
"""The kinds that `family` knows."""


def family(kind: str, alpha: float, leaves: int, seed: int = 0, cover: float = 0.0) -> tuple[Masses, Masses, Masses]:
    """Leaf masses (P_p, P_a, P_t) of pretrain, align and perturb, each of shape (leaves,).

    With P_j independent vectors of Pareto masses of tail index alpha (Assumption A.7):

    - ``union``: ``P_p = (P_1 + P_2 + P_3)/3``, ``P_a = P_2``, ``P_t = P_3``, the hypothesis of Thm 4.2 (R8);
    - ``union2``: ``P_p = (P_a + P_t)/2``, where the theorem holds for any model class (R18);
    - ``independent``: P_p, P_a, P_t drawn separately, without the union, where the signs fail (R9c);
    - ``disjoint``: each on its own third of the leaves (R9a). The code of q_0 has no word for P_t: no coverage.

    ``cover`` in [0, 1) mixes the uniform law into P_p, ``(1 - cover) P_p + cover/leaves``, which restores coverage.
    Raises InputError for an unknown kind, alpha <= 1, too few leaves, a negative seed or a cover outside [0, 1).

    >>> p, a, t = family("union2", 1.5, 100, seed=3)
    >>> bool(np.allclose(p, (a + t) / 2))
    True
    """
    if kind not in FAMILIES:
        raise InputError(f"unknown family {kind!r}", where="family", mend=f"choose one of {', '.join(FAMILIES)}")
    if leaves < 3:
        raise InputError(f"{leaves} leaves", where=f"family {kind}", mend="ask for at least three")
    if seed < 0:
        raise InputError(f"seed {seed}", where=f"family {kind}", mend="a seed has to be >= 0")
    if not 0.0 <= cover < 1.0:
        raise InputError(f"cover = {cover:g}", where=f"family {kind}", mend="cover has to be >= 0 and < 1")
    rng = np.random.default_rng(seed)
    if kind == "disjoint":
        pretrain, align, perturb = _disjoint(alpha, leaves, rng)
    else:
        first, align, perturb = (pareto_masses(alpha, leaves, rng) for _ in range(3))
        parts = {"union": [first, align, perturb], "union2": [align, perturb], "independent": [first]}
        pretrain = union(parts[kind])
    if cover:
        pretrain = union([pretrain, np.full(leaves, 1.0 / leaves)], [1.0 - cover, cover])
    return pretrain, align, perturb


def _disjoint(alpha: float, leaves: int, rng: np.random.Generator) -> list[Masses]:
    thirds = np.array_split(np.arange(leaves), 3)
    rows = []
    for third in thirds:
        row = np.zeros(leaves)
        row[third] = pareto_masses(alpha, third.size, rng)
        rows.append(row)
    return rows
