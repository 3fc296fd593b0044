"""sim: synthetic datasets and compressors with known laws -> curves. It imports elastomath and nothing else of the house."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
