"""Units of information: the theory is written in nats, what people read is in bits."""

from __future__ import annotations

import math
from typing import Final

NATS_PER_BIT: Final = math.log(2.0)
"""1 bit = ln 2 nats."""

RATE_UNITS: Final = ("bits/byte", "bits/token", "bits/symbol", "nats/symbol", "bits/response", "nats/response")
"""Units of a compression rate that a Curve may carry."""

VOLUME_UNITS: Final = ("tokens", "bytes", "examples", "symbols")
"""Units of a dataset's volume that a Curve may carry."""
