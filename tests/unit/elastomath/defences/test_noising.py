"""The distance from noise: 0 at the same points, what its formula says elsewhere, and smaller for what is noise."""

import itertools
import math

import pytest

torch = pytest.importorskip("torch")

from elastomath.defences.noising import WIDTHS, feed_forward_outputs, maximum_mean_discrepancy, noise_distance
from elastomath.errors import InputError


def slow(first, second):
    points = [*first.tolist(), *second.tolist()]
    far = {(i, j): math.dist(points[i], points[j]) ** 2 for i, j in itertools.product(range(len(points)), repeat=2)}
    typical = sum(far.values()) / (len(points) * (len(points) - 1))
    n = len(first)

    def mean(rows, columns):
        terms = [sum(math.exp(-far[i, j] / (w * typical)) for w in WIDTHS) for i in rows for j in columns]
        return sum(terms) / len(terms)

    ones, others = range(n), range(n, 2 * n)
    return mean(ones, ones) + mean(others, others) - 2 * mean(ones, others)


def test_it_is_its_formula():
    draw = torch.Generator().manual_seed(3)
    first, second = torch.randn(5, 4, generator=draw), 1 + 2 * torch.randn(5, 4, generator=draw)
    assert float(maximum_mean_discrepancy(first, second)) == pytest.approx(slow(first, second), rel=1e-5)
    assert float(maximum_mean_discrepancy(first, first)) == pytest.approx(0.0, abs=1e-6)
    assert float(maximum_mean_discrepancy(first[:1], first[:1])) == 0.0  # no distance to scale by


def test_descent_makes_noise_of_points():
    draw = torch.Generator().manual_seed(4)
    points, noise = 3 + 0.1 * torch.randn(32, 4, generator=draw), torch.randn(32, 4, generator=draw)
    at = points.clone().requires_grad_(True)
    before = float(noise_distance([points], noise))
    for _ in range(60):
        (slope,) = torch.autograd.grad(noise_distance([at], noise), at)
        at = (at - 20 * slope).detach().requires_grad_(True)
    assert float(noise_distance([at.detach()], noise)) < 0.3 * before
    assert abs(float(at.mean())) < abs(float(points.mean())) / 2


def test_blocks_are_found_by_name_and_left_without_hooks():
    network = torch.nn.ModuleDict({"mlp": torch.nn.Linear(2, 3), "head": torch.nn.Linear(3, 1)})
    with feed_forward_outputs(network) as outputs:
        network["head"](network["mlp"](torch.ones(1, 2)))
    assert [tuple(out.shape) for out in outputs] == [(1, 3)]
    assert not network["mlp"]._forward_hooks
    with pytest.raises(InputError, match="mlp"), feed_forward_outputs(torch.nn.Linear(2, 2)):
        pass
