"""Features of a leaf: fixed maps of its symbols to m numbers, so that a log-linear law over them is limited by choice."""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import choice

from ..sources.problem import Problem

FEATURES: Final = ("random", "ngrams", "prefix")
"""The maps that `leaf_features` knows."""


def leaf_features(problem: Problem, kind: str = "random", *, count: int = 16, order: int = 2, seed: int = 0) -> Array:
    """phi, shape (M, m), centred over the leaves; its columns are independent and none is constant.

    - ``random``: ``count`` Gaussian numbers for every leaf (a seeded random projection of its one-hot vector);
    - ``ngrams``: whether the leaf has a given word at a given place, for all words of 1 ... ``order`` neighbouring symbols,
      without the words that contain symbol 0 (they follow from the others): the log-linear chain of that order;
    - ``prefix``: which word the first ``order`` symbols are, the first word left out: the law of the leaves cut at that depth
      (Def 3.3), whose joint optimum is the mixture of the cut trees.

    Raises InputError for an unknown kind, and where m is not below M - 1: such a law would reach every distribution.

    >>> uniform = Problem(np.full((3, 8), 1 / 8), alphabet=2, length=3)
    >>> leaf_features(uniform, "ngrams", order=2).shape, leaf_features(uniform, "prefix", order=2).shape
    ((8, 5), (8, 3))
    """
    choice(kind, "features", "leaf features", FEATURES)
    if kind == "random":
        wanted = count
    elif not 1 <= order <= problem.length:
        raise InputError(f"order {order}", where="leaf features", mend=f"1 to the length, {problem.length}")
    elif kind == "prefix":
        wanted = problem.alphabet**order - 1
    else:
        wanted = sum((problem.length - n + 1) * (problem.alphabet - 1) ** n for n in range(1, order + 1))
    if not 1 <= wanted < problem.leaves - 1:
        raise InputError(
            f"{wanted} features for {problem.leaves} leaves",
            where="leaf features",
            mend=f"1 to {problem.leaves - 2}, or the law is not limited",
        )
    if kind == "random":
        values = np.random.default_rng(seed).standard_normal((problem.leaves, count))
    elif kind == "prefix":
        words = np.arange(problem.leaves) // problem.alphabet ** (problem.length - order)
        values = (words[:, None] == np.arange(1, wanted + 1)).astype(np.float64)
    else:
        values = _ngrams(problem, order)
    return np.asarray(values - values.mean(axis=0), dtype=np.float64)


def _ngrams(problem: Problem, order: int) -> Array:
    """One-hot words of 1 ... order neighbouring symbols, none of them 0: products of one-hot symbols, (M, m)."""
    symbols = problem.symbols()
    single = (symbols[:, :, None] == np.arange(1, problem.alphabet)).astype(np.float64)
    parts = []
    for first, last in combinations(range(problem.length + 1), 2):
        if last - first <= order:
            word = single[:, first]
            for place in range(first + 1, last):
                word = (word[:, :, None] * single[:, place, None, :]).reshape(len(word), -1)
            parts.append(word)
    return np.concatenate(parts, axis=1)
