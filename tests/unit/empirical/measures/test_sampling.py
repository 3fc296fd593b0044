"""Samples follow the model's own law, exactly, whatever the batches; and stop where the model stops."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath.errors import InputError
from empirical.measures.code_lengths import code_lengths
from empirical.measures.sampling import end_tokens, quantile, sample
from empirical.models.loading import load_model


@pytest.fixture
def tiny(tiny_model):
    return load_model(tiny_model, device="cpu", dtype="float32")


def test_the_first_token_has_the_models_law(tiny):
    count = 6000
    drawn = sample(tiny, ["a film"] * count, 1, seed=1)
    head = [tiny.prefix, *tiny.tokenizer("a film", add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        law = torch.softmax(tiny.model(torch.tensor([head])).logits[0, -1].double(), -1).numpy()
    seen = np.bincount(drawn.sequences.tokens[:, len(head)].numpy(), minlength=len(law)) / count
    likely = law > 0.002  # where a z value means something
    z = (seen - law)[likely] / np.sqrt(law * (1 - law) / count)[likely]
    assert np.abs(z).max() < 4.5
    assert z.std() == pytest.approx(1.0, abs=0.35)
    warm = np.exp(np.log(law) / 1.5)
    warm /= warm.sum()
    mutant = (seen - warm)[likely] / np.sqrt(warm * (1 - warm) / count)[likely]
    assert np.abs(mutant).max() > 6, "another temperature would be noticed"


def test_the_second_token_uses_the_cache_rightly(tiny):
    drawn = sample(tiny, ["", "a film", "slow", "the water and the light"], 12, seed=4)
    nats = code_lengths(tiny.model, drawn.sequences).nats
    np.testing.assert_allclose(-drawn.log_probs, nats, rtol=1e-4)


def test_batches_change_nothing_and_seeds_do(tiny):
    prompts = ["", "a film", "slow", "a film", "", "it drags"]
    one = sample(tiny, prompts, 10, seed=3, batch=64)
    for batch in (1, 2):
        other = sample(tiny, prompts, 10, seed=3, batch=batch)
        assert torch.equal(one.sequences.tokens, other.sequences.tokens)
        assert one.texts == other.texts
    assert one.texts == sample(tiny, prompts, 10, seed=3).texts
    assert one.texts != sample(tiny, prompts, 10, seed=4).texts
    assert not tiny.model.training


def test_a_text_ends_with_the_end_token(tiny):
    end = tiny.tokenizer.eos_token_id
    assert end_tokens(tiny) == {end}
    with torch.no_grad():  # an end token that is likely
        tiny.model.model.embed_tokens.weight[end] = 0.0
        tiny.model.model.embed_tokens.weight[:, :] *= 0.05
    drawn = sample(tiny, [""] * 400, 40, seed=0)
    stop = drawn.sequences.length.numpy()
    assert 0 < drawn.ended.sum() < 400
    for row in range(400):
        counted = drawn.sequences.tokens[row, int(drawn.sequences.first[row]) : stop[row]].tolist()
        assert (counted[-1] == end) == drawn.ended[row]
        assert end not in counted[:-1]
        assert drawn.ended[row] or len(counted) == 40
        assert tiny.tokenizer.decode(counted, skip_special_tokens=True) == drawn.texts[row]


def test_a_colder_law(tiny):
    cold = sample(tiny, [""] * 4, 6, temperature=1e-4)
    assert len(set(cold.texts)) == 1, "in the limit every sample is the likeliest"
    assert sample(tiny, [""] * 4, 6, temperature=1.0).log_probs.std() > 0


def test_rounding_never_leaves_the_vocabulary():
    log_probs = torch.log_softmax(torch.randn(50, 1000, dtype=torch.float64), -1)
    places = quantile(log_probs, torch.full((50,), 1 - 1e-16, dtype=torch.float64))
    assert int(places.max()) < 1000


def test_bad_input_is_refused(tiny):
    with pytest.raises(InputError, match="0 prompts"):
        sample(tiny, [], 4)
    with pytest.raises(InputError, match="temperature 0"):
        sample(tiny, [""], 4, temperature=0.0)
    with pytest.raises(InputError, match="do not fit the model's context of 64"):
        sample(tiny, [""], 64)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_draws_what_the_processor_draws(tiny_model):
    texts = [
        sample(load_model(tiny_model, device=device, dtype="float64"), ["", "a film"] * 8, 16, seed=5).texts
        for device in ("cpu", "cuda")
    ]
    assert texts[0] == texts[1]
