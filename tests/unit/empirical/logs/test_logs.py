"""Logs and results of other tools as Curves: each metric where its file puts it, in the unit of its kind, with the error it can have."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from elastomath.errors import InputError
from empirical.logs import read_curve, read_records, write_model_card
from empirical.measures.contrast import within_run_se

LN2 = np.log(2)


def by_component(curve, component):
    run = next(iter(curve))
    index = run.components.index(component)
    return run.perturbations, run.rates[index], run.rate_se[index]


def test_losses_of_a_log_are_bits_a_token_without_an_error(tmp_path):
    rows = [
        {"step": 0, "epoch": 0.0, "eval_align_loss": 2.0, "eval_runtime": 0.1},
        {"step": 0, "epoch": 0.0, "eval_perturb_loss": 4.0},
        {"step": 1, "loss": 3.0, "grad_norm": 1.0},
        {"step": 5, "eval_align_loss": 2.5},
        {"step": 5, "eval_perturb_loss": 3.0, "eval_note": "text"},
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": rows, "global_step": 5}))
    read = read_curve([tmp_path / "trainer_state.json"], batch=8, volumes={"align": 64})
    steps, rates, errors = by_component(read.curve, "align")
    assert steps.tolist() == [0, 40]
    assert rates == pytest.approx([2 / LN2, 2.5 / LN2])
    assert np.isnan(errors).all()
    assert by_component(read.curve, "perturb")[1] == pytest.approx([4 / LN2, 3 / LN2])
    assert read.notes == tuple(
        f"eval_{name}_loss has no error within the run: the log holds no values of the same documents"
        for name in ("align", "perturb")
    )
    assert read_curve([tmp_path], batch=8).curve.frame.equals(
        read_curve([tmp_path / "trainer_state.json"], batch=8).curve.frame
    )


def harness(folder, step, scores):
    """samples_*.jsonl and results_*.json as the harness names and fills them."""
    place = folder / f"checkpoint-{step}"
    place.mkdir()
    rows = [
        {"doc_id": index, "doc": {"q": index}, "doc_hash": f"{index:02d}", "resps": [[[str(-score), "False"]]],
         "filtered_resps": [], "filter": "none", "metrics": ["acc"], "acc": score}
        for index, score in enumerate(scores)
    ]  # fmt: skip
    rows = rows[::-1] if step else rows  # documents are matched by their hash, not by their place
    (place / "samples_harm_2026-11-28T10-00-00.000000.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    results = {"results": {"harm": {"alias": "harm", "acc,none": np.mean(scores), "acc_stderr,none": 0.1}}}
    (place / "results_2026-11-28T10-00-00.000000.json").write_text(json.dumps(results))
    return place


def test_samples_have_errors_over_paired_documents_and_results_have_none(tmp_path):
    scores = {0: [1.0, 0.5, 1.0, 0.75], 100: [1.0, 0.5, 0.5, 0.75], 200: [0.5, 0.5, 0.5, 0.25]}
    places = [harness(tmp_path, step, row) for step, row in scores.items()]
    samples = [next(place.glob("samples*")) for place in places]
    read = read_curve(samples, "harm.acc=perturb:score", batch=2)
    steps, rates, errors = by_component(read.curve, "perturb")
    table = np.array(list(scores.values()))
    assert steps.tolist() == [0, 200, 400]
    assert rates == pytest.approx(-np.log(table.mean(1)))
    assert errors == pytest.approx(within_run_se(table, np.ones(4)) / table.mean(1))
    assert read.notes == ()
    nats = by_component(read_curve(samples, "harm.nats=perturb:nats").curve, "perturb")
    assert nats[1] == pytest.approx(table.mean(1))
    whole = read_curve([next(place.glob("results*")) for place in places], "harm.acc=perturb:score", batch=2)
    assert by_component(whole.curve, "perturb")[1] == pytest.approx(rates)
    assert np.isnan(by_component(whole.curve, "perturb")[2]).all()


def test_unlearning_and_tampering(tmp_path):
    for step, losses in ((0, [1.0, 2.0, 3.0]), (10, [1.5, 2.5, 3.5])):
        values = {str(i): {"prob": float(np.exp(-x)), "avg_loss": x} for i, x in enumerate(losses)}
        content = {
            "forget_Q_A_Prob": {"agg_value": 0.5, "value_by_index": values},
            "forget_quality": {"agg_value": 0.1},
        }
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "TOFU_EVAL.json").write_text(json.dumps(content))
        place = tmp_path / f"step_{step}" / "tamperbench_evaluation" / "strong_reject"
        place.mkdir(parents=True)
        table = pd.DataFrame({"prompt": ["b", "a", "c"], "response": "x", "score": [0.2 + step / 20, 0.4, 0.6]})
        (table[::-1] if step else table).to_parquet(place / "evaluator_scores.parquet")
        (place / "evaluation.json").write_text(
            json.dumps([{"metric_name": "strong_reject_score", "metric_value": float(table["score"].mean())}])
        )
    files = sorted(tmp_path.rglob("TOFU_EVAL.json"))
    read = read_curve(files, "forget_Q_A_Prob.avg_loss=perturb")
    steps, rates, errors = by_component(read.curve, "perturb")
    assert steps.tolist() == [0, 10]
    assert rates == pytest.approx(np.array([2.0, 2.5]) / LN2)
    assert errors == pytest.approx([0, 0], abs=1e-12)  # every document rose by the same
    assert by_component(read_curve(files, "forget_Q_A_Prob=perturb:score").curve, "perturb")[1] == pytest.approx(
        [LN2] * 2
    )
    scores = sorted(tmp_path.rglob("evaluator_scores.parquet"))
    _, rates, errors = by_component(read_curve(scores, "strong_reject.score=perturb:score").curve, "perturb")
    assert rates == pytest.approx(-np.log([0.4, 0.4 + 1 / 6]))
    table = np.array([[0.4, 0.2, 0.6], [0.4, 0.7, 0.6]])  # by prompt
    assert errors == pytest.approx(within_run_se(table, np.ones(3)) / table.mean(1))
    results = sorted(tmp_path.rglob("evaluation.json"))
    again = by_component(read_curve(results, "strong_reject_score=perturb:score", at=[0, 80]).curve, "perturb")
    assert again[0].tolist() == [0, 80]
    assert again[1] == pytest.approx(rates)


def test_tables_of_wandb_trackio_tensorboard_and_ones_own(tmp_path):
    wanted = [0.5, 0.25, 0.125]

    def rates(name, mapping, **options):
        curve = read_curve([tmp_path / name], mapping, **options).curve
        return curve.runs, by_component(curve, "perturb")

    (tmp_path / "wandb.csv").write_text(
        '"Step","run-7 - eval/harm","run-7 - eval/harm__MIN","run-7 - eval/harm__MAX"\n'
        '"0","0.5","0.5","0.5"\n"2","","",""\n"4","0.25","0.1","0.3"\n"8","0.125","0.125","0.125"\n'
    )
    runs, (steps, rate, _) = rates("wandb.csv", "eval/harm=perturb:score", run="run-7")
    assert runs == ("run-7",)
    assert steps.tolist() == [0, 4, 8]
    assert rate == pytest.approx(-np.log(wanted))
    trackio = {
        "id": [1, 2, 3],
        "timestamp": "2026-11-28T10:00:00",
        "run_name": "attack",
        "step": [0, 1, 2],
        "harm": wanted,
    }
    pd.DataFrame(trackio).to_parquet(tmp_path / "project.parquet")
    runs, (steps, rate, _) = rates("project.parquet", "harm=perturb:score", batch=4)
    assert (runs, steps.tolist()) == (("attack",), [0, 4, 8])
    assert rate == pytest.approx(-np.log(wanted))
    (tmp_path / "run-attack-tag-eval_harm_loss.csv").write_text("Wall time,Step,Value\n1,0,0.5\n2,4,0.25\n3,8,0.125\n")
    steps, rate, _ = rates("run-attack-tag-eval_harm_loss.csv", "eval_harm_loss=perturb")[1]
    assert rate == pytest.approx(np.array(wanted) / LN2)
    (tmp_path / "tag-harm.json").write_text(json.dumps([[1.0, 0, 0.5], [2.0, 4, 0.25], [3.0, 8, 0.125]]))
    assert rates("tag-harm.json", "harm=perturb")[1][1] == pytest.approx(rate)
    (tmp_path / "long.csv").write_text("run,tag,step,value\na,harm,0,0.5\na,good,0,1\na,harm,4,0.25\na,good,4,1\n")
    assert rates("long.csv", "harm=perturb,good=align")[1][1] == pytest.approx(rate[:2])
    (tmp_path / "own.csv").write_text("examples,eval_harm,ppl\n0,0.5,8\n10,0.25,4\n30,0.125,2\n")
    steps, rate, _ = rates("own.csv", "examples=perturbation,eval_harm=perturb:score", batch=99)[1]
    assert steps.tolist() == [0, 10, 30]
    assert rate == pytest.approx(-np.log(wanted))
    assert rates("own.csv", "examples=perturbation,ppl=perturb:perplexity")[1][1] == pytest.approx([3, 2, 1])


@pytest.mark.parametrize(
    ("content", "mapping", "message"),
    [
        ("step,harm\n0,0.5\n4,0.0\n", "harm=perturb:score", "harm is 0 .kind score"),
        ("step,harm\n0,0.5\n4,1.5\n", "harm=perturb:score", "harm is 1.5 .kind score"),
        ("step,harm\n1,0.5\n4,0.5\n", "harm=perturb", "no reading before the perturbation: the first .* is at 1 "),
        ("step,harm\n0,0.5\n4,0.5\n", "good=perturb", "no metric 'good'.*there are harm"),
        (
            "step,harm\n0,0.5\n4,0.5\n",
            "",
            "which metric is which component is not told.*there are step, harm|there are harm",
        ),
        ("step,harm\n0,0.5\n4,0.5\n", "harm=perturb:joy", "cannot read 'harm=perturb:joy'"),
        ("step,harm\n0,0.5\n4,0.5\n", "harm=perturb,step=perturb", "perturb is mapped twice"),
        ("step,harm,a\n0,0.5,1\n4,0.5,1\n", "harm=perturb:score,a=align:loss", "rates in bits/token and nats/response"),
        ("harm\n0.5\n", "harm=perturb", "no column that counts steps"),
        ("step,harm\n0,0.5\n", "examples=perturbation,harm=perturb", "no column 'examples'"),
        ("step,harm\n0,0.5\nfour,0.5\n", "harm=perturb", "row 2: step is 'four' .*log.csv.*: step has to be a number"),
        (
            "step,harm\n0,0.5\n4,half\n8,0.5\n",
            "harm=perturb",
            "harm is 'half' at step 4 .*log.csv.*: write a number, or",
        ),
        ("step,harm\n0,0.5\n4,inf\n8,0.5\n", "harm=perturb", "harm is 'inf' at step 4 .*log.csv.*: write a number, or"),
        ("", "harm=perturb", "the file is empty"),
        ("step,harm\n", "harm=perturb", "no row of it has a step .*log.csv"),
        ("step;harm\n0;0,5\n", "harm=perturb", "semicolons between the columns .*log.csv.*: save it with commas"),
        ("step,good,harm\n0,9,0.5,\n4,9,0.4,\n", "good=align", "line 2: 4 fields where the header has 3"),
        ("step,harm,harm\n0,0.5,9\n", "harm=perturb", "column 'harm' occurs twice"),
        ("step,harm\n0,0.5\n4,0.4\n4,0.3\n", "harm=perturb", "harm is 0.3 at step 4, and 0.4 in another row .*log.csv"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, content, mapping, message):
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(InputError, match=message) as told:
        read_curve([tmp_path / "log.csv"], mapping)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "name",
    ["trainer_state.json", "results_1.json", "samples_a_2026-11-28T1.jsonl", "TOFU_EVAL.json", "evaluation.json",
     "evaluator_scores.parquet", "log.parquet", "scalars.json"],
)  # fmt: skip
@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"a": 1}', '{"log_history": 3, "results": 3}'])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError):
        read_records(tmp_path / name)


def test_one_step_twice_in_a_log_of_a_trainer_is_refused_where_its_values_differ(tmp_path):
    """An evaluation of the best checkpoint after training stands at the last step, too, and is no reading of it."""
    path = tmp_path / "trainer_state.json"
    rows = [{"step": 0, "eval_align_loss": 1.0}, {"step": 5, "eval_align_loss": 2.0}, {"step": 5, "loss": 3.0}]
    for last, match in ((2.0, None), (1.5, r"eval_align_loss is 1\.5 at step 5, and 2 in another row .*trainer_state")):
        path.write_text(json.dumps({"log_history": [*rows, {"step": 5, "eval_align_loss": last}]}))
        if match is None:
            assert read_curve([path]).curve.frame["rate"].tolist() == pytest.approx([1 / LN2, 2 / LN2])
        else:
            with pytest.raises(InputError, match=match):
                read_curve([path])


@pytest.mark.parametrize(("data", "message"), [(gzip.compress(b"step,harm", mtime=0), "a gzip archive, where a text file is wanted"),
                                               ('{"step": "härm"}'.encode("latin-1"), "not UTF-8: byte 12 is 0xe4"),
                                               ("step,härm\n".encode("latin-1"), "not UTF-8: byte 7 is 0xe4")])  # fmt: skip
def test_bytes_that_are_no_text_are_named(tmp_path, data, message):
    (tmp_path / "log.csv").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_records(tmp_path / "log.csv")


@pytest.mark.parametrize(("name", "data", "message"), [("log.csv.gz", gzip.compress(b"step,harm", mtime=0), "a gzip archive, where a log"),
                                                       ("log.tsv", b"step\tharm", "unknown suffix '.tsv'")])  # fmt: skip
def test_a_file_of_an_unknown_kind_is_no_broken_json(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_records(tmp_path / name)


def test_text_beside_the_mapped_metrics_and_words_for_nothing_are_no_fault(tmp_path):
    (tmp_path / "log.csv").write_text("step,harm,note\n0,0.5,begun\n2,n/a,x\n4,0.25,done\n")
    assert by_component(read_curve([tmp_path / "log.csv"], "harm=perturb").curve, "perturb")[0].tolist() == [0, 4]


def test_text_in_a_cell_of_a_notebook_is_refused_where_it_is_mapped(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("# A\n| run | Step 0 | Step 10 | Step 20 |\n|---|---|---|---|\n| a | 0.2 | broke | 0.4 |\n")
    with pytest.raises(InputError, match="score is 'broke' at step 10"):
        read_curve([path], "score=perturb:score")
    path.write_text(path.read_text().replace("broke", "-"))
    assert by_component(read_curve([path], "score=perturb:score").curve, "perturb")[0].tolist() == [0, 20]


def test_files_without_steps_need_them_given(tmp_path):
    (tmp_path / "results_1.json").write_text(json.dumps({"results": {"harm": {"acc,none": 0.5, "f1,strict": 0.25}}}))
    with pytest.raises(InputError, match="the file tells no step"):
        read_curve([tmp_path / "results_1.json"], "harm.acc=perturb:score")
    with pytest.raises(InputError, match="2 perturbations for 1 file "):
        read_curve([tmp_path / "results_1.json"], "harm.acc=perturb:score", at=[0, 1])
    with pytest.raises(InputError, match=r"batch is 0 .*finite and > 0"):
        read_curve([tmp_path / "results_1.json"], "harm.acc=perturb:score", at=[0], batch=0)
    assert set(read_records(tmp_path / "results_1.json")[0].metrics) == {"harm.acc", "harm.f1,strict"}
    with pytest.raises(InputError, match="no such file"):
        read_records(tmp_path / "none.json")


def test_a_model_card_has_what_was_found(tmp_path):
    import yaml

    ends = {"estimate": 22.7, "low": 19.8, "high": 25.7, "level": 0.95}
    result = {"undo_volume": ends, "left": None, "constants": {"reason": "few"}, "settings": {"pairs": "a/prefs.jsonl"}}
    content = yaml.safe_load(write_model_card(result, "mine", tmp_path / "card.yaml").read_text())
    (entry,) = content["model-index"][0]["results"]
    assert entry["dataset"] == {"name": "a/prefs.jsonl", "type": "prefs"}
    assert entry["metrics"][0] == {
        "type": "undo_volume", "value": 22.7, "name": "Perturbation that undoes the alignment, 22.7 [19.8, 25.7] at 95%"
    }  # fmt: skip
    with pytest.raises(InputError, match="no number to enter"):
        write_model_card({"undo_volume": None}, "mine", tmp_path / "card.yaml")


NOTEBOOK = """# Notes

## A sweep

| Model | Metric | Step 0 | Step 1,000 | Notes |
|---|---|---|---|---|
| base | kept | 45.10 | - | before |
| one | forget | 25.0% | **40.0** | |
| | kept | 44.0 | 43.0 | |

text
### In shares

| Attack | Step 0 | Step 10 |
|---|---|---|
| mild | 0.25 | 0.42 |

| no | steps |
|---|---|
| 1 | 2 |
"""


def test_tables_of_a_notebook_whose_columns_are_steps(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text(NOTEBOOK)
    read = {(r.run, r.step): {name: m.value for name, m in r.metrics.items()} for r in read_records(path)}
    assert read == {
        ("A sweep: base", 0.0): {"kept": pytest.approx(0.451)},
        ("A sweep: one", 0.0): {"forget": pytest.approx(0.25), "kept": pytest.approx(0.44)},
        ("A sweep: one", 1000.0): {"forget": pytest.approx(0.4), "kept": pytest.approx(0.43)},
        ("In shares: mild", 0.0): {"score": 0.25},
        ("In shares: mild", 10.0): {"score": 0.42},
    }


@pytest.mark.parametrize(
    ("text", "message"), [("# nothing", "not a notebook"), (NOTEBOOK.replace("44.0", "144.0"), "a score of 144.0")]
)
def test_a_notebook_without_steps_or_with_no_scores_is_refused(tmp_path, text, message):
    path = tmp_path / "notes.md"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_records(path)


def test_results_of_the_harness_before_0_4_tell_their_step_in_their_name(tmp_path):
    path = tmp_path / "intervention-70m-deduped_step134000.json"
    path.write_text(
        json.dumps({"results": {"lambada": {"acc": 0.5, "acc_stderr": 0.01, "alias": "l"}}, "versions": {}})
    )
    (record,) = read_records(path)
    assert record.step == 134000
    assert {name: m.value for name, m in record.metrics.items()} == {"lambada.acc": 0.5}


def test_the_runs_of_one_wandb_export_are_not_mixed(tmp_path):
    """The export of a chart has a column for each run; by hand, the second run has no reading at 10."""
    header = [f"lr {lr} - eval_loss{part}" for lr in ("1e-4", "3e-4") for part in ("", "__MIN", "__MAX")]
    (tmp_path / "chart.csv").write_text(
        "\n".join([",".join(["Step", *header]), "0,1.0,1,1,5.0,5,5", "10,1.1,1,1,,,", "20,1.2,1,1,5.2,5,5", ""])
    )
    curve = read_curve([tmp_path / "chart.csv"], "eval_loss=pretrain:loss").curve
    courses = {run.name: (run.perturbations.tolist(), (run.rates[0] * LN2).round(12).tolist()) for run in curve}
    assert courses == {"lr 1e-4": ([0, 10, 20], [1.0, 1.1, 1.2]), "lr 3e-4": ([0, 20], [5.0, 5.2])}


def test_two_files_that_tell_different_values_are_of_two_runs(tmp_path):
    for name, values in (("a", (1.0, 1.5)), ("b", (1.0, 2.5))):
        rows = [{"step": step, "eval_align_loss": value} for step, value in zip((0, 5), values, strict=True)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    files = [tmp_path / name / "trainer_state.json" for name in "ab"]
    with pytest.raises(InputError, match=r"eval_align_loss is 2\.5 at step 5, and 1\.5 in .*a curve of each run"):
        read_curve(files)
    assert read_curve([files[0], files[0]]).curve.frame["rate"].tolist() == pytest.approx([1 / LN2, 1.5 / LN2])
