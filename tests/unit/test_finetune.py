"""The fine-tuning loop: what is counted, what a checkpoint restores, and that padding and batching change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elastomath.errors import InputError
from empirical.finetune import (
    NotFiniteError,
    code_lengths,
    encode,
    load_checkpoint,
    new_optimiser,
    next_token_log_probs,
    save_checkpoint,
    train,
)
from empirical.models import load_model

TEXTS = [
    "a good film",
    "the light falls on the water and nobody says a word",
    "slow",
    "the acting does not drag at all",
]


@pytest.fixture
def tiny(tiny_model):
    return load_model(tiny_model, device="cpu", dtype="float32")


def test_only_the_text_is_counted(tiny):
    data = encode(tiny.tokenizer, TEXTS, "Film review:", 8)
    head = 1 + len(tiny.tokenizer("Film review:", add_special_tokens=False)["input_ids"])
    bodies = [len(tiny.tokenizer(" " + text, add_special_tokens=False)["input_ids"]) for text in TEXTS]
    assert data.tokens[0, 0] == tiny.tokenizer.bos_token_id
    assert (data.first == head).all()
    assert (data.length - data.first).tolist() == [min(8, body) for body in bodies]
    assert int(data.targets.sum()) == data.target_count


def test_code_lengths_are_the_models_log_probabilities_one_text_at_a_time(tiny):
    data = encode(tiny.tokenizer, TEXTS, "Film review:", 16)
    seen = code_lengths(tiny.model, data)
    for row in range(len(data)):
        first, last = int(data.first[row]), int(data.length[row])
        ids = data.tokens[row, :last]
        with torch.inference_mode():
            log_probs = torch.log_softmax(tiny.model(ids[None]).logits[0].double(), -1)
        direct = -sum(float(log_probs[place - 1, ids[place]]) for place in range(first, last))
        assert seen.nats[row] == pytest.approx(direct, rel=1e-5)
        assert seen.tokens[row] == last - first
        off_by_one = -sum(float(log_probs[place, ids[place]]) for place in range(first, last))
        assert abs(off_by_one - direct) > 1e-3  # the mutant


def test_whole_distributions_agree_with_the_code_lengths(tiny):
    data = encode(tiny.tokenizer, TEXTS[:2], "", 16)
    nats = code_lengths(tiny.model, data).nats
    for row, log_probs in enumerate(next_token_log_probs(tiny.model, data)):
        targets = data.tokens[row, int(data.first[row]) : int(data.length[row])]
        assert torch.allclose(log_probs.exp().sum(-1), torch.ones(len(targets)), atol=1e-5)
        picked = log_probs.gather(1, targets[:, None]).sum()
        assert float(-picked) == pytest.approx(nats[row], rel=1e-5)


def test_training_lowers_the_loss_and_a_checkpoint_continues_it_to_the_same_weights(tiny, tmp_path):
    data = encode(tiny.tokenizer, TEXTS * 4, "Film review:", 16)
    options = {"batch": 4, "warmup": 2, "learning_rate": 1e-2}
    optimiser = new_optimiser(tiny.model, 1e-2)
    losses = train(tiny.model, optimiser, data[slice(0, 8)], **options)
    save_checkpoint(tmp_path / "half.safetensors", tiny.model, optimiser)
    losses += train(tiny.model, optimiser, data[slice(8, 16)], steps_done=2, **options)
    assert losses[-1] < losses[0]
    whole = {name: value.detach().clone() for name, value in tiny.model.named_parameters()}

    fresh = new_optimiser(tiny.model, 1e-2)
    load_checkpoint(tmp_path / "half.safetensors", tiny.model, fresh)
    train(tiny.model, fresh, data[slice(8, 16)], steps_done=2, **options)
    for name, value in tiny.model.named_parameters():
        assert torch.equal(value, whole[name]), name

    forgetful = new_optimiser(tiny.model, 1e-2)  # the mutant: without the moments the weights differ
    load_checkpoint(tmp_path / "half.safetensors", tiny.model)
    train(tiny.model, forgetful, data[slice(8, 16)], steps_done=2, **options)
    assert any(not torch.equal(value, whole[name]) for name, value in tiny.model.named_parameters())


def test_warmup_starts_small(tiny):
    data = encode(tiny.tokenizer, TEXTS, "", 16)
    optimiser = new_optimiser(tiny.model, 1e-2)
    train(tiny.model, optimiser, data, batch=4, warmup=10, learning_rate=1e-2)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(1e-3)


def test_bad_input_is_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="0 texts"):
        encode(tiny.tokenizer, [], "", 8)
    with pytest.raises(InputError, match="text 1 has no token"):
        encode(tiny.tokenizer, ["a", ""], "", 8)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="damaged checkpoint"):
        load_checkpoint(broken, tiny.model)
    data, wild = encode(tiny.tokenizer, TEXTS * 9, "", 8), torch.optim.SGD(tiny.model.parameters(), lr=1e30)
    with pytest.raises(NotFiniteError, match="not finite") as caught:
        train(tiny.model, wild, data, batch=1, learning_rate=1e30)
    assert not isinstance(caught.value, InputError)  # an InputError would end a sweep; this ends one run


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_measures_and_trains_as_the_processor_does(tiny_model):
    losses = {}
    for device in ("cpu", "cuda"):
        loaded = load_model(tiny_model, device=device, dtype="float32")
        data = encode(loaded.tokenizer, TEXTS, "Film review:", 16)
        before = code_lengths(loaded.model, data).nats
        train(loaded.model, new_optimiser(loaded.model, 1e-3), data, batch=4, learning_rate=1e-3)
        losses[device] = np.concatenate([before, code_lengths(loaded.model, data).nats])
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3)
