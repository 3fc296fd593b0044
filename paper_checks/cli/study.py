"""The verb `study`: the questions that the simulator answers, each with a curve, numbers with intervals, and a figure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from .terminal import Json, Verbose, conclude, emit, interval, number_of, table


def study(
    question: Annotated[
        Literal["constant", "volumes", "rebound", "scale", "hooke", "sequence", "kernel", "replay", "order", "defence"],
        typer.Argument(help="The question that is asked, by its name in the list above."),
    ],
    preset: Annotated[
        Literal["tiny", "quick", "full"],
        typer.Option("--preset", help="quick: minutes on one core; full: hours; tiny: a trial."),
    ] = "quick",
    executor: Annotated[
        str, typer.Option("--executor", help="here, local (processes), slurm, slurm-local, or tcp://HOST:PORT.")
    ] = "here",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Runs side by side on the executor.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder of the ledger and of all results.")] = Path("out/studies"),
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """A question put to simulated compressors: the answer in words, numbers with intervals, a curve and a figure."""
    from elastomath.runs.executors import open_executor
    from elastomath.style import save_figure
    from sim.studies import QUESTIONS, draw, load_study, run_study
    from sim.studies.conclusions import conclusion

    start = time.monotonic()
    with open_executor(executor, workers=workers) as pool:
        summary = run_study(question, preset, out, executor=pool)
    figure = save_figure(draw(load_study(summary["summary"])), out / f"{question}-sim.svg")
    keys = ("study", "preset", "question", "answers", "settings", "failures", "curve", "summary")
    result = {key: summary[key] for key in keys} | {"figure": str(figure), "seconds": time.monotonic() - start}
    result["conclusion"] = conclusion(summary)

    def show() -> None:
        conclude(result["conclusion"])
        conclude([f"The question: {QUESTIONS[question]}"])
        table(
            [{"answer": answer["id"], "value": interval(answer["value"])} for answer in summary["answers"]],
            ("answer", "value"),
        )
        if verbose:
            for answer in summary["answers"]:
                print()
                conclude([f"{answer['id']}: {answer['sentence']} ({answer['method']})"], blank=False)
        print(f"\n{number_of(summary['settings']['runs'], 'run')} in {result['seconds']:.1f} s: {figure}")
        print(f"{summary['curve']}, {summary['summary']}")
        if not verbose:
            print(
                f"Each answer in words: elastomath study {question} -v, with the same options (nothing is run again)."
            )

    emit(result, as_json, show)
    return 1 if summary["failures"] else 0
