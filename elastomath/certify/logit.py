"""R21-R24 with proved digits: the logit law in balls, Wright's omega as Lambert's W(e^x).

Contrasts, volumes and constants are exact rationals (a float is the binary fraction that it is). Nothing is rewritten here
to avoid cancellation, as the floats are: the printed forms are evaluated, and the precision rises until they have the digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ..checks import COUNT, checked, exact
from ..errors import InputError
from .balls import FIRST_PRECISION, LAST_PRECISION, Ball, Enclosure, accurate, as_rational, enclosure, working_precision

Number = int | float | Fraction


@dataclass(frozen=True, slots=True)
class CertifiedLogit:
    """R21-R24 after n aligning examples from z_0, for one constant c; nats, examples.

    contrast  z_n;  rise  z_n - z_0                                             (R21)
    undo      m* = [B(z_n) - B(z_0)]/c;  slope  dm*/dn = e^{-z_n};  exponent  d ln m*/d ln n   (R22)
    falls     the first fall in contrast, gamma_-, gamma_+, probability, KL(base || model), KL(model || base)   (R23)
    pretrain, align, kappa  K_p, K_a, K_p/K_a (kappa None at n = 0);  kappa_exponent  d ln kappa/d ln n (None at n = 0)  (R24)
    shortfall n - K_a
    """

    contrast: Enclosure
    rise: Enclosure
    undo: Enclosure
    slope: Enclosure
    exponent: Enclosure | None
    falls: tuple[Enclosure, ...]
    pretrain: Enclosure
    align: Enclosure
    kappa: Enclosure | None
    kappa_exponent: Enclosure | None
    shortfall: Enclosure
    precision: int


@checked(digits=COUNT)
def certify_logit(start: Number, volume: Number, constant: Number, digits: int = 15) -> CertifiedLogit:
    """R21-R24 at one z_0, n, c with so many proved digits.

    Raises InputError for n < 0, c <= 0 or numbers that are not finite, and where 8192 bits do not prove the digits.

    >>> seen = certify_logit(0, 64, Fraction(3, 10))
    >>> seen.contrast.digits, seen.undo.digits[:12]
    ('2.8533967113556294', '12.652495125')
    """
    z0, n, c = (_exact(value) for value in (start, volume, constant))
    if n < 0 or c <= 0:
        raise InputError(f"n = {n}, c = {c}", where="certify_logit", mend="give n >= 0 and c > 0")
    bits = FIRST_PRECISION
    while True:
        with working_precision(bits):
            values = _logit_at(z0, n, c)
            if all(value is None or accurate(value, digits) or value == 0 for value in values.values()):
                shown = {name: _shown(value, digits) for name, value in values.items()}
                break
        if bits >= LAST_PRECISION:
            raise InputError(f"z_0 = {start}, n = {volume}", where="certify_logit", mend="ask for fewer digits")
        bits *= 2
    falls = tuple(shown.pop(name) for name in FALLS)
    return CertifiedLogit(**shown, falls=falls, precision=bits)  # type: ignore[arg-type]


FALLS = ("fall", "opposed", "code_length", "probability", "kl_forward", "kl_reverse")


def _logit_at(z0: Fraction, n: Fraction, c: Fraction) -> dict[str, Ball]:
    """Everything at the working precision, as the results print it."""
    start, volume, constant = (_ball(value) for value in (z0, n, c))
    contrast = aligned_ball(start, constant * volume) if n else start
    rise = contrast - start if n else 0 * start
    below = (-contrast).exp()
    p, q = 1 / (1 + below), below / (1 + below)
    base = 1 / (1 + (-start).exp())
    undo = (_fallen(contrast) - _fallen(start)) / constant if n else 0 * start
    rest = 1 / (1 + start.exp())  # 1 - pi
    gained = p - base if n else 0 * start
    align = gained / (rest * constant * p * q)
    return {
        "contrast": contrast,
        "rise": rise,
        "undo": undo,
        "slope": below,
        "exponent": volume * below / undo if n else None,
        "fall": constant * p,
        "opposed": constant * p**2,
        "code_length": constant * p * q,
        "probability": constant * p**2 * q,
        "kl_forward": constant * p * gained,
        "kl_reverse": constant * p**2 * q * rise,
        "pretrain": 1 / (rest * constant * p),
        "align": align,
        "kappa": q / gained if n else None,
        "kappa_exponent": -constant * volume * p * q * rest / gained if n else None,
        "shortfall": volume - align if n else 0 * start,
    }


def aligned_ball(start: Ball, exposure: Ball) -> Ball:
    """``X - W(e^X)``, X = z_0 + e^{z_0} + c n, inside `working_precision` (R21).

    >>> from flint import arb
    >>> with working_precision(128):
    ...     print(aligned_ball(arb(0), arb(1)).str(10, radius=False))
    0.4428544010
    """
    total = start + start.exp() + exposure
    return total - total.exp().lambertw()


def perturbed_ball(start: Ball, exposure: Ball) -> Ball:
    """``Y + W(e^-Y)``, Y = z_n - e^{-z_n} - c m, inside `working_precision` (R21)."""
    total = start - (-start).exp() - exposure
    return total + (-total).exp().lambertw()


def replayed_exposure(start: Ball, end: Ball, share: Ball) -> Ball:
    """``G(end) - G(start)``, G(z) = z/pi - ln|pi - (1-pi) e^z|/(pi (1-pi)): the c n that leads from start to end (R21)."""

    def level(z: Ball) -> Ball:
        return z / share - abs(share - (1 - share) * z.exp()).log() / (share * (1 - share))

    return level(end) - level(start)


@checked(digits=COUNT)
def certify_replay(start: Number, end: Number, share: Number, digits: int = 15) -> Enclosure:
    """The exposure c n that leads from one contrast to another on data with a share pi of wanted responses (R21).

    Raises InputError unless 0 < pi < 1 and the digits can be proved; infinite exposures (end at logit pi) cannot. The contrast
    only comes nearer to logit pi, from its own side: an end beyond it, or farther away, is refused.

    >>> certify_replay(2, 1, Fraction(1, 4)).digits
    '1.7848613257101582'
    """
    first, last, pi = (_exact(value) for value in (start, end, share))
    if not 0 < pi < 1:
        raise InputError(f"share {pi}", where="certify_replay", mend="0 < pi < 1")
    exposure = _proved(lambda: replayed_exposure(_ball(first), _ball(last), _ball(pi)), digits, "certify_replay")
    with working_precision(FIRST_PRECISION):
        rest = (_ball(pi) / _ball(1 - pi)).log()
        beyond = (_ball(first) < rest < _ball(last)) or (_ball(last) < rest < _ball(first))
    if exposure.sign == -1 or beyond:
        raise InputError(
            f"training does not lead from {start} to {end}",
            where="certify_replay",
            mend="give an end between the start and logit pi",
        )
    return exposure


@checked(digits=COUNT)
def certify_return_ratio(low: Number, high: Number, digits: int = 15) -> Enclosure:
    """``[D + 1/p_1 - 1/p_2]/[D + 1/(1-p_2) - 1/(1-p_1)]`` with D = logit p_2 - logit p_1 (R22).

    >>> certify_return_ratio(Fraction(3, 5), Fraction(9, 10)).digits[:12]
    '0.2526233091'
    """
    first, second = _exact(low), _exact(high)
    if not 0 < first < second < 1:
        raise InputError(f"p = {first}, {second}", where="certify_return_ratio", mend="0 < p_1 < p_2 < 1")

    def ratio() -> Ball:
        way = _ball(second * (1 - first) / (first * (1 - second))).log()
        return (way + _ball(1 / first - 1 / second)) / (way + _ball(1 / (1 - second) - 1 / (1 - first)))

    return _proved(ratio, digits, "certify_return_ratio")


def _proved(value: Callable[[], Ball], digits: int, where: str) -> Enclosure:
    bits = FIRST_PRECISION
    while bits <= LAST_PRECISION:
        with working_precision(bits):
            ball = value()
            if accurate(ball, digits):
                return enclosure(ball, 0.0, digits)
        bits *= 2
    raise InputError(f"{digits} digits were not proved", where=where, mend="ask for fewer digits")


def _shown(value: Ball, digits: int) -> Enclosure | None:
    return None if value is None else enclosure(value, 0.0, digits)


def _fallen(z: Ball) -> Ball:
    return z - (-z).exp()


def _ball(value: Fraction) -> Ball:
    from flint import arb

    return arb(as_rational([value])[0])


def _exact(value: Number) -> Fraction:
    return exact(value, "a number", "logit law")
