"""Rows of a study in groups: the runs of one compressor in one setting."""

from __future__ import annotations

from typing import Generic, TypedDict, TypeVar

Row = TypeVar("Row")


class Group(TypedDict, Generic[Row]):
    """The runs of a compressor in one setting."""

    compressor: str
    setting: str
    rows: list[Row]


class Groups(TypedDict, Generic[Row]):
    """What the figure of such a study is drawn from."""

    groups: list[Group[Row]]
