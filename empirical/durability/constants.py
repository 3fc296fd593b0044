"""The constants of the logit law from products of gradients, with their errors over prompts (R25); needs no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elastomath.arrays import Array


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
