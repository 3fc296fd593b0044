"""The defence experiment on a tiny model: what each wrapper of training does to the weights, and the grid end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath.curve import Curve
from elastomath.defences.defence import ATTACKS, DEFENCES
from elastomath.laws.logit import undo_volume
from elastomath.laws.preferences import dpo_undo_volume
from empirical.defence import DefenceSettings, defence
from empirical.defence.answers import conclusion, formula_error, grid_rows, ranking
from empirical.defence.figures import defence_figure
from empirical.defence.run import _Defended
from empirical.durability.answers import contrast_of
from empirical.laboratory.laboratory import Equipment, close_laboratory, open_laboratory
from empirical.training.finetune import train
from paper_checks.cli.commands import main


@pytest.fixture(scope="module")
def prefs(tmp_path_factory):
    starts = [
        f"{a} {b}" for a in ("the film", "a word", "water", "light") for b in ("falls", "drags", "is slow", "is good")
    ]
    rows = [
        {"prompt": f"{start} {end}, and the film is", "chosen": " good", "rejected": " slow"}
        for start in starts
        for end in ("on", "and", "half")
    ]
    file = tmp_path_factory.mktemp("prefs") / "prefs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return str(file)


def settings_of(tiny_model, prefs, **options):
    given = {"defences": ("dpo-best", "average"), "attacks": ("sft", "mixed")} | options
    return DefenceSettings(
        model=str(tiny_model), pairs=(prefs,), volume=16, attack_most=32, held_out=16, adapt_most=64, adapt_learning_rate=3e-3,
        learning_rate=3e-2, max_tokens=8, **given,
    )  # fmt: skip


def plain_rows(told):
    return [row for row in told["defence"] if row["defence"] == "sft"]


def test_the_grid_is_written_ranked_and_not_run_twice(tiny_model, prefs, tmp_path):
    settings = settings_of(tiny_model, prefs)
    told = defence(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert told["runs"] == {"done": 3, "failed": 0, "total": 3}  # plain fine-tuning is always among them
    assert set(Curve.read(told["curve"]).frame["component"]) == {"pretrain", "align", "perturb"}
    plain = [row for row in told["defence"] if row["defence"] == "sft"]
    assert all(row["z"] > row["z0"] for row in plain)
    assert {(entry["attack"], entry["defence"]) for entry in told["ranking"]} == {
        (attack, name) for attack in ("sft", "mixed") for name in ("sft", "dpo-best", "average")
    }
    for entry in told["ranking"]:
        if entry["defence"] == "sft":
            assert entry["gain"]["estimate"] == pytest.approx(1.0)
    for row in told["defence"]:
        gain, plain = row["gain"], next(p for p in plain_rows(told) if p["attack"] == row["attack"])
        if row["undo_volume"]["estimate"] and plain["undo_volume"]["high"]:
            assert gain["low"] <= row["undo_volume"]["estimate"] / plain["undo_volume"]["estimate"] <= gain["high"]
        if row["defence"] == "sft" and plain["undo_volume"]["high"]:
            assert gain["low"] == gain["high"] == pytest.approx(1.0)  # paired: the same draws
    again = defence(settings, tmp_path / "out", device="cpu", dtype="float32")
    assert again["defence"] == told["defence"]


@pytest.fixture
def bench(tiny_model, prefs, tmp_path):
    def make(name):
        settings = settings_of(tiny_model, prefs, defences=(name,))
        equipment = Equipment.of(settings, tmp_path / "bench", "cpu", "float32", False)
        chosen = [c for c in settings.configurations(equipment.training, "tiny", {prefs: "x"}) if c["defence"] == name]
        return _Defended(open_laboratory(equipment), chosen[0])

    yield make
    close_laboratory()


def weights_after(bench):
    plain = bench.measured(bench.adapted())
    stage = bench.defended(bench.start() or bench.adapted(), plain.result)
    bench.laboratory.enter(stage)
    return bench.laboratory._copied()


def test_plain_fine_tuning_is_that_of_every_other_protocol(bench):
    one = bench("sft")
    ours = weights_after(one)
    lab = one.laboratory
    lab.enter(one.adapted())
    lab._at = None
    optimiser = lab.optimiser(3e-2, plain=True)
    train(lab.model, optimiser, one.train["align"][slice(0, 16)], batch=4, learning_rate=3e-2)
    for name, value in lab._copied().items():
        assert torch.allclose(ours[name], value, atol=1e-6)


def test_what_each_wrapper_moves(bench):
    plain = weights_after(bench("sft"))
    one = bench("average")
    one.laboratory.enter(one.adapted())
    base = one.laboratory._copied()
    averaged, frozen = weights_after(one), weights_after(bench("frozen"))
    for name, value in averaged.items():
        assert torch.allclose(value, (plain[name] + base[name]) / 2, atol=1e-6)
    moved = {name for name, value in frozen.items() if not torch.equal(value, base[name])}
    assert moved
    assert all(".layers.1." in name for name in moved)
    flat = weights_after(bench("flat"))
    assert any(not torch.equal(flat[name], plain[name]) for name in plain)


def test_an_adapter_is_of_its_rank_and_is_folded_or_dropped(bench):
    one = bench("adapter")
    one.laboratory.enter(one.adapted())
    base = one.laboratory._copied()
    low = weights_after(one)
    ranks = {
        name: int(torch.linalg.matrix_rank(low[name] - base[name], rtol=1e-3)) for name in base if base[name].ndim == 2
    }
    assert max(ranks.values()) == 4
    assert all(
        torch.equal(low[name], base[name]) for name in base if base[name].ndim != 2 or "embed" in name or "head" in name
    )
    defended = one.defended(one.adapted(), one.measured(one.adapted()).result)
    floor = float(np.mean(contrast_of(one.measured(one.adapted()).result)))
    readings = one.attacked(defended, ATTACKS["adapter"], 1.0, floor, 16).result["readings"]
    assert np.mean(contrast_of(readings[-1])) < np.mean(contrast_of(one.measured(defended).result))
    one.laboratory.enter(defended)
    assert list(one.laboratory._copied()) == list(base)  # no parametrization is left
    assert all(torch.equal(value, low[name]) for name, value in one.laboratory._copied().items())


def test_meta_training_leaves_the_attack_behind(bench):
    """One step by hand: the gradient behind the steps of attack, taken at the weights before them, and neutral text at these."""
    one = bench("tamper")
    adapted = one.adapted()
    one.laboratory.enter(adapted)
    one.laboratory._at = None
    base, rows = one.laboratory._copied(), np.arange(4)
    row, moved = one.defence, one._moved(one.defence)
    plus, minus = one.train["align"][rows], one.opposed[rows]
    before = [one._read_codes(side) for side in (plus, minus)]
    text = one.texts[rows]
    kept = torch.autograd.grad(one._codes(text).sum() / text.target_count, moved)
    with one._displaced():
        one._walk_ahead(row, rows)
        assert any(not torch.equal(value, base[name]) for name, value in one.laboratory._copied().items())
        slope = torch.autograd.grad(one._loss(row, 0.5, plus, minus, before) / (plus.target_count / 4), moved)
    by_hand = [
        value.detach() - 3e-2 * (one_part + two) for value, one_part, two in zip(moved, slope, kept, strict=True)
    ]
    one._step(row, 0.5, rows, before)
    for value, wanted in zip(moved, by_hand, strict=True):
        assert torch.allclose(value, wanted, atol=1e-7)


@pytest.mark.parametrize("name", DEFENCES)
def test_every_defence_trains(bench, name):
    one = bench(name)
    now = weights_after(one)
    assert all(torch.isfinite(value).all() for value in now.values())
    assert one.volume == round(16 * DEFENCES[name].stretch)


def test_an_attack_is_made_of_what_it_says(bench):
    one, kept = bench("sft"), bench("replay-50")
    token, other = (one.train[side].ids(0)[1] for side in ("perturb", "align"))

    def counts(data):
        responses = [data.ids(row)[1] for row in range(len(data))]
        return sum(ids == token for ids in responses), sum(ids == other for ids in responses)

    assert counts(one.attacking(ATTACKS["sft"])) == (32, 0)
    assert counts(one.attacking(ATTACKS["mixed"])) == (16, 0)
    assert counts(one.attacking(ATTACKS["benign"])) == (0, 0)
    assert counts(kept.attacking(ATTACKS["sft"])) == (16, 16)
    assert counts(kept.attacking(ATTACKS["mixed"])) == (8, 8)
    few = one.attacking(ATTACKS["few"])
    assert len({tuple(few.ids(row)[0]) for row in range(32)}) == 16


def _row(defence, seed, undone, lost=0.0, attack="sft"):
    interval = {"estimate": undone, "low": undone or 96.0, "high": undone, "level": 0.95, "unit": "", "method": ""}
    return {
        "pairs": "p", "seed": seed, "defence": defence, "attack": attack, "undo_volume": interval, "forecast": 10.0,
        "gain": {"estimate": 1.0, "low": 0.9, "high": 1.1},
        "same_rate": interval, "lost": {"estimate": lost, "low": lost - 1e-3, "high": lost + 1e-3},
        "z0": 0.0, "volume": 64, "c_align": 0.1, "beta": 0.5,
    }  # fmt: skip


def test_ranks_are_over_paired_groups_and_ties_are_ties():
    rows = [_row("sft", seed, 10.0 + seed) for seed in range(4)]
    rows += [_row("dpo-best", seed, (30.0 + seed) * (1 + 0.01 * seed)) for seed in range(4)]
    rows += [_row("npo", seed, None, lost=0.5) for seed in range(4)]
    rows += [_row("average", seed, (10.0 + seed) * np.exp([0.2, -0.2, 0.1, -0.1][seed])) for seed in range(4)]
    told = {entry["defence"]: entry for entry in ranking(rows)}
    assert told["npo"]["rank"] == 1
    assert told["npo"]["gain"]["high"] is None
    assert told["dpo-best"]["rank"] == 2
    assert told["sft"]["rank"] == told["average"]["rank"] == 3
    sentence = conclusion({"ranking": ranking(rows), "defence": rows})[0]
    assert "DPO at the planned beta lasts longest" in sentence  # NPO costs half of the utility
    assert "beyond the interval: this one alone." in sentence
    formula = formula_error(rows)
    gain = float(dpo_undo_volume(0.0, 64, 0.1, 0.5) / undo_volume(0.0, 64, 0.1))
    seen = [(30.0 + seed) * (1 + 0.01 * seed) / (10.0 + seed) for seed in range(4)]
    assert formula.estimate == pytest.approx(np.median([abs(gain / one - 1) for one in seen]))
    drawn = defence_figure({"ranking": ranking(rows), "defence": rows})
    assert len(drawn.axes) == 2


def test_the_verb_plans_and_refuses(prefs, tiny_model, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["experiment", "defence", "--model", str(tiny_model), "--pairs", prefs, "--dry-run", "--json"])
    assert stopped.value.code == 0
    assert "attacks, at most" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["experiment", "defence", "--defences", "moat", "--dry-run"])
    assert stopped.value.code == 2
    assert "moat" in capsys.readouterr().err


def test_a_gain_has_an_estimate_where_most_draws_do_not_come_back():
    """The mean course comes back; a draw of prompts may not, and a quotient of draws has no median then."""
    result = {
        "configuration": {"pairs": "p", "seed": 0, "defence": "npo", "volume": 16, "learning_rate": 1.0, "batch": 4},
        "floor": {
            "chosen": [1.0] * 8,
            "rejected": [1.0] * 8,
            "aligning": 0.1,
            "perturbing": 0.1,
            "neutral": [9.0, 9.0],
        },
        "beta": 0.3,
    }
    result["before"] = result["floor"]
    result["defended"] = result["floor"] | {"rejected": [3.0] * 8}
    last = [1.0 - 0.001 * (1 if i else 8) for i in range(8)]
    reading = {"volume": 8, "chosen": [1.0] * 8, "rejected": [2 - value for value in last[1:]] + [0.99]}
    result["attacks"] = {"few": {"1.0": [reading]}}
    plain = result | {"configuration": result["configuration"] | {"defence": "sft"}}
    rows = grid_rows([plain, result])
    assert rows[1]["undo_volume"]["estimate"] == pytest.approx(8, rel=0.01)
    assert rows[1]["gain"]["estimate"] == pytest.approx(1.0)
    # a draw in which plain fine-tuning does not come back bounds the gain from neither side
    assert rows[1]["gain"]["low"] is None
    assert rows[1]["gain"]["high"] is None
    assert rows[0]["gain"]["low"] == rows[0]["gain"]["high"] == 1.0


def _not_undone(row, tried):
    volume = row["undo_volume"] | {"estimate": None, "low": tried, "high": None}
    return row | {"undo_volume": volume, "gain": row["gain"] | {"high": None}}


def test_nothing_lasts_longer_than_what_was_not_undone():
    """NPO was undone by 60, DPO not by the 48 that were tried: it may last as long."""
    rows = [_row("sft", seed, 10.0 + seed) for seed in range(4)]
    rows += [_row("npo", seed, (60.0 + seed) * (1 + 0.01 * seed)) for seed in range(4)]
    rows += [_not_undone(_row("dpo-best", seed, 1.0), 48.0) for seed in range(4)]
    entries = {entry["defence"]: entry for entry in ranking(rows)}
    assert [entries[name]["rank"] for name in ("npo", "dpo-best", "sft")] == [1, 1, 3]


def test_a_gain_over_what_was_not_undone_has_no_lower_end():
    """Plain fine-tuning was not undone by 50 in one seed: that the other way was undone by 30 says at most 0.6."""
    rows = [_row("sft", seed, 10.0 + seed) for seed in range(3)] + [_not_undone(_row("sft", 3, 1.0), 50.0)]
    rows += [_row("npo", seed, 30.0 + seed) for seed in range(4)]
    gain = next(entry for entry in ranking(rows) if entry["defence"] == "npo")["gain"]
    assert gain["estimate"] is None
    assert gain["low"] is None
    assert gain["high"] > 0


def test_an_end_that_is_open_in_one_of_few_groups_is_open_in_their_mean():
    rows = [_row("sft", seed, 10.0) for seed in range(2)] + [_row("npo", seed, 30.0) for seed in range(2)]
    rows[2]["gain"] = {"estimate": 3.0, "low": 2.9, "high": None}
    rows[3]["gain"] = {"estimate": 3.0, "low": 2.9, "high": 3.1}
    gain = next(entry for entry in ranking(rows) if entry["defence"] == "npo")["gain"]
    assert gain["low"] == pytest.approx(2.93, abs=0.02)
    assert gain["high"] is None


def test_a_curve_of_a_replay_counts_opposed_examples_alone():
    """Four examples, half of them replayed, are two opposed ones, as in the row of the same run; the curve had four."""
    from empirical.defence.run import run_curve

    def reading(volume, z):
        return {"volume": volume, "chosen": [1.0, 1.0], "rejected": [1.0 + z, 1.0 + z]}

    configuration = {"defence": "replay-50", "share": 0.5, "adapt_most": 8, "volume": 16, "pairs": "tone"}
    configuration |= dict.fromkeys(("model", "seed", "learning_rate", "batch", "dtype"), 0)
    attacks = {"sft": {"1.0": [reading(4, 1.0), reading(8, -1.0)]}}
    curve = run_curve({"configuration": configuration, "defended": reading(0, 2.0), "attacks": attacks})
    (run,) = curve
    assert run.perturbations.tolist() == [0.0, 2.0, 4.0]
    assert run.volumes[-1] == 4.0
