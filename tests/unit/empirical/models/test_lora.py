"""Adapters: the start is the base, only the adapter moves and is kept, and what is kept comes back."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

from elastomath.errors import InputError
from empirical.data.examples import Example
from empirical.measures.rates import measure
from empirical.models.loading import load_model
from empirical.models.lora import LoraSettings, add_lora, load_adapter, lora_size
from empirical.models.sequences import encode_examples
from empirical.training.finetune import train

IDS = torch.arange(2, 40)[None]


def load(folder, lora=None, **options):
    loaded = load_model(folder, device="cpu", dtype="float32", **options)
    return add_lora(loaded, lora) if lora else loaded


def logits(loaded):
    with torch.inference_mode():
        return loaded.model(IDS).logits


def tuned(loaded):
    data = encode_examples(loaded.tokenizer, [Example("", "the light falls on the water")] * 8, 16)
    trained = [value for value in loaded.model.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
    return train(loaded.model, optimiser, data, batch=2, learning_rate=1e-2)


def test_the_start_is_the_base_and_only_the_adapter_moves(tiny_model):
    base = load(tiny_model)
    loaded = load(tiny_model, lora=LoraSettings(rank=2, alpha=4.0))
    assert torch.equal(logits(loaded), logits(base))
    before = {name: value.clone() for name, value in loaded.model.named_parameters() if "lora_" not in name}
    count = sum(value.numel() for value in loaded.model.parameters() if value.requires_grad)
    assert count == loaded.trainable == lora_size(base.model, LoraSettings(rank=2))
    assert count == 2 * 2 * ((32 + 32) + (32 + 16)), "q and v of two layers: rank (in + out) each"
    assert loaded.parameters == base.parameters + count
    losses = tuned(loaded)
    assert losses[-1] < losses[0]
    assert not torch.equal(logits(loaded), logits(base))
    for name, value in before.items():
        assert torch.equal(dict(loaded.model.named_parameters())[name], value)


def test_what_is_kept_comes_back_and_is_only_the_adapter(tiny_model, tmp_path):
    loaded = load(tiny_model, lora=LoraSettings(rank=2, alpha=4.0))
    tuned(loaded)
    loaded.model.save_pretrained(tmp_path / "adapter")
    size = (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size
    assert size < 4 * loaded.trainable + 4096
    again = load_adapter(load(tiny_model), tmp_path / "adapter")
    assert torch.equal(logits(again), logits(loaded))
    assert torch.equal(logits(load(tiny_model, adapter=tmp_path / "adapter")), logits(loaded))
    theirs = peft.PeftModel.from_pretrained(load(tiny_model).model, str(tmp_path / "adapter"))
    with torch.inference_mode():
        assert torch.allclose(theirs.eval()(IDS).logits, logits(loaded), atol=1e-6), "peft reads it too"


def test_measuring_goes_through_the_adapter(tiny_model):
    loaded = load(tiny_model, lora=LoraSettings(rank=2))
    texts = ["the light falls on the water"] * 2
    before = measure(loaded, texts).bits_per_byte
    assert before == pytest.approx(measure(load(tiny_model), texts).bits_per_byte, rel=1e-6)
    tuned(loaded)
    assert measure(loaded, texts).bits_per_byte < before


def test_the_seed_is_that_of_the_settings(tiny_model):
    def start(seed):
        torch.manual_seed(torch.randint(1000, ()).item())
        loaded = load(tiny_model, lora=LoraSettings(rank=2, seed=seed))
        return next(value for name, value in loaded.model.named_parameters() if "lora_A" in name)

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))


def test_adapters_of_half_precision_models_are_float32(tiny_model):
    loaded = add_lora(load_model(tiny_model, device="cpu", dtype="bfloat16"), LoraSettings(rank=2))
    kinds = {value.dtype for value in loaded.model.parameters() if value.requires_grad}
    assert kinds == {torch.float32}
    assert torch.isfinite(logits(loaded)).all()


def test_other_architectures_get_their_own_targets():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    assert lora_size(model, LoraSettings(rank=3)) == 3 * (16 + 48)
    olmo = transformers.OlmoForCausalLM(
        transformers.OlmoConfig(vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                                num_attention_heads=2, pad_token_id=0)
    )  # fmt: skip
    assert lora_size(olmo, LoraSettings(rank=1)) == 4 * (16 + 16) + 3 * (16 + 24), (
        "not listed by peft: all but the output"
    )


def test_bad_input_is_one_line(tiny_model, tmp_path):
    for wrong in ({"rank": 0}, {"alpha": -1.0}, {"alpha": float("nan")}, {"dropout": 1.0}):
        with pytest.raises(InputError, match="lora"):
            LoraSettings(**wrong)
    loaded = load(tiny_model)
    with pytest.raises(InputError, match=r"no matrix is called c_attn.*q_proj"):
        add_lora(loaded, LoraSettings(targets=("c_attn",)))
    add_lora(loaded, LoraSettings(rank=2))
    with pytest.raises(InputError, match="already"):
        add_lora(loaded, LoraSettings())
    loaded.model.save_pretrained(tmp_path / "a")
    raw = (tmp_path / "a" / "adapter_model.safetensors").read_bytes()
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_adapter(load(tiny_model), tmp_path / "a")
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(raw)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config | {"r": 3}))
    with pytest.raises(InputError, match="another model"):
        load_adapter(load(tiny_model), tmp_path / "a")
    (tmp_path / "a" / "adapter_model.safetensors").rename(tmp_path / "a" / "adapter_model.bin")
    with pytest.raises(InputError, match=r"no adapter_config\.json and adapter_model\.safetensors"):
        load_adapter(load(tiny_model), tmp_path / "a")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_the_adapter_as_the_processor_does(tiny_model):
    losses = [
        tuned(add_lora(load_model(tiny_model, device=device, dtype="float32"), LoraSettings(rank=2)))
        for device in ("cpu", "cuda")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
