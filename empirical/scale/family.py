"""A family of small language models that is pre-trained here: one tokenizer, several sizes, a checkpoint at each volume.

Each member is a folder in transformers' format, so that whatever takes a model takes a member. The members of one size are
checkpoints of one training, ``volume`` examples into it: a larger volume continues a smaller one with its optimiser's moments.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from elastomath.checks import COUNT, POSITIVE, integer, rows
from elastomath.errors import InputError
from elastomath.progress import say
from elastomath.runs.ledger import Configuration, Result, run_key
from elastomath.runs.settings import Settings, setting

from ..data.examples import Example
from ..data.specifications import examples_of
from ..data.splits import split_examples
from ..laboratory.laboratory import Equipment, Stage, fingerprint, open_laboratory
from ..laboratory.settings import FROM_ZERO, rising_volumes
from ..models.model import quiet
from ..models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SIZE = re.compile(r"([1-9]\d*)x([1-9]\d*)")
HEAD = 16
"""Numbers of an attention head."""
BEGIN, END = "<s>", "</s>"
START_SPREAD = 0.02
"""Standard deviation of the weights at the start."""


@dataclass(frozen=True)
class FamilySettings(Settings):
    """Which family: every member of ``sizes`` at every one of ``volumes``.

    The last volume is the whole pre-training, and what the tokenizer is trained on; the others are checkpoints on the way. Of the
    texts, examples are taken in turn: the union of R18 where they are two kinds.

    >>> FamilySettings(sizes=("32x2",)).parameters("32x2")
    58016
    """

    NAME = "family"
    sizes: tuple[str, ...] = setting(
        ("32x2", "64x2", "96x3", "160x3"),
        "Of the family: WIDTHxLAYERS, the width a multiple of 16: Llama models with tied embeddings.",
        gate=rows,
    )
    volumes: tuple[int, ...] = setting(
        (768, 1536, 3072, 6144),
        "Of the family: examples of pre-training, rising multiples of its batch.",
        gate=rising_volumes,
    )
    texts: tuple[str, ...] = setting(
        ("film-reviews:positive/rotten_tomatoes", "film-reviews:negative/rotten_tomatoes"),
        "What the family is pre-trained on, commas between.",
        gate=rows,
    )
    prompt: str = setting("", "Before every text.")
    vocabulary: int = setting(1024, "Tokens of the family's tokenizer.", gate=integer(least=258))
    max_tokens: int = setting(40, "Tokens of a text that are kept.", gate=COUNT)
    learning_rate: float = setting(3e-3, "Of AdamW, constant after the warm-up.", gate=POSITIVE)
    batch: int = setting(16, "Texts of a step.", gate=COUNT)
    warmup: int = setting(50, "Steps in which the learning rate rises to its value.", gate=FROM_ZERO)

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes:
            match = SIZE.fullmatch(size)
            if not match or int(match[1]) % HEAD:
                raise InputError(
                    f"size {size!r}", where="family", mend=f"write WIDTHxLAYERS, the width a multiple of {HEAD}: 64x3"
                )
        if len(set(self.sizes)) < len(self.sizes):
            raise InputError("a size is named twice", where="family", mend="name each once")
        if any(volume % self.batch for volume in self.volumes):
            raise InputError(
                f"volumes {list(self.volumes)} in batches of {self.batch}",
                where="family",
                mend="give multiples of the batch, so that a member does not depend on which checkpoints are kept before it",
            )

    def parameters(self, size: str) -> int:
        """Numbers of a member, tied ones once: ``V w + L (4 w^2 + 3 w i + 2 w) + w`` with width w, inner width i, L layers."""
        width, layers, inner = _shape(size)
        return self.vocabulary * width + layers * (4 * width**2 + 3 * width * inner + 2 * width) + width

    def about(self) -> Configuration:
        """What the members are, sizes, data and seed apart: what names them in the configuration of a run."""
        settings = {key: value for key, value in asdict(self).items() if key != "sizes"}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


class Family:
    """The members of a family for one seed, in a folder; each is made when it is asked for, and kept.

    The seed decides the documents, their order, the tokenizer and the weights at the start.

    exclude  texts that no member may have seen: what is held out, aligned on or perturbed with
    """

    def __init__(self, settings: FamilySettings, equipment: Equipment, seed: int, exclude: Iterable[Example]) -> None:
        self.settings, self.equipment, self.seed = settings, equipment, seed
        self.examples = _documents(settings, seed, exclude)
        about = {key: value for key, value in asdict(settings).items() if key not in ("sizes", "volumes")}
        about |= {"texts": [example.text for example in self.examples], "seed": seed} | equipment.training
        self.folder = Path(equipment.folder).parent / "family" / run_key(about)
        self._data: Sequences | None = None

    def member(self, size: str, volume: int) -> Path:
        """The folder of the member of this size after this volume, which is trained now if it is not there.

        Raises InputError for a size or volume that the family has not, StageError where training diverges.
        """
        s = self.settings
        if size not in s.sizes or volume not in s.volumes:
            raise InputError(
                f"no member {size} at {volume}", where="family", mend=f"sizes {s.sizes}, volumes {s.volumes}"
            )
        folder = self.folder / f"{size}-{volume}"
        if not (folder / "config.json").is_file():
            say(f"  seed {self.seed}: pre-training {size} ({s.parameters(size):,} parameters) to {volume} examples")
            self._train(size, volume, folder)
        return folder

    def _train(self, size: str, volume: int, folder: Path) -> None:
        s = self.settings
        start = self.folder / f"{size}-0"
        if not (start / "config.json").is_file():
            _new_model(s, size, self._tokenizer(), start, self.seed)
        laboratory = open_laboratory(_at(self.equipment, start))
        if self._data is None:
            self._data = laboratory.encode(self.examples, s.max_tokens)
        stage, before, steps = laboratory.base, 0, 0
        path = [size for size in s.volumes if size <= volume]
        for reached in path:
            data = self._data[slice(before, reached)]

            def make(parent: Stage = stage, data: Sequences = data, done: int = steps) -> Result:
                optimiser = laboratory.optimiser(s.learning_rate, parent if done else None)
                sizes = {"batch": s.batch, "warmup": s.warmup, "steps_done": done}
                return {"losses": laboratory.train(optimiser, data, learning_rate=s.learning_rate, **sizes)}

            name = {"stage": "pretrained", "train": fingerprint(data), "batch": s.batch, "warmup": s.warmup}
            name |= {"learning_rate": s.learning_rate, "steps_done": steps}
            stage = laboratory.stage(name, stage, make, moments=True)
            before, steps = reached, steps + -(-len(data) // s.batch)
        laboratory.enter(stage)
        _keep(laboratory.model, laboratory.tokenizer, folder)

    def _tokenizer(self) -> Any:
        return byte_pairs([example.text for example in self.examples], self.settings.vocabulary)


def byte_pairs(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-level byte-pair tokenizer of at most ``vocabulary`` tokens with ``<s>`` and ``</s>``; the same texts give the same.

    Raises InputError where there is no text.

    >>> tokenizer = byte_pairs(["a good film, a good day"] * 3, 270)
    >>> tokenizer.decode(tokenizer("a good day")["input_ids"])
    'a good day'
    """
    import tokenizers
    import transformers

    if not any(texts):
        raise InputError("no text", where="tokenizer", mend="give texts to train it on")
    pairs = tokenizers.ByteLevelBPETokenizer()
    pairs.train_from_iterator(texts, vocabulary, min_frequency=2, special_tokens=[BEGIN, END], show_progress=False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=pairs._tokenizer, bos_token=BEGIN, eos_token=END, clean_up_tokenization_spaces=False
    )


def _documents(settings: FamilySettings, seed: int, exclude: Iterable[Example]) -> list[Example]:
    """The pre-training examples in their order, one of each data specification in turn; none is in ``exclude`` or twice."""
    unwanted = {example.text.strip() for example in exclude}
    share = -(-settings.volumes[-1] // len(settings.texts))
    parts: list[tuple[Example, ...]] = []
    for spec in settings.texts:
        rows = [row for row in examples_of(spec, settings.prompt) if row.text.strip() not in unwanted]
        (part,) = split_examples(rows, [share], seed=seed)
        unwanted |= {row.text.strip() for row in part}
        parts.append(part)
    turns = itertools.chain.from_iterable(zip(*parts, strict=True))
    return list(itertools.islice(turns, settings.volumes[-1]))


def _shape(size: str) -> tuple[int, int, int]:
    """Width, layers and inner width: 8/3 of the width, rounded up to a multiple of 8."""
    match = SIZE.fullmatch(size)
    assert match
    width = int(match[1])
    return width, int(match[2]), 8 * -(-width // 3)


def family_config(settings: FamilySettings, size: str, begin: int | None = None, end: int | None = None) -> Any:
    """The configuration of a member in transformers' form; begin, end: the tokenizer's own tokens, where one is at hand."""
    import transformers

    width, layers, inner = _shape(size)
    return transformers.LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD,
        num_key_value_heads=width // HEAD,
        max_position_embeddings=4 * settings.max_tokens,
        initializer_range=START_SPREAD,
        tie_word_embeddings=True,
        bos_token_id=begin,
        eos_token_id=end,
    )


def _new_model(
    settings: FamilySettings, size: str, tokenizer: PreTrainedTokenizerBase, folder: Path, seed: int
) -> None:
    """Write a model with random weights, which the seed and the size decide."""
    import transformers

    config = family_config(settings, size, tokenizer.bos_token_id, tokenizer.eos_token_id)
    with torch.random.fork_rng():
        torch.manual_seed(int(run_key({"seed": seed, "size": size}), 16) % (1 << 63))
        model = transformers.LlamaForCausalLM(config)
    _keep(model, tokenizer, folder)


def _keep(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write model and tokenizer as a folder, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        with quiet():
            model.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
        try:
            os.replace(aside, folder)
        except OSError:  # another process was first, with the same weights
            if not (folder / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _at(equipment: Equipment, folder: Path) -> Equipment:
    from dataclasses import replace

    return replace(equipment, model=str(folder), revision=None)
