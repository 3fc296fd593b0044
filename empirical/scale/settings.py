"""Which models the protocol `scale` compares: a family that is pre-trained here, or models and revisions that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration, run_key
from elastomath.runs.settings import Field, Settings, Values, read_values, setting

from ..behaviours import read_pairs
from ..data.specifications import data_hashes
from ..laboratory.laboratory import Equipment
from ..laboratory.work import Part, Work, part_of
from ..rebound.settings import ReboundSettings
from .family import FamilySettings, family_config

VERSION = 1
BOTH = ("prompt", "max_tokens")
"""What a person chooses for the family and for what follows alike."""
PROMPTS, PROMPT_TOKENS = 32, 96
"""Held-out prompts of a behaviour, and the tokens of one with its response that are kept."""
FAMILY = ("sizes", "volumes", "texts", "vocabulary")
"""What a person may choose of the family; the rest is as it is tuned."""


@dataclass(frozen=True)
class ScaleSettings(Settings):
    """One scale experiment: the rebound of every model, of one kind of text and with one set of documents.

    rebounds            the rebound of each model; with ``family`` a single one, whose model is each member in turn
    family              the models that are pre-trained here; None where ``rebounds`` names models
    gradient_documents  held-out documents of each kind that carry the gradients (R7), half for each of H_p and H_a
    pairs               behaviours whose kernel is read in every model at its start: |grad z|^2 of the contrast z over that of neutral text

    Larger alignment volumes go on from smaller ones, and the control arm (both kinds mixed) is run where the rebound asks.
    """

    NAME = "scale"
    GRADIENTS: ClassVar[str] = (
        "Held-out documents of each kind from which gradients are taken, whose ratio is the elasticity constant; at most 128 where none is "
        "given."
    )
    PAIRS: ClassVar[str] = (
        "Behaviours of which it is read how easily they give way in each model, nothing trained for it: shipped ones by name, "
        "or files of pairs; commas between."
    )
    rebounds: tuple[ReboundSettings, ...]
    family: FamilySettings | None = None
    gradient_documents: int = 128
    pairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.rebounds or (self.family is not None and len(self.rebounds) != 1):
            raise InputError(
                f"{len(self.rebounds)} rebound settings", where="scale", mend="give one a model, and one for a family"
            )
        first = self.rebounds[0]
        for other in self.rebounds[1:]:
            if _shared(other) != _shared(first):
                raise InputError(
                    f"{other.model} has other settings than {first.model}", where="scale", mend="vary the model only"
                )
        named = [(r.model, r.revision) for r in self.rebounds]
        if len(set(named)) < len(named):
            raise InputError("a model is named twice", where="scale", mend="name each model and revision once")
        if len(set(self.pairs)) < len(self.pairs):
            raise InputError("a behaviour is named twice", where="scale", mend="name each once in --pairs")
        if any(set(r.algorithms) - {"sft"} for r in self.rebounds):
            raise InputError("an algorithm that is not sft", where="scale", mend="use rebound for other algorithms")
        if not 16 <= self.gradient_documents <= first.held_out:
            raise InputError(
                f"{self.gradient_documents} documents of a kind for gradients, {first.held_out} held out",
                where="scale",
                mend="give at least 16, and no more than are held out",
            )

    def equipment(self, out: Path, device: str, dtype: str, trust_remote_code: bool) -> Equipment:
        """What every run needs; the model is put in by each."""
        shared = self.rebounds[0].equipment(out, device, dtype, trust_remote_code)
        return replace(shared, model="family" if self.family else shared.model)

    def about(self, equipment: Equipment) -> dict[str, object]:
        """The settings as a summary tells them; each run names its own model."""
        return asdict(self) | equipment.training

    def planned(self, equipment: Equipment) -> list[Configuration]:
        """The configuration of every run, members that share a pre-training together: by seed, size, volume."""
        first = self.rebounds[0]
        data = data_hashes((first.align, first.perturb, *(self.family.texts if self.family else ())))
        behaviours = {"behaviours": {name: read_pairs(name).sha256 for name in self.pairs}} if self.pairs else {}
        runs = []
        for rebound, member, source in self._members(equipment):
            for run in rebound.configurations(equipment.training, source, data):
                about = {"protocol": "scale", "scale_version": VERSION, "gradient_documents": self.gradient_documents}
                runs.append(run | about | behaviours | {"member": member})
        order = {seed: place for place, seed in enumerate(first.seeds)}
        return sorted(runs, key=lambda run: order[run["seed"]])

    def _members(self, equipment: Equipment) -> list[tuple[ReboundSettings, Configuration, str]]:
        members = []
        if self.family is None:
            for rebound in self.rebounds:
                at = replace(equipment, model=rebound.model, revision=rebound.revision)
                size = rebound.model if rebound.revision is None else f"{rebound.model}@{rebound.revision}"
                member: Configuration = {"family": None, "size": size, "pretrain_volume": rebound.pretrain_volume}
                members.append((rebound, member | {"revision": rebound.revision}, at.source))
            return members
        first, about = self.rebounds[0], self.family.about()
        taken = {"align_volumes": list(first.align_volumes), "directions": list(first.directions)}
        for size in self.family.sizes:
            for volume in self.family.volumes:
                rebound = replace(first, model=f"{size}-{volume}", pretrain_volume=float(volume))
                member = {"family": about, "size": size, "pretrain_volume": volume} | taken
                members.append((rebound, member, run_key(member)))
        return members

    def parts(self) -> list[Part]:
        """Each model and all that is done with it; of a family, each size with all volumes and the pre-training before them."""
        if self.family is None:
            return [part_of(rebound, self._work(rebound)) for rebound in self.rebounds]
        family, rebound, parts = self.family, self.rebounds[0], []
        for size in family.sizes:
            work = [replace(part, times=part.times * len(family.volumes)) for part in self._work(rebound)]
            work.insert(0, Work("pre-trained", len(rebound.seeds), family.volumes[-1] * family.max_tokens))
            part = part_of(rebound, work)
            parts.append(replace(part, model=size, shape=family_config(family, size), revision=None))
        return parts

    def _work(self, rebound: ReboundSettings) -> list[Work]:
        """A rebound, and the gradients at its start and at each aligned state."""
        units, count = len(rebound.seeds) * len(rebound.directions), self.gradient_documents
        readings = len(rebound.seeds) + units * len(rebound.align_volumes)
        documents = 2 * (count // 2) + (count - count // 2)
        work = [*rebound.work(), Work("gradients", readings, documents * rebound.max_tokens)]
        if self.pairs:  # both responses and a neutral text
            tokens = 3 * PROMPTS * PROMPT_TOKENS
            work.append(Work("kernels", len(self.pairs) * len(rebound.seeds), tokens))
        return work

    # -- the settings that a person gives, flat ------------------------------------------------------------------------

    @classmethod
    def listed(cls) -> list[Field]:
        """The models or the family, then the rebound of each; the defaults are those of the preset ``quick``."""
        own = [*Models.listed(), *(row for row in FamilySettings.listed() if row.name in FAMILY)]
        own.append(Field("gradient_documents", int | None, None, cls.GRADIENTS, "--gradient-documents"))
        own.append(Field("pairs", tuple[str, ...], (), cls.PAIRS, "--pairs"))
        quick = read_values(ReboundSettings.listed(), cls.presets()["quick"])
        return own + [
            replace(row, default=quick.get(row.name, row.default))
            for row in ReboundSettings.listed()
            if row.name not in ("model", "revision", "pretrain_volume", "algorithms")
        ]

    @classmethod
    def values_of(cls, preset: str | None) -> Values:
        """What a preset sets; ``quick`` and none are the family of the defaults."""
        return {} if preset in (None, "quick") else super().values_of(preset)

    @classmethod
    def of(cls, preset: str | None = None, given: Mapping[str, Any] | None = None) -> Self:
        """A family in our settings (preset ``quick`` or none), models that are given, or a preset of the paper's models.

        Raises InputError for a mixture of these.

        >>> [r.model for r in ScaleSettings.of("paper-size").rebounds][-1]
        'Qwen/Qwen1.5-7B'
        >>> ScaleSettings.of(given={"models": ("a/b",), "gradient_documents": 16}).rebounds[0].held_out
        128
        """
        own, named = dict(given or {}), {row.name for row in Models.listed()}
        models, family = ({name: own[name] for name in own if name in names} for names in (named, FAMILY))
        paper = cls.values_of(preset)
        if (models and paper) or (family and (models or paper)) or (models and not models.get("models")):
            raise InputError(
                "a family, given models and a preset of models at once, or revisions without a model",
                where="scale",
                mend="give one of: --sizes, --volumes, --texts, --vocabulary; --models; --preset paper-...",
            )
        values = {**paper, **own}
        documents, pairs = values.pop("gradient_documents", None), values.pop("pairs", ())
        rest = {name: value for name, value in values.items() if name not in named | set(FAMILY)}
        if models or paper:
            chosen = Models(**{name: value for name, value in values.items() if name in named})
            rebounds = chosen.rebounds({"held_out": 128, **rest})
        else:
            quick = read_values(ReboundSettings.listed(), cls.presets()["quick"])
            rebounds = (ReboundSettings.of(given={**quick, **rest}),)
            family |= {name: own[name] for name in BOTH if name in own}
        most = min(128, rebounds[0].held_out) if documents is None else documents
        return cls(rebounds, None if models or paper else FamilySettings(**family), most, tuple(pairs))

    def values(self) -> Values:
        """Every setting that a person may give, of a family or of given models."""
        first, family = self.rebounds[0], self.family
        if family is None:
            known = Models(
                tuple(r.model for r in self.rebounds),
                tuple(r.revision for r in self.rebounds if r.revision is not None),
                tuple(r.pretrain_volume for r in self.rebounds if r.pretrain_volume is not None),
            ).values()
        else:
            known = {name: getattr(family, name) for name in FAMILY}
        known |= {"gradient_documents": self.gradient_documents, "pairs": self.pairs}
        return known | {own.name: getattr(first, own.name) for own in self.listed() if hasattr(first, own.name)}


@dataclass(frozen=True)
class Models(Settings):
    """The models of a scale experiment where they are given: one at several revisions, or a revision each.

    Nominal |D_p| may stay away where it is not known: then the slope in it is not told, and the models have to be adapted.
    """

    NAME = "scale"
    models: tuple[str, ...] = setting((), "Models instead of a family, commas between.")
    revisions: tuple[str, ...] = setting((), "Of one model, or one for each model; commas between.")
    pretrain_volumes: tuple[float, ...] = setting((), "Pre-training volume of each model in examples, commas between.")

    def rebounds(self, template: Mapping[str, Any]) -> tuple[ReboundSettings, ...]:
        """The rebound of each model in the settings of ``template``. Raises InputError where the numbers do not agree.

        >>> found = Models(("a/b",), ("one", "two"), (10, 20)).rebounds({"adapt_volume": 0})
        >>> [(r.model, r.revision, r.pretrain_volume) for r in found]
        [('a/b', 'one', 10), ('a/b', 'two', 20)]
        """
        named: list[tuple[str, str | None]]
        if not self.revisions:
            named = [(model, None) for model in self.models]
        elif len(self.models) == 1:
            named = [(self.models[0], revision) for revision in self.revisions]
        elif len(self.models) == len(self.revisions):
            named = list(zip(self.models, self.revisions, strict=True))
        else:
            raise InputError(
                f"{len(self.models)} models and {len(self.revisions)} revisions",
                where="scale",
                mend="give one model, or a revision for each",
            )
        volumes = self.pretrain_volumes
        if volumes and len(volumes) != len(named):
            raise InputError(
                f"{len(volumes)} pre-training volumes for {len(named)} models", where="scale", mend="give one for each"
            )
        if template.get("adapt_volume") == 0 and not volumes:
            raise InputError(
                "nothing to adapt on, and no volume of pre-training",
                where="scale",
                mend="give --adapt-volume of at least 1, or 0 with --pretrain-volumes, the nominal |D_p| in examples",
            )
        known: Sequence[float | None] = volumes or [None] * len(named)
        return tuple(
            ReboundSettings.of(given={**template, "model": model, "revision": revision, "pretrain_volume": volume})
            for (model, revision), volume in zip(named, known, strict=True)
        )


def _shared(rebound: ReboundSettings) -> dict[str, object]:
    """The settings that the rebounds of a scale experiment have in common."""
    return {key: value for key, value in asdict(rebound).items() if key not in ("model", "revision", "pretrain_volume")}
