"""A figure for each result R1-R27, drawn from the library itself: seconds in all, and the same bytes each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..errors import InputError
from ..laws.finite import finite_law, mixture_constant, path_entropies
from ..laws.response import response
from ..mixtures.mixture import Mixture
from ..style import INK, STYLES, WIDTH, plain_ticks, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

    from ..laws.springs import Springs

HALVES = ((0.55, 0.25, 0.2), (0.3, 0.3, 0.4), (0.8, 0.2, 0.0))
"""Three leaves: D_p is half D_a and half D_t."""
THIRDS = ((0.6, 0.3, 0.1), (0.1, 0.6, 0.3), (0.3, 0.1, 0.6))
"""Three equal parts on three leaves."""
STEPS = np.linspace(0.0, 3.0, 61)


def _panels(count: int, height: float = 3.1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, [figure.add_subplot(1, count, index + 1) for index in range(count)]


FIGURES: dict[str, Callable[[], Figure]] = {}
"""The figure of each result, by id."""


def _result(panels: int = 1, height: float = 3.1) -> Callable[[Callable[..., None]], Callable[[], Figure]]:
    """The figure of the result that a function is called after; the function draws on so many panels."""

    def decorated(draw: Callable[..., None]) -> Callable[[], Figure]:
        @styled
        @wraps(draw)
        def drawn() -> Figure:
            figure, axes = _panels(panels, height)
            draw(*axes)
            return figure

        FIGURES[draw.__name__.upper()] = drawn
        return drawn

    return decorated


def _lines(
    axes: Axes,
    x: ArrayLike,
    rows: Sequence[tuple[str, Any]],
    labels: tuple[str, str],
    *,
    marks: int = 8,
    legend: bool = True,
) -> None:
    places = np.asarray(x, dtype=np.float64)
    for (label, y), (colour, marker, line) in zip(rows, STYLES, strict=False):
        every = max(1, places.size // marks)
        axes.plot(places, y, color=colour, ls=line, marker=marker, markevery=every, label=label)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    if legend:
        axes.legend(frameon=False, fontsize=8.5)


def _union(k: float, parts: ArrayLike = THIRDS) -> Mixture:
    rows = np.asarray(parts, dtype=np.float64)
    return Mixture.of([rows.mean(axis=0), rows[1], rows[2]], [k, 1.0, 0.0])


def _log(*both: XAxis | YAxis) -> None:
    """Logarithmic axes with plain numbers."""
    for axis in both:
        (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
        plain_ticks(axis)


@_result()
def r1(axes: Axes) -> None:
    """dH_i/dl of the three datasets against l."""
    start = _union(10.0)
    slopes = np.array([response(start.at(step)).derivatives for step in STEPS]).T
    _lines(
        axes,
        STEPS,
        list(zip(("pretrain", "align", "perturb"), slopes, strict=True)),
        ("l", "dH/dl, nats per unit of l"),
    )
    axes.axhline(0, color=INK, lw=0.8)


@_result()
def r2(axes: Axes) -> None:
    """The three forces k dH_p, dH_a, l dH_t, which add up to nothing."""
    start = _union(10.0)
    slopes = np.array([response(start.at(step)).derivatives for step in STEPS])
    forces = (slopes * np.column_stack([np.full(STEPS.size, 10.0), np.ones(STEPS.size), STEPS])).T
    rows = [*zip(("k dH_p", "dH_a", "l dH_t"), forces, strict=True), ("their sum", forces.sum(axis=0))]
    _lines(axes, STEPS, rows, ("l", "nats per unit of l"))


@_result()
def r3(axes: Axes) -> None:
    """The Theta constant 1/(1 - eps) along l, for three k."""
    steps = np.linspace(0.0, 0.45, 46)
    rows = [
        (f"k = {k:g}", [response(_union(k).at(step)).theta_constant for step in steps]) for k in (1.0, 10.0, 1000.0)
    ]
    _lines(axes, steps, rows, ("l", "-dH_a / (k dH_p)"))
    axes.axhline(1, color=INK, lw=0.8)


@_result(height=3.8)
def r4(axes: Axes) -> None:
    """Phase diagram of the signs over l and the overlap of D_a with D_t."""
    from matplotlib.colors import ListedColormap

    steps, shares, signs = phases()
    axes.pcolormesh(
        steps, shares, signs, cmap=ListedColormap(["#f2f2f2", "#b9cfe4", "#e8b48c"]), vmin=0, vmax=2, shading="nearest"
    )
    for level in (0.5, 1.5):
        axes.contour(steps, shares, signs, levels=[level], colors=INK, linewidths=1.2)
    for at, text in (((0.02, 0.03), "dH_p < 0\n< dH_a"), ((1.05, 0.1), "both rise"), ((0.9, 0.62), "dH_a < 0")):
        axes.text(*at, text, fontsize=9.5)
    axes.set_xlabel("l = |D_t| / |D_a|")
    axes.set_ylabel("share of D_a in D_t")


def phases(points: int = 81, k: float = 10.0) -> tuple[Array, Array, NDArray[np.int64]]:
    """Signs over l (columns) and the share s of D_a in D_t (rows): 0 as the theorem says, 1 both rise, 2 dH_a < 0 (R4).

    D_t is ``(1 - s) P_3 + s P_2`` with the three parts of `THIRDS`, D_a is P_2 and D_p the mean of P_1, P_2 and D_t.

    >>> steps, shares, signs = phases(5)
    >>> signs[0].tolist(), signs[-1].tolist()
    ([0, 0, 1, 1, 1], [2, 2, 2, 2, 2])
    """
    steps, shares = np.linspace(0.0, 2.0, points), np.linspace(0.0, 1.0, points)
    signs = np.zeros((points, points), dtype=np.int64)
    first, align, third = (np.asarray(row) for row in THIRDS)
    for row, share in enumerate(shares):
        perturb = (1.0 - share) * third + share * align
        start = Mixture.of([(first + align + perturb) / 3.0, align, perturb], [k, 1.0, 0.0])
        slopes = np.array([response(start.at(step)).derivatives for step in steps])
        signs[row] = np.where(slopes[:, 1] <= 0, 2, np.where(slopes[:, 0] >= 0, 1, 0))
    return steps, shares, signs


@_result(2)
def r5(left: Axes, right: Axes) -> None:
    """The residual against its bounds, and their ratio against the best constant."""
    start = _union(10.0)
    law = finite_law(STEPS, [10.0, 1.0], path_entropies(start, STEPS))
    best = np.array([mixture_constant(11.0, step) for step in STEPS])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = best / STEPS
    rows = [
        ("k DeltaH_p + DeltaH_a", law.residual),
        ("L/2 bound (mixtures)", law.upper / 2),
        ("L bound (any class)", law.upper),
    ]
    _lines(left, STEPS, rows, ("L", "volume x nats"))
    _lines(right, STEPS, [("residual / L bound", law.ratio), ("best constant c/L", share)], ("L", "no unit"))
    right.axhline(0.5, color=INK, lw=0.8)
    right.set_ylim(0, 0.6)


@_result()
def r6(axes: Axes) -> None:
    """Joint optima in a class of random models: the residual stays between its bounds, jumps included."""
    from ..laws.optima import joint_optima

    rng = np.random.default_rng(4)
    steps = np.linspace(0.0, 6.0, 121)
    centres = np.array([[0.0, 0.0], [1.0, 0.3], [-0.2, 1.2]])
    losses = 1.0 + ((rng.uniform(-0.5, 1.5, size=(60, 2)) - centres[:, None]) ** 2).sum(axis=2)
    _, rates = joint_optima(losses, [4.0, 1.0], steps)
    law = finite_law(steps, [4.0, 1.0], rates)
    rows = [("residual", law.residual), ("upper bound", law.upper), ("lower bound", np.zeros(steps.size))]
    _lines(axes, steps, rows, ("L", "volume x nats"))


@_result()
def r7(axes: Axes) -> None:
    """Linear term and elastic energy along a displacement from a stationary point; where they meet is the elastic limit."""
    start = _union(20.0).at(0.0)
    delta = np.log(np.asarray(THIRDS[2])) - np.log(start.masses)
    sizes = np.linspace(0.0, 0.6, 61)
    tilted = start.masses * np.exp(sizes[:, None] * delta)
    tilted /= tilted.sum(axis=1, keepdims=True)
    change = -(np.log(tilted) - np.log(start.masses)) @ start.components[:2].T
    energy, linear = change @ np.array([20.0, 1.0]), np.abs(change[:, 1])
    rows = [("energy 20 DeltaH_p + DeltaH_a", energy), ("linear term |DeltaH_a|", linear)]
    _lines(axes, sizes, rows, ("size of the displacement", "volume x nats"))


@_result()
def r8(axes: Axes) -> None:
    """Constant and threshold of the union law for three values of the rest R."""
    from ..laws.union import union_constant

    steps = np.linspace(0.0, 1.2, 121)
    rows = []
    for rest in (-1 / 3, 0.0, 1 / 3):
        constant = union_constant(30.0, steps, 1 / 3, 1 / 3, rest)
        rows.append((f"R' = {3 * rest:g}", np.where((constant > 0) & (constant < 12), constant, np.nan)))
    _lines(axes, steps, rows, ("l", "-dH_a / (k dH_p)"))
    axes.set_ylim(0, 12)


@_result()
def r9(axes: Axes) -> None:
    """A(infinity) of independent masses without the union: above 1 for every tail index, so that the signs fail (R9c)."""
    alpha = np.linspace(1.2, 6.0, 97)
    _lines(
        axes,
        alpha,
        [("alpha^2 / (alpha^2 - 1)", alpha**2 / (alpha**2 - 1))],
        ("tail index alpha", "A without the union"),
    )
    axes.axhline(1, color=INK, lw=0.8)
    axes.text(4.2, 1.3, "the signs need A < 1", fontsize=9.5)


@_result(2)
def r10(left: Axes, right: Axes) -> None:
    """1 - A and T against depth, mean of draws of Pareto masses, with the limit of many leaves."""
    from ..pareto.fluctuation import sampled_overlaps
    from ..pareto.law import Pareto
    from ..pareto.overlaps import equal_parts_overlap

    depths = np.arange(2, 13, 2)
    draws = sampled_overlaps(1.2, 4096, 60, merges=2 ** (12 - depths), seed=2)
    for axes, values, label in ((left, 1.0 - draws.align, "1 - A"), (right, draws.perturb, "T")):
        mean, se = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        axes.errorbar(depths, mean, yerr=2 * se, color=STYLES[0][0], marker="o", capsize=3, label="60 draws, 2 se")
        axes.set_xlabel("depth d (2^d leaves)")
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=8.5)
    limit = float(1 - equal_parts_overlap(Pareto(1.2), 3).value)
    left.axhline(limit, color=INK, lw=0.8, ls="--")
    left.text(2, limit + 0.01, "limit (R20)", fontsize=9)


@_result()
def r11(axes: Axes) -> None:
    """The response to one unit of perturbation rises, turns below k = 1 and falls as 1/k."""
    from ..pareto.law import Pareto
    from ..pareto.overlaps import expected_overlaps

    k = np.geomspace(0.02, 1000.0, 120)
    rows = []
    for alpha in (1.2, 2.0, 4.0):
        rows.append((f"alpha = {alpha:g}", (1.0 - expected_overlaps(Pareto(alpha), k, 0.0).align) / (k + 1.0)))
    _lines(axes, k, rows, ("k = |D_p| / |D_a|", "dH_a / dl, nats per unit of l"))
    _log(axes.xaxis, axes.yaxis)


@_result()
def r12(axes: Axes) -> None:
    """Sum of forces as a share of the largest: exact for the forward direction of the mixture, not for the reverse one."""
    from ..mixtures.pool import reverse_balance

    sizes = np.geomspace(0.02, 0.9, 40)
    flat = np.full(3, 1.0 / 3.0)
    misses, thirds = [], []
    for size in sizes:
        rows = [
            (1 - size) * flat + size * np.asarray(row) for row in ((0.5, 0.3, 0.2), (0.1, 0.6, 0.3), (0.2, 0.2, 0.6))
        ]
        balance = reverse_balance(Mixture.of(rows, [2.0, 1.0, 0.5]))
        misses.append(abs(balance.balance))
        thirds.append(float(np.abs(balance.terms).max()))
    _lines(
        axes, sizes, [("largest term", thirds), ("miss of the mixture", misses)], ("distance from a flat tree", "nats")
    )
    _log(axes.xaxis, axes.yaxis)


@_result(2)
def r13(left: Axes, right: Axes) -> None:
    """Score under joint compression for three alignment volumes, and the volume that undoes them."""
    from ..laws.rebound import Scores, return_volume, score

    scores, m = Scores(0.4, 1.0, 0.0), np.linspace(0.0, 4000.0, 81)
    rows = [(f"n = {n:,}", score(scores, 2000.0, n, m)) for n in (1000, 2000, 5000)]
    _lines(left, m, rows, ("opposed examples m", "score"))
    n = np.linspace(100.0, 10000.0, 50)
    turns = [
        ("exactly back", return_volume(scores, n)),
        ("within 0.05", return_volume(scores, n, 0.05, pretrain=2000.0)),
    ]
    _lines(right, n, turns, ("aligned examples n", "m* to undo them"))


@_result()
def r14(axes: Axes) -> None:
    """Residual, work and bound along the exact changes of Huffman's code."""
    from ..codes.path import code_path

    counts, volumes = [[9, 5, 3, 2, 1, 1], [1, 1, 9, 4, 2, 3], [1, 2, 1, 3, 9, 8]], [4, 1]
    ends = np.linspace(0.1, 8.0, 33)
    paths = [code_path(counts, volumes, end=Fraction(round(float(end) * 1000), 1000)) for end in ends]
    rows = [
        ("k DeltaE_p + DeltaE_a", [float(path.residual) for path in paths]),
        ("L (E_t(0) - E_t(L))", [float(path.bound) for path in paths]),
    ]
    _lines(axes, ends, rows, ("L", "volume x bits"))


@_result()
def r15(axes: Axes) -> None:
    """Huffman's bits a block less Thm 3.4's on random sources, inside (-1, 1)."""
    from ..codes.compression import entropy_ceiling
    from ..codes.lengths import huffman_lengths, total_length

    rng = np.random.default_rng(15)
    entropies, misses = [], []
    for _ in range(600):
        counts = rng.integers(1, 2 ** int(rng.integers(2, 16)), size=int(rng.integers(2, 24)))
        p = counts / counts.sum()
        entropies.append(float(-(p * np.log2(p)).sum()))
        misses.append(
            float(total_length(counts, huffman_lengths(counts))) / float(counts.sum()) - entropy_ceiling(counts)
        )
    axes.plot(entropies, misses, ls="none", marker=".", ms=4, color=STYLES[0][0])
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_xlabel("entropy of the leaves, bits")
    axes.set_ylabel("Huffman less Thm 3.4,\nbits a block")


@_result()
def r16(axes: Axes) -> None:
    """Work against the residual of any pair (K_p, K_a): the curve itself picks k = 10 and 1."""
    from ..laws.volumes import effective_volumes, mixture_work

    start, steps = _union(10.0), np.linspace(0.05, 3.0, 60)
    codes = path_entropies(start, np.concatenate([[0.0], steps]))
    changes, work = codes[:2, 1:] - codes[:2, :1], mixture_work(start, steps)
    fitted = effective_volumes(changes, work)
    rows = [
        ("work, int l (-dH_t)", work),
        (f"K = ({fitted.volumes[0]:.4f}, {fitted.volumes[1]:.4f})", fitted.volumes @ changes),
    ]
    rows += [("K = (10, 1.1)", np.array([10.0, 1.1]) @ changes), ("K = (9, 1)", np.array([9.0, 1.0]) @ changes)]
    _lines(axes, steps, rows, ("L", "volume x nats"))


@_result()
def r17(axes: Axes) -> None:
    """The ceiling ln(1 + L/N_0) for three volumes, and random perturbations under it."""
    from ..laws.ceilings import string_ceiling

    steps = np.linspace(0.0, 5.0, 51)
    rows = [(f"N_0 = {base:g}", [string_ceiling(base, step) for step in steps]) for base in (5.0, 11.0, 101.0)]
    _lines(axes, steps, rows, ("L", "DeltaH_a at most, nats"))
    rng = np.random.default_rng(17)
    for _ in range(150):
        parts, step = rng.dirichlet(np.full(6, 0.3), size=3), float(rng.uniform(0.1, 5.0))
        before, after = path_entropies(Mixture.of(parts, [10.0, 1.0, 0.0]), [0.0, step]).T
        axes.plot(step, after[1] - before[1], marker=".", ms=4, color=INK)
    axes.set_ylim(bottom=-0.05)


@_result()
def r18(axes: Axes) -> None:
    """The ratio on random halves between 1 and (1 + 2L/k)/(1 - L), and the best bounds of mixtures."""
    from ..laws.theorem import mixture_theta_bounds

    k, steps = 10.0, np.linspace(0.02, 0.9, 45)
    best = [mixture_theta_bounds(k, step) for step in steps]
    rows = [("1", np.ones(steps.size)), ("(1 + 2L/k)/(1 - L)", (1 + 2 * steps / k) / (1 - steps))]
    ends = np.array([[b.low, b.high] for b in best]).T
    rows += [("best for mixtures, low", ends[0]), ("best for mixtures, high", ends[1])]
    _lines(axes, steps, rows, ("L", "-DeltaH_a / (k DeltaH_p)"))
    rng = np.random.default_rng(18)
    for _ in range(150):
        align, perturb = rng.dirichlet(np.full(5, 0.6), size=2)
        step = float(rng.uniform(0.02, 0.9))
        before, after = path_entropies(
            Mixture.of([(align + perturb) / 2, align, perturb], [k, 1.0, 0.0]), [0.0, step]
        ).T
        axes.plot(step, -(after - before)[1] / (k * (after - before)[0]), marker=".", ms=4, color=INK)
    _log(axes.yaxis)
    axes.set_ylim(0.9, 12)


@_result()
def r19(axes: Axes) -> None:
    """kappa under forgetting against |D_p|, beside the joint law."""
    from ..laws.forgetting import elasticity_constant

    steps = np.geomspace(10.0, 1e5, 80)
    rows = [("joint compression", steps / 300.0)]
    rows += [(f"eta = {eta:g}", elasticity_constant(steps, 300.0, eta)) for eta in (1e-4, 1e-3, 3e-3)]
    _lines(axes, steps, rows, ("pre-training steps", "kappa = K_p / K_a"))
    _log(axes.xaxis, axes.yaxis)


@_result()
def r20(axes: Axes) -> None:
    """1 - A_3 and 1 - A_2 in closed form against the tail index."""
    from ..pareto.law import Pareto
    from ..pareto.overlaps import equal_parts_overlap

    alpha = np.linspace(1.05, 5.0, 80)
    rows = [(f"{parts} equal parts", 1 - equal_parts_overlap(Pareto(alpha), parts).value) for parts in (2, 3, 6)]
    _lines(axes, alpha, rows, ("tail index alpha", "1 - A"))


@_result(2)
def r21(left: Axes, right: Axes) -> None:
    """z up along alignment and down along the perturbation, with a plain integration beside it."""
    from ..laws.logit import aligned_contrast, perturbed_contrast, replayed_contrast

    volumes, c = np.geomspace(0.5, 1e4, 80), 0.3
    rows = [(f"z_0 = {start:g}", aligned_contrast(start, volumes, c)) for start in (-2.0, 0.0, 2.0)]
    _lines(left, volumes, [*rows, ("ln(c n)", np.log(c * volumes))], ("aligning examples n", "contrast z, nats"))
    _log(left.xaxis)
    left.set_ylim(-2.5, 8.5)
    opposed = np.linspace(0, 40, 81)
    tops = [(n, float(aligned_contrast(0.0, n, c))) for n in (8.0, 64.0, 512.0)]
    falls = [(f"after n = {n:g}", perturbed_contrast(top, opposed, c)) for n, top in tops]
    falls.append(("after 512, replay 1/4", replayed_contrast(tops[-1][1], opposed, c, 0.25)))
    _lines(right, opposed, falls, ("opposed examples m", ""))
    right.axhline(0, color=INK, lw=0.8)


@_result(2)
def r22(left: Axes, right: Axes) -> None:
    """m* against n under the laws and algorithms; the ratio of going back."""
    from ..laws.forgetting import return_steps
    from ..laws.logit import return_ratio, undo_volume
    from ..laws.preferences import dpo_undo_volume
    from ..laws.rebound import Scores

    n, c = np.geomspace(1, 1e5, 80), 0.3
    rows = [
        ("joint compression", n),
        ("forgetting, eta = c/4", return_steps(Scores(0.5, 1.0, 0.0), n, c / 4)),
        ("logit law", undo_volume(0.0, n, c)),
        ("logit law, DPO at 0.1", dpo_undo_volume(0.0, n, c, 0.1)),
    ]
    _lines(left, n, rows, ("aligning examples n", "undone by m*"))
    _log(left.xaxis, left.yaxis)
    left.set_ylim(0.05, 2000)
    low = np.linspace(0.02, 0.9, 60)
    ends = [(f"from p = {high:g}", np.where(low < high - 0.005, low, np.nan), high) for high in (0.5, 0.7, 0.9, 0.99)]
    ratios = [
        (label, np.array([float(return_ratio(x, high)) if x == x else np.nan for x in lows]))
        for label, lows, high in ends
    ]
    _lines(right, low, ratios, ("down to p", "cost of the way back / there"))
    right.axhline(1, color=INK, lw=0.8)
    _log(right.yaxis)


@_result()
def r23(axes: Axes) -> None:
    """The first fall in six measures against p, each over its largest."""
    from ..laws.logit import first_falls

    share = np.linspace(0.5, 0.999, 120)
    falls = first_falls(np.log(share / (1 - share)), 0.0, 0.3)
    names = {
        "contrast": falls.contrast,
        "code of y-": falls.opposed,
        "code of y+": falls.code_length,
        "probability": falls.probability,
        "KL(base || model)": falls.kl_forward,
        "KL(model || base)": falls.kl_reverse,
    }
    rows = [(name, value / value.max()) for name, value in names.items()]
    _lines(axes, share, rows, ("p after alignment (base: 1/2)", "first fall / its largest"), legend=False)
    axes.set_ylim(0, 1.35)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=3)


@_result(2)
def r24(left: Axes, right: Axes) -> None:
    """K_p and K_a against n, and their fall along the perturbation."""
    from ..laws.logit import aligned_contrast, matched_volumes, perturbed_contrast, rise, undo_volume

    n, c = np.geomspace(0.3, 1e4, 80), 0.3
    matched = matched_volumes(0.0, rise(0.0, n, c), c)
    rows = [("K_p", matched.pretrain), ("K_a", matched.align), ("nominal n", n), ("kappa", matched.kappa)]
    _lines(left, n, rows, ("aligning examples n", "volumes that count, kappa"))
    _log(left.xaxis, left.yaxis)
    left.set_ylim(1e-3, 2e4)
    for index, volume in enumerate((16.0, 64.0, 256.0)):
        colour, marker, line = STYLES[index]
        top, back = float(aligned_contrast(0.0, volume, c)), float(undo_volume(0.0, volume, c))
        m = np.linspace(0, back, 40)
        right.plot(
            m,
            matched_volumes(0.0, perturbed_contrast(top, m, c), c).align,
            color=colour,
            ls=line,
            marker=marker,
            markevery=8,
            label=f"n = {volume:g}",
        )
    right.set_xlabel("opposed examples m")
    right.set_ylabel("K_a")
    right.legend(frameon=False, fontsize=8.5)


@_result(2)
def r25(left: Axes, right: Axes) -> None:
    """The speed of alignment over c with mass outside the pair, and what that does to z."""
    from ..laws.logit import aligned_contrast
    from ..verification.logit import softmax_path

    z = np.linspace(-4, 6, 80)
    speed = 1 / (1 + np.exp(z))
    rows = [(f"e = {outside:g}", speed + outside * (1 - speed - 0.5)) for outside in (0.0, 0.1, 0.5, 0.9)]
    _lines(left, z, rows, ("contrast z", "dz/dn over c"))
    volumes = np.linspace(0, 200, 81)
    paths = [("logit law", aligned_contrast(0.0, volumes, 0.5))]
    paths += [
        (f"e = {outside:g} at first", softmax_path(0.0, outside, volumes, 0.25)[0]) for outside in (0.1, 0.5, 0.9)
    ]
    _lines(right, volumes, paths, ("aligning examples n", "z"))


@_result(2)
def r26(left: Axes, right: Axes) -> None:
    """m* against n under SGD and Adam, fresh and carried; Table 3's volumes beside Adam's."""
    from ..laws.optimisers import Optimiser, durability

    steps = [int(x) for x in np.unique(np.geomspace(8, 16384, 23).astype(int))]
    rows = [
        ("SGD", durability(Optimiser("sgd", rate=0.1), steps).undo),
        ("Adam, fresh", durability(Optimiser("adam"), steps).undo),
        ("Adam, carried", durability(Optimiser("adam", carried=True), steps).undo),
    ]
    _lines(left, steps, rows, ("aligning steps n", "undone by m* steps"))
    volumes = [16, 31, 78, 156]
    printed = {"Llama2-7B, printed": (961, 844, 801, 729), "Gemma-2B, printed": (923, 853, 709, 598)}
    shown = [
        (f"carried, rate {rate:g}", 64 * durability(Optimiser("adam", rate=rate, carried=True), volumes).undo)
        for rate in (0.31, 0.40)
    ]
    shown += [("fresh, rate 0.6", 64 * durability(Optimiser("adam", rate=0.6), volumes).undo)]
    examples = np.array([1000, 2000, 5000, 10000])
    _lines(right, examples, shown, ("aligned examples (batch 64)", "opposed examples"), legend=False)
    for marker, (name, values) in zip("x+", printed.items(), strict=True):
        right.plot(examples, values, ls="", marker=marker, ms=8, color=INK, label=name)
    right.legend(frameon=False, fontsize=7.5)
    for axes in (left, right):
        _log(axes.xaxis, axes.yaxis)
    right.set_ylim(350, 1500)


@_result()
def r27(axes: Axes) -> None:
    """The margin of simulated mixtures whose volumes count as w^beta: its peak is beta."""
    from ..laws.jointness import margins

    rng = np.random.default_rng(27)
    shares = np.stack([rng.dirichlet(np.full(8, size)) for size in rng.uniform(0.3, 2, 120)])
    common = rng.dirichlet(np.full(300, 0.3))
    rows = np.stack([0.5 * common + 0.5 * rng.dirichlet(np.full(300, 0.05)) for _ in range(8)])
    margins_of = {}
    for beta in (0.5, 1.0, 1.5):
        volumes = shares**beta
        model = 0.97 * (volumes / volumes.sum(axis=1, keepdims=True)) @ rows + 0.03 * common
        margins_of[f"w^{beta:g}"] = margins(shares, -np.log(model) @ rows.T)
    _margins(axes, margins_of)


@styled
def margin_figure(runs: dict[str, tuple[Array, Array]]) -> Figure:
    """The margin against the power beta for each family of runs, by name; below 0 no class has them as joint optima."""
    figure, (axes,) = _panels(1)
    _margins(axes, runs)
    return figure


def _margins(axes: Axes, runs: dict[str, tuple[Array, Array]]) -> None:
    (powers, _), *_ = runs.values()
    rows = [(name, margin) for name, (_, margin) in runs.items()]
    _lines(axes, powers, rows, ("volumes count as w^beta, beta", "margin"))
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_ylim(-0.5, 0.5)
    _log(axes.xaxis)


# Force against perturbation for the springs of a mixture, in both directions of the divergence (R12).


@styled
def springs_figure(course: Springs) -> Figure:
    """|D_i| Delta D(P_i || q) (left) and |D_i| Delta D(q || P_i) (right) of pre-training and alignment, and their sums."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    limit = course.elastic_limit()
    reverse = course.reverse_forces
    panels = [("D(data || model)", course.forces)] + ([] if reverse is None else [("D(model || data)", reverse)])
    for panel, (title, forces) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), panel)
        axes.set_title(title)
        rows = [("pre-training", forces[0]), ("alignment", forces[1]), ("sum", forces.sum(axis=0))]
        for (label, force), (colour, marker, line) in zip(rows, STYLES, strict=False):
            axes.plot(course.perturbations, force, color=colour, ls=line, marker=marker, markevery=8, label=label)
        axes.axhline(0, color=INK, lw=0.8)
        if limit is not None and panel == 1:
            axes.axvline(limit[1], color=INK, lw=0.8, ls=":")
            axes.text(limit[1], axes.get_ylim()[0], " elastic limit", fontsize=8.5, va="bottom")
        axes.set_xlabel("l = |D_t| / |D_a|")
        axes.set_ylabel("force, volume x nats" if panel == 1 else "")
        axes.legend(frameon=False, fontsize=8.5)
    return figure


# The token tree of a few responses (Def 3.1) and what pruning leaves of it (Def 3.3).

END = "\x03"
"""What stands for the end of a response, ETX: no response has it, as one may have a full stop."""


@styled
def tree_figure(responses: Sequence[str], cut: int) -> Figure:
    """Left the whole tree of a few short responses, right its top ``cut`` layers; a number is a node's count of responses.

    Circles are inner nodes, squares EOS leaves, triangles nodes below which something was cut: each carries the sum of what
    was below it. Raises InputError for no response, or for a cut below 1.
    """
    from matplotlib.figure import Figure

    if not responses or cut < 1:
        raise InputError(f"{len(responses)} responses, cut {cut}", where="tree figure", mend="give both, at least one")
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    depth = max(len(response) for response in responses) + 1
    for panel, (title, layers) in enumerate((("the token tree", depth), (f"pruned to {cut} layers", cut)), 1):
        axes = figure.add_subplot(1, 2, panel)
        axes.set_title(title)
        _draw(axes, counted(responses, layers), depth)
    return figure


def counted(responses: Sequence[str], layers: int) -> dict[str, int]:
    """The nodes of the tree cut at ``layers``: how many responses go through the prefix, or end there (prefix and `END`).

    >>> counted(["a", "ab", "ab"], 2)
    {'': 3, 'a': 3, 'a\\x03': 1, 'ab': 2}
    """
    nodes: Counter[str] = Counter()
    for one in responses:
        spelled = one + END
        nodes.update(spelled[:place] for place in range(min(layers, len(spelled)) + 1))
    return dict(sorted(nodes.items(), key=lambda node: (len(node[0]), node[0])))


def _draw(axes: Axes, nodes: dict[str, int], depth: int) -> None:
    children: dict[str, list[str]] = {node: [] for node in nodes}
    for node in nodes:
        if node:
            children[node[:-1]].append(node)
    places: dict[str, float] = {}

    def place(node: str) -> float:
        below = [place(child) for child in sorted(children[node])]
        places[node] = sum(below) / len(below) if below else float(sum(not children[n] and n in places for n in places))
        return places[node]

    place("")
    for node, count in nodes.items():
        x, y = places[node], -len(node)
        if node:
            axes.plot([places[node[:-1]], x], [y + 1, y], color=INK, lw=1.0, zorder=1)
            axes.text((places[node[:-1]] + x) / 2, y + 0.5, "EOS" if node[-1] == END else node[-1], fontsize=8, ha="center",
                      va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8}, zorder=2)  # fmt: skip
        ended, is_cut = node.endswith(END), not children[node] and not node.endswith(END)
        style = STYLES[1] if ended else STYLES[2] if is_cut else STYLES[0]
        axes.plot(
            x, y, marker="s" if ended else "^" if is_cut else "o", ms=13, color="white", mec=style[0], mew=1.5, zorder=3
        )
        axes.text(x, y - 0.02, str(count), fontsize=8.5, ha="center", va="center", zorder=4)
    axes.set_xlim(-0.7, max(places.values()) + 0.7)
    axes.set_ylim(-depth - 0.4, 0.5)
    axes.axis("off")
