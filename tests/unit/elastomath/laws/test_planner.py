"""The planner turns the logit law round: against the law itself, its differential equation, and the ends where constants are tight."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, logit

from elastomath.errors import InputError
from elastomath.laws.ceilings import volume_for
from elastomath.laws.logit import aligned_contrast, perturbed_contrast, replayed_contrast, undo_volume
from elastomath.laws.planner import (
    BEST_PRICE,
    best_dpo,
    ceiling_contrast,
    dpo_price,
    largest_loss,
    levers,
    needed_rise,
    output_constant,
    sft_price,
)
from elastomath.laws.preferences import dpo_contrast

STARTS, CONSTANTS, WANTED = [-4.0, -0.3, 0.0, 2.5], [0.02, 0.3, 1.7], [0.1, 3.0, 25.0, 80.0]
GRID = [(z, c, m) for z in STARTS for c in CONSTANTS for m in WANTED]


@pytest.mark.parametrize(("z", "c", "m"), GRID)
def test_the_price_of_sft_turns_the_undo_volume_round(z, c, m):
    n = sft_price(z, needed_rise(z, m, c), c)
    if n < 1e300:
        assert float(undo_volume(z, n, c)) == pytest.approx(m, rel=1e-11)


def test_the_ends_of_the_height_are_tight():
    small = needed_rise(STARTS, 1e-9, 0.3)
    assert small / 3e-10 == pytest.approx(expit(STARTS), rel=1e-8)  # D = p_0 c M
    large = needed_rise(STARTS, 1e5, 0.3)
    assert large == pytest.approx(3e4 - np.exp(-np.asarray(STARTS)), rel=1e-12)  # D = c M - e^{-z_0}
    # n = e^{B(z_0)} e^{cM}/c
    n = sft_price(0.5, needed_rise(0.5, 300, 0.3), 0.3)
    assert math.log(n * 0.3) == pytest.approx(90 + 0.5 - math.exp(-0.5), rel=1e-12)


@pytest.mark.parametrize("z", STARTS)
@pytest.mark.parametrize("share", [1e-9, 1e-3, 0.3, 0.9])
@pytest.mark.parametrize("m", WANTED)
def test_a_replay_is_the_differential_equation(z, share, m):
    r, c = share * float(expit(z)), 0.3
    height = float(needed_rise(z, m, c, r))
    whole = m / (1 - r)  # opposed and aligned ones
    assert float(replayed_contrast(z + height, whole, c, r)) == pytest.approx(z, abs=1e-9)
    time = quad(lambda at: 1 / (c * (expit(at) - r)), z, z + height, epsabs=1e-13, epsrel=1e-12)[0]
    assert time == pytest.approx(whole, rel=1e-8)


def test_what_a_replay_saves_is_bounded_below_even_odds_and_everything_from_there():
    plain = float(needed_rise(0.0, 1e4, 0.3))
    for r in (0.1, 0.4, 0.499):
        a = 0.5 / (0.5 - r)
        assert plain - float(needed_rise(0.0, 1e4, 0.3, r)) == pytest.approx(math.log1p(r * a) / r - 1, rel=1e-9)
    assert needed_rise(0.0, 1e4, 0.3, [0.5, 0.7]).tolist() == [0.0, 0.0]
    assert float(replayed_contrast(0.0, 1e6, 0.3, 0.5)) == 0.0


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("height", [0.05, 3.0, 29.0])
def test_the_price_of_dpo_reaches_the_height(beta, height):
    pairs = dpo_price(height, 0.3, beta)
    assert float(dpo_contrast(0.7, pairs, 0.3, beta)) == pytest.approx(0.7 + height, rel=1e-11)


@pytest.mark.parametrize("height", [0.5, 2.0, 7.0, 60.0])
def test_no_beta_is_cheaper_than_two_over_the_height(height):
    best = best_dpo(height, 0.3)
    assert float(dpo_price(height, 0.3, float(best.beta))) == pytest.approx(float(best.pairs), rel=1e-13)
    around = dpo_price(height, 0.3, float(best.beta) * np.exp(np.linspace(-3, 3, 241)))
    assert np.all(around >= float(best.pairs) * (1 - 1e-13))
    assert float(best.pairs) == pytest.approx((1 + math.e**2) / 4 * height**2 / 0.3, rel=1e-13)
    # at even odds plain fine-tuning is DPO at beta = 1: equal at D = 2, dearer elsewhere
    plain = float(sft_price(0.0, height, 0.3))
    assert plain == pytest.approx(float(dpo_price(height, 0.3, 1.0)), rel=1e-12)
    assert plain >= float(best.pairs) * (1 - 1e-13)
    assert (plain / float(best.pairs) < 1 + 1e-12) == (height == 2.0)


def test_the_largest_loss_is_the_largest_over_all_contrasts():
    c, m = 0.3, 20.0
    top = np.linspace(-20, 20, 40001)
    lost = np.logaddexp(0, -perturbed_contrast(top, m, c)) - np.logaddexp(0, -top)
    assert float(lost.max()) == pytest.approx(largest_loss(m, c), rel=1e-6)
    assert lost.max() <= largest_loss(m, c) * (1 + 1e-12)
    assert top[lost.argmax()] == pytest.approx(largest_loss(m, c), abs=2e-3)  # z = D/2, and D/2 is lost
    assert largest_loss(1e-6, c) == pytest.approx(c * 1e-6 / 4, rel=1e-6)
    assert largest_loss(0.0, c) == 0.0


@pytest.mark.parametrize("ceiling", [1e-6, 0.01, 0.5])
@pytest.mark.parametrize("m", [3.0, 20.0])
def test_from_the_ceilings_contrast_on_the_code_grows_no_more(ceiling, m):
    c = 0.3
    if ceiling >= largest_loss(m, c):
        assert ceiling_contrast(m, c, ceiling) == -math.inf
        return
    z = ceiling_contrast(m, c, ceiling)

    def lost(at):
        return float(np.logaddexp(0, -perturbed_contrast(at, m, c)) - np.logaddexp(0, -at))

    assert lost(z) == pytest.approx(ceiling, rel=1e-8)
    assert all(lost(z + more) < ceiling for more in (0.01, 1.0, 10.0))
    assert lost(z - 0.01) > ceiling


def test_the_ceiling_costs_exponentially_more_than_joint_compression_says():
    c, ceiling = 0.3, 1e-9
    for m in (1e-3, 20.0):
        n = float(sft_price(0.0, ceiling_contrast(m, c, ceiling), c))
        assert n == pytest.approx(math.expm1(c * m) / (c * ceiling), rel=1e-3)
        assert n / volume_for(ceiling, m) == pytest.approx(math.expm1(c * m) / (c * m), rel=1e-3)


def test_the_output_layer_bounds_every_defence():
    """A network behind a normalisation: |grad z|^2 >= 2 rho^2, and descent on the output layer alone follows the law at that c."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    width, vocabulary, rate = 6, 5, 1e-3
    inner, output = (
        torch.nn.Linear(3, width, dtype=torch.float64),
        torch.nn.Linear(width, vocabulary, bias=False, dtype=torch.float64),
    )
    prompt = torch.randn(3, dtype=torch.float64)

    def state():
        return torch.nn.functional.layer_norm(inner(prompt).tanh(), (width,), eps=0.0)

    def contrast():
        scores = output(state())
        return scores[0] - scores[1]

    norm = float(state().detach().norm())
    assert norm == pytest.approx(math.sqrt(width), rel=1e-9)
    grads = torch.autograd.grad(contrast(), [output.weight, *inner.parameters()])
    head = float((grads[0] ** 2).sum())
    assert rate * head == pytest.approx(output_constant(norm, rate), rel=1e-9)
    assert rate * sum(float((part**2).sum()) for part in grads) > output_constant(norm, rate)
    for token in range(vocabulary):  # no neutral token is learned faster through the layer
        loss = -output(state()).log_softmax(-1)[token]
        assert float((torch.autograd.grad(loss, output.weight)[0] ** 2).sum()) <= head * (1 + 1e-12)
    with torch.no_grad():
        output.weight[2:] = -30.0 * torch.sign(state())[None]  # closure: the two tokens have all the mass
        output.weight[0] += 3.0 * state() / norm
    start, c = float(contrast().detach()), output_constant(norm, rate)
    assert start > 0
    for _ in range(200):
        loss = -output(state()).log_softmax(-1)[1]
        with torch.no_grad():
            output.weight -= rate * torch.autograd.grad(loss, output.weight)[0]
    assert float(contrast().detach()) == pytest.approx(float(perturbed_contrast(start, 200, c)), abs=0.02)


def test_levers_are_ranked_and_each_reaches_what_it_says():
    found = {lever.name: lever for lever in levers(-1.0, 40, 0.2, 0.3, betas=[0.1, 0.5], replay=0.05)}
    assert [lever.examples for lever in levers(-1.0, 40, 0.2, 0.3)] == sorted(
        lever.examples for lever in levers(-1.0, 40, 0.2, 0.3)
    )
    for name in ("SFT", "pre-training"):
        assert float(aligned_contrast(-1.0, found[name].examples, 0.2)) == pytest.approx(found[name].contrast, rel=1e-9)
        assert float(perturbed_contrast(found[name].contrast, 40, 0.3)) == pytest.approx(-1.0, abs=1e-9)
    pairs = found["DPO, beta 0.5"].examples / 2
    assert float(dpo_contrast(-1.0, pairs, 0.2, 0.5)) == pytest.approx(found["SFT"].contrast, rel=1e-9)
    held = found["SFT, replay of 5%"]
    assert float(replayed_contrast(held.contrast, 40 / 0.95, 0.3, 0.05)) == pytest.approx(-1.0, abs=1e-9)
    assert float(aligned_contrast(-1.0, held.examples - 40 * 0.05 / 0.95, 0.2)) == pytest.approx(
        held.contrast, rel=1e-9
    )
    kept = found[f"replay of {expit(-1.0):.0%}"]
    assert logit(kept.examples / (kept.examples + 40)) == pytest.approx(-1.0, rel=1e-9)
    assert not found["SFT"].absurd
    assert levers(0.0, 200, 0.3, 0.3)[-1].absurd
    assert pytest.approx(2.0972640247, rel=1e-9) == BEST_PRICE


@pytest.mark.parametrize(
    "call",
    [
        lambda: needed_rise(0.0, -1.0, 0.3),
        lambda: needed_rise(0.0, 1.0, 0.3, 1.0),
        lambda: best_dpo(0.0, 0.3),
        lambda: ceiling_contrast(1.0, 0.3, 0.0),
        lambda: output_constant(0.0, 1e-3),
        lambda: levers(0.0, 0.0, 0.3, 0.3),
    ],
)
def test_bad_input_is_one_line(call):
    with pytest.raises(InputError):
        call()
