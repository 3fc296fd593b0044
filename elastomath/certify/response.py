"""R1-R5 for one instance with proved digits and signs: exact rational masses in, enclosures in ball arithmetic out.

Overlaps, derivatives, the balance and the constant of R3 are rational functions of the masses, and exact for small
trees; entropies need logarithms, and are enclosed by balls (Arb, through python-flint) whose precision rises until the
digits and signs that were asked for are proved, or the limit is reached and the result says what was not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

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
    leaves = _Leaves([as_rational(column) for column in columns], list(columns.values()), as_rational(weights))
    bits = FIRST_PRECISION
    while True:
        with working_precision(bits):
            law = _law_at(leaves, bits, digits)
        if law.proved or 2 * bits > last_precision:
            return law
        bits *= 2


@dataclass(frozen=True)
class _Leaves:
    """The leaves of one instance, exact, and sums over them in balls.

    columns   the masses P_1(x) ... P_n(x) of each different leaf
    copies    how many leaves have these masses
    weights   the volumes, L last
    """

    columns: Sequence[Sequence[Ball]]
    copies: Sequence[int]
    weights: Sequence[Ball]

    @property
    def step(self) -> Ball:
        """L."""
        return self.weights[-1]

    @property
    def start_volume(self) -> Ball:
        """N_0, without the perturbation."""
        return _add(self.weights[:-1])

    @property
    def total(self) -> Ball:
        """N = N_0 + L."""
        return self.start_volume + self.step

    def masses(self, dataset: int) -> list[Ball]:
        """P_i on each leaf."""
        return [column[dataset] for column in self.columns]

    @cached_property
    def base(self) -> list[Ball]:
        """``N_0 q_0`` on each leaf."""
        return [_add([w * p for w, p in zip(self.weights[:-1], column[:-1], strict=True)]) for column in self.columns]

    @cached_property
    def joint(self) -> list[Ball]:
        """``N q`` on each leaf."""
        return [start + self.step * column[-1] for start, column in zip(self.base, self.columns, strict=True)]

    def sum(self, values: Sequence[Ball]) -> Ball:
        """The sum over leaves with their copies; None (infinite) where a value is."""
        if any(value is None for value in values):
            return None
        return _add([value * copies for value, copies in zip(values, self.copies, strict=True)])

    def expected(self, masses: Sequence[Ball], values: Sequence[Ball]) -> Ball:
        """``sum_x masses(x) values(x)`` over the support of the masses; None where a value there is infinite."""
        from flint import arb

        return self.sum(
            [
                _ZERO if mass == 0 else None if value is None else arb(mass) * value
                for mass, value in zip(masses, values, strict=True)
            ]
        )

    def mean_lengths(self, logs: Sequence[Ball]) -> list[Ball]:
        """``-sum_x P_i(x) logs(x)`` for each dataset."""
        return [_negative(self.expected(self.masses(dataset), logs)) for dataset in range(len(self.weights))]


def _law_at(leaves: _Leaves, bits: int, digits: int) -> CertifiedLaw:
    """R1-R5 at one precision, and whether it proved every digit; called inside `working_precision`."""
    # R1-R3: rational in the masses
    overlaps, derivatives = _responses(leaves)
    balance = _add([w * slope for w, slope in zip(leaves.weights, derivatives, strict=True) if w != 0])
    epsilon, constant = _theta(leaves.weights, derivatives)
    # R1 again, from the Taylor series of the code lengths, which knows nothing of overlaps
    joint, total = leaves.joint, leaves.total
    perturb = leaves.masses(-1)
    slopes = leaves.mean_lengths([_log_slope(q, t, total) for q, t in zip(joint, perturb, strict=True)])
    # R5: logarithms
    base, start_volume = leaves.base, leaves.start_volume
    start = leaves.mean_lengths([_log(mass / start_volume) for mass in base])
    end = leaves.mean_lengths([_log(mass / total) for mass in joint])
    moves = [_log_ratio(q / total, b / start_volume) for q, b in zip(joint, base, strict=True)]
    residual = _negative(leaves.expected(base, moves))
    others = zip(leaves.weights[:-1], start[:-1], end[:-1], strict=True)
    direct = _add([w * (after - before) for w, before, after in others])
    bound, sharp_bound = _bounds(leaves, moves)
    slack = None if bound is None else bound / 2 - residual
    sharp_slack = None if sharp_bound is None else sharp_bound - residual

    wanted = [*overlaps, *derivatives, *start, *end, epsilon, constant, residual, bound, slack, sharp_slack]
    return CertifiedLaw(
        start_entropies=_enclosures(start, digits),
        entropies=_enclosures(end, digits),
        overlaps=_enclosures(overlaps, digits),
        derivatives=_enclosures(derivatives, digits, -math.inf),
        slopes=_enclosures(slopes, digits, -math.inf),
        balance=enclosure(balance, math.inf, digits),
        epsilon=None if epsilon is None else enclosure(epsilon, math.inf, digits),
        theta_constant=None if constant is None else enclosure(constant, math.inf, digits),
        residual=enclosure(residual, math.inf, digits),
        bound=enclosure(bound, math.inf, digits),
        sharp_bound=enclosure(sharp_bound, math.inf, digits),
        residual_gap=enclosure(direct - residual, math.inf, digits),
        slack=enclosure(slack, math.inf, digits),
        sharp_slack=enclosure(sharp_slack, math.inf, digits),
        precision=bits,
        proved=all(value is None or accurate(value, digits) for value in wanted),
    )


def _enclosures(values: Sequence[Ball], digits: int, otherwise: float = math.inf) -> tuple[Enclosure, ...]:
    return tuple(enclosure(value, otherwise, digits) for value in values)


def _responses(leaves: _Leaves) -> tuple[list[Ball], list[Ball]]:
    """O_i and dH_i/dl at l = L (R1); the last derivative is None, minus infinity, where q does not cover P_t."""
    from flint import arb

    exact = len(leaves.columns) <= EXACT_LEAVES
    joint, perturb, total = leaves.joint, leaves.masses(-1), leaves.total
    overlaps = []
    for dataset in range(len(leaves.weights)):
        triples = zip(leaves.masses(dataset), perturb, joint, strict=True)
        terms = [overlap_term(mass, t, q, total) for mass, t, q in triples]
        overlaps.append(leaves.sum(terms if exact else [arb(term) for term in terms]))
    derivatives = [(1 - overlap) / total for overlap in overlaps]
    if any(t != 0 and q == 0 for t, q in zip(perturb, joint, strict=True)):
        derivatives[-1] = None
    return overlaps, derivatives


def _bounds(leaves: _Leaves, moves: Sequence[Ball]) -> tuple[Ball, Ball]:
    """``L (H_t(0) - H_t(L))`` and ``c (H_t(0) - H_t(L))``: the bounds of the residual, None where they are infinite (R5)."""
    fall = leaves.expected(leaves.masses(-1), moves)
    if leaves.step == 0:
        fall = _ZERO  # nothing has moved, covered or not
    if fall is None:
        return None, None
    return leaves.step * fall, sharp_constant(leaves.start_volume, leaves.step) * fall


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


def _theta(weights: Sequence[Ball], derivatives: Sequence[Ball]) -> tuple[Ball, Ball]:
    """epsilon and 1/(1 - epsilon) (R3); None where there is none."""
    if len(weights) < 3 or _may_be_zero(derivatives[1]):
        return None, None
    epsilon = 1 + weights[0] * derivatives[0] / (weights[1] * derivatives[1])
    return epsilon, None if _may_be_zero(1 - epsilon) else 1 / (1 - epsilon)
