"""Study `sequence`: do the gradients of the base foretell fine-tuning in sequence (R21, R25), and what does the network's width do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

from elastomath.interval import Interval
from elastomath.runs.ledger import Configuration
from elastomath.style import INK, STYLES, plain_ticks, series, styled

from ..compressors.networks import SIZES, NetworkSize
from ..cycles.records import Behaved
from ..cycles.sweeps import configurations
from .answers import T_METHOD, Answer, Run, exponent, over_seeds
from .plans import sized

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONSTANT = 0.02
"""c of the logit law at the base, per step: small, so that what is seen is the law and not the size of the steps."""
FROZEN, MOVING = "one direction", "a direction for each last word"
"""The softmax by what it can tell apart: nothing of the prompt, so that the behaviour is one direction; the prompt's last symbol."""
ALPHABET, LENGTH = 4, 3
PRESETS: dict[str, tuple[int, tuple[int | str, ...], range]] = {
    "tiny": (2, (8, 12), range(1)),
    "quick": (4, (8, 16, 32, "50k", 64), range(3, 8)),
    "full": (20, (8, 16, 32, "50k", 64, 128), range(3, 13)),
}
"""Seeds of the softmax, widths of the transformers or the name of one (`SIZES`), and their seeds.

The first interval of the exponent in the width was settled on seeds 0 to 2: those are not among the seeds that it is told of.
"""


class Errors(TypedDict):
    """The worst over n of one seed: see `_errors`."""

    undo: float | None
    contrast: float
    drift: float
    turned: float


class Foretold(TypedDict):
    """What undoes n aligned steps, and what two gradients of the base foretold."""

    n: int
    undo_volume: float | None
    forecast: float
    seed: int


class Group(TypedDict):
    """The runs of a compressor in one setting, and their errors, a number a seed."""

    compressor: str
    setting: str
    ways: list[Foretold]
    undo: list[float | None]
    contrast: list[float]
    drift: list[float]
    turned: list[float]
    width: NotRequired[int]


class Data(TypedDict):
    """What the figure is drawn from."""

    groups: list[Group]


def runs(preset: str) -> list[Configuration]:
    """A softmax with one direction, one with several, and transformers by width, each aligned and undone."""
    exact, widths, trained = PRESETS[preset]
    most = 5 if preset == "tiny" else 12
    sweep: list[Configuration] = []
    sweep += configurations(
        "softmax", source={"name": "behaviour", "alphabet": 2, "length": 4}, settings={"features": "ngrams"},
        settings__order=[1, 2], seed=list(range(exact)),
    )  # fmt: skip
    for configuration in sweep:
        configuration["study"] = {"behaviour": {"constant": CONSTANT, "volumes": _volumes(most)}}
    for width in widths:
        some = configurations(
            "transformer", source={"name": "behaviour", "alphabet": ALPHABET, "length": LENGTH}, settings={"dtype": "float64"},
            seed=list(trained),
        )  # fmt: skip
        some = sized(
            some, width if isinstance(width, str) else {"width": width, "layers": 2, "heads": 2, "inner": 4 * width}
        )
        for configuration in some:
            behaviour = {"constant": CONSTANT, "volumes": _volumes(min(most, 11), 2)}
            configuration.setdefault("study", {})["behaviour"] = behaviour
        sweep += some
    return sweep


def _volumes(most: int, stride: int = 1) -> list[int]:
    return [2**i for i in range(3, most + 1, stride)]


def answers(rows: list[Run]) -> tuple[list[Answer], Data]:
    """Per compressor: the largest error of the forecast contrast and undo volume, and how far the kernel moved; then by width."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for configuration, record in rows:
        groups.setdefault((configuration["dynamics"], _setting(configuration)), []).append((configuration, record))
    answers: list[Answer] = []
    data: list[Group] = []
    for (name, setting), members in groups.items():
        seeds = [_errors(record["behaviour"]) for _, record in members]
        undo = over_seeds([seed["undo"] for seed in seeds], within=(0.0, np.inf))
        contrast = over_seeds([seed["contrast"] for seed in seeds], within=(0.0, np.inf))
        drift = over_seeds([seed["drift"] for seed in seeds], within=(0.0, np.inf))
        turned = over_seeds([seed["turned"] for seed in seeds], within=(0.0, np.inf))
        label = f"{name}, {setting}"
        largest = members[0][1]["behaviour"]["ways"][-1]["n"]
        ways: list[Foretold] = [
            {
                "n": way["n"],
                "undo_volume": way["undo_volume"],
                "forecast": way["forecast_undo_volume"],
                "seed": configuration["seed"],
            }
            for configuration, record in members
            for way in record["behaviour"]["ways"]
        ]
        group: Group = {
            "compressor": name, "setting": setting, "ways": ways, "undo": [seed["undo"] for seed in seeds],
            "contrast": [seed["contrast"] for seed in seeds], "drift": [seed["drift"] for seed in seeds],
            "turned": [seed["turned"] for seed in seeds],
        }  # fmt: skip
        if name == "transformer":
            group["width"] = _size(members[0][0]).width
        data.append(group)
        if undo is None or contrast is None or drift is None or turned is None:
            continue
        answers.append(
            Answer(
                f"undo/{name}/{setting}",
                f"largest relative error of the forecast undo volume, n up to {largest}",
                name,
                f"{label}: the opposed steps that undo 8 to {largest} aligned ones were foretold to {undo} at worst over n, the "
                f"contrast to {contrast} of its rise; the kernel |grad z|^2 moved by {drift}, its gradient turned by {turned}.",
                undo,
                f"worst over n, then {T_METHOD}",
            )
        )
    return answers + _by_width(data), {"groups": data}


def _errors(behaviour: Behaved) -> Errors:
    """The worst over n of the errors of m* and of z (over its rise), of the change of the kernel, and of the gradient's turn.

    No worst error of m* where an alignment was not undone.
    """
    start, ways = behaviour["base"]["z"], behaviour["ways"]
    undone = [abs(way["forecast_undo_volume"] / way["undo_volume"] - 1) for way in ways if way["undo_volume"]]
    return {
        "undo": max(undone, default=None) if len(undone) == len(ways) else None,
        "contrast": max(abs((way["forecast_z"] - way["z"]) / (way["z"] - start)) for way in ways),
        "drift": max(abs(way["kernel"] - 1) for way in ways),
        "turned": max(way["turned"] for way in ways),
    }


SLOPE = f"least squares over widths for each seed, then {T_METHOD}"


def _slope(widths: list[float], values: Sequence[Sequence[float | None]]) -> Interval | None:
    """The exponent in the width, a slope for each seed; values by width and seed; None where one is missing or not above 0.

    Seeds differ in their slopes by more than their points scatter about them: what is left of all points together, as if each were
    one of its own, says less than the slopes of the seeds.
    """
    return over_seeds(exponent(widths, seed) for seed in zip(*values, strict=True))


def _by_width(groups: list[Group]) -> list[Answer]:
    """The exponents of the error and of the gradient's turn in the width of the transformer, a slope for each seed."""
    wide = [group for group in groups if group["compressor"] == "transformer"]
    if len(wide) < 2:
        return []
    widths = [float(group["width"]) for group in wide]
    slope, turn = _slope(widths, [group["undo"] for group in wide]), _slope(widths, [group["turned"] for group in wide])
    if slope is None or turn is None:
        return []
    return [
        Answer(
            "turned/transformer",
            "exponent of the turn of the gradient in the width",
            "transformer",
            f"transformer: from width {widths[0]:g} to {widths[-1]:g} the gradient of the contrast turns as width^{turn} (frozen at "
            "infinite width: -0.5).",
            turn,
            SLOPE,
        ),
        Answer(
            "width/transformer",
            "exponent of the error of the undo volume in the width",
            "transformer",
            f"transformer: from width {widths[0]:g} to {widths[-1]:g} the error of the forecast goes as width^{slope}: "
            f"{slope.side('the wider the network, the better', 'the wider, the worse', 'no decided trend')}.",
            slope,
            SLOPE,
        ),
    ]


def _setting(configuration: Configuration) -> str:
    if configuration["dynamics"] == "softmax":
        return FROZEN if configuration["settings"]["order"] == 1 else MOVING
    size = _size(configuration)
    return f"width {size.width}, {size.parameters(ALPHABET, LENGTH):,} parameters"


def _size(configuration: Configuration) -> NetworkSize:
    given = configuration["study"].get("size")
    return SIZES[configuration["settings"]["size"]] if given is None else NetworkSize(**given)


@styled
def figure(summary: Data) -> Figure:
    """Above: steps that undo n aligned ones, seen and foretold; below: the error of the forecast against the width."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.0, 6.3), layout="constrained")
    drawn.set_label(
        "Foretold from two gradients\nOpposed steps that undo n aligned ones in the simulator, and the error by width."
    )
    above, below = drawn.subplots(2, 1)
    for index, group in enumerate(summary["groups"]):
        first = [way for way in group["ways"] if way["seed"] == group["ways"][0]["seed"] and way["undo_volume"]]
        above.plot(
            [way["n"] for way in first],
            [way["undo_volume"] for way in first],
            **series(index, line=False),
            label=f"{group['compressor']}, {group['setting']}",
        )
    first = [way for way in summary["groups"][0]["ways"] if way["seed"] == summary["groups"][0]["ways"][0]["seed"]]
    above.plot(
        [way["n"] for way in first], [way["forecast"] for way in first], color=INK, linewidth=1.0, label="foretold"
    )
    above.set(xscale="log", yscale="log", xlabel="aligned steps n", ylabel="opposed steps that undo them")
    above.legend(frameon=False, fontsize=8.5, ncols=2)
    wide = [group for group in summary["groups"] if group["compressor"] == "transformer"]
    for group in wide:
        width = group["width"]
        errors = [error for error in group["undo"] if error]
        below.plot([width] * len(errors), errors, color=STYLES[0][0], marker="o", linestyle="none")
    below.set(xscale="log", yscale="log", xlabel="width of the transformer", ylabel="error of the forecast")
    for axis in (above.xaxis, above.yaxis, below.xaxis, below.yaxis):
        plain_ticks(axis, dense=True)
    return drawn
