"""What ``rebound.json`` holds of each run, typed for whoever reads it: the report, the command line, claims."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


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
    classifier: NotRequired[dict[str, Any]]


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
