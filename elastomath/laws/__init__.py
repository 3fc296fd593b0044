"""The laws: response and balance (R1-R3), finite perturbations (R5), any optimum (R6), union, fine-tuning, rebound, forgetting."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
