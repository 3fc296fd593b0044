"""The help of every verb: words for letters and numbers of results, a list for names, and where a wrong option sends one."""

from __future__ import annotations

import re
import typing

import pytest
import typer

pytest.importorskip("torch")

from paper_checks.cli.commands import app, main, run
from sim.studies import QUESTIONS, STUDIES

CODE = r"(?:R\d+|F[123]|Q[12]|Def\.? ?\d[\d.]*|Thm\.? ?\d[\d.]*|A\.7)"
"""Numbers of results, of the paper's definitions and findings."""
NAMED = rf"\([^()]*[a-z]{{4,}}[^()]*, {CODE}\)|e\.g\. {CODE}(?:,{CODE})*"
"""A number beside its name in words, or as an example of what is typed."""
LETTERS = r"\|D_|\bD_\w|\btheta_|\bP_[pat]\b|\bm\*|2/D|logit r\b"


def helps() -> dict[str, str]:
    """Every text of the help by verb and option."""
    texts = {}

    def describe(name: str, command: typing.Any) -> None:
        texts[name] = command.help or ""
        for inner, child in getattr(command, "commands", {}).items():
            describe(f"{name} {inner}".strip(), child)
        for option in command.params:
            texts[f"{name} {option.name}"] = getattr(option, "help", None) or ""

    describe("", typing.cast(typing.Any, typer.main.get_command(app)))
    return texts


def unnamed(text: str) -> list[str]:
    """Letters, and numbers of results that stand without a name."""
    return re.findall(LETTERS, text) + re.findall(rf"\b{CODE}", re.sub(NAMED, "", text))


def test_no_help_has_a_letter_or_a_number_for_a_name():
    texts = helps()
    assert {"plan c", "simulate epsilon", "experiment rebound adapt_volume", "track models"} <= set(texts)
    assert {name: unnamed(text) for name, text in texts.items() if unnamed(text)} == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("|D_p| / |D_a|, one run each.", 2),
        ("Back within this share (Def 3.6).", 1),
        ("How fast rates fall (F2).", 1),
        ("Do models fall back faster (the paper's rebound, F2)?", 0),
        ("Some results by their numbers, e.g. R5,R18.", 0),
    ],
)
def test_a_number_without_a_name_is_seen(text: str, count: int):
    assert len(unnamed(text)) == count


def test_the_help_of_a_study_says_what_each_question_asks(capsys):
    with pytest.raises(SystemExit):
        main(["study", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert tuple(QUESTIONS) == STUDIES
    for name, question in QUESTIONS.items():
        assert f"{name} {question}" in text


def test_the_help_of_plan_says_what_an_undo_volume_and_c_are(capsys):
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    first = "(the opposed examples after which a behaviour stands where it stood before alignment)"
    assert first in text.partition(". ")[0]
    assert "one example moves the log-odds of the wanted response by at most a constant c" in text


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (["fit"], "fit"),
        (["fit", "--bogus"], "fit"),
        (["plan", "--width", "x"], "plan"),
        (["experiment", "rebound", "--bogus"], "experiment rebound"),
        (["experiment", "nonsense"], "experiment"),
    ],
)
def test_a_wrong_option_sends_one_to_the_help_of_its_verb(arguments: list[str], verb: str, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"(see elastomath {verb} --help)\n")


def test_an_unknown_verb_sends_one_to_the_list_of_verbs(capsys):
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert capsys.readouterr().err.endswith("(see elastomath --help)\n")


@pytest.mark.parametrize("protocol", ["resistance", "rebound", "inversion"])
def test_pairs_given_to_a_protocol_of_texts_are_sent_to_the_one_of_behaviours(protocol: str, capsys):
    assert run(["experiment", protocol, "--pairs", "tone"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "elastomath experiment durability --pairs" in line
    assert run(["experiment", protocol, "--pears", "tone"]) == 2
    assert "durability" not in capsys.readouterr().err
