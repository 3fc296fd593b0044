"""Study `volumes`: sequential training. What pre-training and alignment count for, against the joint law and R19."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from elastomath import InputError
from elastomath.fit.sequential import Effective, best_clock, elastic_limit, read
from elastomath.interval import Interval
from elastomath.laws.forgetting import elasticity_constant
from elastomath.runs.ledger import Configuration
from elastomath.shown import number_of
from elastomath.style import INK, STYLES, plain_ticks, series, styled

from ..cycles.records import Life
from .answers import QUADRATURE, T_METHOD, Answer, Run, exponent, over_seeds
from .groups import Group, Groups
from .plans import PLANS, forgetting_clock, grouped, sequences
from .study import two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ANTIPARALLEL = -0.99
"""A cosine of grad H_p and grad H_a at or below it counts as one elasticity constant (R7)."""
ROUNDING = 1e-9
"""How near R19 counting has to come by its gradients, relative; by R16 on nine readings: `QUADRATURE`."""


class Row(TypedDict):
    """A reading at an alignment volume: see `readings`."""

    k: float
    n: float
    seed: int
    joint: float
    ratio: float | None
    cosine: float | None
    kappa: float | None
    kappa_nominal: float | None
    misfit: float | None
    clock: float | None
    K_pretrain: float | None
    K_align: float | None
    known_clock: float | None
    r19: float | None
    limit: float | None
    most: float


def runs(preset: str) -> list[Configuration]:
    """Counting with forgetting, softmax by gradient descent, transformers by AdamW, on halves, over |D_p| and |D_a|."""
    plan = PLANS[preset]
    configurations = sequences("counting", plan, max(2, plan.exact // 2)) + sequences("softmax", plan, plan.exact)
    configurations += sequences("transformer", plan, plan.trained)
    if preset != "tiny":
        short = plan.ks[1:3]
        configurations += sequences("transformer", plan, plan.trained, short, settings={"learning_rate": 3e-3})
        configurations += sequences("transformer", plan, plan.trained, short, settings={"examples": 256})
        larger = sequences("transformer", plan, plan.trained, short[-1:])
        for configuration in larger:
            configuration["settings"]["size"] = "300k"
        configurations += larger
    return configurations


def readings(configuration: Configuration, record: Life) -> list[Row]:
    """A row for each alignment volume of a run.

    ``ratio``, ``cosine``  |grad H_a|/|grad H_p| and the cosine at rest (R7): kappa, where the cosine is -1
    ``kappa``              K_p/K_a by R16 with the compressor's clock where it is known, else the best one; None where a K is <= 0
    ``kappa_nominal``      the same read in nominal l, as if nothing were forgotten
    ``limit``, ``most``    the elastic limit, None where it was not reached, and the largest perturbation that was tried
    ``joint``, ``r19``     what the joint law and R19 say: k/n, and `forgetting.elasticity_constant` at h
    """
    known = forgetting_clock(configuration)
    rows: list[Row] = []
    for entry in record["runs"]:
        k, n, _ = entry["volumes"]
        steps, rates = entry["perturbations"], entry["entropies"]
        slopes = entry["gradients"][0]
        nominal, clocked = _read(steps, rates, known if configuration["dynamics"] == "counting" else None)
        rows.append(
            {
                "k": k, "n": n, "seed": configuration["seed"], "joint": k / n,
                "ratio": slopes["ratio"] if slopes else None, "cosine": slopes["cosine"] if slopes else None,
                "kappa": clocked.kappa if clocked else None, "kappa_nominal": nominal.kappa if nominal else None,
                "misfit": clocked.misfit if clocked else None, "clock": clocked.clock if clocked else None,
                "K_pretrain": _finite(clocked.pretrain) if clocked else None, "K_align": _finite(clocked.align) if clocked else None,
                "known_clock": known, "r19": r19(k, n, known), "limit": elastic_limit(steps, [k, n], rates),
                "most": float(steps[-1]),
            }
        )  # fmt: skip
    return rows


def _read(steps: Any, rates: Any, clock: float | None) -> tuple[Effective | None, Effective | None]:
    """R16 in nominal l, and with a clock: the one that is known, or the one that fits best. None where nothing moved."""
    try:
        nominal = read(steps, rates)
        return nominal, best_clock(steps, rates) if clock is None else read(steps, rates, clock)
    except InputError:
        return None, None


def r19(k: float, n: float, clock: float | None) -> float | None:
    """K_p/K_a of R19 after k and n at h = ``clock`` a unit; k/n for h = 0, None where h is not known."""
    if clock is None:
        return None
    return k / n if clock == 0 else float(elasticity_constant(k, n, -math.expm1(-clock)))


def answers(rows: list[Run]) -> tuple[list[Answer], Groups[Row]]:
    """Per compressor and setting: exponents of kappa in |D_p| and |D_a|, the cosine at rest, the elastic limit; counting against R19."""
    groups: list[Group[Row]] = []
    results: list[Answer] = []
    for (name, setting), members in grouped(rows).items():
        table = [reading for row in members for reading in readings(*row)]
        groups.append({"compressor": name, "setting": setting, "rows": table})
        if name == "counting":
            results.append(_against_r19(setting, table))
        results += _exponents(name, setting, table)
    for name in ("counting", "softmax", "transformer"):
        mine = [group for group in groups if group["compressor"] == name]
        results += _constant(name, mine) + _limit(name, mine)
    return results, {"groups": groups}


def _against_r19(setting: str, table: list[Row]) -> Answer:
    """R19's constant from the gradients at rest (R7, to rounding) and from the curve (R16, to the error of the quadrature)."""
    at_rest = max(_miss(row["ratio"], row) + abs((row["cosine"] or 0.0) + 1) for row in table)
    worst = max(_miss(row["kappa"], row) for row in table)
    nominal = [row for row in table if row["kappa_nominal"] is not None]
    biased = max((_miss(row["kappa_nominal"], row) for row in nominal), default=0.0)
    met = "met" if at_rest <= ROUNDING and worst <= QUADRATURE else "NOT met"
    sentence = f"Counting, {setting} a unit: kappa is that of the law of forgetting (R19) to {at_rest:.0e} by the gradients at rest (R7) "
    sentence += f"and to {worst:.1e} by effective volumes (R16) at l' = (e^(hl) - 1)/h, in {len(table)} readings: "
    sentence += f"the law of forgetting is {met}."
    if biased > 10 * QUADRATURE:
        sentence += f" Read in nominal l it misses by up to {biased:.2g}, since the perturbation forgets itself too"
        lost = len(table) - len(nominal)
        sentence += f"; {number_of(lost, 'reading')} have no positive volumes there." if lost else "."
    return Answer(
        f"r19/counting/{setting}", "effective volumes of counting against the law of forgetting (R19), worst relative miss",
        "counting", sentence,
        Interval(worst if math.isfinite(worst) else 1e9, 0.0, None),
        "the largest |kappa/kappa of forgetting - 1| by effective volumes (R16); exact sums, the error is the quadrature's",
    )  # fmt: skip


def _miss(kappa: float | None, row: Row) -> float:
    return abs(kappa / row["r19"] - 1) if kappa and row["r19"] else math.inf


def slopes_of(
    table: list[Row], value: Literal["ratio", "kappa", "r19"], over: Literal["k", "n"], fixed: float | None = None
) -> list[float | None]:
    """Per seed: the exponent of ``value`` in ``over`` (k or n), the other volume at ``fixed`` (its middle value by default)."""
    other: Literal["k", "n"] = "n" if over == "k" else "k"
    levels = sorted({row[other] for row in table})
    level = levels[len(levels) // 2] if fixed is None else fixed
    slopes = []
    for seed in sorted({row["seed"] for row in table}):
        mine = [row for row in table if row["seed"] == seed and row[other] == level]
        slopes.append(exponent([row[over] for row in mine], [row[value] for row in mine]))
    return slopes


def _exponents(name: str, setting: str, table: list[Row]) -> list[Answer]:
    exponents = []
    axes: dict[Literal["k", "n"], tuple[str, float]] = {"k": ("|D_p|", 1.0), "n": ("|D_a|", -1.0)}
    for over, (what, law) in axes.items():
        measured = over_seeds(slopes_of(table, "ratio", over))
        if measured is None:
            continue
        integral = over_seeds(slopes_of(table, "kappa", over))
        predicted = over_seeds(slopes_of(table, "r19", over))
        sentence = f"{name}, {setting}: |grad H_a|/|grad H_p| at rest goes as {what}^b with b = {measured}; the joint law has {law:g}"
        if predicted is not None:
            sentence += (
                f", the law of forgetting (R19) at this rate (one clock for all directions) {predicted.estimate:.3g}"
            )
        sentence += f". {_verdict(measured, law, predicted)}"
        if integral is not None:
            sentence += f" By effective volumes (R16), from whole curves: b = {integral}."
        else:
            sentence += " Effective volumes (R16) are not positive everywhere, so that they have no exponent."
        exponents.append(
            Answer(
                f"beta-{'pretrain' if over == 'k' else 'align'}/{name}/{setting}", f"exponent of kappa in {what}", name, sentence, measured,
                f"least squares of ln kappa on ln {what} per seed, the other volume fixed; {T_METHOD}",
            )
        )  # fmt: skip
    return exponents


def _verdict(measured: Interval, law: float, predicted: Interval | None) -> str:
    """Which law the interval holds, and whether it is narrow enough to say so."""
    if measured.estimate is None or measured.low is None or measured.high is None or measured.high - measured.low > 1.0:
        return "These seeds do not decide."
    near = 0.02
    as_joint = measured.holds(law) or abs(measured.estimate - law) < near
    r19 = None if predicted is None else predicted.estimate
    as_r19 = r19 is not None and (measured.holds(r19) or abs(measured.estimate - r19) < near)
    if as_joint and as_r19:
        return "That is both laws." if abs(measured.estimate - law) < near else "It does not tell the two laws apart."
    if as_joint:
        return "That is the joint law."
    if as_r19:
        return "That is the law of forgetting, not the joint law."
    return "That is neither." if r19 is not None else "That is not the joint law."


def _constant(name: str, groups: list[Group[Row]]) -> list[Answer]:
    table = [row for group in groups for row in group["rows"]]
    seeds = sorted({row["seed"] for row in table})
    cosine = over_seeds(
        (_mean([row["cosine"] for row in table if row["seed"] == seed]) for seed in seeds), within=(-1.0, 1.0)
    )
    if cosine is None:
        return []
    single = sum(row["cosine"] is not None and row["cosine"] <= ANTIPARALLEL for row in table)
    positive = sum(row["kappa"] is not None for row in table)
    misfits = [row["misfit"] for row in table if row["misfit"] is not None]
    missed = f"misses its work by {np.median(misfits):.1%} (median" if misfits else "is not to be had ("
    missed += f" of {len(misfits)} that moved)" if len(misfits) < len(table) else ")"
    return [
        Answer(
            f"cosine/{name}", "cosine of grad H_p and grad H_a at rest, after training in sequence", name,
            f"After training in sequence the {name}'s gradients of H_p and H_a have a mean cosine of {cosine}: an "
            "elasticity constant that is "
            f"the same in every direction (R7; a cosine below {ANTIPARALLEL}) exists in {single} of {len(table)} "
            "readings. Two effective volumes (R16) are "
            f"positive in {positive} of {len(table)}; the nearest joint curve, whatever its clock, {missed}.",
            cosine, f"mean over settings and volumes, then {T_METHOD}",
        )
    ]  # fmt: skip


def _limit(name: str, groups: list[Group[Row]]) -> list[Answer]:
    table = [row for group in groups for row in group["rows"]]
    if not table:
        return []
    reached = sum(row["limit"] is not None for row in table)
    value = median_limit(table)
    at_once = sum(row["limit"] is not None and row["limit"] <= 1 / 32 for row in table)
    return [
        Answer(
            f"limit/{name}", "the elastic limit, in units of the alignment volume", name,
            f"In sequence the {name}'s elastic limit, where nothing pushes back any more, lies at {value} of the "
            "alignment volume (median of a seed; a reading that did not reach it counts as beyond); it was "
            f"reached in {reached} of {len(table)} readings, in {at_once} of them at the first "
            "step: there D_p never gains and "
            f"there is no linear regime. Joint optima on halves have it near 2 (1 + |D_a|/|D_p|).",
            value, f"median over settings and volumes, then {T_METHOD}",
        )
    ]  # fmt: skip


def median_limit(table: list[Row]) -> Interval:
    """The elastic limit over n: a median for each seed, its mean over seeds; a bound where a seed's median was not reached.

    A reading that did not reach its limit within ``most`` lies somewhere beyond it, so that the median lies between those of
    ``most`` and of infinity in its place.
    """
    ends = []
    for seed in sorted({row["seed"] for row in table}):
        mine = [row for row in table if row["seed"] == seed]
        least = [(row["most"] if row["limit"] is None else row["limit"]) / row["n"] for row in mine]
        most = [math.inf if row["limit"] is None else row["limit"] / row["n"] for row in mine]
        ends.append((float(np.median(least)), float(np.median(most))))
    exact = all(low == high for low, high in ends)
    value = over_seeds(low for low, _ in ends) if exact else None
    return value or Interval(None, min(low for low, _ in ends), None, method="median not reached")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean(values: list[float | None]) -> float | None:
    """None where a value is missing."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


@styled
def figure(summary: Groups[Row]) -> Figure:
    """|grad H_a|/|grad H_p| against pre-training volume above, alignment volume below; dashed: joint law; dotted: forgetting."""
    drawn, panels = two_panels(
        "Elasticity constants in sequence",
        "Geometric means over seeds; dashed joint law, dotted law of forgetting (R19).",
        share=False,
    )
    chosen: dict[str, Group[Row]] = {}
    for group in summary["groups"]:
        volumes = {row["k"] for row in group["rows"]}
        best = chosen.get(group["compressor"])
        if (
            best is None
            or len(volumes) > len({row["k"] for row in best["rows"]})
            or group["setting"].startswith(("forgetting 0.2", "rate 0.002"))
        ):
            chosen[group["compressor"]] = group
    axes: tuple[tuple[Literal["k", "n"], Literal["k", "n"]], ...] = (("k", "n"), ("n", "k"))
    for panel, (over, other) in zip(panels, axes, strict=True):
        for index, group in enumerate(chosen.values()):
            levels = sorted({row[other] for row in group["rows"]})
            level = levels[len(levels) // 2]
            mine = [row for row in group["rows"] if row[other] == level and row["ratio"]]
            places = sorted({row[over] for row in mine})
            means = [
                math.exp(np.mean([math.log(ratio) for row in mine if row[over] == place and (ratio := row["ratio"])]))
                for place in places
            ]
            label = f"{group['compressor']}, {group['setting']}"
            panel.plot(places, means, **series(index), label=label)
            theory = [next(row["r19"] for row in mine if row[over] == place) for place in places]
            if index == 0:
                panel.plot(
                    places,
                    [next(row["joint"] for row in mine if row[over] == place) for place in places],
                    color=INK,
                    linestyle="--",
                    linewidth=0.8,
                )
            if all(value is not None for value in theory):
                panel.plot(places, theory, color=STYLES[index % len(STYLES)][0], linestyle=":", linewidth=1.0)
        panel.set(
            xscale="log",
            yscale="log",
            xlabel="|D_p| / |D_a|" if over == "k" else "|D_a|",
            ylabel="|grad H_a| / |grad H_p|",
        )
        plain_ticks(panel.xaxis, dense=True)
        plain_ticks(panel.yaxis, dense=True)
    panels[0].legend(frameon=False, fontsize=9)
    return drawn
