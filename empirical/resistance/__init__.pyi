from .figures import resistance_figure as resistance_figure
from .run import resistance as resistance
from .settings import ResistanceSettings as ResistanceSettings
