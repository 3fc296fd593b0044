"""What the site computes when it is built: derivations as MathML, a figure for each result, the table of claims."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import tomllib
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
CLAIMS = "claims.md"
ABOUT = "about.md"
NOTEBOOKS = ("verify", "simulate", "fit")
RUN = "ELASTOMATH_DOCS_RUN"
"""Set to 0 where the notebooks are not to be run: then they are shown without outputs."""
LONG = 30
"""Letters of LaTeX from which a formula within a line may be wider than a phone."""
ASIDE = "code|pre|math|svg|script|style|title|button"
"""Elements whose text is no prose."""
_NAME = r"(?:(?:d|[ΔδE])?[A-Za-zΑ-ω]|[a-z][Α-ω])"
_INDEX = r"(?:_(?:\{[^{}]*\}|[A-Za-z0-9]{1,2}(?![A-Za-z0-9_])|[+−-](?!\w))|[₀-₉]+)"
_POWER = r"(?:\^(?:\([^()]*\)|\{[^{}]*\}|[−-]?\w+(?:\.\d+)?)|[²³⁰-⁹]|\*(?![\w*]))"
_ALONE = r"(?<!\d )(?<!\d\()(?<!/(?=[hsx]))(?!E\b)[b-hj-zB-HJ-ZΓ-ω](?![\w'’+#-]|\.\w|/s)"
LETTER = re.compile(rf"(?<![\w.'’#&^])(?<!\w-)(?:{_NAME}(?:{_INDEX}{_POWER}?|{_POWER})(?!\w)|\d+\^[−-]?\w+|{_ALONE})")
"""A letter with an index or a power, or one that stands alone and is no word."""
LOWERED = {sign: f"_{index}" for index, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")} | {
    "²": "^2",
    "³": "^3",
    "*": "^*",
    "−": "-",
}
BOX, GAP = (150, 40), (26, 46)
"""A box of the graph of results, and the space between boxes, in pixels."""


def on_config(config: Any) -> Any:
    """The version into the foot of every page, and the address of the repository, where `pyproject.toml` has one."""
    from elastomath import __version__

    config.copyright = f"elastomath {__version__}, MIT licence"
    config.repo_url = repository()
    return config


def repository() -> str | None:
    """The address of the public repository, ``[project.urls] Repository`` of `pyproject.toml`; None where none is set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository")


def _about() -> str:
    """The page of version, licence and source."""
    from elastomath import __version__

    address = repository()
    source = (
        f"The source is at [{address}]({address})."
        if address
        else (
            "The source is the clone that this site was built from: no public address is set. Who publishes it writes it into "
            "`pyproject.toml`, `[project.urls]`, as `Repository`; then every page links to it."
        )
    )
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8").strip()
    return (
        f"# Version, licence, source\n\nThis is elastomath {__version__}. {source} It is free to use under the MIT licence.\n\n"
        f"## Licence\n\n```text\n{licence}\n```\n"
    )


def on_files(files: Files, config: Any) -> Files:
    """Add the figures of the results and the page of claims."""
    from elastomath.figures.results import FIGURES
    from elastomath.style import svg

    for id, draw in FIGURES.items():
        files.append(File.generated(config, f"figures/{id}.svg", content=svg(draw())))
    files.append(File.generated(config, CLAIMS, content=_claims()))
    files.append(File.generated(config, ABOUT, content=_about()))
    for name in NOTEBOOKS:
        files.append(File.generated(config, f"notebooks/{name}.md", content=_notebook(config, name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Put a derivation, or the verbs, where a page asks for them."""
    markdown = re.sub(r"<!-- derivation (\w+) -->", lambda found: _derivation(found[1]), markdown)
    if "<!-- joint-regmix -->" in markdown:
        markdown = markdown.replace("<!-- joint-regmix -->", _joint())
    if "<!-- published-laws -->" in markdown:
        markdown = markdown.replace("<!-- published-laws -->", _published_laws())
    if "<!-- graph of results -->" in markdown:
        markdown = markdown.replace("<!-- graph of results -->", _graph())
    if "<!-- verbs -->" in markdown:
        markdown = markdown.replace("<!-- verbs -->", _verbs())
    up, links = "../" * page.file.src_uri.count("/"), []
    for name, words in (("glossary.md", "Glossary: every word and letter"), (ABOUT, "Version, licence, source")):
        if page.file.src_uri != name:
            links.append(f"[{words}]({up}{name})")
    return f"{markdown}\n\n---\n\n{' · '.join(links)}\n"


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Formulas as MathML, so that the site needs no script and no network."""

    def formula(found: re.Match[str]) -> str:
        block = found[1] == "div"
        inner = found[2].strip()[2:-2].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return _typeset(inner, block)

    return letters(re.sub(r'<(div|span) class="arithmatex">(.*?)</\1>', formula, html, flags=re.DOTALL))


def letters(html: str) -> str:
    """Letters of formulas within words, typeset as in formulas: H_t, c_+, N₀, e^z and a k alone; code and formulas stay as they are."""
    out, skipped = [], 0
    for part in re.split(r"(<[^>]*>)", html):
        tag = re.match(rf"<(/?)(?:{ASIDE})\b", part)
        if tag:
            skipped += -1 if tag[1] else 1
        out.append(part if skipped or part.startswith("<") else LETTER.sub(_letter, part))
    return "".join(out)


def _letter(found: re.Match[str]) -> str:
    inner = "".join(LOWERED.get(sign, sign) for sign in found[0])
    inner = re.sub(r"([_^])\(?([^\s{}()_^]+(?:_\w+)?)\)?", r"\1{\2}", inner)
    return _mathml(re.sub(r"_\{([A-Z]{2})\}", r"_{\\mathrm{\1}}", inner), "inline")


@functools.cache
def _mathml(formula: str, display: str) -> str:
    """A formula as MathML; a letter comes back on many pages, and is converted once."""
    return str(convert(formula, display=display))


def on_post_page(output: str, **_: Any) -> str:
    """Nothing is loaded from the network: the theme's own search needs a script from there, ours (`search.md`) does not."""
    return with_policy(re.sub(r'<script src="https://[^"]*"></script>', "", output))


def with_policy(page: str) -> str:
    """The page with a content security policy: its own files, and the scripts within it by their hashes, are all that runs.

    ``file:`` stands for the site's own files where it is read from disk, which has no origin.
    """
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
    hashes = "".join(f" 'sha256-{digest}'" for digest in dict.fromkeys(digests))
    policy = (
        f"default-src 'none'; script-src 'self' file:{hashes}; style-src 'self' file: 'unsafe-inline'; "
        "img-src 'self' file: data:; connect-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    return page.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{policy}">', 1)


def on_post_template(output_content: str, **_: Any) -> str:
    """The same for the page that is shown where there is none."""
    return on_post_page(output_content)


def _derivation(id: str) -> str:
    """The derivation as HTML that Markdown leaves alone."""
    from elastomath.verification import explain

    latex = re.sub(
        r"\\begin\{tabular\}\{\w+\}\n(.*?)\n\\end\{tabular\}",
        lambda found: (
            "<table>"
            + "".join(map(_row, found[1].splitlines(), itertools.chain(["th"], itertools.repeat("td"))))
            + "</table>"
        ),
        explain(id, style="latex"),
        flags=re.DOTALL,
    )
    lines, out, open_item = latex.splitlines(), [], False
    for line in lines:
        if line.startswith(r"\paragraph"):
            continue
        if line.startswith("<table>"):
            out.append(line)
            continue
        ends = re.fullmatch(r"\\(begin|end)\{(enumerate|itemize)\}", line)
        if ends:
            tag = "ol" if ends[2] == "enumerate" else "ul"
            out.append(f"<{tag}>" if ends[1] == "begin" else f"</li></{tag}>" if open_item else f"</{tag}>")
            open_item = False
        elif line.startswith(r"\item"):
            out.append(("</li>" if open_item else "") + "<li>" + _words(line.removeprefix(r"\item").strip()))
            open_item = True
        elif not open_item:
            out.append(f"<p>{_words(line)}</p>" if line.strip() else "")
        else:
            after_words = bool(out) and not out[-1].endswith(("</math>", "</span>")) and not line.startswith(r"\[")
            out.append(("<br>" if after_words else "") + _words(line))
    return '<div class="derivation">\n' + "\n".join(line for line in out if line.strip()) + "\n</div>"


def _row(line: str, tag: str) -> str:
    """A row of a LaTeX table as one of HTML."""
    cells = (f"<{tag}>{_words(cell.strip())}</{tag}>" for cell in line.removesuffix(r"\\").split("&"))
    return f"<tr>{''.join(cells)}</tr>"


def _words(line: str) -> str:
    """A line of LaTeX as HTML: formulas through MathML, the escapes of words undone."""
    parts = re.split(r"(\\\[.*?\\\]|\\\(.*?\\\))", line)
    return "".join(_formula(part) if part[:2] in (r"\[", r"\(") else _plain(part) for part in parts)


def _formula(part: str) -> str:
    inner = part[2:-2].strip()
    if inner in ("<", ">"):
        return escape(inner)
    return _typeset(inner, part[:2] == r"\[")


def _typeset(formula: str, block: bool) -> str:
    """A formula as MathML; one that stands alone scrolls within itself where it is wider than a phone."""
    if not block:
        line = _mathml(formula, "inline")
        return f'<span class="formula within">{line}</span>' if len(formula) > LONG else line
    return f'<span class="formula">{_mathml(formula, "block")}</span>'


def _plain(text: str) -> str:
    for latex, sign in (
        (r"\textasciitilde{}", "~"),
        (r"\textbackslash{}", "\\"),
        (r"\^{}", "^"),
        (r"\{", "{"),
        (r"\}", "}"),
    ):
        text = text.replace(latex, sign)
    return escape(re.sub(r"\\([_#&%$])", r"\1", text))


def _joint() -> str:
    """The saved reading of other people's runs (R27) as a table."""
    from paper_checks.claims.keep import SAVED_RUNS

    saved = json.loads((SAVED_RUNS / "joint-regmix" / "joint-regmix.json").read_text(encoding="utf-8"))
    rows = [
        "| size | runs | comparisons violated | largest missed, nats/token | shuffled | beta | again |",
        "| --- " * 7 + "|",
    ]
    for name, one in saved["sets"].items():
        beta = one["effective"]["beta"]
        rows.append(
            f"| {name} | {one['runs']} | {one['violated']} of {one['comparisons']:,} | {max(one['delta']):.4f} "
            f"| {one['shuffled']:.0%} | {beta['estimate']:.2f} [{beta['low']:.2f}, {beta['high']:.2f}] | `{one['command']}` |"
        )
    return "\n".join(rows)


def _published_laws() -> str:
    """The rival laws on the attacks that others published, as a table."""
    from elastomath.interval import Interval
    from paper_checks.claims.keep import SAVED_RUNS

    saved = json.loads((SAVED_RUNS / "published" / "published.json").read_text(encoding="utf-8"))
    along = saved["unlearn"]["laws_along"]
    rows = [
        "| law of the score | numbers | off by (share of answers) | best in | ln of its squared error over the logit law's |",
        "| --- " * 5 + "|",
    ]
    for law in along["laws"]:
        behind = "" if law["behind"] is None else f"{Interval.of_dict(law['behind']):+.2f}"
        rows.append(
            f"| {law['name']} | {law['numbers']} | {law['error']:.4f} | {law['best']} of {along['attacks']} | {behind} |"
        )
    return "\n".join(rows)


def _verbs() -> str:
    """Every verb with its options, read from the command line itself."""
    import typer

    from paper_checks.cli.commands import app

    rows: list[str] = []

    def describe(name: str, command: Any) -> None:
        if hasattr(command, "commands"):
            for inner, child in command.commands.items():
                describe(f"{name} {inner}", child)
            return
        about, _, listing = (command.help or "").partition("\n\n\b\n")
        rows.extend(["", f"## {name.removeprefix('elastomath ')}", "", _cell(about)])
        rows.extend(["", "```text", listing, "```"] if listing else [])
        for example in re.split(r"\s*Example: ", command.epilog or "")[1:]:
            rows.extend(["", "```text", example.strip(), "```"])
        rows.extend(["", "| option | default | |", "| --- | --- | --- |"])
        for option in command.params:
            if option.name == "help":
                continue
            label = (
                ", ".join(option.opts)
                if option.param_type_name == "option"
                else (option.metavar or option.name.upper())
            )
            default = "" if option.default is None or callable(option.default) else str(option.default)
            shown = getattr(option, "show_default", None)
            default = shown if isinstance(shown, str) else default
            about = getattr(option, "help", "") or ""
            if settings := re.fullmatch(r"(.*)  \[default: (.*)\]", about, re.DOTALL):  # of a protocol's settings
                about, default = settings.groups()
            rows.append(f"| `{label}` | {_cell(default)} | {_cell(about)} |")

    describe("elastomath", typer.main.get_command(app))
    return "\n".join(rows)


def _claims() -> str:
    """The registry as a page: the table, then a section for each claim."""
    from paper_checks.claims import GROUPS, claims, group
    from paper_checks.claims.claim import NOT_SUPPORTED, NOT_TESTED, SUPPORTED

    groups: dict[str, list[Any]] = {name: [] for name in GROUPS}
    for claim in claims().values():
        measured = claim.verdict in (SUPPORTED, NOT_SUPPORTED, NOT_TESTED) or claim.id.startswith("Table")
        groups[group(claim, "measured" if measured else "")].append(claim)
    printed, repaired = claims()["Thm4.2"], claims()["Thm4.2-finite"]
    counts = "; ".join(f"{name[0].lower()}{name[1:]}: {len(found)}" for name, found in groups.items())
    rows = [
        "# Claims",
        "",
        "What holds of the paper, statement by statement, to read beside it. The theorem as printed "
        f"**{printed.verdict.replace('fails: counterexample', 'fails')}**; made true, it **{repaired.verdict}**. "
        f"There are {len(claims())} claims ({counts}). `elastomath check` gives each verdict again and exits with 1 where "
        "one does not stand.",
        "",
    ]
    for name, found in groups.items():
        rows += ["", f"## {name}", "", "| claim | verdict |", "| --- | --- |"]
        rows += [
            f"| [{_cell(claim.title)}](#{_anchor(claim.id)}) ({claim.id}) | {_cell(claim.verdict)} |" for claim in found
        ]
    rows += ["", "## Each claim"]
    for claim in claims().values():
        rows += ["", f"### {claim.id}: {claim.title} {{ #{_anchor(claim.id)} }}", "", _cell(claim.claim), ""]
        rows += [f"- **where**: {_cell(claim.where)}", f"- **verdict**: {_cell(claim.verdict)}"]
        if claim.assumes:
            rows.append(f"- **assumes**: {_cell('; '.join(claim.assumes))}")
        if claim.depends:
            links = [f"[{id}](#{_anchor(id)})" for id in claim.depends]
            rows.append(f"- **rests on**: {', '.join(links)}")
        rows.append(f"- **how it is checked**: {_cell((claim.check.__doc__ or '').strip())}")
        rows.append(f"- **again**: `elastomath check {claim.id}`, `{claim.command}`")
        if re.fullmatch(r"R\d+", claim.id):
            rows.append(f"- **derivation**: [{claim.id}](results/{claim.id}.md)")
    return "\n".join(rows) + "\n"


def _anchor(id: str) -> str:
    return "claim-" + re.sub(r"\W+", "-", id.lower())


def _cell(text: str) -> str:
    return re.sub(r"([|*_\[\]])", r"\\\1", escape(text, quote=False))


def _notebook(config: Any, name: str) -> str:
    """A notebook as a page, with the outputs that it has when it is run now."""
    import nbformat

    notebook = nbformat.read(Path(config.docs_dir) / "notebooks" / f"{name}.ipynb", as_version=4)
    if os.environ.get(RUN, "1") != "0":
        import tempfile

        from nbclient import NotebookClient

        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(notebook, timeout=240, resources={"metadata": {"path": folder}}).execute()
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.source.strip():
            parts.append(f"```python\n{cell.source}\n```")
            parts += [_output(output) for output in cell.outputs]
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: Any) -> str:
    """One output of a cell: a figure inline, anything else as text."""
    data = output.get("data", {})
    if "image/svg+xml" in data:
        svg = data["image/svg+xml"]
        svg = svg[svg.index("<svg") :]
        return "<figure>" + re.sub(r"\n\s*\n", "\n", svg) + "</figure>"
    text = output.get("text") or data.get("text/plain", "")
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""


def _graph() -> str:
    """Which result rests on which, as a drawing whose boxes lead to the pages of the results."""
    from paper_checks.claims.theory import RESULTS, TITLES

    depends = {id: row.get("rests_on", []) for id, row in RESULTS.items()}
    level: dict[str, int] = {}
    for id in sorted(TITLES, key=lambda id: int(id[1:])):
        level[id] = 1 + max((level.get(other, 0) for other in depends[id]), default=-1)
    rows = [[id for id in TITLES if level[id] == height] for height in range(1 + max(level.values()))]
    wide = max(map(len, rows))
    place = {
        id: (
            (wide - len(row)) * (BOX[0] + GAP[0]) / 2 + column * (BOX[0] + GAP[0]) + 4,
            height * (BOX[1] + GAP[1]) + 4,
        )
        for height, row in enumerate(rows)
        for column, id in enumerate(row)
    }
    size = wide * (BOX[0] + GAP[0]) - GAP[0] + 8, len(rows) * (BOX[1] + GAP[1]) - GAP[1] + 8
    parts = [
        f'<div class="graph"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" role="img" '
        'aria-label="Which result rests on which; each box leads to its page">'
    ]
    for id, others in depends.items():
        for other in others:
            (x, y), (u, v) = place[id], place[other]
            line = f"M{u + BOX[0] / 2} {v + BOX[1]} C{u + BOX[0] / 2} {v + BOX[1] + 30} {x + BOX[0] / 2} {y - 30} {x + BOX[0] / 2} {y}"
            parts.append(f'<path d="{line}" fill="none" stroke="currentColor" stroke-opacity=".45"/>')
    for id, (x, y) in place.items():
        words = _broken(TITLES[id][0])
        text = "".join(
            f'<tspan x="{x + BOX[0] / 2}" dy="{0 if index == 0 else 13}">{escape(line)}</tspan>'
            for index, line in enumerate([id, *words])
        )
        parts.append(
            f'<a href="{id}.html"><rect x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="4" fill="var(--md-default-bg-color)" '
            f'stroke="currentColor"/><text x="{x + BOX[0] / 2}" y="{y + 13}" font-size="11" text-anchor="middle" '
            f'fill="currentColor">{text}</text></a>'
        )
    return "".join(parts) + "</svg></div>"


def _broken(words: str, width: int = 26) -> list[str]:
    """A title in at most two lines."""
    import textwrap

    lines = textwrap.wrap(words, width)
    return lines if len(lines) <= 2 else [lines[0], lines[1] + " ..."]
