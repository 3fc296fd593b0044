"""Study `kernel`: how far does the kernel move in fine-tuning, by width, depth and steps; is it frozen in the wide limit (R21, R25)?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypedDict

from elastomath.interval import Interval
from elastomath.runs.ledger import Configuration, Result
from elastomath.style import plain_ticks, series, styled

from ..cycles.records import Behaved
from ..cycles.sweeps import configurations
from .answers import T_METHOD, Answer, Run, exponent, over_seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONSTANT = 0.05
LIMIT = -0.5
"""The exponent of the turn in the width that the theory of wide networks has (Lee et al. 2019)."""
PRESETS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, int]] = {
    "tiny": ((8, 32), (1, 2), 8, 2),
    "quick": ((16, 32, 64, 128, 256), (1, 2, 4, 8), 64, 6),
    "full": ((16, 32, 64, 128, 256, 512, 1024), (1, 2, 4, 8, 16), 128, 20),
}
"""Widths at depth 2, depths, the width that these have, seeds."""


Size = Literal["width", "depth"]


class Turn(TypedDict):
    """An aligned state: steps, turn of the gradient, |grad z|^2 over the base's, the rise of the contrast, what undoes it."""

    n: int
    turned: float
    kernel: float
    undo_volume: float | None
    forecast_undo_volume: float
    rise: float


class Perceptron(TypedDict):
    """A run."""

    width: int
    depth: int
    seed: int
    ways: list[Turn]


class Data(TypedDict):
    """What the figure is drawn from."""

    rows: list[Perceptron]


def runs(preset: str) -> list[Configuration]:
    """Perceptrons by width at two layers, then by depth at one width, each aligned for 4 to 256 steps and undone."""
    widths, depths, width, seeds = PRESETS[preset]
    shapes = [(w, 2) for w in widths] + [(width, d) for d in depths if (width, d) not in {(w, 2) for w in widths}]
    most = 6 if preset == "tiny" else 8
    sweep: list[Configuration] = []
    for w, d in shapes:
        sweep += configurations(
            "perceptron", source={"name": "behaviour", "alphabet": 2, "length": 5}, settings={"width": w, "depth": d},
            seed=list(range(seeds)),
        )  # fmt: skip
    for configuration in sweep:
        configuration["study"] = {"behaviour": {"constant": CONSTANT, "volumes": [2**i for i in range(2, most + 1, 2)]}}
    return sweep


def answers(rows: list[Run]) -> tuple[list[Answer], Data]:
    """The exponents of the turn in width, depth and steps, and of the forecast's error in the width; a slope for each seed."""
    table = [_perceptron(configuration, record) for configuration, record in rows]
    widest = max(table, key=lambda row: (row["width"], -row["depth"]))
    wide = [row for row in table if row["depth"] == 2]
    deep_width = next(row["width"] for row in table if row["depth"] != 2)
    deep = [row for row in table if row["width"] == deep_width]
    n = widest["ways"][-1]["n"]
    results: list[Answer] = []

    def add(id: str, question: str, value: Interval | None, sentence: str, method: str) -> None:
        if value is not None:
            results.append(Answer(id, question, "perceptron", sentence.format(value=value), value, method))

    by_size: dict[Size, list[Perceptron]] = {"width": wide, "depth": deep}
    for name, members in by_size.items():
        sizes = sorted({row[name] for row in members})
        slope = _slopes(members, name, _turned)
        word = f"; the theory of wide networks has {LIMIT:g}" if name == "width" else ""
        add(
            f"turned/{name}", f"exponent of the turn of the gradient in the {name}", slope,
            f"{name} {sizes[0]:g} to {sizes[-1]:g}: the turn of the gradient after {n} aligned steps goes as {name}^{{value}}{word}.",
            f"least squares over {name}s, then {T_METHOD}",
        )  # fmt: skip
    add(
        "kernel/width", "exponent of the change of |grad z|^2 in the width", _slopes(wide, "width", _moved),
        "the kernel |grad z|^2 itself changes as width^{value}; perturbation theory has -1 (Dyer and Gur-Ari 2020).",
        f"root mean square over steps, least squares over widths, then {T_METHOD}",
    )  # fmt: skip
    steps, rise = (
        over_seeds(
            exponent([way["n"] for way in row["ways"]], [of(way) for way in row["ways"]])
            for row in wide
            if row["width"] == widest["width"]
        )
        for of in (_turn, _rise)
    )
    contrast = f"as steps^{rise}" if rise else "does not rise in every seed and has no exponent"
    add(
        "turned/steps", "exponent of the turn in the steps, the widest network", steps,
        f"width {widest['width']}: from {widest['ways'][0]['n']} to {n} aligned steps the turn grows as steps^{{value}}, the contrast "
        f"{contrast}.",
        f"least squares over steps, then {T_METHOD}",
    )  # fmt: skip
    last = over_seeds([_turned(row) for row in wide if row["width"] == widest["width"]], within=(0.0, 2.0))
    add(
        "turned/widest", "turn of the gradient in the widest network", last,
        f"width {widest['width']}, {n} aligned steps: the gradient has turned by {{value}} of its length.", T_METHOD,
    )  # fmt: skip
    add(
        "undo/width", "exponent of the forecast's error in the width", _slopes(wide, "width", _missed),
        "the error of the undo volume that the base foretells goes as width^{value}; what the size of the steps leaves is in it.",
        f"worst over steps, least squares over widths, then {T_METHOD}",
    )  # fmt: skip
    return results, {"rows": table}


def _perceptron(configuration: Configuration, record: Result) -> Perceptron:
    behaved: Behaved = record["behaviour"]
    ways = [
        Turn(
            n=way["n"], turned=way["turned"], kernel=way["kernel"], undo_volume=way["undo_volume"],
            forecast_undo_volume=way["forecast_undo_volume"], rise=way["z"] - behaved["base"]["z"],
        )
        for way in behaved["ways"]
    ]  # fmt: skip
    settings = configuration["settings"]
    return {"width": settings["width"], "depth": settings["depth"], "seed": configuration["seed"], "ways": ways}


def _turn(way: Turn) -> float:
    return way["turned"]


def _rise(way: Turn) -> float:
    return way["rise"]


def _turned(row: Perceptron) -> float:
    return float(row["ways"][-1]["turned"])


def _moved(row: Perceptron) -> float:
    return math.sqrt(sum((way["kernel"] - 1) ** 2 for way in row["ways"]) / len(row["ways"]))


def _missed(row: Perceptron) -> float | None:
    errors = [abs(w["forecast_undo_volume"] / w["undo_volume"] - 1) for w in row["ways"] if w["undo_volume"]]
    return max(errors, default=None) if len(errors) == len(row["ways"]) else None


def _slopes(rows: list[Perceptron], key: Size, of: Callable[[Perceptron], float | None]) -> Interval | None:
    seeds = sorted({row["seed"] for row in rows})
    mine = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    return over_seeds([exponent([row[key] for row in some], [of(row) for row in some]) for some in mine])


@styled
def figure(summary: Data) -> Figure:
    """How far the gradient of the contrast has turned, a mark a seed: above against the width, below against the steps, by shape."""
    from .study import two_panels

    drawn, (above, below) = two_panels(
        "Does the kernel stand still?", "The turn of the gradient against width and against steps.", share=False
    )
    shapes = sorted({(row["depth"], row["width"]) for row in summary["rows"]})
    for index, depth in enumerate(sorted({depth for depth, _ in shapes})):
        rows = [row for row in summary["rows"] if row["depth"] == depth]
        above.plot(
            [row["width"] for row in rows],
            [_turned(row) for row in rows],
            **series(index, line=False),
            label=f"{depth} layer{'s' if depth > 1 else ''}",
        )
    widths = [width for depth, width in shapes if depth == 2]
    for index, width in enumerate(widths):
        ways = next(row for row in summary["rows"] if (row["depth"], row["width"]) == (2, width))["ways"]
        below.plot([way["n"] for way in ways], [way["turned"] for way in ways], **series(index), label=f"width {width}")
    above.set(xscale="log", yscale="log", xlabel="width", ylabel="turn of the gradient")
    below.set(xscale="log", yscale="log", xlabel="aligned steps n", ylabel="turn of the gradient")
    for panel in (above, below):
        panel.legend(frameon=False, fontsize=8.5, ncols=2)
        for axis in (panel.xaxis, panel.yaxis):
            plain_ticks(axis, dense=True)
    return drawn
