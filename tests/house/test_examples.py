"""The examples that hypothesis draws by default are the same ones whatever else was loaded before."""

from __future__ import annotations

import importlib.util
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import DEFAULT


def draws() -> list[tuple[int, float, str]]:
    drawn = []

    @settings(settings.get_profile(DEFAULT), max_examples=200, database=None)
    @given(st.integers(), st.floats(allow_nan=False), st.text())
    def test(number, value, text):
        drawn.append((number, value, text))

    test()
    return drawn


def test_the_same_are_drawn_whatever_modules_are_loaded(tmp_path, monkeypatch):
    first = draws()
    path = tmp_path / "local.py"
    path.write_text("\n".join(f"x{i} = ({i + 7000}, {i}.125e7, 'text {i}')" for i in range(300)))
    spec = importlib.util.spec_from_file_location("a_local_module", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "a_local_module", module)  # hypothesis would draw its constants from now on
    assert draws() == first
