"""Variable-order Markov trees: exact leaf masses of all sequences, long samples, and two datasets that agree or conflict."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import choice, real, whole
from elastomath.compiled import machine_code
from elastomath.memory import affordable

from .problem import Problem
from .unions import chosen, life_cycle, opposite, share

LAWS: Final = ("dirichlet", "pareto")
LARGEST = 1 << 26
"""Entries that a table of laws or masses may have."""
SEQUENCE_BYTES = 100
"""What a sequence takes: masses, their sums, and what is computed of them."""


@dataclass(frozen=True, slots=True, eq=False)
class MarkovTree:
    """A source whose next symbol depends on a suffix of the past, longer in some contexts than in others.

    A node of the suffix tree is a word u of at most ``order`` symbols, the most recent one last; its parent is u without its
    oldest symbol. Every node has a law pi(y | u); the law in use after a past x is that of the longest suffix of x in the
    tree. So ``P(x_1 ... x_n) = prod_t pi(x_t | longest suffix of x_1 ... x_(t-1))`` and inner nodes are met where a sequence
    begins. The root is the empty word.

    ``own``    for each length m = 0 ... order, pi(y | u) of the nodes of m symbols, shape (A^m, A); rows of words that are no
               node are not used. Word u = u_1 ... u_m is row sum_i u_i A^(m-i)
    ``nodes``  for each length m, which words are nodes, shape (A^m,), bool; a node's parent is one

    >>> tree = MarkovTree.of([[[0.5, 0.5]], [[0.9, 0.1], [0.2, 0.8]]])
    >>> tree.masses(2)  # 00, 01, 10, 11
    array([0.45, 0.05, 0.1 , 0.4 ])
    """

    own: tuple[Array, ...]
    nodes: tuple[NDArray[np.bool_], ...]

    @classmethod
    def of(cls, laws: Sequence[ArrayLike], nodes: Sequence[ArrayLike] | None = None) -> MarkovTree:
        """A checked tree; ``laws[m]`` of shape (A^m, A), rows that sum to 1. Without ``nodes`` every word is a node (order fixed).

        Raises InputError for shapes that do not fit, rows that are no law, and a node without its parent.
        """
        own = tuple(np.asarray(law, dtype=np.float64) for law in laws)
        size = own[0].shape[-1] if own and own[0].ndim == 2 else 0
        if size < 2 or any(law.shape != (size**m, size) for m, law in enumerate(own)):
            raise InputError(
                f"laws of shapes {[law.shape for law in own]}",
                where="Markov tree",
                mend="give (A^m, A) for m = 0, 1, ..., with A >= 2",
            )
        if any((law < 0).any() or (np.abs(law.sum(axis=1) - 1) > 1e-9).any() for law in own):
            raise InputError("a row of a law does not sum to 1", where="Markov tree", mend="rows >= 0 that sum to 1")
        flags = tuple(
            np.ones(size**m, dtype=bool) if nodes is None else np.asarray(nodes[m], dtype=bool) for m in range(len(own))
        )
        fits = len(flags) == len(own) and all(flag.shape == law.shape[:1] for flag, law in zip(flags, own, strict=True))
        if (
            not fits
            or not flags[0][0]
            or any((flags[m] & ~np.tile(flags[m - 1], size)).any() for m in range(1, len(flags)))
        ):
            raise InputError("a node has no parent", where="Markov tree", mend="a suffix of a node has to be a node")
        return cls(own, flags)

    @classmethod
    def draw(
        cls,
        alphabet: int,
        order: int,
        rng: np.random.Generator,
        *,
        split: float = 1.0,
        law: str = "dirichlet",
        sharpness: float = 1.0,
    ) -> MarkovTree:
        """A random tree: the root has children, any other node of fewer than ``order`` symbols with probability ``split`` (all A).

        law: ``dirichlet``, symmetric with all parameters ``sharpness`` (> 0; small is nearly deterministic), or ``pareto``,
        A Pareto masses of tail index ``sharpness`` (> 1), divided by their sum, as in Assumption A.7.
        """
        checked_size(alphabet, order + 1)
        share("split", split)
        choice(law, "law", "Markov tree", LAWS)
        real(sharpness, f"sharpness of a {law} law", "Markov tree", above=0.0 if law == "dirichlet" else 1.0)
        own, nodes = [], [np.ones(1, dtype=bool)]
        for m in range(order + 1):
            shape = (alphabet**m, alphabet)
            if law == "dirichlet":  # logarithms of gammas do not underflow where the sharpness is small
                logs = np.log(rng.standard_gamma(sharpness + 1.0, shape)) + np.log(rng.random(shape)) / sharpness
            else:
                logs = rng.standard_exponential(shape) / sharpness
            weights = np.exp(logs - logs.max(axis=1, keepdims=True))
            own.append(weights / weights.sum(axis=1, keepdims=True))
            if m:
                parents = nodes[-1] & ((rng.random(alphabet ** (m - 1)) < split) | (m == 1))
                nodes.append(np.tile(parents, alphabet))
        return cls.of(own, nodes)

    @property
    def alphabet(self) -> int:
        """A, the number of symbols."""
        return int(self.own[0].shape[1])

    @property
    def order(self) -> int:
        """The longest suffix that may count."""
        return len(self.own) - 1

    @property
    def contexts(self) -> int:
        """How many nodes the tree has, inner ones and leaves."""
        return int(sum(flag.sum() for flag in self.nodes))

    @property
    def laws(self) -> tuple[Array, ...]:
        """The law in use after each past of m symbols, m = 0 ... order: a list of (A^m, A). Longer pasts use the last m."""
        used = [self.own[0]]
        for m in range(1, self.order + 1):
            used.append(np.where(self.nodes[m][:, None], self.own[m], np.tile(used[-1], (self.alphabet, 1))))
        return tuple(used)

    def masses(self, length: int) -> Array:
        """P(x) of all A^length sequences, in the order of `Problem`, shape (A^length,): one product a node of the token tree.

        Raises InputError for length < 1 and for more than 2^26 sequences.
        """
        checked_size(self.alphabet, length)
        laws, masses = self.laws, np.ones(1)
        for t in range(length):
            law = laws[min(t, self.order)]
            masses = (masses.reshape(-1, law.shape[0], 1) * law).reshape(-1)
        return masses

    def sample(self, count: int, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """``count`` sequences of ``length`` symbols, shape (count, length), by inversion of one uniform a symbol.

        Compiled: 1e7 symbols in a second or so. InputError for count or length < 1.
        """
        for name, size in (("count", count), ("length", length)):
            whole(size, name, "Markov tree", least=1)
        edges = np.cumsum(np.concatenate(self.laws), axis=1)
        out = np.empty((count, length), dtype=np.int64)
        _drawing()(rng.random((count, length)), edges, self.order, out)
        return out

    def log_probabilities(self, sequences: ArrayLike) -> Array:
        """``ln pi(x_t | x_1 ... x_(t-1))`` of every symbol, in nats: shape (count, length) as the sequences.

        Exact next-symbol probabilities of this source, whatever made the sequences; -inf where it rules a symbol out.
        Raises InputError for symbols outside the alphabet.

        >>> tree = MarkovTree.of([[[0.5, 0.5]], [[0.9, 0.1], [0.2, 0.8]]])
        >>> np.exp(tree.log_probabilities([[0, 0, 1, 1]]))
        array([[0.5, 0.9, 0.1, 0.8]])
        """
        symbols = np.asarray(sequences)
        if symbols.ndim != 2 or symbols.dtype.kind not in "iu" or symbols.min(initial=0) < 0:
            raise InputError("sequences are no rows of symbols", where="Markov tree", mend="pass integers, a row each")
        if symbols.max(initial=0) >= self.alphabet:
            raise InputError(f"symbol {symbols.max()}", where="Markov tree", mend=f"symbols are below {self.alphabet}")
        symbols = symbols.astype(np.int64)
        out = np.empty(symbols.shape)
        with np.errstate(divide="ignore"):
            logs = [np.log(law) for law in self.laws]
        past = np.zeros(len(symbols), dtype=np.int64)
        for t in range(min(self.order, symbols.shape[1])):
            out[:, t] = logs[t][past, symbols[:, t]]
            past = past * self.alphabet + symbols[:, t]
        later = symbols.shape[1] - self.order
        if later > 0:
            words = np.zeros((len(symbols), later), dtype=np.int64)
            for back in range(self.order):
                words = words * self.alphabet + symbols[:, back : back + later]
            out[:, self.order :] = logs[-1][words, symbols[:, self.order :]]
        return out

    def conflicting(self, conflict: float, rng: np.random.Generator) -> MarkovTree:
        """The same tree with `opposite` laws in ``round(conflict * contexts)`` of its nodes, chosen at random.

        conflict 0 is this tree; 1 has the opposite continuation after every past. At one state of ``rng`` the nodes of a
        smaller conflict are among those of a larger one.
        """
        words = np.flatnonzero(np.concatenate(self.nodes))
        turned = np.zeros(sum(flag.size for flag in self.nodes), dtype=bool)
        turned[words] = chosen(words.size, conflict, rng)
        laws = np.concatenate(self.own)
        laws = np.where(turned[:, None], opposite(laws), laws)
        bounds = np.cumsum([flag.size for flag in self.nodes])[:-1]
        return MarkovTree(tuple(np.split(laws, bounds)), self.nodes)


def problem_of_markov(
    alphabet: int = 2,
    order: int = 3,
    length: int = 10,
    seed: int = 0,
    *,
    split: float = 0.8,
    law: str = "dirichlet",
    sharpness: float = 1.0,
    conflict: float = 0.5,
    union: str = "thirds",
    cover: float = 0.0,
) -> Problem:
    """Three datasets of sequences: D_a from a random `MarkovTree`, D_t from the same tree with conflicting contexts, D_1 from another.

    ``conflict``  share of the contexts in which D_t has the opposite continuation of D_a; in all others they agree
    ``union``     P_p = (P_1 + P_a + P_t)/3, (P_a + P_t)/2 or P_1: see `life_cycle`. The union is of whole sequences
    ``law``, ``sharpness``, ``split``: see `MarkovTree.draw`; ``cover``: see `life_cycle`.

    >>> problem = problem_of_markov(2, 2, 4, conflict=0.0)
    >>> problem.masses.shape, bool((problem.masses[1] == problem.masses[2]).all())
    ((3, 16), True)
    """
    checked_size(alphabet, length)
    first, align, perturb = markov_trees(
        alphabet, order, seed, split=split, law=law, sharpness=sharpness, conflict=conflict
    )
    own, aligned, perturbed = (tree.masses(length) for tree in (first, align, perturb))
    rows = life_cycle(own, aligned, perturbed, union, cover)
    recipe: dict[str, str | float] = {
        "family": "markov",
        "order": order,
        "split": split,
        "law": law,
        "sharpness": sharpness,
    }
    recipe |= {"conflict": float(conflict), "union": union, "cover": float(cover), "source_seed": seed}
    return Problem(rows, alphabet, length, covariates=recipe)


def markov_trees(
    alphabet: int,
    order: int,
    seed: int = 0,
    *,
    split: float = 0.8,
    law: str = "dirichlet",
    sharpness: float = 1.0,
    conflict: float = 0.5,
) -> tuple[MarkovTree, MarkovTree, MarkovTree]:
    """The sources (D_1, D_a, D_t) of `problem_of_markov`, for long samples: D_1 and D_a do not change with ``conflict``.

    >>> [tree.contexts for tree in markov_trees(2, 3, split=1.0)]
    [15, 15, 15]
    """
    whole(seed, "seed", "Markov tree", least=0)
    streams = [np.random.default_rng([seed, part]) for part in range(3)]
    first, align = (
        MarkovTree.draw(alphabet, order, stream, split=split, law=law, sharpness=sharpness) for stream in streams[:2]
    )
    return first, align, align.conflicting(conflict, streams[2])


def checked_size(alphabet: int, length: int) -> None:
    """Refuse an alphabet below 2, a length below 1, and more than 2^26 sequences."""
    alphabet, length = whole(alphabet, "alphabet", "source"), whole(length, "length", "source")
    if alphabet < 2 or length < 1 or length * math.log2(alphabet) > math.log2(LARGEST):
        raise InputError(
            f"{length} symbols out of {alphabet}",
            where="source",
            mend=f"at least one symbol, out of at least two, and no more than {LARGEST} sequences",
        )
    affordable(alphabet**length, SEQUENCE_BYTES, "the source", "source", "sequences")


@functools.cache
def _drawing() -> Callable[..., None]:
    return machine_code(_draw)


def _draw(uniform: Array, edges: Array, order: int, out: NDArray[np.int64]) -> None:
    """Inversion along each row; ``edges`` are the cumulated laws of pasts of 0, 1, ..., order symbols, one below the other."""
    size = edges.shape[1]
    longest = size**order
    for i in range(uniform.shape[0]):
        first, rows, past = 0, 1, 0
        for t in range(uniform.shape[1]):
            row = first + past
            top = uniform[i, t] * edges[row, size - 1]
            symbol = 0
            while symbol < size - 1 and edges[row, symbol] <= top:
                symbol += 1
            out[i, t] = symbol
            if t < order:
                first += rows
                rows *= size
            past = (past * size + symbol) % longest
