"""The notebooks run from top to bottom, and are committed without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def test_there_are_three() -> None:
    assert NAMES == ["fit", "simulate", "verify"]


def read(path: Path) -> Any:
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_the_cells_of_a_notebook_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shell of this process, which has the packages loaded; one of the figures is a picture."""
    pytest.importorskip("ipykernel")
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.chdir(tmp_path)
    shell, kinds = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}})), set()
    try:
        for cell in read(path).cells:
            if cell.cell_type == "code":
                done = shell.run_cell(cell.source)
                done.raise_error()
                kinds |= set(shell.display_formatter.format(done.result)[0])
    finally:
        InteractiveShell.clear_instance()
    assert "image/svg+xml" in kinds


@pytest.mark.acceptance
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs_on_a_kernel(path: Path, tmp_path: Path) -> None:
    nbclient, notebook = pytest.importorskip("nbclient"), read(path)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any("image/svg+xml" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", ()))
