"""What ``inversion.json`` holds of each seed, typed for whoever reads it: words, figure, report, claims."""

from __future__ import annotations

from typing import Any, TypedDict

from elastomath import interval

Ends = dict[str, float | None]
"""`Interval.as_dict`, or the low and high end of draws; None: open."""


class Leg(TypedDict):
    """A leg: examples and alignment at its readings, its cost between the levels in each unit, that over resampled documents."""

    examples: list[float]
    alignment: list[float]
    cost: dict[str, Ends]
    examples_over_documents: Ends


class Scale(TypedDict):
    """The measure before and after alignment, and by how much it moved, with its standard error."""

    zero: float
    full: float
    moved: float
    se: float


class Foretold(TypedDict):
    """What a law fitted to the way up says of both ways (`costs.Prediction`)."""

    law: str
    parameter: float
    asymptote: float
    misfit: float
    up: float
    down: float
    ratio: float


class Seed(TypedDict):
    """One seed."""

    seed: int
    classifier: str | None
    scale: Scale
    states: dict[str, dict[str, float]]
    legs: dict[str, Leg]
    ratios_over_documents: dict[str, Ends]
    predictions: list[Foretold]


class LawRatio(TypedDict):
    """A law's ratio over seeds, and the observed one over it."""

    law: str
    ratio: interval.Ends
    observed_over_predicted: interval.Ends


Ratios = dict[str, dict[str, dict[str, Any]]]
"""By ratio and unit of cost: the ends over seeds, and each seed's."""


class Costs(TypedDict):
    """`costs.summarise`."""

    seeds: list[Seed]
    ratios: Ratios
    predictions: list[LawRatio]
    reading: list[str]
