"""A behaviour as a problem: prompts, each followed by a chosen or a rejected response of one symbol (R21)."""

from __future__ import annotations

import numpy as np

from elastomath import InputError

from .problem import Problem
from .unions import share as checked_share

CHOSEN, REJECTED = 0, 1
"""The symbols of the two responses."""


def problem_of_behaviour(
    alphabet: int = 4, length: int = 3, share: float = 0.5, *, neutral: bool = False, seed: int = 0
) -> Problem:
    """Prompts of ``length - 1`` symbols, with masses drawn from Dirichlet(1), and a response as the last symbol.

    P_a gives the chosen response to every prompt, P_t the rejected one, P_p the chosen one to a ``share`` of them. So
    ``H_t - H_a`` is the mean contrast z over the prompts, in nats, whatever the code of the prompts. With two symbols the pair
    is closed; with more the code may leave mass outside it. With ``neutral`` P_p has other prompts, those that begin with symbol 0,
    each with a law of its responses drawn from Dirichlet(1), and P_a and P_t have the rest.

    Raises InputError for fewer than two symbols of either kind, and a share outside (0, 1).

    >>> problem_of_behaviour(2, 2, 0.75).masses.reshape(3, 2, 2).sum(axis=1)
    array([[0.75, 0.25],
           [1.  , 0.  ],
           [0.  , 1.  ]])
    """
    if alphabet < 2 or length < 2 or not checked_share("share", share, below_one=True) > 0.0:
        raise InputError(
            f"alphabet {alphabet}, length {length}, share {share:g}",
            where="source behaviour",
            mend="at least 2 symbols, prompts of at least one, a share inside (0, 1)",
        )
    rng = np.random.default_rng(seed)
    prompts = rng.dirichlet(np.ones(alphabet ** (length - 1)))
    responses = np.zeros((3, alphabet))
    responses[0, [CHOSEN, REJECTED]] = share, 1.0 - share
    responses[1, CHOSEN] = responses[2, REJECTED] = 1.0
    masses = prompts[None, :, None] * responses[:, None, :]
    if neutral:
        apart = len(prompts) // alphabet
        masses[0] = prompts[:, None] * rng.dirichlet(np.ones(alphabet), len(prompts))
        masses[0, apart:] = masses[1, :apart] = masses[2, :apart] = 0.0
    masses = masses.reshape(3, -1)
    covariates = {"source": "behaviour", "share": share, "source_seed": seed}
    return Problem(masses / masses.sum(axis=1, keepdims=True), alphabet, length, covariates=covariates)
