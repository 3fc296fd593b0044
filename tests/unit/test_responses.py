"""Rates of responses: what is counted, where it is cut, and that one prompt gives what the fine-tuning code gives."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath.errors import InputError  # noqa: E402
from elastomath.units import NATS_PER_BIT  # noqa: E402
from empirical.examples import Example  # noqa: E402
from empirical.finetune import code_lengths, encode  # noqa: E402
from empirical.models import load_model  # noqa: E402
from empirical.responses import encode_examples, response_rate  # noqa: E402

TEXTS = ["a good film", "the light falls on the water and nobody says a word", "Größe, 映画", "it drags"]


@pytest.fixture
def tiny(tiny_model):
    return load_model(tiny_model, device="cpu", dtype="float32")


@pytest.mark.parametrize("prompt", ["Film review:", ""])
def test_one_prompt_gives_what_fine_tuning_counts(tiny, prompt):
    ours = encode_examples(tiny.tokenizer, [Example(prompt, text) for text in TEXTS], 8)
    theirs = encode(tiny.tokenizer, TEXTS, prompt, 8)
    assert torch.equal(ours.tokens, theirs.tokens)
    assert torch.equal(ours.first, theirs.first)
    assert torch.equal(ours.length, theirs.length)


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
    tight = response_rate(tiny, plain, 8, gap="")
    assert tight.bytes == worded.bytes - 1


def test_long_prompts_lose_their_beginning(tiny):
    data = encode_examples(tiny.tokenizer, [Example("nobody says a word " * 20, TEXTS[0])], 8, context=32)
    assert int(data.length[0]) == 32
    assert data.tokens[0, 0] == tiny.prefix
    head = tiny.tokenizer(("nobody says a word " * 20).rstrip(), add_special_tokens=False)["input_ids"]
    kept = int(data.first[0]) - 1
    assert data.tokens[0, 1 : kept + 1].tolist() == head[-kept:]
    response_rate(tiny, [Example("nobody says a word " * 40, TEXTS[0])], 8)  # fits the model's context of 64


def test_batching_changes_nothing(tiny):
    examples = [Example("say " * (i % 5), text) for i, text in enumerate(TEXTS * 3)]
    together = code_lengths(tiny.model, encode_examples(tiny.tokenizer, examples, 16)).nats
    alone = [code_lengths(tiny.model, encode_examples(tiny.tokenizer, [one], 16)).nats[0] for one in examples]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_bad_input_is_refused(tiny):
    with pytest.raises(InputError, match="0 examples"):
        response_rate(tiny, [], 8)
    with pytest.raises(InputError, match="example 2 has no text"):
        response_rate(tiny, [Example("a", "b"), Example("a", "  ")], 8)
    with pytest.raises(InputError, match="do not fit a context"):
        encode_examples(tiny.tokenizer, [Example("", TEXTS[1])], 40, context=5)
