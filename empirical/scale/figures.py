"""The figure of the protocol `scale`, from the JSON that it saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from elastomath.errors import InputError
from elastomath.style import INK, STYLES, series, styled

from .answers import KERNEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elastomath.runs.conduct import ProtocolSummary

    from .results import Group, Row

PANELS: Final = (
    ("held_out_rate", "held-out rate at the start", "bits/token", 1.0),
    ("rise", "rise of the contrast", "bits/token", 1.0),
    ("first_fall", "first fall", "bits/token", 1.0),
    ("fall_rate", "rise undone per example", "%", 100.0),
    ("excess_rate", "of it beyond the control", "%", 100.0),
    ("cosine", "gradient cosine, aligned", "", 1.0),
)
"""Panels of the figure: measure, title, unit, factor."""
EXPONENTS: Final = (
    ("first_fall", "first fall"),
    ("depth", "depth of the fall"),
    ("fall_rate", "rise undone per example"),
    ("excess_rate", "of it beyond the control"),
    ("fall_share", "share undone in all"),
    ("undoing_volume", "examples that undo it"),
)


@styled
def scale_figure(result: ProtocolSummary) -> Figure:
    """F3: measures against pre-training volume, a line a size; below, the exponents in size and in volume.

    result: what ``scale.json`` holds. Marks are means over seeds, bars the standard error over documents (one of more than
    three times the panel's median may leave the panel); with one volume the abscissa is the size. Thin lines of the exponents
    are t intervals over seeds (an arrow where open or out of the panel), thick ones 1.96 standard errors over documents, dots
    the seeds, a cross what R13 says. The first alignment volume and direction are drawn.

    Raises InputError for a result without runs.
    """
    from matplotlib.figure import Figure

    if not result.get("groups"):
        raise InputError("no runs", where="figure", mend="give what scale.json holds")
    group = result["groups"][0]
    rows = [row for row in result["readings"] if all(row[key] == group[key] for key in ("align_volume", "direction"))]
    figure = Figure(figsize=(7.0, 9.2), layout="constrained")
    figure.set_label(
        "Scale: rebound against model size and pre-training volume\n" + "; ".join(result["reading"][:4]) + "."
    )
    halves = figure.add_gridspec(2, 1, height_ratios=[3.0, 1.3])
    above, below = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    panels = above.subplots(3, 2)
    over_volume = len({row["pretrain_volume"] for row in rows}) > 1
    for axes, (measure, title, unit, factor) in zip(panels.flat, PANELS, strict=True):
        _panel(axes, rows, measure, factor, over_volume)
        axes.set_title(title)
        axes.set_ylabel(unit)
    for axes in panels[-1]:
        axes.set_xlabel("pre-training volume, examples" if over_volume else "parameters")
    if over_volume:
        handles, labels = panels[0, 0].get_legend_handles_labels()
        above.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, title="parameters")
    laws = {law["name"]: law["exponents"] for law in group["laws"]}
    pair = below.subplots(1, 2, sharey=True)
    for axes, (name, words) in zip(pair, (("parameters", "size"), ("pretrain_volume", "volume")), strict=True):
        _exponents(axes, group, name, next(iter(laws.values()), {}) if name == "pretrain_volume" else {})
        axes.set_title(f"exponent in {words}")
    return figure


def _panel(axes: Axes, rows: list[Row], measure: str, factor: float, over_volume: bool) -> None:
    sizes = sorted({row["parameters"] for row in rows})
    lines = [[row for row in rows if row["parameters"] == size] for size in sizes] if over_volume else [rows]
    key = "pretrain_volume" if over_volume else "parameters"
    marks: list[float] = []
    spreads: list[float] = []
    for index, line in enumerate(lines):
        x, y, bars = [], [], []
        for value in sorted({row[key] for row in line}):
            here = [row for row in line if row[key] == value and row.get(measure) is not None]
            if here:
                errors = [row[f"{measure}_se"] or 0.0 for row in here]
                x.append(value)
                y.append(factor * float(np.mean([row[measure] for row in here])))
                bars.append(factor * float(np.sqrt(np.sum(np.square(errors)))) / len(here))
        marks, spreads = [*marks, *y], [*spreads, *bars]
        label = f"{sizes[index]:,}" if over_volume else None
        shifted = np.array(x, dtype=np.float64) * 1.025 ** (index - (len(lines) - 1) / 2)
        axes.errorbar(shifted, y, bars, **series(index), elinewidth=0.9, capsize=1.5, label=label)
    if measure != "held_out_rate":
        axes.axhline(0.0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    if marks:
        axes.set_ylim(*_limits(marks, spreads, zero=measure != "held_out_rate"))
    axes.set_xscale("log", base=2)
    ticks = sorted({row[key] for row in rows})
    axes.set_xticks(ticks, [f"{tick:,.0f}" if tick < 1e5 else f"{tick:.2g}" for tick in ticks])
    axes.minorticks_off()


def _limits(marks: list[float], spreads: list[float], *, zero: bool) -> tuple[float, float]:
    """Room for every mark and for bars of three times the median: a ratio to almost nothing has one that would hide the rest."""
    y, bars = np.array(marks), np.minimum(spreads, 3.0 * float(np.median(spreads)))
    low, high = float(np.min(y - bars)), float(np.max(y + bars))
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _rows(group: Group) -> list[tuple[str, str]]:
    """The rows of the exponents: measure and words; a behaviour's kernel has a row of its own."""
    return [*EXPONENTS, *((name, name) for name in group["measures"] if name.startswith(KERNEL))]


def _width(group: Group) -> float:
    """Half the width of the panels of exponents: room for every seed's value, from 1 to 4."""
    most = 1.0
    for measure, _ in _rows(group):
        spread = group["measures"].get(measure)
        for slope in spread["exponent"].values() if spread else ():
            most = max([most, *(abs(value) for value in (slope["seeds"] if slope else ()))])
    return min(1.15 * most, 4.0)


def _exponents(axes: Axes, group: Group, name: str, law: dict[str, float | None]) -> None:
    most = _width(group)
    rows = _rows(group)
    for place, (measure, _) in enumerate(rows):
        spread = group["measures"].get(measure)
        interval = spread["exponent"].get(name) if spread else None
        height = -place
        if interval is None:
            axes.annotate("not told", (0.0, height), ha="center", va="center", fontsize=8.5, color=INK)
        else:
            low = -np.inf if interval["low"] is None else interval["low"]
            high = np.inf if interval["high"] is None else interval["high"]
            axes.plot([max(low, -most), min(high, most)], [height, height], color=INK, linewidth=1.0)
            for end, sign, tip in ((low, -1, "<"), (high, 1, ">")):
                axes.plot(sign * min(abs(end), most) if abs(end) > most else end, height,
                          marker=tip if abs(end) > most else "|", color=INK, clip_on=False)  # fmt: skip
            centre, half = interval["estimate"] or 0.0, 1.96 * (interval["se_documents"] or 0.0)
            ends = np.clip([centre - half, centre + half], -most, most)
            axes.plot(ends, [height, height], color=STYLES[0][0], linewidth=4.5, alpha=0.55)
            axes.plot(np.clip(interval["seeds"], -most, most), [height + 0.24] * len(interval["seeds"]), ".", color=INK)
            axes.plot(np.clip(centre, -most, most), height, marker="o", color=STYLES[0][0], markeredgecolor="white")
        entry = law.get(measure)
        if entry is not None:
            axes.plot(entry, height - 0.24, marker="x", color=STYLES[1][0], markersize=6)
    axes.axvline(0.0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.set_yticks([-place for place in range(len(rows))], [words for _, words in rows])
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_xlim(-1.05 * most, 1.05 * most)
