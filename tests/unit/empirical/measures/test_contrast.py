"""The error of a rate within a run, against readings whose noise is known, and against the error over documents."""

from __future__ import annotations

import numpy as np
import pytest

from elastomath.errors import InputError
from empirical.measures.contrast import ratio_se, reading_curve, within_run_se


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
