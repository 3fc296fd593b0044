"""Two backward passes over a behaviour: the constants of the logit law at these weights, before anything is trained (R25)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from elastomath.arrays import Array
from elastomath.errors import InputError
from elastomath.progress import Meter

from ..measures.code_lengths import pair_lengths
from ..measures.gradients import SKETCH, group_gradients
from ..models.sequences import Sequences

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


@dataclass(frozen=True, slots=True)
class BehaviourGradients:
    """Inner products of the gradients of gamma_+ and gamma_-, summed over groups of prompts (G groups), nats^2.

    plus, minus, cross  (G, G): products of chosen with chosen, rejected with rejected, chosen with rejected
    neutral             (G, G) of a neutral text's code length, or None where none was read
    counts              prompts of each group, (G,); tokens  mean counted tokens of a chosen and of a rejected response
    z                   contrast of every prompt; groups  the group of each
    """

    plus: Array
    minus: Array
    cross: Array
    neutral: Array | None
    counts: Array
    tokens: tuple[float, float]
    z: Array
    groups: NDArray[np.int64]


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


@dataclass(frozen=True, slots=True)
class LogitConstants:
    """c of the logit law in nats per example, at a learning rate and batch, from gradients alone (R25).

    aligning    c_+ = -(eta/(B T_+)) grad z . grad gamma_+ / (1 - p): what an aligning example adds to z, by its error 1 - p
    perturbing  c_- = (eta/(B T_-)) grad z . grad gamma_- / p: what an opposed example takes, by its error p
    kernel      (eta/(B T)) |grad z|^2, which both are under closure
    cosine      of grad gamma_+ and grad gamma_-: -1 where the behaviour is one direction
    relative    |grad z|^2 over |grad gamma_neutral|^2: free of learning rate and normaliser; nan without a neutral text
    p           mean of sigma(z) over the prompts

    Products are of different groups of prompts alone: what training on some prompts does to others.
    """

    aligning: float
    perturbing: float
    kernel: float
    cosine: float
    relative: float
    p: float

    def as_dict(self) -> dict[str, float]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}


def logit_constants(
    gradients: BehaviourGradients, learning_rate: float, batch: int, left_out: int | None = None
) -> LogitConstants:
    """The constants at a learning rate per step of ``batch`` examples; ``left_out``: without that group of prompts.

    A step minimises the mean code length per counted token of its batch, so an example counts for eta/(B T), T tokens a
    response.
    """
    kept = np.arange(len(gradients.counts)) != (-1 if left_out is None else left_out)
    n = gradients.counts[kept]
    pairs = n.sum() ** 2 - (n**2).sum()

    def apart(gram: Array) -> float:
        inner = gram[np.ix_(kept, kept)]
        return float((inner.sum() - np.trace(inner)) / pairs)

    plus, minus, cross = apart(gradients.plus), apart(gradients.minus), apart(gradients.cross)
    p = float((1.0 / (1.0 + np.exp(-gradients.z[kept[gradients.groups]]))).mean())
    first, second = gradients.tokens
    kernel = plus + minus - 2 * cross
    neutral = apart(gradients.neutral) if gradients.neutral is not None else np.nan
    norm = np.sqrt(plus * minus) if plus > 0 and minus > 0 else np.nan
    return LogitConstants(
        aligning=learning_rate / (batch * first) * (plus - cross) / (1 - p),
        perturbing=learning_rate / (batch * second) * (minus - cross) / p,
        kernel=learning_rate / (batch * 0.5 * (first + second)) * kernel,
        cosine=float(cross / norm),
        relative=float(kernel / neutral) if neutral > 0 else float("nan"),
        p=p,
    )


def jackknifed(statistic: Callable[[int | None], Array], groups: int) -> tuple[Array, Array]:
    """(estimate, standard error) of a statistic (any shape) by leaving out one group of prompts at a time.

    The variance is ``(G-1)/G sum_g (theta_g - mean)^2``.
    """
    whole = np.asarray(statistic(None), dtype=np.float64)
    parts = np.stack([np.asarray(statistic(group), dtype=np.float64) for group in range(groups)])
    with np.errstate(invalid="ignore"):  # a statistic that is infinite without some group has no error
        return whole, np.sqrt((groups - 1) / groups * ((parts - parts.mean(0)) ** 2).sum(0))
