"""elastomath: the elasticity of language models, derived, certified, simulated, measured and fitted.

The ground floor, the mathematics. ``import elastomath`` is light: a name is loaded from its file when it is first used, and
pandas, sympy, flint, numba and matplotlib are imported where they are needed. The names that most users want are here
(``__init__.pyi`` lists them); the others are in the folders, a folder a subject: `elastomath.laws`, `elastomath.codes` ...
`elastomath.testing` needs hypothesis.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.2.0"
