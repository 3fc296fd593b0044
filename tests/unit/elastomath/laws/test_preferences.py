"""DPO, SimPO and KTO as forces on one contrast: against their losses differentiated by torch, and the laws that follow."""

import math

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.special import expit

from elastomath.errors import InputError
from elastomath.laws.logit import aligned_contrast, perturbed_contrast, undo_slope, undo_volume
from elastomath.laws.preferences import (
    dpo_contrast,
    dpo_crossing,
    dpo_reversal,
    dpo_undo_volume,
    forced_contrast,
    kto_force,
    simpo_force,
)

BETA, C = 0.3, 0.2


def by_loss(loss):
    """-dloss/dz of a loss of (ln pi_+, ln pi_-) of two responses that share the mass, by torch."""
    torch = pytest.importorskip("torch")

    def force(z):
        at = torch.tensor(z, dtype=torch.float64, requires_grad=True)
        loss(torch, -torch.nn.functional.softplus(-at), -torch.nn.functional.softplus(at)).backward()
        return -float(at.grad)

    return force


def logps(z):
    return -math.log1p(math.exp(-z)), -math.log1p(math.exp(z))


@pytest.mark.parametrize("z", [-3.0, -0.4, 0.0, 1.0, 6.0])
def test_the_forces_are_the_gradients_of_the_losses(z):
    ref = logps(0.5)
    dpo = by_loss(lambda t, up, down: -t.nn.functional.logsigmoid(BETA * (up - ref[0] - down + ref[1])))
    assert dpo(z) == pytest.approx(BETA * expit(-BETA * (z - 0.5)), rel=1e-12)
    simpo = by_loss(lambda t, up, down: -t.nn.functional.logsigmoid(BETA * (up / 3 - down / 7) - 1.0))
    assert simpo_force(BETA, 1.0, 3, 7)(z) == pytest.approx(simpo(z), rel=1e-12)
    p = expit(z)
    level = max(0.0, p * (logps(z)[0] - ref[0]) + (1 - p) * (logps(z)[1] - ref[1]))
    for point, number in ((0.0, 0.0), (0.4, 0.4), ("kl", level)):
        wanted = by_loss(lambda t, up, down, k=number: 1 - t.sigmoid(BETA * (up - ref[0] - k)))
        opposed = by_loss(lambda t, up, down, k=number: 1 - t.sigmoid(BETA * (k - down + ref[1])))
        assert kto_force(0.5, BETA, kind="desirable", point=point)(z) == pytest.approx(wanted(z), rel=1e-12)
        assert kto_force(0.5, BETA, kind="undesirable", point=point)(z) == pytest.approx(opposed(z), rel=1e-12)
        both = kto_force(0.5, BETA, point=point)(z)
        assert both == pytest.approx((wanted(z) + opposed(z)) / 2, rel=1e-12)


@pytest.mark.parametrize("start", [-2.0, 0.0, 1.5])
def test_closed_forms_solve_their_equations(start):
    volumes = np.array([0.0, 0.5, 20.0, 3000.0])
    for reference in (None, -1.0, 2.0):
        origin = start if reference is None else reference
        path = solve_ivp(
            lambda n, z, o=origin: C * BETA * expit(-BETA * (z - o)),
            (0, 3000),
            [start],
            t_eval=volumes,
            rtol=1e-11,
            atol=1e-12,
        )
        assert dpo_contrast(start, volumes, C, BETA, reference) == pytest.approx(path.y[0], abs=1e-8)
    plain = forced_contrast(lambda z: expit(-z), start, volumes, C)
    assert aligned_contrast(start, volumes, C) == pytest.approx(plain, abs=1e-7)


def test_what_dpo_made_is_undone_in_its_volume():
    volumes = np.array([1.0, 30.0, 1e3, 1e6])
    top = dpo_contrast(-0.7, volumes, C, BETA)
    needed = dpo_undo_volume(-0.7, volumes, C, BETA)
    assert perturbed_contrast(top, needed, C) == pytest.approx(np.full(4, -0.7), abs=1e-9)


def test_dpo_turned_round():
    volumes = np.array([5.0, 500.0])
    for reference in ("base", "aligned"):
        needed = dpo_reversal(volumes, C, BETA, reference=reference)
        for n, m in zip(volumes, needed, strict=True):
            top = float(dpo_contrast(0.4, n, C, BETA))
            origin = 0.4 if reference == "base" else top
            back = solve_ivp(
                lambda m, z, o=origin: -C * BETA * expit(BETA * (z - o)), (0, m), [top], rtol=1e-11, atol=1e-12
            )
            assert back.y[0, -1] == pytest.approx(0.4, abs=1e-7)
    assert dpo_reversal(volumes, C, BETA, reference="aligned").tolist() == volumes.tolist()


def test_dpo_lasts_longer_beyond_the_crossing_and_shorter_below():
    n = dpo_crossing(0.0, 0.3, 0.1)
    assert float(dpo_contrast(0.0, n, 0.3, 0.1)) == pytest.approx(float(aligned_contrast(0.0, n, 0.3)), abs=1e-8)
    for factor, sign in ((0.5, -1), (2.0, 1), (1000.0, 1)):
        gap = float(dpo_undo_volume(0.0, factor * n, 0.3, 0.1) - undo_volume(0.0, factor * n, 0.3))
        assert gap * sign > 0
    assert (
        float(dpo_undo_volume(0.0, 1e8, 0.3, 0.1) / undo_volume(0.0, 1e8, 0.3)) > 5
    )  # ln(c beta^2 n)/beta over ln(c n)
    assert math.isinf(dpo_crossing(-2.0, 0.3, 1.0))
    with pytest.raises(InputError, match="ahead"):
        dpo_crossing(4.0, 0.3, 0.1)


def test_desirable_data_of_kto_is_slow_sft_and_undesirable_data_is_not():
    z, beta = np.linspace(-2, 8, 21), 0.01
    wanted = np.array([kto_force(0.0, beta, kind="desirable")(x) for x in z])
    assert wanted == pytest.approx(beta / 4 * expit(-z), rel=5 * beta)  # SFT at beta/4 of its speed
    opposed = kto_force(0.0, 0.5, kind="undesirable", point=0.0)
    assert opposed(40.0) / opposed(42.0) == pytest.approx(math.exp(0.5 * 2), rel=1e-3)  # dies like e^{-beta z}
    assert kto_force(0.0, 0.5, kind="desirable")(42.0) < 1e-15 < opposed(42.0)


def test_the_bargain_of_one_more_example_is_the_same_for_all():
    for force in (kto_force(0.0, 0.2), simpo_force(2.0, 0.5, 5, 9), lambda z: expit(-z)):
        top = float(forced_contrast(force, 0.0, 50.0, C))
        more = float(forced_contrast(force, 0.0, 50.01, C))
        bought = quad(lambda z: (1 + math.exp(-z)) / C, top, more)[0] / 0.01
        assert (1 + math.exp(-top)) * force(top) == pytest.approx(bought, rel=1e-3)
    top = float(aligned_contrast(0.0, 50.0, C))
    assert float(undo_slope(0.0, 50.0, C)) == pytest.approx((1 + math.exp(-top)) * expit(-top), rel=1e-10)


def test_volumes_in_any_order():
    force = kto_force(0.0, 0.2)
    one = forced_contrast(force, 0.3, [[5.0, 0.0], [1.0, 5.0]], C)
    assert one.shape == (2, 2)
    assert one[0, 1] == pytest.approx(0.3, rel=1e-14)
    assert one[0, 0] == one[1, 1] > one[1, 0] > 0.3
    assert float(forced_contrast(force, 0.3, 0.0, C)) == 0.3


@pytest.mark.parametrize(
    "call",
    [
        lambda: dpo_contrast(0, 1, 1, 0.0),
        lambda: dpo_contrast(0, -1, 1, 0.1),
        lambda: dpo_reversal(1, 1, 0.1, reference="other"),
        lambda: simpo_force(1, 0, 0, 1),
        lambda: kto_force(0, 0.1, kind="neither"),
        lambda: kto_force(0, 0.1, point=-1.0),
        lambda: forced_contrast(lambda z: 0.0, 0, 1, 1),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
