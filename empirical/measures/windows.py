"""Which tokens a window reads and which it scores, for documents and for responses after prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elastomath.errors import InputError

Index = NDArray[np.int64]


def rolling_windows(length: int, window: int, stride: int | None = None) -> Index:
    """Windows that score each of ``length`` tokens once, with at least ``window - stride`` tokens of older context.

    With s = (prefix, t_1, ..., t_length), a row (begin, end, scored) feeds s[begin:end], which predicts
    s[begin+1:end+1], of which the last ``scored`` count; shape (windows, 3). The first window scores
    min(window, length) tokens, each later one the next min(stride, what is left), and every window but the first is
    full: the last one, if it has few tokens left to score, is filled with more context on its left.
    ``stride = window`` (the default) gives disjoint windows with one token of context, the convention of
    lm-evaluation-harness's rolling log-likelihood.

    Raises InputError unless length >= 0 and 1 <= stride <= window.

    >>> rolling_windows(10, 4).tolist()
    [[0, 4, 4], [4, 8, 4], [6, 10, 2]]
    >>> rolling_windows(10, 4, stride=3).tolist()
    [[0, 4, 4], [3, 7, 3], [6, 10, 3]]
    """
    stride = window if stride is None else stride
    if length < 0:
        raise InputError(f"length {length}", where="rolling windows", mend="a document has 0 tokens or more")
    check_window(window, stride)
    first = min(window, length)
    if first == 0:
        return np.zeros((0, 3), dtype=np.int64)
    ends = np.minimum(first + stride * np.arange(1 + -(-(length - first) // stride)), length)
    scored = np.diff(ends, prepend=0)
    return np.stack([np.maximum(ends - window, 0), ends, scored], axis=1)


def response_windows(prompt: int, response: int, window: int, stride: int | None = None) -> Index:
    """Windows that score each of ``response`` tokens once, after ``prompt`` tokens that are only read.

    The `rolling_windows` of the response, each with as much of the prompt in front as the window has room for: with
    s = (prefix, p_1 .. p_prompt, r_1 .. r_response), rows (begin, end, scored) as there. Where all fits, one window
    reads all of it; where it does not, the beginning of the prompt (the prefix first) is cut away, as
    lm-evaluation-harness's log-likelihood of a continuation does, and a response longer than the window is read on in
    windows of its own.

    >>> response_windows(3, 2, 8).tolist(), response_windows(7, 2, 8).tolist()
    ([[0, 5, 2]], [[1, 9, 2]])
    >>> response_windows(3, 6, 4).tolist()
    [[3, 7, 4], [5, 9, 2]]
    """
    if prompt < 0:
        raise InputError(f"a prompt of {prompt} tokens", where="windows", mend="a prompt has 0 tokens or more")
    rows = rolling_windows(response, window, stride)
    rows[:, 1] += prompt
    rows[:, 0] = np.maximum(rows[:, 1] - window, 0)
    return rows


def check_window(window: int, stride: int, context: int | None = None) -> None:
    """Raise InputError unless 1 <= stride <= window <= context (the longest input that the model takes).

    >>> check_window(128, 64, context=2048)
    """
    if window < 1:
        raise InputError(f"window {window}", where="window", mend="a window has at least one token")
    if context is not None and window > context:
        raise InputError(
            f"window {window} is longer than the model's context of {context} tokens",
            where="window",
            mend=f"choose at most {context}",
        )
    if not 1 <= stride <= window:
        raise InputError(f"stride {stride}", where="stride", mend=f"choose a stride from 1 to the window, {window}")
