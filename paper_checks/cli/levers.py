"""`plan --durability M`: what makes a behaviour last M opposed examples, the cheapest way first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from elastomath.laws.planner import ABSURD, Lever

from .terminal import conclude, emit, table


def plan_durability(
    undo: float,
    constant: float,
    start: float,
    *,
    attack: float = 1.0,
    betas: Sequence[float] = (),
    replay: float = 0.1,
    ceiling: float | None = None,
    as_json: bool = False,
) -> int:
    """Print, or emit as JSON, the levers for an undo volume at the constant c of a model (`elastomath predict` measures it).

    attack: learning rate of the attacker, in units of that of the alignment. ceiling: nats that the attack may add to the code
    of the wanted response. Raises InputError for numbers that are not positive.
    """
    from elastomath.laws.ceilings import volume_for
    from elastomath.laws.planner import ceiling_contrast, levers, needed_rise, sft_price

    rungs = levers(start, undo, constant, constant * attack, betas=betas, replay=replay)
    height = float(needed_rise(start, undo, constant * attack))
    sentences = _sentences(rungs, undo, start, height)
    result: dict[str, Any] = {"undo": undo, "c": constant, "start": start, "attack": attack, "height": height}
    if ceiling is not None:
        top = ceiling_contrast(undo, constant * attack, ceiling)
        price = 0.0 if top <= start else float(sft_price(start, top - start, constant))
        joint = volume_for(ceiling, undo)
        result["ceiling"] = {"nats": ceiling, "contrast": _finite(top), "examples": _finite(price), "joint": joint}
        sentences.append(
            f"For them to add at most {ceiling:g} nats to the code of the wanted response, plain fine-tuning takes {_count(price)} "
            f"examples; an ideal compressor of everything would need a volume of {_count(joint)}."
        )
    rows = [asdict(lever) | {"examples": _finite(lever.examples), "absurd": lever.absurd} for lever in rungs]
    result |= {"levers": rows, "conclusion": sentences}

    def show() -> None:
        conclude(sentences)
        shown = [
            {
                "lever": lever.name,
                "sequences": _count(lever.examples),
                "log-odds": f"{lever.contrast:.3g}",
                "what": lever.detail,
            }
            for lever in rungs
        ]
        table(shown, tuple(shown[0]))
        print(
            f"Supposed: one example moves the log-odds of the wanted response by at most c = {constant:.3g} nats; they are {start:.3g} "
            f"before alignment, and there the behaviour counts as undone; the attacker has {attack:g} times your learning rate. "
            "SFT: plain fine-tuning. DPO: preference training, of which a pair is two sequences."
        )
        print(
            "Not shown: how far c moves along training, what a lever costs in utility, and attacks other than plain fine-tuning."
        )

    emit(result, as_json, show)
    return 0


def _sentences(rungs: Sequence[Lever], undo: float, start: float, height: float) -> list[str]:
    plain = next(lever for lever in rungs if lever.name == "SFT")
    best = next(lever for lever in rungs if lever.name.startswith("DPO"))
    sentences = [
        f"To last {undo:g} opposed examples, the log-odds of the wanted response have to rise by {height:.3g} nats, from {start:.3g}.",
        f"Plain fine-tuning would take {_count(plain.examples)} examples{', which is absurd' if plain.absurd else ''}; "
        f"{best.name.replace(', beta', ' at beta')}, {_count(best.examples / 2)} pairs.",
    ]
    if rungs[0].name.startswith("replay"):
        sentences.append(
            f"Who owns the fine-tuning can replay instead: a {rungs[0].name} of aligned examples keeps the wanted share from falling below "
            f"what it was before alignment, for {_count(rungs[0].examples)} of them, and holds nothing above it."
        )
    return sentences


def _count(value: float) -> str:
    """A number of examples as it is said.

    >>> _count(74.2), _count(4186114.0), _count(3.2e13), _count(float("inf"))
    ('74', '4,190,000', '3.2e+13', 'more than 1e308')
    """
    if not math.isfinite(value):
        return "more than 1e308"
    return f"{float(f'{value:.3g}'):,.0f}" if value < ABSURD else f"{value:.2g}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
