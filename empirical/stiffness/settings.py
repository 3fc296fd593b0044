"""Settings of the stiffness protocol; what the protocol does is in `run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from elastomath.checks import COUNT, POSITIVE, POSITIVES, integer, rising
from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration
from elastomath.runs.settings import Settings, setting

from ..fetch.catalog import MODEL

CASES = {
    "union": "pre-training (D_p) is the union of three texts: neutral (D_1), alignment (D_a), perturbation (D_t); the union law (R8)",
    "halves": "pre-training is the union of alignment and perturbation alone; the theorem made true (R18)",
    "separate": "pre-training is the neutral text alone: separate samples, no union, where the theorem fails (R9)",
    "shared": "the union of three texts where half of the perturbation is the text of alignment (a control)",
}
"""What D_p, D_a and D_t are, as weights on the same token positions."""


def from_zero(values: Sequence[float], name: str, where: str) -> None:
    """The gate of l = |D_t| / |D_a|: at least three, rising from 0."""
    rising(values, name, where, least_size=3, from_zero=True)


def ratios(values: Sequence[float], name: str, where: str) -> None:
    """The gate of volume ratios: at least one, all > 0."""
    POSITIVES(values, name, where)


@dataclass(frozen=True)
class StiffnessSettings(Settings):
    """One stiffness experiment: the case `union` at every k and perturbation, the other cases beside it at ``contrast_k``.

    The features of the tilt are a Gaussian projection of the output embedding.
    """

    NAME = "stiffness"
    model: str = setting(MODEL, "Name, hub id, folder or GGUF file.")
    revision: str | None = setting(None, "Revision of a model on the hub.")
    texts: tuple[str, ...] = setting(
        ("film-reviews:rotten_tomatoes", "film-reviews:positive/imdb", "film-reviews:negative/imdb"),
        "Three data sets, with commas between: a neutral one, alignment, perturbation.",
    )
    k: tuple[float, ...] = setting(
        (10.0, 100.0), "Pre-training volume over alignment volume, a run for each.", gate=ratios
    )
    perturbations: tuple[float, ...] = setting(
        (0.0, 0.1, 0.2, 0.35, 0.6, 0.9, 1.3, 1.8, 2.4, 3.0),
        "Perturbation volume over alignment volume, rising from 0.",
        option="--l",
        gate=from_zero,
    )
    case_steps: tuple[float, ...] = setting(
        (0.0, 0.1, 0.3, 0.6),
        "Perturbation volume over alignment volume, rising from 0, where pre-training is not the union of all three texts.",
        gate=from_zero,
    )
    contrast_k: float = setting(
        10.0, "Pre-training volume over alignment volume, where pre-training is not that union.", gate=POSITIVE
    )
    positions: int = setting(3840, "Token positions, a third for each text.", gate=COUNT)
    window: int = setting(128, "Positions in a row of text.", gate=COUNT)
    features: int = setting(128, "Directions in which the output distributions of the model may be tilted.", gate=COUNT)
    seed: int = setting(0, "Seed of everything that is drawn.", gate=integer(least=0), each=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.texts) != 3 or not all(self.texts):
            raise InputError(
                f"--texts names {len(self.texts)} data sets", where="stiffness", mend="name three: D_1,D_a,D_t"
            )
        if self.positions < 3 * self.window:
            raise InputError(
                f"{self.positions} positions in windows of {self.window}",
                where="stiffness",
                mend="ask for at least one window for each of the three texts",
            )

    def configurations(self, dtype: str, source: str, data: dict[str, str | None]) -> list[Configuration]:
        """The full configuration of every run: (case, k, perturbations); source, data: weights and files, by hash."""
        shared = {key: value for key, value in asdict(self).items() if key not in ("k", "case_steps", "contrast_k")}
        shared |= {"protocol": "stiffness", "version": 2, "dtype": dtype, "texts": list(self.texts)}
        shared |= {"model_source": source, "data_sources": data}
        runs = [{"case": "union", "k": float(k), "perturbations": list(self.perturbations)} for k in self.k]
        others = [case for case in CASES if case != "union"]
        runs += [{"case": case, "k": float(self.contrast_k), "perturbations": list(self.case_steps)} for case in others]
        return [shared | run for run in runs]
