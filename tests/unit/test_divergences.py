"""Divergences to the base: exact on positions, nothing from nothing, and over whole texts by the chain rule."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elastomath.errors import InputError  # noqa: E402
from elastomath.units import NATS_PER_BIT  # noqa: E402
from empirical.divergences import (  # noqa: E402
    another_model,
    both,
    divergence,
    keep,
    recompute,
    sampled_divergence,
    with_weights,
    without_adapter,
)
from empirical.examples import Example  # noqa: E402
from empirical.lora import LoraSettings, add_lora  # noqa: E402
from empirical.models import load_model  # noqa: E402
from empirical.sequences import encode_examples  # noqa: E402

TEXTS = ["a good film", "the light falls on the water and nobody says a word", "slow", "the acting does not drag", "a"]


@pytest.fixture(autouse=True)
def one_thread():
    """The models are tiny: on a busy machine two threads wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def load(folder, dtype="float32", device="cpu", lora=None, **options):
    loaded = load_model(folder, device=device, dtype=dtype, **options)
    return add_lora(loaded, lora) if lora else loaded


def moved(loaded, size=0.05, seed=0):
    """The model after a random step."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in loaded.model.parameters():
            if value.requires_grad:
                value += (size * torch.randn(value.shape, generator=draw, dtype=torch.float64)).to(value)
    return loaded


@pytest.fixture
def base(tiny_model):
    return load(tiny_model)


@pytest.fixture
def tuned(tiny_model):
    return moved(load(tiny_model))


@pytest.fixture
def data(base):
    return encode_examples(base.tokenizer, [Example("Film review:", text) for text in TEXTS], 16)


def test_the_divergences_are_those_of_the_definition(base, tuned, data):
    found = divergence(tuned.model, keep(base.model, data))
    for row in range(len(data)):
        ids = data.tokens[row, : int(data.length[row])][None]
        with torch.inference_mode():
            p, q = (torch.log_softmax(m.model(ids).logits[0].double(), -1).numpy() for m in (base, tuned))
        places = slice(int(data.first[row]) - 1, int(data.length[row]) - 1)
        p, q = p[places], q[places]
        assert found.sequence_forward[row] == pytest.approx((np.exp(p) * (p - q)).sum(), rel=1e-4)
        assert found.sequence_reverse[row] == pytest.approx((np.exp(q) * (q - p)).sum(), rel=1e-4)
        assert found.tokens[row] == p.shape[0]
        assert found.sequence_forward[row] != pytest.approx(found.sequence_reverse[row], rel=1e-2)
    assert found.forward == pytest.approx(found.sequence_forward.sum() / found.tokens.sum() / NATS_PER_BIT)
    assert found.reverse == pytest.approx(found.sequence_reverse.sum() / found.tokens.sum() / NATS_PER_BIT)
    assert found.forward_se > 0
    assert found.reverse_se > 0
    assert found.rounding is None


def test_nothing_moved_is_nothing(base, data):
    found = divergence(base.model, keep(base.model, data))
    assert (found.forward, found.reverse) == (0.0, 0.0)


def test_small_steps_keep_their_digits(tiny_model, base, data):
    """At a step of size s both divergences are quadratic and differ in third order: their ratio goes to 1."""
    exact = load(tiny_model, dtype="float64")
    reference = keep(exact.model, data)
    sizes = (1e-4, 1e-3)
    found = [divergence(moved(load(tiny_model), size).model, reference) for size in sizes]
    assert found[1].forward / found[0].forward == pytest.approx(100, rel=0.05)
    assert found[0].forward == pytest.approx(found[0].reverse, rel=0.05)


def test_kept_recomputed_and_swapped_bases_agree(tiny_model, base, tuned, data):
    kept = divergence(tuned.model, keep(base.model, data))
    ways = {
        "second model": recompute(another_model(base.model), data),
        "in small blocks": recompute(another_model(base.model), data, budget=3 * 300 * 4),
        "swapped weights": recompute(
            with_weights(tuned.model, dict(base.model.named_parameters())), data, budget=99999
        ),
    }
    before = {name: value.clone() for name, value in tuned.model.named_parameters()}
    for name, way in ways.items():
        other = divergence(tuned.model, way)
        np.testing.assert_allclose(other.sequence_forward, kept.sequence_forward, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(other.sequence_reverse, kept.sequence_reverse, rtol=1e-5, err_msg=name)
    assert all(torch.equal(value, before[name]) for name, value in tuned.model.named_parameters())


def test_an_adapter_left_out_is_the_base(tiny_model, base, data):
    loaded = load(tiny_model, lora=LoraSettings(rank=2))
    reference = recompute(without_adapter(loaded), data)
    assert divergence(loaded.model, reference).forward == 0.0
    moved(loaded, 0.2)
    found = divergence(loaded.model, reference)
    direct = divergence(loaded.model, keep(base.model, data))
    assert found.forward > 0
    np.testing.assert_allclose(found.sequence_forward, direct.sequence_forward, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_says_what_it_costs(base, tuned, data, precision):
    few = data[slice(0, 4)]
    exact = divergence(tuned.model, keep(base.model, few))
    found = divergence(tuned.model, keep(base.model, few, precision=precision))
    for value, other, told in zip(
        (found.forward, found.reverse), (exact.forward, exact.reverse), found.rounding, strict=True
    ):
        assert abs(value - other) == pytest.approx(told, rel=1e-3, abs=1e-9)
        assert 0 < told < 0.05


def test_the_budget_is_kept(base, data):
    with pytest.raises(InputError, match=r"take .* MiB, the budget is .*half precision"):
        keep(base.model, data, budget=data.target_count * 300 * 4 - 1)
    keep(base.model, data, budget=data.target_count * 300 * 2, precision="float16")
    with pytest.raises(InputError, match="no precision 'int8'"):
        keep(base.model, data, precision="int8")


def test_tokens_that_cannot_come_cost_nothing_on_their_own_side():
    inf = float("inf")
    p, q = torch.tensor([[0.0, -inf]]), torch.log(torch.tensor([[0.5, 0.5]]))
    forward, reverse = both(p, q)
    assert forward == pytest.approx(np.log(2))
    assert reverse == inf
    assert both(p, p) == (0.0, 0.0)


def enumerated(p, q, end, prefix):
    """D(p || q) over texts of at most two tokens, and the mean length, in nats, from every context."""
    with torch.inference_mode():
        contexts = torch.tensor([[prefix, token] for token in range(300)])
        one = [torch.log_softmax(m(contexts[:1, :1]).logits[0, -1].double(), -1) for m in (p, q)]
        two = [torch.log_softmax(m(contexts).logits[:, -1].double(), -1) for m in (p, q)]
    first = one[0].exp()
    total = (first * (one[0] - one[1])).sum()
    inner = (two[0].exp() * (two[0] - two[1])).sum(-1)
    going = torch.ones(300, dtype=torch.float64)
    going[end] = 0.0
    return float(total + (first * going * inner).sum()), float(1 + (first * going).sum())


def test_sampled_divergences_are_those_over_whole_texts(base, tuned):
    end = base.tokenizer.eos_token_id
    with torch.no_grad():  # an end token that is likely, so that it matters
        for loaded in (base, tuned):
            loaded.model.model.embed_tokens.weight[:, :] *= 0.4
            loaded.model.model.embed_tokens.weight[end] *= 0.1
    found = sampled_divergence(tuned, another_model(base.model), 800, 2, seed=3)
    for value, se, (p, q) in (
        (found.forward, found.forward_se, (base.model, tuned.model)),
        (found.reverse, found.reverse_se, (tuned.model, base.model)),
    ):
        nats, length = enumerated(p, q, end, base.prefix)
        exact = nats / length / NATS_PER_BIT
        wrong = enumerated(q, p, end, base.prefix)[0] / length / NATS_PER_BIT
        assert abs(value - exact) < 4 * se
        assert se < 0.1 * exact
        assert abs(value - wrong) > 4 * se or abs(wrong - exact) < 4 * se


def test_the_wrong_base_is_refused(base, data):
    with pytest.raises(InputError, match="no weights nothing"):
        divergence(base.model, recompute(with_weights(base.model, {"nothing": torch.zeros(1)}), data))
    with pytest.raises(InputError, match="no adapter"):
        divergence(base.model, recompute(without_adapter(base), data))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_finds_what_the_processor_finds(tiny_model):
    found = []
    for device in ("cpu", "cuda"):
        base, tuned = load(tiny_model, device=device), moved(load(tiny_model, device=device))
        data = encode_examples(base.tokenizer, [Example("", text) for text in TEXTS], 16)
        found.append(divergence(tuned.model, keep(base.model, data)))
    np.testing.assert_allclose(found[1].sequence_forward, found[0].sequence_forward, rtol=1e-3)
    np.testing.assert_allclose(found[1].sequence_reverse, found[0].sequence_reverse, rtol=1e-3)
