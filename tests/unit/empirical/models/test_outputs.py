"""The output layer on counted tokens alone: the same numbers and gradients as all logits, packed or padded, in chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from empirical.measures.code_lengths import code_lengths, next_token_log_probs
from empirical.models import outputs
from empirical.models.loading import load_model
from empirical.models.outputs import Support, counted_code_length, counted_log_probs, support
from empirical.models.sequences import encode, from_ids, lay_out

TEXTS = ["a good film", "the light falls on the water and nobody says a word", "slow", "the acting does not drag"]


@pytest.fixture
def tiny(tiny_model):
    return load_model(tiny_model, device="cpu", dtype="float32")


def small(kind, **options):
    """A random model of another architecture, 2 layers wide 32, 300 tokens."""
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(**options)
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM" if kind != "GPT2" else "GPT2LMHeadModel")(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(std=0.3)
    return model.eval()


WIDE = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
OTHERS = {
    "Llama": WIDE | HEADS | {"tie_word_embeddings": False},
    "Gemma2": WIDE | HEADS | {"head_dim": 8, "final_logit_softcapping": 3.0, "sliding_window": 4},
    "Qwen3": WIDE | HEADS | {"head_dim": 8},
    "Cohere": WIDE | HEADS | {"logit_scale": 0.3, "pad_token_id": 0},
    "Granite": WIDE | HEADS | {"logits_scaling": 4.0},
    "GPT2": {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "Bloom": {"vocab_size": 300, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "Mamba": {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
}


def drawn(seed=0):
    draw = np.random.default_rng(seed)
    lengths = [(3, 4), (1, 12), (5, 1), (2, 7), (1, 1)]
    return from_ids(*([draw.integers(2, 300, n).tolist() for n in part] for part in zip(*lengths, strict=True)), 1)


def plainly(model, data):
    """The summed code length by the model's own logits, one sequence at a time, and its gradient."""
    total = torch.zeros(())
    for row in range(len(data)):
        first, length = int(data.first[row]), int(data.length[row])
        log_probs = torch.log_softmax(model(data.tokens[row : row + 1, :length]).logits[0].float(), -1)
        total = total - log_probs[first - 1 : length - 1].gather(1, data.tokens[row, first:length, None]).sum()
    model.zero_grad()
    total.backward()
    return float(total.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("chunk", [3, 512])
def test_value_and_gradient_are_those_of_all_logits(kind, chunk, monkeypatch):
    monkeypatch.setattr(outputs, "CHUNK", chunk)
    model, data = small(kind, **OTHERS[kind]), drawn()
    expected, gradients = plainly(model, data)
    for way in ("fused", "log-probs"):
        model.zero_grad()
        total = counted_code_length(model, data) if way == "fused" else -counted_log_probs(model, data)[0].sum()
        (2.0 * total).backward()
        assert float(total.detach()) == pytest.approx(expected, rel=1e-5), way
        for name, gradient in gradients.items():
            scale = float(gradient.abs().max())
            found = dict(model.named_parameters())[name].grad / 2
            assert torch.allclose(found, gradient, atol=1e-4 * scale + 1e-7), (way, name)


def test_what_a_model_supports_is_found_by_trying():
    """Mamba's state runs from one sequence into the next; a soft cap that is forgotten would show in the logits."""
    assert support(small("Llama", **OTHERS["Llama"])) == Support(packs=True, splits=True)
    assert support(small("Gemma2", **OTHERS["Gemma2"])) == Support(packs=True, splits=True)
    assert not support(small("Mamba", **OTHERS["Mamba"])).packs
    capped = small("Gemma2", **OTHERS["Gemma2"])
    odd = type(
        "Odd", (type(capped),), {"forward": lambda self, *a, **k: _scaled(super(type(self), self).forward(*a, **k))}
    )
    capped.__class__ = odd
    assert not support(capped).splits
    expected, _ = plainly(capped, drawn())
    assert float(counted_code_length(capped, drawn()).detach()) == pytest.approx(expected, rel=1e-5)


def _scaled(output):
    output.logits = output.logits * 0.5
    return output


def test_nothing_is_computed_for_padding_and_prompts_skip_the_output_layer(tiny):
    data = drawn()
    seen = {"body": 0, "head": []}
    body = tiny.model.model.layers[0].register_forward_pre_hook(
        lambda _, args: seen.update(body=args[0][..., 0].numel())
    )
    assert support(tiny.model).packs
    head = tiny.model.lm_head.register_forward_hook(lambda _, args, out: seen["head"].append(out[..., 0].numel()))
    counted_code_length(tiny.model, data)
    body.remove()
    head.remove()
    assert seen["body"] == int((data.length - 1).sum())
    assert sum(seen["head"]) == data.target_count + 1  # the one position that the model's own pass is left with


def test_padded_and_packed_layouts_hold_the_same_tokens():
    data = drawn()
    packed, padded = lay_out(data, "cpu", packed=True), lay_out(data, "cpu", packed=False)
    assert packed.ids.shape == (1, int((data.length - 1).sum()))
    assert padded.ids.shape == (5, 12)
    for layout in (packed, padded):
        before = layout.ids.flatten()[layout.place]
        expected = [
            int(data.tokens[r, t - 1]) for r in range(5) for t in range(int(data.first[r]), int(data.length[r]))
        ]
        assert before.tolist() == expected
        assert layout.row.tolist() == [r for r in range(5) for _ in range(int(data.length[r] - data.first[r]))]
    assert packed.target.tolist() == padded.target.tolist()


def test_chunks_and_autocast_in_code_lengths(tiny, monkeypatch):
    data = encode(tiny.tokenizer, TEXTS, "Film review:", 16)
    whole = code_lengths(tiny.model, data).nats
    monkeypatch.setattr(outputs, "CHUNK", 2)
    np.testing.assert_allclose(code_lengths(tiny.model, data).nats, whole, rtol=1e-6)
    half = code_lengths(tiny.model, data, autocast=torch.bfloat16).nats
    np.testing.assert_allclose(half, whole, rtol=0.05)
    assert not np.array_equal(half, whole)
    assert [len(rows) for rows in next_token_log_probs(tiny.model, data)] == (data.length - data.first).tolist()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(tiny_model):
    data = drawn()
    found = {}
    for device in ("cpu", "cuda"):
        loaded = load_model(tiny_model, device=device, dtype="float32")
        total = counted_code_length(loaded.model, data)
        total.backward()
        found[device] = (float(total.detach()), loaded.model.lm_head.weight.grad.cpu())
    assert found["cuda"][0] == pytest.approx(found["cpu"][0], rel=1e-4)
    assert torch.allclose(found["cuda"][1], found["cpu"][1], atol=1e-3)
