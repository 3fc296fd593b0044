"""What defence runs say: a row a run, the defences ranked against each attack, and what to conclude."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastomath.defences.defence import DEFENCES
from elastomath.defences.figures import UTILITY
from elastomath.interval import Ends, Interval
from elastomath.laws.logit import undo_volume as plain_volume
from elastomath.laws.preferences import dpo_undo_volume
from elastomath.runs.ledger import Result

from ..durability.answers import contrast_of
from ..durability.forecast import undo_volume
from ..durability.undoing import undo_draws, undo_interval
from .results import DefenceRow, Defended, GainedRow, Ranked

GROUPS = 4
"""Behaviours and seeds from which on the interval of a pooled gain is over these, not over prompts alone."""


def forecast(result: Result) -> float | None:
    """m* by the law in finite steps from the constants at the defended weights; None where the law does not apply."""
    start, state = (np.asarray(contrast_of(result[key])) for key in ("floor", "defended"))
    c = result["defended"]["perturbing"]
    if c is None or not c > 0 or not np.isfinite(state).all():
        return None
    return undo_volume(start, state, c, result["configuration"]["batch"])


def grid_rows(results: Sequence[Result]) -> list[GainedRow]:
    """`defence_rows` of every run, with ``gain``: m* over that of plain fine-tuning of the same behaviour and seed, paired over prompts.

    Where a defence was not undone, its gain has a lower end alone; where plain fine-tuning was not, an upper end alone.
    """
    rows = [(row, result) for result in results for row in defence_rows(result)]
    runs = {_key(row): _Undone.of(row, result) for row, result in rows}
    return [{**row, "gain": _gain(runs[_key(row)], runs[_key({**row, "defence": "sft"})]).as_dict()} for row, _ in rows]


def _key(row: DefenceRow) -> tuple[Any, ...]:
    return row["pairs"], row["seed"], row["attack"], row["defence"]


@dataclass(frozen=True, slots=True)
class _Undone:
    """What undoes one run: m* or the most that was tried, whether it was undone, and m* of each draw of prompts, inf where it is not."""

    plain: bool
    volume: float
    reached: bool
    draws: NDArray[np.float64]
    tried: float

    @classmethod
    def of(cls, row: DefenceRow, result: Result) -> _Undone:
        opposed = 1 - DEFENCES[row["defence"]].replay
        readings = result["attacks"][row["attack"]][str(row["best_rate"])]
        volumes, z = _course(contrast_of(result["defended"]), readings, opposed)
        draws = undo_draws(contrast_of(result["floor"]), volumes, z)
        return cls(row["defence"] == "sft", _volume(row), _reached(row), draws, volumes[-1])


def _reached(row: DefenceRow) -> bool:
    """Whether a defence was undone by what was tried."""
    return row["undo_volume"]["estimate"] is not None


def _gain(run: _Undone, plain: _Undone) -> Interval:
    """m* over that of plain fine-tuning in draws of prompts; a draw that does not come back lies anywhere beyond what was tried."""
    if run.plain:
        return Interval(1.0, 1.0, 1.0, method="itself")
    ratio = run.volume / plain.volume
    below, above = (np.where(np.isfinite(one.draws), one.draws, one.tried) for one in (run, plain))
    with np.errstate(divide="ignore", invalid="ignore"):
        least, most = below / plain.draws, run.draws / above  # over inf: 0, which is no bound
    low = float(np.quantile(np.nan_to_num(least, nan=0.0, posinf=np.inf), 0.025, method="closest_observation"))
    high = float(np.quantile(np.nan_to_num(most, nan=np.inf, posinf=np.inf), 0.975, method="closest_observation"))
    return Interval(
        ratio if plain.reached else None,
        low if plain.reached and low > 0 else None,
        high if run.reached and math.isfinite(high) else None,
        method="bootstrap over prompts, paired" + ("" if run.reached and plain.reached else "; not undone"),
    )


def defence_rows(result: Result) -> list[DefenceRow]:
    """A row an attack: m* with its interval over prompts, half-life, constants, forecast, utility lost.

    ``undo_volume`` is that of the attacker's best learning rate, ``same_rate`` that of the defender's own; of a replay the
    opposed examples alone count.
    """
    c, start, state = result["configuration"], contrast_of(result["floor"]), contrast_of(result["defended"])
    opposed = 1 - DEFENCES[c["defence"]].replay
    predicted = forecast(result) if opposed == 1 else None
    rows: list[DefenceRow] = []
    for attack, tries in result["attacks"].items():
        measured = {factor: _undone(start, state, readings, opposed) for factor, readings in tries.items()}
        best = min(measured, key=lambda factor: (measured[factor].estimate is None, measured[factor].estimate or 0.0))
        half = _undone(start + (state.mean() - start.mean()) / 2, state, tries[best], opposed)
        row: DefenceRow = {
            "pairs": c["pairs"], "seed": c["seed"], "defence": c["defence"], "volume": c["volume"],
            "learning_rate": c["learning_rate"], "beta": result["beta"], "z0": float(start.mean()), "z": float(state.mean()),
            "forecast": predicted, "forecast_text": "-" if predicted is None else f"{predicted:.3g} examples",
            "c_align": result["floor"]["aligning"], "c_before": result["floor"]["perturbing"],
            "c_after": result["defended"]["perturbing"], "lost": _lost(result["before"], result["defended"]).as_dict(),
            "attack": attack, "best_rate": float(best), "undo_volume": measured[best].as_dict(),
            "undo_volume_text": str(measured[best]), "half_life": half.as_dict(), "same_rate": measured["1.0"].as_dict(),
        }  # fmt: skip
        rows.append(row)
    return rows


def _undone(start: Any, state: Any, readings: Sequence[Result], opposed: float) -> Interval:
    return undo_interval(start, *_course(state, readings, opposed))


def _course(state: Any, readings: Sequence[Result], opposed: float) -> tuple[list[float], NDArray[np.float64]]:
    """Opposed examples of each reading, from 0 on (J,), and the contrast of every prompt there (J, prompts)."""
    volumes = [0.0, *(opposed * float(reading["volume"]) for reading in readings)]
    return volumes, np.stack([state, *(contrast_of(reading) for reading in readings)])


def _lost(before: Result, after: Result) -> Interval:
    """The relative rise of the code length of neutral text, with its interval over texts that are paired."""
    first, second = (np.asarray(reading["neutral"], dtype=np.float64) for reading in (before, after))
    change = (second - first) / first.mean()
    se = float(change.std(ddof=1) / math.sqrt(change.size))
    return Interval.of_mean(float(change.mean()), se, change.size - 1, method="paired over texts")


# --- over runs ----------------------------------------------------------------------------------------------------
def ranking(rows: Sequence[GainedRow]) -> list[Ranked]:
    """An entry for each attack and defence: the gain over plain fine-tuning; best first, ties as ties.

    The interval is over behaviours, or over the seeds of one or two (`Interval.of_clusters`), or over prompts where there are fewer than
    `GROUPS` of both. A rank counts the defences that last longer beyond the interval of the difference. A gain has no upper end where
    a run was not undone, or where few groups have one whose own is open, and no lower end where plain fine-tuning was not undone;
    nothing is said to last longer than what was not undone.
    """
    places: list[Ranked] = []
    for attack in dict.fromkeys(row["attack"] for row in rows):
        some = [row for row in rows if row["attack"] == attack]
        by = {name: _by_group(some, name) for name in dict.fromkeys(row["defence"] for row in some)}
        plain = by.get("sft", {})
        logs: dict[str, _Groups] = {}
        gains: dict[str, Interval] = {}
        for name, group in by.items():
            shared = [key for key in group if key in plain]
            if not shared:
                continue
            logs[name] = _Groups(
                np.array([math.log(_volume(group[key]) / _volume(plain[key])) for key in shared]),
                np.array([_log_error(group[key]["gain"]) for key in shared]),
                [pairs for pairs, _ in shared],
                all(_reached(group[key]) for key in shared),
            )
            gains[name] = logs[name].interval(logs=True)
        entries: list[Ranked] = []
        for name, gain in gains.items():
            rows_of = [row for key, row in by[name].items() if key in plain]
            open_end = sum(not _reached(row) for row in rows_of)
            if open_end or (len(rows_of) < GROUPS and any(row["gain"]["high"] is None for row in rows_of)):
                gain = Interval(gain.estimate, gain.low, None, method=gain.method)  # a lower bound
            if name != "sft" and not all(_reached(plain[key]) for key in by[name] if key in plain):
                gain = Interval(None, None, gain.high, method=gain.method)
            lost = [Interval.of_dict(row["lost"]) for row in rows_of]
            behaviours = [row["pairs"] for row in rows_of]
            cost = _Groups(
                np.array([one.estimate for one in lost]), np.array(list(map(_error, lost))), behaviours
            ).interval()
            longer = sum(other.longer(logs[name]) for rival, other in logs.items() if rival != name)
            entries.append({
                "attack": attack, "defence": name, "title": DEFENCES[name].title, "gain": gain.as_dict(),
                "method": gain.method, "groups": len(rows_of), "lost": cost.as_dict(), "not_undone": open_end, "rank": 1 + longer,
            })  # fmt: skip
        places += sorted(entries, key=lambda entry: (entry["rank"], -(entry["gain"]["estimate"] or 0.0)))
    return places


@dataclass(frozen=True, slots=True)
class _Groups:
    """A number for each behaviour and seed, its error over prompts, and the behaviour; ``reached``: none is a lower bound."""

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    behaviours: list[str]
    reached: bool = True

    def interval(self, *, logs: bool = False) -> Interval:
        """The mean over behaviours with its interval: over groups where they are `GROUPS` or more, else over the prompts of each alone."""
        if len(self.values) >= GROUPS:
            return Interval.of_clusters(self.values, self.behaviours, names=("behaviours", "seeds"), logs=logs)
        make = Interval.of_log if logs else Interval.of_mean
        sizes = np.array([self.behaviours.count(name) for name in self.behaviours])
        weights = 1 / (sizes * len(set(self.behaviours)))
        se = float(np.linalg.norm(weights * self.errors))
        return make(float(weights @ self.values), se, math.inf, method="over prompts")

    def longer(self, other: _Groups) -> bool:
        """Whether this defence lasts longer than the other, beyond the interval of their difference over the same groups."""
        if len(self.values) != len(other.values) or not other.reached:
            return False
        gap = _Groups(self.values - other.values, np.hypot(self.errors, other.errors), self.behaviours).interval()
        return gap.low is not None and gap.low > 0


def _error(one: Interval) -> float:
    """The standard error that a closed interval has."""
    return math.nan if one.low is None or one.high is None else (one.high - one.low) / 3.92


def _log_error(gain: Ends) -> float:
    """The standard error of ln(gain) from its interval, of an open one from its lower half."""
    low, middle, high = gain["low"], gain["estimate"], gain["high"]
    if low is None or middle is None:
        return math.nan
    return math.log(middle / low) / 1.96 if high is None else math.log(high / low) / 3.92


def _by_group(rows: Sequence[GainedRow], name: str) -> dict[tuple[str, int], GainedRow]:
    return {(row["pairs"], row["seed"]): row for row in rows if row["defence"] == name}


def _volume(row: DefenceRow) -> float:
    """m*, or the most that was tried where nothing was undone; at least one example."""
    return max(float(row["undo_volume"]["estimate"] or row["undo_volume"]["low"] or 0.0), 1.0)


def foretold(rows: Sequence[DefenceRow]) -> list[tuple[float, float]]:
    """Forecast and undo volume of plain fine-tuning against a defence, at the defender's own rate, where both are there."""
    return [
        (predicted, measured)
        for row in rows
        if row["attack"] == "sft"
        and (predicted := row["forecast"])
        and row["same_rate"]
        and (measured := row["same_rate"]["estimate"])
    ]


def forecast_error(rows: Sequence[DefenceRow]) -> Interval:
    """The median of |forecast / m* - 1| with its quartiles, over runs of plain fine-tuning at the defender's own rate."""
    return _quartiles([abs(predicted / measured - 1) for predicted, measured in foretold(rows)])


def formula_error(rows: Sequence[DefenceRow]) -> Interval:
    """The median of |foretold / measured - 1| of DPO's gain over plain fine-tuning, with its quartiles over betas and groups.

    Foretold from what the base says alone: its contrast z_0 and its constant of aligning (R21 and its form for DPO).
    """
    undone = {
        (row["pairs"], row["seed"], row["defence"]): (row, volume)
        for row in rows
        if row["attack"] == "sft" and (volume := row["same_rate"]["estimate"])
    }
    errors = []
    for (pairs, seed, name), (row, volume) in undone.items():
        _, plain = undone.get((pairs, seed, "sft"), (None, None))
        if (
            plain is None
            or row["beta"] is None
            or DEFENCES[name].changes().keys() - {"loss", "beta"}
            or DEFENCES[name].loss != "dpo"
        ):
            continue
        start, n, c = row["z0"], row["volume"], row["c_align"]
        formula = float(dpo_undo_volume(start, n, c, row["beta"]) / plain_volume(start, n, c))
        errors.append(abs(formula * plain / volume - 1))
    return _quartiles(errors)


def _quartiles(errors: Sequence[float]) -> Interval:
    if not errors:
        return Interval(None)
    low, middle, high = (float(q) for q in np.quantile(errors, [0.25, 0.5, 0.75]))
    return Interval(middle, low, high, 0.5, method="median and quartiles over runs")


def cheap(ranking: Sequence[Ranked]) -> list[Ranked]:
    """Entries whose utility lost lies below 1% with its interval, and which leave the attacker's data alone."""
    return [
        entry
        for entry in ranking
        if (high := entry["lost"]["high"]) is not None and high < UTILITY and not DEFENCES[entry["defence"]].replay
    ]


def doubles(entry: Ranked) -> bool:
    """Whether a defence more than doubles the durability of plain fine-tuning, beyond its interval.

    >>> doubles({"gain": {"estimate": 2.5, "low": 2.1, "high": None}}), doubles({"gain": {"estimate": 2.5, "low": 1.1, "high": 4}})
    (True, False)
    """
    return entry["gain"]["low"] is not None and entry["gain"]["low"] > 2


def gains_over(entry: Ranked) -> str:
    """Over what the interval of a gain is."""
    return "over " + entry.get("method", "over prompts").partition("over ")[2]


def conclusion(summary: Defended) -> list[str]:
    """What to conclude, in whole sentences."""
    sentences = []
    for attack in dict.fromkeys(entry["attack"] for entry in summary["ranking"]):
        some = cheap([entry for entry in summary["ranking"] if entry["attack"] == attack])
        if not some:
            sentences.append(f"Against {attack}, no defence costs less than 1% of utility.")
            continue
        best = max(some, key=lambda entry: entry["gain"]["estimate"] or 0.0)
        gain, least = Interval.of_dict(best["gain"]), " at least" if best["not_undone"] else ""
        sentence = f"Against {attack}, at less than 1% of utility lost, {best['title']} lasts longest: {gain} times as long as plain "
        sentence += f"fine-tuning{least} ({gains_over(best)})"
        good = [entry["title"] for entry in some if doubles(entry)]
        doubled = "this one alone" if good == [best["title"]] else ", ".join(good) or "none"
        sentences.append(f"{sentence}; more than twice as long, beyond the interval: {doubled}.")
    error, formula = forecast_error(summary["defence"]), formula_error(summary["defence"])
    if error.estimate is not None:
        sentences.append(
            f"Two backward passes at the defended weights foretold the volume that undoes it with a median error of {error.estimate:.0%}."
        )
    if formula.estimate is not None:
        sentences.append(
            f"DPO's gain over plain fine-tuning, foretold from the base alone, is off by {formula.estimate:.0%} in the median."
        )
    return sentences
