"""F2 and F3 on models that others trained, judged from saved readings of what their authors published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elastomath.interval import Interval
from elastomath.shown import number_of

from .claim import NOT_SUPPORTED, NOT_TESTED, Claim, Evidence, Finding, measured

SAVED, FIGURE = "published", "published"
PAGE = "python -m benchmarks.pages published"


def _told(evidence: Evidence, part: str) -> Mapping[str, Any] | None:
    saved = evidence.saved(SAVED)
    return saved.summary.get(part) if saved.there else None


def _deeper(evidence: Evidence) -> Finding:
    """F2 on unlearned models: whether half of what was unlearned is back sooner where it was unlearned more deeply."""
    readings = _told(evidence, "unlearn")
    if readings is None:
        return Finding(NOT_TESTED, "published", "no saved readings")
    every = readings["regression"]["all"]
    slopes, alone = (every[name]["depth"] for name in ("held_apart", "depth_alone"))
    slope, by_itself = Interval.of_dict(slopes), Interval.of_dict(alone)
    sooner = slope.high is not None and slope.high < 0
    back = Interval.of_dict(readings["back"]["correlation"])
    return measured(
        sooner,
        f"{readings['model']}, {number_of(every['runs'], 'attack')} on {number_of(every['held_apart']['models'], 'unlearned model')}: "
        "a nat of depth changes "
        f"ln of the steps until half is back by {slope:+.2g}, with damage and learning rate held, and by {by_itself:+.2g} with the "
        f"learning rate alone; less than {slopes['visible']:.2g} would not have been seen, so that neither sign is excluded. Depth and "
        f"damage go together ({every['depth_and_damage']:.2f}), and in damaged models what returns of the forgotten skill is what "
        f"returns of all others (correlation {back:.2f})",
        {"slope": slopes["estimate"], "visible": slopes["visible"]},
        level="published",
    )


def _larger(evidence: Evidence) -> Finding:
    """F3 on Pythia: whether swapped pronouns at the end of pre-training move larger models more."""
    readings = _told(evidence, "pythia")
    if readings is None:
        return Finding(NOT_TESTED, "published", "no saved readings")
    slope = Interval.of_dict(readings["by_size"])
    effects = ", ".join(
        f"{row['size']} {row['effect']['estimate']:+.3f}" for row in readings["swaps"] if row["arm"] == "swap7"
    )
    visible = max(row["visible"] for row in readings["swaps"])
    # the swap lowers the share of stereotyped choices where it acts: growing with size is a negative slope
    grows = slope.high is not None and slope.high < 0
    return measured(
        grows,
        f"Pythia, pronouns swapped in the last 7% of pre-training: the share of stereotyped choices changes by {effects}, by "
        f"{slope:+.4f} for each doubling of the size. An effect below {visible:.2f} at one size, or "
        f"{readings['by_size']['visible']:.3f} a doubling, would not have been seen",
        {"slope": slope.estimate, "visible": readings["by_size"]["visible"]},
        level="published",
    )


CLAIMS = tuple(
    Claim(id, title, statement, place, NOT_SUPPORTED, check, depends=depends, command=PAGE, saved=SAVED, figure=FIGURE)
    for id, title, statement, place, check, depends in (
        (
            "F2-published",
            "Rebound of unlearned models of 6.9B",
            "The more deeply a model has unlearned, the sooner an attack has undone half of it.",
            "Section 5.2, on models that others trained",
            _deeper,
            ("R22",),
        ),
        (
            "F3-published",
            "Effect of the last pre-training data by size",
            "The larger the model, the more opposed data at the end of its pre-training move it.",
            "Section 5.3, on models that others trained",
            _larger,
            (),
        ),
    )
)
