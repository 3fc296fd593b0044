"""Two backward passes over a behaviour at these weights, before anything is trained (R25); what follows from them is in `constants`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from elastomath.arrays import Array
from elastomath.errors import InputError
from elastomath.progress import Meter

from ..measures.code_lengths import pair_lengths
from ..measures.gradients import SKETCH, group_gradients
from ..models.sequences import Sequences
from .constants import BehaviourGradients

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class BehaviourReading:
    """Code lengths of the two responses to held-out prompts, in nats per response, each shape (prompts,).

    z        gamma_- - gamma_+, the log-odds of the chosen response against the rejected one
    outside  the probability of neither: 1 - e^-gamma_+ - e^-gamma_-; its mean is the closure of the behaviour
    """

    chosen: Array
    rejected: Array

    @property
    def z(self) -> Array:
        """The contrast of every prompt."""
        return self.rejected - self.chosen

    @property
    def outside(self) -> Array:
        """The mass outside the pair, prompt by prompt, in [0, 1]."""
        return np.clip(1.0 - np.exp(-self.chosen) - np.exp(-self.rejected), 0.0, 1.0)


def read_behaviour(
    model: PreTrainedModel,
    chosen: Sequences,
    rejected: Sequences,
    *,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> BehaviourReading:
    """gamma_+ and gamma_- of every held-out prompt at the weights of now."""
    plus, minus = pair_lengths(model, chosen, rejected, autocast=autocast, meter=meter)
    return BehaviourReading(plus.nats, minus.nats)


def behaviour_gradients(
    model: PreTrainedModel,
    chosen: Sequences,
    rejected: Sequences,
    reading: BehaviourReading,
    *,
    neutral: Sequences | None = None,
    groups: int = 8,
    batch: int = 8,
    autocast: torch.dtype | None = None,
    sketch: int = SKETCH,
    meter: Meter | None = None,
) -> BehaviourGradients:
    """Gradients of ``gamma_+ = -ln p(y+|x)`` and ``gamma_-`` summed over each group of prompts, and their products.

    The prompts go into ``groups`` in turn, the same prompts on both sides. Memory: a sketch of each group beside the model,
    and one parameter's gradient at a time (`group_gradients`).
    Raises InputError for fewer than 3 groups, or fewer prompts than groups.
    """
    if groups < 3 or len(chosen) < groups:
        raise InputError(
            f"{len(chosen)} prompts in {groups} groups",
            where="predict",
            mend="take at least 3 groups, and a prompt for each",
        )
    sides = [chosen, rejected] if neutral is None else [chosen, rejected, neutral]
    sketches = [
        group_gradients(model, data, groups=groups, batch=batch, autocast=autocast, sketch=sketch, meter=meter)
        for data in sides
    ]
    plus, minus, cross = ((sketches[i] @ sketches[j].T).numpy() for i, j in ((0, 0), (1, 1), (0, 1)))
    rest = (sketches[2] @ sketches[2].T).numpy() if neutral is not None else None
    member = np.arange(len(chosen)) % groups
    tokens = tuple(float((data.length - data.first).double().mean()) for data in (chosen, rejected))
    counts = np.bincount(member, minlength=groups).astype(np.float64)
    return BehaviourGradients(plus, minus, cross, rest, counts, (tokens[0], tokens[1]), reading.z, member)
