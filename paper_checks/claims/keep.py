"""Keep an experiment's curve and summary under ``paper_checks/saved_runs``: `python -m paper_checks.claims.keep out/rebound`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.storage import whole_file

SAVED_RUNS = Path(__file__).parents[1] / "saved_runs"
DIGITS = 8
CARD = ("model", "sha256", "pairs", "pairs_sha256", "prompts", "z0", "closure", "cosine", "c", "relative_kernel")
"""What is kept of a card."""


def portable(value: Any) -> Any:
    """The same with floats at 8 significant digits, and no path of a machine: an absolute one becomes its last part.

    >>> portable({"curve": "/somewhere/rebound.csv", "rates": [1.23456789012, 2]})
    {'curve': 'rebound.csv', 'rates': [1.2345679, 2]}
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: portable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [portable(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def keep_result(folder: Path, name: str | None = None, saved_runs: Path = SAVED_RUNS) -> Path:
    """Copy the one curve of ``folder`` and the JSON file beside it to ``saved_runs/NAME``; returns that folder.

    name: of the result, by default that of the curve; claims look for a protocol's under ``rebound-algorithms`` and its like.

    Raises InputError for a folder that is not that of one finished experiment, and for a damaged curve.
    """
    curves = sorted(folder.glob("*.csv"))
    if len(curves) != 1 or not curves[0].with_suffix(".json").is_file():
        raise InputError(
            f"{len(curves)} curves, or no summary", where=str(folder), mend="name the folder of one finished experiment"
        )
    curve = curves[0]
    Curve.read(curve)  # a curve, whole
    at = saved_runs / (name or curve.stem)
    summary = portable(json.loads(curve.with_suffix(".json").read_text(encoding="utf-8")))
    if "curve" in summary:
        summary["curve"] = f"{at.name}.csv"
    at.mkdir(parents=True, exist_ok=True)
    with whole_file(at / f"{at.name}.csv") as aside:
        aside.write_bytes(curve.read_bytes())
    with whole_file(at / f"{at.name}.json") as aside:
        aside.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return at


def keep_cards(folders: Sequence[Path], saved_runs: Path = SAVED_RUNS) -> Path:
    """Put the cards that `elastomath predict --out` wrote, without their forecasts, into ``saved_runs/cards``; returns that folder.

    Raises InputError for a folder without ``card.json``.
    """
    cards = []
    for folder in folders:
        if not (folder / "card.json").is_file():
            raise InputError("no card.json", where=str(folder), mend="name folders of elastomath predict --out")
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        cards.append({name: portable(card[name]) for name in CARD})
    at = saved_runs / "cards"
    at.mkdir(parents=True, exist_ok=True)
    with whole_file(at / "cards.json") as aside:
        aside.write_text(json.dumps({"cards": cards}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return at


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--name")
    parser.add_argument("--cards", action="store_true", help="folders of elastomath predict")
    given = parser.parse_args()
    if given.cards:
        print(keep_cards(given.folders))
    else:
        for folder in given.folders:
            print(keep_result(folder, given.name))


if __name__ == "__main__":
    main()
