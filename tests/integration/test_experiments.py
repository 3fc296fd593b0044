"""Both protocols on a tiny model: valid curves, resuming to the same readings, and what the laws force."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from elastomath import Curve
from elastomath.errors import InputError
from empirical.laboratory import laboratory as laboratory_module
from empirical.measures.contrast import contrast_combination
from empirical.rebound.run import rebound
from empirical.rebound.settings import ReboundSettings
from empirical.stiffness.run import stiffness
from empirical.stiffness.settings import StiffnessSettings

from .protocol_subprocess import counted_trainings, killed_at_training, write_reviews

WORDS = {
    "good": ["light", "water", "good", "film", "word", "fine"],
    "bad": ["slow", "drags", "half", "not", "never", "dull"],
}
WORDS["both"] = WORDS["good"] + WORDS["bad"]


@pytest.fixture(scope="module")
def settings(tiny_model, tmp_path_factory) -> ReboundSettings:
    folder = tmp_path_factory.mktemp("reviews")
    return ReboundSettings(
        model=str(tiny_model),
        align=write_reviews(folder, "good", WORDS["good"], 60),
        perturb=write_reviews(folder, "bad", WORDS["bad"], 60),
        adapt_volume=8,
        align_volumes=(4, 12),
        perturb_volumes=(4, 8),
        held_out=10,
        kl_documents=3,
        batch=4,
        learning_rate=3e-3,
        max_tokens=16,
        seeds=(0,),
    )


def run(settings, out):
    return rebound(settings, out, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """The folder of a run that nothing disturbed, and its result."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return out, run(settings, out)


def test_rebound_writes_a_valid_curve_and_moves_the_contrast(whole):
    out, result = whole
    assert result["runs"] == {"done": 2, "failed": 0, "total": 2}
    curve = Curve.read(result["curve"])
    assert curve.runs == ("align-4-seed-0", "align-12-seed-0")
    parts = curve.run("align-12-seed-0")
    assert parts.components == ("pretrain", "align", "perturb")
    np.testing.assert_array_equal(parts.volumes, [8, 12, 8])
    np.testing.assert_array_equal(parts.perturbations, [0, 4, 8])
    assert np.isfinite(parts.rate_se).all()
    rows = result["readings"][1]["rows"]
    assert [row["phase"] for row in rows] == ["base", "adapted", "aligned", "perturb", "perturb", "control", "control"]
    by_phase = {row["phase"]: row for row in rows}
    assert by_phase["aligned"]["contrast_change"] > 2 * by_phase["aligned"]["contrast_change_se"]
    assert rows[4]["contrast_change"] < -2 * rows[4]["contrast_change_se"]
    assert rows[0]["kl_forward"] == 0 < by_phase["adapted"]["kl_forward"]
    beyond = result["readings"][1]["beyond_control"]
    assert beyond["estimate"] == pytest.approx(rows[4]["contrast"] - rows[6]["contrast"], abs=1e-12)
    assert beyond["se"] > 0
    assert not list((out / "stages").glob("*.safetensors"))


def test_a_killed_rebound_continues_to_the_same_readings(whole, settings, tmp_path, monkeypatch):
    calls = {"count": 0}
    true_train = laboratory_module.train

    def dying(*args, **kwargs):
        calls["count"] += 1
        if calls["count"] == 7:  # adapt, align, two perturbations, two of the control; then in the second alignment
            raise KeyboardInterrupt
        return true_train(*args, **kwargs)

    monkeypatch.setattr(laboratory_module, "train", dying)
    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path / "killed")
    assert calls["count"] == 7
    resumed = run(settings, tmp_path / "killed")
    assert calls["count"] == 7 + 5  # the second alignment and its branches; what was done is not done again
    for one, other in zip(whole[1]["readings"], resumed["readings"], strict=True):
        assert one == other
    before = calls["count"]
    run(settings, tmp_path / "killed")
    assert calls["count"] == before  # a third time trains nothing


def test_rebound_from_a_model_that_came_aligned_perturbs_it_as_the_run_that_aligned_it(settings, tmp_path):
    """Weights that a run kept, given as base and aligned model: the perturbation's readings again, and nothing trained before."""
    from dataclasses import replace

    made = run(replace(settings, align_volumes=(12,), keep_weights=True, control=False), tmp_path / "made")
    (kept,) = (tmp_path / "made" / "weights").iterdir()
    assert sorted(place.name for place in kept.iterdir()) == ["aligned", "base", "perturb"]
    asked = replace(
        settings, model=str(kept / "base"), aligned=str(kept / "aligned"), align_volumes=(12,), control=False,
        pretrain_volume=8.0, keep_weights=True,
    )  # fmt: skip
    given = run(asked, tmp_path / "given")
    curve = Curve.read(given["curve"]).run("given-align-12-seed-0")
    np.testing.assert_array_equal(curve.volumes, [8, 12, 8])
    (again,) = (tmp_path / "given" / "weights").iterdir()

    def weights(place, name):
        return load_file(str(place / name / "model.safetensors"))

    kept_aligned, aligned, perturbed = weights(kept, "aligned"), weights(again, "aligned"), weights(again, "perturb")
    assert all((kept_aligned[key] == aligned[key]).all() for key in aligned)
    assert any((perturbed[key] != aligned[key]).any() for key in aligned)
    (row,) = given["readings"]
    assert [r["phase"] for r in row["rows"]] == ["base", "adapted", "aligned", "perturb", "perturb"]
    assert row["rows"][2]["contrast_change"] > 0 > row["rows"][4]["contrast_change"]
    assert [work.stage for work in asked.work()] == ["base", "adapted", "aligned (given)", "perturbed to 8"]
    assert made["readings"][0]["rows"][2]["contrast"] == pytest.approx(row["rows"][2]["contrast"], abs=1e-12)
    with pytest.raises(InputError, match="two directions"):
        replace(asked, directions=("forward", "exchanged"))
    with pytest.raises(InputError, match="give --pretrain-volume"):
        replace(asked, pretrain_volume=None)
    with pytest.raises(InputError, match="what to align it by"):
        replace(asked, align_volumes=(4, 12))


def test_data_or_settings_that_changed_are_not_taken_from_the_ledger(settings, tmp_path):
    from dataclasses import replace

    settings = replace(settings, align=write_reviews(tmp_path, "good", WORDS["good"], 60))
    small = replace(settings, align_volumes=(4,))
    first = run(small, tmp_path / "out")["readings"][0]["rows"]
    write_reviews(tmp_path, "good", WORDS["good"], 60, 7)
    second = run(small, tmp_path / "out")["readings"][0]["rows"]
    assert first[0]["rates"]["align"] != second[0]["rates"]["align"]  # the same path, other texts
    longer = run(settings, tmp_path / "out")["readings"][0]["rows"]
    assert longer == second  # a larger alignment volume leaves the smaller one's run as it was


def test_paired_errors_are_those_of_the_differences():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 30, 400).astype(float)
    start = {
        f"{name}_{kind}": v for kind in ("align", "perturb") for name, v in (("nats", 3 * tokens), ("tokens", tokens))
    }
    draws = []
    for _ in range(300):
        noise = {kind: rng.standard_normal(400) for kind in ("align", "perturb")}
        moved = start | {f"nats_{kind}": start[f"nats_{kind}"] + noise[kind] for kind in noise}
        draws.append(contrast_combination([(1.0, moved), (-1.0, start)]))
    values, errors = np.array(draws).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"align_volumes": (12, 4)}, "do not rise"),
        ({"perturb_volumes": ()}, "perturb_volumes"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"held_out": 1}, "held_out"),
        ({"adapt_volume": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(settings, change, message):
    from dataclasses import replace

    with pytest.raises(InputError, match=message):
        replace(settings, **change)


def test_too_few_documents_are_refused_before_training(settings, tmp_path):
    from dataclasses import replace

    with pytest.raises(InputError):
        run(replace(settings, held_out=100, kl_documents=3), tmp_path / "out")


def test_stiffness_shows_the_law_on_a_tiny_model(tiny_model, tmp_path):
    settings = StiffnessSettings(
        model=str(tiny_model),
        texts=(
            write_reviews(tmp_path, "both", WORDS["both"], 200),
            write_reviews(tmp_path, "good", WORDS["good"], 200),
            write_reviews(tmp_path, "bad", WORDS["bad"], 200),
        ),
        k=(10.0, 40.0),
        positions=3 * 480,
        window=48,
        features=6,
    )
    result = stiffness(settings, tmp_path / "out", device="cpu")
    assert result["runs"] == {"done": 5, "failed": 0, "total": 5}
    for row in result["probe"]:
        assert row["gradient_norm"] < 1e-11
        assert row["one_plus_cosine"] < 1e-12
        assert row["stiffness_ratio"] == pytest.approx(row["k"], rel=1e-6)
        assert row["r5_holds"]
    for row in (row for row in result["probe"] if row["case"] == "union"):
        assert 0.48 < row["r5_ratio"][0] < 0.52
        assert abs(row["kappa_error"]) < 5e-3
    halves = next(row for row in result["probe"] if row["case"] == "halves")
    assert all(halves["align_rises"])
    assert all(halves["pretrain_falls"])
    for control in result["controls"]:
        assert control["right_endpoint_error"] is None or abs(control["right_endpoint_error"]) > 5e-3
    assert len(Curve.read(result["curve"]).runs) == 5
    again = stiffness(settings, tmp_path / "out", device="cpu")
    assert again["probe"] == result["probe"]  # from the ledger, timings included: nothing was run again


@pytest.mark.parametrize("algorithm", ["dpo", "kto", "simpo", "ppo"])
def test_every_algorithm_aligns_and_both_directions_share_the_adapted_state(settings, tmp_path, algorithm):
    from dataclasses import replace

    small = replace(
        settings,
        algorithms=("sft", algorithm) if algorithm == "dpo" else (algorithm,),
        directions=("forward", "exchanged") if algorithm == "dpo" else ("forward",),
        align_volumes=(4,),
        perturb_volumes=(4,),
    )
    result = run(small, tmp_path / "out")
    assert result["runs"]["failed"] == 0
    assert Curve.read(result["curve"]).runs[-1].startswith("dpo-exchanged" if algorithm == "dpo" else algorithm)
    for reading in result["readings"]:
        rows = {row["phase"]: row for row in reading["rows"]}
        assert rows["aligned"]["kl_forward"] != rows["adapted"]["kl_forward"]  # it trained
    if algorithm == "dpo":
        adapted = [r["rows"][1] for r in result["readings"]]
        assert {(r["direction"], r["algorithm"]) for r in result["readings"]} == {
            (d, a) for d in ("forward", "exchanged") for a in ("sft", "dpo")
        }
        assert adapted[0]["kl_forward"] == adapted[2]["kl_forward"]
        assert adapted[0]["contrast"] == pytest.approx(-adapted[2]["contrast"], abs=1e-12)
        assert [group["direction"] for group in result["falls"]] == ["forward", "exchanged", "both"] * 2


def test_a_run_that_fails_is_recorded_and_does_not_stop_the_others(settings, tmp_path, monkeypatch):
    true_train = laboratory_module.train

    def failing(model, optimiser, data, **options):
        if len(data) == 8 and options["steps_done"] == 1:  # the second part of the alignment
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return true_train(model, optimiser, data, **options)

    with monkeypatch.context() as broken:
        broken.setattr(laboratory_module, "train", failing)
        result = run(settings, tmp_path / "out")
    assert result["runs"] == {"done": 1, "failed": 1, "total": 2}
    assert len(result["failures"]) == 1
    assert "out of memory" in result["failures"][0]
    assert Curve.read(result["curve"]).runs == ("align-4-seed-0",)
    assert json.loads((tmp_path / "out" / "rebound.json").read_text())["failures"] == result["failures"]
    mended = run(settings, tmp_path / "out")
    assert mended["runs"] == {"done": 2, "failed": 0, "total": 2}
    assert mended["failures"] == []


def test_a_loss_that_is_not_finite_fails_its_run_alone(settings, tmp_path):
    from dataclasses import replace

    with pytest.raises(InputError, match="not finite"):  # every run fails: there is no curve to write
        run(replace(settings, align_volumes=(4,), learning_rate=1e30), tmp_path / "ill")


def test_behaviour_is_scored_and_turned_with_the_roles(settings, tmp_path):
    from dataclasses import replace

    small = replace(
        settings,
        behaviour="tfidf",
        continuations=6,
        directions=("forward", "exchanged"),
        align_volumes=(4,),
        perturb_volumes=(4,),
        control=False,
    )
    rows = [reading["rows"] for reading in run(small, tmp_path / "out")["readings"]]
    assert rows[0][0]["classifier"]["accuracy"]["estimate"] > 0.9  # the kinds share no word
    for row, other in zip(rows[0][:2], rows[1][:2], strict=True):  # base and adapted are the same models
        assert row["behaviour"] == pytest.approx(1 - other["behaviour"], abs=1e-12)
        assert row["behaviour_se"] >= 0


def test_sigkill_then_the_same_command_gives_the_same_curve(whole, settings, tmp_path, monkeypatch):
    killed_at_training(9, lambda: run(settings, tmp_path / "killed"), tmp_path / "said.txt")
    # adapt, then for each of two runs align, two perturbations and two of the control: 11 trainings, the 9th killed
    with monkeypatch.context() as counting:
        trained = counted_trainings(counting)
        run(settings, tmp_path / "killed")
    assert len(trained) == 4  # the branch that the kill cut short, and the control behind it
    out, alone = whole
    assert (tmp_path / "killed" / "rebound.csv").read_text() == (out / "rebound.csv").read_text()
    assert json.loads((tmp_path / "killed" / "rebound.json").read_text())["readings"] == alone["readings"]


def test_the_same_runs_in_other_processes_give_the_same_readings(whole, settings, tmp_path):
    _, here = whole
    there = rebound(settings, tmp_path / "there", device="cpu", dtype="float32", executor="local", workers=1)
    for one, other in zip(here["readings"], there["readings"], strict=True):
        for a, b in zip(one["rows"], other["rows"], strict=True):
            assert a["contrast"] == pytest.approx(b["contrast"], abs=1e-5)  # threads differ, so do the last bits
