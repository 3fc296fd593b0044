"""Balls with proved ends: precision, exact input, and an enclosure in floats."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from ..checks import exact
from ..checks import rows as as_list
from ..errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Ball = Any
"""A flint.arb, or a flint.fmpq or 0 where the number is known exactly; None stands for an infinite one."""
FIRST_PRECISION, LAST_PRECISION = 128, 8192
"""Bits to start with, and bits at which to give up."""
T = TypeVar("T", bound="DataclassInstance")
_LOCK = threading.RLock()


@contextlib.contextmanager
def working_precision(bits: int) -> Iterator[None]:
    """Set flint's precision for a block and put the old one back, whatever happens inside.

    The precision belongs to the whole process, so blocks of several threads wait for each other.

    >>> import flint
    >>> before = flint.ctx.prec
    >>> with working_precision(200):
    ...     inside = flint.ctx.prec
    >>> inside, flint.ctx.prec == before
    (200, True)
    """
    import flint

    with _LOCK:
        before = flint.ctx.prec
        flint.ctx.prec = bits
        try:
            yield
        finally:
            flint.ctx.prec = before


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A real number that was proved to lie in [low, high]; ``estimate`` is the float nearest to the middle.

    low, high  floats rounded outwards; equal where the number is a float exactly
    sign       -1, 0 or 1 where the sign was proved (0: the number is exactly zero), None where it was not
    digits     the decimal digits that were proved, as text

    >>> from elastomath.certify.response import certify_law
    >>> certify_law([[1, 1], [1, 0], [0, 1]], [1, 1, 1]).overlaps[1]
    Enclosure(low=0.0, estimate=0.0, high=0.0, sign=0, digits='0')
    """

    low: float
    estimate: float
    high: float
    sign: int | None
    digits: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def agrees(self, value: float, relative: float, absolute: float = 0.0) -> bool:
        """Whether a float is within ``relative * |estimate| + absolute`` of the enclosure (equal infinities agree)."""
        if math.isinf(self.estimate) or not math.isfinite(value):
            return value == self.estimate
        slack = relative * abs(self.estimate) + absolute
        return self.low - slack <= value <= self.high + slack


def exact_input(
    components: Sequence[Sequence[int | float | Fraction]], volumes: Sequence[int | float | Fraction]
) -> tuple[list[list[Fraction]], list[Fraction]]:
    """Masses (each row divided by its sum) and volumes as exact fractions; raises InputError for what cannot be used."""
    rows = [
        [exact(mass, f"dataset {i}, leaf {j}", "certify_law", least=0) for j, mass in enumerate(row)]
        for i, row in enumerate(
            as_list(row, "leaves", "certify_law") for row in as_list(components, "datasets", "certify_law")
        )
    ]
    if len(rows) < 2:
        raise InputError(f"{len(rows)} datasets", where="certify_law", mend="pass at least two, the perturbation last")
    if len({len(row) for row in rows}) > 1:
        raise InputError(
            f"datasets have {[len(row) for row in rows]} leaves",
            where="certify_law",
            mend="put them on a common leaf set first",
        )
    weights = [
        exact(volume, f"volume {index}", "certify_law", least=0)
        for index, volume in enumerate(as_list(volumes, "volumes", "certify_law"))
    ]
    if len(weights) != len(rows):
        raise InputError(
            f"{len(weights)} volume{'s' * (len(weights) != 1)} for {len(rows)} datasets",
            where="certify_law",
            mend="give one number for each dataset, in their order",
        )
    for index, weight in enumerate(weights[:-1]):
        if weight == 0:
            raise InputError(f"volume {index} is 0", where="certify_law", mend="only the perturbation's may be 0")
    for index, row in enumerate(rows):
        total = sum(row)
        if total == 0:
            raise InputError(f"dataset {index} has no mass", where="certify_law", mend="one mass has to be positive")
        rows[index] = [mass / total for mass in row]
    return rows, weights


def rational(value: Fraction | int) -> Ball:
    """A fraction as a number of flint's, exactly."""
    from flint import fmpq

    return fmpq(value.numerator, value.denominator)


def ball_of(value: Fraction | int) -> Ball:
    """The smallest ball around a fraction at the working precision."""
    from flint import arb

    return arb(rational(value))


def as_rational(values: Sequence[Fraction]) -> list[Ball]:
    """Fractions as flint numbers."""
    return [rational(value) for value in values]


_ZERO = 0


def _add(terms: Sequence[Ball]) -> Ball:
    return sum(terms, start=_ZERO)


def _negative(value: Ball) -> Ball:
    return None if value is None else -value


def _log(value: Ball) -> Ball:
    """ln of an exact rational as a ball (exactly 0 for 1); None for ln 0."""
    from flint import arb

    return None if value == 0 else arb(value).log()


def _may_be_zero(value: Ball) -> bool:
    from flint import arb

    return bool(value.contains(0)) if isinstance(value, arb) else bool(value == 0)


def accurate(value: Ball, digits: int) -> bool:
    """Whether a ball has so many correct decimal digits, or is exact."""
    from flint import arb

    ball = value if isinstance(value, arb) else arb(value)
    return bool(ball.is_exact()) or ball.rel_accuracy_bits() >= math.ceil(digits * math.log2(10)) + 2


def bounded(certificate: T, where: str, bits: int) -> T:
    """A certificate (a dataclass), or an InputError where one of its numbers is not enclosed at all at so many bits."""
    for entry in fields(certificate):
        values = [getattr(certificate, entry.name)]
        while values:
            value = values.pop()
            if isinstance(value, tuple):
                values.extend(value)
            elif isinstance(value, Enclosure) and math.isnan(value.estimate):
                raise InputError(
                    f"{entry.name} is not enclosed at {bits} bits",
                    where=where,
                    mend="allow more bits, or smaller numbers",
                )
    return certificate


def enclosure(value: Ball, otherwise: float, digits: int) -> Enclosure:
    """A ball as an `Enclosure` with outward-rounded ends; None stands for the infinite ``otherwise``."""
    from flint import arb

    if value is None:
        return Enclosure(otherwise, otherwise, otherwise, 1 if otherwise > 0 else -1, str(otherwise))
    ball = value if isinstance(value, arb) else arb(value)
    if not ball.is_finite():
        return Enclosure(-math.inf, math.nan, math.inf, None, "")
    low, high = float(ball.lower()), float(ball.upper())
    while arb(low) > ball.lower():
        low = math.nextafter(low, -math.inf)
    while arb(high) < ball.upper():
        high = math.nextafter(high, math.inf)
    sign = 0 if value == 0 else 1 if ball > 0 else -1 if ball < 0 else None
    return Enclosure(low, float(ball.mid()), high, sign, ball.str(digits + 2, radius=False))
