"""F3 in numbers: how the rebound moves with model size P and pre-training volume V, with intervals, against R10, R11 and R13.

With C the contrast, n aligned and m opposed examples, C_0 the start, P and M the arms perturbed by opposed and by mixed text:

    rise = C_n(0) - C_0                          first fall, depth = C_n(0) - C_n^P(m) at the smallest and largest m
    excess = C_n^M(m) - C_n^P(m)                 what opposed text did beyond what any text of the domain does
    fall rate = first fall / (m_1 rise)          the share of the alignment that one opposed example undoes at first
    fall share = depth / rise                    the share that all of them undo
    undoing volume = m at which C_n^P(m) = C_0   linear between readings; open where it was not reached

A measure y of every (P, V) is described by its slopes per doubling, ``y = a + b log2 P + c log2 V`` (least squares), and by
its exponents, ``y = A P^b V^c`` (least squares in y, so that a measure of either sign counts). A share of the rise is fitted as
what it is a share *of* the rise, ``fall = A P^b V^c rise``, so that runs whose rise is not told from 0 count as little as they
know, and none is left out; of any other measure that some run has not, no slope is taken. Joint compression with known
volumes (R13, symmetric targets, k = V) predicts numbers for c; forgetting at a converged start (R19) predicts 0; both are silent
on P, where R10 has elasticity per block rise with the depth that is represented.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from elastomath.arrays import Array
from elastomath.fit.crossing import first_crossing
from elastomath.interval import Interval
from elastomath.runs.ledger import Result
from elastomath.units import NATS_PER_BIT

from .results import Answers, Group, LawExponents, Row, Slope, Spread

LEVEL: Final = 0.95
DRAWS: Final = 400
"""Resamples of the held-out documents."""
MEASURES: Final = {
    "held_out_rate": ("rate of held-out text at the start", "bits/token"),
    "moved": ("D(base || aligned) less D(base || start): how far alignment went", "bits/token"),
    "rise": ("rise of the contrast", "bits/token"),
    "first_fall": ("first fall", "bits/token"),
    "depth": ("depth of the fall", "bits/token"),
    "first_excess": ("first fall beyond the control", "bits/token"),
    "excess_depth": ("depth beyond the control", "bits/token"),
    "fall_rate": ("share of the rise undone per example, at first", "1/example"),
    "fall_share": ("share of the rise undone in all", ""),
    "excess_rate": ("share of the rise undone per example beyond the control", "1/example"),
    "undoing_volume": ("opposed examples that undo the rise", "examples"),
    "align_rise": ("rise of the aligned kind's rate, beyond the control", "bits/token"),
    "cosine": ("cos(grad H_p, grad H_a) at the aligned state", ""),
    "stiffness_ratio": ("|grad H_a| / |grad H_p| at the aligned state", ""),
}
"""What is measured of each run: name -> (in words, unit)."""
KERNEL: Final = "relative kernel of "
"""Before the name of a behaviour: the measure ``|grad z|^2 / |grad gamma_neutral|^2`` of its contrast at the start."""
SHARES: Final = {"fall_rate": "first_fall", "fall_share": "depth", "excess_rate": "first_excess"}
"""Measures that are a share of the rise: what is divided by it. A rate is also divided by the smallest perturbation."""
LAWS: Final = ("joint compression (R13)", "forgetting (R19)")


@dataclass(frozen=True)
class _Run:
    """One run's readings: contrasts under resampled documents (B, R), row 0 as drawn; rates of the aligned kind, of both."""

    phases: list[tuple[str, int]]
    contrast: Array
    align: Array
    union: Array

    def at(self, values: Array, phase: str, volume: int | None = None) -> Array:
        """One column of ``values``; KeyError where the phase (at the volume) was not read."""
        for place, (name, reached) in enumerate(self.phases):
            if name == phase and volume in (None, reached):
                return np.asarray(values[:, place])
        raise KeyError(phase)


def answers(results: Sequence[Result], draws: int = DRAWS) -> Answers:
    """What the runs say: {"readings", "groups", "reading"}.

    readings   a row for each run: its covariates and every measure with its standard error over documents
    groups     for each alignment volume and direction: each measure's slopes per doubling of P and of V and its exponents.
               A number is a mean over seeds with a t interval over them (ends None for one seed), the value of every seed, and
               se_documents, where the documents of a seed are resampled together for all of its runs; and the
               laws' predictions of the exponent in V
    """
    rows, clouds = [], []
    for seed in dict.fromkeys(result["configuration"]["seed"] for result in results):
        mine = [result for result in results if result["configuration"]["seed"] == seed]
        for result in mine:
            values = measures(result, _weights(result, draws))
            clouds.append((result, values))
            rows.append(_row(result, values))
    groups: list[Group] = []
    for key in dict.fromkeys(_group(result) for result, _ in clouds):
        chosen = [(result, values) for result, values in clouds if _group(result) == key]
        groups.append(_slopes(*key, chosen))
    return {
        "readings": rows,
        "groups": groups,
        "reading": [line for group in groups for line in _sentences(group)],
    }


def slope_unit(measure: str) -> str:
    """The unit of a measure's slope on log2 P or log2 V.

    >>> slope_unit("first_fall"), slope_unit("fall_share")
    ('bits/token per doubling', 'per doubling')
    """
    return f"{'' if measure.startswith(KERNEL) else MEASURES[measure][1]} per doubling".strip()


def _group(result: Result) -> tuple[int, str]:
    c = result["configuration"]
    return int(c["align_volume"]), str(c["direction"])


# -- measures of one run -----------------------------------------------------------------------------------------------


def _weights(result: Result, draws: int) -> dict[str, Array]:
    """How often each held-out document counts, (B, D) for each kind, row 0 all ones: the same for every run of a seed.

    Documents that answer the same prompt are drawn together (`contrast.prompt_numbers`).
    """
    kinds = [("plus", "minus"), ("minus", "plus")][result["configuration"]["direction"] != "forward"]
    first = result["readings"][0]
    weights: dict[str, Array] = {}
    if "prompts_align" in first:
        numbers = {role: np.asarray(first[f"prompts_{role}"]) for role in ("align", "perturb")}
        known = np.unique(np.concatenate(list(numbers.values())))
        rng = np.random.default_rng([int(result["configuration"]["seed"]), 2])
        drawn = rng.multinomial(known.size, np.full(known.size, 1.0 / known.size), size=draws).astype(np.float64)
        drawn = np.concatenate([np.ones((1, known.size)), drawn])
        return {role: drawn[:, np.searchsorted(known, row)] for role, row in numbers.items()}
    for role, kind in zip(("align", "perturb"), kinds, strict=True):
        count = len(first[f"nats_{role}"])
        rng = np.random.default_rng([int(result["configuration"]["seed"]), ("plus", "minus").index(kind)])
        drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=draws).astype(np.float64)
        weights[role] = np.concatenate([np.ones((1, count)), drawn])
    return weights


def measures(result: Result, weights: dict[str, Array]) -> dict[str, Array]:
    """Every measure of one run, (B,) each; nan where it is not defined. Row 0 is the measure itself."""
    run = _rates(result, weights)
    steps = [reached for phase, reached in run.phases if phase == "perturb"]
    first, last = steps[0], steps[-1]
    aligned, start = run.at(run.contrast, "aligned"), run.at(run.contrast, "adapted")
    path = [run.at(run.contrast, "perturb", step) for step in steps]
    rise = aligned - start
    values = {"rise": rise, "first_fall": aligned - path[0], "depth": aligned - path[-1]}
    values["held_out_rate"] = run.at(run.union, "adapted")
    risen = np.where(rise[0] > 2.0 * rise[1:].std(), rise, np.nan) if len(rise) > 1 else rise
    values["fall_rate"] = _ratio(values["first_fall"] / first, risen)
    values["fall_share"] = _ratio(values["depth"], risen)
    if ("control", last) in run.phases:
        mixed = [run.at(run.contrast, "control", step) for step in (first, last)]
        values["first_excess"], values["excess_depth"] = mixed[0] - path[0], mixed[1] - path[-1]
        values["excess_rate"] = _ratio(values["first_excess"] / first, risen)
        values["align_rise"] = run.at(run.align, "perturb", last) - run.at(run.align, "control", last)
    values["undoing_volume"] = undoing_volume([0, *steps], np.stack([aligned, *path], axis=1), start)
    moved = [
        next(r["kl_forward"] for r in result["readings"] if r["phase"] == phase) for phase in ("aligned", "adapted")
    ]
    values["moved"] = np.r_[moved[0] - moved[1], np.full(len(rise) - 1, np.nan)]  # few documents carry it: no error
    at = result["gradients"]["aligned"]
    run_key = json.dumps(result["configuration"], sort_keys=True, default=str)
    for name, key in (("cosine", "population_cosine"), ("stiffness_ratio", "population_ratio")):
        values[name] = _scattered(at[key], len(rise), f"{name} {run_key}")
    for name, reading in result.get("kernels", {}).items():
        values[KERNEL + name] = _scattered(reading, len(rise), f"{name} {run_key}")
    return values


def _scattered(reading: Mapping[str, float | None], count: int, name: str) -> Array:
    """A number that was read with its standard error, (count,): itself, then draws of its error, of its own for each name.

    Draws that runs share would move them together, so that they would cancel in a slope.
    """
    value, se = reading["estimate"], reading["se"]
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(count) * (se or 0.0)
    noise[0] = 0.0
    return np.full(count, np.nan) if value is None else value + noise


def _ratio(top: Array, bottom: Array) -> Array:
    """top / bottom; under resampling to first order, ``r + (top - r bottom) / bottom_0``, which has no poles."""
    value = top[0] / bottom[0]
    return np.asarray(value + (top - value * bottom) / bottom[0])


def undoing_volume(steps: Sequence[int], path: Array, start: Array) -> Array:
    """The m at which a contrast (B, J) at ``steps`` first comes down to ``start`` (B,), linear between; nan where it does not.

    >>> undoing_volume([0, 10, 30], np.array([[4.0, 2.0, 0.0], [4.0, 3.0, 2.0]]), np.array([1.0, 1.0]))
    array([20., nan])
    """
    crossed = first_crossing(steps, path - start[:, None])
    return np.where((path[:, 0] > start) & np.isfinite(crossed), crossed, np.nan)


def _rates(result: Result, weights: dict[str, Array]) -> _Run:
    readings = result["readings"]
    rates, parts = {}, {}
    for role in ("align", "perturb"):
        nats = np.array([reading[f"nats_{role}"] for reading in readings])
        tokens = np.asarray(readings[0][f"tokens_{role}"], dtype=np.float64)
        parts[role] = weights[role] @ nats.T, (weights[role] @ tokens)[:, None]
        rates[role] = parts[role][0] / parts[role][1] / NATS_PER_BIT
    union = (parts["align"][0] + parts["perturb"][0]) / (parts["align"][1] + parts["perturb"][1]) / NATS_PER_BIT
    phases = [(reading["phase"], int(reading["volume"])) for reading in readings]
    return _Run(phases, rates["perturb"] - rates["align"], rates["align"], union)


def _row(result: Result, measured: dict[str, Array]) -> Row:
    c = result["configuration"]
    at = result["gradients"]
    row: Row = {"size": c["member"]["size"], "parameters": result["parameters"]}
    row |= {"pretrain_volume": c["member"]["pretrain_volume"], "seed": c["seed"]}
    row |= {"align_volume": c["align_volume"], "direction": c["direction"]}
    row["cosine_start"], row["cosine_documents"] = at["start"]["cosine"], at["aligned"]["cosine"]
    for name, values in measured.items():
        error = np.nanstd(values[1:]) if np.isfinite(values[1:]).sum() > 1 else np.nan
        row[name] = _number(values[0])
        row[f"{name}_se"] = _number(error) if row[name] is not None else None
    return row


# -- slopes over runs --------------------------------------------------------------------------------------------------


def _slopes(align_volume: int, direction: str, chosen: Sequence[tuple[Result, dict[str, Array]]]) -> Group:
    seeds = list(dict.fromkeys(result["configuration"]["seed"] for result, _ in chosen))
    at = {
        seed: [(result, measured) for result, measured in chosen if result["configuration"]["seed"] == seed]
        for seed in seeds
    }
    first = at[seeds[0]]
    names = predictors([_place(result) for result, _ in first])
    steps = [r["volume"] for r in first[0][0]["readings"] if r["phase"] == "perturb"]
    spreads: dict[str, Spread] = {}
    behaviours = [name for name in first[0][1] if name.startswith(KERNEL)]
    for measure in (name for name in (*MEASURES, *behaviours) if name in first[0][1]):
        each = [_seed_slopes(at[seed], measure, names) for seed in seeds]
        values = np.array([measured[measure][0] for _, measured in chosen])
        top, bottom = (part[:, 0] for part in _parts(chosen, measure))

        def pooled(kind: str, unit: str, each: list[_Slopes] = each) -> dict[str, Slope | None]:
            known = [slopes for e in each if (slopes := e[kind]) is not None]
            return {name: _pooled([slopes[i] for slopes in known], len(seeds), unit) for i, name in enumerate(names)}

        spreads[measure] = {
            "defined": int(np.isfinite(values).sum()),
            "runs": len(values),
            "mean": _number(top.sum() / bottom.sum()),
            "slope": pooled("slope", slope_unit(measure)),
            "exponent": pooled("exponent", ""),
        }
    return {
        "align_volume": align_volume,
        "direction": direction,
        "seeds": seeds,
        "perturb_volumes": steps,
        "predictors": list(names),
        "measures": spreads,
        "laws": _predicted(first, steps, names),
    }


def _place(result: Result) -> tuple[float, float]:
    volume = result["configuration"]["member"]["pretrain_volume"]
    return float(result["parameters"]), float(volume) if volume else np.nan


def predictors(places: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    """Which of parameters and pretrain_volume these models can tell apart.

    Both where at least six distinct models vary in both, not in step; else the size where it varies, else the volume.

    >>> predictors([(1e9, 1.0), (2e9, 1.0)]), predictors([(1e9, 1.0), (1e9, 2.0)])
    (('parameters',), ('pretrain_volume',))
    """
    x = np.log2(np.array(sorted(set(places)), dtype=np.float64))
    varies = [bool(np.ptp(x[:, j]) > 0) if np.isfinite(x[:, j]).all() else False for j in (0, 1)]
    if all(varies) and len(x) >= 6 and np.linalg.matrix_rank(x - x.mean(0)) == 2:
        return "parameters", "pretrain_volume"
    return ("parameters",) if varies[0] else ("pretrain_volume",) if varies[1] else ()


def _design(places: Sequence[tuple[float, float]], names: Sequence[str]) -> Array:
    x = np.log2(np.array(places))
    columns = [x[:, ("parameters", "pretrain_volume").index(name)] for name in names]
    return np.stack([np.ones(len(x)), *(column - column.mean() for column in columns)], axis=1)


_Slopes = dict[str, list[tuple[float, float]] | None]
"""``slope`` and ``exponent`` of one seed: a number and its error for each predictor."""


def _seed_slopes(runs: Sequence[tuple[Result, dict[str, Array]]], measure: str, names: Sequence[str]) -> _Slopes:
    """Slopes per doubling and exponents of one seed, each with its standard error over documents."""
    slopes: _Slopes = {"slope": None, "exponent": None}
    places = [_place(result) for result, _ in runs]
    top, bottom = _parts(runs, measure)
    if not np.isfinite(top[:, 0]).all() or len(set(places)) <= len(names) + 1 - (len(names) == 1) or not names:
        return slopes  # what some run has not may be too large for it
    design = _design(places, names)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return slopes
    whole = np.isfinite(top[:, 1:]).all(axis=0)
    moved, scaled = ((part[:, 1:] - part[:, :1])[:, whole] for part in (top, bottom))
    numbers = np.asarray(np.linalg.lstsq(design * bottom[:, :1], top[:, 0], rcond=None)[0], dtype=np.float64)
    slopes["slope"] = _with_errors(numbers, design * bottom[:, :1], moved - (design @ numbers)[:, None] * scaled)
    fitted = power_law(design, top[:, 0], bottom[:, 0])
    if fitted is not None:
        numbers, jacobian = fitted
        shares = np.exp(design * _doublings(design) @ numbers)
        slopes["exponent"] = _with_errors(numbers, jacobian, moved - shares[:, None] * scaled)
    return slopes


def _parts(runs: Sequence[tuple[Result, dict[str, Array]]], measure: str) -> tuple[Array, Array]:
    """A measure of these runs as a quotient, (runs, B) each: of what is a share of the rise, what it divides; else by 1."""
    if measure not in SHARES:
        top = np.stack([values[measure] for _, values in runs])
        return top, np.ones_like(top)
    top, bottom = (np.stack([values[name] for _, values in runs]) for name in (SHARES[measure], "rise"))
    steps = [next(r["volume"] for r in result["readings"] if r["phase"] == "perturb") for result, _ in runs]
    per_example = measure.endswith("_rate")
    return top / np.array(steps, dtype=np.float64)[:, None] if per_example else top, bottom


def _with_errors(numbers: Array, jacobian: Array, moved: Array) -> list[tuple[float, float]]:
    """All numbers but the first, each with the scatter that the draws of the data (runs, B) give it."""
    operator = np.linalg.pinv(jacobian)
    errors = (operator @ moved).std(axis=1) if moved.shape[1] > 1 else np.full(len(numbers), np.nan)
    return list(zip(numbers[1:].tolist(), errors[1:].tolist(), strict=True))


def _doublings(design: Array) -> Array:
    """What turns the numbers of a power law into a logarithm: 1 for the constant, ln 2 for each exponent."""
    return np.asarray(np.r_[1.0, np.full(design.shape[1] - 1, np.log(2.0))], dtype=np.float64)


def power_law(design: Array, values: Array, unit: Array | None = None) -> tuple[Array, Array] | None:
    """``y = u exp(c_0 + ln 2 sum_j b_j x_j)`` by least squares in y: (c_0, b) and the Jacobian; None where y has no positive mean.

    x in doublings, so that b are exponents; u 1 where no unit is given. A y that is not above 0 on the whole, weighted by u,
    has no power law.

    >>> x = np.array([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> power_law(x, np.array([1.0, 2.0, 4.0]))[0].round(6).tolist()
    [0.693147, 1.0]
    >>> power_law(x, np.array([0.0, 2.0, 4.0]), np.array([0.0, 1.0, 1.0]))[0].round(6).tolist()
    [0.693147, 1.0]
    """
    from scipy.optimize import least_squares

    unit = np.ones_like(values) if unit is None else unit
    size = float(np.abs(unit).mean())
    if not (size > 0 and values @ unit > 0):
        return None
    u = unit / size
    level = float(values @ u / (u @ u))
    scaled, base = values / level, design * _doublings(design)
    shares = np.divide(scaled, u, out=np.full_like(u, 0.05), where=u > 0)
    start = np.linalg.lstsq(base * u[:, None], u * np.log(np.maximum(shares, 0.05)), rcond=None)[0]

    def gap(numbers: Array) -> Array:
        return np.asarray(u * np.exp(np.minimum(base @ numbers, 50.0)) - scaled)

    def slopes(numbers: Array) -> Array:
        return np.asarray(base * (u * np.exp(np.minimum(base @ numbers, 50.0)))[:, None])

    optimum = least_squares(gap, start, jac=slopes, bounds=(-20.0, 20.0))
    if not optimum.success or np.abs(optimum.x).max() > 19.0:
        return None
    numbers = optimum.x.copy()
    numbers[0] += np.log(level / size)
    return numbers, base * (unit * np.exp(base @ numbers))[:, None]


def _pooled(values: Sequence[tuple[float, float]], seeds: int, unit: str) -> Slope | None:
    """The mean over seeds, a t interval over them, and the error over documents; None where some seed has no value."""
    if not values or len(values) < seeds:
        return None
    each, errors = (np.array(column) for column in zip(*values, strict=True))
    mean, se = Interval.of_values(each, level=LEVEL), float(np.sqrt(np.sum(errors**2)) / len(each))
    return {
        "estimate": mean.estimate, "low": mean.low, "high": mean.high, "level": mean.level, "unit": unit,
        "seeds": each.tolist(), "se_documents": _number(se),
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


# -- what the laws say -------------------------------------------------------------------------------------------------


def joint_measures(k: Array, n: float, steps: Sequence[int]) -> dict[str, Array]:
    """R13 from the union (s_p = 0) with symmetric targets +-1: ``C(m) = (n - m)/(k + n + m)``, excess ``m/(k + n + m)``.

    Every measure that is one of the contrast, at pre-training volumes k (K,), n aligned and ``steps`` opposed examples.

    >>> joint_measures(np.array([100.0, 1e9]), 50.0, [10, 20])["fall_rate"].round(6).tolist()
    [0.025, 0.02]
    """
    first, last = float(steps[0]), float(steps[-1])
    rise = n / (k + n)
    values = {"rise": rise}
    for name, m in (("first_fall", first), ("depth", last)):
        values[name] = rise - (n - m) / (k + n + m)
    values |= {"first_excess": first / (k + n + first), "excess_depth": last / (k + n + last)}
    values |= {"fall_rate": values["first_fall"] / (first * rise), "fall_share": values["depth"] / rise}
    return values | {"excess_rate": values["first_excess"] / (first * rise), "undoing_volume": np.full_like(k, n)}


def _predicted(
    runs: Sequence[tuple[Result, dict[str, Array]]], steps: Sequence[int], names: Sequence[str]
) -> list[LawExponents]:
    """The exponent in V that each law gives these measures at these volumes; none where V does not vary."""
    if "pretrain_volume" not in names:
        return []
    design = _design([_place(result) for result, _ in runs], names)
    volumes = np.array([_place(result)[1] for result, _ in runs])
    factors = joint_measures(volumes, float(runs[0][0]["configuration"]["align_volume"]), steps)
    place = 1 + list(names).index("pretrain_volume")
    joint: dict[str, float | None] = {}
    for name, values in factors.items():
        unit = factors["rise"] if name in SHARES else np.ones_like(values)
        exponents = power_law(design, values * unit, unit)
        joint[name] = None if exponents is None else float(exponents[0][place])
    return [{"name": LAWS[0], "exponents": joint}, {"name": LAWS[1], "exponents": dict.fromkeys(joint, 0.0)}]


def _sentences(group: Group) -> list[str]:
    """What grows and what falls with size and with pre-training volume: the rebound, a sentence a measure, then each behaviour."""
    laws = {law["name"]: law["exponents"] for law in group["laws"]}
    words = {"parameters": "size", "pretrain_volume": "pre-training volume"}
    behaviours = [name for name in group["measures"] if name.startswith(KERNEL)]
    sentences = []
    for measure in ("first_fall", "fall_rate", "excess_rate", "fall_share", *behaviours):
        values = group["measures"].get(measure)
        if values is None:
            continue
        parts = []
        for name in group["predictors"]:
            entry = values["exponent"][name]
            if entry is None:
                parts.append(f"has no exponent in {words[name]}")
                continue
            exponent = Interval.of_dict(entry)
            joint = laws.get(LAWS[0], {}).get(measure) if name == "pretrain_volume" else None
            said = "" if joint is None else f"; joint compression has {joint:+.2f}, forgetting 0"
            change = exponent.side("falls", "grows", "is not told to change")
            parts.append(f"{change} with {words[name]} (exponent {exponent:+.2f}{said})")
        title = measure if measure in behaviours else MEASURES[measure][0]
        sentences.append(f"the {title} {' and '.join(parts)}")
    return sentences
