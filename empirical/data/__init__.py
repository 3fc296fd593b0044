"""Data of one's own: rows, documents, kinds, examples with prompts, preference pairs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
