"""R9: the parts of the theorem that do not need an assumption, proved, and how far the others may be relaxed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..necessity.printing import table
from .definitions import MIXTURE, NORMALISED, claims, symbols
from .language import Derivation, Step, Witness
from .words import leaf_symbol, parameter


@dataclass(frozen=True)
class TabledDerivation(Derivation):
    """A derivation that opens with the table of R9: which part of the theorem needs which assumption."""

    def text(self) -> str:
        """The table, then the derivation, in plain text."""
        return f"{self.id}  Necessity: each assumption of Thm 4.2 dropped in turn\n\n{table()}\n\n{super().text()}"

    def latex(self) -> str:
        """The same as a LaTeX fragment."""
        return f"{table('latex')}\n\n{super().latex()}"


def _two_parts() -> list[Step]:
    """P_p = pi_a P_a + pi_t P_t: signs and constant for every k, l, all shares and any masses."""
    n = symbols()
    share, slack = parameter("pi_a"), parameter("s")
    rest = parameter("pi_t")
    x, y = parameter("x", nonnegative=True), parameter("x_2", nonnegative=True)
    # with pi_a + pi_t = 1 the volume is k + 1 + l = (k pi_a + 1) + (k pi_t + l)
    align, perturb = n.k * share + 1, n.k * rest + n.l
    at = ((n.q, (align * n.a + perturb * n.t) / n.N), (n.N, align + perturb))
    overlap_a, overlap_t = n.Total(n.a * n.t / n.q), n.Total(n.t**2 / n.q)
    gap_a = (1 - n.A) * (n.l * share - rest) / perturb
    given = ((n.a, 1), (n.t, 1))
    return [
        Step(
            "[two parts] P_p = pi_a P_a + pi_t P_t: the balance law leaves two terms",
            (align * (1 - overlap_a), "=", perturb * (overlap_t - 1)),
            uses=("R2", MIXTURE, NORMALISED),
            given=given,
            where=at,
        ),
        Step(
            "[two parts] so A <= 1 and dH_a >= 0, for every k, l and all shares",
            (overlap_a, "<=", 1),
            uses=("step 1", "T - 1 is the chi-square divergence (R1)"),
            given=given,
            where=at,
            proof=Witness(perturb / align * n.Total((n.t - n.q) ** 2 / n.q)),
        ),
        Step(
            "[two parts] and A = 1 only where P_a = P_t: P_t - q is a multiple of P_t - P_a",
            (n.t - n.q, "=", align / n.N * (n.t - n.a)),
            uses=(MIXTURE,),
            where=at,
        ),
        Step(
            "[two parts] 1 - C is a multiple of 1 - A: dH_p < 0 if and only if l < pi_t/pi_a, at every k",
            (share * (1 - n.A) + rest * (1 - n.T), "=", gap_a),
            uses=("1 - C = pi_a (1-A) + pi_t (1-T)", "step 1"),
            where=((n.T, 1 + align * (1 - n.A) / perturb),),
        ),
        Step(
            "[two parts] the constant of Theta",
            (-(1 - n.A) / (n.k * gap_a), "=", (1 + n.l / (n.k * rest)) / (1 - n.l * share / rest)),
            uses=("step 4",),
        ),
        Step(
            "[two parts] which is >= 1 where the signs hold, s = pi_t - l pi_a > 0: Theta's lower end needs nothing more",
            ((1 + n.l / (n.k * (slack + n.l * share))) / (1 - n.l * share / (slack + n.l * share)), ">=", 1),
            uses=("step 5",),
            proof=Witness(n.l * align / (n.k * slack)),
        ),
        Step(
            "[two parts] and <= 4 once l <= k pi_t and l <= pi_t/(2 pi_a): l/k bounded and l off the threshold are enough",
            ((1 + 1 / (1 + x)) / (1 - 1 / (2 * (1 + y))), "<=", 4),
            uses=("step 5 with l/(k pi_t) = 1/(1+x), l pi_a/pi_t = 1/(2(1+x_2))",),
            proof=Witness((2 * x + 4 * y + 6 * x * y) / ((1 + x) * (1 + 2 * y))),
        ),
        Step(
            "[two parts] the union covers P_t: N q is at least k pi_t + l times P_t on every leaf",
            (n.N * n.q, ">=", perturb * n.t),
            uses=(MIXTURE,),
            where=at,
            proof=Witness(align * n.a),
        ),
    ]


def _distinct() -> list[Step]:
    n = symbols()
    return [
        Step(
            "[distinct] P_a = P_t, any P_p: both signs flip as A = T >= 1, but the ratio -dH_a/(k dH_p) stays 1/(1+l)",
            (-(1 - n.T) / (-(1 - n.T) - n.l * (1 - n.T)), "=", 1 / (1 + n.l)),
            uses=("R2: k (1-C) = -(1-A) - l (1-T), with A = T",),
        )
    ]


def _large_k() -> list[Step]:
    """N^2 dH_p/dl never falls in k, for any distributions."""
    import sympy as sp

    n = symbols()
    total, known = n.k + 1 + n.l, leaf_symbol("p_y", positive=True)  # a mass of P_p that is > 0
    share = (n.a + n.l * n.t) / known
    joint = (n.k * n.p + n.a + n.l * n.t) / total
    scaled = total * n.t - total * n.p * n.t / joint
    at_known = total * n.t - total**2 * known * n.t / (n.k * known + n.a + n.l * n.t)
    limit = n.t * share - (1 + n.l) * n.t
    return [
        Step(
            "[large k] N^2 dH_p/dl = N (1-C) never falls as k grows, for any distributions and any l",
            (n.Total(sp.Derivative(scaled, n.k)), ">=", 0),
            uses=("R1", MIXTURE),
            where=((n.q, joint),),
            proof=Witness(n.Total(n.t * (1 - n.p / n.q) ** 2)),
        ),
        Step(
            "[large k] nor as l grows (R4): where dH_p < 0 at (k, l), so it is at every smaller k and l, and dH_a > 0 with it",
            (n.Total(sp.Derivative(scaled, n.l)), ">=", 0),
            uses=("R1", MIXTURE, NORMALISED),
            given=((n.p, 1), (n.t, 1)),
            where=((n.q, joint),),
            proof=Witness(n.Total(n.p * (1 - n.t / n.q) ** 2)),
        ),
        Step(
            "[large k] what it rises to: sum_x P_t (P_a + l P_t)/P_p <= 1 + l gives the theorem's signs at every k at once",
            (n.Total(at_known), "<=", n.Total(limit)),
            uses=("R1", MIXTURE, "P_p > 0 where P_t > 0"),
            proof=Witness(n.Total(n.t * (1 + n.l - share) ** 2 / (n.k + share))),
        ),
    ]


def _coverage() -> list[Step]:

    n = symbols()
    tau = parameter("tau", nonnegative=True)
    q = (n.k * n.p + n.a) / (n.k + 1)
    return [
        Step(
            "[coverage] as l -> 0 with mass tau of P_t outside q_0: k (1-C) = N tau - (1-A), so dH_p < 0 needs N tau < 1 - A(0); "
            "A(0) < 1 gives dH_a > 0 with or without coverage (R4)",
            (n.k * (1 - n.Total(n.p * n.t / q)), "=", (n.k + 1) * tau - (1 - n.Total(n.a * n.t / q))),
            uses=("R2 on the leaves of q_0", NORMALISED),
            given=((n.p, 1), (n.a, 1), (n.t, 1 - tau)),
        )
    ]


def _third_part() -> list[Step]:
    n = symbols()
    part = leaf_symbol("P_1")
    q = (part + n.a + n.t) / 3
    both = n.Total(part * n.t / q) + n.Total(n.a * n.t / q)
    three = ((part, 1), (n.a, 1), (n.t, 1))
    return [
        Step(
            "[third part] three equal parts, k -> infinity, l -> 0: the mean of 1 - A over the choice of the aligned part is "
            "(T-1)/2, for any three distributions",
            (2 - both, "=", n.Total(n.t**2 / q) - 1),
            uses=("q = (P_1 + P_a + P_t)/3", NORMALISED),
            given=three,
        ),
        Step(
            "[third part] which is >= 0: an exchangeable choice (i.i.d. masses of any law, Pareto or not) has E[A] <= 1; one draw may not",
            (both, "<=", 2),
            uses=("the step before", NORMALISED),
            given=three,
            where=((n.q, q),),
            proof=Witness(n.Total((n.t - n.q) ** 2 / n.q)),
        ),
    ]


def _independent() -> list[Step]:
    """A -> E[Y] E[1/Y] > 1 without the union, for every law; the Pareto values."""
    import sympy as sp

    n = symbols()
    mass, value, mean = leaf_symbol("m"), leaf_symbol("Y", positive=True), parameter("mu", positive=True)
    flat, draw = leaf_symbol("u"), leaf_symbol("P_y", positive=True)
    alpha, y = parameter("alpha", positive=True), parameter("y", positive=True)
    excess = parameter("e")

    def moment(power: int) -> sp.Expr:
        """E[Y^power] of the Pareto law with tail index 2 + e, by its integral."""
        return sp.integrate(alpha * y ** (power - alpha - 1), (y, 1, sp.oo), conds="none").subs(alpha, 2 + excess)

    index = 2 + excess
    overlap = moment(1) * moment(-1)
    chi = moment(2) / moment(1) ** 2 * overlap
    return [
        Step(
            "[independent] masses without the union, k -> infinity: A -> E[Y] E[1/Y], which exceeds 1 by the spread of Y "
            "(m the probability of the value Y, mu its mean)",
            (mean * n.Total(mass / value), ">=", 1),
            uses=("E[Y] = mu", "sum m = 1"),
            given=((mass, 1), (mass * value, mean)),
            proof=Witness(n.Total(mass * (value - mean) ** 2 / (mean * value))),
        ),
        Step(
            "[independent] on finitely many leaves too: E[A] = sum_x u^2/P_p, u = E[P_a] = E[P_t], exceeds 1 by a chi-square divergence",
            (n.Total(flat**2 / draw), ">=", 1),
            uses=("P_a and P_t independent, k -> infinity", NORMALISED),
            given=((flat, 1), (draw, 1)),
            proof=Witness(n.Total((draw - flat) ** 2 / draw)),
        ),
        Step(
            "[independent] Pareto masses, alpha = 2 + e (and by the same integrals for alpha > 1): A -> alpha^2/(alpha^2-1)",
            (overlap, "=", index**2 / (index**2 - 1)),
            uses=("E[Y] = alpha/(alpha-1), E[1/Y] = alpha/(alpha+1)",),
        ),
        Step(
            "[independent] and -dH_a/(k dH_p) -> 1/(1 + 2 l (alpha-1)/(alpha-2)) with both signs flipped: to 0 as alpha -> 2",
            ((overlap - 1) / (overlap - 1 + n.l * (chi - 1)), "=", 1 / (1 + 2 * n.l * (index - 1) / (index - 2))),
            uses=("R2: k (1-C) = (A-1) + l (T-1)", "T -> E[Y^2] E[1/Y]/E[Y]"),
        ),
    ]


def _joint_optimum() -> list[Step]:
    """How far training may miss the joint optimum: delta_0 at the start, delta_L at the end."""

    n = symbols()
    moved, fall = parameter("DeltaH_a", real=True), parameter("f")
    start, end = parameter("delta_0", nonnegative=True), parameter("delta_L", nonnegative=True)
    over, under = parameter("s_0", nonnegative=True), parameter("s_L", nonnegative=True)
    return [
        Step(
            "[joint optimum] any model class, P_p = (P_a + P_t)/2, f = -DeltaH_t: a start missed by delta_0 gives "
            "k DeltaH_p + DeltaH_a = s_0 - delta_0 with s_0 >= 0, so DeltaH_a > 0 while delta_0 < k f/2",
            (moved, ">=", (n.k * fall / 2 - start) / (n.k / 2 + 1)),
            uses=("F_0(end) >= min F_0 >= F_0(start) - delta_0", "DeltaH_p = (DeltaH_a - f)/2"),
            where=((moved, (n.k * fall / 2 - start + over) / (n.k / 2 + 1)),),
            proof=Witness(over / (n.k / 2 + 1)),
        ),
        Step(
            "[joint optimum] an end missed by delta_L gives k DeltaH_p + DeltaH_a = L f + delta_L - s_L with s_L >= 0, so "
            "DeltaH_p < 0 while delta_L < (1-L) f",
            ((moved - fall) / 2, "<=", (end - (1 - n.L) * fall) / (n.k + 2)),
            uses=("F_L(end) <= min F_L + delta_L <= F_L(start) + delta_L", "DeltaH_p = (DeltaH_a - f)/2"),
            where=((moved, ((n.k / 2 + n.L) * fall + end - under) / (n.k / 2 + 1)),),
            proof=Witness(under / (n.k + 2)),
        ),
    ]


def _derive_necessity() -> Derivation:
    steps = (*_two_parts(), *_distinct(), *_large_k(), *_coverage(), *_third_part(), *_independent(), *_joint_optimum())
    return TabledDerivation(
        "R9",
        "What the theorem does without",
        (
            "leaf masses with sum 1, volumes (k, 1, l) > 0, sums over the support of q",
            "no law of the masses anywhere: a Pareto law is not needed",
            "P_p as each step says",
        ),
        steps,
        claims(steps, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 18, 19, 20, 21),
        "of the assumptions of Thm 4.2 the signs need the union (of two parts, or an average over further ones), distinct data, "
        "l below pi_t/pi_a and an optimum missed by less than delta; not a large k (a smaller k keeps them), not equal parts as "
        "such, not Pareto masses. Theta's lower end is free where the signs hold; its upper end needs l/k bounded and l off the threshold.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R9": _derive_necessity}
