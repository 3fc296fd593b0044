"""The figure of `inversion`: what each leg costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from elastomath.errors import InputError
from elastomath.style import INK, STYLES, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elastomath.runs.conduct import ProtocolSummary

    from .results import Seed
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
def inversion_figure(result: ProtocolSummary) -> Figure:
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
    label = "open" if ratio is None else f"{ratio:.3g}"
    figure = Figure(figsize=(7.0, 6.8), layout="constrained")
    figure.set_label(f"Inversion between two levels of alignment\nExamples down over examples up: {label}.")
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


def _cost_panel(axes: Axes, seeds: list[Seed], names: list[tuple[str, str]]) -> None:
    for row, (key, _) in enumerate(names):
        colour, marker, _ = STYLES[row % len(STYLES)]
        for index, seed in enumerate(seeds):
            if key not in seed["legs"]:
                continue
            cost = seed["legs"][key]["cost"]["examples"]
            height = -row + 0.5 * (index - (len(seeds) - 1) / 2) / max(len(seeds), 2)
            if cost["estimate"] is None:
                axes.plot(np.array(cost["low"], dtype=np.float64), height, marker=">", color=colour)
                continue
            ends = np.array([cost["low"], cost["high"]], dtype=np.float64)
            axes.plot(ends, [height, height], color=colour, linewidth=1.2)
            axes.plot(cost["estimate"], height, marker=marker, color=colour)
    axes.set_yticks([-row for row in range(len(names))], [name for _, name in names])
    axes.set_xlim(left=0.0)
    axes.set_xlabel("examples between the levels, a mark a seed (arrow: more)")
    axes.set_title("what crossing costs")


def _name(name: str, result: ProtocolSummary) -> str:
    """The leg's name with the levels that the run had."""
    low, high = (f"{result['settings'][key]:.0%}" for key in ("low", "high"))
    return name.replace("60%", low).replace("90%", high)
