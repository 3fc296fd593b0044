"""The invariants of token trees and their leaf sets, each asserted by what it says."""

from __future__ import annotations

import numpy as np

from elastomath.trees.leafset import LeafSet
from elastomath.trees.sequences import symbol_type
from elastomath.trees.tokentree import TokenTree


def assert_tree(tree: TokenTree) -> None:
    """Every invariant of the layout of a tree holds."""
    assert_leaves(tree.leaf_set)
    counts, kind = tree.counts, tree.counts.dtype
    assert counts.shape == tree.spelled.shape, f"counts of shape {counts.shape}"
    assert kind in (np.int64, np.float64), f"counts of type {kind}"
    assert np.isfinite(counts).all() and (counts > 0).all(), "a count that is not positive"  # noqa: PT018
    assert not tree.exact or sum(counts.tolist()) < 1 << 63, "counts that sum to 2^63 or more"
    assert tree.exact or abs(float(counts.sum()) - 1) <= 1e-9, f"masses that sum to {counts.sum():.12g}"


def assert_leaves(leaves: LeafSet) -> None:
    """Every invariant of `LeafSet` holds."""
    symbols, spelled, ended = leaves.symbols, leaves.spelled, leaves.ended
    assert leaves.size >= 1, "no leaf"
    assert symbols.ndim == 2, f"shape {symbols.shape}"
    assert spelled.shape == ended.shape == (len(symbols),), "shapes do not agree"
    types = [str(values.dtype) for values in (symbols, spelled, ended)]
    assert types == [str(symbol_type(leaves.alphabet)), "int64", "bool"], f"types {', '.join(types)}"
    assert leaves.block == 0 or leaves.block >= leaves.depth, "depth and block do not agree"
    assert (spelled >= 0).all(), "a leaf spells fewer than 0 symbols"
    assert spelled.max() <= leaves.depth, "a leaf is longer than the depth"
    assert symbols.shape[1] == spelled.max(), "the width is not the longest leaf"
    assert (spelled[ended] < leaves.depth).all(), "an end of sequence at the cut"
    assert symbols.max(initial=0) < leaves.alphabet, "a symbol outside the alphabet"
    assert not symbols[np.arange(symbols.shape[1]) >= spelled[:, None]].any(), "padding that is not 0"
    shared, before, after = leaves.shared()[1:], spelled[:-1], spelled[1:]
    rows, parts = np.arange(1, leaves.size), shared < np.minimum(before, after)
    rises = symbols[rows[parts], shared[parts]] > symbols[rows[parts] - 1, shared[parts]]
    below = (shared == before) & (after > before)
    assert rises.all(), "leaves out of order"
    assert (parts | below).all(), "a leaf out of order, or twice"
    assert ended[:-1][below].all(), "a leaf below a cut node"
