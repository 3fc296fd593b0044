"""The counting compressor: Dirichlet (KT) predictions from the counts of each context, with a memory that may forget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.laws.forgetting import decay

from ..sources.problem import Problem
from .mixture import checked_step, checked_volumes

Tables = tuple[Array, ...]
"""Counts of (context, next symbol): one array of shape (A^m, A) for each kind of context, m symbols of the past."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What a counting compressor remembers: decayed counts in every context, and how many sequences it has drawn so far."""

    tables: Tables
    drawn: int = 0


@dataclass(frozen=True, eq=False)
class CountingCompressor:
    """Next-symbol predictions from counts: ``q(y | u) = (c(u y) + b)/(c(u) + A b)``, ``q(x) = prod_t q(x_t | context)``.

    c counts sequences, decayed; b is ``prior``: 1/2 is Krichevsky and Trofimov's estimate, 1 Laplace's, 0 plain frequencies (a
    context without counts then predicts uniformly). A leaf is coded by the product along its path, in one pass over all
    contexts of a depth.

    examples    sequences in one unit of volume, |D_a|
    prior       b >= 0, in sequences
    forgetting  eta in [0, 1): a unit of volume multiplies all counts by 1 - eta; the prior stays. 0 is plain counting
    order       how many symbols of the past a context has: None for the whole prefix, the token tree itself; a number for a
                compressor of limited capacity
    tied        with an order: contexts of that many symbols share their counts over all positions of a sequence
    sampled     whether training draws ``round(volume * examples)`` sequences, in sequence, or takes expected counts
    seed        of the draws: the same sequences for the same history; in `optimum`, a smaller volume draws a part of a larger's

    **Joint training.** `optimum` takes ``c = examples * sum_i w_i P_i``. It minimises exactly
    ``sum_i w_i H_i + R``, ``R = -(b/examples) sum over contexts u and symbols y of ln q(y | u)``, among all codes of these
    contexts: R6 holds with this regulariser, and R5 without it misses by its change. The residual is exact, too:
    ``k DeltaH_p + DeltaH_a + DeltaR = (1/examples) sum_u (c_0(u) + A b) KL(q_0(. | u) || q_L(. | u))``, R5's mixture form
    context by context.

    **In sequence.** With expected counts, ``dc/dv = examples P - h c``, h = ln(1/(1 - eta)), so a phase of volume v leaves
    ``c e^{-hv} + examples P (1 - e^{-hv})/h``: with prior 0 the code is the mixture of R19 with its phase weights, without its
    start; nothing forgotten, the mixture itself. Sampled counts decay by (1 - eta)^(1/examples) before each sequence.

    >>> from sim import problem_of_family
    >>> counting = CountingCompressor(problem_of_family("union", 1.5, 64, alphabet=2), prior=0.5)
    >>> state = counting.train(counting.train(counting.start(), 0, 10.0), 1, 1.0)
    >>> bool(np.allclose(counting.entropies(state), counting.entropies(counting.optimum([10, 1, 0]))))
    True
    """

    problem: Problem
    prior: float = 0.5
    forgetting: float = 0.0
    examples: int = 1000
    order: int | None = None
    tied: bool = False
    sampled: bool = False
    seed: int = 0
    name: str = "counting"

    def __post_init__(self) -> None:
        for name, holds, rule in (
            ("prior", math.isfinite(self.prior) and self.prior >= 0, "finite and >= 0"),
            ("forgetting", 0 <= self.forgetting < 1, ">= 0 and < 1"),
            ("examples", self.examples >= 1, ">= 1"),
            ("order", self.order is None or self.order >= 0, "None or >= 0"),
            ("tied", not self.tied or self.order is not None, "used with an order"),
            ("seed", self.seed >= 0, ">= 0"),
        ):
            if not holds:
                raise InputError(f"{name} = {getattr(self, name)}", where="counting", mend=f"{name} has to be {rule}")

    # --- contexts ----------------------------------------------------------------------------------------------------

    @cached_property
    def _kinds(self) -> tuple[tuple[int, int], ...]:
        """(length of the context, number of the table) at each position of a sequence."""
        longest = self.problem.length if self.order is None else self.order
        return tuple((min(t, longest), min(t, longest) if self.tied else t) for t in range(self.problem.length))

    def tables(self, leaves: Array) -> Tables:
        """The counts of (context, next symbol) that weights of leaves amount to, shape (M,) -> tables. It is linear."""
        size = self.problem.alphabet
        tables: dict[int, Array] = {}
        for t in range(self.problem.length - 1, -1, -1):
            context, table = self._kinds[t]
            here = leaves.reshape(size ** (t + 1), -1).sum(axis=1)  # words of t + 1 symbols
            leaves = here
            counts = here.reshape(-1, size**context, size).sum(axis=0)
            tables[table] = tables[table] + counts if table in tables else counts
        return tuple(tables[table] for table in sorted(tables))

    @cached_property
    def _datasets(self) -> tuple[Tables, ...]:
        return tuple(self.tables(row) for row in self.problem.masses)

    @property
    def parameters(self) -> int:
        """The number of logits: A for each context."""
        return sum(table.size for table in self._datasets[0])

    def predictions(self, state: Counts) -> Tables:
        """``q(y | u)`` for every context u, in tables of shape (A^m, A); uniform where nothing is known."""
        size, predictions = self.problem.alphabet, []
        for counts in state.tables:
            total = counts.sum(axis=1, keepdims=True) + size * self.prior
            known = np.where(total > 0, total, 1.0)
            predictions.append(np.where(total > 0, (counts + self.prior) / known, 1.0 / size))
        return tuple(predictions)

    def masses(self, state: Counts) -> Array:
        """q(x) of every leaf, shape (M,): the product of the predictions along its path."""
        predictions, masses = self.predictions(state), np.ones(1)
        for context, table in self._kinds:
            law = predictions[table]
            masses = (masses.reshape(-1, self.problem.alphabet**context, 1) * law).reshape(-1)
        return masses

    # --- the interface -----------------------------------------------------------------------------------------------

    def start(self) -> Counts:
        """Nothing counted: every symbol equally likely."""
        return Counts(tuple(np.zeros_like(table) for table in self._datasets[0]))

    def optimum(self, volumes: ArrayLike, near: Counts | None = None) -> Counts:
        """The joint optimum of ``sum_i w_i H_i + R``: exact, or of the sequences drawn where ``sampled``. Nothing is forgotten."""
        weights = checked_volumes(volumes, len(self.problem.names))
        if not self.sampled:
            return self._mixed(weights)
        leaves, drawn = np.zeros(self.problem.leaves), 0
        for dataset, weight in enumerate(weights):
            count = round(float(weight) * self.examples)
            stream = np.random.default_rng([self.seed, dataset])
            leaves += np.bincount(self.problem.sample(dataset, count, stream), minlength=self.problem.leaves)
            drawn += count
        return Counts(self.tables(leaves), drawn)

    def _mixed(self, weights: Array) -> Counts:
        parts = zip(*self._datasets, strict=True)
        scaled = self.examples * weights
        return Counts(tuple(sum(w * table for w, table in zip(scaled, kinds, strict=True)) for kinds in parts))

    def train(self, state: Counts, dataset: int, volume: float) -> Counts:
        """``volume`` more of one dataset, after decay of what was counted before; see the class for the formula."""
        added = checked_step(self.problem, dataset, volume)
        h = decay(self.forgetting) if self.forgetting else 0.0
        if self.sampled:
            return self._drawn(state, dataset, round(added * self.examples), h / self.examples)
        gained = self.examples * (-math.expm1(-h * added) / h if h else added)
        kept = math.exp(-h * added)
        tables = zip(state.tables, self._datasets[dataset], strict=True)
        return replace(state, tables=tuple(kept * old + gained * new for old, new in tables))

    def _drawn(self, state: Counts, dataset: int, count: int, h: float) -> Counts:
        stream = np.random.default_rng([self.seed, dataset, state.drawn])
        leaves = self.problem.sample(dataset, count, stream)
        weights = np.exp(-h * np.arange(count - 1, -1, -1.0))  # the last sequence counts in full
        new = self.tables(np.bincount(leaves, weights, minlength=self.problem.leaves).astype(np.float64))
        kept = math.exp(-h * count)
        return Counts(
            tuple(kept * old + table for old, table in zip(state.tables, new, strict=True)), state.drawn + count
        )

    def entropies(self, state: Counts) -> Array:
        """``H_i = -sum_x P_i(x) ln q(x)`` of every dataset, shape (n,), nats a leaf: summed context by context, exactly.

        inf where a dataset has a continuation that q rules out (only with prior 0).
        """
        return self._summed(state, self._datasets)

    def _summed(self, state: Counts, datasets: tuple[Tables, ...]) -> Array:
        total = np.zeros(len(datasets))
        with np.errstate(divide="ignore"):
            logs = [np.log(table) for table in self.predictions(state)]
        for index, tables in enumerate(datasets):
            for counts, log in zip(tables, logs, strict=True):
                occurring = counts > 0
                total[index] -= float((counts[occurring] * log[occurring]).sum())
        return total

    def regulariser(self, state: Counts) -> float:
        """``R = -(b/examples) sum ln q(y | u)`` over all contexts, in volume times nats: it joins the sum of R5 (R6)."""
        if self.prior == 0:
            return 0.0
        return -self.prior / self.examples * float(sum(np.log(table).sum() for table in self.predictions(state)))

    def gradients(self, state: Counts) -> Array:
        """``dH_i/d logit(u, y) = P_i(u) q(y | u) - P_i(u y)``, shape (n, parameters), a softmax over y in every context.

        P_i(u) is how often dataset i meets the context. With prior 0, at a joint optimum, ``sum_i w_i grad H_i = 0`` (R7);
        with a prior it is -grad R, where ``dR/d logit(u, y) = (b/examples)(A q(y | u) - 1)``.
        """
        predictions = self.predictions(state)
        rows = []
        for tables in self._datasets:
            pairs = zip(tables, predictions, strict=True)
            rows.append(
                np.concatenate([(counts.sum(1, keepdims=True) * q - counts).reshape(-1) for counts, q in pairs])
            )
        return np.stack(rows)

    def residual(self, state: Counts, later: Counts) -> float:
        """``(1/examples) sum_u (c(u) + A b) KL(q(. | u) || q'(. | u))`` between two states, in volume times nats.

        Between the joint optima at l = 0 and L it *is* ``k DeltaH_p + DeltaH_a + DeltaR`` (R5 for counting).
        """
        total, size = 0.0, self.problem.alphabet
        for counts, q, other in zip(state.tables, self.predictions(state), self.predictions(later), strict=True):
            weight = (counts.sum(axis=1, keepdims=True) + size * self.prior) * q
            weighted = weight > 0
            with np.errstate(divide="ignore"):
                total += float((weight[weighted] * np.log(q[weighted] / other[weighted])).sum())
        return total / self.examples
