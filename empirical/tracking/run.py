"""`track`: models that are there already, read one after another on the same pairs, and joined into one Curve."""

from __future__ import annotations

import functools
import gc
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from elastomath.errors import InputError
from elastomath.progress import Meter, say
from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.executors import open_executor
from elastomath.runs.ledger import Configuration, Ledger, sweep
from elastomath.storage import whole_file

from ..fetch.fetching import sha256_of
from ..laboratory.laboratory import source_of
from ..models.devices import held_and_computed, pick_device
from ..models.loading import load_model
from ..models.lora import WEIGHTS, load_adapter, probe, without_adapter
from ..models.model import LoadedModel
from ..models.sources import Source
from .checkpoints import NO_BASE, progress_of
from .course import Course
from .panel import Panel, Reading, read_model
from .settings import TrackSettings


@dataclass(frozen=True)
class Bench:
    """What a worker needs beside the name of a model: the documents, and where and in which numbers models run."""

    panel: Panel
    device: str
    weights: str
    dtype: str
    trust_remote_code: bool


def track(
    settings: TrackSettings,
    out: Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    trust_remote_code: bool = False,
    executor: str = "here",
    workers: int = 1,
) -> ProtocolSummary:
    """Read every model that the ledger ``out/track.sqlite`` lacks; write ``track.csv`` (a Curve) and ``track.json``.

    Weights are held in ``settings.weights`` (float64 where ``dtype`` asks for it) and computed with in ``dtype``; one model is in memory at
    a time, and of adapters of one base only the adapter is changed.

    Returns {"runs", "curve", "failures"} and `Course.summary` with {"axis", "models", "settings"}. Raises InputError in one
    line for models, pairs or volumes that cannot be used, before anything is read where that can be known.
    """
    sources, panel = settings.sources(), settings.panel()
    progress = [progress_of(source) for source in sources[2:]]
    perturbations, how = settings.axis_of(sources[2:], progress)
    volumes = settings.nominal()
    bench = Bench(panel, str(pick_device(device)), settings.weights, dtype, trust_remote_code)
    there = [source for source in sources if source.name != NO_BASE]
    lender = next((source for source in there if not source.bare), None)
    configurations = [_configuration(bench, source, lender) for source in there]
    try:
        with Ledger(out / "track.sqlite") as ledger, open_executor(executor, workers=workers) as pool:
            task = functools.partial(read_one, bench)
            results, failures = sweep(task, configurations, ledger, executor=pool, what="models")
    finally:
        _held.clear()
    lost = [source.name for source, result in zip(there, results, strict=True) if result is None]
    read = {source.name: result for source, result in zip(there, results, strict=True) if result is not None}
    if sources[1].name in lost or len(read) == 0:
        raise InputError(failures[0], where="track", mend="mend that, then run the same command again")
    kept = [(0.0, sources[1].name)] + [
        (volume, source.name) for volume, source in zip(perturbations, sources[2:], strict=True) if source.name in read
    ]
    course = Course(
        Path(panel.name).stem,
        tuple(volume for volume, _ in kept),
        tuple(read[name] for _, name in kept),
        read.get(sources[0].name),
        volumes,
        settings.axis,
        settings.rate_unit,
        tuple(name for _, name in kept),
        {"model": sources[1].name, "pairs": panel.name, "dtype": configurations[0]["dtype"]},
    )
    curve = course.curve().write(out / "track.csv")
    counts = {"done": len(read), "failed": len(lost), "total": len(there)}
    summary: ProtocolSummary = {"runs": counts, "curve": str(curve), "failures": list(failures), **course.summary()}
    summary |= {"axis": how, "models": [c["model"] for c in configurations], "settings": settings.values()}
    with whole_file(out / "track.json") as aside:
        aside.write_text(json.dumps(summary, indent=1, allow_nan=False))
    return summary


def _configuration(bench: Bench, source: Source, lender: Source | None) -> Configuration:
    """All that a reading depends on; the model by the hash of its weights or its commit."""
    stored, computed = held_and_computed(bench.weights, bench.dtype, bench.device)
    configuration: Configuration = {
        "model": source.name,
        "load": source.model,
        "revision": source.revision,
        "adapter": source.adapter,
        "weights": source_of(source.model, source.revision),
        "panel": bench.panel.sha256,
        "held": stored,
        "dtype": computed,
        "version": 1,
    }
    if source.adapter is not None:
        configuration["adapter_weights"] = sha256_of(Path(source.adapter).expanduser() / WEIGHTS)
    if source.bare:
        if lender is None:
            raise InputError(
                "no model has a tokenizer", where="--models", mend="put the tokenizer's files beside the weights"
            )
        say(f"{source.name} has no tokenizer: that of {lender.name} is used")
        configuration |= {"tokenizer": lender.model, "tokenizer_revision": lender.revision}
    return configuration


_held: dict[tuple[Any, ...], LoadedModel] = {}
"""The model without an adapter that this process holds, by what it was loaded from."""


def read_one(bench: Bench, configuration: Configuration) -> Reading:
    """The reading of one model, loaded unless this process holds it already."""
    c = configuration
    key = (c["load"], c["revision"], c["weights"], c["held"], c.get("tokenizer"), bench.device)
    if key not in _held:
        if _held:
            _held.clear()
            gc.collect()
        _held[key] = load_model(
            c["load"],
            device=bench.device,
            dtype=c["held"],
            revision=c["revision"],
            trust_remote_code=bench.trust_remote_code,
            tokenizer=c.get("tokenizer"),
        )
    base = _held[key]
    if c["adapter"] is None:
        return _read(bench, c, base)
    before = probe(base.model)
    adapted = load_adapter(base, c["adapter"])
    try:
        if c["held"] == "float64":
            adapted.model.double()
        return _read(bench, c, adapted)
    finally:
        if not without_adapter(base, adapted, before):
            _held.clear()  # an adapter that does not come off: the next reading loads the base again


def _read(bench: Bench, c: Configuration, loaded: LoadedModel) -> Reading:
    sides = bench.panel.encoded(loaded.model, loaded.tokenizer)
    autocast = None if c["dtype"] == c["held"] else getattr(torch, c["dtype"])
    meter = Meter(sum(data.target_count for data in sides.values()), c["model"])
    return read_model(loaded.model, sides, autocast=autocast, meter=meter, where=c["model"])
