"""A model in memory: loading, devices, adapters, checkpoints, its outputs on sequences, how much memory it takes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
