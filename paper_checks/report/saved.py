"""The sections on experiments on real models that were run before: drawn from the saved curves and summaries of the package."""

from __future__ import annotations

from collections.abc import Callable

from elastomath.shown import number_of

from ..claims import Evidence, Saved
from ..claims.findings import ALGORITHMS_RUN
from .common import fit_table
from .page import Section, interval

ALGORITHMS_COMMAND = f"elastomath {ALGORITHMS_RUN}"


def saved_makers(evidence: Evidence) -> list[tuple[Callable[[Saved], Section], Saved]]:
    """What draws each experiment whose results are there, with these results."""
    runs = [(maker, evidence.saved(name)) for name, maker in MAKERS.items()]
    return [(maker, saved) for maker, saved in runs if saved.there]


def _section(saved: Saved, id: str, title: str, command: str) -> Section:
    section = Section(id, title, command=command, saved=True)
    section.data += [f"paper_checks/saved_runs/{saved.name}/{saved.name}.{end}" for end in ("csv", "json")]
    settings = saved.summary.get("settings", {})
    keys = ("model", "align", "perturb", "opposed", "prompt", "learning_rate", "batch", "seeds", "dtype")
    section.more("Settings", "\n".join(f"{key}: {settings[key]}" for key in keys if key in settings))
    return section


def resistance_section(saved: Saved) -> Section:
    """F1 on a real model."""
    from empirical.resistance.figures import resistance_figure

    section = _section(saved, "resistance", "Resistance (F1)", "elastomath experiment resistance --preset quick")
    section.say(
        "Slices theta_1, theta_2, theta_3 of one alignment, each trained on samples of the others. A gap of losses is a level of "
        "the targets plus a gap of excess code lengths; only the second can be resistance."
    )
    section.draw(resistance_figure(saved.summary), "Forward less inverse, pooled and by pair; F1 wants it positive.")
    for line in saved.summary["reading"]:
        section.say(line[0].upper() + line[1:] + ".")
    return section


def inversion_section(saved: Saved) -> Section:
    """Q1 on a real model."""
    from empirical.inversion.figures import inversion_figure

    section = _section(saved, "inversion", "Inversion (Q1)", "elastomath experiment inversion --preset quick")
    section.say(
        "0% aligned is the adapted base, 100% the model after the full alignment volume, on the contrast of rates. What does it "
        "cost to go from 90% down to 60%, against from 60% up to 90%?"
    )
    section.draw(inversion_figure(saved.summary), "Alignment along every leg, and the examples between the two levels.")
    for line in saved.summary["reading"]:
        section.say(line[0].upper() + line[1:] + ".")
    return section


def rebound_saved_section(saved: Saved) -> Section:
    """F2 on a real model."""
    section = _section(
        saved, "rebound-saved", "Rebound (F2)", "elastomath experiment rebound --preset quick --directions both"
    )
    section.say(
        "Adapted to both kinds of reviews, aligned on one kind, perturbed with the other; the control perturbs with both kinds "
        "mixed. Contrast: rate on the opposed kind minus rate on the aligned kind, on held-out reviews."
    )
    return _rebound(section, saved)


def rebound_algorithms_section(saved: Saved) -> Section:
    """F2 on a real model after the preference algorithms."""
    section = _section(saved, "rebound-algorithms", "Rebound after preference algorithms (F2)", ALGORITHMS_COMMAND)
    named = ", ".join(dict.fromkeys(group["algorithm"].upper() for group in saved.summary["falls"]))
    section.say(
        f"The same after alignment by {named}: an example is a pair of a preferred and a rejected review, and the "
        "perturbation is supervised fine-tuning on the opposed kind."
    )
    return _rebound(section, saved)


def _rebound(section: Section, saved: Saved) -> Section:
    """Falls, laws, divergences and the curve of a rebound experiment."""
    from elastomath.figures.curves import curve_figure

    from .figures import divergence_figure, falls_figure

    summary = saved.summary
    section.draw(
        falls_figure(summary["falls"]), "Fall of the contrast by alignment volume, and what exceeds the control."
    )
    rows = []
    for group in summary["falls"]:
        row = {"algorithm": group["algorithm"], "roles": group["direction"], "units": group["units"]}
        for name in ("first_fall", "depth", "excess_depth"):
            slope = (group.get(name) or {}).get("slope")
            row[f"{name.replace('_', ' ')}, per doubling"] = interval(slope) if slope else "\u2013"
        rows.append(row)
    section.show(rows, "bits per token, 95% interval over seeds")
    laws = []
    for group in summary["falls"]:
        for law in group["laws"]:
            row = {
                "algorithm": group["algorithm"],
                "roles": group["direction"],
                "law": law["name"],
                "rms": law["rms"],
                "left-out rms": law["heldout_rms"],
            }
            laws.append(row | {"chi2 a point": law["chi2_per_point"]})
    section.show(laws, "joint compression (R13) and forgetting (R19) fitted to the mean contrasts of both arms")
    section.draw(divergence_figure(summary["readings"]), "Divergence from the base through the stages of every run.")
    curve = saved.curve
    section.draw(curve_figure(curve), "The curve that the fit reads.")
    constants = fit_table(section, curve)
    models = [
        {
            "law": row["name"],
            "parameters": row["parameters"],
            "held-out error": row["heldout_error"],
            "chosen": row["chosen"],
        }
        for row in constants["models"]
    ]
    section.show(models, "rival laws on the curves of the real model, by held-out error")
    missed = sum(run["bound"]["holds"] is False for run in constants["runs"])
    section.say(
        f"The finite law (R5) is missed by {missed} of {number_of(len(constants['runs']), 'run')}: fine-tuned models are not at a joint "
        "optimum, and what they show first is unfinished learning of the domain. Pooled kappa: "
        + interval(constants["pooled"]["kappa"])
        + "."
    )
    return section


def scale_section(saved: Saved) -> Section:
    """F3 on a family that was pre-trained here."""
    from empirical.scale.figures import scale_figure

    section = _section(saved, "scale", "Scale (F3)", "elastomath experiment scale --preset quick")
    section.draw(scale_figure(saved.summary), "Rebound against size and pre-training volume of a family trained here.")
    decided = [line for line in saved.summary["reading"] if "grows with" in line or "falls with" in line]
    for line in decided:
        if "undone in all" not in line:  # the figure has it, and what is not decided
            section.say(line[0].upper() + line[1:] + ".")
    return section


def durability_saved_section(saved: Saved) -> Section:
    """Forecast and measurement of behaviours on a real model."""
    from .durability import fill

    section = _section(
        saved, "durability-saved", "Durability of behaviours (F2, Q1, R25)", "elastomath experiment durability"
    )
    return fill(section, dict(saved.summary), drawn=True)


def defence_section(saved: Saved) -> Section:
    """Q2 on a real model."""
    from empirical.defence.figures import defence_figure

    command = "elastomath experiment defence --preset night --attacks sft,few"
    section = _section(saved, "defence-saved", "What makes a behaviour last (Q2)", command)
    for sentence in saved.summary["conclusion"]:
        section.say(sentence)
    section.draw(defence_figure(saved.summary), "Durability against utility lost; what was foretold against what came.")
    attack = saved.summary["ranking"][0]["attack"]
    section.show(
        [
            {"rank": entry["rank"], "defence": entry["title"], "lasts, times plain": interval(entry["gain"])}
            | {"utility lost": f"{entry['lost']['estimate']:+.1%}"}
            for entry in saved.summary["ranking"]
            if entry["attack"] == attack
        ],
        f"against {attack}; geometric means over {saved.summary['ranking'][0]['groups']} behaviours and seeds; equal ranks are ties",
    )
    return section


MAKERS: dict[str, Callable[[Saved], Section]] = {
    "durability": durability_saved_section,
    "defence": defence_section,
    "rebound": rebound_saved_section,
    "rebound-algorithms": rebound_algorithms_section,
    "resistance": resistance_section,
    "inversion": inversion_section,
    "scale": scale_section,
}
"""What draws each experiment."""
