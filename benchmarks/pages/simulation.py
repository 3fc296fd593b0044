"""The answers in docs/simulation.md: `python -m benchmarks.pages simulation [--out docs]`, after new results were saved.

Replaces what stands between the two marks of the page, and writes a figure for each study.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.pages import DOCS
from elastomath.interval import Interval
from elastomath.storage import whole_file
from elastomath.style import save_figure
from paper_checks.report.page import interval
from paper_checks.report.studies import TITLES, caption, saved_studies
from sim.studies import QUESTIONS, STUDIES, draw
from sim.studies.conclusions import conclusion

BEGIN, END = "<!-- answers: made by benchmarks/pages/simulation.py -->", "<!-- end of answers -->"


def answers_of(found: dict[str, Any]) -> list[str]:
    """The lines of one study: question, conclusion, figure; folded, a sentence an answer and the table of numbers."""
    study = found["study"]
    lines = [f"### {TITLES[study].removeprefix('Simulated: ').capitalize()}", "", QUESTIONS[study], ""]
    lines += [*conclusion(found), "", f"![{caption(study)}](figures/simulation-{study}.svg)", ""]
    lines += [f'??? info "The {len(found["answers"])} answers, in words and numbers"', ""]
    lines += [f"    - {answer['sentence']}" for answer in found["answers"]]
    lines += ["", "    | answer | what | value |", "    | --- | --- | --- |"]
    for answer in found["answers"]:
        what = answer["question"].replace("|", "\\|")
        lines.append(f"    | {answer['id']} | {what} | {_three_digits(answer['value'])} |")
    seeds = ", ".join(f"{name} {len(values)}" for name, values in found["settings"]["seeds"].items())
    lines += [
        "",
        f"{found['settings']['runs']} runs, preset {found['preset']}; seeds: {seeds}. Intervals at 95%, over seeds.",
    ]
    return [*lines, f"Again: `elastomath study {study} --preset {found['preset']}`.", ""]


def _three_digits(value: Mapping[str, Any] | None) -> str:
    """An interval to three digits, which is what anybody reads of it; all of them are in the saved results."""
    if value is None:
        return interval(None)
    level = value.get("level", 0.95)
    return f"{Interval.of_dict(value):.3g}" + ("" if level == 0.95 else f" (the middle {level:.0%} of the runs)")


def page(text: str) -> str:
    """The page with its answers made anew from the saved results; studies without any are named."""
    saved = saved_studies()
    lines = [line for found in saved.values() for line in answers_of(found)]
    missing = [study for study in STUDIES if study not in saved]
    if missing:
        lines += [f"No results are saved yet for: {', '.join(missing)}. `elastomath study NAME` makes them.", ""]
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    return "\n".join([head + BEGIN, "", *lines, END]) + tail


def main() -> None:
    """The page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS)
    options = parser.parse_args()
    text = (DOCS / "simulation.md").read_text(encoding="utf-8")
    for study, found in saved_studies().items():
        save_figure(draw(found), options.out / "figures" / f"simulation-{study}.svg")
    with whole_file(options.out / "simulation.md") as aside:
        aside.write_text(page(text), encoding="utf-8")
