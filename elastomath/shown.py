"""What an object tells of itself: a sentence at the prompt, a figure and a table in a notebook, a frame for pandas."""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from .errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


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
