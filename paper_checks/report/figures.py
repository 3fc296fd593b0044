"""Figures of the report that show an experiment rather than a curve; made from saved data, readable without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from empirical.rebound.results import RunReadings
    from empirical.stiffness.results import ProbeRow

INK, SOFT = "#1b1f24", "#8a949e"
STYLES = (("o", "-", "#0b5394"), ("s", "--", "#b45309"), ("^", "-.", "#0b6e4f"), ("D", ":", "#7a1f5c"))
"""Marker, line and colour of a series: each tells the series apart alone."""


def _axes(figure: Figure, place: Any, title: str, x: str, y: str) -> Any:
    axes = figure.add_subplot(*place) if isinstance(place, tuple) else figure.add_subplot(place)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _log_ticks(axis: Any, values: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers at these values, and no others."""
    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    axis.set_ticks(list(values), [f"{value:,}" for value in values])
    axis.set_ticks([], minor=True)


def rebound_figure(readings: Sequence[RunReadings]) -> Figure:
    """The contrast (rate on the opposed kind minus rate on the aligned kind) through all phases, and the fall by volume.

    readings: the `readings` of `rebound.json`. Left: the contrast at every stage. Right: its change from the aligned
    state against examples of the perturbation, with one standard error, and the control (both kinds) as an open mark.
    """
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    stages = _axes(figure, 121, "a  contrast at each stage", "", "bits per token")
    falls = _axes(figure, 122, "b  change from the aligned state", "opposed examples", "bits per token")
    for (marker, line, colour), run in zip(_cycle(len(readings)), readings, strict=True):
        rows = [row for row in run["rows"] if row["phase"] != "control"]
        label = f"{run['align_volume']} aligned" + (f", seed {run['seed']}" if run["seed"] else "")
        stages.plot(range(len(rows)), [r["contrast"] for r in rows], marker=marker, ls=line, color=colour, label=label)
        moved = [row for row in run["rows"] if row["phase"] == "perturb"]
        falls.errorbar(
            [0] + [row["volume"] for row in moved],
            [0] + [row["contrast_change"] for row in moved],
            yerr=[0] + [row["contrast_change_se"] for row in moved],
            marker=marker,
            ls=line,
            color=colour,
            capsize=3,
            label=label,
        )
        if control := [row for row in run["rows"] if row["phase"] == "control"]:
            falls.errorbar(
                [row["volume"] for row in control],
                [row["contrast_change"] for row in control],
                yerr=[row["contrast_change_se"] for row in control],
                marker=marker,
                mfc="white",
                color=colour,
                capsize=3,
                ls="none",
                label=f"{label}: control, both kinds",
            )
    _name_stages(stages, readings)
    for axes in (stages, falls):
        axes.axhline(0, color=SOFT, lw=0.8)
    stages.legend(frameon=False, fontsize=9)
    falls.legend(frameon=False, fontsize=8.5)
    return figure


def divergence_figure(readings: Sequence[RunReadings]) -> Figure:
    """D_KL(base || model) in bits per token on held-out text through the stages: a panel for each algorithm and direction.

    A style for each alignment volume, a line for each seed.
    """
    kinds = list(dict.fromkeys((run.get("algorithm", "sft"), run.get("direction", "forward")) for run in readings))
    volumes = sorted({run["align_volume"] for run in readings})
    styles = dict(zip(volumes, _cycle(len(volumes)), strict=True))
    figure = Figure(figsize=(max(7.2, 3.4 * len(kinds)), 3.4), layout="constrained")
    shared = None
    for index, (algorithm, direction) in enumerate(kinds):
        title = "divergence to the base" if len(kinds) == 1 else f"{algorithm}, {direction}"
        axes = _axes(figure, (1, len(kinds), index + 1), title, "", "" if index else "bits per token")
        if shared is not None:
            axes.sharey(shared)
        shared = shared or axes
        runs = [
            run for run in readings if (run.get("algorithm", "sft"), run.get("direction", "forward")) == kinds[index]
        ]
        named = set()
        for run in runs:
            rows = [row for row in run["rows"] if row["phase"] != "control"]
            marker, line, colour = styles[run["align_volume"]]
            label = None if run["align_volume"] in named else f"{run['align_volume']} aligned"
            named.add(run["align_volume"])
            x, y = range(len(rows)), [row["kl_forward"] for row in rows]
            axes.plot(x, y, marker=marker, ls=line, color=colour, lw=1.2, ms=4, label=label)
        _name_stages(axes, runs)
        if len(kinds) > 1:
            axes.tick_params(axis="x", labelsize=7.5)
        if not index:
            axes.legend(frameon=False, fontsize=9)
    return figure


def probe_figure(rows: Sequence[ProbeRow]) -> Figure:
    """R5 on the model: residual over bound against l for each k of the union (R5: in (0, 1); 1/2 as l -> 0)."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = _axes(figure, 111, "residual of the balance over its bound (R5)", "l = |D_t| / |D_a|", "residual / bound")
    union = [row for row in rows if row["case"] == "union"]
    for (marker, line, colour), row in zip(_cycle(len(union)), union, strict=True):
        axes.plot(
            row["perturbations"][1:], row["r5_ratio"], marker=marker, ls=line, color=colour, label=f"k = {row['k']:g}"
        )
    axes.axhline(0.5, color=SOFT, lw=0.8)
    axes.annotate(
        "1/2: sharp as l → 0", (0.99, 0.5), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9
    )
    axes.legend(frameon=False)
    return figure


def signs_figure(rows: Sequence[ProbeRow]) -> Figure:
    """dH_a/dl and k dH_p/dl against l, a panel for each case: the theorem wants the first above 0 and the second below."""
    cases = list(dict.fromkeys(row["case"] for row in rows))
    chosen = [next(row for row in rows if row["case"] == case) for case in cases]
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    for index, row in enumerate(chosen):
        axes = _axes(
            figure,
            (1, len(chosen), index + 1),
            f"{row['case']} (k = {row['k']:g})",
            "l",
            "" if index else "nats per token",
        )
        pretrain, align, _ = np.asarray(row["response"])
        axes.plot(row["perturbations"], align, marker="o", ls="-", color=STYLES[0][2], label="dH_a/dl")
        axes.plot(row["perturbations"], row["k"] * pretrain, marker="s", ls="--", color=STYLES[1][2], label="k dH_p/dl")
        axes.axhline(0, color=INK, lw=0.8)
        if not index:
            axes.legend(frameon=False, fontsize=9)
    return figure


def _name_stages(axes: Any, readings: Sequence[RunReadings]) -> None:
    """The stages that all runs share; how much a run was aligned by is in its label."""
    rows = [row for row in readings[0]["rows"] if row["phase"] != "control"]
    names = [f"{row['phase']}\n{row['volume']}" if row["phase"] == "perturb" else row["phase"] for row in rows]
    axes.set_xticks(range(len(names)), names, fontsize=8.5)


def _cycle(count: int) -> list[tuple[str, str, str]]:
    return [STYLES[index % len(STYLES)] for index in range(count)]


def published_figure(table1: Any, table3: Any) -> Figure:
    """The printed gaps of Table 1 by pair, sorted, and the reversal volumes of Table 3, on logarithmic axes."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    gaps = _axes(figure, 121, "a  Table 1: forward less inverse loss", "pair, sorted", "loss")
    back = _axes(figure, 122, "b  Table 3: examples that undo", "safe examples", "unsafe examples")
    place = 0
    for (marker, _, colour), (pair, rows) in zip(STYLES, table1.groupby("pair", sort=True), strict=False):
        values = np.sort((rows["forward_loss"] - rows["inverse_loss"]).to_numpy())
        gaps.plot(
            np.arange(place, place + values.size), values, marker=marker, ls="none", color=colour, label=str(pair)
        )
        place += values.size
    gaps.axhline(0, color=SOFT, lw=0.8)
    gaps.legend(frameon=False, fontsize=9, title="pair")
    for (marker, line, colour), (model, rows) in zip(STYLES, table3.groupby("model", sort=False), strict=False):
        x, y = rows["safe_examples"], rows["unsafe_examples_to_kl_below_0.01"]
        back.plot(x, y, marker=marker, ls=line, color=colour, label=str(model))
    _log_ticks(back.xaxis, sorted({int(value) for value in table3["safe_examples"]}))
    _log_ticks(back.yaxis, [100, 200, 500, 1000, 2000])
    back.legend(frameon=False, fontsize=9)
    return figure


def falls_figure(groups: Sequence[Mapping[str, Any]]) -> Figure:
    """F2 in numbers: first fall and depth by alignment volume, and what exceeds the control, with two standard errors.

    groups: the ``falls`` of rebound.json; one line for each (algorithm, direction).
    """
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    panels = (("first_fall", "a  first fall"), ("depth", "b  depth"), ("excess_depth", "c  beyond the control"))
    for place, (name, title) in enumerate(panels, 131):
        axes = _axes(figure, place, title, "aligned examples", "bits per token" if place == 131 else "")
        for (marker, line, colour), group in zip(_cycle(len(groups)), groups, strict=True):
            rows = (group.get(name) or {}).get("by_volume")
            if not rows:
                continue
            axes.errorbar(
                [row["align_volume"] for row in rows],
                [row["estimate"] for row in rows],
                yerr=[2 * row["se_documents"] for row in rows],
                marker=marker,
                ls=line,
                color=colour,
                capsize=3,
                label=f"{group['algorithm']}, {group['direction']}",
            )
        axes.axhline(0, color=SOFT, lw=0.8)
        _log_ticks(axes.xaxis, sorted({volume for group in groups for volume in group["align_volumes"]}))
    if groups:
        figure.axes[0].legend(frameon=False, fontsize=8.5)
    return figure
