"""What ``scale.json`` holds beside the readings, typed for whoever reads it: words, figure, report, claims."""

from __future__ import annotations

from typing import Any, TypedDict


class Slope(TypedDict):
    """A slope or an exponent: mean over seeds with a t interval, the value of every seed, the error over documents."""

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    unit: str
    seeds: list[float]
    se_documents: float | None


class Spread(TypedDict):
    """A measure over the runs of a group: in how many it is defined, its mean, its slopes per doubling and exponents."""

    defined: int
    runs: int
    mean: float | None
    slope: dict[str, Slope | None]
    exponent: dict[str, Slope | None]


class LawExponents(TypedDict):
    """The exponents in V that a law gives the measures; None where it has no power law."""

    name: str
    exponents: dict[str, float | None]


class Group(TypedDict):
    """The runs of one alignment volume and direction."""

    align_volume: int
    direction: str
    seeds: list[int]
    perturb_volumes: list[int]
    predictors: list[str]
    measures: dict[str, Spread]
    laws: list[LawExponents]


Row = dict[str, Any]
"""A run's covariates, and every measure with its standard error."""


class Answers(TypedDict):
    """`answers.answers`; a reading has a run's covariates and every measure with its standard error."""

    readings: list[Row]
    groups: list[Group]
    reading: list[str]
