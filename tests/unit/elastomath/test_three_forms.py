"""R1-R24: the symbolic step, the library's float and an exact or ball value from the definitions agree."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
import sympy as sp

from elastomath import Mixture
from elastomath.certify.balls import working_precision
from elastomath.certify.logit import aligned_ball
from elastomath.codes.compression import entropy_ceiling
from elastomath.codes.lengths import expected_length, huffman_lengths
from elastomath.derivations import derive
from elastomath.derivations.words import language
from elastomath.laws.ceilings import string_ceiling
from elastomath.laws.finetuning import elastic_limit, gradient_test
from elastomath.laws.finite import mixture_constant
from elastomath.laws.forgetting import Phase, elasticity_constant, phase_weights, return_steps
from elastomath.laws.logit import matched_volumes, return_ratio, rise, undo_exponent, undo_slope, undo_volume
from elastomath.laws.optima import branch_response
from elastomath.laws.rebound import Scores, faster_below, return_volume, score_slope
from elastomath.laws.response import response
from elastomath.laws.theorem import theta_bounds
from elastomath.laws.union import union_constant, union_epsilon
from elastomath.laws.volumes import mixture_work
from elastomath.mixtures.pool import reverse_balance
from elastomath.pareto.law import two_part_overlap
from elastomath.verification.instances import exact_overlaps, exact_rows


def step(id, opening):
    """The one step of a derivation whose statement opens so."""
    (found,) = (step for step in derive(id) if step.statement.startswith(opening))
    return found


def value(expression, numbers):
    """An expression of the derivation at exact numbers, given by the names of its symbols."""
    free = {symbol: numbers[str(symbol)] for symbol in expression.free_symbols}
    exact = expression.subs({symbol: sp.Rational(n.numerator, n.denominator) for symbol, n in free.items()}).doit()
    return Fraction(int(exact.p), int(exact.q))


def number(id, opening, side, **numbers):
    """A side of a step in 40 digits: each symbol at its number, a leaf's symbol at a row of them, over which sums run."""
    found = step(id, opening)
    functions = [(short, long) for short, long in found.where if short.is_Function]
    expression = getattr(found, side)
    for _ in functions:
        expression = expression.subs(functions)
    exact = {name: [sp.sympify(n) for n in row] for name, row in numbers.items() if isinstance(row, (list, tuple))}
    leaves = max(map(len, exact.values()), default=0)

    def at(summand, leaf=0):
        names = {symbol: str(symbol) for symbol in summand.free_symbols}
        return summand.subs({s: exact[n][leaf] if n in exact else sp.sympify(numbers[n]) for s, n in names.items()})

    expression = expression.replace(language().Total, lambda summand: sum(at(summand, x) for x in range(leaves)))
    return sp.N(at(expression), 40)


def rational(value):
    return sp.Rational(value.numerator, value.denominator)


def ball(build):
    """The midpoint of a ball of 40 digits, as a number of sympy."""
    with working_precision(192):
        value = build()
        assert float(value.rad()) < 1e-40
        return sp.Float(value.mid().str(45, radius=False), 40)


ALIGN, PERTURB, BASE = exact_rows([5, 1, 2, 2], [1, 4, 1, 2], [2, 1, 1, 4])
UNION = [(a + 2 * t) / 3 for a, t in zip(ALIGN, PERTURB, strict=True)]
K, STEP = Fraction(10), Fraction(1, 4)


def joint(rows, volumes):
    """The library's mixture of these rows, its masses and overlaps in fractions, and dH_i/dl leaf by leaf from H = -sum P ln q."""
    total = sum(volumes)
    q = [sum(w * p for w, p in zip(volumes, leaf, strict=True)) / total for leaf in zip(*rows, strict=True)]
    falls = [
        sum(p * (1 / total - t / (total * m)) for p, t, m in zip(row, rows[-1], q, strict=True) if p) for row in rows
    ]
    floats = Mixture.of([[float(p) for p in row] for row in rows], [float(w) for w in volumes])
    return floats, q, exact_overlaps(rows, volumes), falls


def overlaps_of(rows):
    pretrain, align, perturb = (rational(o) for o in joint(rows, [K, 1, STEP])[2])
    return {"C": pretrain, "A": align, "T": perturb, "k": 10, "l": sp.Rational(1, 4)}


def r1():
    floats, _, overlaps, falls = joint([BASE, ALIGN, PERTURB], [K, 1, STEP])
    symbol = number("R1", "Summed over leaves", "rhs", O=rational(overlaps[1]), B=11, l=rational(STEP))
    return symbol, response(floats).derivatives[1], falls[1]


def r2():
    floats, _, _, falls = joint([BASE, ALIGN, PERTURB], [K, 1, STEP])
    symbol = number("R2", "The same in the overlaps", "lhs", **overlaps_of([BASE, ALIGN, PERTURB]))
    return symbol, response(floats).balance, K * falls[0] + falls[1] + STEP * falls[2]


def r3():
    floats, _, _, falls = joint([BASE, ALIGN, PERTURB], [K, 1, STEP])
    symbol = number("R3", "So the constant", "lhs", **overlaps_of([BASE, ALIGN, PERTURB]))
    return symbol, response(floats).theta_constant, -falls[1] / (K * falls[0])


def r4():
    floats, _, _, falls = joint([BASE, ALIGN, PERTURB], [K, 1, STEP])
    symbol = number("R4", "and then k dH_p", "lhs", **overlaps_of([BASE, ALIGN, PERTURB]))
    return symbol, 10 * response(floats).derivatives[0], K * falls[0]


def r5():
    third = flint.arb(3)
    exact = ball(lambda: third * (flint.arb(3) * flint.arb(flint.fmpq(3, 2)).log() - 1))
    return number("R5", "c is sharp at every L", "rhs", B=3, w=sp.Rational(1, 2)), mixture_constant(3.0, 1.5), exact


def r6():
    """In coordinates in which the Hessian is diagonal."""
    align, perturb, hessian = [3, -1, 2], [1, 4, -2], [2, 5, 3]
    symbol = number("R6", "so dH_i/dl = g_i", "rhs", g_a=align, g_t=perturb, G=hessian)
    branch = branch_response([[1.0, 0.0, 0.0], align, perturb], np.diag(hessian).astype(float), [10.0, 1.0, 0.25])
    exact = -sum(Fraction(a * t, g) for a, t, g in zip(align, perturb, hessian, strict=True))
    return symbol, branch.derivatives[1], exact


def r9():
    floats, _, _, falls = joint([UNION, ALIGN, PERTURB], [K, 1, STEP])
    parts = {"pi_a": sp.Rational(1, 3), "pi_t": sp.Rational(2, 3)}
    symbol = number("R9", "[two parts] the constant of Theta", "rhs", k=10, l=sp.Rational(1, 4), **parts)
    return symbol, response(floats).theta_constant, -falls[1] / (K * falls[0])


def r10():
    """Two leaves of four merged: what the overlap A loses."""
    rows = [BASE, ALIGN, PERTURB]
    merged = [[row[0] + row[1], *row[2:]] for row in rows]
    (fine, q, before, _), (coarse, _, after, _) = (joint(r, [K, 1, STEP]) for r in (rows, merged))
    leaves = {
        f"{name}_{x + 1}": rational(row[x]) for name, row in (("a", ALIGN), ("t", PERTURB), ("q", q)) for x in (0, 1)
    }
    lost = response(fine).overlaps[1] - response(coarse).overlaps[1]
    return number("R10", "A loses the product", "rhs", **leaves), lost, before[1] - after[1]


def r11():
    floats, _, overlaps, falls = joint([BASE, ALIGN, PERTURB], [K, 1, STEP])
    epsilon = STEP * (overlaps[2] - 1) / (1 - overlaps[1])
    seen = response(floats).derivatives
    symbol = number("R11", "Only the ratio to dH_p grows", "rhs", k=10, epsilon=rational(epsilon))
    return symbol, -seen[1] / seen[0], -falls[1] / falls[0]


def r12():
    """The leading term of the miss of the reverse balance, leaf by leaf."""
    floats, q, _, _ = joint([BASE, ALIGN, PERTURB], [K, 1, STEP])
    gaps = [[p / m - 1 for p, m in zip(row, q, strict=True)] for row in (BASE, ALIGN, PERTURB)]
    names = {f"e_{name}": list(map(rational, row)) for name, row in zip("pat", gaps, strict=True)}
    symbol = number("R12", "Third order", "rhs", q=list(map(rational, q)), k=10, l=sp.Rational(1, 4), **names)
    squares = [K * p * p + a * a + STEP * t * t for p, a, t in zip(*gaps, strict=True)]
    exact = sum(m * t * s for m, t, s in zip(q, gaps[2], squares, strict=True)) / (2 * (K + 1 + STEP))
    return symbol, reverse_balance(floats).leading, exact


def r14():
    symbol = number("R14", "and at most (1 + 2L/k)", "rhs", k=10, xi=3)
    return symbol, theta_bounds(10.0, 0.25).high, (1 + 2 * STEP / K) / (1 - STEP)


def r15():
    """Eight equal leaves, one of them split: E[L] = H = 3 + 1/8, and Thm 3.4 prints 4."""
    counts = [2] * 7 + [1, 1]
    words = huffman_lengths(counts)
    exact = Fraction(sum(c * int(n) for c, n in zip(counts, words, strict=True)), 16) - 4
    length = expected_length(np.array(counts) / 16, words)
    return number("R15", "1 is sharp below", "lhs", u=sp.Rational(1, 8)), length - entropy_ceiling(counts), exact


def r16():
    """P_t that shares no leaf with the others: the work is N_0 ln(1 + L/N_0)."""
    apart = Mixture.of([[0.25, 0.75, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [10.0, 1.0, 0.0])
    symbol = number("R16", "P_t that shares nothing", "rhs", K_a=1, K_p=10, L=sp.Rational(1, 4), B=11)
    return symbol, mixture_work(apart, [0.25])[0], ball(lambda: 11 * flint.arb(flint.fmpq(45, 44)).log())


def r17():
    symbol = number("R17", "Turned round", "lhs", L=sp.Rational(1, 4), N_0=11)
    return symbol, string_ceiling(11.0, 0.25), ball(lambda: flint.arb(flint.fmpq(45, 44)).log())


def r18():
    parts = {"pi_a": sp.Rational(1, 4), "pi_t": sp.Rational(3, 4)}
    symbol = number("R18", "Unequal parts", "lhs", k=10, l=sp.Rational(1, 4), **parts)
    exact = (1 + STEP / (K * Fraction(3, 4))) / (1 - STEP * Fraction(1, 4) / Fraction(3, 4))
    return symbol, theta_bounds(10.0, 0.25, parts=(0.25, 0.75)).high, exact


def r20():
    """Two equal parts of Pareto masses, alpha = 3/2: the closed form, whose psi is the digamma function."""
    closed = number("R20", "so beta = D", "rhs", alpha=sp.Rational(3, 2))
    (psi,) = {call.func for call in closed.atoms(sp.core.function.AppliedUndef)}
    symbol = sp.N(closed.replace(psi, lambda at: sp.polygamma(0, at)), 40)
    exact = ball(lambda: flint.arb(flint.fmpq(3, 4)) * (flint.arb(1.25).digamma() - flint.arb(0.75).digamma()))
    return symbol, float(two_part_overlap(1.5)), exact


FORMS = [r1, r2, r3, r4, r5, r6, r9, r10, r11, r12, r14, r15, r16, r17, r18, r20]
"""R7, R8, R13, R19 and R21-R24 follow, with more than one number each."""


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__.upper())
def test_symbol_float_and_exact_value(form):
    symbol, floating, exact = form()
    exact = rational(exact) if isinstance(exact, Fraction) else exact
    assert abs(symbol - exact) < 1e-36
    assert float(floating) == pytest.approx(float(exact), rel=1e-12, abs=1e-15)
    assert form is r2 or abs(exact) > 1e-6  # nothing is compared with a zero, but the balance


@pytest.mark.parametrize("other", [[2, 1, 1, 4], [1, 1, 1, 1]])
@pytest.mark.parametrize(("k", "lift"), [(Fraction(10), Fraction(1, 4)), (Fraction(3, 2), Fraction(2))])
def test_the_union_law(other, k, lift):
    """R8 with shares (1/2, 1/3, 1/6): eps and the constant, from overlaps in fractions, from the steps and in floats."""
    align, perturb, rest = exact_rows([5, 1, 2, 2], [1, 4, 1, 2], other)
    share_a, share_t = Fraction(1, 2), Fraction(1, 3)
    pretrain = [share_a * a + share_t * t + Fraction(1, 6) * u for a, t, u in zip(align, perturb, rest, strict=True)]
    overlaps = exact_overlaps([pretrain, align, perturb], [k, Fraction(1), lift])
    overlap_a, overlap_t = overlaps[1], overlaps[2]
    q = [(k * p + a + lift * t) / (k + 1 + lift) for p, a, t in zip(pretrain, align, perturb, strict=True)]
    overlap_u = sum(u * t / m for u, t, m in zip(rest, perturb, q, strict=True))
    spare = Fraction(1, 6) * (1 - overlap_u) / (1 - overlap_a)
    epsilon = lift * (overlap_t - 1) / (1 - overlap_a)
    constant = -(1 - overlap_a) / (k * (1 - overlaps[0]))
    numbers = {"k": k, "l": lift, "pi_a": share_a, "pi_t": share_t, "R": spare}
    assert value(step("R8", "so eps").rhs, numbers) == epsilon
    assert value(step("R8", "and with it the constant").rhs, numbers) == constant
    floats = [float(number) for number in (k, lift, share_a, share_t, spare)]
    assert union_epsilon(*floats) == pytest.approx(float(epsilon), rel=1e-12)
    assert union_constant(*floats) == pytest.approx(float(constant), rel=1e-11)
    assert union_constant(*floats[:4], -floats[4]) != pytest.approx(float(constant), rel=1e-3)  # a sign turned


def test_rebound_in_joint_compression():
    """R13: slope, the condition of faster collapse and the return volume."""
    k, n, m = Fraction(100), Fraction(7), Fraction(3)
    base, high, low = Fraction(2, 5), Fraction(9, 10), Fraction(1, 10)
    at = (k * base + n * high + m * low) / (k + n + m)
    slope = -(at - low) / (k + n + m)
    scores = Scores(float(base), float(high), float(low))
    seen = step("R13", "Its slope")
    names = {str(symbol) for symbol in seen.rhs.free_symbols}
    numbers = {"k": k, "n": n, "m": m, "s_p": base, "s_+": high, "s_-": low}
    assert names <= set(numbers), names
    assert value(seen.rhs, numbers) == slope
    assert score_slope(scores, float(k), float(n), float(m)) == pytest.approx(float(slope), rel=1e-13)
    back = n * (high - base) / (base - low)
    assert value(step("R13", "Volume to return").lhs, numbers) == base
    assert return_volume(scores, float(n)) == pytest.approx(float(back), rel=1e-13)
    turn = m + k * (high + low - 2 * base) / (high - low)
    grown = value(step("R13", "More aligned").rhs, numbers)
    assert (grown > 0) == (n < turn)
    assert faster_below(scores, float(k), float(m)) == pytest.approx(float(turn), rel=1e-12)


def test_forgetting():
    """R19: kappa from the recursion in fractions, and the return volume as a ball."""
    eta, steps_p, steps_a = Fraction(1, 100), 40, 12
    kept = 1 - eta
    share_p = sum(eta * kept ** (steps_p - 1 - j) for j in range(steps_p)) * kept**steps_a
    share_a = sum(eta * kept ** (steps_a - 1 - j) for j in range(steps_a))
    numbers = {"X_p": kept**steps_p, "X_a": kept**steps_a}
    seen = step("R19", "Effective volumes")
    assert value(seen.rhs, numbers) == share_p / share_a
    assert elasticity_constant(steps_p, steps_a, 0.01) == pytest.approx(float(share_p / share_a), rel=1e-12)
    weights, _ = phase_weights([Phase(0, steps_p, 0.01), Phase(1, steps_a, 0.01)])
    assert weights == pytest.approx([float(share_p), float(share_a)], rel=1e-12)
    base, high, low = Fraction(2, 5), Fraction(9, 10), Fraction(1, 10)
    with working_precision(128):
        grown = 1 + (high - base) * (1 - kept**steps_a) / (base - low)
        ball = flint.arb(flint.fmpq(grown.numerator, grown.denominator)).log() / -flint.arb(flint.fmpq(99, 100)).log()
    scores = Scores(float(base), float(high), float(low))
    assert return_steps(scores, steps_a, 0.01) == pytest.approx(float(ball.mid()), rel=1e-12)
    told = step("R19", "Volume to return")
    assert value(told.where[0][1], numbers | {"s_p": base, "s_+": high, "s_-": low}) == 1 / grown


def test_the_first_order_law():
    """R7: antiparallel gradients have one constant for every displacement; the limit is 2 |w_a g_a . u| / (u' F'' u)."""
    g_p, ratio = [Fraction(3), Fraction(-1), Fraction(1, 2)], Fraction(20)
    g_a = [-ratio * g for g in g_p]
    for move in ([Fraction(1), Fraction(2), Fraction(-1)], [Fraction(0), Fraction(1), Fraction(5)]):
        moved_p, moved_a = (sum(g * d for g, d in zip(side, move, strict=True)) for side in (g_p, g_a))
        assert -moved_a / moved_p == ratio
    seen, move = step("R7", "Off stationarity: where g_a = -c g_p"), [Fraction(1), Fraction(2), Fraction(-1)]

    def over_coordinates(side):  # the step's sums over coordinates, at these gradients
        def total(summand):
            rows = zip(g_p, g_a, move, strict=True)
            return sum(summand.subs({str(x): v for x, v in zip(("g_p", "g_a", "d"), row, strict=True)}) for row in rows)

        plain = side.subs({symbol: sp.Symbol(str(symbol)) for symbol in side.free_symbols})
        return plain.replace(language().Total, total).subs(sp.Symbol("c"), ratio)

    assert (
        over_coordinates(seen.lhs) == over_coordinates(seen.rhs) == -sum(g * d for g, d in zip(g_a, move, strict=True))
    )
    found = gradient_test([float(g) for g in g_p], [float(g) for g in g_a])
    assert found.exists
    assert found.ratio == pytest.approx(float(ratio), rel=1e-14)
    assert not gradient_test([1.0, 0.0], [-1.0, 0.1]).exists
    pull, bend = Fraction(7, 3), Fraction(5, 2)  # |w_a g_a . u| and u' F'' u
    assert float(elastic_limit(float(pull), float(bend))) == pytest.approx(float(2 * pull / bend), rel=1e-15)
    distance = 2 * pull / bend
    assert bend * distance**2 / 2 == pull * distance  # where energy and linear term meet
    assert math.isinf(float(elastic_limit(1.0, 0.0)))
    assert np.isfinite(found.cosine)


def test_the_logit_law():
    """R21, R22, R24: the steps at x_0 = 2/3, e^D = 1 + d = 5/2, the balls of the printed forms, and the floats."""
    start, grown, c = Fraction(2, 3), Fraction(3, 2), Fraction(1, 4)
    with working_precision(128):
        z0 = flint.arb(flint.fmpq(2, 3)).log()
        way = flint.arb(flint.fmpq(5, 2)).log()
        exposure = way + flint.arb(flint.fmpq(2, 3)) * flint.fmpq(3, 2)  # c n
        back = way + flint.arb(flint.fmpq(3, 2)) * (1 - flint.fmpq(2, 5))  # c m*
        told = aligned_ball(z0, exposure) - z0 - way
        assert told.contains(0)
        assert float(told.rad()) < 1e-30
        n, undo, slope = (
            float((exposure * 4).mid()),
            float((back * 4).mid()),
            float(Fraction(1) / (start * (1 + grown))),
        )

    def at(id, opening, side):
        expression = getattr(step(id, opening), side)
        return float(expression.subs({s: {"x_0": start, "d": grown, "c": c}[str(s)] for s in expression.free_symbols}))

    base = math.log(start)
    assert at("R21", "The rise D", "rhs") == pytest.approx(n / 4, rel=1e-14)
    assert at("R22", "Back to z_0", "rhs") == pytest.approx(undo / 4, rel=1e-14)
    assert rise(base, n, 0.25) == pytest.approx(math.log(2.5), rel=1e-14)
    assert undo_volume(base, n, 0.25) == pytest.approx(undo, rel=1e-14)
    assert undo_slope(base, n, 0.25) == pytest.approx(slope, rel=1e-14)
    exponent = at("R22", "The exponent d ln m*", "rhs")
    assert exponent == pytest.approx(n * slope / undo, rel=1e-14)
    assert undo_exponent(base, n, 0.25) == pytest.approx(exponent, rel=1e-14)
    volumes = matched_volumes(base, math.log(2.5), 0.25)
    assert float(volumes.align) == pytest.approx(4 * at("R24", "and c K_a", "rhs"), rel=1e-14)
    share, origin = Fraction(5, 3) / (1 + Fraction(5, 3)), start / (1 + start)
    assert float(volumes.kappa) == pytest.approx(float((1 - share) / (share - origin)), rel=1e-14)
    assert float(volumes.align) == pytest.approx(
        float((share - origin) / ((1 - origin) * c * share * (1 - share))), rel=1e-14
    )
    assert float(return_ratio(0.4, 0.625)) == pytest.approx(undo / n, rel=1e-13)
    assert undo_slope(-base, n, 0.25) != pytest.approx(slope, rel=1e-2)  # a sign turned
