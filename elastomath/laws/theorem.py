"""R18: Theorem 4.2 made true. If D_p is a union of parts like D_a and D_t, signs and Theta hold at joint optima of any class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import FINITE, NONNEGATIVE, POSITIVE, Gate, checked, numbers, reals, rising, same_shape
from ..errors import InputError
from ..mixtures.masses import as_masses

_MASSES: Gate = lambda values, name, where: as_masses(values, where=f"{where}: {name}")  # noqa: E731
LARGEST = 2.0**1020
"""Volumes up to here have a finite sum."""
SERIES_BELOW = 0.25
"""Below this |v| the logarithmic differences of the mixture's constants are summed as series."""


@dataclass(frozen=True, slots=True)
class ThetaBounds:
    """``low <= -DeltaH_a/(k DeltaH_p) <= high`` between two joint optima at which anything moved (no unit).

    Where the path may pass the threshold DeltaH_p may be 0, and the ratio anything: -inf and inf. From a start beyond it both
    ends are negative, for DeltaH_p > 0 is sure there.

    threshold  the perturbation (in units of |D_a|) below which the signs DeltaH_p < 0 < DeltaH_a are sure; inf where always
    """

    low: float
    high: float
    threshold: float


@checked(pretrain=POSITIVE, perturbation=POSITIVE, start=NONNEGATIVE, parts=numbers(shape=(2,)), further=FINITE)
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
    ``high`` is inf at the threshold pi_t/(pi_a + R); beyond it see `ThetaBounds`. Both ends are attained by classes of two models.
    Raises InputError for numbers outside these ranges.

    >>> theta_bounds(10, 0.5)
    ThetaBounds(low=1.0, high=2.2, threshold=1.0)
    """
    share_a, share_t = map(float, parts)
    pull = share_a + further
    good = (
        0 <= start < perturbation < math.inf
        and 0 < pretrain < math.inf
        and share_t > 0
        and 1 + pretrain * pull > 0
        and (further != 0 or math.isclose(share_a + share_t, 1.0, rel_tol=1e-9))
    )
    if not good:
        raise InputError(
            f"k = {pretrain}, l from {start} to {perturbation}, parts {parts}",
            where="theta_bounds",
            mend="k > 0, 0 <= start < perturbation, pi_t > 0, pi_a + R > -1/k, and parts that add up to 1",
        )
    return _between(pretrain, pull, share_t, (start, perturbation), share_t / pull if pull > 0 else math.inf)


def _between(pretrain: float, pull: float, share: float, ends: tuple[float, float], threshold: float) -> ThetaBounds:
    """(1 + c/(k pi_t))/(1 - c (pi_a + R)/pi_t) at both ends of c; in quotients, for k pi_t may leave the doubles.

    It rises to inf at c = pi_t/(pi_a + R), and from -inf beyond: ends on both sides of that bound nothing.
    """
    left = [1.0 - moved * pull / share for moved in ends]
    if left[0] > 0 > left[1]:
        return ThetaBounds(-math.inf, math.inf, threshold)
    low, high = (
        (1.0 + moved / pretrain / share) / gap if gap else math.inf for moved, gap in zip(ends, left, strict=True)
    )
    return ThetaBounds(low if left[0] else -math.inf, high, threshold)


@checked(pretrain=POSITIVE, perturbation=POSITIVE, parts=numbers(shape=(2,)))
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
    base, (pull, share) = pretrain + 1.0, map(float, parts)
    low, high = (residual_constant(base, perturbation, ratio) for ratio in (base / pretrain / share, 0.0))
    return _between(pretrain, pull, share, (low, high), _volume_of_constant(base, general.threshold))


@checked(base_volume=POSITIVE, perturbation=NONNEGATIVE, ratio=NONNEGATIVE)
def residual_constant(base_volume: float, perturbation: float, ratio: float) -> float:
    """``c(m) = N_0 u (v - ln(1+v))/((u+v) ln(1+v) - u v)``, u = L/N_L, v = u (m - 1): residual over H_t(0) - H_t(L) for mixtures.

    It is the ratio where P_t/q_0 is m on a rare event and nearly constant elsewhere. m = 0 gives the best constant above
    of R5 (`law.mixture_constant`); if P_t <= m q_0 everywhere, c(m) is the best constant below. It falls in m; c(1) is
    N_0 L/(2 N_0 + L), where P_t is near q_0. base_volume: N_0 > 0, perturbation: L >= 0, ratio: m >= 0; unit of the volumes.
    To 1e-14 relative over the whole range of doubles: with r = 1 + v = (N_0 + m L)/N_L it is computed as
    ``N_0 (v - ln r)/[(r ln r - v) + (N_0/L) v ln r]``, whose every term is >= 0.

    >>> round(residual_constant(1.0, 1.0, 0.0), 12), round(residual_constant(1.0, 1.0, 1.0), 12)
    (0.38629436112, 0.333333333333)
    """
    if perturbation == 0:
        return 0.0
    if base_volume + perturbation > LARGEST and min(base_volume, perturbation) > 1.0:  # N_L has to be finite
        return 4.0 * residual_constant(base_volume / 4.0, perturbation / 4.0, ratio)
    total = base_volume + perturbation
    # for large m u may be below the doubles where v is not
    lift = 2.0**500 if ratio > 2.0**500 and perturbation < 2.0**500 else 1.0
    v = perturbation * lift / total * ((ratio - 1.0) / lift)
    rest = base_volume / perturbation
    if abs(v) < SERIES_BELOW:  # both sides over v^2; (r ln r - v)/v^2 = gap(-v/r)/r
        r = 1.0 + v
        gap, mirror, slope = log_gap(v), log_gap(-v / r) / r, math.log1p(v) / v if v else 1.0
        if rest < 1.0:
            return base_volume * (gap / (mirror + rest * slope))
        return perturbation * (gap / (mirror / rest + slope))
    if v > 0:  # both sides over v
        log = math.log1p(v)
        if rest > 1.0:
            return perturbation * ((1.0 - log / v) / ((log / v + log - 1.0) / rest + log))
        return base_volume * ((1.0 - log / v) / (log / v + log - 1.0 + rest * log))
    # 1 + v without the cancellation, 0 <= m < 1; u >= 1/4
    if rest + ratio > 1e-300:
        log = math.log(rest + ratio) - math.log1p(rest)
    else:
        log = log_quotient(base_volume + ratio * total, total)
    return base_volume * ((v - log) / (math.exp(log) * log - v + rest * v * log))


def log_quotient(over: float, under: float) -> float:
    """``ln(a/b)`` for a, b > 0, also where a/b is beyond the doubles or has lost digits below them.

    >>> round(log_quotient(1e-200, 1e200), 2)
    -921.03
    """
    quotient = over / under
    if 1e-300 < quotient < math.inf:
        return math.log(quotient)
    return math.log(over) - math.log(under)


def _volume_of_constant(base: float, constant: float) -> float:
    """The L at which ``N_0 [(N/L) ln(N/N_0) - 1]`` is c, `residual_constant` at m = 0; inf where it is above the doubles.

    With y = c/N_0 and s = N_0/N_L it says -ln s = (1 + y)(1 - s), so ``s = -W(-(1+y) e^-(1+y))/(1+y)``; below y = 1, where
    W is near its branch point, Newton's steps in w = L/N_0, which rise to the root: (1 + 1/w) ln(1+w) - 1 is concave in w
    and has the derivative gap(w).
    """
    from scipy.special import lambertw

    y = constant / base
    if y >= 1:
        exponent = -(1.0 + y)
        share = float(lambertw((1.0 + y) * -math.exp(exponent)).real) / exponent if y < 740 else 0.0
        return base * (1.0 / share - 1.0) if share > 0 else math.inf
    w, last = 2.0 * y, 0.0
    while w > last * (1.0 + 1e-16) and w < math.inf:
        last = w
        w += (y - residual_constant(1.0, w, 0.0)) / log_gap(w)
    return base * last


def log_gap(v: float) -> float:
    """``(v - ln(1+v))/v^2`` for v > -1, to 3e-15 relative; 1/2 at 0.

    >>> log_gap(0.0), round(log_gap(1.0), 6)
    (0.5, 0.306853)
    """
    if abs(v) >= SERIES_BELOW:
        return (v - math.log1p(v)) / v / v
    return math.fsum((-v) ** n / (n + 2) for n in range(28))


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

    @checked(slack=NONNEGATIVE)
    def holds(self, slack: float = 0.0) -> bool:
        """Whether both signs and both bounds, ``low fall <= rise <= high fall``, hold within ``slack`` in the unit of the rise."""
        signs = (self.rise > -slack) & (self.fall > -slack)
        bounds = (self.rise >= self.low * self.fall - slack) & (self.rise <= self.high * self.fall + slack)
        return bool(np.all(signs & bounds))


@checked(
    perturbations=numbers(shape=(None,), least=0.0),
    pretrain=POSITIVE,
    rates=numbers(shape=(3, None)),
    parts=numbers(shape=(2,)),
)
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
    steps = rising(perturbations, "perturbations", "theorem_readings", least_size=2, least=0.0)
    readings = reals(rates, "rates", "theorem_readings", shape=(3, steps.size))
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


@checked(pretrain=_MASSES, align=_MASSES, perturb=_MASSES, tolerance=NONNEGATIVE)
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
    same_shape("union_parts", pretrain=p, align=a, perturb=t)
    across = t - a
    size = float(across @ across)
    if size == 0:
        return None
    share = float((p - a) @ across) / size
    if np.abs(p - a - share * across).max() > tolerance:
        return None
    return 1.0 - share, share
