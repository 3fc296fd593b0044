"""The inversion protocol on a tiny model: states at their levels, costs that add up, open ends, resuming, and refusals."""

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
from empirical.inversion import run as protocol
from empirical.inversion.costs import Crossing, Path, joint_ratio, leg_costs, paths, scale_of, summarise
from empirical.inversion.figures import inversion_figure
from empirical.inversion.run import inversion
from empirical.inversion.settings import InversionSettings
from empirical.laboratory import laboratory

from .protocol_subprocess import records, write_reviews

GOOD, BAD = ["light", "water", "good", "film", "word", "fine"], ["slow", "drags", "half", "not", "never", "dull"]


@pytest.fixture(scope="module")
def settings(tiny_model, tmp_path_factory) -> InversionSettings:
    folder = tmp_path_factory.mktemp("reviews")
    return InversionSettings(
        model=str(tiny_model),
        align=write_reviews(folder, "good", GOOD, 160),
        opposed=write_reviews(folder, "bad", BAD, 160),
        adapt_volume=16,
        align_volume=40,
        budget=24,
        readings=5,
        held_out=10,
        max_tokens=12,
        learning_rate=2e-3,
        batch=4,
        seeds=(0,),
    )


def run(settings, out, **more):
    return inversion(settings, out, **({"device": "cpu", "dtype": "float32"} | more))


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("inversion")
    return out, run(settings, out)


def results(out):
    with Ledger(out / "inversion.sqlite") as ledger:
        rows = ledger._connection.execute("SELECT result FROM runs ORDER BY key").fetchall()
    return [json.loads(row[0]) for row in rows]


def test_states_lie_at_their_levels_and_legs_start_there(settings, finished):
    result = finished[1]
    assert result["runs"] == {"done": 1, "failed": 0, "total": 1}
    seed = result["seeds"][0]
    assert seed["scale"]["moved"] > 3 * seed["scale"]["se"]
    legs = seed["legs"]
    assert set(legs) == {"way up", "forward", "inverse", "control", "descent", "again"}
    assert (legs["way up"]["alignment"][0], legs["way up"]["alignment"][-1]) == (0.0, 1.0)
    for leg, start in (("forward", 0.6), ("again", 0.6), ("inverse", 0.9), ("control", 0.9), ("descent", 1.0)):
        assert legs[leg]["alignment"][0] == pytest.approx(start, abs=settings.tolerance)
    for leg in ("forward", "inverse", "descent"):
        cost, path = legs[leg]["cost"]["examples"], legs[leg]
        assert 0 <= cost["low"] < cost["estimate"] <= cost["high"]
        end = path["alignment"][-1]
        assert end >= 0.9 if leg == "forward" else end <= 0.6  # the leg stops at its first crossing
        assert all(a < 0.9 if leg == "forward" else a > 0.6 for a in path["alignment"][:-1])
    assert all(0 < state["fraction"] <= 1 for state in seed["states"].values())


def test_the_curve_holds_the_ways_down(settings, finished):
    out, result = finished
    curve = Curve.read(result["curve"])
    assert curve.runs == ("inverse-seed-0", "control-seed-0", "descent-seed-0")
    down = curve.run("descent-seed-0")
    np.testing.assert_array_equal(down.volumes[:2], [16, 40])
    assert down.rates[down.components.index("perturb"), -1] < down.rates[down.components.index("perturb"), 0]
    assert json.loads((out / "inversion.json").read_text()) == json.loads(json.dumps(result))
    assert len(inversion_figure(result).axes) == 2
    assert not list((out / "stages").glob("*.safetensors"))


def test_costs_are_those_of_the_data_that_was_sent(finished):
    """Bits are the training losses of the first pass times their tokens, and tokens and steps belong to the examples."""
    for one in results(finished[0]):
        for leg in (one["up"], *one["legs"].values()):
            costs, losses = np.array(leg["costs"]), np.array(leg["losses"])
            assert costs[-1, 2] == len(losses) == np.ceil(costs[-1, 0] / 4)
            per_step = np.diff(costs[:, 3]) / np.diff(costs[:, 1])
            assert per_step.min() >= losses.min() / NATS_PER_BIT - 1e-9
            assert per_step.max() <= losses.max() / NATS_PER_BIT + 1e-9
            assert (np.diff(costs, axis=0) > 0).all()


def test_alignment_is_the_share_of_the_contrast(finished):
    one = results(finished[0])[0]
    zero, full = scale_of(one)
    reading = one["legs"]["inverse"]["readings"][-1]
    rates = {
        kind: np.sum(reading[f"nats_{kind}"]) / np.sum(reading[f"tokens_{kind}"]) / NATS_PER_BIT
        for kind in ("opposed", "align")
    }
    wanted = (rates["opposed"] - rates["align"] - zero) / (full - zero)
    assert paths(one)["inverse"].alignment[-1] == pytest.approx(wanted, abs=1e-12)
    swapped = {"opposed": "align", "align": "opposed"}
    mutant = (rates[swapped["opposed"]] - rates[swapped["align"]] - zero) / (full - zero)
    assert abs(mutant - wanted) > 0.1


def test_stopped_and_started_again_it_ends_alike_and_repeats_nothing(settings, finished, tmp_path, monkeypatch):
    """In the middle of a leg; test_resistance kills another process with SIGKILL, through the same stages."""
    true, calls = laboratory.train, {"count": 0}

    def dying(*args, **kwargs):
        calls["count"] += 1
        if calls["count"] == 12:
            raise KeyboardInterrupt
        return true(*args, **kwargs)

    monkeypatch.setattr(laboratory, "train", dying)
    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path)
    before = records(tmp_path)
    assert 2 < len(before) < 8
    again = run(settings, tmp_path)
    assert {name: stamp for name, stamp in records(tmp_path).items() if name in before} == before
    assert results(tmp_path) == results(finished[0])
    assert again["seeds"] == finished[1]["seeds"]


def test_a_level_beyond_the_budget_is_open_and_is_told(settings, finished, tmp_path):
    result = run(replace(settings, learning_rate=2e-4, budget=4, control=False, align_volume=80), tmp_path)
    seed = result["seeds"][0]
    assert seed["legs"]["inverse"]["cost"]["examples"]["estimate"] is None
    assert seed["legs"]["inverse"]["cost"]["examples"]["low"] == 4
    assert "again" not in seed["legs"]
    assert result["ratios"]["inverse / forward"]["examples"]["estimate"] is None
    assert any("over 4 examples" in line for line in result["reading"])
    inversion_figure(result)


def made_run(top: float, opposed: float, k: float = 200.0, full: float = 400.0) -> dict:
    """A run that follows R13 exactly, as readings of two held-out sets: contrast = alignment."""
    from elastomath.laws.rebound import Scores, score

    def reading(a):
        return {"nats_opposed": [NATS_PER_BIT * (5 + a)] * 3, "tokens_opposed": [1, 1, 1]} | {
            "nats_align": [NATS_PER_BIT * 5.0] * 3,
            "tokens_align": [1, 1, 1],
        }

    def leg(examples, values):
        costs = [[n, 20.0 * n, n / 4, 90.0 * n] for n in examples]
        return {"costs": costs, "readings": [reading(float(a)) for a in values], "losses": []}

    scores = Scores(0.0, top, -opposed)
    n = np.linspace(0, full, 201)
    a = score(scores, k, n, 0.0)
    at = {level: float(np.interp(level, a, n)) for level in (0.6, 0.9)}
    m = np.linspace(0, 300, 601)
    rest = np.linspace(0, full - at[0.6], 401)
    legs = {
        "forward": leg(rest, score(scores, k, at[0.6] + rest, 0.0)),
        "inverse": leg(m, score(scores, k, at[0.9], m)),
    }
    return {"configuration": {"seed": 0}, "up": leg(n, a), "legs": legs, "states": {}}


def test_a_run_that_obeys_joint_compression_is_told_so():
    """Observed over predicted is 1 for R13 and not for R19; the ratio is (A - lo)/(A + lo)."""
    top = (200 + 400) / 400  # A with a(400) = 1 at k = 200
    found = summarise([made_run(top, top)], 0.6, 0.9)
    assert found["ratios"]["inverse / forward"]["examples"]["estimate"] == pytest.approx(
        joint_ratio(top, top, 0.6), rel=1e-3
    )
    joint, forgetting = found["predictions"]
    assert joint["observed_over_predicted"]["estimate"] == pytest.approx(1, rel=1e-3)
    assert abs(forgetting["observed_over_predicted"]["estimate"] - 1) > 0.05
    bits = found["seeds"][0]["legs"]["inverse"]["cost"]
    assert bits["bits"]["estimate"] == pytest.approx(90 * bits["examples"]["estimate"])
    over = found["seeds"][0]["ratios_over_documents"]["inverse / forward"]
    assert over["low"] == pytest.approx(over["high"])  # documents that are all alike leave no error


def test_the_way_up_and_the_descent_count_between_their_crossings():
    def straight(values):
        return Path(np.outer(np.arange(len(values)) * 10.0, [1, 1, 1, 1]), np.array(values))

    costs = leg_costs({"way up": straight([0, 0.5, 1.0]), "descent": straight([1.0, 0.8, 0.6])}, 0.6, 0.9)
    assert costs["way up"].estimate[0] == pytest.approx(6)
    assert costs["descent"].estimate[0] == pytest.approx(15)
    assert (costs["descent"].low[0], costs["descent"].high[0]) == (0.0, 20.0)
    assert leg_costs({"descent": straight([1.0, 0.95])}, 0.6, 0.9)["descent"] == Crossing((0.0,) * 4, None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 0.9, "high": 0.6}, "low < high"),
        ({"high": 1.0}, "high has to be finite, > 0 and < 1"),
        ({"tolerance": 0.2}, "tolerance"),
        ({"adapt_volume": 15}, "even"),
        ({"readings": 30}, "readings"),
        ({"held_out": 1}, ">= 2"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"seeds": ()}, "seeds"),
        ({"measure": "kl"}, "measure"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(settings, change, message):
    with pytest.raises(InputError, match=message):
        replace(settings, **change)


def test_the_roles_can_be_exchanged(settings, tmp_path):
    """The protocol is the same for the other kind: aligned on what was opposed, the contrast of the roles rises again."""
    other = replace(settings, align=settings.opposed, opposed=settings.align, control=False)
    assert run(other, tmp_path)["seeds"][0]["scale"]["moved"] > 0


def test_behaviour_in_the_place_of_the_contrast(settings, tmp_path):
    """The scale is the mean score then; the classifier's accuracy on texts that it never saw is told."""
    small = replace(settings, measure="behaviour", continuations=160, sample_tokens=6, control=False, tolerance=0.1)
    result = run(replace(small, align_volume=60, learning_rate=1e-2), tmp_path)
    seed, one = result["seeds"][0], results(tmp_path)[0]
    assert seed["classifier"]["low"] > 0.7
    scores = [np.mean(reading["scores"]) for reading in one["up"]["readings"]]
    assert seed["scale"]["full"] == pytest.approx(scores[-1])
    assert seed["scale"]["moved"] == pytest.approx(scores[-1] - scores[0])
    assert seed["legs"]["inverse"]["alignment"][0] == pytest.approx(0.9, abs=0.1)


def test_data_with_prompts_are_split_and_judged_by_prompt(settings, tmp_path):
    """Two responses of each kind to a prompt: no prompt that is held out is trained on, and readings know the prompts."""
    rng = np.random.default_rng(0)
    lines = [
        {"prompt": f"film {number}", "response": " ".join(rng.choice(GOOD if safe else BAD, 8)), "is_safe": safe}
        for number in range(120) for safe in (True, True, False, False)
    ]  # fmt: skip
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = replace(settings, align=f"{file}#safe", opposed=f"{file}#unsafe", control=False)
    (configuration,) = own.configurations({}, "", {})
    assert configuration["split"] == "prompt"
    kinds = []
    true = protocol.split_kinds

    def watched(*args):
        kinds.append(true(*args))
        return kinds[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "split_kinds", watched)
        assert run(own, tmp_path / "out")["runs"]["done"] == 1
    parts = kinds[0]
    held = {example.prompt for kind in parts for example in parts[kind]["held"]}
    rest = {
        example.prompt for kind in parts for name, part in parts[kind].items() if name != "held" for example in part
    }
    assert len(held) == 5
    assert not held & rest
    reading = results(tmp_path / "out")[0]["up"]["readings"][0]
    assert len(set(reading["prompts_align"]) | set(reading["prompts_opposed"])) == 5
    assert len(reading["prompts_align"]) == settings.held_out


def test_an_alignment_that_does_not_align_has_no_scale(settings, tmp_path):
    with pytest.raises(InputError, match="there is no scale"):
        run(replace(settings, learning_rate=1e-30), tmp_path)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_protocol_runs_on_cuda(settings, tmp_path):
    assert run(settings, tmp_path, device="cuda")["runs"]["done"] == 1


def test_a_model_with_dropout_walks_the_same_way_again(tiny, settings, tmp_path, monkeypatch):
    """GPT-2 drops a tenth of its states in training: a state is landed on only if the same ones fall again."""
    walked, trained = {}, protocol._Bench._train

    def train(self, optimiser, data, steps_done):
        losses = trained(self, optimiser, data, steps_done)
        for step, loss in enumerate(losses, steps_done):
            batch = data[
                slice((step - steps_done) * self.settings.batch, (step - steps_done + 1) * self.settings.batch)
            ]
            walked.setdefault((step, laboratory.fingerprint(batch)), []).append(loss)
        return losses

    monkeypatch.setattr(protocol._Bench, "_train", train)
    dropping = replace(settings, model=str(tiny("gpt2")), learning_rate=5e-3, control=False)
    result = run(dropping, tmp_path / "a")
    assert result["runs"] == {"done": 1, "failed": 0, "total": 1}
    legs = result["seeds"][0]["legs"]
    for leg, start in (("forward", 0.6), ("inverse", 0.9)):
        assert legs[leg]["alignment"][0] == pytest.approx(start, abs=settings.tolerance)
    again = [losses for losses in walked.values() if len(losses) > 1]
    assert again
    assert all(len(set(losses)) == 1 for losses in again), (
        "every step that was walked again is the same step, bit for bit"
    )
