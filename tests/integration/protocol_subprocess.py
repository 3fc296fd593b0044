"""Runs a protocol in another process and kills it in the middle, with SIGKILL."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.forks import ended, forked, killed_once


def kill_in_the_middle(protocol: str, settings: Any, out: Path, stages: int) -> int:
    """Start the protocol in another process and SIGKILL it once ``stages`` stages have ended; returns how many had."""
    run = getattr(import_module(f"empirical.{protocol}.run"), protocol)
    killed_once(
        lambda: len(records(out)) >= stages,
        lambda: run(settings, out, device="cpu", dtype="float32"),
        out.with_name(f"{out.name}.txt"),
    )
    assert not (out / f"{protocol}.json").exists()
    return len(records(out))


def killed_at_training(number: int, run: Callable[[], object], said: Path) -> None:
    """Run a protocol in another process that SIGKILLs itself where its laboratory begins its training of that number."""
    from empirical.laboratory import laboratory

    true, begun = laboratory.train, []

    def counted(*args: Any, **options: Any) -> Any:
        begun.append(len(begun))
        if len(begun) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return true(*args, **options)

    def dying() -> None:
        laboratory.train = counted
        run()

    assert ended(forked(dying, said)) == -signal.SIGKILL, said.read_text(encoding="utf-8")


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
