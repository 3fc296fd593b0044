"""What a report does: presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from empirical.fetch.catalog import MODEL as MODEL


@dataclass(frozen=True)
class Preset:
    """What a report does: how many cases and readings, and the settings of the experiments on a model (None: no model)."""

    cases: int
    k: tuple[float, ...]
    documents: int
    durability: dict[str, Any] | None
    rebound: dict[str, Any] | None = None
    positions: int = 3840


PRESETS = {
    "theory": Preset(cases=100, k=(2.0, 40.0), documents=0, durability=None),
    "quick": Preset(cases=100, k=(2.0, 40.0), documents=40, durability={"align_volumes": (16, 64)}),
    "full": Preset(
        cases=1000,
        k=(2.0, 10.0, 40.0, 200.0, 1000.0),
        documents=400,
        durability={"pairs": ("advice", "verdict", "refusal", "tone", "format"), "seeds": (0, 1, 2)},
        rebound={
            "adapt_volume": 800,
            "align_volumes": (100, 200, 400, 800),
            "perturb_volumes": (25, 50, 100, 200, 400),
            "held_out": 200,
            "kl_documents": 24,
            "seeds": (0, 1, 2),
        },
        positions=7680,
    ),
}
REVIEWS = "film-reviews"
