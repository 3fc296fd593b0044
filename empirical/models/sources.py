"""Models as they are named: a folder, a GGUF file, a catalogue name, a hub id with a revision, perhaps with an adapter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from elastomath.errors import InputError
from elastomath.foreign import json_of

from .loading import HUB_ID
from .lora import CONFIG

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "spiece.model")


@dataclass(frozen=True)
class Source:
    """One model of a list: ``name`` as it was written, a model, its revision on the hub, an adapter that is put into it."""

    name: str
    model: str
    revision: str | None = None
    adapter: str | None = None

    @classmethod
    def of(cls, name: str) -> Source:
        """The model of ``FOLDER``, ``FILE.gguf``, ``ID@REVISION``, ``BASE+ADAPTER``, or of an adapter's folder, which names its base.

        Raises InputError for an adapter alone that names no base.

        >>> Source.of("EleutherAI/pythia-160m@step1000").revision
        'step1000'
        """
        place = Path(name).expanduser()
        if place.exists():
            return cls._local(name, place)
        model, plus, adapter = name.rpartition("+")
        if plus and (Path(adapter).expanduser() / CONFIG).is_file():
            return replace(cls.of(model), name=name, adapter=adapter)
        hub, at, revision = name.rpartition("@")
        if at and revision and HUB_ID.fullmatch(hub):
            return cls(name, hub, revision)
        return cls(name, name)

    @classmethod
    def _local(cls, name: str, place: Path) -> Source:
        """A folder or a file; a folder with an adapter alone is its own base with it."""
        config = place / CONFIG
        if not config.is_file() or (place / "config.json").is_file():
            return cls(name, name)
        written = json_of(config, CONFIG, "copy it again")
        if not isinstance(written, dict):
            raise InputError(f"{CONFIG} is no JSON object", where=str(config), mend="copy it again")
        base = written.get("base_model_name_or_path")
        if not base:
            raise InputError("the adapter names no base model", where=name, mend="write BASE+ADAPTER")
        return replace(cls.of(str(base)), name=name, adapter=name)

    @property
    def folder(self) -> Path | None:
        """The folder that training wrote: the adapter's, or the model's; None for a file or the hub."""
        place = Path(self.adapter or self.model).expanduser()
        return place if place.is_dir() else None

    @property
    def bare(self) -> bool:
        """Whether the model is a folder without a tokenizer, as a Trainer without ``processing_class`` writes it."""
        place = Path(self.model).expanduser()
        return place.is_dir() and not any((place / file).is_file() for file in TOKENIZER_FILES)
