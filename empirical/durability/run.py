"""The durability experiment: forecast how many opposed examples undo n aligned ones, then measure it, densely.

    base -> adapted (AdamW on both responses, until closure) -> forecast (gradients only, nothing trained)
         -> aligned on n chosen responses -> perturbed by rejected ones, read after every step until the behaviour is undone

The contrast z is read on held-out prompts at every step, so a run is a curve of 20 to 60 readings; errors are paired over
prompts. All alignment volumes lie on one way, and runs of one seed share the stages that they have in common. The alignment may be
by another algorithm (``algorithms``), or have been done by others (``aligned``): then only what undoes it is foretold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike

from elastomath.curve import Curve
from elastomath.progress import Meter, say
from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.ledger import Configuration, Result

from ..behaviours import mixed, read_pairs
from ..data.examples import Example, Preference
from ..laboratory.conduct import Where, perform
from ..laboratory.laboratory import Equipment, Laboratory, Stage, fingerprint, open_laboratory
from ..laboratory.settings import GIVEN
from ..measures.contrast import within_run_se
from ..models.sequences import Sequences, from_ids
from .adaptation import adapt
from .answers import algorithm_of, conclusion, contrast_of, durability_row, forecast_error, outside_of, phases_of
from .card import Passes, behaviour_card, behaviour_passes, cut_responses, undoing_again
from .gradients import read_behaviour
from .pooled import pooled_answers
from .results import Durability
from .settings import DurabilitySettings


def durability(settings: DurabilitySettings, out: Path, **where: Unpack[Where]) -> ProtocolSummary:
    """Run the experiment, resuming what ``out`` holds; writes ``durability.csv`` (a Curve) and ``durability.json``.

    Returns {"runs", "curve", "failures", "conclusion", "durability", "error", "answers", "settings"}: ``durability`` has a row
    for each run with forecast beside measurement, ``error`` the median and the worst relative error of the forecast undo
    volumes, ``answers`` what the runs together say of F2 and Q1 (`pooled.pooled_answers`), ``conclusion`` all of it in words.
    """

    def describe(done: list[Result], _: Curve) -> Mapping[str, object]:
        rows = [durability_row(result) for result in done]
        summary: Durability = {"durability": rows, "error": forecast_error(rows), "answers": pooled_answers(done)}
        return {"conclusion": conclusion(summary), **summary}

    return perform(settings, run_durability, run_curve, describe, out, **where)


def run_durability(equipment: Equipment, configuration: Configuration) -> Result:
    """One run: {"configuration", "adapted", "forecast", "aligned", "arms"}, readings per prompt in nats per response."""
    bench = Bench(open_laboratory(equipment), configuration)
    bench.laboratory.meter = Meter(bench.tokens(), f"{Path(run_name(configuration)).name}, at most")
    adapted = bench.adapted()
    foretold = bench.forecast(adapted)
    aligned = bench.aligned(adapted)
    readings = [reading for stage in aligned for reading in stage.result["readings"]]
    arms = {arm: bench.arm(arm, aligned[-1], adapted) for arm in configuration["arms"]}
    result: Result = {
        "configuration": configuration,
        "adapted": adapted.result,
        "forecast": foretold.result,
        "cut": cut_responses(bench.chosen, bench.rejected, configuration["max_tokens"]),
        "aligned": readings,
        "arms": {arm: stage.result for arm, stage in arms.items()},
    }
    if configuration["optimiser"] == ("adamw" if algorithm_of(configuration) == "sft" else "sgd"):
        result["again"] = bench.forecast_again(aligned[-1], adapted).result
    if configuration.get("keep_weights"):
        home = bench.laboratory.folder.parent / "weights" / Path(run_name(configuration)).name
        bench.laboratory.export(home, {"base": adapted, "aligned": aligned[-1]} | arms)
    row = durability_row(result)
    say(
        f"  {configuration['pairs']}, {phases_of(configuration)}, seed {configuration['seed']}, n {configuration['n']}: "
        f"undone by: {row['undo_volume_text']}; forecast: {row['forecast_text']}"
    )
    return result


class Bench:
    """The data, stages and readings of one run."""

    def __init__(self, laboratory: Laboratory, configuration: Configuration) -> None:
        self.laboratory, self.configuration = laboratory, configuration
        c = configuration
        pairs = read_pairs(c["pairs"], swap=c["swap"], chat=c.get("chat", False))
        first, rest = pairs.split(c["held_out"], c["seed"])
        self.chosen, self.rejected = (
            self._encoded([(pair, role) for pair in first[: c["held_out"]]]) for role in (True, False)
        )
        self.neutral = self._encoded([(pair, None) for pair in first[: c["held_out"]]])
        adapt, align, opposed = _parts(rest, c["adapt_most"], c["align_path"][-1], c["perturb_most"])
        self.aligning = align
        self.train = {
            "adapt": self._encoded(mixed(adapt, c["share"])),
            "align": self._encoded([(pair, True) for pair in align]),
            "perturb": self._encoded([(pair, False) for pair in opposed]),
            "mixed": self._encoded(mixed(opposed, c["share"])),
            "neutral": self._encoded([(pair, None) for pair in opposed]),
        }
        self.common = {"held": fingerprint(self.chosen) + fingerprint(self.rejected), "batch": c["batch"]}
        self.phase = {"optimiser": c["optimiser"], "learning_rate": c["learning_rate"]}

    def tokens(self) -> float:
        """What a run costs at most, in the units of its meter: 1 a measured token, 3 a trained one, 8 for the gradients."""
        c, train = self.configuration, self.train
        once = float(self.chosen.target_count + self.rejected.target_count)
        parts = [train["adapt"], train["align"], *(train[arm] for arm in c["arms"])]
        readings: int = 1 + c["adapt_most"] // c["adapt_step"] + sum(len(part) // c["batch"] for part in parts[1:])
        return 3.0 * sum(part.target_count for part in parts) + (8 + readings) * once

    # -- stages ----------------------------------------------------------------------------------------------------

    def adapted(self) -> Stage:
        """The base, trained on both responses until almost no probability lies outside the pair."""
        c, data = self.configuration, self.train["adapt"]
        names = ("closure", "adapt_step", "adapt_learning_rate", "share")
        name = self.common | {"stage": "adapted", "train": fingerprint(data)} | {key: c[key] for key in names}

        def make() -> Result:
            optimiser, rate = self.laboratory.optimiser(c["adapt_learning_rate"]), c["adapt_learning_rate"]

            def train(part: Sequences) -> None:
                self.laboratory.train(optimiser, part, batch=c["batch"], learning_rate=rate)

            readings = adapt(data, self._read, train, step=c["adapt_step"], closure=c["closure"])
            return {"readings": readings, "closure": outside_of(readings[-1])}

        return self.laboratory.stage(name, self.laboratory.base, make)

    def forecast(self, adapted: Stage) -> Stage:
        """What two backward passes at the adapted base say; nothing is trained. Runs of one base share the passes."""
        c, lab, adam = self.configuration, self.laboratory, self.configuration["optimiser"] != "sgd"
        volumes = (
            c["align_path"] if algorithm_of(c) == "sft" else [c["batch"]]
        )  # of others the constants alone are used
        name = (
            self.common | self.phase | {"stage": "forecast", "volumes": volumes, "neutral": fingerprint(self.neutral)}
        )

        def take() -> Passes:
            return behaviour_passes(
                lab.model,
                self.chosen,
                self.rejected,
                adam=adam,
                neutral=self.neutral,
                autocast=lab.autocast,
                meter=lab.meter,
            )

        def make() -> Result:
            passes = lab.once(adapted, f"{adam} {name['held']} {name['neutral']}", take)
            card = behaviour_card(
                passes, volumes, learning_rate=c["learning_rate"], batch=c["batch"], optimiser=c["optimiser"],
                limit=c["closure"],
            )  # fmt: skip
            return {**card.as_dict()}

        return self.laboratory.stage(name, adapted, make, keep=False)

    def forecast_again(self, aligned: Stage, adapted: Stage) -> Stage:
        """What the gradients of the aligned model say of its undoing, beside what those of the base say.

        Where these err most, that is: under AdamW, whose moments are fresh, and after an alignment that the law does not describe.
        """
        c, lab, start = self.configuration, self.laboratory, contrast_of(adapted.result["readings"][-1])
        name = self.common | self.phase | {"stage": "forecast again"}

        def make() -> Result:
            again = undoing_again(
                lab.model, self.chosen, self.rejected, start, learning_rate=c["learning_rate"], batch=c["batch"],
                optimiser=c["optimiser"], autocast=lab.autocast, meter=lab.meter,
            )  # fmt: skip
            return {**again}

        return lab.stage(name, aligned, make, keep=False)

    def aligned(self, adapted: Stage) -> list[Stage]:
        """The way of alignment, a stage for each volume on it, with readings on a geometric grid of steps."""
        c, stages, parent, done = self.configuration, [], adapted, 0
        algorithm = algorithm_of(c)
        if algorithm != "sft":
            return [self._given(adapted) if algorithm == GIVEN else self._preferred(adapted, algorithm)]
        for volume in c["align_path"]:
            # padded on its own: runs of other volumes then have the same stage
            part = self._encoded([(pair, True) for pair in self.aligning[done:volume]])
            name = self.common | self.phase | {"stage": "aligned", "train": fingerprint(part), "before": done}
            parent = self.laboratory.stage(name, parent, self._walk(part, done, parent if done else None), moments=True)
            stages.append(parent)
            done = volume
        return stages

    def _preferred(self, adapted: Stage, algorithm: str) -> Stage:
        """The aligned state by another algorithm: AdamW, from the adapted base, a pair an example, read at its end."""
        c, opposed = self.configuration, self._encoded([(pair, False) for pair in self.aligning])
        name = {"stage": "aligned", "algorithm": algorithm, "seed": c["seed"], "max_tokens": c["max_tokens"]}
        name |= {"train": fingerprint(self.train["align"]), "opposed": fingerprint(opposed)}
        phase = {"batch": c["batch"], "learning_rate": c["tune_learning_rate"]}

        def make() -> Result:
            self.laboratory.tune(self.aligning, algorithm, seed=c["seed"], max_tokens=c["max_tokens"], **phase)
            return {"readings": [self._read(c["n"])]}

        return self.laboratory.stage(self.common | name | phase, adapted, make)

    def _given(self, base: Stage) -> Stage:
        """The model that came aligned: its weights in the place of its base's."""
        c, lab = self.configuration, self.laboratory

        def make() -> Result:
            lab.take(c["aligned"])
            return {"readings": [self._read(c["n"])]}

        return lab.stage(self.common | {"stage": "aligned", "weights": c["aligned_source"], "n": c["n"]}, base, make)

    def arm(self, arm: str, aligned: Stage, adapted: Stage) -> Stage:
        """What follows alignment: training on one kind of text, read step by step, until the behaviour is undone."""
        c, data = self.configuration, self.train[arm]
        start = float(np.mean(contrast_of(adapted.result["readings"][-1])))
        name = self.common | self.phase | {"stage": arm, "train": fingerprint(data), "until": start - c["overshoot"]}
        name |= {"again": c["again"] and arm == "perturb"}

        def make() -> Result:
            carried = aligned if c["optimiser"] == "adamw-carried" else None
            optimiser = self._optimiser(carried)
            readings: list[Result] = []
            done = 0
            while done < len(data) and (not readings or np.mean(contrast_of(readings[-1])) > start - c["overshoot"]):
                step = c["batch"] * (1 if done < 16 * c["batch"] else 2 if done < 32 * c["batch"] else 4)
                part = data[slice(done, done + step)]
                self.laboratory.train(optimiser, part, batch=c["batch"], learning_rate=c["learning_rate"])
                done += len(part)
                readings.append(self._read(done))
            record: Result = {"readings": readings}
            if name["again"]:
                record["again"] = self._walk(self.train["align"][slice(0, c["n"])], 0, None, optimiser)()["readings"]
            return record

        return self.laboratory.stage(name, aligned, make, keep=bool(c.get("keep_weights")))

    # -- training and reading --------------------------------------------------------------------------------------

    def _walk(self, data: Sequences, before: int, continues: Stage | None, optimiser: Any = None) -> Any:
        """Training on ``data`` with readings after 1, 2, 3, 4, 6, 8, 11 ... steps, the volume counted from ``before``."""
        c = self.configuration

        def make() -> Result:
            moving = optimiser or self._optimiser(continues)
            readings: list[Result] = []
            done = 0
            while done < len(data):
                steps = max(1, (before + done) // c["batch"] // 3)
                part = data[slice(done, done + steps * c["batch"])]
                self.laboratory.train(moving, part, batch=c["batch"], learning_rate=c["learning_rate"])
                done += len(part)
                readings.append(self._read(before + done))
            return {"readings": readings}

        return make

    def _optimiser(self, continues: Stage | None) -> torch.optim.Optimizer:
        c = self.configuration
        return self.laboratory.optimiser(c["learning_rate"], continues, plain=c["optimiser"] == "sgd")

    def _read(self, volume: int) -> Result:
        lab = self.laboratory
        reading = read_behaviour(lab.model, self.chosen, self.rejected, autocast=lab.autocast, meter=lab.meter)
        return {"volume": volume, "chosen": reading.chosen.tolist(), "rejected": reading.rejected.tolist()}

    def _encoded(self, pairs: Sequence[tuple[Preference, bool | None]]) -> Sequences:
        """Prompt and response of each pair; role True is the chosen one, False the rejected one, None the prompt itself as text."""
        if not pairs:
            return from_ids([[]], [[0]], 0)[slice(0, 0)]
        examples = [
            Example("", pair.prompt) if role is None else Example(pair.prompt, pair.chosen if role else pair.rejected)
            for pair, role in pairs
        ]
        return self.laboratory.encode(examples, self.configuration["max_tokens"])


def _parts(rest: Sequence[Preference], adapt: int, align: int, opposed: int) -> tuple[list[Preference], ...]:
    """Three parts of what may be trained on: apart where there is enough, else each goes round from another place."""
    count, places = len(rest), (0, adapt, adapt + align)
    return tuple(
        [rest[(place + i) % count] for i in range(size)]
        for place, size in zip(places, (adapt, align, opposed), strict=True)
    )


def run_name(configuration: Configuration) -> str:
    """What a run is called in the curve: its pairs, optimiser, alignment volume and seed, and its algorithm if it is not sft."""
    c, algorithm = configuration, algorithm_of(configuration)
    by = "" if algorithm == "sft" else f"{algorithm}-"
    return f"{c['pairs']}-{by}{c['optimiser']}-n-{c['n']}-seed-{c['seed']}"


def run_curve(result: Result) -> Curve:
    """The perturbed arm as a Curve in nats per response against opposed examples; pretrain is the mixture of both responses."""
    c = result["configuration"]
    arm = "perturb" if "perturb" in result["arms"] else next(iter(result["arms"]))
    readings = [result["aligned"][-1] | {"volume": 0}, *result["arms"][arm]["readings"]]
    steps = [float(reading["volume"]) for reading in readings]
    plus, minus = (np.stack([reading[key] for reading in readings]) for key in ("chosen", "rejected"))
    parts = {"pretrain": c["share"] * plus + (1 - c["share"]) * minus, "align": plus, "perturb": minus}
    rates = {name: values.mean(1) for name, values in parts.items()}
    # with the contrast before alignment as one more reading of the same prompts
    courses = np.vstack([contrast_of(result["adapted"]["readings"][-1]), minus - plus])
    scatter = within_run_se(courses, np.ones(courses.shape[1]))
    # the prompts are the same at every reading: what varies from reading to reading is not which prompts were drawn
    errors: dict[str, ArrayLike] = {
        name: within_run_se(values, np.ones(values.shape[1])) for name, values in parts.items()
    }
    volumes = {
        "pretrain": float(result["adapted"]["readings"][-1]["volume"] or 1),
        "align": float(c["n"]),
        "perturb": steps[-1],
    }
    names = ("model", "seed", "learning_rate", "batch", "optimiser", "pairs", "dtype")
    covariates = {key: c[key] for key in names} | {"protocol": "durability", "arm": arm, "contrast_se": scatter[1:]}
    covariates["algorithm"] = algorithm_of(c)
    covariates |= {"base_contrast": float(courses[0].mean()), "base_contrast_se": float(scatter[0])}
    return Curve.from_paths(
        run_name(c), volumes, steps, rates, "nats/response", "examples", rate_se=errors, **covariates
    )
