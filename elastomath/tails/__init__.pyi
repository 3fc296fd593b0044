from .figures import verdict_figure as verdict_figure
from .fit import fit_tail as fit_tail
from .sample import draw_tail as draw_tail
from .threshold import scan_threshold as scan_threshold
from .verdict import Verdict as Verdict
from .verdict import pareto_verdict as pareto_verdict
