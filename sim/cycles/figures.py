"""Figures of simulated life cycles, from saved curves and records: residual and constant, undoing, resistance, Hooke."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elastomath import Curve, InputError
from elastomath.arrays import Array
from elastomath.curve import Run
from elastomath.style import INK, STYLES, plain_ticks, save_figure, series, styled

from .stationary import Stationarity, stationarity_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = len(STYLES)
"""Groups that one panel can tell apart."""


@styled
def balance_figure(curve: Curve, by: str = "k") -> Figure:
    """Thm 4.2 and R5 along l: ``-DeltaH_a/(k DeltaH_p)``, and ``(k DeltaH_p + DeltaH_a) / (L (H_t(0) - H_t(L)))``.

    A line is the median over the runs of one value of the covariate ``by`` at each l; thin lines are single runs, cut off
    where nine tenths of the readings end. The bound and its half (mixtures) are dashed.

    Raises InputError for a covariate that the curve lacks or that has too many values.
    """
    figure, (upper, lower) = _panels(2, "Balance along the perturbation", f"Median of the runs of each {by}.")
    ends: tuple[list[Array], list[Array]] = ([], [])
    for index, (value, runs) in enumerate(_groups(curve, by)):
        constants: list[Array] = []
        residuals: list[Array] = []
        for run in runs:
            k, steps = run.volumes[0], run.perturbations[1:]
            change = run.rates[:, 1:] - run.rates[:, :1]
            align = run.volumes[1]
            with np.errstate(divide="ignore", invalid="ignore"):
                constants.append(-align * change[1] / (k * change[0]))
                residuals.append((k * change[0] + align * change[1]) / (steps * -change[2]))
        _median_line(upper, index, f"{by} = {value}", runs, constants)
        _median_line(lower, index, f"{by} = {value}", runs, residuals)
        ends[0].extend(constants)
        ends[1].extend(residuals)
    _cut(upper, ends[0], (1.0,))
    _cut(lower, ends[1], (0.0, 1.0))
    upper.axhline(1.0, color=INK, linewidth=0.8)
    upper.set(ylabel="−n ΔH_a / (k ΔH_p)")
    upper.set_title("the constant of Thm 4.2, finite l")
    for bound in (0.0, 0.5, 1.0):
        lower.axhline(bound, color=INK, linewidth=0.8, linestyle="-" if bound == 0 else "--")
    lower.set(ylabel="residual / bound", xlabel="l, in the unit of the curve")
    lower.set_title("R5: from 0 to 1, mixtures to 1/2")
    upper.legend(frameon=False, fontsize=9)
    return figure


@styled
def undoing_figure(records: Sequence[Mapping[str, Any]], by: str = "dynamics") -> Figure:
    """The volume of D_t that undoes alignment, and the volume of D_a that brings it back, against the alignment volume n.

    records: ``runs`` of a sweep's JSON file. A mark is a run, with its bracket; an arrow never came back. The dashed line has slope
    1: R13's m* is linear in n. Raises InputError where no volume was looked for.
    """
    figure, axes = _panels(2, "Undoing and coming back", f"Volumes against the alignment volume, for each {by}.")
    labels: list[str] = []
    aligned = []
    for row in records:
        label = str(_value(row, by))
        labels += [label] if label not in labels else []
        marks = series(labels.index(label), line=False)
        for entry in row["record"]["runs"]:
            for panel, name in zip(axes, ("undo", "back"), strict=True):
                undone = entry.get(name)
                if undone is None:
                    continue
                n, volume = entry["volumes"][1], undone["volume"]
                aligned.append(n)
                if volume is None:
                    panel.plot(n, undone["low"], marker="^", color=marks["color"], markerfacecolor="white")
                elif volume > 0:
                    panel.plot([n, n], [max(undone["low"], 1e-12), undone["high"]], color=marks["color"], linewidth=1.0)
                    panel.plot(n, volume, **marks)
    if not aligned:
        raise InputError("no volume of a way back", where="figure", mend="run the life cycles with inverse=True")
    for panel, title in zip(
        axes, ("D_t that undoes alignment (R13's m*)", "more D_a that brings it back"), strict=True
    ):
        panel.set(xscale="log", yscale="log", ylabel="volume, |D_a| = 1")
        plain_ticks(panel.yaxis, dense=True)
        panel.set_title(title)
    ends = np.array([min(aligned), max(aligned)])
    axes[0].plot(ends, ends, color=INK, linewidth=0.8, linestyle="--")
    axes[1].set(xlabel="alignment volume n")
    plain_ticks(axes[1].xaxis, dense=True)
    _legend(axes[0], labels)
    return figure


@styled
def resistance_figure(records: Sequence[Mapping[str, Any]], by: str = "dynamics") -> Figure:
    """F1: inverse against forward alignment, in final loss and in excess code length; below the line, inverse ends lower.

    records: ``runs`` of a sweep's JSON file; a mark is a pair of slices of a run. Raises InputError where no run has resistance.
    """
    figure, axes = _panels(
        2, "Resistance", "Inverse against forward alignment, a mark for each pair of slices.", share=False
    )
    labels: list[str] = []
    for row in records:
        resistance = row["record"].get("resistance")
        if resistance is None:
            continue
        label = str(_value(row, by))
        labels += [label] if label not in labels else []
        for pair in resistance["pairs"]:
            for panel, name in zip(axes, ("loss", "excess"), strict=True):
                panel.plot(pair["forward"][name], pair["inverse"][name], **series(labels.index(label), line=False))
    if not labels:
        raise InputError("no run has resistance", where="figure", mend="run the sweep with --resistance")
    for panel, name in zip(axes, ("final loss", "excess code length"), strict=True):
        low, high = min(panel.get_xlim()[0], panel.get_ylim()[0]), max(panel.get_xlim()[1], panel.get_ylim()[1])
        panel.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle="--")
        panel.set(xlabel=f"forward: {name}, nats per leaf", ylabel="inverse")
        panel.set_title(f"{name}: below the line, inverse alignment ends lower")
    _legend(axes[0], labels)
    return figure


@styled
def hooke_figure(records: Sequence[Mapping[str, Any]], by: str = "dynamics") -> Figure:
    """Hooke in both directions: k times the change of the divergence of D_p against minus n times that of D_a.

    Above, ``KL(P_i || q)`` (forward, exact balance R2); below, ``KL(q || P_i)`` (the formula of the paper). On the dashed line the forces
    are equal. records: ``runs`` of a sweep's JSON file; a line is a life cycle. Raises InputError where nothing can be drawn.
    """
    figure, axes = _panels(
        2, "Force against force", f"Volume times the change of divergence, for each {by}.", share=False
    )
    labels: list[str] = []
    drawn = [False, False]
    for row in records:
        label = str(_value(row, by))
        labels += [label] if label not in labels else []
        for entry in row["record"]["runs"]:
            k, n, _ = entry["volumes"]
            for panel, name in enumerate(("entropies", "reverse")):
                values = entry[name]
                if values is None or any(value is None for line in values[:2] for value in line):
                    continue
                change = np.array(values[:2], dtype=np.float64)
                change -= change[:, :1]
                axes[panel].plot(-k * change[0], n * change[1], **series(labels.index(label)))
                drawn[panel] = True
    if not drawn[0]:
        raise InputError("no life cycle to draw", where="figure", mend="give the runs of a sweep's JSON file")
    for panel, title in zip(axes, ("forward: KL(P_i || q)", "reverse: KL(q || P_i)"), strict=True):
        low, high = panel.get_xlim()
        panel.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle="--")
        panel.set(xlabel="−k Δ of D_p, volume × nats", ylabel="n Δ of D_a, volume × nats")
        panel.set_title(title)
    _legend(axes[0], labels)
    return figure


def _panels(count: int, title: str, description: str, share: bool = True) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.5 + 2.9 * count), layout="constrained")
    figure.set_label(f"{title}\n{description}")
    return figure, figure.subplots(count, 1, sharex=share)


def _groups(curve: Curve, by: str) -> list[tuple[Any, list[Run]]]:
    if by not in curve.frame.columns:
        raise InputError(f"no covariate {by!r}", where="figure", mend="choose a column of the curve")
    values = curve.frame.groupby("run")[by].first()
    groups: dict[Any, list[Run]] = {}
    for run in curve:
        groups.setdefault(values[run.name], []).append(run)
    if len(groups) > LINES:
        raise InputError(
            f"{len(groups)} values of {by}", where="figure", mend=f"choose a covariate with at most {LINES}"
        )
    return sorted(groups.items(), key=lambda item: (isinstance(item[0], str), item[0]))


def _median_line(axes: Axes, index: int, label: str, runs: list[Run], values: list[Array]) -> None:
    readings: dict[float, list[float]] = {}
    for run, line in zip(runs, values, strict=True):
        if len(runs) > 1:
            axes.plot(run.perturbations[1:], line, color=STYLES[index][0], linewidth=0.5, alpha=0.5)
        for step, value in zip(run.perturbations[1:].tolist(), line.tolist(), strict=True):
            if np.isfinite(value):
                readings.setdefault(step, []).append(value)
    steps = sorted(readings)
    medians = [float(np.median(readings[step])) for step in steps]
    axes.plot(steps, medians, **series(index), label=label)


def _cut(axes: Axes, values: list[Array], kept: tuple[float, ...]) -> None:
    """Show nine tenths of the values, and ``kept``: a constant over a change near zero may be anything."""
    pooled = np.concatenate(values)
    pooled = pooled[np.isfinite(pooled)]
    if pooled.size:
        low, high = np.quantile(pooled, [0.05, 0.95])
        low, high = min(low, *kept, high), max(high, *kept, low)
        axes.set_ylim(low - 0.08 * (high - low + 1e-9), high + 0.08 * (high - low + 1e-9))


def _legend(axes: Axes, labels: list[str]) -> None:
    for index, label in enumerate(labels[:LINES]):
        axes.plot([], [], **series(index, line=False), label=label)
    axes.legend(frameon=False, fontsize=9)


def _value(row: Mapping[str, Any], by: str) -> Any:
    configuration = row["configuration"]
    for part in (configuration, configuration["cycle"], configuration["source"], configuration["settings"]):
        if by in part:
            return part[by]
    raise InputError(f"no setting {by!r}", where="figure", mend="choose a setting of the runs, e.g. dynamics")


# How the deviations from R7 and R16 fall with the gradient that training has left, from saved paths of joint optima.


@styled
def stationarity_figure(
    source: str | os.PathLike[str] | Sequence[Stationarity], target: str | os.PathLike[str]
) -> Path:
    """1 + cos, |ratio/k - 1| and the errors of K_pretrain and K_align against the relative gradient, both axes logarithmic.

    source: a file of `sim.cycles.stationary.save_paths`, or its rows. The lines of a slope 1 and 2 say what R7 expects: the ratio's
    error is first order in the gradient that is left, the cosine's second. Raises InputError where there is no row.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    rows = stationarity_table(source) if isinstance(source, str | os.PathLike) else list(source)
    if not rows:
        raise InputError("no paths to draw", where="stationarity figure", mend="save one at least")
    rows.sort(key=lambda row: row.relative)
    left = np.array([row.relative for row in rows])
    lines = {
        "1 + cosine of the gradients": [row.one_plus_cosine for row in rows],
        "ratio against k": [abs(row.ratio / row.nominal - 1) for row in rows],
        "K_pretrain against nominal": [abs(row.errors[0]) for row in rows],
        "K_align against nominal": [abs(row.errors[1]) for row in rows],
    }
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, (name, values) in enumerate(lines.items()):
        shown = np.maximum(values, 1e-16)  # an exact 0 has no place on the axis
        axes.loglog(left, shown, **series(index), label=name)
    guide = np.geomspace(left[0], left[-1], 200) if left[0] < left[-1] else left
    for power, dashes in ((1, (0, (1, 2))), (2, (0, (6, 3)))):
        shown = guide**power
        axes.loglog(
            guide[shown > 1e-16],
            shown[shown > 1e-16],
            color=INK,
            linewidth=0.8,
            linestyle=dashes,
            label=f"slope {power}",
        )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axes.set_xlabel("gradient left, in units of the force of alignment")
    axes.set_ylabel("deviation")
    axes.set_title("The laws hold as far as training goes")
    axes.legend(frameon=False, fontsize=9)
    return save_figure(figure, target)
