"""What the runs of the simulator return, as it stands in a ledger and in JSON: typed for whoever reads it."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Back(TypedDict):
    """`Crossing.as_dict`: the volume at which something is reached, with its bracket; None where it never was.

    share of what was done before it;  moved, left  of the way back (`live`): what the perturbation did, how far it stays away
    """

    low: float | None
    high: float | None
    open_gap: float | None
    closed_gap: float | None
    evaluations: int
    volume: float | None
    moved: NotRequired[float]
    left: NotRequired[list[float]]
    share: NotRequired[float | None]


class Gradients(TypedDict):
    """R7 at a state: |grad H_a|/|grad H_p|, the cosine of the two, the three norms, and what is left of the weighted sum."""

    perturbation: float
    cosine: float | None
    ratio: float | None
    norms: list[float]
    residual: float | None


class Entry(TypedDict):
    """A run for one alignment volume: volumes of D_p, D_a and D_t, the perturbations (J,), entropies (3, J) in nats a leaf."""

    volumes: list[float]
    perturbations: list[float]
    entropies: list[list[float]]
    reverse: list[list[float | None]] | None
    scores: NotRequired[list[float]]
    gradients: NotRequired[list[Gradients | None]]
    descent: NotRequired[list[dict[str, float | str] | None] | None]
    back: NotRequired[Back]
    undo: NotRequired[Back | None]


class Aligned(TypedDict):
    """A training between slices (`resist`), nats a leaf: what is left of the code length of its target, and of which floor."""

    loss: float
    entropy: float
    excess: float
    excess_before: float
    closed: float | None


Pair = TypedDict(
    "Pair", {"from": int, "to": int, "forward": Aligned, "inverse": Aligned, "lower_loss": bool, "lower_excess": bool}
)
"""Forward and inverse alignment between two slices."""


class Resisted(TypedDict):
    """`resist`: all pairs of slices, and the entropy of what each generates."""

    k: float
    slices: list[float]
    volume: float
    entropies: list[float]
    pairs: list[Pair]


class Life(TypedDict):
    """A life cycle (`live`), with what a study adds to it; ``levels`` are scores of the datasets and of the pre-trained state."""

    mode: str
    epsilon: float
    leaves: int
    length: int
    parameters: int | None
    losses: dict[str, list[float]]
    levels: dict[str, float | None]
    runs: list[Entry]
    covariates: NotRequired[dict[str, str | float]]
    resistance: NotRequired[Resisted]
    prefixes: NotRequired[list[float]]
    depth: NotRequired[float]


class Reading(TypedDict):
    """z over the prompts of D_a, the mean share p of the chosen response in the pair, and the mass outside the pair."""

    z: float
    p: float
    closure: float


class Way(Reading):
    """A base aligned by n steps (`behave`): how its kernel moved, what undoes it, and what its base foretold."""

    n: int
    kernel: float
    turned: float
    forecast_z: float
    undo_volume: float | None
    forecast_undo_volume: float


class Behaved(TypedDict):
    """`behave`: the base, and each aligned state."""

    base: Reading
    ways: list[Way]


class Mix(TypedDict):
    """A perturbation beside a replay: what undid the alignment, where the contrast ends, where the joint optimum has it, how fast."""

    of: str
    share: float
    undo_volume: float | None
    end: float
    joint: float | None
    speed: float | None


class Replay(TypedDict):
    """`replayed`: contrasts of the base and after n steps, the base's share p_0, the constant a step, and each mix."""

    z0: float
    p0: float
    z: float
    n: int
    past: float
    constant: float
    mixes: list[Mix]


class Place(TypedDict):
    """When a behaviour was learned, the contrast it left, and what undoes it."""

    order: str
    z: float
    undo_volume: float | None


class Order(TypedDict):
    """`ordered`: early, interleaved and late, after the same volumes of the rest and of the behaviour."""

    floor: float
    start: float
    past: int
    n: int
    constant: float
    orders: list[Place]


class Fall(TypedDict):
    """Opposed examples that undo it: at the attack's best learning rate, and at the defender's own."""

    undone: float | None
    same: float | None


class DefendedRow(TypedDict):
    """A defence and a seed (`defend`): where it stands, what it cost, its constants, its forecast, how each attack ends."""

    defence: str
    seed: int
    beta: float | None
    z: float | None
    floor: float
    outside: float | None
    lost: float | None
    constant: float | None
    falling: float | None
    forecast: float | None
    attacks: dict[str, Fall]


class Recovery(TypedDict):
    """What neutral text gives back of a behaviour of the base that was overlaid (`recovery`)."""

    seed: int
    opposed: float
    neutral: int
    z0: float
    fallen: float
    drift: float
    rest: float
    back: float


class DefendedLaw(TypedDict):
    """The nominal constant and volume of plain fine-tuning, and the most examples that an attack had."""

    constant: float
    volume: int
    most: int
