"""What the derivations start from: the symbols of the theory, the mixture on one leaf, and phi >= 0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace

from .language import Least, Rises, Step
from .words import Expr, Given, Relation, language, leaf_function, leaf_symbol, open_function, parameter

NORMALISED = "normalisation of the masses"
MIXTURE = "definition of the mixture"
CODE = "definition of the cross entropy"


@cache
def symbols() -> SimpleNamespace:
    """The symbols that more than one derivation uses (made once, since sympy is slow to load).

    k, l, L, B, w            parameters: volumes, and w = L/B; B is the volume of everything but the perturbation
    p, a, t, P, b, rho, y    on the generic leaf: masses, b = sum_{i != t} w_i P_i, another compressor, y = L t/b
    q, N and q_0, q_L, N_L   the mixture and its volume as functions of l, and at the two ends of a path
    O, C, A, T               overlaps
    Total, Gap               sum_x [...] and phi(r) = r - 1 - ln r
    """
    import sympy as sp

    names = SimpleNamespace(Total=language().Total)
    for name in ("k", "l", "L", "B", "w"):
        setattr(names, name, parameter(name))
    for name in ("p", "a", "t", "b", "P", "y"):
        setattr(names, name, leaf_symbol(name))
    names.rho = leaf_symbol("rho", positive=True)
    names.r, names.delta = parameter("r", positive=True), parameter("delta", positive=True)
    names.Gap = leaf_function(
        "phi", r"\varphi", names.r - 1 - sp.log(names.r), lemma=lambda phi: _least_at_one(phi, names.r)
    )
    for name in ("O", "C", "A", "T"):
        setattr(names, name, parameter(name, real=True))
    names.q, names.N = open_function("q", leaf=True, positive=True)(names.l), open_function("N", positive=True)(names.l)
    names.q_0, names.q_L = leaf_symbol("q_0", positive=True), leaf_symbol("q_L", positive=True)
    names.N_L = parameter("N_L")
    return names


def _least_at_one(phi: Expr, r: Expr) -> Step:
    """The lemma that gives phi its sign, for every r > 0."""
    return Step("phi(r) is 0 at r = 1 and grows to both sides", (phi(r), ">=", 0), proof=Least(r, at=1, factor=1 / r))


def joint_mass(base: Expr, base_volume: Expr, perturb: Expr, perturbation: Expr) -> tuple[Expr, Expr]:
    """The definition everything starts from: ``q = (b + l t)/(B + l)``, ``N = B + l`` on one leaf. Returns (q, N).

    ``b = sum_{i != t} w_i P_i`` pools every dataset but the perturbation, ``B`` is their volume: nothing below asks how
    many they are.

    >>> import sympy as sp
    >>> joint_mass(*sp.symbols("b B t l"))
    ((b + l*t)/(B + l), B + l)
    """
    total = base_volume + perturbation
    return (base + perturbation * perturb) / total, total


def mixture_at(names: SimpleNamespace) -> tuple[tuple[Expr, Expr], ...]:
    """q(l) and N(l) on the generic leaf, all datasets but the perturbation pooled."""
    q, total = joint_mass(names.b, names.B, names.t, names.l)
    return ((names.q, q), (names.N, total))


def mixture_of_three(names: SimpleNamespace) -> tuple[tuple[Expr, Expr], ...]:
    """q(l) and N(l) for pre-training (k), alignment (1) and perturbation (l)."""
    q, total = joint_mass(names.k * names.p + names.a, names.k + 1, names.t, names.l)
    return ((names.q, q), (names.N, total))


def path_ends(names: SimpleNamespace) -> tuple[tuple[Expr, Expr], ...]:
    """The two ends of a path: q_0 = b/B, and q_L, N_L after L more of the perturbation."""
    q, total = joint_mass(names.b, names.B, names.t, names.L)
    return ((names.q_L, q), (names.N_L, total), (names.q_0, names.b / names.B))


def pooled_sums(names: SimpleNamespace) -> Given:
    """The pooled mass b sums to B, and P_t to 1."""
    return ((names.b, names.B), (names.t, 1))


def three_sums(names: SimpleNamespace) -> Given:
    """P_p, P_a and P_t sum to 1."""
    return ((names.p, 1), (names.a, 1), (names.t, 1))


def claims(steps: Sequence[Step], *numbers: int) -> tuple[Relation, ...]:
    """What the steps with these numbers, counted from 1, establish: for the conclusion of a derivation."""
    return tuple(steps[number - 1].claim for number in numbers)


def gap_lemma() -> list[Step]:
    """phi(r) = r - 1 - ln r >= 0: it is 0 at r = 1 and grows to both sides."""
    n, y = symbols(), parameter("y'", nonnegative=True)
    return [
        Step(
            "phi(r) >= 0 for r >= 1, with r = 1 + y'",
            (n.Gap(1 + y), ">=", 0),
            ("definition of phi",),
            proof=Rises(y, y / (1 + y)),
        ),
        Step(
            "phi(r) >= 0 for 0 < r <= 1, with r = 1/(1 + y')",
            (n.Gap(1 / (1 + y)), ">=", 0),
            ("definition of phi",),
            proof=Rises(y, y / (1 + y) ** 2),
        ),
    ]
