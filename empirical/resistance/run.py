"""The resistance protocol (F1): slices of one alignment, samples of each, and training from one slice to another's samples.

theta_1, theta_2, theta_3 are the weights after the first, second and last third of the alignment data. D_k are responses of
theta_k to held-out prompts. For k < l, inverse alignment trains theta_l on D_k and forward alignment theta_k on D_l: as many
samples, the same prompts, as many steps, a fresh optimiser. What is compared, and why losses alone do not do: `excess`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from elastomath.curve import Curve
from elastomath.progress import Meter, say
from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.ledger import Configuration, Result
from elastomath.units import NATS_PER_BIT

from ..data.chats import prompt_ids, trimmed
from ..data.examples import Example
from ..data.specifications import examples_of, has_prompts
from ..data.splits import split_documents, split_examples
from ..laboratory.conduct import Where, perform
from ..laboratory.laboratory import Equipment, Laboratory, Stage, open_laboratory
from ..measures.contrast import rate, reading_curve
from ..measures.sampling import sample
from ..models.sequences import Sequences
from .excess import summarise
from .settings import ResistanceSettings


def resistance(settings: ResistanceSettings, out: Path, **where: Unpack[Where]) -> ProtocolSummary:
    """Run the protocol, resuming what ``out`` holds; writes ``resistance.csv`` (a Curve) and ``resistance.json``.

    Returns {"runs", "curve", "failures", "pairs", "pooled", "verdicts", "reading", "settings"}; rates in bits per token.
    `figures.resistance_figure` draws what the JSON file holds. where: device, dtype, executor ... (`laboratory.conduct.Where`).
    """
    return perform(settings, run_resistance, run_curve, lambda done, _: summarise(done), out, **where)


def run_resistance(equipment: Equipment, configuration: Configuration) -> Result:
    """One run: both directions between two slices of one seed; what other runs need too is shared as stages on disk."""
    laboratory = open_laboratory(equipment)
    settings = ResistanceSettings.of_run(configuration)
    seed, near, far = (int(configuration[name]) for name in ("seed", "near", "far"))
    laboratory.meter = Meter(_tokens(settings), f"seed {seed}, theta_{near} and theta_{far}")
    data = _Data(laboratory, settings, configuration)
    sets = data.held_out()
    result: Result = {"configuration": configuration, "start": {}, "runs": {}, "slices": {}}
    for slice_ in (0, near, far):
        result["slices"][str(slice_)] = data.own_reading(slice_)
    for direction, start, target in (("inverse", far, near), ("forward", near, far)):
        training = data.trained(start, target, {name: sets[name] for name in ("align", "D0", f"D{near}", f"D{far}")})
        result["runs"][direction] = training
        last = training["readings"][-1]
        say(
            f"  seed {seed}: theta_{start} -> D_{target}: held-out {rate(last, f'D{target}'):.4f}, final training loss "
            f"{training['final_loss']:.4f} bits/token"
        )
    return result


class _Data:
    """The stages of one seed: slices, their samples, and readings of all held-out sets at each slice."""

    def __init__(self, laboratory: Laboratory, settings: ResistanceSettings, configuration: Configuration) -> None:
        self.laboratory, self.settings, self.seed = laboratory, settings, int(configuration["seed"])
        skip = {"near", "far", "slices", "volumes", "held_samples", "sample_tokens", "temperature"}
        skip |= {"tail", "prompt_words", "prompts"}
        self.common = {key: value for key, value in configuration.items() if key not in skip}
        self.sampled = {
            key: configuration[key] for key in configuration if key not in ("near", "far", "volumes", "tail")
        }
        s = settings
        rows = examples_of(s.align, s.wording, s.chat)
        own = has_prompts(s.align)
        held_out, train = split_examples(
            rows, [s.held_out, s.align_volume], seed=self.seed, by="prompt" if own else "example"
        )
        self.align, self.align_held = (laboratory.encode(part, s.max_tokens) for part in (train, held_out))
        taken = {_identity(example, own) for example in (*held_out, *train)}
        source = rows if s.prompts is None else examples_of(s.prompts, s.wording, s.chat)
        left = [example for example in source if _identity(example, own) not in taken]
        cut = s.prompt_words if not has_prompts(s.prompts or s.align) else 0
        prompts = [
            " ".join([example.prompt, *example.text.split()[:cut]]).strip() if cut else example.prompt
            for example in left
        ]
        sizes = [s.train_samples, s.held_samples]
        self.prompts = split_documents(_of_one_length(prompts, sum(sizes), laboratory), sizes, seed=self.seed)
        self._sets: dict[str, Sequences] = {}

    def slice(self, number: int) -> Stage:
        """theta_number: 0 is the base; the others continue one training with its moments."""
        if number == 0:
            return self.laboratory.base
        before = self.slice(number - 1)
        s, lab = self.settings, self.laboratory
        start, end = (0, *s.slice_volumes)[number - 1], s.slice_volumes[number - 1]

        def make() -> Result:
            optimiser = lab.optimiser(s.learning_rate, continues=before if number > 1 else None)
            losses = self._train(optimiser, self.align[slice(start, end)], -(-start // s.batch))
            return {"losses": losses, "examples": end}

        stage = self.common | {"stage": "slice", "slice": number, "volumes_of_slices": list(s.slice_volumes[:number])}
        return lab.stage(stage, before, make, moments=True)

    def samples(self, number: int) -> tuple[Sequences, Sequences]:
        """D_number: responses of theta_number to the training prompts and to the held-out ones."""
        s, lab = self.settings, self.laboratory

        def make() -> Result:
            drawn = sample(
                lab.loaded,
                [*self.prompts[0], *self.prompts[1]],
                s.sample_tokens,
                seed=self.seed,
                temperature=s.temperature,
                autocast=lab.autocast,
                meter=lab.meter,
            )
            rows = drawn.sequences
            return {
                "tokens": rows.tokens.tolist(),
                "first": rows.first.tolist(),
                "length": rows.length.tolist(),
                "nats": (-drawn.log_probs).tolist(),
                "ended": int(np.sum(drawn.ended)),
                "examples": list(drawn.texts[:3]),
            }

        sampled = lab.stage(
            self.sampled | {"stage": "samples", "of": number}, self.slice(number), make, keep=False
        ).result
        rows = Sequences(*(torch.tensor(sampled[name]) for name in ("tokens", "first", "length")))
        return rows[slice(0, s.train_samples)], rows[slice(s.train_samples, None)]

    def held_out(self) -> dict[str, Sequences]:
        """Every held-out set by its name: ``align`` (real text), D0 (the base's samples, for D_p) and D1, D2 ..."""
        if not self._sets:
            self._sets = {"align": self.align_held}
            self._sets |= {f"D{number}": self.samples(number)[1] for number in range(len(self.settings.slices) + 1)}
        return self._sets

    def own_reading(self, number: int) -> Result:
        """Code lengths of every held-out set under theta_number, before any further training."""
        sets = self.held_out()
        stage = self.sampled | {"stage": "reading", "of": number}
        return self.laboratory.stage(stage, self.slice(number), lambda: self.laboratory.read(sets), keep=False).result

    def trained(self, start: int, target: int, sets: dict[str, Sequences]) -> Result:
        """theta_start trained on D_target, measured at each of the volumes; the start's reading comes first."""
        s, lab = self.settings, self.laboratory
        train = self.samples(target)[0]
        first = {key: value for key, value in self.own_reading(start).items() if key.split("_", 1)[1] in sets}

        def make() -> Result:
            optimiser = lab.optimiser(s.learning_rate)
            losses: list[float] = []
            readings = []
            for before, volume in zip((0, *s.volumes), s.volumes, strict=False):
                losses += self._train(optimiser, train[slice(before, volume)], len(losses))
                readings.append(lab.read(sets))
            counts = [train[slice(i, i + s.batch)].target_count for i in range(0, len(train), s.batch)]
            return {"losses": losses, "tokens": counts, "readings": readings}

        stage = self.sampled | {"stage": "trained", "from": start, "on": target, "volumes": list(s.volumes)}
        reading = lab.stage(stage, self.slice(start), make, keep=False).result
        losses, tokens = np.asarray(reading["losses"]), np.asarray(reading["tokens"], dtype=np.float64)
        last = slice(len(losses) - max(1, round(s.tail * len(losses))), None)
        return {
            "start": start,
            "target": target,
            "readings": [first, *reading["readings"]],
            "losses": reading["losses"],
            "tokens": reading["tokens"],
            "final_loss": float(losses[last] @ tokens[last] / tokens[last].sum() / NATS_PER_BIT),
            "training_loss": float(losses @ tokens / tokens.sum() / NATS_PER_BIT),
        }

    def _train(self, optimiser: torch.optim.Optimizer, data: Sequences, steps_done: int) -> list[float]:
        s = self.settings
        return self.laboratory.train(
            optimiser, data, batch=s.batch, learning_rate=s.learning_rate, warmup=s.warmup, steps_done=steps_done
        )


def run_curve(result: Result) -> Curve:
    """Both directions as runs of a Curve, in bits per token against samples of the target.

    pretrain: samples of the base, which stand for D_p (their number is put for its volume, which is not known in
    examples); align: held-out alignment text, its volume what the start was aligned on; perturb: held-out samples of
    the target.
    """
    configuration = result["configuration"]
    settings = ResistanceSettings.of_run(configuration)
    curves = []
    for direction in ("inverse", "forward"):
        run = result["runs"][direction]
        start, target = int(run["start"]), int(run["target"])
        volumes = {"pretrain": settings.train_samples, "align": settings.slice_volumes[start - 1]}
        covariates = {key: configuration[key] for key in ("model", "seed", "learning_rate", "dtype")}
        curves.append(
            reading_curve(
                f"theta{start}-to-D{target}-seed-{configuration['seed']}",
                run["readings"],
                [0, *settings.volumes],
                {"pretrain": ("D0",), "align": ("align",), "perturb": (f"D{target}",)},
                volumes | {"perturb": settings.train_samples},
                **covariates,
                protocol="resistance",
                direction=direction,
                start=start,
                target=target,
                algorithm="sft",
                pretrain_volume="samples of the base, standing for D_p",
            )
        )
    return Curve.concat(curves)


def _identity(example: Example, by_prompt: bool) -> str:
    return example.prompt.strip() if by_prompt else example.text.strip()


def _of_one_length(prompts: Sequence[str], count: int, laboratory: Laboratory) -> list[str]:
    """The prompts of the commonest length in tokens, where there are ``count`` of them: they are drawn from in one batch."""
    distinct = list({prompt.strip(): trimmed(prompt) for prompt in reversed(prompts)}.values())[::-1]
    lengths = [len(ids) for ids in prompt_ids(laboratory.tokenizer, distinct, laboratory.loaded.prefix)]
    most = max(set(lengths), key=lambda length: (lengths.count(length), length)) if lengths else 0
    chosen = [prompt for prompt, length in zip(distinct, lengths, strict=True) if length == most]
    return chosen if len(chosen) >= count else distinct


def _tokens(s: ResistanceSettings) -> float:
    """The tokens of a run, at most (stages that are there already cost nothing): 1 a measured or drawn token, 3 a trained one."""
    count, real, drawn = len(s.slices), 0.8 * s.max_tokens, float(s.sample_tokens)
    shared = 3 * real * s.align_volume + (count + 1) * (s.train_samples + s.held_samples) * drawn
    shared += (count + 1) * ((count + 1) * s.held_samples * drawn + s.held_out * real)
    return shared + 2 * (
        3 * drawn * s.train_samples + len(s.volumes) * (3 * s.held_samples * drawn + s.held_out * real)
    )
