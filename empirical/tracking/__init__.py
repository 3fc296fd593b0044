"""Runs of one's own, tracked: readings of pairs along checkpoints, or inside a training, as a Curve with its conclusion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
