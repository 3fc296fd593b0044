"""R7 verified: the first-order law of fine-tuning, its remainder, and when an elasticity constant exists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..arrays import Array
from ..certify.balls import ball_of, working_precision
from ..laws.finetuning import (
    elastic_energy,
    elastic_limit,
    elastic_path,
    gradient_test,
    remainder_bound,
    stiffness_ratios,
)
from .instances import exact_overlaps, exact_rows
from .softmax import LowRankSoftmax
from .tally import Tally, derived

Exact = Sequence[Fraction]
RATE = 0.03
"""Step of the gradient descent that stands for fine-tuning."""


def _instances() -> dict[str, tuple[list[list[Fraction]], Fraction]]:
    """Positive masses of P_p, P_a, P_t and the volume k: the simplex of all leaf masses is the model class."""
    return {
        "three leaves": (exact_rows([2, 1, 1], [1, 2, 2], [4, 1, 1]), Fraction(10)),
        "five leaves": (exact_rows([8, 4, 2, 1, 1], [1, 1, 2, 4, 8], [1, 6, 1, 6, 1]), Fraction(3, 2)),
        "rare leaf": (exact_rows([50, 40, 10, 1], [40, 50, 1, 10], [1, 1, 1, 97]), Fraction(20)),
    }


def _dot(first: Exact, second: Exact) -> Fraction:
    return sum((x * y for x, y in zip(first, second, strict=True)), start=Fraction(0))


def _energy(base: Exact, start: Exact, move: Exact) -> Any:
    """F(q + delta) - F(q) = -sum b ln(1 + delta/q), as a ball; called inside `working_precision`."""
    from flint import arb

    out = arb(0)
    for b, q, d in zip(base, start, move, strict=True):
        ratio = 1 + d / q
        volume = ball_of(b)
        out -= volume * ball_of(ratio).log()
    return out


def _third(base: Exact, start: Exact, move: Exact, at: int) -> Fraction:
    """d^3/ds^3 F(q + s delta) = -2 sum b delta^3/(q + s delta)^3 at s = 0 or 1; it rises in s."""
    terms = (b * d**3 / (q + at * d) ** 3 for b, q, d in zip(base, start, move, strict=True))
    return -2 * sum(terms, start=Fraction(0))


def _certified_stationary(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    from flint import arb

    sharpest = 0.0
    for name, (rows, k) in tally.each(_instances().items()):
        pretrain, align, perturb = rows
        base = [k * p + a for p, a in zip(pretrain, align, strict=True)]
        start = [b / (k + 1) for b in base]
        # coordinates: every leaf but the last, whose mass is what the others leave
        slopes = [[row[-1] / start[-1] - p / q for p, q in zip(row[:-1], start[:-1], strict=True)] for row in rows]
        g_p, g_a, g_t = slopes
        tally.true(f"{name}: not stationary", all(k * p + a == 0 for p, a in zip(g_p, g_a, strict=True)))
        tally.true(
            f"{name}: cos is not -1", _dot(g_p, g_a) < 0 and _dot(g_p, g_a) ** 2 == _dot(g_p, g_p) * _dot(g_a, g_a)
        )
        floats = gradient_test([float(g) for g in g_p], [float(g) for g in g_a])
        tally.true(f"{name}: no constant is seen", floats.exists and floats.misalignment < 1e-14)
        tally.close("|grad H_a|/|grad H_p|", floats.ratio, float(k), float(k), 1e-13)
        tally.close("cosine", floats.cosine, -1.0, 1.0, 1e-13)
        other = gradient_test([float(g) for g in g_p], [float(g) for g in g_t])
        tally.true(f"{name}: a constant is seen for other data", not other.exists)
        rest = [t - _dot(g_t, g_p) / _dot(g_p, g_p) * p for t, p in zip(g_t, g_p, strict=True)]
        for z in (Fraction(-3), Fraction(1, 2), Fraction(7)):
            move = [p + z * r for p, r in zip(g_p, rest, strict=True)]
            kappa = -_dot(g_t, move) / _dot(g_p, move)
            formula = -_dot(g_t, g_p) / _dot(g_p, g_p) - z * _dot(rest, rest) / _dot(g_p, g_p)
            tally.true(f"{name}: kappa(g_p + {z} r) is {kappa}", kappa == formula)
            first_g, second_g, moved = ([float(x) for x in g] for g in (g_p, g_t, move))
            ratio = stiffness_ratios(first_g, second_g, [moved])[0]
            tally.close("stiffness ratio", ratio, float(kappa), float(abs(kappa)) + 1, 1e-12)
        towards = [t - q for t, q in zip(perturb, start, strict=True)]
        hessian = np.full((len(start) - 1,) * 2, float((k + 1) / start[-1]))
        hessian += np.diag([float((k + 1) / q) for q in start[:-1]])
        for share in (Fraction(1, 2), Fraction(1, 20), Fraction(1, 1000)):
            move = [share * d for d in towards]
            energy = sum((b * (d / q) ** 2 / 2 for b, q, d in zip(base, start, move, strict=True)), start=Fraction(0))
            shown = float(elastic_energy(hessian, [float(d) for d in move[:-1]]))
            tally.close("1/2 delta' Hessian delta", shown, float(energy), float(energy), 1e-12)
            first, last = (_third(base, start, move, at) for at in (0, 1))
            bound = float(remainder_bound(float(max(abs(first), abs(last)))))
            with working_precision(256):
                left = _energy(base, start, move) - ball_of(energy)
                inside = left * 6 >= ball_of(first)
                inside = inside and left * 6 <= ball_of(last)
                tally.true(f"{name}: remainder {left} outside the third derivatives over 6", inside)
                tally.true(f"{name}: remainder {left} beyond {bound}", abs(left) <= arb(bound) * (1 + arb(2) ** -40))
                if share == Fraction(1, 1000):
                    sharpest = max(sharpest, float(abs(left) / arb(bound)))
        (_, a, t), total = exact_overlaps(rows, [k, Fraction(1), Fraction(0)]), k + 1
        reach = 2 * (1 - a) / (total * (t - 1))  # along u = P_t - q: grad H_a . u = 1 - A, u' Hessian u = N (T - 1)
        limit = float(elastic_limit(float(1 - a), float(total * (t - 1))))
        tally.close("elastic limit", limit, float(abs(reach)), float(abs(reach)), 1e-12)
        work = total * (t - 1) * reach**2 / 2
        tally.true(f"{name}: energy {work} at the limit", work == (1 - a) * reach)
    tally.true(f"the remainder reaches only {sharpest:.3f} of M/6", sharpest > 0.98)
    tally.notes.append(
        f"k grad H_p + grad H_a = 0 in fractions; the remainder enclosed by the third derivatives over 6, and {sharpest:.4f} "
        "of M/6 reached"
    )


def _tilt_optimum(features: Array, rows: Array, volumes: Array) -> tuple[Array, Array]:
    """The joint optimum of p ~ exp(features theta) by Newton's method: theta, and the masses there."""
    target = volumes @ rows @ features / volumes.sum()
    theta = np.zeros(features.shape[1])
    for _ in range(100):
        masses = np.exp(features @ theta - (features @ theta).max())
        masses /= masses.sum()
        mean = masses @ features
        spread = (features - mean).T @ (masses[:, None] * (features - mean))
        step = np.linalg.solve(spread, target - mean)
        length = float(np.abs(step).max())
        theta = theta + step * min(1.0, 1.0 / max(length, 1e-300))
        if length < 1e-14:
            break
    return theta, masses


def _direct_loss(features: Array, theta: Array, row: Array) -> float:
    """-sum_x P(x) ln p_theta(x), from the definition."""
    logits = (features @ theta).tolist()
    top = max(logits)
    log_normaliser = top + math.log(math.fsum(math.exp(value - top) for value in logits))
    return math.fsum(p * (log_normaliser - value) for p, value in zip(row.tolist(), logits, strict=True))


def _sampled_stationary(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(32)
    nodes, weights = (nodes + 1) / 2, weights / 2
    for _ in tally.each(range(cases)):
        leaves, size = int(rng.integers(5, 16)), int(rng.integers(1, 4))
        features = rng.normal(size=(leaves, size))
        rows, volumes = rng.dirichlet(np.ones(leaves), size=3), np.array([10.0 ** rng.uniform(-1, 2), 1.0])
        theta, masses = _tilt_optimum(features, rows[:2], volumes)
        slopes = masses @ features - rows @ features
        test = gradient_test(slopes[0], slopes[1])
        if np.linalg.norm(slopes[0]) > 1e-3 / (1 + volumes[0]):
            tally.true(f"no constant at an optimum: {test}", test.exists)
            tally.close("ratio of gradients against k", test.ratio, volumes[0], volumes[0], 1e-9)
        total = float(volumes.sum())
        hessian = total * (features.T @ (masses[:, None] * features) - np.outer(masses @ features, masses @ features))
        move = rng.normal(size=size) * 10.0 ** rng.uniform(-2, 0.1)
        codes = [[_direct_loss(features, theta + d, row) for row in rows[:2]] for d in (np.zeros(size), move)]
        energy = math.fsum(w * (b - a) for w, a, b in zip(volumes, *codes, strict=True))
        scale = float(total * (1 + max(codes[1])))
        along = features @ move
        logits = features @ theta + np.concatenate([nodes, np.linspace(0, 1, 65)])[:, None] * along
        moved = np.exp(logits - logits.max(axis=1, keepdims=True))
        moved /= moved.sum(axis=1, keepdims=True)
        thirds = total * (moved * (along - (moved @ along)[:, None]) ** 3).sum(axis=1)  # the third cumulant
        second = float(elastic_energy(hessian, move))
        rest = math.fsum(w * (1 - s) ** 2 / 2 * h for w, s, h in zip(weights, nodes, thirds, strict=False))
        tally.close("energy against 1/2 delta' Hessian delta and the integral", second + rest, energy, scale, 1e-9)
        bound = float(remainder_bound(1.01 * np.abs(thirds).max()))
        tally.above("M/6 above the remainder", bound, abs(energy - second), scale, 1e-12)
        gradient = rng.normal(size=(2, size))
        direct = -math.fsum(gradient[1] * move) / math.fsum(gradient[0] * move)
        ratio = float(stiffness_ratios(gradient[0], gradient[1], move[None])[0])
        condition = (1 + abs(direct)) * (1 + float(np.abs(gradient * move).sum() / abs((gradient[0] * move).sum())))
        tally.close("kappa(delta) against sums", ratio, direct, condition, 1e-12)
        cosine = math.fsum(gradient[0] * gradient[1]) / math.hypot(*gradient[0]) / math.hypot(*gradient[1])
        tally.close("cosine against sums", gradient_test(gradient[0], gradient[1]).cosine, cosine, 1.0, 1e-12)
        _spread_and_path(tally, rng, gradient, volumes)
        distance = float(elastic_limit(volumes[1] * slopes[1] @ move, move @ hessian @ move))
        at = float(elastic_energy(hessian, distance * move))
        tally.close("energy at the elastic limit", at, abs(float(slopes[1] @ (distance * move))), at, 1e-9)
    if not tally.quick:
        tally.notes.append(_low_rank(tally))


def _spread_and_path(tally: Tally, rng: np.random.Generator, gradients: Array, volumes: Array) -> None:
    """kappa at an angle from the steepest direction, and the limit of a path whose ratio grows in proportion."""
    angle, test = float(rng.uniform(0, 1.5)), gradient_test(gradients[0], gradients[1])
    unit = gradients[0] / math.hypot(*gradients[0])
    across = gradients[1] - gradients[1] @ unit * unit
    width = math.hypot(*across)
    tilted = math.cos(angle) * unit + math.sin(angle) * (across / width if width > 1e-9 else 0 * unit)
    turned = float(stiffness_ratios(gradients[0], gradients[1], tilted[None])[0])
    size = test.ratio * (1 + math.tan(angle))
    tally.close("steepest and spread", turned, test.steepest - test.spread(angle), size, 1e-7)
    marks = np.cumsum(rng.uniform(0.5, 2, 12))
    turn = float(rng.uniform(marks[1], marks[-2]))
    changes = np.stack([marks**2 / volumes[0], 0 * marks])
    tally.close("limit of a path", elastic_path(marks, volumes, changes, turn * marks).limit, turn, turn, 1e-12)


def _low_rank(tally: Tally) -> str:
    """A low-rank softmax at k = 20: the test at a joint optimum, and the steps of fine-tuning until the elastic limit."""
    rng, model = np.random.default_rng(0), LowRankSoftmax(8, 12, 2)
    data = rng.gamma(0.3, size=(3, 8, 12))
    data /= data.sum(axis=(1, 2), keepdims=True)
    volumes = np.array([20.0, 1.0])
    theta = model.fit(data[:2], volumes)
    slopes, codes = model.gradients(theta, data), model.losses(theta, data[:2])
    test = gradient_test(slopes[0], slopes[1], 1e-12)
    tally.true(f"low-rank softmax: {test}", test.exists and abs(test.ratio / 20 - 1) < 1e-11)
    place, moves, slides = theta, [np.zeros(2)], [0.0]
    for _ in range(20):
        place = place - RATE * model.gradients(place, data[2:])[0]
        moves.append(model.losses(place, data[:2]) - codes)
        slides.append(float(slopes[1] @ (place - theta)))
    path = elastic_path(np.arange(21), volumes, np.array(moves).T, slides)
    curved = sum(w * model.hessian(theta, table) for w, table in zip(volumes, data[:2], strict=True))
    limit = float(elastic_limit(-slopes[1] @ slopes[2], slopes[2] @ curved @ slopes[2])) / RATE
    tally.close("steps to the elastic limit against 2 w_a v/G", path.limit, limit, limit, 0.1)
    return f"low-rank softmax, k = 20: ratio {test.ratio:.12g}, elastic limit after {path.limit:.2f} steps of {RATE} (law: {limit:.2f})"


RESULTS = {"R7": derived("R7", "holds with constants", _certified_stationary, _sampled_stationary)}
