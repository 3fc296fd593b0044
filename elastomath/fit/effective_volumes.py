"""R16 as a statistical model: the effective volumes of a curve by maximum likelihood, with an error on every reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..checks import SHARE, checked, integer, number

End = float | None
CONSTANTS: Final = ("pretrain", "align", "kappa")
"""What a run's balance measures: K_p, K_a and kappa = K_p/K_a."""
GRID: Final = 40
"""Points of a coarse grid, logarithmic, on which a minimum or an end is looked for before it is refined."""
TINY: Final = float(np.finfo(np.float64).tiny)
"""The smallest normal number, a divisor in place of 0."""
EPSILON: Final = 2.0 * float(np.finfo(np.float64).eps)
"""The share of the largest eigenvalue below which one of two is 0."""
QUARTERS: Final = 7
"""How often a step of scoring is tried, a quarter as long each time."""
FAR: Final = 1e120
"""Constants are looked for between 1/FAR and FAR: beyond it squares overflow, and 0 and infinity stand for what is left."""


@dataclass(frozen=True, slots=True)
class Balance:
    """The readings of a run as R16 sees them: ``K_p c_p + K_a c_a = c_t`` for the true values, J equations.

    terms: (3, J), c_p = D gamma_p, c_a = D gamma_a, c_t = W gamma_t, where D takes differences from the baseline and
    W is the work of the perturbation (`work_operator`). covariances: (3, J, J), of the three terms, positive definite:
    D Sig_p D', D Sig_a D' and W Sig_t W' plus the doubt about the quadrature.

    With Gaussian readings and the true values free under the J constraints, which are linear in them, the likelihood
    maximised over the true values leaves
    ``Q(K) = r' S^-1 r``, ``r = K_p c_p + K_a c_a - c_t``, ``S = K_p^2 S_p + K_a^2 S_a + S_t``:
    minus twice its logarithm, up to a constant. Q at the true K is chi-square with J degrees of freedom, exactly.
    """

    terms: Array
    covariances: Array

    @property
    def equations(self) -> int:
        """J, the number of positive perturbations."""
        return int(self.terms.shape[1])

    def deviance(self, volumes: Array) -> Array:
        """Q at K, shape (..., 2) -> (...)."""
        return _deviances(self.terms, self.covariances, volumes)

    def polish(self, start: Array, rounds: int = 30) -> tuple[Array, Array, Array]:
        """`_scored` from each K of start, shape (N, 2)."""
        alike = (len(start), *self.terms.shape), (len(start), *self.covariances.shape)
        return _scored(
            np.broadcast_to(self.terms, alike[0]), np.broadcast_to(self.covariances, alike[1]), start, rounds
        )

    def along(self, name: str, values: Array) -> tuple[Array, Array]:
        """Q profiled along one constant at values in [0, inf] (kappa) or [0, inf) (the volumes).

        name: one of `CONSTANTS`. values: (V,). Returns the profile (V,) and the K (V, 2) where it is reached (inf where K runs away).
        What is left is one unknown x >= 0 in ``(x b - c)' (x^2 B + C)^-1 (x b - c)``; B and C are brought to diagonal
        form together, and the sum of J rational terms is minimised on a grid and refined.
        """
        (p, a, t), (cov_p, cov_a, cov_t) = self._rotated()
        v = values[:, None]

        def squares(x: Array) -> Array:  # against a covariance, or its diagonal
            return x**2 if cov_p.ndim == 1 else x[..., None] ** 2

        # one unknown is left, x: Q = (x b - c)' (x^2 B + C)^-1 (x b - c)
        if name == "kappa":
            # the ray K = x (kappa, 1), or x (1, 1/kappa) beyond 1, so that neither component overflows
            far = np.isinf(v) | (v > 1)
            inverse = 1.0 / np.where(far, v, 1.0)
            sine, cosine = np.where(far, 1.0, v), np.where(far, inverse, 1.0)
            b, spread_b = sine * p + cosine * a, squares(sine) * cov_p + squares(cosine) * cov_a
            c, spread_c = np.broadcast_to(t, b.shape), np.broadcast_to(cov_t, spread_b.shape)
        else:
            # one volume is fixed and joins the work of the perturbation; the other is x
            fixed, free, cov_fixed, cov_free = (p, a, cov_p, cov_a) if name == "pretrain" else (a, p, cov_a, cov_p)
            c, spread_c = t - v * fixed, cov_t + squares(v) * cov_fixed
            b, spread_b = np.broadcast_to(free, c.shape), np.broadcast_to(cov_free, spread_c.shape)
        lowest, x = _pencil_minimum(b, spread_b, c, spread_c)
        if name == "kappa":
            ray = np.concatenate([sine, cosine], axis=1)
            return lowest, np.multiply(x[:, None], ray, out=np.zeros_like(ray), where=ray > 0)
        pair = (values, x) if name == "pretrain" else (x, values)
        return lowest, np.stack(pair, axis=-1)

    def _rotated(self) -> tuple[Array, Array]:
        """The terms and the covariances; where S_p = s S_a, as for errors that do not change along the run, those of the
        combinations of the equations in which S_t is 1 and S_a diagonal, by their diagonals, shape (3, J).
        """
        cov_p, cov_a, cov_t = self.covariances
        with np.errstate(all="ignore"):
            ratio = np.trace(cov_p) / np.trace(cov_a)
            alike = np.abs(cov_p - ratio * cov_a).max() <= 1e-12 * ratio * np.abs(cov_a).max()
        if not alike:
            return self.terms, self.covariances
        inverse = np.linalg.inv(np.linalg.cholesky(cov_t))
        weights, basis = np.linalg.eigh(inverse @ cov_a @ inverse.T)
        weights = np.maximum(weights, TINY)
        return self.terms @ (basis.T @ inverse).T, np.stack([ratio * weights, weights, np.ones_like(weights)])

    def at_infinity(self, name: str) -> float:
        """The profile as K_p or K_a grows without bound: the work of the perturbation does not count, the other is free."""
        fixed, free = (0, 1) if name == "pretrain" else (1, 0)
        b, spread_b = self.terms[None, free], self.covariances[None, free]
        lowest, _ = _pencil_minimum(b, spread_b, -self.terms[None, fixed], self.covariances[None, fixed])
        return float(lowest[0])

    def span(self, name: str) -> tuple[float, float]:
        """A range of values wider than any at which the profile along a constant still has structure."""
        size = np.sqrt(self.terms**2 + np.diagonal(self.covariances, axis1=1, axis2=2))  # signal or noise, the larger
        over, under = {"pretrain": (2, 0), "align": (2, 1), "kappa": (1, 0)}[name]
        return 1e-2 * size[over].min() / size[under].max(), 1e2 * size[over].max() / size[under].min()


def _whitened(terms: Array, covariances: Array, volumes: Array) -> tuple[Array, Array, Array]:
    """r, S and S^-1 r at K, shape (..., 2), of one balance, terms (3, J), or of as many as there are K, terms (N, 3, J)."""
    point = np.concatenate([volumes, -np.ones((*volumes.shape[:-1], 1))], axis=-1)
    if terms.ndim == 2:
        residual, spread = point @ terms, np.asarray(np.tensordot(point**2, covariances, axes=1))
    else:
        residual = (point[:, None] @ terms)[:, 0]
        count, equations = residual.shape
        flat = covariances.reshape(count, 3, equations**2)
        spread = ((point**2)[:, None] @ flat).reshape(count, equations, equations)
    return residual, spread, np.asarray(np.linalg.solve(spread, residual[..., None])[..., 0])


def _scored(terms: Array, covariances: Array, start: Array, rounds: int = 30) -> tuple[Array, Array, Array]:
    """Fisher scoring with K >= 0 of N balances of J equations side by side, each from its start.

    terms (N, 3, J), covariances (N, 3, J, J), start (N, 2). Returns the local minimum of Q, (N, 2), the information matrix there,
    (N, 2, 2), and Q, (N,). The gradient is ``2 G' S^-1 r`` with ``G_i = c_i - K_i S_i S^-1 r``, the differences freed of their noise.
    A balance that is done leaves the next round.
    """
    volumes = np.maximum(np.asarray(start, dtype=np.float64), 0.0)
    information = np.zeros((len(volumes), 2, 2))
    residual, spread, whitened = _whitened(terms, covariances, volumes)
    value = (residual * whitened).sum(-1)
    live = np.arange(len(volumes))
    for _ in range(rounds):
        here, differences, noise = volumes[live], terms[live], covariances[live]
        # half the gradient and the information, with the volumes at 0 that want to fall held there
        freed = differences[:, :2] - here[..., None] * (noise[:, :2] @ whitened[:, None, :, None])[..., 0]
        slope = (freed @ whitened[..., None])[..., 0]
        information[live] = normal = freed @ np.linalg.solve(spread, freed.swapaxes(-1, -2))
        free = (here > 0) | (slope < 0)
        inner = np.where(free[:, :, None] & free[:, None, :], normal, 0.0)
        sizes, axes = np.linalg.eigh(inner)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.where(
                sizes > EPSILON * sizes[:, 1:], 1.0 / sizes, 0.0
            )  # of least norm where inner is singular
        along = (axes.swapaxes(-1, -2) @ np.where(free, slope, 0.0)[..., None])[..., 0]
        step = -(axes @ (inverse * along)[..., None])[..., 0]
        worth = ~(-(slope * step).sum(-1) < 1e-12 * np.maximum(1.0, value[live]))  # what the step can gain
        live, step, here = live[worth], step[worth], here[worth]
        if not live.size:
            break
        # a step that does not lower Q is quartered
        before, waits = value[live], np.ones(live.size, dtype=bool)
        for quarter in range(QUARTERS):
            some = live[waits]
            trial = np.maximum(here[waits] + step[waits] * 0.25**quarter, 0.0)
            new = _deviances(terms[some], covariances[some], trial)
            lower = new < value[some]
            volumes[some[lower]], value[some[lower]] = trial[lower], new[lower]
            waits[waits] = ~lower
            if not waits.any():
                break
        live = live[~waits & (before - value[live] >= 1e-10 * np.maximum(1.0, value[live]))]
        if not live.size:
            break
        residual, spread, whitened = _whitened(terms[live], covariances[live], volumes[live])
    return volumes, information, value


def _deviances(terms: Array, covariances: Array, volumes: Array) -> Array:
    """Q at K, of the balances that `_whitened` takes, (...)."""
    residual, _, whitened = _whitened(terms, covariances, volumes)
    return np.asarray((residual * whitened).sum(-1))


@dataclass(frozen=True, slots=True)
class _Pencil:
    """``Q(x) = (x b - c)' (x^2 B + C)^-1 (x b - c)`` in the coordinates in which B and C are diagonal together.

    There ``Q(x) = sum_j (x beta_j - gamma_j)^2/(1 + x^2 w_j)``: J rational terms. V rows at once, all arrays (V, J).
    """

    beta: Array
    gamma: Array
    weights: Array

    @classmethod
    def diagonalise(cls, b: Array, spread_b: Array, c: Array, spread_c: Array) -> _Pencil:
        """C = L L' becomes the identity, then the eigenvectors of L^-1 B L'^-1 make B diagonal: its eigenvalues are w.

        B and C that are given by their diagonals (V, J) are divided by C.
        """
        if spread_c.ndim == 2:
            root = np.sqrt(spread_c)
            return cls(b / root, c / root, np.maximum(spread_b / spread_c, TINY))
        inverse = np.linalg.inv(np.linalg.cholesky(spread_c))
        weights, basis = np.linalg.eigh(inverse @ spread_b @ inverse.swapaxes(-1, -2))
        rotate = basis.swapaxes(-1, -2) @ inverse
        return cls((rotate @ b[..., None])[..., 0], (rotate @ c[..., None])[..., 0], np.maximum(weights, TINY))

    def __call__(self, x: Array) -> Array:
        """Q at x, (V, G) -> (V, G)."""
        gap = x[..., None] * self.beta[:, None] - self.gamma[:, None]
        return np.asarray((gap**2 / (1.0 + x[..., None] ** 2 * self.weights[:, None])).sum(-1))

    def at_infinity(self) -> Array:
        """The limit of Q as x grows without bound, (V,)."""
        return np.asarray((self.beta**2 / self.weights).sum(-1))

    def derivatives(self, x: Array) -> tuple[Array, Array]:
        """Q' and Q'' at x, (V,) -> (V,) each."""
        x = x[:, None]
        gap, scale = x * self.beta - self.gamma, 1.0 + x**2 * self.weights
        # d/dx of one term is 2 gap (beta scale - x w gap)/scale^2, and the bracket is beta + x w gamma
        bracket = self.beta + x * self.weights * self.gamma
        first = 2.0 * (gap * bracket / scale**2).sum(-1)
        second = 2.0 * (
            (self.beta * bracket + gap * self.weights * self.gamma) / scale**2
            - 4.0 * gap * bracket * x * self.weights / scale**3
        ).sum(-1)
        return first, second

    def least_squares(self) -> Array:
        """A guess of the minimum, (V,): least squares with the noise of c alone, then with the noise at the guess."""
        product, square = self.beta * self.gamma, self.beta**2
        guess = product.sum(-1) / np.maximum(square.sum(-1), TINY)
        for _ in range(2):
            precision = 1.0 / (1.0 + np.maximum(guess, 0.0)[:, None] ** 2 * self.weights)
            guess = (product * precision).sum(-1) / np.maximum((square * precision).sum(-1), TINY)
        return np.asarray(np.maximum(guess, 0.0))

    def grid(self) -> Array:
        """0, the guess, and a logarithmic grid over all scales of Q, in rising order: (V, GRID + 2).

        A term has two scales: gamma/beta, where it is 0 (if that is positive), and 1/sqrt(w), where its noise turns
        from that of c to that of x b.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            zeros = np.where(self.beta * self.gamma > 0, self.gamma / self.beta, np.nan)
        turns = 1.0 / np.sqrt(self.weights)
        scales = np.concatenate([np.where(np.isfinite(zeros) & (zeros > 0), zeros, turns), turns], axis=1)
        low, high = np.log(scales.min(1)) - 4.0, np.log(scales.max(1)) + 4.0
        points = np.exp(low[:, None] + (high - low)[:, None] * np.linspace(0, 1, GRID))
        return np.sort(np.concatenate([np.zeros((len(low), 1)), points, self.least_squares()[:, None]], axis=1), axis=1)

    def bracket_minimum(self) -> tuple[Array, Array, Array, Array]:
        """The lowest point of the grid, Q there, and its two neighbours, after the grid has closed in on it twice: (V,) each."""
        grid, rows = self.grid(), np.arange(len(self.beta))
        for round_ in range(3):
            values = self(grid)
            lowest = values.argmin(1)
            x, value = grid[rows, lowest], values[rows, lowest]
            left = grid[rows, np.maximum(lowest - 1, 0)]
            right = grid[rows, np.minimum(lowest + 1, grid.shape[1] - 1)]
            if round_ < 2:
                grid = left[:, None] + (right - left)[:, None] * np.linspace(0, 1, 9)
                grid[:, 4] = x  # the best point so far stays, wherever it lies between its neighbours
                grid.sort(axis=1)
        return x, value, left, right

    def refine_by_newton(self, x: Array, value: Array, left: Array, right: Array) -> tuple[Array, Array]:
        """Four Newton steps within [left, right] from x, each taken only where it lowers Q: x and Q, (V,) each."""
        for _ in range(4):
            slope, curvature = self.derivatives(x)
            with np.errstate(divide="ignore", invalid="ignore"):
                trial = np.clip(np.where(curvature > 0, x - slope / curvature, x), left, right)
            new = self(trial[:, None])[:, 0]
            better = new < value
            x, value = np.where(better, trial, x), np.where(better, new, value)
        return x, value


def _pencil_minimum(b: Array, spread_b: Array, c: Array, spread_c: Array) -> tuple[Array, Array]:
    """min over x in [0, inf] of ``(x b - c)' (x^2 B + C)^-1 (x b - c)``: the minimum and x, shapes (V,).

    b, c: (V, J). B, C: (V, J, J), positive definite, or the diagonals of such, (V, J).
    """
    pencil = _Pencil.diagonalise(b, spread_b, c, spread_c)
    x, value = pencil.refine_by_newton(*pencil.bracket_minimum())
    # Q has a limit at infinity, which may lie below every finite value: then no finite x is best
    limit = pencil.at_infinity()
    away = limit < value
    return np.where(away, limit, value), np.where(away, np.inf, x)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The minimum of Q over K >= 0.

    volumes: K_p, K_a (inf where no finite volume is best). kappa: their ratio (inf where K_a is 0). deviance: Q there.
    spread: first guesses of the standard errors of the logarithms of K_p, K_a, kappa; nan where there is none.
    """

    volumes: Array
    kappa: float
    deviance: float
    spread: Array


def estimate(balance: Balance) -> Estimate:
    """argmin of Q over K_p, K_a >= 0: the lowest minima of a coarse profile over kappa, polished by Fisher scoring."""
    return _polished(balance, *_profile(balance))


def _profile(balance: Balance) -> tuple[Array, Array, Array]:
    """The profile over kappa: kappa (V,), rising from 0 to inf, Q, and the K (V, 2) where it is reached; finer near several minima."""
    grid = np.concatenate([[0.0], np.geomspace(*balance.span("kappa"), GRID), [np.inf]])
    values, points = balance.along("kappa", grid)
    minima = _lowest_minima(values)
    if minima.size > 1 or not np.isfinite(points[minima]).all():
        # weak data: several minima, or one at infinity, which scoring does not reach; look closer between the neighbours
        inner = np.clip(minima, 1, GRID)
        ratios = np.concatenate([np.geomspace(grid[max(i - 1, 1)], grid[min(i + 1, GRID)], 17) for i in inner])
        for _ in range(2):
            finer, places = balance.along("kappa", ratios)
            grid, values = np.concatenate([grid, ratios]), np.concatenate([values, finer])
            points = np.concatenate([points, places])
            step = ratios[1] / ratios[0]
            ratios = np.concatenate([r * np.geomspace(step**-1.0, step, 9) for r in ratios[_lowest_minima(finer)]])
        order = np.argsort(grid, kind="stable")
        grid, values, points = grid[order], values[order], points[order]
    return grid, values, points


def _polished(balance: Balance, grid: Array, values: Array, points: Array) -> Estimate:
    """The lowest point of a profile, or what scoring from one of its minima finds below it."""
    minima = _lowest_minima(values)
    # the lowest point of the profile stands unless scoring from a minimum finds a lower one
    first = int(minima[0])
    best = Estimate(points[first], float(grid[first]), float(values[first]), np.full(3, np.nan))
    for volumes, information, value in zip(
        *balance.polish(points[minima[np.isfinite(points[minima]).all(1)]]), strict=True
    ):
        if value < best.deviance + (1e-9 if np.isnan(best.spread).all() else 0.0):
            pretrain, align = volumes.tolist()
            kappa = pretrain / align if align > 0 else float("inf")
            best = Estimate(volumes, kappa, float(value), _log_spread(volumes, information))
    return best


def estimates_without(balance: Balance, parts: Sequence[NDArray[np.intp]]) -> list[tuple[float, float]]:
    """K_a and kappa from all equations but those of each part, (inf, kappa) where no finite volume is best.

    Equations P that are left out lower Q by ``u_P' ((S^-1)_PP)^-1 u_P, u = S^-1 r``, exactly: the profile of all equations, asked
    once, has a candidate for every part, from which scoring on the rest goes on.
    """
    grid, values, points = _profile(balance)
    best = _polished(balance, grid, values, points)
    finite = np.isfinite(points).all(1)
    starts = points[finite]
    if np.isfinite(best.volumes).all():
        starts = np.concatenate([starts, best.volumes[None]])
    without = _deviances_without(parts, *_whitened(balance.terms, balance.covariances, starts)[:2])
    # along each kappa towards infinity, where the work of the perturbation does not count
    far = grid > 1
    inverse = 1.0 / np.where(far, grid, 1.0)
    ray = np.stack([np.where(far, 1.0, grid), np.where(far, inverse, 1.0)], axis=1)
    spread = np.tensordot(ray**2, balance.covariances[:2], axes=1)
    limits = _deviances_without(parts, ray @ balance.terms[:2], np.asarray(spread))
    away = limits.argmin(0)
    # the parts of one size are scored side by side
    volumes, lowest = np.zeros((len(parts), 2)), np.full(len(parts), np.inf)
    sizes = np.array([part.size for part in parts])
    for size in np.unique(sizes) if len(starts) else ():
        alike = np.flatnonzero(sizes == size)
        rest = np.array([np.delete(np.arange(balance.equations), parts[index]) for index in alike.tolist()])
        terms = balance.terms[:, rest].swapaxes(0, 1)
        covariances = balance.covariances[:, rest[:, :, None], rest[:, None, :]].swapaxes(0, 1)
        volumes[alike], _, lowest[alike] = _scored(terms, covariances, starts[without[:, alike].argmin(0)], rounds=10)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.where(volumes[:, 1] > 0, volumes[:, 0] / volumes[:, 1], np.inf)
    finite = limits[away, np.arange(len(parts))] >= lowest
    return list(
        zip(np.where(finite, volumes[:, 1], np.inf).tolist(), np.where(finite, kappa, grid[away]).tolist(), strict=True)
    )


def _deviances_without(parts: Sequence[NDArray[np.intp]], residual: Array, spread: Array) -> Array:
    """Q of residuals (N, J) and covariances (N, J, J) without each part: (N, parts)."""
    precision = np.linalg.inv(spread)
    whitened = (precision @ residual[..., None])[..., 0]
    whole = (residual * whitened).sum(-1)
    columns = []
    for part in parts:
        block, gone = precision[:, part[:, None], part[None, :]], whitened[:, part]
        columns.append(whole - (gone * np.linalg.solve(block, gone[..., None])[..., 0]).sum(-1))
    return np.stack(columns, axis=1)


def _lowest_minima(values: Array) -> NDArray[np.intp]:
    """Indices of the three lowest local minima of a profile, the lowest first."""
    padded = np.concatenate([[np.inf], values, [np.inf]])
    minima = np.flatnonzero((values <= padded[:-2]) & (values <= padded[2:]))
    return minima[np.argsort(values[minima], kind="stable")][:3]


def _log_spread(volumes: Array, information: Array) -> Array:
    """Standard errors of ln K_p, ln K_a and ln kappa from the information matrix; nan where a volume is 0."""
    if not (volumes > 0).all() or not np.isfinite(information).all():
        return np.full(3, np.nan)
    inner = information * np.outer(volumes, volumes)  # of the logarithms
    scale = 1.0 / np.sqrt(np.maximum(np.diag(inner), TINY))
    spread = np.linalg.pinv(inner * np.outer(scale, scale), hermitian=True) * np.outer(scale, scale)
    directions = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    return np.asarray(np.sqrt(np.maximum(np.einsum("di,ij,dj->d", directions, spread, directions), 0.0)))


def interval(
    balance: Balance, best: Estimate, name: str, level: float, known_noise: bool = True, rise: float | None = None
) -> tuple[End, End]:
    """The values of one constant that a conditional likelihood-ratio test at 1 - level does not reject, as an interval.

    ``{v: Q(v) - Q_min <= c}``, Q(v) the profile, with c from `critical_rise`, or the given ``rise``. The outermost ends are
    given; an end is None where the set reaches 0 or runs to infinity.

    Where the constants are well measured c is the usual chi-square quantile with one degree of freedom (F where the
    size of the noise is estimated). Where the noise is as large as the changes, that quantile is far too small: at
    95% and 11 equations it covered in 71% of simulated curves, the conditional one in 95 to 99% (see the tests).
    """
    # the profile on a grid, closer where the estimate and its standard error say that the ends may be
    position = CONSTANTS.index(name)
    centre = best.kappa if name == "kappa" else float(best.volumes[position])
    spread = float(best.spread[position])
    grid = np.geomspace(*balance.span(name), GRID)
    if np.isfinite(centre) and centre > 0 and np.isfinite(spread) and spread > 0:
        near = spread * 2.0 ** np.arange(-2.0, 8.0)
        near = near[near < 50.0]
        grid = np.concatenate([grid, [centre], centre * np.exp(near), centre * np.exp(-near)])
    grid = np.unique(grid[(grid > 1.0 / FAR) & (grid < FAR)])
    if name == "kappa":
        values = balance.along(name, np.concatenate([[0.0], grid, [np.inf]]))[0]
    else:
        values = np.append(balance.along(name, np.concatenate([[0.0], grid]))[0], balance.at_infinity(name))
    grid = np.concatenate([[0.0], grid, [np.inf]])
    # what the test does not reject
    if rise is None:
        rise = critical_rise(float(values.max()), balance.equations, level, known_noise)
    ceiling = best.deviance + rise
    inside = np.flatnonzero(values <= ceiling)
    if inside.size == 0:  # only rounding can do this: the minimum lies between two points of the grid
        return None, None
    first, last = int(inside[0]), int(inside[-1])
    # an end lies between a value that is rejected and its neighbour that is not; a set that reaches 0 or infinity has none
    low = (float(grid[first - 1]), float(grid[first])) if first > 1 else None
    high = (float(grid[last + 1]), float(grid[last])) if last < grid.size - 2 else None
    # where 0 or infinity alone is not rejected, its neighbour on the grid, which is, bounds the set
    brackets = [bracket for bracket in (low, high) if bracket is not None and 0.0 < bracket[1] < np.inf]
    ends = dict(zip(brackets, _ends(balance, name, ceiling, np.array(brackets)), strict=True)) if brackets else {}
    low_end, high_end = (None if bracket is None else ends.get(bracket, bracket[0]) for bracket in (low, high))
    return low_end, high_end


def _ends(balance: Balance, name: str, ceiling: float, brackets: Array) -> list[float]:
    """Where the profile meets the ceiling, for brackets (outside, inside), shape (E, 2): three rounds of nine points."""
    rows = np.arange(len(brackets))
    for _ in range(3):
        points = np.geomspace(brackets[:, 0], brackets[:, 1], 9, axis=1)
        below = balance.along(name, points.ravel())[0].reshape(points.shape) <= ceiling
        below[:, -1] = True
        index = np.maximum(below.argmax(1), 1)
        brackets = np.stack([points[rows, index - 1], points[rows, index]], axis=1)
    return [float(inside) for inside in brackets[:, 1]]


@checked(highest=number(least=0.0, finite=False), equations=integer(least=2), level=SHARE)
def critical_rise(highest: float, equations: int, level: float, known_noise: bool = True) -> float:
    """How far Q may rise above its minimum before a value is rejected, given how far it rises at all.

    Constants that enter a balance are as hard to test as coefficients on noisy regressors: the law of the likelihood
    ratio depends on how well they are identified. Conditionally on that strength s it is known for one constant
    (Moreira, Econometrica 2003): with m = J - 2, a ~ chi2(m), b ~ chi2(1) independent,
    ``rise = (a + b - s + sqrt((a + b + s)^2 - 4 a s))/2``, between chi2(1) (s = inf) and chi2(m + 1) (s = 0), and
    s + (a + b) is the sum of the largest and the smallest Q. So s = highest - rise, and the critical rise c solves
    ``c = quantile(level; s = highest - c)``. For K_p and K_a, profiled over the other one, and for unequal
    covariances, it is an approximation; its coverage is tested.

    With the size of the noise estimated from Q_min = a + b - rise the same quantile is taken of rise m / Q_min, and
    Q is in units of the estimate. Returns inf where no rise is too far (m = 0 and noise unknown).

    >>> round(critical_rise(1e9, 11, 0.95), 2), round(critical_rise(25.0, 11, 0.95), 2)
    (3.84, 6.93)
    """
    freedom = equations - 2
    if freedom == 0 and not known_noise:
        return float("inf")
    strengths, quantiles = _conditional_quantiles(freedom, level, known_noise)
    rise = float(quantiles[-1])
    for _ in range(100):
        last, rise = rise, float(np.interp(max(highest - rise, 0.0), strengths, quantiles))
        if rise - last <= 1e-6 * rise:
            break
    return rise


@lru_cache(maxsize=64)
def _conditional_quantiles(freedom: int, level: float, known_noise: bool) -> tuple[Array, Array]:
    """Strengths s of the evidence, and the quantile of the rise of Q above its minimum given each, on a grid.

    The rise r solves ``b = r (1 - a/(r + s))`` and rises with b, so that ``P(rise <= r) = E_a F_b(r (1 - a/(r + s)))``; with the noise
    estimated r is counted in units of ``Q_min/m = a s/((r + s) m)``, and the rise that is c of them solves ``r (r + s) = c a s/m``.
    The mean is over 100 quantiles of a, and the quantile by bisection.
    """
    from scipy.special import chdtri, erf, fdtri

    a = chdtri(freedom, 1.0 - (np.arange(100) + 0.5) / 100) if freedom else np.zeros(1)
    strengths = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 70)])
    s = strengths[1:, None]  # nothing but noise has a law of its own
    least, most = chdtri(1, 1.0 - level), chdtri(freedom + 1, 1.0 - level)
    low, high = (np.full(s.shape, np.log(end)) for end in (least / 2, 2 * most if known_noise else 1e20))
    for _ in range(30 if known_noise else 40):
        middle = (low + high) / 2
        rise = np.exp(middle)
        if not known_noise:
            rise = 2.0 * rise * a / freedom / (1.0 + np.sqrt(1.0 + 4.0 * rise * a / (freedom * s)))
        share = erf(np.sqrt(np.maximum(rise * (0.5 - 0.5 * a / (rise + s)), 0.0))).mean(1, keepdims=True)
        low, high = np.where(share < level, middle, low), np.where(share < level, high, middle)
    quantiles = np.exp(high[:, 0])
    nothing = most if known_noise else most * freedom / 1e-12
    quantiles[-1] = least if known_noise else fdtri(1, freedom, level)
    return strengths, np.append(nothing, quantiles)
