"""Token trees on random input: recounts by dictionaries, pruning, chunks, files, pooling, common leaf sets, bad input."""

from __future__ import annotations

import warnings
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from elastomath import InputError, Mixture, chi_square
from elastomath.testing.strategies import documents, sequences, token_trees
from elastomath.trees.jointtree import JointTree, pruning_loss
from elastomath.trees.tokentree import TokenTree
from tests.examples import examples
from tests.layouts import assert_tree

common = examples(100)
depths = st.integers(1, 14)


def keyed(tree):
    """Each leaf as (what it spells, whether it is an EOS leaf), with its count."""
    rows = zip(tree.symbols, tree.spelled, tree.ended, tree.counts, strict=True)
    found = [((tuple(row[:size].tolist()), bool(ended)), count.item()) for row, size, ended, count in rows]
    assert len(dict(found)) == len(found)
    assert [key[0] for key, _ in found] == sorted(key[0] for key, _ in found)
    return dict(found)


def recounted(rows, depth, first_block=False):
    """The same from the definition: blocks in a dictionary; a block shorter than the depth ends in an EOS leaf."""
    starts = [range(0, min(len(row), depth) if first_block else len(row), depth) for row in rows]
    cut = [tuple(row[at : at + depth]) for row, places in zip(rows, starts, strict=True) for at in places]
    return dict(Counter((block, len(block) < depth) for block in cut))


def light(leaves, least):
    """Pruning from the definition: a leaf moves up to its highest prefix, below the depth, of fewer than ``least`` blocks."""
    inside = Counter()
    for (spelled, _), count in leaves.items():
        for level in range(len(spelled) + 1):
            inside[spelled[:level]] += count
    found = Counter()
    for (spelled, ended), count in leaves.items():
        levels = [level for level in range(len(spelled) + 1) if inside[spelled[:level]] < least]
        # a leaf's own node becomes a cut node too, where that joins nothing but its EOS leaf
        found[(spelled[: levels[0]], False) if levels else (spelled, ended)] += count
    return dict(found)


def same(one, other):
    mine, yours = one.leaf_set, other.leaf_set
    assert (mine.depth, mine.alphabet, mine.block) == (yours.depth, yours.alphabet, yours.block)
    pairs = [(mine.symbols, yours.symbols), (mine.spelled, yours.spelled), (mine.ended, yours.ended)]
    for a, b in [*pairs, (one.counts, other.counts)]:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def encoded(texts, unit):
    rows = [text.encode() if isinstance(text, str) else text for text in texts]
    return [list(row) if unit == "bytes" else [int(bit) for byte in row for bit in f"{byte:08b}"] for row in rows]


def flat(rows):
    return np.array([x for row in rows for x in row], dtype=np.int64), np.cumsum([0, *map(len, rows)])


# --- recounts -----------------------------------------------------------------------------------------------------
@common
@given(documents(), depths, st.sampled_from(["bytes", "bits"]), st.booleans())
def test_text_is_counted_as_a_dictionary_counts_it(texts, depth, unit, first):
    tree = TokenTree.of(texts, depth, unit, first_block=first)
    assert_tree(tree)
    rows = encoded(texts, unit)
    assert keyed(tree) == recounted(rows, depth, first)
    blocks = recounted(rows, depth, first)
    nodes = [len({key[:level] for key, _ in blocks if len(key) >= level}) for level in range(tree.symbols.shape[1] + 1)]
    assert tree.nodes_per_level().tolist() == nodes
    assert tree.nodes == sum(nodes) + sum(ended for _, ended in blocks)


@common
@given(sequences(), depths, st.booleans(), st.integers(1, 400))
def test_integers_of_every_layout_are_counted_as_a_dictionary_counts_them(drawn, depth, first, at_once):
    rows, alphabet = drawn
    values, offsets = flat(rows)
    whole = TokenTree.of_sequences(rows, depth, alphabet, first_block=first)
    assert_tree(whole)
    assert keyed(whole) == recounted(rows, depth, first)
    same(whole, TokenTree.of_sequences(values, depth, alphabet, offsets, first_block=first, at_once=at_once))
    same(
        whole,
        TokenTree.of_sequences([np.array(row, dtype=np.int64) for row in rows], depth, alphabet, first_block=first),
    )


# --- pruning ------------------------------------------------------------------------------------------------------
@common
@given(token_trees(), st.data())
def test_pruning_twice_is_pruning_once(tree, data):
    a, b = (data.draw(st.integers(0, tree.depth)) for _ in range(2))
    low = tree.prune(min(a, b))
    assert_tree(low)
    same(tree.prune(max(a, b)).prune(min(a, b)), low)
    summed = Counter()
    for (spelled, ended), count in keyed(tree).items():
        summed[spelled[: low.depth], ended and len(spelled) < low.depth] += count
    assert keyed(low) == dict(summed)


@common
@given(token_trees(), st.integers(1, 12), st.integers(1, 12), st.data())
def test_pruning_by_count(tree, a, b, data):
    pruned = tree.prune_by_count(a)
    assert_tree(pruned)
    assert pruned.blocks == tree.blocks
    assert keyed(pruned) == light(keyed(tree), a)
    same(pruned.prune_by_count(b), tree.prune_by_count(max(a, b)))
    layers = data.draw(st.integers(0, tree.depth))
    same(pruned.prune(layers), tree.prune(layers).prune_by_count(a))
    threshold = data.draw(st.floats(0, 1))
    least = next(c for c in range(1, tree.blocks + 2) if Fraction(c) >= Fraction(threshold) * tree.blocks)
    same(tree.prune_by_mass(threshold), tree.prune_by_count(least))


@common
@given(st.lists(documents(most=3, longest=10), min_size=2, max_size=3), st.integers(1, 6), st.integers(1, 9))
def test_what_pruning_takes_is_within_its_bounds(parts, depth, least):
    fine = JointTree.of([TokenTree.of(texts, depth) for texts in parts])
    coarse = fine.prune_by_count(least)
    loss = pruning_loss(fine, coarse)
    pairs = [(loss.cross_entropy, loss.cross_entropy_bound), (loss.kl, loss.kl_bound), (loss.rate, loss.rate_bound)]
    for lost, bound in pairs:
        assert (lost >= -1e-12).all()
        assert (lost <= bound + 1e-12).all()
    if least > 2:  # r <= c - 1
        assert (loss.cross_entropy_bound <= loss.merged * np.log(least - 1) + 1e-12).all()


# --- chunks, files, pooling ---------------------------------------------------------------------------------------
@common
@given(sequences(most=8), depths, st.data(), st.integers(1, 300))
def test_chunks_give_the_tree_of_the_whole(drawn, depth, data, at_once):
    rows, alphabet = drawn
    edges = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    chunks = [rows[low:high] for low, high in zip([0, *edges], [*edges, len(rows)], strict=True)]
    same(
        TokenTree.of_chunks((c for c in chunks if c), depth, alphabet, at_once=at_once),
        TokenTree.of_sequences(rows, depth, alphabet),
    )
    values, _ = flat(rows)
    edges = sorted(data.draw(st.lists(st.integers(0, values.size), max_size=6)))
    same(
        TokenTree.of_chunks(np.split(values, edges), depth, alphabet, joined=True, at_once=at_once),
        TokenTree.of_sequences(values, depth, alphabet),
    )


@common
@given(st.lists(documents(most=3, longest=10), min_size=2, max_size=3), depths, st.data())
def test_a_common_leaf_set_adds_what_each_tree_has(parts, depth, data):
    trees = [TokenTree.of(texts, depth) for texts in parts]
    joint = JointTree.of(trees)
    for row, tree in zip(joint.counts, trees, strict=True):  # uncut: nothing is lost
        assert {k: c for k, c in keyed(TokenTree(joint.leaf_set, row)).items() if c} == keyed(tree)
        np.testing.assert_allclose(row[row > 0] / row.sum(), tree.masses, rtol=1e-15)
    layers = data.draw(st.integers(0, depth))
    coarse = joint.prune(layers)
    for row, tree in zip(coarse.counts, trees, strict=True):
        assert {k: c for k, c in keyed(TokenTree(coarse.leaf_set, row)).items() if c} == keyed(tree.prune(layers))
    assert coarse.counts.sum() == joint.counts.sum()


@common
@given(st.lists(documents(most=3, longest=10), min_size=3, max_size=3), depths, st.data())
def test_t_never_rises_under_pruning(parts, depth, data):
    """R10: chi^2(P_t || q) of the top layers is at most that of the whole."""
    joint = JointTree.of([TokenTree.of(texts, depth) for texts in parts])
    weights = data.draw(st.lists(st.floats(0.01, 100), min_size=3, max_size=3))
    seen = []
    for layers in range(min(depth, 10) + 1):
        mixture = Mixture.of(joint.prune(layers).masses, weights)
        seen.append(chi_square(mixture.components[-1], mixture.masses))
    assert seen[0] == pytest.approx(0, abs=1e-12)
    assert (np.diff(seen) >= -1e-12 * (1 + np.abs(seen[1:]))).all()
    by_count = Mixture.of(joint.prune_by_count(3).masses, weights)
    whole = joint.mixture(weights)
    assert (
        chi_square(by_count.components[-1], by_count.masses)
        <= chi_square(whole.components[-1], whole.masses) * (1 + 1e-12) + 1e-12
    )


# --- bad input ----------------------------------------------------------------------------------------------------
def refused(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError) as caught:
            call()
    assert "\n" not in str(caught.value)


@common
@given(sequences(), st.data())
def test_one_bad_symbol_is_refused_in_every_layout(drawn, data):
    rows, alphabet = drawn
    at = data.draw(st.sampled_from([i for i, row in enumerate(rows) if row]))
    place = data.draw(st.integers(0, len(rows[at]) - 1))
    bad = data.draw(st.sampled_from([-1, alphabet, 1 << 40, 0.5, 1.0, float("nan"), float("inf"), "1", b"1", None, 1j]))
    rows = [list(row) for row in rows]
    rows[at][place] = bad
    refused(lambda: TokenTree.of_sequences(rows, 3, alphabet))
    refused(lambda: TokenTree.of_chunks([rows], 3, alphabet))
    if isinstance(bad, int | float):
        values = np.array([x for row in rows for x in row])
        offsets = np.cumsum([0, *map(len, rows)])
        refused(lambda: TokenTree.of_sequences(values, 3, alphabet, offsets))
        refused(lambda: TokenTree.of_chunks([values], 3, alphabet, joined=True))


@pytest.mark.parametrize("depth", [0, -1, 1.0, float("nan"), None, "2", True, 1 << 63])
@pytest.mark.parametrize("build", [TokenTree.of, lambda rows, depth: TokenTree.of_sequences([[1]], depth, 2)])
def test_bad_depths(build, depth):
    refused(lambda: build([b"ab"], depth))


@pytest.mark.parametrize("texts", [[], [b""], ["", b""], "ab", b"ab", None, 3, [3], [None], [["a"]], ["\ud800"], [1.5]])
def test_bad_documents(texts):
    refused(lambda: TokenTree.of(texts, 2))


@pytest.mark.parametrize(
    "offsets", [[], [0], [1, 3], [0, 2], [0, 2, 1, 3], [0, -1, 3], [0, 1.5, 3], [[0, 3]], ["0", "3"], [0, 4]]
)
def test_bad_offsets(offsets):
    refused(lambda: TokenTree.of_sequences(np.arange(3), 2, 3, offsets))


@common
@given(documents(), st.integers(1, 1 << 62))
def test_a_depth_beyond_the_data_is_the_whole_sequence(texts, beyond):
    longest = max(map(len, encoded(texts, "bytes")))
    assume(longest + beyond <= 1 << 62)
    tree = TokenTree.of(texts, longest + beyond)
    assert tree.ended.all()
    assert keyed(tree) == dict(Counter((tuple(row), True) for row in encoded(texts, "bytes") if row))
    assert tree.symbols.shape[1] == longest


@common
@given(token_trees())
def test_pruning_refuses_what_is_no_depth_count_or_mass(tree):
    for depth in (-1, tree.depth + 1, 0.5, None):
        refused(lambda depth=depth: tree.prune(depth))
    for count in (0, -1, 1.5, True, None, "2", float("nan")):
        refused(lambda count=count: tree.prune_by_count(count))
    for share in (-1e-300, 1.0000001, float("nan"), float("inf"), None, "0.1", True):
        refused(lambda share=share: tree.prune_by_mass(share))
    same(tree.prune_by_count(1), tree)
    assert tree.prune_by_count(tree.blocks + 1).leaves == 1
    assert tree.prune(0).masses.tolist() == [1.0]
