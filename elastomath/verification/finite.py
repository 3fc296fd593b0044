"""R5 verified: the finite law and its best constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..certify.response import CertifiedLaw, certify_law
from ..laws.finite import finite_law, mixture_constant, mixture_residual, path_entropies
from ..mixtures.mixture import Mixture
from .instances import Rows, as_floats, certified_instances, sample_mixture
from .tally import Tally, derived


def _certified_finite(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    ratios = []
    for name, (rows, volumes) in tally.each(certified_instances().items()):
        covered = all(masses[-1] == 0 or any(masses[:-1]) for masses in zip(*rows, strict=True))
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


def _floats_agree(tally: Tally, law: CertifiedLaw, rows: Rows, volumes: Sequence[Fraction]) -> None:
    start, step = as_floats(rows, [*volumes[:-1], Fraction(0)]), float(volumes[-1])
    size = float(sum(volumes)) * (1 + max(value.high for value in law.entropies))
    tally.close("float KL residual", mixture_residual(start, step), law.residual.estimate, law.residual.estimate, 1e-12)
    if math.isinf(law.bound.estimate):
        return
    floats = finite_law([0.0, step], start.volumes[:-1], path_entropies(start, [0.0, step]))
    tally.close("float residual", floats.residual[1], law.residual.estimate, size, 1e-13)
    tally.close("float bound", floats.upper[1], law.bound.estimate, size, 1e-13)
    constant = law.sharp_bound.estimate / law.bound.estimate * step
    tally.close("float c", mixture_constant(start.total, step), constant, constant, 1e-11)


def _sampled_finite(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    largest = 0.0
    for _ in tally.each(range(cases)):
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


RESULTS = {"R5": derived("R5", "holds with constants", _certified_finite, _sampled_finite)}
