"""Figures of curves, laws and of the results R1-R27."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
