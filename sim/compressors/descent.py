"""Joint training to near stationarity: AdamW, then L-BFGS, then Newton's method in the space of logits where the model can follow.

The objective is always ``F(theta) = -sum_cy T(c, y) ln p(y|c)``, T the table of a weighted mixture of the datasets: the whole
population at once, so that |grad F| says how far from a joint optimum theta is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from elastomath import InputError

if TYPE_CHECKING:
    from torch import Tensor

Logits: TypeAlias = "Callable[[Tensor], Tensor]"
"""Parameters (P,) to the logits of every context, (C, A)."""


@dataclass(frozen=True)
class Descent:
    """How an optimum was found, and how near it is.

    gradient   |grad F| at the end, in nats, F per unit of the total volume
    loss       F there, nats per leaf
    adamw, lbfgs, newton   steps of AdamW, evaluations of L-BFGS, steps of Newton's method
    stopped    ``tolerance`` where the gradient is below what was asked for, ``limit`` where the steps were used up, or
               ``stalled`` where nothing gets lower (rounding)
    """

    gradient: float
    loss: float
    adamw: int
    lbfgs: int
    newton: int
    stopped: str

    def as_dict(self) -> dict[str, float | str]:
        """The fields by name, as they go into JSON."""
        return asdict(self)


@dataclass(frozen=True)
class JointTraining:
    """How a joint optimum is looked for.

    tolerance  the norm of grad F (F per unit of total volume, nats) at which to stop
    adamw      steps of AdamW from the untrained state, with ``learning_rate`` falling along a cosine
    again      steps of AdamW from a warm start
    lbfgs      most evaluations of L-BFGS (strong Wolfe, ``history`` pairs)
    newton     most steps of `newton`, where the model may reach every table; 0 for none
    entries    most numbers that a Jacobian may have (8 bytes each)
    """

    tolerance: float = 1e-9
    adamw: int = 400
    again: int = 0
    learning_rate: float = 3e-3
    lbfgs: int = 150
    history: int = 50
    newton: int = 40
    entries: int = 80_000_000

    def __post_init__(self) -> None:
        counts = (self.adamw, self.again, self.lbfgs, self.newton, self.entries)
        if not (self.tolerance > 0 and self.learning_rate > 0 and min(counts) >= 0 and self.history >= 1):
            raise InputError(f"{self}", where="joint training", mend="tolerance and learning rate > 0, steps >= 0")


def minimise(theta: Tensor, logits: Logits, table: Tensor, how: JointTraining, warm: bool, reach: bool) -> Any:
    """``argmin F`` near theta: (theta, `Descent`). ``reach``: whether the model can represent any table (then Newton helps).

    table: (C, A), what follows each context, of total mass 1 on the first; a stationary point is all that is promised.
    """
    start = theta.detach().clone()
    used = {"adamw": 0, "lbfgs": 0, "newton": 0}
    stopped = "limit"
    count = how.again if warm else how.adamw
    if count:
        start, used["adamw"] = adamw(start, logits, table, how, count), count
    fits = reach and how.newton > 0 and table.numel() * start.numel() <= how.entries
    norm = _norm(start, logits, table)[1]
    if norm > how.tolerance and how.lbfgs and not (warm and fits):
        start, used["lbfgs"], stopped = lbfgs(start, logits, table, how)
    if fits and _norm(start, logits, table)[1] > how.tolerance:
        start, used["newton"], stopped = newton(start, logits, table, how)
    loss, norm = _norm(start, logits, table)
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise InputError(
            "the joint objective is not finite", where="transformer", mend="a smaller learning rate, or float64"
        )
    return start, Descent(norm, loss, **used, stopped="tolerance" if norm <= how.tolerance else stopped)


def objective(logits: Tensor, table: Tensor) -> Tensor:
    """``F = -sum_cy T(c, y) ln softmax(logits_c)_y``, nats per leaf."""
    return -(table * logits.log_softmax(-1)).sum()


def adamw(theta: Tensor, logits: Logits, table: Tensor, how: JointTraining, count: int) -> Tensor:
    """Full-batch AdamW without decay, the learning rate along a cosine to 0."""
    import torch

    leaf = theta.clone().requires_grad_(True)
    stepper = torch.optim.AdamW([leaf], lr=how.learning_rate, weight_decay=0.0, foreach=False)
    for step in range(count):
        stepper.param_groups[0]["lr"] = how.learning_rate * 0.5 * (1 + math.cos(math.pi * step / count))
        leaf.grad = _slope(leaf, logits, table)[1]
        stepper.step()
    return leaf.detach()


def lbfgs(theta: Tensor, logits: Logits, table: Tensor, how: JointTraining) -> tuple[Tensor, int, str]:
    """L-BFGS with strong Wolfe line searches, in stages, until |grad F| <= tolerance or a stage lowers nothing."""
    import torch

    leaf = theta.clone().requires_grad_(True)
    calls = 0
    settings: Any = {"history_size": how.history, "line_search_fn": "strong_wolfe", "tolerance_grad": 0.0}
    stepper = torch.optim.LBFGS([leaf], max_iter=25, tolerance_change=0.0, **settings)

    def close() -> Tensor:
        nonlocal calls
        calls += 1
        value, leaf.grad = _slope(leaf, logits, table)
        return value

    best, (loss, norm) = leaf.detach().clone(), _norm(leaf, logits, table)
    while calls < how.lbfgs:
        stepper.step(close)  # type: ignore[no-untyped-call]
        now, slope = _norm(leaf, logits, table)
        if not now < loss and not slope < norm:
            return best, calls, "stalled"
        best, loss, norm = leaf.detach().clone(), now, slope
        if norm <= how.tolerance:
            return best, calls, "tolerance"
    return best, calls, "limit"


def newton(theta: Tensor, logits: Logits, table: Tensor, how: JointTraining) -> tuple[Tensor, int, str]:
    """Newton's method on the logits, pulled back to the parameters: ``delta = J' (J J' + lambda B^-1)^-1 r``.

    u are the log-odds of each context against its first symbol, J = du/dtheta, B the Hessian of F in u (block diagonal),
    ``r = -B^-1 dF/du``: with lambda = 0 the shortest delta that makes Newton's step in u. lambda follows the gain (Levenberg,
    Marquardt). While the gradient falls, J is used again (a chord step costs one pass); a fresh J costs C (A - 1) backward passes.
    Quadratic where the model can represent T (then F has no second-order term of its own), and of little use where it cannot.
    """
    import torch

    mass = table.sum(1)
    occurring = mass > 0  # what follows a context that never comes is free
    mass, shares = mass[occurring], table[occurring]
    rounding = 4 * torch.finfo(table.dtype).eps
    best, (loss, norm) = theta.detach().clone(), _norm(theta, logits, table)
    damping, drop, steps = 1e-2, 8.0, 0
    jacobian = _log_odds_jacobian(best, logits, occurring)
    kernel, fresh = jacobian @ jacobian.T, True
    while steps < how.newton and norm > how.tolerance:
        with torch.no_grad():
            law = logits(best)[occurring].softmax(-1)
        excess = shares / (mass[:, None] * law)
        wish = (excess[:, 1:] - excess[:, :1]).reshape(-1)  # r = -B^-1 dF/du
        pull = (shares - mass[:, None] * law)[:, 1:].reshape(-1)  # B r = -dF/du
        inverse = _inverse_hessian(law, mass)
        lower = False
        while not lower and steps < how.newton and damping < 1e8:
            factor, failed = torch.linalg.cholesky_ex(kernel + damping * inverse)
            if not int(failed):
                answer = torch.cholesky_solve(wish[:, None], factor).squeeze(1)
                moved = kernel @ answer  # J delta
                tried = best + jacobian.T @ answer
                now, slope = _norm(tried, logits, table)
                promised = 0.5 * float(moved @ pull + damping * (moved @ answer))  # what a quadratic F would fall by
                steps += 1
                slack = rounding * (1 + abs(loss))
                lower = math.isfinite(slope) and (now < loss - slack or (now <= loss + slack and slope < norm))
            if not lower and not fresh:
                break
            if not lower:
                damping, drop = damping * 8, 1.5
        if not lower and fresh:
            return best, steps, "stalled" if damping >= 1e8 else "limit"
        worn = not lower or slope > 0.2 * norm
        if lower:
            gain = (loss - now) / promised if promised > slack else 1.0
            if gain > 0.75:
                damping, drop = max(damping / drop, 1e-14), min(2 * drop, 8.0)
            elif gain < 0.25:
                damping *= 2
            best, loss, norm = tried, now, slope
        if worn and norm > how.tolerance:
            jacobian = _log_odds_jacobian(best, logits, occurring)
            kernel = jacobian @ jacobian.T
        fresh = worn
    return best, steps, "limit"


def _slope(theta: Tensor, logits: Logits, table: Tensor) -> tuple[Tensor, Tensor]:
    """F and grad F at a leaf that asks for gradients."""
    import torch

    with torch.enable_grad():
        value = objective(logits(theta), table)
        (gradient,) = torch.autograd.grad(value, theta)
    return value.detach(), gradient


def _norm(theta: Tensor, logits: Logits, table: Tensor) -> tuple[float, float]:
    value, gradient = _slope(theta.detach().requires_grad_(True), logits, table)
    return float(value), float(gradient.norm())


def _log_odds_jacobian(theta: Tensor, logits: Logits, occurring: Tensor, chunk: int = 64) -> Tensor:
    """J = du/dtheta, shape (C (A - 1), P), in batches of ``chunk`` backward passes."""
    import torch

    leaf = theta.detach().requires_grad_(True)
    with torch.enable_grad():
        scores = logits(leaf)[occurring]
        odds = (scores[:, 1:] - scores[:, :1]).reshape(-1)
        rows = torch.empty(odds.numel(), leaf.numel(), dtype=leaf.dtype, device=leaf.device)
        for first in range(0, odds.numel(), chunk):
            last = min(first + chunk, odds.numel())
            asked = torch.zeros(last - first, odds.numel(), dtype=odds.dtype, device=odds.device)
            asked[:, first:last].fill_diagonal_(1.0)
            (rows[first:last],) = torch.autograd.grad(odds, leaf, asked, retain_graph=True, is_grads_batched=True)
    return rows


def _inverse_hessian(law: Tensor, mass: Tensor) -> Tensor:
    """B^-1, shape (C (A - 1),) * 2: for each context ``(diag(1/p_y) + 1/p_0)/W`` over the symbols but the first."""
    import torch

    blocks = (torch.diag_embed(1 / law[:, 1:]) + 1 / law[:, :1, None]) / mass[:, None, None]
    contexts, odds = blocks.shape[:2]
    whole = torch.zeros(contexts, odds, contexts, odds, dtype=law.dtype, device=law.device)
    index = torch.arange(contexts, device=law.device)
    whole[index, :, index, :] = blocks
    return whole.reshape(contexts * odds, contexts * odds)
