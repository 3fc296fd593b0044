"""The logit law of preference learning: DPO, SimPO and KTO move the same log-odds by other forces (R21, R22).

With closure a loss -ln sigma(M) of a margin M(z) gives ``dz/dn = c M'(z) sigma(-M(z))``, c the constant of R21 at the same
learning rate. DPO has M = beta (z - z_ref), SimPO M = beta (gamma_-/L_- - gamma_+/L_+) - gamma; KTO's loss 1 - sigma has a
force of its own. What they made is undone by plain fine-tuning on the opposed response at ``dz/dm = -c sigma(z)``, so that
one more example buys ``dm*/dn = (1 + e^-z) (dz/dn)/c`` opposed ones, whatever the algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import FINITE, FINITES, NONNEGATIVE, NONNEGATIVES, POSITIVE, POSITIVES, checked, one_of, optional, real
from ..errors import InputError
from .logit import fall_volume, rise

Force = Callable[[float], float]
"""dz/dn over c at a contrast z."""


def _a_force(value: Any, name: str, where: str) -> Force:
    """The gate of a force."""
    if not callable(value):
        raise InputError(f"{name} is no function", where=where, mend="give dz/dn over c as a function of z")
    return value  # type: ignore[no-any-return]


# --- DPO -------------------------------------------------------------------------------------------------------
@checked(start=FINITES, volume=NONNEGATIVES, constant=POSITIVES, beta=POSITIVE, reference=optional(FINITES))
def dpo_contrast(
    start: ArrayLike, volume: ArrayLike, constant: ArrayLike, beta: float, reference: ArrayLike | None = None
) -> Array:
    """``z_n`` after n pairs of DPO: ``A(beta (z - z_ref))`` grows by c beta^2 n (R21).

    From the reference itself z_n = z_ref + (X - omega(X))/beta, X = 1 + c beta^2 n. start: z_0; reference: z_ref, z_0 by
    default. Broadcasts. It grows like ln(1 + c beta^2 n)/beta, SFT like ln(c n).

    >>> dpo_contrast(0.0, [10, 1000, 1e5], 0.3, 0.1).round(3)
    array([ 0.149, 10.737, 56.88 ])
    """
    z = np.asarray(start)
    origin = z if reference is None else np.asarray(reference)
    with np.errstate(over="ignore"):
        way = rise(beta * (z - origin), volume, np.asarray(constant) * beta * beta)
    return np.asarray(z + way / beta, dtype=np.float64)


@checked(start=FINITES, volume=NONNEGATIVES, constant=POSITIVES, beta=POSITIVE)
def dpo_undo_volume(start: ArrayLike, volume: ArrayLike, constant: ArrayLike, beta: float) -> Array:
    """``m* = [B(z_n) - B(z_0)]/c``: plain fine-tuning on opposed responses that undoes n pairs of DPO from z_0 (R22).

    >>> dpo_undo_volume(0.0, [10, 1000, 1e5], 0.3, 0.1).round(2)
    array([  0.96,  39.12, 192.93])
    """
    top = dpo_contrast(start, volume, constant, beta)
    return fall_volume(top, top - np.asarray(start, dtype=np.float64), constant)


@checked(volume=NONNEGATIVES, constant=POSITIVES, beta=POSITIVE, reference=one_of("base", "aligned"))
def dpo_reversal(
    volume: ArrayLike, constant: ArrayLike, beta: float, *, reference: Literal["base", "aligned"]
) -> Array:
    """Pairs of DPO with the roles exchanged that bring n pairs of DPO back to the base (R22).

    reference "base": ``m* = [B(y) - B(0)]/(c beta^2)``, y = beta (z_n - z_ref): R22 at the constant c beta^2 and even odds.
    reference "aligned", the model that DPO made: exactly **m* = n**, whatever c and beta: the way back is the way there.

    >>> dpo_reversal([10, 1e5], 0.3, 0.1, reference="base").round(2), dpo_reversal(10, 0.3, 0.1, reference="aligned")
    (array([   9.93, 2228.22]), array(10.))
    """
    if reference == "aligned":
        return np.array(volume, dtype=np.float64)
    with np.errstate(over="ignore"):
        speed = np.asarray(constant) * beta * beta
    away = rise(0.0, volume, speed)
    return fall_volume(away, away, speed)


@checked(start=FINITE, constant=POSITIVE, beta=POSITIVE)
def dpo_crossing(start: float, constant: float, beta: float) -> float:
    """The n beyond which n pairs of DPO stand higher than n examples of SFT, and so last longer (R22); both start at z_0.

    Infinite for beta >= 1 (above even odds of beta z SFT stays ahead). Raises InputError where DPO is ahead from the start.

    >>> round(dpo_crossing(0.0, 0.3, 0.1), 1)
    349.5
    """
    from scipy.optimize import brentq

    if beta / 2 >= _logistic(-start):
        raise InputError(
            f"z_0 = {start:g}, beta = {beta:g}", where="dpo_crossing", mend="DPO is ahead from the first pair"
        )
    if beta >= 1:
        return math.inf

    def ahead(log_volume: float) -> float:
        n = math.exp(log_volume)
        return float(dpo_contrast(start, n, constant, beta) - start - rise(start, n, constant))

    ends = math.log(1e-6) - math.log(constant), min(math.log(1e250) - math.log(constant), 700.0)
    if ahead(ends[1]) < 0:
        return math.inf
    return math.exp(float(brentq(ahead, *ends, xtol=1e-10)))


# --- SimPO -----------------------------------------------------------------------------------------------------


@checked(beta=POSITIVE, margin=FINITE, wanted=POSITIVE, opposed=POSITIVE)
def simpo_force(beta: float, margin: float, wanted: float, opposed: float) -> Force:
    """``M'(z) sigma(-M(z))``, M = beta [ln(1 + e^z)/L_- - ln(1 + e^-z)/L_+] - gamma: SimPO with responses of two lengths.

    wanted, opposed: L_+ and L_-, tokens. Where z is large only L_- counts, since the code of the wanted response is already
    short: M' -> beta/L_-.

    >>> round(simpo_force(2.0, 1.0, 5, 5)(0.0), 6)
    0.292423
    """

    def force(z: float) -> float:
        above, below = _softplus(z), _softplus(-z)
        at = beta * (above / opposed - below / wanted) - margin
        share = math.exp(-below)
        return beta * (share / opposed + (1 - share) / wanted) * _logistic(-at)

    return force


# --- KTO -------------------------------------------------------------------------------------------------------
@checked(
    reference=FINITE,
    beta=POSITIVE,
    kind=one_of("desirable", "undesirable", "both"),
    point=lambda value, name, where: (
        value if isinstance(value, str) and value == "kl" else NONNEGATIVE(value, name, where)
    ),
)
def kto_force(
    reference: float,
    beta: float,
    *,
    kind: Literal["desirable", "undesirable", "both"] = "both",
    point: float | Literal["kl"] = "kl",
) -> Force:
    """dz/dn over c of KTO: beta s (1-s)(1-p) for a desirable y_+, beta s' (1-s') p for an undesirable y_-, half of each.

    s = sigma(beta (r_+ - k)), s' = sigma(beta (k - r_-)); r_+ = ln p/p_ref and r_- = ln (1-p)/(1-p_ref) are the log-ratios of
    one response, k is the reference point: a number >= 0, or "kl", KL(model || reference) of the pair, which a batch estimates.
    r_+ never exceeds -ln p_ref, so desirable data alone is SFT at beta/4 of its speed (for small beta); r_- has no end, and on
    undesirable data the force dies like e^{-beta z}, as DPO's does.

    >>> round(kto_force(0.0, 0.1, kind="desirable", point=0.0)(0.0), 6)
    0.0125
    """
    fixed = None if isinstance(point, str) else point

    def force(z: float) -> float:
        p, q = _logistic(z), _logistic(-z)
        up, down = _softplus(-reference) - _softplus(-z), _softplus(reference) - _softplus(z)  # r_+ and r_-
        level = max(0.0, p * up + q * down) if fixed is None else fixed
        wanted = beta * _bump(beta * (up - level)) * q
        opposed = beta * _bump(beta * (level - down)) * p
        return wanted if kind == "desirable" else opposed if kind == "undesirable" else (wanted + opposed) / 2

    return force


# --- any force ---------------------------------------------------------------------------------------------------
@checked(force=_a_force, start=FINITE, volume=NONNEGATIVES, constant=POSITIVE)
def forced_contrast(force: Force, start: float, volume: ArrayLike, constant: float) -> Array:
    """``z_n`` with ``dz/dn = c f(z)``, f > 0: the root of ``int_{z_0}^{z_n} dz/f = c n``, by quadrature.

    Raises InputError for a force that is not > 0 at the start.

    >>> forced_contrast(lambda z: 1 / (1 + math.exp(z)), 0.0, [8, 64], 0.3).round(3)
    array([0.912, 2.853])
    """
    from scipy.integrate import solve_ivp

    if not real(force(start), "force at the start", "forced_contrast") > 0:
        raise InputError(f"force {force(start):g}", where="forced_contrast", mend="the force has to be > 0")
    counts = np.asarray(volume)
    if not np.all(counts < 1e300 / constant):
        raise InputError("c n is beyond 1e300", where="forced_contrast", mend="give a smaller volume or constant")
    order = np.argsort(counts, axis=None)
    clock = np.log1p(constant * counts.ravel()[order])  # dz/dt = f(z) e^t, c n = e^t - 1
    whole = float(clock.max(initial=0.0))
    if not whole > 0:
        return np.full(counts.shape, start)
    places = np.unique(np.concatenate([[0.0], clock / whole]))
    solution = solve_ivp(
        lambda part, at: [force(float(at[0])) * math.exp(part * whole) * whole],
        (0.0, 1.0),
        [start],
        t_eval=places,
        rtol=1e-10,
        atol=1e-12,
        method="LSODA",
    )
    out = np.empty(counts.size)
    out[order] = solution.y[0][np.searchsorted(places, clock / whole)]
    return out.reshape(counts.shape)


def _logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))


def _softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def _bump(z: float) -> float:
    """sigma (1 - sigma)."""
    return _logistic(z) * _logistic(-z)
