from .tables import published_table as published_table
from .tables import resistance_effect as resistance_effect
from .tables import reversal_exponent as reversal_exponent
