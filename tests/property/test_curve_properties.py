"""What holds of every curve: files give it back, order does not matter, and R5 can be read from it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import Curve, InputError, finite_law
from elastomath.testing.strategies import curves
from tests.examples import examples

FEW = examples(12)


@FEW
@given(curves(), st.sampled_from([".csv", ".parquet"]))
def test_a_curve_comes_back_from_its_file(curve, suffix):
    with tempfile.TemporaryDirectory() as folder:
        back = Curve.read(curve.write(Path(folder) / f"curve{suffix}"))
    pd.testing.assert_frame_equal(back.frame, curve.frame, check_exact=True)


@FEW
@given(curves(), st.randoms())
def test_the_order_of_the_rows_does_not_matter(curve, random):
    order = list(range(len(curve.frame)))
    random.shuffle(order)
    shuffled = Curve(curve.frame.iloc[order])
    assert set(shuffled.runs) == set(curve.runs)
    for run in curve:
        other = shuffled.run(run.name)
        assert other.components == run.components
        for name in ("volumes", "perturbations", "rates", "rate_se"):
            np.testing.assert_array_equal(getattr(other, name), getattr(run, name))


@FEW
@given(curves(), st.data())
def test_one_spoilt_number_is_refused_with_its_row(curve, data):
    row = data.draw(st.integers(0, len(curve.frame) - 1))
    column = data.draw(st.sampled_from(["volume", "perturbation", "rate", "rate_se"]))
    spoilt = curve.frame.copy()
    spoilt.loc[row, column] = data.draw(st.sampled_from([-1.0, np.inf, -np.inf]))
    with pytest.raises(InputError, match=rf"row {row + 1}: {column} is "):
        Curve(spoilt)


@FEW
@given(curves())
def test_the_finite_law_holds_on_curves_of_mixtures(curve):
    """R5 at the constant 1/2 that mixtures have; the same curve with the sign of one rate's change turned fails."""
    for run in curve:
        law = finite_law(run.perturbations, run.volumes[:-1], run.rates)
        slack = 1e-12 * run.volumes.sum() * max(1.0, run.rates.max())
        assert law.holds(slack)
        assert (law.residual <= 0.5 * law.upper + slack).all()
        turned = run.rates.copy()
        turned[-1] = 2 * turned[-1, 0] - turned[-1]
        if law.upper.max() > 1e3 * slack:
            assert not finite_law(run.perturbations, run.volumes[:-1], turned).holds(slack)
