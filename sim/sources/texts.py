"""Real text as datasets on one token tree, and as sequences over a small alphabet that a trained compressor can take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastomath import InputError
from elastomath.trees.jointtree import JointTree
from elastomath.trees.tokentree import TokenTree

from .markov import checked_size
from .problem import COMPONENTS, Problem
from .unions import life_cycle

Documents = Sequence[str | bytes]


def problem_of_texts(
    align: Documents,
    perturb: Documents,
    pretrain: Documents | None = None,
    *,
    depth: int = 3,
    unit: str = "bytes",
    union: str = "thirds",
    cover: float = 0.0,
) -> Problem:
    """Three datasets of text cut into blocks of ``depth`` symbols, on the common leaf set of their token trees (Def 3.1, 3.3b).

    Leaf x of the problem is leaf x of the joint tree, in its order: one symbol out of M (``length`` 1), for a tree that text
    has grown has no sequence of every kind. ``pretrain`` is D_1, the pre-training text of its own; ``union`` and ``cover``:
    see `life_cycle` (``cover`` over the leaves that were seen). Without ``pretrain`` the union is taken to be ``halves``.
    Raises InputError for text that cannot be used (see `TokenTree.of`).

    >>> problem = problem_of_texts(["good film"], ["bad film"], ["a film"], depth=2)
    >>> problem.leaves, problem.covariates["depth"]
    (10, 2)
    """
    texts = [align, perturb] if pretrain is None else [pretrain, align, perturb]
    joint = JointTree.of([TokenTree.of(documents, depth, unit) for documents in texts])
    rows, kind = _rows(joint.masses, union, cover)
    if joint.leaves < 2:
        raise InputError("all text is one leaf", where="texts", mend="take more text, or a larger depth")
    recipe: dict[str, Any] = {"family": "text", "depth": depth, "unit": unit, "union": kind, "cover": float(cover)}
    return Problem(rows, joint.leaves, covariates=recipe)


def problem_of_letters(
    align: Documents,
    perturb: Documents,
    pretrain: Documents | None = None,
    *,
    alphabet: int = 8,
    length: int = 4,
    union: str = "thirds",
    cover: float = 0.0,
) -> Problem:
    """The same as sequences of ``length`` symbols out of a small ``alphabet``, for compressors that predict symbol by symbol.

    Symbols 0 ... alphabet - 3 are the bytes that the texts together have most of (ties: the smaller byte first), the last but
    one is every other byte, and the last is EOS, which fills up the last block of a document. M = alphabet^length, most of
    them without mass. Raises InputError for an alphabet outside 3 ... 258, too many leaves, and text that cannot be used.

    >>> problem = problem_of_letters(["abab"], ["abba"], ["bbaa"], alphabet=4, length=2)
    >>> problem.masses[1].reshape(4, 4)[:2, :2]  # ab, ab: letters 0 and 1 are a and b
    array([[0., 1.],
           [0., 0.]])
    """
    texts = [align, perturb] if pretrain is None else [pretrain, align, perturb]
    if not 3 <= alphabet <= 258:
        raise InputError(f"an alphabet of {alphabet}", where="texts", mend="give 3 to 258 symbols")
    checked_size(alphabet, length)
    trees = [TokenTree.of(documents, length) for documents in texts]
    counts = np.zeros(256, dtype=np.int64)
    for tree in trees:
        for column in range(tree.symbols.shape[1]):
            here = tree.leaf_set.spelled > column
            np.add.at(counts, tree.symbols[here, column], tree.counts[here])
    letters = np.argsort(-counts, kind="stable")[: alphabet - 2]
    code = np.full(256, alphabet - 2, dtype=np.int64)
    code[letters] = np.arange(letters.size)
    rows, kind = _rows(np.stack([_masses(tree, code, alphabet, length) for tree in trees]), union, cover)
    recipe: dict[str, Any] = {"family": "letters", "union": kind, "cover": float(cover)}
    return Problem(rows, alphabet, length, COMPONENTS, recipe)


def _masses(tree: TokenTree, code: NDArray[np.int64], alphabet: int, length: int) -> NDArray[np.float64]:
    place = np.zeros(tree.leaves, dtype=np.int64)
    for column in range(length):
        inside = tree.leaf_set.spelled > column
        symbol = np.full(tree.leaves, alphabet - 1, dtype=np.int64)
        if column < tree.symbols.shape[1]:
            symbol[inside] = code[tree.symbols[inside, column]]
        place = place * alphabet + symbol
    return np.bincount(place, tree.masses, minlength=alphabet**length).astype(np.float64)


def _rows(masses: NDArray[np.float64], union: str, cover: float) -> tuple[NDArray[np.float64], str]:
    """The rows of a life cycle from those of two or three texts, and the union that was made."""
    if len(masses) == 3:
        return life_cycle(masses[0], masses[1], masses[2], union, cover), union
    return life_cycle(masses[0], masses[0], masses[1], "halves", cover), "halves"
