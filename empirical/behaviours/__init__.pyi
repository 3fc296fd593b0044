from .behaviour import Behaviour as Behaviour
from .behaviour import shipped as shipped
from .pairs import Pairs as Pairs
from .pairs import mixed as mixed
from .pairs import read_pairs as read_pairs
