"""The resistance protocol on a tiny model: what it measures against the model's own laws, resuming, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath import Curve
from elastomath.errors import InputError
from elastomath.runs.ledger import Ledger
from elastomath.units import NATS_PER_BIT
from empirical.resistance.figures import resistance_figure
from empirical.resistance.run import resistance
from empirical.resistance.settings import ResistanceSettings
from empirical.training import finetune

from .protocol_subprocess import kill_in_the_middle, records, write_reviews

WORDS = ["light", "water", "good", "film", "word", "fine", "slow", "drags", "half", "not"]


@pytest.fixture(scope="module")
def settings(tiny_model, tmp_path_factory) -> ResistanceSettings:
    folder = tmp_path_factory.mktemp("reviews")
    return ResistanceSettings(
        model=str(tiny_model),
        align=write_reviews(folder, "good", WORDS),
        align_volume=48,
        volumes=(8, 16),
        held_samples=24,
        sample_tokens=8,
        prompt_words=2,
        held_out=6,
        max_tokens=12,
        learning_rate=3e-3,
        batch=4,
        warmup=0,
        seeds=(0,),
    )


def run(settings, out, **more):
    return resistance(settings, out, **({"device": "cpu", "dtype": "float32"} | more))


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("resistance")
    return out, run(settings, out)


def results(out):
    with Ledger(out / "resistance.sqlite") as ledger:
        rows = ledger._connection.execute("SELECT result FROM runs ORDER BY key").fetchall()
    return [json.loads(row[0]) for row in rows]


def test_every_pair_gives_both_directions_and_a_valid_curve(settings, finished):
    out, result = finished
    assert result["runs"] == {"done": 3, "failed": 0, "total": 3}
    assert [(row["near"], row["far"]) for row in result["pairs"]] == [(1, 2), (1, 3), (2, 3)]
    curve = Curve.read(result["curve"])
    assert curve.runs[:2] == ("theta2-to-D1-seed-0", "theta1-to-D2-seed-0")
    assert len(curve.runs) == 6
    one = curve.run("theta3-to-D1-seed-0")
    assert one.components == ("pretrain", "align", "perturb")
    np.testing.assert_array_equal(one.volumes, [16, 48, 16])
    np.testing.assert_array_equal(one.perturbations, [0, 8, 16])
    assert one.rates[2, -1] != one.rates[2, 0]
    assert json.loads((out / "resistance.json").read_text()) == json.loads(json.dumps(result))
    assert not list((out / "stages").glob("*.safetensors"))
    assert len(resistance_figure(result).axes) == 2
    for row in result["pairs"]:
        gap = row["gap_level"]["estimate"] + row["gap_excess_after"]["estimate"]
        assert row["gap_held_out_loss"]["estimate"] == pytest.approx(gap, abs=1e-12)


def test_the_entropy_of_a_target_is_the_law_that_drew_it(finished):
    """At temperature 1 theta_k's code length on D_k is -ln p of the draw, token for token, and the least on average."""
    out, result = finished
    samples = [json.loads(path.read_text()) for path in (out / "stages").glob("[!.]*.json")]
    drawn = [np.sum(stage["nats"][16:]) for stage in samples if "ended" in stage]
    assert len(drawn) == 4
    for one in results(out):
        for near in ("near", "far"):
            number = one["configuration"][near]
            nats = np.sum(one["slices"][str(number)][f"nats_D{number}"])
            assert min(abs(nats / value - 1) for value in drawn) < 1e-5
    for row in result["pairs"]:
        for direction in ("inverse", "forward"):
            excess = row[f"excess_before_{direction}"]
            assert excess["estimate"] > -3 * excess["se"]  # a divergence
    far = next(row for row in result["pairs"] if (row["near"], row["far"]) == (1, 3))
    assert far["excess_before_inverse"]["estimate"] > 2 * far["excess_before_inverse"]["se"]


def test_samples_of_all_slices_answer_the_same_prompts_split_without_overlap(finished):
    out, _ = finished
    stages = [json.loads(path.read_text()) for path in (out / "stages").glob("[!.]*.json")]
    heads = []
    for stage in stages:
        if "ended" in stage:
            heads.append([tuple(row[:first]) for row, first in zip(stage["tokens"], stage["first"], strict=True)])
    assert all(prompts == heads[0] for prompts in heads)
    assert not set(heads[0][:16]) & set(heads[0][16:])
    assert len({str(stage["tokens"]) for stage in stages if "ended" in stage}) == 4  # of four different models


def test_the_training_loss_is_what_the_settings_say(settings, finished):
    for one in results(finished[0]):
        for found in one["runs"].values():
            losses, tokens = np.array(found["losses"]), np.array(found["tokens"])
            assert len(losses) == 4
            assert found["final_loss"] == pytest.approx(losses[-1] / NATS_PER_BIT)  # a quarter of four steps
            assert found["training_loss"] == pytest.approx(losses @ tokens / tokens.sum() / NATS_PER_BIT)
            assert found["readings"][0] == {
                key: one["slices"][str(found["start"])][key] for key in found["readings"][0]
            }


def test_killed_and_started_again_it_ends_alike_and_repeats_nothing(settings, finished, tmp_path):
    out = tmp_path / "killed"
    kill_in_the_middle("resistance", settings, out, stages=6)
    before = records(out)
    again = run(settings, out)
    after = records(out)
    assert {name: after[name] for name in before} == before  # no finished stage was made again
    assert results(out) == results(finished[0])
    assert again["pooled"] == finished[1]["pooled"]
    stamps = records(out)
    run(settings, out)
    assert records(out) == stamps


def test_a_diverging_run_is_told_and_does_not_stop_the_others(settings, finished, tmp_path, monkeypatch):
    true, calls = finetune.train, {"count": 0}

    def breaking(*args, **kwargs):
        calls["count"] += 1
        if calls["count"] == 5:  # three slices, then the second volume of the first inverse run
            raise RuntimeError("the training loss is not finite")
        return true(*args, **kwargs)

    monkeypatch.setattr("empirical.laboratory.laboratory.train", breaking)
    result = run(settings, tmp_path)
    assert result["runs"] == {"done": 2, "failed": 1, "total": 3}
    assert "not finite" in result["failures"][0]
    assert [(row["near"], row["far"]) for row in result["pairs"]] == [(1, 3), (2, 3)]
    monkeypatch.undo()
    assert run(settings, tmp_path)["pooled"] == finished[1]["pooled"]


def test_data_with_prompts_of_its_own(settings, tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"prompt": f"say {i}", "response": " ".join(rng.choice(WORDS, 4)), "is_safe": bool(i % 2)} for i in range(160)
    ]
    path = tmp_path / "safe.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    small = replace(
        settings, align=f"{path}#safe", slices=(0.5, 1.0), align_volume=16, volumes=(4,), held_samples=4, max_tokens=8
    )
    result = run(replace(small, sample_tokens=4), tmp_path / "out")
    assert result["runs"]["done"] == 1
    assert "same_target" not in result["pooled"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slices": (1.0,)}, "slices"),
        ({"slices": (0.5, 0.9)}, "the last of them 1"),
        ({"slices": (0.01, 1.0)}, "a batch more"),
        ({"volumes": (6, 16)}, "multiples of the batch"),
        ({"volumes": ()}, "volumes"),
        ({"held_samples": 1}, ">= 2"),
        ({"temperature": 0.0}, "temperature"),
        ({"tail": 1.5}, "<= 1"),
        ({"seeds": ()}, "seeds"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(settings, change, message):
    with pytest.raises(InputError, match=message):
        replace(settings, **change)


def test_too_few_documents_are_refused(settings, tmp_path):
    with pytest.raises(InputError, match="asked for"):
        run(replace(settings, held_samples=1000), tmp_path)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_protocol_runs_on_cuda(settings, finished, tmp_path):
    result = run(settings, tmp_path, device="cuda")
    assert result["runs"]["done"] == 3
    own = finished[1]["pairs"][0]["entropy_near"]["estimate"]
    assert result["pairs"][0]["entropy_near"]["estimate"] == pytest.approx(own, rel=0.2)
