"""What ends a command: signals in one line, a reader of stdout that has gone, a stdout that is full.

SIGINT and SIGTERM interrupt the main thread, so that what is open is closed (files are whole or not there, the ledger keeps
nothing beside it, children are ended), and give one line and the exit code 130 or 143. A second one ends the process at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

_received = 0
"""The signal that ends this process; 0 for none."""
STOPPED = "stopped; the same command continues from what it had recorded"


def guarded(run: Callable[[], int]) -> NoReturn:
    """Run, and leave with the exit code that it gives, or with 130 or 143 after a signal."""
    global _received
    before: dict[int, Any] = {}
    try:
        try:
            _received = 0
            _listen(before)
            code = run()
        except KeyboardInterrupt:
            code = ending()
            exec(
                ""
            )  # else Python, interrupted within an exec (of a dataclass, say), ends itself by SIGINT whatever the exit code
            with contextlib.suppress(OSError, ValueError):
                print(f"elastomath: {STOPPED}", file=sys.stderr, flush=True)
        sys.exit(_flushed(code))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending() -> int:
    """The exit code after a signal, 128 + its number."""
    return 128 + (_received or signal.SIGINT)


def _listen(before: dict[int, Any]) -> None:
    """Answer SIGINT and SIGTERM by an interrupt of the main thread, the second one by leaving at once; ``before`` gets what was there."""

    def stop(number: int, _: FrameType | None) -> None:
        global _received
        if _received:
            os._exit(ending())
        _received = number
        raise KeyboardInterrupt

    with contextlib.suppress(ValueError):  # not the main thread: whoever called decides
        for number in (signal.SIGINT, signal.SIGTERM):
            ignored = signal.getsignal(number) is signal.SIG_IGN
            if not ignored:  # nohup, or a parent that wants it so
                before[number] = signal.signal(number, stop)


def _flushed(code: int) -> int:
    """The exit code once stdout has taken everything: 0 where its reader has gone, 2 and one line where it is full."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_stdout()
        return code
    except OSError as error:
        _leave_stdout()
        print(f"elastomath: cannot write to stdout: {error.strerror}", file=sys.stderr)
        return 2
    return code


def _leave_stdout() -> None:
    """Nothing more goes to a stdout that takes nothing: not at the end of the interpreter either."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
