"""Representation noising: how far what the layers of a network say is from Gaussian noise (Rosati et al. 2024).

A defence that adds this distance, read where the opposed response is predicted, to its loss makes noise of it. The paper reads
it of whole responses and adds the code length of the response from every layer; here a point is a token, and the last layer alone
is lengthened (`losses.noising`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Widths of the Gaussian kernels, in mean squared distances."""


def maximum_mean_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """``mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`` of points (n, d) and (n, d): 0 for the same points, a scalar.

    ``k(x, y) = sum_w exp(-|x - y|^2 / (w s))`` over `WIDTHS`, s the mean squared distance of two of all points, taken as a constant
    (Gretton et al. 2012). Differentiable.

    >>> import torch
    >>> points = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    >>> float(maximum_mean_discrepancy(points, points)), float(maximum_mean_discrepancy(points, points + 9)) > 1
    (0.0, True)
    """
    import torch

    points = torch.cat([first, second]).float()
    lengths = points.square().sum(-1)
    far = (lengths[:, None] + lengths[None] - 2 * points @ points.T).clamp(min=0)
    count, half = len(points), len(first)
    typical = (far.detach().sum() / (count * (count - 1))).clamp(min=1e-12)
    kernel = torch.stack([(-far / (width * typical)).exp() for width in WIDTHS]).sum(0)
    within = kernel[:half, :half].mean() + kernel[half:, half:].mean()
    return within - 2 * kernel[:half, half:].mean()


@contextmanager
def feed_forward_outputs(network: Any) -> Iterator[list[Tensor]]:
    """What each feed-forward block (a module called ``mlp``) gives while the block runs, in the order of the layers.

    Raises InputError for a network without such a module.
    """
    blocks = [module for name, module in network.named_modules() if name.rsplit(".", 1)[-1] == "mlp"]
    if not blocks:
        raise InputError(
            f"{type(network).__name__} has no module called mlp", where="noising", mend="choose another defence"
        )
    outputs: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda module, given, out: outputs.append(out)) for block in blocks]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def noise_distance(layers: Sequence[Tensor], noise: Tensor) -> Tensor:
    """The `maximum_mean_discrepancy` of points (n, d) and standard Gaussian noise (n, d), mean over the layers; a scalar."""
    import torch

    return torch.stack([maximum_mean_discrepancy(points, noise) for points in layers]).mean()
