"""The section on the numbers that the paper prints: Tables 1 and 3."""

from __future__ import annotations

from .page import Section, interval


def published_section() -> Section:
    """What Tables 1 and 3 say, and what they cannot say without seeds."""
    from ..published.tables import published_table, resistance_effect, reversal_exponent
    from .figures import published_figure

    section = Section("published", "The paper's own tables", command="elastomath check Table1 Table3")
    effect, exponent = resistance_effect(), reversal_exponent()
    section.draw(
        published_figure(published_table(1), published_table(3)),
        "Left: the 27 printed gaps (forward less inverse loss). Right: unsafe examples to undo so many safe ones.",
    )
    for line in effect.conclusions():
        section.say(line[0].upper() + line[1:] + ".")
    section.show(
        [
            {"model": name, "b in m* ~ n^b": interval(b.as_dict())}
            for name, b in (*exponent.models, ("pooled", exponent.pooled))
        ],
        "Table 3: joint compression has b >= 1, forgetting 0 < b < 1, every memoryless law of one variable b >= 0",
    )
    return section
