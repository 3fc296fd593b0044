"""elastomath: the elasticity of language models, derived, certified, simulated, measured and fitted.

The ground floor, the mathematics. ``import elastomath`` is light; pandas, sympy, flint, numba and matplotlib are
imported where they are used.
"""

from .curve import Curve
from .divergence import chi_square, cross_entropy, entropy, kl_divergence, overlap
from .errors import InputError
from .law import FiniteLaw, finite_law, mixture_constant, mixture_residual, path_entropies, sign_change
from .masses import as_masses, normalise, pareto_masses, union
from .mixture import Mixture
from .response import Response, response

__version__ = "0.1.0"

__all__ = [
    "Curve",
    "FiniteLaw",
    "InputError",
    "Mixture",
    "Response",
    "as_masses",
    "chi_square",
    "cross_entropy",
    "entropy",
    "finite_law",
    "kl_divergence",
    "mixture_constant",
    "mixture_residual",
    "normalise",
    "overlap",
    "pareto_masses",
    "path_entropies",
    "response",
    "sign_change",
    "union",
]
