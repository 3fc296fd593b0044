"""Behaviours: pairs of a chosen and a rejected response to a prompt, shipped or a user's own."""

from .behaviour import Behaviour, shipped
from .pairs import Pairs, mixed, read_pairs

__all__ = ["Behaviour", "Pairs", "mixed", "read_pairs", "shipped"]
