"""R21-R25, the logit law: what gradient descent on a logarithmic loss does to the log-odds of a behaviour, in one constant.

A behaviour opposes two responses to a prompt. ``z = gamma_- - gamma_+`` is the log-odds of the wanted one (its *contrast*,
nats), ``p = sigma(z) = 1/(1 + e^-z)`` its share. On data with a share pi of wanted responses, and with a constant c per
example, ``dz/dn = c (pi - sigma(z))``: pi = 1 aligns, pi = 0 perturbs, and D_p is what the base is stationary on.

Everything rests on one function, the rise of z. To perturb is to align as seen from the other side: z falls as -z rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import FINITES, checked, positive, real, reals, same_shape
from ..errors import InputError
from .finetuning import gradient_test

NEWTON_STEPS = 60
"""At most so many steps for contrasts on mixed data; a handful is the rule."""
ROUNDING = 4 * np.finfo(np.float64).eps
"""Newton's method has converged when a step is so small beside the unknown."""


def rise(start: ArrayLike, volume: ArrayLike, constant: ArrayLike) -> Array:
    """``D = z_n - z_0``, the root of ``D + e^{z_0} (e^D - 1) = c n``: what n aligning examples add to the contrast (R21).

    start: z_0, nats. volume: n >= 0, examples. constant: c > 0, nats per example. Broadcasts. The same D is what n opposed
    examples take from a contrast of -z_0. In closed form D = s + e^{z_0} - omega(z_0 + e^{z_0} + s), s = c n, with Wright's
    omega; a few Newton steps give it to full relative precision where that difference cancels.
    Raises InputError for a negative volume, a constant that is not > 0, or numbers that are not finite.

    >>> rise(0.0, [0, 1, 100, 1e300], 0.3).round(6)
    array([0.00000000e+00, 1.44518000e-01, 3.32068500e+00, 6.89571555e+02])
    """
    from scipy.special import log_expit, wrightomega

    z, s = _states(start), _exposure(volume, constant)
    z, s = np.broadcast_arrays(z, s)
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        up, down = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
        half = np.exp(-np.maximum(z, 0.0) / 2)
        force = (
            s * np.where(z > 700, half, down) * np.where(z > 700, half, 1.0)
        )  # c n (1 - sigma), what a constant force gives
        weight = np.exp(np.minimum(z, 700.0))
        closed = s + weight - wrightomega(z + weight + s)
        # D <= force, and e^{z_0} (e^D - 1) <= s, which is the better bound for s > e^{z_0}; up to rounding
        bound = np.where(np.log(s) > z, np.logaddexp(0.0, np.log(s) - z) * (1 + 1e-12), np.inf)
        upper = np.minimum(force, bound)
        rise = np.clip(np.where(np.isfinite(closed), closed, upper), 0.0, upper)
        for _ in range(8):
            # the equation times 1 - sigma: (1 - sigma) D + sigma (e^D - 1) = force
            grown = np.where(rise < 1, up * np.expm1(rise), np.exp(log_expit(z) + rise) - up)
            slope = 1.0 + np.where(rise < 1, up * np.expm1(rise), grown)
            rise = np.clip(rise - (down * rise + grown - force) / slope, 0.0, upper)
    return np.asarray(rise, dtype=np.float64)


def aligned_contrast(start: ArrayLike, volume: ArrayLike, constant: ArrayLike) -> Array:
    """``z_n``, the root of ``A(z_n) = A(z_0) + c n``, A(z) = z + e^z (R21): it grows like ln(c n).

    start: z_0, nats; volume: n; constant: c per example. Broadcasts.

    >>> aligned_contrast(0.0, [8, 64, 512], 0.3).round(3)
    array([0.912, 2.853, 5.008])
    """
    return np.asarray(_states(start) + rise(start, volume, constant), dtype=np.float64)


def perturbed_contrast(start: ArrayLike, volume: ArrayLike, constant: ArrayLike) -> Array:
    """``z``, the root of ``B(z) = B(z_n) - c m``, B(z) = z - e^-z (R21): it falls with a constant force c while p is near 1.

    start: z_n, nats; volume: m opposed examples; constant: c per example. Broadcasts.

    >>> perturbed_contrast(5.0, [0, 10, 20], 0.3).round(3)
    array([ 5.000e+00,  2.114e+00, -3.000e-03])
    """
    return np.asarray(_states(start) - rise(-_states(start), volume, constant), dtype=np.float64)


def replayed_contrast(start: ArrayLike, volume: ArrayLike, constant: ArrayLike, share: ArrayLike) -> Array:
    """``z`` after ``dz/dn = c (pi - sigma(z))``: data with a share pi of wanted responses, as D_p is, or a replay (R21).

    ``z/pi - ln|pi - (1-pi) e^z|/(pi (1-pi))`` grows by c n. As a distance y from logit pi, with r = pi above it and 1 - pi
    below, ``r y + ln(1 - e^-y)`` falls by pi (1-pi) c n: near logit pi the distance dies like e^{-pi (1-pi) c n}.
    share: 0 <= pi <= 1; 1 is `aligned_contrast`, 0 `perturbed_contrast`. For pi = 1/2 sinh(z/2) = sinh(z_0/2) e^{-c n/4}.
    Raises InputError for a share outside [0, 1], besides those of `rise`.

    >>> replayed_contrast(5.0, [0, 10, 100, 1e9], 0.3, 0.25).round(3)
    array([ 5.   ,  2.821, -1.082, -1.099])
    """
    z, s, pi = np.broadcast_arrays(
        _states(start), _exposure(volume, constant), reals(share, "shares", "replayed_contrast", least=0, most=1)
    )
    from scipy.special import logit

    out = np.where(pi == 1, z + rise(z, s, 1.0), z - rise(-z, s, 1.0))
    mixed = (pi > 0) & (pi < 1)
    if np.any(mixed):
        rest = np.asarray(logit(pi[mixed]))
        away = z[mixed] - rest
        slow = np.where(away > 0, pi[mixed], 1 - pi[mixed])
        up = np.where(away > 0, -z[mixed], z[mixed])
        least = np.abs(away) - rise(up, s[mixed], 1.0)  # without the share that holds it back it would come so near
        left = _relaxed(np.abs(away), slow, pi[mixed] * (1 - pi[mixed]) * s[mixed], least)
        out[mixed] = np.where(s[mixed] == 0, z[mixed], rest + np.copysign(left, away))  # no data, no rounding
    return np.asarray(out, dtype=np.float64)


def _relaxed(distance: Array, slow: Array, exposure: Array, least: Array) -> Array:
    """y with ``F(y) = F(y_0) - exposure``, F(y) = r y + ln(1 - e^-y), by Newton's method in t = ln(e^y - 1)."""
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        first = distance + _log_gap(distance)
        goal = slow * distance + _log_gap(distance) - exposure
        # F < t, and r y > 0: the root lies between these
        low, high = (
            np.where(least > 1, least + _log_gap(least), goal),
            np.fmin(first, np.where(goal < 0, goal - _log_gap(-goal), np.inf)),
        )
        t = np.where(least > 1, low, high)
        for _ in range(NEWTON_STEPS):
            y = np.logaddexp(0.0, t)
            miss = slow * y + np.where(t > 0, _log_gap(y), t - y) - goal
            low, high = np.where(miss < 0, t, low), np.where(miss > 0, t, high)
            new = t - miss / (slow + (1 - slow) * np.exp(-y))
            new = np.where(new < low, (low + high) / 2, np.minimum(new, high))
            done = ~np.isfinite(t) | (np.abs(new - t) <= ROUNDING * np.abs(t))
            t = np.where(np.isfinite(t), new, t)
            if np.all(done):
                break
        return np.asarray(np.where(distance == 0, 0.0, np.logaddexp(0.0, t)))


def _log_gap(y: Array) -> Array:
    """ln(1 - e^-y) for y >= 0, with its digits at both ends."""
    return np.where(y > 0.7, np.log1p(-np.exp(-y)), np.log(-np.expm1(-y)))


# --- R22: durability ---------------------------------------------------------------------------------------------
def undo_volume(start: ArrayLike, volume: ArrayLike, constant: ArrayLike) -> Array:
    """``m* = [B(z_n) - B(z_0)]/c = [D + e^{-z_0} (1 - e^-D)]/c``, the opposed examples that undo n aligning ones (R22).

    D the `rise`; all terms are >= 0, so nothing cancels. Grows like ln(c n)/c. Broadcasts.

    >>> undo_volume(0.0, [1, 8, 64, 512], 0.3).round(3)
    array([ 0.93 ,  5.033, 12.652, 20.004])
    """
    climbed = rise(start, volume, constant)
    return np.asarray(fall_volume(_states(start) + climbed, climbed, constant), dtype=np.float64)


def fall_volume(contrast: ArrayLike, fall: ArrayLike, constant: ArrayLike) -> Array:
    """``m = [D + e^{-z} (e^D - 1)]/c``, the opposed examples that take D nats from a contrast z (R21, R22).

    fall: D >= 0. ``fall_volume(-z, D, c)`` are the aligning examples that add D to z. Infinite where it exceeds a double.

    >>> fall_volume(5.0, [0.0, 5.0], 0.3).round(3)
    array([ 0.   , 19.978])
    """
    z, down = np.broadcast_arrays(_states(contrast), reals(fall, "falls", "fall_volume", least=0))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray((down + _grown(-z, down)) / _constants(constant), dtype=np.float64)


def _grown(z: Array, way: Array) -> Array:
    """``e^z (e^D - 1)``, finite wherever its value is, though e^z alone is not."""
    half = np.exp(np.minimum(z / 2, 709.0))
    return np.where(way < 1, half * np.expm1(way) * half, np.exp(z + way) * -np.expm1(-way))


def undo_slope(start: ArrayLike, volume: ArrayLike, constant: ArrayLike) -> Array:
    """``dm*/dn = e^{-z_n} = (1 - p)/p``: what one more aligned example buys, in opposed ones (R22; joint compression: fixed).

    It needs no kernel that stays the same: whatever c is as a function of z, it drops out, as long as both phases share it.

    >>> undo_slope(0.0, [0, 8, 64], 0.3).round(3)
    array([1.   , 0.402, 0.058])
    """
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp(-aligned_contrast(start, volume, constant)), dtype=np.float64)


def undo_exponent(start: ArrayLike, volume: ArrayLike, constant: ArrayLike) -> Array:
    """``d ln m*/d ln n = [p_0 (1-e^-D) + (1-p_0) D e^-D]/[p_0 D + (1-p_0)(1-e^-D)]``, D the `rise` (R22).

    That is n e^{-z_n}/m*, in (0, 1): 1 for few examples, about 1/(ln(c n) - B(z_0)) for many.

    >>> undo_exponent(0.0, [1e-9, 8, 64, 1e6], 0.3).round(3)
    array([1.   , 0.639, 0.292, 0.073])
    """
    from scipy.special import expit, exprel

    z, way = np.broadcast_arrays(_states(start), rise(start, volume, constant))
    with np.errstate(under="ignore"):
        up, down, gone = expit(z), expit(-z), exprel(-way)  # (1 - e^-D)/D, 1 at D = 0
        return np.asarray((up * gone + down * np.exp(-way)) / (up + down * gone), dtype=np.float64)


@checked(low=FINITES, high=FINITES)
def return_ratio(low: ArrayLike, high: ArrayLike) -> Array:
    """``[D + e^{-z_1} - e^{-z_2}]/[D + e^{z_2} - e^{z_1}]``: opposed examples from p_2 down to p_1, per aligning one up (R22).

    low, high: probabilities p_1 < p_2 in (0, 1); D = z_2 - z_1. Free of c, of the model and of n; below 1 exactly where
    z_1 + z_2 > 0, and the pair (1 - p_2, 1 - p_1) has the reciprocal. It is a mean of e^-z over the way, for any kernel c(z)
    that both phases share, so always between (1-p_2)/p_2 and (1-p_1)/p_1.
    Raises InputError unless 0 < p_1 < p_2 < 1.

    >>> return_ratio([0.6, 0.1], [0.9, 0.4]).round(4)
    array([0.2526, 3.9585])
    """
    from scipy.special import logit

    first, second = np.broadcast_arrays(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64))
    if not np.all((first > 0) & (first < second) & (second < 1)):
        raise InputError("not 0 < low < high < 1", where="return_ratio", mend="give two probabilities, the lower first")
    # the difference of two odds as one fraction, (p_2 - p_1)/(p_1 p_2), cancels only in p_2 - p_1
    apart, way = second - first, logit(second) - logit(first)
    with np.errstate(over="ignore", under="ignore"):
        way = np.where(apart < 0.1, np.log1p(apart / first / (1 - second)), way)
        back, up = apart / first / second, apart / (1 - first) / (1 - second)
        return np.asarray((way + back) / (way + up), dtype=np.float64)


# --- R23: the first fall, by what is measured --------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class FirstFalls:
    """What the first opposed example takes at the contrast z, in each measure, per example (R23); p = sigma(z).

    contrast      c p, nats: grows with alignment, saturates at c
    opposed       c p^2, nats: the fall of gamma_-, grows likewise
    code_length   c p (1-p), nats: the rise of gamma_+, grows only while p < 1/2
    probability   c p^2 (1-p): grows only while p < 2/3
    kl_forward    c p (p - p_0), nats: the fall of KL(base || model); grows while p > p_0/2
    kl_reverse    c p^2 (1-p) (z - z_0), nats: the fall of KL(model || base); grows up to a p beyond 2/3, then falls
    """

    contrast: Array
    opposed: Array
    code_length: Array
    probability: Array
    kl_forward: Array
    kl_reverse: Array


def first_falls(contrast: ArrayLike, base: ArrayLike, constant: ArrayLike) -> FirstFalls:
    """The first fall per opposed example at a contrast z, for a base at z_0, in six measures (R23). Broadcasts.

    >>> falls = first_falls([0.0, 1.0, 5.0], 0.0, 0.3)
    >>> falls.contrast.round(3), falls.code_length.round(3), falls.probability.round(3)
    (array([0.15 , 0.219, 0.298]), array([0.075, 0.059, 0.002]), array([0.038, 0.043, 0.002]))
    """
    from scipy.special import expit

    z, z0, c = np.broadcast_arrays(_states(contrast), _states(base), _constants(constant))
    p, q = expit(z), expit(-z)
    return FirstFalls(
        contrast=c * p,
        opposed=c * p * p,
        code_length=c * p * q,
        probability=c * p * p * q,
        kl_forward=c * p * _share_gained(z, z0),
        kl_reverse=c * p * p * q * (z - z0),
    )


def _share_gained(contrast: Array, base: Array) -> Array:
    """sigma(z) - sigma(z_0) = sigma(z) (1 - sigma(z_0)) (1 - e^{z_0 - z}), without cancellation."""
    from scipy.special import expit

    with np.errstate(over="ignore", invalid="ignore"):
        up = expit(contrast) * expit(-base) * -np.expm1(-np.abs(contrast - base))
        down = expit(base) * expit(-contrast) * np.expm1(-np.abs(contrast - base))
    return np.asarray(np.where(contrast >= base, up, down), dtype=np.float64)


# --- R24: what volumes count for ---------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class MatchedVolumes:
    """The joint mixture with the state and the speed of a logit law: K_p, K_a in opposed examples, kappa = K_p/K_a (R24)."""

    pretrain: Array
    align: Array
    kappa: Array


def matched_volumes(base: ArrayLike, gained: ArrayLike, constant: ArrayLike) -> MatchedVolumes:
    """``c K_p = (1 + e^{z_0})(1 + e^-z)``, ``c K_a = e^{z_0} (e^D - 1) + (1 - e^-D)``, ``kappa = (1 + e^{-z_0})/(e^D - 1)`` (R24).

    base: z_0, on whose D_p the base is stationary, pi = sigma(z_0). gained: D = z - z_0. With p = sigma(z) these are
    K_p = 1/((1-pi) c p), K_a = (p - pi)/((1-pi) c p (1-p)), kappa = (1-p)/(p-pi). After n aligning examples
    ``K_a = n - (D - 1 + e^-D)/c`` <= n. Below the base K_a and kappa are negative; at the base kappa is infinite.

    >>> volumes = matched_volumes(0.0, rise(0.0, [1, 64, 1e6], 0.3), 0.3)
    >>> volumes.pretrain.round(3), volumes.align.round(3), volumes.kappa.round(3)
    (array([12.436,  7.051,  6.667]), array([9.67000000e-01, 5.76300000e+01, 9.99961295e+05]), array([12.863,  0.122,  0.   ]))
    """
    z0, way, c = np.broadcast_arrays(_states(base), _states(gained), _constants(constant))
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        pretrain = (1 + np.exp(z0)) * (1 + np.exp(-(z0 + way))) / c
        align = (_grown(z0, way) - np.expm1(-way)) / c
        near = (1 + np.exp(-z0)) / np.expm1(way)
        kappa = np.where(way < 1, near, (np.exp(-way) + np.exp(-(z0 + way))) / -np.expm1(-way))
    return MatchedVolumes(np.asarray(pretrain), np.asarray(align), np.asarray(kappa))


def kappa_exponent(start: ArrayLike, volume: ArrayLike, constant: ArrayLike) -> Array:
    """``d ln kappa/d ln n = -[p + (1-p) D/(1-e^-D)]`` <= -1, D the `rise`, p = sigma(z_n) (R24).

    -1 for few and for many examples and steeper between: down to -1.17 at p_0 = 1/2, and -D/(1-e^-D) as p_0 -> 0, which is
    forgetting's exponent with c n in place of eta n (R19). In |D_p| the exponent is 0.

    >>> kappa_exponent(0.0, [1e-9, 10, 1e9], 0.3).round(3)
    array([-1.   , -1.161, -1.   ])
    """
    from scipy.special import expit, exprel

    way = rise(start, volume, constant)
    z = _states(start) + way
    with np.errstate(under="ignore"):
        return np.asarray(-expit(z) - expit(-z) / exprel(-way), dtype=np.float64)


# --- R25: the constant from gradients ----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class GradientConstants:
    """What two backward passes at the base say, nats per example (R25).

    aligning    c_+ = -eta (grad z . grad loss_+)/(B (1-p));  perturbing  c_- = eta (grad z . grad loss_-)/(B p)
    kernel      eta |grad z|^2/B, which both are where the closure holds exactly
    cosine      of grad loss_+ and grad loss_-: -1 where the behaviour is one direction; nan where one of them is 0
    """

    aligning: float
    perturbing: float
    kernel: float
    cosine: float


def gradient_constants(
    wanted: ArrayLike, opposed: ArrayLike, probability: float, rate: float, batch: float = 1.0
) -> GradientConstants:
    """c_+ and c_- from the gradients of gamma_+ and gamma_- (R25): ``grad z = grad gamma_- - grad gamma_+``.

    wanted, opposed: the gradients of the two code lengths, shape (d,), nats. probability: p, the mean of sigma(z) over the
    prompts, in (0, 1). rate: eta per step of `batch` examples, on the loss as it is normalised (divide by it first).
    Raises InputError for a probability outside (0, 1), a rate or batch that is not > 0, or gradients of unequal shape.

    >>> gradient_constants([-0.4, 0.0], [0.6, 0.0], 0.6, 0.3)
    GradientConstants(aligning=0.3, perturbing=0.3, kernel=0.3, cosine=-1.0)
    """
    first, second = (reals(side, "gradients", "gradient_constants") for side in (wanted, opposed))
    same_shape("gradient_constants", wanted=first, opposed=second)
    share = real(probability, "probability", "gradient_constants", above=0, below=1)
    step = positive(rate, "rate", "gradient_constants") / positive(batch, "batch", "gradient_constants")
    direction = (second - first).ravel()
    return GradientConstants(
        aligning=-step * float(direction @ first.ravel()) / (1 - share),
        perturbing=step * float(direction @ second.ravel()) / share,
        kernel=step * float(direction @ direction),
        cosine=gradient_test(first, second).cosine,
    )


# --- arguments ---------------------------------------------------------------------------------------------------
def _states(value: ArrayLike) -> Array:
    return reals(value, "contrasts", "logit law")


def _constants(value: ArrayLike) -> Array:
    return reals(value, "constants", "logit law", above=0)


def _exposure(volume: ArrayLike, constant: ArrayLike) -> Array:
    volumes, constants = reals(volume, "volumes", "logit law", least=0), _constants(constant)
    with np.errstate(over="ignore"):
        return reals(np.asarray(volumes * constants), "c n", "logit law")
