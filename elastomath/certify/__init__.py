"""Certificates: results in exact numbers or balls with proved ends.

The checks that call them, a level of evidence of `verify`, stand in the file of the same noun in `elastomath/verification`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
