"""The figures of the durability experiment, from the JSON that it saved: forecast against measurement, and the courses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from elastomath.errors import InputError
from elastomath.shown import number_of
from elastomath.style import INK, STYLES, WIDTH, plain_ticks, series, styled

from .answers import group_exponent
from .pooled import forecast_exponent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from elastomath.interval import Ends
    from elastomath.runs.conduct import ProtocolSummary

    from .card import Card
    from .results import DurabilityRow


@styled
def forecast_figure(result: ProtocolSummary) -> Figure:
    """Undo volumes: measured against forecast, one marker a behaviour, filled by optimiser, with both 95% intervals.

    result: what ``durability.json`` holds. The line is a forecast that comes true, the band is 20% to either side; an arrow
    upwards is an end that is open, without a marker a run that was not undone. Raises InputError where no run was perturbed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    rows = [row for row in result.get("durability", ()) if row.get("undo_volume") and row.get("forecast_undo_volume")]
    if not rows:
        raise InputError("no forecast beside a measurement", where="figure", mend="give what durability.json holds")
    figure = Figure(figsize=(WIDTH, 0.64 * WIDTH), layout="constrained")
    median = result["error"]["median"]
    figure.set_label(
        f"Forecast against measurement\nOpposed examples that undo an alignment, {number_of(len(rows), 'run')}"
        + ("" if median is None else f"; the median error is {median:.0%}.")
    )
    axes = figure.subplots()
    ends = [row["forecast_undo_volume"] for row in rows]
    ends += [row["undo_volume"]["estimate"] or row["undo_volume"]["low"] for row in rows]
    line = np.array([min(ends) / 1.5, max(ends) * 1.5])
    axes.fill_between(line, line / 1.2, line * 1.2, color=INK, alpha=0.12, linewidth=0)
    axes.plot(line, line, color=INK, linewidth=1.0)
    behaviours, optimisers = (list(dict.fromkeys(row[key] for row in rows)) for key in ("pairs", "optimiser"))
    for row in rows:
        x, y = row["forecast_undo_volume"], row["undo_volume"]["estimate"]
        if (
            row["undo_volume"]["high"] is None
        ):  # not undone by the last volume that was tried, or by prompts drawn again
            start = row["undo_volume"]["low"] if y is None else y
            axes.annotate("", (x, start * 1.25), (x, start), arrowprops={"arrowstyle": "->"})
        if y is None:
            continue
        colour, marker, _ = STYLES[behaviours.index(row["pairs"]) % len(STYLES)]
        axes.errorbar(
            x, y, xerr=_around(x, row["forecast_interval"]), yerr=_around(y, row["undo_volume"]), color=colour, marker=marker,
            fillstyle=_fill(row["optimiser"]), linewidth=0.8, linestyle="none",
        )  # fmt: skip
    for index, pairs in enumerate(behaviours):
        axes.plot([], [], **series(index, line=False), label=_short(pairs))
    for optimiser in optimisers if optimisers != ["sgd"] else ():
        axes.plot([], [], color=INK, marker="o", linestyle="none", fillstyle=_fill(optimiser), label=optimiser)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="forecast before training (opposed examples)",
        ylabel="measured (opposed examples)",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    axes.set(xlim=line, ylim=line, aspect="equal")
    figure.legend(frameon=False, loc="outside right upper")
    return figure


@styled
def exponents_figure(rows: Sequence[DurabilityRow]) -> Figure:
    """The exponent of m* in n, measured against foretold: one marker a behaviour, a point each seed, with the 95% interval over prompts.

    The line is a forecast that comes true. Raises InputError where no behaviour and seed has both, from two volumes or more.
    """
    from matplotlib.figure import Figure

    groups: dict[tuple[str, int], list[DurabilityRow]] = {}
    for row in rows:
        groups.setdefault((_name(row), row["seed"]), []).append(row)
    points = [(name, forecast_exponent(way), group_exponent(way)) for (name, _), way in groups.items()]
    known = [(name, x, own) for name, x, own in points if math.isfinite(x) and own.estimate is not None]
    if not known:
        raise InputError(
            "no exponent beside its forecast", where="figure", mend="give runs of two volumes that were undone"
        )
    figure = Figure(figsize=(0.75 * WIDTH, 0.7 * WIDTH), layout="constrained")
    figure.set_label(
        "How fast durability grows with alignment, behaviour by behaviour\n"
        f"Exponents of {number_of(len(known), 'base')}: forecast from gradients, and measured."
    )
    axes = figure.subplots()
    values = [value for _, x, own in known for value in (x, own.estimate or 0.0)]
    line = np.array([min(values) - 0.05, max(values) + 0.05])
    axes.plot(line, line, color=INK, linewidth=1.0)
    for index, name in enumerate(dict.fromkeys(name for name, _, _ in known)):
        own = [(x, measured) for other, x, measured in known if other == name]
        y = [measured.estimate or 0.0 for _, measured in own]
        spread = np.hstack([_around(value, measured.as_dict()) for value, (_, measured) in zip(y, own, strict=True)])
        axes.errorbar([x for x, _ in own], y, yerr=spread, **series(index, line=False), linewidth=0.8, label=name)
    axes.set(
        xlim=line, ylim=line, aspect="equal", xlabel="exponent, forecast before training", ylabel="exponent, measured"
    )
    axes.legend(frameon=False, loc="upper left")
    return figure


@styled
def courses_figure(result: ProtocolSummary) -> Figure:
    """The mean contrast along the perturbation, a panel for each behaviour and seed, a line for each alignment volume.

    The horizontal line is where the base was before it was aligned: where a course meets it, the behaviour is undone.
    """
    from matplotlib.figure import Figure

    rows = [row for row in result.get("durability", ()) if "course" in row]
    if not rows:
        raise InputError("no run was perturbed", where="figure", mend="give what durability.json holds")
    groups: dict[str, list[DurabilityRow]] = {}
    for row in rows:
        groups.setdefault(f"{_name(row)}, seed {row['seed']}", []).append(row)
    across = min(3, len(groups))
    down = -(-len(groups) // across)
    figure = Figure(figsize=(WIDTH, 2.4 * down), layout="constrained")
    figure.set_label(
        f"The way back\nContrast against opposed examples in {number_of(len(rows), 'run')}; the level line is the base."
    )
    panels = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
    for panel, (name, members) in zip(panels, groups.items(), strict=False):
        for index, row in enumerate(sorted(members, key=lambda row: row["n"])):
            panel.plot(
                row["course"]["volume"], row["course"]["z"], **series(index), markersize=3, label=f"n = {row['n']}"
            )
        panel.axhline(members[0]["z0"], color=INK, linewidth=0.8)
        panel.set_title(name, fontsize=9)
        panel.set(xlabel="opposed examples", ylabel="contrast z (nats)")
        panel.legend(frameon=False, fontsize=8)
    for panel in panels[len(groups) :]:
        panel.set_visible(False)
    return figure


@styled
def card_figure(card: Card, title: str = "Forecast") -> Figure:
    """The card's forecast: the contrast after n aligned examples, and how many opposed ones undo them, with 95% intervals.

    The dashed line of the right panel is one opposed example for each aligned one, which joint compression would ask for.
    Raises InputError where the card forecasts nothing.
    """
    from matplotlib.figure import Figure

    rows = [row for row in card.forecast if row.undo_volume.estimate]
    if not rows:
        raise InputError(
            "the card forecasts nothing", where="figure", mend="; ".join(card.reasons) or "give more prompts"
        )
    figure = Figure(figsize=(WIDTH, 0.45 * WIDTH), layout="constrained")
    figure.set_label(f"{title}\n{card.sentences()[0]}")
    left, right = figure.subplots(1, 2)
    n = np.array([row.n for row in rows], dtype=np.float64)
    colour, marker, _ = STYLES[0]
    for axes, intervals in ((left, [row.z for row in rows]), (right, [row.undo_volume for row in rows])):
        values = np.array([interval.estimate for interval in intervals], dtype=np.float64)
        around = [_around(value, interval.as_dict()) for value, interval in zip(values, intervals, strict=True)]
        axes.errorbar(n, values, yerr=np.hstack(around), color=colour, marker=marker, linewidth=1.0, capsize=2)
        axes.set(xscale="log", xlabel="aligned examples n")
        plain_ticks(axes.xaxis)
    left.axhline(float(card.z0.estimate or 0.0), color=INK, linewidth=0.8)
    left.set(ylabel="contrast z (nats), level line: now")
    right.plot(n, n, color=INK, linestyle="--", linewidth=0.9)
    right.set(yscale="log", ylabel="opposed examples that undo them")
    plain_ticks(right.yaxis, dense=True)
    return figure


def _fill(optimiser: str) -> Literal["full", "none", "bottom"]:
    """How a marker is filled: plain descent, AdamW with fresh moments, with carried ones."""
    return "full" if optimiser == "sgd" else "none" if optimiser == "adamw" else "bottom"


def _short(pairs: str) -> str:
    return pairs.rpartition("/")[2]


def _name(row: DurabilityRow) -> str:
    return _short(str(row["pairs"])) + ("" if row["optimiser"] == "sgd" else f", {row['optimiser']}")


def _around(value: float, interval: Ends) -> np.ndarray[Any, Any]:
    """The two distances that an error bar needs; an open end has none."""
    low, high = interval["low"], interval["high"]
    return np.array(
        [[0.0 if low is None else max(value - low, 0.0)], [0.0 if high is None else max(high - value, 0.0)]]
    )
