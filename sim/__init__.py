"""sim: synthetic datasets and compressors with known laws -> curves. It imports elastomath and nothing else of the house."""

from .families import FAMILIES, family, problem_of_family
from .mixture import MixtureCompressor, simulate_mixture

__all__ = ["FAMILIES", "MixtureCompressor", "family", "problem_of_family", "simulate_mixture"]
