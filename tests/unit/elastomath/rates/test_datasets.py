"""`dataset_rates`: the numbers from the definitions, leaf by leaf, and every bad input refused in one line."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from fractions import Fraction
from math import log, log2

import numpy as np
import pytest

from elastomath import InputError, Mixture, normalise
from elastomath.rates.datasets import dataset_rates, read_datasets, read_documents, read_masses
from elastomath.rates.rates import rate_response, rates

KEYS = {
    "unit",
    "entropies",
    "rates",
    "normalised",
    "code_lengths",
    "kl_forward",
    "kl_reverse",
    "response",
    "overlaps",
    "balance_residual",
    "epsilon",
    "theta_constant",
}
TEXTS = ["the cat sat on the mat. " * 4 + "so it is", "a good cat, a good mat. " * 3, "a bad cat! é " * 3]


@pytest.fixture
def masses_files(tmp_path):
    rng = np.random.default_rng(5)
    files = []
    for name in ("pretrain", "align", "perturb"):
        files.append(tmp_path / f"{name}.npy")
        np.save(files[-1], normalise(rng.exponential(size=16)))
    return files


@pytest.fixture
def text_files(tmp_path):
    files = [tmp_path / f"{i}.txt" for i in range(3)]
    for file, text in zip(files, TEXTS, strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def test_the_result_is_json_and_has_the_keys_of_the_design(masses_files, text_files):
    for files in (masses_files, text_files):
        result = dataset_rates(files, [10, 1, 0.5])
        assert set(result) >= KEYS
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        assert set(result["code_lengths"]) == {"shannon", "huffman"}
        assert all(len(result[key]) == 3 for key in ("entropies", "rates", "normalised", "kl_forward", "response"))


def test_leaf_masses_give_the_definitions(masses_files):
    P = [np.load(file) for file in masses_files]
    w = [10, 1, 0.5]
    N = sum(w)
    q = sum(v * p for v, p in zip(w, P, strict=True)) / N
    result = dataset_rates(masses_files, w)
    assert result["unit"] == "bits/symbol"
    for i, p in enumerate(P):
        cross = -sum(a * log2(b) for a, b in zip(p, q, strict=True))
        own = -sum(a * log2(a) for a in p)
        overlap = sum(a * b / c for a, b, c in zip(p, P[2], q, strict=True))
        assert result["rates"][i] == pytest.approx(cross, rel=1e-12)
        assert result["entropies"][i] == pytest.approx(own, rel=1e-12)
        assert result["normalised"][i] == pytest.approx(cross - 4, rel=1e-9)  # log2 16
        assert result["kl_forward"][i] == pytest.approx(cross - own, rel=1e-9)
        assert result["kl_reverse"][i] == pytest.approx(sum(c * log2(c / a) for a, c in zip(p, q, strict=True)))
        assert result["response"][i] == pytest.approx((1 - overlap) / N / log(2), rel=1e-9)
        assert result["overlaps"]["all"][i] == pytest.approx(overlap, rel=1e-12)
        assert cross <= result["code_lengths"]["shannon"][i] < cross + 1
    assert abs(result["balance_residual"]) < 1e-14
    C, A, T = (result["overlaps"][name] for name in "CAT")
    assert result["epsilon"] == pytest.approx(0.5 * (T - 1) / (1 - A), rel=1e-9)
    ratio = -result["response"][1] / (10 * result["response"][0])
    assert result["theta_constant"] == pytest.approx(ratio, rel=1e-9)
    assert result["theta_constant"] == pytest.approx((1 - A) / (10 * (C - 1)), rel=1e-9)
    assert result["uncovered"] == 0


@pytest.mark.parametrize(("unit", "says"), [("bytes", "bits/byte"), ("bits", "bits/symbol")])
def test_text_gives_the_definitions(text_files, unit, says):
    """gamma_i = E_i[-log2 q(x) / s(x)], block by block."""
    depth, w = 3, [10, 1, 0.5]
    counts = []
    for text in TEXTS:
        data = text.encode()
        symbols = list(data) if unit == "bytes" else [byte >> (7 - i) & 1 for byte in data for i in range(8)]
        counts.append(Counter(tuple(symbols[i : i + depth]) for i in range(0, len(symbols), depth)))
    leaves = sorted(set().union(*counts))
    P = [{leaf: row[leaf] / row.total() for leaf in leaves} for row in counts]
    q = {leaf: sum(v * p[leaf] for v, p in zip(w, P, strict=True)) / sum(w) for leaf in leaves}
    result = dataset_rates(text_files, w, depth=depth, unit=unit)
    assert result["unit"] == says
    assert result["leaves"] == len(leaves)
    for i, p in enumerate(P):
        gamma = sum(p[x] * -log2(q[x]) / len(x) for x in leaves)
        slope = sum(p[x] / len(x) * (1 - P[2][x] / q[x]) for x in leaves) / sum(w) / log(2)
        assert result["rates"][i] == pytest.approx(gamma, rel=1e-12)
        assert result["response"][i] == pytest.approx(slope, rel=1e-9)
        assert result["symbols_per_leaf"][i] == pytest.approx(sum(p[x] * len(x) for x in leaves), rel=1e-12)
        assert result["normalised"][i] == pytest.approx(
            sum(p[x] * -log2(q[x]) for x in leaves) - log2(len(leaves)), rel=1e-9
        )
    assert any(len(x) < depth for x in leaves)  # EOS leaves above the cut, or s(x) would be constant
    assert abs(result["balance_residual"]) < 1e-14


def test_the_response_of_text_is_the_derivative_of_its_rates(text_files):
    data = read_datasets(text_files, depth=4)
    mixture, step = Mixture.of(data.masses, [10, 1, 0.5]), 1e-5
    slopes = (rates(mixture.at(0.5 + step), data.spelled) - rates(mixture.at(0.5 - step), data.spelled)) / (2 * step)
    found = rate_response(mixture, data.spelled)
    np.testing.assert_allclose(found, slopes, rtol=1e-6)
    # the response per leaf over the mean length is another thing
    mean = mixture.components @ data.spelled
    assert np.abs(rate_response(mixture) / mean - slopes).max() > 1e-4 * np.abs(slopes).max()
    # and R2 holds per leaf, not per symbol, where leaves spell unequal numbers of symbols
    assert abs(mixture.volumes @ rate_response(mixture)) < 1e-14
    assert abs(mixture.volumes @ found) > 1e-6


@pytest.mark.parametrize("spelled", [None, [3, 3, 3, 3], [1, 2, 3, 4]])
@pytest.mark.parametrize("apart", [2.0**-8, 2.0**-20, 2.0**-40])
def test_the_response_keeps_its_digits_where_datasets_are_near(apart, spelled):
    """Against exact fractions of dyadic masses that add up to 1; as 1 - P_t/q it had the rounding of 1, and the wrong sign."""
    base = np.array([0.125, 0.25, 0.25, 0.375])
    rows = base + apart / 16 * np.array([[1, -1, 0, 0], [0, 1, 2, -3], [-1, 0, 3, -2]])
    weights = [10.0, 1.0, 0.5]
    exact = [[Fraction(float(x)) for x in row] for row in rows]
    assert all(sum(row) == 1 for row in exact)
    total = sum(map(Fraction, weights))
    q = [sum(Fraction(w) * row[x] for w, row in zip(weights, exact, strict=True)) / total for x in range(4)]
    symbols = spelled or [1] * 4
    wanted = [float(sum(row[x] * (1 - exact[2][x] / q[x]) / symbols[x] for x in range(4)) / total) for row in exact]
    np.testing.assert_allclose(rate_response(Mixture.of(rows, weights), spelled), wanted, rtol=1e-11)


@pytest.mark.parametrize("least", [2.0**-10, 1e-20, 1e-200])
def test_the_response_keeps_its_digits_where_only_the_perturbation_has_mass(least):
    """q is tiny beside P_t there: A is about 1/2, and a rounding of 1 times P_t/q is anything."""
    rows, weights = [[1.0, 0.0], [1.0 - least, least], [0.0, 1.0]], [1.0, 1.0, 3 * least]
    exact = [[Fraction(float(x)) for x in row] for row in rows]
    total = sum(map(Fraction, weights))
    q = [sum(Fraction(w) * row[x] for w, row in zip(weights, exact, strict=True)) / total for x in range(2)]
    wanted = [float(sum(row[x] * (1 - exact[2][x] / q[x]) for x in range(2)) / total) for row in exact]
    np.testing.assert_allclose(rate_response(Mixture.of(rows, weights)), wanted, rtol=1e-12)


@pytest.mark.parametrize("spelled", [None, [1, 2, 4]])
def test_the_response_without_coverage_counts_the_leaves_that_q_has(spelled):
    rows, symbols = [[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.0, 0.5, 0.5]], spelled or [1, 1, 1]
    found = rate_response(Mixture.of(rows, [3, 1, 0]), spelled)
    q = [Fraction(7, 16), Fraction(9, 16)]
    slopes = [
        sum(Fraction(row[x]) * (1 - Fraction(rows[2][x]) / q[x]) / symbols[x] for x in range(2)) / 4 for row in rows
    ]
    np.testing.assert_allclose(found[:2], [float(slope) for slope in slopes[:2]], rtol=1e-14)
    assert found[2] == -np.inf


def test_nats_are_bits_times_ln_2(masses_files):
    bits, nats = (dataset_rates(masses_files, [10, 1, 0.5], rate_unit=unit) for unit in ("bits", "nats"))
    assert nats["unit"] == "nats/symbol"
    for key in ("rates", "entropies", "normalised", "kl_forward", "kl_reverse", "response"):
        np.testing.assert_allclose(nats[key], np.array(bits[key]) * log(2), rtol=1e-12)
    np.testing.assert_allclose(nats["code_lengths"]["huffman"], np.array(bits["code_lengths"]["huffman"]) * log(2))
    assert nats["epsilon"] == bits["epsilon"]


def test_one_file_two_files_and_four(masses_files):
    one = dataset_rates(masses_files[:1])
    assert one["volumes"] == [1.0]
    assert one["response"] is None
    assert one["overlaps"] is None
    assert one["kl_forward"] == [0.0]
    two = dataset_rates(masses_files[:2], [3, 1])
    assert two["overlaps"]["A"] is None
    assert two["overlaps"]["T"] == two["overlaps"]["all"][1]
    assert two["epsilon"] is None
    assert len(two["response"]) == 2
    four = dataset_rates([*masses_files[:2], masses_files[0], masses_files[2]], [3, 1, 2, 0.5])
    assert four["overlaps"]["C"] == four["overlaps"]["all"][0] == four["overlaps"]["all"][2]
    assert four["overlaps"]["T"] == four["overlaps"]["all"][3]
    assert abs(four["balance_residual"]) < 1e-14


def test_infinite_values_are_none_and_uncovered_mass_is_told(tmp_path):
    for name, row in (("p", [0.5, 0.5, 0, 0]), ("a", [0, 1, 0, 0]), ("t", [0.25, 0, 0.75, 0])):
        np.save(tmp_path / f"{name}.npy", np.array(row, dtype=float))
    result = dataset_rates([tmp_path / f"{name}.npy" for name in "pat"], [10, 1, 0.1])
    assert result["uncovered"] == 0.75
    assert result["kl_reverse"] == [None, None, None]
    assert None not in result["rates"] + result["response"]


def test_documents_of_jsonl_and_of_text(tmp_path):
    lines = [{"text": "one", "label": 1}, {"text": "zwei é"}, {"text": ""}]
    file = tmp_path / "a.jsonl"
    file.write_text("\ufeff" + "\n\n".join(json.dumps(line) for line in lines) + "\r\n", encoding="utf-8")
    assert read_documents(file) == ["one", "zwei é", ""]
    binary = tmp_path / "b.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    assert read_documents(binary) == [b"\xff\xfe\x00"]
    assert dataset_rates([file, binary], [2, 1], depth=2)["unit"] == "bits/byte"  # bytes need not be UTF-8


def test_float32_and_integer_masses(tmp_path):
    np.save(tmp_path / "a.npy", np.array([1, 0, 0]))
    np.save(tmp_path / "b.npy", np.array([0.5, 0.25, 0.25], dtype=np.float32))
    assert dataset_rates([tmp_path / "a.npy", tmp_path / "b.npy"], [1, 1])["rates"][0] == pytest.approx(-log2(0.75))


def save(path, values, **options):
    np.save(path, np.array(values), **options)
    return path


def truncated(path):
    data = save(path, np.full(8, 0.125)).read_bytes()
    path.write_bytes(data[:-5])
    return path


def written(path, data):
    path.write_bytes(data)
    return path


def pickled(path):
    return written(path, pickle.dumps([0.5, 0.5]))


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def bomb(path):
    np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    return path


GOOD = [0.5, 0.5]
BAD_FILES = {
    "missing": (lambda d: d / "no.npy", "no such file"),
    "folder": (lambda d: d, "a folder, where a dataset is wanted"),
    "folder named so": (lambda d: (d / "x.npy").mkdir() or d / "x.npy", "a folder, not a file"),
    "suffix": (lambda d: written(d / "a.csv", b"a"), "unknown suffix '.csv'"),
    "nan": (lambda d: save(d / "a.npy", [np.nan, 1]), "leaf mass 0 is nan"),
    "negative": (lambda d: save(d / "a.npy", [1.5, -0.5]), "leaf mass 1 is -0.5"),
    "unnormalised": (lambda d: save(d / "a.npy", [0.5, 0.6]), "sum to 1.1"),
    "matrix": (lambda d: save(d / "a.npy", [[0.5, 0.5]]), "shape"),
    "empty": (lambda d: save(d / "a.npy", []), "shape"),
    "words": (lambda d: save(d / "a.npy", ["0.5", "0.5"]), "masses have type"),
    "complex": (lambda d: save(d / "a.npy", [0.5j, 1]), "masses have type complex128"),
    "lengths": (lambda d: save(d / "a.npy", [0.5, 0.25, 0.25]), "3 leaves where .* has 2"),
    "pickled": (lambda d: pickled(d / "a.npy"), "not a readable .npy"),
    "bomb": (lambda d: bomb(d / "a.npy"), "not a readable .npy"),
    "truncated": (lambda d: truncated(d / "a.npy"), "not a readable .npy"),
    "nothing": (lambda d: written(d / "a.npy", b""), "not a readable .npy"),
    "mixed": (lambda d: written(d / "a.txt", b"abc"), "only .npy masses, or only"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_mass_files_are_refused_in_one_line(tmp_path, case):
    make, says = BAD_FILES[case]
    good = save(tmp_path / "good.npy", GOOD)
    bad = make(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        dataset_rates([good, bad], [1, 1])
    assert "\n" not in str(caught.value)
    assert str(bad) in str(caught.value)
    assert caught.value.mend


BAD_TEXT = {
    "empty text": ("a.txt", b"", "no text"),
    "empty jsonl": ("a.jsonl", b"\n\n", "no text"),
    "empty documents": ("a.jsonl", b'{"text": ""}', "no text"),
    "broken": ("a.jsonl", b'{"text": "a"}\n{"text": "b"', "line 2.*one JSON object a line"),
    "deep": ("a.jsonl", b"[" * 100_000, "line 1"),
    "column": ("a.jsonl", b'{"body": "a", "label": 1}', "the columns there are 'body', 'label'"),
    "twice": ("a.jsonl", b'{"text": "a", "text": "b"}', "key 'text' occurs twice"),
    "list": ("a.jsonl", b'["text"]', "a JSON list"),
    "number": ("a.jsonl", b'{"text": 3}', "holds a int"),
    "encoding": ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}', "not UTF-8 .*line 2"),
    "surrogate": ("a.jsonl", b'{"text": "\\ud800"}', "lone surrogate"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_text_is_refused_in_one_line(tmp_path, case):
    name, data, says = BAD_TEXT[case]
    file = written(tmp_path / name, data)
    with pytest.raises(InputError, match=says) as caught:
        dataset_rates([file])
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("volumes", "says"),
    [
        ([1, 0], "volume 1 is 0"),
        ([0, 1], "volume 0 is 0"),
        ([-1, 1], "volume 0 is -1"),
        ([1, float("nan")], "volume 1 is nan"),
        ([1, float("inf")], "volume 1 is inf"),
        ([1], "1 volume for 2 datasets"),
        ([1, 1, 1], "3 volumes for 2 datasets"),
        (["one", "two"], "volumes are not numbers"),
        (None, "no volumes for 2 files"),
    ],
)
def test_bad_volumes_are_refused(masses_files, volumes, says):
    with pytest.raises(InputError, match=says):
        dataset_rates(masses_files[:2], volumes)


def test_bad_options_are_refused(text_files, masses_files):
    for options, says in (
        ({"depth": 0}, "depth is 0"),
        ({"unit": "words"}, "unknown unit 'words'"),
        ({"rate_unit": "bans"}, "unknown unit of rates"),
    ):
        with pytest.raises(InputError, match=says):
            dataset_rates(text_files, [1, 1, 1], **options)
    with pytest.raises(InputError, match="pass at least one"):
        dataset_rates([])
    with pytest.raises(InputError, match="files is"):
        read_datasets(str(masses_files[0]))
    with pytest.raises(InputError, match="files is"):
        dataset_rates(str(masses_files[0]))
    with pytest.raises(InputError, match="volume"):
        dataset_rates(masses_files, [1, 1])
    assert read_masses(masses_files[0]).size == 16
