"""Names of runs, covariates and files that would be programs elsewhere: text in HTML, SVG, CSV, LaTeX and on a terminal."""

from __future__ import annotations

import csv
import importlib.util
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from elastomath import Curve, InputError
from elastomath.curve import FORMULA
from elastomath.figures.curves import curve_figure
from elastomath.style import svg
from elastomath.verification import explain
from paper_checks.cli.commands import run
from paper_checks.report.page import Section, render
from tests.integration.browser import CHROMIUM, chromium, policed

MARK = "document.documentElement.setAttribute('data-ran', 1)"
RAN = 'data-ran="1"'
HOSTILE = (
    f"<script>{MARK}</script>",
    f'"><img src=x onerror="{MARK}">',
    f"' onmouseover=x autofocus onfocus=\"{MARK}\" x='",
    f"]]></text></svg></title></style><svg onload={MARK.replace(' ', '')}>",
    f"javascript:{MARK}",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "+1-2",
    "-2+3",
    "\tx",
    "\r=1+1",
    "$\\input{/etc/passwd}$ \\write18{id} & % # _ {",
    "red\x1b[31m\x1b]0;title\x07",
    "turned\u202eround",
)
FILE = f'"><img src=x onerror="{MARK}">\x1b[2J\u202e=1.csv'


def _hooks() -> Any:
    spec = importlib.util.spec_from_file_location("hooks", Path(__file__).parents[2] / "docs" / "_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hostile_curve(names: tuple[str, ...] = HOSTILE) -> Curve:
    curves = []
    for index, name in enumerate(names):
        rates = {"pretrain": [1.0, 0.9, 0.8], "align": [1.0, 1.1, 1.2], "perturb": [1.0, 0.7, 0.6]}
        volumes = {"pretrain": 10.0 + index, "align": 1.0, "perturb": 1.0}
        curve = Curve.from_paths(
            name, volumes, [0, 0.5, 1], rates, "bits/symbol", "symbols", recipe=name, **{name[:60]: name}
        )
        curves.append(curve)
    return Curve.concat(curves)


@pytest.fixture(scope="module")
def curve() -> Curve:
    return hostile_curve()


@pytest.fixture
def file(curve: Curve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    curve.write(FILE)
    return FILE


def test_a_spreadsheet_computes_nothing_and_the_names_come_back(curve: Curve, file: str) -> None:
    with open(file, encoding="utf-8", newline="") as stream:
        fields = [field for row in csv.reader(stream) for field in row]
    assert not [field for field in fields if field.startswith(FORMULA) and not re.fullmatch(r"[+-]?[\d.e+-]+", field)]
    back = Curve.read(file)
    assert back.runs == curve.runs == HOSTILE
    assert set(back.frame["recipe"]) == set(HOSTILE)


@pytest.mark.parametrize(
    "arguments",
    [["fit", FILE, "--by", "recipe"], ["compare", FILE, "--by", "recipe"], ["plot", FILE], ["fit", f"{FILE}.none"],
     ["fit", FILE, "--by", HOSTILE[-2] + "\x1b[2J"]],
)  # fmt: skip
def test_a_terminal_obeys_no_name(file: str, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    hostile_curve(HOSTILE[-3:]).write(FILE)
    run(arguments)
    printed = "".join(capsys.readouterr())
    assert printed
    assert not [char for char in printed if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\n\t"]


def test_latex_has_no_name_of_a_user_in_it() -> None:
    for name in HOSTILE:
        with pytest.raises(InputError):
            explain(name, style="latex")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_runs_no_name(curve: Curve, file: str, tmp_path: Path) -> None:
    """Without the policy, which would hide what is not escaped: the report, a table for notebooks, and a figure by itself."""
    section = Section(HOSTILE[0], HOSTILE[1], command=HOSTILE[2])
    for name in HOSTILE:
        section.say(name)
        section.more(name, name)
        section.check(name, name, name, True)
    section.show([dict.fromkeys(HOSTILE, name) for name in HOSTILE], HOSTILE[3])
    page = tmp_path / "page.html"
    render(page, "theory", [section], [{"what": HOSTILE[0], "value": HOSTILE[1]}], [HOSTILE[2]])
    figure = svg(curve_figure(curve), title=HOSTILE[3], description=HOSTILE[1])
    text = page.read_text(encoding="utf-8")
    assert text.count(MARK.replace("'", "&#39;")) > len(HOSTILE)
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    both = bare.replace("</main>", f"{figure}{curve._repr_html_()}</main>", 1)
    page.write_text(both, encoding="utf-8")
    assert RAN not in chromium(page, tmp_path, "--dump-dom", "--virtual-time-budget=3000")
    assert run(["plot", file, "--out", "alone.svg"]) == 0
    drawn = chromium(tmp_path / "alone.svg", tmp_path, "--dump-dom", "--virtual-time-budget=3000")
    assert "<svg" in drawn
    assert RAN not in drawn
    page.write_text(both.replace("</main>", f"{HOSTILE[1]}</main>", 1), encoding="utf-8")
    assert RAN in chromium(page, tmp_path, "--dump-dom", "--virtual-time-budget=3000")  # the test can fail


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_policies_stop_what_would_not_be_escaped(tmp_path: Path) -> None:
    """A script, a handler and a picture from elsewhere in the report and in a page of the site; the site's own script runs."""
    page = tmp_path / "page.html"
    render(page, "theory", [Section("one", "One")], [{"what": "a", "value": "b"}], ["nothing"])
    hostile = "".join(HOSTILE[:4]) + '<img src="https://127.0.0.1:1/x.png"><iframe src="data:text/html,x"></iframe>'
    report = page.read_text(encoding="utf-8").replace("</main>", f"{hostile}</main>", 1)
    own = "<script>document.documentElement.className = 'js'</script>"
    (tmp_path / "own.js").write_text("document.documentElement.lang = 'own'", encoding="utf-8")
    site = f'<html class="no-js" lang="en"><head>{own}</head><body><main>{{}}</main><script src="own.js"></script></body></html>'
    site = _hooks().with_policy(site)
    for name, text in (("report", report), ("site", site.replace("{}", hostile))):
        page.write_text(text, encoding="utf-8")
        dom, refused = policed(page, tmp_path)
        assert RAN not in dom, name
        assert len(refused) >= 4, (name, refused)
    assert 'class="js"' in dom
    assert 'lang="own"' in dom
    page.write_text(site.replace("{}", "nothing"), encoding="utf-8")
    assert policed(page, tmp_path)[1] == []
