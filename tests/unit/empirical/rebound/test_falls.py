"""F2's numbers on readings made from R13 and R19: slopes exactly, fits to the true numbers, and what sets the laws apart."""

from __future__ import annotations

import numpy as np
import pytest

from empirical.rebound.falls import LAWS, estimate, falls, slope_weights, summarise

N, M = (100, 200, 400), (25, 50, 100, 200)
NATS = np.log(2.0)
JOINT, FORGETTING = LAWS
NUMBERS = {
    JOINT.name: np.array([0.9, 0.6, np.log(300)]),
    FORGETTING.name: np.array([0.5, 0.4, np.log(300), np.log(90)]),
}


def reading(phase, volume, contrast, noise=0.0, seed=0):
    """Ten documents of 20 tokens of each kind whose contrast is ``contrast`` bits per token."""
    rng = np.random.default_rng([seed, volume, len(phase)])
    tokens = [20.0] * 10
    half = 10.0 * contrast * NATS
    jitter = noise * rng.standard_normal((2, 10))
    jitter -= jitter.mean(1, keepdims=True)
    return {
        "phase": phase,
        "volume": volume,
        "nats_perturb": list(80.0 + half + jitter[0]),
        "nats_align": list(80.0 - half + jitter[1]),
        "tokens_perturb": tokens,
        "tokens_align": tokens,
        "kl_forward": 0.1,
        "kl_reverse": 0.1,
    }


def results(law, seeds=(0, 1), shift=0.0, noise=1.0):
    out = []
    for seed in seeds:
        for n in N:

            def at(m, opposed, n=n, seed=seed):
                value = law.contrast(NUMBERS[law.name], *(np.array([float(v)]) for v in (n, m, opposed)))
                return float(value[0]) * (1 + shift * seed)

            rows = [reading("base", 0, -0.05), reading("adapted", 0, 0.0), reading("aligned", n, at(0, 1), noise, seed)]
            rows += [reading("perturb", m, at(m, 1), noise, seed) for m in M]
            rows += [reading("control", m, at(m, 0.5), noise, seed) for m in M]
            c = {"seed": seed, "direction": "forward", "algorithm": "sft", "align_volume": n}
            out.append({"configuration": c, "readings": rows})
    return out


def law_slope(law, m, excess):
    n = np.array(N, dtype=float)
    full = np.full(3, float(m))
    start = law.contrast(NUMBERS[law.name], n, full if excess else 0 * n, np.full(3, 0.5 if excess else 1.0))
    return float(slope_weights(N) @ (start - law.contrast(NUMBERS[law.name], n, full, np.ones(3))))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_slopes_and_laws_are_recovered_from_their_own_readings(law):
    (group,) = falls(results(law))
    assert group["units"] == 2
    for name, m, excess in (
        ("first_fall", M[0], False),
        ("depth", M[-1], False),
        ("first_excess", M[0], True),
        ("excess_depth", M[-1], True),
    ):
        assert group[name]["slope"]["estimate"] == pytest.approx(law_slope(law, m, excess), abs=1e-12)
    true, rival = sorted(group["laws"], key=lambda row: row["name"] != law.name)
    assert true["rms"] < 1e-6 < 1e-3 < rival["rms"]
    assert true["heldout_rms"] < 1e-5 < rival["heldout_rms"]
    a, b, *volumes = true["numbers"].values()
    np.testing.assert_allclose([a, b, *np.log(volumes)], NUMBERS[law.name], rtol=1e-4)
    for name in ("first_fall", "depth", "first_excess", "excess_depth"):
        measured = group[name]["slope"]["estimate"]
        assert true["slopes"][name]["slope"] == pytest.approx(measured, abs=1e-6)


def test_the_excess_tells_the_laws_apart_where_the_fall_does_not():
    """R19: the fall grows with n and the excess does not; R13: the excess shrinks by (k+n+m) whatever the targets."""
    (forgetting,), (joint,) = falls(results(FORGETTING)), falls(results(JOINT))
    assert forgetting["first_fall"]["slope"]["estimate"] > 0.005
    assert abs(forgetting["excess_depth"]["slope"]["estimate"]) < 1e-12
    assert joint["excess_depth"]["slope"]["estimate"] < -0.005
    a, b, k = (*NUMBERS[JOINT.name][:2], np.exp(NUMBERS[JOINT.name][2]))
    for row, n in zip(joint["excess_depth"]["by_volume"], N, strict=True):
        assert row["estimate"] == pytest.approx(M[-1] * (a + b) / 2 / (k + n + M[-1]), abs=1e-12)


def test_intervals_are_students_over_seeds_and_open_for_one():
    (one,) = falls(results(FORGETTING, seeds=(0,)))
    assert one["depth"]["slope"]["low"] is None
    (two,) = falls(results(FORGETTING, seeds=(0, 1), shift=0.2))
    slope = two["depth"]["slope"]
    first = law_slope(FORGETTING, M[-1], False)
    assert slope["estimate"] == pytest.approx(1.1 * first, abs=1e-12)
    # two seeds: the half width is t(0.975, 1) |difference| / 2 = 12.706 |d| / 2
    assert slope["high"] - slope["estimate"] == pytest.approx(12.7062 * 0.2 * first / 2, rel=1e-4)


def test_two_directions_of_a_seed_count_once():
    """The same again with the roles exchanged: two seeds know no more than before, of documents that they share neither."""
    one = results(FORGETTING, seeds=(0, 1), shift=0.2)
    other = [run | {"configuration": run["configuration"] | {"direction": "exchanged"}} for run in one]
    forward, exchanged, both = falls([*one, *other])
    assert both["direction"] == "both"
    assert both["units"] == 4
    for name in ("first_fall", "depth", "first_excess", "excess_depth"):
        assert both[name]["slope"] == pytest.approx(forward[name]["slope"])
        assert exchanged[name]["slope"] == pytest.approx(forward[name]["slope"])
    assert both["slowing"]["units"] == 2
    for mine, theirs in zip(both["laws"], forward["laws"], strict=True):
        assert mine["chi2_per_point"] == pytest.approx(theirs["chi2_per_point"])  # it was twice that


def test_errors_over_documents_are_those_of_draws():
    values, errors = [], []
    runs = results(FORGETTING, seeds=(0,), noise=0.0)
    for draw in range(300):
        rng = np.random.default_rng(draw)
        row = []
        for run, weight in zip(runs, slope_weights(N), strict=True):
            drawn = []
            for true in run["readings"]:
                noisy = {
                    f"nats_{kind}": list(np.array(true[f"nats_{kind}"]) + rng.standard_normal(10))
                    for kind in ("align", "perturb")
                }
                drawn.append(true | noisy)
            row.append((drawn, [(weight, "aligned", 0), (-weight, "perturb", M[-1])]))
        found = estimate({(0, "forward"): row})
        values.append(found["estimate"])
        errors.append(found["se_documents"])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


def test_the_fall_is_fast_first_and_its_return_volume_is_bracketed():
    run = results(FORGETTING, noise=0.0)[0]
    (group,) = falls(results(FORGETTING))
    assert group["slowing"]["estimate"] > 0
    told = summarise(run, "a run")
    back = told["return_volume"]
    (a, b), (align, perturb) = NUMBERS[FORGETTING.name][:2], np.exp(NUMBERS[FORGETTING.name][2:])
    exact = perturb * np.log1p(a * -np.expm1(-N[0] / align) / b)
    assert back["low"] <= exact <= back["high"]
    assert back["estimate"] == pytest.approx(exact, rel=0.05)
    assert told["beyond_control"]["estimate"] < 0


def test_a_control_that_counts_as_opposed_data_is_found_out(monkeypatch):
    """The mutant: a law that forgets that the control is half of each kind no longer fits its own readings."""
    from empirical.rebound import falls as module

    def mutant(volumes, n, m, opposed):
        return FORGETTING.parts(volumes, n, m, np.ones_like(opposed))

    monkeypatch.setattr(module, "LAWS", (module.ScoreLaw(FORGETTING.name, FORGETTING.volumes, mutant),))
    (group,) = falls(results(FORGETTING))
    assert group["laws"][0]["rms"] > 1e-3
