"""Pages of the site that are computed: `python -m benchmarks.pages NAME` makes the numbers and figures of one again."""

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
"""Where a page, its `data/` and its `figures/` lie."""
