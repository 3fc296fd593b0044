"""What one run measures: its constants with their intervals, the bound, and how well R16 describes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..interval import Interval
from ..shown import Shown

UNLIKELY = 0.01
"""A run whose readings R16 gives a smaller chance than this is no joint optimum."""


@dataclass(frozen=True, slots=True)
class Bound:
    """R5 on the readings: ``0 <= V_p Dg_p + V_a Dg_a <= l (g_t(0) - g_t(l))`` with the nominal volumes V.

    holds   whether no reading breaks it by more than the noise: simultaneously at the level of the fit over both sides
            and every l > 0 (Bonferroni) with rate_se, by four times the sigma of `Readings` without. None where no
            reading breaks it but rate_se is far above the scatter along the run (`Scatter`): then it was not tested
    worst   the largest of -ratio and ratio - 1, ratio = middle / upper side: how far outside the bound, in units of the
            bound; <= 0 where every reading is inside. Over the l whose upper side is above twice the standard error
            of its distance to the middle, since a ratio to noise says nothing; None where there is no such l
    z       the largest violation of either side in its own standard errors, over every l > 0; None without rate_se
    """

    holds: bool | None
    worst: float | None
    z: float | None


@dataclass(frozen=True, slots=True)
class Goodness:
    """How well R16 describes the run: Q_min, J - 2, and the chance of a larger Q_min under R16.

    p is None where J = 2, and where rate_se is not given, since the noise is then estimated from Q_min itself.
    """

    chi2: float
    dof: int
    p: float | None


@dataclass(frozen=True, slots=True)
class Scatter:
    """The scatter of the readings along the run against their rate_se: chi-square about smooth curves, and its freedom.

    p is the chance of a smaller chi-square were rate_se the errors within the run; None where no rate_se is given. The
    standard error of one rate over documents (``se`` of `measure`) is shared by all readings of a run, so that with it
    for rate_se the chi-square is near 0: every interval is then too wide and every verdict too mild.
    """

    chi2: float
    dof: int

    @property
    def p(self) -> float | None:
        """``P(chi-square with dof degrees of freedom <= chi2)``."""
        from scipy.special import chdtr

        return float(chdtr(self.dof, self.chi2)) if self.dof else None

    def too_small(self, below: float) -> bool:
        """Whether so little scatter has a chance below ``below``."""
        return self.p is not None and self.p < below

    def __str__(self) -> str:
        factor = f"{(self.dof / self.chi2) ** 0.5:.2g} times" if self.chi2 > 0 else "far above"
        return (
            f"rate_se is {factor} the scatter along the run (p = {self.p:.1g}): the error of a rate over documents, `se` of "
            "measure, is not the error within a run; the intervals are too wide, and the finite law (R5) is not tested"
        )

    def as_dict(self) -> dict[str, Any]:
        """``{chi2, dof, p}``."""
        return {"chi2": self.chi2, "dof": self.dof, "p": self.p}


@dataclass(frozen=True, slots=True, repr=False)
class RunFit(Shown):
    """What one run measures. K_pretrain and K_align are in volume_unit, to be compared with the nominal volumes."""

    drawer = "elastomath.fit.figures:run_figure"

    run: str
    K_pretrain: Interval
    K_align: Interval
    kappa: Interval
    nominal_kappa: float
    bound: Bound
    goodness: Goodness
    notes: tuple[str, ...]
    elastic_limit: Interval
    scatter: Scatter

    @property
    def near_joint(self) -> bool:
        """Whether the run is near enough to a joint optimum for K_pretrain, K_align and kappa to mean anything.

        R16 fits its readings within their errors (p at least `UNLIKELY`), and R5's bound is not broken.
        """
        return self.bound.holds is not False and (self.goodness.p is None or self.goodness.p >= UNLIKELY)

    def sentences(self) -> list[str]:
        """kappa with its interval against the nominal one, and whether the run can be a joint optimum at all."""
        sentences = [
            f"{self.run}: pre-training outweighs alignment {self.kappa} times; by the volumes it would be {self.nominal_kappa:g}."
        ]
        if not self.near_joint:
            sentences.append("The run is not near a joint optimum, where alone these volumes mean anything.")
        return [*sentences, *self.notes]

    def table(self) -> list[dict[str, Any]]:
        """K_pretrain, K_align and kappa, each with its interval, and the elastic limit."""
        named = {
            "K_pretrain": self.K_pretrain,
            "K_align": self.K_align,
            "kappa": self.kappa,
            "elastic limit": self.elastic_limit,
        }
        return [{"constant": name} | value.as_dict() for name, value in named.items()]

    def with_mild_errors(self) -> RunFit:
        """The same, where rate_se is known to be far above the scatter: R5 is told only where it is broken even so."""
        bound = replace(self.bound, holds=None if self.bound.holds else self.bound.holds)
        return replace(self, bound=bound)

    def as_dict(self) -> dict[str, Any]:
        """``{run, K_pretrain, K_align, kappa, nominal_kappa, bound: {holds, worst}, goodness, elastic_limit, scatter, notes}``."""
        return {
            "run": self.run,
            "K_pretrain": self.K_pretrain.as_dict(),
            "K_align": self.K_align.as_dict(),
            "kappa": self.kappa.as_dict(),
            "nominal_kappa": self.nominal_kappa,
            "bound": {"holds": self.bound.holds, "worst": self.bound.worst},
            "goodness": {"chi2": self.goodness.chi2, "dof": self.goodness.dof, "p": self.goodness.p},
            "elastic_limit": self.elastic_limit.as_dict(),
            "scatter": self.scatter.as_dict(),
            "notes": list(self.notes),
        }
