"""How the deviations from R7 and R16 fall with the gradient that training has left, from saved paths of joint optima."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elastomath import InputError
from elastomath.figures import INK, STYLES, save_figure, styled

from .stationary import Stationarity, stationarity_table


@styled
def stationarity_figure(
    source: str | os.PathLike[str] | Sequence[Stationarity], target: str | os.PathLike[str]
) -> Path:
    """1 + cos, |ratio/k - 1| and the errors of K_pretrain and K_align against the relative gradient, both axes logarithmic.

    source: a file of `sim.stationary.save_paths`, or its rows. The lines of a slope 1 and 2 say what R7 expects: the ratio's
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
    for (name, values), (colour, marker, dashes) in zip(lines.items(), STYLES, strict=False):
        shown = np.maximum(values, 1e-16)  # an exact 0 has no place on the axis
        axes.loglog(left, shown, color=colour, marker=marker, linestyle=dashes, label=name)
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
