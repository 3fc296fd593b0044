"""R8: the union law, for parts of any shares, any other parts, and any model class."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import MIXTURE, NORMALISED, claims, mixture_of_three, symbols
from .language import Derivation, Limit, Step, Witness
from .words import leaf_symbol, parameter


def _derive_union() -> Derivation:
    import sympy as sp

    n = symbols()
    share_a, share_t = parameter("pi_a"), parameter("pi_t")
    other = leaf_symbol("u")  # the union of the parts that are neither a nor t, with share 1 - pi_a - pi_t
    share_u, overlap_u = parameter("pi_u", nonnegative=True), parameter("O_u", real=True)
    q, swapped, total = n.q, leaf_symbol("q_s", positive=True), n.k + 1 + n.l
    rest, prime = parameter("R", real=True), parameter("R_1", real=True)
    alpha, chi, z = parameter("alpha", positive=True), parameter("chi", nonnegative=True), parameter("z", positive=True)
    shares = (share_u, 1 - share_a - share_t)
    union = ((n.p, share_a * n.a + share_t * n.t + share_u * other), shares)
    three = ((n.q, mixture_of_three(n)[0][1]), (n.N, mixture_of_three(n)[1][1]), *union)
    masses = ((n.a, 1), (n.t, 1), (other, 1))
    balanced_t = 1 + (n.k * (share_a + rest) + 1) * (1 - n.A) / (n.k * share_t + n.l)  # T by step 3
    epsilon = parameter("epsilon", real=True)
    eps = n.l * (n.k * share_a + 1 + n.k * rest) / (n.k * share_t + n.l)
    slope_a, slope_t = parameter("h_a", positive=True), parameter("h_t", real=True)
    slope_p = (
        share_a + rest
    ) * slope_a + share_t * slope_t  # dH_p = sum_j pi_j dH_j, with R = sum_other pi_j dH_j/dH_a
    third = sp.Rational(1, 3)
    thirds = ((n.q, mixture_of_three(n)[0][1]), (n.N, total), (n.p, third * (n.a + n.t + other)))
    first = (n.k * third * (n.a + n.t + other) + n.a + n.l * n.t) / total
    exchanged = (n.k * third * (n.a + n.t + other) + other + n.l * n.t) / total
    parts, inverse = parameter("n"), parameter("x", positive=True)
    steps = [
        Step(
            "The overlap of a union is the average of the overlaps of its parts",
            (
                n.Total(n.p * n.t / q),
                "=",
                share_a * n.Total(n.a * n.t / q) + share_t * n.Total(n.t**2 / q) + share_u * n.Total(other * n.t / q),
            ),
            uses=("definition of the union",),
            where=union,
            assume=(share_u,),
        ),
        Step(
            "so 1 - C in units of 1 - A and T - 1, with R = sum_other pi_j (1 - O_j)/(1 - A)",
            (1 - n.C, "=", (share_a + rest) * (1 - n.A) - share_t * (n.T - 1)),
            uses=("step 1", "the shares add up to 1"),
            where=(
                (n.C, share_a * n.A + share_t * n.T + share_u * overlap_u),
                (rest, share_u * (1 - overlap_u) / (1 - n.A)),
                shares,
            ),
            assume=(share_u,),
        ),
        Step(
            "The balance law of a union: what the perturbation gains is what alignment and the other parts lose",
            (
                (n.k * share_t + n.l) * n.Total(n.t**2 / q - n.t),
                "=",
                (n.k * share_a + 1) * n.Total(n.a - n.a * n.t / q) + n.k * share_u * n.Total(other - other * n.t / q),
            ),
            uses=("R2", MIXTURE, NORMALISED),
            given=masses,
            where=three,
            assume=(share_u,),
        ),
        Step(
            "so eps = l (T-1)/(1-A) is known from the volumes, the shares and R alone",
            (n.l * (n.T - 1) / (1 - n.A), "=", eps),
            uses=("R3", "step 3"),
            where=((n.T, balanced_t),),
        ),
        Step(
            "and with it the constant of Theta",
            (1 / (1 - epsilon), "=", (1 + n.l / (n.k * share_t)) / (1 - n.l * (share_a + rest) / share_t)),
            uses=("R3", "step 4"),
            where=((epsilon, eps),),
        ),
        Step(
            "The signs: where dH_a > 0, dH_p < 0 exactly where l (pi_a + R) < pi_t",
            (
                n.k * (1 - n.C) / total,
                "=",
                -n.k * (share_t - n.l * (share_a + rest)) / (n.k * share_t + n.l) * (1 - n.A) / total,
            ),
            uses=("R1", "steps 2, 3"),
            where=((n.C, 1 - (share_a + rest) * (1 - n.A) + share_t * (n.T - 1)), (n.T, balanced_t)),
        ),
        Step(
            "Where A = 1 - alpha < 1 (T = 1 + chi), pi_a + R cannot fall below -1/k; where it is <= 0 every l will do",
            (share_a + rest, ">=", -1 / n.k),
            uses=("step 3", "T >= 1"),
            where=((rest, ((n.k * share_t + n.l) * chi / alpha - 1) / n.k - share_a),),
            proof=Witness((n.k * share_t + n.l) * chi / (alpha * n.k)),
        ),
        Step(
            "In any model class H_p = sum_j pi_j H_j; with the balance law (R6) its derivatives give the same constant",
            (-slope_a / (n.k * slope_p), "=", (1 + n.l / (n.k * share_t)) / (1 - n.l * (share_a + rest) / share_t)),
            uses=("R6", "R = sum_other pi_j dH_j/dH_a"),
            where=((slope_t, -(n.k * (share_a + rest) + 1) * slope_a / (n.k * share_t + n.l)),),
        ),
        Step(
            "and that value of dH_t is the one that balances",
            (n.k * slope_p + slope_a + n.l * slope_t, "=", 0),
            uses=("R6",),
            where=((slope_t, -(n.k * (share_a + rest) + 1) * slope_a / (n.k * share_t + n.l)),),
        ),
        Step(
            "Three equal parts a, t, u: T + A + A' = 3 + (3/k) [(1-A) - l (T-1)], A' = sum_x u t/q",
            (
                n.k * n.Total(n.t**2 / q + n.a * n.t / q + other * n.t / q),
                "=",
                3 * n.k + 3 * n.Total(n.a - n.a * n.t / q) - 3 * n.l * n.Total(n.t**2 / q - n.t),
            ),
            uses=("step 3",),
            given=masses,
            where=thirds,
        ),
        Step(
            "Three equal parts: the constant, with R' = (1-A')/(1-A) = 3 R; the threshold is 1/(1+R')",
            (
                (1 + n.l / (n.k * share_t)) / (1 - n.l * (share_a + rest) / share_t),
                "=",
                (1 + 3 * n.l / n.k) / (1 - n.l * (1 + prime)),
            ),
            uses=("step 5",),
            where=((rest, prime / 3), (share_a, third), (share_t, third)),
        ),
        Step(
            "Exchange a and u: q becomes q_s, and the leaf's A - A' changes by a negative term",
            (n.t * (n.a - other) * (1 / q - 1 / swapped), "=", -n.t * (n.a - other) ** 2 / (total * q * swapped)),
            uses=(MIXTURE,),
            where=((q, first), (swapped, exchanged)),
        ),
        Step(
            "so for exchangeable parts 2 E[A' - A] >= 0 at every k: as a ratio of expectations R' <= 1, with gap O(1/k)",
            (n.Total(n.t * (n.a - other) * (1 / swapped - 1 / q)), ">=", 0),
            uses=("step 12",),
            where=((q, first), (swapped, exchanged)),
            proof=Witness(n.Total(n.t * (n.a - other) ** 2 / (total * q * swapped))),
        ),
        Step(
            "n exchangeable equal parts, k = 1/x -> infinity, where R = (n-2)/n: eps -> (n-1) l",
            (n.l * (share_a / inverse + 1 + rest / inverse) / (share_t / inverse + n.l), "->", (parts - 1) * n.l),
            uses=("step 4", "step 13"),
            where=((rest, (parts - 2) / parts), (share_a, 1 / parts), (share_t, 1 / parts)),
            proof=Limit(inverse),
        ),
        Step(
            "Three equal disjoint parts: A = A' = 0, so R' = 1 and eps = l (2k+3)/(k+3l), with no limit",
            (eps, "=", n.l * (2 * n.k + 3) / (n.k + 3 * n.l)),
            uses=("step 4",),
            where=((rest, third), (share_a, third), (share_t, third)),
        ),
        Step(
            "Two parts: R = 0 and pi_a = pi_t = 1/2: the constant of R18, and the threshold 1",
            (1 / (1 - epsilon), "=", (1 + 2 * n.l / n.k) / (1 - n.l)),
            uses=("step 4",),
            where=((epsilon, eps), (rest, 0), (share_a, sp.Rational(1, 2)), (share_t, sp.Rational(1, 2))),
        ),
        Step(
            "Between them: l = pi_t/(pi_a + R) - z below the threshold keeps 1 - eps > 0 (x = pi_a + R > 0)",
            (1 - epsilon, ">=", 0),
            uses=("step 4",),
            where=((epsilon, eps), (rest, inverse - share_a), (share_t, (n.l + z) * inverse)),
            proof=Witness(n.k * inverse * z / (n.k * (n.l + z) * inverse + n.l)),
        ),
    ]
    return Derivation(
        "R8",
        "Union law",
        (
            "P_p = sum_j pi_j P_j, the parts a and t among them with shares pi_a >= 0, pi_t > 0 (u pools the others)",
            "A != 1; no limit, no expectation, no Pareto law (steps 12 to 14: exchangeable parts, in expectation)",
        ),
        tuple(steps),
        claims(steps, 4, 5, 6, 7, 8, 11, 13, 14, 16, 17),
        "eps = l (k pi_a + 1 + k R)/(k pi_t + l), constant (1 + l/(k pi_t))/(1 - l (pi_a + R)/pi_t); given dH_a > 0, "
        "dH_p < 0 exactly where l (pi_a + R) < pi_t: for l < pi_t/(pi_a + R) if pi_a + R > 0, for every l if not. R is "
        "read at the same l.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R8": _derive_union}
