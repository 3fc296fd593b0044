"""One table of ratios, measured in one run: `python -m benchmarks [--scale 0.1]`."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # one core each, before numpy starts its own

import numpy as np  # noqa: E402

from benchmarks.case import Case  # noqa: E402
from benchmarks.cases import cases  # noqa: E402

SECONDS = 3.0
"""How long the repetitions of one call may take together."""


def agree(case: Case) -> None:
    """Refuse to compare times where results differ. The first calls also compile and fill the caches."""
    expected = case.result(case.ours())
    for peer, call in case.peers.items():
        found = case.result(call())
        if case.tolerance:
            np.testing.assert_allclose(found, expected, rtol=case.tolerance, err_msg=f"{case.work}: {peer}")
        elif isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(found, expected, err_msg=f"{case.work}: {peer}")
        elif found != expected:
            raise AssertionError(f"{case.work}: {peer} gives another result")


def times(case: Case) -> dict[str, float]:
    """The median seconds of each call; the calls take turns, so that a busy spell of the machine hits all alike."""
    calls: dict[str, Callable[[], Any]] = {"": case.ours, **case.peers, **case.floors}
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(7):
        for name, call in calls.items():
            if len(spent[name]) < 3 or sum(spent[name]) < SECONDS:
                start = time.perf_counter()
                call()
                spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply every size (default 1)")
    scale = parser.parse_args().scale
    print(f"{'work':<52}{'ours':>11}   {'peer':<28}{'peer':>11}{'ratio':>9}")
    for case in cases(scale):
        agree(case)
        found = times(case)
        for index, peer in enumerate([*case.peers, *case.floors]):
            ours = f"{found[''] * 1e3:8.2f} ms" if index == 0 else ""
            work = case.work if index == 0 else ""
            ratio = found[peer] / found[""]
            print(f"{work:<52}{ours:>11}   {peer:<28}{found[peer] * 1e3:8.2f} ms{ratio:8.1f}x", flush=True)
    print(
        "\nmedians of calls that take turns, one core unless the work says more; ratio = peer / ours; "
        "results were equal before times were taken"
    )


if __name__ == "__main__":
    main()
