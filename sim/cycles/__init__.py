"""Life cycles of a compressor: align, perturb, bring back; sweeps over them and their figures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
