"""The section on a rebound run, made anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath import Curve

from .common import fit_table
from .page import Section
from .presets import MODEL

if TYPE_CHECKING:
    from empirical.rebound.results import RunReadings


def rebound_section(chosen: dict[str, Any], data: Path, device: str, dtype: str, seed: int) -> Section:
    """The small rebound run."""
    from elastomath.figures.curves import curve_figure
    from empirical.rebound.run import rebound
    from empirical.rebound.settings import ReboundSettings

    from .figures import divergence_figure, rebound_figure

    settings = ReboundSettings(model=MODEL, **{"seeds": (seed,), **chosen})
    command = f"elastomath experiment rebound --model {MODEL} --seeds {','.join(map(str, settings.seeds))}"
    section = Section("rebound", "A rebound run", command=command)
    result = rebound(settings, data / "rebound", device=device, dtype=dtype)
    section.data += ["rebound/rebound.csv", "rebound/rebound.json"]
    section.say(
        f"The model is adapted to {settings.adapt_volume} film reviews of both kinds, aligned on positive ones, then perturbed with "
        f"negative ones (AdamW, learning rate {settings.learning_rate:g}, batch {settings.batch}, a fresh optimiser a phase, "
        f"{settings.warmup} warm-up steps). The contrast is the rate on held-out negative reviews minus that on positive ones, "
        f"{settings.held_out} of each; it has to rise when the model is aligned. The control perturbs with both kinds."
    )
    readings = result["readings"]
    section.draw(
        rebound_figure(readings),
        "The contrast at each stage, and its fall under the perturbation, with one standard error.",
    )
    section.draw(divergence_figure(readings), "Divergence of the model from its base on held-out reviews.")
    for reading in readings:
        _reading(section, reading)
    curve = Curve.read(result["curve"])
    section.draw(
        curve_figure(curve), "The curve that the fit reads: rates on held-out reviews against negative examples."
    )
    constants = fit_table(section, curve)
    missed = [run["run"] for run in constants["runs"] if run["bound"]["holds"] is False]
    if missed:
        section.say(
            f"The finite law (R5) is missed by {', '.join(missed)}: from a joint optimum no perturbation can lower the volume-weighted "
            "rates of pre-training and alignment, and here further training on any reviews still does (held-out text standing for the "
            "training data). These models were not trained to a joint optimum: what they show first is unfinished learning of "
            "the domain, not the spring."
        )
    section.say(
        "A fine-tuned model is not at a joint optimum, so nothing forces these constants to be the nominal ones, and few readings "
        "with noise leave most ends open. One seed at this scale: it shows that the pipeline measures, not that F2 holds or fails."
    )
    return section


def _reading(section: Section, reading: RunReadings) -> None:
    """One run: its stages as a table, and the two moves that its contrast has to make."""
    section.show(
        [
            {
                "phase": r["phase"],
                "examples": r["volume"],
                "positive": r["rates"]["align"],
                "negative": r["rates"]["perturb"],
            }
            | {"contrast": r["contrast"], "change": r["contrast_change"], "se": r["contrast_change_se"]}
            | {"KL(base||model)": r["kl_forward"], "KL(model||base)": r["kl_reverse"]}
            for r in reading["rows"]
        ],
        f"{reading['run']}: bits per token; changes count from the adapted model, and from the aligned one under perturbation",
    )
    aligned = [r for r in reading["rows"] if r["phase"] == "aligned"][-1]
    last = [r for r in reading["rows"] if r["phase"] == "perturb"][-1]
    for row, wanted, sign in ((aligned, "rises", 1), (last, "falls", -1)):
        z = row["contrast_change"] / row["contrast_change_se"]
        section.check(
            f"{reading['run']}: the contrast {wanted} ({row['phase']} {row['volume']})",
            "beyond 2 standard errors",
            f"{z:+.1f} se",
            sign * z > 2,
        )
