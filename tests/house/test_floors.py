"""The floors of the house: elastomath imports none of the others, sim and empirical only elastomath, nothing upwards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "elastomath": set(),
    "sim": {"elastomath"},
    "empirical": {"elastomath"},
    "paper_checks": {"elastomath", "sim", "empirical"},
}
PACKAGES = set(MAY_IMPORT)
ABOVE = {"tests", "benchmarks"}
HEAVY = {
    "accelerate",
    "flint",
    "hypothesis",
    "lm_eval",
    "matplotlib",
    "mpmath",
    "numba",
    "pandas",
    "peft",
    "pyarrow",
    "scipy",
    "sklearn",
    "sympy",
    "torch",
    "transformers",
    "typer",
}
NEEDS_IT = {"testing/strategies.py": {"hypothesis"}}
"""Modules of elastomath that have no use without a heavy package, and are imported by nothing."""


def imports(source, package, module):
    """Every module that the source imports, wherever in it: (name, line, whether it runs when the module is loaded)."""
    tree = ast.parse(source)
    lazy = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(node):
            for child in node.body if isinstance(node.body, list) else [node.body]:
                lazy |= {id(inner) for inner in ast.walk(child)}
    for node in ast.walk(tree):
        loaded = id(node) not in lazy
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, loaded) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [package, *module.parts[:-1]][: 1 + len(module.parts) - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            if node.level > len(module.parts):  # beyond the package
                yield "." * node.level, node.lineno, loaded
            yield base, node.lineno, loaded
            yield from ((f"{base}.{alias.name}", node.lineno, loaded) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__", "run_module", "find_spec"}:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value, node.lineno, loaded


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def called(node):
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def breaches(source, package, module):
    """The rules that one module breaks, a line for each."""
    found = []
    for name, line, loaded in imports(source, package, module):
        top = name.split(".")[0]
        where = f"{package}/{module}:{line} imports {name}"
        if top == "" or (top in PACKAGES | ABOVE and top != package and top not in MAY_IMPORT[package]):
            found.append(f"{where}: upwards or sideways")
        heavy = top in HEAVY - NEEDS_IT.get(str(module), set())
        if loaded and name == "elastomath.testing.strategies":
            found.append(f"{where}: it needs a heavy package")
        if loaded and heavy and module.name == "__init__.py":
            found.append(f"{where}: heavy in a package's face")
        elif loaded and heavy and package == "elastomath":
            found.append(f"{where}: heavy when elastomath is imported")
    return sorted(set(found))


DOOR = Path("__main__.py")
"""``python -m elastomath`` runs the command line, two floors up; nothing imports this file, and it imports nothing but runpy."""


def modules():
    for package in sorted(PACKAGES):
        folder = ROOT / package
        files = (path.relative_to(folder) for path in sorted(folder.rglob("*.py")))
        yield from ((package, file) for file in files if (package, file) != ("elastomath", DOOR))


def test_the_door_runs_the_command_line_and_no_more():
    source = (ROOT / "elastomath" / DOOR).read_text(encoding="utf-8")
    assert [name for name, _, _ in imports(source, "elastomath", DOOR)] == ["runpy", "paper_checks"]


def test_every_package_is_looked_at():
    seen = {package for package, _ in modules()}
    assert seen >= {"elastomath", "sim", "empirical"}
    assert all((ROOT / package).is_dir() for package in PACKAGES)


@pytest.mark.parametrize(("package", "module"), list(modules()), ids=lambda value: str(value))
def test_the_floors_are_kept(package, module):
    assert breaches((ROOT / package / module).read_text(encoding="utf-8"), package, module) == []


MUTANTS = [
    ("elastomath", "law.py", "import sim"),
    ("elastomath", "law.py", "import numpy, empirical.measures.rates as f"),
    ("elastomath", "law.py", "from paper_checks.cli.commands import main"),
    ("elastomath", "law.py", "def f():\n    from sim.compressors import mixture\n"),
    ("elastomath", "law.py", "class A:\n    async def f(self):\n        import empirical\n"),
    ("elastomath", "law.py", "from .. import sim"),
    ("elastomath", "law.py", "from ..sim import mixture"),
    ("elastomath", "deep/law.py", "from ...sim import mixture"),
    ("elastomath", "law.py", "import importlib\nimportlib.import_module('sim.compressors.mixture')"),
    ("elastomath", "law.py", "f = lambda: __import__('paper_checks')"),
    ("elastomath", "law.py", "if True:\n    try:\n        import sim\n    except ImportError:\n        pass"),
    ("elastomath", "law.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sim"),
    ("elastomath", "law.py", "import scipy.optimize"),
    ("elastomath", "law.py", "from torch import nn"),
    ("elastomath", "law.py", "import hypothesis"),
    ("elastomath", "law.py", "from .testing import strategies"),
    ("sim", "mixture.py", "from elastomath.testing.strategies import mixtures"),
    ("sim", "mixture.py", "from empirical.measures import rates"),
    ("sim", "mixture.py", "import paper_checks"),
    ("empirical", "tilt.py", "def f():\n    import sim.compressors.mixture\n"),
    ("empirical", "__init__.py", "import torch"),
    ("paper_checks", "__init__.py", "from pandas import DataFrame"),
    ("paper_checks", "report.py", "import tests.unit"),
    ("sim", "mixture.py", "import benchmarks"),
]


@pytest.mark.parametrize(("package", "module", "source"), MUTANTS)
def test_a_house_with_a_broken_floor_is_found_out(package, module, source):
    assert breaches(source, package, Path(module))


@pytest.mark.parametrize(
    ("package", "module", "source"),
    [
        ("elastomath", "law.py", "from .mixture import Mixture\nfrom . import curve\nimport numpy as np"),
        ("elastomath", "deep/law.py", "from ..mixture import Mixture\nfrom .other import x"),
        ("elastomath", "law.py", "def f():\n    import torch\n    from scipy.optimize import brentq\n"),
        ("elastomath", "law.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas as pd"),
        ("sim", "mixture.py", "from elastomath.curve import Curve\nimport simulation"),
        ("empirical", "tilt.py", "import torch\nfrom elastomath import Curve"),
        ("paper_checks", "report.py", "import sim, empirical, elastomath"),
    ],
)
def test_a_sound_house_is_left_alone(package, module, source):
    assert breaches(source, package, Path(module)) == []
