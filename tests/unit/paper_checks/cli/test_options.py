"""What is given on the command line of a protocol becomes its settings, each list by its field's kind."""

from __future__ import annotations

import typing
from dataclasses import fields, replace

import pytest
import typer

from elastomath.errors import InputError
from empirical.inversion.settings import InversionSettings
from empirical.laboratory.estimate import as_option
from empirical.rebound.settings import ReboundSettings
from empirical.resistance.settings import ResistanceSettings
from empirical.scale.family import FamilySettings
from paper_checks.cli.experiment import experiment
from paper_checks.cli.options import given

COMMANDS = typing.cast(typing.Any, typer.main.get_command(experiment)).commands
SETTINGS = {"rebound": ReboundSettings, "resistance": ResistanceSettings, "inversion": InversionSettings}


def chosen(verb: str, settings: type, arguments: list[str], leave: tuple[str, ...] = ()) -> dict:
    with COMMANDS[verb].make_context(verb, list(arguments)) as context:
        return given(context, settings, leave)


def test_nothing_given_leaves_every_setting_as_it_is():
    for verb, settings in SETTINGS.items():
        assert chosen(verb, settings, []) == {}
        settings(**chosen(verb, settings, []))


def test_lists_are_read_by_the_kind_of_their_field():
    found = chosen("rebound", ReboundSettings, ["--seeds", "3,4", "--algorithm", "sft, dpo", "--no-control"])
    assert found == {"seeds": (3, 4), "algorithms": ("sft", "dpo"), "control": False}
    assert chosen("resistance", ResistanceSettings, ["--volumes", "8,16", "--prompts", "a"]) == {
        "volumes": (8, 16),
        "prompts": "a",
    }
    with pytest.raises(InputError, match=r"--align-volumes.*'1,x'|'1,x'.*whole numbers"):
        chosen("rebound", ReboundSettings, ["--align-volumes", "1,x"])


def test_what_belongs_to_another_thing_of_the_same_name_is_left():
    arguments = ["--sizes", "32x2,64x2", "--volumes", "32,64", "--learning-rate", "0.1", "--batch", "2"]
    found = chosen("scale", FamilySettings, arguments, ("learning_rate", "batch"))
    assert found == {"sizes": ("32x2", "64x2"), "volumes": (32, 64)}
    assert chosen("scale", ReboundSettings, arguments) == {"learning_rate": 0.1, "batch": 2}


@pytest.mark.parametrize("verb", list(SETTINGS))
def test_every_option_that_is_not_of_the_run_is_a_setting(verb: str):
    """An option whose name is no field would be read and then forgotten."""
    names = {field.name for field in fields(SETTINGS[verb])}
    run = {"preset", "device", "dtype", "trust_remote_code", "executor", "workers", "dry_run", "out", "as_json", "help"}
    assert {option.name for option in COMMANDS[verb].params} - run <= names


@pytest.mark.parametrize("verb", ["stiffness", *SETTINGS, "scale"])
def test_help_shows_every_default(verb: str):
    """Each option has a default in its help, unless nothing is used where it is not given."""
    from click import Context

    command = COMMANDS[verb]
    text = " ".join(command.get_help(Context(command, info_name=verb)).split())
    settings = type(command).settings()
    for option in command.params:
        told = settings.get(option.name)
        if option.default is None and told is not None:
            assert f"({as_option(told)})" in text.replace("- ", "-"), option.name
        elif option.default is None:
            assert option.name in settings or option.name in {
                "preset", "models", "revisions", "pretrain_volumes",
            }, option.name  # fmt: skip
    assert "'Film review:' for film-reviews, nothing for other data" in text.replace("- ", "-") or verb == "stiffness"


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
