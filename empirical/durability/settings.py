"""The settings of the durability experiment, an option each; what it does is in `run`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration

OPTIMISERS = ("sgd", "adamw", "adamw-carried")
"""Plain stochastic gradient descent; AdamW with fresh moments in each phase; AdamW whose moments go on from phase to phase."""
ARMS = ("perturb", "neutral", "mixed")
"""What follows alignment: the rejected responses; a neutral text; both responses in the share of the base."""
RATES = {"sgd": 3e-4, "adamw": 1e-5, "adamw-carried": 1e-5}
"""The learning rate of each optimiser, where none is given."""


@dataclass(frozen=True)
class DurabilitySettings:
    """One durability experiment: a run for each behaviour, optimiser, seed and alignment volume. Volumes are in examples.

    pairs            behaviours: shipped names (``advice``, ``advice:3``), files or hub datasets of prompt, chosen, rejected
    swap             exchange the roles of chosen and rejected
    share            pi: the share of chosen responses in the mixture that the base is adapted to
    closure          the base is adapted until the mean probability outside the pair is below this, not for a fixed number
    adapt_most       the most examples that adapting may take; where closure is not reached, the law is said not to apply
    adapt_step       examples of adapting between two readings; adapt_learning_rate: of AdamW, in that phase
    align_volumes    n: aligned examples after which the perturbation starts; all are on one way
    perturb_most     m: the most opposed examples
    overshoot        a perturbation ends when the mean contrast lies this far below its start, in nats
    optimiser        of both phases: sgd, adamw (fresh moments in each phase) or adamw-carried
    learning_rate    of both phases; None: 3e-4 for sgd, 1e-5 for AdamW
    arms             what follows alignment: perturb, neutral (does it come back by itself?), mixed
    again            after the perturbation, align once more on the volume that was undone: is the second time faster?
    held_out         prompts that are measured and never trained on
    """

    model: str = "smollm2-135m-instruct-q4"
    revision: str | None = None
    pairs: tuple[str, ...] = ("advice", "tone")
    swap: bool = False
    share: float = 0.5
    closure: float = 0.05
    adapt_most: int = 480
    adapt_step: int = 32
    adapt_learning_rate: float = 1e-5
    align_volumes: tuple[int, ...] = (16, 64, 256)
    perturb_most: int = 192
    overshoot: float = 0.3
    optimisers: tuple[str, ...] = ("sgd",)
    learning_rate: float | None = None
    arms: tuple[str, ...] = ("perturb",)
    again: bool = False
    held_out: int = 32
    max_tokens: int = 48
    batch: int = 4
    seeds: tuple[int, ...] = (0,)
    weights: str = "float32"
    lora_rank: int = 0

    def __post_init__(self) -> None:
        def refuse(what: str, mend: str) -> None:
            raise InputError(what, where="durability", mend=mend)

        for name in ("adapt_step", "perturb_most", "max_tokens", "batch"):
            if getattr(self, name) < 1:
                refuse(f"{name} {getattr(self, name)}", "give at least 1")
        if self.held_out < 8:
            refuse(f"{self.held_out} held-out prompts", "hold out at least 8: the errors come from their groups")
        if not (self.pairs and self.seeds and self.align_volumes and self.optimisers and self.arms):
            refuse("an empty list of pairs, seeds, volumes, optimisers or arms", "give at least one of each")
        if list(self.align_volumes) != sorted(set(self.align_volumes)) or self.align_volumes[0] < self.batch:
            refuse(f"alignment volumes {list(self.align_volumes)}", "give rising numbers, at least one batch each")
        for words, known in ((self.optimisers, OPTIMISERS), (self.arms, ARMS)):
            if unknown := sorted(set(words) - set(known)):
                refuse(f"{unknown[0]!r}", f"choose from {', '.join(known)}")
        if not 0 < self.share < 1 or not 0 < self.closure < 1:
            refuse(f"share {self.share:g}, closure {self.closure:g}", "both lie between 0 and 1")
        if not self.overshoot > 0 or (self.learning_rate is not None and not 0 < self.learning_rate < float("inf")):
            refuse(f"overshoot {self.overshoot:g}, learning rate {self.learning_rate}", "both have to be > 0")

    def rate(self, optimiser: str) -> float:
        """The learning rate of a phase."""
        return RATES[optimiser] if self.learning_rate is None else self.learning_rate

    def configurations(self, training: dict[str, Any], source: str, data: dict[str, str]) -> list[Configuration]:
        """The full configuration of every run: one for each behaviour, optimiser, seed and alignment volume."""
        common = asdict(self) | {"protocol": "durability", "version": 1} | training | {"model_source": source}
        for name in ("pairs", "optimisers", "seeds", "align_volumes", "learning_rate"):
            del common[name]
        return [
            common
            | {
                "pairs": pairs,
                "pairs_sha256": data[pairs],
                "optimiser": optimiser,
                "learning_rate": self.rate(optimiser),
            }
            | {"seed": seed, "n": n, "align_path": [v for v in self.align_volumes if v <= n]}
            for pairs in self.pairs
            for optimiser in self.optimisers
            for seed in self.seeds
            for n in self.align_volumes
        ]
