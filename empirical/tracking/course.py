"""The course of a model under perturbation: its readings in order, their Curve, and what they say in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from elastomath.arrays import Array
from elastomath.checks import choice, rising
from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.fit.fit import fit
from elastomath.interval import Ends, Interval
from elastomath.units import NATS_PER_BIT

from ..durability.results import Undone
from ..durability.undoing import DRAWS, undo_interval
from ..measures.contrast import within_run_se
from .panel import PRETRAIN, SIDES, Reading

RATE_UNITS = ("nats/response", "bits/token")
"""A rate is of a response (or document), which belongs to a volume in examples; or of a token, which belongs to tokens."""
VOLUME_UNITS = ("examples", "tokens")
COMPONENTS = (PRETRAIN, "align", "perturb")


class Constants(TypedDict, total=False):
    """What the fit says of a run, or its reason for saying nothing; effective volumes where the run is near a joint optimum."""

    reason: str
    half_life: Undone | None
    verdict: str | None
    K_pretrain: Ends | None
    K_align: Ends | None
    kappa: Ends | None


class Tracked(TypedDict):
    """What readings say (`Course.summary`): sentences first, then numbers; curve: the path, where it was written."""

    curve: NotRequired[str]
    conclusion: list[str]
    not_shown: list[str]
    undo_volume: Undone | None
    left: Ends | None
    contrast: dict[str, Ends]
    constants: Constants
    rows: list[dict[str, object]]


@dataclass(frozen=True)
class Course:
    """Readings of one model at rising volumes of a perturbation, the first at 0: the aligned model as it was.

    perturbations  (J+1,), from 0, in volume_unit;  readings  as `panel.read_model` gives them, all of the same documents
    base           the reading before the alignment, or None
    volumes        nominal volumes of ``pretrain`` and ``align`` in volume_unit; one that is not known stands as 1 in the Curve
    labels         what each reading is called;  covariates  further columns of the Curve
    """

    run: str
    perturbations: tuple[float, ...]
    readings: tuple[Reading, ...]
    base: Reading | None = None
    volumes: Mapping[str, float] = field(default_factory=dict)
    volume_unit: str = "examples"
    rate_unit: str = "nats/response"
    labels: tuple[str, ...] = ()
    covariates: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        choice(self.rate_unit, "rate_unit", "track", RATE_UNITS)
        choice(self.volume_unit, "volume_unit", "track", VOLUME_UNITS)
        if len(self.readings) != len(self.perturbations) or not self.readings:
            raise InputError(
                f"{len(self.readings)} readings at {len(self.perturbations)} perturbations",
                where=self.run,
                mend="give one for each",
            )
        rising(self.perturbations, "perturbations", self.run, least=0)
        if self.perturbations[0] != 0:
            raise InputError(
                f"the first perturbation is {self.perturbations[0]:g}",
                where=self.run,
                mend="begin with the aligned model, before any perturbation",
            )
        unknown = [name for name in self.volumes if name not in COMPONENTS[:2]]
        if unknown:
            raise InputError(f"a volume of {unknown[0]!r}", where=self.run, mend="give those of pretrain and align")

    @property
    def count(self) -> int:
        """Pairs of responses."""
        return len(self.readings[0]["nats_chosen"])

    def contrasts(self) -> Array:
        """``z = gamma_rejected - gamma_chosen`` of each prompt at each reading, nats, shape (J+1, prompts)."""
        return np.stack([_contrast(reading) for reading in self.readings])

    def curve(self) -> Curve:
        """``gamma_i = sum of code lengths / sum of sizes`` of the three components, with the error within the run.

        align is the chosen responses, perturb the rejected ones, pretrain its documents; where there are none, both
        responses in equal shares, as in `experiment durability`. A size is 1 a response, or its tokens, by rate_unit.
        The errors are `contrast.within_run_se`, not given for a single reading. In nats a response the columns base_contrast,
        base_contrast_se and contrast_se hold the contrast before the alignment, and errors of the contrast over paired prompts.
        """
        rates: dict[str, ArrayLike] = {}
        errors: dict[str, ArrayLike] = {}
        for component in COMPONENTS:
            lengths, tokens = self._lengths(component)
            sizes = np.ones(lengths.shape[1]) if self.rate_unit == "nats/response" else tokens * NATS_PER_BIT
            rates[component] = lengths.sum(1) / sizes.sum()
            if len(lengths) > 1:
                errors[component] = within_run_se(lengths, sizes)
        last = self.perturbations[-1] or 1.0
        volumes = {name: float(self.volumes.get(name, 1.0)) for name in COMPONENTS[:2]} | {"perturb": last}
        return Curve.from_paths(
            self.run, volumes, self.perturbations, rates, self.rate_unit, self.volume_unit,
            rate_se=errors or None, protocol="track", **self.covariates, **self._contrast_columns(),
        )  # fmt: skip

    def _contrast_columns(self) -> dict[str, ArrayLike]:
        """What the rates cannot tell of the contrast: where it was before the alignment, and its errors over paired prompts."""
        if self.rate_unit != "nats/response":
            return {}
        z = self.contrasts()
        rows = z if self.base is None else np.vstack([z, _contrast(self.base)])
        if len(rows) < 2:
            return {}
        errors = within_run_se(rows, np.ones(z.shape[1]))
        columns: dict[str, ArrayLike] = {"contrast_se": errors[: len(z)]}
        if self.base is not None:
            columns |= {"base_contrast": float(rows[-1].mean()), "base_contrast_se": float(errors[-1])}
        return columns

    def _lengths(self, component: str) -> tuple[Array, Array]:
        """Code lengths of the documents of a component at each reading, nats, and their tokens, the same at each."""
        sides: tuple[str, ...] = {"align": SIDES[:1], "perturb": SIDES[1:], PRETRAIN: (PRETRAIN,)}[component]
        if component == PRETRAIN and "nats_pretrain" not in self.readings[0]:
            sides = SIDES
        tokens = np.stack([np.mean([reading[f"tokens_{side}"] for side in sides], axis=0) for reading in self.readings])
        if self.rate_unit == "bits/token" and (tokens != tokens[0]).any():
            raise InputError(
                "the models do not have one tokenizer", where=self.run, mend="compare them in nats/response"
            )
        nats = [np.mean([reading[f"nats_{side}"] for side in sides], axis=0) for reading in self.readings]
        return np.stack(nats), tokens[0]

    # -- what it says ------------------------------------------------------------------------------------------------

    def summary(self) -> Tracked:
        """The conclusion in sentences, and the numbers behind it.

        undo_volume  perturbation that brings the mean contrast back to the base's, over paired prompts; None without a base
        half_life    (in constants) half of the way back by the same method; without a base as `fit` reads it, half of the way to 0
        left         share of the contrast that the alignment had added which is there at the last reading; None likewise
        constants    of the fit: half-life, its verdict, effective volumes where they mean something; or the reason for none
        """
        z, last = self.contrasts(), self.perturbations[-1]
        levels = {"aligned": _mean(z[0]), "last": _mean(z[-1])}
        undo = half = left = added = None
        if self.base is not None:
            before = _contrast(self.base)
            levels = {"base": _mean(before)} | levels
            added = _mean(z[0] - before)
            if added.sign() > 0:
                undo, half = (
                    replace(undo_interval(back, self.perturbations, z), unit=self.volume_unit)
                    for back in (before, (before + z[0]) / 2)
                )
                left = _share(z[-1] - before, z[0] - before)
        constants = self._constants()
        if half is not None and "half_life" in constants:
            constants["half_life"] = _censored(half)
        return {
            "conclusion": [
                self._answer(z, added, undo, left),
                self._levels(levels),
                _elasticity(constants, self.volume_unit),
            ],
            "not_shown": self._not_shown(last),
            "undo_volume": None if undo is None else _censored(undo),
            "left": None if left is None else left.as_dict(),
            "contrast": {name: level.as_dict() for name, level in levels.items()},
            "constants": constants,
            "rows": self._rows(z),
        }

    def _answer(self, z: Array, added: Interval | None, undo: Interval | None, left: Interval | None) -> str:
        last = f"{self.perturbations[-1]:g} {self.volume_unit}"
        over = f"95% interval over {self.count} paired prompts"
        if len(z) == 1:
            return "No checkpoint was read yet: nothing can be said about the perturbation."
        if added is None:
            fall = _mean(z[0] - z[-1])
            verb = fall.side("rose", "fell", "did not change measurably")
            return (
                f"Over {last} of the perturbation the contrast {verb}: by {-_plain(fall)} nats ({over})."
                if (verb == "rose")
                else f"Over {last} of the perturbation the contrast {verb}: a fall of {fall:.3g} nats ({over})."
            )
        if undo is None or left is None:
            return f"There is nothing to undo: the alignment did not raise the contrast measurably ({added:.3g} nats, {over})."
        if undo.estimate is None:
            return (
                f"The perturbation did not undo the alignment within {last}: {left:.0%} of the contrast that the alignment "
                f"had added is left ({over})."
            )
        return f"The perturbation undid the alignment after {undo} ({over})."

    def _levels(self, levels: Mapping[str, Interval]) -> str:
        words = {"base": "in the base", "aligned": "in the aligned model", "last": "at the last reading"}
        parts = [f"{level:.2f} {words[name]}" for name, level in levels.items()]
        return (
            "The contrast, by how many nats the rejected response costs the model more than the chosen one, is "
            f"{', '.join(parts[:-1])} and {parts[-1]}."
        )

    def _constants(self) -> Constants:
        """What the fit says of the run: its half-life, and effective volumes where the run is near a joint optimum."""
        try:
            fitted = fit(self.curve())
        except InputError as error:
            return {"reason": str(error)}
        run, joint = fitted["runs"][0], fitted["joint"]
        verdict = None if joint is None else joint["verdict"]
        constants = Constants(half_life=fitted["constants"][0]["half_life"], verdict=verdict)
        if joint and joint["near"]:
            constants |= {"K_pretrain": run["K_pretrain"], "K_align": run["K_align"], "kappa": run["kappa"]}
        return constants

    def _not_shown(self, last: float) -> list[str]:
        lines = [f"other prompts than these {self.count}, and what the model does when it writes by itself"]
        if "nats_pretrain" not in self.readings[0]:
            lines.append("what happens to other text: pretrain stands for both responses in equal shares (--pretrain)")
        absent = [name for name in COMPONENTS[:2] if name not in self.volumes]
        if absent:
            lines.append(
                f"whether the finite law (R5) holds: the volume of {' and '.join(absent)} is not known and stands as 1 in the "
                "curve (--volumes); the effective volumes do not depend on it"
            )
        return lines

    def _rows(self, z: Array) -> list[dict[str, object]]:
        run = self.curve().run(self.run)
        labels = self.labels or tuple(f"{volume:g}" for volume in self.perturbations)
        return [
            {"reading": label, "perturbation": volume}
            | {name: float(run.rates[run.components.index(name), index]) for name in COMPONENTS}
            | {"contrast": _mean(z[index]).as_dict()}
            for index, (label, volume) in enumerate(zip(labels, self.perturbations, strict=True))
        ]


def _contrast(reading: Reading) -> Array:
    gap: Array = np.subtract(reading["nats_rejected"], reading["nats_chosen"], dtype=np.float64)
    return gap


def _mean(values: Array) -> Interval:
    return Interval.of_values(values, method="Student's t over prompts")


def _share(part: Array, whole: Array) -> Interval:
    """``mean part / mean whole`` with a bootstrap over prompts, which both share."""
    rows = np.random.default_rng(0).integers(0, len(part), (DRAWS, len(part)))
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.nan_to_num(part[rows].mean(1) / whole[rows].mean(1), nan=np.inf)
    return Interval.of_draws(float(part.mean() / whole.mean()), draws, method="bootstrap over prompts")


def _censored(interval: Interval) -> Undone:
    return {**interval.as_dict(), "censored": interval.estimate is None}


def _plain(interval: Interval) -> float:
    return interval.estimate or 0.0


def _elasticity(constants: Constants, unit: str) -> str:
    if "reason" in constants:
        return f"No elasticity constant: {constants['reason']}."
    half, verdict = constants["half_life"], constants["verdict"]
    parts = []
    if half is not None and half["estimate"] is not None:
        parts.append(f"Half of what the alignment had given was undone after {Interval.of_dict(half, unit)}.")
    if verdict is not None:
        parts.append(f"{verdict[0].upper()}{verdict[1:]}.")
    return " ".join(parts) or "The fit finds no elasticity constant in these readings."
