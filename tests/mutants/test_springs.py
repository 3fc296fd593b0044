"""Break one formula of R12 at a time: verify() has to turn red, and the derivation cannot be built."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import sympy as sp

from elastomath import verification
from elastomath.certify.balls import working_precision
from elastomath.derivations import definitions, derive
from elastomath.derivations import springs as derivations
from elastomath.derivations.words import DerivationError
from elastomath.laws import springs
from elastomath.mixtures import pool
from elastomath.mixtures.mixture import Mixture
from elastomath.mixtures.pool import GeometricPool
from elastomath.verification import springs as checks
from elastomath.verification import verify

from .helper import changed, first_of_each, red, scaled


def arithmetic(mixture):
    return GeometricPool(mixture, mixture.masses, 0.0)


true_limit, true_missed, true_springs = springs.elastic_limit, pool.reverse_balance, springs.springs

FLOATS = {
    "the sign of the miss": (
        checks,
        "reverse_balance",
        changed(true_missed, balance=lambda r: -r.balance),
        {"certified", "sampled"},
    ),
    "a miss that is always 0": (checks, "reverse_balance", changed(true_missed, balance=lambda r: 0.0), None),
    "the miss without its first half: phi without e": (
        checks,
        "reverse_balance",
        changed(true_missed, balance=lambda r: 2 * r.balance),
        {"certified", "sampled"},
    ),
    "a third in place of a half": (
        checks,
        "reverse_balance",
        changed(true_missed, leading=lambda r: r.leading * 2 / 3),
        None,
    ),
    "the other sign of the leading term": (
        checks,
        "reverse_balance",
        changed(true_missed, leading=lambda r: -r.leading),
        None,
    ),
    "a remainder of fifth order": (
        checks,
        "reverse_balance",
        changed(true_missed, remainder=lambda r: r.remainder**1.25),
        {"certified", "sampled"},
    ),
    "the mixture in place of the pool": (GeometricPool, "of", staticmethod(arithmetic), None),
    "the response of the pool with its sign flipped": (
        GeometricPool,
        "response",
        scaled(GeometricPool.response, -1.0),
        {"certified", "sampled"},
    ),
    "the response of the pool 1e-9 too large": (
        GeometricPool,
        "response",
        scaled(GeometricPool.response, 1 + 1e-9),
        None,
    ),
    "second moments in place of covariances": (
        GeometricPool,
        "response_matrix",
        lambda self: (
            -(np.log(self.mixture.components / self.masses) * self.masses)
            @ np.log(self.mixture.components / self.masses).T
            / self.mixture.total
        ),
        {"certified", "sampled"},
    ),
    "the residual of the pool with its arguments exchanged": (
        checks,
        "pool_residual",
        lambda m, step: (
            m.at(0.0).total * pool.kl_divergence(GeometricPool.of(m.at(0.0)).masses, GeometricPool.of(m).masses)
        ),
        None,
    ),
    "N in place of N_0 in the residual": (
        checks,
        "pool_residual",
        lambda m, step: pool.pool_residual(m, step) * m.total / m.at(0.0).total,
        {"certified", "sampled"},
    ),
    "the dual miss with its sign flipped": (
        GeometricPool,
        "forward_balance",
        scaled(GeometricPool.forward_balance, -1.0),
        {"certified"},
    ),
    "forward divergences in bits": (
        Mixture,
        "kl_forward",
        scaled(Mixture.kl_forward, 1 / math.log(2)),
        {"sampled"},
    ),
    "an energy of half the size": (
        checks,
        "springs",
        lambda m, path: dataclasses.replace(true_springs(m, path), energy=true_springs(m, path).energy / 2),
        {"sampled"},
    ),
    "a remainder one percent off": (
        checks,
        "reverse_balance",
        changed(true_missed, remainder=lambda r: r.remainder * 1.01),
        {"certified"},
    ),
    "an elastic limit one percent off": (
        checks,
        "elastic_limit",
        lambda mixture: (lambda limit: limit and limit * 1.01)(true_limit(mixture)),
        {"sampled"},
    ),
    "an energy near rest one percent off": (
        checks,
        "springs",
        lambda m, path: dataclasses.replace(true_springs(m, path), near_rest=true_springs(m, path).near_rest * 1.01),
        {"sampled"},
    ),
    "forward elongations given as reverse ones": (
        checks,
        "springs",
        lambda m, path: dataclasses.replace(true_springs(m, path), reverse=true_springs(m, path).elongations),
        {"sampled"},
    ),
}


@pytest.mark.parametrize("name", first_of_each(FLOATS, 1))
def test_a_broken_formula_turns_verify_red(name, monkeypatch, floats_only):
    where, attribute, broken, levels = FLOATS[name]
    monkeypatch.setattr(where, attribute, broken)
    found = {level for _, level in red(["R12"])}
    assert found & {"certified", "sampled"}
    if levels is not None:
        assert found == levels


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (derivations, "pool_log", lambda v, volume, u, l, zeta: (v + l * u) / volume - zeta),  # noqa: E741
        (derivations, "pool_log", lambda v, volume, u, l, zeta: (v + l * u) / (volume + l)),  # noqa: E741
        (derivations, "pool_log", lambda v, volume, u, l, zeta: (v - l * u) / (volume + l) - zeta),  # noqa: E741
        (definitions, "joint_mass", lambda b, volume, t, l: ((b + l * t) / volume, volume + l)),  # noqa: E741
        (definitions, "joint_mass", lambda b, volume, t, l: ((b + l * t) / (volume + l), volume)),  # noqa: E741
    ],
)
def test_another_definition_turns_the_derivation_red(where, name, broken, monkeypatch, fresh_derivations):
    monkeypatch.setattr(where, name, broken)
    assert ("R12", "symbolic") in red(["R12"], cases=1)


@pytest.mark.parametrize("index", range(24))
def test_every_step_fails_when_one_of_its_sides_is_changed(index):
    """A factor on one side, or the relation turned round, cannot be built."""
    step = derive("R12").steps[index]
    lhs, relation, rhs = step.formula
    broken = (lhs, relation, rhs + sp.Rational(1, 7)) if relation == "=" else (rhs, relation, lhs)
    assert dataclasses.replace(step).reason == step.reason
    with pytest.raises(DerivationError):
        dataclasses.replace(step, formula=broken)


@pytest.mark.parametrize("factor", [sp.Rational(1, 3), -sp.Rational(1, 2), 1])
def test_another_constant_of_the_miss_cannot_be_derived(factor):
    step = next(step for step in derive("R12") if step.statement.startswith("Third order"))
    with pytest.raises(DerivationError, match="left over"):
        dataclasses.replace(step, formula=(step.lhs, step.relation, 2 * factor * step.rhs))


def test_float_ball_and_symbol_agree():
    """One instance, three ways: the steps' own formulas with numbers in them, balls, and the library's floats."""
    rows, volumes = checks.near_instances()["within 0.4%"]
    with working_precision(checks.BITS):
        balls = checks.PoolBalls(rows, volumes)
        ball_leading, ball_miss = float(balls.leading.mid()), float(balls.miss.mid())
    k, step = sp.Rational(10), sp.Rational(1, 2)
    masses = [[sp.Rational(m.numerator, m.denominator) for m in row] for row in rows]
    leading = sp.Integer(0)
    third = next(step for step in derive("R12") if step.statement.startswith("Third order"))
    by_name = {str(symbol): symbol for symbol in third.rhs.free_symbols}
    for p, a, t in zip(*masses, strict=True):
        q = (k * p + a + step * t) / (k + 1 + step)
        values = {"q": q, "e_p": p / q - 1, "e_a": a / q - 1, "e_t": t / q - 1, "k": k, "l": step}
        leading += third.rhs.replace(lambda e: e.func.__name__ == "Total", lambda e: e.args[0]).subs(
            {by_name[name]: value for name, value in values.items()}
        )
    library = pool.reverse_balance(Mixture.of([[float(m) for m in row] for row in masses], [10, 1, 0.5]))
    assert float(leading) == pytest.approx(ball_leading, rel=1e-15)
    assert library.leading == pytest.approx(float(leading), rel=1e-9)
    assert library.balance == pytest.approx(ball_miss, rel=1e-9)
    assert abs(library.balance - library.leading) <= library.remainder


def test_r12_is_known_to_verify():
    assert {claim.level for claim in verify(["R12"], cases=5)} == {"symbolic", "certified", "sampled"}
    assert "Pythagorean" in verification.explain("R12")
