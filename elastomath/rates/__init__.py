"""Rates of datasets: from files of masses or texts to code lengths for each symbol."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
