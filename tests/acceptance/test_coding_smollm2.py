"""100 KB of film reviews through SmolLM2-135M and back: every byte, at the measured rate, in two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("constriction")

pytestmark = pytest.mark.acceptance

SIZE = 100_000
MARGIN = 0.005
"""The whole file, header and all, is that close to the measured rate of the same blocks."""
MODEL = "smollm2-135m-instruct-q4"


def reviews(size: int) -> bytes:
    """The first long film reviews, an empty line between them, cut at a character."""
    from empirical.data.documents import read_documents

    texts = read_documents("film-reviews:imdb", limit=300).texts
    return "\n\n".join(texts).encode()[:size].decode("utf-8", errors="ignore").encode()


def run(*arguments: object) -> dict[str, object]:
    command = [sys.executable, "-m", "paper_checks", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.timeout(3600)
def test_a_file_is_restored_and_as_large_as_its_rate(tmp_path: Path) -> None:
    data = reviews(SIZE)
    assert SIZE - 4 < len(data) <= SIZE
    file, small, back = tmp_path / "reviews.txt", tmp_path / "reviews.emc", tmp_path / "back.txt"
    file.write_bytes(data)
    result = run("measure", "--model", MODEL, "--data", file, "--encode", small, "--device", "cpu")
    told = result["encoded"]
    assert isinstance(told, dict)
    restored = run("decode", small, "--out", back)
    assert back.read_bytes() == data
    assert restored["bytes"] == len(data)
    measured = told["measured_bits_per_byte"] * len(data) / 8
    print(
        f"{len(data)} bytes in {told['bytes']} (header {told['header_bytes']}), measured {measured:.1f}; "
        f"lm-eval's windows {result['results'][0]['bits_per_byte'] * len(data) / 8:.1f}"  # type: ignore[index]
    )
    assert abs(told["bytes"] / measured - 1) < MARGIN
    assert abs(told["code_bytes"] / measured - 1) < MARGIN / 2
