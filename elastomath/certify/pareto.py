"""The overlaps of Pareto masses with proved digits (R8, R9c, R20): exact rational alpha and volumes in, enclosures out.

The integrals over (0, inf) are trapezoid sums in ln s in ball arithmetic, with every error enclosed (`pareto_mean`): the
two cut-off ends, and the aliasing, whose bound (`elastomath.pareto.overlaps.aliasing_bound`) holds for the product of any Laplace
transforms. So only real arguments of E_nu are needed, and the precision rises until the digits are proved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..checks import exact, whole
from ..checks import rows as as_list
from ..errors import InputError
from .balls import (
    FIRST_PRECISION,
    LAST_PRECISION,
    Ball,
    Enclosure,
    accurate,
    ball_of,
    bounded,
    enclosure,
    rational,
    working_precision,
)

Number = int | float | Fraction

LARGEST_INDEX = 10**12
"""The largest tail index of `certify_pareto`: beyond it Arb's exponential integral has no digits left at 128 bits."""


def exact_independent_overlap(alpha: Number) -> Fraction:
    """R9(c) in exact fractions: ``E[Y] E[1/Y] = alpha^2/(alpha^2 - 1)`` (a float alpha is the binary fraction that it is).

    >>> exact_independent_overlap(Fraction(3, 2)), exact_independent_overlap(4)
    (Fraction(9, 5), Fraction(16, 15))
    """
    index = _index(alpha)
    return index**2 / (index**2 - 1)


def certify_two_parts(alpha: Number, digits: int = 15) -> tuple[Enclosure, Enclosure]:
    """R20: ``A_2 = [2 alpha (alpha-1)/(2 alpha-1)] [psi((alpha+1)/2) - psi(alpha/2)]`` and ``1 - A_2``, by digamma balls.

    >>> certify_two_parts(2, 20)[0].digits
    '0.8182741851734791748874'
    """
    index, bits = _index(alpha), FIRST_PRECISION
    digits = whole(digits, "digits", "certify_two_parts", least=1)
    while True:
        with working_precision(bits):
            ball = two_part_ball(ball_of(index))
            proved = accurate(ball, digits) and accurate(1 - ball, digits)
            if proved or 2 * bits > LAST_PRECISION:
                return enclosure(ball, math.inf, digits), enclosure(1 - ball, math.inf, digits)
        bits *= 2


def two_part_ball(alpha: Ball) -> Ball:
    """A_2 by digamma functions at the precision of the moment; call it inside `working_precision`."""
    factor = 2 * alpha * (alpha - 1) / (2 * alpha - 1)
    return factor * (((alpha + 1) / 2).digamma() - (alpha / 2).digamma())


def two_mass_ball(alpha: Ball, first: Ball, second: Ball) -> Ball:
    """``E[X Z/(aX + bZ)]`` by two hypergeometric functions (`elastomath.pareto.law.two_mass_mean`), a and b > 0."""
    from flint import arb

    def half(a: Ball, b: Ball) -> Ball:
        return (-(a / b)).hypgeom_2f1(arb(1), alpha, alpha + 1) / b

    return alpha / (2 * alpha - 1) * (half(first, second) + half(second, first))


def pareto_mean(alpha: Fraction, weights: Sequence[Fraction], orders: Sequence[int], bits: int) -> Ball:
    """``E[prod_j Y_j^{m_j} / S]``, S = sum_j w_j Y_j, as a ball about ``bits`` wide, for i.i.d. Pareto masses.

    The sum of the orders m_j is 1 or 2, w_j >= 0, and w_j > 0 where m_j = 2. It equals ``int_0^inf f(s) ds`` with
    ``f(s) = prod_j alpha E_{alpha+1-m_j}(w_j s)``. With W = sum w, s_j = e^{jh}/W and I_h = h sum_j s_j f(s_j):

    - all j: ``|I_h - I| <= kappa I``, kappa = 2/(cos d (e^{2 pi d/h} - 1)) for any d < pi/2 (`aliasing_bound`), so that
      I lies between I_h/(1 + kappa) and I_h/(1 - kappa);
    - j > J: each factor is at most ``E[Y^m] e^{-ws}``, since Y >= 1, so f <= mu^2 e^{-Ws}; with m = 2, ``alpha E_{alpha-1}(z)
      <= alpha e^-z/z <= alpha e^-z`` for z = ws >= 1 (DLMF 8.19.21), so f <= alpha mu e^{-Ws}. As s e^{-Ws} falls for
      Ws > 1, the sum is at most the integral, e^{-W s_J}/W times that constant;
    - j < J': f falls, so ``h sum s_j f(s_j) <= h/(1 - e^{-h}) int_0^s f`` with s = s_{J'-1}; and ``int_0^s f`` is at most
      ``s mu^2`` for orders up to 1, and ``(mu - |phi'(ws)|)/w`` for m = 2, where phi'' alone may be infinite at 0.

    Call it inside `working_precision`, at some 30 bits more than ``bits``.
    """
    from flint import arb, fmpq

    index, mean = ball_of(alpha), ball_of(alpha) / (ball_of(alpha) - 1)
    scales, total = [rational(w) for w in weights], ball_of(sum(weights, start=Fraction(0)))
    log_mean = math.log(float(alpha / (alpha - 1)))
    need = bits * math.log(2) + 10 + 2 * log_mean
    double = next((j for j, m in enumerate(orders) if m == 2), None)
    step = fmpq(1, math.ceil((need + 4) / math.pi**2))
    room = need + math.log(need)
    if double is not None:  # w_t s has to reach 1 at the right end, and s^(alpha-1) to vanish at the left one
        lag = math.log(float(sum(weights) / weights[double]))
        high = math.log(room) + max(0.0, lag)
        low = -room / min(1.0, float(alpha) - 1.0)
    else:
        high, low = math.log(room), -room
    first, last = math.floor(low / float(step)), math.ceil(high / float(step))
    tables = list(zip(scales, orders, strict=True))
    distinct = {pair: tables.count(pair) for pair in tables}
    h, acc = arb(step), arb(0)
    for j in range(first, last + 1):
        s = (h * j).exp() / total
        term = s
        for (w, order), times in distinct.items():
            term *= _transform(index, w, order, s) ** times
        acc += term
    acc *= h
    left, right = (h * (first - 1)).exp() / total, (h * last).exp() / total
    if double is None:
        below = left * mean**2
        above = mean**2 * (-total * right).exp() / total
    else:
        below = (mean - _transform(index, scales[double], 1, left)) / scales[double]
        above = index * mean * (-total * right).exp() / total
    acc += arb(0).union(h / (1 - (-h).exp()) * below) + arb(0).union(above)
    gap = h / (2 * arb.pi())
    kappa = 2 / (gap.sin() * ((2 * arb.pi() * (arb.pi() / 2 - gap) / h).exp() - 1))
    return acc / (1 + arb(0).union(kappa).union(-kappa))


def _transform(alpha: Ball, weight: Ball, order: int, s: Ball) -> Ball:
    """``E[Y^m e^{-wsY}] = alpha E_{alpha+1-m}(ws)``; the moment at w = 0."""
    from flint import ctx

    if weight == 0:
        return alpha / (alpha - order)
    nu, at = alpha + 1 - order, s * weight
    return alpha * (_near_zero(nu, at) if at < 1 and nu > 2 * ctx.prec else at.expint(nu))


def _near_zero(nu: Ball, s: Ball) -> Ball:
    """``E_nu(s) = sum_k (-s)^k / (k! (nu - 1 - k))`` for s < 1 and large nu, where Arb's is no number.

    As the Taylor polynomials of e^{-su} do, partial sums enclose it in turn while k < nu - 1: the last term bounds the rest.
    """
    from flint import arb, ctx

    total, power, k = arb(0), arb(1), 0
    while True:
        term = power / (nu - 1 - k)
        if abs(power) < arb(2) ** -ctx.prec:
            return total + arb(0).union(term)
        total, power, k = total + term, -power * s / (k + 1), k + 1


@dataclass(frozen=True, slots=True)
class CertifiedPareto:
    """C, A, T of Thm 4.2 for i.i.d. Pareto parts and many leaves (R8 in expectation), every one enclosed.

    pretrain, align, perturb   C, A, T
    parts                      O_jt for every part, a and t the last two
    gap, excess                1 - A and T - 1, with digits of their own
    epsilon, theta_constant    l (T-1)/(1-A) and 1/(1 - epsilon); None where they do not exist
    responses                  dH_p, dH_a, dH_t per unit of l in nats; at k -> inf k^2 dH_p, k dH_a, k dH_t
    precision, proved          the bits at the end, and whether every digit asked for was proved
    """

    pretrain: Enclosure
    align: Enclosure
    perturb: Enclosure
    parts: tuple[Enclosure, ...]
    gap: Enclosure
    excess: Enclosure
    epsilon: Enclosure | None
    theta_constant: Enclosure | None
    responses: tuple[Enclosure, Enclosure, Enclosure]
    precision: int
    proved: bool


def certify_pareto(
    alpha: Number,
    pretrain: Number | None = None,
    perturb: Number = 0,
    shares: Sequence[Number] = (1, 1, 1),
    digits: int = 15,
    last_precision: int = LAST_PRECISION,
) -> CertifiedPareto:
    """C, A, T for volumes (k, 1, l) and a union with shares pi_j, a and t the last two, as proved enclosures (R8, R20).

    1 < alpha <= `LARGEST_INDEX`, k > 0 (None: the limit k -> inf), l >= 0, shares >= 0, exact; A_n of R20: ``shares = (1,) * n``.
    T comes from the balance k C + A + l T = N, which is exact; P_t needs a weight, k pi_t + l > 0.
    Raises InputError for numbers that cannot be used. ``proved`` is False where the digits were not reached.

    >>> [certify_pareto(alpha, digits=8).gap.digits for alpha in (Fraction(6, 5), Fraction(3, 2), 2, Fraction(5, 2), 4)]
    ['0.5836758761', '0.3175043871', '0.1516483652', '0.08747636613', '0.02880944731']
    >>> certify_pareto(2, 10, Fraction(1, 4), digits=8).theta_constant.digits
    '2.037186105'
    """
    index = exact(alpha, "alpha", "certify_pareto", above=1, most=LARGEST_INDEX)
    volume = None if pretrain is None else _exact(pretrain, "k")
    step, parts = (
        _exact(perturb, "l"),
        [_exact(share, "a share") for share in as_list(shares, "shares", "certify_pareto")],
    )
    digits = whole(digits, "digits", "certify_pareto", least=1)
    last_precision = whole(last_precision, "last_precision", "certify_pareto", least=32)
    if len(parts) < 2 or sum(parts) == 0:
        raise InputError(f"shares {parts}", where="certify_pareto", mend="two or more, not all 0")
    if volume == 0:
        raise InputError("k is 0", where="certify_pareto", mend="k has to be > 0, or None for the limit")
    pi = [share / sum(parts) for share in parts]
    weights = list(pi) if volume is None else [volume * share for share in pi]
    if volume is not None:
        weights[-2] += 1
        weights[-1] += step
    if weights[-1] == 0:
        raise InputError("P_t has no weight", where="certify_pareto", mend="give it a share, or a volume l > 0")
    aim = math.ceil(digits * math.log2(10)) + 12
    bits = min(max(FIRST_PRECISION, aim + 40), last_precision)
    while True:
        with working_precision(bits):
            law = _pareto_at(index, weights, pi, volume, step, max(8, min(aim, bits - 40)), bits, digits)
        if law.proved or 2 * bits > last_precision:
            return bounded(law, "certify_pareto", bits)
        aim, bits = 2 * aim, 2 * bits


def _pareto_at(
    alpha: Fraction,
    weights: list[Fraction],
    pi: list[Fraction],
    volume: Fraction | None,
    step: Fraction,
    aim: int,
    bits: int,
    digits: int,
) -> CertifiedPareto:
    """Everything at one precision; called inside `working_precision`."""
    parts, total = len(weights), sum(weights, start=Fraction(0))
    scale = ball_of(total) * (ball_of(alpha) - 1) / ball_of(alpha)
    values: dict[Fraction, Ball] = {}
    overlaps: list[Ball] = []
    for j in range(parts - 1):  # equal weights are integrated once; it is the weight of part j alone that matters
        if weights[j] not in values:
            orders = [1 if m in (j, parts - 1) else 0 for m in range(parts)]
            values[weights[j]] = scale * pareto_mean(alpha, weights, orders, aim)
        overlaps.append(values[weights[j]])
    others = sum((ball_of(w) * o for w, o in zip(weights[:-1], overlaps, strict=True)), start=ball_of(Fraction(0)))
    overlaps.append((ball_of(total) - others) / ball_of(weights[-1]))
    c = sum((ball_of(share) * o for share, o in zip(pi, overlaps, strict=True)), start=ball_of(Fraction(0)))
    a, t = overlaps[-2], overlaps[-1]
    joint = ball_of(Fraction(1) if volume is None else volume + 1 + step)
    gap, excess = 1 - a, t - 1
    # 1 - A - l (T-1) = -k (1 - C), by the balance of the w_j (1 - O_jt): exactly 0 where q is P_p itself
    factors = [Fraction(j == parts - 2) - step * weights[j] / weights[-1] for j in range(parts - 1)]
    rest = sum((ball_of(f) * (1 - o) for f, o in zip(factors, overlaps, strict=False)), start=ball_of(Fraction(0)))
    epsilon = None if gap.contains(0) else ball_of(step) * excess / gap
    constant = None if epsilon is None or rest.contains(0) else gap / rest
    responses = [-rest / joint / ball_of(Fraction(1) if volume is None else volume), gap / joint, -excess / joint]
    wanted = [a, t, gap, excess, *overlaps, rest]
    proved = all(accurate(value, digits) for value in wanted)

    def show(value: Ball) -> Enclosure:
        return enclosure(value, math.inf, digits)

    return CertifiedPareto(
        pretrain=show(c),
        align=show(a),
        perturb=show(t),
        parts=tuple(show(value) for value in overlaps),
        gap=show(gap),
        excess=show(excess),
        epsilon=None if epsilon is None else show(epsilon),
        theta_constant=None if constant is None else show(constant),
        responses=(show(responses[0]), show(responses[1]), show(responses[2])),
        precision=bits,
        proved=proved,
    )


def _exact(value: Number, what: str) -> Fraction:
    return exact(value, what, "certify_pareto", least=0)


def _index(alpha: Number) -> Fraction:
    return exact(alpha, "alpha", "certify_pareto", above=1)  # so that a mean exists
