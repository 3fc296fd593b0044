"""Studies: the questions that the simulator answers, each with its runs, a curve, answers with intervals, and a figure."""

from .answers import Answer, Estimate, over_seeds
from .study import PRESETS, STUDIES, draw, load_study, run_study

__all__ = ["PRESETS", "STUDIES", "Answer", "Estimate", "draw", "load_study", "over_seeds", "run_study"]
