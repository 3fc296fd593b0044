"""Generators for property tests (hypothesis): leaf masses, volumes, mixtures and curves, the awkward ones included.

They are public: whoever builds on elastomath can test with them. hypothesis has to be installed.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from .curve import Curve
from .law import path_entropies
from .masses import normalise
from .mixture import Mixture
from .units import NATS_PER_BIT, VOLUME_UNITS

Array = NDArray[np.float64]


def _weights(leaves: int, least: int) -> st.SearchStrategy[list[int]]:
    """Integer weights: equal, dyadic, heavy-tailed over 40 binary orders, and sparse where ``least`` is 0."""
    kinds = [
        st.integers(least, 12),
        st.integers(0, 40).map(lambda order: 1 << order),
        st.integers(1, 1 << 40),
    ]
    if least == 0:
        kinds.append(st.sampled_from([0, 0, 1]))
    weights = st.one_of([st.lists(kind, min_size=leaves, max_size=leaves) for kind in kinds])
    return weights.filter(any)


@st.composite
def masses(draw: st.DrawFn, leaves: int | None = None, *, positive: bool = False, most: int = 12) -> Array:
    """Leaf masses of shape (M,): ``leaves`` of them, or 1 to ``most``; all > 0 where ``positive``."""
    size = draw(st.integers(1, most)) if leaves is None else leaves
    return normalise(np.array(draw(_weights(size, 1 if positive else 0)), dtype=np.float64))


@st.composite
def volumes(draw: st.DrawFn, count: int = 3, *, ratio: float = 1e4) -> Array:
    """Volumes of shape (count,), > 0, at most a factor ``ratio`` from 1 in either direction."""
    orders = st.floats(-np.log10(ratio), np.log10(ratio))
    return np.array([10.0 ** draw(orders) for _ in range(count)])


@st.composite
def mixtures(draw: st.DrawFn, count: int = 3, *, leaves: int | None = None, coverage: bool = False) -> Mixture:
    """Mixtures of ``count`` datasets, the perturbation last; under ``coverage`` the others hold all of its leaves."""
    size = draw(st.integers(2, 10)) if leaves is None else leaves
    rows = [draw(masses(size)) for _ in range(count)]
    if coverage:
        rows[0] = draw(masses(size, positive=True))
    return Mixture.of(rows, draw(volumes(count)))


@st.composite
def curves(draw: st.DrawFn, *, runs: int = 2, steps: int = 4) -> Curve:
    """Valid curves of 1 to ``runs`` runs: the exact rates of mixtures at 0 and up to ``steps`` further perturbations."""
    parts = []
    for index in range(draw(st.integers(1, runs))):
        mixture = draw(mixtures(coverage=True))
        gaps = draw(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=steps))
        grid = np.concatenate([[0.0], np.cumsum(gaps)])
        unit = draw(st.sampled_from(["bits/symbol", "nats/symbol"]))
        nats = np.maximum(path_entropies(mixture, grid), 0.0)
        readings = nats / NATS_PER_BIT if unit == "bits/symbol" else nats
        sizes = dict(zip(("pretrain", "align", "perturb"), [*mixture.volumes[:-1], grid[-1]], strict=True))
        errors = {name: np.full(grid.size, draw(st.floats(0, 1e-2))) for name in sizes} if draw(st.booleans()) else None
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
