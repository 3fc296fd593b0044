"""The verbs `experiment PROTOCOL`: protocols on real language models, each resumed by the same command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from elastomath.errors import InputError
from elastomath.interval import Interval

from .groups import VerbGroup, examples
from .options import Protocol, protocol
from .terminal import conclude, interval, short, table

if TYPE_CHECKING:
    from elastomath.runs.conduct import ProtocolSummary
    from empirical.stiffness.results import ProbeRow

experiment = typer.Typer(
    cls=VerbGroup,
    help="An experiment on a real language model; where it was stopped, the same command goes on.",
    epilog=examples("elastomath experiment stiffness --k 10,100", "elastomath experiment rebound --seeds 0,1"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@protocol(experiment, "stiffness --k 10,100 --features 128 --out out/stiffness")
def stiffness() -> Protocol:
    """Does the law hold where it must: on a frozen model whose distributions are tilted to an exact joint optimum of known volumes."""
    from empirical.stiffness.run import stiffness as run
    from empirical.stiffness.settings import StiffnessSettings

    return Protocol(StiffnessSettings, run, _show_stiffness, _curve_figure, dtype="float32")


@protocol(experiment, "rebound --preset quick", "rebound --preset paper-rebound --dry-run")
def rebound() -> Protocol:
    """Do more aligned models fall back faster (the paper's rebound, F2)? Align on one kind of text, then train on the opposed kind."""
    from empirical.rebound.run import rebound as run
    from empirical.rebound.settings import ReboundSettings

    return Protocol(ReboundSettings, run, _show_rebound, _rebound_figure)


@protocol(experiment, "resistance --seeds 0,1", "resistance --align beavertails#safe --align-volume 3000")
def resistance() -> Protocol:
    """Is a model easier to train back to an earlier state than forward (the paper's resistance, F1)? Both ways, within one alignment."""
    from empirical.resistance.figures import resistance_figure
    from empirical.resistance.run import resistance as run
    from empirical.resistance.settings import ResistanceSettings

    return Protocol(ResistanceSettings, run, _show_reading, resistance_figure)


@protocol(experiment, "inversion --seeds 0,1", "inversion --low 0.5 --high 0.8 --budget 512")
def inversion() -> Protocol:
    """What does it cost to go from one level of alignment down to another, against the way up (inversion, Q1)? Examples, tokens, steps."""
    from empirical.inversion.figures import inversion_figure
    from empirical.inversion.run import inversion as run
    from empirical.inversion.settings import InversionSettings

    return Protocol(InversionSettings, run, _show_reading, inversion_figure)


@protocol(experiment, "scale --seeds 0,1,2", "scale --models EleutherAI/pythia-160m --revisions step1000,step64000")
def scale() -> Protocol:
    """Does rebound grow with model size and pre-training volume (the paper's finding on scale, F3)? On a family, or on given models."""
    from empirical.scale.figures import scale_figure
    from empirical.scale.run import scale as run
    from empirical.scale.settings import ScaleSettings

    return Protocol(ScaleSettings, run, _show_reading, scale_figure, dtype="float32")


@protocol(experiment, "durability --preset quick", "durability --pairs mine.jsonl --align-volumes 16,64 --dry-run")
def durability() -> Protocol:
    """How many opposed examples undo a behaviour: forecast from two backward passes, then measured, for each volume."""
    from empirical.durability.run import durability as run
    from empirical.durability.settings import DurabilitySettings

    return Protocol(DurabilitySettings, run, _show_durability, _durability_figure)


@protocol(experiment, "defence --preset quick", "defence --preset night --dry-run")
def defence() -> Protocol:
    """Which defence makes a behaviour last, against which attack, at which cost in utility (can resistance be useful, Q2): a ranking."""
    from empirical.defence.figures import defence_figure
    from empirical.defence.run import defence as run
    from empirical.defence.settings import DefenceSettings

    return Protocol(DefenceSettings, run, _show_defence, defence_figure)


# -- what a person reads ---------------------------------------------------------------------------------------------


def _curve_figure(result: ProtocolSummary) -> Any:
    from elastomath.curve import Curve

    return Curve.read(result["curve"]).plot()


def _durability_figure(result: ProtocolSummary) -> Any:
    from empirical.durability.figures import forecast_figure

    try:
        return forecast_figure(result)
    except InputError:  # nothing was foretold, or nothing attacked: the courses alone
        return _curve_figure(result)


def _rebound_figure(result: ProtocolSummary) -> Any:
    from ..report.figures import rebound_figure

    return rebound_figure(result["readings"])


def _show_stiffness(result: ProtocolSummary) -> None:
    for row in result["probe"]:
        conclude([stiffness_words(row)], blank=False)
    print()
    rows = [
        {
            "run": row["run"],
            "kappa": row["kappa"]["estimate"],
            "residual/bound": row["r5_ratio"][0],
            "gradient norm": row["gradient_norm"],
            "1 + cos": row["one_plus_cosine"],
            "ratio of gradients": row["stiffness_ratio"],
        }
        for row in result["probe"]
    ]
    table(rows, tuple(rows[0]))
    conclude(
        (
            "kappa: how many times pre-training outweighs alignment, read from the curve alone (the theory wants k, the ratio of their "
            "volumes). Residual/bound: what the changes weighted by volume leave over, in parts of the most that the finite law allows "
            "(0 to 1). The other columns say that these are joint optima: gradient norm 0, gradients opposite (1 + cos = 0) and in the "
            "ratio k.",
        ),
        blank=False,
    )


def stiffness_words(row: ProbeRow) -> str:
    """What the probe of one run says: up to which perturbation the theorem's signs hold.

    >>> stiffness_words({"run": "halves-k10", "perturbations": [0, 0.5, 1, 2], "align_rises": [True] * 4,
    ...     "pretrain_falls": [True, True, False, False]})
    'halves-k10: alignment loses at every perturbation up to 2; pre-training gains up to 0.5 and loses at 1, 2.'
    """
    steps = row["perturbations"]
    parts = []
    for name, flags, good, bad in (
        ("alignment", row["align_rises"], "loses", "gains"),
        ("pre-training", row["pretrain_falls"], "gains", "loses"),
    ):
        wrong = [f"{step:g}" for step, flag in zip(steps, flags, strict=True) if not flag]
        right = [f"{step:g}" for step, flag in zip(steps, flags, strict=True) if flag]
        if not wrong:
            parts.append(f"{name} {good} at every perturbation up to {right[-1]}")
        elif not right:
            parts.append(f"{name} {bad} at every perturbation up to {wrong[-1]}")
        elif all(flags[: len(right)]):
            parts.append(f"{name} {good} up to {right[-1]} and {bad} at {', '.join(wrong)}")
        else:
            parts.append(f"{name} {good} at {', '.join(right)} and {bad} at {', '.join(wrong)}")
    return f"{row['run']}: {'; '.join(parts)}."


def rebound_words(group: dict[str, Any]) -> str:
    """What the falls after one algorithm say of F2: whether more alignment falls faster, and deeper.

    >>> slope = {"estimate": 0.01, "low": 0.004, "high": 0.016}
    >>> rebound_words({"algorithm": "sft", "direction": "forward", "first_fall": {"slope": slope}, "depth": {"slope": None}})
    'sft, forward: the first fall grows with the alignment (0.010 [0.004, 0.016] bits/token for each doubling).'
    """
    parts = []
    for name, words in (("first_fall", "the first fall"), ("depth", "the depth of the fall")):
        slope = (group.get(name) or {}).get("slope")
        if slope is not None:
            doubling = Interval.of_dict(slope)
            way = doubling.side("shrinks", "grows", "is not seen to change")
            parts.append(f"{words} {way} with the alignment ({doubling} bits/token for each doubling)")
    name = f"{group['algorithm']}, {group['direction']}"
    return f"{name}: {'; '.join(parts) or 'one alignment volume, so that nothing is told of more'}."


def _show_rebound(result: ProtocolSummary) -> None:
    for group in result["falls"]:
        conclude([rebound_words(group)], blank=False)
    for reading in result["readings"]:
        print(reading["run"])
        table(reading["rows"], ("phase", "volume", "contrast", "contrast_change", "contrast_change_se", "kl_forward"))
    for group in result["falls"]:
        print(f"{group['algorithm']}, {group['direction']}: slope per doubling of the alignment volume, bits/token")
        for name in ("first_fall", "depth", "first_excess", "excess_depth"):
            slope = (group.get(name) or {}).get("slope")
            if slope is not None:
                laws = "; ".join(f"{law['name']} {short(law['slopes'][name]['slope'])}" for law in group["laws"])
                print(
                    f"  {name.replace('_', ' ')}: {interval(slope)}, se over documents "
                    f"{short(slope['se_documents'])}; predicted: {laws}"
                )


def _show_reading(result: ProtocolSummary) -> None:
    for line in result["reading"]:
        print(line)


def _show_durability(result: ProtocolSummary) -> None:
    from empirical.durability.answers import phases_of

    for sentence in result["conclusion"]:
        print(sentence)
    rows = result["durability"]
    shown = []
    for row in rows:
        name = f"{row['pairs']}, {phases_of(row)}, seed {row['seed']}"
        measured, forecast = _undone(row.get("undo_volume")), _undone({"estimate": row.get("forecast_undo_volume")})
        print(f"{name}: {row['n']} aligned examples were undone by {measured} opposed ones, forecast {forecast}.")
        columns = {"run": name, "aligned": row["n"], "z at the start": row.get("z0"), "z": row["z"]}
        columns |= {"z forecast": row["forecast_z"], "undone by": measured, "forecast": forecast}
        shown.append(columns | {"outside the pair": row.get("closure"), "law applies": row.get("applies")})
    if shown:
        table(shown, tuple(shown[0]))


def _undone(volume: dict[str, Any] | None) -> str:
    """An undo volume as it is said; a censored one is above what was tried."""
    if volume is None:
        return "-"
    return str(Interval(volume["estimate"], volume.get("low"), volume.get("high")))


def _show_defence(result: ProtocolSummary) -> None:
    conclude(result["conclusion"])
    shown = []
    for entry in result["ranking"]:
        gain, lost = Interval.of_dict(entry["gain"]), Interval.of_dict(entry["lost"])
        columns = {
            "attack": entry["attack"],
            "rank": entry["rank"],
            "defence": entry["title"],
            "lasts, times plain": str(gain),
        }
        columns |= {
            "utility lost": "-" if lost.estimate is None else f"{lost.estimate:+.2%}",
            "not undone": entry["not_undone"],
        }
        shown.append(columns | {"groups": entry["groups"]})
    if shown:
        table(shown, tuple(shown[0]))
    print(
        "A rank counts the defences that last longer beyond the interval of the difference; equal ranks are ties. Not shown: "
        "attacks that were not asked for, other optimisers, other sizes."
    )
