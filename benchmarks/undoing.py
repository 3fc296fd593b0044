"""Coverage of what the fit says of undoing, on simulated courses with known truth: `python -m benchmarks.undoing`.

Writes docs/data/undoing.json, a case at a time (a run that was stopped goes on), and prints the tables of docs/undoing.md: m*,
half-life, exponent and c in six cases and in two censored ones; then what `compare` finds with the seeds that `plan` asked for.
"""

from __future__ import annotations

import argparse
import json
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
DOCS = Path(__file__).parents[1] / "docs"
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
        m, drawn = self.top * np.linspace(0.0, 1.0, self.points + 1) ** self.spacing, []
        base = -0.3 + self.noise / 2 * rng.standard_normal()
        for n in VOLUMES:
            values = self.exact(n)(m) + self.noise * rng.standard_normal(m.size)
            errors = np.full(m.size, self.noise if self.known else math.nan)
            drawn.append(
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
        return drawn


CASES = (
    Case("dense", "logit law, 16 volumes to 60, noise 0.05", 16, 0.05),
    Case("noisy", "logit law, 31 volumes, noise 0.15", 31, 0.15),
    Case("few", "logit law, 5 volumes, denser at first, noise 0.05", 5, 0.05, spacing=1.5),
    Case("no errors told", "logit law, 16 volumes, noise 0.05 that the table does not say", 16, 0.05, known=False),
    Case("forgetting", "courses that forget, 12 volumes to 90, noise 0.05", 12, 0.05, top=90.0, law="forgetting"),
    Case("joint", "courses of joint compression, 12 volumes to 150, noise 0.05", 12, 0.05, top=150.0, law="joint"),
    Case("censored", "logit law, 8 volumes to 20: the two larger alignments are not undone", 8, 0.05, top=20.0),
    Case("half censored", "logit law, 8 volumes to 33: the largest alignment is undone just after", 8, 0.1, top=33.0),
)
NAMES = ("undo volume", "half-life", "exponent", "c")


@dataclass
class Count:
    """Intervals of one constant: how many, and how many lie wholly above or wholly below the truth."""

    intervals: int = 0
    above: int = 0
    below: int = 0

    def add(self, interval: Interval, truth: float) -> None:
        """One more interval."""
        self.intervals += 1
        self.above += interval.low is not None and interval.low > truth
        self.below += interval.high is not None and interval.high < truth

    def as_dict(self) -> dict[str, float]:
        """``{intervals, held, above, below}``, the last three as shares."""
        shares = {name: round(getattr(self, name) / self.intervals, 4) for name in ("above", "below")}
        held = round(1 - (self.above + self.below) / self.intervals, 4)
        return {"intervals": self.intervals, "held": held} | shares


def judged(case: Case, count: int) -> dict[str, dict[str, dict[str, float]]]:
    """``{reached: {constant: counts}, beyond: {constant: counts}}``: beyond, where the truth lies after the last reading.

    There no interval can have an upper end by right, and what is counted is a bound from below.
    """
    rng = np.random.default_rng([*case.name.encode()])
    truths = {(n, share): case.truth(n, share) for n in VOLUMES for share in (1.0, 0.5)}
    slope = float(np.polyfit(np.log(VOLUMES), np.log([truths[n, 1.0] for n in VOLUMES]), 1)[0])
    counts: dict[str, dict[str, Count]] = {"reached": {}, "beyond": {}}

    def add(name: str, interval: Interval | None, truth: float, beyond: bool) -> None:
        if interval is not None and (interval.low is not None or interval.high is not None):
            counts["beyond" if beyond else "reached"].setdefault(name, Count()).add(interval, truth)

    for _ in range(count):
        courses = case.drawn(rng)
        runs = [run_constants(course) for course in courses]
        for run in runs:
            for name, interval, share in (("undo volume", run.undo_volume, 1.0), ("half-life", run.half_life, 0.5)):
                truth = truths[run.course.align or 0.0, share]
                add(name, interval, truth, truth > case.top)
        exponent = answers(runs).exponent
        add(
            "exponent",
            None if exponent is None else exponent.documents,
            slope,
            any(truths[n, 1.0] > case.top for n in VOLUMES),
        )
        constants = logit_constants(courses) if case.law == "logit" else None
        if constants is not None:
            add("c", constants.perturbing, 0.15, False)
    return {
        kind: {name: one.as_dict() for name, one in of.items() if one.intervals > count // 10}
        for kind, of in counts.items()
    }


def pairs(design: Plan, pilot: Pilot, times: float, count: int) -> float:
    """The share of simulated pairs of settings, ``times`` apart in m*, in which `compare` sees a difference."""
    rng, hits = np.random.default_rng(int(100 * times)), 0

    def side(factor: float, name: str) -> list[Course]:
        runs = []
        for seed in range(design.seeds):
            mine = replace(pilot, constant=pilot.constant / (factor * math.exp(pilot.scatter * rng.standard_normal())))
            course = mine.course(np.array(design.readings), 64.0 * pilot.constant / mine.constant, design.prompts)
            values = course.values + course.errors * rng.standard_normal(course.values.size)
            base = course.base + course.base_error * rng.standard_normal()
            runs.append(replace(course, values=values, base=base, align=64.0, covariates={"seed": seed, "pairs": name}))
        return runs

    for _ in range(count):
        (one,) = differences({"a": side(1.0, "x"), "b": side(times, "y")}, constants=["undo_volume"])
        hits += one.apart
    return hits / count


def compared(count: int) -> dict[str, Any]:
    """What `plan` asks for so that a ratio of undo volumes of 1.25 is seen, and how often `compare` then sees one."""
    pilot = Pilot(constant=0.15, start=-0.3, noise=0.3, scatter=0.12)
    design = plan(pilot, [64.0], difference=0.25)
    return {
        "pairs": count,
        "seeds": design.seeds,
        "prompts": design.prompts,
        "readings": len(design.readings),
        "seen": pairs(design, pilot, 1.25, count),
        "false": pairs(design, pilot, 1.0, count),
    }


def tables(records: dict[str, Any]) -> str:
    """The tables of the page, as Markdown."""
    lines = [
        f"| case | bases | what | {' | '.join(NAMES)} |",
        f"| --- | --- | --- | {' | '.join('---' for _ in NAMES)} |",
    ]
    cases = [case for case in CASES if case.name in records["cases"]]
    for case in cases:
        of = records["cases"][case.name]["reached"]
        cells = [
            f"{of[name]['held']:.3f} ({of[name]['above']:.3f}, {of[name]['below']:.3f})" if name in of else "-"
            for name in NAMES
        ]
        lines.append(f"| {case.name} | {records['curves'][case.name]} | {case.what} | {' | '.join(cells)} |")
    lines += ["", "| case | constant | bounds that hold |", "| --- | --- | --- |"]
    for case in cases:
        for name, one in records["cases"][case.name]["beyond"].items():
            lines.append(f"| {case.name} | {name} | {one['held']:.3f} of {one['intervals']} |")
    told = records["compared"]
    lines += [
        "",
        f"For a ratio of undo volumes of 1.25 `plan` asks for {told['seeds']} seeds, {told['prompts']} prompts and "
        f"{told['readings']} readings. `compare` then saw a difference in {told['seen']:.1%} of {told['pairs']} simulated pairs in "
        f"which there was one, and in {told['false']:.1%} of {told['pairs']} in which there was none.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the numbers a case at a time, and print the tables; a run that was stopped goes on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.undoing", description=__doc__)
    parser.add_argument("--curves", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=DOCS / "data" / "undoing.json")
    given = parser.parse_args()
    records: dict[str, Any] = {"curves": {}, "cases": {}, "compared": {"pairs": 0}}
    if given.out.is_file():
        records = json.loads(given.out.read_text(encoding="utf-8"))

    def keep() -> None:
        with whole_file(given.out) as aside:
            aside.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")

    if records["compared"]["pairs"] != given.pairs:
        records["compared"] = compared(given.pairs)
        keep()
    rest = [case for case in CASES if records["curves"].get(case.name) != given.curves]
    for case in track(rest, len(rest), "coverage of undoing"):
        records["cases"][case.name], records["curves"][case.name] = judged(case, given.curves), given.curves
        keep()
    print(tables(records))


if __name__ == "__main__":
    main()
