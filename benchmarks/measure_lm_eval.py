"""`measure` beside lm-evaluation-harness: the same documents, window, dtype and tokens a batch; each in a process of its own.

    python -m benchmarks.measure_lm_eval --model gemma-3-270m-q4 --documents 24

Needs the extra `acceptance`. Prints one line a tool: tokens per second of the scoring (loading left out, one batch
before the clock starts), peak resident memory of the whole process, bits per byte.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

TOOLS = ("ours", "lm-eval")


def documents(count: int) -> list[str]:
    """The first film reviews of the long kind."""
    from empirical.data.documents import read_documents

    return list(read_documents("film-reviews:imdb", limit=count).texts)


def ours(loaded: Any, texts: list[str], window: int, batch: int) -> list[float]:
    """Bits of each document by `empirical.measures.rates.measure`."""
    from empirical.measures.rates import measure

    return [float(bits) for bits in measure(loaded, texts, window, batch_tokens=batch * window).document_bits]


def peer(loaded: Any, texts: list[str], window: int, batch: int) -> list[float]:
    """Bits of each document by lm-eval's rolling log-likelihood, log-softmax in float32 as ours."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from elastomath.units import NATS_PER_BIT

    model = HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        max_length=window,
        batch_size=batch,
        add_bos_token=False,
        softmax_dtype="float32",
    )
    requests = [
        Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=index)
        for index, text in enumerate(texts)
    ]
    return [-float(value) / NATS_PER_BIT for value in model.loglikelihood_rolling(requests, disable_tqdm=True)]


def one(tool: str, model: str, dtype: str, count: int, window: int, batch: int) -> dict[str, Any]:
    """One tool in this process: ``{tool, tokens_per_second, peak_bytes, seconds, tokens, bits, bits_per_byte}``."""
    from empirical.measures.rates import encode
    from empirical.models.loading import load_model

    texts = documents(count)
    loaded = load_model(model, device="cpu", dtype=dtype)
    tokens = sum(len(row) for row in encode(loaded, texts))
    run = ours if tool == "ours" else peer
    run(loaded, [texts[0][:200]], window, batch)
    start = time.perf_counter()
    bits = run(loaded, texts, window, batch)
    seconds = time.perf_counter() - start
    return {
        "tool": tool,
        "tokens_per_second": tokens / seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": seconds,
        "tokens": tokens,
        "bits": bits,
        "bits_per_byte": sum(bits) / sum(len(text.encode()) for text in texts),
    }


def side_by_side(
    model: str, dtype: str = "bfloat16", count: int = 24, window: int = 512, batch: int = 8
) -> dict[str, dict[str, Any]]:
    """Both tools, one after the other, each in a fresh process."""
    results = {}
    for tool in TOOLS:
        command = [sys.executable, "-m", "benchmarks.measure_lm_eval", "--one", tool, "--model", model]
        command += ["--dtype", dtype, "--documents", str(count), "--window", str(window), "--batch", str(batch)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[tool] = json.loads(done.stdout.splitlines()[-1])
    return results


def main() -> None:
    """Print the two lines and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gemma-3-270m-q4")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--documents", type=int, default=24)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--one", choices=TOOLS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one, asked.model, asked.dtype, asked.documents, asked.window, asked.batch)))
        return
    both = side_by_side(asked.model, asked.dtype, asked.documents, asked.window, asked.batch)
    for tool, row in both.items():
        print(
            f"{asked.model}  {asked.dtype}  {tool:8} {row['tokens_per_second']:8.0f} tokens/s  "
            f"{row['peak_bytes'] / 1e9:6.2f} GB  {row['bits_per_byte']:.6f} bits/byte  {row['tokens']} tokens"
        )
    a, b = both["ours"], both["lm-eval"]
    print(
        f"speed {a['tokens_per_second'] / b['tokens_per_second']:.2f}x, memory {a['peak_bytes'] / b['peak_bytes']:.2f}x, "
        f"rate differs by {abs(a['bits_per_byte'] / b['bits_per_byte'] - 1):.1e} relative"
    )


if __name__ == "__main__":
    main()
