"""What ``stiffness.json`` holds, typed for whoever reads it: the report, the command line, claims."""

from __future__ import annotations

from typing import TypedDict

from elastomath.interval import Ends


class ProbeRow(TypedDict):
    """One run: what `run.summarise` says of its path of joint optima. Rates are in nats per token."""

    run: str
    case: str
    k: float
    perturbations: list[float]
    gradient_norm: float
    one_plus_cosine: float
    stiffness_ratio: float
    r5_holds: bool
    r5_ratio: list[float | None]
    response: list[list[float]]
    pretrain_falls: list[bool]
    align_rises: list[bool]
    finite_constant: list[float | None]
    distances: dict[str, float]
    kappa: Ends
    kappa_error: float | None
    passes: int
    seconds: float


class Noise(TypedDict):
    """kappa from readings with so much noise."""

    noise_nats: float
    kappa: Ends


class Control(TypedDict):
    """kappa of one run under a wrong quadrature, and under noise."""

    run: str
    right_endpoint_kappa: Ends
    right_endpoint_error: float | None
    noise: list[Noise]


class Probed(TypedDict):
    """What the probe says beside runs and curve."""

    probe: list[ProbeRow]
    controls: list[Control]
    settings: dict[str, object]
