"""R1-R4 verified: response, balance, Theta and signs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ..certify.response import certify_law
from ..laws.finite import path_entropies, sign_change
from ..laws.response import response
from ..mixtures.divergence import cross_entropy, kl_divergence
from ..mixtures.masses import normalise
from .instances import (
    as_floats,
    certified_instances,
    direct_codes,
    direct_derivatives,
    direct_overlaps,
    exact_overlaps,
    meets,
    sample_mixture,
)
from .tally import Tally, derived


def _certified_response(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    for name, (rows, volumes) in tally.each(certified_instances().items()):
        law, total = certify_law(rows, volumes), sum(volumes)
        mixture = as_floats(rows, volumes)
        floats, codes = response(mixture), mixture.cross_entropies()
        paths = path_entropies(mixture, [float(volumes[-1])])
        tally.true(f"{name}: digits not proved", law.proved)
        for i, overlap in enumerate(exact_overlaps(rows, volumes)):
            exact = float((1 - overlap) / total)
            scale = float((1 + overlap) / total)
            tally.true(f"{name}: {exact!r} is not the series' slope of H_{i}", meets(law.slopes[i], exact))
            tally.true(f"{name}: {exact!r} is not the certified dH_{i}", meets(law.derivatives[i], exact))
            tally.close("float derivative", floats.derivatives[i], exact, scale, 1e-13)
            tally.close("float overlap", floats.overlaps[i], float(overlap), float(1 + overlap), 1e-13)
            for value in (codes[i], paths[i, 0]):
                tally.close("float cross entropy", value, law.entropies[i].estimate, 1 + law.entropies[i].high, 1e-13)
    tally.notes.append("exact overlaps inside the enclosed Taylor slopes of the entropies")


def _certified_balance(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    for name, (rows, volumes) in tally.each(certified_instances().items()):
        overlaps = exact_overlaps(rows, volumes)
        balance = sum((w * (1 - o) for w, o in zip(volumes, overlaps, strict=True)), start=Fraction(0))
        tally.true(f"{name}: the exact balance is {balance}", balance == 0)
        law = certify_law(rows, volumes)
        tally.true(f"{name}: the certified balance is {law.balance}", law.balance.sign == 0)
        tally.close("float balance", response(as_floats(rows, volumes)).balance, 0.0, 1.0, 1e-13)
    tally.notes.append("sum_i w_i dH_i is exactly 0 in fractions")


def _certified_theta(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    constants = []
    for name, (rows, volumes) in certified_instances().items():
        if len(rows) != 3:
            continue
        tally.cases += 1
        c, a, t = exact_overlaps(rows, volumes)
        k, unit, step = volumes
        epsilon = step * (t - 1) / (unit * (1 - a))
        constant = -unit * (1 - a) / (k * (1 - c))
        tally.true(f"{name}: constant {constant} is not 1/(1 - eps), eps = {epsilon}", constant == 1 / (1 - epsilon))
        if c > 1 > a:
            tally.true(f"{name}: the theorem's signs hold, but the constant is {constant} < 1", constant >= 1)
        law, floats = certify_law(rows, volumes), response(as_floats(rows, volumes))
        for what, enclosed, value, exact in (
            ("epsilon", law.epsilon, floats.epsilon, epsilon),
            ("constant", law.theta_constant, floats.theta_constant, constant),
        ):
            tally.true(f"{name}: {what} {float(exact)!r} is not in {enclosed}", meets(enclosed, float(exact)))
            tally.close(f"float {what}", value, float(exact), float(abs(exact) * (1 + abs(constant))), 1e-11)
        constants.append(f"{float(constant):.6g} ({name})")
    tally.notes.append("-dH_a/(k dH_p) = 1/(1 - eps) exactly: " + ", ".join(constants))


def _certified_signs(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    steps = [Fraction(10) ** power for power in range(-4, 5)]
    for name, (rows, volumes) in tally.each(certified_instances().items()):
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
            floats = [int(np.sign(value)) for value in response(as_floats(rows, at)).derivatives]
            clear = [abs(s) > Fraction(1, 10**9) * total for s in scaled]
            tally.true(
                f"{name}: float signs {floats}", all(a == b for a, b, c in zip(floats, signs, clear, strict=True) if c)
            )
            if len(rows) == 3 and overlaps[1] >= 1:
                tally.true(f"{name}: A >= 1 and yet dH_p < 0 at l = {float(step):g}", scaled[0] >= 0)
    tally.notes.append(f"N^2 dH_i never falls over {len(steps)} volumes from 1e-4 to 1e4, in fractions")


def _sampled_response(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    for _ in tally.each(range(cases)):
        mixture = sample_mixture(rng, int(rng.integers(2, 6)))
        floats, slopes, overlaps = response(mixture), direct_derivatives(mixture), direct_overlaps(mixture)
        codes = direct_codes(mixture.components, mixture.volumes.astype(np.complex128)).real
        paths = path_entropies(mixture, [mixture.volumes[-1]])[:, 0]
        joint = mixture.cross_entropies()
        for i, overlap in enumerate(overlaps):
            scale = (1 + overlap) / mixture.total
            tally.close("dH_i against a complex step", floats.derivatives[i], slopes[i], scale, 1e-12)
            tally.close("overlap against a direct sum", floats.overlaps[i], overlap, 1 + overlap, 1e-12)
            tally.close("H_i against a direct sum", joint[i], codes[i], 1 + codes[i], 1e-12)
            tally.close("H_i(l) against a direct sum", paths[i], codes[i], 1 + codes[i], 1e-12)


def _sampled_balance(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    for _ in tally.each(range(cases)):
        mixture = sample_mixture(rng, int(rng.integers(2, 7)))
        floats, slopes = response(mixture), direct_derivatives(mixture)
        tally.close("sum w dH by complex steps", math.fsum(mixture.volumes * slopes), 0.0, 1.0, 1e-11)
        tally.close("balance", floats.balance, math.fsum(mixture.volumes * floats.derivatives), 1.0, 1e-13)
        tally.close("balance against 0", floats.balance, 0.0, 1.0, 1e-11)
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


def _sampled_theta(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    constants = []
    for _ in tally.each(range(cases)):
        mixture = sample_mixture(rng)
        floats, slopes = response(mixture), direct_derivatives(mixture)
        (_, a, _), (k, unit, step) = direct_overlaps(mixture), mixture.volumes
        pairs = list(zip(mixture.components[-1], mixture.masses, strict=True))
        chi_square = math.fsum((t - q) ** 2 / q for t, q in pairs if q > 0)
        if abs(1 - a) < 1e-6:
            continue  # A = 1 is excluded by R3, and near it no digit of eps is left
        epsilon, condition = step / unit * chi_square / (1 - a), (1 + a) / abs(1 - a)
        tally.close("eps against l (T-1)/(1-A)", floats.epsilon, epsilon, abs(epsilon) * condition, 1e-12)
        if abs(1 - epsilon) < 1e-6 * (1 + abs(epsilon)):
            continue
        constant = -unit * slopes[1] / (k * slopes[0])
        condition *= (1 + abs(epsilon)) / abs(1 - epsilon)
        overlap = (1 + abs(1 - mixture.total * slopes[0])) / abs(mixture.total * slopes[0])
        tally.close(
            "constant against complex steps",
            floats.theta_constant,
            constant,
            abs(constant) * (condition + overlap),
            1e-12,
        )
        if slopes[0] < 0 < slopes[1]:
            tally.above("constant where the signs hold", floats.theta_constant, 1.0, condition, 1e-12)
            constants.append(constant)
    if constants:
        tally.notes.append(
            f"the theorem's signs held in {len(constants)} cases, with constants from {min(constants):.4g}"
        )


def _sampled_signs(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    turned = 0
    for _ in tally.each(range(cases)):
        mixture = sample_mixture(rng)
        base = float(mixture.volumes[:-1].sum())
        steps = base * 10.0 ** np.linspace(-6, 2, 17)
        tables = [direct_derivatives(mixture.at(float(step))) for step in steps]
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
                slope = (base + root) * direct_derivatives(mixture.at(root))[dataset]
                tally.close("overlap where dH_i turns, against 1", 1.0 - slope, 1.0, 2.0, 1e-11)
    tally.notes.append(f"N^2 dH_i never falls; {turned} turning points, each from - to + and found by sign_change")


RESULTS = {
    "R1": derived("R1", "holds", _certified_response, _sampled_response),
    "R2": derived("R2", "holds", _certified_balance, _sampled_balance),
    "R3": derived("R3", "holds with constants", _certified_theta, _sampled_theta),
    "R4": derived(
        "R4", "holds only if A < 1 (then dH_a > 0) and eps < 1 (then dH_p < 0)", _certified_signs, _sampled_signs
    ),
}
