"""Break one formula of the Pareto overlaps at a time: verify() has to turn red at the result that it belongs to."""

from fractions import Fraction

import numpy as np
import pytest

from elastomath.certify import pareto as certify_pareto
from elastomath.derivations import pareto as derivations
from elastomath.pareto import fluctuation, overlaps
from elastomath.pareto import law as pareto
from elastomath.pareto.law import Pareto
from elastomath.pareto.overlaps import Gamma
from elastomath.verification import NOT_SHOWN, verify
from elastomath.verification import pareto as checks

from .helper import changed, first_of_each, red_ids, scaled


def lower_order(alpha, weight, order, s, true=certify_pareto._transform):
    return true(alpha - 1 if weight and order == 1 else alpha, weight, order, s)


def twice_as_wide(self, s, order=0, true=overlaps.Lognormal.laplace):
    return true(overlaps.Lognormal(2 * self.sigma), s, order)


def other_volume(law, pretrain, perturb, shares=(1, 1, 1), true=overlaps.expected_overlaps):
    return true(law, np.asarray(pretrain) * 1.0000001, perturb, shares)


FLOATS = {
    "a transform with E_{alpha+2} for E_{alpha+1}": (
        Pareto,
        "laplace",
        lambda self, s, order=0: self.alpha * pareto.exponential_integral(self.alpha + 2 - order, s),
        {"R20"},
    ),
    "a transform without alpha": (
        Pareto,
        "laplace",
        lambda self, s, order=0: pareto.exponential_integral(self.alpha + 1 - order, s),
        {"R11"},
    ),
    "an exponential integral one in 1e10 too large": (
        pareto,
        "exponential_integral",
        scaled(pareto.exponential_integral, 1 + 1e-10),
        {"R11"},
    ),
    "a step of the trapezoid that aliases": (overlaps, "STEP", 0.6, {"R20"}),
    "a range that is cut at s = e^-6": (Pareto, "log_range", lambda self: (-6.0, 4.0), {"R11"}),
    "a mean of alpha": (Pareto, "mean", lambda self: self.alpha, {"R20"}),
    "a gamma transform with its derivative's sign": (
        Gamma,
        "laplace",
        lambda self, s, order=0, true=Gamma.laplace: true(self, s, 0),
        {"R20"},
    ),
    "a lognormal of twice the width": (overlaps.Lognormal, "laplace", twice_as_wide, {"R20"}),
    "volumes one in 1e7 off": (checks, "expected_overlaps", other_volume, {"R11"}),
    "responses without N": (
        checks,
        "expected_overlaps",
        changed(overlaps.expected_overlaps, responses=lambda r: r.responses * 1.001),
        {"R11"},
    ),
    "epsilon with T in place of T - 1": (
        checks,
        "expected_overlaps",
        changed(overlaps.expected_overlaps, epsilon=lambda r: r.epsilon * r.perturb / (r.perturb - 1)),
        {"R11"},
    ),
    "a bound on the error that is too small": (
        checks,
        "equal_parts_overlap",
        changed(
            overlaps.equal_parts_overlap, error=lambda r: r.error * 1e-4, value=lambda r: r.value + 1e-16 + r.error / 10
        ),
        {"R20"},
    ),
    "A_2 with psi at alpha/2 + 1": (
        checks,
        "two_part_overlap",
        lambda alpha: pareto.two_part_overlap(np.asarray(alpha) + 1e-9),
        {"R20"},
    ),
    "E[Y]^2 in place of E[Y] E[1/Y]": (checks, "independent_overlap", lambda alpha: Pareto(alpha).mean() ** 2, {"R20"}),
    "two masses with their weights exchanged for their inverses": (
        checks,
        "two_mass_mean",
        lambda alpha, weights: pareto.two_mass_mean(alpha, 1 / np.asarray(weights)),
        {"R20"},
    ),
    "a merger that keeps the first leaf": (
        fluctuation,
        "merge_leaves",
        lambda masses, factor: np.asarray(masses)[..., ::factor],
        {"R10"},
    ),
    "a merger that averages": (
        checks,
        "merge_leaves",
        lambda masses, factor: fluctuation.merge_leaves(masses, factor) / factor,
        {"R10"},
    ),
    "merged leaves with the law of one": (
        overlaps.Coarse,
        "laplace",
        lambda self, s, order=0: self.law.laplace(s, order),
        {"R10"},
    ),
    "sampled overlaps without N": (
        checks,
        "sampled_overlaps",
        changed(fluctuation.sampled_overlaps, align=lambda r: r.align * (1 - 1e-6)),
        {"R10"},
    ),
    "T in place of A": (
        checks,
        "sampled_overlaps",
        changed(fluctuation.sampled_overlaps, align=lambda r: r.perturb),
        {"R10"},
    ),
    "a bias of the wrong sign": (
        checks,
        "leaf_limit",
        changed(fluctuation.leaf_limit, bias=lambda r: -r.bias),
        {"R20"},
    ),
    "the bias at the rate of the spread": (
        checks,
        "leaf_limit",
        changed(fluctuation.leaf_limit, bias_rate=lambda r: r.spread_rate),
        {"R20"},
    ),
    "balls: a transform of the wrong order": (certify_pareto, "_transform", lower_order, {"R20"}),
    "balls: a mean one in 1e22 too large": (
        certify_pareto,
        "pareto_mean",
        lambda *args, true=certify_pareto.pareto_mean: true(*args) * (1 + certify_pareto.ball_of(Fraction(1, 10**22))),
        {"R20"},
    ),
    "balls: digamma functions half a step off": (
        certify_pareto,
        "two_part_ball",
        lambda alpha: 2 * alpha * (alpha - 1) / (2 * alpha - 1) * ((alpha / 2 + 1).digamma() - (alpha / 2).digamma()),
        {"R20"},
    ),
    "balls: two masses without 2 alpha - 1": (
        checks,
        "two_mass_ball",
        lambda alpha, a, b: certify_pareto.two_mass_ball(alpha, a, b) * (2 * alpha - 1),
        {"R20"},
    ),
    "balls: responses without the data's own volume": (
        checks,
        "certify_pareto",
        lambda alpha, *args, **kwargs: (
            certify_pareto.certify_pareto(alpha, args[0] and args[0] * Fraction(10**6 + 1, 10**6), *args[1:], **kwargs)
            if args
            else certify_pareto.certify_pareto(alpha, **kwargs)
        ),
        {"R11"},
    ),
    "fractions: alpha^2/(alpha - 1)^2": (
        checks,
        "exact_independent_overlap",
        lambda alpha: alpha**2 / (alpha - 1) ** 2,
        {"R20"},
    ),
}


@pytest.mark.parametrize("name", first_of_each(FLOATS, 1, 3))
def test_a_broken_formula_turns_verify_red(name, monkeypatch, floats_only):
    owner, attribute, broken, ids = FLOATS[name]
    monkeypatch.setattr(owner, attribute, broken)
    assert red_ids(sorted(ids)) == ids


DERIVED = {
    "what a merger costs, with its sign": (
        "overlap_loss",
        "R10",
        lambda x, y, true=derivations.overlap_loss: -true(x, y),
    ),
    "a factor without 2 alpha - 1": ("two_part_factor", "R20", lambda alpha: 2 * alpha * (alpha - 1)),
}


@pytest.mark.parametrize("name", DERIVED)
def test_a_broken_definition_turns_its_derivation_red(name, monkeypatch, fresh_derivations):
    attribute, id, broken = DERIVED[name]
    monkeypatch.setattr(derivations, attribute, broken)
    claims = [claim for claim in verify([id], cases=1, quick=True) if claim.level == "symbolic"]
    assert [(claim.holds, claim.verdict) for claim in claims] == [(False, NOT_SHOWN)]
