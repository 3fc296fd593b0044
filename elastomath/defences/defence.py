"""What a defence is made of, and what an attack is: a row each, read by whoever trains a model.

A defence is a loss, a wrapper of training, or an order of the data; a row names what it changes, and all else is plain
fine-tuning on the chosen responses. To add one, add a row; where it needs a new loss, a function in `losses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ..errors import InputError
from .losses import LOSSES


@dataclass(frozen=True, slots=True)
class Defence:
    """How a behaviour is put into a model so that it lasts.

    title    in words
    loss     by name, of `LOSSES`; beta  its strength, 0 where it has none; None: the cheapest for the volume, 2/D (`best_dpo`)
    stretch  the volume of alignment, times this: more data, or an early stop
    average  weight of the base in the weights after alignment
    frozen   share of the layers, from the input on, that alignment does not move
    rank     of a low-rank adapter that alignment trains in the place of the weights; 0 for none
    radius   of sharpness-aware steps (Foret et al. 2021): the gradient is taken where the loss is worse, this far away
    ahead    steps of plain fine-tuning on opposed responses behind which the gradient is taken, to first order (the meta-training
             of Tamirisa et al. 2024)
    noise    weight of a term that makes noise of what the layers say of the opposed response (`noising`; Rosati et al. 2024)
    retain   weight of the code length of neutral text, nats a token, in the loss
    replay   share of aligned examples among those of the perturbation (the owner of the model trains along)
    share    of chosen responses in the data of the base; None for the base that the others have
    """

    title: str
    loss: str = "sft"
    beta: float | None = 0.0
    stretch: float = 1.0
    average: float = 0.0
    frozen: float = 0.0
    rank: int = 0
    radius: float = 0.0
    ahead: int = 0
    noise: float = 0.0
    retain: float = 0.0
    replay: float = 0.0
    share: float | None = None

    def __post_init__(self) -> None:
        shares = (self.average, self.frozen, self.replay, 0.5 if self.share is None else self.share)
        if self.loss not in LOSSES or not all(0 <= value < 1 for value in shares) or not self.stretch > 0:
            raise InputError(
                f"{self}", where="defence", mend=f"a loss of {', '.join(LOSSES)}, shares in [0, 1), a stretch > 0"
            )
        if min(self.rank, self.radius, self.ahead, self.noise, self.retain, self.beta or 0.0) < 0:
            raise InputError(
                f"{self}", where="defence", mend="rank, radius, ahead, noise, retain and beta are not negative"
            )

    def changes(self) -> dict[str, float | str | None]:
        """The fields by which the row differs from plain fine-tuning, but the title: they name its runs.

        >>> DEFENCES["sft"].changes(), DEFENCES["more"].changes()
        ({}, {'stretch': 4.0})
        """
        values = ((field, getattr(self, field.name)) for field in fields(self) if field.name != "title")
        return {field.name: value for field, value in values if value != field.default}


@dataclass(frozen=True, slots=True)
class Attack:
    """How a behaviour is tuned away; all cost the same for each example that is seen.

    title    in words
    opposed  share of opposed responses in what is trained on; the rest is neutral text
    rates    learning rates to try, in units of that of the defender; the attacker keeps the one that undoes first
    pool     different examples that there are, gone through again and again; 0 for as many as are wanted
    rank     of a low-rank adapter that is trained in the place of the weights; 0 for none
    """

    title: str
    opposed: float = 1.0
    rates: tuple[float, ...] = (1.0,)
    pool: int = 0
    rank: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.opposed <= 1 or 1.0 not in self.rates or min(self.rates) <= 0 or min(self.pool, self.rank) < 0:
            raise InputError(
                f"{self}", where="attack", mend="a share in [0, 1], rates > 0 with 1 among them, counts >= 0"
            )


DEFENCES: Mapping[str, Defence] = {
    "sft": Defence("plain fine-tuning"),
    "more": Defence("four times the data", stretch=4.0),
    "early": Defence("an early stop, a quarter of the data", stretch=0.25),
    "dpo-best": Defence("DPO at the planned beta", "dpo", None),
    "dpo-0.1": Defence("DPO, beta 0.1", "dpo", 0.1),
    "dpo-0.5": Defence("DPO, beta 0.5", "dpo", 0.5),
    "kto": Defence("KTO, beta 0.3, reference point 0", "kto", 0.3),
    "simpo": Defence("SimPO, beta 0.3, margin 3", "simpo", 0.3),
    "pre-training": Defence("the behaviour in pre-training, at 90%", share=0.9),
    "replay-25": Defence("replay of 25% during the perturbation", replay=0.25),
    "replay-50": Defence("replay of 50% during the perturbation", replay=0.5),
    "average": Defence("weights averaged with the base, half each", average=0.5),
    "adapter": Defence("a low-rank adapter (rank 4)", rank=4),
    "frozen": Defence("the first half of the layers frozen", frozen=0.5),
    "flat": Defence("sharpness-aware steps, radius 0.05", radius=0.05),
    "retain": Defence("DPO at the planned beta, with neutral text", "dpo", None, retain=1.0),
    "tamper": Defence(
        "meta-training against four steps of attack, with neutral text", "dpo", None, ahead=4, retain=1.0
    ),
    "noising": Defence("representation noising, with neutral text", "noising", noise=1.0, retain=1.0),
    "ascent": Defence("unlearning: gradient ascent on the opposed response", "ascent"),
    "npo": Defence("unlearning: NPO, beta 0.3", "npo", 0.3),
    "npo-pre-training": Defence("the behaviour in pre-training, at 90%, then NPO, beta 0.3", "npo", 0.3, share=0.9),
    "npo-more": Defence("unlearning: NPO, beta 0.3, four times the data", "npo", 0.3, stretch=4.0),
}
"""Defences and ways of unlearning by name. Relabelling to a refusal is ``sft`` with the refusal as the chosen response."""
ATTACKS: Mapping[str, Attack] = {
    "sft": Attack("plain fine-tuning, the best of three learning rates", rates=(0.5, 1.0, 2.0)),
    "adapter": Attack("a low-rank adapter (rank 4), the best of three learning rates", rates=(1.0, 4.0, 16.0), rank=4),
    "few": Attack("16 examples again and again", pool=16),
    "mixed": Attack("half opposed, half neutral text", opposed=0.5),
    "benign": Attack("neutral text only", opposed=0.0),
}
"""Attacks by name."""


def named(names: tuple[str, ...], table: Mapping[str, object], what: str) -> None:
    """Refuse a name that a table does not have: InputError in one line.

    >>> named(("sft",), DEFENCES, "defence")
    """
    for name in names:
        if name not in table:
            raise InputError(f"no {what} {name!r}", where="defences", mend=f"choose from {', '.join(table)}")
