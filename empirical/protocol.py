"""What every protocol shares: runs through a ledger on any executor; a curve file, a summary, a count of runs at the end."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.ledger import Configuration, Ledger, Result, sweep
from elastomath.storage import whole_file

from .protocol_data import source_hash

if TYPE_CHECKING:
    from .laboratory import Equipment

HERE = "here"
"""The executor that is none: runs are made in this process, one after another."""


def data_hashes(specs: Sequence[str]) -> dict[str, str | None]:
    """SHA-256 of the file behind each data specification (None for the hub), for the key of a run.

    A file that was changed since makes other runs, not the ones that the ledger holds.
    """
    return {spec: source_hash(spec) for spec in specs}


def conduct(
    protocol: str,
    run: Callable[[Equipment, Configuration], Result],
    equipment: Equipment,
    configurations: Sequence[Configuration],
    out: Path,
    to_curve: Callable[[Result], Curve],
    describe: Callable[[list[Result], Curve], dict[str, Any]],
    *,
    executor: str = HERE,
    workers: int = 1,
) -> dict[str, Any]:
    """Make every run that the ledger ``out/PROTOCOL.sqlite`` lacks, then `conclude`; checkpoints go when all ended well.

    run        a function of a module, so that it can be sent to other processes: `functools.partial(run, equipment)`
               is what `elastomath.ledger.sweep` gets
    executor   ``here``, or what `elastomath.executors.open_executor` takes (local, slurm, slurm-local, tcp://HOST:PORT)

    A run that fails is recorded with its reason and does not stop the others; the same command tries it again.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        with Ledger(out / f"{protocol}.sqlite") as ledger, _executor(executor, workers) as pool:
            task = functools.partial(run, equipment)
            results, failures = sweep(task, configurations, ledger, executor=pool, what=f"{protocol} runs")
    finally:
        from .laboratory import close_laboratory

        close_laboratory()
    summary = conclude(protocol, out, results, failures, to_curve, describe)
    if not failures:
        for left in [*Path(equipment.folder).glob("*.safetensors"), *Path(equipment.folder).glob(".*.lock")]:
            left.unlink(missing_ok=True)
    return summary


def _executor(spec: str, workers: int) -> contextlib.AbstractContextManager[Any]:
    if spec == HERE:
        return contextlib.nullcontext(None)
    from elastomath.executors import open_executor

    opened: contextlib.AbstractContextManager[Any] = open_executor(spec, workers=workers)
    return opened


def conclude(
    protocol: str,
    out: Path,
    results: Sequence[Result | None],
    failures: Sequence[str],
    to_curve: Callable[[Result], Curve],
    describe: Callable[[list[Result], Curve], dict[str, Any]],
) -> dict[str, Any]:
    """Write ``PROTOCOL.csv``, the runs joined into one Curve, and ``PROTOCOL.json``; return what the latter holds.

    results, failures: as `elastomath.ledger.sweep` returns them. describe: the protocol's own part of the summary.
    Returns {"runs": {"done", "failed", "total"}, "curve", "failures"} and that part. Raises InputError where every run failed.
    """
    done = [result for result in results if result is not None]
    if not done:
        reason = failures[0].partition(" failed: ")[2].removeprefix("StageError: ")  # it names its own place and mend
        raise InputError(f"no run of {protocol} ended well: {reason}")
    curve = Curve.concat([to_curve(result) for result in done])
    path = curve.write(out / f"{protocol}.csv")
    counts = {"done": len(done), "failed": len(failures), "total": len(results)}
    summary = {"runs": counts, "curve": str(path), "failures": list(failures)} | describe(done, curve)
    with whole_file(out / f"{protocol}.json") as aside:
        aside.write_text(json.dumps(summary, indent=1, allow_nan=False))
    return summary
