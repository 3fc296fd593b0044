"""The settings that all protocols share, each with one meaning, one help and one check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from elastomath.checks import COUNT, POSITIVE, Gate, integer, rising, rows, whole
from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration
from elastomath.runs.settings import Settings, setting

from ..data.specifications import common_prompt, data_hashes, described
from ..fetch.catalog import MODEL
from .work import Part, Work, part_of

if TYPE_CHECKING:
    from .laboratory import Equipment

FROM_ZERO = integer(least=0)
PAIR = integer(least=2)


GIVEN = "given"
"""In the place of an algorithm of alignment: the model came aligned."""
ALIGNED = (
    "A model that is aligned already (folder, GGUF file, hub id with @REVISION, BASE+ADAPTER): it is perturbed, nothing is adapted "
    "or aligned; --model is its base, --align-volumes the number of examples that it was aligned on."
)
KEEP_WEIGHTS = "Keep base, aligned and perturbed weights of each run as models that can be loaded, under OUT/weights."


def check_aligned(algorithms: Sequence[str], align_volumes: Sequence[int], lora_rank: int, where: str) -> None:
    """Raise InputError where settings say how to align a model that came aligned."""
    if list(algorithms) != ["sft"] or lora_rank or len(align_volumes) != 1:
        raise InputError(
            "an aligned model is given, and what to align it by",
            where=where,
            mend="give one of --align-volumes, the examples that it was aligned on, and neither --algorithm nor --lora-rank",
        )


def each(gate: Gate) -> Gate:
    """The gate of a sequence that is not empty, each entry through another gate."""
    return lambda values, name, where: [
        gate(value, f"an entry of {name}", where) for value in rows(values, name, where)
    ]


def rising_volumes(values: Sequence[int], name: str, where: str) -> None:
    """The gate of volumes: whole numbers of examples, at least one of them, rising, all at least 1."""
    rising(values, name, where, least=1)
    for value in values:
        whole(value, f"an entry of {name}", where, least=1)


@dataclass(frozen=True)
class ProtocolSettings(Settings):
    """What every protocol that trains a model is given."""

    model: str = setting(MODEL, "Name, hub id, folder or GGUF file.")
    revision: str | None = setting(None, "Revision of a model on the hub.")
    held_out: int = setting(64, "Documents of each kind that are measured and never trained on.", gate=PAIR)
    max_tokens: int = setting(32, "Tokens of a text that are kept.", gate=COUNT)
    batch: int = setting(8, "Examples of a step.", gate=COUNT)
    weights: str = setting("float32", "What the weights are held and trained in.")
    lora_rank: int = setting(
        0,
        "Train a low-rank adapter of this rank in the place of the weights; 0 for none.",
        gate=FROM_ZERO,
        each=1 << 20,
    )
    seeds: tuple[int, ...] = setting((0,), "Seeds, runs of their own for each.", gate=each(FROM_ZERO), each=0)

    @classmethod
    def of_run(cls, configuration: Configuration) -> Self:
        """The settings of one run from its full configuration, its seed the only one."""
        names = [own.name for own in fields(cls) if own.name in configuration and own.name != "seeds"]
        values = {name: configuration[name] for name in names}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**values, seeds=(int(configuration["seed"]),))

    def equipment(self, out: Path, device: str, dtype: str, trust_remote_code: bool) -> Equipment:
        """What a worker needs beside the configuration of a run."""
        from .laboratory import Equipment

        return Equipment.of(self, out, device, dtype, trust_remote_code)

    def hashes(self) -> Mapping[str, str | None]:
        """What the data of each specification are, for the keys of runs."""
        raise NotImplementedError

    def configurations(
        self, training: Configuration, source: str, data: Mapping[str, str | None]
    ) -> list[Configuration]:
        """The full configuration of every run. training: `Equipment.training`; source: what the weights are; data: `hashes`."""
        raise NotImplementedError

    def planned(self, equipment: Equipment) -> list[Configuration]:
        """The full configuration of every run with this equipment."""
        return self.configurations(equipment.training, equipment.source, self.hashes())

    def about(self, equipment: Equipment) -> dict[str, object]:
        """The settings as a summary tells them, with what the equipment adds."""
        return self.told() | equipment.training | {"model_source": equipment.source}

    def told(self) -> dict[str, object]:
        """The settings by name."""
        return asdict(self)

    def work(self) -> list[Work]:
        """The stages that the protocol makes, with their tokens."""
        raise NotImplementedError

    def parts(self) -> list[Part]:
        """The model and all that is done with it, for the dry run."""
        return [part_of(self, self.work())]


@dataclass(frozen=True)
class TextSettings(ProtocolSettings):
    """What every protocol is given that aligns a model on one kind of text."""

    align: str = setting(
        "film-reviews:positive/rotten_tomatoes",
        "Data that is aligned to: SPEC (a file, a name or a data set of the hub), each text after --prompt; or SPEC#KIND, examples with "
        "prompts of their own.",
    )
    prompt: str | None = setting(
        None,
        "Before every text, not counted (default: 'Film review:' for film-reviews, nothing for other data); with "
        "#KIND instead of the words of its dataset, {prompt} for the row's own.",
    )
    chat: bool = setting(
        False, "Put the prompts into the chat template of the model's own tokenizer, as turns of the user."
    )
    learning_rate: float = setting(5e-5, "Of AdamW, constant after the warm-up.", gate=POSITIVE)
    warmup: int = setting(4, "Steps in which the learning rate rises to its value, linearly.", gate=FROM_ZERO)

    @property
    def sources(self) -> tuple[str, ...]:
        """The data specifications."""
        return (self.align,)

    def hashes(self) -> Mapping[str, str | None]:
        """SHA-256 of the file behind each data specification, None for the hub."""
        return data_hashes(self.sources)

    def told(self) -> dict[str, object]:
        """The settings by name, the prompt as it is used."""
        return described(self)

    @property
    def wording(self) -> str | None:
        """The prompt before every text, as `specifications.common_prompt` understands ``prompt``."""
        return common_prompt(self.prompt, *self.sources)
