"""Break one formula of the library at a time: verify() has to turn red, and at the result that the formula belongs to."""

import dataclasses
import importlib
import math

import numpy as np
import pytest
import sympy as sp

from elastomath import kl_divergence, verification
from elastomath.certify import balls as certify_balls
from elastomath.certify import response as certify
from elastomath.derivations import definitions, finite
from elastomath.laws import finite as law
from elastomath.mixtures import leafsums, mixture
from elastomath.verification import verify

from .helper import first_of_each, red, red_ids, scaled

CHECKS = "wherever a check uses it"
response_module = importlib.import_module(
    "elastomath.laws.response"
)  # the name `response` of the package is the function


def replaced(function, **changes):
    """The library's response with some fields changed by functions of (response, mixture)."""

    def changed(mixture):
        seen = function(mixture)
        return dataclasses.replace(seen, **{name: change(seen, mixture) for name, change in changes.items()})

    return changed


def summed(**changes):
    """`leaf_sums` with some of its fields changed."""

    def broken(*args, **options):
        sums = leafsums.leaf_sums(*args, **options)
        return sums._replace(**{name: change(sums) for name, change in changes.items()})

    return broken


def moved(divergence):
    """`leaf_moves` with another divergence of q_0 from q_l."""

    def broken(rows, volumes, steps):
        m = mixture.Mixture(rows, np.append(volumes, 0.0))
        values = [divergence(m.masses, m.at(step).masses) for step in steps]
        rises, _, outside = leafsums.leaf_moves(rows, volumes, steps)
        return rises, np.array(values), outside

    return broken


def share_of_start(m):
    return m.total / float(m.volumes[:-1].sum())


true_response, true_finite_law, true_masses = response_module.response, law.finite_law, mixture.Mixture.masses
true_sign_change, true_path_entropies, true_kl = law.sign_change, law.path_entropies, kl_divergence

FLOATS = {
    "R1: the sign of every response": (
        CHECKS,
        "response",
        replaced(true_response, derivatives=lambda r, m: -r.derivatives),
        {"R1", "R4", "R9"},
    ),
    "R1: N_0 in place of N": (
        CHECKS,
        "response",
        replaced(true_response, derivatives=lambda r, m: r.derivatives * share_of_start(m)),
        {"R1"},
    ),
    "R1: an overlap that is 1e-9 too large": (
        response_module,
        "leaf_sums",
        summed(overlaps=lambda sums: sums.overlaps * (1 + 1e-9)),
        {"R1"},
    ),
    "R1: the overlap of the wrong pair": (
        response_module,
        "leaf_sums",
        lambda rows, volumes, **options: leafsums.leaf_sums(rows, volumes, beside=rows[0], **options),
        {"R1", "R2"},
    ),
    "R1: chi-square with its sign flipped": (
        response_module,
        "leaf_sums",
        summed(squares=lambda sums: -sums.squares),
        {"R1", "R2", "R3"},
    ),
    "R1: half the chi-square": (
        response_module,
        "leaf_sums",
        summed(squares=lambda sums: sums.squares * 0.5),
        {"R1", "R2", "R3"},
    ),
    "R1: code lengths in bits, not nats": (
        mixture,
        "leaf_sums",
        summed(cross=lambda sums: sums.cross / math.log(2)),
        {"R1"},
    ),
    "R1: code lengths under masses divided by N_0 instead of N": (
        mixture,
        "leaf_sums",
        lambda rows, volumes, **options: leafsums.leaf_sums(
            rows, volumes, base=rows * volumes.sum() / volumes[:-1].sum(), **options
        ),
        {"R1"},
    ),
    "R1: a path of code lengths in bits": (
        CHECKS,
        "path_entropies",
        scaled(law.path_entropies, 1 / math.log(2)),
        {"R1", "R5"},
    ),
    "R1: a path normalised by N_0 instead of N": (
        CHECKS,
        "path_entropies",
        lambda m, steps: true_path_entropies(m, steps) - np.log1p(np.asarray(steps) / m.volumes[:-1].sum()),
        {"R1", "R5"},
    ),
    "R2: a balance without weights": (
        CHECKS,
        "response",
        replaced(true_response, balance=lambda r, m: float(r.derivatives.sum())),
        {"R2"},
    ),
    "R2: a balance that is always 0": (
        CHECKS,
        "response",
        replaced(true_response, balance=lambda r, m: 0.0),
        {"R2"},
    ),
    "R2: KL to another compressor with its arguments exchanged": (
        CHECKS,
        "kl_divergence",
        lambda p, q: true_kl(q, p),
        {"R2"},
    ),
    "R3: epsilon inverted": (
        CHECKS,
        "response",
        replaced(true_response, epsilon=lambda r, m: 1 / r.epsilon),
        {"R3"},
    ),
    "R3: epsilon without l": (
        CHECKS,
        "response",
        replaced(true_response, epsilon=lambda r, m: r.epsilon / m.volumes[-1]),
        {"R3"},
    ),
    "R3: the constant upside down": (
        CHECKS,
        "response",
        replaced(true_response, theta_constant=lambda r, m: 1 - r.epsilon),
        {"R3"},
    ),
    "R3: the constant 1 + eps, right to first order": (
        CHECKS,
        "response",
        replaced(true_response, theta_constant=lambda r, m: 1 + r.epsilon),
        {"R3"},
    ),
    "R4: no turning point is ever found": (CHECKS, "sign_change", lambda *args, **kwargs: None, {"R4"}),
    "R4: turning points one in a million off": (
        CHECKS,
        "sign_change",
        lambda *args, **kwargs: (lambda root: root and root * (1 + 1e-6))(true_sign_change(*args, **kwargs)),
        {"R4"},
    ),
    "R5: a bound twice too large": (
        CHECKS,
        "finite_law",
        lambda *args: dataclasses.replace(true_finite_law(*args), upper=2 * true_finite_law(*args).upper),
        {"R5"},
    ),
    "R5: a bound half as large": (
        CHECKS,
        "finite_law",
        lambda *args: dataclasses.replace(true_finite_law(*args), upper=true_finite_law(*args).upper / 2),
        {"R5"},
    ),
    "R5: a residual without volumes": (
        CHECKS,
        "finite_law",
        lambda steps, volumes, rates: true_finite_law(steps, np.ones_like(volumes), rates),
        {"R5"},
    ),
    "R5: N instead of N_0 before KL": (
        CHECKS,
        "mixture_residual",
        lambda m, step: law.mixture_residual(m, step) * m.at(step).total / m.at(0.0).total,
        {"R5"},
    ),
    "R5: KL with its arguments exchanged": (law, "leaf_moves", moved(lambda p, q: true_kl(q, p)), {"R5"}),
    "R5: KL with one term of its series lost": (
        law,
        "leaf_moves",
        moved(lambda p, q: float((0.5 * (p - q)[q > 0] ** 2 / q[q > 0]).sum())),
        {"R5"},
    ),
    "R5: 0.49 in place of the best constant's 1/2": (
        CHECKS,
        "mixture_constant",
        scaled(law.mixture_constant, 0.98),
        {"R5"},
    ),
    "R5: L/2 as the best constant": (CHECKS, "mixture_constant", lambda base, step: step / 2, {"R5"}),
    "certify: overlaps without N": (
        certify,
        "overlap_term",
        lambda mass, perturb, joint, total: 0 if joint == 0 else mass * perturb / joint,
        {"R1", "R2", "R3"},
    ),
    "certify: logarithms in bits": (
        certify,
        "_log",
        lambda value, log=certify_balls._log: None if value == 0 else 2 * log(value),
        {"R1", "R5"},
    ),
    "certify: the sharp constant halved": (certify, "sharp_constant", scaled(certify.sharp_constant, 0.5), {"R5"}),
    "certify: N instead of N_0 in the ratio of masses": (
        certify,
        "_log_ratio",
        lambda end, start: None if start == 0 else certify_balls._log(end / start * 2),
        {"R5"},
    ),
}


@pytest.mark.usefixtures("floats_only")  # derivations hold by test_every_claim_holds
def test_nothing_is_red_while_nothing_is_broken():
    assert red(None, cases=5) == set()


@pytest.mark.parametrize("name", first_of_each(FLOATS, 1, 3))
def test_a_broken_formula_turns_verify_red(name, monkeypatch, break_in_checks, floats_only):
    module, attribute, broken, ids = FLOATS[name]
    if module is CHECKS:
        break_in_checks(attribute, broken)
    else:
        monkeypatch.setattr(module, attribute, broken)
    assert {id.rstrip("abcdefghi") for id in red_ids(sorted(ids))} == ids


def test_a_mixture_divided_by_the_wrong_volume_turns_verify_red(monkeypatch, floats_only):
    monkeypatch.setattr(
        mixture.Mixture,
        "masses",
        property(lambda self: true_masses.fget(self) * share_of_start(self)),
    )
    assert "R2" in red_ids(["R2"])


def test_another_definition_turns_every_derivation_red(monkeypatch, fresh_derivations):
    monkeypatch.setattr(
        definitions,
        "joint_mass",
        lambda base, volume, perturb, step: ((base + step * perturb) / volume, volume),
    )
    assert {(id, "symbolic") for id in ("R1", "R2", "R4", "R5")} <= red(["R1", "R2", "R4", "R5"], cases=1)


def test_a_smaller_constant_turns_the_derivation_of_the_finite_law_red(monkeypatch, fresh_derivations):
    gamma = finite.sharp_gamma
    monkeypatch.setattr(finite, "sharp_gamma", lambda w: sp.Rational(99, 100) * gamma(w))
    claims = [claim for claim in verify(["R5"], cases=1) if claim.level == "symbolic"]
    assert [(claim.holds, claim.verdict) for claim in claims] == [(False, verification.NOT_SHOWN)]
    assert "left over" in claims[0].detail


def test_a_failure_says_where_it_failed(break_in_checks, floats_only):
    break_in_checks("sign_change", lambda *args, **kwargs: None)
    (claim,) = (claim for claim in verify(["R4"], cases=20, quick=True) if claim.level == "sampled")
    assert claim.verdict == verification.COUNTEREXAMPLE
    assert claim.detail.startswith("case ")
    assert "turns at None" in claim.detail
