"""What ``defence.json`` holds of each attack on each run, and of the defences, typed for whoever reads it."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from elastomath.interval import Ends


class DefenceRow(TypedDict):
    """An attack on a defended behaviour (`answers.defence_rows`)."""

    pairs: str
    seed: int
    defence: str
    volume: int
    learning_rate: float
    beta: float | None
    z0: float
    z: float
    forecast: float | None
    forecast_text: str
    c_align: float
    c_before: float
    c_after: float | None
    lost: Ends
    attack: str
    best_rate: float
    undo_volume: Ends
    undo_volume_text: str
    half_life: Ends
    same_rate: Ends


class GainedRow(DefenceRow):
    """With its undo volume over that of plain fine-tuning, of the same behaviour and seed."""

    gain: Ends


class Ranked(TypedDict):
    """A defence against an attack, over behaviours and seeds (`answers.ranking`); method: over what the interval of its gain is."""

    attack: str
    defence: str
    title: str
    gain: Ends
    method: NotRequired[str]
    groups: int
    lost: Ends
    not_undone: int
    rank: int


class Defended(TypedDict):
    """All runs together."""

    defence: list[GainedRow]
    ranking: list[Ranked]
