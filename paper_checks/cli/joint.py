"""The verb `joint`: are these runs joint optima, and of which volumes (R27)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .terminal import Json, Seed, emit, interval, number_of, short, table

SHOWN = 5
"""Runs that are listed: those that missed most."""


def joint(
    shares: Annotated[
        Path, typer.Argument(metavar="TABLE", help="CSV, a row a run: share_NAME and rate_NAME, or the shares alone.")
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
    """Whether many runs are joint optima of their volumes, what each missed, and the volumes that count (R27)."""
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
        print(
            f"{number_of(result['runs'], 'run')} ({result['dropped']} dropped), {number_of(len(result['datasets']), 'dataset')}: "
            f"{result['violated']} of {number_of(result['comparisons'], 'comparison')} violated "
            f"({short(100 * result['violated'] / result['comparisons'])}%; {short(100 * result['shuffled'])}% if shuffled)"
        )
        worst = sorted(zip(result["delta"], runs.runs, result["better"], strict=True), reverse=True)[:SHOWN]
        table(
            [{"run": run, "missed": delta, "shown by": better} for delta, run, better in worst if delta > 0],
            ("run", "missed", "shown by"),
        )
        print(f"beta: {interval(result['effective']['beta'])}, margin {short(result['effective']['margin'])}")
        for name, volume in result["effective"]["volumes"].items():
            print(f"  volume that counts, {name}: {interval(volume)}")

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
    return {
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
