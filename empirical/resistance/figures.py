"""The figure of the protocol `resistance`, from the JSON that it saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from elastomath.errors import InputError
from elastomath.style import INK, STYLES, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elastomath.runs.conduct import ProtocolSummary

    from .excess import Gap

GAPS: Final = (
    ("held_out_loss", "loss after training"),
    ("level", "of it: level of the targets"),
    ("excess_after", "of it: excess code length"),
    ("excess_before", "excess before training"),
    ("same_target", "loss on the same target D₂"),
)
"""Gaps of the resistance protocol in the order of the figure: (key, name)."""


@styled
def resistance_figure(result: ProtocolSummary) -> Figure:
    """F1 in two panels: the gaps forward less inverse, pooled, and the excess code lengths of every pair and seed.

    result: what ``resistance.json`` holds. A thick line is the 95% interval over documents for the trained weights, a thin
    one over seeds (an arrow where a single seed leaves it open, or where it leaves the panel), small marks are the seeds.
    Below, a pair's inverse and forward excess are joined, hollow before and filled after training.
    Raises InputError for a result without pooled gaps.
    """
    from matplotlib.figure import Figure

    if not result.get("pooled"):
        raise InputError("no pooled gaps", where="figure", mend="give what resistance.json holds")
    pooled = [(name, result["pooled"][key]) for key, name in GAPS if key in result["pooled"]]
    gaps = ", ".join(f"{name} {gap['estimate']:+.4f}" for name, gap in pooled)
    figure = Figure(figsize=(7.0, 6.6), layout="constrained")
    figure.set_label(f"Resistance: forward less inverse\nBits per token, mean over pairs and seeds: {gaps}.")
    top, bottom = figure.subplots(2, 1, height_ratios=[1.0, 1.1])
    _gap_panel(top, pooled)
    _excess_panel(bottom, result["pairs"])
    return figure


def _gap_panel(axes: Axes, pooled: list[tuple[str, Gap]]) -> None:
    ends = [abs(gap["over_documents"][end] or 0.0) for _, gap in pooled for end in ("low", "high")]
    ends += [abs(value) for _, gap in pooled for value in gap["seeds"]]
    most = 1.25 * max(*ends, 1e-6)
    for place, (_, gap) in enumerate(pooled):
        row = -place
        documents, seeds = gap["over_documents"], gap["over_seeds"]
        low, high = (
            -np.inf if seeds["low"] is None else seeds["low"],
            np.inf if seeds["high"] is None else seeds["high"],
        )
        axes.plot([max(low, -most), min(high, most)], [row, row], color=INK, linewidth=1.0)
        for end, sign, tip in ((low, -1, "<"), (high, 1, ">")):
            if abs(end) > most:
                axes.plot(sign * most, row, marker=tip, color=INK, clip_on=False)
            else:
                axes.plot(end, row, marker="|", color=INK)
        colour = STYLES[0][0]
        span = np.array([documents["low"], documents["high"]], dtype=np.float64)
        axes.plot(span, [row, row], color=colour, linewidth=4.5, alpha=0.55)
        axes.plot(gap["seeds"], [row + 0.22] * len(gap["seeds"]), ".", color=INK, markersize=5)
        axes.plot(gap["estimate"], row, marker="o", color=colour, markeredgecolor="white", markersize=7)
    axes.axvline(0.0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.set_yticks([-place for place in range(len(pooled))], [name for name, _ in pooled])
    axes.set_xlim(-1.05 * most, 1.05 * most)
    axes.set_xlabel("forward less inverse, bits/token (F1 wants it right of 0)")
    axes.set_title("thick: documents; thin: seeds; dots: each seed")


def _excess_panel(axes: Axes, pairs: list[dict[str, Any]]) -> None:
    labels = []
    for place, row in enumerate(pairs):
        for index, (when, filled) in enumerate((("before", False), ("after", True))):
            inverse, forward = (row[f"excess_{when}_{name}"] for name in ("inverse", "forward"))
            x = place + (-0.16 if index == 0 else 0.16)
            axes.plot([x, x], [inverse["estimate"], forward["estimate"]], color=INK, linewidth=0.9)
            for value, (colour, marker, _), name in (
                (inverse, STYLES[0], "inverse (further slice → D of the nearer)"),
                (forward, STYLES[1], "forward (nearer slice → D of the further)"),
            ):
                axes.errorbar(
                    x,
                    value["estimate"],
                    value["se"],
                    fmt=marker,
                    color=colour,
                    markerfacecolor=colour if filled else "white",
                    elinewidth=1.0,
                    capsize=2.0,
                    label=name if filled and place == 0 else None,
                )
        labels.append(f"{row['near']}, {row['far']}\nseed {row['seed']}")
    axes.axhline(0.0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xticks(range(len(pairs)), labels)
    axes.set_ylabel("excess code length, bits/token")
    axes.set_title("excess of each pair: hollow before training, filled after")
    axes.margins(y=0.16)
    axes.legend(frameon=False, loc="best", fontsize=9)
