"""R16 verified: the volumes that datasets count for, on a finite class, an exponential family and mixtures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..certify.optima import certify_tilt
from ..laws.finite import path_entropies
from ..laws.volumes import effective_volumes, mixture_work, work_bounds
from ..mixtures.mixture import Mixture
from .instances import sample_mixture
from .optima import DATA, LENGTHS, exact_losses, exact_optimum
from .tally import Tally, derived


def _certified_volumes(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    _jumps_exactly(tally)
    _enclosed_work(tally)
    _only_the_sum(tally)
    tally.notes.append(
        "jumps in fractions, K = (k, 1) exactly; Stieltjes sums in balls; disjoint data give only the sum"
    )


def _jumps_exactly(tally: Tally) -> None:
    """Every jump of the exact class: between two breakpoints nothing moves, so int l (-dH_t) is a finite sum."""
    losses, base = exact_losses(DATA, LENGTHS), [Fraction(10), Fraction(1)]
    others = [sum((w * row[m] for w, row in zip(base, losses, strict=False)), Fraction(0)) for m in range(len(LENGTHS))]
    model, at, work = exact_optimum(losses, [*base, Fraction(0)]), Fraction(0), Fraction(0)
    first, jumps = model, 0
    while True:
        later = [
            ((others[m] - others[model]) / (losses[-1][model] - losses[-1][m]), -losses[-1][model] + losses[-1][m], m)
            for m in range(len(LENGTHS))
            if losses[-1][m] < losses[-1][model]
        ]
        if not later:
            break
        at, _, new = min(later)
        work += at * (losses[-1][model] - losses[-1][new])
        model, jumps = new, jumps + 1
        tally.cases += 1
        residual = others[model] - others[first]
        tally.true(f"after the jump at {at}: {residual} is not the work {work}", residual == work)
    tally.true("no jump was seen", jumps > 1)


def _enclosed_work(tally: Tally) -> None:
    tally.cases += 1
    steps = [Fraction(j, 4) for j in range(9)]
    balls = certify_tilt([[0], [1], [2], [4]], [1, 1, 1, 1], [[4, 2, 1, 1], [1, 4, 2, 1], [1, 1, 2, 4]], [5, 1], steps)
    tally.true(
        f"the sums {balls.work} do not enclose the residual", balls.work[0].sign == -1 and balls.work[1].sign == 1
    )
    rates = [[value.estimate for value in row] for row in balls.rates]
    low, high = work_bounds([float(s) for s in steps], rates[-1])
    residual = 5 * (rates[0][-1] - rates[0][0]) + rates[1][-1] - rates[1][0]
    tally.close("the float lower sum", residual + balls.work[0].estimate, low[-1], 1.0, 1e-13)
    tally.close("the float upper sum", residual + balls.work[1].estimate, high[-1], 1.0, 1e-13)


def _only_the_sum(tally: Tally) -> None:
    tally.cases += 1
    start = Mixture.of([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [7, 1, 0])
    steps = [0.5, 1.0, 2.0, 4.0]
    codes = path_entropies(start, [0.0, *steps])
    fitted = effective_volumes(codes[:2, 1:] - codes[:2, :1], mixture_work(start, steps))
    tally.true(f"disjoint data have rank {fitted.rank}", fitted.rank == 1 and bool(np.isnan(fitted.volumes).all()))
    tally.close("K_p + K_a of disjoint data", fitted.total, 8.0, 8.0, 1e-12)


def _sampled_volumes(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    determined = 0
    for _ in tally.each(range(cases)):
        mixture = sample_mixture(rng)
        base, start = mixture.volumes[:-1].copy(), mixture.at(0.0)
        steps = np.sort(float(base.sum()) * 10.0 ** rng.uniform(-1, 1.5, size=6))
        work = mixture_work(mixture, steps)
        codes = path_entropies(start, [0.0, *steps])
        changes = codes[:2, 1:] - codes[:2, :1]
        scale = float(base.sum()) * (1 + float(np.abs(changes).max()))
        for j, step in enumerate(steps):
            direct = _direct_work(mixture, float(step))
            tally.close("the work against a quadrature of l (-dH_t)", work[j], direct, scale, 1e-10)
            tally.close("k DeltaH_p + DeltaH_a against the work", float(base @ changes[:, j]), work[j], scale, 1e-11)
        if not np.abs(changes).max() > 1e-6:
            continue
        fitted = effective_volumes(changes, work)
        if fitted.rank == 2 and fitted.condition < 1e5:
            determined += 1
            for value, volume, row in zip(fitted.volumes, base, changes, strict=True):
                size = volume + scale / float(np.abs(row).max())
                tally.close("K_p and K_a", value, volume, size * fitted.condition, 1e-11)
    tally.true(f"only {determined} curves determine both volumes", determined >= 0.4 * cases)
    tally.notes.append(f"{determined} of {cases} curves determine K_p and K_a, and give k and 1")


def _direct_work(mixture: Mixture, step: float) -> float:
    """int_0^L l (-dH_t/dl) dl by Gauss-Legendre in ln(1 + l/c), from -dH_t/dl = sum_x P_t ((N P_t - m)/(m N)), m = b + l P_t."""
    base, volume = mixture.volumes[:-1] @ mixture.components[:-1], float(mixture.volumes[:-1].sum())
    perturb = mixture.components[-1]
    covered = perturb > 0
    b, t = base[covered], perturb[covered]
    scales = np.log(np.append((b / t)[b > 0], volume))
    edges = np.unique(np.concatenate([np.arange(scales.min() - 34, np.log(step), 1.0), [np.log(step)]]))
    nodes, weights = np.polynomial.legendre.leggauss(8)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    l = np.exp((middle[:, None] + half[:, None] * nodes).ravel())  # noqa: E741
    mass = b + l[:, None] * t
    pull = (l[:, None] * t / mass * (volume * t - b)).sum(axis=1) / (volume + l)  # l (-dH_t/dl)
    return float((half[:, None] * weights).ravel() @ (l * pull))


RESULTS = {"R16": derived("R16", "holds", _certified_volumes, _sampled_volumes)}
