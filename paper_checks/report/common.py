"""What sections share: the table of a fit, paths beside the page, the number of cores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elastomath import Curve

from .page import Section, interval

if TYPE_CHECKING:
    from elastomath.fit.fit import Fitted


def fit_table(section: Section, curve: Curve) -> Fitted:
    """Fit a curve, and show the effective volumes of its runs."""
    from elastomath.fit.fit import fit
    from elastomath.fit.summary import unit_words

    constants = fit(curve)
    section.show(
        [
            {"run": run["run"]}
            | {name: interval(run[name]) for name in ("K_pretrain", "K_align", "kappa")}
            | {"nominal kappa": run["nominal_kappa"], "finite law holds": run["bound"]["holds"]}
            for run in constants["runs"]
        ],
        f"effective volumes (R16) with their 95% intervals, in {unit_words([run.course for run in constants.summary.runs])}",
    )
    return constants


def beside(data: Path, path: Path) -> Path:
    """A file of the data folder, as the page names it."""
    return path.relative_to(data)
