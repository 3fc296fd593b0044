from .callback import ElasticityCallback as ElasticityCallback
from .course import Course as Course
from .panel import Panel as Panel
from .settings import TrackSettings as TrackSettings
from .tracker import Tracker as Tracker
