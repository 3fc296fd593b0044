"""`plan --durability`: what is printed is what the planner says, the cheapest first, and bad numbers are one line."""

import json

import pytest

from elastomath.errors import InputError
from elastomath.laws.planner import levers
from paper_checks.cli.levers import plan_durability


def test_the_json_is_the_planner(capsys):
    assert plan_durability(40, 0.3, 0.0, betas=[0.1], ceiling=0.01, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    wanted = levers(0.0, 40, 0.3, 0.3, betas=[0.1])
    assert [(row["name"], row["examples"]) for row in told["levers"]] == [(w.name, w.examples) for w in wanted]
    assert told["ceiling"]["examples"] > told["ceiling"]["joint"] > 0
    assert len(told["conclusion"]) == 4


def test_what_is_out_of_reach_is_called_so_and_stays_json(capsys):
    plan_durability(1e4, 0.3, 0.0, as_json=True)
    told = json.loads(capsys.readouterr().out)
    plain = next(row for row in told["levers"] if row["name"] == "SFT")
    assert plain["examples"] is None
    assert plain["absurd"]
    plan_durability(1e4, 0.3, 0.0)
    assert "more than 1e308 examples, which is absurd" in " ".join(capsys.readouterr().out.split())


def test_a_faster_attacker_asks_for_more(capsys):
    heights = []
    for attack in (1.0, 2.0):
        plan_durability(40, 0.3, 0.0, attack=attack, as_json=True)
        heights.append(json.loads(capsys.readouterr().out)["height"])
    assert heights[1] == pytest.approx(heights[0] + 12, abs=1e-4)


@pytest.mark.parametrize("wrong", [{"undo": 0.0}, {"constant": -1.0}, {"ceiling": 0.0}, {"betas": [0.0]}])
def test_bad_numbers_are_refused(wrong):
    given = {"undo": 40.0, "constant": 0.3, "start": 0.0} | wrong
    with pytest.raises(InputError):
        plan_durability(**given)
