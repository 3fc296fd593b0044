"""What two gradients foretell of a step of training, on every architecture, device and format of numbers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from empirical.behaviours import Pairs
from empirical.data.examples import Example, Preference
from empirical.durability.gradients import behaviour_gradients, read_behaviour
from empirical.durability.predict import predict
from empirical.models.loading import load_model
from empirical.models.lora import LoraSettings, add_lora
from empirical.models.sequences import encode_examples

KINDS = ("llama", "qwen2", "gpt2", "gemma", "mamba")
PROMPTS = [f"the {a} falls on the {b}" for a in ("light", "film", "water", "word") for b in ("half", "acting", "film")]
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, NEEDS_CUDA])]


def _sides(loaded):
    return [
        encode_examples(loaded.tokenizer, [Example(prompt, text) for prompt in PROMPTS], 4, context=loaded.context)
        for text in ("good", "slow")
    ]


def _foretold_and_seen(loaded, *, aligning, step):
    """d z of one small step of gradient descent on all prompts: -(eta/(N T)) grad z . sum grad gamma, and as it is read."""
    chosen, rejected = _sides(loaded)
    before = read_behaviour(loaded.model, chosen, rejected)
    gradients = behaviour_gradients(loaded.model, chosen, rejected, before, groups=4)
    towards = (
        gradients.cross.sum() - gradients.plus.sum() if aligning else gradients.minus.sum() - gradients.cross.sum()
    )
    count, tokens = len(PROMPTS), gradients.tokens[0 if aligning else 1]
    foretold = -step * towards / (count**2 * tokens)
    values = [value for value in loaded.model.parameters() if value.requires_grad]
    loss = read_loss(loaded.model, chosen if aligning else rejected) / (count * tokens)
    moves = torch.autograd.grad(loss, values, allow_unused=True)
    with torch.no_grad():
        for value, move in zip(values, moves, strict=True):
            if move is not None:
                value -= step * move
    return foretold, float((read_behaviour(loaded.model, chosen, rejected).z - before.z).mean())


def read_loss(model, data):
    """The code length of all responses in nats, by the model's own logits: no code of the forecast is used."""
    total = 0.0
    for row, first, length in zip(data.tokens, data.first, data.length, strict=True):
        logs = model(row[None, : int(length)].to(model.device)).logits[0].log_softmax(-1)
        places = torch.arange(int(first), int(length))
        total = total - logs[places - 1, row[places].to(model.device)].sum()
    return total


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("aligning", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_foretell_a_small_step(tiny, kind, aligning, device):
    loaded = load_model(
        tiny(kind), device=device, dtype="float64" if device == "cpu" and kind != "mamba" else "float32"
    )
    loaded.model.eval()
    foretold, seen = _foretold_and_seen(loaded, aligning=aligning, step=1e-5)
    assert (seen > 0) == aligning
    assert foretold == pytest.approx(seen, rel=0.02)


@pytest.mark.parametrize("device", DEVICES)
def test_with_an_adapter_only_what_is_trained_counts(tiny, device):
    loaded = load_model(tiny("llama"), device=device, dtype="float32")
    add_lora(loaded, LoraSettings(rank=4))
    whole = load_model(tiny("llama"), device=device, dtype="float32")
    chosen, rejected = _sides(loaded)
    kernels = []
    for each in (loaded, whole):
        gradients = behaviour_gradients(each.model, chosen, rejected, read_behaviour(each.model, chosen, rejected))
        kernels.append(np.trace(gradients.plus))
    assert 0 < kernels[0] < kernels[1]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("optimiser", ["sgd", "adamw-carried"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_card_of_every_kind(tiny, kind, optimiser, device):
    """Numbers in bfloat16 are those in float32 to the digits that it has."""
    pairs = Pairs("made", tuple(Preference(prompt, "good", "slow") for prompt in PROMPTS))
    cards = []
    for autocast in ("float32", "bfloat16"):
        loaded = load_model(tiny(kind), device=device, dtype="float32")
        cards.append(
            predict(
                loaded,
                pairs,
                [8, 32],
                learning_rate=1e-4,
                optimiser=optimiser,
                held_out=8,
                limit=1.0,
                autocast=autocast,
            )
        )
    exact, rough = cards
    assert exact.prompts == 8
    assert [row.n for row in exact.forecast] == [8, 32]
    assert rough.z0.estimate == pytest.approx(exact.z0.estimate, abs=0.1)
    for name in ("kernel", "cosine"):
        assert rough.constants[name].estimate == pytest.approx(exact.constants[name].estimate, rel=0.1, abs=0.1), name
