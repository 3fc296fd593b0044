"""The verb `joint`: are these runs joint optima, and of which volumes (R27)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .terminal import Json, Seed, conclude, emit, interval, number_of, table

SHOWN = 5
"""Runs that are listed: those that missed most."""


def joint(
    shares: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A CSV file, a row a run: columns share_NAME (of each data set in the mixture) and rate_NAME (its code length, or loss), "
            "or the shares alone.",
        ),
    ],
    rates: Annotated[
        Path | None,
        typer.Argument(metavar="[RATES]", help="The rates in a file of their own, with the same first column."),
    ] = None,
    coverage: Annotated[
        float, typer.Option("--coverage", help="Least share of a run's mixture in datasets that have a rate.")
    ] = 0.98,
    level: Annotated[float, typer.Option("--level", help="Confidence level of the intervals.")] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the result and a figure.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Are many runs joint optima, each the best model for its own mixture of data sets? What each missed, and what volumes count for."""
    from elastomath.laws.jointness import margins
    from elastomath.runs.table import read_runs
    from elastomath.storage import whole_file

    runs = read_runs(shares, rates, coverage=coverage)
    result = summary(runs, level=level, seed=seed)
    if out is not None:
        from elastomath.figures.results import margin_figure
        from elastomath.style import save_figure

        with whole_file(out / "joint.json") as aside:
            aside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if result["effective"]["beta"]["estimate"] is not None:
            save_figure(margin_figure({"these runs": margins(runs.shares, runs.rates)}), out / "joint.svg")

    def show() -> None:
        conclude(result["conclusion"])
        worst = sorted(zip(result["delta"], runs.runs, result["better"], strict=True), reverse=True)[:SHOWN]
        missed = [{"run": run, "missed": delta, "shown by": better} for delta, run, better in worst if delta > 0]
        if missed:
            table(missed, ("run", "missed", "shown by"))
            print(
                "Missed: at least so much, in the unit of the rates; shown by the run that codes that mixture in less.\n"
            )
        if result["effective"]["margin"] is not None:
            volumes = result["effective"]["volumes"]
            table(
                [{"data set": name, "counts for": interval(volumes[name])} for name in volumes],
                ("data set", "counts for"),
            )
            print(
                "Counts for: so many times its volume; below 0: cannot be told, mostly of a data set that few runs have."
            )
            print(
                f"Margin: {result['effective']['margin']:.2g} (1/2: joint optima that lie close together; below 0: runs that are none)."
            )

    emit(result, as_json, show)
    return 0


def summary(runs: Any, *, level: float = 0.95, seed: int = 0) -> dict[str, Any]:
    """What the verb tells, with None for a constant that so few runs do not give; runs: a `RunTable`."""
    from elastomath.laws.jointness import LEAST_RUNS, effective, jointness

    reading = jointness(runs.shares, runs.rates)
    counted = effective(runs.shares, runs.rates, level=level, seed=seed) if reading.runs >= LEAST_RUNS else None

    def constant(ends: Any) -> dict[str, float | None]:
        values = [None if x != x else float(x) for x in ends]
        return {"estimate": values[0], "low": values[1], "high": values[2], "level": level}

    nothing = (float("nan"),) * 3
    volumes = [nothing] * len(runs.datasets) if counted is None else counted.volumes
    result: dict[str, Any] = {
        "runs": reading.runs,
        "dropped": runs.dropped,
        "datasets": list(runs.datasets),
        "unrated": list(runs.unrated),
        "comparisons": reading.comparisons,
        "violated": reading.violated,
        "shuffled": reading.shuffled,
        "delta": reading.missed.tolist(),
        "better": [runs.runs[index] for index in reading.better],
        "effective": {
            "beta": constant(nothing if counted is None else counted.beta),
            "margin": None if counted is None else counted.margin,
            "volumes": {name: constant(row) for name, row in zip(runs.datasets, volumes, strict=True)},
        },
    }
    return {"conclusion": conclusion(result)} | result


def conclusion(result: Mapping[str, Any]) -> list[str]:
    """What a table of runs concludes, in whole sentences.

    >>> told = {"runs": 8, "dropped": 0, "comparisons": 56, "violated": 0, "shuffled": 0.5, "delta": [0.0] * 8}
    >>> told["effective"] = {"beta": {"estimate": 1.0, "low": 0.8, "high": 1.3}}
    >>> print(conclusion(told)[-1])
    A volume counts as its power 1.00 [0.80, 1.30]: 1 is joint compression, 0 is data that count the same whatever their volume.
    """
    pairs = number_of(result["comparisons"], "comparison")
    if result["violated"]:
        share = result["violated"] / result["comparisons"]
        sentences = [
            f"These {result['runs']} runs are not all joint optima, each the best for its own mixture: in {result['violated']:,} of "
            f"{pairs} ({share:.2%}) another run codes a run's mixture in less than the run itself. With mixtures shuffled it would be "
            f"{result['shuffled']:.0%}.",
            f"The farthest from its optimum missed it by at least {max(result['delta']):.2g}, in the unit of the rates.",
        ]
    else:
        sentences = [
            f"These {result['runs']} runs may all be joint optima, each the best for its own mixture: in none of {pairs} does another "
            "run code a run's mixture in less than the run itself."
        ]
    if result["effective"]["beta"]["estimate"] is None:
        sentences.append("What volumes count for cannot be told from so few runs.")
    else:
        sentences.append(
            f"A volume counts as its power {interval(result['effective']['beta'])}: 1 is joint compression, 0 is data that count the same "
            "whatever their volume."
        )
    if result["dropped"]:
        sentences.append(
            f"{number_of(result['dropped'], 'run')} dropped, with too much data that has no rate (--coverage)."
        )
    return sentences
