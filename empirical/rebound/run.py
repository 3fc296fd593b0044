"""The rebound protocol (F2): adapt to a mixture, align on one kind of text, perturb with the opposed kind, and watch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.progress import Meter, say
from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.ledger import Configuration, Result

from ..data.examples import Example, Preference, pairs
from ..data.specifications import examples_of
from ..data.splits import mix, split_kinds
from ..laboratory.conduct import Where, perform
from ..laboratory.laboratory import Equipment, Laboratory, Stage, fingerprint, open_laboratory
from ..laboratory.settings import GIVEN
from ..measures.behaviour import Classifier, behaviour_score, fit_classifier, load_classifier
from ..measures.contrast import contrast, reading_curve
from ..models.sequences import Sequences
from .falls import falls, summarise
from .results import Rebound
from .settings import DIRECTIONS, KINDS, TFIDF
from .settings import ReboundSettings as ReboundSettings


def rebound(settings: ReboundSettings, out: Path, **where: Unpack[Where]) -> ProtocolSummary:
    """Run the protocol, resuming what ``out`` holds already; writes ``rebound.csv`` (a Curve) and ``rebound.json``.

    Returns {"runs": {"done", "failed", "total"}, "curve", "failures", "readings", "falls"}; every rate is in bits per
    token of held-out text. `falls` says what ``falls`` holds: F2 in numbers, against R13 and R19. where:
    `laboratory.conduct.Where`.
    """

    def metered(equipment: Equipment, runs: int) -> None:
        open_laboratory(equipment).meter = Meter(_tokens(settings, runs), "rebound", pause=20.0)

    def describe(done: list[Result], _: Curve) -> Rebound:
        readings = [summarise(result, run_name(result["configuration"])) for result in done]
        return {"readings": readings, "falls": falls(done)}

    return perform(settings, run_rebound, run_curve, describe, out, opened=metered, **where)


def run_rebound(equipment: Equipment, configuration: Configuration) -> Result:
    """One run: base, adapted, aligned, then the perturbation and its control from the same aligned weights.

    Returns {"configuration", "readings"}: a reading holds its phase, volume, code lengths and tokens of the held-out
    documents (``nats_align``, ``tokens_align``, the same for ``perturb``), and the divergence to the base both ways.
    """
    laboratory = open_laboratory(equipment)
    bench = Bench(laboratory, configuration)
    stages, aligned = bench.trunk()
    branches = [bench.branch("perturb", aligned)]
    if configuration["control"]:
        branches.append(bench.branch("control", aligned))
    if configuration.get("keep_weights"):
        base = stages[1] if configuration["adapt_volume"] else laboratory.base
        home = laboratory.folder.parent / "weights" / run_name(configuration)
        laboratory.export(home, {"base": base, "aligned": aligned, "perturb": branches[0]})
    bench.tidy(stages)
    readings = [reading for stage in (*stages[:2], aligned, *branches) for reading in stage.result["readings"]]
    kinds = dict(zip(DIRECTIONS[configuration["direction"]], ("align", "perturb"), strict=True))
    return {"configuration": configuration, "readings": [_in_roles(reading, kinds) for reading in readings]}


class Bench:
    """The data, stages and readings of one run in a laboratory."""

    def __init__(self, laboratory: Laboratory, configuration: Configuration) -> None:
        self.laboratory, self.configuration = laboratory, configuration
        self.aligned, self.opposed = DIRECTIONS[configuration["direction"]]
        self.examples = parts_of(configuration)
        self.held = {kind: self._encoded(self.examples[f"held_{kind}"]) for kind in KINDS}
        few = [e for kind in KINDS for e in self.examples[f"held_{kind}"][: configuration["kl_documents"]]]
        self.few = self._encoded(few)
        self.readers = {
            "held": {kind: fingerprint(part) for kind, part in self.held.items()},
            "kl": fingerprint(self.few),
        }
        if configuration.get("behaviour"):
            self.readers |= {"behaviour": configuration["behaviour"], "continuations": configuration["continuations"]}
        self.sft = {name: configuration[name] for name in ("learning_rate", "batch", "warmup")}

    def trunk(self) -> tuple[list[Stage], Stage]:
        """The stages from the base to the aligned state, in order, and the last of them."""
        c = self.configuration
        first = self._stage({"stage": "base"}, self.laboratory.base, lambda: [self._read("base", 0)], keep=False)
        start = self.laboratory.base
        if c["adapt_volume"]:
            adapted = start = self._trained(
                {"stage": "adapted"}, start, self._encoded(self.examples["adapt"]), ("adapted", 0)
            )
        else:
            adapted = self._stage({"stage": "unadapted"}, start, lambda: [self._read("adapted", 0)], keep=False)
        stages = [first, adapted]
        if c["algorithm"] == GIVEN:
            stages.append(self._given(start))
            return stages, stages[-1]
        if c["algorithm"] != "sft":
            stages.append(self._preferred(start))
            return stages, stages[-1]
        data, before, steps = self._encoded(self.examples["align"]), 0, 0
        for size in c["align_path"]:
            part = data[slice(before, size)]
            stage = {"stage": "aligned", "steps_done": steps}
            start = self._trained(stage, start, part, ("aligned", size), continues=before > 0)
            stages.append(start)
            before, steps = size, steps + -(-len(part) // c["batch"])
        return stages, stages[-1]

    def branch(self, phase: str, parent: Stage) -> Stage:
        """From the aligned weights, a fresh optimiser through the perturbation (or its control), with all readings."""
        data = self._encoded(self.examples[phase])
        volumes = self.configuration["perturb_volumes"]

        def make() -> list[Result]:
            laboratory, readings, before, steps = self.laboratory, [], 0, 0
            optimiser = laboratory.optimiser(self.sft["learning_rate"])
            for volume in volumes:
                steps += len(laboratory.train(optimiser, data[slice(before, volume)], **self.sft, steps_done=steps))
                before = volume
                readings.append(self._read(phase, volume))
            return readings

        kept = phase == "perturb" and bool(self.configuration.get("keep_weights"))
        return self._stage(self._branch_name(phase, data), parent, make, keep=kept)

    def tidy(self, stages: list[Stage]) -> None:
        """Delete the checkpoints of smaller alignment volumes whose branches have ended."""
        phases = ["perturb", "control"] if self.configuration["control"] else ["perturb"]
        names = [self._full(self._branch_name(phase, self._encoded(self.examples[phase]))) for phase in phases]
        for stage in stages[2:-1]:
            if all(self.laboratory.recorded(name, stage) for name in names):
                self.laboratory.forget(stage)

    def _branch_name(self, phase: str, data: Sequences) -> Configuration:
        volumes = self.configuration["perturb_volumes"]
        return {"stage": phase, "train": fingerprint(data), "volumes": volumes} | self.sft

    def _full(self, name: Configuration) -> Configuration:
        return name | {"readers": self.readers}

    def _stage(self, name: Configuration, parent: Stage, make: Any, *, keep: bool, moments: bool = False) -> Stage:
        return self.laboratory.stage(self._full(name), parent, lambda: {"readings": make()}, keep=keep, moments=moments)

    def _trained(
        self, name: Configuration, parent: Stage, data: Sequences, reading: tuple[str, int], continues: bool = False
    ) -> Stage:
        """A stage of supervised fine-tuning on ``data``, with one reading at its end."""

        def make() -> list[Result]:
            rate = self.sft["learning_rate"]
            optimiser = self.laboratory.optimiser(rate, parent if continues else None)
            self.laboratory.train(optimiser, data, **self.sft, steps_done=name.get("steps_done", 0))
            return [self._read(*reading)]

        name = name | {"train": fingerprint(data), "continues": continues} | self.sft
        return self._stage(name, parent, make, keep=True, moments=reading[0] == "aligned")

    def _given(self, base: Stage) -> Stage:
        """The model that came aligned: its weights in the place of its base's."""
        c = self.configuration

        def make() -> list[Result]:
            self.laboratory.take(c["aligned"])
            return [self._read("aligned", c["align_volume"])]

        name = {"stage": "aligned", "weights": c["aligned_source"], "n": c["align_volume"]}
        return self._stage(name, base, make, keep=True)

    def _preferred(self, parent: Stage) -> Stage:
        """The aligned state by a preference algorithm: fresh from the adapted one, one pair an example."""
        c = self.configuration
        pairs = self._pairs()
        name = {"stage": "aligned", "algorithm": c["algorithm"], "seed": c["seed"], "max_tokens": c["max_tokens"]}
        name |= {"pairs": [[pair.prompt, pair.chosen, pair.rejected] for pair in pairs]} | self.sft

        def make() -> list[Result]:
            self.laboratory.tune(pairs, c["algorithm"], seed=c["seed"], max_tokens=c["max_tokens"], **self.sft)
            return [self._read("aligned", c["align_volume"])]

        return self._stage(name, parent, make, keep=True)

    def _pairs(self) -> list[Preference]:
        size = self.configuration["align_volume"]
        preferences = pairs(
            self.examples["align"], self.examples["rejected"], prompt=self.configuration["prompt"] or ""
        )
        if len(preferences) < size:
            raise InputError(
                f"{len(preferences)} preference pairs, {size} asked for",
                where="rebound",
                mend="give data whose prompts are on both sides, or lower the alignment volumes",
            )
        return preferences[:size]

    def _encoded(self, examples: list[Example]) -> Sequences:
        return self.laboratory.encode(examples, self.configuration["max_tokens"])

    def _read(self, phase: str, volume: int) -> Result:
        """Code lengths on both held-out sets and the divergence to the base, at the weights of now."""
        reading: Result = {"phase": phase, "volume": volume}
        reading |= self.laboratory.read(self.held) | self.laboratory.divergence(self.few)
        c = self.configuration
        if c.get("behaviour"):
            reading |= self._behaviour(first=phase == "base")
        score = contrast(reading, self.opposed, self.aligned)
        say(
            f"  {c['direction']}, {c['algorithm']}, seed {c['seed']}: {phase} {volume}: contrast {score:+.4f} bits/token, "
            f"KL {reading['kl_forward']:.4f}"
        )
        return reading

    @functools.cached_property
    def _classifier(self) -> Classifier:
        c = self.configuration
        if c["behaviour"] != TFIDF:
            return load_classifier(c["behaviour"], device=self.laboratory.equipment.device)
        used = [example.text for part in self.examples.values() for example in part]
        plus, minus = ([e.text for e in _examples(c, c[name])] for name in ("align", "perturb"))
        return fit_classifier(plus, minus, exclude=used, seed=c["seed"], name=TFIDF)

    def _behaviour(self, *, first: bool) -> Result:
        """P(plus) of continuations: of the common prompt, or of the prompts of held-out examples; the classifier's accuracy once."""
        c = self.configuration
        prompts = list(dict.fromkeys(example.prompt for kind in KINDS for example in self.examples[f"held_{kind}"]))
        prompts = prompts[: c["continuations"]]
        behaviour = behaviour_score(
            self.laboratory.loaded,
            self._classifier,
            prompts,
            c["max_tokens"],
            each=max(1, c["continuations"] // len(prompts)),
            seed=c["seed"],
            autocast=self.laboratory.autocast,
        )
        row: Result = {"behaviour": behaviour.score, "behaviour_se": behaviour.se}
        if first:
            known = behaviour.accuracy.as_dict() if behaviour.accuracy else None
            row["classifier"] = {"name": behaviour.classifier, "accuracy": known}
        return row


def parts_of(configuration: Configuration) -> dict[str, list[Example]]:
    """Disjoint, deduplicated parts: adapt and control (mixed), align, perturb, rejected, and what is held out of each kind."""
    c = configuration
    aligned, opposed = DIRECTIONS[c["direction"]]
    specs = {"plus": c["align"], "minus": c["perturb"]}
    most = c["perturb_volumes"][-1]
    sizes = {
        kind: {
            "held": c["held_out"],
            "adapt": -(-c["adapt_volume"] // 2),
            "control": -(-most // 2) if c["control"] else 0,
        }
        for kind in KINDS
    }
    if c["algorithm"] in ("sft", GIVEN):
        sizes[aligned] |= {"own": 0 if c["algorithm"] == GIVEN else c["align_path"][-1]}
        sizes[opposed] |= {"own": most}
    else:
        for kind in KINDS:
            sizes[kind] |= {"own": c["own"][kind]}
        sizes[opposed] |= {"rejected": c["own"][aligned]}
    kinds = {kind: _examples(c, spec) for kind, spec in specs.items()}
    prompts = {example.prompt for examples in kinds.values() for example in examples}
    by = "prompt" if len(prompts) > 1 else "example"
    split = split_kinds(kinds, sizes, c["seed"], by)
    parts = {f"held_{kind}": split[kind]["held"] for kind in KINDS}
    parts |= {"align": split[aligned]["own"], "perturb": split[opposed]["own"][:most]}
    parts |= {"rejected": split[opposed].get("rejected", [])}
    for part, count in (("adapt", c["adapt_volume"]), ("control", most if c["control"] else 0)):
        parts[part] = mix(split["plus"][part], split["minus"][part], c["seed"])[:count]
    return parts


def _examples(configuration: Configuration, spec: str) -> tuple[Example, ...]:
    return examples_of(spec, configuration["prompt"], configuration.get("chat", False))


def _in_roles(reading: Result, kinds: dict[str, str]) -> Result:
    """``nats_plus`` and its like under the name of the role that the kind has in the run; the score is that of the aligned."""
    named: Result = {}
    for key, value in reading.items():
        what, _, kind = key.partition("_")
        named[f"{what}_{kinds[kind]}" if kind in kinds else key] = value
    if "behaviour" in named and kinds["plus"] == "perturb":
        named["behaviour"] = 1.0 - named["behaviour"]
    return named


def _tokens(settings: ReboundSettings, runs: int) -> float:
    """Tokens of all runs in units of a measured one: 1 a measured token, 3 a trained one."""
    s = settings
    measured = (1 + (1 + s.control) * len(s.perturb_volumes)) * 2 * s.held_out
    trained = (s.adapt_volume / len(s.directions) + s.align_volumes[-1]) / len(s.align_volumes)
    trained += s.perturb_volumes[-1] * (1 + s.control)
    return 0.8 * s.max_tokens * runs * (measured + 3 * trained)


def run_name(configuration: Configuration) -> str:
    """The name of a run in the curve: its alignment volume and seed, after what is not the usual algorithm or direction."""
    c = configuration
    unusual: Iterator[str] = (
        c[key] for key, usual in (("algorithm", "sft"), ("direction", "forward")) if c[key] != usual
    )
    return "-".join([*unusual, f"align-{c['align_volume']}-seed-{c['seed']}"])


def run_curve(result: Result) -> Curve:
    """The run as a Curve in bits per token against examples of the perturbation.

    pretrain is the mixed domain (both held-out sets, the union that the model was adapted to), align and perturb the
    two kinds; both errors are those of `reading_curve`.
    """
    configuration = result["configuration"]
    rows = [next(r for r in result["readings"] if r["phase"] == "aligned")]
    rows += [r for r in result["readings"] if r["phase"] == "perturb"]
    steps = [0.0] + [float(r["volume"]) for r in rows[1:]]
    base = configuration["adapt_volume"] or configuration["pretrain_volume"]
    volumes = {"pretrain": base, "align": configuration["align_volume"], "perturb": steps[-1]}
    members = {"pretrain": ("align", "perturb"), "align": ("align",), "perturb": ("perturb",)}
    names = ("model", "seed", "align_volume", "learning_rate", "dtype", "algorithm", "direction")
    covariates = {key: configuration[key] for key in names} | {"protocol": "rebound"}
    adapted = next(r for r in result["readings"] if r["phase"] == "adapted")
    return reading_curve(run_name(configuration), rows, steps, members, volumes, base=adapted, **covariates)
