"""`ElasticityCallback`: a tracker inside a Trainer of transformers or trl, on a grid of steps, without a trace in the training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from elastomath.checks import integer, optional, rows
from elastomath.progress import say

from ..behaviours import Pairs
from .course import Tracked
from .tracker import Tracker

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ElasticityCallback(TrainerCallback):  # type: ignore[misc]
    """Reads the pairs before the first step, after 1, 2, ... 7, 9, 11, 14, 17 ... steps (`on_grid`), and after the last one.

    steps       other steps to read at, beside the first and the last
    batch       examples of a step, where they are not the trainer's: per device, times accumulation, times devices
    volume_unit  examples, or tokens: the trainer's ``num_input_tokens_seen``, which it has to be asked to count
    options     those of `Tracker`

    All processes read, so that no one waits for another inside a step, and the first one writes. ``result`` holds what the
    readings said at the end; it is printed on stderr, too. A training that is resumed goes on from the readings in ``out``.

    >>> callback = ElasticityCallback("prefs.jsonl", out="out/track")         # doctest: +SKIP
    >>> trainer = Trainer(model, arguments, train_dataset=data, processing_class=tokenizer, callbacks=[callback])  # doctest: +SKIP
    >>> trainer.train()                                                      # doctest: +SKIP
    """

    def __init__(
        self,
        pairs: str | Pairs,
        *,
        out: str | Path | None = "out/track",
        steps: Sequence[int] | None = None,
        batch: int | None = None,
        **options: Any,
    ) -> None:
        self.tracker = Tracker(pairs, out=out, **options)
        gate = integer(least=0)
        given = None if steps is None else rows(steps, "steps", "callback", empty=True)
        self.steps = None if given is None else {gate(step, "an entry of steps", "callback") for step in given}
        self.batch = optional(integer(least=1))(batch, "batch", "callback")
        self.result: Tracked | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Read the model as it is before the first step, or go on from the readings of a training that was stopped."""
        tracker = self.tracker
        tracker.writes = state.is_world_process_zero
        tracker.tokenizer = tracker.tokenizer or kwargs.get("processing_class")
        examples = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        tracker.batch = float(self.batch or examples)
        tracker.resume(state.global_step)
        if state.global_step == 0:
            self._read(state, kwargs["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Read the model after the steps of the grid."""
        step = state.global_step
        if step in self.steps if self.steps is not None else on_grid(step):
            self._read(state, kwargs["model"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Read the last state, and say what the readings show."""
        if state.global_step not in self.tracker.steps:
            self._read(state, kwargs["model"])
        self.result = self.tracker.result()
        if state.is_world_process_zero:
            for sentence in self.result["conclusion"]:
                say(sentence)
            say(f"{len(self.tracker.steps)} readings took {self.tracker.seconds:.1f} s.")

    def _read(self, state: TrainerState, model: PreTrainedModel) -> None:
        tokens = state.num_input_tokens_seen if self.tracker.volume_unit == "tokens" else None
        self.tracker.read(model, state.global_step, tokens)


def on_grid(step: int) -> bool:
    """Whether a step lies on the grid: all up to 7, then each about a quarter further than the one before.

    >>> [step for step in range(1, 70) if on_grid(step)]
    [1, 2, 3, 4, 5, 6, 7, 9, 11, 14, 17, 21, 26, 32, 40, 50, 62]
    """
    at = 1
    while at < step:
        at += max(1, (at + 1) // 4)
    return at == step
