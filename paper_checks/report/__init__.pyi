from .page import interval as interval
from .report import make_report as make_report
from .studies import TITLES as TITLES
from .studies import caption as caption
from .studies import saved_studies as saved_studies
