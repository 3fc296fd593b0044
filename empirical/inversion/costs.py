"""What the inversion protocol found: costs between levels with brackets and intervals, their ratios, and two laws beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from elastomath.arrays import Array
from elastomath.checks import choice, reals, rising
from elastomath.errors import InputError
from elastomath.fit.crossing import first_crossing
from elastomath.interval import Ends, Interval
from elastomath.laws.forgetting import aligned_score, decay
from elastomath.laws.rebound import Scores, score
from elastomath.runs.ledger import Result

from ..measures.contrast import contrast, contrast_combination, spread
from .results import Costs, Foretold, LawRatio, Leg, Ratios, Seed

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
    legs: dict[str, Path] = {}
    if up[-1] == up[0]:
        return legs
    for name, leg in {"way up": result["up"], **result["legs"]}.items():
        a = (measures(leg["readings"]) - up[0]) / (up[-1] - up[0])
        legs[name] = Path(np.asarray(leg["costs"], dtype=np.float64), a)
    return legs


def leg_costs(run: dict[str, Path], low: float, high: float) -> dict[str, Crossing]:
    """The cost of each leg between the two levels; for the way up and the descent the difference of its two crossings.

    A difference of crossings has the bracket [last before the end - first after the start, first after - last before].
    """
    crossings = {}
    for name, path in run.items():
        rising = name in ("way up", "forward", "again")
        start, end = (low, high) if rising else (high, low)
        to_end = crossing(path, end)
        crossings[name] = _between(crossing(path, start), to_end) if name in ("way up", "descent") else to_end
    return crossings


def _between(start: Crossing, end: Crossing) -> Crossing:
    def less(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(max(0.0, a - b) for a, b in zip(one, other, strict=True))

    if start.estimate is None or start.high is None:
        return Crossing((0.0,) * len(COSTS), None, None)
    if end.estimate is None or end.high is None:
        return Crossing(less(end.low, start.high), None, None)
    return Crossing(less(end.low, start.high), less(end.estimate, start.estimate), less(end.high, start.low))


def summarise(done: Sequence[Result], low: float, high: float) -> Costs:
    """Costs of every leg and seed, their ratios over seeds, and both laws' predictions from the way up.

    seeds        per seed: the scale and by how many standard errors it stands out, paths, costs in examples, tokens, steps
                 and bits with their brackets, the interval of the examples over resampled documents (given the weights)
    ratios       per ratio and cost: the geometric mean over seeds with its t interval; open where a seed is
    predictions  per law: the ratio predicted from each seed's way up, and observed/predicted over seeds
    """
    seeds = [_one(result, low, high) for result in done]
    ratios: Ratios = {}
    for name, (above, below) in RATIOS.items():
        if all(above in seed["legs"] and below in seed["legs"] for seed in seeds):
            values = {cost: [_ratio(seed, above, below, cost) for seed in seeds] for cost in COSTS}
            ratios[name] = {
                cost: pooled_ratio(per_seed).as_dict() | {"seeds": per_seed} for cost, per_seed in values.items()
            }
    predictions: list[LawRatio] = []
    for law in LAWS:
        laws = [next(p for p in seed["predictions"] if p["law"] == law) for seed in seeds]
        observed = [_ratio(seed, "inverse", "forward", "examples") for seed in seeds]
        over = [None if o is None else o / p["ratio"] for o, p in zip(observed, laws, strict=True)]
        predictions.append(
            {
                "law": law,
                "ratio": pooled_ratio([p["ratio"] for p in laws]).as_dict(),
                "observed_over_predicted": pooled_ratio(over).as_dict(),
            }
        )
    return {
        "seeds": seeds,
        "ratios": ratios,
        "predictions": predictions,
        "reading": _in_words(seeds, ratios, predictions, low, high),
    }


def _one(result: Result, low: float, high: float) -> Seed:
    run = paths(result)
    if not run:
        raise InputError(
            "the alignment did not move the measure at all", where="inversion", mend="align on more examples, or faster"
        )
    costs = leg_costs(run, low, high)
    draws = _resampled(result, low, high)
    readings = result["up"]["readings"]
    moved, se = moved_by(readings[0], readings[-1])
    legs: dict[str, Leg] = {}
    for name, path in run.items():
        leg = costs[name]
        legs[name] = {
            "examples": path.costs[:, 0].tolist(),
            "alignment": path.alignment.tolist(),
            "cost": {
                cost: {
                    "low": leg.low[index],
                    "estimate": None if leg.estimate is None else leg.estimate[index],
                    "high": None if leg.high is None else leg.high[index],
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
        "predictions": [predict(up.costs[:, 0], up.alignment, low, high, law).as_dict() for law in LAWS],
    }


def moved_by(start: Result, end: Result) -> tuple[float, float]:
    """The change of c and its standard error over the held-out documents, or over prompts, which are paired."""
    if "scores" not in start:
        return contrast_combination([(1.0, end), (-1.0, start)], "opposed")
    change = np.asarray(end["scores"]) - np.asarray(start["scores"])
    return float(change.mean()), spread((change - change.mean()) / change.size, start.get("prompts_scores"))


def _resampled(result: Result, low: float, high: float) -> dict[str, Array]:
    """Costs in examples of each leg for resampled held-out documents; inf where the leg is open.

    Documents that answer the same prompt are drawn together (`contrast.prompt_numbers`).
    """
    rng = np.random.default_rng(0)
    first = result["up"]["readings"][0]
    sizes = {kind: len(first[f"tokens_{kind}"]) for kind in ("align", "opposed")}
    sizes |= {"scores": len(first["scores"])} if "scores" in first else {}
    measured = ("scores",) if "scores" in first else ("align", "opposed")
    prompts = {kind: np.asarray(first[f"prompts_{kind}"]) for kind in measured if f"prompts_{kind}" in first}
    draws: dict[str, list[float]] = {}
    for _ in range(DRAWS):
        rows = drawn_rows(prompts, rng) if prompts else {k: rng.integers(0, size, size) for k, size in sizes.items()}
        run = paths(result, lambda kind, values, rows=rows: values[..., rows[kind]])  # type: ignore[misc]
        for name, leg in leg_costs(run, low, high).items():
            draws.setdefault(name, []).append(np.inf if leg.estimate is None else leg.estimate[0])
    return {name: np.array(values) for name, values in draws.items()}


def drawn_rows(prompts: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """The documents of as many prompts as there are, drawn with replacement, of each kind; drawn again where a kind has none.

    prompts: by kind, the number of each document's prompt, one numbering for all kinds.
    """
    known = np.unique(np.concatenate(list(prompts.values())))
    while True:
        drawn = rng.choice(known, known.size)
        rows = {
            kind: np.concatenate([np.flatnonzero(numbers == number) for number in drawn])
            for kind, numbers in prompts.items()
        }
        if all(row.size for row in rows.values()):
            return rows


def _percentiles(values: Array, level: float = 0.95) -> dict[str, float | None]:
    """The central interval of the draws; an end that is not finite is None (open).

    A draw of which nothing is known (nan: neither of two costs was reached) may lie below every other one, or above it.

    >>> _percentiles(np.array([1.0, 2.0, np.inf])), _percentiles(np.array([1.0, 2.0, np.nan]))
    ({'low': 1.0, 'high': None}, {'low': None, 'high': None})
    """
    shares = (1 - level) / 2, (1 + level) / 2
    sides = (np.where(np.isnan(values), unknown, values) for unknown in (-np.inf, np.inf))
    ends = (float(np.quantile(side, share, method="nearest")) for side, share in zip(sides, shares, strict=True))
    low, high = (end if np.isfinite(end) else None for end in ends)
    return {"low": low, "high": high}


def _ratio(seed: Seed, above: str, below: str, cost: str) -> float | None:
    one, other = (seed["legs"][name]["cost"][cost]["estimate"] for name in (above, below))
    return None if one is None or not other else float(one / other)


def _in_words(
    seeds: Sequence[Seed], ratios: Ratios, predictions: Sequence[LawRatio], low: float, high: float
) -> list[str]:
    def span(ratio: Mapping[str, float | None] | Ends) -> str:
        if ratio["estimate"] is None:
            return "open: a seed did not reach it within its budget"
        return f"{Interval.of_dict(ratio):.3g}"

    lines = [
        f"seed {seed['seed']}: alignment moved the measure by {seed['scale']['moved']:+.4f} "
        f"(standard error {seed['scale']['se']:.4f})"
        for seed in seeds
    ]
    for name in seeds[0]["legs"]:
        costs = [seed["legs"][name]["cost"] for seed in seeds if name in seed["legs"]]
        words = "; ".join(
            ", ".join(
                f"{c[cost]['estimate']:.0f} {cost}"
                if c[cost]["estimate"] is not None
                else f"over {c[cost]['low']:.0f} {cost}"
                for cost in COSTS
            )
            for c in costs
        )
        between = f"{low:.0%} to {high:.0%}" if name in ("way up", "forward", "again") else f"{high:.0%} to {low:.0%}"
        lines.append(f"{name}, {between}: {words} (a seed each)")
    lines += [f"{name}, in examples: {span(costs['examples'])} over seeds" for name, costs in ratios.items()]
    lines += [
        f"{p['law']} fitted to the way up predicts {span(p['ratio'])} for inverse / forward; "
        f"observed over predicted {span(p['observed_over_predicted'])}"
        for p in predictions
    ]
    return lines


# How far a model is aligned, where a path crosses a level, and what crossing costs (Q1).
COSTS: Final = ("examples", "tokens", "steps", "bits")
"""What a path is counted in."""


@dataclass(frozen=True)
class Path:
    """Training with readings on the way: costs (J, 4) so far, in the order of `COSTS`, and the alignment a (J,).

    The first reading is the start, at cost 0. Raises InputError for readings that do not fit together.
    """

    costs: Array
    alignment: Array

    def __post_init__(self) -> None:
        rows = self.alignment.size
        if rows < 1 or self.costs.shape != (rows, len(COSTS)) or not np.isfinite(self.costs).all():
            raise InputError(
                f"costs of shape {self.costs.shape} for {rows} readings",
                where="path",
                mend=f"give {len(COSTS)} costs for each reading",
            )
        if self.costs[0].any() or (np.diff(self.costs[:, 0]) <= 0).any() or not np.isfinite(self.alignment).all():
            raise InputError("a path that does not begin at cost 0 and go on", where="path", mend="order the readings")


@dataclass(frozen=True, slots=True)
class Crossing:
    """The costs (4,) at which a path first reaches a level, with those of the readings before and at it; None: open."""

    low: tuple[float, ...]
    estimate: tuple[float, ...] | None
    high: tuple[float, ...] | None


def crossing(path: Path, level: float) -> Crossing:
    """The first time that the path reaches ``level``, from whichever side it starts on, linear between readings.

    >>> path = Path(np.outer([0, 1, 2, 3], [8.0, 200.0, 1.0, 900.0]), np.array([0.9, 0.8, 0.5, 0.7]))
    >>> found = crossing(path, 0.6)
    >>> [round(v, 2) for v in found.estimate], found.low[0], found.high[0]
    ([13.33, 333.33, 1.67, 1500.0], 8.0, 16.0)
    >>> crossing(path, 0.4).estimate is None
    True
    """
    left = (level - path.alignment) * (1.0 if path.alignment[0] <= level else -1.0)
    costs = first_crossing(path.costs, left)
    if not np.isfinite(costs).all():
        return Crossing(tuple(path.costs[-1].tolist()), None, None)
    after = int(np.argmax(left <= 0))
    low, high = path.costs[max(after - 1, 0)], path.costs[after]
    return Crossing(tuple(low.tolist()), tuple(costs.tolist()), tuple(high.tolist()))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a law fitted to the way up says of both ways, in examples.

    parameter   k (examples that the base counts for; inf: a straight line) or the rate eta a example (0: a straight line)
    asymptote   A, the alignment that the way up tends to; the opposed data tend to -B
    misfit      root mean square of a on the way up, less the law
    up, down    examples from low to high and from high to low; ratio = down/up
    """

    law: str
    parameter: float
    asymptote: float
    misfit: float
    up: float
    down: float
    ratio: float

    def as_dict(self) -> Foretold:
        """The fields, as they go into JSON."""
        return {
            "law": self.law, "parameter": self.parameter, "asymptote": self.asymptote, "misfit": self.misfit, "up": self.up,
            "down": self.down, "ratio": self.ratio,
        }  # fmt: skip


LAWS: Final = ("joint compression (R13)", "forgetting (R19)")
"""The laws of `predict`."""


def joint_ratio(asymptote: float, opposed: float, low: float) -> float:
    """``m/n = (A - lo)/(B + lo)`` (from R13): examples from hi down to lo, over those from lo up to hi.

    With s = (n A - m B)/(k + n + m): up, n = k [hi/(A - hi) - lo/(A - lo)] = k A (hi - lo)/((A - hi)(A - lo)); down from
    there, m = k A (hi - lo)/((A - hi)(B + lo)). Free of k and of hi. Below 1 for A = B and lo > 0: going back is cheaper
    without any elasticity beyond the law. Needs A > lo > -B.

    >>> round(joint_ratio(1.5, 1.5, 0.6), 4)
    0.4286
    """
    return (asymptote - low) / (opposed + low)


def forgetting_ratio(asymptote: float, opposed: float, low: float, high: float) -> float:
    """``ln[(hi + B)/(lo + B)] / ln[(A - lo)/(A - hi)]`` (from R19): examples down over examples up, free of the rate.

    Needs A > hi > lo > -B. It tends to 1 as A = B grows.

    >>> round(forgetting_ratio(1.5, 1.5, 0.6, 0.9), 4)
    0.3293
    """
    return float(np.log((high + opposed) / (low + opposed)) / np.log((asymptote - low) / (asymptote - high)))


def predict(
    examples: ArrayLike, alignment: ArrayLike, low: float, high: float, law: str, opposed: float | None = None
) -> Prediction:
    """Fit one law to the way up, a(n) with a(0) = 0 and a(N) = 1 at its last reading, and predict both ways between levels.

    examples, alignment: shape (J,), the whole way up to N. A law with one parameter goes through both ends:
    joint a(n) = n (k + N)/(N (k + n)), A = (k + N)/N; forgetting a(n) = (1 - e^-hn)/(1 - e^-hN), A = 1/(1 - e^-hN), both a
    straight line at their limit. opposed: B; by default B = A, for a base adapted to both kinds in halves stands midway.
    Raises InputError for fewer than three readings, levels out of order and an unknown law.
    """
    from scipy.optimize import minimize_scalar

    n = rising(examples, "examples", "predict", least_size=3, from_zero=True)
    a = reals(alignment, "alignment", "predict", shape=n.shape)
    choice(law, "law", "predict", LAWS)
    if not 0 < low < high < 1:
        raise InputError(f"levels {low:g} and {high:g}", where="predict", mend="give 0 < low < high < 1")
    full = n[-1]
    joint = law == LAWS[0]

    def scores(bend: float) -> Scores:
        top = (1.0 + bend) / bend if joint else -1.0 / np.expm1(-bend)
        return Scores(0.0, top, -(top if opposed is None else opposed))

    def way(bend: float) -> Array:
        """bend: N/k, or h N: 0 is a straight line."""
        if joint:
            return score(scores(bend), full / bend, n, 0.0)
        return aligned_score(scores(bend), n, -float(np.expm1(-bend / full)))

    def misfit(log_bend: float) -> float:
        return float(np.sqrt(np.mean((way(float(np.exp(log_bend))) - a) ** 2)))

    best = minimize_scalar(
        misfit, bounds=(np.log(BENDS[0]), np.log(BENDS[1])), method="bounded", options={"xatol": 1e-7}
    )
    bend = float(np.exp(best.x))
    top, bottom = scores(bend).positive, -scores(bend).negative
    if joint:
        scale = full / bend
        up = scale * top * (high - low) / ((top - high) * (top - low))
        ratio = joint_ratio(top, bottom, low)
        parameter = scale
    else:
        parameter = -float(np.expm1(-bend / full))
        up = float(np.log((top - low) / (top - high)) / decay(parameter))
        ratio = forgetting_ratio(top, bottom, low, high)
    return Prediction(law, parameter, top, float(best.fun), up, up * ratio, ratio)


BENDS: Final = (1e-3, 20.0)
"""The range of N/k and of h N that `predict` searches: from a straight line within 0.05% to a path that bends at once."""


def pooled_ratio(ratios: Sequence[float | None], level: float = 0.95) -> Interval:
    """The geometric mean of positive ratios with its t interval over seeds; open where a seed's ratio is.

    >>> r = pooled_ratio([0.25, 1.0])
    >>> r.estimate, r.high > 100
    (0.5, True)
    >>> print(pooled_ratio([0.25, None]))
    not bounded
    """
    known = [value for value in ratios if value is not None and value > 0]
    if len(known) < len(ratios) or not known:
        return Interval(None, None, None, level)
    return Interval.of_logs(np.log(known), level=level)
