"""What the verbs share at the terminal: options, parsing of lists, tables, and one JSON object on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Annotated, Any, TypeVar

import typer

from elastomath.errors import InputError, escaped
from elastomath.interval import Interval
from elastomath.shown import number_of as number_of
from empirical.fetch.catalog import MODEL as MODEL

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""
PROSE = 100
"""Columns of a paragraph, at most."""
Number = TypeVar("Number", int, float)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Seed of everything that is drawn.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also what was seen in detail.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto (bfloat16 where the hardware multiplies it), float32, ...")]
Revision = Annotated[str | None, typer.Option("--revision", help="Revision of a model on the hub.")]
RemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with a hub model.")]


def emit(result: dict[str, Any], as_json: bool, show: Any) -> None:
    """One JSON object on stdout, or what ``show`` prints for people. Raises InputError for a number that JSON has no word for."""
    if as_json:
        try:
            text = json.dumps(result, allow_nan=False)
        except ValueError as error:
            raise InputError(
                "the result holds a number that is not finite", where="--json", mend="leave --json away to see it"
            ) from error
        print(text)
    else:
        with contextlib.redirect_stdout(Inert(sys.stdout)):
            show()
    sys.stdout.flush()


class Inert:
    """A stream in front of another one: names and texts from elsewhere move no cursor, change no colour, ring no bell.

    At a terminal, lines that are too long for it are broken between words and keep their indent.
    """

    def __init__(self, stream: Any) -> None:
        self.stream, self.width = stream, _width() if stream.isatty() else 0

    def write(self, text: str) -> int:
        """Write with what is not printable as its escape."""
        safe = escaped(text, kept="\n\t")
        self.stream.write(broken(safe, self.width) if self.width else safe)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def broken(text: str, width: int) -> str:
    """The text with its lines broken at ``width``; what goes on in a further line is indented by four more, prose not at all.

    >>> print(broken("  assuming that this line is too long", 24))
      assuming that this
          line is too long
    """
    lines = []
    for line in text.split("\n"):
        lead = len(line) - len(line.lstrip())
        further = " " * (lead + 4 if lead else 0)
        whole = textwrap.wrap(line, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)
        lines.append("\n".join(whole) if len(line) > width else line)
    return "\n".join(lines)


@contextlib.contextmanager
def pool(processes: int) -> Iterator[Executor | None]:
    """An executor of so many processes (0: one a core); None for one, where the work is done here."""
    from elastomath.runs.executors import open_executor

    count = processes or os.cpu_count() or 1
    with open_executor("here" if count == 1 else "local", workers=count) as opened:
        yield opened


def numbers(text: str, option: str) -> list[float]:
    """``1,0.5`` as numbers; InputError names the option."""
    return listed(text, option, float, "numbers, with commas between: 100,1,0.5")


def integers(text: str, option: str) -> list[int]:
    """``1,2`` as whole numbers; InputError names the option."""
    return listed(text, option, int, "whole numbers, with commas between: 16,40,80")


def listed(text: str, option: str, kind: Callable[[str], Number], wanted: str) -> list[Number]:
    """A list with commas between, each part read by ``kind``."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"cannot read {text!r}", where=option, mend=f"write {wanted}") from error


def at_least_one(value: int, option: str) -> int:
    """The value, or InputError where it is below 1."""
    if value < 1:
        raise InputError(f"{value}", where=option, mend="has to be at least 1")
    return value


def conclude(sentences: Sequence[str], *, blank: bool = True) -> None:
    """What to conclude, as a paragraph that is broken at the terminal's width; a blank line below it."""
    print(textwrap.fill(" ".join(sentences), min(_width(), PROSE)))
    if blank:
        print()


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print these columns of the rows as a table, words whole; where they do not fit side by side, a paragraph for each row."""
    from rich.console import Console
    from rich.table import Table

    width, heads = _width(), [column.replace("_", " ") for column in columns]
    cells = [[escaped(short(row.get(column))) for column in columns] for row in rows]
    least = [
        max(len(word) for text in texts for word in (*text.split(), "")) for texts in zip(heads, *cells, strict=True)
    ]
    stream = getattr(sys.stdout, "stream", sys.stdout)  # what rich writes are its own escapes
    spare = width - sum(least) - 2 * (len(least) - 1)
    if spare < 0:
        for first, *others in cells:
            line = "; ".join(f"{head}: {cell}" for head, cell in zip(heads[1:], others, strict=True))
            print(broken(f"{first}\n  {line}", width), file=stream)
        return
    wanted = [max(map(len, texts)) - word for texts, word in zip(zip(heads, *cells, strict=True), least, strict=True)]
    share = min(1.0, spare / max(1, sum(wanted)))
    table = Table(box=None, pad_edge=False)
    for head, word, more in zip(heads, least, wanted, strict=True):
        table.add_column(head, overflow="fold", width=word + int(more * share))
    for row in cells:
        table.add_row(*row)
    Console(file=stream, soft_wrap=False, width=width, markup=False, highlight=False).print(table)


def tables(rows: Sequence[Mapping[str, object]], *groups: Sequence[str]) -> None:
    """Print these columns of the rows as one table where each cell fits on a line, else as a table for each group of columns.

    Columns that no row has are left out. The unit that stands in brackets behind a name is said once, below.
    """
    there = [[name for name in group if any(name in row for row in rows)] for group in groups]
    every = list(dict.fromkeys(name for group in there for name in group))
    heads = {name: name.partition(" (")[0] for name in every}
    plain = [{heads[name]: value for name, value in row.items() if name in heads} for row in rows]
    lengths = [max(len(head), *(len(short(row.get(head))) for row in plain)) for head in heads.values()]
    fits = sum(lengths) + 2 * (len(lengths) - 1) <= _width()
    for index, group in enumerate([every] if fits else there):
        if index:
            print()
        table(plain, [heads[name] for name in group])
    units: dict[str, list[str]] = {}
    for name, head in heads.items():
        if head != name:
            units.setdefault(name.removeprefix(f"{head} (").removesuffix(")"), []).append(head)
    if units:
        print()
        said = "; ".join(f"{', '.join(names)}: in {unit}" for unit, names in units.items())
        conclude([f"{said[0].upper()}{said[1:]}."], blank=False)


def short(value: Any) -> str:
    """A value for a table: six digits, yes or no, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def interval(constant: Mapping[str, Any] | None) -> str:
    """An estimate with its interval; an end that the data do not bound is open."""
    return "-" if constant is None else str(Interval.of_dict(constant))


def _width() -> int:
    return (
        shutil.get_terminal_size((WIDE, 40)).columns if sys.stdout.isatty() else int(os.environ.get("COLUMNS") or WIDE)
    )
