"""The defended life: seeds side by side are the seeds alone, each wrapper of training does what it says, the law holds."""

import dataclasses

import numpy as np
import pytest

from elastomath.defences.defence import ATTACKS, DEFENCES, Defence
from elastomath.laws.planner import planned_beta
from elastomath.laws.preferences import dpo_contrast
from sim.compressors.networks import NetworkSize
from sim.cycles.defended import Course, Defended, DefendedLives, _slope, _Trained, defend, defended_block, recovery

torch = pytest.importorskip("torch")
TINY = NetworkSize(8, 2, 1, 16)
LIFE = Defended(pretrain=40, mixture=16, volume=64, most=32)


@pytest.fixture(scope="module")
def lives():
    return DefendedLives([3, 4], TINY, LIFE)


def test_seeds_side_by_side_are_the_seeds_alone(lives):
    alone = DefendedLives([4], TINY, LIFE)
    assert alone.contrast(alone.base(0.5))[0] == pytest.approx(lives.contrast(lives.base(0.5))[1], abs=1e-3)
    one, both = (
        alone.network.code_lengths(alone.base(0.5)[0], alone.neutral[0]),
        lives._codes(lives.base(0.5), lives.neutral),
    )
    assert np.allclose(one.numpy(), both[1].numpy(), atol=1e-2)


def test_the_utility_of_the_source_is_its_entropy(lives):
    """No code of neutral text is shorter than its law allows."""
    law = lives.law.numpy()
    entropy = -(law * np.log(np.where(law > 0, law, 1))).sum(1) / 5
    assert law.sum(1) == pytest.approx(1.0)
    assert (lives.utility(lives.base(0.5)) > entropy).all()


def test_aligning_raises_and_opposing_lowers(lives):
    base, rate = lives.base(0.5), lives.rate()
    aligned = lives.align(base, DEFENCES["sft"], rate, 0.0)
    assert (lives.contrast(aligned) > lives.contrast(base) + 0.2).all()
    assert (lives.contrast(lives.overlay(aligned, 64, rate)) < lives.contrast(aligned)).all()
    course = lives.attack(aligned, ATTACKS["sft"], rate, lives.contrast(base))
    assert course.z[0] == pytest.approx(lives.contrast(aligned))
    assert (course.z[-1] < course.z[0]).all()
    kept = lives.attack(aligned, ATTACKS["sft"], rate, lives.contrast(base), replay=1.0)
    assert (kept.z[-1] > kept.z[0] - 1e-3).all()


def test_wrappers_of_training(lives):
    base, rate = lives.base(0.5), lives.rate()
    names = list(lives.network.tensors(lives.network.start()))
    plain = lives.align(base, DEFENCES["sft"], rate, 0.0)
    half = lives.align(base, DEFENCES["average"], rate, 0.0)
    assert torch.allclose(half, (plain + base) / 2, atol=1e-6)
    frozen = lives.align(base, DEFENCES["frozen"], rate, 0.0)
    parts = frozen[0].split([count for _, _, count in lives.network._shapes])
    before = base[0].split([count for _, _, count in lives.network._shapes])
    moved = {name for name, a, b in zip(names, parts, before, strict=True) if not torch.equal(a, b)}
    assert moved
    assert all(".h.1." in name or "ln_f" in name for name in moved)
    adapter = _Trained(lives.network, base, 2, 0.0)
    assert torch.equal(adapter.lift(adapter.start()), base)  # B = 0
    low = (lives.align(base, dataclasses.replace(DEFENCES["adapter"], rank=2), rate, 0.0) - base)[0]
    for part, (_, shape, _) in zip(
        low.split([c for _, _, c in lives.network._shapes]), lives.network._shapes, strict=True
    ):
        if len(shape) == 2:
            assert torch.linalg.matrix_rank(part.view(shape), rtol=1e-3) <= 2
        else:
            assert not part.any()
    assert not torch.equal(lives.align(base, DEFENCES["flat"], rate, 0.0), plain)
    assert torch.equal(lives.align(base, Defence("radius 0", radius=0.0), rate, 0.0), plain)
    kept = lives.align(base, dataclasses.replace(DEFENCES["sft"], retain=5.0), rate, 0.0)
    assert (lives.utility(kept) < lives.utility(plain)).all()
    more = lives.align(base, DEFENCES["more"], rate, 0.0)
    assert (lives.contrast(more) > lives.contrast(plain)).all()


def test_a_pool_is_gone_through_again(lives):
    draws = lives._draws(5)
    few = lives._drawn(draws, 200, pool=4)
    assert all(len(np.unique(part, axis=0)) == 4 for part in few)


def test_where_a_course_is_undone():
    plus = np.zeros((3, 4))
    z = np.array([[2.0, 2.0, -1.0, 2.0], [1.0, 1.5, 0.0, np.nan], [-1.0, 1.0, 0.0, 0.0]])
    course = Course(np.array([0, 8, 16]), np.stack([plus, z], axis=1))
    assert course.undone(np.zeros(4)) == [12.0, None, 0.0, 8.0]


def test_a_planned_beta_takes_its_pairs_highest():
    beta, n, c = planned_beta(2048, 0.05), 2048, 0.05
    tops = [float(dpo_contrast(0.0, n, c, b)) for b in beta * np.exp(np.linspace(-1, 1, 41))]
    assert float(dpo_contrast(0.0, n, c, beta)) >= max(tops) * (1 - 1e-12)


def test_rows_and_the_way_back(lives):
    rows, courses = defend(lives, ["sft", "replay-50"], ["sft", "benign"])
    assert [(row["defence"], row["seed"]) for row in rows] == [(d, s) for d in ("sft", "replay-50") for s in (3, 4)]
    assert set(courses) == {"sft", "replay-50"}
    plain = [row for row in rows if row["defence"] == "sft"]
    for row in plain:
        seen = row["attacks"]["sft"]
        assert row["forecast"] > 0
        assert seen["undone"] <= (seen["same"] or LIFE.most)
        assert row["attacks"]["benign"]["undone"] is None
    for row in recovery(lives, [16], 16):
        assert row["fallen"] < row["z0"]
        assert row["back"] == pytest.approx((row["rest"] - row["fallen"]) / (row["z0"] - row["fallen"]))


def test_a_curve_counts_what_its_row_counts():
    """Of a replay of half the opposed examples alone: four of a batch of eight, where the curve had all eight."""
    life = {"pretrain": 10, "mixture": 16, "volume": 64}
    study = {"seeds": [3], "size": dataclasses.asdict(TINY), "life": life, "most": 32, "overlays": [8], "neutral": 8}
    block = defended_block(study | {"defences": ["sft", "replay-50"], "attacks": ["sft"]})
    plain, replayed = (run["perturbations"] for run in block["runs"])
    assert (plain[:2], replayed[:2]) == ([0.0, 8.0], [0.0, 4.0])
    for run in block["runs"]:
        assert run["volumes"][2] == run["perturbations"][-1]


def test_meta_training_takes_the_gradient_behind_the_attack(lives):
    """One step of it, by hand."""
    base, rate = lives.base(0.5), lives.rate()
    one = DefendedLives([3, 4], TINY, dataclasses.replace(LIFE, volume=8))
    one._bases = lives._bases
    row = Defence("ahead", "dpo", 0.3, ahead=2)
    draws = one._draws(1)
    prompts = one._drawn(draws, 8)
    value = one._objective(row, 0.3, base, prompts, draws)
    attacked = one.overlay(base, 16, rate, draws)
    by_hand = base - rate * _slope(value, attacked)
    assert torch.equal(one.align(base, row, rate, 0.3), by_hand)
    assert not torch.equal(by_hand, base - rate * _slope(value, base))


def test_noising_brings_the_layers_nearer_to_noise(lives):
    longer = DefendedLives([3, 4], TINY, dataclasses.replace(LIFE, volume=512))
    longer._bases = lives._bases
    base, rate = lives.base(0.5), lives.rate()
    noise = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0))
    symbols = lives._answered(np.stack(lives.held), 1)[:, :16]

    def far(weight):
        row = dataclasses.replace(DEFENCES["noising"], noise=weight)
        return lives._distances(longer.align(base, row, rate, 0.0), symbols, noise).detach()

    assert (far(10.0) < far(0.0) - 0.3).all()  # 2.20, 2.44 become 0.97, 2.06
