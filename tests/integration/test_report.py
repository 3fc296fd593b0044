"""The report: self-contained, escaped, whole or not at all."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser

import pytest

from elastomath import Curve, InputError
from elastomath.verification import cases_of
from paper_checks.report.page import Section, interval, render
from paper_checks.report.report import make_report

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


class Balanced(HTMLParser):
    """Collects tags that open and close, and every address that the page would load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.beside: set[str] = set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.loads += [values[key] for key in ("src", "data") if values.get(key)]
        leads = str(values.get("href", "#"))
        if tag == "a" and re.fullmatch(r"[\w-]+-data/details\.html(#[\w-]+)?|\.\./[\w-]+\.html", leads):
            self.beside.add(leads)
        elif tag == "link" or (tag == "a" and not leads.startswith("#")):
            self.loads.append(str(values))
        elif tag == "a":
            self.targets.append(str(values.get("href", "#"))[1:])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def parsed(text: str) -> Balanced:
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def theory(tmp_path_factory, verified_theory):
    """The report on the claims of `verify` that other tests share: its result, its file, the seconds of a processor beside them."""

    def verify(ids, cases, seed, *, quick, processes, tell):
        assert (cases, seed, quick) == (100, 0, False)
        wanted = set(cases_of(ids))
        return [claim for claim in verified_theory.claims if claim.id in wanted]

    out = tmp_path_factory.mktemp("report") / "theory.html"
    spent = sum(os.times()[:4])  # of this process and of those it starts
    with pytest.MonkeyPatch.context() as shared:
        shared.setattr("elastomath.verification.verify", verify)
        result = make_report("theory", out)
    return result, out, sum(os.times()[:4]) - spent


def test_the_theory_preset_holds_and_takes_less_than_ninety_seconds_of_processor_beside_its_checks(theory):
    result, out, spent = theory
    assert result["checks_hold"]
    assert result["checks"]["held"] == result["checks"]["total"] >= 5
    assert spent < 90
    assert result["report"] == str(out)


def test_the_page_loads_nothing_and_its_links_lead_somewhere(theory):
    text = theory[1].read_text(encoding="utf-8")
    page = parsed(text)
    assert page.loads == []
    assert set(page.targets) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))  # inline figures do not share ids
    assert "<script" not in text
    assert not re.search(r"url\((?!#)", text)
    assert text.count("<svg") >= 2
    for word in ("R1", "R5", "kappa", "Provenance", "elastomath verify"):
        assert word in text
    assert "<details" not in text  # nothing that is closed, or empty on paper
    assert words(text) < 7300  # the quick preset adds three sections of 690 words to these: under 8,000
    details = (theory[1].with_name("theory-data") / "details.html").read_text(encoding="utf-8")
    there = parsed(details)
    assert {target.partition("#")[2] for target in page.beside} - {""} <= set(there.ids)
    assert there.beside == {"../theory.html"}


def words(text):
    return len(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|svg|script).*?</\1>", " ", text, flags=re.DOTALL)).split())


def test_the_first_screen_answers_with_numbers_and_verdicts(theory):
    text = theory[1].read_text(encoding="utf-8")
    top = text[text.index("<h1>") : text.index('id="hurry"')]
    sentences = re.findall(r'<p class="answer">(.*?)</p>', top)
    assert len(sentences) == 5
    assert sum(bool(re.search(r"\d", sentence)) for sentence in sentences) >= 3
    for verdict in ("fails", "holds with constants", "supported at this scale", "not supported at this scale"):
        assert f"<strong>{verdict}</strong>" in top
    assert top.count("<svg") == 1


def test_the_first_screen_is_of_the_runs_that_its_verdict_is_of(theory):
    from paper_checks.claims import check

    judged = re.search(r"(\d+) runs: the median", check(["R25-measured"])[0].finding.detail)
    assert judged is not None
    assert f"in the middle of {judged[1]} runs" in theory[1].read_text(encoding="utf-8")


def test_nothing_is_green_beside_a_verdict_that_fails(theory):
    text = theory[1].read_text(encoding="utf-8")
    rows = re.findall(r"<tr.*?</tr>", text[text.index('id="claims"') : text.index('id="law"')], re.DOTALL)
    failed = [row for row in rows if "fails: counterexample" in row or ">not supported at this scale" in row]
    assert len(failed) >= 10
    assert not any(re.search(r'class="[^"]*yes', row) for row in failed)


def test_a_changed_verdict_changes_the_first_screen():
    """The sentences and the lists of the front follow the outcomes of the run, not the record."""
    import dataclasses

    from paper_checks.claims import check
    from paper_checks.claims.claim import HOLDS
    from paper_checks.report.front import front

    outcomes = check(["Thm3.4", "F2-z"])
    turned = [dataclasses.replace(one, finding=dataclasses.replace(one.finding, verdict=HOLDS)) for one in outcomes]
    assert [id for id, *_ in front(outcomes, None).hurry["What fails"]] == ["Thm3.4"]
    assert [id for id, *_ in front(turned, None).hurry["What holds"]] == ["Thm3.4", "F2-z"]
    assert front(turned, None).answers != front(outcomes, None).answers


def test_the_first_screen_counts_every_finding():
    import dataclasses

    from paper_checks.claims import check
    from paper_checks.claims.claim import only_if
    from paper_checks.report.front import front

    outcomes = check(["F2-z", "F2-code-length", "Table1", "F2-ppo"])
    finding = dataclasses.replace(outcomes[2].finding, verdict=only_if("for this test"))
    outcomes[2] = dataclasses.replace(outcomes[2], finding=finding)
    last = front(outcomes, None).answers[-1]
    total, *counts = map(int, re.findall(r"\d+", last))
    assert (total, sum(counts)) == (4, 4), last


def test_every_figure_that_a_claim_names_is_a_section(theory):
    from paper_checks.claims import claims

    ids = set(parsed(theory[1].read_text(encoding="utf-8")).ids)
    assert {claim.figure for claim in claims().values() if claim.figure} <= ids


def test_the_data_of_the_figures_lie_beside_the_page(theory):
    result, out, _ = theory
    assert Curve.read(out.with_name("theory-data") / "simulation.csv").runs
    assert result["data"] == str(out.with_name("theory-data"))


def test_text_is_escaped(tmp_path):
    section = Section("one", "<b>title</b>", command="x < y && z")
    section.say("<script>alert(1)</script>")
    section.show([{"<i>": "<img src=x>", "n": 1.5, "ok": False}], "<u>")
    section.more("<s>", "</pre><script>")
    section.check("<em>", "<", ">", False)
    render(tmp_path / "page.html", "theory", [section], [{"what": "<a>", "value": "&"}], ["<q>"])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed(text)
    assert not re.search(r"<(script|img|i|b|s|u|em|q)[ >]", re.sub(r"<i>[A-Za-z]</i>", "", text.split("<nav")[1]))
    assert "&lt;script&gt;" in text + (tmp_path / "page-data" / "details.html").read_text(encoding="utf-8")


def test_an_interval_says_which_end_is_open():
    assert interval({"estimate": None, "low": 2.0, "high": None, "level": 0.95}) == "> 2.00"
    assert interval({"estimate": 3.0, "low": 2.0, "high": None, "level": 0.95}) == "3.0 [2.0, open]"
    assert interval(None) == "\u2013"


@pytest.mark.parametrize(("preset", "name"), [("nope", "a.html"), ("theory", "a.pdf"), ("theory", "folder")])
def test_what_cannot_be_made_is_refused_at_once(tmp_path, preset, name):
    with pytest.raises(InputError):
        make_report(preset, tmp_path / name)
    assert not list(tmp_path.iterdir())
