"""Our readings inside other tools' evaluations: a metric of open-unlearning. Its package is imported here alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from elastomath.errors import InputError

from ..tracking.panel import MAX_TOKENS, Panel, read_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HANDLER = "elastomath_contrast"


def register_open_unlearning() -> str:
    """Make `contrast` a handler of open-unlearning's metrics, and return its name; call it before ``get_metrics``.

    A metric's configuration is then ``handler: elastomath_contrast`` with ``pairs: prefs.jsonl`` and perhaps ``limit``,
    ``max_tokens``, ``swap``, ``chat``. Raises InputError where open-unlearning's ``src`` is not on the path.
    """
    try:
        metrics: Any = importlib.import_module("evals.metrics")
        base: Any = importlib.import_module("evals.metrics.base")
        metrics.METRICS_REGISTRY[HANDLER] = base.unlearning_metric(name=HANDLER)(contrast)
    except (ImportError, AttributeError) as error:
        raise InputError(
            "open-unlearning is not there", where="plug-in", mend="run inside its repository, with src on the path"
        ) from error
    return HANDLER


def contrast(model: PreTrainedModel, **kwargs: Any) -> dict[str, Any]:
    """``{"agg_value": mean z, "value_by_index": {i: {"contrast", "nats_chosen", "nats_rejected"}}}``, z in nats a response.

    kwargs: the tokenizer and the metric's configuration. What open-unlearning writes of it into ``*_EVAL.json``, `read_curve`
    reads as ``METRIC.nats_chosen=align:nats,METRIC.nats_rejected=perturb:nats``, with errors over paired prompts.
    """
    panel = Panel.of(
        str(kwargs["pairs"]),
        limit=kwargs.get("limit"),
        max_tokens=int(kwargs.get("max_tokens", MAX_TOKENS)),
        swap=bool(kwargs.get("swap", False)),
        chat=bool(kwargs.get("chat", False)),
    )
    reading = read_model(model, panel.encoded(model, kwargs["tokenizer"]), where=HANDLER)
    rows = zip(reading["nats_chosen"], reading["nats_rejected"], strict=True)
    values = {
        str(index): {"contrast": minus - plus, "nats_chosen": plus, "nats_rejected": minus}
        for index, (plus, minus) in enumerate(rows)
    }
    return {"agg_value": float(np.mean([row["contrast"] for row in values.values()])), "value_by_index": values}
