"""The README says what runs: its Python block, and verbs and make targets that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_every_make_target_and_verb_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README)) | set(
        re.findall(r"`make ([a-z]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    )
    assert {"report", "test"} <= named <= targets
    from typer.main import get_command

    from paper_checks.cli.commands import app

    verbs = set(re.findall(r"^elastomath ([a-z]+)", README, re.MULTILINE))
    assert len(verbs) >= 7
    assert verbs <= set(get_command(app).commands)


def test_the_files_that_the_readme_shows_are_there():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).is_file(), link
