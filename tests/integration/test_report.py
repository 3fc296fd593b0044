"""The report: self-contained, escaped, whole or not at all; the theory preset in under a minute."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser

import pytest

from elastomath import Curve, InputError
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

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.loads += [values[key] for key in ("src", "data") if values.get(key)]
        if tag == "link" or (tag == "a" and not str(values.get("href", "#")).startswith("#")):
            self.loads.append(str(values))
        if tag == "a":
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
    """The report on the claims of `verify` that other tests share: its result, its file, the seconds of a processor."""

    def verify(ids, cases, seed, *, quick, processes):
        assert (cases, seed, quick) == (100, 0, False)
        return [claim for claim in verified_theory.claims if {claim.id, claim.id[:-1]} & set(ids)]

    out = tmp_path_factory.mktemp("report") / "theory.html"
    spent = sum(os.times()[:4])  # of this process and of those it starts
    with pytest.MonkeyPatch.context() as shared:
        shared.setattr("elastomath.verification.verify", verify)
        result = make_report("theory", out)
    return result, out, verified_theory.seconds + sum(os.times()[:4]) - spent


def test_the_theory_preset_holds_and_takes_less_than_ninety_seconds_of_processor(theory):
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
    assert not re.search(
        r"<(script|img|i|b|s|u|em|q)[ >]", text.split("<nav>")[1].replace("<i>k</i>", "").replace("<i>L</i>", "")
    )
    assert "&lt;script&gt;" in text


def test_an_interval_says_which_end_is_open():
    assert interval({"estimate": None, "low": 2.0, "high": None, "level": 0.95}) == "> 2.00"
    assert interval({"estimate": 3.0, "low": 2.0, "high": None, "level": 0.95}) == "3.0 [2.0, open]"
    assert interval(None) == "\u2013"


@pytest.mark.parametrize(("preset", "name"), [("nope", "a.html"), ("theory", "a.pdf"), ("theory", "folder")])
def test_what_cannot_be_made_is_refused_at_once(tmp_path, preset, name):
    with pytest.raises(InputError):
        make_report(preset, tmp_path / name)
    assert not list(tmp_path.iterdir())
