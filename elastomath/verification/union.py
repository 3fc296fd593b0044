"""R8 verified: the union law at any shares, volumes and number of parts, and where its signs turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..laws.response import response
from ..laws.union import rest_ratios, union_constant, union_epsilon, union_law, union_threshold, union_turning
from ..mixtures.masses import pareto_masses
from ..mixtures.mixture import Mixture
from .instances import Rows, direct_derivatives, exact_overlaps, exact_rows
from .tally import Tally, derived

ONE = Fraction(1)


def _union(parts: Rows, shares: Sequence[Fraction]) -> list[Fraction]:
    return [
        sum((s * p for s, p in zip(shares, masses, strict=True)), start=Fraction(0))
        for masses in zip(*parts, strict=True)
    ]


def _instances() -> dict[str, tuple[list[list[Fraction]], list[Fraction], Fraction]]:
    """Parts (P_a second, P_t third, or second of two), their shares, and k."""
    third, parts = Fraction(1, 3), exact_rows([9, 4, 2, 1, 1, 1], [1, 2, 9, 1, 4, 1], [1, 1, 1, 9, 2, 4])
    return {
        "equal thirds": (parts, [third] * 3, Fraction(100)),
        "equal thirds, small k": (parts, [third] * 3, Fraction(1, 2)),
        "unequal shares": (parts, [Fraction(1, 2), Fraction(3, 8), Fraction(1, 8)], Fraction(7, 3)),
        "disjoint": (exact_rows([1, 2, 0, 0, 0, 0], [0, 0, 3, 1, 0, 0], [0, 0, 0, 0, 1, 1]), [third] * 3, Fraction(30)),
        "five parts": (
            [*parts, *exact_rows([1, 1, 1, 1, 1, 1], [6, 1, 5, 2, 4, 3])],
            [Fraction(1, 5), Fraction(1, 10), Fraction(1, 5), Fraction(1, 4), Fraction(1, 4)],
            Fraction(20),
        ),
        "another part beside P_t": (  # pi_a + R < 0, which takes a small k: the signs hold at every l
            exact_rows([0, 1, 8, 1], [6, 3, 1, 1], [0, 1, 9, 1]),
            [third] * 3,
            Fraction(1, 2),
        ),
        "no share of P_a": (parts, [Fraction(1, 2), Fraction(0), Fraction(1, 2)], Fraction(10)),
    }


def _certified_union(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    constants, free = [], 0
    for name, (parts, shares, k) in _instances().items():
        pretrain, share_a, share_t = _union(parts, shares), shares[1], shares[2]
        for step in tally.each((Fraction(1, 100), Fraction(1, 3), Fraction(2), Fraction(50))):
            where, volumes = f"{name} at l = {step}", [k, ONE, step]
            c, a, t = exact_overlaps([pretrain, parts[1], parts[2]], volumes)
            overlaps = [
                exact_overlaps([part, pretrain, parts[1], parts[2]], [Fraction(0), *volumes])[0] for part in parts
            ]
            rest = sum((s * (1 - o) for j, (s, o) in enumerate(zip(shares, overlaps, strict=True)) if j not in (1, 2)),
                       start=Fraction(0)) / (1 - a)  # fmt: skip
            epsilon = step * (k * share_a + 1 + k * rest) / (k * share_t + step)
            tally.true(f"{where}: eps = {epsilon}", epsilon == step * (t - 1) / (1 - a))
            constant = -(1 - a) / (k * (1 - c))
            factor = (1 + step / (k * share_t)) / (1 - step * (share_a + rest) / share_t)
            tally.true(f"{where}: the constant is {constant}, not {factor}", constant == factor)
            tally.true(f"{where}: pi_a + R < -1/k", a >= 1 or share_a + rest >= -1 / k)
            if a < 1:
                holds = step * (share_a + rest) < share_t
                tally.true(f"{where}: dH_p < 0 is {c > 1}, told {holds}", (c > 1) == holds)
                free += share_a + rest <= 0
            if shares == [Fraction(1, 3)] * 3:
                balance = t + a + overlaps[0] - 3 - 3 / k * ((1 - a) - step * (t - 1))
                tally.true(f"{where}: T + A + A' is off by {balance}", balance == 0)
            law = union_law(
                [[float(p) for p in part] for part in parts], [float(v) for v in volumes], [float(s) for s in shares]
            )
            size = float((1 + abs(rest)) * (1 + (1 + a) / abs(1 - a)))
            for gap, overlap in zip(law.gaps, overlaps, strict=True):
                tally.close("1 - O_j", float(gap), float(1 - overlap), float(1 + overlap), 1e-13)
            tally.close("R", law.rest, float(rest), size, 1e-13)
            tally.close("epsilon", law.epsilon, float(epsilon), (1 + float(abs(epsilon))) * size, 1e-12)
            condition = size * (1 + float(abs(epsilon))) * (1 + float(abs(constant)))
            tally.close("constant", law.theta_constant, float(constant), float(abs(constant)) * condition, 1e-12)
            bound = float(share_t / (share_a + rest)) if share_a + rest > 0 else math.inf
            if bound < math.inf:
                tally.close("threshold", law.threshold, bound, bound * size * (1 + bound), 1e-12)
            else:
                tally.true(f"{where}: threshold {law.threshold}", law.threshold == math.inf)
            constants.append(float(constant))
        _certified_turning(tally, name, parts, shares, k)
        if name == "disjoint":
            for step in (Fraction(1, 10), Fraction(3, 2)):
                exact = step * (2 * k + 3) / (k + 3 * step)
                value = float(union_epsilon(float(k), float(step), 1 / 3, 1 / 3, 1 / 3))
                tally.close("eps of disjoint parts", value, float(exact), float(exact), 1e-13)
    tally.true("no instance with pi_a + R <= 0", free > 0)
    _certified_class(tally)
    _certified_exchange(tally)
    tally.notes.append(
        f"eps, constant, signs and T + A + A' in fractions, constants from {min(constants):.4g} to {max(constants):.4g}; "
        f"{free} times pi_a + R <= 0, where every l will do; a Gaussian class; R' <= 1 under exchange"
    )


def _certified_turning(
    tally: Tally, name: str, parts: list[list[Fraction]], shares: list[Fraction], k: Fraction
) -> None:
    """dH_p is negative just before the volume of `union_turning`, and positive just after it, in fractions."""
    turning = union_turning(
        [[float(p) for p in part] for part in parts], [float(k), 1.0, 0.0], [float(s) for s in shares]
    )
    if turning is not None:
        datasets = [_union(parts, shares), parts[1], parts[2]]
        sides = [
            exact_overlaps(datasets, [k, ONE, Fraction(turning * factor)])[0] > 1 for factor in (1 - 1e-9, 1 + 1e-9)
        ]
        tally.true(f"{name}: dH_p does not turn at {turning!r}", sides == [True, False])


def _certified_class(tally: Tally) -> None:
    """A class that is not mixtures: Gaussians with a free mean in the plane, where H_i = |theta - mu_i|^2/2 + const."""
    means = [
        (Fraction(3), Fraction(1)),
        (Fraction(-1), Fraction(2)),
        (Fraction(2), Fraction(-2)),
        (Fraction(0), Fraction(5)),
    ]
    shares = [Fraction(1, 4), Fraction(1, 8), Fraction(3, 8), Fraction(1, 4)]
    for k, step in tally.each(((Fraction(9), Fraction(1, 5)), (Fraction(1, 2), Fraction(3)))):
        pretrain = [_union([[m] for m in axis], shares)[0] for axis in zip(*means, strict=True)]
        total = k + 1 + step
        theta = [(k * p + a + step * t) / total for p, a, t in zip(pretrain, means[1], means[2], strict=True)]
        moved = [(t - x) / total for t, x in zip(means[2], theta, strict=True)]
        slopes = [
            sum(((x - m) * v for x, m, v in zip(theta, mean, moved, strict=True)), start=Fraction(0)) for mean in means
        ]
        pooled = sum((s * h for s, h in zip(shares, slopes, strict=True)), start=Fraction(0))
        rest = (shares[0] * slopes[0] + shares[3] * slopes[3]) / slopes[1]
        constant = -slopes[1] / (k * pooled)
        factor = (1 + step / (k * shares[2])) / (1 - step * (shares[1] + rest) / shares[2])
        tally.true(f"Gaussian class: {constant} is not {factor}", constant == factor)
        value = float(union_constant(float(k), float(step), float(shares[1]), float(shares[2]), float(rest)))
        tally.close("constant in a Gaussian class", value, float(constant), float(abs(constant)) + 1, 1e-12)


def _certified_exchange(tally: Tally) -> None:
    """The pair of draws (P_1, P_2) and (P_2, P_1): the sum of A' - A is never negative, and is what step 12 of R8 says."""
    parts = exact_rows([9, 4, 2, 1, 1, 1], [1, 2, 9, 1, 4, 1], [1, 1, 1, 9, 2, 4])
    for k in tally.each((Fraction(1, 2), Fraction(10), Fraction(1000))):
        step, gaps, joint = Fraction(1, 4), Fraction(0), []
        pretrain = _union(parts, [Fraction(1, 3)] * 3)
        for other, align in ((parts[0], parts[1]), (parts[1], parts[0])):
            rows, volumes = [other, pretrain, align, parts[2]], [Fraction(0), k, ONE, step]
            exact = exact_overlaps(rows, volumes)
            gaps += exact[0] - exact[2]
            mixed = zip(pretrain, align, parts[2], strict=True)
            joint.append([(k * p + a + step * t) / (k + 1 + step) for p, a, t in mixed])
        leaves = zip(*parts, *joint, strict=True)
        formula = sum((t * (a - o) ** 2 / ((k + 1 + step) * q * s) for o, a, t, q, s in leaves), start=Fraction(0))
        tally.true(f"exchange at k = {k}: {gaps} is not {formula} >= 0", gaps == formula >= 0)


def _sampled_union(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    turned = below = 0
    for _ in tally.each(range(cases)):
        count, leaves = int(rng.integers(2, 7)), int(rng.integers(3, 33))
        align, perturb = (int(j) for j in rng.permutation(count)[:2])
        if rng.random() < 0.5:
            parts = [pareto_masses(1.0 + rng.uniform(0.1, 3.0), leaves, rng) for _ in range(count)]
        else:
            parts = list(rng.dirichlet(np.full(leaves, rng.uniform(0.2, 2.0)), size=count))
        shares = rng.dirichlet(np.ones(count)) if rng.random() < 0.7 else np.full(count, 1 / count)
        shares = np.maximum(shares, 1e-3) / np.maximum(shares, 1e-3).sum()
        volumes = [10.0 ** rng.uniform(-1, 3), 1.0, 10.0 ** rng.uniform(-2, 1)]
        law = union_law(parts, volumes, shares, align=align, perturb=perturb)
        pretrain = sum(s * p for s, p in zip(shares, parts, strict=True))
        mixture = Mixture.of([pretrain, parts[align], parts[perturb]], volumes)
        slopes, total = direct_derivatives(mixture), mixture.total
        gap_a, gap_t = total * slopes[1], total * slopes[2]
        if abs(gap_a) < 1e-6 or abs(slopes[0]) * total < 1e-6:
            continue
        condition = (1 + 2 / abs(gap_a)) * (1 + abs(law.rest))
        epsilon = -volumes[2] * gap_t / gap_a
        tally.close("eps against complex steps", law.epsilon, epsilon, (1 + abs(epsilon)) * condition, 1e-12)
        constant = -slopes[1] / (volumes[0] * slopes[0])
        size = abs(constant) * condition * (1 + 2 / abs(total * slopes[0])) * (1 + abs(epsilon))
        tally.close("constant against complex steps", law.theta_constant, constant, size, 1e-12)
        if gap_a > 1e-3 and abs(law.threshold / volumes[2] - 1) > 1e-6:
            below += volumes[2] < law.threshold
            tally.true(
                f"dH_p = {slopes[0]}, threshold {law.threshold}", (slopes[0] < 0) == (volumes[2] < law.threshold)
            )
            alone = float(union_threshold(shares[align], shares[perturb], law.rest))
            tally.close("threshold from shares and R", alone, law.threshold, law.threshold, 1e-12)
        turning = union_turning(parts, volumes, shares, align=align, perturb=perturb)
        if turning is not None:
            turned += 1
            slope = (mixture.volumes[:-1].sum() + turning) * direct_derivatives(mixture.at(turning))[0]
            tally.close("overlap where dH_p turns, against 1", 1.0 - slope, 1.0, 2.0, 1e-11)
            if abs(turning / volumes[2] - 1) > 1e-6:
                falls = slopes[0] < 0
                tally.true(f"dH_p = {slopes[0]}, but it turns at {turning}", falls == (volumes[2] < turning))
        if count > 2:
            other = int(next(j for j in range(count) if j not in (align, perturb)))
            equal = union_law(parts, volumes, align=align, perturb=perturb).gaps
            swapped = union_law(parts, volumes, align=other, perturb=perturb).gaps
            pair = (equal[align] - equal[other]) + (swapped[other] - swapped[align])
            tally.above("A' - A over a part and its exchange", float(pair), 0.0, 4.0, 1e-13)
        tally.close("response's eps", response(mixture).epsilon, law.epsilon, (1 + abs(epsilon)) * condition, 1e-11)
    ratios = rest_ratios(1.2, 1 << 4, 2000, rng)
    low, high = np.quantile(ratios, [0.05, 0.95])
    tally.true(f"R' of single draws at depth 4 lies in {low:.2f}..{high:.2f}", low < 0.5 and high > 1.5)
    tally.notes.append(
        f"{turned} turning points, {below} cases below the threshold; R' of single draws, alpha = 1.2, depth 4: "
        f"{low:.1f} to {high:.1f} (5-95%)"
    )


RESULTS = {
    "R8": derived(
        "R8", "holds only if l (pi_a + R) < pi_t, given dH_a > 0; with constants", _certified_union, _sampled_union
    )
}
