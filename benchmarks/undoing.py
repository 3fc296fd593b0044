"""Coverage of what the fit says of undoing, on simulated courses with known truth: `python -m benchmarks.undoing`.

Writes docs/undoing.md. m*, half-life, exponent and c in six cases and in two censored ones; then what `compare` finds with the
seeds that `plan` asked for.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from elastomath.fit.comparison import differences
from elastomath.fit.constants import answers, run_constants
from elastomath.fit.course import Course
from elastomath.fit.design import Pilot, Plan, plan
from elastomath.fit.logit import logit_constants
from elastomath.interval import Interval
from elastomath.laws.logit import aligned_contrast, perturbed_contrast
from elastomath.progress import track
from elastomath.storage import whole_file

Array = NDArray[np.float64]
VOLUMES = (16.0, 64.0, 256.0)


@dataclass(frozen=True)
class Case:
    """Courses of three alignment volumes that fall under a law, read at so many volumes up to ``top`` with Gaussian noise."""

    name: str
    what: str
    points: int
    noise: float
    top: float = 60.0
    spacing: float = 1.0
    law: str = "logit"
    known: bool = True

    def exact(self, n: float) -> Callable[[Any], Array]:
        """The contrast against the volume of the perturbation."""
        start = float(aligned_contrast(-0.3, n, 0.15))
        if self.law == "logit":
            return lambda m: perturbed_contrast(start, m, 0.15)
        if self.law == "forgetting":
            return lambda m: np.asarray(-1.2 + (start + 1.2) * np.exp(-0.04 * np.asarray(m)))
        return lambda m: np.asarray(start - (start + 2.0) * np.asarray(m) / (40.0 + np.asarray(m)))

    def truth(self, n: float, share: float) -> float:
        """Where that share of the gain is gone."""
        course = self.exact(n)
        level = (1 - share) * float(course(0.0)) + share * -0.3
        return float(brentq(lambda m: float(course(m)) - level, 0.0, 1e4))

    def drawn(self, rng: np.random.Generator) -> list[Course]:
        """One base: a course for each alignment volume."""
        m, found = self.top * np.linspace(0.0, 1.0, self.points + 1) ** self.spacing, []
        base = -0.3 + self.noise / 2 * rng.standard_normal()
        for n in VOLUMES:
            values = self.exact(n)(m) + self.noise * rng.standard_normal(m.size)
            errors = np.full(m.size, self.noise if self.known else math.nan)
            found.append(
                Course(
                    "r",
                    "contrast",
                    "nats/response",
                    "examples",
                    m,
                    values,
                    errors,
                    base,
                    self.noise / 2,
                    n,
                    covariates={"n": n},
                )
            )
        return found


CASES = (
    Case("dense", "logit law, 16 volumes to 60, noise 0.05", 16, 0.05),
    Case("noisy", "logit law, 31 volumes, noise 0.15", 31, 0.15),
    Case("few", "logit law, 5 volumes, denser at first, noise 0.05", 5, 0.05, spacing=1.5),
    Case("no errors told", "logit law, 16 volumes, noise 0.05 that the table does not say", 16, 0.05, known=False),
    Case("forgetting", "courses that forget, 12 volumes to 90, noise 0.05", 12, 0.05, top=90.0, law="forgetting"),
    Case("joint", "courses of joint compression, 12 volumes to 90, noise 0.05", 12, 0.05, top=90.0, law="joint"),
    Case("censored", "logit law, 8 volumes to 20: the two larger alignments are not undone", 8, 0.05, top=20.0),
    Case("half censored", "logit law, 8 volumes to 33: the largest alignment is undone about then", 8, 0.1, top=33.0),
)


def judged(case: Case, count: int) -> dict[str, float]:
    """The share of intervals that hold the truth, by constant; one-sided bounds count where the truth is beyond them."""
    rng = np.random.default_rng([*case.name.encode()])
    held: dict[str, list[bool]] = {name: [] for name in ("undo volume", "half-life", "exponent", "c")}
    truths = {(n, share): case.truth(n, share) for n in VOLUMES for share in (1.0, 0.5)}
    slope = float(np.polyfit(np.log(VOLUMES), np.log([truths[n, 1.0] for n in VOLUMES]), 1)[0])
    for index in range(count):
        courses = case.drawn(rng)
        runs = [run_constants(course) for course in courses]
        for run in runs:
            n = run.course.align or 0.0
            for name, told, share in (("undo volume", run.undo_volume, 1.0), ("half-life", run.half_life, 0.5)):
                held[name].append(isinstance(told, Interval) and told.holds(truths[n, share]))
        exponent = answers(runs).exponent
        if exponent is not None and (exponent.documents.closed or exponent.documents.low is not None):
            held["exponent"].append(exponent.documents.holds(slope))
        if case.law == "logit" and index < count // 4:
            told = logit_constants(courses)
            if told is not None and told.perturbing is not None:
                held["c"].append(told.perturbing.holds(0.15))
    return {name: float(np.mean(values)) for name, values in held.items() if len(values) > count // 10}


def pairs(found: Plan, pilot: Pilot, times: float, count: int) -> float:
    """The share of simulated pairs of settings, ``times`` apart in m*, in which `compare` sees a difference."""
    rng, hits = np.random.default_rng(int(100 * times)), 0

    def side(factor: float, name: str) -> list[Course]:
        runs = []
        for seed in range(found.seeds):
            mine = replace(pilot, constant=pilot.constant / (factor * math.exp(pilot.scatter * rng.standard_normal())))
            course = mine.course(np.array(found.readings), 64.0 * pilot.constant / mine.constant, found.prompts)
            values = course.values + course.errors * rng.standard_normal(course.values.size)
            base = course.base + course.base_error * rng.standard_normal()
            runs.append(replace(course, values=values, base=base, align=64.0, covariates={"seed": seed, "pairs": name}))
        return runs

    for _ in range(count):
        (one,) = differences({"a": side(1.0, "x"), "b": side(times, "y")}, constants=["undo_volume"])
        hits += one.apart
    return hits / count


def page(curves: int, compared: int) -> str:
    """The page, as Markdown."""
    lines = [
        "# Does the fit know what it says of undoing?",
        "",
        f"`python -m benchmarks.undoing` made this page: {curves} simulated bases a case, each with courses after 16, 64 and 256 "
        f"aligned examples ({curves // 4} for c), intervals at 95%. Cells: the share of intervals that hold the true value; where a "
        "course is not undone, the interval is a bound from below, and holds where the truth is beyond it. The standard error of a "
        f"share is {math.sqrt(0.95 * 0.05 / (3 * curves)):.3f} for volumes, {math.sqrt(0.95 * 0.05 / curves):.3f} for exponents and "
        f"{math.sqrt(0.95 * 0.05 / max(curves // 4, 1)):.3f} for c.",
        "",
        "| case | what | undo volume | half-life | exponent | c |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case in track(CASES, len(CASES), "coverage of undoing"):
        told = judged(case, curves)
        cells = [f"{told[name]:.3f}" if name in told else "-" for name in ("undo volume", "half-life", "exponent", "c")]
        lines.append(f"| {case.name} | {case.what} | {' | '.join(cells)} |")
    pilot = Pilot(constant=0.15, start=-0.3, noise=0.3, scatter=0.12)
    found = plan(pilot, [64.0], difference=0.25)
    seen, false = pairs(found, pilot, 1.25, compared), pairs(found, pilot, 1.0, compared)
    lines += [
        "",
        f"**Comparing two settings.** For a ratio of undo volumes of 1.25 `plan` asks for {found.seeds} seeds, {found.prompts} prompts "
        f"and {len(found.readings)} readings. `compare` then saw a difference in {seen:.1%} of {compared} simulated pairs in which "
        f"there was one, and in {false:.1%} of {compared} in which there was none (80% and 5% were asked for).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write docs/undoing.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "undoing.md")
    options = parser.parse_args()
    text = page(options.curves, options.pairs)
    with whole_file(options.out) as aside:
        aside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
