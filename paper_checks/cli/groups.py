"""The help of the command line: verbs in groups, each with its whole description, at 80 columns."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from typer.core import TyperGroup

UNDERSTAND = "Understand: the theorem, the paper, the simulator"
MEASURE = "Measure: texts and models"
JUDGE = "Judge: curves, runs, everything at once"
HELP = "About this installation"
LISTED = 76
"""Columns of a list in a help, which stands two columns in."""
GROUPS = (UNDERSTAND, MEASURE, JUDGE, HELP)
"""The groups of verbs, in the order in which the help shows them."""


def examples(*commands: str) -> str:
    """The end of a verb's help: a line an example, which click leaves as they are.

    >>> examples("elastomath info")
    '\\x08\\nExample: elastomath info'
    """
    return "\b\n" + "\n".join(f"Example: {command}" for command in commands)


def listing(verb: Callable[..., Any], rows: Mapping[str, str]) -> str:
    """The help of a verb, and below it a list of names with what each is, which click leaves as it is.

    >>> print(listing(lambda: None, {"one": "the first"}).replace(chr(8), "-"))
    <BLANKLINE>
    <BLANKLINE>
    -
    one  the first
    """
    width = max(map(len, rows))
    lines = [
        textwrap.fill(text, LISTED, initial_indent=f"{name:<{width}}  ", subsequent_indent=" " * (width + 2))
        for name, text in rows.items()
    ]
    return f"{inspect.getdoc(verb) or ''}\n\n\b\n" + "\n".join(lines)


class VerbGroup(TyperGroup):
    """A group of commands whose help names every command under its heading (`rich_help_panel`), with its first paragraph whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading; commands without one come last."""
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in GROUPS}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = command.rich_help_panel or "Commands"
                line = " ".join((command.help or "").partition("\n\n")[0].split())
                sections.setdefault(heading, []).append((name, line))
        for heading, rows in sections.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows, col_max=12)
