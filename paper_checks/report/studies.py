"""The sections on the questions to the simulator, from saved results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elastomath.shown import number_of

from .page import Section, interval

ROWS = 8
"""Answers of a study in its table; all are on the page of details."""
TITLES = {
    "constant": "Simulated: the constant and the residual at joint optima",
    "volumes": "Simulated: what volumes count for in sequential training",
    "rebound": "Simulated: resistance, rebound, and what undoes alignment",
    "scale": "Simulated: elasticity against depth, size and volume",
    "defence": "Simulated: what makes a behaviour last (Q2)",
    "hooke": "Simulated: forces in both directions of the divergence",
    "sequence": "Simulated: fine-tuning in sequence, foretold from two gradients",
    "kernel": "Simulated: does the kernel stand still in wide networks?",
    "replay": "Simulated: how much replay restores the joint law",
    "order": "Simulated: a behaviour early, late or interleaved in the base",
}


def saved_studies() -> dict[str, dict[str, Any]]:
    """The studies whose results come with the package, by name, in the order of the questions."""
    from importlib.resources import files

    from sim.studies import STUDIES, load_study

    summaries = {}
    for study in STUDIES:
        path = Path(str(files("paper_checks").joinpath("saved_runs", f"{study}-sim", f"{study}-sim.json")))
        if path.is_file():
            summaries[study] = load_study(path)
    return summaries


def study_section(summary: dict[str, Any]) -> Section:
    """One study: its answer, the question, its answers in words and numbers, its figure."""
    from sim.studies import QUESTIONS, draw
    from sim.studies.conclusions import conclusion

    study = summary["study"]
    section = Section(
        f"study-{study}", TITLES[study], command=f"elastomath study {study} --preset {summary['preset']}", saved=True
    )
    for sentence in conclusion(summary):
        section.say(sentence)
    section.say(f"The question: {QUESTIONS[study]}")
    section.draw(draw(summary), caption(study))
    sentences = [answer["sentence"] for answer in summary["answers"]]
    section.more(f"{TITLES[study]}: the {len(sentences)} answers in words", "\n".join(sentences))
    section.show(
        [
            {"answer": answer["id"], "value": interval(answer["value"])}  # in words: on the page of details
            for answer in summary["answers"][:ROWS]
        ],
        f"{number_of(summary['settings']['runs'], 'run')}, saved; intervals are over seeds, at 95%"
        + (f"; the first {ROWS} of {len(sentences)} answers" if len(sentences) > ROWS else ""),
    )
    return section


def caption(study: str) -> str:
    """What the figure of a study shows: the first line of its drawing's documentation."""
    import importlib

    drawn = importlib.import_module(f"sim.studies.{study}").figure
    return str(drawn.__doc__).strip().splitlines()[0]
