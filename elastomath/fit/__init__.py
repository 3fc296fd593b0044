"""The fit (R16): from a curve to its effective volumes and constants, with intervals, beside rival laws.

The rivals stand in `rival_laws.py`, how one is chosen among them in `law_choice.py`; what the laws say is in `elastomath/laws`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
