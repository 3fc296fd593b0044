"""Excess code lengths: what F1 is measured by. A loss on samples of a model is a level of the target plus a divergence.

Let p_k be the law of theta_k on responses, D_k responses drawn from it (temperature 1, nothing truncated), L(theta; D) the
code length per token. The code length of theta_k on its own samples is the entropy rate h_k, and for any theta

    E L(theta; D_k) = h_k + D(p_k || p_theta)          (chain rule, per token, the end token counted)

so that the gap of F1 between the forward run theta_k -> D_l and the inverse run theta_l -> D_k, k < l, splits exactly:

    L(theta_kl; D_l) - L(theta_lk; D_k) = [h_l - h_k] + [excess_forward - excess_inverse],
    excess_inverse = L(theta_lk; D_k) - L(theta_k; D_k),  excess_forward = L(theta_kl; D_l) - L(theta_l; D_l).

The first bracket is a property of the targets alone; only the second is about the way from one to the other. Before any
training the second is D(p_l || p_k) - D(p_k || p_l), which vanishes to third order in p_l - p_k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from elastomath.errors import InputError
from elastomath.interval import Ends, Estimate, Interval
from elastomath.runs.ledger import Result
from elastomath.units import NATS_PER_BIT

from ..measures.contrast import rate


class Gap(TypedDict):
    """A number pooled over pairs and seeds, with `Interval.as_dict` of both intervals, and of each seed (`Pooled`)."""

    estimate: float
    over_seeds: Ends
    over_documents: Ends
    seeds: list[float]


@dataclass(frozen=True)
class Term:
    """``sign * sum(nats)/sum(tokens)`` over documents, a summand of `combination`; nats and tokens of shape (n,)."""

    sign: float
    nats: ArrayLike
    tokens: ArrayLike


def combination(terms: Sequence[Term]) -> Estimate:
    """``sum_j s_j R_j``, ``R_j = sum_i nats_ij / sum_i tokens_ij``, in bits per token, documents i paired over the terms.

    The standard error is that of the linearised ratios, ``sqrt(n/(n-1) sum_i r_i^2)`` with
    ``r_i = sum_j s_j (nats_ij - R_j tokens_ij) / sum_i tokens_ij``: what two terms share in a document cancels.
    Document i has to be the same text, or the answer to the same prompt, in every term. Raises InputError for terms of
    different lengths, fewer than two documents, and a term without a token.

    >>> a = Term(1, [2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    >>> combination([a, Term(-1, [1.0, 3.0, 5.0], [1.0, 2.0, 3.0])]).estimate * NATS_PER_BIT
    0.5
    >>> combination([a, Term(-1, a.nats, a.tokens)])
    Estimate(estimate=0.0, se=0.0)
    """
    nats = [np.asarray(term.nats, dtype=np.float64) for term in terms]
    tokens = [np.asarray(term.tokens, dtype=np.float64) for term in terms]
    sizes = {values.shape for values in (*nats, *tokens)}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1 or next(iter(sizes))[0] < 2:
        raise InputError(
            f"terms of shapes {', '.join(str(size) for size in sorted(sizes)) or 'none'}",
            where="combination",
            mend="pair at least two documents in every term",
        )
    if not all(float(values.sum()) > 0 and np.isfinite(values).all() for values in tokens):
        raise InputError("a term without a token", where="combination", mend="measure texts that have tokens")
    total, residual = 0.0, np.zeros(nats[0].shape)
    for term, cost, count in zip(terms, nats, tokens, strict=True):
        rate = cost.sum() / count.sum()
        total += term.sign * rate
        residual += term.sign * (cost - rate * count) / count.sum()
    size = residual.size
    return Estimate(
        float(total / NATS_PER_BIT), float(np.sqrt(size / (size - 1) * (residual @ residual)) / NATS_PER_BIT)
    )


@dataclass(frozen=True, slots=True)
class Pooled:
    """A mean over seeds with two intervals.

    over_seeds      t interval over the seeds' scatter: speaks of other seeds; open (None) for a single seed
    over_documents  normal interval of the documents' errors: speaks of other documents for these trained weights only
    seeds           the estimate of each seed
    """

    estimate: float
    over_seeds: Interval
    over_documents: Interval
    seeds: tuple[float, ...]

    def as_dict(self) -> Gap:
        """The fields, as they go into JSON."""
        return {
            "estimate": self.estimate,
            "over_seeds": self.over_seeds.as_dict(),
            "over_documents": self.over_documents.as_dict(),
            "seeds": list(self.seeds),
        }


def over_seeds(estimates: Sequence[Estimate], level: float = 0.95) -> Pooled:
    """The mean over seeds; the seeds' documents are different draws, so their errors add in squares.

    >>> p = over_seeds([Estimate(1.0, 0.1), Estimate(3.0, 0.1)])
    >>> p.estimate, round(p.over_seeds.high - 2, 1), round(p.over_documents.high - 2, 3)
    (2.0, 12.7, 0.139)
    """
    if not estimates:
        raise InputError("no seed", where="over_seeds", mend="give at least one")
    values = np.array([one.estimate for one in estimates])
    errors = np.array([one.se for one in estimates])
    mean = Estimate(float(values.mean()), float(np.sqrt(errors @ errors)) / values.size)
    seeds = Interval.of_values(values, level=level, unit="bits/token")
    documents = mean.interval(level=level, unit="bits/token")
    return Pooled(float(values.mean()), seeds, documents, tuple(values.tolist()))


def verdict(pooled: Pooled) -> str:
    """What a pooled gap says of F1, which wants it positive; the weaker interval that still decides is named.

    >>> verdict(over_seeds([Estimate(1.0, 0.1), Estimate(3.0, 0.1)]))
    'supported for these weights, seeds too few to tell'
    >>> verdict(over_seeds([Estimate(0.1, 0.1), Estimate(-0.1, 0.1)]))
    'not decided'
    """
    words = {1: "supported", -1: "opposed"}
    seeds, documents = pooled.over_seeds.sign(), pooled.over_documents.sign()
    if seeds:
        return words[seeds]
    return f"{words[documents]} for these weights, seeds too few to tell" if documents else "not decided"


@dataclass(frozen=True)
class Lengths:
    """Nats and counted tokens of each document of one held-out set under one model, both of shape (n,)."""

    nats: ArrayLike
    tokens: ArrayLike


@dataclass(frozen=True)
class Pair:
    """What one pair of slices of one seed measured; documents i answer the same prompts in both sets of samples.

    near, far               k < l: the slice nearer to the base, and the one further on
    own_near, own_far       theta_k on D_k, theta_l on D_l (held-out): the entropies
    before_inverse, before_forward   theta_l on D_k, theta_k on D_l, before training
    after_inverse, after_forward     theta_l trained on D_k, on D_k; theta_k trained on D_l, on D_l (held-out)
    """

    near: int
    far: int
    own_near: Lengths
    own_far: Lengths
    before_inverse: Lengths
    before_forward: Lengths
    after_inverse: Lengths
    after_forward: Lengths

    def gaps(self) -> dict[str, list[tuple[float, Lengths]]]:
        """The signed parts of every gap, forward less inverse: held_out_loss = level + excess_after, exactly."""
        level = [(1.0, self.own_far), (-1.0, self.own_near)]
        loss = [(1.0, self.after_forward), (-1.0, self.after_inverse)]
        before = [(1.0, self.before_forward), (-1.0, self.before_inverse)]
        minus = [(-sign, part) for sign, part in level]
        return {
            "held_out_loss": loss,
            "level": level,
            "excess_after": [*loss, *minus],
            "excess_before": [*before, *minus],
        }


def pair_estimates(pair: Pair) -> dict[str, Estimate]:
    """Every number of one pair, bits per token, with errors over paired documents; gaps are forward less inverse.

    entropy_near, entropy_far; loss_inverse, loss_forward (held-out, after training);
    excess_{before,after}_{inverse,forward}; gap_{held_out_loss,level,excess_after,excess_before}.
    """
    estimates = {"entropy_near": [(1.0, pair.own_near)], "entropy_far": [(1.0, pair.own_far)]}
    estimates |= {"loss_inverse": [(1.0, pair.after_inverse)], "loss_forward": [(1.0, pair.after_forward)]}
    estimates |= {
        "excess_before_inverse": [(1.0, pair.before_inverse), (-1.0, pair.own_near)],
        "excess_before_forward": [(1.0, pair.before_forward), (-1.0, pair.own_far)],
        "excess_after_inverse": [(1.0, pair.after_inverse), (-1.0, pair.own_near)],
        "excess_after_forward": [(1.0, pair.after_forward), (-1.0, pair.own_far)],
    }
    estimates |= {f"gap_{name}": parts for name, parts in pair.gaps().items()}
    return {name: combination(_terms(parts)) for name, parts in estimates.items()}


def pooled_gaps(pairs_by_seed: Sequence[Sequence[Pair]], level: float = 0.95) -> dict[str, Pooled]:
    """The mean over a seed's pairs of each gap of `Pair.gaps`, pooled over seeds; documents stay paired over the pairs.

    Also ``same_target``: L(theta_1 -> D_2) - L(theta_3 -> D_2), forward less inverse loss on the *same* target one slice
    away, where the level cancels; it is there where the pairs (1, 2) and (2, 3) are.
    """
    pooled: dict[str, list[Estimate]] = {}
    for pairs in pairs_by_seed:
        terms: dict[str, list[Term]] = {}
        for pair in pairs:
            for name, parts in pair.gaps().items():
                terms.setdefault(name, []).extend(_terms(parts, 1.0 / len(pairs)))
        by_pair = {(pair.near, pair.far): pair for pair in pairs}
        if (1, 2) in by_pair and (2, 3) in by_pair:
            terms["same_target"] = _terms([(1.0, by_pair[1, 2].after_forward), (-1.0, by_pair[2, 3].after_inverse)])
        for name, members in terms.items():
            pooled.setdefault(name, []).append(combination(members))
    return {name: over_seeds(values, level) for name, values in pooled.items()}


def _terms(parts: Sequence[tuple[float, Lengths]], share: float = 1.0) -> list[Term]:
    return [Term(sign * share, part.nats, part.tokens) for sign, part in parts]


# What the resistance protocol found: every pair's losses, levels and excess code lengths, pooled, and what they say
# of F1.


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
        "pooled": {name: value.as_dict() for name, value in pooled.items()},
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
