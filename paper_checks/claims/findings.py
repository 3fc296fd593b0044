"""Findings F1-F3 and question Q1, judged from saved curves and summaries of experiments on real models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from elastomath.interval import Interval
from elastomath.shown import number_of

from .claim import NOT_RUN, NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Claim, Evidence, Finding, measured

SCALE = "SmolLM2-135M (4-bit weights), film reviews"
"""What the saved experiments were run on."""
PER_DOUBLING = "bits/token per doubling"
"""The unit of the slopes of F3, for results that were saved without it: `empirical.scale.answers` takes them on log2 P and log2 V."""
ON_RECORD = {"dpo": SUPPORTED, "kto": NOT_SUPPORTED}
"""Verdicts on F2 on film reviews after each preference algorithm that was run, with one seed; SimPO and PPO: `behaviours`."""
ALGORITHMS = tuple(ON_RECORD)
FEWEST_SEEDS = 3
"""Seeds from which on an interval over them judges, as in `Interval.of_clusters`; fewer are judged by their documents, and only they."""
RATIO = "inverse / forward"
"""The costs of Q1: from 90% aligned to 60%, over those from 60% to 90%."""
TWO_CORES = "--executor local --workers 2"
ALGORITHMS_RUN = (
    f"experiment rebound --preset quick --algorithm {','.join(ALGORITHMS)} --perturb-volumes 24,192 --no-control "
    f"{TWO_CORES}"
)
"""The rebound after preference algorithms: both ends of the fall, no control."""


def sign_of(number: Mapping[str, Any]) -> int:
    """+1 or -1 where an estimate is told from 0, else 0: by its interval over three seeds or more, which documents do not overrule.

    One seed or two say nothing of others (`Interval.of_clusters`): then by three standard errors over the documents of these seeds.

    >>> sign_of({"low": 0.1, "high": 0.3, "z": 9.0, "units": 3}), sign_of({"low": -1.0, "high": 1.2, "z": -3.0, "units": 2})
    (1, -1)
    >>> sign_of({"low": -1.0, "high": 1.2, "z": -3.0, "units": 3})
    0
    """
    if number["units"] >= FEWEST_SEEDS:
        return Interval.of_dict(number).sign()
    z = number.get("z")
    return 0 if z is None or abs(z) < 3 else (1 if z > 0 else -1)


def told(number: Mapping[str, Any], digits: int = 4) -> str:
    """An estimate with its interval over seeds, and by how many standard errors over which documents it stands out."""
    interval, z, seeds = Interval.of_dict(number), number.get("z"), number["units"]
    between = f" over {seeds} seeds" if interval.closed else ""
    of = " of these seeds alone" if 1 < seeds < FEWEST_SEEDS else " of its one seed" if seeds == 1 else ""
    over = "" if z is None else f", {z:+.1f} standard errors over the documents{of}"
    return f"{interval:+.{digits}f}{between}{over}"


def _gap(measure: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        summary = evidence.saved("resistance").summary
        gap = summary["pooled"][measure]
        over, seeds = gap["over_documents"], gap["seeds"]
        spread = gap["over_seeds"]
        several = len(seeds) >= FEWEST_SEEDS
        holds = spread["low"] > 0 if several else over["low"] > 0 and min(seeds) > 0
        between = "one seed" if spread["low"] is None else f"[{spread['low']:+.4f}, {spread['high']:+.4f}] over seeds"
        detail = (
            f"forward less inverse {gap['estimate']:+.4f} bits a token, [{over['low']:+.4f}, {over['high']:+.4f}] over documents, "
            f"{between}; seeds: {', '.join(f'{value:+.4f}' for value in seeds)}"
        )
        if measure == "held_out_loss":
            level, printed = summary["pooled"]["level"]["estimate"], summary["positive_gaps"]
            detail += (
                f"; of it {level:+.4f} is the level of the targets alone; the final training loss, as printed, is lower in "
                f"{printed['final_training_loss']} of {printed['of']} pairs"
            )
        return measured(holds, f"{SCALE}: {detail}", {"gap": gap["estimate"]})

    check.__doc__ = f"F1 by the gap of {measure.replace('_', ' ')}: positive over three seeds or more, else over documents and in each."
    return check


def _group(evidence: Evidence, saved: str, algorithm: str, direction: str) -> Mapping[str, Any] | None:
    saved_run = evidence.saved(saved)
    if not saved_run.there:
        return None
    for group in saved_run.summary["falls"]:
        if group["algorithm"] == algorithm and group["direction"] == direction:
            return dict(group)
    return None


def _widest(evidence: Evidence) -> Mapping[str, Any] | None:
    """The group of both directions together, or of the one that was run."""
    return _group(evidence, "rebound", "sft", "both") or _group(evidence, "rebound", "sft", "forward")


def _falls(saved: str, algorithm: str, direction: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        group = _group(evidence, saved, algorithm, direction)
        if group is None:
            return Finding(NOT_TESTED, "measured", f"not run here: {algorithm}, roles {direction}; --rerun runs it")
        least = min(abs(row["z"]) for row in group["moved"])
        first, depth = group["first_fall"]["slope"], group["depth"]["slope"]
        faster, deeper = sign_of(first) > 0, sign_of(depth) > 0
        excess = group.get("excess_depth")
        beyond = f"; beyond the control by {told(excess['slope'])}" if excess and excess["slope"] else ""
        detail = (
            f"{SCALE}, {algorithm}, roles {direction}, {group['align_volumes']} aligned and {group['perturb_volumes']} opposed "
            f"examples: alignment moved the contrast by {least:.0f} standard errors at least; a doubling of the alignment volume "
            f"changes the first fall by {told(first)} and the depth by {told(depth)} bits a token{beyond}"
        )
        return measured(faster and deeper, detail, {"depth": depth["estimate"]})

    check.__doc__ = f"F2 with {algorithm}, roles {direction}: first fall and depth rise with the alignment volume."
    return check


def _beyond_control(evidence: Evidence) -> Finding:
    """F2 against the control: whether what opposed data do beyond mixed data grows with the alignment volume."""
    group = _widest(evidence)
    if group is None:
        return NOT_RUN
    depth = group["excess_depth"]
    rows = ", ".join(f"{row['align_volume']}: {row['estimate']:+.4f}" for row in depth["by_volume"])
    sign = sign_of(depth["slope"])
    return measured(
        sign > 0,
        f"{SCALE}: what {group['perturb_volumes'][-1]} opposed examples take beyond as many mixed ones, by alignment volume: "
        f"{rows}; slope per doubling {told(depth['slope'])}. R13 has it fall, R19 has it free of the alignment volume",
        {"slope": depth["slope"]["estimate"]},
    )


def _slowing(evidence: Evidence) -> Finding:
    """F2's shape: the fall per example in the first segment less that in the last."""
    group = _widest(evidence)
    if group is None:
        return NOT_RUN
    slowing = group["slowing"]
    elsewhere = "" if slowing["units"] >= FEWEST_SEEDS else "; what other seeds would show is not decided by it"
    return measured(
        sign_of(slowing) > 0,
        f"{SCALE}: first less last rate of the fall {told(slowing, 6)} bits a token per example{elsewhere}",
        {"slowing": slowing["estimate"]},
    )


def _divergence(evidence: Evidence) -> Finding:
    """F2 by D(base || model): whether opposed data bring it back below its value in the aligned state, in every run."""
    back, runs, changes = 0, 0, []
    for reading in evidence.saved("rebound").summary["readings"]:
        rows = reading["rows"]
        aligned = [row for row in rows if row["phase"] == "aligned"][-1]["kl_forward"]
        ends = [row["kl_forward"] for row in rows if row["phase"] == "perturb"]
        runs, back = runs + 1, back + (min(ends) < aligned)
        changes.append(ends[-1] / aligned - 1.0)
    detail = (
        f"{SCALE}: D(base || model) comes below its aligned value in {back} of {runs} runs; at the largest perturbation it has "
        f"changed by {100 * min(changes):+.0f}% to {100 * max(changes):+.0f}%"
    )
    return measured(back == runs, detail, {"back": back, "runs": runs})


def _scale(predictor: str, words: str, theory: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        summary = evidence.saved("scale").summary
        measures = summary["groups"][0]["measures"]
        fall, rate = measures["first_fall"]["slope"][predictor], measures["fall_rate"]["exponent"][predictor]
        family = summary["settings"]["family"]
        detail = (
            f"a family of {len(family['sizes'])} sizes and {len(family['volumes'])} pre-training volumes, trained here on film reviews, "
            f"{len(summary['groups'][0]['seeds'])} seeds: the first fall changes by {Interval.of_dict(fall, PER_DOUBLING):+.4f} of {words} "
            f"(standard error over documents {fall['se_documents']:.4f}); the share of the rise undone per example goes as its power "
            f"{Interval.of_dict(rate):+.2f}. {theory}"
        )
        beyond = fall["estimate"] > 2 * fall["se_documents"]
        grows = beyond and Interval.of_dict(fall).sign() > 0 and Interval.of_dict(rate).sign() > 0
        return measured(grows, detail, {"slope": fall["estimate"], "b": rate["estimate"]})

    check.__doc__ = f"F3 by the first fall, absolute and as a share of the rise, against {words}: both grow over seeds."
    return check


def _inversion(evidence: Evidence) -> Finding:
    """Q1: the cost from 90% aligned to 60% over that from 60% to 90%, in examples: below 1 over three seeds, or documents of each."""
    summary = evidence.saved("inversion").summary
    ratio = summary["ratios"][RATIO]["examples"]
    seeds = ratio["seeds"]
    within = [
        Interval.of_dict(run["ratios_over_documents"][RATIO] | {"estimate": value})
        for run, value in zip(summary["seeds"], seeds, strict=True)
    ]
    over = {unit: Interval.of_dict(summary["ratios"][RATIO][unit]) for unit in ("examples", "tokens")}
    judged = [over["examples"]] if len(seeds) >= FEWEST_SEEDS else within
    cheaper = all(value.estimate is not None and value.high is not None and value.high < 1 for value in judged)
    per = ", ".join("open" if value.estimate is None else f"{value:.2g}" for value in within)
    decided = "" if cheaper else ": that going back takes less is not decided, beyond these runs"
    laws = "; ".join(
        f"{row['law']} predicts {row['ratio']['estimate']:.2f}"
        for row in summary["predictions"]
        if row["ratio"]["estimate"]
    )
    return measured(
        cheaper,
        f"{SCALE}: inverse over forward, in examples: {per} over the documents of each seed, {over['examples']:.2g} over "
        f"{number_of(len(seeds), 'seed')} ({over['tokens']:.2g} in tokens){decided}; {laws}. "
        + "; ".join(summary["reading"][:8]),
        {"ratio": ratio["estimate"], "seeds": seeds},
    )


QUICK = f"--preset quick {TWO_CORES}"
RUNS = {
    "resistance": (f"experiment resistance {QUICK}", "resistance"),
    "rebound": (f"experiment rebound --preset quick --directions both {TWO_CORES}", "rebound-saved"),
    "rebound-algorithms": (ALGORITHMS_RUN, "rebound-algorithms"),
    "scale": ("experiment scale --preset quick", "scale"),
    "inversion": (f"experiment inversion {QUICK}", "inversion"),
}
"""What runs a saved experiment again, and the figure of it."""


def _claim(
    saved: str,
    id: str,
    title: str,
    statement: str,
    place: str,
    on_record: str,
    check: Callable[[Evidence], Finding],
    *depends: str,
) -> Claim:
    """A claim that a saved experiment judges: its columns, then the claims that it depends on."""
    rerun, figure = RUNS[saved]
    return Claim(
        id,
        title,
        statement,
        place,
        on_record,
        check,
        depends=depends,
        command=f"elastomath check {id}",
        saved=saved,
        rerun=f"{rerun} --out {{out}}",
        figure=figure,
    )


ROWS: tuple[tuple[Any, ...], ...] = (
    ("resistance", "F1", "Resistance, as losses",
     "Inverse alignment theta_l -> D_k ends at a lower loss than forward alignment theta_k -> D_l.",
     "Section 5.1, Table 1", NOT_SUPPORTED, _gap("held_out_loss")),
    ("resistance", "F1-excess", "Resistance, as excess code lengths",
     "The same for what training leaves above the target's own code length, so that the targets' levels drop out.",
     "Section 5.1, in excess code lengths", NOT_SUPPORTED, _gap("excess_after"), "F1"),
    ("rebound", "F2-sft", "Rebound",
     "The more aligned, the faster and deeper the fall under opposed data (supervised fine-tuning).",
     "Section 5.2", NOT_SUPPORTED, _falls("rebound", "sft", "forward"), "R13", "R19"),
    ("rebound", "F2-exchanged", "Rebound with the roles exchanged",
     "The same with negative examples as alignment and positive ones as perturbation.",
     "Section 5.2", NOT_SUPPORTED, _falls("rebound", "sft", "exchanged"), "F2-sft"),
    ("rebound", "F2-control", "Rebound beyond the control",
     "What opposed data take beyond what any data of the domain take grows with the alignment volume.",
     "Section 5.2, with a control of ours", NOT_SUPPORTED, _beyond_control, "F2-sft", "R13", "R19"),
    ("rebound", "F2-slowing", "Fast first, slow later",
     "The fall is fast first and slows near the pre-training distribution.",
     "Section 5.2", SUPPORTED, _slowing, "F2-sft"),
    ("rebound", "F2-KL", "Rebound by the divergence from the base",
     "Opposed data bring an aligned model back towards its base, as the divergence measures it.",
     "Section 5.2, Table 3", NOT_SUPPORTED, _divergence, "F2-sft"),
    *(
        ("rebound-algorithms", f"F2-{algorithm}", f"Rebound after {algorithm.upper()}",
         f"The same after alignment by {algorithm.upper()}; the perturbation is supervised fine-tuning.",
         "Section 5.2, alignment algorithms", verdict, _falls("rebound-algorithms", algorithm, "forward"), "F2-sft")
        for algorithm, verdict in ON_RECORD.items()
    ),
    ("scale", "F3-size", "Rebound grows with model size",
     "The larger the model, the faster an alignment is undone.", "Section 5.3", SUPPORTED,
     _scale("parameters", "size", "R10 has elasticity per block grow with depth, in expectation"), "R10"),
    ("scale", "F3-volume", "Rebound grows with pre-training volume",
     "The more pre-training, the faster an alignment is undone.", "Section 5.3", NOT_SUPPORTED,
     _scale("pretrain_volume", "pre-training volume",
            "R11: the theorem does not by itself give it; R13 has b < 0, R19 b = 0"), "R11", "R13", "R19"),
    ("inversion", "Q1", "What does inverting an alignment cost?",
     "From 90% aligned back to 60% takes less than from 60% to 90%.",
     "Open question 1", NOT_SUPPORTED, _inversion, "R13", "R19"),
)  # fmt: skip
CLAIMS = tuple(_claim(*row) for row in ROWS)
