"""The contrast of two kinds of text under one model: rates of held-out sets, paired over readings, with their errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elastomath.ledger import Result
from elastomath.units import NATS_PER_BIT

Array = NDArray[np.float64]


def rate(reading: Result, name: str) -> float:
    """``sum of code lengths / sum of tokens`` of a held-out set, in bits per token."""
    return float(np.sum(reading[f"nats_{name}"]) / np.sum(reading[f"tokens_{name}"]) / NATS_PER_BIT)


def contrast(reading: Result, against: str = "perturb", of: str = "align") -> float:
    """Rate on the opposed kind minus rate on the aligned kind, in bits per token: what alignment is meant to raise."""
    return rate(reading, against) - rate(reading, of)


def combination(weighted: Sequence[tuple[float, Result]], name: str) -> tuple[float, float]:
    """``sum_j c_j rate_j`` of one held-out set over several readings, and its standard error over documents, bits per token.

    The documents are the same in every reading, so they are paired: the error is that of the combined code lengths,
    linearised for the ratio (n/(n-1) times the sum of squared residuals).
    """
    tokens = np.asarray(weighted[0][1][f"tokens_{name}"], dtype=np.float64)
    nats = sum(c * np.asarray(reading[f"nats_{name}"], dtype=np.float64) for c, reading in weighted)
    assert isinstance(nats, np.ndarray)
    return float(nats.sum() / tokens.sum() / NATS_PER_BIT), ratio_se(nats, tokens) / NATS_PER_BIT


def contrast_combination(
    weighted: Sequence[tuple[float, Result]], against: str = "perturb", of: str = "align"
) -> tuple[float, float]:
    """``sum_j c_j contrast_j`` and its standard error over documents, which are paired over the readings."""
    plus, minus = combination(weighted, against), combination(weighted, of)
    return plus[0] - minus[0], float(np.hypot(plus[1], minus[1]))


def ratio_se(values: Array, sizes: Array) -> float:
    """Standard error of ``sum(values) / sum(sizes)`` over documents (linearised), in the unit of that ratio."""
    count = len(sizes)
    residual = values - values.sum() / sizes.sum() * sizes
    return float(np.sqrt(count / (count - 1) * (residual @ residual)) / sizes.sum())
