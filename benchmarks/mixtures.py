"""One configuration of the exact compressor: draw three datasets and read rates and responses along a perturbation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.case import Case
from sim.compressors.paths import MixtureConfiguration, MixturePath, mixture_path
from sim.sources.families import family_rows

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


def cases(scale: float = 1.0) -> Iterator[Case]:
    """65,536 leaves a dataset: everything, with the masses drawn anew; and the readings alone."""
    leaves = max(int(65536 * scale), 16)
    configuration = MixtureConfiguration(10.0, GRID, "union", 1.5, leaves)
    rows = family_rows(*configuration.source)

    def plainly(masses: np.ndarray[Any, Any]) -> list[Any]:
        found = []
        for step in GRID:
            q = (10 * masses[0] + masses[1] + step * masses[2]) / (11 + step)
            log = np.log(q)
            found.append([[-(row @ log), (row / q) @ masses[2]] for row in masses])
        return found

    def drawn() -> list[Any]:
        rng = np.random.default_rng(0)
        first, align, perturb = (row / row.sum() for row in (1.0 + rng.pareto(1.5, leaves) for _ in range(3)))
        return plainly(np.stack([(first + align + perturb) / 3, align, perturb]))

    def numbers(answer: MixturePath | list[Any]) -> Any:
        if isinstance(answer, list):
            return np.array(answer)
        assert answer.overlaps is not None
        return np.stack([answer.entropies, answer.overlaps], axis=-1).transpose(1, 0, 2)

    yield Case(
        f"a mixture drawn and read at 5 volumes, 3 x {leaves}",
        lambda: mixture_path(family_rows(*configuration.source), configuration),
        {"numpy": drawn},
        numbers,
    )
    yield Case(
        f"the same on masses that are there, 3 x {leaves}",
        lambda: mixture_path(rows, configuration),
        {"numpy": lambda: plainly(rows)},
        numbers,
    )
