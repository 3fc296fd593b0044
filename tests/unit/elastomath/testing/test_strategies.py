"""The public strategies: what each draws is valid, what each promises is reached, and what fails shrinks to little."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from elastomath import Mixture
from elastomath.errors import InputError
from elastomath.mixtures.masses import as_masses
from elastomath.testing.strategies import (
    FAMILIES,
    KINDS,
    documents,
    exact_families,
    exact_masses,
    families,
    instances,
    masses,
    mixtures,
    paths,
    volumes,
)
from tests.examples import examples
from tests.refusals import bad_masses, bad_volumes

FEW = examples(40, suppress_health_check=list(HealthCheck))
SEARCH = settings(
    max_examples=500, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


REACHED = settings(SEARCH, phases=[Phase.generate])


def smallest(strategy, predicate):
    """The smallest example; hypothesis raises NoSuchExample where 500 draws hold none."""
    return find(strategy, predicate, settings=SEARCH)


REACH = {
    "flat": (masses(kind="flat"), lambda m: m.size > 2 and np.ptp(m) == 0),
    "heavy": (masses(kind="heavy"), lambda m: m.size > 2 and m.max() / m.min() > 1e6),
    "tiny": (masses(kind="tiny"), lambda m: 0 < m[m > 0].min() < 1e-307),
    "tiny, of any kind": (masses(), lambda m: 0 < m[m > 0].min() < 1e-300),
    "another unit": (volumes(ratio=1.0), lambda v: v.max() > 100 or v.max() < 0.01),
    "k and l at the ends": (volumes(ratio=1e300), lambda v: v.max() / 1e150 > v.min() * 1e150),
    "sparse": (masses(kind="sparse"), lambda m: (m == 0).sum() > m.size / 2 > 1),
    "degenerate": (masses(kind="degenerate"), lambda m: 0 < 1 - m.max() < 1e-9 or (m.max() == 1 and (m > 0).sum() > 1)),
    "exact and not dyadic": (exact_masses(), lambda m: any(p.denominator % 3 == 0 for p in m)),
    "union of five with unequal shares": (
        families("union", parts=5, equal=False),
        lambda f: len(set(f.shares)) > 2 and len(f.pretrain) > 1,
    ),
    "a full overlap": (exact_families("overlap"), lambda f: f.dial == 1),
    "no overlap": (exact_families("overlap"), lambda f: f.dial == 0),
    "independent on eight leaves or more": (families("independent"), lambda f: f.align.size >= 8),
    "six datasets": (mixtures(None), lambda m: len(m.volumes) == 6),
    "uncovered": (mixtures(), lambda m: bool(m.components[-1][(m.components[:-1] == 0).all(axis=0)].sum() > 0)),
    "extreme volumes": (volumes(ratio=1e150), lambda v: v.max() / v.min() > 1e200),
    "empty and ragged documents": (documents(), lambda d: len({len(x) for x in d}) > 2 and min(map(len, d)) == 0),
    "text beyond ASCII": (documents(), lambda d: any(isinstance(x, str) and not x.isascii() for x in d)),
    "long path": (paths(), lambda p: p.size == 5),
}


@pytest.mark.parametrize("name", REACH)
def test_what_is_promised_is_reached(name):
    strategy, predicate = REACH[name]
    assert predicate(find(strategy, predicate, settings=REACHED))  # any example will do: it is not made small


def test_a_false_claim_shrinks_to_few_leaves_and_small_masses():
    """With three equal parts dH_p < 0 is false (R9h): hypothesis finds it, and the example can be read."""
    seen = smallest(instances(parts=3, most=4), lambda i: i.gaps()[0] > 0 and i.counts[-1] != i.counts[-2])
    assert seen.leaves == 2
    assert sum(map(sum, seen.counts)) <= 8
    assert seen.volumes == (1, 1, 1)
    assert smallest(masses(), lambda m: m.size >= 3).tolist() == [0, 0, 1]


@pytest.mark.parametrize("kind", FAMILIES)
@FEW
@given(data=st.data())
def test_a_family_is_what_it_says(kind, data):
    family = data.draw(exact_families(kind))
    assert all(sum(row) == 1 and min(row) >= 0 for row in family.rows)
    if kind == "union":
        whole = tuple(
            sum(w * p for w, p in zip(family.shares, leaf, strict=True)) for leaf in zip(*family.parts, strict=True)
        )
        assert (family.pretrain, family.align, family.perturb) == (whole, *family.parts[-2:])
    elif kind == "disjoint":
        assert all(sum(map(bool, leaf)) <= 1 for leaf in zip(*family.rows, strict=True))
    elif kind == "opposed":
        assert sorted(family.align) == sorted(family.perturb)
        pairs = sorted(zip(family.align, family.perturb, strict=True), key=lambda pair: (pair[0], -pair[1]))
        assert [t for _, t in pairs] == sorted(family.perturb, reverse=True)
    elif kind == "independent":
        for one, other in ((0, 1), (0, 2), (1, 2)):
            count = len(family.align)
            assert sum(a * b for a, b in zip(family.rows[one], family.rows[other], strict=True)) == Fraction(1, count)
    elif kind == "overlap":
        shared = sum(t for a, t in zip(family.align, family.perturb, strict=True) if a)
        assert shared == family.dial


@FEW
@given(st.sampled_from(FAMILIES).flatmap(lambda kind: mixtures(family=kind, ratio=1e100)))
def test_a_mixture_of_a_family_can_be_used(mixture):
    assert isinstance(mixture, Mixture)
    assert np.isclose(mixture.masses.sum(), 1)


@examples(200, parent=FEW)
@given(bad_masses())
def test_bad_masses_are_refused_in_one_line(values):
    with pytest.raises(InputError) as error, np.errstate(all="raise"):
        as_masses(values)
    assert "\n" not in str(error.value)


@examples(100, parent=FEW)
@given(bad_volumes())
def test_bad_volumes_are_refused_in_one_line(values):
    with pytest.raises(InputError) as error, np.errstate(all="raise"):
        Mixture.of([[0.5, 0.5]] * 3, values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: masses(kind="fat"),
        lambda: masses(kind="sparse", positive=True),
        lambda: families("reunion"),
        lambda: families(parts=1),
        lambda: families("disjoint", leaves=2),
        lambda: families("independent", leaves=8),
    ],
)
def test_strategies_that_cannot_be_had_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()


def test_every_kind_is_reached_here():
    assert set(KINDS) <= set(REACH)


PAGE = (Path(__file__).resolve().parents[4] / "docs" / "property-tests.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_every_block_of_the_page_runs(block):
    exec(compile(block, "property-tests.md", "exec"), {"__name__": "page"})
