"""What a durability run says, as a row: forecast beside measurement, the first fall in each measure (F2); and all runs in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elastomath.arrays import Array
from elastomath.fit.crossing import first_crossing
from elastomath.interval import Ends, Interval
from elastomath.runs.ledger import Result
from elastomath.shown import in_the_middle, number_of

from ..laboratory.settings import GIVEN
from .constants import jackknifed
from .forecast import undo_volume
from .results import Answer, Arms, Durability, DurabilityRow, Fall, ForecastError, OverGroups, RunName
from .undoing import undo_interval

FIRST = 8
"""Opposed examples over which a first fall is read."""
FEWEST_GROUPS = 3
"""Behaviours and seeds from which on a sentence says how far their exponents were from the forecast."""
SIDES: dict[Literal["neutral", "mixed"], str] = {"neutral": "neutral texts", "mixed": "examples of both responses"}
"""The arms beside the opposed examples, in words."""
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


def durability_row(result: Result) -> DurabilityRow:
    """Forecast beside measurement, the constants behind it, and the first fall in each measure: one run's row."""
    c, card = result["configuration"], result["forecast"]
    start, end = contrast_of(result["adapted"]["readings"][-1]), contrast_of(result["aligned"][-1])
    if algorithm_of(c) == "sft":
        foretold = next(row for row in card["forecast"] if row["n"] == c["n"])
    else:
        foretold = {"z": Interval(None, None, None).as_dict(), "undo_volume": _from_here(result).as_dict()}
    row: DurabilityRow = {
        "pairs": c["pairs"], "n": c["n"], "optimiser": c["optimiser"], "seed": c["seed"], "learning_rate": c["learning_rate"],
        "batch": c["batch"], "algorithm": algorithm_of(c), "closure": card["closure"], "applies": card["applies"],
        "reasons": card["reasons"], "z0": float(start.mean()), "z": float(end.mean()), "forecast_z": foretold["z"]["estimate"],
        "cosine": card["cosine"], "c": card["c"], "relative_kernel": card["relative_kernel"], "arms": _other_arms(result),
    }  # fmt: skip
    if result.get("cut"):
        row["cut"] = result["cut"]
    if "perturb" not in result["arms"]:
        return row
    readings = result["arms"]["perturb"]["readings"]
    volumes = [0.0, *(float(reading["volume"]) for reading in readings)]
    measured = undo_interval(start, volumes, np.stack([end, *(contrast_of(reading) for reading in readings)]))
    row["undo_volume"] = {**measured.as_dict(), "censored": measured.estimate is None}
    row["undo_volume_text"], row["forecast_undo_volume"] = str(measured), foretold["undo_volume"]["estimate"]
    row["forecast_interval"], row["forecast_text"] = foretold["undo_volume"], _text(foretold["undo_volume"])
    row["first_fall"] = _first_falls(result["aligned"][-1], readings)
    if "again" in result:
        row["forecast_again"] = result["again"] | {"text": _text(result["again"]["undo_volume"])}
    row["course"] = {"volume": volumes, "z": [float(end.mean()), *(float(contrast_of(r).mean()) for r in readings)]}
    first, *rest = rise_of(result)
    row["rise"] = {
        "volume": [0.0, *(float(reading["volume"]) for reading in rest)],
        "z": [float(contrast_of(reading).mean()) for reading in (first, *rest)],
    }
    return row


def rise_of(result: Result) -> list[Result]:
    """The readings of an alignment, from the adapted base on."""
    return [result["adapted"]["readings"][-1], *result["aligned"]]


def _other_arms(result: Result) -> Arms:
    """What the arms beside the opposed examples did, each with its interval over paired prompts.

    neutral, mixed   (z_n - z) / (z_n - z_0): the share of the alignment that the arm gave back, below 0 where it went on
    again            of a second alignment after sft: the examples it took over those that the first one took, between the
                     higher one of the contrasts where the two began and the lower one of those that they reached
    """
    start, end = contrast_of(result["adapted"]["readings"][-1]), contrast_of(result["aligned"][-1])
    arms: Arms = {}
    for arm in SIDES:
        if arm in result["arms"] and end.mean() > start.mean():
            last = result["arms"][arm]["readings"][-1]
            left = end - contrast_of(last)
            share = _over_prompts(lambda kept, left=left: left[kept].mean() / (end - start)[kept].mean(), start.size)  # type: ignore[misc]
            arms[arm] = {"volume": last["volume"], "given_back": share.as_dict()}
    second = result["arms"].get("perturb", {}).get("again")
    if second and algorithm_of(result["configuration"]) == "sft":
        ways = [rise_of(result), [result["arms"]["perturb"]["readings"][-1], *second]]
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


def _first_falls(aligned: Result, readings: Sequence[Result]) -> dict[str, Fall]:
    """The mean first fall in each measure, with its standard error over paired prompts."""
    falls = falls_of(aligned, readings)
    return {
        name: {"estimate": float(fall.mean()), "se": float(fall.std(ddof=1) / math.sqrt(fall.size))}
        for name, fall in falls.items()
    }


def forecast_error(rows: Sequence[DurabilityRow]) -> ForecastError:
    """|forecast - measured| / measured of the undo volumes after sft: the median, the worst and its run; not of censored runs.

    ``inside``: runs whose measured value lies in the forecast's interval over prompts; ``vouched``: runs whose card says that
    the law applies; ``beyond``: runs that had a forecast and were not undone by their last opposed example.
    """
    foretold = [row for row in rows if row["algorithm"] == "sft" and row.get("forecast_undo_volume")]
    beyond = sum(row["undo_volume"]["estimate"] is None for row in foretold)
    errors = [
        (abs(predicted / measured - 1), row)
        for row in foretold
        if (predicted := row["forecast_undo_volume"]) and (measured := row["undo_volume"]["estimate"])
    ]
    if not errors:
        return {"median": None, "worst": None, "runs": 0, "inside": 0, "vouched": 0, "beyond": beyond}
    worst, run = max(errors, key=lambda item: item[0])
    name: RunName = {"pairs": run["pairs"], "optimiser": run["optimiser"], "seed": run["seed"], "n": run["n"]}
    inside = sum(_within(row["undo_volume"]["estimate"], row["forecast_interval"]) for _, row in errors)
    median = float(np.median([error for error, _ in errors]))
    vouched = sum(row["applies"] for _, row in errors)
    return {
        "median": median, "worst": worst, "worst_run": name, "runs": len(errors), "inside": inside, "vouched": vouched,
        "beyond": beyond,
    }  # fmt: skip


def group_exponent(rows: Sequence[DurabilityRow]) -> Interval:
    """The slope of ln m* in ln n over the runs of one behaviour at one seed; nothing where a run was not undone, or at once.

    Its error is that of the m* as if they were independent. They are measured on the same prompts, which moves all of one behaviour
    together, so that the slope is known no worse than this.
    """
    spreads = [Interval.of_dict(row["undo_volume"]) for row in rows if "undo_volume" in row]
    if len(spreads) < 2 or not all((spread.estimate or 0) > 0 and (spread.low or 0) > 0 for spread in spreads):
        return Interval(None, None, None)
    n, volume, low = (
        np.log(values)
        for values in ([row["n"] for row in rows], *zip(*((s.estimate, s.low) for s in spreads), strict=True))
    )
    high = np.array(
        [2 * v - ln if s.high is None else math.log(s.high) for s, v, ln in zip(spreads, volume, low, strict=True)]
    )
    weights = (n - n.mean()) / ((n - n.mean()) ** 2).sum()
    half = float(np.sqrt(((weights * (high - low) / 2) ** 2).sum()))
    slope = float(weights @ volume)
    return Interval(
        slope, slope - half, slope + half, spreads[0].level, method="errors of the undo volumes over prompts"
    )


def _within(value: float | None, interval: Ends) -> bool:
    low, high = interval["low"], interval["high"]
    if value is None or (low is None and high is None):  # no interval holds nothing
        return False
    return (low is None or low <= value) and (high is None or value <= high)


# --- in words -----------------------------------------------------------------------------------------------------
def conclusion(summary: Durability) -> list[str]:
    """What to conclude, in whole sentences."""
    rows = summary["durability"]
    sentences = _error_sentences(summary["error"], rows)
    for optimiser, answer in summary["answers"].items():
        sentences += _optimiser_sentences(optimiser, answer, rows)
    for row in rows:
        if row["algorithm"] != "sft" and "undo_volume" in row:
            came = "came aligned" if row["algorithm"] == GIVEN else f"was aligned by {row['algorithm']}"
            own = row.get("forecast_again")
            sentences.append(
                f"What {came} ({row['pairs']}, n {row['n']}, seed {row['seed']}) stood at a contrast of {row['z']:+.2f} nats (its "
                f"base at {row['z0']:+.2f}) and was undone by {row['undo_volume_text']} of rejected responses; from there the law says "
                f"{row['forecast_text']} by the base's constant" + (f", {own['text']} by its own." if own else ".")
            )
    sentences += _arm_sentences(rows)
    for pairs, cut in {row["pairs"]: row["cut"] for row in rows if "cut" in row}.items():
        sentences.append(
            f"Of {number_of(cut, 'response')} to held-out prompts ({pairs}) no more than --max-tokens is read."
        )
    return sentences or ["No run was perturbed far enough to say how durable its behaviour is."]


def _error_sentences(error: ForecastError, rows: Sequence[DurabilityRow]) -> list[str]:
    """How far off the forecasts were, and what these errors leave out."""
    sentences = []
    if error["runs"] and error["median"] is not None and error["worst"] is not None:
        sentences.append(
            f"Forecast from gradients alone, before anything was aligned, the number of opposed examples that undo an alignment "
            f"was off {in_the_middle(error['median'], error['worst'], error['runs'])}; {_inside(error['inside'], error['runs'])} in "
            "the forecast's 95% interval."
        )
    vouched, beyond = error.get("vouched", error["runs"]), error.get("beyond", 0)
    if vouched < error["runs"]:
        sentences.append(
            "The card does not vouch for this forecast; it says why."
            if error["runs"] == 1
            else f"The card vouches for the forecast of {vouched or 'none'} of these {error['runs']}; it says why."
        )
    if beyond:
        sentences.append(
            f"Not in these errors: {beyond} of the {beyond + error['runs']} runs with a forecast, undone by no opposed example that was "
            "tried."
        )
    again = [
        abs(predicted / measured - 1)
        for row in rows
        if "forecast_again" in row
        and (predicted := row["forecast_again"]["undo_volume"]["estimate"])
        and (measured := row["undo_volume"]["estimate"])
    ]
    if again:
        sentences.append(
            "From the gradients of the aligned models themselves it was off "
            f"{in_the_middle(float(np.median(again)), max(again), len(again))}."
        )
    return sentences


def _inside(inside: int, runs: int) -> str:
    return (
        ("it lies" if inside else "it does not lie")
        if runs == 1
        else f"{inside} of them {'lies' if inside == 1 else 'lie'}"
    )


def _optimiser_sentences(optimiser: str, answer: Answer, rows: Sequence[DurabilityRow]) -> list[str]:
    """What more alignment bought under an optimiser, what it did not lift or what was not undone, and what going back cost."""
    sentences = []
    exponent, ratio = answer["exponent"], answer["return_ratio"]
    if exponent["estimate"] is not None:
        power, own = 2 ** exponent["estimate"], [row for row in rows if phases_of(row) == optimiser]
        text = (
            _text(exponent, "") if exponent["low"] is not None or exponent["groups"] > 1 else str(group_exponent(own))
        )
        sentences.append(
            f"Under {optimiser}, twice the alignment bought {power:.2f} times the durability (exponent {text}"
            f"{_over(exponent)}{_of_these(exponent)}; 1 would be in proportion, 0 nothing)."
        )
    sentences += _apart(optimiser, rows) + _exponent_error(answer)
    undone = [row["undo_volume"]["estimate"] for row in rows if phases_of(row) == optimiser and "undo_volume" in row]
    if 0 in undone:
        sentences.append(
            f"Under {optimiser}, {undone.count(0)} of {len(undone)} alignments left the contrast no higher than it was: there was "
            "nothing to undo."
        )
    if None in undone:
        groups, many = exponent["groups"] + exponent.get("left_out", 0), undone.count(None)
        sentences.append(
            f"Under {optimiser}, {many} of {len(undone)} runs {'was' if many == 1 else 'were'} not undone: what twice the alignment "
            f"buys is known for {exponent['groups']} of {groups} behaviours and seeds."
        )
    if ratio["estimate"] is not None:
        groups, rest = ratio["groups"], ratio.get("left_out") or 0
        only = f" ({groups} of {groups + rest} behaviours and seeds passed both on both ways)" if rest else ""
        sentences.append(
            f"Going back from 90% to 60% took {_text(ratio, '')} times the examples that coming from 60% to 90% had taken{only}."
        )
        excess = answer.get("return_excess")
        if excess is not None and excess["groups"] >= FEWEST_GROUPS and excess["low"] is not None:
            sentences.append(
                f"That is {_text(excess, '')} times what the logit law says with the constants of each behaviour at the base."
            )
    return sentences + _vouched_sentences(optimiser, answer)


def _exponent_error(answer: Answer) -> list[str]:
    """How far the forecast of a behaviour's own exponent is off, where there are behaviours and seeds enough to say."""
    error = answer.get("exponent_error")
    if error is None or error["groups"] < FEWEST_GROUPS or error["low"] is None:
        return []
    return [f"Behaviour by behaviour, the forecast of this exponent was off by {_text(error, '')}{_over(error)}."]


def _vouched_sentences(optimiser: str, answer: Answer) -> list[str]:
    """The exponent and the cost of going back over the behaviours whose cards vouch, where these are not all."""
    if "vouched" not in answer:
        return []
    exponent, ratio = answer["vouched"]["exponent"], answer["vouched"]["return_ratio"]
    parts = [] if exponent["estimate"] is None else [f"the exponent is {_text(exponent, '')}{_over(exponent)}"]
    if ratio["estimate"] is not None:
        parts.append(f"going back took {_text(ratio, '')} times the examples")
    groups = f"{len(answer['vouched']['groups'])} of {len(answer['groups'])}"
    words = f"Under {optimiser}, where the card vouches for the law ({groups} behaviours and seeds), "
    return [words + " and ".join(parts) + "."] if parts else []


def _over(pooled: OverGroups) -> str:
    """Over what an interval is, after a space: prompts of the only group, else behaviours, or seeds of them."""
    method = pooled.get("method", "jackknife over prompts" if pooled["groups"] == 1 else "")
    return " over " + method.partition(" over ")[2] if method else ""


def _of_these(pooled: OverGroups) -> str:
    """The interval of these behaviours alone, after a semicolon, where there is one."""
    if "of_these" not in pooled:
        return ""
    _, _, ends = _text(pooled["of_these"], "").partition(" ")
    return f"; of these behaviours alone, over their seeds, {ends}"


def _apart(optimiser: str, rows: Sequence[DurabilityRow]) -> list[str]:
    """How the exponent differs between behaviours and seeds, where it does by more than their errors (Cochran's Q at 5%)."""
    from scipy.special import chdtrc

    groups: dict[str, list[DurabilityRow]] = {}
    for row in rows:
        if phases_of(row) == optimiser:
            groups.setdefault(f"{row['pairs']}, seed {row['seed']}", []).append(row)
    exponents = {name: group_exponent(group) for name, group in groups.items()}
    exponents = {name: own for name, own in exponents.items() if own.estimate is not None and own.estimate != own.low}
    if len(exponents) < 2:
        return []
    values, lows = (np.array([getattr(own, end) for own in exponents.values()]) for end in ("estimate", "low"))
    weights = 1 / (values - lows) ** 2
    spread = 1.96**2 * float(weights @ (values - weights @ values / weights.sum()) ** 2)
    if chdtrc(len(values) - 1, spread) >= 0.05:
        return []
    least, most = (min(exponents, key=lambda name: sign * (exponents[name].estimate or 0)) for sign in (1, -1))
    return [
        f"Under {optimiser}, behaviours and seeds differ in this exponent by more than their errors over prompts: from {exponents[least]} "
        f"({least}) to {exponents[most]} ({most})."
    ]


def _arm_sentences(rows: Sequence[DurabilityRow]) -> list[str]:
    sentences = []
    for arm, texts in SIDES.items():
        sides = [side for row in rows if (side := row.get("arms", {}).get(arm))]
        if sides:
            share, most = _text_of_all([side["given_back"] for side in sides]), max(side["volume"] for side in sides)
            sentences.append(
                f"{most} {texts} gave back {share} of the alignment (1 is all of it; below 0 the contrast went on rising)."
            )
    again = [second for row in rows if (second := row.get("arms", {}).get("again"))]
    if again:
        sentences.append(
            f"Over the same contrasts a second alignment took {_text_of_all(again)} times the examples of the first."
        )
    return sentences


def _text_of_all(intervals: Sequence[Ends]) -> str:
    """One interval as it is, of several their median and range; no number where one has none."""
    values = [value for each in intervals if (value := each["estimate"]) is not None]
    if len(values) < len(intervals):
        return f"a number that is not known in {len(intervals) - len(values)} of {number_of(len(intervals), 'run')}"
    if len(values) == 1:
        return _text(intervals[0], "")
    return f"{np.median(values):.2f} (median of {len(values)} runs, {min(values):.2f} to {max(values):.2f})"


def _text(interval: Ends, unit: str = "examples") -> str:
    return str(Interval(interval["estimate"], interval["low"], interval["high"], interval["level"], unit))
