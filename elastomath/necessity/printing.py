"""The table of R9 in plain text and LaTeX."""

from __future__ import annotations

import re

from ..checks import checked, one_of
from .assumptions import ASSUMPTIONS, PARTS


@checked(style=one_of("text", "latex"))
def table(style: str = "text") -> str:
    """The table of R9, assumption by part: needed (with the counterexample) or not needed (with the proof).

    Style "text" or "latex".
    """
    names = list(PARTS)
    heads = ["without", "dH_p < 0", "dH_a > 0", "Theta", "ratio exists"]
    rows = []
    for name, rule in ASSUMPTIONS.items():
        rulings = [rule.rulings.get(part) for part in names]
        cells = ["-" if r is None else f"{'fails' if r.needed else 'holds'} {r.by}" for r in rulings]
        rows.append([name, *cells])
    if style == "latex":
        body = "\n".join(" & ".join(tex_words(cell) for cell in row) + r" \\" for row in [heads, *rows])
        return rf"\begin{{tabular}}{{{'l' * len(heads)}}}" + f"\n{body}\n" + r"\end{tabular}"
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [heads, *rows]
    ]
    reasons = [
        f"{name}, {heads[1 + column]}: {rule.rulings[part].why}"
        for name, rule in ASSUMPTIONS.items()
        for column, part in enumerate(names)
        if part in rule.rulings
    ]
    return "\n".join([*lines, "", *reasons])


GREEK = {
    name: rf"\{name}"
    for name in (
        "alpha",
        "beta",
        "gamma",
        "delta",
        "eta",
        "theta",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "pi",
        "sigma",
        "tau",
        "psi",
        "omega",
        "zeta",
        "chi",
        "xi",
        "rho",
    )
} | {
    "phi": r"\varphi",
    "eps": r"\varepsilon",
    "epsilon": r"\varepsilon",
    "Delta": r"\Delta",
    "Phi": r"\Phi",
    "infinity": r"\infty",
}
"""Letters that plain words spell out."""
SIGNS = {
    "<=": r"\le", ">=": r"\ge", "!=": r"\ne", "->": r"\to", "=>": r"\Rightarrow", "||": r"\|", "<": "<", ">": ">",
    "|": "|", "-inf": r"-\infty", "∪": r"\cup",
}  # fmt: skip
"""Signs that plain words write with keys."""
_NAME = r"(?:[A-Za-z]+)(?:_(?:[A-Za-z0-9]+|\{[^{}]*\}|[+-]))?'*(?:\^(?:[A-Za-z0-9]+|\{[^{}]*\}|-[A-Za-z0-9]+))?"
_ALONE = r"(?<!\d )(?<!\d\()(?!E\b)[b-hj-zB-HJ-Z](?![\w'’^_+#-]|\.\w)"
"""A letter that stands alone and is no word."""
_NUMBER = r"[0-9)\]]+\^(?:[A-Za-z0-9]+|\{[^{}]*\}|-[A-Za-z0-9]+)"
_MATH = re.compile(
    rf"d\^2[A-Z]_\w|(?<![\w\\'.])(?P<alone>{_ALONE})|(?<![\w\\])(?:{_NAME}|{_NUMBER})(?!\w)|<=|>=|!=|->|=>|\|\||\*\*[0-9A-Za-z]+|[<>|∪]"
)
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\^{}", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}",
}  # fmt: skip


def tex_words(words: str) -> str:
    r"""Plain words in LaTeX: names such as H_t and N^2, spelled letters and signs as formulas, what is special made safe.

    >>> print(tex_words("N^2 dH_p never falls: phi >= 0 on q_0, 50% of D_a & D_p"))
    \(N^{2}\) \(dH_{p}\) never falls: \(\varphi\) \(\ge\) 0 on \(q_{0}\), 50\% of \(D_{a}\) \& \(D_{p}\)
    """
    parts, last = [], 0
    words = re.sub(r"(?<=\d) u (?=[DP]_)", " ∪ ", words)
    for match in _MATH.finditer(words):
        formula = match["alone"] or _formula(match[0])
        if formula is not None:
            parts += [_safe(words[last : match.start()]), rf"\({formula}\)"]
            last = match.end()
    return "".join([*parts, _safe(words[last:])])


def _formula(token: str) -> str | None:
    """A token as a formula; None where it is a word of the language."""
    if token in SIGNS:
        return SIGNS[token]
    if token.startswith("**"):
        return f"{{}}^{{{token[2:]}}}"
    if token.startswith("d^2"):
        return rf"d^{{2}}{token[3:]}"
    body, _, power = token.partition("^")
    name, _, index = body.rstrip("'").partition("_")
    primes = "'" * (len(body) - len(body.rstrip("'")))
    plain = not index and not power and not (primes and len(name) == 1)
    if (plain and name not in GREEK) or len(name) > 9:
        return None
    letter = r"\sum" if name == "sum" and index else GREEK.get(name, name)
    if letter == name and name.startswith(("Delta", "delta")):
        letter = rf"\{name[:5]} {name[5:]}"
    elif letter == name and len(name) > 2 and not name.isdigit() and name not in ("dH", "dKL"):
        letter = rf"\mathrm{{{name}}}"
    below = "".join(f"_{{{GREEK.get(index, index)}}}" for index in [index.strip("{}")] if index)
    return f"{letter}{below}{primes}" + (f"^{{{_power(power)}}}" if power else "")


def _power(power: str) -> str:
    inner = power.strip("{}")
    return re.sub(r"_([A-Za-z0-9]+)", r"_{\1}", inner)


def _safe(words: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in words)
