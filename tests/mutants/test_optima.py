"""Break one formula of R6, R16, R17, R18 at a time: verify() has to turn red, at the result that the formula belongs to."""

import dataclasses
import math

import numpy as np
import pytest
import sympy as sp

from elastomath.certify import optima as certify_laws
from elastomath.derivations import definitions
from elastomath.derivations import theorem as derivation
from elastomath.derivations.words import DerivationError
from elastomath.laws import ceilings, optima, theorem, volumes
from elastomath.verification import optima as checks

from .helper import first_of_each, red, red_ids, scaled

CHECKS = "wherever a check uses it"


def changed(function, **changes):
    """A function whose result has some fields changed by functions of the field."""

    def broken(*args, **kwargs):
        seen = function(*args, **kwargs)
        return dataclasses.replace(seen, **{name: change(getattr(seen, name)) for name, change in changes.items()})

    return broken


def bounds_scaled(function, low, high):
    return changed(function, low=lambda value: value * low, high=lambda value: value * high)


def shifted(function, low, high):
    """Both sums of the work scaled."""
    return lambda steps, codes: tuple(
        side * factor for side, factor in zip(function(steps, codes), (low, high), strict=True)
    )


true = {
    name: getattr(module, name)
    for module, names in (
        (optima, ("optima_law", "joint_optima", "branch_response")),
        (theorem, ("theta_bounds", "mixture_theta_bounds", "residual_constant", "theorem_readings", "union_parts")),
        (volumes, ("mixture_work", "work_bounds", "effective_volumes")),
        (ceilings, ("string_ceiling", "volume_for", "pooled_ceiling", "convex_ceiling", "rises")),
        (certify_laws, ("theta_ball", "residual_ball", "_readings", "certify_rises", "two_models")),
    )
    for name in names
}

FLOATS = {
    "R6: misses at twice their price": (
        CHECKS,
        "optima_law",
        changed(true["optima_law"], missed=lambda m: m * 2),
        {"R6"},
    ),
    "R6: misses that cost nothing": (CHECKS, "optima_law", changed(true["optima_law"], missed=lambda m: m * 0), {"R6"}),
    "R6: 0.999 of the upper bound": (
        CHECKS,
        "optima_law",
        changed(true["optima_law"], upper=lambda m: m * 0.999),
        {"R6"},
    ),
    "R6: a lower bound 1.001 times as high": (
        CHECKS,
        "optima_law",
        changed(true["optima_law"], lower=lambda m: m * 1.001),
        {"R6"},
    ),
    "R6: a regulariser that is left out of the sum": (
        CHECKS,
        "optima_law",
        lambda steps, weights, rates, penalty=None: true["optima_law"](steps, weights, rates),
        {"R6"},
    ),
    "R6: a regulariser that is not minimised": (
        CHECKS,
        "joint_optima",
        lambda losses, weights, steps, penalty=None: true["joint_optima"](losses, weights, steps),
        {"R6"},
    ),
    "R6: optima at half the perturbation": (
        CHECKS,
        "joint_optima",
        lambda losses, weights, steps, penalty=None: true["joint_optima"](
            losses, weights, np.array(steps) / 2, penalty
        ),
        {"R6", "R18"},
    ),
    "R6: the response of a branch with its sign flipped": (
        CHECKS,
        "branch_response",
        changed(true["branch_response"], derivatives=lambda d: -d),
        {"R6"},
    ),
    "R6: the Hessian of the mean, not of the sum": (
        CHECKS,
        "branch_response",
        lambda g, joint, w: true["branch_response"](g, joint / np.sum(w), w),
        {"R6"},
    ),
    "R6: a balance without weights": (
        CHECKS,
        "branch_response",
        lambda g, joint, w: changed(true["branch_response"], balance=lambda b: float(np.sum(g)))(g, joint, w),
        {"R6"},
    ),
    "R16: certified volumes halved": (
        certify_laws,
        "_readings",
        lambda codes, weights, steps, radius: true["_readings"](codes, [w / 2 for w in weights], steps, radius),
        {"R16"},
    ),
    "R18: the certified volume of D_p halved": (  # the constant knows the ratio of the two alone
        certify_laws,
        "_readings",
        lambda codes, weights, steps, radius: true["_readings"](codes, [weights[0] / 2, *weights[1:]], steps, radius),
        {"R16", "R18"},
    ),
    "R6: certified perturbations in another unit": (
        certify_laws,
        "_readings",
        lambda codes, weights, steps, radius: true["_readings"](codes, weights, [4 * s for s in steps], radius),
        {"R6", "R16"},
    ),
    "R16: the work with N in place of N_0": (
        CHECKS,
        "mixture_work",
        lambda m, steps: true["mixture_work"](m, steps) * (1 + np.atleast_1d(steps) / m.volumes[:-1].sum()),
        {"R16"},
    ),
    "R16: the work one in a thousand too small": (CHECKS, "mixture_work", scaled(true["mixture_work"], 0.999), {"R16"}),
    "R16: an upper sum one in a thousand too small": (
        CHECKS,
        "work_bounds",
        shifted(true["work_bounds"], 1, 0.999),
        {"R16"},
    ),
    "R16: a lower sum one in a thousand too large": (
        CHECKS,
        "work_bounds",
        shifted(true["work_bounds"], 1.001, 1),
        {"R16"},
    ),
    "R16: volumes in the wrong order": (
        CHECKS,
        "effective_volumes",
        changed(true["effective_volumes"], volumes=lambda k: k[::-1]),
        {"R16"},
    ),
    "R16: disjoint data that give both volumes": (
        CHECKS,
        "effective_volumes",
        changed(true["effective_volumes"], rank=lambda r: 2),
        {"R16"},
    ),
    "R17: 0.999 of a string's ceiling": (CHECKS, "string_ceiling", scaled(true["string_ceiling"], 0.999), {"R17"}),
    "R17: L/N_0 as a string's ceiling": (CHECKS, "string_ceiling", lambda base, step: step / base, {"R17"}),
    "R17: a volume that buys nearly the ceiling": (CHECKS, "volume_for", scaled(true["volume_for"], 0.999), {"R17"}),
    "R17: L/c as the volume": (CHECKS, "volume_for", lambda c, step: step / c, {"R17"}),
    "R17: 0.999 of a closed class's ceiling": (
        CHECKS,
        "convex_ceiling",
        scaled(true["convex_ceiling"], 0.999),
        {"R17"},
    ),
    "R17: the ceiling of strings for a closed class": (
        CHECKS,
        "convex_ceiling",
        lambda volume, others, step: math.log1p(step / (volume + others)),
        {"R17"},
    ),
    "R17: a pooled ceiling of L": (CHECKS, "pooled_ceiling", lambda base, step: step, {"R17"}),
    "R17: the linear bound below": (
        CHECKS,
        "rises",
        changed(true["rises"], low=lambda low: 1 - np.exp(-low)),
        {"R17"},
    ),
    "R17: the linear bound above": (CHECKS, "rises", changed(true["rises"], high=np.expm1), {"R17"}),
    "R17: certified bounds exchanged": (
        CHECKS,
        "certify_rises",
        lambda *args: (lambda seen: dataclasses.replace(seen, low=seen.high, high=seen.low))(
            true["certify_rises"](*args)
        ),
        {"R17"},
    ),
    "R18: 0.999 of the upper constant": (
        CHECKS,
        "theta_bounds",
        bounds_scaled(true["theta_bounds"], 1, 0.999),
        {"R18"},
    ),
    "R18: 1.001 times the lower constant": (
        CHECKS,
        "theta_bounds",
        bounds_scaled(true["theta_bounds"], 1.001, 1),
        {"R18"},
    ),
    "R18: readings judged by 0.999 of the constant of a tie": (
        CHECKS,
        "theta_bounds",
        lambda k, step, start=0.0, parts=(0.5, 0.5): true["theta_bounds"](k, step * 0.999, start, parts),
        {"R18"},
    ),
    "R18: 0.999 of the best constant above": (
        CHECKS,
        "mixture_theta_bounds",
        bounds_scaled(true["mixture_theta_bounds"], 1, 0.999),
        {"R18"},
    ),
    "R18: the theorem's lower constant for mixtures": (
        CHECKS,
        "mixture_theta_bounds",
        bounds_scaled(true["mixture_theta_bounds"], 1.001, 1),
        {"R18"},
    ),
    "R18: c_+ = L/2": (CHECKS, "residual_constant", lambda base, step, ratio: step / 2, {"R18"}),
    "R18: c_- with the ratio of disjoint data": (
        CHECKS,
        "residual_constant",
        lambda base, step, ratio: true["residual_constant"](base, step, ratio and base),
        {"R18"},
    ),
    "R18: certified c off by 1 in 1000": (
        certify_laws,
        "residual_ball",
        lambda base, step, ratio: true["residual_ball"](base, step, ratio) * 999 / 1000,
        {"R18"},
    ),
    "R18: certified constant without k": (
        certify_laws,
        "theta_ball",
        lambda k, shares, moved: true["theta_ball"](k + 1, shares, moved),
        {"R18"},
    ),
    "R18: readings turned round": (
        CHECKS,
        "theorem_readings",
        changed(true["theorem_readings"], rise=lambda r: -r),
        {"R18"},
    ),
    "R18: two models that break one sign only": (
        CHECKS,
        "two_models",
        lambda rows, wanted: true["two_models"](rows, [abs(wanted[0]), -wanted[1], wanted[2]]),
        {"R18"},
    ),
    "R18: every triple is on a line": (CHECKS, "union_parts", lambda *rows: (0.5, 0.5), {"R18"}),
}


@pytest.mark.parametrize("name", first_of_each(FLOATS, 1, 3))
def test_a_broken_formula_turns_verify_red(name, monkeypatch, break_in_checks, floats_only):
    module, attribute, broken, ids = FLOATS[name]
    if module is CHECKS:
        break_in_checks(attribute, broken)
    else:
        monkeypatch.setattr(module, attribute, broken)
    assert red_ids(sorted(ids)) == ids


@pytest.mark.parametrize("id", ["R17"])
def test_another_definition_of_the_mixture_breaks_its_proofs(id, monkeypatch, fresh_derivations):
    monkeypatch.setattr(
        definitions, "joint_mass", lambda base, volume, perturb, step: ((base + step * perturb) / volume, volume)
    )
    assert (id, "symbolic") in red([id], cases=1)


@pytest.mark.parametrize("factor", [sp.Rational(999, 1000), sp.Rational(1001, 1000)])
def test_another_constant_for_mixtures_breaks_the_proof(factor, monkeypatch, fresh_derivations):
    kappa = derivation.ratio_kappa
    monkeypatch.setattr(derivation, "ratio_kappa", lambda u, v: factor * kappa(u, v))
    derivation.floor_function.cache_clear()
    with pytest.raises(DerivationError):
        derivation.BUILDERS["R18"]()


def test_another_theta_constant_breaks_the_proof(monkeypatch, fresh_derivations):
    monkeypatch.setattr(derivation, "theta_constant", lambda beta, a, moved: beta / (beta - a * moved))
    assert ("R18", "symbolic") in red(["R18"], cases=1)


def test_an_instance_that_turns_once_turns_red(monkeypatch):
    monkeypatch.setattr(checks, "TURNING_MEMBERS", checks.TURNING_MEMBERS[::-1])
    assert ("R6", "certified") in red(["R6"], cases=1)
