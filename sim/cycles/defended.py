"""The life of a defended behaviour in the transformer: pre-train, align by a defence, attack, read the undo volume and the utility.

Sequences of five symbols out of four: 2 and three more are a prompt, to which 0 is the wanted response and 1 the opposed one;
what begins with another symbol is neutral text, from a Markov chain that the seed draws. Three quarters of the 64 prompts are
trained on, the others are read. All phases after pre-training are plain gradient descent, so that one constant c describes them.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from elastomath.arrays import Array
from elastomath.defences.defence import ATTACKS, DEFENCES, Attack, Defence
from elastomath.defences.losses import OPPOSED, REFERRED, loss_of
from elastomath.defences.noising import feed_forward_outputs, noise_distance
from elastomath.fit.crossing import first_crossing
from elastomath.laws.logit import fall_volume
from elastomath.laws.planner import planned_beta
from elastomath.runs.ledger import Result

from ..compressors.networks import NetworkSize, size_of
from ..compressors.transformer import TransformerCompressor
from ..sources.problem import Problem
from .behaviour import thinned
from .records import DefendedRow, Fall, Recovery

if TYPE_CHECKING:
    from torch import Tensor

ALPHABET, LENGTH, PROMPT = 4, 5, 2
WANTED, OTHER = 0, 1
READINGS = 16
"""Readings of a course that its curve keeps."""


@dataclass(frozen=True, slots=True)
class Defended:
    """How long each phase is, in examples, and how fast.

    pretrain  steps of AdamW on ``mixture`` sequences each, half neutral text and half prompts with a response
    share     of wanted responses in the base;  volume  n, of alignment;  batch  of a step after pre-training
    constant  c that the learning rate is chosen for, at the base, nats per example
    most      opposed examples after which an attack gives up
    """

    pretrain: int = 300
    mixture: int = 64
    share: float = 0.5
    volume: int = 2048
    batch: int = 8
    constant: float = 0.05
    most: int = 1600


class DefendedLives:
    """Several seeds side by side: each its source, its network and its draws; everything has the seeds as its first axis (S, ...).

    A step of one seed is a thousand small products; those of all seeds together are few large ones.
    """

    def __init__(self, seeds: Sequence[int], size: Any, life: Defended) -> None:
        import torch

        self.life, self.seeds, self.torch = life, tuple(seeds), torch
        blank = Problem(np.full((1, ALPHABET**LENGTH), ALPHABET**-LENGTH), ALPHABET, LENGTH, ("all",))
        networks = [TransformerCompressor(blank, size=size, seed=seed) for seed in seeds]
        self.network = networks[0]
        self.first = torch.stack([network.start().theta for network in networks])
        self._codes = torch.func.vmap(self.network.code_lengths)
        self._distances = torch.func.vmap(self._distance)
        words = blank.symbols()
        neutral = words[words[:, 0] != PROMPT]
        self.chains, self.held, self.trained, laws = [], [], [], []
        for seed in seeds:
            rng = np.random.default_rng([seed, 21])
            chain = rng.dirichlet(np.full(ALPHABET, 0.5), ALPHABET)
            prompts = np.array(list(itertools.product(range(ALPHABET), repeat=3)))
            rng.shuffle(prompts)
            self.chains.append(chain)
            self.held.append(prompts[: len(prompts) // 4])
            self.trained.append(prompts[len(prompts) // 4 :])
            laws.append(chain[neutral[:, :-1], neutral[:, 1:]].prod(1) / (ALPHABET - 1))
        self.law = torch.as_tensor(np.stack(laws))
        self.neutral = torch.as_tensor(neutral).expand(len(seeds), -1, -1)
        self._bases: dict[float, Tensor] = {}

    # -- data --------------------------------------------------------------------------------------------------------
    def _draws(self, stream: int) -> list[np.random.Generator]:
        return [np.random.default_rng([seed, 22, stream]) for seed in self.seeds]

    def _text(self, draws: list[np.random.Generator], count: int) -> Tensor:
        """Neutral sequences, (S, count, 5)."""
        rows = np.empty((len(draws), count, LENGTH), dtype=np.int64)
        for part, rng, chain in zip(rows, draws, self.chains, strict=True):
            part[:, 0] = rng.choice([0, 1, 3], count)
            edges = chain.cumsum(1)
            for place in range(1, LENGTH):
                past = rng.random(count)[:, None] > edges[part[:, place - 1]]
                part[:, place] = np.minimum(past.sum(1), ALPHABET - 1)
        return self.torch.as_tensor(rows)

    def _answered(self, prompts: np.ndarray[Any, Any], response: Any) -> Tensor:
        """The prompts (S, count, 3) with a response each, (S, count, 5)."""
        rows = np.empty((*prompts.shape[:2], LENGTH), dtype=np.int64)
        rows[..., 0], rows[..., 1:4], rows[..., 4] = PROMPT, prompts, response
        return self.torch.as_tensor(rows)

    def _drawn(self, draws: list[np.random.Generator], count: int, pool: int = 0) -> np.ndarray[Any, Any]:
        """Prompts to train on, out of the first ``pool`` of each seed, (S, count, 3)."""
        return np.stack(
            [of[rng.integers(0, pool or len(of), count)] for of, rng in zip(self.trained, draws, strict=True)]
        )

    def _code(self, theta: Tensor, symbols: Tensor) -> Tensor:
        """Code lengths of the responses, (S, B), nats."""
        return self._codes(theta, symbols)[..., -1]

    def _sides(self, theta: Tensor, prompts: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
        """gamma_+ and gamma_- of the prompts, (S, B) each."""
        both = self._code(theta, self.torch.cat([self._answered(prompts, y) for y in (WANTED, OTHER)], 1))
        plus, minus = both.chunk(2, 1)
        return plus, minus

    # -- readings ----------------------------------------------------------------------------------------------------
    def read(self, theta: Tensor) -> Array:
        """gamma_+ and gamma_-, means over held-out prompts, nats, (2, S)."""
        with self.torch.no_grad():
            sides = self._sides(theta, np.stack(self.held))
            return np.stack([side.double().mean(1).numpy() for side in sides])

    def contrast(self, theta: Tensor) -> Array:
        """Mean contrast over held-out prompts, nats, (S,)."""
        plus, minus = self.read(theta)
        return np.asarray(minus - plus)

    def outside(self, theta: Tensor) -> Array:
        """Mean probability of neither response, (S,)."""
        with self.torch.no_grad():
            plus, minus = self._sides(theta, np.stack(self.held))
            return np.asarray((1 - (-plus).exp() - (-minus).exp()).clamp(0).double().mean(1).numpy())

    def utility(self, theta: Tensor) -> Array:
        """Nats a symbol of neutral text, summed over all sequences, (S,)."""
        with self.torch.no_grad():
            codes = self._codes(theta, self.neutral).double().sum(-1)
            return np.asarray((codes * self.law).sum(1).numpy() / LENGTH)

    def constants(self, theta: Tensor) -> tuple[Array, Array]:
        """grad z . grad z', and grad z . grad gamma_-/p, z over held-out prompts and the other over those trained on; (S,) each.

        Times eta/B they are c and c_- (R25).
        """
        leaf, share = theta.detach().requires_grad_(True), self.torch.tensor(0.0)
        grads: list[Tensor] = []
        for prompts in (np.stack(self.held), np.stack(self.trained)):
            plus, minus = self._sides(leaf, prompts)
            share = (minus - plus).sigmoid().mean(1).detach()
            grads += self.torch.autograd.grad((minus - plus).mean(1).sum(), leaf, retain_graph=True)
            grads += self.torch.autograd.grad(minus.mean(1).sum(), leaf)
        kernel, falling = (grads[0] * grads[2]).sum(1), (grads[0] * grads[3]).sum(1) / share
        return np.asarray(kernel.double().numpy()), np.asarray(falling.double().numpy())

    # -- phases ------------------------------------------------------------------------------------------------------
    def base(self, share: float) -> Tensor:
        """Pre-trained on neutral text and on prompts with a share of wanted responses, by AdamW along a cosine; (S, P)."""
        if share not in self._bases:
            draws, life, torch = self._draws(0), self.life, self.torch
            theta = self.first.clone().requires_grad_(True)
            stepper = torch.optim.AdamW([theta], lr=3e-3, weight_decay=0.0, foreach=False)
            half = life.mixture // 2
            for step in range(life.pretrain):
                stepper.param_groups[0]["lr"] = 3e-3 * 0.5 * (1 + math.cos(math.pi * step / life.pretrain))
                roles = np.stack([np.where(rng.random(half) < share, WANTED, OTHER) for rng in draws])
                symbols = torch.cat([self._text(draws, half), self._answered(self._drawn(draws, half), roles)], 1)
                (theta.grad,) = torch.autograd.grad(self._codes(theta, symbols).sum() / half, theta)
                stepper.step()
            self._bases[share] = theta.detach()
        return self._bases[share]

    def rate(self) -> Tensor:
        """The learning rate of each seed, at which c is what `Defended` asks for at the plain base, (S, 1)."""
        kernel, _ = self.constants(self.base(self.life.share))
        return self.torch.as_tensor(self.life.constant * self.life.batch / kernel, dtype=self.first.dtype)[:, None]

    def align(self, start: Tensor, defence: Defence, rate: Tensor, beta: float) -> Tensor:
        """The weights after the alignment phase of a defence."""
        draws, life = self._draws(1), self.life
        trained = _Trained(self.network, start, defence.rank, defence.frozen)
        phi = trained.start()
        for _ in range(round(life.volume * defence.stretch) // life.batch):
            prompts = self._drawn(draws, life.batch)
            value = self._objective(defence, beta, start, prompts, draws)

            def at(phi: Tensor, value: Callable[[Tensor], Tensor] = value) -> Tensor:
                return value(trained.lift(phi))

            slope = _slope(at, phi)
            if defence.radius:
                slope = _slope(at, phi + defence.radius * slope / slope.norm(dim=1, keepdim=True).clamp(min=1e-12))
            if defence.ahead:
                slope = _slope(at, self.overlay(phi, defence.ahead * life.batch, rate, draws))
            if defence.retain:
                text = self._text(draws, life.batch)

                def neutral(phi: Tensor, text: Tensor = text) -> Tensor:
                    return self._codes(trained.lift(phi), text).mean((1, 2)).sum()

                slope = slope + defence.retain * _slope(neutral, phi)
            phi = phi - rate * trained.kept(slope)
        theta = trained.lift(phi).detach()
        return theta + defence.average * (start - theta)

    def _objective(
        self,
        defence: Defence,
        beta: float,
        start: Tensor,
        prompts: np.ndarray[Any, Any],
        draws: list[np.random.Generator],
    ) -> Callable[[Tensor], Tensor]:
        """The loss of a defence on prompts, as a function of all weights, summed over seeds."""
        loss, torch = loss_of(defence.loss, beta), self.torch
        if defence.loss not in OPPOSED:

            def plain(theta: Tensor) -> Tensor:
                code = self._code(theta, self._answered(prompts, WANTED))
                return loss(code, code, code, code) * len(self.seeds)

            return plain
        with torch.no_grad():
            before = self._sides(start, prompts) if defence.loss in REFERRED else (start[:, :1], start[:, :1])
        shape = (prompts.shape[1], size_of(self.network.size).width)
        noise = torch.as_tensor(np.stack([rng.standard_normal(shape) for rng in draws]), dtype=start.dtype)

        def opposed(theta: Tensor) -> Tensor:
            value = loss(*self._sides(theta, prompts), *before) * len(self.seeds)
            if not defence.noise:
                return value
            return value + defence.noise * self._distances(theta, self._answered(prompts, OTHER), noise).sum()

        return opposed

    def _distance(self, theta: Tensor, symbols: Tensor, noise: Tensor) -> Tensor:
        """How far what the layers say where the response is predicted is from noise, a scalar."""
        with feed_forward_outputs(self.network._network) as outputs:
            self.network.code_lengths(theta, symbols)
        return noise_distance([layer[:, -1] for layer in outputs], noise)

    def overlay(
        self, start: Tensor, volume: int, rate: Tensor, draws: list[np.random.Generator] | None = None
    ) -> Tensor:
        """The weights after plain fine-tuning on so many opposed responses."""
        theta, draws = start, draws or self._draws(3)
        for _ in range(volume // self.life.batch):
            answered = self._answered(self._drawn(draws, self.life.batch), OTHER)

            def value(at: Tensor, answered: Tensor = answered) -> Tensor:
                return self._code(at, answered).mean(1).sum()

            theta = theta - rate * _slope(value, theta)
        return theta

    def attack(self, start: Tensor, attack: Attack, rate: Tensor, floor: Array, replay: float = 0.0) -> Course:
        """Train on what an attack trains on until every seed's mean contrast is back at its floor, read after each step."""
        life, draws = self.life, self._draws(2)
        trained = _Trained(self.network, start, attack.rank, 0.0)
        phi, path = trained.start(), [self.read(start)]
        opposed, least = round(attack.opposed * life.batch), path[0][1] - path[0][0]
        while (len(path) - 1) * life.batch < life.most and (least > floor).any():
            prompts = self._drawn(draws, opposed, attack.pool)
            roles = np.stack([np.where(rng.random(opposed) < replay, WANTED, OTHER) for rng in draws])
            answered, text = self._answered(prompts, roles), self._text(draws, life.batch - opposed)

            def value(at: Tensor, answered: Tensor = answered, text: Tensor = text) -> Tensor:
                theta = trained.lift(at)
                parts = [self._code(theta, answered).sum()] if opposed else []
                parts += [self._codes(theta, text).mean(-1).sum()] if opposed < life.batch else []
                total: Tensor = self.torch.stack(parts).sum()
                return total / life.batch

            phi = phi - rate * trained.kept(_slope(value, phi))
            path.append(self.read(trained.lift(phi)))
            least = np.fmin(least, path[-1][1] - path[-1][0])
        return Course(np.arange(len(path)) * life.batch, np.array(path))


@dataclass(frozen=True, slots=True)
class Course:
    """Along an attack: examples so far (J,), mean gamma_+ and gamma_- of each seed (J, 2, S), nats."""

    examples: np.ndarray[Any, Any]
    codes: Array

    @property
    def z(self) -> Array:
        """Mean contrasts, (J, S)."""
        return np.asarray(self.codes[:, 1] - self.codes[:, 0])

    def undone(self, floor: Array) -> list[float | None]:
        """Examples until each seed is first back at its floor, linear between steps; None where it never is."""
        gap = np.where(np.isfinite(self.z), self.z - floor, 0.0)  # what blew up is gone
        return [volume if math.isfinite(volume) else None for volume in first_crossing(self.examples, gap.T).tolist()]


class _Trained:
    """What a phase moves: all weights, those behind the first layers, or a low-rank adapter of every matrix; (S, ...)."""

    def __init__(self, network: TransformerCompressor, start: Tensor, rank: int, frozen: float) -> None:
        import torch

        self.base, self.rank, self.mask = start, rank, None
        shapes = {name: tuple(value.shape) for name, value in network.tensors(network.start()).items()}
        if frozen:
            layers = 1 + max(_layer(name) for name in shapes if ".h." in name)
            moved = [float(_layer(name) >= frozen * layers) for name in shapes]
            parts = [torch.full((math.prod(shape),), one) for shape, one in zip(shapes.values(), moved, strict=True)]
            self.mask = torch.cat(parts)
        self.places: list[tuple[int, int, int]] = []
        place, first, draw = 0, [], torch.Generator().manual_seed(0)
        for shape in shapes.values():
            if rank and len(shape) == 2:
                self.places.append((place, *shape))
                first += [torch.randn(rank * shape[1], generator=draw) / math.sqrt(shape[1])]
                first += [torch.zeros(shape[0] * rank)]
            place += math.prod(shape)
        self.first = torch.cat(first).expand(len(start), -1) if first else start

    def start(self) -> Tensor:
        """The numbers that are trained, before they are."""
        return self.first.clone()

    def kept(self, slope: Tensor) -> Tensor:
        """The gradient of what may move."""
        return slope if self.mask is None else slope * self.mask

    def lift(self, phi: Tensor) -> Tensor:
        """All weights of the network from the numbers that are trained, (S, P)."""
        import torch

        if not self.rank:
            return phi
        pieces, done, at = [], 0, 0
        for place, rows, columns in self.places:
            right = phi[:, at : at + self.rank * columns].reshape(-1, self.rank, columns)
            at += self.rank * columns
            left = phi[:, at : at + rows * self.rank].reshape(-1, rows, self.rank)
            at += rows * self.rank
            end = place + rows * columns
            pieces += [self.base[:, done:place], self.base[:, place:end] + (left @ right).flatten(1)]
            done = end
        return torch.cat([*pieces, self.base[:, done:]], 1)


def _layer(name: str) -> int:
    """The layer of a tensor by its name in the network: -1 of the embeddings, which stand before all layers."""
    parts = name.split(".")
    if "h" in parts:
        return int(parts[parts.index("h") + 1])
    return 10**6 if "ln_f" in parts else -1


def _slope(value: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    import torch

    with torch.enable_grad():
        leaf = at.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(value(leaf), leaf)
    return slope.detach()


def defend(
    lives: DefendedLives, defences: Sequence[str], attacks: Sequence[str]
) -> tuple[list[DefendedRow], dict[str, Course]]:
    """A row for each defence and seed: where it stands, what it cost, its constants, its forecast, and how each attack ends.

    ``forecast`` is m* by the logit law from two backward passes at the defended weights, nothing attacked. An attack's ``undone``
    is that of its best learning rate, ``same`` that of the defender's own; of a replay the opposed examples alone count. Beside
    the rows: the courses of plain fine-tuning at the defender's own rate, by defence.
    """
    settings = lives.life
    plain, rate = lives.base(settings.share), lives.rate()
    floor, rows, kept = lives.contrast(plain), list[DefendedRow](), {}
    for name in defences:
        defence = DEFENCES[name]
        start = plain if defence.share is None else lives.base(defence.share)
        beta = planned_beta(settings.volume, settings.constant) if defence.beta is None else defence.beta
        theta = lives.align(start, defence, rate, beta)
        z, outside = lives.contrast(theta), lives.outside(theta)
        lost = lives.utility(theta) / lives.utility(start) - 1
        c, falling = (values * rate[:, 0].double().numpy() / settings.batch for values in lives.constants(theta))
        readings: dict[str, list[Fall]] = {}
        for key in attacks:
            attack = ATTACKS[key]
            courses = [lives.attack(theta, attack, rate * factor, floor, defence.replay) for factor in attack.rates]
            tries = [course.undone(floor) for course in courses]
            tries = [[None if u is None else u * (1 - defence.replay) for u in some] for some in tries]
            best = [min((u for u in some if u is not None), default=None) for some in zip(*tries, strict=True)]
            own = attack.rates.index(1.0)
            readings[key] = [{"undone": b, "same": a} for b, a in zip(best, tries[own], strict=True)]
            if key == "sft":
                kept[name] = courses[own]
        for index, seed in enumerate(lives.seeds):
            row: DefendedRow = {
                "z": _number(z[index]), "floor": float(floor[index]), "outside": _number(outside[index]),
                "lost": _number(lost[index]), "constant": _number(c[index]), "falling": _number(falling[index]),
                "defence": name, "seed": seed, "beta": beta, "forecast": None,
                "attacks": {key: values[index] for key, values in readings.items()},
            }  # fmt: skip
            speed = row["falling"] or 0.0
            if not defence.replay and row["z"] is not None and speed > 0:
                row["forecast"] = _number(fall_volume(row["z"], max(row["z"] - row["floor"], 0.0), speed))
            rows.append(row)
    return rows, kept


def recovery(lives: DefendedLives, volumes: Sequence[int], neutral: int) -> list[Recovery]:
    """Useful force: the behaviour in the base (share 0.9), overlaid by opposed examples, then neutral text: does it come back?

    ``back`` is the part of the fall that neutral text gives back: 1 where the contrast is the base's again, 0 for nothing, and
    negative where it falls further. ``drift`` is what the same neutral text does to the base itself, nats.
    """
    base, rate, rows = lives.base(0.9), lives.rate(), []
    nowhere = np.full(len(lives.seeds), -np.inf)
    walker = copy.copy(lives)
    walker.life = replace(lives.life, most=neutral)
    top = lives.contrast(base)
    drift = walker.attack(base, ATTACKS["benign"], rate, nowhere).z[-1] - top
    for volume in volumes:
        theta = lives.overlay(base, volume, rate)
        fallen = lives.contrast(theta)
        rest = walker.attack(theta, ATTACKS["benign"], rate, nowhere).z[-1]
        for index, seed in enumerate(lives.seeds):
            row = {"seed": seed, "opposed": volume, "z0": top[index], "fallen": fallen[index], "drift": drift[index]}
            row |= {"rest": rest[index], "back": (rest[index] - fallen[index]) / (top[index] - fallen[index])}
            numbers = {"neutral": neutral} | {key: _number(value) for key, value in row.items()}
            rows.append(cast(Recovery, numbers))
    return rows


def defended_block(study: Mapping[str, Any]) -> Result:
    """One block of seeds through every defence and attack: rows, the way back under neutral text, and a curve each.

    Of a replay the opposed examples alone count in its curve, as in its rows.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        size = study["size"] if isinstance(study["size"], str) else NetworkSize(**study["size"])
        lives = DefendedLives(study["seeds"], size, Defended(most=study["most"], **study["life"]))
        rows, courses = defend(lives, study["defences"], study["attacks"])
        back = recovery(lives, study["overlays"], study["neutral"])
    finally:
        torch.set_num_threads(before)
    life, blocks = lives.life, []
    for name, course in courses.items():
        opposed = course.examples * (1.0 - DEFENCES[name].replay)
        for index, seed in enumerate(lives.seeds):
            plus, minus = course.codes[:, 0, index], course.codes[:, 1, index]
            mixed = life.share * plus + (1 - life.share) * minus
            volumes = [
                life.pretrain * life.mixture / 2,
                life.volume * DEFENCES[name].stretch,
                float(opposed[-1]),
            ]
            entry = {"name": f"{name}-s{seed}-n", "seed": seed, "volumes": volumes}
            entry |= {"defence": name, "floor": next(row["floor"] for row in rows if row["seed"] == seed)}
            codes = np.stack([mixed, plus, minus])
            blocks.append(entry | thinned(opposed.tolist(), codes, READINGS))
    law = {"constant": life.constant, "volume": life.volume, "most": life.most}
    return {"rows": rows, "recovery": back, "runs": blocks, "length": 1, "law": law}


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
