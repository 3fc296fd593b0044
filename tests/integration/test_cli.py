"""The command line: JSON alone on stdout, exit codes 0, 1 and 2, and one line for every bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from elastomath import Curve, response
from paper_checks.cli.commands import main


@pytest.fixture
def call(capsys):
    """Run a command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def masses(tmp_path):
    rows = {"p": [0.5, 0.25, 0.25], "a": [0.2, 0.5, 0.3], "t": [0.8, 0.1, 0.1]}
    for name, row in rows.items():
        np.save(tmp_path / f"{name}.npy", np.array(row))
    return [tmp_path / f"{name}.npy" for name in rows]


def refused(result: tuple[int, str, str], *words: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr with these words and no traceback."""
    code, out, err = result
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in err


def test_rates_have_the_keys_of_the_contract(call, masses):
    code, out, _ = call("rates", *masses, "--volumes", "10,1,0.5", "--json")
    result = json.loads(out)
    assert code == 0
    keys = "unit entropies rates normalised code_lengths kl_forward kl_reverse response overlaps balance_residual"
    assert set(f"{keys} epsilon theta_constant".split()) <= set(result)
    assert set(result["code_lengths"]) >= {"shannon", "huffman"}
    assert set(result["overlaps"]) >= {"C", "A", "T"}
    assert abs(result["balance_residual"]) < 1e-14
    assert abs(np.dot(result["volumes"], result["response"])) < 1e-14
    code, out, _ = call("rates", *masses, "--volumes", "10,1,0.5")
    assert code == 0
    assert "shortens the code of p.npy" in out or "lengthens the code of a.npy" in out


def test_rates_say_that_the_constant_is_the_upper_end_for_halves(call, tmp_path):
    """R18 at l = 1/2, k = 10: 1 to (1 + 2l/k)/(1 - l) = 2.2, attained where both halves miss a leaf of the other equally."""
    for name, row in {"p": [0.2, 0.35, 0.45], "a": [0.1, 0.6, 0.3], "t": [0.3, 0.1, 0.6]}.items():
        np.save(tmp_path / f"{name}.npy", np.array(row))
    files = [tmp_path / f"{name}.npy" for name in "pat"]
    result = json.loads(call("rates", *files, "--volumes", "10,1,0.5", "--json")[1])
    assert result["halves"]
    assert "between 1 and 2.2" in result["conclusion"][-1]
    assert "at the upper end" in result["conclusion"][-1]
    np.save(files[0], np.array([0.2, 0.3, 0.5]))
    other = json.loads(call("rates", *files, "--volumes", "10,1,0.5", "--json")[1])
    assert not other["halves"]
    assert not any("R18" in sentence for sentence in other["conclusion"])


@pytest.mark.parametrize(("changes", "words"), [({}, "results hold"), ({"holds": False}, "did not come out")])
def test_verify_opens_with_its_conclusion(call, monkeypatch, changes, words):
    from elastomath import verification

    claims = [
        dataclasses.replace(claim, **changes) for claim in verification.verify(["R2", "R15"], cases=5, quick=True)
    ]
    monkeypatch.setattr(verification, "verify", lambda *_, **__: claims)
    code, out, _ = call("verify", "--only", "R2,R15")
    assert code == (1 if changes else 0)
    assert words in out.splitlines()[0]
    assert ("NOT SHOWN (" in out) == bool(changes)
    if not changes:
        assert (
            "Verdict: 'holds': as it is stated; 'holds with constants': once constants are put in; 'confirmed':"
            in " ".join(out.split())
        )
    assert "fails: counterexample" not in out  # nothing that holds beside a row that reads as if it failed


def test_a_file_of_the_users_that_hides_ours_is_named(tmp_path):
    """A sim.py in the user's folder comes first with `python -m`; so would a folder with an __init__.py."""
    (tmp_path / "sim.py").write_text("x = 1\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "elastomath", "--version"]  # puts the current folder on the path first
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    refused((done.returncode, done.stdout, done.stderr), "sim.py", "rename")
    (tmp_path / "sim.py").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert re.fullmatch(r"elastomath \d+\.\d+\.\d+\n", done.stdout)


def test_the_shell_completes_verbs_and_options():
    words = {"COMP_WORDS": "elastomath ve", "COMP_CWORD": "1", "_ELASTOMATH_COMPLETE": "complete_bash"}
    command = [sys.executable, "-m", "paper_checks"]
    environment = os.environ | words | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["verify"]
    environment |= {"COMP_WORDS": "elastomath verify --ex", "COMP_CWORD": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["--explain"]


def test_no_argument_shows_the_help_with_every_verb_in_a_group(call, monkeypatch):
    import typer

    from paper_checks.cli.commands import app
    from paper_checks.cli.groups import GROUPS

    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = call()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "..." not in out.replace("COMMAND [ARGS]...", "")
    assert [line.rstrip(":") for line in lines if line.rstrip(":") in GROUPS] == list(GROUPS)
    for name, command in typer.main.get_command(app).commands.items():
        assert re.search(rf"^  {name} ", out, re.MULTILINE), name
        assert " ".join((command.help or "").partition("\n\n")[0].split()) in " ".join(out.split()), name


def test_info_names_versions_and_caches(call):
    result = json.loads(call("info", "--json")[1])
    assert set(result) >= {"elastomath", "python", "device", "dtype", "cores", "caches", "packages"}
    assert result["packages"]["numpy"] == np.__version__
    assert result["packages"]["trl"] is None or result["packages"]["trl"][0].isdigit()
    assert f"numpy         {np.__version__}" in call("info")[1]


def test_plot_draws_a_curve_beside_it(call, tmp_path):
    curve = Curve.from_paths(
        "one", {"pretrain": 10, "align": 1, "perturb": 1}, [0, 1],
        {"pretrain": [1.0, 0.99], "align": [1.0, 1.05], "perturb": [1.0, 0.6]}, "bits/symbol", "symbols",
    )  # fmt: skip
    file = curve.write(tmp_path / "curve.csv")
    code, out, _ = call("plot", file)
    assert code == 0
    assert "alignment gives way" in out
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")
    refused(call("plot", file, "--out", tmp_path / "curve.gif"), ".gif")
    alone = Curve.from_paths("one", {"align": 5}, [0, 4], {"align": [1.0, 1.1]}, "bits/token", "examples")
    first = call("plot", alone.write(tmp_path / "alone.csv"))[1].splitlines()[0]
    assert first == "Curve of 1 run (one): align in bits/token, at 2 perturbations up to 4 examples."


def test_nothing_is_said_by_colour_alone(call, masses, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    plain = call("rates", *masses, "--volumes", "10,1,0.5")[1]
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain)
    monkeypatch.delenv("NO_COLOR")
    assert re.sub(r"\x1b\[[0-9;]*m", "", call("rates", *masses, "--volumes", "10,1,0.5")[1]) == re.sub(
        r"\x1b\[[0-9;]*m", "", plain
    )


def test_rates_of_one_text_file(call, tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("the cat sat on the mat " * 50, encoding="utf-8")
    code, out, _ = call("rates", file, "--depth", 2, "--json")
    assert code == 0
    assert json.loads(out)["unit"] == "bits/byte"
    code, out, _ = call("rates", file)
    assert code == 0
    assert "add up" not in out  # one dataset answers to nothing
    assert "shannon and huffman in bits for a whole block, up to 4 bytes" in " ".join(out.split())
    assert "a whole block" not in call("rates", file, "--depth", 1)[1]


def test_simulate_then_fit_gives_the_nominal_constants(call, tmp_path):
    code, out, _ = call("simulate", "mixture", "--k", "2,40", "--leaves", 256, "--out", tmp_path / "runs", "--json")
    result = json.loads(out)
    assert any("theorem" in sentence for sentence in result["conclusion"])
    assert code == 0
    assert result["runs"] == 2
    assert result["seconds"] > 0
    assert all((tmp_path / "runs" / "mixture.svg").samefile(figure) for figure in result["figures"])
    code, out, _ = call("fit", result["curve"], "--json", "--out", tmp_path / "fit")
    constants = json.loads(out)
    assert code == 0
    for run, k in zip(constants["runs"], (2, 40), strict=True):
        assert set(run) >= {"run", "K_pretrain", "K_align", "kappa", "nominal_kappa", "bound"}
        assert set(run["kappa"]) == {"estimate", "low", "high", "level"}
        assert run["kappa"]["estimate"] == pytest.approx(k, rel=1e-3)
        assert run["bound"]["holds"]
    assert set(constants["pooled"]) >= {"kappa", "beta"}
    assert all(set(model) >= {"name", "parameters", "heldout_error"} for model in constants["models"])
    assert json.loads((tmp_path / "fit" / "fit.json").read_text()) == constants
    assert call("fit", result["curve"])[0] == 0


def test_verify_prints_claims_and_explains(call):
    code, out, _ = call("verify", "--quick", "--only", "R1,R2,R3", "--json")
    claims = json.loads(out)["claims"]
    assert code == 0
    assert {claim["id"] for claim in claims} == {"R1", "R2", "R3"}
    assert all(set(claim) >= {"id", "verdict", "level", "cases", "detail"} for claim in claims)
    code, out, _ = call("verify", "--explain", "R5")
    assert code == 0
    assert len(out) > 500
    refused(call("verify", "--explain", "R99"), "R99")


def test_verify_exits_with_1_where_a_check_does_not_hold(call, break_in_checks):
    def flipped(mixture):  # the sign of R1
        true = response(mixture)
        return dataclasses.replace(true, derivatives=-true.derivatives)

    break_in_checks("response", flipped)
    code, out, _ = call("verify", "--only", "R1,R2", "--cases", 5, "--processes", 1, "--json")
    assert code == 1
    assert json.loads(out)["claims"]


def test_measure_reads_several_files(call, tiny_model, tmp_path):
    files = []
    for name in ("one", "two"):
        files.append(tmp_path / f"{name}.txt")
        files[-1].write_text(f"A {name} film, and a good one.", encoding="utf-8")
    code, out, _ = call("measure", "--model", tiny_model, "--data", *files, "--window", 16, "--device", "cpu", "--json")
    result = json.loads(out)
    assert code == 0
    assert [row["data"] for row in result["results"]] == [str(file) for file in files]
    assert set(result) >= {"results", "window", "stride", "bos", "model", "revision", "dtype"}
    assert set(result["results"][0]) >= {
        "data",
        "bits_per_byte",
        "se",
        "bits_per_token",
        "bytes",
        "tokens",
        "documents",
    }
    assert call("measure", "--model", tiny_model, "--data", *files, "--device", "cpu")[0] == 0


def test_experiment_stiffness_from_the_command_line(call, tiny_model, tmp_path):
    texts = []
    rng = np.random.default_rng(0)
    for name in ("base", "good", "bad"):
        texts.append(tmp_path / f"{name}.jsonl")
        lines = [" ".join(rng.choice(["light", "film", name, "slow", "word"], 30)) + f" {i}" for i in range(40)]
        texts[-1].write_text("\n".join(json.dumps({"text": line}) for line in lines), encoding="utf-8")
    options = ["--model", tiny_model, "--texts", ",".join(map(str, texts)), "--features", 4, "--positions", 900]
    options += ["--window", 30, "--k", "10", "--l", "0,0.1,0.5,1", "--device", "cpu", "--out", tmp_path / "out"]
    code, out, _ = call("experiment", "stiffness", *options, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["runs"] == {"done": 4, "failed": 0, "total": 4}
    assert len(Curve.read(result["curve"]).runs) == 4
    assert call("experiment", "stiffness", *options)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "missing.csv"], ["missing.csv", "no such curve file"]),
        (["fit"], ["Missing argument"]),
        (["nonsense"], ["nonsense"]),
        (["rates", "missing.npy"], ["missing.npy"]),
        (["simulate", "mixture", "--k", "0"], ["k"]),
        (["simulate", "mixture", "--k", "ten"], ["ten", "--k"]),
        (["simulate", "mixture", "--alpha", "0.5"], ["alpha"]),
        (["simulate", "mixture", "--leaves", "0"], ["leaves"]),
        (["simulate", "mixture", "--seeds", "0"], ["--seeds"]),
        (["simulate", "magic"], ["magic"]),
        (["fetch", "no-such-thing"], ["no-such-thing", "film-reviews"]),
        (["measure"], ["--data"]),
        (["measure", "--data", "missing.txt"], ["missing.txt"]),
        (["experiment", "stiffness", "--texts", "a,b"], ["--texts"]),
        (["experiment", "stiffness", "--k", "-1"], ["entry 0 of k is -1"]),
        (["experiment", "rebound", "--align-volumes", "20,10"], ["align_volumes"]),
        (["experiment", "rebound", "--seeds", "x"], ["--seeds"]),
        (["report", "--preset", "quick", "--out", "report.txt"], ["report.txt", ".html"]),
        (["report", "--preset", "nope"], ["nope"]),
    ],
)
def test_bad_usage_ends_in_one_line(call, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    refused(call(*arguments), *words)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # nothing half written


def test_bad_volumes_and_masses_end_in_one_line(call, masses, tmp_path):
    refused(call("rates", *masses, "--volumes", "10,0,1"), "volume 1 is 0")
    refused(call("rates", *masses, "--volumes", "10,-1,1"), "volume 1 is -1")
    refused(call("rates", *masses, "--volumes", "10,1"), "volumes")
    np.save(tmp_path / "a.npy", np.array([0.5, np.nan, 0.5]))
    refused(call("rates", *masses, "--volumes", "10,1,1"), "a.npy", "nan")


def test_an_unknown_model_and_wrong_columns_end_in_one_line(call, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    text = tmp_path / "a.jsonl"
    text.write_text('{"body": "x"}\n', encoding="utf-8")
    refused(call("measure", "--model", tiny_model, "--data", text), "text", "body")
    text.write_text('{"text": "x"}\n', encoding="utf-8")
    refused(call("measure", "--model", "nobody/no-such-model", "--data", text), "nobody/no-such-model")
    refused(call("measure", "--model", tmp_path / "none.gguf", "--data", text), "none.gguf")
    refused(call("measure", "--model", tiny_model, "--data", text, "--window", "100000"), "window")
    refused(call("measure", "--model", tiny_model, "--data", text, "--device", "warp"), "warp")


def test_a_curve_that_breaks_a_rule_is_refused_with_row_and_rule(call, tmp_path):
    file = tmp_path / "curve.csv"
    file.write_text(
        "run,component,volume,perturbation,rate,rate_se,rate_unit,volume_unit\n"
        "a,pretrain,10,0,1.0,,bits/byte,tokens\na,align,0,0,1.0,,bits/byte,tokens\n"
    )
    refused(call("fit", file), "row 2", "volume", "> 0")


def test_a_folder_that_cannot_be_written_ends_in_one_line(call, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    refused(call("simulate", "mixture", "--leaves", 16, "--out", blocker / "runs"), "cannot write")


def test_a_missing_extra_is_named(call, tmp_path, monkeypatch):
    text = tmp_path / "a.txt"
    text.write_text("x")
    for name in [name for name in sys.modules if name.startswith("empirical")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = call("measure", "--data", text)
    assert code == 2
    assert "'.[llm]'" in err
    assert len(err.strip().splitlines()) == 1


def test_an_interrupt_says_how_to_go_on(call, monkeypatch):
    from elastomath import verification

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "verify", interrupted)
    code, out, err = call("verify", "--json")
    assert code == 130
    assert out == ""
    assert "the same command continues" in err


def test_help_is_quick_and_every_verb_shows_an_example(call):
    clock, own, libraries = [], [], []
    for _ in range(5):
        start, spent = time.perf_counter(), _spent_by_children()
        done = subprocess.run(
            [sys.executable, "-m", "paper_checks", "--help"], capture_output=True, text=True, check=True
        )
        clock.append(time.perf_counter() - start)
        own.append(_spent_by_children() - spent)
        spent = _spent_by_children()
        subprocess.run([sys.executable, "-c", "import numpy, typer.main"], check=True)
        libraries.append(_spent_by_children() - spent)
    limit = max(0.5, 3 * min(libraries))  # on a slow machine what cannot be left out takes long too
    assert min(own) < limit
    if os.getloadavg()[0] <= (os.cpu_count() or 1):  # on a machine that others keep busy the clock tells of them
        assert min(clock) < limit
    for verb in ("verify", "rates", "simulate", "fetch", "measure", "fit", "report", "experiment"):
        assert verb in done.stdout
    for verb in (["verify"], ["rates"], ["simulate"], ["fetch"], ["measure"], ["fit"], ["report"]):
        assert "Example: elastomath" in call(*verb, "--help")[1]
    for protocol in ("stiffness", "rebound"):
        assert "Example: elastomath experiment" in call("experiment", protocol, "--help")[1]


def _spent_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


SAVED = Path(__file__).parents[2] / "paper_checks" / "saved_runs"
LATER = [pytest.param(name, marks=pytest.mark.acceptance) for name in ("rebound-algorithms", "resistance", "inversion")]


@pytest.mark.parametrize("name", ["durability", "rebound", *LATER])
def test_fit_concludes_on_saved_runs_of_a_real_model(call, name):
    """Sentences first; no open end, no interval over ten powers of ten, in what is printed without --verbose."""
    code, out, _ = call("fit", SAVED / name / f"{name}.csv")
    assert code == 0
    first = out.split("\n\n")[0].split(". ")
    assert 2 <= len(first) <= 6
    assert out.split("\n\n")[0].endswith(".")
    assert "open" not in out
    numbers = "".join(line for line in out.splitlines() if not line.startswith("Warning"))  # a p may be small
    assert not re.search(r"e[-+]\d\d", numbers), name


def test_fit_tells_more_where_it_is_asked_to(call):
    out = call("fit", SAVED / "rebound" / "rebound.csv", "--verbose")[1]
    assert "nominal" in out
    assert re.search(r"^run .* law *$", out, re.MULTILINE)  # of the table by run, whose heads are broken at this width


def test_plan_says_how_much_is_needed(call):
    code, out, _ = call("plan", "--width", "0.2", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["seeds"] >= 2
    assert told["readings"][0] == 0
    assert told["trained"] > 0
    assert call("plan", "--difference", "0.25")[1].startswith("Read ")
    code, _, err = call("plan", "--width", "-1")
    assert code == 2
    assert "width" in err


def test_plan_says_what_makes_a_behaviour_last(call):
    code, out, _ = call(
        "plan", "--durability", "100", "--c", "0.3", "--start", "0", "--beta", "0.1", "--ceiling", "0.01", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert told["height"] == pytest.approx(29.0, abs=1e-6)
    assert [row["name"] for row in told["levers"]][:2] == ["replay of 50%", "DPO, beta 0.069"]
    assert next(row for row in told["levers"] if row["name"] == "SFT")["absurd"]
    assert call("plan", "--durability", "100")[1].startswith("To last 100 opposed examples")
    code, _, err = call("plan", "--durability", "-1")
    assert code == 2
    assert "durability" in err


def test_compare_says_whether_two_recipes_differ(call):
    saved = Path(__file__).parents[2] / "paper_checks" / "saved_runs" / "durability" / "durability.csv"
    code, out, _ = call("compare", saved, "--by", "pairs", "--json")
    told = json.loads(out)
    assert code == 0
    assert {row["constant"] for row in told["differences"]} >= {"undo_volume", "c"}
    assert len({(row["first"], row["second"]) for row in told["differences"]}) == 6
    assert all(row["corrected"] is None or row["corrected"] >= row["p"] for row in told["differences"])
    code, _, err = call("compare", saved)
    assert code == 2
    assert "give two curves" in err
    assert call("compare", saved, "--by", "size")[0] == 2
    moments = saved.parents[1] / "durability-adamw" / "durability-adamw.csv"
    told = json.loads(call("compare", moments, "--json")[1])["differences"]
    assert {(one["first"], one["second"]) for one in told} == {
        ("durability-adamw, adamw", "durability-adamw, adamw-carried")
    }


def test_compare_says_first_that_undo_volumes_cannot_be_compared(call, tmp_path):
    """The log-odds fall by 0.2 and by 0.1 an example, from 2 to 0 and to 1; the second three runs are not undone at 10."""
    for name, speed in (("fast", 0.2), ("slow", 0.1)):
        runs = []
        for seed in range(3):
            z = 2.0 + 0.01 * seed - (speed + 0.001 * seed) * np.arange(11)
            runs.append(
                Curve.from_paths(
                    f"{name}{seed}", {"align": 64, "perturb": 10}, list(range(11)), {"align": 5 - z / 2, "perturb": 5 + z / 2},
                    "nats/response", "examples", rate_se={"align": [0.001] * 11, "perturb": [0.001] * 11}, seed=seed,
                    base_contrast=0.1, base_contrast_se=0.001,
                )
            )  # fmt: skip
        Curve.concat(runs).write(tmp_path / f"{name}.csv")
    told = json.loads(call("compare", tmp_path / "fast.csv", tmp_path / "slow.csv", "--json")[1])
    assert told["conclusion"][0] == (
        "In the undo volume after an alignment of 64, fast and slow cannot be compared: 3 runs were not undone by the largest "
        "perturbation that was tried."
    )
    made = [one for one in told["differences"] if one["effect"]["estimate"] is not None]
    shown = sum((one["corrected"] or 1.0) < 0.05 for one in made)
    assert 0 < shown < len(made) < len(told["differences"])
    assert f"{shown} of {len(made)} comparisons show" in " ".join(told["conclusion"])


def test_simulated_volumes_are_told_in_alignment_data_and_not_in_examples(call, tmp_path):
    call("simulate", "mixture", "--k", "2,40", "--leaves", 256, "--points", 6, "--out", tmp_path, "--json")
    (line,) = json.loads(call("compare", tmp_path / "mixture.csv", "--by", "k", "--json")[1])["conclusion"][:1]
    assert line.startswith("In the undo volume after an alignment of 1, k 40 over k 2 is ")
    opening = json.loads(call("fit", tmp_path / "mixture.csv", "--json")[1])["conclusion"][0]
    out = call("fit", tmp_path / "mixture.csv")[1]
    assert "undone by: in alignment volumes" in " ".join(out.split())
    assert re.match(
        "At k (2|40): a perturbation of 0.* times the alignment data undoes half of the contrast above even odds",
        opening,
    )


@pytest.mark.parametrize(("verb", "names"), [("fit", "durability"), ("fit", "rebound"), ("compare", "durability")])
def test_tables_fit_eighty_columns(call, monkeypatch, verb, names):
    """No row of a table falls into a paragraph `name: value; name: value`."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call(verb, SAVED / names / f"{names}.csv", *(["--by", "pairs"] if verb == "compare" else []))
    assert code == 0
    assert not [line for line in out.splitlines() if re.match(r"  \w[\w ]*: \S.*; ", line)]
    head = next(line for line in out.splitlines() if line.startswith(("setting", "sets", "aligned")))
    assert len(head.rstrip()) <= 80
    assert "(" not in head  # units stand below


def test_check_says_what_its_verdicts_mean(call):
    code, out, _ = call("check", "Hooke-reverse", "Thm4.2")
    assert code == 0
    text = " ".join(out.split())
    assert "Verdicts: 'fails: counterexample': false on an explicit example." in text
    assert "Evidence: 'counterexample': by an example in exact fractions." in text


def test_compare_says_what_else_its_sets_differ_in(call):
    saved = Path(__file__).parents[2] / "paper_checks" / "saved_runs"
    files = [saved / name / f"{name}.csv" for name in ("durability-gemma-advice", "durability")]
    last = json.loads(call("compare", *files, "--json")[1])["conclusion"][-1]
    assert "learning_rate (3e-05 against 0.0003); model (gemma-3-270m-q4 against smollm2-135m-instruct-q4)" in last
    assert "differ in more than one thing" not in call("compare", files[1], "--by", "pairs", "--json")[1]
    low = saved / "durability-low" / "durability-low.csv"  # names no algorithm, which is sft; other behaviours alone
    assert "differ in more than one thing" not in call("compare", low, files[1], "--json")[1]
