"""Progress with an estimate, on stderr only."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from .errors import inert

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
    with contextlib.suppress(OSError):  # whoever waited has gone away
        print(inert(message, None), file=sys.stderr, flush=True)


class Meter:
    """Counts units of work (tokens, solves) over several stages and says, about every half minute, how long is left.

    >>> meter = Meter(100, "tokens")
    >>> meter.add(40); meter.done
    40.0
    """

    def __init__(self, total: float, what: str, pause: float = 20.0) -> None:
        self.total, self.what, self.done, self.pause = float(total), what, 0.0, pause
        self._start = self._spoken = time.monotonic()

    def add(self, units: float, stage: str = "") -> None:
        """Record ``units`` more as done."""
        self.done += units
        now = time.monotonic()
        if now - self._spoken > self.pause and 0 < self.done < self.total:
            self._spoken = now
            left = (now - self._start) / self.done * (self.total - self.done)
            where = f" ({stage})" if stage else ""
            say(f"{self.what}: {100 * self.done / self.total:.0f}%{where}, about {left:.0f} s left")


def counter(what: str) -> Callable[[int, int], None]:
    """What to call with the number of things done and of all: a line on stderr, on a terminal kept up to date in place.

    >>> tell = counter("checks"); tell(1, 2); tell(2, 2)
    """
    start = spoken = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal spoken
        now = time.monotonic()
        left = (now - start) / done * (total - done)
        line = f"{what}: {done} of {total}, about {left:.0f} s left"
        if sys.stderr.isatty():
            print("\r\033[K" + (line if done < total else ""), end="", file=sys.stderr, flush=True)
        elif now - spoken > 10 and done < total:
            spoken = now
            say(line)

    return tell
