"""Adapters of every kind that peft knows: ours are peft's logits, bit for bit, and the rates are those of these logits."""

from __future__ import annotations

import dataclasses
import importlib
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

from elastomath.errors import InputError
from empirical.coding.file import decode_bytes, encode_bytes
from empirical.measures.code_lengths import code_lengths
from empirical.measures.rates import measure, token_log_probs
from empirical.measures.sampling import sample
from empirical.models.loading import load_model
from empirical.models.lora import load_adapter
from empirical.models.model import quiet
from empirical.models.sequences import from_ids

QV = {"target_modules": ["q_proj", "v_proj"]}
Q = {"target_modules": ["q_proj"]}
RANK = {"r": 4} | QV
KINDS = {
    "lora": ("LoraConfig", RANK),
    "rslora": ("LoraConfig", RANK | {"use_rslora": True}),
    "patterns": ("LoraConfig", RANK | {
        "alpha_pattern": {"layers.0.self_attn.q_proj": 32}, "rank_pattern": {"layers.1.self_attn.v_proj": 2}}),
    "pissa": ("LoraConfig", RANK | {"init_lora_weights": "pissa"}),
    "olora": ("LoraConfig", RANK | {"init_lora_weights": "olora"}),
    "dora": ("LoraConfig", RANK | {"use_dora": True}),
    "bias": ("LoraConfig", RANK | {"bias": "all"}),
    "lora-bias": ("LoraConfig", RANK | {"lora_bias": True}),
    "whole-modules": ("LoraConfig", RANK | {"modules_to_save": ["norm"]}),
    "embedding": ("LoraConfig", {"r": 4, "target_modules": ["embed_tokens", "q_proj"]}),
    "all-linear": ("LoraConfig", {"r": 4, "target_modules": "all-linear"}),
    "some-layers": ("LoraConfig", RANK | {"layers_to_transform": [1]}),
    "repeated-layers": ("LoraConfig", RANK | {"layer_replication": [(0, 2), (1, 2)]}),
    "token-rows": ("LoraConfig", RANK | {"trainable_token_indices": [5, 6]}),
    "parameters": ("LoraConfig", {"r": 4, "target_modules": [], "target_parameters": ["mlp.up_proj.weight"]}),
    "adalora": ("AdaLoraConfig", QV | {"total_step": 10}),
    "loha": ("LoHaConfig", RANK),
    "lokr": ("LoKrConfig", RANK),
    "ia3": ("IA3Config", {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]}),
    "oft": ("OFTConfig", QV | {"oft_block_size": 4, "r": 0}),
    "boft": ("BOFTConfig", QV | {"boft_block_size": 4}),
    "vera": ("VeraConfig", {"r": 4} | Q),
    "vera-seeded": ("VeraConfig", {"r": 4, "save_projection": False} | Q),
    "fourier": ("FourierFTConfig", QV | {"n_frequency": 10}),
    "hra": ("HRAConfig", RANK),
    "vblora": ("VBLoRAConfig", {"r": 4, "num_vectors": 16, "vector_length": 8, "topk": 2} | Q),
    "vblora-topk": ("VBLoRAConfig", {
        "r": 4, "num_vectors": 16, "vector_length": 8, "topk": 2, "save_only_topk_weights": True} | Q),
    "norms": ("LNTuningConfig", {"target_modules": ["input_layernorm"]}),
    "miss": ("MissConfig", RANK),
    "randlora": ("RandLoraConfig", {"r": 4} | Q),
    "road": ("RoadConfig", QV | {"group_size": 4}),
    "tokens": ("TrainableTokensConfig", {"token_indices": [3, 4]}),
    "hira": ("HiraConfig", RANK),
    "shira": ("ShiraConfig", QV | {"r": 2}),
    "c3a": ("C3AConfig", Q | {"block_size": 8}),
    "waveft": ("WaveFTConfig", Q | {"n_frequency": 8}),
    "delora": ("DeloraConfig", RANK),
    "gralora": ("GraloraConfig", RANK),
    "osf": ("OSFConfig", QV),
    "adaption-prompt": ("AdaptionPromptConfig", {"adapter_len": 4, "adapter_layers": 2}),
    "prefix": ("PrefixTuningConfig", {"num_virtual_tokens": 5}),
    "prompt": ("PromptTuningConfig", {"num_virtual_tokens": 5}),
    "p-tuning": ("PromptEncoderConfig", {"num_virtual_tokens": 5, "encoder_hidden_size": 16}),
    "cpt": ("CPTConfig", {"cpt_token_ids": [3, 4, 5], "cpt_mask": [1, 1, 1], "cpt_tokens_type_mask": [1, 2, 3]}),
}  # fmt: skip
VIRTUAL = {"prefix": 5, "prompt": 5, "p-tuning": 5, "cpt": 3}
MOST_USED = ("lora", "rslora", "dora", "ia3", "prefix", "prompt")
IDS = torch.arange(2, 40)[None]


def base(folder, dtype="float32"):
    with quiet():
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()


def kept(folder, to, kind, **options):
    """An adapter of this kind with numbers far from its start, trained by nobody, as peft writes it."""
    name, settings = KINDS[kind]
    if not hasattr(peft, name):
        pytest.skip(f"this peft has no {name}")
    config = getattr(peft, name)(task_type="CAUSAL_LM", **settings | options)
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(3)
        model = peft.get_peft_model(base(folder), config)
        for value in model.parameters():
            if value.requires_grad:
                value.data.add_(torch.randn_like(value) * 0.05)
        model.save_pretrained(str(to))
    return to


def by_peft(folder, adapter, ids=IDS, dtype="float32"):
    with quiet(), torch.inference_mode():
        model = peft.PeftModel.from_pretrained(base(folder, dtype), str(adapter)).eval()
        return model(input_ids=ids).logits[:, -ids.shape[1] :]


def load(folder, dtype="float32", **options):
    return load_model(folder, device="cpu", dtype=dtype, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_as_peft_computes_it(tiny_model, tmp_path, kind):
    if kind == "boft":  # peft looks for a compiler, which needs setuptools, which refuses where distutils came first
        try:
            importlib.import_module("torch.utils.cpp_extension")
        except AssertionError as error:
            pytest.skip(f"setuptools refuses: {error}")
    adapter = kept(tiny_model, tmp_path / "a", kind)
    expected = by_peft(tiny_model, adapter)
    loaded = load(tiny_model, adapter=adapter)
    with torch.inference_mode():
        assert torch.equal(loaded.model(input_ids=IDS).logits, expected)
        assert (expected - base(tiny_model)(IDS).logits).abs().max() > 0.01, "the adapter does something"
    assert loaded.context == 64 - VIRTUAL.get(kind, 0)
    wanted = torch.log_softmax(expected[0].double(), -1)[:-1].gather(1, IDS[0, 1:, None])[:, 0].numpy()
    rows = [IDS[0].numpy(), IDS[0, :20].numpy(), IDS[0, :7].numpy()]  # padded beside one another
    seen = token_log_probs(loaded, rows)
    for row in seen:
        np.testing.assert_allclose(row, wanted[: len(row)], atol=2e-5)
    lengths = code_lengths(loaded.model, from_ids([[2]] * 2, [IDS[0, 1:].tolist(), IDS[0, 1:9].tolist()], 0))
    np.testing.assert_allclose(lengths.nats, [-wanted.sum(), -wanted[:8].sum()], rtol=1e-5)


@pytest.mark.parametrize("kind", MOST_USED)
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_dtypes(tiny_model, tmp_path, kind, dtype):
    adapter = kept(tiny_model, tmp_path / "a", kind)
    loaded = load(tiny_model, dtype, adapter=adapter)
    with torch.inference_mode():
        seen = loaded.model(input_ids=IDS).logits
    if dtype == "bfloat16":
        assert torch.equal(seen, by_peft(tiny_model, adapter, dtype=dtype))
    else:
        assert seen.dtype == torch.float64
        torch.testing.assert_close(seen, by_peft(tiny_model, adapter).double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "targets"),
    [
        ("gpt2", ["c_attn"]),
        ("mamba", ["in_proj", "x_proj"]),
        ("mpt", ["Wqkv"]),
        ("opt", ["q_proj", "v_proj"]),
        ("rwkv", ["key", "value"]),
    ],
)
@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "vera"])
def test_other_architectures(tiny, tmp_path, architecture, targets, kind):
    folder = tiny(architecture)
    adapter = kept(folder, tmp_path / "a", kind, target_modules=targets)
    with torch.inference_mode():
        seen = load(folder, adapter=adapter).model(input_ids=IDS).logits
    assert torch.equal(seen, by_peft(folder, adapter))


@pytest.mark.parametrize("kind", ["dora", "prompt"])
def test_what_else_runs_on_a_model_with_an_adapter(tiny_model, tmp_path, kind):
    plain, loaded = load(tiny_model), load(tiny_model, adapter=kept(tiny_model, tmp_path / "a", kind))
    assert loaded.about()["adapter"] == str(tmp_path / "a")
    assert len(loaded.about()["adapter_sha256"]) == 64
    data = b"the light falls on the water and nobody says a word"
    coded = encode_bytes(loaded, data, 8)
    assert decode_bytes(loaded, coded.data) == data
    with pytest.raises(InputError, match=r"another model.*--adapter"):
        decode_bytes(plain, coded.data)
    assert sample(loaded, ["a film"], 4, seed=1).texts != sample(plain, ["a film"], 4, seed=1).texts
    with pytest.raises(InputError, match="already"):
        load_adapter(loaded, tmp_path / "a")


def test_measure_takes_an_adapter(tiny_model, tmp_path, capsys):
    from paper_checks.cli.commands import main

    adapter, text = kept(tiny_model, tmp_path / "a", "rslora"), tmp_path / "a.txt"
    text.write_text("the light falls on the water")
    with pytest.raises(SystemExit) as stop:
        main(["measure", "--model", str(tiny_model), "--adapter", str(adapter), "--data", str(text), "--dtype", "float32",
              "--device", "cpu", "--json"])  # fmt: skip
    assert stop.value.code == 0
    result = json.loads(capsys.readouterr().out)
    rate = measure(load(tiny_model, adapter=adapter), ["the light falls on the water"]).bits_per_byte
    assert result["adapter"] == str(adapter)
    assert result["results"][0]["bits_per_byte"] == rate
    assert rate != pytest.approx(measure(load(tiny_model), ["the light falls on the water"]).bits_per_byte, abs=1e-3)


def test_what_is_no_adapter_of_this_model(tiny, tiny_model, tmp_path):
    adapter = kept(tiny_model, tmp_path / "a", "lora")
    with pytest.raises(InputError, match="of another model"):
        load(tiny("gpt2"), adapter=adapter)
    with pytest.raises(InputError, match="of another model"):
        load(tiny("llama", hidden_size=48, num_attention_heads=4), adapter=adapter)
    with pytest.raises(InputError, match="of another model"):
        load(tiny("llama", num_hidden_layers=1), adapter=adapter)
    with pytest.raises(InputError, match="of another model"):
        load(tiny("llama", num_hidden_layers=3), adapter=adapter)
    config = peft.PolyConfig(task_type="CAUSAL_LM", r=4, n_tasks=1, n_splits=4, **QV)
    with quiet():
        peft.get_peft_model(base(tiny_model), config).save_pretrained(str(tmp_path / "poly"))
    with pytest.raises(InputError, match=r"kind POLY does not run on tokens alone"):
        load(tiny_model, adapter=tmp_path / "poly")
    told = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(told | {"task_type": "SEQ_CLS"}))
    with pytest.raises(InputError, match="an adapter for the task SEQ_CLS"):
        load(tiny_model, adapter=adapter)


def test_a_mutant_that_reads_four_fields_alone_is_far_off(tiny_model, tmp_path):
    """The loader that was here read rank, alpha, dropout and targets: rsLoRA's scale alone moves the rate by more than 0.01."""
    adapter = kept(tiny_model, tmp_path / "a", "rslora")
    text = ["the light falls on the water and nobody says a word"]
    right = measure(load(tiny_model, adapter=adapter), text).bits_per_byte
    told = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(told | {"use_rslora": False}))
    wrong = measure(load(tiny_model, adapter=adapter), text).bits_per_byte
    assert abs(right - wrong) > 0.01


def test_the_loaded_model_says_what_it_is(tiny_model):
    loaded = load(tiny_model)
    named = {"model", "revision", "sha256", "dtype", "device", "quantised", "adapter", "adapter_sha256"}
    assert set(loaded.about()) == named
    assert len(dataclasses.fields(loaded)) == len(named) + 2, "all of them but the model itself and its tokenizer"
