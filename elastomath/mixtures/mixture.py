"""Joint training as a mixture: datasets with volumes give one tree with leaf masses q = sum_i w_i P_i / N."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import Gate, as_floats, instance, reals
from ..errors import InputError
from .divergence import entropy, jensen_shannon
from .kernels import DIVERGENCES, RATES
from .leafsums import leaf_sums
from .masses import as_rows


@dataclass(frozen=True, slots=True)
class Mixture:
    """The joint compressor of n datasets: ``q = sum_i w_i P_i / N``, ``N = sum_i w_i``.

    ``components``: leaf masses, shape (n, M), on a common leaf set, in the order pretrain, align, ..., perturb.
    ``volumes``: w_i, shape (n,), in any common unit; all > 0 but the last, the perturbation, which may be 0.
    What is built is checked, as `Mixture.of` says; entropies are in nats per leaf drawn.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0.5])
    >>> m.masses.round(4)
    array([0.4783, 0.2609, 0.2609])
    """

    components: Array
    volumes: Array

    def __post_init__(self) -> None:
        given = self.components
        rows = as_rows(given, name="dataset", where="mixture", copy=False)
        kept = isinstance(given, np.ndarray) and given.flags.c_contiguous
        kept = kept and all(np.may_share_memory(row, whole) for row, whole in zip(rows, given, strict=True))
        self._set(np.asarray(given) if kept else np.stack(rows), as_volumes(self.volumes, len(rows)))

    def _set(self, components: Array, volumes: Array) -> None:
        object.__setattr__(self, "components", components)
        object.__setattr__(self, "volumes", volumes)

    @classmethod
    def of(cls, components: Sequence[ArrayLike] | Array, volumes: ArrayLike) -> Mixture:
        """A checked mixture. Raises InputError for masses, shapes or volumes that cannot be used.

        An array of float64 of shape (n, M) whose rows sum to 1 to the last bits is kept as it is, not copied.
        """
        return cls(cast(Array, components), cast(Array, volumes))

    @property
    def total(self) -> float:
        """N = sum_i w_i, in the unit of the volumes."""
        return float(self.volumes.sum())

    @property
    def masses(self) -> Array:
        """The leaf masses q of the joint tree, shape (M,)."""
        return np.asarray(self.volumes / self.total @ self.components, dtype=np.float64)

    @property
    def leaves(self) -> int:
        """M, the number of leaves of the common leaf set."""
        return int(self.components.shape[1])

    def at(self, perturbation: float) -> Mixture:
        """The same datasets with the last volume set to ``perturbation`` >= 0 (l in the results)."""
        other: Mixture = object.__new__(Mixture)
        other._set(self.components, as_volumes([*self.volumes[:-1], perturbation], len(self.volumes)))
        return other

    def along(self, perturbations: ArrayLike) -> Array:
        """The volumes with the last one set to each of ``perturbations`` (J,) >= 0, shape (J, n)."""
        steps = reals(perturbations, "perturbations", "mixture", shape=(None,), least=0.0)
        volumes = np.empty((steps.size, self.volumes.size))
        volumes[:] = self.volumes
        volumes[:, -1] = steps
        return volumes

    def entropies(self) -> Array:
        """H(P_i) in nats per leaf drawn, shape (n,)."""
        return np.array([entropy(row) for row in self.components])

    def cross_entropies(self) -> Array:
        """H_i = H(P_i, q), the ideal code length of dataset i under the joint tree, in nats per leaf drawn, shape (n,)."""
        return leaf_sums(self.components, self.volumes, wanted=RATES).cross

    def kl_forward(self) -> Array:
        """D(P_i || q) = H_i - H(P_i) in nats, shape (n,). R2-R5 hold for its changes exactly (R12)."""
        return leaf_sums(self.components, self.volumes, wanted=DIVERGENCES).forward

    def kl_reverse(self) -> Array:
        """D(q || P_i) in nats, shape (n,): the divergence of the Hooke formula; ``inf`` where P_i lacks a leaf of q."""
        return leaf_sums(self.components, self.volumes, wanted=DIVERGENCES).reverse

    def jensen_shannon(self) -> float:
        """``sum_i (w_i / N) D(P_i || q)`` in nats: what the joint code costs above n separate ones, in [0, H(w/N)]."""
        return jensen_shannon(self.components, self.volumes)


def as_mixture(mixture: Mixture, where: str, *, least: int = 1) -> Mixture:
    """A mixture of at least so many datasets; two where something answers to the perturbation, which is the last.

    >>> as_mixture(Mixture.of([[0.5, 0.5]], [1]), "demo", least=2)
    Traceback (most recent call last):
    elastomath.errors.InputError: a mixture of 1 dataset (demo): pass at least 2, the perturbation last
    """
    instance(mixture, Mixture, "mixture", where, "build one with Mixture.of")
    count = len(mixture.volumes)
    if count < least:
        raise InputError(
            f"a mixture of {count} dataset{'s' * (count > 1)}",
            where=where,
            mend=f"pass at least {least}, the perturbation last",
        )
    return mixture


PERTURBED: Gate = lambda mixture, name, where: as_mixture(mixture, where, least=2)  # noqa: E731
"""The gate of a mixture whose last dataset is the perturbation."""


def as_volumes(volumes: ArrayLike, count: int) -> Array:
    """Checked volumes w_i, shape (count,), in any common unit: finite and > 0; only the last of several, the perturbation, may be 0.

    >>> as_volumes([10, 1, 0], 3)
    array([10.,  1.,  0.])
    """
    weights = as_floats(volumes, "volumes", "volumes")
    if weights.shape != (count,):
        raise InputError(
            f"{weights.size} volume{'s' * (weights.size != 1)} for {count} datasets",
            where="volumes",
            mend="give one number for each dataset, in their order",
        )
    values = weights.tolist()
    for index, value in enumerate(values):
        last = index == count - 1 and count > 1
        if not 0 < value < np.inf and not (value == 0 and last):
            raise InputError(
                f"volume {index} is {value:g}",
                where="volumes",
                mend="volumes have to be finite and > 0 (the last one, the perturbation, may be 0)",
            )
    if values and max(values) > sys.float_info.max / count:
        raise InputError(
            f"volumes up to {max(values):g} have no finite sum", where="volumes", mend="count in a larger unit"
        )
    return weights
