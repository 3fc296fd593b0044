"""Study `replay`: how much of the past has to be replayed beside a perturbation until it does what joint compression says (R13, R21)?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from elastomath.runs.ledger import Configuration
from elastomath.style import INK, plain_ticks, series, styled

from ..cycles.records import Mix, Replay
from ..cycles.sweeps import configurations
from .answers import LOG_METHOD, T_METHOD, Answer, Run, over_seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONSTANT = 0.05
ROUNDING = 1e-6
"""Nats between two contrasts that are the same: rest at the contrast of the base undoes nothing."""
ALIGNED = (0.0, 0.2, 0.3, 0.4, 0.44, 0.46, 0.47, 0.48, 0.49, 0.5, 0.6)
PRETRAINED = (0.25, 0.5, 0.75)
PRESETS: dict[str, tuple[int, int, int]] = {"tiny": (1, 1, 64), "quick": (4, 6, 256), "full": (20, 20, 1024)}
"""Seeds of the softmax, seeds of the perceptron, aligned steps."""
SETTINGS: dict[str, tuple[str, Configuration]] = {
    "one direction": ("softmax", {"features": "ngrams", "order": 1}),
    "a direction for each last word": ("softmax", {"features": "ngrams", "order": 2}),
    "two layers of 64": ("perceptron", {"width": 64, "depth": 2}),
}


class Group(TypedDict):
    """The runs of a compressor."""

    compressor: str
    setting: str
    replays: list[Replay]


class Data(TypedDict):
    """What the figure is drawn from."""

    groups: list[Group]


def runs(preset: str) -> list[Configuration]:
    """A softmax of one direction, one of several, and a perceptron: aligned, then perturbed beside each replay."""
    exact, trained, volume = PRESETS[preset]
    mixes = [["align", r] for r in ALIGNED] + [["pretrain", r] for r in PRETRAINED] + [["past", 0.0]]
    if preset == "tiny":
        mixes = [["align", 0.0], ["align", 0.25], ["align", 0.5], ["pretrain", 0.5], ["past", 0.0]]
    sweep: list[Configuration] = []
    for dynamics, settings in SETTINGS.values():
        some = configurations(
            dynamics, source={"name": "behaviour", "alphabet": 2, "length": 4}, settings=settings,
            seed=list(range(exact if dynamics == "softmax" else trained)),
        )  # fmt: skip
        for configuration in some:
            configuration["study"] = {
                "replay": {"constant": CONSTANT, "volume": volume, "past": float(volume), "mixes": mixes}
            }
        sweep += some
    return sweep


TIMES = ("none", "past", "speed")
"""The answers that say how many times as large one number is as another: their means are geometric."""


def setting_of(configuration: Configuration) -> str:
    """Which of `SETTINGS` a run has."""
    given = configuration["settings"].items()
    return next(
        name
        for name, (dynamics, settings) in SETTINGS.items()
        if dynamics == configuration["dynamics"] and settings.items() <= given
    )


def law_volume(replay: Replay, share: float) -> float:
    """``m* = [D + ln(1 + r a (1 - e^-D))/r]/c``, the opposed steps of `needed_rise` turned round; infinite for r >= p_0."""
    height, p = replay["z"] - replay["z0"], replay["p0"]
    if share >= p:
        return math.inf
    a, gone = (1 - p) / (p - share), -math.expm1(-height)
    scaled = a * gone if share == 0 else math.log1p(share * a * gone) / share
    return float((height + scaled) / replay["constant"])


def joint_volume(replay: Replay) -> float:
    """``n (1 - p_0)/p_0``: what undoes n aligned steps under joint compression (R13)."""
    return float(replay["n"] * (1 - replay["p0"]) / replay["p0"])


def restoring_share(replay: Replay, ratio: float = 1.0) -> float | None:
    """The share of aligned data at which ``ratio`` times the law's m* is that of joint compression; None where 0 is enough."""
    from scipy.optimize import brentq

    def miss(share: float) -> float:
        return joint_volume(replay) / law_volume(replay, share) - ratio

    top = replay["p0"] * (1 - 1e-12)
    return None if miss(0.0) <= 0 or miss(top) >= 0 else float(brentq(miss, 0.0, top))


def answers(rows: list[Run]) -> tuple[list[Answer], Data]:
    """For each compressor: m* without replay over the joint law's, the share that restores it, the whole past, rest and speed."""
    groups: dict[str, list[tuple[Configuration, Replay]]] = {}
    for configuration, record in rows:
        groups.setdefault(setting_of(configuration), []).append((configuration, record["replay"]))
    results: list[Answer] = []
    data: list[Group] = []
    for setting, members in groups.items():
        name, label = members[0][0]["dynamics"], f"{members[0][0]['dynamics']}, {setting}"
        replays = [replay for _, replay in members]
        n, ids = replays[0]["n"], f"{name}/{setting}"
        data.append({"compressor": name, "setting": setting, "replays": replays})

        def add(id: str, question: str, values: list[float | None], sentence: str, name: str = name) -> None:
            times = id.partition("/")[0] in TIMES
            value = over_seeds(values, logs=times)
            if value is not None:
                method = LOG_METHOD if times else T_METHOD
                results.append(Answer(id, question, name, sentence.format(value=value), value, method))

        add(
            f"none/{ids}", "Undo volume without replay, times that of joint compression",
            [_over(_mix(r, "align", 0.0)["undo_volume"], joint_volume(r)) for r in replays],
            f"{label}: without a replay {n} aligned steps are undone by {{value}} of the opposed steps that joint compression needs.",
        )  # fmt: skip
        add(
            f"share/{ids}", "Share of aligned data in the mix at which the undo volume is the joint law's",
            [_restoring(r) for r in replays],
            f"{label}: a share of {{value}} of aligned data in the mix brings the undo volume up to the joint law's; "
            f"{_law_share(replays)} by the logit law.",
        )  # fmt: skip
        add(
            f"past/{ids}", "Undo volume when all that was seen is replayed in proportion, times that of joint compression",
            [_over(_mix(r, "past", 0.0)["undo_volume"], joint_volume(r)) for r in replays],
            f"{label}: with everything seen so far replayed in proportion to its volume, {{value}} of the joint law's undo volume is "
            f"needed; a lag of 1/(c p (1 - p)) steps makes {_lagged(replays)} of it.",
        )  # fmt: skip
        both_of = [(mix, r["z0"]) for r in replays for mix in _resting(r)]
        both = [mix for mix, _ in both_of]
        add(
            f"rest/{ids}", "Distance of the resting contrast from the joint optimum of the mix, nats",
            [_rest(r) for r in replays],
            f"{label}: with a fixed share the contrast rests where the joint optimum of the mix has it, off by {{value}} nats at most "
            f"over {len({(m['of'], m['share']) for m in both})} mixes; whether it is undone is as that place has it, below the base's "
            f"contrast or not, in {sum(map(_as_rest, both_of))} of {len(both_of)}.",
        )  # fmt: skip
        add(
            f"speed/{ids}", "Speed of the approach to rest, over c p (1 - p)",
            [_speed(r) for r in replays],
            f"{label}: near its place of rest the distance dies {{value}} times as fast as exp(-c p (1 - p) m), p being the share of "
            "the wanted response in the mix.",
        )  # fmt: skip
    return results, {"groups": data}


def _mix(replay: Replay, of: str, share: float) -> Mix:
    return next(mix for mix in replay["mixes"] if mix["of"] == of and mix["share"] == share)


def _undone(replay: Replay) -> list[tuple[float, float]]:
    """The shares of aligned data beside which the alignment was undone, and by how many opposed steps."""
    aligned = [mix for mix in replay["mixes"] if mix["of"] == "align"]
    return [(mix["share"], volume) for mix in aligned if (volume := mix["undo_volume"]) is not None]


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _restoring(replay: Replay) -> float | None:
    """From the largest share that was undone, by the form of the law: m* grows without end towards the share p_0."""
    share, volume = max(_undone(replay), default=(math.inf, math.inf))
    if share >= replay["p0"]:
        return None
    return restoring_share(replay, volume / law_volume(replay, share))


def _law_share(replays: list[Replay]) -> str:
    shares = [share for share in (restoring_share(replay) for replay in replays) if share is not None]
    return f"{np.mean(shares):.3f}" if shares else "none"


def _lagged(replays: list[Replay]) -> str:
    lag = [1 / (r["constant"] * r["p0"] * (1 - r["p0"])) / joint_volume(r) for r in replays]
    return f"{math.exp(np.mean(np.log1p(lag))):.2f}"


def _resting(replay: Replay) -> list[Mix]:
    """The mixes of a fixed share that have a place of rest, and come to it in the time that they are given."""
    return [m for m in replay["mixes"] if m["of"] != "past" and m["joint"] is not None and 0.2 <= m["share"] <= 0.8]


def _as_rest(pair: tuple[Mix, float]) -> bool:
    """Whether a mix undoes the alignment exactly where its place of rest lies below the contrast of the base."""
    mix, floor = pair
    return mix["joint"] is not None and (mix["joint"] < floor - ROUNDING) == (mix["undo_volume"] is not None)


def _rest(replay: Replay) -> float | None:
    return max((abs(mix["end"] - (mix["joint"] or 0.0)) for mix in _resting(replay)), default=None)


def _speed(replay: Replay) -> float | None:
    speeds = [mix["speed"] for mix in replay["mixes"] if mix["speed"] is not None]
    return float(np.median(speeds)) if speeds else None


@styled
def figure(summary: Data) -> Figure:
    """Opposed steps that undo an alignment against the share of aligned data replayed; line: the logit law, dashes: the joint law."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.0, 4.2), layout="constrained")
    drawn.set_label(
        "How much replay restores the joint law?\nOpposed steps that undo an alignment, by the share replayed."
    )
    panel = drawn.subplots()
    for index, group in enumerate(summary["groups"]):
        for place, replay in enumerate(group["replays"]):
            shown = _undone(replay)
            label = None if place else f"{group['compressor']}, {group['setting']}"
            panel.plot([x for x, _ in shown], [y for _, y in shown], **series(index, line=False), label=label)
    first = summary["groups"][0]["replays"][0]
    shares = np.linspace(0, first["p0"] * 0.995, 200)
    panel.plot(shares, [law_volume(first, float(s)) for s in shares], color=INK, linewidth=1.0, label="logit law")
    panel.axhline(joint_volume(first), color=INK, linewidth=1.0, linestyle="--", label="joint compression")
    panel.set(yscale="log", xlabel="share of aligned data beside the perturbation", ylabel="opposed steps that undo it")
    panel.legend(frameon=False, fontsize=8.5)
    plain_ticks(panel.yaxis, dense=True)
    return drawn
