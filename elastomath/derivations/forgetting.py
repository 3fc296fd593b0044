"""R19: sequential training with forgetting."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import claims, gap_lemma, symbols
from .language import Derivation, Limit, Rises, Step, Witness
from .rebound import base_scores
from .words import leaf_symbol, parameter, parameters


def _derive_forgetting() -> Derivation:
    import sympy as sp

    names, s = symbols(), base_scores()
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
            (
                step_rate * (kept * start + (1 - kept) * block) + eta * block,
                "=",
                step_rate * kept * start + (1 - step_rate * kept) * block,
            ),
            uses=("induction over n: rho becomes (1 - eta) rho",),
        ),
        Step(
            "For any rates the weights eta_j prod_{i>j} (1-eta_i) add up to 1 - prod_i (1-eta_i)",
            (step_rate * (1 - kept) + eta, "=", 1 - step_rate * kept),
            uses=("induction: older weights are multiplied by 1 - eta, the new one is eta",),
        ),
        Step(
            "eta_n = 1/n gives the plain average of everything seen, so joint compression",
            ((1 - 1 / count) * total / (count - 1) + one / count, "=", (total + one) / count),
            uses=("induction over n: S is the sum of the first n - 1",),
        ),
        Step(
            "Phases of n_p, n_a, m steps, X = (1-eta)^n of each phase: a mixture; the last weight is what the start keeps",
            (share_p + share_a + share_t + x_t * x_a * x_p, "=", 1),
            uses=("step 1 for each phase",),
            where=weights,
        ),
        Step(
            "Effective volumes: K_p/K_a = X_a (1 - X_p)/(1 - X_a), whatever the perturbation",
            (share_p / share_a, "=", kappa),
            uses=("step 4",),
            where=weights,
        ),
        Step(
            "A long pre-training counts as an infinite one: K_p/K_a -> 1/(1/X_a - 1) as X_p -> 0",
            (kappa, "->", 1 / (1 / x_a - 1)),
            uses=("step 5",),
            proof=Limit(x_p),
        ),
        *gap_lemma(),
        Step(
            "Exponents: d ln kappa/d ln n_p = x/(e^x - 1) with X_p = e^-x (d/d ln n = X ln X d/dX)",
            (x_p * sp.log(x_p) * sp.Derivative(sp.log(kappa), x_p), "=", -sp.log(x_p) * x_p / (1 - x_p)),
            uses=("step 5",),
        ),
        Step(
            "which is at most 1 (X_p = 1/(1+y)), and falls to 0 with X_p: beta = 0",
            (-sp.log(x_p) * x_p / (1 - x_p), "<=", 1),
            uses=("phi >= 0",),
            where=((x_p, 1 / (1 + y)),),
            proof=Witness(names.Gap(1 + y) / y),
        ),
        Step("that is", (-sp.log(x_p) * x_p / (1 - x_p), "->", 0), uses=("step 9",), proof=Limit(x_p)),
        Step(
            "d ln kappa/d ln n_a = -x/(1 - e^-x) with X_a = e^-x",
            (x_a * sp.log(x_a) * sp.Derivative(sp.log(kappa), x_a), "=", sp.log(x_a) / (1 - x_a)),
            uses=("step 5",),
        ),
        Step(
            "which is at most -1 (X_a = 1/(1+y)): the slope -1 is the flattest, reached as eta n_a -> 0",
            (sp.log(x_a) / (1 - x_a), "<=", -1),
            uses=("phi >= 0",),
            where=((x_a, 1 / (1 + y)),),
            proof=Witness((1 + y) / y * names.Gap(1 / (1 + y))),
        ),
        Step("that is, with X_a = 1 - y", (sp.log(1 - y) / y, "->", -1), uses=("step 12",), proof=Limit(y)),
        Step(
            "The first fall is eta (s - s_-) and grows with n: s = s_+ - (s_+ - s_p) X_a, and X_a falls",
            (-sp.Derivative(eta * (aligned - s.low), x_a), ">=", 0),
            uses=("step 1",),
            where=s.where,
            proof=Witness(eta * s.up),
        ),
        Step(
            "Volume to return: after the factor Y = 1/(1 + (s_+ - s_p)(1 - X_a)/(s_p - s_-)) the score is s_p, so "
            "m* = ln[1 + (s_+ - s_p)(1 - X_a)/(s_p - s_-)]/ln(1/(1-eta))",
            (s.low + (aligned - s.low) * more, "=", s.base),
            uses=("step 1",),
            where=((more, 1 / (1 + (s.high - s.base) * (1 - x_a) / (s.base - s.low))),),
        ),
        Step(
            "m* rises with n (X_a = 1/(1+z) falls)",
            (-sp.Derivative(volume, x_a), ">=", 0),
            uses=("step 16",),
            where=((x_a, 1 / (1 + z)),),
            proof=Witness(c * (1 + z) / (1 + z + c * z)),
        ),
        Step(
            "but less than in proportion: d ln m*/d ln n <= 1 (X_a = 1/(1+z), so h n = ln(1+z))",
            (bowed, ">=", c * sp.log(1 + z) / (1 + z + c * z)),
            uses=("step 16",),
            proof=Rises(z, c * (1 + c) * sp.log(1 + z) / (1 + z + c * z) ** 2),
        ),
        Step(
            "and it saturates: h m* -> ln[(s_+ - s_-)/(s_p - s_-)] as X_a -> 0",
            (volume.subs(c, s.up / s.down), "->", sp.log((s.up + s.down) / s.down)),
            uses=("step 16",),
            proof=Limit(x_a),
        ),
        Step(
            "Any divergence from the base: the shares of P_- and P_+ stand at (1/Y - 1)/(1 - X), so of two runs with the same "
            "ratio, X_1 > X, the less aligned one has Y_1 > Y",
            (1 / more - 1, "=", (1 / x_t - 1) * (1 - less) / (1 - x_a)),
            uses=("step 4",),
            where=((more, 1 / (1 + (1 / x_t - 1) * (1 - less) / (1 - x_a))),),
        ),
        Step(
            "and lies between the base and the other (1/Y_1 - 1 = y, 1/Y - 1 = y + z): a tolerance met with more alignment is "
            "met with less, at a smaller m; m* rises under either divergence",
            ((1 - 1 / (1 + y)), "<=", (1 - 1 / (1 + y + z))),
            uses=("R13 steps 14, 15", "step 20"),
            proof=Witness(z / ((1 + y) * (1 + y + z))),
        ),
        Step(
            "The perturbation's volume, in units of the start (N_0 = 1): q = (q_0 + L P_t)/(1 + L) with L = 1/X_t - 1",
            (x_t * start + (1 - x_t) * block, "=", (start + lift * block) / (1 + lift)),
            uses=("step 1",),
            where=((lift, 1 / x_t - 1),),
        ),
        Step(
            "so R17's ceiling ln(1 + L/N_0) is -ln X_t = m ln(1/(1-eta)): linear in m",
            (sp.log(1 + lift), "=", -sp.log(x_t)),
            uses=("R17", "step 22"),
            where=((lift, 1 / x_t - 1),),
        ),
        Step(
            "The exponential forms put eta where h = ln(1/(1-eta)) stands: h >= eta (eta = z/(1+z), h = ln(1+z))",
            (sp.log(1 + z), ">=", z / (1 + z)),
            uses=("phi >= 0",),
            proof=Rises(z, z / (1 + z) ** 2),
        ),
        Step(
            "and h <= eta/(1-eta), so that they are off by the relative order eta/2",
            (sp.log(1 + z), "<=", z),
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


BUILDERS: dict[str, Callable[[], Derivation]] = {"R19": _derive_forgetting}
