"""Examples and preference pairs: paired by prompt, disjointly, in order."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath.errors import InputError
from empirical.data.examples import Example, Preference, pairs

examples = st.lists(
    st.builds(Example, st.sampled_from(["a", "b", "c", "d "]), st.sampled_from(["x", "y", "z", "u", "v"])), max_size=12
)


def test_they_are_frozen_and_compare_by_value() -> None:
    assert Example("p", "t") == Example("p", "t")
    assert len({Example("p", "t"), Example("p", "t"), Preference("p", "t", "u")}) == 2
    for one in (Example("p", "t"), Preference("p", "t", "u")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.prompt = "q"  # type: ignore[misc]
    assert [field.name for field in dataclasses.fields(Example)] == ["prompt", "text"]
    assert [field.name for field in dataclasses.fields(Preference)] == ["prompt", "chosen", "rejected"]


@given(examples, examples)
def test_pairs_use_each_example_once_and_keep_the_prompts(plus: list[Example], minus: list[Example]) -> None:
    try:
        found = pairs(plus, minus)
    except InputError:
        shared = {e.prompt.strip() for e in plus} & {e.prompt.strip() for e in minus}
        # no pair: nothing on one side, or every possible pair has two equal texts
        texts = [(a.text, b.text) for a in plus for b in minus if not shared or a.prompt.strip() == b.prompt.strip()]
        assert all(a == b for a, b in texts) or (
            not shared and all(a.text == b.text for a, b in zip(plus, minus, strict=False))
        )
        return
    shared = {e.prompt.strip() for e in plus} & {e.prompt.strip() for e in minus}
    assert all(p.chosen != p.rejected for p in found)
    if shared:
        chosen = Counter(Example(p.prompt.strip(), p.chosen) for p in found)
        rejected = Counter(Example(p.prompt.strip(), p.rejected) for p in found)
        assert chosen <= Counter(Example(e.prompt.strip(), e.text) for e in plus)
        assert rejected <= Counter(Example(e.prompt.strip(), e.text) for e in minus)
        assert {p.prompt.strip() for p in found} <= shared
    else:
        assert all(p.prompt == "" for p in found)
        assert len(found) <= min(len(plus), len(minus))


def test_one_prompt_for_all_pairs_in_order() -> None:
    plus = [Example("Film review:", f"good {i}") for i in range(5)]
    minus = [Example("Film review: ", f"bad {i}") for i in range(3)]
    assert [(p.chosen, p.rejected) for p in pairs(plus, minus)] == [(f"good {i}", f"bad {i}") for i in range(3)]
    with pytest.raises(InputError, match="no pair in 5 preferred and 0 rejected"):
        pairs(plus, [])
