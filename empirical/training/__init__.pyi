from .finetune import new_optimiser as new_optimiser
from .finetune import train as train
from .settings import ALGORITHMS as ALGORITHMS
from .settings import TuneSettings as TuneSettings
