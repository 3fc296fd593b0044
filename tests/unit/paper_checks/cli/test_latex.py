"""The document of `verify --explain R5 --latex`: held by a checker of its source, for there may be no LaTeX here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from elastomath.necessity.printing import tex_words
from elastomath.verification import explain, verified
from paper_checks.cli.latex import document

COMMANDS = {
    "documentclass", "usepackage", "allowdisplaybreaks", "setlength", "emergencystretch", "begin", "end", "paragraph", "item",
    "frac", "tfrac", "sqrt", "sum", "int", "ln", "log", "left", "right", "mathrm", "operatorname", "text", "cdot", "limits", "prod",
    "le", "leq", "ge", "geq", "ne", "to", "infty", "forall", "in", "Rightarrow", "varphi", "varepsilon", "Delta", "Phi", "Gamma",
    "alpha", "beta", "gamma", "delta", "eta", "theta", "kappa", "lambda", "mu", "nu", "pi", "sigma", "tau", "psi", "omega", "Theta",
    "textbackslash", "textasciitilde", "quad", "min", "max", "lim", "exp", "xi", "rho", "epsilon", "wedge", "vee", "middle", "big",
    "cases", "dots", "ldots", "not", "zeta", "chi", "mid", "prime", "widetilde", "hat", "bar", "tilde", "partial",
    "substack", "Psi", "cup", "emph", "parindent", "parskip", "tabcolsep",
    "cos", "sin", "tanh", "langle", "rangle", "lfloor", "rfloor", "lceil", "rceil", "approx", "phi",
}  # fmt: skip
"""What LaTeX with amsmath and amssymb knows; a command beyond it has to be added here, and looked up first."""


def faults(text: str) -> list[str]:
    """What would stop a compiler: braces and environments that do not close, signs outside formulas, unknown commands."""
    found = [f"not ASCII: {sign!r}" for sign in sorted(set(re.findall(r"[^\x00-\x7f]", text)))]
    body = re.sub(r"(?<!\\)%.*", "", text)
    found += [f"unknown \\{name}" for name in sorted(set(re.findall(r"\\([A-Za-z]+)", body)) - COMMANDS)]
    depth = 0
    for sign in re.sub(r"\\[{}]", "", body):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return [*found, "a brace closes nothing"]
    found += ["a brace stays open"] if depth else []
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", body):
        if kind == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            found.append(f"\\end{{{name}}} closes nothing")
    found += [f"{name} stays open" for name in opened]
    words = re.sub(
        r"\\begin\{tabular\}.*?\\end\{tabular\}", lambda table: table[0].replace("&", ""), body, flags=re.DOTALL
    )
    words = re.sub(r"\\\[.*?\\\]|\\\(.*?\\\)", "", words, flags=re.DOTALL)
    found += [f"{sign} outside a formula" for sign in sorted(set(re.findall(r"(?<!\\)([_^&#$~])", words)))]
    found += ["a formula opens or closes alone"] if re.search(r"\\[\[\]()]", words) else []
    lefts, rights = (len(re.findall(rf"\\{side}(?![a-z])", body)) for side in ("left", "right"))
    return found + ([f"{lefts} \\left, {rights} \\right"] if lefts != rights else [])


SOME = ["R2", "R9", "R9a", "R9g", "R15a", "R18", "R21a", "R26a"]


@pytest.mark.parametrize("id", SOME)
def test_the_document_has_no_fault(id: str) -> None:
    assert faults(document(explain(id, style="latex"))) == []


@pytest.mark.acceptance
@pytest.mark.parametrize("id", [id for id in verified() if id not in SOME])
def test_no_document_has_a_fault(id: str) -> None:
    assert faults(document(explain(id, style="latex"))) == []


@pytest.mark.parametrize(
    "broken",
    [r"a_1", r"\( x", r"\begin{enumerate}", r"{", r"50\% & more", r"\nosuch", "ü", r"\[ \left( x \]", r"}{"],
)
def test_the_checker_sees_what_would_stop_a_compiler(broken: str) -> None:
    assert faults(document(broken))


@pytest.mark.parametrize(
    ("words", "latex"),
    [
        ("H_t(0) >= H_t(L)", r"\(H_{t}\)(0) \(\ge\) \(H_{t}\)(\(L\))"),
        ("D_2 u D_3 for a share u of l, 4 s", r"\(D_{2}\) \(\cup\) \(D_{3}\) for a share \(u\) of \(l\), 4 s"),
        ("sum_x P_t r^2", r"\(\sum_{x}\) \(P_{t}\) \(r^{2}\)"),
        ("N^2 d^2H_t/dl^2", r"\(N^{2}\) \(d^{2}H_t\)/\(dl^{2}\)"),
        ("phi and pi_t, not epsilonics", r"\(\varphi\) and \(\pi_{t}\), not epsilonics"),
        ("y'/(y' + 1)**2", r"\(y'\)/(\(y'\) + 1)\({}^{2}\)"),
        ("DeltaH_p < 0", r"\(\Delta H_{p}\) \(<\) 0"),
        ("e^{-z_n} of it's", r"\(e^{-z_{n}}\) of it's"),
        ("100% & #1 ~ {a}", r"100\% \& \#1 \textasciitilde{} \{a\}"),
    ],
)
def test_words_are_typeset(words: str, latex: str) -> None:
    assert tex_words(words) == latex


def _compiles(id: str, folder: Path) -> None:
    (folder / f"{id}.tex").write_text(document(explain(id, style="latex")))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", f"{id}.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-1000:]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_a_document_compiles(tmp_path: Path) -> None:
    _compiles("R2", tmp_path)


@pytest.mark.acceptance
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
@pytest.mark.parametrize("id", list(verified()))
def test_every_document_compiles(id: str, tmp_path: Path) -> None:
    _compiles(id, tmp_path)
