"""R1-R4: response, balance, Theta and signs."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import (
    CODE,
    MIXTURE,
    NORMALISED,
    claims,
    gap_lemma,
    mixture_at,
    mixture_of_three,
    pooled_sums,
    symbols,
    three_sums,
)
from .language import Derivation, Limit, Step, Witness
from .words import open_function, parameter


def _derive_response() -> Derivation:
    import sympy as sp

    n = symbols()
    at, three = mixture_at(n), mixture_of_three(n)
    code = sp.Derivative(-n.P * sp.log(n.q), n.l)
    steps = [
        Step(
            "q is a mass distribution",
            (n.Total(n.q), "=", 1),
            uses=(MIXTURE, NORMALISED),
            given=pooled_sums(n),
            where=at,
        ),
        Step(
            "On one leaf, the derivative of the summand of H(P, q)",
            (code, "=", n.P / n.N - n.P * n.t / (n.N * n.q)),
            uses=(MIXTURE, CODE),
            where=at,
        ),
        Step(
            "Summed over leaves, with the overlap O = sum_x P P_t / q: the response of any dataset P",
            (n.Total(code), "=", (1 - n.O) / n.N),
            uses=("step 2", NORMALISED, "definition of the overlap"),
            given=((n.P, 1), (n.P * n.t / n.q, n.O)),
            where=at,
        ),
    ]
    for mass, overlap, word in ((n.p, n.C, "pre-training"), (n.a, n.A, "alignment"), (n.t, n.T, "perturbation")):
        steps.append(
            Step(
                f"The response of the {word} data, volumes (k, 1, l)",
                (n.Total(sp.Derivative(-mass * sp.log(n.q), n.l)), "=", (1 - overlap) / n.N),
                uses=("step 3",),
                given=((mass, 1), (mass * n.t / n.q, overlap)),
                where=three,
            )
        )
    steps += [
        Step(
            "T - 1 is the chi-square divergence of P_t from q, so dH_t <= 0",
            (n.Total(n.t**2 / n.q), ">=", 1),
            uses=(MIXTURE, NORMALISED),
            given=pooled_sums(n),
            where=at,
            proof=Witness(n.Total((n.t - n.q) ** 2 / n.q)),
        ),
        Step(
            "The overlaps, weighted by volume, add up to N",
            (n.k * n.C + n.A + n.l * n.T, "=", n.N),
            uses=(MIXTURE, NORMALISED),
            where=(
                (n.C, n.Total(n.p * n.t / n.q)),
                (n.A, n.Total(n.a * n.t / n.q)),
                (n.T, n.Total(n.t**2 / n.q)),
                *three,
            ),
            given=three_sums(n),
        ),
        Step(
            "So A <= N (and kC <= N, lT <= N alike)",
            (n.Total(n.a * n.t / n.q), "<=", n.N),
            uses=("step 8",),
            where=three,
            given=three_sums(n),
            proof=Witness(n.Total((n.k * n.p + n.l * n.t) * n.t / n.q)),
        ),
    ]
    return Derivation(
        "R1",
        "Response",
        (
            "leaf masses P >= 0 with sum 1 and volumes > 0, any number of datasets (b = sum of w P and B = sum of w over "
            "all but the perturbation)",
            "sums over the support of q, which holds every leaf of positive mass (l > 0, or P_t covered by the others)",
        ),
        tuple(steps),
        claims(steps, 3, 4, 5, 6, 7, 9),
        "dH_i/dl = (1 - sum_x P_i P_t / q) / N for every dataset: dH_p = (1-C)/N, dH_a = (1-A)/N, dH_t = (1-T)/N <= 0, "
        "with A <= N, C <= N/k, T <= N/l.",
    )


def _derive_balance() -> Derivation:
    import sympy as sp

    n = symbols()
    at = mixture_at(n)
    tau = parameter("tau", nonnegative=True)
    steps = [
        Step(
            "On one leaf, the responses weighted by volume (b collects the others, so their number does not matter)",
            (n.b * (1 / n.N - n.t / (n.N * n.q)) + n.l * n.t * (1 / n.N - n.t / (n.N * n.q)), "=", n.q - n.t),
            uses=("R1", MIXTURE),
            where=at,
        ),
        Step(
            "Summed over leaves: the balance law, for any distributions, volumes and number of datasets",
            (n.Total((n.b + n.l * n.t) * (1 / n.N - n.t / (n.N * n.q))), "=", 0),
            uses=("step 1", NORMALISED),
            given=pooled_sums(n),
            where=at,
        ),
        Step(
            "The same in the overlaps of three datasets",
            ((n.k * (1 - n.C) + (1 - n.A) + n.l * (1 - n.T)) / n.N, "=", 0),
            uses=("R1", NORMALISED),
            where=(
                (n.C, n.Total(n.p * n.t / n.q)),
                (n.A, n.Total(n.a * n.t / n.q)),
                (n.T, n.Total(n.t**2 / n.q)),
                *mixture_of_three(n),
            ),
            given=three_sums(n),
        ),
        *gap_lemma(),
        Step(
            "q minimises sum_i w_i H(P_i, .): any other masses rho cost N KL(q || rho) more",
            (
                n.Total(-(n.b + n.l * n.t) * sp.log(n.rho)) - n.Total(-(n.b + n.l * n.t) * sp.log(n.q)),
                "=",
                n.N * n.Total(n.q * sp.log(n.q / n.rho)),
            ),
            uses=(MIXTURE, CODE),
            where=at,
        ),
        Step(
            "and that is >= 0 (Gibbs), so the balance law is the envelope theorem at this minimum",
            (n.N * n.Total(n.q * sp.log(n.q / n.rho)), ">=", 0),
            uses=("phi >= 0 (steps 4, 5)", NORMALISED),
            given=(*pooled_sums(n), (n.rho, 1)),
            where=at,
            proof=Witness(n.N * n.Total(n.q * n.Gap(n.rho / n.q))),
        ),
        Step(
            "Without coverage, at l -> 0, with mass tau of P_t outside the support of q_0: the others' balance is tau",
            (n.Total(n.b * (1 / n.B - n.t / n.b)), "=", tau),
            uses=("R1 on the leaves of q_0", NORMALISED),
            given=((n.b, n.B), (n.t, 1 - tau)),
        ),
    ]
    return Derivation(
        "R2",
        "Balance law",
        ("the standing hypotheses of R1", "no assumption on the distributions (no Pareto law, no union)"),
        tuple(steps),
        claims(steps, 2, 3, 7, 8),
        "sum_i w_i dH_i/dl = 0, that is k dH_p + dH_a + l dH_t = 0; without coverage k dH_p + dH_a -> tau as l -> 0.",
    )


def _derive_theta() -> Derivation:
    import sympy as sp

    n = symbols()
    total = n.k + 1 + n.l
    epsilon = parameter("epsilon", real=True)
    alpha, chi = parameter("alpha", positive=True), parameter("chi", nonnegative=True)
    x, z, tau = parameter("x", nonnegative=True), parameter("z", positive=True), parameter("tau", nonnegative=True)
    response_a, response_t = (1 - n.A) / total, (1 - n.T) / total
    eps = n.l * (n.T - 1) / (1 - n.A)
    steps = [
        Step(
            "k dH_p from the balance law, with eps = l (T-1)/(1-A)",
            (-response_a - n.l * response_t, "=", -(1 - epsilon) * response_a),
            uses=("R1", "R2"),
            where=((epsilon, eps),),
        ),
        Step(
            "The same from R1 alone, where kC = N - A - lT",
            (n.k * (1 - n.C) / total, "=", -(1 - epsilon) * response_a),
            uses=("R1", "R1 step 8"),
            where=((n.C, (total - n.A - n.l * n.T) / n.k), (epsilon, eps)),
        ),
        Step(
            "So the constant, for A != 1 and eps != 1",
            (-response_a / (-response_a - n.l * response_t), "=", 1 / (1 - epsilon)),
            uses=("step 1",),
            where=((epsilon, eps),),
        ),
        Step(
            "Where A = 1 - alpha < 1: eps >= 0 (T = 1 + chi, chi the chi-square divergence of P_t from q)",
            (n.l * (n.T - 1) / (1 - n.A), ">=", 0),
            uses=("R1 step 7",),
            where=((n.T, 1 + chi), (n.A, 1 - alpha)),
            proof=Witness(n.l * chi / alpha),
        ),
        Step(
            "so with eps = x/(x+z) in [0, 1) the constant is at least 1",
            (1 / (1 - epsilon), ">=", 1),
            uses=("step 4",),
            where=((epsilon, x / (x + z)),),
            proof=Witness(x / z),
        ),
        Step(
            "Two-sided Theta, above: eps <= 1 - delta (eps = 1 - delta - x) keeps the constant at or below 1/delta",
            (1 / (1 - epsilon), "<=", 1 / n.delta),
            where=((epsilon, 1 - n.delta - x),),
            proof=Witness(x / (n.delta * (n.delta + x))),
        ),
        Step(
            "and below: eps >= -M (1 - eps = z > 0, M = z - 1 + x) keeps it at or above 1/(1+M)",
            (1 / (1 - epsilon), ">=", 1 / (1 + parameter("M", real=True))),
            where=((epsilon, 1 - z), (parameter("M", real=True), z - 1 + x)),
            proof=Witness(x / (z * (z + x))),
        ),
        Step(
            "Without coverage a leaf that only P_t has adds N P_t to lT",
            (n.l * n.t**2 / n.q, "=", n.N * n.t),
            uses=(MIXTURE,),
            where=(*mixture_at(n), (n.b, sp.Integer(0))),
        ),
        Step(
            "so eps does not vanish with l: eps -> N_0 tau/(1 - A)",
            ((n.l * (n.T - 1) + (n.B + n.l) * tau) / (1 - n.A), "->", n.B * tau / (1 - n.A)),
            uses=("step 8", "A and the covered part of T converge"),
            proof=Limit(n.l),
        ),
    ]
    return Derivation(
        "R3",
        "Theta, with its constant",
        ("the standing hypotheses of R1", "A != 1 and eps != 1"),
        tuple(steps),
        claims(steps, 3, 4, 5, 6, 7, 9),
        "-(dH_a/dl)/(k dH_p/dl) = 1/(1 - eps), eps = l (T-1)/(1-A); -M <= eps <= 1 - delta puts it in [1/(1+M), 1/delta]; "
        "where dH_p < 0 < dH_a it is >= 1.",
    )


def _derive_signs() -> Derivation:
    import sympy as sp

    n = symbols()
    at, total = mixture_at(n), n.k + 1 + n.l
    alpha, chi = parameter("alpha", nonnegative=True), parameter("chi", nonnegative=True)
    u, epsilon = parameter("u", positive=True), parameter("epsilon", real=True)
    ratio = open_function("r", leaf=True)(n.l)
    shared = open_function("q_u", leaf=True, positive=True)(u)
    rest = parameter("u'")
    by_share = ((shared, rest * n.q_0 + u * n.t), (rest, 1 - u))
    second = sp.Derivative(-n.P * sp.log(shared), (u, 2))
    steps = [
        Step(
            "dH_a > 0 exactly where A < 1",
            (n.N * n.Total(sp.Derivative(-n.P * sp.log(n.q), n.l)), "=", 1 - n.A),
            uses=("R1 for P = P_a", "N > 0"),
            given=((n.P, 1), (n.P * n.t / n.q, n.A)),
            where=at,
        ),
        Step(
            "and then k dH_p = -(1 - eps) dH_a is < 0 exactly where eps < 1",
            (n.k * (1 - n.C) / total, "=", -(1 - epsilon) * (1 - n.A) / total),
            uses=("R3",),
            where=((n.C, (total - n.A - n.l * n.T) / n.k), (epsilon, n.l * (n.T - 1) / (1 - n.A))),
        ),
        Step(
            "A = 1 + alpha >= 1 forces dH_p >= 0 (T = 1 + chi)",
            (n.k * (1 - n.C) / total, ">=", 0),
            uses=("R1 steps 7, 8",),
            where=((n.C, (total - n.A - n.l * n.T) / n.k), (n.A, 1 + alpha), (n.T, 1 + chi)),
            proof=Witness((alpha + n.l * chi) / total),
        ),
        Step(
            "In the share u = l/N the mixture moves on a straight line from q_0 to P_t",
            (n.q, "=", (1 - u) * n.q_0 + u * n.t),
            uses=(MIXTURE,),
            where=(*at, (u, n.l / (n.B + n.l)), (n.q_0, n.b / n.B)),
        ),
        Step(
            "so each H_i is convex in u, leaf by leaf",
            (second, ">=", 0),
            uses=("step 4", CODE),
            where=by_share,
            assume=(rest,),
            proof=Witness(n.P * (n.t - n.q_0) ** 2 / shared**2),
        ),
        Step(
            "and N^2 dH_i/dl = N_0 dH_i/du: the sign in l is the sign of a derivative that never falls",
            (
                n.N**2 * sp.Derivative(-n.P * sp.log(n.q), n.l),
                "=",
                n.B * sp.Subs(sp.Derivative(-n.P * sp.log((1 - u) * n.b / n.B + u * n.t), u), u, n.l / (n.B + n.l)),
            ),
            uses=("steps 4, 5", "chain rule"),
            where=at,
        ),
        Step(
            "The same without the change of variable, r = P_t/q: d/dl of N (1 - O) is at least 0",
            (n.Total(sp.Derivative(n.N * n.P - n.N * n.P * n.t / n.q, n.l)), ">=", 0),
            uses=("R1", NORMALISED, "Jensen"),
            given=((n.P, 1),),
            where=((ratio, n.t / n.q), *at),
            proof=Witness(n.Total(n.P * (ratio - 1) ** 2)),
        ),
    ]
    return Derivation(
        "R4",
        "Signs",
        ("the standing hypotheses of R1",),
        tuple(steps),
        claims(steps, 1, 2, 3, 5, 7),
        "dH_a > 0 iff A < 1; then dH_p < 0 iff eps < 1; A >= 1 forces dH_p >= 0. N^2 dH_i/dl never falls in l, so each "
        "derivative changes sign at most once, from - to +, and A(0) < 1 gives dH_a > 0 for all l.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {
    "R1": _derive_response,
    "R2": _derive_balance,
    "R3": _derive_theta,
    "R4": _derive_signs,
}
