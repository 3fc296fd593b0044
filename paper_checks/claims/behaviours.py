"""F2 and Q1 on behaviours (responses to prompts), and the forecast from gradients, judged from saved durability runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .claim import NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Claim, Evidence, Finding

SAVED, FIGURE = "durability", "durability-saved"
OPTIMISER = "sgd"
"""The claims read plain gradient descent, for which the law has a closed form."""
RERUN = "experiment durability --pairs advice,tone,verdict,refusal,format --seeds 0,1 --out {out}"
WORDS = {
    "z": ("log-odds", "R23: it grows with the alignment, and saturates at c"),
    "code_length": ("code length of the chosen response", "R23: it grows only below even odds, and falls above them"),
    "probability": ("probability of the chosen response", "R23: it grows only while p < 2/3, and falls above that"),
}
"""Each measure in words, and what the logit law says of its first fall."""
MEDIAN = 0.2
"""The median relative error at which a forecast is said to have come true."""


def span(interval: Mapping[str, Any], sign: str = "+") -> str:
    """An estimate with its interval, or the estimate alone where one group leaves it open."""
    if interval["low"] is None:
        return f"{interval['estimate']:{sign}.4g}"
    return f"{interval['estimate']:{sign}.4g} [{interval['low']:{sign}.4g}, {interval['high']:{sign}.4g}]"


def _runs(evidence: Evidence) -> Mapping[str, Any] | None:
    saved = evidence.saved(SAVED)
    return saved.summary if saved.there else None


def _first_fall(measure: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        summary = _runs(evidence)
        if summary is None:
            return Finding(NOT_TESTED, "measured", "not run here; --rerun runs it")
        change = summary["answers"][OPTIMISER]["first_fall"][measure]
        volumes = summary["settings"]["align_volumes"]
        decided = change["low"] is not None and (change["low"] > 0 or change["high"] < 0)
        verdict = SUPPORTED if decided and change["estimate"] > 0 else NOT_SUPPORTED
        power = "open" if change["smallest_visible"] is None else f"{change['smallest_visible']:.2g}"
        return Finding(
            verdict,
            "measured",
            f"SmolLM2-135M (4-bit weights), {change['groups']} behaviours and seeds, n = {', '.join(map(str, volumes))}: a doubling of "
            f"the alignment changes the first fall of the {WORDS[measure][0]} by {span(change)} per opposed example "
            f"({'decided' if decided else 'not decided'}; an effect of {power} would have been seen). {WORDS[measure][1]}",
            {"slope": change["estimate"]},
        )

    check.__doc__ = f"F2 by the first fall of the {WORDS[measure][0]}: it grows with the alignment volume."
    return check


def _return_ratio(evidence: Evidence) -> Finding:
    """Q1 on behaviours: opposed examples from p = 0.9 to 0.6 over aligned ones from 0.6 to 0.9."""
    from elastomath.laws.logit import return_ratio

    summary = _runs(evidence)
    if summary is None:
        return Finding(NOT_TESTED, "measured", "not run here; --rerun runs it")
    ratio = summary["answers"][OPTIMISER]["return_ratio"]
    if ratio["estimate"] is None:
        return Finding(NOT_TESTED, "measured", "no run passed both levels on both ways")
    cheaper = ratio["high"] is not None and ratio["high"] < 1
    return Finding(
        SUPPORTED if cheaper else NOT_SUPPORTED,
        "measured",
        f"SmolLM2-135M (4-bit weights), {ratio['groups']} behaviours and seeds: {span(ratio, '')} times the examples; the logit law says "
        f"{float(return_ratio(0.6, 0.9)):.4f}, whatever the model, if both constants are equal",
        {"ratio": ratio["estimate"]},
    )


def _forecast(evidence: Evidence) -> Finding:
    """R25 measured: undo volumes forecast from two backward passes at the base, against training."""
    summary = _runs(evidence)
    if summary is None or summary["error"]["runs"] == 0:
        return Finding(NOT_TESTED, "measured", "not run here; --rerun runs it")
    error = summary["error"]
    where = ", ".join(f"{key} {value}" for key, value in error["worst_run"].items())
    return Finding(
        SUPPORTED if error["median"] <= MEDIAN else NOT_SUPPORTED,
        "measured",
        f"SmolLM2-135M (4-bit weights), {error['runs']} runs: the median error of the forecast is {error['median']:.1%}, the worst "
        f"{error['worst']:.0%} ({where})",
        {"median": error["median"], "worst": error["worst"]},
    )


CLAIMS = (
    *(
        Claim(
            f"F2-{measure.replace('_', '-')}",
            f"Rebound of behaviours, by the {WORDS[measure][0]}",
            f"The more a behaviour was aligned, the faster the {WORDS[measure][0]} falls under opposed responses.",
            "Section 5.2, on responses to prompts",
            verdict,
            _first_fall(measure),
            depends=("R23",),
            command=f"elastomath check F2-{measure.replace('_', '-')}",
            saved=SAVED,
            rerun=RERUN,
            figure=FIGURE,
        )
        for measure, verdict in (("z", SUPPORTED), ("code_length", NOT_SUPPORTED), ("probability", NOT_SUPPORTED))
    ),
    Claim(
        "Q1-behaviours",
        "What does inverting a behaviour cost?",
        "From 90% of the chosen response back to 60% takes fewer examples than from 60% to 90% took.",
        "Open question 1, on responses to prompts",
        SUPPORTED,
        _return_ratio,
        depends=("R22",),
        command="elastomath check Q1-behaviours",
        saved=SAVED,
        rerun=RERUN,
        figure=FIGURE,
    ),
    Claim(
        "R25-measured",
        "The forecast comes true",
        f"Two backward passes at the base foretell the opposed examples that undo an alignment, to {MEDIAN:.0%} in the median.",
        "Section 6, R25 on a real model",
        SUPPORTED,
        _forecast,
        depends=("R21", "R22", "R25"),
        command="elastomath check R25-measured",
        saved=SAVED,
        rerun=RERUN,
        figure=FIGURE,
    ),
)
