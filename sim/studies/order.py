"""Study `order`: does it matter whether a behaviour was learned early, late or interleaved with the rest of the base (R13, R21)?"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from elastomath.laws.logit import aligned_contrast, fall_volume, replayed_contrast
from elastomath.runs.ledger import Configuration
from elastomath.style import plain_ticks, series, styled

from ..cycles.behaviour import ORDERS
from ..cycles.records import Order
from ..cycles.sweeps import configurations
from .answers import LOG_METHOD, Answer, Run, over_seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONSTANT = 0.05
MIXED, NEUTRAL = "the rest answers the same prompts, half and half", "the rest is neutral text on other prompts"
PRESETS: dict[str, tuple[int, int, tuple[tuple[int, int], ...]]] = {
    "tiny": (1, 2, ((32, 32),)),
    "quick": (3, 12, ((64, 128), (256, 128))),
    "full": (10, 40, ((64, 128), (256, 128), (1024, 128), (256, 512))),
}
"""Seeds of the softmax, seeds of the perceptron, and (steps of the rest, steps of the behaviour)."""


class Group(TypedDict):
    """The runs of a compressor after the same volumes."""

    compressor: str
    rest: str
    past: int
    n: int
    orders: list[Order]


class Data(TypedDict):
    """What the figure is drawn from."""

    groups: list[Group]


def runs(preset: str) -> list[Configuration]:
    """A softmax of one direction and a perceptron; the rest of the base mixed on the same prompts, or neutral on others."""
    exact, trained, volumes = PRESETS[preset]
    sweep: list[Configuration] = []
    for past, volume in volumes:
        for dynamics, settings, neutral in (
            ("softmax", {"features": "ngrams", "order": 1}, False),
            ("perceptron", {"width": 64, "depth": 2}, False),
            ("perceptron", {"width": 64, "depth": 2}, True),
        ):
            some = configurations(
                dynamics, source={"name": "behaviour", "alphabet": 2, "length": 5, "neutral": neutral}, settings=settings,
                seed=list(range(exact if dynamics == "softmax" else trained)),
            )  # fmt: skip
            for configuration in some:
                configuration["study"] = {"order": {"constant": CONSTANT, "past": past, "volume": volume}}
            sweep += some
    return sweep


def forecast(order: Order) -> dict[str, float]:
    """m* of each order by the logit law, from the untrained contrast, where the rest answers the same prompts half and half."""
    z0, k, n, c = order["start"], order["past"], order["n"], order["constant"]

    def mixed(z: float, steps: float, share: float) -> float:
        return float(replayed_contrast(z, steps, c, share))

    def aligned(z: float) -> float:
        return float(aligned_contrast(z, n, c))

    floor = mixed(z0, k, 0.5)
    ends = {
        "early": mixed(aligned(z0), k, 0.5),
        "interleaved": mixed(z0, k + n, (0.5 * k + n) / (k + n)),
        "late": aligned(floor),
    }
    return {name: float(fall_volume(z, max(z - floor, 0.0), c)) for name, z in ends.items()}


def answers(rows: list[Run]) -> tuple[list[Answer], Data]:
    """For each base: m* of the early and of the interleaved behaviour over that of the late one; joint compression has 1."""
    groups: dict[tuple[str, str, int, int], list[Order]] = {}
    for configuration, record in rows:
        order: Order = record["order"]
        rest = NEUTRAL if configuration["source"]["neutral"] else MIXED
        groups.setdefault((configuration["dynamics"], rest, order["past"], order["n"]), []).append(order)
    results: list[Answer] = []
    data: list[Group] = []
    for (name, rest, past, n), orders in groups.items():
        data.append({"compressor": name, "rest": rest, "past": past, "n": n, "orders": orders})
        kind = "neutral" if rest == NEUTRAL else "mixed"
        for which in ("early", "interleaved"):
            value = over_seeds([_over(order, which) for order in orders], logs=True)
            if value is None:
                continue
            extent = ""
            if kind == "mixed":
                law = over_seeds([f[which] / f["late"] for f in map(forecast, orders)], logs=True)
                extent = "" if law is None else f"; the logit law has {law.estimate:.3g}"
            results.append(
                Answer(
                    f"{which}/{name}/{kind}/{past}-{n}", f"Undo volume of the {which} behaviour over that of the late one", name,
                    f"{name}, {past} steps of the rest and {n} of the behaviour, {rest}: learned {which} it is undone by {value} times "
                    f"the opposed steps that undo it when learned last{extent}; joint compression has 1.",
                    value, LOG_METHOD,
                )
            )  # fmt: skip
    return results, {"groups": data}


def _undone(order: Order, which: str) -> float | None:
    return next(row["undo_volume"] for row in order["orders"] if row["order"] == which)


def _over(order: Order, which: str) -> float | None:
    """The quotient of two undo volumes; None where an order was not undone, or the late one left nothing to undo."""
    mine, late = _undone(order, which), _undone(order, "late")
    return None if mine is None or not late else mine / late


@styled
def figure(summary: Data) -> Figure:
    """Opposed steps that undo a behaviour by its place in the base, a mark a seed, a panel for each kind of the rest."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.0, 3.6), layout="constrained")
    drawn.set_label("Does the order of data matter?\nOpposed steps that undo a behaviour, by its place in the base.")
    panels = drawn.subplots(1, 2, sharey=True)
    for panel, rest in zip(panels, (MIXED, NEUTRAL), strict=True):
        for index, group in enumerate(group for group in summary["groups"] if group["rest"] == rest):
            shift = 0.12 * (index - 1)
            points = [
                (place + shift, _undone(order, which))
                for order in group["orders"]
                for place, which in enumerate(ORDERS)
                if _undone(order, which) is not None
            ]
            panel.plot(
                *zip(*points, strict=True),
                **series(index, line=False),
                markersize=4,
                label=f"{group['compressor']}, {group['past']} + {group['n']} steps",
            )
        panel.set_xticks(range(len(ORDERS)), ORDERS)
        panel.set_title(rest, fontsize=9)
        panel.legend(frameon=False, fontsize=7.5)
    panels[0].set(ylabel="opposed steps that undo it")
    plain_ticks(panels[0].yaxis)
    return drawn
