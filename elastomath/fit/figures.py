"""Figures of a fit, made from its JSON: the constants against the nominal ones, and what the rival laws miss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..shown import number_of
from ..style import INK, STYLES, WIDTH, plain_ticks, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .constants import GroupConstants
    from .result import RunFit
    from .summary import Summary

LINES = 8
"""Runs that are drawn as courses."""
ROWS = 40
"""Settings that a forest plot has."""


@styled
def constants_figure(result: dict[str, Any]) -> Figure:
    """kappa = K_p/K_a of each run against the nominal k, both logarithmic, with its interval.

    result: of `fit`. An end that the data do not bound is an arrow; a run without an estimate is left out. The line is
    kappa = k, joint compression. Raises InputError where no run has an estimate.

    >>> from sim import simulate_mixture
    >>> from elastomath.fit.fit import fit
    >>> constants_figure(fit(simulate_mixture([2, 10], points=6, leaves=64))).axes[0].get_xscale()
    'log'
    """
    from matplotlib.figure import Figure

    runs = [run for run in result["runs"] if run["kappa"]["estimate"]]
    if not runs:
        raise InputError("no run has an estimate of kappa", where="figure", mend="measure larger or more perturbations")
    k = np.array([run["nominal_kappa"] for run in runs])
    kappa = np.array([run["kappa"]["estimate"] for run in runs])
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    beta = result["pooled"]["beta"]
    slope = "" if beta is None else f" Exponent beta {beta['estimate']:.3g} ({beta['low']:.3g} to {beta['high']:.3g})."
    figure.set_label(
        f"Effective against nominal stiffness\nkappa of {number_of(len(runs), 'run')} against k = |D_p|/|D_a|.{slope}"
    )
    axes = figure.subplots()
    ends = np.array([min(k.min(), kappa.min()) / 1.5, max(k.max(), kappa.max()) * 1.5])
    axes.plot(ends, ends, color=INK, linewidth=1.0, linestyle="--")
    axes.annotate("κ = k", (ends[1], ends[1]), ha="right", va="top", xytext=(-6, -2), textcoords="offset points")
    colour, marker, _ = STYLES[0]
    for run, x, y in zip(runs, k, kappa, strict=True):
        low, high = run["kappa"]["low"], run["kappa"]["high"]
        axes.plot([x, x], [low or ends[0], high or ends[1]], color=colour, linewidth=1.0)
        for end, place, tip in ((low, ends[0], "v"), (high, ends[1], "^")):
            if end is None:
                axes.plot(x, place, marker=tip, color=colour, markerfacecolor="white")
        axes.plot(x, y, marker=marker, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="nominal k = |D_p| / |D_a|", ylabel="κ = K_p / K_a")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set_title("effective volumes; arrows: open ends")
    return figure


def run_figure(fitted: RunFit) -> Figure:
    """`constants_figure` of one run."""
    return constants_figure({"runs": [fitted.as_dict()], "pooled": {"beta": None}})


@styled
def models_figure(result: dict[str, Any]) -> Figure:
    """Held-out error of each law, along the perturbation (filled) and over runs (open), logarithmic; the chosen one is named.

    result: of `fit`. Raises InputError where no law could be compared.
    """
    from matplotlib.figure import Figure

    models = [model for model in result["models"] if model["heldout_error"] is not None]
    if not models:
        raise InputError(
            "no law could be compared", where="figure", mend="measure more perturbations, in one rate_unit"
        )
    figure = Figure(figsize=(7.0, 0.9 + 0.42 * len(models)), layout="constrained")
    chosen = next((model["name"] for model in models if model["chosen"]), "none")
    figure.set_label(
        f"What the rival laws miss\nRoot mean square held-out error of {len(models)} laws; chosen: {chosen}."
    )
    axes = figure.subplots()
    for place, model in enumerate(models):
        for key, (colour, marker, _), face in (
            ("heldout_error", STYLES[0], None),
            ("heldout_runs", STYLES[1], "white"),
        ):
            if model[key] is not None:
                axes.plot(max(model[key], 1e-15), place, marker=marker, color=colour, markerfacecolor=face or colour)
    names = [model["name"] + (" (chosen)" if model["chosen"] else "") for model in models]
    axes.set(
        xscale="log", yticks=range(len(models)), yticklabels=names, xlabel="held-out error, in the unit of the rates"
    )
    plain_ticks(axes.xaxis)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_title("● along the perturbation   □ over runs")
    return figure


@styled
def courses_figure(summary: Summary) -> Figure:
    """The measure against the volume of the perturbation, a line a run (up to `LINES`), with its smoothed course.

    A mark shows where it is back at its base. Dots are readings; the line is what the undo volume is read from.
    """
    from matplotlib.figure import Figure

    runs = summary.runs[:LINES]
    course = runs[0].course
    more = f" (the first {LINES} of {len(summary.runs)} runs)" if len(summary.runs) > LINES else ""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    figure.set_label(
        f"What a perturbation takes\n{course.measure} of {number_of(len(runs), 'run')} against the volume of the perturbation{more}."
    )
    axes = figure.subplots()
    for index, run in enumerate(runs):
        colour, marker, line = STYLES[index % len(STYLES)]
        along = run.course
        axes.plot(along.volumes, along.values, marker=marker, color=colour, linestyle="", label=along.run)
        if along.values.size > 1:
            places = np.linspace(along.volumes[0], along.volumes[-1], 200)
            axes.plot(places, along.smoothed().at(places), color=colour, linestyle=line)
        if run.undo_volume is not None and run.undo_volume.estimate is not None:
            axes.plot(run.undo_volume.estimate, along.level, marker="|", markersize=14, color=colour)
    axes.set(
        xlabel=f"perturbation ({_together(along.course.volume_unit for along in runs)})",
        ylabel=f"{_together(along.course.measure for along in runs)} ({_together(along.course.unit for along in runs)})",
    )
    axes.set_title("marks: back where it was before alignment")
    axes.legend(fontsize=8, frameon=False)
    return figure


def _together(words: Iterable[str]) -> str:
    """Each word once."""
    return ", ".join(dict.fromkeys(words))


@styled
def undo_figure(summary: Summary) -> Figure:
    """The undo volume against the alignment volume, both logarithmic, a line a setting; an arrow where it was not reached."""
    from matplotlib.figure import Figure

    settings: dict[str, list[GroupConstants]] = {}
    for group in summary.groups:
        if group.undo_volume is not None and group.align:
            settings.setdefault(group.label, []).append(group)
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    exponent = summary.answers.exponent
    words = "" if exponent is None else f" Exponent {exponent.best}."
    figure.set_label(
        f"What undoes an alignment\nUndo volume against alignment volume in {number_of(len(settings), 'setting')}.{words}"
    )
    axes = figure.subplots()
    for index, (label, groups) in enumerate(settings.items()):
        colour, marker, line = STYLES[index % len(STYLES)]
        known = []
        for group in sorted(groups, key=lambda group: group.align or 0.0):
            assert group.undo_volume is not None
            undo, n = group.undo_volume.best, group.align or 1.0
            if undo.estimate is not None:
                known.append((n, undo.estimate))
            if undo.low is not None and undo.high is not None:
                axes.plot([n, n], [undo.low, undo.high], color=colour, linewidth=1.0)
            elif undo.low is not None:
                axes.plot(n, undo.low, marker="^", color=colour, markerfacecolor="white")
        if known:
            axes.plot(*zip(*known, strict=True), marker=marker, color=colour, linestyle=line, label=label or "all runs")
    unit = _together(run.course.volume_unit for run in summary.runs)
    axes.set(xscale="log", yscale="log", xlabel=f"aligned ({unit})", ylabel=f"undone by ({unit})")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis, dense=True)
    axes.set_title("undo volume; open arrows: more than this")
    if axes.lines and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
    return figure


@styled
def forest_figure(summary: Summary) -> Figure:
    """Half-life (open) and undo volume (filled) of each setting with their intervals, a row each; an arrow where one end is open."""
    from matplotlib.figure import Figure

    groups = [group for group in summary.groups if group.undo_volume is not None][:ROWS]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.3 * len(groups)), layout="constrained")
    figure.set_label(f"Half-life and undo volume\nOf {number_of(len(groups), 'setting')}, each with its interval.")
    axes = figure.subplots()
    for place, group in enumerate(groups):
        for spread, (colour, marker, _), filled, shift in (
            (group.half_life, STYLES[1], False, -0.15),
            (group.undo_volume, STYLES[0], True, 0.15),
        ):
            if spread is None:
                continue
            interval = spread.best
            ends = [x for x in (interval.low, interval.estimate, interval.high) if x is not None]
            if ends:
                axes.plot([ends[0], ends[-1]], [place + shift] * 2, color=colour, linewidth=1.2)
                if interval.estimate is None:  # a bound: the end that is there
                    marker = "<" if interval.low is None else ">"
                axes.plot(
                    ends[0] if interval.estimate is None else interval.estimate, place + shift, marker=marker, color=colour,
                    markerfacecolor=colour if filled else "white",
                )  # fmt: skip
    unit = _together(run.course.volume_unit for run in summary.runs)
    names = [
        ", ".join(part for part in (g.label, f"n = {g.align:g}" if g.align else "") if part) or "all" for g in groups
    ]
    axes.set(xscale="log", yticks=range(len(groups)), yticklabels=names, xlabel=f"perturbation ({unit})")
    axes.set_ylim(len(groups) - 0.5, -0.5)
    plain_ticks(axes.xaxis, dense=True)
    axes.set_title("□ half undone   ● undone   > more than this   < less than this")
    return figure
