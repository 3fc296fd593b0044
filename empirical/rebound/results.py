"""What ``rebound.json`` holds of each run, typed for whoever reads it: the report, the command line, claims."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Classifier(TypedDict):
    """What judged the samples, and how often it is right."""

    name: str
    accuracy: dict[str, float | None] | None


class Reading(TypedDict):
    """One state: rates, contrast and divergences in bits per token. The change is from ``change_from``, a phase."""

    phase: str
    volume: int
    rates: dict[str, float]
    contrast: float
    contrast_change: float
    contrast_change_se: float
    change_from: str
    kl_forward: float
    kl_reverse: float
    behaviour: NotRequired[float]
    behaviour_se: NotRequired[float]
    classifier: NotRequired[Classifier]


class RunReadings(TypedDict):
    """One run: its configuration's own numbers, its readings, the excess over the control, and where it was back."""

    run: str
    align_volume: int
    seed: int
    algorithm: str
    direction: str
    rows: list[Reading]
    beyond_control: dict[str, float] | None
    return_volume: dict[str, float] | None


class Over(TypedDict):
    """A mean over seeds: Student's interval over so many ``units``, the error over documents, the mean over that error."""

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    units: int
    se_documents: float
    z: float | None


class AtVolume(Over):
    """The mean after one alignment volume."""

    align_volume: int


class Measured(TypedDict):
    """A measure by alignment volume, and its slope per doubling; None for one volume."""

    by_volume: list[AtVolume]
    slope: Over | None


class LawSlope(TypedDict):
    """What a law says of a measure's slope, and whether the measured interval holds it; None where it is open."""

    slope: float
    inside_interval: bool | None


class LawFit(TypedDict):
    """A law fitted to the mean contrasts; bits per token."""

    name: str
    numbers: dict[str, float]
    points: int
    rms: float
    chi2_per_point: float
    heldout_rms: float | None
    slopes: dict[str, LawSlope]
    falls_faster_below: NotRequired[float]


class Falls(TypedDict):
    """F2 for one algorithm and direction (`falls.falls`)."""

    algorithm: str
    direction: str
    units: int
    align_volumes: list[int]
    perturb_volumes: list[int]
    moved: list[AtVolume]
    first_fall: Measured
    depth: Measured
    first_excess: NotRequired[Measured]
    excess_depth: NotRequired[Measured]
    slowing: NotRequired[Over]
    laws: list[LawFit]


class Rebound(TypedDict):
    """What the protocol says beside runs, curve and settings."""

    readings: list[RunReadings]
    falls: list[Falls]
