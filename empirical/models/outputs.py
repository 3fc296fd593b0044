"""The output layer where it is needed: code lengths of the counted tokens, chunk by chunk, never all logits at once."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .model import check_tokens
from .sequences import Layout, Sequences, lay_out

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOGIT_BUDGET = 1 << 25
"""Logits held at a time (positions times vocabulary): 128 MB in float32, so that a 262k vocabulary does not fill memory."""
CHUNK = 128
"""The most positions that go through the output layer at a time."""


@dataclass(frozen=True)
class Support:
    """What was found to hold for a model, by trying it on a few tokens.

    packs   sequences laid end to end do not see each other, and are read as each would be alone
    splits  the output layer, applied to the hidden states that enter it, gives the model's logits
    """

    packs: bool
    splits: bool


_KNOWN: weakref.WeakKeyDictionary[Any, tuple[Any, Support]] = weakref.WeakKeyDictionary()


def support(model: PreTrainedModel) -> Support:
    """Try the model once (kept for as long as it lives): see `Support`. Costs four passes over 14 tokens."""
    plain = unwrapped(model)
    state = (id(plain.get_output_embeddings()), getattr(plain.config, "_attn_implementation", None))
    kernel = _KNOWN.get(plain)
    if kernel is None or kernel[0] != state:
        kernel = (state, _try(plain))
        _KNOWN[plain] = kernel
    return kernel[1]


def unwrapped(model: PreTrainedModel) -> Any:
    """The model inside the wrapper that averages gradients over processes, or the model itself."""
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model


def autocasting(device: torch.device, autocast: torch.dtype | None) -> AbstractContextManager[Any]:
    """Layers in the dtype ``autocast``; None for that of the weights.

    Inside one such block a weight is converted once, so a loop that does not train belongs inside a block of its own: each
    of its passes is then spared the conversion, and nothing that is computed changes.
    """
    context: AbstractContextManager[Any] = torch.autocast(
        device.type, dtype=autocast or torch.bfloat16, enabled=autocast is not None
    )
    return context


def counted_code_length(model: PreTrainedModel, data: Sequences, autocast: torch.dtype | None = None) -> Tensor:
    """``sum -ln p(x_t | x_<t)`` over all counted tokens of the batch, in nats: a scalar that can be differentiated.

    The gradient at the output layer is made chunk by chunk on the way forward, so that no more than `LOGIT_BUDGET`
    logits exist at a time and none is computed twice.
    """
    layout = laid_out(model, data)
    if not support(model).splits:
        return -_plain_log_probs(model, layout, autocast).sum()
    hidden, plain = _counted_hidden(model, layout, autocast), unwrapped(model)
    if len(layout.target) <= _chunk(
        plain
    ):  # one piece: its logits are less than a gradient of the output layer, kept and added
        return torch.nn.functional.cross_entropy(_logits(plain, hidden, autocast), layout.target, reduction="sum")
    weights = [weight for weight in plain.get_output_embeddings().parameters() if weight.requires_grad]
    return _CodeLength.apply(plain, autocast, hidden, layout.target, *weights)  # type: ignore[no-any-return, no-untyped-call]


def counted_log_probs(
    model: PreTrainedModel, data: Sequences, autocast: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """``ln p(x_t | x_<t)`` of each counted token (m,), sequence after sequence, and the row of each (m,); differentiable.

    Where a gradient is asked for, the logits of a chunk are computed again on the way back instead of being kept.
    """
    layout = laid_out(model, data)
    if not support(model).splits:
        return _plain_log_probs(model, layout, autocast), layout.row
    hidden = _counted_hidden(model, layout, autocast)
    return hidden_log_probs(model, hidden, layout.target, autocast), layout.row


def hidden_log_probs(
    model: PreTrainedModel, hidden: Tensor, target: Tensor, autocast: torch.dtype | None = None
) -> Tensor:
    """``ln p(target)`` (m,) from what enters the output layer (m, width), chunk by chunk; differentiable."""
    plain = unwrapped(model)

    def of(part: Tensor, aim: Tensor) -> Tensor:
        logits = _logits(plain, part, autocast)
        return logits.gather(1, aim[:, None]).squeeze(1) - logits.logsumexp(1)

    pieces = zip(hidden.split(_chunk(plain)), target.split(_chunk(plain)), strict=True)  # type: ignore[no-untyped-call]
    if torch.is_grad_enabled() and hidden.requires_grad:
        return torch.cat([checkpoint(of, part, aim, use_reentrant=False) for part, aim in pieces])
    return torch.cat([of(part, aim) for part, aim in pieces])


def counted_distributions(
    model: PreTrainedModel, data: Sequences, autocast: torch.dtype | None = None
) -> Iterator[Tensor]:
    """The whole log-distribution at each counted position, sequence after sequence: (positions, V) each, float32 or wider."""
    layout = laid_out(model, data)
    ends = torch.bincount(layout.row, minlength=len(data)).cumsum(0).tolist()
    if support(model).splits:
        hidden = _counted_hidden(model, layout, autocast)
        plain = unwrapped(model)
        for start, end in zip([0, *ends], ends, strict=False):
            yield torch.log_softmax(_logits(plain, hidden[start:end], autocast), dim=-1)
        return
    logits = _all_logits(model, layout, autocast)
    for start, end in zip([0, *ends], ends, strict=False):
        yield torch.log_softmax(logits[start:end], dim=-1)


def counted_hidden(
    model: PreTrainedModel, data: Sequences, autocast: torch.dtype | None = None
) -> tuple[Tensor, Layout]:
    """What enters the output layer at each counted position (m, width), and the layout; for heads of one's own."""
    layout = laid_out(model, data)
    return _counted_hidden(model, layout, autocast), layout


def laid_out(model: PreTrainedModel, data: Sequences) -> Layout:
    """End to end where the model can read it so and it costs less (attention grows with the square), else padded."""
    check_tokens(unwrapped(model), int(data.tokens.max()), "tokens")
    config = unwrapped(model).config.get_text_config()
    wide = 6 * int(getattr(config, "hidden_size", 1024))  # positions at which attention costs what the layers do
    lengths = data.length - 1
    total, padded, width = int(lengths.sum()), len(data) * int(lengths.max()), int(lengths.max())
    cheaper = total * (wide + total) < padded * (wide + width)
    device = next(model.parameters()).device
    return lay_out(data, device, packed=cheaper and support(model).packs)


class _CodeLength(torch.autograd.Function):
    """The summed code length of the targets; its gradient to hidden states and output weights is made going forward."""

    @staticmethod
    def forward(
        ctx: Any, model: PreTrainedModel, autocast: torch.dtype | None, hidden: Tensor, target: Tensor, *weights: Tensor
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        total = torch.zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        to_hidden: list[Tensor] = []
        to_weights = [torch.zeros_like(weight) for weight in weights] if wanted else []
        size = _chunk(model)
        for part, aim in zip(hidden.detach().split(size), target.split(size), strict=True):  # type: ignore[no-untyped-call]
            with torch.set_grad_enabled(wanted):
                piece = part.requires_grad_(wanted)
                loss = torch.nn.functional.cross_entropy(_logits(model, piece, autocast), aim, reduction="sum")
            total += loss.detach()
            if wanted:
                first, *rest = torch.autograd.grad(loss, [piece, *weights])
                to_hidden.append(first)
                for sum_, term in zip(to_weights, rest, strict=True):
                    sum_ += term
        ctx.save_for_backward(torch.cat(to_hidden) if wanted else hidden.new_zeros(0), *to_weights)
        return total

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        to_hidden, *to_weights = ctx.saved_tensors
        return None, None, to_hidden * factor, None, *(term * factor for term in to_weights)


def _counted_hidden(model: PreTrainedModel, layout: Layout, autocast: torch.dtype | None) -> Tensor:
    """Run the model up to its output layer: a hook takes what enters the layer and leaves it one position to work on."""
    head = unwrapped(model).get_output_embeddings()
    counts: list[Tensor] = []

    def take(_: Any, entering: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        counts.append(entering[0])
        return (entering[0][:1, :1], *entering[1:])

    hook = head.register_forward_pre_hook(take)
    try:
        _run(model, layout, autocast)
    finally:
        hook.remove()
    return counts[0].flatten(0, 1)[layout.place]


def _run(model: PreTrainedModel, layout: Layout, autocast: torch.dtype | None) -> Any:
    options: dict[str, object] = {"input_ids": layout.ids, "use_cache": False}
    if layout.attention is not None:
        options["attention_mask"] = layout.attention
    if layout.positions is not None:
        options["position_ids"] = layout.positions
    with autocasting(layout.ids.device, autocast):
        return model(**options)


def _all_logits(model: PreTrainedModel, layout: Layout, autocast: torch.dtype | None) -> Tensor:
    logits: Tensor = _run(model, layout, autocast).logits
    return _float32_at_least(logits.flatten(0, 1)[layout.place])


def _plain_log_probs(model: PreTrainedModel, layout: Layout, autocast: torch.dtype | None) -> Tensor:
    logits = _all_logits(model, layout, autocast)
    return logits.gather(1, layout.target[:, None]).squeeze(1) - logits.logsumexp(1)


def _logits(model: PreTrainedModel, hidden: Tensor, autocast: torch.dtype | None) -> Tensor:
    """The output layer and what some models do behind it (scaling, soft capping), in float32."""
    config = model.config.get_text_config()
    with autocasting(hidden.device, autocast):
        logits: Tensor = model.get_output_embeddings()(hidden)
    scale = getattr(config, "logit_scale", None)  # Cohere
    if scale is None and getattr(config, "logits_scaling", None):  # Granite
        scale = 1 / config.logits_scaling
    if scale is not None:
        logits = logits * scale
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma
    if cap:
        logits = torch.tanh(logits / cap) * cap
    return _float32_at_least(logits)


def _float32_at_least(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _chunk(model: PreTrainedModel) -> int:
    return max(1, min(CHUNK, LOGIT_BUDGET // int(model.config.get_text_config().vocab_size)))


@torch.no_grad()
def _try(model: PreTrainedModel) -> Support:
    """Two sequences end to end against each alone, and the output layer by itself against the model's logits."""
    training = model.training
    model.eval()
    place = next(model.parameters()).device
    vocabulary = int(model.config.get_text_config().vocab_size)
    draw = torch.Generator().manual_seed(0)
    one, other, last = torch.randint(vocabulary, (3, 7), generator=draw)
    close = 1e-3 if next(model.parameters()).dtype in (torch.float32, torch.float64) else 0.05
    try:
        alone = _run(model, _pieces([last], place, packed=False), None).logits[0].float()
        splits = _splits(model, _pieces([last], place, packed=False), alone, close)
        packs = "position_ids" in inspect.signature(model.forward).parameters or hasattr(model, "peft_config")
        if packs:
            first, second = (
                _run(model, _pieces([before, last], place, packed=True), None).logits[0, 6:].float()
                for before in (one, other)
            )
            near = (first - alone).abs().max() <= close * alone.abs().max()
            packs = bool(torch.equal(first, second) and near)  # the other sequence's content changes no bit
    finally:
        model.train(training)
    return Support(packs, splits)


def _splits(model: PreTrainedModel, layout: Layout, logits: Tensor, close: float) -> bool:
    if model.get_output_embeddings() is None:
        return False
    try:
        ours = _logits(model, _counted_hidden(model, layout, None), None)
    except (IndexError, RuntimeError, TypeError):  # the layer is not called as others call it
        return False
    return bool(ours.shape == logits.shape and (ours - logits).abs().max() <= close * logits.abs().max())


def _pieces(rows: list[Tensor], device: torch.device, *, packed: bool) -> Layout:
    tokens, ones = torch.stack(rows), torch.ones(len(rows), dtype=torch.long)
    return lay_out(Sequences(tokens, ones, ones * tokens.shape[1]), device, packed=packed)
