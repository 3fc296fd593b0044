"""Study `constant`: -DeltaH_a/(k DeltaH_p) and the residual at joint optima, against R18, R8 and R5."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from elastomath import finite_law
from elastomath.laws.theorem import mixture_theta_bounds, theta_bounds
from elastomath.runs.ledger import Configuration
from elastomath.style import INK, series, styled

from ..cycles.records import Life
from .answers import SHARE, T_METHOD, Answer, Run, over_seeds
from .plans import PLANS, joint
from .study import two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDING = 1e-6
"""Relative slack of the bounds: a change of 1e-10 nats has lost its last digits."""
PARTS = {"union2": (0.5, 0.5), "union": (1 / 3, 1 / 3)}


class Row(TypedDict):
    """A reading at l > 0: the constant between the law's ends, the residual over R5's bound; see `readings`."""

    compressor: str
    source: str
    seed: int
    k: float
    l: float  # noqa: E741 (a key of the saved rows)
    signs: bool
    theta: float | None
    residual: float
    low: float | None
    high: float | None
    inside: bool | None


class Data(TypedDict):
    """What the figure is drawn from."""

    table: list[Row]


def runs(preset: str) -> list[Configuration]:
    """Joint optima of mixture, softmax and transformer on a union of two halves (R18) and of three parts (R8)."""
    plan, configurations = PLANS[preset], []
    for source in PARTS:
        configurations += joint("mixture", plan, source, 3 * plan.exact)
        configurations += joint("softmax", plan, source, plan.exact)
    configurations += joint("transformer", plan, "union2", plan.trained)
    return configurations if preset == "tiny" else configurations + joint("transformer", plan, "union", 1)


def readings(configuration: Configuration, record: Life) -> list[Row]:
    """A row for each l > 0 of a run: the constant between R18's (R8's) ends, the residual over R5's bound.

    For three parts R is read at the same l: ``DeltaH_1 = 3 DeltaH_p - DeltaH_a - DeltaH_t`` (rates are linear in the data), so
    ``R = (1/3) DeltaH_1/DeltaH_a``, and R8's finite form is R18 with R; it needs DeltaH_a > 0.
    """
    entry, source = record["runs"][0], configuration["source"]["name"]
    k, steps, rates = entry["volumes"][0], np.array(entry["perturbations"]), np.array(entry["entropies"])
    law, change = finite_law(steps, [k, 1.0], rates), rates - rates[:, :1]
    rows: list[Row] = []
    for index in range(1, steps.size):
        pretrain, align, perturb = (float(value) for value in change[:, index])
        row: Row = {
            "compressor": configuration["dynamics"], "source": source, "seed": configuration["seed"], "k": k,
            "l": float(steps[index]), "signs": pretrain < 0 < align, "theta": -align / (k * pretrain) if pretrain else None,
            "residual": float(law.ratio[index]), "low": None, "high": None, "inside": None,
        }  # fmt: skip
        if align > 0:
            further = 0.0 if source == "union2" else (3 * pretrain - align - perturb) / (3 * align)
            bounds = theta_bounds(k, float(steps[index]), parts=PARTS[source], further=further)
            row["low"], row["high"] = (end if np.isfinite(end) else None for end in (bounds.low, bounds.high))
            row["inside"] = _inside(row, bounds.low, bounds.high)
            if configuration["dynamics"] == "mixture" and source == "union2":
                best = mixture_theta_bounds(k, float(steps[index]))
                row["inside"] = row["inside"] and _inside(row, best.low, best.high)
        rows.append(row)
    return rows


def _inside(row: Row, low: float, high: float) -> bool:
    """Whether the constant lies between the ends, to rounding; where the path may pass the threshold they are infinite."""
    theta = row["theta"]
    return theta is not None and low - ROUNDING * abs(low) <= theta <= high + ROUNDING * abs(high)


def answers(rows: list[Run]) -> tuple[list[Answer], Data]:
    """Per compressor: the constant at l = 1/2 and the largest k (halves), the residual at l = 1; R18's, R8's and R5's ends held or not."""
    table = [reading for row in rows for reading in readings(*row)]
    results = []
    for name in ("mixture", "softmax", "transformer"):
        mine = [row for row in table if row["compressor"] == name]
        if not mine:
            continue
        halves, thirds = ([row for row in mine if row["source"] == source] for source in PARTS)
        k = max(row["k"] for row in mine)
        chosen = [row for row in halves if row["k"] == k and row["l"] == 0.5]
        theta = over_seeds(row["theta"] for row in chosen)
        inside, signs = sum(bool(row["inside"]) for row in halves), sum(row["signs"] for row in halves)
        ceiling = "1 to 1 + 2L/k over 1 - L" + (", and for mixtures the best constants" if name == "mixture" else "")
        if theta is not None:
            results.append(
                Answer(
                    f"theta/{name}", "the constant at l = 1/2, P_p = (P_a + P_t)/2", name,
                    f"At joint optima of the {name} -DeltaH_a/(k DeltaH_p) is {theta} at l = 1/2, k = {k:g}; "
                    f"{inside} of {len(halves)} readings lie "
                    f"within the ends of the theorem made true (R18: {ceiling}), with the theorem's signs in {signs} of them.",
                    theta, f"{T_METHOD}, {len(chosen)} seeds; the theorem made true (R18) is checked at every k, l and seed",
                )
            )  # fmt: skip
        last = [row for row in halves if row["k"] == k and row["l"] == 1.0]
        residual = over_seeds(row["residual"] for row in last)
        low, high = min(row["residual"] for row in mine), max(row["residual"] for row in mine)
        within = low >= -ROUNDING and high <= (0.5 if name == "mixture" else 1.0) + ROUNDING
        if residual is not None:
            results.append(
                Answer(
                    f"residual/{name}", "what the balance leaves over at l = 1, over the bound of the finite law (R5)", name,
                    f"The residual of the {name} is {residual} of the bound of the finite law (R5) at l = 1, k = {k:g}; over all "
                    f"{len(mine)} readings it goes from {low:.3g} "
                    f"to {high:.3g}, so the finite law {'holds' if within else 'FAILS'} (0 to "
                    f"{'1/2 for mixtures' if name == 'mixture' else '1'}).",
                    residual, f"{T_METHOD}, {len(last)} seeds",
                )
            )  # fmt: skip
        judged = [row for row in thirds if row["inside"] is not None]
        right = over_seeds(
            [float(np.mean([row["signs"] for row in thirds if row["seed"] == seed])) for seed in _seeds(thirds)],
            within=SHARE,
        )
        if right is not None:
            inside = sum(bool(row["inside"]) for row in judged)
            alone = "" if right.estimate == 1 else ": the union alone does not give them"
            results.append(
                Answer(
                    f"signs/{name}", "the theorem's signs on a union of three parts, share of readings", name,
                    f"On a union of three parts the {name} has the signs of Thm 4.2 in a share {right} of the "
                    f"readings (l up to 1){alone}. "
                    f"Where DeltaH_a > 0, {inside} of {len(judged)} readings lie within the ends of the union law (R8) with "
                    "R read at the same l.",
                    right, f"{T_METHOD}, {len(_seeds(thirds))} seeds",
                )
            )  # fmt: skip
    return results, {"table": table}


def _seeds(table: list[Row]) -> list[int]:
    return sorted({row["seed"] for row in table})


@styled
def figure(summary: Data) -> Figure:
    """Above, the constant on a union of halves; below, what the balance leaves over, in parts of the finite law's bound. Lines: means."""
    drawn, (upper, lower) = two_panels(
        "Constant and residual at joint optima", "P_p = (P_a + P_t)/2; means over seeds."
    )
    table = [row for row in summary["table"] if row["source"] == "union2"]
    k = max(row["k"] for row in table)
    table = [row for row in table if row["k"] == k]
    steps = sorted({row["l"] for row in table})
    for index, name in enumerate(sorted({row["compressor"] for row in table})):
        mine = [[row for row in table if row["compressor"] == name and row["l"] == step] for step in steps]
        finite = [[row["theta"] for row in rows if row["theta"] is not None and row["l"] < 1] for rows in mine]
        shown = [(step, float(np.mean(values))) for step, values in zip(steps, finite, strict=True) if values]
        upper.plot(*zip(*shown, strict=True), **series(index), label=name)
        means = [float(np.mean([row["residual"] for row in rows])) for rows in mine]
        lower.plot(steps, means, **series(index), label=name)
    fine = np.linspace(0.0, max(step for step in steps if step < 1), 50)
    upper.plot(fine, (1 + 2 * fine / k) / (1 - fine), color=INK, linestyle="--", linewidth=0.8)
    upper.axhline(1.0, color=INK, linestyle="--", linewidth=0.8)
    upper.set(ylabel="−ΔH_a / (k ΔH_p)")
    upper.set_title(f"the constant at k = {k:g}; dashed: ends of the theorem made true (R18)")
    upper.legend(frameon=False, fontsize=9)
    for bound in (0.0, 0.5, 1.0):
        lower.axhline(bound, color=INK, linewidth=0.8, linestyle="-" if bound == 0 else "--")
    lower.set(ylabel="residual / bound", xlabel="l = |D_t| / |D_a|")
    lower.set_title("what is left over, of the finite law's bound (R5): 0 to 1, mixtures to 1/2")
    return drawn
