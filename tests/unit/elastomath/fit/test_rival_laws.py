"""The laws on contrasts, each recovered from runs of one base that it drew, by what it foretells of runs it has not seen."""

from dataclasses import replace

import numpy as np
import pytest

from elastomath.fit.course import Course
from elastomath.fit.fit import course_laws
from elastomath.fit.law_choice import compare_over_bases, foretell
from elastomath.fit.readings import Readings
from elastomath.fit.rival_laws import FORGETTING, JOINT, LAWS, LINE, LOGIT, LOGIT_IN_NATS, POWER, REBOUND
from elastomath.laws.logit import aligned_contrast, perturbed_contrast

NAMED = [LOGIT_IN_NATS if law is LOGIT else law for law in LAWS]
TRUTH = {
    JOINT: [np.log(0.2), -3.0],
    FORGETTING: [np.log(0.05), -1.5],
    REBOUND: [np.log(0.8), np.log(0.09), -0.5],
    LOGIT_IN_NATS: [np.log(0.15)],
    POWER: [np.log(1.8), -0.002],
    LINE: [-0.07],
}


def drawn(law, seed, noise=0.05, volumes=(8, 32, 128, 512)):
    """Runs of two bases whose contrast follows a law from what the logit law gives after n examples."""
    rng, found, bases = np.random.default_rng(seed), [], []
    steps = np.linspace(0.0, 48.0, 13)
    for base in ("a", "b"):
        for n in volumes:
            start = float(aligned_contrast(-0.3, n, 0.15)) + 0.05 * rng.standard_normal()
            exact = law.over_runs(np.array(TRUTH[law]), steps, np.full(13, start), np.full(13, 160.0 + n))
            rates = np.stack([np.ones(13), exact + noise * rng.standard_normal(13), np.ones(13)])
            errors = np.full((3, 13), noise)
            found.append(
                Readings(f"{base}-{n}", "nats/response", steps / 48, rates, errors, True, np.array([160.0, n, 48.0]), 48.0, "spline", ())
            )  # fmt: skip
            bases.append(base)
    return found, bases


@pytest.mark.parametrize("law", TRUTH, ids=lambda law: law.name)
def test_each_law_is_chosen_on_its_own_contrasts(law):
    """At 0.05 nats of noise on falls of some nats (`test_law_choice` asks for 9 of 10 on rates).

    A law that another contains or comes near is not excluded, and the fit says that they are not told apart.
    """
    chosen = []
    for seed in range(3):
        rows = compare_over_bases(*drawn(law, seed), NAMED)
        own = next(row for row in rows if row["name"] == law.name)
        assert own["weight"] >= 0.05, (seed, rows[:3])
        assert sum(row["weight"] for row in rows) == pytest.approx(1.0)
        chosen.append(own["chosen"])
    assert law is REBOUND or sum(chosen) >= 2


def test_the_laws_number_is_that_of_the_logit_law():
    start, steps = np.array([3.0, 3.0, 3.0]), np.array([0.0, 10.0, 40.0])
    for law, numbers in ((LOGIT_IN_NATS, [np.log(0.15)]), (LOGIT, [np.log(0.15), 0.0, 1.0])):
        seen = law.over_runs(np.array(numbers), steps, start, start)
        assert seen == pytest.approx(perturbed_contrast(3.0, steps, 0.15), abs=1e-9)


def test_what_is_foretold_is_not_seen():
    runs, _ = drawn(LOGIT_IN_NATS, 0)
    told = foretell(LOGIT_IN_NATS, runs[:4])
    assert sorted(told) == [2, 3]
    rates = runs[3].rates.copy()
    rates[1, 1:] += 1.0
    again = foretell(LOGIT_IN_NATS, [*runs[:3], replace(runs[3], rates=rates)])
    assert again[3] == pytest.approx(told[3])


def test_where_noise_hides_the_law_the_weights_are_shared():
    rows = compare_over_bases(*drawn(LOGIT_IN_NATS, 1, noise=2.0), NAMED)
    assert max(row["weight"] for row in rows) < 0.95


def test_one_run_a_base_gives_no_rows():
    runs, _ = drawn(LOGIT_IN_NATS, 0)
    assert compare_over_bases(runs[:3], ["a", "b", "c"]) == []


def test_the_logit_law_of_a_share_is_found_on_scores():
    """Scores between chance and a ceiling, moved by the logit law: it foretells unseen runs better than the other laws.

    They begin below the ceiling: at it a score no longer says how far beyond even odds a run began.
    """
    rng = np.random.default_rng(1)
    volumes = np.array([0.0, 4, 8, 16, 32, 64])
    seen = []
    for index, start in enumerate((-0.5, 0.2, 0.8, 1.4, 2.0, 2.6)):
        z = perturbed_contrast(start, volumes, 0.12)
        shares = 0.25 + 0.6 / (1 + np.exp(-z))
        values = shares + 0.004 * rng.standard_normal(volumes.size)
        seen.append(
            Course(f"r{index}", "score", "score", "examples", volumes, values, np.full(6, 0.004), 0.3, 0.0, 9 + start)
        )
    rows = course_laws(seen)
    assert rows[0]["name"] == "logit law"
    assert rows[0]["weight"] > 0.9
