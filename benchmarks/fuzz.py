"""Bad input over every verb: ``python -m benchmarks.fuzz --seed 0 --seconds 600`` (`make fuzz`).

A case is a command line on small files of a folder of its own. Half of the cases have one of the files damaged (bytes
flipped, cut, doubled, numbers of its text or header replaced by the ends of what numbers can be), half of them an option
set to something absurd. Each case runs in a forked child of a process that has loaded the libraries, so that a crash is
seen from outside; one in `WHOLE` is a whole process, ``python -m paper_checks``. What has to hold is in `fault`:

- it ends by itself within `SECONDS` of computing, by no signal, without a traceback, a warning, or more than `BYTES` of memory;
- exit code 2 is one line on stderr, of printable characters, at most `LINE` long, and the folder is as it was before;
- exit code 0 or 1 leaves no temporary file.

A seed gives the same cases again. ``--case N`` shows one; what was found once is kept in tests/integration/test_fuzz.py.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NoReturn

SECONDS, PATIENCE = 20.0, 600.0
"""Seconds of computing that a case may take, and seconds after which it is killed on a busy machine."""
BYTES = 2 << 30
BATCH = 40
"""Cases that a forked child runs one after the other."""
LINE = 2500
WHOLE = 301
"""One case in so many runs as a whole process."""

NUMBERS = (
    "0", "-1", "1", "2", "3.5", "nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "1e400", "9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "4294967296", "2147483648", "1000000000000", "1" + "0" * 400, "", " ", "x", "0x10", "1_000", "1,", ",", "1,,2",
    "1,1", "3,2,1", "true", "None", "[]", "{}", "\u0661", "1e", "--", "\u202e1", "\x1b[31m", "'", '"', "$(id)", "%s", "../../x", "\\x00",
)  # fmt: skip
"""What an option may be given, besides what it takes."""
WORDS = (*NUMBERS, "auto", "cuda", "cuda:99", "float16", "float8", "here", "local", "slurm", "tcp://127.0.0.1:1", "ftp://x", "/dev/null",
         "/dev/full", "/proc/self/mem", ".", "..", "/", "nosuch", "nosuch/model", "a" * 5000, "\ud800", "=cmd()", "<script>", "R5", "quick",
         "film-reviews", "advice", "advice:999999999999", "p.npy", "mine.txt", "pipe", "zero")  # fmt: skip


@dataclass
class Case:
    """A command line, and the files of its folder."""

    arguments: list[str]
    files: dict[str, bytes]
    damaged: str = ""


@dataclass
class Outcome:
    """How a case ended: exit code (negative for a signal), what it printed, seconds of computing, bytes at most, files left, and
    whether a child of it lived on."""

    code: int
    out: str
    err: str
    seconds: float
    bytes: int
    left: list[str] = field(default_factory=list)
    orphans: bool = False


def fault(outcome: Outcome) -> str:
    """What is wrong with how a case ended; nothing where all is well."""
    line = outcome.err.strip().splitlines()[-1:] or [""]
    if outcome.seconds > SECONDS:
        return f"{outcome.seconds:.0f} s"
    if outcome.code < 0:
        return f"signal {-outcome.code}"
    if outcome.orphans:
        return "a child outlives it"
    if outcome.bytes > BYTES:
        return f"{outcome.bytes / 1e9:.1f} GB"
    for word in ("Traceback (most recent", "Warning: ", "Exception ignored", "panicked at"):
        if word in outcome.err:
            return f"{word.strip(': ')} ({line[0][:150]})"
    if outcome.code not in (0, 1, 2):
        return f"exit code {outcome.code}"
    if not outcome.err.replace("\n", "").isprintable() or any(len(text) > LINE for text in outcome.err.splitlines()):
        return f"stderr is not plain: {outcome.err[:200]!r}"
    if outcome.code == 2:
        if not line[0].startswith("elastomath: "):
            return f"exit code 2 without its line: {line[0][:150]!r}"
        if outcome.out:
            return "exit code 2 after something on stdout"
        if outcome.left:
            return f"left behind: {', '.join(outcome.left[:5])}"
    if [name for name in outcome.left if re.search(r"/?\.[^/]*\.[0-9a-f]{8}-\d+-", name)]:
        return f"a temporary file: {', '.join(outcome.left[:5])}"
    return ""


# --- the files and the command lines -----------------------------------------------------------------------------------


def materials(folder: Path) -> dict[str, bytes]:
    """One small good file of every kind that a verb reads; a model folder's files have its name before theirs."""
    import numpy as np

    from elastomath import Curve
    from paper_checks.claims.keep import SAVED_RUNS

    folder.mkdir(parents=True, exist_ok=True)
    for name, row in {"p": [0.5, 0.25, 0.25], "a": [0.2, 0.5, 0.3], "t": [0.8, 0.1, 0.1]}.items():
        np.save(folder / f"{name}.npy", np.array(row))
    rng = np.random.default_rng(0)
    words = ["light", "water", "good", "film", "word", "fine", "slow", "drags", "half", "not", "never", "dull"]
    texts = [" ".join(rng.choice(words, 8)) + f" {i}" for i in range(60)]
    (folder / "mine.txt").write_text(" ".join(texts[:20]), encoding="utf-8")
    for name, part in (("good", texts[:30]), ("bad", texts[30:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in part))
    (folder / "rows.csv").write_text("text,label\n" + "".join(f'"{text}",{i % 2}\n' for i, text in enumerate(texts)))
    pairs = [{"prompt": f"q {i}", "chosen": text, "rejected": texts[-i - 1]} for i, text in enumerate(texts[:30])]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    steps, curves = [0.0, 0.25, 0.5, 1.0], []
    for k in (5, 20):
        rates = {"pretrain": [1.0, 0.99, 0.985, 0.98], "align": [1.0, 1.05, 1.1, 1.2], "perturb": [1.0, 0.8, 0.7, 0.6]}
        curves.append(
            Curve.from_paths(
                f"k{k}", {"pretrain": k, "align": 1, "perturb": 1}, steps, rates, "bits/symbol", "symbols", k=k
            )
        )
    Curve.concat(curves).write(folder / "curve.csv")
    Curve.concat(curves).write(folder / "curve.parquet")
    import pandas as pd

    pd.DataFrame({"text": texts}).to_parquet(folder / "rows.parquet")
    shares = rng.dirichlet([1, 1], 12)
    rates = -np.log2(shares) / 8 + 1
    table = "\n".join(f"r{i},{s[0]},{s[1]},{r[0]},{r[1]}" for i, (s, r) in enumerate(zip(shares, rates, strict=True)))
    (folder / "runs.csv").write_text("run,share_a,share_b,rate_a,rate_b\n" + table + "\n")
    runs = (SAVED_RUNS / "durability" / "durability.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    for name, wanted in (("low", "advice-sgd-n-16-seed"), ("high", "advice-sgd-n-64-seed")):
        (folder / f"{name}.csv").write_text("".join([runs[0], *(row for row in runs if row.startswith(wanted))]))
    scores = [f"a{seed},{m},{0.9 - m / 64:.3f},100,0.5,{seed}" for seed in (0, 1) for m in (0, 8, 16, 32)]
    (folder / "scores.csv").write_text("\n".join(["run,perturbation,score,trials,chance,seed", *scores]) + "\n")
    _logs(folder)
    (folder / "rebound.toml").write_text("max_tokens = 12\nseeds = [0]\n")
    (folder / "stiffness.yaml").write_text("features: 4\n")
    _tiny_model(folder / "model")
    _adapter(folder)
    _coded(folder)
    finished = [sys.executable, "-m", "paper_checks", "simulate", *VERBS["simulate"][0][:-1], "done"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    subprocess.run(finished, cwd=folder, env=environment, check=True, capture_output=True)
    return files_of(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _tiny_model(folder: Path) -> None:
    """A random Llama with a byte-level tokenizer, and the same file cut to a header of GGUF's kind beside it."""
    import tokenizers
    import torch
    import transformers

    bpe = tokenizers.ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        ["light water good film"], vocab_size=280, special_tokens=["<s>", "</s>"], show_progress=False
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=280, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def _logs(folder: Path) -> None:
    """What other tools write: two steps of each."""
    import pandas as pd

    state = [
        {"step": step, "epoch": step / 4, "eval_good_loss": 1 + step / 8, "eval_bad_loss": 2 - step / 8}
        for step in (0, 4, 8)
    ]
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8, "log_history": state}))
    tables = {"step": [0, 4, 8], "eval_harm": [0.2, 0.4, 0.8]}
    pd.DataFrame(tables).to_csv(folder / "log.csv", index=False)
    pd.DataFrame(tables).to_json(folder / "log.jsonl", orient="records", lines=True)
    (folder / "scalars.json").write_text(json.dumps([[1.5, step, 0.5 + step / 32] for step in (0, 4, 8)]))
    for step in (0, 4):
        place = folder / "logs" / f"checkpoint-{step}"
        place.mkdir(parents=True)
        result = {"results": {"harm": {"acc,none": 0.5 + step / 16, "acc_stderr,none": 0.1}}}
        (place / "results_1.json").write_text(json.dumps(result))
        rows = [{"doc_id": i, "doc": {}, "acc": float(i % 2), "resps": [[[-1.5 - i, False]]]} for i in range(4)]
        (place / "samples_harm_1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        values = {str(i): {"prob": 0.5, "avg_loss": 1.0 + i + step} for i in range(3)}
        (place / "TOFU_EVAL.json").write_text(json.dumps({"forget": {"agg_value": 0.5, "value_by_index": values}}))
        pd.DataFrame({"prompt": list("abc"), "score": [0.1, 0.2, 0.3]}).to_parquet(place / "evaluator_scores.parquet")
        (place / "evaluation.json").write_text(json.dumps([{"metric_name": "harm", "metric_value": 0.5}]))


def _adapter(folder: Path) -> None:
    """An adapter for the tiny model."""
    import peft
    import transformers

    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", base_model_name_or_path="model")
    peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(folder / "model"), config).save_pretrained(
        folder / "adapter"
    )
    (folder / "adapter" / "README.md").unlink(missing_ok=True)


def _coded(folder: Path) -> None:
    from empirical.coding.file import encode_file
    from empirical.models.loading import load_model

    here = Path.cwd()
    os.chdir(folder)
    try:
        loaded = load_model("model", device="cpu", dtype="float32")
        Path("short.txt").write_text("good film, good light", encoding="utf-8")
        encode_file(loaded, "short.txt", "mine.emc")
    finally:
        os.chdir(here)

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    keys = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    keys += text("general.tags") + struct.pack("<IIQ", 9, 4, 3) + struct.pack("<III", 1, 2, 3)
    tensor = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, 0)
    (folder / "small.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + keys + tensor + bytes(200))


TINY = ["--held-out", "4", "--max-tokens", "12", "--batch", "4", "--device", "cpu", "--dtype", "float32"]
TEXTS = ["--model", "model", "--align", "good.jsonl", *TINY]
VERBS: dict[str, list[list[str]]] = {
    "rates": [["p.npy", "a.npy", "t.npy", "--volumes", "10,1,0.5", "--unit", "bits"], ["mine.txt", "good.jsonl", "--volumes", "2,1",
              "--depth", "2", "--symbols", "bytes"]],
    "fit": [["curve.csv", "--level", "0.9", "--processes", "1"], ["curve.parquet", "--out", "o", "--by", "k", "--model", "forgetting"]],
    "compare": [["low.csv", "high.csv", "--level", "0.9"], ["scores.csv", "--by", "seed", "--json"]],
    "plan": [["--n", "16,64", "--width", "0.2", "--level", "0.9", "--prompts", "16", "--tokens", "30", "--adapted", "10", "--c", "0.1",
              "--start", "-1", "--noise", "0.2", "--scatter", "0.3", "--speed", "100"],
             ["low.csv", "--difference", "0.25", "--power", "0.9", "--n", "16"],
             ["--durability", "100", "--attack", "2", "--beta", "0.1,0.5", "--replay", "0.2", "--ceiling", "0.5"]],
    "plot": [["curve.csv", "--out", "o.png"], ["low.csv", "--out", "o/o.svg", "--json"], ["curve.parquet", "--out", "o.pdf"]],
    "curve": [
        ["trainer_state.json", "--map", "eval_good_loss=align,eval_bad_loss=perturb", "--batch", "4", "--volumes", "pretrain=2e9,align=64",
         "--volume-unit", "examples", "--run", "mine", "--out", "o.csv"],
        ["log.csv", "--map", "eval_harm=perturb:score", "--out", "o.parquet"],
        ["log.jsonl", "--map", "step=perturbation,eval_harm=perturb:score", "--out", "o.csv"],
        ["scalars.json", "--map", "Value=perturb:loss", "--out", "o.csv"],
        *([f"logs/checkpoint-0/{name}", f"logs/checkpoint-4/{name}", "--map", mapping, "--at", "0,8", "--out", "o.csv", "--json"]
          for name, mapping in (("results_1.json", "harm.acc=perturb:score"), ("samples_harm_1.jsonl", "harm_1.nats=perturb:nats"),
                                ("TOFU_EVAL.json", "forget.avg_loss=perturb"), ("evaluation.json", "harm=perturb:score"),
                                ("evaluator_scores.parquet", "checkpoint-0.score=perturb:score"))),
    ],
    "track": [
        ["--models", "model,model+adapter,model", "--pairs", "pairs.jsonl", "--perturbations", "8", "--volumes", "pretrain=1e9,align=16",
         "--axis", "examples", "--rate-unit", "bits/token", "--limit", "6", "--max-tokens", "8", "--device", "cpu", "--out", "o"],
        ["--models", "none,model,model", "--pairs", "pairs.jsonl", "--pretrain", "good.jsonl", "--perturbations", "4", "--limit", "4",
         "--batch", "2", "--dry-run", "--out", "o"],
    ],
    "info": [["--json"], []],
    "joint": [["runs.csv", "--level", "0.9", "--coverage", "0.9", "--out", "o", "--seed", "1"]],
    "verify": [["--only", "R2", "--cases", "3", "--quick", "--processes", "1", "--seed", "1"], ["--explain", "R5", "--latex"]],
    "check": [["Thm4.2", "--seed", "1", "--processes", "1"]],
    "simulate": [
        ["mixture", "--k", "2,5", "--leaves", "64", "--points", "3", "--seeds", "1", "--alpha", "1.5", "--l-max", "2", "--noise", "0",
         "--cover", "0.1", "--overlap", "0", "--seed", "1", "--out", "o"],
        ["counting", "--k", "2", "--alphabet", "3", "--length", "2", "--points", "2", "--examples", "32", "--seeds", "1", "--align", "1",
         "--forgetting", "0.1", "--epsilon", "0.1", "--workers", "1", "--executor", "here", "--out", "o"],
        ["softmax", "--k", "2", "--alphabet", "2", "--length", "5", "--points", "2", "--examples", "32", "--learning-rate", "0.1",
         "--out", "o"],
        ["counting", "--k", "2", "--alphabet", "2", "--length", "2", "--points", "1", "--examples", "32", "--source", "markov", "--mode",
         "joint", "--resistance", "1", "--out", "o"],
        ["transformer", "--k", "1", "--alphabet", "2", "--length", "2", "--points", "1", "--examples", "32", "--size", "50k", "--dtype",
         "float32", "--device", "cpu", "--out", "o"],
        ["mixture", "--k", "2,5", "--leaves", "64", "--points", "3", "--seeds", "1", "--alpha", "1.5", "--l-max", "2", "--noise", "0",
         "--cover", "0.1", "--overlap", "0", "--seed", "1", "--out", "done"],
    ],
    "study": [["hooke", "--preset", "tiny", "--workers", "1", "--executor", "here", "--out", "o"]],
    "fetch": [["film-reviews", "--mirror", "model", "--out", "c"]],
    "measure": [
        ["--model", "model", "--data", "mine.txt", "good.jsonl", "--window", "16", "--stride", "8", "--limit", "3", "--device", "cpu",
         "--dtype", "float32", "--seed", "1", "--json", "--documents"],
        ["--model", "model", "rows.csv", "rows.parquet", "--column", "text", "--lossy", "--device", "cpu", "--dtype", "float32"],
        ["--model", "model", "--data", "short.txt", "--encode", "o.emc", "--window", "16", "--device", "cpu", "--dtype", "float32"],
        ["--model", "small.gguf", "--data", "mine.txt"],
    ],
    "decode": [["mine.emc", "--out", "back.txt", "--device", "cpu"]],
    "predict": [["--model", "model", "--pairs", "pairs.jsonl", "--n", "4,8", "--held-out", "8", "--batch", "4", "--max-tokens", "8",
                 "--learning-rate", "0.01", "--limit", "20", "--seed", "1", "--device", "cpu", "--dtype", "float32"]],
    "experiment": [
        ["rebound", *TEXTS, "--perturb", "bad.jsonl", "--adapt-volume", "4", "--align-volumes", "4", "--perturb-volumes", "4",
         "--seeds", "0",
         "--kl-documents", "2", "--learning-rate", "0.001", "--lora-rank", "0", "--warmup", "0", "--config", "rebound.toml", "--out", "o"],
        ["stiffness", "--model", "model", "--texts", "good.jsonl,bad.jsonl,mine.txt", "--config", "stiffness.yaml", "--positions", "48",
         "--window", "16", "--k", "5", "--volumes", "1", "--device", "cpu", "--out", "o"],
        ["inversion", *TEXTS, "--opposed", "bad.jsonl", "--budget", "4", "--align-volume", "40", "--readings", "3",
         "--dry-run", "--out", "o"],
        ["resistance", *TEXTS, "--align-volume", "12", "--held-samples", "4", "--sample-tokens", "4", "--dry-run", "--out", "o"],
        ["durability", "--model", "model", "--pairs", "pairs.jsonl", "--align-volumes", "4", *TINY, "--held-out", "8",
         "--dry-run", "--out", "o"],
        ["defence", "--model", "model", "--pairs", "pairs.jsonl", "--volume", "4", *TINY, "--held-out", "8", "--dry-run", "--out", "o"],
        ["scale", "--seeds", "0", "--batch", "4", "--max-tokens", "8", "--dry-run", "--out", "o"],
    ],
    "report": [["--preset", "theory", "--out", "r.txt", "--seed", "1"], ["--preset", "nope", "--out", "o/r.html"]],
}  # fmt: skip
"""Small good command lines of every verb; a mutation may leave them good."""


LONG = {"verify": {"--only", "--explain"}, "check": {"Thm4.2"}, "report": {"r.txt", "nope"}, "scale": {"--dry-run"},
        "study": {"--preset"}}  # fmt: skip
"""Without one of these a good command takes minutes: not what is looked for here; nor is the preset `quick` of a study."""


SHARE = {"study": 0.1, "check": 0.1, "plan": 0.4, "fit": 0.4, "simulate": 0.4, "experiment": 0.6}
"""How often verbs are tried whose good command lines take seconds, as a share of the others; a GGUF file takes a process."""


def case_of(number: int, seed: int, files: dict[str, bytes]) -> Case:
    """Case ``number`` of a seed: odd ones have a damaged file where the command line names one, even ones a strange option."""
    draw = random.Random(f"{seed}/{number}")
    lines = [(verb, line) for verb, choices in VERBS.items() for line in choices]
    if number % 2:
        lines = [(verb, line) for verb, line in lines if named_files(line, files)]
    verbs = list(dict.fromkeys(verb for verb, _ in lines))
    verb = draw.choices(verbs, [SHARE.get(verb, 1.0) for verb in verbs])[0]
    own = [line for owner, line in lines if owner == verb]
    arguments = [verb, *draw.choices(own, [0.02 if "small.gguf" in line else 1.0 for line in own])[0]]
    used = {name: files[name] for name in named_files(arguments, files)}
    if verb in ("measure", "decode"):  # a coded file names its model, whose hash it has
        used |= {name: data for name, data in files.items() if name.startswith("model/")}
    if number % 2:
        name = draw.choice(["mine.emc"] * 8 + list(used) if verb == "decode" else list(used))
        used[name] = damage(used[name], name, draw)
        return Case(arguments, used, name)
    changed = strange(arguments, draw)
    while verb in LONG and (not LONG[verb] & set(changed) or (verb == "study" and "quick" in changed)):
        changed = strange(arguments, draw)
    return Case(changed, used)


def named_files(arguments: list[str], files: dict[str, bytes]) -> list[str]:
    """The files, and those of the folders, that a command line names."""
    parts = {part for argument in arguments for part in re.split("[,+]", argument)}
    return [name for name in files if name in parts or name.partition("/")[0] in parts]


def strange(arguments: list[str], draw: random.Random) -> list[str]:
    """The command line with one or two of its values replaced, an option left away, doubled, or of another verb."""
    changed = list(arguments)
    for _ in range(draw.choice((1, 1, 1, 2))):
        at = draw.randrange(1, len(changed)) if len(changed) > 1 else 0
        values = [i for i, word in enumerate(changed) if i and not word.startswith("--")]
        kind = draw.randrange(10)
        if kind < 7 and values:
            at = draw.choice(values)
            changed[at] = draw.choice(
                NUMBERS if re.fullmatch(r"[\d.,]+", changed[at]) and draw.random() < 0.8 else WORDS
            )
        elif kind == 7 and at:
            del changed[at]
        elif kind == 8:
            changed.insert(at, draw.choice(changed))
        else:
            changed += [
                draw.choice(("--seed", "--out", "--json", "--workers", "--level", "--limit", "--nope", "--config")),
                draw.choice(WORDS),
            ]
    return [word.replace("\0", "") for word in changed]


def damage(data: bytes, name: str, draw: random.Random) -> bytes:
    """A file with something wrong in it."""
    kind, raw = draw.randrange(10), bytearray(data)
    text = name.endswith((".csv", ".jsonl", ".json", ".toml", ".yaml", ".txt"))
    if kind == 0:
        return bytes(raw[: draw.randrange(len(raw) + 1)])
    if kind == 1:
        return draw.randbytes(draw.choice((0, 1, 16, 300)))
    if kind == 2 and raw:
        at = draw.randrange(len(raw))
        return bytes(raw[:at] + raw[at:] * draw.choice((2, 50)))
    if kind in (3, 4) and text:
        return _numbers(data, draw)
    if kind == 5 and text:
        odd = [
            "[" * 3000,
            "\u202e",
            "\x00",
            '"',
            "\n",
            "," * 300,
            "\ud800".encode("utf-8", "surrogatepass"),
            b"\xff",
            "=1+1",
            "{" * 2000,
        ]
        extra = draw.choice(odd)
        at = draw.randrange(len(raw) + 1)
        return bytes(raw[:at]) + (extra if isinstance(extra, bytes) else extra.encode()) + bytes(raw[at:])
    if kind in (6, 7) and len(raw) > 8:
        width = draw.choice((1, 2, 4, 8))
        at = draw.randrange(min(len(raw) - width, draw.choice((16, 200, len(raw)))) or 1)
        raw[at : at + width] = draw.choice(
            (0, (1 << 8 * width) - 1, (1 << 8 * width - 1), draw.getrandbits(8 * width))
        ).to_bytes(width, "little")
        return _summed(bytes(raw), name)
    if kind == 8 and name.endswith(".npy"):
        return _numbers(data, draw)
    for _ in range(draw.choice((1, 1, 3, 20))):
        if raw:
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return _summed(bytes(raw), name)


def _summed(data: bytes, name: str) -> bytes:
    """A damaged coded file with its checksum put right, so that what is behind it is read."""
    import zlib

    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little") if name.endswith(".emc") and len(data) > 8 else data


def _numbers(data: bytes, draw: random.Random) -> bytes:
    """The text with one to five of its numbers replaced."""
    found = list(re.finditer(rb"\d+(\.\d+)?", data[:100_000]))
    for match in sorted(draw.sample(found, min(len(found), draw.choice((1, 1, 5)))), key=lambda m: -m.start()):
        new = draw.choice(NUMBERS[:20]).encode()
        if len(new) < 60:
            data = data[: match.start()] + new + data[match.end() :]
    return data


# --- running -----------------------------------------------------------------------------------------------------------


def lay(case: Case, folder: Path) -> None:
    """Write the files of a case, a pipe and a device among them."""
    for name, data in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")


def contents(folder: Path) -> dict[str, int]:
    """Every path of a folder with its size; links and pipes are not followed."""
    return {
        path.relative_to(folder).as_posix(): path.lstat().st_size if path.is_file() else 0 for path in folder.rglob("*")
    }


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a case: nothing is fetched, and the cache is in its folder."""
    return {
        "HF_HUB_OFFLINE": "1", "ELASTOMATH_CACHE": str(folder / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "COLUMNS": "100",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip


def run(case: Case, *, whole: bool = False) -> Outcome:
    """Run a case by itself: in a forked child, or as a whole process."""
    if not whole:
        ((_, outcome),) = serve([0], lambda _: case, most=1)
        return outcome
    with laid(case) as folder, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before, started = contents(folder.parents[1]), time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "paper_checks", *_words(case)],
            cwd=folder,
            env=os.environ | surroundings(folder),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        status, used = _wait(child.pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        orphans = _outlived(child.pid)
        late = time.monotonic() - started > PATIENCE
        seconds = PATIENCE if late else used.ru_utime + used.ru_stime
        printed = [_text(stream) for stream in (out, err)]
        return Outcome(child.returncode, *printed, seconds, used.ru_maxrss * 1024, _left(folder, before), orphans)


def signalled(case: Case, number: int, after: float) -> Outcome:
    """How a case ended that was sent a signal once it had computed for so many seconds, or was done before that."""
    here, there = multiprocessing.Pipe()
    pid = os.fork()
    if pid == 0:
        here.close()
        _work([0], lambda _: case, there)
    there.close()
    sent = False
    try:
        while not here.poll(0.01):
            ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
            if not sent and sum(map(int, ticks)) > after * os.sysconf("SC_CLK_TCK"):
                os.kill(pid, number)
                sent = True
        outcome: Outcome = here.recv()
    finally:
        here.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return outcome


@contextlib.contextmanager
def laid(case: Case) -> Iterator[Path]:
    """A folder of its own with the files of a case, in memory where that can be had; two folders around it are its own too."""
    shared = Path("/dev/shm")
    around = Path(tempfile.mkdtemp(prefix="elastomath-fuzz-", dir=shared if os.access(shared, os.W_OK) else None))
    folder = around / "within" / "here"
    try:
        folder.mkdir(parents=True)
        lay(case, folder)
        yield folder
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _words(case: Case) -> list[str]:
    return [word.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") for word in case.arguments]


def _left(folder: Path, before: dict[str, int]) -> list[str]:
    after = contents(folder.parents[1])
    return sorted(
        name.removeprefix("within/here/") for name in after if name not in before or after[name] != before[name]
    )


def _text(stream: Any) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _wait(pid: int) -> tuple[int, Any]:
    end = time.monotonic() + PATIENCE + 0.1
    while True:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            return status, used
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            _, status, used = os.wait4(pid, 0)
            return status, used
        time.sleep(0.002)


def _outlived(group: int) -> bool:
    """Whether processes of a group are alive two seconds after its leader has gone; they are ended."""
    end = time.monotonic() + 2.0
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(group, 0)
            time.sleep(0.01)
        os.killpg(group, signal.SIGKILL)
        return True
    return False


def serve(numbers: Iterable[int], case_at: Callable[[int], Case], most: int = BATCH) -> Iterator[tuple[int, Outcome]]:
    """Run cases in forked children, up to ``most`` of them one after the other in each; (number, how it ended), in order.

    A fork of a process that holds all the libraries costs more than most cases do. A child is left after a case that ended it,
    that took long, or in which something is wrong: `hunt` tries such a case again by itself.
    """
    waiting = deque(numbers)
    while waiting:
        batch = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        here, there = multiprocessing.Pipe()
        pid = os.fork()
        if pid == 0:
            here.close()
            _work(batch, case_at, there)
        there.close()
        left = list(batch)
        try:
            while left:
                begun = time.monotonic()
                try:
                    outcome = here.recv() if here.poll(PATIENCE) else None
                except EOFError:
                    _, status = os.waitpid(pid, 0)
                    pid, code = 0, os.waitstatus_to_exitcode(status)
                    yield left.pop(0), Outcome(code if code else 99, "", "", time.monotonic() - begun, 0)
                    break
                yield left.pop(0), outcome or Outcome(-signal.SIGKILL, "", "", PATIENCE, 0)
                if outcome is None or fault(outcome) or outcome.seconds > SECONDS / 4:
                    break
        finally:
            here.close()
            waiting.extendleft(reversed(left))
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                _, _ = os.waitpid(pid, 0)


def _work(batch: list[int], case_at: Callable[[int], Case], there: Any) -> NoReturn:
    """The life of a forked child: its cases, each sent as an `Outcome`."""
    terminal = os.dup(2)  # a case takes stderr
    try:
        os.setsid()
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what outlives a case comes to us
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True
        sys.excepthook = sys.__excepthook__
        for number in batch:
            there.send(within(case_at(number)))
    except BaseException:  # of the harness, not of a case
        import traceback

        os.write(terminal, traceback.format_exc().encode())
        os._exit(98)
    os._exit(0)


PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def within(case: Case, act: Callable[[list[str]], int] | None = None) -> Outcome:
    """Run a case in this very process, whose stdout and stderr it takes."""
    with laid(case) as folder, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before, here = contents(folder.parents[1]), Path.cwd()
        os.chdir(folder)
        os.environ.update(surroundings(folder))
        for number, name, stream in ((1, "stdout", out), (2, "stderr", err)):
            os.dup2(stream.fileno(), number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))
        Path("/proc/self/clear_refs").write_text("5")  # the most memory counts from here
        base, clock = _memory("VmRSS"), sum(os.times()[:4])
        code = (act or _verb)(_words(case))
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        orphans = _children_stay()
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        used = max(_memory("VmHWM") - base, children - base, 0)
        seconds = sum(os.times()[:4]) - clock
        os.chdir(here)
        return Outcome(code, _text(out), _text(err), seconds, used, _left(folder, before), orphans)


def _verb(arguments: list[str]) -> int:
    """Run the command line; its exit code, 1 after a traceback."""
    from paper_checks.cli import commands

    commands.app = _command()
    try:
        commands.main(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


@functools.cache
def _command() -> Any:
    """The command line with the options of all verbs, which typer makes anew at each call."""
    import typer

    from paper_checks.cli.commands import app

    return typer.main.get_command(app)


def _memory(entry: str) -> int:
    """Bytes of an entry of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(entry)).split()[1]) * 1024


def _children_stay() -> bool:
    """Whether a child of this process is alive two seconds from now; such children are ended, and all are waited for."""
    end, ended = time.monotonic() + 2.0, False
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        alive = set()
        for file in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread that has ended since
                alive.update(map(int, file.read_text().split()))
        alive.discard(getattr(resource_tracker._resource_tracker, "_pid", 0))  # ends with this process
        if not alive:
            return ended
        if time.monotonic() > end:
            ended = True
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


LIBRARIES = ("numpy", "scipy.stats", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "flint", "yaml",
             "paper_checks.cli.commands", "sim.studies", "sim.cycles.sweeps", "sim.cycles.conclusion", "elastomath.fit.fit",
             "elastomath.fit.comparison", "elastomath.fit.design", "elastomath.verification", "elastomath.laws.planner",
             "paper_checks.claims", "paper_checks.report.report", "empirical.logs")  # fmt: skip
WITH_TORCH = ("torch", "transformers", "peft", "sympy", "numba", "constriction", "empirical.models.loading", "empirical.coding.file",
              "empirical.durability.predict", "empirical.durability.run", "empirical.rebound.run", "empirical.stiffness.run",
              "empirical.inversion.run", "empirical.resistance.run", "empirical.scale.run", "empirical.tracking.run",
              "empirical.defence.run")  # fmt: skip


def load_libraries(weights: bool = True) -> None:
    """What the verbs import, so that a forked child starts at once; with one thread, for a fork has none of the others.

    weights   also torch, and what models need: a fork of a process that has it takes longer
    """
    import gc
    import importlib

    for name in (*LIBRARIES, *(WITH_TORCH if weights else ())):
        importlib.import_module(name)
    if weights:
        import torch

        torch.set_num_threads(1)
    from paper_checks.cli.commands import run as run_verb

    _command()
    for line in [[verb] for verb in VERBS] + [["experiment", line[0]] for line in VERBS["experiment"] if weights]:
        with contextlib.redirect_stdout(io.StringIO()):
            run_verb([*line, "--help"])  # a verb's options are made when it is first asked for
    gc.freeze()


def hunt(
    seed: int, seconds: float, count: int | None = None, first: int = 0
) -> tuple[int, Counter[int], list[tuple[int, Case, str]]]:
    """Run cases of a seed for so long, or so many; (how many, exit codes, faults with their number)."""
    faults, codes, spent = [], Counter[int](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="elastomath-fuzz-files-") as folder:
        files = materials(Path(folder))
    end, number = time.monotonic() + seconds, first
    while time.monotonic() < end and (count is None or number < first + count):
        numbers = range(number, min(number + WHOLE, sys.maxsize if count is None else first + count))
        for number, outcome in _outcomes(numbers, lambda at: case_of(at, seed, files)):
            case = case_of(number, seed, files)
            codes[outcome.code] += 1
            spent[case.arguments[0]] += outcome.seconds
            wrong = fault(outcome)
            if wrong and number % WHOLE != WHOLE - 1:
                alone = fault(run(case))
                wrong = alone or f"after other cases in one process: {wrong}"
            if wrong:
                faults.append((number, case, wrong))
                print(f"seed {seed}, case {number}: {wrong}\n  {case.arguments!r}  {case.damaged}", flush=True)
        number = numbers.stop
        dear = ", ".join(f"{verb} {used:.0f} s" for verb, used in spent.most_common(6))
        print(f"seed {seed}: {number - first} cases, computing for {spent.total():.0f} s ({dear})", flush=True)
    return number - first, codes, faults


def _outcomes(numbers: range, case_at: Callable[[int], Case]) -> Iterator[tuple[int, Outcome]]:
    """How the cases ended, one of each `WHOLE` as a whole process."""
    whole = [number for number in numbers if number % WHOLE == WHOLE - 1]
    yield from serve([number for number in numbers if number not in whole], case_at)
    for number in whole:
        yield number, run(case_at(number), whole=True)


def main() -> None:
    """The command line of the fuzzer; exit code 1 where a case went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--count", type=int, default=None)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--case", type=int, default=None, help="run this case alone and print how it ended")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = (
        "1"  # torch is loaded after this; a forked child waits for ever for threads it has not
    )
    load_libraries()
    if given.case is not None:
        with tempfile.TemporaryDirectory(prefix="elastomath-fuzz-files-") as folder:
            case = case_of(given.case, given.seed, materials(Path(folder)))
        outcome = run(case)
        print(case.arguments, case.damaged, case.files.get(case.damaged, b"")[:2000], outcome, fault(outcome), sep="\n")
        return
    count, codes, faults = hunt(given.seed, given.seconds, given.count, given.first)
    ends = ", ".join(f"{number} with {code}" for code, number in sorted(codes.items()))
    print(f"seed {given.seed}: {count} cases from {given.first}, {len(faults)} faults; exit codes: {ends}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
