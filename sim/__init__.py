"""sim: synthetic datasets and compressors with known laws -> curves. It imports elastomath and nothing else of the house."""

from .counting import CountingCompressor
from .families import FAMILIES, family, problem_of_family
from .grammar import Grammar, problem_of_grammar
from .lifecycle import LifeCycle, live
from .markov import MarkovTree, markov_trees, problem_of_markov
from .mixture import MixtureCompressor, simulate_mixture
from .paths import MixtureConfiguration, MixturePath, mixture_paths
from .resistance import resist
from .softmax import SoftmaxCompressor
from .texts import problem_of_letters, problem_of_texts
from .transformer import TransformerCompressor

__all__ = [
    "FAMILIES",
    "CountingCompressor",
    "Grammar",
    "LifeCycle",
    "MarkovTree",
    "MixtureCompressor",
    "MixtureConfiguration",
    "MixturePath",
    "SoftmaxCompressor",
    "TransformerCompressor",
    "family",
    "live",
    "markov_trees",
    "mixture_paths",
    "problem_of_family",
    "problem_of_grammar",
    "problem_of_letters",
    "problem_of_markov",
    "problem_of_texts",
    "resist",
    "simulate_mixture",
]
