"""R16: the identity on exact curves, the sums that enclose the work, and which curves determine what."""

from fractions import Fraction

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.laws.finite import mixture_residual, path_entropies
from elastomath.laws.volumes import effective_volumes, mixture_work, work_bounds
from elastomath.mixtures.mixture import Mixture
from elastomath.verification.optima import DATA, LENGTHS, exact_losses, exact_optimum, tilt_path

ROWS = [[0.5, 0.25, 0.15, 0.1], [0.1, 0.5, 0.3, 0.1], [0.3, 0.1, 0.1, 0.5]]


def changes(mixture, steps):
    codes = path_entropies(mixture.at(0.0), [0.0, *steps])
    return codes[:-1, 1:] - codes[:-1, :1]


@pytest.mark.parametrize("k", [0.2, 7.0, 300.0])
def test_mixtures_count_for_their_volumes(k):
    mixture, steps = Mixture.of(ROWS, [k, 1, 0]), [0.5 * k, k, 3 * k]
    seen = effective_volumes(changes(mixture, steps), mixture_work(mixture, steps))
    assert seen.rank == 2
    assert seen.volumes == pytest.approx([k, 1], rel=1e-9)
    assert seen.kappa == pytest.approx(k, rel=1e-9)
    assert seen.total == pytest.approx(k + 1, rel=1e-9)
    assert seen.misfit < 1e-12 * (k + 1)


def test_any_number_of_datasets():
    rng = np.random.default_rng(0)
    mixture, steps = Mixture.of(rng.dirichlet(np.ones(9), size=5), [3, 1, 0.5, 2, 0]), [1, 2, 4, 8, 16, 32]
    assert effective_volumes(changes(mixture, steps), mixture_work(mixture, steps)).volumes == pytest.approx(
        [3, 1, 0.5, 2], rel=1e-6
    )


def test_the_work_is_finite_without_coverage():
    mixture = Mixture.of([[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]], [4, 1, 0])
    assert mixture_work(mixture, [0.0, 2.0]) == pytest.approx([0.0, mixture_residual(mixture, 2.0)], rel=1e-14)
    assert float(np.array([4, 1]) @ changes(mixture, [2.0])[:, 0]) == pytest.approx(
        mixture_work(mixture, [2.0])[0], rel=1e-12
    )


def test_an_exponential_family_counts_for_its_volumes():
    """The work of a smooth class by a fine quadrature of its own H_t: K = (k, 1) although it is no mixture."""
    features, rows = np.array([[0.0], [1], [2], [4]]), np.array(ROWS)
    nodes, weights = np.polynomial.legendre.leggauss(30)
    ends = [1.0, 3.0, 9.0]
    codes, _ = tilt_path(features, np.zeros(4), rows, np.array([5.0, 1.0]), np.array([0.0, *ends]))
    work = []
    for j, end in enumerate(ends, 1):
        inner, _ = tilt_path(features, np.zeros(4), rows, np.array([5.0, 1.0]), end * (nodes + 1) / 2)
        work.append(end / 2 * weights @ inner[2] - end * codes[2, j])
    seen = effective_volumes(codes[:2, 1:] - codes[:2, :1], work)
    assert seen.volumes == pytest.approx([5, 1], rel=1e-7)


def test_the_sums_enclose_the_work_and_close_in_with_the_mesh():
    mixture = Mixture.of(ROWS, [5, 1, 0])
    exact = mixture_work(mixture, [4.0])[0]
    gaps = []
    for count in (5, 50, 500):
        steps = np.linspace(0, 4, count)
        codes = path_entropies(mixture, steps)
        low, high = work_bounds(steps, codes[2])
        assert low[-1] <= exact <= high[-1]
        assert high[-1] - low[-1] == pytest.approx((codes[2, 0] - codes[2, -1]) * steps[1], rel=1e-12)
        gaps.append(high[-1] - low[-1])
    assert gaps[2] < 0.011 * gaps[0]


@pytest.mark.parametrize("end", ["low", "high"])
def test_the_sums_are_attained_by_a_class_that_jumps(end):
    """A jump at the near or the far end of a step: 0.999 of the upper sum (or 1.001 of the lower) is violated."""
    losses, base = exact_losses(DATA, LENGTHS), [Fraction(10), Fraction(1)]
    first = exact_optimum(losses, [*base, Fraction(0)])
    others = [10 * p + a for p, a in zip(losses[0], losses[1], strict=True)]
    jump, second = min(
        ((others[m] - others[first]) / (losses[2][first] - losses[2][m]), m)
        for m in range(len(LENGTHS))
        if losses[2][m] < losses[2][first]
    )
    steps = [float(jump), float(jump) + 1] if end == "low" else [float(jump) - 0.5, float(jump)]
    low, high = work_bounds(steps, [float(losses[2][first]), float(losses[2][second])])
    residual = float(others[second] - others[first])
    wanted = low if end == "low" else high
    assert wanted[-1] == pytest.approx(residual, rel=1e-12)
    assert not low[-1] * 1.001 <= residual <= high[-1] * 0.999


def test_the_condition_is_that_of_the_readings_at_unit_length():
    moved = changes(Mixture.of(ROWS, [5, 1, 0]), [0.5, 1.0, 4.0])
    seen = effective_volumes(moved, mixture_work(Mixture.of(ROWS, [5, 1, 0]), [0.5, 1.0, 4.0]))
    assert seen.condition == pytest.approx(np.linalg.cond(moved / np.linalg.norm(moved, axis=1)[:, None]), rel=1e-9)
    assert 1.0 < seen.condition < np.inf


def test_disjoint_data_give_only_the_sum():
    mixture, steps = Mixture.of([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [7, 1, 0]), [1.0, 2.0, 5.0]
    seen = effective_volumes(changes(mixture, steps), mixture_work(mixture, steps))
    assert seen.rank == 1
    assert np.isnan(seen.volumes).all()
    assert np.isnan(seen.kappa)
    assert seen.total == pytest.approx(8.0, rel=1e-12)


def test_proportional_laws_of_the_ratio_give_one_combination():
    """P_t/q_0 has the same law under P_p and P_a up to a factor away from P_t = q_0: rank 1, and not even the sum.

    q_0 = (1, 1, 2)/4 at k = 1; P_t leaves the third leaf alone; P_p and P_a share the other two in the ratio 1 to 3.
    """
    mixture = Mixture.of([[0.25 / 2, 0.25 / 2, 0.75], [0.375, 0.375, 0.25], [0.4, 0.1, 0.5]], [1, 1, 0])
    seen = effective_volumes(changes(mixture, [1.0, 3.0, 9.0]), mixture_work(mixture, [1.0, 3.0, 9.0]))
    assert seen.rank == 1
    assert np.isnan(seen.total)


def test_a_union_determines_both():
    rng = np.random.default_rng(2)
    for _ in range(20):
        align, perturb = rng.dirichlet(np.full(2, 0.5), size=2)  # two leaves suffice
        mixture, steps = Mixture.of([(align + perturb) / 2, align, perturb], [5, 1, 0]), [2.0, 6.0, 30.0]
        if np.abs(align - perturb).max() > 0.05:
            seen = effective_volumes(changes(mixture, steps), mixture_work(mixture, steps))
            assert seen.rank == 2
            assert seen.volumes == pytest.approx([5, 1], rel=1e-5)


def test_the_scale_enters_at_second_order():
    """Halving L quarters the misfit of a wrong scale and halves that of a wrong ratio."""
    mixture = Mixture.of(ROWS, [5, 1, 0])
    steps = np.array([1e-3, 5e-4])
    rises, work = changes(mixture, steps), mixture_work(mixture, steps)
    scale = np.abs(1.1 * np.array([5, 1]) @ rises - work)
    ratio = np.abs(np.array([5.5, 1]) @ rises - work)
    assert scale[0] / scale[1] == pytest.approx(4.0, rel=1e-2)
    assert ratio[0] / ratio[1] == pytest.approx(2.0, rel=1e-2)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: work_bounds([0, 1], [1, 2]), "H_t rises between l = 0 and 1"),
        (lambda: work_bounds([0, 0], [1, 1]), "perturbations"),
        (lambda: work_bounds([0, 1], [1, float("nan")]), "entry 1 of rates is nan"),
        (lambda: effective_volumes([[1.0], [2.0]], [1.0]), "1 readings for 2 volumes"),
        (lambda: effective_volumes([[0.0, 0.0]], [1.0, 1.0]), "nothing moved"),
        (lambda: effective_volumes([[1.0, np.inf]], [1.0, 1.0]), "changes is inf"),
    ],
)
def test_bad_input_is_refused(call, what):
    with pytest.raises(InputError, match=what):
        call()
