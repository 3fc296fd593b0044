"""Defences of a behaviour and attacks on it, as rows of one table that simulated and real models are trained by.

To add a defence, add a row to `DEFENCES` in `defence.py`. A new field of a row has two readers: `sim/cycles/defended.py` trains
simulated models by it, `empirical/defence/run.py` real ones.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
