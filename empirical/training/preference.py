"""DPO, KTO and SimPO through trl, on our tokens, in our order, with the reference of the phase and no trace left."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elastomath.errors import InputError, with_extra
from elastomath.progress import Meter

from ..data.examples import Example, Preference
from ..measures.code_lengths import code_lengths
from ..models.model import LoadedModel, quiet
from ..models.sequences import Sequences, encode_examples, from_ids
from .finetune import new_optimiser

if TYPE_CHECKING:
    from .settings import TuneSettings

Rows = list[dict[str, Any]]


def prefer(
    loaded: LoadedModel,
    pairs: Sequence[Preference],
    settings: TuneSettings,
    algorithm: str,
    seed: int,
    meter: Meter | None = None,
) -> tuple[list[float], int]:
    """One pass of trl's trainer over the pairs, in their order. Returns the loss of each step and the tokens trained on.

    The trainers get token ids, so that every algorithm trains on the same ones as SFT. The reference is the model as it
    is now: its log-probabilities are taken before the first step, so that no second model is held.

    Raises InputError without trl.
    """
    trl = _trl()
    from datasets import Dataset

    from .settings import BETA

    beta = BETA[algorithm] if settings.beta is None else settings.beta
    chosen, rejected = _encoded(loaded, pairs, settings)
    rows = _ROWS[algorithm](loaded, chosen, rejected, settings)
    counted = chosen.target_count + rejected.target_count
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="elastomath-"))
        stack.enter_context(_as_it_was(loaded))
        stack.enter_context(_quiet())
        options = _options(loaded, settings, seed, folder) | {"beta": beta}
        config, trainer = _trainer(trl, algorithm, options, settings)
        optimiser = new_optimiser(loaded.model, settings.learning_rate)
        rise = settings.warmup
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / rise) if rise else 1.0)
        run = trainer(
            model=loaded.model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=loaded.tokenizer,
            optimizers=(optimiser, rate),
        )
        _listen(run, meter, 3 * counted)
        run.train()
        losses = [float(entry["loss"]) for entry in run.state.log_history if "loss" in entry]
    return losses, counted


def _encoded(loaded: LoadedModel, pairs: Sequence[Preference], settings: TuneSettings) -> tuple[Sequences, Sequences]:
    """Chosen and rejected texts, each pair after one prompt: where the context is short, the one that the longer text leaves."""
    options: dict[str, Any] = {"end": settings.end, "context": loaded.context}
    both = [
        encode_examples(
            loaded.tokenizer, [Example(pair.prompt, text) for pair, text in texts], settings.max_tokens, **options
        )
        for texts in ([(pair, pair.chosen) for pair in pairs], [(pair, pair.rejected) for pair in pairs])
    ]
    rows = [[part.ids(row) for part in both] for row in range(len(pairs))]
    prompts = [min((prompt for prompt, _ in row), key=len) for row in rows]
    padding = int(both[0].tokens[0, 0])
    chosen, rejected = (from_ids(prompts, [row[side][1] for row in rows], padding) for side in (0, 1))
    return chosen, rejected


def _dpo_rows(loaded: LoadedModel, chosen: Sequences, rejected: Sequences, settings: TuneSettings) -> Rows:
    before = [-code_lengths(loaded.model, part, autocast=settings.autocast).nats for part in (chosen, rejected)]
    rows = []
    for row in range(len(chosen)):
        (prompt, better), (_, worse) = chosen.ids(row), rejected.ids(row)
        rows.append({"prompt_ids": prompt, "chosen_ids": better, "rejected_ids": worse})
    for name, values in zip(("ref_chosen_logps", "ref_rejected_logps"), before, strict=True):
        for entry, value in zip(rows, values.tolist(), strict=True):
            entry[name] = value
    return rows


def _kto_rows(loaded: LoadedModel, chosen: Sequences, rejected: Sequences, settings: TuneSettings) -> Rows:
    """Chosen and rejected in turn; z0 is estimated on each prompt with the text before it in its batch, as in trl."""
    prompts: list[list[int]] = []
    texts: list[list[int]] = []
    for row in range(len(chosen)):
        for part in (chosen, rejected):
            prompt, text = part.ids(row)
            prompts.append(prompt)
            texts.append(text)
    size = 2 * settings.batch
    turned = [
        text
        for start in range(0, len(texts), size)
        for text in texts[start : start + size][-1:] + texts[start : start + size][:-1]
    ]
    padding = int(chosen.tokens[0, 0])
    own, crossed = (
        -code_lengths(loaded.model, from_ids(prompts, part, padding), autocast=settings.autocast).nats
        for part in (texts, turned)
    )
    names = ("prompt_ids", "completion_ids", "KL_completion_ids", "ref_logps", "ref_KL_logps", "label")
    labels = [index % 2 == 0 for index in range(len(texts))]
    columns = zip(prompts, texts, turned, own.tolist(), crossed.tolist(), labels, strict=True)
    return [dict(zip(names, column, strict=True)) for column in columns]


def _simpo_rows(loaded: LoadedModel, chosen: Sequences, rejected: Sequences, settings: TuneSettings) -> Rows:
    rows = []
    for row in range(len(chosen)):
        entry: dict[str, object] = {"prompt": "", "chosen": "", "rejected": ""}
        for name, part in (("chosen", chosen), ("rejected", rejected)):
            prompt, text = part.ids(row)
            entry[f"{name}_input_ids"] = prompt + text
            entry[f"{name}_attention_mask"] = [1] * len(prompt + text)
            entry[f"{name}_labels"] = [-100] * len(prompt) + text
        rows.append(entry)
    return rows


_ROWS = {"dpo": _dpo_rows, "kto": _kto_rows, "simpo": _simpo_rows}


def _trl() -> Any:
    try:
        trl = importlib.import_module("trl")
        importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(
            f"DPO, KTO and SimPO need {error.name}", where="installation", mend=with_extra("preference")
        ) from error
    return trl


def _options(loaded: LoadedModel, settings: TuneSettings, seed: int, folder: str) -> dict[str, object]:
    """Arguments of transformers' Trainer: our order, constant rate, no clipping, nothing saved, nothing sent."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": settings.batch,
        "num_train_epochs": 1,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "weight_decay": 0.0,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "use_cpu": torch.device(loaded.device).type == "cpu",
        "bf16": settings.autocast == torch.bfloat16,
        "fp16": settings.autocast == torch.float16,
        "seed": seed,
        "data_seed": seed,
        "max_length": loaded.context,
    }


def _trainer(trl: Any, algorithm: str, options: dict[str, object], settings: TuneSettings) -> tuple[Any, Any]:
    """The configuration and the trainer class, which takes rows that are tokenised already."""
    if algorithm == "simpo":
        cpo = importlib.import_module("trl.experimental.cpo")
        plain = {"loss_type": "simpo", "cpo_alpha": 0.0, "simpo_gamma": settings.margin}
        config, base = cpo.CPOConfig(**options, **plain), cpo.CPOTrainer
        ours: dict[str, object] = {"tokenize_row": lambda self, feature, model=None: feature}
    else:
        names = {"dpo": ("DPOConfig", "DPOTrainer"), "kto": ("KTOConfig", "KTOTrainer")}[algorithm]
        make, base = (getattr(trl, name) for name in names)
        if algorithm == "kto":
            options = options | {"per_device_train_batch_size": 2 * settings.batch}
        config = make(**options, precompute_ref_log_probs=True)
        ours = {
            "_prepare_dataset": lambda self, dataset, *_, **__: dataset,
            "_precompute_ref_logps": lambda self, dataset, *_, **__: dataset,
        }
    config._n_gpu = min(config.n_gpu, 1)  # one process drives one device; several are for accelerate launch
    return config, type(f"Pretokenised{base.__name__}", (base,), ours)


def _listen(run: Any, meter: Meter | None, units: float) -> None:
    """No logs on stdout; the meter moves with the steps."""
    from transformers import PrinterCallback, TrainerCallback

    run.remove_callback(PrinterCallback)
    if meter is None:
        return

    add = meter.add

    class Move(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            add(units / max(state.max_steps, 1), "training")

    run.add_callback(Move())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither bars nor warnings of trl, transformers and datasets, and the random state of the caller kept."""
    import datasets.utils.logging as progress

    shown, silenced = progress.is_progress_bar_enabled(), os.environ.get("TRL_EXPERIMENTAL_SILENCE")
    numbers, words = np.random.get_state(), random.getstate()  # noqa: NPY002 (the trainers seed the global ones)
    progress.disable_progress_bar()
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(words)
        if silenced is None:
            del os.environ["TRL_EXPERIMENTAL_SILENCE"]
        if shown:
            progress.enable_progress_bar()


@contextlib.contextmanager
def _as_it_was(loaded: LoadedModel) -> Iterator[None]:
    """Take back what the trainers do to a model besides training it: its forward, its dropout, its padding."""
    model, tokenizer = loaded.model, loaded.tokenizer
    modules = [model] + ([model.get_base_model()] if hasattr(model, "peft_config") else [])
    patched = ("forward", "_original_forward")
    before = [{name: vars(module)[name] for name in patched if name in vars(module)} for module in modules]
    dropouts = {part: part.p for part in model.modules() if isinstance(part, torch.nn.Dropout)}
    config, generation = model.config.get_text_config(), getattr(model, "generation_config", None)
    padding = (config.pad_token_id, getattr(generation, "pad_token_id", None), tokenizer.pad_token)
    tags = list(getattr(model, "model_tags", None) or [])
    adapters = set(getattr(model, "peft_config", ()))
    if tokenizer.pad_token is None:  # padding is masked: any token will do
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token
    try:
        yield
    finally:
        for name in set(getattr(model, "peft_config", ())) - adapters:  # trl copies an adapter as its reference
            model.delete_adapter(name)
        for module, was_training in zip(modules, before, strict=True):
            for name in patched:
                vars(module).pop(name, None)
            vars(module).update(was_training)
        for part, p in dropouts.items():
            part.p = p
        config.pad_token_id, tokenizer.pad_token = padding[0], padding[2]
        if generation is not None:
            generation.pad_token_id = padding[1]
        if hasattr(model, "model_tags"):
            model.model_tags = tags
        model.zero_grad(set_to_none=True)
        model.eval()
