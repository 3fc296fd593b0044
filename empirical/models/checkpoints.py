"""Weights and optimiser moments as one safetensors file, whole or not at all; nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elastomath.errors import InputError
from elastomath.storage import whole_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def trainable(model: PreTrainedModel) -> list[tuple[str, torch.nn.Parameter]]:
    """The parameters that training moves, by name; with adapters, the adapters alone. Tied weights occur once."""
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]


def save_checkpoint(
    path: Path,
    model: PreTrainedModel,
    optimiser: torch.optim.Optimizer | None = None,
    *,
    extra: dict[str, Tensor] | None = None,
    about: dict[str, str] | None = None,
) -> None:
    """Trainable weights, optimiser moments, ``extra`` tensors and ``about`` (JSON) in one file; tied weights once."""
    from safetensors.torch import save_file

    tensors = {f"weight.{name}": value.detach() for name, value in trainable(model)}
    if optimiser is not None:
        for name, value in trainable(model):
            for key, moment in optimiser.state.get(value, {}).items():
                tensors[f"moment.{key}.{name}"] = moment.detach() if moment.ndim else moment.detach().reshape(1)
    tensors |= {f"extra.{name}": value for name, value in (extra or {}).items()}
    with whole_file(path) as aside:
        said = {"about": json.dumps(about, sort_keys=True)} if about is not None else None
        save_file({key: value.contiguous() for key, value in tensors.items()}, str(aside), metadata=said)


def load_checkpoint(
    path: Path, model: PreTrainedModel, optimiser: torch.optim.Optimizer | None = None
) -> dict[str, Tensor]:
    """Restore what `save_checkpoint` stored, in place, on the devices of the parameters. Returns the extra tensors.

    Raises InputError for a file that is missing, damaged, or of other weights; the model is then unchanged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as tensors, torch.no_grad():
            keys = set(tensors.keys())
            places = trainable(model)
            for name, value in places:
                if tensors.get_slice(f"weight.{name}").get_shape() != list(value.shape):
                    raise InputError(
                        f"the checkpoint has another shape for {name}", where=str(path), mend="it is of another model"
                    )
            for name, value in places:
                value.copy_(tensors.get_tensor(f"weight.{name}"))
                if optimiser is None:
                    continue
                state = {}
                for key in ("step", "exp_avg", "exp_avg_sq"):
                    stored = f"moment.{key}.{name}"
                    if stored in keys:
                        moment = tensors.get_tensor(stored)
                        state[key] = moment.reshape(()) if key == "step" else moment.to(value.device)
                        if key == "step":
                            state[key] = state[key].to(value.device if value.is_cuda else "cpu")
                if state:
                    optimiser.state[value] = state
            return {key.removeprefix("extra."): tensors.get_tensor(key) for key in keys if key.startswith("extra.")}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"damaged checkpoint: {error}", where=str(path), mend="delete it; its phase is then run again"
        ) from error


def about_checkpoint(path: Path) -> dict[str, str] | None:
    """What the checkpoint says about itself, or None for one that is not there, cannot be read, or says nothing."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as tensors:
            record: dict[str, str] | None = json.loads((tensors.metadata() or {}).get("about", "null"))
            return record
    except (OSError, SafetensorError, ValueError):
        return None
