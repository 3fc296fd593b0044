"""Figures of curves: readable at 700 pixels, without colour, and the same bytes for the same readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..curve import COLUMNS, Curve, Run
from ..errors import InputError
from ..laws.finite import FiniteLaw, finite_law
from ..style import INK, STYLES, WIDTH, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    x: Array
    y: Array
    errors: Array | None = None


@styled
def curve_figure(curve: Curve) -> Figure:
    """``Delta gamma_i(l) = gamma_i(l) - gamma_i(0)`` of every component, a panel each, a line for each run.

    In rate_unit, against the perturbation in volume_unit; error bars are one standard error of the difference. Runs
    are named by the covariates in which they differ (seeds share a name and a style), each at the end of its line; more
    than eight names are drawn thin and grey with one label. Raises InputError as iterating over the curve does.

    >>> curve = Curve.from_paths("demo", {"pretrain": 10, "align": 1, "perturb": 1}, [0, 1],
    ...     {"pretrain": [1.0, 0.99], "align": [1.0, 1.05], "perturb": [1.0, 0.6]}, "bits/symbol", "symbols")
    >>> [axes.get_title(loc="left") for axes in curve_figure(curve).axes]
    ['pretrain', 'align', 'perturb']
    """
    runs = list(curve)
    names = _run_names(curve)
    components: list[str] = []
    for run in runs:
        components += [name for name in run.components if name not in components]
    components = [c for c in components if c != "perturb"] + [c for c in components if c == "perturb"]
    rate, volume = _unit({run.rate_unit for run in runs}), _unit({run.volume_unit for run in runs})
    what = "run" if len(runs) == 1 else f"{len(runs)} runs"
    title = "Change of the compression rate of each dataset as the perturbation grows"
    description = f"{what}, components {', '.join(components)}, in {rate}. " + _ends(runs, components)
    figure = _figure(len(components), 1.85, title, description)
    for axes, component in zip(figure.axes, components, strict=True):
        lines = []
        for run in runs:
            if component in run.components:
                row = run.components.index(component)
                change, errors = _change(run, row)
                lines.append(_Line(names[run.name], run.perturbations, change, errors))
        _draw(axes, lines)
        axes.set_title(component)
        axes.set_ylabel(f"Δγ, {rate}")
    figure.axes[-1].set_xlabel(f"perturbation, {volume}")
    figure.align_ylabels()
    return figure


@styled
def law_figure(law: FiniteLaw | Run) -> Figure:
    """R5: the residual ``sum_{i != t} w_i Delta gamma_i`` between its bounds 0 and ``l (gamma_t(0) - gamma_t(l))``.

    Above, both in volume times rate; below, their ratio, which lies in [0, 1], and in [0, 1/2] for mixtures. From a
    run the datasets are pretrain and align, at their nominal volumes, with error bars where rate_se is given, and the
    ratio only where the upper bound exceeds twice the standard error of its distance from the residual.
    Raises InputError for a run without pretrain, align and perturb.
    """
    error: Array | None = None
    wide: Array | None = None
    unit, volume, where = "volume × nats", "volume", ""
    if isinstance(law, Run):
        rows = _rows(law)
        unit, volume, where = f"{law.volume_unit} × {law.rate_unit}", law.volume_unit, f"{law.name}: "
        variance = law.rate_se[rows] ** 2 + law.rate_se[rows, :1] ** 2
        variance[:, 0] *= 0.0
        weights, steps = law.volumes[rows[:2]], law.perturbations
        law = finite_law(steps, weights, law.rates[rows])
        if not np.isnan(variance).any():
            error = np.sqrt(weights**2 @ variance[:2])
            wide = np.sqrt(error**2 + law.ratio**2 * steps**2 * variance[2])
    x, ratio = law.perturbations, law.ratio
    finite = np.isfinite(ratio)
    if error is not None and wide is not None:
        finite &= law.upper > 2.0 * wide
        wide = wide[finite] / law.upper[finite]
    title = (
        f"residual over upper bound from {ratio[finite].min():.3g} to {ratio[finite].max():.3g}"
        if finite.any()
        else "the bound nowhere stands out"
    )
    figure = _figure(2, 2.4, "The finite law: the residual against its two bounds", f"{where}{title}.")
    top, bottom = figure.axes
    top.fill_between(x, 0.0, np.maximum(law.upper, 0.0), color="#0072B2", alpha=0.10, linewidth=0)
    _draw(top, [_Line("residual", x, law.residual, error), _Line("upper bound", x, law.upper)], zero="lower bound")
    top.set_title("residual between its bounds")
    top.set_ylabel(unit)
    _draw(bottom, [_Line("", x[finite], ratio[finite], wide)], zero=None)
    levels = {"0": 0.0, "1/2 (mixtures)": 0.5, "1 (any class)": 1.0}
    for level in levels.values():
        bottom.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    low, high = bottom.get_ylim()
    bottom.set_ylim(min(low, -0.12), max(high, 1.15))
    _label_ends(bottom, levels, dict.fromkeys(levels, INK))
    bottom.set_title("residual / upper bound" + ("" if wide is None else ", where the bound stands out of the noise"))
    bottom.set_ylabel("ratio")
    bottom.set_xlabel(f"perturbation l, {volume}")
    figure.align_ylabels()
    return figure


@styled
def force_elongation_figure(run: Run, limit: tuple[float | None, float | None, float | None] | None = None) -> Figure:
    """``|D_i| Delta gamma_i`` of pretrain (sign turned round) and align against the perturbation.

    Volume times rate: equal lines are Hooke's law for springs in series, |D_1| Delta gamma_1 = |D_2| Delta gamma_2 in
    magnitude; the strip between them is the residual of R5. Error bars: one standard error, where rate_se is given.
    limit: (low, estimate, high) of the elastic limit, in volume_unit, drawn as a band and a line; None for an open end.
    Raises InputError for a run without pretrain, align and perturb.
    """
    rows = _rows(run)
    lines = []
    for sign, row, text in ((-1.0, rows[0], "pretrain: −|D| Δγ"), (1.0, rows[1], "align: |D| Δγ")):
        change, errors = _change(run, row)
        volume = float(run.volumes[row])
        lines.append(
            _Line(text, run.perturbations, sign * volume * change, None if errors is None else volume * errors)
        )
    last = [float(line.y[-1]) for line in lines]
    description = (
        f"{run.name}: at the largest perturbation pretrain gives {last[0]:.3g} and align {last[1]:.3g} "
        f"{run.volume_unit} times {run.rate_unit}."
    )
    figure = _figure(1, 3.3, "Force and elongation: volume times change of rate", description)
    axes = figure.axes[0]
    axes.fill_between(run.perturbations, lines[0].y, lines[1].y, color="#5B5B5B", alpha=0.13, linewidth=0)
    _draw(axes, lines)
    if limit is not None:
        low, estimate, high = limit
        start, end = low or 0.0, float(run.perturbations[-1]) if high is None else high
        axes.axvspan(start, end, facecolor="none", edgecolor=INK, hatch="///", alpha=0.25, linewidth=0)
        if estimate is not None:
            axes.axvline(estimate, color=INK, linewidth=1.0, linestyle=":")
            axes.annotate(
                "elastic limit", (estimate, 1.0), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right"
            )
    axes.set_title("volume × change of rate; grey: the residual")
    axes.set_ylabel(f"{run.volume_unit} × {run.rate_unit}")
    axes.set_xlabel(f"perturbation, {run.volume_unit}")
    return figure


def _figure(panels: int, height: float, title: str, description: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 0.55 + height * panels), layout="constrained")
    figure.set_label(f"{title}\n{description}")
    figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure


def _draw(axes: Axes, lines: Sequence[_Line], zero: str | None = "") -> None:
    """Lines with markers and error bars, each group's name beside their ends; a rule at 0 with the name ``zero``."""
    groups = list(dict.fromkeys(line.label for line in lines))
    crowd = len(groups) > len(STYLES)
    ends: dict[str, list[float]] = {}
    for line in lines:
        colour, marker, dashes = ("#5B5B5B", "", "-") if crowd else STYLES[groups.index(line.label)]
        axes.plot(
            line.x,
            line.y,
            color=colour,
            marker=marker,
            linestyle=dashes,
            alpha=0.5 if crowd else 1.0,
            linewidth=0.8 if crowd else None,
            markerfacecolor="white" if not crowd and groups.index(line.label) % 2 else None,
        )
        if line.errors is not None:
            axes.errorbar(line.x, line.y, line.errors, fmt="none", ecolor=colour, elinewidth=1.0, capsize=2.5)
        if line.label and line.y.size:
            ends.setdefault(line.label, []).append(float(line.y[-1]))
    if zero is not None:
        axes.axhline(0.0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.margins(x=0.02, y=0.12)
    if crowd:
        axes.annotate(f"{len(lines)} runs", (1.01, 0.5), xycoords="axes fraction", va="center")
        return
    names = {label: float(np.mean(values)) for label, values in ends.items()} if len(groups) > 1 else {}
    colours = {label: STYLES[index][0] for index, label in enumerate(groups)}
    if zero:
        names, colours = names | {zero: 0.0}, colours | {zero: INK}
    _label_ends(axes, names, colours)


def _label_ends(axes: Axes, ends: dict[str, float], colours: dict[str, str]) -> None:
    """Names in the right margin at the height of the line's end, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    inches = axes.get_position().height * axes.get_figure().get_figheight()  # type: ignore[union-attr]
    gap = 0.19 / max(inches, 0.5)
    order = sorted(ends, key=lambda label: ends[label])
    places = _apart(np.array([(ends[label] - low) / (high - low) for label in order]), gap)
    for label, place in zip(order, places, strict=True):
        axes.annotate(
            label,
            (1.012, float(place)),
            xycoords="axes fraction",
            va="center",
            color=colours[label],
            annotation_clip=False,
        )


def _apart(places: Array, gap: float) -> Array:
    """Rising places moved as little as needed to stand ``gap`` apart (least squares, by pooling neighbours).

    >>> _apart(np.array([0.0, 0.0, 1.0]), 0.2).round(3)
    array([-0.1,  0.1,  1. ])
    """
    shifted = places - gap * np.arange(places.size)
    blocks: list[list[float]] = []
    for value in shifted:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            upper, lower = blocks.pop(), blocks.pop()
            size = upper[1] + lower[1]
            blocks.append([(upper[0] * upper[1] + lower[0] * lower[1]) / size, size])
    level = np.concatenate([np.full(int(size), value) for value, size in blocks]) if blocks else shifted
    return np.asarray(level + gap * np.arange(places.size), dtype=np.float64)


def _change(run: Run, row: int) -> tuple[Array, Array | None]:
    errors = run.rate_se[row]
    change = run.rates[row] - run.rates[row, 0]
    if np.isnan(errors).any():
        return change, None
    spread = np.sqrt(errors**2 + errors[0] ** 2)
    spread[0] = 0.0
    return change, spread


def _rows(run: Run) -> list[int]:
    missing = [name for name in ("pretrain", "align", "perturb") if name not in run.components]
    if missing:
        raise InputError(
            f"no component {' and no '.join(missing)}",
            where=f"run {run.name}",
            mend="the law needs readings of pretrain, align and perturb",
        )
    return [run.components.index(name) for name in ("pretrain", "align", "perturb")]


def _run_names(curve: Curve) -> dict[str, str]:
    """Run -> the covariates in which the runs differ, but for the seed; the run's own name where that says nothing."""
    first = curve.frame.drop_duplicates("run").set_index("run")
    telling = [
        column
        for column in first.columns
        if column not in COLUMNS and column != "seed" and first[column].nunique(dropna=False) > 1
    ]
    names = {}
    for run in curve.runs:
        parts = [f"{column} = {_short(first.at[run, column])}" for column in telling]
        names[run] = ", ".join(parts) if parts and sum(map(len, parts)) <= 24 else run
    if len(curve.runs) > 1 and not telling and "seed" in first.columns:
        return dict.fromkeys(curve.runs, "")
    return {run: name if len(name) <= 26 else name[:12] + "…" + name[-12:] for run, name in names.items()}


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)


def _unit(units: set[str]) -> str:
    return units.pop() if len(units) == 1 else "mixed units"


def _ends(runs: Sequence[Run], components: Sequence[str]) -> str:
    parts = []
    for component in components:
        last = [
            float(run.rates[run.components.index(component), -1] - run.rates[run.components.index(component), 0])
            for run in runs
            if component in run.components
        ]
        span = f"{last[0]:.3g}" if len(last) == 1 else f"{min(last):.3g} to {max(last):.3g}"
        parts.append(f"{component} {span}")
    return "At the largest perturbation: " + ", ".join(parts) + "."
