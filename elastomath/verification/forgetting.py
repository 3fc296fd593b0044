"""R19 verified: sequential training with forgetting."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ..arrays import Array
from ..certify.balls import working_precision
from ..laws.forgetting import (
    Phase,
    aligned_score,
    decay,
    effective_mixture,
    elasticity_constant,
    first_fall,
    local_exponents,
    phase_weights,
    return_steps,
    sequential_masses,
    step_weights,
    tampering_ceiling,
)
from ..laws.rebound import Scores
from .instances import exact_rows
from .tally import Tally, derived


def _certified_forgetting(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    rows = exact_rows([4, 3, 2, 1], [1, 1, 6, 2], [0, 5, 0, 5])
    start = exact_rows([1, 1, 1, 1])[0]
    for eta, counts in tally.each(
        ((Fraction(1, 10), (7, 3, 4)), (Fraction(1, 1000), (60, 25, 10)), (Fraction(2, 3), (2, 1, 1)))
    ):
        model = list(start)
        for row, count in zip(rows, counts, strict=True):
            for _ in range(count):
                model = [(1 - eta) * q + eta * p for q, p in zip(model, row, strict=True)]
        kept = [(1 - eta) ** count for count in counts]
        weights = [(1 - kept[0]) * kept[1] * kept[2], (1 - kept[1]) * kept[2], 1 - kept[2]]
        rest = kept[0] * kept[1] * kept[2]
        expected = [
            rest * q + sum((w * row[x] for w, row in zip(weights, rows, strict=True)), start=Fraction(0))
            for x, q in enumerate(start)
        ]
        tally.true(f"eta = {eta}: the recursion is not the mixture", model == expected)
        phases = [Phase(j, count, float(eta)) for j, count in enumerate(counts)]
        tables = [[float(p) for p in row] for row in rows]
        masses = sequential_masses(tables, phases, [float(q) for q in start])[-1]
        joint = effective_mixture(tables, phases, [float(q) for q in start])
        shown, left = phase_weights(phases)
        for x, exact in enumerate(expected):
            tally.close("masses after the run", masses[x], float(exact), 1.0, 1e-13)
            tally.close("masses of the joint run", joint.masses[x], float(exact), 1.0, 1e-13)
        for weight, exact in zip([*shown, left], [*weights, rest], strict=True):
            tally.close("weights", float(weight), float(exact), float(exact), 1e-12)
        kappa = float(elasticity_constant(counts[0], counts[1], float(eta)))
        tally.close("kappa", kappa, float(weights[0] / weights[1]), float(weights[0] / weights[1]), 1e-12)
        base, high, low = Fraction(1, 2), Fraction(9, 10), Fraction(1, 5)
        named, at = Scores(0.5, 0.9, 0.2), base
        for step in range(counts[1] + 1):
            tally.close("score", float(aligned_score(named, step, float(eta))), float(at), 1.0, 1e-13)
            fall = at - ((1 - eta) * at + eta * low)
            tally.close("first fall", float(first_fall(named, step, float(eta))), float(fall), float(fall), 1e-12)
            back, now = float(return_steps(named, step, float(eta))), at
            for _ in range(math.floor(back * (1 - 1e-12))):
                now = (1 - eta) * now + eta * low
            tally.true(f"back before m* = {back}", now > base or step == 0)
            tally.true(f"not back after m* = {back}", (1 - eta) * now + eta * low <= base)
            at = (1 - eta) * at + eta * high
    count = 9
    average, left = step_weights([1 / j for j in range(1, count + 1)])
    tally.true("eta = 1/j is not the plain average", bool(np.allclose(average, 1 / count, rtol=1e-14)) and left == 0)
    _certified_kappa(tally)


def _certified_kappa(tally: Tally) -> None:
    """kappa at n_p = 2e4 and 1e5, n_a = 300, eta = 1e-3 in balls, exact and exponential, and the ceiling."""
    from flint import arb

    digits = {}
    with working_precision(192):
        h = -(arb(999) / 1000).log()
        for name, rate in (("exact", h), ("exponential", arb(1) / 1000)):
            for steps in tally.each((20000, 100000)):
                kappa = (1 - (-steps * rate).exp()) / ((300 * rate).exp() - 1)
                digits[name] = kappa.str(7, radius=False)
                value = float(elasticity_constant(steps, 300, 1e-3, exponential=name == "exponential"))
                tally.close(f"kappa ({name})", value, float(kappa.mid()), value, 1e-13)
        tally.true(f"kappa = {digits}", digits == {"exact": "2.856641", "exponential": "2.858296"})
        ceiling = float((250 * h).mid())
        tally.close("ceiling", float(tampering_ceiling(250, 1e-3)), ceiling, ceiling, 1e-14)
        for steps in (10, 300, 3000):
            x = steps * h
            shown, other = local_exponents(steps, steps, 1e-3)
            for exponent, exact in ((shown, x / (x.exp() - 1)), (other, -x / (1 - (-x).exp()))):
                tally.close("local exponents", float(exponent), float(exact.mid()), 1.0, 1e-13)
            tally.true("an exponent beyond its bound", x / (x.exp() - 1) < 1 and -x / (1 - (-x).exp()) < -1)
    tally.notes.append(
        f"recursion and mixture equal in fractions; n_p = 2e4 and 1e5, n_a = 300, eta = 1e-3: kappa = {digits['exact']} "
        f"(exponential form {digits['exponential']}), nominal 67 and 333"
    )


def _sampled_forgetting(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    for _ in tally.each(range(cases)):
        leaves, count = int(rng.integers(2, 20)), int(rng.integers(1, 5))
        rows = rng.dirichlet(np.ones(leaves), size=count + 1)
        rate, start = 10.0 ** rng.uniform(-3, -0.2), rows[-1]
        phases = [
            Phase(int(rng.integers(count)), int(rng.integers(0, 60)), rate) for _ in range(int(rng.integers(1, 5)))
        ]
        model: Array = start
        rates: list[float] = []
        for phase in phases:
            for _ in range(int(phase.steps)):
                model, rates = (1 - rate) * model + rate * rows[phase.dataset], [*rates, rate]
        masses = sequential_masses(rows[:count], phases, start)[-1]
        joint = effective_mixture(rows[:count], phases, start).masses
        for x in range(leaves):
            tally.close("masses against the recursion", masses[x], model[x], 1.0, 1e-12)
            tally.close("joint run against the recursion", joint[x], model[x], 1.0, 1e-12)
        each, left = step_weights(rates)
        weights, rest = phase_weights(phases)
        edges = np.concatenate([[0], np.cumsum([int(phase.steps) for phase in phases])])
        for weight, first, last in zip(weights, edges[:-1], edges[1:], strict=True):
            tally.close("phase weights against step weights", weight, math.fsum(each[first:last]), 1.0, 1e-12)
        tally.close("what is left of the start", rest, left, 1.0, 1e-12)
        before, after = (10.0 ** rng.uniform(0, 4) for _ in range(2))
        kappa, h = float(elasticity_constant(before, after, rate)), decay(rate)
        if h * after < 600:
            direct = -math.expm1(before * math.log1p(-rate)) / (math.pow(1 - rate, -after) - 1)
            tally.close("kappa against powers", kappa, direct, direct * (1 + h * after + 1 / (h * after)), 1e-12)
            ends = [
                np.log(elasticity_constant(*pair, rate))
                for pair in ((before * 1.0001, after), (before / 1.0001, after))
            ]
            other = [
                np.log(elasticity_constant(*pair, rate))
                for pair in ((before, after * 1.0001), (before, after / 1.0001))
            ]
            width = 2 * math.log(1.0001)
            exponents = local_exponents(before, after, rate)
            size = 1 + h * (before + after)
            tally.close(
                "exponent in n_p by differences", float(exponents[0]), float(ends[0] - ends[1]) / width, size, 1e-6
            )
            tally.close(
                "exponent in n_a by differences", float(exponents[1]), float(other[0] - other[1]) / width, size, 1e-6
            )
            tally.true(f"exponents {exponents}", 0 <= exponents[0] <= 1 and exponents[1] <= -1)
        _sampled_scores(tally, rng, rate)
    tally.notes.append("block form against the recursion step by step; m* rises with n, m*/n falls")


def _sampled_scores(tally: Tally, rng: np.random.Generator, rate: float) -> None:
    """How first fall and m* go with n, and the score after m* steps, with a tolerance too."""
    low, base, high = np.sort(rng.random(3)) + np.array([0.0, 0.01, 0.02])
    named, grid = Scores(float(base), float(high), float(low)), np.geomspace(1, 1e4, 9) / decay(rate) / 1e3
    tally.true("the first fall does not grow", bool(np.all(np.diff(first_fall(named, grid, rate)) >= 0)))
    back = return_steps(named, grid, rate)
    tally.true("m* does not rise", bool(np.all(np.diff(back) >= -1e-12 * back[1:])))
    tally.true("m*/n does not fall", bool(np.all(np.diff(back / grid) <= 1e-12 * (back / grid)[1:])))
    for n, m in zip(grid, back, strict=True):
        top = float(aligned_score(named, n, rate))
        tally.close("score after m* steps", low + (top - low) * (1 - rate) ** m, base, 1.0, 1e-12)
    tolerance = float(rng.uniform(0, 1) * (high - base))
    for n, m in zip(grid, return_steps(named, grid, rate, tolerance), strict=True):
        top = float(aligned_score(named, n, rate))
        reached = min(top, base + tolerance)
        tally.close("score after m* steps with a tolerance", low + (top - low) * (1 - rate) ** m, reached, 1.0, 1e-12)
    tally.above(
        "saturation of m*", math.log((high - low) / (base - low)) / decay(rate), float(back[-1]), float(back[-1])
    )


RESULTS = {"R19": derived("R19", "holds with constants", _certified_forgetting, _sampled_forgetting)}
