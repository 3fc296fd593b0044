"""The protocol `scale`: a family trained here, given models, slopes that are known beforehand, SIGKILL and back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath import Curve
from elastomath.errors import InputError
from empirical.laboratory.laboratory import Equipment, close_laboratory
from empirical.models.loading import load_model
from empirical.rebound.settings import ReboundSettings
from empirical.scale.answers import answers, joint_measures, power_law, predictors, undoing_volume
from empirical.scale.family import Family, FamilySettings, byte_pairs
from empirical.scale.figures import scale_figure
from empirical.scale.run import scale
from empirical.scale.settings import ScaleSettings

from .protocol_subprocess import counted_trainings, killed_at_training, write_reviews

WORDS = {
    "good": ["light", "water", "good", "film", "word", "fine"],
    "bad": ["slow", "drags", "half", "not", "never", "dull"],
}


@pytest.fixture
def texts(tmp_path) -> tuple[str, str]:
    good, bad = (write_reviews(tmp_path, kind, words, 160) for kind, words in WORDS.items())
    return good, bad


@pytest.fixture
def settings(texts) -> ScaleSettings:
    rebound = ReboundSettings(
        align=texts[0],
        perturb=texts[1],
        adapt_volume=0,
        pretrain_volume=1.0,
        align_volumes=(16,),
        perturb_volumes=(8, 16),
        held_out=16,
        kl_documents=2,
        prompt="",
        max_tokens=12,
        learning_rate=3e-3,
        batch=8,
        warmup=0,
        seeds=(0, 1),
    )
    family = FamilySettings(
        sizes=("16x1", "32x1", "48x1"), volumes=(16, 64), texts=texts, vocabulary=280, max_tokens=12, batch=8, warmup=2
    )
    return ScaleSettings((rebound,), family, 16)


def run(settings: ScaleSettings, out):
    return scale(settings, out, device="cpu", dtype="float32")


def equipment(tmp_path) -> Equipment:
    return Equipment("family", str(tmp_path / "out" / "stages"), device="cpu", dtype="float32")


def test_a_family_is_trained_run_and_answered_for(settings, tmp_path):
    result = run(settings, tmp_path / "out")
    assert result["runs"] == {"done": 12, "failed": 0, "total": 12}
    curve = Curve.read(result["curve"])
    assert len(curve.runs) == 12
    first = curve.run("32x1-64-align-16-seed-1")
    np.testing.assert_array_equal(first.volumes, [64, 16, 16])
    frame = curve.frame.groupby("run").first()
    assert set(frame["parameters"]) == {settings.family.parameters(size) for size in settings.family.sizes}
    assert set(frame["pretrain_volume"]) == {16, 64}
    assert set(frame["seed"]) == {0, 1}
    group = result["groups"][0]
    assert group["predictors"] == ["parameters", "pretrain_volume"]
    told = group["measures"]["held_out_rate"]["exponent"]
    assert told["pretrain_volume"]["high"] < 0  # more pre-training, shorter codes
    rates = {(row["size"], row["pretrain_volume"], row["seed"]): row["held_out_rate"] for row in result["readings"]}
    assert all(rates[size, 64, seed] < rates[size, 16, seed] for size in settings.family.sizes for seed in (0, 1))
    assert all(row["rise"] > 2 * row["rise_se"] for row in result["readings"] if row["pretrain_volume"] == 64)
    assert len(list((tmp_path / "out" / "stages").glob("*.safetensors"))) == 0  # only the members are kept
    member = next((tmp_path / "out" / "family").glob("*/48x1-64"))
    assert load_model(member, device="cpu").parameters == settings.family.parameters("48x1")
    axes = scale_figure(json.loads((tmp_path / "out" / "scale.json").read_text())).axes
    assert axes[0].get_title(loc="left") == "held-out rate at the start"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    again = run(settings, tmp_path / "out")
    assert again["readings"] == result["readings"]
    assert {path: path.stat().st_mtime_ns for path in before} == before  # nothing is trained a second time


def test_a_larger_volume_continues_a_smaller_one_whichever_checkpoints_are_kept(settings, tmp_path):
    family = settings.family
    hashes = []
    for name, volumes in (("many", (16, 32, 64)), ("one", (64,))):
        own = replace(equipment(tmp_path), folder=str(tmp_path / name / "stages"))
        members = Family(replace(family, volumes=volumes), own, 0, [])
        path = [members.member("16x1", volume) for volume in volumes][-1]
        hashes.append((path / "model.safetensors").read_bytes())
        close_laboratory()
    assert hashes[0] == hashes[1]
    other = Family(replace(family, volumes=(64,)), replace(own, folder=str(tmp_path / "o" / "stages")), 1, [])
    assert (other.member("16x1", 64) / "model.safetensors").read_bytes() != hashes[0]


def test_no_member_has_seen_what_is_held_out(settings, tmp_path):
    from empirical.rebound.run import parts_of
    from empirical.scale.run import _taken

    run_ = settings.planned(equipment(tmp_path))[0]
    taken = {example.text for example in _taken(run_)}
    assert {example.text for part in parts_of(run_).values() for example in part} <= taken
    family = Family(settings.family, equipment(tmp_path), 0, _taken(run_))
    seen = [example.text for example in family.examples]
    assert len(set(seen)) == 64
    assert not taken & set(seen)
    kinds = ["good" if any(word in WORDS["good"] for word in text.split()) else "bad" for text in seen]
    assert kinds == ["good", "bad"] * 32


def test_the_tokenizer_is_the_same_each_time_and_gives_the_text_back():
    text = "A slow film, and a good one: Größe, 映画 🎬"
    one, two = (byte_pairs([text, "a slow day"] * 5, 290) for _ in range(2))
    assert one.get_vocab() == two.get_vocab()
    assert len(one) <= 290
    assert one.decode(one(text)["input_ids"]) == text


def test_given_models_and_revisions(settings, tiny_model, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    model = load_model(other, device="cpu").model
    model.resize_token_embeddings(320)
    model.save_pretrained(other)
    template = replace(settings.rebounds[0], adapt_volume=8, seeds=(0,), pretrain_volume=None)
    rebounds = tuple(replace(template, model=str(path)) for path in (tiny_model, other))
    result = run(ScaleSettings(rebounds, None, 16), tmp_path / "out")
    assert result["runs"]["done"] == 2
    assert result["groups"][0]["predictors"] == ["parameters"]
    assert result["groups"][0]["laws"] == []
    slope = result["groups"][0]["measures"]["held_out_rate"]["slope"]["parameters"]
    rows = result["readings"]
    doublings = np.log2(rows[1]["parameters"] / rows[0]["parameters"])
    assert slope["estimate"] == pytest.approx((rows[1]["held_out_rate"] - rows[0]["held_out_rate"]) / doublings)
    assert slope["low"] is None  # one seed bounds nothing
    pairs = ScaleSettings.of(given={"adapt_volume": 8, "models": ("a/b",), "revisions": ("r1", "r2")}).rebounds
    assert [(r.model, r.revision) for r in pairs] == [("a/b", "r1"), ("a/b", "r2")]
    volumes = ScaleSettings.of("paper-volume").rebounds
    assert [r.pretrain_volume for r in volumes] == sorted(r.pretrain_volume for r in volumes)


def test_the_kernel_of_a_behaviour_is_that_of_its_card_at_the_member(settings, tmp_path):
    from empirical.behaviours import read_pairs
    from empirical.durability.predict import predict

    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"film {n}: ", "chosen": "good light", "rejected": "slow dull"} for n in range(40)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rebound = replace(settings.rebounds[0], seeds=(0,), control=False)
    family = replace(settings.family, sizes=("16x1", "32x1"), volumes=(64,))
    own = ScaleSettings((rebound,), family, 16, (str(pairs),))
    result = run(own, tmp_path / "out")
    name = f"relative kernel of {pairs}"
    for row in result["readings"]:
        member = load_model(
            next((tmp_path / "out" / "family").glob(f"*/{row['size']}-64")), device="cpu", dtype="float32"
        )
        card = predict(member, read_pairs(pairs), (1,), learning_rate=3e-3, max_tokens=96, autocast="float32")
        relative = card.constants["relative"]
        assert row[name] == pytest.approx(relative.estimate, rel=1e-5)
        assert row[f"{name}_se"] == pytest.approx((relative.high - relative.low) / 2 / 2.3646, rel=0.1)
    assert any(line.startswith(f"the {name} ") for line in result["reading"])
    below = scale_figure(json.loads((tmp_path / "out" / "scale.json").read_text())).axes[6]
    assert name in [label.get_text() for label in below.get_yticklabels()]


def planted(size: float, volume: float, seed: int, docs: int = 60) -> dict:
    """A run whose contrasts follow P^0.3 V^-0.5 exactly, documents with noise that every reading shares."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(20, 40, docs).astype(float)
    own = {role: rng.standard_normal(docs) for role in ("align", "perturb")}
    scale_ = size**0.3 * volume**-0.5
    phases = [("base", 0, 0.0), ("adapted", 0, 0.0), ("aligned", 40, 1.0), ("perturb", 10, 0.6), ("perturb", 40, -0.2)]
    phases += [("control", 10, 0.9), ("control", 40, 0.8)]
    readings = []
    for phase, reached, height in phases:
        shift = {"align": 0.0, "perturb": height * scale_ * np.log(2)}
        readings.append(
            {"phase": phase, "volume": reached, "kl_forward": 0.1}
            | {f"nats_{r}": ((4.0 + shift[r]) * tokens + own[r]).tolist() for r in own}
            | {f"tokens_{r}": tokens.tolist() for r in own}
        )
    at = {"cosine": 0.5, "population_cosine": {"estimate": 0.5, "se": 0.1}}
    at |= {"population_ratio": {"estimate": 2.0, "se": None}}
    member = {"size": f"{size:g}", "pretrain_volume": volume, "family": None}
    configuration = {"seed": seed, "direction": "forward", "align_volume": 40, "member": member}
    kernels = {"tone": {"estimate": size**-0.2 * volume**0.1, "se": 0.0}, "advice": {"estimate": None, "se": None}}
    return {"configuration": configuration, "readings": readings, "parameters": size,
            "gradients": {"start": at, "aligned": at}, "kernels": kernels}  # fmt: skip


def test_planted_exponents_come_back():
    runs = [planted(p, v, s) for s in (0, 1) for p in (1e5, 4e5, 1.6e6) for v in (1000.0, 2000.0, 8000.0)]
    group = answers(runs, 50)["groups"][0]
    for measure in ("rise", "first_fall", "depth", "first_excess", "excess_depth"):
        told = group["measures"][measure]["exponent"]
        assert told["parameters"]["estimate"] == pytest.approx(0.3, abs=1e-6), measure
        assert told["pretrain_volume"]["estimate"] == pytest.approx(-0.5, abs=1e-6), measure
    for measure, value in (("fall_rate", 0.04), ("fall_share", 1.2), ("excess_rate", 0.03), ("undoing_volume", 32.5)):
        assert group["measures"][measure]["mean"] == pytest.approx(value)
        assert group["measures"][measure]["exponent"]["parameters"]["estimate"] == pytest.approx(0.0, abs=1e-6)
    own = group["measures"]["relative kernel of tone"]
    assert own["exponent"]["parameters"]["estimate"] == pytest.approx(-0.2, abs=1e-6)
    assert own["exponent"]["pretrain_volume"]["estimate"] == pytest.approx(0.1, abs=1e-6)
    assert own["slope"]["parameters"]["unit"] == "per doubling"
    lines = answers(runs, 50)["reading"]
    said = "falls with size (exponent -0.20 [-0.20, -0.20]) and grows with pre-training volume (exponent +0.10 [+0.10, +0.10])"
    assert f"the relative kernel of tone {said}" in lines
    assert "the relative kernel of advice has no exponent in size and has no exponent in pre-training volume" in lines
    row = answers(runs, 50)["readings"][0]
    assert row["rise"] == pytest.approx(1e5**0.3 * 1000**-0.5)


def test_a_run_that_hardly_rose_counts_for_little_in_a_share_of_the_rise_and_is_not_left_out():
    """First fall 0.4 and depth 1.2 of the rise in all runs; one rose by nothing, within its noise: shares have the exponent 0."""
    runs = [planted(p, v, 0) for p in (1e5, 4e5, 1.6e6) for v in (1000.0, 2000.0, 8000.0)]
    for reading in runs[0]["readings"]:
        tokens = np.asarray(reading["tokens_perturb"])
        own = np.asarray(runs[1]["readings"][0]["nats_perturb"])  # what every run's documents cost at the start
        reading["nats_perturb"] = (own + (1e-6 if reading["phase"] == "aligned" else 0.0) * tokens).tolist()
    group = answers(runs, 50)["groups"][0]
    for measure, share in (("fall_rate", 0.04), ("fall_share", 1.2)):
        spread = group["measures"][measure]
        assert spread["exponent"]["parameters"]["estimate"] == pytest.approx(0.0, abs=1e-4)
        assert spread["mean"] == pytest.approx(share, rel=1e-3)
    assert group["measures"]["undoing_volume"]["runs"] == 9


def test_responses_to_one_prompt_do_not_narrow_the_errors():
    """Each response four times: errors are those of once where the prompts are known, and half of them where they are not."""

    def times(run, count, known):
        rows = []
        for reading in run["readings"]:
            many = {k: np.repeat(v, count).tolist() if k[:4] in ("nats", "toke") else v for k, v in reading.items()}
            numbers = (
                {f"prompts_{r}": np.repeat(np.arange(60), count).tolist() for r in ("align", "perturb")}
                if known
                else {}
            )
            rows.append(many | numbers)
        return run | {"readings": rows}

    run, rng = planted(1e5, 1000.0, 0), np.random.default_rng(7)
    for reading in run["readings"]:  # what each document does of its own at each reading
        reading["nats_perturb"] = (np.asarray(reading["nats_perturb"]) + rng.standard_normal(60)).tolist()
    once, known, unknown = (
        answers([times(run, *how)], 2000)["readings"][0] for how in ((1, False), (4, True), (4, False))
    )
    for measure in ("rise", "first_fall", "excess_depth"):
        assert known[f"{measure}_se"] == pytest.approx(once[f"{measure}_se"], rel=0.06)
        assert unknown[f"{measure}_se"] == pytest.approx(once[f"{measure}_se"] / 2, rel=0.06)


def test_a_measure_that_some_run_has_not_has_no_slope():
    runs = [planted(p, v, 0) for p in (1e5, 4e5, 1.6e6) for v in (1000.0, 2000.0, 8000.0)]
    runs[4]["kernels"]["tone"] = {"estimate": None, "se": None}
    spread = answers(runs, 50)["groups"][0]["measures"]["relative kernel of tone"]
    assert (spread["defined"], spread["runs"], spread["mean"]) == (8, 9, None)
    assert spread["slope"]["parameters"] is None
    assert spread["exponent"]["parameters"] is None


def test_the_error_over_documents_is_that_of_other_documents():
    values, errors = [], []
    for draw in range(40):
        rng = np.random.default_rng(1000 + draw)
        runs = [planted(p, v, 0) for p in (1e5, 4e5, 1.6e6) for v in (1000.0, 8000.0)]
        for run_ in runs:
            for reading in run_["readings"]:
                for role in ("align", "perturb"):
                    noise = rng.standard_normal(60)
                    reading[f"nats_{role}"] = (np.asarray(reading[f"nats_{role}"]) + noise).tolist()
        told = answers(runs, 50)["groups"][0]["measures"]["depth"]["slope"]["parameters"]
        values.append(told["estimate"])
        errors.append(told["se_documents"])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)


def test_the_errors_of_readings_of_their_own_do_not_cancel_in_a_slope():
    """Cosines with an error of 0.1 each at sizes two doublings apart, two of each: by hand 0.1/sqrt(16) = 0.025 for a doubling.

    They were drawn alike for every run, so that equal errors made 0 of it.
    """
    runs = [planted(p, v, 0) for p in (1e5, 4e5, 1.6e6) for v in (1000.0, 8000.0)]
    group = answers(runs, 2000)["groups"][0]
    assert group["measures"]["cosine"]["slope"]["parameters"]["se_documents"] == pytest.approx(0.025, rel=0.1)


def test_what_the_documents_do_to_every_model_alike_cancels_in_a_slope():
    runs = [planted(p, v, 0) for p in (1e5, 4e5, 1.6e6) for v in (1000.0, 8000.0)]
    for run_ in runs:
        rng = np.random.default_rng(7)  # the same for every model, another at every reading
        for reading in run_["readings"]:
            for role in ("align", "perturb"):
                nats = np.asarray(reading[f"nats_{role}"])
                reading[f"nats_{role}"] = (nats + rng.standard_normal(len(nats))).tolist()
    told = answers(runs, 50)
    assert told["readings"][0]["depth_se"] > 1e-3
    assert told["groups"][0]["measures"]["depth"]["slope"]["parameters"]["se_documents"] < 1e-9


def test_joint_compression_is_r13_from_the_union():
    k, n = np.array([100.0, 1000.0]), 50.0
    told = joint_measures(k, n, [10, 40])
    score = lambda m: (n - m) / (k + n + m)  # noqa: E731
    np.testing.assert_allclose(told["depth"], score(0) - score(40))
    np.testing.assert_allclose(
        told["first_excess"], n / (k + n + 10) - score(10)
    )  # the control adds nothing but volume
    np.testing.assert_allclose(score(told["undoing_volume"]), 0.0)
    far = joint_measures(np.geomspace(1e6, 1e9, 5), n, [10])
    slope = np.polyfit(np.log(np.geomspace(1e6, 1e9, 5)), np.log(far["first_fall"]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=1e-3)  # R11: what moves falls with |D_p|


def test_what_can_be_told_apart():
    assert predictors([(p, v) for p in (1.0, 2.0) for v in (1.0, 2.0, 4.0)]) == ("parameters", "pretrain_volume")
    assert predictors([(p, p) for p in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)]) == ("parameters",)  # in step
    assert predictors([(1.0, np.nan)]) == ()
    assert power_law(np.ones((3, 1)), np.array([-1.0, 0.5, 0.0])) is None
    assert np.isnan(undoing_volume([0, 5], np.array([[1.0, 0.5]]), np.array([0.0])))[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": ("20x2",)}, "multiple of 16"),
        ({"sizes": ("32",)}, "WIDTHxLAYERS"),
        ({"volumes": (64, 16)}, "rise"),
        ({"volumes": (12, 64)}, "multiples of the batch"),
        ({"vocabulary": 100}, "258"),
        ({"learning_rate": float("nan")}, "learning_rate"),
    ],
)
def test_families_that_cannot_be_are_refused(settings, change, message):
    with pytest.raises(InputError, match=message):
        replace(settings.family, **change)


def test_settings_that_do_not_go_together_are_refused(settings):
    first = replace(settings.rebounds[0], model="a")
    other = replace(first, model="b", held_out=20)
    with pytest.raises(InputError, match="a behaviour is named twice"):
        replace(settings, pairs=("tone", "tone"))
    with pytest.raises(InputError, match="vary the model only"):
        ScaleSettings((first, other), None, 16)
    with pytest.raises(InputError, match="give one of"):
        ScaleSettings.of("paper-size", {"sizes": ("16x1",)})
    with pytest.raises(InputError, match="2 models and 3 revisions"):
        ScaleSettings.of(given={"models": ("a", "b"), "revisions": ("1", "2", "3")})


def test_sigkill_then_the_same_command_gives_the_same_curve(settings, tmp_path, monkeypatch):
    small = replace(
        settings,
        rebounds=(replace(settings.rebounds[0], seeds=(0,), control=False),),
        family=replace(settings.family, sizes=("16x1",)),
    )
    killed_at_training(6, lambda: run(small, tmp_path / "killed"), tmp_path / "said.txt")
    # a run is pre-training to the volume, alignment and two perturbations: 4 trainings, 8 in all; the 6th is cut short
    with monkeypatch.context() as counting:
        trained = counted_trainings(counting)
        run(small, tmp_path / "killed")
    assert len(trained) == 3
    run(small, tmp_path / "alone")
    for file in ("scale.csv",):
        assert (tmp_path / "killed" / file).read_text() == (tmp_path / "alone" / file).read_text()
    close_laboratory()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_member_is_trained_and_rebounds_on_cuda(settings, tmp_path):
    small = replace(settings, family=replace(settings.family, sizes=("32x1",), volumes=(64,)))
    result = scale(small, tmp_path / "out", device="cuda", dtype="float32")
    assert result["runs"] == {"done": 2, "failed": 0, "total": 2}
