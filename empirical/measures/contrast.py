"""The contrast of two kinds of text under one model: rates of held-out sets, paired over readings, with their errors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elastomath.arrays import Array
from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.runs.ledger import Result
from elastomath.units import NATS_PER_BIT


def rate(reading: Result, name: str) -> float:
    """``sum of code lengths / sum of tokens`` of a held-out set, in bits per token."""
    return float(np.sum(reading[f"nats_{name}"]) / np.sum(reading[f"tokens_{name}"]) / NATS_PER_BIT)


def contrast(reading: Result, against: str = "perturb", of: str = "align") -> float:
    """Rate on the opposed kind minus rate on the aligned kind, in bits per token: what alignment is meant to raise."""
    return rate(reading, against) - rate(reading, of)


def combination(weighted: Sequence[tuple[float, Result]], name: str) -> tuple[float, float]:
    """``sum_j c_j rate_j`` of one held-out set over several readings, and its standard error over documents, bits per token.

    The documents are the same in every reading, so they are paired: the error is that of the combined code lengths,
    linearised for the ratio (n/(n-1) times the sum of squared residuals, documents of one prompt added up first: `prompt_numbers`).
    """
    rate, residual = _combined(weighted, name)
    return rate, spread(residual, _prompts(weighted, name))


def contrast_combination(
    weighted: Sequence[tuple[float, Result]], against: str = "perturb", of: str = "align"
) -> tuple[float, float]:
    """``sum_j c_j contrast_j`` and its standard error over documents, which are paired over the readings.

    What answers the same prompt on both sides is one draw, so that what the prompt shares cancels.
    """
    (above, plus), (below, minus) = (_combined(weighted, name) for name in (against, of))
    one, other = _prompts(weighted, against), _prompts(weighted, of)
    return above - below, joint_spread([(plus, one), (-minus, other)])


def _combined(weighted: Sequence[tuple[float, Result]], name: str) -> tuple[float, Array]:
    """``sum_j c_j rate_j`` of a held-out set, and what each document adds to its deviation, bits per token."""
    tokens = np.asarray(weighted[0][1][f"tokens_{name}"], dtype=np.float64)
    nats = np.sum([c * np.asarray(reading[f"nats_{name}"], dtype=np.float64) for c, reading in weighted], axis=0)
    return float(nats.sum() / tokens.sum() / NATS_PER_BIT), residuals(nats, tokens) / NATS_PER_BIT


def _prompts(weighted: Sequence[tuple[float, Result]], name: str) -> Sequence[int] | None:
    return weighted[0][1].get(f"prompts_{name}")


def residuals(values: Array, sizes: Array) -> Array:
    """What each document adds to the deviation of ``sum(values) / sum(sizes)`` (linearised); they add up to 0."""
    return np.asarray((values - values.sum() / sizes.sum() * sizes) / sizes.sum())


def spread(residual: Array, prompts: Sequence[int] | None = None) -> float:
    """``sqrt(n/(n-1) sum_i r_i^2)`` over n draws: documents, or prompts, whose documents' r are added up.

    prompts: the number of each document's prompt (`prompt_numbers`), or None where each document is a draw. Documents that
    answer one prompt alone are draws given that prompt.

    >>> spread(np.array([1.0, -1.0])), spread(np.array([0.5, 0.5, -0.5, -0.5]), [0, 0, 1, 1])
    (2.0, 2.0)
    """
    if prompts is not None and len(set(prompts)) > 1:
        residual = np.asarray(np.bincount(np.unique(prompts, return_inverse=True)[1], residual), dtype=np.float64)
    count = len(residual)
    return float(np.sqrt(count / (count - 1) * (residual @ residual)))


def joint_spread(parts: Sequence[tuple[Array, Sequence[int] | None]]) -> float:
    """`spread` of a sum over sets of documents, given the residuals and the prompts of each set: of all prompts together.

    Where the prompts are not known the sets are independent.
    """
    if any(prompts is None for _, prompts in parts):
        return float(np.hypot.reduce([spread(residual, prompts) for residual, prompts in parts]))
    return spread(
        np.concatenate([residual for residual, _ in parts]), [one for _, prompts in parts for one in prompts or ()]
    )


def ratio_se(values: Array, sizes: Array, prompts: Sequence[int] | None = None) -> float:
    """Standard error of ``sum(values) / sum(sizes)`` over documents (linearised), in the unit of that ratio; prompts: of `spread`."""
    return spread(residuals(values, sizes), prompts)


def prompt_numbers(sets: Sequence[Sequence[Hashable]]) -> list[list[int]] | None:
    """The number of each document's prompt, one numbering for all sets, in the order in which they come; None where none is needed.

    Documents that answer the same prompt are no independent draws. They are where no two have the same prompt; the documents of
    a set that all answer one are each a draw, too, given that prompt, and so is what has none (an empty one).

    >>> prompt_numbers([["a", "b", "a"], ["b", "c"]]), prompt_numbers([["a", "b"], ["c"]]), prompt_numbers([["a", "a"], ["a"]])
    ([[0, 1, 0], [1, 2]], None, None)
    """
    keys: list[list[Hashable]] = [
        [("own", place, i) if len(set(row)) == 1 or one in ("", ()) else ("prompt", one) for i, one in enumerate(row)]
        for place, row in enumerate(sets)
    ]
    numbers: dict[Hashable, int] = {}
    for row in keys:
        for key in row:
            numbers.setdefault(key, len(numbers))
    if len(numbers) == sum(map(len, sets)):
        return None
    return [[numbers[key] for key in row] for row in keys]


# Readings of held-out documents along a training, as a Curve in bits per token against examples.


def within_run_se(lengths: ArrayLike, sizes: ArrayLike, prompts: Sequence[int] | None = None) -> Array:
    """The standard error of each rate ``sum_d lengths[j, d] / sum_d sizes[d]`` within a run, shape (J+1,): the rate_se of a Curve.

    lengths: code lengths of the same documents at every reading, (J+1, documents); sizes: their bytes or tokens; prompts: of
    `spread`.

    The documents are the same at every reading, so what varies from reading to reading is not which documents were
    drawn: each document's own mean over the run is taken out, and the error over documents (`contrast.ratio_se`) is
    that of the rest, times ``sqrt((J+1)/J)``. The error of one rate over documents, ``se`` of `measure`, is shared by
    all readings instead. Raises InputError for fewer than two readings or documents, and for shapes that do not fit.

    >>> import numpy as np
    >>> documents = np.array([100.0, 400.0, 250.0])  # bits at the start; later all fall by 10, but for a bit here and there
    >>> lengths = np.stack([documents, documents - 10, documents - 20 + np.array([1.0, -1.0, 0.0])])
    >>> within_run_se(lengths, np.array([50, 50, 50])).round(4), round(ratio_se(documents, np.full(3, 50.0)), 3)
    (array([0.0047, 0.0047, 0.0094]), 1.732)
    """
    values, weights = np.asarray(lengths, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or weights.shape != values.shape[1:]:
        raise InputError(
            f"code lengths of shape {values.shape}, sizes {weights.shape}",
            where="within_run_se",
            mend="give (readings, documents) and (documents,), at least two of each",
        )
    return np.asarray([spread(row, prompts) for row in _within(values, weights)])


def _within(values: Array, weights: Array) -> Array:
    """The residuals of `within_run_se`, (J+1, documents)."""
    factor = np.sqrt(len(values) / (len(values) - 1))
    return np.stack([factor * residuals(row, weights) for row in values - values.mean(0)])


def reading_curve(
    run: str,
    readings: Sequence[Result],
    examples: Sequence[float],
    members: Mapping[str, Sequence[str]],
    volumes: Mapping[str, float],
    *,
    base: Result | None = None,
    **covariates: Any,
) -> Curve:
    """``gamma_i = sum of code lengths / sum of tokens`` of each component at each reading, J >= 2 of them.

    readings    as `Laboratory.read` gives them, the first before any perturbation; examples: of the perturbation so far
    members     component -> the held-out sets that it is made of; volumes: component -> its nominal size in examples
    base        the reading before alignment, of the same documents: gives the columns base_contrast and base_contrast_se

    ``rate_se`` is the error within the run (`within_run_se`), and the covariate ``rate_se_population`` the one of each
    rate for other documents of the kind. Where both kinds answer the same prompts, ``contrast_se`` is that of their contrast.
    """
    rates: dict[str, ArrayLike] = {}
    errors: dict[str, ArrayLike] = {}
    population: list[float] = []
    before: dict[str, float] = {}
    within: dict[str, Array] = {}
    prompts: dict[str, list[int] | None] = {}
    for component, names in members.items():
        tokens = np.concatenate([np.asarray(readings[0][f"tokens_{name}"], dtype=np.float64) for name in names])
        nats = np.stack([np.concatenate([np.asarray(r[f"nats_{name}"]) for name in names]) for r in readings])
        known = all(f"prompts_{name}" in readings[0] for name in names)
        prompts[component] = [one for name in names for one in readings[0][f"prompts_{name}"]] if known else None
        rates[component] = nats.sum(1) / tokens.sum() / NATS_PER_BIT
        errors[component] = within_run_se(nats, tokens, prompts[component]) / NATS_PER_BIT
        population += [ratio_se(row, tokens, prompts[component]) / NATS_PER_BIT for row in nats]
        if base is not None:
            at_base = np.concatenate([np.asarray(base[f"nats_{name}"]) for name in names])
            before[component] = float(at_base.sum() / tokens.sum()) / NATS_PER_BIT
            nats = np.vstack([at_base, nats])
        within[component] = _within(nats, tokens) / NATS_PER_BIT
    scatter = [
        joint_spread([(plus, prompts["perturb"]), (-minus, prompts["align"])])
        for plus, minus in zip(within["perturb"], within["align"], strict=True)
    ]
    if base is not None:
        covariates["base_contrast"] = before["perturb"] - before["align"]
        covariates["base_contrast_se"] = scatter[0]
    if prompts["align"] is not None and prompts["perturb"] is not None:
        covariates["contrast_se"] = scatter[-len(readings) :]
    curve = Curve.from_paths(
        run, dict(volumes), list(examples), rates, "bits/token", "examples", rate_se=errors, **covariates
    )
    return Curve(curve.frame.assign(rate_se_population=population))
