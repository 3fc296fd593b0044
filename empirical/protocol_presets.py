"""Settings of the protocols `resistance` and `inversion` by name; what the paper does not say is marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .inversion_settings import InversionSettings
from .presets import PAPER, PAPER_MODELS, chosen
from .resistance import ResistanceSettings

RESISTANCE: Final[dict[str, dict[str, Any]]] = {
    "quick": {},
    "paper-resistance": PAPER
    | {
        "model": PAPER_MODELS["resistance"][0],
        "align": "alpaca#",
        "align_volume": 10_000,
        "volumes": (500, 1000, 2000),
        "held_samples": 500,
        "sample_tokens": 256,
        "held_out": 500,
        "lora_rank": 0,
    },
}
"""Presets of `resistance`. `paper-resistance`: from the paper, model, data set (Table 1 has truthfulqa and beavertails, too:
``--align``), three equal slices, length, rate, seed, bf16, batch 8; our reading: 10,000 alignment examples, 2,000 samples of
at most 256 tokens of each D_k at temperature 1, and what is held out."""

INVERSION: Final[dict[str, dict[str, Any]]] = {"quick": {}}
"""Presets of `inversion`: the paper asks the question (Q1) and measured nothing, so there is no preset of it."""


def resistance_settings(preset: str | None, given: Mapping[str, Any]) -> ResistanceSettings:
    """`ResistanceSettings` of a preset with what was given in its place. Raises InputError for another preset."""
    return ResistanceSettings(**chosen(RESISTANCE, preset, given))


def inversion_settings(preset: str | None, given: Mapping[str, Any]) -> InversionSettings:
    """`InversionSettings` of a preset with what was given in its place. Raises InputError for another preset."""
    return InversionSettings(**chosen(INVERSION, preset, given))
