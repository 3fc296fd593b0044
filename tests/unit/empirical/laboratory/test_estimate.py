"""The dry run: tokens counted as the protocol makes them, memory and time without weights, presets by name."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from elastomath.errors import InputError
from empirical.durability.settings import DurabilitySettings
from empirical.inversion.settings import InversionSettings
from empirical.laboratory.estimate import pass_seconds, plan_of, speed
from empirical.rebound.settings import ReboundSettings
from empirical.resistance.settings import ResistanceSettings
from empirical.scale.family import FamilySettings
from empirical.scale.settings import ScaleSettings
from empirical.stiffness.settings import StiffnessSettings


@pytest.fixture
def texts(tmp_path) -> list[str]:
    """Two kinds of text, every one longer than it may be: at its longest each, so that bounds can be equalities."""
    paths = []
    for kind, word in (("good", "light water"), ("bad", "slow drags")):
        path = tmp_path / f"{kind}.jsonl"
        rows = [json.dumps({"text": f"{i} {word} {i} " * 8}) for i in range(90)]
        path.write_text("\n".join(rows), encoding="utf-8")
        paths.append(str(path))
    return paths


@pytest.fixture
def seen(monkeypatch) -> dict[str, int]:
    """Counted tokens that laboratories have trained on and measured, and tokens drawn at most."""
    from empirical.inversion import run as inversion
    from empirical.laboratory import laboratory
    from empirical.resistance import run as resistance

    counts = {"trained": 0, "measured": 0, "drawn": 0}
    true_train, true_lengths = laboratory.train, laboratory.code_lengths

    def train(model, optimiser, data, **options):
        counts["trained"] += data.target_count
        return true_train(model, optimiser, data, **options)

    def lengths(model, data, **options):
        counts["measured"] += data.target_count
        return true_lengths(model, data, **options)

    def sampled(true):
        def sample(loaded, prompts, max_tokens, **options):
            counts["drawn"] += len(prompts) * max_tokens
            return true(loaded, prompts, max_tokens, **options)

        return sample

    monkeypatch.setattr(laboratory, "train", train)
    monkeypatch.setattr(laboratory, "code_lengths", lengths)
    for module in (inversion, resistance):
        monkeypatch.setattr(module, "sample", sampled(module.sample))
    return counts


def test_tokens_are_those_that_the_protocol_trains_on(tiny_model, texts, tmp_path, seen):
    """Every sequence at its longest: texts of more than max_tokens tokens make the bound an equality."""
    from empirical.rebound.run import rebound

    settings = ReboundSettings(
        model=str(tiny_model), align=texts[0], perturb=texts[1], directions=("forward", "exchanged"), adapt_volume=8,
        align_volumes=(4, 12), perturb_volumes=(4, 8), held_out=6, kl_documents=2, batch=4, max_tokens=12, warmup=0,
    )  # fmt: skip
    planned = plan_of(settings, device="cpu", dtype="float32")
    assert planned["fits"] in (True, None)
    assert planned["memory"]["parameters"] < 1e5
    assert planned["memory"]["reference"] == 4 * planned["memory"]["parameters"]  # the base, kept beside the model
    assert "before every text: nothing" in planned["lines"]  # the user's own texts
    assert {field.name for field in fields(settings)} - {"chat"} == set(planned["settings"])
    assert any("learning_rate 5e-05" in line and "lora_rank 0" in line for line in planned["lines"])
    rebound(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert planned["tokens"]["trained"] == seen["trained"]
    readings = sum(part.times * part.measured for part in settings.work())
    held = 2 * settings.held_out
    # what is measured beyond code lengths are the documents of the divergence
    assert seen["measured"] == readings * held // (held + 2 * settings.kl_documents)


def test_the_plan_of_resistance_is_what_it_does(tiny_model, texts, tmp_path, seen):
    from empirical.resistance.run import resistance

    settings = ResistanceSettings(
        model=str(tiny_model), align=texts[0], align_volume=24, held_samples=4, sample_tokens=6, volumes=(8, 16),
        held_out=4, max_tokens=8, batch=4, warmup=0, prompt="", prompt_words=2, seeds=(0,),
    )  # fmt: skip
    planned = plan_of(settings, device="cpu", dtype="float32")["tokens"]
    resistance(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert planned["drawn"] == seen["drawn"]
    assert 0.8 * planned["trained"] < seen["trained"] <= planned["trained"]  # a sample may end before its longest
    assert 0.8 * planned["measured"] < seen["measured"] <= planned["measured"]


def test_the_plan_of_inversion_bounds_what_it_does(tiny_model, texts, tmp_path, seen):
    from empirical.inversion.run import inversion

    settings = InversionSettings(
        model=str(tiny_model), align=texts[0], opposed=texts[1], adapt_volume=8, align_volume=24, budget=8, readings=3,
        held_out=4, batch=2, max_tokens=8, learning_rate=1e-3, continuations=4, sample_tokens=3, seeds=(0,),
    )  # fmt: skip
    planned = plan_of(settings, device="cpu", dtype="float32")["tokens"]
    inversion(settings, tmp_path / "out", device="cpu", dtype="float32")
    always = {part.stage: part for part in settings.work() if part.stage in ("adapted", "the way up")}
    for sort in ("trained", "measured", "drawn"):
        least = sum(getattr(part, sort) for part in always.values())
        assert least <= seen[sort] <= planned[sort]
    for part in replace(settings, measure="behaviour").work():  # texts are drawn at every reading
        assert part.drawn / (4 * 3) == part.measured / (2 * 4 * 8)


def test_the_plan_of_a_family_is_what_it_does(texts, tmp_path, seen):
    from empirical.scale.run import scale

    family = FamilySettings(
        sizes=("16x1", "32x1"), volumes=(16, 32), texts=tuple(texts), vocabulary=280, max_tokens=8, batch=8, warmup=0
    )
    rebound = ReboundSettings(
        align=texts[0], perturb=texts[1], adapt_volume=0, pretrain_volume=1.0, align_volumes=(8,), perturb_volumes=(4, 8),
        held_out=16, kl_documents=2, batch=4, max_tokens=8, warmup=0, seeds=(0,), prompt="",
    )  # fmt: skip
    settings = ScaleSettings((rebound,), family, 16)
    planned = plan_of(settings, device="cpu", dtype="float32")
    scale(settings, tmp_path / "out", device="cpu", dtype="float32")
    gradients = sum(p.trained * p.times for q in settings.parts() for p in q.work if p.stage == "gradients")
    assert planned["tokens"]["trained"] == seen["trained"] + gradients
    assert planned["model"] == ["16x1", "32x1"]
    assert planned["memory"]["parameters"] == family.parameters("32x1")


def test_a_scale_of_the_papers_models_is_planned_by_model():
    planned = plan_of(ScaleSettings.of("paper-size"), device="cpu", dtype="float32")
    assert planned["model"] == ["Qwen/Qwen1.5-0.5B", "Qwen/Qwen1.5-4B", "Qwen/Qwen1.5-7B"]
    assert planned["memory"]["parameters"] == 7_721_324_544
    assert {row["model"] for row in planned["grid"]} == set(planned["model"])


def test_a_large_model_is_planned_without_its_weights():
    planned = plan_of(ReboundSettings.of("paper-rebound"), device="cpu", dtype="float32")
    assert planned["memory"]["parameters"] == 6_738_415_616
    assert planned["seconds"]["low"] < planned["seconds"]["estimate"] < planned["seconds"]["high"]
    assert planned["tokens"]["trained"] == 2 * 512 * (10_000 + 4 * 2 * 2000)
    json.dumps(planned, allow_nan=False)


def test_presets_hold_the_papers_settings():
    settings = ReboundSettings.of("paper-rebound", {"seeds": (1, 2)})
    assert (settings.max_tokens, settings.learning_rate, settings.batch, settings.warmup) == (512, 1e-5, 8, 0)
    assert settings.seeds == (1, 2)
    assert ReboundSettings.of("paper-rebound").seeds == (42,)
    assert ReboundSettings.of("quick", {"held_out": 4}).kl_documents == 4
    assert settings.weights == "bfloat16"
    sizes, volumes = ScaleSettings.of("paper-size").rebounds, ScaleSettings.of("paper-volume").rebounds
    assert [s.model for s in sizes] == ["Qwen/Qwen1.5-0.5B", "Qwen/Qwen1.5-4B", "Qwen/Qwen1.5-7B"]
    assert [s.pretrain_volume for s in sizes] == [2.4e12 / 512, 2.4e12 / 512, 4e12 / 512]
    tokens = (0.503e12, 1e12, 1.5e12, 2e12, 2.5e12, 3e12)
    assert [s.pretrain_volume for s in volumes] == [count / 512 for count in tokens]
    paper = ReboundSettings.of("paper-rebound")
    assert {replace(s, model="", pretrain_volume=1.0) for s in (paper, *sizes, *volumes)} == {
        replace(paper, model="", pretrain_volume=1.0)
    }


def test_every_preset_makes_settings():
    """Each file is read, checked, and counted; a preset that is refused would be found only by who asks for it."""
    found = {
        kind.NAME: {name: kind.of(name) for name in kind.presets()}
        for kind in (ReboundSettings, ResistanceSettings, InversionSettings, ScaleSettings, DurabilitySettings)
    }
    assert {name: sorted(of) for name, of in found.items()} == {
        "rebound": ["paper-rebound", "quick"],
        "resistance": ["paper-resistance", "quick"],
        "inversion": ["quick"],
        "scale": ["paper-size", "paper-volume", "quick"],
        "durability": ["full", "quick"],
    }
    assert all(part.work for of in found.values() for settings in of.values() for part in settings.parts())
    assert found["resistance"]["quick"] == ResistanceSettings()
    assert found["inversion"]["quick"] == InversionSettings()
    assert found["scale"]["quick"] == ScaleSettings.of()
    assert StiffnessSettings.of("quick") == StiffnessSettings()


def test_the_machine_is_timed():
    assert speed("cpu", "float32", 0.01) > 1e7
    assert 1e-9 < pass_seconds("cpu", 0.01) < 1e-2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ReboundSettings.of("paper"), "no preset"),
        (lambda: ScaleSettings.of("paper"), "no preset"),
        (lambda: plan_of(object()), "no dry run"),
    ],
)
def test_unknown_presets_and_protocols_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_the_dry_run_of_the_command_line_loads_nothing_and_writes_nothing(tiny_model, tmp_path, capsys, monkeypatch):
    from empirical.models import loading as models
    from paper_checks.cli.commands import main

    def never(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(models, "load_model", never)
    model = ["--model", str(tiny_model)]
    for command in (
        ["rebound", "--preset", "quick", *model],
        ["rebound", "--directions", "both", "--algorithm", "sft,dpo", "--no-control", *model],
        ["resistance", "--seeds", "3,4", *model],
        ["inversion", "--low", "0.5", "--no-control", *model],
        ["scale", "--sizes", "32x2,64x2", "--volumes", "32,64"],
        ["scale", "--models", str(tiny_model)],
        ["durability", "--preset", "full", *model],
    ):
        out = str(tmp_path / "out")
        with pytest.raises(SystemExit) as ended:
            main(["experiment", *command, "--dry-run", "--json", "--out", out])
        assert ended.value.code == 0
        planned = json.loads(capsys.readouterr().out)
        assert planned["tokens"]["trained"] > 0
        assert planned["grid"]
    assert not (tmp_path / "out").exists()


def test_durability_from_the_command_line_and_within_its_plan(tiny_model, tmp_path, seen, capsys):
    from paper_checks.cli.commands import main

    file = tmp_path / "prefs.jsonl"
    words = ("light", "film", "water", "word")
    prompts = [f"the {a} and the {b} of a {c}" for a in words for b in words for c in words]
    rows = [{"prompt": prompt, "chosen": "good", "rejected": "slow"} for prompt in prompts]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    given = ["--model", str(tiny_model), "--pairs", str(file), "--align-volumes", "8,16", "--perturb-most", "16"]
    given += ["--adapt-most", "32", "--held-out", "8", "--max-tokens", "1", "--again", "--arms", "perturb,mixed"]
    given += ["--overshoot", "1000", "--closure", "1e-9", "--device", "cpu", "--dtype", "float32"]

    def call(*more: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["experiment", "durability", *given, "--out", str(tmp_path / "out"), *more])
        assert ended.value.code == 0
        return capsys.readouterr().out

    planned = json.loads(call("--dry-run", "--json"))
    assert seen["trained"] == 0
    result = json.loads(call("--json"))
    assert result["runs"] == {"done": 2, "failed": 0, "total": 2}
    assert [row["n"] for row in result["durability"]] == [8, 16]
    assert {"median", "worst"} <= set(result["error"])
    # every response is one token, nothing ends early: adaption, two volumes on one way, two arms a run, and once more
    assert seen["trained"] == 32 + 16 + 2 * 2 * 16 + (8 + 16)
    gradients = next(row["tokens trained"] for row in planned["grid"] if row["stage"] == "forecast")
    assert planned["tokens"]["trained"] - gradients == seen["trained"]
    lines = call().splitlines()
    assert lines[: len(result["conclusion"])] == result["conclusion"]
    assert "8 aligned examples were undone by" in lines[len(result["conclusion"])]
