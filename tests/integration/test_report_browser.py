"""The report in headless Chromium: nothing overflows on a phone, every figure is drawn, it prints, it asks for nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from paper_checks.report.page import Section, render
from paper_checks.report.phases import phase_section, springs_section
from paper_checks.report.published import published_section
from paper_checks.report.trees import trees_section

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
PROBE = """<script>
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(
    (e) => !e.closest(".scroll, pre, svg, .law, math") && e.getBoundingClientRect().right > innerWidth + 1);
  const flat = [...document.querySelectorAll("figure svg")].filter((e) => e.getBoundingClientRect().height < 100);
  document.title = JSON.stringify({page: document.documentElement.scrollWidth - innerWidth, wide: wide.length,
    figures: document.querySelectorAll("figure svg").length, flat: flat.length,
    loaded: performance.getEntriesByType("resource").length});
});
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    wide = Section("claims", "Claims and verdicts")
    wide.show(
        [{"id": "a-long-identifier", "verdict": "holds only if " + "a condition that is long " * 8, "n": 1.5}] * 3
    )
    wide.more("a detail", "x" * 400)
    wide.check("a statement", "wanted", "seen", True)
    sections = [wide, trees_section(), phase_section(), springs_section(), published_section()]
    render(path, "theory", sections, [{"what": "SHA-256", "value": "0" * 64}], ["nothing"])
    return path


def _chromium(page: Path, folder: Path, *arguments: str) -> str:
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("width", [390, 1100])
def test_nothing_overflows_and_every_figure_is_drawn(page: Path, tmp_path: Path, width: int) -> None:
    # headless Chromium has no window below 500 pixels: a frame of the wanted width is measured instead
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</head>", PROBE + "</head>"), encoding="utf-8")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe id="f" src="{probed.name}" style="width:{width}px;height:2000px;border:0"></iframe><script>'
        'addEventListener("load", () => setTimeout(() => {document.title = document.getElementById("f").contentDocument.title;}, 200));'
        "</script>",
        encoding="utf-8",
    )
    dom = _chromium(
        outer,
        tmp_path,
        "--dump-dom",
        "--virtual-time-budget=8000",
        "--allow-file-access-from-files",
        "--window-size=1300,2100",
    )
    found = re.search(
        r'<title>\{"page":(-?\d+(?:\.\d+)?),"wide":(\d+),"figures":(\d+),"flat":(\d+),"loaded":(\d+)\}', dom
    )
    assert found, dom[-500:]
    overflow, wide, figures, flat, loaded = (float(value) for value in found.groups())
    assert overflow <= 1
    assert (wide, flat, loaded) == (0, 0, 0)
    assert figures >= 6


def test_it_prints(page: Path, tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    _chromium(page, tmp_path, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 40
