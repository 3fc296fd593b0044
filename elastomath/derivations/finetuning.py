"""R7: the first-order law of fine-tuning, and when an elasticity constant exists."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from .definitions import claims, symbols
from .language import Derivation, Rises, Step, Witness
from .words import Expr, leaf_symbol, open_function, parameter


def _along() -> SimpleNamespace:
    """F along a displacement, f(s) = F(theta + s delta), with its derivatives by name; f is any function in C^3."""
    import sympy as sp

    s = parameter("s", nonnegative=True)
    names = SimpleNamespace(s=s, f=open_function("f", real=True), meaning=[])
    for order in (1, 2, 3):
        named, slope = open_function(f"f_{order}", real=True), sp.Derivative(names.f(s), (s, order))
        setattr(names, f"f_{order}", named)
        names.meaning += [(named(s), slope), (named(0), sp.Subs(slope, s, 0))]
    names.where = lambda *shown: tuple(pair for pair in names.meaning if any(part.has(pair[0]) for part in shown))
    return names


def taylor(value: Expr, curvature: Expr, s: Expr) -> Expr:
    """What the law starts from at a stationary point, along a displacement: ``f(0) + s^2 f''(0)/2``.

    >>> import sympy as sp
    >>> taylor(*sp.symbols("f c s"))
    c*s**2/2 + f
    """
    return value + curvature * s**2 / 2


def _remainder() -> list[Step]:
    """f(s) - f(0) - s f'(0) - s^2 f''(0)/2 <= M s^3/6 where f''' <= M: integrated three times."""

    n, most = _along(), parameter("M", positive=True)
    s = n.s
    spare = open_function("g", nonnegative=True)(s)
    second, first = open_function("g_2", nonnegative=True)(s), open_function("g_1", nonnegative=True)(s)
    bend = n.f_2(s) - n.f_2(0)
    slope = n.f_1(s) - n.f_1(0) - s * n.f_2(0)
    rest = n.f(s) - s * n.f_1(0) - taylor(n.f(0), n.f_2(0), s)
    bends = Step(
        "The remainder, where g = M - f''' >= 0: the second derivative rises at most",
        (bend, "<=", most * s),
        uses=("|f'''| <= M",),
        where=((spare, most - n.f_3(s)), *n.where(bend, n.f_3(s))),
        proof=Rises(s, spare),
        assume=(spare,),
    )
    slopes = Step(
        "so the first rises at most",
        (slope, "<=", most * s**2 / 2),
        uses=("step 3",),
        where=((second, most * s - bend), *n.where(slope, bend)),
        signs=((second, bends.excess),),
        proof=Rises(s, second),
    )
    values = Step(
        "so f itself; and for -F, that is -f, alike",
        (rest, "<=", most * s**3 / 6),
        uses=("step 4",),
        where=((first, most * s**2 / 2 - slope), *n.where(rest, slope)),
        signs=((first, slopes.excess),),
        proof=Rises(s, first),
    )
    return [bends, slopes, values]


def _derive_stationary() -> Derivation:
    import sympy as sp

    names, n = symbols(), _along()
    s, total = n.s, names.Total
    w_p, w_a, most = parameter("w_p"), parameter("w_a"), parameter("M", positive=True)
    g_p, g_a, d, r = (leaf_symbol(name, real=True) for name in ("g_p", "g_a", "d", "r"))
    c, z, curve = parameter("c", real=True), parameter("zeta", real=True), parameter("G", positive=True)
    square_p, square_a, square_r = (parameter(f"Q_{name}", positive=True) for name in "par")
    product, cosine = parameter("D", real=True), parameter("cos", real=True)
    pull, energy, rise = (parameter(name, positive=True) for name in ("v", "E", "U"))
    lengths = ((square_a, square_p * square_r**2), (product, cosine * square_p * square_r))  # Q_r here: |g_a|/|g_p|
    reach, limit = parameter("x", positive=True), 2 * w_a * pull / curve
    given = ((g_p**2, square_p), (g_a * g_p, product), (g_a**2, square_a))
    least = ((r, g_a + c * g_p), (c, -product / square_p))
    steps = [
        Step(
            "Along a displacement, f(s) = F(theta + s delta): f(1) - f(0) - f'(0) is the integral of (1-s) f''(s) over [0, 1]",
            (sp.Derivative((1 - s) * n.f_1(s) + n.f(s), s), "=", (1 - s) * n.f_2(s)),
            uses=("the antiderivative is f(1) at s = 1 and f(0) + f'(0) at s = 0",),
            where=n.where(n.f_1(s), n.f_2(s)),
        ),
        Step(
            "At a stationary point, w_p g_p + w_a g_a = 0 in every coordinate x: f'(0) = grad F . delta is 0 for every delta",
            (w_p * total(g_p * d) + w_a * total(g_a * d), "=", 0),
            uses=("g_a = -(w_p/w_a) g_p",),
            where=((g_a, -w_p / w_a * g_p),),
        ),
        *_remainder(),
        Step(
            "so w_p DeltaH_p + w_a DeltaH_a is within M/6 of f''(0)/2; the cubic G s^2/2 + M s^3/6 has f''' = M, and this "
            "remainder: 1/6 is the best constant",
            (sp.Derivative(taylor(0, curve, s) + most * s**3 / 6, (s, 3)), "=", most),
            uses=("steps 1, 2, 5 at s = 1",),
        ),
        Step(
            "Hooke's law proper: the force against the displacement, grad F, is G s to first order, and its work is the energy",
            (sp.Derivative(taylor(0, curve, s), s), "=", curve * s),
            uses=("step 6", "G = f''(0) > 0"),
        ),
        Step(
            "Off stationarity: where g_a = -c g_p, kappa(delta) = -(g_a . delta)/(g_p . delta) is c for every delta",
            (-total(g_a * d), "=", c * total(g_p * d)),
            uses=("definition of kappa",),
            where=((g_a, -c * g_p),),
        ),
        Step(
            "Conversely, with c = kappa(g_p) = -(g_a . g_p)/|g_p|^2 the rest r = g_a + c g_p is orthogonal to g_p",
            (total(r * g_p), "=", 0),
            given=given,
            where=least,
        ),
        Step(
            "so along delta = g_p + zeta r the change of H_p is the same for all zeta",
            (total(g_p * (g_p + z * r)), "=", square_p),
            uses=("step 9",),
            given=given,
            where=least,
        ),
        Step(
            "and that of H_a is not: kappa(g_p + zeta r) = c - zeta |r|^2/|g_p|^2 takes every value unless r = 0",
            (-total(g_a * (g_p + z * r)), "=", c * square_p - z * (square_a - product**2 / square_p)),
            uses=("step 9",),
            given=given,
            where=least,
        ),
        Step(
            "|r|^2 = |g_a|^2 - (g_a . g_p)^2/|g_p|^2",
            (total(r**2), "=", square_a - product**2 / square_p),
            given=given,
            where=least,
        ),
        Step(
            "so kappa is the same for all delta exactly where the gradients are collinear, cos^2 = 1 (Q_r = |g_a|/|g_p|)",
            (square_a - product**2 / square_p, "=", square_a * (1 - cosine**2)),
            uses=("steps 8, 11, 12",),
            where=lengths,
        ),
        Step(
            "and then it is -cos |g_a|/|g_p|: positive exactly where they are antiparallel, cos = -1",
            (-product / square_p, "=", -cosine * square_r),
            uses=("step 13",),
            where=lengths,
        ),
        Step(
            "At a stationary point it is w_p/w_a",
            (total(g_a**2), "=", (w_p / w_a) ** 2 * total(g_p**2)),
            uses=("step 2",),
            where=((g_a, -w_p / w_a * g_p),),
        ),
        Step(
            "Energy E = w_p DeltaH_p + w_a DeltaH_a against U = w_a DeltaH_a: the ratio of the two moves is 1/(1 - E/U)",
            (-rise / (energy - rise), "=", 1 / (1 - energy / rise)),
            uses=("E/U stands where eps stands in R3",),
        ),
        Step(
            "Elastic limit: along a direction with |g_a . u| = v and u' (Hessian F) u = G the energy is the linear term at 2 w_a v/G",
            (taylor(0, curve, reach), "=", w_a * pull * reach),
            uses=("step 6, to second order",),
            where=((reach, limit),),
        ),
        Step(
            "and below it, at (2 w_a v/G)/(1 + U), the linear term is the larger one",
            (w_a * pull * reach, ">=", taylor(0, curve, reach)),
            uses=("step 17",),
            where=((reach, limit / (1 + rise)),),
            proof=Witness(w_a * pull * limit * rise / (1 + rise) ** 2),
        ),
    ]
    return Derivation(
        "R7",
        "First-order law of fine-tuning",
        (
            "F = w_p H_p + w_a H_a in C^3, grad F = 0 at theta (steps 8 to 14: any theta with grad H_p != 0)",
            "M bounds |d^3/ds^3 F(theta + s delta)| for s in [0, 1] (at most |delta|^3 times the norm of the third derivative)",
            "sums over x are over the coordinates of theta; any displacement delta, so any data and any algorithm",
        ),
        tuple(steps),
        claims(steps, 1, 2, 5, 6, 8, 11, 12, 13, 14, 15),
        "w_p DeltaH_p + w_a DeltaH_a = int_0^1 (1-s) delta' Hessian F(theta + s delta) delta ds = 1/2 delta' Hessian F delta "
        "+ remainder, |remainder| <= M/6; an elasticity constant exists exactly where cos(grad H_p, grad H_a) = -1, and is "
        "|grad H_a|/|grad H_p|.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R7": _derive_stationary}
