from .figures import resistance_figure as resistance_figure
from .run import ResistanceSettings as ResistanceSettings
from .run import resistance as resistance
from .run import resistance_settings as resistance_settings
