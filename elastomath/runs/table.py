"""Tables of many runs: the shares of the datasets that each was trained on, and the rates that it reached on them (R27)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..checks import real
from ..errors import InputError
from ..foreign import refuse_kind
from ..tables import read_csv

SHARE, RATE = "share_", "rate_"
"""What the columns of one table begin with."""


@dataclass(frozen=True, slots=True)
class RunTable:
    """Runs with the shares and the rates of the datasets that have both.

    datasets  n names;  shares, rates  shape (R, n);  runs  their R labels
    unrated   datasets with a share and no rate;  dropped  how many runs had too much of those
    """

    datasets: tuple[str, ...]
    shares: Array
    rates: Array
    runs: tuple[str, ...]
    unrated: tuple[str, ...]
    dropped: int


def read_runs(
    shares: str | os.PathLike[str], rates: str | os.PathLike[str] | None = None, *, coverage: float = 0.98
) -> RunTable:
    """Read runs from one CSV file with columns ``share_NAME`` and ``rate_NAME``, or from two that share their first column.

    Of two files every further column is a dataset; what all names of a file begin and end with is left away, so that
    ``train_the_pile_arxiv`` meets ``metric/the_pile_arxiv_val_loss``. Datasets need a share and a rate; of the others only the
    share is known, and runs with a share below ``coverage`` in the rated ones are dropped: what they do there is not seen.
    Raises InputError for a file that cannot be read, labels that do not agree, text where a number belongs, negative shares,
    and where fewer than two runs or datasets are left.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "runs.csv"
    >>> _ = file.write_text("run,share_a,share_b,rate_a,rate_b\\none,0.9,0.1,1.0,3.0\\ntwo,0.1,0.9,2.0,1.5\\n")
    >>> read_runs(file).shares.tolist()
    [[0.9, 0.1], [0.1, 0.9]]
    """
    least = real(coverage, "coverage", "read_runs", above=0, most=1)
    name = os.fspath(shares)
    for table in (shares, *([] if rates is None else [rates])):
        refuse_kind(
            table, "a CSV table of runs", f"give a .csv file, a row a run, with columns {SHARE}NAME and {RATE}NAME"
        )
    header, lines = read_csv(shares)
    if rates is None:
        labels, mixed = [row[0] for row in lines], _columns(header, lines, SHARE, name)
        columns = _columns(header, lines, RATE, name)
    else:
        labels, mixed = _all_columns(header, lines, name)
        others, columns = _all_columns(*read_csv(rates), os.fspath(rates))
        mixed, columns, labels = _joined(labels, mixed, others, columns, os.fspath(rates))
    datasets = tuple(dataset for dataset in mixed if dataset in columns)
    if len(datasets) < 2 or not labels:
        raise InputError(
            f"{len(datasets)} datasets with a share and a rate, {len(labels)} runs",
            where=name,
            mend=f"name columns {SHARE}NAME and {RATE}NAME, or give two files whose columns end alike",
        )
    unrated = tuple(dataset for dataset in mixed if dataset not in columns)
    whole = np.array([mixed[dataset] for dataset in mixed]).T
    w, h = (np.array([part[dataset] for dataset in datasets]).T for part in (mixed, columns))
    if np.any(whole < 0):
        raise InputError("a share is negative", where=name, mend="shares are >= 0")
    total = whole.sum(axis=1)
    # shares that were rounded add up to a little more or less than 1; volumes to anything
    scale = np.where(np.abs(total - 1) < 0.02, 1.0, np.where(total > 0, total, 1.0))
    kept = (w.sum(axis=1) / scale >= least - 1e-9) & (total > 0)
    if np.count_nonzero(kept) < 2:
        raise InputError(
            f"{np.count_nonzero(kept)} of {len(labels)} runs have {100 * least:g}% of their mixture in rated datasets",
            where=name,
            mend="lower --coverage, or rate more datasets",
        )
    trained = w[kept].sum(axis=0) > 0
    runs = tuple(label for label, keep in zip(labels, kept, strict=True) if keep)
    return RunTable(
        tuple(dataset for dataset, used in zip(datasets, trained, strict=True) if used),
        w[kept][:, trained],
        h[kept][:, trained],
        runs,
        unrated,
        int(np.count_nonzero(~kept)),
    )


def _columns(header: Sequence[str], lines: Sequence[Sequence[str]], prefix: str, where: str) -> dict[str, list[float]]:
    places = {name.removeprefix(prefix): index for index, name in enumerate(header) if name.startswith(prefix)}
    return {name: [_number(row[at], where, header[at]) for row in lines] for name, at in places.items()}


def _all_columns(
    header: Sequence[str], lines: Sequence[Sequence[str]], where: str
) -> tuple[list[str], dict[str, list[float]]]:
    """The labels of the first column, and the others by what their names do not share."""
    names = list(header[1:])
    start = _common(names)
    end = _common([name[start:][::-1] for name in names])
    short = [name[start : len(name) - end] for name in names]
    values = {
        name: [_number(row[at + 1], where, header[at + 1]) for row in lines] for at, name in enumerate(short) if name
    }
    return [row[0] for row in lines], values


def _common(names: Sequence[str]) -> int:
    """How many characters all names begin with; 0 for one name."""
    if len(names) < 2:
        return 0
    first, last = min(names), max(names)
    return next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _joined(
    labels: list[str], mixed: dict[str, list[float]], others: list[str], columns: dict[str, list[float]], where: str
) -> tuple[dict[str, list[float]], dict[str, list[float]], list[str]]:
    """Both tables in the order of the first, the runs that both have."""
    for each in (labels, others):
        if len(set(each)) < len(each):
            raise InputError("a run occurs twice in the first column", where=where, mend="label each run once")
    place = {label: index for index, label in enumerate(others)}
    both = [index for index, label in enumerate(labels) if label in place]
    order = [place[labels[index]] for index in both]
    return (
        {name: [values[index] for index in both] for name, values in mixed.items()},
        {name: [values[index] for index in order] for name, values in columns.items()},
        [labels[index] for index in both],
    )


def _number(text: str, where: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{text!r} in column {column!r}", where=where, mend="write a finite number")
    return value
