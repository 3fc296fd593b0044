"""Study `scale`: elasticity against depth (R10), transformer size, and the volume of pre-training (R11 against F3)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from elastomath.interval import Interval
from elastomath.runs.ledger import Configuration
from elastomath.style import STYLES, plain_ticks, series, styled

from ..cycles.records import Entry
from ..cycles.sweeps import configurations
from .answers import T_METHOD, Answer, Run, exponent, over_seeds, rising_with
from .plans import PLANS, sequences, setting_of, sized
from .study import two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOLERANCE = 0.02
"""Nats by which a prefix may be coded worse than by its own law and still count as represented."""


@dataclass(frozen=True)
class Sizes:
    """What grows: cuts of Pareto leaves (in bits), orders of counting, networks, and seeds of each."""

    bits: int
    cuts: tuple[int, ...]
    draws: int
    markov: Configuration
    networks: tuple[tuple[int, int, int, int], ...]
    """(width, layers, heads, inner) of each network."""
    joint: Configuration


class Row(TypedDict):
    """What a unit of D_t costs alignment, nats."""

    seed: int
    compressor: str
    elasticity: float


class Cut(Row):
    """Of a mixture cut to so many symbols."""

    depth: int


class Represented(Row):
    """With the depth that the pre-trained state represents, and KL_d of each prefix."""

    represented_depth: float
    prefixes: list[float]


class Ordered(Represented):
    """Of counting."""

    order: int


class Sized(Represented):
    """Of a transformer, with the gradient that is left at its optimum."""

    parameters: int
    gradient: float | None


class Pretrained(Row):
    """After k of D_p."""

    k: float
    setting: str


class Depth(TypedDict):
    """The mean represented depth of one size, with its interval."""

    parameters: int
    represented_depth: float
    low: float | None
    high: float | None
    level: float
    seeds: int


class Data(TypedDict):
    """What the figure is drawn from."""

    depth: list[Cut]
    order: list[Ordered]
    size: list[Sized]
    volume: list[Pretrained]
    tolerance: float
    depth_by_size: list[Depth]


TRAINING = {"tolerance": 1e-7, "adamw": 200, "lbfgs": 80, "newton": 0}
SOURCE = {"name": "markov", "alphabet": 3, "order": 5, "length": 6, "split": 1.0, "sharpness": 0.5, "union": "thirds"}
SIZES = {
    "tiny": Sizes(6, (2, 4, 6), 3, SOURCE | {"order": 2, "length": 3}, ((4, 1, 1, 4), (8, 1, 1, 8)), TRAINING | {"adamw": 60, "lbfgs": 30}),
    "quick": Sizes(
        16, (4, 8, 12, 16), 12, SOURCE,
        ((4, 1, 1, 8), (8, 1, 2, 16), (16, 2, 2, 48), (32, 2, 2, 96), (48, 2, 2, 160)), TRAINING,
    ),
    "full": Sizes(
        16, (4, 6, 8, 10, 12, 14, 16), 60, SOURCE | {"order": 6, "length": 7},
        ((4, 1, 1, 8), (8, 1, 2, 16), (16, 2, 2, 48), (32, 2, 2, 96), (48, 2, 2, 160), (96, 3, 4, 324)),
        TRAINING | {"adamw": 1000, "lbfgs": 1000},
    ),
}  # fmt: skip


def runs(preset: str) -> list[Configuration]:
    """Cuts of a mixture, orders of counting, sizes of a transformer (all at joint optima), and |D_p| in sequence for every compressor."""
    plan, sizes = PLANS[preset], SIZES[preset]
    sweep = []
    deep = configurations(
        "mixture", source={"name": "union", "alphabet": 2, "length": sizes.bits, "alpha": 1.2},
        cycle={"k": 1000.0, "perturbations": [0, 1.0], "inverse": False}, seed=list(range(sizes.draws)),
    )  # fmt: skip
    for depth in sizes.cuts:
        for configuration in copy.deepcopy(deep):
            sweep.append(configuration | {"study": {"cut": depth}})
    steps = {"k": 10.0, "mode": "joint", "perturbations": [0, 1.0], "inverse": False}
    orders = configurations(
        "counting", source=sizes.markov, settings={"prior": 0.0}, cycle=steps,
        settings__order=list(range(int(sizes.markov["length"]))), seed=list(range(plan.exact)),
    )  # fmt: skip
    trained = configurations(
        "transformer",
        source=sizes.markov,
        settings={"dtype": "float64", "joint": sizes.joint},
        cycle=steps,
        seed=list(range(plan.trained)),
    )
    sweep += [configuration | {"study": {"tolerance": TOLERANCE}} for configuration in orders]
    for width, layers, heads, inner in sizes.networks:
        some = [configuration | {"study": {"tolerance": TOLERANCE}} for configuration in copy.deepcopy(trained)]
        sweep += sized(some, {"width": width, "layers": layers, "heads": heads, "inner": inner})
    sweep += sequences("mixture", plan, plan.exact) + sequences("counting", plan, max(2, plan.exact // 2))
    return sweep + sequences("softmax", plan, plan.exact) + sequences("transformer", plan, plan.trained)


def elasticity(entry: Entry, step: float = 1.0) -> float:
    """``DeltaH_a(L)/L`` at the last l <= ``step``, nats a leaf for a unit of D_t: what alignment loses to it."""
    steps = np.array(entry["perturbations"])
    index = int(np.flatnonzero(steps <= step)[-1])
    align = entry["entropies"][1]
    return float((align[index] - align[0]) / steps[index])


def answers(rows: list[Run]) -> tuple[list[Answer], Data]:
    """R10 for the mixture, the order for counting, the size for transformers, and the exponent of elasticity in |D_p| for all."""
    depth: list[Cut] = []
    order: list[Ordered] = []
    size: list[Sized] = []
    volume: list[Pretrained] = []
    for configuration, record in rows:
        study, seed, entry = configuration.get("study", {}), configuration["seed"], record["runs"][0]
        k, n, _ = entry["volumes"]
        base = Row(seed=seed, compressor=configuration["dynamics"], elasticity=(k + n) * elasticity(entry))
        if "cut" in study:
            depth.append({**base, "depth": study["cut"]})
        elif "tolerance" in study:
            mine = Represented(**base, represented_depth=record["depth"], prefixes=record["prefixes"])
            if configuration["dynamics"] == "counting":
                order.append({**mine, "order": configuration["settings"]["order"]})
            else:
                left = (entry["descent"] or [{}])[0] or {}
                size.append({**mine, "parameters": record["parameters"], "gradient": left.get("gradient")})
        else:
            chosen = next((run for run in record["runs"] if run["volumes"][1] == 1.0), entry)
            base["elasticity"] = elasticity(chosen)
            volume.append({**base, "k": chosen["volumes"][0], "setting": setting_of(configuration)})
    results = _depth(depth) + _order(order) + _size(size) + _volume(volume)
    data: Data = {
        "depth": depth,
        "order": order,
        "size": size,
        "volume": volume,
        "tolerance": TOLERANCE,
        "depth_by_size": depth_by_size(size),
    }
    return results, data


def depth_by_size(size: list[Sized]) -> list[Depth]:
    """Rows {parameters, represented_depth, low, high, level, seeds}, by size: the measured form of Assumption 3.2's monotone depth."""
    rows: list[Depth] = []
    for parameters in sorted({row["parameters"] for row in size}):
        values = [row["represented_depth"] for row in size if row["parameters"] == parameters]
        mean = over_seeds(values)
        if mean is not None and mean.estimate is not None:
            rows.append(
                {"parameters": parameters, "represented_depth": mean.estimate, "low": mean.low, "high": mean.high,
                 "level": mean.level, "seeds": len(values)}
            )  # fmt: skip
    return rows


def _means(table: Sequence[Row], by: str) -> list[tuple[float, Interval]]:
    """The mean elasticity at each value of ``by``."""
    means = []
    place_of = itemgetter(by)
    for place in sorted(set(map(place_of, table))):
        mean = over_seeds(row["elasticity"] for row in table if place_of(row) == place)
        if mean is not None:
            means.append((place, mean))
    return means


def _depth(table: list[Cut]) -> list[Answer]:
    means = _means(table, "depth")
    if not means:
        return []
    said = ", ".join(f"{mean.estimate:.3f} at d = {place}" for place, mean in means)
    rising, seeds = rising_with(table, "depth")
    each = ", ".join(f"{mean.estimate / place:.4f}" for place, mean in means if mean.estimate is not None)
    return [
        Answer(
            "depth/mixture", "response of alignment, N_0 DeltaH_a/L, against depth (R10), Pareto alpha = 1.2", "mixture",
            f"The mixture's elasticity N_0 DeltaH_a/L, near 1 - A at large k, is {said}; it rises at every step of "
            f"depth in {rising} of {seeds} draws. Per symbol it is {each}.",
            means[-1][1], f"at the largest depth: {T_METHOD}",
        )
    ]  # fmt: skip


def _order(table: list[Ordered]) -> list[Answer]:
    means = _means(table, "order")
    if not means:
        return []
    said = ", ".join(f"{mean.estimate:.3f} at order {place}" for place, mean in means)
    rising, seeds = rising_with(table, "order")
    exact = all(row["represented_depth"] >= row["order"] + 1 - 1e-9 for row in table)
    return [
        Answer(
            "order/counting", "N_0 DeltaH_a/L against the order of the contexts", "counting",
            "Counting that sees m symbols of the past represents the first m + 1 symbols exactly "
            f"({'seen' if exact else 'NOT seen'} in all runs); its elasticity is {said}, rising at "
            f"every step in {rising} of {seeds} sources.",
            means[-1][1], f"at the largest order: {T_METHOD}",
        )
    ]  # fmt: skip


def _size(table: list[Sized]) -> list[Answer]:
    rows = depth_by_size(table)
    if len(rows) < 2:
        return []
    seeds = sorted({row["seed"] for row in table})

    def slopes(what: Literal["elasticity", "represented_depth"]) -> Interval | None:
        values = []
        for seed in seeds:
            mine = [row for row in table if row["seed"] == seed]
            x = np.log10([row["parameters"] for row in mine])
            values.append(float(np.polyfit(x, [row[what] for row in mine], 1)[0]) if len(mine) > 1 else None)
        return over_seeds(values)

    results = []
    span = f"{rows[0]['parameters']:,} to {rows[-1]['parameters']:,} parameters"
    depths = ", ".join(f"{row['represented_depth']:.2f} at {row['parameters']:,}" for row in rows)
    means = [row["represented_depth"] for row in rows]
    monotone = all(a <= b + 1e-9 for a, b in itertools.pairwise(means))
    elastic = ", ".join(f"{mean.estimate:.3f}" for _, mean in _means(table, "parameters"))
    slope, deeper = slopes("elasticity"), slopes("represented_depth")
    if slope is not None:
        decided = slope.side(
            "falls with size, against scale (F3)",
            "grows with size, as scale (F3) and depth (R10) say",
            "has no decided trend over these seeds",
        )
        results.append(
            Answer(
                "size/transformer", "N_0 DeltaH_a/L per tenfold of parameters", "transformer",
                f"From {span}, trained jointly with one budget, N_0 DeltaH_a/L is {elastic}: {slope} per tenfold "
                f"of parameters; it {decided}.",
                slope, f"line in log10(parameters) per seed; {T_METHOD}",
            )
        )  # fmt: skip
    if deeper is not None:
        results.append(
            Answer(
                "depth-by-size/transformer", "represented depth per tenfold of parameters (Assumption 3.2)", "transformer",
                f"The leading symbols that are coded within {TOLERANCE:g} nats of their law: {depths}; the mean "
                f"depth {'never falls' if monotone else 'falls somewhere'} "
                f"from one size to the next, {deeper} symbols per tenfold.",
                deeper, f"line in log10(parameters) per seed; {T_METHOD}",
            )
        )  # fmt: skip
    return results


def volume_exponents(table: list[Pretrained]) -> list[float | None]:
    """Per seed: the exponent of the elasticity in |D_p|."""
    return [
        exponent(
            [row["k"] for row in table if row["seed"] == seed],
            [row["elasticity"] for row in table if row["seed"] == seed],
        )
        for seed in sorted({row["seed"] for row in table})
    ]


def _volume(table: list[Pretrained]) -> list[Answer]:
    results = []
    for name, setting in dict.fromkeys((row["compressor"], row["setting"]) for row in table):
        mine = [row for row in table if (row["compressor"], row["setting"]) == (name, setting)]
        b = over_seeds(volume_exponents(mine))
        if b is None:
            continue
        said = ", ".join(f"{mean.estimate:.3g} at {place:g}" for place, mean in _means(mine, "k"))
        decided = b.side(
            "falls with |D_p|, as joint compression has it (R11) and against scale (F3)",
            "grows with |D_p|, as scale (F3) says",
            "has no decided trend over these seeds",
            edge=0.05,
        )
        if b.low is not None and b.high is not None and b.low > -0.1 and b.high < 0.1:
            decided = "hardly depends on |D_p|: what forgets does not know how long it was pre-trained (law of forgetting, R19)"
        results.append(
            Answer(
                f"volume/{name}/{setting}", "exponent of DeltaH_a/L in |D_p|", name,
                f"{name}, {setting}: alignment loses {said} nats a unit of D_t as |D_p|/|D_a| grows, an exponent "
                f"of {b}; it {decided}.",
                b, f"least squares of logarithms per seed; {T_METHOD}",
            )
        )  # fmt: skip
    return results


@styled
def figure(summary: Data) -> Figure:
    """What alignment loses against depth (of the tree, contexts, or as represented), above; against pre-training volume, below."""
    drawn, (upper, lower) = two_panels("Elasticity and scale", "Means over seeds.", share=False)
    lines = [("mixture cut to d symbols, α = 1.2", _means(summary["depth"], "depth"), False)]
    lines.append(
        ("counting, order + 1", [(place + 1, mean) for place, mean in _means(summary["order"], "order")], False)
    )
    for index, (label, means, _) in enumerate(lines):
        upper.plot([x for x, _ in means], [y.estimate for _, y in means], **series(index), label=label)
    size = summary["size"]
    if size:
        by_depth = [
            (float(np.mean([row["represented_depth"] for row in size if row["parameters"] == count])), mean.estimate)
            for count, mean in _means(size, "parameters")
        ]
        upper.plot(*zip(*by_depth, strict=True), **series(2), label="transformers, depth represented")
    upper.set(xlabel="depth, symbols", ylabel="N₀ ΔH_a / L, nats")
    upper.legend(frameon=False, fontsize=9)
    groups = list(dict.fromkeys((row["compressor"], row["setting"]) for row in summary["volume"]))
    for index, key in enumerate(groups):
        look = series(index)
        means = _means([row for row in summary["volume"] if (row["compressor"], row["setting"]) == key], "k")
        lower.plot(
            [x for x, _ in means],
            [y.estimate for _, y in means],
            **look,
            markerfacecolor=look["color"] if index < len(STYLES) else "white",
            label=", ".join(key),
        )
    lower.set(xscale="log", yscale="log", xlabel="|D_p| / |D_a|", ylabel="ΔH_a / L, nats")
    plain_ticks(lower.xaxis, dense=True)
    plain_ticks(lower.yaxis, dense=True)
    lower.set_title("ΔH_a / L against |D_p|", fontsize=10)
    handles, labels = lower.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=8, ncols=2)
    return drawn
