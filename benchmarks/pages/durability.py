"""The numbers and figures of docs/durability.md: `python -m benchmarks.pages durability [--out docs]`, after new results were saved.

Replaces what stands between the two marks of the page: a table for each set of saved runs, and their conclusions.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pages import DOCS
from elastomath.shown import number_of
from elastomath.storage import whole_file
from elastomath.style import save_figure
from empirical.durability.answers import conclusion, forecast_error, phases_of
from empirical.durability.figures import courses_figure, exponents_figure, forecast_figure
from empirical.durability.pooled import pooled_rows
from paper_checks.claims.behaviours import ADAM, ADAM_MORE
from paper_checks.claims.claim import Evidence

BEGIN, END = "<!-- runs: made by benchmarks/pages/durability.py -->", "<!-- end of runs -->"
RUNS = {
    "durability": "Plain gradient descent",
    "durability-novel": "Plain gradient descent, three behaviours written afterwards",
    "durability-adamw": "AdamW, with fresh moments in each phase and with moments carried over",
    "durability-adamw-more": "AdamW, a second seed",
    "durability-adamw-third": "AdamW, a third seed",
    "durability-adamw-novel": "AdamW, three behaviours written afterwards",
    "durability-adamw-novel-more": "AdamW, these three at two more seeds",
    "durability-algorithms": "After DPO, KTO, SimPO and PPO",
    "durability-gemma": "Another model: Gemma 3 270M",
    "durability-gemma-advice": "Another model: Gemma 3 270M, a second behaviour at a tenth of the learning rate",
    "durability-low": "Below even odds: a base with a tenth of the chosen response",
    "durability-neutral": "Neutral text, or both responses, in the place of the opposed examples",
    "durability-review": "Where the card refuses: review text, which no training closes",
    "durability-review-more": "Where the card refuses: review text, a second seed, two volumes",
    "durability-verdict": "Where the card refuses: the true verdict on a review against the inverted one",
    "durability-verdict-more": "Where the card refuses: the verdict, a third seed",
}
"""Saved runs by name, and what they are."""
PLAIN = ("durability", "durability-novel")
TOGETHER = {
    "Plain gradient descent, all behaviours together": PLAIN,
    "AdamW, all behaviours and seeds together": (ADAM, *ADAM_MORE),
}
"""Saved runs whose rows are also pooled, under one heading."""
ASIDE = (
    "durability-review",
    "durability-review-more",
    "durability-verdict",
    "durability-verdict-more",
    "durability-neutral",
)
"""Runs that are in the tables, not in the figure: the card says that the forecast means nothing, or they are in it already."""
FIXED = ("advice", "tone")
"""The behaviours on which, at seed 0 under plain gradient descent, the recipe of the forecast was fixed."""
COLUMNS = ("behaviour", "optimiser", "seed", "aligned n", "undone by (measured)", "forecast", "error")
AGAIN = "forecast from the aligned model"
"""One more column, where runs have it: what the gradients of the aligned model say, not those of the base."""


def saved_runs() -> dict[str, dict[str, Any]]:
    """The summaries that are there, by name."""
    saved = {name: Evidence().saved(name) for name in RUNS}
    return {name: results.summary for name, results in saved.items() if (results.folder / f"{name}.json").is_file()}


def _scored(row: Mapping[str, Any], name: str) -> bool:
    return not (name in ("durability", "durability-neutral") and row["pairs"] in FIXED and row["seed"] == 0)


def _row(row: Mapping[str, Any], name: str, again: bool) -> str:
    measured, forecast = row["undo_volume"]["estimate"], row["forecast_undo_volume"]
    error = "-" if measured is None or not forecast else f"{forecast / measured - 1:+.0%}"
    behaviour = row["pairs"] + ("" if _scored(row, name) else " (recipe)") + ("" if row["applies"] else " (card: no)")
    parts = [behaviour, phases_of(row), row["seed"], row["n"]]
    parts += [text.removesuffix(" examples") for text in (row["undo_volume_text"], row["forecast_text"])]
    last = [row.get("forecast_again", {"text": "-"})["text"].removesuffix(" examples")] if again else []
    return "| " + " | ".join(map(str, [*parts, error, *last])) + " |"


def lines_of(name: str, summary: Mapping[str, Any]) -> list[str]:
    """The lines of one set of runs: what they are, the error where the recipe was fixed before, the table."""
    settings, rows = summary["settings"], summary["durability"]
    order = {behaviour: place for place, behaviour in enumerate(settings["pairs"])}
    rows = sorted(
        rows, key=lambda row: (order[row["pairs"]], row["algorithm"], row["optimiser"], row["seed"], row["n"])
    )
    rates = ", ".join(sorted({f"{row['optimiser']} {row['learning_rate']:g}" for row in rows}))
    lines = [f"### {RUNS[name]}", ""]
    lines += [
        f"{number_of(len(rows), 'run')} of {settings['model']}, learning rate {rates}, batch {rows[0]['batch']}, "
        f"{settings['held_out']} held-out prompts; the base is adapted to {settings['share']:.0%} of the chosen response.",
        "",
    ]
    error = forecast_error([row for row in rows if _scored(row, name)])
    if error["runs"]:
        worst = error["worst_run"]
        lines += [
            f"**On {error['runs']} runs that the recipe had not seen the median error of the forecast is {error['median']:.0%}, the "
            f"worst {error['worst']:.0%}** ({worst['pairs']}, {worst['optimiser']}, seed {worst['seed']}, n = {worst['n']}); "
            f"{error['inside']} of them lie in the forecast's 95% interval over prompts.",
            "",
        ]
    sentences = conclusion(summary)[bool(summary["error"]["runs"]) :]
    lines += [
        f"- {sentence}" for sentence in sentences if not sentence.startswith("What ")
    ]  # of single runs: the table
    again = any("forecast_again" in row for row in rows)
    columns = (*COLUMNS, *((AGAIN,) if again else ()))
    lines += ["", "| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    return [*lines, *(_row(row, name, again) for row in rows), ""]


def lines_together(heading: str, summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What several sets of runs say as one, of what their rows hold: the cost of going back is that of each set."""
    rows = [row for summary in summaries for row in summary["durability"]]
    answers = pooled_rows(rows)
    for answer in answers.values():
        for part in (answer, answer.get("vouched", answer)):
            part["return_ratio"] = part["return_ratio"] | {"estimate": None}
    sentences = conclusion({"durability": rows, "error": forecast_error(rows), "answers": answers})
    return [f"### {heading}", "", *(f"- {sentence}" for sentence in sentences), ""]


def page(text: str) -> str:
    """The page with its tables made anew from the saved results."""
    saved = saved_runs()
    lines = [line for name, summary in saved.items() for line in lines_of(name, summary)]
    for heading, names in TOGETHER.items():
        if saved.keys() >= set(names):
            lines += lines_together(heading, [saved[name] for name in names])
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    return "\n".join([head + BEGIN, "", *lines, END]) + tail


def main() -> None:
    """The page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS)
    options = parser.parse_args()
    text = (DOCS / "durability.md").read_text(encoding="utf-8")
    saved = saved_runs()
    drawn = {name: summary for name, summary in saved.items() if name not in ASIDE}
    every = [row for summary in drawn.values() for row in summary["durability"] if row["algorithm"] == "sft"]
    scored = [row for name, summary in drawn.items() for row in summary["durability"] if _scored(row, name)]
    both = {"durability": every, "error": forecast_error(scored)}
    save_figure(forecast_figure(both), options.out / "figures" / "durability-forecast.svg")
    plain = [row for name in PLAIN for row in saved.get(name, {"durability": []})["durability"]]
    save_figure(exponents_figure(plain), options.out / "figures" / "durability-exponents.svg")
    save_figure(courses_figure(saved["durability"]), options.out / "figures" / "durability-courses.svg")
    with whole_file(options.out / "durability.md") as aside:
        aside.write_text(page(text), encoding="utf-8")
