"""R18: Theorem 4.2 made true, for any model class, and with its best constants for mixtures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

from .definitions import MIXTURE, NORMALISED, claims, symbols
from .language import ConcaveThenConvex, Derivation, Limit, Rises, Step, Witness
from .words import Expr, leaf_function, leaf_symbol, parameter, parameters

START = "the start is optimal at l_0: alpha DeltaH_a = (beta + l_0) (-DeltaH_t) + s_0, s_0 >= 0"
END = "the end is optimal at l_1: (beta + l_1) (-DeltaH_t) = alpha DeltaH_a + s_1, s_1 >= 0"


@cache
def union_symbols() -> SimpleNamespace:
    """The union P_p = pi_a P_a + pi_t P_t in two weights: alpha = 1 + zeta, zeta = k pi_a, and beta = k pi_t.

    x, y = DeltaH_a, -DeltaH_t by the slacks s_0, s_1 >= 0; D_0, D_1 = beta - zeta l_0, beta - zeta l_1 are > 0 below the threshold.
    """

    names = SimpleNamespace(g=parameter("gap"), beta=parameter("beta"), a=parameter("zeta", real=True))
    for name in ("l_0", "s_0", "s_1"):
        setattr(names, name, parameter(name, nonnegative=True))
    for name in ("alpha", "D_0", "D_1"):
        setattr(names, name, parameter(name, positive=True))
    names.l_1 = names.l_0 + names.g
    names.x, names.y = parameter("x", real=True), parameter("y", real=True)
    names.hypotheses = (
        (names.x, ((names.beta + names.l_0) * names.y + names.s_0) / names.alpha),
        (names.y, (names.s_0 + names.s_1) / names.g),
    )
    names.short = (
        (names.D_0, names.beta - names.a * names.l_0),
        (names.D_1, names.beta - names.a * names.l_1),
        (names.alpha, 1 + names.a),
    )
    names.where = (*names.hypotheses, *names.short)
    names.sure = {
        "where": names.where,
        "signs": ((names.D_0, (names.g * names.beta + names.l_0 * names.D_1) / (names.l_0 + names.g)),),
        "assume": (names.alpha, names.D_1),
    }
    names.any = {"where": (*names.hypotheses, (names.alpha, 1 + names.a)), "assume": (names.alpha,)}
    names.down = names.beta * names.y - names.a * names.x  # -k DeltaH_p
    return names


def theta_constant(beta: Expr, a: Expr, moved: Expr) -> Expr:
    """(beta + c)/(beta - zeta c): the constant where the residual is c times the fall; (1 + 2 c/k)/(1 - c) for equal halves."""
    return (beta + moved) / (beta - a * moved)


def _union_steps() -> list[Step]:

    n, u = symbols(), union_symbols()
    missed, share = parameter("miss_1", nonnegative=True), parameter("pi_+", nonnegative=True)
    code, shares = leaf_symbol("lambda", real=True), parameters("pi_a pi_t", real=True)
    h_p, h_a, h_t = parameters("H_p H_a H_t", real=True)
    union = (n.p, shares[0] * n.a + shares[1] * n.t)
    return [
        Step(
            "A union is a union for every model: H_p = pi_a H_a + pi_t H_t, whatever code lengths lambda a model has",
            (n.Total(n.p * code), "=", shares[0] * n.Total(n.a * code) + shares[1] * n.Total(n.t * code)),
            uses=("P_p = pi_a P_a + pi_t P_t",),
            where=(union,),
            assume=(n.p,),
        ),
        Step(
            "so training minimises alpha H_a + (beta + l) H_t, with alpha = 1 + k pi_a, beta = k pi_t: two datasets",
            (n.k * h_p + h_a + n.l * h_t, "=", u.alpha * h_a + (u.beta + n.l) * h_t),
            uses=("step 1",),
            where=((h_p, shares[0] * h_a + shares[1] * h_t), (u.alpha, 1 + n.k * shares[0]), (u.beta, n.k * shares[1])),
            assume=(u.alpha, u.beta),
        ),
        Step(
            "The two hypotheses, solved for x = DeltaH_a and y = -DeltaH_t: the start ...",
            (u.alpha * u.x, "=", (u.beta + u.l_0) * u.y + u.s_0),
            uses=(START,),
            **u.any,
        ),
        Step(
            "... and the end, a step gap = l_1 - l_0 later",
            ((u.beta + u.l_1) * u.y, "=", u.alpha * u.x + u.s_1),
            uses=(END,),
            **u.any,
        ),
        Step(
            "DeltaH_t <= 0, and < 0 unless s_0 = s_1 = 0: then nothing has moved",
            (u.y, ">=", 0),
            **u.any,
            proof=Witness((u.s_0 + u.s_1) / u.g),
        ),
        Step(
            "DeltaH_a > 0 where anything moves",
            (u.x, ">=", 0),
            uses=("steps 3, 4", "alpha > 0"),
            **u.any,
            proof=Witness(((u.beta + u.l_1) * u.s_0 + (u.beta + u.l_0) * u.s_1) / (u.alpha * u.g)),
        ),
        Step(
            "DeltaH_p < 0 where anything moves, for l_1 pi_a < pi_t (D_1 = beta - zeta l_1 > 0, D_0 alike, zeta "
            "= k pi_a): k DeltaH_p = zeta x - beta y",
            (u.down, ">=", 0),
            uses=("step 1", "steps 3, 4"),
            **u.sure,
            proof=Witness((u.D_1 * u.s_0 + u.D_0 * u.s_1) / (u.alpha * u.g)),
        ),
        Step(
            "Below: DeltaH_a >= (beta + l_0)/(beta - zeta l_0) (-k DeltaH_p), with equality iff both models are "
            "optimal at l_0; 1 at l_0 = 0",
            (u.x, ">=", (u.beta + u.l_0) / u.D_0 * u.down),
            uses=("step 3",),
            **u.sure,
            proof=Witness(u.beta * u.s_0 / u.D_0),
        ),
        Step(
            "Above: DeltaH_a <= (beta + l_1)/(beta - zeta l_1) (-k DeltaH_p), with equality iff both models are "
            "optimal at l_1",
            (u.x, "<=", (u.beta + u.l_1) / u.D_1 * u.down),
            uses=("step 4",),
            **u.sure,
            proof=Witness(u.beta * u.s_1 / u.D_1),
        ),
        Step(
            "Equal halves, pi_a = pi_t = 1/2: the constant is (1 + 2 l/k)/(1 - l)",
            (theta_constant(n.k / 2, n.k / 2, n.l), "=", (1 + 2 * n.l / n.k) / (1 - n.l)),
        ),
        Step(
            "Unequal parts: it is (1 + l/(k pi_t))/(1 - l pi_a/pi_t)",
            (
                theta_constant(n.k * shares[1], n.k * shares[0], n.l),
                "=",
                (1 + n.l / (n.k * shares[1])) / (1 - n.l * shares[0] / shares[1]),
            ),
        ),
        Step(
            "What the hypotheses say of the data, on the line from P_a (0) to P_t (1): q_L is beyond q_0 iff "
            "alpha > 0 ...",
            ((u.beta + n.L) / (n.k + 1 + n.L) - u.beta / (n.k + 1), "=", n.L * u.alpha / ((n.k + 1) * (n.k + 1 + n.L))),
            uses=(MIXTURE, "pi_a + pi_t = 1"),
            where=((u.alpha, 1 + n.k - u.beta),),
            assume=(u.alpha,),
        ),
        Step(
            "... and short of P_p iff L pi_a < pi_t: the signs are sure iff q_L lies strictly between q_0 and P_p",
            (
                shares[1] - (n.k * shares[1] + n.L) / (n.k + 1 + n.L),
                "=",
                (shares[1] - n.L * shares[0]) / (n.k + 1 + n.L),
            ),
            uses=(MIXTURE, "pi_a + pi_t = 1"),
            where=((shares[0], 1 - shares[1]),),
        ),
        Step(
            "On a differentiable branch it is attained at every l: alpha dH_a + (beta + l) dH_t = 0",
            (-h_a / (u.a * h_a + u.beta * h_t), "=", theta_constant(u.beta, u.a, n.l)),
            uses=("R2 (R6)", "step 1"),
            where=((h_t, -(1 + u.a) * h_a / (u.beta + n.l)),),
        ),
        Step(
            "Optima missed by miss_0 and miss_1: s_0 - miss_0 and s_1 - miss_1 stand in place of s_0 and s_1, so "
            "k DeltaH_p < 0 is sure "
            "once (beta - zeta l_1) y > zeta miss_1 (and DeltaH_a > 0 once (beta + l_0) y > miss_0)",
            (
                u.beta * u.y - u.a * ((u.beta + u.l_1) * u.y - u.s_1 + missed) / u.alpha,
                ">=",
                (u.D_1 * u.y - u.a * missed) / u.alpha,
            ),
            uses=("step 4 with its miss",),
            where=(*u.short[1:], (u.a, n.k * share), (share, shares[0])),
            signs=((u.alpha, 1 + n.k * share),),
            assume=(u.D_1, share),
            proof=Witness(n.k * share * u.s_1 / u.alpha),
        ),
    ]


def _further_steps() -> list[Step]:
    """Further parts, and where the theorem stops."""
    import sympy as sp

    n, u = symbols(), union_symbols()
    h_a, h_t, further = parameters("x y Z", real=True)
    shares = parameters("pi_a pi_t", real=True)
    ratio, fall = parameter("R", real=True), parameter("y_t", nonnegative=True)
    heavy, light = parameters("c e", positive=True)
    s = parameter("s", real=True)
    return [
        Step(
            "Further parts: with Z = sum_j pi_j DeltaH_j = R DeltaH_a the change of the objective is that of two "
            "datasets with "
            "alpha = 1 + k (pi_a + R). Where that and DeltaH_a are > 0, steps 3 to 9 stand with pi_a + R for pi_a",
            (
                n.k * (shares[0] * h_a - shares[1] * h_t + further) + h_a - n.l * h_t,
                "=",
                (1 + n.k * (shares[0] + ratio)) * h_a - (n.k * shares[1] + n.l) * h_t,
            ),
            where=((further, ratio * h_a),),
        ),
        Step(
            "Beyond the threshold (l_1 pi_a > pi_t, D_1 < 0) the sign of DeltaH_p is wrong for two models that "
            "are both optimal at l_1 (s_1 = 0)",
            (u.down, "=", (u.beta - u.a * u.l_1) * u.s_0 / (u.alpha * u.g)),
            uses=("steps 3, 4",),
            where=(*u.any["where"], (u.s_1, sp.Integer(0))),
            assume=(u.alpha,),
        ),
        Step(
            "If P_p, P_a, P_t are independent, some f = ln(q_0/q_1) has P_a . f = -1, P_p . f = 1/k, P_t . f = "
            "-y_t: both signs wrong, at any L, "
            "and both models optimal where they have to be: residual 0 <= L y_t",
            (n.k * (1 / n.k) - 1 + n.L * fall, ">=", 0),
            uses=("three independent linear conditions on f",),
            proof=Witness(n.L * fall),
        ),
        Step(
            "and f is a ratio of distributions: f takes both signs, and if sum_x [u exp(-f)] = 1 + c for some "
            "masses u, then q_0 = (1-s) u + s on the leaf "
            "where exp(-f) = 1/(1 + e) is least, with this s in (0, 1), has sum_x [q_0 exp(-f)] = 1 (for a sum "
            "below 1, alike)",
            ((1 - s) * (1 + heavy) + s / (1 + light), "=", 1),
            where=((s, heavy * (1 + light) / (heavy * (1 + light) + light)),),
        ),
    ]


# --- the best constants for mixtures --------------------------------------------------------------------------------


def ratio_kappa(u: Expr, v: Expr) -> Expr:
    """kappa(u, v) = u (v - ln(1+v))/((u+v) ln(1+v) - u v): residual over N_0 times fall, where P_t/q_0 is 1 + v/u or just beside 1.

    u = L/N_L. v = -u (P_t misses a rare event) gives c/N_0 of R5.
    """
    import sympy as sp

    return u * (v - sp.log(1 + v)) / ((u + v) * sp.log(1 + v) - u * v)


@cache
def floor_function() -> Expr:
    """The mirror image of psi (R5) for P_t <= m q_0: known to be >= 0 for 0 <= y = m - P_t/q_0 <= m, u < 1 (`_floor_lemma`)."""
    import sympy as sp

    n = _floor_symbols()
    kappa = ratio_kappa(n.u, n.v)
    body = (1 + kappa) * (n.v - n.u * n.y) - (1 + kappa * (1 + n.v / n.u - n.y)) * sp.log(1 + n.v - n.u * n.y)
    return leaf_function(
        "chi", r"\chi", body, lambda stated: _floor_lemma(stated)[-1], (n.y, n.moved, n.v, n.u, n.rest)
    )


@cache
def _floor_symbols() -> SimpleNamespace:
    """y = m - P_t/q_0 and omega = q_L/q_0 = 1 + v - u y on a leaf; u = L/N_L, u' = 1 - u and v = u (m - 1)."""
    names = SimpleNamespace(y=leaf_symbol("y_m"), moved=leaf_symbol("omega", positive=True))
    names.u, names.v, names.rest = parameters("u v u'")
    names.where = ((names.moved, 1 + names.v - names.u * names.y), (names.rest, 1 - names.u))
    return names


def _floor_lemma(stated: Expr | None = None) -> list[Step]:
    import sympy as sp

    names, gap = _floor_symbols(), symbols().Gap
    y, u, v, moved, rest = names.y, names.u, names.v, names.moved, names.rest
    excess, kappa, bottom = parameter("D", nonnegative=True), parameter("kappa", nonnegative=True), parameter("E")
    below = Step(
        "D = ln(1+v) - 2 v/(2+v) is >= 0",
        (sp.log(1 + v), ">=", 2 * v / (2 + v)),
        proof=Rises(v, v**2 / ((1 + v) * (2 + v) ** 2)),
    )
    return [
        below,
        Step(
            "so the denominator E of kappa is > 0 (u < 1; u' = 1 - u), as is its numerator v - ln(1+v)",
            ((u + v) * sp.log(1 + v) - u * v, ">=", 0),
            where=((excess, sp.log(1 + v) - 2 * v / (2 + v)), names.where[1]),
            signs=((excess, below.excess),),
            assume=(rest,),
            proof=Witness((u + v) * excess + v**2 * (1 + rest) / (2 + v)),
        ),
        Step(
            "chi(y) >= 0 for y = m - P_t/q_0 in [0, m], m = 1 + v/u; it is 0 at y = 0 (P_t = m q_0) and at P_t = q_0",
            ((stated or floor_function())(y, moved, v, u, rest), ">=", 0),
            uses=("D >= 0", "E > 0", "q_L/q_0 = 1 + v - u y > 0"),
            where=(
                (kappa, ratio_kappa(u, v)),
                (excess, sp.log(1 + v) - 2 * v / (2 + v)),
                (bottom, (u + v) * sp.log(1 + v) - u * v),
                *names.where,
            ),
            signs=(
                (excess, below.excess),
                (bottom, (u + v) * excess + v**2 * (1 + rest) / (2 + v)),
                (kappa, u * gap(1 + v) / bottom),
            ),
            assume=(moved, rest),
            proof=ConcaveThenConvex(
                y,
                v / u,
                bend=u * (u - 2 * kappa * (1 - u) - kappa * (u + v) + kappa * u * y),
                positive=moved**2,
                bend_slope=kappa * u**2,
                bend_at_touch=u**2 * (2 + v) * excess / bottom,
            ),
        ),
    ]


def _mixture_steps() -> list[Step]:
    import sympy as sp

    n, w, names, lemma = symbols(), union_symbols(), _floor_symbols(), _floor_lemma()
    start = leaf_symbol("q_0x", positive=True)
    m = 1 + names.v / names.u
    residual = n.B * n.Total(-start * sp.log(names.moved))
    fall = n.Total((m - names.y) * start * sp.log(names.moved))
    delta, mu = n.delta, parameter("mu", positive=True)
    rare = (1 - delta * m) / (1 - delta)
    logs = (sp.log(1 + names.v), sp.log(1 + names.u * (rare - 1)))
    return [
        Step(
            "For mixtures: N_0 q_0 = alpha P_a + beta P_t, so P_t <= m q_0 with m = N_0/beta; any q_0 and P_t <= "
            "m q_0 occur",
            (n.B * n.q_0 - w.beta * n.t, ">=", 0),
            uses=(MIXTURE,),
            where=((n.q_0, (w.alpha * n.a + w.beta * n.t) / n.B),),
            proof=Witness(w.alpha * n.a),
        ),
        *lemma,
        Step(
            "The residual is at least c_- (H_t(0) - H_t(L)), c_- = N_0 kappa(u, v), u = L/N_L, v = u (m - 1); on "
            "a leaf P_t = (m - y) q_0, "
            "q_L = (1 + v - u y) q_0",
            (residual - n.B * ratio_kappa(names.u, names.v) * fall, ">=", 0),
            uses=("R5 step 1", "chi >= 0", NORMALISED),
            given=((start, 1), (start * names.y, names.v / names.u)),
            where=lemma[-1].where,
            signs=lemma[-1].signs,
            assume=lemma[-1].assume,
            proof=Witness(n.B * n.Total(start * floor_function()(names.y, names.moved, names.v, names.u, names.rest))),
        ),
        Step(
            "c_- is attained as delta -> 0: P_t = m q_0 on an event of probability delta, which P_a misses",
            (
                -(delta * logs[0] + (1 - delta) * logs[1]) / (delta * m * logs[0] + (1 - delta) * rare * logs[1]),
                "->",
                ratio_kappa(names.u, names.v),
            ),
            uses=("R5 step 1 on the event and the rest",),
            proof=Limit(delta),
        ),
        Step(
            "At the other end v = -u: P_t misses a rare event; kappa is gamma of R5, c_+ = c (the extremal "
            "family is a union)",
            (ratio_kappa(n.w / (1 + n.w), -n.w / (1 + n.w)), "=", (1 + n.w) * sp.log(1 + n.w) / n.w - 1),
            uses=("R5", "u = w/(1+w), w = L/N_0"),
        ),
        Step(
            "So DeltaH_a/(-k DeltaH_p) lies between (beta + c)/(beta - zeta c) at c_- and at c_+; as N_0 grows "
            "both c tend to L/2 (v = mu u)",
            (ratio_kappa(names.u, mu * names.u) / names.u, "->", sp.Rational(1, 2)),
            uses=("steps 8, 9 with c_- and c_+ in place of l_0 and l_1", "c/L = kappa/u up to 1 - u"),
            proof=Limit(names.u),
        ),
    ]


def _derive_theorem() -> Derivation:
    steps = (*_union_steps(), *_further_steps(), *_mixture_steps())
    return Derivation(
        "R18",
        "The theorem, made true",
        (
            "P_p = pi_a P_a + pi_t P_t, pi_a + pi_t = 1, pi_t > 0 and 1 + k pi_a > 0 (pi_a = pi_t = 1/2, equal halves, in the "
            "short form); any distributions",
            "any model class; both models minimise k H_p + H_a + l H_t, at l_0 and at l_1 > l_0; H_t(theta_0) is "
            "finite",
            "l_1 pi_a < pi_t (l_1 < 1 where pi_a = pi_t = 1/2)",
        ),
        steps,
        claims(steps, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 24, 25, 26, 27),
        "if anything moves, DeltaH_p < 0 < DeltaH_a and c(l_0) <= -DeltaH_a/(k DeltaH_p) <= c(l_1) with c(l) = "
        "(1 + l/(k pi_t))/(1 - l pi_a/pi_t), "
        "which is 1 at 0 and (1 + 2 l/k)/(1 - l) for pi_a = pi_t = 1/2; on a smooth branch the instantaneous constant is "
        "c(l). Both ends are attained by "
        "classes of two models. In the data q_L has to lie between q_0 and P_p: off that line both signs can be "
        "wrong at every L. For mixtures "
        "the best constants are c at c_- and at c_+, which tend to 1/(1 - L/2) for pi_a = pi_t = 1/2 as k grows.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R18": _derive_theorem}
