"""What `devices.hold_memory` saves where a protocol trains on a CPU: `python -m benchmarks.held_memory`.

A random model of SmolLM2-135M's shape, in two processes that differ in nothing else, in turn: three times a fresh optimiser,
eight steps of eight sequences and a reading of 160. Prints the seconds, the system's share of them and the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
SHAPE |= {"num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True}


def work(hold: bool, layers: int, rounds: int) -> dict[str, Any]:
    """One process's rounds: wall and system seconds of all but the first, which pays for memory that no one held before."""
    import resource

    import torch
    import transformers

    from empirical.measures.code_lengths import code_lengths
    from empirical.models.devices import hold_memory, pick_dtype
    from empirical.models.sequences import Sequences
    from empirical.training.finetune import new_optimiser, train

    if hold:
        hold_memory()
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SHAPE, "num_hidden_layers": layers}))
    number = pick_dtype("auto", "cpu")
    autocast = None if number == torch.float32 else number
    tokens = torch.randint(49152, (224, 28))
    data = Sequences(tokens, torch.full((224,), 4), torch.full((224,), 28))
    times = []
    for _ in range(rounds):
        start, system = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_stime
        optimiser = new_optimiser(model, 1e-5)
        train(model, optimiser, data[slice(0, 64)], batch=8, learning_rate=1e-5, autocast=autocast)
        code_lengths(model, data[slice(64, None)], autocast=autocast)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        times.append((time.perf_counter() - start, now - system))
        del optimiser
    wall, used = (sum(column) / (rounds - 1) for column in zip(*times[1:], strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": wall, "system": used, "peak_gib": peak / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3, help="of each process; the first is not counted")
    parser.add_argument("--turns", type=int, default=2, help="processes of each kind")
    parser.add_argument("--one", choices=("held", "plain"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(work(given.one == "held", given.layers, given.rounds)))
        return
    found: dict[str, list[dict[str, Any]]] = {"plain": [], "held": []}
    clean = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    for _ in range(given.turns):
        for kind, rows in found.items():
            command = [sys.executable, "-m", "benchmarks.held_memory", "--one", kind]
            command += ["--layers", str(given.layers), "--rounds", str(given.rounds)]
            told = subprocess.run(command, env=clean, check=True, capture_output=True, text=True).stdout
            rows.append(json.loads(told.splitlines()[-1]))
    best = {kind: min(rows, key=lambda row: row["seconds"]) for kind, rows in found.items()}
    for kind, row in best.items():
        print(
            f"{kind}: {row['seconds']:.1f} s a round, {row['system']:.1f} s of the system, peak {row['peak_gib']:.1f} GiB"
        )
    print(f"ratio: {best['held']['seconds'] / best['plain']['seconds']:.2f}")


if __name__ == "__main__":
    main()
