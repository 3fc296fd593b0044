"""The compression protocol on real responses: what is sent comes back, and Thm 3.4 meets its bits (R15)."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError
from elastomath.codes.codewords import Bits
from elastomath.codes.compression import BlockCode, Message, entropy_ceiling, printed_length, protocol_lengths
from elastomath.codes.lengths import huffman_lengths
from elastomath.trees.tokentree import TokenTree
from tests.examples import examples

MODERATE = examples(60)
DOCUMENTS = st.lists(st.one_of(st.text("ab", max_size=12), st.binary(max_size=12)), min_size=1, max_size=8).filter(any)
README = (Path(__file__).resolve().parents[4] / "README.md").read_bytes()
LINES = README.splitlines()


def as_bytes(documents):
    return [document.encode() if isinstance(document, str) else document for document in documents]


@MODERATE
@given(DOCUMENTS, st.integers(1, 9), st.sampled_from(["bytes", "bits"]), st.sampled_from(["huffman", "shannon"]))
def test_responses_come_back_from_every_code(documents, depth, unit, code):
    tree = TokenTree.of(documents, depth, unit)
    sizes = [len(text) * (8 if unit == "bits" else 1) for text in as_bytes(documents)]
    blocks = [-(-size // depth) for size in sizes]
    plain = BlockCode.of(tree, code)
    message = plain.encode(documents)
    assert message.blocks.tolist() == blocks
    assert message.escaped.size == 0
    leaves, counts = plain.blocks_of(documents)
    assert counts.tolist() == blocks
    assert message.size == int(plain.words.lengths[leaves].sum())
    assert plain.decode(message) == as_bytes(documents)
    marked = BlockCode.of_documents(documents, depth, unit, code)
    sent = marked.encode(documents)
    assert (sent.blocks is None) == any(size % depth == 0 for size in sizes)
    assert marked.decode(sent) == as_bytes(documents)


@MODERATE
@given(DOCUMENTS, DOCUMENTS, st.integers(1, 6), st.sampled_from(["bytes", "bits"]), st.integers(0, 3))
def test_blocks_that_are_no_leaves_are_escaped(known, strange, depth, unit, ends):
    code = BlockCode.of(TokenTree.of(known, depth, unit), escapes=2, ends=ends)
    message = code.encode(strange)
    assert code.decode(message) == as_bytes(strange)
    leaves, _ = code.blocks_of(strange)
    assert (message.escaped.size > 0) == (leaves < 0).any()
    assert (leaves < 0).sum() <= message.escaped.size


def test_tokens_come_back_too():
    sequences = [np.array([7, 250_000, 7]), np.array([], dtype=int), np.array([9, 9, 7, 250_000])]
    tree = TokenTree.of_sequences(sequences, depth=2, alphabet=1 << 18)
    code = BlockCode.of(tree, ends=2, escapes=1)
    more = [*sequences, np.array([1, 2, 3]), np.array([200_000])]
    message = code.encode(more)
    assert message.escaped.size == 2 * 18 + 2 * (1 + 18)  # [1, 2] in full; [3] and [200000] with their length
    for found, sent in zip(code.decode(message), more, strict=True):
        np.testing.assert_array_equal(found, sent)


def test_as_printed_the_protocol_cannot_tell_where_a_response_ends():
    """ "ab", "cd" and "abcd" are the same bits; only the numbers of blocks beside them differ. With END they do not."""
    apart, together = [b"ab", b"cd"], [b"abcd"]
    tree = TokenTree.of([*apart, *together], 2)
    plain = BlockCode.of(tree)
    assert str(plain.encode(apart).words) == str(plain.encode(together).words)
    marked = BlockCode.of(tree, ends=3)
    assert str(marked.encode(apart).words) != str(marked.encode(together).words)
    assert marked.encode(apart).size > plain.encode(apart).size


@pytest.mark.parametrize(
    ("depth", "unit"), [(1, "bytes"), (2, "bytes"), (3, "bytes"), (8, "bytes"), (5, "bits"), (16, "bits")]
)
@pytest.mark.parametrize("documents", [[README], LINES])
def test_what_holds_of_real_text_and_what_is_printed(documents, depth, unit):
    found = protocol_lengths(documents, depth, unit)
    blocks = [text[i : i + depth] for text in documents for i in range(0, len(text), depth)]
    if unit == "bits":
        bits = ["".join(f"{byte:08b}" for byte in text) for text in documents]
        blocks = [text[i : i + depth] for text in bits for i in range(0, len(text), depth)]
    counts = Counter(blocks)
    entropy = math.fsum(c / len(blocks) * math.log2(len(blocks) / c) for c in counts.values())
    assert (found.blocks, found.leaves, found.responses) == (len(blocks), len(counts), len(documents))
    assert found.entropy == pytest.approx(entropy, rel=1e-12)
    assert found.printed == len(blocks) * math.ceil(entropy)
    assert len(blocks) * entropy - 1e-6 <= found.huffman < len(blocks) * (entropy + 1)
    assert found.huffman <= found.shannon < len(blocks) * (entropy + 1)
    assert found.shannon_fano_elias == found.shannon + len(blocks)
    assert found.huffman <= found.marked
    assert len(blocks) * entropy - 1e-6 <= found.arithmetic <= len(blocks) * entropy + 2.001
    assert found.huffman == BlockCode.of(TokenTree.of(documents, depth, unit)).encode(documents).size
    assert found.marked == BlockCode.of_documents(documents, depth, unit).encode(documents).size
    assert -1 < found.miss < 1
    assert abs(found.miss) > 1e-4  # nowhere is the printed form the length
    assert 0 <= found.redundancy < 1


def test_thm_3_4_misses_on_both_sides():
    low = protocol_lengths([b"a" * 14 + b"bc"], 1)  # 14, 1, 1: H = 0.67, E[L] = 18/16
    assert (low.printed, low.huffman) == (16, 18)
    high = protocol_lengths([b"abc"], 1)
    assert (high.printed, high.huffman) == (6, 5)
    assert low.miss == 2 / 16
    assert high.miss == -1 / 3


def test_a_response_shorter_than_a_block_pays_for_a_whole_one():
    found = protocol_lengths([b"a", b"bcdefghi", b"jklmnopq", b"rstuvwxy"], 8)
    assert (found.blocks, found.huffman) == (4, 8)  # two bits for one symbol, and two for eight
    assert printed_length([0, 1, 8, 9], 8, [1, 1, 1, 1]).tolist() == [0, 2, 2, 4]


def test_ceilings_of_entropies_are_exact():
    assert [entropy_ceiling([1] * n) for n in (1, 2, 3, 4, 5, 1 << 16, (1 << 16) + 1)] == [0, 1, 2, 2, 3, 16, 17]
    assert entropy_ceiling([2, 1, 1, 0]) == 2
    assert entropy_ceiling([4, 2, 1, 1]) == 2  # H = 7/4
    assert entropy_ceiling([1 << 40, 1]) == 1
    # within 1e-9 of an integer and not on it: 2^16 leaves, two of them a little apart
    for change in (1, 3):
        counts = np.full(1 << 16, 10**6)
        counts[0] += change
        counts[1] -= change
        assert entropy_ceiling(counts) == 16
    counts = np.concatenate([np.full((1 << 16) - 1, 10**9), [10**9 - 1, 1]])  # one more leaf, hardly ever seen
    bits = -(counts / counts.sum() * np.log2(counts / counts.sum())).sum()
    assert abs(bits - 16) < 1e-9
    assert entropy_ceiling(counts) == 17


@examples(60)
@given(DOCUMENTS, st.integers(1, 5), st.integers(0, 2), st.booleans(), st.data())
def test_a_cut_or_damaged_message_is_one_line_or_some_responses(documents, depth, escapes, ends, data):
    tree = TokenTree.of(documents, depth)
    code = BlockCode.of(tree, ends=2 * ends, escapes=escapes)
    strange = data.draw(DOCUMENTS) if escapes else documents
    message = code.encode(strange)
    words, escaped, blocks = message.words, message.escaped, message.blocks
    which = data.draw(st.sampled_from(["words", "escaped", "blocks", "noise"]))
    if which == "words" and words.size:
        words = Bits.of(words.data, data.draw(st.integers(0, words.size - 1)))
    elif which == "escaped" and escaped.size:
        escaped = Bits.of(escaped.data, data.draw(st.integers(0, escaped.size - 1)))
    elif which == "blocks" and blocks is not None:
        blocks = np.array(data.draw(st.lists(st.integers(-1, 4), max_size=5)), dtype=np.int64)
    else:
        words, escaped = (Bits.of(data.draw(st.binary(max_size=20))) for _ in range(2))
    try:
        found = code.decode(Message(words, escaped, blocks))
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return
    again = code.encode(found)
    assert str(again.words) == str(words) or which == "noise"  # noise may escape what is a leaf
    assert code.decode(again) == found


def test_escaped_bits_that_are_cut_are_always_found():
    code = BlockCode.of(TokenTree.of([b"aaaa"], 2), escapes=1)
    message = code.encode([b"xyz"])
    for size in range(message.escaped.size):
        with pytest.raises(InputError, match="do not end where the message does"):
            code.decode(Message(message.words, Bits.of(message.escaped.data, size), message.blocks))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: BlockCode.of(TokenTree.of([b"ab"], 1), "zip"), "code is 'zip'"),
        (lambda: BlockCode.of(TokenTree.of([b"ab"], 1), ends=-1), "ends is -1"),
        (lambda: BlockCode.of(TokenTree.of_masses([0.5, 0.5], 1)), "tree of masses"),
        (lambda: BlockCode.of_lengths(TokenTree.of([b"ab"], 1), [1]), "1 lengths for 2 leaves"),
        (lambda: BlockCode.of_lengths(TokenTree.of([b"ab"], 1), [0, 1]), "Kraft"),
        (lambda: BlockCode.of(TokenTree.of([b"ab"], 1)).encode([b"a", b"bac"]), "block 2 is no leaf.*response 1"),
        (lambda: BlockCode.of(TokenTree.of([b"ab"], 1)).encode(b"ab"), "one text"),
        (
            lambda: BlockCode.of(TokenTree.of([b"ab"], 1)).decode(Message(Bits.of("0"), Bits.of(""), None)),
            "another code",
        ),
        (
            lambda: BlockCode.of(TokenTree.of([b"ab"], 1)).decode(Message(Bits.of("0"), Bits.of(""), np.array([0.5]))),
            "numbers of blocks",
        ),
        (lambda: protocol_lengths([], 2), "no symbol"),
        (lambda: protocol_lengths([b""], 2), "no symbol"),
        (lambda: protocol_lengths([b"a"], 0), "depth is 0"),
        (lambda: entropy_ceiling([0, 0]), "cannot be used"),
        (lambda: entropy_ceiling([]), "cannot be used"),
        (lambda: entropy_ceiling([0.5, 0.5]), "cannot be used"),
        (lambda: entropy_ceiling([2, -1]), "cannot be used"),
        (lambda: printed_length([-1], 2, [1]), "integers >= 0"),
        (lambda: printed_length([1.5], 2, [1]), "float64"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_a_tree_cut_by_mass_has_leaves_that_are_no_blocks():
    tree = TokenTree.of([b"aaab" * 5 + b"abcd" + b"zzzz"], 4)
    if not hasattr(tree, "prune_by_count"):
        pytest.skip("trees are not pruned by mass")
    with pytest.raises(InputError, match="not a full block"):
        BlockCode.of(tree.prune_by_count(2))


def test_given_lengths_are_used():
    tree = TokenTree.of([b"aabbc"], 1)
    code = BlockCode.of_lengths(tree, huffman_lengths([1, 1, 5]))
    assert code.encode([b"cab"]).size == 5
