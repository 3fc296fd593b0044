"""Coverage and width of intervals for the elasticity constants on curves with known constants: `python -m benchmarks.coverage`.

Writes docs/coverage.md. Three methods on the same curves: the conditional likelihood ratio that `fit` uses, the likelihood
ratio with its usual chi-square threshold, and a parametric bootstrap (percentiles of refits).
"""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from elastomath.curve import Run
from elastomath.fit.effective_volumes import CONSTANTS, Balance, End, Estimate, estimate, interval
from elastomath.fit.readings import Readings
from elastomath.progress import track
from elastomath.storage import whole_file
from sim import simulate_mixture

Array = NDArray[np.float64]
LEVEL = 0.95
RESAMPLES = 99
CHUNK = 25
METHODS = ("conditional", "chi-square", "bootstrap")


@dataclass(frozen=True)
class Case:
    """A kind of curve: a mixture of known volumes (k, 1), read at so many volumes with Gaussian noise in bits a symbol."""

    name: str
    what: str
    k: float
    points: int
    noise: float
    unequal: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    def curves(self, start: int, count: int) -> list[Run]:
        """Noisy readings of one exact curve; standard errors differ by up to ``unequal`` in either direction."""
        (run,) = simulate_mixture([self.k], points=self.points, leaves=512, alpha=1.5, **self.options)
        rng = np.random.default_rng([start, *self.name.encode()])
        drawn = []
        for _ in range(count):
            reach = math.log(self.unequal)
            errors = self.noise * np.exp(rng.uniform(-reach, reach, run.rates.shape))
            drawn.append(replace(run, rates=run.rates + errors * rng.standard_normal(errors.shape), rate_se=errors))
        return drawn


CASES = (
    Case("easy", "three equal parts, k = 3, 6 volumes to l = 3, noise 0.0003", 3.0, 6, 3e-4),
    Case("few points", "the same with 4 volumes, noise 0.001", 3.0, 4, 1e-3),
    Case(
        "heavy noise",
        "the same with 11 volumes, noise 0.01: two of three intervals for K_align are open",
        3.0,
        11,
        1e-2,
    ),
    Case("unequal noise", "8 volumes, every reading with its own error, 0.0001 to 0.0025", 3.0, 8, 5e-4, 5.0),
    Case(
        "near-collinear",
        "disjoint supports (a tenth of D_p spread over all leaves), k = 3: H_p and H_a move alike",
        3.0,
        8,
        1e-3,
        options={"family": "disjoint", "cover": 0.1},
    ),
    Case("large k", "three equal parts, k = 40, 8 volumes to l = 3, noise 0.0001", 40.0, 8, 1e-4),
)


def bootstrap(balance: Balance, best: Estimate, rng: np.random.Generator) -> dict[str, tuple[End, End]]:
    """Percentiles of estimates on terms drawn anew around the true terms that the estimate implies."""
    centre = balance.terms
    if np.isfinite(best.volumes).all():
        point = np.array([*best.volumes, -1.0])
        spread = np.tensordot(point**2, balance.covariances, axes=1)
        pulled = np.linalg.solve(spread, point @ balance.terms)
        centre = balance.terms - point[:, None] * (balance.covariances @ pulled)
    roots = np.linalg.cholesky(balance.covariances)
    found = []
    for _ in range(RESAMPLES):
        shift = (roots @ rng.standard_normal((3, balance.equations, 1)))[..., 0]
        again = estimate(Balance(centre + shift, balance.covariances))
        found.append([*again.volumes, again.kappa])
    low, high = np.quantile(np.array(found), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="nearest")
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(CONSTANTS)}


def judge(case: Case, start: int, count: int, resampled: int) -> list[dict[str, Any]]:
    """For each curve, method and constant: whether the interval holds the truth, and its width in logarithms."""
    rows, rng = [], np.random.default_rng([start, 1])
    for index, run in enumerate(case.curves(start, count)):
        readings = Readings.of(run)
        balance = readings.balance()
        best = estimate(balance)
        truth = {"pretrain": case.k / readings.unit, "align": 1.0 / readings.unit, "kappa": case.k}
        ends: dict[str, dict[str, tuple[End, End]]] = {
            "conditional": {name: interval(balance, best, name, LEVEL) for name in CONSTANTS},
            "chi-square": {
                name: interval(balance, best, name, LEVEL, rise=float(chi2.ppf(LEVEL, 1))) for name in CONSTANTS
            },
        }
        if index < resampled:
            ends["bootstrap"] = bootstrap(balance, best, rng)
        for method, by_name in ends.items():
            for name, (low, high) in by_name.items():
                left, right = 0.0 if low is None else low, math.inf if high is None else high
                closed = left > 0 and right < math.inf
                width = math.log(right / left) if closed else math.inf
                rows.append({"method": method, "constant": name, "held": left <= truth[name] <= right, "width": width})
    return rows


def table(curves: int, resampled: int, processes: int) -> str:
    """The page, as Markdown."""
    lines = [
        "# Coverage of the intervals",
        "",
        f"`make coverage` made this page: {curves} simulated curves a case ({resampled} for the bootstrap, {RESAMPLES} refits "
        f"each), intervals at {LEVEL:.0%}. Cells: share of intervals that hold the true constant, then the median of "
        "high/low where it is finite (`open` where more than half of the intervals have an open end).",
        "",
        "Three methods on the same curves. *conditional*: likelihood ratio with the threshold that `elastomath fit` uses, which "
        "depends on how well the constants are identified (Moreira, Econometrica 2003). *chi-square*: the same with the usual "
        "threshold 3.84. *bootstrap*: percentiles of refits to readings drawn anew, which cannot give an open end. The standard "
        f"error of a share is {math.sqrt(LEVEL * (1 - LEVEL) / curves):.3f} "
        f"({math.sqrt(LEVEL * (1 - LEVEL) / resampled):.3f} for the bootstrap).",
        "",
        "| case | constant | conditional | chi-square | bootstrap |",
        "| --- | --- | --- | --- | --- |",
    ]
    starts = range(0, curves, CHUNK)
    shares = [max(0, min(CHUNK, resampled - start)) for start in starts]
    seen: dict[str, list[float]] = {method: [] for method in METHODS}
    with ProcessPoolExecutor(processes) as pool:
        for case in CASES:
            work = pool.map(judge, [case] * len(starts), starts, [CHUNK] * len(starts), shares)
            rows = [row for part in track(work, len(starts), f"coverage, {case.name}") for row in part]
            for name in CONSTANTS:
                cells = []
                for method in METHODS:
                    mine = [row for row in rows if row["method"] == method and row["constant"] == name]
                    width = float(np.median([row["width"] for row in mine]))
                    shown = "open" if math.isinf(width) else f"{math.exp(width):.3g}"
                    seen[method].append(float(np.mean([row["held"] for row in mine])))
                    cells.append(f"{seen[method][-1]:.3f}, {shown}")
                label = {"pretrain": "K_pretrain", "align": "K_align", "kappa": "kappa"}[name]
                lines.append(f"| {case.name if name == 'pretrain' else ''} | {label} | {' | '.join(cells)} |")
    ranges = ", ".join(f"{method} {min(shares):.3f} to {max(shares):.3f}" for method, shares in seen.items())
    lines += ["", f"Lowest and highest share of each method: {ranges}."]
    lines += ["", "The cases (rates in bits per symbol, mixtures of 512 leaves with Pareto masses, alpha = 1.5):", ""]
    lines += [f"- *{case.name}*: {case.what}." for case in CASES]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--curves", type=int, default=1000, help="simulated curves a case (default 1000)")
    parser.add_argument("--resampled", type=int, default=200, help="of them, how many for the bootstrap (default 200)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/coverage.md"))
    given = parser.parse_args()
    began = time.perf_counter()
    page = table(given.curves, given.resampled, given.processes)
    with whole_file(given.out) as aside:
        aside.write_text(page, encoding="utf-8")
    print(f"{given.out} in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
