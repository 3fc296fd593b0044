"""Behaviours: pairs of a chosen and a rejected response to a prompt, shipped or a user's own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
