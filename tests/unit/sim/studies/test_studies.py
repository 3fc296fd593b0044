"""The studies' own pieces at closed forms: R16 with a clock, prefixes, imbalance of forces, intervals; mutants that have to fail."""

from __future__ import annotations

import importlib
import inspect
import math
import textwrap

import numpy as np
import pytest

from elastomath import InputError, Mixture, path_entropies
from elastomath.fit.course import courses
from elastomath.fit.sequential import best_clock, elastic_limit, read, run_down
from elastomath.interval import Interval
from elastomath.laws.forgetting import elasticity_constant
from sim import CountingCompressor, MixtureCompressor, problem_of_family, problem_of_markov
from sim.studies import STUDIES, constant, defence, kernel, load_study, order, over_seeds, replay
from sim.studies.conclusions import conclusion
from sim.studies.hooke import balance, imbalance
from sim.studies.kernel import _missed
from sim.studies.plans import perturbations
from sim.studies.rebound import _undoing, exponents, gaps
from sim.studies.sequence import _errors, _slope
from sim.studies.study import study_curve
from sim.studies.volumes import _constant, median_limit
from sim.studies.worker import cut, prefix_divergences, represented_depth

STEPS = perturbations()


def counted(eta, k=6.0, n=1.0, seed=0):
    """H_i along the perturbation of counting that forgets eta in a unit, after k of D_p and n of D_a; (3, J+1)."""
    counting = CountingCompressor(problem_of_family("union2", 1.5, 64, seed, alphabet=4), prior=0.0, forgetting=eta)
    state = counting.train(counting.train(counting.start(), 0, k), 1, n)
    return np.array([counting.entropies(counting.train(state, 2, step)) for step in STEPS]).T


@pytest.mark.parametrize("eta", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("k", [1.0, 27.0])
def test_counting_that_forgets_counts_for_what_r19_says(eta, k):
    """K_p/K_a = X_a (1 - X_p)/(1 - X_a), X = (1 - eta)^volume (R19), from the curve alone, read at l' = (e^{hl} - 1)/h."""
    h = -math.log1p(-eta)
    seen = read(STEPS, counted(eta, k), h)
    assert seen.kappa == pytest.approx(float(elasticity_constant(k, 1.0, eta)), rel=1e-4)
    assert seen.align == pytest.approx((1 - math.exp(-h)) / h, rel=1e-4)  # in units of the perturbation at rest
    assert seen.misfit < 1e-4
    assert abs(read(STEPS, counted(eta, k), 0.0).kappa / seen.kappa - 1) > 0.1 * eta  # nominal l is biased


@pytest.mark.parametrize("eta", [0.0, 0.2, 0.5])
def test_the_clock_is_found_from_the_curve(eta):
    """The h that leaves no misfit is that of the compressor, and with it kappa is R19's."""
    seen = best_clock(STEPS, counted(eta))
    assert seen.clock == pytest.approx(-math.log1p(-eta), abs=0.02)
    expected = 6.0 if eta == 0 else float(elasticity_constant(6.0, 1.0, eta))
    assert seen.kappa == pytest.approx(expected, rel=0.02)


def test_a_joint_curve_has_the_nominal_volumes_and_no_clock():
    rows = problem_of_family("union2", 1.5, 64, 3).masses
    seen = read(STEPS, path_entropies(Mixture.of(rows, [9.0, 1.0, 0.0]), STEPS))
    assert (seen.pretrain, seen.align) == (pytest.approx(9, rel=1e-4), pytest.approx(1, rel=1e-4))


def test_run_down_is_the_ratio_of_weights_that_counting_keeps():
    """After l in sequence the weights of D_t and of all before are in the ratio l'/1 of a joint run at l'."""
    h, step = 0.7, 1.3
    kept, gained = math.exp(-h * step), (1 - math.exp(-h * step)) / h
    assert run_down([step], h)[0] == pytest.approx(gained / kept, rel=1e-12)


def test_no_constant_where_a_volume_is_negative():
    rates = np.array([[1.0, 1.1, 1.2, 1.3], [1.0, 1.1, 1.3, 1.35], [2.0, 1.9, 1.7, 1.4]])
    assert read([0, 0.5, 1, 2], rates).kappa is None or read([0, 0.5, 1, 2], rates).kappa > 0
    assert elastic_limit([0, 0.5, 1, 2], [5, 1], rates) == 0.5  # nothing pushes back even at first


def test_a_cut_is_the_mixture_of_the_cut_trees():
    """Merging leaves after mixing is mixing merged leaves, so the cut problem's optimum is the cut of the optimum."""
    problem = problem_of_markov(2, 2, 5, seed=1)
    whole, short = MixtureCompressor(problem), MixtureCompressor(cut(problem, 3))
    volumes = np.array([4.0, 1.0, 0.5])
    merged = whole.masses(volumes).reshape(8, -1).sum(axis=1)
    assert np.allclose(short.masses(volumes), merged, atol=1e-15)
    for depth in (0, 6):
        with pytest.raises(InputError):
            cut(problem, depth)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_code_of_that_order_represents_one_symbol_more(order):
    """Counting that sees m symbols of the past has KL_d = 0 for d <= m + 1, exactly, and KL_d > 0 beyond on a deeper source."""
    problem = problem_of_markov(3, 4, 5, seed=2, split=1.0, sharpness=0.5)
    counting = CountingCompressor(problem, prior=0.0, order=order)
    gaps = prefix_divergences(problem, problem.masses[0], counting.masses(counting.optimum([1.0, 0.0, 0.0])))
    assert max(gaps[: order + 1]) < 1e-14 < 1e-4 < gaps[order + 1]
    assert np.all(np.diff(gaps) >= -1e-14)
    assert order + 1 < represented_depth(gaps, 1e-3) < order + 2
    assert represented_depth(gaps, gaps[-1]) == 5.0


def test_represented_depth_refuses_no_tolerance():
    with pytest.raises(InputError):
        represented_depth([0.1], 0.0)


def test_forces_of_a_joint_optimum_balance_to_first_order_only_forward():
    """|sum|/max = (1/2) l (T - 1)/(1 - A) / ... falls linearly with l for D(P||q); for D(q||P) it does not fall."""
    rows = problem_of_family("union2", 1.5, 64, 1).masses
    path = Mixture.of(rows, [20.0, 1.0, 0.0])
    codes = path_entropies(path, [0.0, 1e-3, 2e-3])[:2]
    seen = [imbalance([20, 1], codes[:, j] - codes[:, 0]) for j in (1, 2)]
    assert seen[1] / seen[0] == pytest.approx(2.0, rel=5e-3)
    q = [path.at(step).masses for step in (0.0, 1e-3)]
    change = [float((q[1] * np.log(q[1] / row)).sum() - (q[0] * np.log(q[0] / row)).sum()) for row in rows[:2]]
    assert imbalance([20, 1], change) > 50 * seen[0]


def test_students_interval():
    """scipy's t quantile by hand for three values: 4.302653 s/sqrt(3)."""
    seen = over_seeds([1.0, 2.0, 4.0])
    half = 4.302652729911275 * math.sqrt(7 / 3) / math.sqrt(3)
    assert (seen.estimate, seen.low, seen.high) == pytest.approx((7 / 3, 7 / 3 - half, 7 / 3 + half))
    share = over_seeds([0.0, 1.0], within=(0.0, 1.0))
    assert (share.low, share.estimate, share.high) == (0.0, 0.5, 1.0)
    assert over_seeds([None, math.nan]) is None
    assert over_seeds([3.0]).low is None
    assert (
        over_seeds([1.0, None, 4.0]) is None
    )  # the mean of those that have a value would be chosen by what it measures


def limits(*rows: tuple[int, float, float | None]) -> list:
    """Readings (seed, n, limit) of perturbations up to 2."""
    return [{"seed": seed, "n": n, "limit": limit, "most": 2.0} for seed, n, limit in rows]


@pytest.mark.parametrize("share", [0.9, 0.1])
def test_a_share_that_all_seeds_have_keeps_its_level(share):
    """Eight seeds, each wholly right with probability 0.9: in 0.9^8 = 43% of the cases all are, where Student's interval was [1, 1]."""
    rng = np.random.default_rng(0)
    draws = [over_seeds((rng.random(8) < share).astype(float).tolist(), within=(0.0, 1.0)) for _ in range(1000)]
    assert np.mean([value.holds(share) for value in draws]) > 0.9
    whole = over_seeds([1.0] * 8, within=(0.0, 1.0))
    assert (whole.estimate, whole.low, whole.high) == (1.0, pytest.approx(0.025 ** (1 / 8)), 1.0)
    assert over_seeds([1.0], within=(0.0, 1.0)).low is None
    third = over_seeds([1 / 3] * 4, within=(0.0, 1.0))  # the others may be anything from 0 to 1
    p = 0.025 ** (1 / 4)
    assert (third.low, third.high) == (pytest.approx(p / 3), pytest.approx(p / 3 + 1 - p))


def test_the_median_of_limits_counts_those_that_were_not_reached():
    """By hand: limits over n of 0.5, 1, > 2 have the median 1; where half is beyond, only a bound."""
    reached = median_limit(
        limits((0, 1.0, 0.5), (0, 1.0, 1.0), (0, 1.0, None), (1, 1.0, 2.0), (1, 1.0, 1.5), (1, 1.0, None))
    )
    assert reached.estimate == pytest.approx((1.0 + 2.0) / 2)  # seed 1: 1.5, 2 and one beyond 2
    bound = median_limit(limits((0, 1.0, 0.5), (0, 1.0, None), (0, 2.0, None)))
    assert (bound.estimate, bound.low, bound.high) == (None, 1.0, None)
    never = median_limit(limits((0, 1.0, None)))
    assert (never.estimate, never.low, never.high) == (None, 2.0, None)


def test_an_alignment_that_was_not_undone_leaves_no_exponent():
    undo = [{"n": n, "volume": volume, "law": None} for n, volume in ((1.0, 1.0), (2.0, 2.0), (4.0, None))]
    rows = [{"seed": seed, "undo": undo[: 3 - seed]} for seed in (0, 1)]
    assert exponents(rows) == [None, pytest.approx(1.0)]
    (answer,) = _undoing("softmax", "rate 1", rows)
    assert answer.value.estimate is None
    way = {
        "n": 8,
        "z": 1.0,
        "forecast_z": 1.1,
        "kernel": 1.0,
        "turned": 0.1,
        "undo_volume": 4.0,
        "forecast_undo_volume": 5.0,
    }
    ways = [way, way | {"undo_volume": None}]
    assert (_errors({"base": {"z": 0.0}, "ways": ways})["undo"], _missed({"ways": ways})) == (None, None)
    assert (_errors({"base": {"z": 0.0}, "ways": [way]})["undo"], _missed({"ways": [way]})) == (0.25, 0.25)
    assert _slope([1.0, 2.0, 4.0], [[1.0], [0.5], [0.25]]).estimate == pytest.approx(-1.0)
    assert _slope([1.0, 2.0, 4.0, 8.0], [[1.0], [0.5], [0.25], [None]]) is None
    assert "1 of 5 alignments were not undone" in answer.sentence


def test_the_errors_of_a_forecast_are_those_of_its_worst_alignment():
    """By hand, from a base at z = 0.5: 8 foretold for 10 and 10 for 8; 2.2 for 2.5 of a rise of 2; a kernel of 0.8; a turn of 0.3."""
    near = {"z": 1.5, "forecast_z": 1.6, "kernel": 1.1, "turned": 0.1, "undo_volume": 10.0, "forecast_undo_volume": 8.0}
    far = {"z": 2.5, "forecast_z": 2.2, "kernel": 0.8, "turned": 0.3, "undo_volume": 8.0, "forecast_undo_volume": 10.0}
    errors = {"undo": 0.25, "contrast": 0.15, "drift": 0.2, "turned": 0.3}
    assert _errors({"base": {"z": 0.5}, "ways": [near, far]}) == pytest.approx(errors)
    over = near | {"forecast_undo_volume": 13.0}
    assert _errors({"base": {"z": 0.5}, "ways": [over]})["undo"] == pytest.approx(0.3)


def test_the_exponent_in_the_width_is_a_slope_for_each_seed():
    """Five seeds of slopes -1, -1.2 ... -1.8 without a scatter about them, and five of one slope whose points scatter in the same way."""
    widths, slopes = [8.0, 16.0, 32.0, 64.0], [-1.0, -1.2, -1.4, -1.6, -1.8]
    apart = _slope(widths, [[width**slope for slope in slopes] for width in widths])
    expected = over_seeds(slopes)
    assert (apart.low, apart.estimate, apart.high) == pytest.approx((expected.low, -1.4, expected.high))
    scattered = _slope(widths, [[kick / width] * 5 for width, kick in zip(widths, (2.0, 1.0, 1.0, 2.0), strict=True)])
    assert (scattered.low, scattered.high) == pytest.approx((-1.0, -1.0))
    assert _slope(widths, [[1 / width] for width in widths]).low is None  # one seed says nothing of other seeds


def test_a_contrast_that_did_not_rise_has_no_exponent_in_the_sentence():
    """The second seed of the widest network ended below its base: the sentence had "the contrast as steps^None"."""

    def row(width, depth, seed):
        ways = [
            {"n": n, "z": -0.1 if (width, seed) == (32, 1) else 0.1 * n, "kernel": 1 + 0.1 / n, "turned": n / width,
             "undo_volume": 4.0, "forecast_undo_volume": 5.0}
            for n in (4, 16)
        ]  # fmt: skip
        configuration = {"settings": {"width": width, "depth": depth}, "seed": seed}
        return configuration, {"behaviour": {"base": {"z": 0.0}, "ways": ways}}

    shapes = ((8, 2), (32, 2), (8, 1))
    results = kernel.answers([row(*shape, seed) for shape in shapes for seed in (0, 1)])[0]
    sentences = {answer.id: answer.sentence for answer in results}
    assert sentences["turned/steps"].endswith("the contrast does not rise in every seed and has no exponent.")
    assert not [text for text in sentences.values() if "None" in text]


def test_how_many_times_as_long_is_a_geometric_mean():
    """Ratios of 1/2 and 2: neither order lasts longer, where the arithmetic mean had each last 1.25 times as long as the other."""

    def one(early, late):
        rows = [
            {"order": "early", "undo_volume": early},
            {"order": "interleaved", "undo_volume": 1.0},
            {"order": "late", "undo_volume": late},
        ]
        configuration = {"dynamics": "perceptron", "source": {"neutral": True}}
        return configuration, {"order": {"past": 64, "n": 128, "start": 0.0, "constant": 0.05, "orders": rows}}

    for first, second in ((1.0, 2.0), (2.0, 1.0)):
        early, _ = order.answers([one(first, second), one(second, first)])[0]
        assert early.value.estimate == pytest.approx(1.0)
    expected = over_seeds(np.log([0.5, 2.0]).tolist())
    assert (early.value.low, early.value.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    left = order.answers([one(0.0, 2.0), one(1.0, 2.0)])[0]
    assert [answer.id.split("/")[0] for answer in left] == [
        "interleaved"
    ]  # nothing of an early one was left: no factor


def interval_of(estimate, low, high):
    return {"value": {"estimate": estimate, "low": low, "high": high, "level": 0.95}}


@pytest.mark.parametrize(
    ("study", "values", "data", "word", "wrong"),
    [
        ("volumes", {"beta-pretrain/softmax/a": (1.5, 1.2, 1.8)}, {}, "by more than its volume", "by less"),
        ("volumes", {"beta-pretrain/softmax/a": (0.9, 0.2, 1.6)}, {}, "leave open", "by less"),
        ("volumes", {"beta-pretrain/counting/a": (0.9, 0.8, 1.0), "r19/counting/a": (0.3, 0.0, None)}, {}, "not the law", "exactly"),
        ("rebound", {"f2/mixture": (0.9, 0.8, 1.0), "f2/softmax": (0.9, 0.8, 1.0)}, {}, "ideal compressor, too", "not with"),
        ("rebound", {"f2/mixture": (0.4, 0.1, 0.7), "f2/softmax": (0.6, 0.3, 0.9)}, {}, "not decided with training", "is seen"),
        (
            "scale", {"depth/mixture": (0.1, 0.0, 0.2)},
            {"depth": [{"seed": 0, "depth": d, "elasticity": 1 / d} for d in (9, 10)]}, "does not give way more", "to 0.10",
        ),
        ("hooke", {"forward/mixture/a": (0.5, 0.4, 0.6), "reverse/mixture/a": (0.1, 0.0, 0.2)}, {}, "no nearer", "and not with D(m"),
        (
            "hooke", {"forward/mixture/a": (0.2, 0.1, 0.3), "reverse/mixture/a": (0.5, 0.4, 0.6)},
            {"groups": [{"rows": [{"l": 0.03}]}]}, "do not show that they are", "are equal and opposite near rest",
        ),
        (
            "sequence", {"undo/softmax/a": (0.01, 0.0, 0.02), "undo/transformer/b": (0.3, 0.0, 0.7)}, {},
            "at the worst n, in the mean over seeds, off by 1.00%", "at worst",
        ),
        (
            "constant", {"theta/mixture": (0.5, 0.4, 0.6)}, {"table": [{"source": "union2", "inside": False}]}, "miss at", "do at",
        ),
        (
            "replay", {"none/a/b": (0.3, 0.2, 0.4), "share/a/b": (0.5, 0.4, 0.6)},
            {"groups": [{"replays": [{"p0": 0.5, "mixes": [{"of": "align", "share": 0.6, "undo_volume": 9.0}]}]}]},
            "restores", "nothing is undone",
        ),
        ("defence", {"useful": (1.3, 1.1, 1.5), "back/16": (0.17, 0.11, 0.23)}, {}, "brings back up to 17% [11%, 23%]", "does not bring"),
        ("defence", {"useful": (1.3, 1.1, 1.5), "back/16": (0.1, -0.1, 0.3)}, {}, "nothing, beyond the scatter", "up to"),
    ],
)  # fmt: skip
def test_a_study_concludes_what_its_numbers_say(study, values, data, word, wrong):
    """Numbers that say the opposite of the saved ones: the sentences were the same for both."""
    answers = [{"id": name, "sentence": ""} | interval_of(*ends) for name, ends in values.items()]
    text = " ".join(conclusion({"study": study, "answers": answers} | data))
    assert word in text
    assert wrong not in text


def test_forces_are_judged_by_their_interval():
    """0.07 [0, 0.60] of the force was "not equal and opposite" at l = 1/32, where an exact balance leaves up to 0.06."""
    for estimate, low, high, word in (
        (0.0194, 0.0193, 0.0195, "equal and opposite near rest."),
        (0.0709, 0.0, 0.597, "these seeds do not decide"),
        (0.27, 0.22, 0.33, "not equal and opposite"),
    ):
        assert balance(Interval(estimate, low, high), 1 / 32).startswith(word)


@pytest.mark.parametrize(("k", "n"), [(1.0, 0.5), (1.0, 2.0), (3.0, 1.0), (27.0, 2.0)])
def test_the_elastic_limit_of_joint_optima_on_halves_depends_on_the_volumes(k, n):
    """2 (1 + n/k) of the alignment volume, where D_a and D_t are alike: 6 at k = 1, n = 2, which was called near 2."""
    p, a, t = problem_of_family("union2", 1.5, 1 << 14).masses
    steps = n * np.linspace(0.0, 8.0, 161)
    limit = elastic_limit(steps, [k, n], path_entropies(Mixture.of([p, a, t], volumes=[k, n, 0]), steps))
    assert limit / n == pytest.approx(2 * (1 + n / k), rel=0.06)


def test_what_a_replay_undoes_is_counted():
    """The sentence said of every mix that its place of rest decides alone; here it does in one of two."""

    def mix(of, share, joint, undone):
        return {"of": of, "share": share, "joint": joint, "end": joint or -5.0, "undo_volume": undone, "speed": 1.0}

    mixes = [
        mix("align", 0.0, None, 30.0),
        mix("align", 0.3, -0.8, 60.0),
        mix("align", 0.6, 0.4, 90.0),
        mix("past", 0.0, 0.1, 50.0),
    ]
    record = {"replay": {"z0": 0.0, "p0": 0.5, "z": 2.0, "n": 64, "past": 64, "constant": 0.05, "mixes": mixes}}
    configuration = {"dynamics": "perceptron", "settings": {"width": 64, "depth": 2}}
    results, _ = replay.answers([(configuration, record)])
    (rest,) = [answer for answer in results if answer.id.startswith("rest/")]
    assert (
        "over 2 mixes; whether it is undone is as that place has it, below the base's contrast or not, in 1 of 2."
        in rest.sentence
    )


def test_signs_that_hold_everywhere_are_no_counterexample():
    """A share of 1 was followed by "the union alone does not give them", too."""

    def sentence(at):
        entropies = [[1.0, 1.0 - 0.01 * at], [1.0, 1.1], [1.0, 0.5]]
        entry = {"volumes": [10.0, 1.0, 1.0], "perturbations": [0.0, 0.5], "entropies": entropies}
        configurations = [{"dynamics": "softmax", "source": {"name": "union"}, "seed": seed} for seed in (0, 1)]
        results, _ = constant.answers([(configuration, {"runs": [entry]}) for configuration in configurations])
        (signs,) = [answer.sentence for answer in results if answer.id.startswith("signs/")]
        return signs

    assert "the union alone does not give them" not in sentence(1.0)
    assert "the union alone does not give them" in sentence(-1.0)


def test_a_run_without_a_joint_curve_misses_nothing():
    """The median misfit of no reading was 0.0%."""
    row = {"seed": 0, "cosine": -1.0, "kappa": None, "misfit": None}
    (answer,) = _constant("softmax", [{"rows": [row, row | {"seed": 1}]}])
    assert "is not to be had" in answer.sentence
    assert "0.0%" not in answer.sentence


def test_a_direction_without_a_way_to_go_is_not_a_share_of_zero():
    part = {"loss": 1.0, "entropy": 0.5, "excess": 0.5, "closed": 0.8}
    pair = {"forward": part, "inverse": part | {"closed": None}, "lower_loss": False, "lower_excess": False}
    assert gaps({"resistance": {"pairs": [pair]}})["closed"] is None
    assert gaps({"resistance": {"pairs": [pair | {"inverse": part}]}})["closed"] == 0.0


def defended(undone, seeds=4, **others):
    """Rows of a defence, an m* a seed; None where it was not undone."""
    return [
        {"z": 1.0, "floor": -0.5, "outside": 0.0, "lost": 0.0, "constant": 0.1, "falling": 0.1, "seed": seed, "beta": None,
         "forecast": 10.0, "attacks": {"sft": {"undone": m and m * (1 + 0.01 * seed), "same": m and m * (1 + 0.01 * seed)}}} | others
        for seed, m in zip(range(seeds), undone, strict=True)
    ]  # fmt: skip


def defended_answers(**rows):
    table = [row | {"defence": name} for name, some in rows.items() for row in some]
    law = {"constant": 0.05, "volume": 64, "most": 640}
    return defence.answers([({}, {"rows": table, "recovery": [], "law": law})])


def test_what_was_not_undone_is_not_outlived():
    """A replay of half takes 320 opposed examples at most: 500 are no proof of more than what was never undone."""
    results, data = defended_answers(
        **{"sft": defended([50.0] * 4), "replay-50": defended([None] * 4), "flat": defended([500.0] * 4)}
    )
    rows = {row["defence"]: row for row in data["ranking"]}
    assert (rows["replay-50"]["rank"], rows["flat"]["rank"], rows["sft"]["rank"]) == (1, 1, 3)
    assert rows["replay-50"]["gain"]["high"] is None
    assert rows["replay-50"]["undone"] == {"sft": None}  # no median was reached
    assert rows["flat"]["undone"]["sft"] == pytest.approx(507.5)
    (forecast,) = (answer for answer in results if answer.id == "forecast")
    assert "over 8 runs" in forecast.sentence
    assert "4 more were not undone" in forecast.sentence


def test_a_plain_run_that_was_not_undone_bounds_a_gain_from_above_alone():
    _, data = defended_answers(sft=defended([50.0, 50.0, 50.0, None]), flat=defended([100.0] * 4))
    gain = next(row["gain"] for row in data["ranking"] if row["defence"] == "flat")
    assert gain["estimate"] is None
    assert gain["low"] is None
    assert gain["high"] > 0
    results, _ = defended_answers(sft=defended([50.0, 50.0, 50.0, None]))
    assert not [
        answer for answer in results if answer.id == "attack/sft"
    ]  # both of its volumes are bounds: it says nothing


MUTANTS = [
    ("elastomath.fit.sequential", "run_down", "np.expm1(clock * steps)", "-np.expm1(-clock * steps)",
     lambda: test_counting_that_forgets_counts_for_what_r19_says(0.2, 27.0)),
    ("elastomath.fit.sequential", "_read", "path_work(steps, rates[2]", "path_work(np.asarray(perturbations, dtype=float), rates[2]",
     lambda: test_counting_that_forgets_counts_for_what_r19_says(0.2, 1.0)),
    ("sim.studies.worker", "cut", ".sum(axis=2)", ".max(axis=2)", test_a_cut_is_the_mixture_of_the_cut_trees),
    ("sim.studies.worker", "prefix_divergences", "problem.alphabet**depth", "problem.alphabet**max(1, depth - 1)",
     lambda: test_a_code_of_that_order_represents_one_symbol_more(1)),
    ("sim.studies.worker", "represented_depth", "depth + (tolerance - before)", "depth + 1 + (tolerance - before)",
     lambda: test_a_code_of_that_order_represents_one_symbol_more(1)),
    ("sim.studies.hooke", "imbalance", "pushes.sum()", "np.abs(pushes).sum()",
     test_forces_of_a_joint_optimum_balance_to_first_order_only_forward),
    ("sim.studies.sequence", "_errors", '/ (way["z"] - start)', '/ (way["z"] + start)',
     test_the_errors_of_a_forecast_are_those_of_its_worst_alignment),
    ("sim.studies.sequence", "_errors", 'abs(way["kernel"] - 1)', 'way["kernel"] - 1',
     test_the_errors_of_a_forecast_are_those_of_its_worst_alignment),
    ("sim.studies.sequence", "_errors", 'way["forecast_undo_volume"] / way["undo_volume"] - 1', '0.2',
     test_the_errors_of_a_forecast_are_those_of_its_worst_alignment),
    ("sim.studies.sequence", "_errors", '(way["forecast_z"] - way["z"])', '(way["forecast_z"] + way["z"])',
     test_the_errors_of_a_forecast_are_those_of_its_worst_alignment),
]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "name", "line", "broken", "test"), MUTANTS, ids=[f"{m[1]}-{i}" for i, m in enumerate(MUTANTS)]
)
def test_a_broken_line_turns_its_test_red(module, name, line, broken, test, monkeypatch):
    found = importlib.import_module(module)
    text = textwrap.dedent(inspect.getsource(getattr(found, name)))
    assert line in text
    space = dict(vars(found))
    exec(compile(text.replace(line, broken), name, "exec"), space)
    test_globals = globals()
    monkeypatch.setitem(test_globals, name, space[name])
    if module == "elastomath.fit.sequential":
        monkeypatch.setattr(found, name, space[name])
    with pytest.raises((AssertionError, InputError, ValueError)):
        test()


def test_the_page_says_what_the_saved_results_say():
    """docs/simulation.md is what benchmarks.pages makes of the saved studies, and every study with results is a section of the report."""
    from pathlib import Path

    from benchmarks.pages.simulation import page
    from paper_checks.report.studies import saved_studies, study_section

    root = Path(__file__).parents[4] / "docs"
    text = (root / "simulation.md").read_text(encoding="utf-8")
    assert page(text) == text
    saved = saved_studies()
    assert saved
    for found in saved.values():
        section = study_section(found)
        assert section.id == f"study-{found['study']}"
        assert [block.kind for block in section.blocks].count("figure") == 1
        assert (root / "figures" / f"simulation-{found['study']}.svg").is_file()


@pytest.mark.parametrize("study", STUDIES)
def test_a_saved_study_opens_with_its_answer(study):
    """One to three whole sentences from the answers alone; an answer that is left out or turned round changes them."""
    from importlib.resources import files

    saved = load_study(str(files("paper_checks").joinpath("saved_runs", f"{study}-sim", f"{study}-sim.json")))
    sentences = conclusion(saved)
    assert 1 <= len(sentences) <= 3
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)
    assert conclusion(saved | {"answers": []}) != sentences
    turned = [
        answer
        | {
            "value": {
                key: value if key == "level" or value is None else -2 - value for key, value in answer["value"].items()
            }
        }
        for answer in saved["answers"]
    ]
    assert conclusion(saved | {"answers": turned}) != sentences


def test_the_curve_of_a_defended_behaviour_says_its_defence_and_its_base():
    """So that `fit` tells the defences apart, reads the contrast in nats a response, and knows what undone is."""
    z = np.array([4.0, 2.0, -0.2])
    codes = np.logaddexp(0, np.stack([np.zeros(3), -z, z]))
    entry = {"name": "flat-s3-n", "seed": 3, "volumes": [9600.0, 64.0, 80.0], "perturbations": [0.0, 40.0, 80.0]}
    entry |= {"entropies": codes.tolist(), "defence": "flat", "floor": -0.1}
    (course,) = courses(study_curve({"dynamics": "transformer", "seed": 0}, {"runs": [entry], "length": 1}))
    assert course.covariates == {"dynamics": "transformer", "seed": 3, "defence": "flat"}
    assert (course.unit, course.volume_unit, course.align) == ("bits/response", "examples", 64.0)
    assert course.base * np.log(2) == pytest.approx(-0.1)
    assert course.values * np.log(2) == pytest.approx(z)
