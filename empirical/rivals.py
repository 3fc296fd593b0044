"""Rival laws of a perturbation, compared by what each predicts about a reading that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .effective_volumes import estimate
from .readings import Readings

Array = NDArray[np.float64]


class Rival(Protocol):
    """A law with free parameters, fitted anew for each left-out reading.

    parameters: how many are fitted for each run.
    """

    @property
    def name(self) -> str:
        """What the law is called."""
        ...

    @property
    def parameters(self) -> int:
        """How many numbers are fitted for each run."""
        ...

    def predict(self, readings: Readings) -> Array | None:
        """The align rate at every l > 0, shape (J,), in rate_unit: entry j from every reading but that one.

        None where the law cannot be fitted to what is left.
        """
        ...


@dataclass(frozen=True, slots=True)
class JointCompression:
    """R16 as a prediction: ``gamma_a(l) = gamma_a(0) + (W gamma_t - K_p D gamma_p)/K_a`` with K from the other readings.

    It uses the pretrain and perturb readings at the same perturbation. Where the others put K_a at 0, gamma_a is free
    in the law, and the prediction is no change. At least three perturbations.
    """

    name: str = "joint compression"
    parameters: int = 2

    def predict(self, readings: Readings) -> Array | None:
        """See `Rival`."""
        balance = readings.balance()
        if balance.equations < 3:
            return None
        changes = []
        for index in range(balance.equations):
            best = estimate(balance.without(index))
            pretrain, _, work = (float(term) for term in balance.terms[:, index])
            volume = float(best.volumes[1])
            free = best.kappa == np.inf or volume == 0
            changes.append(0.0 if free else work / volume - best.kappa * pretrain)
        return np.asarray(readings.rates[1, 0] + np.array(changes))


@dataclass(frozen=True, slots=True)
class StraightLine:
    """No law at all: ``gamma_a(l) = c_0 + c_1 l`` by weighted least squares on the other align readings."""

    name: str = "straight line"
    parameters: int = 2

    def predict(self, readings: Readings) -> Array | None:
        """See `Rival`."""
        steps, rates, errors = readings.perturbations, readings.rates[1], readings.rate_se[1]
        if steps.size < 4:
            return None
        weights = 1.0 / errors if (errors > 0).all() else np.ones(steps.size)
        predicted = []
        for left_out in range(1, steps.size):
            keep = np.arange(steps.size) != left_out
            line = np.polyfit(steps[keep], rates[keep], 1, w=weights[keep])
            predicted.append(float(np.polyval(line, steps[left_out])))
        return np.array(predicted)


RIVALS: tuple[Rival, ...] = (JointCompression(), StraightLine())
"""The laws that `fit` compares."""


def heldout_residuals(rival: Rival, readings: Readings) -> Array | None:
    """Prediction less reading for every align reading left out in turn, shape (J,), in rate_unit; None as in `Rival`."""
    predicted = rival.predict(readings)
    return None if predicted is None else np.asarray(predicted - readings.rates[1, 1:])
