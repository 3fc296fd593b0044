"""How durable is a behaviour in a model: forecast from two backward passes (`predict`), then measured (`durability`)."""

from .card import Card, behaviour_card
from .forecast import Forecast, course, forecast
from .predict import card_json, predict
from .run import durability
from .settings import RATES, DurabilitySettings

__all__ = [
    "RATES",
    "Card",
    "DurabilitySettings",
    "Forecast",
    "behaviour_card",
    "card_json",
    "course",
    "durability",
    "forecast",
    "predict",
]
