"""R13: rebound in joint compression."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from .definitions import MIXTURE, NORMALISED, claims, gap_lemma, symbols
from .language import Derivation, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter


def base_scores() -> SimpleNamespace:
    """The base scores s_p = s_- + b and the positive data s_+ = s_- + b + a, with a, b > 0: s_p strictly between."""

    names = SimpleNamespace(low=parameter("s_-", real=True))
    names.base, names.high = parameter("s_p", real=True), parameter("s_+", real=True)
    names.up, names.down = parameter("a", positive=True), parameter("b", positive=True)
    names.where = ((names.base, names.low + names.down), (names.high, names.low + names.down + names.up))
    return names


def score(k: Expr, n: Expr, m: Expr, base: Expr, high: Expr, low: Expr) -> Expr:
    """The definition R13 starts from: ``s = (k s_p + n s_+ + m s_-)/(k + n + m)``.

    >>> import sympy as sp
    >>> score(*sp.symbols("k n m"), 0, 1, -1)
    (-m + n)/(k + m + n)
    """
    return (k * base + n * high + m * low) / (k + n + m)


def _towards_base(closer: Expr) -> list[Step]:
    """Both divergences from the base P fall at least by the factor c = 1/(1+x) from q to q_c = (1-c) P + c q."""
    import sympy as sp

    names = symbols()
    base, model, moved = (leaf_symbol(name, positive=True) for name in ("P_0", "Q", "Q_c"))
    share = 1 / (1 + closer)
    at = ((moved, (1 - share) * base + share * model),)
    masses = ((base, 1), (model, 1))
    return [
        *gap_lemma(),
        Step(
            "D(q || P) is convex: at q_c = (1-c) P + c q, c = 1/(1+x), it is at most c D(q || P)",
            (share * names.Total(model * sp.log(model / base)) - names.Total(moved * sp.log(moved / base)), ">=", 0),
            uses=("phi >= 0", NORMALISED),
            given=masses,
            where=at,
            proof=Witness(
                names.Total(
                    share * model * names.Gap(moved / model) + closer / (1 + closer) * base * names.Gap(moved / base)
                )
            ),
        ),
        Step(
            "and so is D(P || q)",
            (share * names.Total(base * sp.log(base / model)) - names.Total(base * sp.log(base / moved)), ">=", 0),
            uses=("phi >= 0", NORMALISED),
            given=masses,
            where=at,
            proof=Witness(
                names.Total(
                    share * base * names.Gap(model / moved) + closer / (1 + closer) * base * names.Gap(base / moved)
                )
            ),
        ),
    ]


def _derive_rebound() -> Derivation:
    import sympy as sp

    names, s = symbols(), base_scores()
    k, n, m = names.k, parameter("n"), parameter("m")
    feature, high, low = leaf_symbol("f", real=True), leaf_symbol("P_+"), leaf_symbol("P_-")
    first, second = parameter("N_1"), parameter("N_2")
    tol, x, y, shrink = (parameter(name, positive=True) for name in ("tau", "x", "y", "lambda"))
    at, total = score(k, n, m, s.base, s.high, s.low), k + n + m
    slope = (k * s.down + n * (s.up + s.down)) / total**2  # |ds/dm| in a and b
    turn = m + k * (s.high + s.low - 2 * s.base) / (s.high - s.low)
    fall = open_function("g", real=True)
    pole = m + k * (s.high - s.base) / (s.high - s.low)
    back = n * (s.high - s.base) / (s.base - s.low)
    within = (n * (s.high - s.base - tol) - k * tol) / (s.base - s.low + tol)
    factor, pulled = parameter("c", positive=True), shrink * total / (k + shrink * (n + m))
    steps = [
        Step(
            "A score linear in q, s = sum_x f q, is the average of the scores, weighted by volume",
            (names.Total(feature * (k * names.p + n * high + m * low) / total), "=", at),
            uses=(MIXTURE,),
            where=(
                (s.base, names.Total(feature * names.p)),
                (s.high, names.Total(feature * high)),
                (s.low, names.Total(feature * low)),
            ),
        ),
        Step(
            "Its slope in the negative volume m", (sp.Derivative(at, m), "=", -(at - s.low) / total), uses=("step 1",)
        ),
        Step(
            "with s_p = s_- + b and s_+ = s_p + a, a, b > 0: the score falls, at the rate",
            ((at - s.low) / total, "=", slope),
            uses=("step 2",),
            where=s.where,
        ),
        Step(
            "More aligned, faster collapse: d/dn |ds/dm| > 0 exactly for n < m + k (s_+ + s_- - 2 s_p)/(s_+ - s_-)",
            (sp.Derivative((at - s.low) / total, n), "=", (s.high - s.low) * (turn - n) / total**3),
            uses=("step 2",),
        ),
        Step(
            "As a function of N = k+n+m alone: |ds/dm| = (s_+ - s_-) (1/N - c/N^2), c = m + k (s_+ - s_p)/(s_+ - s_-)",
            ((at - s.low) / total, "=", (s.high - s.low) * (1 / total - pole / total**2)),
            uses=("step 2",),
        ),
        Step(
            "so of two runs N_1 < N_2 the more aligned one falls faster exactly where c (1/N_1 + 1/N_2) > 1",
            (
                fall(second) - fall(first),
                "=",
                (s.high - s.low) * (1 / first - 1 / second) * (y * (1 / first + 1 / second) - 1),
            ),
            uses=("step 5",),
            where=(
                (fall(second), (s.high - s.low) * (1 / second - y / second**2)),
                (fall(first), (s.high - s.low) * (1 / first - y / first**2)),
            ),
        ),
        Step(
            "Volume to return to s_p: at m* = n (s_+ - s_p)/(s_p - s_-) the score is s_p, for every k",
            (at.subs(m, back), "=", s.base),
            uses=("step 1",),
        ),
        Step(
            "and before that it is above s_p: with m = m*/(1+x)",
            (at, ">=", s.base),
            uses=("step 1",),
            where=((m, back / (1 + x)), *s.where),
            proof=Witness(n * s.up * x * s.down / (n * s.up + s.down * (k + n) * (1 + x))),
        ),
        Step(
            "With a stopping tolerance, s <= s_p + tau, m_tau = [n (s_+ - s_p - tau) - k tau]/(s_p - s_- + tau)",
            (at.subs(m, within), "=", s.base + tol),
            uses=("step 1",),
        ),
        Step(
            "it still rises with n wherever it is needed (s_+ - s_p = tau + x)",
            (sp.Derivative(within, n), ">=", 0),
            where=((s.high, s.base + tol + x), (s.base, s.low + s.down)),
            proof=Witness(x / (s.down + tol)),
        ),
        Step(
            "and faster than n: m_tau/n rises too",
            (sp.Derivative(within / n, n), ">=", 0),
            where=((s.base, s.low + s.down),),
            proof=Witness(k * tol / (n**2 * (s.down + tol))),
        ),
        *_towards_base(x),
        Step(
            "Any divergence from the base: volumes (lambda n, lambda m) put P_+ and P_- at c times the shares of (n, m)",
            (shrink * n / (k + shrink * (n + m)), "=", factor * n / total),
            uses=(MIXTURE,),
            where=((factor, pulled),),
        ),
        Step(
            "with c <= 1 for lambda = 1/(1+y) < 1, so the model lies between the base and where (n, m) put it",
            (factor, "<=", 1),
            uses=("step 16",),
            where=((factor, pulled), (shrink, 1 / (1 + y))),
            proof=Witness(y * k / (k * (1 + y) + n + m)),
        ),
        Step(
            "so a tolerance met at (n, m) is met at (lambda n, lambda m): m*(lambda n) <= lambda m*(n); for a score alike",
            (
                factor * (score(k, n, m, s.base, s.high, s.low) - s.base),
                "=",
                score(k, shrink * n, shrink * m, s.base, s.high, s.low) - s.base,
            ),
            uses=("steps 14 to 17",),
            where=((factor, pulled),),
        ),
    ]
    return Derivation(
        "R13",
        "Rebound in joint compression",
        (
            "volumes k > 0 of the base data, n > 0 positive, m >= 0 negative; s_- < s_p < s_+ strictly",
            "steps 14 to 18: any base, positive and negative data, D convex in q and 0 at the base; m* the first m that "
            "meets D <= tau (infinite where none does)",
        ),
        tuple(steps),
        claims(steps, 3, 4, 6, 7, 8, 9, 10, 11, 14, 15, 18),
        "the more aligned falls faster only for n < m + k (s_+ + s_- - 2 s_p)/(s_+ - s_-); m* = n (s_+ - s_p)/(s_p - s_-), "
        "and under a tolerance on the score or on either divergence m*/n never falls in n: m* ~ n^b needs b >= 1.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R13": _derive_rebound}
