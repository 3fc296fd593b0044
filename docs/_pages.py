"""Pages that are made of others: the reference, a page a module; the findings, a heading and a sentence an entry, the rest folded."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.structure.files import File, Files

FLOORS = ("elastomath", "sim", "empirical")
"""Pages of the reference that list modules, a line ``::: name`` each."""
MODULE = re.compile(r"^### (\S+)\n+^::: \1$", re.MULTILINE)
ENTRY = re.compile(r"^- .*(?:\n(?:  .*)?)*?(?=\n(?:- |#|\n[^ ])|\Z)", re.MULTILINE)
"""An entry of the findings: a line of a list, most open with bold words, and the lines indented below it."""
SENTENCE = re.compile(r"(?<=[^\s.][.!?])\s+(?=[A-Z*`\[(−0-9])")
EVIDENCE = re.compile(
    r"\s*(\*(?:Symbolic|Certified|Sampled|Measured|Tested|Derived|Published|Counterexample|Simulated)\b[^*]*\*)"
)


def on_files(files: Files, config: Any) -> Files:
    """A page for each module that the reference lists."""
    for floor in FLOORS:
        page = files.get_file_from_path(f"reference/{floor}.md")
        for name in MODULE.findall(page.content_string if page else ""):
            text = f"# {name}\n\n[All modules of {floor}](../{floor}.md)\n\n::: {name}\n"
            files.append(File.generated(config, f"reference/modules/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links in place of modules, entries in place of a list."""
    if page.file.src_uri in {f"reference/{floor}.md" for floor in FLOORS}:
        return re.sub(r"\n\n+(?=- \[)", "\n", MODULE.sub(_link, markdown)).replace(".\n- [", ".\n\n- [")
    if page.file.src_uri == "findings.md":
        parts = re.split(r"^(?=##)", markdown, flags=re.MULTILINE)
        return "".join(ENTRY.sub(lambda found, part=part: entry(found[0], _level(part) + 1), part) for part in parts)
    return markdown


def _link(found: re.Match[str]) -> str:
    import importlib

    told = " ".join((importlib.import_module(found[1]).__doc__ or "").strip().partition("\n\n")[0].split())
    return f"- [{found[1]}](modules/{found[1]}.md): {SENTENCE.split(told)[0]}"


def _level(part: str) -> int:
    """How many signs the heading has that a part of a page begins with."""
    return len(part) - len(part.lstrip("#"))


def entry(text: str, level: int) -> str:
    """A heading of that level, the first sentence with its evidence, and the rest folded.

    >>> print(entry("- **It holds.** In 3 of 3 runs. Not in the fourth. *Measured:* R9.", 3))
    ### It holds
    <BLANKLINE>
    In 3 of 3 runs. *Measured:* [R9](results/R9.md).
    <BLANKLINE>
    ??? note "More"
        Not in the fourth.
    <BLANKLINE>
    """
    line = " ".join(part.strip() for part in text.removeprefix("- ").splitlines())
    evidence = ""
    if found := list(EVIDENCE.finditer(line)):
        line, evidence = line[: found[-1].start()].rstrip(), line[found[-1].start(1) :]
        evidence = re.sub(r"`[^`]*--explain (R\d+)`|(?<![`\w/\[-])(R\d+)(?=[\s.,;:]|$)", _result, evidence)
    if line.startswith("**"):
        bold, _, rest = line[2:].partition("**")
        rest = rest.strip()
    else:
        bold = re.split(r"[:;,.] | \(", line, maxsplit=1)[0]
        rest = line[len(bold) :]
    whole = bold.endswith((".", ":", "?"))
    first, *more = SENTENCE.split(rest) if rest else ("",)
    shown = first if whole else re.sub(r" (?=[,;:.])", "", f"{bold} {first.strip()}", count=1)
    shown = shown[:1].upper() + shown[1:] if whole and re.match(r"[a-z]+ ", shown) else shown
    parts = ["#" * level + " " + bold.rstrip(".:;,"), f"{shown} {evidence}".strip()]
    if more:
        parts.append('??? note "More"\n    ' + " ".join(more))
    return "\n\n".join(part for part in parts if part) + "\n"


def _result(found: re.Match[str]) -> str:
    """A link to the page of a result that is named."""
    return f"[{found[0]}](results/{found[1] or found[2]}.md)"
