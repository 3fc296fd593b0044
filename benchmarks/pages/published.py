"""Numbers and figures of docs/published.md: `python -m benchmarks.pages published` draws them from the saved results;
`--unlearn CLONE --pythia CLONE --scaling CLONE` reads clones of the authors' repositories and saves the results again.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit
from scipy.stats import t

from benchmarks.pages import DOCS
from elastomath.fit.censored import VolumeRegression, volume_regression
from elastomath.fit.course import Course
from elastomath.fit.law_choice import leave_one_out
from elastomath.fit.readings import Readings
from elastomath.fit.rival_laws import LAWS, LOGIT, LOGIT_OF_SHARES
from elastomath.interval import Interval
from elastomath.laws.jointness import jointness
from elastomath.storage import whole_file
from elastomath.style import STYLES, plain_ticks, save_figure, styled
from empirical.logs.reading import read_records

SAVED = Path(__file__).parents[2] / "paper_checks" / "saved_runs" / "published"
NAME = "published.json"
COMMAND = "python -m benchmarks.pages published --unlearn CLONE --pythia CLONE --scaling CLONE"

# --- EleutherAI/unlearn: attacks on a 6.9B model that had unlearned ----------------------------------------------------
WMDP, MMLU = 0.4297, 0.4510
"""What the model scored before unlearning, as its authors print it."""
QUESTIONS, KEPT_QUESTIONS = 868, 14_042
ONE_LETTER = (0.2295, 0.2465, 0.2551, 0.2689)
"""What a model that always answers A, B, C or D scores on MMLU: the shares of its key."""
LEAST_LOSS = 0.04
"""What unlearning has to have taken for its return to be read: about twice the error of the difference of two scores."""
LONG = 7
"""Readings from which on a law of four numbers is compared within one attack."""
NOTEBOOKS = ("orth_circuit_breakers", "sequential_unlearn", "tuned_lens_unlearn", "unrestrained_SFT")


@dataclass(frozen=True)
class Attack:
    """One unlearned model under one attack: its forget and kept scores after each step, and what the notebook says of it."""

    section: str
    row: str
    steps: np.ndarray
    forget: np.ndarray
    kept: np.ndarray
    rate: float

    @property
    def best_of(self) -> bool:
        """Whether each value is the best of several attacks, chosen afterwards."""
        return "Best " in self.section

    @property
    def unopposed(self) -> bool:
        """Whether the attack trains on text that says nothing of what was unlearned."""
        return "WikiText" in self.section or "Annealing" in self.section

    @property
    def filtered(self) -> bool:
        """Whether the model never saw the text, so that nothing was unlearned."""
        return "filter" in self.section.lower() or self.row == "Filter"

    @property
    def model(self) -> str:
        """What was attacked: the section, and the row where rows are models."""
        return self.section if "lr" in self.row else f"{self.section}: {self.row}"

    @property
    def share(self) -> np.ndarray:
        """The share of what unlearning took from the forget score that is back."""
        return (self.forget - self.forget[0]) / (WMDP - self.forget[0])

    @property
    def half(self) -> tuple[float, float]:
        """The two readings between which half of it is back; (last, inf) where it is not."""
        back = np.flatnonzero(self.share >= 0.5)
        if not back.size:
            return float(self.steps[-1]), math.inf
        return float(self.steps[back[0] - 1]), float(self.steps[back[0]])

    @property
    def depth(self) -> float:
        """Log-odds of a right answer before unlearning, less those after it; damage the same of MMLU."""
        return float(logit(WMDP) - logit(self.forget[0]))

    @property
    def damage(self) -> float:
        """See `depth`."""
        return float(logit(MMLU) - logit(self.kept[0]))

    def course(self) -> Course:
        """One less the forget score, which an attack brings down to one less the score before."""
        errors = np.sqrt(self.forget * (1 - self.forget) / QUESTIONS)
        before = math.sqrt(WMDP * (1 - WMDP) / QUESTIONS)
        return Course(
            f"{self.section}: {self.row}", "1 - score", "score", "steps", self.steps, 1 - self.forget, errors, 1 - WMDP,
            before,
        )  # fmt: skip


def attacks(clone: Path) -> list[Attack]:
    """Every attack of the notebooks that was read three times or more."""
    found = []
    for name in NOTEBOOKS:
        runs: dict[str, list[Any]] = {}
        for record in read_records(clone / "experiment_logs" / f"{name}.md"):
            runs.setdefault(str(record.run), []).append(record)
        for run, records in runs.items():
            records.sort(key=lambda record: record.step)
            forget = [(r.metrics.get("WMDP") or r.metrics.get("score")) for r in records]
            if len(records) < 3 or None in forget:
                continue
            kept = [r.metrics["MMLU"].value if "MMLU" in r.metrics else math.nan for r in records]
            section, _, row = run.rpartition(": ")
            # a section may name the learning rate of the unlearning; the row is the attack's own
            rate = next((told for part in (row, section) if (told := re.search(r"lr=?(\de-\d)", part))), None)
            found.append(
                Attack(
                    section, row, np.array([r.step for r in records]), np.array([f.value for f in forget]), np.array(kept),
                    float(rate[1]) if rate else math.nan,
                )
            )  # fmt: skip
    return found


def read_unlearn(clone: Path) -> dict[str, Any]:
    """What the attacks say of how fast what was unlearned comes back."""
    every = attacks(clone)
    own = [a for a in every if not a.best_of]
    lost = [a for a in own if WMDP - a.forget[0] >= LEAST_LOSS and not a.filtered]
    opposed = [a for a in lost if not a.unopposed]
    known = [a for a in lost if not np.isnan(a.kept).any()]
    damaged = [a for a in known if MMLU - a.kept[0] >= LEAST_LOSS]
    letters = [a for a in known if min(abs(a.kept[0] - share) for share in ONE_LETTER) < 6e-4]
    back = np.array([[a.share[-1], (a.kept[-1] - a.kept[0]) / (MMLU - a.kept[0])] for a in damaged])
    whole = [a for a in opposed if not np.isnan(a.kept).any() and math.isfinite(a.rate)]
    gentle = [a for a in whole if a.rate <= 1e-4]
    peaked = [a for a in own if a.forget.max() - a.forget[-1] > 2 * math.sqrt(2 * 0.24 / QUESTIONS)]
    return {
        "source": "https://github.com/EleutherAI/unlearn, experiment_logs/",
        "commit": commit(clone),
        "licence": "MIT",
        "model": "a 6.9B model (Deep Ignorance) unlearned in many ways, then fine-tuned on what it had unlearned",
        "before": {"WMDP": WMDP, "MMLU": MMLU},
        "attacks": len(every), "own": len(own), "lost": len(lost), "opposed": len(opposed),
        "not_half": sum(math.isinf(a.half[1]) for a in opposed),
        "first_reading": sum(a.half[0] == 0 for a in opposed),
        "known_kept": len(known), "damaged": len(damaged), "one_letter": len(letters),
        "undamaged": len(known) - len(damaged), "peaked": len(peaked),
        "back": {"runs": len(damaged), "correlation": _correlation(back), "points": np.round(back, 4).tolist()},
        "by_rate": [_rate_row(rate, [a for a in whole if a.rate == rate]) for rate in sorted({a.rate for a in whole})],
        "regression": {"all": _regression(whole), "gentle": _regression(gentle)},
        "laws_along": _along(opposed),
        "runs": [
            {
                "model": a.model, "attack": a.row, "rate": a.rate, "depth": round(a.depth, 4), "damage": round(a.damage, 4),
                "after": a.half[0], "by": None if math.isinf(a.half[1]) else a.half[1], "back": round(float(a.share[-1]), 4),
            }
            for a in whole
        ],
    }  # fmt: skip


def _correlation(points: np.ndarray) -> dict[str, Any]:
    """Pearson's r with its interval by Fisher's z."""
    r = float(np.corrcoef(points.T)[0, 1])
    half = 1.959964 / math.sqrt(len(points) - 3)
    return Interval(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)).as_dict()


def _along(some: Sequence[Attack]) -> dict[str, Any]:
    """Each law fitted to one attack alone and asked for the reading that was left out: nothing is shared between attacks.

    error is the root mean square over attacks, best how often a law has the least, behind by how much ln of the mean squared error
    exceeds that of the logit law, with Student's interval over attacks.
    """
    readings = [Readings.of_course(a.course()) for a in some if a.steps.size >= LONG]
    laws = [LOGIT_OF_SHARES if law is LOGIT else law for law in LAWS]
    square = np.array([[_missed(leave_one_out(law, r), r) for law in laws] for r in readings])
    logs = np.log(square)
    own = laws.index(LOGIT_OF_SHARES)
    return {
        "attacks": len(readings),
        "laws": [
            {
                "name": law.name, "numbers": law.parameters, "error": float(np.sqrt(square[:, k].mean())),
                "best": int((square.argmin(1) == k).sum()),
                "behind": None if k == own else Interval.of_values(logs[:, k] - logs[:, own]).as_dict(),
            }
            for k, law in enumerate(laws)
        ],
    }  # fmt: skip


def _missed(told: np.ndarray | None, readings: Readings) -> float:
    assert told is not None
    return float(np.mean((told - readings.rates[1, 1:]) ** 2))


def _rate_row(rate: float, some: Sequence[Attack]) -> dict[str, Any]:
    return {
        "rate": rate, "runs": len(some), "models": len({a.model for a in some}),
        "half": sum(math.isfinite(a.half[1]) for a in some),
        "kept_end": float(np.median([a.kept[-1] for a in some])),
        "kept_start": float(np.median([a.kept[0] for a in some])),
    }  # fmt: skip


def _regression(some: Sequence[Attack]) -> dict[str, Any]:
    """ln of the steps to half against depth alone, and against depth, damage and learning rate."""
    low, high = np.array([a.half for a in some]).T
    models = [a.model for a in some]
    columns = np.array([[a.depth, a.damage, math.log2(a.rate / 2e-5)] for a in some])
    return {
        "runs": len(some),
        "depth_alone": _slopes(volume_regression(low, high, columns[:, [0, 2]], models), ("depth", "rate")),
        "held_apart": _slopes(volume_regression(low, high, columns, models), ("depth", "damage", "rate")),
        "depth_and_damage": float(np.corrcoef(columns[:, 0], columns[:, 1])[0, 1]),
    }


def _slopes(told: VolumeRegression, names: Sequence[str]) -> dict[str, Any]:
    slopes = {
        name: slope.as_dict() | {"visible": visible}
        for name, slope, visible in zip(names, told.slopes, told.visible, strict=True)
    }
    return slopes | {"seen": told.reached, "beyond": told.beyond, "models": told.clusters, "scatter": told.scatter}


# --- EleutherAI/pythia: pronouns swapped in the last part of pre-training -----------------------------------------------
SIZES = {"70m": 70e6, "410m": 410e6, "1.4b": 1.4e9, "6.9b": 6.9e9}
OLD = {"19m": "70m", "350m": "410m", "1.3b": "1.4b", "6.9b": "6.9b"}
PAIRS = 320
"""Sentence pairs on gender in CrowS-Pairs (English)."""
BIAS, SCALE = "crows_pairs_english_gender.pct_stereotype", "crows_pairs_english_gender.likelihood_difference"
SKILL = "lambada_openai.acc"


def read_pythia(clone: Path) -> dict[str, Any]:
    """By size: the share of stereotyped choices after the swap less that of the same model at the same step without it."""
    first, second = clone / "evals" / "pythia-v1", clone / "evals" / "bias-evals"
    matched: dict[tuple[str, str, int], dict[str, float]] = {}
    for file in sorted(first.glob("*/*/*.json")):
        told = re.fullmatch(r"(intervention|baseline)-(\S+?)-deduped(-long)?_step(\d+)", file.stem)
        if told:
            arm = "baseline" if told[1] == "baseline" else "swap21" if told[3] else "swap7"
            matched[told[2], arm, int(told[4])] = _metrics(file)
    rows = [row for size in SIZES for arm in ("swap7", "swap21") if (row := _swap(matched, size, arm))]
    short = [row for row in rows if row["arm"] == "swap7"]
    return {
        "source": "https://github.com/EleutherAI/pythia, evals/",
        "commit": commit(clone),
        "licence": "Apache-2.0",
        "swaps": rows,
        "by_size": _by_size(short),
        "other_folder": _versions(second),
    }


def _metrics(file: Path) -> dict[str, float]:
    metrics = read_records(file)[0].metrics
    return {name: metrics[name].value for name in (BIAS, SCALE, SKILL) if name in metrics}


def _swap(read: dict[tuple[str, str, int], dict[str, float]], size: str, arm: str) -> dict[str, Any] | None:
    steps = sorted(
        step for s, a, step in read if (s, a) == (size, arm) and BIAS in read.get((size, "baseline", step), {})
    )
    if not steps:
        return None
    pairs = [(read[size, arm, step], read[size, "baseline", step]) for step in steps]
    gaps = np.array([a[BIAS] - b[BIAS] for a, b in pairs])
    skills = [a[SKILL] - b[SKILL] for a, b in pairs if SKILL in a and SKILL in b]
    share = float(np.mean([b[BIAS] for _, b in pairs]))
    # the two models answer the same pairs, and how alike they are is not told: the error as if they were not alike at all
    error = math.sqrt(2 * share * (1 - share) / PAIRS)
    return {
        "size": size, "parameters": SIZES[size], "arm": arm, "checkpoints": len(steps), "baseline": share,
        "effect": Interval.of_mean(float(gaps.mean()), error, math.inf, method="other sentence pairs").as_dict(),
        "over_steps": float(gaps.std(ddof=1)), "last": float(gaps[-1]),
        "visible": (1.959964 + 0.841621) * error, "skill": float(np.mean(skills)) if skills else None,
    }  # fmt: skip


def _by_size(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Slope of the effect in log2 of the parameters, from the errors of each size."""
    x = np.log2([row["parameters"] for row in rows])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    errors = np.array([(row["effect"]["high"] - row["effect"]["low"]) / (2 * 1.959964) for row in rows])
    error = float(np.linalg.norm(weights * errors))
    slope = float(weights @ np.array([row["effect"]["estimate"] for row in rows]))
    told = Interval.of_mean(slope, error, math.inf, unit="per doubling")
    return told.as_dict() | {"visible": (1.959964 + 0.841621) * error, "sizes": len(rows)}


def _versions(folder: Path) -> list[dict[str, Any]]:
    """Checkpoints that the other folder has with and without the swap, and whether one version of the test scored both.

    The mean difference of log-likelihoods is ten times as large in one version as in the other: it tells which was used.
    """
    read: dict[tuple[str, str, int], dict[str, float]] = {}
    for file in sorted(folder.glob("*.json")):
        told = re.match(r"(intervention|pythia)-(\S+?)-deduped-step(\d+)_", file.name)
        if told:
            read[OLD[told[2]], told[1], int(told[3])] = _metrics(file)
    rows = []
    for size in SIZES:
        both = [step for s, arm, step in read if (s, arm) == (size, "pythia") and (size, "intervention", step) in read]
        for same in (True, False):
            gaps = []
            for step in both:
                a, b = read[size, "intervention", step], read[size, "pythia", step]
                if (0.3 < a[SCALE] / b[SCALE] < 3) == same:
                    gaps.append(a[BIAS] - b[BIAS])
            if gaps:
                rows.append(
                    {"size": size, "same_version": same, "checkpoints": len(gaps), "effect": float(np.mean(gaps))}
                )
    return rows


# --- mlfoundations/scaling: one dataset each, at equal size and budget ---------------------------------------------------
HOME = {"c4_original": "c4_val", "rpj": "paloma_redpajama", "rw_original": "paloma_falcon-refinedweb"}
"""The validation set of each training set."""


def read_scaling(clone: Path) -> dict[str, Any]:
    """R27 within each size and budget: no model may do worse on its own dataset than one that was trained on another."""
    cells: dict[tuple[int, float], dict[str, tuple[list[float], list[float]]]] = {}
    for file in sorted((clone / "exp_data" / "models").glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        data, told = content["dataset_name"], content["hyperparameters"]
        if data not in HOME:
            continue
        seen = {_set(result["val_data"][0]): result for result in content["results"]}
        losses = [float(seen[name]["loss"]) for name in HOME.values()]
        errors = [
            (seen[name]["loss_sequences_upper_95"] - seen[name]["loss_sequences_lower_95"]) / (2 * 1.959964)
            for name in HOME.values()
        ]
        cell = cells.setdefault((int(told["params"]), float(told["chinchilla_multiplier"])), {})
        cell[data] = (losses, errors)
    order = list(HOME)
    compared = violated = beyond = 0
    rows = []
    for (size, budget), cell in sorted(cells.items()):
        if len(cell) < 2:
            continue
        there = [name for name in order if name in cell]
        rates = np.array([cell[name][0] for name in there])[:, [order.index(name) for name in there]]
        told = jointness(np.eye(len(there)), rates)
        compared, violated = compared + told.comparisons, violated + told.violated
        for i, name in enumerate(there):
            for j, other in enumerate(there):
                if i == j:
                    continue
                gap = float(rates[j, i] - rates[i, i])
                # the same text, read by two models: their errors are shared, so this z is too small rather than too large
                error = math.hypot(cell[name][1][order.index(name)], cell[other][1][order.index(name)])
                beyond += gap < -1.959964 * error
                rows.append([size, budget, name, other, round(gap, 4), round(error, 4)])
    return {
        "source": "https://github.com/mlfoundations/scaling, exp_data/models/",
        "commit": commit(clone),
        "licence": "MIT",
        "models": sum(len(cell) for cell in cells.values()),
        "cells": sum(len(cell) > 1 for cell in cells.values()),
        "comparisons": compared, "violated": violated, "violated_beyond_error": int(beyond),
        "largest": max((-row[4] for row in rows), default=0.0),
        "columns": ["parameters", "budget", "own", "other", "advantage", "error"],
        "advantages": rows,
        "by_size": [_advantage(rows, own, other) for own in order for other in order if own != other],
    }  # fmt: skip


def _set(path: str) -> str:
    parts = path.split("/")
    return "c4_val" if "c4_val" in parts else parts[-2]


def _advantage(rows: Sequence[Sequence[Any]], own: str, other: str) -> dict[str, Any]:
    """Slopes of the advantage of one dataset's models over another's in log2 of the size and of the budget, Student's intervals."""
    mine = [row for row in rows if row[2:4] == [own, other]]
    design = np.array([[1.0, math.log2(row[0]), math.log2(row[1])] for row in mine])
    gaps = np.array([row[4] for row in mine])
    found = np.linalg.lstsq(design, gaps)[0]
    freedom = len(mine) - 3
    spread = float(((gaps - design @ found) ** 2).sum()) / freedom * np.linalg.inv(design.T @ design)
    half = float(t.ppf(0.975, freedom)) * np.sqrt(np.diag(spread))
    ends = {
        name: Interval(float(found[k]), float(found[k] - half[k]), float(found[k] + half[k])).as_dict()
        for k, name in ((1, "size"), (2, "budget"))
    }
    return {"own": own, "other": other, "mean": float(gaps.mean())} | ends


def commit(clone: Path) -> str:
    """The first eight digits of the commit that a clone is at, empty where it is none."""
    told = subprocess.run(["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip()[:8]


# --- figures -------------------------------------------------------------------------------------------------------------
@styled
def attacks_figure(told: dict[str, Any]) -> Any:
    """Steps to half against depth, and what came back of WMDP against what came back of MMLU."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 3.4), layout="constrained")
    runs = told["runs"]
    for (colour, marker, _), (name, some) in zip(
        STYLES,
        (
            ("rate up to 2e-5", [r for r in runs if r["rate"] <= 2e-5]),
            ("higher rate", [r for r in runs if r["rate"] > 2e-5]),
        ),
        strict=False,
    ):
        back = [r for r in some if r["by"] is not None]
        never = [r for r in some if r["by"] is None]
        left.vlines(
            [r["depth"] for r in back], [max(r["after"], 50) for r in back], [r["by"] for r in back], color=colour, lw=1
        )
        left.plot(
            [r["depth"] for r in back], [r["by"] for r in back], marker, color=colour, label=f"{name}: half is back"
        )
        left.plot(
            [r["depth"] for r in never], [r["after"] for r in never], marker, color=colour, mfc="white",
            label=f"{name}: not by then",
        )  # fmt: skip
    left.set(yscale="log", xlabel="log-odds of WMDP lost", ylabel="steps until half is back")
    left.set_title("Deeper: not seen to be faster")
    plain_ticks(left.yaxis)
    points = np.array(told["back"]["points"])
    right.axline((0, 0), slope=1, color="#444444", lw=0.8)
    right.plot(points[:, 1], points[:, 0], STYLES[0][1], color=STYLES[0][0], mfc="none")
    right.set(xlabel="share of lost MMLU back", ylabel="share of lost WMDP back")
    right.set_title("What returns is the model")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.set_label(
        "Attacks on unlearned models\nLeft: steps after which half of the lost WMDP score is back, against the depth of unlearning; hollow "
        "marks were not half back at their last reading. Right: for damaged models, the shares of WMDP and MMLU that are back at the end."
    )
    return figure


@styled
def sizes_figure(told: dict[str, Any]) -> Any:
    """The effect of the swap by size, and the advantage of one's own training set by size."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 3.4), layout="constrained")
    for (colour, marker, _), (arm, words) in zip(STYLES, (("swap7", "last 7%"), ("swap21", "last 21%")), strict=False):
        rows = [row for row in told["pythia"]["swaps"] if row["arm"] == arm]
        effect = [row["effect"]["estimate"] for row in rows]
        half = [row["effect"]["high"] - row["effect"]["estimate"] for row in rows]
        at = [row["parameters"] / 1e6 * (1.15 if arm == "swap21" else 1) for row in rows]
        left.errorbar(at, effect, half, fmt=marker, color=colour, label=f"pronouns swapped, {words}")
    left.axhline(0, color="#444444", lw=0.8)
    left.set(xscale="log", xlabel="millions of parameters", ylabel="stereotyped choices, change", ylim=(-0.1, 0.17))
    left.set_title("No effect is seen")
    left.legend(fontsize=8, frameon=False, loc="upper right")
    plain_ticks(left.xaxis)
    rows = told["scaling"]["advantages"]
    sizes = sorted({row[0] for row in rows})
    for (colour, marker, line), (own, words) in zip(
        STYLES, (("c4_original", "C4"), ("rpj", "RedPajama"), ("rw_original", "RefinedWeb")), strict=False
    ):
        means = [np.mean([row[4] for row in rows if row[0] == size and row[2] == own]) for size in sizes]
        right.plot(
            [size / 1e6 for size in sizes],
            means,
            marker=marker,
            linestyle=line,
            color=colour,
            label=f"trained on {words}",
        )
    right.axhline(0, color="#444444", lw=0.8)
    right.set(xscale="log", xlabel="millions of parameters", ylabel="advantage (nats a token)")
    right.set_title("Each best on its own data")
    plain_ticks(right.xaxis)
    right.legend(fontsize=8, frameon=False)
    figure.set_label(
        "By size\nLeft: share of stereotyped choices with pronouns swapped in the last part of pre-training less without, Pythia. "
        "Right: by how much a model trained on a dataset beats those trained on others there, mean over budgets."
    )
    return figure


def main(arguments: Iterable[str] | None = None) -> None:
    """Read the clones that are given, save the results, and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--saved", type=Path, default=SAVED / NAME)
    readers = {"unlearn": read_unlearn, "pythia": read_pythia, "scaling": read_scaling}
    for name in readers:
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args(None if arguments is None else list(arguments))
    told = json.loads(options.saved.read_text(encoding="utf-8")) if options.saved.is_file() else {"command": COMMAND}
    clones = {name: clone for name in readers if (clone := getattr(options, name)) is not None}
    if clones:
        told |= {name: readers[name](clone) for name, clone in clones.items()}
        with whole_file(options.saved) as aside:
            text = json.dumps(told, indent=1, allow_nan=False)
            text = re.sub(
                r"\[\s+([^\[\]{}]*?)\s+\]", lambda row: "[" + re.sub(r"\s+", " ", row[1]) + "]", text
            )  # a row a line
            aside.write_text(text + "\n", encoding="utf-8")
    save_figure(attacks_figure(told["unlearn"]), options.out / "figures" / "published-attacks.svg")
    save_figure(sizes_figure(told), options.out / "figures" / "published-sizes.svg")


if __name__ == "__main__":
    main()
