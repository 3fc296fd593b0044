"""Runs a protocol in another process and kills it in the middle, with SIGKILL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

PROGRAMME = """
import json, sys
from pathlib import Path
import torch
from empirical.{protocol}.run import {protocol}
from {module} import {settings}
torch.set_num_threads(1)
given = {{k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(sys.argv[1]).items()}}
{protocol}({settings}(**given), Path(sys.argv[2]), device="cpu", dtype="float32")
"""


def kill_in_the_middle(protocol: str, settings: Any, out: Path, stages: int) -> int:
    """Start the protocol in another process and SIGKILL it once ``stages`` stages have ended; returns how many had."""
    module = type(settings).__module__
    programme = PROGRAMME.format(protocol=protocol, module=module, settings=type(settings).__name__)
    command = [sys.executable, "-c", programme, json.dumps(asdict(settings)), str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 240
        while len(records(out)) < stages:
            if process.poll() is not None:
                assert process.stderr is not None
                raise AssertionError(f"the protocol ended by itself: {process.stderr.read().decode()[-2000:]}")
            if time.monotonic() > end:
                process.kill()
                raise AssertionError("the protocol made no progress")
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / f"{protocol}.json").exists()
    return len(records(out))


def records(out: Path) -> dict[str, int]:
    """The stages that ended, and when each was written (nanoseconds)."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("[!.]*.json")}


def counted_trainings(monkeypatch: Any) -> list[int]:
    """A list that grows by one with each training of the laboratory in this process."""
    from empirical.laboratory import laboratory

    true, trained = laboratory.train, []

    def counted(*args: Any, **options: Any) -> Any:
        trained.append(len(trained))
        return true(*args, **options)

    monkeypatch.setattr(laboratory, "train", counted)
    return trained


def write_reviews(folder: Path, kind: str, words: list[str], count: int = 220, length: int = 8) -> str:
    """Random reviews of these words, each with a number of its own."""
    import numpy as np

    rng = np.random.default_rng(len(kind))
    path = folder / f"{kind}.jsonl"
    lines = [" ".join(rng.choice(words, length)) + f" {i}" for i in range(count)]
    path.write_text("\n".join(json.dumps({"text": line}) for line in lines), encoding="utf-8")
    return str(path)
