"""Sweeps of life cycles: configurations, one function that makes a run anywhere, one Curve and one ledger at the end."""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from elastomath import Curve, InputError
from elastomath.checks import positive
from elastomath.memory import affordable
from elastomath.runs.executors import few_threads
from elastomath.runs.ledger import Configuration, Ledger, Result, run_key, sweep
from elastomath.storage import whole_file

from ..compressors.compressor import Compressor
from ..compressors.counting import CountingCompressor
from ..compressors.descent import JointTraining
from ..compressors.logit import LogitCompressor
from ..compressors.mixture import MixtureCompressor
from ..compressors.perceptron import PerceptronCompressor
from ..compressors.softmax import SoftmaxCompressor
from ..compressors.transformer import TransformerCompressor
from ..sources.behaviour import problem_of_behaviour
from ..sources.families import FAMILIES, problem_of_family
from ..sources.grammar import problem_of_grammar
from ..sources.markov import checked_size, problem_of_markov
from ..sources.problem import Problem
from .lifecycle import LifeCycle, check_draws, curve_of, live
from .resistance import resist

Made = TypeVar("Made")
DYNAMICS: Final = ("mixture", "counting", "logit", "softmax", "perceptron", "transformer")
"""The compressors by name."""
SOURCES: Final = (*FAMILIES, "markov", "grammar", "behaviour")
"""The sources by name."""
RUN_BYTES = 20_000
"""What a run takes before it is made: its configuration and its future."""
FORMAT = 1
"""Goes into every key: a change of what a run means makes other runs."""


def configurations(
    dynamics: str,
    *,
    source: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    cycle: Mapping[str, Any] | None = None,
    resistance: float | None = None,
    **axes: Sequence[Any],
) -> list[Configuration]:
    """Every combination of the axes as the full configuration of a run, the last axis fastest.

    dynamics    one of `DYNAMICS`
    source      ``name``, one of `SOURCES`, and what its function takes (`problem_of_family`, `problem_of_markov`, `problem_of_grammar`);
                without a ``seed`` the source has the seed of the run
    settings    of the compressor: the fields of its class, except the problem
    cycle       the fields of `LifeCycle`
    resistance  volume of D_j for F1 between thirds of the last alignment (`sim.cycles.resistance.resist`); None for none
    axes        values by name: ``seed`` of the run, ``k`` and other fields of the cycle, and with two underscores those of the parts:
                ``source__alpha``, ``settings__learning_rate``

    Raises InputError for what does not exist or cannot be used, before anything is run.

    >>> runs = configurations("counting", cycle={"perturbations": [0, 1]}, k=[2, 10], source__alpha=[1.2, 1.5], seed=[0, 1])
    >>> len(runs), runs[-1]["cycle"]["k"], runs[-1]["source"]["alpha"], runs[-1]["seed"]
    (8, 10, 1.5, 1)
    """
    if dynamics not in DYNAMICS:
        raise InputError(f"dynamics {dynamics!r}", where="simulate", mend=f"choose one of {', '.join(DYNAMICS)}")
    if resistance is not None:
        positive(resistance, "resistance", "simulate")
    base: Configuration = {
        "format": FORMAT,
        "dynamics": dynamics,
        "source": {"name": "union", "alphabet": 4, "length": 4} | dict(source or {}),
        "settings": dict(settings or {}),
        "cycle": {"k": 10.0} | dict(cycle or {}),
        "resistance": resistance,
        "seed": 0,
    }
    base = json.loads(json.dumps(base))  # tuples and lists alike
    affordable(math.prod(len(values) for values in axes.values()), RUN_BYTES, "simulate", "its axes", "runs")
    products: list[Configuration] = []
    tried: set[str] = set()
    for values in itertools.product(*axes.values()):
        variant = copy.deepcopy(base)
        for name, value in zip(axes, values, strict=True):
            part, _, field = name.partition("__")
            if field:
                if part not in ("source", "settings"):
                    raise InputError(f"axis {name!r}", where="simulate", mend="parts are source and settings")
                variant[part][field] = value
            elif name == "seed":
                variant["seed"] = int(value)
            else:
                variant["cycle"][name] = value
        text = json.dumps(variant | {"seed": 0}, sort_keys=True)
        if text not in tried:  # a seed changes what is drawn, not whether it can be
            tried.add(text)
            check_draws(compressor_of(variant), cycle_of(variant))
        products.append(variant)
    return products


def cycle_of(configuration: Configuration) -> LifeCycle:
    """The `LifeCycle` of a run."""
    given = {
        name: tuple(float(v) for v in value) if isinstance(value, list | tuple) else value
        for name, value in configuration["cycle"].items()
    }
    return _made(LifeCycle, given, "life cycle")


def problem_of(configuration: Configuration) -> Problem:
    """The `Problem` of a run, drawn from its seed."""
    given = {"seed": configuration["seed"]} | configuration["source"]
    name = given.pop("name")
    if name in FAMILIES:
        alphabet, length = given.get("alphabet", 2), given.pop("length", 1)
        checked_size(alphabet, length)
        leaves = alphabet**length
        return _made(problem_of_family, {"kind": name, "alpha": 1.5, "leaves": leaves} | given, f"source {name}")
    if name == "markov":
        return _made(problem_of_markov, given, "source markov")
    if name == "behaviour":
        return _made(problem_of_behaviour, given, "source behaviour")
    if name == "grammar":
        symbols = given.pop("alphabet", None)
        return _made(
            problem_of_grammar, given if symbols is None else {"terminals": symbols - 1} | given, "source grammar"
        )
    raise InputError(f"source {name!r}", where="simulate", mend=f"choose one of {', '.join(SOURCES)}")


def compressor_of(configuration: Configuration) -> Compressor:
    """The compressor of a run on its problem; those that draw or start at random have the seed of the run."""
    problem, name = problem_of(configuration), configuration["dynamics"]
    given = dict(configuration["settings"])
    exact: dict[str, Callable[..., Any]] = {"mixture": MixtureCompressor, "logit": LogitCompressor}
    drawn: dict[str, Callable[..., Any]] = {
        "counting": CountingCompressor,
        "softmax": SoftmaxCompressor,
        "perceptron": PerceptronCompressor,
        "transformer": TransformerCompressor,
    }
    if isinstance(given.get("joint"), Mapping):
        given["joint"] = _made(JointTraining, given["joint"], "joint training")
    if name in drawn:
        given = {"seed": configuration["seed"]} | given
    return cast(Compressor, _made((exact | drawn)[name], {"problem": problem} | given, name))


def run(configuration: Configuration) -> Result:
    """One run, the same on every executor: the record of `live`, and of `resist` where it is asked for.

    Everything random comes from the configuration, and sums are shared by one thread, so a seed gives the same bits again.
    """
    with few_threads():
        compressor, cycle = compressor_of(configuration), cycle_of(configuration)
        record = live(compressor, cycle)
        record["covariates"] = {
            name: value
            for name, value in compressor.problem.covariates.items()
            if isinstance(value, str | int | float | bool)
        }
        if configuration["resistance"] is not None:
            last = cycle.alignments[-1]
            thirds = tuple(last * part / 3 for part in (1, 2, 3))
            record["resistance"] = resist(compressor, cycle.k, thirds, configuration["resistance"])
    return {**record}


def curve_of_run(configuration: Configuration, record: Result) -> Curve:
    """The curve of one run with its covariates: dynamics, source, seed and every plain setting."""
    settings = {
        name: value for name, value in configuration["settings"].items() if isinstance(value, str | int | float | bool)
    }
    covariates = {
        "dynamics": configuration["dynamics"],
        "source": configuration["source"]["name"],
        "seed": configuration["seed"],
        "leaves": record["leaves"],
        "length": record["length"],
        **record["covariates"],
        **settings,
    }
    if record["parameters"] is not None:
        covariates["parameters"] = record["parameters"]
    taken = {"run", "component", "volume", "perturbation", "rate", "rate_se", "rate_unit", "volume_unit", "k", "mode"}
    covariates = {name: value for name, value in covariates.items() if name not in taken}
    name = f"{configuration['dynamics']}-{configuration['source']['name']}-{record['mode']}-k{configuration['cycle']['k']:g}"
    return curve_of(record, f"{name}-seed{configuration['seed']}-{run_key(configuration)[:6]}", **covariates)


def simulate(
    runs: Sequence[Configuration],
    out: str | os.PathLike[str],
    *,
    name: str = "simulate",
    executor: Executor | None = None,
    function: Callable[[Configuration], Result] = run,
) -> dict[str, Any]:
    """Make every run that the ledger ``out/NAME.sqlite`` lacks; then write ``NAME.csv``, one Curve, and ``NAME.json``, the records.

    Returns ``{"curve", "records", "ledger", "runs": {"done", "failed", "total"}, "failures"}``. The same call goes on where one was
    cut off. A run that fails is recorded with its reason and does not stop the others. Raises InputError where every run failed.
    """
    folder = Path(out)
    with Ledger(folder / f"{name}.sqlite") as ledger:
        results, failures = sweep(function, runs, ledger, executor, what=f"{name} runs")
    pairs = [(runs[i], result) for i, result in enumerate(results) if result is not None]
    if not pairs:
        raise InputError(
            f"no run ended well: {failures[0] if failures else 'none was asked for'}",
            where=name,
            mend="mend that, then run the same command again",
        )
    curve = Curve.concat([curve_of_run(*pair) for pair in pairs]).write(folder / f"{name}.csv")
    records = folder / f"{name}.json"
    with whole_file(records) as aside:
        rows = [{"configuration": configuration, "record": record} for configuration, record in pairs]
        aside.write_text(json.dumps({"runs": rows, "failures": failures}, allow_nan=False))
    return {
        "curve": str(curve),
        "records": str(records),
        "ledger": str(folder / f"{name}.sqlite"),
        "runs": {"done": len(pairs), "failed": len(failures), "total": len(runs)},
        "failures": failures,
    }


def _made(function: Callable[..., Made], given: Mapping[str, Any], where: str) -> Made:
    """Call with named values; one line for a name that does not exist or a value of the wrong kind."""
    try:
        return function(**given)
    except TypeError as error:
        reason = str(error).rpartition(") ")[2].removeprefix("got an ")
        raise InputError(reason, where=where, mend="see the documentation of its settings") from error
