"""The transformer compressor: a small causal network, trained jointly to near stationarity or in sequence, with exact entropies."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import choice, positive, whole

from ..sources.problem import Problem
from .contexts import Contexts
from .descent import Descent, JointTraining, minimise
from .mixture import checked_step, checked_volumes
from .networks import NetworkSize, build, size_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class TransformerState:
    """What the network knows; nothing in it is ever changed in place.

    theta          (P,), all parameters one after another (`TransformerCompressor.tensors` names them)
    moments        AdamW's two moments, (P,) each; None where the next step starts with fresh ones
    steps          steps that the moments have seen
    drawn          sequences drawn so far: with the seed it says which come next
    phase          the dataset trained on last, None before any
    descent        how a joint optimum was found, None elsewhere
    """

    theta: Tensor
    moments: tuple[Tensor, Tensor] | None = None
    steps: int = 0
    drawn: int = 0
    phase: int | None = None
    descent: Descent | None = None


@dataclass(frozen=True, eq=False)
class TransformerCompressor:
    """A causal transformer over the symbols of the problem after a beginning-of-sequence token (`SIZES`).

    ``q(x) = prod_t p(x_t | x_1 ... x_(t-1))``; ``H_i = -sum_x P_i(x) ln q(x)`` is summed over all leaves, reading every context
    once (`Contexts.layout`). R5, R6, R7 and R16 speak of its joint optima; whether training finds them is measured.

    size, seed      of the network and of its initial weights and draws
    examples        sequences that one unit of volume stands for in sequential training
    batch           sequences a step; the last step of a volume may have fewer
    learning_rate   of AdamW in sequential training, constant
    weight_decay    of AdamW in sequential training
    optimiser       ``continued``: the moments go on over all phases; ``fresh``: each phase (change of dataset) starts new ones
    joint           how joint optima are looked for
    dtype           float32, or float64 for joint optima beyond a gradient of about 1e-4
    threads         of torch while it works: the last bits of sums depend on it, so it is part of the setting

    Raises InputError for settings that cannot be used.

    >>> problem = Problem(np.full((3, 8), 1 / 8), alphabet=2, length=3)
    >>> network = TransformerCompressor(problem, size="50k")
    >>> network.parameters, network.entropies(network.start()).shape
    (50720, (3,))
    """

    problem: Problem
    size: str | NetworkSize = "50k"
    seed: int = 0
    examples: int = 1000
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    optimiser: str = "continued"
    joint: JointTraining = field(default_factory=JointTraining)
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    name: str = "transformer"

    def __post_init__(self) -> None:
        size_of(self.size)
        Contexts.of(self.problem)
        for name in ("examples", "batch", "threads"):
            whole(getattr(self, name), name, "transformer", least=1)
        positive(self.learning_rate, "learning rate", "transformer")
        choice(self.optimiser, "optimiser", "transformer", ("continued", "fresh"))
        choice(self.dtype, "dtype", "transformer", ("float32", "float64"))

    @property
    def parameters(self) -> int:
        """P, the number of parameters."""
        return size_of(self.size).parameters(self.problem.alphabet, self.problem.length)

    def start(self) -> TransformerState:
        """The untrained network of this seed."""
        import torch

        with self._working():
            values = [value.detach().reshape(-1) for value in self._network.parameters()]
            return TransformerState(torch.cat(values).to(self._where, copy=True))

    def optimum(self, volumes: ArrayLike, near: TransformerState | None = None) -> TransformerState:
        """A stationary point of ``sum_i w_i H_i`` over all leaves, trained to ``joint`` from ``near`` or from the untrained state.

        Its ``descent`` has the gradient norm that was reached; nobody proves that it is the global minimum.
        """
        weights = checked_volumes(volumes, len(self.problem.names))
        start = self.start() if near is None else near
        with self._working() as torch:
            share = torch.as_tensor(weights / weights.sum(), dtype=self._number, device=self._where)
            table = torch.einsum("i,icy->cy", share, self._tables)
            theta, descent = minimise(start.theta, self._logits, table, self.joint, near is not None, self.reaches)
        return TransformerState(theta, drawn=start.drawn, descent=descent)

    def train(self, state: TransformerState, dataset: int, volume: float) -> TransformerState:
        """``round(volume * examples)`` sequences drawn from the dataset, in batches, each a step of AdamW on their mean code length."""
        count = round(checked_step(self.problem, dataset, volume) * self.examples)
        if count == 0:
            return state
        rng = np.random.default_rng([self.seed, state.drawn, dataset])
        leaves = self.problem.sample(dataset, count, rng)
        kept = state.moments if self.optimiser == "continued" or state.phase == dataset else None
        with self._working() as torch:
            theta = state.theta.clone().requires_grad_(True)
            stepper = torch.optim.AdamW([theta], lr=self.learning_rate, weight_decay=self.weight_decay, foreach=False)
            if kept is not None:
                first, second = (moment.clone() for moment in kept)
                stepper.state[theta] = {
                    "step": torch.tensor(float(state.steps)),
                    "exp_avg": first,
                    "exp_avg_sq": second,
                }
            symbols = torch.as_tensor(self._symbols[leaves], device=self._where)
            parts = torch.split(symbols, self.batch)
            for part in parts:
                with torch.enable_grad():
                    loss = self._sampled(theta, part)
                    (theta.grad,) = torch.autograd.grad(loss, theta)
                stepper.step()
            moments = stepper.state[theta]
        return TransformerState(
            theta.detach(),
            (moments["exp_avg"], moments["exp_avg_sq"]),
            steps=(state.steps if kept is not None else 0) + len(parts),
            drawn=state.drawn + count,
            phase=dataset,
        )

    def descend(self, state: TransformerState, shares: ArrayLike, steps: int, rate: float) -> TransformerState:
        """``steps`` of plain gradient descent on ``sum_i shares_i H_i``, over all leaves: nothing is drawn, no moments."""
        with self._working() as torch:
            weights = torch.as_tensor(np.asarray(shares, dtype=np.float64), dtype=self._number, device=self._where)
            theta, table = state.theta, torch.einsum("i,icy->cy", weights, self._tables)
            for _ in range(steps):
                with torch.enable_grad():
                    at = theta.detach().requires_grad_(True)
                    (slope,) = torch.autograd.grad(-(table * self._logits(at).log_softmax(-1)).sum(), at)
                theta = theta - rate * slope
        return TransformerState(theta.detach(), drawn=state.drawn)

    def entropies(self, state: TransformerState) -> Array:
        """``H_i = -sum_x P_i(x) ln q(x)``, shape (n,), nats per leaf, summed over all leaves in float64."""
        with self._working() as torch, torch.no_grad():
            logs = self._logits(state.theta).double().log_softmax(-1)
            return np.asarray(-(self._tables.double() * logs).sum((1, 2)).cpu().numpy(), dtype=np.float64)

    def masses(self, state: TransformerState) -> Array:
        """q, the law that the network has of the leaves, shape (M,)."""
        with self._working() as torch, torch.no_grad():
            logs = self._logits(state.theta).double().log_softmax(-1).cpu().numpy()
        return np.asarray(np.exp(Contexts.of(self.problem).leaves(logs)), dtype=np.float64)

    def gradients(self, state: TransformerState) -> Array:
        """``grad H_i`` in all P parameters, shape (n, P), nats: exact sums over the leaves, one backward pass a dataset."""
        with self._working() as torch, torch.enable_grad():
            theta = state.theta.detach().requires_grad_(True)
            logs = self._logits(theta).log_softmax(-1)
            losses = -(self._tables * logs).sum((1, 2))
            rows = [torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in losses]
            return np.asarray(torch.stack(rows).double().cpu().numpy(), dtype=np.float64)

    def tensors(self, state: TransformerState) -> dict[str, Tensor]:
        """The parameters by their names in the network, as views of the state."""
        return self._named(state.theta)

    @property
    def reaches(self) -> bool:
        """Whether the network has parameters and width enough to represent every source of this problem (a rule of thumb).

        The residual stream is at least as wide as the logits of a context are many, and there are four parameters for each free
        number of a source.
        """
        size, free = size_of(self.size), self.problem.leaves - 1
        return size.width >= self.problem.alphabet - 1 and self.parameters >= 4 * free

    @functools.cached_property
    def _network(self) -> Any:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = build(size_of(self.size), self.problem.alphabet, self.problem.length, self._number)
        return network.requires_grad_(False).to(self._where)

    @functools.cached_property
    def _shapes(self) -> tuple[tuple[str, torch.Size, int], ...]:
        return tuple((name, value.shape, value.numel()) for name, value in self._network.named_parameters())

    @functools.cached_property
    def _tables(self) -> Tensor:
        import torch

        tables = Contexts.of(self.problem).tables(self.problem.masses)
        return torch.as_tensor(tables, dtype=self._number, device=self._where)

    @functools.cached_property
    def _symbols(self) -> NDArray[np.int64]:
        return self.problem.symbols()

    @functools.cached_property
    def _packed(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens, positions, attention and slots of the layout that costs least."""
        import torch

        contexts, size = Contexts.of(self.problem), size_of(self.size)
        layout = contexts.layout(contexts.cheapest(size.width, self.parameters))
        tokens, depths, slots = (
            torch.as_tensor(value, device=self._where) for value in (layout.tokens, layout.depths, layout.slots)
        )
        return tokens, depths, self._mask(torch.as_tensor(layout.sees)), slots

    @functools.cached_property
    def _causal(self) -> tuple[Tensor, Tensor]:
        """Positions and attention of whole sequences."""
        import torch

        length = self.problem.length
        sees = torch.ones(length, length, dtype=torch.bool).tril()
        return torch.arange(length, device=self._where), self._mask(sees)

    def _mask(self, sees: Tensor) -> Tensor:
        import torch

        blank = torch.zeros(sees.shape, dtype=self._number)
        return blank.masked_fill(~sees, torch.finfo(self._number).min)[None, None].to(self._where)

    def _named(self, theta: Tensor) -> dict[str, Tensor]:
        parts = theta.split([count for _, _, count in self._shapes])  # type: ignore[no-untyped-call]
        return {name: part.view(shape) for part, (name, shape, _) in zip(parts, self._shapes, strict=True)}

    def _read(self, theta: Tensor, tokens: Tensor, depths: Tensor, mask: Tensor) -> Tensor:
        """Logits of the symbols after each node, (rows, T, A); the beginning is never predicted."""
        from torch.func import functional_call

        positions = depths.expand(tokens.shape)
        inputs = {"input_ids": tokens, "position_ids": positions, "attention_mask": mask, "use_cache": False}
        scores: Tensor = functional_call(self._network, self._named(theta), (), inputs, tie_weights=True).logits
        return scores[..., : self.problem.alphabet]

    def _logits(self, theta: Tensor) -> Tensor:
        """Logits after every context, (C, A)."""
        tokens, depths, mask, slots = self._packed
        scores = self._read(theta, tokens, depths, mask)
        return scores.reshape(-1, self.problem.alphabet)[slots]

    def code_lengths(self, theta: Tensor, symbols: Tensor) -> Tensor:
        """``-ln p(x_t | x_<t)`` of each symbol of the sequences (B, length), nats; differentiable in theta, shape (B, length)."""
        from torch.nn.functional import pad

        tokens = pad(symbols[:, :-1], (1, 0), value=self.problem.alphabet)
        logs = self._read(theta, tokens, *self._causal).log_softmax(-1)
        return -logs.gather(-1, symbols[..., None]).squeeze(-1)

    def _sampled(self, theta: Tensor, symbols: Tensor) -> Tensor:
        """Mean code length of the sequences (B, length), nats."""
        return self.code_lengths(theta, symbols).sum() / len(symbols)

    @property
    def _number(self) -> torch.dtype:
        import torch

        number: torch.dtype = getattr(torch, self.dtype)
        return number

    @functools.cached_property
    def _where(self) -> torch.device:
        import torch

        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            where = torch.device(name)
            torch.empty(0, device=where)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"device {name!r} is not on this machine", where="transformer", mend="use auto or cpu"
            ) from error
        return where

    @contextlib.contextmanager
    def _working(self) -> Iterator[Any]:
        """torch with our number of threads, which is given back."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield torch
        finally:
            torch.set_num_threads(before)
