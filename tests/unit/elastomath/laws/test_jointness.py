"""R27: joint optima told from others, what a run missed, and the volumes that runs count."""

import math
import time

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.laws.jointness import effective, jointness


def design(runs, datasets=8, seed=0):
    """Shares as regression designs have them: from lopsided to even, small ones rounded away."""
    rng = np.random.default_rng(seed)
    shares = np.stack([rng.dirichlet(np.full(datasets, size)) for size in rng.uniform(0.3, 2, runs)])
    shares[shares < 5e-4] = 0
    return shares / shares.sum(axis=1, keepdims=True)


def compressed(volumes, seed=0, leaves=400):
    """Rates of mixtures of overlapping datasets, whose volumes are these; a common start keeps all leaves alive."""
    rng = np.random.default_rng(seed)
    common = rng.dirichlet(np.full(leaves, 0.3))
    rows = np.stack([0.5 * common + 0.5 * rng.dirichlet(np.full(leaves, 0.05)) for _ in range(volumes.shape[1])])
    model = 0.97 * (volumes / volumes.sum(axis=1, keepdims=True)) @ rows + 0.03 * common
    return -np.log(model) @ rows.T


def power(shares, beta):
    return np.where(shares > 0, np.where(shares > 0, shares, 1) ** beta, 0.0)


def forgotten(shares, memory):
    """R19: datasets one after the other, with eta x budget = memory: what is left of each at the end."""
    later = np.cumsum(shares[:, ::-1], axis=1)[:, ::-1] - shares
    return -np.expm1(-memory * shares) * np.exp(-memory * later)


def pure(volumes, seed=0, leaves=400):
    rows = np.random.default_rng(seed).dirichlet(np.full(leaves, 0.3), volumes.shape[1])
    return -np.log(volumes / volumes.sum(axis=1, keepdims=True) @ rows) @ rows.T


def test_mixtures_are_joint_optima_whatever_the_mixture():
    shares = design(60)
    told = jointness(shares, pure(shares))
    assert told.joint
    assert (told.runs, told.comparisons, told.violated) == (60, 3540, 0)
    assert told.missed.tolist() == [0.0] * 60
    assert told.better.tolist() == list(range(60))
    assert told.shuffled > 0.3


def test_the_smallest_advantage_of_another_run_is_seen():
    shares, eps = np.array([[0.5, 0.5], [0.25, 0.75]]), 2.0**-40
    rates = np.array([[1.0 + eps, 1.0], [1.0, 1.0]])
    told = jointness(shares, rates)
    assert told.missed.tolist() == [eps / 2, 0.0]
    assert told.better.tolist() == [1, 1]
    assert jointness(shares, rates[::-1]).missed.tolist() == [0.0, eps / 4]
    assert jointness(shares, np.ones((2, 2))).joint  # a tie is no violation


def test_what_was_missed_is_a_lower_bound_on_what_was_added():
    shares = design(80, seed=3)
    rates, added = pure(shares), np.zeros(80)
    added[7] = 0.3
    told = jointness(shares, rates + added[:, None])
    assert 0 < told.missed[7] <= 0.3
    assert np.flatnonzero(told.missed).tolist() == [7]
    near = np.vstack([shares, shares[7] + 1e-9])  # the bound is attained where a run has the same mixture
    again = jointness(near, np.vstack([rates + added[:, None], rates[7]]))
    assert again.missed[7] == pytest.approx(0.3, rel=1e-12)


def test_the_order_of_runs_and_the_pieces_do_not_matter(monkeypatch):
    shares = design(50, seed=5)
    rates = compressed(shares) + 0.02 * np.random.default_rng(0).normal(size=shares.shape)
    told = jointness(shares, rates)
    monkeypatch.setattr("elastomath.laws.jointness.CHUNK", 170)
    pieces = jointness(shares, rates)
    assert pieces.violated == told.violated > 0
    assert pieces.missed == pytest.approx(told.missed, abs=1e-14)
    order = np.random.default_rng(1).permutation(50)
    assert jointness(shares[order], rates[order]).missed == pytest.approx(told.missed[order], abs=1e-14)


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_beta_comes_back(beta, noise):
    shares = design(120, seed=2)
    rates = compressed(power(shares, beta)) + noise * np.random.default_rng(4).normal(size=shares.shape)
    told = effective(shares, rates)
    estimate, low, high = told.beta
    assert low < beta < high
    assert estimate == pytest.approx(beta, rel=0.3 if noise else 0.15)
    for other in {0.5, 1.0, 1.5} - {beta}:
        assert not low < other < high
    assert told.margin > 0.15


def test_intervals_of_beta_and_of_volumes_cover():
    covered, inside = 0, []
    for seed in range(20):
        shares = design(90, seed=seed)
        told = effective(shares, compressed(shares, seed=seed), seed=seed)
        covered += told.beta[1] < 1 < told.beta[2]
        inside.append(np.mean((told.volumes[:, 1] < 1) & (told.volumes[:, 2] > 1)))
    assert covered >= 18
    assert np.mean(inside) >= 0.9


def test_a_dataset_that_counts_double_is_found():
    shares = design(120, seed=6)
    truth = np.where(np.arange(8) == 2, 3.0, 1.0)
    told = effective(shares, compressed(shares * truth))
    truth /= truth @ shares.mean(axis=0)
    assert int(np.argmax(told.volumes[:, 0])) == 2
    assert np.all((told.volumes[:, 1] < truth) & (truth < told.volumes[:, 2]))
    assert told.volumes[:, 0] @ shares.mean(axis=0) == pytest.approx(1, rel=1e-12)


def test_training_one_after_the_other_is_not_joint():
    shares = design(100, datasets=4, seed=1)
    rates = pure(forgotten(shares, 8.0))
    told, counted = jointness(shares, rates), effective(shares, rates)
    assert told.violated > 0.1 * told.comparisons
    assert counted.margin < 0
    assert not counted.beta[1] < 1 < counted.beta[2] or counted.margin < 0
    assert jointness(forgotten(shares, 8.0), rates).joint  # of the volumes that count, they are
    assert jointness(shares, pure(forgotten(shares, 1e-9))).joint  # nothing forgotten


def test_three_hundred_runs_in_under_a_second():
    shares = design(300, datasets=13)
    rates = compressed(shares)
    start = time.process_time()
    jointness(shares, rates)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("shares", "rates"),
    [
        ([[1.0, 0.0]], [[1.0, 1.0]]),
        ([[1.0, 0.0], [0.5, 0.5]], [[1.0], [1.0]]),
        ([[1.0, -0.1], [0.5, 0.5]], [[1.0, 1.0], [1.0, 1.0]]),
        ([[0.0, 0.0], [0.5, 0.5]], [[1.0, 1.0], [1.0, 1.0]]),
        ([[1.0, 0.0], [0.5, 0.5]], [[1.0, math.nan], [1.0, 1.0]]),
        ([[1.0, 0.0], [0.5, 0.5]], [[1.0, 1e308], [1.0, 1.0]]),
        ([[1.0, 1e308], [0.5, 0.5]], [[1.0, 1.0], [1.0, 1.0]]),
        ([[1e-308, 0.0], [0.5, 0.5]], [[1.0, 1.0], [1.0, 1.0]]),
    ],
)
def test_bad_tables_are_refused(shares, rates):
    with pytest.raises(InputError, match="jointness"):
        jointness(shares, rates)


def test_too_few_runs_and_absent_datasets_are_refused():
    with pytest.raises(InputError, match="8 runs"):
        effective([[1.0, 0.0], [0.5, 0.5]], [[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(InputError, match="in no run"):
        effective(np.tile([1.0, 0.0], (9, 1)), np.ones((9, 2)))
