"""The table of R9 in plain text and LaTeX."""

from __future__ import annotations

from ..checks import checked, one_of
from .assumptions import ASSUMPTIONS, PARTS


@checked(style=one_of("text", "latex"))
def table(style: str = "text") -> str:
    """The table of R9, assumption by part: needed (with the counterexample) or not needed (with the proof).

    Style "text" or "latex".
    """
    names = list(PARTS)
    heads = ["without", "dH_p < 0", "dH_a > 0", "Theta", "ratio exists"]
    rows = []
    for name, rule in ASSUMPTIONS.items():
        rulings = [rule.rulings.get(part) for part in names]
        cells = ["-" if r is None else f"{'fails' if r.needed else 'holds'} {r.by}" for r in rulings]
        rows.append([name, *cells])
    if style == "latex":
        body = "\n".join(" & ".join(tex_words(cell) for cell in row) + r" \\" for row in [heads, *rows])
        return rf"\begin{{tabular}}{{{'l' * len(heads)}}}" + f"\n{body}\n" + r"\end{tabular}"
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [heads, *rows]
    ]
    reasons = [
        f"{name}, {heads[1 + column]}: {rule.rulings[part].why}"
        for name, rule in ASSUMPTIONS.items()
        for column, part in enumerate(names)
        if part in rule.rulings
    ]
    return "\n".join([*lines, "", *reasons])


def tex_words(words: str) -> str:
    """Plain words in LaTeX, with what is special in it made safe."""
    for sign, safe in (("_", r"\_"), ("^", r"\^{}"), ("<", r"\(<\)"), (">", r"\(>\)"), ("|", r"\(|\)")):
        words = words.replace(sign, safe)
    return words
