"""Resistance (F1) with exact distributions: slices of alignment, what each generates, forward against inverse alignment."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from elastomath import InputError, cross_entropy
from elastomath.arrays import Array

from ..compressors.compressor import Compressor, State
from ..compressors.mixture import MixtureCompressor
from ..sources.problem import Problem
from .lifecycle import ALIGN, PRETRAIN, training_unit
from .records import Aligned, Pair, Resisted


def resist(compressor: Any, k: float, slices: tuple[float, ...] = (1 / 3, 2 / 3, 1.0), volume: float = 1.0) -> Resisted:
    """Forward and inverse alignment between slices theta_1, theta_2, ... of one alignment, trained in sequence.

    theta_j is the compressor after k of D_p and ``slices[j]`` of D_a; D_j is what it generates, its own distribution q_j (all
    masses, exactly). For i < j, forward is ``volume`` of D_j from theta_i, inverse is ``volume`` of D_i from theta_j. Each entry of
    ``pairs`` has for both, in nats per leaf, with q the trained state's distribution and target q_T:

    - ``loss`` = H(q_T, q), what F1 compares, and ``entropy`` = H(q_T), its floor, which differs between the two directions;
    - ``excess`` = KL(q_T || q) = loss - entropy, the code length that remains, and ``excess_before`` = KL(q_T || q_start), the
      differences L(theta_j; D_i) - L(theta_i; D_i) and L(theta_i; D_j) - L(theta_j; D_j);
    - ``closed`` = 1 - excess/excess_before, the share of the way that the volume covered.

    ``lower_loss`` and ``lower_excess`` say whether the inverse direction ends lower. Raises InputError for slices that do not
    rise, a volume below one step, and a compressor whose masses are not known.

    >>> from sim import CountingCompressor, problem_of_family
    >>> counting = CountingCompressor(problem_of_family("union", 1.5, 64, alphabet=2))
    >>> pair = resist(counting, 10.0)["pairs"][0]
    >>> pair["from"], pair["to"], 0 < pair["inverse"]["excess"] < pair["inverse"]["excess_before"]
    (0, 1, True)
    """
    if not hasattr(compressor, "masses"):
        raise InputError(f"{compressor.name} has no masses", where="resistance", mend="take a compressor that has")
    unit = training_unit(compressor)
    volumes = [max(1, round(v / unit)) * unit if unit else float(v) for v in (k, *slices, volume)]
    k, volume, slices = volumes[0], volumes[-1], tuple(volumes[1:-1])
    if len(slices) < 2 or not all(a < b for a, b in itertools.pairwise((0.0, *slices))) or volume <= 0:
        raise InputError(
            f"slices {', '.join(f'{s:g}' for s in slices)}, volume {volume:g}",
            where="resistance",
            mend="at least two volumes > 0 that rise, and a volume > 0",
        )
    state, before = compressor.train(compressor.start(), PRETRAIN, k), 0.0
    states = []
    for reached in slices:
        state, before = compressor.train(state, ALIGN, reached - before), reached
        states.append(state)
    codes = [np.asarray(compressor.masses(state)) for state in states]
    wider, first = _with_targets(compressor, codes)
    states = [_wide(compressor, state, len(codes)) for state in states]
    entropies = [cross_entropy(code, code) for code in codes]
    levels = np.array([wider.entropies(state)[first:] for state in states])  # (of state, on D_j)

    def aligned(start: int, target: int) -> Aligned:
        after = wider.train(states[start], first + target, volume)
        loss, floor = float(wider.entropies(after)[first + target]), entropies[target]
        before = float(levels[start, target]) - floor
        excess = loss - floor
        closed = 1 - excess / before if before > 0 else None
        return {"loss": loss, "entropy": floor, "excess": excess, "excess_before": before, "closed": closed}

    pairs: list[Pair] = []
    for i, j in itertools.combinations(range(len(slices)), 2):
        forward, inverse = aligned(i, j), aligned(j, i)
        pairs.append(
            {
                "from": i,
                "to": j,
                "forward": forward,
                "inverse": inverse,
                "lower_loss": inverse["loss"] < forward["loss"],
                "lower_excess": inverse["excess"] < forward["excess"],
            }
        )
    return {"k": k, "slices": list(slices), "volume": volume, "entropies": entropies, "pairs": pairs}


def _with_targets(compressor: Any, codes: list[Array]) -> tuple[Compressor, int]:
    """The same compressor on a problem that has the generated datasets as well, and the number of the first of them."""
    problem = compressor.problem
    rows = np.concatenate([problem.masses, np.stack([code / code.sum() for code in codes])])
    names = (*problem.names, *(f"generated {j}" for j in range(len(codes))))
    return replace(compressor, problem=Problem(rows, problem.alphabet, problem.length, names)), len(problem.names)


def _wide(compressor: Any, state: State, more: int) -> State:
    """A state of the compressor on a problem with ``more`` datasets; only the mixture's counts them."""
    return np.pad(state, (0, more)) if isinstance(compressor, MixtureCompressor) else state
