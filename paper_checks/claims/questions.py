"""The paper's open questions: Q1 is measured on real models; Q2 has ceilings (R17), prices (R21, R22), and a grid in the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from elastomath.defences.defence import DEFENCES
from elastomath.interval import Interval
from elastomath.shown import in_the_middle, number_of

from .claim import FAILS, NOT_RUN, NOT_SUPPORTED, SUPPORTED, WITH_CONSTANTS, Claim, Evidence, Finding, measured, only_if

GRID = "defence-sim"
MODEL = "defence"
"""The grid on a real model."""
MODEL_SEEDS = "defence-seeds"
"""The best defence of that grid that leaves the attacker's data alone, over seeds."""
FORETOLD = 0.3
"""The median relative error at which what undoes a defended behaviour counts as foretold."""
CEILING = "training is joint compression by a mixture; with forgetting (R19) or in a general class there is no ceiling"


def usefulness(evidence: Evidence) -> Finding:
    """Q2: the ceiling ln(1 + L/(k+1)) on what any perturbation costs a string, the volume that buys it, and where it ends."""
    from elastomath import Mixture
    from elastomath.laws.ceilings import string_ceiling, volume_for
    from elastomath.laws.finite import path_entropies
    from elastomath.laws.forgetting import tampering_ceiling

    proof = [*evidence.verified("R17"), *evidence.verified("R19")]
    rng, closest = np.random.default_rng(evidence.seed), 0.0
    for _ in range(40):
        rows = rng.dirichlet(np.full(int(rng.integers(3, 30)), 0.3), size=3)
        k, step = float(rng.uniform(1, 100)), float(rng.uniform(0.1, 10))
        before, after = path_entropies(Mixture.of(rows, [k, 1.0, 0.0]), [0.0, step]).T
        rise, ceiling = float(after[1] - before[1]), string_ceiling(k + 1.0, step)
        closest = max(closest, rise / ceiling)
        if (
            rise > ceiling * (1 + 1e-12)
            or abs(string_ceiling(volume_for(ceiling, step), step) - ceiling) > 1e-9 * ceiling
        ):
            return Finding(
                FAILS, "sampled", f"DeltaH_a = {rise:.6g} above its ceiling {ceiling:.6g} at k = {k:g}, L = {step:g}"
            )
    if not all(claim.holds for claim in proof):
        return Finding(FAILS, "symbolic", "R17 or R19 does not come out: elastomath verify --only R17,R19")
    bought = volume_for(0.01, 1.0)
    forgets = tampering_ceiling(np.array([1e2, 1e4]), 1e-3)
    return Finding(
        only_if(CEILING),
        "symbolic",
        f"no perturbation of volume L lengthens any string by more than ln(1 + L/(k+1)) nats (random ones reached {closest:.2f} of "
        f"it); 0.01 nats against L = 1 are bought by a volume of {bought:.1f}; with forgetting at eta = 1e-3 the same ceiling is "
        f"{forgets[0]:.2g} nats after 100 steps and {forgets[1]:.3g} after 10,000: nothing is tuned away for good",
        {"closest": closest, "volume": bought},
    )


def price(evidence: Evidence) -> Finding:
    """Q2: the price of an undo volume M under the logit law, by plain fine-tuning and by DPO at every beta."""
    from elastomath.laws.logit import undo_volume
    from elastomath.laws.planner import best_dpo, dpo_price, needed_rise, sft_price
    from elastomath.laws.preferences import dpo_undo_volume

    proof = [*evidence.verified("R21"), *evidence.verified("R22")]
    rng, worst = np.random.default_rng(evidence.seed), 0.0
    for _ in range(200):
        z, c, undo = float(rng.uniform(-3, 3)), float(np.exp(rng.uniform(-4, 0))), float(np.exp(rng.uniform(0, 5)))
        height = float(needed_rise(z, undo, c))
        n, best, betas = float(sft_price(z, height, c)), best_dpo(height, c), np.exp(rng.uniform(-6, 2, 50)) / height
        ends = [float(dpo_undo_volume(z, best.pairs, c, float(best.beta)))]
        ends += [float(undo_volume(z, n, c))] if n < 1e300 else []
        worst = max(worst, *(abs(end / undo - 1) for end in ends))
        cheaper = np.any(dpo_price(height, c, betas) < best.pairs * (1 - 1e-12))
        if worst > 1e-9 or cheaper or abs(float(best.pairs) * c / height**2 - (1 + np.e**2) / 4) > 1e-12:
            return Finding(FAILS, "sampled", f"z_0 = {z:.3g}, c = {c:.3g}, M = {undo:.4g}: off by {worst:.2g}")
    if not all(claim.holds for claim in proof):
        return Finding(FAILS, "symbolic", "R21 or R22 does not come out: elastomath verify --only R21,R22")
    return Finding(
        WITH_CONSTANTS,
        "sampled",
        f"200 random cases come back to their M (worst error {worst:.1g}) and no beta is cheaper than 2/D. Plain fine-tuning pays about "
        "e^(c M)/c examples, DPO (1 + e^2)/4 D^2/c = 2.1 c M^2 pairs; a replay of a share r holds that share and nothing above it",
        {"worst": worst},
    )


def _grid(evidence: Evidence) -> Mapping[str, Any] | None:
    saved = evidence.saved(GRID)
    return saved.summary if saved.there else None


def _scale(summary: Mapping[str, Any]) -> str:
    return (
        f"transformer of 50 thousand parameters, {number_of(summary['ranking'][0]['seeds'], 'seed')}, {len(summary['ranking'])} defences, "
        "plain fine-tuning among them"
    )


def doubled(evidence: Evidence) -> Finding:
    """Q2 measured: does a defence more than double m* beyond its interval, at no more than 1% of utility lost beyond plain fine-tuning?"""
    summary = _grid(evidence)
    if summary is None:
        return NOT_RUN
    good = [
        entry["defence"]
        for entry in summary["ranking"]
        if not entry["defence"].startswith("replay")
        and (entry["gain"]["low"] or 0.0) > 2
        and entry["extra"]["high"] is not None
        and entry["extra"]["high"] < 0.01
    ]
    useful = next(answer for answer in summary["answers"] if answer["id"] == "useful")
    return measured(good, f"{_scale(summary)}: {useful['sentence']}", {"good": good})


def untunable(evidence: Evidence) -> Finding:
    """Q2 measured: does a behaviour of any defence outlast every attack, where the attacker alone chooses the data?"""
    summary = _grid(evidence)
    if summary is None:
        return NOT_RUN
    own = [row for row in summary["rows"] if not row["defence"].startswith("replay")]
    lasting = {row["defence"] for row in own}
    for row in own:
        if any(attack["undone"] is not None for attack in row["attacks"].values()):
            lasting.discard(row["defence"])
    kept = [entry for entry in summary["ranking"] if entry["defence"] == "replay-50"]
    keeps = (
        f"; with a replay of 50%, which needs the attacker's data, {kept[0]['censored']} of {kept[0]['seeds']} were not"
        if kept
        else ""
    )
    return measured(
        lasting,
        f"{_scale(summary)}: of the {len({row['defence'] for row in own})} that leave the attacker's data alone {len(lasting)} outlast "
        f"every attack in every seed; a behaviour of every other was undone by at least one{keeps}. What the output layer alone leaves "
        "to any defence: `elastomath.laws.planner.output_constant`",
        {"lasting": sorted(lasting)},
    )


def comes_back(evidence: Evidence) -> Finding:
    """Q2 measured: does neutral training bring back a behaviour of the base that opposed examples overlaid?"""
    summary = _grid(evidence)
    if summary is None:
        return NOT_RUN
    parts = {a["id"].partition("/")[2]: a["value"] for a in summary["answers"] if a["id"].startswith("back/")}
    half = [n for n, value in parts.items() if value["low"] is not None and value["low"] > 0.5]
    ways = ", ".join(f"{Interval.of_dict(value):.0%} after {n}" for n, value in parts.items())
    return measured(
        len(half) == len(parts),
        f"{_scale(summary)}: of the fall, neutral text gives back {ways} opposed examples. The logit law says that nothing comes back, "
        "joint compression that the overlay would hardly have counted",
        {"half": half},
    )


def doubled_model(evidence: Evidence) -> Finding:
    """Q2 on a real model: does a defence more than double m* over seeds, against every attack, at less than 1% of utility lost?"""
    saved = evidence.saved(MODEL_SEEDS)
    if not saved.there:
        return NOT_RUN
    own = [entry for entry in saved.summary["ranking"] if not entry["defence"].startswith("replay")]
    attacks = {entry["attack"] for entry in own}
    good: dict[str, set[str]] = {}
    for entry in own:
        if (entry["gain"]["low"] or 0.0) > 2 and entry["lost"]["high"] is not None and entry["lost"]["high"] < 0.01:
            good.setdefault(entry["defence"], set()).add(entry["attack"])
    lasting = sorted(name for name, against in good.items() if against == attacks)
    return measured(
        lasting, f"{_model_scale(saved.summary)}: {' '.join(saved.summary['conclusion'])}", {"good": lasting}
    )


def foretold_model(evidence: Evidence) -> Finding:
    """Q2 on a real model: do two backward passes at the defended weights foretell what undoes a behaviour?"""
    saved = evidence.saved(MODEL)
    if not saved.there:
        return NOT_RUN
    errors = {
        (row["pairs"], row["seed"], row["defence"]): abs(row["forecast"] / row["same_rate"]["estimate"] - 1)
        for row in saved.summary["defence"]
        if row["attack"] == "sft" and row["forecast"] and row["same_rate"]["estimate"]
    }
    median, worst = float(np.median(list(errors.values()))), max(errors, key=lambda key: errors[key])
    return measured(
        median < FORETOLD,
        f"{_model_scale(saved.summary)}: off {in_the_middle(median, errors[worst], len(errors))} "
        f"({worst[2]}, {worst[0]}, seed {worst[1]}); a defence whose attack has a replay has no forecast",
        {"median": median},
    )


def relearned_model(evidence: Evidence) -> Finding:
    """Q2 on a real model: does what NPO unlearned come back after fewer examples than the unlearning took?"""
    saved = evidence.saved(MODEL)
    if not saved.there:
        return NOT_RUN
    rows = [row for row in saved.summary["defence"] if row["attack"] == "sft" and row["defence"].startswith("npo")]
    taken = {id(row): row["volume"] * DEFENCES[row["defence"]].stretch for row in rows}
    sooner = [row for row in rows if row["same_rate"]["estimate"] and row["same_rate"]["estimate"] < taken[id(row)]]
    each = "; ".join(
        f"{row['pairs']}, {taken[id(row)]:g} by {row['defence']}: {row['same_rate']['estimate']:.0f}, foretold {row['forecast']:.0f}"
        for row in rows
    )
    return measured(
        len(sooner) == len(rows),
        f"{_model_scale(saved.summary)}, at the defender's own learning rate. Examples that unlearned, and those that brought it back: "
        f"{each}",
        {"sooner": len(sooner)},
    )


def _model_scale(summary: Mapping[str, Any]) -> str:
    rows, settings = summary["defence"], summary["settings"]
    groups = {(row["pairs"], row["seed"]) for row in rows}
    names = ", ".join(dict.fromkeys(row["pairs"] for row in rows))
    return (
        f"{settings['model']}, {names}, {len(groups)} behaviours and seeds, {len({row['defence'] for row in rows})} ways of aligning with "
        f"{settings['volume']} examples, against {' and '.join(dict.fromkeys(row['attack'] for row in rows))}"
    )


RERUN = "experiment defence --preset night --attacks sft,few --out {out}"
"""Three seeds, where the rest does not say otherwise."""
CLAIMS = (
    Claim(
        "Q2", "Can the force be made useful?",
        "There are models that cannot be tuned away: a perturbation of given volume does at most a known damage.",
        "Open question 2", only_if(CEILING), usefulness, depends=("R17", "R19"),
        command="elastomath verify --only R17", figure="ceilings",
    ),
    Claim(
        "Q2-price", "What does durability cost?",
        "A wanted undo volume M is bought by a known number of examples: exponential in c M by plain fine-tuning, quadratic by DPO.",
        "Open question 2, under the logit law", WITH_CONSTANTS, price, depends=("R21", "R22"),
        command="elastomath plan --durability 100",
    ),
    *(
        Claim(
            f"Q2-{name}", title,
            claim,
            "Open question 2, in the simulator", verdict, check, depends=("R21", "R22"),
            command=f"elastomath check Q2-{name}", saved=GRID, rerun="study defence --preset quick --out {out}",
            figure="study-defence",
        )
        for name, title, claim, verdict, check in (
            ("doubled", "Is there a cheap defence?",
             "A defence that leaves the attacker's data alone more than doubles what undoes a behaviour, at matched utility.",
             NOT_SUPPORTED, doubled),
            ("untunable", "Are there models that cannot be tuned away?",
             "A behaviour can be put into a model so that it outlasts every attack whose data the attacker chooses.",
             NOT_SUPPORTED, untunable),
            ("back", "Is resistance a useful force?",
             "A behaviour of the base that opposed examples overlaid comes back by neutral training, more than half of it.",
             NOT_SUPPORTED, comes_back),
        )
    ),
    *(
        Claim(
            f"Q2-{name}", title,
            claim,
            "Open question 2, on a real model", verdict, check, depends=("R21", "R22"),
            command=f"elastomath check Q2-{name}", saved=saved, rerun=f"{RERUN} --defences {defences}",
            figure="defence-saved",
        )
        for name, saved, defences, title, claim, verdict, check in (
            ("doubled-model", MODEL_SEEDS, "sft,npo-pre-training", "Is there a cheap defence on a real model?",
             "A defence that leaves the attacker's data alone more than doubles what undoes a behaviour, against every attack "
             "that was tried, at less than 1% of utility lost.",
             SUPPORTED, doubled_model),
            ("unlearned-model", MODEL, "sft,npo,npo-pre-training,npo-more --seeds 0",
             "Is unlearning undone by less than it took?",
             "A response that a model has unlearned comes back after fewer examples than the unlearning took (R22 with the roles "
             "exchanged), whatever was done to make it last.",
             NOT_SUPPORTED, relearned_model),
            ("foretold-model", MODEL,
             "sft,dpo-best,retain,tamper,noising,npo,npo-pre-training,npo-more,pre-training,average,replay-50 --seeds 0",
             "Is what undoes a defended behaviour foretold?",
             "Two backward passes at the defended weights foretell what undoes a behaviour, whatever defence put it there.",
             SUPPORTED, foretold_model),
        )
    ),
)  # fmt: skip
