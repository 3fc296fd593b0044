"""The stiffness protocol: the tilt probe on a model and three texts; gradients, R5, R8's signs and R16's constants."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from elastomath.arrays import Array
from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.fit.fit import fit_run
from elastomath.laws.finite import finite_law
from elastomath.memory import memory_at_hand
from elastomath.progress import say
from elastomath.runs.conduct import ProtocolSummary, conclude
from elastomath.runs.ledger import Configuration, Ledger, Result, sweep
from elastomath.units import NATS_PER_BIT

from ..data.documents import read_documents
from ..data.specifications import data_hashes
from ..data.tokens import token_ids
from ..models.loading import load_model
from ..models.model import LoadedModel
from .results import Control, Noise, Probed, ProbeRow
from .settings import CASES, StiffnessSettings
from .tilt import Optimum, TiltProbe, one_plus_cosine, projection_features

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def stiffness(
    settings: StiffnessSettings,
    out: Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    trust_remote_code: bool = False,
) -> ProtocolSummary:
    """Run the probe, resuming what ``out`` holds already; writes ``stiffness.csv`` (a Curve) and ``stiffness.json``.

    Returns {"runs": {"done", "failed", "total"}, "curve", "probe": a row for each run, "controls", "settings"}. Rates
    are bits per token of the texts, exact for those texts; volumes are tokens, |D_a| the positions of one text.
    """
    laboratory = _Laboratory(settings, device, dtype, trust_remote_code)
    configurations = settings.configurations(dtype, laboratory.source(), data_hashes(settings.texts))
    with Ledger(out / "stiffness.sqlite") as ledger:
        results, failures = sweep(laboratory.run, configurations, ledger, what="tilt probe")

    def describe(done: list[Result], curve: Curve) -> Probed:
        return {
            "probe": [summarise(result, curve) for result in done],
            "controls": [controls(result) for result in done if result["configuration"]["case"] == "union"],
            "settings": asdict(settings) | {"cases": CASES, "model_source": laboratory.source()},
        }

    return conclude("stiffness", out, results, failures, probe_curve, describe)


class _Laboratory:
    """The cached probabilities of one model on three texts, made when the first run needs them."""

    def __init__(self, settings: StiffnessSettings, device: str, dtype: str, trust_remote_code: bool) -> None:
        self.settings = settings
        self._load: dict[str, Any] = {
            "revision": settings.revision,
            "device": device,
            "dtype": dtype,
            "trust_remote_code": trust_remote_code,
        }
        self._probe: tuple[TiltProbe, Array] | None = None
        self._source: str | None = None
        self._loaded: LoadedModel | None = None

    def source(self) -> str:
        """What the weights are, as told by the loaded model: a SHA-256, a revision, or a name."""
        if self._source is None:
            self._loaded = load_model(self.settings.model, **self._load)
            self._source = self._loaded.sha256 or self._loaded.revision or self._loaded.name
        return self._source

    def run(self, configuration: Configuration) -> Result:
        """One path of joint optima."""
        start = time.monotonic()
        probe, texts = self._built()
        case, k = str(configuration["case"]), float(configuration["k"])
        weights = case_weights(case, texts)
        steps = np.asarray(configuration["perturbations"], dtype=np.float64)
        optima = probe.path([k, 1.0], weights, steps)
        say(f"  {case}, k = {k:g}: {sum(o.passes for o in optima)} passes, {time.monotonic() - start:.0f} s")
        return _record(configuration, probe, weights, optima, int((weights[1] > 0).sum()), time.monotonic() - start)

    def _built(self) -> tuple[TiltProbe, Array]:
        if self._probe is None:
            self.source()
            assert self._loaded is not None
            self._probe = build_probe(self._loaded, self.settings)
            self._loaded = None  # the cached probabilities are all that is needed from here
        return self._probe


def build_probe(loaded: LoadedModel, settings: StiffnessSettings) -> tuple[TiltProbe, Array]:
    """Forward passes over the three texts: the probe in float64, and the weights of D_1, D_a, D_t on its positions (3, n)."""
    rows_each = max(1, round(settings.positions / 3 / settings.window))
    rows: list[list[list[int]]] = []
    used: set[str] = set()
    for spec in (settings.texts[1], settings.texts[2], settings.texts[0]):
        rows.append(_rows(loaded.tokenizer, spec, rows_each, settings.window, settings.seed, used))
    tokens = torch.tensor([*rows[2], *rows[0], *rows[1]])
    positions = tokens.shape[0] * settings.window
    vocabulary = int(loaded.model.get_output_embeddings().weight.shape[0])
    _check_memory(positions * vocabulary * 8, torch.device(loaded.device))
    say(f"tilt probe: probabilities of {loaded.name} at {positions} positions")
    base = torch.empty(positions, vocabulary, dtype=torch.float64, device=loaded.device)
    loaded.model.eval()
    with torch.inference_mode():
        for index, row in enumerate(tokens):
            logits = loaded.model(input_ids=row[None, :-1].to(loaded.device), use_cache=False).logits[0]
            base[index * settings.window : (index + 1) * settings.window] = torch.softmax(logits.double(), dim=-1)
    features = projection_features(loaded.model.get_output_embeddings().weight, settings.features, settings.seed)
    targets = tokens[:, 1:].reshape(-1).to(loaded.device)
    share = rows_each * settings.window
    texts = np.zeros((3, positions))
    for index in range(3):
        texts[index, index * share : (index + 1) * share] = 1.0 / share
    # inference tensors cannot be written in place later; the probe only reads
    return TiltProbe(base, features.clone(), targets), texts


def case_weights(case: str, texts: Array) -> Array:
    """Weights of D_p, D_a, D_t on positions, (3, n), for a case of `CASES`; texts: weights of D_1, D_a, D_t, (3, n).

    >>> case_weights("halves", np.eye(3))[0]
    array([0. , 0.5, 0.5])
    """
    first, align, perturb = texts
    if case == "shared":
        perturb = (align + perturb) / 2
    pretrain = {"union": (first + align + perturb) / 3, "halves": (align + perturb) / 2, "separate": first}
    pretrain["shared"] = pretrain["union"]
    return np.stack([pretrain[case], align, perturb])


def probe_curve(result: Result) -> Curve:
    """The path as a Curve: bits per token against tokens of the perturbation; exact, so without standard errors."""
    configuration, tokens = result["configuration"], result["align_tokens"]
    rates: dict[str, ArrayLike] = {
        name: np.asarray(row) / NATS_PER_BIT
        for name, row in zip(("pretrain", "align", "perturb"), result["entropies"], strict=True)
    }
    steps = np.asarray(result["perturbations"]) * tokens
    volumes = {"pretrain": configuration["k"] * tokens, "align": float(tokens), "perturb": float(steps[-1])}
    covariates = {key: configuration[key] for key in ("case", "k", "model", "features", "seed")}
    return Curve.from_paths(
        run_name(configuration), volumes, steps, rates, "bits/token", "tokens", protocol="stiffness", **covariates
    )


def run_name(configuration: Configuration) -> str:
    """The name of a run in the curve: its case and k."""
    return f"{configuration['case']}-k{configuration['k']:g}"


def summarise(result: Result, curve: Curve) -> ProbeRow:
    """What the probe shows for one run, beside what the theory says it has to be.

    gradient_norm of the joint optimum (the largest along the path); one_plus_cosine and stiffness_ratio of the two
    gradients at l = 0 (R7: 0 and k); r5_ratio, residual over bound, at every l > 0 (R5: inside [0, 1]); kappa from
    the curve (R16: k); the signs of dH_p/dl and dH_a/dl at every l, which the theorem wants to be - and +.
    """
    configuration, entropies = result["configuration"], np.asarray(result["entropies"])
    law = finite_law(result["perturbations"], [configuration["k"], 1.0], entropies)
    response = np.asarray(result["response"])
    fit = fit_run(curve.run(run_name(configuration)))
    change = entropies - entropies[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        constant = -change[1, 1:] / (configuration["k"] * change[0, 1:])
    return {
        "run": run_name(configuration),
        "case": configuration["case"],
        "k": configuration["k"],
        "perturbations": result["perturbations"],
        "gradient_norm": max(result["gradient_norms"]),
        "one_plus_cosine": result["one_plus_cosine"],
        "stiffness_ratio": result["stiffness_ratio"],
        "r5_holds": bool((law.ratio[1:] > 0).all() and (law.ratio[1:] < 1).all()),
        "r5_ratio": [float(ratio) if np.isfinite(ratio) else None for ratio in law.ratio[1:]],
        "response": response.tolist(),
        "pretrain_falls": (response[0] < 0).tolist(),
        "align_rises": (response[1] > 0).tolist(),
        "finite_constant": [float(c) if np.isfinite(c) else None for c in constant],
        "distances": result["distances"],
        "kappa": fit.kappa.as_dict(),
        "kappa_error": None if fit.kappa.estimate is None else fit.kappa.estimate / configuration["k"] - 1.0,
        "passes": result["passes"],
        "seconds": result["seconds"],
    }


def controls(result: Result, noises: Sequence[float] = (1e-8, 1e-6, 1e-4)) -> Control:
    """Controls on one run: a right-endpoint rule in R16 has to miss kappa; noise on the readings has to widen its interval.

    noises: standard deviations in nats added to every reading (seeded), with the standard error given to the fit.
    """
    curve, k = probe_curve(result), float(result["configuration"]["k"])
    run = curve.run(run_name(result["configuration"]))
    right = fit_run(run, quadrature="right").kappa
    rng = np.random.default_rng(int(result["configuration"]["seed"]))
    draw = rng.standard_normal(len(curve.frame))
    noisy: list[Noise] = []
    for noise in noises:
        size = noise / NATS_PER_BIT
        frame = curve.frame.assign(rate=curve.frame["rate"] + size * draw, rate_se=size)
        kappa = fit_run(Curve(frame).run(run.name)).kappa
        noisy.append({"noise_nats": noise, "kappa": kappa.as_dict()})
    error = None if right.estimate is None else right.estimate / k - 1.0
    return {"run": run.name, "right_endpoint_kappa": right.as_dict(), "right_endpoint_error": error, "noise": noisy}


def _record(
    configuration: Configuration, probe: TiltProbe, weights: Array, optima: list[Optimum], tokens: int, seconds: float
) -> Result:
    start = optima[0]
    ratio = float(np.linalg.norm(start.gradients[1]) / np.linalg.norm(start.gradients[0]))
    return {
        "configuration": configuration,
        "align_tokens": tokens,
        "perturbations": list(configuration["perturbations"]),
        "entropies": np.array([o.entropies for o in optima]).T.tolist(),
        "response": np.array([o.response for o in optima]).T.tolist(),
        "gradient_norms": [o.gradient_norm for o in optima],
        "one_plus_cosine": one_plus_cosine(start.gradients[0], start.gradients[1]),
        "stiffness_ratio": ratio,
        "distances": _distances(probe, weights, start),
        "passes": sum(o.passes for o in optima),
        "seconds": seconds,
    }


def _distances(probe: TiltProbe, weights: Array, optimum: Optimum) -> dict[str, float]:
    """Squared distances of the three gradients in the metric of the inverse Hessian at l = 0, which decide R4's signs.

    pa = |g_p - g_a|^2, pt = |g_p - g_t|^2, at = |g_a - g_t|^2. As k -> infinity, g_p -> 0, and dH_a = -g_a' G^-1 g_t > 0 iff
    at > pa + pt: the angle at the pre-training data is obtuse. (For three equal parts that is
    5 |g_2 - g_3|^2 > |g_1 - g_2|^2 + |g_1 - g_3|^2, and for D_p = (D_a + D_t)/2 it always holds: at = 2 (pa + pt).)
    """
    share = torch.as_tensor(weights).to(probe.base)
    state = probe.evaluate(torch.as_tensor(optimum.theta).to(probe.base), share)
    metric = probe.hessian(state, share[0]).cpu().numpy()
    gradients = state.gradients.cpu().numpy()

    def squared(i: int, j: int) -> float:
        gap = gradients[i] - gradients[j]
        return float(gap @ np.linalg.solve(metric, gap))

    return {"pa": squared(0, 1), "pt": squared(0, 2), "at": squared(1, 2)}


def _rows(
    tokenizer: PreTrainedTokenizerBase, spec: str, count: int, window: int, seed: int, used: set[str]
) -> list[list[int]]:
    """Rows of prefix + window tokens; a document fills at most one row, short ones are joined; none is used twice."""
    texts = read_documents(spec).texts
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    rows: list[list[int]] = []
    waiting: list[int] = []
    for index in np.random.default_rng(seed).permutation(len(texts)):
        text = texts[index].strip()
        if text in used:
            continue
        used.add(text)
        waiting += token_ids(tokenizer, [(" " if waiting else "") + text], spec)[0][:window].tolist()
        if len(waiting) >= window:
            rows.append([prefix, *waiting[:window]])
            waiting = []
        if len(rows) == count:
            return rows
    raise InputError(
        f"only {len(rows)} of {count} rows of {window} tokens",
        where=spec,
        mend="give more text, or ask for fewer positions",
    )


def _check_memory(needed: int, device: torch.device) -> None:
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory_at_hand()
    if needed > 0.8 * free:
        raise InputError(
            f"the cached probabilities need {needed / 1e9:.1f} GB, the device has {free / 1e9:.1f} left",
            where="stiffness",
            mend="ask for fewer positions",
        )
