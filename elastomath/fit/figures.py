"""Figures of a fit, made from its JSON: the constants against the nominal ones, and what the rival laws miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..style import INK, STYLES, plain_ticks, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .result import RunFit


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
    figure.set_label(f"Effective against nominal stiffness\nkappa of {len(runs)} runs against k = |D_p|/|D_a|.{slope}")
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
