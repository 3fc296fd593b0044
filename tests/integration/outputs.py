"""What the snippets of a page print: run, compared with what stands under them, and written there.

``python tests/integration/outputs.py`` writes the output under each snippet of every page that has some.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import sys
import tempfile
from pathlib import Path

SNIPPET = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```output\n(?P<output>.*?)```\n)?", re.DOTALL)
LONGEST = 30
"""Lines of output beyond which none is shown."""


def run(page: Path) -> list[tuple[re.Match[str], str]]:
    """Each snippet of a page and what it printed, in one namespace, in the current folder."""
    names: dict[str, object] = {"__name__": "docs"}
    found = []
    for match in SNIPPET.finditer(page.read_text(encoding="utf-8")):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(match["code"], str(page), "exec"), names)
        found.append((match, "".join(f"{line.rstrip()}\n" for line in said.getvalue().splitlines())))
    return found


def alike(one: str, other: str) -> bool:
    """Whether two outputs say the same: words alike, numbers to six digits.

    >>> alike("a 0.30000000000000004", "a 0.3"), alike("[1. 2.]", "[1. 3.]"), alike("a", "b")
    (True, False, False)
    """
    number = re.compile(r"(-?\d+\.?\d*(?:e[+-]?\d+)?)")
    parts = [re.split(number, " ".join(text.split())) for text in (one, other)]
    if len(parts[0]) != len(parts[1]):
        return False
    return all(
        math.isclose(float(a), float(b), rel_tol=1e-6, abs_tol=1e-12) if index % 2 else a.split() == b.split()
        for index, (a, b) in enumerate(zip(*parts, strict=True))
    )


def written(page: Path) -> str:
    """The page with the output of each snippet under it."""
    text, at = "", 0
    source = page.read_text(encoding="utf-8")
    for match, said in run(page):
        shown = f"\n```output\n{said}```\n" if said and len(said.splitlines()) <= LONGEST else ""
        text += f"{source[at : match.start()]}```python\n{match['code']}```\n{shown}"
        at = match.end()
    return text + source[at:]


if __name__ == "__main__":
    root = Path(__file__).parents[2]
    for page in [Path(name) for name in sys.argv[1:]] or sorted((root / "docs").rglob("*.md")):
        place = page.resolve()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            text = written(place) if SNIPPET.search(place.read_text(encoding="utf-8")) else None
            os.chdir(root)
        if text is not None:
            place.write_text(text, encoding="utf-8")
