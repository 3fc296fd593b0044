"""R12: which divergence is balanced by which joint optimum, and by how much the other one misses."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import CODE, MIXTURE, NORMALISED, claims, mixture_at, mixture_of_three, symbols
from .language import Derivation, Rises, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter

POOL = "definition of the geometric pool"
DIVERGENCE = "definition of the divergence"


def pool_log(logs: Expr, volume: Expr, log_perturb: Expr, perturbation: Expr, log_norm: Expr) -> Expr:
    """ln g on a leaf: ``(v + l u)/(B + l) - zeta``, v = sum_{i != t} w_i ln P_i, u = ln P_t, zeta = ln Z.

    >>> import sympy as sp
    >>> pool_log(*sp.symbols("v B u l zeta"))
    -zeta + (l*u + v)/(B + l)
    """
    return (logs + perturbation * log_perturb) / (volume + perturbation) - log_norm


def _derive_divergences() -> Derivation:
    steps = [*_forward(), *_pool(), *_mixture(), *_expansion(), *_dual()]
    return Derivation(
        "R12",
        "Divergences",
        (
            "leaf masses with sum 1, volumes > 0, any number of datasets",
            "for the reverse divergence a common support; sums over it",
            "g = prod_i P_i^{w_i/N} / Z the geometric pool, q = sum_i w_i P_i / N the mixture",
        ),
        tuple(steps),
        claims(steps, 2, 5, 6, 8, 10, 13, 14, 18, 19, 23, 24),
        "Delta D(P_i || q) = DeltaH_i for the mixture. For the pool dD(g || P_i)/dl = -Cov_g(ln P_i, ln P_t)/N, "
        "sum_i w_i dD(g || P_i)/dl = 0 and k DeltaD_p + DeltaD_a = (k+1) D(g_L || g_0), exactly. For the mixture "
        "sum_i w_i dD(q || P_i)/dl = D(P_t || g) - D(P_t || q) - D(q || g) = sum_x (P_t - q) ln(q/(Z g)) "
        "= 1/2 sum_x q e_t sum_i (w_i/N) e_i^2 - 1/3 sum_x q e_t sum_i (w_i/N) e_i^3 + ..., third order in P_i/q - 1 "
        "where its terms are of second.",
    )


def _forward() -> list[Step]:
    import sympy as sp

    n = symbols()
    return [
        Step(
            "Forward: D(P || q) is the code length less the entropy of P, which no compressor changes",
            (n.Total(n.P * sp.log(n.P / n.q)), "=", n.Total(-n.P * sp.log(n.q)) - n.Total(-n.P * sp.log(n.P))),
            uses=(CODE, DIVERGENCE),
            where=mixture_at(n),
        ),
        Step(
            "so its changes are those of H, and R2-R5 hold for it as they stand",
            (
                n.Total(sp.Derivative(n.P * sp.log(n.P / n.q), n.l)),
                "=",
                n.Total(sp.Derivative(-n.P * sp.log(n.q), n.l)),
            ),
            uses=("step 1",),
            where=mixture_at(n),
        ),
    ]


def _pool() -> list[Step]:
    import sympy as sp

    n = symbols()
    g, g_0, g_L = (leaf_symbol(name, positive=True) for name in ("g", "g_0", "g_L"))
    v, u = leaf_symbol("v", real=True), leaf_symbol("u", real=True)
    zeta = open_function("zeta", real=True)(n.l)
    spread = leaf_symbol("z", real=True)
    mean_t, mean, joint = (parameter(name, real=True) for name in ("m_t", "m_P", "m_Pt"))
    epsilon, zeta_0 = parameter("epsilon", real=True), parameter("zeta_0", real=True)
    total = n.B + n.l
    ell = pool_log(v, n.B, u, n.l, zeta)
    x, z = sp.log(n.P / g), sp.log(n.t / g)
    moved = g * (1 + epsilon * (z - mean_t) / total)
    return [
        Step(
            "The pool on one leaf, u = ln P_t, v = sum_{i != t} w_i ln P_i: d ln g/dl is (u - ln g)/N less a constant",
            (sp.Derivative(ell, n.l), "=", (u - ell) / total - (zeta / total + sp.Derivative(zeta, n.l))),
            uses=(POOL,),
        ),
        Step(
            "Normalisation gives the constant: d ln g/dl = (z - m_t)/N, z = ln(P_t/g), m_t = sum_x g z",
            (n.Total(g * (z - mean_t) / total), "=", 0),
            uses=("step 3", NORMALISED),
            given=((g, 1), (g * z, mean_t)),
        ),
        Step(
            "The response of D(g || P) is minus a covariance under g of ln(P/g) and ln(P_t/g), over N",
            (
                n.Total(sp.Subs(sp.Derivative(moved * sp.log(moved / n.P), epsilon), epsilon, 0)),
                "=",
                -(joint - mean * mean_t) / total,
            ),
            uses=("step 4", DIVERGENCE),
            given=((g, 1), (g * z, mean_t), (g * x, mean), (g * x * z, joint)),
        ),
        Step(
            "So dD(g || P_t)/dl <= 0: the variance of z",
            (n.Total(g * z**2) - mean_t**2, ">=", 0),
            uses=("step 5", NORMALISED),
            given=((g, 1), (g * z, mean_t)),
            where=((spread, z),),
            proof=Witness(n.Total(g * (spread - mean_t) ** 2)),
        ),
        Step(
            "Weighted by volume the logarithms of the datasets are N ln g plus a constant",
            (v + n.l * u - total * ell, "=", total * zeta),
            uses=(POOL,),
        ),
        Step(
            "and the covariance with a constant is 0: the balance law of the pool, sum_i w_i dD(g || P_i)/dl = 0",
            (-n.Total(g * (z - mean_t) * (v + n.l * u - total * sp.log(g))) / total, "=", 0),
            uses=("steps 5 and 7",),
            where=((v, total * (sp.log(g) + zeta) - n.l * u),),
            given=((g, 1), (g * z, mean_t)),
        ),
        Step(
            "The pool minimises sum_i w_i D(. || P_i): any other masses rho cost N D(rho || g) more than -N ln Z",
            (
                n.Total(n.rho * (total * sp.log(n.rho) - v - n.l * u)),
                "=",
                total * n.Total(n.rho * (sp.log(n.rho) - ell)) - total * zeta,
            ),
            uses=(POOL, NORMALISED),
            given=((n.rho, 1),),
        ),
        Step(
            "So the residual of R5 is exact for it: sum_{i != t} w_i (D(g_L || P_i) - D(g_0 || P_i)) = N_0 D(g_L || g_0)",
            (
                n.Total(g_L * (n.B * sp.log(g_L) - v)) - n.Total(g_0 * (n.B * sp.log(g_0) - v)),
                "=",
                n.B * n.Total(g_L * sp.log(g_L / g_0)),
            ),
            uses=("step 9 with l = 0",),
            where=((v, n.B * (sp.log(g_0) + zeta_0)),),
            given=((g_0, 1), (g_L, 1)),
        ),
    ]


def _mixture() -> list[Step]:
    import sympy as sp

    n = symbols()
    q, g = leaf_symbol("q", positive=True), leaf_symbol("g", positive=True)
    mean_log = leaf_symbol("lambda", real=True)
    epsilon, log_norm = parameter("epsilon", real=True), parameter("zeta", real=True)
    moved = q + epsilon * (n.t - q) / n.N
    gaps = (n.k * n.Gap(n.p / n.q) + n.Gap(n.a / n.q) + n.l * n.Gap(n.t / n.q)) / n.N
    logs = (n.k * sp.log(n.p) + sp.log(n.a) + n.l * sp.log(n.t)) / n.N
    return [
        Step(
            "The mixture on one leaf moves by (P_t - q)/N",
            (sp.Derivative(n.q, n.l), "=", (n.t - n.q) / n.N),
            uses=(MIXTURE,),
            where=mixture_at(n),
        ),
        Step(
            "The balance of its reverse divergence, lambda = sum_i (w_i/N) ln P_i: a sum that need not be 0",
            (
                n.Total(sp.Subs(sp.Derivative(n.N * moved * (sp.log(moved) - mean_log), epsilon), epsilon, 0)),
                "=",
                n.Total((n.t - q) * (sp.log(q) - mean_log)),
            ),
            uses=("step 11", DIVERGENCE, NORMALISED),
            given=((q, 1), (n.t, 1)),
        ),
        Step(
            "It is the Pythagorean defect of P_t, q and the pool g, where lambda = ln g + zeta",
            (
                n.Total((n.t - q) * (sp.log(q) - mean_log)),
                "=",
                n.Total(n.t * sp.log(n.t / g)) - n.Total(n.t * sp.log(n.t / q)) - n.Total(q * sp.log(q / g)),
            ),
            uses=("step 12", POOL),
            where=((mean_log, sp.log(g) + log_norm),),
            given=((q, 1), (n.t, 1)),
        ),
        Step(
            "ln q - lambda, the logarithm of arithmetic over geometric mean, is sum_i (w_i/N) phi(P_i/q) (three datasets)",
            (sp.log(n.q) - logs, "=", gaps),
            uses=(MIXTURE, "definition of phi"),
            where=mixture_of_three(n),
        ),
    ]


def _expansion() -> list[Step]:
    import sympy as sp

    n = symbols()
    q, e_p, e_a = leaf_symbol("q", positive=True), leaf_symbol("e_p", real=True), leaf_symbol("e_a", real=True)
    epsilon, total, e_t = parameter("epsilon", real=True), n.k + 1 + n.l, leaf_symbol("e_t", real=True)
    no_sum = ((e_t, -(n.k * e_p + e_a) / n.l),)  # sum_i w_i e_i = 0 on every leaf
    weights = ((n.k, e_p), (1, e_a), (n.l, e_t))

    def log_one(e: Expr) -> Expr:
        return sp.log(1 + epsilon * e)

    miss = -q * epsilon * e_t * sum(w * log_one(e) for w, e in weights) / total

    def order(count: int) -> Expr:
        return sp.Subs(sp.Derivative(miss, (epsilon, count)), epsilon, 0)

    def power(count: int) -> Expr:
        return q * e_t * sum(w * e**count for w, e in weights) / total

    y = below = parameter("y", nonnegative=True)
    return [
        Step(
            "On one leaf, P_i = q (1 + epsilon e_i), sum_i w_i e_i = 0: each term w_i dD(q || P_i)/dl is of second order",
            (
                sp.Subs(sp.Derivative(-n.k * q * epsilon * e_t * log_one(e_p) / total, (epsilon, 2)), epsilon, 0),
                "=",
                -2 * n.k * q * e_t * e_p / total,
            ),
            uses=("step 12",),
        ),
        Step("Their sum has no first order", (order(1), "=", 0), uses=("step 12",), where=no_sum),
        Step("and no second, for sum_i w_i e_i = 0", (order(2), "=", 0), uses=("step 12",), where=no_sum),
        Step(
            "Third order: the miss is 1/2 sum_x q e_t sum_i (w_i/N) e_i^2",
            (n.Total(order(3) / 6), "=", n.Total(power(2) / 2)),
            uses=("step 12",),
            where=no_sum,
        ),
        Step(
            "Fourth order: -1/3 sum_x q e_t sum_i (w_i/N) e_i^3",
            (order(4) / 24, "=", -power(3) / 3),
            uses=("step 12",),
            where=no_sum,
        ),
        Step(
            "The remainder on a leaf with e = y >= 0: phi(1 + y) is below y^2/2",
            (y**2 / 2, ">=", n.Gap(1 + y)),
            proof=Rises(y, y**2 / (1 + y)),
        ),
        Step("by at most y^3/3", (n.Gap(1 + y), ">=", y**2 / 2 - y**3 / 3), proof=Rises(y, y**3 / (1 + y))),
        Step(
            "With e = -d, d = y/(1+y) < 1: phi(1 - d) is above d^2/2",
            (n.Gap(1 / (1 + below)), ">=", (below / (1 + below)) ** 2 / 2),
            proof=Rises(below, below**2 / (1 + below) ** 3),
        ),
        Step(
            "by at most d^3/(3 (1 - d)); so the miss is within sum_x q |e_t| sum_i (w_i/N) |e_i|^3/(3 (1 - |e_i|)) of step 18",
            (
                (below / (1 + below)) ** 2 / 2 + (below / (1 + below)) ** 3 * (1 + below) / 3,
                ">=",
                n.Gap(1 / (1 + below)),
            ),
            uses=("steps 14 and 20-22",),
            proof=Rises(below, below**3 / (3 * (1 + below) ** 3)),
        ),
    ]


def _dual() -> list[Step]:
    import sympy as sp

    n = symbols()
    q, g = leaf_symbol("q", positive=True), leaf_symbol("g", positive=True)
    mean_t, z = parameter("m_t", real=True), sp.log(n.t / leaf_symbol("g", positive=True))
    return [
        Step(
            "The pool misses the balance of the forward divergence by the dual defect, D(q || P_t) - D(q || g) - D(g || P_t)",
            (
                -n.Total(q * (z - mean_t)),
                "=",
                n.Total(q * sp.log(q / n.t)) - n.Total(q * sp.log(q / g)) - n.Total(g * sp.log(g / n.t)),
            ),
            uses=("step 4 in D(P_i || g), whose sum over i is that of N q", NORMALISED),
            given=((q, 1), (g, 1), (g * z, mean_t)),
        )
    ]


BUILDERS: dict[str, Callable[[], Derivation]] = {"R12": _derive_divergences}
