"""R1-R18 do not know in which unit volumes are counted: every public function that takes volumes is asked, in every unit.

`LAWS` has an entry for each of them: given datasets, volumes and a factor c by which all volumes are multiplied, it returns
quantities with their powers p, and each has to be c^p times what it was at c = 1: 0 for what has no unit of volume, 1 for
volumes and energies, -1 for what is per unit of volume. A power of two changes no digit of a float, so there the results
have to be equal to the last bit; other factors leave rounding. A new public function that takes volumes and is in neither
`LAWS` nor `ONE_UNIT` fails `test_no_function_that_takes_volumes_is_left_out`.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import math
import pkgutil
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elastomath
from elastomath import Curve, InputError, Mixture, path_entropies, response
from elastomath.certify.balls import exact_input
from elastomath.certify.optima import certify_rises, certify_tilt
from elastomath.certify.response import certify_law
from elastomath.codes.path import code_path
from elastomath.fit import sequential
from elastomath.fit.course import Course
from elastomath.fit.fit import fit_run
from elastomath.fit.quadrature import path_work, work_operator
from elastomath.fit.readings import Readings
from elastomath.laws.ceilings import convex_ceiling, pooled_ceiling, rises, string_ceiling, volume_for
from elastomath.laws.finetuning import elastic_path
from elastomath.laws.finite import as_readings, finite_law, mixture_constant, mixture_residual, sign_change
from elastomath.laws.optima import branch_response, joint_optima, optima_law
from elastomath.laws.rebound import (
    Scores,
    divergence_return_volume,
    falls_faster,
    faster_below,
    return_volume,
    score,
    score_slope,
)
from elastomath.laws.response import response_matrix, survey
from elastomath.laws.springs import (
    elastic_limit,
    springs,
    springs_of_readings,
    springs_of_run,
)
from elastomath.laws.theorem import residual_constant
from elastomath.laws.union import union_law, union_turning
from elastomath.laws.volumes import effective_volumes, mixture_work, work_bounds
from elastomath.mixtures.divergence import jensen_shannon
from elastomath.mixtures.leafsums import leaf_moves, leaf_sums
from elastomath.mixtures.mixture import as_volumes
from elastomath.mixtures.pool import GeometricPool, pool_residual, pooled_divergences, reverse_balance
from elastomath.pareto.law import Pareto, two_mass_mean
from elastomath.pareto.overlaps import mass_mean, overlap_matrix
from elastomath.rates.datasets import dataset_rates
from elastomath.rates.rates import code_lengths, normalised_rates, rate_response, rates
from elastomath.testing import strategies as drawn
from elastomath.trees.jointtree import JointTree, pruning_loss
from elastomath.trees.tokentree import TokenTree
from elastomath.verification.softmax import LowRankSoftmax

GRID = np.array([0.0, 0.125, 0.5, 1.0, 3.0])
SPELLED = [1, 2, 2, 3]
SCORES = Scores(0.5, 1.0, 0.25)
VOLUMES = {"volumes", "volume", "mixture", "base_volume", "perturbation", "perturbations", "weights", "pretrain", "run"}
"""Names of arguments that are volumes, or hold them."""

ONE_UNIT = {
    "foreign.check_adapter_folder": "weights of a model",
    "fit.course.run_course": "the volumes are those of the run, in its unit",
    "fit.design.Pilot.course": "volumes are counted in examples: c is what one example does",
    "fit.effective_volumes.Balance.deviance": "readings in a unit of their own: fit_run is in LAWS",
    "fit.quadrature.suited_work": "readings in a unit of their own: fit_run is in LAWS",
    "mixtures.mixture.PERTURBED": "a gate",
    "pareto.fluctuation.leaf_limit": "volumes are (k, 1, l), in units of |D_a|",
    "pareto.fluctuation.sampled_overlaps": "volumes are (k, 1, l), in units of |D_a|",
    "necessity.instance.Instance.at": "volumes are (k, 1, l); others are refused",
    "certify.optima.certify_theorem": "k = |D_p|/|D_a|, L in units of |D_a|",
    "certify.logit.certify_logit": "volumes are counted in examples: c is what one example does",
    "certify.optima.residual_ball": "certify_law and certify_theorem read it; residual_constant is in LAWS",
    "certify.pareto.certify_pareto": "k = |D_p|/|D_a|, l in units of |D_a|",
    "certify.pareto.pareto_mean": "weights of a mean of ratios: its power is that of mass_mean, in balls",
    "pareto.overlaps.expected_overlaps": "k = |D_p|/|D_a|, l in units of |D_a|",
    "laws.theorem.mixture_theta_bounds": "k = |D_p|/|D_a|, L in units of |D_a|",
    "laws.theorem.theorem_readings": "k = |D_p|/|D_a|, l in units of |D_a|",
    "laws.theorem.theta_bounds": "k = |D_p|/|D_a|, L in units of |D_a|",
    "laws.theorem.union_parts": "pretrain is a vector of masses",
    "laws.union.union_constant": "k = |D_p|/|D_a|, l in units of |D_a|",
    "laws.union.union_epsilon": "k = |D_p|/|D_a|, l in units of |D_a|",
    "codes.lengths.huffman_lengths": "weights of leaves, not volumes; a common factor changes no length",
    "codes.lengths.length_limited_lengths": "weights of leaves, not volumes",
    "codes.lengths.total_length": "weights of leaves, not volumes",
    "trees.tokentree.TokenTree.of_leaves": "weights of leaves, not volumes",
    "trees.tokentree.TokenTree.of_masses": "weights of leaves, not volumes",
}


def parts(result, **powers):
    """The fields of a result with their powers; every field has to be named, so that a new one cannot be forgotten."""
    names = {field.name for field in dataclasses.fields(result)}
    assert names == set(powers), names ^ set(powers)
    return {name: (getattr(result, name), power) for name, power in powers.items() if power is not None}


def _response(m, c):
    return parts(response(m), overlaps=0, derivatives=-1, balance=0, epsilon=0, theta_constant=0, uncovered=0)


def _survey(m, c):
    seen = survey(m)
    return parts(seen, cross_entropies=0, chi_squares=0, kl_forward=0, kl_reverse=0, response=None) | parts(
        seen.response, overlaps=0, derivatives=-1, balance=0, epsilon=0, theta_constant=0, uncovered=0
    )


def _certified(m, c):
    law = certify_law(m.components.tolist(), m.volumes.tolist())
    powers = dict.fromkeys(("start_entropies", "entropies", "overlaps", "balance", "epsilon", "theta_constant"), 0)
    powers |= dict.fromkeys(("derivatives", "slopes"), -1)
    powers |= dict.fromkeys(("residual", "bound", "sharp_bound", "slack", "sharp_slack"), 1)
    return {
        name: (_estimates(value), power)
        for name, (value, power) in parts(law, **powers, residual_gap=None, precision=None, proved=0).items()
    }


def _estimates(value):
    if isinstance(value, tuple):
        return [_estimates(one) for one in value]
    return getattr(value, "estimate", value)


def _certified_tilt(m, c):
    c = Fraction(c)
    found = certify_tilt([[0], [1]], [1, 1], [[3, 1], [1, 2], [1, 4]], [10 * c, c], [0, c / 2, c])
    seen = parts(found, rates=0, residual=1, lower=1, upper=1, work=1, constant=0, radius=None)
    return {name: (_estimates(value), power) for name, (value, power) in seen.items()}


def _certified_rises(m, c):
    found = certify_rises(m.components.tolist(), m.volumes.tolist())
    seen = parts(found, rise=0, low=0, high=0, above=0, below=0, room=0)
    return {name: (_estimates(value), power) for name, (value, power) in seen.items()}


def _code_path(m, c):
    c = Fraction(c)
    path = code_path([[3, 1, 1, 2], [4, 1, 1, 9], [1, 1, 10, 3]], [2 * c, c], end=4 * c, start=c / 2)
    seen = parts(path, volumes=1, start=1, end=1, breakpoints=1, codes=0, expected=0)
    return seen | {
        "residual": (path.residual, 1),
        "bound": (path.bound, 1),
        "floor": (path.floor, 1),
        "work": (path.work, 1),
        "theta": (path.theta, 0),
    }


def _readings(m, c):
    """Perturbations, volumes of the others and rates of joint optima, in units c."""
    steps = GRID * c * FIRST
    return steps, m.volumes[:-1], path_entropies(m, steps)


FIRST = 2.0


def _optima_law(m, c):
    law = optima_law(*_readings(m, c), regulariser=c * np.arange(GRID.size))
    return parts(law, perturbations=1, residual=1, lower=1, upper=1, missed=1)


def _finite_law(m, c):
    law = finite_law(*_readings(m, c))
    return parts(law, perturbations=1, residual=1, upper=1) | {"ratio": (law.ratio, 0)}


def _branch(m, c):
    slopes, hessian = np.array([[0.5, 1.0], [-5.5, 2.0], [1.0, -3.0]]), np.array([[12.0, 1.0], [1.0, 9.0]])
    found = branch_response(slopes, c * hessian, m.volumes)
    return parts(found, direction=-1, derivatives=-1, balance=0, epsilon=0, theta_constant=0, gradient=1)


def _springs(found, unit=0):
    seen = parts(
        found,
        perturbations=1,
        volumes=1,
        elongations=0,
        reverse=0,
        fall=0,
        energy=1,
        energy_se=1,
        near_rest=1,
        unit=None,
    )
    seen |= {"forces": (found.forces, 1), "pull": (found.pull, 1), "push": (found.push, 1), "work": (found.work, 1)}
    seen |= {"nonlinearity": (found.nonlinearity, 0), "complementary": (found.complementary, 1)}
    seen |= {"reverse_forces": (found.reverse_forces, 1), "elastic_limit": (found.elastic_limit(), 1)}
    return seen


def _springs_of_run(m, c):
    steps, volumes, rates_ = _readings(m, c)
    sizes = {"pretrain": volumes[0], "align": volumes[1], "perturb": steps[-1]}
    named = {name: np.maximum(row, 0.0) for name, row in zip(sizes, rates_, strict=True)}
    (run,) = Curve.from_paths("run", sizes, steps, named, "nats/symbol", "symbols", rate_se=named)
    return _springs(springs_of_run(run))


def _union(m, c):
    law = union_law(m.components, m.volumes)
    return parts(law, gaps=0, rest=0, epsilon=0, theta_constant=0, threshold=0)


def _volumes(m, c):
    steps, _, codes = _readings(m, c)
    found = effective_volumes(codes[:2, 1:] - codes[:2, :1], mixture_work(m, steps[1:]))
    return parts(found, volumes=1, kappa=0, total=1, rank=0, condition=0, misfit=1)


def _dataset_rates(m, c):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{index}.npy" for index in range(3)]
        for file, row in zip(files, m.components, strict=True):
            np.save(file, row)
        seen = dataset_rates(files, m.volumes)
    seen["overlaps"] = seen["overlaps"]["all"]
    powers = dict.fromkeys(seen, 0) | {"volumes": 1, "response": -1}
    return {
        name: (np.array(value, dtype=float), powers[name])
        for name, value in seen.items()
        if name not in ("unit", "leaf_unit", "datasets", "code_lengths")
    }


def _joint_tree(m, c):
    tree = JointTree.of([TokenTree.of([text], 2) for text in ("abacbdab", "bcbcaaab", "abcdabdd")])
    pruned = tree.prune_by_mass(0.3, c * np.array([3.0, 1.0, 2.0]))
    loss = pruning_loss(tree, pruned, c * np.array([3.0, 1.0, 2.0]))
    return parts(loss, **dict.fromkeys((field.name for field in dataclasses.fields(loss)), 0)) | {
        "counts": (pruned.counts, 0),
        "mixture": (tree.mixture(c * np.array([3.0, 1.0, 2.0])).masses, 0),
    }


def _softmax(m, c):
    shape = LowRankSoftmax(2, 3, 1)
    data = np.array([[[4, 1, 1], [1, 3, 2]], [[1, 2, 2], [1, 1, 4]]]) / np.array([12.0, 11.0])[:, None, None]
    theta = shape.fit(data, c * np.array([2.0, 1.0]), gradient=1e-9)
    return {"theta": (theta, 0)}


def _tuple(values, powers):
    return {str(index): pair for index, pair in enumerate(zip(values, powers, strict=True))}


def _fitting_run(m, c):
    steps = c * np.array([0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0])
    named = dict(zip(("pretrain", "align", "perturb"), path_entropies(m, steps), strict=True))
    errors = dict.fromkeys(named, np.full(steps.size, 1e-5))
    sizes = {"pretrain": 10 * c, "align": c, "perturb": 2 * c}
    (run,) = Curve.from_paths("run", sizes, steps, named, "nats/symbol", "symbols", rate_se=errors)
    return run


def _read(found):
    return parts(found, pretrain=1, align=1, misfit=0, clock=-1)


def _readings_of(m, c):
    found = Readings.of(_fitting_run(m, c))
    seen = {"perturbations": (found.perturbations, 0), "volumes": (found.volumes, 1), "unit": (found.unit, 1)}
    return seen | {"changes": (found.changes, 0), "rates": (found.rates, 0), "rate_se": (found.rate_se, 0)}


def _fit_run(m, c):
    found = fit_run(_fitting_run(m, c))
    constants = (("K_pretrain", 1), ("K_align", 1), ("kappa", 0))
    return {
        f"{name} {end}": (getattr(getattr(found, name), end), power)
        for name, power in constants
        for end in ("low", "estimate", "high")
    }


def _smoothed(m, c):
    values, errors = np.array([3.0, 2.1, 1.5, 0.9, 0.2, -0.4]), np.full(6, 0.05)
    volumes = c * np.arange(0.0, 24.0, 4.0)
    course = Course("r", "contrast", "nats/response", "examples", volumes, values, errors, 0.0, 0.01, 64.0)
    asked = c * np.array([0.0, 1.0, 10.0, 20.0])
    seen = {"at": (course.smoothed().at(asked), 0), "weights": (course.smoothed().weights(asked), 0)}
    return seen | {f"passage {end}": (getattr(course.passage(), end), 1) for end in ("low", "estimate", "high")}


LAWS = {
    "fit.course.Smoothed.at": _smoothed,
    "fit.course.Smoothed.weights": _smoothed,
    "fit.fit.fit_run": _fit_run,
    "fit.readings.Readings.of": _readings_of,
    "fit.quadrature.work_operator": lambda m, c: {
        rule: (work_operator(GRID * c, rule, c), 1) for rule in ("spline", "trapezoid", "right")
    },
    "fit.sequential.best_clock": lambda m, c: _read(sequential.best_clock(GRID * c, path_entropies(m, GRID * c))),
    "fit.sequential.read": lambda m, c: _read(sequential.read(GRID * c, path_entropies(m, GRID * c), 0.5 / c)),
    "fit.quadrature.path_work": lambda m, c: {"": (path_work(GRID * c, -GRID, c), 1)},
    "fit.sequential.elastic_limit": lambda m, c: {
        "": (sequential.elastic_limit(c * GRID, m.volumes[:-1], path_entropies(m, c * GRID)), 1)
    },
    "fit.sequential.run_down": lambda m, c: {"": (sequential.run_down(GRID * c, 0.5 / c), 1)},
    "laws.ceilings.string_ceiling": lambda m, c: {"": (string_ceiling(11 * c, c), 0)},
    "laws.ceilings.volume_for": lambda m, c: {"": (volume_for(0.25, c), 1)},
    "laws.ceilings.pooled_ceiling": lambda m, c: {"": (pooled_ceiling(11 * c, c), 1)},
    "laws.ceilings.convex_ceiling": lambda m, c: {"": (convex_ceiling(c, 10 * c, 3 * c), 0)},
    "laws.ceilings.rises": lambda m, c: parts(rises(m), rise=0, low=0, high=0, ceiling=0),
    "certify.response.certify_law": _certified,
    "certify.balls.exact_input": lambda m, c: {
        "masses": ([sum(row) for row in exact_input(m.components.tolist(), m.volumes.tolist())[0]], 0),
        "volumes": ([float(w) for w in exact_input(m.components.tolist(), m.volumes.tolist())[1]], 1),
    },
    "certify.optima.certify_rises": _certified_rises,
    "certify.optima.certify_tilt": _certified_tilt,
    "codes.path.code_path": _code_path,
    "rates.datasets.dataset_rates": _dataset_rates,
    "mixtures.divergence.jensen_shannon": lambda m, c: {"": (jensen_shannon(m.components, m.volumes), 0)},
    "trees.jointtree.JointTree.mixture": _joint_tree,
    "trees.jointtree.JointTree.prune_by_mass": _joint_tree,
    "trees.jointtree.pruning_loss": _joint_tree,
    "laws.finite.as_readings": lambda m, c: {"": (as_readings(m.volumes, np.ones((4, 2)), 2, "here")[0], 1)},
    "laws.finite.finite_law": _finite_law,
    "laws.finite.mixture_constant": lambda m, c: {"": (mixture_constant(11 * c, 3 * c), 1)},
    "laws.finite.mixture_residual": lambda m, c: {"": (mixture_residual(m, 3 * c), 1)},
    "laws.finite.path_entropies": lambda m, c: {"": (path_entropies(m, c * GRID), 0)},
    "laws.finite.sign_change": lambda m, c: {"0": (sign_change(m, 0), 1), "1": (sign_change(m, 1), 1)},
    "mixtures.mixture.Mixture.of": lambda m, c: {
        "masses": (m.masses, 0),
        "total": (m.total, 1),
        "entropies": (m.entropies(), 0),
        "cross_entropies": (m.cross_entropies(), 0),
        "kl_forward": (m.kl_forward(), 0),
        "kl_reverse": (m.kl_reverse(), 0),
        "jensen_shannon": (m.jensen_shannon(), 0),
    },
    "mixtures.mixture.Mixture.along": lambda m, c: {"": (m.along(c * GRID), 1)},
    "mixtures.leafsums.leaf_sums": lambda m, c: {
        field: (value, 0) for field, value in leaf_sums(m.components, m.volumes)._asdict().items()
    },
    "mixtures.leafsums.leaf_moves": lambda m, c: {
        str(part): (value, 0)
        for part, value in enumerate(leaf_moves(m.components, m.volumes[:-1], c * np.asarray(GRID)))
    },
    "mixtures.mixture.Mixture.at": lambda m, c: {"": (m.at(0.5 * c).masses, 0)},
    "mixtures.mixture.as_volumes": lambda m, c: {"": (as_volumes(m.volumes, 3), 1)},
    "mixtures.mixture.as_mixture": lambda m, c: {"": (m.volumes, 1)},
    "laws.optima.branch_response": _branch,
    "laws.optima.joint_optima": lambda m, c: _tuple(
        joint_optima([[1.0, 1.1], [1.0, 2.0], [5.0, 1.0]], [10 * c, c], c * GRID), (0, 0)
    ),
    "laws.optima.optima_law": _optima_law,
    "pareto.overlaps.overlap_matrix": lambda m, c: {"": (overlap_matrix(Pareto(1.5), m.volumes)[0], 0)},
    "pareto.overlaps.mass_mean": lambda m, c: {"": (mass_mean(Pareto(2.5), m.volumes, (1, 0, 1), 2), -2)},
    "pareto.law.two_mass_mean": lambda m, c: {"": (two_mass_mean(1.5, m.volumes[:2]), -1)},
    "mixtures.pool.GeometricPool.of": lambda m, c: {
        "masses": (GeometricPool.of(m).masses, 0),
        "disagreement": (GeometricPool.of(m).disagreement, 0),
        "response": (GeometricPool.of(m).response_matrix(), -1),
        "forward": (GeometricPool.of(m).forward_balance(), 0),
    },
    "mixtures.pool.pool_residual": lambda m, c: {"": (pool_residual(m, 3 * c), 1)},
    "mixtures.pool.pooled_divergences": lambda m, c: {"": (pooled_divergences(m, c * GRID), 0)},
    "mixtures.pool.reverse_balance": lambda m, c: parts(reverse_balance(m), terms=0, balance=0, leading=0, remainder=0),
    "rates.rates.code_lengths": lambda m, c: {name: (value, 0) for name, value in code_lengths(m).items()},
    "rates.rates.normalised_rates": lambda m, c: {"": (normalised_rates(m, SPELLED), 0)},
    "rates.rates.rate_response": lambda m, c: {"": (rate_response(m, SPELLED), -1)},
    "rates.rates.rates": lambda m, c: {"": (rates(m, SPELLED), 0)},
    "laws.rebound.divergence_return_volume": lambda m, c: {
        "": (divergence_return_volume([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75]], 8 * c, 4 * c, 0.001), 1)
    },
    "laws.rebound.falls_faster": lambda m, c: {"": (falls_faster(SCORES, 100 * c, 10 * c, 80 * c, 5 * c), 0)},
    "laws.rebound.faster_below": lambda m, c: {"": (faster_below(SCORES, 100 * c, 5 * c), 1)},
    "laws.rebound.return_volume": lambda m, c: {"": (return_volume(SCORES, 10 * c, 0.05, 20 * c), 1)},
    "laws.rebound.score": lambda m, c: {"": (score(SCORES, *m.volumes), 0)},
    "laws.rebound.score_slope": lambda m, c: {"": (score_slope(SCORES, *m.volumes), -1)},
    "laws.response.response": _response,
    "laws.response.response_matrix": lambda m, c: {"": (response_matrix(m), -1)},
    "laws.response.survey": _survey,
    "verification.softmax.LowRankSoftmax.fit": _softmax,
    "laws.springs.elastic_limit": lambda m, c: {"": (elastic_limit(m), 1)},
    "laws.springs.springs": lambda m, c: _springs(springs(m, c * GRID)),
    "laws.springs.springs_of_readings": lambda m, c: _springs(springs_of_readings(*_readings(m, c))),
    "laws.springs.springs_of_run": _springs_of_run,
    "curve.Curve.from_paths": _springs_of_run,
    "laws.finetuning.elastic_path": lambda m, c: parts(
        elastic_path([0, 1, 2], m.volumes[:2], [[0, 0.05, 0.3], [0, -0.4, -0.6]], [0, -0.5, -1.0]),
        positions=0,
        energy=1,
        linear=1,
        ratio=0,
        limit=0,
    ),
    "laws.theorem.residual_constant": lambda m, c: {"": (residual_constant(11 * c, 3 * c, 0.5), 1)},
    "laws.union.union_law": _union,
    "laws.union.union_turning": lambda m, c: {"": (union_turning(m.components, m.volumes), 0)},
    "laws.volumes.effective_volumes": _volumes,
    "laws.volumes.mixture_work": lambda m, c: {"": (mixture_work(m, c * GRID), 1)},
    "laws.volumes.work_bounds": lambda m, c: _tuple(work_bounds(c * GRID, -GRID), (1, 1)),
}
FIXED = {
    name
    for name in LAWS
    if name.startswith(
        (
            "fit.course.",
            "fit.fit.",
            "fit.readings.",
            "fit.sequential.best",
            "codes.path.",
            "trees.jointtree.",
            "verification.softmax.",
            "rates.datasets.",
        )
    )
    or name in ("certify.optima.certify_tilt", "laws.springs.springs_of_run", "curve.Curve.from_paths")
}
"""Entries whose data do not come from the mixture that is drawn, or that are slow: asked at one mixture only."""
SOLVED = {
    "fit.fit.fit_run": 1e-6,
    "fit.sequential.read": 1e-7,
    "fit.sequential.best_clock": 1e-7,
    "fit.course.Smoothed.at": 1e-9,
    "fit.course.Smoothed.weights": 1e-9,
    "laws.finite.sign_change": 1e-9,
    "laws.springs.elastic_limit": 1e-9,
    "laws.union.union_turning": 1e-9,
    "laws.rebound.divergence_return_volume": 1e-6,
    "verification.softmax.LowRankSoftmax.fit": 1e-6,
    "laws.optima.branch_response": 1e-9,
    "certify.optima.certify_tilt": 1e-12,
}
"""Roots found step by step, and factors of a matrix (square roots): equal to this, not to the last bit."""

ONE = Mixture.of([[0.5, 0.25, 0.125, 0.125], [0.1, 0.4, 0.3, 0.2], [0.4, 0.1, 0.2, 0.3]], [10.0, 1.0, 0.5])


def in_unit(mixture, factor):
    return Mixture.of(mixture.components, mixture.volumes * factor)


def compare(name, mixture, factor, tolerance=0.0):
    with np.errstate(all="ignore"):
        first, other = LAWS[name](mixture, 1.0), LAWS[name](in_unit(mixture, factor), factor)
    tolerance = max(tolerance, SOLVED.get(name, 0.0))
    assert first.keys() == other.keys()
    for part, (value, power) in other.items():
        before = first[part][0]
        if before is None or value is None:
            assert before is value, f"{name} {part}: {value} in units of 1/{factor}, not {before}"
            continue
        pairs = zip(_flat(before), _flat(value), strict=True)
        for old, new in pairs:
            wanted = old * Fraction(factor) ** power if isinstance(old, Fraction) else old * float(factor) ** power
            close = math.isclose(new, wanted, rel_tol=tolerance, abs_tol=tolerance * float(factor) ** power * 1e-3)
            same = new == wanted or (wanted != wanted and new != new) or (tolerance > 0 and close)
            assert same, f"{name} {part}: {new!r} in units of 1/{factor}, not {wanted!r}"


def _flat(value):
    if isinstance(value, tuple | list):
        return [one for item in value for one in _flat(item)]
    if isinstance(value, np.ndarray):
        return value.astype(float).ravel().tolist()
    return [value]


covered = st.builds(
    lambda rows, volumes: Mixture.of(rows, volumes),
    st.lists(drawn.masses(4, positive=True, kind="flat"), min_size=3, max_size=3),
    drawn.volumes(3),
)


@pytest.mark.parametrize("name", sorted(set(LAWS) - FIXED))
@settings(max_examples=12, derandomize=True, database=None)
@given(mixture=covered, order=st.integers(-30, 30))
def test_a_power_of_two_changes_no_digit(name, mixture, order):
    try:
        compare(name, mixture, 2.0**order)
    except InputError as error:  # what cannot be used in one unit cannot be used in any
        with pytest.raises(InputError, match=re.escape(error.what)):
            LAWS[name](mixture, 1.0)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_units_from_a_thousandth_to_a_thousand_leave_rounding_only(name):
    for factor in (1e-3, 0.1, 3.0, 1e3):
        compare(name, ONE, factor, 1e-10)
    for order in (-10, 10):
        compare(name, ONE, 2.0**order)


NOT_ASKED = (
    "derivations.",
    "verification.",
    "runs.",
    "laws.jointness",
    "laws.logit",
    "laws.optimisers",
    "laws.planner",
    "laws.preferences",
)
"""Files with units of their own, and tests of their own."""


def public_functions():
    """Every public function and method of the package, by module and name."""
    for module in pkgutil.walk_packages(elastomath.__path__, "elastomath."):
        short = module.name.removeprefix("elastomath.")
        if module.ispkg or (short.startswith(NOT_ASKED) and short != "verification.softmax"):
            continue
        home = importlib.import_module(module.name)
        for name, value in vars(home).items():
            if name.startswith("_") or getattr(value, "__module__", None) != home.__name__:
                continue
            if inspect.isfunction(value):
                yield f"{short}.{name}", value
            elif inspect.isclass(value):
                for inner, method in vars(value).items():
                    plain = method.__func__ if isinstance(method, classmethod) else method
                    if inspect.isfunction(plain) and not inner.startswith("_"):
                        yield f"{short}.{name}.{inner}", plain


def test_no_function_that_takes_volumes_is_left_out():
    takes = {name for name, function in public_functions() if VOLUMES & set(inspect.signature(function).parameters)}
    elsewhere = {
        name
        for name in takes
        if name.startswith(("testing.", "figures.", "tails.figures.", "necessity.instance.", "necessity.certificate."))
    }
    assert takes - elsewhere - set(LAWS) - set(ONE_UNIT) == set()
    assert set(ONE_UNIT) <= takes
    assert not set(LAWS) & set(ONE_UNIT)


# --- the constants of R3, from the closed form in fractions -------------------------------------------------------
ROWS = [[0.5, 0.25, 0.25], [0.1, 0.5, 0.4], [0.8, 0.1, 0.1]]


def exact_constants():
    """eps = l (T-1)/(1-A) and 1/(1-eps) at volumes (10, 1, 1/2), in fractions: .4248 and 1.7386."""
    rows = [[Fraction(str(mass)) for mass in row] for row in ROWS]
    q = [(10 * p + a + t / 2) / Fraction(23, 2) for p, a, t in zip(*rows, strict=True)]
    aligned, perturbed = (sum(p * t / m for p, t, m in zip(row, rows[2], q, strict=True)) for row in rows[1:])
    epsilon = Fraction(1, 2) * (perturbed - 1) / (1 - aligned)
    return float(epsilon), float(1 / (1 - epsilon))


def test_the_constants_are_those_of_the_report():
    assert exact_constants() == pytest.approx((0.4248, 1.7386), abs=5e-5)


@pytest.mark.parametrize("unit", [1, 2, 10, 1e-3, 1e3, 2.0**-40])
def test_the_constants_of_r3_are_the_same_in_every_unit(unit, tmp_path):
    volumes = [10 * unit, unit, unit / 2]
    mixture, law = Mixture.of(ROWS, volumes), certify_law(ROWS, volumes)
    codes = dataset_rates(_files(tmp_path, ROWS), volumes)
    for epsilon, constant in (
        (response(mixture).epsilon, response(mixture).theta_constant),
        (survey(mixture).response.epsilon, survey(mixture).response.theta_constant),
        (law.epsilon.estimate, law.theta_constant.estimate),
        (codes["epsilon"], codes["theta_constant"]),
        _of_the_branch(mixture),
    ):
        assert (epsilon, constant) == pytest.approx(exact_constants(), rel=1e-12)


def _files(folder, rows):
    files = [folder / f"{index}.npy" for index in range(len(rows))]
    for file, row in zip(files, rows, strict=True):
        np.save(file, np.array(row))
    return files


def _of_the_branch(mixture):
    """The mixture as a smooth branch of optima: theta = ln(q_x/q_0), x > 0, has gradients q - P_i and Hessian N (diag q - qq')."""
    q = mixture.masses
    slopes = (q - mixture.components)[:, 1:]
    hessian = mixture.total * (np.diag(q) - np.outer(q, q))[1:, 1:]
    found = branch_response(slopes, hessian, mixture.volumes)
    return found.epsilon, found.theta_constant


def test_the_command_line_prints_the_same_constants_in_every_unit(tmp_path):
    from typer.testing import CliRunner

    from paper_checks.cli.commands import app

    files = [str(file) for file in _files(tmp_path, ROWS)]
    for unit in (1, 2, 10):
        volumes = ",".join(map(str, (10 * unit, unit, unit / 2)))
        shown = CliRunner().invoke(app, ["rates", *files, "--volumes", volumes])
        assert "alignment loses 1.73863 times" in " ".join(shown.stdout.split()), shown.output
        told = json.loads(CliRunner().invoke(app, ["rates", *files, "--volumes", volumes, "--json"]).stdout)
        assert told["theta_constant"] == pytest.approx(1.73863, abs=1e-5)
        assert told["epsilon"] == pytest.approx(0.424836, abs=1e-6)


def test_large_trees_are_read_in_every_unit():
    """Compiled sums and numpy agree on the constants, in another unit."""
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(20_000), size=3)
    plain, scaled = (response(Mixture.of(rows, np.array([10.0, 1.0, 0.5]) * unit)) for unit in (1.0, 1e3))
    assert scaled.epsilon == pytest.approx(plain.epsilon, rel=1e-10)
    assert scaled.theta_constant == pytest.approx(plain.theta_constant, rel=1e-10)


# --- mutants: a unit of volume put back ----------------------------------------------------------------------------
def _forget_the_unit(result, unit):
    epsilon = result.epsilon * unit
    return dataclasses.replace(result, epsilon=epsilon, theta_constant=1.0 / (1.0 - epsilon))


true_response, true_branch_response, true_response_matrix = response, branch_response, response_matrix
true_sign_change, true_mixture_residual = sign_change, mixture_residual
MUTANTS = {
    "eps = l (T-1)/(1-A) without |D_a|": (
        "laws.response.response",
        "response",
        lambda m: _forget_the_unit(true_response(m), m.volumes[1]),
    ),
    "the constant of a branch without |D_a|": (
        "laws.optima.branch_response",
        "branch_response",
        lambda slopes, hessian, volumes: _forget_the_unit(true_branch_response(slopes, hessian, volumes), volumes[1]),
    ),
    "derivatives not divided by N": (
        "laws.response.response_matrix",
        "response_matrix",
        lambda m: true_response_matrix(m) * m.total,
    ),
    "a limit in one unit": (
        "laws.finite.sign_change",
        "sign_change",
        lambda m, dataset: true_sign_change(m, dataset, 2.0),
    ),
    "energy in units of |D_a|": (
        "laws.finite.mixture_residual",
        "mixture_residual",
        lambda m, step: true_mixture_residual(m, step) / m.volumes[1],
    ),
}


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_unit_that_is_forgotten_is_seen(mutant, monkeypatch):
    name, function, broken = MUTANTS[mutant]
    compare(name, TURNING, 4.0)
    monkeypatch.setitem(globals(), function, broken)
    with pytest.raises(AssertionError, match="in units of"):
        compare(name, TURNING, 4.0)


TURNING = Mixture.of([[1 / 3] * 3, [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]], [30.0, 2.0, 0.5])
"""dH_p turns at l = 1.08, between 2/4 and 2."""


# --- above the ground floor: the stationary paths of sim, and the fit ----------------------------------------------
def test_the_readings_of_a_path_of_optima_do_not_know_the_unit():
    from sim.cycles.stationary import OptimaPath, path_grid, stationarity

    def read(c):
        steps = path_grid(2.0 * c, 12, scale=c)
        codes, still = path_entropies(in_unit(ONE, c), steps), np.zeros(steps.size)
        path = OptimaPath(
            steps, c * np.array([10.0, 1.0]), codes, still, np.ones((3, steps.size)), still, 10.0, (), 0.0
        )
        return stationarity(path)

    first, other = read(1.0), read(64.0)
    assert (first.K_pretrain, first.K_align) == pytest.approx((10.0, 1.0), rel=1e-4)
    assert (other.K_pretrain, other.K_align) == pytest.approx((64 * first.K_pretrain, 64 * first.K_align), rel=1e-9)
    assert (other.low, other.high, other.ratio) == pytest.approx((first.low, first.high, first.ratio), rel=1e-9)
