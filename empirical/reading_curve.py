"""Readings of held-out documents along a training, as a Curve in bits per token against examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elastomath.curve import Curve
from elastomath.ledger import Result
from elastomath.units import NATS_PER_BIT

from .contrast import ratio_se


def reading_curve(
    run: str,
    readings: Sequence[Result],
    examples: Sequence[float],
    members: Mapping[str, Sequence[str]],
    volumes: Mapping[str, float],
    **covariates: Any,
) -> Curve:
    """``gamma_i = sum of code lengths / sum of tokens`` of each component at each reading, J >= 2 of them.

    readings    as `Laboratory.read` gives them, the first before any perturbation; examples: of the perturbation so far
    members     component -> the held-out sets that it is made of; volumes: component -> its nominal size in examples

    The documents are the same at every reading, so what varies from reading to reading is not which documents were
    drawn: ``rate_se`` is the standard error after each document's own mean over the run is taken out, and the covariate
    ``rate_se_population`` is the one for other documents of the kind.
    """
    rates, errors, population = {}, {}, []
    freedom = np.sqrt(len(readings) / (len(readings) - 1))
    for component, names in members.items():
        tokens = np.concatenate([np.asarray(readings[0][f"tokens_{name}"], dtype=np.float64) for name in names])
        nats = np.stack([np.concatenate([np.asarray(r[f"nats_{name}"]) for name in names]) for r in readings])
        rates[component] = nats.sum(1) / tokens.sum() / NATS_PER_BIT
        errors[component] = np.array([ratio_se(row, tokens) for row in nats - nats.mean(0)]) * freedom
        population += [ratio_se(row, tokens) for row in nats]
    curve = Curve.from_paths(
        run, dict(volumes), list(examples), rates, "bits/token", "examples", rate_se=errors, **covariates
    )
    return Curve(curve.frame.assign(rate_se_population=population))
