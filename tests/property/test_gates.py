"""Every public function refuses what it cannot use: an InputError in one line, or a right answer, and nothing else.

`cases` calls each public function and method with good arguments; then each argument is replaced by each bad value in turn.
What can never be right (NaN, text, dates, complex or masked entries, None, objects) has to be refused; what may be (0, a
negative number, an infinity, a huge integer, nothing, another shape) has to be refused or to give an answer without NaN. A
new public function that is in neither `cases` nor `INNER` fails `test_no_public_function_is_left_out`.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import inspect
import pkgutil
import warnings
from fractions import Fraction

import numpy as np
import pytest

import elastomath
from elastomath import Curve, InputError, Mixture

NEVER = {
    "nan": float("nan"),
    "text": "abc",
    "digits": "1",
    "bytes": b"1",
    "none": None,
    "object": object(),
    "complex": 1j,
    "date": datetime.date(2026, 1, 2),
    "numpy date": np.datetime64("2026-01-02"),
    "duration": np.timedelta64(1, "s"),
    "masked": np.ma.array([0.5, 0.5], mask=[True, False]),
    "mapping": {"a": 1},
    "set": {0.5},
    "nans": [float("nan")] * 2,
    "texts": ["0.5", "0.5"],
    "byte texts": [b"0.5", b"0.5"],
    "dates": np.array(["2026-01-02", "2026-01-03"], dtype="M8[D]"),
    "durations": np.array([1, 2], dtype="m8[s]"),
    "complexes": [0.5j, 0.5],
    "objects": [object(), 0.5],
    "nones": [None, 0.5],
    "ragged": [[0.5], [0.5, 0.5]],
    "masked table": np.ma.array([[0.5, 0.5], [0.5, 0.5]], mask=[[True, False], [False, False]]),
}
"""No argument of numbers may be any of these."""
MAYBE = {
    "zero": 0.0,
    "negative": -1.5,
    "minus one": -1,
    "infinity": float("inf"),
    "minus infinity": -float("inf"),
    "a half": 0.5,
    "largest": 1.7e308,
    "smallest": 5e-324,
    "huge": 10**400,
    "minus huge": -(10**400),
    "true": True,
    "nothing": [],
    "no rows": [[]],
    "zeros": [0.0, 0.0],
    "negatives": [-1.0, 2.0],
    "infinities": [float("inf"), 1.0],
    "table": [[0.5, 0.5], [0.5, 0.5]],
    "cube": np.full((2, 2, 2), 0.5),
    "large": [1e308, 1e308],
    "huges": [10**400, 1],
    "many": [0.25] * 4,
    "empty array": np.zeros((0, 3)),
}
"""These have to be refused, or to give an answer without NaN."""

ROWS = [[0.5, 0.25, 0.25], [0.1, 0.5, 0.4], [0.8, 0.1, 0.1]]
ONE = Mixture.of(ROWS, [10.0, 1.0, 0.5])
MIXTURES = [[share / 10, 1 - share / 10] for share in range(1, 10)]
MIXED_RATES = [[2.5 - share / 7, 1.2 + share**2 / 50] for share in range(1, 10)]
MASSES, OTHER = np.array(ROWS[0]), np.array(ROWS[1])
COUNTS = [[3, 1, 2], [1, 4, 1], [1, 1, 5]]
RUNS = [[1, 3], [2, 1.5], [1.3, 1.9], [1.5, 1.6], [1.1, 2.3]]
STEPS, RATES = [0.0, 0.5, 1.0], [[1.0, 0.99, 0.98], [1.0, 1.1, 1.3], [1.0, 0.7, 0.5]]
TEXTS = ["abacbdab", "bcbcaaab"]
MEASURED = [3.5, 1.25, 4.0, 1.75, 5.5, 9.0, 2.5, 6.0]
COUNTED = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]
SCORES_KEYS = {"base": 0.5, "positive": 1.0, "negative": 0.25}


def cases():
    """Good arguments of every public function and method that takes any: ``{name: (callable, keyword arguments)}``."""
    from elastomath import interval
    from elastomath.certify import balls as certify_balls
    from elastomath.certify import entropy as certify_entropy
    from elastomath.certify import logit as certify_logit
    from elastomath.certify import optima as certify_laws
    from elastomath.certify import pareto as certify_pareto
    from elastomath.certify import response as certify
    from elastomath.codes import arithmetic, codewords, compression
    from elastomath.codes import lengths as codes
    from elastomath.codes import path as codepath
    from elastomath.fit import effective_volumes as effective
    from elastomath.fit import quadrature, sequential
    from elastomath.laws import (
        ceilings,
        forgetting,
        jointness,
        logit,
        optima,
        optimisers,
        planner,
        preferences,
        rebound,
        theorem,
        volumes,
    )
    from elastomath.laws import finetuning as stationarity
    from elastomath.laws import finite as law
    from elastomath.laws import union as unionlaw
    from elastomath.mixtures import divergence, masses, mixture, pool
    from elastomath.necessity import instance
    from elastomath.necessity import printing as necessity_printing
    from elastomath.necessity import search as necessity
    from elastomath.necessity.certificate import exact_counterexample
    from elastomath.pareto import fluctuation, overlaps
    from elastomath.pareto import law as pareto
    from elastomath.rates import datasets
    from elastomath.tails import fit as tailfit
    from elastomath.tails import goodness as tailtest
    from elastomath.tails import rivals as tailrivals
    from elastomath.tails import sample as tailsample
    from elastomath.tails import sampled as sampledpareto
    from elastomath.tails import threshold
    from elastomath.trees import jointtree, sequences, tokentree
    from elastomath.verification import softmax

    fitting = importlib.import_module("elastomath.fit.fit")
    response_module = importlib.import_module("elastomath.laws.response")
    springs, rates = (importlib.import_module(f"elastomath.{name}") for name in ("laws.springs", "rates.rates"))
    shape = softmax.LowRankSoftmax(2, 2, 1)
    theta, table = np.full(shape.size, 0.3), [[[0.25, 0.25], [0.2, 0.3]], [[0.1, 0.4], [0.3, 0.2]]]
    tree = tokentree.TokenTree.of(TEXTS, 2)
    joint = jointtree.JointTree.of([tokentree.TokenTree.of([text], 2) for text in TEXTS])
    scores, phase = rebound.Scores(**SCORES_KEYS), forgetting.Phase(0, 10.0, 0.1)
    words = codewords.canonical_words([1, 2, 2])
    code = arithmetic.ArithmeticCode.of([2, 1, 1])
    block = compression.BlockCode.of(tree)
    limit = fluctuation.leaf_limit(1.5)
    whole = sampledpareto.fit_sampled_pareto(np.array(COUNTED * 20))
    test = tailtest.goodness_of_fit(COUNTED, 2, samples=5)
    readings = theorem.theorem_readings([0, 0.25, 0.5], 10, [[1, 0.99, 0.98], [1, 1.1, 1.2], [1, 0.9, 0.8]])
    union = {"parts": ROWS, "volumes": [30.0, 1.0, 0.1], "shares": None, "align": 1, "perturb": 2}
    k_l = {"pretrain": 10.0, "perturbation": 0.1, "share_align": 0.25, "share_perturb": 0.5, "rest": 0.1}
    steps = {"pretrain_steps": 100.0, "align_steps": 10.0, "rate": 0.01}
    exact = instance.Instance(((1, 2), (2, 1), (1, 1)), (Fraction(10), Fraction(1), Fraction(1, 2)))
    gamma = overlaps.Gamma(1.0)
    curve = Curve.from_paths(
        "run",
        {"pretrain": 10, "align": 1, "perturb": 1},
        STEPS,
        dict(zip(("pretrain", "align", "perturb"), RATES, strict=True)),
        "nats/symbol",
        "symbols",
    )
    (run,) = curve
    fit_modules = ("comparison", "constants", "course", "design", "elastic_limit", "logit", "phase_rates", "pooling")
    comparison, constants, courses, design, limits, fit_logit, phase_rates, pooling = (
        importlib.import_module(f"elastomath.fit.{name}") for name in fit_modules
    )
    readings_of, summary = (importlib.import_module(f"elastomath.fit.{name}") for name in ("readings", "summary"))
    places = np.arange(0.0, 41, 4)
    course = courses.Course(
        "run", "contrast", "nats/response", "examples", places, logit.perturbed_contrast(3.0, places, 0.1),
        np.full(11, 0.01), 0.0, 0.01, 64.0,
    )  # fmt: skip
    fitted, read = fitting.fit_run(run), readings_of.Readings.of(run)
    path = codepath.code_path(COUNTS, [2, 1], 1)
    at = {"start": 0.5, "volume": 10.0, "constant": 0.1}
    return {
        "codes.arithmetic.ArithmeticCode.of": (arithmetic.ArithmeticCode.of, {"counts": [3, 1]}),
        "codes.arithmetic.ArithmeticCode.quantised": (
            arithmetic.ArithmeticCode.quantised,
            {"masses": [0.75, 0.25], "total": 64},
        ),
        "codes.arithmetic.ArithmeticCode.ideal_bits": (code.ideal_bits, {"leaves": [0, 1]}),
        "codes.arithmetic.ArithmeticCode.encode": (code.encode, {"leaves": [0, 1]}),
        "codes.arithmetic.ArithmeticCode.decode": (code.decode, {"bits": code.encode([0, 1]), "count": 2}),
        "fit.fit.fit_run": (fitting.fit_run, {"run": run, "level": 0.9, "quadrature": "spline"}),
        "fit.fit.fit": (fitting.fit, {"curve": curve, "level": 0.9, "quadrature": "spline"}),
        "fit.sequential.run_down": (sequential.run_down, {"perturbations": STEPS, "clock": 0.1}),
        "fit.sequential.read": (sequential.read, {"perturbations": STEPS, "entropies": RATES, "clock": 0.1}),
        "fit.sequential.best_clock": (sequential.best_clock, {"perturbations": STEPS, "entropies": RATES}),
        "fit.sequential.elastic_limit": (
            sequential.elastic_limit,
            {"perturbations": STEPS, "volumes": [10.0, 1.0], "entropies": RATES},
        ),
        "fit.quadrature.path_work": (
            quadrature.path_work,
            {"perturbations": STEPS, "perturb": RATES[2], "scale": 1.0},
        ),
        "fit.effective_volumes.critical_rise": (
            effective.critical_rise,
            {"highest": 25.0, "equations": 11, "level": 0.9},
        ),
        "fit.censored.volume_regression": (
            importlib.import_module("elastomath.fit.censored").volume_regression,
            {
                "low": np.arange(1.0, 13),
                "high": np.arange(2.0, 14),
                "columns": np.arange(12.0)[:, None] % 4,
                "level": 0.9,
            },
        ),
        "fit.comparison.differences": (
            comparison.differences,
            {"sets": {"one": [course], "other": [course]}, "level": 0.9, "constants": ["after"]},
        ),
        "fit.constants.run_constants": (constants.run_constants, {"course": course, "level": 0.9}),
        "fit.constants.optimiser": (constants.optimiser, {"course": course}),
        "fit.constants.recipe": (constants.recipe, {"course": course}),
        "fit.constants.labels": (constants.labels, {"courses": [course]}),
        "fit.constants.bases": (constants.bases, {"courses": [course]}),
        "fit.constants.grouped": (constants.grouped, {"runs": [constants.run_constants(course)], "level": 0.9}),
        "fit.constants.answers": (constants.answers, {"runs": [constants.run_constants(course)], "level": 0.9}),
        "fit.summary.unit_words": (summary.unit_words, {"courses": [course]}),
        "fit.course.Course.passage": (course.passage, {"share": 0.5, "level": 0.9}),
        "fit.course.Course.undone": (course.undone, {"level": 0.9}),
        "fit.course.Course.quantile": (course.quantile, {"level": 0.9}),
        "fit.course.Smoothed.weights": (course.smoothed().weights, {"volumes": [0.0, 4.0]}),
        "fit.course.Smoothed.at": (course.smoothed().at, {"volumes": [0.0, 4.0]}),
        "fit.course.courses": (courses.courses, {"curve": curve}),
        "fit.course.in_one_unit": (courses.in_one_unit, {"runs": [course]}),
        "fit.design.Pilot.course": (design.Pilot().course, {"volumes": places, "align": 16.0, "prompts": 8}),
        "fit.design.Plan.sentences": (design.plan(width=0.5).sentences, {"speed": 100.0}),
        "fit.design.plan": (
            design.plan,
            {"aligned": [16.0], "width": 0.5, "difference": 0.5, "power": 0.8, "level": 0.9, "adapted": 10.0},
        ),
        "fit.design.t_beyond": (design.t_beyond, {"edge": 2.0, "freedom": 10.0, "shift": 1.0}),
        "fit.design.power_of": (design.power_of, {"effect": 1.0, "sigma": 0.5, "seeds": 6, "level": 0.9}),
        "fit.design.pilot_of": (design.pilot_of, {"courses": [course], "prompts": 8, "tokens": 40.0}),
        "fit.elastic_limit.elastic_limit": (limits.elastic_limit, {"readings": read, "level": 0.9}),
        "fit.logit.logit_constants": (fit_logit.logit_constants, {"courses": [course], "level": 0.9}),
        "fit.phase_rates.phase_rates": (phase_rates.phase_rates, {"readings": [read], "level": 0.9}),
        "fit.pooling.pooled_kappa": (pooling.pooled_kappa, {"fits": [fitted], "level": 0.9}),
        "fit.pooling.scaling_exponent": (pooling.scaling_exponent, {"fits": [fitted], "level": 0.9}),
        "fit.pooling.run_covariates": (pooling.run_covariates, {"curve": curve}),
        "fit.readings.Readings.of": (readings_of.Readings.of, {"run": run, "rule": "spline"}),
        "fit.summary.summarise": (summary.summarise, {"courses": [course], "level": 0.9}),
        "interval.Estimate.interval": (interval.Estimate(1.0, 0.1).interval, {"freedom": 9.0, "level": 0.9}),
        "interval.Interval.holds": (interval.Interval(1.0, 0.5, 1.5).holds, {"value": 1.0}),
        "interval.Interval.sign": (interval.Interval(1.0, 0.5, 1.5).sign, {"edge": 0.5}),
        "interval.Interval.within": (interval.Interval(1.0, 0.5, 1.5).within, {"least": 0.0, "most": 1.0}),
        "interval.Interval.of_mean": (
            interval.Interval.of_mean,
            {"mean": 1.0, "se": 0.1, "freedom": 9.0, "level": 0.9},
        ),
        "interval.Interval.of_log": (interval.Interval.of_log, {"log": 1.0, "se": 0.1, "freedom": 9.0, "level": 0.9}),
        "interval.Interval.of_values": (interval.Interval.of_values, {"values": [1.0, 2.0, 3.0], "level": 0.9}),
        "interval.Interval.of_clusters": (
            interval.Interval.of_clusters,
            {"values": [1.0, 2.0, 3.0], "clusters": ["a", "a", "b"], "level": 0.9},
        ),
        "interval.Interval.of_logs": (interval.Interval.of_logs, {"logs": [1.0, 2.0, 3.0], "level": 0.9}),
        "interval.Interval.of_draws": (
            interval.Interval.of_draws,
            {"estimate": 1.0, "draws": [1.0, 2.0], "level": 0.9},
        ),
        "interval.Interval.of_share": (interval.Interval.of_share, {"hits": 9, "total": 10, "level": 0.9}),
        "laws.ceilings.string_ceiling": (ceilings.string_ceiling, {"base_volume": 11.0, "perturbation": 1.0}),
        "laws.ceilings.volume_for": (ceilings.volume_for, {"ceiling": 0.1, "perturbation": 1.0}),
        "laws.ceilings.pooled_ceiling": (ceilings.pooled_ceiling, {"base_volume": 11.0, "perturbation": 1.0}),
        "laws.ceilings.convex_ceiling": (ceilings.convex_ceiling, {"volume": 1.0, "others": 10.0, "perturbation": 1.0}),
        "laws.ceilings.rises": (ceilings.rises, {"mixture": ONE}),
        "certify.response.certify_law": (
            certify.certify_law,
            {"components": COUNTS, "volumes": [10, 1, 1], "digits": 8, "last_precision": 256},
        ),
        "certify.balls.exact_input": (certify_balls.exact_input, {"components": COUNTS, "volumes": [10, 1, 1]}),
        "certify.entropy.certify_entropy": (
            certify_entropy.certify_entropy,
            {"counts": [2, 1], "digits": 8, "last_precision": 256},
        ),
        "certify.optima.certify_tilt": (
            certify_laws.certify_tilt,
            {
                "features": [[0], [1], [2]],
                "base": [1, 1, 1],
                "components": COUNTS,
                "volumes": [10, 1],
                "perturbations": [0, 1],
                "bits": 128,
            },
        ),
        "certify.optima.certify_theorem": (
            certify_laws.certify_theorem,
            {
                "align": [4, 1],
                "perturb": [1, 4],
                "pretrain": 10,
                "perturbation": Fraction(1, 2),
                "parts": (Fraction(1, 2),) * 2,
                "last_precision": 256,
            },
        ),
        "certify.optima.certify_rises": (
            certify_laws.certify_rises,
            {"components": COUNTS, "volumes": [10, 1, 1], "bits": 128},
        ),
        "certify.optima.two_models": (certify_laws.two_models, {"components": [[1, 0], [0, 1]], "wanted": [1, -1]}),
        "certify.logit.certify_logit": (certify_logit.certify_logit, at | {"digits": 8}),
        "certify.logit.certify_replay": (
            certify_logit.certify_replay,
            {"start": 0, "end": -0.5, "share": 0.25, "digits": 8},
        ),
        "certify.logit.certify_return_ratio": (
            certify_logit.certify_return_ratio,
            {"low": Fraction(1, 4), "high": Fraction(3, 4), "digits": 8},
        ),
        "certify.pareto.exact_independent_overlap": (certify_pareto.exact_independent_overlap, {"alpha": 1.5}),
        "certify.pareto.certify_two_parts": (certify_pareto.certify_two_parts, {"alpha": 1.5, "digits": 8}),
        "certify.pareto.certify_pareto": (
            certify_pareto.certify_pareto,
            {
                "alpha": Fraction(5, 2),
                "pretrain": 10,
                "perturb": Fraction(1, 4),
                "shares": (1, 1),
                "digits": 4,
                "last_precision": 128,
            },
        ),
        "codes.path.code_path": (codepath.code_path, {"counts": COUNTS, "volumes": [2, 1], "end": 1, "start": 0}),
        "codes.path.CodePath.changes": (path.changes, {"first": 0, "last": -1}),
        "codes.lengths.shannon_lengths": (codes.shannon_lengths, {"q": MASSES}),
        "codes.lengths.shannon_fano_elias_lengths": (codes.shannon_fano_elias_lengths, {"q": MASSES}),
        "codes.lengths.huffman_lengths": (codes.huffman_lengths, {"weights": MASSES}),
        "codes.lengths.length_limited_lengths": (codes.length_limited_lengths, {"weights": MASSES, "limit": 4}),
        "codes.lengths.kraft_sum": (codes.kraft_sum, {"lengths": [1, 2, 2]}),
        "codes.lengths.expected_length": (codes.expected_length, {"p": MASSES, "lengths": [1, 2, 2]}),
        "codes.lengths.total_length": (codes.total_length, {"weights": [3, 1, 2], "lengths": [1, 2, 2]}),
        "codes.lengths.as_lengths": (lambda lengths: codes.as_lengths(lengths, where="here"), {"lengths": [1, 2]}),
        "codes.codewords.Bits.of": (codewords.Bits.of, {"data": np.array([1, 0, 1], dtype=np.uint8), "size": 3}),
        "codes.codewords.Codewords.word": (words.word, {"leaf": 1}),
        "codes.codewords.Codewords.text": (words.text, {"leaf": 1}),
        "codes.codewords.Codewords.encode": (words.encode, {"leaves": [0, 1]}),
        "codes.codewords.Codewords.decode": (words.decode, {"bits": words.encode([0, 1]), "count": 2}),
        "codes.codewords.canonical_words": (codewords.canonical_words, {"lengths": [1, 2, 2]}),
        "codes.compression.BlockCode.of": (
            compression.BlockCode.of,
            {"tree": tree, "code": "huffman", "ends": 0, "escapes": 0},
        ),
        "codes.compression.BlockCode.of_lengths": (
            compression.BlockCode.of_lengths,
            {"tree": tree, "lengths": block.words.lengths},
        ),
        "codes.compression.BlockCode.decode": (block.decode, {"message": block.encode(TEXTS)}),
        "codes.compression.printed_length": (
            compression.printed_length,
            {"symbols": [[0, 1], [1, 0]], "depth": 2, "counts": [2, 1]},
        ),
        "codes.compression.entropy_ceiling": (compression.entropy_ceiling, {"counts": [2, 1]}),
        "rates.datasets.dataset_rates": (datasets.dataset_rates, {"files": ["no such file.npy"]}),
        "mixtures.divergence.entropy": (divergence.entropy, {"p": MASSES}),
        "mixtures.divergence.cross_entropy": (divergence.cross_entropy, {"p": MASSES, "q": OTHER}),
        "mixtures.divergence.kl_divergence": (divergence.kl_divergence, {"p": MASSES, "q": OTHER}),
        "mixtures.divergence.jensen_shannon": (divergence.jensen_shannon, {"rows": ROWS, "weights": [1, 1, 2]}),
        "mixtures.divergence.total_variation": (divergence.total_variation, {"p": MASSES, "q": OTHER}),
        "mixtures.divergence.overlap": (divergence.overlap, {"p": MASSES, "other": OTHER, "q": OTHER}),
        "mixtures.divergence.chi_square": (divergence.chi_square, {"p": MASSES, "q": OTHER}),
        "mixtures.divergence.log_gap": (divergence.log_gap, {"excess": np.array([0.5, -0.5])}),
        "pareto.fluctuation.merge_leaves": (
            fluctuation.merge_leaves,
            {"masses": [0.5, 0.25, 0.125, 0.125], "factor": 2},
        ),
        "pareto.fluctuation.sampled_overlaps": (
            fluctuation.sampled_overlaps,
            {
                "alpha": 1.5,
                "leaves": 8,
                "draws": 2,
                "pretrain": 10.0,
                "perturb": 0.5,
                "shares": (1, 1, 1),
                "merges": (1, 2),
                "seed": 0,
            },
        ),
        "pareto.fluctuation.LeafLimit.quantile": (limit.quantile, {"level": 0.5, "leaves": 100.0}),
        "pareto.fluctuation.leaf_limit": (
            fluctuation.leaf_limit,
            {"alpha": 2.5, "pretrain": 10.0, "perturb": 0.5, "shares": (1, 1)},
        ),
        "laws.forgetting.Phase": (forgetting.Phase, {"dataset": 0, "steps": 10.0, "rate": 0.1}),
        "laws.forgetting.decay": (forgetting.decay, {"rate": 0.1}),
        "laws.forgetting.step_weights": (forgetting.step_weights, {"rates": [0.5, 0.5]}),
        "laws.forgetting.phase_weights": (forgetting.phase_weights, {"phases": [phase]}),
        "laws.forgetting.effective_mixture": (
            forgetting.effective_mixture,
            {"components": ROWS, "phases": [phase], "start": MASSES},
        ),
        "laws.forgetting.sequential_masses": (
            forgetting.sequential_masses,
            {"components": ROWS, "phases": [phase], "start": MASSES},
        ),
        "laws.forgetting.elasticity_constant": (forgetting.elasticity_constant, steps),
        "laws.forgetting.local_exponents": (forgetting.local_exponents, steps),
        "laws.forgetting.aligned_score": (forgetting.aligned_score, {"scores": scores, "steps": 10.0, "rate": 0.1}),
        "laws.forgetting.first_fall": (forgetting.first_fall, {"scores": scores, "steps": 10.0, "rate": 0.1}),
        "laws.forgetting.return_steps": (
            forgetting.return_steps,
            {"scores": scores, "steps": 10.0, "rate": 0.1, "tolerance": 0.01},
        ),
        "laws.forgetting.tampering_ceiling": (forgetting.tampering_ceiling, {"steps": 10.0, "rate": 0.1}),
        "necessity.instance.Instance": (
            instance.Instance,
            {"counts": ((1, 2), (2, 1), (1, 1)), "volumes": (10, 1, 0.5)},
        ),
        "necessity.instance.Instance.at": (exact.at, {"k": Fraction(5), "perturbation": Fraction(1)}),
        "necessity.instance.IndependentLaws": (instance.IndependentLaws, {"law": (1, 3), "volumes": (10, 1, 0.5)}),
        "trees.jointtree.JointTree.of": (jointtree.JointTree.of, {"trees": [tree, tree]}),
        "trees.jointtree.JointTree.mixture": (joint.mixture, {"volumes": [1.0, 2.0]}),
        "trees.jointtree.JointTree.prune": (joint.prune, {"depth": 1}),
        "trees.jointtree.JointTree.prune_by_count": (joint.prune_by_count, {"least": 2}),
        "trees.jointtree.JointTree.prune_by_mass": (joint.prune_by_mass, {"threshold": 0.3, "volumes": [1.0, 2.0]}),
        "trees.jointtree.pruning_loss": (
            jointtree.pruning_loss,
            {"fine": joint, "coarse": joint.prune(1), "volumes": [1.0, 2.0]},
        ),
        "laws.finite.FiniteLaw.holds": (law.finite_law(STEPS, [10, 1], RATES).holds, {"slack": 0.0}),
        "laws.finite.finite_law": (law.finite_law, {"perturbations": STEPS, "volumes": [10.0, 1.0], "rates": RATES}),
        "laws.finite.as_readings": (
            law.as_readings,
            {"volumes": [10.0, 1.0], "rates": RATES},
            {"steps": 3, "where": "here"},
        ),
        "laws.finite.path_entropies": (law.path_entropies, {"mixture": ONE, "perturbations": STEPS}),
        "laws.finite.mixture_residual": (law.mixture_residual, {"mixture": ONE, "perturbation": 1.0}),
        "laws.finite.mixture_constant": (law.mixture_constant, {"base_volume": 11.0, "perturbation": 1.0}),
        "laws.finite.sign_change": (law.sign_change, {"mixture": ONE, "dataset": 0, "limit": 1e6}),
        "laws.logit.rise": (logit.rise, at),
        "laws.logit.aligned_contrast": (logit.aligned_contrast, at),
        "laws.logit.perturbed_contrast": (logit.perturbed_contrast, at),
        "laws.logit.replayed_contrast": (logit.replayed_contrast, at | {"share": 0.5}),
        "laws.logit.undo_volume": (logit.undo_volume, at),
        "laws.logit.fall_volume": (logit.fall_volume, {"contrast": 1.0, "fall": 0.5, "constant": 0.1}),
        "laws.logit.undo_slope": (logit.undo_slope, at),
        "laws.logit.undo_exponent": (logit.undo_exponent, at),
        "laws.logit.return_ratio": (logit.return_ratio, {"low": 0.25, "high": 0.75}),
        "laws.logit.first_falls": (logit.first_falls, {"contrast": 1.0, "base": 0.5, "constant": 0.1}),
        "laws.logit.matched_volumes": (logit.matched_volumes, {"base": 0.5, "gained": 1.0, "constant": 0.1}),
        "laws.logit.kappa_exponent": (logit.kappa_exponent, at),
        "laws.logit.gradient_constants": (
            logit.gradient_constants,
            {"wanted": [1.0, 0.5], "opposed": [-1.0, 0.5], "probability": 0.5, "rate": 0.1, "batch": 1.0},
        ),
        "laws.jointness.jointness": (
            jointness.jointness,
            {"shares": [[0.9, 0.1], [0.1, 0.9]], "rates": [[1.0, 3.0], [2.0, 1.5]]},
        ),
        "laws.jointness.effective": (
            jointness.effective,
            {
                "shares": MIXTURES,
                "rates": MIXED_RATES,
                "level": 0.9,
                "seed": 0,
            },
        ),
        "laws.jointness.margins": (jointness.margins, {"shares": MIXTURES, "rates": MIXED_RATES}),
        "laws.optimisers.durability": (
            optimisers.durability,
            {
                "optimiser": optimisers.Optimiser("adam"),
                "steps": [3, 5],
                "start": 0.5,
                "runs": 1,
                "limit": 100,
                "seed": 0,
            },
        ),
        "laws.optimisers.momentum_constant": (optimisers.momentum_constant, {"constant": 0.1, "momentum": 0.5}),
        "laws.optimisers.noisy_constant": (optimisers.noisy_constant, {"rate": 0.1, "noise": 1.0, "batch": 2}),
        "laws.optimisers.carried_undo": (
            optimisers.carried_undo,
            {"steps": 9, "climbed": 2.0, "squares": 2.0, "rate": 0.1},
        ),
        "laws.optimisers.squares_at_constant_speed": (
            optimisers.squares_at_constant_speed,
            {"start": 0.5, "rate": 0.1},
        ),
        "laws.optimisers.late_speed": (optimisers.late_speed, {"beta": 0.9}),
        "laws.optimisers.late_undo": (optimisers.late_undo, {"climbed": 8.0, "rate": 0.1, "beta": 0.9}),
        "laws.optimisers.carried_exponent": (optimisers.carried_exponent, {"climbed": 4.0, "noise": 0.5}),
        "laws.optimisers.falling_steps": (
            optimisers.falling_steps,
            {"exponent": -0.15, "rate": 0.1, "start": 0.5},
        ),
        "laws.optimisers.warmed_steps": (optimisers.warmed_steps, {"steps": 10, "warm_up": 20}),
        "laws.optimisers.fitted_exponent": (optimisers.fitted_exponent, {"steps": [1, 2], "undo": [3.0, 4.0]}),
        "defences.losses.loss_of": (
            importlib.import_module("elastomath.defences.losses").loss_of,
            {"beta": 0.3},
            {"name": "dpo"},
        ),
        "laws.planner.needed_rise": (
            planner.needed_rise,
            {"start": 0.5, "undo": 2.0, "constant": 0.1, "replay": 0.25},
        ),
        "laws.planner.sft_price": (planner.sft_price, {"start": 0.5, "height": 2.0, "constant": 0.1}),
        "laws.planner.dpo_price": (planner.dpo_price, {"height": 2.0, "constant": 0.1, "beta": 0.1}),
        "laws.planner.best_dpo": (planner.best_dpo, {"height": 2.0, "constant": 0.1}),
        "laws.planner.planned_beta": (planner.planned_beta, {"volume": 100.0, "constant": 0.1}),
        "laws.planner.largest_loss": (planner.largest_loss, {"undo": 2.0, "constant": 0.1}),
        "laws.planner.ceiling_contrast": (
            planner.ceiling_contrast,
            {"undo": 2.0, "constant": 0.1, "ceiling": 0.001},
        ),
        "laws.planner.output_constant": (planner.output_constant, {"norm": 2.0, "rate": 0.1, "batch": 4.0}),
        "laws.planner.levers": (
            planner.levers,
            {"start": 0.5, "undo": 2.0, "aligning": 0.1, "perturbing": 0.1, "betas": [0.1, 0.5], "replay": 0.25},
        ),
        "laws.preferences.dpo_contrast": (preferences.dpo_contrast, at | {"beta": 0.1, "reference": 0.5}),
        "laws.preferences.dpo_undo_volume": (preferences.dpo_undo_volume, at | {"beta": 0.1}),
        "laws.preferences.dpo_reversal": (
            preferences.dpo_reversal,
            {"volume": 2.0, "constant": 0.1, "beta": 0.1, "reference": "base"},
        ),
        "laws.preferences.dpo_crossing": (preferences.dpo_crossing, {"start": 0.0, "constant": 0.1, "beta": 0.1}),
        "laws.preferences.simpo_force": (
            preferences.simpo_force,
            {"beta": 0.1, "margin": 0.5, "wanted": 3, "opposed": 4},
        ),
        "laws.preferences.kto_force": (
            preferences.kto_force,
            {"reference": 0.5, "beta": 0.1, "kind": "both", "point": 0.2},
        ),
        "laws.preferences.forced_contrast": (
            preferences.forced_contrast,
            {"force": lambda z: 1 / (1 + np.exp(np.minimum(z, 700))), "start": 0.5, "volume": 2.0, "constant": 0.1},
        ),
        "mixtures.masses.as_masses": (masses.as_masses, {"values": MASSES}),
        "mixtures.masses.normalise": (masses.normalise, {"counts": [3, 1]}),
        "mixtures.masses.as_rows": (lambda parts: masses.as_rows(parts, name="part", where="here"), {"parts": ROWS}),
        "mixtures.masses.as_shares": (lambda shares: masses.as_shares(shares, 2, where="here"), {"shares": [3, 1]}),
        "mixtures.masses.union": (masses.union, {"parts": ROWS, "shares": [1, 2, 3]}),
        "mixtures.masses.pareto_masses": (masses.pareto_masses, {"alpha": 1.5, "leaves": 4, "seed": 0}),
        "mixtures.mixture.Mixture": (mixture.Mixture, {"components": ROWS, "volumes": [10, 1, 0.5]}),
        "mixtures.mixture.Mixture.of": (mixture.Mixture.of, {"components": ROWS, "volumes": [10, 1, 0.5]}),
        "mixtures.mixture.Mixture.at": (ONE.at, {"perturbation": 1.0}),
        "mixtures.mixture.Mixture.along": (ONE.along, {"perturbations": [0.5, 1.0]}),
        "mixtures.mixture.as_volumes": (mixture.as_volumes, {"volumes": [10, 1]}, {"count": 2}),
        "mixtures.mixture.as_mixture": (mixture.as_mixture, {"mixture": ONE}, {"where": "here"}),
        "necessity.search.find_counterexample": (
            necessity.find_counterexample,
            {"assumption": "union", "seed": 0, "part": "pretrain", "bound": 10, "rounds": 1},
        ),
        "necessity.certificate.exact_counterexample": (
            exact_counterexample,
            {"components": [[0.5, 0.5, 0], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3]], "volumes": [10, 1, 0.1]},
            {"violates": lambda seen: seen.gaps()[0] > 0},
        ),
        "necessity.printing.table": (necessity_printing.table, {"style": "text"}),
        "laws.optima.OptimaLaw.holds": (optima.optima_law(STEPS, [10, 1], RATES).holds, {"missed": 0.1, "slack": 0.0}),
        "laws.optima.optima_law": (
            optima.optima_law,
            {"perturbations": STEPS, "volumes": [10, 1], "rates": RATES, "regulariser": [0, 0, 0]},
        ),
        "laws.optima.joint_optima": (
            optima.joint_optima,
            {
                "losses": [[1.0, 1.1], [1.0, 2.0], [5.0, 1.0]],
                "volumes": [10, 1],
                "perturbations": STEPS,
                "regulariser": [0, 0],
            },
        ),
        "laws.optima.branch_response": (
            optima.branch_response,
            {"gradients": [[0.5], [-5.5], [1.0]], "hessian": [[12.0]], "volumes": [10, 1, 0.5]},
        ),
        "pareto.overlaps.Gamma": (overlaps.Gamma, {"shape": 1.5}),
        "pareto.overlaps.Gamma.moment": (gamma.moment, {"power": 1.5}),
        "pareto.overlaps.Gamma.laplace": (gamma.laplace, {"s": 0.5, "order": 1}),
        "pareto.overlaps.Lognormal": (overlaps.Lognormal, {"sigma": 1.5}),
        "pareto.overlaps.Lognormal.moment": (overlaps.Lognormal(1.0).moment, {"power": 1.5}),
        "pareto.overlaps.Lognormal.laplace": (overlaps.Lognormal(1.0).laplace, {"s": 0.5, "order": 1}),
        "pareto.overlaps.Coarse": (overlaps.Coarse, {"law": gamma, "factor": 2}),
        "pareto.overlaps.Coarse.moment": (overlaps.Coarse(gamma, 2).moment, {"power": 1}),
        "pareto.overlaps.Coarse.laplace": (overlaps.Coarse(gamma, 2).laplace, {"s": 0.5, "order": 1}),
        "pareto.overlaps.aliasing_bound": (overlaps.aliasing_bound, {"step": 0.22}),
        "pareto.overlaps.overlap_matrix": (overlaps.overlap_matrix, {"law": gamma, "weights": [1.0, 2.0]}),
        "pareto.overlaps.mass_mean": (
            overlaps.mass_mean,
            {"law": gamma, "weights": [1.0, 2.0], "orders": (1, 1), "power": 1},
        ),
        "pareto.overlaps.equal_parts_overlap": (overlaps.equal_parts_overlap, {"law": gamma, "parts": 3}),
        "pareto.overlaps.expected_overlaps": (
            overlaps.expected_overlaps,
            {"law": gamma, "pretrain": 10.0, "perturb": 0.5, "shares": (1, 1, 1)},
        ),
        "pareto.law.Pareto": (pareto.Pareto, {"alpha": 1.5}),
        "pareto.law.Pareto.moment": (pareto.Pareto(1.5).moment, {"power": 1.2}),
        "pareto.law.Pareto.laplace": (pareto.Pareto(1.5).laplace, {"s": 0.5, "order": 1}),
        "pareto.law.as_tail_index": (pareto.as_tail_index, {"alpha": 1.5}),
        "pareto.law.exponential_integral": (pareto.exponential_integral, {"order": 1.5, "x": 0.5}),
        "pareto.law.independent_overlap": (pareto.independent_overlap, {"alpha": 1.5}),
        "pareto.law.two_part_overlap": (pareto.two_part_overlap, {"alpha": 1.5}),
        "pareto.law.two_mass_mean": (pareto.two_mass_mean, {"alpha": 1.5, "weights": [1.0, 2.0]}),
        "mixtures.pool.GeometricPool.of": (pool.GeometricPool.of, {"mixture": ONE}),
        "mixtures.pool.pooled_divergences": (pool.pooled_divergences, {"mixture": ONE, "perturbations": STEPS}),
        "mixtures.pool.pool_residual": (pool.pool_residual, {"mixture": ONE, "perturbation": 1.0}),
        "mixtures.pool.reverse_balance": (pool.reverse_balance, {"mixture": ONE}),
        "rates.rates.rates": (rates.rates, {"mixture": ONE, "spelled": [1, 2, 2]}),
        "rates.rates.normalised_rates": (rates.normalised_rates, {"mixture": ONE, "spelled": [1, 2, 2]}),
        "rates.rates.rate_response": (rates.rate_response, {"mixture": ONE, "spelled": [1, 2, 2]}),
        "rates.rates.code_lengths": (rates.code_lengths, {"mixture": ONE}),
        "laws.rebound.Scores": (rebound.Scores, SCORES_KEYS),
        "laws.rebound.score": (rebound.score, {"scores": scores, "pretrain": 10.0, "positive": 5.0, "negative": 1.0}),
        "laws.rebound.score_slope": (
            rebound.score_slope,
            {"scores": scores, "pretrain": 10.0, "positive": 5.0, "negative": 1.0},
        ),
        "laws.rebound.faster_below": (rebound.faster_below, {"scores": scores, "pretrain": 10.0, "negative": 1.0}),
        "laws.rebound.falls_faster": (
            rebound.falls_faster,
            {"scores": scores, "pretrain": 10.0, "less": 1.0, "more": 2.0, "negative": 1.0},
        ),
        "laws.rebound.return_volume": (
            rebound.return_volume,
            {"scores": scores, "positive": 5.0, "tolerance": 0.01, "pretrain": 10.0},
        ),
        "laws.rebound.divergence_return_volume": (
            rebound.divergence_return_volume,
            {"parts": ROWS, "pretrain": 10.0, "positive": 5.0, "tolerance": 0.01, "direction": "reverse"},
        ),
        "laws.response.survey": (response_module.survey, {"mixture": ONE}),
        "laws.response.response": (response_module.response, {"mixture": ONE}),
        "laws.response.response_matrix": (response_module.response_matrix, {"mixture": ONE}),
        "tails.sampled.SampledPareto.tail_probability": (whole.tail_probability, {"counts": [1, 2]}),
        "tails.sampled.SampledPareto.draw": (whole.draw, {"size": 3, "seed": 0}),
        "tails.sampled.log_probabilities": (
            sampledpareto.log_probabilities,
            {"counts": [1, 2], "alpha": 1.5, "floor": 0.5},
        ),
        "tails.sampled.at_least": (sampledpareto.at_least, {"counts": [1, 2], "alpha": 1.5, "floor": 0.5}),
        "tails.sampled.fit_sampled_pareto": (sampledpareto.fit_sampled_pareto, {"counts": COUNTED}),
        "tails.sampled.sampled_p_value": (sampledpareto.sampled_p_value, {"fit": whole, "samples": 2, "seed": 0}),
        "trees.sequences.checked_alphabet": (sequences.checked_alphabet, {"alphabet": 4}),
        "trees.sequences.checked_depth": (sequences.checked_depth, {"depth": 4}),
        "trees.sequences.Sequences.of_integers": (
            sequences.Sequences.of_integers,
            {"sequences": [[0, 1]], "alphabet": 4},
        ),
        "trees.sequences.Sequences.of_text": (sequences.Sequences.of_text, {"documents": TEXTS, "alphabet": 256}),
        "verification.softmax.LowRankSoftmax": (softmax.LowRankSoftmax, {"contexts": 2, "vocabulary": 2, "rank": 1}),
        "verification.softmax.LowRankSoftmax.losses": (shape.losses, {"theta": theta, "data": table}),
        "verification.softmax.LowRankSoftmax.gradients": (shape.gradients, {"theta": theta, "data": table}),
        "verification.softmax.LowRankSoftmax.hessian": (shape.hessian, {"theta": theta, "table": table[0]}),
        "verification.softmax.LowRankSoftmax.fit": (
            shape.fit,
            {"data": table, "volumes": [2.0, 1.0], "seed": 0, "gradient": 1e-7},
        ),
        "laws.springs.springs": (springs.springs, {"mixture": ONE, "perturbations": STEPS}),
        "laws.springs.springs_of_readings": (
            springs.springs_of_readings,
            {"perturbations": STEPS, "volumes": [10, 1], "rates": RATES, "rate_se": RATES},
        ),
        "laws.springs.springs_of_run": (springs.springs_of_run, {"run": run}),
        "laws.springs.elastic_limit": (springs.elastic_limit, {"mixture": ONE, "limit": 1e6}),
        "laws.finetuning.GradientTest.spread": (
            stationarity.gradient_test([1.0, 0.0], [-0.5, 0.1]).spread,
            {"angle": 0.1},
        ),
        "laws.finetuning.gradient_test": (
            stationarity.gradient_test,
            {"pretrain_gradient": [1.0, 0.0], "align_gradient": [-2.0, 0.1], "tolerance": 1e-6},
        ),
        "laws.finetuning.stiffness_ratios": (
            stationarity.stiffness_ratios,
            {"pretrain_gradient": [1.0, 0.5], "align_gradient": [-2.0, 0.1], "displacements": [[1.0, 0.5]]},
        ),
        "laws.finetuning.elastic_energy": (
            stationarity.elastic_energy,
            {"hessian": [[1.0, 0.1], [0.1, 2.0]], "displacements": [[1.0, 0.5]]},
        ),
        "laws.finetuning.remainder_bound": (stationarity.remainder_bound, {"third": [1.0, 0.5]}),
        "laws.finetuning.elastic_limit": (stationarity.elastic_limit, {"align_slope": -1.0, "curvature": 2.0}),
        "laws.finetuning.elastic_path": (
            stationarity.elastic_path,
            {
                "positions": [0, 1, 2],
                "volumes": [10, 1],
                "changes": [[0, 0.05, 0.3], [0, -0.4, -0.6]],
                "align_slopes": [0, -0.5, -1.0],
            },
        ),
        "tails.fit.fit_tail": (
            tailfit.fit_tail,
            {"values": COUNTED, "threshold": 2.0, "level": 0.95},
        ),
        "tails.rivals.likelihood_ratio": (
            tailrivals.likelihood_ratio,
            {"values": COUNTED, "alternative": "cutoff", "threshold": 2.0},
        ),
        "tails.fit.fit_tail, of numbers": (tailfit.fit_tail, {"values": MEASURED, "threshold": 2.0}),
        "tails.rivals.likelihood_ratio, of numbers": (
            tailrivals.likelihood_ratio,
            {"values": MEASURED, "alternative": "cutoff", "threshold": 2.0},
        ),
        "tails.rivals.likelihood_ratio, lognormal": (
            tailrivals.likelihood_ratio,
            {"values": MEASURED, "alternative": "lognormal", "threshold": 2.0},
        ),
        "tails.goodness.goodness_of_fit, of numbers": (
            tailtest.goodness_of_fit,
            {"values": MEASURED, "threshold": 2.0, "samples": 2, "seed": 0},
        ),
        "tails.threshold.scan_threshold, of numbers": (
            threshold.scan_threshold,
            {"values": MEASURED, "least_tail": 2, "level": 0.95},
        ),
        "tails.rivals.half_chi_square": (tailrivals.half_chi_square, {"statistic": 1.0}),
        "tails.rivals.cutoff_p_value": (tailrivals.cutoff_p_value, {"statistic": 1.0, "alpha": 1.5}),
        "tails.sample.Sample.of": (tailsample.Sample.of, {"values": COUNTED}),
        "tails.sample.Sample.tail": (tailsample.Sample.of(COUNTED).tail, {"threshold": 2.0}),
        "tails.sample.draw_tail": (
            tailsample.draw_tail,
            {"size": 5, "threshold": 2.0, "alpha": 1.5, "whole": False, "seed": 0},
        ),
        "tails.goodness.GoodnessOfFit.interval": (test.interval, {"level": 0.9}),
        "tails.goodness.goodness_of_fit": (
            tailtest.goodness_of_fit,
            {
                "values": COUNTED,
                "threshold": 2.0,
                "samples": 2,
                "seed": 0,
                "least_tail": 2,
                "level": 0.95,
            },
        ),
        "laws.theorem.theta_bounds": (
            theorem.theta_bounds,
            {"pretrain": 10.0, "perturbation": 0.5, "start": 0.1, "parts": (0.5, 0.5), "further": 0.0},
        ),
        "laws.theorem.mixture_theta_bounds": (
            theorem.mixture_theta_bounds,
            {"pretrain": 10.0, "perturbation": 0.5, "parts": (0.5, 0.5)},
        ),
        "laws.theorem.residual_constant": (
            theorem.residual_constant,
            {"base_volume": 11.0, "perturbation": 1.0, "ratio": 0.5},
        ),
        "laws.theorem.TheoremReadings.holds": (readings.holds, {"slack": 0.0}),
        "laws.theorem.theorem_readings": (
            theorem.theorem_readings,
            {"perturbations": [0, 0.25, 0.5], "pretrain": 10.0, "rates": RATES, "parts": (0.5, 0.5)},
        ),
        "laws.theorem.union_parts": (
            theorem.union_parts,
            {"pretrain": [0.5, 0.5], "align": [0.75, 0.25], "perturb": [0.25, 0.75], "tolerance": 1e-9},
        ),
        "tails.threshold.scan_threshold": (
            threshold.scan_threshold,
            {"values": COUNTED, "least_tail": 2, "level": 0.95},
        ),
        "trees.tokentree.TokenTree.of": (tokentree.TokenTree.of, {"documents": TEXTS, "depth": 2, "unit": "bytes"}),
        "trees.tokentree.TokenTree.of_masses": (
            tokentree.TokenTree.of_masses,
            {"weights": [0.5, 0.25, 0.25, 0.0], "depth": 2, "alphabet": 2},
        ),
        "trees.tokentree.TokenTree.of_sequences": (
            tokentree.TokenTree.of_sequences,
            {"sequences": [[0, 1, 1], [1]], "depth": 2, "alphabet": 2},
        ),
        "trees.tokentree.TokenTree.of_leaves": (
            tokentree.TokenTree.of_leaves,
            {"leaves": [[0, 1], [1, 1]], "weights": [3, 1], "depth": 2, "alphabet": 2},
        ),
        "trees.tokentree.TokenTree.prune": (tree.prune, {"depth": 1}),
        "trees.tokentree.TokenTree.prune_by_count": (tree.prune_by_count, {"least": 2}),
        "trees.tokentree.TokenTree.prune_by_mass": (tree.prune_by_mass, {"threshold": 0.3}),
        "trees.tokentree.TokenTree.spell": (tree.spell, {"leaf": 0}),
        "laws.union.union_epsilon": (unionlaw.union_epsilon, k_l),
        "laws.union.union_constant": (unionlaw.union_constant, k_l),
        "laws.union.union_threshold": (
            unionlaw.union_threshold,
            {"share_align": 0.25, "share_perturb": 0.5, "rest": 0.1},
        ),
        "laws.union.union_law": (unionlaw.union_law, union),
        "laws.union.union_turning": (unionlaw.union_turning, union | {"limit": 1e6}),
        "laws.union.rest_ratios": (unionlaw.rest_ratios, {"alpha": 1.5, "leaves": 8, "draws": 2, "seed": 0}),
        "laws.volumes.mixture_work": (volumes.mixture_work, {"mixture": ONE, "perturbations": STEPS}),
        "laws.volumes.work_bounds": (volumes.work_bounds, {"perturbations": STEPS, "perturb": [3.0, 2.0, 1.0]}),
        "laws.volumes.effective_volumes": (
            volumes.effective_volumes,
            {"changes": [[1.0, 2.0, 3.0], [1.0, 0.5, 0.7]], "work": [1.0, 2.0, 3.0], "tolerance": 1e-9},
        ),
    }


NONE_ALLOWED = {
    "reference",
    "shares",
    "regulariser",
    "rate_se",
    "limit",
    "pretrain",
    "spelled",
    "weights",
    "volumes",
    "size",
    "count",
    "threshold",
    "k",
    "perturbation",
}
"""Arguments whose default is None where they have one."""


def answer_has_nan(value):
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and bool(np.isnan(value).any())
    if isinstance(value, float):
        return value != value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(answer_has_nan(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, list | tuple):
        return any(answer_has_nan(one) for one in value)
    if isinstance(value, dict):
        return any(answer_has_nan(one) for one in value.values())
    return False


# What a bad value is good for: documents are text, mappings of documents are none; None is the default of some.
TEXT = {
    "trees.tokentree.TokenTree.of documents",
    "trees.sequences.Sequences.of_text documents",
    "codes.codewords.Bits.of data",
}
OPTIONAL = {"interval.Interval.of_draws estimate", "mixtures.masses.as_shares shares"}
UNDEFINED = {"laws.finetuning.gradient_test", "laws.finetuning.stiffness_ratios", "laws.logit.gradient_constants"}
"""Their docstrings say that NaN is the answer where nothing moves, or a gradient is 0."""
MODULES_ELSEWHERE = {
    "fit.figures": "drawings of what the fit gives",
    "fit.tables": "files",
    "fit.rival_laws": "the laws in arrays of the fit's own",
    "fit.law_choice": "readings of checked curves",
    "fit.least_squares": "problems of the fit's own",
    "figures.results": "drawings of what the laws give",
    "style": "drawings",
    "shown": "what a notebook shows",
    "runs.conduct": "files",
    "runs.settings": "options, read from text and files, with tests of their own",
    "mixtures.kernels": "compiled sums of arrays that were checked",
    "mixtures.leafsums": "compiled sums of arrays that were checked",
    "tails.zeta": "functions of numbers that were checked",
    "trees.leafset": "the leaves of a tree that was checked",
    "derivations.evaluation": "the evaluation of proofs: symbols, not numbers",
    "derivations.language": "the language of proofs: symbols, not numbers",
    "derivations.words": "the words of proofs: symbols, not numbers",
    "checks": "the gates themselves",
    "errors": "the error itself",
    "testing.strategies": "generators of test data",
    "figures.curves": "drawings of checked curves",
    "tails.figures": "drawings of checked verdicts",
    "runs.executors": "processes",
    "runs.ledger": "files",
    "progress": "terminal",
    "storage": "files",
    "foreign": "files, with tests of their own (test_foreign.py)",
    "memory": "the gate of counts, with a test of its own (test_errors.py)",
    "compiled": "a compiler of loops",
    "tables": "files",
    "runs.table": "files",
    "curve": "tables, with tests of their own (test_curve.py)",
    "necessity.drawing": "random instances",
    "necessity.shrinking": "a search over instances",
    "tails.verdict": "a verdict over a Sample or a tree, which have gates",
}
BALLS = {
    "certify.response.overlap_term",
    "certify.response.sharp_constant",
    "certify.balls.accurate",
    "certify.balls.enclosure",
    "certify.balls.as_rational",
    "certify.balls.ball_of",
    "certify.balls.rational",
}
BALLS |= {
    "certify.balls.working_precision",
    "certify.balls.Enclosure.agrees",
    "certify.optima.theta_ball",
    "certify.optima.residual_ball",
}
BALLS |= {"certify.pareto.two_part_ball", "certify.pareto.two_mass_ball", "certify.pareto.pareto_mean"}
BALLS |= {"certify.logit.aligned_ball", "certify.logit.perturbed_ball", "certify.logit.replayed_exposure"}
BALANCE = ("deviance", "without", "polish", "along", "at_infinity", "span")
INNER = {
    "defences.defence.named": "a gate",
    **{
        f"defences.losses.{name}": "a beta that loss_of checked"
        for name in ("sft", "dpo", "simpo", "kto", "ascent", "npo", "noising")
    },
    **{
        f"defences.noising.{name}": "tensors of a network"
        for name in ("feed_forward_outputs", "maximum_mean_discrepancy", "noise_distance")
    },
    "defences.figures.defences_figure": "a drawing of results",
    "necessity.instance.Instance.latex": "text",
    **{
        f"fit.effective_volumes.{name}": "moments of readings that were checked"
        for name in ("estimate", "interval", *(f"Balance.{inner}" for inner in BALANCE))
    },
    "fit.crossing.first_crossing": "courses that were read",
    "fit.course.passages": "a course and shares that `Course.passage` has checked, or that the fit asks for",
    "fit.effective_volumes.estimates_without": "a balance of readings that were checked",
    "fit.course.run_course": "a run and its rows of a curve that was checked",
    "fit.fit.course_laws": "courses of a curve that was checked",
    "fit.pooling.covariate_effects": "columns of a curve that was checked",
    "fit.quadrature.suited_work": "a grid that was checked",
    "fit.quadrature.work_operator": "a grid that was checked",
    "fit.readings.Readings.of_course": "a course of a curve that was checked",
    "fit.result.Scatter.too_small": "a bound of the fit's own",
    "fit.constants.seed_of": "a course that was checked",
    "fit.summary.bounded": "an interval",
    "fit.summary.cell": "an interval",
    "laws.theorem.log_gap": "a number that was checked",
    "laws.theorem.log_quotient": "volumes that were checked",
    "certify.balls.bounded": "a certificate",
    "interval.Interval.of_dict": "a saved result",
    "interval.Interval.side": "words",
    "codes.lengths.compiled": "a decorator",
    "pareto.overlaps.an_overlap_law": "a gate",
    "trees.sequences.symbol_type": "an alphabet that was checked",
    "trees.sequences.blocks": "arrays that were checked",
    "trees.sequences.Sequences.first": "a depth that was checked",
    "trees.sequences.Sequences.slabs": "a depth that was checked",
    "trees.sequences.Sequences.parts": "of_integers in pieces",
    "trees.tokentree.least_count": "a threshold that was checked",
    "trees.tokentree.checked_count": "a gate",
    "trees.tokentree.checked_threshold": "a gate",
    "trees.tokentree.TokenTree.of_chunks": "an iterator of of_text",
    "tails.fit.most_likely_index": "a Sample that was checked",
    "tails.fit.largest_gap": "a Sample that was checked",
    "tails.fit.survival": "numbers that were checked",
    "tails.fit.log_ratios": "numbers that were checked",
    "tails.sample.Sample.tallied": "tallies that were checked",
    "tails.sample.draw_counts": "a function for its law",
    "tails.threshold.best_of_scan": "a Sample that was checked",
    "mixtures.mixture.PERTURBED": "a gate",
    "necessity.search.fails": "gaps of an instance",
    "necessity.search.violates": "returns a function",
    "necessity.printing.tex_words": "text",
    "necessity.instance.tex": "a fraction",
    "rates.datasets.read_masses": "a file",
    "rates.datasets.read_documents": "a file",
    "rates.datasets.read_datasets": "files",
    "codes.compression.protocol_lengths": "documents, as TokenTree.of",
    "codes.compression.BlockCode.of_documents": "documents, as TokenTree.of",
    "codes.compression.BlockCode.blocks_of": "documents, as TokenTree.of",
    "codes.compression.BlockCode.encode": "documents, as TokenTree.of",
}


NAN_IS_AN_ANSWER = {"interval.Interval.of_mean", "interval.Interval.of_log", "interval.Interval.of_draws"}
"""Where a number that is not finite says that there is none: the interval then has no estimate or no ends."""


def public_functions():
    """Every public function and method with an argument, by module and name, through all packages."""
    for module in pkgutil.walk_packages(elastomath.__path__, "elastomath."):
        short = module.name.removeprefix("elastomath.")
        if module.ispkg or any(
            f"{short}.".startswith(f"{at}.") for at in ("derivations", "verification", *MODULES_ELSEWHERE)
        ):
            continue
        home = importlib.import_module(module.name)
        for name, value in vars(home).items():
            if name.startswith("_") or getattr(value, "__module__", None) != home.__name__:
                continue
            if inspect.isfunction(value) and inspect.signature(value).parameters:
                yield f"{short}.{name}"
            elif inspect.isclass(value) and not getattr(value, "_is_protocol", False):
                for inner, method in vars(value).items():
                    plain = method.__func__ if isinstance(method, classmethod) else method
                    public = inspect.isfunction(plain) and not inner.startswith("_")
                    if public and set(inspect.signature(plain).parameters) - {"self", "cls"}:
                        yield f"{short}.{name}.{inner}"


@pytest.fixture(scope="module")
def good():
    return cases()


def test_no_public_function_is_left_out(good):
    assert set(public_functions()) - set(good) - BALLS - set(INNER) == set()


@pytest.mark.parametrize("name", sorted(cases()))
def test_bad_values_are_refused_or_answered(good, name, monkeypatch):
    function, arguments, *rest = good[name]
    fixed, seen = rest[0] if rest else {}, []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            undefined = answer_has_nan(function(**arguments, **fixed)) or name in UNDEFINED
        except InputError:
            assert name == "rates.datasets.dataset_rates"  # there is no such file
            undefined = False
        for argument in arguments:
            default = inspect.signature(function).parameters[argument].default
            for kind, value in (NEVER | MAYBE).items():
                if kind == "nan" and name in NAN_IS_AN_ANSWER:
                    continue
                if kind == "none" and (default is None or f"{name} {argument}" in OPTIONAL):
                    continue
                if kind in ("texts", "byte texts", "digits", "bytes", "text") and f"{name} {argument}" in TEXT:
                    continue
                try:
                    answer = function(**(arguments | {argument: value}), **fixed)
                except InputError:
                    pass
                except Exception as error:
                    seen.append((argument, kind, f"{type(error).__name__}: {error}"[:80]))
                else:
                    if kind in NEVER:
                        seen.append((argument, kind, "accepted"))
                    elif answer_has_nan(answer) and not undefined:
                        seen.append((argument, kind, "NaN"))
    assert seen == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: _module("tails.goodness").goodness_of_fit(COUNTED, "Scan"), "threshold is 'Scan'"),
        (lambda m: _module("laws.union").union_threshold(0.3, 0.3, float("nan")), "rest is nan"),
        (lambda m: _module("tails.rivals").half_chi_square(float("nan")), "statistic is nan"),
        (lambda m: elastomath.entropy(["0.5", "0.5"]), "masses are not numbers"),
        (lambda m: elastomath.chi_square(np.ma.array([0.5, 0.5], mask=[True, False]), [0.5, 0.5]), "masked"),
        (lambda m: elastomath.kl_divergence(np.array([1], dtype="m8[s]"), [1.0]), "masses are not numbers"),
        (lambda m: Mixture.of(ROWS, ["10", "1", "1"]), "volumes are not numbers"),
        (lambda m: Mixture.of(ROWS, np.ma.array([10, 1, 1], mask=[1, 0, 0])), "volumes are masked"),
        (lambda m: Mixture.of(ROWS, [10, 1, 1j]), "volumes are not numbers"),
        (lambda m: elastomath.mixture_constant(0, 1), "base volume is 0|base_volume is 0"),
        (lambda m: elastomath.sign_change(m, 7), "dataset is 7"),
        (lambda m: elastomath.sign_change(m, 0, 0), "limit is 0"),
        (lambda m: _module("laws.springs").elastic_limit(m, -1), "limit is -1"),
        (lambda m: _module("certify.optima").certify_theorem([1, 2], [2, 1], float("nan"), 1), "k is nan"),
        (
            lambda m: elastomath.canonical_words([1, 1]).decode(
                elastomath.canonical_words([1, 1]).encode([0]), float("nan")
            ),
            "count is nan",
        ),
    ],
)
def test_what_was_accepted_in_silence_or_crashed(call, says):
    with pytest.raises(InputError, match=says):
        call(ONE)


def test_the_ends_of_the_doubles_have_their_right_values():
    from elastomath.codes.arithmetic import ArithmeticCode
    from elastomath.laws.logit import rise
    from elastomath.pareto.fluctuation import leaf_limit
    from elastomath.pareto.overlaps import Lognormal
    from elastomath.tails.rivals import likelihood_ratio
    from elastomath.tails.sampled import SampledPareto

    assert ArithmeticCode.quantised([10**400, 10**400 // 3, 0, 1], total=102).counts.tolist() == [75, 25, 0, 1]
    assert Lognormal(1.0).moment(1e200) == np.inf
    assert Lognormal(1e-200).moment(1e200) == pytest.approx(np.exp(0.5))
    near, far = leaf_limit(1.5), leaf_limit(1.5, 1e300)  # a k so large is none
    assert (far.bias, far.deviation, far.scale) == pytest.approx((near.bias, near.deviation, near.scale), rel=1e-9)
    assert leaf_limit(2.5, 1e300, 1e290).scale == pytest.approx(leaf_limit(2.5, 1e30, 1e20).scale, rel=1e-9)
    assert leaf_limit(1000.0).deviation == pytest.approx(1.11e-6, rel=2e-3)  # 1.1071/alpha^2 + O(alpha^-3)
    for lost in (lambda: leaf_limit(1e4), lambda: leaf_limit(2.5, 1e-300)):
        with pytest.raises(InputError, match="the variance is lost"):
            lost()
    values = np.array([1.0, 1.5, 2.0, 4.0, 9.0])
    plain, large = (likelihood_ratio(values * unit, "lognormal", unit) for unit in (1.0, 1e307))
    assert large.log_ratio == pytest.approx(plain.log_ratio, rel=1e-9)
    law = SampledPareto(0.5, 2.0, 0.1, 0.9, 0.0, 0.0, 1, False)
    assert law.tail_probability(1.7e308) == pytest.approx((1.7e308 / 2) ** -0.5 / 0.9, rel=1e-12)
    with pytest.raises(InputError, match="c n is inf"):
        rise(0.0, 2.0, 1.7e308)


def test_dates_are_no_rates():
    days = np.array(["2026-01-02"] * 3, dtype="M8[D]")
    with pytest.raises(InputError):
        Curve.from_paths(
            "run",
            {"pretrain": 10, "align": 1, "perturb": 1},
            STEPS,
            dict.fromkeys(("pretrain", "align", "perturb"), days),
            "nats/symbol",
            "symbols",
        )


def _module(name):
    return importlib.import_module(f"elastomath.{name}")
