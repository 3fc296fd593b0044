"""The rebound protocol (F2): adapt to a mixture, align on one kind of text, perturb with the opposed kind, and watch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.ledger import Configuration, Ledger, Result, run_key, sweep
from elastomath.progress import Meter, say
from elastomath.units import NATS_PER_BIT

from .data import read_documents, split_documents
from .finetune import (
    Sequences,
    code_lengths,
    encode,
    load_checkpoint,
    new_optimiser,
    next_token_log_probs,
    save_checkpoint,
    train,
)
from .models import LoadedModel, load_model
from .protocol import conclude, data_hashes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReboundSettings:
    """One rebound experiment: a run for each (alignment volume, seed); all volumes are in examples.

    align, perturb      the two opposed kinds of text (data specifications)
    adapt_volume        examples of both kinds, half each, that bring the base to the domain first; they are D_p of the
                        curve, the union of R18, so that the contrast starts from a model that knows both kinds
    align_volumes       |D_a|, rising; a larger one continues the training of a smaller one
    perturb_volumes     |D_t|, rising; measured on the way, without training again from zero
    held_out            documents of each kind that are measured and never trained on
    kl_documents        of them, how many of each kind carry the divergence to the base
    control             also perturb with both kinds mixed, to tell the data from the fresh optimiser's first steps
    """

    model: str = "smollm2-135m-instruct-q4"
    revision: str | None = None
    align: str = "film-reviews:positive/rotten_tomatoes"
    perturb: str = "film-reviews:negative/rotten_tomatoes"
    adapt_volume: int = 96
    align_volumes: tuple[int, ...] = (48, 144)
    perturb_volumes: tuple[int, ...] = (12, 24, 48)
    seeds: tuple[int, ...] = (0,)
    held_out: int = 64
    kl_documents: int = 12
    control: bool = True
    prompt: str = "Film review:"
    max_tokens: int = 32
    learning_rate: float = 5e-5
    batch: int = 8
    warmup: int = 4

    def __post_init__(self) -> None:
        for name in ("align_volumes", "perturb_volumes"):
            volumes = getattr(self, name)
            if not volumes or min(volumes) < 1 or list(volumes) != sorted(set(volumes)):
                raise InputError(
                    f"{name} are {list(volumes)}", where="rebound", mend="give rising numbers of examples, all > 0"
                )
        if min(self.adapt_volume, self.held_out, self.kl_documents, self.batch, self.max_tokens) < 1 or not self.seeds:
            raise InputError(
                "a volume, a batch, a length or the list of seeds is empty",
                where="rebound",
                mend="all have to be at least 1",
            )
        if self.held_out < 2 or self.kl_documents > self.held_out:
            raise InputError(
                f"{self.held_out} held-out documents, {self.kl_documents} of them for the divergence",
                where="rebound",
                mend="hold out at least 2, and at least as many as carry the divergence",
            )
        if not (np.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning rate {self.learning_rate:g}", where="rebound", mend="it has to be > 0")

    def configurations(self, dtype: str, source: str, data: dict[str, str | None]) -> list[Configuration]:
        """The full configuration of every run, in the order in which they share their trunks.

        source, data: what the weights and the data files are, by hash. All alignment volumes belong to every run: the
        larger one continues the smaller, and the control is drawn after the largest.
        """
        common = asdict(self) | {"protocol": "rebound", "version": 2, "dtype": dtype}
        common |= {"model_source": source, "data_sources": data}
        del common["seeds"]
        common |= {name: list(getattr(self, name)) for name in ("align_volumes", "perturb_volumes")}
        return [common | {"seed": seed, "align_volume": size} for seed in self.seeds for size in self.align_volumes]


def rebound(
    settings: ReboundSettings, out: Path, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False
) -> dict[str, Any]:
    """Run the protocol, resuming what ``out`` holds already; writes ``rebound.csv`` (a Curve) and ``rebound.json``.

    Returns {"runs": {"done", "failed", "total"}, "curve", "readings"}; every rate is in bits per token of held-out text.
    """
    out.mkdir(parents=True, exist_ok=True)
    loaded = load_model(
        settings.model, revision=settings.revision, device=device, dtype="float32", trust_remote_code=trust_remote_code
    )
    laboratory = _Laboratory(settings, loaded, out, dtype)
    source = loaded.sha256 or loaded.revision or loaded.name
    data = data_hashes((settings.align, settings.perturb))
    configurations = settings.configurations(laboratory.precision, source, data)
    with Ledger(out / "rebound.sqlite") as ledger:
        laboratory.ledger = ledger
        waiting = [c for c in configurations if ledger.get(c) is None]
        laboratory.plan(waiting)
        results, failures = sweep(laboratory.run, configurations, ledger, what="rebound runs")
    used = {"dtype": laboratory.precision, "model_name": loaded.name, "sha256": loaded.sha256}
    summary = conclude(
        "rebound",
        out,
        results,
        failures,
        run_curve,
        lambda done, _: {"readings": [summarise(result) for result in done], "settings": asdict(settings) | used},
    )
    if not failures:
        for stale in out.glob("trunk-*.safetensors"):
            stale.unlink()
    return summary


class _Laboratory:
    """The model, the splits of the data and the measurements of one rebound experiment."""

    def __init__(self, settings: ReboundSettings, loaded: LoadedModel, out: Path, dtype: str) -> None:
        from .devices import pick_dtype

        self.settings, self.loaded, self.out = settings, loaded, out
        self.model = loaded.model
        chosen = pick_dtype(dtype, loaded.device)
        self.autocast = None if chosen == torch.float32 else chosen
        self.precision = str(chosen).removeprefix("torch.")
        self.ledger: Ledger
        self.meter: Meter | None = None
        self._base = {name: value.detach().to("cpu", copy=True) for name, value in self.model.named_parameters()}
        self._splits: dict[int, dict[str, Sequences]] = {}
        self._base_log_probs: dict[int, list[torch.Tensor]] = {}

    def plan(self, waiting: list[Configuration]) -> None:
        """Estimate the tokens to come: 1 unit a measured token, 3 a trained one."""
        s = self.settings
        measured = (2 + len(s.perturb_volumes) + s.control) * 2 * s.held_out
        trained = s.adapt_volume / len(s.align_volumes) + s.align_volumes[-1] / len(s.align_volumes)
        trained += s.perturb_volumes[-1] * (1 + s.control)
        tokens = 0.8 * s.max_tokens * len(waiting)
        self.meter = Meter(tokens * (measured + 3 * trained), "rebound", pause=20.0)

    def run(self, configuration: Configuration) -> Result:
        """One run: trunk (base, adapted, aligned), then the perturbation and its control from the same aligned weights."""
        s, seed, size = self.settings, int(configuration["seed"]), int(configuration["align_volume"])
        data = self._data(seed)
        torch.manual_seed(seed)
        trunk, checkpoint = self._trunk(configuration, data, seed, size)
        readings = [*trunk]

        def branch(phase: str, examples: Sequences, volumes: tuple[int, ...]) -> None:
            load_checkpoint(checkpoint, self.model)
            optimiser, before, steps = new_optimiser(self.model, s.learning_rate), 0, 0
            for volume in volumes:
                steps += len(self._train(optimiser, examples[slice(before, volume)], steps))
                before = volume
                readings.append(self._read(phase, volume, data, seed))

        branch("perturb", data["perturb"], s.perturb_volumes)
        if s.control:
            branch("control", data["control"], s.perturb_volumes[-1:])
        return {"configuration": configuration, "readings": readings}

    def _trunk(
        self, configuration: Configuration, data: dict[str, Sequences], seed: int, size: int
    ) -> tuple[list[Result], Path]:
        """Weights at the aligned state and the readings on the way there, from the latest checkpoint that is there."""
        s = self.settings
        shared = {
            key: value
            for key, value in configuration.items()
            if key not in ("align_volume", "perturb_volumes", "control")
        }
        sizes = [v for v in s.align_volumes if v <= size]
        stages = [shared | {"stage": "adapted"}] + [
            shared | {"stage": "aligned", "align_path": sizes[: i + 1]} for i in range(len(sizes))
        ]
        paths = [self.out / f"trunk-{run_key(stage)}.safetensors" for stage in stages]
        held = [self.ledger.get(stage) for stage in stages]
        ready = max((i for i in range(len(stages)) if held[i] is not None and paths[i].is_file()), default=-1)
        optimiser = new_optimiser(self.model, s.learning_rate)
        if ready < 0:
            self._reset()
            first = self._read("base", 0, data, seed)
            self._train(optimiser, data["adapt"], 0)
            self._keep(stages[0], {"readings": [first, self._read("adapted", 0, data, seed)]}, paths[0], None)
            held[0], ready = self.ledger.get(stages[0]), 0
        for index in range(max(ready, 1), len(stages)):
            if index == ready:
                continue
            optimiser = new_optimiser(self.model, s.learning_rate)
            load_checkpoint(paths[index - 1], self.model, optimiser if index > 1 else None)
            before = sizes[index - 2] if index > 1 else 0
            steps = sum(-(-(b - a) // s.batch) for a, b in zip([0, *sizes], sizes[: index - 1], strict=False))
            self._train(optimiser, data["align"][slice(before, sizes[index - 1])], steps)
            reading = self._read("aligned", sizes[index - 1], data, seed)
            self._keep(stages[index], {"readings": [reading]}, paths[index], optimiser)
            held[index] = self.ledger.get(stages[index])
        start, end = held[0], held[-1]
        if start is None or end is None:
            raise RuntimeError("a stage of the trunk was not recorded")
        return [*start["readings"], *end["readings"]], paths[-1]

    def _keep(self, stage: Configuration, result: Result, path: Path, optimiser: torch.optim.Optimizer | None) -> None:
        save_checkpoint(path, self.model, optimiser)
        self.ledger.put(stage, result)

    def _reset(self) -> None:
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                value.copy_(self._base[name])

    def _train(self, optimiser: torch.optim.Optimizer, data: Sequences, steps_done: int) -> list[float]:
        s = self.settings
        return train(
            self.model,
            optimiser,
            data,
            batch=s.batch,
            warmup=s.warmup,
            learning_rate=s.learning_rate,
            steps_done=steps_done,
            autocast=self.autocast,
            meter=self.meter,
        )

    def _data(self, seed: int) -> dict[str, Sequences]:
        """Disjoint, deduplicated parts of both kinds, tokenised: adapt (mixed), align, perturb, control (mixed), held out."""
        if seed in self._splits:
            return self._splits[seed]
        s = self.settings
        half, extra = -(-s.adapt_volume // 2), -(-s.perturb_volumes[-1] // 2) if s.control else 0
        needs = {"align": s.align_volumes[-1], "perturb": s.perturb_volumes[-1]}
        texts: dict[str, dict[str, tuple[str, ...]]] = {}
        for kind, spec in (("align", s.align), ("perturb", s.perturb)):
            sizes = {"held": s.held_out, "adapt": half, "own": needs[kind], "control": extra}
            splits = split_documents(read_documents(spec).texts, list(sizes.values()), seed=seed)
            texts[kind] = dict(zip(sizes, splits, strict=True))
        rng = np.random.default_rng(seed)

        def mixed(part: str, count: int) -> list[str]:
            both = [text for kind in ("align", "perturb") for text in texts[kind][part]]
            pairs = [both[i] for j in range(len(both) // 2) for i in (j, j + len(both) // 2)]  # alternate the kinds
            return [pairs[i] for i in _shuffled_pairs(len(pairs), rng)][:count]

        lists = {
            "adapt": mixed("adapt", s.adapt_volume),
            "align": texts["align"]["own"],
            "perturb": texts["perturb"]["own"],
        }
        lists |= {f"held_{kind}": texts[kind]["held"] for kind in ("align", "perturb")}
        if s.control:
            lists["control"] = mixed("control", s.perturb_volumes[-1])
        tokenizer = self.loaded.tokenizer
        self._splits[seed] = {name: encode(tokenizer, part, s.prompt, s.max_tokens) for name, part in lists.items()}
        return self._splits[seed]

    def _read(self, phase: str, volume: int, data: dict[str, Sequences], seed: int) -> Result:
        """Code lengths on both held-out sets and the divergence to the base, at the weights of now."""
        reading: Result = {"phase": phase, "volume": volume}
        for kind in ("align", "perturb"):
            lengths = code_lengths(self.model, data[f"held_{kind}"], autocast=self.autocast, meter=self.meter)
            reading[f"nats_{kind}"], reading[f"tokens_{kind}"] = lengths.nats.tolist(), lengths.tokens.tolist()
        reading |= self._divergence(data, seed, is_base=phase == "base")
        say(
            f"  seed {seed}: {phase} {volume}: contrast {contrast(reading):+.4f} bits/token, KL {reading['kl_forward']:.4f}"
        )
        return reading

    def _divergence(self, data: dict[str, Sequences], seed: int, *, is_base: bool) -> dict[str, float]:
        """D(base || model) and D(model || base) in bits per token, averaged over the positions of held-out text."""
        few = slice(0, self.settings.kl_documents)
        parts = [data[f"held_{kind}"][few] for kind in ("align", "perturb")]
        if seed not in self._base_log_probs and not is_base:
            now = {name: value.detach().to("cpu", copy=True) for name, value in self.model.named_parameters()}
            self._reset()
            self._remember_base(parts, seed)
            with torch.no_grad():
                for name, value in self.model.named_parameters():
                    value.copy_(now[name])
        elif seed not in self._base_log_probs:
            self._remember_base(parts, seed)
        forward = reverse = positions = 0.0
        current = (row for part in parts for row in next_token_log_probs(self.model, part, autocast=self.autocast))
        for base, now_row in zip(self._base_log_probs[seed], current, strict=True):
            gap = base - now_row
            forward += float((base.exp() * gap).sum())
            reverse -= float((now_row.exp() * gap).sum())
            positions += base.shape[0]
        return {
            "kl_forward": max(forward, 0.0) / positions / NATS_PER_BIT,
            "kl_reverse": max(reverse, 0.0) / positions / NATS_PER_BIT,
        }

    def _remember_base(self, parts: list[Sequences], seed: int) -> None:
        rows = (row for part in parts for row in next_token_log_probs(self.model, part, autocast=self.autocast))
        self._base_log_probs = {seed: list(rows)}  # one seed at a time: a few hundred MB


def contrast(reading: Result) -> float:
    """Rate on the opposed kind minus rate on the aligned kind, in bits per token: what alignment is meant to raise."""
    return _rate(reading, "perturb") - _rate(reading, "align")


def contrast_change(reading: Result, start: Result) -> tuple[float, float]:
    """The change of the contrast between two readings of the same documents, and its standard error (documents paired)."""
    value = contrast(reading) - contrast(start)
    variance = sum(_paired_se(reading, start, kind) ** 2 for kind in ("align", "perturb"))
    return value, float(np.sqrt(variance))


def summarise(result: Result) -> dict[str, Any]:
    """The readings of one run for people: rates, contrast, its change from the aligned state, divergences (bits per token).

    beyond_control: by how much the opposed data moved the contrast more than as many examples of both kinds did (the
    same documents, so paired), with its standard error; None without a control. Data of both kinds also pull an
    aligned model back to the middle, so a fall counts as rebound under opposed data only as far as it exceeds this.
    """
    readings = result["readings"]
    aligned = next(r for r in readings if r["phase"] == "aligned")
    adapted = next(r for r in readings if r["phase"] == "adapted")
    rows = []
    for reading in readings:
        start = aligned if reading["phase"] in ("perturb", "control") else adapted
        change, se = contrast_change(reading, start)
        rates = {kind: _rate(reading, kind) for kind in ("align", "perturb")}
        row = {"phase": reading["phase"], "volume": reading["volume"], "rates": rates, "contrast": contrast(reading)}
        row |= {"contrast_change": change, "contrast_change_se": se, "change_from": start["phase"]}
        rows.append(row | {"kl_forward": reading["kl_forward"], "kl_reverse": reading["kl_reverse"]})
    last = [r for r in readings if r["phase"] == "perturb"][-1]
    control = next((r for r in readings if r["phase"] == "control"), None)
    beyond = None
    if control is not None:
        change, se = contrast_change(last, control)
        beyond = {"estimate": change, "se": se}
    configuration = result["configuration"]
    return {
        "run": run_name(configuration),
        "align_volume": configuration["align_volume"],
        "seed": configuration["seed"],
        "rows": rows,
        "beyond_control": beyond,
    }


def run_name(configuration: Configuration) -> str:
    """The name of a run in the curve: its alignment volume and seed."""
    return f"align-{configuration['align_volume']}-seed-{configuration['seed']}"


def run_curve(result: Result) -> Curve:
    """The run as a Curve in bits per token against examples of the perturbation.

    pretrain is the mixed domain (both held-out sets, the union that the model was adapted to), align and perturb the
    two kinds. The held-out documents are the same at every reading, so what varies from reading to reading is not
    which documents were drawn: ``rate_se`` is the standard error after each document's own mean over the run is taken
    out, and ``rate_se_population`` (a covariate) is the one for other documents of the kind.
    """
    configuration = result["configuration"]
    rows = [next(r for r in result["readings"] if r["phase"] == "aligned")]
    rows += [r for r in result["readings"] if r["phase"] == "perturb"]
    steps = [0.0] + [float(r["volume"]) for r in rows[1:]]
    volumes = {"pretrain": configuration["adapt_volume"], "align": configuration["align_volume"], "perturb": steps[-1]}
    members = {"pretrain": ("align", "perturb"), "align": ("align",), "perturb": ("perturb",)}
    rates, errors, population = {}, {}, []
    for component, kinds in members.items():
        tokens = np.concatenate([rows[0][f"tokens_{kind}"] for kind in kinds])
        nats = np.stack([np.concatenate([r[f"nats_{kind}"] for kind in kinds]) for r in rows])
        rates[component] = nats.sum(1) / tokens.sum() / NATS_PER_BIT
        within = nats - nats.mean(0)
        errors[component] = np.array([_ratio_se(row, tokens) for row in within]) * np.sqrt(len(rows) / (len(rows) - 1))
        population += [_ratio_se(row, tokens) for row in nats]
    covariates = {key: configuration[key] for key in ("model", "seed", "align_volume", "learning_rate", "dtype")}
    covariates |= {"algorithm": "sft", "protocol": "rebound"}
    curve = Curve.from_paths(
        run_name(configuration), volumes, steps, rates, "bits/token", "examples", rate_se=errors, **covariates
    )
    return Curve(curve.frame.assign(rate_se_population=population))


def _rate(reading: Result, kind: str) -> float:
    return float(np.sum(reading[f"nats_{kind}"]) / np.sum(reading[f"tokens_{kind}"]) / NATS_PER_BIT)


def _paired_se(reading: Result, start: Result, kind: str) -> float:
    change = np.asarray(reading[f"nats_{kind}"]) - np.asarray(start[f"nats_{kind}"])
    return _ratio_se(change, np.asarray(reading[f"tokens_{kind}"]))


def _ratio_se(nats: Array, tokens: Array) -> float:
    """Standard error of sum(nats)/sum(tokens) over documents (linearised), in bits per token."""
    count = len(tokens)
    residual = nats - nats.sum() / tokens.sum() * tokens
    return float(np.sqrt(count / (count - 1) * (residual @ residual)) / tokens.sum() / NATS_PER_BIT)


def _shuffled_pairs(count: int, rng: np.random.Generator) -> list[int]:
    order = rng.permutation(count // 2)
    return [2 * int(pair) + side for pair in order for side in (0, 1)]
