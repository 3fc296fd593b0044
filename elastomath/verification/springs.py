"""R12 verified: forward divergences in the mixture, reverse divergences in the geometric pool, and what each misses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..certify.balls import Ball, rational, working_precision
from ..laws.finite import path_entropies
from ..laws.springs import Springs, elastic_limit, springs
from ..mixtures.mixture import Mixture
from ..mixtures.pool import GeometricPool, pool_residual, reverse_balance
from .instances import Rows, as_floats, certified_instances, exact_rows, sample_mixture
from .tally import Tally, derived

BITS = 192
WIDTH = 1e-25
"""How narrow a ball around 0 has to be, in nats, to count as 0."""


def near_instances() -> dict[str, tuple[list[list[Fraction]], list[Fraction]]]:
    """Datasets within a few per cent of each other, exact: the instances on which the order of the miss is certified.

    >>> len(near_instances())
    2
    """
    base = [90, 40, 20, 10, 7, 3]
    tilts = ([3, -2, 1, 0, -4, 2], [-1, 4, -3, 2, 1, -2], [2, 1, -4, 3, -1, 4])
    instances = {}
    for parts in (100, 1000):
        rows = [[count * (parts + tilt) for count, tilt in zip(base, row, strict=True)] for row in tilts]
        instances[f"within {4 / parts:.1%}"] = (exact_rows(*rows), [Fraction(10), Fraction(1), Fraction(1, 2)])
    return instances


def _certified(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    chosen = {
        name: instance
        for name, instance in certified_instances().items()
        if all(mass > 0 for row in instance[0] for mass in row) and (len(instance[0][0]) < 20 or not tally.quick)
    }
    shares, orders = [], []
    for name, (rows, volumes) in tally.each((chosen | near_instances()).items()):
        with working_precision(BITS):
            balls = PoolBalls(rows, volumes)
            sizes = _certify_instance(tally, name, balls)
            _floats(tally, balls, as_floats(rows, volumes))
        shares.append(sizes[1] / sizes[0])
        if name in near_instances():
            orders.append(sizes)
    falls = [coarse / fine for coarse, fine in zip(*orders, strict=True)]
    tally.true(
        f"terms, miss and rest fall by {falls}, not by 1e2, 1e3, 1e4",
        all(0.8 < fall / 10.0 ** (index + 2) < 1.25 for index, fall in enumerate(falls)),
    )
    tally.notes.append(
        f"balance and residual of the pool, DeltaH = Delta D and both defects enclosed in 0 to {WIDTH:.0e}; "
        f"the mixture's reverse balance misses by {min(shares):.1e} to {max(shares):.2f} of its largest term, "
        "with proved sign; ten times nearer, terms, miss and what the leading term leaves are "
        f"{falls[0]:.0f}, {falls[1]:.0f} and {falls[2]:.0f} times smaller"
    )


def _certify_instance(tally: Tally, name: str, balls: PoolBalls) -> tuple[float, float, float]:
    """The zeros and signs of one instance; returns the sizes of its largest term, of the miss, and of what `leading` leaves."""
    for what, ball in balls.zeros().items():
        tally.true(f"{name}: {what} is {ball}, not 0", ball.contains(0) and float(ball.rad()) < WIDTH)
    miss, leading, remainder = balls.miss, balls.leading, balls.remainder
    tally.true(f"{name}: the mixture's miss {miss} has no proved sign", not miss.contains(0))
    tally.true(f"{name}: the pool's miss has no proved sign", not balls.dual_miss.contains(0))
    if remainder is not None:
        tally.true(f"{name}: |miss - leading| exceeds its bound", abs(miss - leading) < remainder)
    largest = max(abs(float(term.mid())) for term in balls.terms)
    return largest, abs(float(miss.mid())), abs(float((miss - leading).mid()))


@dataclass(frozen=True)
class PoolBalls:
    """R12 on one instance with a common support, in balls: build and read it inside ``working_precision(BITS)``.

    rows, volumes  exact masses of the datasets and their volumes, the perturbation last, at L.
    A series in l is taken at l = L; its linear coefficient is the derivative.
    """

    rows: Rows
    volumes: Sequence[Fraction]

    @cached_property
    def weights(self) -> list[Ball]:
        """w_i, L last."""
        return [rational(volume) for volume in self.volumes]

    @cached_property
    def others(self) -> list[Ball]:
        """w_i with 0 in place of L."""
        return [*self.weights[:-1], 0 * self.weights[-1]]

    @property
    def total(self) -> Ball:
        """N = N_0 + L."""
        return sum(self.weights)

    @property
    def start_volume(self) -> Ball:
        """N_0."""
        return sum(self.others)

    @cached_property
    def leaves(self) -> list[list[Ball]]:
        """P_i(x), a row a leaf."""
        return [[rational(mass) for mass in column] for column in zip(*self.rows, strict=True)]

    @cached_property
    def logs(self) -> list[list[Ball]]:
        """ln P_i(x), a row a leaf."""
        from flint import arb

        return [[arb(mass).log() for mass in leaf] for leaf in self.leaves]

    @cached_property
    def own(self) -> list[list[Ball]]:
        """ln P_i, a row a dataset."""
        return [list(row) for row in zip(*self.logs, strict=True)]

    # --- the two models, as logarithms on the leaves ------------------------------------------------------------------
    @cached_property
    def mixture_series(self) -> list[Ball]:
        """ln q in l."""
        total = _series(self.total, 1)
        return [(_series(_dot(self.weights, leaf), leaf[-1]) / total).log() for leaf in self.leaves]

    @cached_property
    def pool_series(self) -> list[Ball]:
        """ln g in l: the weighted mean of logarithms, normalised."""
        total = _series(self.total, 1)
        return _normalised([_series(_dot(self.weights, leaf), leaf[-1]) / total for leaf in self.logs])

    @cached_property
    def mixture(self) -> list[Ball]:
        """ln q at L."""
        return [code[0] for code in self.mixture_series]

    @cached_property
    def pool(self) -> list[Ball]:
        """ln g at L."""
        return [code[0] for code in self.pool_series]

    @cached_property
    def mixture_at_start(self) -> list[Ball]:
        """ln q at l = 0."""
        from flint import arb

        return [arb(_dot(self.others, leaf) / self.start_volume).log() for leaf in self.leaves]

    @cached_property
    def pool_at_start(self) -> list[Ball]:
        """ln g at l = 0."""
        return _normalised([_dot(self.others, leaf) / self.start_volume for leaf in self.logs])

    # --- what R12 says of them ----------------------------------------------------------------------------------------
    def forward_gap(self, dataset: int) -> Ball:
        """``Delta D(P_i || q) - DeltaH_i``, which is 0: the entropy of P_i does not move."""
        own, masses = self.own[dataset], [leaf[dataset] for leaf in self.leaves]
        moves = [after - before for after, before in zip(self.mixture, self.mixture_at_start, strict=True)]
        return _kl(own, self.mixture) - _kl(own, self.mixture_at_start) - _dot(masses, [-move for move in moves])

    @cached_property
    def terms(self) -> list[Ball]:
        """``w_i dD(q || P_i)/dl`` of the mixture, in reverse."""
        pairs = zip(self.weights, self.own, strict=True)
        return [weight * _kl(self.mixture_series, [_series(log, 0) for log in row])[1] for weight, row in pairs]

    @cached_property
    def miss(self) -> Ball:
        """``sum_i w_i dD(q || P_i)/dl``: what the mixture misses of the balance in reverse."""
        return sum(self.terms)

    @cached_property
    def responses(self) -> list[Ball]:
        """``dD(g || P_i)/dl`` of the pool."""
        return [_kl(self.pool_series, [_series(log, 0) for log in row])[1] for row in self.own]

    def pool_balance(self) -> Ball:
        """``sum_i w_i dD(g || P_i)/dl``, which is 0."""
        return _dot(self.weights, self.responses)

    @cached_property
    def residual(self) -> Ball:
        """``N_0 D(g_L || g_0)``, the residual of the pool."""
        return self.start_volume * _kl(self.pool, self.pool_at_start)

    def pool_residual_gap(self) -> Ball:
        """``sum_{i != t} w_i (D(g_L || P_i) - D(g_0 || P_i))`` less `residual`, which is 0."""
        return (
            _dot(self.others, [_kl(self.pool, row) - _kl(self.pool_at_start, row) for row in self.own]) - self.residual
        )

    @cached_property
    def dual_miss(self) -> Ball:
        """``sum_i w_i dD(P_i || g)/dl``: what the pool misses forward. It moves by what the code lengths of N q move."""
        return -_dot([_dot(self.weights, leaf) for leaf in self.leaves], [code[1] for code in self.pool_series])

    def mixture_defect(self) -> Ball:
        """`miss` less ``D(P_t || g) - D(P_t || q) - D(q || g)``, which is 0."""
        perturb = self.own[-1]
        return self.miss - (_kl(perturb, self.pool) - _kl(perturb, self.mixture) - _kl(self.mixture, self.pool))

    def pool_defect(self) -> Ball:
        """`dual_miss` less ``D(q || P_t) - D(q || g) - D(g || P_t)``, which is 0."""
        perturb = self.own[-1]
        return self.dual_miss - (_kl(self.mixture, perturb) - _kl(self.mixture, self.pool) - _kl(self.pool, perturb))

    # --- third order --------------------------------------------------------------------------------------------------
    @cached_property
    def masses(self) -> list[Ball]:
        """q(x) at L."""
        return [_dot(self.weights, leaf) / self.total for leaf in self.leaves]

    @cached_property
    def excesses(self) -> list[list[Ball]]:
        """``e_i = P_i/q - 1``, a row a leaf."""
        return [[mass / q - 1 for mass in leaf] for leaf, q in zip(self.leaves, self.masses, strict=True)]

    @cached_property
    def leading(self) -> Ball:
        """``1/2 sum_x q e_t sum_i (w_i/N) e_i^2``, the leading term of `miss`."""
        from flint import arb

        squares = [_dot(self.weights, [e**2 for e in leaf]) / self.total for leaf in self.excesses]
        return arb(
            _dot(self.masses, [leaf[-1] * square for leaf, square in zip(self.excesses, squares, strict=True)]) / 2
        )

    @cached_property
    def remainder(self) -> Ball:
        """``sum_x q |e_t| sum_i (w_i/N) |e_i|^3/(3 (1 - max |e|))`` above ``|miss - leading|``; None where max |e| >= 1."""
        from flint import arb

        largest = max(abs(e) for leaf in self.excesses for e in leaf)
        if largest >= 1:
            return None
        cubes = [_dot(self.weights, [abs(e) ** 3 for e in leaf]) / self.total for leaf in self.excesses]
        bound = _dot(self.masses, [abs(leaf[-1]) * cube for leaf, cube in zip(self.excesses, cubes, strict=True)])
        return arb(bound / (3 * (1 - largest)))

    def zeros(self) -> dict[str, Ball]:
        """What is 0 by R12, by name."""
        return {
            **{f"Delta D - DeltaH of dataset {i}": self.forward_gap(i) for i in range(len(self.own))},
            "balance of the pool": self.pool_balance(),
            "residual of the pool": self.pool_residual_gap(),
            "defect of the mixture": self.mixture_defect(),
            "defect of the pool": self.pool_defect(),
        }


def _series(value: Ball, slope: Ball) -> Ball:
    """``value + slope x`` up to first order."""
    from flint import arb, arb_series

    return arb_series([arb(value), arb(slope)], prec=2)


def _dot(weights: Sequence[Ball], values: Sequence[Ball]) -> Ball:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _kl(logs: Sequence[Ball], code: Sequence[Ball]) -> Ball:
    """``D(p || r)`` from ln p and ln r."""
    return _dot([log.exp() for log in logs], [log - other for log, other in zip(logs, code, strict=True)])


def _normalised(logs: Sequence[Ball]) -> list[Ball]:
    """Logarithms shifted by one constant, so that the masses add up to 1."""
    size = sum(log.exp() for log in logs).log()
    return [log - size for log in logs]


def _floats(tally: Tally, balls: PoolBalls, mixture: Mixture) -> None:
    """The library's floats beside the balls."""

    def value(ball: Ball) -> float:
        return float(ball.mid())

    pool, missed = GeometricPool.of(mixture), reverse_balance(mixture)
    for mass, ball in zip(pool.masses, [code.exp() for code in balls.pool], strict=True):
        tally.close("float pool", mass, value(ball), value(ball), 1e-13)
    size = max(abs(value(ball)) for ball in balls.responses)
    for response, ball in zip(pool.response(), balls.responses, strict=True):
        tally.close("float pool response", response, value(ball), size, 1e-11)
    miss, leading = value(balls.miss), value(balls.leading)
    tally.close("float miss", missed.balance, miss, abs(miss), 1e-9)
    tally.close("float leading term", missed.leading, leading, abs(leading), 1e-9)
    remainder = math.inf if balls.remainder is None else value(balls.remainder)
    tally.close("float remainder", missed.remainder, remainder, remainder, 1e-9)
    terms = max(abs(value(term)) for term in balls.terms)
    for term, ball in zip(missed.terms, balls.terms, strict=True):
        tally.close("float terms", term, value(ball), terms, 1e-11)
    tally.close("float dual miss", pool.forward_balance(), value(balls.dual_miss), terms, 1e-11)
    step, residual = float(mixture.volumes[-1]), value(balls.residual)
    tally.close("float pool residual", pool_residual(mixture, step), residual, residual, 1e-10)


def _sampled(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    missed, pooled = [], 0
    while pooled < cases:
        mixture = sample_mixture(rng, int(rng.integers(2, 6)))
        tally.cases += 1
        last = float(mixture.volumes[-1])
        # forward, on any support that is covered
        codes, start = path_entropies(mixture, [0.0, last]), mixture.at(0.0)
        change = mixture.kl_forward()[:-1] - start.kl_forward()[:-1]
        scale = 1 + float(codes[:-1].max())
        for moved, before, after in zip(change, codes[:-1, 0], codes[:-1, 1], strict=True):
            tally.close("Delta D(P_i || q) against DeltaH_i", float(moved), after - before, scale, 1e-13)
        course = springs(mixture, [0.0, last])
        tally.close(
            "forces against the energy",
            float(course.forces[:, 1].sum()),
            float(course.energy[1]),
            scale,
            1e-12 * mixture.total,
        )
        if (mixture.components == 0).any():
            tally.cases -= 1
            continue
        pooled += 1
        _sampled_springs(tally, mixture, course)
        missed.append(_sampled_pool(tally, mixture))
        _sampled_rest(tally, start)
    shares = np.array(missed)
    tally.notes.append(
        f"the reverse balance of the mixture misses by a median {np.median(shares):.1e}, at most {shares.max():.2f}, "
        "of its largest term"
    )


def _sampled_springs(tally: Tally, mixture: Mixture, course: Springs) -> None:
    """The printed divergences, the complementary energy, its start and the elastic limit, from masses that are summed directly."""
    start, step = mixture.at(0.0), float(mixture.volumes[-1])
    assert course.reverse is not None
    assert course.near_rest is not None
    for row, moved in zip(mixture.components[:-1], course.reverse[:, 1], strict=True):
        ends = [_direct_kl(mass, row) for mass in (mixture.masses, start.masses)]
        tally.close("Delta D(q || P_i) against sums", float(moved), ends[0] - ends[1], 1 + max(ends), 1e-13)
    complementary = mixture.total * _direct_kl(mixture.masses, start.masses)
    scale = mixture.total * (1 + float(course.fall[1]))
    tally.close("complementary energy", float(course.complementary[1]), complementary, scale, 1e-12)
    squares = math.fsum(p * (t / p - 1) ** 2 for t, p in zip(mixture.components[-1], start.masses, strict=True))
    near = step**2 * squares / (2 * start.total)
    tally.close("energy near rest", float(course.near_rest[1]), near, near, 1e-9)
    limit = elastic_limit(mixture)
    if limit:
        least = springs(mixture, [0.0, limit * (1 - 1e-6), limit * (1 + 1e-6)]).forces.min(axis=0)
        tally.true(f"nothing turns at the elastic limit {limit}: {least}", least[1] < 0 <= least[2])


def _sampled_pool(tally: Tally, mixture: Mixture) -> float:
    """Pool and mixture against a complex step in l; returns the miss as a share of the largest term."""
    rows, h = mixture.components, 1e-30
    volumes = mixture.volumes.astype(np.complex128)
    volumes[-1] += 1j * h * mixture.volumes[-1]
    unit = h * float(mixture.volumes[-1])
    logs = (volumes[:, None] * np.log(rows)).sum(axis=0) / volumes.sum()
    top = float(logs.real.max())
    g = np.exp(logs - top) / np.exp(logs - top).sum()
    q = (volumes[:, None] * rows).sum(axis=0) / volumes.sum()

    def slopes(code: NDArray[np.complex128]) -> list[float]:
        return [math.fsum((code * (np.log(code) - np.log(row))).imag) / unit for row in rows]

    pool, balance = GeometricPool.of(mixture), reverse_balance(mixture)
    spread = [float(np.abs(g.real * np.log(row / g.real)).sum()) for row in rows]
    sizes = [mixture.total**-1 * (1 + s) * (1 + spread[-1]) for s in spread]
    for response, direct, size in zip(pool.response(), slopes(g), sizes, strict=True):
        tally.close("dD(g || P_i) against a complex step", float(response), direct, size, 1e-12)
    # logarithms of ratios carry 1e-16, which counts times N/N in the sum however small the terms are
    pull = float(np.abs(np.log(rows[-1] / g.real)).max())
    scale = float(np.abs(mixture.volumes * pool.response()).sum()) + 1e-3 * pull
    tally.close("balance of the pool", math.fsum(mixture.volumes * pool.response()), 0.0, scale, 1e-11)
    residual = math.fsum(
        float(w) * (_direct_kl(pool.masses, row) - _direct_kl(GeometricPool.of(mixture.at(0.0)).masses, row))
        for w, row in zip(mixture.volumes[:-1], rows[:-1], strict=True)
    )
    scale = mixture.total * (1 + max(spread))
    tally.close("residual of the pool", pool_residual(mixture, float(mixture.volumes[-1])), residual, scale, 1e-12)
    terms = [float(w) * slope for w, slope in zip(mixture.volumes, slopes(q), strict=True)]
    size = 1e-2 * math.fsum(abs(term) for term in terms) + 1e-3 * float(np.abs(np.log(rows[-1] / q.real)).max() + 1)
    tally.close("miss of the mixture against a complex step", balance.balance, math.fsum(terms), size, 1e-11)
    tally.above(
        "remainder above |miss - leading|", balance.remainder, abs(balance.balance - balance.leading), 1.0, 1e-14
    )
    largest = max(abs(term) for term in terms)
    return abs(balance.balance) / largest if largest > 1e-12 else 0.0


def _sampled_rest(tally: Tally, start: Mixture) -> None:
    """At rest the printed forces sum to l times the miss: first order in l, where forward forces sum to second."""
    step = 1e-5 * start.total
    moved, miss = springs(start, [0.0, step]), reverse_balance(start).balance
    reverse, forward = moved.reverse_forces, float(moved.energy[1])
    if reverse is None or moved.near_rest is None or moved.near_rest[1] > 1e-3 * step:
        return  # too far for the first term
    size = step * (1 + abs(miss)) + math.sqrt(abs(forward) * start.total)
    tally.close("printed forces against l times the miss", float(reverse[:, 1].sum()), step * miss, size, 1e-3)


def _direct_kl(p: Array, q: Array) -> float:
    return math.fsum(p * np.log(p / q) - p + q)


RESULTS = {"R12": derived("R12", "holds with constants", _certified, _sampled)}
