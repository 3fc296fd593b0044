"""Behaviours: pairs of a chosen and a rejected response to a prompt, shipped or a user's own.

One that ships is a TOML file in `shipped/`. How often a model shows a behaviour is measured in `empirical/measures/behaviour.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
