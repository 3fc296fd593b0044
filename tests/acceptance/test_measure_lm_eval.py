"""Our bits per byte beside lm-evaluation-harness's own rolling log-likelihood: same model, same window, float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elastomath.units import NATS_PER_BIT
from empirical.models import LoadedModel, load_model
from empirical.rates import measure, rolling_windows

pytestmark = pytest.mark.acceptance

TEXTS = [
    "A slow film, and a good one.",
    "",
    "Größe, café naïve — 映画はとても面白い。 Кино: 🎬🎭, e\u0301 \u2028 and a tab\t.",
    "\n\n  leading space, 1234567 and 'quotes'",
    "x",
    "The second half drags; the acting does not, and the light on the water is worth the ticket by itself. " * 6,
    "Wäre der Film kürzer, er wäre größer: "
    + " ".join(f"{n} Minuten sind zu viel, ça suffit." for n in range(90, 120)),
]
"""Non-ASCII characters, an empty document, one token, and two documents longer than the window."""
BOUND = 1e-5
"""The relative difference that is allowed, on every document and on the pooled rate."""


@pytest.fixture(scope="module")
def smollm2() -> LoadedModel:
    return load_model("smollm2-135m-instruct-q4", device="cpu", dtype="float32")


def harness(loaded: LoadedModel, texts: list[str], window: int, softmax_dtype: str) -> np.ndarray:
    """Natural log-likelihood of each text by lm-eval's HFLM on the same weights."""
    instance = pytest.importorskip("lm_eval.api.instance")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    peer = huggingface.HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        max_length=window,
        batch_size=4,
        add_bos_token=False,
        softmax_dtype=None if softmax_dtype == "float32" else softmax_dtype,  # None is its default
    )
    assert peer.max_length == window
    requests = [
        instance.Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=index)
        for index, text in enumerate(texts)
    ]
    return np.array(peer.loglikelihood_rolling(requests, disable_tqdm=True), dtype=np.float64)


def compare(loaded: LoadedModel, window: int, softmax_dtype: str = "float32") -> float:
    """The worst relative difference over documents and the pooled rate; checks that the texts reach every case."""
    ours = measure(loaded, TEXTS, window=window, softmax_dtype=softmax_dtype)
    assert ours.document_tokens[1] == 0
    assert ours.document_bits[1] == 0
    assert (ours.document_tokens > window).sum() >= 2
    assert (ours.document_tokens[ours.document_tokens > window] % window != 0).any()  # a last window that is filled up
    theirs = -harness(loaded, TEXTS, window, softmax_dtype) / NATS_PER_BIT
    full = ours.document_tokens > 0
    worst = float(np.max(np.abs(ours.document_bits[full] / theirs[full] - 1)))
    assert theirs[1] == 0
    pooled = theirs.sum() / sum(len(text.encode()) for text in TEXTS)
    return max(worst, abs(ours.bits_per_byte / pooled - 1))


@pytest.mark.parametrize("window", [7, 16, 64])
def test_tiny_model_agrees(tiny_model: Path, window: int) -> None:
    worst = compare(load_model(tiny_model, device="cpu", dtype="float32"), window)
    print(f"tiny model, window {window}: worst relative difference {worst:.2e}")
    assert worst < BOUND


def test_mutant_convention_is_seen(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A last window that is left short, instead of filled with older context, is told apart by the same comparison."""

    def short_last(length: int, window: int, stride: int | None = None) -> np.ndarray:
        rows = rolling_windows(length, window, stride)
        rows[:, 0] = rows[:, 1] - rows[:, 2]
        return rows

    monkeypatch.setattr("empirical.rates.rolling_windows", short_last)
    assert compare(load_model(tiny_model, device="cpu", dtype="float32"), 16) > 10 * BOUND


@pytest.mark.parametrize("softmax_dtype", ["float32", "float64"])
def test_smollm2_agrees(smollm2: LoadedModel, softmax_dtype: str) -> None:
    worst = compare(smollm2, 128, softmax_dtype)
    print(f"{smollm2.name}, window 128, softmax in {softmax_dtype}: worst relative difference {worst:.2e}")
    assert worst < BOUND
