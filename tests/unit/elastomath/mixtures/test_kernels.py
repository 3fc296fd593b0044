"""Sums over leaves: the logarithm enclosed in balls, both ways against exact numbers over all doubles, the same bits in any threads."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mpmath import mpf

from elastomath import InputError, Mixture, path_entropies
from elastomath.certify.balls import working_precision
from elastomath.laws.finite import mixture_residual
from elastomath.laws.response import response, survey
from elastomath.laws.springs import springs
from elastomath.mixtures import kernels, leafsums
from elastomath.mixtures.divergence import chi_square, cross_entropy, jensen_shannon, kl_divergence
from elastomath.mixtures.leafsums import leaf_moves, leaf_sums
from tests.examples import examples

UNIT = 2.0**-53
LEAST = 5e-324
"""The smallest double."""


# --- a leaf -------------------------------------------------------------------------------------------------------
def polynomial_error(coefficients, pieces=128):
    """A proved bound of |P(z)/f(z) - 1| for f(z) = (atanh(s)/s - 1)/z = sum z^n/(2n+3), z = s^2 up to (3 - 2 sqrt 2)^2."""
    from flint import fmpq, fmpq_poly

    end, terms = Fraction(2945, 100000), 24  # (3 - 2 sqrt 2)^2 = 0.029437...
    assert (3 - 2 * math.sqrt(2)) ** 2 < float(end)
    exact = [Fraction(c) for c in coefficients]
    gaps = [(exact[n] if n < len(exact) else 0) - Fraction(1, 2 * n + 3) for n in range(terms)]
    gap = fmpq_poly([fmpq(g.numerator, g.denominator) for g in gaps])
    half, worst = end / (2 * pieces), 0.0
    for piece in range(pieces):
        middle = half * (2 * piece + 1)
        local = gap(fmpq_poly([fmpq(middle.numerator, middle.denominator), 1]))
        bound = sum((abs(Fraction(int(c.p), int(c.q))) * half**n for n, c in enumerate(local.coeffs())), Fraction(0))
        worst = max(worst, float(3 * bound))  # f >= 1/3
    tail = float(end**terms / (2 * terms + 3) / (1 - end))
    return worst + 3 * tail


def test_the_polynomial_misses_by_less_than_the_docstring_says():
    assert polynomial_error(kernels.POLYNOMIAL) < 5e-16
    assert polynomial_error(kernels.POLYNOMIAL) > 1e-16  # the bound is not far from what is there


@pytest.mark.parametrize("index", range(7))
def test_a_changed_coefficient_is_found(index):
    changed = list(kernels.POLYNOMIAL)
    changed[index] += 1e-15 / 0.0294**index
    assert polynomial_error(changed) > 5e-16


@pytest.fixture(scope="module")
def leafwise():
    import numba

    kernels.compiled()

    @numba.njit(error_model="numpy")
    def run(p, q, logs, forward, reverse):
        for j in range(p.size):
            logs[j] = kernels._ln(p[j])
            _, forward[j], reverse[j] = kernels._apart(p[j], q[j], p[j] - q[j], 1.0 / q[j])

    return run


def points():
    """Masses over all exponents, next to 1, next to the seams at sqrt(1/2) and sqrt(2), and pairs at every distance."""
    rng = np.random.default_rng(3)
    wide = 10.0 ** rng.uniform(-280, 0, 4000)
    seams = np.array([1.0, math.sqrt(0.5), math.sqrt(2), 0.5, 2.0])[:, None] * (1 + 2.0 ** -np.arange(1, 53))
    near = np.concatenate([seams.ravel(), (2 - seams / seams.max()).ravel()])
    p = np.concatenate([wide, near, rng.uniform(0, 1, 2000)])
    apart = np.concatenate([1 + 2.0 ** -rng.uniform(0.1, 50, p.size // 2), 10.0 ** rng.uniform(-5, 5, p.size)])
    q = p * apart[: p.size] ** rng.choice([-1, 1], p.size)
    return p, q


def test_logarithms_and_divergences_of_a_leaf_against_balls(leafwise):
    from flint import arb

    p, q = points()
    logs, forward, reverse = (np.empty(p.size) for _ in range(3))
    leafwise(p, q, logs, forward, reverse)
    worst = {"ln": 0.0, "forward": 0.0, "reverse": 0.0}
    with working_precision(256):
        for a, b, *found in zip(p, q, logs, forward, reverse, strict=True):
            x, y = arb(float(a)), arb(float(b))
            log = (x / y).log()
            exact = {"ln": x.log(), "forward": x * log - x + y, "reverse": x - y - y * log}
            for (name, value), got in zip(exact.items(), found, strict=True):
                if value == 0:
                    assert got == 0
                else:
                    worst[name] = max(worst[name], abs(float((arb(float(got)) - value) / value)))
    assert worst["ln"] < 6e-16
    assert worst["forward"] < 5e-15
    assert worst["reverse"] < 5e-15


# --- all doubles ----------------------------------------------------------------------------------------------------
def weights():
    """Zeros, the smallest denormals, every order of magnitude down to 1e-323, and ordinary numbers."""
    orders = st.floats(-323.0, 0.0).map(lambda order: 10.0**order)
    return st.one_of(st.just(0.0), st.integers(1, 50).map(lambda n: n * LEAST), orders, orders, st.floats(0.0, 1.0))


@st.composite
def extremes(draw):
    """(rows (n, M), volumes (n,)) of any doubles up to 1, volumes from 1e-300 to 1e300, the last dataset perhaps near the first."""
    n, leaves = draw(st.integers(2, 4)), draw(st.integers(1, 5))
    rows = np.array([[draw(weights()) for _ in range(leaves)] for _ in range(n)])
    if draw(st.booleans()):
        gap = 10.0 ** draw(st.floats(-17.0, -1.0))
        rows[-1] = rows[0] * (1 + gap * np.array([draw(st.floats(-1.0, 1.0)) for _ in range(leaves)]))
    reach = draw(st.sampled_from([3.0, 300.0]))
    volumes = np.array([10.0 ** draw(st.floats(-reach, reach)) for _ in range(n)])
    volumes[-1] *= draw(st.sampled_from([0.0, 1.0, 1.0]))
    return rows, volumes


FIELDS = ("cross", "overlaps", "gram", "squares", "forward", "reverse", "outside")


class Sum:
    """A sum of exact terms and what its float may miss of it: a share of each term, what its rounding costs, a denormal."""

    def __init__(self):
        self.value, self.slack = mpf(0), mpf(0)

    def add(self, term, slack=0.0):
        self.value += term
        self.slack += 1e-13 * abs(term) + slack + 10 * LEAST

    def holds(self, found):
        if self.value > mpf(np.finfo(np.float64).max):
            return bool(found > 1e308)
        return bool(np.isfinite(found)) and abs(mpf(float(found)) - self.value) <= self.slack


def exact(values):
    return [mpf(float(x)) for x in values]


def exact_sums(rows, volumes):
    """The fields of `LeafSums` for each row, from the doubles as the numbers that they are."""
    masses, shares = [exact(row) for row in rows], exact(volumes)
    found = {field: [Sum() for _ in rows] for field in FIELDS}
    for leaf in range(rows.shape[1]):
        column = [row[leaf] for row in masses]
        q, t = sum(w * p for w, p in zip(shares, column, strict=True)) / sum(shares), column[-1]
        for i, p in enumerate(column):
            total = {field: found[field][i] for field in FIELDS}
            if q == 0:
                total["outside"].add(p)
                total["reverse"].add(p)
                for field in ("cross", "squares", "forward") if p > 0 else ():
                    total[field].value = mpf("inf")
                continue
            gap, pull = (sum(w * (x - y) for w, y in zip(shares, column, strict=True)) / sum(shares) for x in (p, t))
            apart = sum(w * abs(p - q) for w, p in zip(shares, column, strict=True)) / sum(shares)
            rounding = 8 * UNIT * apart * abs(gap) / q  # p - q is known to an ulp of what the datasets differ by
            total["cross"].add(-p * mpmath.log(q), 4 * UNIT * p)
            total["overlaps"].add(p * t / q)
            total["gram"].add(gap * pull / q, rounding + 8 * UNIT * apart * abs(pull) / q)
            total["squares"].add(gap**2 / q, 2 * rounding)
            near, half = abs(gap) < 1e-20 * q, gap**2 / q / 2  # sixty digits would cancel
            forward = p * mpmath.log(p / q) - gap if p else q
            total["forward"].add(half * (1 - gap / q / 3) if near else forward, rounding)
            reverse = gap - q * mpmath.log(p / q) if p else mpf("inf")
            total["reverse"].add(half * (1 - 2 * gap / q / 3) if near else reverse, rounding)
    return found


def exact_moves(rows, volumes, step):
    """sum P_i ln(q_0/q_l) + q_l - q_0 for each row and D(q_0 || q_l), likewise."""
    masses, shares, added = [exact(row) for row in rows], exact(volumes), mpf(float(step))
    base = sum(shares)
    found = [Sum() for _ in range(len(rows) + 1)]
    for leaf in range(rows.shape[1]):
        column = [row[leaf] for row in masses]
        q, t = sum(w * p for w, p in zip(shares, column, strict=False)) / base, column[-1]
        if q == 0:
            for total in found:
                total.add(added / (base + added) * t)
            continue
        e = added / (base + added) * sum(w * (t - y) for w, y in zip(shares, column, strict=False)) / base / q
        log = -mpmath.log1p(e) if abs(e) < 0.5 else mpmath.log(q * (base + added) / (base * q + added * t))
        apart = abs(t - q) + sum(w * abs(p - q) for w, p in zip(shares, column, strict=False)) / base
        rounding = 8 * UNIT * added / (base + added) * apart / q  # of P_t - q, as a share of q
        for total, p in zip(found, column, strict=False):
            total.add(p * log, p * rounding)
            total.add(q * e, q * rounding)
        moved = e * e / 2 - e**3 / 3 if abs(e) < 1e-20 else log + e
        found[-1].add(q * moved, rounding * q * (abs(log) + rounding))
    return found


def both_ways(patch):
    """First as the compiled loops do it, then in numpy: sums as for small trees, moves with exponents of their own."""
    patch.setattr(leafsums, "COMPILED_FROM", 1)
    yield "compiled"
    patch.setattr(leafsums, "COMPILED_FROM", 1 << 40)
    patch.setattr(kernels, "compiled", careful_loops)
    yield "numpy"


def careful_loops():
    """Loops that leave everything to the careful way."""
    return SimpleNamespace(moves=lambda *_: False)


whole = examples(150)


@whole
@given(extremes())
@example((np.array([[1e-312, 1], [1e-312, 1], [1, 0]]), np.array([1e12, 1, 0])))
@example((np.array([[0, 1], [1, 1e-291]]), np.array([1.0, 0.0])))
@example((np.array([[0, 1], [LEAST, 1]]), np.array([1.0, 1.0])))
def test_every_sum_is_exact_to_rounding_over_all_doubles_both_ways(drawn):
    rows, volumes = drawn
    with mpmath.workdps(60), pytest.MonkeyPatch.context() as patch:
        expected = exact_sums(rows, volumes)
        for way in both_ways(patch):
            found = leaf_sums(rows, volumes)
            for field in FIELDS:
                for value, total in zip(getattr(found, field), expected[field], strict=True):
                    assert total.holds(value), (way, field, value, total.value)


@whole
@given(extremes(), st.floats(-300.0, 300.0), st.floats(-3.0, 3.0))
@example((np.array([[1e-312, 1], [1e-312, 1], [1, 0]]), np.array([1e12, 1, 0])), 0.0, 1.0)
def test_every_move_is_exact_to_rounding_over_all_doubles_both_ways(drawn, order, near):
    rows, volumes = drawn
    steps = np.array([0.0, 10.0**order, 10.0**near])
    with mpmath.workdps(60), pytest.MonkeyPatch.context() as patch:
        expected = [exact_moves(rows, volumes[:-1], step) for step in steps]
        for way in both_ways(patch):
            rises, divergences, _ = leaf_moves(rows, volumes[:-1], steps)
            for column, totals in zip(np.vstack([rises, divergences]).T, expected, strict=True):
                for value, total in zip(column, totals, strict=True):
                    assert total.holds(value), (way, value, total.value)


def loops_of(source):
    """The loops of `kernels` with another source, as plain Python that runs on numpy scalars."""
    scope = dict(vars(kernels))
    exec(compile(source, "<mutant of kernels>", "exec"), scope)
    return SimpleNamespace(sums=scope["_sums"], moves=scope["_moves"], scan=scope["_scan"])


SMALL = (
    (np.array([[1e-312, 1], [1e-312, 1], [1, 0]]), np.array([1e12, 1, 0])),
    (np.array([[LEAST, 1], [0.3, 0.7], [0.1, 0.9]]), np.array([1.0, 1, 1])),
    (np.array([[0, 1], [0.5, 0.5]]), np.array([1.0, 0])),
    (np.array([[1e-200, 0.3], [1e-200, 1e-200]]), np.array([1.0, 1e-9])),
    (np.array([[0.2, 0.8], [0.1999, 0.8001], [0, 1]]), np.array([3.0, 1, 0])),
    (np.array([[0.3, 0.7], [0.3 + 1e-15, 0.7 - 1e-15], [0.3 - 2e-15, 0.7 + 2e-15]]), np.array([10.0, 1, 0.3])),
)


def wrong(loops):
    """Whether an exact sum of `SMALL` is missed by these loops."""
    with mpmath.workdps(60), pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(leafsums, "COMPILED_FROM", 1)
        patch.setattr(kernels, "compiled", lambda: loops)
        for rows, volumes in SMALL:
            expected, found = exact_sums(rows, volumes), leaf_sums(rows, volumes)
            values = [(getattr(found, field), expected[field]) for field in FIELDS]
            for step in (1e-9, 1.0):
                rises, divergences, _ = leaf_moves(rows, volumes[:-1], np.array([step]))
                values.append(([*rises[:, 0], divergences[0]], exact_moves(rows, volumes[:-1], step)))
            for column, totals in values:
                if not all(total.holds(value) for value, total in zip(column, totals, strict=True)):
                    return True
    return False


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("(row[j] > 0.0) & counts", "(row[j] > 2.0) & counts", id="a share that underflows stays"),
        pytest.param("- UP_BITS", "- 2 * UP_BITS", id="an exponent read wrong"),
        pytest.param("p * UP * inverse", "p * inverse * UP", id="a small mass loses its digits"),
        pytest.param("p * (t * inverse)", "(p * t) * inverse", id="a product before its ratio"),
        pytest.param("if least <= 0:", "if least < 0:", id="a dataset that lacks a leaf"),
        pytest.param("difference * (a - w)", "difference * (a + w)", id="one series for both divergences"),
        pytest.param("difference - q * log", "difference - p * log", id="the logarithm of the wrong mass"),
        pytest.param("row[j] if code[j] == 0.0 else 0.0", "0.0", id="what is outside is lost"),
        pytest.param("share * _difference(t, p, lost[j])", "(q - p)", id="a difference that cancels"),
        pytest.param("return p - q - lost", "return p - q", id="divergences without what q has lost"),
        pytest.param("gap, pull = p - q - lost", "gap, pull = p - q", id="overlaps without what q has lost"),
        pytest.param("log[j] = ln if p > 0.0 else 0.0", "log[j] = ln", id="a logarithm outside the support"),
    ],
)
def test_a_mutant_of_the_loops_is_seen(old, new):
    source = inspect.getsource(kernels)
    assert source.count(old) == 1
    assert not wrong(loops_of(source))
    assert wrong(loops_of(source.replace(old, new)))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("NOWHERE", 0),
        ("NEAR", 0.0),
        ("_joint", lambda base, mixtures: (True, q := mixtures / mixtures.sum(axis=1, keepdims=True) @ base, q.min())),
    ],
)
def test_a_mutant_of_the_careful_way_is_seen(name, broken, monkeypatch):
    monkeypatch.setattr(leafsums, name, broken)
    rows = np.array([[0.2, 0.8, 0.0], [0.19999999, 0.80000001, 0.0], [0.1, 0.3, 0.6]])
    missed = False
    with mpmath.workdps(60):
        for volumes in (np.array([3.0, 1, 0]), np.array([1e300, 1, 1e-300])):
            found, expected = leaf_sums(rows, volumes), exact_sums(rows, volumes)
            for field in FIELDS:
                pairs = zip(getattr(found, field), expected[field], strict=True)
                missed |= not all(total.holds(value) for value, total in pairs)
    assert missed


def test_shares_that_underflow_do_not_go_through_the_loops(monkeypatch):
    monkeypatch.setattr(leafsums, "COMPILED_FROM", 1)
    rows, volumes = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1e300, 1e-300])
    assert leaf_sums(rows, volumes).cross == pytest.approx([0.0, 600 * math.log(10)])
    assert leaf_moves(rows, volumes[:1], volumes[1:])[1] == 0
    source = inspect.getsource(kernels)
    rule = "ordinary &= (volumes[i] >= TINY * total) | (volumes[i] == 0.0)"
    assert source.count(rule) == 1
    monkeypatch.setattr(kernels, "compiled", lambda: loops_of(source.replace(rule, "pass")))
    with np.errstate(all="ignore"):
        assert leaf_sums(rows, volumes).cross[1] == np.inf


def test_the_named_figures():
    """Share times mass underflows in each of them."""
    assert jensen_shannon([[0, 1], [LEAST, 1]]) == 0
    # D(q || P) where q lacks a leaf: ln(1/1e-291)
    for leaves in (2, leafsums.COMPILED_FROM):
        p, q = np.zeros(leaves), np.zeros(leaves)
        p[:2], q[:2] = (1, 1e-291), (0, 1)
        both = leaf_sums(np.stack([q, p]), np.array([1.0, 0.0]))
        assert both.reverse[1] == kl_divergence(q, p) == pytest.approx(291 * math.log(10), rel=1e-15)
    mixture = Mixture.of([[1e-312, 1], [1e-312, 1], [1, 0]], [1e12, 1, 0])
    changes = np.diff(path_entropies(mixture, [0.0, 1.0]))[:, 0]
    ratio = 1e12 + 2
    with mpmath.workdps(30):
        q = mpf(1e-312)
        start = -mpmath.log(q)
        end = mpmath.log(mpf(ratio))
        assert mixture.cross_entropies()[2] == pytest.approx(float(start), rel=1e-15)
        assert mixture.cross_entropies()[1] == pytest.approx(float(-mpmath.log1p(-q) + q * start), rel=1e-12)
        assert changes[2] == pytest.approx(float(end - start), rel=1e-14)
        assert changes[1] == pytest.approx(float(mpmath.log(mpf(ratio) / mpf(ratio - 1))), rel=1e-3)
    moved = springs(mixture, [0.0, 1.0])
    assert moved.elongations[:, 1] == pytest.approx([math.log1p(1 / (ratio - 1))] * 2, rel=1e-14)
    assert moved.fall[1] == pytest.approx(float(start - end), rel=1e-14)
    assert mixture_residual(mixture, 1.0) == pytest.approx((1e12 + 1) * math.log1p(1e-12), rel=1e-3)
    # P_t has no more than 1e-312 where q has 1e-324: T_0 - 1 and the rates are those of the first leaf
    mixture = Mixture.of([[1, 0], [1, 1e-312], [1, 1e-312]], [1e12, 1, 0])
    found = response(mixture)
    assert (found.uncovered, found.overlaps[2] - 1) == (0, 0)
    assert found.derivatives[2] == pytest.approx(-1e-300 / (1e12 + 1), rel=1e-9)
    assert mixture.cross_entropies()[1:] == pytest.approx([1e-312 * 324 * math.log(10)] * 2, rel=1e-2, abs=0)


def test_the_loops_leave_subnormal_numbers_to_all_threads():
    """A library that flushes them to 0 for a whole thread would do so here; numba does not."""
    leaves = 20 * kernels.CHUNK
    values = np.full(leaves, LEAST)
    assert leafsums.scan(values) == (True, leaves * LEAST)
    assert cross_entropy(np.full(leaves, 1.0), values) == pytest.approx(-leaves * math.log(LEAST), rel=1e-13)
    assert np.float64(LEAST) * 1.0 == LEAST


def test_large_trees_with_every_kind_of_block_agree_with_small_ones():
    rng = np.random.default_rng(1)
    leaves = leafsums.COMPILED_FROM + 4321
    rows = 1 + rng.pareto(1.3, (3, leaves))
    rows[1, ::7] = 0.0
    rows[:, 3000:3600] = 0.0
    rows[2, rng.integers(0, leaves, 50)] = 1e-300 * rows.sum()
    rows[:, rng.integers(0, leaves, 5)] = 1e-316
    mixture = Mixture.of(rows / rows.sum(axis=1, keepdims=True), [10, 1, 0.5])
    assert kernels._ordinary(mixture.volumes)
    for at in (0.0, 0.5):
        one, steps = mixture.at(at), np.array([0.0, 0.5, 1e9])
        found, moves = leaf_sums(one.components, one.volumes), leaf_moves(one.components, one.volumes[:-1], steps)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(leafsums, "COMPILED_FROM", 1 << 40)
            expected = leaf_sums(one.components, one.volumes)
            patch.setattr(kernels, "compiled", careful_loops)
            plain = leaf_moves(one.components, one.volumes[:-1], steps)
        for field in FIELDS:
            np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-12, atol=1e-15)
        for ours, theirs in zip(moves, plain, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
        q = one.masses
        for i, p in enumerate(one.components if at else ()):
            assert found.cross[i] == pytest.approx(-(p[q > 0] * np.log(q[q > 0])).sum(), rel=1e-13)
        assert found.reverse[1] == np.inf


def test_the_same_bits_whatever_the_number_of_threads():
    rng = np.random.default_rng(2)
    rows = rng.exponential(size=(3, 5 * kernels.CHUNK + 77)) ** 8
    rows /= rows.sum(axis=1, keepdims=True)
    volumes, steps = np.array([9.0, 0.8, 0.2]), np.linspace(0, 1, 3)
    for threads in (2, 3, 7):
        for call in (
            lambda threads: np.array(leaf_sums(rows, volumes, threads=threads)),
            lambda threads: leaf_moves(rows, volumes[:2], steps, threads=threads)[0],
        ):
            assert call(threads).tobytes() == call(1).tobytes()


def test_near_equal_datasets_keep_their_digits_in_large_trees():
    """D(P || Q) of P = Q (1 + e) is e^2/2 sum Q (1 - e/3 ...): rounding of a naive sum would be a hundred times as large."""
    leaves, gap = 1 << 18, 1e-9
    q = np.full(leaves, 1.0 / leaves)
    p = q * (1 + gap * np.where(np.arange(leaves) % 2, 1, -1))
    mean = float((((p - q) / q) ** 2).sum() / leaves)
    assert kl_divergence(p, q) == pytest.approx(mean / 2, rel=1e-12)
    assert abs(float((p * np.log(p / q)).sum()) - mean / 2) > 1e-2 * mean


@pytest.mark.parametrize("bad", [np.nan, -1e-300, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("place", [0, 12345, (1 << 18) - 1])
def test_large_masses_are_checked_too(bad, place):
    p = np.full(1 << 18, 2.0**-18)
    q = p.copy()
    q[place] = bad
    for call in (cross_entropy, kl_divergence, chi_square):
        if call is cross_entropy and bad == np.inf:
            continue  # weights of any size
        with pytest.raises(InputError):
            call(p, q)
    q[place] = -0.0
    assert cross_entropy(p, q) == np.inf
    with pytest.raises(InputError, match="sum to"):
        kl_divergence(p, q * 2)


def test_a_survey_needs_a_perturbation():
    with pytest.raises(InputError, match="perturbation"):
        survey(Mixture.of([[0.5, 0.5]], [1]))
