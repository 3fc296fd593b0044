"""Which defence makes a behaviour last in a real model, at which cost in utility, against which attack (Q2).

A defence itself is a row of `elastomath/defences/defence.py`; here real models are trained by it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
