from .family import FamilySettings as FamilySettings
from .figures import scale_figure as scale_figure
from .run import scale as scale
from .settings import Models as Models
from .settings import ScaleSettings as ScaleSettings
