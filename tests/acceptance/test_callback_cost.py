"""What the callback costs a training: the time of its readings and little memory; and two processes, of which one writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance

PROGRAM = """
import json, resource, sys, time
import torch, transformers
from pathlib import Path
from empirical.behaviours import Pairs
from empirical.data.examples import Preference
from empirical.tracking import ElasticityCallback

folder, on, out = Path(sys.argv[1]), sys.argv[2] == "on", Path(sys.argv[3])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
tokenizer.pad_token = tokenizer.eos_token
config = transformers.LlamaConfig(
    vocab_size=8192, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
    max_position_embeddings=256, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
)
transformers.set_seed(0)
model = transformers.LlamaForCausalLM(config)
rows = [{"input_ids": torch.randint(300, (128,)), "labels": torch.randint(300, (128,))} for _ in range(128)]
pairs = Pairs("prefs", tuple(Preference(f"The light {index} falls:", "a good film", "it drags") for index in range(50)))
callback = ElasticityCallback(pairs, out=out)
arguments = transformers.TrainingArguments(
    str(out / "run"), max_steps=16, per_device_train_batch_size=8, save_strategy="no", report_to=[], use_cpu=True,
    disable_tqdm=True, logging_steps=1,
)
trainer = transformers.Trainer(
    model, arguments, train_dataset=rows, processing_class=tokenizer, callbacks=[callback] if on else []
)
readings, read = [], callback.tracker.read


def timed(*given):
    begin = time.process_time()
    found = read(*given)
    readings.append(time.process_time() - begin)
    return found


callback.tracker.read = timed
start, used = time.perf_counter(), time.process_time()
trainer.train()
told = {
    "seconds": time.perf_counter() - start, "used": time.process_time() - used, "reading": sum(readings),
    "readings": callback.tracker.seconds, "steps": callback.tracker.steps,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
}
if trainer.is_world_process_zero():
    print("TOLD", json.dumps(told))
"""


def told(folder: Path, tmp_path: Path, on: str, *launcher: str) -> dict[str, object]:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, *launcher, str(tmp_path / "program.py"), str(folder), on, str(tmp_path / on)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("TOLD ")), None)
    assert line is not None, done.stderr[-3000:]
    result: dict[str, object] = json.loads(line.removeprefix("TOLD "))
    return result


def test_a_training_takes_its_readings_longer_and_hardly_more_memory(tiny_model: Path, tmp_path: Path) -> None:
    without, with_it = (told(tiny_model, tmp_path, on) for on in ("off", "on"))
    print(
        f"seconds {without['seconds']:.2f} without, {with_it['seconds']:.2f} with, of them {with_it['readings']:.2f} readings; "
        f"of a processor {without['used']:.2f}, {with_it['used']:.2f} and {with_it['reading']:.2f}"
    )
    print(f"peak {without['peak'] / 1024:.0f} MB without, {with_it['peak'] / 1024:.0f} MB with")  # type: ignore[operator]
    assert with_it["losses"] == without["losses"]
    assert with_it["peak"] < 1.1 * without["peak"]  # type: ignore[operator]
    grown = with_it["used"] - without["used"]  # type: ignore[operator]
    assert grown < with_it["reading"] + 0.1 * without["used"]  # type: ignore[operator]
    assert with_it["reading"] > 0  # type: ignore[operator]


def test_of_two_processes_one_writes_and_both_train_as_without(tiny_model: Path, tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    without, with_it = (told(tiny_model, tmp_path, on, *launcher) for on in ("off", "on"))
    assert with_it["losses"] == without["losses"]
    from elastomath import Curve

    run = Curve.read(tmp_path / "on" / "track.csv").run("prefs")
    assert run.perturbations.tolist() == [16 * step for step in with_it["steps"]]  # type: ignore[attr-defined]
