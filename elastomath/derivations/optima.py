"""R6: the finite law at joint optima of any model class.

A model is known only through its code lengths on the leaves (any numbers), so nothing below asks what the class is.
Hypotheses of optimality enter as named slacks >= 0: F_l0(theta_1) = F_l0(theta_0) + s_0 - miss_0 says that the start is
an optimum at l0 but for miss_0.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from .definitions import claims, symbols
from .language import Derivation, Limit, Step, Witness
from .words import Expr, leaf_symbol, parameter, parameters

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
            (
                at_start(code_1) - at_start(code_0),
                "=",
                n.Total(n.b * code_1) - n.Total(n.b * code_0) + c.l_0 * (n.Total(n.t * code_1) - n.Total(n.t * code_0)),
            ),
            uses=("a model has a code length lambda(x) on every leaf, H_i = sum_x [P_i lambda]",),
        ),
        Step(
            "The hypothesis on the start, with E = sum_{i != t} w_i H_i (+ regulariser): F_l0(theta_1) = "
            "F_l0(theta_0) + s_0 - miss_0",
            (c.E_1 + c.l_0 * c.t_1, "=", c.E_0 + c.l_0 * c.t_0 + c.s_0 - c.miss_0),
            uses=(START,),
            where=c.solved,
        ),
        Step(
            "The hypothesis on the end: F_l1(theta_0) = F_l1(theta_1) + s_1 - miss_1 (only these two models are "
            "compared)",
            (c.E_0 + c.l_1 * c.t_0, "=", c.E_1 + c.l_1 * c.t_1 + c.s_1 - c.miss_1),
            uses=(END,),
            where=c.solved,
        ),
        Step(
            "Lower bound: it needs only that the start is optimal, and pays what the start was missed by",
            (c.residual, ">=", c.l_0 * c.fall - c.miss_0),
            uses=("step 2",),
            where=c.solved,
            proof=Witness(c.s_0),
        ),
        Step(
            "Upper bound: it needs only F_l1(theta_1) <= F_l1(theta_0), and pays what the end was missed by",
            (c.residual, "<=", c.l_1 * c.fall + c.miss_1),
            uses=("step 3",),
            where=c.solved,
            proof=Witness(c.s_1),
        ),
        Step(
            "So H_t falls, but for both misses",
            (c.g * c.fall, ">=", -c.miss_0 - c.miss_1),
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
            ((residual + c.miss_0) - c.l_0 * fall + (c.l_1 * fall - residual), ">=", 0),
            where=((residual, c.l_0 * fall - c.miss_0),),
            proof=Witness(c.g * fall + c.miss_0),
        ),
        Step(
            "The upper bound is sharp, with the constant 1: two models with R = l_1 f + miss_1; the first is "
            "optimal at l_0",
            (residual - c.l_0 * fall, ">=", 0),
            where=((residual, c.l_1 * fall + c.miss_1),),
            proof=Witness(c.g * fall + c.miss_1),
        ),
        Step(
            "1 is sharp for smooth convex classes too. The exponential family (1, z, e^2 z^2) on three leaves: "
            "other data = q at "
            "z = 1, P_t on the third leaf; at L = N_0 (1 - mean) the joint mean is 1, that of q at z = 1/e",
            ((n.B * mean[0] + 2 * step) / (n.B + step), "=", mean[1]),
            uses=("an optimum of an exponential family has the mean of the joint data",),
        ),
        Step(
            "and there the residual over L (H_t(0) - H_t(L)) tends to 1",
            (share / (step * -logs[2]), "->", 1),
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
            (whole, ">=", low * sp.Add(*falls)),
            where=((parts[0], low * falls[0] + under[0]), (parts[1], (low + first) * falls[1] + under[1])),
            proof=Witness(sp.Add(*under) + first * falls[1]),
        ),
        Step(
            "and above: R_1 <= (l_0 + gap_1) f_1 and R_2 <= l_2 f_2, l_2 = l_0 + gap_1 + gap_2, give R_1 + R_2 <= l_2 "
            "(f_1 + f_2). So readings "
            "that keep both bounds between neighbours are joint optima of a class: the class of these readings",
            (whole, "<=", (low + first + second) * sp.Add(*falls)),
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
            (stiffness * move + perturb, "=", 0),
            uses=("chain rule", "implicit function theorem (G is invertible)"),
            where=branch,
        ),
        Step(
            "so dH_i/dl = g_i . dtheta/dl = -g_i' G^-1 g_t: the place of (1 - overlap_i)/N in R1",
            (n.Total(align * move), "=", n.Total(-align * perturb / stiffness)),
            uses=("step 13",),
            where=branch,
        ),
        Step(
            "The balance law R2: sum_i w_i dH_i/dl = (grad F) . dtheta/dl = 0",
            (n.Total((others + n.l * perturb) * move), "=", 0),
            uses=("stationarity: g_b = sum_{i != t} w_i g_i = -l g_t",),
            where=stationary,
        ),
        Step(
            "dH_t/dl <= 0",
            (n.Total(perturb * move), "<=", 0),
            uses=("G > 0",),
            where=branch,
            proof=Witness(n.Total(perturb**2 / stiffness)),
        ),
        Step(
            "R3 carries over, with eps = -l dH_t/dH_a",
            (-rise / (n.k * slope), "=", 1 / (1 - epsilon)),
            uses=("R2",),
            where=(balanced, (epsilon, -n.l * fall / rise)),
        ),
        Step(
            "and R4: where dH_a > 0 and eps < 1 (dH_a = l x - l dH_t, x > 0), dH_p < 0",
            (-n.k * slope, ">=", 0),
            uses=("R2",),
            where=(balanced, (rise, n.l * positive + n.l * push), (fall, -push)),
            proof=Witness(n.l * positive),
        ),
        Step(
            "while dH_a <= 0 forces dH_p >= 0",
            (n.k * slope, ">=", 0),
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


BUILDERS: dict[str, Callable[[], Derivation]] = {"R6": _derive_any_class}
