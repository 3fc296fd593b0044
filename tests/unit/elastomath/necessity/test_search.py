"""R9: instances in exact fractions, the shrinker, the search, and the table of what needs what."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from elastomath import Mixture, response
from elastomath.derivations import derive
from elastomath.errors import InputError
from elastomath.necessity.assumptions import ASSUMPTIONS, PARTS
from elastomath.necessity.certificate import exact_counterexample
from elastomath.necessity.drawing import Batch
from elastomath.necessity.instance import IndependentLaws, Instance
from elastomath.necessity.printing import table
from elastomath.necessity.search import _least, fails, find_counterexample, violates
from elastomath.necessity.shrinking import shrink
from elastomath.verification import explain
from elastomath.verification.instances import exact_overlaps
from elastomath.verification.necessity import EXAMPLES, missed_enclosure

ONE, TEN, TENTH = Fraction(1), Fraction(10), Fraction(1, 10)
USUAL = (TEN, ONE, TENTH)
SEARCHED = [
    (name, part)
    for name, rule in ASSUMPTIONS.items()
    for part, ruling in rule.rulings.items()
    if ruling.needed and ruling.searched
]


def total(found):
    seen = found.instance
    return seen.leaves, sum(map(sum, seen.counts)) + sum(seen.model)


# --- instances ----------------------------------------------------------------------------------------------------
def test_an_instance_is_what_the_library_computes_in_floats():
    seen = Instance(((2, 1, 1), (0, 1, 1), (1, 0, 0)), (TEN, ONE, Fraction(1, 2)))
    floats = response(Mixture.of([[float(p) for p in row] for row in seen.datasets], [10, 1, 0.5]))
    assert np.allclose(floats.derivatives, [float(value) for value in seen.responses()], rtol=1e-14)
    assert [1 - gap for gap in seen.gaps()] == exact_overlaps(seen.datasets, seen.volumes)
    assert float(seen.ratio()) == pytest.approx(floats.theta_constant, rel=1e-13)


def test_a_union_is_its_parts_in_proportion_to_their_shares():
    union = Instance(((4, 0), (2, 2), (0, 3)), USUAL, shares=(2, 1, 1))
    assert union.counts == ((1, 0), (1, 1), (0, 1))  # each row without its common divisor
    assert union.datasets[0] == (Fraction(5, 8), Fraction(3, 8))
    free = Instance(((5, 3), (1, 1), (0, 1)), USUAL)
    assert union.gaps() == free.gaps()


def test_a_model_at_the_optimum_changes_nothing_and_misses_nothing():
    union = Instance(((1, 0), (0, 1)), USUAL, (1, 1))
    q = union.optimum
    at = dataclasses.replace(union, model=tuple(int(m * 222) for m in q))
    assert at.compressor == q
    assert at.gaps() == union.gaps()
    assert at.missed() == ()


@pytest.mark.parametrize(
    ("counts", "volumes", "shares", "model"),
    [
        (((1, 0), (0, 1)), USUAL, (), ()),
        (((1, 0), (0, 1), (1,)), USUAL, (), ()),
        (((1, 0), (0, 0), (1, 1)), USUAL, (), ()),
        (((1, -1), (0, 1), (1, 1)), USUAL, (), ()),
        (((1, 0.5), (0, 1), (1, 1)), USUAL, (), ()),
        (((1, 0), (0, 1), (1, 1)), (0, 1, 1), (), ()),
        (((1, 0), (0, 1), (1, 1)), (1, 2, 1), (), ()),
        (((1, 0), (0, 1), (1, 1)), (1, 1, -1), (), ()),
        (((1, 0), (0, 1), (1, 1)), USUAL, (1, 1), ()),
        (((1, 0),), USUAL, (1,), ()),
        (((1, 0), (0, 1)), USUAL, (1, 1), (1, 1, 1)),
        (((1, 0), (0, 1)), USUAL, (1, 1), (-1, 2)),
    ],
)
def test_an_instance_that_is_none_is_refused(counts, volumes, shares, model):
    with pytest.raises(InputError):
        Instance(counts, volumes, shares, model)


def test_independent_laws_are_independent_with_one_law():
    laws = IndependentLaws((1, 2, 4), USUAL)
    masses = [np.array([float(p) for p in row]) for row in laws.instance().datasets]
    assert masses[0].size == 27
    values = np.array([1, 2, 4]) / 7 / 9
    for row in masses:
        assert np.allclose(np.sort(row), np.repeat(values, 9))
    for i in range(3):
        for j in range(i):
            joint = (masses[i] * masses[j]).mean()
            assert joint == pytest.approx(masses[i].mean() * masses[j].mean(), rel=1e-12)
    with pytest.raises(InputError, match="E\\[1/Y\\]"):
        IndependentLaws((0, 1), USUAL)


def test_delta_is_the_divergence_from_the_optimum():
    seen = EXAMPLES["R9g"].instance
    low, high = missed_enclosure(seen)
    q, model = (np.array([float(m) for m in row]) for row in (seen.optimum, seen.compressor))
    direct = float(sum(seen.volumes)) * float((q * np.log(q / model)).sum())
    assert low <= high < low + 1e-12
    assert direct == pytest.approx(low, rel=1e-12)
    assert direct == pytest.approx(6 * np.log(192 / 161) + 5.5 * np.log(176 / 207), rel=1e-12)


# --- shrinking ----------------------------------------------------------------------------------------------------
def test_shrink_refuses_what_violates_nothing():
    with pytest.raises(InputError, match="violates nothing"):
        shrink(Instance(((1, 0), (0, 1)), USUAL, (1, 1)), lambda seen: seen.gaps()[1] < 0)


def test_a_shrunk_instance_has_no_smaller_neighbour_that_violates():
    start = Instance(((9, 4, 7, 0), (8, 1, 0, 5), (9, 2, 1, 1)), (Fraction(37, 3), ONE, Fraction(3, 7)))
    seen_by = []

    def violates_here(seen):
        seen_by.append(seen)
        return seen.gaps()[1] < 0 and seen.volumes[2] > 0

    end = shrink(start, violates_here)
    assert end.gaps()[1] < 0
    assert end.size < start.size
    for other in end.smaller():
        assert other.size >= end.size or not violates_here(other)
    assert len(set(seen_by)) > 10
    assert shrink(start, violates_here) == end


def test_users_shrink_their_own_claims_on_their_own_instances():
    @dataclasses.dataclass(frozen=True)
    class Number:
        value: int

        @property
        def size(self):
            return (self.value,)

        def smaller(self):
            yield from (Number(self.value // 2), Number(self.value - 1))

    assert shrink(Number(1000), lambda number: number.value**2 > 150).value == 13
    assert shrink(Number(1000), lambda number: number.value**2 > 150, limit=3).value < 1000


# --- the search ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("assumption", "part"), SEARCHED)
def test_the_search_finds_a_violation_and_shows_that_it_is_one(assumption, part):
    found = find_counterexample(assumption, seed=7, part=part)
    assert found.holds()
    assert found == find_counterexample(assumption, seed=7, part=part)
    seen = found.instance
    if not seen.model:
        overlaps = exact_overlaps(seen.datasets, seen.volumes)
        align, pretrain = 1 - overlaps[1], 1 - overlaps[0]
        wrong = {
            "pretrain": pretrain > 0,
            "align": align < 0,
            "existence": pretrain == 0,
            "theta": pretrain != 0 and not 1 / 100 <= abs(align / (seen.volumes[0] * pretrain)) <= 100,
        }
        assert wrong[part]
    words = found.text()
    assert PARTS[part] in words
    assert found.latex().count("{") == found.latex().count("}")


@pytest.mark.parametrize(("assumption", "part"), [pair for pair in SEARCHED if pair[1] in ("pretrain", "align")])
def test_every_seed_ends_at_the_same_size_where_all_smaller_ones_were_gone_through(assumption, part):
    ends = [find_counterexample(assumption, seed=seed, part=part) for seed in range(5)]
    if all(end.enumerated is not None for end in ends):
        assert len({total(end) for end in ends}) == 1
    else:
        assert max(end.instance.leaves for end in ends) <= 3


def test_the_search_is_no_larger_than_the_hand():
    for example in EXAMPLES.values():
        found = find_counterexample(example.assumption, seed=3, part=example.part)
        by_hand = example.instance
        assert total(found) <= (by_hand.leaves, sum(map(sum, by_hand.counts)) + sum(by_hand.model)), example.id


def test_what_is_kept_is_kept():
    """Each instance obeys the assumptions that were not dropped, judged here from the definitions."""
    for assumption, part in SEARCHED:
        seen = find_counterexample(assumption, seed=11, part=part).instance
        pretrain, align, perturb = seen.datasets
        k, _, step = seen.volumes
        half = tuple((a + t) / 2 for a, t in zip(align, perturb, strict=True))
        if assumption in ("small l", "large k", "joint optimum"):
            assert pretrain == half, assumption
        if assumption != "distinct":
            assert align != perturb, assumption
        if assumption not in ("small l", "coverage"):
            assert 0 < step <= TENTH, assumption
        if assumption != "large k":
            assert k >= 10, assumption
        if assumption == "coverage":
            assert any(t and not p and not a for p, a, t in zip(pretrain, align, perturb, strict=True))
            assert seen.gaps()[1] > 0
        else:
            assert all(p or a or not t for p, a, t in zip(pretrain, align, perturb, strict=True)), assumption
        if assumption == "two parts, masses alike":
            assert len({tuple(sorted(row)) for row in seen.counts}) == 1
        assert bool(seen.model) == (assumption == "joint optimum")


def test_theta_has_no_bound_for_all():
    for assumption, part in SEARCHED:
        if part == "theta" and assumption != "two parts, masses alike":
            for bound in (3, 1000):
                ratio = abs(find_counterexample(assumption, part="theta", bound=bound).instance.ratio())
                assert not 1 / Fraction(bound) <= ratio <= bound, assumption
    with pytest.raises(InputError, match="another seed"):
        find_counterexample("equal parts", part="theta", bound=10**30, rounds=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"assumption": "Pareto"}, "does not need Pareto"),
        ({"assumption": "large k"}, r"\[large k\]"),
        ({"assumption": "distinct", "part": "theta"}, r"\[distinct\]"),
        ({"assumption": "independent", "part": "theta"}, "no finite instance"),
        ({"assumption": "independent", "part": "existence"}, "not decided"),
        ({"assumption": "unions"}, "choose one of union"),
        ({"assumption": "union", "part": "signs"}, "choose one of pretrain"),
    ],
)
def test_what_is_proved_or_unknown_is_not_searched(arguments, message):
    with pytest.raises(InputError, match=message):
        find_counterexample(**arguments)


def test_the_arrays_of_the_search_are_the_fractions_of_the_instances():
    rng = np.random.default_rng(0)
    for name, rule in ASSUMPTIONS.items():
        for part in rule.rulings:
            batch = rule.draw(rng, 3, part)
            gaps, sizes = batch.gaps(), batch.totals()
            for index in range(0, len(sizes), 401):
                found = batch.pick(index)
                seen = found if isinstance(found, Instance) else found.instance()
                exact = [float(gap) for gap in seen.gaps()]
                assert np.allclose(gaps[index], exact, rtol=1e-9, atol=1e-9 * (1 + max(map(abs, exact)))), name


def test_the_search_does_not_find_what_is_proved():
    """The proofs against the search: what the table says holds is not violated by any of the random instances."""
    rng = np.random.default_rng(1)
    for name, rule in ASSUMPTIONS.items():
        for part, ruling in rule.rulings.items():
            if ruling.needed or name == "Pareto":  # Pareto: the two-part rows are those of the others
                continue
            for leaves in (2, 3, 5):
                batch = rule.draw(rng, leaves, "pretrain")
                hits = np.flatnonzero(fails(part, batch.gaps(), float(batch.volumes[0])))
                assert not any(violates(name, part)(batch.pick(int(index))) for index in hits[:50]), (name, part)


def test_a_batch_of_laws_lists_its_sizes():
    batch = Batch(USUAL, laws=np.array([[1, 3], [2, 2]]))
    assert batch.totals().tolist() == [4, 4]
    assert batch.pick(0) == IndependentLaws((1, 3), USUAL)


# --- the table ----------------------------------------------------------------------------------------------------
def test_every_ruling_names_what_shows_it():
    steps = [step.statement for step in derive("R9")]
    for name, rule in ASSUMPTIONS.items():
        for part, ruling in rule.rulings.items():
            assert part in PARTS
            if ruling.by.startswith("["):
                assert any(step.startswith(ruling.by) for step in steps), (name, part)
            else:
                assert ruling.needed
                assert (name, part) in EXAMPLES[ruling.by].searches()
            assert ruling.why


def test_every_assumption_of_the_brief_has_its_row():
    assert set(ASSUMPTIONS) >= {"union", "distinct", "small l", "large k", "coverage", "joint optimum", "Pareto"}
    assert set(EXAMPLES) == {f"R9{letter}" for letter in "abcdefghi"}


@pytest.mark.parametrize("style", ["text", "latex"])
def test_the_table_opens_the_explanation(style):
    words = explain("R9", style)
    assert words.count("R9h") >= 4
    assert table(style) in words
    rows = table("text").splitlines()[1 : 1 + len(ASSUMPTIONS)]
    assert [row.split("  ")[0] for row in rows] == list(ASSUMPTIONS)
    assert sum(row.count("fails") + row.count("holds") for row in rows) == sum(
        len(rule.rulings) for rule in ASSUMPTIONS.values()
    )


def test_a_larger_part_of_the_theorem_by_hand():
    """P_1 = (1,0), P_a = (1/2,1/2), P_t = (0,1), three equal parts: C = A = (k+1+l)/(k+1+2l) < 1."""
    seen = EXAMPLES["R9h"].instance
    k, _, step = seen.volumes
    expected = (k + 1 + step) / (k + 1 + 2 * step)
    assert [1 - gap for gap in seen.gaps()[:2]] == [expected, expected]
    disjoint = EXAMPLES["R9a"].instance
    assert disjoint.responses() == (Fraction(10, 111), Fraction(10, 111), Fraction(-1100, 111))
    same = EXAMPLES["R9b"].instance
    # q = (7.433.., 3.667)/11.1: A = T = 11.1/7.7667
    assert 1 - same.gaps()[1] == 1 - same.gaps()[2] == Fraction(333, 233)
    assert same.ratio() == Fraction(10, 11)


def test_a_counterexample_whose_masses_no_rounding_keeps_is_certified_all_the_same():
    """P_t lies where P_p has 1e-12 and P_a nothing: rounded away, it would be uncovered."""
    components = [[1 - 1e-12, 1e-12, 0], [0.5, 0, 0.5], [0, 1, 0]]
    covered = exact_counterexample(components, [10, 1, 0.1], lambda one: not one.uncovered() and one.gaps()[0] > 0)
    assert covered.uncovered() == 0
    assert covered.gaps()[0] > 0
    with pytest.raises(InputError, match="do not violate"):
        exact_counterexample(components, [10, 1, 0.1], lambda one: one.gaps()[2] > 0)


def test_an_exact_counterexample_at_volumes_far_apart():
    """1e300 to 1e-300 has no quotient in floats, and has one in fractions."""
    rows = [[0.5, 0.5, 0], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3]]
    assert exact_counterexample(rows, [1e300, 1e-300, 1.0], lambda seen: seen.gaps()[0] > 0).gaps()[0] > 0
    with pytest.raises(InputError, match="no mass"):
        exact_counterexample([rows[0], [0, 0, 0], rows[2]], [1, 1, 1], lambda seen: True)


def test_smaller_instances_with_fewer_leaves_are_counted():
    """From an instance on three leaves: the one on one leaf, and those on two leaves below what was found, are counted."""
    direct = find_counterexample("union", part="align")
    wide = Instance(tuple((*row, 0) for row in direct.instance.counts), direct.instance.volumes)
    least, smaller = _least(wide, violates("union", "align"), "align", Fraction(100))
    assert (least, smaller) == (direct.instance, direct.enumerated)
