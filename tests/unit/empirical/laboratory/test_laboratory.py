"""Stages are made once, can be made again to the same bits, and fail alone; kinds are cut into disjoint parts."""

from __future__ import annotations

import gc
import json
import pickle
import weakref

import pytest
import torch

from elastomath import Curve
from elastomath.errors import InputError
from empirical.data.examples import Example
from empirical.data.splits import mix, split_kinds
from empirical.laboratory.conduct import conduct
from empirical.laboratory.laboratory import (
    Equipment,
    Laboratory,
    StageError,
    close_laboratory,
    open_laboratory,
    source_of,
)

TEXTS = [Example("Q", f"light water {i} film") for i in range(8)]


@pytest.fixture
def equipment(tiny_model, tmp_path):
    return Equipment(str(tiny_model), str(tmp_path / "stages"), device="cpu", dtype="float32")


def weights(laboratory):
    return torch.cat([value.detach().flatten() for value in laboratory.model.parameters()]).clone()


def chain(laboratory, calls):
    data = laboratory.encode(TEXTS, 12)

    def trained(name, part, continues=None):
        def make():
            calls.append(name)
            optimiser = laboratory.optimiser(1e-2, continues)
            laboratory.train(optimiser, part, batch=2, learning_rate=1e-2)
            return laboratory.read({"held": data})

        return make

    first = laboratory.stage({"stage": "one"}, laboratory.base, trained("one", data[slice(0, 4)]), moments=True)
    second = laboratory.stage({"stage": "two"}, first, trained("two", data[slice(4, 8)], first))
    return first, second, data


def test_a_stage_is_made_once_and_again_to_the_same_bits(equipment):
    calls = []
    laboratory = Laboratory(equipment)
    first, second, _ = chain(laboratory, calls)
    laboratory.enter(second)
    ended = weights(laboratory)
    assert calls == ["one", "two"]
    again = Laboratory(equipment)
    _, same, _ = chain(again, calls)
    assert calls == ["one", "two"]
    assert same.result == second.result
    again.forget(first, second)
    again.enter(same)
    assert calls == ["one", "two", "two", "one"] or calls == ["one", "two", "one", "two"]
    assert torch.equal(weights(again), ended)


def test_continuing_with_moments_is_training_in_one_go(equipment):
    laboratory = Laboratory(equipment)
    _, second, data = chain(laboratory, [])
    laboratory.enter(second)
    parts = weights(laboratory)
    laboratory.enter(laboratory.base)
    laboratory.train(laboratory.optimiser(1e-2), data, batch=2, learning_rate=1e-2)
    assert torch.equal(weights(laboratory), parts)
    laboratory.enter(laboratory.base)
    fresh = laboratory.optimiser(1e-2)
    laboratory.train(fresh, data[slice(0, 4)], batch=2, learning_rate=1e-2)
    laboratory.train(laboratory.optimiser(1e-2), data[slice(4, 8)], batch=2, learning_rate=1e-2)
    assert not torch.equal(weights(laboratory), parts)  # the mutant: without the moments it is another training


def test_divergence_is_zero_at_the_base_and_leaves_the_weights(equipment):
    laboratory = Laboratory(equipment)
    data = laboratory.encode(TEXTS, 12)
    assert laboratory.divergence(data) == {"kl_forward": 0.0, "kl_reverse": 0.0}
    other = laboratory.encode(TEXTS[:3], 12)
    laboratory.train(laboratory.optimiser(1e-2), data, batch=4, learning_rate=1e-2)
    before = weights(laboratory)
    found = laboratory.divergence(other)  # the base's distributions of other texts: it goes back and comes again
    assert torch.equal(weights(laboratory), before)
    assert min(found.values()) > 0


def test_a_stage_that_fails_fails_at_once_the_second_time(equipment):
    laboratory, calls = Laboratory(equipment), []

    def make():
        calls.append(1)
        raise MemoryError("no room")

    for _ in range(2):
        with pytest.raises(StageError, match="MemoryError: no room"):
            laboratory.stage({"stage": "ill"}, laboratory.base, make)
    assert len(calls) == 1
    assert not list(laboratory.folder.glob("*.json"))


def test_a_reading_that_is_not_finite_is_no_reading(equipment):
    laboratory = Laboratory(equipment)
    with torch.no_grad():
        next(iter(laboratory.model.parameters())).fill_(float("nan"))
    with pytest.raises(StageError, match="not finite"):
        laboratory.read({"held": laboratory.encode(TEXTS, 12)})


def test_an_adapter_alone_is_trained_and_kept(equipment):
    from dataclasses import replace

    from safetensors import safe_open

    pytest.importorskip("peft")
    laboratory = Laboratory(replace(equipment, lora_rank=2))
    first, _, _ = chain(laboratory, [])
    with safe_open(str(first.path), framework="pt") as kept:
        assert all("lora_" in name for name in kept.keys())  # noqa: SIM118
    assert replace(equipment, lora_rank=2).training != equipment.training


def test_equipment_travels_and_one_laboratory_is_open_at_a_time(equipment):
    from dataclasses import replace

    sent = pickle.loads(pickle.dumps(equipment))
    one = open_laboratory(equipment)
    assert open_laboratory(sent) is one
    assert open_laboratory(replace(equipment, folder=equipment.folder + "2")) is not one
    close_laboratory()
    assert equipment.source == one.loaded.sha256
    with pytest.raises(InputError):
        source_of("no such model")


def test_parts_are_disjoint_and_shared_texts_are_in_none():
    kinds = {kind: [Example("P", f"{kind} {i}") for i in range(20)] + [Example("P", "both")] for kind in ("a", "b")}
    sizes = {"a": {"held": 5, "own": 10}, "b": {"held": 5, "own": 15}}
    parts = split_kinds(kinds, sizes, seed=3)
    texts = [e.text for kind in parts.values() for part in kind.values() for e in part]
    assert len(texts) == len(set(texts)) == 35
    assert "both" not in texts
    longer = split_kinds(kinds, sizes | {"a": {"held": 5, "own": 15}}, seed=3)
    assert longer["a"]["own"][:10] == parts["a"]["own"]
    assert longer["a"]["held"] == parts["a"]["held"]
    with pytest.raises(InputError, match="a:"):
        split_kinds(kinds, sizes | {"a": {"held": 5, "own": 16}}, seed=3)


def test_a_prompt_is_in_one_part_for_every_kind():
    kinds = {kind: [Example(f"Q{i % 12}", f"{kind} {i}") for i in range(30)] for kind in ("safe", "unsafe")}
    parts = split_kinds(kinds, {kind: {"held": 6, "own": 9} for kind in kinds}, 1, by="prompt")
    prompts = {part: {e.prompt for kind in kinds for e in parts[kind][part]} for part in ("held", "own")}
    assert not prompts["held"] & prompts["own"]
    assert all(len(parts[kind][part]) == size for kind in kinds for part, size in (("held", 6), ("own", 9)))
    with pytest.raises(InputError, match="do not fill"):
        split_kinds(kinds, {kind: {"held": 6, "own": 40} for kind in kinds}, 1, by="prompt")


def test_every_even_prefix_of_a_mix_is_half_and_half():
    mixed = mix([Example("", f"a{i}") for i in range(7)], [Example("", f"b{i}") for i in range(7)], seed=5)
    for count in range(2, 15, 2):
        assert sum(e.text.startswith("a") for e in mixed[:count]) == count // 2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_laboratory_on_cuda(tiny_model, tmp_path):
    laboratory = Laboratory(Equipment(str(tiny_model), str(tmp_path), device="cuda", dtype="bfloat16"))
    _, second, data = chain(laboratory, [])
    assert second.result["tokens_held"] == laboratory.read({"held": data})["tokens_held"]
    assert min(laboratory.divergence(data).values()) > 0


def encoded(equipment, configuration):
    """A run that encodes two texts of capitals and one without."""
    examples = [Example("", text) for text in ("A Film", "A Film", "Light", "water")]
    open_laboratory(equipment).encode(examples[: configuration["texts"]], 12)
    return {"rate": 1.0}


def one_reading(result):
    rates = {name: [1.0, 1.0] for name in ("pretrain", "align", "perturb")}
    volumes = {"pretrain": 10, "align": 1, "perturb": 1}
    return Curve.from_paths("run", volumes, [0.0, 1.0], rates, "nats/symbol", "symbols")


def test_a_protocol_says_how_many_texts_the_tokenizer_does_not_give_back(tiny_model, tmp_path, capfd):
    import shutil

    import tokenizers
    import transformers

    folder = tmp_path / "lower"
    shutil.copytree(tiny_model, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.save_pretrained(folder)
    equipment = Equipment(str(folder), str(tmp_path / "stages"), device="cpu", dtype="float32")

    def summary(texts, name):
        return conduct(
            name,
            encoded,
            equipment,
            [{"texts": texts}],
            tmp_path,
            one_reading,
            lambda done, curve: {"runs_of": len(done)},
        )

    assert summary(4, "two")["lossy"] == 2  # of three different texts
    assert json.loads((tmp_path / "two.json").read_text())["lossy"] == 2
    assert capfd.readouterr().err.count("does not give back 3 of 4 texts") == 1
    plain = Equipment(str(tiny_model), str(tmp_path / "stages"), device="cpu", dtype="float32")
    done = conduct("none", encoded, plain, [{"texts": 4}], tmp_path, one_reading, lambda done, curve: {})
    assert done["lossy"] == 0


def test_the_moments_of_a_stage_that_has_ended_are_gone_when_the_next_one_begins(equipment):
    """Torch leaves a process's first optimiser in a circle of references: beside the next one a run would hold its moments, too."""
    laboratory = Laboratory(equipment)
    gc.disable()
    try:
        optimiser = laboratory.optimiser(1e-2)
        optimiser.circle = optimiser
        ended = weakref.ref(optimiser)
        del optimiser
        assert ended() is not None
        laboratory.optimiser(1e-2)
        assert ended() is None
    finally:
        gc.enable()
