"""sim: synthetic datasets and compressors with known laws -> curves. It imports elastomath and nothing else of the house."""

from .families import FAMILIES, family
from .mixture import simulate_mixture

__all__ = ["FAMILIES", "family", "simulate_mixture"]
