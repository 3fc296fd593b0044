"""Figures of leaf masses: the verdict on A.7 by depth, and the distribution of counts beside the laws fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..style import INK, LOOK, STYLES, WIDTH
from .verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def verdict_figure(rows: Sequence[Verdict], unit: str = "symbols") -> Figure:
    """Tail indices with their intervals against depth (above), and the distance of each law from the data (below).

    Three laws: Pareto over all leaves, Pareto above the chosen threshold, and, for counts, Pareto masses behind sampled
    counts. The line at alpha = 1 is A.7's mean. Raises InputError for no row.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    if not rows:
        raise InputError("no verdict", where="figure", mend="pass the rows of pareto_verdict")
    depths = [row.depth if row.depth is not None else index + 1 for index, row in enumerate(rows)]
    laws: dict[str, list[tuple[float, float, float, float]]] = {
        "all leaves": [(r.whole.alpha, r.whole.low, r.whole.high, r.whole.distance) for r in rows],
        "tail": [(r.tail.alpha, *r.tail_interval, r.tail.distance) for r in rows],
    }
    intervals = [(row.sampled, row.sampled_interval) for row in rows]
    behind = [(s.alpha, *ends, s.distance) for s, ends in intervals if s is not None and ends is not None]
    if len(behind) == len(rows):
        laws["masses, sampled"] = behind
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(LOOK)
        figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
        title = "; ".join(f"depth {d}: {row.verdict}" for d, row in zip(depths, rows, strict=True))
        figure.set_label(f"Assumption A.7: tail index and distance by depth\n{title}.")
        top, bottom = figure.subplots(2, 1, sharex=True)
        for (name, law), (colour, marker, line) in zip(laws.items(), STYLES, strict=False):
            alpha, low, high, gap = np.array(law).T
            errors = np.maximum([alpha - low, high - alpha], 0.0)
            top.errorbar(depths, alpha, errors, color=colour, marker=marker, linestyle=line, capsize=2.5, label=name)
            bottom.plot(depths, gap, color=colour, marker=marker, linestyle=line, label=name)
        top.axhline(1.0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        top.set_title("tail index alpha; a mean needs alpha > 1")
        top.set_ylabel("alpha")
        top.set_yscale("log")
        top.legend(frameon=False)
        bottom.set_title("largest gap between data and law")
        bottom.set_ylabel("distance")
        bottom.set_yscale("log")
        bottom.set_xlabel(f"depth, {unit}")
        bottom.set_xticks(depths)
        for axes in (top, bottom):  # powers would be written in TeX, which our look takes as plain text
            for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                ticks(FuncFormatter(_plain))
    return figure


def _plain(value: float, _: int | None) -> str:
    """1, 2 and 5 times a power of ten as numbers; the ticks between are left without a name."""
    return f"{value:g}" if f"{value:.0e}"[0] in "125" else ""
