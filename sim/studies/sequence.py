"""Study `sequence`: do the gradients of the base foretell fine-tuning in sequence (R21, R25), and what does the network's width do?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elastomath.runs.ledger import Configuration
from elastomath.style import INK, STYLES, plain_ticks, styled

from ..cycles.sweeps import configurations
from .answers import T_METHOD, Answer, exponent, over_seeds
from .plans import sized

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = (
    "Sequence: do two gradients of the base foretell how far a behaviour is aligned by gradient descent, and how many opposed "
    "steps undo it?"
)
CONSTANT = 0.02
"""c of the logit law at the base, per step: small, so that what is seen is the law and not the size of the steps."""
FROZEN, MOVING = "one direction", "a direction for each last word"
"""The softmax by what it can tell apart: nothing of the prompt, so that the behaviour is one direction; the prompt's last symbol."""
PRESETS: dict[str, tuple[int, tuple[int, ...], int]] = {
    "tiny": (2, (8, 12), 1),
    "quick": (4, (8, 16, 32, 64), 3),
    "full": (20, (8, 16, 32, 64, 128), 10),
}
"""Seeds of the softmax, widths of the transformers, and their seeds."""


def runs(preset: str) -> list[Configuration]:
    """A softmax with one direction, one with several, and transformers by width, each aligned and undone."""
    exact, widths, trained = PRESETS[preset]
    most = 5 if preset == "tiny" else 12
    made: list[Configuration] = []
    made += configurations(
        "softmax", source={"name": "behaviour", "alphabet": 2, "length": 4}, settings={"features": "ngrams"},
        settings__order=[1, 2], seed=list(range(exact)),
    )  # fmt: skip
    for configuration in made:
        configuration["study"] = {"behaviour": {"constant": CONSTANT, "volumes": _volumes(most)}}
    for width in widths:
        some = configurations(
            "transformer", source={"name": "behaviour", "alphabet": 4, "length": 3}, settings={"dtype": "float64"},
            seed=list(range(trained)),
        )  # fmt: skip
        some = sized(some, {"width": width, "layers": 2, "heads": 2, "inner": 4 * width})
        for configuration in some:
            configuration["study"]["behaviour"] = {"constant": CONSTANT, "volumes": _volumes(min(most, 11), 2)}
        made += some
    return made


def _volumes(most: int, stride: int = 1) -> list[int]:
    return [2**i for i in range(3, most + 1, stride)]


def answers(rows: list[tuple[Configuration, dict[str, Any]]]) -> tuple[list[Answer], dict[str, Any]]:
    """Per compressor: the largest error of the forecast contrast and undo volume, and how far the kernel moved; then by width."""
    groups: dict[tuple[str, str], list[tuple[Configuration, dict[str, Any]]]] = {}
    for configuration, record in rows:
        groups.setdefault((configuration["dynamics"], _setting(configuration)), []).append((configuration, record))
    answers, data = [], []
    for (name, setting), members in groups.items():
        seeds = [_errors(record["behaviour"]) for _, record in members]
        undo, contrast, drift = (over_seeds([seed[key] for seed in seeds], within=(0.0, np.inf)) for key in KEYS)
        label = f"{name}, {setting}"
        largest = members[0][1]["behaviour"]["ways"][-1]["n"]
        ways = [
            {
                "n": way["n"],
                "undo_volume": way["undo_volume"],
                "forecast": way["forecast_undo_volume"],
                "seed": configuration["seed"],
            }
            for configuration, record in members
            for way in record["behaviour"]["ways"]
        ]
        data.append({"compressor": name, "setting": setting, "ways": ways, "undo": [seed["undo"] for seed in seeds]})
        if undo is None or contrast is None or drift is None:
            continue
        answers.append(
            Answer(
                f"undo/{name}/{setting}",
                f"largest relative error of the forecast undo volume, n up to {largest}",
                name,
                f"{label}: the opposed steps that undo 8 to {largest} aligned ones were foretold to {undo} at worst over n, the "
                f"contrast to {contrast} of its rise; the kernel |grad z|^2 moved by {drift}.",
                undo,
                f"worst over n, then {T_METHOD}",
            )
        )
    return answers + _by_width(data), {"groups": data}


KEYS = ("undo", "contrast", "drift")


def _errors(behaviour: dict[str, Any]) -> dict[str, float | None]:
    """The worst over n of the errors of m* and of z (over its rise), and of the change of the kernel."""
    start, ways = behaviour["base"]["z"], behaviour["ways"]
    undone = [abs(way["forecast_undo_volume"] / way["undo_volume"] - 1) for way in ways if way["undo_volume"]]
    return {
        "undo": max(undone, default=None),
        "contrast": max(abs(way["forecast_z"] - way["z"]) / (way["z"] - start) for way in ways),
        "drift": max(abs(way["kernel"] - 1) for way in ways),
    }


def _by_width(groups: list[dict[str, Any]]) -> list[Answer]:
    """The exponent of the error in the width of the transformer, a slope for each seed."""
    wide = [group for group in groups if group["compressor"] == "transformer"]
    if len(wide) < 2:
        return []
    widths = [float(group["setting"].split()[1]) for group in wide]
    count = min(len(group["undo"]) for group in wide)
    slope = over_seeds([exponent(widths, [group["undo"][seed] for group in wide]) for seed in range(count)])
    if slope is None:
        return []
    return [
        Answer(
            "width/transformer",
            "exponent of the error of the undo volume in the width",
            "transformer",
            f"transformer: from width {widths[0]:g} to {widths[-1]:g} the error of the forecast goes as width^{slope}: the wider the "
            "network, the nearer its base is to the law.",
            slope,
            f"least squares over widths, then {T_METHOD}",
        )
    ]


def _setting(configuration: Configuration) -> str:
    if configuration["dynamics"] == "softmax":
        return FROZEN if configuration["settings"]["order"] == 1 else MOVING
    return f"width {configuration['study']['size']['width']}"


@styled
def figure(found: dict[str, Any]) -> Figure:
    """Above: steps that undo n aligned ones, seen and foretold; below: the error of the forecast against the width."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.0, 6.3), layout="constrained")
    drawn.set_label(
        "Foretold from two gradients\nOpposed steps that undo n aligned ones in the simulator, and the error by width."
    )
    above, below = drawn.subplots(2, 1)
    for index, group in enumerate(found["groups"]):
        colour, marker, _ = STYLES[index % len(STYLES)]
        first = [way for way in group["ways"] if way["seed"] == group["ways"][0]["seed"] and way["undo_volume"]]
        above.plot([way["n"] for way in first], [way["undo_volume"] for way in first], color=colour, marker=marker, linestyle="none",
                   label=f"{group['compressor']}, {group['setting']}")  # fmt: skip
    first = [way for way in found["groups"][0]["ways"] if way["seed"] == found["groups"][0]["ways"][0]["seed"]]
    above.plot(
        [way["n"] for way in first], [way["forecast"] for way in first], color=INK, linewidth=1.0, label="foretold"
    )
    above.set(xscale="log", yscale="log", xlabel="aligned steps n", ylabel="opposed steps that undo them")
    above.legend(frameon=False, fontsize=8.5, ncols=2)
    wide = [group for group in found["groups"] if group["compressor"] == "transformer"]
    for group in wide:
        width = float(group["setting"].split()[1])
        errors = [error for error in group["undo"] if error]
        below.plot([width] * len(errors), errors, color=STYLES[0][0], marker="o", linestyle="none")
    below.set(xscale="log", yscale="log", xlabel="width of the transformer", ylabel="error of the forecast")
    for axis in (above.xaxis, above.yaxis, below.xaxis, below.yaxis):
        plain_ticks(axis, dense=True)
    return drawn
