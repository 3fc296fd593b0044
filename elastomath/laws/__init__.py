"""The laws: response, finite, optima, theorem (R1-R18), forgetting (R19), logit (R21-R26), jointness (R27).

A rival law, which is fitted to a curve to be compared with these, stands in `elastomath/fit/rival_laws.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
