"""Courses: what is undone when, with intervals that hold the truth as often as they say, and censored where it is not reached."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elastomath import Curve
from elastomath.fit.course import Course, courses
from elastomath.interval import Interval
from elastomath.laws.logit import aligned_contrast, perturbed_contrast, undo_volume

RESULTS = Path(__file__).parents[4] / "paper_checks" / "saved_runs"


def course(n=64, c=0.15, z0=-0.3, points=12, top=60.0, noise=0.05, rng=None, base_noise=0.02, power=1.0):
    """A course that falls under the logit law, read with Gaussian errors."""
    m = top * np.linspace(0, 1, points + 1) ** power
    z = perturbed_contrast(aligned_contrast(z0, n, c), m, c)
    base = z0
    if rng is not None:
        z, base = z + noise * rng.standard_normal(z.size), z0 + base_noise * rng.standard_normal()
    return Course(
        "a", "contrast", "nats/response", "examples", m, z, np.full(m.size, noise), base, base_noise, float(n)
    )


def half_life(n=64, c=0.15, z0=-0.3):
    from scipy.optimize import brentq

    top = float(aligned_contrast(z0, n, c))
    return brentq(lambda m: float(perturbed_contrast(top, m, c)) - (top + z0) / 2, 0, 1e4)


def test_without_noise_the_passage_is_the_law():
    for n in (8, 64, 512):
        exact = course(n=n, points=40, top=80.0, noise=1e-9, base_noise=1e-9)
        assert exact.passage().estimate == pytest.approx(float(undo_volume(-0.3, n, 0.15)), rel=2e-3)
        assert exact.passage(0.5).estimate == pytest.approx(half_life(n), rel=2e-3)


@pytest.mark.parametrize(
    ("points", "power", "noise"), [(12, 1.0, 0.05), (40, 1.0, 0.15), (4, 2.0, 0.05), (7, 1.5, 0.1)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(points, power, noise):
    """300 curves: 285 are expected, and 274 to 296 hold with a chance of 0.995; `python -m benchmarks.undoing` has 1,000."""
    rng = np.random.default_rng(3)
    drawn = [course(points=points, power=power, noise=noise, rng=rng) for _ in range(300)]
    for share, truth in ((1.0, float(undo_volume(-0.3, 64, 0.15))), (0.5, half_life())):
        held = sum(one.passage(share).holds(truth) for one in drawn)
        assert 274 <= held <= 296, (share, held)


def test_a_narrower_interval_does_not_hold_it():
    rng = np.random.default_rng(4)
    truth = float(undo_volume(-0.3, 64, 0.15))
    drawn = [course(rng=rng) for _ in range(200)]
    held = sum(
        replace(one, errors=one.errors / 2, base_error=one.base_error / 2).passage().holds(truth) for one in drawn
    )
    assert held < 160


def test_what_is_not_reached_is_censored():
    """A bound from below that is not beyond the truth: one-sided, so in 97.5% of the curves."""
    rng = np.random.default_rng(5)
    truth = float(undo_volume(-0.3, 64, 0.15))
    drawn = [course(top=0.6 * truth, rng=rng).passage() for _ in range(200)]
    assert all(one.estimate is None and one.high is None for one in drawn)
    assert sum(one.low <= truth for one in drawn) >= 190
    assert str(course(top=0.6 * truth, noise=1e-9).passage()).startswith("> ")


def test_an_alignment_that_moved_nothing_has_no_undo_volume():
    nothing = replace(course(), values=np.full(13, -0.3))
    assert nothing.passage() == Interval(None, None, None, 0.95, "examples", "test inverted along the smoothed course")


def test_errors_that_are_not_given_come_from_the_scatter():
    rng = np.random.default_rng(6)
    truth = float(undo_volume(-0.3, 64, 0.15))
    drawn = [replace(course(rng=rng), errors=np.full(13, math.nan), base=-0.3, base_error=0.0) for _ in range(200)]
    told = [one.passage() for one in drawn]
    assert 180 <= sum(one.holds(truth) for one in told) <= 199
    few = replace(course(points=3, rng=rng), errors=np.full(4, math.nan))
    assert few.passage().estimate is not None
    assert few.passage().low is None


def test_a_curve_has_the_contrast_and_the_base_beside_it():
    steps, errors = [0.0, 4.0, 8.0], {name: np.full(3, 0.1) for name in ("align", "perturb")}
    rates = {"align": [0.5, 0.7, 0.9], "perturb": [2.5, 1.7, 0.9]}
    curve = Curve.from_paths(
        "a", {"align": 16, "perturb": 8}, steps, rates, "nats/response", "examples", rate_se=errors,
        base_contrast=0.25, base_contrast_se=0.01, seed=3,
    )  # fmt: skip
    (read,) = courses(curve)
    assert read.values.tolist() == [2.0, 1.0, 0.0]
    assert (read.base, read.base_error, read.align, read.covariates) == (0.25, 0.01, 16.0, {"seed": 3})
    assert read.errors == pytest.approx([0.2] * 3)  # two responses to one prompt lose what the other wins
    (texts,) = courses(Curve(curve.frame.assign(rate_unit="bits/token").drop(columns="base_contrast")))
    assert texts.errors == pytest.approx([0.1 * 2**0.5] * 3)
    assert math.isnan(texts.base)
    assert texts.level == 0.0
    (own,) = courses(Curve(curve.frame.assign(contrast_se=0.03)))
    assert own.errors.tolist() == [0.03] * 3


def test_the_saved_durability_comes_out_as_its_own_bootstrap_has_it():
    """Undo volumes within 5% of those that the experiment has from its prompts; of four readings, within its interval."""
    import json

    saved = json.loads((RESULTS / "durability" / "durability.json").read_text())["durability"]
    of_runs = {c.run: c for c in courses(Curve.read(RESULTS / "durability" / "durability.csv"))}
    for row in saved:
        run = f"{row['pairs']}-{row['optimiser']}-n-{row['n']}-seed-{row['seed']}"
        own = Interval.of_dict(row["undo_volume"])
        if of_runs[run].volumes.size <= 4:
            assert own.holds(of_runs[run].passage().estimate)
        elif own.estimate is not None:
            assert of_runs[run].passage().estimate == pytest.approx(own.estimate, rel=0.05)
