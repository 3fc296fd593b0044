"""Low-rank adapters: W + (alpha/rank) B A in place of W, B and A alone trained and kept; the base stays at hand."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elastomath.errors import InputError

if TYPE_CHECKING:
    from .models import LoadedModel

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""The two files of an adapter, as peft names them."""


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """W x + (alpha/rank) B A x for each target matrix W (out, in): A (rank, in) random, B (out, rank) zero at the start.

    rank, alpha, dropout  of the adapter; dropout applies to x before A, in training only
    targets               the last parts of the names of the matrices; None: by the architecture, as `targets_of` says
    seed                  of A
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank < 1 or not (np.isfinite(self.alpha) and self.alpha > 0) or not 0 <= self.dropout < 1:
            raise InputError(
                f"rank {self.rank}, alpha {self.alpha:g}, dropout {self.dropout:g}",
                where="lora",
                mend="rank >= 1, alpha > 0, 0 <= dropout < 1",
            )


def targets_of(model: Any) -> tuple[str, ...]:
    """The matrices that get an adapter where none are named: those that peft lists for the architecture, else all.

    All are the linear layers (and the transposed ones of GPT-2's kind) but the output layer.
    """
    _require_peft()
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    listed = KNOWN.get(model.config.get_text_config().model_type)
    if listed:
        return tuple(listed)
    output = model.get_output_embeddings()
    return tuple(sorted({name.rsplit(".", 1)[-1] for name, layer in _matrices(model) if layer is not output}))


def _matrices(model: Any) -> Iterator[tuple[str, Any]]:
    import torch
    from transformers.pytorch_utils import Conv1D

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear | Conv1D):
            yield name, layer


def lora_size(model: Any, settings: LoraSettings) -> int:
    """How many numbers the adapter trains: the sum of rank (in + out) over the target matrices. Reads shapes alone."""
    targets = settings.targets or targets_of(model)
    shapes = [tuple(layer.weight.shape) for name, layer in _matrices(model) if name.rsplit(".", 1)[-1] in targets]
    if not shapes:
        raise _no_target(model, targets)
    return int(settings.rank * sum(a + b for a, b in shapes))


def add_lora(loaded: LoadedModel, settings: LoraSettings) -> LoadedModel:
    """Put an adapter into the model, in place: only its numbers are trained from here, and B = 0 leaves the model as it was.

    The numbers of the adapter are float32 where the model is bfloat16 or float16. The class of the model and the names
    of its parts stay. Raises InputError where no matrix has a target's name, where there is an adapter already, and
    without peft.
    """
    _require_peft()
    import torch
    from peft import LoraConfig

    model = loaded.model
    if has_adapter(model):
        raise InputError("the model has an adapter already", where=loaded.name, mend="load the model again")
    targets = settings.targets or targets_of(model)
    lora_size(model, dataclasses.replace(settings, targets=targets))
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=list(targets),
        bias="none",
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(type(layer).__name__ == "Conv1D" for _, layer in _matrices(model)),
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model.add_adapter(config)
    for name, value in model.named_parameters():
        value.requires_grad_("lora_" in name)
        if value.requires_grad and value.dtype in (torch.bfloat16, torch.float16):
            value.data = value.data.float()
    model.eval()
    return loaded


def has_adapter(model: Any) -> bool:
    """Whether an adapter was put into the model."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


@contextlib.contextmanager
def adapter_off(loaded: LoadedModel) -> Iterator[LoadedModel]:
    """The model without its adapter for a while: the base, without its weights being kept twice.

    Raises InputError where there is no adapter.
    """
    if not has_adapter(loaded.model):
        raise InputError("the model has no adapter to leave out", where=loaded.name, mend="load it with lora")
    wanted = [(value, value.requires_grad) for value in loaded.model.parameters()]
    loaded.model.disable_adapters()
    try:
        yield loaded
    finally:
        loaded.model.enable_adapters()
        for value, trained in wanted:
            value.requires_grad_(trained)


def save_adapter(folder: str | os.PathLike[str], loaded: LoadedModel) -> None:
    """Keep the adapter alone, in peft's format (safetensors): the folder is there whole, or not at all.

    Raises InputError without an adapter, where something stands in the way, and where the disk is full.
    """
    if not has_adapter(loaded.model):
        raise InputError("the model has no adapter to keep", where=loaded.name, mend="load it with lora")
    target = Path(folder)
    if target.exists() and not (target / CONFIG).is_file():
        raise InputError("something stands where the adapter is to go", where=str(target), mend="name a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            loaded.model.save_pretrained(aside)
            config = json.loads((aside / CONFIG).read_text(encoding="utf-8"))
            config["base_model_name_or_path"] = loaded.name
            config["revision"] = loaded.revision
            (aside / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            for file in aside.iterdir():
                if file.name not in (WEIGHTS, CONFIG):
                    file.unlink()
            aside.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            os.replace(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"cannot keep the adapter: {error.strerror or error}",
            where=str(target),
            mend="free space or choose another folder",
        ) from error


def load_adapter(loaded: LoadedModel, folder: str | os.PathLike[str]) -> LoadedModel:
    """Put a kept adapter into the model, in place. Only safetensors are read.

    Raises InputError for a folder that holds no adapter, weights that are not safetensors, cut, or of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = Path(folder)
    if not (place / CONFIG).is_file() or not (place / WEIGHTS).is_file():
        raise InputError(f"the folder holds no {CONFIG} and {WEIGHTS}", where=str(place), mend="give a kept adapter")
    try:
        kept = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        settings = LoraSettings(
            int(kept["r"]), float(kept["lora_alpha"]), float(kept["lora_dropout"]), tuple(kept["target_modules"])
        )
        if kept.get("peft_type") != "LORA":
            raise InputError(
                f"an adapter of kind {kept.get('peft_type')}", where=str(place), mend="give a LoRA adapter"
            )
        weights = load_file(place / WEIGHTS)
    except InputError:
        raise
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"the adapter is damaged: {line[:200]}", where=str(place), mend="copy it again") from error
    add_lora(loaded, settings)
    ours = {
        name.removeprefix("base_model.model.").replace(".default.weight", ".weight"): value
        for name, value in loaded.model.named_parameters()
        if "lora_" in name
    }
    theirs = {name.removeprefix("base_model.model."): value for name, value in weights.items()}
    wrong = sorted(set(ours) ^ set(theirs)) or sorted(k for k in ours if ours[k].shape != theirs[k].shape)
    if wrong:
        raise InputError(
            f"the adapter is of another model: {wrong[0]} does not fit",
            where=str(place),
            mend="load its own base model",
        )
    for name, value in ours.items():
        value.data.copy_(theirs[name])
    return loaded


def _no_target(model: Any, targets: tuple[str, ...]) -> InputError:
    there = sorted({name.rsplit(".", 1)[-1] for name, _ in _matrices(model)})
    return InputError(
        f"no matrix is called {' or '.join(targets)}", where="lora", mend=f"the model has {', '.join(there)}"
    )


def _require_peft() -> None:
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise InputError("adapters need peft", where="installation", mend="pip install 'elastomath[llm]'") from error
