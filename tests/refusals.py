"""What has to be refused with one clear line: masses and volumes that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


def bad_masses() -> st.SearchStrategy[Any]:
    """Masses that `as_masses` has to refuse: NaN, infinite, negative, unnormalised, text, masked, complex, objects, empty, 2-D, scalars."""
    wrong = st.sampled_from([float("nan"), float("inf"), -float("inf"), -1.0, -5e-324, 1e308])
    good = st.lists(st.integers(1, 9).map(float), max_size=4)
    spoilt = st.builds(
        lambda row, bad, at: [*row[: at % (len(row) + 1)], bad, *row[at % (len(row) + 1) :]],
        good,
        wrong,
        st.integers(0, 4),
    )
    strange: st.SearchStrategy[Any] = st.sampled_from(
        [
            [],
            [[]],
            [[0.5, 0.5]],
            np.ones((2, 2)) / 4,
            0.5,
            1,
            None,
            "ab",
            ["a", "b"],
            [b"1"],
            ["1"],
            [b"1", 0.0],
            bytearray(b"1"),
            [10**400, 1],
            np.array([b"1"], dtype=object),
            np.array([1], dtype="m8[s]"),
            np.ma.array([0.5, 0.5], mask=[False, True]),
            [np.longdouble("1e4000")],
            [None, 1.0],
            [0.5, 0.5j],
            [1 + 0j],
            {},
            [0.5, [0.5]],
            [object()],
        ]
    )
    return st.one_of(
        spoilt, strange, st.lists(st.integers(2, 9), min_size=1), st.just([0.0]), st.just([5e-324, 5e-324])
    )


def bad_volumes(count: int = 3) -> st.SearchStrategy[Any]:
    """Volumes that `Mixture.of` has to refuse for ``count`` datasets: wrong number, sign, type or size."""
    wrong = st.sampled_from([float("nan"), float("inf"), -1.0, -5e-324, 1.7e308])
    spoilt = st.builds(lambda bad, at: [1.0] * at + [bad] + [1.0] * (count - 1 - at), wrong, st.integers(0, count - 1))
    zero = st.integers(0, max(count - 2, 0)).map(lambda at: [1.0] * at + [0.0] + [1.0] * (count - 1 - at))
    strange: st.SearchStrategy[Any] = st.sampled_from(
        [
            None,
            "abc",
            [1.0] * (count + 1),
            [1.0] * (count - 1),
            [[1.0] * count],
            [1j] * count,
            ["a"] * count,
            [None] * count,
            1.0,
        ]
    )
    return st.one_of(spoilt, zero, strange)
