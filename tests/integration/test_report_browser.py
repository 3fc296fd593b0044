"""The report in headless Chromium: nothing scrolls sideways on a phone, nothing is cut on paper, axe has no complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from paper_checks.claims import check
from paper_checks.claims.behaviours import plain_runs
from paper_checks.report.claims import claims_section
from paper_checks.report.front import front
from paper_checks.report.page import Section, render
from paper_checks.report.phases import phase_section, springs_section
from paper_checks.report.published import published_section
from paper_checks.report.report import make_report
from paper_checks.report.studies import saved_studies, study_section
from paper_checks.report.trees import trees_section
from tests.integration.browser import CHROMIUM, PAPER, probe, sheets

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from paper_checks.claims import Evidence

    path = tmp_path_factory.mktemp("page") / "report.html"
    evidence = Evidence()
    outcomes = check(["Thm3.4", "F1", "F2-dpo", "F2-ppo", "Table1"], evidence)
    wide = Section("wide", "A wide table")
    row = {"id": "a-long-identifier", "verdict": "holds only if " + "a condition that is long " * 8, "n": 1.5}
    wide.show([row | {f"column {index}": "0.123456 [0.1, 0.2]" for index in range(9)}] * 3)
    wide.more("a detail", "x" * 400)
    wide.check("a statement", "wanted", "seen", True)
    sections = [
        claims_section(outcomes, evidence),
        wide,
        trees_section(),
        phase_section(),
        springs_section(),
        published_section(),
    ]
    sections.append(study_section(saved_studies()["volumes"]))
    first = front(outcomes, plain_runs(evidence))
    render(path, "theory", sections, [{"what": "SHA-256", "value": "0" * 64}], ["nothing"], first)
    return path


def sound(found: dict) -> None:
    assert found["page"] <= 1, found
    assert (found["wide"], found["cut"], found["flat"], found["loaded"]) == ([], [], 0, []), found
    assert found["details"] == 0  # nothing that is empty on paper
    assert found.get("axe", []) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_every_figure_is_drawn_and_axe_has_no_complaint(
    page: Path, tmp_path: Path, width: int
) -> None:
    pytest.importorskip("axe_core_python")
    found = probe(page, tmp_path, width, axe=True)
    sound(found)
    assert found["figures"] >= 7


def test_nothing_is_cut_on_paper(page: Path, tmp_path: Path) -> None:
    sound(probe(page, tmp_path, PAPER, paper=True))
    assert 3 <= sheets(page, tmp_path) <= 30


def test_the_page_of_details_fits_a_phone(page: Path, tmp_path: Path) -> None:
    details = page.with_name("report-data") / "details.html"
    assert 'id="claim-thm3-4"' in details.read_text(encoding="utf-8")
    sound(probe(details, tmp_path, 390))


@pytest.mark.parametrize(
    ("broken", "key"),
    [
        ('<table><tr><td style="white-space:nowrap">' + "word " * 80 + "</td></tr></table>", "cut"),
        ('<p style="color:#bbb">too light to read</p>', "axe"),
        ("<h6>a heading that skips two levels</h6>", "axe"),
    ],
)
def test_the_probe_sees_what_is_wrong(page: Path, tmp_path: Path, broken: str, key: str) -> None:
    pytest.importorskip("axe_core_python")
    text = page.read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.html"
    start, end = text.index("<nav"), text.index("</main>")
    wrong.write_text(text[:start] + broken + text[end:], encoding="utf-8")
    assert probe(wrong, tmp_path, 390, axe=True)[key]


def test_the_probe_sees_details_that_stay_closed_on_paper(tmp_path: Path) -> None:
    opened = "@media print { details::details-content { content-visibility: visible; block-size: auto; } }"
    for rule, empty in (("", 1), (opened, 0), (opened.replace("print", "screen"), 1)):
        page = tmp_path / "details.html"
        page.write_text(
            f"<html><head><style>{rule}</style></head><body><main><details><summary>More</summary><p>what is hidden</p>"
            "</details></main></body></html>"
        )
        assert len(probe(page, tmp_path, PAPER, paper=True)["empty"]) == empty, rule


@pytest.mark.acceptance
@pytest.mark.parametrize("width", [390, 1280, PAPER])
def test_the_whole_report_of_the_theory(tmp_path: Path, width: int) -> None:
    out = tmp_path / "report.html"
    make_report("theory", out)
    sound(probe(out, tmp_path, width, axe=width != PAPER, paper=width == PAPER))
    assert sheets(out, tmp_path) <= 40
