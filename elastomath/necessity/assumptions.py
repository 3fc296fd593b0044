"""The assumptions of the theorem one by one, and what breaks without each: the table of R9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from . import drawing
from .instance import Instance

PARTS = {
    "pretrain": "dH_p < 0",
    "align": "dH_a > 0",
    "theta": "Theta: 1/M <= |dH_a/(k dH_p)| <= M",
    "existence": "the ratio exists: dH_p != 0",
}
"""The parts of Thm 4.2 that can fail one by one. Theta compares sizes only; that both signs are right is said beside it."""
BOUND = Fraction(100)
"""M: a ratio beyond it counts as a violation of Theta. The uniform claim fails for every M: the families of
`elastomath.verification.necessity` show it; the search reaches M = 10^3, or 10^2 for three orders of the same masses."""


@dataclass(frozen=True)
class Ruling:
    """Whether a part of the theorem needs an assumption.

    needed    True: an instance breaks the part without the assumption; False: it is proved without it
    by        the id of the counterexample (R9a ...), or the mark of the steps of the derivation R9 that prove it
    why       in a few words
    searched  whether `find_counterexample` looks for it (False where a limit is needed, and the derivation has it)
    """

    needed: bool
    by: str
    why: str
    searched: bool = True


def _needed(by: str, why: str, searched: bool = True) -> Ruling:
    """The part fails without the assumption: the counterexample, and why."""
    return Ruling(True, by, why, searched)


def _proved(by: str, why: str) -> Ruling:
    """The part holds without the assumption: the steps that prove it, and why."""
    return Ruling(False, by, why)


@dataclass(frozen=True)
class Assumption:
    """An assumption of Thm 4.2, what stands in its place when it is dropped, and what then happens to each part.

    says     the assumption
    instead  what is allowed without it, the other assumptions kept
    draw     random instances of that kind
    admits   whether an instance is of that kind, exactly
    rulings  for each part of the theorem, whether it needs the assumption; a part that is not there was not decided
    """

    says: str
    instead: str
    draw: drawing.Draw
    admits: Callable[[Instance], bool]
    rulings: dict[str, Ruling]


# --- the kinds of instances -----------------------------------------------------------------------------------------
def _usual(instance: Instance) -> bool:
    """k >> 1 and l << 1, read as k >= 10 and 0 < l <= 1/10, and P_a differs from P_t."""
    return _large_k(instance) and _small_step(instance) and _distinct(instance)


def _large_k(instance: Instance) -> bool:
    return instance.volumes[0] >= 10


def _small_step(instance: Instance) -> bool:
    return 0 < instance.volumes[2] <= Fraction(1, 10)


def _distinct(instance: Instance) -> bool:
    return instance.counts[-1] != instance.counts[-2]


def _free(instance: Instance) -> bool:
    """Three datasets and no union, at the joint optimum."""
    return not instance.shares and not instance.model


def _union(instance: Instance, parts: int) -> bool:
    """A union of so many equal parts, at the joint optimum."""
    return instance.shares == (1,) * parts and not instance.model


# --- the table ----------------------------------------------------------------------------------------------------
TWO, MONOTONE, SAME, TAIL = "[two parts]", "[large k]", "[distinct]", "[independent]"
"""Marks of the steps of the derivation R9 that prove a part, or that take the limit which breaks it."""

UNION = Assumption(
    says="the union D_p = D_2 u D_3",
    instead="any P_p, with P_t covered",
    draw=drawing.without_union,
    admits=lambda instance: _usual(instance) and _free(instance) and instance.uncovered() == 0,
    rulings={
        "pretrain": _needed("R9a", "D_t takes mass from D_p as from everything else"),
        "align": _needed("R9a", "P_a may be closer to P_t than P_p is"),
        "theta": _needed("R9a", "on disjoint supports the ratio is -1/k"),
        "existence": _needed("R9a", "P_t = q moves nothing"),
    },
)
DISTINCT = Assumption(
    says="alignment and perturbation data that differ",
    instead="P_a = P_t, with a third part of D_p",
    draw=drawing.without_difference,
    admits=lambda instance: (
        _union(instance, 3) and _large_k(instance) and _small_step(instance) and not _distinct(instance)
    ),
    rulings={
        "pretrain": _needed("R9b", "A = T > 1 forces dH_p > 0"),
        "align": _needed("R9b", "A = T > 1"),
        "theta": _proved(SAME, "the ratio is 1/(1 + l)"),
        "existence": _needed("R9b", "P_a = P_t = P_p moves nothing"),
    },
)
INDEPENDENT = Assumption(
    says="the union D_p = D_2 u D_3, even for independent masses of one law",
    instead="P_p, P_a, P_t independent with the same law",
    draw=drawing.with_independent_masses,
    admits=lambda instance: (
        _usual(instance) and not instance.shares and instance.leaves > 1 and len(set(instance.counts[0])) > 1
    ),
    rulings={
        "pretrain": _needed("R9c", "A >= 1 forces dH_p >= 0"),
        "align": _needed("R9c", "A -> E[Y] E[1/Y] > 1 for every law"),
        "theta": _needed(TAIL, "the ratio tends to 1/(1 + 2l(alpha-1)/(alpha-2)), to 0 as alpha -> 2", searched=False),
    },
)
SMALL_STEP = Assumption(
    says="a small perturbation, l < 1",
    instead="any l > 0",
    draw=drawing.without_small_step,
    admits=lambda instance: (
        _union(instance, 2) and _distinct(instance) and _large_k(instance) and instance.volumes[2] > 0
    ),
    rulings={
        "pretrain": _needed("R9d", "dH_p turns at l = pi_t/pi_a"),
        "align": _proved(TWO, "dH_a > 0 for every l"),
        "theta": _needed("R9d", "(1 + 2l/k)/(1 - l) runs to infinity at l = 1"),
        "existence": _needed("R9d", "dH_p = 0 at l = 1"),
    },
)
COVERAGE = Assumption(
    says="coverage (the union gives it; without the union A(0) < 1 and small l need it)",
    instead="A(0) < 1 in place of the union, and P_t has leaves of its own; l -> 0",
    draw=drawing.without_coverage,
    admits=lambda instance: (
        _free(instance)
        and _large_k(instance)
        and instance.volumes[2] == 0
        and instance.uncovered() > 0
        and instance.gaps()[1] > 0
    ),
    rulings={
        "pretrain": _needed("R9e", "dH_p > 0 at every l, as N tau > 1 - A(0)"),
        "align": _proved("[coverage]", "A(0) < 1 gives dH_a > 0 for all l (R4)"),
        "theta": _needed("R9e", "the ratio tends to (1-A)/(1-A-N tau) as l -> 0"),
        "existence": _needed("R9e", "dH_p = 0 where N tau = 1 - A(0); dH_t(0) = -infinity"),
    },
)
LARGE_K = Assumption(
    says="a large k",
    instead="any k > 0",
    draw=drawing.without_large_k,
    admits=lambda instance: _union(instance, 2) and _distinct(instance) and _small_step(instance),
    rulings={
        "pretrain": _proved(MONOTONE, "N^2 dH_p never falls in k: a sign that is right stays right at smaller k"),
        "align": _proved(TWO, "dH_a > 0 for every k"),
        "theta": _needed("R9f", "(1 + 2l/k)/(1 - l) runs to infinity as k -> 0; l/k bounded is enough"),
        "existence": _proved(TWO, "dH_p != 0 for l < 1 at every k"),
    },
)
OPTIMUM = Assumption(
    says="training that reaches the joint optimum",
    instead="any compressor q that covers the data",
    draw=drawing.without_optimum,
    admits=lambda instance: (
        instance.shares == (1, 1) and bool(instance.model) and _usual(instance) and instance.covers()
    ),
    rulings={
        "pretrain": _needed("R9g", "holds while delta_L < (1 - L)(-DeltaH_t): [joint optimum]"),
        "align": _needed("R9g", "holds while delta_0 < (k/2)(-DeltaH_t): [joint optimum]"),
        "theta": _needed("R9g", "the balance law needs the optimum"),
        "existence": _needed("R9g", "dH_p may be 0"),
    },
)
TWO_PARTS = Assumption(
    says="the union of two parts only (Thm 4.2 as printed has three equal parts)",
    instead="P_p = (P_1 + P_a + P_t)/3",
    draw=drawing.with_third_part,
    admits=lambda instance: _union(instance, 3) and _usual(instance),
    rulings={
        "pretrain": _needed("R9h", "dH_p > 0 at every l > 0 once A(0) >= 1"),
        "align": _needed("R9h", "only the mean over the choice of the aligned part has a sign: [third part]"),
        "theta": _needed("R9h", "the ratio may be -1/k"),
        "existence": _needed("R9h", "P_t = q moves nothing"),
    },
)
TWO_PARTS_ALIKE = Assumption(
    says="the union of two parts only, even where the parts hold the same power-law masses in another order",
    instead="P_p = (P_1 + P_a + P_t)/3, three orders of the same masses",
    draw=drawing.with_third_part_alike,
    admits=lambda instance: (
        _union(instance, 3)
        and _usual(instance)
        and len({tuple(sorted(row)) for row in instance.counts}) == 1
        and min(instance.counts[0]) > 0
    ),
    rulings={
        "pretrain": _needed("R9h", "Pareto masses do not help a single draw"),
        "align": _needed("R9h", "Pareto masses do not help a single draw"),
        "theta": _needed("R9h", "R' = (1-A')/(1-A) has no bound"),
    },
)
EQUAL_PARTS = Assumption(
    says="parts of equal size",
    instead="P_p = pi_a P_a + pi_t P_t",
    draw=drawing.without_equal_parts,
    admits=lambda instance: (
        len(instance.shares) == 2 and min(instance.shares) > 0 and not instance.model and _usual(instance)
    ),
    rulings={
        "pretrain": _needed("R9i", "the threshold is l < pi_t/pi_a"),
        "align": _proved(TWO, "dH_a > 0 for all shares"),
        "theta": _needed("R9i", "(1 + l/(k pi_t))/(1 - l pi_a/pi_t) runs to infinity at the threshold"),
        "existence": _needed("R9i", "dH_p = 0 at l = pi_t/pi_a"),
    },
)
PARETO = Assumption(
    says="Pareto masses",
    instead="any masses",
    draw=drawing.without_union,
    admits=lambda instance: True,
    rulings={part: _proved(TWO, "no step of the proof names a law") for part in PARTS},
)
ASSUMPTIONS = {
    "union": UNION,
    "distinct": DISTINCT,
    "independent": INDEPENDENT,
    "small l": SMALL_STEP,
    "coverage": COVERAGE,
    "large k": LARGE_K,
    "joint optimum": OPTIMUM,
    "two parts": TWO_PARTS,
    "two parts, masses alike": TWO_PARTS_ALIKE,
    "equal parts": EQUAL_PARTS,
    "Pareto": PARETO,
}
"""The assumptions of Thm 4.2, by name: what happens to each part of the theorem without each of them."""
