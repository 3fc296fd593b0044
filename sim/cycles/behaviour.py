"""A behaviour in sequence by exact gradient descent: aligned, undone, and what the gradients of the base foretell of both (R25)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastomath import InputError
from elastomath.laws.logit import aligned_contrast, fall_volume
from elastomath.runs.ledger import Result

from ..sources.behaviour import CHOSEN, REJECTED
from ..sources.problem import COMPONENTS

Array = NDArray[np.float64]
ALIGN, PERTURB = COMPONENTS.index("align"), COMPONENTS.index("perturb")
READ = 0.02
"""Perturbation between two readings, times the constant: a course falls by at most this between them."""
KEPT = 24
"""Readings of a course that its record keeps."""
MOST = 40.0
"""Perturbation after which a run ends that was not undone, times the constant."""


def behave(compressor: Any, constant: float, volumes: Sequence[int]) -> Result:
    """Align the joint optimum of P_p along ``volumes`` (rising, in steps of descent), and undo it from each of them.

    The step is ``constant / |grad z|^2`` of the base, so that the constant c of the logit law (R21) is ``constant`` there, whatever
    the compressor. The record is that of a sequential life cycle, with ``behaviour``: readings of the base (``base``) and of
    each aligned state (``ways``), each with z, the share p, the closure and the kernel ``|grad z|^2`` over that of the base.

    Raises InputError for a constant or volumes that cannot be used, and a compressor without gradient descent.
    """
    if not 0 < constant <= 1 or not volumes or sorted(set(volumes)) != list(volumes) or volumes[0] < 1:
        raise InputError(
            f"constant {constant:g}, volumes {list(volumes)}",
            where="behaviour",
            mend="constant in (0, 1], rising volumes",
        )
    if not hasattr(compressor, "descend"):
        raise InputError(f"no gradient descent in {compressor.name}", where="behaviour", mend="softmax or transformer")
    base = compressor.optimum([1.0, 0.0, 0.0])
    gradients = compressor.gradients(base)
    towards = gradients[PERTURB] - gradients[ALIGN]
    kernel = float(towards @ towards)
    rate = constant / kernel
    start = _reading(compressor, base) | {"kernel": 1.0}
    aligning = -rate * float(towards @ gradients[ALIGN]) / (1 - start["p"])
    perturbing = rate * float(towards @ gradients[PERTURB]) / start["p"]
    state, done, ways, runs = base, 0, [], []
    for n in volumes:
        state, done = compressor.descend(state, ALIGN, n - done, rate), n
        now = compressor.gradients(state)
        moved = now[PERTURB] - now[ALIGN]
        steps, course = _undo(compressor, state, start["z"], rate, constant)
        foretold = float(aligned_contrast(start["z"], n, aligning))
        ways.append(
            _reading(compressor, state)
            | {"n": n, "kernel": float(moved @ moved) / kernel, "forecast_z": foretold}
            | {"undo_volume": _crossing(steps, course[PERTURB] - course[ALIGN], start["z"])}
            | {"forecast_undo_volume": float(fall_volume(foretold, foretold - start["z"], perturbing))}
        )
        runs.append({"volumes": [1.0, float(n), steps[-1]], "reverse": None} | _thinned(steps, course))
    return {
        "mode": "sequential",
        "length": compressor.problem.length,
        "runs": runs,
        "behaviour": {"base": start, "ways": ways, "aligning": aligning, "perturbing": perturbing},
    }


def _reading(compressor: Any, state: Any) -> dict[str, float]:
    """z over the prompts of D_a, the mean share of the chosen response in the pair, and the mass outside the pair."""
    entropies = compressor.entropies(state)
    alphabet = compressor.problem.alphabet
    joint = compressor.masses(state).reshape(-1, alphabet)
    prompts = compressor.problem.masses[ALIGN].reshape(-1, alphabet).sum(axis=1)
    response = joint / joint.sum(axis=1, keepdims=True)
    pair = response[:, [CHOSEN, REJECTED]].sum(axis=1)
    return {
        "z": float(entropies[PERTURB] - entropies[ALIGN]),
        "p": float(prompts @ (response[:, CHOSEN] / pair)),
        "closure": float(prompts @ (1 - pair)),
    }


def _undo(compressor: Any, state: Any, until: float, rate: float, constant: float) -> tuple[list[float], Array]:
    """Steps taken on D_t at each reading, and the entropies there, shape (3, readings), until z is back at ``until``."""
    stride, steps = max(1, round(READ / constant)), [0.0]
    course = [compressor.entropies(state)]
    while len(course) == 1 or (course[-1][PERTURB] - course[-1][ALIGN] > until and steps[-1] < MOST / constant):
        state = compressor.descend(state, PERTURB, stride, rate)
        steps.append(steps[-1] + stride)
        course.append(compressor.entropies(state))
    return steps, np.array(course, dtype=np.float64).T


def _thinned(steps: Sequence[float], course: Array) -> dict[str, Any]:
    """At most `KEPT` readings of a course, dense near its start, with its first and its last."""
    wide = np.geomspace(1, len(steps), KEPT).round().astype(int) - 1
    places = np.unique(np.append(wide, len(steps) - 1))
    return {"perturbations": [steps[i] for i in places], "entropies": course[:, places].tolist()}


def _crossing(steps: Sequence[float], z: Array, level: float) -> float | None:
    """Where the falling course meets the level, linear between readings; None where it does not."""
    if z[0] <= level:
        return 0.0
    if z[-1] > level:
        return None
    share = (z[-2] - level) / (z[-2] - z[-1])
    return float(steps[-2] + share * (steps[-1] - steps[-2]))
