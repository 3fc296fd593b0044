"""What the paper says of its models, sizes and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from elastomath.errors import InputError

PAPER: Final[dict[str, Any]] = {
    "max_tokens": 512,
    "learning_rate": 1e-5,
    "batch": 8,
    "warmup": 0,
    "seeds": (42,),
    "weights": "bfloat16",
}
"""The settings that one released run of the paper states: length at most 512, one epoch, learning rate 1e-5 constant, no
warm-up, no weight decay, seed 42, bf16, one sequence a device times 8 accumulated. One step of 8 sequences here, their loss
the mean over counted tokens."""

PAPER_MODELS: Final = {
    "resistance": ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf", "meta-llama/Meta-Llama-3-8B"),
    "rebound": ("meta-llama/Llama-2-7b-hf", "google/gemma-2b"),
    "size": ("Qwen/Qwen1.5-0.5B", "Qwen/Qwen1.5-4B", "Qwen/Qwen1.5-7B"),
    "volume": (
        "TinyLlama/TinyLlama-1.1B-intermediate-step-240k-503b",
        "TinyLlama/TinyLlama-1.1B-intermediate-step-480k-1T",
        "TinyLlama/TinyLlama-1.1B-intermediate-step-715k-1.5T",
        "TinyLlama/TinyLlama-1.1B-intermediate-step-955k-token-2T",
        "TinyLlama/TinyLlama-1.1B-intermediate-step-1195k-token-2.5T",
        "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
    ),
}
"""The models of Table 1, of Table 3 and F2, and of both parts of F3, by their ids on the hub."""

READING: Final = (
    "from the paper: model, sizes of alignment 1000, 2000, 5000, 10000, of perturbation up to 2000, length, rate, seed, "
    "bf16, batch 8. Our reading: perturbation sizes between, 500 held-out documents of each kind, no adaption (the base is "
    "aligned as it is), and |D_p| as 2e12 training tokens in examples of 512 (nominal; only the curve's volume column reads it)"
)
"""What in `paper-rebound` the paper states, and what is our reading."""


TOKENS: Final = {
    "Qwen/Qwen1.5-0.5B": 2.4e12,
    "Qwen/Qwen1.5-4B": 2.4e12,
    "Qwen/Qwen1.5-7B": 4.0e12,
} | dict(zip(PAPER_MODELS["volume"], (0.503e12, 1e12, 1.5e12, 2e12, 2.5e12, 3e12), strict=True))
"""Training tokens of each model of F3. Those of TinyLlama's checkpoints are in their names; those of Qwen1.5 are our reading of
what is said of them in public, and enter nothing but the curve's nominal volume."""

SHAPE: Final = PAPER_MODELS["volume"][-1]
"""The checkpoint whose shape is at hand for an estimate; the others have the same."""


def chosen(presets: Mapping[str, Mapping[str, Any]], preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a preset with what was given in their place; only what was given without a preset.

    Raises InputError for a preset that is not there.

    >>> chosen({"quick": {"batch": 8}}, "quick", {"seeds": (1,)})
    {'batch': 8, 'seeds': (1,)}
    """
    if preset is not None and preset not in presets:
        raise InputError(f"no preset {preset!r}", where="--preset", mend=f"choose from {', '.join(presets)}")
    return {**(presets[preset] if preset else {}), **given}
