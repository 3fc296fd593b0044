from .defence import ATTACKS as ATTACKS
from .defence import DEFENCES as DEFENCES
from .defence import Attack as Attack
from .defence import Defence as Defence
from .losses import LOSSES as LOSSES
from .losses import loss_of as loss_of
