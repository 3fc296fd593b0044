"""The pre-training data of a life cycle: a union with the datasets that come later, or a source of its own."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from elastomath import InputError
from elastomath.checks import real
from elastomath.mixtures.masses import Masses

UNIONS: Final = ("thirds", "halves", "none")
"""What `life_cycle` makes of P_p."""


def life_cycle(first: Masses, align: Masses, perturb: Masses, kind: str = "thirds", cover: float = 0.0) -> Masses:
    """The rows (P_p, P_a, P_t) of a life cycle, shape (3, M), from a source P_1 of its own, D_a and D_t, each of shape (M,).

    - ``thirds``: ``P_p = (P_1 + P_a + P_t)/3``, the hypothesis of Thm 4.2 (R8);
    - ``halves``: ``P_p = (P_a + P_t)/2``, where the theorem holds for any model class (R18); P_1 is not used;
    - ``none``: ``P_p = P_1``, without the union, where the signs may fail (R9).

    ``cover`` in [0, 1) mixes the uniform law into P_p, ``(1 - cover) P_p + cover/M``: every leaf then has a word.
    Raises InputError for an unknown kind or a cover outside [0, 1).

    >>> life_cycle(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([0.0, 1.0])).round(3)[0]
    array([0.5, 0.5])
    """
    return pretrained(np.stack([first, align, perturb]), kind, cover)


def pretrained(rows: NDArray[np.float64], kind: str = "thirds", cover: float = 0.0) -> NDArray[np.float64]:
    """`life_cycle` of the rows (P_1, P_a, P_t), shape (3, M), in place: the first becomes P_p. Returns ``rows``."""
    if kind not in UNIONS:
        raise InputError(f"unknown union {kind!r}", where="life cycle", mend=f"choose one of {', '.join(UNIONS)}")
    share("cover", cover, below_one=True)
    if kind == "thirds":
        rows[0] = np.full(3, 1.0 / 3.0) @ rows
    elif kind == "halves":
        rows[0] = np.full(2, 0.5) @ rows[1:]
    if cover:
        rows[0] *= 1.0 - cover
        rows[0] += cover / rows.shape[1]
    return rows


def share(name: str, value: float, *, below_one: bool = False) -> float:
    """A number in [0, 1] (or [0, 1)), checked: InputError with its name otherwise."""
    return (
        real(value, name, "source", least=0.0, below=1.0)
        if below_one
        else real(value, name, "source", least=0.0, most=1.0)
    )


def chosen(parts: int, conflict: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of ``parts`` disagree: ``round(conflict * parts)`` of them, the first of one random order. Shape (parts,), bool.

    At a given seed the choice grows with ``conflict``: what disagrees at one value disagrees at every larger one.

    >>> few, more = (chosen(10, c, np.random.default_rng(0)) for c in (0.2, 0.7))
    >>> int(few.sum()), int(more.sum()), bool((few <= more).all())
    (2, 7, True)
    """
    share("conflict", conflict)
    flags = np.zeros(parts, dtype=bool)
    flags[rng.permutation(parts)[: round(conflict * parts)]] = True
    return flags


def opposite(laws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The opposite of each law (last axis): the likeliest symbol gets the least probability, and so on down the ranks.

    ``P'(y) = P_(A+1-r)`` for the symbol y of rank r, P_(1) <= ... <= P_(A). Two symbols change places. It is its own
    inverse where no two are equally likely, and keeps the entropy of every law.

    >>> opposite(np.array([[0.9, 0.1], [0.2, 0.8]]))
    array([[0.1, 0.9],
           [0.8, 0.2]])
    >>> opposite(np.array([0.6, 0.1, 0.3]))
    array([0.1, 0.6, 0.3])
    """
    order = np.argsort(laws, axis=-1, kind="stable")
    out = np.empty_like(laws)
    np.put_along_axis(out, order, np.flip(np.take_along_axis(laws, order, axis=-1), axis=-1), axis=-1)
    return out
