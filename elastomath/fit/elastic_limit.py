"""The elastic limit of a run: the perturbation up to which one dataset still pushes back (R7), with an interval."""

from __future__ import annotations

import numpy as np

from ..checks import SHARE, an, checked
from ..interval import Interval
from ..laws.springs import springs_of_readings
from .readings import ROUNDING, Readings


@checked(readings=an(Readings), level=SHARE)
def elastic_limit(readings: Readings, level: float = 0.95) -> Interval:
    """The first l at which no spring pushes back: every ``V_i D gamma_i`` is >= 0, and energy equals the linear term.

    estimate: linear between readings (`Springs.elastic_limit`); None where something pushes back at every reading.
    high: the first perturbation at which every force is above 0 by more than its error allows at this level; None where
    there is none. low: the last one before it at which some force is below 0 by as much; None where there is none (at a
    joint optimum of mixtures a force changes its sign once, from - to +, so that it pushes back up to there: R4).
    Each is a test at one reading, two-sided, with the shared baseline in the error. In volume_unit.

    >>> from elastomath import Mixture, path_entropies, Curve
    >>> m = Mixture.of([[0.35, 0.35, 0.3], [0.2, 0.5, 0.3], [0.5, 0.2, 0.3]], [4, 1, 0])
    >>> steps = np.linspace(0, 3, 13)
    >>> rates = dict(zip(["pretrain", "align", "perturb"], path_entropies(m, steps)))
    >>> volumes = {"pretrain": 4, "align": 1, "perturb": 3}
    >>> limit = elastic_limit(Readings.of(Curve.from_paths("demo", volumes, steps, rates, "nats/symbol", "symbols").run("demo")))
    >>> limit.low <= limit.estimate <= limit.high
    True
    """
    from scipy.stats import norm

    steps, volumes = readings.perturbations * readings.unit, readings.volumes[:2]
    forces = springs_of_readings(steps, volumes, readings.rates).forces[:, 1:]
    variance = readings.rate_se[:2] ** 2 + (ROUNDING * readings.rates[:2]) ** 2
    errors = volumes[:, None] * np.sqrt(variance[:, 1:] + variance[:, :1])
    critical = float(norm.isf((1.0 - level) / 2.0))
    pushes = np.asarray((forces < -critical * errors).any(axis=0))
    past = np.asarray((forces > critical * errors).all(axis=0))
    end = int(np.argmax(past)) if past.any() else past.size
    pushing = np.flatnonzero(pushes[:end])
    low = float(steps[1 + int(pushing[-1])]) if pushing.size else None
    high = float(steps[1 + end]) if past.any() else None
    limit = springs_of_readings(steps, volumes, readings.rates).elastic_limit()
    estimate = None if limit is None else limit[1]
    if estimate is not None:  # a reading by chance: the estimate does not leave what the tests leave
        estimate = max(estimate, low or 0.0)
        estimate = estimate if high is None else min(estimate, high)
    return Interval(estimate, low, high, level)
