"""Runs that are never done twice: the ledger, where runs are executed, what is written at their end."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
