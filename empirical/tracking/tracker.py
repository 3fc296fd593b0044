"""The tracker: readings of a model while it is trained, by a loop of one's own or a Trainer, and their Curve as it grows."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from elastomath.checks import NONNEGATIVE, POSITIVE, integer
from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.foreign import json_of
from elastomath.storage import whole_file

from ..behaviours import Pairs
from ..models.sequences import Sequences
from .course import Course, Tracked
from .panel import MAX_TOKENS, Panel, Reading, read_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

READINGS = "readings.json"


class Tracker:
    """Readings of pairs at steps of a training: ``tracker.read(model, step)``, of which the one at step 0 is the aligned model.

    tokenizer   of the model;  pairs, pretrain, limit, max_tokens, swap, chat  as in `Panel.of`
    out         a folder: ``track.csv`` (the Curve) is written anew after every reading, whole or not at all, and
                ``readings.json``, from which a training that is resumed goes on; `result` writes ``track.json``, what they
                say. None: nothing is written
    batch       examples of a step: a perturbation is step times batch where ``read`` is not told another volume
    volumes     nominal volumes of pretrain and align, as far as they are known
    writes      whether this process writes; where there are several, all of them read and one writes
    seconds     what the readings have taken so far: all that a training with a tracker takes longer

    A reading leaves the model as it found it: the modes of its parts, its gradients, and all generators of random numbers.

    >>> tracker = Tracker("refusal", tokenizer, limit=50)                  # doctest: +SKIP
    >>> for step, batch in enumerate(batches):                            # doctest: +SKIP
    ...     tracker.read(model, step)
    ...     train(model, batch)
    """

    def __init__(
        self,
        pairs: str | Pairs,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        pretrain: str | None = None,
        out: str | Path | None = None,
        batch: float = 1,
        volumes: Mapping[str, float] | None = None,
        volume_unit: str = "examples",
        rate_unit: str = "nats/response",
        limit: int | None = None,
        max_tokens: int = MAX_TOKENS,
        swap: bool = False,
        chat: bool = False,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.panel = Panel.of(pairs, pretrain, limit=limit, max_tokens=max_tokens, swap=swap, chat=chat)
        self.tokenizer, self.autocast, self.writes = tokenizer, autocast, True
        self.out = None if out is None else Path(out)
        self.batch = POSITIVE(batch, "batch", "tracker")
        self.volume_unit, self.rate_unit = volume_unit, rate_unit
        self.volumes = dict(volumes or {})
        self.base: Reading | None = None
        self.seconds = 0.0
        self._readings: dict[float, tuple[int, Reading]] = {}
        self._sides: dict[str, Sequences] | None = None
        Course(
            "track", (0.0,), ({},), None, self.volumes, volume_unit, rate_unit
        )  # a wrong unit or volume is refused before training

    def read_base(self, model: PreTrainedModel) -> Reading:
        """Read the model before its alignment, so that it can be told when that is undone."""
        self.base = self._read(model)
        return self.base

    def read(self, model: PreTrainedModel, step: int, volume: float | None = None) -> Reading:
        """Read the model after so many steps of the perturbation, or at ``volume`` of it; step 0 is the aligned model.

        Raises InputError for a step before one that was read, and where the first is not 0.
        """
        integer(least=0)(step, "step", "tracker")
        at = NONNEGATIVE(step * self.batch if volume is None else volume, "volume", "tracker")
        if (not self._readings and at != 0) or any(at <= before for before in self._readings):
            raise InputError(
                f"step {step} after {', '.join(map(str, self.steps)) or 'nothing'}",
                where="tracker",
                mend="read step 0 first, before the perturbation, then later steps",
            )
        reading = self._read(model)
        self._readings[at] = (step, reading)
        start = time.perf_counter()
        self._write()
        self.seconds += time.perf_counter() - start
        return reading

    def resume(self, step: int) -> None:
        """Go on from the readings up to ``step`` that ``out`` holds of the same documents; a training from step 0 starts anew."""
        self._readings = {}
        file = None if self.out is None else self.out / READINGS
        if step == 0 or file is None or not file.is_file():
            return
        try:
            kept = json_of(file, "readings", "delete the file")
            rows = [(float(row["volume"]), int(row["step"]), dict(row["reading"])) for row in kept["readings"]]
            same, base = kept["panel"] == self.panel.sha256, kept["base"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError("damaged readings", where=str(file), mend="delete the file") from error
        if same:
            self.base = self.base or base
            self._readings = {volume: (at, reading) for volume, at, reading in rows if at <= step}

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that were read."""
        return tuple(step for step, _ in self._readings.values())

    @property
    def course(self) -> Course:
        """The readings so far."""
        if not self._readings:
            raise InputError("no reading yet", where="tracker", mend="read the model at step 0")
        labels = tuple(f"step {step}" for step in self.steps)
        return Course(
            Path(self.panel.name).stem,
            tuple(self._readings),
            tuple(reading for _, reading in self._readings.values()),
            self.base,
            self.volumes,
            self.volume_unit,
            self.rate_unit,
            labels,
            {"pairs": self.panel.name},
        )

    @property
    def curve(self) -> Curve:
        """The Curve of the readings so far."""
        return self.course.curve()

    def result(self) -> Tracked:
        """What the readings say: `Course.summary`, and the path of the curve where it is written; kept as ``track.json``."""
        summary = self.course.summary()
        if self.out is not None:
            summary = {"curve": str(self.out / "track.csv"), **summary}
        if self.out is not None and self.writes:
            with whole_file(self.out / "track.json") as aside:
                aside.write_text(json.dumps(summary, indent=1, allow_nan=False))
        return summary

    def _read(self, model: PreTrainedModel) -> Reading:
        if self._sides is None:
            if self.tokenizer is None:
                raise InputError("no tokenizer", where="tracker", mend="pass the model's own tokenizer")
            self._sides = self.panel.encoded(model, self.tokenizer)
        start = time.perf_counter()
        reading = read_model(model, self._sides, autocast=self.autocast, where="tracker")
        self.seconds += time.perf_counter() - start
        return reading

    def _write(self) -> None:
        if self.out is None or not self.writes:
            return
        rows = [{"volume": at, "step": step, "reading": reading} for at, (step, reading) in self._readings.items()]
        with whole_file(self.out / READINGS) as aside:
            aside.write_text(json.dumps({"panel": self.panel.sha256, "base": self.base, "readings": rows}))
        self.curve.write(self.out / "track.csv")
