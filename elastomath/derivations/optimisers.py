"""R26: the optimiser is part of the law, in odds x = e^z as in the logit law."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import claims
from .language import Derivation, Step
from .logit import contrast_slope, odds
from .words import parameter


def _derive_optimisers() -> Derivation:
    import sympy as sp

    s = odds()
    x, c = s.x, s.c
    rate, root_n, root_s, way, m = (
        parameter("r"),
        parameter("v"),
        parameter("s"),
        parameter("D"),
        parameter("m", nonnegative=True),
    )
    friction, momentum = parameter("mu"), parameter("nu")  # mu = 1/(1 + nu) < 1
    constant, fade, level, steps_so_far = parameter("G"), parameter("h"), parameter("S"), parameter("n")
    noise = parameter("q")
    undo = way * root_s / (rate * root_n) + way**2 / (4 * rate**2 * root_n**2)
    steps = [
        Step(
            "Momentum: a velocity at rest under the gradient g, v = mu v + g with mu = 1/(1+nu), is g/(1 - mu)",
            friction * (constant / (1 - friction)) + constant,
            constant / (1 - friction),
            uses=("definition of SGD with momentum",),
            where=((friction, 1 / (1 + momentum)),),
        ),
        Step(
            "so the constant of the logit law is c/(1 - mu) = c (1 + nu)/nu",
            c / (1 - friction),
            c * (1 + momentum) / momentum,
            uses=("step 1", "R21"),
            where=((friction, 1 / (1 + momentum)),),
        ),
        Step(
            "Adam starts at one rate r a step; the squares of an alignment at that speed: dS/dz = g^2/r, g = 1/(1 + e^z)",
            contrast_slope(-(sp.log(1 + 1 / x) - 1 / (1 + x)) / rate),
            1 / (rate * (1 + x) ** 2),
            uses=("definition of Adam, no noise",),
        ),
        Step(
            "then, with n = v^2 < 1/(1-beta_2) steps behind it and S = s^2 at rest, dz/dn = r sqrt(n/S) e^-z has "
            "e^z = (2/3) r n^{3/2}/sqrt(S): z grows like (3/2) ln n",
            sp.Derivative(sp.log(2 * rate * root_n**3 / (3 * root_s)), root_n) / (2 * root_n),
            rate * root_n / root_s * (3 * root_s / (2 * rate * root_n**3)),
            uses=("step 3", "d/dn = (1/2v) d/dv"),
        ),
        Step(
            "Moments carried: dz/dm = -r sqrt(n/(S + m)) at unit gradient, so 2 r sqrt(n) sqrt(S + m) falls with z",
            sp.Derivative(2 * rate * root_n * sp.sqrt(level + m), m),
            rate * root_n / sp.sqrt(level + m),
            uses=("definition of Adam, no noise",),
        ),
        Step(
            "and D is undone after m* = D sqrt(S)/(r sqrt(n)) + D^2/(4 r^2 n): sqrt(S + m*) = sqrt(S) + D/(2 r sqrt(n))",
            (root_s + way / (2 * rate * root_n)) ** 2,
            root_s**2 + undo,
            uses=("step 5",),
        ),
        Step(
            "The exponent of its first term, for D = a + (3/2) ln n with any a: -1/2 + 3/(2D), below 0 once D > 3",
            root_n / 2 * sp.Derivative(sp.log(constant + 3 * sp.log(1 + root_n)) - sp.log(root_n), root_n),
            root_n / 2 * 3 / ((1 + root_n) * (constant + 3 * sp.log(1 + root_n))) - sp.Rational(1, 2),
            uses=("steps 4, 6", "n = v^2, ln(1 + v) for ln v"),
        ),
        Step(
            "Beyond 1/(1-beta_2) steps v only fades, like e^{-h n} with h = -ln beta_2: g stays at its root, so dz/dn = h/2",
            sp.Derivative(-sp.log(constant * sp.exp(-fade * steps_so_far / 2)), steps_so_far),
            fade / 2,
            uses=("definition of Adam, no noise",),
        ),
        Step(
            "In noise q^2 far above g^2 the second moment is q^2: Adam is SGD with c = r/q, moments carried or not",
            rate * (1 / (1 + x)) / sp.sqrt(noise**2),
            rate / noise * (1 - x / (1 + x)),
            uses=("definition of Adam",),
        ),
    ]
    return Derivation(
        "R26",
        "The optimiser is part of the law",
        (
            "one logit; S the sum of squared gradients so far; the first moment left out (it delays by up to 1/(1-beta_1) steps)",
        ),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        "momentum makes c/(1-mu); Adam without noise aligns like (3/2) ln n, and with its second moment carried undoes in "
        "m* = D sqrt(S)/(r sqrt(n)) + D^2/(4 r^2 n), whose exponent turns negative; beyond 1/(1-beta_2) steps alignment grows "
        "by -ln(beta_2)/2 a step; in noise Adam is SGD.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R26": _derive_optimisers}
