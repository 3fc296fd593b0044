"""R6 and R16: the finite law and the effective volumes at joint optima of any model class.

A model is known only through its code lengths on the leaves (any numbers), so nothing below asks what the class is.
Hypotheses of optimality enter as named slacks >= 0: F_l0(theta_1) = F_l0(theta_0) + s_0 - miss_0 says that the start is
an optimum at l0 but for miss_0.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from .definitions import MIXTURE, NORMALISED, claims, symbols
from .language import Derivation, Limit, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter, parameters

START, END = "the start is optimal at l_0, missed by miss_0", "the end is optimal at l_1, missed by miss_1"


def competitors() -> SimpleNamespace:
    """Two models and what optimality says of them.

    l_0, l_1 = l_0 + gap    the two volumes of the perturbation
    E_0, E_1, t_0, t_1    sum_{i != t} w_i H_i (and the regulariser), and H_t, at the start and at the end
    s_0, s_1 >= 0         how much the other model is worse at each volume, beyond what the optimum was missed by
    miss_0, miss_1 >= 0   what the optima were missed by
    """

    names = SimpleNamespace(g=parameter("gap"))
    for name in ("l_0", "s_0", "s_1", "miss_0", "miss_1"):
        setattr(names, name, parameter(name, nonnegative=True))
    for name in ("E_0", "E_1", "t_0", "t_1"):
        setattr(names, name, parameter(name, real=True))
    names.l_1 = names.l_0 + names.g
    names.residual, names.fall = names.E_1 - names.E_0, names.t_0 - names.t_1
    fall = (names.s_0 + names.s_1 - names.miss_0 - names.miss_1) / names.g
    end = names.t_0 - fall
    names.solved = (
        (names.E_1, names.E_0 + names.l_0 * (names.t_0 - names.t_1) + names.s_0 - names.miss_0),
        (names.t_1, end),
    )
    return names


def _finite_steps() -> list[Step]:
    c, n = competitors(), symbols()
    code_0, code_1 = leaf_symbol("lambda_0", real=True), leaf_symbol("lambda_1", real=True)

    def at_start(code: Expr) -> Expr:
        """The objective F_l0 of a model."""
        return n.Total((n.b + c.l_0 * n.t) * code)

    return [
        Step(
            "The objective is linear in l and in the data: F_l0(theta_1) - F_l0(theta_0) = residual + l_0 DeltaH_t",
            at_start(code_1) - at_start(code_0),
            n.Total(n.b * code_1) - n.Total(n.b * code_0) + c.l_0 * (n.Total(n.t * code_1) - n.Total(n.t * code_0)),
            uses=("a model has a code length lambda(x) on every leaf, H_i = sum_x [P_i lambda]",),
        ),
        Step(
            "The hypothesis on the start, with E = sum_{i != t} w_i H_i (+ regulariser): F_l0(theta_1) = "
            "F_l0(theta_0) + s_0 - miss_0",
            c.E_1 + c.l_0 * c.t_1,
            c.E_0 + c.l_0 * c.t_0 + c.s_0 - c.miss_0,
            uses=(START,),
            where=c.solved,
        ),
        Step(
            "The hypothesis on the end: F_l1(theta_0) = F_l1(theta_1) + s_1 - miss_1 (only these two models are "
            "compared)",
            c.E_0 + c.l_1 * c.t_0,
            c.E_1 + c.l_1 * c.t_1 + c.s_1 - c.miss_1,
            uses=(END,),
            where=c.solved,
        ),
        Step(
            "Lower bound: it needs only that the start is optimal, and pays what the start was missed by",
            c.residual,
            c.l_0 * c.fall - c.miss_0,
            ">=",
            uses=("step 2",),
            where=c.solved,
            proof=Witness(c.s_0),
        ),
        Step(
            "Upper bound: it needs only F_l1(theta_1) <= F_l1(theta_0), and pays what the end was missed by",
            c.residual,
            c.l_1 * c.fall + c.miss_1,
            "<=",
            uses=("step 3",),
            where=c.solved,
            proof=Witness(c.s_1),
        ),
        Step(
            "So H_t falls, but for both misses",
            c.g * c.fall,
            -c.miss_0 - c.miss_1,
            ">=",
            uses=("steps 4, 5",),
            where=c.solved,
            proof=Witness(c.s_0 + c.s_1),
        ),
    ]


def _sharp_steps() -> list[Step]:
    """The bounds are attained: classes of two models, and an exponential family on three leaves in the limit."""
    import sympy as sp

    c, n = competitors(), symbols()
    fall, residual = parameter("f", nonnegative=True), parameter("R", real=True)
    e = parameter("e", positive=True)
    start, end = (1, 1, e**2), (e, 1, e)
    size = [sp.Add(*masses) for masses in (start, end)]
    mean = [(masses[1] + 2 * masses[2]) / total for masses, total in zip((start, end), size, strict=True)]
    logs = [sp.log(a * size[1] / (b * size[0])) for a, b in zip(start, end, strict=True)]
    share = n.B * sp.Add(*(a * log for a, log in zip(start, logs, strict=True))) / size[0]
    step = n.B * (1 - mean[0])
    return [
        Step(
            "The lower bound is sharp: a class of two models with residual R = l_0 f - miss_0; the second is "
            "optimal at l_1",
            (residual + c.miss_0) - c.l_0 * fall + (c.l_1 * fall - residual),
            0,
            ">=",
            where=((residual, c.l_0 * fall - c.miss_0),),
            proof=Witness(c.g * fall + c.miss_0),
        ),
        Step(
            "The upper bound is sharp, with the constant 1: two models with R = l_1 f + miss_1; the first is "
            "optimal at l_0",
            residual - c.l_0 * fall,
            0,
            ">=",
            where=((residual, c.l_1 * fall + c.miss_1),),
            proof=Witness(c.g * fall + c.miss_1),
        ),
        Step(
            "1 is sharp for smooth convex classes too. The exponential family (1, z, e^2 z^2) on three leaves: "
            "other data = q at "
            "z = 1, P_t on the third leaf; at L = N_0 (1 - mean) the joint mean is 1, that of q at z = 1/e",
            (n.B * mean[0] + 2 * step) / (n.B + step),
            mean[1],
            uses=("an optimum of an exponential family has the mean of the joint data",),
        ),
        Step(
            "and there the residual over L (H_t(0) - H_t(L)) tends to 1",
            share / (step * -logs[2]),
            1,
            uses=("step 9", "H_i = -sum_x [P_i ln q]"),
            proof=Limit(e),
        ),
    ]


def _neighbour_steps() -> list[Step]:
    """Neighbouring readings suffice: the bounds of two intervals in a row give those of the whole."""
    import sympy as sp

    low, first, second = parameter("l_0", nonnegative=True), parameter("gap_1"), parameter("gap_2")
    falls = parameters("f_1 f_2", nonnegative=True)
    under, over = parameters("s_1 s_2", nonnegative=True), parameters("r_1 r_2", nonnegative=True)
    whole = parameter("R_1", real=True) + parameter("R_2", real=True)
    parts = parameters("R_1 R_2", real=True)
    return [
        Step(
            "Neighbours are enough, below: R_1 >= l_0 f_1 and R_2 >= (l_0 + gap_1) f_2 give R_1 + R_2 >= l_0 (f_1 + f_2)",
            whole,
            low * sp.Add(*falls),
            ">=",
            where=((parts[0], low * falls[0] + under[0]), (parts[1], (low + first) * falls[1] + under[1])),
            proof=Witness(sp.Add(*under) + first * falls[1]),
        ),
        Step(
            "and above: R_1 <= (l_0 + gap_1) f_1 and R_2 <= l_2 f_2, l_2 = l_0 + gap_1 + gap_2, give R_1 + R_2 <= l_2 "
            "(f_1 + f_2). So readings "
            "that keep both bounds between neighbours are joint optima of a class: the class of these readings",
            whole,
            (low + first + second) * sp.Add(*falls),
            "<=",
            where=(
                (parts[0], (low + first) * falls[0] - over[0]),
                (parts[1], (low + first + second) * falls[1] - over[1]),
            ),
            proof=Witness(sp.Add(*over) + second * falls[0]),
        ),
    ]


def _branch_steps() -> list[Step]:
    """R2 and the forms of R1, R3, R4 along a differentiable branch; a 'leaf' is a direction in which G is diagonal."""

    n = symbols()
    others, align, perturb = (leaf_symbol(name, real=True) for name in ("g_b", "g_a", "g_t"))
    stiffness = leaf_symbol("G", positive=True)
    move = leaf_symbol("dtheta", real=True)
    branch = ((move, -perturb / stiffness),)
    stationary = ((others, -n.l * perturb), *branch)
    rise, fall, slope, epsilon = (parameter(name, real=True) for name in ("h_a", "h_t", "h_p", "epsilon"))
    positive, push = parameter("x", positive=True), parameter("z", nonnegative=True)
    balanced = (slope, -(rise + n.l * fall) / n.k)
    return [
        Step(
            "Along a branch of stationary points, in directions in which the joint Hessian G > 0 is diagonal: "
            "d/dl of "
            "grad F = g_b + l g_t = 0 is G dtheta/dl + g_t = 0",
            stiffness * move + perturb,
            0,
            uses=("chain rule", "implicit function theorem (G is invertible)"),
            where=branch,
        ),
        Step(
            "so dH_i/dl = g_i . dtheta/dl = -g_i' G^-1 g_t: the place of (1 - overlap_i)/N in R1",
            n.Total(align * move),
            n.Total(-align * perturb / stiffness),
            uses=("step 13",),
            where=branch,
        ),
        Step(
            "The balance law R2: sum_i w_i dH_i/dl = (grad F) . dtheta/dl = 0",
            n.Total((others + n.l * perturb) * move),
            0,
            uses=("stationarity: g_b = sum_{i != t} w_i g_i = -l g_t",),
            where=stationary,
        ),
        Step(
            "dH_t/dl <= 0",
            n.Total(perturb * move),
            0,
            "<=",
            uses=("G > 0",),
            where=branch,
            proof=Witness(n.Total(perturb**2 / stiffness)),
        ),
        Step(
            "R3 carries over, with eps = -l dH_t/dH_a",
            -rise / (n.k * slope),
            1 / (1 - epsilon),
            uses=("R2",),
            where=(balanced, (epsilon, -n.l * fall / rise)),
        ),
        Step(
            "and R4: where dH_a > 0 and eps < 1 (dH_a = l x + l dH_t_down, x > 0), dH_p < 0",
            -n.k * slope,
            0,
            ">=",
            uses=("R2",),
            where=(balanced, (rise, n.l * positive + n.l * push), (fall, -push)),
            proof=Witness(n.l * positive),
        ),
        Step(
            "while dH_a <= 0 forces dH_p >= 0",
            n.k * slope,
            0,
            ">=",
            uses=("R2", "dH_t <= 0"),
            where=(balanced, (rise, -push), (fall, -positive)),
            proof=Witness(push + n.l * positive),
        ),
    ]


def _derive_any_class() -> Derivation:
    steps = (*_finite_steps(), *_sharp_steps(), *_neighbour_steps(), *_branch_steps())
    return Derivation(
        "R6",
        "Any model class",
        (
            "a class of models, each with a code length on every leaf, and volumes w_i > 0; a regulariser counts "
            "in E like one "
            "more dataset whose volume does not change",
            "theta_0 minimises F_l0 but for miss_0, theta_1 is at most miss_1 worse than theta_0 under F_l1, and "
            "H_t(theta_0) is "
            "finite; l_0 < l_1",
            "for the last seven steps: a differentiable branch of stationary points with Hessian G > 0",
        ),
        steps,
        claims(steps, 4, 5, 6, 10, 11, 12, 15, 16, 17, 18, 19),
        "l_0 (H_t(l_0) - H_t(l_1)) - miss_0 <= sum_{i != t} w_i DeltaH_i (+ Delta regulariser) <= l_1 (H_t(l_0) "
        "- H_t(l_1)) + miss_1; "
        "each miss costs itself once, on its own side. The constant 1 is best, for two models, and for "
        "exponential families. "
        "Kept between neighbours, the bounds say all that joint optimality says. On a smooth branch R1-R3 hold with "
        "-g_i' G^-1 g_t, and R4 but for its last sentence: more than one change of sign can occur.",
    )


# --- R16 ------------------------------------------------------------------------------------------------------------


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
            sp.Derivative(work, n.L),
            -n.L * sp.Derivative(perturb(n.L), n.L),
            uses=("R2: k dH_p + dH_a = -l dH_t", "integration by parts"),
        ),
        Step(
            "With jumps: the residual is at least the lower Stieltjes sum over any partition (j runs over its "
            "intervals)",
            n.Total(piece),
            n.Total(low * fall),
            ">=",
            uses=("R6 step 4 on each interval",),
            where=((piece, low * fall + under),),
            proof=Witness(n.Total(under)),
        ),
        Step(
            "and at most the upper one",
            n.Total(piece),
            n.Total((low + width) * fall),
            "<=",
            uses=("R6 step 5 on each interval",),
            where=((piece, (low + width) * fall - over),),
            proof=Witness(n.Total(over)),
        ),
        Step(
            "and they differ by at most mesh (H_t(0) - H_t(L)): both sums tend to int l (-dH_t), so K_p = k, K_a "
            "= 1, exactly",
            n.Total((low + width) * fall) - n.Total(low * fall),
            mesh * total_fall,
            "<=",
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
            scale * n.k * rise_p + scale * rise_a - work,
            (scale - 1) * work,
            uses=("k c_p + c_a = W",),
            where=((rise_p, (work - rise_a) / n.k),),
        ),
        Step(
            "which is of order L^2: W/L^2 -> -(dH_t/dl)/2",
            expanded / n.L**2,
            -slope_t / 2,
            uses=("H_t = H_t(0) + h_t l + b_t l^2/2 + ...",),
            proof=Limit(n.L),
        ),
        Step(
            "while a wrong ratio (k + error, 1) misses it at order L: error c_p/L -> error dH_p/dl = -error "
            "dH_a/(k dl)",
            error * (-(slope_a / n.k) * n.L + bend_a * n.L**2) / n.L,
            -error * slope_a / n.k,
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
            n.Total((volumes[0] * n.p + volumes[1] * n.a) * sp.log(n.q_0 / n.q_L)),
            (volumes[0] + volumes[1]) * sp.log(1 + n.L / n.B),
            uses=(MIXTURE, NORMALISED),
            given=((n.p, 1), (n.a, 1)),
            where=missed,
        ),
        Step(
            "For mixtures, with r = P_t/b on a leaf: N dH_i/dl = sum_x P_i (1 - N_0 r)/(1 + l r)",
            1 - n.N * n.t / (n.b + n.l * n.t),
            (1 - n.B * r) / (1 + n.l * r),
            uses=("R1", MIXTURE),
            where=((n.N, n.B + n.l), (n.t, r * n.b)),
        ),
        Step(
            "Two leaf ratios never answer alike: the determinant of 1/(1 + l_i r_j) vanishes only for l_1 = l_2 "
            "or r_1 = r_2 (Cauchy)",
            1 / (apart[0] * later[1]) - 1 / (apart[1] * later[0]),
            (first - second) * (ratios[1] - ratios[0]) / (apart[0] * apart[1] * later[0] * later[1]),
        ),
        Step(
            "For any number of ratios: m_1/(1 + l r_1) + m_2/(1 + l r_2) has the residue m_1 at l = -1/r_1 (l = "
            "-1/r_1 + u, "
            "u -> 0), so it vanishes only where every m_j does. c_p and c_a are independent "
            "unless the laws of P_t/q_0 under P_p and P_a are proportional away from P_t = q_0",
            n.l * ratios[0] * (weights[0] / (n.l * ratios[0]) + weights[1] / (1 + (n.l - 1 / ratios[0]) * ratios[1])),
            weights[0],
            proof=Limit(n.l),
        ),
        Step(
            "Under P_p = (P_a + P_t)/2 the law under P_p over that under P_a is, up to a factor, (N_0 + r)/A "
            "with A = N_0 - k r/2, r = P_t/q_0, "
            "which rises as A falls (from A_1 + d to A_1): K_p and K_a are determined by the curve as soon as "
            "anything moves",
            share(least) - share(least + more),
            0,
            ">=",
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


BUILDERS: dict[str, Callable[[], Derivation]] = {"R6": _derive_any_class, "R16": _derive_effective_volumes}
