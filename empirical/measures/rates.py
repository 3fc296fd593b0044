"""The compression rate of a causal language model: bits per UTF-8 byte, over rolling windows of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elastomath.arrays import Array
from elastomath.errors import InputError
from elastomath.progress import track
from elastomath.units import NATS_PER_BIT

from ..data.chats import prompt_ids
from ..data.tokens import token_ids
from ..models.devices import pick_dtype
from ..models.model import LoadedModel, check_tokens
from .contrast import prompt_numbers, ratio_se
from .windows import check_window, response_windows, rolling_windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

Index = NDArray[np.int64]
Row = dict[str, str | float | list[float] | list[int] | None]
"""Of a result: the rate of one dataset."""
LOGIT_BYTES = 1 << 26
"""Memory for logits: positions are put through the output layer in slices of this many bytes."""
RESAMPLES = 2000
"""Resamples of the documents behind a standard error."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The compression rate of a model on a dataset, pooled over documents.

    bits_per_byte   -sum log2 p(token | context) / sum of UTF-8 bytes
    se              its standard error over the population of documents, from resampling them, those that answer one prompt
                    together; None where fewer than two have text. Readings of the same documents share it: it is no
                    ``rate_se`` of a Curve (see `change`, and `reading_curve.within_run_se`)
    bits_per_token  the same bits / sum of tokens
    bytes, tokens, documents   the three counts; an empty document counts as a document with 0 tokens
    lossy           documents that the tokens do not give back, byte for byte: their rate is that of less than the text
    document_bits, document_bytes, document_tokens   per document, shape (documents,), in the order given
    document_prompts   the number of each one's prompt where documents share prompts (`contrast.prompt_numbers`), else None
    """

    bits_per_byte: float
    se: float | None
    bits_per_token: float
    bytes: int
    tokens: int
    documents: int
    lossy: int
    document_bits: Array
    document_bytes: Index
    document_tokens: Index
    document_prompts: tuple[int, ...] | None = None

    def summary(self, data: str) -> Row:
        """The row of a result: the numbers without the arrays, under the name of the dataset."""
        numbers = ("bits_per_byte", "se", "bits_per_token", "bytes", "tokens", "documents", "lossy")
        return {"data": data} | {name: getattr(self, name) for name in numbers}

    def arrays(self) -> dict[str, list[float] | list[int]]:
        """What every document costs, for JSON: ``document_bits``, ``document_bytes`` and ``document_tokens``."""
        return {name: getattr(self, name).tolist() for name in ("document_bits", "document_bytes", "document_tokens")}

    def change(self, before: Mapping[str, Any], where: str = "before") -> dict[str, float | None]:
        """``{change, change_se}``: bits per byte less those of an earlier reading of the same documents, which are paired.

        before: a row of an earlier result with `arrays`. The error is that of the difference of the code lengths over
        documents (`contrast.ratio_se`): what all documents share, and ``se`` is full of, drops out. None where fewer
        than two have text. Raises InputError for other documents.
        """
        bits, sizes = before.get("document_bits"), before.get("document_bytes")
        if bits is None or sizes is None or list(sizes) != self.document_bytes.tolist() or len(bits) != len(sizes):
            what = "no document_bits" if bits is None or sizes is None else "other documents than now"
            raise InputError(what, where=where, mend="measure the same data with --documents --json before")
        kept = self.document_bytes > 0
        prompts = None if self.document_prompts is None else np.asarray(self.document_prompts)[kept].tolist()
        rest = (self.document_bits - np.asarray(bits, dtype=np.float64))[kept]
        change = math.fsum(rest) / self.bytes
        return {
            "change": change,
            "change_se": ratio_se(rest, self.document_bytes[kept].astype(float), prompts) if kept.sum() > 1 else None,
        }


def pooled_rate(
    bits: Array,
    sizes: Index,
    tokens: Index,
    *,
    where: str = "data",
    seed: int = 0,
    lossy: int = 0,
    prompts: Sequence[int] | None = None,
) -> Rate:
    """`Rate` from per-document bits, UTF-8 bytes and tokens, each of shape (documents,); prompts: the number of each one's prompt.

    Raises InputError where there is nothing to measure.

    >>> pooled_rate(np.array([8.0, 24.0]), np.array([4, 4]), np.array([1, 3]), seed=0).bits_per_byte
    4.0
    """
    if sizes.sum() == 0 or tokens.sum() == 0:
        raise InputError(
            "there is no text to measure", where=where, mend="give at least one document that is not empty"
        )
    total = math.fsum(bits)
    return Rate(
        total / int(sizes.sum()),
        bootstrap_se(bits, sizes, seed=seed, prompts=prompts),
        total / int(tokens.sum()),
        int(sizes.sum()),
        int(tokens.sum()),
        len(bits),
        lossy,
        bits,
        sizes,
        tokens,
        None if prompts is None else tuple(prompts),
    )


def bootstrap_se(
    numerators: Array,
    denominators: NDArray[Any],
    resamples: int = RESAMPLES,
    seed: int = 0,
    prompts: Sequence[int] | None = None,
) -> float | None:
    """Standard error of ``sum numerators / sum denominators`` from resampling the documents with replacement.

    Shapes (documents,). Documents with denominator 0 are left out: they add nothing to either sum. None where fewer
    than two are left. prompts: the number of each document's prompt; those of one are resampled together. Each resample is a
    row of multinomial counts, so that a batch of them is one matrix product.

    >>> round(bootstrap_se(np.array([8.0, 0.0, 8.0, 0.0]), np.array([4, 4, 4, 4])), 1)  # 1/sqrt(4)
    0.5
    >>> bootstrap_se(np.array([1.0]), np.array([2])) is None
    True
    """
    if prompts is not None:
        group = np.unique(prompts, return_inverse=True)[1]
        sums = (np.bincount(group, np.asarray(row)) for row in (numerators, denominators))
        numerators, denominators = (np.asarray(row, dtype=np.float64) for row in sums)
    kept = np.asarray(denominators) > 0
    count = int(kept.sum())
    if count < 2:
        return None
    above, below = np.asarray(numerators, dtype=np.float64)[kept], np.asarray(denominators, dtype=np.float64)[kept]
    pooled = above.sum() / below.sum()
    even = pooled * below
    above = np.where(
        np.isclose(above, even, rtol=1e-14, atol=0.0), 0.0, above - even
    )  # so the deviation of the ratio keeps its digits
    rng = np.random.default_rng(seed)
    rows = max(1, (1 << 22) // count)
    deviations = []
    for start in range(0, resamples, rows):
        counts = rng.multinomial(count, np.full(count, 1 / count), size=min(rows, resamples - start))
        deviations.append((counts @ above) / (counts @ below))
    return float(np.concatenate(deviations).std(ddof=1))


def encode(loaded: LoadedModel, texts: Sequence[str], where: str = "data") -> list[Index]:
    """Token ids of each text, without special tokens added by the tokenizer; shape (tokens,) each.

    Raises InputError for a token that the model does not know, and for a text beyond the memory at hand.
    """
    if not texts:
        return []
    rows = token_ids(loaded.tokenizer, texts, where)
    check_tokens(loaded.model, max(int(row.max(initial=0)) for row in rows), where, loaded.tokenizer)
    return rows


def lost(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], rows: Sequence[Index]) -> list[int]:
    """The places of the texts that their tokens do not give back: of what they lose, a rate says nothing.

    Such tokenizers put capitals into lower case, join spaces, drop accents, or have a token for all that they do not know.
    """
    spelled = tokenizer.batch_decode(
        [row.tolist() for row in rows], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return [index for index, (text, again) in enumerate(zip(texts, spelled, strict=True)) if text != again]


def measure(
    loaded: LoadedModel,
    documents: Iterable[str],
    window: int | None = None,
    stride: int | None = None,
    batch_tokens: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    name: str = "data",
    softmax_dtype: str = "float32",
    prompts: Iterable[str] | None = None,
    lossy: bool = False,
) -> Rate:
    """Bits per UTF-8 byte, ``-sum log2 p(token | context) / sum bytes``, pooled over ``documents``.

    Each document is prefixed with BOS, or else EOS, and read in `rolling_windows`; ``window`` is the longest input
    of the model by default, ``stride`` the window. ``limit``: only the first so many documents.
    ``batch_tokens``: tokens in a batch (padded), more is faster on a GPU and changes nothing else.
    ``softmax_dtype``: float32 is the harness's arithmetic. On a CPU torch adds up its normaliser term by term, which
    rounds it down: seen 7e-6 nats a token for 49,152 tokens and 4e-5 for 262,144, the same way for every text.
    float64 is free of it.
    ``prompts``: one a document, read in front of it and not scored (`response_windows`). Prompt and document are
    tokenised apart, so that no token lies across the border; the bytes are the document's. A `chats.Chat` is read as
    the tokenizer's own template writes it; no prompt gets a second BOS (`chats.prompt_ids`).
    ``lossy``: measure documents that their tokens do not give back, and count them; else they are refused.

    Raises InputError for a window longer than the model's context, prompts that are not one a document, tokens that lose
    some of a document, numbers that are not finite, and where there is no text.
    """
    if isinstance(documents, str):
        raise InputError("one string is not a list of documents", where=name, mend="pass a list of strings")
    most = None if limit is None else max(limit, 0)
    texts = list(documents)[:most]
    before = None if prompts is None else list(prompts)[:most]
    if before is not None and len(before) != len(texts):
        raise InputError(f"{len(before)} prompts for {len(texts)} documents", where=name, mend="give one a document")
    window = loaded.context if window is None else window
    stride = window if stride is None else stride
    check_window(window, stride, loaded.context)
    if not any(texts):
        raise InputError("there is no text to measure", where=name, mend="give at least one document that is not empty")
    sizes = np.array([utf8_size(text, index, name) for index, text in enumerate(texts)], dtype=np.int64)
    rows = encode(loaded, texts, name)
    unlike = lost(loaded.tokenizer, texts, rows)
    if unlike and not lossy:
        raise InputError(
            f"the tokenizer does not give back {len(unlike)} of {len(texts)} documents, first document {unlike[0] + 1}: their "
            "bits are those of less than the text",
            where=name,
            mend="pass --lossy (lossy=True) to measure what is left, or use a model whose tokenizer keeps every byte",
        )
    tokens = np.array([row.size for row in rows], dtype=np.int64)
    given = prompt_ids(loaded.tokenizer, before or [""] * len(rows), loaded.prefix)
    check_tokens(loaded.model, max(max(row) for row in given), name, loaded.tokenizer)
    sequences, scored, owners = [], [], []
    for index, (read, row) in enumerate(zip(given, rows, strict=True)):
        whole = np.concatenate([np.asarray(read, dtype=np.int64), row])
        windows = (
            response_windows(len(read) - 1, row.size, window, stride)
            if len(read) > 1
            else rolling_windows(row.size, window, stride)
        )
        for begin, end, count in windows:
            sequences.append(whole[begin : end + 1])
            scored.append(int(count))
            owners.append(index)
    nats = token_log_probs(
        loaded, sequences, scored, batch_tokens=batch_tokens, softmax_dtype=softmax_dtype, what=f"measuring {name}"
    )
    bits = np.zeros(len(texts))
    np.add.at(bits, owners, [-float(row.sum()) / NATS_PER_BIT for row in nats])
    numbers = prompt_numbers([[tuple(read[1:]) for read in given]])
    return pooled_rate(
        bits, sizes, tokens, where=name, seed=seed, lossy=len(unlike), prompts=None if numbers is None else numbers[0]
    )


def measurement(
    loaded: LoadedModel,
    datasets: Iterable[Any],
    window: int | None = None,
    stride: int | None = None,
    batch_tokens: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    softmax_dtype: str = "float32",
    prompts: Iterable[Any] | None = None,
    documents: bool = False,
    before: Mapping[str, Any] | None = None,
    lossy: bool = False,
) -> dict[str, Any]:
    """The result of the verb ``measure``: the rate of one model on several `Documents`, ready for JSON.

    ``prompts``: `Documents` of the same lengths, where the rates are of responses given prompts.
    ``documents``: each row also holds what every document costs (`Rate.arrays`).
    ``before``: an earlier result with them, of the same data in the same order: each row also holds `Rate.change`.

    ``{results: [{data, bits_per_byte, se, bits_per_token, bytes, tokens, documents, lossy}], window, stride, bos, model,
    revision, sha256, dtype, device, quantised, adapter, adapter_sha256}``; ``bos`` is the token that each document was
    prefixed with, ``lossy`` how many documents their tokens do not give back.
    """
    window = loaded.context if window is None else window
    stride = window if stride is None else stride
    check_window(window, stride, loaded.context)
    sets = list(datasets)
    questions = [None] * len(sets) if prompts is None else [asked.texts for asked in prompts]
    earlier = [] if before is None else list(before.get("results", ()))
    if before is not None and len(earlier) != len(sets):
        raise InputError(
            f"{len(earlier)} earlier results for {len(sets)} data", where="before", mend="measure the same data"
        )
    results: list[Row] = []
    for data, asked in zip(sets, questions, strict=True):
        rate = measure(
            loaded, data.texts, window, stride, batch_tokens, limit, seed, data.name, softmax_dtype, asked, lossy
        )
        row = rate.summary(data.name)
        if before is not None:
            row |= rate.change(dict(earlier[len(results)]), data.name)
        if documents:
            row |= rate.arrays()
        results.append(row)
    return {
        "results": results,
        "window": window,
        "stride": stride,
        "bos": loaded.tokenizer.convert_ids_to_tokens(loaded.prefix),
    } | loaded.about()


def utf8_size(text: str, index: int = 0, where: str = "data") -> int:
    """Bytes of the text in UTF-8. Raises InputError for half a surrogate pair, which no UTF-8 file can hold.

    >>> utf8_size("café")
    5
    """
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InputError(
            f"document {index + 1} cannot be written in UTF-8 (character {error.start + 1} is half a surrogate pair)",
            where=where,
            mend="repair or drop that document",
        ) from error


def token_log_probs(
    loaded: LoadedModel,
    sequences: Sequence[NDArray[np.integer[Any]]],
    scored: Sequence[int] | None = None,
    *,
    batch_tokens: int | None = None,
    softmax_dtype: str = "float32",
    what: str = "scoring",
) -> list[Array]:
    """``ln p(token | the tokens before it)`` for the last ``scored`` tokens of each sequence, in nats.

    A sequence has its prefix token in front, so n+1 tokens give at most n numbers (the default: all n). Sequences are
    batched by length with padding on the right, which a causal model cannot see; the output layer is applied to the
    scored positions only, a slice at a time, and the log-softmax is in ``softmax_dtype`` or, if that is wider, the
    model's dtype (see `measure`).
    Returns a float64 array of shape (scored,) for each sequence, in the order given.

    Raises InputError for a sequence longer than the model's context + 1, and for numbers that are not finite.
    """
    import torch

    from ..models.gate import not_finite

    counts = [len(row) - 1 for row in sequences] if scored is None else [int(count) for count in scored]
    for row, count in zip(sequences, counts, strict=True):
        if not 0 <= count < len(row):
            raise InputError(f"{count} scored tokens in {len(row)}", where=what, mend="score at most all but the first")
        if len(row) > loaded.context + 1:
            raise InputError(
                f"{len(row) - 1} tokens are more than the model's context of {loaded.context}",
                where=what,
                mend="cut the sequence into windows",
            )
    results: list[Array] = [np.zeros(0)] * len(sequences)
    order = sorted((index for index, count in enumerate(counts) if count), key=lambda index: -len(sequences[index]))
    if not order:
        return results
    results = np.split(np.empty(sum(counts)), np.cumsum(counts)[:-1])  # one block: a piece a batch would pin its memory
    device = next(loaded.model.parameters()).device
    room = batch_tokens or (4096 if device.type == "cpu" else 32768)
    batches = _batches([len(sequences[index]) - 1 for index in order], room)
    accuracy = pick_dtype(softmax_dtype, device)
    training = loaded.model.training
    loaded.model.eval()
    try:
        with torch.inference_mode():
            head = _output_layer(loaded, device)
            for start, stop in track(batches, len(batches), what):
                batch = order[start:stop]
                values = _score(
                    loaded, head, [sequences[i] for i in batch], [counts[i] for i in batch], device, accuracy
                )
                for index, value in zip(batch, values, strict=True):
                    if not np.isfinite(value).all():
                        raise not_finite(loaded, f"{what}: log-probabilities")
                    results[index][:] = value
    finally:
        loaded.model.train(training)
    return results


def _batches(lengths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Ranges of rows, sorted from long to short, that fill at most ``room`` tokens when padded; one row at least."""
    ranges, start = [], 0
    while start < len(lengths):
        stop = min(len(lengths), start + max(1, room // lengths[start]))
        ranges.append((start, stop))
        start = stop
    return ranges


def _output_layer(loaded: LoadedModel, device: torch.device) -> Any:
    """The model's output layer if logits are that layer of the last hidden states, else None.

    Some families scale or cap their logits after the layer: the two ways are compared on a few tokens, so that a
    family with a step of its own goes the long way, through its whole forward pass.
    """
    import torch

    model = loaded.model
    head, body = model.get_output_embeddings(), getattr(model, "base_model", model)
    if head is None or body is model:
        return None
    probe = torch.arange(min(8, loaded.context), device=device)[None] % model.get_input_embeddings().weight.shape[0]
    whole = model(input_ids=probe, use_cache=False).logits.float()
    states = getattr(body(input_ids=probe, use_cache=False), "last_hidden_state", None)
    if states is None:  # peft's wrapper, whose body is the whole model
        return None
    parts = head(states.to(head.weight.dtype)).float()  # some keep their states in float32
    return head if whole.shape == parts.shape and torch.allclose(whole, parts, rtol=1e-4, atol=1e-5) else None


def _score(
    loaded: LoadedModel,
    head: Any,
    rows: Sequence[NDArray[np.integer[Any]]],
    counts: Sequence[int],
    device: torch.device,
    accuracy: torch.dtype,
) -> list[Array]:
    """ln p of the last ``counts`` tokens of each row, from one forward pass over the padded rows."""
    import torch

    width = max(len(row) for row in rows) - 1
    inputs = np.full((len(rows), width), loaded.prefix, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    places, targets = [], []
    for index, (row, count) in enumerate(zip(rows, counts, strict=True)):
        length = len(row) - 1
        inputs[index, :length] = row[:-1]
        mask[index, :length] = 1
        places.append(index * width + np.arange(length - count, length))
        targets.append(row[len(row) - count :])
    where = torch.from_numpy(np.concatenate(places)).to(device)
    wanted = torch.from_numpy(np.concatenate(targets).astype(np.int64)).to(device)
    tensors = {"input_ids": torch.from_numpy(inputs).to(device)}
    if not mask.all():
        tensors["attention_mask"] = torch.from_numpy(mask).to(device)
    if head is None:
        states = loaded.model(**tensors, use_cache=False).logits
    else:
        states = loaded.model.base_model(**tensors, use_cache=False).last_hidden_state
    states = states.reshape(-1, states.shape[-1])
    vocabulary = loaded.model.config.get_text_config().vocab_size
    step = max(1, LOGIT_BYTES // (4 * vocabulary))
    parts = []
    for start in range(0, len(where), step):
        slice_ = states[where[start : start + step]]
        logits = slice_ if head is None else head(slice_.to(head.weight.dtype))
        values = torch.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, accuracy))
        parts.append(values.gather(1, wanted[start : start + step, None])[:, 0].cpu().double())
    return np.split(torch.cat(parts).numpy(), np.cumsum(counts)[:-1])
