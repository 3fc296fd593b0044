"""Figures of the protocols `resistance` and `inversion`, from the JSON that they saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from elastomath.errors import InputError
from elastomath.figures import INK, STYLES, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAPS: Final = (
    ("held_out_loss", "loss after training"),
    ("level", "of it: level of the targets"),
    ("excess_after", "of it: excess code length"),
    ("excess_before", "excess before training"),
    ("same_target", "loss on the same target D₂"),
)
"""Gaps of the resistance protocol in the order of the figure: (key, name)."""
LEGS: Final = (
    ("way up", "way up from the base"),
    ("forward", "60% to 90%, fresh"),
    ("inverse", "90% to 60%, opposed text"),
    ("control", "90% down, text of both kinds"),
    ("descent", "100% down, opposed text"),
    ("again", "back up from the descent"),
)
"""Legs of the inversion protocol in the order of the figure: (key, name)."""


@styled
def resistance_figure(result: dict[str, Any]) -> Figure:
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
    told = ", ".join(f"{name} {gap['estimate']:+.4f}" for name, gap in pooled)
    figure = Figure(figsize=(7.0, 6.6), layout="constrained")
    figure.set_label(f"Resistance: forward less inverse\nBits per token, mean over pairs and seeds: {told}.")
    top, bottom = figure.subplots(2, 1, height_ratios=[1.0, 1.1])
    _gap_panel(top, pooled)
    _excess_panel(bottom, result["pairs"])
    return figure


def _gap_panel(axes: Axes, pooled: list[tuple[str, dict[str, Any]]]) -> None:
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
        axes.plot([documents["low"], documents["high"]], [row, row], color=colour, linewidth=4.5, alpha=0.55)
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


@styled
def inversion_figure(result: dict[str, Any]) -> Figure:
    """Q1 in two panels: alignment along every leg of the first seed, and examples between the two levels for every seed.

    result: what ``inversion.json`` holds. Above, lines of one style a leg with the two levels. Below, a mark a seed with
    the bracket of the readings; a leg that does not reach its level within the budget is an arrow at what it spent.
    Raises InputError for a result without seeds.
    """
    from matplotlib.figure import Figure

    if not result.get("seeds"):
        raise InputError("no seeds", where="figure", mend="give what inversion.json holds")
    seeds = result["seeds"]
    ratio = result["ratios"].get("inverse / forward", {}).get("examples", {}).get("estimate")
    told = "open" if ratio is None else f"{ratio:.3g}"
    figure = Figure(figsize=(7.0, 6.8), layout="constrained")
    figure.set_label(f"Inversion between two levels of alignment\nExamples down over examples up: {told}.")
    top, bottom = figure.subplots(2, 1)
    names = [(key, name) for key, name in LEGS if key in seeds[0]["legs"]]
    for (key, name), (colour, marker, dashes) in zip(names, STYLES, strict=False):
        leg = seeds[0]["legs"][key]
        top.plot(
            leg["examples"], leg["alignment"], color=colour, marker=marker, linestyle=dashes, label=_name(name, result)
        )
    for level in (result["settings"]["low"], result["settings"]["high"]):
        top.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        top.annotate(f"{level:.0%}", (1.005, level), xycoords=("axes fraction", "data"), va="center", color=INK)
    top.set_xlabel("examples of the leg")
    top.set_ylabel("alignment a")
    top.set_title(f"alignment along the legs, seed {seeds[0]['seed']}")
    top.legend(frameon=False, fontsize=9, loc="best")
    _cost_panel(bottom, seeds, [(key, _name(name, result)) for key, name in names])
    return figure


def _cost_panel(axes: Axes, seeds: list[dict[str, Any]], names: list[tuple[str, str]]) -> None:
    for row, (key, _) in enumerate(names):
        colour, marker, _ = STYLES[row % len(STYLES)]
        for index, seed in enumerate(seeds):
            if key not in seed["legs"]:
                continue
            cost = seed["legs"][key]["cost"]["examples"]
            height = -row + 0.5 * (index - (len(seeds) - 1) / 2) / max(len(seeds), 2)
            if cost["estimate"] is None:
                axes.plot(cost["low"], height, marker=">", color=colour)
                continue
            axes.plot([cost["low"], cost["high"]], [height, height], color=colour, linewidth=1.2)
            axes.plot(cost["estimate"], height, marker=marker, color=colour)
    axes.set_yticks([-row for row in range(len(names))], [name for _, name in names])
    axes.set_xlim(left=0.0)
    axes.set_xlabel("examples between the levels, a mark a seed (arrow: more)")
    axes.set_title("what crossing costs")


def _name(name: str, result: dict[str, Any]) -> str:
    """The leg's name with the levels that the run had."""
    low, high = (f"{result['settings'][key]:.0%}" for key in ("low", "high"))
    return name.replace("60%", low).replace("90%", high)
