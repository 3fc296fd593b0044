"""The card of a behaviour in a model: how durable it is, from gradients only, before anybody trains or attacks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elastomath.arrays import Array
from elastomath.interval import Interval
from elastomath.progress import Meter
from elastomath.shown import Shown, number_of

from ..models.sequences import Sequences
from .adam_forecast import FrozenFeatures, adam_forecast, frozen_features
from .constants import BehaviourGradients, jackknifed, logit_constants
from .forecast import Forecast, forecast, undo_volume, with_intervals
from .gradients import BehaviourReading, behaviour_gradients, read_behaviour
from .results import CardRecord, Norm, Undoing

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GROUPS = 8
"""Groups of prompts of the jackknife."""
CLOSURE = 0.05
"""The mean probability outside the pair below which the logit law is at home."""
TRUSTED = 0.125
"""The one up to which its forecast came true: in six runs with 11% and 12% outside the measured undo volume lay in the interval."""
ANTIPARALLEL = -0.8
"""The cosine of the two gradients above which the behaviour is not one direction."""
NAMES = ("aligning", "perturbing", "kernel", "cosine", "relative", "p")


@dataclass(frozen=True, slots=True, repr=False)
class Card(Shown):
    """What `behaviour_card` found.

    z0         mean contrast over the held-out prompts, nats;  closure  mean probability of neither response
    constants  by name (`LogitConstants`), each with its interval over prompts;  limit  the closure that the law needs
    adapted    examples of both responses that the model was trained on before it was read
    cut        responses that are as long as what is read of one, or longer
    """

    drawer = "empirical.durability.figures:card_figure"

    z0: Interval
    closure: float
    constants: Mapping[str, Interval]
    forecast: Sequence[Forecast]
    optimiser: str
    learning_rate: float
    batch: int
    prompts: int
    limit: float
    adapted: int = 0
    cut: int = 0

    @property
    def applies(self) -> bool:
        """Whether the logit law can be expected to hold here: closure, antiparallel gradients, constants above 0."""
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        """Why it cannot, in words; empty where it can."""
        reasons = []
        if not self.closure < self.limit:
            reasons.append(
                f"{self.closure:.0%} of the probability lies outside the pair (limit {100 * self.limit:.3g}%): "
                + (
                    f"{self.adapted} examples of both responses were not enough to make the model answer a prompt that it had "
                    "not seen with one of them; give more prompts, and to all of them the same few responses, in the same words"
                    if self.adapted
                    else "train the base on both responses first, until it answers with one of them (predict does so with --adapt)"
                )
            )
        cosine = self.constants["cosine"].estimate
        if cosine is None or cosine > 1:  # products of different prompts: of next to nothing by next to nothing
            reasons.append(
                "the gradients of different prompts share too little for a cosine of the two sides: what one prompt teaches says "
                "nothing of the next; give more prompts, or prompts of one kind"
            )
        elif cosine > ANTIPARALLEL:
            reasons.append(
                f"the two gradients are not opposed (cosine {cosine:.2f}, -1 where they are): "
                "what one prompt teaches says little about the next; give more prompts, or prompts of one kind"
            )
        if any((self.constants[name].estimate or 0.0) <= 0 for name in ("aligning", "perturbing")):
            reasons.append("a constant is not positive on these prompts: give more of them")
        return reasons

    def sentences(self) -> list[str]:
        """The conclusion, in whole sentences."""
        rest = []
        if self.cut:
            rest = [f"Of {self.cut} of the {2 * self.prompts} responses no more than --max-tokens is read."]
        if not self.applies:
            return ["The forecast is not to be trusted here: " + "; ".join(self.reasons) + ".", *rest]
        sentences = []
        if self.adapted:
            sentences.append(
                f"After {number_of(self.adapted, 'example')} of both responses, which the model needed to answer with one of them:"
            )
        for row in (self.forecast[0], self.forecast[-1]) if len(self.forecast) > 1 else self.forecast:
            sentences.append(
                f"{number_of(row.n, 'example')} of the chosen response would be undone by "
                f"{row.undo_volume.without_unit()} of the rejected one."
            )
        if len(self.forecast) > 1:
            first, last = self.forecast[0], self.forecast[-1]
            if first.undo_volume.estimate and last.undo_volume.estimate:
                ratio = last.undo_volume.estimate / first.undo_volume.estimate
                sentences.append(
                    f"{last.n / first.n:.3g} times the aligning examples buy {ratio:.2g} times the durability."
                )
        if self.closure >= CLOSURE:
            sentences.append(
                f"{self.closure:.0%} of the probability lies outside the pair, more than the {CLOSURE:.0%} where the law is at home: "
                "more prompts would make the forecast surer."
            )
        return sentences + rest

    def table(self) -> list[dict[str, object]]:
        """A row for each number of aligned examples: the contrast, the first fall and the undo volume, with their intervals."""
        named = ("z", "first_fall", "undo_volume")
        return [
            {"aligned": row.n} | {name: getattr(row, name).without_unit() for name in named} for row in self.forecast
        ]

    def as_dict(self) -> CardRecord:
        """The card as JSON."""
        c = self.constants
        return {
            "z0": self.z0.as_dict(),
            "closure": self.closure,
            "cosine": c["cosine"].as_dict(),
            "c": {name: c[name].as_dict() for name in ("aligning", "perturbing", "kernel")},
            "relative_kernel": c["relative"].as_dict(),
            "optimiser": self.optimiser,
            "learning_rate": self.learning_rate,
            "batch": self.batch,
            "prompts": self.prompts,
            "adapted": self.adapted,
            "applies": self.applies,
            "reasons": self.reasons,
            "forecast": [row.as_dict() for row in self.forecast],
            "conclusion": self.sentences(),
        }


def cut_responses(chosen: Sequences, rejected: Sequences, max_tokens: int) -> int:
    """How many responses are as long as what is read of one, or longer."""
    return sum(int((side.length - side.first >= max_tokens).sum()) for side in (chosen, rejected))


@dataclass(frozen=True, slots=True)
class Passes:
    """What the backward passes over a behaviour give at these weights: all that a card of it needs, at any volume and rate.

    features  a gradient a prompt, for AdamW alone; None where they were not taken
    """

    reading: BehaviourReading
    gradients: BehaviourGradients
    features: FrozenFeatures | None


def behaviour_passes(
    model: PreTrainedModel,
    chosen: Sequences,
    rejected: Sequences,
    *,
    adam: bool,
    neutral: Sequences | None = None,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> Passes:
    """Read both responses to held-out prompts and take their gradients, for ``adam`` of each prompt, too.

    chosen, rejected, neutral: sequences of the same prompts, row by row (neutral: the prompts themselves as text).
    """
    reading = read_behaviour(model, chosen, rejected, autocast=autocast, meter=meter)
    gradients = behaviour_gradients(
        model, chosen, rejected, reading, neutral=neutral, groups=GROUPS, autocast=autocast, meter=meter
    )
    features = frozen_features(model, chosen, rejected, reading.z, autocast=autocast, meter=meter) if adam else None
    return Passes(reading, gradients, features)


def behaviour_card(
    passes: Passes,
    volumes: Sequence[int],
    *,
    learning_rate: float,
    batch: int,
    optimiser: str = "sgd",
    limit: float = CLOSURE,
) -> Card:
    """The constants of a behaviour, and the forecast for each n of ``volumes``.

    optimiser  sgd: the logit law in finite steps (`forecast`); adamw, adamw-carried: Adam on the gradients (`adam_forecast`)
    """
    gradients, features = passes.gradients, passes.features

    def values(left: int | None) -> np.ndarray[Any, Any]:
        constants = logit_constants(gradients, learning_rate, batch, left).as_dict()
        return np.array([constants[name] for name in NAMES])

    estimates, errors = jackknifed(values, GROUPS)
    units = dict.fromkeys(NAMES[:3], "nats/example")
    constants = {
        name: Interval.of_mean(value, error, GROUPS - 1, unit=units.get(name, ""), method="jackknife over prompts")
        for name, value, error in zip(NAMES, estimates, errors, strict=True)
    }
    z = passes.reading.z
    z0 = Interval.of_mean(float(z.mean()), float(z.std(ddof=1) / np.sqrt(z.size)), z.size - 1, unit="nats")
    if optimiser == "sgd":
        rows = forecast(gradients, volumes, learning_rate=learning_rate, batch=batch)
    else:
        assert features is not None, "the passes were taken without adam"

        def frozen(left: int | None) -> np.ndarray[Any, Any]:
            kept = features.without(gradients.groups == (-1 if left is None else left))
            carried = optimiser == "adamw-carried"
            return adam_forecast(kept, volumes, learning_rate=learning_rate, batch=batch, carried=carried)

        rows = with_intervals(volumes, frozen, GROUPS)
    closure = float(passes.reading.outside.mean())
    return Card(z0, closure, constants, rows, optimiser, learning_rate, batch, z.size, limit)


def undoing_again(
    model: PreTrainedModel,
    chosen: Sequences,
    rejected: Sequences,
    start: Array,
    *,
    learning_rate: float,
    batch: int,
    optimiser: str = "sgd",
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> Undoing:
    """What the gradients of an aligned model say of its undoing: {"first_fall", "undo_volume"}, under AdamW "norm" (`FrozenFeatures`).

    start      (prompts,): the contrasts that it has to come back to
    optimiser  sgd: the law with the constant c_- of the aligned model; adamw: Adam with fresh moments on its gradients

    Beside the forecast from the base it tells whether the features moved on the way: frozen ones give the same twice.
    """
    reading = read_behaviour(model, chosen, rejected, autocast=autocast, meter=meter)
    z, groups = reading.z, np.arange(len(chosen)) % GROUPS
    norm: Norm = {}
    if optimiser == "sgd":
        gradients = behaviour_gradients(model, chosen, rejected, reading, groups=GROUPS, autocast=autocast, meter=meter)

        def rows(left: int | None) -> Array:
            kept = groups != (-1 if left is None else left)
            constants = logit_constants(gradients, learning_rate, batch, left)
            undone = undo_volume(start[kept], z[kept], constants.perturbing, batch)
            return np.array([[z[kept].mean(), constants.perturbing * constants.p, undone]])

    else:
        features = frozen_features(model, chosen, rejected, z, autocast=autocast, meter=meter)
        norm["norm"] = features.norm

        def rows(left: int | None) -> Array:
            out = groups == (-1 if left is None else left)
            kept, gained = features.without(out), (z - start)[~out]
            return adam_forecast(kept, [0], learning_rate=learning_rate, batch=batch, carried=False, gained=gained)

    (row,) = with_intervals([0], rows, GROUPS)
    return {"first_fall": row.first_fall.as_dict(), "undo_volume": row.undo_volume.as_dict(), **norm}
