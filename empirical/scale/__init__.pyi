from .family import FamilySettings as FamilySettings
from .figures import scale_figure as scale_figure
from .run import scale as scale
from .settings import chosen_settings as chosen_settings
