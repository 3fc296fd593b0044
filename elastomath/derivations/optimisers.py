"""R26: the optimiser is part of the law, in odds x = e^z as in the logit law."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import claims
from .language import Derivation, Step, Witness
from .logit import contrast_slope, odds
from .words import Expr, open_function, parameter


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
            (friction * (constant / (1 - friction)) + constant, "=", constant / (1 - friction)),
            uses=("definition of SGD with momentum",),
            where=((friction, 1 / (1 + momentum)),),
        ),
        Step(
            "so the constant of the logit law is c/(1 - mu) = c (1 + nu)/nu",
            (c / (1 - friction), "=", c * (1 + momentum) / momentum),
            uses=("step 1", "R21"),
            where=((friction, 1 / (1 + momentum)),),
        ),
        Step(
            "Adam starts at one rate r a step; the squares of an alignment at that speed: dS/dz = g^2/r, g = 1/(1 + e^z)",
            (contrast_slope(-(sp.log(1 + 1 / x) - 1 / (1 + x)) / rate), "=", 1 / (rate * (1 + x) ** 2)),
            uses=("definition of Adam, no noise",),
        ),
        Step(
            "then, with n = v^2 < 1/(1-beta_2) steps behind it and S = s^2 at rest, dz/dn = r sqrt(n/S) e^-z has "
            "e^z = (2/3) r n^{3/2}/sqrt(S): z grows like (3/2) ln n",
            (
                sp.Derivative(sp.log(2 * rate * root_n**3 / (3 * root_s)), root_n) / (2 * root_n),
                "=",
                rate * root_n / root_s * (3 * root_s / (2 * rate * root_n**3)),
            ),
            uses=("step 3", "d/dn = (1/2v) d/dv"),
        ),
        Step(
            "Moments carried: dz/dm = -r sqrt(n/(S + m)) at unit gradient, so 2 r sqrt(n) sqrt(S + m) falls with z",
            (sp.Derivative(2 * rate * root_n * sp.sqrt(level + m), m), "=", rate * root_n / sp.sqrt(level + m)),
            uses=("definition of Adam, no noise",),
        ),
        Step(
            "and D is undone after m* = D sqrt(S)/(r sqrt(n)) + D^2/(4 r^2 n): sqrt(S + m*) = sqrt(S) + D/(2 r sqrt(n))",
            ((root_s + way / (2 * rate * root_n)) ** 2, "=", root_s**2 + undo),
            uses=("step 5",),
        ),
        Step(
            "The exponent of its first term, for D = a + (3/2) ln n with any a: -1/2 + 3/(2D), below 0 once D > 3",
            (
                root_n / 2 * sp.Derivative(sp.log(constant + 3 * sp.log(1 + root_n)) - sp.log(root_n), root_n),
                "=",
                root_n / 2 * 3 / ((1 + root_n) * (constant + 3 * sp.log(1 + root_n))) - sp.Rational(1, 2),
            ),
            uses=("steps 4, 6", "n = v^2, ln(1 + v) for ln v"),
        ),
        Step(
            "Beyond 1/(1-beta_2) steps v only fades, like e^{-h n} with h = -ln beta_2: g stays at its root, so dz/dn = h/2",
            (sp.Derivative(-sp.log(constant * sp.exp(-fade * steps_so_far / 2)), steps_so_far), "=", fade / 2),
            uses=("definition of Adam, no noise",),
        ),
        Step(
            "In noise q^2 far above g^2 the second moment is q^2: Adam is SGD with c = r/q, moments carried or not",
            (rate * (1 / (1 + x)) / sp.sqrt(noise**2), "=", rate / noise * (1 - x / (1 + x))),
            uses=("definition of Adam",),
        ),
        *_regimes(),
    ]
    return Derivation(
        "R26",
        "The optimiser is part of the law",
        (
            "one logit; S the sum of squared gradients so far; the first moment left out (it delays by up to 1/(1-beta_1) steps)",
        ),
        tuple(steps),
        claims(steps, *range(1, len(steps) + 1)),
        "momentum makes c/(1-mu); Adam without noise aligns like (3/2) ln n, and with its second moment carried undoes in "
        "m* = D sqrt(S)/(r sqrt(n)) + D^2/(4 r^2 n), whose exponent turns negative; beyond 1/(1-beta_2) steps alignment grows "
        "by -ln(beta_2)/2 a step, and carried moments undo in -ln(beta_2) D^2/(4 r^2); in noise Adam is SGD. A warm-up halves the "
        "exponent of a shorter phase, decay only lowers dm*/dn, a batch reads the law at n/B: none makes m* fall.",
    )


def _regimes() -> list[Step]:
    """What noise, long phases, warm-up, decay and batches do to the exponent of m* in n, steps 10 to 20 of R26."""
    import sympy as sp

    s = odds()
    x, c, n, batch = s.x, s.c, s.n, s.batch
    rate, way, squares, noise, fade = parameter("r"), parameter("D"), parameter("S"), parameter("q"), parameter("h")
    m, start, warm = parameter("j"), parameter("G"), parameter("a")
    shrink, height = parameter("l"), parameter("b", nonnegative=True)
    law, u = open_function("M", positive=True), s.u
    root = sp.sqrt(squares / n + noise**2)
    up, down = c / (1 + x) - shrink * height, c * x / (1 + x) + shrink * height
    short = 2 * warm * law(n)

    def bend(at: Expr) -> Expr:  # u M'(u)/M(u), R22's exponent, at a volume
        return at * sp.Subs(sp.Derivative(law(u), u), u, at) / law(at)

    return [
        Step(
            "Noise q of a step's gradient beside it: v = S/n + q^2, and the exponent's -1/2 becomes -S/(2 (S + n q^2)): it is gone "
            "once n q^2 is well above S",
            (n / root * sp.Derivative(root, n), "=", -squares / (2 * (squares + n * noise**2))),
            uses=("step 6", "definition of Adam"),
        ),
        Step(
            "Moments fresh, the phase shorter than 1/(1-beta_2): one rate r a step, m* = D/r, with exponent 3/(2D) for D = G + (3/2) ln n",
            (
                n / ((start + sp.log(1 + n) * 3 / 2) / rate) * sp.Derivative((start + sp.log(1 + n) * 3 / 2) / rate, n),
                "=",
                n / (1 + n) * 3 / (2 * (start + sp.log(1 + n) * 3 / 2)),
            ),
            uses=("steps 4, 5", "ln(1 + n) for ln n"),
        ),
        Step(
            "Moments carried, without noise, the exponent of Table 3, -0.15, is where the contrast has risen by D = 30/7 = 4.29 nats",
            (3 / (2 * way) - sp.Rational(1, 2), "=", -sp.Rational(3, 20)),
            uses=("step 7",),
            where=((way, sp.Rational(30, 7)),),
        ),
        Step(
            "Alignment longer than 1/(1-beta_2), moments carried: v has faded and is h j after j opposed steps, h = -ln beta_2, so "
            "z falls like 2 r sqrt(j/h)",
            (sp.Derivative(2 * rate * sp.sqrt(m / fade), m), "=", rate / sp.sqrt(fade * m)),
            uses=("definition of Adam, no noise",),
        ),
        Step(
            "and D is undone after m* = h D^2/(4 r^2), while that is below 1/h",
            (2 * rate * sp.sqrt(m / fade), "=", way),
            uses=("step 13",),
            where=((m, fade * way**2 / (4 * rate**2)),),
        ),
        Step(
            "whose exponent is 2 (h n/2)/D, with D = G + h n/2: it rises up to 2; with fresh moments (m* = D/r) up to 1",
            (
                n / (start + fade * n / 2) ** 2 * sp.Derivative((start + fade * n / 2) ** 2, n),
                "=",
                2 * (fade * n / 2) / (start + fade * n / 2),
            ),
            uses=("steps 8, 14",),
        ),
        Step(
            "Warm-up over a steps, in SGD: a phase of m < a steps counts m^2/(2a), so m* = sqrt(2 a M(n)) where M is R22's, at half of "
            "its exponent",
            (n / sp.sqrt(short) * sp.Derivative(sp.sqrt(short), n), "=", bend(n) / 2),
            uses=("R22",),
        ),
        Step(
            "and if both phases are that short, at R22's exponent for n^2/(2a) examples",
            (
                n
                / sp.sqrt(2 * warm * law(n**2 / (2 * warm)))
                * sp.Derivative(sp.sqrt(2 * warm * law(n**2 / (2 * warm))), n),
                "=",
                bend(n**2 / (2 * warm)),
            ),
            uses=("R22",),
        ),
        Step(
            "Batches of B: m* = B M(n/B) in examples, with R22's exponent at n/B",
            (n / (batch * law(n / batch)) * sp.Derivative(batch * law(n / batch), n), "=", bend(n / batch)),
            uses=("R22",),
        ),
        Step(
            "Decay, l a step of the height b >= 0 above the contrast of parameters 0: aligning c (1-p) - l b, perturbing c p + l b; one "
            "more aligned example buys at most R22's e^-z",
            (up / down, "<=", 1 / x),
            uses=("R22",),
            proof=Witness(shrink * height * (1 + x) / (x * down)),
        ),
        Step(
            "and never less than nothing while z climbs: m* does not fall, it comes to rest with z, where c (1-p) = l b",
            (up / down, ">=", 0),
            uses=("step 19",),
            where=((start, up),),
            assume=(start,),
            proof=Witness(start / down),
        ),
    ]


BUILDERS: dict[str, Callable[[], Derivation]] = {"R26": _derive_optimisers}
