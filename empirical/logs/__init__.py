"""Logs and results of other tools as a Curve, a file a tool; and a Curve written in their forms."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
