"""One table of ratios, measured in one run: `python -m benchmarks [--scale 0.1]`."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # one core each, before numpy starts its own

import numpy as np  # noqa: E402

from benchmarks import leaves, trees  # noqa: E402
from benchmarks.case import Case  # noqa: E402
from benchmarks.cases import cases  # noqa: E402

SECONDS = 3.0
"""How long the repetitions of one call may take together; a peer that takes longer is called once."""


def agree(case: Case) -> dict[str, float]:
    """Refuse to compare times where results differ. The first calls also compile and fill the caches.

    Returns the seconds of the peers that took more than `SECONDS`: they are not called again.
    """
    expected, slow = case.result(case.ours()), {}
    for peer, call in case.peers.items():
        start = time.perf_counter()
        answer = call()
        if (seconds := time.perf_counter() - start) > SECONDS:
            slow[peer] = seconds
        found = case.result(answer)
        if case.tolerance:
            np.testing.assert_allclose(found, expected, rtol=case.tolerance, err_msg=f"{case.work}: {peer}")
        elif isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(found, expected, err_msg=f"{case.work}: {peer}")
        elif found != expected:
            raise AssertionError(f"{case.work}: {peer} gives another result")
    return slow


def times(case: Case, slow: dict[str, float]) -> dict[str, float]:
    """The seconds of each call, the median or as `Case.brief` says; they take turns, so that a busy spell hits all alike."""
    rounds, clock, typical = (200, time.process_time, min) if case.brief else (7, time.perf_counter, statistics.median)
    calls: dict[str, Callable[[], Any]] = {"": case.ours, **case.peers, **case.floors}
    spent: dict[str, list[float]] = {name: [] for name in calls if name not in slow}
    for _ in range(rounds):
        for name, values in spent.items():
            if sum(values) < SECONDS:
                start = clock()
                calls[name]()
                values.append(clock() - start)
    return slow | {name: typical(values) for name, values in spent.items()}


@dataclass(frozen=True)
class Target:
    """What is wanted of a case, by the start of its name: the peer (or floor) at least ``ratio`` times as slow as ours."""

    work: str
    peer: str
    ratio: float


TARGETS = (
    Target("Huffman lengths", "constriction, build", 10.0),
    Target("Huffman lengths", "bitarray", 300.0),
    Target("token tree with counts", "marisa-trie (no counts)", 5.0),
    Target("rates and response", "reading the arrays once", 1 / 2.75),
    Target("Pareto fit with threshold scan", "powerlaw", 20.0),
)
CERTIFIED_SECONDS, TREE_BYTES = 0.2, 6e9
LEAVES_RATIO, SMALL_SECONDS = 1.0, 50e-6
"""Of each sum over leaves: plain numpy / ours at 1e5 and 1e6 leaves, and the time at 100."""


def judged(ratios: dict[tuple[str, str], float], seconds: dict[str, float], tree: dict[str, Any]) -> list[str]:
    """A line for each target: what was wanted, what was seen."""
    lines = []
    for target in TARGETS:
        seen = [ratio for (work, peer), ratio in ratios.items() if work.startswith(target.work) and peer == target.peer]
        verdict = "not run" if not seen else "yes" if min(seen) >= target.ratio else "NO"
        shown = f"{min(seen):.3g}" if seen else "-"
        lines.append(f"{target.work}: {target.peer} / ours >= {target.ratio:g}, seen {shown}: {verdict}")
    for size in ("1e+05", "1e+06"):
        wanted = {work: ratio for (work, _), ratio in ratios.items() if work.endswith(f"{size} {leaves.LEAVES}")}
        worst = min(wanted, key=wanted.__getitem__, default="sums, no")
        lines.append(
            f"each sum over {size} leaves: numpy / ours >= {LEAVES_RATIO:g}, seen "
            + (f"{wanted[worst]:.3g} ({worst.split(',')[0]}): " if wanted else "-: ")
            + ("not run" if not wanted else "yes" if wanted[worst] >= LEAVES_RATIO else "NO")
        )
    small = max((s for work, s in seconds.items() if work.endswith(f"1e+02 {leaves.LEAVES}")), default=math.inf)
    certified = next((s for work, s in seconds.items() if work.startswith("certified entropy")), math.inf)
    for what, seen_value, limit, unit in (
        ("certified entropy", certified, CERTIFIED_SECONDS, "s"),
        ("each sum over 100 leaves", small * 1e6, SMALL_SECONDS * 1e6, "microseconds"),
        ("peak memory of the large tree", tree["peak"] / 1e9, TREE_BYTES / 1e9, "GB"),
    ):
        lines.append(f"{what} < {limit:g} {unit}, seen {seen_value:.3g}: {'yes' if seen_value < limit else 'NO'}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply every size (default 1)")
    scale = parser.parse_args().scale
    tree = trees.large_tree(scale)  # first: a child's peak starts with its parent's
    print(f"{'work':<52}{'ours':>11}   {'peer':<28}{'peer':>11}{'ratio':>9}")
    ratios: dict[tuple[str, str], float] = {}
    seconds: dict[str, float] = {}
    for case in cases(scale):
        found = times(case, agree(case))
        seconds[case.work] = found[""]
        for index, peer in enumerate([*case.peers, *case.floors]):
            ours = f"{found[''] * 1e3:8.2f} ms" if index == 0 else ""
            work = case.work if index == 0 else ""
            ratio = ratios[case.work, peer] = found[peer] / found[""]
            print(f"{work:<52}{ours:>11}   {peer:<28}{found[peer] * 1e3:8.2f} ms{ratio:8.1f}x", flush=True)
    work = f"token tree, {int(1e7 * scale):.0e} x 8 bytes, a process of its own"
    print(f"{work:<52}{tree['seconds'] * 1e3:8.2f} ms   peak {tree['peak'] / 1e9:.2f} GB, {tree['leaves']} leaves")
    print(
        "\nmedians of calls that take turns (a call of more than 3 s once; sums over leaves: the least processor time), "
        "one core unless the work says more; ratio = peer / ours; results were equal before times were taken\n"
    )
    lines = judged(ratios, seconds, tree)
    print("\n".join(lines))
    sys.exit(any(line.endswith("NO") for line in lines))


if __name__ == "__main__":
    main()
