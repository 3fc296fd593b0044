"""The report: every floor's work, from the derivation to a real model, in one HTML file with its data beside it."""

from __future__ import annotations

import functools
import json
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from elastomath import __version__
from elastomath.errors import InputError
from elastomath.mixtures.kernels import cores
from elastomath.progress import counter, say
from elastomath.storage import whole_file

from ..claims import Evidence, check
from ..claims.behaviours import plain_runs
from .claims import claims_section
from .durability import durability_section
from .front import front
from .law import law_section
from .page import Section, render
from .phases import ceilings_section, phase_section, springs_section
from .presets import MODEL, PRESETS, REVIEWS
from .published import published_section
from .rates import rates_section
from .rebound import rebound_section
from .saved import saved_makers
from .simulation import simulation_section
from .stiffness import stiffness_section
from .studies import saved_studies, study_section
from .trees import trees_section


def make_report(preset: str, out: Path, *, seed: int = 0, device: str = "auto", dtype: str = "auto") -> dict[str, Any]:
    """Write the report of a preset; its data go to a folder beside it, from which an interrupted run continues.

    Returns {"report", "seconds", "data", "checks": {"held", "total"}, "checks_hold"}. Raises InputError for an unknown
    preset, a path that cannot be written, or (for presets with a model) files that cannot be fetched.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}", where="report", mend=f"choose one of {', '.join(PRESETS)}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"the report is an HTML file, not {out.suffix or 'a folder'!r}", where=str(out), mend="end it in .html"
        )
    plan, start = PRESETS[preset], time.monotonic()
    data = out.with_name(f"{out.stem}-data")
    with whole_file(data / "preset.json") as aside:  # fails now, not after an hour, where nothing can be written
        aside.write_text(json.dumps({"preset": preset, "seed": seed}))
    evidence = Evidence(quick=False, cases=plan.cases, seed=seed, processes=cores(), tell=counter("report: checks"))
    say("report: the claims are checked first, a minute or two")
    outcomes = check(None, evidence)
    makers: list[Callable[[], Section]] = [
        lambda: claims_section(outcomes, evidence),
        lambda: law_section(plan, seed, evidence),
        trees_section,
        phase_section,
        springs_section,
        ceilings_section,
        lambda: simulation_section(plan, seed, data),
    ]
    if plan.durability is not None:
        behaviours = plan.durability
        makers += [
            lambda: durability_section(behaviours, data, device, dtype, seed),
            lambda: rates_section(plan, data, device, dtype, seed),
            lambda: stiffness_section(plan, data, device, seed),
        ]
    if plan.rebound is not None:
        reviews = plan.rebound
        makers.append(lambda: rebound_section(reviews, data, device, dtype, seed))
    makers += [functools.partial(draw, saved) for draw, saved in saved_makers(evidence)]
    makers += [functools.partial(study_section, summary) for summary in saved_studies().values()]
    makers.append(published_section)
    sections = []
    for index, maker in enumerate(makers, 1):
        began = time.monotonic()
        section = maker()
        section.seconds = time.monotonic() - began
        section.save_figures(data / "figures")
        sections.append(section)
        say(f"report: {index} of {len(makers)} sections, {section.title.lower()}: {section.seconds:.0f} s")
    seconds = time.monotonic() - start
    first = front(outcomes, plain_runs(evidence))
    render(out, preset, sections, _provenance(preset, seed, seconds, data), _not_shown(preset), first)
    checks = [one for section in sections for one in section.checks]
    for one in checks:
        if not one.holds:
            say(f"did not hold: {one.statement} (wanted {one.wanted}, saw {one.measured})")
    holding = sum(one.holds for one in checks)
    return {
        "report": str(out),
        "seconds": seconds,
        "data": str(data),
        "checks": {"held": holding, "total": len(checks)},
        "checks_hold": holding == len(checks),
    }


def _provenance(preset: str, seed: int, seconds: float, data: Path) -> list[dict[str, str]]:
    packages = ("numpy", "scipy", "sympy", "python-flint", "torch", "transformers")
    installed = []
    for package in packages:
        try:
            installed.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    rows = {
        "elastomath": __version__,
        "preset, seed": f"{preset}, {seed}",
        "Python": platform.python_version(),
        "packages": ", ".join(installed),
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
        "seconds": f"{seconds:.0f}",
        "data": f"{data.name}/ beside this file",
    }
    if preset != "theory":
        from empirical.fetch.catalog import CATALOG

        rows |= {name: f"{CATALOG[name].file}, SHA-256 {CATALOG[name].sha256}" for name in (MODEL, REVIEWS)}
    return [{"what": key, "value": value} for key, value in rows.items()]


def _not_shown(preset: str) -> list[str]:
    lines = [
        "The paper's own models and sizes, and alignment by DPO, KTO, SimPO and PPO on a real model: not run here.",
        "Sections on saved experiments are drawn from results that come with the package; `elastomath check --rerun` makes them anew.",
        "The interval of a fitted constant is profiled on the readings of one run.",
    ]
    if preset == "theory":
        return ["No language model was measured: use the preset quick for that.", *lines]
    return ["Weights come from a 4-bit file: rates are those of the rounded model.", *lines]
