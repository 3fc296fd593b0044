"""The forecast of an undo volume against training, where its hypotheses hold exactly: a model whose features are frozen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.fit.crossing import first_crossing
from elastomath.interval import Interval
from elastomath.laws import logit
from elastomath.progress import Meter
from empirical.behaviours import Pairs, mixed, read_pairs, shipped
from empirical.data.examples import Example, Preference
from empirical.durability import DurabilitySettings, course, durability
from empirical.durability.adam_forecast import frozen_features
from empirical.durability.card import behaviour_card, behaviour_passes, undoing_again
from empirical.durability.constants import logit_constants
from empirical.durability.forecast import undo_volume
from empirical.durability.gradients import behaviour_gradients, read_behaviour
from empirical.durability.predict import predict
from empirical.durability.undoing import undo_interval
from empirical.laboratory.laboratory import close_laboratory
from empirical.models.checkpoints import save_checkpoint
from empirical.models.loading import load_model
from empirical.models.sequences import encode_examples
from empirical.tracking.panel import Panel
from empirical.training.finetune import train
from paper_checks.cli.commands import main
from paper_checks.cli.predict import _show as show

STARTS = [
    f"{a} {b}" for a in ("the film", "a word", "water", "light") for b in ("falls", "drags", "is slow", "is good")
]
PROMPTS = [f"{start} {end}, and the film is" for start in STARTS for end in ("on", "and", "half")]
"""48 prompts that end alike, so that a behaviour is nearly one direction of a random model's features."""


@pytest.fixture
def frozen(tiny_model):
    """A model of which only the output layer is trained, one token a response: its features are frozen, the law is exact."""
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    head = torch.nn.Linear(32, 300, bias=False)
    head.weight.data.copy_(loaded.model.get_output_embeddings().weight * 0.1)
    loaded.model.config.tie_word_embeddings = False
    loaded.model.lm_head = head
    for value in loaded.model.parameters():
        value.requires_grad_(False)
    head.weight.requires_grad_(True)
    return loaded


def encoded(loaded, texts):
    return encode_examples(loaded.tokenizer, [Example(prompt, text) for prompt, text in texts], 1)


def adapted(loaded, prompts):
    """The two sides of the prompts, after the two answers were given the same high score everywhere: z_0 = 0, closed."""
    sides = [encoded(loaded, [(prompt, text) for prompt in prompts]) for text in ("good", "slow")]
    with torch.no_grad():
        hidden = [loaded.model.model(sides[0].tokens[[row], : int(first)]).last_hidden_state[0, -1]
                  for row, first in enumerate(sides[0].first)]  # fmt: skip
        score = torch.linalg.lstsq(torch.stack(hidden), torch.full((len(prompts), 1), 14.0)).solution[:, 0]
        for side in sides:
            loaded.model.lm_head.weight[side.tokens[0, int(side.first[0])]] = score
    return sides


def measured_course(loaded, data, chosen, rejected, optimiser, rate, until=None):
    rows = [read_behaviour(loaded.model, chosen, rejected).z]
    for start in range(0, len(data), 4):
        train(loaded.model, optimiser, data[slice(start, start + 4)], batch=4, learning_rate=rate)
        rows.append(read_behaviour(loaded.model, chosen, rejected).z)
        if until is not None and rows[-1].mean() < until:
            break
    return np.stack(rows)


@pytest.mark.parametrize(
    ("optimiser", "rate", "close"), [("sgd", 0.06, 0.1), ("adamw", 0.012, 0.15), ("adamw-carried", 0.012, 0.15)]
)
def test_with_frozen_features_the_forecast_is_what_training_does(frozen, optimiser, rate, close):
    trained = PROMPTS[1::2]  # the others are read
    chosen, rejected = (side[slice(0, len(PROMPTS), 2)] for side in adapted(frozen, PROMPTS))
    passes = behaviour_passes(frozen.model, chosen, rejected, adam=optimiser != "sgd")
    card = behaviour_card(passes, [16, 64], learning_rate=rate, batch=4, optimiser=optimiser)
    assert card.closure < 0.05
    assert card.applies
    start = read_behaviour(frozen.model, chosen, rejected).z
    weight = frozen.model.lm_head.weight

    def new():
        return (
            torch.optim.SGD([weight], lr=rate)
            if optimiser == "sgd"
            else torch.optim.AdamW([weight], lr=rate, weight_decay=0)
        )

    rng = np.random.default_rng(0)
    up, down = (
        encoded(frozen, [(trained[i], text) for i in rng.permutation(np.tile(np.arange(len(trained)), 16))[:count]])
        for text, count in (("good", 64), ("slow", 384))
    )
    moving = new()
    way = measured_course(frozen, up, chosen, rejected, moving, rate)
    assert way[-1].mean() - way[0].mean() > 1
    again = None
    if optimiser != "adamw-carried":
        again = undoing_again(frozen.model, chosen, rejected, start, learning_rate=rate, batch=4, optimiser=optimiser)
    opposed = moving if optimiser == "adamw-carried" else new()
    back = measured_course(frozen, down, chosen, rejected, opposed, rate, until=start.mean())
    seen = undo_interval(start, 4 * np.arange(len(back)), back)
    foretold = card.forecast[-1]
    assert foretold.z.estimate == pytest.approx(way[-1].mean(), abs=close * (way[-1].mean() - start.mean()))
    assert foretold.undo_volume.estimate == pytest.approx(seen.estimate, rel=close)
    if again:  # features that do not move say the same from the aligned model
        assert again["undo_volume"]["estimate"] == pytest.approx(seen.estimate, rel=0.15)


def test_the_first_step_of_adam_moves_the_contrast_by_the_norm_of_its_gradient(frozen):
    """Every number moves by the learning rate, whatever the error of the model (R26): eta ||grad z||_1, less what prompts differ by."""
    chosen, rejected = adapted(frozen, PROMPTS)
    before, rate = read_behaviour(frozen.model, chosen, rejected), 1e-5
    norm = frozen_features(frozen.model, chosen, rejected, before.z).norm
    optimiser = torch.optim.AdamW([frozen.model.lm_head.weight], lr=rate, weight_decay=0)
    train(frozen.model, optimiser, chosen, batch=len(PROMPTS), learning_rate=rate)
    moved = read_behaviour(frozen.model, chosen, rejected).z - before.z
    assert moved.mean() == pytest.approx(rate * norm, rel=0.02)


def test_the_constants_agree_under_closure_and_scale_with_rate_and_batch(frozen):
    chosen, rejected = adapted(frozen, PROMPTS)
    reading = read_behaviour(frozen.model, chosen, rejected)
    gradients = behaviour_gradients(frozen.model, chosen, rejected, reading)
    c = logit_constants(gradients, 0.02, 4)
    assert c.cosine == pytest.approx(-1, abs=0.02)
    assert c.aligning == pytest.approx(c.kernel, rel=0.1)
    assert c.perturbing == pytest.approx(c.kernel, rel=0.1)
    assert logit_constants(gradients, 0.04, 8).kernel == pytest.approx(c.kernel, rel=1e-12)
    assert logit_constants(gradients, 0.04, 4).kernel == pytest.approx(2 * c.kernel, rel=1e-12)


def test_the_course_in_small_steps_is_the_logit_law():
    """z + e^z grows by c n (R21): Euler's steps approach it as c B falls, one order in the step."""
    errors = []
    for steps in (1000, 2000):
        c = 100 * 0.3 / steps
        end = course([0.4], c, steps, 1, aligning=True)[-1]
        errors.append(abs(end - float(logit.aligned_contrast(0.4, steps, c))))
    assert errors[1] < 2e-2
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_the_undo_volume_in_small_steps_is_that_of_the_law():
    c, n = 1e-3, 20000
    z = float(logit.aligned_contrast(0.2, n, c))
    stepped = undo_volume(np.array([0.2]), np.array([z]), c, 1)
    assert stepped == pytest.approx(float(logit.undo_volume(0.2, n, c)), rel=2e-3)


def test_crossing_takes_the_first_return():
    assert first_crossing([0, 4, 8, 12], [3.0, -1.0, 1.0, -1.0]) == 3.0
    assert first_crossing([0, 4], [1.0, 0.0]) == 4.0


def test_an_undo_volume_that_is_not_reached_is_a_bound():
    told = undo_interval(np.zeros(9), [0, 4, 192], np.ones((3, 9)))
    assert (told.estimate, told.low, told.high) == (None, 192.0, None)
    assert str(told) == "> 192 examples"


def test_the_interval_of_the_undo_volume_covers_the_truth():
    """400 made courses: z falls by a constant force from 2 to 0 in 20 examples, prompts scatter with their own start."""
    rng, hits = np.random.default_rng(0), 0
    volumes = 4.0 * np.arange(12)
    for seed in range(400):
        start = rng.normal(0, 1, 32)
        slope = 0.1 * (1 + 0.3 * rng.normal(size=32))
        contrasts = start + 2 + 0.3 * rng.normal(size=32) - volumes[:, None] * slope + 0.05 * rng.normal(size=(12, 32))
        told = undo_interval(start, volumes, contrasts, seed=seed)
        hits += told.low <= 20 <= told.high
    assert 0.90 <= hits / 400 <= 0.98


# --- behaviours ---------------------------------------------------------------------------------------------------
def test_shipped_behaviours_have_enough_distinct_prompts_and_opposed_responses():
    for name, behaviour in shipped().items():
        if behaviour.source:
            continue  # made from the fetched reviews
        for wordings in (1, len(behaviour.chosen)):
            pairs = behaviour.pairs(wordings)
            assert len({pair.prompt for pair in pairs}) == len(pairs) >= 500, name
            assert all(pair.chosen != pair.rejected and pair.chosen and pair.rejected for pair in pairs)
            assert all("{" not in pair.prompt + pair.chosen + pair.rejected for pair in pairs)
            if name != "format":
                assert len({pair.chosen for pair in pairs}) == wordings


def test_held_out_prompts_are_never_trained_on_and_swap_exchanges_the_roles():
    pairs = read_pairs("tone")
    held, rest = pairs.split(32, seed=3)
    assert len(held) == 32
    assert not {pair.prompt for pair in held} & {pair.prompt for pair in rest}
    assert pairs.split(32, seed=3) == (held, rest)
    assert pairs.split(32, seed=4)[0] != held
    assert read_pairs("tone", swap=True).pairs[0].chosen == pairs.pairs[0].rejected


def test_responses_to_one_prompt_are_no_further_prompts():
    """Errors are over prompts: four pairs of each of ten prompts are ten that are read, and none of a prompt that is read is trained on."""
    pairs = Pairs("mine", tuple(Preference(f"Question {n // 4}?", f"yes {n}", f"no {n}") for n in range(40)))
    held, rest = pairs.split(6, seed=0)
    assert len({pair.prompt for pair in held}) == len(held) == 6
    assert len(rest) == 16
    assert not {pair.prompt for pair in held} & {pair.prompt for pair in rest}
    assert [pair.chosen for pair in pairs.independent] == [f"yes {n}" for n in range(0, 40, 4)]
    assert len(Panel.of(pairs).documents["chosen"]) == 10
    common = Pairs("common", tuple(Preference("Go on:", f"yes {n}", f"no {n}") for n in range(40)))
    assert len(common.independent) == 40
    assert [len(part) for part in common.split(6, seed=0)] == [6, 34]


def test_a_share_of_the_mixture_is_kept_at_every_place():
    roles = [role for _, role in mixed([Preference("p", "a", "b")] * 100, 0.3)]
    assert sum(roles) == 30
    assert all(abs(sum(roles[:k]) - 0.3 * k) < 1 for k in range(1, 101))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "p", "chosen": "a"}], "no column 'rejected'"),
        ([{"prompt": "p", "chosen": "a", "rejected": " a"}], "row 1: two equal responses"),
        ([{"prompt": "p", "chosen": "", "rejected": "b"}], "row 1: an empty response"),
        ([{"prompt": "p", "chosen": 3, "rejected": "b"}], "row 1"),
    ],
)
def test_what_is_no_pair_is_refused_in_one_line(tmp_path, rows, said):
    file = tmp_path / "prefs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    with pytest.raises(InputError, match=said) as raised:
        read_pairs(file)
    assert "\n" not in str(raised.value)


TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
USER, GOOD = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
BAD = {"role": "assistant", "content": "No."}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Why?", "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Why?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    ],
)
def test_messages_are_pairs_after_the_turns_that_both_share(tmp_path, tiny_model, row):
    """The four conversational forms that preference data has; what the model reads is what its template writes."""
    file = tmp_path / "prefs.jsonl"
    file.write_text(json.dumps(row) + "\n")
    (pair,) = read_pairs(file).pairs
    assert (pair.chosen, pair.rejected) == ("So.", "No.")
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    loaded.tokenizer.chat_template = TEMPLATE
    data = encode_examples(loaded.tokenizer, [Example(pair.prompt, pair.chosen)], 8)
    assert loaded.tokenizer.decode(data.tokens[0, : int(data.first[0])]) == "<s><user>Why?<assistant>"
    assert loaded.tokenizer.decode(data.tokens[0, int(data.first[0]) : int(data.length[0])]) == "So."
    assert read_pairs(file, swap=True).pairs[0].chosen == "No."


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"chosen": [USER, GOOD], "rejected": [{**USER, "content": "When?"}, BAD]}, "follow other turns .*row 1"),
        ({"prompt": "p", "chosen": [USER], "rejected": [USER]}, "last turn of 'chosen' is of the user"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "row 1: 'prompt' is nothing"),
        ({"prompt": "p", "chosen": [GOOD], "rejected": [{"role": "assistant"}]}, "row 1, rejected"),
        ({"chosen": "a", "rejected": "b"}, "no column 'prompt'"),
    ],
)
def test_messages_that_make_no_pair_are_refused_in_one_line(tmp_path, row, said):
    file = tmp_path / "prefs.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=said) as raised:
        read_pairs(file)
    assert "\n" not in str(raised.value)


def test_a_prompt_that_is_text_becomes_the_users_turn(tmp_path):
    file = tmp_path / "prefs.jsonl"
    file.write_text(json.dumps({"prompt": "Why?", "chosen": "So.", "rejected": "No."}) + "\n")
    plain, chat = read_pairs(file), read_pairs(file, chat=True)
    assert chat.pairs[0].prompt.turns == (("user", "Why?"),)
    assert chat.sha256 != plain.sha256


# --- the experiment on a tiny model ------------------------------------------------------------------------------
@pytest.fixture
def prefs(tmp_path):
    rows = [{"prompt": prompt, "chosen": "good", "rejected": "slow"} for prompt in PROMPTS]
    file = tmp_path / "prefs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return str(file)


def test_the_experiment_writes_a_curve_and_is_not_run_twice(tiny_model, prefs, tmp_path, monkeypatch):
    meters = []

    def counted(total, what):
        meters.append(Meter(total, what))
        return meters[-1]

    monkeypatch.setattr("empirical.durability.run.Meter", counted)
    settings = DurabilitySettings(
        model=str(tiny_model), pairs=(prefs,), align_volumes=(8, 16), perturb_most=64, held_out=16, adapt_most=256,
        adapt_learning_rate=3e-3, learning_rate=3e-2, optimisers=("sgd",), arms=("perturb", "neutral"), again=True, max_tokens=8,
    )  # fmt: skip
    told = durability(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert told["runs"] == {"done": 2, "failed": 0, "total": 2}
    curve = Curve.read(told["curve"])
    assert set(curve.frame["rate_unit"]) == {"nats/response"}
    assert set(curve.frame["component"]) == {"pretrain", "align", "perturb"}
    rows = told["durability"]
    assert [row["n"] for row in rows] == [8, 16]
    assert all(row["z"] > row["z0"] for row in rows)
    assert all(row["arms"]["neutral"]["volume"] == 64 and "again" in row["arms"] for row in rows)
    assert any("64 neutral texts gave back" in sentence for sentence in told["conclusion"])
    # a quarter of an hour without a word: the meter goes towards a total that holds all that a run may do
    assert [meter.what for meter in meters] == [f"prefs.jsonl-sgd-n-{n}-seed-0, at most" for n in (8, 16)]
    assert 0.4 * meters[0].total < meters[0].done <= meters[0].total
    again = durability(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert again["durability"] == rows


def test_runs_of_one_base_share_its_backward_passes(tiny_model, prefs, tmp_path, monkeypatch):
    """Four runs, one pass over the base; they have the forecasts that they have apart. A base of another seed has a pass of its own."""
    given = {
        "model": str(tiny_model), "pairs": (prefs,), "perturb_most": 4, "held_out": 16, "adapt_most": 32, "max_tokens": 8,
        "learning_rate": 3e-2,
    }  # fmt: skip
    bases = []

    def counted(model, *sides, **options):
        bases.append(options["adam"])
        return behaviour_passes(model, *sides, **options)

    monkeypatch.setattr("empirical.durability.run.behaviour_passes", counted)
    settings = DurabilitySettings(align_volumes=(4, 8), optimisers=("adamw", "adamw-carried"), **given)
    together = durability(settings, tmp_path / "together", device="cpu", dtype="float32")["durability"]
    assert bases == [True]
    again = DurabilitySettings(align_volumes=(4, 8), optimisers=("adamw-carried",), **given)
    close_laboratory()
    alone = durability(again, tmp_path / "alone", device="cpu", dtype="float32")["durability"]
    assert bases == [True, True]
    assert together[2:] == alone
    other = DurabilitySettings(align_volumes=(8,), optimisers=("adamw", "sgd"), seeds=(1,), **given)
    durability(other, tmp_path / "other", device="cpu", dtype="float32")
    assert bases == [True, True, True, False]


def test_volumes_lie_on_one_way_of_alignment(tiny_model, tmp_path, monkeypatch):
    """The longer alignments go on from the shorter ones, also where the longest response among more is a longer one."""
    rows = [{"prompt": p, "chosen": "good" + " film" * (i // 6), "rejected": "slow"} for i, p in enumerate(PROMPTS)]
    (tmp_path / "prefs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = DurabilitySettings(
        model=str(tiny_model), pairs=(str(tmp_path / "prefs.jsonl"),), align_volumes=(2, 4, 8), perturb_most=2, batch=2, held_out=8,
        adapt_most=2, adapt_step=2, learning_rate=3e-2, max_tokens=40,
    )  # fmt: skip
    kept = []

    def counted(path, *state):
        kept.append(path)
        save_checkpoint(path, *state)

    monkeypatch.setattr("empirical.laboratory.laboratory.save_checkpoint", counted)
    summary = durability(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert len(kept) == 1 + 3  # the base, and an end for each volume
    assert not any("--max-tokens" in sentence for sentence in summary["conclusion"])
    short = replace(settings, align_volumes=(2,), max_tokens=2)  # "good" and "slow" are of some tokens each
    cut = durability(short, tmp_path / "short", device="cpu", dtype="float32")
    assert cut["durability"][0]["cut"] == 16
    assert cut["conclusion"][-1].startswith("Of 16 responses to held-out prompts (")


ALGORITHMS = ["dpo", *(pytest.param(name, marks=pytest.mark.acceptance) for name in ("kto", "simpo", "ppo"))]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_alignment_by_another_algorithm_is_undone_by_the_same_perturbation(tiny_model, prefs, tmp_path, algorithm):
    pytest.importorskip("trl")
    given = {
        "model": str(tiny_model), "pairs": (prefs,), "align_volumes": (16,), "perturb_most": 16, "held_out": 16, "adapt_most": 64,
        "adapt_learning_rate": 3e-3, "learning_rate": 3e-2, "max_tokens": 8, "tune_learning_rate": 3e-3,
    }  # fmt: skip
    settings = DurabilitySettings(algorithms=("sft", algorithm), **given)
    told = durability(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert told["failures"] == []
    rows = {row["algorithm"]: row for row in told["durability"]}
    assert set(rows) == {"sft", algorithm}
    assert rows[algorithm]["z0"] == rows["sft"]["z0"]
    moved = rows[algorithm]["z"] - rows[algorithm]["z0"]
    assert moved > 0 or (
        algorithm == "ppo" and moved != 0
    )  # 16 texts that a random model draws itself hold few chosen words
    assert rows[algorithm]["forecast_z"] is None
    assert set(told["answers"]) == {"sgd", f"sgd after {algorithm}"}
    assert told["error"]["runs"] <= 1  # of the forecast before alignment, which is that of sft
    assert any(f"was aligned by {algorithm}" in sentence for sentence in told["conclusion"])
    assert set(Curve.read(told["curve"]).frame["algorithm"]) == {"sft", algorithm}
    assert (
        settings.configurations({}, "", {prefs: ""})[0]
        == DurabilitySettings(**given).configurations({}, "", {prefs: ""})[0]
    )


def test_a_model_that_came_aligned_is_perturbed_as_the_one_that_was_aligned_here(tiny_model, prefs, tmp_path):
    """Kept weights of a run, given as base and aligned model: the same contrasts, the same undo volume, nothing trained before."""
    given = {
        "pairs": (prefs,), "align_volumes": (16,), "perturb_most": 64, "held_out": 16, "learning_rate": 3e-2, "max_tokens": 8,
        "adapt_learning_rate": 3e-3,
    }  # fmt: skip
    here = DurabilitySettings(model=str(tiny_model), adapt_most=128, keep_weights=True, **given)
    ours = durability(here, tmp_path / "here", device="cpu", dtype="float32")["durability"][0]
    (kept,) = (tmp_path / "here" / "weights").iterdir()
    base, aligned = str(kept / "base"), str(kept / "aligned")
    there = DurabilitySettings(model=base, aligned=aligned, **given)
    told = durability(there, tmp_path / "there", device="cpu", dtype="float32")
    (row,) = told["durability"]
    assert (row["algorithm"], ours["algorithm"]) == ("given", "sft")
    assert (row["z0"], row["z"]) == pytest.approx((ours["z0"], ours["z"]), rel=1e-5)
    assert row["first_fall"]["z"]["estimate"] > 0
    assert row["undo_volume"]["estimate"] or row["undo_volume"]["censored"]
    assert "came aligned" in told["conclusion"][-1]
    assert [work.stage for work in there.work()] == ["base", "forecast", "perturb, at most"]


def test_an_aligned_model_may_be_its_base_with_an_adapter(tiny_model, prefs, tmp_path):
    """``BASE+ADAPTER`` and the adapter merged by peft itself: the same contrasts; an adapter of more than weights is refused."""
    import peft

    base = load_model(str(tiny_model), device="cpu", dtype="float32")
    adapted = peft.get_peft_model(base.model, peft.LoraConfig(r=2, task_type="CAUSAL_LM", modules_to_save=["norm"]))
    with torch.no_grad():
        for key, value in adapted.named_parameters():
            if "lora_" in key or "modules_to_save" in key:
                value.normal_(std=0.1, generator=torch.Generator().manual_seed(len(key)))
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    base.tokenizer.save_pretrained(tmp_path / "merged")
    given = {
        "model": str(tiny_model), "pairs": (prefs,), "align_volumes": (16,), "perturb_most": 8, "held_out": 16, "max_tokens": 8,
        "learning_rate": 3e-2,
    }  # fmt: skip
    rows = [
        durability(DurabilitySettings(aligned=aligned, **given), tmp_path / name, device="cpu", dtype="float32")[
            "durability"
        ][0]
        for name, aligned in (("one", f"{tiny_model}+{tmp_path / 'adapter'}"), ("other", str(tmp_path / "merged")))
    ]
    assert rows[0]["z"] == pytest.approx(rows[1]["z"], abs=1e-5)
    assert abs(rows[0]["z"] - rows[0]["z0"]) > 1e-3
    base = load_model(str(tiny_model), device="cpu", dtype="float32")
    peft.get_peft_model(
        base.model, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    ).save_pretrained(tmp_path / "prompt")
    with pytest.raises(InputError, match="more than a change of weights"):
        durability(
            DurabilitySettings(aligned=f"{tiny_model}+{tmp_path / 'prompt'}", **given), tmp_path / "third", device="cpu"
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"aligned": "there", "algorithms": ("dpo",)}, "an aligned model is given"),
        ({"aligned": "there", "align_volumes": (16, 64)}, "one of --align-volumes"),
        ({"aligned": "there", "align_volumes": (16,), "lora_rank": 2}, "an aligned model is given"),
        ({"algorithms": ("kto",), "optimisers": ("adamw-carried",)}, "moments of kto"),
        ({"algorithms": ("grpo",)}, "algorithms"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        DurabilitySettings(**given)


def test_an_aligned_model_of_another_shape_is_no_child_of_the_base(tiny, prefs, tmp_path):
    settings = DurabilitySettings(
        model=str(tiny("llama")),
        aligned=str(tiny("gpt2")),
        pairs=(prefs,),
        align_volumes=(16,),
        held_out=16,
        max_tokens=8,
    )
    with pytest.raises(InputError, match=r"other weights than its base .*give the base that it was trained from"):
        durability(settings, tmp_path / "out", device="cpu", dtype="float32")


def test_predict_refuses_what_it_cannot_read(tiny_model):
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    few = Pairs("few", tuple(Preference(prompt, "good", "slow") for prompt in PROMPTS[:6]))
    with pytest.raises(InputError, match="6 different prompts"):
        predict(loaded, few, [16], learning_rate=1e-3)
    for rate in (float("nan"), 1e308):
        with pytest.raises(InputError, match=r"learning rate (nan|1e\+308)"):
            predict(loaded, Pairs("p", tuple(Preference(p, "good", "slow") for p in PROMPTS)), [16], learning_rate=rate)


def test_a_behaviour_that_is_there_already_and_a_response_that_does_not_fit_are_refused(frozen, tiny_model):
    adapted(frozen, PROMPTS)
    pairs = Pairs("sure", tuple(Preference(p, "good", "slow") for p in PROMPTS))
    with torch.no_grad():
        token = frozen.tokenizer(" good", add_special_tokens=False)["input_ids"][0]
        frozen.model.lm_head.weight[token] *= 2
    with pytest.raises(InputError, match=r"gives the chosen response already .*--swap"):
        predict(frozen, pairs, [16], learning_rate=1e-3, held_out=16, max_tokens=1)
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    long = Pairs("long", tuple(Preference(p, "good " * 80, "slow") for p in PROMPTS))
    with pytest.raises(InputError, match="the model takes 64") as raised:
        predict(loaded, long, [16], learning_rate=1e-3, held_out=16, max_tokens=400)
    assert "\n" not in str(raised.value)


def test_the_card_says_of_how_many_responses_the_end_is_not_read(tiny_model):
    """So many tokens are read that the short responses end before, and the long ones do not."""
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    pairs = Pairs("long", tuple(Preference(p, "good " * 9, "slow") for p in PROMPTS))
    most = len(loaded.tokenizer(" slow", add_special_tokens=False)["input_ids"]) + 1
    card = predict(loaded, pairs, [16], learning_rate=1e-3, held_out=16, max_tokens=most)
    assert card.sentences()[-1] == "Of 16 of the 32 responses no more than --max-tokens is read."
    whole = predict(loaded, pairs, [16], learning_rate=1e-3, held_out=16, max_tokens=48)
    assert "--max-tokens" not in " ".join(whole.sentences())


def test_the_verb_writes_the_card_and_its_figure(tiny_model, prefs, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        main(
            [
                "predict",
                "--model",
                str(tiny_model),
                "--pairs",
                prefs,
                "--n",
                "8,32",
                "--held-out",
                "16",
                "--out",
                str(out),
            ]
        )
    assert end.value.code == 0
    card = json.loads((out / "card.json").read_text())
    assert " ".join(capsys.readouterr().out.split()).startswith(card["conclusion"][0])
    assert [row["n"] for row in card["forecast"]] == [8, 32]
    figure = (out / "card.svg").read_text()
    assert "opposed examples that undo them" in figure


def test_a_card_says_that_the_law_does_not_apply_where_the_pair_is_not_closed(tiny_model):
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    pairs = Pairs("open", tuple(Preference(p, "good", "slow") for p in PROMPTS))
    card = predict(loaded, pairs, [16], learning_rate=1e-3, held_out=16)
    assert card.closure > 0.5
    assert not card.applies
    assert "lies outside the pair" in card.sentences()[0]


def test_a_base_is_adapted_first_where_it_is_asked_for(tiny_model):
    """The base answers with neither response; after adaptation the pair is closed and the forecast is of that model."""
    pairs = Pairs("open", tuple(Preference(p, "good", "slow") for p in PROMPTS))
    before, after = load_model(str(tiny_model), device="cpu", dtype="float32"), []
    for most in (0, 480):
        loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
        after.append(
            predict(loaded, pairs, [16], learning_rate=1e-3, held_out=16, limit=0.9, closure=0.9, adapt=most > 0)
        )
    raw, adapted = after
    assert (raw.adapted, raw.closure > 0.9) == (0, True)
    assert adapted.adapted % 32 == 0
    assert 0 < adapted.adapted <= 480
    assert adapted.closure < raw.closure
    assert f"After {adapted.adapted} examples of both responses" in " ".join(adapted.sentences()) or not adapted.applies
    assert next(before.model.parameters()).shape == next(loaded.model.parameters()).shape


def test_a_card_says_how_to_get_a_forecast_and_how_sure_one_is(tiny_model, capsys):
    loaded = load_model(str(tiny_model), device="cpu", dtype="float32")
    pairs = Pairs("open", tuple(Preference(p, "good", "slow") for p in PROMPTS))
    card = predict(loaded, pairs, [16], learning_rate=1e-3, held_out=16)
    assert "--adapt" in card.reasons[0]
    adapted = replace(card, adapted=480)
    assert "--adapt" not in adapted.reasons[0]
    assert "480 examples of both responses were not enough" in adapted.reasons[0]
    opposed = card.constants | {"cosine": replace(card.constants["cosine"], estimate=-1.0)}
    kept = {name: replace(opposed[name], estimate=1.0) for name in ("aligning", "perturbing")}
    for share, surer in ((0.04, False), (0.11, True)):
        closed = replace(card, closure=share, constants=opposed | kept)
        assert closed.applies
        assert ("would make the forecast surer" in " ".join(closed.sentences())) == surer
    assert not replace(card, closure=0.13, constants=opposed | kept).applies
    for cosine, passed in ((-1.01, True), (-0.97, False), (2.41, True)):
        constants = opposed | kept | {"cosine": Interval(cosine, cosine - 0.06, cosine + 0.06)}
        read = replace(card, closure=0.04, constants=constants)
        show(read, "prefs")
        assert ("noise takes it beyond 1" in " ".join(capsys.readouterr().out.split())) == passed
        assert read.applies == (cosine < 0)
    assert ["share too little for a cosine" in reason for reason in read.reasons] == [True]


def test_a_folder_of_a_shipped_name_is_in_nobodys_way(tmp_path, monkeypatch):
    """Results lie in folders of such names; a file goes before what is shipped."""
    (tmp_path / "tone").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_pairs("tone").sha256 == Pairs("tone", shipped()["tone"].pairs()).sha256
    (tmp_path / "advice").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}')
    with pytest.raises(InputError, match="advice"):
        read_pairs("advice")


def test_pairs_that_are_nowhere_name_what_can_be_given():
    with pytest.raises(InputError, match=r"no such file of pairs .*columns prompt, chosen and rejected.*advice, "):
        read_pairs("prefs.jsonl")
    with pytest.raises(InputError, match="no such file of pairs"):
        read_pairs("advize")
