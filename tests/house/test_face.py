"""The faces: every name is there, loaded when it is first used; no name hides a module."""

import ast
import importlib
import subprocess
import sys

import pytest

import elastomath

from .folders import ROOT, sources

HOUSE = sources()
FACES = [path for path in HOUSE if path.endswith("__init__.pyi")]


def names(stub):
    return [alias for node in ast.parse(HOUSE[stub]).body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_there_are_faces():
    assert {"elastomath/__init__.pyi", "sim/__init__.pyi", "elastomath/laws/__init__.pyi"} <= set(FACES)


@pytest.mark.parametrize("stub", FACES)
def test_every_name_is_there_and_listed(stub):
    face = importlib.import_module(stub.rpartition("/")[0].replace("/", "."))
    listed = [alias.name for alias in names(stub)]
    assert sorted(face.__all__) == sorted(listed)
    assert len(set(listed)) == len(listed)
    assert all(alias.asname == alias.name for alias in names(stub))  # for type checkers: exported
    for name in listed:
        assert getattr(face, name) is not None
    assert set(listed) <= set(dir(face))


@pytest.mark.parametrize("stub", FACES)
def test_no_name_hides_a_module(stub):
    folder = ROOT / stub.rpartition("/")[0]
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/*.py")}
    assert not modules & {alias.name for alias in names(stub)}


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match="spring"):
        elastomath.spring  # noqa: B018


def test_a_name_is_loaded_when_it_is_first_used():
    program = (
        "import sys, elastomath; late = 'elastomath.trees.tokentree'; before = late in sys.modules; "
        "elastomath.TokenTree; print(before, late in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
