"""Fine-tuning beside transformers' Trainer: the same examples in the same order, the same losses, and who is faster."""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import numpy as np
import pytest
import torch

from empirical.data.documents import read_documents
from empirical.models.loading import load_model
from empirical.models.model import LoadedModel, quiet
from empirical.models.sequences import Sequences, encode
from empirical.training.finetune import new_optimiser, train

pytestmark = pytest.mark.acceptance

BATCH, RATE = 8, 1e-5
STEPS = int(os.environ.get("ELASTOMATH_SPEED_STEPS", "10"))
ROUNDS = 3


@pytest.fixture(scope="module")
def smollm2() -> LoadedModel:
    return load_model("smollm2-135m-instruct-q4", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def reviews(smollm2: LoadedModel) -> Sequences:
    """Short reviews of unequal length, as the protocols have them."""
    texts = read_documents("film-reviews:positive/rotten_tomatoes").texts[: BATCH * STEPS]
    return encode(smollm2.tokenizer, texts, "Film review:", 48)


def by_trainer(loaded: LoadedModel, data: Sequences, bf16: bool, folder: str) -> tuple[list[float], list[float]]:
    """A plain Trainer: padded to the longest of the batch, labels on the text only. Losses, and seconds of each step."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    pad = int(data.tokens[0, 0])
    rows = [{"ids": data.tokens[i, : int(data.length[i])], "first": int(data.first[i])} for i in range(len(data))]

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = torch.nn.utils.rnn.pad_sequence([row["ids"] for row in batch], batch_first=True, padding_value=pad)
        place = torch.arange(ids.shape[1])
        length = torch.tensor([len(row["ids"]) for row in batch])[:, None]
        first = torch.tensor([row["first"] for row in batch])[:, None]
        labels = torch.where((place >= first) & (place < length), ids, -100)
        return {"input_ids": ids, "attention_mask": (place < length).long(), "labels": labels}

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=0.0,
        optim="adamw_torch_fused",
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=True,
        bf16=bf16,
    )
    loaded.model.__dict__.pop("forward", None)
    with quiet():
        run = Trainer(loaded.model, arguments, data_collator=collate, train_dataset=rows, callbacks=[Clock()])
        run.remove_callback(PrinterCallback)
        run.train()
    for name in ("forward", "_original_forward"):  # accelerate leaves its autocast round the model
        loaded.model.__dict__.pop(name, None)
    losses = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    return losses, np.diff(ends).tolist()


def by_us(loaded: LoadedModel, data: Sequences, autocast: torch.dtype | None) -> tuple[list[float], list[float]]:
    """Our loop, and the seconds of each step."""
    optimiser = new_optimiser(loaded.model, RATE)
    step, ends = optimiser.step, [time.perf_counter()]

    def timed(*arguments: Any, **options: Any) -> Any:
        told = step(*arguments, **options)
        ends.append(time.perf_counter())
        return told

    optimiser.step = timed  # type: ignore[method-assign]
    losses = train(loaded.model, optimiser, data, batch=BATCH, learning_rate=RATE, autocast=autocast)
    return losses, np.diff(ends).tolist()


@pytest.mark.parametrize("number", ["float32", "bfloat16"])
def test_at_least_as_fast_as_a_plain_trainer_at_the_same_losses(
    smollm2: LoadedModel, reviews: Sequences, number: str, tmp_path: Any
) -> None:
    """Rounds of both in turn from the same weights, so that another load of the machine meets both; medians of steps."""
    start = {name: value.detach().clone() for name, value in smollm2.model.named_parameters()}

    def restored() -> None:
        with torch.no_grad():
            for name, value in smollm2.model.named_parameters():
                value.copy_(start[name])

    half = number == "bfloat16"
    spent: dict[str, list[float]] = {"trainer": [], "ours": []}
    losses: dict[str, list[float]] = {}
    by_us(smollm2, reviews[slice(0, BATCH)], torch.bfloat16 if half else None)  # warm
    for _ in range(ROUNDS):
        restored()
        losses["trainer"], seconds = by_trainer(smollm2, reviews, half, str(tmp_path))
        spent["trainer"] += seconds
        restored()
        losses["ours"], seconds = by_us(smollm2, reviews, torch.bfloat16 if half else None)
        spent["ours"] += seconds
    restored()
    tokens = reviews.target_count / STEPS
    ratio = statistics.median(spent["trainer"]) / statistics.median(spent["ours"])
    worst = float(np.max(np.abs(np.array(losses["ours"]) / np.array(losses["trainer"]) - 1)))
    for name, seconds in spent.items():
        print(f"{number} {name}: {tokens / statistics.median(seconds):.1f} counted tokens/s, {seconds}")
    print(f"{number}: ours / Trainer = {ratio:.2f} in tokens/s; losses differ by at most {worst:.1e}, {losses}")
    assert len(losses["trainer"]) == len(losses["ours"]) == STEPS
    assert worst < (1e-2 if half else 1e-4)
    assert ratio >= 1.0
