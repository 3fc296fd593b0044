"""Models and data that are fetched: the catalogue, and files by their hash."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
