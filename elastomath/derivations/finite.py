"""R5: the finite law and its best constant for mixtures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from .definitions import CODE, MIXTURE, NORMALISED, claims, gap_lemma, mixture_at, path_ends, pooled_sums, symbols
from .language import ConcaveThenConvex, Derivation, Limit, Rises, Step, Witness
from .words import Expr, leaf_function, open_function, parameter


def sharp_gamma(w: Expr) -> Expr:
    """gamma(w) = (1 + w) ln(1 + w)/w - 1, so that c(L) = B gamma(L/B)."""
    import sympy as sp

    return (1 + w) * sp.log(1 + w) / w - 1


def psi(y: Expr, w: Expr) -> Expr:
    """psi(y) = (1 + gamma y/w) ln((1+y)/(1+w)) - (y - w) ln(1+w)/w on a leaf with y = L P_t/b."""
    import sympy as sp

    return (1 + sharp_gamma(w) * y / w) * sp.log((1 + y) / (1 + w)) - (y - w) * sp.log(1 + w) / w


@cache
def psi_function() -> Expr:
    """psi as a function of (y, w) that is known to be >= 0 for y >= 0 and w > 0 (`psi_lemma`)."""
    n = symbols()
    return leaf_function("psi", r"\psi", psi(n.y, n.w), lambda stated: psi_lemma(stated)[-1], (n.y, n.w))


def psi_lemma(stated: Expr | None = None) -> list[Step]:
    """psi(y) >= 0 for y >= 0, and what it needs about gamma."""
    import sympy as sp

    n = symbols()
    y, w = n.y, n.w
    gamma, excess = parameter("gamma", nonnegative=True), parameter("D", nonnegative=True)
    numerator, log_excess = [
        Step(
            "gamma(w) = (1+w) ln(1+w)/w - 1 is >= 0", ((1 + w) * sp.log(1 + w), ">=", w), proof=Rises(w, sp.log(1 + w))
        ),
        Step(
            "A lower bound on the logarithm",
            (sp.log(1 + w), ">=", 2 * w / (2 + w)),
            proof=Rises(w, w**2 / ((1 + w) * (2 + w) ** 2)),
        ),
    ]
    return [
        numerator,
        log_excess,
        Step(
            "psi(y) >= 0 for y >= 0; it is 0 at y = 0 (leaves that P_t misses) and at y = w (leaves that do not move)",
            ((stated or psi_function())(y, w), ">=", 0),
            uses=("gamma >= 0", "D = ln(1+w) - 2w/(2+w) >= 0"),
            where=((gamma, sharp_gamma(w)), (excess, sp.log(1 + w) - 2 * w / (2 + w))),
            signs=((gamma, numerator.excess / w), (excess, log_excess.excess)),
            proof=ConcaveThenConvex(
                y,
                w,
                bend=gamma * y / w + 2 * gamma / w - 1,
                positive=(1 + y) ** 2,
                bend_slope=gamma / w,
                bend_at_touch=(w + 2) * (1 + w) / w**2 * excess,
            ),
        ),
    ]


def _derive_finite() -> Derivation:
    import sympy as sp

    n = symbols()
    path, pooled = path_ends(n), pooled_sums(n)
    start, chi = parameter("l_0", nonnegative=True), parameter("chi", nonnegative=True)
    residual = n.Total(-n.b * sp.log(n.q_L)) - n.Total(-n.b * sp.log(n.q_0))
    fall = n.Total(-n.t * sp.log(n.q_0)) - n.Total(-n.t * sp.log(n.q_L))
    loss = n.Total(n.b * sp.log(n.q_0 / n.q_L))
    in_share = (*path, (n.L, n.w * n.B))
    moved = 1 + n.delta * n.w / ((1 - n.delta) * (1 + n.w))  # q_L/q_0 on the leaves of P_t, in the extremal family
    along = sp.log(n.b / n.B) - sp.log((n.b + n.L * n.t) / (n.B + n.L))
    ratio = open_function("r", leaf=True, nonnegative=True)(n.l)
    steps = [
        Step(
            "The residual is exactly N_0 KL(q_0 || q_L)",
            (residual, "=", n.B * n.Total(n.q_0 * sp.log(n.q_0 / n.q_L))),
            uses=(MIXTURE, CODE),
            where=path,
        ),
        *gap_lemma(),
        Step(
            "so it is >= 0",
            (residual, ">=", 0),
            uses=("step 1", "phi >= 0 (steps 2, 3)", NORMALISED),
            given=pooled,
            where=path,
            proof=Witness(n.B * n.Total(n.q_0 * n.Gap(n.q_L / n.q_0))),
        ),
        Step(
            "L (H_t(0) - H_t(L)) exceeds the residual by exactly N_L KL(q_L || q_0)",
            (n.L * fall - residual, "=", n.N_L * n.Total(n.q_L * sp.log(n.q_L / n.q_0))),
            uses=(MIXTURE, CODE),
            where=path,
        ),
        Step(
            "which is >= 0: the upper bound of any model class",
            (n.L * fall - residual, ">=", 0),
            uses=("step 5", "phi >= 0 (steps 2, 3)", NORMALISED),
            given=pooled,
            where=path,
            proof=Witness(n.N_L * n.Total(n.q_L * n.Gap(n.q_0 / n.q_L))),
        ),
        Step(
            "From any start l_0, pool l_0 of P_t into b: the others' residual is l_0 (H_t(l_0) - H_t(l_1)) more",
            (n.Total((n.b - start * n.t) * sp.log(n.q_0 / n.q_L)), "=", start * fall + residual),
            uses=("steps 1-6 with b, B at l_0 and L = l_1 - l_0",),
            where=path,
        ),
        Step(
            "Small L, first order: the residual has slope 0 at L = 0",
            (n.Total(sp.Subs(sp.Derivative(n.b * along, n.L), n.L, 0)), "=", 0),
            uses=("step 1", NORMALISED),
            given=pooled,
        ),
        Step(
            "Small L, second order: residual = L^2 (T_0 - 1)/(2 N_0) + O(L^3)",
            (n.Total(sp.Subs(sp.Derivative(n.b * along, (n.L, 2)), n.L, 0)), "=", (n.T - 1) / n.B),
            uses=("step 1", "T_0 = sum_x P_t^2 / q_0"),
            given=(*pooled, (n.t**2 * n.B / n.b, n.T)),
        ),
        Step(
            "H_t is convex in l (T = 1 + chi, r = P_t/q): N^2 d^2H_t/dl^2 = sum_x P_t r^2 - 1 >= 0",
            (n.N**2 * n.Total(sp.Derivative(-n.t * sp.log(n.q), (n.l, 2))), ">=", 0),
            uses=("R1 step 7", NORMALISED),
            given=((n.t, 1), (n.t**2 / n.q, 1 + chi)),
            where=((ratio, n.t / n.q), *mixture_at(n)),
            proof=Witness(n.Total(n.t * (ratio - 1 - chi) ** 2) + chi * (2 + chi)),
        ),
        *psi_lemma(),
        Step(
            "For mixtures, with w = L/N_0 and c = N_0 gamma(w): c (H_t(0) - H_t(L)) - residual is a sum of psi",
            (n.B * sharp_gamma(n.w) * fall - loss, ">=", 0),
            uses=("step 1", "psi >= 0 (step 13)", NORMALISED),
            given=pooled,
            where=((n.y, n.L * n.t / (n.B * n.q_0)), *in_share),
            proof=Witness(n.Total(n.b * psi_function()(n.y, n.w))),
        ),
        Step(
            "c is at most L/2, so L/2 will do in place of L (w c/L = gamma, multiplied out)",
            (n.w**2 / 2 + n.w, ">=", (1 + n.w) * sp.log(1 + n.w)),
            uses=("phi >= 0",),
            proof=Rises(n.w, n.Gap(1 + n.w)),
        ),
        Step("1/2 is sharp as L -> 0", (sharp_gamma(n.w) / n.w, "->", sp.Rational(1, 2)), proof=Limit(n.w)),
        Step(
            "c is sharp at every L: P_t = q_0 given an event of probability 1 - delta, delta -> 0",
            (
                n.B * (-(1 - n.delta) * sp.log(moved) + n.delta * sp.log(1 + n.w)) / sp.log(moved),
                "->",
                n.B * sharp_gamma(n.w),
            ),
            uses=("step 1 on the leaves of the event and the rest",),
            proof=Limit(n.delta),
        ),
    ]
    return Derivation(
        "R5",
        "Finite law",
        (
            "leaf masses with sum 1, volumes > 0, P_t covered by the others (else H_t(0) is infinite and the bound empty)",
            "b = sum of w P and B = N_0 = sum of w over all but the perturbation; L > 0",
        ),
        tuple(steps),
        claims(steps, 1, 4, 5, 6, 14, 15, 16, 17),
        "0 <= k DeltaH_p + DeltaH_a = (k+1) KL(q_0 || q_L) = L (H_t(0) - H_t(L)) - N_L KL(q_L || q_0) "
        "<= c (H_t(0) - H_t(L)) with c = N_0 [(N_L/L) ln(N_L/N_0) - 1] <= L/2; c is the best constant at every L.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R5": _derive_finite}
