"""Pareto tails beside powerlaw: the scan over all thresholds."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.case import Case
from elastomath.tails.threshold import scan_threshold


def cases(scale: float = 1.0) -> Iterator[Case]:
    """Every case, its size multiplied by ``scale``."""
    yield _scan(
        np.random.default_rng(0), int(10_000 * scale)
    )  # the peers are quadratic: --scale 10 takes them half an hour


def _scan(rng: np.random.Generator, values: int) -> Case:
    half = values // 2
    x = np.concatenate([rng.uniform(0.1, 1.0, half), 1.0 + rng.pareto(1.5, values - half)])
    peers: dict[str, Callable[[], Any]] = {"all points, all thresholds": lambda: every_point(x)}
    if importlib.util.find_spec("powerlaw"):
        import powerlaw

        def fit() -> tuple[float, float]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = powerlaw.Fit(x, verbose=0)
            return float(found.xmin), float(found.alpha) - 1.0

        peers["powerlaw"] = fit

    def ours() -> tuple[float, float]:
        best = scan_threshold(x, largest_index=2.0).best  # powerlaw's default range
        return best.threshold, best.alpha

    return Case(f"Pareto fit with threshold scan, {values:.0e} values", ours, peers, lambda answer: np.asarray(answer))


def every_point(x: np.ndarray) -> tuple[float, float]:
    """The scan as it is usually written: n thresholds, n distances each, in numpy."""
    logs = np.log(np.unique(x))
    best = (np.inf, 0.0, 0.0)
    for m in range(logs.size - 1):
        t = logs[m:] - logs[m]
        alpha = t.size / t.sum()
        if alpha < 2.0:
            gap = np.abs(1.0 - np.exp(-alpha * t) - np.arange(t.size) / t.size).max()
            best = min(best, (gap, float(np.exp(logs[m])), alpha))
    return best[1], best[2]
