"""The options of a protocol are the fields of its settings: read by their kinds, shown with their defaults, printed and read back."""

from __future__ import annotations

import json
import tomllib
import typing
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
import typer

pytest.importorskip("torch")

from elastomath.checks import COUNT
from elastomath.errors import InputError
from elastomath.runs.settings import Settings, read_values, setting, toml
from empirical.durability.settings import DurabilitySettings
from empirical.inversion.settings import InversionSettings
from empirical.laboratory.estimate import as_option
from empirical.rebound.settings import ReboundSettings
from empirical.resistance.settings import ResistanceSettings
from empirical.scale.settings import ScaleSettings
from empirical.stiffness.settings import StiffnessSettings
from paper_checks.cli.commands import main
from paper_checks.cli.experiment import experiment
from paper_checks.cli.options import Protocol, command_of

COMMANDS = typing.cast(typing.Any, typer.main.get_command(experiment)).commands
SETTINGS: dict[str, type[Settings]] = {
    kind.NAME: kind
    for kind in (
        StiffnessSettings, ReboundSettings, ResistanceSettings, InversionSettings, ScaleSettings, DurabilitySettings,
    )
}  # fmt: skip


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["experiment", *arguments])
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, typing.Any]:
    """The settings that a command line means."""
    code, out, err = called(capsys, *arguments, "--print-config")
    assert (code, err) == (0, "")
    return tomllib.loads(out)


@pytest.mark.parametrize("verb", SETTINGS)
def test_the_options_are_the_settings(verb: str):
    """No option is read and then forgotten, and no setting is without one."""
    run = {"preset", "config", "print_config", "device", "dtype", "trust_remote_code", "dry_run", "out", "as_json"}
    run |= set() if verb == "stiffness" else {"executor", "workers"}
    names = {option.name for option in COMMANDS[verb].params}
    assert names - {"help"} == run | {own.name for own in SETTINGS[verb].listed()}
    if verb != "scale":
        assert {own.name for own in SETTINGS[verb].listed()} == {own.name for own in fields(SETTINGS[verb])}


OPTIONS = {
    "stiffness": "--model --texts --k --l --features --positions --window --seed --device --dtype --revision "
    "--trust-remote-code --out --json",
    "rebound": "--preset --model --align --perturb --directions --algorithm --behaviour --adapt-volume --pretrain-volume "
    "--align-volumes --perturb-volumes --held-out --control --no-control --prompt --chat --max-tokens --learning-rate --batch "
    "--lora-rank --seeds --device --dtype --revision --trust-remote-code --executor --workers --dry-run --out --json",
    "resistance": "--preset --model --align --prompts --align-volume --volumes --held-samples --sample-tokens --temperature "
    "--held-out --prompt --chat --prompt-words --max-tokens --learning-rate --batch --lora-rank --seeds --device --dtype "
    "--revision --trust-remote-code --executor --workers --dry-run --out --json",
    "inversion": "--preset --model --align --opposed --adapt-volume --align-volume --low --high --budget --readings --held-out "
    "--control --no-control --measure --prompt --chat --max-tokens --learning-rate --batch --lora-rank --seeds --device --dtype "
    "--revision --trust-remote-code --executor --workers --dry-run --out --json",
    "scale": "--preset --models --revisions --pretrain-volumes --sizes --volumes --vocabulary --texts --align --perturb "
    "--adapt-volume --align-volumes --perturb-volumes --held-out --prompt --chat --max-tokens --learning-rate --batch --seeds "
    "--device --dtype --trust-remote-code --executor --workers --dry-run --out --json",
}
"""The options that each verb had when they were written by hand: scripts use them."""


@pytest.mark.parametrize("verb", OPTIONS)
def test_no_option_has_gone(verb: str):
    here = {name for option in COMMANDS[verb].params for name in (*option.opts, *option.secondary_opts)}
    assert set(OPTIONS[verb].split()) <= here


@pytest.mark.parametrize("verb", SETTINGS)
def test_help_shows_what_each_field_means_and_its_default(verb: str, capsys):
    code, out, _ = called(capsys, verb, "--help")
    text = "".join(out.split())  # lines are broken in the middle of words with a hyphen
    assert code == 0
    for own in SETTINGS[verb].listed():
        assert own.help, own.name
        assert "".join(own.help.split()) in text, own.name
        if own.default not in (None, ()):
            default = as_option(own.default)
            if isinstance(own.default, bool):
                default = own.option.replace("--", "" if own.default else "no-")
            assert own.default == "" or f"[default:{''.join(default.split())}]" in text, own.name


@pytest.mark.parametrize("verb", SETTINGS)
def test_nothing_given_is_the_default_and_what_is_printed_is_read_back(verb: str, capsys, tmp_path: Path):
    kind = SETTINGS[verb]
    assert kind.of(None, read_values(kind.listed(), _file(tmp_path, toml(kind.of())))) == kind.of()
    assert printed(capsys, verb) == tomllib.loads(toml(kind.of()))
    for preset in kind.presets():
        made = kind.of(preset)
        assert printed(capsys, verb, "--preset", preset) == tomllib.loads(toml(made))
        assert kind.of(None, read_values(kind.listed(), _file(tmp_path, toml(made)))) == made


def test_an_option_prevails_over_a_file_and_a_file_over_a_preset(capsys, tmp_path: Path):
    file = _file(tmp_path, 'seeds = [7]\nheld_out = 40\nalgorithms = ["dpo"]\ncontrol = false\n')
    told = printed(
        capsys,
        "rebound",
        "--preset",
        "quick",
        "--config",
        str(file),
        "--held-out",
        "20",
        "--control",
        "--algorithm",
        "sft, kto",
    )
    assert (told["seeds"], told["held_out"], told["control"], told["algorithms"]) == ([7], 20, True, ["sft", "kto"])
    assert told["adapt_volume"] == 384  # of the preset
    yaml = _file(
        tmp_path, "seeds: [7]\nlearning_rate: 1e-5\nprompt: null\n", "yaml"
    )  # a rate that YAML takes for a text
    told = printed(capsys, "rebound", "--config", str(yaml))
    assert (told["seeds"], told["learning_rate"], "prompt" in told) == ([7], 1e-5, False)
    told = printed(capsys, "scale", "--models", "a,b", "--revisions", "r,s", "--adapt-volume", "8", "--seeds", "3")
    assert (told["models"], told["revisions"], told["seeds"], "sizes" in told) == (["a", "b"], ["r", "s"], [3], False)
    assert printed(capsys, "rebound", "--directions", "both")["directions"] == ["forward", "exchanged"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sedes = [1]", "no setting 'sedes'.*did you mean seeds"),
        ("seeds = [1.5]", "seeds.*whole numbers"),
        ("batch = true", "batch.*a whole number"),
        ("batch = 2.5", "batch.*a whole number"),
        ("control = 1", "control.*true or false"),
        ("align = 3", "align.*a text"),
        ("seeds = [1", "cannot read the settings"),
        ("batch = 0", "batch has to be a whole number >= 1"),
    ],
)
def test_what_a_file_cannot_say_is_refused_in_one_line(capsys, tmp_path: Path, text: str, said: str):
    file = _file(tmp_path, text)
    with pytest.raises(InputError, match=said):
        ReboundSettings.of(None, ReboundSettings.values_from(file))
    code, out, err = called(capsys, "rebound", "--config", str(file))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rebound", "--align-volumes", "1,x"), "'1,x' (--align-volumes): write whole numbers"),
        (("rebound", "--config", "none.toml"), "none.toml"),
        (("rebound", "--preset", "no"), "choose from paper-rebound, quick"),
        (("stiffness", "--dry-run"), "no dry run of StiffnessSettings"),
        (("durability", "--optimiser", "adam"), "choose one of sgd, adamw, adamw-carried"),
        (("durability", "--align-volumes", "64,16"), "align_volumes do not rise"),
    ],
)
def test_bad_options_end_in_one_line(capsys, arguments: tuple[str, ...], said: str):
    code, out, err = called(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_settings_and_result_of_a_protocol_of_ones_own(capsys, tmp_path: Path):
    """The whole way: from a dataclass to options, a run, its JSON object and its exit code."""

    @dataclass(frozen=True)
    class Own(Settings):
        NAME = "own"
        batch: int = setting(8, "Examples.", gate=COUNT)
        rates: tuple[float, ...] | None = setting(None, "Rates.", option="--rate")

    def run(settings: Own, out: Path, *, device: str, workers: int) -> dict[str, typing.Any]:
        found = {"batch": settings.batch, "device": device, "workers": workers}
        return {"runs": {"failed": int(settings.batch == 3)}, "curve": "c.csv", "failures": ["why"], "found": found}

    app = typer.Typer()
    app.command()(command_of("own", Protocol(Own, run, lambda result: print(result["found"]["batch"]))))
    command = typer.main.get_command(app)
    assert command(["--workers", "2", "--batch", "5", "--json"], standalone_mode=False) == 0
    assert json.loads(capsys.readouterr().out)["found"] == {"batch": 5, "device": "auto", "workers": 2}
    assert command(["--batch", "3"], standalone_mode=False) == 1
    assert capsys.readouterr().out == "3\nwhy\ncurve: c.csv\n"
    assert "executor" not in {option.name for option in command.params}
    command(["--rate", "1,2", "--print-config"], standalone_mode=False)
    assert tomllib.loads(capsys.readouterr().out)["rates"] == [1.0, 2.0]


def _file(folder: Path, text: str, ending: str = "toml") -> Path:
    path = folder / f"settings.{ending}"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_prompt_is_put_before_film_reviews_only():
    own = ReboundSettings(align="mine.jsonl", perturb="yours.csv")
    assert own.wording == ""
    assert ReboundSettings().wording == "Film review:"
    assert ReboundSettings(align="mine.jsonl").wording == ""  # one of two kinds would tell itself apart
    assert ReboundSettings(align="a#x", perturb="a#y").wording is None
    assert replace(ReboundSettings(), align="mine.jsonl").wording == ""
    assert ReboundSettings(align="mine.jsonl", prompt="Q:").wording == "Q:"
    assert (ResistanceSettings(align="mine.txt").wording, ResistanceSettings().wording) == ("", "Film review:")
    assert ResistanceSettings(prompts="mine.txt").wording == ""
    assert (InversionSettings(align="mine.txt").wording, InversionSettings().wording) == ("", "Film review:")
    for settings in (own, ReboundSettings()):
        [first, *_] = settings.configurations({}, "", {})
        assert first["prompt"] == settings.wording
        assert "chat" not in first  # the key of runs that were made before there was a choice
    assert ReboundSettings(chat=True).configurations({}, "", {})[0]["chat"] is True
    assert InversionSettings().configurations({}, "", {})[0]["prompt"] == "Film review:"
    assert ResistanceSettings().configurations({}, "", {})[0]["prompt"] == "Film review:"
