from .run import CASES as CASES
from .run import StiffnessSettings as StiffnessSettings
from .run import stiffness as stiffness
