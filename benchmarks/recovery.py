"""Is each law found on curves that it drew, and does the fit say where it cannot tell? `python -m benchmarks.recovery`.

Writes docs/data/recovery.json, a case at a time (a run that was stopped goes on), and prints the tables of docs/recovery.md:
contrasts of runs of two bases, judged by `compare_over_bases`, all draws of a case side by side.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastomath.fit.law_choice import compare_many
from elastomath.fit.readings import Readings
from elastomath.fit.rival_laws import (
    FORGETTING,
    JOINT,
    LAWS,
    LINE,
    LOGIT,
    LOGIT_IN_NATS,
    POWER,
    REBOUND,
    REBOUND_FALLING,
    Law,
)
from elastomath.laws.logit import aligned_contrast
from elastomath.progress import track
from elastomath.storage import whole_file

Array = NDArray[np.float64]
DOCS = Path(__file__).parents[1] / "docs"
DRAWS = 200
NOISES = (0.03, 0.2)
"""Standard error of a reading of the contrast, nats; 32 held-out prompts of SmolLM2 give some 0.03 (a scatter of 0.2 a prompt)."""
TOP, READINGS = 48.0, 13
ALIGNED = (8, 32, 128, 512)
NAMED = [{LOGIT: LOGIT_IN_NATS, REBOUND: REBOUND_FALLING}.get(law, law) for law in LAWS]
NUMBERS: dict[str, list[float]] = {
    LOGIT.name: [np.log(0.15)],
    FORGETTING.name: [np.log(0.05), -1.5],
    JOINT.name: [np.log(0.2), -3.0],
    REBOUND.name: [np.log(0.8), np.log(0.05), 0.2],
    POWER.name: [np.log(1.8), -0.002],
    LINE.name: [-0.07],
}
"""The law that draws, and the numbers that all runs share: falls of some nats over 48 opposed examples."""
DRAWN = [law for law in NAMED if law.name in NUMBERS]


def exact(law: Law, start: float, n: float) -> Array:
    """The contrast along one run."""
    steps = np.linspace(0.0, TOP, READINGS)
    return law.over_runs(
        np.array(NUMBERS[law.name]),
        steps,
        np.full(READINGS, start),
        np.full(READINGS, n if law.by_align else 160.0 + n),
    )


def drawn(law: Law, rng: np.random.Generator, noise: float) -> tuple[list[Readings], list[str]]:
    """Runs of two bases: four alignment volumes each, their contrast read with an error of ``noise``."""
    runs, bases = [], []
    for base in ("a", "b"):
        for n in ALIGNED:
            start = float(aligned_contrast(-0.3, n, 0.15)) + 0.05 * rng.standard_normal()
            rates = np.ones((3, READINGS))
            rates[1] = exact(law, start, n) + noise * rng.standard_normal(READINGS)
            volumes, errors = np.array([160.0, n, TOP]), np.full((3, READINGS), noise)
            steps = np.linspace(0.0, 1.0, READINGS)
            runs.append(
                Readings(f"{base}-{n}", "nats/response", steps, rates, errors, True, volumes, TOP, "spline", ())
            )
            bases.append(base)
    return runs, bases


def apart(law: Law, rival: Law) -> float:
    """How far the rival at its best stays from the law's exact courses: root mean square, nats."""
    from elastomath.fit.law_choice import _OverRuns, _Pile, fit_over_runs

    runs, _ = drawn(law, np.random.default_rng(0), 1e-9)
    piles = [_Pile.of(runs[:4]), _Pile.of(runs[4:])]
    gaps = [
        _OverRuns(rival, pile).residual(numbers[None]) * 1e-9
        for pile, numbers in zip(piles, fit_over_runs(rival, piles), strict=True)
    ]
    return float(np.sqrt(np.mean(np.concatenate(gaps) ** 2)))


def judged(law: Law, noise: float, draws: int) -> dict[str, Any]:
    """How often the law is chosen, kept among those that are not told apart, or excluded; and which laws stay beside it."""
    chosen, kept, beside = 0, 0, dict.fromkeys((rival.name for rival in NAMED if rival.name != law.name), 0)
    seeds = ([seed, *law.name.encode()] for seed in range(draws))
    sets = [drawn(law, np.random.default_rng(seed), noise) for seed in seeds]
    for told in compare_many(sets, NAMED):
        rows = {row["name"]: row for row in told}
        chosen += rows[law.name]["chosen"]
        kept += rows[law.name]["kept"]
        for name in beside:
            beside[name] += rows[name]["kept"]
    return {"law": law.name, "noise": noise, "draws": draws, "chosen": chosen, "kept": kept, "beside": beside}


def tables(told: dict[str, Any]) -> str:
    """The tables of the page, as Markdown."""
    lines = [
        "| the law that drew | noise, nats | chosen | kept | not told from it in 10% of draws or more |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in told["rows"]:
        near = [
            f"{name} {count / row['draws']:.0%}" for name, count in row["beside"].items() if count >= 0.1 * row["draws"]
        ]
        cells = [f"{row[name] / row['draws']:.0%}" for name in ("chosen", "kept")]
        lines.append(f"| {row['law']} | {row['noise']:g} | {cells[0]} | {cells[1]} | {', '.join(near) or 'none'} |")
    names = list(told["apart"])
    lines += ["", f"| the law that drew | {' | '.join(names)} |", f"| --- | {' | '.join('---' for _ in names)} |"]
    for name, others in told["apart"].items():
        lines.append(f"| {name} | {' | '.join('-' if other == name else f'{others[other]:.3f}' for other in names)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the numbers, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--cases", type=int, default=10_000, help="at most so many more cases; the rest another time")
    parser.add_argument("--out", type=Path, default=DOCS / "data" / "recovery.json")
    given = parser.parse_args()
    told: dict[str, Any] = {"draws": given.draws, "rows": [], "apart": {}}
    if given.out.is_file() and (kept := json.loads(given.out.read_text(encoding="utf-8")))["draws"] == given.draws:
        told = kept
    done = {(row["law"], row["noise"]) for row in told["rows"]}
    cases = [(law, noise) for noise in NOISES for law in DRAWN if (law.name, noise) not in done][: given.cases]
    for law, noise in track(cases, len(cases), "recovery of the laws"):
        told["rows"].append(judged(law, noise, given.draws))
        told["apart"][law.name] = {rival.name: round(apart(law, rival), 4) for rival in DRAWN if rival is not law}
        with whole_file(given.out) as aside:
            aside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(tables(told))


if __name__ == "__main__":
    main()
