"""The verb `plot`: the figure of a curve file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .terminal import Json, conclude, emit


def plot(
    curve: Annotated[Path, typer.Argument(help="A curve file, .csv or .parquet.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The figure, .svg, .png or .pdf; default: beside it.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Draw a curve: how the code of each dataset lengthens or shortens as the perturbation grows."""
    from elastomath.curve import Curve
    from elastomath.style import save_figure
    from sim.cycles.conclusion import conclusion

    readings = Curve.read(curve)
    figure = save_figure(readings.plot(), out or curve.with_suffix(".svg"))
    sentences = conclusion(readings) or readings.sentences()  # without pretrain and align: what it holds
    result = {
        "curve": str(curve),
        "runs": len(readings.runs),
        "figure": str(figure),
        "conclusion": sentences,
    }

    def show() -> None:
        conclude(sentences, blank=False)
        print(f"figure: {figure}")

    emit(result, as_json, show)
    return 0
