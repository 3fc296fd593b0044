"""Runs of a protocol through its ledger on any executor."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath.curve import Curve
from elastomath.runs.conduct import conclude
from elastomath.runs.executors import HERE
from elastomath.runs.ledger import Configuration, Ledger, Result, sweep

if TYPE_CHECKING:
    from .laboratory import Equipment


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
               is what `elastomath.runs.ledger.sweep` gets
    executor   ``here``, or what `elastomath.runs.executors.open_executor` takes (local, slurm, slurm-local, tcp://HOST:PORT)

    The summary's ``lossy`` counts the texts of a run that the tokenizer does not give back byte for byte.
    A run that fails is recorded with its reason and does not stop the others; the same command tries it again.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        with Ledger(out / f"{protocol}.sqlite") as ledger, _executor(executor, workers) as pool:
            task = functools.partial(_run, run, equipment)
            results, failures = sweep(task, configurations, ledger, executor=pool, what=f"{protocol} runs")
    finally:
        from .laboratory import close_laboratory

        close_laboratory()

    def described(done: list[Result], curve: Curve) -> dict[str, Any]:
        return describe(done, curve) | {"lossy": max(result.get("lossy", 0) for result in done)}

    summary = conclude(protocol, out, results, failures, to_curve, described)
    if not failures:
        for left in [*Path(equipment.folder).glob("*.safetensors"), *Path(equipment.folder).glob(".*.lock")]:
            left.unlink(missing_ok=True)
    return summary


def _run(
    run: Callable[[Equipment, Configuration], Result], equipment: Equipment, configuration: Configuration
) -> Result:
    from .laboratory import texts_lost

    return run(equipment, configuration) | {"lossy": texts_lost()}


def _executor(spec: str, workers: int) -> contextlib.AbstractContextManager[Any]:
    if spec == HERE:
        return contextlib.nullcontext(None)
    from elastomath.runs.executors import open_executor

    opened: contextlib.AbstractContextManager[Any] = open_executor(spec, workers=workers)
    return opened
