"""Our rates beside lm-evaluation-harness's own log-likelihoods: same model, window and dtype; then speed and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elastomath.units import NATS_PER_BIT
from empirical.data.chats import Chat, Turn
from empirical.measures.rates import measure
from empirical.measures.windows import rolling_windows
from empirical.models.loading import load_model
from empirical.models.model import LoadedModel

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

    monkeypatch.setattr("empirical.measures.rates.rolling_windows", short_last)
    assert compare(load_model(tiny_model, device="cpu", dtype="float32"), 16) > 10 * BOUND


@pytest.mark.parametrize("softmax_dtype", ["float32", "float64"])
def test_smollm2_agrees(smollm2: LoadedModel, softmax_dtype: str) -> None:
    worst = compare(smollm2, 128, softmax_dtype)
    print(f"{smollm2.name}, window 128, softmax in {softmax_dtype}: worst relative difference {worst:.2e}")
    assert worst < BOUND


PAIRS = [
    ("Film review:", " a slow film, and a good one."),
    ("Question: is it any good?\nAnswer:", " yes"),
    ("The light on the water is worth the ticket by itself. " * 5 + "In short:", " go and see it."),
]
"""Prompts that end at a token's border, so that tokenising apart and together is the same."""


def test_responses_given_prompts_agree(tiny_model: Path) -> None:
    """lm-eval's log-likelihood of a continuation, one prompt longer than the window and cut on its left as ours is.

    The prefix is written out for lm-eval, which puts none before a prompt unless the tokenizer does.
    """
    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    instance = pytest.importorskip("lm_eval.api.instance")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    peer = huggingface.HFLM(
        pretrained=loaded.model, tokenizer=loaded.tokenizer, max_length=60, batch_size=2, add_bos_token=False
    )
    requests = [
        instance.Instance(
            request_type="loglikelihood", doc={}, arguments=(loaded.tokenizer.bos_token + prompt, text), idx=index
        )
        for index, (prompt, text) in enumerate(PAIRS)
    ]
    theirs = -np.array([value for value, _ in peer.loglikelihood(requests, disable_tqdm=True)]) / NATS_PER_BIT
    prompts, texts = zip(*PAIRS, strict=True)
    for prompt, text in PAIRS:
        together, *apart = (
            loaded.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt + text, prompt, text)
        )
        assert together == apart[0] + apart[1]
    assert len(loaded.tokenizer(prompts[2])["input_ids"]) > 60
    ours = measure(loaded, texts, window=60, prompts=prompts).document_bits
    np.testing.assert_allclose(ours, theirs, rtol=BOUND)


@pytest.mark.timeout(3000)
def test_faster_and_smaller_on_a_large_vocabulary() -> None:
    """gemma-3-270m, 262,144 tokens of vocabulary, bfloat16, in turns: >= 1.2 times the tokens/s, <= half the memory."""
    pytest.importorskip("lm_eval")
    from benchmarks.measure_lm_eval import side_by_side

    both = side_by_side("gemma-3-270m-q4")
    ours, peer = both["ours"], both["lm-eval"]
    speed = ours["tokens_per_second"] / peer["tokens_per_second"]
    memory = ours["peak_bytes"] / peer["peak_bytes"]
    worst = np.max(np.abs(np.array(ours["bits"]) / np.array(peer["bits"]) - 1))
    print(f"speed {speed:.2f}x, memory {memory:.2f}x, worst document {worst:.1e}")
    assert worst < 5e-3  # bfloat16: a matrix product's rounding depends on its shape
    assert abs(ours["bits_per_byte"] / peer["bits_per_byte"] - 1) < 1e-3
    assert speed >= 1.2
    assert memory <= 0.5


CHATS = [
    (Chat.of([Turn("user", "Is it a good film?")]), "It is a slow film, and a good one."),
    (Chat.of([Turn("system", "Be brief."), Turn("user", "Größe?")]), "Kleiner, kürzer: 42 Minuten."),
    (Chat.of([Turn("user", "Hi"), Turn("assistant", "Hello!"), Turn("user", "And the light?\n")]), "On the water"),
]


def chat_difference(loaded: LoadedModel, letters: int = 99) -> float:
    """The worst relative difference to `--apply_chat_template`, its BOS left to the template.

    lm-eval moves white space at the template's end into the continuation and scores it; that of the white space alone,
    which is a request of its own, is taken away.
    """
    instance = pytest.importorskip("lm_eval.api.instance")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    peer = huggingface.HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=1,
        add_bos_token=False,
        max_length=loaded.context,
    )

    def score(pairs: list[tuple[str, str]]) -> np.ndarray:
        requests = [
            instance.Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index)
            for index, pair in enumerate(pairs)
        ]
        return np.array([value for value, _ in peer.loglikelihood(requests, disable_tqdm=True)])

    worst = 0.0
    for chat, answer in ((chat, answer[:letters]) for chat, answer in CHATS):
        written = peer.apply_chat_template([turn._asdict() for turn in chat.turns])
        space = written[len(written.rstrip()) :]
        theirs = score([(written, answer)])[0]
        if space:
            theirs -= score([(written.removesuffix(space), space)])[0]
        ours = -measure(loaded, [answer], prompts=[chat]).document_bits[0] * NATS_PER_BIT
        worst = max(worst, abs(ours / theirs - 1))
    return worst


@pytest.mark.parametrize(
    "end", ["<assistant>\n", "[/INST]"], ids=["white space at the template's end", "none at the template's end"]
)
def test_chats_agree_on_a_tiny_model(tiny_model: Path, end: str) -> None:
    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    loaded.tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}\n{% endfor %}"
        + ("{% if add_generation_prompt %}" + end + "{% endif %}")
    )
    assert chat_difference(loaded, 8) < BOUND  # within its 64 positions


def test_chats_agree_on_smollm2(smollm2: LoadedModel) -> None:
    worst = chat_difference(smollm2)
    print(f"{smollm2.name}, chats: worst relative difference {worst:.2e}")
    assert worst < BOUND


def test_a_tokenizer_that_puts_bos_in_front(tiny_model: Path) -> None:
    """Why lm-eval is run with add_bos_token=False: its default takes Llama's BOS for the first token of the text."""
    from tests.unit.empirical.models.test_peers import puts_bos_in_front

    instance = pytest.importorskip("lm_eval.api.instance")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    puts_bos_in_front(loaded.tokenizer)
    text = "The light falls on the water."
    found = {}
    for choice in (None, False):
        peer = huggingface.HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, add_bos_token=choice)
        request = instance.Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
        found[choice] = -peer.loglikelihood_rolling([request], disable_tqdm=True)[0] / NATS_PER_BIT
    ours = measure(loaded, [text]).document_bits[0]
    assert ours == pytest.approx(found[False], rel=BOUND)
    assert abs(found[None] / ours - 1) > 1e-2
