"""The tilt probe against direct sums, finite differences and the theorems it has to obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elastomath.errors import InputError
from elastomath.laws.finite import finite_law
from empirical.stiffness import run
from empirical.stiffness.tilt import TiltProbe, one_plus_cosine, projection_features

POSITIONS, VOCABULARY, FEATURES = 90, 17, 4


def small_probe(seed: int = 0, device: str = "cpu") -> TiltProbe:
    rng = np.random.default_rng(seed)
    base = torch.softmax(torch.as_tensor(rng.standard_normal((POSITIONS, VOCABULARY))), dim=1).to(device)
    features = torch.as_tensor(rng.standard_normal((VOCABULARY, FEATURES))).to(device)
    return TiltProbe(base, features, torch.as_tensor(rng.integers(0, VOCABULARY, POSITIONS)).to(device))


def thirds() -> np.ndarray:
    weights = np.zeros((3, POSITIONS))
    for index in range(3):
        weights[index, index * 30 : index * 30 + 30] = 1 / 30
    return weights


def union() -> np.ndarray:
    parts = thirds()
    return np.stack([parts.mean(0), parts[1], parts[2]])


def direct_entropies(probe: TiltProbe, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """H_i written out from the definition of the tilt, one position at a time."""
    base, phi, targets = probe.base.numpy(), probe.features.numpy(), probe.targets.numpy()
    code = []
    for row, target in zip(base, targets, strict=True):
        tilted = row * np.exp(phi @ theta)
        code.append(-np.log(tilted[target] / tilted.sum()))
    return weights @ np.array(code)


def test_entropies_are_the_tilted_models_code_lengths():
    probe, theta = small_probe(), np.array([0.3, -1.0, 0.2, 0.7])
    state = probe.evaluate(torch.as_tensor(theta), torch.as_tensor(union()))
    np.testing.assert_allclose(state.entropies.numpy(), direct_entropies(probe, theta, union()), rtol=1e-13)


def test_gradient_and_hessian_are_those_of_the_entropies():
    probe, theta, step = small_probe(), np.array([0.3, -1.0, 0.2, 0.7]), 1e-5
    weights = torch.as_tensor(union())
    volume = torch.tensor([5.0, 1.0, 0.5], dtype=torch.float64)
    state = probe.evaluate(torch.as_tensor(theta), weights)
    hessian = probe.hessian(state, volume @ weights).numpy()
    for axis in np.eye(FEATURES):
        up, down = (probe.evaluate(torch.as_tensor(theta + s * step * axis), weights) for s in (1, -1))
        slope = (up.entropies - down.entropies).numpy() / (2 * step)
        np.testing.assert_allclose(state.gradients.numpy() @ axis, slope, atol=1e-9)
        curvature = (volume @ (up.gradients - down.gradients)).numpy() / (2 * step)
        np.testing.assert_allclose(hessian @ axis, curvature, atol=1e-8)


@pytest.mark.parametrize("k", [2.0, 10.0, 100.0])
def test_joint_optimum_has_antiparallel_gradients_with_ratio_k(k):
    optimum = small_probe().solve([k, 1.0, 0.0], union())
    assert optimum.gradient_norm < 1e-12 * k
    assert one_plus_cosine(optimum.gradients[0], optimum.gradients[1]) < 1e-20
    ratio = np.linalg.norm(optimum.gradients[1]) / np.linalg.norm(optimum.gradients[0])
    assert ratio == pytest.approx(k, rel=1e-9)


def test_r2_and_r6_hold_along_the_path_and_the_response_is_the_slope():
    probe, steps = small_probe(), np.array([0.0, 0.2, 0.2 + 1e-4, 0.2 + 2e-4])
    optima = probe.path([10.0, 1.0], union(), steps)
    for size, optimum in zip(steps, optima, strict=True):
        volumes = np.array([10.0, 1.0, size])
        assert abs(volumes @ optimum.response) < 1e-12  # R2 at stationary points
    slope = (optima[3].entropies - optima[1].entropies) / 2e-4
    np.testing.assert_allclose(optima[2].response, slope, rtol=1e-6)
    wrong_sign = -optima[2].response
    assert not np.allclose(wrong_sign, slope, rtol=1e-3)  # the mutant


def test_r5_is_strictly_inside_its_bound_and_half_of_it_near_zero():
    steps = np.array([0.0, 0.01, 0.5, 3.0, 30.0])
    entropies = np.array([o.entropies for o in small_probe().path([10.0, 1.0], union(), steps)]).T
    ratio = finite_law(steps, [10.0, 1.0], entropies).ratio[1:]
    assert ((ratio > 0) & (ratio < 1)).all()
    assert ratio[0] == pytest.approx(0.5, abs=2e-3)
    assert not finite_law(steps, [10.0, 2.0], entropies).holds()  # with a wrong volume the law is missed


def test_halves_give_the_signs_and_constant_of_r18():
    parts, k = thirds(), 7.0
    weights = np.stack([(parts[1] + parts[2]) / 2, parts[1], parts[2]])
    steps = np.array([0.0, 0.3, 0.9])
    optima = small_probe().path([k, 1.0], weights, steps)
    for size, optimum in zip(steps, optima, strict=True):
        assert optimum.response[0] < 0 < optimum.response[1]
        constant = -optimum.response[1] / (k * optimum.response[0])
        assert constant == pytest.approx((1 + 2 * size / k) / (1 - size), rel=1e-9)


def test_a_dataset_on_the_hull_of_the_features_has_no_optimum():
    base = torch.full((3, 4), 0.25, dtype=torch.float64)
    probe = TiltProbe(base, torch.eye(4, dtype=torch.float64)[:, :1], torch.tensor([0, 0, 0]))
    with pytest.raises(InputError, match="no joint optimum"):
        probe.solve([1.0], np.full((1, 3), 1 / 3))


def test_what_cannot_be_used_is_refused():
    base = torch.full((3, 4), 0.25, dtype=torch.float64)
    targets = torch.tensor([0, 1, 2])
    with pytest.raises(InputError, match="constant over tokens"):
        TiltProbe(base, torch.ones(4, 1, dtype=torch.float64), targets)
    with pytest.raises(InputError, match="sum to 1"):
        TiltProbe(base * 2, torch.eye(4, dtype=torch.float64), targets)
    with pytest.raises(InputError, match="do not fit"):
        TiltProbe(base, torch.eye(3, dtype=torch.float64), targets)
    with pytest.raises(InputError, match="width 4"):
        projection_features(torch.eye(4), 5, seed=0)


def test_projection_features_are_standardised_and_seeded():
    embedding = torch.as_tensor(np.random.default_rng(0).standard_normal((50, 8)))
    features = projection_features(embedding, 3, seed=1)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(features.std(0), 1, rtol=1e-12)
    assert torch.equal(features, projection_features(embedding, 3, seed=1))
    assert not torch.equal(features, projection_features(embedding, 3, seed=2))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_optimum():
    here, there = (small_probe(device=device).solve([10.0, 1.0, 0.1], union()) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there.theta, here.theta, rtol=1e-9)
    assert there.gradient_norm < 1e-11


def test_memory_is_what_is_left_and_not_what_the_machine_has(monkeypatch):
    monkeypatch.setattr(run, "memory_at_hand", lambda: 10**9)
    run._check_memory(79 * 10**7, torch.device("cpu"))
    with pytest.raises(InputError, match=r"need 0\.8 GB, the device has 1\.0 left"):
        run._check_memory(81 * 10**7, torch.device("cpu"))
