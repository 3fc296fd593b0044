"""R27: runs that are joint optima of some class, and what they missed if they are not."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import claims, symbols
from .language import Derivation, Step, Witness
from .words import leaf_symbol, open_function, parameter


def _derive_jointness() -> Derivation:
    import sympy as sp

    total = symbols().Total
    own, other = leaf_symbol("w_r"), leaf_symbol("w_s")
    here, there = leaf_symbol("H_r", real=True), leaf_symbol("H_s", real=True)
    slack, back, best = parameter("a", nonnegative=True), parameter("b", nonnegative=True), parameter("V", real=True)
    gain, step = parameter("E", nonnegative=True), parameter("u")
    potential = open_function("f", real=True)
    first, second = parameter("w_1"), parameter("w_2")
    ratio = first / second
    rate_one = sp.Subs(sp.Derivative(potential(step), step), step, ratio)
    rate_two = potential(ratio) - ratio * rate_one
    forward, backward = total(own * there) - total(own * here), total(other * here) - total(other * there)
    steps = [
        Step(
            "Necessary: a joint optimum r of any class that holds run s has w_r . H_r <= w_r . H_s",
            (total(own * there), ">=", total(own * here)),
            uses=("R6",),
            where=((slack, forward),),
            assume=(slack,),
            proof=Witness(slack),
        ),
        Step(
            "Sufficient: in the class of the runs themselves the optimum for w_r is the least w_r . H_s, which is r's own",
            (total(own * here) - best, "=", 0),
            uses=("definition of the class",),
            where=((best, total(own * here)),),
        ),
        Step(
            "What run r missed: in any class that holds s, with the optimum V <= w_r . H_s, it is at least w_r . (H_r - H_s)",
            (total(own * here) - best, ">=", total(own * here) - total(own * there)),
            uses=("R6",),
            where=((gain, total(own * there) - best),),
            assume=(gain,),
            proof=Witness(gain),
        ),
        Step(
            "For two joint optima a = w_r . (H_s - H_r) and b = w_s . (H_r - H_s) add up to -(w_r - w_s) . (H_r - H_s)",
            (forward + backward, "=", -total((own - other) * (here - there))),
            uses=("step 1",),
        ),
        Step(
            "so rates fall where volumes rise: H is a supergradient of a concave function",
            (total((own - other) * (here - there)), "<=", 0),
            uses=("step 4",),
            where=((slack, forward), (back, backward)),
            assume=(slack, back),
            proof=Witness(slack + back),
        ),
        Step(
            "and the midpoint's balance (w_r + w_s)/2 . (H_r - H_s) is (b - a)/2: of third order, as a and b agree to second",
            (total((own + other) / 2 * (here - there)), "=", (backward - forward) / 2),
            uses=("step 4",),
        ),
        Step(
            "For two datasets h = w_2 f(w_1/w_2): the response matrix is symmetric",
            (sp.Derivative(rate_one, second), "=", sp.Derivative(rate_two, first)),
            uses=("h homogeneous of degree 1, H_i = dh/dw_i",),
        ),
        Step(
            "and its null vector is w: w_1 dH_1 + w_2 dH_2 = 0 along any change of volumes (R2 for any number of datasets)",
            (first * sp.Derivative(rate_one, first) + second * sp.Derivative(rate_two, first), "=", 0),
            uses=("step 7", "R2"),
        ),
    ]
    return Derivation(
        "R27",
        "Are these runs joint optima at all?",
        ("runs of one class and budget, a volume w_i and a rate H_i for each dataset; sums over datasets",),
        tuple(steps),
        claims(steps, 1, 2, 3, 4, 5, 6, 7, 8),
        "runs are joint optima of some class iff w_r . H_r <= w_r . H_s for all pairs; otherwise run r missed at least "
        "max_s w_r . (H_r - H_s), in every class; the response matrix is symmetric with null vector w.",
    )


BUILDERS: dict[str, Callable[[], Derivation]] = {"R27": _derive_jointness}
