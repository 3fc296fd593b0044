"""Studies: the questions that the simulator answers, each with its runs, a curve, answers with intervals, and a figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
