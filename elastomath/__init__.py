"""elastomath: the elasticity of language models, derived, certified, simulated, measured and fitted.

The ground floor, the mathematics. ``import elastomath`` is light: a name is loaded from its file when it is first used, and
pandas, sympy, flint, numba and matplotlib are imported where they are needed. Below, a line for each noun; everything else
of a noun is in its file (`elastomath.pareto`, `elastomath.theorem` ...). `elastomath.strategies` needs hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .curve import Curve
from .divergence import chi_square, cross_entropy, entropy, jensen_shannon, kl_divergence, overlap, total_variation
from .errors import InputError
from .law import FiniteLaw, finite_law, mixture_constant, mixture_residual, path_entropies, sign_change
from .masses import as_masses, normalise, pareto_masses, union
from .mixture import Mixture
from .response import Response, Survey, response, response_matrix, survey

if TYPE_CHECKING:
    from .arithmetic import ArithmeticCode
    from .assumption import pareto_verdict
    from .ceilings import string_ceiling, volume_for
    from .certify import certify_law
    from .codepath import code_path
    from .codes import huffman_lengths, length_limited_lengths, shannon_lengths
    from .codewords import canonical_words
    from .compression import BlockCode, protocol_lengths
    from .derivations import derive
    from .forgetting import Phase, effective_mixture, elasticity_constant, sequential_masses
    from .instance import Instance
    from .jointtree import JointTree, pruning_loss
    from .necessity import find_counterexample
    from .optima import branch_response, joint_optima, optima_law
    from .overlaps import Gamma, Lognormal, expected_overlaps, sign_threshold
    from .pareto import Pareto
    from .pool import GeometricPool, reverse_balance
    from .rates import normalised_rates, pooled_rates
    from .rebound import Scores, return_volume
    from .shrinking import shrink
    from .springs import Springs, springs_of_run
    from .stationarity import gradient_test
    from .tailfit import fit_tail
    from .theorem import mixture_theta_bounds, theorem_readings, theta_bounds
    from .threshold import scan_threshold
    from .tokentree import TokenTree
    from .treefile import load_tree, save_tree
    from .unionlaw import union_law
    from .verification import explain, verify
    from .volumes import effective_volumes

__version__ = "0.2.0"

_LAZY = {
    "arithmetic": ("ArithmeticCode",),
    "assumption": ("pareto_verdict",),
    "ceilings": ("string_ceiling", "volume_for"),
    "certify": ("certify_law",),
    "codepath": ("code_path",),
    "codes": ("huffman_lengths", "length_limited_lengths", "shannon_lengths"),
    "codewords": ("canonical_words",),
    "compression": ("BlockCode", "protocol_lengths"),
    "derivations": ("derive",),
    "forgetting": ("Phase", "effective_mixture", "elasticity_constant", "sequential_masses"),
    "instance": ("Instance",),
    "jointtree": ("JointTree", "pruning_loss"),
    "necessity": ("find_counterexample",),
    "optima": ("branch_response", "joint_optima", "optima_law"),
    "overlaps": ("Gamma", "Lognormal", "expected_overlaps", "sign_threshold"),
    "pareto": ("Pareto",),
    "pool": ("GeometricPool", "reverse_balance"),
    "rates": ("normalised_rates", "pooled_rates"),
    "rebound": ("Scores", "return_volume"),
    "shrinking": ("shrink",),
    "springs": ("Springs", "springs_of_run"),
    "stationarity": ("gradient_test",),
    "tailfit": ("fit_tail",),
    "theorem": ("mixture_theta_bounds", "theorem_readings", "theta_bounds"),
    "threshold": ("scan_threshold",),
    "tokentree": ("TokenTree",),
    "treefile": ("load_tree", "save_tree"),
    "unionlaw": ("union_law",),
    "verification": ("explain", "verify"),
    "volumes": ("effective_volumes",),
}
_HOME = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "Curve",
    "FiniteLaw",
    "InputError",
    "Mixture",
    "Response",
    "Survey",
    "as_masses",
    "chi_square",
    "cross_entropy",
    "entropy",
    "finite_law",
    "jensen_shannon",
    "kl_divergence",
    "mixture_constant",
    "mixture_residual",
    "normalise",
    "overlap",
    "pareto_masses",
    "path_entropies",
    "response",
    "response_matrix",
    "sign_change",
    "survey",
    "total_variation",
    "union",
    *_HOME,
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
