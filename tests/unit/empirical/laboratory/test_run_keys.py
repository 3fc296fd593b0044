"""The names of runs in a ledger: with another name, what was run before would be run again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("torch")

from elastomath.runs.ledger import Configuration, run_key
from empirical.durability.settings import DurabilitySettings
from empirical.inversion.settings import InversionSettings
from empirical.rebound.settings import ReboundSettings
from empirical.resistance.settings import ResistanceSettings
from empirical.scale import settings as scale
from empirical.stiffness.settings import StiffnessSettings

TRAINING = {"dtype": "float32", "weights": "float32"}
FILES: dict[str, Any] = {"film-reviews:positive": "0a", "film-reviews:negative": "1b"}
PAIRS = {"advice": "2c", "tone": "3d"}


def keys(configurations: Sequence[Configuration]) -> tuple[int, str]:
    """How many runs there are, and a hash of all their keys."""
    names = [run_key(configuration) for configuration in configurations]
    return len(names), hashlib.sha256(" ".join(names).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class At:
    """What `Equipment` says of a model, without looking for its weights."""

    model: str = ""
    revision: str | None = None
    training = TRAINING

    @property
    def source(self) -> str:
        return f"5e {self.model} {self.revision}"


def of_scale(settings: scale.ScaleSettings, monkeypatch: pytest.MonkeyPatch) -> list[Configuration]:
    monkeypatch.setattr(scale, "data_hashes", lambda _: FILES)
    return settings.planned(At())  # type: ignore[arg-type]


SETTINGS = {
    "rebound": lambda: ReboundSettings(),
    "rebound, chat and behaviour": lambda: ReboundSettings(chat=True, behaviour="tfidf", directions=("exchanged",)),
    "rebound, quick": lambda: ReboundSettings.of("quick"),
    "rebound, paper-rebound": lambda: ReboundSettings.of("paper-rebound", {"algorithms": ("sft", "dpo")}),
    "resistance": lambda: ResistanceSettings(),
    "resistance, paper-resistance": lambda: ResistanceSettings.of("paper-resistance"),
    "inversion": lambda: InversionSettings(measure="behaviour"),
    "durability": lambda: DurabilitySettings(optimisers=("sgd", "adamw")),
}
SCALES = {
    "scale": lambda: scale.ScaleSettings.of(),
    "scale, another family": lambda: scale.ScaleSettings.of(
        given={"seeds": (4,), "sizes": ("32x2",), "vocabulary": 512}
    ),
    "scale, shorter texts": lambda: scale.ScaleSettings.of(given={"max_tokens": 24, "prompt": "Film:", "batch": 4}),
    "scale, paper-size": lambda: scale.ScaleSettings.of("paper-size"),
    "scale, paper-volume": lambda: scale.ScaleSettings.of("paper-volume", {"held_out": 256}),
    "scale, two models": lambda: scale.ScaleSettings.of(given={"adapt_volume": 8, "models": ("a", "b")}),
}
KEYS = {
    "rebound": (2, "acf7bde07a26e282"),
    "rebound, chat and behaviour": (2, "7981c17b58e4cfb7"),
    "rebound, quick": (6, "ad541e0967e365c6"),
    "rebound, paper-rebound": (16, "5e8d1c25088c15ce"),
    "resistance": (6, "ccde4d13ece7cdcb"),
    "resistance, paper-resistance": (3, "ce4ab9187a0b9fb8"),
    "inversion": (2, "528c6669cad3ad42"),
    "durability": (12, "43dece07523f9139"),
    "stiffness": (5, "50f982288d384fef"),
    "scale": (48, "fa36edb22a9e0ef5"),
    "scale, another family": (4, "bc77f20e73a8eb94"),
    "scale, shorter texts": (48, "4d359a5127ae1259"),
    "scale, paper-size": (24, "af2f39ec1a4a9825"),
    "scale, paper-volume": (48, "dec4a8599fe27356"),
    "scale, two models": (4, "fc0987d6f8384e8b"),
}


@pytest.mark.parametrize("name", KEYS)
def test_the_keys_of_runs_stay(name: str, monkeypatch: pytest.MonkeyPatch):
    if name in SCALES:
        configurations = of_scale(SCALES[name](), monkeypatch)
    elif name == "stiffness":
        configurations = StiffnessSettings().configurations("float32", "4f", FILES)
    else:
        files = PAIRS if name == "durability" else FILES
        configurations = SETTINGS[name]().configurations(TRAINING, "4f", files)
    assert keys(configurations) == KEYS[name]
