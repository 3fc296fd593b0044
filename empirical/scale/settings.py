"""Which models the protocol `scale` compares: a family that is pre-trained here, or models and revisions that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration, run_key

from ..data.specifications import data_hashes
from ..laboratory.laboratory import Equipment
from ..laboratory.paper import PAPER_MODELS, TOKENS
from ..laboratory.work import Part, Work, part_of
from ..rebound.settings import REBOUND, ReboundSettings, rebound_work
from .family import FamilySettings

VERSION = 1


@dataclass(frozen=True)
class ScaleSettings:
    """One scale experiment: the rebound of every model, of one kind of text and with one set of documents.

    rebounds            the rebound of each model; with ``family`` a single one, whose model is each member in turn
    family              the models that are pre-trained here; None where ``rebounds`` names models
    gradient_documents  held-out documents of each kind that carry the gradients (R7), half for each of H_p and H_a

    Larger alignment volumes go on from smaller ones, and the control arm (both kinds mixed) is run where the rebound asks.
    """

    rebounds: tuple[ReboundSettings, ...]
    family: FamilySettings | None = None
    gradient_documents: int = 128

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
        found = self.rebounds[0].equipment(out, device, dtype, trust_remote_code)
        return replace(found, model="family" if self.family else found.model)

    def configurations(self, equipment: Equipment) -> list[Configuration]:
        """The configuration of every run, members that share a pre-training together: by seed, size, volume."""
        first = self.rebounds[0]
        data = data_hashes((first.align, first.perturb, *(self.family.texts if self.family else ())))
        runs = []
        for rebound, member, source in self._members(equipment):
            for run in rebound.configurations(equipment.training, source, data):
                about = {"protocol": "scale", "scale_version": VERSION, "gradient_documents": self.gradient_documents}
                runs.append(run | about | {"member": member})
        order = {seed: place for place, seed in enumerate(first.seeds)}
        return sorted(runs, key=lambda run: order[run["seed"]])

    def _members(self, equipment: Equipment) -> list[tuple[ReboundSettings, dict[str, Any], str]]:
        found = []
        if self.family is None:
            for rebound in self.rebounds:
                at = replace(equipment, model=rebound.model, revision=rebound.revision)
                size = rebound.model if rebound.revision is None else f"{rebound.model}@{rebound.revision}"
                member: dict[str, Any] = {"family": None, "size": size, "pretrain_volume": rebound.pretrain_volume}
                found.append((rebound, member | {"revision": rebound.revision}, at.source))
            return found
        first, about = self.rebounds[0], self.family.about()
        taken = {"align_volumes": list(first.align_volumes), "directions": list(first.directions)}
        for size in self.family.sizes:
            for volume in self.family.volumes:
                rebound = replace(first, model=f"{size}-{volume}", pretrain_volume=float(volume))
                member = {"family": about, "size": size, "pretrain_volume": volume} | taken
                found.append((rebound, member, run_key(member)))
        return found

    def parts(self) -> list[Part]:
        """Each model and all that is done with it, for the dry run."""
        return scale_parts(self)


def _shared(rebound: ReboundSettings) -> dict[str, Any]:
    """The settings that the rebounds of a scale experiment have in common."""
    return {key: value for key, value in asdict(rebound).items() if key not in ("model", "revision", "pretrain_volume")}


def models_and_revisions(
    models: Sequence[str], revisions: Sequence[str], volumes: Sequence[float], template: Mapping[str, Any]
) -> tuple[ReboundSettings, ...]:
    """The template for each model at each revision: one model at several, or as many revisions as models, in pairs.

    template: the settings of every rebound, by name. volumes: nominal |D_p| in examples, one each, or none where it is not
    known (then the slope in it is not told, and the models have to be adapted first). Raises InputError where the numbers
    do not agree.

    >>> found = models_and_revisions(["a/b"], ["one", "two"], [10, 20], {"adapt_volume": 0})
    >>> [(r.model, r.revision, r.pretrain_volume) for r in found]
    [('a/b', 'one', 10), ('a/b', 'two', 20)]
    """
    named: list[tuple[str, str | None]]
    if not revisions:
        named = [(model, None) for model in models]
    elif len(models) == 1:
        named = [(models[0], revision) for revision in revisions]
    elif len(models) == len(revisions):
        named = list(zip(models, revisions, strict=True))
    else:
        raise InputError(
            f"{len(models)} models and {len(revisions)} revisions",
            where="scale",
            mend="give one model, or a revision for each",
        )
    if volumes and len(volumes) != len(named):
        raise InputError(
            f"{len(volumes)} pre-training volumes for {len(named)} models", where="scale", mend="give one for each"
        )
    known: Sequence[float | None] = list(volumes) or [template.get("pretrain_volume")] * len(named)
    if template.get("adapt_volume") == 0 and not all(known):
        raise InputError(
            "nothing to adapt on, and no volume of pre-training",
            where="scale",
            mend="give --adapt-volume of at least 1, or 0 with --pretrain-volumes, the nominal |D_p| in examples",
        )
    return tuple(
        ReboundSettings(**{**template, "model": model, "revision": revision, "pretrain_volume": volume})
        for (model, revision), volume in zip(named, known, strict=True)
    )


QUICK: Mapping[str, Any] = {
    "adapt_volume": 0,
    "pretrain_volume": 1.0,
    "align_volumes": (512,),
    "perturb_volumes": (32, 96, 288),
    "held_out": 300,
    "kl_documents": 4,
    "seeds": (0, 1, 2),
    "prompt": "",
    "max_tokens": 40,
    "learning_rate": 2e-3,
    "batch": 8,
    "warmup": 0,
}
"""The rebound of the family's members: they have seen the union already, so nothing is adapted; |D_p| is put in by each."""


def chosen_settings(
    preset: str | None,
    rebound: Mapping[str, Any],
    family: Mapping[str, Any],
    *,
    models: Sequence[str] = (),
    revisions: Sequence[str] = (),
    pretrain_volumes: Sequence[float] = (),
) -> ScaleSettings:
    """A family in our settings (preset ``quick`` or none), models that are given, or a preset of the paper's models.

    rebound, family: what was given in the place of a setting of each. Raises InputError for a mixture of these.

    >>> [r.model for r in chosen_settings("paper-size", {}, {}).rebounds][-1]
    'Qwen/Qwen1.5-7B'
    """
    named = bool(models or revisions or pretrain_volumes)
    paper = preset not in (None, "quick")
    own = {key: value for key, value in family.items() if key in ("sizes", "volumes", "texts", "vocabulary")}
    if (named and paper) or (own and (named or paper)) or (named and not models):
        raise InputError(
            "a family, given models and a preset of models at once, or revisions without a model",
            where="scale",
            mend="give one of: --sizes, --volumes, --texts, --vocabulary; --models; --preset paper-...",
        )
    if paper:
        rebounds = tuple(scale_settings(str(preset), rebound))
    elif models:
        rebounds = models_and_revisions(models, revisions, pretrain_volumes, {"held_out": 128, **rebound})
    else:
        rebounds = (ReboundSettings(**{**QUICK, **rebound}),)
        return ScaleSettings(rebounds, FamilySettings(**family), min(128, rebounds[0].held_out))
    return ScaleSettings(rebounds, None, min(128, rebounds[0].held_out))


def _scale(name: str) -> list[dict[str, Any]]:
    common = REBOUND["paper-rebound"]
    return [common | {"model": model, "pretrain_volume": TOKENS[model] / 512} for model in PAPER_MODELS[name]]


SCALE: Final[dict[str, list[dict[str, Any]]]] = {"paper-size": _scale("size"), "paper-volume": _scale("volume")}
"""Presets of F3: the rebound of every model of a family, in the settings of `paper-rebound` (our reading: the paper says which
models, and that rebound grows with size and with pre-training volume; it prints no settings of its own for them)."""


def scale_settings(preset: str, given: Mapping[str, Any]) -> list[ReboundSettings]:
    """The rebound of each model of a family, smallest first, with what was given in the preset's place.

    >>> [settings.model for settings in scale_settings("paper-size", {})][-1]
    'Qwen/Qwen1.5-7B'
    """
    if preset not in SCALE:
        raise InputError(f"no preset {preset!r}", where="--preset", mend=f"choose from {', '.join(SCALE)}")
    return [ReboundSettings(**{**values, **given}) for values in SCALE[preset]]


def scale_parts(settings: Any) -> list[Part]:
    """Each model of a scale experiment, or each size of its family with all volumes and the pre-training before them."""
    family, count = settings.family, settings.gradient_documents

    def own(rebound: Any) -> list[Work]:
        units = len(rebound.seeds) * len(rebound.directions)
        readings = len(rebound.seeds) + units * len(rebound.align_volumes)
        documents = 2 * (count // 2) + (count - count // 2)
        return [*rebound_work(rebound), Work("gradients", readings, documents * rebound.max_tokens)]

    if family is None:
        return [part_of(rebound, own(rebound)) for rebound in settings.rebounds]
    from .family import family_config

    rebound = settings.rebounds[0]
    parts = []
    for size in family.sizes:
        work = [replace(part, times=part.times * len(family.volumes)) for part in own(rebound)]
        work.insert(0, Work("pre-trained", len(rebound.seeds), family.volumes[-1] * family.max_tokens))
        part = part_of(rebound, work)
        parts.append(replace(part, model=size, shape=family_config(family, size), revision=None))
    return parts
