"""Break one formula of R21-R27 at a time: verify() has to turn red at the result that it belongs to."""

import dataclasses

import numpy as np
import pytest

from elastomath.certify import logit as certify_logit
from elastomath.derivations import logit as derivation
from elastomath.derivations import optimisers as optimiser_derivation
from elastomath.derivations.words import DerivationError
from elastomath.laws import jointness as joint
from elastomath.laws import logit as law
from elastomath.laws import optimisers
from elastomath.verification import cases_of, limits
from elastomath.verification import jointness as joint_checks
from elastomath.verification import logit as checks
from elastomath.verification import optimisers as optimiser_checks

from .helper import changed, first_of_each, is_red, scaled

true_falls, true_volumes, true_gradients = law.first_falls, law.matched_volumes, law.gradient_constants
true_open = limits._falls_without_closure
true_joint, true_effective, true_durability = joint.jointness, joint.effective, optimisers.durability

FLOATS = {
    "a rise one in 1e9 too large": (checks, "rise", scaled(law.rise, 1 + 1e-9), "R21"),
    "the rise by its plain formula": (
        checks,
        "rise",
        lambda z, n, c: z * 0 + n * c + np.exp(min(z, 700)) - np.exp(law.aligned_contrast(z, n, c)),
        "R21",
    ),
    "perturbing with the sign of aligning": (checks, "perturbed_contrast", law.aligned_contrast, "R21"),
    "replay that forgets its share": (
        checks,
        "replayed_contrast",
        lambda z, n, c, share: law.replayed_contrast(z, n, c, np.round(share)),
        "R21",
    ),
    "m* without e^-z": (checks, "undo_volume", lambda z, n, c: law.rise(z, n, c) / c, "R22"),
    "m* linear in n": (checks, "undo_volume", lambda z, n, c: n * np.exp(-z), "R22"),
    "dm*/dn as p/(1-p)": (checks, "undo_slope", lambda z, n, c: 1 / law.undo_slope(z, n, c), "R22"),
    "an exponent of 1/D": (checks, "undo_exponent", lambda z, n, c: 1 / law.rise(z, n, c), "R22"),
    "a ratio without D": (
        checks,
        "return_ratio",
        lambda low, high: (1 / low - 1 / high) / (1 / (1 - high) - 1 / (1 - low)),
        "R22",
    ),
    "a fall in the contrast of c (1-p)": (
        checks,
        "first_falls",
        changed(true_falls, contrast=lambda f: f.code_length / f.contrast),
        "R23",
    ),
    "a fall in the probability without its square": (
        checks,
        "first_falls",
        changed(true_falls, probability=lambda f: f.code_length),
        "R23",
    ),
    "both divergences exchanged": (
        checks,
        "first_falls",
        changed(true_falls, kl_forward=lambda f: f.kl_reverse),
        "R23",
    ),
    "K_a = n": (checks, "matched_volumes", changed(true_volumes, align=lambda v: v.align * 1.001), "R24"),
    "K_p without 1 - pi": (checks, "matched_volumes", changed(true_volumes, pretrain=lambda v: v.pretrain / 2), "R24"),
    "kappa upside down": (checks, "matched_volumes", changed(true_volumes, kappa=lambda v: 1 / v.kappa), "R24"),
    "a slope of exactly -1": (checks, "kappa_exponent", lambda z, n, c: -np.ones_like(n + z), "R24"),
    "c_+ over p": (checks, "gradient_constants", changed(true_gradients, aligning=lambda g: g.aligning * 1.5), "R25"),
    "a cosine of +1": (checks, "gradient_constants", changed(true_gradients, cosine=lambda g: -g.cosine), "R25"),
    "m* a step too long": (optimiser_checks, "durability", changed(true_durability, undo=lambda d: d.undo + 1), "R26"),
    "z_n a step too far": (
        optimiser_checks,
        "durability",
        changed(true_durability, contrast=lambda d: d.contrast * 1.01),
        "R26",
    ),
    "momentum that multiplies by mu": (optimiser_checks, "momentum_constant", lambda c, mu: np.asarray(c * mu), "R26"),
    "noise that does not slow": (optimiser_checks, "noisy_constant", lambda rate, noise, batch=1: rate * 100, "R26"),
    "a beta three percent off": (
        joint_checks,
        "effective",
        changed(true_effective, beta=lambda e: e.beta * 1.03),
        "R27",
    ),
    "volumes of another dataset": (
        joint_checks,
        "effective",
        changed(true_effective, volumes=lambda e: e.volumes * [[0.9], [1.1], [1.0], [1.0]]),
        "R27",
    ),
    "momentum one percent too fast": (
        optimiser_checks,
        "momentum_constant",
        scaled(optimisers.momentum_constant, 1.01),
        "R26",
    ),
    "noise that no batch makes less": (
        optimiser_checks,
        "noisy_constant",
        lambda rate, noise, batch=1: rate / noise,
        "R26",
    ),
    "a carried m* one percent off": (optimiser_checks, "carried_undo", scaled(optimisers.carried_undo, 1.01), "R26"),
    "a late m* one percent off": (optimiser_checks, "late_undo", scaled(optimisers.late_undo, 1.01), "R26"),
    "squares one percent off": (
        optimiser_checks,
        "squares_at_constant_speed",
        scaled(optimisers.squares_at_constant_speed, 1.01),
        "R26",
    ),
    "-0.15 after one percent more steps": (
        optimiser_checks,
        "falling_steps",
        scaled(optimisers.falling_steps, 1.01),
        "R26",
    ),
    "noise that counts one percent more": (
        optimiser_checks,
        "carried_exponent",
        lambda d, noise=0.0: optimisers.carried_exponent(d, 1.01 * noise),
        "R26",
    ),
    "a warm-up that is not taken": (
        optimiser_checks,
        "durability",
        lambda o, steps, **k: true_durability(dataclasses.replace(o, warm_up=0), steps, **k),
        "R26",
    ),
    "a decay towards 0": (
        optimiser_checks,
        "durability",
        lambda o, steps, **k: true_durability(dataclasses.replace(o, anchor=0.0), steps, **k),
        "R26",
    ),
    "a late speed of twice the size": (optimiser_checks, "late_speed", scaled(optimisers.late_speed, 2), "R26"),
    "long phases that undo in half the steps": (
        optimiser_checks,
        "late_undo",
        scaled(optimisers.late_undo, 0.5),
        "R26",
    ),
    "-0.15 after twice the steps": (optimiser_checks, "falling_steps", scaled(optimisers.falling_steps, 2), "R26"),
    "an exponent without 3/(2D)": (optimiser_checks, "carried_exponent", lambda d, noise=0.0: -0.5, "R26"),
    "a warm-up that costs nothing": (optimiser_checks, "warmed_steps", lambda n, w: np.asarray(n, dtype=float), "R26"),
    "nothing missed": (joint_checks, "jointness", changed(true_joint, missed=lambda j: j.missed * 0), "R27"),
    "missed twice": (joint_checks, "jointness", changed(true_joint, missed=lambda j: j.missed * 2), "R27"),
    "comparisons the wrong way round": (
        joint_checks,
        "jointness",
        changed(true_joint, violated=lambda j: j.comparisons - j.violated),
        "R27",
    ),
    "a beta of 1 for everything": (
        joint_checks,
        "effective",
        changed(true_effective, beta=lambda e: np.array([1.0, 0.9, 1.1])),
        "R27",
    ),
}


@pytest.mark.usefixtures("floats_only")
@pytest.mark.parametrize("name", first_of_each(FLOATS, 1, 3))
def test_a_broken_float_is_found_out(name, monkeypatch):
    module, attribute, broken, id = FLOATS[name]
    monkeypatch.setattr(module, attribute, broken)
    assert any(is_red(case, cases=12) for case in cases_of(id))


@pytest.mark.usefixtures("floats_only")
@pytest.mark.parametrize(
    ("id", "module", "attribute", "broken"),
    [
        ("R21a", checks, "aligned_contrast", lambda z, n, c: law.aligned_contrast(z, n, 1.3 * np.asarray(c))),
        ("R21b", checks, "undo_volume", scaled(law.undo_volume, 3.0)),
        ("R21c", checks, "SIGMOID_BEND", checks.SIGMOID_BEND * 0.99),
        ("R21d", checks, "_step_excess", lambda c: 0.49),
        ("R21d", checks, "_step_excess", lambda c: 0.6),
        ("R23a", checks, "aligned_contrast", lambda z, n, c: law.aligned_contrast(z, 3.0, c)),
        ("R24a", checks, "matched_volumes", changed(true_volumes, align=lambda v: v.align * 0 + 5)),
        ("R25a", checks, "gradient_constants", changed(true_gradients, aligning=lambda g: g.kernel)),
        (
            "R26a",
            optimiser_checks,
            "durability",
            lambda o, steps, **k: true_durability(dataclasses.replace(o, carried=False), steps, **k),
        ),
        (
            "R26b",
            optimiser_checks,
            "durability",
            lambda o, steps, **k: true_durability(dataclasses.replace(o, noise=0.0), steps, **k),
        ),
        ("R26c", optimiser_checks, "_adam_undo", lambda counts, settings: ([], [float(1 / n) for n in counts])),
        (
            "R26c",
            optimiser_checks,
            "durability",
            changed(true_durability, contrast=lambda d: np.minimum(d.contrast, 36.7)),
        ),
        ("R26d", optimiser_checks, "_lag", lambda one, square, undo: one / (1 - one)),
        ("R27a", joint_checks, "jointness", changed(true_joint, violated=lambda j: 0)),
        ("R22b", limits, "softmax_path", lambda z, _, *given: checks.softmax_path(z, 1e-9, *given)),
        ("R23b", limits, "_falls_without_closure", lambda z, e, c: true_open(z, e / 2, c)),
        ("R23c", limits, "SIGMOID_BEND", checks.SIGMOID_BEND * 0.99),
        ("R23d", limits, "SIGMOID_BEND", checks.SIGMOID_BEND * 0.99),
        ("R24b", limits, "matched_volumes", changed(true_volumes, align=lambda v: v.align * 1.01)),
        ("R24c", limits, "matched_volumes", changed(true_volumes, pretrain=lambda v: v.pretrain * 1.001)),
        ("R24d", limits, "aligned_contrast", lambda z, n, c: law.aligned_contrast(z, n, np.mean(c) + 0 * c)),
        ("R24e", limits, "matched_volumes", changed(true_volumes, kappa=lambda v: v.kappa * 10)),
        ("R25b", limits, "gradient_constants", changed(true_gradients, aligning=lambda g: g.aligning * 1.01)),
        ("R25c", limits, "gradient_constants", changed(true_gradients, kernel=lambda g: g.kernel * 1.01)),
        ("R27b", limits, "jointness", changed(true_joint, violated=lambda j: 0)),
        ("R27c", limits, "jointness", changed(true_joint, missed=lambda j: j.missed / 2)),
    ],
)
def test_a_limit_that_is_none_is_found_out(id, module, attribute, broken, monkeypatch):
    """A bound one percent too small, a hypothesis that is not dropped: the counterexample shows nothing, and says so."""
    monkeypatch.setattr(module, attribute, broken)
    assert is_red(id, cases=12)


@pytest.mark.usefixtures("floats_only")
@pytest.mark.parametrize(
    ("attribute", "broken", "id"),
    [
        ("aligned_ball", lambda z, s: z + s / (1 + z.exp()), "R21"),
        ("_fallen", lambda z: z + (-z).exp(), "R22"),
    ],
)
def test_a_broken_ball_is_found_out(attribute, broken, id, monkeypatch):
    monkeypatch.setattr(certify_logit, attribute, broken)
    assert is_red(id, cases=12)


@pytest.mark.parametrize("build", [derivation._derive_law, derivation._derive_durability])
def test_a_derivation_from_another_drift_does_not_hold(build, monkeypatch):
    def slower(share, constant, odds):
        return constant * (share - odds / (1 + odds)) / 2

    monkeypatch.setattr(derivation, "drift", slower)
    with pytest.raises(DerivationError):
        build()


@pytest.mark.parametrize(
    ("module", "build"),
    [
        (derivation, derivation._derive_law),
        (derivation, derivation._derive_durability),
        (optimiser_derivation, optimiser_derivation._derive_optimisers),
    ],
)
def test_a_derivation_with_another_level_does_not_hold(module, build, monkeypatch):
    true = derivation.contrast_slope
    monkeypatch.setattr(module, "contrast_slope", lambda expression: true(2 * expression))
    with pytest.raises(DerivationError):
        build()
