"""Constants over runs: exponents, first falls, c of the logit law, each back from runs that were drawn with known ones."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from elastomath.fit.constants import answers, bases, grouped, labels, run_constants
from elastomath.fit.course import Course
from elastomath.fit.logit import logit_constants
from elastomath.fit.summary import Joint, bounded, summarise
from elastomath.interval import Interval
from elastomath.laws.logit import aligned_contrast, first_falls, perturbed_contrast, return_ratio, undo_volume
from tests.courses import in_bits


def drawn(
    rng=None, c=0.15, z0=-0.3, volumes=(16, 64, 256), seeds=(0, 1, 2), noise=0.04, top=60.0, points=14, **covariates
):
    """Runs of several alignment volumes and seeds under the logit law; rates by closure."""
    found = []
    m = np.linspace(0, top, points + 1)
    for seed in seeds:
        base = z0 + (0.0 if rng is None else 0.01 * rng.standard_normal())
        for n in volumes:
            z = perturbed_contrast(aligned_contrast(z0, n, c), m, c)
            if rng is not None:
                z = z + noise * rng.standard_normal(z.size)
            errors = np.full(m.size, noise)
            rates = {
                "align": np.stack([np.logaddexp(0, -z), errors]),
                "perturb": np.stack([np.logaddexp(0, z), errors]),
            }
            found.append(
                Course(
                    f"n-{n}-seed-{seed}", "contrast", "nats/response", "examples", m, z, errors, base, 0.01, float(n), rates,
                    {"seed": seed, "align_volume": n} | covariates,
                )
            )  # fmt: skip
    return found


def test_the_exponent_and_the_first_falls_are_those_of_the_law():
    runs = [run_constants(course) for course in drawn(noise=1e-6)]
    told = answers(runs)
    n = np.array([16, 64, 256])
    slope = np.polyfit(np.log(n), np.log(undo_volume(-0.3, n, 0.15)), 1)[0]
    assert told.exponent.documents.estimate == pytest.approx(slope, abs=2e-3)
    step = 60 / 14
    z = aligned_contrast(-0.3, n, 0.15)
    falls = (z - perturbed_contrast(z, step, 0.15)) / step
    for run, fall in zip(runs, falls, strict=False):
        assert run.first_fall["contrast"].estimate == pytest.approx(float(fall), rel=1e-9)
    assert told.first_fall["contrast"].documents.sign() == 1  # R23: grows in the contrast
    assert told.first_fall["probability"].documents.sign() == -1  # and shrinks in the probability beyond p = 2/3
    assert float(first_falls(z[0], -0.3, 0.15).contrast) == pytest.approx(falls[0], rel=0.15)


def test_the_exponents_interval_holds_it():
    rng, n = np.random.default_rng(1), np.array([16, 64, 256])
    slope = np.polyfit(np.log(n), np.log(undo_volume(-0.3, n, 0.15)), 1)[0]
    told = [answers([run_constants(c) for c in drawn(rng)]).exponent for _ in range(20)]
    assert sum(one.documents.holds(slope) for one in told) >= 17
    assert sum(one.seeds.holds(slope) for one in told) >= 16


def test_where_the_largest_was_not_undone_the_exponent_is_a_bound():
    runs = [run_constants(course) for course in drawn(top=25.0, noise=0.01)]
    told = answers(runs).exponent.documents
    n = np.array([16, 64, 256])
    assert told.estimate is None
    assert 0 < told.low <= np.polyfit(np.log(n), np.log(undo_volume(-0.3, n, 0.15)), 1)[0]
    assert told.high is None


def test_a_volume_with_one_end_bounds_the_exponent_from_one_side():
    """Undone by an estimate that is open above: at a large alignment that bounds the exponent from below, at a small one from above."""
    courses = drawn(seeds=(0,), noise=0.01)
    runs = [run_constants(course) for course in courses]
    whole = answers(runs).exponent.documents
    assert whole.closed
    last, first = (replace(run, undo_volume=replace(run.undo_volume, high=None)) for run in (runs[-1], runs[0]))
    below = answers([*runs[:-1], last]).exponent.documents
    assert below.estimate == pytest.approx(whole.estimate)
    assert below.high is None
    assert whole.low - 0.3 * (whole.high - whole.low) < below.low < whole.estimate
    above = answers([first, *runs[1:]]).exponent.documents
    assert above.low is None
    assert above.high > whole.estimate
    # the middle one of three equal steps says nothing of the slope
    middle = replace(runs[1], undo_volume=replace(runs[1].undo_volume, estimate=None, high=None))
    assert answers([runs[0], middle, runs[2]]).exponent.documents == whole
    assert answers([first, runs[1], last]).exponent.documents.low is None


def test_an_exponent_is_of_all_bases_or_of_none():
    """A base without one, or two that are bounded from different sides, leave none: the rest would be chosen by its outcome."""
    runs = [run_constants(course) for course in drawn(seeds=(0, 1), noise=0.01)]
    assert answers(runs).exponent is not None
    open_above = [replace(run, undo_volume=replace(run.undo_volume, high=None)) for run in runs]
    below = [*runs[:2], open_above[2], *runs[3:]]
    assert answers(below).exponent.documents.high is None
    assert answers(below).exponent.documents.low is not None
    assert answers([*below[:3], open_above[3], *runs[4:]]).exponent is None  # >= in one base, <= in the other
    lost = [*runs[:5], replace(runs[5], undo_volume=None)]
    assert answers(lost).exponent is None
    assert answers(lost[:5]).exponent is not None  # without that run nothing is missing


def test_an_exponent_is_over_behaviours_and_seeds_of_one_count_once():
    """Three behaviours whose two seeds agree: what six bases know of other behaviours is what three know."""
    starts = {"advice": 0.6, "tone": -0.3, "refusal": -1.0}
    every = {
        seeds: [
            run_constants(c) for name, z0 in starts.items() for c in drawn(z0=z0, seeds=seeds, top=200.0, pairs=name)
        ]
        for seeds in ((0, 1), (0,))
    }
    six, three = (answers(runs) for runs in every.values())
    assert six.exponent.seeds.method == "Student's t over 3 settings (3+)"
    assert three.exponent.seeds.method == "Student's t over 3 bases (3+)"
    for pooled, alone in (
        (six.exponent, three.exponent),
        *((six.first_fall[m], three.first_fall[m]) for m in six.first_fall),
    ):
        ends = [(one.low, one.estimate, one.high) for one in (pooled.seeds, alone.seeds)]
        assert ends[0] == pytest.approx(ends[1], rel=1e-9)
        assert pooled.documents.estimate == pytest.approx(alone.documents.estimate, rel=1e-9)
        width = [one.high - one.low for one in (alone.documents, pooled.documents)]
        assert width[0] / width[1] == pytest.approx(math.sqrt(2), rel=1e-6)  # readings of a second seed are new
    # one behaviour of three weighs a third, however many seeds it has
    more = [*every[(0,)], *(run_constants(c) for c in drawn(z0=0.6, seeds=(1, 2, 3), top=200.0, pairs="advice"))]
    assert answers(more).exponent.best.estimate == pytest.approx(three.exponent.best.estimate, rel=1e-9)


def test_a_first_fall_is_pooled_as_a_factor_beside_the_difference():
    """Falls of 1.6, 0.1 and 0.05 grow 1.2, 1.25 and 1.3 times: the mean change is the first's and not decided, the factor is."""
    steps, errors = np.array([0.0, 1.0, 2.0]), np.full(3, 1e-4)
    courses = [
        Course(f"{name}-{n:g}", "contrast", "nats/token", "examples", steps, 4.0 - fall * growth * steps, errors, 0.0, 1e-4, n,
               covariates={"pairs": name, "seed": 0})
        for name, fall, factor in (("a", 1.6, 1.2), ("b", 0.1, 1.25), ("c", 0.05, 1.3))
        for n, growth in ((16.0, 1.0), (32.0, factor))
    ]  # fmt: skip
    summary = summarise(courses)
    change, factor = (both["contrast"].best for both in (summary.answers.first_fall, summary.answers.first_fall_factor))
    expected = Interval.of_logs(np.log([1.2, 1.25, 1.3]))
    assert change.estimate == pytest.approx(0.36 / 3)
    assert change.holds(0.0)
    assert factor.method == "Student's t over 3 bases (3+)"
    assert (factor.low, factor.estimate, factor.high) == pytest.approx((expected.low, 1.95 ** (1 / 3), expected.high))
    assert "With more alignment the first fall grows in the contrast." in summary.sentences()
    saved = summary.as_dict()["answers"]
    assert saved["first_fall_factor_per_doubling"]["contrast"]["seeds"]["estimate"] == factor.estimate
    rising = replace(
        courses[-1], values=4.0 + 0.01 * steps
    )  # a behaviour that did not fall has no factor, and the rest no mean
    assert summarise([*courses[:-1], rising]).answers.first_fall_factor == {}


def test_algorithms_are_read_apart():
    courses = [
        replace(course, covariates={"algorithm": name}) for name in ("sft", "dpo") for course in drawn(seeds=(0,))
    ]
    apart = answers([run_constants(course) for course in courses])
    assert apart.exponent is None
    assert set(apart.by_optimiser) == {"another", "dpo"}
    text = " ".join(summarise(courses).sentences()).lower()
    assert "under dpo, twice the alignment buys" in text


def test_groups_are_runs_that_differ_in_their_seed_alone():
    courses = drawn(model="one") + drawn(c=0.3, model="two")
    assert labels(courses) == ["one"] * 9 + ["two"] * 9
    groups = grouped([run_constants(course) for course in courses])
    assert [(group.label, group.align, len(group.runs)) for group in groups[:4]] == [
        ("one", 16.0, 3), ("one", 64.0, 3), ("one", 256.0, 3), ("two", 16.0, 3),
    ]  # fmt: skip
    for group, c in zip(groups, [0.15] * 3 + [0.3] * 3, strict=True):
        assert group.undo_volume.documents.holds(float(undo_volume(-0.3, group.align, c)))


def test_c_comes_back_in_both_phases_and_its_interval_holds_it():
    rng, held = np.random.default_rng(2), {"aligning": 0, "perturbing": 0, "both": 0, "drift": 0}
    for _ in range(12):
        told = logit_constants(drawn(rng, seeds=(0,)))
        for name in held:
            held[name] += getattr(told, name).holds(1.0 if name == "drift" else 0.15)
    assert all(count >= 9 for count in held.values()), held


def test_a_kernel_that_grows_is_seen_as_a_drift():
    """A third pair of theory section 6: c rises along the fall."""
    courses = drawn(noise=0.02)
    bent = [replace(c, values=np.where(c.values < 1, 1 + 1.5 * (c.values - 1), c.values)) for c in courses[:3]]
    assert logit_constants(bent).drift.sign(edge=0) == 1
    assert logit_constants(bent).drift.low > 1.1


def test_going_back_costs_what_the_law_says():
    """0.2526 from 90% to 60%, free of c (R22)."""
    told = logit_constants(drawn(noise=1e-3, points=40, seeds=(0,))).return_ratio
    assert told.estimate == pytest.approx(float(return_ratio(0.6, 0.9)), rel=0.02)


def test_texts_have_no_c():
    assert logit_constants([replace(course, unit="bits/token") for course in drawn()]) is None


def test_the_conclusion_says_what_the_constants_are():
    rng = np.random.default_rng(3)
    told = summarise(drawn(rng))
    text = " ".join(told.sentences())
    assert 3 <= len(told.sentences()) <= 6
    assert "opposed examples undo half of what 256 aligned ones gave" in text
    assert "twice the alignment" in text.lower()
    assert "open" not in text
    assert told.missing == ()
    bare = summarise([replace(course, base=math.nan, base_error=math.nan) for course in drawn(rng)])
    assert "column base_contrast" in bare.missing[0]
    assert "undo half of the contrast above even odds and" in bare.sentences()[0]  # what alignment gave is not known
    short = summarise([replace(course, volumes=course.volumes[:3], values=course.values[:3], errors=course.errors[:3],
                               rates={k: v[:, :3] for k, v in course.rates.items()}) for course in drawn(rng)])  # fmt: skip
    assert "the most that were tried, do not undo all of it" in " ".join(short.sentences())


def test_data_drawn_anew_are_repeats_and_bases_of_their_own():
    courses = [c for seed in (0, 1, 2) for c in drawn(seeds=(seed,), source_seed=10 + seed)]
    assert set(labels(courses)) == {""}
    assert bases(courses)[::3] == ["seed 0, source seed 10", "seed 1, source seed 11", "seed 2, source seed 12"]
    assert [len(group.runs) for group in grouped([run_constants(course) for course in courses])] == [3, 3, 3]


def test_a_volume_of_one_is_no_count_of_examples():
    text = " ".join(summarise([replace(c, align=1.0) for c in drawn(volumes=(64,))]).sentences())
    assert "undo half of what alignment gave" in text
    assert "1 aligned" not in text


def test_the_effective_volumes_are_given_only_near_a_joint_optimum():
    """One line each, and no number where they would mean nothing."""
    kappa = Interval(3.0, 2.5, 3.6)
    assert "the run is not near a joint optimum" in Joint((), 1, kappa).verdict()
    assert "none of 7 runs is near a joint optimum" in Joint((), 7, kappa).verdict()
    some = Joint(("a", "b"), 7, kappa).verdict()
    assert some.endswith(
        "the ratio of the volumes that pre-training and alignment count for (K_pretrain over K_align), is 3.0 [2.5, 3.6]"
    )
    assert (
        "too few or too small to bound kappa, the ratio of the volumes that pre-training and alignment count for (K_pretrain over K_align)"
        in Joint(("a",), 7, Interval(1.0, 1e-16, 1e14)).verdict()
    )
    told = summarise(drawn(), joint=Joint((), 9, kappa))
    assert sum("not near a joint optimum" in s or "near a joint optimum" in s for s in told.sentences()) == 1
    assert not any("3.0 [2.5, 3.6]" in sentence for sentence in told.sentences())


def test_many_courses_give_c_as_fast_as_few():
    """The starts are eliminated: 400 courses of one base, and the constant that a dense least squares of four of them gives."""
    rng = np.random.default_rng(5)
    some = drawn(rng, seeds=range(2), volumes=(16, 64))
    told = logit_constants(some).perturbing

    def gaps(x):
        return np.concatenate(
            [
                (c.values - perturbed_contrast(s, c.volumes, np.exp(x[0]))) / 0.04
                for c, s in zip(some, x[1:], strict=True)
            ]
        )

    from scipy.optimize import least_squares

    dense = least_squares(gaps, [np.log(0.1), *(c.values[0] for c in some)], xtol=1e-14, ftol=1e-14)
    assert np.log(told.estimate) == pytest.approx(dense.x[0], abs=1e-7)
    error = np.sqrt(np.linalg.inv(dense.jac.T @ dense.jac)[0, 0])  # the readings' errors explain what is left
    from scipy.stats import chi2, norm, t

    assert chi2.sf(2 * dense.cost, 55) > 0.05
    assert np.log(told.high / told.estimate) == pytest.approx(error * norm.ppf(0.975), rel=1e-3)
    # errors of a third do not: the scatter that is left takes their place
    small = logit_constants([replace(course, errors=course.errors / 3) for course in some]).perturbing
    error *= np.sqrt(2 * dense.cost / 55) * t.ppf(0.975, 55)
    assert np.log(small.high / small.estimate) == pytest.approx(error, rel=1e-3)
    many = logit_constants(drawn(rng, seeds=range(200), volumes=(16, 64)))
    assert many.perturbing.estimate == pytest.approx(0.15, rel=3e-3)
    assert many.perturbing.high / many.perturbing.low < 1.01


@pytest.mark.parametrize(("near", "far"), [(1, 2), (2, 10), ("slice 9", "slice 10")])
def test_a_loss_that_is_lower_going_back_is_seen(near, far):
    """Resistance from start and target: forward less inverse, over seeds; as text the tenth slice would come before the second."""
    found = []
    for seed in range(4):
        for start, target, end in ((near, far, 3.0), (far, near, 2.8)):
            rates = {
                "align": np.array([[2.0, 2.1], [0.1, 0.1]]),
                "perturb": np.array([[4.0, end + 0.01 * seed * (1 + (start == far))], [0.1, 0.1]]),
            }
            about = {"seed": seed, "start": start, "target": target}
            found.append(
                Course("r", "contrast", "bits/token", "examples", np.array([0.0, 9.0]), np.array([2.0, 0.9]), np.full(2, 0.1),
                       rates=rates, covariates=about)
            )  # fmt: skip
    told = answers([run_constants(course) for course in found]).resistance
    assert told.seeds.estimate == pytest.approx(0.185)
    assert told.seeds.sign() == 1


def test_a_control_explains_its_share():
    steps, errors = np.array([0.0, 8.0, 16.0]), np.full(3, 0.01)
    rates = {"align": np.zeros((2, 3)), "perturb": np.zeros((2, 3))}
    arms = [
        Course(
            arm,
            "contrast",
            "bits/token",
            "examples",
            steps,
            2.0 - slope * steps,
            errors,
            0.0,
            0.0,
            16.0,
            rates,
            {"arm": arm},
        )
        for arm, slope in (("perturb", 0.1), ("control", 0.04))
    ]
    control = answers([run_constants(course) for course in arms]).control
    assert control.documents.estimate == pytest.approx(0.6)
    assert control.documents.closed
    assert control.seeds is None
    # three alignment volumes of one base are one base still, and their readings of the same documents
    volumes = [replace(arm, align=align) for arm in arms for align in (16.0, 64.0, 256.0)]
    assert answers([run_constants(course) for course in volumes]).control == control
    seeds = [
        replace(arm, align=align, covariates=arm.covariates | {"seed": seed}, values=2.0 - (2.0 - arm.values) * part)
        for arm in arms
        for align in (16.0, 64.0, 256.0)
        for seed, part in enumerate((1.0, 1.0 + 0.1 * (arm.covariates["arm"] == "control")))
    ]
    over = answers([run_constants(course) for course in seeds]).control.seeds
    expected = Interval.of_values([0.6, 0.56])
    assert over.method == "Student's t over 2 bases"
    assert (over.low, over.estimate, over.high) == pytest.approx((expected.low, 0.58, expected.high))


def test_a_control_beside_what_did_not_fall_is_no_share_of_the_others():
    """Two seeds, in the second of which the perturbation lifted the behaviour: its share is none, and the first alone no mean."""
    steps, errors = np.array([0.0, 8.0, 16.0]), np.full(3, 0.01)
    rates = {"align": np.zeros((2, 3)), "perturb": np.zeros((2, 3))}
    arms = [
        Course(f"{arm}-{seed}", "contrast", "bits/token", "examples", steps, 2.0 - slope * steps, errors, 0.0, 0.0, 16.0, rates,
               {"arm": arm, "seed": seed})
        for seed, slopes in enumerate(((0.1, 0.04), (-0.01, 0.04)))
        for arm, slope in zip(("perturb", "control"), slopes, strict=True)
    ]  # fmt: skip
    assert answers([run_constants(course) for course in arms[:2]]).control.documents.estimate == pytest.approx(0.6)
    assert answers([run_constants(course) for course in arms]).control is None


def test_runs_in_bits_and_in_nats_are_put_together_in_one_unit():
    """1 bit = ln 2 nats: half of the seeds in bits change no constant (their mean was 1.21 of neither, for 0.99 nats)."""
    runs = drawn(np.random.default_rng(1), seeds=(0, 1, 2, 3))
    mixed = [in_bits(run) if run.covariates["seed"] % 2 else run for run in runs]
    for one, other in zip(summarise(runs).groups, summarise(mixed).groups, strict=True):
        assert other.after.best.estimate == pytest.approx(one.after.best.estimate, rel=1e-12)
        assert other.after.best.unit == "nats/response"
        assert other.undo_volume.best.estimate == pytest.approx(one.undo_volume.best.estimate, rel=1e-9)
    assert summarise(mixed).logit.keys() == summarise(runs).logit.keys()
    both = logit_constants(mixed).perturbing
    assert both.estimate == pytest.approx(logit_constants(runs).perturbing.estimate, rel=1e-9)


def test_rates_of_other_things_are_not_put_together():
    runs = [replace(run, unit="bits/byte" if run.covariates["seed"] else "bits/token") for run in drawn(seeds=(0, 1))]
    summary = summarise(runs)
    assert len(summary.groups) == 6
    assert {group.label for group in summary.groups} == {"bits/byte", "bits/token"}
    assert {"after", "first fall"} < set(summary.cells()[0])
    assert summary.answers.first_fall == {}
    assert summary.answers.exponent is not None
    tokens = summarise([replace(run, volume_unit="tokens" if run.covariates["seed"] else "examples") for run in runs])
    assert "undone by (units of volume)" in tokens.cells()[0]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.99])
def test_what_going_back_costs_has_the_level_that_is_asked_for(level):
    """The interval at 95%, scaled by the quotient of the normal quantiles: at 50% it was a third as wide."""
    runs = drawn(np.random.default_rng(5), seeds=(0,), noise=0.004)
    halves = [
        math.log(ratio.high / ratio.low) / 2
        for ratio in (logit_constants(runs, part).return_ratio for part in (level, 0.95))
    ]
    assert halves[0] / halves[1] == pytest.approx(norm.ppf(0.5 + level / 2) / norm.ppf(0.975), rel=0.05)


def test_an_exponent_whose_power_is_no_double_is_said_without_it():
    """Alignments of 16 and 16.0001 examples: 2^b was an OverflowError."""
    steps = np.array([0.0, 1e-3, 1.0, 1e3, 1e6])
    courses = [
        Course(f"{seed}-{align:g}", "contrast", "nats/response", "examples", steps, 2 - 2 * np.minimum(1.5, steps / volume),
               np.full(5, 1e-3), 0.0, 1e-3, align, covariates={"seed": seed})
        for seed, volumes in ((0, (1e-2, 1e5)), (1, (1e5, 1e-2)))
        for align, volume in zip((16.0, 16.0001), volumes, strict=True)
    ]  # fmt: skip
    text = " ".join(summarise(courses).sentences())
    assert "inf" not in text.split()
    assert "None" not in text


def test_no_interval_is_printed_that_says_nothing():
    assert bounded(Interval(0.29, 2.7e-16, 3.2e14)) is None
    assert bounded(Interval(0.0, None, 18.2)) == "< 18.2"
    assert bounded(Interval(None, 1768.0, None)) == "> 1768"
    assert bounded(Interval(3.0, None, None)) is None


def test_readings_without_errors_are_taken_at_their_word():
    """Three readings leave no error to be had: what is undone has an estimate, what is not is more than the last, and seeds bound both."""

    def course(seed, fall, align=4.0):
        values = np.array([1.0, 1.0 - fall / 2, 1.0 - fall])
        return Course(f"{align:g}-{seed}", "contrast", "bits/symbol", "symbols", np.array([0.0, 1.0, 2.0]), values, np.full(3, math.nan),
                      0.0, math.nan, align, covariates={"seed": seed})  # fmt: skip

    undone, left = (run_constants(course(0, fall)).undo_volume for fall in (1.25, 0.5))
    assert undone.estimate == pytest.approx(1.6, rel=1e-2)
    assert (undone.low, undone.high, left.estimate, left.low) == (None, None, None, 2.0)
    (group,) = grouped([run_constants(course(seed, fall)) for seed, fall in enumerate((1.25, 1.1, 0.9, 0.5))])
    logs = np.log([undone.estimate, run_constants(course(1, 1.1)).undo_volume.estimate, 2.0, 2.0])
    bound = group.undo_volume.best
    assert bound.estimate is None
    assert bound.high is None
    assert bound.low == pytest.approx(np.exp(logs.mean() - 3.1824 * logs.std(ddof=1) / 2), rel=1e-3)
    # the exponent: a bound from below, whose scatter is that over seeds
    runs = [
        run_constants(course(seed, fall + 0.1 * seed, align))
        for seed in range(3)
        for align, fall in ((1.0, 1.5), (4.0, 0.6))
    ]
    exponent = answers(runs).exponent.best
    assert exponent.estimate is None
    assert exponent.high is None
    assert 0 < exponent.low < 0.5
    text = " ".join(summarise([run.course for run in runs]).sentences())
    assert "and 2, the most that were tried, do not undo all of it." in text
    assert "an unknown number" not in text


def test_a_constant_is_not_told_where_its_law_misses_the_courses():
    """Courses that stay and then drop miss the logit law by more than a tenth of their fall; beside others they are counted."""
    good = drawn(seeds=(0, 1), noise=0.02)
    steep = [
        replace(c, values=c.values[0] - 4.0 * (c.volumes / 60) ** 4, covariates=c.covariates | {"seed": 7})
        for c in drawn(seeds=(7,), noise=0.02)
    ]
    alone, beside = (" ".join(summarise(courses).sentences()) for courses in (steep, [*good, *steep]))
    assert "The logit law gives no constant c here: what it misses of the courses is" in alone
    assert "c = 0.15 nats in each of 2 bases" in beside
    assert "1 more is left out, whose courses it misses by over 10% of their fall" in beside
