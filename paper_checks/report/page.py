"""The page: blocks of text, tables and figures, rendered into one self-contained HTML file with every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elastomath.interval import Interval
from elastomath.storage import whole_file

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, and a mark (``yes``, ``no``) that colours it beside the words."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its title, and whether it holds numbers (then it is set to the right)."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Block:
    """A block of a section: text, heading, table, figure or details."""

    kind: str
    text: str = ""
    title: str = ""
    caption: str = ""
    svg: Any = None
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()


@dataclass
class Check:
    """One statement that was checked: what had to be, what was seen, and whether it held."""

    statement: str
    wanted: str
    seen: str
    holds: bool


@dataclass
class Section:
    """A section of the page: its blocks, the command that makes it again, its data files and its checks."""

    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    command: str = ""
    data: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(Block("text", text=text))

    def head(self, text: str) -> None:
        """Add a heading."""
        self.blocks.append(Block("heading", text=text))

    def more(self, title: str, text: str) -> None:
        """Add a preformatted text that opens on a click."""
        self.blocks.append(Block("details", title=title, text=text))

    def show(self, rows: Sequence[dict[str, Any]], caption: str = "") -> None:
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

    def check(self, statement: str, wanted: str, seen: Any, holds: bool) -> None:
        """Record a check; the page opens with all of them."""
        self.checks.append(Check(statement, wanted, number(seen), bool(holds)))


def table(rows: Sequence[dict[str, Any]], caption: str = "") -> Block:
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


def interval(constant: dict[str, Any] | None) -> str:
    """An estimate with its interval, where an end that the data do not bound is said to be open.

    >>> interval({"estimate": 10.0, "low": 9.5, "high": None, "level": 0.95})
    '10.00 [9.50, open]'
    """
    return number(None) if constant is None else str(Interval.of_dict(constant))


def render(
    path: Path, preset: str, sections: Sequence[Section], provenance: Sequence[dict[str, Any]], not_shown: Sequence[str]
) -> None:
    """Write the page, whole or not at all. Everything but the figures, which we draw, is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    checks = [
        {
            "section": section.title,
            "statement": check.statement,
            "wanted": check.wanted,
            "seen": check.seen,
            "holds": check.holds,
        }
        for section in sections
        for check in section.checks
    ]
    page = environment.get_template("report.html").render(
        preset=preset,
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        sections=sections,
        checks=table(checks),
        provenance=table(provenance),
        not_shown=not_shown,
    )
    with whole_file(path) as aside:
        aside.write_text(page, encoding="utf-8")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> Cell:
    mark = ("yes" if value else "no") if isinstance(value, bool) else ""
    return Cell(number(value), mark)
