"""The logit law in balls: exposures that no training has are refused."""

from fractions import Fraction

import pytest

from elastomath.certify.logit import certify_replay
from elastomath.errors import InputError


@pytest.mark.parametrize(("start", "end"), [(2, -3), (1, 2), (-3, 2), (-2, -3)])
def test_a_contrast_beyond_the_resting_place_or_away_from_it_is_refused(start, end):
    """logit(1/4) = -1.0986: the form in closed terms says c n = -2.86 from 2 to -3, and training never goes there."""
    with pytest.raises(InputError, match="does not lead"):
        certify_replay(start, end, Fraction(1, 4))


def test_an_exposure_from_either_side():
    assert certify_replay(2, 1, Fraction(1, 4)).digits == "1.7848613257101582"
    assert certify_replay(-3, -2, Fraction(1, 4)).sign == 1
