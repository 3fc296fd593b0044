"""Files from elsewhere: each is refused in one line by what it claims, before anything of that size is made."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from elastomath import Curve, InputError
from elastomath.foreign import (
    array_of,
    bytes_of,
    check_gguf,
    check_model_folder,
    check_safetensors,
    json_of,
    parquet_of,
    plain_file,
)
from elastomath.rates.datasets import read_datasets


def npy(header: str, body: bytes = bytes(64)) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


@pytest.mark.parametrize(
    "data",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000000,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': ((1,),), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"),
        npy("{'descr': '<U1000000000', 'fortran_order': False, 'shape': (1,), }"),
        npy("{'descr': ["),
        npy("{'descr': " + "[" * 5000),
        npy("x" * 40),
        b"\x93NUMPY\x01\x00\x0a\x00{'descr': ",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"\x93NUMPY\x09\x00",
        b"PK\x03\x04",
        b"",
    ],
)
def test_an_array_that_claims_what_is_not_there_is_refused(tmp_path: Path, data: bytes):
    file = tmp_path / "a.npy"
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"not a readable \.npy array") as caught:
        read_datasets([file])
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("values", [np.arange(6.0), np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
                                    np.float32(2.0), np.zeros((0, 3)), np.arange(3, dtype=">i4"), np.array([True])])  # fmt: skip
def test_a_good_array_is_read_as_numpy_reads_it(tmp_path: Path, values):
    np.save(tmp_path / "a.npy", values)
    ours, theirs = array_of(tmp_path / "a.npy"), np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(ours, theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)


def test_what_is_no_file_is_never_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "nowhere.txt").symlink_to(tmp_path / "gone")
    for name, kind in (("pipe", "a pipe"), ("zero", "a device"), ("folder", "a folder"), ("nowhere", "no such file")):
        with pytest.raises(InputError, match=kind):
            read_datasets([tmp_path / f"{name}.txt"])
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(InputError, match="cannot read"):
            plain_file(name)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    assert bytes_of(file, most=5) == b"12345"
    with pytest.raises(InputError, match="5 bytes, where at most 4 are read"):
        bytes_of(file, most=4)
    with file.open("r+b") as sparse:
        sparse.truncate(1 << 42)
    with pytest.raises(InputError, match="where at most"):
        bytes_of(file)


def test_json_that_nests_without_end_is_refused(tmp_path: Path):
    file = tmp_path / "a.json"
    for text in ("[" * 100_000, '{"a": ', "", "\ud800"):
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(InputError):
            json_of(file, "result", "give one")


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path):
    file = tmp_path / "a.parquet"
    Curve.from_paths("r", {"pretrain": 2, "align": 1, "perturb": 1}, [0, 1],
                     {"pretrain": [1, 1], "align": [1, 1], "perturb": [1, 0.5]}, "bits/byte", "bytes").write(file)  # fmt: skip
    whole = file.read_bytes()
    assert len(parquet_of(file)) == 6
    draw = np.random.default_rng(0)
    for _ in range(60):
        raw = bytearray(whole)
        for at in draw.integers(0, len(raw), 4):
            raw[at] = draw.integers(256)
        file.write_bytes(raw)
        try:
            parquet_of(file)
        except InputError as error:
            assert len(str(error)) < 1500  # noqa: PT017


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(keys: bytes, tensors: bytes = b"", counts: tuple[int, int] = (0, 1), version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, *counts) + keys + tensors + bytes(900)


def tensor(*axes: int, offset: int = 0) -> bytes:
    return (
        text("w") + struct.pack("<I", len(axes)) + struct.pack(f"<{len(axes)}Q", *axes) + struct.pack("<IQ", 0, offset)
    )


@pytest.mark.parametrize(
    "data",
    [
        gguf(text("general.tags") + struct.pack("<IIQ", 9, 4, 1 << 63)),
        gguf(text("general.tags") + struct.pack("<IIQ", 9, 8, 1 << 40)),
        gguf(text("general.tags") + struct.pack("<IIQ", 9, 9, 4)),
        gguf(text("k") + struct.pack("<IQ", 8, 1 << 62)),
        gguf(struct.pack("<Q", 1 << 62)),
        gguf(text("k") + struct.pack("<I", 77)),
        gguf(b"", counts=(1 << 60, 0)),
        gguf(b"", counts=(0, 1 << 60)),
        gguf(b"", tensor(1 << 40, 1 << 40), (1, 0)),
        gguf(b"", tensor(4, offset=1 << 40), (1, 0)),
        gguf(b"", text("w") + struct.pack("<I", 1 << 30), (1, 0)),
        gguf(b"", version=1 << 24),
        b"GGUF",
        b"GGML" + bytes(100),
        b"",
    ],
)
def test_a_gguf_header_is_walked_within_its_bytes(tmp_path: Path, data: bytes):
    file = tmp_path / "a.gguf"
    file.write_bytes(data)
    with pytest.raises(InputError, match="GGUF"):
        check_gguf(file, "a.gguf")


def test_a_good_gguf_header_gives_its_weights(tmp_path: Path):
    file = tmp_path / "a.gguf"
    file.write_bytes(gguf(text("k") + struct.pack("<IIQ", 9, 4, 2) + bytes(8), tensor(4, 8) + tensor(3), (2, 1)))
    assert check_gguf(file, "a.gguf") == 35


def test_headers_of_weights_and_configurations_are_bounded(tmp_path: Path):
    weights = tmp_path / "model.safetensors"
    for data in (struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 1), b"", b"{}"):
        weights.write_bytes(data)
        with pytest.raises(InputError, match="truncated or altered"):
            check_safetensors(weights, "m")
    weights.write_bytes(struct.pack("<Q", 2) + b"{}")
    for config in (
        '{"num_hidden_layers": 1000000000}',
        '{"hidden_size": 1e400, "vocab_size": 99999999999999999999}',
        "[]",
        "{" * 5000,
        "",
    ):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(InputError):
            check_model_folder(tmp_path, "m")
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 2, "eos_token_id": [-1, null], "tie": true}')
    check_model_folder(tmp_path, "m")
