from .datasets import dataset_rates as dataset_rates
from .rates import code_lengths as code_lengths
from .rates import normalised_rates as normalised_rates
