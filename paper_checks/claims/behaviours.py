"""F2 and Q1 on behaviours (responses to prompts), and the forecast from gradients, judged from saved durability runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from elastomath.interval import Interval
from elastomath.shown import number_of

from .claim import NOT_RUN, NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Claim, Evidence, Finding, measured

if TYPE_CHECKING:
    from empirical.durability.results import DurabilityRow

SAVED, FIGURE = "durability", "durability-saved"
OPTIMISER = "sgd"
"""The claims read plain gradient descent, for which the law has a closed form."""
RERUN = "experiment durability --pairs advice,tone,refusal,format,identity,agreement,language --seeds 0,1,2 --out {out}"
WORDS = {
    "z": ("log-odds", "R23: it grows with the alignment, and saturates at c"),
    "code_length": ("code length of the chosen response", "R23: it grows only below even odds, and falls above them"),
    "probability": ("probability of the chosen response", "R23: it grows only while p < 2/3, and falls above that"),
}
"""Each measure in words, and what the logit law says of its first fall."""
MEDIAN = 0.2
"""The median relative error at which a forecast is said to have come true; ADAM_MEDIAN under AdamW."""
ADAM_MEDIAN = 0.35
NOVEL = "durability-novel"
"""The same of three behaviours that were written after the recipe was fixed and the others were measured."""
LOW = "durability-low"
"""Saved runs of a base at 10% of the chosen response: below even odds all the way."""
ADAM = "durability-adamw"
"""Saved runs under AdamW, with fresh and with carried moments."""
ADAM_MORE = tuple(f"{ADAM}-{name}" for name in ("more", "third", "novel", "novel-more"))
"""The same at a second and a third seed, and of three behaviours that were written afterwards, at one seed and at two more."""


def span(interval: Mapping[str, Any], sign: str = "+") -> str:
    """An estimate with its interval, or the estimate alone where one group leaves it open."""
    if interval["low"] is None:
        return f"{interval['estimate']:{sign}.4g}"
    return f"{interval['estimate']:{sign}.4g} [{interval['low']:{sign}.4g}, {interval['high']:{sign}.4g}]"


def _groups(pooled: Mapping[str, Any]) -> str:
    """How many behaviours and seeds a number is of, and over what its interval is."""
    over = pooled.get("method", "").partition(" over ")[2]
    return f"{pooled['groups']} behaviours and seeds" + (f" (intervals over {over})" if over else "")


def _first_fall(measure: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        from empirical.durability.pooled import pooled_rows

        rows = _rows(evidence, SAVED, NOVEL)
        if not rows:
            return NOT_RUN
        answer: Mapping[str, Any] = pooled_rows(cast("list[DurabilityRow]", rows))[OPTIMISER]
        change, factor = answer["first_fall"][measure], answer["first_fall_factor"][measure]
        volumes = sorted({row["n"] for row in rows})
        decided = not factor["left_out"] and factor["low"] is not None and (factor["low"] > 1 or factor["high"] < 1)
        power = "open" if factor["low"] is None else f"{factor['high'] / factor['estimate']:.2f}"
        return measured(
            decided and factor["estimate"] > 1,
            f"SmolLM2-135M (4-bit weights), {_groups(factor)}, n = {', '.join(map(str, volumes))}: a doubling of the alignment multiplies "
            f"the first fall of the {WORDS[measure][0]} by {span(factor, '')} ({'decided' if decided else 'not decided'}; a factor of "
            f"{power} would have been seen), and adds {span(change)} per opposed example. {WORDS[measure][1]}",
            {"slope": change["estimate"], "factor": factor["estimate"]},
        )

    check.__doc__ = f"F2 by the first fall of the {WORDS[measure][0]}: it grows with the alignment volume."
    return check


def _return_ratio(evidence: Evidence) -> Finding:
    """Q1 on behaviours: opposed examples from p = 0.9 to 0.6 over aligned ones from 0.6 to 0.9."""
    from elastomath.laws.logit import return_ratio

    saved = evidence.saved(SAVED)
    if not saved.there:
        return NOT_RUN
    answer = saved.summary["answers"][OPTIMISER]
    every, ratio = answer["return_ratio"], answer.get("vouched", answer)["return_ratio"]
    if ratio["estimate"] is None:
        return Finding(NOT_TESTED, "measured", "no run passed both levels on both ways")
    ratios, texts, whose = [ratio], [], ", whose cards say that the law applies"
    if ratio is not every:
        texts = [f"With those whose cards refuse, {span(every, '')}."]
    if (novel := _names(evidence, SAVED, NOVEL)[1:]) and (later := evidence.saved(*novel)).there:
        ratios.append(later.summary["answers"][OPTIMISER]["return_ratio"])
        texts.append(f"Over behaviours written afterwards {span(ratios[1], '')}.")
    return measured(
        all(each["high"] is not None and each["high"] < 1 for each in ratios),
        f"SmolLM2-135M (4-bit weights), {_groups(ratio)}{whose if ratio is not every else ''}: {span(ratio, '')} times the examples; the "
        f"logit law says {float(return_ratio(0.6, 0.9)):.4f} where both constants are equal. {' '.join(texts)}".rstrip(),
        {"ratio": ratio["estimate"]},
    )


def _errors(rows: Iterable[Mapping[str, Any]]) -> list[tuple[float, Mapping[str, Any]]]:
    """|forecast - measured| / measured of the undo volumes that were reached, from the smallest to the largest, with their runs."""
    known = [row for row in rows if row.get("undo_volume", {}).get("estimate") and row["forecast_undo_volume"]]
    errors = [(abs(row["forecast_undo_volume"] / row["undo_volume"]["estimate"] - 1), row) for row in known]
    return sorted(errors, key=lambda item: item[0])


def plain_runs(evidence: Evidence) -> dict[str, Any] | None:
    """All saved runs under plain gradient descent, of which R25-measured judges: their rows and the errors of their forecasts."""
    from empirical.durability.answers import forecast_error

    rows = cast("list[DurabilityRow]", _rows(evidence, SAVED, NOVEL))
    return {"durability": rows, "error": forecast_error(rows)} if rows else None


def _forecast(evidence: Evidence) -> Finding:
    """R25 measured: undo volumes forecast from two backward passes at the base, against training."""
    errors = _errors(_rows(evidence, SAVED, NOVEL))
    if not errors:
        return NOT_RUN
    median, (worst, run) = statistics.median(error for error, _ in errors), errors[-1]
    where = ", ".join(f"{key} {run[key]}" for key in ("pairs", "optimiser", "seed", "n"))
    return measured(
        median <= MEDIAN,
        f"SmolLM2-135M (4-bit weights), {number_of(len(errors), 'run')}: the median error of the forecast is {median:.1%}, the worst "
        f"{worst:.0%} ({where})",
        {"median": median, "worst": worst},
    )


def _resistance(evidence: Evidence) -> Finding:
    """F1 on behaviours: opposed examples that undo an alignment over the aligned ones that it took, above and below even odds.

    The law (R22) puts the ratio below 1 where ``z_0 + z_n > 0`` and above 1 where it is negative, if both constants are equal.
    """
    low, main = (
        [row for row in rows if row["optimiser"] == OPTIMISER and row.get("undo_volume", {}).get("low")]
        for rows in (_rows(evidence, LOW), _rows(evidence, SAVED, NOVEL))
    )
    if not low:
        return NOT_RUN
    above = [row for row in main if row["z0"] + row["z"] > 0]
    below = [row for row in low if row["z0"] + row["z"] < 0]
    cheaper = [row for row in above if row["undo_volume"]["high"] is not None and row["undo_volume"]["high"] < row["n"]]
    dearer = [row for row in below if row["undo_volume"]["low"] > row["n"]]
    most = max((row["undo_volume"]["low"] / row["n"] for row in dearer), default=None)
    return measured(
        not dearer,
        f"SmolLM2-135M (4-bit weights): where the contrasts before and after sum to more than 0, going back took fewer examples than "
        f"coming in {len(cheaper)} of {len(above)} runs; where they sum to less, it took more in {len(dearer)} of {len(below)}"
        + ("" if most is None else f", at least {most:.2g} times as many in one")
        + " (95% intervals over prompts). Resistance is a matter of even odds, as the logit law says (R22), not of what was learnt first",
        {"cheaper_above": len(cheaper), "above": len(above), "dearer_below": len(dearer), "below": len(below)},
    )


def _moments(evidence: Evidence) -> Finding:
    """R26 measured: Adam on cached gradients foretells m*, and that it falls with n where the moments are carried over."""
    errors = _errors(_rows(evidence, ADAM, *ADAM_MORE))
    if not errors:
        return NOT_RUN
    rows, median = [row for _, row in errors], statistics.median(error for error, _ in errors)
    slopes = {optimiser: _last_slopes(rows, optimiser) for optimiser in ("adamw", "adamw-carried")}
    fall = all(slope < 0 and foretold < 0 for slope, foretold in slopes["adamw-carried"])
    words = "; ".join(
        f"{'fresh' if optimiser == 'adamw' else 'carried'} moments {sum(slope < 0 for slope, _ in pairs)} of {len(pairs)} below 0 "
        f"(median {statistics.median(slope for slope, _ in pairs):+.2f}, forecast {statistics.median(value for _, value in pairs):+.2f})"
        for optimiser, pairs in slopes.items()
        if pairs
    )
    stands = median <= ADAM_MEDIAN and bool(slopes["adamw-carried"]) and fall
    return measured(
        stands,
        f"SmolLM2-135M (4-bit weights), {number_of(len(rows), 'run')} under AdamW: the forecast of m* is off by {median:.1%} in the median "
        f"and {errors[-1][0]:.0%} at worst. Exponent of m* in n between the two longest alignments: {words}; Table 3 has -0.15",
        {"median": median, "worst": errors[-1][0], "last_slopes": slopes},
    )


def _names(evidence: Evidence, saved: str, *more: str) -> tuple[str, ...]:
    """The saved runs that a claim reads: all of these, or those made anew alone."""
    return (saved,) if saved in evidence.reruns else (saved, *more)


def _rows(evidence: Evidence, saved: str, *more: str) -> list[Mapping[str, Any]]:
    results = [evidence.saved(name) for name in _names(evidence, saved, *more)]
    return [row for each in results if each.there for row in each.summary["durability"]]


def _last_slopes(rows: list[Mapping[str, Any]], optimiser: str) -> list[tuple[float, float]]:
    """(measured, forecast) slope of ln m* in ln n between the two longest alignments of each behaviour and seed."""
    ways: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["optimiser"] == optimiser:
            ways.setdefault((row["pairs"], row["seed"]), []).append(row)
    slopes = []
    for way in ways.values():
        before, after = sorted(way, key=lambda row: row["n"])[-2:] if len(way) > 1 else (None, None)
        if before is None or after is None:
            continue
        log_n = math.log(after["n"] / before["n"])
        measured = math.log(after["undo_volume"]["estimate"] / before["undo_volume"]["estimate"]) / log_n
        slopes.append((measured, math.log(after["forecast_undo_volume"] / before["forecast_undo_volume"]) / log_n))
    return slopes


ALGORITHMS = "durability-algorithms"
"""Saved runs of a behaviour that was aligned on pairs by DPO, KTO, SimPO and PPO."""
AFTER = {"dpo": "F2-dpo-behaviours", "kto": "F2-kto-behaviours", "simpo": "F2-simpo", "ppo": "F2-ppo"}
"""The claim on F2 after each of them."""


def _after(algorithm: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        name = f"{OPTIMISER} after {algorithm}"
        saved = evidence.saved(ALGORITHMS)
        answer = saved.summary["answers"].get(name) if saved.there else None
        if answer is None or answer["first_fall"]["z"]["low"] is None:
            return NOT_RUN
        falls = answer["first_fall"]
        rows = [row for row in saved.summary["durability"] if row["algorithm"] == algorithm]
        undone = "; ".join(
            f"n = {row['n']}: from {row['z']:+.2f} nats, undone by {row['undo_volume_text']} (the law: {row['forecast_text']})"
            for row in sorted(rows, key=lambda row: row["n"])
        )
        others = ", ".join(f"of the {WORDS[name][0]} {span(falls[name])}" for name in ("code_length", "probability"))
        return measured(
            falls["z"]["low"] > 0,
            f"SmolLM2-135M (4-bit weights), {rows[0]['pairs']}, one seed, intervals over {saved.summary['settings']['held_out']} prompts: "
            f"a doubling of the alignment changes the first fall of the log-odds by {span(falls['z'])} nats per opposed example, "
            f"{others}. {undone}. The exponent of m* in n is {span(answer['exponent'])}; Table 3 has -0.15",
            {"slope": falls["z"]["estimate"]},
        )

    check.__doc__ = (
        f"F2 after {algorithm}, by the first fall of the log-odds of a behaviour: it grows with the alignment volume."
    )
    return check


CARDS = "cards"
"""Cards of models of different sizes, as they come."""
KERNEL = "relative kernel of "
"""Before the name of a behaviour: the measure of `experiment scale --pairs`."""
PARAMETERS = {"smollm2-135m-instruct-q4": 134.5e6, "gemma-3-270m-q4": 268.1e6, "qwen2.5-coder-1.5b-q4": 1543.7e6}


def _stiffness(evidence: Evidence) -> Finding:
    """F3 on behaviours: does the squared gradient of a contrast, over that of neutral text, fall with the size of the model?"""
    saved = evidence.saved(CARDS)
    if not saved.there:
        return Finding(
            NOT_TESTED,
            "measured",
            "not run here: elastomath predict --out, then python -m paper_checks.claims.keep --cards",
        )
    by: dict[str, dict[str, Mapping[str, float]]] = {}
    for card in saved.summary["cards"]:
        by.setdefault(card["pairs"], {})[card["model"]] = card["relative_kernel"]
    stiffness, falling = [], []
    for name, kernels in by.items():
        rows = [kernels[model] for model in sorted(kernels, key=PARAMETERS.__getitem__)]
        if len(rows) < len(PARAMETERS):
            continue
        falling.append(rows[-1]["high"] < rows[0]["low"])
        stiffness.append(f"{name} {', '.join(span(row, '') for row in rows)}")
    return measured(
        falling and all(falling),
        f"|grad z|^2 over that of neutral text at {', '.join(f'{value / 1e6:.0f}M' for value in PARAMETERS.values())} parameters: "
        f"{'; '.join(stiffness)}. The largest model is stiffer than the smallest in {sum(falling)} of {len(falling)} behaviours; three "
        "families, so that size and family are not told apart, and as they come: trained until they answer with one of the "
        f"responses they may differ{_within_a_family(evidence)}",
        {"falling": sum(falling)},
    )


def _within_a_family(evidence: Evidence) -> str:
    """How the same quotient goes with size and pre-training volume in models that were pre-trained here, behaviour by behaviour."""
    saved = evidence.saved("scale")
    group = saved.summary["groups"][0] if saved.there else {"measures": {}}
    exponents = {
        name.removeprefix(KERNEL): spread["exponent"]
        for name, spread in group["measures"].items()
        if name.startswith(KERNEL)
    }
    if not exponents:
        return ""
    text = "; ".join(
        f"{name} {_power(own['parameters'])} and {_power(own['pretrain_volume'])}" for name, own in exponents.items()
    )
    family = saved.summary["settings"]["family"]
    return (
        f". Within one family that was pre-trained here ({len(family['sizes'])} sizes, {len(family['volumes'])} volumes, "
        f"{len(group['seeds'])} seeds) it goes as these powers of size and of pre-training volume: {text}"
    )


def _power(exponent: Mapping[str, Any] | None) -> str:
    return "not known" if exponent is None else f"{Interval.of_dict(exponent):+.2f}"


CLAIMS = (
    *(
        Claim(
            f"F2-{measure.replace('_', '-')}", f"Rebound of behaviours, by the {WORDS[measure][0]}",
            f"The more a behaviour was aligned, the faster the {WORDS[measure][0]} falls under opposed responses.",
            "Section 5.2, on responses to prompts", verdict, _first_fall(measure), depends=("R23",),
            command=f"elastomath check F2-{measure.replace('_', '-')}", saved=SAVED, rerun=RERUN, figure=FIGURE,
        )
        for measure, verdict in (("z", SUPPORTED), ("code_length", NOT_SUPPORTED), ("probability", NOT_SUPPORTED))
    ),
    *(
        Claim(
            AFTER[algorithm], f"Rebound of behaviours after {algorithm.upper()}",
            f"The more a behaviour was aligned by {algorithm.upper()}, the faster its log-odds fall under opposed responses.",
            "Section 5.2, alignment algorithms, on responses to prompts", verdict, _after(algorithm), depends=("R23",),
            command=f"elastomath check {AFTER[algorithm]}", saved=ALGORITHMS,
            rerun=f"experiment durability --pairs advice --algorithm {','.join(AFTER)} --out {{out}}", figure=FIGURE,
        )
        for algorithm, verdict in (("dpo", SUPPORTED), ("kto", SUPPORTED), ("simpo", SUPPORTED), ("ppo", NOT_SUPPORTED))
    ),
    Claim(
        "Q1-behaviours", "What does inverting a behaviour cost?",
        "From 90% of the chosen response back to 60% takes fewer examples than from 60% to 90% took.",
        "Open question 1, on responses to prompts", SUPPORTED, _return_ratio, depends=("R22",),
        command="elastomath check Q1-behaviours", saved=SAVED, rerun=RERUN, figure=FIGURE,
    ),
    Claim(
        "R25-measured", "The forecast comes true",
        f"Two backward passes at the base foretell the opposed examples that undo an alignment, to {MEDIAN:.0%} in the median.",
        "Section 6, R25 on a real model", SUPPORTED, _forecast, depends=("R21", "R22", "R25"),
        command="elastomath check R25-measured", saved=SAVED, rerun=RERUN, figure=FIGURE,
    ),
    Claim(
        "F1-behaviours", "Resistance of behaviours",
        "Undoing an alignment takes fewer opposed examples than it took aligned ones, from every state.",
        "Section 5.1, on responses to prompts", NOT_SUPPORTED, _resistance, depends=("R22",),
        command="elastomath check F1-behaviours", saved=LOW,
        rerun="experiment durability --pairs advice --share 0.1 --align-volumes 4,8,16 --overshoot 0.1 --out {out}",
        figure=FIGURE,
    ),
    Claim(
        "R26-measured", "The optimiser is part of the law",
        "Adam on gradients cached at the base foretells the undo volumes under AdamW, and that with moments carried over from the "
        f"alignment they fall as it grows; to {ADAM_MEDIAN:.0%} in the median.",
        "Section 6, R26 on a real model", SUPPORTED, _moments, depends=("R26",),
        command="elastomath check R26-measured", saved=ADAM,
        rerun="experiment durability --pairs tone,advice,refusal --optimiser adamw,adamw-carried --out {out}",
        figure=FIGURE,
    ),
    Claim(
        "F3-behaviours", "Are larger models stiffer?",
        "One example moves a behaviour less, beside what it moves neutral text, the larger the model is.",
        "Section 5.3, on responses to prompts", NOT_SUPPORTED, _stiffness, depends=("R25",),
        command="elastomath check F3-behaviours", saved=CARDS,
    ),
)  # fmt: skip
