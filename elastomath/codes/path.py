"""The optimal prefix codes along a perturbation, exactly: where the code changes, and what it costs each dataset (R14).

Prefix codes on a fixed alphabet are a model class (R6) in which ``sum_i w_i E_i[L]`` has a minimum, Huffman's. As the
perturbation l grows, that minimum is a concave, piecewise linear function of l: ``F(l) = min over codes of A + l B``,
A = sum_{i != t} w_i E_i[L] and B = E_t[L]. Everything here is in exact fractions of bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import checked, exact, integer
from ..checks import rows as as_list
from ..errors import InputError
from .lengths import LARGEST, Lengths, huffman_lengths, total_length

Number = int | Fraction
Code = Callable[[NDArray[Any]], Lengths]


@dataclass(frozen=True, slots=True, eq=False)
class CodePath:
    """Optimal codes from perturbation ``start`` to ``end``, J changes of code between J + 1 codes.

    ``volumes``      w_i of all datasets but the perturbation, the last one
    ``breakpoints``  l_1 <= ... <= l_J in [start, end]: at l_j the codes before and after it are both optimal
    ``codes``        J + 1 arrays of M code lengths
    ``expected``     E_i[L] of each code, bits per leaf drawn: J + 1 tuples of n fractions

    >>> path = code_path([[1, 1, 1], [4, 1, 1], [1, 1, 10]], [2, 1], end=1)
    >>> path.breakpoints, [code.tolist() for code in path.codes]
    ((Fraction(2, 3),), [[1, 2, 2], [2, 2, 1]])
    >>> path.residual, path.work, path.bound  # R16: the first two are equal; R5: 0 <= residual <= bound
    (Fraction(1, 2), Fraction(1, 2), Fraction(3, 4))
    """

    volumes: tuple[Fraction, ...]
    start: Fraction
    end: Fraction
    breakpoints: tuple[Fraction, ...]
    codes: tuple[Lengths, ...]
    expected: tuple[tuple[Fraction, ...], ...]

    @checked(first=integer(), last=integer())
    def changes(self, first: int = 0, last: int = -1) -> tuple[Fraction, ...]:
        """Delta E_i[L] of each dataset from one code to another, from the first to the last by default."""
        if not all(-len(self.expected) <= index < len(self.expected) for index in (first, last)):
            raise InputError(
                f"codes {first} and {last}", where="CodePath.changes", mend=f"there are {len(self.expected)}"
            )
        return tuple(b - a for a, b in zip(self.expected[first], self.expected[last], strict=True))

    @property
    def residual(self) -> Fraction:
        """``sum_{i != t} w_i Delta E_i[L]`` from the first code to the last: what R5 bounds."""
        return _sum(w * d for w, d in zip(self.volumes, self.changes(), strict=False))

    @property
    def bound(self) -> Fraction:
        """``end (E_t[first] - E_t[last])``: the upper bound of R5 from any start."""
        return -self.end * self.changes()[-1]

    @property
    def floor(self) -> Fraction:
        """``start (E_t[first] - E_t[last])``: the lower bound of R5 from any start; 0 from the start 0."""
        return -self.start * self.changes()[-1]

    @property
    def work(self) -> Fraction:
        """``integral of l (-dE_t)`` along the path, a sum over the breakpoints: R16 says that it is the residual."""
        return _sum(-step * self.changes(j, j + 1)[-1] for j, step in enumerate(self.breakpoints))

    @property
    def theta(self) -> Fraction | None:
        """``-Delta E_a / (k Delta E_p)`` for three datasets, first and second; None where Delta E_p = 0 (R18)."""
        pretrain, align = self.changes()[:2]
        return None if pretrain == 0 else -self.volumes[1] * align / (self.volumes[0] * pretrain)


def code_path(
    counts: Sequence[Sequence[int]] | NDArray[np.int64],
    volumes: Sequence[Number],
    end: Number,
    start: Number = 0,
    code: Code | None = None,
) -> CodePath:
    """The codes that are optimal for ``sum_{i != t} w_i P_i + l P_t`` from l = ``start`` to ``end``, with every change.

    counts: n rows of M counts, the perturbation last; P_i = counts / sum. volumes: w_i > 0 of the other n - 1.
    code: how an optimal code is found for given integer weights; by default Huffman's on the whole alphabet, so that a
    leaf that only P_t has is coded at l = 0 too (no coverage is needed). Any optimal code will do: ties change the codes,
    not the law.
    Changes are found by parametric search (Eisner and Severance 1976): where the lines of two codes meet, either no code
    is better, or a better one splits the interval. Two codes are made for each change.
    Raises InputError for rows of different lengths or without counts, volumes <= 0, unless 0 <= start <= end, and for a
    ``code`` that is seen not to be optimal.
    """
    rows = _rows(counts)
    weights = _fractions(volumes, "volumes")
    low, high = _fractions([start, end], "perturbation")
    if len(weights) != len(rows) - 1 or not len(weights) or min(weights) <= 0:
        raise InputError(
            f"{len(weights)} volume{'s' * (len(weights) != 1)} for {len(rows)} datasets",
            where="code path",
            mend="give one > 0 for each but the last, the perturbation",
        )
    if not 0 <= low <= high:
        raise InputError(f"perturbations from {low} to {high}", where="code path", mend="give 0 <= start <= end")
    lines = _Lines(rows, weights, code or _on_whole_alphabet)
    first, last = lines.at(low), lines.at(high)
    changes: list[tuple[Fraction, int]] = []  # (breakpoint, the line after it)
    waiting = [(low, first, high, last)]
    while waiting:
        left, one, right, other = waiting.pop()
        if lines.expected[one] == lines.expected[other]:
            continue
        meet = lines.meet(one, other)
        if meet is None:  # the same line: two optimal codes all the way, which differ for single datasets
            changes.append((right, other))
            continue
        middle = lines.at(meet)
        gain = lines.value(one, meet) - lines.value(middle, meet)
        if gain < 0 or not left <= meet <= right:
            raise InputError(
                "a code that is not optimal", where="code path", mend="pass a function that finds the best"
            )
        if gain == 0:
            changes.append((meet, other))
        else:
            waiting += [(meet, middle, right, other), (left, one, meet, middle)]
    order = [first, *(line for _, line in changes)]
    return CodePath(
        tuple(weights),
        low,
        high,
        tuple(step for step, _ in changes),
        tuple(lines.codes[line] for line in order),
        tuple(lines.expected[line] for line in order),
    )


class _Lines:
    """The lines A + l B of the codes found so far."""

    def __init__(self, rows: list[NDArray[Any]], volumes: list[Fraction], code: Code) -> None:
        self.sums = [int(row.sum()) for row in rows]
        self.rows, self.volumes, self.code = rows, volumes, code
        shares = [w / total for w, total in zip(volumes, self.sums, strict=False)]
        self.scale = math.lcm(*(share.denominator for share in shares))
        factors = [int(share * self.scale) for share in shares]
        most = sum(f * total for f, total in zip(factors, self.sums, strict=False))
        exact = [row.astype(object) if most > LARGEST else row for row in rows]
        self.base: NDArray[Any] = np.sum([f * row for f, row in zip(factors, exact[:-1], strict=True)], axis=0)
        self.codes: list[Lengths] = []
        self.expected: list[tuple[Fraction, ...]] = []

    def at(self, step: Fraction) -> int:
        """A code that is optimal at l = step; its line."""
        # (base/scale + l c_t/sum c_t) times scale, sum c_t and the denominator of l
        first, second = self.sums[-1] * step.denominator, self.scale * step.numerator
        common = math.gcd(first, second)
        first, second = first // common, second // common
        base, perturb = self.base, self.rows[-1]
        if first * int(base.sum()) + second * self.sums[-1] > LARGEST:
            base, perturb = base.astype(object), perturb.astype(object)
        lengths = self.code(first * base + second * perturb)
        self.codes.append(lengths)
        self.expected.append(
            tuple(Fraction(total_length(row, lengths), total) for row, total in zip(self.rows, self.sums, strict=True))
        )
        return len(self.codes) - 1

    def value(self, line: int, step: Fraction) -> Fraction:
        return _sum(w * e for w, e in zip([*self.volumes, step], self.expected[line], strict=True))

    def meet(self, one: int, other: int) -> Fraction | None:
        """Where two lines meet; None where they are the same."""
        fall = self.expected[one][-1] - self.expected[other][-1]
        return None if fall == 0 else (self.value(other, Fraction(0)) - self.value(one, Fraction(0))) / fall


def _on_whole_alphabet(weights: NDArray[Any]) -> Lengths:
    return huffman_lengths(weights, whole_alphabet=True)


def _rows(counts: Sequence[Sequence[int]] | NDArray[np.int64]) -> list[NDArray[Any]]:
    try:
        rows = [np.asarray(row) for row in counts]
    except (TypeError, ValueError) as error:
        raise InputError("counts are not rows of integers", where="code path", mend="pass a row a dataset") from error
    if len(rows) < 2:
        raise InputError(f"{len(rows)} datasets", where="code path", mend="pass at least two, the perturbation last")
    for index, row in enumerate(rows):
        if row.ndim != 1 or row.shape != rows[0].shape or row.dtype.kind not in "iu" or row.size == 0:
            raise InputError(
                f"counts of type {row.dtype} and shape {row.shape}",
                where=f"dataset {index}",
                mend="pass rows of integers of one length",
            )
        if row.min() < 0 or not row.any():
            raise InputError(
                "negative counts, or none", where=f"dataset {index}", mend="counts are >= 0, and one is > 0"
            )
        if sum(map(int, row)) > LARGEST:
            raise InputError("counts with a sum beyond 2^63", where=f"dataset {index}", mend="scale them down")
    return [row.astype(np.int64) for row in rows]


def _fractions(values: Sequence[Number], where: str) -> list[Fraction]:
    return [exact(value, f"an entry of {where}", "code path") for value in as_list(values, where, "code path")]


def _sum(terms: Any) -> Fraction:
    return sum(terms, start=Fraction(0))
