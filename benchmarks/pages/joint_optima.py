"""The numbers and the figure of docs/joint-optima.md: `python -m benchmarks.pages joint-optima [--out docs]` (some five minutes).

Writes data/joint-optima.json (paths of joint optima, as they were read) and figures/joint-optima.svg; prints the table that the page has.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.pages import DOCS
from elastomath.progress import track
from sim import problem_of_markov
from sim.compressors.descent import JointTraining
from sim.compressors.softmax import SoftmaxCompressor
from sim.compressors.transformer import TransformerCompressor
from sim.cycles.figures import stationarity_figure
from sim.cycles.stationary import Stationarity, optima_path, path_grid, save_paths, stationarity_table

RUNGS: dict[str, dict[str, Any]] = {
    "AdamW, 50 steps": {"adamw": 50, "again": 12, "lbfgs": 0, "newton": 0},
    "AdamW, 100 steps": {"adamw": 100, "again": 25, "lbfgs": 0, "newton": 0},
    "AdamW, 200 steps": {"adamw": 200, "again": 50, "lbfgs": 0, "newton": 0},
    "AdamW, 400 steps": {"adamw": 400, "again": 100, "lbfgs": 0, "newton": 0},
    "then L-BFGS, 50 evaluations": {"adamw": 200, "lbfgs": 50, "newton": 0},
    "then L-BFGS, 400 evaluations": {"adamw": 200, "lbfgs": 400, "newton": 0},
    "then Newton to 1e-4": {"adamw": 200, "lbfgs": 0, "tolerance": 1e-4},
    "then Newton to 1e-6": {"adamw": 200, "lbfgs": 0, "tolerance": 1e-6},
    "then Newton to 1e-9": {"adamw": 200, "lbfgs": 0, "tolerance": 1e-9},
}
"""How far one transformer (50 thousand parameters, 27 leaves) is trained; warm starts along l take a quarter of AdamW's steps."""


def compressors() -> list[tuple[str, Any]]:
    """What the page compares, by name: sources of one law for every context, P_p the union of three."""

    def source(alphabet: int, length: int) -> Any:
        return problem_of_markov(alphabet, length - 1, length, split=1.0, conflict=1.0, cover=0.02)

    small, larger = source(3, 3), source(4, 4)
    made: list[tuple[str, Any]] = [
        (f"softmax, {kind}", SoftmaxCompressor(larger, kind)) for kind in ("random", "ngrams", "prefix")
    ]
    for name, settings in RUNGS.items():
        joint = JointTraining(**settings)
        made.append((f"transformer: {name}", TransformerCompressor(small, "50k", dtype="float64", joint=joint)))
    far = JointTraining(adamw=600, lbfgs=0, newton=80)
    made.append(
        ("transformer, 256 leaves: Newton to 1e-9", TransformerCompressor(larger, "50k", dtype="float64", joint=far))
    )
    narrow = JointTraining(adamw=600, again=100, lbfgs=400, tolerance=1e-6)
    made.append(
        ("bottleneck: L-BFGS", TransformerCompressor(source(8, 2), "bottleneck", dtype="float64", joint=narrow))
    )
    return made


def line(row: Stationarity) -> str:
    """One row of the page's table."""
    first, second = row.errors
    return (
        f"| {row.name} | {row.parameters} | {row.gradient:.0e} | {row.one_plus_cosine:.0e} | {row.ratio / row.nominal - 1:+.0e} "
        f"| {row.low:.3f} .. {row.high:.3f} | {first:+.0e} | {second:+.0e} |"
    )


def main() -> None:
    """Read every path, write the data and the figure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS)
    out = parser.parse_args().out
    chosen = compressors()
    paths = []
    for name, compressor in track(chosen, len(chosen), "joint optima"):
        points = 16 if name.startswith("softmax") else 6
        path = optima_path(compressor, [5, 1], path_grid(2.0, points))
        paths.append(({"name": name, "parameters": compressor.parameters, "points": points}, path))
        save_paths(out / "data" / "joint-optima.json", paths)
    rows = stationarity_table(out / "data" / "joint-optima.json")
    stationarity_figure(
        [row for row in rows if row.name.startswith("transformer:")], out / "figures" / "joint-optima.svg"
    )
    print("\n".join(line(row) for row in rows))
