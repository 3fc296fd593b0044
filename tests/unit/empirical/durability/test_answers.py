"""What durability runs say of F2 and Q1, on made runs that follow the logit law exactly: the exact answers come out."""

from __future__ import annotations

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.interval import Interval
from elastomath.laws import logit
from empirical.durability.answers import _error_sentences, conclusion, durability_row, forecast_error, group_exponent
from empirical.durability.figures import courses_figure, exponents_figure, forecast_figure
from empirical.durability.pooled import pooled_answers, pooled_rows
from paper_checks.claims.claim import Evidence

C = 0.02
WIDE = {"estimate": 1.0, "low": 0.5, "high": 2.0, "level": 0.95}


def reading(volume: float, z: float) -> dict[str, object]:
    """A closed pair at contrast z, for every prompt alike but for a spread that cancels in differences."""
    spread = np.linspace(-0.1, 0.1, 8)
    state = z + spread
    return {"volume": volume, "chosen": np.logaddexp(0, -state).tolist(), "rejected": np.logaddexp(0, state).tolist()}


def run(n: int, *, foretold: float = 1.0, most: float = 400.0, seed: int = 0, end: float = -0.3) -> dict[str, object]:
    """A run of the logit law from z_0 = 0: aligned on n, perturbed in steps of 4."""
    z = float(logit.aligned_contrast(0.0, n, C))
    undo = float(logit.undo_volume(0.0, n, C))
    up = [v for v in (16, 64, 128, 256, 512, 1024, 2048) if v < n]
    aligned = [reading(v, float(logit.aligned_contrast(0.0, v, C))) for v in (*up, n)]
    volumes = np.arange(4.0, most, 4.0)
    down = [float(logit.perturbed_contrast(z, m, C)) for m in volumes]
    last = next((i for i, value in enumerate(down) if value < end), len(down) - 1)
    readings = [reading(float(m), value) for m, value in zip(volumes[: last + 1], down[: last + 1], strict=True)]
    row = {"n": n, "z": WIDE | {"estimate": z}, "undo_volume": WIDE | {"estimate": foretold * undo}}
    card = {
        "forecast": [row],
        "closure": 0.0,
        "applies": True,
        "reasons": [],
        "cosine": WIDE,
        "c": {},
        "relative_kernel": WIDE,
    }
    about = {"pairs": "made", "n": n, "optimiser": "sgd", "seed": seed, "learning_rate": 1.0, "batch": 4}
    return {"configuration": about, "adapted": {"readings": [reading(0, 0.0)]}, "forecast": card, "aligned": aligned,
            "arms": {"perturb": {"readings": readings}}}  # fmt: skip


def test_the_measured_undo_volume_is_that_of_the_law():
    for n in (64, 512):
        row = durability_row(run(n))
        assert row["undo_volume"]["estimate"] == pytest.approx(float(logit.undo_volume(0.0, n, C)), rel=2e-3)
        assert not row["undo_volume"]["censored"]


def test_a_run_that_is_not_undone_is_a_bound_and_counts_in_no_error():
    row = durability_row(run(512, most=40.0))
    assert row["undo_volume"] == {"estimate": None, "low": 36.0, "high": None, "level": 0.95, "censored": True}
    assert forecast_error([row]) == {"median": None, "worst": None, "runs": 0, "inside": 0, "vouched": 0, "beyond": 1}


def test_the_error_names_the_worst_run():
    rows = [durability_row(run(n, foretold=f)) for n, f in ((64, 1.1), (128, 0.9), (256, 1.4))]
    told = forecast_error(rows)
    assert told["median"] == pytest.approx(0.1, abs=0.01)
    assert told["worst"] == pytest.approx(0.4, abs=0.01)
    assert told["worst_run"] == {"pairs": "made", "optimiser": "sgd", "seed": 0, "n": 256}


def test_the_error_counts_what_lies_in_the_forecasts_interval():
    """The last forecast has no interval, in which nothing lies."""
    rows = [durability_row(run(64)) for _ in range(4)]
    value = rows[0]["undo_volume"]["estimate"]
    for row, low, high in zip(rows, (0.9, 1.01, None, None), (1.1, 1.2, 0.99, None), strict=True):
        ends = {"low": low and low * value, "high": high and high * value}
        row["forecast_interval"] = row["forecast_interval"] | ends
    assert forecast_error(rows)["inside"] == 1
    assert "; 1 of them lies in the forecast's 95% interval." in _error_sentences(forecast_error(rows), rows)[0]


def test_what_going_back_costs_is_free_of_c():
    """R22: from 90% to 60% takes 0.2526 times what 60% to 90% takes, whatever c and n; the spread over prompts adds little."""
    answer = pooled_answers([run(2048, most=4000.0)])["sgd"]
    assert answer["return_ratio"]["estimate"] == pytest.approx(float(logit.return_ratio(0.6, 0.9)), rel=0.03)
    assert answer["return_ratio"]["estimate"] == pytest.approx(0.2526, rel=0.03)


def test_the_exponent_and_the_first_falls_have_the_signs_of_the_law():
    """R23: from p = 0.83 on the first fall grows in z with the alignment, and falls in code length and in probability."""
    runs = [run(n, seed=seed, most=4000.0) for n in (256, 512, 1024) for seed in (0, 1)]
    answer = pooled_answers(runs)["sgd"]
    assert 0 < answer["exponent"]["estimate"] < 0.6
    assert answer["first_fall"]["z"]["estimate"] > 0
    assert answer["first_fall"]["code_length"]["estimate"] < 0
    assert answer["first_fall"]["probability"]["estimate"] < 0
    assert answer["exponent"]["groups"] == 2


def test_one_group_has_an_interval_over_its_prompts():
    """Of prompts that fall at their own speeds: a slope is linear in them, so that its jackknife is Student's t over prompts."""
    generator, runs = np.random.default_rng(0), [run(n, most=4000.0, end=-2.0) for n in (256, 512, 1024)]
    for result in runs:
        end = np.array(result["aligned"][-1]["rejected"]) - np.array(result["aligned"][-1]["chosen"])
        speeds = generator.uniform(0.5, 1.5, 8)
        for reading_ in result["arms"]["perturb"]["readings"]:
            z = end - speeds * (end - np.array(reading_["rejected"]) + np.array(reading_["chosen"]))
            reading_ |= {"chosen": np.logaddexp(0, -z).tolist(), "rejected": np.logaddexp(0, z).tolist()}
    answer = pooled_answers(runs)["sgd"]
    falls = []
    for result in runs:
        first = next(r for r in result["arms"]["perturb"]["readings"] if r["volume"] >= 8)
        z, end = (np.array(r["rejected"]) - np.array(r["chosen"]) for r in (first, result["aligned"][-1]))
        falls.append((end - z) / first["volume"])
    slopes = np.array(falls).T @ (np.array([-1, 0, 1]) / 2)  # at n, 2 n, 4 n the slope in log2 n
    expected = Interval.of_values(slopes)
    assert answer["first_fall"]["z"]["estimate"] == pytest.approx(expected.estimate)
    assert answer["first_fall"]["z"]["low"] == pytest.approx(expected.low)
    assert answer["first_fall"]["z"]["smallest_visible"] == pytest.approx((expected.high - expected.low) / 2)
    exponent = answer["exponent"]
    assert exponent["groups"] == 1
    assert exponent["low"] < exponent["estimate"] < exponent["high"]
    told = {"durability": [], "error": {"runs": 0}, "answers": {"sgd": answer}}
    assert "over prompts; 1 would be" in conclusion(told)[0]


def test_a_way_that_is_read_at_its_ends_alone_costs_nothing_known():
    """After DPO the alignment has one reading: a line from the base to there, read at 60% and 90%, would be no course of it."""
    result = run(2048, most=4000.0)
    assert pooled_answers([result])["sgd"]["return_ratio"]["estimate"] is not None
    result["aligned"] = result["aligned"][-1:]
    assert pooled_answers([result])["sgd"]["return_ratio"]["estimate"] is None


def of_behaviours(*volumes: tuple[int, int]) -> list[dict[str, object]]:
    """Two seeds of a behaviour for each pair of volumes; seeds of one are alike, behaviours are not."""
    runs = []
    for place, pair in enumerate(volumes):
        for seed in (0, 1):
            for n in pair:
                runs.append(run(n, seed=seed))
                runs[-1]["configuration"]["pairs"] = f"behaviour {place}"
    return runs


def test_the_error_of_a_forecast_exponent_is_paired_within_behaviours():
    """Behaviours whose exponents differ by far have one error where each forecast is of its own: here m* times n^0.1."""
    rows = [durability_row(result) for result in of_behaviours((16, 128), (64, 512), (256, 2048))]
    for row in rows:
        row["forecast_undo_volume"] = row["undo_volume"]["estimate"] * row["n"] ** 0.1
    answer = pooled_rows(rows)["sgd"]
    assert answer["exponent"]["high"] - answer["exponent"]["low"] > 0.3
    assert answer["exponent_error"]["estimate"] == pytest.approx(0.1)
    assert answer["exponent_error"]["high"] - answer["exponent_error"]["low"] < 1e-9
    summary = {"durability": rows, "error": forecast_error(rows), "answers": {"sgd": answer}}
    assert any("off by 0.1" in sentence and "over 3 behaviours" in sentence for sentence in conclusion(summary))
    summary["answers"] = pooled_rows(rows[:4])
    assert not any("Behaviour by behaviour" in sentence for sentence in conclusion(summary))


def test_what_going_back_costs_is_held_against_each_ones_own_constants():
    """Runs of equal constants whose cards tell other ones: the excess is the card's error, c_-/c_+, and what the ratio itself is off."""
    rows = [durability_row(run(2048, most=4000.0, seed=seed)) for seed in (0, 1, 2)]
    for row in rows:
        row["c"] = {"aligning": {"estimate": 0.02}, "perturbing": {"estimate": 0.04}}
    answer = pooled_rows(rows)["sgd"]
    lawful = float(logit.return_ratio(0.6, 0.9)) / 2
    assert answer["return_excess"]["estimate"] == pytest.approx(answer["return_ratio"]["estimate"] / lawful)
    summary = {"durability": rows, "error": forecast_error(rows), "answers": {"sgd": answer}}
    assert any("times what the logit law says with the constants" in sentence for sentence in conclusion(summary))
    for row in rows:
        row["c"]["perturbing"]["estimate"] = -0.01
    assert pooled_rows(rows)["sgd"]["return_excess"]["estimate"] is None


def test_the_rows_of_two_experiments_say_what_one_with_all_their_runs_says():
    runs = of_behaviours((16, 2048), (64, 1024), (256, 2048), (32, 1024))
    whole, parts = pooled_answers(runs), [[durability_row(result) for result in half] for half in (runs[:8], runs[8:])]
    assert whole == pooled_rows(parts[0] + parts[1])
    assert whole["sgd"]["exponent"]["method"] == "Student's t over 4 behaviours"
    assert whole["sgd"]["exponent"] != pooled_rows(parts[0])["sgd"]["exponent"]


def test_an_exponent_is_over_behaviours_and_seeds_of_one_count_once():
    """Six groups whose seeds agree to the last digit know no more of behaviours than three do."""
    volumes = (16, 128), (64, 512), (256, 2048)
    answer = pooled_answers(of_behaviours(*volumes))["sgd"]
    each = [pooled_answers(of_behaviours(pair)[:2])["sgd"]["exponent"]["estimate"] for pair in volumes]
    assert np.ptp(each) > 0.1
    assert answer["exponent"]["groups"] == 6
    pooled, expected = answer["exponent"], Interval.of_values(each)
    assert [pooled[end] for end in ("estimate", "low", "high")] == pytest.approx(
        [expected.estimate, expected.low, expected.high]
    )
    assert pooled["smallest_visible"] == pytest.approx((expected.high - expected.low) / 2)
    for measure in ("z", "code_length", "probability"):
        assert answer["first_fall"][measure]["method"] == "Student's t over 3 behaviours"
    assert answer["forecast_exponent"]["method"] == "Student's t over 3 behaviours"
    assert answer["return_ratio"]["left_out"] == 2  # of the shortest alignments, which do not reach 90%
    assert answer["return_ratio"]["method"] == "Student's t over 4 seeds of 2 behaviours"
    rows = [durability_row(result) for result in of_behaviours(*volumes)]
    words = " ".join(conclusion({"durability": rows, "error": forecast_error(rows), "answers": {"sgd": answer}}))
    assert "] over 3 behaviours; of these behaviours alone, over their seeds, [" in words
    these = answer["exponent"]["of_these"]
    assert (these["low"], these["high"]) == pytest.approx((pooled["estimate"],) * 2)  # seeds of one are alike here
    assert "of_these" not in answer["return_ratio"]  # of two behaviours, and so over seeds already


def test_behaviours_whose_cards_vouch_are_read_apart_too():
    """The cost of going back is a ratio, so its mean is geometric; a card that refuses is no reason to be left out of the whole."""
    runs = of_behaviours((256, 1024), (512, 2048), (1024, 2048))
    assert "vouched" not in pooled_answers(runs)["sgd"]
    for result in runs[-4:]:
        result["forecast"] = result["forecast"] | {"applies": False}
    answer = pooled_answers(runs)["sgd"]
    alone = pooled_answers(runs[:-4])["sgd"]
    assert answer["vouched"] == alone
    assert answer["exponent"]["groups"] == 6
    ratios = [pooled_answers(runs[place : place + 2])["sgd"]["return_ratio"]["estimate"] for place in (0, 4, 8)]
    assert answer["return_ratio"]["estimate"] == pytest.approx(float(np.prod(ratios)) ** (1 / 3))
    assert answer["return_ratio"]["low"] > 0
    rows = [durability_row(result) for result in runs]
    words = " ".join(conclusion({"durability": rows, "error": forecast_error(rows), "answers": {"sgd": answer}}))
    assert "where the card vouches for the law (4 of 6 behaviours and seeds), the exponent is" in words


def test_the_conclusion_is_sentences_with_numbers_and_the_figures_can_be_drawn():
    runs = [run(n, seed=seed) for n in (64, 256) for seed in (0, 1)]
    rows = [durability_row(result) for result in runs]
    told = {"durability": rows, "error": forecast_error(rows), "answers": pooled_answers(runs)}
    words = conclusion(told)
    assert "off by 0%" in words[0]
    assert all(sentence.endswith(".") for sentence in words)
    assert forecast_figure(told).axes
    assert not forecast_figure(told).axes[0].texts
    told["durability"][0]["undo_volume"]["high"] = None
    assert len(forecast_figure(told).axes[0].texts) == 1  # the arrow of an open end
    assert len(courses_figure(told).axes) == 2
    with pytest.raises(InputError, match="no forecast"):
        forecast_figure({"durability": []})


def test_rows_say_what_the_prompts_said():
    """The saved answers of 36 runs were made from the contrasts of each prompt; their rows have means alone, and give the same."""
    summary = Evidence().saved("durability").summary
    answer, saved = pooled_rows(summary["durability"])["sgd"], summary["answers"]["sgd"]
    pairs = [(answer["exponent"], saved["exponent"]), (answer["forecast_exponent"], saved["forecast_exponent"])]
    for key in ("first_fall", "first_fall_factor"):
        pairs += [(answer[key][name], saved[key][name]) for name in saved[key]]
    for ours, theirs in pairs:
        for end in ("estimate", "low", "high"):
            assert ours[end] == pytest.approx(theirs[end], rel=1e-5)


def test_the_figure_of_exponents_has_a_point_for_each_base_that_has_one():
    rows = [durability_row(result) for result in of_behaviours((16, 128), (64, 512), (256, 2048))]
    for row in rows:
        row["forecast_undo_volume"] = row["undo_volume"]["estimate"] * row["n"] ** 0.1
    (panel,) = exponents_figure(rows).axes
    points = [line for line in panel.containers if line.get_label().startswith("behaviour")]
    assert len(points) == 3
    for line in points:
        x, y = line.lines[0].get_data()
        assert len(x) == 2
        assert np.subtract(x, y) == pytest.approx(0.1)
    with pytest.raises(InputError, match="no exponent"):
        exponents_figure(rows[:1])


def test_a_run_that_is_not_undone_is_not_left_out_without_a_word():
    """Two volumes that came back and one that did not have no exponent: of those two alone it would be chosen by its answer."""
    short, runs = run(1024, most=8.0), [run(n) for n in (64, 256)]
    assert pooled_answers(runs)["sgd"]["exponent"]["estimate"] is not None
    answer = pooled_answers([*runs, short])["sgd"]["exponent"]
    assert (answer["estimate"], answer["groups"], answer["left_out"]) == (None, 0, 1)
    others = [run(n, seed=1) for n in (64, 256)]
    answer = pooled_answers([*runs, short, *others])["sgd"]["exponent"]
    assert (answer["groups"], answer["left_out"]) == (1, 1)
    assert answer["estimate"] == pytest.approx(pooled_answers(others)["sgd"]["exponent"]["estimate"])
    rows = [durability_row(result) for result in [*runs, short, *others]]
    rows[0]["applies"] = False
    words = conclusion(
        {
            "durability": rows,
            "error": forecast_error(rows),
            "answers": pooled_answers([*runs, short, *others]),
        }
    )
    assert "The card vouches for the forecast of 3 of these 4; it says why." in words[1]
    assert words[2].startswith("Not in these errors: 1 of the 5 runs with a forecast")
    assert "1 of 5 runs was not undone: what twice the alignment buys is known for 1 of 2 behaviours" in " ".join(words)
    ratio = {
        "estimate": 0.3,
        "low": None,
        "high": None,
        "level": 0.95,
        "groups": 1,
        "left_out": 1,
        "smallest_visible": None,
    }
    answer = pooled_answers(runs)["sgd"] | {"return_ratio": ratio}
    words = conclusion({"durability": rows, "error": forecast_error(rows), "answers": {"sgd": answer}})
    assert "had taken (1 of 2 behaviours and seeds passed both on both ways)." in " ".join(words)


def power(pairs: str, exponent: float, error: float, seed: int = 0) -> list[dict[str, object]]:
    """Rows of one behaviour that is undone by 5 n^exponent examples, each known to a share ``error``."""
    rows = []
    for n in (16, 64, 256):
        volume = 5.0 * n**exponent
        ends = {"low": volume * np.exp(-error), "high": volume * np.exp(error)}
        undo = {"estimate": volume, **ends, "level": 0.95}
        rows.append({"pairs": pairs, "n": n, "seed": seed, "optimiser": "sgd", "algorithm": "sft", "undo_volume": undo})
    return rows


def test_the_exponent_of_a_behaviour_has_the_error_of_its_undo_volumes():
    """At n, 4 n, 16 n the slope is that between the ends, ln(m_3/m_1)/ln 16, and the middle one's error does not count."""
    rows = power("tone", 0.3, 0.06)
    half = 0.06 * np.sqrt(2) / np.log(16)
    for middle in (0.06, 0.5):
        rows[1]["undo_volume"] |= {"low": rows[1]["undo_volume"]["estimate"] * np.exp(-middle), "high": None}
        own = group_exponent(rows)
        assert (own.low, own.estimate, own.high) == pytest.approx((0.3 - half, 0.3, 0.3 + half))
    rows[2]["undo_volume"] |= {"estimate": None, "high": None}
    assert group_exponent(rows) == group_exponent(rows[:1]) == Interval(None, None, None)


@pytest.mark.parametrize(("other", "error", "differ"), [(0.35, 0.068, True), (0.35, 0.071, False), (0.3, 0.06, False)])
def test_behaviours_that_differ_by_more_than_their_errors_are_not_one_exponent(other, error, differ):
    """Two exponents 0.05 apart, of half width h each: Q = 1.96^2 0.05^2/(2 h^2) is at its limit 1.96^2 at h = 0.0354, errors of 6.9%."""
    rows = [*power("tone", 0.3, error), *power("advice", other, error)]
    answer = {
        "sgd": {"exponent": Interval(0.3, 0.2, 0.4).as_dict() | {"groups": 2}, "return_ratio": {"estimate": None}}
    }
    words = " ".join(
        conclusion({"durability": rows, "error": {"runs": 0, "median": None, "worst": None}, "answers": answer})
    )
    assert ("differ in this exponent" in words) == differ
    assert ("(tone, seed 0) to 0.350 [0.315, 0.385] (advice, seed 0)" in words) == differ


def test_an_alignment_that_lifts_nothing_has_nothing_to_undo():
    flat = run(64)
    flat["aligned"][-1] = reading(64, -0.01)
    rows = [durability_row(flat)]
    assert rows[0]["undo_volume"]["estimate"] == 0
    words = conclusion({"durability": rows, "error": forecast_error(rows), "answers": pooled_answers([flat])})
    assert words == ["Under sgd, 1 of 1 alignments left the contrast no higher than it was: there was nothing to undo."]


def test_the_forecast_from_the_aligned_model_is_told_beside_that_from_the_base():
    """Twice what was measured, and half of it: the median error is 75%, the worst 100%; after another algorithm both are told."""
    results = [run(n) for n in (64, 256)]
    for result, factor in zip(results, (2.0, 0.5), strict=True):
        volume = durability_row(result)["undo_volume"]["estimate"]
        result["again"] = {"undo_volume": WIDE | {"estimate": factor * volume, "low": volume / 3, "high": 3 * volume}}
    rows = [durability_row(result) for result in results]
    told = {"durability": rows, "error": forecast_error(rows), "answers": {}}
    assert (
        "From the gradients of the aligned models themselves it was off by 75% in the median of 2 runs"
        in conclusion(told)[1]
    )
    assert "by 100% at worst" in conclusion(told)[1]
    results[0]["configuration"]["algorithm"] = "dpo"
    results[0]["forecast"]["c"] = {"perturbing": WIDE | {"estimate": C, "low": C / 2, "high": 2 * C}}
    told["durability"] = [durability_row(results[0])]
    assert (
        f"by the base's constant, {told['durability'][0]['forecast_again']['text']} by its own." in conclusion(told)[-1]
    )


@pytest.mark.parametrize(("inside", "words"), [(1, "it lies in"), (0, "it does not lie in")])
def test_one_run_has_neither_a_median_nor_a_worst(inside, words):
    """ "in the median of 1 runs and by 12% at worst" says one thing twice, in bad English."""
    error = {"median": 0.12, "worst": 0.12, "worst_run": "a", "runs": 1, "inside": inside}
    told = conclusion({"error": error, "answers": {}, "durability": []})[0]
    assert told.endswith(f"was off by 12% in one run; {words} the forecast's 95% interval.")
    several = conclusion({"error": error | {"runs": 2, "worst": 0.3}, "answers": {}, "durability": []})[0]
    assert "off by 12% in the median of 2 runs and by 30% at worst; " in several


def test_the_page_says_what_the_saved_results_say():
    """docs/durability.md is what benchmarks.pages makes of the saved runs."""
    from pathlib import Path

    from benchmarks.pages.durability import page, saved_runs

    text = (Path(__file__).parents[4] / "docs" / "durability.md").read_text(encoding="utf-8")
    assert page(text) == text
    assert sum(line.startswith("| ") for line in text.splitlines()) >= sum(
        len(summary["durability"]) for summary in saved_runs().values()
    )


def test_other_arms_give_back_what_they_gave_back_and_a_second_alignment_is_timed_over_the_same_contrasts():
    """Arms that stop halfway, and beyond; a second way that follows the first one's law, at full and at half speed."""
    result = run(512)
    start, end = 0.0, float(logit.aligned_contrast(0.0, 512, C))
    result["arms"]["neutral"] = {"readings": [reading(64, end + 0.25 * (end - start))]}
    result["arms"]["mixed"] = {"readings": [reading(64, end - 0.75 * (end - start))]}
    for speed in (1.0, 0.5):
        volumes = np.arange(1.0, 1024.0, 1.0)
        result["arms"]["perturb"]["readings"] = [reading(400, start)]
        result["arms"]["perturb"]["again"] = [
            reading(v, float(logit.aligned_contrast(start, speed * v, C))) for v in volumes
        ]
        arms = durability_row(result)["arms"]
        assert arms["neutral"]["given_back"]["estimate"] == pytest.approx(-0.25)
        assert arms["mixed"]["given_back"]["estimate"] == pytest.approx(0.75)
        assert arms["again"]["estimate"] == pytest.approx(1 / speed, rel=0.01)
    row = durability_row(result)
    told = conclusion({"error": forecast_error([row]), "answers": {}, "durability": [row]})
    assert "64 neutral texts gave back -0.25" in told[-3]
    assert "a second alignment took 2 " in told[-1]
    row["arms"]["neutral"]["given_back"] |= {"estimate": 0.0}  # nothing at all is a number
    other = row | {"arms": row["arms"] | {"again": {"estimate": None, "low": None, "high": None, "level": 0.95}}}
    both = conclusion({"error": forecast_error([row, other]), "answers": {}, "durability": [row, other]})
    assert "64 neutral texts gave back 0.00 (median of 2 runs, 0.00 to 0.00)" in both[-3]
    assert "a second alignment took a number that is not known in 1 of 2 runs" in both[-1]
