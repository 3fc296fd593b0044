"""What is given on the command line of a protocol becomes its settings, each list by its field's kind."""

from __future__ import annotations

import typing
from dataclasses import fields

import pytest
import typer

from elastomath.errors import InputError
from empirical.family import FamilySettings
from empirical.inversion_settings import InversionSettings
from empirical.rebound_settings import ReboundSettings
from empirical.resistance import ResistanceSettings
from paper_checks.cli_experiment import experiment
from paper_checks.experiment_options import given

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
