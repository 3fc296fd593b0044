"""The one table of predictions (docs/sequence.md): every cell that is a formula, against the law itself, run on two leaves."""

import math
from pathlib import Path

import numpy as np
import pytest

from elastomath.laws.forgetting import Phase, phase_weights, sequential_masses
from elastomath.laws.logit import (
    aligned_contrast,
    first_falls,
    kappa_exponent,
    matched_volumes,
    perturbed_contrast,
    return_ratio,
    undo_exponent,
    undo_volume,
)
from elastomath.laws.optimisers import Optimiser, durability, falling_steps, fitted_exponent, late_speed
from elastomath.mixtures.mixture import Mixture

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "sequence.md").read_text(encoding="utf-8")
ROWS = [
    "contrast $z_n$",
    "first fall in $z$",
    "in the code length $\\gamma_+$",
    "in the probability",
    "in an argmax score",
    "$m^*$ in $n$",
    "way back / way there, $p_2$ to $p_1$",
    "$K_{\\text{pretrain}}$",
    "$K_{\\text{align}}$",
    "$\\lvert D_p\\rvert$: $\\beta$",
    "model size",
    "Table 3 (exponent −0.15)",
]
LAWS = ("joint compression", "forgetting", "logit law", "Adam")
PI, K, N = 0.3, 40.0, 25.0
SPEED = 0.05
"""eta of forgetting and c of the logit law, a unit of volume."""


def joint(n, m):
    return float(Mixture.of([[PI, 1 - PI], [1.0, 0.0], [0.0, 1.0]], [K, n, m]).masses[0])


def forgetting(n, m):
    rate = -math.expm1(-SPEED)
    phases = [Phase(0, n, rate), Phase(1, m, rate)]
    return float(sequential_masses([[1.0, 0.0], [0.0, 1.0]], phases, [PI, 1 - PI])[-1][0])


def logit(n, m):
    z = aligned_contrast(math.log(PI / (1 - PI)), n, SPEED)
    return 1 / (1 + math.exp(-float(perturbed_contrast(z, m, SPEED))))


def contrast(p):
    return math.log(p / (1 - p))


def fall(law, measure, n=N):
    """The first fall of a measure by the perturbation, from a small one."""
    step = 1e-5
    return (measure(law(n, 0.0)) - measure(law(n, step))) / step


def undone(law, n=N):
    """The perturbation after which p is back at its base, by bisection."""
    from scipy.optimize import brentq

    return brentq(lambda m: law(n, m) - PI, 1e-9, 1e4)


def cells():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {ROWS[0]}"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[first : first + len(ROWS)]]


def test_the_table_has_every_prediction_of_every_law():
    table = cells()
    assert [row[0] for row in table] == ROWS
    assert all(len(row) == 1 + len(LAWS) and all(row) for row in table)
    head = next(line for line in PAGE.splitlines() if "joint compression | forgetting" in line)
    assert all(law in head for law in LAWS)


def test_the_contrast():
    assert contrast(joint(N, 0)) == pytest.approx(math.log((K * PI + N) / (K * (1 - PI))), rel=1e-12)
    gone = (1 - PI) * math.exp(-SPEED * N)
    assert contrast(forgetting(N, 0)) == pytest.approx(math.log((1 - gone) / gone), rel=1e-12)
    far = [float(aligned_contrast(0.0, n, SPEED)) - math.log(SPEED * n) for n in (1e4, 1e8)]
    assert abs(far[1]) < abs(far[0]) < 0.05
    adam = durability(Optimiser("adam", betas=(0.0, 0.9999999)), [2000, 4000]).contrast
    assert (adam[1] - adam[0]) / math.log(2) == pytest.approx(1.5, abs=0.05)
    assert late_speed(0.999) == pytest.approx((1 - 0.999) / 2, rel=1e-3)


def test_the_first_falls():
    for law, p in ((joint, joint(N, 0)), (forgetting, forgetting(N, 0)), (logit, logit(N, 0))):
        told = {
            joint: (1 / (K * (1 - PI)), 1 / (K + N), p / (K + N)),
            forgetting: (SPEED / (1 - p), SPEED, SPEED * p),
            logit: (SPEED * p, SPEED * p * (1 - p), SPEED * p**2 * (1 - p)),
        }[law]
        seen = (fall(law, contrast), fall(law, math.log), fall(law, lambda p: p))
        assert seen == pytest.approx(told, rel=1e-3)
    seen = first_falls(contrast(logit(N, 0)), contrast(PI), SPEED)
    assert [float(seen.contrast), float(seen.code_length), float(seen.probability)] == pytest.approx(told, rel=1e-9)
    turn = K * (1 - 2 * PI)  # the fall of the probability under joint compression grows up to here
    before, at, after = (fall(joint, lambda p: p, n) for n in (0.5 * turn, turn, 2 * turn))
    assert before < at > after
    falls = [float(first_falls(contrast(p), 0.0, SPEED).probability) for p in (0.6, 2 / 3, 0.75)]
    assert falls[0] < falls[1] > falls[2]


def test_the_undo_volume_and_the_way_back():
    assert undone(joint) == pytest.approx(N * (1 - PI) / PI, rel=1e-9)
    assert undone(logit) == pytest.approx(float(undo_volume(contrast(PI), N, SPEED)), rel=1e-9)
    exponents = [math.log(undone(forgetting, 1.01 * n) / undone(forgetting, n)) / math.log(1.01) for n in (0.1, 300.0)]
    assert exponents[0] == pytest.approx(1, abs=0.02)
    assert exponents[1] == pytest.approx(0, abs=1e-3)
    assert 0 < float(undo_exponent(0.0, 1e9, SPEED)) < 0.07 < 0.98 < float(undo_exponent(0.0, 0.1, SPEED)) <= 1
    low, high = 0.6, 0.9
    assert (1 - low) / low == pytest.approx(0.667, abs=5e-4)
    assert math.log(high / low) / math.log((1 - low) / (1 - high)) == pytest.approx(0.292, abs=5e-4)
    assert float(return_ratio(low, high)) == pytest.approx(0.253, abs=5e-4)
    assert (1 - high) / high < float(return_ratio(low, high)) < (1 - low) / low
    for number in ("0.667", "0.292", "0.253"):
        assert number in " ".join(cells()[6])


def test_what_the_volumes_count_for():
    seen = matched_volumes(contrast(PI), contrast(logit(N, 0)) - contrast(PI), SPEED)
    p, rise = logit(N, 0), contrast(logit(N, 0)) - contrast(PI)
    assert float(seen.pretrain) == pytest.approx(1 / ((1 - PI) * SPEED * p), rel=1e-9)
    assert float(seen.align) == pytest.approx(N - (rise - 1 + math.exp(-rise)) / SPEED, rel=1e-9)
    rate = -math.expm1(-SPEED)
    weights, rest = phase_weights([Phase(0, 1e6, rate), Phase(1, N, rate)])
    assert weights[-1] == pytest.approx(-math.expm1(-SPEED * N), rel=1e-9)
    assert sum(weights) + rest == pytest.approx(1, rel=1e-12)  # the whole past is 1, whatever |D_p|: beta = 0
    assert float(kappa_exponent(0.0, 1e9, SPEED)) == pytest.approx(-1, abs=1e-3)


def test_table_3():
    steps = [16, 31, 78, 156]
    carried, fresh = (
        fitted_exponent(steps, durability(Optimiser("adam", rate=0.4, carried=c), steps).undo) for c in (True, False)
    )
    assert carried == pytest.approx(-0.19, abs=0.005)
    assert fresh > 0
    assert falling_steps(-0.15, 1.0) == pytest.approx(13.2, abs=0.05)
    assert "13.2/r" in PAGE
    assert np.all(np.array([undo_exponent(z, n, SPEED) for z in (-2.0, 0.0, 2.0) for n in (1.0, 1e3)]) > 0)
