"""A model as a coder: every byte comes back, the size is the model's rate, and whatever does not fit is refused in a line."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import random
import signal
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath.errors import InputError
from paper_checks.cli.commands import main

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("constriction")

from empirical.coding import file as codedfile
from empirical.coding import tokens as coding
from empirical.coding.file import decode_bytes, encode_bytes, encode_file, read_coded
from empirical.coding.patch import difference, mend, read_varint, varint
from empirical.coding.tokens import Blocks, plan_blocks
from empirical.measures.rates import token_log_probs
from empirical.models.loading import load_model
from empirical.models.model import LoadedModel
from tests.examples import examples
from tests.forks import ended, forked

TEXT = "A slow film, and a good one: the light falls on the water. Größe, café — 映画, 🎬. " * 6
RAW = {
    "text": TEXT.encode(),
    "one byte": b"x",
    "nothing": b"",
    "line ends": b"a\r\nb\n\rc\x00\t \n\n  ",
    "a broken byte": TEXT.encode()[:300] + b"\xff" + TEXT.encode()[300:],
    "cut in a character": "Größe".encode()[:-2],
    "half a surrogate pair": b"a film \xed\xa0\x80 of note",
    "only broken": b"\xff\xfe\xfd",
    "random": random.Random(1).randbytes(700),
    "latin-1": ("Größe und Weite, ganz schön groß " * 8).encode("latin-1"),
    "special tokens": b"<s>a slow film</s> and <s> again",
    "a byte order mark": b"\xef\xbb\xbfA slow film",
}


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load_model(tiny_model, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def lowering(loaded: LoadedModel) -> LoadedModel:
    """The same model with a tokenizer that lower-cases and knows few characters: its text does not round trip."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz .,:", 3)}
    inner = tokenizers.Tokenizer(models.BPE(vocab=words, merges=[], unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    return dataclasses.replace(loaded, tokenizer=tokenizer)


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("kind", ["loaded", "lowering"])
def test_every_byte_comes_back(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    coded = encode_bytes(model, RAW[name], window=32)
    assert decode_bytes(model, coded.data) == RAW[name]
    assert len(coded.data) == coded.header + coded.corrections + coded.code
    if kind == "loaded" and name in ("text", "special tokens", "line ends"):
        assert coded.corrections == 0, "text that round trips needs no corrections"
    if name == "a broken byte" and kind == "loaded":
        assert 0 < coded.corrections < 24


def test_a_normalising_tokenizer_needs_corrections(lowering: LoadedModel) -> None:
    """The control of the test above: without the patch the text would come back changed."""
    coded = encode_bytes(lowering, b"A Slow Film", window=32)
    assert coded.corrections > 0
    assert codedfile._text_of(lowering, coded.tokens) != b"A Slow Film"


@pytest.mark.parametrize("window", [1, 7, 64])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_blocks_of_any_shape(loaded: LoadedModel, window: int, rows: int) -> None:
    data = RAW["text"][:200]
    coded = encode_bytes(loaded, data, window=window, rows=rows)
    assert coded.blocks.rows <= rows
    assert decode_bytes(loaded, coded.data) == data


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_size_is_the_measured_rate(tiny_model: Path, dtype: str) -> None:
    """code <= -sum log2 p of the same blocks (one parallel pass, no coder) + two words; less would be a wrong measure.

    A coder that lost one bit in a thousand tokens would fail.
    """
    model = load_model(tiny_model, device="cpu", dtype=dtype)
    coded = encode_bytes(model, RAW["text"] * 4, window=64)
    nats = token_log_probs(model, coded.sequences(model.prefix), softmax_dtype="float64")
    bits = -sum(float(row.sum()) for row in nats) / math.log(2)
    slack = 0.001 * coded.tokens.size if dtype == "float32" else 0.005 * bits
    assert bits - slack < 8 * coded.code <= bits + slack + 64


def test_mutants_of_the_distributions_cost_bits_or_bytes(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masses at another temperature leave the rate's slack; a decoder with other masses does not give the bytes back."""
    data = RAW["text"] * 4
    coded = encode_bytes(loaded, data, window=64)
    true = coding._part_masses
    monkeypatch.setattr(coding, "_part_masses", lambda logits, radix: true(logits * 0.2, radix))
    assert 8 * abs(encode_bytes(loaded, data, window=64).code - coded.code) > 64 + 0.001 * coded.tokens.size
    with pytest.raises(InputError, match="other probabilities"):
        decode_bytes(loaded, coded.data)
    monkeypatch.setattr(coding, "PROBED", 0)  # as if the machines began to differ only later
    late = encode_bytes(loaded, data, window=64)
    monkeypatch.setattr(coding, "_part_masses", true)
    with pytest.raises(InputError, match=r"not the original|other probabilities|no sequence"):
        decode_bytes(loaded, late.data)


def test_encoding_is_the_same_twice(loaded: LoadedModel) -> None:
    assert encode_bytes(loaded, RAW["text"], 32).data == encode_bytes(loaded, RAW["text"], 32).data


def test_groups_have_like_sizes_and_fit_their_memory(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_blocks(loaded, 64 * 130, 64) == Blocks(64 * 130, 64, 65)  # two groups of 65, not 128 and 2
    assert plan_blocks(loaded, 0) == Blocks(0, 64, 1)
    monkeypatch.setattr(coding, "CACHE_BYTES", 3 * 2 * 2 * 2 * 8 * 4 * 64)  # three caches of 2 layers, 2 heads of 8
    assert plan_blocks(loaded, 64 * 10, 64).rows == 3
    with pytest.raises(InputError, match="window 65"):
        plan_blocks(loaded, 10, 65)
    with pytest.raises(InputError, match="window 0"):
        encode_bytes(loaded, b"abc", window=0)


def test_a_vocabulary_that_no_square_fits() -> None:
    """Masses of parts sum to 1, those within a part are the softmax's, and nothing lies beyond the vocabulary."""
    logits = torch.randn(4, 23, generator=torch.Generator().manual_seed(0)) * 3
    p = torch.softmax(logits.double(), -1).numpy()
    outer = coding._part_masses(logits, 5)
    np.testing.assert_allclose(outer, np.pad(p, ((0, 0), (0, 2))).reshape(4, 5, 5).sum(-1), rtol=1e-12)
    inner = coding._masses_within(logits, np.array([4, 0, 4, 2]), 5)
    np.testing.assert_allclose(inner[0, :3] / inner[0].sum(), p[0, 20:] / p[0, 20:].sum(), rtol=1e-12)
    assert (inner[[0, 2], 3:] == 0).all()
    with pytest.raises(InputError, match="not finite"):
        coding._part_masses(logits * float("nan"), 5)


@given(source=st.binary(max_size=60), target=st.binary(max_size=60))
def test_a_patch_makes_any_bytes_of_any(source: bytes, target: bytes) -> None:
    patch = difference(source, target)
    assert mend(source, patch) == target
    assert (patch == b"") == (source == target)


@given(cuts=st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3), st.integers(0, 40)), max_size=5))
@examples(40)
def test_a_patch_is_short_where_little_differs(cuts: list[tuple[int, bytes, int]]) -> None:
    source = random.Random(3).randbytes(5000)
    target = source
    for place, insert, skip in cuts:
        target = target[:place] + insert + target[place + skip :]
    patch = difference(source, target)
    assert mend(source, patch) == target
    assert len(patch) < 30 + 40 * len(cuts)


@given(st.integers(0, 2**60))
def test_numbers_come_back(number: int) -> None:
    assert read_varint(varint(number) + b"\x05", 0) == (number, len(varint(number)))


def test_patches_and_numbers_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        mend(b"abc", b"no patch")
    with pytest.raises(InputError, match="do not fit"):
        mend(b"abc", zlib.compress(varint(9) + varint(0) + varint(0)))
    with pytest.raises(InputError, match="no end"):
        read_varint(b"\x80", 0)


@pytest.fixture(scope="module")
def coded(loaded: LoadedModel) -> bytes:
    return encode_bytes(loaded, RAW["text"], window=32).data


def test_a_file_that_is_cut_or_altered_anywhere_is_refused(loaded: LoadedModel, coded: bytes) -> None:
    for place in range(4, len(coded)):
        altered = coded[:place] + bytes([coded[place] ^ 16]) + coded[place + 1 :]
        with pytest.raises(InputError, match="truncated or altered"):
            read_coded(altered)
    for length in (4, 7, 30, len(coded) // 2, len(coded) - 1):
        with pytest.raises(InputError, match="truncated or altered"):
            read_coded(coded[:length])
    with pytest.raises(InputError, match="truncated or altered"):
        read_coded(coded + b"\x00")
    for other in (b"", b"text", b"\x1f\x8b"):
        with pytest.raises(InputError, match="not a file that measure --encode wrote"):
            read_coded(other)
    with pytest.raises(InputError, match="version 2"):
        read_coded(coded[:3] + b"\x02" + coded[4:])


@given(st.binary(max_size=120))
def test_a_header_of_noise_with_a_right_checksum_is_one_line(noise: bytes) -> None:
    body = codedfile.MAGIC + noise
    with contextlib.suppress(InputError):  # nothing else may be raised
        read_coded(body + zlib.crc32(body).to_bytes(4, "little"))


def test_another_model_dtype_tokenizer_or_machine_is_refused(
    loaded: LoadedModel, lowering: LoadedModel, coded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = read_coded(coded)[0]
    assert (header.dtype, header.place, header.size) == ("float32", "cpu", len(RAW["text"]))
    assert header.model_name == loaded.name
    cases = [
        (dataclasses.replace(loaded, sha256="ab" * 32), "another model: weights .* while"),
        (lowering, "another tokenizer"),
        (dataclasses.replace(loaded, dtype="bfloat16"), "encoded in float32, not in bfloat16.*--dtype float32"),
        (dataclasses.replace(loaded, device="cuda:0"), "encoded on cpu, not on cuda"),
    ]
    for other, words in cases:
        with pytest.raises(InputError, match=words):
            decode_bytes(other, coded)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: header.threads + 1)
    with pytest.raises(InputError, match="cannot compute with"):
        decode_bytes(loaded, coded)


def test_the_encoders_threads_are_the_decoders(loaded: LoadedModel) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = encode_bytes(loaded, RAW["text"], window=32).data
        assert read_coded(data)[0].threads == 1
        torch.set_num_threads(2)
        assert decode_bytes(loaded, data) == RAW["text"]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_catalogue_model_is_named_by_its_weights(loaded: LoadedModel) -> None:
    from empirical.fetch.catalog import CATALOG

    name = "smollm2-135m-instruct-q4"
    known = dataclasses.replace(loaded, name=name, sha256=CATALOG[name].sha256)
    coded = encode_bytes(known, RAW["text"], window=32)
    header = read_coded(coded.data)[0]
    assert header.model is None
    assert header.model_name == name
    assert coded.header <= 52
    with pytest.raises(InputError, match="no model of the catalogue has the weights"):
        _ = dataclasses.replace(header, weights=bytes(8)).model_name


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def refused(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in err


def test_the_verbs(capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path) -> None:
    file, small, back = tmp_path / "mine.txt", tmp_path / "mine.emc", tmp_path / "back.txt"
    file.write_bytes(RAW["text"])
    options = ("--model", tiny_model, "--device", "cpu", "--dtype", "float32")
    code, out, _ = call(capsys, "measure", "--data", file, "--encode", small, *options, "--json")
    result = json.loads(out)
    assert code == 0
    told = result["encoded"]
    assert told["bytes"] == small.stat().st_size == told["header_bytes"] + told["code_bytes"]
    assert told["window"] == result["window"] == 64
    assert told["measured_bits_per_byte"] == pytest.approx(result["results"][0]["bits_per_byte"], rel=0.05)
    code, out, _ = call(capsys, "decode", small, "--out", back, "--json")
    assert code == 0
    assert json.loads(out)["bytes"] == len(RAW["text"])
    assert back.read_bytes() == RAW["text"]
    back.unlink()
    refused(call(capsys, "decode", small, "--out", back, "--dtype", "bfloat16"), "encoded in float32, not in bfloat16")
    refused(call(capsys, "decode", file, "--out", back), "not a file that measure --encode wrote", "mine.txt")
    refused(call(capsys, "decode", tmp_path / "none", "--out", back), "no such file")
    cut = tmp_path / "cut.emc"
    cut.write_bytes(small.read_bytes()[:-7])
    refused(call(capsys, "decode", cut, "--out", back), "truncated or altered", "cut.emc")
    refused(call(capsys, "decode", small, "--out", tmp_path), "a folder stands")
    assert not back.exists()
    for more in (["--stride", 3], ["--limit", 3], ["--prompt-column", "q"], [file]):
        refused(call(capsys, "measure", "--data", file, "--encode", small, *more, *options), "--encode")
    refused(call(capsys, "measure", "--data", file, "--encode", file, *options), "over the data")
    refused(call(capsys, "measure", "--data", file, "--encode", tmp_path, *options), "a folder stands")
    assert call(capsys, "measure", "--data", file, "--encode", small, *options)[0] == 0  # for people


def test_bytes_that_are_no_text_through_the_verbs(
    capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("latin.txt", "raw.bin"):
        file, small, back = tmp_path / name, tmp_path / f"{name}.emc", tmp_path / f"{name}.back"
        file.write_bytes(RAW["latin-1"])
        code, out, err = call(capsys, "measure", "--model", tiny_model, "--data", file, "--encode", small, "--json")
        assert code == 0
        assert json.loads(out)["results"] == []
        assert "no rate of documents" in err
        assert call(capsys, "decode", small, "--out", back)[0] == 0
        assert back.read_bytes() == RAW["latin-1"]


def test_a_full_disk_leaves_no_file(loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "a.txt", tmp_path / "a.emc"
    source.write_bytes(b"a slow film")

    def full(self: Path, data: bytes) -> int:
        with open(self, "wb") as stream:
            stream.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        encode_file(loaded, source, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_device_that_is_full(loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system's own ENOSPC, at the write itself."""
    source, out = tmp_path / "a.txt", tmp_path / "a.emc"
    source.write_bytes(b"a slow film")
    true = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: true(Path("/dev/full"), data))
    with pytest.raises(InputError, match="No space left"):
        encode_file(loaded, source, out)
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b"a slow film")
    monkeypatch.setattr(codedfile, "encode_bytes", lambda *_: pytest.fail("worked before it looked"))
    with pytest.raises(InputError, match="cannot write"):
        encode_file(loaded, source, source / "below" / "a.emc")
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(InputError, match="nothing to encode"):
        encode_file(loaded, empty, tmp_path / "a.emc")


def test_a_killed_encoder_leaves_nothing_or_the_old_file(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, true = tmp_path / "texts", coding._Writer.inner
    folder.mkdir()
    source, out = folder / "a.txt", folder / "a.emc"
    source.write_bytes(RAW["text"])
    out.write_bytes(b"old")

    def dies(writer: Any, step: int, first: Any, masses: Any) -> Any:
        if step == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return true(writer, step, first, masses)

    monkeypatch.setattr(coding._Writer, "inner", dies)
    said = tmp_path / "said.txt"
    assert ended(forked(lambda: encode_file(loaded, source, out), said)) == -signal.SIGKILL, said.read_text()
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in folder.iterdir()) == ["a.emc", "a.txt"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_bytes_back(tiny_model: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        model = load_model(tiny_model, device="cuda", dtype=dtype)
        coded = encode_bytes(model, RAW["text"], window=64)
        assert decode_bytes(model, coded.data) == RAW["text"]
