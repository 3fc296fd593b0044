"""The planner: the logit law (R21, R22) turned round, from a wanted durability to the alignment that buys it.

An attack asks for a height: M opposed examples at the constant c take a contrast from z_0 + D back to z_0 (`needed_rise`).
An alignment has a price for a height, in examples: plain fine-tuning pays ``[D + e^{z_0} (e^D - 1)]/c``, exponential in c M,
DPO at its best beta pays ``(1 + e^2)/4 D^2/c``, quadratic. The two constants need not be the same: the attacker chooses his
learning rate, and c is proportional to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import FINITE, FINITES, NONNEGATIVE, NONNEGATIVES, POSITIVE, POSITIVES, checked, number, numbers
from ..errors import InputError
from .logit import fall_volume

BELOW_ONE = numbers(least=0, below=1)
NEWTON_STEPS = 100
ABSURD = 1e9
"""More examples than this are said to be out of reach."""
BEST_BETA_HEIGHT = 2.0
"""beta D at the cheapest beta: (x + e^x - 1)/x^2 is least at x = 2, where (x - 2)(e^x - 1) = 0."""
BEST_PRICE = (1 + math.e**2) / 4
"""(x + e^x - 1)/x^2 at x = 2: 2.0973."""


@checked(start=FINITES, undo=NONNEGATIVES, constant=POSITIVES, replay=BELOW_ONE)
def needed_rise(start: ArrayLike, undo: ArrayLike, constant: ArrayLike, replay: ArrayLike = 0.0) -> Array:
    """``D`` with ``D + ln(1 + r a (1 - e^-D))/r = c M``, ``a = (1 - p_0)/(p_0 - r)``: the height that M opposed examples undo (R22).

    Without a replay (r = 0) it is ``D + e^{-z_0} (1 - e^-D) = c M``, `undo_volume` turned round. With a share r of aligned
    examples among those of the perturbation, M counts the opposed ones alone; the height that r saves is at most
    ``ln(1 + r a)/r - e^{-z_0}``, little, until r reaches p_0 = sigma(z_0). From there on D = 0: the contrast falls towards logit r
    and no further, so never below z_0. A replay holds the share r, not what alignment added to it.

    start: z_0, nats, where the behaviour counts as undone. undo: M >= 0, opposed examples. constant: c > 0 of the attack, nats
    per example. replay: r in [0, 1). Broadcasts.

    >>> needed_rise(0.0, [1, 20, 100], 0.3).round(3), needed_rise(0.0, 20, 0.3, [0.25, 0.49, 0.5]).round(3)
    (array([ 0.156,  5.007, 29.   ]), array([4.395, 0.705, 0.   ]))
    """
    from scipy.special import expit

    with np.errstate(over="ignore"):
        exposure = np.asarray(undo) * np.asarray(constant)
    z, exposed, share = np.broadcast_arrays(
        np.asarray(start, dtype=np.float64), np.minimum(exposure, np.finfo(np.float64).max), np.asarray(replay)
    )
    p, q = expit(z), expit(-z)
    kept = share >= p
    room = np.where(kept, 1.0, p - share)  # p_0 - r; a = q/room
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        # concave and rising: Newton's method from the left of the root stays there; 1 - e^-D <= min(D, 1)
        whole = np.where(share > 0, np.log1p(share * q / room) / np.where(share > 0, share, 1.0), q / room)
        rise = np.maximum(exposed * room / (room + q), exposed - whole)
        for _ in range(NEWTON_STEPS):
            gone = -np.expm1(-rise)
            crowd = 1.0 + share * q * gone / room
            resisted = np.where(share > 0, room * np.log(crowd) / np.where(share > 0, share, 1.0), q * gone)
            resisted = np.where(crowd < 1.5, room * _log1p_over(share, q * gone / room), resisted)
            step = (room * (exposed - rise) - resisted) / (room + q * np.exp(-rise) / crowd)
            rise = np.maximum(rise + step, 0.0)
            if np.all(~np.isfinite(step) | (np.abs(step) <= 4e-16 * rise)):
                break
    return np.asarray(np.where(kept, 0.0, rise), dtype=np.float64)


def _log1p_over(share: Array, amount: Array) -> Array:
    """ln(1 + r x)/r, x at r = 0."""
    return np.where(share > 0, np.log1p(share * amount) / np.where(share > 0, share, 1.0), amount)


@checked(start=FINITES, height=NONNEGATIVES, constant=POSITIVES)
def sft_price(start: ArrayLike, height: ArrayLike, constant: ArrayLike) -> Array:
    """``n = [D + e^{z_0} (e^D - 1)]/c``: the aligned examples of plain fine-tuning that add D to a contrast z_0 (R21).

    For the height of M opposed examples at the same c it is about ``e^{B(z_0)} e^{c M}/c``, B(z) = z - e^-z; from even odds
    ``e^{c M - 1}/c``. Infinite where it exceeds a double. Broadcasts.

    >>> sft_price(0.0, needed_rise(0.0, [1, 20, 100], 0.3), 0.3).round(1)
    array([1.10000000e+00, 5.11400000e+02, 1.31044477e+13])
    """
    return fall_volume(-np.asarray(start, dtype=np.float64), height, constant)


@checked(height=NONNEGATIVES, constant=POSITIVES, beta=POSITIVES)
def dpo_price(height: ArrayLike, constant: ArrayLike, beta: ArrayLike) -> Array:
    """``n = [beta D + e^{beta D} - 1]/(c beta^2)``: the pairs of DPO that add D to the contrast of their reference (R21).

    It is free of z_0. Broadcasts.

    >>> dpo_price(29.0, 0.3, [0.05, 0.1, 0.5]).round(0)
    array([6.284000e+03, 6.691000e+03, 2.643697e+07])
    """
    slope = np.asarray(beta, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        way = slope * np.asarray(height)
        return np.asarray((way + np.expm1(way)) / slope / slope / np.asarray(constant), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class BestDpo:
    """The cheapest beta of DPO for a height, and the pairs that it takes."""

    beta: Array
    pairs: Array


@checked(height=POSITIVES, constant=POSITIVES)
def best_dpo(height: ArrayLike, constant: ArrayLike) -> BestDpo:
    """``beta = 2/D``, ``n = (1 + e^2)/4 D^2/c``: no beta of DPO adds D to the contrast for fewer pairs.

    (x + e^x - 1)/x^2, x = beta D, has its only minimum where (x - 2)(e^x - 1) = 0. So durability M costs about 2.1 c M^2 pairs,
    where plain fine-tuning pays e^{c M - 1}/c examples. From even odds plain fine-tuning is DPO at beta = 1, and never cheaper.

    >>> best = best_dpo(29.0, 0.3)
    >>> round(float(best.beta), 4), round(float(best.pairs), 1)
    (0.069, 5879.3)
    """
    rise = np.asarray(height, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        return BestDpo(BEST_BETA_HEIGHT / rise, np.asarray(BEST_PRICE * rise * (rise / np.asarray(constant))))


@checked(volume=POSITIVE, constant=POSITIVE)
def planned_beta(volume: float, constant: float) -> float:
    """``beta = 2/D`` with ``(1 + e^2)/4 D^2 = c n``: at which n pairs of DPO raise the contrast most (`best_dpo` turned round).

    >>> round(planned_beta(2048, 0.05), 4)
    0.2862
    """
    return BEST_BETA_HEIGHT * math.sqrt(BEST_PRICE) / (math.sqrt(constant) * math.sqrt(volume))


@checked(undo=NONNEGATIVE, constant=POSITIVE)
def largest_loss(undo: float, constant: float) -> float:
    """``D/2`` with ``D + 2 sinh(D/2) = c M``: the most that M opposed examples add to the code length of y+, from any z (R23).

    The rise of gamma_+ from z to y is largest where the way is symmetric, z = -y = D/2: its derivative has the sign of
    sigma(z) sigma(-z) - sigma(y) sigma(-y). Joint compression has ln(1 + M/N_0) in its place (R17). nats.

    >>> round(largest_loss(20, 0.3), 6)
    1.300544
    """
    from scipy.optimize import brentq

    exposed = undo * constant
    if not exposed < math.inf:
        raise InputError("c M is beyond the doubles", where="largest_loss", mend="give a smaller volume or constant")
    if exposed < 1e-12:
        return exposed / 4  # c p (1-p) at even odds

    def excess(half: float) -> float:
        return 2 * half + 2 * math.sinh(half) - exposed

    # the larger of both terms is at least half: 2 half <= 2 sinh(half)
    return float(brentq(excess, 0.0, min(exposed / 4, math.asinh(exposed / 2)) * (1 + 1e-9), rtol=1e-14))


@checked(undo=POSITIVE, constant=POSITIVE, ceiling=POSITIVE)
def ceiling_contrast(undo: float, constant: float, ceiling: float) -> float:
    """The contrast from which on M opposed examples lengthen the code of y+ by at most ``ceiling`` nats; -inf where they never do more.

    The root z of ``ln(1 + e^-y) - ln(1 + e^-z) = ceiling``, y the contrast that is left. For small ceilings
    ``z = ln[(e^{c M} - 1)/ceiling]``, so that plain fine-tuning pays about ``(e^{c M} - 1)/(c ceiling)`` examples, where joint
    compression pays ``M/(e^ceiling - 1)`` (`volume_for`, R17): the same for a small c M, and for no other.

    >>> round(ceiling_contrast(20, 0.3, 0.01), 4), ceiling_contrast(20, 0.3, 1.4)
    (10.5876, -inf)
    """
    from scipy.optimize import brentq

    most = largest_loss(undo, constant)
    if ceiling >= most:
        return -math.inf

    def excess(left: float) -> float:
        rise = float(needed_rise(left, undo, constant))
        return float(np.logaddexp(0.0, -left) - np.logaddexp(0.0, -left - rise)) - ceiling

    left = float(brentq(excess, -most, max(0.0, -math.log(ceiling)) + 1.0, xtol=1e-13))
    return left + float(needed_rise(left, undo, constant))


@checked(norm=POSITIVE, rate=POSITIVE, batch=POSITIVE)
def output_constant(norm: float, rate: float, batch: float = 1.0) -> float:
    """``2 eta rho^2/B``: the least c that any defence leaves, where y+ and y- are two tokens after one state of norm rho (R25).

    The log-odds of two tokens is the difference of their logits, so its gradient in the output layer W is (e_+ - e_-) h' and
    |grad z|^2 >= |grad_W z|^2 = 2 |h|^2 whatever else the model computes. The code length of any token after a state of norm
    rho' has |grad_W gamma|^2 = |e_y - p|^2 rho'^2 <= 2 rho'^2. So behind a normalisation (one rho for all states), and with an
    output layer that can be trained, **no defence makes the behaviour slower to learn through that layer than any neutral
    token is**: who slows the attacker by rho slows everybody. Under the gradient flow of R21 m* <= [B(z_n) - B(z_0)]/c with
    this c, attained where nothing but the output layer is trained: what is left to a defence is the height z_n.

    rate: eta of a step of ``batch`` sequences on their mean loss, an untied output layer without a scale.

    >>> output_constant(10.0, 1e-3, 4)
    0.05
    """
    return 2.0 * rate * norm * norm / batch


@dataclass(frozen=True, slots=True)
class Lever:
    """One way to a wanted durability.

    name      what is done;  examples  training sequences that it takes, inf where it cannot (a pair of DPO has two)
    contrast  z_n that it reaches, nats;  detail  in a few words
    """

    name: str
    examples: float
    contrast: float
    detail: str

    @property
    def absurd(self) -> bool:
        """Whether it takes more than `ABSURD` sequences."""
        return not self.examples <= ABSURD


@checked(
    start=FINITE,
    undo=POSITIVE,
    aligning=POSITIVE,
    perturbing=POSITIVE,
    betas=numbers(above=0, shape=(None,), empty=True),
    replay=number(least=0, below=1),
)
def levers(
    start: float, undo: float, aligning: float, perturbing: float, *, betas: Sequence[float] = (), replay: float = 0.1
) -> tuple[Lever, ...]:
    """What buys an undo volume M, the cheapest first: SFT, DPO at each beta and at the best one, SFT with a replay, pre-training.

    start: z_0; undo: M; aligning, perturbing: c of both phases, nats per example; replay: the share r of aligned examples that
    the owner of the model puts among those of whoever fine-tunes it. ``r/(1-r) M`` examples of a replay are counted.

    >>> for lever in levers(0.0, 40, 0.3, 0.3, betas=[0.1]):
    ...     print(f"{lever.name}: {lever.examples:.0f}")
    replay of 50%: 40
    DPO, beta 0.18: 1692
    DPO, beta 0.1: 2069
    SFT, replay of 10%: 167107
    SFT: 199617
    pre-training: 199617
    """
    from scipy.special import expit

    height = float(needed_rise(start, undo, perturbing))
    top, plain = start + height, float(sft_price(start, height, aligning))
    best = best_dpo(height, aligning)
    contrast = float(needed_rise(start, undo, perturbing, replay))
    even = float(expit(start))
    table = [
        Lever("SFT", plain, top, "plain fine-tuning on chosen responses"),
        Lever(
            f"DPO, beta {float(best.beta):.2g}",
            2 * float(best.pairs),
            top,
            "preference training at its cheapest temperature beta",
        ),
        *(
            Lever(
                f"DPO, beta {beta:g}",
                2 * float(dpo_price(height, aligning, beta)),
                top,
                "preference training at this beta",
            )
            for beta in betas
        ),
        Lever(
            f"replay of {even:.0%}",
            even / (1 - even) * undo if even < 1 else math.inf,
            start,
            "the wanted share falls to that of the replay and no further: this keeps what the base had, not what alignment added",
        ),
        Lever(
            "pre-training",
            plain,
            top,
            f"a share of at most {expit(-top):.2g} of opposed responses in the data of the base, whatever its volume; it "
            "counts for so many examples",
        ),
    ]
    if replay > 0:
        again = replay / (1 - replay) * undo
        price = float(sft_price(start, contrast, aligning)) + again
        table.append(
            Lever(
                f"SFT, replay of {replay:.0%}", price, start + contrast, f"{again:.3g} of them during the perturbation"
            )
        )
    return tuple(sorted(table, key=lambda lever: lever.examples))
