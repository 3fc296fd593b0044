"""R18: Theorem 4.2 made true. If D_p is a union of parts like D_a and D_t, signs and Theta hold at joint optima of any class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

Array = NDArray[np.float64]
SERIES_BELOW = 0.02
"""Below this |v| the two logarithmic differences of the mixture's constants are summed as series."""


@dataclass(frozen=True, slots=True)
class ThetaBounds:
    """``low <= -DeltaH_a/(k DeltaH_p) <= high`` between two joint optima at which anything moved (no unit).

    threshold  the perturbation (in units of |D_a|) below which the signs DeltaH_p < 0 < DeltaH_a are sure; inf where always
    """

    low: float
    high: float
    threshold: float


def theta_bounds(
    pretrain: float,
    perturbation: float,
    start: float = 0.0,
    parts: tuple[float, float] = (0.5, 0.5),
    further: float = 0.0,
) -> ThetaBounds:
    """R18: ``c(l_0) <= -DeltaH_a/(k DeltaH_p) <= c(l_1)``, ``c(l) = (1 + l/(k pi_t))/(1 - l (pi_a + R)/pi_t)``, any model class.

    pretrain: k = |D_p|/|D_a| > 0. start, perturbation: l_0 < l_1, in units of |D_a|. parts: (pi_a, pi_t), with
    P_p = pi_a P_a + pi_t P_t (halves: 1 at l_0 = 0 and (1 + 2 L/k)/(1 - L)); pi_a > -1/k, pi_t > 0.
    further: R = sum_j pi_j DeltaH_j/DeltaH_a of further parts (then DeltaH_a > 0 has to be given); 0 without any.
    ``high`` is inf at or beyond the threshold pi_t/(pi_a + R). Both ends are attained by classes of two models.
    Raises InputError for numbers outside these ranges.

    >>> theta_bounds(10, 0.5)
    ThetaBounds(low=1.0, high=2.2, threshold=1.0)
    """
    share_a, share_t = parts
    weight = pretrain * (share_a + further)
    good = (
        0 <= start < perturbation < math.inf
        and 0 < pretrain < math.inf
        and share_t > 0
        and 1 + weight > 0
        and (further != 0 or math.isclose(share_a + share_t, 1.0, rel_tol=1e-9))
    )
    if not good:
        raise InputError(
            f"k = {pretrain}, l from {start} to {perturbation}, parts {parts}",
            where="theta_bounds",
            mend="k > 0, 0 <= start < perturbation, pi_t > 0, pi_a + R > -1/k, and parts that add up to 1",
        )
    beta = pretrain * share_t
    threshold = beta / weight if weight > 0 else math.inf
    return ThetaBounds(_constant(beta, weight, start), _constant(beta, weight, perturbation), threshold)


def _constant(beta: float, weight: float, moved: float) -> float:
    """(beta + c)/(beta - k pi_a c), inf from the threshold on."""
    return (beta + moved) / (beta - weight * moved) if weight * moved < beta else math.inf


def mixture_theta_bounds(pretrain: float, perturbation: float, parts: tuple[float, float] = (0.5, 0.5)) -> ThetaBounds:
    """The best constants of R18 for mixtures: ``(beta + c)/(beta - k pi_a c)`` at ``c_-`` and ``c_+`` (`residual_constant`), from l_0 = 0.

    c_+ is R5's best constant (P_t misses a rare event of q_0), c_- its mirror image (P_t = N_0/beta q_0 there, P_a misses
    it), beta = k pi_t. Both ends are attained in the limit. For halves both tend to 1/(1 - L/2) as k grows, and the
    signs hold as long as c_+ <= pi_t/pi_a, which is beyond L = 2 pi_t/pi_a. Arguments and errors as in `theta_bounds`.

    >>> b = mixture_theta_bounds(10, 0.5)
    >>> round(b.low, 6), round(b.high, 6), round(b.threshold, 4)
    (1.383796, 1.392137, 2.125)
    >>> b = mixture_theta_bounds(1e6, 0.5)
    >>> round(b.low, 5), round(b.high, 5)
    (1.33333, 1.33333)
    """
    general = theta_bounds(pretrain, perturbation, parts=parts)
    base, beta, weight = pretrain + 1.0, pretrain * parts[1], pretrain * parts[0]
    low, high = (residual_constant(base, perturbation, ratio) for ratio in (base / beta, 0.0))
    threshold = math.inf
    if math.isfinite(general.threshold):
        from scipy.optimize import brentq

        def beyond(log_step: float) -> float:
            return residual_constant(base, math.exp(log_step), 0.0) - general.threshold

        bottom = top = math.log(2 * general.threshold)
        while beyond(top) < 0:
            top += 1.0
        threshold = math.exp(brentq(beyond, bottom - 1e-9, top, xtol=1e-13))
    return ThetaBounds(_constant(beta, weight, low), _constant(beta, weight, high), threshold)


def residual_constant(base_volume: float, perturbation: float, ratio: float) -> float:
    """``c(m) = N_0 u (v - ln(1+v))/((u+v) ln(1+v) - u v)``, u = L/N_L, v = u (m - 1): residual over H_t(0) - H_t(L) for mixtures.

    It is the ratio where P_t/q_0 is m on a rare event and nearly constant elsewhere. m = 0 gives the best constant above
    of R5 (`mixture_constant`); if P_t <= m q_0 everywhere, c(m) is the best constant below. It falls in m; c(1) is
    N_0 L/(2 N_0 + L), where P_t is near q_0. base_volume: N_0 > 0, perturbation: L >= 0, ratio: m >= 0; unit of the volumes.

    >>> round(residual_constant(1.0, 1.0, 0.0), 12), round(residual_constant(1.0, 1.0, 1.0), 12)
    (0.38629436112, 0.333333333333)
    """
    if not (0 < base_volume < math.inf and 0 <= perturbation < math.inf and 0 <= ratio < math.inf):
        raise InputError(
            f"N_0 = {base_volume}, L = {perturbation}, ratio {ratio}",
            where="residual_constant",
            mend="N_0 > 0, L >= 0, ratio >= 0, all finite",
        )
    u = perturbation / (base_volume + perturbation)
    v = u * (ratio - 1.0)
    gap = _log_gap(v)  # (v - ln(1+v))/v^2
    # (u+v) ln(1+v) - u v = v^2 (ln(1+v)/v - u gap)
    return base_volume * u * gap / ((math.log1p(v) / v if v else 1.0) - u * gap)


def _log_gap(v: float) -> float:
    if abs(v) >= SERIES_BELOW:
        return (v - math.log1p(v)) / (v * v)
    return math.fsum((-v) ** n / (n + 2) for n in range(10))


@dataclass(frozen=True, slots=True)
class TheoremReadings:
    """R18 on readings from l_0 on; arrays of shape (J,), one entry for each later reading.

    rise, fall  DeltaH_a and -k DeltaH_p
    constant    their ratio; nan where nothing moved
    low, high   what R18 allows it to be
    """

    rise: Array
    fall: Array
    constant: Array
    low: Array
    high: Array

    def holds(self, slack: float = 0.0) -> bool:
        """Whether both signs and both bounds, ``low fall <= rise <= high fall``, hold within ``slack`` in the unit of the rise."""
        signs = (self.rise > -slack) & (self.fall > -slack)
        bounds = (self.rise >= self.low * self.fall - slack) & (self.rise <= self.high * self.fall + slack)
        return bool(np.all(signs & bounds))


def theorem_readings(
    perturbations: ArrayLike, pretrain: float, rates: ArrayLike, parts: tuple[float, float] = (0.5, 0.5)
) -> TheoremReadings:
    """R18 on readings at joint optima of any class: ``DeltaH_p < 0 < DeltaH_a`` and ``c(l_0) <= -DeltaH_a/(k DeltaH_p) <= c(l)``.

    perturbations: (J+1,), increasing, all below the threshold. pretrain: k. rates: (3, J+1), H_p, H_a, H_t in any one unit.
    parts: (pi_a, pi_t) with P_p = pi_a P_a + pi_t P_t. Raises InputError for shapes that do not fit or l beyond the threshold.

    >>> from elastomath import Mixture, path_entropies
    >>> m = Mixture.of([[0.5, 0.5], [0.8, 0.2], [0.2, 0.8]], [10, 1, 0])
    >>> seen = theorem_readings([0, 0.25, 0.5], 10, path_entropies(m, [0, 0.25, 0.5]))
    >>> seen.holds(), seen.constant.round(4), seen.high.round(4)
    (True, array([1.1692, 1.388 ]), array([1.4, 2.2]))
    """
    steps, readings = (np.asarray(a, dtype=np.float64) for a in (perturbations, rates))
    if steps.ndim != 1 or steps.size < 2 or readings.shape != (3, steps.size):
        raise InputError(
            f"rates have shape {readings.shape}, perturbations {steps.shape}",
            where="theorem_readings",
            mend="pass H_p, H_a and H_t at two or more perturbations",
        )
    bounds = [theta_bounds(pretrain, float(step), float(steps[0]), parts) for step in steps[1:]]
    if steps[-1] >= bounds[-1].threshold:
        raise InputError(
            f"l = {steps[-1]:g} is beyond the threshold {bounds[-1].threshold:g}",
            where="theorem_readings",
            mend="R18 says nothing there: leave these readings out",
        )
    change = readings[:, 1:] - readings[:, :1]
    rise, fall = change[1], -pretrain * change[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        constant = np.where((rise != 0) | (fall != 0), rise / fall, np.nan)
    return TheoremReadings(rise, fall, constant, np.array([b.low for b in bounds]), np.array([b.high for b in bounds]))


def union_parts(
    pretrain: ArrayLike, align: ArrayLike, perturb: ArrayLike, tolerance: float = 1e-9
) -> tuple[float, float] | None:
    """(pi_a, pi_t) with ``P_p = pi_a P_a + pi_t P_t``, pi_a + pi_t = 1, or None where P_p is not on the line of P_a and P_t.

    On the line the signs of R18 hold in every class below the threshold, if pi_t > 0 and pi_a > -1/k (that is, if q_L lies
    strictly between q_0 and P_p); off it, some class of two models violates both at every L.
    Leaf masses of shape (M,); tolerance on the masses.

    >>> union_parts([0.5, 0.5], [0.75, 0.25], [0.25, 0.75])
    (0.5, 0.5)
    >>> union_parts([0.5, 0.25, 0.25], [1, 0, 0], [0, 1, 0]) is None
    True
    """
    p, a, t = (np.asarray(row, dtype=np.float64) for row in (pretrain, align, perturb))
    across = t - a
    size = float(across @ across)
    if size == 0:
        return None
    share = float((p - a) @ across) / size
    if np.abs(p - a - share * across).max() > tolerance:
        return None
    return 1.0 - share, share
