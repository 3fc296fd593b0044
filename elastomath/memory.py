"""The memory at hand, and the gate of whatever is asked to be larger than that."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from .errors import InputError

CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much memory this group of processes may take."""
UNKNOWN = 1 << 34
"""What is taken for the memory at hand where the system does not say."""


def memory_at_hand() -> int:
    """Bytes that this process may still take: what the system has free, within the limits of the process and its group.

    >>> memory_at_hand() > 0
    True
    """
    bounds = []
    with contextlib.suppress(OSError, KeyError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        bounds.append(int(values["MemAvailable"].split()[0]) * 1024)
    for file in CGROUP:
        with contextlib.suppress(OSError, ValueError):
            bounds.append(int(Path(file).read_text(encoding="ascii")))
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            bounds.append(max(0, limit - pages * resource.getpagesize()))
    return min(bounds, default=UNKNOWN)


def affordable(count: int, each: float, name: str, where: str, what: str = "") -> None:
    """Refuse so many things of ``each`` bytes where they do not fit the memory at hand: the upper end of every count.

    what: the things, where the name of the argument does not say it. Raises InputError that names the largest count.

    >>> affordable(1000, 8, "batch", "demo")
    >>> affordable(1 << 70, 8, "batch", "demo")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    elastomath.errors.InputError: batch is 1e+21 (demo): at most ..., for each takes 8 bytes and ... GB of memory are at hand
    """
    if count <= 1 << 16 and count * each <= 1 << 26:
        return
    free = memory_at_hand()
    if count > free / each:
        shown = f"{count}" if count < 10**15 else f"1e+{math.floor(math.log10(count))}"
        size = f"{each:.0f} bytes" if each < 10_000 else f"{each / 1e6:.3g} MB"
        raise InputError(
            f"{name} {'is' if not what else 'makes'} {shown}{f' {what}' if what else ''}",
            where=where,
            mend=f"at most {int(free // each)}, for each takes {size} and {free / 1e9:.0f} GB of memory are at hand",
        )
