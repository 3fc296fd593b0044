"""How many examples hypothesis draws: so many by default, the same ones each time; ten times as many, and others, in a search."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis.internal.conjecture import providers

DEFAULT = "same"
SEARCH = 10
"""How many times the examples of a default run `make search` draws."""

settings.register_profile(DEFAULT, deadline=None, derandomize=True)  # a first call compiles, and machines are busy
settings.register_profile("search", deadline=None, derandomize=False, print_blob=True, max_examples=100 * SEARCH)


def examples(count: int, **options: Any) -> settings:
    """Settings for so many examples (``options`` as those of `hypothesis.settings`)."""
    times = SEARCH if settings.get_current_profile_name() == "search" else 1
    return settings(max_examples=count * times, **options)


def _constants_of_modules() -> providers.Constants:
    """The constants of local modules that hypothesis draws besides its own: none by default.

    They are those of whichever modules happen to be loaded, so that a test would draw other examples in a run of its own
    file than in a run of all, and a failure would not come back.
    """
    return NO_CONSTANTS if settings.get_current_profile_name() == DEFAULT else _all_constants_of_modules()


_all_constants_of_modules, NO_CONSTANTS = providers._get_local_constants, providers.Constants()
providers._get_local_constants = _constants_of_modules
