"""The figure of the defence experiment, from the JSON that it saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elastomath.defences.figures import defences_figure
from elastomath.errors import InputError
from elastomath.style import styled

from .answers import foretold

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def defence_figure(result: dict[str, Any]) -> Figure:
    """Durability against utility lost under the first attack, and the forecast at the defended weights against the outcome.

    result: what ``defence.json`` holds. Raises InputError for a result without a run.
    """
    if not result.get("ranking"):
        raise InputError("no defence was ranked", where="figure", mend="give what defence.json holds")
    attack = result["ranking"][0]["attack"]
    ranking = [entry for entry in result["ranking"] if entry["attack"] == attack]
    rows = foretold(result["defence"])
    return defences_figure(
        "What makes a behaviour last",
        f"{len(ranking)} defences against {attack}; {len(rows)} forecasts against their outcomes.",
        ranking,
        [predicted for predicted, _ in rows],
        [measured for _, measured in rows],
    )
