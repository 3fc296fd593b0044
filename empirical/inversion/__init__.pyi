from .costs import forgetting_ratio as forgetting_ratio
from .costs import joint_ratio as joint_ratio
from .figures import inversion_figure as inversion_figure
from .run import inversion as inversion
from .settings import LANDINGS as LANDINGS
from .settings import InversionSettings as InversionSettings
