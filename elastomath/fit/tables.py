"""Tables as people have them: a curve with a part missing, or scores; what can be had from them, and what cannot, said once."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..curve import LARGEST, Curve, numbers_of, read_frame
from ..errors import InputError
from .course import Course, courses
from .readings import ROLES

SCORE = ("run", "perturbation", "score", "trials", "score_se", "base_score", "chance", "align_volume", "volume_unit")
"""Columns of a table of scores that are no covariates; run, perturbation and score have to be there."""
ONCE = ("base_score", "chance", "align_volume", "volume_unit")
"""Columns of a table of scores that have one value a run."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds.

    curve    the curve, where every run has what R16 needs (pretrain, align, perturb, two perturbations beside 0), else None
    courses  the course of each run;  missing  what the table cannot say, a sentence each
    """

    curve: Curve | None
    courses: tuple[Course, ...]
    missing: tuple[str, ...]


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a CSV or Parquet file: a `Curve`, one with a part missing, or scores.

    Of a curve may be missing: the component align or pretrain; the volume of pretrain (kappa is then relative); the row at
    perturbation 0 (volumes are then counted from the first reading); all readings but one. A table of scores has the columns
    run, perturbation, score (a share), and may have trials (binomial errors) or score_se, base_score (before the alignment) or
    chance, align_volume, volume_unit; all else are covariates. A score that an attack raises is read as one less the score.
    Raises InputError in one line, as `Curve.read`, for scores outside [0, 1], and for text where a number is due.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scores.csv"
    >>> _ = file.write_text("run,perturbation,score,trials,chance\\na,0,0.9,400,0.5\\na,8,0.7,400,0.5\\na,16,0.4,400,0.5\\n")
    >>> print(read_table(file).courses[0].passage())
    13.4 [12.5, 14.4] examples
    """
    frame = read_frame(path)
    where = str(path)
    if "score" in frame.columns and "rate" not in frame.columns:
        return Table(None, tuple(_scores(frame, where)), ("no rates: no effective volumes (R16), and no constant c",))
    missing = []
    if {"component", "volume"} <= set(frame.columns):
        unknown = (frame["component"] == "pretrain") & frame["volume"].isna()
        if unknown.any():
            frame = frame.assign(volume=frame["volume"].where(~unknown, 1.0))
            missing.append("no volume of pretrain: it counts as 1, so that K_pretrain and kappa are relative to it")
    if {"run", "perturbation"} <= set(frame.columns) and frame["perturbation"].dtype.kind in "if":
        first = frame.groupby("run")["perturbation"].transform("min")
        if (first > 0).any():
            frame = frame.assign(perturbation=frame["perturbation"] - first)
            missing.append(
                "no row at perturbation 0: volumes are counted from the first reading, and what was undone before it is not seen"
            )
    curve = Curve(frame, where=where)
    runs = list(curve)
    there = {name for run in runs for name in run.components}
    whole = all(set(ROLES) <= set(run.components) and run.perturbations.size > 2 for run in runs)
    if not whole:
        lacking = [role for role in ROLES if role not in there]
        parts = (
            [f"no component {' or '.join(lacking)}"]
            if lacking
            else ["runs without pretrain, align, perturb at two perturbations"]
        )
        missing.append(f"{parts[0]}: no effective volumes and no kappa (R16)")
    return Table(curve if whole else None, tuple(courses(curve)), tuple(missing))


def _scores(frame: Any, where: str) -> list[Course]:
    absent = [name for name in SCORE[:3] if name not in frame.columns]
    if absent or frame.empty:
        raise InputError(
            f"columns missing: {', '.join(absent)}" if absent else "the table has no rows",
            where=where,
            mend="a table of scores has the columns run, perturbation, score",
        )
    numbers = {}
    for name in SCORE[1:-1]:
        if name in frame.columns:
            numbers[name] = numbers_of(frame, name, where)
    frame = frame.assign(**numbers)
    for name, values in ((name, column.to_numpy()) for name, column in numbers.items()):
        share = name in ("score", "base_score", "chance")
        wrong = ~((values >= 0) & (values <= (1.0 if share else LARGEST)))
        if not share:  # as the numbers of a curve, which are computed with
            wrong |= (values > 0) & (values < 1 / LARGEST)
        if name == "trials":
            wrong |= values < 1
        if name not in ("perturbation", "score"):
            wrong &= ~np.isnan(values)
        if wrong.any():
            row = int(np.argmax(wrong))
            rule = "a share between 0 and 1" if share else f"0 or a number between {1 / LARGEST:g} and {LARGEST:g}"
            if name == "trials" and (values[row] == 0 or 1 / LARGEST <= values[row] < 1):
                rule = "1 or more"
            raise InputError(f"row {row + 1}: {name} is {values[row]:g}", where=where, mend=f"{name} has to be {rule}")
    for name in (name for name in ONCE if name in frame.columns):
        several = frame.groupby("run", sort=False)[name].nunique() > 1
        if several.any():
            raise InputError(
                f"run {several.idxmax()} has several values of {name}", where=where, mend="write one value for each run"
            )
    if frame.duplicated(["run", "perturbation"]).any():
        raise InputError("a perturbation occurs twice in a run", where=where, mend="write one score for each")
    return [
        _score_course(str(name), rows.sort_values("perturbation")) for name, rows in frame.groupby("run", sort=False)
    ]


def _score_course(name: str, rows: Any) -> Course:
    score = rows["score"].to_numpy(np.float64)
    errors = np.full(score.size, math.nan)
    if "score_se" in rows.columns:
        errors = rows["score_se"].to_numpy(np.float64)
    elif "trials" in rows.columns:
        trials = rows["trials"].to_numpy(np.float64)
        errors = _binomial_error(score, trials)
    base, base_error = _first(rows, "base_score"), math.nan
    if math.isnan(base):
        base = _first(rows, "chance")
        base_error = 0.0
    elif "trials" in rows.columns:
        base_error = float(_binomial_error(base, _first(rows, "trials")))
    measure = "score"
    if base > score[0]:  # an attack raises it: what falls is the rest
        measure, score, base = "1 - score", 1 - score, 1 - base
    covariates: Mapping[str, Any] = {
        str(column): rows[column].iloc[0]
        for column in rows.columns
        if column not in SCORE and rows[column].nunique() == 1
    }
    align = _first(rows, "align_volume")
    unit = str(rows["volume_unit"].iloc[0]) if "volume_unit" in rows.columns else "examples"
    return Course(
        name, measure, "score", unit, rows["perturbation"].to_numpy(np.float64), score, errors, base, base_error,
        None if math.isnan(align) else align, covariates=covariates,
    )  # fmt: skip


def _binomial_error(share: ArrayLike, trials: ArrayLike) -> Array:
    """The standard error of a share of so many trials after Agresti and Coull (1998): one of 0 or 1 has an error too.

    >>> float(_binomial_error(0.0, 10).round(4)), float(_binomial_error(0.5, 396).round(4))
    (0.0935, 0.025)
    """
    count = np.asarray(trials, dtype=np.float64) + 4
    middle = (np.asarray(share) * (count - 4) + 2) / count
    return np.asarray(np.sqrt(middle * (1 - middle) / count), dtype=np.float64)


def _first(rows: Any, column: str) -> float:
    """The first value that is not empty."""
    known = rows[column].dropna().to_numpy(np.float64) if column in rows.columns else np.empty(0)
    return float(known[0]) if known.size else math.nan
