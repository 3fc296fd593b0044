"""R7 on a model: cosine and ratio at their exact values, kappa by differences, and errors that are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath.errors import InputError
from elastomath.laws.finetuning import gradient_test
from empirical.data.examples import Example
from empirical.measures import gradients as module
from empirical.measures.code_lengths import code_lengths
from empirical.measures.gradients import (
    _population,
    _squares,
    folded,
    gradient_reading,
    group_gradients,
    jackknife,
)
from empirical.measures.sampling import sample
from empirical.models.loading import load_model
from empirical.models.lora import LoraSettings, add_lora
from empirical.models.sequences import encode_examples

WORDS = (
    "a slow film and good one the light falls on water nobody says word second half drags acting does not"  # as in TEXT
)


def texts(count, seed, words=WORDS):
    rng = np.random.default_rng(seed)
    return [Example("", " ".join(rng.choice(words.split(), 8))) for _ in range(count)]


def load(folder, dtype="float64", lora=None, **options):
    loaded = load_model(folder, device="cpu", dtype=dtype, **options)
    return add_lora(loaded, lora) if lora else loaded


@pytest.fixture
def tiny(tiny_model):
    return load(tiny_model)


@pytest.fixture
def sets(tiny):
    first = encode_examples(tiny.tokenizer, texts(24, 1), 16)
    second = encode_examples(tiny.tokenizer, texts(16, 2, WORDS[:38]), 16)
    return first, second


def mean_loss(model, data):
    total = 0.0
    for row in range(len(data)):
        ids = data.tokens[row, : int(data.length[row])]
        logs = torch.log_softmax(model(ids[None]).logits[0], -1)
        places = torch.arange(int(data.first[row]), len(ids))
        total = total - logs[places - 1, ids[places]].sum()
    return total / data.target_count


def direct(model, data):
    values = [value for value in model.parameters() if value.requires_grad]
    return torch.cat([g.flatten() for g in torch.autograd.grad(mean_loss(model, data), values)]).numpy()


def test_cosine_ratio_and_norms_are_those_of_the_gradients(tiny, sets):
    found = gradient_reading(tiny.model, *sets, groups=4, batch=3)
    one, two = (direct(tiny.model, data) for data in sets)
    told = gradient_test(one, two)
    assert found.cosine == pytest.approx(told.cosine, abs=1e-7)
    assert found.ratio == pytest.approx(told.ratio, rel=1e-7)
    assert found.misalignment == pytest.approx(told.misalignment, rel=1e-7)
    assert found.norms == pytest.approx((np.linalg.norm(one), np.linalg.norm(two)), rel=1e-7)
    assert found.tokens == tuple(data.target_count for data in sets)
    assert all(value.grad is None for value in tiny.model.parameters())
    assert not tiny.model.training


def test_float32_and_an_adapter_do_as_well(tiny_model, sets, tiny):
    exact = gradient_reading(tiny.model, *sets, groups=4)
    rough = gradient_reading(load(tiny_model, "float32").model, *sets, groups=4)
    assert rough.cosine == pytest.approx(exact.cosine, abs=1e-5)
    assert rough.ratio == pytest.approx(exact.ratio, rel=1e-5)
    assert rough.population_cosine.se == pytest.approx(exact.population_cosine.se, rel=1e-3)
    adapted = load(tiny_model, lora=LoraSettings(rank=2))
    one, two = (direct(adapted.model, data) for data in sets)
    found = gradient_reading(adapted.model, *sets, groups=4)
    assert found.cosine == pytest.approx(gradient_test(one, two).cosine, abs=1e-7)


@pytest.mark.parametrize("k", [20.0])
def test_at_a_joint_optimum_the_cosine_is_minus_one_and_the_ratio_k(tiny, sets, k):
    """Tight: R7 at a stationary point of k H_p + H_a over the numbers of one layer, which are all that is trained."""
    for name, value in tiny.model.named_parameters():
        value.requires_grad_(name == "model.norm.weight")
    trained = [tiny.model.model.norm.weight]
    optimiser = torch.optim.LBFGS(
        trained, lr=1.0, max_iter=200, tolerance_grad=1e-11, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss():
        optimiser.zero_grad()
        value = (k * mean_loss(tiny.model, sets[0]) + mean_loss(tiny.model, sets[1])) / (k + 1)
        value.backward()
        return value

    before = gradient_reading(tiny.model, *sets, groups=4)
    assert before.cosine > -0.9, "away from the optimum there is no such constant"
    optimiser.step(loss)
    move = {"model.norm.weight": torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}
    found = gradient_reading(tiny.model, *sets, groups=4, displacements={"random": move})
    assert found.misalignment < 1e-5
    assert found.cosine == pytest.approx(-1.0, abs=1e-10)
    assert found.ratio == pytest.approx(k, rel=1e-5)
    assert found.kappa["random"].estimate == pytest.approx(k, rel=1e-3), "along any displacement"


def test_kappa_is_what_a_small_step_does(tiny, sets):
    draw = torch.Generator().manual_seed(1)
    move = {
        name: torch.randn(value.shape, generator=draw, dtype=torch.float64)
        for name, value in tiny.model.named_parameters()
        if "mlp" in name
    }
    found = gradient_reading(tiny.model, *sets, groups=4, displacements={"mlp": move}).kappa["mlp"]
    heights = []
    for sign in (1, -1):
        with torch.no_grad():
            for name, delta in move.items():
                dict(tiny.model.named_parameters())[name] += sign * 1e-3 * delta
        heights.append([code_lengths(tiny.model, data).nats.sum() / data.target_count for data in sets])
        with torch.no_grad():
            for name, delta in move.items():
                dict(tiny.model.named_parameters())[name] -= sign * 1e-3 * delta
    change = np.array(heights[0]) - np.array(heights[1])
    assert found.estimate == pytest.approx(-change[1] / change[0], rel=0.01)
    assert found.se > 0


def test_the_noise_of_the_documents_is_taken_out():
    """Products of different groups alone are right on average; the plain norm is not, and the mutant shows it."""
    rng = np.random.default_rng(0)
    groups, width, noise = 6, 40, 2.0
    mean_p, mean_a = rng.standard_normal((2, width))
    n = np.full(groups, 10.0)
    squares, plain, crosses = [], [], []
    for _ in range(2000):
        one = 10.0 * (mean_p + noise * rng.standard_normal((groups, width)))
        two = 10.0 * (mean_a + noise * rng.standard_normal((groups, width)))
        products = one @ one.T, two @ two.T, one @ two.T, n, n
        square, _, cross = _squares(products, None, None)
        squares.append(square)
        crosses.append(cross)
        plain.append((one.sum(0) ** 2).sum() / n.sum() ** 2)
    true = mean_p @ mean_p
    error = np.std(squares) / math.sqrt(len(squares))
    assert np.mean(squares) == pytest.approx(true, abs=4 * error)
    assert np.mean(crosses) == pytest.approx(mean_p @ mean_a, abs=4 * np.std(crosses) / math.sqrt(len(crosses)))
    assert np.mean(plain) == pytest.approx(true + noise**2 * width / groups, rel=0.05)
    assert np.mean(plain) > true + 10 * error


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    groups, width, hits, cases = 10, 60, 0, 400
    mean_p = rng.standard_normal(width)
    mean_a = -0.8 * mean_p + 0.6 * rng.standard_normal(width)
    true = mean_p @ mean_a / np.linalg.norm(mean_p) / np.linalg.norm(mean_a)
    for _ in range(cases):
        one = mean_p + rng.standard_normal((groups, width))
        two = mean_a + rng.standard_normal((groups, width))
        n = np.ones(groups)
        products = one @ one.T, two @ two.T, one @ two.T, n, n
        found = jackknife(lambda i, j, products=products: _population(products, i, j)[0], groups)
        hits += abs(found.estimate - true) < 2.1 * found.se
    assert 0.91 < hits / cases < 0.99


@pytest.mark.parametrize("shared", [False, True])
def test_groups_that_share_their_prompts_are_one_draw(shared):
    """Half of a group's noise is its prompts' and the same in both datasets: the cosine has no bias, its interval covers."""
    rng = np.random.default_rng(2)
    groups, width, hits, cases, estimates = 10, 60, 0, 400, []
    mean_p = rng.standard_normal(width)
    mean_a = -0.8 * mean_p + 0.6 * rng.standard_normal(width)
    true = mean_p @ mean_a / np.linalg.norm(mean_p) / np.linalg.norm(mean_a)
    for _ in range(cases):
        both = rng.standard_normal((groups, width))
        one = mean_p + 1.5 * both + 0.5 * rng.standard_normal((groups, width))
        two = mean_a + 1.5 * both + 0.5 * rng.standard_normal((groups, width))
        n = np.ones(groups)
        products = one @ one.T, two @ two.T, one @ two.T, n, n
        found = jackknife(lambda i, j, p=products: _population(p, i, j, shared)[0], groups, shared)
        estimates.append(found.estimate)
        hits += abs(found.estimate - true) < 2.1 * found.se
    assert bool(0.91 < hits / cases < 0.99) == shared
    assert bool(abs(np.mean(estimates) - true) < 0.03) == shared


def test_a_group_has_whole_prompts(tiny, monkeypatch):
    """Four responses to each of six prompts, on both sides: as many groups, the same prompts in both; none over two groups."""
    rows = [Example(f"a slow film {'and good ' * (i // 4)}", text.text) for i, text in enumerate(texts(24, 3))]
    own, same = (encode_examples(tiny.tokenizer, part, 16) for part in (rows, rows[::-1]))
    (one, two), shared = module._in_groups([own, same], 3)
    assert shared
    assert one.tolist() == [i // 4 % 3 for i in range(24)]
    assert two.tolist() == one.tolist()[::-1]
    apart, shared = module._in_groups([own[slice(0, 12)], own[slice(12, None)]], 3)
    assert not shared
    assert [row.tolist() for row in apart] == [[i // 4 for i in range(12)]] * 2
    with pytest.raises(InputError, match="a prompt of its own"):
        gradient_reading(tiny.model, own, same, groups=8)


def test_a_sketch_keeps_products():
    draw = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 50_000, generator=draw, dtype=torch.float64)
    v = v + 0.5 * u
    parts = [(10_000, 25_000, 15_000)] * 2
    errors = []
    for seed in range(40):
        one, two = (folded(iter(x.split(p)), 2_000, seed) for x, p in zip((u, v), parts, strict=True))
        assert one.numel() == 2_000
        errors.append(float(one @ two - u @ v) / float(u.norm() * v.norm()))
    assert abs(np.mean(errors)) < 4 * np.std(errors) / math.sqrt(40)
    assert np.std(errors) == pytest.approx(math.sqrt((1 + 0.5 / 1.25) / 2_000), rel=0.5)
    assert torch.equal(folded(iter(u.split(10_000)), 50_000, 0), u)


def test_a_sketched_reading_is_close(tiny, sets):
    exact = gradient_reading(tiny.model, *sets, groups=4)
    rough = gradient_reading(tiny.model, *sets, groups=4, sketch=4096)
    assert rough.cosine == exact.cosine
    assert rough.ratio == exact.ratio
    assert rough.population_ratio.estimate == pytest.approx(exact.population_ratio.estimate, rel=0.1)
    assert rough.population_cosine.se == pytest.approx(exact.population_cosine.se, rel=0.5)


@pytest.mark.parametrize("sketch", [1 << 22, 4096])
def test_the_gradient_of_a_group_is_folded_as_it_comes_and_no_two_are_held(tiny, sets, sketch, monkeypatch):
    """The rows are those of whole gradients; of the parameters only one has a gradient at any time; what was there stays."""
    model, data = tiny.model, sets[0]
    values = [value for value in model.parameters() if value.requires_grad]
    values[0].grad = before = torch.full_like(values[0], 7.0)
    held = []

    def fold_into(*arguments):
        held.append(sum(value.grad is not None for value in values))
        return kept(*arguments)

    kept = module.fold_into
    monkeypatch.setattr(module, "fold_into", fold_into)
    rows = group_gradients(model, data, groups=3, batch=5, sketch=sketch)  # 8 texts a group: two batches each
    monkeypatch.undo()
    assert values[0].grad is before
    assert all(value.grad is None for value in values[1:])
    assert max(held) == 1
    for group, row in enumerate(rows):
        part = data[np.arange(group, len(data), 3)]
        whole = torch.autograd.grad(mean_loss(model, part) * part.target_count, values)
        torch.testing.assert_close(row, folded(iter(whole), sketch, 0), rtol=1e-9, atol=1e-9)


def test_on_its_own_samples_a_model_is_stationary_in_expectation(tiny, sets):
    own = sample(tiny, [""] * 240, 12, seed=0).sequences
    found = gradient_reading(tiny.model, own, sets[1], groups=8)
    squared = found.population_norms[0].estimate
    assert squared is None or squared**2 < 0.3 * found.norms[0] ** 2, "what is left of the norm is noise"
    others = gradient_reading(tiny.model, sets[0], sets[1], groups=8)
    assert others.population_norms[0].estimate ** 2 > 0.2 * others.norms[0] ** 2


def test_bad_input_is_refused(tiny, sets):
    with pytest.raises(InputError, match="24 and 3 documents in 4 groups"):
        gradient_reading(tiny.model, sets[0], sets[1][slice(0, 3)], groups=4)
    with pytest.raises(InputError, match="nothing is not trained"):
        gradient_reading(tiny.model, *sets, displacements={"a": {"nothing": torch.zeros(1)}})
    for value in tiny.model.parameters():
        value.requires_grad_(False)
    with pytest.raises(InputError, match="no parameter"):
        gradient_reading(tiny.model, *sets)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_finds_what_the_processor_finds(tiny_model, sets):
    found = [
        gradient_reading(load_model(tiny_model, device=device, dtype="float64").model, *sets, groups=4)
        for device in ("cpu", "cuda")
    ]
    assert found[1].cosine == pytest.approx(found[0].cosine, abs=1e-6)
    assert found[1].population_ratio.estimate == pytest.approx(found[0].population_ratio.estimate, rel=1e-5)
