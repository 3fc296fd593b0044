"""R21-R25: the logit law of sequential fine-tuning.

Everything is written in odds: ``x = e^z`` for the contrast z, so that z = ln x, p = x/(1+x), d/dz = x d/dx, and an end of a
path is ``x = x_0 (1 + d)`` with d >= 0, D = ln(1 + d).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

from .definitions import claims, gap_lemma, symbols
from .language import Derivation, Limit, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter

FLOW = "gradient descent on a logarithmic loss, one kernel"
CLOSURE = "closure: gamma_+ = ln(1 + 1/x), gamma_- = ln(1 + x)"


@cache
def odds() -> SimpleNamespace:
    """x, x_0, x_1 > 0 (odds), d >= 0, c, n, o > 0 (odds of pi), t -> 0."""
    names = SimpleNamespace(x=parameter("x"), start=parameter("x_0"), low=parameter("x_1"), high=parameter("x_2"))
    names.y, names.t, names.c, names.n = (
        parameter("d", nonnegative=True),
        parameter("t"),
        parameter("c"),
        parameter("n"),
    )
    names.o, names.u, names.eta, names.batch = parameter("o"), parameter("u"), parameter("eta"), parameter("B")
    names.share = names.o / (1 + names.o)
    return names


def contrast_slope(expression: Expr) -> Expr:
    """d/dz = x d/dx of an expression in x."""
    import sympy as sp

    x = odds().x
    return x * sp.Derivative(expression, x)


def drift(share: Expr, constant: Expr, odds: Expr) -> Expr:
    """The definition R21 starts from: ``dz/dn = c (pi - sigma(z))`` on data with a share pi of wanted responses.

    >>> import sympy as sp
    >>> drift(1, *sp.symbols("c x"))
    c*(-x/(x + 1) + 1)
    """
    return constant * (share - odds / (1 + odds))


def _climb(name: str = "A") -> Expr:
    """A(z) = z + e^z in odds."""
    import sympy as sp

    x = odds().x
    return sp.log(x) + x if name == "A" else sp.log(x) - 1 / x


def _derive_law() -> Derivation:
    import sympy as sp

    s = odds()
    x, start, y, c, o = s.x, s.start, s.y, s.c, s.o
    share, root, volume = s.share, parameter("w"), parameter("n_c", nonnegative=True)
    total = parameter("X", real=True)
    gap = symbols().Gap
    moved = ((x, start * (1 + y)),)
    level = sp.log(x) / share - sp.log(share - (1 - share) * x) / (share * (1 - share))
    other = sp.log(x) / share - sp.log((1 - share) * x - share) / (share * (1 - share))
    steps = [
        Step(
            "Aligning (pi = 1): A(z) = z + e^z grows by c with every example",
            (contrast_slope(_climb("A")) * drift(1, c, x), "=", c),
            uses=(FLOW,),
        ),
        Step(
            "Perturbing (pi = 0): B(z) = z - e^-z falls by c with every example",
            (contrast_slope(_climb("B")) * drift(0, c, x), "=", -c),
            uses=(FLOW,),
        ),
        Step(
            "To perturb is to align as seen from the other side: B(z) = -A(-z)",
            (sp.log(x) - 1 / x, "=", -(sp.log(1 / x) + 1 / x)),
        ),
        Step(
            "Data with a share pi, below logit pi: z/pi - ln(pi - (1-pi) e^z)/(pi (1-pi)) grows by c (pi = o/(1+o))",
            (contrast_slope(level) * drift(share, c, x), "=", c),
            uses=(FLOW,),
        ),
        Step(
            "and above it the same with the sign in the logarithm turned",
            (contrast_slope(other) * drift(share, c, x), "=", c),
            uses=(FLOW,),
        ),
        Step(
            "Wright's omega is the root of omega + ln omega = X: at X = A(z) it is e^z, so z_n = X - omega(X), X = A(z_0) + c n",
            (total - x, "=", sp.log(x)),
            uses=("step 1",),
            where=((total, sp.log(x) + x),),
        ),
        Step(
            "and z = Y + omega(-Y) with Y = B(z): omega(-Y) = e^-z",
            (total + 1 / x, "=", sp.log(x)),
            uses=("steps 2, 3",),
            where=((total, sp.log(x) - 1 / x),),
        ),
        Step(
            "The rise D = ln(1 + d), d = e^D - 1: A(z_n) - A(z_0) = D + e^{z_0} (e^D - 1)",
            ((sp.log(x) + x) - (sp.log(start) + start), "=", sp.log(1 + y) + start * y),
            uses=("step 1",),
            where=moved,
        ),
        *gap_lemma(),
        Step(
            "It grows like ln(c n): e^{z_n} is at most e^{z_0} + c n",
            (start + volume, ">=", x),
            uses=("step 8, with n in units of 1/c",),
            where=((volume, sp.log(1 + y) + start * y), *moved),
            proof=Witness(sp.log(1 + y)),
        ),
        Step(
            "and c n is at most (1 + e^{z_0})(e^D - 1): D >= ln(1 + c n (1 - sigma(z_0)))",
            ((1 + start) * y, ">=", sp.log(1 + y) + start * y),
            uses=("step 8", "phi >= 0"),
            proof=Witness(gap(1 + y)),
        ),
        Step(
            "From above logit pi, e^z = (1 + u) pi/(1-pi), D = ln(1 + u): pi D + ln(1 - e^-D) falls by pi (1-pi) c an example",
            (
                (1 + s.u)
                * sp.Derivative(share * sp.log(1 + s.u) + sp.log(s.u / (1 + s.u)), s.u)
                * drift(share, c, o * (1 + s.u)),
                "=",
                -share * (1 - share) * c,
            ),
            uses=("step 5",),
        ),
        Step(
            "so near logit pi the distance dies at the rate pi (1-pi) c: the slope of the drift at x = o",
            (sp.Subs(contrast_slope(drift(share, c, x)), x, o), "=", -share * (1 - share) * c),
            uses=(FLOW,),
        ),
        Step(
            "For pi = 1/2 in closed form: with x = w^2, sinh(z/2) = (w - 1/w)/2 dies at the rate c/4 all the way",
            (
                root / 2 * sp.Derivative(root - 1 / root, root) * drift(sp.Rational(1, 2), c, root**2),
                "=",
                -c / 4 * (root - 1 / root),
            ),
            uses=(FLOW,),
        ),
        Step(
            "Finite steps: A(z') - A(z) exceeds c by e^z phi(1 + u), where z' = z + ln(1 + u), c = (1 + e^z) ln(1 + u)",
            (sp.log(1 + s.u) + x * s.u - (1 + x) * sp.log(1 + s.u), "=", x * gap(1 + s.u)),
            uses=("definition of phi",),
        ),
        Step(
            "so plain gradient descent aligns no less than the law says",
            (sp.log(1 + s.u) + x * s.u, ">=", (1 + x) * sp.log(1 + s.u)),
            uses=("step 16", "phi >= 0"),
            proof=Witness(x * gap(1 + s.u)),
        ),
    ]
    return Derivation(
        "R21",
        "The logit law",
        (
            "z, the log-odds of the wanted response, moves by c (pi - sigma(z)) an example, c > 0 the same along the way",
            "0 < pi < 1 in steps 4, 5, 13, 14",
        ),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 17),
        "A(z_n) = A(z_0) + c n, B(z) = B(z_n) - c m, and on data with a share pi the distance from logit pi dies like "
        "e^{-pi (1-pi) c n}; alignment grows like ln(c n), and finite steps only add to it.",
    )


def _derive_durability() -> Derivation:
    import sympy as sp

    s = odds()
    x, start, y, c, low, high = s.x, s.start, s.y, s.c, s.low, s.high
    gap, kernel = symbols().Gap, open_function("k", positive=True)
    aligning, opposed = open_function("k_a", positive=True), open_function("k_t", positive=True)
    rise = sp.log(1 + y)
    undo = rise + (1 - 1 / (1 + y)) / start  # c m*
    exposure = rise + start * y  # c n
    exponent = (start * (1 - 1 / (1 + y)) + rise / (1 + y)) / (start * rise + 1 - 1 / (1 + y))
    far = {y: 1 / s.t}
    up, down = exposure.subs(start, low), undo.subs(start, low)
    top = ((high, low * (1 + y)),)
    steps = [
        Step(
            "Back to z_0: c m* = B(z_n) - B(z_0) = D + e^{-z_0} (1 - e^-D)",
            ((sp.log(x) - 1 / x) - (sp.log(start) - 1 / start), "=", undo),
            uses=("R21",),
            where=((x, start * (1 + y)),),
        ),
        Step(
            "One more aligned example buys dm*/dn = e^{-z_n} = (1-p)/p opposed ones",
            (contrast_slope(_climb("B")) / c * drift(1, c, x), "=", 1 / x),
            uses=("step 1", "R21"),
        ),
        Step(
            "whatever the kernel is as a function of the state, as long as both phases share it: k(z) drops out",
            (contrast_slope(_climb("B")) / kernel(x) * drift(1, kernel(x), x), "=", 1 / x),
            uses=("dm = (1 + e^-z) dz/k(z), dn = (1 + e^z) dz/k(z)",),
        ),
        Step(
            "and where they do not, the two kernels at z_n enter as their ratio",
            (contrast_slope(_climb("B")) / opposed(x) * drift(1, aligning(x), x), "=", aligning(x) / opposed(x) / x),
            uses=("step 3",),
        ),
        *gap_lemma(),
        Step(
            "The exponent d ln m*/d ln n = n e^{-z_n}/m*, in D and z_0",
            (exposure / (start * (1 + y)) / undo, "=", exponent),
            uses=("steps 1, 2", "R21"),
        ),
        Step(
            "is at most 1, since c (m* e^{z_n} - n) >= 0",
            (undo * start * (1 + y), ">=", exposure),
            uses=("step 7", "phi >= 0"),
            proof=Witness(start * (1 + y) * gap(1 / (1 + y)) + gap(1 + y)),
        ),
        Step(
            "and never negative (d = u > 0)",
            (exponent.subs(y, s.u), ">=", 0),
            uses=("step 7",),
            proof=Witness((start * s.u + sp.log(1 + s.u)) / (start * (1 + s.u) * sp.log(1 + s.u) + s.u)),
        ),
        Step("it is 1 for few examples", (exponent.subs(y, s.t), "->", 1), uses=("step 7",), proof=Limit(s.t)),
        Step(
            "and for many 1/D, D ~ ln(c n): times D it tends to 1",
            (exponent.subs(far) * rise.subs(far), "->", 1),
            uses=("step 7",),
            proof=Limit(s.t),
        ),
        Step(
            "Going down from z_2 to z_1 costs less than going up by (e^{z_2} - e^{z_1})(1 - e^{-z_1-z_2})/c: resistance holds "
            "exactly for z_1 + z_2 > 0",
            (up - down, "=", (high - low) * (1 - 1 / (low * high))),
            uses=("step 1", "R21"),
            where=top,
        ),
        Step(
            "and the pair (-z_2, -z_1) has up and down exchanged: below even odds the ratio is the reciprocal",
            (down.subs(low, 1 / (low * (1 + y))), "=", up),
            uses=("step 12",),
        ),
        Step(
            "For any kernel of the state an opposed example costs e^-z of an aligning one at every z",
            ((1 + 1 / x) / kernel(x), "=", (1 + x) / kernel(x) / x),
            uses=("step 3",),
        ),
        Step(
            "so the ratio of going back is a mean of e^-z: at least e^{-z_2}",
            (down, ">=", up / high),
            uses=("step 14 (here with one constant)", "phi >= 0"),
            where=top,
            proof=Witness(gap(1 / (1 + y)) + gap(1 + y) / (low * (1 + y))),
        ),
        Step(
            "and at most e^{-z_1}",
            (down, "<=", up / low),
            uses=("step 14 (here with one constant)", "phi >= 0"),
            proof=Witness(gap(1 + y) + gap(1 / (1 + y)) / low),
        ),
    ]
    return Derivation(
        "R22",
        "Durability",
        ("the logit law, with one kernel for both phases (step 4: two)",),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
        "m* = [B(z_n) - B(z_0)]/c and dm*/dn = e^{-z_n}, the latter for any kernel of the state; the exponent of m* in n falls "
        "from 1 towards 1/ln(c n) and is never negative; going back is cheaper than going up iff z_1 + z_2 > 0, and the ratio "
        "lies between e^{-z_2} and e^{-z_1} for any kernel.",
    )


def _derive_falls() -> Derivation:
    import sympy as sp

    s = odds()
    x, start, c, p, base, u = s.x, s.start, s.c, parameter("p"), parameter("p_0"), s.u
    rise = parameter("D", nonnegative=True)
    perturbing = drift(0, c, x)
    code, opposed, share = sp.log(1 + 1 / x), sp.log(1 + x), x / (1 + x)
    origin = start / (1 + start)
    forward = origin * sp.log(origin / share) + (1 - origin) * sp.log((1 - origin) / (1 - share))
    reverse = share * sp.log(share / origin) + (1 - share) * sp.log((1 - share) / (1 - origin))
    steps = [
        Step("In the contrast the first opposed example takes c p", (-perturbing, "=", c * share), uses=("R21",)),
        Step(
            "which grows with alignment",
            (contrast_slope(c * share), ">=", 0),
            uses=("step 1",),
            proof=Witness(c * x / (1 + x) ** 2),
        ),
        Step("and saturates at c", ((c * share).subs(x, 1 / s.t), "->", c), uses=("step 1",), proof=Limit(s.t)),
        Step(
            "In gamma_+ = ln(1 + e^-z): c p (1-p)",
            (contrast_slope(code) * perturbing, "=", c * x / (1 + x) ** 2),
            uses=(CLOSURE, "R21"),
        ),
        Step(
            "which grows exactly while p < 1/2, that is x < 1",
            (contrast_slope(c * x / (1 + x) ** 2), "=", c * x * (1 - x) / (1 + x) ** 3),
            uses=("step 4",),
        ),
        Step(
            "In gamma_- = ln(1 + e^z): c p^2",
            (-contrast_slope(opposed) * perturbing, "=", c * x**2 / (1 + x) ** 2),
            uses=(CLOSURE, "R21"),
        ),
        Step(
            "which always grows",
            (contrast_slope(c * x**2 / (1 + x) ** 2), ">=", 0),
            uses=("step 6",),
            proof=Witness(2 * c * x**2 / (1 + x) ** 3),
        ),
        Step(
            "In the probability p: c p^2 (1-p)",
            (-contrast_slope(share) * perturbing, "=", c * x**2 / (1 + x) ** 3),
            uses=("R21",),
        ),
        Step(
            "which grows exactly while p < 2/3, that is x < 2",
            (contrast_slope(c * x**2 / (1 + x) ** 3), "=", c * x**2 * (2 - x) / (1 + x) ** 4),
            uses=("step 8",),
        ),
        Step(
            "In KL(base || model): c p (p - p_0)",
            (-contrast_slope(forward) * perturbing, "=", c * share * (share - origin)),
            uses=("R21",),
        ),
        Step(
            "which grows exactly while p > p_0/2",
            (sp.Derivative(c * p * (p - base), p), "=", c * (2 * p - base)),
            uses=("step 10",),
        ),
        Step(
            "In KL(model || base): c p^2 (1-p) (z - z_0)",
            (-contrast_slope(reverse) * perturbing, "=", c * x**2 / (1 + x) ** 3 * sp.log(x / start)),
            uses=("R21",),
        ),
        Step(
            "which turns where (2 - e^z)(z - z_0) + 1 + e^z = 0",
            (
                contrast_slope(c * x**2 / (1 + x) ** 3 * sp.log(x / start)),
                "=",
                c * x**2 / (1 + x) ** 4 * ((2 - x) * sp.log(x / start) + 1 + x),
            ),
            uses=("step 12",),
        ),
        Step(
            "so beyond p = 2/3: with x = 2/(1+u) and D = z - z_0 >= 0 it still grows",
            ((2 - x) * rise + 1 + x, ">=", 0),
            uses=("step 13",),
            where=((x, 2 / (1 + u)),),
            proof=Witness(2 * u / (1 + u) * rise + 1 + 2 / (1 + u)),
        ),
    ]
    return Derivation(
        "R23",
        "The first fall depends on what is measured",
        ("the logit law and closure; p = x/(1+x), p_0 = x_0/(1+x_0)",),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14),
        "c p in the contrast and c p^2 in gamma_- always grow with alignment; c p (1-p) in gamma_+ grows only below p = 1/2, "
        "c p^2 (1-p) in the probability only below 2/3; the fall of KL(base || model) always grows above the base, that of "
        "KL(model || base) up to a point beyond 2/3.",
    )


def _derive_volumes() -> Derivation:
    import sympy as sp

    s = odds()
    x, start, y, c = s.x, s.start, s.y, s.c
    gap = symbols().Gap
    pretrain, align = parameter("K_p"), parameter("K_a", real=True)
    share, origin = x / (1 + x), start / (1 + start)
    volumes = (
        (pretrain, 1 / ((1 - origin) * c * share)),
        (align, (share - origin) / ((1 - origin) * c * share * (1 - share))),
    )
    moved = ((x, start * (1 + y)),)
    rise = sp.log(1 + y)
    exponent = (start * y + rise) * (1 + y) / (y * (1 + start * (1 + y)))  # minus that of kappa
    steps = [
        Step(
            "With these volumes the mixture (K_p pi + K_a)/(K_p + K_a) has the state p",
            ((pretrain * origin + align) / (pretrain + align), "=", share),
            uses=("P_p = pi P_a + (1-pi) P_t",),
            where=volumes,
        ),
        Step(
            "and the speed: dp/dm = -p/(K_p + K_a) of the mixture is -c p^2 (1-p) of the logit law",
            (share / (pretrain + align), "=", c * share**2 * (1 - share)),
            uses=("R13", "R23"),
            where=volumes,
        ),
        Step(
            "In odds: c K_p = (1 + e^{z_0})(1 + e^-z)",
            (c * pretrain, "=", (1 + start) * (1 + 1 / x)),
            uses=("step 1",),
            where=volumes,
        ),
        Step(
            "and c K_a = e^{z_0} (e^D - 1) + (1 - e^-D)",
            (c * align, "=", start * y + 1 - 1 / (1 + y)),
            uses=("step 1",),
            where=(*volumes, *moved),
        ),
        Step(
            "As p -> 1, K_p tends to 1/((1-pi) c), whatever |D_p|",
            (((1 + start) * (1 + 1 / x)).subs(x, 1 / s.t), "->", 1 / (1 - origin)),
            uses=("step 3",),
            proof=Limit(s.t),
        ),
        *gap_lemma(),
        Step(
            "Alignment counts for less than its volume: n - K_a = (D - 1 + e^-D)/c",
            ((start * y + rise) - (start * y + 1 - 1 / (1 + y)), "=", gap(1 / (1 + y))),
            uses=("step 4", "R21"),
        ),
        Step(
            "which is never negative",
            (start * y + rise, ">=", start * y + 1 - 1 / (1 + y)),
            uses=("step 8", "phi >= 0"),
            proof=Witness(gap(1 / (1 + y))),
        ),
        Step(
            "kappa = K_p/K_a = (1-p)/(p-pi) = (1 + e^{-z_0})/(e^D - 1)",
            ((1 - share) / (share - origin), "=", (1 + 1 / start) / s.u),
            uses=("steps 3, 4",),
            where=((x, start * (1 + s.u)),),
        ),
        Step(
            "It is the ratio of the gradients: grad_z H_a = -(1-p), grad_z H_p = p - pi, antiparallel above the base (R7)",
            (
                -sp.Derivative(sp.log(1 + 1 / x), x)
                / sp.Derivative(origin * sp.log(1 + 1 / x) + (1 - origin) * sp.log(1 + x), x),
                "=",
                (1 - share) / (share - origin),
            ),
            uses=(CLOSURE, "R7"),
        ),
        Step(
            "Its exponent in n: d ln kappa/d ln n, with dD/d(c n) = 1/(1 + e^z)",
            (
                (start * s.u + sp.log(1 + s.u))
                * (1 + s.u)
                * sp.Derivative(sp.log((1 + 1 / start) / s.u), s.u)
                / (1 + start * (1 + s.u)),
                "=",
                -exponent.subs(y, s.u),
            ),
            uses=("step 10", "R21"),
        ),
        Step(
            "is at most -1: the slope -1 is the flattest",
            (exponent.subs(y, s.u), ">=", 1),
            uses=("step 12", "phi >= 0"),
            proof=Witness((1 + s.u) * gap(1 / (1 + s.u)) / (s.u * (1 + start * (1 + s.u)))),
        ),
        Step("reached for few examples", (exponent.subs(y, s.t), "->", 1), uses=("step 12",), proof=Limit(s.t)),
        Step("and for many", (exponent.subs(y, 1 / s.t), "->", 1), uses=("step 12",), proof=Limit(s.t)),
        Step(
            "For a rare behaviour, p_0 -> 0, it is forgetting's D/(1 - e^-D), with D = c n in place of eta n (R19)",
            (exponent.subs({start: s.t, y: s.u}), "->", sp.log(1 + s.u) * (1 + s.u) / s.u),
            uses=("step 12", "R19"),
            proof=Limit(s.t),
        ),
        Step(
            "In one state forgetting is a logit law: dp/dm = -eta p is -c p^2 (1-p) with eta = c p (1-p) = 1/(K_p + K_a)",
            (1 / (pretrain + align), "=", c * share * (1 - share)),
            uses=("step 2", "R19"),
            where=volumes,
        ),
    ]
    return Derivation(
        "R24",
        "What volumes count for",
        ("the logit law; the base is stationary on D_p, so pi = sigma(z_0); K_p, K_a >= 0 where p >= pi",),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17),
        "the mixture with the state and the speed of the logit law has c K_p = (1 + e^{z_0})(1 + e^-z) and "
        "K_a = n - (D - 1 + e^-D)/c; kappa = (1 + e^{-z_0})/(e^D - 1) has the exponent 0 in |D_p| and at most -1 in n, -1 at "
        "both ends.",
    )


def _derive_gradients() -> Derivation:
    import sympy as sp

    s = odds()
    x, eta, batch = s.x, s.eta, s.batch
    total = symbols().Total
    direction = leaf_symbol("g_z", real=True)  # a coordinate of grad z
    stray = leaf_symbol("h", real=True)
    share, outside = x / (1 + x), parameter("e", nonnegative=True)
    wanted, opposed = -(1 - share) * direction, share * direction
    plus, minus = (1 - outside) * share, (1 - outside) * (1 - share)
    kernel = eta / batch * total(direction**2)
    steps = [
        Step(
            "With closure grad gamma_+ = -(1-p) grad z: the slope of gamma_+ = ln(1 + e^-z)",
            (contrast_slope(sp.log(1 + 1 / x)), "=", -(1 - share)),
            uses=(CLOSURE,),
        ),
        Step("and grad gamma_- = p grad z", (contrast_slope(sp.log(1 + x)), "=", share), uses=(CLOSURE,)),
        Step(
            "so c_+ = -eta (grad z . grad gamma_+)/(B (1-p)) is c = eta |grad z|^2/B",
            (-eta * total(direction * wanted) / (batch * (1 - share)), "=", kernel),
            uses=("step 1", "sums over parameters"),
        ),
        Step(
            "and so is c_- = eta (grad z . grad gamma_-)/(B p)",
            (eta * total(direction * opposed) / (batch * share), "=", kernel),
            uses=("step 2",),
        ),
        Step(
            "which is what one example moves: dz = -eta grad z . grad gamma_+/B = c (1-p)",
            (-eta * total(direction * wanted) / batch, "=", (1 - share) * kernel),
            uses=("step 3", "R21"),
        ),
        Step(
            "A part h of the gradient that is not along grad z moves c_+ by -eta (grad z . h)/(B (1-p)), and nothing else",
            (
                -eta * total(direction * (wanted + stray)) / (batch * (1 - share)) - kernel,
                "=",
                -eta * total(direction * stray) / (batch * (1 - share)),
            ),
            uses=("step 3",),
        ),
        Step(
            "Without closure, mass e outside the pair, logits of its own: grad z . grad gamma_+/2 is off by exactly e (p - 1/2)",
            ((1 - plus + minus) / 2, "=", (1 - share) + outside * (share - sp.Rational(1, 2))),
            uses=("softmax over y_+, y_- and the rest", "c = 2 eta"),
        ),
        Step(
            "and of the opposed response by the same: the rest slows the fall where p > 1/2",
            ((plus + 1 - minus) / 2, "=", share - outside * (share - sp.Rational(1, 2))),
            uses=("step 7",),
        ),
    ]
    return Derivation(
        "R25",
        "Two backward passes predict it",
        ("a kernel per example eta/B on the loss of one response; gradients in any number of parameters",),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 5, 6, 7, 8),
        "c_+ = c_- = eta |grad z|^2/B with closure; a stray part of the gradient enters c_+ only through its product with "
        "grad z, and mass e outside the pair changes the speeds by e (p - 1/2) c.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {
    "R21": _derive_law,
    "R22": _derive_durability,
    "R23": _derive_falls,
    "R24": _derive_volumes,
    "R25": _derive_gradients,
}
