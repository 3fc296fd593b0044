"""Study `rebound`: resistance (F1), rebound (F2) and the volume that undoes alignment, against R13, R19 and the paper's Table 3."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from elastomath import InputError
from elastomath.interval import Interval
from elastomath.laws.forgetting import return_steps
from elastomath.laws.rebound import Scores, return_volume, score
from elastomath.runs.ledger import Configuration
from elastomath.style import INK, plain_ticks, series, styled

from ..cycles.records import Life
from .answers import SHARE, T_METHOD, Answer, Run, exponent, over_seeds
from .groups import Group, Groups
from .plans import PLANS, grouped, sequences
from .study import two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FALL = 0.25
"""The perturbation after which falls are compared."""


class Compared(TypedDict):
    """Two alignment volumes of a run: whether the larger one falls faster, and whether R13 says so."""

    k: float
    less: float
    more: float
    faster: bool
    r13: bool | None


class Undone(TypedDict):
    """An alignment volume n: m* with its bracket, and the law's."""

    n: float
    volume: float | None
    low: float | None
    high: float | None
    law: float | None


class Gaps(TypedDict):
    """Forward less inverse, means over pairs of slices, and shares of pairs in which inverse ends lower."""

    loss: float
    entropy: float
    excess: float
    lower_loss: float
    lower_excess: float
    closed: float | None


class Row(TypedDict):
    """A run."""

    seed: int
    k: float
    resistance: Gaps
    falls: list[Compared]
    undo: list[Undone]
    levels: dict[str, float | None]


def runs(preset: str) -> list[Configuration]:
    """Every compressor in sequence on a union of three parts: undoing with brackets, and forward against inverse between thirds."""
    plan = PLANS[preset]
    tiny = preset == "tiny"
    ks = plan.ks[:1] if tiny else plan.ks[1:3]
    steps: Configuration = {"inverse": True, "perturbations": [0, FALL, 1.0], "largest": 16.0}
    configurations = []
    for name in ("mixture", "counting", "softmax"):
        settings = {"forgetting": 0.2} if name == "counting" else {"learning_rate": 2e-3} if name == "softmax" else {}
        configurations += sequences(
            name,
            plan,
            plan.exact * (1 if tiny else 2),
            ks,
            "union",
            settings,
            alignments=[*plan.alignments, 2 * plan.alignments[-1]],
            **steps,
        )
    trained: Configuration = {"precision": 0.1} | steps | {"largest": 4.0}
    configurations += sequences("transformer", plan, plan.trained, ks, "union", **trained)
    if not tiny:
        configurations += sequences(
            "transformer", plan, plan.trained, ks[-1:], "union", {"optimiser": "fresh"}, **trained
        )
    for configuration in configurations:
        configuration["resistance"] = 1.0
    return configurations


def scores_of(record: Life) -> Scores | None:
    """Base (the pre-trained state's), D_a's and D_t's scores; None where the base does not lie strictly between."""
    base, up, down = (record["levels"][name] for name in ("pretrained", "align", "perturb"))
    if base is None or up is None or down is None:
        return None
    try:
        return Scores(base, up, down)
    except InputError:
        return None


def falls(record: Life) -> list[Compared]:
    """A row for each pair of alignment volumes n < n': whether n' falls more until `FALL`, and whether R13 says so.

    R13: ``s(0) - s(m)`` of ``s = (k s_p + n s_+ + m s_-)/(k+n+m)`` at both volumes, with the scores of this run.
    """
    scores = scores_of(record)
    rows: list[Compared] = []
    for less, more in itertools.combinations(record["runs"], 2):
        differences = [entry["scores"][0] - entry["scores"][1] for entry in (less, more)]
        step = less["perturbations"][1]
        predicted = None
        if scores is not None:
            k = less["volumes"][0]
            expected = [
                float(score(scores, k, n, 0.0) - score(scores, k, n, step))
                for n in (less["volumes"][1], more["volumes"][1])
            ]
            predicted = expected[1] > expected[0]
        rows.append(
            {
                "k": less["volumes"][0],
                "less": less["volumes"][1],
                "more": more["volumes"][1],
                "faster": differences[1] > differences[0],
                "r13": predicted,
            }
        )
    return rows


def undoing(configuration: Configuration, record: Life) -> list[Undone]:
    """A row for each alignment volume: m*, its bracket, and what R13 (nothing forgotten) or R19 (counting) says it is."""
    scores = scores_of(record)
    rows: list[Undone] = []
    h = float(configuration["settings"].get("forgetting", 0.0)) if configuration["dynamics"] == "counting" else 0.0
    for entry in record["runs"]:
        undo = entry.get("undo")
        n, law = entry["volumes"][1], None
        if scores is not None:
            law = float(return_steps(scores, n, h)) if h else float(return_volume(scores, n))
        rows.append(
            {
                "n": n,
                "volume": undo["volume"] if undo else None,
                "low": undo["low"] if undo else None,
                "high": undo["high"] if undo else None,
                "law": law,
            }
        )
    return rows


def gaps(record: Life) -> Gaps:
    """Means over pairs of slices: forward less inverse, of the final loss, its floor (entropy) and the excess; shares that end lower.

    ``closed`` is None where a direction had no way to go in one of the pairs.
    """
    pairs = record["resistance"]["pairs"]
    both = [(pair["forward"], pair["inverse"]) for pair in pairs]

    def mean(name: Literal["loss", "entropy", "excess"]) -> float:
        return float(np.mean([forward[name] - inverse[name] for forward, inverse in both]))

    ways = [(forward["closed"], inverse["closed"]) for forward, inverse in both]
    closed = [one - other for one, other in ways if one is not None and other is not None]

    return {
        "loss": mean("loss"), "entropy": mean("entropy"), "excess": mean("excess"),
        "lower_loss": float(np.mean([pair["lower_loss"] for pair in pairs])),
        "lower_excess": float(np.mean([pair["lower_excess"] for pair in pairs])),
        "closed": float(np.mean(closed)) if len(closed) == len(ways) else None,
    }  # fmt: skip


def answers(rows: list[Run]) -> tuple[list[Answer], Groups[Row]]:
    """Per compressor: F1 in loss and in excess, F2 and R13's condition, and the exponent of m* in n."""
    groups: list[Group[Row]] = []
    results: list[Answer] = []
    for (name, setting), members in grouped(rows).items():
        table: list[Row] = [
            {
                "seed": configuration["seed"], "k": record["runs"][0]["volumes"][0], "resistance": gaps(record), "falls": falls(record),
                "undo": undoing(configuration, record), "levels": record["levels"],
            }
            for configuration, record in members
        ]  # fmt: skip
        groups.append({"compressor": name, "setting": setting, "rows": table})
        results += _resistance(name, setting, table) + _falls(name, setting, table) + _undoing(name, setting, table)
    return results, {"groups": groups}


def _by_seed(table: list[Row], value: Callable[[Row], float | None]) -> list[float | None]:
    """The mean over each seed's runs; None where one of them has no value."""
    means: list[float | None] = []
    for seed in sorted({row["seed"] for row in table}):
        values = [value(row) for row in table if row["seed"] == seed]
        known = [each for each in values if each is not None]
        means.append(float(np.mean(known)) if len(known) == len(values) else None)
    return means


def _who(name: str, setting: str) -> str:
    """The compressor in an answer's id; only runs with fresh moments have a mark."""
    return f"{name}-fresh" if "fresh" in setting else name


def _resistance(name: str, setting: str, table: list[Row]) -> list[Answer]:
    loss = over_seeds(_by_seed(table, lambda row: row["resistance"]["loss"]))
    excess = over_seeds(_by_seed(table, lambda row: row["resistance"]["excess"]))
    floor = over_seeds(_by_seed(table, lambda row: row["resistance"]["entropy"]))
    lower_loss = over_seeds(_by_seed(table, lambda row: row["resistance"]["lower_loss"]), within=SHARE)
    lower_excess = over_seeds(_by_seed(table, lambda row: row["resistance"]["lower_excess"]), within=SHARE)
    if loss is None or excess is None or floor is None or lower_loss is None or lower_excess is None:
        return []
    sign = loss.side("against resistance (F1)", "as resistance (F1) has it", "not decided")
    mine = excess.side(
        "in excess code length the forward direction ends lower",
        "inverse alignment ends with less excess, too",
        "in excess code length neither direction is lower beyond the scatter",
    )
    return [
        Answer(
            f"f1-loss/{_who(name, setting)}", "resistance (F1): final loss, forward less inverse, nats a leaf", name,
            f"{name}, {setting}: forward less inverse loss is {loss} ({sign}); inverse ends lower in a share "
            f"{lower_loss} of the pairs. The targets' own entropies differ by "
            f"{floor} of it.",
            loss, T_METHOD,
        ),
        Answer(
            f"f1-excess/{_who(name, setting)}", "resistance (F1): excess code length, forward less inverse, nats a leaf", name,
            f"{name}, {setting}: forward less inverse excess is {excess}, inverse lower in a share {lower_excess} "
            f"of the pairs: {mine}.",
            excess, T_METHOD,
        ),
    ]  # fmt: skip


def _falls(name: str, setting: str, table: list[Row]) -> list[Answer]:
    faster = over_seeds(
        _by_seed(table, lambda row: float(np.mean([pair["faster"] for pair in row["falls"]]))), within=SHARE
    )

    def agreed(row: Row) -> float | None:
        judged = [pair["faster"] == pair["r13"] for pair in row["falls"] if pair["r13"] is not None]
        return float(np.mean(judged)) if judged else None

    right = over_seeds(_by_seed([row for row in table if agreed(row) is not None], agreed), within=SHARE)
    expected = [pair["r13"] for row in table for pair in row["falls"] if pair["r13"] is not None]
    if faster is None:
        return []
    results = [
        Answer(
            f"f2/{_who(name, setting)}", "rebound (F2): share of pairs in which the more aligned model falls more", name,
            f"{name}, {setting}: after l = {FALL:g} the more aligned model has fallen more in a share {faster} of "
            "the pairs of alignment volumes.",
            faster, T_METHOD,
        )
    ]  # fmt: skip
    if right is not None:
        separated = (
            "separates the cases"
            if right.estimate == 1 or (right.low is not None and right.low > 0.9)
            else "does not separate the cases"
            if right.estimate is not None and right.estimate < 0.75
            else "mostly separates the cases"
        )
        results.append(
            Answer(
                f"r13/{_who(name, setting)}", "share of pairs in which the condition of joint compression (R13) says who falls more", name,
                f"{name}, {setting}: the condition of joint compression (R13) is right in a share {right} of the pairs (it expects the "
                f"more aligned model to fall more in {sum(expected)} of "
                f"{len(expected)}): it {separated}.",
                right, T_METHOD,
            )
        )  # fmt: skip
    return results


def exponents(table: list[Row]) -> list[float | None]:
    """b of m* ~ n^b per seed (mean over k); None where an alignment was not undone."""

    def of(row: Row) -> float | None:
        return exponent([entry["n"] for entry in row["undo"]], [entry["volume"] for entry in row["undo"]])

    return _by_seed(table, of)


def _undoing(name: str, setting: str, table: list[Row]) -> list[Answer]:
    b = over_seeds(exponents(table)) or Interval(None)
    entries = [entry for row in table for entry in row["undo"]]
    never = sum(entry["volume"] is None for entry in entries)
    id, question = f"undo/{_who(name, setting)}", "exponent b of m* ~ n^b, the volume of D_t that undoes n of D_a"
    method = f"least squares of ln m* on ln n per run, mean over k; {T_METHOD}"
    if b.estimate is None:
        sentence = f"{name}, {setting}: {never} of {len(entries)} alignments were not undone within the search: no exponent of m* in n."
        return [Answer(id, question, name, sentence, b, method)]
    misses = [abs(entry["volume"] / entry["law"] - 1) for entry in entries if entry["volume"] and entry["law"]]
    law = {"mixture": "joint compression (R13)", "counting": "the law of forgetting (R19)"}.get(name)
    said = f" The m* of {law} is met to {max(misses, default=math.inf):.1e}." if law else ""
    third = b.side(
        "falls, as in Table 3", "rises, against Table 3 (b = -0.15)", "neither rises nor falls beyond the scatter"
    )
    return [
        Answer(
            id, question, name,
            f"{name}, {setting}: m* goes as n^b with b = {b}, so it {third}; {never} of {len(entries)} were not "
            f"undone within the search.{said}",
            b, method,
        )
    ]  # fmt: skip


@styled
def figure(summary: Groups[Row]) -> Figure:
    """Above, the undo volume m* against n (geometric means; dashed: slope 1); below, forward less inverse, excess against entropy."""
    drawn, (upper, lower) = two_panels("Undoing and resistance", "Means over seeds.", share=False)
    heights: list[float] = []
    for index, group in enumerate(summary["groups"]):
        undone = [(each["n"], v) for row in group["rows"] for each in row["undo"] if (v := each["volume"])]
        places = sorted({n for n, _ in undone})
        heights += places
        means = [math.exp(np.mean([math.log(volume) for at, volume in undone if at == n])) for n in places]
        upper.plot(places, means, **series(index), label=f"{group['compressor']}, {group['setting']}")
        x = [row["resistance"]["entropy"] for row in group["rows"]]
        y = [row["resistance"]["excess"] for row in group["rows"]]
        lower.plot(x, y, **series(index, line=False))
    if heights:
        ends = [min(heights), max(heights)]
        upper.plot(ends, ends, color=INK, linestyle="--", linewidth=0.8)
    upper.set(xscale="log", yscale="log", xlabel="alignment volume n", ylabel="m*, volume of D_t")
    upper.set_title("what undoes alignment; dashed: slope 1 (joint compression, R13)")
    plain_ticks(upper.xaxis, dense=True)
    plain_ticks(upper.yaxis, dense=True)
    drawn.legend(loc="outside lower center", frameon=False, fontsize=9, ncols=2)
    for line in (lower.axhline, lower.axvline):
        line(0.0, color=INK, linewidth=0.8)
    lower.set(xlabel="forward less inverse: entropy of the target, nats", ylabel="… of the excess, nats")
    lower.set_title("resistance (F1), a mark a run: above 0, inverse has less excess")
    return drawn
