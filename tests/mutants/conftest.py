"""Fixtures of the mutants."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from elastomath import derivations
from elastomath.verification import tally


@pytest.fixture
def floats_only(monkeypatch):
    """The symbolic level is left out: a derivation looks at no float, so a broken one cannot turn it red."""
    nothing = SimpleNamespace(steps=("left out",), conclusion=(), hypotheses=(), summary="")
    monkeypatch.setattr(tally, "derive", lambda id: nothing)


@pytest.fixture
def fresh_derivations(monkeypatch):
    """Derivations are built anew, and what is built from broken parts is not kept for the tests that follow."""
    monkeypatch.setattr(tally, "derive", derivations.derive.__wrapped__)
