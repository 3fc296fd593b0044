"""Both responses to a prompt that is read once: the code lengths of each alone, on models with memories of several kinds."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from empirical.data.examples import Example
from empirical.measures import code_lengths as module
from empirical.measures.code_lengths import code_lengths, pair_lengths
from empirical.models.loading import load_model
from empirical.models.sequences import encode_examples

PROMPTS = ["The light falls:", "A word.", "", "The second half drags, and nobody says a word:", "A film."]
CHOSEN, REJECTED = (
    ["a good film", "x", "slow", "the water", "café"],
    ["it drags", "half a film, and half", "y", "z", "the light"],
)


def sides(loaded):
    return [
        encode_examples(loaded.tokenizer, [Example(p, t) for p, t in zip(PROMPTS, texts, strict=True)], 16)
        for texts in (CHOSEN, REJECTED)
    ]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt", "mamba", "recurrent_gemma", "rwkv"])
def test_both_sides_are_those_of_each_alone(tiny, kind, monkeypatch):
    loaded = load_model(tiny(kind), device="cpu", dtype="float32")
    chosen, rejected = sides(loaded)
    wanted = [code_lengths(loaded.model, side) for side in (chosen, rejected)]
    if kind in ("llama", "gpt2", "opt"):  # a memory of attention is gone on from, without reading a prompt twice
        module._goes_on(loaded.model, None)
        monkeypatch.setattr(module, "code_lengths", lambda *_, **__: pytest.fail("a side was read alone"))
    loaded.model.train()
    ours = pair_lengths(loaded.model, chosen, rejected)
    assert loaded.model.training
    for one, other in zip(ours, wanted, strict=True):
        assert one.nats == pytest.approx(other.nats, rel=1e-5)
        assert (one.tokens == other.tokens).all()


def test_other_prompts_on_the_two_sides_are_read_apart(tiny_model):
    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    chosen, _ = sides(loaded)
    other = encode_examples(loaded.tokenizer, [Example("Half.", text) for text in REJECTED], 16)
    ours = pair_lengths(loaded.model, chosen, other)
    assert np.array_equal(ours[1].nats, code_lengths(loaded.model, other).nats)


def test_a_model_that_goes_on_wrongly_is_found_out(tiny_model):
    """A model that forgets its prompt when it goes on gives other numbers: it is read the long way."""
    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    forward = loaded.model.forward

    def forgetful(*given, past_key_values=None, **options):
        return forward(*given, **options)

    wanted = [code_lengths(loaded.model, side).nats for side in sides(loaded)]
    loaded.model.forward = forgetful
    assert not module._goes_on(loaded.model, None)
    ours = pair_lengths(loaded.model, *sides(loaded))
    assert all(np.allclose(one.nats, other) for one, other in zip(ours, wanted, strict=True))
