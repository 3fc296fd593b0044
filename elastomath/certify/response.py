"""R1-R5 for one instance with proved digits and signs: exact rational masses in, enclosures in ball arithmetic out.

Overlaps, derivatives, the balance and the constant of R3 are rational functions of the masses, and exact for small
trees; entropies need logarithms, and are enclosed by balls (Arb, through python-flint) whose precision rises until the
digits and signs that were asked for are proved, or the limit is reached and the result says what was not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..checks import whole
from .balls import (
    _ZERO,
    FIRST_PRECISION,
    LAST_PRECISION,
    Ball,
    Enclosure,
    _add,
    _log,
    _may_be_zero,
    _negative,
    accurate,
    as_rational,
    enclosure,
    exact_input,
    working_precision,
)

EXACT_LEAVES = 256
"""Up to so many different leaves, sums of rational terms are kept exact; beyond, they are summed as balls."""


@dataclass(frozen=True, slots=True)
class CertifiedLaw:
    """R1-R5 for one mixture of n datasets (the perturbation last, at volume L), in nats and the unit of the volumes.

    start_entropies  H_i at l = 0, shape (n,)
    entropies        H_i at l = L, shape (n,)
    overlaps         O_i = sum_x P_i P_t / q at l = L, shape (n,): C, A, T for three datasets
    derivatives      dH_i/dl = (1 - O_i)/N at l = L, shape (n,)                               (R1)
    slopes           the same from the Taylor series of H_i in l, without R1, shape (n,)
    balance          sum_i w_i dH_i/dl                                                         (R2)
    epsilon          1 + w_p dH_p/(w_a dH_a), None where there are fewer than three datasets or dH_a = 0 (R3)
    theta_constant   1/(1 - epsilon), None where epsilon is, or is 1
    residual         sum_{i != t} w_i (H_i(L) - H_i(0)) = N_0 KL(q_0 || q_L), computed as the latter (R5)
    bound            L (H_t(0) - H_t(L)), the upper bound of any model class; infinite without coverage
    sharp_bound      c (H_t(0) - H_t(L)), c = N_0 [(N/L) ln(N/N_0) - 1] <= L/2, the upper bound of mixtures
    residual_gap     the residual from the entropies minus that from KL: its ball has to contain 0
    slack            bound/2 - residual;  sharp_slack: sharp_bound - residual
    precision        bits at which everything asked for was proved, or the last tried
    proved           whether every digit and sign asked for was proved
    """

    start_entropies: tuple[Enclosure, ...]
    entropies: tuple[Enclosure, ...]
    overlaps: tuple[Enclosure, ...]
    derivatives: tuple[Enclosure, ...]
    slopes: tuple[Enclosure, ...]
    balance: Enclosure
    epsilon: Enclosure | None
    theta_constant: Enclosure | None
    residual: Enclosure
    bound: Enclosure
    sharp_bound: Enclosure
    residual_gap: Enclosure
    slack: Enclosure
    sharp_slack: Enclosure
    precision: int
    proved: bool

    @property
    def signs(self) -> dict[str, int | None]:
        """The proved signs by name: response_0 ... (dH_i/dl), balance, residual, slack, sharp_slack."""
        named = {f"response_{index}": value.sign for index, value in enumerate(self.derivatives)}
        return named | {
            name: getattr(self, name).sign for name in ("balance", "residual", "bound", "slack", "sharp_slack")
        }


def certify_law(
    components: Sequence[Sequence[int | float | Fraction]],
    volumes: Sequence[int | float | Fraction],
    digits: int = 15,
    last_precision: int = LAST_PRECISION,
) -> CertifiedLaw:
    """R1-R5 for ``q = sum_i w_i P_i / N`` with every printed digit and sign proved for this instance.

    components: n rows of M leaf masses or counts, as integers, fractions or floats (a float is the binary fraction that
    it is); each row is divided by its exact sum. volumes: n, exact likewise, > 0 (the last may be 0).
    digits: correct decimal digits wanted of every quantity that is not exactly zero.

    Raises InputError for masses or volumes that cannot be used. Where the digits are not reached at
    ``last_precision`` bits, ``proved`` is False and the enclosures are what was reached.

    >>> law = certify_law([[2, 1, 1], [0, 1, 1], [1, 0, 0]], [10, 1, Fraction(1, 2)])
    >>> law.signs["residual"], law.signs["sharp_slack"], law.balance.sign, law.theta_constant.digits
    (1, 1, 0, '2.2000000000000000')
    """
    rows, weights = exact_input(components, volumes)
    digits = whole(digits, "digits", "certify_law", least=1)
    last_precision = whole(last_precision, "last_precision", "certify_law", least=32)
    columns = Counter(zip(*rows, strict=True))  # equal leaves are summed once
    columns.pop((Fraction(0),) * len(rows), None)
    leaves = [(as_rational(column), count) for column, count in columns.items()]
    bits = FIRST_PRECISION
    while True:
        with working_precision(bits):
            law = _law_at(leaves, as_rational(weights), bits, digits)
        if law.proved or 2 * bits > last_precision:
            return law
        bits *= 2


def _law_at(leaves: list[tuple[list[Ball], int]], weights: list[Ball], bits: int, digits: int) -> CertifiedLaw:
    """Everything at one precision; called inside `working_precision`."""
    from flint import arb

    datasets, step = range(len(weights)), weights[-1]
    start_volume = _add(weights[:-1])
    total = start_volume + step
    base = [_add([w * p for w, p in zip(weights[:-1], masses[:-1], strict=True)]) for masses, _ in leaves]
    joint = [b + step * masses[-1] for b, (masses, _) in zip(base, leaves, strict=True)]

    def over_leaves(summand: Callable[[int, list[Ball]], Ball]) -> Ball:
        """The sum over leaves with their copies; None (infinite) where a summand is."""
        terms = []
        for leaf, (masses, copies) in enumerate(leaves):
            term = summand(leaf, masses)
            if term is None:
                return None
            terms.append(term * copies)
        return _add(terms)

    def expected(mass: Ball, value: Ball) -> Ball:
        return _ZERO if mass == 0 else None if value is None else arb(mass) * value

    # R1-R3: rational in the masses
    exact = len(leaves) <= EXACT_LEAVES
    number: Callable[[Ball], Ball] = (lambda x: x) if exact else arb
    overlaps = [
        over_leaves(lambda x, p: number(overlap_term(p[i], p[-1], joint[x], total)))  # noqa: B023 (used at once)
        for i in datasets
    ]
    derivatives = [(1 - overlap) / total for overlap in overlaps]
    if any(masses[-1] != 0 and mass == 0 for (masses, _), mass in zip(leaves, joint, strict=True)):
        derivatives[-1] = None  # no coverage at l = 0: minus infinity
    balance = _add([weights[i] * derivatives[i] for i in datasets if weights[i] != 0])
    epsilon, constant = _theta(weights, derivatives)
    # R1 again, from the Taylor series of the code lengths, which knows nothing of overlaps
    series = [_log_slope(mass, masses[-1], total) for (masses, _), mass in zip(leaves, joint, strict=True)]
    slopes = [_negative(over_leaves(lambda x, p: expected(p[i], series[x]))) for i in datasets]  # noqa: B023
    # R5: logarithms
    start_logs = [_log(b / start_volume) for b in base]
    end_logs = [_log(mass / total) for mass in joint]
    moves = [_log_ratio(mass / total, b / start_volume) for mass, b in zip(joint, base, strict=True)]
    start = [_negative(over_leaves(lambda x, p: expected(p[i], start_logs[x]))) for i in datasets]  # noqa: B023
    end = [_negative(over_leaves(lambda x, p: expected(p[i], end_logs[x]))) for i in datasets]  # noqa: B023
    residual = _negative(over_leaves(lambda x, p: expected(base[x], moves[x])))
    fall = over_leaves(lambda x, p: expected(p[-1], moves[x]))
    direct = _add([weights[i] * (end[i] - start[i]) for i in datasets[:-1]])
    if step == 0:
        fall = _ZERO  # nothing has moved, covered or not
    bound, sharp_bound = (None, None) if fall is None else (step * fall, sharp_constant(start_volume, step) * fall)
    slack = None if bound is None else bound / 2 - residual
    sharp_slack = None if sharp_bound is None else sharp_bound - residual

    wanted = [*overlaps, *derivatives, *start, *end, epsilon, constant, residual, bound, slack, sharp_slack]
    proved = all(value is None or accurate(value, digits) for value in wanted)

    def show(value: Ball, otherwise: float = math.inf) -> Enclosure:
        return enclosure(value, otherwise, digits)

    return CertifiedLaw(
        start_entropies=tuple(show(value) for value in start),
        entropies=tuple(show(value) for value in end),
        overlaps=tuple(show(value) for value in overlaps),
        derivatives=tuple(show(value, -math.inf) for value in derivatives),
        slopes=tuple(show(value, -math.inf) for value in slopes),
        balance=show(balance),
        epsilon=None if epsilon is None else show(epsilon),
        theta_constant=None if constant is None else show(constant),
        residual=show(residual),
        bound=show(bound),
        sharp_bound=show(sharp_bound),
        residual_gap=show(direct - residual),
        slack=show(slack),
        sharp_slack=show(sharp_slack),
        precision=bits,
        proved=proved,
    )


def overlap_term(mass: Ball, perturb: Ball, joint: Ball, total: Ball) -> Ball:
    """One leaf of ``sum_x P P_t / q`` with ``q = joint/total``; 0 outside the support of q."""
    return _ZERO if joint == 0 else mass * perturb * total / joint


def sharp_constant(start_volume: Ball, step: Ball) -> Ball:
    """``c = N_0 [(N/L) ln(N/N_0) - 1]``, the best constant in residual <= c (H_t(0) - H_t(L)) for mixtures (R5).

    A ball; 0 at L = 0. Call it inside `working_precision`.

    >>> from flint import fmpq
    >>> with working_precision(128):
    ...     print(sharp_constant(fmpq(1), fmpq(1)).str(10, radius=False))
    0.3862943611
    """
    if step == 0:
        return _ZERO
    total = start_volume + step
    return start_volume * (total / step * _log(total / start_volume) - 1)


def _log_ratio(end: Ball, start: Ball) -> Ball:
    """ln(q_L/q_0) on a leaf, exactly 0 where it has not moved; None where q_0 = 0."""
    return None if start == 0 else _log(end / start)


def _log_slope(joint: Ball, perturb: Ball, total: Ball) -> Ball:
    """d/dl ln q on one leaf as the linear coefficient of the series of ln(joint + x P_t) - ln(N + x)."""
    from flint import arb, arb_series

    if joint == 0:
        return None
    series = arb_series([arb(joint), arb(perturb)], prec=2).log() - arb_series([arb(total), arb(1)], prec=2).log()
    return series[1]


def _theta(weights: list[Ball], derivatives: list[Ball]) -> tuple[Ball, Ball]:
    if len(weights) < 3 or _may_be_zero(derivatives[1]):
        return None, None
    epsilon = 1 + weights[0] * derivatives[0] / (weights[1] * derivatives[1])
    return epsilon, None if _may_be_zero(1 - epsilon) else 1 / (1 - epsilon)
