"""How much memory a model takes, to read and to train, from its configuration alone: no weights are loaded."""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from elastomath.checks import COUNT, choice, optional
from elastomath.errors import InputError
from elastomath.foreign import check_model_folder

from ..fetch.catalog import CATALOG
from ..fetch.fetching import cache_folder
from .devices import DTYPES
from .loading import HUB_ID, _locate
from .lora import LoraSettings, add_lora, lora_size
from .model import UNBOUNDED, configured_context, quiet

SIZES: Final = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""

KNOWN: Final[dict[str, dict[str, str | int]]] = tomllib.loads(
    resources.files(__package__).joinpath("shapes.toml").read_text(encoding="utf-8")
)
"""The shapes of models that the paper used, for estimates without a network; their parameter counts are tested."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of each part, and what they were counted from.

    model, context             as asked for; the most tokens that it takes at once
    parameters, trainable      counted exactly from the shapes (tied weights once, an adapter included)
    weights                    parameters in the dtype that they are kept in (reading under autocast: the copies too)
    gradients, optimiser       of the trainable ones, and what the output layer's takes on its way: two more of its size
                               where it is tied to the embedding (the two and their sum), one where it goes in chunks; the
                               optimiser has two moments (AdamW)
    logits                     at most ``logit_positions`` positions times the vocabulary: float32 values, and their
                               gradient in training
    activations                what the layers keep for the way back, counted on tensors without numbers: those of a real
                               pass or up to a fifth more (under autocast the weights' copies too); when only reading,
                               one layer at a time, estimated
    reference                  a second copy of the base weights, where one is kept beside the model
    total                      the sum; the framework's own few hundred MB come on top
    """

    model: str
    context: int
    parameters: int
    trainable: int
    weights: int
    gradients: int
    optimiser: int
    logits: int
    activations: int
    reference: int

    @property
    def total(self) -> int:
        """All parts together, in bytes."""
        return self.weights + self.gradients + self.optimiser + self.logits + self.activations + self.reference

    def as_dict(self) -> dict[str, int]:
        """For JSON, the total included."""
        return asdict(self) | {"total": self.total}


def memory_estimate(
    model: str | os.PathLike[str] | Any,
    *,
    batch: int = 1,
    tokens: int = 512,
    dtype: str = "float32",
    autocast: str | None = None,
    training: bool = True,
    lora: LoraSettings | None = None,
    reference: bool = False,
    logit_positions: int | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> MemoryEstimate:
    """Memory for batches of ``batch`` sequences of ``tokens`` tokens, from the configuration alone.

    model            what `load_model` takes, or a configuration of transformers. Without a network a hub id is looked
                     up in the hub's local cache, then in `KNOWN`
    dtype, autocast  in which the weights are kept, and in which the layers compute if that is another
    training         with gradients, AdamW's two moments and the activations; False: only reading
    lora             an adapter alone is trained; reference: the base weights are kept a second time on the device
    logit_positions  positions that go through the output layer at once; None: as many as `finetune` takes

    Raises InputError for a model whose configuration cannot be had, and for numbers below 1.

    >>> found = memory_estimate("meta-llama/Llama-2-7b-hf", training=False, dtype="bfloat16")
    >>> found.parameters, round(found.weights / 2**30, 1)
    (6738415616, 12.6)
    """
    for size, what in ((batch, "batch"), (tokens, "tokens"), (logit_positions, "logit positions")):
        optional(COUNT)(size, what, "memory")
    for number in (dtype, autocast or dtype):
        choice(number, "dtype", "memory", DTYPES)
    name = os.fspath(model) if isinstance(model, str | os.PathLike) else ""
    config: Any = configuration(name, revision, trust_remote_code, cache) if name else model
    shapes = _shapes(config, trust_remote_code)
    base = sum(value.numel() for value in shapes.parameters())
    adapter = lora_size(shapes, lora) if lora else 0
    trained = adapter if lora else base
    text = config.get_text_config()
    kept, computed = SIZES[dtype], SIZES[autocast or dtype]
    adapter_bytes = adapter * max(4, kept) if lora else 0
    weights = base * kept + adapter_bytes
    cast = base * computed if autocast and autocast != dtype and not training else 0
    chunk = _chunk(text.vocab_size)
    positions = min(logit_positions or chunk, batch * tokens)
    passing = 0 if lora else kept * _passing(shapes, chunked=batch * tokens > chunk)
    return MemoryEstimate(
        name or str(getattr(config, "name_or_path", "") or text.model_type),
        configured_context(text) or UNBOUNDED,
        base + adapter,
        trained,
        weights + cast,
        (adapter_bytes if lora else trained * kept + passing) if training else 0,
        (2 * (adapter_bytes if lora else trained * kept)) if training else 0,
        positions * text.vocab_size * 4 * (2 if training else 1),
        _activations(config, batch, tokens, dtype, autocast, training, lora),
        base * kept if reference else 0,
    )


def configuration(
    name: str, revision: str | None = None, trust_remote_code: bool = False, cache: str | os.PathLike[str] | None = None
) -> Any:
    """The configuration of a model that `load_model` would load, without its weights.

    Raises InputError where it cannot be had: an unknown name, a catalogue model that was never fetched, no network.
    """
    from transformers import AutoConfig

    path = Path(name).expanduser()
    options: dict[str, object] = {"trust_remote_code": trust_remote_code}
    if name in CATALOG or path.suffix.lower() == ".gguf":
        if name in CATALOG:
            item = CATALOG[name]
            path = cache_folder(cache) / "files" / name / item.file
        if not path.is_file():
            raise InputError("the file is not in the cache", where=name, mend=f"elastomath fetch {name}")
        options["gguf_file"] = path.name
        place = str(path.parent)
    elif path.is_dir():
        check_model_folder(path, name)
        place = str(path)
    elif HUB_ID.fullmatch(name):
        place = name
        if name in KNOWN and revision is None:
            options["local_files_only"] = True
        else:
            revision, options["local_files_only"] = _locate(name, revision)
        options["revision"] = revision
    else:
        raise InputError("no such model file or folder", where=name, mend="give a folder, a .gguf file or a hub id")
    try:
        with quiet():
            return AutoConfig.from_pretrained(place, **options)
    except Exception as error:  # the hub's client and the parsers raise many kinds
        if name in KNOWN:
            known = dict(KNOWN[name])
            return AutoConfig.for_model(known.pop("model_type"), **known)
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the configuration cannot be had: {line[:200]}",
            where=name,
            mend=f"connect, or give a local folder or one of {', '.join(KNOWN)}",
        ) from error


def _shapes(config: Any, trust_remote_code: bool) -> Any:
    """The model without numbers: every tensor has its shape and nothing behind it."""
    import torch
    import transformers

    try:
        with quiet(), torch.device("meta"):
            return transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except Exception as error:  # sizes that fit no layer raise many kinds
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"no causal language model can be made of the configuration: {line[:200]}",
            where="memory",
            mend="give another model, or the config.json that belongs to it",
        ) from error


def _passing(shapes: Any, chunked: bool) -> int:
    """Numbers of the output layer's gradient that are held beside the gradient itself while it is made."""
    output = getattr(shapes.get_output_embeddings(), "weight", None)
    if output is None:
        return 0
    tied = output is getattr(shapes.get_input_embeddings(), "weight", None)
    return int(output.numel()) * (2 if tied else int(chunked))


def _chunk(vocabulary: int) -> int:
    from .outputs import CHUNK, LOGIT_BUDGET

    return max(1, min(CHUNK, LOGIT_BUDGET // int(vocabulary)))


def _activations(
    config: Any, batch: int, tokens: int, dtype: str, autocast: str | None, training: bool, lora: LoraSettings | None
) -> int:
    """Bytes that the layers hold for one batch, the output layer aside.

    In training: a forward pass on tensors without numbers, whose every tensor that is saved for the way back is
    counted once. When only reading: what one layer of the usual kind has at a time.
    """
    text = config.get_text_config()
    if training:
        try:
            return _saved(config, batch, tokens, dtype, autocast, lora)
        except Exception:  # code of its own that looks at numbers
            return usual_activations(text, batch * tokens, SIZES[autocast or dtype])
    inner = int(getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size)
    return batch * tokens * (3 * int(text.hidden_size) + 2 * inner) * SIZES[autocast or dtype]


def usual_activations(text: Any, positions: int, size: int) -> int:
    """``layers * positions * ((7 h + 2 v + 4 i) size + 8 h)``: h the width, v of keys and values, i of the inner layer.

    What a layer of Llama's kind keeps for the way back: what enters each matrix, what enters each product, and two
    norms in float32; attention never writes its weights out. ``size`` is bytes a number.
    """
    width, heads = int(text.hidden_size), int(text.num_attention_heads)
    head = int(getattr(text, "head_dim", None) or width // heads)
    values = head * int(getattr(text, "num_key_value_heads", None) or heads)
    inner = int(getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * width)
    return int(text.num_hidden_layers) * positions * ((7 * width + 2 * values + 4 * inner) * size + 8 * width)


def _saved(config: Any, batch: int, tokens: int, dtype: str, autocast: str | None, lora: LoraSettings | None) -> int:
    import copy
    from types import SimpleNamespace

    import torch
    import transformers
    from torch._subclasses.fake_tensor import FakeTensorMode

    sizes: dict[Any, int] = {}
    kept = []  # alive, so that no storage's address is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with FakeTensorMode(), quiet():
        model = transformers.AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=getattr(torch, dtype))
        body = getattr(model, model.base_model_prefix)
        if lora is not None:
            add_lora(SimpleNamespace(model=model, name="memory"), lora)  # type: ignore[arg-type]
        number = getattr(torch, autocast or "bfloat16")
        ids = torch.zeros(batch, tokens, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", dtype=number, enabled=bool(autocast and autocast != dtype)),
        ):
            body(input_ids=ids, use_cache=False)
        weights = {value.untyped_storage()._cdata for value in model.parameters()}
    return sum(size for key, size in sizes.items() if key not in weights)
