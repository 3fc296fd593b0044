"""What a simulated sweep says of runs that differ: by hand, from curves of two readings."""

from __future__ import annotations

from elastomath import Curve
from sim.cycles.conclusion import conclusion


def curve_of(*paths):
    """Runs of (pretrain, align) along the perturbations 0, 1, 2."""
    return Curve.concat(
        [
            Curve.from_paths(
                f"run {index}", {"pretrain": 10, "align": 1, "perturb": 2}, [0, 1, 2],
                {"pretrain": pretrain, "align": align, "perturb": [1.0, 0.9, 0.8]}, "bits/symbol", "symbols",
            )
            for index, (pretrain, align) in enumerate(paths)
        ]
    )  # fmt: skip


RIGHT = [1.0, 0.99, 0.985], [1.0, 1.1, 1.2]
TURNS = [1.0, 0.99, 1.01], [1.0, 1.1, 1.2]
WRONG = [1.0, 1.01, 1.02], [1.0, 1.1, 1.2]


def test_a_run_that_held_as_far_as_it_was_read_has_no_end_there():
    """One run turns between 1 and 2, one holds to its last reading at 2: 2 is no place beyond which the signs do not hold."""
    text = " ".join(conclusion(curve_of(RIGHT, TURNS)))
    assert (
        "hold up to a perturbation of 1 times the alignment data, and no longer at the next reading, 2, "
        "and as far as they were read in 1 of 2 runs" in text
    )


def test_a_volume_that_is_not_known_is_no_unit():
    """Volumes of 1 in a log of examples stand for unknown ones: no multiple of the alignment data, nothing weighted by volume."""
    pretrain, align = TURNS
    log = Curve.from_paths(
        "log", {"pretrain": 1, "align": 1, "perturb": 40}, [0, 20, 40],
        {"pretrain": pretrain, "align": align, "perturb": [1.0, 0.9, 0.8]}, "bits/token", "examples",
    )  # fmt: skip
    assert conclusion(log)[1:] == [
        "The theorem's signs (alignment loses, pre-training gains) hold up to a perturbation of 20 examples, and no longer at "
        "the next reading, 40."
    ]


def test_a_ratio_of_some_runs_says_of_which():
    """Weighted by volume 1 x 0.1 over 10 x 0.01 is 1 in the run with the signs; the other one lost on both sides."""
    text = " ".join(conclusion(curve_of(RIGHT, WRONG)))
    assert "alignment lost as much as pre-training gained in the 1 of 2 runs that have these signs there." in text
    assert " runs that have" not in " ".join(conclusion(curve_of(RIGHT, TURNS)))
