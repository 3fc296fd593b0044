"""Memory from a configuration alone: exact counts of parameters, and activations beside those that a real pass keeps."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from elastomath.errors import InputError
from empirical.models.loading import load_model
from empirical.models.lora import LoraSettings, add_lora
from empirical.models.memory import KNOWN, memory_estimate, usual_activations

PUBLISHED = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "google/gemma-2b": 2_506_172_416,
    "Qwen/Qwen1.5-0.5B": 463_987_712,
    "Qwen/Qwen1.5-4B": 3_950_369_280,
    "Qwen/Qwen1.5-7B": 7_721_324_544,
    "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": 1_100_048_384,
}
"""Parameters as the models' pages on the hub give them."""


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_papers_models_have_their_published_sizes(name):
    assert memory_estimate(name, training=False).parameters == PUBLISHED[name]


def config(kind, **options):
    shape = {"hidden_size": 64, "intermediate_size": 168, "num_attention_heads": 4, "num_key_value_heads": 2}
    return transformers.AutoConfig.for_model(kind, vocab_size=300, num_hidden_layers=3, **(shape | options))


def really_kept(model, ids):
    """Bytes that a real forward pass of the layers saves for the way back, the weights aside."""
    weights, sizes, kept = {value.untyped_storage().data_ptr() for value in model.parameters()}, {}, []

    def pack(tensor):
        kept.append(tensor)
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.base_model(input_ids=ids, use_cache=False)
    return sum(size for place, size in sizes.items() if place not in weights)


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "qwen2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_those_of_a_real_pass(kind, dtype):
    model = transformers.AutoModelForCausalLM.from_config(config(kind), dtype=getattr(torch, dtype))
    real = really_kept(model, torch.randint(300, (2, 48)))
    estimate = memory_estimate(config(kind), batch=2, tokens=48, dtype=dtype).activations
    assert 0.98 * real < estimate < 1.2 * real
    if kind != "gemma3_text":
        assert usual_activations(config(kind), 96, 4 if dtype == "float32" else 2) == pytest.approx(real, rel=0.1)


def test_the_parts_of_the_tiny_model(tiny_model):
    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    found = memory_estimate(tiny_model, batch=4, tokens=32)
    assert found.parameters == found.trainable == loaded.parameters
    assert found.context == loaded.context
    assert found.weights == 4 * loaded.parameters
    layer = 4 * loaded.model.get_output_embeddings().weight.numel()
    assert loaded.model.get_output_embeddings().weight is loaded.model.get_input_embeddings().weight
    assert found.gradients == found.weights + 2 * layer  # of the two ends, and their sum
    assert found.optimiser == 8 * loaded.parameters
    assert found.logits == 2 * 4 * 300 * 4 * 32
    assert found.total == sum(value for key, value in found.as_dict().items() if key in PARTS)
    half = memory_estimate(tiny_model, batch=4, tokens=32, dtype="bfloat16", reference=True)
    assert (half.weights, half.reference) == (2 * loaded.parameters, 2 * loaded.parameters)
    reading = memory_estimate(tiny_model, batch=4, tokens=32, training=False)
    assert reading.gradients == reading.optimiser == 0
    assert 0 < reading.activations < found.activations


def test_what_the_gradient_of_the_output_layer_takes_on_its_way():
    """Seen on a Gemma of one layer and 262k words: 2.0 times the layer beside its gradient where tied, 1.0 in chunks, else 0."""

    def beside(tied, tokens):
        shape = config("llama")
        shape.tie_word_embeddings = tied
        found = memory_estimate(shape, batch=4, tokens=tokens)
        return (found.gradients - 4 * found.trainable) / (4 * shape.vocab_size * shape.hidden_size)

    assert [beside(True, 16), beside(True, 64), beside(False, 16), beside(False, 64)] == [2, 2, 0, 1]


PARTS = ("weights", "gradients", "optimiser", "logits", "activations", "reference")


def test_an_adapter_is_all_that_is_trained(tiny_model):
    lora = LoraSettings(rank=2)
    loaded = add_lora(load_model(tiny_model, device="cpu", dtype="bfloat16"), lora)
    found = memory_estimate(tiny_model, dtype="bfloat16", lora=lora, tokens=32)
    assert (found.parameters, found.trainable) == (loaded.parameters, loaded.trainable)
    assert found.weights == sum(value.numel() * value.element_size() for value in loaded.model.parameters())
    assert found.gradients == 4 * loaded.trainable
    assert found.activations < memory_estimate(tiny_model, dtype="bfloat16", tokens=32).activations


def test_autocast_adds_copies_of_the_weights(tiny_model):
    plain = memory_estimate(tiny_model, tokens=32)
    mixed = memory_estimate(tiny_model, tokens=32, autocast="bfloat16")
    assert mixed.weights == plain.weights
    copies = memory_estimate(tiny_model, tokens=32, dtype="bfloat16").activations
    assert mixed.activations > copies


def test_a_large_model_is_estimated_without_its_weights():
    found = memory_estimate("meta-llama/Llama-2-7b-hf", batch=1, tokens=512, dtype="bfloat16")
    assert 50 < found.total / 2**30 < 60
    assert memory_estimate("meta-llama/Llama-2-7b-hf", tokens=512, dtype="bfloat16", lora=LoraSettings()).total < (
        found.total / 3
    )


def test_bad_input_is_one_line(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"the configuration cannot be had.*google/gemma-2b"):
        memory_estimate("owner/nothing")
    with pytest.raises(InputError, match="no such model"):
        memory_estimate("./gone.bin/")
    with pytest.raises(InputError, match="not in the cache"):
        memory_estimate("gemma-3-270m-q4", cache=tmp_path)
    with pytest.raises(InputError, match="batch is 0"):
        memory_estimate("google/gemma-2b", batch=0)
    with pytest.raises(InputError, match="dtype is"):
        memory_estimate("google/gemma-2b", dtype="int3")
    with pytest.raises(InputError, match="no causal language model can be made"):
        memory_estimate(transformers.ViTConfig())
