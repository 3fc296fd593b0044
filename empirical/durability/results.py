"""What ``durability.json`` holds of each run and of all together, typed for whoever reads it: words, figures, report, claims."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from elastomath.interval import Ends


class Fall(TypedDict):
    """A mean first fall, with its standard error over paired prompts."""

    estimate: float
    se: float


class Undone(Ends):
    """An undo volume; censored: it was not reached by the last volume that was tried."""

    censored: bool


class Norm(TypedDict, total=False):
    """The norm of the features, where Adam was foretold."""

    norm: float


class Undoing(Norm):
    """What the gradients of the aligned model itself say of its undoing (`card.undoing_again`)."""

    first_fall: Ends
    undo_volume: Ends


class Again(Undoing):
    """The same in a run's row, with the undo volume in words."""

    text: str


class ForecastRow(TypedDict):
    """What is foretold of n aligning examples."""

    n: int
    z: Ends
    first_fall: Ends
    undo_volume: Ends


class CardRecord(TypedDict):
    """The card of a behaviour (`card.Card`)."""

    z0: Ends
    closure: float
    cosine: Ends
    c: dict[str, Ends]
    relative_kernel: Ends
    optimiser: str
    learning_rate: float
    batch: int
    prompts: int
    adapted: int
    applies: bool
    reasons: list[str]
    forecast: list[ForecastRow]
    conclusion: list[str]


class Course(TypedDict):
    """The mean contrast along the opposed examples (``course``), or along the aligned ones (``rise``), from its first state on."""

    volume: list[float]
    z: list[float]


class GivenBack(TypedDict):
    """The share of the alignment that an arm beside the opposed examples gave back."""

    volume: int
    given_back: Ends


class Arms(TypedDict, total=False):
    """The arms beside the opposed examples, and a second alignment after them."""

    neutral: GivenBack
    mixed: GivenBack
    again: Ends


class DurabilityRow(TypedDict):
    """A run: forecast beside measurement (`answers.durability_row`); what is not required was not perturbed, or not asked for."""

    pairs: str
    n: int
    optimiser: str
    seed: int
    learning_rate: float
    batch: int
    algorithm: str
    closure: float
    applies: bool
    reasons: list[str]
    z0: float
    z: float
    forecast_z: float | None
    cosine: Ends
    c: dict[str, Ends]
    relative_kernel: Ends
    arms: Arms
    cut: NotRequired[int]
    undo_volume: NotRequired[Undone]
    undo_volume_text: NotRequired[str]
    forecast_undo_volume: NotRequired[float | None]
    forecast_interval: NotRequired[Ends]
    forecast_text: NotRequired[str]
    first_fall: NotRequired[dict[str, Fall]]
    forecast_again: NotRequired[Again]
    course: NotRequired[Course]
    rise: NotRequired[Course]


class RunName(TypedDict):
    """What a run is told by."""

    pairs: str
    optimiser: str
    seed: int
    n: int


class ForecastError(TypedDict):
    """|forecast - measured| / measured over runs; inside: measured values in the forecast's interval.

    vouched: of these runs, those whose card says that the law applies;  beyond: further runs that were not undone.
    """

    median: float | None
    worst: float | None
    worst_run: NotRequired[RunName]
    runs: int
    inside: int
    vouched: NotRequired[int]
    beyond: NotRequired[int]


class OverGroups(Ends):
    """A number over behaviours and seeds, some left out; smallest_visible: the effect that would have been seen.

    method: over what the interval is, behaviours or seeds of them.  of_these: the one over seeds, of these behaviours alone, where
    the interval is over behaviours
    """

    groups: int
    method: NotRequired[str]
    left_out: NotRequired[int]
    of_these: NotRequired[Ends]
    smallest_visible: float | None


class Group(TypedDict):
    """One behaviour at one seed."""

    pairs: str
    seed: int


class Answer(TypedDict):
    """What the runs of an optimiser, after an algorithm, say together (`pooled.pooled_answers`)."""

    exponent: OverGroups
    forecast_exponent: OverGroups
    exponent_error: NotRequired[OverGroups]
    first_fall: dict[str, OverGroups]
    first_fall_factor: NotRequired[dict[str, OverGroups]]
    return_ratio: OverGroups
    return_excess: NotRequired[OverGroups]
    groups: list[Group]
    vouched: NotRequired[Answer]


class Durability(TypedDict):
    """All runs together."""

    durability: list[DurabilityRow]
    error: ForecastError
    answers: dict[str, Answer]
