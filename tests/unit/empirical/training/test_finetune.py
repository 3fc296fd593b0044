"""The fine-tuning loop: what is counted, what a checkpoint restores, and that padding and batching change nothing."""

from __future__ import annotations

import os
import runpy
import socket
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from elastomath.errors import InputError
from empirical.measures.code_lengths import code_lengths, next_token_log_probs
from empirical.models.checkpoints import load_checkpoint, save_checkpoint
from empirical.models.loading import load_model
from empirical.models.sequences import encode
from empirical.training import finetune
from empirical.training.finetune import NotFiniteError, Phase, new_optimiser, train
from tests.forks import ended, forked

TEXTS = [
    "a good film",
    "the light falls on the water and nobody says a word",
    "slow",
    "the acting does not drag at all",
]


@pytest.fixture
def tiny(tiny_model):
    return load_model(tiny_model, device="cpu", dtype="float32")


def test_only_the_text_is_counted(tiny):
    data = encode(tiny.tokenizer, TEXTS, "Film review:", 8)
    head = 1 + len(tiny.tokenizer("Film review:", add_special_tokens=False)["input_ids"])
    bodies = [len(tiny.tokenizer(" " + text, add_special_tokens=False)["input_ids"]) for text in TEXTS]
    assert data.tokens[0, 0] == tiny.tokenizer.bos_token_id
    assert (data.first == head).all()
    assert (data.length - data.first).tolist() == [min(8, body) for body in bodies]
    assert int(data.targets.sum()) == data.target_count


def test_code_lengths_are_the_models_log_probabilities_one_text_at_a_time(tiny):
    data = encode(tiny.tokenizer, TEXTS, "Film review:", 16)
    seen = code_lengths(tiny.model, data)
    for row in range(len(data)):
        first, last = int(data.first[row]), int(data.length[row])
        ids = data.tokens[row, :last]
        with torch.inference_mode():
            log_probs = torch.log_softmax(tiny.model(ids[None]).logits[0].double(), -1)
        direct = -sum(float(log_probs[place - 1, ids[place]]) for place in range(first, last))
        assert seen.nats[row] == pytest.approx(direct, rel=1e-5)
        assert seen.tokens[row] == last - first
        off_by_one = -sum(float(log_probs[place, ids[place]]) for place in range(first, last))
        assert abs(off_by_one - direct) > 1e-3  # the mutant


def test_whole_distributions_agree_with_the_code_lengths(tiny):
    data = encode(tiny.tokenizer, TEXTS[:2], "", 16)
    nats = code_lengths(tiny.model, data).nats
    for row, log_probs in enumerate(next_token_log_probs(tiny.model, data)):
        targets = data.tokens[row, int(data.first[row]) : int(data.length[row])]
        assert torch.allclose(log_probs.exp().sum(-1), torch.ones(len(targets)), atol=1e-5)
        picked = log_probs.gather(1, targets[:, None]).sum()
        assert float(-picked) == pytest.approx(nats[row], rel=1e-5)


def test_training_lowers_the_loss_and_a_checkpoint_continues_it_to_the_same_weights(tiny, tmp_path):
    data = encode(tiny.tokenizer, TEXTS * 4, "Film review:", 16)
    options = {"batch": 4, "warmup": 2, "learning_rate": 1e-2}
    optimiser = new_optimiser(tiny.model, 1e-2)
    losses = train(tiny.model, optimiser, data[slice(0, 8)], **options)
    save_checkpoint(tmp_path / "half.safetensors", tiny.model, optimiser)
    losses += train(tiny.model, optimiser, data[slice(8, 16)], steps_done=2, **options)
    assert losses[-1] < losses[0]
    whole = {name: value.detach().clone() for name, value in tiny.model.named_parameters()}

    fresh = new_optimiser(tiny.model, 1e-2)
    load_checkpoint(tmp_path / "half.safetensors", tiny.model, fresh)
    train(tiny.model, fresh, data[slice(8, 16)], steps_done=2, **options)
    for name, value in tiny.model.named_parameters():
        assert torch.equal(value, whole[name]), name

    forgetful = new_optimiser(tiny.model, 1e-2)  # the mutant: without the moments the weights differ
    load_checkpoint(tmp_path / "half.safetensors", tiny.model)
    train(tiny.model, forgetful, data[slice(8, 16)], steps_done=2, **options)
    assert any(not torch.equal(value, whole[name]) for name, value in tiny.model.named_parameters())


def test_warmup_starts_small(tiny):
    data = encode(tiny.tokenizer, TEXTS, "", 16)
    optimiser = new_optimiser(tiny.model, 1e-2)
    train(tiny.model, optimiser, data, batch=4, warmup=10, learning_rate=1e-2)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(1e-3)


def test_bad_input_is_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="0 texts"):
        encode(tiny.tokenizer, [], "", 8)
    with pytest.raises(InputError, match="text 1 has no token"):
        encode(tiny.tokenizer, ["a", ""], "", 8)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="damaged checkpoint"):
        load_checkpoint(broken, tiny.model)
    data, wild = encode(tiny.tokenizer, TEXTS * 9, "", 8), torch.optim.SGD(tiny.model.parameters(), lr=1e30)
    with pytest.raises(NotFiniteError, match="not finite") as caught:
        train(tiny.model, wild, data, batch=1, learning_rate=1e30)
    assert not isinstance(caught.value, InputError)  # an InputError would end a sweep; this ends one run


def flat(tiny):
    return torch.cat([value.detach().flatten() for value in tiny.model.parameters()])


def test_a_batch_in_pieces_is_the_same_step(tiny, tiny_model):
    data = encode(tiny.tokenizer, TEXTS, "Film review:", 16)
    train(tiny.model, new_optimiser(tiny.model, 1e-3), data, batch=4, learning_rate=1e-3)
    other = load_model(tiny_model, device="cpu", dtype="float32")
    losses = train(other.model, new_optimiser(other.model, 1e-3), data, batch=4, micro=1, learning_rate=1e-3)
    assert torch.allclose(flat(tiny), flat(other), atol=1e-5)
    again = load_model(tiny_model, device="cpu", dtype="float32")
    apart = [
        train(again.model, torch.optim.SGD(again.model.parameters(), lr=0.0), data[[i]], batch=1, learning_rate=0.0)
        for i in range(4)
    ]
    weighted = sum(loss[0] * data[[i]].target_count for i, loss in enumerate(apart)) / data.target_count
    assert losses[0] == pytest.approx(weighted, rel=1e-6)
    assert abs(np.mean(apart) - losses[0]) > 1e-3  # the mutant: a mean of means


def test_only_what_is_trained_is_moved_and_saved(tiny, tmp_path):
    from safetensors import safe_open

    for name, value in tiny.model.named_parameters():
        value.requires_grad_("q_proj" in name)
    before = {name: value.detach().clone() for name, value in tiny.model.named_parameters()}
    data = encode(tiny.tokenizer, TEXTS, "", 16)
    optimiser = new_optimiser(tiny.model, 1e-2)
    train(tiny.model, optimiser, data, batch=4, learning_rate=1e-2)
    moved = {name for name, value in tiny.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "q_proj" in name}
    save_checkpoint(tmp_path / "some.safetensors", tiny.model, optimiser)
    with safe_open(str(tmp_path / "some.safetensors"), framework="pt") as tensors:
        kept = set(tensors.keys())
    assert kept == {
        f"{kind}.{n}" for n in moved for kind in ("weight", "moment.step", "moment.exp_avg", "moment.exp_avg_sq")
    }


RUN = """
import os, sys, torch
from pathlib import Path
from empirical.training.finetune import Phase, new_optimiser, train
from empirical.models.sequences import encode
from empirical.models.checkpoints import save_checkpoint
from empirical.models.loading import load_model

torch.set_num_threads(1)
folder, out, kill, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
loaded = load_model(folder, device="cpu", dtype="float32")
loaded.model.config.attention_dropout = 0.0
torch.manual_seed(0)
dropped = torch.nn.Dropout(0.1 if kill >= 0 else 0.0)  # what is drawn has to go on where it was, too
loaded.model.get_input_embeddings().register_forward_hook(lambda _, __, out: dropped(out) if loaded.model.training else out)
texts = ["a good film", "the light falls on the water and nobody says a word", "slow", "the acting does not drag"] * 6
data = encode(loaded.tokenizer, texts[:23], "Film review:", 16)
rate = 1e-3 if kill >= 0 else 0.02
optimiser = new_optimiser(loaded.model, rate) if kill >= 0 else torch.optim.SGD(loaded.model.parameters(), lr=rate)
step, taken = optimiser.step, []
def counted():
    taken.append(step())
    if len(taken) == kill:
        os.kill(os.getpid(), 9)
optimiser.step = counted
phase = Phase(out / "phase.safetensors", every=2) if kill >= 0 else None
losses = train(loaded.model, optimiser, data, batch=batch, learning_rate=rate, warmup=3, phase=phase,
               micro=1 if batch == 11 else None)
if int(os.environ.get("RANK", "0")) == 0:
    save_checkpoint(out / "end.safetensors", loaded.model)
    print(len(taken), *(repr(loss) for loss in losses))
"""


def start(tiny_model, out, kill, batch, **environment):
    """The script in a fork: what it prints goes to a file in ``out``, one for each rank."""
    out.mkdir(exist_ok=True)
    (out / "run.py").write_text(RUN)

    def work():
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)  # this process may have trained before, alone
        os.environ.update(environment | {"CUDA_VISIBLE_DEVICES": ""})
        sys.argv = ["run.py", str(tiny_model), str(out), str(kill), str(batch)]
        runpy.run_path(str(out / "run.py"))

    return forked(work, out / f"said-{environment.get('RANK', '0')}.txt")


def here(tiny_model, out, kill, batch, monkeypatch, capsys):
    """The same script in this process, with one thread as there; what it prints, in words."""
    out.mkdir(exist_ok=True)
    (out / "run.py").write_text(RUN)
    monkeypatch.setattr(sys, "argv", ["run.py", str(tiny_model), str(out), str(kill), str(batch)])
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            runpy.run_path(str(out / "run.py"))
    finally:
        torch.set_num_threads(threads)
    return capsys.readouterr().out.split()


def end(out):
    from safetensors.torch import load_file

    return load_file(out / "end.safetensors")


def test_a_killed_phase_goes_on_to_the_same_bits(tiny_model, tmp_path, monkeypatch, capsys):
    killed = start(tiny_model, tmp_path / "killed", 5, 4)
    told = here(tiny_model, tmp_path / "whole", 0, 4, monkeypatch, capsys)
    assert ended(killed) == -9
    assert not (tmp_path / "killed/end.safetensors").exists()
    retold = here(tiny_model, tmp_path / "killed", 0, 4, monkeypatch, capsys)
    assert (told[0], retold[0]) == ("6", "2"), "steps 1 to 4 were kept and are not taken again"
    assert retold[1:] == told[1:]
    first, second = end(tmp_path / "whole"), end(tmp_path / "killed")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_phase_does_not_go_on_from_another(tiny, tmp_path, capfd):
    data = encode(tiny.tokenizer, TEXTS, "", 16)
    phase = Phase(tmp_path / "phase.safetensors")
    train(tiny.model, new_optimiser(tiny.model, 1e-3), data, batch=2, learning_rate=1e-3, phase=phase)
    kept = flat(tiny)
    train(tiny.model, new_optimiser(tiny.model, 1e-3), data, batch=2, learning_rate=1e-3, phase=phase)
    assert torch.equal(flat(tiny), kept), "done already"
    train(tiny.model, new_optimiser(tiny.model, 1e-3), data[[3, 2, 1, 0]], batch=2, learning_rate=1e-3, phase=phase)
    assert not torch.equal(flat(tiny), kept)
    assert "of another phase" in capfd.readouterr().err


def test_two_processes_train_as_one(tiny_model, tmp_path, monkeypatch, capsys):
    """23 sequences in batches of 11, 11 and 1: uneven shares, and one process with none; by SGD, which sees a scale."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": "2"}
    shared |= {"ACCELERATE_USE_CPU": "true", "FORK_LAUNCHED": "0"}
    two = [start(tiny_model, tmp_path / "two", -1, 11, RANK=r, LOCAL_RANK=r, **shared) for r in ("0", "1")]
    told = [here(tiny_model, tmp_path / "one", -1, 11, monkeypatch, capsys)]
    said = [tmp_path / "two" / f"said-{rank}.txt" for rank in range(2)]
    assert [ended(process) for process in two] == [0, 0], [path.read_text() for path in said]
    told += [path.read_text().splitlines()[-1].split() for path in said[:1]]
    assert len(told[0]) == 4
    np.testing.assert_allclose(np.array(told[1], float), np.array(told[0], float), rtol=1e-5)
    first, second = end(tmp_path / "one"), end(tmp_path / "two")
    worst = max(float((first[name] - second[name]).abs().max()) for name in first)
    assert worst < 1e-5
    model = load_model(tiny_model, device="cpu", dtype="float32").model
    moved = max(float((first[f"weight.{n}"] - p.detach()).abs().max()) for n, p in model.named_parameters())
    assert moved > 1e-2, "far more than they differ"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_measures_and_trains_as_the_processor_does(tiny_model):
    losses = {}
    for device in ("cpu", "cuda"):
        loaded = load_model(tiny_model, device=device, dtype="float32")
        data = encode(loaded.tokenizer, TEXTS, "Film review:", 16)
        before = code_lengths(loaded.model, data).nats
        train(loaded.model, new_optimiser(loaded.model, 1e-3), data, batch=4, learning_rate=1e-3)
        losses[device] = np.concatenate([before, code_lengths(loaded.model, data).nats])
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3)


def test_a_reading_converts_each_weight_once_and_changes_no_bit(tiny, monkeypatch):
    """Many batches inside one block of autocast: the block's end, and nothing before it, forgets the converted weights."""
    from empirical.measures import code_lengths as finetune_code_lengths

    data = encode(tiny.tokenizer, TEXTS * 40, "Film review:", 16)
    ends = []
    true = torch.clear_autocast_cache
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: (ends.append(1), true())[1])
    together = code_lengths(tiny.model, data, autocast=torch.bfloat16)
    assert len(ends) == 1
    apart = np.zeros(len(data))
    for rows in finetune_code_lengths._by_length(data, finetune_code_lengths._batch_rows(data)):
        apart[rows] = code_lengths(tiny.model, data[rows], autocast=torch.bfloat16).nats
    assert len(ends) == 1 + -(-len(data) // finetune_code_lengths._batch_rows(data)) > 3
    np.testing.assert_array_equal(together.nats, apart)
    optimiser = new_optimiser(tiny.model, 0.1)  # a step between two readings is seen by the second one
    train(tiny.model, optimiser, data[slice(0, 8)], batch=4, learning_rate=0.1, autocast=torch.bfloat16)
    assert np.abs(code_lengths(tiny.model, data, autocast=torch.bfloat16).nats - together.nats).max() > 1e-3


def test_the_random_state_is_that_of_the_models_own_device(tmp_path, monkeypatch):
    """A model on cuda:1 draws its dropout there, whatever the current device is."""
    place, states, random = torch.device("cuda:1"), {}, torch.arange(16, dtype=torch.uint8)
    model = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(device=place, is_cuda=True)]))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device="cuda": random if device == place else None)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device="cuda": states.update({device: state}))
    monkeypatch.setattr(finetune, "save_checkpoint", lambda file, *_, extra, about: states.update(extra))
    monkeypatch.setattr(finetune, "load_checkpoint", lambda *_: dict(states))
    monkeypatch.setattr(finetune, "about_checkpoint", lambda _: {"phase": "key"})
    phase = Phase(tmp_path / "phase.safetensors")
    phase.file.touch()
    finetune._keep(phase, "key", model, None, [0.5])
    assert finetune._resume(phase, "key", model, None) == [0.5]
    assert states[place] is random
