"""The laws that are rivals: how a dataset's rate y moves under a perturbation of volume l, within a run and over runs.

Within a run every law reads ``y(l) = y_0 + D f(l; theta)``, f(0) = 0: two linear numbers and at most two in the shape.
Over runs the shape's numbers are shared, y_0 is the run's own, and D follows from the law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import Array

Shape = Callable[[Array, Array], Array]
OverRuns = Callable[[Array, Array, Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Law:
    """One law of how the align rate y answers a perturbation of volume l.

    shape      f(l, theta): l in units of the largest perturbation, theta (d, ...) > 0, broadcast against each other; None for a
               law that is compared over runs only
    ranges     lowest and highest of each of the d numbers of the shape, tried on a logarithmic grid
    over_runs  y(numbers, l, y_0, base): numbers (m,) or (m, R), the rest (R,), readings of many runs one after another, in the
               curve's units; base is the volume of everything but the perturbation, or that of the alignment where
               ``by_align`` -> (R,)
    starts     first guesses of those m numbers, given (l, y, y_0, base)
    numbers    their names; a logarithm where the number has to be > 0
    """

    name: str
    formula: str
    shape: Shape | None
    ranges: tuple[tuple[float, float], ...]
    over_runs: OverRuns
    starts: Callable[[Array, Array, Array, Array], list[list[float]]]
    numbers: tuple[str, ...]
    by_align: bool = False

    @property
    def parameters(self) -> int:
        """How many numbers are fitted for one run: y_0, D and the shape's."""
        return 2 + len(self.ranges)


def _ends(steps: Array, rates: Array, start: Array) -> tuple[float, float, float]:
    """The middle volume > 0, the mean change, and a first guess of where the rates tend to."""
    moved = steps > 0
    change = float((rates - start)[moved].mean()) if moved.any() else 0.0
    return float(np.median(steps[moved])) if moved.any() else 1.0, change, float(start.mean()) + 2.0 * change


def _joint_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    _, _, end = _ends(steps, rates, start)
    return [[scale, end] for scale in (-3.0, -1.0, 0.0)]


def _joint(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    return np.asarray(start + (numbers[1] - start) * steps / (np.exp(numbers[0]) * base + steps))


def _forgetting_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, _, end = _ends(steps, rates, start)
    return [[np.log(rate / middle), end] for rate in (0.1, 1.0, 5.0)]


def _forgetting(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    return np.asarray(start - (numbers[1] - start) * np.expm1(-np.exp(numbers[0]) * steps))


def _place(phase: Array) -> Array:
    """a/w at a phase z that falls at a constant pace: a' = -(rho a|a| + delta), w^2 = delta/rho."""
    return np.where(phase > 0, np.tan(np.maximum(phase, 0.0)), np.tanh(np.minimum(phase, 0.0)))


def _phase(place: Array) -> Array:
    """The inverse of `_place`; a state below -w, which the driving force cannot reach, counts as -w."""
    return np.where(place > 0, np.arctan(np.maximum(place, 0.0)), np.arctanh(np.clip(place, -1 + 1e-12, 0.0)))


def _rebound_shape(steps: Array, theta: Array) -> Array:
    phase = np.arctan(theta[0])
    return np.asarray(_place(phase) - _place(phase - theta[1] * steps))


def _rebound(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    width = np.exp(numbers[0])
    phase = _phase((numbers[2] - start) / width)
    return np.asarray(start + width * (_place(phase) - _place(phase - np.exp(numbers[1]) * steps)))


def _rebound_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, end = _ends(steps, rates, start)
    size = max(abs(change), 1e-12)
    return [[np.log(width * size), np.log(pace / middle), end] for width in (0.1, 0.5, 2.0) for pace in (0.2, 1.0)]


def _rebound_falling(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    return -_rebound(np.stack([numbers[0], numbers[1], -numbers[2]]), steps, -start, base)


def _rebound_falling_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    return [[width, pace, -end] for width, pace, end in _rebound_starts(steps, -rates, -start, base)]


def _power_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, _ = _ends(steps, rates, start)
    return [[np.log(power), change / middle**power] for power in (0.5, 1.0, 2.0, 4.0)]


def _power(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    return np.asarray(start + numbers[1] * steps ** np.exp(numbers[0]))


def _fourth(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    return np.asarray(start + numbers[0] * steps**4)


def _fourth_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, _ = _ends(steps, rates, start)
    return [[change / middle**4]]


def fallen(odds: Array, exposure: Array) -> Array:
    """What an exposure c l takes from log-odds ln(odds): ``D + (e^D - 1)/odds = c l`` (R21), by Wright's omega.

    As `laws.logit.rise` without its last digits, for the many values that a fit asks for.
    """
    from scipy.special import wrightomega

    weight = 1.0 / odds
    return np.asarray(exposure + weight - wrightomega(weight - np.log(odds) + exposure).real)


def _logit_shape(steps: Array, theta: Array) -> Array:
    return fallen(theta[1], theta[0] * steps)


def _logit(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    scale = np.where(np.abs(numbers[2]) > 1e-12, numbers[2], 1e-12)
    odds = np.exp(np.clip((start - numbers[1]) / scale, -30.0, 300.0))
    return np.asarray(start - scale * fallen(odds, np.exp(np.minimum(numbers[0], 300.0)) * steps))


def _nats(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    odds = np.exp(np.clip(start, -30.0, 300.0))
    return np.asarray(start - fallen(odds, np.exp(np.minimum(numbers[0], 300.0)) * steps))


def _nats_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, _ = _ends(steps, rates, start)
    return [[np.log(max(abs(change), 1e-6) * pace / middle)] for pace in (1.0, 4.0)]


def _logit_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, _ = _ends(steps, rates, start)
    size = max(abs(change), 1e-12)
    even = float(start.mean()) + change
    # the log-odds fall: a measure that falls with them has a positive scale
    return [
        [np.log(pace / middle), at, -np.sign(change or -1.0) * scale]
        for pace, at, scale in ((2.0, 0.0, 1.0), (2.0, even, size), (8.0, even, size / 5))
    ]


PIECES = 12
"""Steps of Runge and Kutta's fourth order in which the course under Adam is integrated from 0 to a reading."""


def _adam(pace: Array, squares: Array, steps: Array, start: Array, before: Array) -> Array:
    """z after l: ``z' = -r g sqrt((n + l)/(S + int g^2)), g = sigma(z)``, the second moment a mean since it began (R26)."""
    from scipy.special import expit

    z, total = start.copy(), squares + 1e-9 * expit(start) ** 2
    width, before = steps / PIECES, before + 1e-9

    def moves(z: Array, total: Array, volume: Array) -> tuple[Array, Array]:
        force = expit(z)
        squared = force**2
        return -pace * force * np.sqrt((before + volume) / total), squared

    for piece in range(PIECES):
        at = piece * width
        slopes, gained = moves(z, total, at)
        z_moved, total_moved = slopes, gained
        for share, weight in ((0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
            ahead = share * width
            slope, gain = moves(z + z_moved * ahead, total + total_moved * ahead, at + ahead)
            slopes, gained, z_moved, total_moved = slopes + weight * slope, gained + weight * gain, slope, gain
        z, total = z + slopes * width / 6.0, total + gained * width / 6.0
    return z


def _adam_fresh(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    return _adam(np.exp(np.minimum(numbers[0], 50.0)), np.zeros_like(base), steps, start, np.zeros_like(base))


def _adam_carried(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    pace, squares = np.exp(np.clip(numbers, -50.0, 50.0))
    return _adam(pace, squares, steps, start, base)


def _adam_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, _ = _ends(steps, rates, start)
    return [[np.log(max(abs(change), 1e-6) / middle)]]


def _adam_carried_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    return [
        [*_adam_starts(steps, rates, start, base)[0], np.log(max(share * float(base.mean()), 1e-6))]
        for share in (0.05, 0.5)
    ]


def _share_shape(steps: Array, theta: Array) -> Array:
    odds = theta[1]
    left = odds * np.exp(-fallen(odds, theta[0] * steps))
    return np.asarray(odds / (1 + odds) - left / (1 + left))


def _share(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    floor, span = numbers[1], np.exp(np.clip(numbers[2], -30.0, 30.0))
    kept = np.clip((start - floor) / span, 1e-9, 1 - 1e-9)
    odds = kept / (1 - kept)
    left = odds * np.exp(-fallen(odds, np.exp(np.minimum(numbers[0], 300.0)) * steps))
    return np.asarray(start - span * (kept - left / (1 + left)))


def _share_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, end = _ends(steps, rates, start)
    size = max(abs(change), 1e-3)
    return [
        [np.log(pace / middle), min(end, float(start.min()) - size), np.log(span * size)]
        for pace, span in ((1.0, 3.0), (4.0, 3.0), (4.0, 10.0))
    ]


def _line(numbers: Array, steps: Array, start: Array, base: Array) -> Array:
    return np.asarray(start + numbers[0] * steps)


def _line_starts(steps: Array, rates: Array, start: Array, base: Array) -> list[list[float]]:
    middle, change, _ = _ends(steps, rates, start)
    return [[change / middle]]


JOINT = Law(
    "joint compression",
    "y = y_0 + (y_inf - y_0) l/(c N_0 + l), N_0 the volume before the perturbation (R13; c = 1 nominal)",
    lambda steps, theta: steps / (theta[0] + steps),
    ((1e-2, 1e3),),
    _joint,
    _joint_starts,
    ("ln c", "y_inf"),
)
FORGETTING = Law(
    "forgetting",
    "y = y_0 + (y_inf - y_0)(1 - e^(-eta l)), eta the rate of the perturbation's phase (R19)",
    lambda steps, theta: -np.expm1(-theta[0] * steps),
    ((1e-2, 1e2),),
    _forgetting,
    _forgetting_starts,
    ("ln eta", "y_inf"),
)
REBOUND = Law(
    "rebound and driving force",
    "a' = -(rho a|a| + delta), a = y_base - y: a rebound force that grows faster than the aligned state, and a constant "
    "driving force (after arXiv 2605.18309; a force linear in a would be forgetting)",
    _rebound_shape,
    ((3e-2, 3e2), (3e-2, 3e1)),
    _rebound,
    _rebound_starts,
    ("ln width", "ln pace", "y_base"),
)
REBOUND_FALLING = replace(
    REBOUND,
    formula="a' = -(rho a|a| + delta), a = y - y_base: the same for a measure that falls as the behaviour does",
    over_runs=_rebound_falling,
    starts=_rebound_falling_starts,
)
"""The rebound force on contrasts and scores: an aligned state stands above its base there, and below it in a rate."""
POWER = Law(
    "power of time",
    "y = y_0 + c l^p, p free",
    lambda steps, theta: steps ** theta[0],
    ((5e-2, 1e1),),
    _power,
    _power_starts,
    ("ln p", "c"),
)
FOURTH = Law(
    "fourth power of time",
    "y = y_0 + c l^4 (arXiv 2602.15799)",
    lambda steps, theta: steps**4,
    (),
    _fourth,
    _fourth_starts,
    ("c",),
)
LOGIT = Law(
    "logit law",
    "y = y_0 - s D, D + (e^D - 1) e^{-z_0} = c l, z_0 = (y_0 - e)/s: log-odds of two responses under gradient descent (R21); "
    "for a contrast in nats a response s = 1 and e = 0",
    _logit_shape,
    ((1e-1, 1e2), (1e-2, 1e4)),
    _logit,
    _logit_starts,
    ("ln c", "e", "s"),
)
LOGIT_IN_NATS = replace(
    LOGIT,
    formula="y = y_0 - D, D + (e^D - 1) e^{-y_0} = c l: the logit law of a contrast in nats a response (R21)",
    over_runs=_nats,
    starts=_nats_starts,
    numbers=("ln c",),
)
"""The logit law where its scale is known: the measure is the log-odds itself, and one number is shared."""
LOGIT_OF_SHARES = Law(
    "logit law",
    "y = y_inf + s sigma(z), z - e^{-z} = z_0 - e^{-z_0} - c l: a share of answers under gradient descent on its log-odds (R21)",
    _share_shape,
    ((1e-1, 1e2), (1e-2, 1e4)),
    _share,
    _share_starts,
    ("ln c", "y_inf", "ln s"),
)
"""The logit law of a score, which lies between what chance gives and the most that can be had."""
ADAM_FRESH = Law(
    "logit law, Adam with fresh moments",
    "z' = -r g / sqrt(mean of g^2 since the perturbation began), g = sigma(z): nats a response under Adam, phases shorter than "
    "1/(1 - beta_2) steps (R26)",
    None,
    (),
    _adam_fresh,
    _adam_starts,
    ("ln r",),
    by_align=True,
)
ADAM_CARRIED = Law(
    "logit law, Adam with carried moments",
    "z' = -r g sqrt((n + l)/(S + int g^2)), g = sigma(z), S the squares that n aligned examples left in the second moment (R26)",
    None,
    (),
    _adam_carried,
    _adam_carried_starts,
    ("ln r", "ln S"),
    by_align=True,
)
ADAM = (ADAM_FRESH, ADAM_CARRIED)
"""The logit law under Adam: rivals on contrasts in nats a response, unless the table says that another optimiser was used."""
LINE = Law("straight line", "y = y_0 + c l", lambda steps, theta: steps, (), _line, _line_starts, ("c",))

LAWS: tuple[Law, ...] = (JOINT, FORGETTING, REBOUND, LOGIT, POWER, FOURTH, LINE)
"""The laws that `fit` compares, every one with the same interface."""


def spoken(name: str) -> str:
    """The name of a law in a sentence, with its article.

    >>> spoken("logit law"), spoken("straight line"), spoken("forgetting")
    ('the logit law', 'a straight line', 'forgetting')
    """
    if name in (JOINT.name, FORGETTING.name):
        return name
    return f"a {name}" if name in (POWER.name, LINE.name) else f"the {name}"
