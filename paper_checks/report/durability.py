"""The section on how durable a behaviour is: forecast from gradients, then measured; made anew, or from saved runs."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from .page import Section
from .presets import MODEL

if TYPE_CHECKING:
    from empirical.durability.results import DurabilityRow

GATE = 0.5
"""The median relative error beyond which the section's check does not hold: a run of one seed is a smoke test, not a verdict."""


def durability_section(chosen: dict[str, Any], data: Path, device: str, dtype: str, seed: int) -> Section:
    """Two behaviours, made anew."""
    from empirical.durability import DurabilitySettings, durability

    settings = DurabilitySettings(model=MODEL, **{"seeds": (seed,), **chosen})
    names = ",".join(settings.pairs)
    volumes = ",".join(map(str, settings.align_volumes))
    command = f"elastomath experiment durability --pairs {names} --align-volumes {volumes} --seeds {seed}"
    section = Section("durability", "How durable is a behaviour: forecast, then measured", command=command)
    result = durability(settings, data / "durability", device=device, dtype=dtype)
    section.data += ["durability/durability.csv", "durability/durability.json"]
    return fill(section, result)


def fill(section: Section, result: dict[str, Any], *, drawn: bool = False) -> Section:
    """What ``durability.json`` says, conclusion first; drawn: whether the forecast stands in a figure at the top of the page."""
    from empirical.durability.figures import courses_figure, forecast_figure

    for sentence in result["conclusion"]:
        section.say(sentence)
    if not drawn:
        section.say(
            "The base was trained on both responses to a prompt until it answered with one of them. Then, before any alignment, the "
            "gradients of the two code lengths gave one constant each way, and with them the forecast. After that the model was aligned "
            "on n chosen responses and trained on rejected ones until the contrast (log-odds of the chosen response) was back."
        )
        section.draw(
            forecast_figure(result),
            "Forecast before training against measurement, with 95% intervals; the band is 20%.",
        )
    section.draw(
        courses_figure(result), "The way back: the contrast falls from each alignment; the level line is the base."
    )
    rows = result["durability"]
    if drawn:  # many runs: here a row for all seeds of a behaviour, each run on the page of details
        most = max(row["n"] for row in rows)
        section.show(
            _over_seeds([row for row in rows if row["n"] == most]),
            "Undo volumes of the longest alignment: the median over seeds, in opposed examples.",
        )
        section.more("Durability of behaviours: each run", "\n".join(map(_in_words, rows)))
    else:
        section.show(
            [
                {"behaviour": row["pairs"], "aligned": row["n"], "seed": row["seed"], "contrast": row["z"]}
                | {
                    "forecast contrast": row["forecast_z"],
                    "undone by": row.get("undo_volume_text"),
                    "forecast": row.get("forecast_text"),
                }
                for row in rows
            ],
            "Undo volumes with 95% intervals over prompts; contrasts in nats.",
        )
    error = result["error"]
    if error["median"] is not None:
        section.check(
            "the forecast undo volumes come true",
            f"median error below {GATE:.0%}",
            f"{error['median']:.0%}",
            error["median"] < GATE,
        )
    doubts: dict[tuple[str, str], dict[str, None]] = {}
    for row in result["durability"]:  # one for all volumes of a run, and seeds with the same reason
        if not row["applies"]:
            doubts.setdefault((row["pairs"], "; ".join(row["reasons"])), {})[str(row["seed"])] = None
    for (behaviour, reasons), seeds in doubts.items():
        section.say(
            f"{behaviour}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}: the law is not expected to apply: {reasons}."
        )
    return section


def _over_seeds(rows: list[DurabilityRow]) -> list[dict[str, object]]:
    """A row for each behaviour and volume: the medians over its seeds."""
    settings: dict[tuple[str, int], list[DurabilityRow]] = {}
    for row in rows:
        settings.setdefault((row["pairs"], row["n"]), []).append(row)

    def middle(runs: list[DurabilityRow], key: Literal["undo_volume", "forecast_interval"]) -> str:
        values = [value for row in runs if (value := row[key]["estimate"]) is not None]
        return f"{median(values):.3g}" if len(values) == len(runs) else "not bounded"

    return [
        {"behaviour": pairs, "aligned": n, "seeds": len(runs)}
        | {"undone by": middle(runs, "undo_volume"), "forecast": middle(runs, "forecast_interval")}
        for (pairs, n), runs in settings.items()
    ]


def _in_words(row: DurabilityRow) -> str:
    return (
        f"{row['pairs']}, seed {row['seed']}, {row['n']} aligned: contrast {row['z']:.3g} nats (forecast {row['forecast_z']:.3g}), "
        f"undone by {row['undo_volume_text']} (forecast {row['forecast_text']})"
    )
