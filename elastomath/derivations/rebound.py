"""R13: rebound in joint compression; R19: sequential training with forgetting."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from .definitions import MIXTURE, NORMALISED, claims, gap_lemma, symbols
from .language import Derivation, Limit, Rises, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter, parameters


def _scores() -> SimpleNamespace:
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
    """Both divergences from the base P fall at least by the factor c = 1/(1+z) from q to q_c = (1-c) P + c q."""
    import sympy as sp

    names = symbols()
    base, model, moved = (leaf_symbol(name, positive=True) for name in ("P_0", "Q", "Q_c"))
    share = 1 / (1 + closer)
    at = ((moved, (1 - share) * base + share * model),)
    masses = ((base, 1), (model, 1))
    return [
        *gap_lemma(),
        Step(
            "D(q || P) is convex: at q_c = (1-c) P + c q, c = 1/(1+z), it is at most c D(q || P)",
            share * names.Total(model * sp.log(model / base)) - names.Total(moved * sp.log(moved / base)),
            0,
            ">=",
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
            share * names.Total(base * sp.log(base / model)) - names.Total(base * sp.log(base / moved)),
            0,
            ">=",
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

    names, s = symbols(), _scores()
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
            names.Total(feature * (k * names.p + n * high + m * low) / total),
            at,
            uses=(MIXTURE,),
            where=(
                (s.base, names.Total(feature * names.p)),
                (s.high, names.Total(feature * high)),
                (s.low, names.Total(feature * low)),
            ),
        ),
        Step(
            "Its slope in the negative volume m",
            sp.Derivative(at, m),
            -(at - s.low) / total,
            uses=("step 1",),
        ),
        Step(
            "with s_p = s_- + b and s_+ = s_p + a, a, b > 0: the score falls, at the rate",
            (at - s.low) / total,
            slope,
            uses=("step 2",),
            where=s.where,
        ),
        Step(
            "More aligned, faster collapse: d/dn |ds/dm| > 0 exactly for n < m + k (s_+ + s_- - 2 s_p)/(s_+ - s_-)",
            sp.Derivative((at - s.low) / total, n),
            (s.high - s.low) * (turn - n) / total**3,
            uses=("step 2",),
        ),
        Step(
            "As a function of N = k+n+m alone: |ds/dm| = (s_+ - s_-) (1/N - c/N^2), c = m + k (s_+ - s_p)/(s_+ - s_-)",
            (at - s.low) / total,
            (s.high - s.low) * (1 / total - pole / total**2),
            uses=("step 2",),
        ),
        Step(
            "so of two runs N_1 < N_2 the more aligned one falls faster exactly where c (1/N_1 + 1/N_2) > 1",
            fall(second) - fall(first),
            (s.high - s.low) * (1 / first - 1 / second) * (y * (1 / first + 1 / second) - 1),
            uses=("step 5",),
            where=(
                (fall(second), (s.high - s.low) * (1 / second - y / second**2)),
                (fall(first), (s.high - s.low) * (1 / first - y / first**2)),
            ),
        ),
        Step(
            "Volume to return to s_p: at m* = n (s_+ - s_p)/(s_p - s_-) the score is s_p, for every k",
            at.subs(m, back),
            s.base,
            uses=("step 1",),
        ),
        Step(
            "and before that it is above s_p: with m = m*/(1+x)",
            at,
            s.base,
            ">=",
            uses=("step 1",),
            where=((m, back / (1 + x)), *s.where),
            proof=Witness(n * s.up * x * s.down / (n * s.up + s.down * (k + n) * (1 + x))),
        ),
        Step(
            "With a stopping tolerance, s <= s_p + tau, m_tau = [n (s_+ - s_p - tau) - k tau]/(s_p - s_- + tau)",
            at.subs(m, within),
            s.base + tol,
            uses=("step 1",),
        ),
        Step(
            "it still rises with n wherever it is needed (s_+ - s_p = tau + x)",
            sp.Derivative(within, n),
            0,
            ">=",
            where=((s.high, s.base + tol + x), (s.base, s.low + s.down)),
            proof=Witness(x / (s.down + tol)),
        ),
        Step(
            "and faster than n: m_tau/n rises too",
            sp.Derivative(within / n, n),
            0,
            ">=",
            where=((s.base, s.low + s.down),),
            proof=Witness(k * tol / (n**2 * (s.down + tol))),
        ),
        *_towards_base(x),
        Step(
            "Any divergence from the base: volumes (lambda n, lambda m) put P_+ and P_- at c times the shares of (n, m)",
            shrink * n / (k + shrink * (n + m)),
            factor * n / total,
            uses=(MIXTURE,),
            where=((factor, pulled),),
        ),
        Step(
            "with c <= 1 for lambda = 1/(1+y) < 1, so the model lies between the base and where (n, m) put it",
            factor,
            1,
            "<=",
            uses=("step 16",),
            where=(
                (factor, pulled),
                (shrink, 1 / (1 + y)),
            ),
            proof=Witness(y * k / (k * (1 + y) + n + m)),
        ),
        Step(
            "so a tolerance met at (n, m) is met at (lambda n, lambda m): m*(lambda n) <= lambda m*(n); for a score alike",
            factor * (score(k, n, m, s.base, s.high, s.low) - s.base),
            score(k, shrink * n, shrink * m, s.base, s.high, s.low) - s.base,
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


def _derive_forgetting() -> Derivation:
    import sympy as sp

    names, s = symbols(), _scores()
    eta, kept = parameter("eta"), parameter("rho", positive=True)  # 0 < eta < 1, rho = prod (1 - eta_i) so far
    start, block = leaf_symbol("q_i"), leaf_symbol("P")
    count, total, one = parameter("n"), leaf_symbol("S"), leaf_symbol("P_n")
    x_p, x_a, x_t = (parameter(name, positive=True) for name in ("X_p", "X_a", "X_t"))  # (1-eta)^n of each phase
    y, z, c = parameters("y z c")
    lift = parameter("L", real=True)
    less, more = parameter("X_1"), parameter("Y_1", real=True)
    step_rate = 1 - eta
    share_p, share_a, share_t = (parameter(name, real=True) for name in ("W_p", "W_a", "W_t"))
    weights = ((share_p, x_t * x_a * (1 - x_p)), (share_a, x_t * (1 - x_a)), (share_t, 1 - x_t))
    kappa = x_a * (1 - x_p) / (1 - x_a)
    aligned = s.high - (s.high - s.base) * x_a  # the score after alignment, with X = (1-eta)^n
    volume = sp.log(1 + c * (1 - x_a))  # h m*, with c = (s_+ - s_p)/(s_p - s_-)
    bowed = sp.log(1 + c * z / (1 + z))
    steps = [
        Step(
            "One step keeps 1 - eta of what was there: after n steps on P, with rho = prod (1-eta_i), q = rho q_0 + (1-rho) P",
            step_rate * (kept * start + (1 - kept) * block) + eta * block,
            step_rate * kept * start + (1 - step_rate * kept) * block,
            uses=("induction over n: rho becomes (1 - eta) rho",),
        ),
        Step(
            "For any rates the weights eta_j prod_{i>j} (1-eta_i) add up to 1 - prod_i (1-eta_i)",
            step_rate * (1 - kept) + eta,
            1 - step_rate * kept,
            uses=("induction: older weights are multiplied by 1 - eta, the new one is eta",),
        ),
        Step(
            "eta_n = 1/n gives the plain average of everything seen, so joint compression",
            (1 - 1 / count) * total / (count - 1) + one / count,
            (total + one) / count,
            uses=("induction over n: S is the sum of the first n - 1",),
        ),
        Step(
            "Phases of n_p, n_a, m steps, X = (1-eta)^n of each phase: a mixture; the last weight is what the start keeps",
            share_p + share_a + share_t + x_t * x_a * x_p,
            1,
            uses=("step 1 for each phase",),
            where=weights,
        ),
        Step(
            "Effective volumes: K_p/K_a = X_a (1 - X_p)/(1 - X_a), whatever the perturbation",
            share_p / share_a,
            kappa,
            uses=("step 4",),
            where=weights,
        ),
        Step(
            "A long pre-training counts as an infinite one: K_p/K_a -> 1/(1/X_a - 1) as X_p -> 0",
            kappa,
            1 / (1 / x_a - 1),
            uses=("step 5",),
            proof=Limit(x_p),
        ),
        *gap_lemma(),
        Step(
            "Exponents: d ln kappa/d ln n_p = x/(e^x - 1) with X_p = e^-x (d/d ln n = X ln X d/dX)",
            x_p * sp.log(x_p) * sp.Derivative(sp.log(kappa), x_p),
            -sp.log(x_p) * x_p / (1 - x_p),
            uses=("step 5",),
        ),
        Step(
            "which is at most 1 (X_p = 1/(1+y)), and falls to 0 with X_p: beta = 0",
            -sp.log(x_p) * x_p / (1 - x_p),
            1,
            "<=",
            uses=("phi >= 0",),
            where=((x_p, 1 / (1 + y)),),
            proof=Witness(names.Gap(1 + y) / y),
        ),
        Step("that is", -sp.log(x_p) * x_p / (1 - x_p), 0, uses=("step 9",), proof=Limit(x_p)),
        Step(
            "d ln kappa/d ln n_a = -x/(1 - e^-x) with X_a = e^-x",
            x_a * sp.log(x_a) * sp.Derivative(sp.log(kappa), x_a),
            sp.log(x_a) / (1 - x_a),
            uses=("step 5",),
        ),
        Step(
            "which is at most -1 (X_a = 1/(1+y)): the slope -1 is the flattest, reached as eta n_a -> 0",
            sp.log(x_a) / (1 - x_a),
            -1,
            "<=",
            uses=("phi >= 0",),
            where=((x_a, 1 / (1 + y)),),
            proof=Witness((1 + y) / y * names.Gap(1 / (1 + y))),
        ),
        Step("that is, with X_a = 1 - y", sp.log(1 - y) / y, -1, uses=("step 12",), proof=Limit(y)),
        Step(
            "The first fall is eta (s - s_-) and grows with n: s = s_+ - (s_+ - s_p) X_a, and X_a falls",
            -sp.Derivative(eta * (aligned - s.low), x_a),
            0,
            ">=",
            uses=("step 1",),
            where=s.where,
            proof=Witness(eta * s.up),
        ),
        Step(
            "Volume to return: after the factor Y = 1/(1 + (s_+ - s_p)(1 - X_a)/(s_p - s_-)) the score is s_p, so "
            "m* = ln[1 + (s_+ - s_p)(1 - X_a)/(s_p - s_-)]/ln(1/(1-eta))",
            s.low + (aligned - s.low) * more,
            s.base,
            uses=("step 1",),
            where=((more, 1 / (1 + (s.high - s.base) * (1 - x_a) / (s.base - s.low))),),
        ),
        Step(
            "m* rises with n (X_a = 1/(1+z) falls)",
            -sp.Derivative(volume, x_a),
            0,
            ">=",
            uses=("step 16",),
            where=((x_a, 1 / (1 + z)),),
            proof=Witness(c * (1 + z) / (1 + z + c * z)),
        ),
        Step(
            "but less than in proportion: d ln m*/d ln n <= 1 (X_a = 1/(1+z), so h n = ln(1+z))",
            bowed,
            c * sp.log(1 + z) / (1 + z + c * z),
            ">=",
            uses=("step 16",),
            proof=Rises(z, c * (1 + c) * sp.log(1 + z) / (1 + z + c * z) ** 2),
        ),
        Step(
            "and it saturates: h m* -> ln[(s_+ - s_-)/(s_p - s_-)] as X_a -> 0",
            volume.subs(c, s.up / s.down),
            sp.log((s.up + s.down) / s.down),
            uses=("step 16",),
            proof=Limit(x_a),
        ),
        Step(
            "Any divergence from the base: the shares of P_- and P_+ stand at (1/Y - 1)/(1 - X), so of two runs with the same "
            "ratio, X_1 > X, the less aligned one has Y_1 > Y",
            1 / more - 1,
            (1 / x_t - 1) * (1 - less) / (1 - x_a),
            uses=("step 4",),
            where=((more, 1 / (1 + (1 / x_t - 1) * (1 - less) / (1 - x_a))),),
        ),
        Step(
            "and lies between the base and the other (1/Y_1 - 1 = y, 1/Y - 1 = y + z): a tolerance met with more alignment is "
            "met with less, at a smaller m; m* rises under either divergence",
            (1 - 1 / (1 + y)),
            (1 - 1 / (1 + y + z)),
            "<=",
            uses=("R13 steps 14, 15", "step 20"),
            proof=Witness(z / ((1 + y) * (1 + y + z))),
        ),
        Step(
            "The perturbation's volume, in units of the start (N_0 = 1): q = (q_0 + L P_t)/(1 + L) with L = 1/X_t - 1",
            x_t * start + (1 - x_t) * block,
            (start + lift * block) / (1 + lift),
            uses=("step 1",),
            where=((lift, 1 / x_t - 1),),
        ),
        Step(
            "so R17's ceiling ln(1 + L/N_0) is -ln X_t = m ln(1/(1-eta)): linear in m",
            sp.log(1 + lift),
            -sp.log(x_t),
            uses=("R17", "step 22"),
            where=((lift, 1 / x_t - 1),),
        ),
        Step(
            "The exponential forms put eta where h = ln(1/(1-eta)) stands: h >= eta (eta = z/(1+z), h = ln(1+z))",
            sp.log(1 + z),
            z / (1 + z),
            ">=",
            uses=("phi >= 0",),
            proof=Rises(z, z / (1 + z) ** 2),
        ),
        Step(
            "and h <= eta/(1-eta), so that they are off by the relative order eta/2",
            sp.log(1 + z),
            z,
            "<=",
            proof=Rises(z, z / (1 + z)),
        ),
    ]
    return Derivation(
        "R19",
        "Sequential training with forgetting",
        (
            "q <- (1-eta) q + eta P with 0 < eta < 1 (for sampled examples this is the expectation of q)",
            "s_- < s_p < s_+ strictly, for a score that is linear in q",
        ),
        tuple(steps),
        claims(steps, 1, 2, 3, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23),
        "a run is a joint run with weights eta_j prod_{i>j} (1-eta_i): K_p/K_a = X_a (1-X_p)/(1-X_a), X = (1-eta)^n, with "
        "exponents x/(e^x-1) in n_p (beta -> 0) and -x/(1-e^-x) <= -1 in n_a; the first fall grows with n; m* rises and "
        "saturates, with 0 < b < 1; the ceiling is m ln(1/(1-eta)).",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R13": _derive_rebound, "R19": _derive_forgetting}
