"""The page: blocks of text, tables and figures, rendered into one self-contained HTML file with every text escaped.

What opens on a click elsewhere lies on a page of details of its own, in the folder of the report's data: the report itself is short
and prints whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath.interval import Interval
from elastomath.storage import whole_file

if TYPE_CHECKING:
    from .front import Front

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, a mark, the details it leads to.

    mark: ``yes`` and ``no`` colour it beside the words, ``short`` keeps it on a line.
    """

    text: str
    mark: str = ""
    details: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its title, and whether it holds numbers (then it is set to the right)."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Block:
    """A block of a section: text, heading, table, figure or details (``anchor``: its place on the page of details)."""

    kind: str
    text: str = ""
    title: str = ""
    caption: str = ""
    svg: Any = None
    anchor: str = ""
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()


@dataclass
class Check:
    """One statement that was checked: what had to be, what was seen, and whether it held."""

    statement: str
    wanted: str
    measured: str
    holds: bool


@dataclass
class Section:
    """A section of the page: its blocks, the command that makes it again, its data files and its checks.

    saved: whether its numbers come from results that lie in the package, not from the run that writes the page.
    """

    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    command: str = ""
    data: list[str] = field(default_factory=list)
    seconds: float = 0.0
    saved: bool = False

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(Block("text", text=text))

    def head(self, text: str) -> None:
        """Add a heading."""
        self.blocks.append(Block("heading", text=text))

    def more(self, title: str, text: str, anchor: str = "") -> None:
        """Add a preformatted text to the page of details, under an anchor of its own."""
        place = anchor or f"{self.id}-{sum(block.kind == 'details' for block in self.blocks) + 1}"
        self.blocks.append(Block("details", title=title, text=text, anchor=place))

    @property
    def details(self) -> list[Block]:
        """What this section has on the page of details."""
        return [block for block in self.blocks if block.kind == "details"]

    def show(self, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
        """Add a table from rows of like keys; numbers are set to the right."""
        if rows:
            self.blocks.append(table(rows, caption))

    def draw(self, figure: Any, caption: str) -> None:
        """Add a matplotlib figure as inline SVG."""
        from markupsafe import Markup

        from elastomath.style import svg

        self.blocks.append(Block("figure", svg=Markup(svg(figure)), caption=caption))

    def save_figures(self, folder: Path) -> None:
        """Write each figure of the section as an SVG file, named by the section and a number."""
        figures = [block for block in self.blocks if block.kind == "figure"]
        for index, block in enumerate(figures, 1):
            with whole_file(folder / f"{self.id}-{index}.svg") as aside:
                aside.write_text(str(block.svg), encoding="utf-8")

    def check(self, statement: str, wanted: str, measured: Any, holds: bool) -> None:
        """Record a check; the page opens with all of them."""
        self.checks.append(Check(statement, wanted, number(measured), bool(holds)))


def table(rows: Sequence[Mapping[str, Any]], caption: str = "") -> Block:
    """A table block from rows of like keys."""
    keys = list(rows[0])
    numeric = {key: all(row[key] is None or _is_number(row[key]) for row in rows) for key in keys}
    cells = tuple(tuple(_cell(row[key]) for key in keys) for row in rows)
    return Block("table", caption=caption, columns=tuple(Column(key, numeric[key]) for key in keys), rows=cells)


def number(value: Any) -> str:
    """A value for people: four significant digits, a dash for nothing.

    >>> number(0.123456), number(None), number(12), number(True)
    ('0.1235', '\u2013', '12', 'yes')
    """
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def interval(constant: Mapping[str, Any] | None) -> str:
    """An estimate with its interval, where an end that the data do not bound is said to be open.

    >>> interval({"estimate": 10.0, "low": 9.5, "high": None, "level": 0.95})
    '10.00 [9.50, open]'
    """
    return number(None) if constant is None else str(Interval.of_dict(constant))


def render(
    path: Path,
    preset: str,
    sections: Sequence[Section],
    provenance: Sequence[Mapping[str, object]],
    not_shown: Sequence[str],
    front: Front | None = None,
) -> None:
    """Write the page and its page of details, each whole or not at all. Everything but the figures, which we draw, is escaped."""
    import jinja2
    from markupsafe import Markup, escape

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    checks = [
        {
            "section": section.title,
            "statement": check.statement,
            "wanted": check.wanted,
            "seen": check.measured,
            "holds": check.holds,
        }
        for section in sections
        for check in section.checks
    ]
    environment.filters["strong"] = lambda words: Markup(
        re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(words)))
    )
    details = path.with_name(f"{path.stem}-data") / "details.html"
    shared = {
        "preset": preset,
        "css": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "sections": sections,
        "checks": table(checks) if checks else None,
        "failed": [check for check in checks if not check["holds"]],
        "provenance": table(provenance),
        "not_shown": not_shown,
        "front": front,
        "details": f"{details.parent.name}/{details.name}",
        "report": path.name,
    }
    for place, template in ((details, "details.html"), (path, "report.html")):
        page = environment.get_template(template).render(**shared)
        with whole_file(place) as aside:
            aside.write_text(page, encoding="utf-8")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> Cell:
    if isinstance(value, Cell):
        return value
    mark = ("yes" if value else "no") if isinstance(value, bool) else ""
    return Cell(number(value), mark)
