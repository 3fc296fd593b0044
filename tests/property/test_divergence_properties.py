"""Inequalities between divergences at their tight constants: each is followed by a stronger one that has to be violated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from elastomath import InputError, Mixture, chi_square, cross_entropy, entropy, kl_divergence, overlap
from elastomath.mixtures.divergence import jensen_shannon, total_variation
from elastomath.testing.strategies import masses, mixtures
from tests.examples import examples

common = examples(60)
search = settings(max_examples=2000, deadline=None, derandomize=True, database=None, phases=[Phase.generate])

MEASURES = {
    "entropy": lambda p, q: entropy(p),
    "cross_entropy": cross_entropy,
    "kl_divergence": kl_divergence,
    "chi_square": chi_square,
    "total_variation": total_variation,
    "jensen_shannon": lambda p, q: jensen_shannon([p, q]),
    "overlap": lambda p, q: overlap(p, p, q),
}


@st.composite
def pairs(draw):
    """Two masses on a common leaf set: free, nearly equal, disjoint, one given an event of the other, or two leaves."""
    leaves = draw(st.integers(2, 8))
    kind = draw(st.sampled_from(["free", "free", "near", "disjoint", "event", "two", "shared"]))
    q = draw(masses(leaves, positive=kind != "free"))
    if kind == "near":
        tilt = 10.0 ** draw(st.floats(-12, -1)) * np.array(
            draw(st.lists(st.floats(-1, 1), min_size=leaves, max_size=leaves))
        )
        p = q * (1 + tilt)
    elif kind == "disjoint":
        p = np.where(np.arange(leaves) % 2, q, 0.0)
        q = q - p
    elif kind == "event":
        p = np.where(np.arange(leaves) == draw(st.integers(0, leaves - 1)), 0.0, q)
    elif kind == "two":
        # Pinsker is tight about halves alone
        a, b = draw(st.one_of(st.just(0.5), st.floats(1e-6, 1 - 1e-6))), draw(st.floats(-1e-3, 1e-3))
        p, q = np.array([a, 1 - a]), np.clip(np.array([a + b, 1 - a - b]), 1e-12, 1)
    elif kind == "shared":  # equal but for two leaves, of which each has one
        p, q = np.append(q, [0.0, 1.0]), np.append(q, [1.0, 0.0])
    else:
        p = draw(masses(leaves))
    return p / p.sum(), q / q.sum()


# name: (smaller side, larger side); the larger one times the factor is too small somewhere
BOUNDS = {
    "Pinsker: 2 TV^2 <= D": (lambda p, q: 2 * total_variation(p, q) ** 2, kl_divergence, 0.999),
    "D <= ln(1 + chi^2)": (kl_divergence, lambda p, q: math.log1p(chi_square(p, q)), 0.999),
    "4 TV^2 <= chi^2": (lambda p, q: 4 * total_variation(p, q) ** 2, chi_square, 0.999),
    "Bretagnolle and Huber: TV^2 <= 1 - exp(-D)": (
        lambda p, q: total_variation(p, q) ** 2,
        lambda p, q: -math.expm1(-kl_divergence(p, q)),
        0.999,
    ),
    "JS <= TV ln 2": (
        lambda p, q: jensen_shannon([p, q]),
        lambda p, q: total_variation(p, q) * math.log(2),
        0.999,
    ),
    "TV^2 / 2 <= JS": (lambda p, q: total_variation(p, q) ** 2 / 2, lambda p, q: jensen_shannon([p, q]), 0.999),
    "JS <= (D + D')/8 (Jeffreys / 8)": (
        lambda p, q: jensen_shannon([p, q]),
        lambda p, q: (kl_divergence(p, q) + kl_divergence(q, p)) / 8,
        0.999,
    ),
    "H <= ln M": (lambda p, q: entropy(p), lambda p, q: math.log(p.size), 0.999),
    "H(P) <= H(P, q) (Gibbs)": (lambda p, q: entropy(p), cross_entropy, 0.999),
    "1 <= sum P^2/q": (lambda p, q: float(p[q > 0].sum()) ** 2, lambda p, q: overlap(p, p, q), 0.999),
}


def slack(smaller, larger):
    return 1e-11 * abs(larger) + 1e-15 * max(1.0, abs(smaller))


@pytest.mark.parametrize("name", BOUNDS)
def test_the_bound_holds(name):
    smaller, larger, _ = BOUNDS[name]

    @common
    @given(pairs())
    def check(pair):
        small, large = smaller(*pair), larger(*pair)
        # a difference of masses that is near their rounding is no difference
        if np.abs(pair[0] - pair[1]).sum() > 1e-7 or "H" in name:
            assert small <= large + slack(small, large)

    check()


@pytest.mark.parametrize("name", BOUNDS)
def test_a_stronger_bound_is_violated(name):
    smaller, larger, factor = BOUNDS[name]

    def violates(pair):
        small, large = smaller(*pair), factor * larger(*pair)
        return small > 1e-7 and small > large + slack(small, large)

    assert violates(find(pairs(), violates, settings=search))


@common
@given(st.integers(1, 5).flatmap(lambda n: st.tuples(st.lists(masses(6), min_size=n, max_size=n), masses(n))))
def test_jensen_shannon_lies_between_zero_and_the_entropy_of_the_weights(case):
    """0 <= JS_pi <= H(pi), and it is sum pi_i D(P_i || m) = H(m) - sum pi_i H(P_i)."""
    rows, shares = case
    found = jensen_shannon(rows, shares)
    assert 0 <= found <= entropy(shares)
    middle = shares @ np.array(rows)
    direct = entropy(middle / middle.sum()) - sum(s * entropy(row) for s, row in zip(shares, rows, strict=True))
    assert found == pytest.approx(direct, abs=1e-12)


@common
@given(masses(5))
def test_disjoint_datasets_reach_the_entropy_of_their_weights(shares):
    assert jensen_shannon(np.eye(5), shares) == pytest.approx(entropy(shares), rel=1e-14)


def test_jensen_shannon_where_scipy_is_not_a_number_or_negative():
    from scipy.spatial.distance import jensenshannon

    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(300):
        p = rng.exponential(size=50)
        p /= p.sum()
        gap = 10.0 ** rng.uniform(-16, -7)
        q = p * (1 + gap * rng.standard_normal(50))
        q /= q.sum()
        found = jensen_shannon([p, q])
        assert 0 <= found < 1e-10
        series = float(((p - q) ** 2 / (p + q)).sum() / 4)  # JS = sum (p-q)^2/(4 (p+q)) + O(gap^4)
        assert found == pytest.approx(series, rel=1e-6 if gap > 1e-12 else 0.1, abs=1e-32)
        with np.errstate(invalid="ignore"):
            lost += not abs(jensenshannon(p, q) ** 2 - series) < 0.5 * series
    assert lost > 50  # which is why the series is there


@common
@given(pairs())
def test_merging_leaves_never_raises_a_divergence(pair):
    """Data processing, tight where the merged leaves have equal ratios."""
    p, q = pair
    merged = [np.append(row[2:], row[0] + row[1]) for row in pair]
    for name, measure in MEASURES.items():
        if name in ("kl_divergence", "chi_square", "total_variation", "jensen_shannon"):
            before, after = measure(p, q), measure(*merged)
            assert after <= before + 1e-11 * before + 1e-15, name
    split = [np.concatenate([[0.25 * row[0], 0.75 * row[0]], row[1:]]) for row in pair]
    assert kl_divergence(*split) == pytest.approx(kl_divergence(p, q), rel=1e-9, abs=1e-24)
    assert chi_square(*split) == pytest.approx(chi_square(p, q), rel=1e-9, abs=1e-24)


@common
@given(mixtures())
def test_the_divergence_of_a_mixture_is_below_the_entropy_of_its_volumes(mixture):
    shares = mixture.volumes / mixture.total
    found = mixture.jensen_shannon()
    assert 0 <= found <= entropy(shares / shares.sum()) * (1 + 1e-14)
    assert found == pytest.approx(float(shares @ mixture.kl_forward()), rel=1e-11, abs=1e-14)


def test_disjoint_datasets_cost_the_entropy_of_their_volumes():
    mixture = Mixture.of(np.eye(3), [10, 1, 0.5])
    assert mixture.jensen_shannon() == pytest.approx(entropy(mixture.volumes / 11.5), rel=1e-14)


# --- what is no mass ----------------------------------------------------------------------------------------------


@st.composite
def broken(draw):
    """Two masses of which one was broken in one way."""
    leaves = draw(st.integers(2, 6))
    p, q = draw(masses(leaves)), draw(masses(leaves))
    row, leaf = p.copy(), draw(st.integers(0, leaves - 1))
    kind = draw(st.sampled_from(["nan", "negative", "long", "empty", "flat", "text", "complex"]))
    if kind == "nan":
        row[leaf] = np.nan
    elif kind == "negative":
        row[leaf] = -draw(st.floats(5e-324, 1.0))
    elif kind == "long":
        row = np.append(p, 0.0)
    elif kind == "empty":
        row = p[:0]
    elif kind == "flat":
        row = p[None, :]
    elif kind == "text":
        row = np.array(["x"] * leaves)
    else:
        row = p + 1j
    return (row, q) if draw(st.booleans()) else (q, row)


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_no_mass_is_refused_in_one_line(name):
    @common
    @given(broken())
    def check(case):
        p, q = case
        if name == "entropy":
            wrongs = [row for row in (p, q) if wrong(row)]
            if not wrongs:  # a row that is only longer than the other is no worse for its entropy
                return
            p = wrongs[0]
        with pytest.raises(InputError) as error:
            MEASURES[name](p, q)
        assert "\n" not in str(error.value)

    check()


def wrong(row):
    return row.ndim != 1 or row.size == 0 or row.dtype.kind not in "f" or not (row >= 0).all()


@pytest.mark.parametrize("name", ["entropy", "kl_divergence", "chi_square", "total_variation", "jensen_shannon"])
@pytest.mark.parametrize("total", [0.0, 0.5, 1 + 1e-8, 2.0, np.inf])
def test_masses_have_to_sum_to_one(name, total):
    with pytest.raises(InputError, match="sum to"):
        MEASURES[name](np.array([total, 0.0]), np.array([0.5, 0.5]))


@common
@given(masses(6, positive=True), st.sampled_from([5e-324, 1e-320, 1e-310, 1e-300, 1e-200, 0.0]))
def test_a_leaf_near_the_end_of_the_floats_has_the_right_limit(p, tiny):
    """D(P || q) grows like -P ln(tiny), chi-square like P^2/tiny, and nothing is NaN or raises a warning."""
    q = p.copy()
    q[1] += q[0]
    q[0] = tiny
    limit = math.inf if tiny == 0 else p[0] * (math.log(p[0]) - math.log(tiny)) - p[1] * math.log1p(p[0] / p[1])
    assert kl_divergence(p, q) == pytest.approx(limit, rel=1e-11)
    square = math.inf if tiny < 1e-307 else p[0] ** 2 / tiny if tiny else math.inf
    assert chi_square(p, q) == pytest.approx(square, rel=1e-9) or math.isinf(square)
    assert kl_divergence(q, p) == pytest.approx(q[1] * math.log1p(p[0] / p[1]), rel=1e-9, abs=1e-15)
    assert jensen_shannon([p, q]) <= math.log(2)
    assert entropy(q) == pytest.approx(entropy(np.delete(q, 0)), rel=1e-12, abs=1e-12)
