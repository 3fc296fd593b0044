"""Token trees by hand: each shape of input, the limits, every bad input, chunks under a memory limit, files."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from elastomath import InputError, entropy
from elastomath.trees import tokentree
from elastomath.trees.jointtree import JointTree, pruning_loss
from elastomath.trees.leafset import LeafSet
from elastomath.trees.tokentree import TokenTree
from tests.layouts import assert_leaves, assert_tree


def leaves_of(tree):
    return {tuple(row[:n].tolist()): int(c) for row, n, c in zip(tree.symbols, tree.spelled, tree.counts, strict=True)}


def same(one, other):
    """Every array and every number, with its type."""
    mine, yours = one.leaf_set, other.leaf_set
    pairs = [(mine.symbols, yours.symbols), (mine.spelled, yours.spelled), (mine.ended, yours.ended)]
    pairs.append((one.counts, other.counts))
    return (mine.depth, mine.alphabet, mine.block) == (yours.depth, yours.alphabet, yours.block) and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs
    )


def test_pruning_a_tree_of_all_blocks_is_not_the_tree_of_smaller_blocks():
    tree = TokenTree.of([b"abcd"], 4)
    assert leaves_of(tree.prune(2)) == {(97, 98): 1}
    assert leaves_of(TokenTree.of([b"abcd"], 2)) == {(97, 98): 1, (99, 100): 1}
    with pytest.raises(InputError, match="blocks of 4 bytes and of blocks of 2 bytes"):
        JointTree.of([tree.prune(2), TokenTree.of([b"abcd"], 2)])


def test_text_is_utf8_and_a_full_last_block_has_no_eos_leaf():
    tree = TokenTree.of(["é!", ""], depth=3)
    assert leaves_of(tree) == {(0xC3, 0xA9, 0x21): 1}
    assert leaves_of(TokenTree.of(["é!"], depth=4)) == {(0xC3, 0xA9, 0x21): 1}
    assert TokenTree.of(["é!"], depth=4).spelled.tolist() == [3]
    assert TokenTree.of(["é!"], depth=4).ended.tolist() == [True]
    assert TokenTree.of(["é!"], depth=3).ended.tolist() == [False]
    assert TokenTree.of([b"\x80"], 8, "bits").spell(0) == "10000000"


@pytest.mark.parametrize("depth", [10**9, 2**62])
def test_depth_beyond_every_document_costs_no_memory(depth):
    tree = TokenTree.of(["ab", "c"], depth=depth)
    assert tree.symbols.shape == (2, 2)
    assert tree.nodes_per_level().tolist() == [1, 2, 1]
    assert leaves_of(tree.prune(2)) == leaves_of(TokenTree.of(["ab", "c"], depth=2))


def test_depth_0_is_the_root():
    tree = TokenTree.of(["abc", "bcd", "b"], 3).prune(0)
    assert_tree(tree)
    assert (tree.leaves, tree.nodes, tree.blocks) == (1, 1, 3)
    assert tree.symbols.shape == (1, 0)
    assert tree.spell(0) == b""
    assert entropy(tree.masses) == 0
    assert same(tree.prune(0), tree)
    assert TokenTree.of_masses([1.0], 0).masses.tolist() == [1.0]
    assert JointTree.of([tree, TokenTree.of(["xyz"], 3)]).counts.tolist() == [[3], [1]]


def test_the_shapes_of_integer_sequences_give_one_tree():
    rows = np.array([[7, 250_000, 3], [7, 250_000, 4], [0, 0, 0]])
    tree = TokenTree.of_sequences(rows, 2, 1 << 18)
    assert leaves_of(tree) == {(0, 0): 1, (7, 250_000): 2, (0,): 1, (3,): 1, (4,): 1}
    assert tree.symbols.dtype == np.uint32
    for kind in (np.int32, np.uint32, np.uint64, ">i4", np.int64):
        assert same(TokenTree.of_sequences(rows.astype(kind), 2, 1 << 18), tree)
    assert same(TokenTree.of_sequences(rows.tolist(), 2, 1 << 18), tree)
    assert same(TokenTree.of_sequences(np.asfortranarray(rows), 2, 1 << 18), tree)
    assert same(TokenTree.of_sequences(rows[::-1], 2, 1 << 18), tree)
    assert same(TokenTree.of_sequences(list(rows), 2, 1 << 18), tree)
    assert same(TokenTree.of_sequences(tuple(map(tuple, rows)), 2, 1 << 18), tree)
    assert same(TokenTree.of_sequences(rows.ravel(), 2, 1 << 18, offsets=[0, 3, 3, 6, 9]), tree)
    one = TokenTree.of_sequences(rows.ravel(), 9, 1 << 18)
    assert leaves_of(one) == {tuple(rows.ravel().tolist()): 1}
    assert same(
        TokenTree.of_sequences([rows[0].astype(np.uint64), rows[1], rows[2].astype(np.uint8)], 2, 1 << 18), tree
    )


def test_alphabets_of_bytes_and_bits_are_those_of_text():
    text, bits = [b"abcab", b"b"], [np.unpackbits(np.frombuffer(d, dtype=np.uint8)) for d in (b"abcab", b"b")]
    assert same(TokenTree.of_sequences([list(d) for d in text], 3, 256), TokenTree.of(text, 3))
    assert same(TokenTree.of_sequences(bits, 3, 2), TokenTree.of(text, 3, "bits"))
    assert same(TokenTree.of_sequences([b.astype(bool) for b in bits], 3, 2), TokenTree.of(text, 3, "bits"))
    assert TokenTree.of(text, 3, "bits").unit == "bits"
    assert TokenTree.of_sequences([[1, 2]], 3, 3).unit == "tokens"


@pytest.mark.parametrize(
    "alphabet", [2, 3, 16, 27, 128, 129, 256, 257, 50_257, 1 << 16, (1 << 16) + 1, 1 << 18, 1 << 32]
)
def test_the_largest_symbol_of_every_alphabet_keeps_its_place(alphabet):
    top = alphabet - 1
    rows = [[0] * 70, [top] * 70, [0] * 69 + [top], [top] + [0] * 69, [0, top], [0]]
    tree = TokenTree.of_sequences(rows, 80, alphabet)
    assert list(leaves_of(tree)) == sorted(map(tuple, rows))
    assert_tree(tree)
    assert int(tree.symbols.max()) == top


def test_a_complete_tree_is_coarse_grained_by_pruning():
    rng = np.random.default_rng(3)
    weights = rng.integers(1, 1 << 50, 3**5)
    tree = TokenTree.of_masses(weights, 5, 3)
    assert_tree(tree)
    assert tree.leaves == 243
    assert tree.nodes_per_level().tolist() == [3**level for level in range(6)]
    for depth in range(6):
        expected = [sum(map(int, part)) for part in weights.reshape(3**depth, -1)]
        assert tree.prune(depth).counts.tolist() == expected
    masses = weights / weights.sum()
    light = TokenTree.of_masses(masses, 5, 3)
    assert not light.exact
    assert light.counts.dtype == np.float64
    np.testing.assert_allclose(light.prune(2).masses, masses.reshape(9, -1).sum(axis=1), rtol=1e-14)
    sparse = TokenTree.of_masses([0, 3, 0, 0, 1, 0, 0, 0], 3)
    assert [(sparse.spell(i), int(c)) for i, c in enumerate(sparse.counts)] == [("001", 3), ("100", 1)]
    assert TokenTree.of_masses([5e-324, 1.0], 1).counts.tolist() == [5e-324, 1.0]


def test_leaves_with_masses_end_or_are_cut_and_equal_ones_add():
    tree = TokenTree.of_leaves([[1, 1], [], [1], [0, 2], [1], [2]], [0.25, 0.125, 0.125, 0.25, 0.25, 0], 2, 3)
    assert_tree(tree)
    assert [tree.spell(leaf) for leaf in range(4)] == [(), (0, 2), (1,), (1, 1)]
    assert tree.masses.tolist() == [0.125, 0.25, 0.375, 0.25]
    assert tree.ended.tolist() == [True, False, True, False]
    with pytest.raises(InputError, match="no blocks"):
        tree.blocks  # noqa: B018
    with pytest.raises(InputError, match="no blocks"):
        tree.prune_by_count(2)


def test_counts_are_exact_beyond_the_digits_of_a_float():
    tree = TokenTree.of_leaves([[0], [1], [2]], [2**53, 1, 2**62], 1, 3)
    assert tree.blocks == 2**62 + 2**53 + 1
    assert tree.prune(0).counts.tolist() == [2**62 + 2**53 + 1]
    # c(v) < threshold * sum c decided exactly, where floats would be equal
    heavy = TokenTree.of_leaves([[0, 0], [0, 1], [1, 0], [1, 1]], [2**52 - 1, 1, 2**52, 1], 2, 2)
    assert heavy.prune_by_mass(0.5).masses.size == 3
    assert [heavy.prune_by_mass(0.5).spell(i) for i in range(3)] == ["0", "10", "11"]


def test_pooled_counts_beyond_sixty_four_bits_are_pruned_as_they_are():
    """Two datasets of 2^63 - 1 blocks each: the sums of their columns wrapped round, and everything was cut off."""
    tree = TokenTree.of_leaves([[0], [1], [2]], [2**62, 2**62 - 2, 1], 1, 3)
    joint = JointTree.of([tree, tree])
    for pruned in (
        joint.prune_by_count(2),
        joint.prune_by_mass(0.3),
        joint.prune_by_mass(1.0),
        joint.prune_by_count(2**64 - 2),
    ):
        assert pruned.counts.tolist() == joint.counts.tolist()
    assert joint.prune_by_count(2**64 - 1).counts.tolist() == [[2**63 - 1]] * 2


def test_the_root_of_masses_is_never_lighter_than_one():
    """Its mass is 1, which a sum of floats may miss by an ulp: a fifth of such trees were cut down to the root."""
    random = np.random.default_rng(0)
    for size in range(2, 60):
        masses = random.dirichlet(np.ones(size), 2)
        trees = [TokenTree.of_leaves([[i] for i in range(size)], row, 1, 64) for row in masses]
        assert [tree.prune_by_mass(1.0).leaves for tree in trees] == [size, size]
        assert JointTree.of(trees).prune_by_mass(1.0, [3, 1]).leaves == size


def test_pruning_by_mass_by_hand():
    tree = TokenTree.of(["aab", "aac", "aad", "aa", "b", "ba"], depth=3)
    leaves = {count: [pruned.spell(i) for i in range(pruned.leaves)] for count in (1, 2, 3, 4, 5, 6, 7) for pruned in
              [tree.prune_by_count(count)]}  # fmt: skip
    assert leaves[1] == [b"aa", b"aab", b"aac", b"aad", b"b", b"ba"]
    assert leaves[2] == leaves[1]
    assert tree.prune_by_count(1).ended.tolist() == [True, False, False, False, True, True]
    assert tree.prune_by_count(2).ended.tolist() == [True, False, False, False, True, False]  # ba: its EOS is cut
    assert leaves[3] == leaves[4] == [b"aa", b"aab", b"aac", b"aad", b"b"]
    assert leaves[5] == leaves[6] == [b"a", b"b"]
    assert leaves[7] == [b""]
    assert tree.prune_by_count(10**30).leaves == 1
    assert tree.prune_by_mass(0).leaves == tree.leaves
    assert tree.prune_by_mass(1.0).leaves == 2
    assert tree.prune_by_mass(2 / 3).counts.tolist() == [1, 1, 1, 1, 2]  # 4/6 is below the float 2/3? no: it is not
    assert tree.prune_by_mass(np.nextafter(2 / 3, 1)).counts.tolist() == [4, 2]


def test_trees_that_are_cut_at_different_places_meet_in_their_common_coarsening():
    fine = TokenTree.of(["aab", "aac", "ab", "a", "b"], depth=3)
    light, top = (
        TokenTree.of(["aab", "b", "ca", "cb"], depth=3).prune_by_count(3),
        TokenTree.of(["aab", "b"], 3).prune(1),
    )
    joint = JointTree.of([fine, light])
    assert_leaves(joint.leaf_set)
    assert [joint.leaf_set.spell(leaf) for leaf in range(joint.leaves)] == [b"a", b"b", b"c"]
    assert joint.counts.tolist() == [[4, 1, 0], [1, 1, 2]]
    assert joint.leaf_set.ended.tolist() == [False, False, False]
    both = JointTree.of([fine, top])
    assert [both.leaf_set.spell(leaf) for leaf in range(both.leaves)] == [b"a", b"b"]
    # what one has cut and the other never saw needs no merging
    apart = JointTree.of([TokenTree.of(["aab"], 3).prune(1), TokenTree.of(["bab", "baa", "b"], 3)])
    assert [apart.leaf_set.spell(leaf) for leaf in range(apart.leaves)] == [b"a", b"b", b"baa", b"bab"]
    # a cut node holds its own EOS leaf
    eos = JointTree.of([TokenTree.of(["a"], 2), TokenTree.of(["ab"], 2).prune(1)])
    assert eos.counts.tolist() == [[1], [1]]
    assert eos.leaf_set.ended.tolist() == [False]


def test_the_bounds_on_the_loss_are_attained():
    # every cut node of 4 single leaves, all of 3 symbols; counts below 5
    rows = [[0, first, last] for first in range(2) for last in range(4)] + [[1, 1, 1]] * 8
    joint = JointTree.of([TokenTree.of_sequences(rows, 3, 4)])
    loss = pruning_loss(joint, joint.prune_by_count(5))
    assert loss.merged.tolist() == [0.5]
    for lost, bound, value in (
        (loss.cross_entropy, loss.cross_entropy_bound, 0.5 * np.log(4)),
        (loss.rate, loss.rate_bound, 0.5 * np.log(4) / 3),
        (loss.kl, loss.kl_bound, 0.0),
    ):
        assert lost[0] == pytest.approx(value, rel=1e-14, abs=1e-15)
        assert bound[0] == pytest.approx(value, rel=1e-14)
    # two datasets with nothing in common below the cut, in the same proportion everywhere: the KL bound is attained
    mine, yours = ([[node, leaf] for node in range(3) for leaf in side] for side in ((0,), (1, 2, 3)))
    pair = JointTree.of([TokenTree.of_sequences(mine, 2, 4), TokenTree.of_sequences(yours, 2, 4)])
    loss = pruning_loss(pair, pair.prune(1))
    np.testing.assert_allclose(loss.kl, np.log([4, 4 / 3]), rtol=1e-14)
    np.testing.assert_allclose(loss.kl_bound, loss.kl, rtol=1e-14)
    # and the bound N tau / (e w_i) by the merged mass alone, where w_i tau_i = N tau / e
    share = 1 / np.e
    masses = TokenTree.of_masses([share, 1 - share, 0, 0], 2)
    volumes = np.array([1.0, 1.0])
    others = TokenTree.of_masses([0, 0, 0.5, 0.5], 2)
    two = JointTree.of([masses, others])
    loss = pruning_loss(two, two.prune(1), volumes)
    assert (loss.kl_bound <= volumes.sum() * (volumes / 2 @ loss.merged) / (np.e * volumes) + 1e-15).all()


def test_a_rate_per_symbol_of_the_cut_node_may_rise():
    """Why the rate of `pruning_loss` keeps each block's own length: nothing is lost per block, and -log2 q / s doubles."""
    joint = JointTree.of([TokenTree.of(["ab", "cd"], 2)])
    pruned = joint.prune_by_count(2)
    loss = pruning_loss(joint, pruned)
    assert loss.cross_entropy.tolist() == loss.rate.tolist() == [0.0]
    q = joint.masses[0]
    assert q @ (-np.log2(q) / pruned.leaf_set.spelled) == 2 * (q @ (-np.log2(q) / joint.leaf_set.spelled))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TokenTree.of(["a"], 0), "depth is 0"),
        (lambda: TokenTree.of(["a"], -1), "depth is -1"),
        (lambda: TokenTree.of(["a"], 2.0), "depth is 2.0"),
        (lambda: TokenTree.of(["a"], True), "depth is True"),
        (lambda: TokenTree.of(["a"], "2"), "depth is '2'"),
        (lambda: TokenTree.of(["a"], None), "depth is None"),
        (lambda: TokenTree.of(["a"], 2**63), "depth is 9223372036854775808"),
        (lambda: TokenTree.of(["a"], 2, "words"), "unknown unit 'words'"),
        (lambda: TokenTree.of(["", b""], 2), "no symbol in 2 documents"),
        (lambda: TokenTree.of([], 2), "no symbol in 0 documents"),
        (lambda: TokenTree.of("text", 2), "one text in place of a list"),
        (lambda: TokenTree.of(b"text", 2), "one text in place of a list"),
        (lambda: TokenTree.of(5, 2), "int in place of documents"),
        (lambda: TokenTree.of(None, 2), "NoneType in place of documents"),
        (lambda: TokenTree.of(["a", 3], 2), "document 1"),
        (lambda: TokenTree.of([["a"]], 2), "a list, neither text nor bytes"),
        (lambda: TokenTree.of(["a", "\ud800"], 2), "document 1"),
        (lambda: TokenTree.of(["a"], 2).prune(3), ">= 0 and <= 2"),
        (lambda: TokenTree.of(["a"], 2).prune(-1), ">= 0 and <= 2"),
        (lambda: TokenTree.of(["a"], 2).prune(1.5), "depth is 1.5"),
        (lambda: TokenTree.of(["a"], 2).prune_by_count(0), "least count is 0"),
        (lambda: TokenTree.of(["a"], 2).prune_by_count(2.0), "least count is 2.0"),
        (lambda: TokenTree.of(["a"], 2).prune_by_mass(1.5), "threshold is 1.5"),
        (lambda: TokenTree.of(["a"], 2).prune_by_mass(float("nan")), "threshold is nan"),
        (lambda: TokenTree.of(["a"], 2).prune_by_mass("0.5"), "threshold is no number"),
        (lambda: TokenTree.of_sequences([[1]], 2, 1), "alphabet is 1"),
        (lambda: TokenTree.of_sequences([[1]], 2, 2.0), "alphabet is 2.0"),
        (lambda: TokenTree.of_sequences([[1]], 2, (1 << 32) + 1), "alphabet is 4294967297"),
        (lambda: TokenTree.of_sequences([[0, 1], [2, 3]], 2, 3), "symbol 1 is 3 .sequence 1.: an alphabet of 3 has 0 to 2"),
        (lambda: TokenTree.of_sequences([[0, -1]], 2, 3), "symbol 1 is -1"),
        (lambda: TokenTree.of_sequences(np.array([[0, 1], [9, 1]]), 2, 3), "symbol 2 is 9"),
        (lambda: TokenTree.of_sequences(np.array([[-5]], dtype=np.int8), 2, 3), "symbol 0 is -5"),
        (lambda: TokenTree.of_sequences([[2**63]], 2, 3), "symbol 0 is 9223372036854775808"),
        (lambda: TokenTree.of_sequences([[10**30]], 2, 3), "type object"),
        (lambda: TokenTree.of_sequences([[0.0, 1.0]], 2, 3), "type float64"),
        (lambda: TokenTree.of_sequences([[0, float("nan")]], 2, 3), "symbol 1 is nan"),
        (lambda: TokenTree.of_sequences(np.array([[0, np.inf]]), 2, 3), "symbol 1 is inf"),
        (lambda: TokenTree.of_sequences([[1j]], 2, 3), "type complex128"),
        (lambda: TokenTree.of_sequences(["abc"], 2, 256), "type <U3"),
        (lambda: TokenTree.of_sequences([[None]], 2, 3), "type object"),
        (lambda: TokenTree.of_sequences(None, 2, 3), "type object"),
        (lambda: TokenTree.of_sequences([[[1]]], 2, 3), r"shape \(1, 1\)"),
        (lambda: TokenTree.of_sequences([[[1], [1, 2]]], 2, 3), "do not form an array"),
        (lambda: TokenTree.of_sequences([1, 2], 2, 3), "one sequence in place of a list"),
        (lambda: TokenTree.of_sequences(np.int64(3), 2, 4), r"shape \(\)"),
        (lambda: TokenTree.of_sequences(np.zeros((1, 1, 1), dtype=int), 2, 3), r"shape \(1, 1, 1\)"),
        (lambda: TokenTree.of_sequences(np.zeros((3, 0), dtype=int), 2, 3), "no symbol in 3 sequences"),
        (lambda: TokenTree.of_sequences([], 2, 3), "no symbol in 0 sequences"),
        (lambda: TokenTree.of_sequences([[], []], 2, 3), "no symbol in 2 sequences"),
        (lambda: TokenTree.of_sequences(np.ma.array([1, 2], mask=[0, 1]), 2, 3), "masked"),
        (lambda: TokenTree.of_sequences([1, 2], 2, 3, offsets=[0, 1]), "offsets from 0 to 1 over 2"),
        (lambda: TokenTree.of_sequences([1, 2], 2, 3, offsets=[0, 2, 1, 2]), "fall from 2 to 1"),
        (lambda: TokenTree.of_sequences([1, 2], 2, 3, offsets=[0, 9, 2], at_once=64), "an offset of 9"),
        (lambda: TokenTree.of_sequences([1, 2], 2, 3, offsets=[1, 2]), "begin at 0"),
        (lambda: TokenTree.of_sequences([1, 2], 2, 3, offsets=[]), "n \\+ 1 offsets"),
        (lambda: TokenTree.of_sequences([1, 2], 2, 3, offsets=[0.0, 2.0]), "type float64"),
        (lambda: TokenTree.of_sequences([[1, 2]], 2, 3, offsets=[0, 2]), "one dimension"),
        (lambda: TokenTree.of_chunks([], 2), "no symbol in 0 chunks"),
        (lambda: TokenTree.of_chunks([[b""], [""]], 2), "no symbol in 2 chunks"),
        (lambda: TokenTree.of_chunks([b"abc"], 2), "joined=True"),
        (lambda: TokenTree.of_chunks([["abc"]], 2, 300), "text over 300 symbols"),
        (lambda: TokenTree.of_chunks([b"abc", ["a"]], 2, joined=True), "type <U1"),
        (lambda: TokenTree.of_chunks([[[1]]], 2, 4, joined=True), "a chunk of 2 dimensions"),
        (lambda: TokenTree.of_chunks([b"abc"], 2, joined=True, first_block=True), "first block of one joined"),
        (lambda: TokenTree.of_chunks([np.array([[3]])], 2, 3), "symbol 0 is 3"),
        (lambda: TokenTree.of_masses([0.5, 0.5], 2), "2 masses for a complete tree of depth 2"),
        (lambda: TokenTree.of_masses([0.5, 0.5], 10**9), "complete tree"),
        (lambda: TokenTree.of_masses([0.5, 0.6], 1), "sum to 1.1"),
        (lambda: TokenTree.of_masses([float("nan"), 1], 1), "nan"),
        (lambda: TokenTree.of_masses([1.5, -0.5], 1), "-0.5"),
        (lambda: TokenTree.of_masses([2, -1], 1), "counts that are no weights"),
        (lambda: TokenTree.of_masses([0, 0], 1), "counts that are no weights"),
        (lambda: TokenTree.of_masses([2**62, 2**62], 1), "2\\^63"),
        (lambda: TokenTree.of_masses(np.array([2**63, 2**63], dtype=np.uint64), 1), "2\\^63"),
        (lambda: TokenTree.of_masses([[1, 2]], 1), "counts that are no weights"),
        (lambda: TokenTree.of_masses([], 1), "no|shape"),
        (lambda: TokenTree.of_leaves([[1]], [1, 2], 1, 3), "2 weights for 1 leaves"),
        (lambda: TokenTree.of_leaves([[1, 1]], [1], 1, 3), "leaf 0 spells 2 symbols"),
        (lambda: JointTree.of([]), "no token tree"),
        (lambda: JointTree.of([TokenTree.of(["a"], 2), TokenTree.of(["a"], 3)]), "same alphabet and depth of blocks"),
        (lambda: JointTree.of([TokenTree.of(["a"], 2), TokenTree.of(["a"], 2, "bits")]), "bytes and of blocks of 2 bits"),
        (lambda: JointTree.of([TokenTree.of(["a"], 2), TokenTree.of(["a"], 2, first_block=True)]), "whole sequences of bytes"),
        (lambda: JointTree.of([TokenTree.of(["a"], 2)]).prune(3), ">= 0 and <= 2"),
        (lambda: JointTree.of([TokenTree.of_masses([0.5, 0.5], 1)]).prune_by_mass(0.1), "no volumes"),
        (lambda: JointTree.of([TokenTree.of_masses([0.5, 0.5], 1)]).prune_by_count(2), "prune by mass"),
        (lambda: pruning_loss(*[JointTree.of([TokenTree.of([text], 2)]) for text in ("ab", "cd")]), "no pruning of each other"),
        (lambda: pruning_loss(*[JointTree.of([TokenTree.of(["ab", "ac"], 2)]).prune(n) for n in (1, 2)]), "no pruning"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert caught.value.mend


def test_leaves_that_do_not_fit_are_refused_rather_than_built(monkeypatch):
    monkeypatch.setattr(tokentree, "MEMORY", 10_000)
    assert TokenTree.of([b"a" * 1000] * 50, 1000).leaves == 1
    with pytest.raises(InputError, match="11 leaves of up to 1000 symbols do not fit"):
        TokenTree.of([b"a" * 1000] + [bytes([i]) for i in range(10)], 1001)


BROKEN = {
    "no leaf": {"symbols": np.zeros((0, 0), np.uint8), "spelled": np.zeros(0, int), "ended": np.zeros(0, bool)},
    "do not agree": {"spelled": np.array([1, 2])},
    "types int64": {"symbols": np.array([[97, 0], [97, 98], [98, 97]])},
    "types uint8, int32": {"spelled": np.array([1, 2, 2], dtype=np.int32)},
    "longer than the depth": {"depth": 1, "block": 1},
    "depth and block": {"block": 1},
    "fewer than 0": {"spelled": np.array([-1, 2, 2])},
    "width is not": {"symbols": np.array([[97, 0, 0], [97, 98, 0], [98, 97, 0]], np.uint8)},
    "at the cut": {"ended": np.array([True, True, False])},
    "outside the alphabet": {"alphabet": 98},
    "padding": {"symbols": np.array([[97, 1], [97, 98], [98, 97]], np.uint8)},
    "out of order": {"symbols": np.array([[97, 0], [98, 98], [98, 97]], np.uint8)},
    "twice": {"symbols": np.array([[97, 0], [97, 98], [97, 98]], np.uint8)},
    "below a cut node": {"ended": np.array([False, False, False])},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_leaf_set_that_breaks_an_invariant_is_found_out(what):
    good = TokenTree.of(["a", "ab", "ba"], 2).leaf_set
    assert_leaves(good)
    fields = {name: getattr(good, name) for name in ("symbols", "spelled", "ended", "depth", "alphabet", "block")}
    with pytest.raises(AssertionError, match=what):
        assert_leaves(LeafSet(**{**fields, **BROKEN[what]}))


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        (np.array([1, 2]), "shape"),
        (np.array([1, 2, 3], dtype=np.int32), "type int32"),
        (np.array([1, 0, 3]), "not positive"),
        (np.array([1, -1, 3]), "not positive"),
        (np.array([0.5, np.nan, 0.5]), "not positive"),
        (np.array([0.5, 0.5, 0.5]), "sum to 1.5"),
        (np.array([2**62, 2**62, 1]), "2\\^63"),
    ],
)
def test_counts_that_break_an_invariant_are_found_out(counts, what):
    tree = TokenTree.of(["a", "ab", "ba"], 2)
    with pytest.raises(AssertionError, match=what):
        assert_tree(TokenTree(tree.leaf_set, counts))


def test_a_memory_map_larger_than_the_limit_gives_the_tree_built_at_once(tmp_path):
    """16 MB of tokens: at once 100 MB are allocated, a slab at a time less than the file is long."""
    rows = np.minimum(np.random.default_rng(0).zipf(1.5, (500_000, 8)), 40).astype(np.int32)
    rows[:, 3:] = 1
    rows.tofile(tmp_path / "tokens.bin")
    mapped = np.memmap(tmp_path / "tokens.bin", dtype=np.int32, mode="r", shape=rows.shape)
    peaks, trees = [], []
    for at_once in (1 << 27, 1 << 18):
        tracemalloc.start()
        trees.append(TokenTree.of_sequences(mapped, 8, 1 << 18, at_once=at_once))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert same(*trees)
    assert trees[0].leaves > 10_000
    assert peaks[0] > 60e6
    assert peaks[1] < 14e6, peaks


CHUNKS = """
import resource, sys
import numpy as np
from elastomath.trees.tokentree import TokenTree
limit, = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
def chunks(count, size):
    for _ in range(count):
        yield rng.choice(np.frombuffer(b"etao", dtype=np.uint8), size).tobytes()
TokenTree.of_chunks(chunks(2, 9_999), 6, joined=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tree = TokenTree.of_chunks(chunks(100, 1_000_001), 6, joined=True, at_once=1 << 18)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert tree.leaves == 4**6 + 1, tree.leaves
assert tree.blocks == -(-100_000_100 // 6), tree.blocks
assert (after - before) * 1024 < limit, (before, after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_100_mb_in_chunks_take_a_tenth_of_their_size():
    """Peak resident memory of the whole process, over that of a small run."""
    done = subprocess.run([sys.executable, "-c", CHUNKS, str(10_000_000)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
