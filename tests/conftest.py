"""Fixtures that more than one test file uses."""

from __future__ import annotations

import dataclasses
import fcntl
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # all is tiny here: two threads would wait for each other most of the time
gc.set_threshold(10_000, 20, 20)  # derivations and examples make many small objects and few circles

import pytest
from hypothesis import settings

from tests import examples  # its profiles; --hypothesis-profile search takes the other one

settings.load_profile(examples.DEFAULT)
DERIVED = {"verified_theory", "built_site", "test_derivations", "test_three_forms"}
"""Fixtures and files that need the derivations of all results."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What rests on all derivations stands together at the start: one worker derives them, and the other does not wait."""
    items.sort(key=lambda item: not (DERIVED & {item.path.stem, *getattr(item, "fixturenames", ())}))


@pytest.fixture(scope="module", autouse=True)
def _whole_collections_are_short() -> None:
    """What earlier modules imported and cached is left out of the search for circles.

    torch, trl and our laboratories search a whole heap at each phase of training: a second for the two million objects of a
    session, and all of the time of a model as small as ours.
    """
    gc.collect()
    gc.freeze()


TEXT = (
    "A slow film, and a good one: the light falls on the water and nobody says a word. "
    "The second half drags; the acting does not. Größe, café, naïve, 映画, кино, 🎬 — written in many alphabets. "
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama (2 layers, hidden 32, 300 tokens, 64 positions) and a byte-level BPE tokenizer."""
    torch = pytest.importorskip("torch")
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")

    folder = tmp_path_factory.mktemp("tiny-llama")
    bpe = tokenizers.ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        [TEXT], vocab_size=300, min_frequency=2, special_tokens=["<s>", "</s>"], show_progress=False
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False
    )
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)
        for parameter in model.parameters():  # far from uniform, so that context and order matter in tests
            if parameter.ndim > 1:
                parameter.data.normal_(std=0.3)
    model.save_pretrained(folder)
    return folder


TINY = {
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "max_position_embeddings": 64},
    "gpt2": {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "qwen2": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "max_position_embeddings": 64},
    "gemma": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "pad_token_id": 1},
    "mamba2": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "num_heads": 8, "head_dim": 8, "n_groups": 1,
               "chunk_size": 8, "pad_token_id": 1},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 64},
    "recurrent_gemma": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
                        "attention_window_size": 32, "lru_width": 32},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 48},
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "max_position_embeddings": 64, "word_embed_proj_dim": 32, "pad_token_id": 1},
    "bert": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "max_position_embeddings": 64, "pad_token_id": 1},
    "roberta": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                "max_position_embeddings": 66, "pad_token_id": 1},
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny(tiny_model, tmp_path_factory):
    """``tiny(kind, **config)``: a folder with a random model of an architecture of `TINY`, and the tokenizer of `tiny_model`."""
    import shutil

    import torch
    import transformers

    made = {}

    def make(kind, **options):
        key = (kind, repr(sorted(options.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp(kind)
            for file in tiny_model.glob("*token*"):
                shutil.copy(file, folder)
            config = transformers.AutoConfig.for_model(
                kind, **{"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 1} | TINY[kind] | options
            )
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = transformers.AutoModelForCausalLM.from_config(config)
                for parameter in model.parameters():
                    if parameter.ndim > 1:
                        parameter.data.normal_(std=0.3)
            model.save_pretrained(folder)
            made[key] = folder
        return made[key]

    return make


CASES = 40
"""Random instances of a result in `verified_theory`; the acceptance tests take the 200 that `verify` takes by default."""


class Verified(NamedTuple):
    """All claims of `verify`, the seconds of a processor that they took, and how many random instances a result had."""

    claims: list[Any]
    seconds: float
    cases: int = CASES


@pytest.fixture(scope="session")
def verified_theory(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """All of `verify`, run once in a session: the first worker that asks writes it down for the others."""
    from elastomath.verification import Claim, verify

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    path = folder / "verify.json"
    with (folder / "verify.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            start = time.process_time()
            rows = [dataclasses.asdict(claim) for claim in verify(cases=CASES)]
            path.write_text(json.dumps({"claims": rows, "seconds": time.process_time() - start}))
    saved = json.loads(path.read_text())
    return Verified([Claim(**row) for row in saved["claims"]], saved["seconds"])


@pytest.fixture
def break_in_checks(monkeypatch):
    """Replace a function of the library by a broken one, wherever the checks of `verify` use it."""
    from elastomath.verification import results

    results()  # every check is loaded

    def replace(name, broken):
        users = [
            module
            for path, module in sys.modules.items()
            if path.startswith("elastomath.verification.") and hasattr(module, name)
        ]
        assert users, f"no check uses {name}"
        for module in users:
            monkeypatch.setattr(module, name, broken)

    return replace
