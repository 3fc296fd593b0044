"""Adapters: the columns and prompts of the paper's datasets, from files and (mocked) from the hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from elastomath.errors import InputError
from empirical.data.adapters import ADAPTERS, examples_of, read_examples
from empirical.data.chats import Chat, Turn
from empirical.data.examples import Example, pairs

ROWS: dict[str, list[dict[str, Any]]] = {
    "alpaca": [
        {"instruction": "Add.", "input": "1 and 2", "output": "3", "text": "..."},
        {"instruction": "Say hello.", "input": "", "output": "Hello!", "text": "..."},
        {"instruction": "Say nothing.", "input": "", "output": "", "text": "..."},
    ],
    "truthful-qa": [
        {"type": "x", "category": "y", "question": "Do pigs fly?", "best_answer": "No", "source": "z",
         "correct_answers": ["No", "They do not"], "incorrect_answers": ["Yes"]},
    ],
    "beaver-tails": [
        {"prompt": "How?", "response": "Ask a doctor.", "category": {}, "is_safe": True},
        {"prompt": "How?", "response": "Badly.", "category": {}, "is_safe": False},
    ],
    "safe-rlhf": [
        {"prompt": "How?", "response_0": "Badly.", "response_1": "Ask.", "is_response_0_safe": False,
         "is_response_1_safe": True, "better_response_id": 0, "safer_response_id": 1},
        {"prompt": "Why?", "response_0": "So.", "response_1": "Thus.", "is_response_0_safe": True,
         "is_response_1_safe": True, "better_response_id": 0, "safer_response_id": 1},
    ],
    "messages": [
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"},
                      {"role": "assistant", "content": "So."}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
                      {"role": "user", "content": "And?"}, {"role": "assistant", "content": " Bye "}]},
    ],
    "labelled": [{"text": "A slow film.", "label": 0}, {"text": "A good film.", "label": 1}, {"text": "A film.", "label": -1}],
}  # fmt: skip

ROWS["imdb"] = ROWS["labelled"]  # the same columns: film reviews are known by their name only

TALK = "BEGINNING OF CONVERSATION: USER: {} ASSISTANT:"
EXPECTED = {
    "alpaca": {
        "response": [Example(TALK.format("Add.\n1 and 2"), "3"), Example(TALK.format("Say hello."), "Hello!")],
    },
    "truthful-qa": {
        "truthful": [Example(TALK.format("Do pigs fly?"), text) for text in ("No", "They do not")],
        "untruthful": [Example(TALK.format("Do pigs fly?"), "Yes")],
    },
    "beaver-tails": {
        "safe": [Example(TALK.format("How?"), "Ask a doctor.")],
        "unsafe": [Example(TALK.format("How?"), "Badly.")],
    },
    "safe-rlhf": {
        "safe": [Example(TALK.format(p), t) for p, t in (("How?", "Ask."), ("Why?", "So."), ("Why?", "Thus."))],
        "unsafe": [Example(TALK.format("How?"), "Badly.")],
    },
    "imdb": {
        "positive": [Example("Film review:", "A good film.")],
        "negative": [Example("Film review:", "A slow film.")],
    },
    "labelled": {"positive": [Example("", "A good film.")], "negative": [Example("", "A slow film.")]},
    "messages": {
        "response": [
            Example(Chat.of([Turn("system", "Be brief."), Turn("user", "Why?")]), "So."),
            Example(Chat.of([Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "And?")]), "Bye"),
        ],
    },
}


def write(folder: Path, name: str, suffix: str) -> Path:
    path, frame = folder / f"data{suffix}", pd.DataFrame(ROWS[name]).drop(columns="category", errors="ignore")
    if suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix == ".csv":
        for column in frame:
            if isinstance(frame[column][0], list):
                frame[column] = frame[column].map(json.dumps)
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("name", sorted(set(ROWS) - {"imdb"}))
def test_files_are_known_by_their_columns(tmp_path: Path, name: str, suffix: str) -> None:
    found = read_examples(write(tmp_path, name, suffix))
    assert found.adapter == name
    assert {kind: list(examples) for kind, examples in found.kinds.items()} == EXPECTED[name]
    assert found.sha256 is not None
    assert found.skipped == (1 if name == "alpaca" else 0)


@pytest.mark.parametrize("name", [name for name in sorted(ROWS) if ADAPTERS[name].dataset])
def test_the_hub_is_asked_for_the_right_split(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[Any, ...]] = []

    def load(dataset: str, config: str | None, split: str, revision: str | None) -> Any:
        asked.append((dataset, config, split, revision))
        return datasets.Dataset.from_list(ROWS[name])

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(hub.HfApi, "dataset_info", lambda *_, **__: None)
    adapter = ADAPTERS[name]
    for spec in (name, adapter.dataset):
        found = read_examples(spec, revision="abc")
        assert {kind: list(examples) for kind, examples in found.kinds.items()} == EXPECTED[name]
        assert asked.pop() == (adapter.dataset, adapter.config, adapter.split, "abc")
    read_examples(f"{adapter.dataset}/other:part", revision="abc")
    assert asked.pop() == (adapter.dataset, "other", "part", "abc")
    read_examples(f"{name}:part")
    assert asked.pop() == (adapter.dataset, adapter.config, "part", None)


def test_one_kind_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "beaver-tails", ".jsonl")
    assert list(examples_of(f"{path}#unsafe")) == EXPECTED["beaver-tails"]["unsafe"]
    assert list(examples_of(str(write(tmp_path, "alpaca", ".csv")))) == EXPECTED["alpaca"]["response"]
    with pytest.raises(InputError, match=r"several kinds of example.*safe, unsafe"):
        examples_of(str(path))
    with pytest.raises(InputError, match=r"no example of kind 'kind'.*safe, unsafe"):
        examples_of(f"{path}#kind")


def test_prompts_as_chats(tmp_path: Path) -> None:
    """With ``chat`` the row's own prompt is the user's turn, without the words of the dataset unless they are given."""
    path = write(tmp_path, "beaver-tails", ".jsonl")
    [safe] = read_examples(path, chat=True).of("safe")
    assert isinstance(safe.prompt, Chat)
    assert safe.prompt.turns == (Turn("user", "How?"),)
    [worded] = read_examples(path, chat=True, template="Q: {prompt}").of("safe")
    assert worded.prompt.turns == (Turn("user", "Q: How?"),)  # type: ignore[attr-defined]
    talks = read_examples(write(tmp_path, "messages", ".jsonl")).of()
    assert [len(talk.prompt.turns) for talk in talks] == [2, 3]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="the words 'x' for messages"):
        read_examples(tmp_path / "data.jsonl", template="x")
    with pytest.raises(InputError, match=r"no prompt for the user's turn.*row 1"):
        read_examples(write(tmp_path, "labelled", ".csv"), chat=True)


def test_preferences_come_from_both_kinds(tmp_path: Path) -> None:
    found = read_examples(write(tmp_path, "safe-rlhf", ".jsonl"))
    [only] = pairs(found.of("safe"), found.of("unsafe"))
    assert (only.prompt, only.chosen, only.rejected) == (TALK.format("How?"), "Ask.", "Badly.")


def test_templates_and_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "beaver-tails", ".jsonl")
    assert read_examples(path, template="Q: {prompt}\nA:").of("safe")[0].prompt == "Q: How?\nA:"
    assert read_examples(path, adapter="responses").kinds["response"][0] == Example("How?", "Ask a doctor.")
    assert len(read_examples(path, limit=1).of("safe")) == 1
    (tmp_path / "own.csv").write_text("prompt,response\nOne?,1\n")
    assert read_examples(tmp_path / "own.csv").of() == (Example("One?", "1"),)
    braces = {"prompt": "a {prompt} {x}", "response": "y", "is_safe": True}
    (tmp_path / "b.jsonl").write_text(json.dumps(braces))
    assert read_examples(tmp_path / "b.jsonl").of("safe")[0].prompt == TALK.replace("{}", "a {prompt} {x}")


@pytest.mark.parametrize(
    ("content", "adapter", "told"),
    [
        ({"a": "x", "b": "y"}, None, ("the columns a, b are those of no known dataset", "alpaca: instruction, input")),
        ({"a": "x"}, "alpaca", ("alpaca needs the columns instruction, input, output", "the data has a")),
        ({"prompt": "x", "response": "y", "is_safe": "maybe"}, None, ("row 1: is_safe is 'maybe'",)),
        ({"prompt": "x", "response": 5, "is_safe": True}, None, ("row 1: 'response' is int, not text",)),
        ({"text": "x", "label": 7}, None, ("row 1: label 7",)),
        ({"question": "x", "correct_answers": 3, "incorrect_answers": []}, None, ("row 1: correct_answers is int",)),
        ({"question": "x", "correct_answers": "[3", "incorrect_answers": []}, None, ("is not a JSON list",)),
        ({"messages": [{"role": "user", "content": "x"}]}, None, ("row 1", "without two turns")),
        ({"messages": "[{]"}, None, ("row 1", "a chat that is not JSON")),
        ({"messages": {"role": "user"}}, None, ("a chat of type dict",)),
        (
            {"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]},
            None,
            ("the last turn is of the user",),
        ),
        ({"messages": [{"role": "user", "content": None}, {"role": "assistant", "content": "y"}]}, None, ("turn 1",)),
        ({"text": " ", "label": 1}, None, ("no example with text",)),
        ({"text": "x", "label": 1}, "nobody", ("no adapter called 'nobody'", "beaver-tails")),
    ],
)
def test_bad_data_is_one_line(tmp_path: Path, content: dict[str, Any], adapter: str | None, told: tuple[str]) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(content) + "\n")
    with pytest.raises(InputError) as caught:
        read_examples(path, adapter=adapter)
    for part in told:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path, "labelled", ".csv")
    code = f"import sys; from empirical.data.adapters import read_examples as r; r({str(path)!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
