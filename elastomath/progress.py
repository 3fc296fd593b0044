"""Progress with an estimate, on stderr only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield the items; on a terminal a bar with the time left, elsewhere a line about every half minute.

    >>> list(track([1, 2], 2, "counting"))
    [1, 2]
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(items, description=what, total=total, console=Console(stderr=True), transient=True)
        return
    start = spoken = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - spoken > 30 and done < total:
            spoken = now
            left = (now - start) / done * (total - done)
            say(f"{what}: {done} of {total}, about {left:.0f} s left")


def say(message: str) -> None:
    """One line for the person who waits; never on stdout, which belongs to results."""
    print(message, file=sys.stderr, flush=True)
