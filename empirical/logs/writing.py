"""Our readings in the forms of other tools: tasks of lm-evaluation-harness with the same rates, entries of a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath.errors import InputError
from elastomath.interval import Interval
from elastomath.storage import whole_file

from ..data.chats import Chat, chat_text, joined, trimmed
from ..data.examples import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def write_tasks(
    documents: Mapping[str, Sequence[Example]], tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> list[str]:
    """A task ``elastomath_SIDE`` of lm-evaluation-harness for each side of a panel: files for ``--include_path``; their names.

    ``perplexity`` of a task is ``exp`` of the mean code length of its responses, ``exp(gamma)`` with gamma in nats a response;
    ``samples_*.jsonl`` (``--log_samples``) holds the code length of each, which `read_curve` reads as ``TASK.nats``. What stands
    before a response is written out, with the prefix token spelled, so that the harness adds none (its default). The harness
    reads responses whole: the numbers are those of readings that cut none (``max_tokens``).

    Raises InputError for chats whose template ends in white space, which the harness would count as part of the response.
    """
    import yaml

    place = Path(folder)
    prefix = tokenizer.bos_token or tokenizer.eos_token
    if prefix is None:
        raise InputError("the tokenizer has neither a BOS nor an EOS token", where="tasks", mend="set one")
    names = []
    for side, examples in documents.items():
        name = f"elastomath_{side}"
        rows = [
            {"context": _before(tokenizer, e.prompt, prefix), "response": joined(e.prompt, e.text)} for e in examples
        ]
        with whole_file(place / f"{name}.jsonl") as aside:
            aside.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str((place / f"{name}.jsonl").resolve())}},
            "test_split": "test",
            "output_type": "loglikelihood",
            "doc_to_text": "{{context}}",
            "doc_to_target": "{{response}}",
            "target_delimiter": "",
            "metric_list": [{"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}],
            "metadata": {"version": 1.0},
        }
        with whole_file(place / f"{name}.yaml") as aside:
            aside.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
        names.append(name)
    return names


def _before(tokenizer: PreTrainedTokenizerBase, prompt: str, prefix: str) -> str:
    if isinstance(prompt, Chat):
        text = chat_text(tokenizer, prompt)
        if text != text.rstrip():
            raise InputError(
                "the chat template ends in white space, which the harness counts with the response",
                where="tasks",
                mend="write the tasks of pairs without a chat template",
            )
        return text
    words = trimmed(prompt)
    return words if words.startswith(prefix) else f"{prefix}{words}"


def write_model_card(result: Mapping[str, Any], model_name: str, path: str | Path) -> Path:
    """The evaluation entries (``model-index``) of a model card as YAML, from what `track` or a callback found.

    result   of `Course.summary`: the undo volume where it was reached, the share of the contrast that is left, kappa where it
             has an estimate; the interval of each is in its name, as the card has no field for it
    """
    from huggingface_hub import EvalResult, ModelCardData

    pairs = str(result.get("settings", {}).get("pairs") or "pairs")
    entries = []
    for kind, name, saved in (
        ("undo_volume", "Perturbation that undoes the alignment", result.get("undo_volume")),
        ("contrast_left", "Share of the alignment's contrast that is left", result.get("left")),
        ("kappa", "Elasticity constant kappa", result.get("constants", {}).get("kappa")),
    ):
        if saved is not None and saved.get("estimate") is not None:
            interval = Interval.of_dict(saved)
            entries.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=Path(pairs).stem,
                    dataset_name=pairs,
                    metric_type=kind,
                    metric_value=float(saved["estimate"]),
                    metric_name=f"{name}, {interval} at {interval.level:.0%}",
                )
            )
    if not entries:
        raise InputError("no number to enter", where="model card", mend="track checkpoints with a base first")
    file = Path(path)
    with whole_file(file) as aside:
        aside.write_text(ModelCardData(model_name=model_name, eval_results=entries).to_yaml() + "\n", encoding="utf-8")
    return file
