"""The settings of the defence experiment, an option each; what it does is in `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from elastomath.checks import COUNT, POSITIVE, SHARE, integer, one_of, rows
from elastomath.defences.defence import ATTACKS, DEFENCES
from elastomath.runs.ledger import Configuration
from elastomath.runs.settings import setting

from ..behaviours import read_pairs
from ..laboratory.settings import FROM_ZERO, ProtocolSettings, each
from ..laboratory.work import Work

MOST = max(row.stretch for row in DEFENCES.values())
"""The largest stretch of a volume: every defence has the same examples for the phases behind alignment."""


@dataclass(frozen=True)
class DefenceSettings(ProtocolSettings):
    """One defence experiment: a run for each behaviour, seed and defence, with all attacks. Volumes are in examples.

    Every run starts from one base, adapted until the mean probability outside the pair is below ``closure``; a behaviour counts as
    undone where its mean contrast is that base's again.
    """

    NAME = "defence"
    pairs: tuple[str, ...] = setting(
        ("advice", "tone"), "Behaviours: shipped names, files or hub datasets of prompt, chosen, rejected.", gate=rows
    )
    swap: bool = setting(False, "Exchange the roles of chosen and rejected.")
    chat: bool = setting(False, "Make each prompt that is text the user's turn in the chat template of the tokenizer.")
    defences: tuple[str, ...] = setting(
        ("sft", "more", "dpo-best", "dpo-0.1", "npo", "pre-training", "replay-50", "average", "flat"),
        f"Defences, commas between. {'; '.join(f'{name}: {row.title}' for name, row in DEFENCES.items())}.",
        gate=each(one_of(*DEFENCES)),
    )
    attacks: tuple[str, ...] = setting(
        ("sft", "mixed"),
        f"Attacks, commas between. {'; '.join(f'{name}: {row.title}' for name, row in ATTACKS.items())}.",
        gate=each(one_of(*ATTACKS)),
    )
    volume: int = setting(
        64,
        "Aligned examples of a defence (pairs for DPO and its kin); some take more or fewer, as their names say.",
        gate=COUNT,
    )
    learning_rate: float = setting(3e-4, "Of stochastic gradient descent, in all phases but adapting.", gate=POSITIVE)
    attack_most: int = setting(96, "Most examples of an attack.", gate=COUNT)
    share: float = setting(0.5, "Share of chosen responses in the mixture that the base is adapted to.", gate=SHARE)
    closure: float = setting(
        0.05, "The base is adapted until the probability outside the pair is below this.", gate=SHARE
    )
    adapt_most: int = setting(480, "Most examples that adapting may take.", gate=FROM_ZERO)
    adapt_step: int = setting(32, "Examples of adapting between two readings.", gate=COUNT)
    adapt_learning_rate: float = setting(1e-5, "Of AdamW, while adapting.", gate=POSITIVE)
    held_out: int = setting(32, "Prompts that are measured and never trained on.", gate=integer(least=8))
    max_tokens: int = setting(48, "Tokens of a response that are kept.", gate=COUNT)
    batch: int = 4

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the pairs of each behaviour, as they are read."""
        return {spec: read_pairs(spec, swap=self.swap, chat=self.chat).sha256 for spec in self.pairs}

    def configurations(
        self, training: Configuration, source: str, data: Mapping[str, str | None]
    ) -> list[Configuration]:
        """The full configuration of every run; plain fine-tuning is among the defences, since all are compared with it."""
        common = asdict(self) | {"protocol": "defence", "version": 1} | training | {"model_source": source}
        for name in ("pairs", "defences", "attacks", "seeds"):
            del common[name]
        names = tuple(dict.fromkeys(("sft", *self.defences)))
        tried = {name: asdict(ATTACKS[name]) for name in self.attacks}
        return [
            common
            | {"pairs": pairs, "pairs_sha256": data[pairs], "seed": seed}
            # a row that is changed makes other runs
            | {"defence": name, "row": DEFENCES[name].changes(), "attacks": list(self.attacks), "tried": tried}
            for pairs in self.pairs
            for seed in self.seeds
            for name in names
        ]

    def work(self) -> list[Work]:
        """Adapting once a behaviour and seed, a defence once more each, an attack for each of its learning rates; upper bounds."""
        groups, names = len(self.pairs) * len(self.seeds), tuple(dict.fromkeys(("sft", *self.defences)))
        reading = 2 * self.held_out * self.max_tokens
        bases = 1 + sum(DEFENCES[name].share is not None for name in names)
        steps = -(-self.attack_most // self.batch)
        adapting = -(-self.adapt_most // self.adapt_step) + 1
        stages = [Work("adapted", groups * bases, self.adapt_most * self.max_tokens, adapting * reading)]
        for name in names:
            row = DEFENCES[name]
            sides = (2 if row.loss != "sft" or row.radius else 1) + row.ahead + bool(row.retain) + bool(row.noise)
            trained = sides * round(self.volume * row.stretch) * self.max_tokens + 3 * self.held_out * self.max_tokens
            stages.append(Work(f"defended by {name}", groups, trained, 3 * reading))
        tries = sum(len(ATTACKS[name].rates) for name in self.attacks)
        most = self.attack_most * self.max_tokens
        return [*stages, Work("attacks, at most", groups * len(names) * tries, most, steps * reading)]
