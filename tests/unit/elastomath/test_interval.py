"""An interval as it is made from a mean, a logarithm, a bootstrap and a share, against scipy; as it is printed, and read back."""

import numpy as np
import pytest
from scipy import stats

from elastomath import InputError
from elastomath.interval import Estimate, Interval


def ends(interval):
    return interval.low, interval.estimate, interval.high


def test_the_mean_over_seeds_has_students_interval():
    values = [0.3, 1.1, 0.7, 2.0]
    for level in (0.9, 0.95):
        low, high = stats.ttest_1samp(values, 0.0).confidence_interval(level)
        assert ends(Interval.of_values(values, level=level)) == pytest.approx((low, np.mean(values), high), rel=1e-12)
    assert ends(Interval.of_values([3.0])) == (None, 3.0, None)
    with pytest.raises(InputError, match="finite"):
        Interval.of_values([1.0, np.nan])


def test_the_geometric_mean_is_that_of_the_logarithms():
    logs = np.log([2.0, 3.0, 7.0])
    low, high = np.exp(stats.ttest_1samp(logs, 0.0).confidence_interval(0.95))
    assert ends(Interval.of_logs(logs)) == pytest.approx((low, 42.0 ** (1 / 3), high), rel=1e-12)
    assert ends(Interval.of_log(0.0, 1.0, 1e9)) == pytest.approx((np.exp(-1.959964), 1.0, np.exp(1.959964)), rel=1e-6)
    assert Interval.of_log(700.0, 10.0, 5).high is None


def test_an_error_without_degrees_of_freedom_is_normal():
    assert Estimate(1.0, 0.5).interval().high == pytest.approx(1 + 0.5 * stats.norm.isf(0.025), rel=1e-12)
    assert ends(Estimate(None, None).interval()) == (None, None, None)


def test_the_share_is_that_of_clopper_and_pearson():
    tails = stats.beta.ppf(0.025, 9, 2), stats.beta.ppf(0.975, 10, 1)
    share = Interval.of_share(9, 10)
    assert (share.low, share.high) == pytest.approx(tails, rel=1e-9)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(0.5, 0.001, 20000.0), "0.5 [0.001, 2e+04]"),  # no end is printed as 0 that is not 0
        (Interval(1.0, 1e-3, 2.0), "1 [0.001, 2]"),
        (Interval(-0.1, -0.25, 0.05), "-0.10 [-0.25, 0.05]"),
        (Interval(0.0, 0.0, 0.0), "0 [0, 0]"),
        (Interval(1234.0, 1200.0, 1300.0), "1234 [1200, 1300]"),
        (Interval(1.0, 1.0 - 1e-12, 1.0 + 1e-12), "1 [1, 1]"),
        (Interval(5.0, None, 6.0, unit="examples"), "5.0 [open, 6.0] examples"),
        (Interval(None, 2.0, 3.0), "2.0 to 3.0"),
        (Interval(None, None, 3.0), "< 3.00"),
        (Interval(None), "not bounded"),
    ],
)
def test_printing_keeps_what_the_width_tells(interval, words):
    assert str(interval) == f"{interval}" == words


def test_a_format_is_that_of_each_number_and_the_unit_travels():
    slope = Interval(0.0038, 0.0007, 0.0068, unit="bits/token per doubling")
    assert f"{slope:+.4f}" == "+0.0038 [+0.0007, +0.0068] bits/token per doubling"
    assert slope.without_unit() == "0.0038 [0.0007, 0.0068]"


def test_a_saved_interval_comes_back_beside_other_keys():
    interval = Interval(1.0, None, 2.0, 0.9)
    assert list(interval.as_dict()) == ["estimate", "low", "high", "level"]
    assert Interval.of_dict(interval.as_dict() | {"seeds": [1.0]}) == interval
    assert Interval.of_dict({"estimate": 1.0}, "nats").unit == "nats"
    assert Interval.of_dict({"estimate": 1.0, "unit": "bits"}, "nats").unit == "bits"


def test_the_sign_of_an_interval():
    assert [Interval(0.0, low, high).sign() for low, high in ((0.1, 1.0), (-1.0, -0.1), (0.0, 1.0), (None, 1.0))] == [
        1,
        -1,
        0,
        0,
    ]
    assert Interval(0.0, 0.1, 1.0).sign(edge=0.2) == 0
    assert Interval(0.5, -0.2, 1.3).within(0.0, 1.0) == Interval(0.5, 0.0, 1.0)
    assert Interval(0.5, None, 1.3).holds(-9.0)
    assert not Interval(0.5, None, 1.3).holds(1.4)


def test_an_edge_is_asked_on_both_sides():
    assert Interval(-1.0, -1.5, -0.3).sign(edge=0.5) == 0  # below 0, and not wholly below -1/2
    assert Interval(-1.0, -1.5, -0.6).sign(edge=0.5) == -1


def test_an_interval_is_closed_where_everything_is_there():
    assert Interval(1.0, 0.5, 1.5).closed
    assert not any(Interval(*ends).closed for ends in ((None, 0.5, 1.5), (1.0, None, 1.5), (1.0, 0.5, None)))


@pytest.mark.parametrize("own", [0.0, 0.3, 3.0])
def test_an_interval_over_clusters_covers_whatever_their_values_share(own):
    """Four behaviours at three seeds, 2,000 times: an interval over all twelve covers less often, the more a behaviour has its own."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(4), 3).tolist()
    draws = own * rng.standard_normal((2000, 4)).repeat(3, axis=1) + rng.standard_normal((2000, 12))
    covered, flat = (
        np.mean([interval(row).holds(0.0) for row in draws])
        for interval in (lambda row: Interval.of_clusters(row, clusters), Interval.of_values)
    )
    assert abs(covered - 0.95) < 0.015
    assert (flat < 0.78) == (own == 3.0)


def test_two_clusters_or_one_say_nothing_of_others():
    """By hand: the pooled variance of [0, 2] and [10, 12, 14] is (2 + 8)/3, and its share (1/2 + 1/3)/4."""
    values, clusters = [0.0, 2.0, 10.0, 12.0, 14.0], list("aabbb")
    two = Interval.of_clusters(values, clusters, names=("behaviours", "seeds"))
    half = 3.182446305 * np.sqrt(10 / 3 * (1 / 2 + 1 / 3) / 4)
    assert (two.estimate, two.low, two.high) == pytest.approx((6.5, 6.5 - half, 6.5 + half))
    assert two.method == "Student's t over 5 seeds of 2 behaviours"
    assert Interval.of_clusters(values, ["one"] * 5).as_dict() == Interval.of_values(values).as_dict()
    apart = Interval.of_clusters([1.0, 3.0], ["a", "b"], names=("behaviours", "seeds"))
    assert apart == Interval.of_values([1.0, 3.0], method="Student's t over 2 behaviours")
    assert Interval.of_clusters([1.0], ["a"]).low is None
    with pytest.raises(InputError, match="give each value its cluster"):
        Interval.of_clusters([1.0, 2.0], ["a"])


def test_of_these_clusters_alone_an_interval_is_over_the_values_within_them():
    """By hand: pooled variance (2 + 8 + 2)/4 = 3 and its share (1/2 + 1/3 + 1/2)/9; it covers the mean of what these clusters have."""
    these = Interval.of_clusters([0.0, 2.0, 10.0, 12.0, 14.0, 4.0, 6.0], list("aabbbcc"), these=True)
    half = 2.776445105 * np.sqrt(3 * (4 / 3) / 9)
    assert (these.estimate, these.low, these.high) == pytest.approx((6.0, 6.0 - half, 6.0 + half))
    rng, own, clusters = np.random.default_rng(0), np.array([-3.0, 0.0, 1.0, 6.0]), np.repeat(np.arange(4), 3).tolist()
    draws = own.repeat(3) + rng.standard_normal((2000, 12))
    covered = [Interval.of_clusters(row, clusters, these=True).holds(own.mean()) for row in draws]
    assert abs(np.mean(covered) - 0.95) < 0.015
    assert Interval.of_clusters([1.0, 2.0, 3.0], list("abc"), these=True).low is None
