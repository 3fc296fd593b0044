"""Generators for property tests (hypothesis): masses, families of datasets, volumes, mixtures, trees and curves.

They are public: whoever builds on elastomath can test with them (docs/property-tests.md shows how). The awkward cases are
among what they draw, and a test holds that each is reached; what fails shrinks to few leaves and small counts.
hypothesis has to be installed.

masses, exact_masses        leaf masses: flat, heavy-tailed, sparse, near-degenerate; as floats or as fractions
families, exact_families    P_p, P_a, P_t on a common leaf set: union, disjoint, opposed, independent, overlap, free
volumes, exact_volumes      volumes over many decades, or (k, 1, l) as fractions;  paths: perturbations that rise from 0
mixtures, instances         `Mixture` in floats, `Instance` in exact numbers
documents, sequences, token_trees   text, bytes, integers, ragged; and their trees
curves                      valid curves, from the exact rates of mixtures
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from hypothesis import strategies as st

from ..arrays import Array
from ..curve import Curve
from ..errors import InputError
from ..laws.finite import path_entropies
from ..mixtures.masses import normalise
from ..mixtures.mixture import Mixture
from ..necessity.instance import Instance
from ..trees.tokentree import TokenTree
from ..units import NATS_PER_BIT, VOLUME_UNITS

ExactMasses = tuple[Fraction, ...]

KINDS = ("flat", "heavy", "tiny", "sparse", "degenerate")
"""Kinds of leaf masses: counts to 12; powers of two over 40 orders, and over 1074, down to the smallest float; mostly zeros; one
leaf with all but 2^-n, n to 60."""
FAMILIES = ("union", "disjoint", "opposed", "independent", "overlap", "free")
"""Kinds of families of three datasets."""


# --- masses -------------------------------------------------------------------------------------------------------
@cache  # a strategy that is made again is validated again, which takes longer than drawing from it
def _weights(leaves: int, least: int, kind: str | None = None) -> st.SearchStrategy[list[int]]:
    """Integer weights of one kind, at least one > 0; by default flat, heavy-tailed, tiny, any up to 2^40, and sparse ones."""
    entries = {
        "flat": st.integers(least, 12),
        "heavy": st.integers(0, 40).map(lambda order: 1 << order),
        "tiny": st.integers(0, 1074).map(lambda order: 1 << order),
        "any": st.integers(1, 1 << 40),
        "sparse": st.sampled_from([0, 0, 1]),
    }
    if kind == "degenerate":
        rest = st.lists(st.integers(least, 1), min_size=leaves, max_size=leaves)
        return st.builds(_all_but, rest, st.integers(0, leaves - 1), st.integers(1, 60))
    kinds = [kind] if kind else ["flat", "heavy", "tiny", "any", *(["sparse"] if least == 0 else [])]
    weights = st.one_of([st.lists(entries[name], min_size=leaves, max_size=leaves) for name in kinds])
    return weights.filter(any)


def _all_but(rest: list[int], leaf: int, order: int) -> list[int]:
    return [*rest[:leaf], 1 << order, *rest[leaf + 1 :]]


@st.composite
def _counts(draw: st.DrawFn, leaves: int | None, positive: bool, most: int, kind: str | None) -> list[int]:
    size = draw(st.integers(1, most)) if leaves is None else leaves
    return draw(_weights(size, 1 if positive else 0, kind))


def masses(
    leaves: int | None = None, *, positive: bool = False, most: int = 12, kind: str | None = None
) -> st.SearchStrategy[Array]:
    """Leaf masses of shape (M,): ``leaves`` of them, or 1 to ``most``; all > 0 where ``positive``; of one of `KINDS`.

    Raises InputError for an unknown kind, and for sparse masses that are positive.
    """
    _known_kind(kind, positive)
    return _masses(leaves, positive, most, kind)


@cache
def _masses(leaves: int | None, positive: bool, most: int, kind: str | None) -> st.SearchStrategy[Array]:
    return _counts(leaves, positive, most, kind).map(_floats)


def exact_masses(
    leaves: int | None = None, *, positive: bool = False, most: int = 12, kind: str | None = None
) -> st.SearchStrategy[ExactMasses]:
    """The same as fractions that sum to 1 exactly, for certified tests."""
    _known_kind(kind, positive)
    return _counts(leaves, positive, most, kind).map(_fractions)


def _floats(counts: Sequence[int]) -> Array:
    """Leaf masses in floats, from counts of any size."""
    most = max(counts)
    return normalise([count / most for count in counts])


def _fractions(counts: Sequence[int]) -> ExactMasses:
    total = sum(counts)
    return tuple(Fraction(count, total) for count in counts)


def _known_kind(kind: str | None, positive: bool) -> None:
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind {kind!r}", where="masses", mend=f"choose one of {', '.join(KINDS)}")
    if kind == "sparse" and positive:
        raise InputError("sparse masses that are all > 0", where="masses", mend="leave one of the two out")


# --- volumes ------------------------------------------------------------------------------------------------------
@st.composite
def volumes(draw: st.DrawFn, count: int = 3, *, ratio: float = 1e4) -> Array:
    """Volumes of shape (count,), > 0, at most a factor ``ratio`` from their unit in either direction (1e300 is not too much).

    The unit is 1, a power of two, or anything from 1e-3 to 1e3: no law may depend on it.
    """
    orders = _orders(ratio)
    unit = draw(UNITS)
    return unit * np.array([10.0 ** draw(orders) for _ in range(count)])


UNITS = st.one_of(st.just(1.0), st.integers(-10, 10).map(lambda n: 2.0**n), st.floats(1e-3, 1e3))
"""What volumes are counted in."""


@cache
def _orders(ratio: float) -> st.SearchStrategy[float]:
    return st.floats(-np.log10(ratio), np.log10(ratio))


@cache
def _quotients(most: int) -> st.SearchStrategy[Fraction]:
    return st.builds(Fraction, st.integers(1, most), st.integers(1, most))


@st.composite
def exact_volumes(draw: st.DrawFn, *, most: int = 100) -> tuple[Fraction, Fraction, Fraction]:
    """(k, 1, l) as fractions > 0 with numerators and denominators up to ``most``."""
    sizes = _quotients(most)
    return draw(sizes), Fraction(1), draw(sizes)


@st.composite
def paths(draw: st.DrawFn, steps: int = 4, *, ratio: float = 1e3) -> Array:
    """Perturbations 0 = l_0 < l_1 < ..., up to ``steps`` of them, with gaps from 1/ratio to ratio: what `finite_law` takes."""
    gaps = draw(st.lists(st.floats(1 / ratio, ratio), min_size=1, max_size=steps))
    return np.concatenate([[0.0], np.cumsum(gaps)])


# --- families -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ExactFamily:
    """Pre-training, alignment and perturbation data on a common leaf set, as fractions.

    kind    one of `FAMILIES`
    parts   the parts of a union, P_a and P_t last; empty for the other kinds
    shares  pi_j of the parts
    dial    for "overlap": the share of P_t that is P_a
    """

    kind: str
    pretrain: ExactMasses
    align: ExactMasses
    perturb: ExactMasses
    parts: tuple[ExactMasses, ...] = ()
    shares: ExactMasses = ()
    dial: Fraction | None = None

    @property
    def rows(self) -> tuple[ExactMasses, ExactMasses, ExactMasses]:
        """P_p, P_a, P_t."""
        return self.pretrain, self.align, self.perturb


@dataclass(frozen=True)
class Family:
    """The same in floats: every field of `ExactFamily`, with arrays of shape (M,) for the masses."""

    kind: str
    pretrain: Array
    align: Array
    perturb: Array
    parts: tuple[Array, ...] = ()
    shares: tuple[float, ...] = ()
    dial: float | None = None

    @property
    def rows(self) -> tuple[Array, Array, Array]:
        """P_p, P_a, P_t."""
        return self.pretrain, self.align, self.perturb


def exact_families(
    kind: str = "union",
    *,
    leaves: int | None = None,
    parts: int = 2,
    equal: bool = True,
    distinct: bool = False,
    most: int = 8,
) -> st.SearchStrategy[ExactFamily]:
    """Families of three datasets of one of `FAMILIES`, in exact fractions.

    union        P_p = sum_j pi_j P_j over ``parts`` parts, P_a and P_t the last two; equal shares, or any where not ``equal``
    disjoint     no two of P_p, P_a, P_t share a leaf
    opposed      P_t has the masses of P_a in the opposite order of size, P_p all of its leaves
    independent  on the product of three alphabets: ``E[P_a P_t] = E[P_a] E[P_t]`` over leaves, and so for each pair
    overlap      P_t is P_a on a share ``dial`` (0 to 1) and has leaves of its own for the rest; P_p covers everything
    free         anything

    leaves: their number, or 1 (disjoint: 3, overlap: 2, independent: 1 to 27) to ``most``. distinct: P_a != P_t (needs two leaves).
    Raises InputError for an unknown kind, fewer than 2 parts, and leaves that are too few or cannot be had.
    """
    if kind not in FAMILIES:
        raise InputError(f"unknown family {kind!r}", where="families", mend=f"choose one of {', '.join(FAMILIES)}")
    if parts < 2:
        raise InputError(f"a union of {parts} parts", where="families", mend="P_a and P_t are two")
    least = {"disjoint": 3, "overlap": 2}.get(kind, 2 if distinct or kind == "opposed" else 1)
    if kind == "independent" and leaves is not None:
        raise InputError(
            "leaves of an independent family", where="families", mend="they are a product: leave them open"
        )
    if leaves is not None and leaves < least:
        raise InputError(f"{leaves} leaves of a {kind} family", where="families", mend=f"ask for at least {least}")
    size = st.integers(least, max(most, least)) if leaves is None else st.just(leaves)
    strategy = _family(kind, size, parts, equal)
    return strategy.filter(lambda family: family.align != family.perturb) if distinct else strategy


def families(
    kind: str = "union",
    *,
    leaves: int | None = None,
    parts: int = 2,
    equal: bool = True,
    distinct: bool = False,
    most: int = 8,
) -> st.SearchStrategy[Family]:
    """`exact_families` in floats: masses of shape (M,), each normalised."""
    return exact_families(kind, leaves=leaves, parts=parts, equal=equal, distinct=distinct, most=most).map(_in_floats)


def _in_floats(family: ExactFamily) -> Family:
    def floats(row: ExactMasses) -> Array:
        return normalise([float(mass) for mass in row])

    return Family(
        family.kind,
        floats(family.pretrain),
        floats(family.align),
        floats(family.perturb),
        tuple(map(floats, family.parts)),
        tuple(map(float, family.shares)),
        None if family.dial is None else float(family.dial),
    )


@st.composite
def _family(draw: st.DrawFn, kind: str, size: st.SearchStrategy[int], parts: int, equal: bool) -> ExactFamily:
    if kind == "independent":
        return _product(kind, [draw(_weights(draw(st.integers(1, 3)), 1)) for _ in range(3)])
    leaves = draw(size)

    def row(least: int = 0, count: int = leaves) -> list[int]:
        return draw(_weights(count, least))

    if kind == "union":
        rows = [_fractions(row()) for _ in range(parts)]
        shares = _fractions([1] * parts if equal else [draw(st.integers(1, 12)) for _ in range(parts)])
        whole = tuple(
            sum((w * p for w, p in zip(shares, leaf, strict=True)), Fraction(0)) for leaf in zip(*rows, strict=True)
        )
        return ExactFamily(kind, whole, rows[-2], rows[-1], tuple(rows), shares)
    if kind == "disjoint":
        first = draw(st.integers(1, leaves - 2))
        second = draw(st.integers(first + 1, leaves - 1))
        pieces = [row(1, width) for width in (first, second - first, leaves - second)]
        edges = [(0, first), (first, second), (second, leaves)]
        blocks = [[0] * low + piece + [0] * (leaves - high) for piece, (low, high) in zip(pieces, edges, strict=True)]
        pretrain, align_row, perturb_row = map(_fractions, blocks)
        return ExactFamily(kind, pretrain, align_row, perturb_row)
    if kind == "opposed":
        align = row()
        order = sorted(range(leaves), key=lambda leaf: align[leaf])
        perturb = [0] * leaves
        for low, high in zip(order, reversed(order), strict=True):
            perturb[low] = align[high]
        return ExactFamily(kind, _fractions(row(1)), _fractions(align), _fractions(perturb))
    if kind == "overlap":
        own = draw(st.integers(1, leaves - 1))
        dial = Fraction(draw(st.integers(0, 12)), 12)
        near = _fractions([*row(1, leaves - own), *[0] * own])
        far = _fractions([*[0] * (leaves - own), *row(1, own)])
        perturb_row = tuple(dial * a + (1 - dial) * f for a, f in zip(near, far, strict=True))
        return ExactFamily(kind, _fractions(row(1)), near, perturb_row, dial=dial)
    return ExactFamily(kind, _fractions(row()), _fractions(row()), _fractions(row()))


def _product(kind: str, laws: list[list[int]]) -> ExactFamily:
    cube = [(u, v, w) for u in laws[0] for v in laws[1] for w in laws[2]]
    pretrain, align, perturb = (_fractions(row) for row in zip(*cube, strict=True))
    return ExactFamily(kind, pretrain, align, perturb)


# --- mixtures and instances ---------------------------------------------------------------------------------------
@st.composite
def mixtures(
    draw: st.DrawFn,
    count: int | None = 3,
    *,
    leaves: int | None = None,
    coverage: bool = False,
    family: str | None = None,
    ratio: float = 1e4,
) -> Mixture:
    """Mixtures of ``count`` datasets (None: 2 to 6), the perturbation last; under ``coverage`` the others hold its leaves.

    family: one of `FAMILIES`, for three datasets of that kind. ratio: how far volumes may be from 1, as in `volumes`.
    """
    if family is not None:
        return Mixture.of(draw(families(family, leaves=leaves)).rows, draw(volumes(3, ratio=ratio)))
    size = draw(st.integers(2, 10)) if leaves is None else leaves
    datasets = draw(st.integers(2, 6)) if count is None else count
    rows = [draw(masses(size)) for _ in range(datasets)]
    if coverage:
        rows[0] = draw(masses(size, positive=True))
    return Mixture.of(rows, draw(volumes(datasets, ratio=ratio)))


@st.composite
def instances(
    draw: st.DrawFn, *, leaves: int | None = None, parts: int = 0, equal: bool = True, most: int = 6
) -> Instance:
    """Instances of Thm 4.2 in exact numbers: P_p, P_a, P_t free (``parts`` = 0), or P_p the union of so many parts."""
    size = draw(st.integers(1, most)) if leaves is None else leaves
    rows = tuple(tuple(draw(_weights(size, 0))) for _ in range(parts or 3))
    shares = tuple(1 if equal else draw(st.integers(1, 12)) for _ in range(parts))
    return Instance(rows, draw(exact_volumes()), shares)


# --- trees --------------------------------------------------------------------------------------------------------
def documents(*, most: int = 6, longest: int = 12) -> st.SearchStrategy[list[str | bytes]]:
    """Documents of different lengths, as text or bytes, empty ones among them, at least one of them not empty."""
    return _documents(most, longest)


@cache
def _documents(most: int, longest: int) -> st.SearchStrategy[list[str | bytes]]:
    letters = st.one_of(st.sampled_from("ab"), st.characters(codec="utf-8"))
    text = st.text(letters, max_size=longest)
    texts = st.lists(st.one_of(st.binary(max_size=longest), text), min_size=1, max_size=most)
    return texts.filter(lambda documents: any(map(len, documents)))


@st.composite
def sequences(
    draw: st.DrawFn, alphabet: int | None = None, *, most: int = 6, longest: int = 12
) -> tuple[list[list[int]], int]:
    """Ragged integer sequences and the size of their alphabet: 2 to 2^18 symbols, the last of which is drawn too."""
    size = draw(st.sampled_from([2, 3, 256, 257, 1 << 16, 1 << 18])) if alphabet is None else alphabet
    return draw(_rows(size, most, longest)), size


@cache
def _rows(size: int, most: int, longest: int) -> st.SearchStrategy[list[list[int]]]:
    symbols = st.one_of(st.integers(0, min(1, size - 1)), st.integers(0, size - 1), st.just(size - 1))
    row = st.lists(symbols, max_size=longest)
    return st.lists(row, min_size=1, max_size=most).filter(any)


@st.composite
def token_trees(draw: st.DrawFn, *, most: int = 6, longest: int = 12) -> TokenTree:
    """Token trees of bytes, bits or integers, with depths from 1 to beyond the longest document."""
    depth = draw(st.integers(1, longest + 2))
    unit = draw(st.sampled_from(["bytes", "bits", "integers"]))
    if unit == "integers":
        rows, alphabet = draw(sequences(most=most, longest=longest))
        return TokenTree.of_sequences(rows, depth, alphabet)
    return TokenTree.of(draw(documents(most=most, longest=longest)), depth, unit)


# --- curves -------------------------------------------------------------------------------------------------------
@st.composite
def curves(draw: st.DrawFn, *, runs: int = 2, steps: int = 4) -> Curve:
    """Valid curves of 1 to ``runs`` runs: the exact rates of mixtures at 0 and up to ``steps`` further perturbations."""
    parts = []
    for index in range(draw(st.integers(1, runs))):
        mixture = draw(mixtures(coverage=True))
        grid = draw(paths(steps))
        unit = draw(st.sampled_from(["bits/symbol", "nats/symbol"]))
        nats = np.maximum(path_entropies(mixture, grid), 0.0)
        readings = nats / NATS_PER_BIT if unit == "bits/symbol" else nats
        sizes = dict(zip(("pretrain", "align", "perturb"), [*mixture.volumes[:-1], grid[-1]], strict=True))
        errors = (
            {name: np.full(grid.size, draw(st.just(0.0) | st.floats(1e-12, 1e-2))) for name in sizes}
            if draw(st.booleans())
            else None
        )
        parts.append(
            Curve.from_paths(
                f"run {index}",
                {name: float(size) for name, size in sizes.items()},
                grid,
                dict(zip(sizes, readings, strict=True)),
                unit,
                draw(st.sampled_from(VOLUME_UNITS)),
                rate_se=errors,  # type: ignore[arg-type]
                seed=index,
            )
        )
    return Curve.concat(parts)
