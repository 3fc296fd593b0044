"""What every protocol does at its end: a curve file, a summary beside it, and a count of its runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.ledger import Result
from elastomath.storage import whole_file

from .data import read_documents


def data_hashes(specs: Sequence[str]) -> dict[str, str | None]:
    """SHA-256 of the file behind each data specification (None for the hub), for the key of a run.

    A file that was changed since makes other runs, not the ones that the ledger holds.
    """
    return {spec: read_documents(spec).sha256 for spec in specs}


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
    Returns {"runs": {"done", "failed", "total"}, "curve"} and that part. Raises InputError where every run failed.
    """
    done = [result for result in results if result is not None]
    if not done:
        raise InputError(
            f"no run ended well: {failures[0]}", where=protocol, mend="mend that, then run the same command again"
        )
    curve = Curve.concat([to_curve(result) for result in done])
    path = curve.write(out / f"{protocol}.csv")
    counts = {"done": len(done), "failed": len(failures), "total": len(results)}
    summary = {"runs": counts, "curve": str(path)} | describe(done, curve)
    with whole_file(out / f"{protocol}.json") as aside:
        aside.write_text(json.dumps(summary, indent=1, allow_nan=False))
    return summary
