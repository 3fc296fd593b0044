"""What the presets run: seeds, volumes and settings; runs that studies share are made by one function, so that they are made once."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elastomath.runs.ledger import Configuration

from ..cycles.sweeps import configurations
from .answers import Run

UNIT = 32
"""Volumes of a sequential run are multiples of 1/32: batches of 32 of 1,024 examples."""


@dataclass(frozen=True)
class Plan:
    """What a preset runs.

    leaves       alphabet and length of the sequences: every compressor sees the same sources
    exact        seeds of mixture, counting and softmax
    trained      seeds of transformers
    ks           volumes of pre-training in sequence, in units of |D_a|
    optima       volumes of pre-training for joint optima
    alignments   volumes of alignment
    forgetting   shares that counting forgets in a unit of volume
    rates        learning rates of softmax (gradient descent, 128 steps a unit)
    adamw        learning rates of the transformer (AdamW, 32 steps a unit)
    size         of the transformer: a name, or the fields of a `NetworkSize`
    descent      fields of the `JointTraining` of its joint optima, where they are not the usual ones
    """

    leaves: tuple[int, int]
    exact: int
    trained: int
    ks: tuple[float, ...]
    optima: tuple[float, ...]
    alignments: tuple[float, ...]
    forgetting: tuple[float, ...]
    rates: tuple[float, ...]
    adamw: tuple[float, ...]
    size: str | dict[str, int]
    descent: dict[str, int] | None = None

    @property
    def source(self) -> Configuration:
        """Alphabet and length, as a source takes them."""
        return {"alphabet": self.leaves[0], "length": self.leaves[1], "alpha": 1.5}

    @property
    def features(self) -> int:
        """Features of the softmax: a quarter of the leaves, so that it is limited."""
        return max(2, int(self.leaves[0] ** self.leaves[1]) // 4)


TINY_NETWORK = {"width": 4, "layers": 1, "heads": 1, "inner": 8}
PLANS = {
    "tiny": Plan(
        (3, 2), 2, 1, (1.0, 3.0), (5.0,), (0.5, 1.0), (0.0, 0.2), (2e-3,), (3e-3,), TINY_NETWORK,
        {"adamw": 100, "lbfgs": 60, "newton": 10},
    ),
    "quick": Plan(
        (4, 3), 4, 3, (1.0, 3.0, 9.0, 27.0), (5.0, 20.0), (0.5, 1.0, 2.0), (0.0, 0.05, 0.2, 0.5), (5e-4, 2e-3, 8e-3),
        (1e-3,), "50k",
    ),
    "full": Plan(
        (4, 4), 20, 5, (2.0, 6.0, 18.0, 54.0, 162.0), (5.0, 20.0, 80.0), (0.5, 1.0, 2.0, 4.0), (0.0, 0.02, 0.05, 0.2, 0.5),
        (2e-4, 5e-4, 2e-3, 8e-3), (3e-4, 1e-3, 3e-3), "100k",
    ),
}  # fmt: skip


def perturbations(largest: float = 2.0) -> list[float]:
    """0 and eight volumes up to ``largest``, dense near rest, in multiples of 1/32.

    >>> perturbations()[:4]
    [0.0, 0.03125, 0.125, 0.25]
    """
    places = (0.02, 0.06, 0.125, 0.25, 1 / 3, 0.5, 0.75, 1.0)
    return [0.0, *(max(1, round(place * largest * UNIT)) / UNIT for place in places)]


def joint(dynamics: str, plan: Plan, source: str, seeds: int, **cycle: Any) -> list[Configuration]:
    """Life cycles of joint optima at (k, 1, l), k over ``plan.optima``."""
    settings: Configuration = {}
    if dynamics == "softmax":
        settings = {"count": plan.features}
    if dynamics == "transformer":
        settings = {"dtype": "float64"} | ({} if plan.descent is None else {"joint": plan.descent})
    steps = {"mode": "joint", "inverse": False, "perturbations": [0, 1 / UNIT, 0.25, 0.5, 1.0]} | cycle
    return sized(
        configurations(
            dynamics, source={"name": source} | plan.source, settings=settings, cycle=steps,
            k=list(plan.optima), seed=list(range(seeds)),
        ),
        plan.size,
    )  # fmt: skip


def sequences(
    dynamics: str,
    plan: Plan,
    seeds: int,
    ks: Sequence[float] | None = None,
    source: str = "union2",
    settings: Mapping[str, Any] | None = None,
    **cycle: Any,
) -> list[Configuration]:
    """Life cycles in sequence, k over ``ks`` (the plan's), for each forgetting or learning rate of the plan."""
    steps = {"inverse": False, "alignments": list(plan.alignments), "perturbations": perturbations()} | cycle
    axes: Configuration = {}
    given: Configuration = {}
    if dynamics == "counting":
        given, axes = {"prior": 0.0}, {"settings__forgetting": list(plan.forgetting)}
    elif dynamics == "softmax":
        given = {"count": plan.features, "sampled": False, "examples": 128, "batch": 1}
        axes = {"settings__learning_rate": list(plan.rates)}
    elif dynamics == "transformer":
        given = {"examples": 1024, "batch": 32}
        axes = {"settings__learning_rate": list(plan.adamw)}
    for name in settings or {}:
        axes.pop(f"settings__{name}", None)
    runs = configurations(
        dynamics, source={"name": source} | plan.source, settings=given | dict(settings or {}), cycle=steps,
        **axes, k=list(plan.ks if ks is None else ks), seed=list(range(seeds)),
    )  # fmt: skip
    return sized(runs, plan.size)


def sized(runs: list[Configuration], size: str | Mapping[str, int]) -> list[Configuration]:
    """The same runs with transformers of a size: by its name among the settings, or by its fields for `worker.run`."""
    copies = copy.deepcopy(runs)
    for configuration in copies:
        if configuration["dynamics"] == "transformer":
            if isinstance(size, str):
                configuration["settings"]["size"] = size
            else:
                configuration.setdefault("study", {})["size"] = dict(size)
    return copies


def setting_of(configuration: Configuration) -> str:
    """What sets the runs of one compressor apart, in words.

    >>> setting_of(configurations("counting", settings={"forgetting": 0.2})[0])
    'forgetting 0.2'
    """
    settings, study = configuration["settings"], configuration.get("study", {})
    if "cut" in study:
        return f"depth {study['cut']}"
    if configuration["dynamics"] == "counting":
        if "order" in settings:
            return f"order {settings['order']}"
        return f"forgetting {settings.get('forgetting', 0.0):g}"
    if configuration["dynamics"] == "mixture":
        return "exact"
    words = [f"rate {settings['learning_rate']:g}"] if "learning_rate" in settings else ["optimum"]
    if configuration["dynamics"] == "transformer":
        size = study.get("size", settings.get("size", "50k"))
        words.append(size if isinstance(size, str) else f"width {size['width']}")
        if "examples" in settings:
            words.append(f"{settings['examples'] // settings['batch']} steps a unit")
        if "optimiser" in settings:
            words.append(f"{settings['optimiser']} moments")
    return ", ".join(words)


def grouped(rows: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    """Rows by (compressor, setting), in the order in which they come."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for row in rows:
        groups.setdefault((row[0]["dynamics"], setting_of(row[0])), []).append(row)
    return groups


def forgetting_clock(configuration: Configuration) -> float | None:
    """h, what a unit of volume forgets (nats), where it is known: counting exactly, plain gradient descent to first order.

    A step of gradient descent on a log-linear law moves its moments by ``rate Cov (m_i - m)``: R19 in every direction of its own,
    eta the rate times that eigenvalue of Cov_q(phi). Here it is the mean eigenvalue at the uniform law: a time scale, not a law.
    """
    settings = configuration["settings"]
    if configuration["dynamics"] == "counting":
        return -math.log1p(-float(settings.get("forgetting", 0.0)))
    if configuration["dynamics"] == "softmax" and configuration["cycle"].get("mode") != "joint":
        import numpy as np

        from ..cycles.sweeps import compressor_of

        compressor: Any = compressor_of(configuration)
        stiffness = float(np.trace(compressor.hessian(compressor.start()))) / compressor.parameters
        return float(settings["learning_rate"] * settings["examples"] / settings["batch"] * stiffness)
    return 0.0 if configuration["dynamics"] == "mixture" else None
