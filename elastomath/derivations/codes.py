"""R14, R15: real prefix codes. Lengths enter as 2^-L = rho on a leaf, so that L ln 2 = -ln rho; sums are in nats."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import CODE, NORMALISED, claims, gap_lemma, symbols
from .language import Derivation, Limit, Step, Witness
from .words import leaf_symbol, parameter, parameters

OPTIMAL = "optimality of the codes at both ends"


def shannon_mass(mass: object, above: object) -> object:
    """``2^-L = q/(1 + y)`` for ``L = ceil(-log2 q)``: rounding up takes a share y/(1 + y) away, 0 <= y < 1.

    >>> import sympy as sp
    >>> shannon_mass(*sp.symbols("q y"))
    q/(y + 1)
    """
    return mass / (1 + above)  # type: ignore[operator]


def _own_source() -> list[Step]:
    """H <= E[L] < H + 1 for an optimal code on its own source, and Shannon's under mismatch."""
    import sympy as sp

    n = symbols()
    q, y, z = leaf_symbol("Q", positive=True), leaf_symbol("y"), leaf_symbol("zeta")
    s, g = parameter("s", nonnegative=True), parameter("g_0", nonnegative=True)
    rho = shannon_mass(q, y)
    under_two = (y, 2 / (1 + z) - 1)  # 1 + y = 2/(1 + zeta) with zeta > 0, since y < 1
    return [
        *gap_lemma(),
        Step(
            "Any prefix code: E[L] >= H on its own source; s = 1 - Kraft's sum",
            (n.Total(-q * sp.log(n.rho)), ">=", n.Total(-q * sp.log(q))),
            uses=("Kraft", "phi >= 0 (steps 1, 2)", NORMALISED),
            given=((q, 1), (n.rho, 1 - s)),
            proof=Witness(n.Total(q * n.Gap(n.rho / q)) + s),
        ),
        Step(
            "Shannon's lengths satisfy Kraft's inequality",
            (n.Total(rho), "<=", 1),
            uses=("2^-L = Q/(1+y), y >= 0", NORMALISED),
            given=((q, 1),),
            proof=Witness(n.Total(q * y / (1 + y))),
        ),
        Step(
            "Shannon's code of q under mismatch, below: E_P[L] >= H(P, Q)",
            (n.Total(-n.P * sp.log(rho)), ">=", n.Total(-n.P * sp.log(q))),
            uses=("2^-L = Q/(1+y), y >= 0", CODE),
            proof=Witness(n.Total(n.P * sp.log(1 + y))),
        ),
        Step(
            "and above: E_P[L] < H(P, Q) + 1 bit, where 1 + y = 2/(1+zeta), zeta > 0",
            (n.Total(-n.P * sp.log(rho)), "<=", n.Total(-n.P * sp.log(q)) + sp.log(2)),
            uses=("y < 1, for the ceiling adds less than 1", NORMALISED),
            given=((n.P, 1),),
            where=(under_two,),
            assume=(y,),
            proof=Witness(n.Total(n.P * sp.log(1 + z))),
        ),
        Step(
            "An optimal code costs g_0 >= 0 less than Shannon's, so E[L] < H + 1 bit on its own source",
            (n.Total(-q * sp.log(rho)) - g, "<=", n.Total(-q * sp.log(q)) + sp.log(2)),
            uses=("step 6 with P = Q", "optimality"),
            given=((q, 1),),
            where=(under_two,),
            assume=(y,),
            proof=Witness(n.Total(q * sp.log(1 + z)) + g),
        ),
    ]


def _margin() -> Step:

    n = symbols()
    rounding = [parameter(f"theta_{name}{end}", nonnegative=True) for name in "pa" for end in "0L"]
    p_0, p_L, a_0, a_L = rounding
    x, v = parameters("x_p x_a", nonnegative=True)
    return Step(
        "Shannon's codes keep R5 only with a margin: theta_i = E_i - H(P_i, q) in [0, 1), so k theta_p + theta_a moves < k+1",
        (n.k * (p_L - p_0) + a_L - a_0, "<=", n.k + 1),
        uses=("steps 5, 6",),
        where=((p_L, 1 - x), (a_L, 1 - v)),
        assume=(p_L, a_L),
        proof=Witness(n.k * (x + p_0) + v + a_0),
    )


def _model_class() -> list[Step]:
    """R5, R16 and R18 for optimal codes: only that each is best at its own perturbation is used."""

    n = symbols()
    p, a, t = parameters("DeltaE_p DeltaE_a DeltaE_t", real=True)
    l_0, l_1 = parameters("l_0 l_1", nonnegative=True)
    g, h = parameters("g h", positive=True)  # by how much each code beats the other at its own perturbation
    x = parameter("xi")
    at_start = (p, (g - a - l_0 * t) / n.k)
    at_end = (p, (-h - a - l_1 * t) / n.k)
    # R18: P_p = (P_a + P_t)/2, l_0 = 0, L = 1/(1 + x) < 1
    length = 1 / (1 + x)
    fall = (g + h) / length  # E_t(0) - E_t(L)
    align = (n.k / 2 * fall + g) / (n.k / 2 + 1)
    union = ((p, (a + t) / 2), (a, align), (t, -fall))
    at_changes = [tuple((name, value.subs(slack, 0)) for name, value in union) for slack in (g, h)]
    ratio, top = -a / (n.k * p), (1 + 2 * length / n.k) / (1 - length)
    return [
        Step(
            "R5 below: the first code is best at l_0, by g >= 0",
            (n.k * p + a, ">=", -l_0 * t),
            uses=(OPTIMAL,),
            where=(at_start,),
            proof=Witness(g),
        ),
        Step(
            "R5 above: the second is best at l_1, by h >= 0; the constant is 1, not the 1/2 of mixtures",
            (n.k * p + a, "<=", -l_1 * t),
            uses=(OPTIMAL,),
            where=(at_end,),
            proof=Witness(h),
        ),
        Step(
            "R16: where the code changes, at l_0 = l_1, both are best (g = h = 0), so k DeltaE_p + DeltaE_a = l_0 (-DeltaE_t): "
            "summed over the changes, K_p = k and K_a = 1",
            (n.k * p + a, "=", -l_0 * t),
            uses=("steps 9, 10", "the least cost is continuous in l"),
            where=((p, (-a - l_0 * t) / n.k),),
        ),
        Step(
            "R18: with P_p = (P_a + P_t)/2 both optimalities say what g, h are",
            (n.k * p + a, "=", g),
            uses=(OPTIMAL, "E_p = (E_a + E_t)/2"),
            where=union,
        ),
        Step("and at L", (n.k * p + a + length * t, "=", -h), uses=(OPTIMAL, "E_p = (E_a + E_t)/2"), where=union),
        Step(
            "so DeltaE_a > 0 where anything moves", (a, ">=", 0), uses=("step 12",), where=union, proof=Witness(align)
        ),
        Step(
            "and DeltaE_p < 0, for L < 1",
            (-n.k * p, ">=", 0),
            uses=("steps 12, 13",),
            where=union,
            proof=Witness(n.k / 2 * (x * g + (1 + x) * h) / (n.k / 2 + 1)),
        ),
        Step(
            "The ratio is at least 1",
            (ratio, ">=", 1),
            uses=("steps 12 to 15",),
            where=union,
            proof=Witness((n.k + 2) * g / (n.k * (x * g + (1 + x) * h))),
        ),
        Step(
            "and at most (1 + 2L/k)/(1 - L)",
            (ratio, "<=", top),
            uses=("steps 12 to 15",),
            where=union,
            proof=Witness((n.k + 2) * h * (1 + x) / (n.k * x * (x * g + (1 + x) * h))),
        ),
        Step("The ratio is 1 for a code that changes at 0 (g = 0)", (ratio, "=", 1), where=at_changes[0]),
        Step("and the upper bound for one that changes at L (h = 0)", (ratio, "=", top), where=at_changes[1]),
    ]


def _fibonacci() -> list[Step]:
    """F_{n+1} p <= 1 for every optimal code, by an exchange, and what it gives under mismatch."""
    import sympy as sp

    n = symbols()
    q, y = leaf_symbol("Q", positive=True), leaf_symbol("y")
    depth, w, s, f, g = parameters("d w s f x_3", nonnegative=True)
    first, second, x, v = parameters("F_j F_{j+1} x_1 x_2", nonnegative=True)
    mass, power, step = parameter("p", positive=True), parameter("v", positive=True), parameter("c_1")
    golden = 1 + step
    return [
        Step(
            "In an optimal code a node of weight s at depth d + 1 may be exchanged with its parent's sibling, of weight w: "
            "the cost changes by w - s, so w >= s",
            ((depth * s + (depth + 1) * w) - ((depth + 1) * s + depth * w), "=", w - s),
            uses=("the nodes below them keep their places",),
        ),
        Step(
            "So along the path from a leaf of mass p to the root each weight is at least the sum of the two before: with "
            "s_j >= F_j p and s_{j+1} >= F_{j+1} p, s_{j+2} = s_{j+1} + w >= (F_j + F_{j+1}) p. At the root: F_{n+1} p <= 1",
            (f + w, ">=", (first + second) * mass),
            uses=("step 20", "induction from F_1 = F_2 = 1"),
            where=((w, s + g), (s, first * mass + x), (f, second * mass + v)),
            proof=Witness(g + x + v),
        ),
        Step(
            "The golden ratio c has c^2 = c + 1, so F_{n+1} >= c^(n-1): with F_n = v + x, F_{n+1} = v c + f, v = c^(n-2)",
            ((power + x) + (power * golden + f), ">=", power * (golden + 1)),
            uses=("induction", "c^2 = c + 1"),
            proof=Witness(x + f),
        ),
        Step(
            "Hence (n - 1) ln c <= -ln Q, with a factor 1 + y to spare: E_P[L] <= 1 + H(P, Q)/log2 c, c = 1 + c_1",
            (
                n.Total(n.P * (1 - (sp.log(q) + sp.log(1 + y)) / sp.log(golden))),
                "<=",
                1 + n.Total(-n.P * sp.log(q)) / sp.log(golden),
            ),
            uses=("steps 21, 22", NORMALISED),
            given=((n.P, 1),),
            proof=Witness(n.Total(n.P * sp.log(1 + y)) / sp.log(golden)),
        ),
    ]


def _derive_codes() -> Derivation:
    steps = (*_own_source(), _margin(), *_model_class(), *_fibonacci())
    return Derivation(
        "R14",
        "Codes under mismatch",
        (
            "prefix codes on a fixed finite alphabet, every leaf with a word (no coverage is needed); lengths are integers",
            "optimal: least sum w_i E_i[L], as Huffman's are, however ties are broken",
        ),
        steps,
        claims(steps, 3, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 21, 23),
        "H <= E[L] < H + 1 on the own source; l_0 (E_t(l_0) - E_t(l_1)) <= k DeltaE_p + DeltaE_a <= l_1 (E_t(l_0) - E_t(l_1)) and "
        "K_p = k, K_a = 1 exactly; with P_p = (P_a + P_t)/2 and 0 < L < 1, 1 <= -DeltaE_a/(k DeltaE_p) <= (1 + 2L/k)/(1 - L), both "
        "attained; Shannon's code misses by less than k + 1; F_{n+1} p <= 1, E_i[L] <= 1 + H(P_i, q)/log2((1 + sqrt 5)/2).",
    )


def _derive_protocol() -> Derivation:
    import sympy as sp

    n = symbols()
    first, later, length, q = (leaf_symbol(name) for name in ("P_1", "P_2", "n", "q"))
    m_1, m_2, nu = parameter("m_1"), parameter("m_2"), parameter("nu", positive=True)
    entropy, r, c, x = parameters("H r c x", nonnegative=True)
    e = parameter("epsilon", positive=True)
    m, u, v = parameter("m"), parameter("u"), parameter("v", real=True)
    binary = -(e * sp.log(e) + (1 - e) * sp.log(1 - e)) / sp.log(2)
    steps = [
        Step(
            "The bits of a response are summed over its blocks: a mean of m_1 first blocks and m_2 later ones takes nu E_q[L], "
            "with nu = m_1 + m_2 blocks and q the masses of all of them pooled (no independence of blocks is used)",
            (m_1 * n.Total(first * length) + m_2 * n.Total(later * length), "=", nu * n.Total(q * length)),
            uses=("linearity",),
            where=((q, (m_1 * first + m_2 * later) / nu), (nu, m_1 + m_2)),
        ),
        Step(
            "A block takes E[L] = H + r with 0 <= r < 1 (R14) where Thm 3.4 prints H + c with 0 <= c < 1: it is too high by < 1",
            ((entropy + r) - (entropy + c), ">=", -1),
            uses=("R14", "definition of the ceiling"),
            where=((c, 1 - x),),
            assume=(c,),
            proof=Witness(r + x),
        ),
        Step(
            "and too low by < 1",
            ((entropy + r) - (entropy + c), "<=", 1),
            uses=("R14", "definition of the ceiling"),
            where=((r, 1 - x),),
            assume=(r,),
            proof=Witness(x + c),
        ),
        Step(
            "1 is sharp below: 2^m equal leaves, one of them split, have E[L] = H = m + u, u = 2^-m, where m + 1 is printed",
            ((m + u) - (m + 1), "->", -1),
            uses=("dyadic masses",),
            proof=Limit(u),
        ),
        Step(
            "1 is sharp above: a leaf of mass 1 - epsilon and 2^v of epsilon/2^v have H = h(epsilon) + epsilon v and "
            "E[L] = 1 + epsilon v; with H = 1 printed, E[L] - 1 = 1 - h(epsilon) (v an integer: less than epsilon below)",
            (1 + e * v - 1, "=", 1 - binary),
            uses=("Huffman joins the light leaves first",),
            where=((v, (1 - binary) / e),),
        ),
        Step("which tends to 1", (1 - binary, "->", sp.Integer(1)), proof=Limit(e)),
    ]
    return Derivation(
        "R15",
        "Thm 3.4 against real codes",
        (
            "responses in ceil(|x|/d) blocks (Def 3.3b), Huffman's code on the masses q of all their blocks",
            "the number of blocks is known to the receiver: else a response that fills its blocks takes a further word, END",
        ),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 5, 6),
        "With nu = E ceil(|x|/d): nu H(q) <= E[bits] < nu (H(q) + 1). Thm 3.4 as printed, nu ceil(H(q)), is neither the length nor a "
        "bound: it misses by more than -1 and less than 1 bit a block, and neither end can be improved.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R14": _derive_codes, "R15": _derive_protocol}
