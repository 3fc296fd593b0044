"""What every protocol shares: runs through a ledger on any executor; a curve file, a summary, a count of runs at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..curve import Curve
from ..errors import InputError
from ..storage import whole_file
from .ledger import Result

ProtocolSummary = dict[str, Any]
"""What a protocol's JSON file holds: runs, curve, failures, settings, and the protocol's own part (a `results.py` beside it)."""


def conclude(
    protocol: str,
    out: Path,
    results: Sequence[Result | None],
    failures: Sequence[str],
    to_curve: Callable[[Result], Curve],
    describe: Callable[[list[Result], Curve], Mapping[str, Any]],
) -> ProtocolSummary:
    """Write ``PROTOCOL.csv``, the runs joined into one Curve, and ``PROTOCOL.json``; return what the latter holds.

    results, failures: as `elastomath.runs.ledger.sweep` returns them. describe: the protocol's own part of the summary.
    Returns {"runs": {"done", "failed", "total"}, "curve", "failures"} and that part. Raises InputError where every run failed.
    """
    done = [result for result in results if result is not None]
    if not done:
        reason = failures[0].partition(" failed: ")[2].removeprefix("StageError: ")  # it names its own place and mend
        raise InputError(f"no run of {protocol} ended well: {reason}")
    curve = Curve.concat([to_curve(result) for result in done])
    path = curve.write(out / f"{protocol}.csv")
    counts = {"done": len(done), "failed": len(failures), "total": len(results)}
    summary = {"runs": counts, "curve": str(path), "failures": list(failures), **describe(done, curve)}
    with whole_file(out / f"{protocol}.json") as aside:
        aside.write_text(json.dumps(summary, indent=1, allow_nan=False))
    return summary
