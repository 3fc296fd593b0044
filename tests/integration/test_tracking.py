"""A training that a Trainer made (base -> aligned -> six checkpoints): the callback, the tracker and `track` read the same curve."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest

from elastomath import Curve
from elastomath.errors import InputError
from elastomath.fit.fit import fit, fit_run
from empirical.behaviours import Pairs
from empirical.data.examples import Preference

STEPS = (2, 4, 6, 8, 10, 12)
BATCH, LIMIT = 4, 24
WORDS = ("light", "water", "word", "film", "good", "slow", "second", "half", "acting", "one", "many", "alphabets")
PAIRS = Pairs(
    "prefs.jsonl",
    tuple(Preference(f"The {a} falls on the {b}:", " a good film", " it drags and drags") for a in WORDS for b in WORDS[:2]),
)  # fmt: skip
PRETRAIN = [f"A slow {word}, and nobody says a {other}." for word in WORDS for other in WORDS[:2]]


def texts(tokenizer, side, count):
    """Prompts with one kind of response as a Trainer's dataset: labels on the response alone."""
    rows = []
    for pair in (PAIRS.pairs * 10)[:count]:
        prompt = [tokenizer.bos_token_id, *tokenizer(pair.prompt, add_special_tokens=False)["input_ids"]]
        body = tokenizer(getattr(pair, side), add_special_tokens=False)["input_ids"]
        rows.append({"input_ids": [*prompt, *body], "labels": [-100] * len(prompt) + list(body)})
    return rows


def collate(rows):
    import torch

    width = max(len(row["input_ids"]) for row in rows)

    def padded(name, filler):
        return torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in rows])

    return {
        "input_ids": padded("input_ids", 0),
        "labels": padded("labels", -100),
        "attention_mask": torch.tensor(
            [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
        ),
    }


def trained(model, tokenizer, data, out, *callbacks, evaluated=None, **options):
    """A Trainer's run over the data; the losses that it logged, and the trainer."""
    import transformers

    given = {"learning_rate": 3e-2, "save_strategy": "steps", "save_steps": 2} | options
    arguments = transformers.TrainingArguments(
        output_dir=str(out),
        max_steps=len(data) // BATCH,
        per_device_train_batch_size=BATCH,
        lr_scheduler_type="constant",
        optim="sgd",
        logging_steps=1,
        save_only_model=True,
        include_num_input_tokens_seen="all",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=3,
        **given,
    )
    trainer = transformers.Trainer(
        model,
        arguments,
        train_dataset=data,
        eval_dataset=evaluated,
        data_collator=collate,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row], trainer


def opened(folder):
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")


def same_numbers(one, other):
    """Two constants with their ends, as JSON."""
    return all(
        other[end] == (pytest.approx(one[end], rel=1e-3) if one[end] is not None else None)
        for end in ("estimate", "low", "high")
    )


@pytest.fixture(scope="module")
def lives(tiny_model, tmp_path_factory):
    """A folder with prefs.jsonl, pretrain.jsonl, base, aligned and perturbed/checkpoint-2 ... 12, and the callback of its training."""
    import transformers

    from empirical.tracking import ElasticityCallback

    folder = tmp_path_factory.mktemp("lives")
    rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in PAIRS.pairs]
    (folder / "prefs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "pretrain.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in PRETRAIN))
    shutil.copytree(tiny_model, folder / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    model = opened(tiny_model)
    _, trainer = trained(model, tokenizer, texts(tokenizer, "chosen", 48), folder / "alignment", save_strategy="no")
    trainer.save_model(folder / "aligned")
    callback = ElasticityCallback(
        str(folder / "prefs.jsonl"), pretrain=str(folder / "pretrain.jsonl"), steps=STEPS, out=folder / "callback"
    )
    callback.tracker.tokenizer = tokenizer
    callback.tracker.read_base(opened(tiny_model))
    losses, _ = trained(model, tokenizer, texts(tokenizer, "rejected", 48), folder / "perturbed", callback)
    return folder, callback, losses


@pytest.fixture(scope="module")
def tracked(lives):
    from empirical.tracking import TrackSettings
    from empirical.tracking.run import track

    folder = lives[0]
    names = (str(folder / "base"), str(folder / "aligned"), str(folder / "perturbed" / "checkpoint-*"))
    settings = TrackSettings(
        models=names, pairs=str(folder / "prefs.jsonl"), pretrain=str(folder / "pretrain.jsonl"), volumes=("align=48",)
    )
    return settings, track(settings, folder / "track", device="cpu")


def test_track_and_the_callback_read_the_same_curve(lives, tracked):
    folder, callback, _ = lives
    ours, theirs = (Curve.read(folder / name / "track.csv").run("prefs") for name in ("track", "callback"))
    assert ours.perturbations.tolist() == theirs.perturbations.tolist() == [0, *(BATCH * step for step in STEPS)]
    assert np.abs(ours.rates - theirs.rates).max() < 1e-6
    assert np.abs(ours.rate_se - theirs.rate_se).max() < 1e-6
    fits = [fit(Curve.read(folder / name / "track.csv"))["runs"][0] for name in ("track", "callback")]
    assert all(
        same_numbers(*(one[name] for one in fits)) for name in ("K_pretrain", "K_align", "kappa", "elastic_limit")
    )
    assert same_numbers(callback.result["undo_volume"], tracked[1]["undo_volume"])
    assert same_numbers(
        tracked[1]["undo_volume"], json.loads((folder / "callback" / "track.json").read_text())["undo_volume"]
    )


def test_the_answer_comes_first_and_is_what_the_readings_say(tracked):
    _, result = tracked
    undo, rows = result["undo_volume"], result["rows"]
    assert result["conclusion"][0] == (
        f"The perturbation undid the alignment after {undo['estimate']:.1f} [{undo['low']:.1f}, {undo['high']:.1f}] examples "
        "(95% interval over 24 paired prompts)."
    )
    base = result["contrast"]["base"]["estimate"]
    after = next(row for row in rows if row["contrast"]["estimate"] <= base)
    before = rows[rows.index(after) - 1]
    assert before["perturbation"] < undo["estimate"] <= after["perturbation"]
    assert all(row["contrast"]["estimate"] == pytest.approx(row["perturb"] - row["align"]) for row in rows)
    assert result["axis"].startswith("optimiser steps times 4 examples, the train_batch_size")
    assert any("volume of pretrain is not known" in line for line in result["not_shown"])
    curve = Curve.read(result["curve"])
    assert set(curve.frame["volume"][curve.frame["component"] == "align"]) == {48.0}
    assert set(curve.frame["base_contrast"]) == {base}
    assert (curve.frame["contrast_se"] > 0).all()


def test_losses_with_the_callback_are_those_without_it_bit_for_bit(lives, tmp_path):
    """Dropout draws from the generators, and a part in eval mode stays there: neither is moved by a reading."""
    import transformers

    from empirical.tracking import ElasticityCallback

    folder, _, _ = lives
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
    told = []
    for callbacks in ([], [ElasticityCallback(str(folder / "prefs.jsonl"), out=tmp_path / "track")]):
        model = opened(folder / "base")
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.2
        model.model.layers[0].mlp.eval()
        losses, _ = trained(
            model, tokenizer, texts(tokenizer, "rejected", 32), tmp_path / "run", *callbacks, save_strategy="no"
        )
        told.append(losses)
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        told.append(weights)
    assert told[0] == told[2]
    assert all((told[1][name] == told[3][name]).all() for name in told[1])
    assert callbacks[0].tracker.steps == (0, 1, 2, 3, 4, 5, 6, 7, 8)


def test_a_reading_leaves_modes_gradients_and_generators_as_they_were(lives):
    import torch
    import transformers

    from empirical.tracking import Tracker

    folder, _, _ = lives
    model = opened(folder / "base")
    model.train()
    model.model.layers[0].mlp.eval()
    model(input_ids=torch.arange(6)[None], labels=torch.arange(6)[None]).loss.backward()
    before = (
        [part.training for part in model.modules()],
        [None if value.grad is None else value.grad.clone() for value in model.parameters()],
        torch.get_rng_state(),
        np.random.get_state()[1:3],  # noqa: NPY002
        random.getstate(),
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
    tracker = Tracker(PAIRS, tokenizer, batch=4)

    def draw(*_):
        torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002

    hook = model.register_forward_pre_hook(draw)  # a model that draws, whatever its mode
    tracker.read(model, 0)
    hook.remove()
    assert [part.training for part in model.modules()] == before[0]
    assert all((value.grad == grad).all() for value, grad in zip(model.parameters(), before[1], strict=True))
    assert (torch.get_rng_state() == before[2]).all()
    assert all(np.array_equal(now, old) for now, old in zip(np.random.get_state()[1:3], before[3], strict=True))  # noqa: NPY002
    assert random.getstate() == before[4]
    with pytest.raises(InputError, match=r"step 0 after 0 \(tracker\): read step 0 first"):
        tracker.read(model, 0)
    tracker.read(model, 3)
    assert tracker.curve.run("prefs").perturbations.tolist() == [0, 12]


def test_a_resumed_training_goes_on_from_its_readings(lives):
    from empirical.tracking import Tracker

    folder, callback, _ = lives
    again = Tracker(
        str(folder / "prefs.jsonl"), pretrain=str(folder / "pretrain.jsonl"), out=folder / "callback", batch=BATCH
    )
    again.resume(8)
    assert again.steps == (0, 2, 4, 6, 8)
    assert again.base == callback.tracker.base
    other = Tracker(PAIRS, out=folder / "callback", limit=5)
    other.resume(8)
    assert other.steps == ()
    again.resume(0)
    assert again.steps == ()
    with pytest.raises(InputError, match="no tokenizer"):
        again.read(opened(folder / "base"), 0)


def test_a_stopped_track_reads_what_is_missing_alone(lives, tracked, monkeypatch):
    from empirical.tracking import run

    read = []
    kept = run.read_one
    monkeypatch.setattr(run, "load_model", lambda *a, **k: read.append(a) or pytest.fail("a model was loaded again"))
    again = run.track(tracked[0], lives[0] / "track", device="cpu")
    assert again == tracked[1]
    assert read == []
    assert kept is run.read_one


def test_durability_the_callback_and_track_give_one_curve(tiny_model, tmp_path):
    """A run of `experiment durability`, and a Trainer of transformers on the same sequences from the same aligned weights."""
    import transformers

    from empirical.durability import DurabilitySettings
    from empirical.durability.answers import durability_row
    from empirical.durability.run import Bench, run_curve, run_durability
    from empirical.laboratory.laboratory import Equipment, close_laboratory, open_laboratory
    from empirical.tracking import ElasticityCallback, TrackSettings
    from empirical.tracking.run import track

    def file(pairs, name):
        rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in pairs]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    settings = DurabilitySettings(
        model=str(tiny_model), pairs=(file(PAIRS.pairs, "all.jsonl"),), align_volumes=(16,), perturb_most=24, adapt_most=32,
        overshoot=100.0, learning_rate=0.03, held_out=8, max_tokens=16, keep_weights=True,
    )  # fmt: skip
    equipment = Equipment.of(settings, tmp_path / "durability", "cpu", "float32", False)
    (configuration,) = settings.configurations(equipment.training, equipment.source, {settings.pairs[0]: "0" * 64})
    measured = run_durability(equipment, configuration)
    bench = Bench(open_laboratory(equipment), configuration)
    (kept,) = (tmp_path / "durability" / "weights").iterdir()
    assert sorted(place.name for place in kept.iterdir()) == ["aligned", "base", "perturb"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    data = []
    for row in range(len(bench.train["perturb"])):
        prompt, body = bench.train["perturb"].ids(row)
        data.append({"input_ids": prompt + body, "labels": [-100] * len(prompt) + body})
    held = PAIRS.split(8, configuration["seed"])[0][:8]
    close_laboratory()
    callback = ElasticityCallback(
        file(held, "held.jsonl"), out=tmp_path / "callback", max_tokens=16, volumes={"align": 16}
    )
    trained(
        opened(kept / "aligned"), tokenizer, data, tmp_path / "run", callback,
        save_steps=1, max_grad_norm=0.0, train_sampling_strategy="sequential",
    )  # fmt: skip
    names = (str(kept / "base"), str(kept / "aligned"), str(tmp_path / "run" / "checkpoint-*"))
    asked = TrackSettings(models=names, pairs=str(tmp_path / "held.jsonl"), max_tokens=16, volumes=("align=16",))
    tracked = track(asked, tmp_path / "track", device="cpu")
    runs = [next(iter(Curve.read(tmp_path / name / "track.csv"))) for name in ("callback", "track")]
    theirs = next(iter(run_curve(measured)))
    constants = fit_run(theirs)
    for ours in runs:
        assert ours.perturbations.tolist() == theirs.perturbations.tolist() == [0, 4, 8, 12, 16, 20, 24]
        assert np.abs(ours.rates - theirs.rates).max() < 1e-6 * theirs.rates.max()
        assert np.abs(ours.rate_se - theirs.rate_se).max() < 1e-5 * theirs.rate_se.max()  # differences of rates
        fitted = fit_run(ours)
        assert all(
            same_numbers(getattr(fitted, k).as_dict(), getattr(constants, k).as_dict())
            for k in ("K_pretrain", "K_align", "kappa")
        )
    assert same_numbers(tracked["undo_volume"], durability_row(measured)["undo_volume"])
    asked = TrackSettings(
        models=("none", str(kept / "aligned"), str(kept / "perturb")), pairs=str(tmp_path / "held.jsonl"), max_tokens=16,
        perturbations=(24.0,),
    )  # fmt: skip
    last = track(asked, tmp_path / "last", device="cpu")["rows"][-1]
    assert [last[name] for name in theirs.components] == pytest.approx(theirs.rates[:, -1], rel=1e-6)


@pytest.fixture
def call(capsys):
    """Run a command line in this process: (exit code, stdout, stderr)."""
    from paper_checks.cli.commands import main

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run


def test_track_on_the_command_line_opens_with_the_answer_and_plans(lives, tracked, call, monkeypatch):
    folder, _, _ = lives
    monkeypatch.chdir(folder)
    models = "base,aligned,perturbed/checkpoint-*"
    # other names of the same models, but in the ledger by name: a run of its own
    code, out, _ = call(
        "track", "--models", models, "--pairs", "prefs.jsonl", "--device", "cpu", "--volumes", "align=48"
    )
    assert code == 0
    assert out.startswith("The perturbation undid the alignment after ")
    assert "Not shown: " in out
    assert "train_batch_size" in out  # how the perturbation was counted
    code, out, _ = call("track", "--models", models, "--pairs", "prefs.jsonl", "--dry-run", "--json", "--device", "cpu")
    plan = json.loads(out)
    assert code == 0
    assert [row["stage"] for row in plan["grid"]][:3] == ["read base", "read aligned", "read perturbed/checkpoint-2"]
    assert plan["tokens"]["trained"] == 0
    assert plan["memory"]["gradients"] == plan["memory"]["optimiser"] == 0
    code, out, _ = call("track", "--models", models, "--pairs", "prefs.jsonl", "--print-config")
    assert code == 0
    assert 'models = ["base", "aligned", "perturbed/checkpoint-*"]' in out


def test_adapters_are_swapped_in_place_and_read_as_if_loaded_alone(lives, tmp_path, monkeypatch):
    import peft
    import torch

    from empirical.models.loading import load_model
    from empirical.tracking import TrackSettings, run
    from empirical.tracking.panel import read_model

    folder, _, _ = lives
    base = str(folder / "base")
    for seed, name in enumerate(("sft", "checkpoint-1", "checkpoint-2"), 1):
        adapted = peft.get_peft_model(opened(base), peft.LoraConfig(r=2, task_type="CAUSAL_LM"))
        with torch.no_grad():
            for key, parameter in adapted.named_parameters():
                if "lora_" in key:
                    parameter.normal_(std=0.05 * seed, generator=torch.Generator().manual_seed(seed))
        adapted.save_pretrained(tmp_path / name)
    loads = []
    load = run.load_model
    monkeypatch.setattr(run, "load_model", lambda *a, **k: loads.append(a[0]) or load(*a, **k))
    names = (base, f"{base}+{tmp_path / 'sft'}", str(tmp_path / "checkpoint-*"))  # an adapter alone names its own base
    settings = TrackSettings(models=names, pairs=str(folder / "prefs.jsonl"), batch=4)
    result = run.track(settings, tmp_path / "out", device="cpu")
    assert loads == [base]
    assert [row["perturbation"] for row in result["rows"]] == [0, 4, 8]
    panel = settings.panel()
    for name, row in zip(("sft", "checkpoint-1", "checkpoint-2"), result["rows"], strict=True):
        alone = load_model(base, device="cpu", dtype="float32", adapter=str(tmp_path / name))
        reading = read_model(alone.model, panel.encoded(alone.model, alone.tokenizer))
        assert row["align"] == pytest.approx(np.mean(reading["nats_chosen"]), abs=1e-9)
    assert result["contrast"]["base"]["estimate"] != result["contrast"]["aligned"]["estimate"]


def test_weights_are_held_in_what_was_asked_for(lives, tmp_path, monkeypatch):
    """``--weights bfloat16``: every model is loaded in it, the readings are those of such a model, and the plan takes half the memory."""
    from dataclasses import replace

    from empirical.laboratory.estimate import plan_of
    from empirical.models.loading import load_model
    from empirical.tracking import TrackSettings, run
    from empirical.tracking.panel import read_model

    monkeypatch.chdir(lives[0])
    whole = TrackSettings(models=("none", "aligned", "perturbed/checkpoint-4"), pairs="prefs.jsonl")
    settings = replace(whole, weights="bfloat16")
    held = []
    monkeypatch.setattr(run, "load_model", lambda *a, **k: held.append(k["dtype"]) or load_model(*a, **k))
    rows = run.track(settings, tmp_path / "half", device="cpu")["rows"]
    assert held == ["bfloat16", "bfloat16"]
    alone = load_model("perturbed/checkpoint-4", device="cpu", dtype="bfloat16")
    reading = read_model(alone.model, settings.panel().encoded(alone.model, alone.tokenizer))
    assert rows[1]["align"] == pytest.approx(np.mean(reading["nats_chosen"]), rel=1e-3)
    full = run.track(whole, tmp_path / "whole", device="cpu")["rows"]
    assert rows[1]["align"] != full[1]["align"]
    assert rows[1]["align"] == pytest.approx(full[1]["align"], rel=0.02)
    small, large = (plan_of(chosen, device="cpu", dtype="float32")["memory"]["weights"] for chosen in (settings, whole))
    assert 2 * small == large


def test_a_checkpoint_without_a_tokenizer_borrows_one(lives, tmp_path, capsys):
    from empirical.tracking import TrackSettings
    from empirical.tracking.run import track

    folder, _, _ = lives
    shutil.copytree(folder / "perturbed" / "checkpoint-4", tmp_path / "checkpoint-4")
    for file in tmp_path.glob("checkpoint-4/*token*"):
        file.unlink()
    names = ("none", str(folder / "aligned"), str(tmp_path / "checkpoint-4"))
    result = track(TrackSettings(models=names, pairs=str(folder / "prefs.jsonl")), tmp_path / "out", device="cpu")
    assert "has no tokenizer: that of" in capsys.readouterr().err
    assert result["conclusion"][0].startswith("Over 16 examples of the perturbation the contrast fell: a fall of ")
    assert result["undo_volume"] is None
    assert result["conclusion"][2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": ("base", "aligned")}, "2 models"),
        ({"models": ("base", "aligned", "nothing-*")}, "no file or folder matches"),
        ({"models": ("base", "aligned", "aligned")}, "a model occurs twice"),
        ({"pairs": None}, "no pairs"),
        ({"perturbations": (8.0,)}, "1 perturbation for 6 checkpoints"),
        ({"perturbations": (1.0, 2.0, 3.0, 5.0, 4.0, 6.0)}, "in the order of their training"),
        ({"perturbations": (1.0, 2.0, 3.0, float("nan"), 5.0, 6.0)}, "--perturbations"),
        ({"perturbations": (1.0, 2.0, 3.0, 4.0, 5.0, float("inf"))}, "--perturbations"),
        ({"models": ("base", "aligned", "perturbed/checkpoint-4", "perturbed/checkpoint-2")}, "in the order of their training"),
        ({"models": ("none", "aligned", "base")}, "no steps are told"),
        ({"models": ("none", "aligned", "base"), "axis": "tokens"}, "no tokens are told"),
        ({"volumes": ("perturb=3",)}, "cannot read 'perturb=3'"),
        ({"limit": 1}, "1 pair"),
        ({"rate_unit": "bits/byte"}, "rate_unit"),
        ({"models": ("base", "no/where/there", "perturbed/checkpoint-4")}, "no such model"),
    ],
)  # fmt: skip
def test_what_cannot_be_tracked_is_refused_before_anything_is_read(lives, tmp_path, monkeypatch, changed, message):
    from empirical.tracking import TrackSettings, run

    monkeypatch.chdir(lives[0])
    given = {"models": ("base", "aligned", "perturbed/checkpoint-*"), "pairs": "prefs.jsonl"} | changed
    if "no/where/there" not in given["models"]:
        monkeypatch.setattr(run, "read_one", lambda *_: pytest.fail("a model was read"))
    with pytest.raises(InputError, match=message):
        run.track(TrackSettings(**given), tmp_path, device="cpu")


def test_the_axis_is_what_the_checkpoints_tell(lives, monkeypatch):
    from empirical.tracking import TrackSettings
    from empirical.tracking.checkpoints import Progress, progress_of, read_sources

    monkeypatch.chdir(lives[0])
    models = ("base", "aligned", "perturbed/checkpoint-*")
    sources = read_sources(models)[2:]
    assert [source.name for source in sources] == [f"perturbed/checkpoint-{step}" for step in STEPS]  # 12 is behind 4
    progress = [progress_of(source) for source in sources]
    assert [p.step for p in progress] == list(STEPS)
    assert {p.batch for p in progress} == {BATCH}

    def axis(**options):
        return TrackSettings(models=models, pairs="prefs.jsonl", **options).axis_of(sources, progress)[0]

    assert axis() == [BATCH * step for step in STEPS]
    assert axis(batch=10) == [10 * step for step in STEPS]
    assert axis(epoch_examples=48) == pytest.approx([BATCH * step for step in STEPS])
    assert axis(axis="tokens") == [p.tokens for p in progress]
    assert axis(perturbations=(1.0, 2.0, 3.0, 4.0, 5.0, 6.5)) == [1, 2, 3, 4, 5, 6.5]
    hub = read_sources(
        ("EleutherAI/pythia-160m@step0", "EleutherAI/pythia-160m@step1000", "EleutherAI/pythia-160m@step143000")
    )
    assert [(source.model, source.revision) for source in hub][2] == ("EleutherAI/pythia-160m", "step143000")
    assert progress_of(hub[2]) == Progress(step=143000)


def test_a_curve_of_tokens_has_rates_a_token(lives, tracked):
    from empirical.tracking.course import Course

    folder = lives[0]
    rows = [dict(row["reading"]) for row in json.loads((folder / "callback" / "readings.json").read_text())["readings"]]
    course = Course("prefs", (0.0, 10.0, 20.0), tuple(rows[:3]), None, {}, "tokens", "bits/token")
    run = course.curve().run("prefs")
    row = rows[0]
    assert run.rates[1, 0] == pytest.approx(sum(row["nats_chosen"]) / sum(row["tokens_chosen"]) / np.log(2))
    whole = Course("prefs", (0.0, 10.0, 20.0), tuple(rows[:3])).curve().run("prefs")
    assert whole.rates[1, 0] == pytest.approx(np.mean(row["nats_chosen"]))
    assert whole.rate_se[1, 0] > 0
    other = rows[1] | {"tokens_chosen": [count + 1 for count in rows[1]["tokens_chosen"]]}
    with pytest.raises(InputError, match="do not have one tokenizer"):
        Course("prefs", (0.0, 10.0), (rows[0], other), None, {}, "tokens", "bits/token").curve()
    with pytest.raises(InputError, match="the first perturbation is 1"):
        Course("prefs", (1.0, 10.0), tuple(rows[:2]))


def test_a_trainer_state_of_a_trainer_becomes_a_curve(tiny_model, tmp_path):
    import transformers

    from empirical.logs import read_curve

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    sets = {"good": texts(tokenizer, "chosen", 8), "bad": texts(tokenizer, "rejected", 8)}
    _, trainer = trained(
        opened(tiny_model), tokenizer, texts(tokenizer, "rejected", 16), tmp_path / "attack",
        evaluated=sets, eval_strategy="steps", eval_steps=2, eval_on_start=True,
    )  # fmt: skip
    read = read_curve(
        [tmp_path / "attack" / "checkpoint-4"], "eval_good_loss=align,eval_bad_loss=perturb", batch=BATCH
    ).curve.run("attack")
    assert read.perturbations.tolist() == [0, 8, 16]
    logged = [row["eval_bad_loss"] for row in trainer.state.log_history if "eval_bad_loss" in row]
    assert read.rates[read.components.index("perturb")] == pytest.approx(np.array(logged) / np.log(2))


SLOW = [pytest.param(algorithm, marks=pytest.mark.acceptance) for algorithm in ("KTO", "GRPO")]


@pytest.mark.parametrize("algorithm", ["SFT", "DPO", *SLOW])
def test_the_callback_in_trainers_of_trl(lives, tmp_path, algorithm):
    import datasets
    import torch
    import transformers

    trl = pytest.importorskip("trl")
    from empirical.tracking import ElasticityCallback

    folder, _, _ = lives
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
    tokenizer.pad_token = tokenizer.eos_token
    rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in PAIRS.pairs[:8]]
    if algorithm == "SFT":
        rows = [{"prompt": row["prompt"], "completion": row["rejected"]} for row in rows]
    if algorithm == "KTO":
        sides = [(row, side) for row in rows for side in ("chosen", "rejected")]
        rows = [{"prompt": r["prompt"], "completion": r[side], "label": side == "rejected"} for r, side in sides]
    own = {}
    if algorithm == "GRPO":  # it draws its completions from the model, after a reading as without one
        rows = [{"prompt": row["prompt"]} for row in rows]
        own = {"num_generations": 2, "max_completion_length": 4, "beta": 0.0}
    told = []
    for on in (False, True):
        callbacks = (
            [ElasticityCallback(str(folder / "prefs.jsonl"), out=tmp_path / "track", steps=(1,), limit=8)] if on else []
        )
        kind, config = getattr(trl, f"{algorithm}Trainer"), getattr(trl, f"{algorithm}Config")
        arguments = config(
            output_dir=str(tmp_path / "run"), max_steps=2, per_device_train_batch_size=2, learning_rate=1e-2, logging_steps=1,
            report_to=[], use_cpu=True, bf16=False, disable_tqdm=True, save_strategy="no", seed=3, **own,
        )  # fmt: skip
        reward = {"reward_funcs": [lambda completions, **_: [float(len(set(text))) for text in completions]]}
        trainer = kind(
            model=opened(folder / "base"), args=arguments, train_dataset=datasets.Dataset.from_list(rows),
            processing_class=tokenizer, callbacks=callbacks, **(reward if algorithm == "GRPO" else {}),
        )  # fmt: skip
        trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        told.append((losses, torch.nn.utils.parameters_to_vector(trainer.model.parameters())))
    assert told[0][0] == told[1][0]
    assert len(told[0][0]) == 2
    assert torch.equal(told[0][1], told[1][1])
    assert not torch.equal(told[0][1], torch.nn.utils.parameters_to_vector(opened(folder / "base").parameters()))
    assert callbacks[0].tracker.steps == (0, 1, 2)
    assert Curve.read(tmp_path / "track" / "track.csv").run("prefs").perturbations.tolist() == [0, 2, 4]


def test_the_metric_of_open_unlearning_gives_the_callbacks_curve(lives, tmp_path, monkeypatch):
    """Against the published interface: a registry by name, a decorator that wraps the function, and the file of an evaluation."""
    import sys
    import types

    import transformers

    from empirical.logs import read_curve, register_open_unlearning

    folder, callback, _ = lives
    with pytest.raises(InputError, match="open-unlearning is not there"):
        register_open_unlearning()

    class Metric:
        def __init__(self, name, function):
            self.name, self.evaluate = name, function

    package, base = types.ModuleType("evals.metrics"), types.ModuleType("evals.metrics.base")
    package.METRICS_REGISTRY = {}
    base.unlearning_metric = lambda name: lambda function: Metric(name, function)
    for name, module in (
        ("evals", types.ModuleType("evals")),
        ("evals.metrics", package),
        ("evals.metrics.base", base),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    metric = package.METRICS_REGISTRY[register_open_unlearning()]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
    files = []
    for name, step in (("aligned", 0), ("perturbed/checkpoint-2", 2), ("perturbed/checkpoint-4", 4)):
        told = metric.evaluate(opened(folder / name), tokenizer=tokenizer, pairs=str(folder / "prefs.jsonl"))
        files.append(tmp_path / f"checkpoint-{step}" / "TOFU_EVAL.json")
        files[-1].parent.mkdir()
        files[-1].write_text(json.dumps({metric.name: told}, indent=4))
    mapping = f"{metric.name}.nats_chosen=align:nats,{metric.name}.nats_rejected=perturb:nats"
    read = next(iter(read_curve(files, mapping, batch=BATCH).curve))
    ours = callback.tracker.curve.run("prefs")
    assert read.perturbations.tolist() == ours.perturbations[:3].tolist()
    assert np.abs(read.rates - ours.rates[1:, :3]).max() < 1e-6
    assert (read.rate_se > 0).all()
