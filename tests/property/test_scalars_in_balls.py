"""Every scalar function of the law against ball arithmetic over the whole range of doubles.

`HELD` names a function, draws its arguments, writes its formula in balls (python-flint), and states its tolerance; the
arguments are log-uniform over 1e-300 ... 1e300, of moderate size, powers of two, 0, next to 1, or an end of the range.
``within`` is the relative error allowed. ``moved`` is the relative change of the arguments that counts as rounding: where a
result hangs on the last digits of what was given, no float is right, and the result has to be that of near arguments.
Every function of elastomath that returns floats is in `HELD`, or in `ELSEWHERE` with the reason; a new one fails the last
test until it is.
"""

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from flint import acb, arb

import elastomath
from elastomath.certify.balls import working_precision
from elastomath.laws import ceilings, forgetting, optimisers, rebound, theorem
from elastomath.laws import finite as law
from elastomath.laws import union as unionlaw
from elastomath.pareto import law as pareto
from elastomath.pareto import overlaps

FLOOR = 1e-305
"""Below this doubles have fewer digits; an error of so much is allowed."""
BITS = 5000
"""Enough for 1 + 1e-600, and for what is left of it."""
ENDS = (5e-324, 2.3e-308, 1e-16, 2.0**-53, 1.0 - 2.0**-53, 1.0, 1.0 + 2.0**-52, 2.0, 2.0**53, 1.7e308)


def wide(rng: np.random.Generator) -> float:
    """A positive double from anywhere."""
    kind = rng.integers(8)
    if kind < 3:
        return float(10 ** rng.uniform(-300, 300))
    if kind < 6:
        return float(10 ** rng.uniform(-4, 4))
    return float(2.0 ** rng.integers(-1000, 1000)) if kind == 6 else float(rng.choice(ENDS))


def or_zero(rng: np.random.Generator) -> float:
    return 0.0 if rng.random() < 0.05 else wide(rng)


def nats(rng: np.random.Generator) -> float:
    """A ceiling: its exponential is a double, or not."""
    return wide(rng) if rng.random() < 0.5 else float(rng.uniform(1, 1400))


def over_minus_one(rng: np.random.Generator) -> float:
    value = or_zero(rng)
    return -value if value < 1 and rng.random() < 0.5 else value


def tail(rng: np.random.Generator) -> float:
    """A tail index above 1."""
    kind = rng.integers(4)
    if kind == 0:
        return float(1.0 + 10 ** rng.uniform(-12, 0))
    return float(rng.integers(2, 9)) if kind == 1 else float(1.0 + 10 ** rng.uniform(-2, 2 if kind == 2 else 300))


def rate(rng: np.random.Generator) -> float:
    value = wide(rng)
    return value if value < 1 else float(rng.uniform(0.001, 0.999))


def two_shares(rng: np.random.Generator) -> tuple[float, float]:
    small = float(10 ** rng.uniform(-12, 0)) * 0.5
    return (small, 1.0 - small) if rng.random() < 0.5 else (1.0 - small, small)


def scores(rng: np.random.Generator) -> tuple[float, float, float]:
    """Base, positive and negative, the base between them, at times close to one of them."""
    low = float(rng.uniform(-1, 1))
    high = low + float(10 ** rng.uniform(-3, 1))
    base = low + (high - low) * float(rng.choice([rng.uniform(0.1, 0.9), 1e-6, 1 - 1e-6]))
    return (base, high, low) if rng.random() < 0.5 else (base, low, high)


@dataclass(frozen=True)
class Scalar:
    value: Callable[..., object]
    exact: Callable[..., arb]
    draws: tuple[Callable[[np.random.Generator], object], ...]
    within: float
    moved: float = 0.0
    cases: int = 150


def gap(v: arb) -> arb:
    return v - (1 + v).log()


def exact_residual(base: arb, step: arb, ratio: arb) -> arb:
    if step == 0:
        return arb(0)
    if ratio == 1:
        return base * step / (2 * base + step)
    u = step / (base + step)
    v = u * (ratio - 1)
    return base * u * gap(v) / ((u + v) * (1 + v).log() - u * v)


def exact_convex(volume: arb, others: arb, step: arb) -> arb:
    """-ln(1 - y) from the quadratic of R17 as it stands."""
    k, moved = others / volume, step / volume
    if moved == 0:
        return arb(0)
    total, linear = k + 1 + moved, moved * (k - 1)
    y = ((linear * linear + 4 * total * k * moved).sqrt() - linear) / (2 * total)
    return -(1 - y).log()


def exact_theta(k: arb, moved: arb, align: arb, perturb: arb) -> arb:
    left = 1 - moved * align / perturb
    return (1 + moved / (k * perturb)) / left if not left <= 0 else arb("inf")


def exact_threshold(k: arb, align: arb, perturb: arb) -> arb:
    """The L with c_+(L) = pi_t/pi_a, by bisection in 1/N_L; only its neighbourhood of the float is asked for."""
    base = k + 1
    y = perturb / align / base
    low, high = arb(0), arb(y + 2)  # ln(N_L/N_0), which is below 1 + y + ln-ish
    for _ in range(160):
        middle = ((low + high) / 2).mid()
        w = middle.expm1()
        below = (1 + 1 / w) * middle - 1 < y
        low, high = (middle, high) if below else (low, middle)
    return base * low.expm1()


def exact_laplace(sigma: float, s: float, order: int) -> arb:
    a, at = arb(sigma), arb(s)

    def integrand(z: acb, _: bool) -> acb:
        return (order * a * z - z * z / 2 - at * (a * z).exp()).exp()

    whole = acb.integral(integrand, -60, 60, rel_tol=arb(2) ** -70, abs_tol=arb(2) ** -1500, eval_limit=100000)
    return whole.real / (2 * arb.pi()).sqrt()


def exact_integral(order: arb, x: arb) -> arb:
    if order > 1e6:  # e^-x/(x + nu) < E_nu < e^-x/(x + nu - 1): the same to the last digit
        return (-x).exp() / (x + order)
    if x == 0:
        return 1 / (order - 1) if order > 1 else arb("inf")
    return x.expint(order)


def orders(rng: np.random.Generator) -> float:
    kind = rng.integers(6)
    if kind == 0:
        return float(rng.uniform(-600, 60))
    if kind == 1:
        return float(rng.integers(-40, 45)) + float(rng.choice([0.0, 1e-9, -1e-12]))
    if kind == 2:
        return 1.0 + float(rng.choice([-1, 1])) * 10 ** rng.uniform(-17, 0)
    return float(rng.uniform(-9, 9)) if kind < 5 else float(10 ** rng.uniform(17, 300))


def points(rng: np.random.Generator) -> float:
    return float(10 ** rng.uniform(-300, 3)) if rng.random() < 0.3 else float(10 ** rng.uniform(-3, 2.9))


def of_scores(function: Callable[..., object]) -> Callable[..., object]:
    return lambda three, *rest: function(rebound.Scores(*three), *rest)


def kept(steps: arb, eta: arb) -> arb:
    return (steps * (1 - eta).log()).exp()


def pair(index: int, function: Callable[..., tuple[object, ...]]) -> Callable[..., object]:
    return lambda *given: function(*given)[index]


def exact_two_masses(alpha: arb, a: arb, b: arb) -> arb:
    one = arb(1)
    halves = (-a / b).hypgeom_2f1(one, alpha, alpha + 1) / b + (-b / a).hypgeom_2f1(one, alpha, alpha + 1) / a
    return alpha / (2 * alpha - 1) * halves


def exact_two_parts(alpha: arb) -> arb:
    if alpha > 1e20:
        return arb(1)
    return 2 * alpha * (alpha - 1) / (2 * alpha - 1) * (((alpha + 1) / 2).digamma() - (alpha / 2).digamma())


def moderate(low: float, high: float) -> Callable[[np.random.Generator], float]:
    return lambda rng: float(10 ** rng.uniform(low, high))


def whole(low: int, high: int) -> Callable[[np.random.Generator], int]:
    return lambda rng: int(rng.integers(low, high))


ULP = 2.0**-52
HELD: dict[str, Scalar] = {
    "laws.ceilings.string_ceiling": Scalar(
        ceilings.string_ceiling, lambda n, L: (1 + L / n).log(), (wide, or_zero), 4 * ULP
    ),
    "laws.ceilings.pooled_ceiling": Scalar(
        ceilings.pooled_ceiling, lambda n, L: n * (1 + L / n).log(), (wide, or_zero), 6 * ULP
    ),
    "laws.ceilings.volume_for": Scalar(
        ceilings.volume_for, lambda c, L: L / (c.exp() - 1) if c < 10000 else arb(0), (nats, or_zero), 6 * ULP
    ),
    "laws.ceilings.convex_ceiling": Scalar(ceilings.convex_ceiling, exact_convex, (wide, wide, or_zero), 8 * ULP),
    "laws.finite.mixture_constant": Scalar(
        law.mixture_constant, lambda n, L: exact_residual(n, L, arb(0)), (wide, or_zero), 1e-14
    ),
    "laws.theorem.residual_constant": Scalar(
        theorem.residual_constant, exact_residual, (wide, or_zero, or_zero), 1e-14
    ),
    "laws.theorem.log_quotient": Scalar(
        theorem.log_quotient, lambda a, b: (a / b).log(), (wide, wide), 4 * ULP, 2 * ULP
    ),
    "laws.theorem.theta_bounds": Scalar(
        lambda k, L, s: theorem.theta_bounds(k, L, parts=s).high,
        lambda k, L, s: exact_theta(k, L, *s),
        (wide, wide, two_shares),
        8 * ULP,
        4 * ULP,
    ),
    "laws.theorem.mixture_theta_bounds": Scalar(
        lambda k, s: theorem.mixture_theta_bounds(k, 0.5, s).threshold,
        lambda k, s: exact_threshold(k, *s),
        (moderate(-300, 3), two_shares),
        5e-13,  # a rounding of y = pi_t/(pi_a N_0) moves the root by 1 + y, up to 740
        cases=40,
    ),
    "laws.theorem.log_gap": Scalar(
        theorem.log_gap, lambda v: gap(v) / v**2 if v != 0 else arb(0.5), (over_minus_one,), 16 * ULP, ULP
    ),
    "laws.optimisers.squares_at_constant_speed": Scalar(
        lambda z: optimisers.squares_at_constant_speed(z, 0.5),
        lambda z: 2 * ((1 + (-z).exp()).log() - 1 / (1 + z.exp())),
        (lambda rng: float(rng.choice([-1, 1])) * 10 ** rng.uniform(-10, 2.9),),
        24 * ULP,
        2 * ULP,
    ),
    "laws.union.union_epsilon": Scalar(
        lambda k, L, s: unionlaw.union_epsilon(k, L, *s),
        lambda k, L, s: L * (k * s[0] + 1) / (k * s[1] + L),
        (wide, or_zero, two_shares),
        8 * ULP,
    ),
    "laws.union.union_constant": Scalar(
        lambda k, L, s: unionlaw.union_constant(k, L, *s),
        lambda k, L, s: (1 + L / (k * s[1])) / (1 - L * s[0] / s[1]),
        (wide, or_zero, two_shares),
        8 * ULP,
        4 * ULP,
    ),
    "laws.union.union_threshold": Scalar(
        lambda s: unionlaw.union_threshold(*s), lambda s: s[1] / s[0], (two_shares,), 2 * ULP
    ),
    "laws.rebound.Scores.asymmetry": Scalar(
        lambda s: rebound.Scores(*s).asymmetry, lambda s: (s[1] - s[0]) / (s[0] - s[2]), (scores,), 4 * ULP
    ),
    "laws.rebound.score": Scalar(
        of_scores(rebound.score),
        lambda s, k, n, m: (k * s[0] + n * s[1] + m * s[2]) / (k + n + m),
        (scores, moderate(-300, 300), moderate(-300, 300), moderate(-300, 300)),
        8 * ULP,
        4 * ULP,
    ),
    "laws.rebound.score_slope": Scalar(
        of_scores(rebound.score_slope),
        lambda s, k, n, m: -(k * (s[0] - s[2]) + n * (s[1] - s[2])) / (k + n + m) ** 2,
        (scores, moderate(-300, 300), moderate(-300, 300), moderate(-300, 300)),
        12 * ULP,
    ),
    "laws.rebound.faster_below": Scalar(
        of_scores(rebound.faster_below),
        lambda s, k, m: m + k * (s[1] + s[2] - 2 * s[0]) / (s[1] - s[2]),
        (scores, moderate(-300, 300), moderate(-300, 300)),
        8 * ULP,
        4 * ULP,
    ),
    "laws.rebound.return_volume": Scalar(
        of_scores(rebound.return_volume),
        lambda s, n: n * abs(s[1] - s[0]) / abs(s[0] - s[2]),
        (scores, moderate(-300, 300)),
        8 * ULP,
    ),
    "laws.forgetting.decay": Scalar(forgetting.decay, lambda eta: -(1 - eta).log(), (rate,), 2 * ULP),
    "laws.forgetting.Phase.kept": Scalar(
        lambda n, eta: forgetting.Phase(0, n, eta).kept, kept, (moderate(-300, 300), rate), 4 * ULP, 4 * ULP
    ),
    "laws.forgetting.phase_weights": Scalar(
        lambda n, eta: forgetting.phase_weights([forgetting.Phase(0, n, eta)])[0][0],
        lambda n, eta: 1 - kept(n, eta),
        (moderate(-300, 300), rate),
        6 * ULP,
    ),
    "laws.forgetting.elasticity_constant": Scalar(
        forgetting.elasticity_constant,
        lambda p, a, eta: kept(a, eta) * (1 - kept(p, eta)) / (1 - kept(a, eta)),
        (moderate(-290, 300), moderate(-290, 300), rate),
        12 * ULP,
        4 * ULP,
    ),
    "laws.forgetting.local_exponents": Scalar(
        pair(0, forgetting.local_exponents),
        lambda p, a, eta: -p * (1 - eta).log() * kept(p, eta) / (1 - kept(p, eta)),
        (moderate(-290, 300), moderate(-290, 300), rate),
        12 * ULP,
        4 * ULP,
    ),
    "laws.forgetting.aligned_score": Scalar(
        of_scores(forgetting.aligned_score),
        lambda s, n, eta: s[0] + (s[1] - s[0]) * (1 - kept(n, eta)),
        (scores, moderate(-300, 300), rate),
        8 * ULP,
        4 * ULP,
    ),
    "laws.forgetting.first_fall": Scalar(
        of_scores(forgetting.first_fall),
        lambda s, n, eta: eta * (s[0] - s[2] + (s[1] - s[0]) * (1 - kept(n, eta))),
        (scores, moderate(-300, 300), rate),
        12 * ULP,
    ),
    "laws.forgetting.return_steps": Scalar(
        of_scores(forgetting.return_steps),
        lambda s, n, eta: -(1 + abs(s[1] - s[0]) * (1 - kept(n, eta)) / abs(s[0] - s[2])).log() / (1 - eta).log(),
        (scores, moderate(-200, 300), rate),
        12 * ULP,
    ),
    "laws.forgetting.tampering_ceiling": Scalar(
        forgetting.tampering_ceiling, lambda n, eta: -n * (1 - eta).log(), (moderate(-300, 300), rate), 4 * ULP
    ),
    "pareto.law.exponential_integral": Scalar(
        pareto.exponential_integral, exact_integral, (orders, points), 5e-14, cases=500
    ),
    "pareto.law.independent_overlap": Scalar(
        pareto.independent_overlap, lambda a: a * a / ((a - 1) * (a + 1)), (tail,), 6 * ULP
    ),
    "pareto.law.two_part_overlap": Scalar(pareto.two_part_overlap, exact_two_parts, (tail,), 8 * ULP),
    "pareto.law.two_mass_mean": Scalar(
        lambda alpha, a, b: pareto.two_mass_mean(alpha, [a, b]),
        exact_two_masses,
        (lambda rng: min(tail(rng), 1e3), moderate(-20, 20), moderate(-20, 20)),
        3e-12,
    ),
    "pareto.law.Pareto.mean": Scalar(lambda a: pareto.Pareto(a).mean(), lambda a: a / (a - 1), (tail,), 4 * ULP),
    "pareto.law.Pareto.moment": Scalar(
        lambda a, r: pareto.Pareto(a).moment(r),
        lambda a, r: a / (a - r) if a > r else arb("inf"),
        (tail, whole(-3, 6)),
        4 * ULP,
    ),
    "pareto.law.Pareto.variance": Scalar(
        lambda a: pareto.Pareto(a).variance(),
        lambda a: a / ((a - 1) ** 2 * (a - 2)) if a > 2 else arb("inf"),
        (tail,),
        6 * ULP,
    ),
    "pareto.law.Pareto.laplace": Scalar(
        lambda a, s, m: pareto.Pareto(a).laplace(s, m),
        lambda a, s, m: a * exact_integral(a + 1 - m, s),
        (lambda rng: min(tail(rng), 1e3), points, whole(0, 31)),
        6e-14,
        2 * ULP,
    ),
    "pareto.overlaps.Gamma.mean": Scalar(lambda c: overlaps.Gamma(c).mean(), lambda c: c, (wide,), 0.0),
    "pareto.overlaps.Gamma.moment": Scalar(
        lambda c, r: overlaps.Gamma(c).moment(r), lambda c, r: c.rising(r), (moderate(-100, 5), whole(0, 5)), 1e-13
    ),
    "pareto.overlaps.Gamma.laplace": Scalar(
        lambda c, s, m: overlaps.Gamma(c).laplace(s, m),
        lambda c, s, m: c.rising(m) * (-(c + m) * (1 + s).log()).exp(),
        (moderate(-100, 5), wide, whole(0, 4)),
        1e-13,
        4 * ULP,
    ),
    "pareto.overlaps.Lognormal.mean": Scalar(
        lambda s: overlaps.Lognormal(s).mean(), lambda s: (s * s / 2).exp(), (moderate(-300, 1.5),), 2 * ULP, 4 * ULP
    ),
    "pareto.overlaps.Lognormal.moment": Scalar(
        lambda s, r: overlaps.Lognormal(s).moment(r),
        lambda s, r: (r * r * s * s / 2).exp(),
        (moderate(-300, 1), whole(-3, 4)),
        2 * ULP,
        4 * ULP,
    ),
    "pareto.overlaps.Lognormal.laplace": Scalar(
        lambda g, s, m: overlaps.Lognormal(g).laplace(s, m),
        lambda g, s, m: exact_laplace(float(g), float(s), m),
        (moderate(-1.5, 0.5), moderate(-8, 4), whole(0, 4)),
        3e-13,
        cases=12,
    ),
    "pareto.overlaps.Coarse.laplace": Scalar(
        lambda c, f, s: overlaps.Coarse(overlaps.Gamma(c), f).laplace(s, 1),
        lambda c, f, s: f * c * (-(f * c + 1) * (1 + s).log()).exp(),
        (moderate(-100, 2), whole(1, 9), wide),
        1e-13,
        8 * ULP,
    ),
}


def as_ball(value: object, moved: float) -> object:
    if isinstance(value, tuple):
        return tuple(as_ball(part, moved) for part in value)
    return value if isinstance(value, int) else arb(value, abs(value) * moved)


def misses(scalar: Scalar, seed: int = 0) -> list[str]:
    """The draws at which a function is not within its tolerance."""
    rng, out = np.random.default_rng(seed), []
    least, most = arb(FLOOR), arb(np.finfo(np.float64).max)
    for _ in range(scalar.cases):
        given = [draw(rng) for draw in scalar.draws]
        with np.errstate(all="ignore"):
            value = float(np.squeeze(scalar.value(*given)))
        for bits in (300, 1200, BITS):
            with working_precision(bits):
                right = scalar.exact(*(as_ball(part, 0.0) for part in given))
                if right == arb("inf") or right == 0 or right.rel_accuracy_bits() > 60:
                    break
        with working_precision(bits):
            allowed = abs(right) * scalar.within + least
            if scalar.moved:
                widened = scalar.exact(*(as_ball(part, scalar.moved) for part in given))
                allowed = allowed + widened.rad() if widened.is_finite() else arb("inf")
            if right == arb("inf"):
                good = value == math.inf
            elif not right.is_finite():
                good = False
            elif math.isinf(value):
                good = bool(abs(right) * (1 + 1e-12) > most) or not allowed.is_finite()
            else:
                good = not abs(arb(value) - right) > allowed if not math.isnan(value) else False
        if not good:
            out.append(f"{given}: {value!r}, not {right.str(17)}")
    return out


@pytest.mark.parametrize("name", HELD)
def test_a_scalar_is_right_over_the_whole_range(name):
    wrong = misses(HELD[name])
    assert not wrong, f"{len(wrong)} of {HELD[name].cases}: {wrong[:4]}"


def naive_residual(base: float, step: float, ratio: float) -> float:
    u = step / (base + step)
    v = u * (ratio - 1.0)
    return base * u * (v - math.log1p(v)) / ((u + v) * math.log1p(v) - u * v)


def naive_convex(volume: float, others: float, step: float) -> float:
    k, moved = others / volume, step / volume
    total, linear = k + 1 + moved, moved * (k - 1)
    return -math.log1p(-2 * k * moved / (linear + math.sqrt(linear * linear + 4 * total * k * moved)))


def naive_two_parts(alpha: float) -> float:
    from scipy.special import psi

    return float(2 * alpha * (alpha - 1) / (2 * alpha - 1) * (psi((alpha + 1) / 2) - psi(alpha / 2)))


NAIVE: dict[str, Callable[..., object]] = {
    "laws.ceilings.string_ceiling": lambda n, L: math.log(1 + L / n),
    "laws.ceilings.pooled_ceiling": lambda n, L: n * math.log1p(L / n),
    "laws.ceilings.volume_for": lambda c, L: L / math.expm1(c) if c < 700 else 0.0,
    "laws.ceilings.convex_ceiling": naive_convex,
    "laws.finite.mixture_constant": lambda n, L: n * ((1 + L / n) * math.log1p(L / n) / (L / n) - 1),
    "laws.theorem.residual_constant": naive_residual,
    "laws.union.union_epsilon": lambda k, L, s: L * (k * s[0] + 1) / (k * s[1] + L),
    "laws.union.union_constant": lambda k, L, s: (1 + L / (k * s[1])) / (1 - L * s[0] / s[1]),
    "laws.rebound.score_slope": lambda s, k, n, m: (
        -((k * s[0] + n * s[1] + m * s[2]) / (k + n + m) - s[2]) / (k + n + m)
    ),
    "laws.optimisers.squares_at_constant_speed": lambda z: 2 * (math.log1p(math.exp(-z)) - 1 / (1 + math.exp(z))),
    "laws.forgetting.decay": lambda eta: -math.log(1 - eta),
    "laws.forgetting.phase_weights": lambda n, eta: 1 - (1 - eta) ** n,
    "laws.forgetting.elasticity_constant": lambda p, a, eta: (
        math.expm1(p * math.log1p(-eta)) / -math.expm1(-a * math.log1p(-eta))
    ),
    "laws.forgetting.first_fall": lambda s, n, eta: eta * (s[0] + (s[1] - s[0]) * (1 - (1 - eta) ** n) - s[2]),
    "pareto.law.independent_overlap": lambda a: a**2 / ((a - 1) * (a + 1)),
    "pareto.law.two_part_overlap": naive_two_parts,
    "pareto.law.Pareto.variance": lambda a: a / ((a - 1) ** 2 * (a - 2)) if a > 2 else math.inf,
}


@pytest.mark.parametrize("name", NAIVE)
def test_the_formula_as_it_is_written_fails(name):
    """The mutants: what the functions would be, or were, if each formula were typed as it stands."""

    def value(*given: object) -> object:
        try:
            return NAIVE[name](*given)
        except (ArithmeticError, ValueError):
            return math.nan

    assert misses(replace(HELD[name], value=value))


LEAVES = (
    "a sum over leaves: tests/unit/elastomath/mixtures/test_kernels.py and tests/property/test_divergence_properties.py"
)
CHECKED = "checks or hands on what it was given"
WHOLE = "whole numbers and sums of them, exact"
CHOICE = "a range, a grid or a bound that the caller may choose, no value of the law"
SAMPLE = "a statistic of a sample: tests/unit/elastomath/tails/test_tails.py against mpmath and published values"
BY_ITS_TESTS = "held in balls over the whole range by tests of the same name in tests/unit/elastomath/laws"
ELSEWHERE = {
    "codes.arithmetic": WHOLE,
    "tails.verdict": SAMPLE,
    "checks": CHECKED,
    "curve.numbers_of": CHECKED,
    "defences.defence.Defence.changes": CHOICE,
    "codes.lengths.expected_length": WHOLE,
    "codes.codewords": WHOLE,
    "codes.compression": WHOLE,
    "mixtures.divergence": LEAVES,
    "pareto.fluctuation": "integrals and sums of draws: tests/unit/elastomath/pareto/test_fluctuation.py",
    "laws.forgetting.step_weights": "products of 1 - eta_j, backward stable: tests/unit/elastomath/laws/test_forgetting.py",
    "laws.forgetting.sequential_masses": LEAVES,
    "interval": CHECKED,
    "trees.jointtree": LEAVES,
    "mixtures.kernels": LEAVES,
    "mixtures.leafsums": LEAVES,
    "laws.finite.FiniteLaw.ratio": "a quotient of readings",
    "laws.finite.as_readings": CHECKED,
    "laws.finite.path_entropies": LEAVES,
    "laws.finite.mixture_residual": LEAVES,
    "laws.finite.sign_change": LEAVES,
    **dict.fromkeys(
        (
            "laws.jointness",
            "laws.logit",
            "laws.optimisers",
            "laws.planner",
            "laws.preferences",
        ),
        BY_ITS_TESTS,
    ),
    "mixtures.mixture": LEAVES,
    "necessity": LEAVES,
    "laws.optima": "readings of the caller, weighted and compared",
    "pareto.overlaps.Law": "the protocol",
    "pareto.overlaps.Gamma.tail_index": "inf",
    "pareto.overlaps.Lognormal.tail_index": "inf",
    "pareto.overlaps.Coarse.tail_index": CHECKED,
    "pareto.overlaps.Coarse.mean": "a product",
    "pareto.overlaps.Coarse.moment": "a product",
    "pareto.overlaps.Gamma.log_range": CHOICE,
    "pareto.overlaps.Lognormal.log_range": CHOICE,
    "pareto.overlaps.Coarse.log_range": CHOICE,
    "pareto.overlaps.aliasing_bound": CHOICE,
    "pareto.overlaps.overlap_matrix": "integrals with their own bounds: enclosed in tests/unit/elastomath/certify/test_pareto.py",
    "pareto.overlaps.mass_mean": "integrals: tests/unit/elastomath/pareto/test_overlaps.py",
    "pareto.overlaps.equal_parts_overlap": "integrals with their own bounds: enclosed in tests/unit/elastomath/certify/test_pareto.py",
    "pareto.law.Pareto.tail_index": CHECKED,
    "pareto.law.as_tail_index": CHECKED,
    "pareto.law.Pareto.log_range": CHOICE,
    "mixtures.pool": LEAVES,
    "rates.rates": LEAVES,
    "laws.rebound.divergence_return_volume": LEAVES,
    "laws.response": LEAVES,
    "tails.sampled": SAMPLE,
    "verification.softmax": "gradients of a model: tests/unit/elastomath/laws/test_finetuning.py",
    "laws.springs": LEAVES,
    "laws.finetuning": "linear algebra of the caller's gradients: tests/unit/elastomath/laws/test_finetuning.py",
    "tails.fit": SAMPLE,
    "tails.rivals": SAMPLE,
    "tails.sample": SAMPLE,
    "tails.goodness": SAMPLE,
    "tails.threshold": SAMPLE,
    "laws.theorem.union_parts": LEAVES,
    "trees.tokentree": WHOLE,
    "laws.union.union_law": LEAVES,
    "laws.union.union_turning": LEAVES,
    "laws.union.rest_ratios": "ratios of random draws",
    "laws.volumes": LEAVES,
    "tails.zeta": SAMPLE,
}


def scalar_names() -> set[str]:
    """Every public function, method and property of elastomath that is declared to return floats."""
    out = set()
    for found in pkgutil.walk_packages(elastomath.__path__, "elastomath."):
        home = found.name.removeprefix("elastomath.")
        if home.split(".")[0] in ("verification", "derivations", "testing", "fit", "figures", "runs", "foreign"):
            continue  # they check and draw what the other modules compute
        module = importlib.import_module(found.name)
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != found.name:
                continue
            members = {name: thing}
            if inspect.isclass(thing):
                members = {f"{name}.{part}": what for part, what in vars(thing).items() if not part.startswith("_")}
            for full, what in members.items():
                plain = what.fget if isinstance(what, property) else getattr(what, "__func__", what)
                told = str(getattr(plain, "__annotations__", {}).get("return", ""))
                if any(kind in told for kind in ("float", "Array", "Bounded", "ThetaBounds", "UnionLaw")):
                    out.add(f"{home}.{full}")
    return out


def test_every_scalar_is_held_or_named():
    names = scalar_names()
    kept = {name for name in names if any(name == at or name.startswith(at + ".") for at in ELSEWHERE)}
    assert names - set(HELD) - kept == set()
    assert set(HELD) <= names
    assert not set(HELD) & set(ELSEWHERE)
