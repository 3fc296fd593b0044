"""A function in a fork of this process: a process of its own, to be killed or to have its own environment, that imports nothing again."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def forked(work: Callable[[], object], said: Path) -> int:
    """The id of a fork that runs ``work`` and ends; what it prints goes to the file ``said``."""
    if child := os.fork():
        return child
    code = 1
    try:
        printed = said.open("w", encoding="utf-8")
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        sys.stdout = sys.stderr = printed
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a fork, or minus the signal that killed it; waits for its end."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_once(ready: Callable[[], bool], work: Callable[[], object], said: Path, seconds: float = 240.0) -> None:
    """Run ``work`` in a fork and SIGKILL it as soon as ``ready()``; AssertionError where it ends before, or does not get there."""
    child, until, running = forked(work, said), time.monotonic() + seconds, True
    try:
        while not ready():
            running = os.waitpid(child, os.WNOHANG)[0] == 0
            assert running, f"it ended before it could be killed: {said.read_text(encoding='utf-8')[-2000:]}"
            assert time.monotonic() < until, "it made no progress"
            time.sleep(0.005)
    finally:
        if running:
            os.kill(child, signal.SIGKILL)
            assert ended(child) == -signal.SIGKILL
