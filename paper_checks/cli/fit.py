"""The verb `fit`: what runs conclude, the constants behind it, and what the table cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from elastomath.errors import InputError
from elastomath.interval import Interval

from .terminal import Json, Verbose, conclude, emit, pool, table, tables

FIGURES = 8
"""Runs that get a force-elongation figure of their own."""
MANY_RUNS = 50
"""From so many runs on, a fit is worth the start of further processes."""
SHOWN = 24
"""Rows of a table that are printed without --verbose."""


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
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """What a curve says of the elasticity of a behaviour: a conclusion, the constants behind it, what cannot be had."""
    from dataclasses import replace

    from elastomath.fit.fit import course_laws
    from elastomath.fit.fit import fit as fitted
    from elastomath.fit.summary import summarise
    from elastomath.fit.tables import read_table

    records = read_table(curve)
    result: dict[str, Any]
    if records.curve is None:
        if by is not None or model:
            raise InputError(
                "--by and --model need pretrain, align and perturb at two perturbations beside 0",
                where=str(curve),
                mend="leave them away, or write the whole curve",
            )
        laws = course_laws(records.courses)
        summary = summarise(records.courses, level, laws=laws, missing=records.missing)
        result = {"runs": [], "pooled": None, "models": [], "warnings": []} | summary.as_dict()
    else:
        with pool(processes if len(records.curve.runs) >= MANY_RUNS else 1) as executor:
            answer = fitted(records.curve, level=level, executor=executor, by=by, laws=model)
        summary = replace(answer.summary, missing=(*records.missing, *answer.summary.missing))
        result = dict(answer)
        result["missing"] = list(summary.missing)
    if out is not None:
        _figures(records.curve, summary, result, out)

    def show() -> None:
        conclude(result["conclusion"])
        _constants(summary, verbose)
        _kappas(summary, result, verbose)
        if result.get("models_verdict") and (verbose or not result["laws"]):  # the contrast says it above
            conclude([result["models_verdict"]])
        for line in result["warnings"]:
            print(f"Warning: {line}")
        for line in result["missing"]:
            conclude([f"Not to be had: {line}."], blank=False)
        if verbose and result["runs"]:
            _everything(result)
        for group in result.get("groups", ()):
            print(f"{by} {group['value']}: kappa {_one(group['kappa'])}. {group['models_verdict']}")

    emit(result, as_json, show)
    return 0


def _constants(summary: Any, verbose: bool) -> None:
    """A row for each group of runs that differ in their seed alone."""
    rows = summary.cells() if verbose else summary.cells()[:SHOWN]
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    undoing = [name for name in names if name.startswith(("setting", "aligned", "runs", "half undone", "undone"))]
    readings = [name for name in names if name not in undoing or name.startswith(("setting", "aligned"))]
    tables(rows, undoing, readings)
    if summary.runs[0].course.measure == "contrast":
        conclude(
            [
                "Contrast, before and after the alignment: by how much the code of the opposed text is longer than that of the wanted "
                "one. First fall: how fast it falls when the perturbation begins."
            ],
            blank=False,
        )
    notes = [
        "Intervals: over three or more seeds where they close, else from the errors of the readings within the runs. "
        "'> 60': not undone by then, or the readings do not decide; larger perturbations or more held-out documents close it."
    ]
    if any("not bounded" in row.values() for row in rows):
        notes.append(
            "'not bounded': in some run what alignment gave cannot be told from nothing; more held-out documents or more of it would do."
        )
    if any(_bare(value) for row in rows for name, value in row.items() if not name.startswith(("setting", "aligned"))):
        notes.append(
            "A number alone: one run, and no error of its readings (columns rate_se, base_contrast_se); seeds would give it an interval."
        )
    for note in notes:
        conclude([note], blank=False)
    if len(rows) < len(summary.groups):
        print(f"... and {len(summary.groups) - len(rows)} more (--verbose)")


def _bare(value: object) -> bool:
    """Whether a cell is a number without an interval or a bound."""
    return isinstance(value, str) and value != "-" and value[:1] in "-0123456789" and "[" not in value


def _one(constant: dict[str, Any] | None) -> str:
    from elastomath.fit.summary import bounded

    return (bounded(Interval.of_dict(constant)) if constant else None) or "not bounded"


def _kappas(summary: Any, result: dict[str, Any], verbose: bool) -> None:
    """K_pretrain, K_align, kappa of the runs for which they mean something, each run by its setting."""
    from elastomath.fit.constants import bases

    near = set((result["joint"] or {}).get("near", ()))
    courses = [run.course for run in summary.runs]
    settings = {
        course.run: {"setting": base or course.run, "aligned": None if course.align is None else f"{course.align:g}"}
        for course, base in zip(courses, bases(courses), strict=True)
    }
    names: tuple[str, ...] = ("K_pretrain", "K_align", "kappa")
    runs = [run for run in result["runs"] if run["run"] in near]
    rows = [
        settings[run["run"]] | {name: _one(run[name]) for name in names} | {"nominal": f"{run['nominal_kappa']:.3g}"}
        for run in runs
    ]
    rows = [row for row in rows if any(row[name] != "not bounded" for name in names)]
    open_ones = [name for name in names if rows and all(row[name] == "not bounded" for row in rows)]
    rows = [{name: value for name, value in row.items() if name not in open_ones} for row in rows]
    names = tuple(name for name in names if name not in open_ones)
    for name in open_ones:
        print(f"{name}: no run bounds it; perturbations that are larger beside it, or more held-out documents, would.")
    if not rows:
        return
    print()
    table(rows if verbose else rows[:SHOWN], ("setting", "aligned", *names, "nominal"))
    if len(rows) > SHOWN and not verbose:
        print(f"... and {len(rows) - SHOWN} more (--verbose)")
    notes = [
        "K_pretrain, K_align: what both volumes count for; kappa: their ratio; nominal: the ratio of the volumes themselves."
    ]
    if any(str(row[name]).startswith(("not bounded", "<", ">")) for row in rows for name in names):
        notes.append(
            "'> 8', '< 18', 'not bounded': perturbations that are larger beside the volumes close K and kappa, or more held-out "
            "documents."
        )
    beta = result["pooled"]["beta"]
    if beta is not None and len(near) == len(result["runs"]):
        notes.append(f"Kappa grows with the nominal ratio to the power {_one(beta)} (joint compression: 1).")
    for note in notes:
        conclude([note], blank=False)


def _everything(result: dict[str, Any]) -> None:
    """The full listing: effective volumes of every run, what is pooled, and every rival law of the align rates."""
    names = ("K_pretrain", "K_align", "kappa")
    rows = [
        {"run": run["run"]}
        | {name: _one(run[name]) for name in names}
        | {"nominal kappa": run["nominal_kappa"], "finite law": run["bound"]["holds"]}
        for run in result["runs"]
    ]
    print()
    table(rows, ("run", *names, "nominal kappa", "finite law"))
    print("Finite law: whether the rates weighted by volume keep within its bound (elastomath verify --explain R5).")
    print(f"kappa of all runs pooled: {_one(result['pooled']['kappa'])}")
    if result["pooled"]["beta"] is not None:
        print(f"power of the nominal ratio with which kappa grows (beta): {_one(result['pooled']['beta'])}")
    for effect in result["pooled"]["covariates"]:
        of = (
            f"kappa ~ {effect['name']}^x, x"
            if "exponent" in effect
            else f"kappa at {effect['name']} {effect['value']}, factor"
        )
        print(f"{of}: {_one(effect.get('exponent') or effect.get('factor'))}")
    for phase, rate in result["pooled"]["forgetting"].items():
        if rate is not None:
            print(f"forgetting, rate of {phase}: {_one(rate)}")
    if result["laws"]:
        print("\nlaws on the contrast, by what they foretell of unseen runs of the same base")
        table(result["laws"], ("name", "numbers", "heldout_runs", "forecast_error", "weight", "chosen"))
    print(
        "\nlaws on the align rates, by their held-out error along the perturbation and over all runs, in the unit of the rates"
    )
    table(
        [row | {"p": None if row["p"] is None else f"{row['p']:.2g}"} for row in result["models"]],
        ("name", "parameters", "heldout_error", "heldout_runs", "p", "chosen"),
    )
    for label, constants in result["logit"].items():
        shown = [
            f"{name} {_one(constants[name])}" for name in ("aligning", "perturbing", "both", "drift", "return_ratio")
        ]
        print(f"logit law{', ' + label if label else ''}: {'; '.join(shown)}")


def _figures(readings: Any, summary: Any, result: dict[str, Any], out: Path) -> None:
    from elastomath.figures.curves import curve_figure, force_elongation_figure
    from elastomath.fit.figures import constants_figure, courses_figure, forest_figure, models_figure, undo_figure
    from elastomath.storage import whole_file
    from elastomath.style import save_figure

    with whole_file(out / "fit.json") as aside:
        aside.write_text(json.dumps(result, indent=1, allow_nan=False))
    save_figure(courses_figure(summary), out / "courses.svg")
    if any(group.undo_volume is not None for group in summary.groups):
        save_figure(undo_figure(summary), out / "undo.svg")
        save_figure(forest_figure(summary), out / "forest.svg")
    if readings is None:
        return
    save_figure(curve_figure(readings), out / "curve.svg")
    for index, (run, fitted) in enumerate(zip(list(readings)[:FIGURES], result["runs"], strict=False)):
        limit = tuple(fitted["elastic_limit"][end] for end in ("low", "estimate", "high"))
        save_figure(force_elongation_figure(run, limit), out / f"force-{index}.svg")
    if any(run["kappa"]["estimate"] for run in result["runs"]):
        save_figure(constants_figure(result), out / "constants.svg")
    if any(row["heldout_error"] is not None for row in result["models"]):
        save_figure(models_figure(result), out / "models.svg")
