"""A study from end to end: its runs through a ledger, one curve, its answers, and all that its figure needs, in one folder."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from elastomath import Curve, InputError
from elastomath.checks import choice
from elastomath.foreign import json_of
from elastomath.runs.ledger import Configuration, Ledger, Result, run_key, sweep
from elastomath.storage import whole_file
from elastomath.units import NATS_PER_BIT

from ..sources.problem import COMPONENTS
from .answers import Answer
from .questions import QUESTIONS
from .worker import run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDIES: Final = tuple(QUESTIONS)
"""The questions by name, each a module of this package."""
PRESETS: Final = ("tiny", "quick", "full")
"""``tiny`` is for tests (seconds), ``quick`` for one core and a few minutes, ``full`` for more seeds, sizes and volumes."""
SCHEMA: Final = "elastomath.study/1"


def run_study(
    study: str, preset: str, out: str | os.PathLike[str], *, executor: Executor | None = None
) -> dict[str, Any]:
    """Make the runs that the ledger ``out/studies.sqlite`` lacks, then write the study's curve, answers and configuration.

    Files: ``STUDY-sim.csv`` (a Curve), ``STUDY-sim.json`` (answers and what the figure is drawn from) and ``STUDY-sim-config.json`` (every
    run's full configuration). Studies that share a run and a folder make it once. Returns what the JSON file holds, and its path as
    ``"summary"``. Raises InputError for an unknown study or preset, and where every run failed.
    """
    module, began, folder = _module(study), time.monotonic(), Path(out)
    choice(preset, "preset", study, PRESETS)
    runs: list[Configuration] = module.runs(preset)
    with Ledger(folder / "studies.sqlite") as ledger:
        results, failures = sweep(run, runs, ledger, executor, what=f"runs of {study}")
    rows = [(runs[i], result) for i, result in enumerate(results) if result is not None]
    if not rows:
        raise InputError(f"no run ended well: {failures[0]}", where=study, mend="mend that, then run it again")
    answers, data = module.answers(rows)
    name = f"{study}-sim"
    Curve.concat([study_curve(*row) for row in rows]).write(folder / f"{name}.csv")
    with whole_file(folder / f"{name}-config.json") as aside:
        aside.write_text(json.dumps({"study": study, "preset": preset, "runs": runs}, indent=0), encoding="utf-8")
    result = summary(study, preset, runs, answers, data, failures) | {"seconds": time.monotonic() - began}
    target = folder / f"{name}.json"
    with whole_file(target) as aside:
        aside.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
    return result | {"summary": str(target), "curve": str(folder / f"{name}.csv")}


def summary(
    study: str,
    preset: str,
    runs: Sequence[Configuration],
    answers: Sequence[Answer],
    data: Mapping[str, Any],
    failures: Sequence[str],
) -> dict[str, Any]:
    """What a study's JSON file holds, but for the seconds that it took."""
    seeds: dict[str, list[int]] = {}
    for configuration in runs:
        own = configuration.get("study", {}).get("seeds", [configuration["seed"]])
        seeds.setdefault(configuration["dynamics"], []).extend(own)
    return {
        "schema": SCHEMA,
        "study": study,
        "preset": preset,
        "question": QUESTIONS[study],
        "answers": [answer.as_dict() for answer in answers],
        "settings": {
            "runs": len(runs),
            "seeds": {name: sorted(set(values)) for name, values in seeds.items()},
            "sources": sorted({configuration["source"]["name"] for configuration in runs}),
        },
        "failures": list(failures),
        **data,
    }


def load_study(source: str | os.PathLike[str]) -> dict[str, Any]:
    """A saved ``STUDY-sim.json``; InputError where it is none."""
    try:
        result: dict[str, Any] = json_of(source, "study", "write it by `elastomath study`")
        if result["schema"] != SCHEMA or result["study"] not in STUDIES:
            raise KeyError(result["schema"])
    except (KeyError, TypeError) as error:
        raise InputError(f"no study: {error}", where=str(source), mend="write it by `elastomath study`") from error
    return result


def draw(result: Mapping[str, Any]) -> Figure:
    """The figure of a study, from what `load_study` gives."""
    figure: Figure = _module(result["study"]).figure(result)
    return figure


def study_curve(configuration: Configuration, record: Result) -> Curve:
    """The curve of one run, a run of the curve for each alignment volume, in bits/symbol to ten digits.

    The run's name has the first digits of its key (`ledger.run_key`), so that the configuration file says all else of it; as
    covariates it has dynamics and seed. That of a defended behaviour (`defended_block`) is in bits/response and examples, and has
    its defence and the contrast of its base, too.
    """
    name, curves = f"{configuration['dynamics']}-{run_key(configuration)[:6]}", []
    for entry in record["runs"]:
        rates = (np.asarray(entry["entropies"]) / (NATS_PER_BIT * record["length"])).round(10)
        defended: dict[str, Any] = {}
        if "defence" in entry:
            defended = {"defence": entry["defence"], "base_contrast": round(entry["floor"] / NATS_PER_BIT, 10)}
        curves.append(
            Curve.from_paths(
                f"{name}-{entry.get('name', 'n')}{entry['volumes'][1]:g}",
                dict(zip(COMPONENTS, entry["volumes"], strict=True)),
                entry["perturbations"],
                dict(zip(COMPONENTS, rates, strict=True)),
                "bits/response" if defended else "bits/symbol",
                "examples" if defended else "symbols",
                dynamics=configuration["dynamics"],
                seed=entry.get("seed", configuration["seed"]),
                **defended,
            )
        )
    return Curve.concat(curves)


def _module(study: str) -> Any:
    choice(study, "study", "study", STUDIES)
    return importlib.import_module(f"{__package__}.{study}")


def two_panels(title: str, description: str, share: bool = True) -> tuple[Figure, Any]:
    """Two panels, one above the other, with a name for the reader who does not see them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 6.3), layout="constrained")
    figure.set_label(f"{title}\n{description}")
    return figure, figure.subplots(2, 1, sharex=share)
