from .plugins import register_open_unlearning as register_open_unlearning
from .reading import read_curve as read_curve
from .reading import read_records as read_records
from .records import Metric as Metric
from .records import Record as Record
from .writing import write_model_card as write_model_card
from .writing import write_tasks as write_tasks
