"""The section on trees and codes: a tree and its pruning, and what real codes need beside Thm 3.4."""

from __future__ import annotations

from .page import Section

RESPONSES = ("ab", "ab", "aba", "b", "ba", "ba", "bb", "abb")
"""Eight responses over two symbols, to look at."""
TEXT = (
    "The change of a dataset's compression rate is inversely proportional to its volume.",
    "So alignment, the small dataset, gives way first.",
    "A response of so many tokens is sent as that many blocks, rounded up.",
)
"""Three sentences of ours, to compress."""


def trees_section() -> Section:
    """Def 3.1, Def 3.3 and Thm 3.4 on something that one can see."""
    from elastomath.codes.compression import protocol_lengths
    from elastomath.figures.results import r15, tree_figure

    section = Section("tree", "The token tree, its pruning, and real codes", command="elastomath verify --only R15")
    section.say(
        "A dataset of responses is a tree: a leaf carries the responses that end there, a node the sum of what is below it. A "
        "model of limited size sees the top layers; what was cut is added up in the cut node."
    )
    section.draw(
        tree_figure(RESPONSES, 2),
        "Eight responses over two symbols. Circles: inner nodes; squares: ends; triangles: nodes that were cut. Numbers are responses.",
    )
    section.say(
        "Theorem 3.4 prints the code length as a number of blocks times a rounded entropy. Real Huffman codes need more or less:"
    )
    rows = []
    for depth in (1, 2, 4):
        lengths = protocol_lengths(TEXT, depth)
        rows.append(
            {
                "block, bytes": depth,
                "leaves": lengths.leaves,
                "entropy, bits a block": lengths.entropy,
                "Thm 3.4, bits": lengths.printed,
                "Huffman, bits": lengths.huffman,
                "miss, bits a block": lengths.miss,
                "arithmetic, bits": lengths.arithmetic,
            }
        )
        section.check(
            f"blocks of {depth}: H <= Huffman < H + 1 a block (R15)",
            "0 to 1",
            lengths.redundancy,
            0 <= lengths.redundancy < 1,
        )
    section.show(rows, "three sentences as bytes")
    section.draw(
        r15(), "Huffman's bits a block less those of Thm 3.4, on 600 random sources: anything between -1 and 1."
    )
    return section
