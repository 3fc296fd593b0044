"""R10, R11 and R20: depth, volume, and the overlaps of i.i.d. masses in closed form."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import MIXTURE, NORMALISED, claims, symbols
from .language import Derivation, Limit, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter


def overlap_loss(first: tuple[Expr, Expr, Expr], second: tuple[Expr, Expr, Expr]) -> Expr:
    """What ``sum_x a t / q`` loses when two leaves with masses (a, t, q) are merged into one.

    >>> import sympy as sp
    >>> a, t, q = sp.symbols("a t q")
    >>> sp.simplify(overlap_loss((a, t, q), (2 * a, 2 * t, 2 * q)))
    0
    """
    (a, t, q), (b, u, r) = first, second
    return a * t / q + b * u / r - (a + b) * (t + u) / (q + r)


def two_part_factor(alpha: Expr) -> Expr:
    """The factor of A_2: ``A_2 = factor [psi((alpha+1)/2) - psi(alpha/2)]``."""
    return 2 * alpha * (alpha - 1) / (2 * alpha - 1)


def _derive_depth() -> Derivation:

    n = symbols()
    a, t, q, b, u, r = (parameter(name, positive=True) for name in ("a_1", "t_1", "q_1", "a_2", "t_2", "q_2"))
    c, d = (parameter(name, positive=True) for name in ("b_1", "b_2"))
    w_a, w_t, depth = (parameter(name, positive=True) for name in ("w_a", "w_t", "d"))
    x, y, z = (parameter(f"u_{name}", real=True) for name in "bat")
    parts = parameter("n", positive=True)
    lost_t, lost_a = overlap_loss((t, t, q), (u, u, r)), overlap_loss((a, t, q), (b, u, r))
    two = ((q, (w_a * a + w_t * t) / (w_a + w_t)), (r, (w_a * b + w_t * u) / (w_a + w_t)))
    three = ((q, (c + a + t) / 3), (r, (d + b + u) / 3))
    cross_a, cross_t, cross_b = a * r - b * q, t * r - u * q, c * r - d * q
    joint = (n.q, (w_a * n.a + w_t * n.t) / (w_a + w_t))
    equal = ((n.q, (n.b + n.a + n.t) / 3),)
    steps = [
        Step(
            "Two leaves merged into one: T falls, or stays where P_t/q is equal on them",
            (lost_t, ">=", 0),
            uses=("definition of the overlap",),
            proof=Witness((t * r - u * q) ** 2 / (q * r * (q + r))),
        ),
        Step(
            "A loses the product of the two cross terms u_a = a_1 q_2 - a_2 q_1 and u_t: of either sign",
            (lost_a, "=", cross_a * cross_t / (q * r * (q + r))),
            uses=("definition of the overlap",),
        ),
        Step(
            "Two parts, weights w_a = k pi_a + 1, w_t = k pi_t + l: the cross terms are opposite",
            (w_a * cross_a, "=", -w_t * cross_t),
            uses=(MIXTURE,),
            where=two,
        ),
        Step(
            "so A gains w_t/w_a times what T loses: 1 - A falls on every draw",
            (w_a * lost_a, "=", -w_t * lost_t),
            uses=("step 3",),
            where=two,
        ),
        Step(
            "which is also w_a (1 - A) = w_t (T - 1), at every depth",
            (w_a * (1 - n.Total(n.a * n.t / n.q)), "=", w_t * (n.Total(n.t**2 / n.q) - 1)),
            uses=(MIXTURE, NORMALISED),
            given=((n.a, 1), (n.t, 1)),
            where=(joint,),
        ),
        Step(
            "Three equal parts, k -> inf: the three cross terms sum to 0",
            (cross_a + cross_t + cross_b, "=", 0),
            uses=(MIXTURE,),
            where=three,
        ),
        Step(
            "so their products in pairs have a sum that is <= 0",
            (x * y + x * z + y * z, "=", -(x**2 + y**2 + z**2) / 2),
            uses=("step 6",),
            where=((x, -y - z),),
        ),
        Step(
            "and a product that is >= 0: where no term is 0, one pair has equal signs and two have opposite ones",
            ((x * y) * (x * z) * (y * z), ">=", 0),
            proof=Witness((x * y * z) ** 2),
        ),
        Step(
            "So for exchangeable parts the chance that a merger of two leaves raises 1 - A is exactly 1/3 (the pair (a, t) "
            "is one of three), and in expectation 1 - A loses half of what T loses (A + A' + T loses 0)",
            (lost_a + overlap_loss((c, t, q), (d, u, r)) + lost_t, "=", 0),
            uses=("steps 2, 6", "exchangeability: E[A] = E[A']"),
            where=three,
        ),
        Step(
            "At every depth (1 - A) + (1 - A') = T - 1, so E[1 - A] = E[T - 1]/2",
            ((1 - n.Total(n.a * n.t / n.q)) + (1 - n.Total(n.b * n.t / n.q)), "=", n.Total(n.t**2 / n.q) - 1),
            uses=(MIXTURE, NORMALISED),
            given=((n.a, 1), (n.t, 1), (n.b, 1)),
            where=equal,
        ),
        Step(
            "and for n exchangeable parts E[1 - A] = E[T - 1]/(n - 1) alike",
            ((parts - 1) * (1 - n.A), "=", n.T - 1),
            uses=("sum_j O_jt = n", "exchangeability"),
            where=((n.T, parts - (parts - 1) * n.A),),
        ),
        Step(
            "A block has d tokens, so the response per token is at most 1/(N d)",
            ((1 - n.Total(n.a * n.t / n.q)) / (n.N * depth), "<=", 1 / (n.N * depth)),
            uses=("R1", "A >= 0"),
            where=((n.N, n.k + 1 + n.l), (n.q, (n.k * n.p + n.a + n.l * n.t) / (n.k + 1 + n.l))),
            proof=Witness(n.Total(n.a * n.t / n.q) / (n.N * depth)),
        ),
    ]
    return Derivation(
        "R10",
        "Depth, or model size",
        (
            "coarse-graining is merging leaves, two at a time; leaf masses > 0",
            "step 3-5: P_p = pi_a P_a + pi_t P_t; steps 6-11: equal exchangeable parts and k -> inf",
        ),
        tuple(steps),
        claims(steps, 1, 4, 5, 8, 9, 10, 11, 12),
        "coarse-graining never raises T; with two parts 1 - A falls with it; with three exchangeable parts E[1 - A] falls "
        "(by half of T's fall), while a single merger raises 1 - A with probability 1/3; per token the response is <= 1/(N d).",
    )


def _derive_volume() -> Derivation:
    import sympy as sp

    n = symbols()
    x, epsilon = parameter("x", positive=True), parameter("epsilon", real=True)
    p, total = leaf_symbol("p_x", positive=True), n.k + 1 + n.l
    overlap, covered = parameter("A_inf", real=True), leaf_symbol("a_x", positive=True)
    x_a, x_t, middle, size = (parameter(name, real=True) for name in ("x_a", "x_t", "m", "e"))
    leaf = n.a / (n.k + 1 + n.l) - n.a * n.t / (n.k * p + n.a + n.l * n.t)
    start = covered / (n.k + 1) - covered * n.t / (n.k * n.p + covered)
    at_start = sp.Subs(sp.Derivative(start, n.k), n.k, 0)
    steps = [
        Step(
            "On one leaf, k times the summand of dH_a as k = 1/x -> inf",
            (leaf / x, "->", n.a - n.a * n.t / p),
            uses=("R1", MIXTURE),
            where=((n.k, 1 / x),),
            proof=Limit(x),
        ),
        Step(
            "summed over the leaves, with A_inf = sum_x P_a P_t / P_p: k dH_a -> 1 - A_inf, so dH_a ~ (1 - A_inf)/k falls",
            (n.Total(n.a - n.a * n.t / n.p), "=", 1 - overlap),
            uses=("step 1", NORMALISED),
            given=((n.a, 1), (n.a * n.t / n.p, overlap)),
        ),
        Step(
            "Only the ratio to dH_p grows with k: -dH_a/dH_p = k/(1 - eps), and eps -> l (T_inf - 1)/(1 - A_inf)",
            (-((1 - n.A) / total) / ((1 - n.C) / total), "=", n.k / (1 - epsilon)),
            uses=("R1", "R3"),
            where=((n.C, (total - n.A - n.l * n.T) / n.k), (epsilon, n.l * (n.T - 1) / (1 - n.A))),
        ),
        Step(
            "At k = 0, l = 0, where q = P_a: dH_a = 0, if P_a covers P_t",
            (n.Total(start.subs(n.k, 0)), "=", 0),
            uses=("R1", NORMALISED),
            given=((covered, 1), (n.t, 1)),
        ),
        Step("and there the slope in k, on one leaf", (at_start, "=", n.p * n.t / covered - covered), uses=("R1",)),
        Step(
            "so, where P_p = (P_a + P_t)/2, dH_a first rises: the slope is half the chi-square divergence of P_t from P_a",
            (n.Total(n.p * n.t / covered - covered), ">=", 0),
            uses=("step 5", "the union"),
            given=((covered, 1), (n.t, 1)),
            where=((n.p, (covered + n.t) / 2),),
            proof=Witness(n.Total((n.t - covered) ** 2 / covered) / 2),
        ),
        Step(
            "Small dispersion e, Y_j = 1 + e x_j, m = sum_j v_j x_j, v_j = w_j/N: second order of the overlap's summand",
            (
                sp.Subs(sp.Derivative((1 + size * x_a) * (1 + size * x_t) / (1 + size * middle), (size, 2)), size, 0)
                / 2,
                "=",
                x_a * x_t - (x_a + x_t) * middle + middle**2,
            ),
            uses=("definition of the overlap",),
        ),
        Step(
            "so for i.i.d. x_j with variance 1, (1 - A)/e^2 = v_a + v_t - sum_j v_j^2; three equal parts at l = 0",
            (
                (n.k / 3 + 1) / (n.k + 1)
                + (n.k / 3) / (n.k + 1)
                - (2 * (n.k / 3) ** 2 + (n.k / 3 + 1) ** 2) / (n.k + 1) ** 2,
                "=",
                n.k * (n.k / 3 + 1) / (n.k + 1) ** 2,
            ),
            uses=("step 7", "E[x_i x_j] = 0 for i != j"),
        ),
        Step(
            "and dH_a = (1 - A)/(k + 1) turns where k^2 + 4k = 3, at k = sqrt(7) - 2 = 0.646, below |D_a| itself",
            (
                sp.Derivative(n.k * (n.k / 3 + 1) / (n.k + 1) ** 3, n.k),
                "=",
                (3 - 4 * n.k - n.k**2) / (3 * (n.k + 1) ** 4),
            ),
            uses=("step 8",),
        ),
        Step(
            "and for two equal parts where k^2 + 2k = 2, at k = sqrt(3) - 1 = 0.732",
            (
                sp.Derivative(n.k * (n.k / 2 + 1) / (n.k + 1) ** 3, n.k),
                "=",
                (2 - 2 * n.k - n.k**2) / (2 * (n.k + 1) ** 4),
            ),
            uses=("the same",),
        ),
    ]
    return Derivation(
        "R11",
        "Volume",
        (
            "volumes (k, 1, l), in the unit of |D_a|, so that dH_a/dl is dH_a/d|D_t|",
            "P_p covers P_a and P_t (as the union does), finitely many leaves (sum and limit commute)",
        ),
        tuple(steps),
        claims(steps, 1, 2, 3, 6, 9, 10),
        "k dH_a/d|D_t| -> 1 - A_inf: the response to one unit of perturbation falls as 1/k once k passes a value below 1. "
        "Only -dH_a/dH_p = k/(1 - eps) grows, so the theorem does not by itself give F3 (volume).",
    )


def _derive_closed() -> Derivation:
    import sympy as sp

    s, y = parameter("s", positive=True), parameter("Y", positive=True)
    y_a, y_t, y_b = (parameter(f"Y_{name}", positive=True) for name in "atb")
    w_a, w_t, w_b = (parameter(f"w_{name}", positive=True) for name in "atb")
    alpha, shape, parts = (parameter(name, positive=True) for name in ("alpha", "c", "n"))
    x, ratio, v = parameter("x", positive=True), parameter("u", positive=True), parameter("v", positive=True)
    mean = alpha / (alpha - 1)
    total = w_a * y_a + w_t * y_t + w_b * y_b
    excess = parameter("eta", positive=True)  # alpha = 1 + eta
    leaves, mu = parameter("M", positive=True), parameter("mu", positive=True)
    psi, beta, squares = open_function("psi", real=True), parameter("beta", real=True), parameter("I", real=True)
    phi = open_function("phi", positive=True)(s)
    lower, upper = psi(alpha / 2), psi((alpha + 1) / 2)
    fold = sp.Integral(v ** (alpha - 1), (v, 0, 1))
    steps = [
        Step("A positive sum S as an integral", (sp.Integral(sp.exp(-s * y), (s, 0, sp.oo)), "=", 1 / y)),
        Step(
            "so what is averaged over the leaves is an integral of a product over the parts, e^{-sS} = prod_j e^{-w_j s Y_j}",
            (sp.Integral(y_a * y_t * sp.exp(-s * total), (s, 0, sp.oo)), "=", y_a * y_t / total),
            uses=("step 1",),
        ),
        Step(
            "each factor of which has -phi'(ws) or phi(ws) as its mean, phi(s) = E[e^{-sY}]",
            (-sp.Derivative(sp.exp(-s * y), s), "=", y * sp.exp(-s * y)),
            uses=("independence of the parts", "Tonelli: all is positive"),
        ),
        Step(
            "Equal parts, k -> inf (w_j = 1/n, N = 1; Y_b the sum of the others): what is averaged is (n/mu) int ds of a "
            "product with the mean phi^{n-2} phi'^2, so A_n = (n/mu) int phi^{n-2} phi'^2 ds",
            (
                y_a * y_t / (mu * (y_a + y_t + y_b) / parts),
                "=",
                (parts / mu) * sp.Integral(y_a * y_t * sp.exp(-s * (y_a + y_t + y_b)), (s, 0, sp.oo)),
            ),
            uses=("steps 1-3", "law of large numbers: sum_x Y/M -> mu"),
        ),
        Step(
            "Pareto: phi(s) = alpha E_{alpha+1}(s), and -phi' = alpha E_alpha",
            (-sp.Derivative(alpha * sp.expint(alpha + 1, s), s), "=", alpha * sp.expint(alpha, s)),
            uses=("E_nu(s) = int_1^inf u^-nu e^{-su} du",),
        ),
        Step(
            "with mu = alpha/(alpha - 1)",
            (sp.Integral(alpha * sp.exp(-alpha * y) * sp.exp(y), (y, 0, sp.oo)), "=", mean),
            uses=("ln Y is exponential with rate alpha",),
            where=((alpha, 1 + excess),),
        ),
        Step(
            "so three parts have A_3 = 3 (alpha-1) alpha^2 int E_{alpha+1} E_alpha^2 ds: under the integral of step 4 stands",
            (
                3 / mean * phi * sp.Derivative(phi, s) ** 2,
                "=",
                3 * (alpha - 1) * alpha**2 * sp.expint(alpha + 1, s) * sp.expint(alpha, s) ** 2,
            ),
            uses=("steps 4-6",),
            where=((phi, alpha * sp.expint(alpha + 1, s)),),
            assume=(phi,),
        ),
        Step(
            "Two parts: A_2 = 2 (alpha-1) alpha int E_alpha^2 ds",
            (2 / mean * sp.Derivative(phi, s) ** 2, "=", 2 * (alpha - 1) * alpha * sp.expint(alpha, s) ** 2),
            uses=("steps 4-6",),
            where=((phi, alpha * sp.expint(alpha + 1, s)),),
            assume=(phi,),
        ),
        Step(
            "int E_alpha^2 ds = int int (xy)^-alpha/(x+y) dx dy; twice y > x, y = xu, splits it",
            ((x * x * ratio) ** -alpha * x / (x + x * ratio), "=", x ** (-2 * alpha) * ratio**-alpha / (1 + ratio)),
            uses=("step 1", "Tonelli"),
        ),
        Step(
            "of which the part in x is",
            (sp.Integral(sp.exp(-2 * alpha * y) * sp.exp(y), (y, 0, sp.oo)), "=", 1 / (2 * alpha - 1)),
            uses=("x = e^Y",),
            where=((alpha, 1 + excess),),
        ),
        Step(
            "and the part in u = 1/v is beta(alpha) = int_0^1 v^{alpha-1}/(1+v) dv",
            (((1 / v) ** -alpha / (1 + 1 / v)) / v**2, "=", v ** (alpha - 1) / (1 + v)),
            uses=("du = -dv/v^2",),
        ),
        Step(
            "beta(alpha) + beta(alpha+1) = 1/alpha, since the integrands add up to v^{alpha-1}",
            (v ** (alpha - 1) / (1 + v) + v**alpha / (1 + v), "=", v ** (alpha - 1)),
        ),
        Step("whose integral is", (fold, "=", 1 / alpha)),
        Step(
            "D(alpha) = [psi((alpha+1)/2) - psi(alpha/2)]/2 obeys the same recurrence",
            ((upper - lower) / 2 + (psi(alpha / 2 + 1) - upper) / 2, "=", 1 / alpha),
            uses=("psi(z+1) = psi(z) + 1/z (DLMF 5.5.2)",),
            where=((psi(alpha / 2 + 1), lower + 2 / alpha),),
            assume=(psi(alpha / 2 + 1),),
        ),
        Step(
            "beta >= 0 gives beta(alpha) <= 1/alpha, and psi rises, so D >= 0 gives D(alpha) <= 1/alpha: hence "
            "|beta - D|(alpha) = |beta - D|(alpha + m) <= 1/(alpha + m) for every m, and that vanishes",
            (1 / (alpha + 1 / x), "->", 0),
            uses=("steps 12-14",),
            proof=Limit(x),
        ),
        Step(
            "so beta = D, int E_alpha^2 ds = 2 beta/(2 alpha - 1), and A_2 is the closed form",
            (2 * (alpha - 1) * alpha * squares, "=", two_part_factor(alpha) * (upper - lower)),
            uses=("steps 8-15",),
            where=((squares, 2 * beta / (2 * alpha - 1)), (beta, (upper - lower) / 2)),
        ),
        Step(
            "Gamma masses with shape c, phi = (1+s)^-c: A_n = nc/(nc+1)",
            (
                (parts / shape) * sp.Integral(shape**2 * sp.exp(-(parts * shape + 1) * y), (y, 0, sp.oo)),
                "=",
                parts * shape / (parts * shape + 1),
            ),
            uses=("step 4", "1 + s = e^Y"),
        ),
        Step(
            "Without the union, k -> inf: A -> E[Y] E[1/Y] (R9c)",
            (
                mean * sp.Integral(alpha * sp.exp(-alpha * y) * sp.exp(-y), (y, 0, sp.oo)),
                "=",
                alpha**2 / (alpha**2 - 1),
            ),
            uses=("ln Y is exponential with rate alpha",),
            where=((alpha, 1 + excess),),
        ),
        Step(
            "On M leaves: the summand is at most Y_t/w_a (and Y_a/w_t), so it exceeds y only where both Y_a and Y_t are of "
            "size y, with probability of order y^{-2 alpha}: its variance is finite for every alpha > 1",
            (y_a * y_t / total, "<=", y_t / w_a),
            proof=Witness(y_t * (w_t * y_t + w_b * y_b) / (w_a * total)),
        ),
        Step(
            "and it is the normalisations sum_x Y_j = M mu (1 + delta_j) that fluctuate: one leaf alone makes delta_j > x with "
            "probability M (M mu x)^-alpha, of order M^{1-alpha}: for alpha < 2 the order of the bias and the variance of A_M",
            (leaves * (leaves * mu * x) ** -alpha, "=", leaves ** (1 - alpha) * (mu * x) ** -alpha),
            uses=("A_M is bounded, and E[delta_j] = 0",),
        ),
    ]
    return Derivation(
        "R20",
        "Overlaps in closed form",
        (
            "n parts with i.i.d. masses Y > 0 on each leaf, mean mu, Laplace transform phi; the number of leaves goes to infinity",
            "Pareto: Pr[Y > y] = y^-alpha for y >= 1, alpha > 1",
        ),
        tuple(steps),
        claims(steps, 4, 7, 8, 16, 17, 18, 19),
        "A_n = (n/mu) int phi^{n-2} phi'^2 ds; Pareto: A_3 = 3 (alpha-1) alpha^2 int E_{alpha+1} E_alpha^2 ds and "
        "A_2 = [2 alpha (alpha-1)/(2 alpha-1)] [psi((alpha+1)/2) - psi(alpha/2)]; gamma: A_n = nc/(nc+1).",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R10": _derive_depth, "R11": _derive_volume, "R20": _derive_closed}
