"""The verb `track`: models that are there already, read on the same pairs and joined into one Curve."""

from __future__ import annotations

from typing import Any

from elastomath.interval import Interval

from .options import Protocol
from .terminal import conclude, table


def track() -> Protocol:
    """Was the alignment undone, and after how much? Base, aligned model and checkpoints read on pairs, as a curve file."""
    from empirical.tracking.run import track as run
    from empirical.tracking.settings import TrackSettings

    return Protocol(TrackSettings, run, show, dtype="float32")


def show(result: dict[str, Any]) -> None:
    """The answer in sentences, the readings behind it, and what they do not show."""
    conclude(result["conclusion"])
    rows = [
        {
            "reading": row["reading"],
            "perturbation": row["perturbation"],
            "contrast (nats)": f"{Interval.of_dict(row['contrast']):.3f}",
            **{name: row[name] for name in ("pretrain", "align", "perturb")},
        }
        for row in result["rows"]
    ]
    table(rows, tuple(rows[0]))
    settings = result["settings"]
    print()
    sentence = (
        "Contrast: how much longer the code of the rejected responses is than that of the chosen ones. Align, perturb: the code length of "
        f"the chosen and of the rejected ones, pretrain: of texts like the pre-training, in {settings['rate_unit']}. Perturbations in "
        f"{settings['axis']}, {result['axis']}."
    )
    conclude([sentence, f"Not shown: {'; '.join(result['not_shown'])}."], blank=False)
