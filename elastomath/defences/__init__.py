"""Defences of a behaviour and attacks on it, as rows of one table that simulated and real models are trained by."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
