"""The answer of each study in one to three sentences, read from its answers, so that saved results have it too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from elastomath.interval import Interval

from .answers import QUADRATURE, rising_with

Answers = Mapping[str, Interval]


def conclusion(summary: Mapping[str, Any]) -> list[str]:
    """What a study says at last, in whole sentences; ``found`` is what `run_study` or `load_study` gives."""
    answers = {answer["id"]: Interval.of_dict(answer["value"]) for answer in summary["answers"] if answer["value"]}
    conclude = CONCLUSIONS.get(summary["study"])
    if conclude is None:  # a study without a summary of its own opens with its first answer
        return [summary["answers"][0]["sentence"]] if summary["answers"] else ["No run gave an answer."]
    return conclude(answers, summary)


def _constant(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    theta, signs = _of(answers, "theta/"), _of(answers, "signs/")
    if not theta:
        return ["No run reached a joint optimum that could be read."]
    middle = ", ".join(f"{value.estimate:.3f} for the {name}" for name, value in theta.items())
    outside = sum(row["source"] == "union2" and not row["inside"] for row in summary.get("table", []))
    word = f"miss at their joint optima, in {outside} readings, what" if outside else "do at their joint optima what"
    sentences = [
        f"Where pre-training data is the union of alignment and perturbation data, trained models {word} the "
        f"theorem made true says: weighted by volume, alignment loses as many times what pre-training gains: {middle}."
    ]
    if signs:
        share = ", ".join(f"{value.estimate:.0%} for the {name}" for name, value in signs.items())
        sentences.append(
            f"With a third part in the union the theorem's signs hold in "
            f"{'all readings' if all(value.estimate == 1 for value in signs.values()) else 'a part of the readings only'} ({share})."
        )
    return sentences


def _volumes(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    counting = [value for name, value in answers.items() if name.startswith("beta-pretrain/counting")]
    trained = [
        value
        for name, value in answers.items()
        if name.startswith(("beta-pretrain/softmax", "beta-pretrain/transformer"))
    ]
    sentences = []
    if trained:
        below = sum(value.high is not None and value.high < 1 for value in trained)
        above = sum(value.low is not None and value.low > 1 for value in trained)
        word = (
            "by less than its volume"
            if below and not above
            else "by more than its volume"
            if above and not below
            else "unevenly"
        )
        rest = f", above it in {above}" if above else ""
        rest += ", and not decided in the rest" if below + above < len(trained) else ""
        sentences.append(
            f"Trained in sequence, networks count pre-training {word}: its exponent is below the 1 of joint compression "
            f"in {below} of {len(trained)} settings{rest}."
            if below or above
            else f"Trained in sequence, networks leave open what pre-training counts for, in all {len(trained)} settings."
        )
    if counting:
        low, high = min(_middle(counting)), max(_middle(counting))
        missed = max(_middle(list(_of(answers, "r19/counting/").values())), default=math.inf)
        law = (
            "exactly as the law of forgetting says" if missed <= QUADRATURE else "which is not the law of forgetting's"
        )
        sentences.append(
            f"A counting compressor goes from the joint law to forgetting as it forgets more (exponent {high:.2f} down to {low:.2f}), "
            f"{law}."
        )
    return sentences or ["No run gave an exponent."]


def _rebound(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    undo, f2 = _of(answers, "undo/"), _of(answers, "f2/")
    sentences = []
    if f2:
        joint = f2.get("mixture")
        others = [value for name, value in f2.items() if name != "mixture"]
        if joint is not None and others:
            decided = sum(value.low is not None and value.low > 0.5 for value in others)
            low, high = min(_middle(others)), max(_middle(others))
            sentences.append(
                f"More aligned models fall back faster in {low:.0%} to {high:.0%} of the comparisons when "
                f"trained in sequence (in more than half, beyond the scatter, for {decided} of {len(others)} compressors), and in "
                f"{joint.estimate:.0%} under joint compression: {_rebounds(decided, joint)}."
            )
    if undo:
        rises = [name for name, value in undo.items() if value.sign() > 0]
        falls = [name for name, value in undo.items() if value.sign() < 0]
        open_ones = [name for name, value in undo.items() if not value.sign()]
        parts = [
            f"{verb} for {_listed(names)}"
            for verb, names in (("rises", rises), ("falls", falls), ("has no decided direction", open_ones))
            if names
        ]
        sentences.append(
            f"With more alignment, the volume that undoes it {', '.join(parts)}; Table 3 of the paper has it fall."
        )
    return sentences or ["No run could be compared."]


def _rebounds(decided: int, joint: Interval) -> str:
    """Where rebound is seen: in so many compressors in sequence, and by the interval under joint compression."""
    ideal = "not decided for the ideal compressor"
    if joint.high is not None and joint.high < 0.5:
        ideal = "not with the ideal compressor"
    elif joint.low is not None and joint.low > 0.5:
        ideal = "with the ideal compressor, too"
    return f"rebound is {'seen' if decided else 'not decided'} with training in sequence, {ideal}"


def _scale(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    sentences = []
    depth, size, volume = answers.get("depth/mixture"), answers.get("size/transformer"), _of(answers, "volume/")
    if depth is not None:
        rising, draws = rising_with(summary.get("depth", []), "depth")
        sentences.append(
            f"In deeper trees alignment gives way more: its response rises with depth, to {depth.estimate:.2f}."
            if rising > draws / 2
            else f"In deeper trees alignment does not give way more: its response rises with depth in {rising} of {draws} draws."
        )
    if size is not None:
        word = size.side("falls", "rises", "has no decided trend")
        sentences.append(f"With the size of a transformer the response {word} ({size:.3f} for tenfold parameters).")
    if volume:
        falls = sum(value.sign() < 0 for value in volume.values())
        rises = sum(value.sign() > 0 for value in volume.values())
        sentences.append(
            f"With more pre-training, what alignment loses falls in {falls} and rises in {rises} of {len(volume)} settings: the paper's "
            "growth with pre-training volume is not seen."
            if not rises
            else f"With more pre-training, what alignment loses falls in {falls} and rises in {rises} of {len(volume)} settings."
        )
    return sentences or ["No run could be compared."]


def _hooke(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    forward = [
        value
        for name, value in answers.items()
        if name.startswith(("forward/mixture", "forward/softmax/optimum", "forward/transformer/optimum"))
    ]
    reverse = [
        value
        for name, value in answers.items()
        if name.startswith(("reverse/mixture", "reverse/softmax/optimum", "reverse/transformer/optimum"))
    ]
    sequence = [
        value
        for name, value in answers.items()
        if name.startswith("forward/") and value not in forward and not name.endswith("forgetting 0")
    ]
    near = min((row["l"] for group in summary.get("groups", []) for row in group["rows"]), default=math.inf)
    balanced = all(value.high is not None and value.high < 2 * near for value in forward)
    sentences = []
    if forward and reverse and max(_middle(forward)) < min(_middle(reverse)) and not balanced:
        sentences.append(
            "At joint optima the two forces are nearer to equal and opposite with D(data || model) "
            f"(up to {max(_middle(forward)):.0%} of the larger one unbalanced) than with D(model || data), which the paper prints "
            f"(from {min(_middle(reverse)):.0%}), and these seeds do not show that they are."
        )
    elif forward and reverse and max(_middle(forward)) >= min(_middle(reverse)):
        sentences.append(
            "At joint optima the two forces are no nearer to equal and opposite with D(data || model) "
            f"(up to {max(_middle(forward)):.0%} of the larger one unbalanced) than with D(model || data), which the paper prints "
            f"(from {min(_middle(reverse)):.0%})."
        )
    elif forward and reverse:
        sentences.append(
            "At joint optima the two forces are equal and opposite near rest with D(data || model) "
            f"({max(_middle(forward)):.0%} of the larger one unbalanced) and not with D(model || data), which the paper prints "
            f"({min(_middle(reverse)):.0%} or more)."
        )
    if sequence:
        sentences.append(
            f"After training in sequence that forgets they are not balanced: {min(_middle(sequence)):.0%} to "
            f"{max(_middle(sequence)):.0%} of the larger force is left over there."
        )
    return sentences or ["No run reached a point of rest."]


def _sequence(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    errors = _of(answers, "undo/")
    if not errors:
        return ["No run was undone."]
    least, most = (pick(errors, key=lambda name: errors[name].estimate or 0.0) for pick in (min, max))
    sentences = [
        "Two gradients of the base foretell how many opposed steps undo an alignment: at the worst n, in the mean over seeds, off by "
        f"{errors[least].estimate:.2%} for the {least.replace('/', ' with ')}, by {errors[most].estimate:.1%} for the "
        f"{most.replace('/', ' with ')}."
    ]
    slope = answers.get("width/transformer")
    if slope is not None and slope.high is not None and slope.high < 0:
        sentences.append(f"The wider the network, the better: the error goes as its width to the power {slope}.")
    return sentences


def _kernel(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    width, depth, steps = (answers.get(f"turned/{name}") for name in ("width", "depth", "steps"))
    if width is None or width.estimate is None:
        return ["No network was wide enough to be compared."]
    sentences = [
        f"The gradient of the contrast turns less the wider the network is, as its width to the power {width}: "
        + (
            "it stands still in the limit of wide networks, and there the law has one constant."
            if width.sign() < 0
            else "not decided, over so few networks."
        )
    ]
    if depth is not None and depth.estimate is not None:
        word = depth.side(
            "turns less in deeper networks", "turns more in deeper networks", "has no decided trend in the depth"
        )
        sentences.append(
            f"It {word} (power {depth} of the depth)"
            + (f", and grows as the steps to the power {steps}." if steps else ".")
        )
    return sentences


def _replay(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    none, share, past = (list(_of(answers, f"{name}/").values()) for name in ("none", "share", "past"))
    if not none:
        return ["No run was undone."]
    sentences = [
        f"Without a replay an alignment is undone by {_span(none)} of the opposed steps that joint compression needs."
    ]
    if share:
        sentences.append(
            f"A share of {_span(share, 3)} of aligned data in the mix restores that number"
            + (
                ", just below the share that the base has; from that share on nothing is undone."
                if _stops_undoing(summary)
                else "."
            )
        )
    if past:
        sentences.append(
            f"Replaying everything in proportion follows the joint law with a lag: {_span(past)} of its undo volume."
        )
    return sentences


def _stops_undoing(summary: Mapping[str, Any]) -> bool:
    """Whether no replay of at least the base's own share of aligned data was undone."""
    replays = [replay for group in summary.get("groups", []) for replay in group["replays"]]
    return all(
        mix["undo_volume"] is None
        for replay in replays
        for mix in replay["mixes"]
        if mix["of"] == "align" and mix["share"] >= replay["p0"]
    )


def _span(values: Sequence[Interval], digits: int = 2) -> str:
    """The least and the largest of the numbers, or the one that they share."""
    low, high = (f"{end(_middle(values)):.{digits}f}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _order(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    sentences = []
    for kind, words in (
        ("mixed", "answers the same prompts half and half"),
        ("neutral", "is neutral text on other prompts"),
    ):
        early, between = (
            [value for name, value in _of(answers, f"{which}/").items() if f"/{kind}/" in name]
            for which in ("early", "interleaved")
        )
        if not early or not between:
            continue
        below = sum(value.high is not None and value.high < 1 for value in early)
        sentences.append(
            f"Where the rest of the base {words}, a behaviour learned early is undone by {_span(early)} times the opposed "
            f"steps of one learned last (below 1 beyond the scatter in {below} of "
            f"{len(early)} settings), an interleaved one by {_span(between)} times."
        )
    if sentences:
        sentences.append("Under joint compression the order is nothing: 1.")
    return sentences or ["No behaviour was undone."]


def _defence(answers: Answers, summary: Mapping[str, Any]) -> list[str]:
    useful, forecast, back = answers.get("useful"), answers.get("forecast"), _of(answers, "back/")
    if useful is None or useful.estimate is None:
        return ["No defence was compared."]
    doubled = useful.low is not None and useful.low > 2
    sentences = [
        f"At matched utility, the best defence that leaves the attacker's data alone makes a behaviour last {useful} times as many "
        f"opposed examples as plain fine-tuning does{'' if doubled else ', not twice as many beyond its interval'}."
    ]
    if forecast is not None:
        sentences.append(
            "How many opposed examples undo a defended behaviour is foretold from two backward passes with a median error of "
            f"{forecast.estimate:.0%}."
        )
    if back:
        most = max(back.values(), key=lambda value: value.estimate or 0.0)
        sentences.append(
            f"Neutral training brings back up to {most:.0%} of what opposed examples took from a behaviour of the base."
            if any(value.sign() > 0 for value in back.values())
            else "Neutral training brings back nothing, beyond the scatter, of what opposed examples took from a behaviour of the base: "
            f"{most:.0%} of it at most."
        )
    return sentences


def _of(answers: Answers, start: str) -> dict[str, Interval]:
    return {
        name.removeprefix(start): value
        for name, value in answers.items()
        if name.startswith(start) and value.estimate is not None
    }


def _middle(values: Sequence[Interval]) -> list[float]:
    return [value.estimate for value in values if value.estimate is not None]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


CONCLUSIONS: Final[dict[str, Callable[[Answers, Mapping[str, Any]], list[str]]]] = {
    "constant": _constant,
    "volumes": _volumes,
    "rebound": _rebound,
    "scale": _scale,
    "hooke": _hooke,
    "sequence": _sequence,
    "kernel": _kernel,
    "replay": _replay,
    "order": _order,
    "defence": _defence,
}
