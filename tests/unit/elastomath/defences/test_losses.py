"""The losses of defences exert the forces of the laws, and rows that make no sense are refused."""

import math

import pytest
from scipy.special import expit

from elastomath.defences.defence import ATTACKS, DEFENCES, Attack, Defence, named
from elastomath.defences.losses import LOSSES, SIMPO_MARGIN, loss_of
from elastomath.errors import InputError
from elastomath.laws.preferences import kto_force, simpo_force

torch = pytest.importorskip("torch")
BETA, REFERENCE = 0.3, 0.4


def force(name, z):
    """-dloss/dz under closure, the reference at z = 0.4."""
    at = torch.tensor([z], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([REFERENCE], dtype=torch.float64)
    softplus = torch.nn.functional.softplus
    loss = loss_of(name, BETA)(softplus(-at), softplus(at), softplus(-ref), softplus(ref))
    return -float(torch.autograd.grad(loss, at)[0])


def gamma_opposed(z):
    return math.log1p(math.exp(z))


LAWS = {
    "sft": lambda z: expit(-z),
    "dpo": lambda z: BETA * expit(-BETA * (z - REFERENCE)),
    # a margin is in units of the logit, which for one symbol is that of simpo_force with lengths of 1 where z is large
    "simpo": lambda z: BETA * expit(SIMPO_MARGIN - BETA * z),
    "kto": kto_force(REFERENCE, BETA, point=0.0),
    "ascent": expit,
    "noising": lambda z: expit(-z) + expit(z) / (1 + gamma_opposed(z)),
    "npo": lambda z: 2 * expit(z) * expit(BETA * (gamma_opposed(REFERENCE) - gamma_opposed(z))),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("z", [-3.0, 0.0, 0.4, 6.0])
def test_each_loss_has_the_force_of_its_law(name, z):
    assert force(name, z) == pytest.approx(float(LAWS[name](z)), rel=1e-12)
    if name == "simpo":
        assert force(name, z) == pytest.approx(simpo_force(BETA, SIMPO_MARGIN, 1, 1)(z), rel=1e-9)


def test_npo_becomes_gradient_ascent():
    small = 1e-9
    at = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([0.2], dtype=torch.float64)
    loss = loss_of("npo", small)(at, at, ref, ref)
    assert float(torch.autograd.grad(loss, at)[0]) == pytest.approx(-1.0, rel=1e-8)


def test_the_losses_that_move_a_response_lower_its_probability():
    for name in ("ascent", "npo", "dpo", "kto"):
        assert force(name, 2.0) > 0


def test_rows_are_checked():
    for wrong in (
        lambda: Defence("x", "other"),
        lambda: Defence("x", average=1.0),
        lambda: Defence("x", stretch=0.0),
        lambda: Defence("x", rank=-1),
        lambda: Defence("x", beta=-0.1),
        lambda: Attack("x", opposed=1.1),
        lambda: Attack("x", rates=(0.5,)),
        lambda: loss_of("dpo", 0.0),
        lambda: loss_of("other", 0.1),
        lambda: named(("other",), DEFENCES, "defence"),
    ):
        with pytest.raises(InputError):
            wrong()
    named(tuple(ATTACKS), ATTACKS, "attack")


def test_a_row_is_named_by_what_it_changes():
    assert DEFENCES["tamper"].changes() == {"loss": "dpo", "beta": None, "ahead": 4, "retain": 1.0}
    with pytest.raises(InputError):
        Defence("backwards", ahead=-1)
