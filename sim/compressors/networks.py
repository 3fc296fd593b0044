"""Small causal transformers by name, from 50 thousand to 10 million parameters, built from transformers' configs without a download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from elastomath import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NetworkSize:
    """A GPT-2-like decoder: layer norms, learned positions, GELU feed-forward layers, embeddings tied to the output or not.

    width: of the residual stream; layers; heads; inner: width of the feed-forward layers. With ``v = alphabet + 1`` tokens and
    n positions it has ``(v + n) width + layers (4 width^2 + 2 width inner + inner + 9 width) + 2 width`` parameters; untied,
    ``v width`` more. (GPT-2 and not Llama: transformers' Llama computes norms and attention in float32 whatever the dtype, which
    stops the gradient near 1e-6.)

    ``width < alphabet - 1`` makes a bottleneck: the logits of all contexts have rank at most ``width``, so that no number of
    parameters in between lets the model represent every source.
    """

    width: int
    layers: int
    heads: int
    inner: int
    tied: bool = True

    def parameters(self, alphabet: int, length: int) -> int:
        """How many parameters the network has for sequences of that many symbols.

        >>> SIZES["50k"].parameters(4, 4), SIZES["10m"].parameters(4, 4)
        (50864, 9995248)
        """
        tokens = ((1 if self.tied else 2) * (alphabet + 1) + length) * self.width
        layer = 4 * self.width**2 + 2 * self.width * self.inner + self.inner + 9 * self.width
        return tokens + self.layers * layer + 2 * self.width


SIZES: Final = {
    "bottleneck": NetworkSize(4, 2, 1, 2800, tied=False),
    "50k": NetworkSize(48, 2, 2, 160),
    "100k": NetworkSize(64, 2, 4, 256),
    "300k": NetworkSize(96, 3, 4, 324),
    "1m": NetworkSize(160, 4, 5, 456),
    "3m": NetworkSize(256, 4, 8, 948),
    "10m": NetworkSize(448, 5, 8, 1328),
}
"""Sizes by name. ``bottleneck`` has 50 thousand parameters and a residual stream of 4 numbers: limited, however large."""


def size_of(size: str | NetworkSize) -> NetworkSize:
    """A size by its name, or the size itself; InputError for a name that is not in `SIZES`, or heads that do not divide."""
    if isinstance(size, str):
        if size not in SIZES:
            raise InputError(f"size {size!r}", where="transformer", mend=f"choose one of {', '.join(SIZES)}")
        return SIZES[size]
    if min(size.width, size.layers, size.heads, size.inner) < 1 or size.width % size.heads:
        raise InputError(f"{size}", where="transformer", mend="positive numbers, width a multiple of heads")
    return size


def build(size: NetworkSize, alphabet: int, length: int, dtype: torch.dtype) -> Any:
    """An untrained network on the CPU for ``alphabet`` symbols and the beginning, positions 0 ... length - 1, in ``dtype``.

    Its initial weights come from torch's generator: seed it before.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    settings: Any = {
        "vocab_size": alphabet + 1,
        "n_positions": length,
        "n_embd": size.width,
        "n_layer": size.layers,
        "n_head": size.heads,
        "n_inner": size.inner,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "initializer_range": min(0.08, size.width**-0.5),
        "bos_token_id": alphabet,
        "eos_token_id": None,
        "tie_word_embeddings": size.tied,
        "use_cache": False,
        "attn_implementation": "eager",  # takes the mask of a tree, in every dtype
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        network: Any = GPT2LMHeadModel(GPT2Config(**settings))
        return network.to(dtype).eval()
    finally:
        torch.set_default_dtype(before)
