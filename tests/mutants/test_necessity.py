"""Break R9 one piece at a time: the derivation is not built, or verify() turns red at the result that it belongs to."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from elastomath import verification
from elastomath.derivations import definitions
from elastomath.derivations import necessity as derivation
from elastomath.derivations.language import Witness
from elastomath.derivations.words import DerivationError
from elastomath.necessity import assumptions as necessity_assumptions
from elastomath.necessity import instance
from elastomath.necessity import search as necessity
from elastomath.necessity.instance import Instance
from elastomath.verification import necessity as checks
from elastomath.verification import verify

from .helper import first_of_each, red_ids

ONE, TEN, TENTH = Fraction(1), Fraction(10), Fraction(1, 10)


@pytest.mark.parametrize("id", sorted(checks.EXAMPLES))
def test_an_example_that_is_none_turns_red(id, monkeypatch):
    """The theorem as it is true in place of the counterexample: two equal parts, l = 1/10, the joint optimum."""
    true = Instance(((3, 1, 1), (1, 1, 2)), (TEN, ONE, TENTH), (1, 1))
    monkeypatch.setitem(checks.EXAMPLES, id, dataclasses.replace(checks.EXAMPLES[id], hand=true))
    (claim,) = verify([id], cases=3)
    assert not claim.holds
    assert claim.verdict == verification.NOT_SHOWN


@pytest.mark.parametrize("id", sorted(id for id, example in checks.EXAMPLES.items() if example.family is not None))
def test_a_family_that_keeps_a_bound_turns_red(id, monkeypatch):
    fixed = checks.EXAMPLES["R9d"].family(100)
    kept = dataclasses.replace(checks.EXAMPLES[id], family=lambda bound: fixed)
    monkeypatch.setitem(checks.EXAMPLES, id, kept)
    assert red_ids([id]) == {id}


def gaps_with(change):
    true = Instance.gaps
    return lambda self: change(self, true(self))


SEARCH = {
    "gaps of the wrong sign": (Instance, "gaps", gaps_with(lambda seen, gaps: tuple(-gap for gap in gaps)), "R9a"),
    "gaps at the compressor instead of the optimum": (
        Instance,
        "compressor",
        property(lambda self: self.optimum),
        "R9g",
    ),
    "a union without its shares": (
        instance,
        "_masses",
        lambda row, true=instance._masses: true(row) if len(row) != 2 or min(row) == 0 else (Fraction(1, 2),) * 2,
        "R9i",
    ),
    "a sign that need not be wrong": (
        necessity,
        "fails",
        lambda part, gaps, k, bound=100: (gaps[..., 0] if isinstance(gaps, np.ndarray) else gaps[0]) == gaps[0],
        "R9b",
    ),
    "the smallest instance is the first one": (
        necessity,
        "_least",
        lambda found, test, part, bound: (found, None),
        None,
    ),
    "no shrinking at all": (necessity, "shrink", lambda first, test: first, "R9h"),
    "the optimum missed by the wrong divergence": (
        Instance,
        "missed",
        lambda self: tuple((-factor, ratio) for factor, ratio in Instance_missed(self)),
        "R9g",
    ),
    "Pareto moments off by 1e-6": (
        checks,
        "_pareto_moments",
        lambda alpha, true=checks._pareto_moments: tuple(end * (1 + 1e-6) for end in true(alpha)),
        "R9c",
    ),
    "steps of sequential training in the wrong order": (
        checks,
        "_sequential",
        lambda eta, align, perturb, true=checks._sequential: true(eta, perturb, align),
        "R9g",
    ),
}
Instance_missed = Instance.missed


@pytest.mark.parametrize("name", first_of_each(SEARCH, 1, 3))
def test_a_broken_piece_turns_verify_red(name, monkeypatch, floats_only):
    owner, attribute, broken, id = SEARCH[name]
    monkeypatch.setattr(owner, attribute, broken)
    if attribute == "_least":
        # without it, greedy moves still end small: the guarantee goes, and with it the count
        assert necessity.find_counterexample("union").enumerated is None
        return
    if attribute == "shrink":
        # the enumeration may still find the smallest, where it is not too large: here it is
        monkeypatch.setattr(necessity, "ENUMERATED", 0)
    assert red_ids([id]) == {id}


@pytest.mark.parametrize("name", ["admits", "rulings"])
def test_an_assumption_that_keeps_nothing_is_seen(name, monkeypatch):
    rule = necessity_assumptions.ASSUMPTIONS["union"]
    if name == "admits":
        monkeypatch.setitem(
            necessity_assumptions.ASSUMPTIONS, "union", dataclasses.replace(rule, admits=lambda seen: True)
        )
        found = necessity.find_counterexample("union", part="align").instance
        assert found.counts[1] == found.counts[2]  # P_a = P_t: that is another assumption
    else:
        wrong = {**rule.rulings, "align": necessity_assumptions.Ruling(True, "R9a", "no")}
        monkeypatch.setitem(
            necessity_assumptions.ASSUMPTIONS,
            "small l",
            dataclasses.replace(necessity_assumptions.ASSUMPTIONS["small l"], rulings=wrong),
        )
        assert red_ids(["R9d"]) == {"R9d"}  # the search finds no dH_a <= 0 there, as it is proved


STEPS = {
    "two parts": derivation._two_parts,
    "distinct": derivation._distinct,
    "large k": derivation._large_k,
    "coverage": derivation._coverage,
    "third part": derivation._third_part,
    "independent": derivation._independent,
    "joint optimum": derivation._joint_optimum,
}


@pytest.mark.parametrize("name", STEPS)
def test_no_step_survives_another_right_side(name):
    """Each line with its smaller side raised, its constant 1% off, or its relation turned round cannot be built."""
    for step in STEPS[name]():
        with pytest.raises(DerivationError):
            dataclasses.replace(step, formula=(step.lhs, step.relation, step.rhs + sp.Rational(1, 100)))
        with pytest.raises(DerivationError):
            dataclasses.replace(
                step,
                formula=(step.lhs * sp.Rational(99, 100) if step.rhs != 0 else step.lhs + 1, step.relation, step.rhs),
            )
        if step.relation != "=":
            turned = "<=" if step.relation == ">=" else ">="
            with pytest.raises(DerivationError):
                dataclasses.replace(step, formula=(step.lhs, turned, step.rhs))
            with pytest.raises(DerivationError):
                dataclasses.replace(step, proof=Witness(2 * step.proof.expression))


def test_a_derivation_that_fails_turns_r9_red(monkeypatch, fresh_derivations):
    names = definitions.symbols()
    monkeypatch.setattr(names, "t", names.a)  # P_t is P_a on every leaf: the steps say something else
    claims = [claim for claim in verify(["R9"], cases=1, quick=True) if claim.id == "R9" and claim.level == "symbolic"]
    assert [claim.holds for claim in claims] == [False]


@pytest.mark.parametrize("claim", ["certified", "sampled"])
def test_a_response_off_by_little_is_seen(claim, monkeypatch, floats_only, break_in_checks):
    true = Instance.gaps if claim == "certified" else checks.response
    if claim == "certified":
        monkeypatch.setattr(
            Instance,
            "gaps",
            lambda self: tuple(gap * (1 + index * Fraction(1, 10**6)) for index, gap in enumerate(true(self))),
        )
    else:
        break_in_checks(
            "response",
            lambda mixture: dataclasses.replace(true(mixture), overlaps=true(mixture).overlaps * (1 + 1e-9)),
        )
    seen = {item.level: item.holds for item in verify(["R9"], cases=20, quick=True) if item.id == "R9"}
    assert not seen[claim]
