"""Break one formula of the codes at a time: verify() has to turn red, and at the result that the formula belongs to."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest

from elastomath.codes import codewords, compression
from elastomath.codes import lengths as codes
from elastomath.codes import path as codepath
from elastomath.codes.arithmetic import ArithmeticCode
from elastomath.codes.codewords import Bits, Codewords
from elastomath.codes.compression import BlockCode, ProtocolLengths
from elastomath.codes.path import CodePath
from elastomath.derivations import codes as derivation
from elastomath.verification import codes as verification
from elastomath.verification import verify

from .helper import first_of_each, red, red_ids


def longer(lengths):
    return np.where(lengths == codes.NO_CODEWORD, lengths, lengths + 1)


def flat(weights, **options):
    """Words of one length: a prefix code that is seldom the best."""
    used = np.asarray(weights) > 0 if not options.get("whole_alphabet") else np.ones(len(weights), dtype=bool)
    return np.where(used, max(int(used.sum()) - 1, 0).bit_length(), codes.NO_CODEWORD)


def swapped(weights, **options):
    """Huffman's words with the first two exchanged."""
    lengths = codes.huffman_lengths(weights, **options)
    lengths[:2] = lengths[:2][::-1].copy()
    return lengths


true_path, true_ceiling, true_limited = codepath.code_path, compression.entropy_ceiling, codes.length_limited_lengths
true_arithmetic, true_decode, true_blocks = ArithmeticCode.encode, Codewords.decode, BlockCode.decode
true_protocol, true_kraft, true_shannon = compression.protocol_lengths, codes.kraft_sum, codes.shannon_lengths
true_canonical = codewords.canonical_words


def scaled_property(cls, name, factor):
    old = getattr(cls, name).fget
    return property(lambda self: None if old(self) is None else old(self) * factor)


def protocol(**changes):
    def changed(*args, **kwargs):
        found = true_protocol(*args, **kwargs)
        return dataclasses.replace(found, **{name: change(found) for name, change in changes.items()})

    return changed


MUTANTS = {
    "R14: words of one length for Huffman's": (verification, "huffman_lengths", flat, {"R14", "R15"}),
    "R14: Huffman's with two words exchanged": (verification, "huffman_lengths", swapped, {"R14", "R15"}),
    "R14: Huffman's a bit too long": (
        verification,
        "huffman_lengths",
        lambda w, **options: longer(codes.huffman_lengths(w, **options)),
        {"R14", "R15"},
    ),
    "R14: a path of codes that are not the best": (codepath, "huffman_lengths", flat, {"R14"}),
    "R14: a path of codes with two words exchanged": (codepath, "huffman_lengths", swapped, {"R14"}),
    "R14: changes of code a millionth off": (
        verification,
        "code_path",
        lambda *args, **options: (
            lambda path: dataclasses.replace(
                path, breakpoints=tuple(step * Fraction(1000001, 1000000) for step in path.breakpoints)
            )
        )(true_path(*args, **options)),
        {"R14"},
    ),
    "R5 for codes: 9/10 of the bound": (
        CodePath,
        "bound",
        scaled_property(CodePath, "bound", Fraction(9, 10)),
        {"R14"},
    ),
    "R5 for codes: a residual with its sign flipped": (
        CodePath,
        "residual",
        scaled_property(CodePath, "residual", -1),
        {"R14"},
    ),
    "R5 for codes: a lower bound twice too large": (CodePath, "floor", scaled_property(CodePath, "floor", 2), {"R14"}),
    "R16 for codes: half of the work": (CodePath, "work", scaled_property(CodePath, "work", Fraction(1, 2)), {"R14"}),
    "R18 for codes: the ratio upside down": (
        CodePath,
        "theta",
        property(lambda self: self.changes()[1] and -self.volumes[0] * self.changes()[0] / self.changes()[1]),
        {"R14"},
    ),
    "R18 for codes: the ratio without k": (
        CodePath,
        "theta",
        property(lambda self: self.changes()[0] and -self.changes()[1] / self.changes()[0]),
        {"R14"},
    ),
    "R14: Shannon's a bit too long": (verification, "shannon_lengths", lambda q: longer(true_shannon(q)), {"R14"}),
    "R14: Shannon's rounded down": (
        verification,
        "shannon_lengths",
        lambda q: np.maximum(true_shannon(q) - 1, 0),
        {"R14"},
    ),
    "R14: a limit that is not kept": (
        verification,
        "length_limited_lengths",
        lambda w, limit: codes.huffman_lengths(w),
        {"R14"},
    ),
    "R14: a limit that is taken a bit too low": (
        verification,
        "length_limited_lengths",
        lambda w, limit: true_limited(w, max(limit - 1, (len(w) - 1).bit_length())),
        {"R14"},
    ),
    "R14: Kraft's sum of 2^(1-L)": (verification, "kraft_sum", lambda lengths: 2 * true_kraft(lengths), {"R14"}),
    "R14: E[L] a part in 1e9 too large": (
        verification,
        "expected_length",
        lambda p, lengths: codes.expected_length(p, lengths) * (1 + 1e-9),
        {"R14"},
    ),
    "R14: canonical words one place on": (
        verification,
        "canonical_words",
        lambda lengths: true_canonical(np.roll(lengths, 1)),
        {"R14"},
    ),
    "R14: a decoder that turns the stream round": (
        Codewords,
        "decode",
        lambda self, bits, count=None: true_decode(self, bits, count)[::-1],
        {"R14", "R15"},
    ),
    "R14: an arithmetic coder that spends a byte more": (
        ArithmeticCode,
        "encode",
        lambda self, leaves: (lambda bits: Bits.of(str(bits) + "0" * 8))(true_arithmetic(self, leaves)),
        {"R14", "R15"},
    ),
    "R15: the ceiling as a floor": (compression, "entropy_ceiling", lambda c: true_ceiling(c) - 1, {"R15"}),
    "R15: the ceiling above": (verification, "entropy_ceiling", lambda c: true_ceiling(c) + 1, {"R15"}),
    "R15: one block for a response": (
        verification,
        "protocol_lengths",
        protocol(printed=lambda f: f.printed * f.responses // f.blocks),
        {"R15"},
    ),
    "R15: END for nothing": (verification, "protocol_lengths", protocol(marked=lambda f: f.huffman), {"R15"}),
    "R15: entropy in nats": (
        verification,
        "protocol_lengths",
        protocol(entropy=lambda f: f.entropy * math.log(2)),
        {"R15"},
    ),
    "R15: a miss with its sign flipped": (
        ProtocolLengths,
        "miss",
        scaled_property(ProtocolLengths, "miss", -1),
        {"R15"},
    ),
    "R15: |x|/d rounded down": (
        verification,
        "printed_length",
        lambda sizes, depth, counts: np.asarray(sizes) // depth * true_ceiling(np.asarray(counts)),
        {"R15"},
    ),
    "R15: a decoder that loses the last response": (
        BlockCode,
        "decode",
        lambda self, message: true_blocks(self, message)[:-1],
        {"R15"},
    ),
}


@pytest.mark.parametrize("name", first_of_each(MUTANTS, 1, 3))
def test_a_broken_formula_turns_verify_red(name, monkeypatch, floats_only):
    module, attribute, broken, ids = MUTANTS[name]
    monkeypatch.setattr(module, attribute, broken)
    assert {id.rstrip("ab") for id in red_ids(["R14", "R15"])} == ids


def test_rounding_down_turns_the_derivation_red(monkeypatch, fresh_derivations):
    monkeypatch.setattr(derivation, "shannon_mass", lambda mass, above: mass * (1 + above))
    assert ("R14", "symbolic") in red(["R14"], cases=1)


@pytest.mark.parametrize(("name", "counts"), [("EQUALITY", (2, 2)), ("BOUND", (5, 1, 1))])
def test_an_example_that_is_none_turns_red(name, counts, monkeypatch):
    monkeypatch.setattr(verification, name, counts)
    (claim,) = verify(["R15a" if name == "EQUALITY" else "R15b"], cases=1)
    assert not claim.holds
    assert claim.verdict == "not shown"
