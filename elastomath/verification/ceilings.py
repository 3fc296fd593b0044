"""R17 verified: ceilings of mixtures and of classes closed under mixing, and what has none."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ..arrays import Array
from ..certify.balls import FIRST_PRECISION, ball_of, rational, working_precision
from ..certify.optima import certify_rises
from ..laws.ceilings import convex_ceiling, pooled_ceiling, rises, string_ceiling, volume_for
from ..laws.response import response
from .instances import as_floats, certified_instances, sample_mixture
from .tally import Tally, derived


def _certified_ceilings(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    _mixtures(tally)
    _segment(tally)
    _gaussian(tally)
    _deletion(tally)


def _mixtures(tally: Tally) -> None:
    for name, (rows, volumes) in tally.each(certified_instances().items()):
        balls, floats = certify_rises(rows, volumes), rises(as_floats(rows, volumes))
        for i, (above, below, room) in enumerate(zip(balls.above, balls.below, balls.room, strict=True)):
            product = any(p and t for p, t in zip(rows[i], rows[-1], strict=True))
            constant = len({_share(rows, volumes, x) for x in range(len(rows[i])) if rows[i][x]}) == 1
            tally.true(f"{name}: below its sharp bound", above.sign == 1 or (constant and 0.0 in above))
            tally.true(f"{name}: above its sharp bound", below.sign == 1 or (constant and 0.0 in below))
            tally.true(f"{name}: equality iff disjoint", room.sign == 1 if product else 0.0 in room)
            for value, enclosure in (
                (floats.rise[i], balls.rise[i]),
                (floats.low[i], balls.low[i]),
                (floats.high[i], balls.high[i]),
            ):
                tally.close("float rises and bounds", value, enclosure.estimate, 1 + abs(enclosure.estimate), 1e-13)


def _share(rows: list[list[Fraction]], volumes: list[Fraction], leaf: int) -> Fraction:
    """P_t/(b) on a leaf: equality in the sharp bounds iff it is constant on the dataset."""
    start = sum((w * row[leaf] for w, row in zip(volumes[:-1], rows[:-1], strict=True)), Fraction(0))
    return rows[-1][leaf] / start


def segment_instance(k: Fraction, y: Fraction, h: Fraction) -> tuple[Fraction, list[list[Fraction]]]:
    """A class of mixtures of two models that nearly attains `convex_ceiling`: (L, [q_0, q_L] on the leaves of D_p, D_a, D_t and a spare).

    q_s moves by the factors 1 + s y/k, 1 - s y, 1 + s h; s = 0 is optimal at 0 and s = 1 at L, exactly.
    """
    step = (y / (1 - y) - y / (1 + y / k)) * (1 + h) / h
    start = [Fraction(1, 6), Fraction(1, 3), Fraction(1, 6) / (1 + h)]
    start.append(1 - sum(start, Fraction(0)))
    end = [m * f for m, f in zip(start, (1 + y / k, 1 - y, 1 + h), strict=False)]
    return step, [start, [*end, 1 - sum(end, Fraction(0))]]


def _segment(tally: Tally) -> None:
    """Dataset i lies on leaf i, so everything but the logarithm is a fraction."""
    from flint import arb, fmpq

    for k, y, h in (
        (Fraction(10), Fraction(3, 5), Fraction(10**9)),
        (Fraction(1000), Fraction(1, 10), Fraction(10**9)),
        (Fraction(1, 2), Fraction(4, 5), Fraction(3)),
    ):
        tally.cases += 1
        step, (start, end) = segment_instance(k, y, h)
        tally.true("masses", min(*start, *end) > 0 and sum(start) == sum(end) == 1)
        volumes = [k, Fraction(1)]
        at_start = sum((w * (b - a) / a for w, a, b in zip(volumes, start, end, strict=False)), Fraction(0))
        at_end = sum((w * (b - a) / b for w, a, b in zip([*volumes, step], start, end, strict=False)), Fraction(0))
        tally.true("s = 0 is optimal at 0 and s = 1 at L (concave in s)", at_start == at_end == 0)
        total = k + 1 + step
        with working_precision(FIRST_PRECISION):
            linear, square = (
                arb(rational(step * (k - 1))),
                arb(rational(step * (k - 1))) ** 2 + 4 * arb(rational(total * k * step)),
            )
            ceiling = -(1 - (square.sqrt() - linear) / (2 * ball_of(total))).log()
            rise = arb(rational(start[1] / end[1])).log()
            pooled = rise - ball_of(k) * arb(rational(end[0] / start[0])).log()
            most = arb(rational(k + 1)) * arb(fmpq(1) + rational(step / (k + 1))).log()
            string = arb(fmpq(1) + rational(step / (k + 1))).log()
            tally.true(f"the rise {rise} is above the ceiling {ceiling}", rise < ceiling)
            tally.true("the pooled form", pooled < most)
            if h > 1000:
                tally.true("the ceiling is attained", rise > arb(rational(Fraction(999, 1000))) * ceiling)
                tally.true("a string's ceiling is passed", rise > 5 * string)
            value, pool = float(ceiling.mid()), float(most.mid())
        floats = float(k), float(step)
        tally.close("float ceiling of one dataset", convex_ceiling(1.0, *floats), value, value, 1e-13)
        tally.close("float pooled ceiling", pooled_ceiling(floats[0] + 1, floats[1]), pool, pool, 1e-13)
    tally.notes.append(
        "a class of mixtures of two models attains one dataset's ceiling, 11 times ln(1 + L/N_0) at k = 10"
    )


def _gaussian(tally: Tally) -> None:
    """A Gaussian with free mean: the joint optimum is the mean of the data, H_i = (E_i x - mean)^2/2 + constant."""
    tally.cases += 1
    k, step, mean = Fraction(10), Fraction(1), Fraction(50)
    moved = step * mean / (k + 1 + step)
    rise = moved**2 / 2
    tally.true(f"the Gaussian's rise is {rise}", rise == Fraction(625, 72))
    tally.true("its residual obeys R6", (k + 1) * rise <= step * (mean**2 - (mean - moved) ** 2) / 2)
    ceiling = string_ceiling(11.0, 1.0)
    tally.close("ln(12/11)", ceiling, math.log(12) - math.log(11), 0.087, 1e-14)
    tally.true("8.68 against 0.087", round(float(rise), 2) == 8.68 and round(ceiling, 3) == 0.087)
    tally.notes.append("a Gaussian with free mean rises by 625/72 = 8.68 where ln(12/11) = 0.087")


def _deletion(tally: Tally) -> None:
    """Half of D_a deleted, N_0 = 2, D_a on a leaf of its own: ln(3/2) in place of ln(1 + 1/4); the ratio is without bound."""
    for share, wanted in tally.each(((Fraction(1, 2), Fraction(3, 2)), (Fraction(999, 1000), Fraction(1001, 2)))):
        ratio = Fraction(1, 2) / ((1 - share) / (2 - share))
        tally.true(f"deletion lengthens by ln {ratio}", ratio == wanted)
        tally.true("beyond the ceiling of additions", math.log(ratio) > string_ceiling(2.0, float(share)))
    tally.notes.append(
        "deletion: half of D_a gone costs ln(3/2) at N_0 = 2, where adding as much costs at most ln(5/4)"
    )


# --- sampled ---------------------------------------------------------------------------------------------------------
def _sampled_ceilings(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    nearest = 0.0
    for _ in tally.each(range(cases)):
        mixture = sample_mixture(rng, int(rng.integers(2, 5)))
        step, base = float(mixture.volumes[-1]), float(mixture.volumes[:-1].sum())
        ceiling = string_ceiling(base, step)
        mass = mixture.volumes[:-1] @ mixture.components[:-1]
        readings, overlaps, before = rises(mixture), response(mixture).overlaps, response(mixture.at(0.0)).overlaps
        support = mass > 0
        strings = math.log1p(step / base) - np.log1p(step * mixture.components[-1][support] / mass[support])
        tally.above("a string beyond its ceiling", ceiling, float(strings.max()), ceiling, 1e-13)
        missed = mixture.components[-1][support] == 0
        if missed.any():
            tally.close("a missed string attains it", float(strings[missed].min()), ceiling, ceiling, 1e-13)
        for i, row in enumerate(mixture.components[:-1]):
            direct = math.fsum((row[support] * strings).tolist())
            tally.close("DeltaH_i", readings.rise[i], direct, 1 + abs(direct), 1e-12)
            low = math.log1p(step / base) - math.log1p(step / base * before[i])
            room = (base + step - step * overlaps[i]) / base
            size = 1 + abs(low) + (base + step) / base
            tally.close("its lower bound", readings.low[i], low, size, 1e-12)
            tally.above("DeltaH_i, below", direct, low, size, 1e-13)
            tally.above("exp DeltaH_i, above", room, math.exp(direct), size, 1e-12)
            tally.above(
                "the linear bound, below", low, step / (base + step) * (1 - before[i]), size * (1 + before[i]), 1e-13
            )
        back = volume_for(ceiling, step)
        tally.close("the volume that buys a ceiling", back, base, base, 1e-12)
        nearest = max(nearest, _sampled_segment(tally, rng))
    tally.notes.append(f"one dataset of a class closed under mixing came to {nearest:.4f} of its ceiling")


def _sampled_segment(tally: Tally, rng: np.random.Generator) -> float:
    """Mixtures of two random models, the optimum by bisection of a monotone derivative; one dataset and the pool at their ceilings."""
    leaves = int(rng.integers(3, 8))
    rows = rng.dirichlet(np.full(leaves, 0.2), size=3)
    models = rng.dirichlet(np.full(leaves, 0.3), size=2) + 1e-9
    models /= models.sum(axis=1, keepdims=True)
    k, step = 10.0 ** rng.uniform(-1, 3), 10.0 ** rng.uniform(-1, 1)

    def optimum(volumes: Array) -> Array:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            q = models[0] + middle * (models[1] - models[0])
            rising = float(volumes @ (rows @ ((models[1] - models[0]) / q))) > 0
            low, high = (middle, high) if rising else (low, middle)
        return np.asarray(models[0] + (low + high) / 2 * (models[1] - models[0]))

    before, after = optimum(np.array([k, 1.0, 0.0])), optimum(np.array([k, 1.0, step]))
    change = rows @ np.log(before / after)
    scale = k + 1 + step
    tally.above("one dataset below its ceiling", convex_ceiling(1.0, k, step), float(change[1]), 1.0, 1e-10)
    tally.above("the other dataset below its own", convex_ceiling(k, 1.0, step), float(change[0]), 1.0, 1e-10)
    tally.above(
        "the pool below its ceiling", pooled_ceiling(k + 1, step), float(k * change[0] + change[1]), scale, 1e-11
    )
    return float(change[1]) / convex_ceiling(1.0, k, step)


RESULTS = {
    "R17": derived(
        "R17",
        "holds only if the class is closed under mixing (pooled), and for one string if it is that of mixtures",
        _certified_ceilings,
        _sampled_ceilings,
    )
}
