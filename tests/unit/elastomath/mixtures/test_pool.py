"""The geometric pool and the reverse divergence: exact balance, exact residual, and the miss of the mixture (R12)."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError, Mixture, kl_divergence
from elastomath.certify.balls import working_precision
from elastomath.laws.response import response_matrix
from elastomath.mixtures.pool import GeometricPool, pool_residual, pooled_divergences, reverse_balance
from elastomath.testing.strategies import masses, volumes
from tests.examples import examples

common = examples(80)


@st.composite
def common_support(draw, count=None, leaves=None):
    n = draw(st.integers(2, 4)) if count is None else count
    size = draw(st.integers(2, 7)) if leaves is None else leaves
    rows = [draw(masses(size, positive=True)) for _ in range(n)]
    return Mixture.of(rows, draw(volumes(n, ratio=30)))


@common
@given(common_support(), st.data())
def test_the_pool_is_the_joint_optimum_of_the_reverse_divergences(mixture, data):
    """sum w_i D(r || P_i) = N D(r || q) + N disagreement for every r, so q is the least."""
    pool = GeometricPool.of(mixture)
    r = data.draw(masses(mixture.leaves))
    cost = sum(w * kl_divergence(r, row) for w, row in zip(mixture.volumes, mixture.components, strict=True))
    least = mixture.total * pool.disagreement
    assert cost == pytest.approx(least + mixture.total * kl_divergence(r, pool.masses), rel=1e-10, abs=1e-12)
    assert float(mixture.volumes @ pool.kl_reverse()) == pytest.approx(least, rel=1e-9, abs=1e-12)
    assert pool.disagreement >= 0
    assert pool.masses.sum() == pytest.approx(1, abs=1e-14)


@common
@given(common_support())
def test_the_pool_balances_the_reverse_divergence(mixture):
    """R w = 0, R symmetric and negative; the last column is the derivative, by a complex step."""
    pool = GeometricPool.of(mixture)
    matrix = pool.response_matrix()
    size = np.abs(matrix * mixture.volumes).sum() + 1e-15
    assert np.abs(matrix @ mixture.volumes).max() <= 1e-11 * size
    assert (matrix == matrix.T).all()
    assert np.linalg.eigvalsh(matrix).max() <= 1e-12 * np.abs(matrix).max() + 1e-16
    weights = mixture.volumes.astype(complex)
    weights[-1] += 1e-30j * mixture.volumes[-1]
    logs = weights @ np.log(mixture.components) / weights.sum()
    q = np.exp(logs - logs.real.max())
    q /= q.sum()
    slopes = [(q * (np.log(q) - np.log(row))).sum().imag / (1e-30 * mixture.volumes[-1]) for row in mixture.components]
    np.testing.assert_allclose(pool.response(), slopes, rtol=1e-8, atol=1e-11 / mixture.total)


@common
@given(common_support(), st.floats(1e-2, 1e2))
def test_the_residual_of_the_pool_is_a_divergence_and_below_the_bound_of_any_class(mixture, size):
    """R5 for the pool: sum w DeltaD = N_0 D(q_L || q_0) <= L (D_t(0) - D_t(L)), the slack being N_L D(q_0 || q_L)."""
    step = size * float(mixture.volumes[:-1].sum())
    moved = pooled_divergences(mixture, [0.0, step])
    change = moved[:, 1] - moved[:, 0]
    total = float(mixture.volumes[:-1].sum()) + step
    rounding = 1e-11 * total * (1 + moved.max())
    assert float(mixture.volumes[:-1] @ change[:-1]) == pytest.approx(pool_residual(mixture, step), abs=rounding)
    ends = [GeometricPool.of(mixture.at(l)).masses for l in (0.0, step)]  # noqa: E741
    slack = -step * change[-1] - pool_residual(mixture, step)
    assert slack == pytest.approx(total * kl_divergence(*ends), abs=rounding)
    assert slack >= -rounding


@pytest.mark.parametrize("step", [1e-100, 1e-8, 1.0, 1e6])
def test_the_residual_of_the_pool_keeps_its_digits_near_rest(step):
    """From two pools it was 6e-8 off at L = 1e-8 |D_a|, and 0 from 1e-16 on."""
    from flint import arb

    rows, volumes = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], [20, 1]
    with working_precision(2000):
        logs = [[arb(x).log() for x in row] for row in Mixture.of(rows, [*volumes, 0.0]).components.tolist()]
        pools = []
        for weights in ([*volumes, 0], [*volumes, step]):
            pooled = [
                sum(arb(w) * log for w, log in zip(weights, column, strict=True)) / sum(map(arb, weights))
                for column in zip(*logs, strict=True)
            ]
            size = sum(log.exp() for log in pooled).log()
            pools.append([log - size for log in pooled])
        start, end = pools
        exact = 21 * sum(q.exp() * (q - p) for q, p in zip(end, start, strict=True))
        expected = float(exact)
    assert pool_residual(Mixture.of(rows, [*volumes, 0.0]), step) == pytest.approx(expected, rel=1e-13, abs=0)


def test_near_datasets_disagree_by_half_their_variance():
    """-ln Z is 1e-14 of a nat at a distance of 1e-7, of which 1 - 1 had left nothing."""
    for distance in (1e-4, 1e-7):
        rows = np.array([[0.5 + distance, 0.5 - distance], [0.5 - distance, 0.5 + distance]])
        pool = GeometricPool.of(Mixture.of(rows, [1, 1]))
        assert pool.disagreement == pytest.approx(2 * distance**2, rel=max(10 * distance**2, 1e-8), abs=0)


def test_half_the_bound_does_not_hold_for_the_pool():
    """For mixtures 1/2 is enough; for the pool the factor comes near 1 where the pool turns sharply."""
    shares = []
    for order in (4, 16, 64, 250):
        rare = 10.0**-order
        rows = [[1 - rare, rare], [1 - rare, rare], [rare, 1 - rare]]
        mixture = Mixture.of(rows, [1.0, 1.0, 0.0])
        steps = np.geomspace(0.5, 8, 400)
        moved = pooled_divergences(mixture, np.concatenate([[0.0], steps]))
        residual = mixture.volumes[:-1] @ (moved[:-1, 1:] - moved[:-1, :1])
        bound = steps * (moved[-1, 0] - moved[-1, 1:])
        shares.append(float((residual[bound > 1e-9] / bound[bound > 1e-9]).max()))
    assert shares[0] > 0.6
    assert shares == sorted(shares)
    assert 0.98 < shares[-1] < 1


@common
@given(common_support())
def test_mixture_and_pool_miss_each_others_balance_by_pythagorean_defects(mixture):
    """B = D(P_t || g) - D(P_t || q) - D(q || g) for the mixture q, and the dual for the pool g."""
    pool, q, perturb = GeometricPool.of(mixture), mixture.masses, mixture.components[-1]
    found = reverse_balance(mixture)
    size = np.abs(found.terms).sum()
    defect = kl_divergence(perturb, pool.masses) - kl_divergence(perturb, q) - kl_divergence(q, pool.masses)
    # the pool is stored: a mass of it below the smallest normal float has no more digits than this leaves it
    rounding = float((perturb + q) @ np.minimum(5e-324 / np.maximum(pool.masses, 5e-324), 1.0))
    assert found.balance == pytest.approx(defect, abs=1e-12 * (1 + size) + rounding)
    assert found.balance == pytest.approx(found.terms.sum(), abs=1e-12 * (1 + size))
    dual = kl_divergence(q, perturb) - kl_divergence(q, pool.masses) - kl_divergence(pool.masses, perturb)
    assert pool.forward_balance() == pytest.approx(
        dual, abs=1e-12 * (1 + abs(dual) + kl_divergence(q, perturb)) + 2 * rounding
    )
    assert abs(found.balance - found.leading) <= found.remainder * (1 + 1e-9) + 1e-14


def near(scale, seed=0, count=3, leaves=6):
    """Datasets within ``scale`` of each other."""
    rng = np.random.default_rng(seed)
    base, tilts = rng.dirichlet(np.ones(leaves)), rng.uniform(-1, 1, (count, leaves))
    rows = base * (1 + scale * tilts)
    return Mixture.of(rows / rows.sum(axis=1, keepdims=True), [5.0, 1.0, 0.7])


def test_the_miss_is_of_third_order_and_its_constant_is_one_half():
    """Halve the differences: terms fall by 4, the miss by 8, what is left of it after the leading term by 16."""
    counted = 0
    for seed in range(10):
        scales = 0.02 * 2.0 ** -np.arange(4)
        found = [reverse_balance(near(scale, seed)) for scale in scales]
        sizes = np.array([np.abs(f.terms).sum() for f in found])
        leading, misses = np.array([f.leading for f in found]), np.array([f.balance for f in found])
        if abs(leading[0]) < 0.02 * scales[0] * sizes[0]:
            continue  # the leading coefficient is small by chance, so the fourth order is seen
        counted += 1
        assert np.log2(sizes[:-1] / sizes[1:]) == pytest.approx(2, abs=0.1)
        assert np.log2(leading[:-1] / leading[1:]) == pytest.approx(3, abs=0.1)
        assert np.log2(np.abs((misses - leading)[:-1] / (misses - leading)[1:])) == pytest.approx(4, abs=0.3)
        assert [abs(f.balance - f.leading) <= f.remainder for f in found] == [True] * 4
    assert counted >= 5


def test_the_miss_has_either_sign():
    signs = {float(np.sign(reverse_balance(near(0.3, seed)).balance)) for seed in range(20)}
    assert signs == {-1.0, 1.0}


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_another_constant_than_one_half_is_beyond_the_remainder(factor):
    found = reverse_balance(near(1e-4, seed=1))
    assert abs(found.balance - factor * found.leading) > 2 * found.remainder


def test_forward_and_reverse_have_one_response_to_second_order():
    """Both matrices are -sum q e_i e_j / N at leading order: what differs is of third order."""
    for scale in (1e-2, 1e-3):
        mixture = near(scale)
        forward, reverse = response_matrix(mixture), GeometricPool.of(mixture).response_matrix()
        assert np.abs(forward - reverse).max() < 3 * scale * np.abs(forward).max()


def test_two_leaves_pool_their_log_odds():
    """A worked case: odds pool as a weighted geometric mean."""
    pool = GeometricPool.of(Mixture.of([[0.9, 0.1], [0.5, 0.5]], [1, 3]))
    odds = pool.masses[0] / pool.masses[1]
    assert odds == pytest.approx(9**0.25, rel=1e-14)
    assert pool.disagreement == pytest.approx(-math.log(0.9**0.25 * 0.5**0.75 + 0.1**0.25 * 0.5**0.75), rel=1e-13)


def test_what_has_no_common_support_is_refused():
    with pytest.raises(InputError, match="no leaf in common"):
        GeometricPool.of(Mixture.of([[1, 0], [0, 1]], [1, 1]))
    partly = Mixture.of([[0.5, 0.5, 0], [0, 0.5, 0.5]], [1, 1])
    assert GeometricPool.of(partly).masses.tolist() == [0, 1, 0]
    assert GeometricPool.of(partly.at(0.0)).masses.tolist() == [0.5, 0.5, 0]
    assert np.isinf(GeometricPool.of(partly.at(0.0)).kl_reverse()[1])
    for call in (
        lambda: reverse_balance(partly),
        lambda: GeometricPool.of(partly).forward_balance(),
        lambda: GeometricPool.of(partly.at(0.0)).response_matrix(),
        lambda: reverse_balance(Mixture.of([[0.5, 0.5]], [1])),
    ):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("perturb", [1.0, 1 / 64])
def test_the_misses_keep_their_digits_where_masses_are_denormal(perturb):
    """Right values by mpmath; a quotient of masses below the smallest normal float has lost its digits."""
    import mpmath

    m = Mixture.of([[0.3, 0.7], [0.8, 0.2], [2.1e-320, 1.0]], [1.0, 1.0, perturb])
    with mpmath.workdps(60):
        rows = [[mpmath.mpf(float(mass)) for mass in row] for row in m.components]
        shares = [mpmath.mpf(float(w)) / mpmath.mpf(m.total) for w in m.volumes]
        columns = list(zip(*rows, strict=True))
        q = [sum(w * mass for w, mass in zip(shares, column, strict=True)) for column in columns]
        logs = [sum(w * mpmath.log(mass) for w, mass in zip(shares, column, strict=True)) for column in columns]
        reverse = sum((t - x) * (mpmath.log(x) - r) for t, x, r in zip(rows[2], q, logs, strict=True))
        pool = [mpmath.exp(r) / sum(map(mpmath.exp, logs)) for r in logs]
        forward = sum((g - x) * mpmath.log(t / g) for g, x, t in zip(pool, q, rows[2], strict=True))
    assert reverse_balance(m).balance == pytest.approx(float(reverse), rel=1e-13)
    assert GeometricPool.of(m).forward_balance() == pytest.approx(float(forward), rel=1e-13)


def exact_pool(rows, weights):
    """(the pool, -ln Z, the mixture, the rows divided by their sums) in sixty digits."""
    exact = [[mpmath.mpf(float(mass)) for mass in row] for row in rows]
    exact = [[mass / sum(row) for mass in row] for row in exact]
    shares = [mpmath.mpf(weight) / mpmath.fsum(weights) for weight in weights]
    raw = [
        mpmath.fprod(mass**share for mass, share in zip(leaf, shares, strict=True)) for leaf in zip(*exact, strict=True)
    ]
    mixed = [mpmath.fdot(shares, leaf) for leaf in zip(*exact, strict=True)]
    return [mass / sum(raw) for mass in raw], -mpmath.log(sum(raw)), mixed, exact


@pytest.mark.parametrize("scale", [1e-2, 1e-4, 1e-7, 1e-9])
def test_near_datasets_have_a_disagreement_and_a_miss(scale):
    """It was ln of a sum near 1, 0 at 1e-8, and the miss had the wrong sign there."""
    mixture = near(scale)
    with mpmath.workdps(60):
        pool, disagreement, mixed, rows = exact_pool(mixture.components, mixture.volumes.tolist())
        miss = sum((q - m) * mpmath.log(t / q) for q, m, t in zip(pool, mixed, rows[-1], strict=True))
    found = GeometricPool.of(mixture)
    assert found.disagreement == pytest.approx(float(disagreement), rel=1e-14 / scale + 1e-13, abs=0)
    assert found.forward_balance() == pytest.approx(float(miss), rel=1e-12 / scale, abs=0)


@pytest.mark.parametrize("step", [1e-3, 1e-9, 1e-15])
def test_the_residual_of_a_small_step_keeps_its_digits(step):
    mixture = Mixture.of([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.1, 0.2, 0.7]], [4, 1, 0])
    with mpmath.workdps(60):
        first, _, _, _ = exact_pool(mixture.components[:2], [4, 1])
        last, _, _, _ = exact_pool(mixture.components, [4, 1, mpmath.mpf(step)])
        exact = 5 * sum(b * mpmath.log(b / a) for a, b in zip(first, last, strict=True))
    assert pool_residual(mixture, step) == pytest.approx(float(exact), rel=1e-12, abs=0)


def test_a_pool_of_nearly_disjoint_datasets():
    """Almost all of the mixture is where one of them has nothing, and what they share is far below it."""
    pool = GeometricPool.of(Mixture.of([[1 - 1e-250, 1e-250, 0], [0, 1e-200, 1 - 1e-200]], [1, 1]))
    assert pool.masses.tolist() == [0, 1, 0]
    assert pool.disagreement == pytest.approx(225 * math.log(10), rel=1e-14)
