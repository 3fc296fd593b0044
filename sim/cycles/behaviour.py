"""A behaviour in sequence by exact gradient descent: aligned, undone, replayed, at several places in the base (R21, R25)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.fit.crossing import first_crossing
from elastomath.laws.logit import aligned_contrast, fall_volume
from elastomath.runs.ledger import Result

from ..compressors.compressor import Descending, State
from ..sources.behaviour import CHOSEN, REJECTED
from ..sources.problem import COMPONENTS

PRETRAIN, ALIGN, PERTURB = (COMPONENTS.index(name) for name in ("pretrain", "align", "perturb"))
ONLY = np.eye(len(COMPONENTS))
"""Shares of the datasets in what is descended on: one of them alone, by its place."""
READ = 0.02
"""Perturbation between two readings, times the constant: a course falls by at most this between them."""
KEPT = 24
"""Readings of a course that its record keeps."""
MOST = 40.0
"""Perturbation after which a run ends that was not undone, times the constant."""
NEAR, ROUNDING = 0.3, 1e-6
"""Distances from rest, nats, between which the speed of a replayed behaviour's approach is read."""
ORDERS = ("early", "interleaved", "late")
"""Where the behaviour stands in the training of the base."""


def behave(compressor: Descending, constant: float, volumes: Sequence[int]) -> Result:
    """Align the joint optimum of P_p along ``volumes`` (rising, in steps of descent), and undo it from each of them.

    The step is ``constant / |grad z|^2`` of the base, so that the constant c of the logit law (R21) is ``constant`` there, whatever
    the compressor. The record is that of a sequential life cycle, with ``behaviour``: readings of the base (``base``) and of
    each aligned state (``ways``), each with z, the share p, the closure, the kernel ``|grad z|^2`` over that of the base, and how far
    the gradient has turned, ``|grad z - grad z_0| / |grad z_0|``.

    Raises InputError for a constant or volumes that cannot be used, and a compressor without gradient descent.
    """
    if not 0 < constant <= 1 or not volumes or sorted(set(volumes)) != list(volumes) or volumes[0] < 1:
        raise InputError(
            f"constant {constant:g}, volumes {list(volumes)}",
            where="behaviour",
            mend="constant in (0, 1], rising volumes",
        )
    base = _base(compressor)
    gradients = compressor.gradients(base)
    towards = gradients[PERTURB] - gradients[ALIGN]
    kernel = float(towards @ towards)
    rate = constant / kernel
    start = _reading(compressor, base) | {"kernel": 1.0, "turned": 0.0}
    aligning = -rate * float(towards @ gradients[ALIGN]) / (1 - start["p"])
    perturbing = rate * float(towards @ gradients[PERTURB]) / start["p"]
    state, done, ways, runs = base, 0, [], []
    for n in volumes:
        state, done = compressor.descend(state, ONLY[ALIGN], n - done, rate), n
        now = compressor.gradients(state)
        moved = now[PERTURB] - now[ALIGN]
        steps, course = _undo(compressor, state, start["z"], rate, constant)
        foretold = float(aligned_contrast(start["z"], n, aligning))
        ways.append(
            _reading(compressor, state)
            | {"n": n, "kernel": float(moved @ moved) / kernel, "forecast_z": foretold}
            | {"turned": float(np.linalg.norm(moved - towards)) / kernel**0.5}
            | {"undo_volume": _undo_volume(steps, course[PERTURB] - course[ALIGN], start["z"])}
            | {"forecast_undo_volume": float(fall_volume(foretold, foretold - start["z"], perturbing))}
        )
        runs.append({"volumes": [1.0, float(n), steps[-1]], "reverse": None} | thinned(steps, course))
    return {
        "mode": "sequential",
        "length": compressor.problem.length,
        "runs": runs,
        "behaviour": {"base": start, "ways": ways, "aligning": aligning, "perturbing": perturbing},
    }


def _base(compressor: Descending) -> State:
    """The joint optimum of P_p; InputError for a compressor without gradient descent."""
    if not hasattr(compressor, "descend"):
        raise InputError(
            f"no gradient descent in {compressor.name}", where="behaviour", mend="softmax, perceptron or transformer"
        )
    return compressor.optimum([1.0, 0.0, 0.0])


def _rate(compressor: Descending, state: State, constant: float) -> float:
    """The step at which c is ``constant`` in this state."""
    gradients = compressor.gradients(state)
    towards = gradients[PERTURB] - gradients[ALIGN]
    return constant / float(towards @ towards)


def _contrast(compressor: Descending, state: State) -> float:
    entropies = compressor.entropies(state)
    return float(entropies[PERTURB] - entropies[ALIGN])


def replayed(
    compressor: Descending, constant: float, volume: int, past: float, mixes: Sequence[tuple[str, float]]
) -> Result:
    """Align the joint optimum of P_p by ``volume`` steps, then perturb with each mix of what was seen before (R21).

    mixes   (of, r): a share r of ``align`` or ``pretrain`` beside 1 - r of the perturbation; (``past``, any): everything seen so
            far, D_p counted as ``past`` steps, in proportion: (past, volume, m)/(past + volume + m) at step m
    The record has ``replay``: for each mix the contrast of the joint law at its end (``joint``: of the mix itself, for ``past`` of the
    volumes so far), the opposed steps that undo the alignment (``undo_volume``; None where nothing does), where the contrast ends,
    and how fast it gets there (``speed``, over c p (1 - p) of the place of rest; None where it is not near).

    Raises InputError for a compressor without gradient descent.
    """
    base = _base(compressor)
    rate, stride = _rate(compressor, base, constant), max(1, round(READ / constant))
    start = _reading(compressor, base)
    aligned = compressor.descend(base, ONLY[ALIGN], volume, rate)
    top, replays, runs = _contrast(compressor, aligned), [], []
    for of, share in mixes:
        state, steps, opposed = aligned, [0.0], [0.0]
        course = [compressor.entropies(state)]
        limit = volume + MOST / constant
        while steps[-1] < limit and not (of == "past" and course[-1][PERTURB] - course[-1][ALIGN] <= start["z"]):
            shares = (1 - share) * ONLY[PERTURB] + share * ONLY[ALIGN if of == "align" else PRETRAIN]
            if of == "past":
                volumes = np.array([past, volume, steps[-1] + stride])
                shares = volumes / volumes.sum()
            state = compressor.descend(state, shares, stride, rate)
            steps.append(steps[-1] + stride)
            opposed.append(opposed[-1] + stride * (1 - share))
            course.append(compressor.entropies(state))
        path = np.array(course).T
        z = path[PERTURB] - path[ALIGN]
        wanted = share if of == "align" else share * start["p"]
        if of == "past":
            wanted = (past * start["p"] + volume) / (past + volume + steps[-1])
        joint = float(np.log(wanted / (1 - wanted))) if wanted > 0 else None
        undone = _undo_volume(opposed, z, start["z"])
        speed = None if of == "past" or joint is None else _speed(steps, z - joint)
        law = constant * wanted * (1 - wanted)
        row = {"of": of, "share": share, "undo_volume": undone, "end": float(z[-1]), "joint": joint}
        replays.append(row | {"speed": None if speed is None else speed / law})
        name = f"{of}{share:g}-n"
        runs.append({"name": name, "volumes": [past, float(volume), steps[-1]], "reverse": None} | thinned(steps, path))
    summary = {
        "z0": start["z"],
        "p0": start["p"],
        "z": top,
        "n": volume,
        "past": past,
        "constant": constant,
        "mixes": replays,
    }
    return {"mode": "sequential", "length": compressor.problem.length, "runs": runs, "replay": summary}


def _speed(steps: Sequence[float], distance: Array) -> float | None:
    """How fast the distance from rest dies, a step, by least squares of its logarithm between `NEAR` and `ROUNDING`."""
    near = (np.abs(distance) < NEAR) & (np.abs(distance) > ROUNDING)
    if near.sum() < 3:
        return None
    return -float(np.polyfit(np.asarray(steps)[near], np.log(np.abs(distance[near])), 1)[0])


def ordered(compressor: Descending, constant: float, past: int, volume: int) -> Result:
    """A base of ``past`` steps on P_p and ``volume`` on P_a: the behaviour early, interleaved or late; then undone by P_t.

    All start from the untrained state; c is ``constant`` there. A behaviour is undone where z is that of the base without it.
    The record has ``order``: z of that base (``floor``), and for each of `ORDERS` z and the opposed steps that undo it.

    Raises InputError for a compressor without gradient descent.
    """
    if not hasattr(compressor, "descend"):
        _base(compressor)
    start, total = compressor.start(), past + volume
    rate = _rate(compressor, start, constant)
    floor = _contrast(compressor, compressor.descend(start, ONLY[PRETRAIN], past, rate))
    both = (past * ONLY[PRETRAIN] + volume * ONLY[ALIGN]) / total
    phases = {
        "early": ((ONLY[ALIGN], volume), (ONLY[PRETRAIN], past)),
        "interleaved": ((both, total),),
        "late": ((ONLY[PRETRAIN], past), (ONLY[ALIGN], volume)),
    }
    rows, runs = [], []
    for name in ORDERS:
        state = start
        for shares, steps in phases[name]:
            state = compressor.descend(state, shares, steps, rate)
        z = _contrast(compressor, state)
        volumes, course = _undo(compressor, state, floor, rate, constant)
        undone = _undo_volume(volumes, course[PERTURB] - course[ALIGN], floor)
        rows.append({"order": name, "z": z, "undo_volume": undone})
        runs.append(
            {"name": f"{name}-n", "volumes": [float(past), float(volume), volumes[-1]], "reverse": None}
            | thinned(volumes, course)
        )
    record = {"floor": floor, "start": _contrast(compressor, start), "past": past, "n": volume, "constant": constant}
    return {"mode": "sequential", "length": compressor.problem.length, "runs": runs, "order": record | {"orders": rows}}


def _reading(compressor: Descending, state: State) -> dict[str, float]:
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


def _undo(
    compressor: Descending, state: State, until: float, rate: float, constant: float
) -> tuple[list[float], Array]:
    """Steps taken on D_t at each reading, and the entropies there, shape (3, readings), until z is back at ``until``."""
    stride, steps = max(1, round(READ / constant)), [0.0]
    course = [compressor.entropies(state)]
    while len(course) == 1 or (course[-1][PERTURB] - course[-1][ALIGN] > until and steps[-1] < MOST / constant):
        state = compressor.descend(state, ONLY[PERTURB], stride, rate)
        steps.append(steps[-1] + stride)
        course.append(compressor.entropies(state))
    return steps, np.array(course, dtype=np.float64).T


def thinned(steps: Sequence[float], course: Array, kept: int = KEPT) -> Result:
    """At most ``kept`` readings of a course, dense near its start, with its first and its last."""
    wide = np.geomspace(1, len(steps), kept).round().astype(int) - 1
    places = np.unique(np.append(wide, len(steps) - 1))
    return {"perturbations": [steps[i] for i in places], "entropies": course[:, places].tolist()}


def _undo_volume(steps: Sequence[float], z: Array, floor: float) -> float | None:
    """Where the contrast is first back at its floor; None where it never is."""
    volume = float(first_crossing(steps, z - floor))
    return volume if math.isfinite(volume) else None
