"""The settings of the durability experiment, an option each; what it does is in `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from elastomath.checks import COUNT, POSITIVE, SHARE, integer, one_of, optional, rows
from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration
from elastomath.runs.settings import setting

from ..behaviours import read_pairs
from ..laboratory.settings import (
    ALIGNED,
    FROM_ZERO,
    KEEP_WEIGHTS,
    ProtocolSettings,
    check_aligned,
    each,
    rising_volumes,
)
from ..laboratory.work import Work
from ..training.settings import ALGORITHMS

if TYPE_CHECKING:
    from ..laboratory.laboratory import Equipment

OPTIMISERS = ("sgd", "adamw", "adamw-carried")
"""Plain stochastic gradient descent; AdamW with fresh moments in each phase; AdamW whose moments go on from phase to phase."""
ARMS = ("perturb", "neutral", "mixed")
"""What follows alignment: the rejected responses; a neutral text; both responses in the share of the base."""
RATES = {"sgd": 3e-4, "adamw": 1e-5, "adamw-carried": 1e-5}
"""The learning rate of each optimiser, where none is given."""


@dataclass(frozen=True)
class DurabilitySettings(ProtocolSettings):
    """One durability experiment: a run for each behaviour, optimiser, seed and alignment volume. Volumes are in examples.

    The base is adapted until the mean probability outside the pair is below ``closure``, not for a fixed number of examples; where
    that is not reached, the law is said not to apply. All alignment volumes lie on one way, but for other algorithms than sft, of
    which each volume starts from the adapted base again. With ``aligned`` nothing is trained before the perturbation.
    """

    NAME = "durability"
    pairs: tuple[str, ...] = setting(
        ("advice", "tone"),
        "Behaviours: shipped names (advice, advice:3), files or hub datasets of prompt, chosen, rejected; commas between.",
        gate=rows,
    )
    swap: bool = setting(False, "Exchange the roles of chosen and rejected.")
    chat: bool = setting(False, "Make each prompt that is text the user's turn in the chat template of the tokenizer.")
    share: float = setting(0.5, "Share of chosen responses in the mixture that the base is adapted to.", gate=SHARE)
    closure: float = setting(
        0.05, "The base is adapted until the mean probability outside the pair is below this.", gate=SHARE
    )
    adapt_most: int = setting(
        480, "Most examples that adapting may take; 0 for a base that is taken as it is.", gate=FROM_ZERO
    )
    adapt_step: int = setting(32, "Examples of adapting between two readings.", gate=COUNT)
    adapt_learning_rate: float = setting(1e-5, "Of AdamW, while adapting.", gate=POSITIVE)
    align_volumes: tuple[int, ...] = setting(
        (16, 64, 256), "Aligned examples after which the perturbation starts, rising; a run each.", gate=rising_volumes
    )
    algorithms: tuple[str, ...] = setting(
        ("sft",),
        "Of the alignment: sft (plain fine-tuning on chosen texts), or dpo, kto, simpo, ppo (by preferences, on pairs); commas between. "
        "All other training is sft.",
        option="--algorithm",
        gate=each(one_of(*ALGORITHMS)),
    )
    tune_learning_rate: float = setting(1e-5, "Of AdamW, while aligning by another algorithm than sft.", gate=POSITIVE)
    aligned: str | None = setting(None, ALIGNED)
    perturb_most: int = setting(192, "Most opposed examples of a run.", gate=COUNT)
    overshoot: float = setting(
        0.3, "A perturbation ends when the mean contrast lies this far below its start, in nats.", gate=POSITIVE
    )
    optimisers: tuple[str, ...] = setting(
        ("sgd",),
        "Of both phases: sgd, adamw (fresh moments in each phase) or adamw-carried; commas between.",
        option="--optimiser",
        gate=each(one_of(*OPTIMISERS)),
    )
    learning_rate: float | None = setting(
        None, "Of both phases; 3e-4 for sgd and 1e-5 for AdamW where none is given.", gate=optional(POSITIVE)
    )
    arms: tuple[str, ...] = setting(
        ("perturb",),
        "What follows alignment: perturb, neutral (does it come back by itself?), mixed; commas between.",
        gate=each(one_of(*ARMS)),
    )
    again: bool = setting(False, "After the perturbation, align once more on the volume that was undone.")
    keep_weights: bool = setting(False, KEEP_WEIGHTS)
    held_out: int = setting(32, "Prompts that are measured and never trained on.", gate=integer(least=8))
    max_tokens: int = setting(48, "Tokens of a response that are kept.", gate=COUNT)
    batch: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.align_volumes[0] < self.batch:
            raise InputError(
                f"alignment volumes {list(self.align_volumes)}", where="durability", mend="give at least one batch each"
            )
        others = [algorithm for algorithm in self.algorithms if algorithm != "sft"]
        if "adamw-carried" in self.optimisers and (others or self.aligned):
            raise InputError(
                f"moments of {self.aligned or others[0]} are not there to be carried",
                where="durability",
                mend="perturb by sgd or adamw",
            )
        if self.aligned is not None:
            check_aligned(self.algorithms, self.align_volumes, self.lora_rank, "durability")

    def rate(self, optimiser: str) -> float:
        """The learning rate of a phase."""
        return RATES[optimiser] if self.learning_rate is None else self.learning_rate

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the pairs of each behaviour, as they are read."""
        return {spec: read_pairs(spec, swap=self.swap, chat=self.chat).sha256 for spec in self.pairs}

    def planned(self, equipment: Equipment) -> list[Configuration]:
        """The full configuration of every run with this equipment."""
        from ..laboratory.laboratory import aligned_source

        given = None if self.aligned is None else aligned_source(self.aligned)
        return self.configurations(equipment.training, equipment.source, self.hashes(), given)

    def configurations(
        self, training: Configuration, source: str, data: Mapping[str, str | None], aligned_source: str | None = None
    ) -> list[Configuration]:
        """The full configuration of every run: one for each behaviour, optimiser, algorithm, seed and alignment volume."""
        common = asdict(self) | {"protocol": "durability", "version": 1} | training | {"model_source": source}
        for name in (
            "pairs",
            "optimisers",
            "algorithms",
            "seeds",
            "align_volumes",
            "learning_rate",
            "tune_learning_rate",
        ):
            del common[name]
        for name in ("chat", "keep_weights", "aligned"):  # the keys of runs from before there were such settings
            if not common[name]:
                del common[name]
        if self.aligned is not None:
            common |= {"aligned_source": aligned_source, "adapt_most": 0}
        return [
            common
            | {
                "pairs": pairs,
                "pairs_sha256": data[pairs],
                "optimiser": optimiser,
                "learning_rate": self.rate(optimiser),
            }
            | {"seed": seed, "n": n, "align_path": [v for v in self.align_volumes if v <= n]}
            | self._by(algorithm, n)
            for pairs in self.pairs
            for optimiser in self.optimisers
            for algorithm in self.algorithms
            for seed in self.seeds
            for n in self.align_volumes
        ]

    def _by(self, algorithm: str, n: int) -> Configuration:
        """What an algorithm has in a configuration; sft has nothing, as before there were others."""
        if algorithm == "sft":
            return {}
        return {"algorithm": algorithm, "tune_learning_rate": self.tune_learning_rate, "align_path": [n]}

    def work(self) -> list[Work]:
        """Adaption once a behaviour and seed, the forecast and the way of alignment once an optimiser, the arms of each run.

        Upper bounds: a base that is closed early, and a behaviour that is undone early, take less.
        """
        ways = len(self.pairs) * len(self.seeds) * len(self.optimisers)
        sft, others = "sft" in self.algorithms and self.aligned is None, [a for a in self.algorithms if a != "sft"]
        reading, most = 2 * self.held_out * self.max_tokens, self.align_volumes[-1]
        steps = -(-self.perturb_most // self.batch)
        readings = min(steps, 16) + min(max(steps - 16, 0), 16) // 2 + 1 + max(steps - 32, 0) // 4 + 1
        adapting = -(-self.adapt_most // self.adapt_step) + 1
        walked = _walked(most, self.batch) + len(self.align_volumes)
        adapted = Work(
            "adapted", len(self.pairs) * len(self.seeds), self.adapt_most * self.max_tokens, adapting * reading
        )
        if self.aligned is not None:
            adapted = Work("base", len(self.pairs) * len(self.seeds), 0, reading)
        stages = [adapted, Work("forecast", ways * len(self.algorithms), 3 * self.held_out * self.max_tokens, reading)]
        if sft:
            stages.append(Work(f"aligned to {most}", ways, most * self.max_tokens, walked * reading))
        for algorithm in others:
            trained = 2 * sum(self.align_volumes) * self.max_tokens
            drawn = trained // 2 if algorithm == "ppo" else 0
            stages.append(
                Work(f"aligned ({algorithm})", ways, trained, trained + len(self.align_volumes) * reading, drawn)
            )
        runs = ways * len(self.algorithms) * len(self.align_volumes)
        stages += [
            Work(f"{arm}, at most", runs, self.perturb_most * self.max_tokens, readings * reading) for arm in self.arms
        ]
        if self.again and "perturb" in self.arms:
            total = sum(self.align_volumes) * self.max_tokens
            walks = sum(_walked(volume, self.batch) for volume in self.align_volumes)
            stages.append(Work("aligned once more", ways, total, walks * reading))
        return stages


def _walked(volume: int, batch: int) -> int:
    """Readings on a way of alignment, after 1, 2, 3, 4, 5, 6, 8, 10 ... steps.

    >>> _walked(64, 4)
    10
    """
    steps, count = -(-volume // batch), 0
    while steps > 0:
        done = -(-volume // batch) - steps
        steps, count = steps - max(1, done // 3), count + 1
    return count
