"""From the files of other tools to a Curve: which metric is which component, what kind it is, and where its readings lie."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from elastomath.arrays import Array
from elastomath.checks import checked, number
from elastomath.curve import Curve
from elastomath.errors import InputError

from ..measures.contrast import within_run_se
from . import harness, notebook, tables, tamperbench, trainer, unlearning
from .records import KINDS, Metric, Record, step_in

AXIS = "perturbation"
RESULTS = re.compile(r"_eval_results_|_step\d+\.json$")
"""What results files of the harness are called in repositories of checkpoints."""
COMPONENTS = ("pretrain", "align", "perturb")


@dataclass(frozen=True)
class Mapped:
    """A metric as a component: ``NAME=COMPONENT:KIND``."""

    name: str
    component: str
    kind: str


@dataclass(frozen=True)
class ReadCurve:
    """The Curve of some files, and what has to be said about it."""

    curve: Curve
    notes: tuple[str, ...]


def read_records(path: str | Path, step: str | None = None) -> list[Record]:
    """The records of one file, whose tool is known by its name; ``step`` is the column of a table that counts steps.

    Raises InputError in one line for a file that is not there or not what its name says.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        file = file / "trainer_state.json"
        if not file.is_file():
            raise InputError(
                "a folder without trainer_state.json", where=str(path), mend="give the path of a log or of results"
            )
    if not file.is_file():
        raise InputError("no such file", where=str(path), mend="give the path of a log or of results")
    name = file.name
    if name == "trainer_state.json":
        return trainer.read(file)
    if file.suffix == ".md":
        return notebook.read(file)
    if file.suffix == ".json" and (name.startswith("results") or RESULTS.search(name)):
        return harness.read_results(file)
    if name.startswith("samples_") and file.suffix == ".jsonl":
        return harness.read_samples(file)
    if name.endswith("_EVAL.json"):
        return unlearning.read(file)
    if name == "evaluation.json":
        return tamperbench.read_evaluation(file)
    if name == "evaluator_scores.parquet":
        return tamperbench.read_scores(file)
    return tables.read(file, step)


@checked(batch=number(above=0.0))
def read_curve(
    files: Sequence[str | Path],
    mapping: str = "",
    *,
    at: Sequence[float] = (),
    batch: float = 1,
    volumes: Mapping[str, float] | None = None,
    volume_unit: str = "examples",
    run: str | None = None,
) -> ReadCurve:
    """The Curve of logs or results: a row for each step at which every mapped metric has a value.

    mapping   ``METRIC=COMPONENT:KIND`` with commas between, such as ``eval_harm_loss=perturb:loss,eval_good_acc=align:score``;
              kinds are loss (the default), perplexity, bits_per_byte, nats and score. ``COLUMN=perturbation`` names the
              axis, where it is not the step. Without a mapping: metrics with pretrain, align or perturb in their names, as losses
    at        perturbation of each file, in their order, for files that tell no step (a results file a checkpoint)
    batch     a perturbation is a step times batch;  volumes  nominal ones, 1 where they are not known

    ``rate_se`` is the error within the run over paired documents, where every file has the values of the same documents;
    else it is not given, and ``notes`` say so. Raises InputError in one line, with the metrics that the files hold.
    """
    wanted, axis = _mapping(mapping)
    if at and len(at) != len(files):
        few = f"{len(at)} perturbation{'s' * (len(at) != 1)} for {len(files)} file{'s' * (len(files) != 1)}"
        raise InputError(few, where="--at", mend="give one for each file")
    records = []
    for index, file in enumerate(files):
        steps = read_records(file, axis)
        if not steps:
            raise InputError("no row of it has a step", where=str(file), mend="export it once there are readings")
        if at and len(steps) != 1:
            raise InputError(
                f"{len(steps)} steps in a file", where=str(file), mend="leave --at away: it tells its steps"
            )
        records += [replace(record, step=float(at[index])) for record in steps] if at else steps
    if axis is not None:
        records = [replace(r, step=r.metrics[axis].value) if axis in r.metrics and not at else r for r in records]
    nowhere = next((record for record in records if record.step is None), None)
    if nowhere is not None:
        raise InputError(
            "the file tells no step", where=nowhere.where, mend="give the perturbation of each file with --at"
        )
    chosen = wanted or _guessed(records)
    for record, mapped in product(records, chosen):
        if text := record.texts.get(mapped.name):
            raise InputError(
                f"{mapped.name} is {text!r} at step {record.step:g}",
                where=record.where,
                mend="write a number, or leave the cell empty: that step is left out then",
            )
    scale = 1.0 if at or axis is not None else batch
    groups = _grouped(records, [mapped.name for mapped in chosen], scale, run or _name(files[0]))
    notes: list[str] = []
    curves = [_curve(name, steps, chosen, dict(volumes or {}), volume_unit, notes) for name, steps in groups.items()]
    absent = [
        name for name in COMPONENTS[:2] if name not in (volumes or {}) and any(m.component == name for m in chosen)
    ]
    if absent:
        notes.append(
            f"the volume of {' and '.join(absent)} is not known and stands as 1: R5 cannot be judged (--volumes)"
        )
    return ReadCurve(Curve.concat(curves), tuple(dict.fromkeys(notes)))


def _grouped(
    records: Sequence[Record], names: Sequence[str], scale: float, run: str
) -> dict[str, dict[float, dict[str, Metric]]]:
    """The metrics of each run at each perturbation, from all files together.

    Raises InputError where two values of one metric are told for the same run and step: they are of two runs.
    """
    groups: dict[str, dict[float, dict[str, Metric]]] = {}
    sources: dict[tuple[str, float, str], str] = {}
    for record in records:
        owner, at = record.run or run, float(record.step or 0.0) * scale
        metrics = groups.setdefault(owner, {}).setdefault(at, {})
        for name in (name for name in names if name in record.metrics):
            source = sources.setdefault((owner, at, name), record.where)
            if name in metrics and metrics[name].value != record.metrics[name].value:
                other = "another row" if source == record.where else source
                raise InputError(
                    f"{name} is {record.metrics[name].value:g} at step {record.step:g}, and {metrics[name].value:g} in {other}",
                    where=record.where,
                    mend="make a curve of each run, or one table with a column run, each step once",
                )
        metrics.update(record.metrics)
    return groups


def _mapping(text: str) -> tuple[list[Mapped], str | None]:
    chosen, axis = [], None
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, target = part.rpartition("=")
        component, _, kind = target.partition(":")
        if not sign or not name or not component or (kind or "loss") not in KINDS:
            raise InputError(
                f"cannot read {part!r}",
                where="--map",
                mend=f"write METRIC=COMPONENT:KIND with a kind of {', '.join(KINDS)}, or COLUMN={AXIS}",
            )
        if component == AXIS:
            axis = name
        else:
            chosen.append(Mapped(name, component, kind or "loss"))
    twice = [m.component for m in chosen if sum(m.component == other.component for other in chosen) > 1]
    if twice:
        raise InputError(f"{twice[0]} is mapped twice", where="--map", mend="give each component one metric")
    return chosen, axis


def _guessed(records: Sequence[Record]) -> list[Mapped]:
    """A loss for each component whose name is in the name of exactly one metric that is a loss."""
    names = list(dict.fromkeys(name for record in records for name in record.metrics))
    chosen = []
    for component in COMPONENTS:
        fitting = [name for name in names if component in name and name.endswith("loss")]
        if len(fitting) == 1:
            chosen.append(Mapped(fitting[0], component, "loss"))
    if not chosen:
        raise InputError(
            "which metric is which component is not told",
            where="--map",
            mend=f"write METRIC=COMPONENT:KIND; there are {', '.join(names[:20]) or 'none'}",
        )
    return chosen


def _curve(
    run: str,
    steps: Mapping[float, Mapping[str, Metric]],
    chosen: Sequence[Mapped],
    volumes: Mapping[str, float],
    volume_unit: str,
    notes: list[str],
) -> Curve:
    kept = {at: steps[at] for at in sorted(steps) if all(m.name in steps[at] for m in chosen)}
    if not kept or min(kept) != 0:
        names = sorted({name for metrics in steps.values() for name in metrics})
        lacking = next((m.name for m in chosen if m.name not in names), None)
        if lacking is not None:
            raise InputError(f"no metric {lacking!r}", where=f"run {run}", mend=f"there are {', '.join(names[:20])}")
        raise InputError(
            f"no reading before the perturbation: the first with every metric is at {min(kept, default=math.nan):g}",
            where=f"run {run}",
            mend="evaluate before the first step (eval_on_start=True), or give the step of the aligned model as 0 with --at",
        )
    units = {KINDS[m.kind].unit for m in chosen}
    if len(units) > 1:
        raise InputError(
            f"rates in {' and '.join(sorted(units))}", where=f"run {run}", mend="map metrics of kinds with one unit"
        )
    rates: dict[str, ArrayLike] = {}
    errors: dict[str, ArrayLike] = {}
    for m in chosen:
        readings = [metrics[m.name] for metrics in kept.values()]
        values = np.array([_checked(reading.value, m, run) for reading in readings])
        rates[m.component] = np.array([KINDS[m.kind].rate(x) for x in values])
        spread = _paired(readings)
        if spread is None:
            notes.append(f"{m.name} has no error within the run: the log holds no values of the same documents")
        else:
            errors[m.component] = np.array([abs(KINDS[m.kind].slope(x)) for x in values]) * spread
    known = {m.component: float(volumes.get(m.component, 1.0)) for m in chosen}
    last = max(kept)
    if "perturb" in known:
        known["perturb"] = last or 1.0
    whole: dict[str, ArrayLike] | None = (
        {name: errors.get(name, np.full(len(kept), np.nan)) for name in rates} if errors else None
    )
    return Curve.from_paths(run, known, list(kept), rates, units.pop(), volume_unit, rate_se=whole, protocol="read")


def _checked(value: float, mapped: Mapped, run: str) -> float:
    kind = KINDS[mapped.kind]
    if not kind.least <= value <= kind.most:
        raise InputError(
            f"{mapped.name} is {value:g} (kind {mapped.kind})", where=f"run {run}", mend=f"it has to be {kind.rule}"
        )
    return value


def _paired(readings: Sequence[Metric]) -> Array | None:
    """The error within the run of each reading, where all have values of as many documents of the same sizes."""
    first = readings[0]
    if len(readings) < 2 or first.values is None or first.sizes is None or len(first.values) < 2:
        return None
    rows = []
    for reading in readings:
        if reading.values is None or reading.sizes is None or not np.array_equal(reading.sizes, first.sizes):
            return None
        rows.append(reading.values)
    return within_run_se(np.stack(rows), first.sizes)


def _name(file: str | Path) -> str:
    """What a run is called: its table, or the folder of its checkpoints."""
    path = Path(file)
    if path.suffix in (".csv", ".parquet", ".jsonl") and not path.name.startswith(("samples_", "evaluator_scores")):
        return path.stem
    folders = (path if path.is_dir() else path.parent).parts
    return next((part for part in reversed(folders) if step_in(Path(part)) is None and part != "/"), path.stem)
