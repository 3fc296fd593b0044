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
    "union": "D_p is the union of three texts, D_1 and those of D_a and D_t (R8)",
    "halves": "D_p is the union of the texts of D_a and D_t alone (R18)",
    "separate": "D_p is D_1 alone: separate samples, no union (R9)",
    "shared": "the union of three texts where half of D_t is the text of D_a (R8, control)",
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
        "Three data sets D_1,D_a,D_t, with commas between.",
    )
    k: tuple[float, ...] = setting((10.0, 100.0), "|D_p| / |D_a|, one run each.", gate=ratios)
    perturbations: tuple[float, ...] = setting(
        (0.0, 0.1, 0.2, 0.35, 0.6, 0.9, 1.3, 1.8, 2.4, 3.0),
        "|D_t| / |D_a|, rising from 0.",
        option="--l",
        gate=from_zero,
    )
    case_steps: tuple[float, ...] = setting(
        (0.0, 0.1, 0.3, 0.6), "|D_t| / |D_a| of the cases beside the union, rising from 0.", gate=from_zero
    )
    contrast_k: float = setting(10.0, "|D_p| / |D_a| of the cases beside the union.", gate=POSITIVE)
    positions: int = setting(3840, "Token positions, a third for each text.", gate=COUNT)
    window: int = setting(128, "Positions in a row of text.", gate=COUNT)
    features: int = setting(128, "Features of the tilt.", gate=COUNT)
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
