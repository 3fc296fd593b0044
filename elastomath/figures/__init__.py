"""Figures of curves, laws and of the results R1-R27.

A figure of any curve is in `curves.py`, the figure of a result in `results.py`. What one subject draws stands in the `figures.py` of
that subject's folder (`elastomath/tails`, `sim/cycles`, `empirical/rebound` ...); their common look is `elastomath/style.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
