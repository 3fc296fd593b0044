"""The contexts of a causal model: every prefix of a sequence, the masses that follow it, and how to read all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elastomath import InputError
from elastomath.arrays import Array, Integers

from ..sources.problem import Problem

LARGEST = 1 << 24
"""Leaves beyond which nothing is summed exactly."""


@dataclass(frozen=True, eq=False)
class Layout:
    """All contexts of the sequences, packed into rows that share their beginnings.

    A row is a prefix of ``shared`` symbols after the beginning-of-sequence token, then every word that may follow it, one
    node a token; a node sees its ancestors only. So one pass over A^shared rows gives the law of the next symbol after every
    context, with no context read twice except the shared beginnings.

    tokens   (rows, T), the symbol of each node; the beginning is the symbol number ``alphabet``
    depths   (T,), how many symbols a node stands for: its position in the sequence
    sees     (T, T), bool: whether the node of the row sees the node of the column
    slots    (C,), the place of each context in the flattened (rows * T) nodes
    """

    tokens: Integers
    depths: Integers
    sees: NDArray[np.bool_]
    slots: Integers


@dataclass(frozen=True)
class Contexts:
    """The C = 1 + A + ... + A^(n-1) prefixes of sequences of n symbols out of A, by length, then in order.

    >>> contexts = Contexts(2, 3)
    >>> contexts.count, contexts.layout(1).tokens.tolist()
    (7, [[2, 0, 0, 1], [2, 1, 0, 1]])
    """

    alphabet: int
    length: int

    def __post_init__(self) -> None:
        if self.alphabet < 2 or self.length < 1 or self.alphabet**self.length > LARGEST:
            raise InputError(
                f"{self.alphabet}**{self.length} sequences",
                where="contexts",
                mend=f"an alphabet >= 2, a length >= 1 and at most {LARGEST} sequences",
            )

    @classmethod
    def of(cls, problem: Problem) -> Contexts:
        """The contexts of a problem's sequences."""
        return cls(problem.alphabet, problem.length)

    @property
    def count(self) -> int:
        """C, the number of contexts."""
        return int((self.alphabet**self.length - 1) // (self.alphabet - 1))

    def tables(self, masses: Array) -> Array:
        """``P_i(c y)``, the mass of the sequences that begin with context c and symbol y: (n, M) -> (n, C, A).

        ``H_i = -sum_cy P_i(c y) ln p(y|c)`` is then the cross entropy of a causal model, in nats per leaf.

        >>> Contexts(2, 2).tables(np.array([[0.1, 0.2, 0.3, 0.4]])).round(12).tolist()
        [[[0.3, 0.7], [0.1, 0.2], [0.3, 0.4]]]
        """
        rows = len(masses)
        parts = [
            masses.reshape(rows, self.alphabet**depth, self.alphabet, -1).sum(axis=-1) for depth in range(self.length)
        ]
        return np.concatenate(parts, axis=1)

    def leaves(self, logs: Array) -> Array:
        """``ln q(x) = sum_t ln p(x_t | x_1 ... x_(t-1))`` for every leaf: (C, A) -> (M,).

        >>> np.exp(Contexts(2, 2).leaves(np.log([[0.25, 0.75], [0.5, 0.5], [0.1, 0.9]]))).round(12).tolist()
        [0.125, 0.125, 0.075, 0.675]
        """
        total, first = np.zeros(1), 0
        for depth in range(self.length):
            here = self.alphabet**depth
            total = (total[:, None] + logs[first : first + here]).ravel()
            first += here
        return total

    def cheapest(self, width: int, parameters: int) -> int:
        """How many symbols the rows of `layout` should share: least arithmetic for a model of ``parameters`` and ``width``.

        A node costs about ``parameters`` multiplications, and ``width`` more for every node of its row (attention).
        """
        costs = []
        for shared in range(self.length):
            nodes = self._nodes(shared)
            costs.append(self.alphabet**shared * nodes * (parameters + 2 * width * nodes))
        return int(np.argmin(costs))

    def _nodes(self, shared: int) -> int:
        return int(shared + 1 + sum(self.alphabet ** (depth - shared) for depth in range(shared + 1, self.length)))

    def layout(self, shared: int) -> Layout:
        """The rows that share ``shared`` symbols, 0 <= shared < length: one row at 0, a row for each longest context at the end."""
        if not 0 <= shared < self.length:
            raise InputError(f"{shared} symbols shared", where="contexts", mend=f"0 to {self.length - 1}")
        size, rows, nodes = self.alphabet, self.alphabet**shared, self._nodes(shared)
        row = np.arange(rows, dtype=np.int64)
        tokens = np.empty((rows, nodes), dtype=np.int64)
        depths = np.empty(nodes, dtype=np.int64)
        sees = np.zeros((nodes, nodes), dtype=bool)
        slots: list[Integers] = []
        tokens[:, 0] = size
        for depth in range(shared + 1):
            if depth:
                tokens[:, depth] = row // size ** (shared - depth) % size
            depths[depth], sees[depth, : depth + 1] = depth, True
            slots.append(np.arange(size**depth, dtype=np.int64) * size ** (shared - depth) * nodes + depth)
        first, parents = shared + 1, np.array([shared], dtype=np.int64)
        for depth in range(shared + 1, self.length):
            words = np.arange(size ** (depth - shared), dtype=np.int64)
            at = first + words
            tokens[:, at], depths[at] = words % size, depth
            sees[at] = sees[parents[words // size]]
            sees[at, at] = True
            slots.append((row[:, None] * nodes + at).ravel())
            first, parents = first + words.size, at
        return Layout(tokens, depths, sees, np.concatenate(slots))
