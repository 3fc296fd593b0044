"""What the exact compressor costs: 10,000 configurations of 2^16 leaves, and one of 2^10 to 2^24: `python -m benchmarks.mixture_cost`.

Writes docs/data/mixture-cost.json and, from it, docs/mixture-cost.md.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # one core for each configuration

import numpy as np  # noqa: E402

from elastomath.mixtures import kernels  # noqa: E402
from elastomath.storage import whole_file  # noqa: E402
from sim import MixtureConfiguration, mixture_paths  # noqa: E402
from sim.compressors.paths import mixture_path  # noqa: E402
from sim.sources.families import family_rows  # noqa: E402

READINGS = 5
SECONDS = 0.4
"""How long one size is repeated at least."""
TARGET = 90.0


def drawn(count: int, leaves: int, seed: int = 0) -> list[MixtureConfiguration]:
    """``count`` configurations, each with its own k, L, alpha and seed: 1 <= k <= 1000, 0.1 <= L <= 3, 1.1 <= alpha <= 4."""
    rng = np.random.default_rng(seed)
    ratios, ends = np.exp(rng.uniform(0, np.log(1000), count)), np.exp(rng.uniform(np.log(0.1), np.log(3), count))
    alphas = rng.uniform(1.1, 4.0, count)
    return [
        MixtureConfiguration(
            float(k), tuple((end * np.arange(READINGS) / (READINGS - 1)).tolist()), "union", a, leaves, i
        )
        for i, (k, end, a) in enumerate(zip(ratios, ends, alphas.tolist(), strict=True))
    ]


def many(count: int = 10_000, leaves: int = 1 << 16) -> dict[str, Any]:
    """Seconds for ``count`` configurations with everything that is read of them, and what they say of R5 and R8."""
    mixture_path(
        family_rows("union", 1.5, 1 << 14, 0, 0.0, 0.0), MixtureConfiguration(1.0)
    )  # compiled before the clock
    configurations = drawn(count, leaves)
    start = time.perf_counter()
    used = time.process_time()
    ratios, signs, above = [], 0, 0
    for path in mixture_paths(configurations):
        ratios.append(float(path.residual[-1] / path.bound[-1]))
        change = path.entropies[:2, -1] - path.entropies[:2, 0]
        signs += bool(change[0] < 0 < change[1])
        above += bool(path.theta[-1] >= 1)
    return {
        "configurations": count,
        "leaves": leaves,
        "readings": READINGS,
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - used,
        "cores": kernels.cores(),
        "load": os.getloadavg()[0],
        "largest_residual_over_bound": max(ratios),
        "with_signs": signs,
        "constant_at_least_one": above,
    }


def sizes(first: int = 10, last: int = 24) -> list[dict[str, Any]]:
    """Processor seconds of one configuration, drawn and read at five volumes, for 2^first ... 2^last leaves.

    The least disturbed of at least five.
    """
    rows: list[dict[str, Any]] = []
    mixture_path(
        family_rows("union", 1.5, 1 << 14, 0, 0.0, 0.0), MixtureConfiguration(1.0)
    )  # compiled before the clock
    for power in range(first, last + 1):
        configuration = MixtureConfiguration(10.0, (0.0, 0.25, 0.5, 0.75, 1.0), leaves=1 << power)
        spent: list[tuple[float, float]] = []
        while len(spent) < 5 or (sum(map(sum, spent)) < SECONDS and len(spent) < 2000):
            start = time.thread_time()
            masses = family_rows(*configuration.source)
            between = time.thread_time()
            mixture_path(masses, configuration)
            spent.append((between - start, time.thread_time() - between))
        draw, read = min(spent, key=sum)
        rows.append({"leaves": 1 << power, "draw": float(draw), "read": float(read), "repeated": len(spent)})
    return rows


def slope(rows: list[dict[str, Any]], least: int = 0) -> float:
    """The slope of ln(seconds) in ln(leaves), by least squares, over sizes of at least ``least`` leaves."""
    kept = [row for row in rows if row["leaves"] >= least]
    seconds = [row["draw"] + row["read"] for row in kept]
    return float(np.polyfit(np.log([row["leaves"] for row in kept]), np.log(seconds), 1)[0])


def page(found: dict[str, Any]) -> str:
    """The page for the documents."""
    run, table = found["many"], found["sizes"]
    lines = [
        "# What the exact compressor costs",
        "",
        f"`python -m benchmarks.mixture_cost` wrote this page and its numbers (docs/data/mixture-cost.json), on {run['cores']} cores.",
        "",
        f"**{run['configurations']:,} configurations of {run['leaves']:,} leaves and three datasets: {run['seconds']:.1f} s** "
        f"({run['processor_seconds']:.0f} s of processor time, on a machine with a load of {run['load']:.0f}; wanted: less than "
        f"{TARGET:.0f} s). A configuration has its own k (1 to 1000), L (0.1 to 3), alpha (1.1 to 4) and seed: its three Pareto "
        "vectors are drawn anew, P_p is the union of three parts, and rates, overlaps and derivatives of all datasets are read "
        f"at {run['readings']} perturbations from 0 to L.",
        "",
        f"Over all of them the residual of R5 is at most {run['largest_residual_over_bound']:.4f} of its bound (R5: 1/2); the signs "
        f"of Thm 4.2 hold from 0 to L in {run['with_signs']:,} of them, in {run['constant_at_least_one']:,} with "
        "-DeltaH_a/(k DeltaH_p) >= 1 (R3: where the signs hold).",
        "",
        "One configuration, drawn and read at five perturbations in one core, in processor time:",
        "",
        "| leaves | drawing, ms | reading, ms | ns a leaf |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in table:
        each = 1e9 * (row["draw"] + row["read"]) / row["leaves"]
        lines.append(f"| {row['leaves']:,} | {1e3 * row['draw']:.3f} | {1e3 * row['read']:.3f} | {each:.0f} |")
    lines += [
        "",
        f"Slope of the logarithm of time in the logarithm of leaves: {slope(table):.3f} over all sizes, {slope(table, 1 << 14):.3f} "
        "from 2^14 leaves on. Below 2^14 the calls cost more than the leaves; the largest sizes are read from memory, not from a cache.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mixture_cost", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the page (default docs)")
    parser.add_argument("--configurations", type=int, default=10_000)
    parser.add_argument("--last", type=int, default=24, help="2^last leaves are the largest size")
    options = parser.parse_args()
    found = {"many": many(options.configurations), "sizes": sizes(last=options.last)}
    for name, text in (
        ("data/mixture-cost.json", json.dumps(found, indent=1) + "\n"),
        ("mixture-cost.md", page(found)),
    ):
        with whole_file(options.out / name) as aside:
            aside.write_text(text)
    print(page(found))


if __name__ == "__main__":
    main()
