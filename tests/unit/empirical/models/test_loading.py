"""Loading models: folders, GGUF files and what cannot be loaded; nothing is ever left at its random start."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elastomath.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from empirical.models.devices import multiplies_bfloat16, pick_device, pick_dtype
from empirical.models.loading import load_model


def copied(tiny_model: Path, to: Path) -> Path:
    shutil.copytree(tiny_model, to)
    return to


def test_a_folder_says_what_it_is(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    assert loaded.sha256 == hashlib.sha256((tiny_model / "model.safetensors").read_bytes()).hexdigest()
    assert (loaded.name, loaded.revision, loaded.quantised) == (str(tiny_model), None, None)
    assert (loaded.dtype, loaded.device, loaded.context) == ("float32", "cpu", 64)
    assert loaded.prefix == loaded.tokenizer.bos_token_id
    assert not loaded.model.training
    assert next(loaded.model.parameters()).dtype == torch.float32
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == "", "no progress bars or warnings of transformers"


def test_the_dtype_asked_for(tiny_model: Path) -> None:
    loaded = load_model(tiny_model, device="cpu", dtype="float64")
    assert loaded.dtype == "float64"
    assert next(loaded.model.parameters()).dtype == torch.float64


def test_truncated_weights_are_one_line(tiny_model: Path, tmp_path: Path) -> None:
    folder = copied(tiny_model, tmp_path / "m")
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match="truncated or altered") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_all_there_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(tiny_model, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 of the weights, first model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder)


def test_only_safetensors_are_read(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = copied(tiny_model, tmp_path / "m")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="safetensors"):
        load_model(folder)


def test_remote_code_is_not_run_unless_asked(tiny_model: Path, tmp_path: Path) -> None:
    folder = copied(tiny_model, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own-kind",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(InputError, match="needs its own code"):
        load_model(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("./gone.gguf", "no such model file"),
        ("/gone/folder", "no such model file"),
        ("not an id", "no such model file"),
        ("film-reviews", "is data, not a model"),
    ],
)
def test_what_is_no_model(spec: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        load_model(spec)
    assert "smollm2-135m-instruct-q4" in str(caught.value)


def test_folders_and_files_that_are_no_models(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        load_model(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match="not a model file"):
        load_model(tmp_path / "a.txt")
    (tmp_path / "a.gguf").write_text("text")
    with pytest.raises(InputError, match="not a GGUF file"):
        load_model(tmp_path / "a.gguf", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(InputError, match="has no revisions"):
        load_model(tiny_model, revision="main")
    broken = copied(tiny_model, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    with pytest.raises(InputError) as caught:
        load_model(broken)
    assert "\n" not in str(caught.value)


def test_the_hub_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"tries again after {seconds} s"))
    with pytest.raises(InputError, match="no network") as caught:
        load_model("owner/no-such-model")
    assert "\n" not in str(caught.value)


def test_devices_and_dtypes() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_dtype("auto", "cpu") == (torch.bfloat16 if multiplies_bfloat16("cpu") else torch.float32)
    for wrong in ("gpu", "", "cuda:99", "meta"):
        with pytest.raises(InputError, match="device"):
            pick_device(wrong)
    for wrong in ("int8", "float", ""):
        with pytest.raises(InputError, match="dtype"):
            pick_dtype(wrong)


def test_bfloat16_is_picked_only_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: {"avx512_bf16": able, "amx_bf16": False})
        assert pick_dtype("auto", "cpu") == (torch.bfloat16 if able else torch.float32)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, able=able: able)
        assert pick_dtype("auto", "cuda") == (torch.bfloat16 if able else torch.float32)


def as_gguf(tiny_model: Path, file: Path) -> Any:
    """The tiny model as a GGUF file with Q8_0 matrices, and the model with its weights rounded in the same way."""
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config, heads, groups = model.config, model.config.num_attention_heads, model.config.num_key_value_heads
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    words += [(f"<unused{index}>", index) for index in range(len(words), config.vocab_size)]
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id}

    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([word for word, _ in words])
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_token_types([3 if index in special else 1 for _, index in words])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "model.layers.": "blk.",
    }  # fmt: skip
    state = model.state_dict()
    for key, tensor in state.items():
        if key == "lm_head.weight":  # tied to the embedding
            continue
        name = key
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        values = tensor.numpy().copy()
        count = heads if "attn_q" in name else groups if "attn_k" in name else 0
        if values.ndim == 1:
            writer.add_tensor(name, values)
            continue
        if count:  # GGUF keeps the two halves of a rotary pair side by side
            rows, width = values.shape
            values = values.reshape(count, 2, rows // count // 2, width).swapaxes(1, 2).reshape(rows, width)
        packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        rounded = gguf.quants.dequantize(
            gguf.quants.quantize(tensor.numpy(), gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0
        )
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(rounded)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model.eval()


def test_a_gguf_file_is_dequantised_once_and_whole(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gguf")
    from empirical.models import loading as models

    file, cache = tmp_path / "tiny.gguf", tmp_path / "cache"
    with torch.no_grad():
        expected = as_gguf(tiny_model, file)
    ids = torch.arange(2, 40)[None]
    capfd.readouterr()
    loaded = load_model(file, device="cpu", dtype="float32", cache=cache)
    assert capfd.readouterr().err.count("\n") == 1, "one line that says what takes so long, and no bars"
    assert loaded.quantised == "Q8_0"
    assert loaded.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert not hasattr(loaded.model.config, "quantization_config")
    assert loaded.model.lm_head.weight.data_ptr() == loaded.model.model.embed_tokens.weight.data_ptr()
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(ids).logits, expected(ids).logits, rtol=1e-4, atol=1e-4)
    text = "Größe, 映画 🎬 and the light"
    encoded = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert loaded.tokenizer.decode(encoded) == text

    def again(*_: object, **__: object) -> None:
        raise AssertionError("dequantised a second time")

    with monkeypatch.context() as patch:
        patch.setattr(models, "_dequantise", again)
        second = load_model(file, device="cpu", dtype="float32", cache=cache)
    assert second.quantised == "Q8_0"
    for one, other in zip(loaded.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)

    [weights] = cache.rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-10])
    third = load_model(file, device="cpu", dtype="float32", cache=cache)
    assert "cannot be used, making them again" in capfd.readouterr().err
    assert torch.equal(third.model.lm_head.weight, loaded.model.lm_head.weight)
    assert [p.name for p in cache.rglob("*partial*")] == []


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_gguf_file_is_one_line(tiny_model: Path, tmp_path: Path, kept: float) -> None:
    pytest.importorskip("gguf")
    file = tmp_path / "tiny.gguf"
    with torch.no_grad():
        as_gguf(tiny_model, file)
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * kept)])
    with pytest.raises(InputError, match=r"truncated(,| or) altered") as caught:
        load_model(file, cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()
