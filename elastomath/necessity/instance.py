"""An instance of Thm 4.2 in exact numbers: leaf masses as whole counts, volumes as fractions, nothing rounded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from ..checks import exact
from ..checks import rows as as_list
from ..errors import InputError

Row = tuple[int, ...]
Volumes = tuple[Fraction, Fraction, Fraction]


@dataclass(frozen=True)
class Instance:
    """Datasets on a common leaf set with volumes (k, 1, l), exactly: ``P_i(x) = c_i(x) / sum c_i``.

    counts   rows of whole numbers, one entry a leaf; each row is divided by its greatest common divisor
    volumes  (k, 1, l), k > 0, l >= 0; l = 0 means the limit l -> 0, with sums over the support of q_0
    shares   empty: the rows are P_p, P_a, P_t. Otherwise the rows are the parts of a union, the last two P_a and P_t, and
             ``P_p = sum_j pi_j P_j`` with pi_j in proportion to the shares (R8)
    model    the leaf masses of a compressor that training left short of the joint optimum, as counts; empty: the optimum

    Raises InputError for rows, volumes or shares that cannot be used.

    >>> union = Instance(((1, 0), (0, 1)), (Fraction(10), Fraction(1), Fraction(1, 10)), shares=(1, 1))
    >>> [str(gap) for gap in union.gaps()], str(union.ratio())   # (1 + 2l/k)/(1 - l) = 17/15
    (['-3/34', '1', '-20/17'], '17/15')
    """

    counts: tuple[Row, ...]
    volumes: Volumes
    shares: Row = ()
    model: Row = ()

    def __post_init__(self) -> None:
        rows = tuple(
            _reduced(row, f"row {index}") for index, row in enumerate(as_list(self.counts, "rows", "instance"))
        )
        object.__setattr__(self, "counts", rows)
        object.__setattr__(
            self,
            "volumes",
            tuple(exact(volume, "a volume", "instance") for volume in as_list(self.volumes, "volumes", "instance")),
        )
        for name in ("shares", "model"):
            if getattr(self, name):
                object.__setattr__(self, name, _reduced(getattr(self, name), name))
        if len({len(row) for row in rows}) != 1 or (self.model and len(self.model) != len(rows[0])):
            raise InputError("rows of different lengths", where="instance", mend="give each leaf an entry in every row")
        if (len(self.shares) != len(rows) or len(rows) < 2) if self.shares else len(rows) != 3:
            raise InputError(
                f"{len(rows)} rows and {len(self.shares)} shares",
                where="instance",
                mend="give P_p, P_a, P_t and no shares, or parts (P_a and P_t last) with a share for each",
            )
        _check_volumes(self.volumes)

    @property
    def leaves(self) -> int:
        """M, the number of leaves."""
        return len(self.counts[0])

    @cached_property
    def datasets(self) -> tuple[tuple[Fraction, ...], ...]:
        """P_p, P_a, P_t."""
        rows = [_masses(row) for row in self.counts]
        if not self.shares:
            return tuple(rows)
        weights = _masses(self.shares)
        whole = tuple(
            sum((w * p for w, p in zip(weights, leaf, strict=True)), Fraction(0)) for leaf in zip(*rows, strict=True)
        )
        return (whole, *rows[-2:])

    @cached_property
    def optimum(self) -> tuple[Fraction, ...]:
        """The joint optimum ``q = (k P_p + P_a + l P_t)/N``."""
        total = sum(self.volumes)
        return tuple(
            sum((w * p for w, p in zip(self.volumes, leaf, strict=True)), Fraction(0)) / total
            for leaf in zip(*self.datasets, strict=True)
        )

    @property
    def compressor(self) -> tuple[Fraction, ...]:
        """The model that the data meets: the joint optimum, or where training stopped instead."""
        return _masses(self.model) if self.model else self.optimum

    def gaps(self) -> tuple[Fraction, Fraction, Fraction]:
        """``1 - sum_x P_i P_t / q`` for pre-training, alignment, perturbation: the sign of each response.

        At the joint optimum this is N dH_i/dl (R1). At any other compressor it is dH_i/ds for a step
        ``q <- (1-s) q + s P_t`` towards the perturbation (R19); -inf does not occur, sums are over the support of q.
        """
        q, perturb = self.compressor, self.datasets[2]
        first, second, third = (
            1 - sum((p * t / m for p, t, m in zip(row, perturb, q, strict=True) if m), Fraction(0))
            for row in self.datasets
        )
        return first, second, third

    def responses(self) -> tuple[Fraction, Fraction, Fraction]:
        """dH_p/dl, dH_a/dl, dH_t/dl in nats per leaf drawn and unit of |D_a| (R1)."""
        pretrain, align, perturb = (gap / sum(self.volumes) for gap in self.gaps())
        return pretrain, align, perturb

    def ratio(self) -> Fraction | None:
        """``-dH_a/(k dH_p)``, which the theorem wants between two positive constants; None where dH_p = 0."""
        pretrain, align, _ = self.gaps()
        return -align / (self.volumes[0] * pretrain) if pretrain else None

    def uncovered(self) -> Fraction:
        """tau, the mass of P_t outside the support of P_p and P_a."""
        return sum((t for p, a, t in zip(*self.datasets, strict=True) if not p and not a), Fraction(0))

    def covers(self) -> bool:
        """Whether the compressor has a positive mass on every leaf of every dataset."""
        return all(m or not any(leaf) for m, *leaf in zip(self.compressor, *self.datasets, strict=True))

    def missed(self) -> tuple[tuple[Fraction, Fraction], ...]:
        """By how much the joint objective is missed, ``delta = N KL(q* || q)``, as pairs (c, r) of ``sum c ln r``."""
        pairs = zip(self.optimum, self.compressor, strict=True)
        return tuple((sum(self.volumes) * best, best / model) for best, model in pairs if best and best != model)

    def at(self, k: Fraction | int | None = None, perturbation: Fraction | int | None = None) -> Instance:
        """The same datasets at another k or l."""
        old_k, one, old_l = self.volumes
        return replace(
            self,
            volumes=(
                old_k if k is None else exact(k, "k", "instance"),
                one,
                old_l if perturbation is None else exact(perturbation, "l", "instance"),
            ),
        )

    # --- shrinking ------------------------------------------------------------------------------------------------
    @property
    def size(self) -> tuple[Any, ...]:
        """Leaves, rows, the sum of all counts and shares, numerators and denominators of the volumes, then the text."""
        counts = sum(map(sum, self.counts)) + sum(self.shares) + sum(self.model)
        volumes = sum(abs(volume.numerator) + volume.denominator for volume in self.volumes)
        return self.leaves, len(self.counts), counts, volumes, self.counts, self.shares, self.model, self.volumes

    def smaller(self) -> Iterator[Instance]:
        """Merge or drop leaves, drop a part, lower counts and shares, simplify volumes."""
        for changed in self._fewer_leaves():
            yield from self._with(**changed)
        if len(self.shares) > 2:
            for gone in range(len(self.shares) - 2):
                yield from self._with(counts=_without(self.counts, gone), shares=_without(self.shares, gone))
        for index, row in enumerate(self.counts):
            for lower in _lower_rows(row, self.counts):
                yield from self._with(counts=(*self.counts[:index], lower, *self.counts[index + 1 :]))
        for name in ("shares", "model"):
            if getattr(self, name):
                for lower in _lower_rows(getattr(self, name), ()):
                    yield from self._with(**{name: lower})
        k, one, step = self.volumes
        for simpler in _simpler(k):
            yield from self._with(volumes=(simpler, one, step))
        for simpler in _simpler(step):
            yield from self._with(volumes=(k, one, simpler))
        for first in range(self.leaves):  # leaves have no order: the rows that sort first stand for all
            for second in range(first + 1, self.leaves):
                order = list(range(self.leaves))
                order[first], order[second] = second, first
                swapped = tuple(tuple(row[leaf] for leaf in order) for row in self.counts)
                yield from self._with(
                    counts=swapped, model=tuple(self.model[leaf] for leaf in order) if self.model else ()
                )

    def _fewer_leaves(self) -> Iterator[dict[str, tuple[object, ...]]]:
        rows = (*self.counts, self.model) if self.model else self.counts
        for first in range(self.leaves):
            for second in range(first):
                merged = [
                    tuple(c + row[first] * (leaf == second) for leaf, c in enumerate(row) if leaf != first)
                    for row in rows
                ]
                yield self._named(merged)
        for gone in range(self.leaves):
            yield self._named([_without(row, gone) for row in rows])

    def _named(self, rows: Sequence[Row]) -> dict[str, tuple[object, ...]]:
        return {"counts": tuple(rows[: len(self.counts)]), "model": tuple(rows[-1]) if self.model else ()}

    def _with(self, **changed: object) -> Iterator[Instance]:
        try:
            yield replace(self, **changed)  # type: ignore[arg-type]
        except InputError:  # a row of zeros, or no leaf left
            return

    # --- reading --------------------------------------------------------------------------------------------------
    def text(self) -> str:
        """Masses and volumes in plain text, a line each."""
        lines = [f"    {name} = ({', '.join(map(str, row))})" for name, row in self._rows()]
        if self.shares:
            lines.insert(
                0,
                "    P_p = "
                + " + ".join(f"{w} {name}" for w, (name, _) in zip(_masses(self.shares), self._rows(), strict=False)),
            )
        volumes = ", ".join("0+" if index == 2 and not v else str(v) for index, v in enumerate(self.volumes))
        return "\n".join([*lines, f"    (k, 1, l) = ({volumes})"])

    def latex(self, between: str = r",\; ") -> str:
        """The same in LaTeX (formulas only, without the dollars), with ``between`` between datasets."""
        parts = [f"{name} = ({', '.join(map(tex, row))})" for name, row in self._rows()]
        if self.shares:
            parts.insert(
                0,
                "P_p = "
                + " + ".join(
                    f"{tex(w)} {name}" for w, (name, _) in zip(_masses(self.shares), self._rows(), strict=False)
                ),
            )
        volumes = ", ".join("0^+" if index == 2 and not v else tex(v) for index, v in enumerate(self.volumes))
        return between.join([*parts, f"(k, 1, l) = ({volumes})"])

    def _rows(self) -> list[tuple[str, tuple[Fraction, ...]]]:
        if self.shares:
            names = [*(f"P_{j}" for j in range(1, len(self.shares) - 1)), "P_a", "P_t"]
        else:
            names = ["P_p", "P_a", "P_t"]
        rows = [(name, _masses(row)) for name, row in zip(names, self.counts, strict=True)]
        return [*rows, ("q", _masses(self.model))] if self.model else rows


@dataclass(frozen=True)
class IndependentLaws:
    """Leaf masses that are independent and share one law, realised exactly on J^3 leaves (Assumption A.7, no union).

    law      the J equally likely values of Y, whole numbers > 0; leaf (u, v, w) has ``P_p ~ Y_u, P_a ~ Y_v, P_t ~ Y_w``
    volumes  (k, 1, l)

    >>> IndependentLaws((1, 3), (Fraction(10), Fraction(1), Fraction(1, 10))).instance().leaves
    8
    """

    law: Row
    volumes: Volumes

    def __post_init__(self) -> None:
        object.__setattr__(self, "law", _reduced(self.law, "law"))
        if min(self.law) <= 0:
            raise InputError(
                "a value of the law is 0", where="law", mend="masses have to be > 0, so that E[1/Y] exists"
            )
        object.__setattr__(
            self,
            "volumes",
            tuple(exact(volume, "a volume", "instance") for volume in as_list(self.volumes, "volumes", "instance")),
        )
        _check_volumes(self.volumes)

    def instance(self) -> Instance:
        """The datasets on the J^3 leaves."""
        law = self.law
        cube = [(u, v, w) for u in law for v in law for w in law]
        return Instance(tuple(zip(*cube, strict=True)), self.volumes)

    @property
    def size(self) -> tuple[Any, ...]:
        """Values, their sum, numerators and denominators of the volumes, then the text."""
        volumes = sum(abs(volume.numerator) + volume.denominator for volume in self.volumes)
        return len(self.law), sum(self.law), volumes, self.law, self.volumes

    def smaller(self) -> Iterator[IndependentLaws]:
        """Drop a value, lower values, simplify volumes."""
        k, one, step = self.volumes
        laws = [_without(self.law, gone) for gone in range(len(self.law))]
        laws += [tuple(sorted(row)) for row in _lower_rows(self.law, ())]
        for law in laws:
            if law and min(law) > 0:
                yield replace(self, law=law)
        for first, second in [
            *((simpler, step) for simpler in _simpler(k)),
            *((k, simpler) for simpler in _simpler(step)),
        ]:
            if first > 0 and second >= 0:
                yield replace(self, volumes=(first, one, second))


def _check_volumes(volumes: Volumes) -> None:
    if len(volumes) != 3 or volumes[0] <= 0 or volumes[1] != 1 or volumes[2] < 0:
        raise InputError("volumes are not (k, 1, l)", where="instance", mend="k > 0, l >= 0, in units of |D_a|")


def _reduced(row: Row, where: str) -> Row:
    counts = as_list(row, "counts", where)
    if any(type(count) is not int for count in counts):  # shrinking makes many rows, all of them whole already
        counts = [exact(count, "a count", where) for count in counts]
    if any(count < 0 or count.denominator > 1 for count in counts) or not any(counts):
        raise InputError(
            "counts are not whole numbers >= 0, one of them > 0", where=where, mend="multiply out fractions"
        )
    divisor = math.gcd(*map(int, counts))
    return tuple(int(count) // divisor for count in counts)


def _masses(row: Row) -> tuple[Fraction, ...]:
    total = sum(row)
    return tuple(Fraction(count, total) for count in row)


def _without(row: tuple[object, ...], gone: int) -> tuple:  # type: ignore[type-arg]
    return (*row[:gone], *row[gone + 1 :])


def _lower_rows(row: Row, others: Sequence[Row]) -> Iterator[Row]:
    """Rows with a smaller sum: another row, one leaf, halves, then single entries lowered."""
    yield from (other for other in others if sum(other) < sum(row))
    yield from (tuple(int(leaf == only) for leaf in range(len(row))) for only in range(len(row)))
    yield tuple(min(count, 1) for count in row)
    yield tuple(count // 2 for count in row)
    yield tuple((count + 1) // 2 for count in row)
    for leaf, count in enumerate(row):
        yield from ((*row[:leaf], lower, *row[leaf + 1 :]) for lower in _lower(count))


def _lower(count: int) -> Iterator[int]:
    """0, 1, and ``count`` less a half, a quarter ... of itself, down to one less: by bisection to the least that will do."""
    yield from (lower for lower in (0, 1) if lower < count)
    part = count // 2
    while part and count > 1:
        yield count - part
        part //= 2


def _simpler(volume: Fraction) -> Iterator[Fraction]:
    """Simpler fractions near by, the simplest first: whole numbers, small denominators, then lower numbers above or below."""
    above, below = volume.numerator, volume.denominator
    yield from (Fraction(0), Fraction(1), Fraction(10), Fraction(1, 10))
    yield from (volume.limit_denominator(bound) for bound in (1, 2, 3, 5, 10, 100))
    yield from (Fraction(lower, below) for lower in _lower(above))
    yield from (Fraction(above, lower) for lower in _lower(below) if lower)
    yield from (
        Fraction(above - (below - lower), lower) for lower in _lower(below) if 0 < below - lower < above and lower
    )
    for bound in (1, 2, 3, 5, 10, 100):
        near = volume.limit_denominator(bound)
        yield from (near + Fraction(1, bound), near - Fraction(1, bound))


def tex(value: Fraction) -> str:
    """A fraction in LaTeX: small within a row, large where its numbers are long."""
    if value.denominator == 1:
        return str(value)
    size = "tfrac" if value.denominator < 1000 else "frac"
    return rf"{'-' if value < 0 else ''}\{size}{{{abs(value.numerator)}}}{{{value.denominator}}}"
