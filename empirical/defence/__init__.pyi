from .run import defence as defence
from .settings import DefenceSettings as DefenceSettings
