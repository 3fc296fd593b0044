"""Optimal codes: lengths, words, arithmetic codes, and Def 3.3b on real responses."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
