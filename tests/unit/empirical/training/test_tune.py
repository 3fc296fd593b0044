"""The algorithms: each against its own formula by hand, the same again with a seed, and no trace left behind."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from elastomath.errors import InputError
from empirical.data.examples import Example, Preference
from empirical.measures.code_lengths import code_lengths
from empirical.models.loading import load_model
from empirical.models.sequences import encode_examples
from empirical.training.finetune import NotFiniteError
from empirical.training.ppo import Rollout, advantages_of, losses_of
from empirical.training.settings import ALGORITHMS, BETA, TuneSettings
from empirical.training.tune import tune

PAIRS = [
    Preference("Film review:", "a good film", "a slow film"),
    Preference("Film review:", "the light falls on the water", "the second half drags"),
    Preference("Say a word.", "good", "nobody says a word"),
    Preference("", "the acting does not drag", "slow and slow"),
    Preference("Film review:", "a good word", "half a film"),
    Preference("Film review:", "the water and the light", "it drags and drags"),
]
SETTINGS = TuneSettings(batch=2, learning_rate=1e-3, max_tokens=12)


@pytest.fixture
def tiny(tiny_model):
    return load_model(tiny_model, device="cpu", dtype="float32")


def weights(loaded):
    return {name: value.detach().clone() for name, value in loaded.model.named_parameters()}


def restore(loaded, held):
    with torch.no_grad():
        for name, value in loaded.model.named_parameters():
            value.copy_(held[name])


def log_probs(loaded, kind):
    """ln p(text | prompt) and the number of tokens, of the chosen or rejected texts."""
    texts = [Example(pair.prompt, getattr(pair, kind)) for pair in PAIRS]
    found = code_lengths(loaded.model, encode_examples(loaded.tokenizer, texts, SETTINGS.max_tokens))
    return -found.nats, found.tokens


def neg_log_sigmoid(x):
    return np.log1p(np.exp(-x))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_the_same_again_and_leaves_no_trace(tiny, algorithm, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    start, forward = weights(tiny), vars(tiny.model).get("forward")
    padding = (tiny.tokenizer.pad_token, tiny.model.config.pad_token_id)
    torch.manual_seed(5)
    random = torch.get_rng_state()
    first = tune(tiny, PAIRS, SETTINGS, algorithm=algorithm, seed=1)
    assert torch.equal(torch.get_rng_state(), random), "the caller's random numbers are left alone"
    once = weights(tiny)
    restore(tiny, start)
    again = tune(tiny, PAIRS, SETTINGS, algorithm=algorithm, seed=1)
    assert (first.losses, first.tokens, first.rewards) == (again.losses, again.tokens, again.rewards)
    assert all(torch.equal(value, once[name]) for name, value in weights(tiny).items())
    assert any(not torch.equal(value, start[name]) for name, value in once.items())
    assert len(first.losses) == (3 if algorithm != "ppo" else 3 * SETTINGS.epochs)
    assert first.tokens > 0
    assert list(tmp_path.iterdir()) == [], "nothing in the working directory"
    assert not tiny.model.training
    assert vars(tiny.model).get("forward") is forward
    assert (tiny.tokenizer.pad_token, tiny.model.config.pad_token_id) == padding
    assert all(value.grad is None for value in tiny.model.parameters()) or algorithm in ("sft", "ppo")
    assert capfd.readouterr().out == "", "nothing on stdout"


def test_dpo_starts_at_ln_2_and_its_next_step_is_the_formula(tiny):
    """-ln sigmoid(beta [D chosen - D rejected]) with the reference at the start of the phase; the whole set is a batch."""
    settings = TuneSettings(batch=len(PAIRS), learning_rate=1e-3, max_tokens=12)
    start = {kind: log_probs(tiny, kind)[0] for kind in ("chosen", "rejected")}
    one = tune(tiny, PAIRS, settings, algorithm="dpo", seed=0)
    assert one.losses[0] == pytest.approx(np.log(2), abs=2e-4)  # trl prints its losses to four or more digits
    now = {kind: log_probs(tiny, kind)[0] for kind in start}
    moved = BETA["dpo"] * ((now["chosen"] - start["chosen"]) - (now["rejected"] - start["rejected"]))
    assert neg_log_sigmoid(moved).mean() < np.log(2) - 1e-3, "the pairs are better told apart"
    two = tune(tiny, PAIRS, settings, algorithm="dpo", seed=0)
    assert two.losses[0] == pytest.approx(np.log(2), abs=2e-4), "the reference is the start of the phase"


def test_dpo_with_two_batches_sees_the_moved_policy_against_the_first_reference(tiny):
    held = weights(tiny)
    half = TuneSettings(batch=3, learning_rate=1e-3, max_tokens=12)
    start = {kind: log_probs(tiny, kind)[0] for kind in ("chosen", "rejected")}
    told = tune(tiny, PAIRS, half, algorithm="dpo", seed=0).losses[1]
    restore(tiny, held)
    tune(tiny, PAIRS[:3], half, algorithm="dpo", seed=0)
    now = {kind: log_probs(tiny, kind)[0] for kind in start}
    moved = (now["chosen"] - start["chosen"]) - (now["rejected"] - start["rejected"])
    assert told == pytest.approx(neg_log_sigmoid(BETA["dpo"] * moved)[3:].mean(), abs=2e-4)
    assert (
        abs(neg_log_sigmoid(-BETA["dpo"] * moved)[3:].mean() - told) > 1e-3
    )  # the mutant: chosen and rejected exchanged


def test_kto_starts_at_a_half(tiny):
    """1 - sigmoid(0) = 1/2 for chosen and rejected texts where the policy is the reference."""
    assert tune(tiny, PAIRS, SETTINGS, algorithm="kto", seed=0).losses[0] == pytest.approx(0.5, abs=2e-4)


def test_simpo_is_the_formula_of_mean_log_probs(tiny):
    settings = TuneSettings(batch=len(PAIRS), learning_rate=1e-3, max_tokens=12, margin=0.7)
    (chosen, m), (rejected, n) = (log_probs(tiny, kind) for kind in ("chosen", "rejected"))
    expected = neg_log_sigmoid(BETA["simpo"] * (chosen / m - rejected / n) - 0.7).mean()
    summed = neg_log_sigmoid(BETA["simpo"] * (chosen - rejected) - 0.7).mean()
    told = tune(tiny, PAIRS, settings, algorithm="simpo", seed=0).losses[0]
    assert told == pytest.approx(expected, abs=2e-3)
    assert abs(told - summed) > 0.1  # the mutant: sums in place of means


@pytest.mark.parametrize("algorithm", ["sft", "dpo", "kto", "simpo"])
def test_each_prefers_what_is_chosen(tiny, algorithm):
    before = log_probs(tiny, "chosen")[0] - log_probs(tiny, "rejected")[0]
    for _ in range(4):
        tune(tiny, PAIRS, SETTINGS, algorithm=algorithm, seed=0)
    after = log_probs(tiny, "chosen")[0] - log_probs(tiny, "rejected")[0]
    assert (after - before).mean() > 1.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_bfloat16_the_first_loss_is_near_and_the_model_stays_as_it_was(tiny, algorithm):
    """Where ln p of the policy and of the reference are rounded apart, DPO starts near ln 2, not at it."""
    held, data = weights(tiny), encode_examples(tiny.tokenizer, [Example("a", "good film")], 12)
    before = code_lengths(tiny.model, data).nats
    whole = tune(tiny, PAIRS, SETTINGS, algorithm=algorithm, seed=0).losses[0]
    restore(tiny, held)
    half = tune(tiny, PAIRS, replace(SETTINGS, autocast=torch.bfloat16), algorithm=algorithm, seed=0).losses[0]
    if algorithm != "ppo":  # the rounding decides which tokens are drawn
        assert half == pytest.approx(whole, rel=0.05)
    assert next(tiny.model.parameters()).dtype == torch.float32
    restore(tiny, held)
    assert np.array_equal(code_lengths(tiny.model, data).nats, before)


def test_advantages_by_hand():
    """rewards (0, 1), values (.5, .25), g = .9, l = .8: d = (.9 * .25 - .5, 1 - .25), A = (d0 + .72 d1, d1)."""
    rewards, values = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.5, 0.25, 0.0]])
    found = advantages_of(rewards, values, 0.9, 0.8)[0]
    assert found.tolist() == pytest.approx([-0.275 + 0.72 * 0.75, 0.75, 0.0])
    long = torch.randn(3, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = torch.randn(3, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    backwards, last = torch.zeros(3, dtype=torch.float64), []
    for t in reversed(range(17)):  # the recursion that the matrix stands for
        later = kept[:, t + 1] if t < 16 else 0.0
        backwards = long[:, t] + 0.9 * later - kept[:, t] + 0.72 * backwards
        last.append(backwards)
    assert torch.allclose(advantages_of(long, kept, 0.9, 0.8), torch.stack(last[::-1], 1))


def test_ppo_losses_and_their_gradient_by_hand():
    """Four tokens: ratios 1.5 and 0.5 with advantages of both signs; only the pessimistic side is clipped."""
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5], dtype=torch.float64)
    log_p = ratio.log().requires_grad_()
    values = torch.tensor([1.0, 0.1, -0.5, 0.0], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(4, dtype=torch.float64)
    old = Rollout(
        zero, zero, torch.tensor([1.0, -1.0, 1.0, -1.0]).double(), torch.tensor([1.0, 1.0, 0.0, 0.0]).double()
    )
    policy, value = losses_of(log_p, values, old, 0.2)
    assert float(policy.detach()) == pytest.approx((-1.2 + 1.5 - 0.5 + 0.8) / 4)
    assert float(value.detach()) == pytest.approx((0.8**2 + 0.9**2 + 0.5**2 + 0.0) / 8)
    (to_policy,) = torch.autograd.grad(policy, log_p)
    assert to_policy.tolist() == pytest.approx([0.0, 1.5 / 4, -0.5 / 4, 0.0])
    (to_value,) = torch.autograd.grad(value, values)
    assert to_value.tolist() == pytest.approx([0.0, -0.9 / 4, -0.5 / 4, 0.0])


def toy_reward(prompts, texts):
    """Half of the printable characters at a time are liked: a reward that a tiny model can follow."""
    return np.array([np.mean([char in "abcdefgh " for char in text] or [0.0]) for text in texts])


def test_ppo_raises_a_toy_reward_and_the_penalty_holds_it_back(tiny):
    prompts = [Example("Film review:", "-")] * 256
    start = weights(tiny)
    options = {"batch": 32, "rollouts": 2, "max_tokens": 6, "learning_rate": 1e-2, "epochs": 3}
    free = tune(tiny, prompts, TuneSettings(**options, beta=0.0), algorithm="ppo", seed=0, reward=toy_reward)
    assert free.rewards[-1] > free.rewards[0] + 0.15, free.rewards
    restore(tiny, start)
    held = tune(tiny, prompts, TuneSettings(**options, beta=5.0), algorithm="ppo", seed=0, reward=toy_reward)
    assert held.rewards[0] == free.rewards[0], "the same first rollouts"
    assert held.rewards[-1] < free.rewards[-1] - 0.1, "a strong penalty keeps the policy near its start"


def test_adapters_alone_are_trained(tiny):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted = replace(tiny, model=peft.get_peft_model(tiny.model, config))
    before = weights(adapted)
    for algorithm in ALGORITHMS:
        held = weights(adapted)
        tune(adapted, PAIRS, SETTINGS, algorithm=algorithm, seed=0)
        moved = {name for name, value in weights(adapted).items() if not torch.equal(value, held[name])}
        assert moved, algorithm
        assert all("lora_" in name for name in moved), algorithm
    again = tune(adapted, PAIRS, TuneSettings(batch=6, max_tokens=12), algorithm="dpo", seed=0)
    assert again.losses[0] == pytest.approx(np.log(2), abs=2e-4), "the start of the phase, not the bare base"
    assert any(not torch.equal(value, before[name]) for name, value in weights(adapted).items())


def test_a_phase_of_sft_is_kept_in_its_folder(tiny, tmp_path):
    examples = [Example("Film review:", pair.chosen) for pair in PAIRS]
    start = weights(tiny)
    first = tune(tiny, examples, SETTINGS, algorithm="sft", seed=0, out=tmp_path / "phase")
    once = weights(tiny)
    restore(tiny, start)
    again = tune(tiny, examples, SETTINGS, algorithm="sft", seed=0, out=tmp_path / "phase")
    assert again.losses == first.losses
    assert all(torch.equal(value, once[name]) for name, value in weights(tiny).items())


def test_bad_input(tiny, monkeypatch):
    with pytest.raises(InputError, match="no algorithm 'grpo'"):
        tune(tiny, PAIRS, SETTINGS, algorithm="grpo", seed=0)
    with pytest.raises(InputError, match="no examples"):
        tune(tiny, [], SETTINGS, algorithm="sft", seed=0)
    for algorithm in ("dpo", "kto", "simpo"):
        with pytest.raises(InputError, match="chosen and a rejected"):
            tune(tiny, [Example("a", "b")], SETTINGS, algorithm=algorithm, seed=0)
    with pytest.raises(InputError, match="PPO needs a reward"):
        tune(tiny, [Example("a", "b")], SETTINGS, algorithm="ppo", seed=0)
    with pytest.raises(InputError, match="finite number a text"):
        tune(tiny, PAIRS, SETTINGS, algorithm="ppo", seed=0, reward=lambda prompts, texts: np.array([np.nan]))
    for wrong in ({"batch": 0}, {"learning_rate": float("nan")}, {"warmup": -1}, {"beta": -1.0}, {"micro": 0}):
        with pytest.raises(InputError):
            TuneSettings(**wrong)
    with monkeypatch.context() as several:
        several.setenv("WORLD_SIZE", "2")
        with pytest.raises(InputError, match="runs in one process"):
            tune(tiny, PAIRS, SETTINGS, algorithm="ppo", seed=0)
    real = importlib.import_module

    def without(name, *rest):
        if name == "trl":
            raise ImportError("No module named 'trl'", name="trl")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(InputError, match=r"pip install .* -e '\.\[preference\]'"):
        tune(tiny, PAIRS, SETTINGS, algorithm="dpo", seed=0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_loss_that_is_not_finite_fails_the_run_and_not_the_sweep(tiny, algorithm, tmp_path):
    from elastomath.runs.ledger import Ledger, sweep

    start = weights(tiny)
    wild = {"ok": SETTINGS, "wild": TuneSettings(batch=2, learning_rate=1e30, max_tokens=12)}

    def run(configuration):
        restore(tiny, start)
        return {"losses": tune(tiny, PAIRS, wild[configuration["kind"]], algorithm=algorithm, seed=0).losses}

    with Ledger(tmp_path / "runs.sqlite") as ledger:
        results, failures = sweep(run, [{"kind": "wild"}, {"kind": "ok"}], ledger)
    assert results[0] is None
    assert results[1] is not None
    assert len(failures) == 1
    assert NotFiniteError.__name__ in failures[0]


def test_the_page_s_block_runs(tiny, monkeypatch, tmp_path):
    page = (Path(__file__).parents[4] / "docs/fine-tuning.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks
    monkeypatch.setattr("empirical.models.loading.load_model", lambda *_, **__: tiny)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "docs/fine-tuning.md", "exec"), {})
    assert all(f"`{algorithm}`" in page for algorithm in ALGORITHMS)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_cuda(tiny_model, algorithm):
    loaded = load_model(tiny_model, device="cuda", dtype="float32")
    settings = TuneSettings(batch=2, learning_rate=1e-3, max_tokens=12, autocast=torch.bfloat16)
    assert np.isfinite(tune(loaded, PAIRS, settings, algorithm=algorithm, seed=0).losses).all()
