"""R17: how far additions can raise code lengths: of a string, of a dataset, of everything; in which classes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from .definitions import CODE, MIXTURE, NORMALISED, claims, gap_lemma, path_ends, symbols
from .language import Derivation, Step, Witness
from .words import leaf_symbol, parameter, parameters


def _mixture_steps() -> list[Step]:
    import sympy as sp

    n = symbols()
    path = path_ends(n)
    base = leaf_symbol("b_x", positive=True)
    on_support = ((n.b, base),)
    rise = sp.log(n.q_0 / n.q_L)
    overlap_0, overlap_L = parameter("A_0", real=True), parameter("A_L", nonnegative=True)
    w = n.L / n.B
    left = parameter("l'", positive=True)  # N_L - L A_L, > 0 where P_a > 0 on the support of b
    bound = parameter("z_0", positive=True)
    code_0, code_L = leaf_symbol("q_0", positive=True), leaf_symbol("q_L", positive=True)
    lower_ratio, upper_ratio = leaf_symbol("rho_0", positive=True), leaf_symbol("rho_L", positive=True)
    y, volume, c = parameter("y", nonnegative=True), parameter("N_0", real=True), parameter("c")
    return [
        Step(
            "A string lengthens by ln(q_0/q_L) = ln(1 + L/N_0) - ln(1 + L P_t/b)",
            (rise, "=", sp.log(1 + w) - sp.log(1 + n.L * n.t / base)),
            uses=(MIXTURE, CODE),
            where=(*path, *on_support),
        ),
        Step(
            "so by at most ln(1 + L/N_0), with equality iff P_t misses it: in q_0/q_L, on every leaf",
            (1 + w, ">=", base / n.B * (n.B + n.L) / (base + n.L * n.t)),
            uses=("step 1", "ln rises"),
            proof=Witness((n.B + n.L) / n.B * n.L * n.t / (base + n.L * n.t)),
        ),
        Step(
            "and DeltaH_a is ln(1 + L/N_0) less sum_x [P_a ln(1 + L P_t/b)], whose terms vanish only where P_a "
            "or P_t does",
            (
                n.Total(n.a * sp.log(n.q_0)) - n.Total(n.a * sp.log(n.q_L)),
                "=",
                sp.log(1 + w) - n.Total(n.a * sp.log(1 + n.L * n.t / base)),
            ),
            uses=("step 1", NORMALISED),
            given=((n.a, 1),),
            where=(*path, *on_support),
        ),
        Step(
            "ln(1 + y) >= y/(1 + y) >= 0: the terms that were dropped, and their size",
            (sp.log(1 + y), ">=", y / (1 + y)),
            uses=("phi(1/(1+y)) >= 0",),
            proof=Witness(n.Gap(1 / (1 + y))),
        ),
        *gap_lemma(),
        Step(
            "From below, A_0 known: DeltaH_a >= ln(N_L/(N_0 + L A_0)), with equality iff P_t/q_0 is constant on "
            "D_a (Jensen: phi of "
            "rho_0 = (b + L P_t)/b over its mean)",
            (n.Total(n.a * sp.log(code_0)) - n.Total(n.a * sp.log(code_L)), ">=", sp.log((n.B + n.L) / bound)),
            uses=("phi >= 0", NORMALISED),
            given=((n.a, 1), (n.a * lower_ratio, bound / n.B)),
            where=((code_L, base * lower_ratio / (n.B + n.L)), (code_0, base / n.B)),
            proof=Witness(n.Total(n.a * n.Gap(lower_ratio * n.B / bound))),
        ),
        Step(
            "where that mean is z_0/N_0 with z_0 = N_0 + L A_0",
            (n.Total(n.a * (base + n.L * n.t) / base), "=", (n.B + n.L * overlap_0) / n.B),
            uses=("A_0 = sum_x [P_a P_t/q_0]", NORMALISED),
            given=((n.a, 1), (n.a * n.t * n.B / base, overlap_0)),
        ),
        Step(
            "From above, A_L known: DeltaH_a <= ln((N_L - L A_L)/N_0), with equality iff P_t/q_L is constant on "
            "D_a (rho_L = b/(b + L P_t))",
            (n.Total(n.a * sp.log(code_0)) - n.Total(n.a * sp.log(code_L)), "<=", sp.log(left / n.B)),
            uses=("phi >= 0", NORMALISED),
            given=((n.a, 1), (n.a * upper_ratio, left / (n.B + n.L))),
            where=((code_L, base / (upper_ratio * (n.B + n.L))), (code_0, base / n.B)),
            proof=Witness(n.Total(n.a * n.Gap(upper_ratio * (n.B + n.L) / left))),
        ),
        Step(
            "where that mean is (N_L - L A_L)/N_L",
            (n.Total(n.a * base / (base + n.L * n.t)), "=", (n.B + n.L - n.L * overlap_L) / (n.B + n.L)),
            uses=("A_L = sum_x [P_a P_t/q_L]", NORMALISED),
            given=((n.a, 1), (n.a * n.t * (n.B + n.L) / (base + n.L * n.t), overlap_L)),
        ),
        Step(
            "These are sharper than the linear forms: u (1 - A_0) from below, u = L/N_L (z_0 = N_0 + L A_0) ...",
            (sp.log((n.B + n.L) / bound), ">=", n.L * (1 - overlap_0) / (n.B + n.L)),
            uses=("phi >= 0",),
            where=((overlap_0, (bound - n.B) / n.L),),
            proof=Witness(n.Gap(bound / (n.B + n.L))),
        ),
        Step(
            "... and (L/N_0)(1 - A_L) from above (l' = N_L - L A_L)",
            (sp.log(left / n.B), "<=", n.L * (1 - overlap_L) / n.B),
            uses=("phi >= 0",),
            where=((left, n.B + n.L - n.L * overlap_L),),
            assume=(left,),
            proof=Witness(n.Gap(left / n.B)),
        ),
        Step(
            "... and ln(1 + L/N_0) alike, since A_L >= 0",
            (n.B + n.L - n.L * overlap_L, "<=", n.B + n.L),
            uses=("ln rises",),
            proof=Witness(n.L * overlap_L),
        ),
        Step(
            "Turned round: N_0 = L/(e^c - 1) is the volume whose ceiling is c",
            (sp.log(1 + n.L / volume), "=", c),
            where=((volume, n.L / (sp.exp(c) - 1)),),
        ),
    ]


def _convex_symbols() -> SimpleNamespace:
    """What optimality says in a class that is closed under mixing, rho = q_0/q_L on a leaf.

    z > 1 > r: the ratios on D_a and on the others at the extreme. mu, nu > 0: multipliers of the two conditions.
    k and L in terms of them: k (1/r - 1) = 1 - 1/z, k r + z = N_L. sigma_0, sigma_L >= 0: slacks of the conditions.
    """

    names = SimpleNamespace(rho=leaf_symbol("rho_x", positive=True))
    names.z, names.r, names.gap = parameter("z"), parameter("r_p"), parameter("z'", positive=True)
    names.mu, names.nu = parameters("mu nu", positive=True)
    names.sigma_0, names.sigma_L = parameters("sigma_0 sigma_L", nonnegative=True)
    z, r = names.z, names.r
    names.k = r * (z - 1) / (z * (1 - r))
    names.L = (z - 1) * (z - r) / z
    names.multipliers = ((names.mu, z / (z**2 - r**2)), (names.nu, z * r**2 / (z**2 - r**2)))
    return names


def _convex_steps() -> list[Step]:
    import sympy as sp

    n, c = symbols(), _convex_symbols()
    eps, rest = parameter("epsilon", nonnegative=True), parameter("s", real=True)
    scale = (n.B + n.L) / n.B
    y, k, ratio = parameter("y", nonnegative=True), n.k, parameter("L'", positive=True)
    volume = parameter("K")
    pull = sp.Derivative(k * sp.log(1 + rest * y / k) + sp.log(1 - rest * y), rest)
    return [
        Step(
            "Closed under mixing: (1 - eps) q_L + eps q_0 is in the class, and at eps = 0 the objective moves by "
            "sum_x [(b + L P_t)(1 - q_0/q_L)]",
            (
                sp.Subs(sp.Derivative(-(n.b + n.L * n.t) * sp.log((1 - eps) * n.q_L + eps * n.q_0), eps), eps, 0),
                "=",
                (n.b + n.L * n.t) * (1 - c.rho),
            ),
            uses=("rho = q_0/q_L",),
            where=((n.q_0, c.rho * n.q_L),),
        ),
        Step(
            "which is >= 0 at an optimum (sigma_L): sum_x [b rho] + L sum_x [P_t rho] = N_L - sigma_L",
            (n.Total((n.b + n.L * n.t) * c.rho), "=", n.B + n.L - n.Total((n.b + n.L * n.t) * (1 - c.rho))),
            uses=("step 15", NORMALISED),
            given=((n.b, n.B), (n.t, 1)),
        ),
        Step(
            "The pooled ceiling of classes closed under mixing: k DeltaH_p + DeltaH_a <= N_0 ln(N_L/N_0)",
            (n.Total(n.b * sp.log(c.rho)), "<=", n.B * sp.log(scale)),
            uses=("step 16", "phi >= 0"),
            given=((n.b, n.B), ((n.b + n.L * n.t) * c.rho, n.B + n.L - c.sigma_L)),
            proof=Witness(n.Total(n.b * n.Gap(c.rho / scale) + n.L * n.t * c.rho / scale) + c.sigma_L / scale),
        ),
        Step(
            "One dataset, volumes (k, 1): where k (1/r - 1) = 1 - 1/z and k r + z = N_L, DeltaH_a <= ln z. The "
            "start gives sum_x [(k P_p + P_a)/rho] = "
            "N_0 - sigma_0; mu, nu are the multipliers of the two conditions",
            (n.Total(n.a * sp.log(c.rho)), "<=", sp.log(c.z)),
            uses=("step 16 at both ends", "phi >= 0"),
            given=(
                (n.p, 1),
                (n.a, 1),
                ((volume * n.p + n.a + ratio * n.t) * c.rho, volume * c.r + c.z - c.sigma_L),
                ((volume * n.p + n.a) / c.rho, volume / c.r + 1 / c.z - c.sigma_0),
            ),
            where=(*c.multipliers, (c.gap, c.z - c.r)),
            signs=((c.mu, c.z / (c.gap * (c.z + c.r))), (c.nu, c.z * c.r**2 / (c.gap * (c.z + c.r)))),
            assume=(c.gap,),
            proof=Witness(
                n.Total(
                    n.a * n.Gap(c.rho / c.z)
                    + n.a * c.nu * (c.rho - c.z) ** 2 / (c.z**2 * c.rho)
                    + volume * n.p * c.mu * (c.rho - c.r) ** 2 / c.rho
                    + c.mu * ratio * n.t * c.rho
                )
                + c.mu * c.sigma_L
                + c.nu * c.sigma_0
            ),
        ),
        Step("with the two conditions k/r + 1/z = k + 1 ...", (c.k / c.r + 1 / c.z, "=", c.k + 1)),
        Step("... and k r + z = k + 1 + L solved by z and r", (c.k * c.r + c.z, "=", c.k + 1 + c.L)),
        Step(
            "In one unknown, z = 1/(1 - y), r = k/(k + y): N_L y^2 + L (k - 1) y = k L. So z is about 1 + sqrt(L "
            "k/(k+1)) for small L, "
            "not 1 + L/N_0, and y^2/(1 - y) = L as k grows",
            (
                k * k / (k + y) + 1 / (1 - y) - (k + 1 + n.L),
                "=",
                ((k + 1 + n.L) * y**2 + n.L * (k - 1) * y - k * n.L) / ((k + y) * (1 - y)),
            ),
        ),
        Step(
            "It is attained in the limit by the mixtures of two models: on the leaf of D_p q moves by the factor "
            "1 + s y/k, on that of D_a by 1 - s y, "
            "on that of D_t by 1 + s h (0 <= s <= 1): s = 0 is optimal at 0 ...",
            (sp.Subs(pull, rest, 0), "=", 0),
        ),
        Step(
            "... and s = 1 at L (1 + 1/h)^-1 = y/(1 - y) - y/(1 + y/k), h as large as one likes",
            (sp.Subs(pull, rest, 1), "=", -(k * k / (k + y) + 1 / (1 - y) - (k + 1))),
        ),
    ]


def _limits_steps() -> list[Step]:
    import sympy as sp

    n = symbols()
    mean = parameter("m", positive=True)
    moved = n.L * mean / (n.k + 1 + n.L)
    share, volume = parameter("d"), parameter("K")
    kept, left = parameter("K'"), parameter("N'")
    return [
        Step(
            "No ceiling in general: a Gaussian with free mean and variance 1, D_p and D_a at 0, D_t at m: the "
            "mean moves by L m/N_L ...",
            ((n.k + 1) * moved + n.L * (moved - mean), "=", 0),
            uses=("stationarity",),
        ),
        Step(
            "... and DeltaH_a = (L m/N_L)^2/2, as large as one likes: m = 50, k = 10, L = 1 give 625/72 = 8.68, "
            "where ln(1 + L/N_0) = 0.087",
            (moved**2 / 2, "=", sp.Rational(625, 72)),
            where=((mean, sp.Integer(50)), (n.k, sp.Integer(10)), (n.L, sp.Integer(1))),
        ),
        Step(
            "Deletion is not covered: taking d of D_a's volume K away lengthens a string of D_a alone by ln[(N_0 "
            "- d) K/(N_0 (K - d))]: in the "
            "ratio q_0/q_L (without bound as d -> K)",
            (n.q_0 / n.q_L, "=", (n.B - share) * volume / (n.B * (volume - share))),
            uses=(MIXTURE,),
            where=((n.q_0, volume / n.B), (n.q_L, kept / left), (kept, volume - share), (left, n.B - share)),
            assume=(kept, left),
        ),
    ]


def _derive_ceilings() -> Derivation:
    steps = (*_mixture_steps(), *_convex_steps(), *_limits_steps())
    return Derivation(
        "R17",
        "Ceilings on tampering",
        (
            "additions only: the volumes of the other datasets stay as they are; any P_t whatever",
            "steps 1 to 14: mixtures (P_a on the support of q_0). Steps 15 to 23: joint optima of a class closed "
            "under mixing",
        ),
        steps,
        claims(steps, 2, 3, 7, 9, 13, 14, 17, 18, 21, 25, 26),
        "for mixtures every string lengthens by at most ln(1 + L/N_0), with equality iff P_t misses it, and "
        "ln(N_L/(N_0 + L A_0)) <= DeltaH_a <= "
        "ln((N_L - L A_L)/N_0), both attained where P_t/q is constant on D_a; N_0 = L/(e^c - 1) buys the ceiling "
        "c. For a class closed under mixing "
        "k DeltaH_p + DeltaH_a <= (k+1) ln(1 + L/(k+1)), while one dataset is only held to DeltaH_a <= -ln(1 - "
        "y), N_L y^2 + L (k-1) y = k L, which is "
        "attained. For general classes there is no ceiling, and deletion is not covered.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R17": _derive_ceilings}
