"""What the figures of the studies share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elastomath.figures import INK, STYLES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INK", "STYLES", "plain", "styled", "two_panels"]


def two_panels(title: str, description: str, share: bool = True) -> tuple[Figure, Any]:
    """Two panels, one above the other, with a name for the reader who does not see them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 6.3), layout="constrained")
    figure.set_label(f"{title}\n{description}")
    return figure, figure.subplots(2, 1, sharex=share)


def plain(axis: Any, subs: tuple[float, ...] = (1.0, 2.0, 5.0)) -> None:
    """Ticks of a logarithmic axis as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
