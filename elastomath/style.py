"""One style for every figure, and how a figure is written to a file."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from .errors import InputError, escaped
from .storage import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
SUFFIXES: Final = (".svg", ".png", ".pdf")
"""File types of `save_figure`."""
WIDTH: Final = 7.0
"""Width of every figure in inches: 504 points, so that a 10 point letter is 14 pixels tall at 700 pixels."""
STYLES: Final = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#7A4EA3", "D", ":"),
    ("#5B5B5B", "v", (0, (5, 1, 1, 1, 1, 1))),
    ("#B0308A", "P", (0, (3, 1))),
    ("#8A6D00", "X", (0, (1, 1))),
    ("#1E6F7A", "<", (0, (7, 2))),
)
"""Colour, marker and line of the n-th line of a panel: told apart in print and by people who do not see colour."""
INK: Final = "#444444"
"""Colour of axes and reference lines."""
LOOK: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.formatter.limits": (-3, 4),
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "svg.hashsalt": "elastomath",
    "path.simplify": False,
    "text.parse_math": False,  # a dollar in a run's name is a dollar
}


Drawing = ParamSpec("Drawing")
Drawn = TypeVar("Drawn")


def styled(draw: Callable[Drawing, Drawn]) -> Callable[Drawing, Drawn]:
    """Draw or write with our look, and leave the caller's matplotlib settings as they were."""

    @functools.wraps(draw)
    def styled(*args: Drawing.args, **kwargs: Drawing.kwargs) -> Drawn:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(LOOK)
            return draw(*args, **kwargs)

    return styled


def series(index: int, *, line: bool = True) -> dict[str, Any]:
    """How the n-th line of a panel is drawn (`STYLES`, again from the first after the last), as keywords of ``plot`` and ``errorbar``.

    line: False leaves the marks alone.

    >>> series(1, line=False)
    {'color': '#D55E00', 'marker': 's', 'linestyle': 'none'}
    """
    colour, marker, dashes = STYLES[index % len(STYLES)]
    return {"color": colour, "marker": marker, "linestyle": dashes if line else "none"}


def plain_ticks(axis: Any, dense: bool = False) -> None:
    """Plain numbers on a logarithmic axis: at its powers of ten, and at 1, 2, 5 within two decades, or everywhere where ``dense``."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if dense or high <= 100 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@styled
def svg(figure: Figure, title: str | None = None, description: str | None = None) -> str:
    """The figure as one ``<svg>`` element to be put into a page: text stays text, no date, no random name.

    The same figure gives the same string. It carries a title and a description for people who do not see it (those of
    the figure, unless given), scales with its column up to 700 pixels, and its names clash with no other figure's.

    >>> from elastomath.curve import Curve
    >>> from elastomath.figures.curves import curve_figure
    >>> curve = Curve.from_paths("a < b", {"pretrain": 10, "align": 1, "perturb": 1}, [0, 1],
    ...     {"pretrain": [1.0, 0.99], "align": [1.0, 1.05], "perturb": [1.0, 0.6]}, "bits/symbol", "symbols")
    >>> text = svg(curve_figure(curve))
    >>> text.startswith("<svg "), "<title" in text, "a < b" in text, text == svg(curve_figure(curve))
    (True, True, False, True)
    """
    own_title, _, own_description = str(figure.get_label()).partition("\n")
    title, description = escaped(title or own_title or "Figure"), escaped(description or own_description, kept="\n")
    buffer = io.StringIO()
    _write(figure, buffer, "svg", {"Date": None, "Creator": None})
    text = escaped(buffer.getvalue(), kept="\n\r\t")  # XML has no control characters, and a name may
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # a style element in a page would hold for the whole page: its two properties are inherited from the root instead
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = text[text.index("<svg") :].rstrip()
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", text)
    digest = "e" + hashlib.sha256((text + title + description).encode()).hexdigest()[:10]
    text = re.sub(r'(url\(#|href="#| id=")', rf"\g<1>{digest}-", text)
    box = re.search(r'viewBox="[^"]+"', text)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0] if box else ""} '
        f'width="700" style="max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt" role="img" '
        f'aria-labelledby="{digest}-title {digest}-desc">'
        f'\n <title id="{digest}-title">{escape(title)}</title>'
        f'\n <desc id="{digest}-desc">{escape(description)}</desc>'
    )
    return head + text[text.index(">") + 1 :]


@styled
def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure as .svg, .png or .pdf (by the suffix), whole or not at all. Raises InputError otherwise."""
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"unknown suffix {file.suffix!r}", where=str(file), mend=f"use {', '.join(SUFFIXES)}")
    with whole_file(file) as aside:
        if suffix == ".svg":
            aside.write_text('<?xml version="1.0" encoding="utf-8"?>\n' + svg(figure) + "\n", encoding="utf-8")
        else:
            silent: dict[str, str | None] = {"Software": None} if suffix == ".png" else {"CreationDate": None}
            _write(figure, aside, suffix[1:], silent, dpi=150)
    return file


def _write(figure: Figure, file: Any, kind: str, about: dict[str, str | None], **how: Any) -> None:
    """Save the figure, and warn of no letter that the font lacks: a name may have any, and SVG names the letter, not its shape."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        figure.savefig(file, format=kind, metadata=about, **how)
