"""R18 verified: the theorem at joint optima of any class, its best constants for mixtures, and where it stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..arrays import Array
from ..certify.optima import certify_rises, certify_theorem, certify_tilt, two_models
from ..laws.finite import mixture_constant, path_entropies
from ..laws.optima import joint_optima
from ..laws.theorem import mixture_theta_bounds, residual_constant, theorem_readings, theta_bounds, union_parts
from ..mixtures.masses import normalise, pareto_masses
from ..mixtures.mixture import Mixture
from .instances import exact_rows, exact_union
from .optima import LENGTHS, exact_losses, exact_optimum, tilt_path
from .tally import Tally, derived

Row = Sequence[int | Fraction]
HALVES = (Fraction(1, 2), Fraction(1, 2))


# --- certified -------------------------------------------------------------------------------------------------------
def _certified_theorem(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    _exact_class(tally)
    _two_model_ends(tally)
    _family(tally)
    _mixtures(tally)
    _beyond_the_line(tally)
    tally.notes.append(
        "halves and unequal parts in fractions; both ends attained by two models; off the line two models break both signs"
    )


def _exact_class(tally: Tally) -> None:
    """Models with whole code lengths, enumerated in fractions: signs and both bounds at every pair of perturbations."""
    moved = 0
    a, t = exact_rows([8, 3, 3, 1], [2, 3, 2, 7])
    for shares in (HALVES, (Fraction(1, 4), Fraction(3, 4)), (Fraction(2, 3), Fraction(1, 3))):
        union = tuple(shares[0] * x + shares[1] * y for x, y in zip(a, t, strict=True))
        losses, k = exact_losses((union, tuple(a), tuple(t)), LENGTHS), Fraction(3)
        threshold = shares[1] / shares[0]
        steps = [threshold * Fraction(j, 40) for j in range(40)]
        chosen = [exact_optimum(losses, [k, Fraction(1), step]) for step in steps]
        tally.true(f"nothing moves with parts {shares}", len(set(chosen)) > 1)
        for j in range(len(steps)):
            for m in range(j + 1, len(steps)):
                if chosen[m] == chosen[j]:
                    continue
                moved += 1
                pretrain, align = (row[chosen[m]] - row[chosen[j]] for row in losses[:2])
                low, high = (
                    (1 + step / (k * shares[1])) / (1 - step * shares[0] / shares[1]) for step in (steps[j], steps[m])
                )
                tally.true(f"signs at {steps[j]}, {steps[m]}", pretrain < 0 < align)
                tally.true(f"R18 at {steps[j]}, {steps[m]}", low <= -align / (k * pretrain) <= high)
                bounds = theta_bounds(float(k), float(steps[m]), float(steps[j]), (float(shares[0]), float(shares[1])))
                tally.close("float bounds", bounds.low, float(low), float(low), 1e-13)
                tally.close("float bounds", bounds.high, float(high), float(high), 1e-12)
    tally.cases += moved
    tally.true(f"only {moved} pairs moved", moved > 20)


def _two_model_ends(tally: Tally) -> None:
    """A tie at l_1 attains the upper constant, a tie at 0 the lower: x/y = (k/2 + l)/(k/2 + 1), in fractions and in floats."""
    k, step = Fraction(10), Fraction(1, 2)
    for tie, end in tally.each(((step, "upper"), (Fraction(0), "lower"))):
        rise = (k / 2 + tie) / (k / 2 + 1)
        losses = [[Fraction(1), 1 + (rise - 1) / 2], [Fraction(1), 1 + rise], [Fraction(1), Fraction(0)]]
        pretrain, align = (row[1] - row[0] for row in losses[:2])
        constant = -align / (k * pretrain)
        tally.true(f"the {end} end is {constant}", constant == (1 + 2 * tie / k) / (1 - tie))
        bounds = theta_bounds(float(k), float(step))
        wanted = bounds.high if end == "upper" else bounds.low
        tally.close(f"the {end} end in floats", wanted, float(constant), 1.0, 1e-15)


def _family(tally: Tally) -> None:
    tally.cases += 1
    align, perturb = [6, 3, 1, 1, 1], [1, 1, 2, 5, 3]
    (a, t) = exact_rows(align, perturb)
    union = [(x + y) / 2 for x, y in zip(a, t, strict=True)]
    steps = [Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]
    balls = certify_tilt([[0, 0], [1, 0], [0, 1], [1, 2], [2, 1]], [1, 1, 2, 1, 1], [union, a, t], [4, 1], steps)
    for step, constant in zip(steps[1:], balls.constant, strict=True):
        high = (1 + step / 2) / (1 - step)
        tally.true(
            f"the family's constant {constant.digits} at l = {step}", constant.low >= 1 and constant.high <= float(high)
        )
    rates = [[value.estimate for value in row] for row in balls.rates]
    tally.true("float readings of the family", theorem_readings([float(s) for s in steps], 4.0, rates).holds(1e-14))


def _mixtures(tally: Tally) -> None:
    draws = [Fraction(float(mass)) for mass in pareto_masses(1.3, 16, seed=4)]
    instances: list[tuple[Row, Row, Fraction, Fraction, tuple[Fraction, Fraction]]] = [
        ([6, 3, 1, 1], [1, 1, 2, 5], Fraction(10), Fraction(1, 2), HALVES),
        ([1, 0, 0], [0, 1, 1], Fraction(3), Fraction(9, 10), HALVES),
        (
            [6, 3, 1, 1],
            [1, 1, 2, 5],
            Fraction(10),
            Fraction(3, 2),
            HALVES,
        ),  # beyond 1, where only mixtures keep the signs
        (draws, draws[::-1], Fraction(100), Fraction(1, 4), (Fraction(1, 3), Fraction(2, 3))),
    ]
    narrow = []
    for align, perturb, k, step, shares in tally.each(instances):
        balls = certify_theorem(align, perturb, k, step, shares)
        tally.true(f"signs {balls.signs}", balls.signs == (-1, 1) and balls.proved)
        tally.true("best bounds", balls.above.sign == 1 and balls.below.sign == 1)
        if balls.general is not None:
            tally.true("the best bound is above the general one", balls.high.high < balls.general.low)
        floats = mixture_theta_bounds(float(k), float(step), (float(shares[0]), float(shares[1])))
        tally.close("float best bounds", floats.low, balls.low.estimate, balls.low.estimate, 1e-12)
        tally.close("float best bounds", floats.high, balls.high.estimate, balls.high.estimate, 1e-12)
        narrow.append(balls.high.estimate / balls.low.estimate - 1)
    for delta, which in tally.each(((Fraction(1, 10**9), "high"), (Fraction(1, 10**9), "low"))):
        balls = certify_theorem(*extremal_parts(which, Fraction(10), delta), 10, Fraction(1, 2))
        gap = balls.below if which == "high" else balls.above
        tally.true(f"the {which} end is attained but for {gap.estimate:.1e}", gap.sign == 1 and gap.high < 1e-8)
    tally.notes.append(f"mixtures: best bounds at most {max(narrow):.3f} apart (relative), both attained to 1e-8")


def extremal_parts(which: str, k: Fraction, delta: Fraction) -> tuple[list[Fraction], list[Fraction]]:
    """(P_a, P_t) on two leaves that attain an end of R18 for mixtures (halves) as delta -> 0.

    high: P_t misses an event of q_0-probability delta; low: P_a misses it, so that P_t is there as large as it can be.
    """
    if which == "high":
        start, perturb = [1 - delta, delta], [Fraction(1), Fraction(0)]
        align = [((k + 1) * q - k / 2 * t) / (k / 2 + 1) for q, t in zip(start, perturb, strict=True)]
        return align, perturb
    most = 2 * (k + 1) / k
    return [Fraction(1), Fraction(0)], [1 - delta * most, delta * most]


def _beyond_the_line(tally: Tally) -> None:
    """P_p off the line of P_a and P_t: two models, both optimal where they have to be, with both signs wrong."""
    k = Fraction(5)
    for rows in ([[1, 1, 1, 1], [4, 1, 1, 2], [1, 1, 5, 1]], [[3, 2, 2, 1], [3, 2, 1, 2], [4, 1, 2, 1]]):
        for step in tally.each((Fraction(1, 1000), Fraction(1, 2), Fraction(10))):
            wanted = [1 / k, Fraction(-1), Fraction(-1, 7)]
            f, start = two_models(rows, wanted)
            exact = exact_rows(*rows)
            changes = [sum((p * x for p, x in zip(row, f, strict=True)), Fraction(0)) for row in exact]
            tally.true("the two models differ as wanted", changes == wanted)
            tally.true("q_0 is a distribution", all(value.sign == 1 for value in start))
            residual = k * changes[0] + changes[1]
            tally.true("both are joint optima", 0 <= residual <= -step * changes[2])
            tally.true("both signs are wrong", changes[1] < 0 < changes[0])
            mass = np.array([value.estimate for value in start])
            other = mass * np.exp([-float(x) for x in f])
            tally.close("q_1 sums to 1", float(other.sum()), 1.0, 1.0, 1e-13)
            data = np.array([[float(p) for p in row] for row in exact])
            tally.true("a union was seen", union_parts(*data) is None)
    # the first of them is a union of three equal parts; and a mixture of such a union whose D_a gains at every L
    third = [3 * p - a - t for p, a, t in zip(*exact_rows([1, 1, 1, 1], [4, 1, 1, 2], [1, 1, 5, 1]), strict=True)]
    tally.true("a union with a further part", min(third) >= 0 and sum(third) == 1)
    parts = exact_rows([6, 3, 1], [5, 4, 1], [1, 1, 18])
    for step in tally.each((Fraction(1, 1000), Fraction(1, 2))):
        rises = certify_rises([exact_union(*parts), parts[0], parts[1]], [Fraction(10), Fraction(1), step]).rise
        tally.true("a further part leaves a mixture's signs alone", rises[1].sign == -1 and rises[0].sign == 1)
    tally.cases += 1
    # on the line but beyond the threshold: a tie at l = 2 with D_p half and half moves D_p up
    rise = (k / 2 + 2) / (k / 2 + 1)
    tally.true("beyond the threshold DeltaH_p <= 0 still holds", (rise - 1) / 2 > 0)


# --- sampled ---------------------------------------------------------------------------------------------------------
def _sampled_theorem(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    moves, largest, near = 0, 0.0, [math.inf, math.inf]
    for _ in tally.each(range(cases)):
        k, share = 10.0 ** rng.uniform(-1, 3), float(rng.choice([0.5, rng.uniform(0.1, 0.9)]))
        parts = (1 - share, share)
        threshold = share / (1 - share)
        steps = np.concatenate([[0.0], np.sort(threshold * rng.uniform(0.02, 0.98, size=3))])
        moves += _sampled_class(tally, rng, k, parts, steps)
        largest = max(largest, _sampled_family(tally, rng, k, parts, steps))
        _sampled_mixture(tally, rng, k, parts, steps, near)
    tally.true(f"only {moves} finite classes moved", moves >= 0.2 * cases)
    tally.notes.append(
        f"{moves} of {cases} finite classes moved; constants up to {largest:.4f} of the general bound in families; "
        f"mixtures within {near[0]:.1e} and {near[1]:.1e} of their best constants"
    )


def _data(rng: np.random.Generator, parts: tuple[float, float], leaves: int, floor: float = 0.0) -> Array:
    align, perturb = (normalise(rng.gamma(0.4, size=leaves) + 1e-9 + floor) for _ in range(2))
    return np.stack([parts[0] * align + parts[1] * perturb, align, perturb])


def _multiplied_out(
    tally: Tally,
    what: str,
    change: Array,
    k: float,
    parts: tuple[float, float],
    ends: tuple[float, float],
    scale: float,
    tolerance: float,
) -> None:
    """``(beta + l_0) fall <= (beta - k pi_a l_0) rise`` and so on, from the definitions: no function of the library."""
    rise, fall, beta, weight = float(change[1]), -k * float(change[0]), k * parts[1], k * parts[0]
    size = scale * (beta + weight + ends[1])
    tally.above(f"{what}: DeltaH_a", rise, 0.0, scale, tolerance)
    tally.above(f"{what}: -k DeltaH_p", fall, 0.0, scale, tolerance)
    tally.above(f"{what}, below", (beta - weight * ends[0]) * rise, (beta + ends[0]) * fall, size, tolerance)
    tally.above(f"{what}, above", (beta + ends[1]) * fall, (beta - weight * ends[1]) * rise, size, tolerance)


def _sampled_class(tally: Tally, rng: np.random.Generator, k: float, parts: tuple[float, float], steps: Array) -> int:
    rows = _data(rng, parts, 6)
    tilts = rng.uniform(0, 1, size=(60, 1))
    models = (
        (1 - tilts) * rows[1]
        + tilts * rows[2]
        + rng.dirichlet(np.full(6, 0.7), size=60) * rng.uniform(0, 0.1, size=(60, 1))
        + 1e-6
    )
    losses = -rows @ np.log(models / models.sum(axis=1, keepdims=True)).T
    chosen, rates = joint_optima(losses, [k, 1.0], steps)
    scale = 20.0 * (1 + k)
    tally.true("R18 on the readings of a finite class", theorem_readings(steps, k, rates, parts).holds(1e-13 * scale))
    for j in range(len(steps) - 1):
        change = rates[:, j + 1] - rates[:, j]
        _multiplied_out(tally, "a finite class", change, k, parts, (steps[j], steps[j + 1]), scale, 1e-13)
    return int(len(set(chosen.tolist())) > 1)


def _sampled_family(
    tally: Tally, rng: np.random.Generator, k: float, parts: tuple[float, float], steps: Array
) -> float:
    leaves, count = int(rng.integers(4, 10)), int(rng.integers(1, 4))
    rows = _data(rng, parts, leaves, 0.05)
    codes, _ = tilt_path(rng.normal(size=(leaves, count)), rng.normal(size=leaves), rows, np.array([k, 1.0]), steps)
    scale = 1e-2 * (1 + k)
    _multiplied_out(
        tally, "an exponential family", codes[:, -1] - codes[:, 0], k, parts, (0.0, float(steps[-1])), scale, 1e-10
    )
    readings = theorem_readings(steps, k, codes, parts)
    tally.true("R18 on the readings of a family", readings.holds(1e-12 * (1 + k)))
    return float(readings.constant[-1] / readings.high[-1]) if readings.rise[-1] > 1e-6 else 0.0


def _sampled_mixture(
    tally: Tally, rng: np.random.Generator, k: float, parts: tuple[float, float], steps: Array, near: list[float]
) -> None:
    rows, step = _data(rng, parts, int(rng.integers(2, 30))), float(steps[-1])
    start = Mixture.of(rows, [k, 1.0, 0.0])
    codes = path_entropies(start, [0.0, step])
    change, beta = codes[:, 1] - codes[:, 0], k * parts[1]
    fall = -float(change[2])
    residual = (k * parts[0] + 1) * float(change[1]) - beta * fall
    low, high = residual_constant(k + 1, step, (k + 1) / beta), residual_constant(k + 1, step, 0.0)
    tally.close("c_+ is R5's constant", high, mixture_constant(k + 1, step), high, 1e-11)
    tally.above("residual, above c_- times the fall", residual, low * fall, 1 + k, 1e-13)
    tally.above("residual, below c_+ times the fall", high * fall, residual, 1 + k, 1e-13)
    bounds = mixture_theta_bounds(k, step, parts)
    down = -k * float(change[0])
    tally.above("a mixture, below", float(change[1]), bounds.low * down, (1 + k) * bounds.low, 1e-13)
    tally.above("a mixture, above", bounds.high * down, float(change[1]), (1 + k) * bounds.high, 1e-13)
    if fall > 1e-3:
        near[:] = [min(near[0], residual / (low * fall) - 1), min(near[1], 1 - residual / (high * fall))]


RESULTS = {"R18": derived("R18", "holds with constants", _certified_theorem, _sampled_theorem)}
