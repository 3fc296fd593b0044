"""What the resistance protocol found: every pair's losses, levels and excess code lengths, pooled, and what they say of F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from elastomath.ledger import Result

from .contrast import rate
from .excess import Lengths, Pair, Pooled, pair_estimates, pooled_gaps, verdict


def result_pair(result: Result) -> Pair:
    """The readings of one run as the `Pair` that the estimators take."""
    configuration = result["configuration"]
    near, far = int(configuration["near"]), int(configuration["far"])

    def lengths(reading: Result, name: str) -> Lengths:
        return Lengths(reading[f"nats_{name}"], reading[f"tokens_{name}"])

    inverse, forward = (result["runs"][direction]["readings"] for direction in ("inverse", "forward"))
    return Pair(
        near,
        far,
        own_near=lengths(result["slices"][str(near)], f"D{near}"),
        own_far=lengths(result["slices"][str(far)], f"D{far}"),
        before_inverse=lengths(inverse[0], f"D{near}"),
        before_forward=lengths(forward[0], f"D{far}"),
        after_inverse=lengths(inverse[-1], f"D{near}"),
        after_forward=lengths(forward[-1], f"D{far}"),
    )


def summarise(done: Sequence[Result]) -> dict[str, Any]:
    """Every pair's numbers, the gaps pooled over pairs and seeds, and what they say of F1 on each measure.

    Only seeds whose pairs are all there are pooled, so that every seed's mean is over the same pairs.
    """
    rows: list[dict[str, Any]] = []
    by_seed: dict[int, list[tuple[Pair, dict[str, Any]]]] = {}
    for result in done:
        configuration, pair = result["configuration"], result_pair(result)
        runs = result["runs"]
        row: dict[str, Any] = {"seed": configuration["seed"], "near": pair.near, "far": pair.far}
        for direction in ("inverse", "forward"):
            row[f"final_training_loss_{direction}"] = runs[direction]["final_loss"]
            row[f"mean_training_loss_{direction}"] = runs[direction]["training_loss"]
        row |= {name: asdict(value) for name, value in pair_estimates(pair).items()}
        aligned = {n: rate(result["slices"][str(n)], "align") for n in (0, pair.near, pair.far)}
        rows.append(row | {"rate_of_alignment_text": {f"theta_{n}": value for n, value in aligned.items()}})
        by_seed.setdefault(int(configuration["seed"]), []).append((pair, row))
    most = max(len(pairs) for pairs in by_seed.values())
    whole = [pairs for pairs in by_seed.values() if len(pairs) == most]
    pooled = pooled_gaps([[pair for pair, _ in pairs] for pairs in whole])
    trained = [
        np.mean([row["final_training_loss_forward"] - row["final_training_loss_inverse"] for _, row in pairs])
        for pairs in whole
    ]
    signs = [row["final_training_loss_forward"] > row["final_training_loss_inverse"] for row in rows]
    verdicts = {name: verdict(value) for name, value in pooled.items()}
    return {
        "pairs": rows,
        "pooled": {name: asdict(value) for name, value in pooled.items()},
        "final_training_loss_gap": {"seeds": [float(value) for value in trained], "estimate": float(np.mean(trained))},
        "positive_gaps": {"final_training_loss": int(sum(signs)), "of": len(signs)},
        "verdicts": verdicts,
        "reading": _in_words(pooled, verdicts, signs),
    }


def _in_words(pooled: dict[str, Pooled], verdicts: dict[str, str], signs: Sequence[bool]) -> list[str]:
    loss, level, excess = (pooled[name] for name in ("held_out_loss", "level", "excess_after"))

    def told(one: Pooled) -> str:
        documents, seeds = one.over_documents, one.over_seeds
        over = "one seed" if seeds.low is None else f"[{seeds.low:+.4f}, {seeds.high:+.4f}] over seeds"
        return f"{one.estimate:+.4f} bits/token ([{documents.low:+.4f}, {documents.high:+.4f}] over documents, {over})"

    lines = [
        f"as the paper prints it: the final training loss of the inverse run is lower in {sum(signs)} of {len(signs)} pairs",
        f"held-out loss, forward less inverse: {told(loss)}: F1 {verdicts['held_out_loss']}",
        f"of it the level of the targets alone, h_l - h_k: {told(level)}",
        f"excess code length after training, forward less inverse: {told(excess)}: F1 {verdicts['excess_after']}",
        f"the same before training, D(p_l || p_k) - D(p_k || p_l): {told(pooled['excess_before'])}",
    ]
    if "same_target" in pooled:
        told_same = told(pooled["same_target"])
        lines.append(f"on the same target D_2, theta_1 less theta_3: {told_same}: F1 {verdicts['same_target']}")
    return lines
