"""The verb simulate: the exact compressor on many runs at once, or the life cycle of any compressor through a ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from elastomath.errors import InputError
from elastomath.memory import affordable

from .terminal import Device, Json, Seed, at_least_one, conclude, emit, integers, number_of, numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Volumes = list[float]
POINTS = 13
RUN_BYTES = 2000
"""What a run takes at least."""
LEAVES = 4096
EXAMPLES = 1024
"""Sequences in one unit of volume where nothing else is asked for: with batches of 32, volumes are multiples of 1/32."""


def simulate(
    dynamics: Annotated[
        Literal["mixture", "counting", "logit", "softmax", "perceptron", "transformer"],
        typer.Argument(help="The compressor that is simulated, by its name in the list above."),
    ],
    k: Annotated[
        str, typer.Option("--k", help="Pre-training volume over alignment volume, a run for each.")
    ] = "10,100",
    alpha: Annotated[
        str,
        typer.Option(
            "--alpha",
            help="How fast the masses of the leaves fall (tail index of their Pareto law), > 1; several with commas.",
        ),
    ] = "1.5",
    leaves: Annotated[
        int,
        typer.Option("--leaves", help="mixture: leaves of the token tree. Life cycles take --alphabet and --length."),
    ] = LEAVES,
    family: Annotated[
        str,
        typer.Option(
            "--family",
            help="How the data sets are related. union: pre-training is made of thirds like alignment, perturbation and a third text; "
            "union2: of halves like alignment and perturbation; independent; disjoint.",
        ),
    ] = "union",
    l_max: Annotated[float, typer.Option("--l-max", help="Largest perturbation volume over alignment volume.")] = 3.0,
    points: Annotated[int, typer.Option("--points", help="Perturbations measured beside 0.")] = POINTS,
    seeds: Annotated[int, typer.Option("--seeds", help="Draws of source and training for each k.")] = 1,
    noise: Annotated[
        float, typer.Option("--noise", help="mixture: Gaussian noise on readings, bits per symbol.")
    ] = 0.0,
    cover: Annotated[
        float,
        typer.Option(
            "--cover", help="Share of the pre-training data that is spread over every leaf (disjoint needs one)."
        ),
    ] = 0.0,
    overlap: Annotated[
        str,
        typer.Option(
            "--overlap",
            help="What the perturbation shares with the alignment data, 0 to 1; markov, grammar: contexts that agree.",
        ),
    ] = "0",
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            help="joint (each model is the best for all data together) or sequential (one training after the other; the default, but for a "
            "plain mixture).",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Where the data come from: a family of --family, markov, grammar or behaviour. Default: the --family.",
        ),
    ] = None,
    alphabet: Annotated[
        int | None, typer.Option("--alphabet", help="Symbols of a sequence. Default: 4, and 2 for logit.")
    ] = None,
    length: Annotated[int, typer.Option("--length", help="Symbols in a sequence: alphabet^length leaves.")] = 4,
    align: Annotated[
        str | None,
        typer.Option("--align", help="Volumes of alignment, rising, each perturbed: e.g. 0.5,1,2. Default: 1."),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", help="transformer: 50k ... 10m; several with commas. Default: 50k.")
    ] = None,
    learning_rate: Annotated[
        str | None,
        typer.Option(
            "--learning-rate", help="softmax, perceptron, transformer; several with commas. Default: 0.1, 0.1, 0.001."
        ),
    ] = None,
    constant: Annotated[
        str | None,
        typer.Option(
            "--constant",
            help="logit: by how much one unit of volume moves the log-odds at most (c); several. Default: 1.",
        ),
    ] = None,
    width: Annotated[
        str | None, typer.Option("--width", help="perceptron: numbers in a layer; several. Default: 64.")
    ] = None,
    depth: Annotated[
        str | None, typer.Option("--depth", help="perceptron: hidden layers; several. Default: 2.")
    ] = None,
    forgetting: Annotated[
        str | None,
        typer.Option("--forgetting", help="counting: share forgotten in a unit of volume; several. Default: 0."),
    ] = None,
    examples: Annotated[int, typer.Option("--examples", help="Sequences in one unit of volume.")] = EXAMPLES,
    epsilon: Annotated[
        float,
        typer.Option(
            "--epsilon",
            help="A perturbed model counts as brought back where no more than this share of what the perturbation did is left.",
        ),
    ] = 0.1,
    resistance: Annotated[
        float | None,
        typer.Option(
            "--resistance",
            help="Also compare training forward with training back, on this volume (the paper's resistance, F1); not done without.",
        ),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor", help="here (the default), local (processes), slurm, slurm-local, or tcp://HOST:PORT."
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Runs side by side on the executor.")] = 1,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", help="transformer: float32 or float64; auto: float64 for joint optima.")
    ] = "auto",
    out: Annotated[Path, typer.Option("--out", help="Folder for curve, figures and ledger.")] = Path("out/simulate"),
    as_json: Json = False,
) -> int:
    """Simulate a compressor whose law is known, over any settings: writes a curve file and figures, and says what they show."""
    start = time.monotonic()
    count = at_least_one(seeds, "--seeds")
    affordable(count, RUN_BYTES, "--seeds", "simulate")
    given = {"mode": mode, "source": source, "align": align, "executor": executor, "resistance": resistance}
    if dynamics == "mixture" and all(value is None for value in given.values()):
        result = _mixtures(
            k=numbers(k, "--k"),
            alphas=numbers(alpha, "--alpha"),
            overlaps=numbers(overlap, "--overlap"),
            leaves=leaves,
            family=family,
            l_max=l_max,
            points=points,
            seeds=range(seed, seed + count),
            noise=noise,
            cover=cover,
            out=out,
        )
    else:
        if noise:
            raise InputError("noise on a life cycle", where="--noise", mend="leave it out: readings are exact sums")
        axes: dict[str, Any] = {"k": numbers(k, "--k")}
        options = {"size": size, "learning_rate": learning_rate, "forgetting": forgetting, "constant": constant}
        options |= {"width": width, "depth": depth}
        settings = _settings(dynamics, options, axes)
        if dynamics not in EXACT:
            settings["examples"] = at_least_one(examples, "--examples")
        chosen = mode or "sequential"
        symbols = (2 if dynamics == "logit" else 4) if alphabet is None else alphabet
        if dynamics == "transformer":
            settings |= {"device": device, "dtype": _precision(dtype, chosen)}
        axes["seed"] = list(range(seed, seed + count))
        result = _life_cycles(
            dynamics,
            source=_source(source or family, alpha, overlap, cover, axes) | {"alphabet": symbols, "length": length},
            settings=settings,
            cycle={
                "mode": chosen,
                "alignments": [1.0] if align is None else numbers(align, "--align"),
                "perturbations": _grid(l_max, points),
                "epsilon": epsilon,
            },
            resistance=resistance,
            axes=axes,
            out=out,
            executor=executor or "here",
            workers=workers,
        )
    result["seconds"] = time.monotonic() - start

    def show() -> None:
        conclude(result["conclusion"])
        print(f"{number_of(result['runs'], 'run')} in {result['seconds']:.1f} s: {result['curve']}")
        print(f"figures: {', '.join(result['figures'])}")
        print(f"next: elastomath fit {result['curve']}")

    emit(result, as_json, show)
    return 1 if result.get("failures") else 0


def _mixtures(*, alphas: Volumes, overlaps: Volumes, out: Path, **options: Any) -> dict[str, Any]:
    """Joint optima of the exact compressor, many at once, without a ledger: they take milliseconds."""
    from elastomath.curve import Curve
    from elastomath.figures.curves import curve_figure
    from elastomath.style import save_figure
    from sim.compressors.mixture import simulate_mixture
    from sim.cycles.conclusion import conclusion

    curves = [simulate_mixture(alpha=alpha, overlap=overlap, **options) for alpha in alphas for overlap in overlaps]
    curve = Curve.concat(curves)
    path = curve.write(out / "mixture.csv")
    figure = out / "mixture.svg"
    save_figure(curve_figure(curve), figure)
    result = {"curve": str(path), "figures": [str(figure)], "runs": len(curve.runs)}
    return result | {"conclusion": conclusion(curve)}


def _life_cycles(
    dynamics: str,
    *,
    source: dict[str, Any],
    settings: dict[str, Any],
    cycle: dict[str, Any],
    resistance: float | None,
    axes: dict[str, Any],
    out: Path,
    executor: str,
    workers: int,
) -> dict[str, Any]:
    """Life cycles through the ledger ``out/DYNAMICS.sqlite``, their curve, records and figures."""
    from elastomath.curve import Curve
    from elastomath.figures.curves import curve_figure
    from elastomath.runs.executors import open_executor
    from elastomath.style import save_figure
    from sim.cycles import figures, sweeps
    from sim.cycles.conclusion import conclusion

    runs = sweeps.configurations(dynamics, source=source, settings=settings, cycle=cycle, resistance=resistance, **axes)
    with open_executor(executor, workers=workers) as pool:
        result = sweeps.simulate(runs, out, name=dynamics, executor=pool)
    curve = Curve.read(result["curve"])
    records = json.loads(Path(result["records"]).read_text())["runs"]
    drawn: dict[str, Callable[[], Figure]] = {
        "": lambda: curve_figure(curve),
        "-balance": lambda: figures.balance_figure(curve),
        "-undoing": lambda: figures.undoing_figure(records, "k"),
        "-hooke": lambda: figures.hooke_figure(records, "k"),
        "-resistance": lambda: figures.resistance_figure(records, "k"),
    }
    lives = []
    for suffix, draw in drawn.items():
        try:
            figure = draw()
        except InputError:  # nothing of that kind in this sweep
            continue
        lives.append(str(save_figure(figure, out / f"{dynamics}{suffix}.svg")))
    counts = result.pop("runs")
    result["conclusion"] = conclusion(curve, records)
    return result | {"figures": lives, "runs": counts["done"], "failed": counts["failed"]}


COMPRESSORS = {
    "mixture": "the exact joint compressor: the best single code of all data together, as the theorem has it",
    "counting": "counts what follows what, with a memory that may forget",
    "logit": "the logit law itself: one number, the log-odds of the wanted response, in closed form",
    "softmax": "a softmax of few features, trained by gradient descent",
    "perceptron": "a network of hidden layers, trained by gradient descent",
    "transformer": "a small causal transformer, trained by AdamW",
}
"""The compressors, with what each is."""
EXACT = ("mixture", "logit")
"""The compressors that train on any volume, not on so many sequences."""
DESCENDING = ("softmax", "perceptron", "transformer")
"""The compressors that are trained by steps of gradient descent."""
OPTIONS = {
    "size": ("transformer",),
    "learning_rate": DESCENDING,
    "forgetting": ("counting",),
    "constant": ("logit",),
    "width": ("perceptron",),
    "depth": ("perceptron",),
}
"""Which compressors have an option."""


def _settings(dynamics: str, options: dict[str, str | None], axes: dict[str, Any]) -> dict[str, Any]:
    """Options that a compressor has go into the axes; those that it has not are refused."""
    for option, text in options.items():
        if text is None:
            continue
        name, of = f"--{option.replace('_', '-')}", OPTIONS[option]
        if dynamics not in of:
            raise InputError(f"{dynamics} has no {option}", where=name, mend=f"it belongs to {', '.join(of)}")
        if option == "size":
            axes["settings__size"] = text.split(",")
        elif option in ("width", "depth"):
            axes[f"settings__{option}"] = integers(text, name)
        else:
            axes[f"settings__{option}"] = numbers(text, name)
    return {"batch": 32} if dynamics in DESCENDING else {}


def _source(name: str, alpha: str, overlap: str, cover: float, axes: dict[str, Any]) -> dict[str, Any]:
    """The source, with the tail index, the overlap and the cover as its own function calls them."""
    if name == "behaviour":  # its datasets are told by their responses
        return {"name": name}
    shares = numbers(overlap, "--overlap")
    if name in ("markov", "grammar"):
        axes["source__conflict"] = [1.0 - share for share in shares]
        if name == "grammar":
            return {"name": name, "cover": cover}
        axes["source__sharpness"] = numbers(alpha, "--alpha")
        return {"name": name, "law": "pareto", "cover": cover}
    axes["source__alpha"] = numbers(alpha, "--alpha")
    axes["source__overlap"] = shares
    return {"name": name, "cover": cover}


def _precision(dtype: str, mode: str) -> str:
    return ("float64" if mode == "joint" else "float32") if dtype == "auto" else dtype


def _grid(l_max: float, points: int) -> Volumes:
    from sim.compressors.mixture import perturbation_grid

    return [float(step) for step in perturbation_grid(l_max, points)]
