"""R13 verified: rebound in joint compression."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from ..arrays import Array
from ..certify.balls import ball_of, working_precision
from ..laws.rebound import (
    Direction,
    Scores,
    divergence_return_volume,
    falls_faster,
    faster_below,
    return_volume,
    score,
    score_slope,
)
from ..mixtures.mixture import Mixture
from .instances import exact_rows
from .tally import Tally, derived

DIRECTIONS: tuple[Direction, ...] = ("forward", "reverse")


def _exact_score(scores: tuple[Fraction, ...], volumes: tuple[Fraction, ...]) -> Fraction:
    return sum((w * s for w, s in zip(volumes, scores, strict=True)), start=Fraction(0)) / sum(volumes)


def _certified_rebound(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    turns = 0
    for targets in (
        (5, 9, 1),
        (2, 9, 1),
        (8, 9, 1),
        (4, 1, 9),
    ):  # s_p, s_+, s_- in tenths; the last with roles exchanged
        base, high, low = (Fraction(value, 10) for value in targets)
        scores, named = (base, high, low), Scores(float(base), float(high), float(low))
        for k, m in tally.each(((Fraction(100), Fraction(0)), (Fraction(7, 2), Fraction(3)))):
            turn = m + k * (high + low - 2 * base) / (high - low)
            value = float(faster_below(named, float(k), float(m)))
            tally.close("n below which more alignment is faster", value, float(turn), float(k + m), 1e-13)
            speeds = {}
            for n in (Fraction(1, 3), Fraction(10), Fraction(40), Fraction(300), max(turn, Fraction(1))):
                total, at = k + n + m, _exact_score(scores, (k, n, m))
                later = _exact_score(scores, (k, n, m + 1))
                slope = (later - at) * (total + 1) / total  # of an average, exactly
                tally.true(f"ds/dm = {slope} at n = {n}", slope == -(at - low) / total)
                tally.close("score", float(score(named, float(k), float(n), float(m))), float(at), 1.0, 1e-14)
                shown = float(score_slope(named, float(k), float(n), float(m)))
                tally.close("ds/dm", shown, float(slope), 1 / float(total), 1e-14)
                speeds[n] = abs(slope)
                back = n * (high - base) / (base - low)
                tally.true(f"s is not s_p at m* = {back}", _exact_score(scores, (k, n, back)) == base)
                tally.close("m*", float(return_volume(named, float(n))), float(back), float(back), 1e-13)
                for tol in (Fraction(1, 100), Fraction(1, 20)):
                    needed = (n * (abs(high - base) - tol) - k * tol) / (abs(base - low) + tol)
                    shown = float(return_volume(named, float(n), float(tol), float(k)))
                    tally.close("m* with a tolerance", shown, max(0.0, float(needed)), float(n + k) * 10, 1e-13)
                    if needed > 0:
                        away = abs(_exact_score(scores, (k, n, needed)) - base)
                        tally.true(f"|s - s_p| = {away} at m_tau", away == tol)
            ordered = sorted(speeds)
            for index, less in enumerate(ordered):
                for more in ordered[index + 1 :]:
                    verdict = falls_faster(named, float(k), float(less), float(more), float(m))
                    tally.true(f"n = {less}, {more}: faster told {verdict}", verdict == (speeds[more] > speeds[less]))
                    turns += speeds[more] < speeds[less]
                    if turn >= 1 and turn in (less, more):
                        tally.true(
                            "the fall is not fastest at the turn", speeds[turn] > speeds[less if more == turn else more]
                        )
    _certified_tolerance(tally)
    parts = np.array([[0.4, 0.3, 0.3], [0.8, 0.1, 0.1], [0.1, 0.6, 0.3]])
    for direction in DIRECTIONS:
        volumes = [_first_return(tally, parts, positive, 0.01, direction) for positive in (0.1, 0.5, 1.0)]
        tally.true(f"m* {volumes}", volumes[0] == 0 < volumes[1] < volumes[2] == math.inf)
    tally.notes.append(f"slopes, turns and m* in fractions; {turns} pairs in which more alignment falls slower")


def _certified_tolerance(tally: Tally) -> None:
    """D(model, base) at (lambda n, lambda m) against c D at (n, m), in balls, both ways round."""
    base, high, low = exact_rows([4, 3, 3], [8, 1, 1], [1, 6, 3])
    k, n, m = Fraction(1000), Fraction(700), Fraction(150)

    def model(share: Fraction) -> list[Fraction]:
        total = k + share * (n + m)
        rows = zip(base, high, low, strict=True)
        return [(k * p + share * (n * u + m * d)) / total for p, u, d in rows]

    def divergence(first: list[Fraction], second: list[Fraction]) -> Any:
        return sum(ball_of(p) * ball_of(p / q).log() for p, q in zip(first, second, strict=True))

    with working_precision(192):
        for share in tally.each((Fraction(99, 100), Fraction(1, 2), Fraction(1, 100))):
            pulled = share * (k + n + m) / (k + share * (n + m))
            for near, far in (
                ((model(share), base), (model(Fraction(1)), base)),
                ((base, model(share)), (base, model(Fraction(1)))),
            ):
                gap = ball_of(pulled) * divergence(*far) - divergence(*near)
                tally.true(f"lambda = {share}: c D - D_c is {gap}", gap > 0)


def _sampled_rebound(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    returned: list[float | None] = []
    for index in tally.each(range(cases)):
        low, base, high = np.sort(rng.random(3)) + np.array([0.0, 0.01, 0.02])
        if rng.random() < 0.5:
            low, high = high, low
        named = Scores(float(base), float(high), float(low))
        k, n, m = 10.0 ** rng.uniform(0, 4, size=3)
        direct = math.fsum([k * base, n * high, m * low]) / math.fsum([k, n, m])
        tally.close("score against a sum", float(score(named, k, n, m)), direct, 1.0, 1e-14)
        step = (k * base + n * high + (m + 1e-30j) * low) / (k + n + m + 1e-30j)
        tally.close(
            "ds/dm by a complex step", float(score_slope(named, k, n, m)), step.imag / 1e-30, 1 / (k + n + m), 1e-13
        )
        turn = float(faster_below(named, k, m))
        n_step = n + 1e-30j
        fall = (k * base + n_step * high + m * low) / (k + n_step + m) - low
        bend = (abs(low - high) / (high - low)) * (fall / (k + n_step + m)).imag / 1e-30
        if abs(turn / n - 1) > 1e-6:
            tally.true(f"d/dn of the fall is {bend}, turn {turn} at n = {n}", (bend > 0) == (n < turn))
        more = n * (1 + rng.uniform(0.01, 9))
        speeds = abs(score_slope(named, k, np.array([n, more]), m))
        if abs(speeds[0] / speeds[1] - 1) > 1e-9:
            tally.true("finite comparison", falls_faster(named, k, n, more, m) == (speeds[1] > speeds[0]))
        back = float(return_volume(named, n))
        tally.close("score at m*", float(score(named, k, n, back)), base, 1.0, 1e-12)
        tol = 10.0 ** rng.uniform(-4, -1)
        needed = float(return_volume(named, n, tol, k))
        away = abs(float(score(named, k, n, needed)) - base)
        reached = min(tol, abs(float(score(named, k, n, 0.0)) - base))
        tally.close("score at m_tau", away, reached, 1.0, 1e-12)
        pair = return_volume(named, np.array([n, more]), tol, k)
        tally.above("m*/n with more alignment", float(pair[1]) / more, float(pair[0]) / n, 1.0, 1e-12)
        if index % 2 == 0:
            returned.append(_divergence_exponent(tally, rng, DIRECTIONS[index // 2 % 2]))
    exponents = [exponent for exponent in returned if exponent is not None]
    if exponents:
        tally.true(f"m* ~ n^{min(exponents)}", min(exponents) >= 1 - 1e-9)
        tally.notes.append(
            f"m* under a KL tolerance {len(exponents)} times of {len(returned)}: exponent at least {min(exponents):.4f}, never below 1"
        )


def _divergence_exponent(tally: Tally, rng: np.random.Generator, direction: Direction) -> float | None:
    """The exponent of m* in n under a tolerance on a divergence of any data; None where an end is 0 or infinite."""
    parts = rng.dirichlet(np.ones(6), size=3)
    parts[2] = 0.95 * np.clip(2 * parts[0] - parts[1], 1e-3, None) + 0.05 * parts[2]
    parts[2] /= parts[2].sum()
    first, tolerance = 10.0 ** rng.uniform(-1, 1), 10.0 ** rng.uniform(-3, -1)
    last = first * (1 + rng.uniform(0.1, 3))
    volumes = [_first_return(tally, parts, positive, tolerance, direction) for positive in (first, last)]
    tally.true(f"m* {volumes}: m*/n falls", volumes[1] / last >= volumes[0] / first * (1 - 1e-9))
    if volumes[0] == 0 or volumes[1] == math.inf:
        return None
    return math.log(volumes[1] / volumes[0]) / math.log(last / first)


def _first_return(tally: Tally, parts: Array, positive: float, tolerance: float, direction: Direction) -> float:
    """m* beside direct sums: the tolerance there, and more than that before."""

    def direct(negative: float) -> float:
        model = Mixture.of(parts, [1.0, positive, negative]).masses
        p, q = (parts[0], model) if direction == "forward" else (model, parts[0])
        return math.fsum(x * math.log(x / y) for x, y in zip(p.tolist(), q.tolist(), strict=True))

    back = divergence_return_volume(parts, 1.0, positive, tolerance, direction)
    if back == 0:
        tally.true("away, where m* is 0", direct(0.0) <= tolerance)
        return back
    if back < math.inf:
        tally.close("divergence at m*", direct(back), tolerance, tolerance, 1e-8)
    earlier = [0.0, *(min(back, 1e6) * np.geomspace(1e-9, 1 - 1e-6, 40))]
    tally.true(f"back before m* = {back}", all(direct(m) > tolerance for m in earlier))
    return back


RESULTS = {
    "R13": derived(
        "R13",
        "holds only if n < m + k (s_+ + s_- - 2 s_p)/(s_+ - s_-); m*/n never falls in n",
        _certified_rebound,
        _sampled_rebound,
    )
}
