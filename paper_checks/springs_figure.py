"""Force against perturbation for the springs of a mixture, in both directions of the divergence (R12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elastomath.figures import INK, STYLES, WIDTH, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from elastomath.springs import Springs


@styled
def springs_figure(found: Springs) -> Figure:
    """|D_i| Delta D(P_i || q) (left) and |D_i| Delta D(q || P_i) (right) of pre-training and alignment, and their sums."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    limit = found.elastic_limit()
    reverse = found.reverse_forces
    panels = [("D(data || model)", found.forces)] + ([] if reverse is None else [("D(model || data)", reverse)])
    for panel, (title, forces) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), panel)
        axes.set_title(title)
        rows = [("pre-training", forces[0]), ("alignment", forces[1]), ("sum", forces.sum(axis=0))]
        for (label, force), (colour, marker, line) in zip(rows, STYLES, strict=False):
            axes.plot(found.perturbations, force, color=colour, ls=line, marker=marker, markevery=8, label=label)
        axes.axhline(0, color=INK, lw=0.8)
        if limit is not None and panel == 1:
            axes.axvline(limit[1], color=INK, lw=0.8, ls=":")
            axes.text(limit[1], axes.get_ylim()[0], " elastic limit", fontsize=8.5, va="bottom")
        axes.set_xlabel("l = |D_t| / |D_a|")
        axes.set_ylabel("force, volume x nats" if panel == 1 else "")
        axes.legend(frameon=False, fontsize=8.5)
    return figure
