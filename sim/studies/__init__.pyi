from .answers import Answer as Answer
from .answers import over_seeds as over_seeds
from .questions import QUESTIONS as QUESTIONS
from .study import PRESETS as PRESETS
from .study import STUDIES as STUDIES
from .study import draw as draw
from .study import load_study as load_study
from .study import run_study as run_study
