"""Rates of responses: what is counted, where it is cut, and that one prompt gives what the fine-tuning code gives."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath.errors import InputError  # noqa: E402
from elastomath.units import NATS_PER_BIT  # noqa: E402
from empirical.examples import Example  # noqa: E402
from empirical.finetune import code_lengths, encode_examples  # noqa: E402
from empirical.models import load_model  # noqa: E402
from empirical.responses import response_rate  # noqa: E402

TEXTS = ["a good film", "the light falls on the water and nobody says a word", "Größe, 映画", "it drags"]


@pytest.fixture(autouse=True)
def one_thread():
    """The models are tiny: on a busy machine two threads wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny(tiny_model):
    return load_model(tiny_model, device="cpu", dtype="float32")


def test_the_rate_is_the_models_log_probability_of_the_text_alone(tiny):
    examples = [Example("why is it", TEXTS[0]), Example("", TEXTS[1]), Example("say a word:", TEXTS[2])]
    rate = response_rate(tiny, examples, 48)
    for index, example in enumerate(examples):
        head = tiny.tokenizer(example.prompt, add_special_tokens=False)["input_ids"] if example.prompt else []
        text = (" " if example.prompt else "") + example.text
        body = tiny.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([tiny.prefix, *head, *body])
        with torch.inference_mode():
            logs = torch.log_softmax(tiny.model(ids[None]).logits[0].double(), -1)
        places = range(1 + len(head), len(ids))
        direct = -sum(float(logs[place - 1, ids[place]]) for place in places) / NATS_PER_BIT
        assert rate.example_bits[index] == pytest.approx(direct, rel=1e-5)
        assert rate.example_tokens[index] == len(body)
        assert rate.example_bytes[index] == len(text.encode())
    assert rate.bits_per_byte == pytest.approx(rate.example_bits.sum() / rate.example_bytes.sum())
    assert rate.bits_per_token == pytest.approx(rate.example_bits.sum() / rate.example_tokens.sum())
    assert rate.bits_per_byte_se > 0
    assert rate.bits_per_token_se > 0


def test_the_standard_error_is_that_of_the_ratio(tiny):
    examples = [Example("", f"{text} {word}") for text in TEXTS for word in ("and", "film", "water", "word", "slow")]
    rate = response_rate(tiny, examples, 32)
    residual = rate.example_bits - rate.bits_per_token * rate.example_tokens
    linear = np.sqrt((residual**2).sum()) / rate.example_tokens.sum()
    assert rate.bits_per_token_se == pytest.approx(linear, rel=0.15)
    assert response_rate(tiny, examples[:1], 32).bits_per_token_se is None


def test_a_text_is_cut_with_its_bytes(tiny):
    whole = response_rate(tiny, [Example("it:", TEXTS[1])], 60)
    cut = response_rate(tiny, [Example("it:", TEXTS[1])], 3)
    ids = tiny.tokenizer(" " + TEXTS[1], add_special_tokens=False)["input_ids"][:3]
    assert (cut.tokens, cut.bytes) == (3, len(tiny.tokenizer.decode(ids).encode()))
    assert cut.bytes < whole.bytes
    assert cut.example_bits[0] < whole.example_bits[0]


def test_a_template_words_the_prompts(tiny):
    plain = [Example("USER: a word ASSISTANT:", TEXTS[0])]
    worded = response_rate(tiny, [Example("a word", TEXTS[0])], 8, "USER: {prompt} ASSISTANT:")
    assert worded.example_bits == pytest.approx(response_rate(tiny, plain, 8).example_bits)
    assert worded.example_bits != pytest.approx(response_rate(tiny, [Example("a word", TEXTS[0])], 8).example_bits)


def test_long_prompts_lose_their_beginning(tiny):
    long = [Example("nobody says a word " * 40, TEXTS[0])]
    ids = tiny.tokenizer(("nobody says a word " * 40).rstrip(), add_special_tokens=False)["input_ids"]
    rate = response_rate(tiny, long, 8)
    body = tiny.tokenizer(" " + TEXTS[0], add_special_tokens=False)["input_ids"][:8]
    ids = torch.tensor([tiny.prefix, *ids[-(tiny.context - len(body) - 1) :], *body])
    with torch.inference_mode():
        logs = torch.log_softmax(tiny.model(ids[None]).logits[0].double(), -1)
    direct = -sum(float(logs[place - 1, ids[place]]) for place in range(len(ids) - len(body), len(ids)))
    assert rate.example_bits[0] == pytest.approx(direct / NATS_PER_BIT, rel=1e-5)


def test_batching_changes_nothing(tiny):
    examples = [Example("say " * (i % 5), text) for i, text in enumerate(TEXTS * 3)]
    together = code_lengths(tiny.model, encode_examples(tiny.tokenizer, examples, 16)).nats
    alone = [code_lengths(tiny.model, encode_examples(tiny.tokenizer, [one], 16)).nats[0] for one in examples]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_bad_input_is_refused(tiny):
    with pytest.raises(InputError, match="0 texts"):
        response_rate(tiny, [], 8)
    with pytest.raises(InputError, match="has no token"):
        response_rate(tiny, [Example("", "b"), Example("", "  ")], 8)
