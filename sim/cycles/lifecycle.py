"""The life cycle of a compressor: pre-train, align, perturb, undo (Def 3.6), read along the way; jointly or in sequence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike

from elastomath import Curve, InputError
from elastomath.arrays import Array
from elastomath.checks import SHARE, choice, real
from elastomath.curve import LARGEST
from elastomath.memory import affordable
from elastomath.units import NATS_PER_BIT

from ..compressors.compressor import Compressor, State
from ..compressors.descent import Descent
from ..sources.problem import COMPONENTS, Problem
from .crossing import Crossing, crossing
from .records import Back, Entry, Gradients, Life

if TYPE_CHECKING:
    from collections.abc import Callable

MODES: Final = ("joint", "sequential")
PRETRAIN, ALIGN, PERTURB = range(3)
DRAW_BYTES = 24
"""Memory of a sequence that is drawn: a number between 0 and 1, the leaf, a symbol at least."""


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """What a compressor goes through. Volumes are in units of |D_a| = 1.

    k              volume of pre-training
    alignments     volumes of alignment, rising; the later ones go on from the earlier ones
    perturbations  volumes of D_t at which all rates are read, rising from 0
    mode           ``sequential``: one phase after another; ``joint``: the joint optimum at (k, n, l) for every reading
    epsilon        how near counts as back: this share of what the perturbation did
    inverse        whether to look for the volumes that bring it back and that undo alignment
    largest        where the search for these volumes ends, in units of max(n, L)
    precision      width of their brackets, relative

    Raises InputError for volumes that do not rise, or lie beyond `curve.LARGEST` and its reciprocal, an unknown mode, and an epsilon
    outside (0, 1).
    """

    k: float
    alignments: tuple[float, ...] = (1.0,)
    perturbations: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    mode: str = "sequential"
    epsilon: float = 0.1
    inverse: bool = True
    largest: float = 64.0
    precision: float = 1e-3

    def __post_init__(self) -> None:
        _rising("k", (self.k,))
        _rising("alignments", self.alignments)
        if self.perturbations[:1] != (0.0,):
            raise InputError(
                "perturbations do not start at 0", where="life cycle", mend="the first reading is at l = 0"
            )
        _rising("perturbations", self.perturbations[1:])
        choice(self.mode, "mode", "life cycle", MODES)
        SHARE(self.epsilon, "epsilon", "life cycle")
        SHARE(self.precision, "precision", "life cycle")
        real(self.largest, "largest", "life cycle", above=0.0, finite=False)


def live(compressor: Compressor, cycle: LifeCycle) -> Life:
    """Take a compressor of D_p, D_a, D_t through its life cycle; everything that was read, as JSON.

    ``runs`` has one entry for each alignment volume n:

    - ``volumes`` (k, n, L) as they were trained; ``perturbations`` l, shape (J,); ``entropies`` H_i(l), shape (3, J), nats per leaf;
      ``reverse`` KL(q_l || P_i) likewise, None where infinite (Hooke's other reading, R12);
    - ``scores`` ``s(q_l) = sum_x q_l(x) P_a(x)/(P_a(x) + P_t(x))``, a behaviour linear in q as R13 asks, with those of the datasets and
      of the pre-trained state in ``levels``;
    - ``gradients`` at l = 0 and L: the cosine of grad H_p and grad H_a, |grad H_a|/|grad H_p|, and what is left of
      ``k grad H_p + n grad H_a + l grad H_t`` in units of the sum of the norms (R7);
    - ``back``: how much more of D_a brings the perturbed state back, ``H_a - H_a(aligned) <= epsilon (H_a(perturbed) - H_a(aligned))``,
      and how far all three H_i are from the aligned state there (``left``);
    - ``undo``: how much D_t takes the *aligned* state back to the score of the pre-trained one (Def 3.6 with g = training on
      D_t; R13 and R19 have it as m*). Both as `Crossing.as_dict`.

    ``losses`` are H_i after each phase, untrained state included. In sequence, readings fall between steps of training: volumes
    are rounded to whole ones (`training_unit`), and those in the record are the rounded ones. (A compressor that draws starts a
    stream of draws at each reading: another grid is another draw of the same law.)

    Raises InputError for a problem without the three datasets, and where a rate is infinite (no coverage).
    """
    if compressor.problem.names[:3] != COMPONENTS:
        raise InputError(
            f"datasets {', '.join(compressor.problem.names)}", where="life cycle", mend="pretrain, align, perturb first"
        )
    return _Life(compressor, cycle).record()


def check_draws(compressor: Compressor, cycle: LifeCycle) -> None:
    """Refuse volumes that are less than a step of training, and more sequences than can be drawn, before anything is trained.

    Raises InputError with the volume.
    """
    life = _Life(compressor, cycle)
    if life.unit is None and not getattr(compressor, "sampled", False):
        return
    examples: int = getattr(compressor, "examples")  # noqa: B009 - a compressor that draws has them
    for name, volume in (("k", life.k), ("alignments", life.alignments[-1]), ("perturbations", life.steps[-1])):
        affordable(round(volume * examples), DRAW_BYTES, f"{name} = {volume:g}", "life cycle", "sequences")


def training_unit(compressor: Compressor) -> float | None:
    """The smallest volume that sequential training knows: a batch, or a drawn sequence; None where any volume will do."""
    examples, batch = getattr(compressor, "examples", None), getattr(compressor, "batch", None)
    if examples is None or (batch is None and not getattr(compressor, "sampled", True)):
        return None
    return float((batch or 1) / examples)


def curve_of(record: Mapping[str, Any], name: str, **covariates: Any) -> Curve:
    """The record of `live` as a Curve: a run for each alignment volume, rates in bits per symbol, volumes in symbols (|D_a| = 1)."""
    curves = []
    for run in record["runs"]:
        rates = np.asarray(run["entropies"]) / (NATS_PER_BIT * record["length"])
        curves.append(
            Curve.from_paths(
                f"{name}-n{run['volumes'][ALIGN]:g}",
                dict(zip(COMPONENTS, run["volumes"], strict=True)),
                run["perturbations"],
                dict(zip(COMPONENTS, rates, strict=True)),
                "bits/symbol",
                "symbols",
                k=run["volumes"][PRETRAIN] / run["volumes"][ALIGN],
                align_volume=run["volumes"][ALIGN],
                pretrain_volume=run["volumes"][PRETRAIN],
                mode=record["mode"],
                **covariates,
            )
        )
    return Curve.concat(curves)


def behaviour(problem: Problem) -> Array:
    """``f(x) = P_a(x)/(P_a(x) + P_t(x))``, shape (M,): how much a leaf is D_a's rather than D_t's; 1/2 where it is neither's.

    ``s(q) = sum_x q(x) f(x)`` is linear in q, and ``s(P_a) - s(P_t) = sum (P_a - P_t)^2/(P_a + P_t)``, the triangular discrimination.
    """
    align, perturb = problem.masses[ALIGN], problem.masses[PERTURB]
    both = align + perturb
    return np.where(both > 0, align / np.where(both > 0, both, 1.0), 0.5)


class _Life:
    """One compressor on its way; the states live here, the record gets numbers only."""

    def __init__(self, compressor: Compressor, cycle: LifeCycle) -> None:
        self.compressor, self.cycle = compressor, cycle
        self.joint = cycle.mode == "joint"
        self.unit = None if self.joint else training_unit(compressor)
        self.k = self._snapped(cycle.k, "k")
        self.alignments = self._grid("alignments", cycle.alignments)
        self.steps = (0.0, *self._grid("perturbations", cycle.perturbations[1:]))
        self.masses: Callable[[State], Array] | None = getattr(compressor, "masses", None)
        self.behaviour = behaviour(compressor.problem)

    def record(self) -> Life:
        compressor = self.compressor
        untrained = compressor.start()
        base = self._state(untrained, 0.0, self.k, 0.0, 0.0, PRETRAIN)
        losses = {"untrained": self._entropies(untrained), "pretrained": self._entropies(base)}
        rows = compressor.problem.masses[:3]
        scores = (*(float(row @ self.behaviour) for row in rows), self._score(base))
        levels = dict(zip((*COMPONENTS, "pretrained"), scores, strict=True))
        runs, state, before = [], base, 0.0
        for volume in self.alignments:
            state = self._state(state, before, self.k, volume, 0.0, ALIGN)
            before = volume
            runs.append(self._run(state, volume, losses, levels["pretrained"]))
        return {
            "mode": self.cycle.mode,
            "epsilon": self.cycle.epsilon,
            "leaves": compressor.problem.leaves,
            "length": compressor.problem.length,
            "parameters": getattr(compressor, "parameters", None),
            "losses": losses,
            "levels": levels,
            "runs": runs,
        }

    def _run(self, aligned: State, volume: float, losses: dict[str, list[float]], level: float | None) -> Entry:
        losses[f"aligned {volume:g}"] = self._entropies(aligned)
        states = [aligned]
        for before, after in itertools.pairwise(self.steps):
            states.append(self._state(states[-1], before, self.k, volume, after, PERTURB))
        perturbed = states[-1]
        entropies = np.array([self._entropies(state) for state in states]).T
        losses[f"perturbed {volume:g}"] = entropies[:, -1].tolist()
        record: Entry = {
            "volumes": [self.k, volume, self.steps[-1]],
            "perturbations": list(self.steps),
            "entropies": entropies.tolist(),
            "scores": cast("list[float]", [self._score(state) for state in states]),  # None without masses
            "reverse": self._reverse(states),
            "gradients": [self._gradients(aligned, volume, 0.0), self._gradients(perturbed, volume, self.steps[-1])],
            "descent": [_descent(state) for state in states] if self.joint else None,
        }
        if self.cycle.inverse:
            record["back"] = self._back(aligned, perturbed, volume)
            record["undo"] = self._undo(aligned, volume, level)
        return record

    def _back(self, aligned: State, perturbed: State, volume: float) -> Back:
        """How much more of D_a brings the perturbed state back within epsilon."""
        target = self._entropies(aligned)
        moved = self._entropies(perturbed)[ALIGN] - target[ALIGN]
        allowed = self.cycle.epsilon * max(moved, 0.0)

        def advance(state: State, before: float, after: float) -> State:
            if self.joint:
                return self.compressor.optimum(self._volumes(self.k, volume + after, self.steps[-1]), state)
            return self.compressor.train(state, ALIGN, after - before)

        def gap(state: State) -> float:
            return self._entropies(state)[ALIGN] - target[ALIGN] - allowed

        first = self._crossing(advance, perturbed, gap, volume)
        left = np.subtract(self._entropies(first.state), target)
        return {
            **first.as_dict(),
            "moved": moved,
            "left": left.tolist(),
            "share": _share(first.volume, self.steps[-1]),
        }

    def _undo(self, aligned: State, volume: float, level: float | None) -> Back | None:
        """How much D_t takes the aligned state back to the score of the pre-trained one."""
        if level is None:
            return None
        before_alignment = level

        def advance(state: State, before: float, after: float) -> State:
            if self.joint:
                return self.compressor.optimum(self._volumes(self.k, volume, after), state)
            return self.compressor.train(state, PERTURB, after - before)

        def gap(state: State) -> float:
            return (self._score(state) or 0.0) - before_alignment

        first = self._crossing(advance, aligned, gap, volume)
        return {**first.as_dict(), "share": _share(first.volume, volume)}

    def _crossing(
        self,
        advance: Callable[[State, float, float], State],
        state: State,
        gap: Callable[[State], float],
        volume: float,
    ) -> Crossing:
        scale = max(volume, self.steps[-1])
        return crossing(
            advance,
            state,
            gap,
            first=max(scale / 64, self.unit or 0.0),
            largest=max(self.cycle.largest * scale, self.unit or 0.0),
            unit=self.unit,
            precision=self.cycle.precision,
        )

    # --- states and what is read from them -----------------------------------------------------------------------------

    def _state(self, state: State, before: float, k: float, n: float, step: float, phase: int) -> State:
        """The state at volumes (k, n, l), from one that had ``before`` of the dataset of this phase."""
        if self.joint:
            return self.compressor.optimum(self._volumes(k, n, step), None if phase == PRETRAIN else state)
        return self.compressor.train(state, phase, (k, n, step)[phase] - before)

    def _volumes(self, k: float, n: float, step: float) -> Array:
        volumes = np.zeros(len(self.compressor.problem.names))
        volumes[:3] = k, n, step
        return volumes

    def _entropies(self, state: State) -> list[float]:
        entropies = np.asarray(self.compressor.entropies(state))[:3]
        if np.isnan(entropies).any():
            raise FloatingPointError("training diverged: a rate is not a number")
        if not np.isfinite(entropies).all():
            raise InputError(
                "a dataset is not covered: its rate is infinite",
                where="life cycle",
                mend="give the source a cover > 0 (say 0.01), or the compressor a prior",
            )
        return [float(value) for value in entropies]

    def _score(self, state: State) -> float | None:
        return None if self.masses is None else float(self.masses(state) @ self.behaviour)

    def _reverse(self, states: list[State]) -> list[list[float | None]] | None:
        if self.masses is None:
            return None
        codes = np.array([self.masses(state) for state in states])
        return [[reverse_divergence(code, row) for code in codes] for row in self.compressor.problem.masses[:3]]

    def _gradients(self, state: State, n: float, step: float) -> Gradients | None:
        try:
            rows = np.asarray(self.compressor.gradients(state), dtype=np.float64)[:3]
        except InputError:
            return None
        norms = np.linalg.norm(rows, axis=1)
        weights = np.array([self.k, n, step])
        product = norms[PRETRAIN] * norms[ALIGN]
        return {
            "perturbation": step,
            "cosine": _ratio(float(rows[PRETRAIN] @ rows[ALIGN]), float(product)),
            "ratio": _ratio(float(norms[ALIGN]), float(norms[PRETRAIN])),
            "norms": norms.tolist(),
            "residual": _ratio(float(np.linalg.norm(weights @ rows)), float(weights @ norms)),
        }

    def _snapped(self, volume: float, name: str) -> float:
        if self.unit is None:
            return float(volume)
        steps = round(volume / self.unit)
        if steps < 1:
            raise InputError(
                f"{name} = {volume:g} is less than a step of training",
                where="life cycle",
                mend=f"give at least {self.unit:g}, or more examples a unit",
            )
        return steps * self.unit

    def _grid(self, name: str, volumes: tuple[float, ...]) -> tuple[float, ...]:
        """Volumes in whole steps, those that fall together taken once; the smallest is at least one step."""
        if self.unit is None:
            return tuple(float(volume) for volume in volumes)
        top = self._snapped(volumes[-1], name)
        return tuple(sorted({max(1, round(volume / self.unit)) * self.unit for volume in volumes[:-1]} | {top}))


def reverse_divergence(code: ArrayLike, masses: ArrayLike) -> float | None:
    """``KL(q || P) = sum_x q(x) ln(q(x)/P(x))``, nats; None where q has a leaf that P has not."""
    q, p = np.asarray(code, dtype=np.float64), np.asarray(masses, dtype=np.float64)
    covered = q > 0
    if (p[covered] == 0).any():
        return None
    return float((q[covered] * np.log(q[covered] / p[covered])).sum())


def _descent(state: State) -> dict[str, float | str] | None:
    descent: Descent | None = getattr(state, "descent", None)
    return None if descent is None else descent.as_dict()


def _share(volume: float | None, whole: float) -> float | None:
    return None if volume is None else volume / whole


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 and math.isfinite(part / whole) else None


def _rising(name: str, volumes: tuple[float, ...]) -> None:
    if not volumes or not all(1 / LARGEST <= v <= LARGEST for v in volumes) or list(volumes) != sorted(set(volumes)):
        raise InputError(
            f"{name} = {', '.join(f'{v:g}' for v in volumes)}",
            where="life cycle",
            mend=f"{name} lie between {1 / LARGEST:g} and {LARGEST:g}, and rise",
        )
