"""Many mixtures at once: the rates and responses of joint compressors along their perturbations, from compiled sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from elastomath.arrays import Array
from elastomath.checks import positive, rising
from elastomath.mixtures import kernels
from elastomath.mixtures.kernels import ALL_BUT_DIVERGENCES, RATES
from elastomath.mixtures.leafsums import leaf_sums
from elastomath.progress import track

from ..sources.families import family_rows


@dataclass(frozen=True, slots=True)
class MixtureConfiguration:
    """One life cycle of the exact compressor: ``q_l = (k P_p + P_a + l P_t)/(k + 1 + l)`` at every l of ``perturbations``.

    The datasets are those of `family`: kind, alpha, leaves, seed, cover, overlap. Volumes are in units of |D_a|.
    Raises InputError for k that is not > 0 and finite, and for perturbations that do not rise from 0.

    >>> MixtureConfiguration(10.0, (0.0, 1.0), seed=3).source
    ('union', 1.5, 65536, 3, 0.0, 0.0)
    """

    k: float
    perturbations: tuple[float, ...] = (0.0, 0.5, 1.0)
    kind: str = "union"
    alpha: float = 1.5
    leaves: int = 1 << 16
    seed: int = 0
    cover: float = 0.0
    overlap: float = 0.0

    def __post_init__(self) -> None:
        positive(self.k, "k", "simulate mixture")
        rising(self.perturbations, "perturbations", "simulate mixture", least_size=2, from_zero=True)

    @property
    def source(self) -> tuple[str, float, int, int, float, float]:
        """What its masses depend on: configurations of one source share them."""
        return self.kind, self.alpha, self.leaves, self.seed, self.cover, self.overlap


@dataclass(frozen=True, slots=True)
class MixturePath:
    """What one configuration gives, exact to rounding, in nats per leaf drawn; J readings, rows p, a, t.

    entropies    H_i(l), shape (3, J); inf without coverage
    overlaps     C, A, T at every l, shape (3, J); None where they were not asked for (R1)
    derivatives  dH_i/dl, shape (3, J), per unit of |D_a|; None likewise
    """

    configuration: MixtureConfiguration
    entropies: Array
    overlaps: Array | None = field(default=None)
    derivatives: Array | None = field(default=None)

    @property
    def residual(self) -> Array:
        """``k DeltaH_p + DeltaH_a`` at every l, shape (J,): R5 puts it between 0 and `bound`/2."""
        change = self.entropies[:2] - self.entropies[:2, :1]
        return np.asarray(self.configuration.k * change[0] + change[1])

    @property
    def bound(self) -> Array:
        """``L (H_t(0) - H_t(L))`` at every L, shape (J,), R5."""
        return np.asarray(np.array(self.configuration.perturbations) * (self.entropies[2, :1] - self.entropies[2]))

    @property
    def theta(self) -> Array:
        """``-DeltaH_a/(k DeltaH_p)`` at every l > 0, shape (J-1,): the finite form of Thm 4.2's constant (R8, R18)."""
        change = self.entropies[:2, 1:] - self.entropies[:2, :1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(-change[1] / (self.configuration.k * change[0]))


def mixture_path(rows: Array, configuration: MixtureConfiguration, *, response: bool = True) -> MixturePath:
    """The path of one configuration on masses that are there: ``rows`` (3, M) of `family`, C order, not changed.

    Cost: with ``response`` one reading of the masses for each l (a logarithm and a division a leaf), without it one
    reading for the whole path. The bits do not depend on threads or processes.

    >>> rows = family_rows("union2", 1.5, 100, 0, 0.0, 0.0)
    >>> path = mixture_path(rows, MixtureConfiguration(4.0, (0.0, 0.5), "union2", leaves=100))
    >>> bool(1 < path.theta[0] < (1 + 2 * 0.5 / 4) / (1 - 0.5)), path.overlaps.shape  # R18
    (True, (3, 2))
    """
    steps = configuration.perturbations
    volumes = np.array([(configuration.k, 1.0, step) for step in steps])
    wanted = ALL_BUT_DIVERGENCES if response else RATES
    sums = leaf_sums(rows, volumes, wanted=wanted, threads=1)
    if not response:
        return MixturePath(configuration, sums.cross.T)
    # R1 as in `elastomath.survey`: sum (P_i - q)(P_t - q)/q keeps the digits that 1 - O_i loses
    derivatives = (sums.outside[:, -1:] - sums.gram) / volumes.sum(axis=1, keepdims=True)
    derivatives[:, -1] = -sums.squares[:, -1] / volumes.sum(axis=1)
    return MixturePath(configuration, sums.cross.T, sums.overlaps.T, derivatives.T)


def mixture_paths(
    configurations: Sequence[MixtureConfiguration],
    *,
    response: bool = True,
    executor: Executor | None = None,
    batch: int = 8,
) -> Iterator[MixturePath]:
    """The paths of many configurations, in their order, each as soon as those before it are there.

    Masses are drawn once for each run of neighbours of one source (kind, alpha, leaves, seed, cover, overlap): sort by source
    where many k or perturbations share one. ``batch`` such runs are a task. ``executor``: any concurrent.futures.Executor;
    without one, a thread for each core (drawing and summing hold no lock). The results do not depend on it.

    >>> few = [MixtureConfiguration(k, leaves=64) for k in (2.0, 40.0)]
    >>> [path.entropies.shape for path in mixture_paths(few)]
    [(3, 3), (3, 3)]
    """
    tasks = _tasks(configurations, batch)
    own = executor is None
    pool = ThreadPoolExecutor(kernels.cores()) if executor is None else executor
    try:
        futures = [pool.submit(_paths, task, response) for task in tasks]
        try:
            for future in track(futures, len(futures), "simulating mixtures"):
                yield from future.result()
        finally:
            for future in futures:
                future.cancel()
    finally:
        if own:
            pool.shutdown(cancel_futures=True)


def _tasks(configurations: Sequence[MixtureConfiguration], batch: int) -> list[list[MixtureConfiguration]]:
    tasks: list[list[MixtureConfiguration]] = []
    sources, before = 0, None
    for configuration in configurations:
        if configuration.source != before:
            before = configuration.source
            if sources % batch == 0:
                tasks.append([])
            sources += 1
        tasks[-1].append(configuration)
    return tasks


def _paths(task: list[MixtureConfiguration], response: bool) -> list[MixturePath]:
    paths, source, rows = [], None, np.zeros((3, 0))
    for configuration in task:
        if configuration.source != source:
            source = configuration.source
            rows = family_rows(*source)
        paths.append(mixture_path(rows, configuration, response=response))
    return paths
