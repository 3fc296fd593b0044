"""Necessity (R9): each assumption of the theorem, and a counterexample without it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
