"""Models as they are named in a list, and how far a checkpoint's own training had gone: from its ``trainer_state.json``."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastomath.errors import InputError
from elastomath.foreign import json_of
from elastomath.shown import natural_order

from ..models.sources import Source

NO_BASE = "none"
"""In the place of the base: it is not there."""
STATE = "trainer_state.json"


@dataclass(frozen=True)
class Progress:
    """How far a training had gone: optimiser steps, epochs, examples of a step, tokens; None for what is not known."""

    step: int | None = None
    epoch: float | None = None
    batch: int | None = None
    tokens: int | None = None


def read_sources(names: Sequence[str]) -> list[Source]:
    """The models of ``base,aligned,ckpt-*``: a base (or ``none``), an aligned model, then checkpoints in the order of training.

    A name is a folder, a GGUF file, a catalogue name, or a hub id with ``@REVISION``; behind a ``+`` an adapter in peft's
    format, and a folder that holds nothing but an adapter stands for its own base with it. ``*`` and ``?`` stand for
    folders or files, in the order of the numbers in their names.

    Raises InputError for fewer than three models, a pattern without a match, and an adapter that names no base.
    """
    written = [name for part in names for name in _expanded(part.strip()) if name]
    if len(written) < 3:
        raise InputError(
            f"{len(written)} model{'s' * (len(written) != 1)}",
            where="--models",
            mend=f"name the base (or {NO_BASE}), the aligned model, and its checkpoints: base,aligned,ckpt-*",
        )
    repeated = next((name for index, name in enumerate(written) if name in written[:index]), None)
    if repeated is not None and repeated != NO_BASE:
        raise InputError("a model occurs twice", where=f"--models, {repeated}", mend="name each once")
    return [Source(name, "") if name == NO_BASE else Source.of(name) for name in written]


def _expanded(name: str) -> list[str]:
    """What a name with ``*`` or ``?`` matches, numbers counted as numbers; the name itself where it has none."""
    if not any(sign in name for sign in "*?"):
        return [name]
    before, plus, pattern = name.rpartition("+")
    matches = glob.glob(str(Path(pattern).expanduser()))
    if not matches:
        raise InputError("no file or folder matches", where=f"--models, {name}", mend="correct the pattern")
    return [f"{before}{plus}{match}" for match in sorted(matches, key=natural_order)]


def progress_of(source: Source) -> Progress:
    """What ``trainer_state.json`` of a checkpoint's folder says; else the step in its name or its revision (``step143000``).

    Tokens are ``num_input_tokens_seen``, or what the log last told as that or as ``num_tokens`` (trl). Nothing is read but JSON.
    Raises InputError for a file that cannot be read.
    """
    state = source.folder and source.folder / STATE
    if state and state.is_file():
        progress = json_of(state, STATE, "copy it again")
        if not isinstance(progress, dict):
            raise InputError(f"{STATE} is no JSON object", where=str(state), mend="copy it again")
        logged = [
            row[name]
            for row in progress.get("log_history") or []
            for name in ("num_input_tokens_seen", "num_tokens")
            if isinstance(row, dict) and row.get(name) and row.get("step", 0) <= progress.get("global_step", 0)
        ]
        tokens = progress.get("num_input_tokens_seen") or (max(logged) if logged else None)
        return Progress(
            _whole(progress.get("global_step")),
            progress.get("epoch"),
            _whole(progress.get("train_batch_size")),
            _whole(tokens),
        )
    last = source.revision or Path(source.adapter or source.model).name
    number = re.fullmatch(r"(?:.*[^\d.])?(\d+)", last)
    return Progress(int(number[1]) if number else None)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None
