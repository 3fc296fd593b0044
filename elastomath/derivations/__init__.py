"""The results of the theory derived from the definitions: a file for each subject, `derive` for one result.

Each file exports ``BUILDERS``, the derivations by id; a derivation is built, and so checked, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module

from ..errors import InputError
from .language import Derivation
from .letters import letters_of

MODULES = (
    "response",
    "finite",
    "pareto",
    "codes",
    "optima",
    "volumes",
    "ceilings",
    "theorem",
    "necessity",
    "finetuning",
    "union",
    "rebound",
    "forgetting",
    "springs",
    "logit",
    "optimisers",
    "jointness",
)
"""The files that derive results."""


@cache
def builders() -> dict[str, Callable[[], Derivation]]:
    """The derivations by id, R1 first; nothing is built yet."""
    by_name: dict[str, Callable[[], Derivation]] = {}
    for module in MODULES:
        by_name |= import_module(f"{__name__}.{module}").BUILDERS
    return dict(sorted(by_name.items(), key=lambda item: int(item[0][1:])))


@cache
def derive(id: str) -> Derivation:
    """The derivation of a result (R1, R2 ...), every step checked while it is built; built once and kept.

    Raises InputError for an id without a derivation, DerivationError where a step does not hold.

    >>> derive("R2").summary.split(",")[0]
    'sum_i w_i dH_i/dl = 0'
    >>> derive("R18").conclusion[0].text()
    'y >= 0'
    """
    if id not in builders():
        raise InputError(f"no derivation of {id!r}", where="derive", mend=f"choose one of {', '.join(builders())}")
    return replace(builders()[id](), letters=letters_of(id))
