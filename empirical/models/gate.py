"""The gate that every model passes before it is used: what is wrong with it is said in one line, with what to do.

Each check is a property that a rate rests on: the weights are those of the file, finite and all there; the tokens are the
model's own; the numbers are those that were asked for; and ``p(x_t | x_<t)`` does not depend on x_t or what follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from elastomath.errors import InputError

from .model import LoadedModel, check_tokens, vocabulary_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE = 12
"""Tokens in a row of the causality probe."""
ROUNDINGS = 8
"""How many roundings of the dtype the earlier logits may differ by, relative to their own spread."""
NO_WEIGHTS = re.compile(r"(rotary_emb\.inv_freq|\.attn\.(masked_)?bias|\.attention\.(masked_)?bias|position_ids)$")
"""Tables that some files keep beside the weights, and that a model makes by itself: masks, frequencies, positions."""


class NumbersError(InputError):
    """The model cannot be computed in this dtype, and perhaps in another."""


def admit(loaded: LoadedModel) -> LoadedModel:
    """The model, if its rates can be those of a causal language model with these weights in this dtype.

    Raises InputError: weights that are not finite, a tokenizer that is empty or of another model, a dtype in which the
    model does not compute (or computes in another), logits that are not finite, logits that depend on later tokens.
    """
    _finite_weights(loaded)
    _own_tokens(loaded)
    rows = _rows(loaded)
    if loaded.dtype == "float64":
        widen(loaded.model)
    _causal(loaded, _forward(loaded, rows))
    return loaded


def complete(keys: Mapping[str, Any], name: str) -> None:
    """Refuse a file that holds other weights than the configuration's model: some missing, of another shape, or unused.

    ``keys``: the loading info of transformers. A missing weight would be drawn at random, an unused one left out.
    """
    shapes = sorted(keys.get("mismatched_keys") or [])
    if shapes:
        key, stored, wanted = (
            (shapes[0] + (None, None))[:3] if isinstance(shapes[0], tuple) else (shapes[0], None, None)
        )
        sizes = f": {tuple(stored)} in the file, {tuple(wanted)} by the configuration" if stored is not None else ""
        raise InputError(
            f"{len(shapes)} weights have another shape than config.json says, first {key}{sizes}",
            where=name,
            mend="give the config.json that belongs to the weights",
        )
    missing = sorted(keys.get("missing_keys") or [])
    if missing:
        raise InputError(
            f"the file lacks {len(missing)} of the weights, first {missing[0]}",
            where=name,
            mend="give the complete weights of a causal language model",
        )
    unused = sorted(key for key in keys.get("unexpected_keys") or [] if not NO_WEIGHTS.search(key))
    if unused:
        raise InputError(
            f"the file holds {len(unused)} weights that the model of config.json does not use, first {unused[0]}",
            where=name,
            mend="give the config.json that belongs to the weights, or weights of a causal language model alone",
        )


def _finite_weights(loaded: LoadedModel) -> None:
    """Every number of the weights; VB-LoRA alone writes -inf for what it leaves out. A finite sum has finite terms only."""
    for key, value in loaded.model.named_parameters():
        if "vblora_logits" in key or not value.is_floating_point():
            continue
        total = value.detach().sum(dtype=torch.promote_types(value.dtype, torch.float32))
        if not bool(torch.isfinite(total)) and not bool(torch.isfinite(value).all()):
            raise InputError(
                f"the weight {key} holds numbers that are not finite",
                where=loaded.name,
                mend="load it in float32, or give undamaged weights"
                if loaded.dtype == "float16"
                else "give another copy",
            )


def _own_tokens(loaded: LoadedModel) -> None:
    tokenizer, rows = loaded.tokenizer, vocabulary_of(loaded.model)
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) < 1:
        raise InputError(
            "the tokenizer has no tokens: its files are missing", where=loaded.name, mend="add tokenizer.json beside it"
        )
    check_tokens(loaded.model, loaded.prefix, loaded.name, tokenizer)
    if tokenizer.vocab_size > rows:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model knows {rows}",
            where=loaded.name,
            mend="give the model its own tokenizer",
        )


def _rows(loaded: LoadedModel) -> Tensor:
    """Two rows of tokens that differ in the last one, no special ones among them."""
    special = {token for token in loaded.tokenizer.all_special_ids if token is not None}
    plain = torch.tensor([i for i in range(min(vocabulary_of(loaded.model), 4096)) if i not in special] or [0, 1])
    draw = torch.Generator().manual_seed(0)
    length = max(2, min(PROBE, loaded.context))
    row = plain[torch.randint(len(plain), (length + 1,), generator=draw)]
    other = row[:length].clone()
    other[-1] = row[length] if row[length] != other[-1] else plain[(int(row[length]) + 1) % len(plain)]
    if torch.equal(other, row[:length]):
        other[-1] = next((int(token) for token in plain if token != other[-1]), loaded.prefix)
    return torch.stack([row[:length], other]).to(loaded.device)


def _forward(loaded: LoadedModel, rows: Tensor) -> Tensor:
    narrow = _Narrow()
    try:
        with torch.inference_mode():
            if loaded.dtype == "float64":
                with narrow:
                    logits: Tensor = loaded.model(input_ids=rows, use_cache=False).logits
            else:
                logits = loaded.model(input_ids=rows, use_cache=False).logits
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError, IndexError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NumbersError(
            f"the model does not compute in {loaded.dtype} on {loaded.device}: {line[:200]}",
            where=loaded.name,
            mend="use --dtype float32" if loaded.dtype != "float32" else "give a causal language model",
        ) from error
    if narrow.seen:
        raise NumbersError(
            f"the model's own code computes in {narrow.seen}, not in float64 throughout",
            where=loaded.name,
            mend="use --dtype float32",
        )
    if bool(torch.isnan(logits).any()) or bool((logits == torch.inf).any()):
        raise not_finite(loaded)
    return logits


def not_finite(loaded: LoadedModel, what: str = "the model's logits") -> NumbersError:
    """The error for numbers that left the finite ones though the weights are finite."""
    mend = "use --dtype float32 or bfloat16" if loaded.dtype == "float16" else "use --dtype float32, or another model"
    return NumbersError(f"{what} are not finite in {loaded.dtype}", where=loaded.name, mend=mend)


def _causal(loaded: LoadedModel, logits: Tensor) -> None:
    """Earlier logits of two rows that differ in the last token alone: equal but for rounding, where nothing looks ahead."""
    one, other = logits.double().masked_fill(logits == -torch.inf, 0.0)[:, :-1]
    spread = (one - one.mean(-1, keepdim=True)).square().mean().sqrt()
    change = (one - other).square().mean(-1).sqrt().amax()
    if change > ROUNDINGS * torch.finfo(logits.dtype).eps * spread:
        raise InputError(
            f"the model sees the future: another last token changes earlier logits by {float(change / spread):.2g} of their "
            "spread",
            where=loaded.name,
            mend="give a causal language model (a decoder), as a rate is that of each token given those before it",
        )


class _Narrow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches for a floating number narrower than float64 in what operations give."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if torch.is_tensor(value) and value.is_floating_point() and value.dtype != torch.float64:
                self.seen = self.seen or f"{str(value.dtype).removeprefix('torch.')} ({func.__name__.split('.')[0]})"
        return out


class _Wide(TorchFunctionMode):
    """Gives float64 wherever code asks for narrower floating numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.float, Tensor.half, Tensor.bfloat16):
            return args[0].double()
        return func(*map(_widened, args), **{key: _widened(value) for key, value in (kwargs or {}).items()})


def _widened(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value


@contextmanager
def wide() -> Iterator[None]:
    """Within: float64 for whatever asks for float32 or less, and as the default of new tensors."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Wide():
            yield
    finally:
        torch.set_default_dtype(before)


_entered: list[Any] = []


def _enter(*_: Any) -> None:
    context = wide()
    context.__enter__()
    _entered.append(context)


def _leave(*_: Any) -> None:
    _entered.pop().__exit__(None, None, None)


def widen(model: PreTrainedModel) -> None:
    """Let the model compute in float64 what its code would compute in float32 (norms, rotations, softmax): in place."""
    parts: list[Any] = []
    for part in (model, getattr(model, "base_model", None)):
        if isinstance(part, torch.nn.Module) and all(part is not one for one in parts):
            parts.append(part)
    for part in parts:
        part.register_forward_pre_hook(_enter, prepend=True)
        part.register_forward_hook(_leave, always_call=True)
