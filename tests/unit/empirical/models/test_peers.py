"""Public bug reports of other libraries, tried on what this one does too: the rows of ``docs/peers-bugs.md``.

Each test holds the right value here, and beside it what the installed version of the other library gives.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
from scipy.spatial.distance import jensenshannon

from elastomath import InputError, entropy, jensen_shannon, kl_divergence
from elastomath.codes.lengths import expected_length, huffman_lengths
from elastomath.mixtures.masses import as_masses, normalise
from elastomath.pareto.law import exponential_integral
from elastomath.tails.fit import fit_tail
from elastomath.tails.threshold import scan_threshold
from empirical.data.documents import read_documents

PAGE = Path(__file__).parents[4] / "docs" / "peers-bugs.md"


def tried(package: str) -> bool:
    """Whether the installed version is the one that the page speaks of; what another one gives is not told here."""
    told = re.search(rf"{package} (\d[\w.]*)", PAGE.read_text(encoding="utf-8"))
    assert told is not None
    return version(package) == told[1]


def test_every_row_has_its_test():
    """A public address and an existing test in each row, and a row for each test of this file."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| [")]
    named = set()
    for row in rows:
        assert re.search(r"\(https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+\)", row), row
        (name,) = re.findall(r"`((?:[\w/]+\.py::)?test_\w+)`", row)
        file, _, function = name.rpartition("::")
        path = Path(__file__).parents[3] / file if file else Path(__file__)
        assert f"def {function}(" in path.read_text(encoding="utf-8"), name
        named |= set() if file else {function}
    own = set(re.findall(r"^def (test_\w+)\(", Path(__file__).read_text(encoding="utf-8"), re.MULTILINE))
    assert len(rows) >= 18
    assert own - named == {"test_every_row_has_its_test"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_jensen_shannon_of_proportional_masses():
    one, other = (np.array(row, dtype="float32") for row in ([0.027501475, 0.055202297], [0.027537677, 0.055334348]))
    here = jensen_shannon([normalise(one), normalise(other)])
    p, q = (np.array(row, dtype=np.longdouble) / np.array(row, dtype=np.longdouble).sum() for row in (one, other))
    middle = (p + q) / 2
    right = float((p * np.log(p / middle) + q * np.log(q / middle)).sum() / 2)
    assert here == pytest.approx(right, rel=1e-6)
    assert 0 < here < 1e-7
    if tried("scipy"):
        assert math.isnan(jensenshannon(one, other))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_jensen_shannon_of_masses_an_ulp_apart():
    x = float(np.nextafter(0.5, 0))
    assert jensen_shannon([[x, 1 - x], [1 - x, x]]) == pytest.approx((1 - 2 * x) ** 2 / 2, rel=1e-6)
    if tried("scipy"):
        assert math.isnan(jensenshannon([x, 1 - x], [1 - x, x]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_jensen_shannon_with_the_smallest_mass():
    assert 0 <= jensen_shannon([[0.0, 1.0], [5e-324, 1.0]]) < 1e-300
    if tried("scipy"):
        assert math.isinf(jensenshannon([0, 1], [5e-324, 1]))


def test_masses_that_do_not_sum_to_one():
    with pytest.raises(InputError, match=r"sum to 0\.6, not to 1"):
        kl_divergence([0.5, 0.5], [0.3, 0.3])
    if tried("scipy"):
        assert scipy.stats.entropy([0.5, 0.5], [0.3, 0.3]) == 0  # divided by their sums in silence


def test_kullback_leibler_where_the_ratio_overflows():
    tiny = np.finfo(np.float64).tiny
    right = math.log(1 / tiny)
    assert kl_divergence([1.0, 0.0], [tiny, 1 - tiny]) == pytest.approx(right, rel=1e-14)
    assert kl_divergence([1.0, 0.0], [5e-324, 1.0]) == pytest.approx(-math.log(5e-324), rel=1e-14)
    if tried("scipy"):
        assert scipy.special.rel_entr(4.0, tiny) == pytest.approx(4 * (math.log(4) - math.log(tiny)))  # mended there


def test_entropy_of_equal_counts():
    assert entropy(normalise(np.ones(7))) == pytest.approx(math.log(7), rel=1e-15)
    with pytest.raises(InputError, match="sum to 7"):
        entropy(np.ones(7))  # not 0, and not log 7 unasked
    if tried("scipy"):
        assert scipy.stats.entropy(np.ones(7)) == pytest.approx(math.log(7))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_exponential_integral_of_broken_order():
    """E_1/2(2) = sqrt(pi/2) erfc(sqrt 2)."""
    right = math.sqrt(math.pi / 2) * math.erfc(math.sqrt(2))
    assert float(exponential_integral(0.5, 2.0)) == pytest.approx(right, rel=1e-14)
    if tried("scipy"):
        assert scipy.special.expn(0.5, 2.0) == pytest.approx(
            math.exp(-2) / 2
        )  # E_0: the order is cut to a whole number


def test_float32_masses_off_one_by_rounding():
    z = np.random.default_rng(0).normal(0, 3, 64).astype("float32")
    q = np.exp(z - z.max())
    q = np.append(np.sort(q / q.sum())[::-1], 0).astype("float32")
    with pytest.raises(InputError, match=r"divide them by their sum, or pass counts to normalise\(\)"):
        as_masses(q)
    assert normalise(q).sum() == pytest.approx(1.0, abs=1e-15)
    if tried("numpy"):
        with pytest.raises(ValueError, match="cast to 64-bit"):
            np.random.default_rng(0).multinomial(1, q)


def test_huffman_code_of_one_symbol():
    """Length 0: nothing has to be told. The code of the whole alphabet has a word for it, and a sum of lengths of 0."""
    assert huffman_lengths([3]).tolist() == [0]
    assert expected_length([1.0], [0]) == 0.0
    weights = list(Counter("xxx").values())
    assert huffman_lengths(weights).tolist() == [0]


@pytest.fixture(scope="module")
def whole_numbers() -> np.ndarray:
    return np.asarray(scipy.stats.zipf.rvs(2.5, size=20_000, random_state=1))


def test_discrete_power_law_from_one(whole_numbers):
    """The likelihood of the zeta law, exact from x_m = 1: density exponent 2.5, alpha = 1.5 here."""
    here = fit_tail(whole_numbers, 1.0, whole=True)
    assert here.alpha == pytest.approx(1.5, abs=0.03)
    powerlaw = pytest.importorskip("powerlaw")
    if tried("powerlaw"):
        rough = powerlaw.Fit(whole_numbers, discrete=True, xmin=1, estimate_discrete=True, verbose=0)
        exact = powerlaw.Fit(whole_numbers, discrete=True, xmin=1, verbose=0)
        assert rough.power_law.alpha == pytest.approx(2.03, abs=0.01)  # 20 percent off
        assert exact.power_law.alpha - 1 == pytest.approx(here.alpha, abs=1e-3)  # its default by now


def test_threshold_of_a_small_discrete_sample():
    sample = np.repeat([1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 18], [233, 33, 13, 10, 2, 3, 2, 2, 1, 1, 1, 1])
    here = scan_threshold(sample, whole=True).best
    assert here.threshold == 1
    assert here.alpha == pytest.approx(1.595, abs=1e-3)
    powerlaw = pytest.importorskip("powerlaw")
    if tried("powerlaw"):
        there = powerlaw.Fit(sample, discrete=True, verbose=0)
        assert (there.alpha, there.xmin) == (pytest.approx(2.595, abs=1e-3), 1)  # the report's 3.81 and 6 are mended


def test_a_range_of_exponents_beside_a_threshold():
    """There the range is left aside without a word where xmin is given; here there is none to be left aside."""
    sample = 1 / np.random.default_rng(0).power(0.8, 2000)
    here = fit_tail(sample, 1.0)
    assert here.alpha == pytest.approx(0.8, abs=0.05)
    powerlaw = pytest.importorskip("powerlaw")
    if tried("powerlaw"):
        there = powerlaw.Fit(sample, xmin=1, parameter_ranges={"alpha": [1.9, 3.0]}, verbose=0)
        assert there.power_law.alpha == pytest.approx(1 + here.alpha)
        assert there.power_law.alpha < 1.9


def test_csv_rows_with_a_field_too_many(tmp_path: Path):
    text = 'UNITID,XTUIT1,TUITION1\n100636,"R",0,\n'
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match="line 2: 4 fields where the header has 3 fields"):
        read_documents(tmp_path / "a.csv", text_column="XTUIT1")
    if tried("pandas"):
        assert pd.read_csv(io.StringIO(text))["XTUIT1"].tolist() == [0]  # TUITION1


def test_csv_columns_of_one_name(tmp_path: Path):
    (tmp_path / "a.csv").write_text("a,a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(InputError, match="column 'a' occurs twice"):
        read_documents(tmp_path / "a.csv", text_column="a")
    if tried("pandas"):
        assert pd.read_csv(tmp_path / "a.csv").columns.tolist() == ["a", "a.1", "b"]


def test_perplexity_over_strided_windows(tiny_model: Path):
    """Every token once, each with equal weight; the recipe's mean of window means, and its window ends, tell another rate."""
    torch = pytest.importorskip("torch")
    from empirical.measures.rates import measure
    from empirical.models.loading import load_model

    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    text = "The light falls on the water, and nobody says a word. It drags and drags. " * 2
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    window, stride = 24, 16
    here = measure(loaded, [text], window, stride)
    assert here.tokens == len(ids)
    whole = torch.tensor([[loaded.prefix, *ids]])
    with torch.no_grad():  # each token by hand, from the windows as they are told
        scored, nats = 0, 0.0
        for end in [*range(window, len(ids), stride), len(ids)]:
            begin = max(0, end - window)
            logs = torch.log_softmax(loaded.model(whole[:, begin:end]).logits[0].double(), -1)
            fresh = end - scored
            places = torch.arange(end - begin - fresh, end - begin)
            nats -= float(logs[places, whole[0, scored + 1 : end + 1]].sum())
            scored = end
    assert here.document_bits[0] == pytest.approx(nats / math.log(2), rel=1e-6)
    with torch.no_grad():  # the recipe: windows from 0 by stride, the model shifts, means of means
        means, before = [], 0
        for begin in range(0, len(ids), stride):
            end = min(begin + window, len(ids))
            labels = torch.tensor([ids[begin:end]])
            labels[:, : before - begin] = -100
            means.append(float(loaded.model(torch.tensor([ids[begin:end]]), labels=labels).loss))
            before = end
            if end == len(ids):
                break
    assert abs(np.mean(means) / (nats / len(ids)) - 1) > 1e-3


def test_a_short_answer_is_never_cut_away(tiny_model: Path):
    """A context that is too short cuts the prompt's beginning: the answer counts, whatever the other answers' lengths."""
    pytest.importorskip("torch")
    from empirical.data.examples import Example
    from empirical.models.loading import load_model
    from empirical.models.sequences import encode_examples

    tokenizer = load_model(tiny_model, device="cpu", dtype="float32").tokenizer
    rows = [
        Example("why " * 40, "so"),
        Example("why " * 40, "because of the light on the water " * 3),
        Example("", "so"),
    ]
    data = encode_examples(tokenizer, rows, 30, context=40)
    assert (data.length - data.first >= 1).all()
    assert (data.length <= 40).all()
    assert data.ids(0)[1] == tokenizer(" so", add_special_tokens=False)["input_ids"]


def test_vectors_divided_by_their_sum():
    """Embeddings of many parts, divided by their sums, are masses; what is not divided is refused in one line."""
    rng = np.random.default_rng(0)
    one, other = rng.random(10_000), rng.random(10_000)
    here = jensen_shannon([one / one.sum(), other / other.sum()])
    middle = (one / one.sum() + other / other.sum()) / 2
    right = entropy(normalise(middle)) - (entropy(normalise(one)) + entropy(normalise(other))) / 2
    assert here == pytest.approx(right, rel=1e-9)
    with pytest.raises(InputError, match="divide them by their sum"):
        jensen_shannon([one, other])


def test_a_tokenizer_that_puts_bos_in_front(tiny_model: Path):
    """Llama's kind: BOS is put before every text unless it is told not to; the rate is that of the plain tokenizer."""
    pytest.importorskip("torch")
    from empirical.measures.rates import measure
    from empirical.models.loading import load_model

    plain, eager = (load_model(tiny_model, device="cpu", dtype="float32") for _ in range(2))
    puts_bos_in_front(eager.tokenizer)
    text = "The light falls on the water."
    assert eager.tokenizer(text)["input_ids"][0] == eager.prefix
    one, other = (measure(loaded, [text, ""]) for loaded in (plain, eager))
    assert one.tokens == other.tokens
    assert one.document_bits.tolist() == other.document_bits.tolist()


def puts_bos_in_front(tokenizer: Any) -> None:
    """Let a fast tokenizer put BOS before every text, as Llama's do."""
    from tokenizers.processors import TemplateProcessing

    bos = tokenizer.bos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )


def test_rank_and_alpha_patterns_at_once(tiny_model: Path, tmp_path: Path):
    """A pattern for the rank that is wider than one for alpha: scaling 64/4 for one matrix, and peft's logits."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from empirical.models.loading import load_model

    def base() -> Any:
        return load_model(tiny_model, device="cpu", dtype="float32")

    config = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM",
        rank_pattern={"q_proj": 4}, alpha_pattern={"layers.1.self_attn.q_proj": 64},
    )  # fmt: skip
    theirs = peft.get_peft_model(base().model, config)
    if tried("peft"):
        assert theirs.base_model.model.model.layers[1].self_attn.q_proj.scaling == {"default": 16.0}
    theirs.save_pretrained(tmp_path / "adapter")
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        here = load_model(tiny_model, device="cpu", dtype="float32", adapter=tmp_path / "adapter").model(ids).logits
        assert torch.allclose(here, theirs.eval()(ids).logits, atol=1e-5)
        assert not torch.allclose(here, base().model(ids).logits, atol=1e-2)
