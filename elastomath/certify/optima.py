"""The finite laws certified: R6, R16, R18 for an exponential family by interval Newton, R17 and R18 for mixtures in balls.

Masses and volumes are exact rationals; what needs logarithms is a ball, whose precision rises until every sign is proved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from ..checks import exact, whole
from ..checks import rows as as_list
from ..errors import InputError
from .balls import (
    FIRST_PRECISION,
    LAST_PRECISION,
    Ball,
    Enclosure,
    as_rational,
    ball_of,
    bounded,
    enclosure,
    exact_input,
    working_precision,
)

Number = int | float | Fraction
NEWTON_STEPS = 60
"""Steps of Newton's method from one optimum to the next, halved where they are long."""


@dataclass(frozen=True, slots=True)
class CertifiedOptima:
    """Joint optima of one class at J + 1 perturbations, with what R6 and R18 say between neighbours, proved for this instance.

    rates     H_i at each perturbation, [n][J+1], nats
    residual  sum_{i != t} w_i DeltaH_i from one perturbation to the next, [J]
    lower     residual - l_j (H_t(l_j) - H_t(l_{j+1})), [J]: >= 0
    upper     l_{j+1} (H_t(l_j) - H_t(l_{j+1})) - residual, [J]: >= 0
    work      the two Stieltjes sums less k DeltaH_p + DeltaH_a over the whole path: (<= 0, >= 0)   (R16)
    constant  -w_a DeltaH_a/(w_p DeltaH_p) from the first perturbation to each later one, [J]               (R18)
              empty where the perturbation has the mean features of the other data: nothing moves, all else is exactly 0
    radius    the widest box around theta in which the only optimum was proved to lie
    """

    rates: tuple[tuple[Enclosure, ...], ...]
    residual: tuple[Enclosure, ...]
    lower: tuple[Enclosure, ...]
    upper: tuple[Enclosure, ...]
    work: tuple[Enclosure, Enclosure]
    constant: tuple[Enclosure, ...]
    radius: float


def certify_tilt(
    features: Sequence[Sequence[int | Fraction]],
    base: Sequence[Number],
    components: Sequence[Sequence[Number]],
    volumes: Sequence[Number],
    perturbations: Sequence[Number],
    bits: int = FIRST_PRECISION,
) -> CertifiedOptima:
    """Joint optima of ``q_theta(x) = base(x) exp(theta . phi(x)) / Z`` with proved digits (R6, R16, R18).

    features: M rows of d numbers phi(x). base: M masses > 0. components: n rows of M masses. volumes: n - 1, > 0.
    perturbations: l_0 < l_1 < ..., >= 0. The objective is convex; its minimiser is the zero of the gradient, the mean of
    phi under q_theta less that of the joint data. The interval Newton operator maps a box into itself: exactly one zero
    lies in it, and H_i is enclosed over the box.
    Raises InputError where the precision does not prove a zero (data on the edge of the hull of phi has none).

    >>> seen = certify_tilt([[0], [1], [2]], [1, 1, 1], [[2, 1, 1], [3, 1, 0], [1, 1, 2]], [10, 1], [0, Fraction(1, 2)])
    >>> [value.sign for value in (*seen.lower, *seen.upper)], seen.radius < 1e-30
    ([1, 1], True)
    """
    where = "certify_tilt"
    steps = [exact(step, "a perturbation", where, least=0) for step in as_list(perturbations, "perturbations", where)]
    rows, weights = exact_input(components, [*as_list(volumes, "volumes", where), steps[-1]])
    masses = [exact(mass, "a base mass", where, above=0) for mass in as_list(base, "base masses", where)]
    columns = [
        [exact(value, "a feature", where) for value in as_list(row, "features", where)]
        for row in as_list(features, "features", where)
    ]
    bits = whole(bits, "bits", where, least=32)
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise InputError("perturbations do not rise", where=where, mend="sort them")
    if {len(masses), len(columns)} != {len(rows[0])} or len({len(column) for column in columns}) > 1:
        raise InputError(
            f"{len(columns)} rows of features, {len(masses)} base masses and {len(rows[0])} leaves",
            where=where,
            mend="give one of each for every leaf, with as many features each",
        )
    with working_precision(bits):
        try:
            return bounded(_tilt_at(columns, masses, rows, weights[:-1], steps), where, bits)
        except ZeroDivisionError as error:
            raise InputError(
                "the covariance of the features is singular", where=where, mend="leave out features that others give"
            ) from error


@dataclass(frozen=True, slots=True)
class _Tilt:
    """``q_theta(x) = base(x) exp(theta . phi(x)) / Z`` in balls; phi[x] is the row of d features of a leaf."""

    phi: list[list[Ball]]
    logs: list[Ball]

    @property
    def size(self) -> int:
        """d, the number of features."""
        return len(self.phi[0])

    def normalised(self, theta: list[Ball]) -> tuple[list[Ball], Ball]:
        """q_theta on the leaves, and ln Z."""
        from flint import arb

        scores = [log + _dot(theta, row) for log, row in zip(self.logs, self.phi, strict=True)]
        shift = scores[0].mid()  # of about the size of the scores, so that no exponential overflows
        terms = [(score - shift).exp() for score in scores]
        total = sum(terms, arb(0))
        return [term / total for term in terms], shift + total.log()

    def gradient(self, theta: list[Ball], target: list[Ball]) -> tuple[Ball, Ball]:
        """The mean of phi under q_theta less the target, shape (d, 1), and its derivative, the covariance of phi, (d, d)."""
        from flint import arb_mat

        q, _ = self.normalised(theta)
        features = range(self.size)
        mean = [_dot(q, [row[d] for row in self.phi]) for d in features]
        centred = [[row[d] - mean[d] for d in features] for row in self.phi]
        covariance = [
            [
                _dot([p * row[c] for p, row in zip(q, centred, strict=True)], [row[d] for row in centred])
                for d in features
            ]
            for c in features
        ]
        return arb_mat([[m - t] for m, t in zip(mean, target, strict=True)]), arb_mat(covariance)

    def newton(self, theta: list[Ball], target: list[Ball]) -> list[Ball]:
        """Midpoints close to the zero of the gradient: Newton's method from theta, a long step cut to length 1."""
        from flint import arb

        theta = [t.mid() for t in theta]
        for _ in range(NEWTON_STEPS):
            value, covariance = self.gradient(theta, target)
            move = [entry.mid() for entry in covariance.solve(value).entries()]
            length = max(abs(float(m)) for m in move)
            theta = [(t - m * (1 if length <= 1 else arb(1 / length))).mid() for t, m in zip(theta, move, strict=True)]
            if length < 1e-30:
                break
        return theta

    def only_zero(self, theta: list[Ball], target: list[Ball]) -> list[Ball]:
        """A box around theta that holds exactly one zero of the gradient.

        The interval Newton operator ``theta - covariance(box)^-1 gradient(theta)`` maps a box into its own interior:
        then there is one zero in it, and it lies in the image.
        """
        from flint import arb

        value, _ = self.gradient(theta, target)
        for power in (100, 80, 60, 40, 20):
            box = [t + arb(0, arb(2) ** -power) for t in theta]
            try:
                move = self.gradient(box, target)[1].solve(value).entries()
            except ZeroDivisionError:
                continue
            image = [t - m for t, m in zip(theta, move, strict=True)]
            if all(b.contains_interior(i) for b, i in zip(box, image, strict=True)):
                return image
        raise InputError(
            "no optimum was proved", where="certify_tilt", mend="more bits, or data inside the hull of the features"
        )


def _dot(weights: Sequence[Ball], values: Sequence[Ball]) -> Ball:
    """``sum_x weights(x) values(x)`` as a ball. Call it inside `working_precision`."""
    from flint import arb

    return sum((w * v for w, v in zip(weights, values, strict=True)), arb(0))


def _tilt_at(
    features: Sequence[Sequence[int | Fraction]],
    base: list[Fraction],
    rows: list[list[Fraction]],
    weights: list[Fraction],
    steps: list[Fraction],
) -> CertifiedOptima:
    phi = [[ball_of(Fraction(value)) for value in row] for row in features]
    tilt = _Tilt(phi, [ball_of(mass).log() for mass in base])
    # what the data say: the mean of phi, exact before it is rounded, and of ln base, for each dataset
    columns = [[Fraction(value) for value in column] for column in zip(*features, strict=True)]
    exact_means = [
        [sum((p * f for p, f in zip(masses, column, strict=True)), Fraction(0)) for column in columns]
        for masses in rows
    ]
    means = [[ball_of(mean) for mean in row] for row in exact_means]
    still = all(
        sum(w * (m - row[-1]) for w, m in zip(weights, row, strict=False)) == 0
        for row in zip(*exact_means, strict=True)
    )
    constants = [_dot([ball_of(p) for p in masses], tilt.logs) for masses in rows]
    # one optimum after the other, each from the last
    codes: list[list[Ball]] = []
    theta, radius = [ball_of(Fraction(0))] * tilt.size, 0.0
    for step in steps:
        if still and codes:
            codes.append(codes[0])
            continue
        total = sum(weights) + step
        shares = [ball_of(volume / total) for volume in (*weights, step)]
        target = [_dot(shares, column) for column in zip(*means, strict=True)]
        theta = tilt.newton(theta, target)
        box = tilt.only_zero(theta, target)
        radius = max(radius, *(float(t.rad()) for t in box))
        # H_i = ln Z - E_i[ln base] - theta . E_i[phi], over the whole box
        _, log_normaliser = tilt.normalised(box)
        codes.append([log_normaliser - own - _dot(box, mean) for own, mean in zip(constants, means, strict=True)])
    return _readings(codes, weights, steps, radius)


def _shown(values: Iterable[Ball]) -> tuple[Enclosure, ...]:
    return tuple(enclosure(value, 0.0, 15) for value in values)


def _readings(
    codes: list[list[Ball]], weights: list[Fraction], steps: list[Fraction], radius: float
) -> CertifiedOptima:
    from flint import arb

    pairs = range(len(steps) - 1)
    still = len(steps) > 1 and codes[1] is codes[0]
    moves = [[arb(0) if still else b - a for a, b in zip(codes[j], codes[j + 1], strict=True)] for j in pairs]
    residual = [sum((ball_of(w) * h for w, h in zip(weights, row[:-1], strict=True)), arb(0)) for row in moves]
    falls = [-row[-1] for row in moves]
    lower = [residual[j] - ball_of(steps[j]) * falls[j] for j in pairs]
    upper = [ball_of(steps[j + 1]) * falls[j] - residual[j] for j in pairs]
    under, over = -sum(lower, arb(0)), sum(upper, arb(0))
    constant = [
        -ball_of(weights[1]) * (codes[j][1] - codes[0][1]) / (ball_of(weights[0]) * (codes[j][0] - codes[0][0]))
        for j in range(1, len(steps))
        if len(weights) > 1 and not still
    ]
    return CertifiedOptima(
        tuple(_shown(row[i] for row in codes) for i in range(len(weights) + 1)),
        _shown(residual),
        _shown(lower),
        _shown(upper),
        (enclosure(under, 0.0, 15), enclosure(over, 0.0, 15)),
        _shown(constant),
        radius,
    )


@dataclass(frozen=True, slots=True)
class CertifiedTheorem:
    """R18 for one mixture with P_p = pi_a P_a + pi_t P_t, from l = 0 to L, every sign proved.

    constant      -DeltaH_a/(k DeltaH_p)
    low, high     its best bounds for mixtures, at c_- and c_+; -inf and inf where DeltaH_p may be 0 between them
    general       (1 + L/(k pi_t))/(1 - L pi_a/pi_t), the bound of any class; None beyond the threshold
    above, below  constant - low and high - constant
    signs         the signs of DeltaH_p and DeltaH_a
    precision     bits at which they were proved;  proved: whether they were
    """

    constant: Enclosure
    low: Enclosure
    high: Enclosure
    general: Enclosure | None
    above: Enclosure
    below: Enclosure
    signs: tuple[int | None, int | None]
    precision: int
    proved: bool


def certify_theorem(
    align: Sequence[Number],
    perturb: Sequence[Number],
    pretrain: Number,
    perturbation: Number,
    parts: tuple[Number, Number] = (Fraction(1, 2), Fraction(1, 2)),
    last_precision: int = LAST_PRECISION,
) -> CertifiedTheorem:
    """R18 for mixtures with proved signs: ``DeltaH_p < 0 < DeltaH_a`` and the best bounds of ``-DeltaH_a/(k DeltaH_p)``.

    align, perturb: M masses or counts, exact (a float is the binary fraction that it is). pretrain: k > 0, perturbation:
    L > 0, in units of |D_a|. parts: (pi_a, pi_t), both > 0, adding up to 1. Raises InputError for what cannot be used.

    >>> seen = certify_theorem([4, 1, 1], [1, 1, 4], 10, Fraction(1, 2))
    >>> seen.signs, seen.above.sign, seen.below.sign, seen.general.digits
    ((-1, 1), 1, 1, '2.2000000000000000')
    """
    where = "certify_theorem"
    k, step = exact(pretrain, "k", where, above=0), exact(perturbation, "L", where, above=0)
    shares = [exact(share, "a part", where, above=0) for share in as_list(parts, "parts", where)]
    last_precision = whole(last_precision, "last_precision", where, least=32)
    if len(shares) != 2 or sum(shares) != 1:
        raise InputError(f"parts {parts}", where=where, mend="give two that add up to 1")
    (a, t), _ = exact_input([align, perturb], [1, 1])
    if a == t:
        raise InputError("P_a = P_t, so that nothing moves", where=where, mend="give two datasets that differ")
    bits = FIRST_PRECISION
    while True:
        with working_precision(bits):
            readings = _theorem_at(a, t, k, step, shares, bits)
        if readings.proved or 2 * bits > last_precision:
            return bounded(readings, where, bits)
        bits *= 2


def _theorem_at(
    a: list[Fraction], t: list[Fraction], k: Fraction, step: Fraction, shares: list[Fraction], bits: int
) -> CertifiedTheorem:
    from flint import arb

    alpha, beta = k * shares[0] + 1, k * shares[1]
    moves = []
    for x, y in zip(a, t, strict=True):
        start = alpha * x + beta * y
        moves.append(ball_of((start + step * y) / start * (k + 1) / (k + 1 + step)).log() if start else arb(0))
    rise = -sum((ball_of(x) * move for x, move in zip(a, moves, strict=True)), arb(0))
    fall = sum((ball_of(y) * move for y, move in zip(t, moves, strict=True)), arb(0))
    down = ball_of(shares[1]) * fall - ball_of(shares[0]) * rise  # -DeltaH_p
    constant = rise / (ball_of(k) * down)
    ends = [residual_ball(k + 1, step, ratio) for ratio in ((k + 1) / beta, Fraction(0))]
    threshold = shares[1] / shares[0]
    low, high = (theta_ball(k, shares, moved) for moved in ends)
    if not (ends[1] < ball_of(threshold) or ends[0] > ball_of(threshold)):
        low = high = None
    general = theta_ball(k, shares, ball_of(step)) if step < threshold else None
    gaps = (None, None) if low is None else (constant - low, high - constant)
    above, below = (enclosure(gap, math.inf, 15) for gap in gaps)
    signs = enclosure(-down, 0.0, 15).sign, enclosure(rise, 0.0, 15).sign
    return CertifiedTheorem(
        enclosure(constant, 0.0, 15),
        enclosure(low, -math.inf, 15),
        enclosure(high, math.inf, 15),
        None if general is None else enclosure(general, 0.0, 15),
        above,
        below,
        signs,
        bits,
        None not in (*signs, above.sign, below.sign),
    )


def theta_ball(k: Fraction, shares: Sequence[Fraction], moved: Ball) -> Ball:
    """``(beta + c)/(beta - k pi_a c)``, beta = k pi_t, for a ball c: R18's constant. Call it inside `working_precision`."""
    beta = ball_of(k * shares[1])
    return (beta + moved) / (beta - ball_of(k * shares[0]) * moved)


def residual_ball(base_volume: Fraction, step: Fraction, ratio: Fraction) -> Ball:
    """``c(m) = N_0 u (v - ln(1+v))/((u+v) ln(1+v) - u v)``, u = L/N_L, v = u (m - 1), m != 1: the constants of R18's mixtures."""
    u = step / (base_volume + step)
    v = u * (ratio - 1)
    log, first, second = ball_of(1 + v).log(), ball_of(u), ball_of(v)
    return ball_of(base_volume) * first * (second - log) / ((first + second) * log - first * second)


@dataclass(frozen=True, slots=True)
class CertifiedRises:
    """R17 for one mixture of n datasets, from l = 0 to its last volume L; tuples over the datasets but the perturbation.

    rise         DeltaH_i
    low, high    ln(N_L/(N_0 + L O_0)) and ln((N_L - L O_L)/N_0)
    above, below rise - low and high - rise, >= 0 (exactly 0 where P_t/q is constant on D_i)
    room         ln(1 + L/N_0) - rise
    """

    rise: tuple[Enclosure, ...]
    low: tuple[Enclosure, ...]
    high: tuple[Enclosure, ...]
    above: tuple[Enclosure, ...]
    below: tuple[Enclosure, ...]
    room: tuple[Enclosure, ...]


def certify_rises(
    components: Sequence[Sequence[Number]], volumes: Sequence[Number], bits: int = FIRST_PRECISION
) -> CertifiedRises:
    """R17 in balls: each dataset's rise between its two sharp bounds, below the ceiling. Exact masses and volumes, L > 0.

    >>> seen = certify_rises([[2, 1, 1], [0, 1, 1], [1, 0, 0]], [10, 1, Fraction(1, 2)])
    >>> seen.rise[1].digits == seen.high[1].digits, seen.above[0].sign
    (True, 1)
    """
    from flint import arb

    rows, weights = exact_input(components, volumes)
    bits = whole(bits, "bits", "certify_rises", least=32)
    step, base = weights[-1], sum(weights[:-1], Fraction(0))
    with working_precision(bits):
        out: list[list[Ball]] = [[] for _ in range(6)]
        for row in rows[:-1]:
            rise, before, after = arb(0), Fraction(0), Fraction(0)
            for masses, mass in zip(zip(*rows, strict=True), row, strict=True):
                if not mass:
                    continue
                start = sum((w * p for w, p in zip(weights[:-1], masses[:-1], strict=True)), Fraction(0))
                before += mass * masses[-1] * base / start
                after += mass * masses[-1] * (base + step) / (start + step * masses[-1])
                ratio = start * (base + step) / (base * (start + step * masses[-1]))
                rise += ball_of(mass) * ball_of(ratio).log()
            low = ball_of((base + step) / (base + step * before)).log()
            high = ball_of((base + step - step * after) / base).log()
            ceiling = ball_of(1 + step / base).log()
            for values, value in zip(out, (rise, low, high, rise - low, high - rise, ceiling - rise), strict=True):
                values.append(value)
        return CertifiedRises(*(_shown(values) for values in out))


def two_models(
    components: Sequence[Sequence[Number]], wanted: Sequence[Fraction]
) -> tuple[tuple[Fraction, ...], tuple[Enclosure, ...]]:
    """Two models that change the code length of dataset i by exactly ``wanted[i]`` nats: (ln(q_0/q_1), q_0) on the leaves.

    components: n independent rows of M masses, exact. wanted: n numbers, of both signs. f solves P_i . f = wanted_i
    (least norm, in fractions); q_0 mixes uniform masses with one leaf so that q_1 = q_0 exp(-f) sums to 1 (R18).
    Raises InputError where the rows are dependent or f has one sign.

    >>> f, q_0 = two_models([[1, 0], [0, 1]], [Fraction(1), Fraction(-1)])
    >>> f, q_0[0].digits
    ((Fraction(1, 1), Fraction(-1, 1)), '0.73105857863000488')
    """
    from flint import fmpq_mat

    rows, _ = exact_input(components, [1] * len(as_list(components, "datasets", "two_models")))
    wanted = [exact(value, "a wanted change", "two_models") for value in as_list(wanted, "changes", "two_models")]
    if len(wanted) != len(rows):
        raise InputError(
            f"{len(wanted)} changes for {len(rows)} datasets", where="two_models", mend="want one for each dataset"
        )
    matrix = fmpq_mat([as_rational(row) for row in rows])
    try:
        dual = (matrix * matrix.transpose()).solve(fmpq_mat([[value] for value in as_rational(wanted)]))
    except ZeroDivisionError as error:
        raise InputError(
            "the datasets are not independent", where="two_models", mend="R18 may hold for them"
        ) from error
    f = [Fraction(int(value.p), int(value.q)) for value in (matrix.transpose() * dual).entries()]
    if not min(f) < 0 < max(f):
        raise InputError("no two models differ by this", where="two_models", mend="want changes of both signs")
    with working_precision(FIRST_PRECISION):
        factors = [(-ball_of(value)).exp() for value in f]
        mean = sum(factors[1:], factors[0]) / len(f)
        leaf = f.index(max(f) if mean > 1 else min(f))
        share = (mean - 1) / (mean - factors[leaf])
        start = [(1 - share) / len(f) + (share if index == leaf else 0) for index in range(len(f))]
        return tuple(f), tuple(enclosure(value, 0.0, 15) for value in start)
