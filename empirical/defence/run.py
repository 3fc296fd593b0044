"""The defence experiment: a behaviour is put into a model by a defence, attacked, and read until it is undone.

    base -> adapted (both responses, until closure) -> defended (by a row of `elastomath.defences`) -> attacked

Before an attack, two backward passes at the defended weights forecast what undoes it. Utility is the code length of neutral
text (the prompts themselves), beside that of the adapted base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.curve import Curve
from elastomath.defences.defence import ATTACKS, DEFENCES, Attack, Defence
from elastomath.defences.losses import OPPOSED, REFERRED, loss_of
from elastomath.defences.noising import feed_forward_outputs, noise_distance
from elastomath.laws.planner import planned_beta
from elastomath.progress import say
from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.ledger import Configuration, Result

from ..behaviours import mixed, read_pairs
from ..durability.answers import contrast_of
from ..durability.constants import logit_constants
from ..durability.gradients import behaviour_gradients, read_behaviour
from ..durability.run import Bench
from ..laboratory.conduct import Where, perform
from ..laboratory.laboratory import Equipment, Laboratory, Stage, StageError, fingerprint, open_laboratory
from ..measures.code_lengths import code_lengths
from ..models.outputs import counted_hidden, counted_log_probs
from ..models.sequences import Sequences
from .adapters import low_rank
from .answers import conclusion, defence_rows, grid_rows, ranking
from .results import Defended
from .settings import MOST, DefenceSettings


def defence(settings: DefenceSettings, out: Path, **where: Unpack[Where]) -> ProtocolSummary:
    """Run the experiment, resuming what ``out`` holds; writes ``defence.csv`` (a Curve) and ``defence.json``.

    Returns {"runs", "curve", "failures", "conclusion", "defence", "ranking", "settings"}: ``defence`` has a row for each run with m*,
    half-life, constants and forecast, ``ranking`` the defences against each attack with their gain over plain fine-tuning.
    """

    def describe(done: list[Result], _: Curve) -> Mapping[str, object]:
        table = grid_rows(done)
        summary: Defended = {"defence": table, "ranking": ranking(table)}
        return {"conclusion": conclusion(summary), **summary}

    return perform(settings, run_defence, run_curve, describe, out, **where)


def run_defence(equipment: Equipment, configuration: Configuration) -> Result:
    """One run: {"configuration", "floor", "before", "defended", "beta", "attacks"}, readings per prompt in nats per response.

    ``floor`` is the base that all runs of a behaviour and seed share, ``before`` the one that this defence started from,
    ``attacks`` the readings by attack and learning rate. The defended weights are deleted at the end: they can be made again.
    """
    bench = _Defended(open_laboratory(equipment), configuration)
    adapted, start = bench.adapted(), bench.start()
    plain = bench.measured(adapted)
    before = plain if start is None else bench.measured(start)
    defended = bench.defended(start or adapted, plain.result)
    result: Result = {"configuration": configuration, "floor": plain.result, "before": before.result}
    result |= {"defended": bench.measured(defended).result, "beta": defended.result["beta"]}
    result["attacks"] = {name: bench.tries(defended, ATTACKS[name], plain.result) for name in configuration["attacks"]}
    bench.laboratory.forget(defended)
    for row in defence_rows(result):
        say(
            f"  {row['pairs']}, seed {row['seed']}, {row['defence']} against {row['attack']}: undone by {row['undo_volume_text']}, "
            f"forecast {row['forecast_text']}, utility lost {row['lost']['estimate']:+.2%}"
        )
    return result


class _Defended(Bench):
    """The data, stages and readings of one run."""

    def __init__(self, laboratory: Laboratory, configuration: Configuration) -> None:
        c = configuration
        path = {"align_path": [round(c["volume"] * MOST)], "perturb_most": c["attack_most"], "optimiser": "sgd"}
        super().__init__(laboratory, c | path)
        self.defence: Defence = DEFENCES[c["defence"]]
        self.volume = round(c["volume"] * self.defence.stretch)
        pairs = read_pairs(c["pairs"], swap=c["swap"], chat=c["chat"])
        rest = pairs.split(c["held_out"], c["seed"])[1]
        self.opposed = self._encoded([(rest[(c["adapt_most"] + i) % len(rest)], False) for i in range(self.volume)])
        self.texts = self._encoded([(rest[(c["adapt_most"] + i) % len(rest)], None) for i in range(self.volume)])
        self.step = {"learning_rate": c["learning_rate"]}

    # -- stages ----------------------------------------------------------------------------------------------------
    def start(self) -> Stage | None:
        """The base of a defence whose data has another share of chosen responses; None where it is the plain one."""
        if self.defence.share is None:
            return None
        return Bench(self.laboratory, dict(self.configuration) | {"share": self.defence.share}).adapted()

    def measured(self, stage: Stage) -> Stage:
        """A reading, the code length of neutral text, and the constants from two backward passes; nothing is trained."""
        name = self.common | self.step | {"stage": "measured", "neutral": fingerprint(self.neutral)}
        lab, c = self.laboratory, self.configuration

        def make() -> Result:
            reading = read_behaviour(lab.model, self.chosen, self.rejected, autocast=lab.autocast, meter=lab.meter)
            text = code_lengths(lab.model, self.neutral, autocast=lab.autocast, meter=lab.meter)
            slopes = behaviour_gradients(
                lab.model, self.chosen, self.rejected, reading, autocast=lab.autocast, meter=lab.meter
            )
            constants = logit_constants(slopes, c["learning_rate"], c["batch"])
            entry = {"volume": 0, "chosen": reading.chosen.tolist(), "rejected": reading.rejected.tolist()}
            entry |= {"neutral": text.nats.tolist(), "tokens": text.tokens.tolist()}
            names = ("aligning", "perturbing", "kernel", "cosine")
            return entry | {name: _number(getattr(constants, name)) for name in names}

        return lab.stage(name, stage, make, keep=False)

    def defended(self, parent: Stage, plain: Result) -> Stage:
        """The model after the alignment phase of the defence."""
        c, row = self.configuration, self.defence
        constant = plain["kernel"] or 0.0
        beta = planned_beta(self.volume, max(constant, 1e-12)) if row.beta is None else row.beta
        asked = {key: value for key, value in row.changes().items() if key not in ("replay", "share")}
        data = {"train": fingerprint(self.train["align"]), "opposed": fingerprint(self.opposed)}
        name = self.common | self.step | {"stage": "defended", "volume": self.volume, "beta": beta} | asked | data

        def make() -> Result:
            sides = self.train["align"][slice(0, self.volume)], self.opposed
            before = [self._read_codes(data) for data in sides] if row.loss in REFERRED else []
            with low_rank(self.laboratory.model, row.rank, fold=True):
                for start in range(0, self.volume, c["batch"]):
                    rows = np.arange(start, min(start + c["batch"], self.volume))
                    self._step(row, beta, rows, [part[rows] for part in before])
            if row.average:
                self._average(row.average, parent)
            return {"beta": beta}

        return self.laboratory.stage(name, parent, make)

    def tries(self, defended: Stage, attack: Attack, plain: Result) -> dict[str, list[Result]]:
        """The readings of an attack by learning rate, the defender's own first: a later try gives up where an earlier one was through."""
        tries, most = {}, self.configuration["attack_most"]
        floor = float(np.mean(contrast_of(plain)))
        for factor in sorted(attack.rates, key=lambda factor: (factor != 1.0, -factor)):
            readings = self.attacked(defended, attack, factor, floor, most).result["readings"]
            tries[str(factor)] = readings
            if np.mean(contrast_of(readings[-1])) <= floor:
                most = min(most, int(readings[-1]["volume"]))
        return tries

    def attacked(self, defended: Stage, attack: Attack, factor: float, floor: float, most: int) -> Stage:
        """The attack at a learning rate, read after every step or two, until the mean contrast is back at ``floor``, or ``most``."""
        c, lab = self.configuration, self.laboratory
        rate, data = c["learning_rate"] * factor, self.attacking(attack)[slice(0, most)]
        name = self.common | {"stage": "attacked", "learning_rate": rate, "train": fingerprint(data), "until": floor}
        name |= {"rank": attack.rank} if attack.rank else {}

        def make() -> Result:
            with low_rank(lab.model, attack.rank, fold=False):
                return course()

        def course() -> Result:
            optimiser = lab.optimiser(rate, plain=True)
            readings: list[Result] = []
            done = 0
            while done < len(data):
                size = c["batch"] * (1 if done < 8 * c["batch"] else 2)
                part = data[slice(done, done + size)]
                lab.train(optimiser, part, batch=c["batch"], learning_rate=rate)
                done += len(part)
                readings.append(self._read(done))
                if np.mean(contrast_of(readings[-1])) <= floor:
                    break
            return {"readings": readings}

        return lab.stage(name, defended, make, keep=False)

    # -- training ----------------------------------------------------------------------------------------------------
    def attacking(self, attack: Attack) -> Sequences:
        """The examples of an attack in their order: neutral ones, and a replay's aligned ones among the others, spread evenly."""
        c = self.configuration
        rest = read_pairs(c["pairs"], swap=c["swap"], chat=c["chat"]).split(c["held_out"], c["seed"])[1]
        first, count = c["adapt_most"] + round(c["volume"] * MOST), attack.pool or c["attack_most"]
        some = [rest[(first + i % count) % len(rest)] for i in range(c["attack_most"])]
        answered = [place for place, (_, kept) in enumerate(mixed(some, attack.opposed)) if kept]
        roles: list[bool | None] = [None] * len(some)
        for place, (_, role) in zip(answered, mixed([some[i] for i in answered], self.defence.replay), strict=True):
            roles[place] = role
        return self._encoded(list(zip(some, roles, strict=True)))

    def _step(self, row: Defence, beta: float, rows: NDArray[np.int64], before: list[Tensor]) -> None:
        """One step of plain descent on the loss of the defence, divided by the tokens of a chosen response."""
        lab, rate, moved = self.laboratory, self.configuration["learning_rate"], self._moved(row)
        plus, minus = self.train["align"][rows], self.opposed[rows]

        def slope() -> list[Tensor]:
            value = self._loss(row, beta, plus, minus, before) / (plus.target_count / len(plus))
            if not torch.isfinite(value):
                raise StageError("the training loss is not finite: lower the learning rate")
            return list(torch.autograd.grad(value, moved))

        if row.ahead:
            with self._displaced():
                self._walk_ahead(row, rows)
                gradient = slope()
        else:
            gradient = slope()
        if row.radius:
            norm = float(torch.sqrt(sum((part.float() ** 2).sum() for part in gradient)))  # type: ignore[arg-type]
            with self._displaced():
                _add(moved, gradient, row.radius / max(norm, 1e-12))
                gradient = slope()
        if row.retain:
            text = self.texts[rows]
            kept = self._codes(text).sum() / text.target_count
            for part, other in zip(gradient, torch.autograd.grad(kept, moved, allow_unused=True), strict=True):
                if other is not None:
                    part.add_(other, alpha=row.retain)
            if lab.meter:
                lab.meter.add(3 * text.target_count, "training")
        _add(moved, gradient, -rate)
        if lab.meter:
            lab.meter.add(3 * (plus.target_count + minus.target_count), "training")

    def _loss(self, row: Defence, beta: float, plus: Sequences, minus: Sequences, before: list[Tensor]) -> Tensor:
        """The loss of a defence at the weights of now, nats per response."""
        first = self._codes(plus)
        second = self._codes(minus) if row.loss in OPPOSED else first
        value = loss_of(row.loss, beta)(first, second, *(before or [first, first]))
        if not row.noise:
            return value
        lab = self.laboratory
        with feed_forward_outputs(lab.model) as outputs:
            _, layout = counted_hidden(lab.model, minus, lab.autocast)
        layers = [layer.flatten(0, -2)[layout.place].float() for layer in outputs]
        noise = torch.randn(layers[0].shape).to(layers[0])  # the stage has seeded it
        return value + row.noise * noise_distance(layers, noise)

    def _walk_ahead(self, row: Defence, rows: NDArray[np.int64]) -> None:
        """Steps of plain descent on opposed responses, those that follow ``rows``."""
        moved = [value for value in self.laboratory.model.parameters() if value.requires_grad]
        for step in range(1, row.ahead + 1):
            data = self.opposed[(rows + step * len(rows)) % len(self.opposed)]
            worse = self._codes(data).sum() / data.target_count
            _add(moved, torch.autograd.grad(worse, moved), -self.configuration["learning_rate"])
            if self.laboratory.meter:
                self.laboratory.meter.add(3 * data.target_count, "training")

    @contextmanager
    def _displaced(self) -> Iterator[None]:
        """The weights are what they were, behind the block."""
        before = self.laboratory._copied()
        try:
            yield
        finally:
            self.laboratory._put(before)

    def _moved(self, row: Defence) -> list[torch.nn.Parameter]:
        """The parameters that the alignment of a defence moves: all, or those of the later layers and behind them."""
        named = [(name, value) for name, value in self.laboratory.model.named_parameters() if value.requires_grad]
        if not row.frozen:
            return [value for _, value in named]
        places = {name: _layer(name) for name, _ in named}
        layers = 1 + max((place for place in places.values() if place is not None), default=-1)
        kept = [value for name, value in named if (place := places[name]) is not None and place >= row.frozen * layers]
        if not kept:
            raise StageError("no layers are told apart in this model: the defence `frozen` has nothing to train")
        return kept

    def _codes(self, data: Sequences) -> Tensor:
        """Code lengths of a batch, (B,), nats, differentiable."""
        logs, row = counted_log_probs(self.laboratory.model, data, self.laboratory.autocast)
        return torch.zeros(len(data), device=logs.device).index_add(0, row, -logs.float())

    def _read_codes(self, data: Sequences) -> Tensor:
        """Code lengths at the weights of now, (n,), nats."""
        lab = self.laboratory
        nats = code_lengths(lab.model, data, autocast=lab.autocast, meter=lab.meter).nats
        return torch.as_tensor(nats, dtype=torch.float32, device=next(lab.model.parameters()).device)

    def _average(self, share: float, parent: Stage) -> None:
        lab = self.laboratory
        now = lab._copied()
        lab.enter(parent)
        before = lab._copied()
        lab._put({name: value + share * (before[name] - value) for name, value in now.items()})
        lab._at = None


def _add(moved: Sequence[Tensor], by: Sequence[Tensor], times: float) -> None:
    with torch.no_grad():
        for value, part in zip(moved, by, strict=True):
            value.add_(part, alpha=times)


def _layer(name: str) -> int | None:
    """The number of the layer that a parameter belongs to, by its name; None of one that belongs to none.

    >>> _layer("model.layers.11.mlp.up_proj.weight"), _layer("model.embed_tokens.weight")
    (11, None)
    """
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def run_curve(result: Result) -> Curve:
    """The attacks at the defender's own learning rate as a Curve in nats per response; pretrain is the mixture of both responses.

    Of a replay the opposed examples alone count, as in `answers.defence_rows`.
    """
    c, curves = result["configuration"], []
    opposed = 1.0 - DEFENCES[c["defence"]].replay
    for attack, tries in result["attacks"].items():
        readings = [result["defended"], *tries["1.0"]]
        steps = [opposed * float(reading["volume"]) for reading in readings]
        plus, minus = (np.stack([reading[key] for reading in readings]) for key in ("chosen", "rejected"))
        parts = {"pretrain": c["share"] * plus + (1 - c["share"]) * minus, "align": plus, "perturb": minus}
        volumes = {"pretrain": float(c["adapt_most"] or 1), "align": float(c["volume"]), "perturb": steps[-1]}
        names = ("model", "seed", "learning_rate", "batch", "pairs", "dtype", "defence")
        covariates = {key: c[key] for key in names} | {"protocol": "defence", "attack": attack}
        run = f"{c['pairs']}-{c['defence']}-{attack}-seed-{c['seed']}"
        rates = {name: values.mean(1) for name, values in parts.items()}
        curves.append(Curve.from_paths(run, volumes, steps, rates, "nats/response", "examples", **covariates))
    return Curve.concat(curves)
