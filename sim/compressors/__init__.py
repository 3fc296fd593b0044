"""Compressors, exact ones and trained networks, that turn datasets into rates."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
