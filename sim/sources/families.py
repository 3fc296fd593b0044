"""Families of synthetic datasets: three vectors of leaf masses with a known relation between them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from elastomath import pareto_masses
from elastomath.checks import choice, real, whole
from elastomath.memory import affordable
from elastomath.mixtures.leafsums import scan
from elastomath.mixtures.masses import Masses

from .problem import Problem
from .unions import pretrained, share

FAMILIES: Final = ("union", "union2", "independent", "disjoint")
"""The kinds that `family` knows."""
LEAF_BYTES = 100
"""What a leaf takes: three masses, their sums, and what is computed of them."""
BLOCK = 1 << 15
"""Masses that are drawn at a time."""


def family(
    kind: str, alpha: float, leaves: int, seed: int = 0, cover: float = 0.0, overlap: float = 0.0
) -> tuple[Masses, Masses, Masses]:
    """Leaf masses (P_p, P_a, P_t) of pretrain, align and perturb, each of shape (leaves,).

    With P_j independent vectors of Pareto masses of tail index alpha (Assumption A.7):

    - ``union``: ``P_p = (P_1 + P_2 + P_3)/3``, ``P_a = P_2``, ``P_t = P_3``, the hypothesis of Thm 4.2 (R8);
    - ``union2``: ``P_p = (P_a + P_t)/2``, where the theorem holds for any model class (R18);
    - ``independent``: P_p, P_a, P_t drawn separately, without the union, where the signs fail (R9c);
    - ``disjoint``: each on its own third of the leaves (R9a). The code of q_0 has no word for P_t: no coverage.

    ``cover`` in [0, 1) mixes the uniform law into P_p, ``(1 - cover) P_p + cover/leaves``, which restores coverage.

    ``overlap`` = s in [0, 1] is the part of D_t that is drawn from D_a: ``P_t = s P_a + (1 - s) P_3``, before the union is
    formed. So ``P_t - P_a = (1 - s)(P_3 - P_a)``: against any fixed q the total variation between D_a and D_t falls as
    1 - s, sum (P_t - P_a)^2/q as (1 - s)^2, and A = sum P_a P_t/q is linear, from the family's own value to sum P_a^2/q.
    Without the union q_0 is fixed, so A(l = 0) is linear in s; with it P_t pulls q_0 along and A(l = 0) is concave in s:
    no less than the chord between its two ends. At s = 1, P_t = P_a; then ``union2`` has three equal datasets.

    Raises InputError for an unknown kind, alpha <= 1, too few leaves, a negative seed, a cover outside [0, 1) or an
    overlap outside [0, 1].

    >>> p, a, t = family("union2", 1.5, 100, seed=3)
    >>> bool(np.allclose(p, (a + t) / 2))
    True
    """
    pretrain, align, perturb = family_rows(kind, alpha, leaves, seed, cover, overlap)
    return pretrain, align, perturb


def family_rows(kind: str, alpha: float, leaves: int, seed: int, cover: float, overlap: float) -> NDArray[np.float64]:
    """The three vectors of `family` as the rows of one array, shape (3, leaves)."""
    where = f"family {choice(kind, 'family', 'family', FAMILIES)}"
    affordable(whole(leaves, "leaves", where, least=3), LEAF_BYTES, "leaves", where)
    whole(seed, "seed", where, least=0)
    share("cover", cover, below_one=True)
    share("overlap", overlap)
    alpha = real(alpha, "tail index alpha", where, above=1.0)  # so that a mean exists
    rng = np.random.default_rng(seed)
    if kind == "disjoint":
        rows = np.zeros((3, leaves))
        for row, third in zip(rows, np.array_split(np.arange(leaves), 3), strict=True):
            row[third] = pareto_masses(alpha, third.size, rng)
    else:
        rows = np.empty((3, leaves))
        for row in rows:
            _draw_pareto(alpha, rng, row)
    if overlap:
        rows[2] = overlap * rows[1] + (1.0 - overlap) * rows[2]
    parts = {"union": "thirds", "union2": "halves"}.get(kind, "none")
    return pretrained(rows, parts, cover)


def _draw_pareto(alpha: float, rng: np.random.Generator, out: NDArray[np.float64]) -> None:
    """`pareto_masses` of the same stream, to the same bits, written where they are wanted."""
    for start in range(0, out.size, BLOCK):  # a block stays in the cache
        part = out[start : start + BLOCK]
        rng.standard_exponential(out=part)
        part /= alpha
        np.exp(part, out=part)
    out /= scan(out)[1]


def problem_of_family(
    kind: str,
    alpha: float,
    leaves: int,
    seed: int = 0,
    *,
    cover: float = 0.0,
    overlap: float = 0.0,
    alphabet: int | None = None,
) -> Problem:
    """The `Problem` of a family: P_p, P_a, P_t of `family`, shape (3, leaves), with what made them as covariates.

    ``alphabet``: without it a leaf is one symbol; with it leaf x is the sequence whose digits spell x (masses without any
    structure along the sequence), and ``leaves`` has to be a power of it. Raises InputError as `family` and `Problem` do.

    >>> problem = problem_of_family("union", 1.5, 64, overlap=0.25, alphabet=4)
    >>> problem.length, problem.covariates["overlap"]
    (3, 0.25)
    """
    rows = family_rows(kind, alpha, leaves, seed, cover, overlap)
    length, reach = 1, alphabet or leaves
    while alphabet and alphabet > 1 and reach < leaves:
        length, reach = length + 1, reach * alphabet
    recipe = {
        "family": kind,
        "alpha": float(alpha),
        "cover": float(cover),
        "overlap": float(overlap),
        "source_seed": seed,
    }
    return Problem(rows, alphabet or leaves, length, covariates=recipe)
