"""The losses of defences, as functions of code lengths: of the chosen and the rejected response, now and at the reference.

Each is the mean over the batch, in nats per response. With closure, z = gamma_- - gamma_+, its force on z is that of
`elastomath.laws.preferences`; all share one constant c where all are divided by the same number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from ..checks import positive
from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Loss: TypeAlias = "Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]"
"""(gamma_+, gamma_-, both at the reference), shape (B,) each, to a scalar."""
SIMPO_MARGIN = 3.0
"""The target margin of SimPO, in units of its logit."""


def sft(beta: float) -> Loss:
    """``gamma_+``."""
    return lambda plus, minus, plus_ref, minus_ref: plus.mean()


def dpo(beta: float) -> Loss:
    """``-ln sigma(beta (z - z_ref))`` (Rafailov et al. 2023)."""
    from torch.nn.functional import softplus

    return lambda plus, minus, plus_ref, minus_ref: softplus(-beta * (minus - plus - minus_ref + plus_ref)).mean()


def simpo(beta: float) -> Loss:
    """``-ln sigma(beta z - margin)``, responses of one length (Meng et al. 2024)."""
    from torch.nn.functional import softplus

    return lambda plus, minus, plus_ref, minus_ref: softplus(SIMPO_MARGIN - beta * (minus - plus)).mean()


def kto(beta: float) -> Loss:
    """``1 - sigma(beta r_+)`` and ``1 - sigma(-beta r_-)``, half of each, r = gamma_ref - gamma, reference point 0 (Ethayarajh 2024)."""

    def loss(plus: Tensor, minus: Tensor, plus_ref: Tensor, minus_ref: Tensor) -> Tensor:
        wanted, opposed = beta * (plus_ref - plus), beta * (minus_ref - minus)
        return 1 - ((wanted.sigmoid() + (-opposed).sigmoid()) / 2).mean()

    return loss


def ascent(beta: float) -> Loss:
    """``-gamma_-``: its force on z is c sigma(z), which does not die as z grows."""
    return lambda plus, minus, plus_ref, minus_ref: -minus.mean()


def npo(beta: float) -> Loss:
    """``(2/beta) ln(1 + (p_-/p_-ref)^beta)`` (Zhang et al. 2024); gradient ascent as beta -> 0."""
    from torch.nn.functional import softplus

    return lambda plus, minus, plus_ref, minus_ref: 2 / beta * softplus(beta * (minus_ref - minus)).mean()


def noising(beta: float) -> Loss:
    """``gamma_+ - ln(1 + gamma_-)``, beside which the term of `noising.noise_distance` stands (Rosati et al. 2024)."""
    return lambda plus, minus, plus_ref, minus_ref: (plus - minus.log1p()).mean()


LOSSES: Mapping[str, Callable[[float], Loss]] = {
    "sft": sft,
    "dpo": dpo,
    "simpo": simpo,
    "kto": kto,
    "ascent": ascent,
    "npo": npo,
    "noising": noising,
}
"""The losses by name."""
OPPOSED = ("dpo", "simpo", "kto", "ascent", "npo", "noising")
"""Those that read the rejected response;"""
REFERRED = ("dpo", "kto", "npo")
"""and those that have a reference."""
WITHOUT_BETA = ("sft", "ascent", "noising")


def loss_of(name: str, beta: float = 0.0) -> Loss:
    """The loss of that name at a strength beta > 0, which those of `WITHOUT_BETA` do not have.

    Raises InputError for an unknown name, or beta <= 0.
    """
    if name not in LOSSES:
        raise InputError(f"no loss {name!r}", where="defence", mend=f"choose from {', '.join(LOSSES)}")
    return LOSSES[name](beta if name in WITHOUT_BETA else positive(beta, "beta", "defence"))
