"""Our pairs as tasks of lm-evaluation-harness: its own run and its own files give our rates again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from empirical.behaviours import Pairs
from empirical.data.examples import Preference
from empirical.logs import read_curve, read_records, write_tasks
from empirical.models.loading import load_model
from empirical.tracking import Panel
from empirical.tracking.panel import read_model

pytestmark = pytest.mark.acceptance

PAIRS = Pairs(
    "prefs",
    tuple(
        Preference(f"The {word} falls:", "a good film", "it drags, and drags") for word in ("light", "water", "film")
    ),
)


def test_the_harness_gives_our_rates_from_our_tasks(tiny_model: Path, tmp_path: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    panel = Panel.of(PAIRS)
    names = write_tasks(panel.documents, loaded.tokenizer, tmp_path / "tasks")
    assert names == ["elastomath_chosen", "elastomath_rejected"]
    place = tmp_path / "checkpoint-0"
    tracker = EvaluationTracker(output_path=str(place))
    results = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tiny_model), "dtype": "float32"},
        tasks=names,
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
        device="cpu",
        batch_size=2,
        log_samples=True,
        bootstrap_iters=0,
        evaluation_tracker=tracker,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for name in names:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    ours = read_model(loaded.model, panel.encoded(loaded.model, loaded.tokenizer))
    (aggregated,) = read_records(next(place.rglob("results_*.json")))
    for side in ("chosen", "rejected"):
        (record,) = read_records(next(place.rglob(f"samples_elastomath_{side}_*.jsonl")))
        nats = record.metrics[f"elastomath_{side}.nats"]
        assert record.step == 0
        assert nats.values is not None
        assert np.sort(nats.values) == pytest.approx(np.sort(ours[f"nats_{side}"]), rel=1e-5)
        rate = np.mean(ours[f"nats_{side}"])
        assert np.log(aggregated.metrics[f"elastomath_{side}.perplexity"].value) == pytest.approx(rate, rel=1e-5)
    files = [next(place.rglob(f"samples_elastomath_{side}_*.jsonl")) for side in ("chosen", "rejected")]
    curve = read_curve(files, "elastomath_chosen.nats=align:nats,elastomath_rejected.nats=perturb:nats").curve
    assert next(iter(curve)).rates[:, 0] == pytest.approx([np.mean(ours[f"nats_{s}"]) for s in ("chosen", "rejected")])
