"""What a protocol will cost before it runs: its grid, its tokens, its memory and its time on the device at hand.

Tokens are counted from the settings, each sequence at its longest (so an upper bound). Memory is that of
`memory.memory_estimate`. Time is tokens times ``6 P`` floating-point operations for a trained token and ``2 P`` for a
measured or drawn one (P parameters; with an adapter a trained token takes ``4 P``), over the speed of a matrix product that is
timed here for a moment, times a share of it that models reach: `REACHED`. A drawn token reads all weights once for a batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from elastomath.errors import InputError

from .devices import pick_device, pick_dtype
from .lora import LoraSettings
from .memory import memory_estimate
from .presets import PAPER_MODELS, SHAPE

REACHED: Final = (0.15, 0.3, 0.6)
"""Least, usual and most share of the timed matrix product's speed that a language model reaches; the interval of the time."""
CALIBRATION_SECONDS: Final = 0.3


@dataclass(frozen=True)
class Work:
    """A kind of stage: how often it is made, and per time the sequences trained on, measured and drawn, of ``tokens`` each."""

    stage: str
    times: int
    trained: int = 0
    measured: int = 0
    drawn: int = 0

    def tokens(self, length: int) -> dict[str, int]:
        """Tokens of each sort over all times, at most."""
        return {sort: self.times * getattr(self, sort) * length for sort in ("trained", "measured", "drawn")}


def rebound_work(settings: Any) -> list[Work]:
    """The stages of a rebound experiment: what `rebound.run_rebound` makes, shared stages once."""
    s = settings
    units, held = len(s.seeds) * len(s.directions), 2 * s.held_out + 2 * s.kl_documents
    most, steps = s.perturb_volumes[-1], len(s.perturb_volumes)
    found = [Work("base", len(s.seeds), 0, held), Work("adapted", len(s.seeds), s.adapt_volume, held)]
    for algorithm in s.algorithms:
        if algorithm == "sft":  # a larger volume continues a smaller one
            sizes = [b - a for a, b in zip([0, *s.align_volumes], s.align_volumes, strict=False)]
        else:  # pairs, each volume from the adapted state; the reference is read once
            sizes = [2 * size for size in s.align_volumes]
        for volume, size in zip(s.align_volumes, sizes, strict=True):
            extra = 0 if algorithm == "sft" else size
            drawn = size if algorithm == "ppo" else 0
            found.append(Work(f"aligned {volume} ({algorithm})", units, size, held + extra, drawn))
    runs = units * len(s.algorithms) * len(s.align_volumes)
    found.append(Work(f"perturbed to {most}", runs, most, steps * held))
    if s.control:
        found.append(Work(f"control to {most}", runs, most, steps * held))
    return found


def resistance_work(settings: Any) -> list[Work]:
    """The stages of a resistance experiment: the slices, their samples, and each pair of slices both ways."""
    s = settings
    slices, seeds = len(s.slices), len(s.seeds)
    pairs = slices * (slices - 1)
    samples = s.train_samples + s.held_samples
    held = (slices + 1) * s.held_samples + s.held_out
    return [
        Work("slices", seeds, s.align_volume),
        Work("samples", seeds * (slices + 1), drawn=samples),
        Work("levels", seeds * (slices + 1), measured=held),
        Work("pairs", seeds * pairs, s.train_samples, len(s.volumes) * (s.held_samples + s.held_out)),
    ]


def speed(device: str = "auto", dtype: str = "float32", seconds: float = CALIBRATION_SECONDS) -> float:
    """Floating-point operations a second of a matrix product in this dtype on this device, timed for ``seconds``."""
    import torch

    place, number = pick_device(device), pick_dtype(dtype, pick_device(device))
    side = 8192 if place.type == "cuda" else 1024
    one = torch.ones(side, side, dtype=number, device=place)
    one @ one

    def done() -> float:
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        return time.perf_counter()

    start, count = done(), 0
    while True:
        one @ one
        count += 1
        if (elapsed := done() - start) > seconds:
            return 2.0 * side**3 * count / elapsed


def free_memory(device: str) -> int | None:
    """Bytes of the device's memory: a GPU's free ones, this machine's available ones; None where neither can be told."""
    import torch

    place = pick_device(device)
    if place.type == "cuda":
        return int(torch.cuda.mem_get_info(place)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            told = dict(line.split(":", 1) for line in lines)
        return int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def plan(
    settings: Any, work: Sequence[Work], *, device: str = "auto", dtype: str = "auto", shape: str | None = None
) -> dict[str, Any]:
    """The dry run: {"model", "grid", "runs", "tokens", "memory", "seconds", "fits", "lines"}; no weights are loaded.

    settings  of any protocol: model, revision, weights, lora_rank, batch, max_tokens are read
    shape     a model of the same shape whose configuration is at hand, where that of ``model`` may not be
    seconds   {"estimate", "low", "high"}; memory in bytes, by part; fits: whether it does, on this device now

    Raises InputError for a model whose configuration cannot be had.
    """
    s = settings
    place = str(pick_device(device))
    precision = str(pick_dtype(dtype, place)).removeprefix("torch.")
    weights = getattr(s, "weights", "float32")
    lora = LoraSettings(s.lora_rank) if getattr(s, "lora_rank", 0) else None
    length = s.max_tokens
    memory = memory_estimate(
        shape or s.model,
        batch=s.batch,
        tokens=length,
        dtype=weights,
        autocast=precision if precision != weights else None,
        lora=lora,
        reference=False,
        revision=None if shape else getattr(s, "revision", None),
    )
    tokens = {"trained": 0, "measured": 0, "drawn": 0}
    grid = []
    for part in work:
        counted = part.tokens(length)
        tokens = {sort: tokens[sort] + counted[sort] for sort in tokens}
        grid.append({"stage": part.stage, "times": part.times} | {f"tokens {sort}": n for sort, n in counted.items()})
    flops = speed(place, precision)
    operations = memory.parameters * (
        (4 if lora else 6) * tokens["trained"] + 2 * (tokens["measured"] + tokens["drawn"])
    )
    low, usual, high = (operations / (flops * share) for share in reversed(REACHED))
    there = free_memory(place)
    fits = None if there is None else memory.total < there
    lines = [
        f"{s.model}: {memory.parameters / 1e6:.0f} million parameters, on {place}, weights {weights}, layers {precision}",
        f"at most {sum(tokens.values()) / 1e6:.2f} million tokens: "
        + ", ".join(f"{count / 1e6:.2f} {sort}" for sort, count in tokens.items()),
        f"memory {memory.total / 2**30:.1f} GiB"
        + ("" if there is None else f" of {there / 2**30:.1f} there" + ("" if fits else ": it does not fit")),
        f"time about {_spoken(usual)} ({_spoken(low)} to {_spoken(high)}), from a matrix product timed here at {flops / 1e12:.2f} Tflop/s, "
        f"of which models reach {REACHED[0]:.0%} to {REACHED[2]:.0%}",
    ]
    return {
        "model": s.model,
        "device": place,
        "dtype": precision,
        "grid": grid,
        "stages": sum(part.times for part in work),
        "tokens": tokens,
        "memory": memory.as_dict() | {"available": there},
        "fits": fits,
        "seconds": {"estimate": usual, "low": low, "high": high, "flops_timed": flops, "reached": list(REACHED)},
        "lines": lines,
    }


def plan_of(settings: Any, *, device: str = "auto", dtype: str = "auto", shape: str | None = None) -> dict[str, Any]:
    """`plan` of a protocol's settings by their kind. Raises InputError for settings of a protocol that has no dry run."""
    kind = type(settings).__name__
    if kind not in WORK:
        raise InputError(f"no dry run of {kind}", where="--dry-run", mend=f"there is one of {', '.join(WORK)}")
    if shape is None and settings.model in PAPER_MODELS["volume"]:
        shape = SHAPE
    return plan(settings, WORK[kind](settings), device=device, dtype=dtype, shape=shape)


WORK: Final = {"ReboundSettings": rebound_work, "ResistanceSettings": resistance_work}
"""The work of each protocol, by the name of its settings."""


def _spoken(seconds: float) -> str:
    """A time in the unit that a person would say it in.

    >>> _spoken(90), _spoken(7200), _spoken(864000)
    ('1.5 min', '2.0 h', '10.0 days')
    """
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
