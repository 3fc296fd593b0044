"""The entropy of counts with proved digits: equal counts are grouped, so a million leaves cost what their distinct counts do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks import COUNT, as_array, checked, integer
from ..errors import InputError
from .balls import FIRST_PRECISION, LAST_PRECISION, Enclosure, accurate, enclosure, working_precision


@checked(digits=COUNT, last_precision=integer(least=32))
def certify_entropy(counts: ArrayLike, digits: int = 15, last_precision: int = LAST_PRECISION) -> Enclosure:
    """``H(P) = ln N - (1/N) sum_x c(x) ln c(x)``, P = c/N, N = sum c, in nats, in ball arithmetic.

    counts: shape (M,), integers >= 0, exact; leaves of count 0 add nothing. A ball (Arb) for each distinct count; the
    multiplicities and N are exact integers. Precision rises until ``digits`` decimal digits are proved, or the limit is
    reached and the enclosure is what was proved. Raises InputError for counts that are not integers, negative, or all 0.

    >>> certify_entropy([2, 1, 1]).digits  # 3/2 ln 2
    '1.0397207708399180'
    >>> certify_entropy([7, 0]).sign
    0
    """
    from flint import arb, fmpz

    values, copies = _grouped(counts)
    total = sum(value * copy for value, copy in zip(values, copies, strict=True))
    if len(values) == 1 and copies[0] == 1:
        return enclosure(0, 0.0, digits)
    bits = FIRST_PRECISION
    while True:
        with working_precision(bits):
            inner: Any = arb(0)
            for value, copy in zip(values, copies, strict=True):
                if value > 1:
                    inner += arb(fmpz(value)).log() * fmpz(value * copy)
            entropy = arb(fmpz(total)).log() - inner / fmpz(total)
            if accurate(entropy, digits) or 2 * bits > last_precision:
                return enclosure(entropy, float("inf"), digits)
        bits *= 2


def _grouped(counts: ArrayLike) -> tuple[list[int], list[int]]:
    """Distinct positive counts and how often each occurs, as Python integers."""
    given = as_array(counts, "counts", "certify_entropy")
    if given.dtype.kind == "f" and isinstance(counts, list | tuple):  # numpy rounds integers on both sides of 2^63
        whole = np.array(counts, dtype=object)
        given = whole if all(isinstance(value, int) for value in whole.ravel().tolist()) else given
    if given.ndim != 1 or given.size == 0:
        raise InputError(f"counts have shape {given.shape}", where="certify_entropy", mend="pass one count a leaf")
    if given.dtype == object and all(isinstance(value, int) for value in given.tolist()):
        pass
    elif given.dtype.kind not in "iu":
        raise InputError(f"counts have type {given.dtype}", where="certify_entropy", mend="pass integers")
    if given.min() < 0:
        raise InputError(f"count {int(np.argmin(given))} is negative", where="certify_entropy", mend="counts are >= 0")
    values, copies = np.unique(given, return_counts=True)
    kept = values > 0
    if not kept.any():
        raise InputError("every count is zero", where="certify_entropy", mend="at least one has to be positive")
    return [int(value) for value in values[kept]], [int(copy) for copy in copies[kept]]
