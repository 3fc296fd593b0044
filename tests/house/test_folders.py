"""The order of folders: every import goes down it, wherever it stands; a face names its own folder; no file circle."""

from __future__ import annotations

import pytest

from .folders import ORDER, ROOT, breaches, circles, nouns, page, sources

HOUSE = sources()
LAZY = "def f():\n    {}\n"
TYPING = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    {}\n"


def changed(path: str, addition: str) -> dict[str, str]:
    """The house with some lines more at the end of a file, or with a new file."""
    return HOUSE | {path: HOUSE.get(path, "") + "\n\n" + addition}


def test_every_import_goes_down_the_order():
    assert breaches(HOUSE) == []


def test_no_files_import_each_other_in_a_circle():
    assert circles(HOUSE) == []


def test_every_folder_has_one_place_and_is_there():
    assert len(set(ORDER)) == len(ORDER)
    assert {path.rpartition("/")[0] for path in HOUSE} == set(ORDER)
    assert all(f"{folder}/__init__.py" in HOUSE for folder in ORDER)


@pytest.mark.parametrize(
    ("path", "addition"),
    [
        ("elastomath/errors.py", "from .laws.response import response"),
        ("elastomath/errors.py", LAZY.format("from .mixtures import masses")),
        ("elastomath/mixtures/masses.py", LAZY.format("from ..laws.response import response")),
        ("elastomath/mixtures/masses.py", LAZY.format("from .. import response")),
        ("elastomath/mixtures/masses.py", LAZY.format("from elastomath import response")),
        ("elastomath/mixtures/masses.py", LAZY.format("import elastomath.laws.finite as finite")),
        ("elastomath/mixtures/masses.py", TYPING.format("from ..laws import FiniteLaw")),
        ("elastomath/mixtures/masses.py", LAZY.format("import importlib; importlib.import_module('elastomath.fit')")),
        ("elastomath/laws/response.py", LAZY.format("from ..verification import verify")),
        ("sim/sources/markov.py", LAZY.format("from sim import MixtureCompressor")),
        ("sim/compressors/mixture.py", TYPING.format("from ..cycles.lifecycle import LifeCycle")),
        ("empirical/models/lora.py", LAZY.format("from ..training.finetune import train")),
        ("empirical/laboratory/laboratory.py", LAZY.format("from ..rebound.run import rebound")),
        ("empirical/rebound/settings.py", LAZY.format("from ..scale.family import FamilySettings")),
        ("paper_checks/claims/claim.py", "async def f():\n    from ..report.page import Section\n"),
        ("paper_checks/report/page.py", LAZY.format("from ..cli.terminal import emit")),
        ("elastomath/laws/__init__.pyi", "from ..fit.laws import LAWS as LAWS"),
        ("elastomath/laws/__init__.pyi", "from elastomath.curve import Curve as Curve"),
        ("elastomath/attic/__init__.py", '"""A folder that has no place in the order."""'),
    ],
)
def test_a_house_with_an_arrow_against_the_order_is_found_out(path: str, addition: str):
    assert breaches(changed(path, addition))


@pytest.mark.parametrize(
    ("path", "addition"),
    [
        ("elastomath/laws/response.py", LAZY.format("from ..mixtures import Mixture")),
        ("elastomath/laws/response.py", LAZY.format("from .finite import finite_law")),
        ("elastomath/laws/response.py", "from elastomath import Mixture\nfrom ..errors import InputError"),
        ("sim/cycles/lifecycle.py", TYPING.format("from elastomath.fit.fit import fit")),
        ("paper_checks/cli/commands.py", "import sim, empirical, elastomath"),
    ],
)
def test_an_arrow_down_the_order_is_left_alone(path: str, addition: str):
    assert breaches(changed(path, addition)) == []


def test_a_circle_of_files_is_found_out():
    lazily = LAZY.format("from .response import response")
    other = LAZY.format("from .finite import finite_law")
    house = changed("elastomath/laws/finite.py", lazily)
    house["elastomath/laws/response.py"] += "\n\n" + other
    assert circles(house) == [["elastomath/laws/finite.py", "elastomath/laws/response.py"]]


def nouns_agree(house: dict[str, str]) -> bool:
    derived = nouns(house, "elastomath/derivations", "BUILDERS")
    assert list(derived) == [f"R{number}" for number in range(1, 28)]
    return derived == nouns(house, "elastomath/verification", "RESULTS")


def test_a_result_is_derived_and_verified_under_one_noun():
    assert nouns_agree(HOUSE)
    verified = "elastomath/verification/rebound.py"
    assert not nouns_agree(HOUSE | {verified: HOUSE[verified] + '\n\nRESULTS = {"R19": None}\n'})


def test_the_tables_in_contributing_are_those_of_the_folders():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert page(text, HOUSE) == text, "run: python tests/house/folders.py --write"
