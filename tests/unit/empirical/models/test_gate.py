"""The gate that opens a model: what it refuses, in one line with its cause, and what passes computes what it says."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file

from elastomath.errors import InputError
from empirical.coding.file import decode_bytes, encode_bytes
from empirical.data.examples import Example
from empirical.measures.code_lengths import code_lengths
from empirical.measures.rates import measure, measurement, token_log_probs
from empirical.measures.sampling import sample
from empirical.models import gate
from empirical.models.loading import load_model
from empirical.models.lora import LoraSettings, add_lora
from empirical.models.model import Reader
from empirical.models.sequences import encode_examples, from_ids
from empirical.training.finetune import train

TEXT = "the light falls on the water and nobody says a word. " * 3
CAUSAL = ("llama", "gpt2", "mamba", "mamba2", "rwkv", "recurrent_gemma", "mpt", "opt")
WITHOUT_ATTENTION_CACHES = ("mamba", "mamba2", "rwkv", "recurrent_gemma")


def load(folder, dtype="float32", device="cpu", **options):
    return load_model(folder, device=device, dtype=dtype, **options)


def altered(folder, to, **config):
    """A copy of a model's folder with other values in config.json."""
    shutil.copytree(folder, to)
    told = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(told | config))
    return to


def rewritten(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# -- causality ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CAUSAL)
def test_decoders_pass(tiny, kind):
    assert math.isfinite(measure(load(tiny(kind)), [TEXT]).bits_per_byte)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_models_that_see_the_future_are_refused(tiny, kind, dtype):
    with pytest.raises(InputError, match=r"sees the future.*causal language model"):
        load(tiny(kind), dtype)
    assert load(tiny(kind, is_decoder=True), dtype).dtype == dtype, "the same layers as a decoder"


def test_a_llama_that_is_not_causal_is_refused(tiny_model, tmp_path):
    with pytest.raises(InputError, match="sees the future"):
        load(altered(tiny_model, tmp_path / "m", is_causal=False))


@pytest.mark.parametrize("scale", [1e-3, 1e-5])
def test_a_faint_look_ahead_is_seen(tiny_model, scale):
    """A part ``scale`` of the next position's state in each: far above rounding (6e-8), far below the logits."""
    loaded = load(tiny_model)

    def leak(_, __, states):
        return states + scale * torch.roll(states, -1, dims=1)

    hook = loaded.model.model.norm.register_forward_hook(leak)
    with pytest.raises(InputError, match="sees the future"):
        gate.admit(loaded)
    hook.remove()
    gate.admit(loaded)


def test_contexts_of_one_token_and_of_few(tiny):
    assert load(tiny("gpt2", n_positions=2)).context == 2


# -- the weights are those of the file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "config", "what"),
    [
        ("gpt2", {"n_layer": 1}, r"holds 1[0-9] weights that the model of config\.json does not use, first .*h\.1\."),
        ("llama", {"num_hidden_layers": 1}, r"holds 9 weights .* first model\.layers\.1\."),
        ("llama", {"num_hidden_layers": 3}, r"lacks 9 of the weights, first model\.layers\.2\."),
        ("gpt2", {"n_embd": 16}, r"another shape than config\.json says.*in the file, .*by the configuration"),
        ("llama", {"vocab_size": 200}, r"another shape.*\(300, 32\) in the file, \(200, 32\)"),
        ("llama", {"model_type": "no-such"}, r"transformers knows no model of type 'no-such'"),
    ],
)
def test_other_weights_than_the_configurations(tiny, tmp_path, kind, config, what):
    with pytest.raises(InputError, match=what) as caught:
        load(altered(tiny(kind), tmp_path / "m", **config))
    assert "gemma-3-270m" not in str(caught.value), "a folder that is there is not told to be another"


def test_masks_and_frequencies_beside_the_weights_are_no_weights(tiny, tmp_path):
    folder = altered(tiny("llama"), tmp_path / "m")
    rewritten(folder, lambda w: w.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))
    assert load(folder).context == 64
    rewritten(folder, lambda w: w.update({"score.weight": torch.ones(2, 32)}))
    with pytest.raises(InputError, match=r"first score\.weight"):
        load(folder)


def test_a_missing_shard_is_named(tiny, tmp_path):
    folder = altered(tiny("gpt2"), tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for file, part in zip(files, (names[:9], names[9:]), strict=True):
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {name: files[place >= 9] for place, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load(folder).context == 64
    (folder / files[1]).unlink()
    with pytest.raises(InputError, match=rf"1 of 2 files of weights are missing, first {files[1]}"):
        load(folder)


def test_an_adapters_folder_is_not_a_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no config\.json.*as its adapter"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_no_tokenizer(tiny, tmp_path, kind):
    folder = altered(tiny(kind), tmp_path / "m")
    for file in folder.glob("token*"):
        file.unlink()
    with pytest.raises(InputError, match=r"tokenizer .*(missing|no tokens).*tokenizer\.json"):
        load(folder)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tiny, tmp_path, number):
    folder = altered(tiny("llama"), tmp_path / "m")
    rewritten(folder, lambda w: w["model.norm.weight"].__setitem__(0, number))
    with pytest.raises(InputError, match=r"weight model\.norm\.weight holds numbers that are not finite"):
        load(folder)


def test_an_overflow_in_float16_is_one_line(tiny, tmp_path, capsys):
    from paper_checks.cli.commands import main

    folder = altered(tiny("llama"), tmp_path / "m")
    rewritten(folder, lambda w: w["model.norm.weight"].mul_(3e4))
    text = tmp_path / "a.txt"
    text.write_text(TEXT)
    assert math.isfinite(measure(load(folder), [TEXT]).bits_per_byte)
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            main(["measure", "--model", str(folder), "--data", str(text), "--dtype", "float16", *more])
        assert stop.value.code == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert "not finite in float16" in told.err
        assert "--dtype float32" in told.err


def test_numbers_that_overflow_on_some_text_only(tiny_model):
    loaded = load(tiny_model)
    [token] = set(loaded.tokenizer("🎬", add_special_tokens=False)["input_ids"][:1])
    with torch.no_grad():
        loaded.model.lm_head.weight[token] = 1e38  # finite, and so are the products but where they meet
        loaded.model.model.norm.weight.mul_(1e4)
    with pytest.raises(InputError, match="not finite in float32"):
        token_log_probs(loaded, [np.array([0, token, 5, token])])


def test_float64_is_float64_throughout(tiny):
    """Against a Llama written in numpy: 1e-13, where one norm, rotation or softmax in float32 leaves 1e-7."""
    folder = tiny("llama", tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    loaded = load(folder, "float64")
    ids = np.arange(2, 40)
    with torch.inference_mode():
        seen = loaded.model(torch.from_numpy(ids)[None]).logits[0].numpy()
    expected = llama_in_numpy(loaded.model, ids)
    assert np.abs(seen - expected).max() < 1e-12 * np.abs(expected).max()
    log_probs = expected - np.log(np.exp(expected).sum(1, keepdims=True))
    by_hand = log_probs[np.arange(37), ids[1:]]
    np.testing.assert_allclose(token_log_probs(loaded, [ids])[0], by_hand, rtol=1e-12)
    lengths = code_lengths(loaded.model, from_ids([ids[:1].tolist()], [ids[1:].tolist()], 0))
    assert lengths.nats[0] == pytest.approx(-by_hand.sum(), rel=1e-13)
    narrow = load(folder)
    assert np.abs(token_log_probs(narrow, [ids])[0] - by_hand).max() > 1e-8, "and float32 can be told from it"


def llama_in_numpy(model, ids):
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    heads, groups, width = 4, 2, 8
    rate = 500.0 ** (-np.arange(0, width, 2) / width)
    angle = np.arange(len(ids))[:, None] * rate
    cos, sin = (np.concatenate([f(angle)] * 2, axis=1)[None] for f in (np.cos, np.sin))

    def norm(x, weight):
        return x / np.sqrt((x**2).mean(1, keepdims=True) + model.config.rms_norm_eps) * weight

    def turned(x):
        half = np.concatenate([-x[..., width // 2 :], x[..., : width // 2]], axis=-1)
        return x * cos + half * sin

    def parts(x, count):
        return x.reshape(len(ids), count, width).swapaxes(0, 1)

    x = w["model.embed_tokens.weight"][ids]
    for layer in range(2):
        at = f"model.layers.{layer}."
        y = norm(x, w[at + "input_layernorm.weight"])
        q, k, v = (y @ w[at + f"self_attn.{name}_proj.weight"].T for name in "qkv")
        q = turned(parts(q, heads))
        k, v = (np.repeat(z, heads // groups, axis=0) for z in (turned(parts(k, groups)), parts(v, groups)))
        scores = q @ k.swapaxes(1, 2) / np.sqrt(width) + np.triu(np.full((len(ids),) * 2, -np.inf), 1)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = x + mixed.swapaxes(0, 1).reshape(len(ids), -1) @ w[at + "self_attn.o_proj.weight"].T
        y = norm(x, w[at + "post_attention_layernorm.weight"])
        gate_, up, down = (w[at + f"mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
        z = y @ gate_.T
        x = x + (z / (1 + np.exp(-z)) * (y @ up.T)) @ down.T
    return norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T


@pytest.mark.parametrize("kind", CAUSAL)
def test_float64_of_every_kind_or_refused(tiny, kind):
    """No operation of a whole forward pass gives a float32: the gate has watched them all."""
    wide, narrow = (measure(load(tiny(kind), dtype), [TEXT]).bits_per_byte for dtype in ("float64", "float32"))
    assert wide == pytest.approx(narrow, rel=2e-6)


def test_a_model_that_narrows_by_itself_is_refused_in_float64(tiny_model):
    loaded = load(tiny_model, "float64")

    def through_numpy(_, __, states):
        return torch.from_numpy(states.numpy().astype(np.float32)).double()

    loaded.model.model.norm.register_forward_hook(through_numpy)
    with pytest.raises(InputError, match=r"computes in float32 .*not in float64.*--dtype float32"):
        gate.admit(loaded)


def test_float64_leaves_other_models_alone(tiny_model):
    load(tiny_model, "float64").model(torch.arange(5)[None])
    assert torch.get_default_dtype() == torch.float32
    assert torch.zeros(2).to(torch.float32).dtype == torch.float32
    with pytest.raises(IndexError):
        load(tiny_model, "float64").model(torch.tensor([[999]]))
    assert torch.get_default_dtype() == torch.float32, "and after an error"


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_kind_in_half_precision(tiny, kind, dtype):
    """Mamba keeps its states in float32 beside an output layer in bfloat16: the layer is given its own dtype."""
    narrow, full = (measure(load(tiny(kind), number), [TEXT]).bits_per_byte for number in (dtype, "float32"))
    assert narrow == pytest.approx(full, rel=0.01)


def test_a_dtype_in_which_the_model_does_not_compute(tiny_model, monkeypatch, capfd):
    from transformers.models.llama.modeling_llama import LlamaMLP

    whole = LlamaMLP.forward

    def only_float32(self, states):
        return whole(self, states.float())

    monkeypatch.setattr(LlamaMLP, "forward", only_float32)
    with pytest.raises(InputError, match=r"does not compute in bfloat16 on cpu.*--dtype float32"):
        load(tiny_model, "bfloat16")
    monkeypatch.setattr(
        "empirical.models.loading.pick_dtype", lambda name, *_: getattr(torch, "bfloat16" if name == "auto" else name)
    )
    capfd.readouterr()
    assert load(tiny_model, "auto").dtype == "float32"
    assert "does not compute in bfloat16 on cpu" in capfd.readouterr().err


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_tokens_beyond_the_models_table_are_named(tiny, tmp_path):
    folder = altered(tiny("llama"), tmp_path / "m")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<|new|>"])
    tokenizer.save_pretrained(folder)
    place = len(tokenizer) - 1
    rewritten(folder, lambda w: w.update({k: w[k][:place].clone() for k in w if "embed" in k or "lm_head" in k}))
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | {"vocab_size": place}))
    loaded = load(folder)
    assert math.isfinite(measure(loaded, [TEXT]).bits_per_byte), "a token that no text has does no harm"
    with pytest.raises(InputError, match=rf"token {place} \('<\|new\|>'\), the model knows 0 to {place - 1}"):
        measure(loaded, ["a <|new|> film"])
    with pytest.raises(InputError, match=f"token {place}"):
        code_lengths(loaded.model, encode_examples(loaded.tokenizer, [Example("", "a <|new|> film")], 8))
    with pytest.raises(InputError, match=f"token {place}"):
        encode_bytes(loaded, b"a <|new|> film " * 9)
    with pytest.raises(InputError, match=f"token {place}"):
        sample(loaded, ["a <|new|> film"], 2)


def test_another_models_tokenizer(tiny, tmp_path):
    folder = altered(tiny("llama", vocab_size=100), tmp_path / "m")
    with pytest.raises(InputError, match=r"the tokenizer has \d+ tokens, the model knows 100"):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "config", "context"),
    [
        ("mpt", {}, 48),
        ("rwkv", {}, 64),
        ("roberta", {"is_decoder": True}, 64),
        ("opt", {}, 64),
        ("gpt2", {}, 64),
        ("mamba", {}, 2048),
    ],
)
def test_the_context_is_the_longest_input_that_the_model_takes(tiny, kind, config, context):
    loaded = load(tiny(kind, **config))
    assert loaded.context == context
    with torch.inference_mode():
        loaded.model(torch.full((1, context), 7))
    if kind in ("roberta", "gpt2"):
        with pytest.raises((IndexError, RuntimeError)), torch.inference_mode():
            loaded.model(torch.full((1, context + 1), 7))


@pytest.fixture
def lowering(tiny_model, tmp_path):
    """The tiny model with a tokenizer that puts capitals into lower case."""
    import tokenizers

    folder = tmp_path / "lower"
    shutil.copytree(tiny_model, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.save_pretrained(folder)
    return folder


def test_a_tokenizer_that_loses_bytes_is_refused_unless_asked(lowering, tmp_path, capsys):
    from paper_checks.cli.commands import main

    loaded = load(lowering)
    assert measure(loaded, ["all lower case"]).lossy == 0
    with pytest.raises(InputError, match=r"does not give back 1 of 2 documents, first document 2.*--lossy"):
        measure(loaded, ["all lower case", "A Film"])
    assert measure(loaded, ["all lower case", "A Film"], lossy=True).lossy == 1
    text = tmp_path / "a.txt"
    text.write_text("A Film")
    command = ["measure", "--model", str(lowering), "--data", str(text), "--device", "cpu", "--dtype", "float32"]

    def code(*more):
        with pytest.raises(SystemExit) as stop:
            main([*command, *more])
        return stop.value.code

    assert code() == 2
    assert "--lossy" in capsys.readouterr().err
    assert code("--lossy", "--json") == 0
    [row] = json.loads(capsys.readouterr().out)["results"]
    assert row["lossy"] == 1
    assert code("--encode", str(tmp_path / "a.emc")) == 0, "an encoded file loses nothing"


def test_a_tokenizer_with_an_unknown_token_loses_bytes(tiny_model, tmp_path):
    import tokenizers

    folder = tmp_path / "m"
    shutil.copytree(tiny_model, folder)
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<s>": 0, "</s>": 1, "[UNK]": 2, "a": 3, "film": 4}, "[UNK]")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="[UNK]"
    ).save_pretrained(folder)
    loaded = load(folder)
    assert measure(loaded, ["a film"]).lossy == 0
    with pytest.raises(InputError, match="does not give back 2 of 3"):
        measure(loaded, ["a film", "a slow film", "a  film"])


# -- models without attention's caches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WITHOUT_ATTENTION_CACHES)
def test_models_without_attention_caches_code_sample_and_adapt(tiny, kind):
    loaded = load(tiny(kind))
    data = TEXT.encode()
    coded = encode_bytes(loaded, data, 16)
    assert decode_bytes(loaded, coded.data) == data
    bits = -sum(row.sum() for row in token_log_probs(loaded, coded.sequences(loaded.prefix))) / np.log(2)
    assert 8 * coded.code == pytest.approx(bits, rel=0.02, abs=64), "coded at the model's own rate"
    assert len(sample(loaded, ["a film"], 4).texts) == 1
    examples = encode_examples(loaded.tokenizer, [Example("", TEXT)] * 8, 16)
    add_lora(loaded, LoraSettings(rank=2))
    trained = [value for value in loaded.model.parameters() if value.requires_grad]
    losses = train(loaded.model, torch.optim.AdamW(trained, lr=1e-2), examples, batch=2, learning_rate=1e-2)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", CAUSAL)
def test_token_by_token_is_the_whole_at_once(tiny, kind):
    model = load(tiny(kind)).model
    ids = torch.randint(2, 300, (3, 9), generator=torch.Generator().manual_seed(0))
    read = Reader(model)
    with torch.inference_mode():
        seen = torch.stack([read(ids[:, :4]), *(read(ids[:, i : i + 1]) for i in range(4, 9))], dim=1)
        whole = model(ids, use_cache=False).logits[:, 3:]
    torch.testing.assert_close(seen, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_the_gate_on_cuda(tiny, dtype):
    for kind in CAUSAL:
        try:
            loaded = load(tiny(kind), dtype, "cuda")
        except gate.NumbersError:
            assert kind in WITHOUT_ATTENTION_CACHES
            assert dtype != "float32"
            continue
        assert math.isfinite(measurement(loaded, [])["window"])
    with pytest.raises(InputError, match="sees the future"):
        load(tiny("bert"), dtype, "cuda")
