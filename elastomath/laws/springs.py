"""Springs in series, the paper's picture of elasticity: what of it is exact, and where it ends (R5, R7, R12, R16).

Each dataset but the perturbation is a spring: stiffness its volume w_i, elongation the change of its divergence
``Delta D(P_i || q) = DeltaH_i``, force ``F_i = w_i DeltaH_i``. The perturbation pulls with its volume l, and the point that
it pulls moves by the fall ``H_t(0) - H_t(l)``. "F ~ |D_i| Delta D_KL" can be read in these ways:

- as increments, with the perturbation's own: ``sum_i w_i dH_i + l dH_t = 0``. Exact at every l (R2).
- as forces since rest: ``sum_i F_i = E``, the elastic energy, exactly; it is not 0 but ``N_0 D(q_0 || q_l)``, which is the
  work of the perturbation ``int l (-dH_t)``. So forces are equal and opposite to first order in l, and no further.
- with the divergence as printed, ``D(q || P_i)``: not even to first order in l, for at rest the increments sum to the miss
  of `pool.reverse_balance`; they are exact for the geometric pool instead of the mixture.
- Hooke's law proper is the perturbation's: near rest ``l = K (H_t(0) - H_t(l))`` with ``K = N_0/(T_0 - 1)`` and
  ``E = K fall^2/2``.

The **elastic limit** is where the energy equals the linear term (R7), taken as the pull, the sum of the forces that are
> 0: E = pull - push, so it is where nothing pushes back any more, and the first gain of pre-training is spent. To first
order pull and push are both the tangent ``l sum_i w_i max(dH_i(0), 0)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import POSITIVE, an, checked, reals, rising
from ..curve import Run
from ..errors import InputError
from ..mixtures.kernels import RESPONSES
from ..mixtures.leafsums import CHUNK, leaf_moves, leaf_sums
from ..mixtures.mixture import PERTURBED, Mixture
from .finite import LEAST_TURN, finite_law
from .response import survey


@dataclass(frozen=True, slots=True)
class Springs:
    """The springs of n - 1 datasets along perturbations l_0 = 0 < ... < l_J of the last one; arrays are ready to draw.

    perturbations  l, shape (J + 1,), in the unit of the volumes
    volumes        w_i, the stiffness of each spring, shape (n - 1,)
    elongations    DeltaH_i = Delta D(P_i || q) since l = 0, shape (n - 1, J + 1), in ``unit``
    reverse        Delta D(q || P_i), likewise; nan where it is infinite, None for readings
    fall           H_t(0) - H_t(l), how far the pulled point has moved, shape (J + 1,); inf without coverage
    energy         E = sum_i w_i DeltaH_i, shape (J + 1,), volume times ``unit``; for mixtures N_0 D(q_0 || q_l)
    energy_se      its standard error from those of the readings and the shared baseline; 0 for mixtures, nan if unknown
    near_rest      l^2 (T_0 - 1)/(2 N_0), the energy to second order, shape (J + 1,); None for readings
    unit           of the elongations: nats per leaf drawn for mixtures
    """

    perturbations: Array
    volumes: Array
    elongations: Array
    reverse: Array | None
    fall: Array
    energy: Array
    energy_se: Array
    near_rest: Array | None
    unit: str

    @property
    def forces(self) -> Array:
        """F_i = w_i DeltaH_i, shape (n - 1, J + 1): they sum to the energy."""
        return np.asarray(self.volumes[:, None] * self.elongations, dtype=np.float64)

    @property
    def reverse_forces(self) -> Array | None:
        """w_i Delta D(q || P_i), the forces with the divergence as printed; None for readings."""
        return None if self.reverse is None else np.asarray(self.volumes[:, None] * self.reverse, dtype=np.float64)

    @property
    def pull(self) -> Array:
        """The linear term: the sum of the forces > 0 (of datasets whose code got longer), shape (J + 1,)."""
        return np.asarray(np.maximum(self.forces, 0.0).sum(axis=0), dtype=np.float64)

    @property
    def push(self) -> Array:
        """The sum of the forces < 0 (of datasets that gained), as a number >= 0, shape (J + 1,): pull - energy."""
        return np.asarray(np.maximum(-self.forces, 0.0).sum(axis=0), dtype=np.float64)

    @property
    def nonlinearity(self) -> Array:
        """energy / pull, in [0, 1] at joint optima: 0 at rest, 1 from the elastic limit on; nan where nothing pulls."""
        pull = self.pull
        return np.divide(self.energy, pull, out=np.full_like(pull, np.nan), where=pull > 0)

    @property
    def work(self) -> Array:
        """``int l (-dH_t)`` by the trapezoid rule on the grid; the energy at joint optima (R16), up to the grid."""
        pull = self.perturbations
        steps = 0.5 * (pull[1:] + pull[:-1]) * np.diff(self.fall)
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def complementary(self) -> Array:
        """``l (H_t(0) - H_t(l)) - E``; for mixtures N_l D(q_l || q_0) >= 0. In the linear regime it equals the energy."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.perturbations * self.fall - self.energy, dtype=np.float64)

    def elastic_limit(self) -> tuple[float, float, float] | None:
        """(low, estimate, high) of the first l > 0 at which nothing pushes back (energy = pull), or None if something always does.

        low and high are the perturbations around it; between them the least force is taken as linear in l.
        """
        least = self.forces.min(axis=0)
        moved = (self.perturbations > 0) & (self.pull > 0)
        reached = np.flatnonzero(moved & (least >= 0))
        if not reached.size:
            return None
        index = int(reached[0])
        low, high = float(self.perturbations[index - 1]), float(self.perturbations[index])
        below, above = float(least[index - 1]), float(least[index])
        if below >= 0:  # already the first perturbation is beyond it
            return low, high, high
        return low, low + (high - low) * -below / (above - below), high


@checked(mixture=PERTURBED)
def springs(mixture: Mixture, perturbations: ArrayLike) -> Springs:
    """The springs of a mixture along perturbations (J + 1,) that rise from 0; exact sums that keep their digits near rest.

    ``DeltaH_i = -sum_x P_i ln(1 + e)``, ``E = N_0 sum_x q_0 (e - ln(1 + e))`` with ``e = q_l/q_0 - 1``. Raises InputError
    for perturbations that do not rise from 0 and for fewer than two datasets.

    >>> s = springs(Mixture.of([[0.5, 0.25, 0.25], [0.5, 0.5, 0], [0.5, 0, 0.5]], [10, 1, 0]), [0, 0.1, 1])
    >>> s.forces.round(4), s.energy.round(4)  # pull and push, and what is left of them
    (array([[ 0.    , -0.0043, -0.0207],
            [ 0.    ,  0.0045,  0.0435]]), array([0.    , 0.0003, 0.0228]))
    """
    steps = _steps(perturbations)
    rows, volumes = mixture.components, mixture.volumes[:-1]
    elongations, fall, energy = _moves(rows, volumes, steps)
    reverse = _reverse(rows, volumes, steps, steps * fall - energy)
    at_rest = leaf_sums(rows[-1:], volumes, base=rows[:-1], wanted=RESPONSES, compiled=True)
    near = np.zeros(steps.size)
    # divided first: squares of quotients of masses may be near the largest double
    near[1:] = steps[1:] ** 2 / (2 * volumes.sum()) * at_rest.squares[0]
    return Springs(steps, volumes, elongations, reverse, fall, energy, np.zeros(steps.size), near, "nats/symbol")


def springs_of_readings(
    perturbations: ArrayLike,
    volumes: ArrayLike,
    rates: ArrayLike,
    rate_se: ArrayLike | None = None,
    unit: str = "nats/symbol",
) -> Springs:
    """The springs of any model class from readings, as `finite.finite_law` takes them: rates (n, J + 1), the perturbation last.

    rate_se: standard errors of the same shape, independent between readings; the baseline is shared by every difference.
    Raises InputError for shapes that do not fit or perturbations that do not rise from 0.

    >>> s = springs_of_readings([0, 1, 2], [10, 1], [[1, 0.99, 1.002], [1, 1.12, 1.3], [1, 0.8, 0.7]])
    >>> s.energy.round(2), [round(end, 3) for end in s.elastic_limit()]
    (array([0.  , 0.02, 0.32]), [1.0, 1.833, 2.0])
    """
    law = finite_law(perturbations, volumes, rates)
    readings, weights = np.asarray(rates, dtype=np.float64), np.asarray(volumes, dtype=np.float64)
    errors = np.full_like(readings, np.nan)
    if rate_se is not None:
        errors = reals(rate_se, "rate_se", "springs_of_readings", shape=readings.shape, finite=False)
    squares = weights**2 @ (errors[:-1] ** 2 + errors[:-1, :1] ** 2)
    squares[0] = 0.0
    change = readings - readings[:, :1]
    return Springs(
        law.perturbations, weights, change[:-1], None, -change[-1], law.residual, np.sqrt(squares), None, unit
    )


@checked(run=an(Run))
def springs_of_run(run: Run) -> Springs:
    """The springs of one run of a Curve, in the units of the curve. Raises InputError for a run without `perturb`.

    Forces are volumes times rates, so volume_unit and the rate's denominator have to be the same symbols.
    """
    if run.components[-1] != "perturb":
        raise InputError(
            f"run {run.name} has no component `perturb`", where="springs", mend="read the perturbation too"
        )
    return springs_of_readings(run.perturbations, run.volumes[:-1], run.rates, run.rate_se, run.rate_unit)


@checked(mixture=PERTURBED, limit=POSITIVE)
def elastic_limit(mixture: Mixture, limit: float = 1e6) -> float | None:
    """The l > 0 at which ``sum_i w_i DeltaH_i`` has grown to the sum of its terms > 0 (energy = pull, R7), to 1e-10 relative.

    Each dataset that gains at first has one root of DeltaH_i(l) (dH_i turns at most once, from - to +: R4); the largest
    is the limit. 0 where nothing gains even at first (A_0 >= 1 for all, or no coverage): there is no linear regime. None
    where some dataset still gains at ``limit`` times N_0, or where nothing moves.

    >>> round(elastic_limit(Mixture.of([[0.5, 0.25, 0.25], [0.5, 0.5, 0], [0.5, 0, 0.5]], [10, 1, 0])), 3)
    2.2
    """
    from scipy.optimize import brentq

    start = mixture.at(0.0)
    at_rest = survey(start, divergences=False)
    slopes, squares = at_rest.response.derivatives, at_rest.chi_squares
    if slopes[-1] == 0:
        return None
    apart = float(start.volumes[:-1] @ squares[:-1]) / start.total
    rounding = 1e-15 * min(1.0, math.sqrt(apart * float(squares[-1])))  # of 1 - O_i, however near the datasets are
    last = 0.0
    for dataset in np.flatnonzero(slopes[:-1] < -rounding / start.total):

        def elongation(log_step: float, dataset: int = int(dataset)) -> float:
            step = math.exp(log_step)  # divided by l, so that the root at l = 0 is none
            return float(_moves(start.components, start.volumes[:-1], np.array([step]))[0][dataset, 0]) / step

        size = math.log(start.total)
        low, high = max(size + math.log(LEAST_TURN), -744.0), min(size + math.log(limit), 700.0)
        if elongation(low) >= 0:  # within rounding of 0
            continue
        if elongation(high) < 0:
            return None
        last = max(last, math.exp(brentq(elongation, low, high, xtol=1e-12)))
    return last


def _steps(perturbations: ArrayLike) -> Array:
    return rising(perturbations, "perturbations", "springs", from_zero=True)


def _moves(components: Array, volumes: Array, steps: Array) -> tuple[Array, Array, Array]:
    """Elongations (n - 1, J), the fall (J,) and the energy (J,): the forces sum to the energy, which leaves near datasets digits."""
    rises, divergences, outside = leaf_moves(components, volumes, steps)
    rises -= volumes / volumes.sum() @ rises[:-1] - divergences
    fall = np.where(steps > 0, np.inf, 0.0) if outside > 0 else -rises[-1]
    return rises[:-1], fall, volumes.sum() * divergences


def _reverse(components: Array, volumes: Array, steps: Array, complementary: Array) -> Array:
    """``D(q_l || P_i) - D(q_0 || P_i) = l/N_l sum (P_t - q_0) ln(q_0/P_i) + D(q_l || q_0)``, (n - 1, J); nan where infinite.

    complementary: N_l D(q_l || q_0), shape (J,).
    """
    total, slopes = volumes.sum(), np.zeros(len(volumes))
    lacking: NDArray[np.bool_] | None = None  # of each dataset: a leaf of q_0, and one of P_t
    shares = volumes / total
    with np.errstate(all="ignore"):
        for start in range(0, components.shape[1], CHUNK):
            masses, perturb = components[:-1, start : start + CHUNK], components[-1, start : start + CHUNK]
            q = shares @ masses
            pull = perturb - q
            logs = np.log(q / masses)
            part = logs @ pull
            if not math.isfinite(part.sum()):
                absent = masses == 0
                here = np.stack([(absent & (mass > 0)).any(axis=1, keepdims=True) for mass in (q, perturb)])
                lacking = here if lacking is None else lacking | here
                logs = np.where(np.isinf(logs), np.log(q) - np.log(masses), logs)  # the quotient may be no double
                part = np.where(absent | (q == 0), 0.0, logs) @ pull
            slopes += part
    ends = total + steps
    changes = slopes[:, None] * (steps / ends) + complementary / ends
    if lacking is None:
        return np.asarray(changes)
    return np.where(lacking[0] | (lacking[1] & (steps > 0)), np.nan, changes)
