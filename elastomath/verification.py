"""`verify`: R1-R5 at three levels of evidence, and the counterexamples of R9, each as a claim with a verdict.

symbolic        the derivation, every step checked, and its sums again on a tree of three leaves
certified       instances with exact rational masses: exact fractions, or balls with proved signs
sampled         random mixtures, the library's floats against evaluations that share no code with it
counterexample  an explicit instance, in exact fractions
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .certify import CertifiedLaw, Enclosure, certify_law
from .derivation import DERIVED, DerivationError, derive
from .divergence import cross_entropy, kl_divergence
from .errors import InputError
from .law import finite_law, mixture_constant, mixture_residual, path_entropies, sign_change
from .masses import normalise, pareto_masses, union
from .mixture import Mixture
from .response import response

Array = NDArray[np.float64]
Rows = Sequence[Sequence[Fraction]]

NOT_SHOWN = "not shown"
COUNTEREXAMPLE = "fails: counterexample"
VERDICTS = {
    "R1": "holds",
    "R2": "holds",
    "R3": "holds with constants",
    "R4": "holds only if A < 1 (then dH_a > 0) and eps < 1 (then dH_p < 0)",
    "R5": "holds with constants",
    "R9a": COUNTEREXAMPLE,
    "R9b": COUNTEREXAMPLE,
}
"""The verdict on each result when its checks come out as the theory says."""
VERIFIED: tuple[str, ...] = tuple(VERDICTS)
"""The ids that `verify` knows."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A result, judged at one level of evidence.

    verdict  "holds", "holds with constants", "holds only if ...", "fails: counterexample" or "not shown"
    level    symbolic, certified, sampled or counterexample
    cases    steps checked (symbolic) or instances tried
    detail   what was seen, with the worst case; for a failure, where it failed
    holds    whether the check came out as the theory says (for R9, that the counterexample is one)
    """

    id: str
    verdict: str
    level: str
    cases: int
    detail: str
    holds: bool


def verify(ids: Iterable[str] | None = None, cases: int = 200, seed: int = 0) -> list[Claim]:
    """R1-R5 derived, certified and sampled, and the counterexamples R9a, R9b; one claim for each (id, level).

    ids: which of `VERIFIED`, all by default ("R9" means both of its cases). cases: random mixtures for each sampled claim.
    A check that does not come out gives a claim with ``holds`` False, never an exception.
    Raises InputError for an unknown id or cases < 1.

    >>> [(claim.level, claim.holds) for claim in verify(["R2"], cases=5)]
    [('symbolic', True), ('certified', True), ('sampled', True)]
    """
    if cases < 1:
        raise InputError(f"{cases} cases", where="verify", mend="ask for at least one")
    claims = []
    for id in _expanded(ids):
        for level, check in _CHECKS[id]:
            rng = np.random.default_rng([seed, *id.encode(), *level.encode()])
            tally = _Tally()
            try:
                check(tally, cases, rng)
            except (DerivationError, ArithmeticError, ValueError) as error:
                tally.fail(f"{type(error).__name__}: {error}", NOT_SHOWN)
            claims.append(tally.claim(id, level))
    return claims


def explain(id: str, style: str = "text") -> str:
    """How a result is known: the derivation of R1-R5, the counterexample of R9, as plain text or as a LaTeX fragment.

    Raises InputError for an unknown id or style.

    >>> print(explain("R9b").splitlines()[0])
    R9b  The alignment data is the perturbation data: P_a = P_t, different from P_p
    """
    if style not in ("text", "latex"):
        raise InputError(f"unknown style {style!r}", where="explain", mend="choose text or latex")
    if id in DERIVED:
        return derive(id).text() if style == "text" else derive(id).latex()
    if id in COUNTEREXAMPLES:
        example = COUNTEREXAMPLES[id]
        return example.text() if style == "text" else example.latex()
    raise InputError(f"nothing to explain about {id!r}", where="explain", mend=f"choose one of {', '.join(VERIFIED)}")


def _expanded(ids: Iterable[str] | None) -> list[str]:
    if ids is None:
        return list(VERIFIED)
    out: list[str] = []
    for id in [ids] if isinstance(ids, str) else ids:
        known = [name for name in VERIFIED if name == id or (name[:-1] == id and name[-1].isalpha())]
        if not known:
            raise InputError(f"unknown result {id!r}", where="verify", mend=f"choose from {', '.join(VERIFIED)}")
        out += known
    return list(dict.fromkeys(out))


@dataclass
class _Tally:
    """What a check saw: how many cases, how close to its tolerances, and the first thing that did not hold."""

    cases: int = 0
    notes: list[str] = field(default_factory=list)
    worst: dict[str, tuple[float, float]] = field(default_factory=dict)
    failure: str = ""
    verdict: str = ""

    def fail(self, what: str, verdict: str = COUNTEREXAMPLE) -> None:
        if not self.failure:
            self.failure, self.verdict = f"case {self.cases}: {what}", verdict

    def true(self, what: str, holds: object) -> None:
        if not holds:
            self.fail(what)

    def close(self, what: str, value: float, expected: float, scale: float, tolerance: float) -> None:
        """|value - expected| <= tolerance * scale, where scale is the size of the terms that were added up."""
        error = 0.0 if value == expected else abs(value - expected) / max(scale, 1e-300)
        if not error <= tolerance:  # also for nan
            self.fail(f"{what}: {value:.17g} where {expected:.17g} was expected (error {error:.1e} of {scale:.3g})")
        if error >= self.worst.get(what, (0.0, 0.0))[0]:
            self.worst[what] = (error, tolerance)

    def above(self, what: str, value: float, bound: float, scale: float, tolerance: float = 1e-11) -> None:
        """value >= bound, up to rounding of size tolerance * scale."""
        if not value >= bound - tolerance * scale:
            self.fail(f"{what}: {value:.17g} is below {bound:.17g}")

    def claim(self, id: str, level: str) -> Claim:
        worst = [f"{what}: worst error {error:.1e}" for what, (error, _) in self.worst.items()]
        detail = "; ".join([self.failure] if self.failure else [*self.notes, *worst])
        failed = NOT_SHOWN if level == "counterexample" else self.verdict  # an example that is none shows nothing
        return Claim(id, failed if self.failure else VERDICTS[id], level, self.cases, detail, not self.failure)


# --- symbolic ----------------------------------------------------------------------------------------------------


def _symbolic(id: str) -> Callable[[_Tally, int, np.random.Generator], None]:
    def check(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
        derivation = derive(id)
        tally.cases = len(derivation.steps)
        sums = derivation.check_on_leaves(3)
        tally.notes.append(f"{len(derivation.steps)} steps for any number of leaves, {sums} again on 3 symbolic leaves")
        tally.notes.append(derivation.conclusion)

    return check


# --- certified ---------------------------------------------------------------------------------------------------


def _counts(*rows: Sequence[int | Fraction]) -> list[list[Fraction]]:
    return [[Fraction(mass) / sum(row) for mass in row] for row in rows]


def _exact_union(*parts: Sequence[Fraction]) -> list[Fraction]:
    return [sum(masses, start=Fraction(0)) / len(parts) for masses in zip(*parts, strict=True)]


def certified_instances() -> dict[str, tuple[list[list[Fraction]], list[Fraction]]]:
    """The instances on which R1-R5 are certified, as exact masses (rows) and volumes, the perturbation last.

    >>> sorted(certified_instances())[:3]
    ['Pareto floats, union of three', 'Pareto-like', 'four datasets']
    """
    squares = [Fraction(1, j * j) for j in range(1, 9)]
    pareto = _counts(squares, [squares[(5 * j) % 8] for j in range(8)], [squares[(3 * j + 1) % 8] for j in range(8)])
    parts = _counts([9, 4, 2, 1, 1, 1], [1, 2, 9, 1, 4, 1], [1, 1, 1, 9, 2, 4])
    draws = [[Fraction(float(mass)) for mass in pareto_masses(1.5, 24, seed=seed)] for seed in (1, 2, 3)]
    floats = _counts(*draws)
    quarter, half = Fraction(1, 4), Fraction(1, 2)
    return {
        "three leaves": (_counts([2, 1, 1], [0, 1, 1], [1, 0, 0]), [Fraction(10), Fraction(1), half]),
        "Pareto-like": (pareto, [Fraction(20), Fraction(1), Fraction(1, 10)]),
        "sparse": (
            _counts([1, 2, 0, 0, 3, 0, 1], [0, 1, 4, 0, 0, 2, 0], [0, 0, 1, 0, 5, 1, 0]),
            [Fraction(7, 3), Fraction(1), Fraction(2)],
        ),
        "union of three": ([_exact_union(*parts), parts[1], parts[2]], [Fraction(100), Fraction(1), quarter]),
        "union of two": ([_exact_union(*parts[:2]), parts[0], parts[1]], [Fraction(5), Fraction(1), half]),
        "large perturbation": (parts, [Fraction(1, 2), Fraction(1), Fraction(1000)]),
        "not covered": (  # the last leaf is P_t's alone: H_t(0) is infinite, and so is the bound
            _counts([1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 2]),
            [Fraction(8), Fraction(1), Fraction(1, 3)],
        ),
        "four datasets": (
            [*pareto, _counts([1, 1, 1, 1, 2, 2, 0, 0])[0]],
            [Fraction(3), Fraction(1), Fraction(1, 2), Fraction(4, 3)],
        ),
        "Pareto floats, union of three": (
            [_exact_union(*floats), floats[1], floats[2]],
            [Fraction(10), Fraction(1), quarter],
        ),
    }


def exact_overlaps(rows: Rows, volumes: Sequence[Fraction]) -> list[Fraction]:
    """``O_i = sum_x P_i P_t / q`` in exact fractions, from the definition; shape (n,).

    >>> exact_overlaps([[Fraction(1, 2)] * 2, [Fraction(1), Fraction(0)]], [Fraction(1), Fraction(1)])
    [Fraction(2, 3), Fraction(4, 3)]
    """
    total = sum(volumes)
    out = [Fraction(0) for _ in rows]
    for masses in zip(*rows, strict=True):
        joint = sum((w * p for w, p in zip(volumes, masses, strict=True)), start=Fraction(0)) / total
        if joint:
            out = [o + p * masses[-1] / joint for o, p in zip(out, masses, strict=True)]
    return out


def _floats(rows: Rows, volumes: Sequence[Fraction]) -> Mixture:
    return Mixture.of([[float(mass) for mass in row] for row in rows], [float(volume) for volume in volumes])


def _certified_response(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    for name, (rows, volumes) in certified_instances().items():
        tally.cases += 1
        law, total = certify_law(rows, volumes), sum(volumes)
        mixture = _floats(rows, volumes)
        seen, codes, paths = response(mixture), mixture.cross_entropies(), path_entropies(mixture, [float(volumes[-1])])
        tally.true(f"{name}: digits not proved", law.proved)
        for i, overlap in enumerate(exact_overlaps(rows, volumes)):
            exact = float((1 - overlap) / total)
            scale = float((1 + overlap) / total)
            tally.true(f"{name}: {exact!r} is not the series' slope of H_{i}", _meet(law.slopes[i], exact))
            tally.true(f"{name}: {exact!r} is not the certified dH_{i}", _meet(law.derivatives[i], exact))
            tally.close("float derivative", seen.derivatives[i], exact, scale, 1e-13)
            tally.close("float overlap", seen.overlaps[i], float(overlap), float(1 + overlap), 1e-13)
            for value in (codes[i], paths[i, 0]):
                tally.close("float cross entropy", value, law.entropies[i].estimate, 1 + law.entropies[i].high, 1e-13)
    tally.notes.append("exact overlaps inside the enclosed Taylor slopes of the entropies")


def _meet(enclosure: Enclosure | None, value: float) -> bool:
    """Whether a fraction, rounded to the nearest float, can lie in the enclosure (one float of room on each side)."""
    if enclosure is None:
        return False
    return math.nextafter(enclosure.low, -math.inf) <= value <= math.nextafter(enclosure.high, math.inf)


def _certified_balance(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    for name, (rows, volumes) in certified_instances().items():
        tally.cases += 1
        overlaps = exact_overlaps(rows, volumes)
        balance = sum((w * (1 - o) for w, o in zip(volumes, overlaps, strict=True)), start=Fraction(0))
        tally.true(f"{name}: the exact balance is {balance}", balance == 0)
        law = certify_law(rows, volumes)
        tally.true(f"{name}: the certified balance is {law.balance}", law.balance.sign == 0)
        tally.close("float balance", response(_floats(rows, volumes)).balance, 0.0, 1.0, 1e-13)
    tally.notes.append("sum_i w_i dH_i is exactly 0 in fractions")


def _certified_theta(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    constants = []
    for name, (rows, volumes) in certified_instances().items():
        if len(rows) != 3:
            continue
        tally.cases += 1
        c, a, t = exact_overlaps(rows, volumes)
        k, _, step = volumes
        epsilon = step * (t - 1) / (1 - a)
        constant = -(1 - a) / (k * (1 - c))
        tally.true(f"{name}: constant {constant} is not 1/(1 - eps), eps = {epsilon}", constant == 1 / (1 - epsilon))
        if c > 1 > a:
            tally.true(f"{name}: the theorem's signs hold, but the constant is {constant} < 1", constant >= 1)
        law, seen = certify_law(rows, volumes), response(_floats(rows, volumes))
        for what, enclosed, value, exact in (
            ("epsilon", law.epsilon, seen.epsilon, epsilon),
            ("constant", law.theta_constant, seen.theta_constant, constant),
        ):
            tally.true(f"{name}: {what} {float(exact)!r} is not in {enclosed}", _meet(enclosed, float(exact)))
            tally.close(f"float {what}", value, float(exact), float(abs(exact) * (1 + abs(constant))), 1e-11)
        constants.append(f"{float(constant):.6g} ({name})")
    tally.notes.append("-dH_a/(k dH_p) = 1/(1 - eps) exactly: " + ", ".join(constants))


def _certified_signs(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    steps = [Fraction(10) ** power for power in range(-4, 5)]
    for name, (rows, volumes) in certified_instances().items():
        tally.cases += 1
        before: list[Fraction] | None = None
        for step in steps:
            at = [*volumes[:-1], step]
            overlaps, total = exact_overlaps(rows, at), sum(at)
            scaled = [total * (1 - overlap) for overlap in overlaps]  # N^2 dH_i/dl
            if before is not None:
                rising = all(new >= old for new, old in zip(scaled, before, strict=True))
                tally.true(f"{name}: N^2 dH_i falls before l = {float(step):g}", rising)
            before = scaled
            signs = [value.sign for value in certify_law(rows, at).derivatives]
            tally.true(f"{name}: certified signs {signs}", signs == [(s > 0) - (s < 0) for s in scaled])
            seen = [int(np.sign(value)) for value in response(_floats(rows, at)).derivatives]
            clear = [abs(s) > Fraction(1, 10**9) * total for s in scaled]
            tally.true(
                f"{name}: float signs {seen}", all(a == b for a, b, c in zip(seen, signs, clear, strict=True) if c)
            )
            if len(rows) == 3 and overlaps[1] >= 1:
                tally.true(f"{name}: A >= 1 and yet dH_p < 0 at l = {float(step):g}", scaled[0] >= 0)
    tally.notes.append(f"N^2 dH_i never falls over {len(steps)} volumes from 1e-4 to 1e4, in fractions")


def _certified_finite(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    ratios = []
    for name, (rows, volumes) in certified_instances().items():
        covered = all(masses[-1] == 0 or any(masses[:-1]) for masses in zip(*rows, strict=True))
        tally.cases += 1
        law = certify_law(rows, volumes)
        tally.true(f"{name}: digits not proved", law.proved)
        gap = law.residual_gap
        tally.true(f"{name}: the residual is not N_0 KL, {gap}", 0.0 in gap and gap.high - gap.low < 1e-25)
        tally.true(f"{name}: residual {law.residual}", law.residual.sign == 1)
        if covered:
            tally.true(f"{name}: residual beyond the sharp bound", law.sharp_slack.sign == 1)
            tally.true(f"{name}: residual beyond half the bound", law.slack.sign == 1)
            ratios.append(law.residual.estimate / law.bound.estimate)
        _floats_agree(tally, law, rows, volumes)
    tally.notes.append(
        f"residual = N_0 KL enclosed to 1e-25; residual/bound from {min(ratios):.6f} to {max(ratios):.6f}, "
        "proved below c/L <= 1/2"
    )


def _floats_agree(tally: _Tally, law: CertifiedLaw, rows: Rows, volumes: Sequence[Fraction]) -> None:
    start, step = _floats(rows, [*volumes[:-1], Fraction(0)]), float(volumes[-1])
    size = float(sum(volumes)) * (1 + max(value.high for value in law.entropies))
    tally.close("float KL residual", mixture_residual(start, step), law.residual.estimate, law.residual.estimate, 1e-12)
    if math.isinf(law.bound.estimate):
        return
    seen = finite_law([0.0, step], start.volumes[:-1], path_entropies(start, [0.0, step]))
    tally.close("float residual", seen.residual[1], law.residual.estimate, size, 1e-13)
    tally.close("float bound", seen.upper[1], law.bound.estimate, size, 1e-13)
    constant = law.sharp_bound.estimate / law.bound.estimate * step
    tally.close("float c", mixture_constant(start.total, step), constant, constant, 1e-11)


# --- sampled -----------------------------------------------------------------------------------------------------


def sample_mixture(rng: np.random.Generator, datasets: int = 3) -> Mixture:
    """A random mixture to test laws on: smooth, sparse, Pareto, unions and near-equal datasets, volumes over many decades.

    2 to 64 leaves; k from 1e-2 to 1e4, l from 1e-3 to 1e2, every volume > 0; P_t is always covered at l > 0.

    >>> sample_mixture(np.random.default_rng(0)).components.shape[0]
    3
    """
    leaves = int(rng.integers(2, 65))
    kind = rng.choice(["smooth", "sparse", "pareto", "union", "near"])
    if kind == "pareto":
        rows = [pareto_masses(1.0 + rng.uniform(0.1, 3.0), leaves, rng) for _ in range(datasets)]
    elif kind == "sparse":
        rows = [normalise(rng.random(leaves) * (rng.random(leaves) < 0.4) + 1e-300) for _ in range(datasets)]
        rows = [normalise(np.where(row > 1e-200, row, 0.0)) if row.max() > 1e-200 else row for row in rows]
    elif kind == "near":
        base = rng.dirichlet(np.ones(leaves))
        rows = [
            normalise(base * (1 + 10.0 ** rng.uniform(-4, -1) * rng.uniform(-1, 1, leaves))) for _ in range(datasets)
        ]
    else:
        rows = [normalise(rng.gamma(0.3, size=leaves) + 1e-12) for _ in range(datasets)]
    if kind == "union":
        rows[0] = union([rng.dirichlet(np.ones(leaves)), *rows[1:]])
    volumes = [10.0 ** rng.uniform(-2, 4), *([1.0] * (datasets - 2)), 10.0 ** rng.uniform(-3, 2)]
    return Mixture.of(rows, volumes)


def _direct_codes(rows: Array, volumes: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """H(P_i, q) from the definition, one dataset at a time, for complex volumes: shape (n,)."""
    joint = (volumes[:, None] * rows).sum(axis=0) / volumes.sum()
    return np.array([-(row[row > 0] * np.log(joint[row > 0])).sum() for row in rows])


def _direct_derivatives(mixture: Mixture) -> Array:
    """dH_i/dl by a complex step in l: the imaginary part of H_i(l + ih)/h, exact to rounding for h = 1e-30."""
    volumes = mixture.volumes.astype(np.complex128)
    volumes[-1] += 1e-30j
    return np.asarray(_direct_codes(mixture.components, volumes).imag / 1e-30, dtype=np.float64)


def _direct_overlaps(mixture: Mixture) -> list[float]:
    total = math.fsum(mixture.volumes)
    joint = [math.fsum(w * p for w, p in zip(mixture.volumes, column, strict=True)) for column in mixture.components.T]
    perturb = mixture.components[-1]
    return [
        math.fsum(p * t * total / m for p, t, m in zip(row, perturb, joint, strict=True) if m > 0)
        for row in mixture.components
    ]


def _sampled_response(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    for _ in range(cases):
        tally.cases += 1
        mixture = sample_mixture(rng, int(rng.integers(2, 6)))
        seen, slopes, overlaps = response(mixture), _direct_derivatives(mixture), _direct_overlaps(mixture)
        codes = _direct_codes(mixture.components, mixture.volumes.astype(np.complex128)).real
        paths = path_entropies(mixture, [mixture.volumes[-1]])[:, 0]
        joint = mixture.cross_entropies()
        for i, overlap in enumerate(overlaps):
            scale = (1 + overlap) / mixture.total
            tally.close("dH_i against a complex step", seen.derivatives[i], slopes[i], scale, 1e-12)
            tally.close("overlap against a direct sum", seen.overlaps[i], overlap, 1 + overlap, 1e-12)
            tally.close("H_i against a direct sum", joint[i], codes[i], 1 + codes[i], 1e-12)
            tally.close("H_i(l) against a direct sum", paths[i], codes[i], 1 + codes[i], 1e-12)


def _sampled_balance(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    for _ in range(cases):
        tally.cases += 1
        mixture = sample_mixture(rng, int(rng.integers(2, 7)))
        seen, slopes = response(mixture), _direct_derivatives(mixture)
        tally.close("sum w dH by complex steps", math.fsum(mixture.volumes * slopes), 0.0, 1.0, 1e-11)
        tally.close("balance", seen.balance, math.fsum(mixture.volumes * seen.derivatives), 1.0, 1e-13)
        tally.close("balance against 0", seen.balance, 0.0, 1.0, 1e-11)
        other = normalise(mixture.masses * rng.uniform(0.5, 2.0, mixture.leaves))
        more = [cross_entropy(row, other) - cross_entropy(row, mixture.masses) for row in mixture.components]
        cost, scale = math.fsum(mixture.volumes * more), mixture.total * (1 + float(mixture.cross_entropies().max()))
        tally.above("cost of another compressor", cost, 0.0, scale)
        tally.close(
            "cost of another compressor", cost, mixture.total * kl_divergence(mixture.masses, other), scale, 1e-12
        )
        start = mixture.at(0.0)
        tau = math.fsum(start.components[-1][(start.components[:-1] == 0).all(axis=0)])
        tally.close("balance of the others at l = 0 against tau", response(start).balance, tau, 1.0, 1e-11)


def _sampled_theta(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    constants = []
    for _ in range(cases):
        tally.cases += 1
        mixture = sample_mixture(rng)
        seen, slopes = response(mixture), _direct_derivatives(mixture)
        (_, a, _), (k, _, step) = _direct_overlaps(mixture), mixture.volumes
        pairs = list(zip(mixture.components[-1], mixture.masses, strict=True))
        chi_square = math.fsum((t - q) ** 2 / q for t, q in pairs if q > 0)
        if abs(1 - a) < 1e-6:
            continue  # A = 1 is excluded by R3, and near it no digit of eps is left
        epsilon, condition = step * chi_square / (1 - a), (1 + a) / abs(1 - a)
        tally.close("eps against l (T-1)/(1-A)", seen.epsilon, epsilon, abs(epsilon) * condition, 1e-12)
        if abs(1 - epsilon) < 1e-6 * (1 + abs(epsilon)):
            continue
        constant = -slopes[1] / (k * slopes[0])
        condition *= (1 + abs(epsilon)) / abs(1 - epsilon)
        overlap = (1 + abs(1 - mixture.total * slopes[0])) / abs(mixture.total * slopes[0])
        tally.close(
            "constant against complex steps",
            seen.theta_constant,
            constant,
            abs(constant) * (condition + overlap),
            1e-12,
        )
        if slopes[0] < 0 < slopes[1]:
            tally.above("constant where the signs hold", seen.theta_constant, 1.0, condition, 1e-12)
            constants.append(constant)
    if constants:
        tally.notes.append(
            f"the theorem's signs held in {len(constants)} cases, with constants from {min(constants):.4g}"
        )


def _sampled_signs(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    turned = 0
    for _ in range(cases):
        tally.cases += 1
        mixture = sample_mixture(rng)
        base = float(mixture.volumes[:-1].sum())
        steps = base * 10.0 ** np.linspace(-6, 2, 17)
        tables = [_direct_derivatives(mixture.at(float(step))) for step in steps]
        scaled = np.array([(base + step) * slopes for step, slopes in zip(steps, tables, strict=True)])  # 1 - O_i
        noise = 1e-12 * (2 + np.abs(scaled))
        rising = (base + steps[:, None]) * scaled
        falls = rising[:-1] - rising[1:] - (base + steps[1:, None]) * (noise[:-1] + noise[1:])
        tally.true(f"N^2 dH_i falls by {falls.max():.3g}", falls.max() <= 0)
        signs = np.where(np.abs(scaled) > 10 * noise, np.sign(scaled), 0)
        tally.true("A >= 1 and yet dH_p < 0", not np.any((signs[:, 1] < 0) & (signs[:, 0] < 0)))
        for dataset in (0, 1):
            root = sign_change(mixture, dataset, limit=1e6 * base)
            low = steps[signs[:, dataset] < 0].max(initial=0.0)
            high = steps[signs[:, dataset] > 0].min(initial=math.inf)
            tally.true(f"dH_{dataset} is > 0 at l = {high:g} and < 0 at {low:g}", low < high)
            if low > 0 and high < math.inf:
                turned += 1
                tally.true(f"dH_{dataset} turns at {root}, not in ({low:g}, {high:g})", root and low < root < high)
            elif root is not None:
                tally.true(f"dH_{dataset} turns at {root:g}, where its sign is clear", low <= root <= high)
            if root is not None:
                slope = (base + root) * _direct_derivatives(mixture.at(root))[dataset]
                tally.close("overlap where dH_i turns, against 1", 1.0 - slope, 1.0, 2.0, 1e-11)
    tally.notes.append(f"N^2 dH_i never falls; {turned} turning points, each from - to + and found by sign_change")


def _sampled_finite(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    largest = 0.0
    for _ in range(cases):
        tally.cases += 1
        mixture = sample_mixture(rng, int(rng.integers(2, 6)))
        first, last = sorted(10.0 ** rng.uniform(-3, 2, size=2) * mixture.volumes[:-1].sum())
        share = _uncovered_share(mixture)
        start = mixture.at(0.0)
        path = [0.0, first, last]
        codes = path_entropies(start, path)
        scale = (start.total + last) * (1 + float(codes[np.isfinite(codes)].max()))
        exact = _direct_residual(start, last)
        size = exact + 1e-2 * math.sqrt(exact * start.total)  # rounding q moves KL by 1e-16 sqrt(KL)
        tally.close("N_0 KL against a direct sum", mixture_residual(start, last), exact, size, 1e-12)
        if share == 0:
            law = finite_law(path, start.volumes[:-1], codes)
            fall = _direct_fall(start, last)
            tally.close("residual against N_0 KL", law.residual[2], exact, scale, 1e-12)
            tally.close("bound against L (H_t(0) - H_t(L))", law.upper[2], last * fall, scale, 1e-12)
            tally.true("the finite law does not hold", law.holds(1e-12 * scale))
            tally.above(
                "c (H_t(0) - H_t(L)) above the residual", mixture_constant(start.total, last) * fall, exact, exact
            )
            largest = max(largest, exact / (last * fall)) if fall > 1e-9 else largest
        later = codes[:, 2] - codes[:, 1]  # from the start l_0 = first, where everything is covered
        others, drop = math.fsum(start.volumes[:-1] * later[:-1]), -float(later[-1])
        tally.above("residual from any start, below", others, first * drop, scale)
        tally.above("residual from any start, above", last * drop, others, scale)
    for width in (1e-3, 0.1, 1.0, 10.0, 1e3):
        ratio, constant = _extremal_ratio(width), mixture_constant(1.0, width)
        tally.close("the extremal family attains c", ratio, constant, constant, 1e-4)
    tally.notes.append(f"residual/bound up to {largest:.6f}; c attained to 1e-4 by conditioned copies of q_0")


def _uncovered_share(mixture: Mixture) -> float:
    return float(mixture.components[-1][(mixture.components[:-1] == 0).all(axis=0)].sum())


def _direct_residual(start: Mixture, last: float) -> float:
    """N_0 KL(q_0 || q_L) leaf by leaf as N_0 sum_x q_0 (r - 1 - ln r), r = q_L/q_0: the linear terms sum to 0."""
    base = start.volumes[:-1] @ start.components[:-1]
    volume, perturb = float(start.volumes[:-1].sum()), start.components[-1]
    terms = []
    for b, t in zip(base.tolist(), perturb.tolist(), strict=True):
        if b > 0:
            rise = last * (volume * t / b - 1) / (volume + last)  # q_L/q_0 - 1
            terms.append(b * (rise - math.log1p(rise)))
        else:
            terms.append(volume * last * t / (volume + last))
    return math.fsum(terms)


def _direct_fall(start: Mixture, last: float) -> float:
    """H_t(0) - H_t(L) = sum_x P_t ln(q_L/q_0), leaf by leaf."""
    base, volume = start.volumes[:-1] @ start.components[:-1], float(start.volumes[:-1].sum())
    return math.fsum(
        t * math.log1p(last * (volume * t / b - 1) / (volume + last))
        for b, t in zip(base.tolist(), start.components[-1].tolist(), strict=True)
        if t > 0
    )


def _extremal_ratio(width: float, missed: float = 1e-5) -> float:
    """residual/(H_t(0) - H_t(L)) at L = width, N_0 = 1, where P_t is q_0 given an event of probability 1 - missed."""
    start = Mixture.of([[1 - missed, missed], [1 - missed, missed], [1.0, 0.0]], [0.5, 0.5, 0.0])
    law = finite_law([0.0, width], [0.5, 0.5], path_entropies(start, [0.0, width]))
    return mixture_residual(start, width) / (float(law.upper[1]) / width)


# --- counterexamples ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counterexample:
    """An instance that violates the theorem without one of its assumptions: exact masses, volumes, and what they give."""

    id: str
    title: str
    missing: str
    failing: str
    rows: tuple[tuple[Fraction, ...], ...]
    volumes: tuple[Fraction, ...]

    def responses(self) -> list[Fraction]:
        """dH_p, dH_a, dH_t per unit of l, in exact fractions."""
        total = sum(self.volumes)
        return [(1 - overlap) / total for overlap in exact_overlaps(self.rows, self.volumes)]

    def text(self) -> str:
        """The instance and its responses in plain text."""
        names = ("P_p", "P_a", "P_t")
        masses = [f"    {n} = ({', '.join(map(str, row))})" for n, row in zip(names, self.rows, strict=True)]
        values = [f"dH_{n} = {value}" for n, value in zip("pat", self.responses(), strict=True)]
        return "\n".join(
            [
                f"{self.id}  {self.title}",
                "",
                f"The theorem says dH_p < 0 < dH_a and dH_a = Theta(-k dH_p). Without {self.missing} it fails: {self.failing}.",
                "Leaf masses",
                *masses,
                f"with volumes (k, 1, l) = ({', '.join(map(str, self.volumes))}) give, exactly,",
                "    " + ", ".join(values) + f", -dH_a/(k dH_p) = {self.ratio()}",
            ]
        )

    def latex(self) -> str:
        """The same as a LaTeX fragment."""
        names = ("P_p", "P_a", "P_t")
        masses = [f"{n} = ({', '.join(map(_tex, row))})" for n, row in zip(names, self.rows, strict=True)]
        values = [f"dH_{n}/dl = {_tex(value)}" for n, value in zip("pat", self.responses(), strict=True)]
        missing = re.sub(r"D_p = D_1 u D_2 u D_3", _tex_union, self.missing)
        title = re.sub(r"P_\w( = P_\w)?", lambda name: rf"\( {name[0]} \)", self.title)
        return "\n".join(
            [
                rf"\paragraph{{{self.id}. {title}}}",
                rf"Without {missing} the theorem fails: {_tex_signs(self.failing)}. Leaf masses",
                rf"\[ {', '.join(masses)} \]",
                rf"with volumes \( (k, 1, l) = ({', '.join(map(_tex, self.volumes))}) \) give, exactly,",
                rf"\[ {', '.join(values)} \]",
            ]
        )

    def ratio(self) -> Fraction:
        """-dH_a/(k dH_p), which the theorem wants positive and bounded on both sides."""
        pretrain, align, _ = self.responses()
        return -align / (self.volumes[0] * pretrain)


def _tex_union(words: re.Match[str]) -> str:
    return rf"\( {words[0].replace(' u ', chr(92) + 'cup ')} \)"


def _tex_signs(words: str) -> str:
    return words.replace("dH_p > 0", r"\( dH_p/dl > 0 \)")


def _tex(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else rf"\tfrac{{{value.numerator}}}{{{value.denominator}}}"


def _whole(*rows: Sequence[int]) -> tuple[tuple[Fraction, ...], ...]:
    return tuple(tuple(row) for row in _counts(*rows))


COUNTEREXAMPLES = {
    "R9a": Counterexample(
        "R9a",
        "Disjoint supports, no union",
        "the union D_p = D_1 u D_2 u D_3",
        "dH_p > 0, and the ratio of Theta is negative",
        _whole([1, 0, 0], [0, 1, 0], [0, 0, 1]),
        (Fraction(10), Fraction(1), Fraction(1, 10)),
    ),
    "R9b": Counterexample(
        "R9b",
        "The alignment data is the perturbation data: P_a = P_t, different from P_p",
        "alignment and perturbation data that differ",
        "both signs flip (only Theta stays: the ratio is 1/(1+l))",
        _whole([1, 1], [1, 0], [1, 0]),
        (Fraction(10), Fraction(1), Fraction(1, 10)),
    ),
}
"""The counterexamples of R9 as instances: the smallest trees on which they exist (three leaves, two leaves)."""


def _disjoint(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    example = COUNTEREXAMPLES["R9a"]
    instances = [(example.rows, example.volumes)]
    for _ in range(min(cases, 50)):
        sizes = rng.integers(1, 4, size=3)
        edges = np.concatenate([[0], np.cumsum(sizes)])
        rows = [[0] * int(edges[-1]) for _ in range(3)]
        for row, low, high in zip(rows, edges[:-1], edges[1:], strict=True):
            row[low:high] = [int(count) for count in rng.integers(1, 10, size=high - low)]
        instances.append((_whole(*rows), _random_volumes(rng)))
    for masses, volumes in instances:
        tally.cases += 1
        total = sum(volumes)
        responses = [(1 - overlap) / total for overlap in exact_overlaps(masses, volumes)]
        tally.true(f"dH_p, dH_a = {responses[:2]}", responses[0] == responses[1] == 1 / total)
        _seen_alike(tally, masses, volumes, responses, [1, 1])
    tally.notes.append(
        "P_p, P_a, P_t on one leaf each, k = 10, l = 1/10: dH_p = dH_a = 1/N = 10/111 > 0, so dH_p < 0 fails, and "
        "-dH_a/(k dH_p) = -1/10 < 0, so Theta fails"
    )
    tally.true(
        "the printed instance", example.responses()[0] == Fraction(10, 111) and example.ratio() == Fraction(-1, 10)
    )


def _same(tally: _Tally, cases: int, rng: np.random.Generator) -> None:
    example = COUNTEREXAMPLES["R9b"]
    instances = [(example.rows, example.volumes)]
    for _ in range(min(cases, 50)):
        leaves = int(rng.integers(2, 7))
        pretrain, align = rng.integers(1, 10, size=(2, leaves))
        if (pretrain * align.sum() == align * pretrain.sum()).all():
            align[0] += 1
        rows = [[int(count) for count in row] for row in (pretrain, align, align)]
        instances.append((_whole(*rows), _random_volumes(rng)))
    for masses, volumes in instances:
        tally.cases += 1
        overlaps, total = exact_overlaps(masses, volumes), sum(volumes)
        tally.true(f"A, T = {overlaps[1:]}", overlaps[1] == overlaps[2] > 1)
        responses = [(1 - overlap) / total for overlap in overlaps]
        tally.true(f"dH_p, dH_a = {responses[:2]}", responses[1] < 0 < responses[0])
        _seen_alike(tally, masses, volumes, responses, [1, -1])
    pretrain, align, _ = example.responses()
    tally.notes.append(
        f"P_p = (1/2, 1/2), P_a = P_t = (1, 0), k = 10, l = 1/10: dH_p = {pretrain} > 0 > dH_a = {align}: both signs flip"
    )


def _seen_alike(
    tally: _Tally,
    rows: Rows,
    volumes: Sequence[Fraction],
    responses: Sequence[Fraction],
    signs: list[int],
) -> None:
    """The ball and the float see the same responses and signs as the fractions do."""
    law, seen = certify_law(rows, volumes), response(_floats(rows, volumes))
    tally.true(f"certified signs {law.signs}", [value.sign for value in law.derivatives[:2]] == signs)
    for i, exact in enumerate(responses):
        tally.true(f"dH_{i} = {exact} is not in {law.slopes[i]}", _meet(law.slopes[i], float(exact)))
        tally.close("float derivative", seen.derivatives[i], float(exact), float(abs(exact) + 1 / sum(volumes)), 1e-13)


def _random_volumes(rng: np.random.Generator) -> tuple[Fraction, ...]:
    return Fraction(int(rng.integers(1, 100))), Fraction(1), Fraction(int(rng.integers(1, 20)), 10)


_Check = Callable[[_Tally, int, np.random.Generator], None]
_CHECKS: dict[str, list[tuple[str, _Check]]] = {
    "R1": [("symbolic", _symbolic("R1")), ("certified", _certified_response), ("sampled", _sampled_response)],
    "R2": [("symbolic", _symbolic("R2")), ("certified", _certified_balance), ("sampled", _sampled_balance)],
    "R3": [("symbolic", _symbolic("R3")), ("certified", _certified_theta), ("sampled", _sampled_theta)],
    "R4": [("symbolic", _symbolic("R4")), ("certified", _certified_signs), ("sampled", _sampled_signs)],
    "R5": [("symbolic", _symbolic("R5")), ("certified", _certified_finite), ("sampled", _sampled_finite)],
    "R9a": [("counterexample", _disjoint)],
    "R9b": [("counterexample", _same)],
}
