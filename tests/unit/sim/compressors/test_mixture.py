"""The mixture simulator: exact rates of the joint code, the families' relations, and what it refuses."""

import numpy as np
import pytest

from elastomath import InputError, Mixture, finite_law, mixture_residual, response
from sim import FAMILIES, family, simulate_mixture
from sim.compressors.mixture import perturbation_grid


@pytest.mark.parametrize("kind", FAMILIES)
def test_families_are_masses_and_reproducible(kind):
    one, two, other = (family(kind, 1.3, 300, seed=seed) for seed in (5, 5, 6))
    for row, again, else_ in zip(one, two, other, strict=True):
        assert row.shape == (300,)
        assert row.min() >= 0
        assert row.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_array_equal(row, again)
        assert np.abs(row - else_).max() > 1e-4


def test_union_holds_a_third_of_each_part():
    pretrain, align, perturb = family("union", 1.5, 200, seed=1)
    first = 3 * pretrain - align - perturb
    assert first.min() > 0
    assert first.sum() == pytest.approx(1)
    assert not np.allclose(first, align)


def test_union2_and_disjoint():
    pretrain, align, perturb = family("union2", 1.5, 200, seed=1)
    np.testing.assert_allclose(pretrain, (align + perturb) / 2, atol=1e-15)
    pretrain, align, perturb = family("disjoint", 1.5, 200, seed=1)
    assert (pretrain * align).max() == (pretrain * perturb).max() == (align * perturb).max() == 0
    covered, _, _ = family("disjoint", 1.5, 200, seed=1, cover=0.25)
    np.testing.assert_allclose(covered, 0.75 * pretrain + 0.25 / 200, atol=1e-15)


def test_independent_is_no_union():
    """R9c: without the union A tends to alpha^2/(alpha^2 - 1) > 1, so the sign of the theorem fails."""
    datasets = family("independent", 2.5, 200_000, seed=0)
    align = response(Mixture.of(datasets, [1e6, 1, 0])).overlaps[1]
    assert align == pytest.approx(2.5**2 / (2.5**2 - 1), rel=0.02)


def test_rates_are_cross_entropies_in_bits():
    curve = simulate_mixture([7.0], perturbations=[0, 0.5, 2], leaves=128, seeds=[3], alpha=1.4)
    (run,) = curve
    datasets = family("union", 1.4, 128, seed=3)
    for column, step in enumerate((0.0, 0.5, 2.0)):
        q = (7 * datasets[0] + datasets[1] + step * datasets[2]) / (8 + step)
        by_hand = [-(p * np.log2(q)).sum() for p in datasets]
        np.testing.assert_allclose(run.rates[:, column], by_hand, rtol=1e-13)
    assert run.components == ("pretrain", "align", "perturb")
    assert (run.rate_unit, run.volume_unit) == ("bits/symbol", "symbols")
    np.testing.assert_array_equal(run.volumes, [7, 1, 2])
    assert np.isnan(run.rate_se).all()


def test_residual_of_the_law_is_the_divergence_of_the_mixtures():
    """R5 for mixtures is exact: k DeltaH_p + DeltaH_a = (k+1) KL(q_0 || q_L)."""
    (run,) = simulate_mixture([4.0], perturbations=[0, 1, 3], leaves=256, seeds=[2])
    law = finite_law(run.perturbations, run.volumes[:2], run.rates * np.log(2))
    mixture = Mixture.of(family("union", 1.5, 256, seed=2), [4, 1, 0])
    np.testing.assert_allclose(law.residual[1:], [mixture_residual(mixture, step) for step in (1, 3)], rtol=1e-10)
    assert law.holds()


def test_a_run_for_each_k_and_seed_with_covariates():
    curve = simulate_mixture([2, 40], seeds=[0, 1], leaves=64, points=4, family="union2", alpha=2.0)
    assert len(curve.runs) == 4
    table = curve.frame.drop_duplicates("run")
    assert list(zip(table["k"], table["seed"], strict=True)) == [(2, 0), (2, 1), (40, 0), (40, 1)]
    assert set(table["family"]) == {"union2"}
    assert set(table["alpha"]) == {2.0}
    assert set(table["leaves"]) == {64}
    assert len(curve.frame) == 4 * 3 * 5


def test_noise_has_its_size_and_depends_on_the_seed_alone():
    clean = simulate_mixture([10], leaves=64, points=400)
    noisy, again = (simulate_mixture([10], leaves=64, points=400, noise=0.01) for _ in range(2))
    difference = (noisy.frame["rate"] - clean.frame["rate"]).to_numpy()
    assert np.std(difference) == pytest.approx(0.01, rel=0.1)
    assert (noisy.frame["rate_se"] == 0.01).all()
    np.testing.assert_array_equal(noisy.frame["rate"], again.frame["rate"])
    other = simulate_mixture([10], leaves=64, points=400, noise=0.01, seeds=[1]).frame["rate"]
    assert np.abs(other - noisy.frame["rate"]).min() > 0


def test_the_grid_ends_at_l_max():
    grid = perturbation_grid(3.0, 10)
    assert grid.size == 11
    assert (grid[0], grid[-1]) == (0.0, 3.0)
    assert (np.diff(grid, 2) > 0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"k": [-1.0]}, "k is -1"),
        ({"k": [0.0]}, "k is 0"),
        ({"k": [float("inf")]}, "k is inf"),
        ({"k": []}, "no k"),
        ({"k": [2.0, 2.0]}, "twice"),
        ({"seeds": []}, "no seeds"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"leaves": 2}, "leaves"),
        ({"family": "onion"}, "onion"),
        ({"l_max": 0.0}, "l_max"),
        ({"points": 0}, "points"),
        ({"perturbations": [0, 2, 1]}, "rise"),
        ({"perturbations": [1, 2]}, "rise"),
        ({"perturbations": [0, -1]}, "rise"),
        ({"perturbations": ["a"]}, "numbers"),
        ({"noise": -1.0}, "noise"),
        ({"noise": 50.0}, "negative"),
        ({"cover": 1.0}, "cover"),
        ({"family": "disjoint"}, "cover"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(options, words):
    with pytest.raises(InputError, match=words) as caught:
        simulate_mixture(**({"k": [10.0], "leaves": 64} | options))
    assert "\n" not in str(caught.value)


def test_disjoint_with_cover_runs():
    (run,) = simulate_mixture([10], family="disjoint", cover=0.01, leaves=90, points=3)
    assert np.isfinite(run.rates).all()
    assert (np.diff(run.rates[:2]) > 0).all()  # R9a: both datasets lengthen
