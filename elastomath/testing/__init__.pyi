from .strategies import instances as instances
from .strategies import mixtures as mixtures
