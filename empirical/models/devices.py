"""Where a model runs, and in which numbers: bfloat16 only where the hardware multiplies it."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from elastomath.errors import InputError

if TYPE_CHECKING:
    import torch

DTYPES: Final = ("float32", "bfloat16", "float16", "float64")
"""The number formats that a model may be asked for, by their torch names."""


def pick_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``auto`` is CUDA where there is one, else the CPU.

    Raises InputError for a name that torch does not know, and for a device that this machine does not have.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    mend = "use auto, cpu, cuda, cuda:INDEX or mps"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"no device called {name!r}", where="device", mend=mend) from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device {name!r} is not supported", where="device", mend=mend)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {name!r} is not on this machine", where="device", mend="use auto or cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(
            f"device {name!r} is not on this machine, which has {count} CUDA devices", where="device", mend="use auto"
        )
    return device


def pick_dtype(name: str = "auto", device: torch.device | str = "cpu") -> torch.dtype:
    """The number format called ``name``; ``auto`` is bfloat16 where ``device`` has units for it, else float32.

    Raises InputError for a name that is not in `DTYPES`.

    >>> pick_dtype("float32")
    torch.float32
    """
    import torch

    if name == "auto":
        return torch.bfloat16 if multiplies_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise InputError(f"no dtype called {name!r}", where="dtype", mend=f"use auto, {', '.join(DTYPES)}")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def held_and_computed(weights: str, dtype: str, device: torch.device | str) -> tuple[str, str]:
    """In which numbers weights are held and layers compute, by name, where ``weights`` and the dtype of autocast are asked for.

    Autocast only narrows: float64 is float64 for both, and where nothing narrower than the weights is asked for, layers
    compute in the numbers of the weights.

    >>> held_and_computed("float32", "bfloat16", "cpu"), held_and_computed("float32", "float64", "cpu")
    (('float32', 'bfloat16'), ('float64', 'float64'))
    >>> held_and_computed("bfloat16", "float32", "cpu")
    ('bfloat16', 'bfloat16')
    """
    chosen = str(pick_dtype(dtype, device)).removeprefix("torch.")
    stored = "float64" if chosen == "float64" else str(pick_dtype(weights)).removeprefix("torch.")
    return stored, chosen if chosen in ("bfloat16", "float16") and stored != "float64" else stored


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether the hardware itself multiplies bfloat16; emulation is correct but slower than float32."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return False
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def hold_memory() -> bool:
    """Ask the C library to keep what this process has freed, and torch for huge pages; returns whether both were done.

    Training on a CPU frees and takes gigabytes at every step and every stage. Handed back to the system, each page of it
    has to be faulted in again, which cost a virtual machine a seventh to a quarter of a protocol's time
    (``python -m benchmarks.held_memory``). What is computed does not change; the peak of memory grows by up to a third.
    Without glibc nothing is done. Where ``THP_MEM_ALLOC_ENABLE`` is set already it stays.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        done = [mallopt(option, value) for option, value in _KEEP]
        return all(result == 1 for result in done)
    return False


_KEEP: Final = ((-4, 0), (-1, 2**31 - 1), (-2, 2**28))
"""mallopt's M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD: no mappings of their own, no trimming, growth by 256 MiB."""
