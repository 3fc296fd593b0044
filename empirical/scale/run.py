"""The protocol `scale` (F3): the rebound of models of several sizes and pre-training volumes, on the same documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
from scipy.special import stdtrit

from elastomath.curve import Curve
from elastomath.progress import say
from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.ledger import Configuration, Result

from ..behaviours import read_pairs
from ..data.examples import Example
from ..durability.card import GROUPS as CARD_GROUPS
from ..durability.predict import predict
from ..laboratory.conduct import Where, perform
from ..laboratory.laboratory import Equipment, Laboratory, Stage, fingerprint, open_laboratory
from ..measures.gradients import gradient_reading
from ..models.sequences import Sequences
from ..rebound.run import Bench, parts_of, run_rebound
from ..rebound.run import run_curve as rebound_curve
from ..rebound.run import run_name as rebound_name
from ..rebound.settings import DIRECTIONS, KINDS
from .answers import answers
from .family import Family, FamilySettings
from .settings import PROMPT_TOKENS, PROMPTS
from .settings import ScaleSettings as ScaleSettings

GROUPS = 8
"""Groups of documents from which a gradient's errors are taken."""


def scale(settings: ScaleSettings, out: Path, **where: Unpack[Where]) -> ProtocolSummary:
    """Run the protocol, resuming what ``out`` holds already; writes ``scale.csv`` (a Curve) and ``scale.json``.

    A family's members are kept under ``out/family`` as folders that any verb takes for a model. Returns
    {"runs": {"done", "failed", "total"}, "curve", "failures", "settings"} and what `answers.answers` finds. where:
    `laboratory.conduct.Where`.
    """
    return perform(settings, run_scale, run_curve, lambda done, _: answers(done), out, **where)


def run_scale(equipment: Equipment, configuration: Configuration) -> Result:
    """One model, aligned on one volume: its rebound, and the gradients at the start and at the aligned state.

    Returns what `rebound.run.run_rebound` returns, {"parameters", "run"}, {"gradients": {"start", "aligned"}}, and where
    behaviours are named {"kernels": {name: ...}} of each, at the start (`_kernel`).
    """
    at = _member(equipment, configuration)
    rebound = run_rebound(at, configuration)
    laboratory = open_laboratory(at)
    bench = Bench(laboratory, configuration)
    stages, aligned = bench.trunk()
    start = stages[1] if configuration["adapt_volume"] else laboratory.base
    gradients = {
        name: _gradients(laboratory, bench, stage, int(configuration["gradient_documents"]))
        for name, stage in (("start", start), ("aligned", aligned))
    }
    named = configuration.get("behaviours", {})
    kernels = {"kernels": {name: _kernel(laboratory, start, configuration, name) for name in named}} if named else {}
    bench.tidy([*stages, aligned])
    say(f"  {run_name(configuration)}: cosine {gradients['aligned']['cosine']:+.3f} at the aligned state")
    return rebound | {"parameters": laboratory.loaded.parameters, "gradients": gradients} | kernels


def _member(equipment: Equipment, configuration: Configuration) -> Equipment:
    """The equipment with the model of this run in it, which is pre-trained now if it is one of a family and not there."""
    member = configuration["member"]
    if member["family"] is None:
        return replace(equipment, model=configuration["model"], revision=member["revision"])
    about: Configuration = {key: tuple(v) if isinstance(v, list) else v for key, v in member["family"].items()}
    settings = FamilySettings(sizes=(member["size"],), **about)
    family = Family(settings, equipment, int(configuration["seed"]), _taken(configuration))
    return replace(equipment, model=str(family.member(member["size"], member["pretrain_volume"])), revision=None)


def _taken(configuration: Configuration) -> list[Example]:
    """Every example that some run of this seed measures, aligns on or perturbs with."""
    member = configuration["member"]
    runs = [
        configuration | {"direction": direction, "align_path": list(member["align_volumes"])}
        for direction in member["directions"]
    ]
    return [example for run in runs for part in parts_of(run).values() for example in part]


def _gradients(laboratory: Laboratory, bench: Bench, stage: Stage, count: int) -> Result:
    """R7 at a stage: grad H_p on held-out documents of both kinds, grad H_a on others of the kind that was aligned on."""
    half = count // 2
    first = [example for kind in KINDS for example in bench.examples[f"held_{kind}"][:half]]
    second = list(bench.examples[f"held_{bench.aligned}"][half:count])
    both, own = (laboratory.encode(part, bench.configuration["max_tokens"]) for part in (first, second))

    def make() -> Result:
        return _read(laboratory, both, own)

    name = {"stage": "gradients", "groups": GROUPS, "pretrain": fingerprint(both), "align": fingerprint(own)}
    return laboratory.stage(name, stage, make, keep=False).result


def _kernel(laboratory: Laboratory, start: Stage, configuration: Configuration, name: str) -> Result:
    """``|grad z|^2 / |grad gamma_neutral|^2`` of a behaviour's contrast z at the start, with its error over held-out prompts.

    Beside it the probability of neither response (``closure``) and the mean share p of the chosen one of the two.
    """

    def make() -> Result:
        card = predict(
            laboratory.loaded, read_pairs(name), (1,), learning_rate=configuration["learning_rate"], held_out=PROMPTS,
            max_tokens=PROMPT_TOKENS, seed=int(configuration["seed"]), autocast=laboratory.equipment.dtype, aligned=True,
        )  # fmt: skip
        relative, share = card.constants["relative"], card.constants["p"].estimate
        quantile = float(stdtrit(CARD_GROUPS - 1, 0.5 + relative.level / 2))
        se = None if relative.low is None or relative.high is None else (relative.high - relative.low) / (2 * quantile)
        return {"estimate": relative.estimate, "se": se, "closure": card.closure, "p": share}

    stage = {"stage": "kernel", "pairs": name, "sha256": configuration["behaviours"][name]}
    stage |= {"prompts": PROMPTS, "max_tokens": PROMPT_TOKENS, "seed": configuration["seed"]}
    return laboratory.stage(stage, start, make, keep=False).result


def _read(laboratory: Laboratory, both: Sequences, own: Sequences) -> Result:
    norms = gradient_reading(
        laboratory.model, both, own, groups=GROUPS, batch=16, autocast=laboratory.autocast, meter=laboratory.meter
    )
    row: Result = {"norms": list(norms.norms)}
    for name in ("cosine", "ratio"):
        value, population = getattr(norms, name), getattr(norms, f"population_{name}")
        row[name] = value if np.isfinite(value) else None
        row[f"population_{name}"] = {"estimate": population.estimate, "se": population.se}
    return row


def run_name(configuration: Configuration) -> str:
    """The member, then the rebound's name: ``64x3-6000-align-400-seed-0``."""
    member = configuration["member"]
    volume = "" if member["family"] is None else f"-{member['pretrain_volume']}"
    return f"{member['size']}{volume}-{rebound_name(configuration)}"


def run_curve(result: Result) -> Curve:
    """`rebound.run.run_curve` under the run's own name, with the covariates parameters, size and pretrain_volume.

    pretrain is the union of both kinds, at the nominal volume of pre-training (the family's members have seen nothing else).
    """
    configuration = result["configuration"]
    frame = rebound_curve(result).frame.drop(columns=["model", "protocol", "algorithm"])
    covariates = {"protocol": "scale", "size": configuration["member"]["size"], "parameters": result["parameters"]}
    covariates["pretrain_volume"] = configuration["member"]["pretrain_volume"] or np.nan
    return Curve(frame.assign(run=run_name(configuration), **covariates))


__all__ = ["DIRECTIONS", "ScaleSettings", "run_curve", "run_name", "run_scale", "scale"]
