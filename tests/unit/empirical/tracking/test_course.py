"""What `track` says of a course: the volume that undoes half of an alignment and the one that undoes all come from one method."""

import numpy as np
import pytest

from elastomath.fit.fit import fit
from empirical.tracking.course import Course

VOLUMES = (0.0, 10.0, 20.0, 40.0)
PROMPTS = np.array([-0.3, -0.1, 0.1, 0.3])


def reading(contrast: float) -> dict:
    z = contrast + PROMPTS
    ones = [1.0] * PROMPTS.size
    return {
        "nats_chosen": ones, "nats_rejected": (1 + z).tolist(), "tokens_chosen": ones, "tokens_rejected": ones,
    }  # fmt: skip


def course(*contrasts: float, base: float | None = 0.0) -> Course:
    return Course("a", VOLUMES, tuple(map(reading, contrasts)), None if base is None else reading(base))


def test_half_and_whole_are_read_along_straight_lines_between_the_same_readings():
    """Of 2 nats half is gone between readings 10 and 20 of a course that bends, which a smooth course would put elsewhere."""
    answer = course(2.0, 1.8, 0.3, -0.1).summary()
    half = answer["constants"]["half_life"]
    assert half["estimate"] == pytest.approx(10 + 10 * 0.8 / 1.5)
    assert answer["undo_volume"]["estimate"] == pytest.approx(20 + 20 * 0.3 / 0.4)
    for volume in (
        half,
        answer["undo_volume"],
    ):  # prompts that all move alike leave a bootstrap over prompts nothing to draw
        assert (volume["low"], volume["high"]) == pytest.approx((volume["estimate"], volume["estimate"]))
    assert "Half of what the alignment had given was undone after 15.3" in answer["conclusion"][2]


def test_half_is_censored_where_the_course_has_not_come_down_by_half():
    answer = course(2.0, 1.8, 1.6, 1.2).summary()
    assert answer["constants"]["half_life"]["estimate"] is None
    assert answer["constants"]["half_life"]["low"] == 40.0
    assert "Half" not in " ".join(answer["conclusion"])


def test_without_a_base_the_half_is_that_of_the_fit():
    """Then nobody knows what the alignment had given: half of the way to even odds, along the smooth course."""
    one = course(2.0, 1.8, 0.3, -0.1, base=None)
    fitted = fit(one.curve())["constants"][0]["half_life"]
    assert one.summary()["undo_volume"] is None
    assert one.summary()["constants"]["half_life"] == fitted
