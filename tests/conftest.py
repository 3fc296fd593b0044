"""Fixtures that more than one test file uses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # the first call may compile, and the machine may be busy
settings.load_profile("patient")

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
