"""Loops as machine code, kept on disk where there is a folder for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def machine_code(source: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A loop over arrays compiled by numba (``options`` of `numba.njit`); it holds no lock."""
    import numba

    try:
        kept: Callable[..., Any] = numba.njit(cache=True, nogil=True, **options)(source)
    except RuntimeError:  # no folder to keep the compiled code in
        kept = numba.njit(nogil=True, **options)(source)
    return kept
