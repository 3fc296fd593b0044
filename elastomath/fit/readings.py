"""A run's readings as the three terms of R16, with what each reading, rounding and the quadrature may be off by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..arrays import Array
from ..checks import an, checked, one_of
from ..curve import Run
from ..errors import InputError
from .course import Course
from .effective_volumes import Balance, Estimate, estimate
from .quadrature import RULES, suited_work, work_operator

ROLES = ("pretrain", "align", "perturb")
"""The components that R16 speaks of; a curve may hold more."""
MOST_READINGS = 64
"""A run of more readings is fitted by the means of neighbouring ones: what a fit costs grows with the cube of their number."""
ROUNDING = 4.0 * np.finfo(np.float64).eps
"""Relative error granted to a reading that is given without a standard error: a rate is a long sum."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The three components of a run that R16 speaks of, with l in units of the largest perturbation, so l_J = 1.

    perturbations: (J+1,), from 0 to 1. rates, rate_se: (3, J+1), pretrain, align, perturb, in rate_unit.
    known_noise: whether the run gives every rate_se; where it does not, rate_se is one estimate for all readings.
    volumes: (3,), nominal, and ``unit``, the largest perturbation, in volume_unit.
    rule: the quadrature. others: the names of the components left aside.
    """

    run: str
    rate_unit: str
    perturbations: Array
    rates: Array
    rate_se: Array
    known_noise: bool
    volumes: Array
    unit: float
    rule: str
    others: tuple[str, ...]

    @classmethod
    @checked(run=an(Run), rule=one_of(*RULES))
    def of(cls, run: Run, rule: str = "spline") -> Readings:
        """Raises InputError where a component is missing or fewer than two perturbations are positive."""
        where = f"run {run.name}"
        missing = [role for role in ROLES if role not in run.components]
        if missing:
            raise InputError(
                f"no component {' and no '.join(missing)}",
                where=where,
                mend="a fit needs readings of pretrain, align and perturb",
            )
        if run.perturbations.size < 3:
            count = run.perturbations.size - 1
            raise InputError(
                f"{count} positive perturbation{'s' * (count != 1)}",
                where=where,
                mend="a fit of two volumes needs readings at two or more perturbations beside 0",
            )
        rows = [run.components.index(role) for role in ROLES]
        unit = float(run.perturbations[-1])
        errors = run.rate_se[rows]
        others = tuple(name for name in run.components if name not in ROLES)
        known = not bool(np.isnan(errors).any())
        readings = cls(
            run.name,
            run.rate_unit,
            run.perturbations / unit,
            run.rates[rows],
            errors if known else np.zeros_like(errors),
            known,
            run.volumes[rows],
            unit,
            rule,
            others,
        )._pooled()
        return readings if known else readings._with_noise()

    @classmethod
    def of_course(cls, course: Course) -> Readings:
        """The measure of a course in the place of the align rate: for the rival laws alone, R16 has nothing to read here.

        Volumes that the course does not have count as 0. Raises InputError where there are fewer than two positive perturbations.
        """
        if course.volumes.size < 3:
            raise InputError(
                f"{course.volumes.size} readings", where=f"run {course.run}", mend="laws are compared on three or more"
            )
        unit = float(course.volumes[-1])
        empty = np.zeros((3, course.volumes.size))
        rates, errors = empty.copy(), empty.copy()
        rates[1] = course.values
        known = course.known_errors and bool((course.errors > 0).all())
        errors[1] = course.errors if known else 0.0
        return cls(
            course.run, course.unit, course.volumes / unit, rates, errors, known,
            np.array([0.0, course.align or 0.0, unit]), unit, "spline", (),
        )._pooled()  # fmt: skip

    def _pooled(self) -> Readings:
        """At most `MOST_READINGS` readings beside the first: means of neighbours, as many in each, at the mean of their volumes.

        What that bends is below 1/24 of the squared width of a block times the curvature there.
        """
        count = self.perturbations.size - 1
        if count <= MOST_READINGS:
            return self
        first = 1 + np.arange(MOST_READINGS) * count // MOST_READINGS
        sizes = np.diff(np.append(first, count + 1))

        def means(values: Array) -> Array:
            return np.concatenate([values[..., :1], np.add.reduceat(values, first, axis=-1) / sizes], axis=-1)

        errors = np.sqrt(means(self.rate_se**2) / np.append(1, sizes))
        steps = means(self.perturbations)
        return replace(
            self,
            perturbations=steps / steps[-1],
            rates=means(self.rates),
            rate_se=errors,
            unit=self.unit * float(steps[-1]),
        )

    @property
    def changes(self) -> Array:
        """Delta gamma from the shared baseline reading, shape (3, J)."""
        return np.asarray(self.rates[:, 1:] - self.rates[:, :1])

    def balance(self) -> Balance:
        """The balance of R16: terms and their covariances.

        The differences of a component share its baseline reading; the work of the perturbation mixes all its readings;
        both are linear, so their covariances are exact for independent readings. The quadrature's doubt about a step
        (`Work.doubts`) counts as an independent error of twice its size, as far as it stands out from the noise in
        it (two standard deviations). The other rules are controls and are taken at their word.
        """
        steps, count = self.perturbations, self.perturbations.size
        size = np.maximum(np.abs(self.rates), 1e-3 * (np.abs(self.rates).max() or 1.0))
        pretrain, align, perturb = self.rate_se**2 + (ROUNDING * size) ** 2
        difference = np.hstack([-np.ones((count - 1, 1)), np.eye(count - 1)])
        if self.rule == "spline":
            rule = suited_work(steps, self.rates[2], perturb)
            work, squares = rule.operator, (rule.doubts @ self.rates[2]) ** 2
            doubt = 4.0 * np.where(squares > 4.0 * (rule.doubts**2 @ perturb), squares, 0.0).sum(0)
        else:
            work, doubt = work_operator(steps, self.rule), np.zeros(count - 1)
        so_far = np.tril(np.ones((count - 1, count - 1)))
        spread = (work * perturb) @ work.T + (so_far * doubt) @ so_far.T
        return Balance(
            np.stack([difference @ self.rates[0], difference @ self.rates[1], work @ self.rates[2]]),
            np.stack([(difference * pretrain) @ difference.T, (difference * align) @ difference.T, spread]),
        )

    def scatter(self) -> tuple[float, int]:
        """Chi-square of each component's readings about their own parabola in l (their line, for J < 4), and its freedom.

        Where rate_se is the error of a reading within the run, this is at least chi-square distributed, and more where
        the curve bends otherwise. Far below that, rate_se holds something that all readings of the run share. A
        component with a rate_se of 0 is left out; (0, 0) where the run gives none.
        """
        if not self.known_noise:
            return 0.0, 0
        degree = 2 if self.perturbations.size > 4 else 1
        powers = np.vander(self.perturbations, degree + 1)
        chi2, freedom = 0.0, 0
        for readings, errors in zip(self.rates, self.rate_se, strict=True):
            if (errors > 0).all():
                rows, wanted = powers / errors[:, None], readings / errors
                residual = wanted - rows @ np.linalg.lstsq(rows, wanted)[0]
                chi2, freedom = chi2 + float(residual @ residual), freedom + readings.size - degree - 1
        return chi2, freedom

    def _with_noise(self) -> Readings:
        """One sigma for every reading, with ``Q_min(sigma) = J - 2``; 0 where rounding and quadrature explain the residual.

        J = 2 leaves nothing to see it by: 0 then, and the intervals are open.
        """
        freedom = self.perturbations.size - 3
        if freedom == 0 or not self.changes.any() or estimate(self.balance()).deviance <= freedom:
            return self
        sigma = 1e-3 * float(np.abs(self.changes).max())
        best: Estimate | None = None
        for attempt in range(60):
            noisy = replace(self, rate_se=np.full_like(self.rates, sigma))
            balance = noisy.balance()
            if best is None or attempt < 2 or not np.isfinite(best.volumes).all():
                best = estimate(balance)
                deviance = best.deviance
            else:
                deviance = float(balance.polish(best.volumes[None])[2][0])
            factor = float(np.sqrt(max(deviance, 1e-12) / freedom))
            if abs(factor - 1.0) < 1e-3:
                break
            sigma *= factor
        return noisy
