"""A small probabilistic grammar: the exact mass of every string by an inside computation, end of sequence as a symbol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import positive, real, whole

from .markov import checked_size
from .problem import Problem
from .unions import chosen, life_cycle, opposite, share


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """A probabilistic context-free grammar in Chomsky's normal form; nonterminal 0 is the start.

    ``words``   Pr[N -> y], shape (K, A): nonterminal N becomes the terminal y
    ``splits``  Pr[N -> B C], shape (K, K, K): N becomes B and then C
    For each N the two add up to 1. No string is empty.

    >>> g = Grammar.of([[0.75]], [[[0.25]]])  # S -> a (3/4) | S S (1/4)
    >>> [float(table[0]) for table in g.inside(3)]  # Catalan(n-1) (1/4)^(n-1) (3/4)^n
    [0.75, 0.140625, 0.052734375]
    """

    words: Array
    splits: Array

    @classmethod
    def of(cls, words: ArrayLike, splits: ArrayLike) -> Grammar:
        """A checked grammar. Raises InputError for shapes that do not fit and for rules of a nonterminal that do not sum to 1."""
        ends, pairs = np.asarray(words, dtype=np.float64), np.asarray(splits, dtype=np.float64)
        if ends.ndim != 2 or ends.size == 0 or pairs.shape != (len(ends),) * 3:
            raise InputError(
                f"words of shape {ends.shape}, splits of {pairs.shape}",
                where="grammar",
                mend="give (K, A) and (K, K, K)",
            )
        total = ends.sum(axis=1) + pairs.sum(axis=(1, 2))
        if (ends < 0).any() or (pairs < 0).any() or not (np.abs(total - 1.0) <= 1e-9).all():
            raise InputError(
                "the rules of a nonterminal do not sum to 1", where="grammar", mend="probabilities >= 0 that sum to 1"
            )
        return cls(ends, pairs)

    @classmethod
    def draw(
        cls, nonterminals: int, terminals: int, rng: np.random.Generator, *, branch: float = 0.4, sharpness: float = 0.5
    ) -> Grammar:
        """A random grammar: each nonterminal branches with probability ``branch``, into pairs and words with Dirichlet laws.

        branch in [0, 1/2]: a derivation ends with probability 1, and a string has (1 - branch)/(1 - 2 branch) symbols on
        average (no finite mean at 1/2). sharpness > 0: the Dirichlet parameter; small is nearly deterministic.
        """
        whole(nonterminals, "nonterminals", "grammar", least=1)
        whole(terminals, "terminals", "grammar", least=1)
        real(branch, "branch", "grammar", least=0.0, most=0.5)
        positive(sharpness, "sharpness", "grammar")
        ends = rng.dirichlet(np.full(terminals, sharpness), nonterminals)
        pairs = rng.dirichlet(np.full(nonterminals**2, sharpness), nonterminals)
        return cls.of((1.0 - branch) * ends, branch * pairs.reshape((nonterminals,) * 3))

    @property
    def terminals(self) -> int:
        """A, the number of terminals."""
        return int(self.words.shape[1])

    def inside(self, length: int) -> list[Array]:
        """``Pr[start => x]`` of every string x of 1, 2, ..., ``length`` terminals: ``length`` arrays, the n-th of shape (A^n,).

        The inside recursion for all strings at once: ``I_N(x) = sum_(B,C) Pr[N -> B C] sum_s I_B(x_1..s) I_C(x_s+1..n)``, whose
        inner sum over two sets of strings is an outer product. Strings in lexicographic order, the first symbol the most
        significant. Raises InputError for length < 1 and more than 2^26 strings.
        """
        checked_size(max(self.terminals, 2), length)
        charts = [self.words]  # (K, A^n) each
        for n in range(2, length + 1):
            total = np.zeros((len(self.words), self.terminals**n))
            for s in range(1, n):
                left = np.einsum("nbc,bx->ncx", self.splits, charts[s - 1], optimize=True)
                total += np.einsum("ncx,cy->nxy", left, charts[n - s - 1], optimize=True).reshape(total.shape)
            charts.append(total)
        return [chart[0] for chart in charts]

    def masses(self, length: int) -> tuple[Array, float]:
        """P of all strings of at most ``length`` terminals, each filled up with the EOS symbol A, and the mass of longer ones.

        Shape ((A+1)^length,): sequences over A + 1 symbols in the order of `Problem`; those that are no string followed by
        EOS have mass 0. The law is conditioned on the length, ``P(x) / (1 - longer)``; an EOS leaf of the token tree (Def
        3.1) is the sequence that is filled up. Raises InputError as `inside`, and where no string is so short.
        """
        checked_size(self.terminals + 1, length)
        size = self.terminals + 1
        out = np.zeros(size**length)
        for n, chart in enumerate(self.inside(length), 1):
            digits = np.arange(chart.size)[:, None] // self.terminals ** np.arange(n - 1, -1, -1) % self.terminals
            place = digits @ size ** np.arange(length - 1, length - 1 - n, -1, dtype=np.int64)
            out[place + size ** (length - n) - 1] = chart  # the rest is EOS, the digit A = size - 1
        total = float(out.sum())
        if total <= 0:
            raise InputError(f"no string of at most {length} symbols", where="grammar", mend="take a larger length")
        return out / total, max(0.0, 1.0 - total)

    def conflicting(self, conflict: float, rng: np.random.Generator) -> Grammar:
        """The same grammar with `opposite` rules for ``round(conflict * K)`` nonterminals, chosen at random.

        Words are turned among words and pairs among pairs, so how often a nonterminal branches stays; with it the law of the
        length, if every nonterminal branches alike (as `draw` has them).
        """
        turned = chosen(len(self.words), conflict, rng)
        pairs = opposite(self.splits.reshape(len(self.words), -1)).reshape(self.splits.shape)
        return Grammar(
            np.where(turned[:, None], opposite(self.words), self.words),
            np.where(turned[:, None, None], pairs, self.splits),
        )


def problem_of_grammar(
    nonterminals: int = 4,
    terminals: int = 2,
    length: int = 7,
    seed: int = 0,
    *,
    branch: float = 0.4,
    sharpness: float = 0.5,
    conflict: float = 0.5,
    union: str = "thirds",
    cover: float = 0.0,
) -> Problem:
    """Three datasets of strings of at most ``length`` terminals: D_a from a random `Grammar`, D_t with conflicting rules, D_1 of its own.

    The alphabet is the terminals and EOS, the last symbol; shorter strings are filled up with EOS, longer ones are left out
    (the laws are conditioned; covariate ``longer`` has their largest mass). ``conflict``: share of nonterminals whose rules
    are opposite in D_t, rounded to whole ones (covariate ``conflict`` has what it came to); ``union`` and ``cover``: see
    `life_cycle` (``cover`` spreads mass over strings outside the language, too).

    >>> problem = problem_of_grammar(3, 2, 4, conflict=0.4)
    >>> problem.alphabet, problem.leaves, round(problem.covariates["conflict"], 4)
    (3, 81, 0.3333)
    """
    whole(seed, "seed", "grammar", least=0)
    share("conflict", conflict)
    streams = [np.random.default_rng([seed, part]) for part in range(3)]
    first, align = (
        Grammar.draw(nonterminals, terminals, stream, branch=branch, sharpness=sharpness) for stream in streams[:2]
    )
    lengths = [grammar.masses(length) for grammar in (first, align, align.conflicting(conflict, streams[2]))]
    own, aligned, perturbed = (masses for masses, _ in lengths)
    rows = life_cycle(own, aligned, perturbed, union, cover)
    recipe: dict[str, str | float] = {
        "family": "grammar",
        "nonterminals": nonterminals,
        "branch": branch,
        "sharpness": sharpness,
    }
    recipe |= {"conflict": round(conflict * nonterminals) / nonterminals, "union": union, "cover": float(cover)}
    recipe |= {"longer": max(longer for _, longer in lengths), "source_seed": seed}
    return Problem(rows, terminals + 1, length, covariates=recipe)
