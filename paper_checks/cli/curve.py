"""The verb `curve`: logs and results of other tools as a Curve, for `fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elastomath.errors import InputError

from .terminal import Json, emit, numbers


def curve(
    files: Annotated[
        list[str],
        typer.Argument(
            help="trainer_state.json, results_*.json or samples_*.jsonl of lm-eval, *_EVAL.json, scores of TamperBench, or a table "
            "(wandb, trackio, TensorBoard, your own CSV)."
        ),
    ],
    mapping: Annotated[
        str,
        typer.Option(
            "--map",
            help="METRIC=COMPONENT:KIND, commas between; kinds: loss, perplexity, bits_per_byte, nats, score; or "
            "COLUMN=perturbation: step=perturbation,eval_harm=perturb:score.",
        ),
    ] = "",
    at: Annotated[str | None, typer.Option("--at", help="Perturbation of each file, where files tell no step.")] = None,
    batch: Annotated[float, typer.Option("--batch", help="Examples of a step.")] = 1,
    volumes: Annotated[str | None, typer.Option("--volumes", help="Nominal volumes: pretrain=2e9,align=64.")] = None,
    unit: Annotated[str, typer.Option("--volume-unit", help="examples, tokens, bytes or symbols.")] = "examples",
    run: Annotated[str | None, typer.Option("--run", help="Name of the run.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The curve file, .csv or .parquet.")] = Path("out/curve.csv"),
    as_json: Json = False,
) -> int:
    """Logs and results of other tools as one curve file (the code length of each data set as the perturbation grows), for fit."""
    from empirical.logs import read_curve

    read = read_curve(
        files, mapping, at=() if at is None else numbers(at, "--at"), batch=batch, volumes=_volumes(volumes),
        volume_unit=unit, run=run,
    )  # fmt: skip
    runs = list(read.curve)  # what fit would not read is not written
    path = read.curve.write(out)
    result = {
        "curve": str(path),
        "runs": [
            {"run": one.name, "components": list(one.components), "readings": one.perturbations.size} for one in runs
        ],
        "notes": list(read.notes),
    }

    def show() -> None:
        for one in runs:
            last = f"{one.perturbations[-1]:g} {one.volume_unit}"
            print(
                f"{one.name}: {one.perturbations.size} readings of {', '.join(one.components)} in {one.rate_unit}, up to {last} of "
                "the perturbation."
            )
        for note in read.notes:
            print(f"Not shown: {note}.")
        print(f"curve: {path}; next: elastomath fit {path}")

    emit(result, as_json, show)
    return 0


def _volumes(text: str | None) -> dict[str, float]:
    given = {}
    for part in filter(None, (text or "").split(",")):
        name, _, number = part.partition("=")
        try:
            given[name.strip()] = float(number)
        except ValueError as error:
            raise InputError(f"cannot read {part!r}", where="--volumes", mend="write pretrain=2e9,align=64") from error
    return given
