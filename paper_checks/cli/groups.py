"""The help of the command line: verbs in groups, each with its whole description, at 80 columns."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

UNDERSTAND = "Understand: the theorem, the paper, the simulator"
MEASURE = "Measure: texts and models"
JUDGE = "Judge: curves, runs, everything at once"
HELP = "About this installation"
GROUPS = (UNDERSTAND, MEASURE, JUDGE, HELP)
"""The groups of verbs, in the order in which the help shows them."""


def examples(*commands: str) -> str:
    """The end of a verb's help: a line an example, which click leaves as they are.

    >>> examples("elastomath info")
    '\\x08\\nExample: elastomath info'
    """
    return "\b\n" + "\n".join(f"Example: {command}" for command in commands)


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
