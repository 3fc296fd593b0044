"""How many examples hypothesis draws: so many by default, the same ones each time; ten times as many, and others, in a search."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

DEFAULT = "same"
SEARCH = 10
"""How many times the examples of a default run `make search` draws."""

settings.register_profile(DEFAULT, deadline=None, derandomize=True)  # a first call compiles, and machines are busy
settings.register_profile("search", deadline=None, derandomize=False, print_blob=True, max_examples=100 * SEARCH)


def examples(count: int, **options: Any) -> settings:
    """Settings for so many examples (``options`` as those of `hypothesis.settings`)."""
    times = SEARCH if settings.get_current_profile_name() == "search" else 1
    return settings(max_examples=count * times, **options)
