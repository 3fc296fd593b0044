from .card import Card as Card
from .card import behaviour_card as behaviour_card
from .forecast import Forecast as Forecast
from .forecast import course as course
from .predict import card_json as card_json
from .run import durability as durability
from .settings import RATES as RATES
from .settings import DurabilitySettings as DurabilitySettings
