"""One run of a study, anywhere: a life cycle, with what a study wants beside it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elastomath import InputError, kl_divergence
from elastomath.runs.executors import few_threads
from elastomath.runs.ledger import Configuration, Result

from ..compressors.compressor import Compressor, State
from ..compressors.networks import NetworkSize
from ..cycles import sweeps
from ..cycles.behaviour import behave, ordered, replayed
from ..cycles.defended import defended_block
from ..cycles.lifecycle import live
from ..cycles.resistance import resist
from ..sources.problem import Problem


def run(configuration: Configuration) -> Result:
    """`sweeps.run`; a configuration with ``study`` is taken through the same life cycle with these additions.

    cut        the leaves are cut to their first ``cut`` symbols before anything is trained (R10)
    tolerance  the record gets ``prefixes``, KL_d of the pre-trained state for d = 1 ... length, and ``depth`` (`represented_depth`)
    size       of a transformer, as the fields of `NetworkSize`
    defences   another life: that of a defended behaviour (`defended_block`)

    With ``behaviour``, ``replay`` or ``order`` it is no life cycle: the compressor is aligned and undone (`behave`), perturbed beside
    a replay (`replayed`), or has the behaviour early, late or interleaved (`ordered`).
    """
    given = copy.deepcopy(configuration)
    wanted: Mapping[str, Any] = given.pop("study", {})
    if not wanted:
        return sweeps.run(given)
    if "defences" in wanted:
        return defended_block(wanted)
    if "size" in wanted:
        given["settings"]["size"] = NetworkSize(**wanted["size"])
    with few_threads():
        compressor: Any = sweeps.compressor_of(given)
        if "cut" in wanted:
            compressor = replace(compressor, problem=cut(compressor.problem, int(wanted["cut"])))
        for part, live_through in (("behaviour", behave), ("replay", replayed), ("order", ordered)):
            if part in wanted:
                return live_through(compressor, **wanted[part])
        watched = _Watched(compressor)
        record = live(watched, sweeps.cycle_of(given))
        record["covariates"] = {}
        if given["resistance"] is not None:
            cycle = sweeps.cycle_of(given)
            thirds = tuple(cycle.alignments[-1] * part / 3 for part in (1, 2, 3))
            record["resistance"] = resist(compressor, cycle.k, thirds, given["resistance"])
        if "tolerance" in wanted:
            problem = compressor.problem
            gaps = prefix_divergences(problem, problem.masses[0], compressor.masses(watched.first))
            record["prefixes"] = gaps
            record["depth"] = represented_depth(gaps, float(wanted["tolerance"]))
    return {**record}


def cut(problem: Problem, depth: int) -> Problem:
    """The problem of the first ``depth`` symbols: leaves that share them are merged, their masses added.

    Raises InputError for a depth outside 1 ... length.

    >>> cut(Problem(np.array([[0.1, 0.2, 0.3, 0.4]] * 3), alphabet=2, length=2), 1).masses[0].round(3)
    array([0.3, 0.7])
    """
    if not 1 <= depth <= problem.length:
        raise InputError(f"depth {depth}", where="cut", mend=f"choose from 1 to {problem.length}")
    masses = problem.masses.reshape(len(problem.names), problem.alphabet**depth, -1).sum(axis=2)
    return Problem(masses, problem.alphabet, depth, problem.names, problem.covariates)


def prefix_divergences(problem: Problem, target: ArrayLike, code: ArrayLike) -> list[float]:
    """``KL(P^(d) || q^(d))`` of the first d symbols, d = 1 ... length, nats: it never falls with d (chain rule)."""
    divergences = []
    for depth in range(1, problem.length + 1):
        p, q = (
            np.asarray(row, dtype=np.float64).reshape(problem.alphabet**depth, -1).sum(axis=1) for row in (target, code)
        )
        divergences.append(max(0.0, float(kl_divergence(p / p.sum(), q / q.sum()))))
    return divergences


def represented_depth(divergences: ArrayLike, tolerance: float) -> float:
    """How many leading symbols are coded within ``tolerance`` nats of their law: where KL_d crosses it, linear between depths.

    divergences: KL_1 <= KL_2 <= ...; KL_0 = 0. The whole length where it is never crossed. Raises InputError for a tolerance <= 0.

    >>> represented_depth([0.0, 0.01, 0.03], 0.02), represented_depth([0.0, 0.01], 0.02)
    (2.5, 2.0)
    """
    if not tolerance > 0:
        raise InputError(f"tolerance {tolerance:g}", where="represented depth", mend="a tolerance is > 0")
    before = 0.0
    for depth, value in enumerate(np.asarray(divergences, dtype=np.float64).tolist()):
        if value > tolerance:
            return float(depth + (tolerance - before) / (value - before))
        before = value
    return float(np.size(divergences))


class _Watched:
    """A compressor that remembers the first state it was brought to: the pre-trained one."""

    def __init__(self, compressor: Compressor) -> None:
        self._compressor = compressor
        self.first: State = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compressor, name)

    def optimum(self, volumes: ArrayLike, near: State = None) -> State:
        return self._kept(self._compressor.optimum(volumes, near))

    def train(self, state: State, dataset: int, volume: float) -> State:
        return self._kept(self._compressor.train(state, dataset, volume))

    def _kept(self, state: State) -> State:
        if self.first is None:
            self.first = state
        return state
