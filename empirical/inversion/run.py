"""The inversion protocol (Q1): what it costs to take a model from 90% aligned back to 60%, against 60% to 90%.

"% aligned" is a(theta) of `costs`: the contrast of rates on held-out text, 0% the base adapted to both kinds, 100% the
same model after the full alignment volume. All states are levels of this one scale, on the same held-out documents. Another
measure in the contrast's place is the behaviour score of the model's continuations (``measure``).

**A state at a level** is made exactly: training stops at the first step that crosses the level, and of that step only the
fraction is taken that lands on it (found by measuring, within ``tolerance``). For AdamW without weight decay a fraction of a
step is a step at that fraction of the learning rate, so the state is one that training reaches.

The legs of a seed, each with a fresh optimiser, the same batch and learning rate, and data never seen before:

    up       adapted base -> full alignment volume (100%), measured on the way: the scale, and the first crossings
    forward  from the state at 60% on the way up, aligned text, until 90%
    inverse  from the state at 90% on the way up, opposed text, until 60%
    control  from the same state at 90%, text of both kinds, until 60%: what the fresh start and the domain alone undo
    descent  from 100%, opposed text, past 90% until 60%: the path down, which is there for any model that is aligned
    again    from the state at 60% on the way down, aligned text, until 90%

A first crossing prefers a lucky step, and a fresh optimiser's first steps are large: both loosen the state at 90%, whatever
the text. The control shows by how much; what the inverse leg takes less than the control is the opposed text's own doing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Unpack

import numpy as np
import torch

from elastomath.curve import Curve
from elastomath.progress import Meter, say
from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.ledger import Configuration, Result
from elastomath.units import NATS_PER_BIT

from ..data.specifications import examples_of
from ..data.splits import mix, split_kinds
from ..laboratory.conduct import Where, perform
from ..laboratory.laboratory import Equipment, Laboratory, Stage, fingerprint, open_laboratory
from ..measures.behaviour import fit_classifier
from ..measures.contrast import prompt_numbers, reading_curve
from ..measures.sampling import sample
from ..models.sequences import Sequences
from .costs import alignment, measure_of, moved_by, scale_of, summarise
from .results import Costs
from .settings import LANDINGS, InversionSettings

LEGS: Final = ("forward", "inverse", "control", "descent", "again")
"""The legs after the way up."""


def inversion(settings: InversionSettings, out: Path, **where: Unpack[Where]) -> ProtocolSummary:
    """Run the protocol, resuming what ``out`` holds; writes ``inversion.csv`` (a Curve) and ``inversion.json``.

    Returns {"runs", "curve", "failures", "seeds", "ratios", "predictions", "reading", "settings"}, as
    `costs.summarise` explains. `figures.inversion_figure` draws what the JSON file holds. where: `laboratory.conduct.Where`.
    """

    def describe(done: list[Result], _: Curve) -> Costs:
        return summarise(done, settings.low, settings.high)

    return perform(settings, run_inversion, run_curve, describe, out, **where)


def run_inversion(equipment: Equipment, configuration: Configuration) -> Result:
    """One run: the way up, the states at the two levels, and every leg between them, for one seed."""
    laboratory = open_laboratory(equipment)
    settings = InversionSettings.of_run(configuration)
    bench = _Bench(laboratory, settings, configuration)
    laboratory.meter = Meter(_tokens(settings), f"seed {bench.seed}")
    result: Result = {"configuration": configuration, "up": bench.up.result, "legs": {}, "states": {}}
    if settings.measure == "behaviour":
        result["classifier"] = bench.classifier.accuracy.as_dict()
    for level in (settings.low, settings.high):
        result["states"][f"{level:g}"] = bench.state(level).result
    for leg in LEGS:
        if leg == "control" and not settings.control:
            continue
        if leg == "again" and bench.aligned(result["legs"]["descent"]["readings"][-1]) > settings.low:
            continue  # the descent never came down to where this leg would start
        stage = bench.leg(leg)
        result["legs"][leg] = stage.result
        a = [bench.aligned(reading) for reading in stage.result["readings"]]
        examples = stage.result["costs"][-1][0]
        say(f"  seed {bench.seed}: {leg}: {a[0]:.0%} -> {a[-1]:.0%} aligned in {examples:.0f} examples")
    return result


class _Bench:
    """The stages of one seed, and the scale of alignment that they share."""

    def __init__(self, laboratory: Laboratory, settings: InversionSettings, configuration: Configuration) -> None:
        self.laboratory, self.settings, self.seed = laboratory, settings, int(configuration["seed"])
        self.common = {key: value for key, value in configuration.items() if key not in ("low", "high", "control")}
        self.data = self._data()
        self.held = {kind: self.data[f"held_{kind}"] for kind in ("align", "opposed")}
        self.adapted = laboratory.stage(self.common | {"stage": "adapted"}, laboratory.base, self._adapt)
        self.up = laboratory.stage(self.common | {"stage": "up"}, self.adapted, self._climb)
        start, end = (self.up.result["readings"][place] for place in (0, -1))
        moved, se = moved_by(start, end)
        if not moved > 2 * se:
            raise RuntimeError(
                f"the full alignment volume moved the {settings.measure} by {moved:+.4f} (standard error {se:.4f}): there "
                "is no scale; align on more, or on text that differs more from the opposed kind"
            )
        self.scale = (measure_of(start), measure_of(end))

    def aligned(self, reading: Result) -> float:
        """a(theta) of a reading."""
        return alignment(reading, self.scale)

    def state(self, level: float, descending: bool = False) -> Stage:
        """The weights at a level: on the way up from the adapted base, or on the way down from 100%."""
        name = "descent" if descending else "up"
        stage = self.common | {"stage": "state", "level": level, "way": name, "scale": self.up.key}
        parent, data = (self.up, "descent") if descending else (self.adapted, "align")
        path = self.leg("descent").result if descending else self.up.result
        return self.laboratory.stage(stage, parent, lambda: self._land(level, path, self.data[data]))

    def leg(self, name: str) -> Stage:
        """A leg: training from its state until its level is reached or the budget is spent."""
        s = self.settings
        starts: dict[str, Callable[[], Stage]] = {
            "forward": lambda: self.state(s.low),
            "inverse": lambda: self.state(s.high),
            "control": lambda: self.state(s.high),
            "descent": lambda: self.up,
            "again": lambda: self.state(s.low, descending=True),
        }
        target = s.high if name in ("forward", "again") else s.low
        stage = self.common | {"stage": "leg", "leg": name, "target": target, "scale": self.up.key}

        def make() -> Result:
            return self._walk(self.data[name], s.leg_steps, target, rising=target == s.high)

        return self.laboratory.stage(stage, starts[name](), make, keep=False)

    def _adapt(self) -> Result:
        self._train(self.laboratory.optimiser(self.settings.learning_rate), self.data["adapt"], 0)
        return {}

    def _climb(self) -> Result:
        return self._walk(self.data["align"], self.settings.up_steps)

    def _walk(
        self, data: Sequences, steps: Sequence[int], target: float | None = None, *, rising: bool = True
    ) -> Result:
        """Train with readings after ``steps``; with a target, until the alignment has reached it."""
        s = self.settings
        torch.manual_seed(seed_of(data))  # dropout falls as it will when `_land` walks this way again
        optimiser, done, losses = self.laboratory.optimiser(s.learning_rate), 0, []
        readings, costs = [self._read()], [[0.0, 0.0, 0.0, 0.0]]
        for step in steps:
            if target is not None and (self.aligned(readings[-1]) >= target) == rising:
                break
            part = data[slice(done * s.batch, step * s.batch)]
            fresh = self._train(optimiser, part, done)
            counts = [part[slice(i, i + s.batch)].target_count for i in range(0, len(part), s.batch)]
            bits = float(np.dot(fresh, counts)) / NATS_PER_BIT
            losses += fresh
            costs.append([a + b for a, b in zip(costs[-1], (len(part), sum(counts), len(fresh), bits), strict=True)])
            readings.append(self._read())
            done = step
        return {"readings": readings, "costs": costs, "losses": losses}

    def _land(self, level: float, path: Result, data: Sequences) -> Result:
        """Train as the recorded path did up to the reading before the level, then step by step, and take a part of the last step."""
        s = self.settings
        a = [self.aligned(reading) for reading in path["readings"]]
        rising = a[0] < level
        crossed = next((i for i, value in enumerate(a) if (value >= level) == rising), None)
        if crossed is None:
            raise RuntimeError(f"the way from {a[0]:.0%} never reached {level:.0%} within its budget")
        torch.manual_seed(seed_of(data))
        optimiser = self.laboratory.optimiser(s.learning_rate)
        done = int(path["costs"][max(crossed - 1, 0)][2])
        end = int(path["costs"][crossed][2])
        self._train(optimiser, data[slice(0, done * s.batch)], 0)
        low = a[max(crossed - 1, 0)]
        for step in range(done, end):
            before = self._weights()
            self._train(optimiser, data[slice(step * s.batch, (step + 1) * s.batch)], step)
            reading = self._read()
            high = self.aligned(reading)
            if (high >= level) == rising:
                return self._fraction(level, before, low, high, reading) | {"steps": step}
            low = high
        raise RuntimeError("the path was not walked again as it was: is the machine another one?")

    def _fraction(self, level: float, before: list[torch.Tensor], low: float, high: float, reading: Result) -> Result:
        """Go to ``before + t (now - before)`` with a within the tolerance of the level: regula falsi (Illinois), then halves."""
        after, shares, values = self._weights(), [0.0, 1.0], [low - level, high - level]
        share, value, side = 1.0, high - level, 1
        for attempt in range(LANDINGS):
            if abs(value) <= self.settings.tolerance:
                break
            share = (shares[0] * values[1] - shares[1] * values[0]) / (values[1] - values[0])
            if attempt >= LANDINGS // 2:
                share = (shares[0] + shares[1]) / 2
            self._put(before, after, share)
            reading = self._read()
            value = self.aligned(reading) - level
            same, side = side, int((value > 0) == (values[1] > 0))
            shares[side], values[side] = share, value
            if side == same:
                values[1 - side] /= 2  # the other end has stood still
        if abs(value) > self.settings.tolerance:
            raise RuntimeError(f"no part of the step lies within {self.settings.tolerance:g} of {level:.0%}")
        return {"reading": reading, "alignment": level + value, "fraction": share, "level": level}

    def _read(self) -> Result:
        """Code lengths of the held-out documents, and the scores of continuations where behaviour is the measure."""
        s, lab = self.settings, self.laboratory
        reading = lab.read(self.held)
        if s.measure == "behaviour":
            drawn = sample(
                lab.loaded, self.prompts, s.sample_tokens, seed=self.seed, autocast=lab.autocast, meter=lab.meter
            )
            reading["scores"] = self.classifier.probabilities(drawn.texts).tolist()
            numbers = prompt_numbers([self.prompts])
            reading |= {} if numbers is None else {"prompts_scores": numbers[0]}
        return reading

    def _weights(self) -> list[torch.Tensor]:
        return [v.detach().clone() for v in self.laboratory.model.parameters() if v.requires_grad]

    def _put(self, before: list[torch.Tensor], after: list[torch.Tensor], share: float) -> None:
        moved = (value for value in self.laboratory.model.parameters() if value.requires_grad)
        with torch.no_grad():
            for value, one, other in zip(moved, before, after, strict=True):
                value.copy_(torch.lerp(one, other, share))

    def _train(self, optimiser: torch.optim.Optimizer, data: Sequences, steps_done: int) -> list[float]:
        s = self.settings
        return self.laboratory.train(
            optimiser, data, batch=s.batch, learning_rate=s.learning_rate, warmup=s.warmup, steps_done=steps_done
        )

    def _data(self) -> dict[str, Sequences]:
        """Disjoint parts of both kinds, by prompt where there are several; every leg has data of its own, in the order of the hash."""
        s = self.settings
        half, few = s.adapt_volume // 2, s.budget // 2
        sizes = {
            "align": {"held": s.held_out, "adapt": half, "align": s.align_volume, "forward": s.budget, "control": few}
            | {"again": s.budget},
            "opposed": {"held": s.held_out, "adapt": half, "inverse": s.budget, "control": few, "descent": s.budget},
        }
        kinds = {
            kind: examples_of(spec, s.wording, s.chat) for kind, spec in (("align", s.align), ("opposed", s.opposed))
        }
        prompts = {example.prompt for examples in kinds.values() for example in examples}
        parts = split_kinds(kinds, sizes, self.seed, "prompt" if len(prompts) > 1 else "example")
        lists = {name: parts[kind][name] for kind in parts for name in sizes[kind] if name not in ("held", "adapt")}
        for name in ("adapt", "control"):
            lists[name] = mix(parts["align"][name], parts["opposed"][name], self.seed)
        lists |= {f"held_{kind}": parts[kind]["held"] for kind in parts}
        if s.measure == "behaviour":
            used = [example.text for rows in lists.values() for example in rows]
            texts = [[example.text for example in kinds[kind]] for kind in ("align", "opposed")]
            self.classifier = fit_classifier(texts[0], texts[1], exclude=used, seed=self.seed)
            pairs = zip(*(parts[kind]["held"] for kind in parts), strict=True)
            asked = list(dict.fromkeys(example.prompt for pair in pairs for example in pair))
            self.prompts = [asked[index % len(asked)] for index in range(s.continuations)]
        return {name: self.laboratory.encode(rows, s.max_tokens) for name, rows in lists.items()}


def seed_of(data: Sequences) -> int:
    """A seed of torch for the walk along these sequences, the same whenever it is walked."""
    return int(fingerprint(data)[:15], 16)


def run_curve(result: Result) -> Curve:
    """The ways down (inverse, control, descent) as runs of a Curve, in bits per token against examples of the leg.

    pretrain: the domain that the base was adapted to (both kinds), align: the aligned kind, its volume the examples that
    led to the leg's start; perturb: what the leg trains on.
    """
    configuration = result["configuration"]
    s = InversionSettings.of_run(configuration)
    way = zip(result["up"]["costs"], result["up"]["readings"], strict=True)
    at_high = next(cost[0] for cost, reading in way if alignment(reading, scale_of(result)) >= s.high)
    curves = []
    for leg, volume in (("inverse", at_high), ("control", at_high), ("descent", float(s.align_volume))):
        if leg not in result["legs"] or len(result["legs"][leg]["readings"]) < 2:
            continue
        path = result["legs"][leg]
        examples = [cost[0] for cost in path["costs"]]
        both = ("align", "opposed")
        curves.append(
            reading_curve(
                f"{leg}-seed-{configuration['seed']}",
                path["readings"],
                examples,
                {"pretrain": both, "align": ("align",), "perturb": both if leg == "control" else ("opposed",)},
                {"pretrain": s.adapt_volume, "align": volume, "perturb": examples[-1]},
                **{key: configuration[key] for key in ("model", "seed", "learning_rate", "dtype")},
                protocol="inversion",
                leg=leg,
                algorithm="sft",
            )
        )
    return Curve.concat(curves)


def _tokens(s: InversionSettings) -> float:
    """The tokens of a run, roughly: 1 a measured token, 3 a trained one; legs are taken to use half of their budgets."""
    real = 0.8 * s.max_tokens
    measured = s.readings + 3 * 6 + (4 + s.control) * len(s.leg_steps) / 2
    trained = s.adapt_volume + 2.5 * s.align_volume + (4 + s.control) * s.budget / 2
    return real * (measured * 2 * s.held_out + 3 * trained)
