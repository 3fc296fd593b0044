"""The first screen of the report: the question answered in five sentences, one figure, and a page for the reader in a hurry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elastomath.shown import in_the_middle

from ..claims import Outcome, grouped, kind
from ..claims.claim import FAILS, HOLDS, NOT_SUPPORTED, NOT_TESTED, ONLY_IF, SUPPORTED, WITH_CONSTANTS
from ..claims.summary import MEASURED


@dataclass(frozen=True)
class Front:
    """What stands before all sections.

    answers  sentences, ``**words**`` set in bold;  hurry  rows (claim id, words, verdict) under each heading
    matters  for whom it matters;  figure, caption  one drawing as inline SVG
    """

    answers: tuple[str, ...]
    hurry: Mapping[str, tuple[tuple[str, str, str], ...]]
    matters: tuple[str, ...]
    figure: Any = None
    caption: str = ""


HEADINGS = {
    "What holds": (HOLDS, WITH_CONSTANTS),
    "What holds under a condition": (ONLY_IF,),
    "What fails": (FAILS,),
    "What measurements on small models support": (SUPPORTED,),
    "What they do not support": (NOT_SUPPORTED,),
    "What is open": (NOT_TESTED,),
}
"""A row stands under the heading of the verdict that its check gave in this run."""

HURRY = {
    "Thm4.2-finite": "The theorem, where the pre-training data is half alignment data and half perturbation data, for any model at its "
    "joint optimum, while the perturbation is smaller than the alignment data.",
    "R2": "Changes of code length, weighted by volume, add up to nothing: what one dataset loses the others gain.",
    "R16": "The volumes that pre-training and alignment count for can be read from a curve alone.",
    "R22": "Durability grows like the logarithm of the alignment, in plain fine-tuning.",
    "Thm4.2": "The theorem as printed, with any union of parts.",
    "Thm3.4": "The printed formula of the code length, for real codes.",
    "Hooke-reverse": "Equal and opposite forces with the divergence that the paper prints, D(model || data); with D(data || model) "
    "they are.",
    "Q2": "No perturbation can lengthen any text beyond a ceiling that a larger volume lowers.",
    "A.7": "The masses of text are Pareto.",
    "R25-measured": "The number of opposed examples that undo an alignment, forecast from two backward passes.",
    "F1-excess": "Resistance: training backwards ends nearer to its target than training forwards.",
    "F2-z": "Rebound of behaviours: more alignment falls faster, measured by log-odds.",
    "F2-code-length": "Rebound of behaviours, measured by code length.",
    "F2-sft": "Rebound of rates on whole texts after plain fine-tuning.",
    "F3-size": "Rebound grows with the size of the model.",
    "F3-volume": "Rebound grows with the volume of pre-training.",
    "Table3": "More safety data is undone by fewer unsafe examples: in the paper's printed numbers.",
    "F2-dpo-behaviours": "Rebound of behaviours after DPO, measured by log-odds.",
}
"""The claims of the page for the reader in a hurry, in plain words."""

MATTERS = (
    "For who aligns models: durability is dear. Plan for it, with a forecast from two backward passes, before training.",
    "For who releases weights: a ceiling on tampering exists for ideal compressors only; training that forgets has none.",
    "For who measures: name the measure. The same run rebounds in log-odds and not in code length; gaps of losses mix in the "
    "level of the target.",
    "For who writes theory: the signs need a union of two parts, a small perturbation and a joint optimum; the balance needs nothing.",
)


def front(outcomes: Sequence[Outcome], durability: Mapping[str, Any] | None) -> Front:
    """The first screen, from the outcomes of `check` in this run and the saved runs of durability (None: there are none)."""
    verdicts = {outcome.claim.id: outcome.finding.verdict for outcome in outcomes}
    rows: dict[str, list[tuple[str, str, str]]] = {heading: [] for heading in HEADINGS}
    for id, words in HURRY.items():
        if id in verdicts:
            heading = next(name for name, kinds in HEADINGS.items() if kind(verdicts[id]) in kinds)
            rows[heading].append((id, words, verdicts[id]))
    figure, caption = None, ""
    if durability is not None:
        from markupsafe import Markup

        from elastomath.style import svg
        from empirical.durability.figures import forecast_figure

        figure = Markup(svg(forecast_figure(dict(durability))))
        caption = (
            "Opposed examples that undid an alignment of SmolLM2-135M: forecast before training against measurement, with 95% "
            "intervals; on the line the forecast is right, the band is 20%. Saved results."
        )
    hurry = {heading: tuple(entries) for heading, entries in rows.items() if entries}
    return Front(tuple(_answers(outcomes, verdicts, durability)), hurry, MATTERS, figure, caption)


def _answers(
    outcomes: Sequence[Outcome], verdicts: Mapping[str, str], durability: Mapping[str, Any] | None
) -> list[str]:
    judged = grouped(outcomes).get(MEASURED, [])
    measured = Counter(kind(outcome.finding.verdict) for outcome in judged)
    printed, repaired = (verdicts.get(id, NOT_TESTED) for id in ("Thm4.2", "Thm4.2-finite"))
    sentences = [
        f"{'No, not as it is printed' if printed == FAILS else 'As it is printed'}: the theorem that compares a model to a spring "
        f"**{printed.replace('fails: counterexample', 'fails')}**{_by(printed)}.",
        f"Repaired, it **{repaired}**: where pre-training data is half alignment data and half opposed data, any model at its joint "
        "optimum loses on alignment and gains on pre-training, by volume 1 to (1 + 2L/k)/(1 - L) times as much (k: pre-training volume, "
        "L < 1: opposed volume, both in units of the alignment).",
    ]
    if durability is not None and durability["error"]["median"] is not None:
        error = durability["error"]
        sentences.append(
            f"On a real model, how many opposed examples undo an alignment was forecast before any training: off "
            f"{in_the_middle(error['median'], error['worst'], error['runs'], middle='middle')} "
            f"(**{verdicts.get('R25-measured', NOT_TESTED)}**)."
        )
    sentences.append(
        "Whether more aligned models fall back faster depends on what is measured: "
        f"**{verdicts.get('F2-z', NOT_TESTED)}** by log-odds, **{verdicts.get('F2-code-length', NOT_TESTED)}** by code length."
    )
    total = len(judged)
    others = total - measured[SUPPORTED] - measured[NOT_SUPPORTED] - measured[NOT_TESTED]
    conditional = f", {others} {'holds' if others == 1 else 'hold'} under a condition only" if others else ""
    sentences.append(
        f"Of {total} findings and questions that measurements on small models can judge, **{measured[SUPPORTED]} are supported**, "
        f"**{measured[NOT_SUPPORTED]} are not**{conditional} and {measured[NOT_TESTED]} were not tested; the paper's own models were "
        "not run."
    )
    return sentences


def _by(verdict: str) -> str:
    return ": small counterexamples in exact fractions show where" if verdict == FAILS else ""
