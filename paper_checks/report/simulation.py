"""The section on simulated curves and their constants."""

from __future__ import annotations

from pathlib import Path

from .common import beside, fit_table
from .page import Section
from .presets import Preset


def simulation_section(plan: Preset, seed: int, data: Path) -> Section:
    """An exact curve of the mixture compressor, and the constants fitted from it."""
    from elastomath.figures.curves import curve_figure, law_figure
    from sim.compressors.mixture import simulate_mixture

    ks = ",".join(f"{k:g}" for k in plan.k)
    section = Section(
        "simulation", "A simulated curve and its constants", command=f"elastomath simulate mixture --k {ks}"
    )
    curve = simulate_mixture(k=plan.k, alpha=1.5, leaves=4096, l_max=3.0, points=13, seeds=(seed,))
    section.data.append(str(beside(data, curve.write(data / "simulation.csv"))))
    section.say(
        "Pareto leaf masses (alpha = 1.5, 4,096 leaves), pre-training the union of three equal datasets. The compressor "
        "is exact, so the effective volumes (R16) have to be the nominal ones, from the curve alone."
    )
    section.draw(
        curve_figure(curve),
        "Compression rates as the perturbation grows: alignment gives way, pre-training hardly moves.",
    )
    section.draw(
        law_figure(curve.run(curve.runs[0])), "The residual of the balance between its bounds (R5), for the first run."
    )
    constants = fit_table(section, curve)
    for run in constants["runs"]:
        error = run["kappa"]["estimate"] / run["nominal_kappa"] - 1.0
        section.check(
            f"kappa from the curve, k = {run['nominal_kappa']:g}",
            "within 0.1% of k",
            f"{100 * error:+.4f}%",
            abs(error) < 1e-3,
        )
    noisy = simulate_mixture(k=plan.k, alpha=1.5, leaves=4096, l_max=3.0, points=13, seeds=(seed,), noise=1e-3)
    section.say(
        "With noise of 0.001 bits on every reading, the intervals widen; an end that the readings do not bound is open:"
    )
    fit_table(section, noisy)
    return section
