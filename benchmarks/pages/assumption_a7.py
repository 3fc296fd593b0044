"""The numbers and the figure of docs/assumption-a7.md: `python -m benchmarks.pages assumption-a7 [--out docs] [--samples 100]`.

Film reviews are fetched (35 MB, once). Writes data/assumption-a7.csv and figures/assumption-a7.svg; prints the tables.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.pages import DOCS
from elastomath.mixtures.masses import pareto_masses
from elastomath.storage import whole_file
from elastomath.style import save_figure
from elastomath.tails.figures import verdict_figure
from elastomath.tails.sample import draw_tail
from elastomath.tails.verdict import Verdict, pareto_verdict
from elastomath.trees.tokentree import TokenTree
from empirical.fetch.fetching import fetch

BYTES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
WORDS = (1, 2, 3, 4)


def reviews() -> list[str]:
    """The texts of the catalogued film reviews."""
    return pd.read_csv(fetch(["film-reviews"])[0]["path"])["text"].astype(str).tolist()


def byte_counts(texts: list[str], depths: tuple[int, ...] = BYTES) -> dict[int, np.ndarray]:
    """Leaf counts of the tree of all blocks, built anew at each depth (Def 3.3b)."""
    return {depth: np.asarray(TokenTree.of(texts, depth).counts) for depth in depths}


def word_counts(texts: list[str], depths: tuple[int, ...] = WORDS) -> dict[int, np.ndarray]:
    """Counts of blocks of lower-case words, d at a time; the last block of a text may be shorter."""
    words = [re.findall(r"[a-z']+", text.lower()) for text in texts]
    return {
        d: np.fromiter(
            Counter(tuple(w[i : i + d]) for w in words for i in range(0, len(w), d)).values(), dtype=np.int64
        )
        for d in depths
    }


def controls(leaves: int = 20_000) -> dict[str, np.ndarray]:
    """Leaves whose law is known: Pareto masses and their sampled counts, zeta counts, lognormal masses and counts."""
    rng = np.random.default_rng(7)
    masses = pareto_masses(1.5, leaves, seed=7)
    lognormal = np.exp(2.0 * rng.normal(size=leaves))
    sampled = rng.poisson(20 * leaves * masses), rng.poisson(20 * leaves * lognormal / lognormal.sum())
    zeta = draw_tail(leaves, 1.0, 1.5, True, 7)
    return {
        "Pareto 1.5, masses": masses,
        "Pareto 1.5, counts of 20 a leaf": sampled[0][sampled[0] > 0],
        "zeta 1.5, counts": np.repeat(zeta.values.astype(np.int64), zeta.multiplicities),
        "lognormal, masses": lognormal,
        "lognormal, counts of 20 a leaf": sampled[1][sampled[1] > 0],
    }


def line(name: str, row: Verdict) -> str:
    """One row of the table."""
    cells = [name, f"{row.leaves:,}", f"{row.whole.alpha:.3f}", f"{row.whole.distance:.4f}", f"{row.whole_p:.3f}"]
    low, high = row.tail_interval
    cells += [f"{row.tail.threshold:.4g}", f"{row.tail.tail:,}", f"{row.tail_mass:.3f}"]
    cells += [f"{row.tail.alpha:.3f} [{low:.3f}, {high:.3f}]", f"{row.tail_p:.3f}", row.better or "none"]
    if row.sampled is not None and row.sampled_interval is not None:
        low, high = row.sampled_interval
        cells += [f"{row.sampled.alpha:.3f} [{low:.3f}, {high:.3f}]", f"{row.sampled.observed:.3f}"]
        cells += [f"{row.sampled.distance:.4f}", f"{row.sampled_p:.3f}"]
    else:
        cells += ["", "", "", ""]
    mean = {True: "yes", False: "no", None: "open"}[row.mean_exists]
    return "| " + " | ".join([*cells, row.verdict, mean]) + " |"


def main() -> None:
    """Everything of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    texts = reviews()
    groups = {
        unit: [pareto_verdict(counts, [depth], samples=options.samples)[0] for depth in counts]
        for unit, counts in (("bytes", byte_counts(texts)), ("words", word_counts(texts)))
    }
    named = [(f"{row.depth} {unit}", row) for unit, rows in groups.items() for row in rows]
    # the same leaves from a tenth of the text: what depends on the amount of text is no property of the masses
    few = byte_counts(texts[::10], (4, 8, 12))
    named += [(f"{row.depth} bytes, tenth", row) for row in pareto_verdict(few, samples=options.samples)]
    for name, values in controls().items():
        named.append((name, pareto_verdict(values, samples=options.samples)[0]))
    for name, row in named:
        print(line(name, row), flush=True)
    with whole_file(options.out / "data" / "assumption-a7.csv") as aside:
        pd.DataFrame([{"leaves_of": name, **row.row()} for name, row in named]).to_csv(aside, index=False)
    save_figure(verdict_figure(groups["bytes"], "bytes"), options.out / "figures" / "assumption-a7.svg")
