"""The assumptions of the theorem one by one, what breaks without each, and the instances that are drawn without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..checks import checked, one_of
from .instance import IndependentLaws, Instance, Row, Volumes

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Found = Instance | IndependentLaws

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
BATCH = 2048
"""Random instances that are looked at together."""


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


@dataclass(frozen=True)
class Batch:
    """Random instances with the same volumes and shares, as arrays: counts (B, R, M), or laws (B, J)."""

    volumes: Volumes
    counts: Counts | None = None
    shares: Row = ()
    model: Counts | None = None
    laws: Counts | None = None

    def gaps(self) -> Array:
        """1 - O_i for pre-training, alignment and perturbation, in floats: shape (B, 3)."""
        data = self._datasets()
        weights = np.array([float(volume) for volume in self.volumes])
        if self.model is None:
            q = weights / weights.sum() @ data
        else:
            q = self.model / self.model.sum(axis=1, keepdims=True)
        share = np.divide(data[:, 2], q, out=np.zeros_like(q), where=q > 0)
        return np.asarray(1.0 - np.einsum("bim,bm->bi", data, share), dtype=np.float64)

    def _datasets(self) -> Array:
        if self.laws is not None:
            values = self.laws / self.laws.sum(axis=1, keepdims=True)
            count = values.shape[1]
            axes = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij")).reshape(3, -1)
            return np.asarray(values[:, axes] / count**2, dtype=np.float64)
        assert self.counts is not None
        rows = self.counts / self.counts.sum(axis=2, keepdims=True)
        if not self.shares:
            return np.asarray(rows, dtype=np.float64)
        weights = np.array(self.shares) / sum(self.shares)
        return np.concatenate([(weights @ rows)[:, None], rows[:, -2:]], axis=1)

    def totals(self) -> Counts:
        """The sum of all counts of each instance, shape (B,)."""
        if self.laws is not None:
            return np.asarray(self.laws.sum(axis=1))
        assert self.counts is not None
        extra = 0 if self.model is None else self.model.sum(axis=1)
        return np.asarray(self.counts.sum(axis=(1, 2)) + extra)

    def pick(self, index: int) -> Found:
        """One of the instances, exactly."""
        if self.laws is not None:
            return IndependentLaws(tuple(sorted(self.laws[index].tolist())), self.volumes)
        assert self.counts is not None
        model = () if self.model is None else tuple(self.model[index].tolist())
        return Instance(tuple(map(tuple, self.counts[index].tolist())), self.volumes, self.shares, model)


Draw = Callable[[np.random.Generator, int, str], Batch]
"""From a generator, a number of leaves (values of the law) and a part: random instances without the assumption."""


@dataclass(frozen=True)
class Assumption:
    """An assumption of Thm 4.2, what stands in its place when it is dropped, and what then happens to each part.

    says     the assumption
    instead  what is allowed without it, the other assumptions kept
    draw     random instances of that kind
    admits   whether an instance is of that kind, exactly
    rulings  for each part of the theorem, whether it needs the assumption; a part that is not there was not decided
    letter   the id under which `verify` shows the counterexamples, "" where there is none
    """

    says: str
    instead: str
    draw: Draw
    admits: Callable[[Instance], bool]
    rulings: dict[str, Ruling]
    letter: str = ""


def _count_rows(leaves: int, most: int) -> Counts:
    """All rows of counts with a sum from 1 to ``most`` and no common divisor: shape (rows, leaves)."""
    if most < 1:
        return np.zeros((0, leaves), dtype=np.int64)
    grid = np.stack(np.meshgrid(*[np.arange(most + 1)] * leaves, indexing="ij"), axis=-1).reshape(-1, leaves)
    grid = grid[(grid.sum(axis=1) >= 1) & (grid.sum(axis=1) <= most)]
    return np.asarray(grid[np.gcd.reduce(grid, axis=1) == 1], dtype=np.int64)


# --- random instances ---------------------------------------------------------------------------------------------
def _counts(rng: np.random.Generator, rows: int, leaves: int, k: int = 10) -> Counts:
    """Counts of shape (BATCH, rows, leaves): flat, heavy-tailed, sparse, and multiples of k; no row is empty."""
    shape = (BATCH, rows, leaves)
    flat = rng.integers(0, 6, shape)
    heavy = np.left_shift(1, rng.integers(0, 12, shape)) * (rng.random(shape) < 0.8)
    sparse = rng.integers(0, 2, shape)
    scaled = rng.choice([0, 1, k, k + 1], shape)
    kind = rng.integers(0, 4, (BATCH, 1, 1))
    counts = np.choose(kind, [flat, heavy, sparse, scaled])
    counts[..., 0] += counts.sum(axis=2) == 0
    return np.asarray(counts, dtype=np.int64)


def _volumes(rng: np.random.Generator, part: str) -> Volumes:
    wide = part == "theta"  # on many families the ratio is 1/k
    k = Fraction(int(10.0 ** rng.uniform(1, 7)) if wide else int(rng.choice([10, 20, 100, 1000, 10_000])))
    return k, Fraction(1), Fraction(1, int(rng.choice([10, 20, 100])))


def _far(seen: Instance) -> bool:
    """k >> 1 and l << 1, read as k >= 10 and 0 < l <= 1/10, and P_a differs from P_t."""
    k, _, step = seen.volumes
    return k >= 10 and 0 < step <= Fraction(1, 10) and seen.counts[-1] != seen.counts[-2]


def _draw_free(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    volumes = _volumes(rng, part)
    counts = _counts(rng, 3, leaves, int(volumes[0]))
    if part == "existence":  # P_t = q: nothing moves
        base, k = counts[:, :2], int(volumes[0])
        totals = base.sum(axis=2)
        counts[:, 2] = k * base[:, 0] * totals[:, 1:] + base[:, 1] * totals[:, :1]
    return Batch(volumes, counts)


def _draw_same(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    counts = _counts(rng, 3, leaves)
    counts[:, 2] = counts[:, 1]
    if part == "existence":
        counts[:, 0] = counts[:, 1]
    return Batch(_volumes(rng, part), counts, (1, 1, 1))


def _draw_two(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    k, one, _ = _volumes(rng, part)
    size = int(10.0 ** rng.uniform(0, 7))
    step = Fraction(1) if part == "existence" else Fraction(size + 1, size) if part == "theta" else Fraction(size)
    return Batch((k, one, step), _counts(rng, 2, leaves), (1, 1))


def _draw_any_k(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    _, one, step = _volumes(rng, part)
    return Batch((Fraction(1, int(10.0 ** rng.uniform(0, 9))), one, step), _counts(rng, 2, leaves), (1, 1))


def _draw_uncovered(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    k, one, _ = _volumes(rng, part)
    counts = _counts(rng, 3, leaves, int(k))
    counts[:, :2, -1] = 0
    if leaves > 1:
        counts[:, 2, -1] += 1
        counts[:, :2, 0] += counts[:, :2].sum(axis=2) == 0
    else:
        counts[:, :2, 0] = 1
    return Batch((k, one, Fraction(0)), counts)


def _draw_model(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    counts = _counts(rng, 3, leaves)
    return Batch(_volumes(rng, part), counts[:, :2], (1, 1), counts[:, 2] + 1)


def _draw_three(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    volumes = _volumes(rng, part)
    counts = _counts(rng, 3, leaves)
    if part == "existence":  # P_t = q
        base, k = counts[:, :2], int(volumes[0])
        totals = base.sum(axis=2)
        counts[:, 2] = k * base[:, 0] * totals[:, 1:] + (k + 3) * base[:, 1] * totals[:, :1]
    return Batch(volumes, counts, (1, 1, 1))


def _draw_alike(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    ranks = np.arange(1, leaves + 1)
    power = int(rng.integers(1, 4))
    masses = np.lcm.reduce(ranks) ** power // ranks**power  # in proportion to rank^-power
    counts = rng.permuted(np.broadcast_to(masses, (BATCH, 3, leaves)), axis=2)
    return Batch(_volumes(rng, part), np.asarray(counts, dtype=np.int64), (1, 1, 1))


def _draw_shares(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    volumes = _volumes(rng, part)
    inverse, size = int(1 / volumes[2]), int(10.0 ** rng.uniform(0, 6))
    shares = {"pretrain": (inverse + size, 1), "existence": (inverse, 1)}.get(part, (inverse * size - 1, size))
    return Batch(volumes, _counts(rng, 2, leaves), shares)


def _draw_independent(rng: np.random.Generator, leaves: int, part: str) -> Batch:
    return Batch(_volumes(rng, part), laws=np.maximum(_counts(rng, 1, min(leaves, 4))[:, 0], 1))


# --- the table ----------------------------------------------------------------------------------------------------
def _equal_parts(seen: Instance, parts: int) -> bool:
    return seen.shares == (1,) * parts


def _two(seen: Instance) -> bool:
    return _equal_parts(seen, 2) and not seen.model


def _apart(seen: Instance) -> bool:
    return seen.counts[-1] != seen.counts[-2]


def _independent(seen: Instance) -> bool:
    return _far(seen) and not seen.shares and seen.leaves > 1 and len(set(seen.counts[0])) > 1


TWO, MONOTONE, SAME, TAIL = "[two parts]", "[large k]", "[distinct]", "[independent]"
ASSUMPTIONS: dict[str, Assumption] = {
    "union": Assumption(
        "the union D_p = D_2 u D_3",
        "any P_p, with P_t covered",
        _draw_free,
        lambda seen: _far(seen) and not seen.shares and not seen.model and seen.uncovered() == 0,
        {
            "pretrain": Ruling(True, "R9a", "D_t takes mass from D_p as from everything else"),
            "align": Ruling(True, "R9a", "P_a may be closer to P_t than P_p is"),
            "theta": Ruling(True, "R9a", "on disjoint supports the ratio is -1/k"),
            "existence": Ruling(True, "R9a", "P_t = q moves nothing"),
        },
        "R9a",
    ),
    "distinct": Assumption(
        "alignment and perturbation data that differ",
        "P_a = P_t, with a third part of D_p",
        _draw_same,
        lambda seen: (
            _equal_parts(seen, 3)
            and not seen.model
            and seen.volumes[0] >= 10
            and 0 < seen.volumes[2] <= Fraction(1, 10)
            and seen.counts[-1] == seen.counts[-2]
        ),
        {
            "pretrain": Ruling(True, "R9b", "A = T > 1 forces dH_p > 0"),
            "align": Ruling(True, "R9b", "A = T > 1"),
            "theta": Ruling(False, SAME, "the ratio is 1/(1 + l)"),
            "existence": Ruling(True, "R9b", "P_a = P_t = P_p moves nothing"),
        },
        "R9b",
    ),
    "independent": Assumption(
        "the union D_p = D_2 u D_3, even for independent masses of one law",
        "P_p, P_a, P_t independent with the same law",
        _draw_independent,
        _independent,
        {
            "pretrain": Ruling(True, "R9c", "A >= 1 forces dH_p >= 0"),
            "align": Ruling(True, "R9c", "A -> E[Y] E[1/Y] > 1 for every law"),
            "theta": Ruling(True, TAIL, "the ratio tends to 1/(1 + 2l(alpha-1)/(alpha-2)), to 0 as alpha -> 2", False),
        },
        "R9c",
    ),
    "small l": Assumption(
        "a small perturbation, l < 1",
        "any l > 0",
        _draw_two,
        lambda seen: _two(seen) and _apart(seen) and seen.volumes[0] >= 10 and seen.volumes[2] > 0,
        {
            "pretrain": Ruling(True, "R9d", "dH_p turns at l = pi_t/pi_a"),
            "align": Ruling(False, TWO, "dH_a > 0 for every l"),
            "theta": Ruling(True, "R9d", "(1 + 2l/k)/(1 - l) runs to infinity at l = 1"),
            "existence": Ruling(True, "R9d", "dH_p = 0 at l = 1"),
        },
        "R9d",
    ),
    "coverage": Assumption(
        "coverage (the union gives it; without the union A(0) < 1 and small l need it)",
        "A(0) < 1 in place of the union, and P_t has leaves of its own; l -> 0",
        _draw_uncovered,
        lambda seen: (
            not seen.shares
            and not seen.model
            and seen.volumes[0] >= 10
            and seen.volumes[2] == 0
            and seen.uncovered() > 0
            and seen.gaps()[1] > 0
        ),
        {
            "pretrain": Ruling(True, "R9e", "dH_p > 0 at every l, as N tau > 1 - A(0)"),
            "align": Ruling(False, "[coverage]", "A(0) < 1 gives dH_a > 0 for all l (R4)"),
            "theta": Ruling(True, "R9e", "the ratio tends to (1-A)/(1-A-N tau) as l -> 0"),
            "existence": Ruling(True, "R9e", "dH_p = 0 where N tau = 1 - A(0); dH_t(0) = -infinity"),
        },
        "R9e",
    ),
    "large k": Assumption(
        "a large k",
        "any k > 0",
        _draw_any_k,
        lambda seen: _two(seen) and _apart(seen) and 0 < seen.volumes[2] <= Fraction(1, 10),
        {
            "pretrain": Ruling(
                False, MONOTONE, "N^2 dH_p never falls in k: a sign that is right stays right at smaller k"
            ),
            "align": Ruling(False, TWO, "dH_a > 0 for every k"),
            "theta": Ruling(True, "R9f", "(1 + 2l/k)/(1 - l) runs to infinity as k -> 0; l/k bounded is enough"),
            "existence": Ruling(False, TWO, "dH_p != 0 for l < 1 at every k"),
        },
        "R9f",
    ),
    "joint optimum": Assumption(
        "training that reaches the joint optimum",
        "any compressor q that covers the data",
        _draw_model,
        lambda seen: _equal_parts(seen, 2) and bool(seen.model) and _far(seen) and seen.covers(),
        {
            "pretrain": Ruling(True, "R9g", "holds while delta_L < (1 - L)(-DeltaH_t): [joint optimum]"),
            "align": Ruling(True, "R9g", "holds while delta_0 < (k/2)(-DeltaH_t): [joint optimum]"),
            "theta": Ruling(True, "R9g", "the balance law needs the optimum"),
            "existence": Ruling(True, "R9g", "dH_p may be 0"),
        },
        "R9g",
    ),
    "two parts": Assumption(
        "the union of two parts only (Thm 4.2 as printed has three equal parts)",
        "P_p = (P_1 + P_a + P_t)/3",
        _draw_three,
        lambda seen: _equal_parts(seen, 3) and not seen.model and _far(seen),
        {
            "pretrain": Ruling(True, "R9h", "dH_p > 0 at every l > 0 once A(0) >= 1"),
            "align": Ruling(True, "R9h", "only the mean over the choice of the aligned part has a sign: [third part]"),
            "theta": Ruling(True, "R9h", "the ratio may be -1/k"),
            "existence": Ruling(True, "R9h", "P_t = q moves nothing"),
        },
        "R9h",
    ),
    "two parts, masses alike": Assumption(
        "the union of two parts only, even where the parts hold the same power-law masses in another order",
        "P_p = (P_1 + P_a + P_t)/3, three orders of the same masses",
        _draw_alike,
        lambda seen: (
            _equal_parts(seen, 3)
            and not seen.model
            and _far(seen)
            and len({tuple(sorted(row)) for row in seen.counts}) == 1
            and min(seen.counts[0]) > 0
        ),
        {
            "pretrain": Ruling(True, "R9h", "Pareto masses do not help a single draw"),
            "align": Ruling(True, "R9h", "Pareto masses do not help a single draw"),
            "theta": Ruling(True, "R9h", "R' = (1-A')/(1-A) has no bound"),
        },
        "R9h",
    ),
    "equal parts": Assumption(
        "parts of equal size",
        "P_p = pi_a P_a + pi_t P_t",
        _draw_shares,
        lambda seen: len(seen.shares) == 2 and min(seen.shares) > 0 and not seen.model and _far(seen),
        {
            "pretrain": Ruling(True, "R9i", "the threshold is l < pi_t/pi_a"),
            "align": Ruling(False, TWO, "dH_a > 0 for all shares"),
            "theta": Ruling(True, "R9i", "(1 + l/(k pi_t))/(1 - l pi_a/pi_t) runs to infinity at the threshold"),
            "existence": Ruling(True, "R9i", "dH_p = 0 at l = pi_t/pi_a"),
        },
        "R9i",
    ),
    "Pareto": Assumption(
        "Pareto masses",
        "any masses",
        _draw_free,
        lambda seen: True,
        {part: Ruling(False, TWO, "no step of the proof names a law") for part in PARTS},
    ),
}
"""The assumptions of Thm 4.2, by name: what happens to each part of the theorem without each of them."""


@checked(style=one_of("text", "latex"))
def table(style: str = "text") -> str:
    """The table of R9, assumption by part: needed (with the counterexample) or not needed (with the proof).

    Style "text" or "latex".
    """
    names = list(PARTS)
    heads = ["without", "dH_p < 0", "dH_a > 0", "Theta", "ratio exists"]
    rows = []
    for name, rule in ASSUMPTIONS.items():
        rulings = [rule.rulings.get(part) for part in names]
        cells = ["-" if r is None else f"{'fails' if r.needed else 'holds'} {r.by}" for r in rulings]
        rows.append([name, *cells])
    if style == "latex":
        body = "\n".join(" & ".join(tex_words(cell) for cell in row) + r" \\" for row in [heads, *rows])
        return rf"\begin{{tabular}}{{{'l' * len(heads)}}}" + f"\n{body}\n" + r"\end{tabular}"
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [heads, *rows]
    ]
    reasons = [
        f"{name}, {heads[1 + column]}: {rule.rulings[part].why}"
        for name, rule in ASSUMPTIONS.items()
        for column, part in enumerate(names)
        if part in rule.rulings
    ]
    return "\n".join([*lines, "", *reasons])


def tex_words(words: str) -> str:
    """Plain words in LaTeX, with what is special in it made safe."""
    for sign, safe in (("_", r"\_"), ("^", r"\^{}"), ("<", r"\(<\)"), (">", r"\(>\)"), ("|", r"\(|\)")):
        words = words.replace(sign, safe)
    return words
