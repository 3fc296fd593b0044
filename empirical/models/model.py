"""A causal language model that is open: what runs, what a result has to say about it, and how it goes on token by token."""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elastomath.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LENGTHS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "context_length")
"""What configurations call the most tokens that their model takes at once."""
UNBOUNDED = 2048
"""The context of a model that names none."""
CACHES = ("past_key_values", "cache_params", "state")
"""What models call the memory of the tokens that they have read: attention's, Mamba's, RWKV's."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model, ready to run, with what a result has to say about it.

    model, tokenizer  of transformers (of peft, where an adapter reads tokens of its own); the model is in eval mode
    name              as it was asked for
    revision          the commit on the hub, or None
    sha256            of the GGUF or safetensors file (of the list of hashes, where there are several), or None for a hub id
    dtype, device     by their torch names
    quantised         the kind of rounding that the stored weights went through, such as ``Q4_1``, or None
    adapter           the folder of the adapter that was loaded into it, or None
    adapter_sha256    of that adapter's weights
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None
    sha256: str | None
    dtype: str
    device: str
    quantised: str | None
    adapter: str | None = None
    adapter_sha256: str | None = None

    @property
    def context(self) -> int:
        """The most tokens that the model takes at once, without those that an adapter puts in front."""
        most = context_of(self.model, self.tokenizer)
        return most - virtual_tokens(self.model)

    @property
    def parameters(self) -> int:
        """How many numbers the model has, an adapter's included; tied ones count once."""
        return sum(value.numel() for value in self.model.parameters())

    @property
    def trainable(self) -> int:
        """How many of them training changes."""
        return sum(value.numel() for value in self.model.parameters() if value.requires_grad)

    @property
    def prefix(self) -> int:
        """The token that every document is prefixed with: BOS, or else EOS. Raises InputError where there is neither."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise InputError(
            "the tokenizer has neither a BOS nor an EOS token", where=self.name, mend="set one in tokenizer_config.json"
        )

    def about(self) -> dict[str, str | None]:
        """What a result says about the model, for JSON."""
        names = ("name", "revision", "sha256", "dtype", "device", "quantised", "adapter", "adapter_sha256")
        return {{"name": "model"}.get(name, name): getattr(self, name) for name in names}


def configured_context(config: Any) -> int | None:
    """The most tokens at once that a configuration names, or None."""
    text = config.get_text_config()
    return next((int(getattr(text, name)) for name in LENGTHS if getattr(text, name, None)), None)


def context_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens that a model takes at once: by its configuration and its table of positions, else by its tokenizer.

    A table with a row for padding (RoBERTa's kind) begins to count behind that row.
    """
    most = configured_context(model.config)
    if most is None:
        limit = tokenizer.model_max_length
        return int(limit) if limit < 10**9 else UNBOUNDED
    for name, table in model.named_modules():
        padding = getattr(table, "padding_idx", None) if name.endswith("position_embeddings") else None
        if padding is not None:
            return min(most, int(table.num_embeddings) - int(padding) - 1)
    return most


def virtual_tokens(model: PreTrainedModel) -> int:
    """How many tokens an adapter puts in front of every input."""
    kind = getattr(model, "active_peft_config", None) if hasattr(model, "prompt_encoder") else None
    return int(kind.num_virtual_tokens) if kind is not None and kind.is_prompt_learning else 0


def vocabulary_of(model: PreTrainedModel) -> int:
    """How many tokens the model has a row for, in its table of inputs."""
    return int(model.get_input_embeddings().weight.shape[0])


def check_tokens(
    model: PreTrainedModel, most: int, where: str, tokenizer: PreTrainedTokenizerBase | None = None
) -> None:
    """Raise InputError where the largest token, ``most``, is beyond the model's table of inputs."""
    rows = vocabulary_of(model)
    if most >= rows:
        word = f" ({tokenizer.convert_ids_to_tokens(most)!r})" if tokenizer is not None else ""
        raise InputError(
            f"the tokenizer gives token {most}{word}, the model knows 0 to {rows - 1}",
            where=where,
            mend="use the model's own tokenizer, or texts without that token",
        )


def outputs_of(model: PreTrainedModel) -> int:
    """How many tokens the model gives a logit."""
    head = model.get_output_embeddings()
    return int(model.config.get_text_config().vocab_size if head is None else head.weight.shape[0])


def memory_bytes(loaded: LoadedModel, tokens: int) -> int:
    """Bytes that a row of so many tokens takes while the model goes on token by token: keys and values, or a state.

    By the configuration: 2 x layers x heads x width a token for attention; for a model without it, layers x width x
    (the state's size, else 8) a row.
    """
    config = loaded.model.config.get_text_config()
    layers, width = int(config.num_hidden_layers), int(config.hidden_size)
    size = next(loaded.model.parameters()).element_size()
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return int(layers * 2 * width * int(getattr(config, "state_size", None) or 8) * max(size, 4))
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    return int(2 * layers * kept * int(getattr(config, "head_dim", None) or width // heads) * size * tokens)


class Reader:
    """Reads rows of tokens side by side, a few more at a call, and tells the logits after the last of them.

    What was read is kept in the model's own memory, whatever it is called. A model that has none, or whose memory gives
    other logits than reading all at once (RWKV's in transformers 5, with more than one row), reads everything again.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        if model not in _MEMORIES:
            _MEMORIES[model] = _memory_of(model)
        self.model, self.name = model, _MEMORIES[model]
        self.memory: Any = None
        self.tokens: Tensor | None = None

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocabulary) after ``tokens`` (rows, n), which follow what was read before."""
        import torch

        if self.name is None:
            self.tokens = tokens if self.tokens is None else torch.cat([self.tokens, tokens], dim=1)
            logits: Tensor = self.model(input_ids=self.tokens, use_cache=False).logits
        else:
            answer = self.model(input_ids=tokens, **{self.name: self.memory, "use_cache": True})
            self.memory, logits = getattr(answer, self.name), answer.logits
        return logits[:, -1]


_MEMORIES: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()


def _memory_of(model: PreTrainedModel) -> str | None:
    """What the model's memory is called, if reading two rows with it, a token at a time, is reading them at once."""
    import torch

    known = inspect.signature(model.forward).parameters
    name = next((name for name in CACHES if name in known), None)
    if name is None:
        return None
    ids = torch.arange(10, device=next(model.parameters()).device).reshape(2, 5) % vocabulary_of(model)
    with torch.no_grad():
        whole, memory = model(input_ids=ids, use_cache=False).logits, None
        for end in range(2, 6):
            answer = model(input_ids=ids[:, 0 if end == 2 else end - 1 : end], **{name: memory, "use_cache": True})
            memory = getattr(answer, name, None)
            near = (answer.logits[:, -1] - whole[:, end - 1]).abs().max() <= 0.05 * whole.abs().max()
            if memory is None or not bool(near):
                return None
    return name


def first_line(error: Exception) -> str:
    """The first line of what an exception says, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the progress bars and warnings of transformers and of the hub's client off the terminal for a while."""
    import huggingface_hub.utils.logging as hub
    import transformers.modeling_gguf_pytorch_utils as gguf
    import transformers.utils.logging as log

    before, bars, hub_before, bar = log.get_verbosity(), log.is_progress_bar_enabled(), hub.get_verbosity(), gguf.tqdm
    log.set_verbosity_error()
    log.disable_progress_bar()
    hub.set_verbosity(logging.CRITICAL)
    gguf.tqdm = lambda items, *_, **__: items
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gguf.tqdm = bar
        hub.set_verbosity(hub_before)
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()
