"""What an object tells of itself: a sentence at the prompt, a figure and a table in a notebook, a frame for pandas."""

from __future__ import annotations

import re
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from .errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def number_of(count: int, noun: str) -> str:
    """``3 runs``, ``1 run``, ``1 study``, ``2 studies``.

    >>> number_of(1, "run"), number_of(2, "study"), number_of(1200, "instance")
    ('1 run', '2 studies', '1,200 instances')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeo" else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def in_the_middle(median: float, worst: float, count: int, noun: str = "run", middle: str = "median") -> str:
    """By how much something was off over several runs; of one run there is neither a median nor a worst.

    >>> in_the_middle(0.06, 0.29, 36)
    'by 6% in the median of 36 runs and by 29% at worst'
    >>> in_the_middle(0.06, 0.06, 1)
    'by 6% in one run'
    """
    if count == 1:
        return f"by {median:.0%} in one {noun}"
    return f"by {median:.0%} in the {middle} of {number_of(count, noun)} and by {worst:.0%} at worst"


def natural_order(name: str) -> list[tuple[str, int]]:
    """What names are sorted by where their numbers count as numbers.

    >>> sorted(["step10", "step9", "step"], key=natural_order)
    ['step', 'step9', 'step10']
    """
    words, digits = (re.split(r"([0-9]+)", name)[place::2] for place in (0, 1))
    return [(text, int(number)) for text, number in zip(words, [*digits, "-1"], strict=True)]


class Shown:
    """The base of objects that people look at; a subclass says ``sentences`` and ``table``, and names its ``drawer``.

    drawer: ``module:function``, which makes the figure of the object. Drawers stand above what they draw, so that the function is
    looked up by its name when a figure is asked for.

    >>> class Answer(Shown):
    ...     def sentences(self):
    ...         return ["It is 42 <b>."]
    ...     def table(self):
    ...         return [{"what": "answer", "value": 42}]
    >>> Answer(), Answer().to_frame().shape
    (It is 42 <b>., (1, 2))
    >>> Answer()._repr_html_()[:25]
    '<p>It is 42 &lt;b&gt;.</p'
    """

    __slots__ = ()
    drawer: ClassVar[str] = ""

    def sentences(self) -> list[str]:
        """What to conclude, in whole sentences."""
        raise NotImplementedError

    def table(self) -> list[dict[str, object]]:
        """The numbers behind it, a row each."""
        raise NotImplementedError

    def to_frame(self) -> pd.DataFrame:
        """The rows of `table`, for pandas."""
        import pandas as pd

        return pd.DataFrame(self.table())

    def plot(self) -> Figure:
        """The figure of the object. Raises InputError where there is nothing to draw."""
        if not self.drawer:
            raise InputError(f"no figure of a {type(self).__name__}", where="plot", mend="use to_frame()")
        module, _, name = self.drawer.partition(":")
        figure: Figure = getattr(import_module(module), name)(self)
        return figure

    def __repr__(self) -> str:
        return " ".join(self.sentences())

    def _repr_html_(self) -> str:
        """The conclusion, the figure where there is one, and the table."""
        from .style import svg

        try:
            figure = f"<figure>{svg(self.plot())}</figure>"
        except InputError:
            figure = ""
        return f"<p>{escape(repr(self))}</p>{figure}{self.to_frame().head(20).to_html(index=False, escape=True)}"
