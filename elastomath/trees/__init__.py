"""Token trees: symbols in blocks, sorted leaves, pruning of one tree or of several together."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
