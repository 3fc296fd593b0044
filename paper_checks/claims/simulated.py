"""Sequential training in the simulator: whether the kernel stands still in wide networks, what a replay restores, the order of data."""

from __future__ import annotations

from collections.abc import Callable

from elastomath.interval import Interval

from .claim import NOT_RUN, NOT_SUPPORTED, SUPPORTED, Claim, Evidence, Finding, measured

NEAR = 0.1
"""How near to a joint optimum a contrast has to rest, nats."""


Numbers = dict[str, Interval]
Words = dict[str, str]


def _judged(study: str, judge: Callable[[Numbers, Words], Finding]) -> Callable[[Evidence], Finding]:
    """The check that gives a judge the numbers of a saved study, and its sentences, by id."""

    def check(evidence: Evidence) -> Finding:
        saved = evidence.saved(f"{study}-sim")
        if not saved.there:
            return NOT_RUN
        answers = saved.summary["answers"]
        return judge(
            {answer["id"]: Interval.of_dict(answer["value"]) for answer in answers},
            {answer["id"]: answer["sentence"] for answer in answers},
        )

    check.__doc__ = judge.__doc__
    return check


def _falls(exponent: str, *sentences: str, head: str = "") -> Callable[[Numbers, Words], Finding]:
    """Whether the exponent is below 0, beyond the scatter over seeds."""

    def judge(numbers: Numbers, words: Words) -> Finding:
        return measured(
            numbers[exponent].sign() < 0,
            head + " ".join(words[id] for id in sentences),
            {"exponent": numbers[exponent].estimate},
        )

    judge.__doc__ = (
        f"R21 and R25 simulated: does the power of the width, {exponent}, lie below 0, beyond the scatter over seeds?"
    )
    return judge


def _held(numbers: Numbers, words: Words) -> Finding:
    """R13 and R21 simulated: does a replay of a fixed share bring the contrast to the joint optimum of the mix, and what was undone?"""
    rest, none = (
        {id: value for id, value in numbers.items() if id.startswith(f"{part}/")} for part in ("rest", "none")
    )
    far = max(value.estimate or 0.0 for value in rest.values())
    return measured(
        far < NEAR,
        f"{len(rest)} compressors rest within {far:.3f} nats of it; without a replay "
        + ", ".join(f"{value}" for value in none.values())
        + f" of the joint law's opposed steps undo the behaviour. {words[min(id for id in words if id.startswith('past/'))]}",
        {"far": far},
    )


def _no_order(numbers: Numbers, words: Words) -> Finding:
    """R13 simulated: does a behaviour learned early last as long as one learned last, within the scatter over seeds?"""
    early = {id: value for id, value in numbers.items() if id.startswith("early/") and value.high is not None}
    shorter = [id for id, value in early.items() if value.high is not None and value.high < 1]
    neutral = [words[id] for id in shorter if "/neutral/" in id]
    return measured(
        not shorter,
        f"in {len(shorter)} of {len(early)} settings an early behaviour is undone by fewer opposed steps. {' '.join(neutral[-1:])}".strip(),
        {"shorter": len(shorter)},
    )


def _claim(
    study: str, id: str, title: str, claim: str, verdict: str, judge: Callable[[Numbers, Words], Finding], *rests: str
) -> Claim:
    return Claim(
        id, title, claim, "Section 6, in the simulator", verdict, _judged(study, judge), depends=rests,
        command=f"elastomath check {id}", saved=f"{study}-sim", rerun=f"study {study} --preset quick --out {{out}}",
        figure=f"study-{study}",
    )  # fmt: skip


CLAIMS = (
    _claim(
        "kernel", "R21-frozen", "One constant in wide networks",
        "The wider a network, the less the gradient of the contrast turns in fine-tuning: in the limit the law has one constant.",
        SUPPORTED, _falls("turned/width", "turned/width", "kernel/width", head="perceptrons: "), "R21", "R25",
    ),
    _claim(
        "sequence", "R25-width", "The forecast gets better with the width",
        "The wider a transformer, the nearer the undo volume comes to what two gradients of its base foretell.",
        SUPPORTED, _falls("width/transformer", "width/transformer", "turned/transformer"), "R21", "R25",
    ),
    _claim(
        "replay", "R21-replay", "What a replay restores",
        "A fixed share of replayed data brings the contrast to the joint optimum of the mix, whatever alignment had made of it.",
        SUPPORTED, _held, "R13", "R21",
    ),
    _claim(
        "order", "R13-order", "The order of data",
        "A behaviour lasts as long wherever in the training of the base it was learned, as under joint compression.",
        NOT_SUPPORTED, _no_order, "R13", "R21",
    ),
)  # fmt: skip
