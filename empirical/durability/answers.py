"""What a durability run says, as a row: forecast beside measurement, the first fall in each measure (F2); and all runs in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastomath.fit.crossing import first_crossing
from elastomath.interval import Interval
from elastomath.runs.ledger import Result
from elastomath.shown import in_the_middle

from ..laboratory.settings import GIVEN
from .forecast import undo_volume
from .gradients import jackknifed
from .undoing import undo_interval

Array = NDArray[np.float64]
FIRST = 8
"""Opposed examples over which a first fall is read."""
MEASURES = ("z", "code_length", "probability")
"""The contrast z, the code length of the chosen response and its probability sigma(z)."""


def algorithm_of(configuration: Mapping[str, Any]) -> str:
    """How a run was aligned: sft, dpo, kto, simpo, ppo, or given."""
    return GIVEN if configuration.get("aligned") else str(configuration.get("algorithm", "sft"))


def phases_of(about: Mapping[str, Any]) -> str:
    """How a run, or its row, was trained: its optimiser, and the algorithm of its alignment where that is not sft.

    >>> phases_of({"optimiser": "sgd"}), phases_of({"optimiser": "sgd", "algorithm": "dpo"})
    ('sgd', 'sgd after dpo')
    """
    algorithm = algorithm_of(about)
    return str(about["optimiser"]) + ("" if algorithm == "sft" else f" after {algorithm}")


def contrast_of(reading: Result) -> Array:
    """z = gamma_- - gamma_+ of every held-out prompt at a reading, nats."""
    gap: Array = np.subtract(reading["rejected"], reading["chosen"], dtype=np.float64)
    return gap


def outside_of(reading: Result) -> float:
    """The mean probability of neither response."""
    mass = np.exp(-np.asarray(reading["chosen"])) + np.exp(-np.asarray(reading["rejected"]))
    return float(np.clip(1 - mass, 0, 1).mean())


def measures_of(reading: Result) -> dict[str, Array]:
    """Each measure of every prompt, such that a fall of the behaviour is a fall of the measure."""
    z = contrast_of(reading)
    return {
        "z": z,
        "code_length": -np.asarray(reading["chosen"], dtype=np.float64),
        "probability": 1 / (1 + np.exp(-z)),
    }


def durability_row(result: Result) -> dict[str, Any]:
    """Forecast beside measurement, the constants behind it, and the first fall in each measure: one run's row."""
    c, card = result["configuration"], result["forecast"]
    start, end = contrast_of(result["adapted"]["readings"][-1]), contrast_of(result["aligned"][-1])
    if algorithm_of(c) == "sft":
        foretold = next(row for row in card["forecast"] if row["n"] == c["n"])
    else:
        foretold = {"z": Interval(None, None, None).as_dict(), "undo_volume": _from_here(result).as_dict()}
    row: dict[str, Any] = {key: c[key] for key in ("pairs", "n", "optimiser", "seed", "learning_rate", "batch")}
    row |= {"algorithm": algorithm_of(c)} | {key: card[key] for key in ("closure", "applies", "reasons")}
    row |= {"z0": float(start.mean()), "z": float(end.mean()), "forecast_z": foretold["z"]["estimate"]}
    row |= {"cosine": card["cosine"], "c": card["c"], "relative_kernel": card["relative_kernel"]}
    row["arms"] = _other_arms(result)
    if "perturb" not in result["arms"]:
        return row
    readings = result["arms"]["perturb"]["readings"]
    volumes = [0.0, *(float(reading["volume"]) for reading in readings)]
    measured = undo_interval(start, volumes, np.stack([end, *(contrast_of(reading) for reading in readings)]))
    row["undo_volume"] = measured.as_dict() | {"censored": measured.estimate is None}
    row |= {"undo_volume_text": str(measured), "forecast_undo_volume": foretold["undo_volume"]["estimate"]}
    row |= {"forecast_interval": foretold["undo_volume"], "forecast_text": _text(foretold["undo_volume"])}
    row["first_fall"] = _first_falls(result["aligned"][-1], readings)
    if "again" in result:
        row["forecast_again"] = result["again"] | {"text": _text(result["again"]["undo_volume"])}
    row["course"] = {"volume": volumes, "z": [float(end.mean()), *(float(contrast_of(r).mean()) for r in readings)]}
    return row


def _other_arms(result: Result) -> dict[str, Any]:
    """What the arms beside the opposed examples did, each with its interval over paired prompts.

    neutral, mixed   (z_n - z) / (z_n - z_0): the share of the alignment that the arm gave back, below 0 where it went on
    again            of a second alignment after sft: the examples it took over those that the first one took, between the
                     higher one of the contrasts where the two began and the lower one of those that they reached
    """
    start, end = contrast_of(result["adapted"]["readings"][-1]), contrast_of(result["aligned"][-1])
    arms: dict[str, Any] = {}
    for arm, stage in result["arms"].items():
        last = stage["readings"][-1]
        if arm != "perturb" and end.mean() > start.mean():
            left = end - contrast_of(last)
            share = _over_prompts(lambda kept, left=left: left[kept].mean() / (end - start)[kept].mean(), start.size)  # type: ignore[misc]
            arms[arm] = {"volume": last["volume"], "given_back": share.as_dict()}
    second = result["arms"].get("perturb", {}).get("again")
    if second and algorithm_of(result["configuration"]) == "sft":
        ways = [
            [result["adapted"]["readings"][-1], *result["aligned"]],
            [result["arms"]["perturb"]["readings"][-1], *second],
        ]
        arms["again"] = _over_prompts(lambda kept: _second_over_first(ways, kept), start.size).as_dict()
    return arms


def _second_over_first(ways: Sequence[Sequence[Result]], kept: NDArray[np.int64]) -> float:
    courses = [np.array([contrast_of(reading)[kept].mean() for reading in way]) for way in ways]
    volumes = [np.array([0.0, *(float(reading["volume"]) for reading in way[1:])]) for way in ways]
    low, high = max(course[0] for course in courses), min(course.max() for course in courses)
    costs = [
        float(first_crossing(volume, high - course) - first_crossing(volume, low - course))
        for course, volume in zip(courses, volumes, strict=True)
    ]
    return costs[1] / costs[0] if costs[0] > 0 else math.nan


def _over_prompts(statistic: Callable[[NDArray[np.int64]], float], count: int) -> Interval:
    """A statistic of some prompts, for all of them, with the jackknife's interval; nothing where it is not finite."""
    rows = np.arange(count)
    value, error = jackknifed(
        lambda left: np.asarray(statistic(rows if left is None else np.delete(rows, left))), count
    )
    if not np.isfinite(value) or not np.isfinite(error):
        return Interval(None, None, None)
    return Interval.of_mean(float(value), float(error), count - 1, method="jackknife over prompts")


def _from_here(result: Result) -> Interval:
    """The undo volume by the logit law from the contrast where another algorithm ended: how it is undone is foretold, it is not.

    In proportion to 1/c_-, whose interval it has; under SGD alone.
    """
    c, constant = result["configuration"], result["forecast"]["c"]["perturbing"]
    value = constant["estimate"]
    if c["optimiser"] != "sgd" or not value or value <= 0:
        return Interval(None, None, None, unit="examples")
    start, end = contrast_of(result["adapted"]["readings"][-1]), contrast_of(result["aligned"][-1])
    volume = undo_volume(start, end, value, c["batch"])
    ends = [volume * value / constant[side] if (constant[side] or 0) > 0 else None for side in ("high", "low")]
    return Interval(volume, ends[0], ends[1], constant["level"], "examples")


def falls_of(aligned: Result, readings: Sequence[Result]) -> dict[str, Array]:
    """The fall per opposed example over the first few, in each measure, of every prompt."""
    first = next((reading for reading in readings if reading["volume"] >= FIRST), readings[-1])
    before, after = measures_of(aligned), measures_of(first)
    return {name: (before[name] - after[name]) / first["volume"] for name in MEASURES}


def _first_falls(aligned: Result, readings: Sequence[Result]) -> dict[str, dict[str, float]]:
    """The mean first fall in each measure, with its standard error over paired prompts."""
    falls = falls_of(aligned, readings)
    return {
        name: {"estimate": float(fall.mean()), "se": float(fall.std(ddof=1) / math.sqrt(fall.size))}
        for name, fall in falls.items()
    }


def forecast_error(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """|forecast - measured| / measured of the undo volumes after sft: the median, the worst and its run; not of censored runs.

    ``inside``: runs whose measured value lies in the forecast's interval over prompts.
    """
    errors = [
        (abs(row["forecast_undo_volume"] / row["undo_volume"]["estimate"] - 1), row)
        for row in rows
        if row["algorithm"] == "sft" and row.get("forecast_undo_volume") and row["undo_volume"]["estimate"]
    ]
    if not errors:
        return {"median": None, "worst": None, "runs": 0, "inside": 0}
    worst, run = max(errors, key=lambda item: item[0])
    name = {key: run[key] for key in ("pairs", "optimiser", "seed", "n")}
    inside = sum(_within(row["undo_volume"]["estimate"], row["forecast_interval"]) for _, row in errors)
    median = float(np.median([error for error, _ in errors]))
    return {"median": median, "worst": worst, "worst_run": name, "runs": len(errors), "inside": inside}


def _within(value: float, interval: Mapping[str, Any]) -> bool:
    low, high = interval["low"], interval["high"]
    return (low is None or low <= value) and (high is None or value <= high)


# --- in words -----------------------------------------------------------------------------------------------------
def conclusion(summary: Mapping[str, Any]) -> list[str]:
    """What to conclude, in whole sentences."""
    sentences = []
    error = summary["error"]
    if error["runs"]:
        sentences.append(
            f"Forecast from gradients alone, before anything was aligned, the number of opposed examples that undo an alignment "
            f"was off {in_the_middle(error['median'], error['worst'], error['runs'])}; {_inside(error['inside'], error['runs'])} in "
            "the forecast's 95% interval."
        )
    again = [
        abs(row["forecast_again"]["undo_volume"]["estimate"] / row["undo_volume"]["estimate"] - 1)
        for row in summary["durability"]
        if row.get("forecast_again", {}).get("undo_volume", {}).get("estimate") and row["undo_volume"]["estimate"]
    ]
    if again:
        sentences.append(
            "From the gradients of the aligned models themselves it was off "
            f"{in_the_middle(float(np.median(again)), max(again), len(again))}."
        )
    for optimiser, answer in summary["answers"].items():
        exponent = answer["exponent"]
        if exponent["estimate"] is not None:
            power = 2 ** exponent["estimate"]
            sentences.append(
                f"Under {optimiser}, twice the alignment bought {power:.2f} times the durability (exponent {_text(exponent, '')}"
                f"{' over prompts' if exponent['groups'] == 1 else ''}; 1 would be in proportion, 0 nothing)."
            )
        ratio = answer["return_ratio"]
        if ratio["estimate"] is not None:
            sentences.append(
                f"Going back from 90% to 60% took {_text(ratio, '')} times the examples that coming from 60% to 90% had taken."
            )
    for row in summary["durability"]:
        if row["algorithm"] != "sft" and "undo_volume" in row:
            came = "came aligned" if row["algorithm"] == GIVEN else f"was aligned by {row['algorithm']}"
            again = row.get("forecast_again")
            sentences.append(
                f"What {came} ({row['pairs']}, n {row['n']}, seed {row['seed']}) stood at a contrast of {row['z']:+.2f} nats (its "
                f"base at {row['z0']:+.2f}) and was undone by {row['undo_volume_text']} of rejected responses; from there the law says "
                f"{row['forecast_text']} by the base's constant" + (f", {again['text']} by its own." if again else ".")
            )
    sentences += _arm_sentences(summary["durability"])
    return sentences or ["No run was perturbed far enough to say how durable its behaviour is."]


def _inside(inside: int, runs: int) -> str:
    return ("it lies" if inside else "it does not lie") if runs == 1 else f"{inside} of them lie"


def _arm_sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    sentences = []
    for arm, texts in (("neutral", "neutral texts"), ("mixed", "examples of both responses")):
        known = [
            row["arms"][arm] for row in rows if row.get("arms", {}).get(arm, {}).get("given_back", {}).get("estimate")
        ]
        if known:
            share = _text_of_all([each["given_back"] for each in known])
            most = max(each["volume"] for each in known)
            sentences.append(
                f"{most} {texts} gave back {share} of the alignment (1 is all of it; below 0 the contrast went on rising)."
            )
    again = [row["arms"]["again"] for row in rows if row.get("arms", {}).get("again", {}).get("estimate")]
    if again:
        sentences.append(
            f"Over the same contrasts a second alignment took {_text_of_all(again)} times the examples of the first."
        )
    return sentences


def _text_of_all(intervals: Sequence[Mapping[str, Any]]) -> str:
    """One interval as it is, of several their median and range."""
    if len(intervals) == 1:
        return _text(intervals[0], "")
    values = [each["estimate"] for each in intervals]
    return f"{np.median(values):.2f} (median of {len(values)} runs, {min(values):.2f} to {max(values):.2f})"


def _text(interval: Mapping[str, Any], unit: str = "examples") -> str:
    return str(Interval(interval["estimate"], interval["low"], interval["high"], interval["level"], unit))
