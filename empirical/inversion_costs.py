"""What the inversion protocol found: costs between levels with brackets and intervals, their ratios, and two laws beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from elastomath.errors import InputError
from elastomath.ledger import Result

from .contrast import contrast, contrast_combination
from .crossings import COSTS, LAWS, Crossing, Path, crossing, pooled_ratio, predict

Array = NDArray[np.float64]
DRAWS: Final = 400
"""Resamples of the held-out documents behind the intervals of one seed."""
RATIOS: Final = {
    "inverse / forward": ("inverse", "forward"),
    "inverse / way up": ("inverse", "way up"),
    "descent / again": ("descent", "again"),
    "control / inverse": ("control", "inverse"),
}
"""The ratios of costs that are reported, by the names of `leg_costs`."""


def measure_of(reading: Result) -> float:
    """c of a reading: its mean behaviour score where it has ``scores``, else the contrast of rates in bits per token."""
    return float(np.mean(reading["scores"])) if "scores" in reading else contrast(reading, "opposed")


def scale_of(result: Result) -> tuple[float, float]:
    """c at 0% and at 100% of one run."""
    readings = result["up"]["readings"]
    return measure_of(readings[0]), measure_of(readings[-1])


def alignment(reading: Result, scale: tuple[float, float]) -> float:
    """``a = (c - c_0)/(c_1 - c_0)`` of the reading: 0 for the adapted base, 1 after the full volume."""
    return (measure_of(reading) - scale[0]) / (scale[1] - scale[0])


def paths(result: Result, weigh: Callable[[str, Array], Array] | None = None) -> dict[str, Path]:
    """The way up and every leg of one run as paths of alignment.

    weigh: (kind, values of its documents) -> their resampled values; both scale and path are then of the resample.
    Empty where the whole way up left the measure where it was: there is no scale then.
    """

    def measures(readings: Sequence[Result]) -> Array:
        if "scores" in readings[0]:
            scores = np.array([reading["scores"] for reading in readings], dtype=np.float64)
            return np.asarray((scores if weigh is None else weigh("scores", scores)).mean(-1))
        rates = []
        for kind in ("opposed", "align"):
            nats = np.array([reading[f"nats_{kind}"] for reading in readings], dtype=np.float64)
            tokens = np.asarray(readings[0][f"tokens_{kind}"], dtype=np.float64)
            if weigh is not None:
                nats, tokens = weigh(kind, nats), weigh(kind, tokens)
            rates.append(nats.sum(-1) / tokens.sum())
        return np.asarray(rates[0] - rates[1])

    up = measures(result["up"]["readings"])
    found: dict[str, Path] = {}
    if up[-1] == up[0]:
        return found
    for name, leg in {"way up": result["up"], **result["legs"]}.items():
        a = (measures(leg["readings"]) - up[0]) / (up[-1] - up[0])
        found[name] = Path(np.asarray(leg["costs"], dtype=np.float64), a)
    return found


def leg_costs(run: dict[str, Path], low: float, high: float) -> dict[str, Crossing]:
    """The cost of each leg between the two levels; for the way up and the descent the difference of its two crossings.

    A difference of crossings has the bracket [last before the end - first after the start, first after - last before].
    """
    found = {}
    for name, path in run.items():
        rising = name in ("way up", "forward", "again")
        start, end = (low, high) if rising else (high, low)
        to_end = crossing(path, end)
        found[name] = _between(crossing(path, start), to_end) if name in ("way up", "descent") else to_end
    return found


def _between(start: Crossing, end: Crossing) -> Crossing:
    def less(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(max(0.0, a - b) for a, b in zip(one, other, strict=True))

    if start.estimate is None or start.high is None:
        return Crossing((0.0,) * len(COSTS), None, None)
    if end.estimate is None or end.high is None:
        return Crossing(less(end.low, start.high), None, None)
    return Crossing(less(end.low, start.high), less(end.estimate, start.estimate), less(end.high, start.low))


def summarise(done: Sequence[Result], low: float, high: float) -> dict[str, Any]:
    """Costs of every leg and seed, their ratios over seeds, and both laws' predictions from the way up.

    seeds        per seed: the scale and by how many standard errors it stands out, paths, costs in examples, tokens, steps
                 and bits with their brackets, the interval of the examples over resampled documents (given the weights)
    ratios       per ratio and cost: the geometric mean over seeds with its t interval; open where a seed is
    predictions  per law: the ratio predicted from each seed's way up, and observed/predicted over seeds
    """
    seeds = [_one(result, low, high) for result in done]
    ratios: dict[str, dict[str, Any]] = {}
    for name, (above, below) in RATIOS.items():
        if all(above in seed["legs"] and below in seed["legs"] for seed in seeds):
            values = {cost: [_ratio(seed, above, below, cost) for seed in seeds] for cost in COSTS}
            ratios[name] = {
                cost: pooled_ratio(per_seed).as_dict() | {"seeds": per_seed} for cost, per_seed in values.items()
            }
    predictions = []
    for law in LAWS:
        told = [next(p for p in seed["predictions"] if p["law"] == law) for seed in seeds]
        observed = [_ratio(seed, "inverse", "forward", "examples") for seed in seeds]
        over = [None if o is None else o / p["ratio"] for o, p in zip(observed, told, strict=True)]
        predictions.append(
            {
                "law": law,
                "ratio": pooled_ratio([p["ratio"] for p in told]).as_dict(),
                "observed_over_predicted": pooled_ratio(over).as_dict(),
            }
        )
    return {
        "seeds": seeds,
        "ratios": ratios,
        "predictions": predictions,
        "reading": _in_words(seeds, ratios, predictions, low, high),
    }


def _one(result: Result, low: float, high: float) -> dict[str, Any]:
    run = paths(result)
    if not run:
        raise InputError(
            "the alignment did not move the measure at all", where="inversion", mend="align on more examples, or faster"
        )
    costs = leg_costs(run, low, high)
    draws = _resampled(result, low, high)
    readings = result["up"]["readings"]
    moved, se = moved_by(readings[0], readings[-1])
    legs = {}
    for name, path in run.items():
        told = costs[name]
        legs[name] = {
            "examples": path.costs[:, 0].tolist(),
            "alignment": path.alignment.tolist(),
            "cost": {
                cost: {
                    "low": told.low[index],
                    "estimate": None if told.estimate is None else told.estimate[index],
                    "high": None if told.high is None else told.high[index],
                }
                for index, cost in enumerate(COSTS)
            },
            "examples_over_documents": _percentiles(draws.get(name, np.array([np.inf]))),
        }
    up = run["way up"]
    with np.errstate(invalid="ignore", divide="ignore"):
        over = {name: _percentiles(draws[a] / draws[b]) for name, (a, b) in RATIOS.items() if a in draws and b in draws}
    return {
        "seed": result["configuration"]["seed"],
        "classifier": result.get("classifier"),
        "scale": {"zero": scale_of(result)[0], "full": scale_of(result)[1], "moved": moved, "se": se},
        "states": {
            name: {key: state[key] for key in ("alignment", "fraction", "steps")}
            for name, state in result["states"].items()
        },
        "legs": legs,
        "ratios_over_documents": over,
        "predictions": [asdict(predict(up.costs[:, 0], up.alignment, low, high, law)) for law in LAWS],
    }


def moved_by(start: Result, end: Result) -> tuple[float, float]:
    """The change of c and its standard error over the held-out documents, or over prompts, which are paired."""
    if "scores" not in start:
        return contrast_combination([(1.0, end), (-1.0, start)], "opposed")
    change = np.asarray(end["scores"]) - np.asarray(start["scores"])
    return float(change.mean()), float(change.std(ddof=1) / np.sqrt(change.size))


def _resampled(result: Result, low: float, high: float) -> dict[str, Array]:
    """Costs in examples of each leg for resampled held-out documents; inf where the leg is open."""
    rng = np.random.default_rng(0)
    first = result["up"]["readings"][0]
    sizes = {kind: len(first[f"tokens_{kind}"]) for kind in ("align", "opposed")}
    sizes |= {"scores": len(first["scores"])} if "scores" in first else {}
    found: dict[str, list[float]] = {}
    for _ in range(DRAWS):
        rows = {kind: rng.integers(0, size, size) for kind, size in sizes.items()}
        run = paths(result, lambda kind, values, rows=rows: values[..., rows[kind]])  # type: ignore[misc]
        for name, told in leg_costs(run, low, high).items():
            found.setdefault(name, []).append(np.inf if told.estimate is None else told.estimate[0])
    return {name: np.array(values) for name, values in found.items()}


def _percentiles(values: Array, level: float = 0.95) -> dict[str, float | None]:
    """The central interval of the draws; an end that is not finite is None (open)."""
    ends = np.quantile(np.where(np.isnan(values), np.inf, values), [(1 - level) / 2, (1 + level) / 2], method="nearest")
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return {"low": low, "high": high}


def _ratio(seed: dict[str, Any], above: str, below: str, cost: str) -> float | None:
    one, other = (seed["legs"][name]["cost"][cost]["estimate"] for name in (above, below))
    return None if one is None or not other else float(one / other)


def _in_words(
    seeds: Sequence[dict[str, Any]],
    ratios: dict[str, dict[str, Any]],
    predictions: Sequence[dict[str, Any]],
    low: float,
    high: float,
) -> list[str]:
    def span(told: dict[str, float | None], digits: str = ".3g") -> str:
        if told["estimate"] is None:
            return "open: a seed did not reach it within its budget"
        ends = ["open" if told[end] is None else format(told[end], digits) for end in ("low", "high")]
        return f"{told['estimate']:{digits}} [{ends[0]}, {ends[1]}]"

    lines = [
        f"seed {seed['seed']}: alignment moved the measure by {seed['scale']['moved']:+.4f} "
        f"(standard error {seed['scale']['se']:.4f})"
        for seed in seeds
    ]
    for name in seeds[0]["legs"]:
        costs = [seed["legs"][name]["cost"] for seed in seeds if name in seed["legs"]]
        told = "; ".join(
            ", ".join(
                f"{c[cost]['estimate']:.0f} {cost}"
                if c[cost]["estimate"] is not None
                else f"over {c[cost]['low']:.0f} {cost}"
                for cost in COSTS
            )
            for c in costs
        )
        between = f"{low:.0%} to {high:.0%}" if name in ("way up", "forward", "again") else f"{high:.0%} to {low:.0%}"
        lines.append(f"{name}, {between}: {told} (a seed each)")
    lines += [f"{name}, in examples: {span(told['examples'])} over seeds" for name, told in ratios.items()]
    lines += [
        f"{p['law']} fitted to the way up predicts {span(p['ratio'])} for inverse / forward; "
        f"observed over predicted {span(p['observed_over_predicted'])}"
        for p in predictions
    ]
    return lines
