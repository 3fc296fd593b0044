"""Which defence makes a behaviour last in a real model, at which cost in utility, against which attack (Q2)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
