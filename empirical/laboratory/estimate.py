"""What a protocol will cost before it runs: its grid, its tokens, its memory and its time on the device at hand.

Tokens are those of `work`, upper bounds. Memory is that of `memory.memory_estimate`. Time is ``6 P`` floating-point operations
for a trained token and ``2 P`` for a measured or drawn one (P parameters; with an adapter a trained token takes ``4 P``), over
the speed of a matrix product that is timed here for a moment, times a share of it that models reach (`REACHED`); and for each
layer of each pass the time in which the framework starts its operations, which is what small models take most.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from elastomath.errors import InputError
from elastomath.memory import memory_at_hand

from ..data.specifications import described
from ..models.devices import held_and_computed, pick_device, pick_dtype
from ..models.lora import LoraSettings
from ..models.memory import MemoryEstimate, configuration, memory_estimate
from .work import Part

REACHED: Final = ((0.3, 0.5, 0.8), (0.15, 0.3, 0.6))
"""Least, usual and most share of the timed matrix product's speed that a language model reaches, on a CPU and on a GPU."""
CALIBRATION_SECONDS: Final = 0.3


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
        elif place.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()

    start, count = done(), 0
    while True:
        one @ one
        count += 1
        if (elapsed := done() - start) > seconds:
            return 2.0 * side**3 * count / elapsed


def free_memory(device: str) -> int:
    """Bytes of the device's memory: a GPU's free ones, or what this process may still take (`elastomath.memory`)."""
    import torch

    place = pick_device(device)
    if place.type == "cuda":
        return int(torch.cuda.mem_get_info(place)[0])
    return memory_at_hand()


def pass_seconds(device: str = "auto", seconds: float = 0.05) -> float:
    """Seconds that the framework takes to start one small operation on this device, timed for ``seconds``."""
    import torch

    one = torch.ones(16, device=pick_device(device))
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds or not count:
        one.add_(1.0)
        count += 1
    return elapsed / count


def plan_of(settings: Any, *, device: str = "auto", dtype: str = "auto") -> dict[str, Any]:
    """The dry run of a protocol's settings: {"model", "grid", "stages", "tokens", "memory", "seconds", "fits", "lines"}.

    No weights are loaded. grid: a row a kind of stage; seconds: {"estimate", "low", "high"}; memory in bytes, by part, of the
    model that takes most; fits: whether it does, on this device now.

    Raises InputError for a protocol without a dry run, and for a model whose configuration cannot be had.
    """
    if not hasattr(settings, "parts"):
        raise InputError(
            f"no dry run of {type(settings).__name__}", where="--dry-run", mend="run it, or choose a protocol"
        )
    parts = settings.parts()
    place = str(pick_device(device))
    stored, precision = held_and_computed(parts[0].weights, dtype, place)
    parts = [replace(part, weights=stored) for part in parts]
    flops, start = speed(place, precision), pass_seconds(place)
    shares = REACHED[pick_device(device).type == "cuda"]
    costs = [_cost(part, precision, pick_device(device).type == "cpu") for part in parts]
    operations, passes = (sum(getattr(cost, name) for cost in costs) for name in ("operations", "passes"))
    low, usual, high = (
        operations / (flops * share) + passes * start * slack
        for share, slack in zip(shares[::-1], (0.5, 1, 2), strict=True)
    )
    tokens = {sort: sum(part.tokens()[sort] for whole in parts for part in whole.work) for sort in _SORTS}
    grid = [
        ({"model": whole.model} if len(parts) > 1 else {})
        | {"stage": part.stage, "times": part.times}
        | {f"tokens {sort}": count for sort, count in part.tokens().items()}
        for whole in parts
        for part in whole.work
    ]
    memory = max((cost.memory for cost in costs), key=lambda cost: cost.total)
    there = free_memory(place)
    fits = memory.total < there
    models = ", ".join(
        f"{part.model} ({_short(cost.memory.parameters)})" for part, cost in zip(parts, costs, strict=True)
    )
    settings_told = _settings_told(settings)
    lines = [
        f"{models}, on {place}, weights {parts[0].weights}, layers {precision}",
        f"at most {_short(sum(tokens.values()))} tokens: "
        + ", ".join(f"{_short(count)} {sort}" for sort, count in tokens.items()),
        f"memory {memory.total / 2**30:.1f} GiB"
        + f" of {there / 2**30:.1f} there"
        + ("" if fits else ": it does not fit")
        + (", up to a third more since a CPU's process keeps what it has freed" if place == "cpu" else ""),
        f"time about {_spoken(usual)} ({_spoken(low)} to {_spoken(high)}), from a matrix product timed here at {flops / 1e12:.2f} "
        f"Tflop/s, of which models reach {shares[0]:.0%} to {shares[-1]:.0%}",
    ]
    return {
        "model": parts[0].model if len(parts) == 1 else [part.model for part in parts],
        "device": place,
        "dtype": precision,
        "grid": grid,
        "stages": sum(part.times for whole in parts for part in whole.work),
        "tokens": tokens,
        "memory": memory.as_dict() | {"available": there},
        "fits": fits,
        "seconds": {"estimate": usual, "low": low, "high": high, "flops_timed": flops, "reached": list(shares)},
        "settings": settings_told,
        "lines": [*lines, *_settings_lines(settings_told)],
    }


def _settings_told(settings: Any) -> dict[str, Any]:
    """Every setting of a protocol, those that were not given too; of a scale experiment, those of its rebounds and family."""
    if not hasattr(settings, "rebounds"):
        return described(settings) if hasattr(settings, "wording") else asdict(settings)
    family = {} if settings.family is None else {"family": asdict(settings.family)}
    return described(settings.rebounds[0]) | {"gradient_documents": settings.gradient_documents} | family


def _settings_lines(settings: dict[str, Any]) -> list[str]:
    """The settings in words: first what stands before every text, which nobody would look for among the others."""
    family, lines = settings.get("family"), []
    if "prompt" in settings:
        prompt = settings["prompt"]
        words = "the words of the data's own adapter" if prompt is None else repr(prompt) if prompt else "nothing"
        where = ", in the chat template of the model's tokenizer" if settings.get("chat") else ""
        lines.append(f"before every text: {words}{where}")
    own = {name: value for name, value in settings.items() if name not in ("prompt", "chat", "family")}
    for name, values in (("settings", own), ("family", family)):
        if values:
            lines.append(f"{name}: " + ", ".join(f"{key} {as_option(value)}" for key, value in values.items()))
    return lines


def as_option(value: Any) -> str:
    """A setting as it would be written on the command line.

    >>> as_option((12, 24)), as_option(None), as_option(5e-05), as_option(True)
    ('12,24', 'none', '5e-05', 'yes')
    """
    if isinstance(value, tuple | list):
        return ",".join(map(as_option, value)) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else "yes" if value else "no"
    return repr(value) if value == "" else f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class _Cost:
    """Of one model: floating-point operations, small operations that are started, and memory."""

    operations: float
    passes: float
    memory: MemoryEstimate


def _cost(part: Part, precision: str, beside: bool) -> _Cost:
    """``beside``: the base weights, which a protocol keeps on the CPU, lie in the same memory as the model."""
    lora = LoraSettings(part.lora_rank) if part.lora_rank else None
    config = configuration(part.shape, part.revision) if isinstance(part.shape, str) else part.shape
    tokens = {sort: sum(work.tokens()[sort] for work in part.work) for sort in _SORTS}
    memory = memory_estimate(
        config,
        batch=part.batch,
        tokens=part.length,
        dtype=part.weights,
        autocast=precision if precision != part.weights else None,
        training=tokens["trained"] > 0,
        lora=lora,
        reference=beside and tokens["trained"] > 0 and lora is None,
    )
    operations = memory.parameters * (
        (4 if lora else 6) * tokens["trained"] + 2 * (tokens["measured"] + tokens["drawn"])
    )
    steps = tokens["trained"] / (part.batch * part.length)
    batches = (tokens["measured"] / part.length + tokens["drawn"]) / MEASURED_ROWS
    layers = int(config.get_text_config().num_hidden_layers)
    return _Cost(operations, layers * LAUNCHES * (4 * steps + batches), memory)


_SORTS: Final = ("trained", "measured", "drawn")
MEASURED_ROWS: Final = 64
"""Sequences that are measured, or drawn, side by side."""
LAUNCHES: Final = 40
"""Small operations of a layer on the way forward; the way back and the optimiser take three times as many."""


def _short(count: float) -> str:
    """A count as it is said.

    >>> _short(134_515_008), _short(58_016), _short(384)
    ('134.5 million', '58.0 thousand', '384')
    """
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:.1f} {name}"
    return f"{count:g}"


def _spoken(seconds: float) -> str:
    """A time in the unit that a person would say it in.

    >>> _spoken(90), _spoken(7200), _spoken(864000)
    ('1.5 min', '2.0 h', '10.0 days')
    """
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
