"""verify: every claim comes out, says its level, and is the same for the same seed."""

import dataclasses
import json
import math
import re
import time

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.laws.finite import mixture_constant
from elastomath.verification import explain, results, verified, verify
from elastomath.verification.instances import certified_instances, sample_mixture


@pytest.fixture(scope="module")
def claims(verified_theory):
    return verified_theory.claims


def test_all_of_it_takes_less_than_ninety_seconds_of_processor(verified_theory):
    assert verified_theory.seconds < 90  # with room for a loaded machine


@pytest.mark.acceptance
def test_with_all_cases_it_holds_and_takes_less_than_ninety_seconds_of_processor():
    start = time.process_time()
    claims = verify()
    assert time.process_time() - start < 90  # 20 s on an idle core, with room for a loaded machine
    assert [claim for claim in claims if not claim.holds] == []
    assert all(claim.cases >= 200 for claim in claims if claim.level == "sampled")


def test_every_claim_holds(claims):
    assert [claim for claim in claims if not claim.holds] == []


def test_one_claim_for_each_id_and_level(claims, verified_theory):
    seen = [(claim.id, claim.level) for claim in claims]
    assert len(set(seen)) == len(seen)
    assert seen == [(id, level) for id in verified() for level, _ in results()[id].checks]
    for id in verified():
        levels = [level for name, level in seen if name == id]
        if id[-1].isalpha():  # a case of a result
            assert "counterexample" in levels or set(levels) <= {"symbolic", "certified", "sampled"}, id
        else:
            assert {"symbolic", "certified"} & set(levels), id
            assert "sampled" in levels, id
    assert [id for id in verified() if id.startswith("R9")] == ["R9", *(f"R9{letter}" for letter in "abcdefghi")]
    assert all(claim.verdict == results()[claim.id].verdict for claim in claims)
    assert all(claim.cases >= verified_theory.cases for claim in claims if claim.level == "sampled")
    assert all(claim.detail for claim in claims)


def test_claims_are_plain_json(claims):
    rows = json.loads(json.dumps([dataclasses.asdict(claim) for claim in claims], allow_nan=False))
    assert set(rows[0]) == {"id", "verdict", "level", "cases", "detail", "holds"}


def test_the_same_seed_gives_the_same_claims_whatever_else_is_asked():
    alone = verify(["R4"], cases=10, seed=3)
    assert alone == [claim for claim in verify(["R2", "R4"], cases=10, seed=3) if claim.id == "R4"]
    assert alone != verify(["R4"], cases=10, seed=4)


def test_a_group_of_ids_means_all_of_them():
    cases = [f"R9{letter}" for letter in "abcdefghi"]
    assert [claim.id for claim in verify(["R9"], cases=3, quick=True)] == ["R9"] * 3 + cases
    named = [claim.id for claim in verify(["R9b", "R9"], cases=3, quick=True)]
    assert named == ["R9b", "R9", "R9", "R9", *(id for id in cases if id != "R9b")]


@pytest.mark.parametrize("ids", [["R99"], ["r1"], ["R"], [""]])
def test_an_unknown_id_is_refused(ids):
    with pytest.raises(InputError, match="choose from R1"):
        verify(ids)


def test_no_cases_is_refused():
    with pytest.raises(InputError, match="0 cases"):
        verify(cases=0)


def test_a_check_that_tried_nothing_shows_nothing(monkeypatch):
    empty = dataclasses.replace(results()["R2"], checks=(("sampled", lambda tally, cases, rng: None),))
    monkeypatch.setitem(results(), "R2", empty)
    (claim,) = verify(["R2"], cases=1)
    assert (claim.holds, claim.verdict) == (False, "not shown")


def test_what_is_said_of_the_largest_bend_is_no_less_than_it():
    """R23c: half the largest second derivative of p^2 (1-p) in z is 0.050506; "at most 0.0504" was said."""
    z = np.linspace(-4, 4, 80001)
    p = 1 / (1 + np.exp(-z))
    largest = np.abs(np.diff(p**2 * (1 - p), 2)).max() / (z[1] - z[0]) ** 2 / 2
    (stated,) = re.findall(r"(0\.\d+) c V in p", explain("R23c"))
    assert largest <= float(stated) < largest + 2e-4


@pytest.mark.parametrize("style", ["text", "latex"])
@pytest.mark.parametrize("id", verified())
def test_everything_can_be_explained(id, style):
    words = explain(id, style)
    assert id in words
    assert len(words) > 200
    assert style == "text" or words.count("{") == words.count("}")


def test_explain_refuses_what_it_does_not_know():
    with pytest.raises(InputError, match="R9b"):
        explain("R99")
    with pytest.raises(InputError, match="text or latex"):
        explain("R1", "html")


def test_certified_instances_are_exact_distributions():
    alone = [
        any(t and not any(others) for *others, t in zip(*rows, strict=True))
        for rows, _ in certified_instances().values()
    ]
    assert sum(alone) == 1  # one of them without coverage
    for rows, volumes in certified_instances().values():
        assert all(sum(row) == 1 for row in rows)
        assert len(rows) == len(volumes)


@pytest.mark.parametrize("width", [1e-9, 1e-4, 0.0099, 0.0101, 0.5, 3.0, 1e5])
def test_mixture_constant_against_many_digits(width):
    import sympy as sp

    w = sp.Rational(width)
    exact = float(sp.N((1 + w) * sp.log(1 + w) / w - 1, 40))
    assert mixture_constant(1.0, width) == pytest.approx(exact, rel=2e-14 if width < 0.01 else 1e-12)
    assert mixture_constant(7.0, 7.0 * width) == pytest.approx(7 * exact, rel=1e-12)
    assert mixture_constant(1.0, width) < width / 2


def test_the_sampled_mixtures_reach_the_hard_cases():
    rng = np.random.default_rng(0)
    drawn = [sample_mixture(rng) for _ in range(400)]
    assert any((m.components == 0).any() for m in drawn)
    assert any((m.components[-1][(m.components[:-1] == 0).all(axis=0)] > 0).any() for m in drawn)  # uncovered at l = 0
    assert any(m.components.max() > 0.9 for m in drawn)
    assert any(abs(m.components[1] / m.components[2] - 1).max() < 1e-2 for m in drawn if (m.components > 0).all())
    assert min(m.volumes[0] for m in drawn) < 0.1
    assert max(m.volumes[0] for m in drawn) > 1e3
    assert {m.leaves for m in drawn} >= {2, 3, 64}
    assert all(math.isclose(row.sum(), 1.0) for m in drawn for row in m.components)
