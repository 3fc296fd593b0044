"""The two panels that every comparison of defences has: durability against utility lost, and the forecast against the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..style import INK, STYLES, WIDTH, plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UTILITY = 0.01
"""Utility that may be lost: the relative rise of the code length of neutral text."""
SHOWN = 300.0
"""The most utility lost that a figure shows, in percent."""


def defences_figure(
    title: str, description: str, ranking: Sequence[Mapping[str, Any]], forecast: ArrayLike, outcome: ArrayLike
) -> Figure:
    """Durability against utility lost, a mark a defence with both intervals; below, forecast against outcome, a mark a run.

    ranking: entries with ``defence``, ``gain`` and ``lost`` (intervals as dictionaries); an open gain is drawn as a lower bound.
    forecast, outcome (runs,): opposed examples that undo, foretold and seen.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 0.9 * WIDTH), layout="constrained")
    figure.set_label(f"{title}\n{description}")
    above, below = figure.subplots(2, 1)
    _frontier(above, ranking)
    foretold, measured = np.asarray(forecast, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if foretold.size:
        below.loglog(foretold, measured, ".", color=STYLES[0][0], markersize=4)
        ends = np.array([min(foretold.min(), measured.min()), max(foretold.max(), measured.max())])
        below.plot(ends, ends, color=INK, linewidth=1.0)
    below.set(xlabel="foretold from two backward passes (examples)", ylabel="undone by (examples)")
    for axis in (below.xaxis, below.yaxis):
        plain_ticks(axis)
    return figure


def _frontier(axes: Axes, ranking: Sequence[Mapping[str, Any]]) -> None:
    """A numbered mark a defence, filled where it costs less than `UTILITY`; the names stand beside the panel."""
    names = []
    for number, entry in enumerate(ranking, 1):
        gain, lost = entry["gain"], entry["lost"]
        if lost["estimate"] is None or 100 * lost["estimate"] > SHOWN:
            continue
        names.append(f"{number}  {entry['defence']}" + (" (at least)" if gain["high"] is None else ""))
        x, y, colour = 100 * lost["estimate"], gain["estimate"], STYLES[0][0]
        filled = colour if lost["estimate"] < UTILITY else "white"
        axes.errorbar(
            x, y, xerr=_around(lost, 100), yerr=_around(gain, 1), color=colour, marker="o", markerfacecolor=filled,
            linestyle="none", linewidth=0.6,
        )  # fmt: skip
        axes.annotate(str(number), (x, y), (3, 3), textcoords="offset points", fontsize=8)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.axvline(100 * UTILITY, color=INK, linewidth=0.8, linestyle=":")
    axes.set(yscale="log", xlabel="utility lost (% of the code length of neutral text)", ylabel="durability / plain")
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set(xlim=(-30.0, SHOWN), xticks=(-10, -1, 0, 1, 10, 100), xticklabels=("-10", "-1", "0", "1", "10", "100"))
    axes.minorticks_off()
    axes.text(1.02, 0.5, "\n".join(names), transform=axes.transAxes, fontsize=8, va="center")
    plain_ticks(axes.yaxis)


def _around(interval: Mapping[str, Any], times: float) -> list[list[float]]:
    """The lengths of an error bar below and above; 0 to a side that is open."""
    middle = interval["estimate"]
    low, high = (middle if interval[end] is None else interval[end] for end in ("low", "high"))
    return [[times * max(middle - low, 0.0)], [times * max(high - middle, 0.0)]]
