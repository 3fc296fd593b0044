"""Adapters: a new low-rank one to train, W + (alpha/rank) B A in place of W; and kept ones of any kind, which peft loads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath.checks import positive, real, whole
from elastomath.errors import InputError, with_extra
from elastomath.foreign import check_adapter_folder

from ..fetch.fetching import sha256_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .model import LoadedModel

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""The two files of an adapter, as peft names them."""
STATE_SPACE, UNADAPTED = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"), ("out_proj", "conv1d")
"""Models whose kernels read these matrices past their layers, so that peft refuses to adapt them."""


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
        whole(self.rank, "rank", "lora", least=1)
        positive(self.alpha, "alpha", "lora")
        real(self.dropout, "dropout", "lora", least=0.0, below=1.0)


def targets_of(model: PreTrainedModel) -> tuple[str, ...]:
    """The matrices that get an adapter where none are named: those that peft lists for the architecture, else all.

    All are the linear layers (and the transposed ones of GPT-2's kind) but the output layer.
    """
    _require_peft()
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    kind = model.config.get_text_config().model_type
    listed = KNOWN.get(kind)
    if listed:
        return tuple(listed)
    output = model.get_output_embeddings()
    names = {name.rsplit(".", 1)[-1] for name, layer in _matrices(model) if layer is not output}
    return tuple(sorted(names - set(UNADAPTED) if kind in STATE_SPACE else names))


def _matrices(model: PreTrainedModel) -> Iterator[tuple[str, Any]]:
    import torch
    from transformers.pytorch_utils import Conv1D

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear | Conv1D):
            yield name, layer


def lora_size(model: PreTrainedModel, settings: LoraSettings) -> int:
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
        lora_alpha=settings.alpha,
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


def has_adapter(model: PreTrainedModel) -> bool:
    """Whether an adapter was put into the model."""
    return bool(getattr(model, "_hf_peft_config_loaded", False)) or hasattr(model, "disable_adapter")


def load_adapter(loaded: LoadedModel, folder: str | os.PathLike[str]) -> LoadedModel:
    """The model with a kept adapter of any kind that peft knows, as peft itself reads it. Only safetensors are read.

    The base model is changed in place. Where the adapter lies inside the model's layers, the model keeps its class and is
    given back as it is; where it does more (tokens of its own in front, routing), peft's wrapper is given back, with the
    logits of the given tokens alone.

    Raises InputError for a folder that holds no adapter, for weights that are not safetensors, cut, or of another model,
    and for an adapter of another task.
    """
    _require_peft()
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError, safe_open

    from .model import first_line, quiet

    place = Path(folder).expanduser()
    if not (place / CONFIG).is_file() or not (place / WEIGHTS).is_file():
        raise InputError(f"the folder holds no {CONFIG} and {WEIGHTS}", where=str(place), mend="give a kept adapter")
    if has_adapter(loaded.model):
        raise InputError("the model has an adapter already", where=loaded.name, mend="load the model again")
    rank = check_adapter_folder(place, CONFIG, WEIGHTS, str(place))
    try:
        with safe_open(str(place / WEIGHTS), framework="pt") as tensors:
            kept = {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
        config = PeftConfig.from_pretrained(str(place))
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"the adapter is damaged: {first_line(error)}", where=str(place), mend="copy it again"
        ) from error
    if rank > max((axis for shape in kept.values() for axis in shape), default=0):
        raise InputError(
            f"the adapter is damaged: rank {rank}, which none of its weights has",
            where=str(place),
            mend="copy it again",
        )
    if config.task_type not in (None, "CAUSAL_LM"):
        raise InputError(
            f"an adapter for the task {config.task_type}", where=str(place), mend="give one for causal language models"
        )
    try:
        with quiet():
            wrapped = PeftModel.from_pretrained(loaded.model, str(place))
    except Exception as error:  # each kind of adapter raises its own
        raise InputError(
            f"the adapter is of another model, or peft cannot load it: {first_line(error)}",
            where=str(place),
            mend="load its own base model",
        ) from error
    _same_keys(wrapped, kept, place)
    model: PreTrainedModel = wrapped.get_base_model()
    try:
        alike = _computes_alike(model, wrapped)
    except Exception as error:
        raise InputError(
            f"an adapter of kind {config.peft_type.value} does not run on tokens alone: {first_line(error)}",
            where=str(place),
            mend="give an adapter that needs no more than the tokens",
        ) from error
    if config.is_prompt_learning or not alike:
        model = wrapped
        wrapped.register_forward_hook(_given_tokens_alone, with_kwargs=True)
    else:
        model._hf_peft_config_loaded, model.peft_config = True, wrapped.peft_config
    return dataclasses.replace(
        loaded, model=model.eval(), adapter=os.fspath(folder), adapter_sha256=sha256_of(place / WEIGHTS)
    )


def without_adapter(base: LoadedModel, adapted: LoadedModel, logits: Any) -> bool:
    """Take the adapter that `load_adapter` put into ``base`` out again, in place; whether the model is as it was.

    Every layer that peft put around one of the model's own gives it back; then the model has to give ``logits`` again, bit
    for bit: those of `probe` before the adapter was loaded.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    model = base.model
    if adapted.model is not model:  # peft's wrapper, which does more than its layers
        return False
    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer | AuxiliaryTrainingWrapper):
            parent, _, own = name.rpartition(".")
            inner = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer.original_module
            setattr(model.get_submodule(parent), own, inner)
    for attribute in ("_hf_peft_config_loaded", "peft_config"):
        if attribute in vars(model):
            delattr(model, attribute)
    return bool(torch.equal(probe(model), logits))


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """The model with its adapter in its weights, in place: W + (alpha/rank) B A for W, and the same logits up to rounding.

    Raises InputError for an adapter that is more than a change of weights (tokens of its own in front, routing).
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    from .model import first_line

    model, mend = loaded.model, "give the model with its adapter merged, as a folder of weights"
    where = str(loaded.adapter or loaded.name)
    if hasattr(model, "get_base_model"):
        raise InputError("the adapter is more than a change of weights", where=where, mend=mend)
    before = probe(model)
    try:
        for name, layer in list(model.named_modules()):
            parent, _, own = name.rpartition(".")
            if isinstance(layer, BaseTunerLayer):
                layer.merge()
                setattr(model.get_submodule(parent), own, layer.get_base_layer())
            elif isinstance(layer, AuxiliaryTrainingWrapper):
                merged = layer.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
                setattr(model.get_submodule(parent), own, merged)
    except Exception as error:  # each kind of adapter raises its own
        raise InputError(f"the adapter does not merge: {first_line(error)}", where=where, mend=mend) from error
    for attribute in ("_hf_peft_config_loaded", "peft_config"):
        if attribute in vars(model):
            delattr(model, attribute)
    off = float((probe(model) - before).abs().max() / before.abs().max())
    if not off <= MERGED * float(torch.finfo(before.dtype).eps):
        raise InputError(f"merged, the adapter gives other logits, by {off:.1e}", where=where, mend=mend)
    return dataclasses.replace(loaded, adapter=None, adapter_sha256=None)


MERGED = 1e4
"""So many roundings, of the largest logit, may a model with its adapter merged differ from the one with it beside."""


def probe(model: PreTrainedModel) -> Any:
    """The logits of eight tokens (1, 8, V): the same bits, the same model."""
    import torch

    ids = torch.arange(8, device=next(model.parameters()).device)[None] % model.get_input_embeddings().weight.shape[0]
    with torch.inference_mode():
        return model(input_ids=ids).logits


def _same_keys(wrapped: Any, kept: dict[str, tuple[int, ...]], place: Path) -> None:
    """Refuse an adapter whose file does not hold exactly what peft would keep of this model's: what it skips, it does not say."""
    from peft import get_peft_model_state_dict

    from .model import quiet

    with quiet():
        ours = {key: tuple(value.shape) for key, value in get_peft_model_state_dict(wrapped).items()}
    wrong = sorted(set(ours) ^ set(kept)) or sorted(key for key in ours if ours[key] != kept[key])
    if wrong:
        raise InputError(
            f"the adapter is of another model: {wrong[0]} does not fit",
            where=str(place),
            mend="load its own base model",
        )


def _computes_alike(model: PreTrainedModel, wrapped: Any) -> bool:
    """Whether the model without peft's wrapper gives the wrapper's logits, bit for bit."""
    import torch

    training = model.training
    wrapped.eval()
    try:
        return bool(torch.equal(probe(model), probe(wrapped)))
    finally:
        model.train(training)


def _given_tokens_alone(_: Any, given: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
    """Leave away the logits at the tokens that an adapter puts in front."""
    ids = options["input_ids"] if "input_ids" in options else given[0]
    if output.logits.shape[1] > ids.shape[1]:
        output.logits = output.logits[:, -ids.shape[1] :]
    return output


def _no_target(model: PreTrainedModel, targets: tuple[str, ...]) -> InputError:
    there = sorted({name.rsplit(".", 1)[-1] for name, _ in _matrices(model)})
    return InputError(
        f"no matrix is called {' or '.join(targets)}", where="lora", mend=f"the model has {', '.join(there)}"
    )


def _require_peft() -> None:
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise InputError("adapters need peft", where="installation", mend=with_extra("llm")) from error
