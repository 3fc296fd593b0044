"""R16: the effective volumes at joint optima of any model class, from the curve alone."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import MIXTURE, NORMALISED, claims, symbols
from .language import Derivation, Limit, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter, parameters


def _stieltjes_steps() -> list[Step]:
    import sympy as sp

    n = symbols()
    perturb = open_function("H_t", real=True)
    u = parameter("u", positive=True)
    work = sp.Integral(perturb(u), (u, 0, n.L)) - n.L * perturb(n.L)
    low, fall, width = leaf_symbol("l_j"), leaf_symbol("f_j"), leaf_symbol("d_j")
    under, over, short = leaf_symbol("s_j"), leaf_symbol("r_j"), leaf_symbol("e_j")
    piece = leaf_symbol("R_j", real=True)
    total_fall = parameter("F", nonnegative=True)
    mesh = parameter("mesh")
    return [
        Step(
            "On a differentiable branch: the work int_0^L l (-dH_t) = int_0^L H_t - L H_t(L) grows by -L dH_t, "
            "as does k DeltaH_p + DeltaH_a",
            (sp.Derivative(work, n.L), "=", -n.L * sp.Derivative(perturb(n.L), n.L)),
            uses=("R2: k dH_p + dH_a = -l dH_t", "integration by parts"),
        ),
        Step(
            "With jumps: the residual is at least the lower Stieltjes sum over any partition (j runs over its "
            "intervals)",
            (n.Total(piece), ">=", n.Total(low * fall)),
            uses=("R6 step 4 on each interval",),
            where=((piece, low * fall + under),),
            proof=Witness(n.Total(under)),
        ),
        Step(
            "and at most the upper one",
            (n.Total(piece), "<=", n.Total((low + width) * fall)),
            uses=("R6 step 5 on each interval",),
            where=((piece, (low + width) * fall - over),),
            proof=Witness(n.Total(over)),
        ),
        Step(
            "and they differ by at most mesh (H_t(0) - H_t(L)): both sums tend to int l (-dH_t), so K_p = k, K_a "
            "= 1, exactly",
            (n.Total((low + width) * fall) - n.Total(low * fall), "<=", mesh * total_fall),
            uses=("H_t falls (R6 step 6)", "no interval is longer than the mesh"),
            given=((fall, total_fall),),
            where=((width, mesh - short),),
            assume=(width,),
            proof=Witness(n.Total(short * fall)),
        ),
    ]


def _scale_steps() -> list[Step]:
    import sympy as sp

    n = symbols()
    scale, error = parameter("s", real=True), parameter("error", real=True)
    slope_a, slope_t, bend_t, bend_a = parameters("h_a h_t b_t b_a", real=True)
    rise_p, rise_a, work = parameters("c_p c_a W", real=True)
    l = n.l  # noqa: E741
    perturb = slope_t * l + bend_t * l**2 / 2
    expanded = sp.integrate(-l * sp.diff(perturb, l), (l, 0, n.L))
    return [
        Step(
            "Volumes that are wrong by a common factor s miss the identity by (s - 1) W(L), W the work",
            (scale * n.k * rise_p + scale * rise_a - work, "=", (scale - 1) * work),
            uses=("k c_p + c_a = W",),
            where=((rise_p, (work - rise_a) / n.k),),
        ),
        Step(
            "which is of order L^2: W/L^2 -> -(dH_t/dl)/2",
            (expanded / n.L**2, "->", -slope_t / 2),
            uses=("H_t = H_t(0) + h_t l + b_t l^2/2 + ...",),
            proof=Limit(n.L),
        ),
        Step(
            "while a wrong ratio (k + error, 1) misses it at order L: error c_p/L -> error dH_p/dl = -error "
            "dH_a/(k dl)",
            (error * (-(slope_a / n.k) * n.L + bend_a * n.L**2) / n.L, "->", -error * slope_a / n.k),
            uses=("R2 at l = 0: k h_p + h_a = 0", "Taylor"),
            proof=Limit(n.L),
        ),
    ]


def _rank_steps() -> list[Step]:
    import sympy as sp

    n = symbols()
    volumes = parameters("K_p K_a", positive=True)
    first, second = parameters("l_1 l_2", positive=True)
    ratios, weights = parameters("r_1 r_2", positive=True), parameters("m_1 m_2", real=True)
    r = n.r
    apart, later = ([1 + step * ratio for ratio in ratios] for step in (first, second))
    least, more = parameters("A_1 d", positive=True)

    def share(left: Expr) -> Expr:  # r = 2 (N_0 - A)/k
        return (n.k + 1 + 2 * (n.k + 1 - left) / n.k) / left

    missed = ((n.t, sp.Integer(0)), (n.q_L, n.b / (n.B + n.L)), (n.q_0, n.b / n.B))
    return [
        Step(
            "P_t that shares nothing with the others (P_t = 0 where b > 0): both rise by ln(1 + L/N_0), so only "
            "K_p + K_a is seen",
            (
                n.Total((volumes[0] * n.p + volumes[1] * n.a) * sp.log(n.q_0 / n.q_L)),
                "=",
                (volumes[0] + volumes[1]) * sp.log(1 + n.L / n.B),
            ),
            uses=(MIXTURE, NORMALISED),
            given=((n.p, 1), (n.a, 1)),
            where=missed,
        ),
        Step(
            "For mixtures, with r = P_t/b on a leaf: N dH_i/dl = sum_x P_i (1 - N_0 r)/(1 + l r)",
            (1 - n.N * n.t / (n.b + n.l * n.t), "=", (1 - n.B * r) / (1 + n.l * r)),
            uses=("R1", MIXTURE),
            where=((n.N, n.B + n.l), (n.t, r * n.b)),
        ),
        Step(
            "Two leaf ratios never answer alike: the determinant of 1/(1 + l_i r_j) vanishes only for l_1 = l_2 "
            "or r_1 = r_2 (Cauchy)",
            (
                1 / (apart[0] * later[1]) - 1 / (apart[1] * later[0]),
                "=",
                (first - second) * (ratios[1] - ratios[0]) / (apart[0] * apart[1] * later[0] * later[1]),
            ),
        ),
        Step(
            "For any number of ratios: m_1/(1 + l r_1) + m_2/(1 + l r_2) has the residue m_1 at l = -1/r_1 (l = "
            "-1/r_1 + u, "
            "u -> 0), so it vanishes only where every m_j does. c_p and c_a are independent "
            "unless the laws of P_t/q_0 under P_p and P_a are proportional away from P_t = q_0",
            (
                n.l
                * ratios[0]
                * (weights[0] / (n.l * ratios[0]) + weights[1] / (1 + (n.l - 1 / ratios[0]) * ratios[1])),
                "->",
                weights[0],
            ),
            proof=Limit(n.l),
        ),
        Step(
            "Under P_p = (P_a + P_t)/2 the law under P_p over that under P_a is, up to a factor, (N_0 + r)/A "
            "with A = N_0 - k r/2, r = P_t/q_0, "
            "which rises as A falls (from A_1 + d to A_1): K_p and K_a are determined by the curve as soon as "
            "anything moves",
            (share(least) - share(least + more), ">=", 0),
            uses=("N_0 q_0 = (k/2 + 1) P_a + (k/2) P_t, so A is P_a/q_0 times k/2 + 1",),
            proof=Witness((n.k + 1) * (n.k + 2) * more / (n.k * least * (least + more))),
        ),
    ]


def _derive_effective_volumes() -> Derivation:
    steps = (*_stieltjes_steps(), *_scale_steps(), *_rank_steps())
    return Derivation(
        "R16",
        "Effective volumes",
        (
            "joint optima of any class at every l in [0, L], H_t(0) finite (for mixtures: P_t covered by the "
            "others, or read the "
            "work as N_0 KL(q_0 || q_L))",
            "for the order in L: H_i twice differentiable at l = 0",
        ),
        steps,
        claims(steps, 1, 2, 3, 4, 5, 6, 7, 8, 12),
        "k DeltaH_p + DeltaH_a = int_0^L l (-dH_t) for every L, so K_p = k and K_a = 1 at every L and in every "
        "class, jumps "
        "included; readings at finitely many volumes enclose the work by two sums. The scale of (K_p, K_a) "
        "enters at order L^2, their "
        "ratio at order L; data that share nothing with D_t give only K_p + K_a, while a union determines both.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R16": _derive_effective_volumes}
