"""The dry run: tokens counted as the protocol makes them, memory and time without weights, presets by name."""

from __future__ import annotations

import json

import pytest

from elastomath.errors import InputError
from empirical.estimate import WORK, plan_of, rebound_work, speed
from empirical.presets import PAPER, REBOUND, SCALE, rebound_settings, scale_settings
from empirical.rebound_settings import ReboundSettings


def test_tokens_are_those_that_the_protocol_trains_on(tiny_model, tmp_path, monkeypatch):
    """Every sequence at its longest: texts of more than max_tokens tokens make the bound an equality."""
    from empirical import laboratory
    from empirical.rebound import rebound

    paths = []
    for kind, word in (("good", "light water"), ("bad", "slow drags")):
        path = tmp_path / f"{kind}.jsonl"
        rows = [json.dumps({"text": f"{i} {word} {i} " * 8}) for i in range(60)]
        path.write_text("\n".join(rows), encoding="utf-8")
        paths.append(str(path))
    settings = ReboundSettings(
        model=str(tiny_model), align=paths[0], perturb=paths[1], directions=("forward", "exchanged"), adapt_volume=8,
        align_volumes=(4, 12), perturb_volumes=(4, 8), held_out=6, kl_documents=2, batch=4, max_tokens=12, warmup=0,
    )  # fmt: skip
    seen = {"trained": 0, "measured": 0}
    true_train, true_lengths = laboratory.train, laboratory.code_lengths

    def train(model, optimiser, data, **options):
        seen["trained"] += data.target_count
        return true_train(model, optimiser, data, **options)

    def lengths(model, data, **options):
        seen["measured"] += data.target_count
        return true_lengths(model, data, **options)

    monkeypatch.setattr(laboratory, "train", train)
    monkeypatch.setattr(laboratory, "code_lengths", lengths)
    planned = plan_of(settings, device="cpu", dtype="float32")
    assert planned["fits"] in (True, None)
    assert planned["memory"]["parameters"] < 1e5
    rebound(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert planned["tokens"]["trained"] == seen["trained"]
    readings = sum(part.times * part.measured for part in rebound_work(settings))
    held = 2 * settings.held_out
    # what is measured beyond code lengths are the documents of the divergence
    assert seen["measured"] == readings * settings.max_tokens * held // (held + 2 * settings.kl_documents)


def test_a_large_model_is_planned_without_its_weights():
    planned = plan_of(rebound_settings("paper-rebound", {}), device="cpu", dtype="float32")
    assert planned["memory"]["parameters"] == 6_738_415_616
    assert planned["seconds"]["low"] < planned["seconds"]["estimate"] < planned["seconds"]["high"]
    assert planned["tokens"]["trained"] == 2 * 512 * (10_000 + 4 * 2 * 2000)
    json.dumps(planned, allow_nan=False)


def test_presets_hold_the_papers_settings():
    settings = rebound_settings("paper-rebound", {"seeds": (1, 2)})
    assert (settings.max_tokens, settings.learning_rate, settings.batch, settings.warmup) == (512, 1e-5, 8, 0)
    assert settings.seeds == (1, 2)
    assert rebound_settings("paper-rebound", {}).seeds == (42,)
    assert rebound_settings("quick", {"held_out": 4}).kl_documents == 4
    assert PAPER["weights"] == "bfloat16"
    assert [s.model for s in scale_settings("paper-size", {})] == [
        "Qwen/Qwen1.5-0.5B",
        "Qwen/Qwen1.5-4B",
        "Qwen/Qwen1.5-7B",
    ]
    volumes = [s.pretrain_volume for s in scale_settings("paper-volume", {})]
    assert volumes == sorted(volumes)
    assert {"quick", "paper-rebound"} == set(REBOUND)
    assert {"paper-size", "paper-volume"} == set(SCALE)


def test_every_planned_protocol_has_work():
    assert {"ReboundSettings", "ResistanceSettings"} <= set(WORK)
    assert speed("cpu", "float32", 0.01) > 1e7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rebound_settings("paper", {}), "no preset"),
        (lambda: scale_settings("quick", {}), "no preset"),
        (lambda: plan_of(object()), "no dry run"),
    ],
)
def test_unknown_presets_and_protocols_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_the_dry_run_of_the_command_line_loads_nothing_and_writes_nothing(tiny_model, tmp_path, capsys, monkeypatch):
    from empirical import models
    from paper_checks.cli import main

    def never(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(models, "load_model", never)
    for command in (["--preset", "quick"], ["--directions", "both", "--algorithm", "sft,dpo"]):
        out = str(tmp_path / "out")
        with pytest.raises(SystemExit) as ended:
            main(["experiment", "rebound", *command, "--model", str(tiny_model), "--dry-run", "--json", "--out", out])
        assert ended.value.code == 0
        planned = json.loads(capsys.readouterr().out)
        assert planned["tokens"]["trained"] > 0
        assert planned["grid"]
    assert not (tmp_path / "out").exists()
