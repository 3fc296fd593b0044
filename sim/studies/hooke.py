"""Study `hooke`: volume times the change of divergence, forward D(P||q) and reverse D(q||P), for each compressor along l."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from elastomath.interval import Interval
from elastomath.runs.ledger import Configuration
from elastomath.style import INK, series, styled

from ..cycles.records import Life
from .answers import T_METHOD, Answer, Run, over_seeds
from .groups import Group, Groups
from .plans import PLANS, forgetting_clock, grouped, joint, sequences
from .study import two_panels
from .volumes import r19

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Force = Literal["forward", "reverse", "effective"]
FORMULAS: dict[Force, str] = {"forward": "D(P||q)", "reverse": "D(q||P)"}


class Row(TypedDict):
    """The imbalance of the forces after l: see `forces`."""

    seed: int
    k: float
    l: float  # noqa: E741 (a key of the saved rows)
    mode: str
    forward: float | None
    reverse: float | None
    effective: float | None


def runs(preset: str) -> list[Configuration]:
    """Joint optima of `constant` and sequences of `volumes` on halves: made once where they share a ledger."""
    plan = PLANS[preset]
    configurations = joint("mixture", plan, "union2", 3 * plan.exact) + joint("softmax", plan, "union2", plan.exact)
    configurations += joint("transformer", plan, "union2", plan.trained)
    ks = plan.ks[-2:-1] if len(plan.ks) > 2 else plan.ks[-1:]
    configurations += sequences("counting", plan, max(2, plan.exact // 2), ks) + sequences(
        "softmax", plan, plan.exact, ks
    )
    return configurations + sequences("transformer", plan, plan.trained, ks)


def forces(configuration: Configuration, record: Life) -> list[Row]:
    """A row for each l > 0 at alignment 1: |sum of forces| over the largest force, forward, reverse, and forward with R19's volumes.

    Forces are ``w_i Delta D`` for D_p and D_a; forward ``Delta D(P_i || q) = DeltaH_i``. 0: equal and opposite; 2: both push the same way.
    """
    entry = next((run for run in record["runs"] if run["volumes"][1] == 1.0), record["runs"][-1])
    k, n, _ = entry["volumes"]
    clock = forgetting_clock(configuration)
    rows: list[Row] = []
    forward, reverse = np.array(entry["entropies"])[:2], entry["reverse"]
    known = reverse is not None and all(value is not None for line in reverse[:2] for value in line)
    back = np.array(reverse[:2], dtype=np.float64) if reverse is not None and known else None
    for index, step in enumerate(entry["perturbations"]):
        if step == 0:
            continue
        row: Row = {
            "seed": configuration["seed"], "k": k, "l": step, "mode": record["mode"],
            "forward": imbalance([k, n], forward[:, index] - forward[:, 0]),
            "reverse": None if back is None else imbalance([k, n], back[:, index] - back[:, 0]), "effective": None,
        }  # fmt: skip
        kappa = r19(k, n, clock) if configuration["dynamics"] == "counting" else None
        if kappa is not None:
            row["effective"] = imbalance([kappa, 1.0], forward[:, index] - forward[:, 0])
        rows.append(row)
    return rows


def imbalance(volumes: Any, changes: Any) -> float | None:
    """``|sum_i w_i d_i| / max_i |w_i d_i|``: 0 for equal and opposite forces, 2 for equal ones; None where nothing moved.

    >>> imbalance([10.0, 1.0], [-0.1, 1.0]), imbalance([10.0, 1.0], [0.1, 1.0])
    (0.0, 2.0)
    """
    pushes = np.asarray(volumes, dtype=np.float64) * np.asarray(changes, dtype=np.float64)
    largest = float(np.abs(pushes).max())
    return float(abs(pushes.sum()) / largest) if largest > 0 else None


def answers(rows: list[Run]) -> tuple[list[Answer], Groups[Row]]:
    """Per compressor and way of training: the imbalance of the forces near rest, forward and reverse, with that at l = 1 beside it."""
    groups: list[Group[Row]] = []
    results: list[Answer] = []
    for (name, setting), members in grouped(rows).items():
        table = [row for member in members for row in forces(*member)]
        if not table:
            continue
        label = f"{name}, {setting}"
        groups.append({"compressor": name, "setting": setting, "rows": table})
        near = min(row["l"] for row in table)
        for direction, formula in FORMULAS.items():
            rest, later = (_at(table, direction, step) for step in (near, 1.0))
            if rest is None:
                continue
            sentence = f"{label}: with {formula} the forces of D_p and D_a leave {rest} of the larger one unbalanced at l = {near:g}"
            sentence += f" and {later} at l = 1: " if later is not None else ": "
            sentence += balance(rest, near)
            effective = _at(table, "effective", near) if direction == "forward" else None
            if effective is not None:
                sentence += f" With the volumes of the law of forgetting (R19) in place of the nominal ones {effective} is left."
            results.append(
                Answer(
                    f"{direction}/{name}/{setting}",
                    f"imbalance of forces near rest, {formula}",
                    name,
                    sentence,
                    rest,
                    f"mean over k, then {T_METHOD}",
                )
            )
    return results, {"groups": groups}


def balance(imbalance: Interval, near: float) -> str:
    """Whether forces are opposite at the smallest perturbation l, by the interval of the imbalance: a balance that is exact in the
    limit leaves about l there, so that below 2 l they are, above they are not.
    """
    limit = 2 * near
    if imbalance.high is not None and imbalance.high < limit:
        return "equal and opposite near rest."
    if imbalance.low is not None and imbalance.low > limit:
        return "not equal and opposite at the smallest perturbation tried."
    return "these seeds do not decide whether they are equal and opposite near rest."


def _at(table: list[Row], what: Force, step: float) -> Interval | None:
    values = []
    for seed in sorted({row["seed"] for row in table}):
        rows = [row for row in table if row["seed"] == seed and row["l"] == step]
        known = [force for row in rows if (force := row[what]) is not None]
        values.append(float(np.mean(known)) if known and len(known) == len(rows) else None)
    return over_seeds(values, within=(0.0, 2.0))


@styled
def figure(summary: Groups[Row]) -> Figure:
    """The imbalance of the forces along l, forward above and reverse below, for each compressor and way of training (means)."""
    drawn, panels = two_panels(
        "Are the forces equal and opposite?", "|sum of forces| over the largest; 0 is Hooke's balance."
    )
    chosen: dict[tuple[str, str], Group[Row]] = {}
    for group in summary["groups"]:
        key = (group["compressor"], group["rows"][0]["mode"])
        if key not in chosen or group["setting"].startswith(("forgetting 0.2", "rate 0.002")):
            chosen[key] = group
    for panel, what in zip(panels, FORMULAS, strict=True):
        for index, ((name, mode), group) in enumerate(chosen.items()):
            steps = sorted({row["l"] for row in group["rows"] if row[what] is not None})
            means = [
                float(
                    np.mean([force for row in group["rows"] if row["l"] == step and (force := row[what]) is not None])
                )
                for step in steps
            ]
            label = f"{name}, {'in sequence' if mode == 'sequential' else 'joint optimum'}"
            panel.plot(steps, means, **series(index), label=label)
        panel.axhline(0.0, color=INK, linewidth=0.8)
        panel.set(ylabel="|sum| / largest", ylim=(-0.05, 2.05))
        panel.set_title("forward: D(P_i || q)" if what == "forward" else "reverse: D(q || P_i), as printed")
    panels[1].set(xlabel="l = |D_t| / |D_a|")
    handles, labels = panels[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=9, ncols=2)
    return drawn
