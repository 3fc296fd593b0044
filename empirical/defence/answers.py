"""What defence runs say: a row a run, the defences ranked against each attack, and what to conclude."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elastomath.defences.defence import DEFENCES
from elastomath.interval import Interval
from elastomath.runs.ledger import Result

from ..durability.answers import contrast_of
from ..durability.forecast import undo_volume
from ..durability.undoing import undo_interval

UTILITY = 0.01
"""Utility that may be lost: the relative rise of the code length of neutral text."""
Row = Mapping[str, Any]


def forecast(result: Result) -> float | None:
    """m* by the law in finite steps from the constants at the defended weights; None where the law does not apply."""
    start, state = (np.asarray(contrast_of(result[key])) for key in ("floor", "defended"))
    c = result["defended"]["perturbing"]
    if c is None or not c > 0 or not np.isfinite(state).all():
        return None
    return undo_volume(start, state, c, result["configuration"]["batch"])


def defence_rows(result: Result) -> list[dict[str, Any]]:
    """A row an attack: m* with its interval over prompts, half-life, constants, forecast, utility lost.

    ``undo_volume`` is that of the attacker's best learning rate, ``same_rate`` that of the defender's own; of a replay the
    opposed examples alone count.
    """
    c, start, state = result["configuration"], contrast_of(result["floor"]), contrast_of(result["defended"])
    opposed = 1 - DEFENCES[c["defence"]].replay
    shared: dict[str, Any] = {key: c[key] for key in ("pairs", "seed", "defence", "volume", "learning_rate")}
    shared |= {"beta": result["beta"], "z0": float(start.mean()), "z": float(state.mean())}
    predicted = forecast(result) if opposed == 1 else None
    shared |= {"forecast": predicted, "forecast_text": "-" if predicted is None else f"{predicted:.3g} examples"}
    shared |= {"c_before": result["floor"]["perturbing"], "c_after": result["defended"]["perturbing"]}
    shared["lost"] = _lost(result["before"], result["defended"]).as_dict()
    rows = []
    for attack, tries in result["attacks"].items():
        measured = {factor: _undone(start, state, readings, opposed) for factor, readings in tries.items()}
        best = min(measured, key=lambda factor: (measured[factor].estimate is None, measured[factor].estimate or 0.0))
        half = _undone(start + (state.mean() - start.mean()) / 2, state, tries[best], opposed)
        row = shared | {"attack": attack, "best_rate": float(best), "undo_volume": measured[best].as_dict()}
        row |= {"undo_volume_text": str(measured[best]), "half_life": half.as_dict()}
        rows.append(row | {"same_rate": measured["1.0"].as_dict()})
    return rows


def _undone(start: Any, state: Any, readings: Sequence[Result], opposed: float) -> Interval:
    volumes = [0.0, *(opposed * float(reading["volume"]) for reading in readings)]
    return undo_interval(start, volumes, np.stack([state, *(contrast_of(reading) for reading in readings)]))


def _lost(before: Result, after: Result) -> Interval:
    """The relative rise of the code length of neutral text, with its interval over texts that are paired."""
    first, second = (np.asarray(reading["neutral"], dtype=np.float64) for reading in (before, after))
    change = (second - first) / first.mean()
    se = float(change.std(ddof=1) / math.sqrt(change.size))
    return Interval.of_mean(float(change.mean()), se, change.size - 1, method="paired over texts")


# --- over runs ----------------------------------------------------------------------------------------------------
def ranking(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """An entry for each attack and defence: the gain over plain fine-tuning, over behaviours and seeds; best first, ties as ties.

    A rank counts the defences that last longer beyond the scatter over groups; with one group nothing is beyond it.
    """
    places = []
    for attack in dict.fromkeys(row["attack"] for row in rows):
        some = [row for row in rows if row["attack"] == attack]
        by = {name: _by_group(some, name) for name in dict.fromkeys(row["defence"] for row in some)}
        plain = by.get("sft", {})
        entries = []
        for name, group in by.items():
            shared = [key for key in group if key in plain]
            if not shared:
                continue
            gains = [math.log(_volume(group[key]) / _volume(plain[key])) for key in shared]
            gain = Interval.of_logs(gains, method="Student's t on logarithms over behaviours and seeds")
            open_end = sum(group[key]["undo_volume"]["estimate"] is None for key in shared)
            if open_end:  # a lower bound
                gain = Interval(gain.estimate, gain.low, None, method=gain.method)
            lost = [group[key]["lost"]["estimate"] for key in shared]
            entries.append(
                {
                    "attack": attack,
                    "defence": name,
                    "title": DEFENCES[name].title,
                    "gain": gain.as_dict(),
                    "groups": len(shared),
                }
                | {"lost": Interval.of_values(lost).as_dict(), "not_undone": open_end, "gains": gains}
            )
        for entry in entries:
            entry["rank"] = 1 + sum(_longer(other["gains"], entry["gains"]) for other in entries if other is not entry)
        places += sorted(entries, key=lambda entry: (entry["rank"], -entry["gain"]["estimate"]))
    for entry in places:
        del entry["gains"]
    return places


def _by_group(rows: Sequence[Row], name: str) -> dict[tuple[str, int], Row]:
    return {(row["pairs"], row["seed"]): row for row in rows if row["defence"] == name}


def _volume(row: Row) -> float:
    """m*, or the most that was tried where nothing was undone; at least one example."""
    return max(float(row["undo_volume"]["estimate"] or row["undo_volume"]["low"] or 0.0), 1.0)


def _longer(first: Sequence[float], second: Sequence[float]) -> bool:
    if len(first) != len(second):
        return False
    low = Interval.of_values(np.subtract(first, second).tolist()).low
    return low is not None and low > 0


def forecast_error(rows: Sequence[Row]) -> Interval:
    """The median of |forecast / m* - 1| with its quartiles, over runs of plain fine-tuning at the defender's own rate."""
    errors = [
        abs(row["forecast"] / row["same_rate"]["estimate"] - 1)
        for row in rows
        if row["attack"] == "sft" and row["forecast"] and row["same_rate"] and row["same_rate"]["estimate"]
    ]
    if not errors:
        return Interval(None)
    low, high = np.quantile(errors, [0.25, 0.75])
    return Interval(float(np.median(errors)), float(low), float(high), 0.5, method="median and quartiles over runs")


def conclusion(summary: Mapping[str, Any]) -> list[str]:
    """What to conclude, in whole sentences."""
    sentences = []
    for attack in dict.fromkeys(entry["attack"] for entry in summary["ranking"]):
        some = [
            entry for entry in summary["ranking"] if entry["attack"] == attack and entry["lost"]["estimate"] < UTILITY
        ]
        if some:
            best = max(some, key=lambda entry: entry["gain"]["estimate"])
            gain, least = Interval.of_dict(best["gain"]), " at least" if best["not_undone"] else ""
            sentences.append(
                f"Against {attack}, at less than 1% of utility lost, {best['title']} lasts longest: {gain} times as long as plain "
                f"fine-tuning{least}."
            )
    error = forecast_error(summary["defence"])
    if error.estimate is not None:
        sentences.append(
            f"Two backward passes at the defended weights foretold the volume that undoes it with a median error of {error.estimate:.0%}."
        )
    return sentences or ["No defence costs less than 1% of utility."]
