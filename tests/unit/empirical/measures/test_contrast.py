"""The error of a rate within a run, against readings whose noise is known, and against the error over documents."""

from __future__ import annotations

import numpy as np
import pytest

from elastomath.errors import InputError
from empirical.measures.contrast import contrast_combination, prompt_numbers, ratio_se, reading_curve, within_run_se


def test_it_is_the_spread_of_the_readings_and_not_of_the_documents():
    """Documents far apart, noise of 1 bit a document and reading: rate_se is the noise of the rate over repeated runs."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(50, 200, 300).astype(float)
    own = 3 * sizes + rng.normal(0, 80, 300)
    runs = own + rng.normal(0, 1.0, (400, 5, 300))
    rates = runs.sum(2) / sizes.sum()
    told = np.array([within_run_se(run, sizes) for run in runs])
    assert np.sqrt((told**2).mean()) == pytest.approx(rates.std(0).mean(), rel=0.03)
    assert ratio_se(runs[0, 0], sizes) > 50 * told.mean()


def test_a_shift_of_every_document_adds_no_error():
    sizes = np.full(40, 10.0)
    lengths = np.random.default_rng(1).normal(100, 20, 40) - np.array([[0.0], [5.0], [9.0]])
    np.testing.assert_allclose(within_run_se(lengths, sizes), 0, atol=1e-12)


def test_both_errors_are_in_the_curve():
    rng = np.random.default_rng(2)
    start = rng.uniform(20, 60, 30)
    readings: list[dict[str, object]] = [
        {"nats_a": start - step + rng.normal(0, 0.1, 30), "tokens_a": np.full(30, 10)} for step in (0.0, 1.0, 2.0)
    ]
    members = dict.fromkeys(("pretrain", "align", "perturb"), ("a",))
    curve = reading_curve("r", readings, [0, 4, 8], members, {"pretrain": 8, "align": 4, "perturb": 8})
    frame = curve.frame
    assert (frame["rate_se_population"] > 20 * frame["rate_se"]).all()
    lengths = np.array([reading["nats_a"] for reading in readings]) / np.log(2)
    own = frame[frame["component"] == "align"]
    np.testing.assert_allclose(own["rate_se"], within_run_se(lengths, np.full(30, 10.0)))
    np.testing.assert_allclose(own["rate"], lengths.sum(1) / 300)


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        (np.ones((1, 3)), np.ones(3)),
        (np.ones((3, 1)), np.ones(1)),
        (np.ones((2, 3)), np.ones(2)),
        (np.ones(3), np.ones(3)),
    ],
)
def test_too_few_readings_or_documents_are_refused(lengths, sizes):
    with pytest.raises(InputError, match="at least two of each"):
        within_run_se(lengths, sizes)


def answered(rng, prompts=25, each=4, own=0.3):
    """Readings before and after: each side has ``each`` documents to a prompt, which move alike, and a little by themselves."""
    numbers = prompt_numbers([np.repeat(np.arange(prompts), each).tolist()] * 2)
    assert numbers is not None
    tokens = np.full(prompts * each, 10.0)
    moved = rng.normal(0, 1, prompts)
    before, after = ({}, {})
    for kind, row in zip(("perturb", "align"), numbers, strict=True):
        start = rng.uniform(20, 60, tokens.size)
        for reading, shift in ((before, 0.0), (after, (1.0 if kind == "perturb" else -1.0) * moved[row])):
            reading |= {f"nats_{kind}": start + shift, f"tokens_{kind}": tokens, f"prompts_{kind}": row}
        after[f"nats_{kind}"] = after[f"nats_{kind}"] + own * rng.normal(0, 1, tokens.size)
    return before, after


def test_documents_that_answer_one_prompt_are_one_draw():
    """The error is the spread over draws of prompts; over documents it is 2.6 times too small (root of 4 a side, and of two sides)."""
    rng = np.random.default_rng(3)
    told = []
    for _ in range(400):
        before, after = answered(rng)
        told.append(contrast_combination([(1.0, after), (-1.0, before)]))
    values, errors = np.array(told).T
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.1)
    apart = [{key: value for key, value in reading.items() if "prompts" not in key} for reading in (after, before)]
    assert contrast_combination([(1.0, apart[0]), (-1.0, apart[1])])[1] < 0.45 * errors[-1]


def test_what_both_sides_of_a_prompt_share_cancels_in_their_contrast():
    """A prompt that moves both of its responses alike moves no contrast, and adds no error to it."""
    rng = np.random.default_rng(4)
    before, after = answered(rng, each=1, own=0.0)
    after["nats_align"] = before["nats_align"] + np.subtract(after["nats_perturb"], before["nats_perturb"])
    value, se = contrast_combination([(1.0, after), (-1.0, before)])
    assert (value, se) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_a_document_that_stands_twice_adds_nothing():
    """The same response twice to every prompt: rates and all errors of a curve are those of once."""
    rng = np.random.default_rng(5)
    start = {name: rng.uniform(20, 60, 12) for name in "ab"}
    once = [
        {f"nats_{name}": start[name] - step + rng.normal(0, 0.1, 12) for name in "ab"}
        | {f"tokens_{name}": np.full(12, 10) for name in "ab"}
        for step in (0.0, 1.0, 2.0)
    ]
    numbers = {f"prompts_{name}": (np.arange(24) // 2 + 12 * place).tolist() for place, name in enumerate("ab")}
    twice = [{key: np.repeat(value, 2) for key, value in reading.items()} | numbers for reading in once]
    members = {"pretrain": ("a", "b"), "align": ("a",), "perturb": ("b",)}
    volumes = {"pretrain": 8, "align": 4, "perturb": 8}
    one, two = (
        reading_curve("r", readings[1:], [0, 4], members, volumes, base=readings[0]).frame for readings in (once, twice)
    )
    for column in ("rate", "rate_se", "rate_se_population", "base_contrast"):
        np.testing.assert_allclose(one[column], two[column])
    assert "contrast_se" not in one.columns
    paired = [reading | {"prompts_b": numbers["prompts_a"]} for reading in twice]  # both kinds answer the same prompts
    three = reading_curve("r", paired[1:], [0, 4], members, volumes, base=paired[0]).frame
    apart = np.stack([reading["nats_b"] - reading["nats_a"] for reading in twice])[:, ::2]
    told = within_run_se(apart, np.full(12, 10.0)) / np.log(2)
    np.testing.assert_allclose(three["contrast_se"].to_numpy()[:2], told[1:])
    np.testing.assert_allclose(three["base_contrast_se"], told[0])
    np.testing.assert_allclose(two["base_contrast_se"], one["base_contrast_se"] * np.sqrt(24 / 23 / (12 / 11)))
