"""Tables with a part missing: what is left is told, and what cannot be had is named once."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elastomath.errors import InputError
from elastomath.fit.figures import courses_figure, forest_figure, undo_figure
from elastomath.fit.summary import summarise
from elastomath.fit.tables import read_table

SAVED = Path(__file__).parents[4] / "paper_checks" / "saved_runs" / "durability" / "durability.csv"


@pytest.fixture(scope="module")
def frame():
    rows = pd.read_csv(SAVED)
    return rows[(rows.pairs == "advice") & (rows.seed == 0)]


def read(frame, tmp_path):
    frame.to_csv(tmp_path / "table.csv", index=False)
    return read_table(tmp_path / "table.csv")


def test_a_whole_curve_is_one(frame, tmp_path):
    told = read(frame, tmp_path)
    assert told.curve is not None
    assert told.missing == ()


@pytest.mark.parametrize(
    ("cut", "word"),
    [
        (lambda rows: rows[rows.component != "align"], "no component align"),
        (lambda rows: rows[rows.component != "pretrain"], "no component pretrain"),
        (
            lambda rows: rows[rows.perturbation == rows.groupby("run").perturbation.transform("max")],
            "at two perturbations",
        ),
    ],
)
def test_without_a_part_there_is_no_kappa_and_all_else(frame, tmp_path, cut, word):
    told = read(cut(frame), tmp_path)
    assert told.curve is None
    assert word in told.missing[-1]
    assert len(told.courses) == 3
    assert summarise(told.courses, missing=told.missing).sentences()


def test_without_pretrain_the_undo_volumes_are_the_same(frame, tmp_path):
    whole, part = (summarise(read(rows, tmp_path).courses) for rows in (frame, frame[frame.component != "pretrain"]))
    assert [run.undo_volume for run in part.runs] == [run.undo_volume for run in whole.runs]


def test_without_a_row_at_zero_volumes_are_counted_from_the_first_reading(frame, tmp_path):
    told = read(frame[frame.perturbation > 0], tmp_path)
    assert told.curve is not None
    assert "no row at perturbation 0" in told.missing[0]
    assert told.courses[0].volumes[0] == 0
    whole = read(frame, tmp_path).courses[0]
    assert told.courses[0].values == pytest.approx(whole.values[1:])
    late, early = (c.passage().estimate for c in (told.courses[2], read(frame, tmp_path).courses[2]))
    assert late + 4 == pytest.approx(early, rel=0.05)


def test_scores_without_one_from_before_the_alignment_say_so(tmp_path):
    rows = pd.DataFrame({"run": "a", "perturbation": [0.0, 10, 20], "score": [0.9, 0.5, 0.2]})
    lacking = "no score from before the alignment (column base_score, or chance): no half-life or undo volume"
    missing = summarise(read(rows, tmp_path).courses).missing
    assert missing[0] == lacking
    assert missing[1].startswith("no error of the readings (column trials, or score_se): ")
    assert lacking not in summarise(read(rows.assign(chance=0.25), tmp_path).courses).missing


def test_without_the_opposed_text_it_is_that_which_is_named(frame, tmp_path):
    """What is kept is the aligned text, and its rate is no minus one."""
    rows = frame[frame.component == "align"]
    told = summarise(read(rows, tmp_path).courses)
    assert told.sentences()[0].endswith("without a component perturb there is no contrast that could be undone.")
    assert [line.partition(":")[0] for line in told.missing if line.startswith("no component")] == [
        "no component perturb"
    ]
    assert not [name for row in told.cells() for name in row if name.startswith("after")]


def test_an_unknown_volume_of_pretrain_makes_kappa_relative(frame, tmp_path):
    told = read(frame.assign(volume=frame.volume.where(frame.component != "pretrain")), tmp_path)
    assert told.curve is not None
    assert "relative" in told.missing[0]


def test_scores_have_binomial_errors_and_come_down_to_chance(tmp_path):
    """Draws of 400 answers: the interval of the half-life holds the truth; a score that an attack raises is turned round."""
    steps, rng, held = np.array([0.0, 8, 16, 24, 32, 48]), np.random.default_rng(0), 0
    exact = 0.25 + 0.6 * np.exp(-steps / 20.0)
    for _ in range(40):
        seen = rng.binomial(400, exact) / 400
        rows = pd.DataFrame({"run": "a", "perturbation": steps, "score": seen, "trials": 400, "chance": 0.25})
        held += read(rows, tmp_path).courses[0].passage(0.5).holds(20.0 * np.log(2))
    assert held >= 35
    raised = rows.assign(score=1 - rows.score, base_score=0.9).drop(columns="chance")
    (course,) = read(raised, tmp_path).courses
    assert course.measure == "1 - score"
    assert course.values == pytest.approx(rows.score)
    assert course.base == pytest.approx(0.1)


def test_scores_that_are_none_are_refused(tmp_path):
    rows = pd.DataFrame({"run": "a", "perturbation": [0, 1], "score": [0.5, 30.0]})
    with pytest.raises(InputError, match="row 2: score is 30"):
        read(rows, tmp_path)
    with pytest.raises(InputError, match="columns missing: run"):
        read(rows.drop(columns="run"), tmp_path)
    with pytest.raises(InputError, match="occurs twice"):
        read(rows.assign(perturbation=0, score=0.5), tmp_path)


def test_figures_of_any_table(frame, tmp_path):
    told = summarise(read(frame[frame.component != "pretrain"], tmp_path).courses)
    for draw in (courses_figure, undo_figure, forest_figure):
        figure = draw(told)
        assert figure.get_label()
        assert figure.axes[0].lines


@pytest.mark.parametrize("column", ["perturbation", "trials", "score_se", "align_volume"])
@pytest.mark.parametrize("value", ["-1", "1e308", "1e-300", "inf"])
def test_numbers_of_scores_have_the_ends_of_a_curve(tmp_path: Path, column: str, value: str) -> None:
    row = {"run": "a", "perturbation": "1", "score": "0.5", "trials": "10", "score_se": "0.1", "align_volume": "4"} | {
        column: value
    }
    first = row | {"perturbation": "0", column: "0" if column == "perturbation" else row[column]}
    file = tmp_path / "scores.csv"
    file.write_text("\n".join(",".join(part) for part in (row, first.values(), row.values())) + "\n")
    with pytest.raises(
        InputError, match=f"row [12]: {column} is .*{column} has to be 0 or a number between 1e-30 and 1e\\+30"
    ):
        read_table(file)


@pytest.mark.parametrize(
    "column", ["perturbation", "score", "trials", "score_se", "base_score", "chance", "align_volume"]
)
def test_text_in_a_column_of_numbers_is_said(tmp_path: Path, column: str) -> None:
    columns = ["run", "perturbation", "score", "trials", "score_se", "base_score", "chance", "align_volume"]
    rows = [dict(zip(columns, ["a", str(at), "0.5", "10", "0.1", "0.4", "0.25", "4"], strict=True)) for at in (0, 1, 2)]
    file = tmp_path / "scores.csv"

    def written(value: str) -> Path:
        lines = [columns, *([*(row | {column: value} if i == 1 else row).values()] for i, row in enumerate(rows))]
        file.write_text("\n".join(map(",".join, lines)) + "\n")
        return file

    with pytest.raises(InputError, match=f"row 2: {column} is 'many' \\(.*scores.csv\\): has to be a number"):
        read_table(written("many"))
    if column not in ("perturbation", "score"):  # the others may be empty
        assert str(read_table(written("NA")).courses) == str(read_table(written("")).courses)


def scores(tmp_path, text):
    (tmp_path / "scores.csv").write_text(text)
    return read_table(tmp_path / "scores.csv").courses[0]


def test_the_base_of_scores_has_the_error_of_its_trials(tmp_path):
    """0 of 10: Agresti and Coull, (0 + 2)/14 = 1/7, sqrt(1/7 6/7 / 14) = 0.0935; it was 0.0003, and of the readings alone so large."""
    course = scores(tmp_path, "run,perturbation,score,trials,base_score\na,0,0.9,10,0\na,8,0.5,10,0\na,16,0.0,10,0\n")
    assert course.base_error == pytest.approx(math.sqrt(6 / 49 / 14))
    assert course.errors[-1] == pytest.approx(course.base_error)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("trials\na,0,0.9,0\na,8,0.5,0\n", "trials is 0 .*1 or more"),
        ("chance\na,0,0.9,0.5\na,8,0.5,0.1\n", "run a has several values of chance"),
        ("align_volume\na,0,0.9,16\na,8,0.5,64\n", "run a has several values of align_volume"),
    ],
)
def test_what_is_one_value_a_run_is_not_taken_from_its_first_row(tmp_path, rows, says):
    with pytest.raises(InputError, match=says):
        scores(tmp_path, f"run,perturbation,score,{rows}")


def test_a_base_that_the_first_row_does_not_tell_is_that_of_the_others(tmp_path):
    course = scores(tmp_path, "run,perturbation,score,chance\na,0,0.9,\na,8,0.5,0.25\n")
    assert course.base == 0.25
    rows = ["a,align,16,0,1,nats/response,examples,", "a,align,16,8,2,nats/response,examples,0.5"]
    rows += ["a,perturb,8,0,3,nats/response,examples,", "a,perturb,8,8,2,nats/response,examples,"]
    head = "run,component,volume,perturbation,rate,rate_unit,volume_unit,base_contrast"
    (tmp_path / "curve.csv").write_text("\n".join([head, *rows]))
    assert read_table(tmp_path / "curve.csv").courses[0].base == 0.5
    (tmp_path / "curve.csv").write_text("\n".join([head, *rows[:3], rows[3] + "0.4"]))
    with pytest.raises(InputError, match=r"row 4: base_contrast is 0\.4 .*the same in the whole run"):
        read_table(tmp_path / "curve.csv")
