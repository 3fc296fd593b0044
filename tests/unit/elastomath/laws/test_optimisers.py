"""R26: one logit under SGD and Adam, against torch, against the logit law, and in the regimes that can be derived."""

import math
from dataclasses import replace

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.laws.logit import aligned_contrast, perturbed_contrast, undo_exponent, undo_volume
from elastomath.laws.optimisers import (
    Optimiser,
    carried_exponent,
    carried_undo,
    durability,
    falling_steps,
    fitted_exponent,
    late_speed,
    late_undo,
    momentum_constant,
    noisy_constant,
    squares_at_constant_speed,
    warmed_steps,
)

POWERS = [2**i for i in range(3, 15)]


def by_torch(optimiser, counts, opposed):
    """z after so many aligning steps, and its path over the opposed ones, by torch.optim itself."""
    import torch

    def fresh(z):
        if optimiser.kind == "sgd":
            return torch.optim.SGD([z], optimiser.rate, momentum=optimiser.momentum, weight_decay=0)
        return torch.optim.AdamW([z], optimiser.rate, betas=optimiser.betas, weight_decay=optimiser.decay)

    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    opt, path = fresh(z), []
    for sign, count in ((-1, counts), (1, opposed)):
        if sign == 1 and not optimiser.carried:
            opt = fresh(z)
        for _ in range(count):
            opt.zero_grad()
            torch.nn.functional.softplus(sign * z).sum().backward()
            opt.step()
            path.append(float(z.detach()[0]))
    return path[counts - 1], path[counts:]


@pytest.mark.parametrize(
    "optimiser",
    [
        Optimiser("sgd", rate=0.4),
        Optimiser("sgd", rate=0.1, momentum=0.9, carried=True),
        Optimiser("adam"),
        Optimiser("adam", carried=True),
        Optimiser("adam", rate=0.3, betas=(0.5, 0.9), decay=0.1, carried=True),
    ],
)
def test_the_optimisers_are_those_of_torch(optimiser):
    pytest.importorskip("torch")
    seen = durability(optimiser, [37])
    top, down = by_torch(optimiser, 37, 100)
    assert seen.contrast[0] == pytest.approx(top, rel=1e-10)
    last = next(k for k, z in enumerate(down) if z <= 0)
    before = down[last - 1] if last else top
    assert seen.undo[0] == pytest.approx(last + before / (before - down[last]), rel=1e-8)


def test_the_exponents_of_the_page():
    fresh = durability(Optimiser("adam"), POWERS).exponents
    carried = durability(Optimiser("adam", carried=True), POWERS).exponents
    assert fresh[:7].round(2).tolist() == [0.95, 0.79, 0.49, 0.32, 0.27, 0.25, 0.22]
    assert carried[:7].round(2).tolist() == [0.45, 0.25, 0.0, -0.13, -0.17, -0.17, -0.14]
    assert np.all(carried[8:] > 0)  # beyond 1/(1 - beta_2) steps
    assert np.all(fresh > 0)


@pytest.mark.parametrize("rate", [0.01, 0.1, 1.0, 3.0])
def test_fresh_moments_never_make_the_undo_volume_fall(rate):
    assert np.all(durability(Optimiser("adam", rate=rate), POWERS[:11]).exponents > -1e-3)


def test_small_steps_of_sgd_are_the_logit_law():
    steps, rate = [50, 500, 5000], 0.01
    seen = durability(Optimiser("sgd", rate=rate), steps)
    assert seen.contrast == pytest.approx(aligned_contrast(0.0, steps, rate), abs=rate)
    assert seen.undo == pytest.approx(undo_volume(0.0, steps, rate), rel=rate)
    assert durability(Optimiser("sgd", rate=rate), [2000, 2020]).exponents == pytest.approx(
        [float(undo_exponent(0.0, 2010, rate))], rel=0.02
    )


def test_momentum_is_a_larger_constant():
    steps = [500, 5000]
    for carried in (False, True):
        seen = durability(Optimiser("sgd", rate=1e-3, momentum=0.9, carried=carried), steps)
        constant = float(momentum_constant(1e-3, 0.9))
        assert seen.contrast == pytest.approx(aligned_contrast(0.0, steps, constant), abs=0.01)
        assert seen.undo == pytest.approx(undo_volume(0.0, steps, constant), abs=12)  # 1/(1 - mu) steps
        assert seen.undo != pytest.approx(undo_volume(0.0, steps, 1e-3), rel=0.5)


def test_a_carried_velocity_goes_on_for_a_while():
    fresh, carried = (durability(Optimiser("sgd", rate=1e-3, momentum=0.9, carried=c), [200]) for c in (False, True))
    p = 1 / (1 + math.exp(-fresh.contrast[0]))
    velocity = 0.9 * 1e-3 * (1 - p) / 0.1**2  # what it adds to z, to be undone at speed c p/(1 - mu)
    assert carried.undo[0] - fresh.undo[0] == pytest.approx(velocity / (1e-2 * p), rel=0.15)


@pytest.mark.parametrize("carried", [False, True])
def test_adam_in_noise_is_sgd(carried):
    optimiser = Optimiser("adam", rate=0.02, noise=3.0, batch=1, carried=carried)
    steps = [500, 1000, 4000]
    seen = durability(optimiser, steps, runs=300, seed=1)
    constant = noisy_constant(0.02, 3.0)
    assert seen.contrast.mean(axis=1) == pytest.approx(aligned_contrast(0.0, steps, constant), abs=0.15)
    assert seen.exponents[-1] > 0.2
    assert seen.undo.mean(axis=1) == pytest.approx(undo_volume(0.0, steps, constant), rel=0.15)


def test_adam_starts_at_one_rate_a_step_and_ends_at_the_late_speed():
    assert durability(Optimiser("adam", rate=0.001), [50]).contrast[0] == pytest.approx(0.05, rel=0.005)
    assert squares_at_constant_speed(0.0, 0.1) == pytest.approx((math.log(2) - 0.5) / 0.1, rel=1e-12)
    for z in (-3.0, -0.5, 0.5, 3.0):
        expected = (math.log1p(math.exp(-z)) - 1 / (1 + math.exp(z))) / 0.25
        assert squares_at_constant_speed(z, 0.25) == pytest.approx(expected, rel=1e-13)
    z = durability(Optimiser("adam"), [12000, 16000]).contrast
    assert (z[1] - z[0]) / 4000 == pytest.approx(late_speed(0.999), rel=0.03)


def test_fresh_moments_undo_at_one_rate_a_step():
    seen = durability(Optimiser("adam"), [256, 512, 1024])
    assert seen.undo == pytest.approx(seen.contrast / 0.1, rel=0.06)


def test_carried_moments_enter_with_a_force_that_grows():
    """Without a first moment, which only delays: the forces on entry and the undo volume of the regime."""
    quick = Optimiser("adam", rate=0.1, betas=(0.0, 0.99999), carried=True)
    steps = [256, 1024, 4096]
    seen = durability(quick, steps)
    fields = durability(replace(quick, carried=False), steps)
    z, squares, kept = 0.0, 0.0, {}
    for n in range(1, 4097):
        g = 1 / (1 + math.exp(z))
        squares += g * g
        z += 0.1 * g / math.sqrt(squares / n)
        if n in steps:
            kept[n] = (z, squares)
    assert [kept[n][0] for n in steps] == pytest.approx(seen.contrast.tolist(), rel=0.02)
    told = [float(carried_undo(n, kept[n][0], kept[n][1], 0.1)) for n in steps]
    assert seen.undo.tolist() == pytest.approx(told, rel=0.25)
    assert np.all(seen.exponents < -0.2)
    assert np.all(fields.exponents > 0)
    assert all(n / kept[n][1] > n / 4 for n in steps)  # the first opposed steps are long: rate sqrt(n/S)


def test_other_settings_matter_as_they_should():
    steps = [64, 256]
    plain = durability(Optimiser("sgd", rate=0.1), steps)
    warm = durability(Optimiser("sgd", rate=0.1, warm_up=20), steps)
    assert warm.contrast == pytest.approx(aligned_contrast(0.0, np.array(steps) - 9.5, 0.1), abs=0.06)
    assert np.all(warm.undo > plain.undo)
    shrunk = durability(Optimiser("sgd", rate=0.1, decay=0.05), [64, 4096])
    assert shrunk.contrast[1] < plain.contrast[1]  # and it stops: decay holds it
    assert 0.05 * shrunk.contrast[1] == pytest.approx(1 / (1 + math.exp(shrunk.contrast[1])), rel=1e-3)
    held = durability(Optimiser("sgd", rate=0.1, decay=2.0, anchor=3.0), [64], limit=50)
    assert held.undo.tolist() == [math.inf]


def test_the_size_of_the_batch_is_a_size_of_noise():
    one = durability(Optimiser("adam", noise=2.0, batch=16), [200], runs=50, seed=0)
    two = durability(Optimiser("adam", noise=0.5, batch=1), [200], runs=50, seed=0)
    assert one.contrast == pytest.approx(two.contrast, rel=1e-12)
    assert one.contrast.shape == (1, 50)


def test_table_3_asks_for_carried_moments():
    """Gemma's row at batch 64, one rate for all four: carried moments come within 5%, fresh ones have the wrong sign."""
    printed, steps = np.array([923.0, 853.0, 709.0, 598.0]), [16, 31, 78, 156]
    carried = durability(Optimiser("adam", rate=0.40, carried=True), steps)
    assert carried.undo * 64 == pytest.approx(printed, rel=0.06)
    assert fitted_exponent(steps, carried.undo) == pytest.approx(fitted_exponent(steps, printed), abs=0.02)
    for rate in (0.01, 0.1, 0.7, 3.0):
        assert fitted_exponent(steps, durability(Optimiser("adam", rate=rate), steps).undo) > 0


def test_what_table_3_says_of_llama_is_nearer_in_size_or_in_slope():
    """-0.11 printed: batch 32 comes within 10% of every volume with -0.07, batch 64 has -0.16 and misses one by 19%."""
    printed, examples = np.array([961.0, 844.0, 801.0, 729.0]), np.array([1000, 2000, 5000, 10000])
    for batch, rate, slope, worst in ((32, 0.082, -0.07, 0.10), (64, 0.31, -0.16, 0.19)):
        steps = [round(count / batch) for count in examples.tolist()]
        undo = durability(Optimiser("adam", rate=rate, carried=True), steps).undo * batch
        assert fitted_exponent(examples, undo) == pytest.approx(slope, abs=0.005)
        assert np.abs(undo / printed - 1).max() == pytest.approx(worst, abs=0.006)


def test_sgd_by_the_law_of_the_other_side():
    seen = durability(Optimiser("sgd", rate=0.02), [400], start=-1.0)
    down = perturbed_contrast(float(seen.contrast[0]), float(seen.undo[0]), 0.02)
    assert float(down) == pytest.approx(-1.0, abs=0.03)


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "lion"},
        {"rate": 0.0},
        {"momentum": 1.0},
        {"betas": (0.9, 1.0)},
        {"batch": 0},
        {"noise": -1.0},
        {"anchor": math.inf},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(InputError, match="Optimiser"):
        Optimiser(**bad)


@pytest.mark.parametrize(
    "call",
    [
        lambda: durability(Optimiser(), []),
        lambda: durability(Optimiser(), [5, 5]),
        lambda: momentum_constant(1.0, 1.0),
        lambda: noisy_constant(0.1, 0.0),
        lambda: squares_at_constant_speed(0.0, 0.0),
        lambda: late_speed(1.0),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()


# --- regimes ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.4])
def test_table_3s_exponent_is_reached_after_thirteen_rates(rate):
    """n = 13.2/r, with the default first moment some 1/(1 - beta_1) steps later."""
    n = falling_steps(-0.15, rate)
    assert n == pytest.approx(13.19 / rate, rel=1e-3)
    around = [round(n / 1.2), round(n * 1.2)]
    for betas, off in (((0.0, 0.99999), 0.07), ((0.9, 0.999), 0.09)):
        seen = durability(Optimiser("adam", rate=rate, betas=betas, carried=True), around).exponents[0]
        assert seen == pytest.approx(-0.15, abs=off)
        fresh = durability(Optimiser("adam", rate=rate, betas=betas), around).exponents[0]
        assert fresh > 0
    assert falling_steps(-0.3, rate) > n > falling_steps(-0.05, rate)


@pytest.mark.parametrize("start", [300.0, 372.0, 400.0, 720.0])
def test_the_steps_after_which_m_falls_do_not_depend_on_a_high_start(start):
    """S is e^{-2 z_0}/2 there, and leaves the doubles before the steps do: they were 0 from 373 on, infinite from 706 on."""
    expected = (1.5 * math.exp(30 / 7) / math.sqrt(2)) ** (2 / 3) / 0.1
    assert falling_steps(-0.15, 0.1, start) == pytest.approx(expected, rel=1e-12)


def test_after_long_phases_the_undo_volume_rises_faster_than_the_contrast():
    """m* = h D^2/(4 r^2), its exponent twice that of D, until m* comes to 1/(1 - beta_2)."""
    long = Optimiser("adam", rate=0.05, betas=(0.0, 0.999), eps=1e-300, carried=True)
    seen = durability(long, [16000, 32000])
    assert np.sqrt(seen.undo) - 0.73 == pytest.approx(np.sqrt(late_undo(seen.contrast, 0.05, 0.999)), rel=0.06)
    rise = math.log(seen.contrast[1] / seen.contrast[0]) / math.log(2)
    assert 1 < seen.exponents[0] < 2 * rise < 2
    fresh = durability(replace(long, carried=False), [16000, 32000])
    assert fresh.exponents[0] == pytest.approx(rise, rel=0.1)


def test_adam_keeps_the_digits_of_a_gradient_that_dies():
    """Without epsilon the step does not know that the gradient is e^-39; as p - 1 it was 0, and z stood still at 36.7."""
    counts, z, square, tops, undo = [6000, 7200], 0.0, 0.0, [], []

    def step(z, square, taken, sign):
        gradient = sign / (1 + math.exp(-sign * z))
        square = 0.99 * square + 0.01 * gradient**2
        return z - 0.05 * gradient / math.sqrt(square / (1 - 0.99**taken)), square

    for n in range(1, counts[-1] + 1):
        z, square = step(z, square, n, -1)
        if n in counts:
            tops.append(z)
            after, kept, taken = z, square, 0
            while after > 0:
                before, taken = after, taken + 1
                after, kept = step(before, kept, n + taken, 1)
            undo.append(taken - 1 + before / (before - after))
    seen = durability(Optimiser("adam", rate=0.05, betas=(0.0, 0.99), eps=1e-300, carried=True), counts)
    assert seen.contrast == pytest.approx(tops, rel=1e-12)
    assert seen.undo == pytest.approx(undo, rel=1e-12)


def test_adams_epsilon_ends_alignment():
    """Where the gradient has come down to eps, z = -ln eps = 18.4 at the default, the late speed ends."""
    z = durability(Optimiser("adam", rate=0.1, betas=(0.9, 0.99)), [2000, 4000, 8000, 16000]).contrast
    assert (z[1] - z[0]) / 2000 == pytest.approx(late_speed(0.99), rel=0.25)
    assert z[3] - z[2] < 0.05 * late_speed(0.99) * 8000
    assert z[3] > -math.log(1e-8)


def test_noise_takes_the_fall_away():
    assert float(carried_exponent(30 / 7)) == pytest.approx(-0.15, rel=1e-12)
    assert float(carried_exponent(6.0, 1.0)) == pytest.approx(0.0, abs=1e-12)
    steps = [16, 31, 78, 156]
    exponents = [
        fitted_exponent(
            steps, durability(Optimiser("adam", rate=0.4, noise=q, carried=True), steps, runs=200).undo.mean(axis=1)
        )
        for q in (0.02, 0.1, 0.5)
    ]
    assert exponents[0] < -0.15 < exponents[1] < 0 < exponents[2]


@pytest.mark.parametrize(("warm", "n"), [(1600, 200), (1600, 800), (80, 1600)])
def test_a_warm_up_counts_half_of_its_steps(warm, n):
    c = 0.05
    seen = durability(Optimiser("sgd", rate=c, warm_up=warm), [n, round(1.1 * n)])
    worth = warmed_steps(n, warm)
    assert seen.contrast[0] == pytest.approx(aligned_contrast(0.0, worth, c), abs=0.03)
    assert warmed_steps(seen.undo[0], warm) == pytest.approx(float(undo_volume(0.0, worth, c)), rel=0.04)
    if n < warm:  # both phases are that short
        told = float(undo_exponent(0.0, warmed_steps(1.05 * n, warm), c))
        assert seen.exponents[0] == pytest.approx(told, rel=0.03)


def test_a_warm_up_halves_the_exponent_of_a_shorter_phase():
    long = durability(Optimiser("sgd", rate=0.1, warm_up=600), [12_000, 13_200])
    assert np.all(long.undo < 600)
    assert long.exponents[0] == pytest.approx(float(undo_exponent(0.0, 12_300, 0.1)) / 2, rel=0.04)


def test_decay_only_lowers_what_an_example_buys():
    """0 <= dm*/dn <= e^-z: the undo volume comes to rest with the contrast, and never falls."""
    c, decay = 0.05, 1e-3 / 0.05
    steps = [200, 220, 2000, 2200, 6000]
    plain, held = (durability(Optimiser("sgd", rate=c, decay=d, anchor=-1.0), steps) for d in (0.0, decay))
    assert np.all(held.undo < plain.undo)
    bought = np.diff(held.undo) / np.diff(steps)
    assert np.all(bought > -1e-9)
    assert bought[0] < math.exp(-held.contrast[0])
    assert held.exponents[-1] < 0.01 < plain.exponents[-1]
    z = held.contrast[-1]
    assert c / (1 + math.exp(z)) == pytest.approx(c * decay * (z + 1), rel=1e-3)


def test_a_batch_reads_the_law_at_its_own_steps():
    """m* = B M(n/B) in examples: a batch of 16 with its gradient the mean is 16 examples at a sixteenth of c each."""
    c, batch, examples = 0.02, 16, [1600, 1760]
    seen = batch * durability(Optimiser("sgd", rate=c * batch / 16), [n // batch for n in examples]).undo
    assert seen == pytest.approx(undo_volume(0.0, examples, c / 16), rel=0.01)
