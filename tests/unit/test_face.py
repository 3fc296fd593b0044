"""The package's face: every name is there, loaded when it is first used, and named alike for type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import elastomath

SOURCE = Path(elastomath.__file__).read_text(encoding="utf-8")


def test_every_name_is_there_and_listed():
    for name in elastomath.__all__:
        assert getattr(elastomath, name) is not None
    assert set(elastomath.__all__) <= set(dir(elastomath))
    assert len(set(elastomath.__all__)) == len(elastomath.__all__)
    with pytest.raises(AttributeError, match="no attribute 'spring'"):
        elastomath.spring  # noqa: B018


def test_no_name_hides_a_module():
    modules = {path.stem for path in Path(elastomath.__file__).parent.glob("*.py")}
    assert modules & set(elastomath.__all__) == {"response"}  # the one that was there before, said in the tests


def test_type_checkers_see_what_is_loaded_late():
    (block,) = (node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == elastomath._HOME


def test_a_name_is_loaded_when_it_is_first_used():
    program = (
        "import sys, elastomath; late = 'elastomath.tokentree'; before = late in sys.modules; "
        "elastomath.TokenTree; print(before, late in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
