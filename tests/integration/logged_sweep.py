"""A run of a sweep that leaves a line when it has ended, so that a run which is made twice is noticed; on every executor."""

from __future__ import annotations

import os
import time
from typing import Any

from elastomath.runs.ledger import run_key
from sim.cycles.sweeps import run


def logged(configuration: Any) -> Any:
    """The run, and its key at the end of the file ``$SWEEP_LOG``; a tenth of a second longer, so that it can be cut short."""
    time.sleep(0.1)
    result = run(configuration)
    descriptor = os.open(os.environ["SWEEP_LOG"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, (run_key(configuration) + "\n").encode())
    os.close(descriptor)
    return result
