"""F2 in numbers: how the fall of the contrast under opposed data changes with the alignment volume, against R13 and R19.

With C the contrast, n the alignment volume, m the opposed volume and P, M the arms perturbed by opposed data and by both
kinds mixed (the control), all from the same aligned state:

    fall_n(m)    = C_n(0) - C_n^P(m)            what a plot of F2 shows
    excess_n(m)  = C_n^M(m) - C_n^P(m)          what the opposed data did beyond what any data of the domain do

Measured from the adapted state (s_p = 0), with targets a above and -b below, the laws say (score linear in the model)

    R13  C_n^P(m) = (n a - m b)/(k + n + m)     excess = m (a+b)/2 / (k + n + m)          falls with n
    R19  C_n^P(m) = (C_n + b) e^{-h m} - b      excess = (1 - e^{-h m}) (a+b)/2           is free of n

so an excess that grows with n is beyond both, while a fall that grows with n is what R19 always has and R13 has only below
its threshold n < m + k (a-b)/(a+b).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elastomath.arrays import Array
from elastomath.interval import Interval
from elastomath.runs.ledger import Result

from ..measures.contrast import contrast, contrast_combination, rate
from .results import AtVolume, Falls, LawFit, LawSlope, Measured, Over, Reading, RunReadings

LEVEL = 0.95
Unit = tuple[int, str]
"""A seed and a direction."""
Weighted = list[tuple[float, Result]]
Term = tuple[float, str, int]
"""A coefficient and the reading that it multiplies, by phase and volume (0 where there is none)."""


def summarise(result: Result, name: str) -> RunReadings:
    """The readings of one run for people: rates, contrast, its change from the aligned state, divergences (bits per token).

    beyond_control: the excess at the largest perturbation, sign turned (opposed minus control), with its standard error
    over documents, which are paired; None without a control. return_volume: the opposed volume at which the contrast is
    back at the adapted state's, linear between readings, in the bracket [low, high]; None where it was not reached.
    """
    readings = result["readings"]
    aligned, adapted = _at(readings, "aligned"), _at(readings, "adapted")
    rows: list[Reading] = []
    for reading in readings:
        start = aligned if reading["phase"] in ("perturb", "control") else adapted
        change, se = contrast_combination([(1.0, reading), (-1.0, start)])
        row: Reading = {
            "phase": reading["phase"],
            "volume": reading["volume"],
            "rates": {kind: rate(reading, kind) for kind in ("align", "perturb")},
            "contrast": contrast(reading),
            "contrast_change": change,
            "contrast_change_se": se,
            "change_from": start["phase"],
            "kl_forward": reading["kl_forward"],
            "kl_reverse": reading["kl_reverse"],
        }
        if "behaviour" in reading:
            row["behaviour"], row["behaviour_se"] = reading["behaviour"], reading["behaviour_se"]
        if "classifier" in reading:
            row["classifier"] = reading["classifier"]
        rows.append(row)
    beyond = None
    last = [r for r in readings if r["phase"] == "perturb"][-1]
    control = _at(readings, "control", last["volume"])
    if control is not None:
        change, se = contrast_combination([(1.0, last), (-1.0, control)])
        beyond = {"estimate": change, "se": se}
    c = result["configuration"]
    return {
        "run": name,
        "align_volume": c["align_volume"],
        "seed": c["seed"],
        "algorithm": c["algorithm"],
        "direction": c["direction"],
        "rows": rows,
        "beyond_control": beyond,
        "return_volume": _return_volume(rows),
    }


def falls(results: Sequence[Result]) -> list[Falls]:
    """F2 for each algorithm, for each direction and for both together.

    moved        by alignment volume: the change of the contrast from the adapted state, with its z over documents
    first_fall   (at the smallest perturbation) and depth (at the largest), first_excess and excess_depth (against the
                 control): by alignment volume, and as a slope per doubling of n (least squares on log2 n)
    slowing      the rate of the first segment of the fall minus that of the last, bits per token per example
    laws         R13 and R19 fitted to all mean contrasts of both arms (weighted), the error of predicting an alignment
                 volume that was left out, and their slopes, with whether the measured interval holds each

    Every number is a mean over seeds, of each over its directions, with a t interval over seeds (ends None for one seed) and
    the standard error over documents, an upper bound where the directions of a seed share their documents.
    """
    groups: list[Falls] = []
    for algorithm in dict.fromkeys(r["configuration"]["algorithm"] for r in results):
        of = [r for r in results if r["configuration"]["algorithm"] == algorithm]
        directions = list(dict.fromkeys(r["configuration"]["direction"] for r in of))
        for direction in [*directions, *(["both"] if len(directions) > 1 else [])]:
            chosen = [r for r in of if direction in ("both", r["configuration"]["direction"])]
            groups.append(_group(algorithm, direction, chosen))
    return groups


def _group(algorithm: str, direction: str, results: Sequence[Result]) -> Falls:
    units: dict[Unit, dict[int, list[Result]]] = {}
    for result in results:
        c = result["configuration"]
        units.setdefault((c["seed"], c["direction"]), {})[c["align_volume"]] = result["readings"]
    volumes = sorted({n for unit in units.values() for n in unit})
    steps = [r["volume"] for r in results[0]["readings"] if r["phase"] == "perturb"]
    whole = {key: unit for key, unit in units.items() if set(unit) == set(volumes)}
    several = len(volumes) > 1 and bool(whole)

    def each(terms: Sequence[Term]) -> list[AtVolume]:
        """The combination at every n."""
        means = {n: estimate({key: [(unit[n], terms)] for key, unit in units.items() if n in unit}) for n in volumes}
        return [{"align_volume": n, **mean} for n, mean in means.items()]

    def over(weights: Array, terms: Sequence[Term]) -> Over:
        """``sum_n w_n`` times the combination at n, for the units that have every n."""
        scaled = [[(w * c, phase, m) for c, phase, m in terms] for w in weights.tolist()]
        return estimate(
            {key: [(unit[n], part) for n, part in zip(volumes, scaled, strict=True)] for key, unit in whole.items()}
        )

    def measured(terms: Sequence[Term]) -> Measured:
        return {"by_volume": each(terms), "slope": over(slope_weights(volumes), terms) if several else None}

    group: Falls = {
        "algorithm": algorithm,
        "direction": direction,
        "units": len(units),
        "align_volumes": volumes,
        "perturb_volumes": steps,
        "moved": each([(1.0, "aligned", 0), (-1.0, "adapted", 0)]),
        "first_fall": measured(_fall(steps[0])),
        "depth": measured(_fall(steps[-1])),
        "laws": [],
    }
    if all(_at(result["readings"], "control", steps[0]) for result in results):
        group["first_excess"] = measured(_excess(steps[0]))
        group["excess_depth"] = measured(_excess(steps[-1]))
    if len(steps) > 1 and whole:
        first, last = 1.0 / steps[0], 1.0 / (steps[-1] - steps[-2])
        terms = [(first, "aligned", 0), (-first, "perturb", steps[0])]
        terms += [(-last, "perturb", steps[-2]), (last, "perturb", steps[-1])]
        group["slowing"] = over(np.full(len(volumes), 1.0 / len(volumes)), terms)
    if several:
        group["laws"] = _laws(whole, group)
    return group


def slope_weights(volumes: Sequence[int]) -> Array:
    """``c_n = (x_n - mean x)/sum (x - mean x)^2``, x = log2 n: least squares' slope per doubling is ``sum c_n y_n``.

    >>> slope_weights([100, 200, 400])
    array([-0.5,  0. ,  0.5])
    """
    x = np.log2(np.asarray(volumes, dtype=np.float64))
    x = x - x.mean()
    return np.asarray(x / (x @ x))


def _fall(volume: int) -> list[Term]:
    return [(1.0, "aligned", 0), (-1.0, "perturb", volume)]


def _excess(volume: int) -> list[Term]:
    return [(1.0, "control", volume), (-1.0, "perturb", volume)]


def estimate(rows: Mapping[Unit, Sequence[tuple[list[Result], Sequence[Term]]]], level: float = LEVEL) -> Over:
    """The mean over seeds of a linear combination of contrasts, of each seed over its directions.

    rows: for each unit (seed, direction), the readings of its runs with the terms taken from each. The directions of a seed are read
    on the same documents, and trained on the same with the roles exchanged: the interval is Student's over seeds.
    """
    values: dict[Unit, tuple[float, float]] = {}
    for unit, row in rows.items():
        weighted: Weighted = []
        for readings, terms in row:
            for coefficient, phase, volume in terms:
                reading = _at(readings, phase, volume if phase in ("perturb", "control") else None)
                assert reading is not None
                weighted.append((coefficient, reading))
        values[unit] = contrast_combination(weighted)
    means, se = over_units(values)
    mean = Interval.of_values(means, level=level)
    z = mean.estimate / se if mean.estimate is not None and se > 0 else None
    return {
        "estimate": mean.estimate, "low": mean.low, "high": mean.high, "level": mean.level, "units": len(means),
        "se_documents": se, "z": z,
    }  # fmt: skip


def over_units(values: Mapping[Unit, tuple[float, float]]) -> tuple[list[float], float]:
    """The mean of each seed over its directions, and the error over documents of the mean of these.

    values: by unit, a number and its error over documents. The directions of a seed have the same documents: their errors are
    added linearly (an upper bound), those of seeds in quadrature.

    >>> over_units({(0, "forward"): (1.0, 0.3), (0, "exchanged"): (3.0, 0.3), (1, "forward"): (4.0, 0.4)})
    ([2.0, 4.0], 0.25)
    """
    seeds: dict[int, list[tuple[float, float]]] = {}
    for (seed, _), pair in values.items():
        seeds.setdefault(seed, []).append(pair)
    each = np.array([np.mean(pairs, axis=0) for pairs in seeds.values()])
    return each[:, 0].tolist(), float(np.linalg.norm(each[:, 1])) / len(each)


# -- R13 and R19 on the mean contrasts -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreLaw:
    """A law of the contrast after n aligned, then m opposed or mixed examples, from the adapted state (contrast 0).

    The contrast is ``a A + b B``: linear in the heights a and b of the targets, so only volumes are searched for.
    """

    name: str
    volumes: tuple[str, ...]
    parts: Callable[[Array, Array, Array, Array], tuple[Array, Array]]
    """(logarithms of the volumes, n, m, share of opposed data in m: 1 or 1/2) -> (A, B)"""

    def contrast(self, numbers: Array, n: Array, m: Array, opposed: Array) -> Array:
        """The contrast for ``numbers``: a, b, then the logarithms of the volumes."""
        one, other = self.parts(numbers[2:], n, m, opposed)
        return np.asarray(numbers[0] * one + numbers[1] * other)


def _joint(volumes: Array, n: Array, m: Array, opposed: Array) -> tuple[Array, Array]:
    total = np.exp(volumes[0]) + n + m
    return (n + (1.0 - opposed) * m) / total, -opposed * m / total


def _forgetting(volumes: Array, n: Array, m: Array, opposed: Array) -> tuple[Array, Array]:
    kept = np.exp(-m * np.exp(-volumes[1]))
    return (1.0 - opposed) * (1.0 - kept) - np.expm1(-n * np.exp(-volumes[0])) * kept, -opposed * (1.0 - kept)


LAWS = (
    ScoreLaw("joint compression (R13)", ("k",), _joint),
    ScoreLaw("forgetting (R19)", ("1/h_align", "1/h_perturb"), _forgetting),
)
GRID = 15
RANGE = (0.01, 1000.0)
"""The volumes searched, in units of the median alignment volume; one that ends at an end is not bounded by the data."""


def fit_law(law: ScoreLaw, n: Array, m: Array, opposed: Array, contrasts: Array, errors: Array) -> tuple[Array, Array]:
    """Weighted least squares: exact in the heights, a grid and then a descent in the volumes; returns (numbers, residuals).

    numbers: a, b, then the logarithms of the volumes. opposed: the share of opposed data, 1, or 1/2 for the control.
    """
    from scipy.optimize import least_squares

    low, high = (float(np.log(np.median(n) * end)) for end in RANGE)

    def heights(volumes: Array) -> tuple[Array, Array]:
        matrix = np.stack(law.parts(volumes, n, m, opposed), axis=1) / errors[:, None]
        coefficients: Array = np.asarray(np.linalg.lstsq(matrix, contrasts / errors, rcond=None)[0], dtype=np.float64)
        return coefficients, matrix @ coefficients - contrasts / errors

    grid = itertools.product(np.linspace(low, high, GRID), repeat=len(law.volumes))
    points = [np.array(point) for point in grid]
    best = points[int(np.argmin([np.sum(heights(point)[1] ** 2) for point in points]))]

    def gap(volumes: Array) -> Array:
        return heights(volumes)[1]

    ended = least_squares(gap, best, bounds=(low, high), xtol=1e-12, ftol=1e-14)
    numbers = np.concatenate([heights(ended.x)[0], ended.x])
    return numbers, law.contrast(numbers, n, m, opposed) - contrasts


def _laws(units: Mapping[Unit, dict[int, list[Result]]], group: Falls) -> list[LawFit]:
    volumes = group["align_volumes"]
    points = [
        (n, reading["volume"] if reading["phase"] != "aligned" else 0, reading["phase"])
        for n in volumes
        for reading in next(iter(units.values()))[n]
        if reading["phase"] in ("aligned", "perturb", "control")
    ]
    values, errors = [], []
    for n, m, phase in points:
        read: dict[Unit, tuple[float, float]] = {}
        for key, unit in units.items():
            reading, adapted = _at(unit[n], phase, m if phase != "aligned" else None), _at(unit[n], "adapted")
            assert reading is not None
            assert adapted is not None
            read[key] = contrast_combination([(1.0, reading), (-1.0, adapted)])
        means, error = over_units(read)
        values.append(np.mean(means))
        errors.append(error)
    aligned = np.array([point[0] for point in points], dtype=np.float64)
    applied = np.array([point[1] for point in points], dtype=np.float64)
    opposed = np.array([0.5 if point[2] == "control" else 1.0 for point in points])
    contrasts, weights = np.array(values), np.maximum(errors, 1e-12)
    fits: list[LawFit] = []
    for law in LAWS:
        numbers, residuals = fit_law(law, aligned, applied, opposed, contrasts, weights)
        named = dict(zip(("a", "b", *law.volumes), [*numbers[:2], *np.exp(numbers[2:])], strict=True))
        held_out = _held_out(law, aligned, applied, opposed, contrasts, weights) if len(volumes) > 2 else None
        row: LawFit = {
            "name": law.name,
            "numbers": {name: float(value) for name, value in named.items()},
            "points": len(points),
            "rms": float(np.sqrt(np.mean(residuals**2))),
            "chi2_per_point": float(np.mean((residuals / weights) ** 2)),
            "heldout_rms": held_out,
            "slopes": _slopes(law, numbers, group),
        }
        if law.parts is _joint and numbers[0] + numbers[1] > 0:
            row["falls_faster_below"] = float(
                np.exp(numbers[2]) * (numbers[0] - numbers[1]) / (numbers[0] + numbers[1])
            )
        fits.append(row)
    return fits


def _held_out(law: ScoreLaw, n: Array, m: Array, opposed: Array, contrasts: Array, errors: Array) -> float:
    """Root mean square error, bits per token, on the runs of each alignment volume when it was left out of the fit."""
    missed = []
    for volume in np.unique(n):
        kept = n != volume
        numbers, _ = fit_law(law, n[kept], m[kept], opposed[kept], contrasts[kept], errors[kept])
        missed.append(law.contrast(numbers, n[~kept], m[~kept], opposed[~kept]) - contrasts[~kept])
    return float(np.sqrt(np.mean(np.concatenate(missed) ** 2)))


def _slopes(law: ScoreLaw, numbers: Array, group: Falls) -> dict[str, LawSlope]:
    """The law's slopes per doubling of n, and whether the measured interval holds each (None where it is open)."""
    steps, n = group["perturb_volumes"], np.array(group["align_volumes"], dtype=np.float64)
    weights = slope_weights(group["align_volumes"])

    def at(m: float, opposed: float) -> Array:
        return law.contrast(numbers, n, np.full_like(n, m), np.full_like(n, opposed))

    predicted: dict[str, LawSlope] = {}
    for name, measure, start, m in (
        ("first_fall", group["first_fall"], at(0, 1), steps[0]),
        ("depth", group["depth"], at(0, 1), steps[-1]),
        ("first_excess", group.get("first_excess"), at(steps[0], 0.5), steps[0]),
        ("excess_depth", group.get("excess_depth"), at(steps[-1], 0.5), steps[-1]),
    ):
        if measure is not None and measure["slope"] is not None:
            value, interval = float(weights @ (start - at(m, 1))), Interval.of_dict(measure["slope"])
            inside = interval.holds(value) if interval.closed else None
            predicted[name] = {"slope": value, "inside_interval": inside}
    return predicted


def _return_volume(rows: Sequence[Reading]) -> dict[str, float] | None:
    adapted = next(row["contrast"] for row in rows if row["phase"] == "adapted")
    path = [(0, next(row["contrast"] for row in rows if row["phase"] == "aligned"))]
    path += [(row["volume"], row["contrast"]) for row in rows if row["phase"] == "perturb"]
    for (low, before), (high, after) in itertools.pairwise(path):
        if before > adapted >= after:
            return {"estimate": low + (high - low) * (before - adapted) / (before - after), "low": low, "high": high}
    return None


def _at(readings: Sequence[Result], phase: str, volume: int | None = None) -> Any:
    """The reading of a phase (at a volume), or None."""
    return next((r for r in readings if r["phase"] == phase and volume in (None, r["volume"])), None)
