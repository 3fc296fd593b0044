"""The documents: every block of code runs, every command exists, every result has its page, the site builds without a warning."""

from __future__ import annotations

import importlib.util
import io
import itertools
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from elastomath.figures.results import FIGURES
from paper_checks.cli.commands import app, main
from tests.integration.browser import CHROMIUM, PAPER, probes, sheets
from tests.integration.outputs import SNIPPET, alike, run

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md"))
ELSEWHERE = {"property-tests.md", "fine-tuning.md", "trained.md"}
"""Pages whose blocks of Python run in a test of their own, or with the commands of the page alone."""
MODEL = "<!-- needs a model -->"
"""Before a block of commands that need a fetched model: it runs in the acceptance tests."""


def _blocks(page: Path, language: str) -> list[tuple[bool, str]]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"({re.escape(MODEL)}\n+)?```{language}\n(.*?)```", text, re.DOTALL)
    return [(bool(match[1]), match[2]) for match in found]


def _named(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT / "docs")) for page in pages]


WITH_PYTHON = [page for page in PAGES if _blocks(page, "python") and page.name not in ELSEWHERE]
WITH_COMMANDS = [page for page in PAGES if _blocks(page, "sh")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=_named(WITH_PYTHON))
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And prints what stands under each snippet (`python tests/integration/outputs.py` writes it)."""
    monkeypatch.chdir(tmp_path)
    for snippet, said in run(page):
        if snippet["output"] is not None:
            assert alike(snippet["output"], said), f"{snippet['code']}\nprinted\n{said}"


def _python(page: Path) -> None:
    names: dict[str, object] = {"__name__": "docs"}
    for _, block in _blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


def _bash(lines: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", lines]
    done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{lines}\n{done.stderr[-2000:]}"


def _ours(line: str) -> bool:
    """Whether the line is a call of `elastomath` and nothing else that a shell would do."""
    return line.startswith("elastomath ") and not re.search(r"[|<>&;$`]", line)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=_named(WITH_COMMANDS))
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which has the packages loaded; what is a shell's goes to bash."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # a pool's processes would derive again what is derived here
    _python(page)
    for block in (block for needs_model, block in _blocks(page, "sh") if not needs_model):
        for ours, lines in itertools.groupby(re.sub(r"\\\n\s*", " ", block).splitlines(), key=_ours):
            if not ours:
                _bash("\n".join(lines))
                continue
            for line in lines:
                with pytest.raises(SystemExit) as ended:
                    main(shlex.split(line, comments=True)[1:])
                assert not ended.value.code, line


@pytest.mark.acceptance
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=_named(WITH_COMMANDS))
def test_the_commands_of_a_page_run_with_a_model(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _python(page)
    for _, block in _blocks(page, "sh"):
        _bash(block)


def _options(command: object) -> set[str]:
    return {name for option in command.params for name in option.opts}  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=[*_named(PAGES), "README.md"])
def test_every_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [line for _, block in [*_blocks(page, "sh"), *_blocks(page, "text")] for line in block.splitlines()]
    lines += re.findall(r"`(elastomath [^`\n]+)`", text)
    for line in lines:
        line = line.split(" #")[0].split("&&")[0].strip().rstrip("\\")
        if not line.startswith("elastomath "):
            continue
        words = shlex.split(line)[1:]
        command = typer.main.get_command(app)
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        given = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)} - {"--help"}
        assert given <= _options(command), f"{line}: {sorted(given - _options(command))}"


def test_every_snippet_that_prints_a_few_lines_shows_them() -> None:
    """Of all snippets with a print on a page whose snippets run, most have their output under them; a wrong one is seen."""
    with_print = [
        match["output"]
        for page in WITH_PYTHON
        for match in SNIPPET.finditer(page.read_text(encoding="utf-8"))
        if "print(" in match["code"]
    ]
    assert sum(output is not None for output in with_print) >= 0.9 * len(with_print) > 30
    assert not alike("the constant is 2.2", "the constant is 2.3")


def test_every_result_has_its_page_and_figure() -> None:
    assert list(FIGURES) == [f"R{number}" for number in range(1, 28)]
    for id in FIGURES:
        text = (ROOT / "docs" / "results" / f"{id}.md").read_text(encoding="utf-8")
        assert f"<!-- derivation {id} -->" in text
        assert f"figures/{id}.svg" in text
        assert "```python" in text


SIGNATURES = "mkdocstrings_handlers.python._internal.rendering"


@pytest.fixture(scope="module")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site, built once, and what the builder complained of; in this process, which has derived the results already."""
    pytest.importorskip("mkdocstrings")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    site = tmp_path_factory.mktemp("docs") / "site"
    said = io.StringIO()
    listener = logging.StreamHandler(said)
    listener.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    listener.setLevel(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(listener)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            patch.setenv("ELASTOMATH_DOCS_RUN", "0")
            patch.setenv("NO_MKDOCS_2_WARNING", "1")
            # as where ruff is not installed: it would be started for each of a thousand signatures, to break their lines
            patch.setattr(f"{SIGNATURES}._get_formatter", lambda: lambda text, _: text, raising=False)
            build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(site), strict=False))
    finally:
        logging.getLogger("mkdocs").removeHandler(listener)
    return site, said.getvalue()


SCROLLS = ".md-typeset__scrollwrap, .md-typeset table, pre, .graph, .formula, figure, .headerlink, .md-clipboard"
"""What may be wider than a phone, and scrolls within itself."""
SOME = ["index.html", "results/R5.html"]
"""Prose with figures, and formulas; all pages are looked at in the acceptance tests."""


def _faults(pages: list[Path], folder: Path, width: int) -> dict[str, dict[str, object]]:
    """What is wrong with each page: wider than the frame, loaded from elsewhere, found by axe; on paper cut, or details empty."""
    paper = width == PAPER
    found = probes(pages, folder, width, axe=not paper, paper=paper, scrolls=".none" if paper else SCROLLS)
    keys = ("wide", "loaded", "cut", "empty") if paper else ("wide", "loaded", "axe")
    return {
        str(page): {key: one[key] for key in ("page", *keys)}
        for page, one in zip(pages, found, strict=True)
        if one["page"] > 1 or any(one[key] for key in keys)
    }


@pytest.mark.site
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_page_fits_a_phone_and_axe_has_no_complaint(built_site: tuple[Path, str], tmp_path: Path) -> None:
    pytest.importorskip("axe_core_python")
    assert _faults([built_site[0] / page for page in SOME], tmp_path, 390) == {}


@pytest.mark.acceptance
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280, PAPER])
def test_every_page_fits(built_site: tuple[Path, str], width: int, tmp_path: Path) -> None:
    """No sideways scroll and no complaint of axe on a phone and on a screen; on paper nothing cut and no details empty."""
    pytest.importorskip("axe_core_python")
    pages = [page for page in sorted(built_site[0].rglob("*.html")) if page.name != "404.html"]
    wrong: dict[str, dict[str, object]] = {}
    for start in range(0, len(pages), 32):
        wrong |= _faults(pages[start : start + 32], tmp_path, width)
    assert wrong == {}


@pytest.mark.acceptance
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_every_page_prints(built_site: tuple[Path, str], tmp_path: Path) -> None:
    for page in sorted(built_site[0].rglob("*.html")):
        assert 1 <= sheets(page, tmp_path) <= 250, page


@pytest.mark.parametrize(
    ("words", "typeset"),
    [
        ("N₀ KL(q₀‖q_L)", ["N_{0}", "q_{0}", "q_{L}"]),
        ("e^(-z_n), c_-/c_+ and m*/n", ["e^{-z_n}", "c_{-}", "c_{+}", "m^{*}", "n"]),
        ("N² dH_i/dl at 10^-4", ["N^{2}", "dH_{i}", "10^{-4}"]),
        ("D_KL of M^{−(α−1)/2}, k alone", [r"D_{\mathrm{KL}}", "M^{-(α-1)/2}", "k"]),
        ("4 s, 2 GB/s, A.7, p-value, e.g. a file_name, Bob's, R5", []),
        ("<code>H_t</code> <pre>k</pre> <math><mi>z</mi></math>", []),
    ],
)
def test_letters_within_words_are_typeset_as_in_formulas(
    words: str, typeset: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    seen: list[str] = []
    monkeypatch.setattr(hooks, "convert", lambda formula, display: seen.append(formula) or "")
    hooks.letters(words)
    assert seen == typeset


@pytest.mark.site
def test_the_site_builds_without_a_warning_or_a_dead_link(built_site: tuple[Path, str]) -> None:
    site, said = built_site
    assert said == ""
    page = (site / "results" / "R5.html").read_text(encoding="utf-8")
    assert page.count("<math") > 20
    assert "arithmatex" not in page
    pages = sorted((site / "reference" / "modules").glob("elastomath.*.html"))
    assert len(pages) > 80  # a page a module
    listed = (site / "reference" / "elastomath.html").read_text(encoding="utf-8")
    assert all(f'href="modules/{page.name}"' in listed for page in pages)
    reference = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert "<p>&gt;&gt;&gt;" not in reference  # a doctest that Markdown takes for a quote
    assert not re.search(r"<blockquote>(?:\s*<blockquote>)+", reference)
    assert reference.count('class="gp"') > 150  # prompts, set as code
    assert "ArrayLike" in reference  # types of arguments
    findings = (site / "findings.html").read_text(encoding="utf-8")
    assert (
        len(re.findall("<h[34]", findings)) > 90
    )  # an entry has a heading and a sentence, and the rest of it is folded
    assert findings.count("<details") > 50
    graph = (site / "results" / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<a href="(R\d+)\.html"><rect', graph)) == set(FIGURES)
    for name in ("verify", "simulate", "fit"):
        assert (site / "notebooks" / f"{name}.html").is_file()
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if path.name not in ("404.html", "glossary.html"):
            assert "glossary.html" in text, path
        prose = re.sub(r"<(pre|code|script|math)\b.*?</\1>", "", text, flags=re.DOTALL)
        assert not re.search(r"\\(?:begin|end|item|emph|text\w+)\b|\\\\\s*</p>", prose), path  # LaTeX that nobody set
        assert not re.search(r'(?:src|srcset)="https?:|<link[^>]+stylesheet[^>]+https?:', text), path  # works from disk
    assert (site / "search" / "search_index.js").is_file()
