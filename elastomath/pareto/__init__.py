"""Pareto masses: their law, overlaps in closed form, fluctuations on finitely many leaves."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
