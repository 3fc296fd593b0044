"""Runs of a protocol through its ledger on any executor."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypedDict, Unpack

from elastomath.curve import Curve
from elastomath.runs.conduct import ProtocolSummary, conclude
from elastomath.runs.executors import HERE
from elastomath.runs.ledger import Configuration, Ledger, Result, sweep

if TYPE_CHECKING:
    from .laboratory import Equipment


class Where(TypedDict, total=False):
    """Where the runs of a protocol are made, and in which numbers; what is left out is ``auto``, no, `HERE` and 1.

    device             ``auto``, ``cpu``, ``cuda`` ...
    dtype              that of the layers, as `Equipment` takes it
    trust_remote_code  run the code that comes with the model
    executor           ``here``, or what `elastomath.runs.executors.open_executor` takes (local, slurm, slurm-local, tcp://HOST:PORT)
    workers            how many runs are made side by side on that executor
    """

    device: str
    dtype: str
    trust_remote_code: bool
    executor: str
    workers: int


class Experiment(Protocol):
    """What the settings of a protocol say of its runs."""

    NAME: ClassVar[str]

    def equipment(self, out: Path, device: str, dtype: str, trust_remote_code: bool) -> Equipment:
        """What every run needs beside its configuration."""

    def planned(self, equipment: Equipment) -> list[Configuration]:
        """The configuration of every run."""

    def about(self, equipment: Equipment) -> Mapping[str, object]:
        """The settings as the summary tells them."""


def perform(
    settings: Experiment,
    run: Callable[[Equipment, Configuration], Result],
    to_curve: Callable[[Result], Curve],
    describe: Callable[[list[Result], Curve], Mapping[str, Any]],
    out: Path,
    *,
    opened: Callable[[Equipment, int], None] | None = None,
    **where: Unpack[Where],
) -> ProtocolSummary:
    """The runs that the settings plan, through `conduct`, with the settings in the summary: how every protocol begins and ends.

    opened: called before the first run with the equipment and the number of runs, where they are made in this process.
    """
    equipment = settings.equipment(
        out, where.get("device", "auto"), where.get("dtype", "auto"), where.get("trust_remote_code", False)
    )
    configurations, executor = settings.planned(equipment), where.get("executor", HERE)
    if opened is not None and executor == HERE:
        opened(equipment, len(configurations))

    def described(done: list[Result], curve: Curve) -> ProtocolSummary:
        return {**describe(done, curve), "settings": settings.about(equipment)}

    return conduct(
        settings.NAME,
        run,
        equipment,
        configurations,
        out,
        to_curve,
        described,
        executor=executor,
        workers=where.get("workers", 1),
    )


def conduct(
    protocol: str,
    run: Callable[[Equipment, Configuration], Result],
    equipment: Equipment,
    configurations: Sequence[Configuration],
    out: Path,
    to_curve: Callable[[Result], Curve],
    describe: Callable[[list[Result], Curve], Mapping[str, Any]],
    *,
    executor: str = HERE,
    workers: int = 1,
) -> ProtocolSummary:
    """Make every run that the ledger ``out/PROTOCOL.sqlite`` lacks, then `conclude`; checkpoints go when all ended well.

    run        a function of a module, so that it can be sent to other processes: `functools.partial(run, equipment)`
               is what `elastomath.runs.ledger.sweep` gets
    executor   ``here``, or what `elastomath.runs.executors.open_executor` takes (local, slurm, slurm-local, tcp://HOST:PORT)

    The summary's ``lossy`` counts the texts of a run that the tokenizer does not give back byte for byte.
    A run that fails is recorded with its reason and does not stop the others; the same command tries it again.
    """
    try:
        with Ledger(out / f"{protocol}.sqlite") as ledger, _executor(executor, workers) as pool:
            task = functools.partial(_run, run, equipment)
            results, failures = sweep(task, configurations, ledger, executor=pool, what=f"{protocol} runs")
    finally:
        from .laboratory import close_laboratory

        close_laboratory()

    def described(done: list[Result], curve: Curve) -> ProtocolSummary:
        return {**describe(done, curve), "lossy": max(result.get("lossy", 0) for result in done)}

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
