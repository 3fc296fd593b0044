from .run import stiffness as stiffness
from .settings import CASES as CASES
from .settings import StiffnessSettings as StiffnessSettings
