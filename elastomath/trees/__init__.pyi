from .jointtree import JointTree as JointTree
from .jointtree import pruning_loss as pruning_loss
from .leafset import symbol_bits as symbol_bits
from .sequences import Sequences as Sequences
from .sequences import Symbols as Symbols
from .sequences import symbol_type as symbol_type
from .tokentree import TokenTree as TokenTree
