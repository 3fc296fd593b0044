"""Docstrings for the site: doctests as code, lists of names as lists. Markdown would make quotes of the one and prose of the other."""

from __future__ import annotations

import re
from typing import Any

import griffe

NAME = re.compile(r"^(``?[^`]+`?`?(?:, ``?[^`]+`?`?)*|[A-Za-z_][\w.]*(?:, [A-Za-z_]\w*)*)(?:  +)(\S.*)$")
"""``name  what it is``: a line of a list of fields, two spaces or more between."""


class Doctests(griffe.Extension):
    """Rewrites the docstring of every object before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence doctests and mark lists, unless it was done already."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    """The docstring with each doctest in a fence of its own, and runs of ``name  words`` as a list."""
    out: list[str] = []
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.lstrip().startswith(">>> "):
            indent = line[: len(line) - len(line.lstrip())]
            block = []
            while index < len(lines) and lines[index].strip():
                block.append(lines[index])
                index += 1
            out += ["", f"{indent}```pycon", *block, f"{indent}```", ""]
            continue
        found = NAME.match(line)
        if found:
            name = found[1] if found[1].startswith("`") else f"`{found[1]}`"
            if out and out[-1].strip() and not out[-1].startswith(("- ", "  ")):
                out.append("")
            out.append(f"- {name}: {_prose(found[2])}")
            index += 1
            while (
                index < len(lines)
                and lines[index].startswith("  ")
                and lines[index].strip()
                and not NAME.match(lines[index])
            ):
                if lines[index].lstrip().startswith(">>> "):
                    break
                out.append(f"  {_prose(lines[index].strip())}")
                index += 1
            if index < len(lines) and lines[index].strip() and not NAME.match(lines[index]):
                out.append("")
            continue
        out.append(_prose(line))
        index += 1
    return "\n".join(out)


def _prose(line: str) -> str:
    """A line in which two pairs of brackets make no link."""
    return line.replace("][", "]\\[")
