"""Bits per byte: gold windows written by hand, a model whose rate is known, and batching that changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath.errors import InputError
from empirical.data.chats import Chat, Turn, prompt_ids
from empirical.data.documents import Documents
from empirical.data.examples import Example

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from empirical.measures import sampling
from empirical.measures.rates import bootstrap_se, encode, measure, measurement, pooled_rate, token_log_probs, utf8_size
from empirical.measures.windows import response_windows, rolling_windows
from empirical.models.loading import load_model
from empirical.models.model import LoadedModel
from empirical.models.sequences import encode_examples

TEXTS = [
    "A slow film, and a good one: the light falls on the water.",
    "",
    "Größe, café naïve — 映画. 🎬",
    "x",
    "The second half drags; the acting does not. " * 5,
]

GOLD = [
    # length, window, stride: rows (begin, end, scored) by hand; s = (prefix, t1, ..., t_length)
    (0, 4, 4, []),
    (1, 4, 4, [[0, 1, 1]]),
    (3, 4, 4, [[0, 3, 3]]),
    (4, 4, 4, [[0, 4, 4]]),
    (5, 4, 4, [[0, 4, 4], [1, 5, 1]]),  # t5 alone is left: t1..t4 in front of it
    (8, 4, 4, [[0, 4, 4], [4, 8, 4]]),
    (11, 4, 4, [[0, 4, 4], [4, 8, 4], [7, 11, 3]]),
    (3, 1, 1, [[0, 1, 1], [1, 2, 1], [2, 3, 1]]),
    (7, 4, 2, [[0, 4, 4], [2, 6, 2], [3, 7, 1]]),
    (11, 4, 3, [[0, 4, 4], [3, 7, 3], [6, 10, 3], [7, 11, 1]]),
    (6, 4, 1, [[0, 4, 4], [1, 5, 1], [2, 6, 1]]),
]


@pytest.mark.parametrize(("length", "window", "stride", "rows"), GOLD)
def test_gold_windows(length: int, window: int, stride: int, rows: list[list[int]]) -> None:
    assert rolling_windows(length, window, stride).tolist() == rows
    assert rolling_windows(length, window, stride).shape == (len(rows), 3)
    if stride == window:
        assert rolling_windows(length, window).tolist() == rows


@given(length=st.integers(0, 200), window=st.integers(1, 40), data=st.data())
def test_windows_score_each_token_once_with_enough_context(length: int, window: int, data: st.DataObject) -> None:
    """Sum of scored = length, in order; scored <= window; the context of a later window is >= window - stride + 1."""
    stride = data.draw(st.integers(1, window))
    rows = rolling_windows(length, window, stride)
    seen = [token for begin, end, scored in rows for token in range(end - scored + 1, end + 1)]
    assert seen == list(range(1, length + 1))
    for index, (begin, end, scored) in enumerate(rows):
        assert end - begin <= window
        assert 1 <= scored <= end - begin
        if index:
            assert end - begin == window
            assert scored <= stride


@pytest.mark.parametrize(("length", "window", "stride"), [(5, 0, 1), (5, 4, 5), (5, 4, 0), (-1, 4, 4)])
def test_windows_refuse_what_makes_no_sense(length: int, window: int, stride: int) -> None:
    with pytest.raises(InputError):
        rolling_windows(length, window, stride)


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load_model(tiny_model, device="cpu", dtype="float32")


@pytest.fixture
def uniform(tiny_model: Path) -> LoadedModel:
    """A model whose logits are all zero: every token costs log2(300) bits."""
    model = load_model(tiny_model, device="cpu", dtype="float32")
    with torch.no_grad():
        model.model.get_output_embeddings().weight.zero_()
    return model


def test_a_uniform_model_takes_log2_of_the_vocabulary(uniform: LoadedModel) -> None:
    rate = measure(uniform, TEXTS, window=16)
    assert rate.bits_per_token == pytest.approx(math.log2(300), rel=1e-7)
    size = sum(len(text.encode()) for text in TEXTS)
    assert rate.bytes == size
    assert rate.documents == 5
    assert rate.tokens == rate.document_tokens.sum() == sum(len(row) for row in encode(uniform, TEXTS))
    assert rate.bits_per_byte == pytest.approx(rate.tokens * math.log2(300) / size, rel=1e-7)
    assert rate.document_bytes.tolist() == [len(text.encode()) for text in TEXTS]
    np.testing.assert_allclose(rate.document_bits, rate.document_tokens * math.log2(300), rtol=1e-7)


def by_hand(loaded: LoadedModel, text: str, window: int, stride: int) -> float:
    """Bits of a text, one window and one forward pass at a time, from the whole model's logits in float64."""
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = [loaded.tokenizer.bos_token_id, *ids]
    bits, done = 0.0, 0
    while done < len(ids):
        new = min(window if done == 0 else stride, len(ids) - done)
        end = done + new
        begin = max(0, end - window)
        with torch.no_grad():
            logits = loaded.model(torch.tensor([whole[begin:end]])).logits[0].double()
        chosen = torch.log_softmax(logits, dim=-1)[torch.arange(end - begin), torch.tensor(whole[begin + 1 : end + 1])]
        bits -= float(chosen[-new:].sum()) / math.log(2)
        done = end
    return bits


@pytest.mark.parametrize(("window", "stride"), [(64, 64), (16, 16), (16, 5), (7, 1), (1, 1)])
def test_each_document_as_computed_by_hand(loaded: LoadedModel, window: int, stride: int) -> None:
    rate = measure(loaded, TEXTS, window=window, stride=stride)
    expected = [by_hand(loaded, text, window, stride) for text in TEXTS]
    np.testing.assert_allclose(rate.document_bits, expected, rtol=2e-6)
    assert rate.bits_per_byte == pytest.approx(sum(expected) / rate.bytes, rel=2e-6)


def test_more_context_is_read_where_the_stride_is_short(loaded: LoadedModel) -> None:
    """A control: if context did not reach the model, strided and disjoint windows would agree."""
    strided, disjoint = measure(loaded, TEXTS, 16, 4).bits_per_byte, measure(loaded, TEXTS, 16).bits_per_byte
    assert abs(strided / disjoint - 1) > 1e-4


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_batching_and_padding_change_nothing(loaded: LoadedModel, batch_tokens: int) -> None:
    alone = np.array([measure(loaded, [text], 16).document_bits[0] for text in TEXTS if text])
    rate = measure(loaded, TEXTS, 16, batch_tokens=batch_tokens)
    np.testing.assert_allclose(rate.document_bits[rate.document_tokens > 0], alone, rtol=1e-6)
    assert rate.document_bits[1] == 0


def test_a_model_with_a_step_after_its_output_layer_goes_the_long_way(loaded: LoadedModel) -> None:
    """Logits capped after the layer (as Gemma 2 does) must not be taken from the layer alone."""

    class Capped(torch.nn.Module):
        def __init__(self, inner: object) -> None:
            super().__init__()
            self.inner = inner
            self.base_model, self.config = inner.base_model, inner.config  # type: ignore[attr-defined]

        def get_output_embeddings(self) -> object:
            return self.inner.get_output_embeddings()

        def get_input_embeddings(self) -> object:
            return self.inner.get_input_embeddings()

        def forward(self, **inputs: object) -> object:
            out = self.inner(**inputs)
            out.logits = 2.0 * torch.tanh(out.logits / 2.0)
            return out

    capped = dataclasses.replace(loaded, model=Capped(loaded.model).eval())
    [row] = encode(loaded, [TEXTS[0]])
    whole = np.concatenate([[loaded.prefix], row])
    [values] = token_log_probs(capped, [whole])
    with torch.no_grad():
        logits = capped.model(input_ids=torch.tensor(whole[None, :-1])).logits[0].double()
    expected = torch.log_softmax(logits, -1)[torch.arange(len(row)), torch.tensor(row)].numpy()
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert not np.allclose(values, token_log_probs(loaded, [whole])[0], rtol=1e-3)


def test_slices_of_the_output_layer_change_nothing(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(loaded, TEXTS, 16).document_bits
    monkeypatch.setattr("empirical.measures.rates.LOGIT_BYTES", 7 * 4 * 300)  # seven positions at a time
    np.testing.assert_allclose(measure(loaded, TEXTS, 16).document_bits, whole, rtol=1e-6)


def test_a_softmax_in_float64_is_within_rounding(loaded: LoadedModel) -> None:
    narrow, wide = measure(loaded, TEXTS, 16), measure(loaded, TEXTS, 16, softmax_dtype="float64")
    np.testing.assert_allclose(narrow.document_bits, wide.document_bits, rtol=1e-6)
    assert (narrow.document_bits != wide.document_bits).any()


def test_token_log_probs_keep_order_and_counts(loaded: LoadedModel) -> None:
    rows = [np.concatenate([[loaded.prefix], row]) for row in encode(loaded, [t for t in TEXTS[:4] if t])]
    full = token_log_probs(loaded, rows)
    assert [len(row) for row in full] == [len(row) - 1 for row in rows]
    last = token_log_probs(loaded, rows, [2, 0, 1], batch_tokens=8)
    for count, tail, row in zip([2, 0, 1], last, full, strict=True):
        np.testing.assert_allclose(tail, row[len(row) - count :], rtol=1e-5)
    assert (
        len({id(row.base) for row in full}) == 1
    )  # one block: a piece for each batch would pin the memory of that batch
    assert token_log_probs(loaded, []) == []
    assert not loaded.model.training
    with pytest.raises(InputError, match="more than the model's context of 64"):
        token_log_probs(loaded, [np.zeros(66, dtype=np.int64)])
    with pytest.raises(InputError, match="3 scored tokens in 3"):
        token_log_probs(loaded, [np.zeros(3, dtype=np.int64)], [3])


def test_a_model_in_training_mode_is_measured_without_dropout_and_given_back(loaded: LoadedModel) -> None:
    expected = measure(loaded, TEXTS, 16).bits_per_byte
    attention = [layer.self_attn for layer in loaded.model.model.layers]
    loaded.model.train()
    for layer in attention:
        layer.attention_dropout = 0.5
    try:
        assert measure(loaded, TEXTS, 16).bits_per_byte == expected
        assert loaded.model.training
    finally:
        loaded.model.eval()
        for layer in attention:
            layer.attention_dropout = 0.0


def test_the_default_window_is_the_models_context(loaded: LoadedModel) -> None:
    assert loaded.context == 64
    np.testing.assert_array_equal(measure(loaded, TEXTS).document_bits, measure(loaded, TEXTS, 64, 64).document_bits)
    with pytest.raises(InputError, match="window 65 is longer than the model's context of 64"):
        measure(loaded, TEXTS, window=65)
    with pytest.raises(InputError, match="stride 17"):
        measure(loaded, TEXTS, window=16, stride=17)


def test_nothing_to_measure(loaded: LoadedModel) -> None:
    for texts in ([], ["", ""]):
        with pytest.raises(InputError, match="no text to measure"):
            measure(loaded, texts)
    with pytest.raises(InputError, match="one string"):
        measure(loaded, "a text")
    with pytest.raises(InputError, match="document 2 cannot be written in UTF-8"):
        measure(loaded, ["a", "b\ud800"])
    assert utf8_size("映画") == 6


def test_the_result_is_json_with_the_keys_of_the_design(loaded: LoadedModel) -> None:
    sets = [Documents(tuple(TEXTS), "a.txt"), Documents(("one", "two"), "b.txt")]
    result = json.loads(json.dumps(measurement(loaded, sets, window=16, limit=4)))
    assert set(result["results"][0]) == {
        "data",
        "bits_per_byte",
        "se",
        "bits_per_token",
        "bytes",
        "tokens",
        "documents",
        "lossy",
    }
    assert {"window", "stride", "bos", "model", "revision", "dtype"} <= set(result)
    assert [row["data"] for row in result["results"]] == ["a.txt", "b.txt"]
    assert (result["window"], result["stride"], result["bos"], result["dtype"]) == (16, 16, "<s>", "float32")
    assert result["results"][0]["documents"] == 4
    rate = measure(loaded, TEXTS, 16, limit=4)
    assert result["results"][0]["bits_per_byte"] == rate.bits_per_byte
    assert result["results"][0]["se"] == rate.se


def test_eos_stands_in_for_a_missing_bos(loaded: LoadedModel) -> None:
    class Without:
        bos_token_id, eos_token_id = None, 7

    assert dataclasses.replace(loaded, tokenizer=Without()).prefix == 7
    Without.eos_token_id = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="neither a BOS nor an EOS"):
        _ = dataclasses.replace(loaded, tokenizer=Without()).prefix


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = rng.integers(20, 400, size=60)
    return sizes * rng.normal(1.0, 10.0 / sizes), sizes  # short documents scatter more


def test_se_against_brute_force(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Resampling by hand with another generator, and the delta method: all three within their noise."""
    bits, sizes = sample
    rng = np.random.default_rng(99)
    draws = []
    for _ in range(4000):
        chosen = [int(rng.integers(60)) for _ in range(60)]
        draws.append(sum(bits[i] for i in chosen) / sum(sizes[i] for i in chosen))
    brute = float(np.std(draws, ddof=1))
    fast = bootstrap_se(bits, sizes, resamples=4000, seed=1)
    assert fast == pytest.approx(brute, rel=0.06)  # each has a relative error of 1/sqrt(8000) = 1.1%
    ratio = bits.sum() / sizes.sum()
    delta = math.sqrt(float(((bits - ratio * sizes) ** 2).sum())) / sizes.sum()
    assert fast == pytest.approx(delta, rel=0.1)
    naive = float(np.std(bits / sizes, ddof=1)) / math.sqrt(60)  # the mean of rates is another estimator
    assert abs(naive / brute - 1) > 0.06, "the test has to tell the pooled ratio from the mean of rates"


def test_se_is_seeded_and_none_for_one_document(sample: tuple[np.ndarray, np.ndarray]) -> None:
    bits, sizes = sample
    assert bootstrap_se(bits, sizes, seed=3) == bootstrap_se(bits, sizes, seed=3)
    assert bootstrap_se(bits, sizes, seed=3) != bootstrap_se(bits, sizes, seed=4)
    assert bootstrap_se(bits[:1], sizes[:1]) is None
    empty = np.append(bits[:1], 0.0), np.append(sizes[:1], 0)
    assert bootstrap_se(*empty) is None, "an empty document is no second document"
    padded = bootstrap_se(np.append(bits, np.zeros(9)), np.append(sizes, np.zeros(9, dtype=np.int64)), seed=3)
    assert padded == bootstrap_se(bits, sizes, seed=3)
    assert bootstrap_se(3.0 * sizes, sizes) == pytest.approx(0.0, abs=1e-14)
    assert bootstrap_se(np.full(80, 202.1969), np.full(80, 23)) == 0.0  # equal documents: it was 8e-31


def test_responses_to_one_prompt_are_resampled_together(
    loaded: LoadedModel, sample: tuple[np.ndarray, np.ndarray]
) -> None:
    """Each document four times, after the same prompt: the error is that of once; over documents it was half of it."""
    bits, sizes = sample
    many, prompts = (np.repeat(bits, 4), np.repeat(sizes, 4)), np.repeat(np.arange(60), 4).tolist()
    once = bootstrap_se(bits, sizes, resamples=8000)
    assert bootstrap_se(*many, resamples=8000, prompts=prompts) == once
    assert bootstrap_se(*many, resamples=8000) == pytest.approx(once / 2, rel=0.05)
    rate = pooled_rate(*many, np.full(240, 9), prompts=prompts)
    moved = pooled_rate(many[0] + np.repeat(bits % 7.0, 4), many[1], np.full(240, 9), prompts=prompts)
    single = pooled_rate(bits + bits % 7.0, sizes, np.full(60, 9)).change(
        pooled_rate(bits, sizes, np.full(60, 9)).arrays()
    )
    assert moved.change(rate.arrays())["change_se"] == pytest.approx(single["change_se"], rel=1e-9)
    asked = measure(loaded, ["one", "other", "third"], prompts=["Q", "R", "Q"])
    assert asked.document_prompts == (0, 1, 0)
    assert measure(loaded, ["one", "other", "third"], prompts=["Q", "Q", "Q"]).document_prompts is None


def test_pooling_is_over_bytes_not_documents() -> None:
    rate = pooled_rate(np.array([10.0, 100.0]), np.array([10, 50]), np.array([2, 8]))
    assert rate.bits_per_byte == pytest.approx(110 / 60)
    assert rate.bits_per_token == 11.0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(tiny_model: Path, loaded: LoadedModel) -> None:
    expected = measure(loaded, TEXTS, 16).document_bits
    on_gpu = measure(load_model(tiny_model, device="cuda", dtype="float32"), TEXTS, 16).document_bits
    np.testing.assert_allclose(on_gpu, expected, rtol=1e-4)
    narrow = measure(load_model(tiny_model, device="cuda"), TEXTS, 16)
    np.testing.assert_allclose(narrow.document_bits, expected, rtol=5e-2)


def test_bfloat16_is_close(tiny_model: Path, loaded: LoadedModel) -> None:
    narrow = measure(load_model(tiny_model, device="cpu", dtype="bfloat16"), TEXTS, 16)
    assert narrow.bits_per_byte == pytest.approx(measure(loaded, TEXTS, 16).bits_per_byte, rel=5e-2)


GOLD_RESPONSES = [
    # prompt, response, window, stride: rows by hand; s = (prefix, p1 .. p_prompt, r1 .. r_response)
    (3, 0, 8, 8, []),
    (0, 5, 4, 4, [[0, 4, 4], [1, 5, 1]]),
    (3, 2, 8, 8, [[0, 5, 2]]),
    (3, 5, 8, 8, [[0, 8, 5]]),  # just fits
    (4, 5, 8, 8, [[1, 9, 5]]),  # the prefix is cut away, p1 is the first that is read
    (9, 5, 8, 8, [[6, 14, 5]]),  # p1 .. p5 too
    (3, 10, 8, 8, [[3, 11, 8], [5, 13, 2]]),  # one token of context, then filled with older ones
    (3, 10, 8, 4, [[3, 11, 8], [5, 13, 2]]),
    (2, 7, 4, 2, [[2, 6, 4], [4, 8, 2], [5, 9, 1]]),
]


@pytest.mark.parametrize(("prompt", "response", "window", "stride", "rows"), GOLD_RESPONSES)
def test_gold_windows_of_responses(prompt: int, response: int, window: int, stride: int, rows: list[list[int]]) -> None:
    assert response_windows(prompt, response, window, stride).tolist() == rows


@given(prompt=st.integers(0, 60), response=st.integers(0, 100), window=st.integers(1, 40), data=st.data())
def test_windows_of_responses_score_the_response_only(
    prompt: int, response: int, window: int, data: st.DataObject
) -> None:
    """Each token of the response once, none of the prompt; every window reads all of the prompt that it has room for."""
    rows = response_windows(prompt, response, window, data.draw(st.integers(1, window)))
    seen = [token for begin, end, scored in rows for token in range(end - scored + 1, end + 1)]
    assert seen == list(range(prompt + 1, prompt + response + 1))
    assert all(begin == max(0, end - window) and scored <= end - begin for begin, end, scored in rows)
    with pytest.raises(InputError, match="a prompt of -1"):
        response_windows(-1, 3, 4)


PROMPTS = ["Film review: ", "An empty one follows", "", "Q: what is it? A:", "Seen twice. " * 3]


def response_by_hand(loaded: LoadedModel, prompt: str, text: str) -> float:
    """Bits of a response that fits its window, from the whole model's logits in float64."""
    tokens = [loaded.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt, text)]
    whole = [loaded.tokenizer.bos_token_id, *tokens[0], *tokens[1]]
    with torch.no_grad():
        logits = loaded.model(torch.tensor([whole[:-1]])).logits[0].double()
    chosen = torch.log_softmax(logits, dim=-1)[torch.arange(len(whole) - 1), torch.tensor(whole[1:])]
    return -float(chosen[len(tokens[0]) :].sum()) / math.log(2)


def test_rates_of_responses_given_prompts(loaded: LoadedModel) -> None:
    texts = [text[:40] for text in TEXTS]
    rate = measure(loaded, texts, prompts=PROMPTS)
    expected = [response_by_hand(loaded, p, t) if t else 0.0 for p, t in zip(PROMPTS, texts, strict=True)]
    np.testing.assert_allclose(rate.document_bits, expected, rtol=2e-6)
    assert rate.bytes == sum(len(text.encode()) for text in texts)  # the prompt's bytes are not counted
    plain = measure(loaded, texts)
    assert rate.document_bits[2] == pytest.approx(plain.document_bits[2], rel=1e-6)  # an empty prompt is none
    assert abs(rate.document_bits[0] / plain.document_bits[0] - 1) > 1e-3  # the prompt is read
    np.testing.assert_array_equal(measure(loaded, texts, prompts=[""] * 5).document_bits, plain.document_bits)
    with pytest.raises(InputError, match="4 prompts for 5 documents"):
        measure(loaded, texts, prompts=PROMPTS[:4])


def test_the_prompt_column_of_the_verb(
    loaded: LoadedModel, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from paper_checks.cli.commands import main

    def call(*more: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["measure", "--model", str(tiny_model), "--device", "cpu", "--dtype", "float32", *map(str, more)])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    file, plain = tmp_path / "a.jsonl", tmp_path / "a.txt"
    rows = [{"q": p, "a": t[:40]} for p, t in zip(PROMPTS, TEXTS, strict=True) if t]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    plain.write_text("a slow film", encoding="utf-8")
    code, out, _ = call("--data", file, "--prompt-column", "q", "--column", "a", "--window", 64, "--json")
    assert code == 0
    result = json.loads(out)
    expected = measure(loaded, [row["a"] for row in rows], 64, prompts=[row["q"] for row in rows])
    assert result["prompt_column"] == "q"
    assert result["results"][0]["bits_per_byte"] == expected.bits_per_byte
    earlier = tmp_path / "earlier.json"
    again = ["--data", file, "--prompt-column", "q", "--column", "a", "--window", 64]
    earlier.write_text(call(*again, "--documents", "--json")[1])
    assert "That is 0 more than before, with a standard error of 0 over paired documents." in " ".join(
        call(*again, "--before", earlier)[1].split()
    )
    for more, words in [
        (
            ["--data", file, "--column", "a", "--window", 64, "--before", earlier],
            "give --prompt-column and --chat as there",
        ),
        (["--data", file, "--column", "a", "--prompt-column", "question"], "no column 'question'"),
        (["--data", file, "--column", "answer", "--prompt-column", "q"], "no column 'answer'"),
        (["--data", plain, "--prompt-column", "q"], "plain text has no columns"),
    ]:
        code, out, err = call(*more)
        assert (code, out) == (2, "")
        assert words in err
        assert len(err.strip().splitlines()) == 1


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)


@pytest.fixture
def chatty(loaded: LoadedModel) -> LoadedModel:
    """The tiny model with a chat template that begins with BOS and ends with a line's end."""
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.chat_template = TEMPLATE
    return dataclasses.replace(loaded, tokenizer=tokenizer)


def test_a_chat_is_read_as_its_template_writes_it(chatty: LoadedModel) -> None:
    """One BOS, the template's last newline, and no space before the answer: what the template tokenises itself."""
    turns = [Turn("user", "Why? "), Turn("assistant", "So."), Turn("user", "And?")]
    told = [turn._asdict() for turn in turns]
    written = chatty.tokenizer.apply_chat_template(told, tokenize=True, add_generation_prompt=True)["input_ids"]
    [ids] = prompt_ids(chatty.tokenizer, [Chat.of(turns)], chatty.prefix)
    assert ids == list(written)
    assert ids.count(chatty.tokenizer.bos_token_id) == 1
    assert chatty.tokenizer.decode(ids).endswith("<assistant>\n")
    data = encode_examples(chatty.tokenizer, [Example(Chat.of(turns), " the light ")], 8)
    answer = chatty.tokenizer("the light", add_special_tokens=False)["input_ids"]
    assert data.ids(0) == (ids, answer)
    texts, chats = ["the light", "on the water"], [Chat.of(turns), Chat.of(turns[:1])]
    rate = measure(chatty, texts, prompts=chats)
    for chat, text, bits in zip(chats, texts, rate.document_bits, strict=True):
        head = prompt_ids(chatty.tokenizer, [chat], chatty.prefix)[0]
        tail = chatty.tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = chatty.model(torch.tensor([[*head, *tail][:-1]])).logits[0].double()
        chosen = torch.log_softmax(logits, -1)[torch.arange(len(head) - 1, len(head) + len(tail) - 1), tail]
        assert bits == pytest.approx(-float(chosen.sum()) / math.log(2), rel=2e-6)


def test_no_prompt_gets_a_second_bos(chatty: LoadedModel) -> None:
    bos = chatty.tokenizer.bos_token
    own, plain = f"{bos}<user>Why?\n", "<user>Why?\n"
    ids = prompt_ids(chatty.tokenizer, [own, plain, "", bos], chatty.prefix)
    assert ids[0] == ids[1]
    assert ids[2] == ids[3] == [chatty.prefix]
    same = measure(chatty, ["so", "so"], prompts=[own, plain]).document_bits
    assert same[0] == pytest.approx(same[1], rel=1e-6)
    held = encode_examples(chatty.tokenizer, [Example(own, "so"), Example(plain, "so")], 4)
    assert held.ids(0) == held.ids(1)
    drawn = sampling.sample(chatty, [own, plain], 3)
    assert drawn.sequences.ids(0)[0] == drawn.sequences.ids(1)[0]
    rolling = measure(chatty, [own]).tokens  # a document is text throughout: what it spells is scored
    assert rolling == len(chatty.tokenizer(own, add_special_tokens=False)["input_ids"])


def test_a_chat_is_cut_on_the_left_after_its_first_token(chatty: LoadedModel) -> None:
    chat = Chat.of([Turn("user", "the light falls on the water and " * 6)])
    [whole] = prompt_ids(chatty.tokenizer, [chat], chatty.prefix)
    data = encode_examples(chatty.tokenizer, [Example(chat, "so")], 4, context=20)
    head, tail = data.ids(0)
    assert len(head) + len(tail) == 20
    assert head == [whole[0], *whole[-len(head) + 1 :]]


def test_chats_that_cannot_be_read(loaded: LoadedModel, chatty: LoadedModel) -> None:
    chat = Chat.of([Turn("user", "Why?")])
    with pytest.raises(InputError, match="no chat template"):
        measure(loaded, ["so"], prompts=[chat])
    chatty.tokenizer.chat_template = "{{ raise_exception('roles have to alternate') }}"
    with pytest.raises(InputError, match=r"refuses a chat of user: roles have to alternate \(chat\)"):
        measure(chatty, ["so"], prompts=[chat])
    chatty.tokenizer.chat_template = "{% if true %}{% endif %}"
    with pytest.raises(InputError, match="writes nothing"):
        measure(chatty, ["so"], prompts=[chat])


def test_a_chat_travels_to_other_processes() -> None:
    chat = pickle.loads(pickle.dumps(Chat.of([Turn("system", "Be brief."), Turn("user", "Why?")])))
    assert isinstance(chat, Chat)
    assert (chat, chat.turns[0].role) == ("system: Be brief.\nuser: Why?", "system")


def test_chats_at_the_verb(
    chatty: LoadedModel, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column of messages, and prompts as the user's turns: two ways to the same numbers; refusals are one line."""
    from paper_checks.cli.commands import main

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    chatty.tokenizer.save_pretrained(folder)
    rows = [("Why?", "So it is."), ("And?", "the light")]
    said = [[{"role": "user", "content": p}, {"role": "assistant", "content": t}] for p, t in rows]
    talks, pairs, plain = tmp_path / "talks.jsonl", tmp_path / "pairs.jsonl", tmp_path / "a.txt"
    talks.write_text("\n".join(json.dumps({"messages": m}) for m in said))
    pairs.write_text("\n".join(json.dumps({"q": p, "a": t}) for p, t in rows))
    plain.write_text("so")

    def call(*more: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["measure", "--model", str(folder), "--device", "cpu", "--dtype", "float32", *map(str, more)])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    results = []
    for more in (["--data", talks], ["--data", pairs, "--prompt-column", "q", "--column", "a"]):
        code, out, _ = call(*more, "--chat", "--json")
        assert code == 0
        results.append(json.loads(out))
    assert results[0]["chat"] is True
    assert results[0]["results"][0]["bits_per_byte"] == results[1]["results"][0]["bits_per_byte"]
    chats = [Chat.of([Turn("user", prompt)]) for prompt, _ in rows]
    expected = measure(chatty, [text for _, text in rows], prompts=chats).bits_per_byte
    assert results[0]["results"][0]["bits_per_byte"] == pytest.approx(expected, rel=1e-12)
    for more, words in [
        (["--data", talks, "--column", "messages"], "messages are read with --chat"),
        (["--data", pairs, "--chat"], "no column 'messages'"),
        (["--data", plain, "--chat"], "plain text has no messages"),
        (["--data", plain, "--chat", "--encode", tmp_path / "x"], "--chat is about a part"),
    ]:
        code, out, err = call(*more)
        assert (code, out) == (2, "")
        assert words in err
        assert len(err.strip().splitlines()) == 1


def test_a_change_is_measured_on_paired_documents(loaded: LoadedModel) -> None:
    """Two readings of the same documents: the error of their difference, not that of either rate."""
    rng = np.random.default_rng(0)
    sizes, tokens = rng.integers(50, 400, 200), np.full(200, 20)
    bits = 2.0 * sizes + rng.normal(0, 30, 200)  # documents differ by much
    after = bits - 0.1 * sizes + rng.normal(0, 1, 200)  # their changes by little
    first, second = pooled_rate(bits, sizes, tokens), pooled_rate(after, sizes, tokens)
    told = second.change(first.summary("d") | first.arrays())
    assert told["change"] == pytest.approx(second.bits_per_byte - first.bits_per_byte, rel=1e-9)
    assert told["change_se"] == pytest.approx(bootstrap_se(after - bits, sizes), rel=0.05)
    assert first.se is not None
    assert told["change_se"] < first.se / 20
    assert second.change(second.arrays()) == {"change": 0.0, "change_se": 0.0}
    one = pooled_rate(bits[:1], sizes[:1], tokens[:1])
    assert one.change(one.arrays())["change_se"] is None
    for row in (first.summary("d"), {"document_bits": [1.0], "document_bytes": [3]}):
        with pytest.raises(InputError, match="measure the same data"):
            second.change(row)
    data = [Documents(tuple(TEXTS), "texts")]
    before = measurement(loaded, data, documents=True)
    [row] = measurement(loaded, data, before=before)["results"]
    assert (row["change"], row["change_se"]) == (0.0, 0.0)
    assert row["se"] == before["results"][0]["se"] > 0
    assert "document_bits" not in row
    with pytest.raises(InputError, match="1 earlier results for 2 data"):
        measurement(loaded, data * 2, before=before)
