"""Break one formula of R7, R8, R13 or R19 at a time: verify() has to turn red at the result that it belongs to."""

import dataclasses
import math

import numpy as np
import pytest

from elastomath.derivations import finetuning
from elastomath.derivations import rebound as rebound_derivation
from elastomath.laws import finetuning as stationarity
from elastomath.laws import forgetting, rebound
from elastomath.laws import union as unionlaw
from elastomath.verification import cases_of

from .helper import changed, first_of_each, is_red, red, scaled

true_test, true_law = stationarity.gradient_test, unionlaw.union_law
true_weights, true_masses = forgetting.phase_weights, forgetting.sequential_masses

FLOATS = {
    "R7: the sign of the cosine": ("gradient_test", changed(true_test, cosine=lambda r: -r.cosine), "R7"),
    "R7: the ratio upside down": ("gradient_test", changed(true_test, ratio=lambda r: 1 / r.ratio), "R7"),
    "R7: every pair has a constant": ("gradient_test", changed(true_test, exists=lambda r: True), "R7"),
    "R7: kappa with its sign flipped": ("stiffness_ratios", scaled(stationarity.stiffness_ratios, -1), "R7"),
    "R7: an energy without its half": ("elastic_energy", scaled(stationarity.elastic_energy, 2), "R7"),
    "R7: a remainder of M/7": ("remainder_bound", scaled(stationarity.remainder_bound, 6 / 7), "R7"),
    "R7: a remainder of M/5, not sharp": ("remainder_bound", scaled(stationarity.remainder_bound, 6 / 5), "R7"),
    "R7: an elastic limit without its 2": ("elastic_limit", scaled(stationarity.elastic_limit, 0.5), "R7"),
    "R8: eps without R": ("union_law", changed(true_law, epsilon=lambda r: r.epsilon / (1 + r.rest)), "R8"),
    "R8: eps one in 1e9 off": ("union_law", changed(true_law, epsilon=lambda r: r.epsilon * (1 + 1e-9)), "R8"),
    "R8: the constant of k -> infinity": (
        "union_law",
        changed(true_law, theta_constant=lambda r: 1 / (1 - r.epsilon / 1.01)),
        "R8",
    ),
    "R8: a threshold one percent larger": (
        "union_law",
        changed(true_law, threshold=lambda r: r.threshold * 1.01),
        "R8",
    ),
    "R8: R as 1 - A over 1 - A'": ("union_law", changed(true_law, rest=lambda r: 1 / r.rest if r.rest else 1.0), "R8"),
    "R8: a constant without l/(k pi_t)": (
        "union_constant",
        lambda k, step, align, perturb, rest=0.0: 1 / (1 - step * (align + rest) / perturb),
        "R8",
    ),
    "R8: eps of disjoint parts without 3l": (
        "union_epsilon",
        lambda k, step, align, perturb, rest=0.0: step * (k * (align + rest) + 1) / (k * perturb),
        "R8",
    ),
    "R8: no turning point but a wrong one": (
        "union_turning",
        lambda *args, **kwargs: (lambda root: root and root * (1 + 1e-7))(unionlaw.union_turning(*args, **kwargs)),
        "R8",
    ),
    "R13: a score without the base": (
        "score",
        lambda s, k, n, m: (n * s.positive + m * s.negative) / (n + m),
        "R13",
    ),
    "R13: the slope's sign": ("score_slope", scaled(rebound.score_slope, -1), "R13"),
    "R13: the turn without m": ("faster_below", lambda s, k, m: rebound.faster_below(s, k, 0 * m), "R13"),
    "R13: the turn with s_p once": (
        "faster_below",
        lambda s, k, m: m + k * (s.positive + s.negative - s.base) / (s.positive - s.negative),
        "R13",
    ),
    "R13: faster is always said": ("falls_faster", lambda *args: True, "R13"),
    "R13: m* upside down": (
        "return_volume",
        lambda s, n, tol=0.0, k=None: np.asarray(n) / s.asymmetry,
        "R13",
    ),
    "R13: a tolerance that does not count k": (
        "return_volume",
        lambda s, n, tol=0.0, k=None: rebound.return_volume(s, n, tol, None if k is None else 1e-9),
        "R13",
    ),
    "R13: a volume under a divergence that falls with n": (
        "divergence_return_volume",
        lambda parts, k, n, tol, direction="reverse": 1 / n,
        "R13",
    ),
    "R13: nothing comes back under a divergence": ("divergence_return_volume", lambda *args: math.inf, "R13"),
    "R13: nothing is away under a divergence": ("divergence_return_volume", lambda *args: 0.0, "R13"),
    "R13: a return after the first one": (
        "divergence_return_volume",
        lambda *args: 1.01 * rebound.divergence_return_volume(*args),
        "R13",
    ),
    "R7: a limit at the reading beyond it": (
        "elastic_path",
        lambda at, *args: dataclasses.replace(path := stationarity.elastic_path(at, *args), limit=np.ceil(path.limit)),
        "R7",
    ),
    "R19: a tolerance that is not read": (
        "return_steps",
        lambda s, n, rate, tol=0.0: forgetting.return_steps(s, n, rate),
        "R19",
    ),
    "R19: weights in the order of the phases": (
        "phase_weights",
        lambda phases: (true_weights(phases[::-1])[0], true_weights(phases)[1]),
        "R19",
    ),
    "R19: a start that is forgotten at once": (
        "sequential_masses",
        lambda rows, phases, start: (
            true_masses(rows, phases, np.full(len(start), 1 / len(start))[::-1])
            if len(phases) > 1
            else np.zeros((2, len(start)))
        ),
        "R19",
    ),
    "R19: the exponential form for the exact one": (
        "elasticity_constant",
        lambda p, a, rate, exponential=False: forgetting.elasticity_constant(p, a, rate, exponential=True),
        "R19",
    ),
    "R19: a kappa that grows with n_p": (
        "elasticity_constant",
        lambda p, a, rate, exponential=False: np.asarray(p / a),
        "R19",
    ),
    "R19: a slope of exactly -1": ("local_exponents", lambda p, a, rate: (0.0, -1.0), "R19"),
    "R19: a first fall that does not know the alignment": (
        "first_fall",
        lambda s, steps, rate: rate * (s.base - s.negative) + 0 * np.asarray(steps),
        "R19",
    ),
    "R19: m* with eta for h": (
        "return_steps",
        lambda s, n, rate, tol=0.0: forgetting.return_steps(s, n, rate, tol) * forgetting.decay(rate) / rate,
        "R19",
    ),
    "R19: m* linear in n": (
        "return_steps",
        lambda s, n, rate, tol=0.0: np.asarray(n, dtype=float) * s.asymmetry,
        "R19",
    ),
    "R19: a ceiling of m eta": ("tampering_ceiling", lambda steps, rate: np.asarray(steps * rate), "R19"),
    "R19: step weights without what follows": ("step_weights", lambda rates: (np.asarray(rates), 0.0), "R19"),
}


@pytest.mark.parametrize("name", first_of_each(FLOATS, 0, 2))
def test_a_broken_formula_turns_verify_red(name, break_in_checks, floats_only):
    attribute, broken, id = FLOATS[name]
    break_in_checks(attribute, broken)
    assert any(map(is_red, cases_of(id)))


def test_another_start_turns_the_derivations_red(monkeypatch, fresh_derivations):
    monkeypatch.setattr(finetuning, "taylor", lambda value, curvature, s: value + curvature * s**2)
    monkeypatch.setattr(
        rebound_derivation, "score", lambda k, n, m, base, high, low: (k * base + n * high + m * low) / (k + n)
    )
    assert {("R7", "symbolic"), ("R13", "symbolic")} <= red(["R7", "R13"], cases=1)
