"""Study `defence`: what makes a behaviour last, at which cost in utility, and whether two backward passes foretell it (Q2)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

import numpy as np

from elastomath.defences.defence import ATTACKS, DEFENCES
from elastomath.defences.figures import UTILITY, defences_figure
from elastomath.interval import Ends, Interval
from elastomath.laws.logit import undo_volume
from elastomath.laws.preferences import dpo_undo_volume
from elastomath.runs.ledger import Configuration
from elastomath.shown import number_of
from elastomath.style import styled

from ..cycles.records import DefendedLaw, DefendedRow, Recovery
from .answers import Answer, Run
from .plans import TINY_NETWORK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHOD = (
    "geometric mean over seeds (source and training drawn anew), each paired with plain fine-tuning, Student's interval"
)


Seeds = dict[str, dict[int, DefendedRow]]
"""Rows by defence and seed."""


class Ranked(TypedDict):
    """A defence over all seeds: its gain in durability over plain fine-tuning, utility lost, that beyond plain's, medians.

    The gain has no upper end where a seed was not undone, and no lower one where one of plain fine-tuning was not. ``undone``: the
    median of each attack; None where that is one that was not reached.
    """

    defence: str
    title: str
    gain: Ends
    lost: Ends
    extra: Ends
    median_lost: float | None
    z: float | None
    censored: int
    seeds: int
    undone: dict[str, float | None]
    constant: float | None
    falling: float | None
    rank: NotRequired[int]


class Data(TypedDict):
    """What the figure is drawn from."""

    ranking: list[Ranked]
    rows: list[DefendedRow]
    recovery: list[Recovery]
    law: DefendedLaw


def runs(preset: str) -> list[Configuration]:
    """A run for each block of seeds; seeds of a block are trained side by side."""
    blocks: list[list[int]] = {"tiny": [[0, 1, 2]], "quick": [[0, 1, 2, 3, 4]]}.get(
        preset, [list(range(start, start + 10)) for start in (0, 10)]
    )
    study: Configuration = {"defences": list(DEFENCES), "attacks": list(ATTACKS), "size": "50k", "most": 640}
    study |= {"overlays": [16, 64, 256], "neutral": 1024, "life": {}}
    if preset == "quick":
        left = ("early", "dpo-0.5", "kto", "simpo", "frozen")
        study |= {"defences": [name for name in DEFENCES if name not in left], "attacks": ["sft", "mixed"], "most": 400}
        study |= {"overlays": [16, 128], "neutral": 512, "life": {"volume": 1024, "constant": 0.1}}
    if preset == "tiny":
        study |= {
            "defences": ["sft", "dpo-best", "adapter", "replay-50", "flat"],
            "attacks": ["sft", "adapter", "mixed"],
        }
        study |= {"size": TINY_NETWORK, "most": 32, "overlays": [16], "neutral": 16}
        study |= {"life": {"pretrain": 30, "mixture": 16, "volume": 64}}
    common = {"dynamics": "transformer", "source": {"name": "behaviour"}, "settings": {"size": study["size"]}}
    return [
        common | {"cycle": {}, "resistance": None, "seed": block[0], "study": study | {"seeds": block}}
        for block in blocks
    ]


# --- answers ------------------------------------------------------------------------------------------------------
def answers(rows: list[Run]) -> tuple[list[Answer], Data]:
    """What to conclude first; then each defence by its gain, the forecast, DPO's formula, the attacks, the way back."""
    table: list[DefendedRow] = [row for _, record in rows for row in record["rows"]]
    back: list[Recovery] = [row for _, record in rows for row in record["recovery"]]
    law: DefendedLaw = rows[0][1]["law"]
    defences = list(dict.fromkeys(row["defence"] for row in table))
    by: Seeds = {name: {row["seed"]: row for row in table if row["defence"] == name} for name in defences}
    ranking = sorted(
        (_defence(name, by, law) for name in defences), key=lambda entry: -(entry["gain"]["estimate"] or 0.0)
    )
    for entry in ranking:
        entry["rank"] = 1 + sum(_better(other["defence"], entry["defence"], by, law) for other in ranking)
    ranking.sort(key=lambda entry: entry["rank"])
    results = [
        _useful(ranking),
        *(_told(entry) for entry in ranking),
        *_forecast(table),
        *_formula(by, law),
        *_attacks(by, law),
    ]
    results = [
        answer for answer in (*results, *_recovered(back)) if str(answer.value) != str(Interval(None))
    ]  # what bounds anything
    return results, {"ranking": ranking, "rows": table, "recovery": back, "law": law}


def _undone(
    row: DefendedRow, law: DefendedLaw, attack: str = "sft", which: Literal["undone", "same"] = "undone"
) -> float:
    """m* of a row; where nothing was undone, all that was tried."""
    value = row["attacks"][attack][which]
    most = float(law["most"]) * (1 - DEFENCES[row["defence"]].replay)
    return most if value is None else max(float(value), 1.0)


def _kept_in(rows: Iterable[DefendedRow], attack: str = "sft", which: Literal["undone", "same"] = "undone") -> int:
    """How many rows an attack did not undo: their m* is a lower bound."""
    return sum(row["attacks"][attack][which] is None for row in rows)


def _gains(name: str, by: Seeds, law: DefendedLaw) -> list[float]:
    return [math.log(_undone(by[name][seed], law) / _undone(by["sft"][seed], law)) for seed in sorted(by[name])]


def _better(first: str, second: str, by: Seeds, law: DefendedLaw) -> bool:
    """Whether the first defence lasts longer, beyond the scatter over paired seeds; nothing does than what was not undone."""
    if first == second or _kept_in(by[second].values()):
        return False
    gap = np.subtract(_gains(first, by, law), _gains(second, by, law))
    low = Interval.of_values(gap.tolist()).low
    return low is not None and low > 0


def _bounded(ratio: Interval, above: int, below: int) -> Interval:
    """A ratio without its upper end where ``above`` of its numerators are lower bounds, without the rest where denominators are."""
    return Interval(None if below else ratio.estimate, None if below else ratio.low, None if above else ratio.high)


def _defence(name: str, by: Seeds, law: DefendedLaw) -> Ranked:
    rows = [by[name][seed] for seed in sorted(by[name])]
    gain, censored = Interval.of_logs(_gains(name, by, law)), _kept_in(rows)
    if name != "sft":
        gain = _bounded(gain, censored, _kept_in(by["sft"].values()))
    losses = [row["lost"] for row in rows if row["lost"] is not None]
    lost = Interval.of_values(losses) if len(losses) == len(rows) else Interval(None)
    plain = {seed: row["lost"] for seed, row in by["sft"].items()}
    extra = [
        row["lost"] - base
        for seed, row in sorted(by[name].items())
        if row["lost"] is not None and (base := plain[seed]) is not None
    ]
    return {
        "defence": name, "title": DEFENCES[name].title, "gain": gain.as_dict(), "lost": lost.as_dict(),
        "extra": (Interval.of_values(extra) if len(extra) == len(rows) else Interval(None)).as_dict(),
        "median_lost": _median(row["lost"] for row in rows), "z": _median(row["z"] for row in rows), "censored": censored,
        "seeds": len(rows),
        "undone": {attack: _median_undone(rows, law, attack) for attack in rows[0]["attacks"]},
        "constant": _median(row["constant"] for row in rows), "falling": _median(row["falling"] for row in rows),
    }  # fmt: skip


def _median_undone(rows: list[DefendedRow], law: DefendedLaw, attack: str) -> float | None:
    """The median m* of an attack, what was not undone counting as beyond all that was tried; None where that is the median."""
    volumes = [math.inf if row["attacks"][attack]["undone"] is None else _undone(row, law, attack) for row in rows]
    middle = float(np.median(volumes))
    return middle if math.isfinite(middle) else None


def _median(values: Iterable[float | None]) -> float | None:
    """The median over seeds; None where a seed has no number (it diverged)."""
    each = list(values)
    known = [value for value in each if value is not None]
    return float(np.median(known)) if len(known) == len(each) else None


def _useful(ranking: list[Ranked]) -> Answer:
    """The best of the defences that leave the attacker's data alone, at matched utility; those of a replay beside it."""
    plain = next(entry for entry in ranking if entry["defence"] == "sft")
    matched = [e for e in ranking if e["extra"]["high"] is not None and e["extra"]["high"] < UTILITY] or [plain]
    own = [entry for entry in matched if not DEFENCES[entry["defence"]].replay] or [plain]
    best, replays = (
        min(own, key=lambda e: (e["rank"], -(e["gain"]["estimate"] or 0.0))),
        [e for e in matched if e not in own and doubles(e)],
    )
    gain, base = Interval.of_dict(best["gain"]), plain["median_lost"]
    sentence = (
        f"At no more than 1% of utility lost beyond what plain fine-tuning itself loses ({0.0 if base is None else base:.1%} in the "
        f"median seed), {best['title']} lasts longest: {gain} times as long{' at least' if best['censored'] else ''}; "
        f"{'more' if doubles(best) else 'not more, beyond its interval,'} than twice."
    )
    if replays:
        gains = " and ".join(f"{e['title']} ({Interval.of_dict(e['gain'])}, at least)" for e in replays)
        sentence += f" Who owns the attacker's data does better: {gains}."
    return Answer(
        "useful", "The best gain in durability at matched utility, times plain fine-tuning", "transformer", sentence, gain, METHOD
    )  # fmt: skip


def doubles(entry: Ranked) -> bool:
    """Whether a defence more than doubles the durability of plain fine-tuning, beyond its interval."""
    return entry["gain"]["low"] is not None and entry["gain"]["low"] > 2


def _told(entry: Ranked) -> Answer:
    gain = Interval.of_dict(entry["gain"])
    least = f" at least ({_kept(entry['censored'], entry['seeds'])})" if entry["censored"] else ""
    return Answer(
        f"gain/{entry['defence']}", "Opposed examples that undo it, times those of plain fine-tuning", "transformer",
        f"{entry['title']} (rank {entry['rank']}): lasts {gain} times as long as plain fine-tuning{least}; utility lost "
        f"{'beyond numbers' if entry['median_lost'] is None else format(entry['median_lost'], '+.1%')} in the median seed.",
        gain, METHOD,
    )  # fmt: skip


def _quartiles(errors: list[float]) -> Interval:
    """The median between its quartiles."""
    low, middle, high = (float(q) for q in np.quantile(errors, [0.25, 0.5, 0.75]))
    return Interval(middle, low, high, 0.5)


def _kept(count: int, seeds: int) -> str:
    return f"{count} of {number_of(seeds, 'seed')} {'was' if count == 1 else 'were'} not undone"


def _spread(value: Interval, count: int) -> str:
    """A median error with its quartiles; of one run there are none.

    >>> _spread(Interval(0.1, 0.05, 0.2, 0.5), 4), _spread(Interval(0.1, 0.1, 0.1, 0.5), 1)
    ('a median error of 10% over 4 runs; half of them lie between 5% and 20%', 'an error of 10% in one run')
    """
    if count == 1:
        return f"an error of {value.estimate:.0%} in one run"
    return f"a median error of {value.estimate:.0%} over {count} runs; half of them lie between {value.low:.0%} and {value.high:.0%}"


def _forecast(table: list[DefendedRow]) -> list[Answer]:
    pairs = [
        (row["forecast"], row["attacks"]["sft"]["same"])
        for row in table
        if row["forecast"] and row["attacks"]["sft"]["same"]
    ]
    if not pairs:
        return []
    errors = [abs(predicted / measured - 1) for predicted, measured in pairs]
    value, left = _quartiles(errors), sum(row["attacks"]["sft"]["same"] is None for row in table if row["forecast"])
    beside = f"; {left} more {'was' if left == 1 else 'were'} not undone" if left else ""
    return [
        Answer(
            "forecast", "Relative error of m* foretold from two backward passes at the defended weights", "transformer",
            f"Two backward passes at the defended weights foretell what undoes it (plain fine-tuning at the defender's own rate) "
            f"with {_spread(value, len(errors))}{beside}.",
            value, "median and quartiles over defences and seeds",
        )
    ]  # fmt: skip


def _formula(by: Seeds, law: DefendedLaw) -> list[Answer]:
    errors = []
    for name in (name for name in by if name.startswith("dpo")):
        for seed, row in by[name].items():
            plain, beta = by["sft"][seed], row["beta"]
            if beta is None or _kept_in([row, plain], which="same"):
                continue
            ratio = _undone(row, law, which="same") / _undone(plain, law, which="same")
            start, n, c = row["floor"], law["volume"], law["constant"]
            predicted = float(dpo_undo_volume(start, n, c, beta) / undo_volume(start, n, c))
            errors.append(abs(predicted / ratio - 1))
    if not errors:
        return []
    value = _quartiles(errors)
    return [
        Answer(
            "dpo-formula", "Relative error of DPO's gain over plain fine-tuning, from its formula", "transformer",
            f"The formula of DPO's gain over plain fine-tuning is off by {value.estimate:.0%} in "
            f"{'one run' if len(errors) == 1 else f'the median of {len(errors)} runs'}.",
            value, "median and quartiles over betas and seeds",
        )
    ]  # fmt: skip


def _attacks(by: Seeds, law: DefendedLaw) -> list[Answer]:
    results = []
    rows = list(by["sft"].values())
    for attack in rows[0]["attacks"]:
        logs = [math.log(_undone(row, law, attack) / _undone(row, law, which="same")) for row in rows]
        open_end = _kept_in(rows, attack)
        value = _bounded(Interval.of_logs(logs), open_end, _kept_in(rows, which="same"))
        kept = f"; {_kept(open_end, len(rows))}" if open_end else ""
        results.append(
            Answer(
                f"attack/{attack}", "Examples that it needs on plain fine-tuning, times plain fine-tuning at the defender's own rate",
                "transformer",
                f"{ATTACKS[attack].title}: {value} times the examples{kept}.",
                value, "geometric mean over seeds with Student's interval",
            )
        )  # fmt: skip
    return results


def _recovered(back: list[Recovery]) -> list[Answer]:
    results = []
    for volume in dict.fromkeys(row["opposed"] for row in back):
        rows = [row for row in back if row["opposed"] == volume]
        value = Interval.of_values([row["back"] for row in rows])
        fall = float(np.mean([row["z0"] - row["fallen"] for row in rows]))
        drift = float(np.mean([row["drift"] for row in rows]))
        word = value.side("it falls further", "part of it comes back", "nothing comes back beyond the scatter")
        results.append(
            Answer(
                f"back/{volume:g}", "The part of the fall that neutral training gives back", "transformer",
                f"A behaviour at 90% in the base, overlaid by {volume:g} opposed examples (a fall of {fall:.2f} nats), then "
                f"{rows[0]['neutral']:g} sequences of neutral text: {value} of the fall comes back; {word}. The same text "
                f"moves the base itself by {drift:+.2f} nats. The logit law (R21) says that nothing comes back.",
                value, "mean over seeds with Student's interval",
            )
        )  # fmt: skip
    return results


@styled
def figure(summary: Data) -> Figure:
    """Durability against utility lost, a mark a defence with both intervals (up to 300% lost); below, forecast against outcome."""
    rows = [row for row in summary["rows"] if row["forecast"] and row["attacks"]["sft"]["same"]]
    return defences_figure(
        "What makes a behaviour last",
        "Durability against utility lost; forecast against outcome.",
        summary["ranking"],
        np.array([row["forecast"] for row in rows], dtype=np.float64),
        np.array([row["attacks"]["sft"]["same"] for row in rows], dtype=np.float64),
    )
