"""The fit (R16): from a curve to its effective volumes and constants, with intervals, beside rival laws."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
