"""Splits of examples: disjoint by content, or by prompt, and the same whatever the order of the file."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath.errors import InputError
from empirical.data.examples import Example
from empirical.data.splits import split_documents, split_examples

MANY = [Example(f"prompt {i % 13}", f"text {i % 41}") for i in range(200)]


def key(example: Example) -> tuple[str, str]:
    return example.prompt.strip(), example.text.strip()


@given(
    st.lists(st.builds(Example, st.sampled_from("abcde"), st.sampled_from(["x", "y", "z", " x", ""])), max_size=40),
    st.lists(st.integers(0, 6), max_size=3),
    st.sampled_from(["example", "prompt"]),
    st.integers(0, 3),
)
def test_splits_are_disjoint_and_of_their_size(examples, sizes, by, seed) -> None:
    try:
        parts = split_examples(examples, sizes, seed, by=by)
    except InputError:
        distinct = {key(e) for e in examples if e.text.strip()}
        assert sum(sizes) > len(distinct) or by == "prompt"
        return
    assert [len(part) for part in parts] == sizes
    keys = [key(e) for part in parts for e in part]
    assert len(set(keys)) == len(keys)
    assert all(e in examples and e.text.strip() for part in parts for e in part)
    if by == "prompt":
        prompts = [{e.prompt.strip() for e in part} for part in parts]
        assert sum(map(len, prompts)) == len(set().union(*prompts))


@pytest.mark.parametrize("by", ["example", "prompt"])
def test_a_split_depends_on_the_content_and_the_seed_only(by) -> None:
    shuffled = random.Random(1).sample(MANY, k=len(MANY))
    assert split_examples(MANY, [60, 30], by=by) == split_examples(shuffled, [60, 30], by=by)
    assert split_examples(MANY, [60, 30], by=by) != split_examples(MANY, [60, 30], seed=1, by=by)


def test_by_example_a_prompt_may_be_on_both_sides() -> None:
    a, b = split_examples(MANY, [60, 60])
    assert {e.prompt for e in a} & {e.prompt for e in b}


def test_what_is_excluded_is_in_no_split() -> None:
    [first] = split_examples(MANY, [60])
    [rest] = split_examples(MANY, [60], exclude=first)
    assert not {key(e) for e in first} & {key(e) for e in rest}
    [few] = split_examples(MANY, [20], by="prompt")
    [others] = split_examples(MANY, [60], exclude=few, by="prompt")
    assert not {e.prompt for e in few} & {e.prompt for e in others}


def test_examples_without_prompts_split_as_documents_rank() -> None:
    texts = [f"text {i}" for i in range(50)]
    parts = split_examples([Example("", text) for text in texts], [20, 30])
    assert {e.text for part in parts for e in part} == {t for part in split_documents(texts, [20, 30]) for t in part}


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="500 examples asked for, 200 distinct examples with 200 examples there"):
        split_examples([Example("p", str(i)) for i in range(200)], [500])
    with pytest.raises(InputError, match="1 distinct prompts"):
        split_examples([Example("p", str(i)) for i in range(20)], [5, 5], by="prompt")
    with pytest.raises(InputError, match="by 'text'"):
        split_examples(MANY, [1], by="text")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="sizes"):
        split_examples(MANY, [-1])
