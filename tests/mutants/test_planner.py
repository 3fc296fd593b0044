"""Break one formula of the planner at a time: the test of its own statement has to fail."""

import numpy as np
import pytest

from elastomath.laws import planner
from tests.unit.elastomath.laws import test_planner as tests

from .helper import scaled

rise, sft, dpo, best = planner.needed_rise, planner.sft_price, planner.dpo_price, planner.best_dpo

BROKEN = {
    "a height of c M": (
        "needed_rise",
        lambda z, m, c, r=0.0: np.asarray(m * c + 0 * z),
        lambda: tests.test_the_price_of_sft_turns_the_undo_volume_round(-0.3, 0.3, 3.0),
    ),
    "a replay whose M counts all examples": (
        "needed_rise",
        lambda z, m, c, r=0.0: rise(z, m * (1 - np.asarray(r)), c, r),
        lambda: tests.test_a_replay_is_the_differential_equation(0.0, 0.3, 3.0),
    ),
    "a replay that only dilutes": (
        "needed_rise",
        lambda z, m, c, r=0.0: rise(z, m, c),
        lambda: tests.test_what_a_replay_saves_is_bounded_below_even_odds_and_everything_from_there(),
    ),
    "a price without its linear part": (
        "sft_price",
        lambda z, d, c: np.exp(z) * np.expm1(d) / c,
        lambda: tests.test_the_price_of_sft_turns_the_undo_volume_round(-0.3, 0.3, 3.0),
    ),
    "DPO at c beta": (
        "dpo_price",
        lambda d, c, b: dpo(d, c, b) * b,
        lambda: tests.test_the_price_of_dpo_reaches_the_height(0.1, 3.0),
    ),
    "a best beta of 1/D": (
        "best_dpo",
        lambda d, c: planner.BestDpo(1 / np.asarray(d), dpo(d, c, 1 / d)),
        lambda: tests.test_no_beta_is_cheaper_than_two_over_the_height(7.0),
    ),
    "a largest loss of the whole fall": (
        "largest_loss",
        scaled(planner.largest_loss, 2),
        lambda: tests.test_the_largest_loss_is_the_largest_over_all_contrasts(),
    ),
    "a ceiling held by joint compression": (
        "ceiling_contrast",
        lambda m, c, e: float(np.log(c * m / e)),
        lambda: tests.test_from_the_ceilings_contrast_on_the_code_grows_no_more(0.01, 20.0),
    ),
    "an output layer of one token": (
        "output_constant",
        scaled(planner.output_constant, 0.5),
        lambda: tests.test_the_output_layer_bounds_every_defence(),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_formula_is_noticed(name, monkeypatch):
    function, mutant, check = BROKEN[name]
    check()
    monkeypatch.setattr(tests, function, mutant)
    with pytest.raises(AssertionError):
        check()
