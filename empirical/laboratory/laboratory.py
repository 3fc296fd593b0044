"""The laboratory that protocols share: one model, its base weights, splits, readings, and stages kept on disk.

A protocol is a tree of **stages**: ``base -> adapted -> aligned -> perturbed``. A stage is made from its parent's weights
by one deterministic function, and named by the hash of its own configuration and its parent's name. What it measured is a
JSON file and its weights a safetensors file, each written whole, so that a killed protocol continues from the last stage
that ended, and runs in other processes share the stages that they have in common.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch

from elastomath.errors import InputError
from elastomath.progress import Meter, say
from elastomath.runs.ledger import Configuration, Result, run_key
from elastomath.storage import alone, sweep_lock, whole_file
from elastomath.units import NATS_PER_BIT

from ..data.chats import joined
from ..data.examples import Example, Preference
from ..data.splits import mix as mix
from ..data.splits import split_kinds as split_kinds
from ..fetch.catalog import CATALOG
from ..fetch.fetching import sha256_of
from ..measures.code_lengths import code_lengths, next_token_log_probs
from ..measures.contrast import prompt_numbers
from ..measures.rates import encode as token_ids
from ..measures.rates import lost
from ..models.checkpoints import load_checkpoint, save_checkpoint, trainable
from ..models.devices import held_and_computed, hold_memory, pick_device, pick_dtype
from ..models.loading import _folder_hash, _locate, load_model
from ..models.lora import WEIGHTS as ADAPTER_WEIGHTS
from ..models.lora import merge_adapter
from ..models.model import LoadedModel, quiet
from ..models.sequences import Sequences, encode_examples
from ..models.sources import Source
from ..training.finetune import new_optimiser, train


class StageError(RuntimeError):
    """A stage did not end well (out of memory, a loss that is not finite): its run fails, the others go on."""


@dataclass(frozen=True)
class Equipment:
    """Which model, where, in which numbers, and the folder of the stages: all that a worker needs; it can be pickled.

    dtype    of autocast: ``auto`` is bfloat16 where the hardware multiplies it; float32 for none. float64 is that of the
             weights too: all is computed in it
    weights  what the weights are held and trained in; float32 unless the model would not fit
    lora_rank, lora_alpha  train a low-rank adapter in place of the weights; rank 0 for full training
    """

    model: str
    folder: str
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    weights: str = "float32"
    lora_rank: int = 0
    lora_alpha: float = 16.0
    trust_remote_code: bool = False

    @classmethod
    def of(cls, settings: Any, out: Path, device: str, dtype: str, trust_remote_code: bool) -> Equipment:
        """The equipment of a protocol: its settings name model, revision, weights and lora_rank; stages lie under ``out``."""
        return cls(
            settings.model,
            str(out / "stages"),
            revision=settings.revision,
            device=device,
            dtype=dtype,
            weights=settings.weights,
            lora_rank=settings.lora_rank,
            trust_remote_code=trust_remote_code,
        )

    @property
    def training(self) -> Configuration:
        """What of the equipment changes results: it belongs to the configuration of every run."""
        adapter = {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha} if self.lora_rank else {}
        return {"dtype": self.precision, "weights": self.held} | adapter

    @property
    def source(self) -> str:
        """What the base weights are: the SHA-256 of their file, or the commit on the hub; without loading them."""
        return source_of(self.model, self.revision)

    @property
    def held(self) -> str:
        """The dtype of the weights by its name (`devices.held_and_computed`)."""
        return held_and_computed(self.weights, self.dtype, pick_device(self.device))[0]

    @property
    def precision(self) -> str:
        """The dtype that layers compute in by its name: that of autocast, ``auto`` resolved here, or of the weights."""
        return held_and_computed(self.weights, self.dtype, pick_device(self.device))[1]


@dataclass(frozen=True)
class Stage:
    """A state of the model: its name, what was measured there (JSON), where its weights lie, and how to make it again."""

    key: str
    result: Result = field(default_factory=dict)
    parent: Stage | None = None
    make: Callable[[], Result] | None = None
    path: Path | None = None
    moments: bool = False


Taken = TypeVar("Taken")
_open: dict[Equipment, Laboratory] = {}


def open_laboratory(equipment: Equipment) -> Laboratory:
    """The laboratory of this process for this equipment; the model is loaded once, and one laboratory is held at a time."""
    if equipment not in _open:
        close_laboratory()
        _open[equipment] = Laboratory(equipment)
    return _open[equipment]


def texts_lost() -> int:
    """How many texts the tokenizer of the open laboratory has not given back so far."""
    return max((len(laboratory.lost) for laboratory in _open.values()), default=0)


def close_laboratory() -> None:
    """Let go of the model that this process holds."""
    _open.clear()


class Laboratory:
    """A model with its base weights, and the stages that were made from it.

    loaded     the model, its tokenizer and what a result has to say about it
    base       the stage at the base weights
    autocast   the dtype of autocast, or None for none
    meter      counts tokens where somebody waits: 1 a measured token, 3 a trained one
    lost       texts that the tokenizer does not give back: of what they lose nothing is trained or measured
    """

    def __init__(self, equipment: Equipment) -> None:
        self.equipment = equipment
        if pick_device(equipment.device).type == "cpu":
            hold_memory()
        self.loaded: LoadedModel = load_model(
            equipment.model,
            revision=equipment.revision,
            device=equipment.device,
            dtype=equipment.held,
            trust_remote_code=equipment.trust_remote_code,
        )
        if equipment.lora_rank:
            from ..models.lora import LoraSettings, add_lora

            self.loaded = add_lora(self.loaded, LoraSettings(equipment.lora_rank, equipment.lora_alpha))
        self.model, self.tokenizer = self.loaded.model, self.loaded.tokenizer
        self.precision = equipment.precision
        self.autocast = None if self.precision == equipment.held else pick_dtype(self.precision)
        self.folder = Path(equipment.folder)
        self.meter: Meter | None = None
        source = self.loaded.sha256 or self.loaded.revision or self.loaded.name
        self.base = Stage(run_key({"model": source} | equipment.training))
        self._base = self._copied()
        self._at: str | None = self.base.key
        self._failed: dict[str, str] = {}
        self.lost: set[str] = set()
        self._optimiser: torch.optim.Optimizer | None = None
        self._former: weakref.ref[torch.optim.Optimizer] | None = None
        self._base_log_probs: tuple[str, list[torch.Tensor]] = ("", [])
        self._once: tuple[str, Any] = ("", None)

    # -- stages ----------------------------------------------------------------------------------------------------

    def stage(
        self,
        configuration: Configuration,
        parent: Stage,
        make: Callable[[], Result],
        *,
        keep: bool = True,
        moments: bool = False,
    ) -> Stage:
        """The stage of this configuration under ``parent``: as recorded if it is there, else made by ``make`` from the parent.

        ``make`` starts with the parent's weights in the model, a seed of torch drawn from the stage's name, and returns
        what it measured (JSON only). ``keep``: its weights become a checkpoint, from which further stages start;
        ``moments``: the optimiser's moments too, so that training can be continued.

        Raises StageError where ``make`` fails in any way but an interrupt, at once if it failed in this process before.
        """
        key = run_key(configuration | {"parent": parent.key})
        path = self.folder / f"{key}.safetensors" if keep else None
        stage = Stage(key, {}, parent, make, path, moments)
        result = self._recorded(key)
        if result is None:
            with self._alone(key):
                result = self._recorded(key)
                if result is None:
                    result = self._make(stage)
        else:
            sweep_lock(self._lock(key))
        return Stage(key, result, parent, make, path, moments)

    def enter(self, stage: Stage, optimiser: torch.optim.Optimizer | None = None) -> None:
        """Put the weights of a stage into the model (and its moments into an optimiser), making them again if they are gone."""
        if stage.parent is None:
            self._put(self._base)
        else:
            if stage.path is None:
                raise InputError(
                    "the stage keeps no weights", where=f"stage {stage.key}", mend="make it with keep=True"
                )
            if not stage.path.is_file():
                with self._alone(stage.key):
                    if not stage.path.is_file():
                        self._make(stage)
            if self._at != stage.key or optimiser is not None:
                load_checkpoint(stage.path, self.model, optimiser)
        self._at = stage.key

    def once(self, stage: Stage, name: str, read: Callable[[], Taken]) -> Taken:
        """What ``read`` takes off the weights of a stage, which are in the model; the last such is kept in memory.

        For what several stages are made from and no file should hold, as the gradients of a base. ``name``: what is read.
        """
        key = f"{stage.key} {name}"
        if self._once[0] != key:
            self._once = ("", None)
            self._once = (key, read())
        return cast("Taken", self._once[1])

    def forget(self, *stages: Stage) -> None:
        """Delete the checkpoints of these stages; what they measured stays, and they can be made again."""
        for stage in stages:
            if stage.path is not None:
                stage.path.unlink(missing_ok=True)

    def recorded(self, configuration: Configuration, parent: Stage) -> bool:
        """Whether the stage of this configuration has ended already, in this process or another."""
        return self._recorded(run_key(configuration | {"parent": parent.key})) is not None

    def _copied(self) -> dict[str, torch.Tensor]:
        """What training moves, copied to the CPU."""
        named = self.model.named_parameters()
        return {name: value.detach().to("cpu", copy=True) for name, value in named if value.requires_grad}

    def take(self, spec: str) -> None:
        """Put the weights of another model of the same shape, named as `Source.of` reads it, in the place of those of now.

        An adapter is merged first. Raises InputError where the other model has other weights than this one.
        """
        source, trust = Source.of(spec), self.equipment.trust_remote_code
        other = load_model(
            source.model, revision=source.revision, device="cpu", dtype=self.equipment.held, trust_remote_code=trust,
            adapter=source.adapter,
        )  # fmt: skip
        if source.adapter is not None:
            other = merge_adapter(other)
        weights, own = dict(other.model.named_parameters()), dict(self.model.named_parameters())
        unlike = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
        if unlike or len(weights) != len(own):
            raise InputError(
                f"the aligned model has other weights than its base ({(unlike or sorted(weights.keys() - own.keys()))[0]})",
                where=spec,
                mend="give the base that it was trained from by --model",
            )
        self._put(weights)

    def export(self, home: Path, stages: Mapping[str, Stage]) -> None:
        """Write the weights of stages as folders that `load_model` (or, with lora, `track`) reads: ``home/NAME``."""
        for name, stage in stages.items():
            self.enter(stage)
            with quiet():
                self.model.save_pretrained(home / name)
                self.tokenizer.save_pretrained(home / name)

    def _put(self, weights: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                if name in weights:
                    value.copy_(weights[name])

    def _make(self, stage: Stage) -> Result:
        if stage.key in self._failed:
            raise StageError(self._failed[stage.key])
        assert stage.parent is not None
        assert stage.make is not None
        self.enter(stage.parent)
        self._at, self._optimiser = None, None
        torch.manual_seed(int(stage.key, 16) % (1 << 63))
        try:
            result = stage.make()
        except Exception as error:
            self._failed[stage.key] = str(error) if isinstance(error, InputError | StageError) else _reason(error)
            self.model.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise StageError(self._failed[stage.key]) from error
        self.model.zero_grad(set_to_none=True)
        if stage.path is not None:
            save_checkpoint(stage.path, self.model, self._optimiser if stage.moments else None)
            self._at = stage.key
        with whole_file(self._record(stage.key)) as aside:
            aside.write_text(json.dumps(result, allow_nan=False))
        return result

    def _record(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _lock(self, key: str) -> Path:
        return self.folder / f".{key}.lock"

    def _recorded(self, key: str) -> Result | None:
        try:
            result: Result = json.loads(self._record(key).read_text(encoding="utf-8"))
            if not isinstance(result, dict | list):
                raise ValueError("no record")
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise InputError(
                "damaged record of a stage", where=str(self._record(key)), mend="delete it; its stage is made again"
            ) from error
        return result

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Hold a stage alone among processes where the file system can; elsewhere it may be made twice, to the same end."""
        with alone(self._lock(key), f"another process makes the stage {key}, waiting for it"):
            yield

    # -- training --------------------------------------------------------------------------------------------------

    def optimiser(
        self, learning_rate: float, continues: Stage | None = None, *, plain: bool = False
    ) -> torch.optim.Optimizer:
        """A fresh AdamW for the stage that is being made, or the one that ``continues`` the moments of a stage.

        ``plain``: stochastic gradient descent without momentum instead, which has no moments to continue.
        """
        if plain:
            self._optimiser = torch.optim.SGD([value for _, value in trainable(self.model)], lr=learning_rate)
            return self._optimiser
        # a process's first optimiser stands in a circle with frames of torch's own imports: its moments, twice the model, would
        # stay until Python happens to look for circles; to look costs a second, and is needed only where one is still there
        self._optimiser = None
        if self._former is not None and self._former() is not None:
            gc.collect()
        self._optimiser = new_optimiser(self.model, learning_rate)
        self._former = weakref.ref(self._optimiser)
        if continues is not None:
            self.enter(continues, self._optimiser)
            self._at = None
        return self._optimiser

    def train(
        self,
        optimiser: torch.optim.Optimizer,
        data: Sequences,
        *,
        batch: int,
        learning_rate: float,
        warmup: int = 0,
        steps_done: int = 0,
    ) -> list[float]:
        """One pass over the sequences in their order (`finetune.train`) in this laboratory's numbers; returns the losses."""
        return train(
            self.model,
            optimiser,
            data,
            batch=batch,
            warmup=warmup,
            learning_rate=learning_rate,
            steps_done=steps_done,
            autocast=self.autocast,
            meter=self.meter,
        )

    def tune(
        self,
        pairs: Sequence[Preference],
        algorithm: str,
        *,
        seed: int,
        max_tokens: int,
        batch: int,
        learning_rate: float,
        warmup: int = 0,
    ) -> None:
        """One phase by a preference algorithm (`tune.tune`), with an optimiser of its own, in this laboratory's numbers."""
        from ..training.settings import TuneSettings
        from ..training.tune import tune

        settings = TuneSettings(
            batch=batch, learning_rate=learning_rate, warmup=warmup, max_tokens=max_tokens, autocast=self.autocast
        )
        tune(self.loaded, pairs, settings, algorithm=algorithm, seed=seed, meter=self.meter)

    # -- readings --------------------------------------------------------------------------------------------------

    def read(self, held_out: Mapping[str, Sequences]) -> Result:
        """Code length of every document of every held-out set at the weights of now: ``nats_NAME`` and ``tokens_NAME``.

        Where documents share prompts, ``prompts_NAME`` says which (`contrast.prompt_numbers`). Raises StageError where a code
        length is not finite.
        """
        reading: Result = {}
        for name, data in held_out.items():
            lengths = code_lengths(self.model, data, autocast=self.autocast, meter=self.meter)
            if not np.isfinite(lengths.nats).all():
                raise StageError("a held-out code length is not finite, training has diverged: lower the learning rate")
            reading[f"nats_{name}"], reading[f"tokens_{name}"] = lengths.nats.tolist(), lengths.tokens.tolist()
        numbers = prompt_numbers([data.prompts() for data in held_out.values()]) or []
        return reading | {f"prompts_{name}": row for name, row in zip(held_out, numbers, strict=False)}

    def divergence(self, data: Sequences) -> dict[str, float]:
        """``D(base || model)`` and ``D(model || base)`` in bits per token, over the whole vocabulary, mean over positions.

        The base's log-probabilities are held for one data set at a time: positions times vocabulary, in float32.
        """
        name = fingerprint(data)
        if self._base_log_probs[0] != name:
            now, at, self._base_log_probs = self._copied(), self._at, ("", [])
            self.enter(self.base)
            rows = list(next_token_log_probs(self.model, data, autocast=self.autocast))
            self._base_log_probs = (name, rows)
            self._put(now)
            self._at = at
        forward = reverse = positions = 0.0
        current = next_token_log_probs(self.model, data, autocast=self.autocast)
        for base, row in zip(self._base_log_probs[1], current, strict=True):
            gap = base - row
            forward += float((base.exp() * gap).sum())
            reverse -= float((row.exp() * gap).sum())
            positions += base.shape[0]
        return {
            "kl_forward": max(forward, 0.0) / positions / NATS_PER_BIT,
            "kl_reverse": max(reverse, 0.0) / positions / NATS_PER_BIT,
        }

    def encode(self, examples: Sequence[Example], max_tokens: int) -> Sequences:
        """`finetune.encode_examples` with this model's tokenizer, within its context; says where it loses some of a text."""
        texts = [joined(example.prompt, example.text) for example in examples]
        unlike = lost(self.tokenizer, texts, token_ids(self.loaded, texts))
        if unlike and not self.lost:
            say(
                f"{self.loaded.name}: the tokenizer does not give back {len(unlike)} of {len(texts)} texts; what is trained and "
                "measured is their tokens"
            )
        self.lost.update(texts[index] for index in unlike)
        return encode_examples(self.tokenizer, examples, max_tokens, context=self.loaded.context)


def source_of(model: str, revision: str | None = None) -> str:
    """What a model's weights are, without loading them: the SHA-256 of a file or folder, or the commit on the hub.

    Raises InputError for a model that is not there, in the words of `load_model`.
    """
    if model in CATALOG and CATALOG[model].kind == "model":
        return CATALOG[model].sha256
    path = Path(model).expanduser()
    if path.is_file():
        return sha256_of(path)
    if path.is_dir():
        return _folder_hash(path) or model
    return _locate(model, revision)[0] or revision or model


def aligned_source(spec: str) -> str:
    """What the weights of a model that came aligned are (`Source.of`): those of `source_of`, and of its adapter."""
    source = Source.of(spec)
    own = source_of(source.model, source.revision)
    if source.adapter is None:
        return own
    file = Path(source.adapter).expanduser() / ADAPTER_WEIGHTS
    if not file.is_file():
        raise InputError(f"the folder holds no {ADAPTER_WEIGHTS}", where=source.adapter, mend="give a kept adapter")
    return f"{own}+{sha256_of(file)}"


def fingerprint(data: Sequences) -> str:
    """SHA-256 of token sequences: what a stage was trained or measured on, for its configuration."""
    digest = hashlib.sha256()
    for tensor in (data.tokens, data.first, data.length):
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
        digest.update(str(tuple(tensor.shape)).encode())
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
