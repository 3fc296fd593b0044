"""The Curve: the compression rate of each dataset as the perturbation grows. Every floor makes it, every judge reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Array
from .checks import as_floats
from .errors import InputError
from .foreign import PARQUET, parquet_of, plain_file, refuse_kind
from .shown import Shown
from .storage import whole_file
from .tables import read_csv
from .units import RATE_UNITS, VOLUME_UNITS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("run", "component", "volume", "perturbation", "rate", "rate_se", "rate_unit", "volume_unit")
"""The columns that every curve file has; rate_se may be empty or missing, more columns are covariates."""
NUMBERS = (
    "volume",
    "perturbation",
    "rate",
    "rate_se",
    "score",
    "trials",
    "score_se",
    "base_score",
    "chance",
    "align_volume",
)
"""Columns of curves and of tables of scores that hold numbers, or nothing."""
LARGEST = 1e30
"""Of the numbers of a run that is computed with, and their reciprocals: so squares and quotients of them are numbers too."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a field begins that spreadsheets compute."""

READ = ("base_contrast", "base_contrast_se", "contrast_se")
"""Further columns that are readings, not covariates: the contrast (rate of perturb less rate of align) before alignment, one
value a run, with its error, and the error of each reading of the contrast where those of the two rates are not independent."""


@dataclass(frozen=True, slots=True)
class Run:
    """One pretrain / align / perturb sequence of a curve, as arrays on its common perturbation grid.

    perturbations: (J,), rising from 0, in volume_unit. components: n names, `perturb` last.
    volumes: (n,). rates, rate_se: (n, J), in rate_unit; rate_se is nan where it is not given.
    """

    name: str
    components: tuple[str, ...]
    volumes: Array
    perturbations: Array
    rates: Array
    rate_se: Array
    rate_unit: str
    volume_unit: str


class Curve(Shown):
    """A validated long table with a row per (run, perturbation, component); see `COLUMNS` and docs of the format.

    Rules: volume finite and > 0, perturbation finite and >= 0, rate finite and >= 0, rate_se empty or finite and
    >= 0; one unit a run; no (run, component, perturbation) twice; one volume for each (run, component); no
    perturbation beyond the volume of `perturb`; every run has a row at perturbation 0 for every component.
    Raises InputError with the row (counted from 1 below the header) and the rule.

    >>> curve = Curve.from_paths("demo", {"pretrain": 10, "align": 1, "perturb": 1}, [0, 1],
    ...     {"pretrain": [1.0, 0.99], "align": [1.0, 1.05], "perturb": [1.0, 0.6]}, "bits/symbol", "symbols")
    >>> curve.runs, len(curve.frame)
    (('demo',), 6)
    >>> curve
    Curve of 1 run (demo): pretrain, align, perturb in bits/symbol, at 2 perturbations up to 1 symbols.
    """

    drawer = "elastomath.figures.curves:curve_figure"

    def __init__(self, frame: pd.DataFrame, *, where: str = "curve") -> None:
        self.frame = _validated(frame, where)

    @classmethod
    def from_paths(
        cls,
        run: str,
        volumes: dict[str, float],
        perturbations: ArrayLike,
        rates: dict[str, ArrayLike],
        rate_unit: str,
        volume_unit: str,
        rate_se: dict[str, ArrayLike] | None = None,
        **covariates: Any,
    ) -> Curve:
        """A curve of one run from one array of rates (J,) for each component, on one grid of perturbations (J,)."""
        import pandas as pd

        steps = as_floats(perturbations, "perturbations", f"run {run}")
        _fit_together(f"run {run}", volumes, steps, rates, rate_se, covariates)
        parts = []
        for component, volume in volumes.items():
            part = {"run": run, "component": component, "volume": volume, "perturbation": steps}
            part |= {"rate": as_floats(rates[component], f"rates of {component}", f"run {run}")}
            part |= {
                "rate_se": np.nan
                if rate_se is None
                else as_floats(rate_se[component], f"rate_se of {component}", f"run {run}")
            }
            parts.append(pd.DataFrame(part | {"rate_unit": rate_unit, "volume_unit": volume_unit} | covariates))
        return cls(pd.concat(parts, ignore_index=True), where=f"run {run}")

    @classmethod
    def concat(cls, curves: list[Curve]) -> Curve:
        """Several curves as one; a run name may not occur twice with the same readings."""
        import pandas as pd

        if not curves:
            raise InputError("no curve to join", where="Curve.concat", mend="pass at least one")
        return cls(pd.concat([curve.frame for curve in curves], ignore_index=True))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Curve:
        """Read a CSV or Parquet file (by its suffix) and validate it. Raises InputError in one line."""
        return cls(read_frame(path), where=str(path))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write CSV or Parquet (by the suffix), whole or not at all; numbers in CSV read back to the same bits.

        A text that a spreadsheet would take for a formula (it begins with ``= + - @``, and is no number) has a quote before it
        in CSV, which `read` takes away.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix not in (".csv", ".parquet"):
            raise InputError(f"unknown suffix {file.suffix!r}", where=str(file), mend="use .csv or .parquet")
        with whole_file(file) as aside:
            if suffix == ".csv":
                frame = _texts(self.frame, _quoted).rename(columns=lambda name: _quoted(str(name)))
                # the writer takes a carriage return for a letter, readers for the end of a line
                quoting: Literal[0, 2] = 2 if _returns(frame) else 0  # QUOTE_NONNUMERIC and QUOTE_MINIMAL of csv
                frame.to_csv(aside, index=False, quoting=quoting)
            else:
                self.frame.to_parquet(aside, index=False)
        return file

    def sentences(self) -> list[str]:
        """How many runs, of what, in which units, and how far."""
        runs = self.runs
        named = ", ".join(runs[:3]) + (", ..." if len(runs) > 3 else "")
        components = ", ".join(self.frame["component"].drop_duplicates())
        steps = self.frame["perturbation"]
        unit, of = (", ".join(self.frame[column].drop_duplicates()) for column in ("rate_unit", "volume_unit"))
        return [
            f"Curve of {len(runs)} run{'s' * (len(runs) != 1)} ({named}): {components} in {unit}, at {steps.nunique()} perturbations "
            f"up to {steps.max():g} {of}."
        ]

    def to_frame(self) -> pd.DataFrame:
        """A copy of the table, a row per (run, perturbation, component), for pandas."""
        return self.frame.copy()

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of the runs, in the order of the file."""
        return tuple(self.frame["run"].drop_duplicates())

    def __iter__(self) -> Iterator[Run]:
        """The runs as arrays; raises InputError for a run whose components are not read at the same perturbations, or whose
        numbers are beyond `LARGEST`: files hold any double, what judges computes with their squares and quotients.
        """
        codes, names = self.frame["run"].factorize()
        order = np.argsort(codes, kind="stable")
        columns = {name: self.frame[name].to_numpy()[order] for name in COLUMNS if name != "run"}
        ends = np.cumsum(np.bincount(codes, minlength=len(names))).tolist()
        for name, first, last in zip(names, [0, *ends], ends, strict=False):
            yield _run(str(name), {column: values[first:last] for column, values in columns.items()})

    def run(self, name: str) -> Run:
        """One run as arrays. Raises InputError for a name that the curve does not hold."""
        rows = self.frame[self.frame["run"] == name]
        if rows.empty:
            raise InputError(f"no run named {name!r}", where="curve", mend=f"choose one of {', '.join(self.runs[:8])}")
        return _run(name, {column: rows[column].to_numpy() for column in COLUMNS})


def read_frame(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The rows of a CSV or Parquet file (by its suffix) as they are, unjudged. Raises InputError in one line."""
    import pandas as pd

    file = Path(path)
    refuse_kind(
        file,
        "a curve file",
        "give a .csv or .parquet file; elastomath curve makes one of the logs of other tools, elastomath track of models",
        but=PARQUET if file.suffix.lower() == ".parquet" else "",
    )
    plain_file(file, mend="give the path of a .csv or .parquet file", what="curve file")
    try:
        if file.suffix.lower() == ".parquet":
            frame = parquet_of(file, mend="write it again, or export it as CSV")
        elif file.suffix.lower() == ".csv":
            text = dict.fromkeys(("run", "component", "rate_unit", "volume_unit"), str)
            empty = {column: _empty(column) for column in read_csv(file)[0]}  # pandas takes any row and any header
            frame = pd.read_csv(file, dtype=text, keep_default_na=False, na_values=empty)
            frame = _texts(frame, _unquoted).rename(columns=_unquoted)
        else:
            raise InputError(f"unknown suffix {file.suffix!r}", where=str(file), mend="use .csv or .parquet")
    except InputError:
        raise
    except Exception as error:  # pandas and pyarrow raise many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"not a readable curve: {reason}", where=str(file), mend="write it again, or export it as CSV"
        ) from error
    return frame


def _fit_together(
    where: str,
    volumes: dict[str, float],
    steps: Array,
    rates: dict[str, ArrayLike],
    rate_se: dict[str, ArrayLike] | None,
    covariates: dict[str, Any],
) -> None:
    """Refuse arrays and names that do not fit together, before they become rows."""
    for what, readings in (("rate", rates), ("rate_se", rate_se)):
        if readings is None:
            continue
        if set(readings) != set(volumes):
            raise InputError(
                f"{what} of {', '.join(readings) or 'nothing'} for volumes of {', '.join(volumes) or 'nothing'}",
                where=where,
                mend="give the same components to each",
            )
        for component, values in readings.items():
            if np.shape(values) != steps.shape or steps.ndim != 1:
                raise InputError(
                    f"{what} of {component} has shape {np.shape(values)}, perturbations {steps.shape}",
                    where=where,
                    mend="give one reading for each perturbation",
                )
    taken = [name for name in covariates if name in COLUMNS]
    if taken or not volumes:
        what = f"a covariate named {taken[0]}" if taken else "no component"
        raise InputError(what, where=where, mend="choose another name" if taken else "give at least one volume")


def _texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with its texts changed; each different one is looked at once."""
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind in "biufcmM":
            continue
        texts = {value for value in column.drop_duplicates() if isinstance(value, str)}
        new = {text: change(text) for text in texts if change(text) != text}
        if new:
            frame = frame.assign(**{str(name): [new.get(value, value) for value in column]})
    return frame


def _returns(frame: pd.DataFrame) -> bool:
    """Whether a name or a text of the table holds a carriage return."""
    texts = [text for name in frame.columns if frame[name].dtype.kind not in "biufcmM" for text in frame[name].unique()]
    return any("\r" in text for text in (*frame.columns, *texts) if isinstance(text, str))


def _quoted(text: str) -> str:
    """The text with a quote before it where it begins as a formula does, or with quotes before such a beginning."""
    return "'" + text if text.lstrip("'").startswith(FORMULA) and not _is_number(text) else text


def _unquoted(text: str) -> str:
    """The text without the quote of `_quoted`."""
    return text[1:] if text[:1] == "'" and text.lstrip("'").startswith(FORMULA) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _empty(column: str) -> list[str]:
    """What stands for no value in a CSV column: in text only the empty field, for a run may be named NA."""
    return ["", "NaN", "nan", "NA"] if column in NUMBERS + READ else [""]


def _run(name: str, rows: Mapping[str, NDArray[Any]]) -> Run:
    """A run from the columns of its rows, in any order."""
    names, steps = rows["component"].tolist(), rows["perturbation"]
    there, first = list(dict.fromkeys(names)), ("pretrain", "align")
    order = [c for c in first if c in there] + [c for c in there if c not in (*first, "perturb")]
    order += ["perturb"] if "perturb" in there else []
    number = {component: place for place, component in enumerate(order)}
    places = np.array([number[component] for component in names])
    perturbations, columns = np.unique(steps, return_inverse=True)
    tables = np.full((3, len(order), perturbations.size), np.nan)
    for table, column in zip(tables, ("rate", "rate_se", "volume"), strict=True):
        table[places, columns] = rows[column]
    rates, errors, volumes = tables
    missing = np.isnan(rates)
    if missing.any():
        row = min(np.flatnonzero(missing.any(1)), key=lambda place: order[place])
        raise InputError(
            f"component {order[row]!r} has no reading at perturbation {perturbations[missing[row].argmax()]:g}",
            where=f"run {name}",
            mend="read every component at every perturbation, or drop that perturbation",
        )
    for column in ("volume", "perturbation", "rate", "rate_se"):
        sizes = rows[column]
        small = (sizes > 0) & (sizes < 1 / LARGEST)
        if column == "rate" and sizes.max() >= 1 / LARGEST:  # beside others a rate may come as near to 0 as it likes
            small[:] = False
        beyond = np.flatnonzero((sizes > LARGEST) | small)
        if beyond.size:
            raise InputError(
                f"{column} is {sizes[beyond[0]]:g}",
                where=f"run {name}",
                mend=f"a number that is computed with is 0, or between {1 / LARGEST:g} and {LARGEST:g}: take another unit",
            )
    return Run(
        name,
        tuple(order),
        volumes[:, 0],
        perturbations,
        rates,
        errors,
        str(rows["rate_unit"][0]),
        str(rows["volume_unit"][0]),
    )


def _validated(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table with numbers as floats and names as text. Raises InputError with the first row that breaks a rule, and the rule."""
    frame = _typed(_with_columns(frame, where), where)
    _check_rows(frame, where)
    _check_runs(frame, where)
    return frame


def _with_columns(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table, if it has the columns of a curve, each once, and rows; ``rate_se`` may stay away."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"a curve of type {type(frame).__name__}", where=where, mend="pass a pandas DataFrame, or use from_paths"
        )
    again = frame.columns[frame.columns.duplicated()]
    if len(again):
        raise InputError(f"column {again[0]!r} occurs twice", where=where, mend="keep one of them")
    absent = [column for column in COLUMNS if column not in frame.columns and column != "rate_se"]
    if absent:
        raise InputError(
            f"columns missing: {', '.join(absent)}", where=where, mend=f"a curve has the columns {', '.join(COLUMNS)}"
        )
    if frame.empty:
        raise InputError("the curve has no rows", where=where, mend="write at least one reading for each component")
    frame = frame.reset_index(drop=True)
    return frame if "rate_se" in frame.columns else frame.assign(rate_se=np.nan)


def numbers_of(frame: pd.DataFrame, column: str, where: str) -> pd.Series[float]:
    """A column as floats, NaN where a cell is empty. Raises InputError for a cell that holds anything else, with its row."""
    import pandas as pd

    numeric = frame[column].dtype.kind not in "bcmM"  # True, 1j and dates are no readings
    values = pd.to_numeric(frame[column] if numeric else frame[column].astype(str), errors="coerce").astype(np.float64)
    _refuse(values.isna() & frame[column].notna(), frame, column, "has to be a number", where)
    return values


def _typed(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The same with numbers as floats and names as text that is not empty."""
    frame = frame.assign(
        **{column: numbers_of(frame, column, where) for column in ("volume", "perturbation", "rate", "rate_se")}
    )
    there = [column for column in READ if column in frame.columns]
    blank = frame.assign(**{column: frame[column].mask(frame[column].astype(str) == "") for column in there})
    frame = blank.assign(**{column: numbers_of(blank, column, where) for column in there})
    for column in ("run", "component", "rate_unit", "volume_unit"):
        empty = frame[column].isna() | (frame[column].astype(str).str.strip() == "")
        _refuse(empty, frame, column, "may not be empty", where)
    return frame.assign(run=frame["run"].astype(str), component=frame["component"].astype(str))


def _check_rows(frame: pd.DataFrame, where: str) -> None:
    """What each row has to keep by itself."""
    positive, least = "has to be finite and > 0", "has to be finite and >= 0"
    for column, low, rule in (("volume", frame["volume"] <= 0, positive), ("perturbation", frame["perturbation"] < 0, least),
                              ("rate", frame["rate"] < 0, least)):  # fmt: skip
        _refuse(~np.isfinite(frame[column]) | low, frame, column, rule, where)
    errors = frame["rate_se"]
    wrong = errors.notna() & (~np.isfinite(errors) | (errors < 0))
    _refuse(wrong, frame, "rate_se", "has to be empty, or finite and >= 0", where)
    for column in (name for name in READ if name in frame.columns):
        sizes = frame[column].abs()
        if column == "base_contrast":  # a difference: it may come as near to 0 as it likes
            _refuse(sizes > LARGEST, frame, column, f"has to be empty, or between {-LARGEST:g} and {LARGEST:g}", where)
            continue
        beyond = (sizes > LARGEST) | ((sizes > 0) & (sizes < 1 / LARGEST)) | (frame[column] < 0)
        _refuse(beyond, frame, column, f"has to be empty, 0, or between {1 / LARGEST:g} and {LARGEST:g}", where)
    for column, units in (("rate_unit", RATE_UNITS), ("volume_unit", VOLUME_UNITS)):
        _refuse(~frame[column].isin(units), frame, column, f"has to be one of {', '.join(units)}", where)


def _check_runs(frame: pd.DataFrame, where: str) -> None:
    """What the rows of a run have to keep together: one unit, one base, one volume, each perturbation once, a start at 0."""
    import pandas as pd

    runs, components = pd.factorize(frame["run"])[0], pd.factorize(frame["component"])[0]
    parts = pd.factorize(runs * (1 + components.max()) + components)[0]
    for column in ("rate_unit", "volume_unit"):
        units = frame[column].to_numpy()
        _refuse(units != units[_first(runs)], frame, column, "has to be the same in the whole run", where)
    for column in (name for name in READ[:2] if name in frame.columns):
        known = frame[column].groupby(runs).transform("first")  # that is not empty
        _refuse(
            frame[column].notna() & (frame[column] != known),
            frame,
            column,
            "has to be the same in the whole run",
            where,
        )
    volumes, perturbations = frame["volume"].to_numpy(), frame["perturbation"].to_numpy()
    several = volumes != volumes[_first(parts)]
    _refuse(several, frame, "volume", "has to be the same for the whole run and component", where)
    order = np.lexsort((perturbations, parts))
    twice = np.zeros(order.size, dtype=bool)
    twice[order[1:]] = (np.diff(parts[order]) == 0) & (np.diff(perturbations[order]) == 0)
    _refuse(twice, frame, "perturbation", "has to occur once for each run and component", where)
    largest, last = np.full(1 + runs.max(), np.nan), (frame["component"] == "perturb").to_numpy(dtype=bool)
    largest[runs[last]] = volumes[last]
    beyond = perturbations > largest[runs] * (1 + 1e-12)
    _refuse(beyond, frame, "perturbation", "may not exceed the volume of the run's component `perturb`", where)
    least = np.full(1 + parts.max(), np.inf)
    np.minimum.at(least, parts, perturbations)
    _refuse(least[parts] != 0, frame, "perturbation", "every run needs a row at 0 for every component", where)


def _first(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each row the first one of its group; groups count from 0."""
    first = np.empty(1 + groups.max(), dtype=np.intp)
    first[groups[::-1]] = np.arange(groups.size)[::-1]
    return first[groups]


def _refuse(wrong: Any, frame: pd.DataFrame, column: str, rule: str, where: str) -> None:
    import pandas as pd

    flags = np.asarray(wrong, dtype=bool)
    if flags.any():
        row = int(np.argmax(flags))
        value = frame[column].iloc[row]
        shown = "empty" if pd.isna(value) else repr(getattr(value, "item", lambda: value)())
        raise InputError(f"row {row + 1}: {column} is {shown}", where=where, mend=rule)
