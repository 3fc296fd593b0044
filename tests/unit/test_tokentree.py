"""Token trees: counted again by dictionaries, and the laws of pruning."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError, entropy
from elastomath.tokentree import TokenTree, common_leaf_set

DOCUMENTS = st.lists(st.binary(max_size=20), min_size=1, max_size=8).filter(any)
# few symbols, 0 among them: many shared prefixes, and padding that looks like text
CLOSE = st.lists(st.lists(st.sampled_from([0, 1, 255]), max_size=14).map(bytes), min_size=1, max_size=8).filter(any)
UNITS = st.sampled_from(["bytes", "bits"])


def blocks_of(documents, depth, unit, first_block=False):
    """The blocks as tuples of symbols, one at a time: the definition, slowly."""
    found = []
    for document in documents:
        symbols = list(document) if unit == "bytes" else [byte >> (7 - i) & 1 for byte in document for i in range(8)]
        cut = [tuple(symbols[i : i + depth]) for i in range(0, len(symbols), depth)]
        found += cut[:1] if first_block else cut
    return found


def leaves_of(tree):
    return {tuple(row[:n].tolist()): int(c) for row, n, c in zip(tree.symbols, tree.spelled, tree.counts, strict=True)}


@given(st.one_of(DOCUMENTS, CLOSE), st.integers(1, 21), UNITS, st.booleans())
def test_leaves_and_counts_are_those_of_a_dictionary(documents, depth, unit, first_block):
    blocks = blocks_of(documents, depth, unit, first_block)
    tree = TokenTree.of(documents, depth, unit, first_block=first_block)
    assert leaves_of(tree) == Counter(blocks)
    assert tree.leaves == len(set(blocks))
    assert tree.blocks == len(blocks)
    if not first_block:
        sizes = [len(d) * (8 if unit == "bits" else 1) for d in documents]
        assert tree.blocks == sum(-(-size // depth) for size in sizes)
        assert int(tree.counts @ tree.spelled) == sum(sizes)


@given(st.one_of(DOCUMENTS, CLOSE), st.integers(1, 21), UNITS)
def test_rows_are_in_order_with_the_end_of_sequence_first(documents, depth, unit):
    tree = TokenTree.of(documents, depth, unit)
    spelled = list(leaves_of(tree))
    assert spelled == sorted(spelled)  # a tuple sorts before every tuple that it begins
    assert not any(row[n:].any() for row, n in zip(tree.symbols, tree.spelled, strict=True))


@given(st.one_of(DOCUMENTS, CLOSE), st.integers(1, 12), UNITS)
def test_an_inner_node_carries_the_sum_of_its_children(documents, depth, unit):
    tree, blocks = TokenTree.of(documents, depth, unit), blocks_of(documents, depth, unit)
    for level in range(depth + 1):
        prefixes = Counter(block[:level] for block in blocks if len(block) >= level)
        nodes = [prefixes[key] for key in sorted(prefixes)]
        assert tree.node_counts(level).tolist() == nodes
        assert tree.nodes_per_level()[level] == len(nodes)
        # children: the next level, and the EOS leaves of blocks that end here
        if level < depth:
            ended = int(tree.counts[tree.spelled == level].sum()) if level else 0
            assert sum(nodes) == int(tree.node_counts(level + 1).sum()) + ended


@given(st.one_of(DOCUMENTS, CLOSE), st.integers(1, 12), st.integers(1, 12), UNITS, st.booleans())
def test_pruning_is_the_tree_of_the_first_symbols_of_every_block(documents, depth, less, unit, first_block):
    less = min(depth, less)
    tree = TokenTree.of(documents, depth, unit, first_block=first_block)
    pruned = tree.prune(less)
    assert leaves_of(pruned) == Counter(b[:less] for b in blocks_of(documents, depth, unit, first_block))
    assert list(leaves_of(pruned)) == sorted(leaves_of(pruned))
    assert pruned.blocks == tree.blocks
    assert entropy(pruned.masses) <= entropy(tree.masses) + 1e-12
    if first_block:
        assert leaves_of(pruned) == leaves_of(TokenTree.of(documents, less, unit, first_block=True))
    for least in range(1, less + 1):
        assert leaves_of(pruned.prune(least)) == leaves_of(tree.prune(least))


def test_pruning_a_tree_of_all_blocks_is_not_the_tree_of_smaller_blocks():
    tree = TokenTree.of([b"abcd"], 4)
    assert leaves_of(tree.prune(2)) == {(97, 98): 1}
    assert leaves_of(TokenTree.of([b"abcd"], 2)) == {(97, 98): 1, (99, 100): 1}


@given(st.lists(st.one_of(DOCUMENTS, CLOSE), min_size=1, max_size=4), st.integers(1, 12), UNITS)
def test_a_common_leaf_set_aligns_the_datasets(datasets, depth, unit):
    masses, spelled = common_leaf_set([TokenTree.of(documents, depth, unit) for documents in datasets])
    counts = [Counter(blocks_of(documents, depth, unit)) for documents in datasets]
    leaves = sorted(set().union(*counts))
    assert spelled.tolist() == [len(leaf) for leaf in leaves]
    expected = [[row[leaf] / row.total() for leaf in leaves] for row in counts]
    np.testing.assert_array_equal(masses, expected)


def test_text_is_utf8_and_a_full_last_block_has_no_eos_leaf():
    tree = TokenTree.of(["é!", ""], depth=3)
    assert leaves_of(tree) == {(0xC3, 0xA9, 0x21): 1}
    assert leaves_of(TokenTree.of(["é!"], depth=4)) == {(0xC3, 0xA9, 0x21): 1}
    assert TokenTree.of(["é!"], depth=4).spelled.tolist() == [3]
    assert TokenTree.of([b"\x80"], 8, "bits").spell(0) == "10000000"


def test_depth_beyond_every_document_costs_no_memory():
    tree = TokenTree.of(["ab", "c"], depth=10**9)
    assert tree.symbols.shape == (2, 2)
    assert tree.node_counts(2).tolist() == [1]
    assert tree.node_counts(3).tolist() == []


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TokenTree.of(["a"], 0), "depth 0"),
        (lambda: TokenTree.of(["a"], 2, "words"), "unknown unit 'words'"),
        (lambda: TokenTree.of(["", b""], 2), "no symbol in 2 documents"),
        (lambda: TokenTree.of([], 2), "no symbol in 0 documents"),
        (lambda: TokenTree.of("text", 2), "one text in place of a list"),
        (lambda: TokenTree.of(["a", "\ud800"], 2), "document 1"),
        (lambda: TokenTree.of([b"a" * 70_000] + [b"b"] * 70_000, 70_001), "do not fit"),
        (lambda: TokenTree.of(["a"], 2).prune(3), "prune to 1 ... 2"),
        (lambda: TokenTree.of(["a"], 2).node_counts(3), "level 3"),
        (lambda: common_leaf_set([]), "no token tree"),
        (lambda: common_leaf_set([TokenTree.of(["a"], 2), TokenTree.of(["a"], 3)]), "same depth and unit"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()
