"""Fine-tuning on token sequences, and the code lengths of held-out ones: one readable loop for every protocol."""

from __future__ import annotations

import hashlib
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from elastomath.progress import Meter, say

from ..models.checkpoints import about_checkpoint, load_checkpoint, save_checkpoint, trainable
from ..models.outputs import counted_code_length
from ..models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOOK_EVERY = 16
"""Steps between two looks at the losses: a look waits for the accelerator."""


class NotFiniteError(RuntimeError):
    """Training left the finite numbers. A sweep records it as a failed run, with its reason, and goes on."""


@dataclass(frozen=True)
class Phase:
    """Where a phase of training keeps itself, so that a killed one goes on to the same weights.

    file    weights, moments, losses and random state, written whole every ``every`` steps and at the end of the phase
    """

    file: Path
    every: int = 200


def train(
    model: PreTrainedModel,
    optimiser: torch.optim.Optimizer,
    data: Sequences,
    *,
    batch: int,
    warmup: int = 0,
    learning_rate: float,
    steps_done: int = 0,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
    micro: int | None = None,
    phase: Phase | None = None,
) -> list[float]:
    """One pass over the sequences in their order: mean nats per counted token, a step a batch. Returns the losses.

    The rate is constant after ``warmup`` linear steps (counted from ``steps_done``, so that a phase can be continued).
    Each step minimises ``-(1/m) sum ln p(x_t | x_<t)`` over the m counted tokens of its batch, however the batch is
    divided: into ``micro`` sequences at a time, over the processes of ``accelerate launch``, or both.
    With a `Phase`, a call like an earlier one that was killed goes on from what that one had written.

    Raises NotFiniteError (a RuntimeError) where a loss is not finite.
    """
    processes = _Processes(model)
    _follow(optimiser)
    model.train()
    losses: list[float] = []
    key = _phase_key(data, batch, warmup, learning_rate, steps_done, autocast) if phase else ""
    if phase:
        losses = _resume(phase, key, model, optimiser)
        if meter:
            meter.add(3 * data[slice(0, len(losses) * batch)].target_count, "training")
    waiting: list[Tensor] = []
    starts = range(0, len(data), batch)
    for step, start in enumerate(starts):
        if step < len(losses):
            continue
        part = data[slice(start, start + batch)]
        rate = learning_rate * min(1.0, (steps_done + step + 1) / warmup) if warmup else learning_rate
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        waiting.append(_gradients(processes, part, micro, autocast))
        optimiser.step()
        last = step + 1 == len(starts)
        keep = phase is not None and (last or (step + 1) % phase.every == 0)
        if len(waiting) == LOOK_EVERY or last or keep:
            losses += processes.together(torch.stack(waiting)).tolist()
            waiting = []
            _all_finite(losses, steps_done)
        if phase and keep:
            if processes.first:
                _keep(phase, key, model, optimiser, losses)
            processes.wait()
        if meter:
            meter.add(3 * part.target_count, "training")
    processes.leave()
    return losses


def new_optimiser(model: PreTrainedModel, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW on the trainable parameters, without weight decay (the setting of the paper's released run), fused."""
    moved = [value for _, value in trainable(model)]
    return torch.optim.AdamW(moved, lr=learning_rate, weight_decay=0.0, fused=True)


def _gradients(processes: _Processes, part: Sequences, micro: int | None, autocast: torch.dtype | None) -> Tensor:
    """Add the gradient of the batch's mean code length, and return this process's share of that mean."""
    own = list(range(processes.rank, len(part), processes.count))
    pieces = [own[i : i + (micro or len(own))] for i in range(0, len(own), micro or len(own))] if own else []
    share = torch.zeros((), device=processes.device)
    for index, rows in enumerate(pieces or [[0]]):  # every process takes part in the averaging, with nothing if need be
        ends = index + 1 == max(len(pieces), 1)
        with nullcontext() if ends else processes.apart():
            mean = counted_code_length(processes.model, part[rows], autocast) / part.target_count
            if not pieces:
                mean = mean * 0.0
            processes.backward(mean)
        share = share + mean.detach()
    return share


class _Processes:
    """One process, or several that `accelerate launch` started, each with its share of every batch."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.rank, self.count, self._accelerator = model, 0, 1, None
        self.device = next(model.parameters()).device
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=self.device.type == "cpu")
            self.rank, self.count = self._accelerator.process_index, self._accelerator.num_processes
            self.device = self._accelerator.device
            self.model = self._accelerator.prepare_model(model)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def backward(self, share: Tensor) -> None:
        """The gradients are averaged over processes, so the shares are multiplied by their number: a sum."""
        (share * self.count).backward()  # type: ignore[no-untyped-call]

    def apart(self) -> Any:
        """Gradients are only added up here, and reach the other processes with the last piece of the batch."""
        return self._accelerator.no_sync(self.model) if self._accelerator else nullcontext()

    def together(self, shares: Tensor) -> Tensor:
        """The sum of the shares over processes."""
        if self._accelerator is None:
            return shares
        total: Tensor = self._accelerator.reduce(shares, "sum")
        return total

    def wait(self) -> None:
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def leave(self) -> None:
        if self._accelerator is not None:
            self._accelerator.free_memory()


def _follow(optimiser: torch.optim.Optimizer) -> None:
    """Moments go where their parameters are: a process may just have moved its model to its own device."""
    for value, state in optimiser.state.items():
        for key, moment in state.items():
            if torch.is_tensor(moment) and moment.is_cuda and moment.device != value.device:
                state[key] = moment.to(value.device)


def _all_finite(losses: list[float], steps_done: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(losses))
    if wrong.size:
        raise NotFiniteError(
            f"the training loss is not finite (step {steps_done + wrong[0] + 1}): lower the learning rate"
        )


def _phase_key(
    data: Sequences, batch: int, warmup: int, learning_rate: float, steps_done: int, autocast: torch.dtype | None
) -> str:
    """What makes two calls the same phase, weights apart."""
    digest = hashlib.sha256(repr((batch, warmup, learning_rate, steps_done, autocast)).encode())
    for part in (data.tokens, data.first, data.length):
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()


def _keep(
    phase: Phase, key: str, model: PreTrainedModel, optimiser: torch.optim.Optimizer, losses: list[float]
) -> None:
    random = {"random.cpu": torch.get_rng_state()}
    place = next(model.parameters()).device
    if place.type == "cuda":  # dropout draws on the model's device, which need not be the current one
        random["random.cuda"] = torch.cuda.get_rng_state(place)
    extra = {"losses": torch.tensor(losses, dtype=torch.float64)} | random
    save_checkpoint(phase.file, model, optimiser, extra=extra, about={"phase": key})


def _resume(phase: Phase, key: str, model: PreTrainedModel, optimiser: torch.optim.Optimizer) -> list[float]:
    """Go back to what an earlier call of the same phase had written; returns its losses, or none."""
    if not phase.file.exists():
        return []
    if (about_checkpoint(phase.file) or {}).get("phase") != key:
        say(f"{phase.file}: of another phase, or damaged; this one starts from its beginning")
        return []
    extra = load_checkpoint(phase.file, model, optimiser)
    torch.set_rng_state(extra["random.cpu"])
    if "random.cuda" in extra:
        torch.cuda.set_rng_state(extra["random.cuda"], next(model.parameters()).device)
    losses: list[float] = extra["losses"].tolist()
    return losses
