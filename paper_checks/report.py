"""The report: every floor's work, from the derivation to a real model, in one HTML file with its data beside it."""

from __future__ import annotations

import itertools
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from elastomath import Curve, Mixture, __version__, finite_law, mixture_residual, path_entropies, response
from elastomath.errors import InputError
from elastomath.progress import say
from elastomath.storage import whole_file

from .page import Section, interval, render


@dataclass(frozen=True)
class Preset:
    """What a report does: how many cases and readings, and the settings of the experiments on a model (None: no model)."""

    cases: int
    k: tuple[float, ...]
    documents: int
    rebound: dict[str, Any] | None
    positions: int = 3840


PRESETS = {
    "theory": Preset(cases=100, k=(2.0, 40.0), documents=0, rebound=None),
    "quick": Preset(cases=100, k=(2.0, 40.0), documents=40, rebound={}),
    "full": Preset(
        cases=1000,
        k=(2.0, 10.0, 40.0, 200.0, 1000.0),
        documents=400,
        rebound={
            "adapt_volume": 800,
            "align_volumes": (100, 200, 400, 800),
            "perturb_volumes": (25, 50, 100, 200, 400),
            "held_out": 200,
            "kl_documents": 24,
            "seeds": (0, 1, 2),
        },
        positions=7680,
    ),
}
MODEL, REVIEWS = "smollm2-135m-instruct-q4", "film-reviews"


def make_report(preset: str, out: Path, *, seed: int = 0, device: str = "auto", dtype: str = "auto") -> dict[str, Any]:
    """Write the report of a preset; its data go to a folder beside it, from which an interrupted run continues.

    Returns {"report", "seconds", "data", "checks": {"held", "total"}, "checks_hold"}. Raises InputError for an unknown
    preset, a path that cannot be written, or (for presets with a model) files that cannot be fetched.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}", where="report", mend=f"choose one of {', '.join(PRESETS)}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"the report is an HTML file, not {out.suffix or 'a folder'!r}", where=str(out), mend="end it in .html"
        )
    plan, start = PRESETS[preset], time.monotonic()
    data = out.with_name(f"{out.stem}-data")
    with whole_file(data / "preset.json") as aside:  # fails now, not after an hour, where nothing can be written
        aside.write_text(json.dumps({"preset": preset, "seed": seed}))
    makers: list[Callable[[], Section]] = [
        lambda: _law_section(plan, seed),
        lambda: _simulation_section(plan, seed, data),
    ]
    if plan.rebound is not None:
        settings = plan.rebound
        makers += [
            lambda: _rates_section(plan, data, device, dtype, seed),
            lambda: _stiffness_section(plan, data, device, seed),
            lambda: _rebound_section(settings, data, device, dtype, seed),
        ]
    sections = []
    for index, maker in enumerate(makers, 1):
        began = time.monotonic()
        section = maker()
        section.seconds = time.monotonic() - began
        section.save_figures(data / "figures")
        sections.append(section)
        say(f"report: {index} of {len(makers)} sections, {section.title.lower()}: {section.seconds:.0f} s")
    seconds = time.monotonic() - start
    render(out, preset, sections, _provenance(preset, seed, seconds, data), _not_shown(preset))
    checks = [check for section in sections for check in section.checks]
    for check in checks:
        if not check.holds:
            say(f"did not hold: {check.statement} (wanted {check.wanted}, saw {check.seen})")
    held = sum(check.holds for check in checks)
    return {
        "report": str(out),
        "seconds": seconds,
        "data": str(data),
        "checks": {"held": held, "total": len(checks)},
        "checks_hold": held == len(checks),
    }


def _by_result(claims: Sequence[Any]) -> list[dict[str, Any]]:
    """A row for each result: its verdict, the cases of each level, and whether all of its checks came out."""
    rows: dict[str, dict[str, Any]] = {}
    for claim in claims:
        row = rows.setdefault(claim.id, {"result": claim.id, "verdict": claim.verdict, "checked": "", "holds": True})
        row["checked"] += (", " if row["checked"] else "") + f"{claim.level} {claim.cases}"
        row["holds"] = row["holds"] and bool(claim.holds)
        if not claim.holds:
            row["verdict"] = claim.verdict
    return list(rows.values())


def _law_section(plan: Preset, seed: int) -> Section:
    """R1-R20: derived, certified, sampled; the constants of one instance."""
    from elastomath.verification import explain, verify

    section = Section(
        "law", "The law and its constants", command=f"elastomath verify --cases {plan.cases} --seed {seed}"
    )
    section.say(
        "Each result is derived symbolically for a leaf of any tree, certified on exact rational instances in ball "
        "arithmetic, and sampled against an independent evaluation. Where an assumption is dropped, a counterexample "
        "with few leaves shows what breaks."
    )
    claims = verify(cases=plan.cases, seed=seed, processes=_cores())
    section.show(_by_result(claims), caption="Cases checked at each level; a result holds where every check came out.")
    section.more("What each check saw, with its worst case", "\n".join(f"{c.id} {c.level}: {c.detail}" for c in claims))
    for level in dict.fromkeys(claim.level for claim in claims):
        mine = [claim for claim in claims if claim.level == level]
        good = sum(claim.holds for claim in mine)
        section.check(f"R1-R20, {level}", f"{len(mine)} hold", f"{good} of {len(mine)}", good == len(mine))
    section.head("The constants of one instance")
    section.say(
        "Three leaves, k = 10: pre-training is the union of three datasets, alignment and perturbation are two of them. "
        "The residual of the balance is (k+1) KL(q0 || qL) and stays under half of the bound L (H_t(0) - H_t(L))."
    )
    parts = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]
    base = [sum(column) / 3 for column in zip(*parts, strict=True)]
    mixture = Mixture.of([base, parts[1], parts[2]], [10.0, 1.0, 0.0])
    steps = [0.0, 0.1, 0.3, 1.0]
    law = finite_law(steps, [10.0, 1.0], path_entropies(mixture, steps))
    rows = []
    for index, step in enumerate(steps):
        r = response(mixture.at(step))
        rows.append(
            {
                "l": step,
                "C": float(r.overlaps[0]),
                "A": float(r.overlaps[1]),
                "T": float(r.overlaps[2]),
                "dH_p/dl": float(r.derivatives[0]),
                "dH_a/dl": float(r.derivatives[1]),
                "epsilon": r.epsilon,
                "1/(1-epsilon)": r.theta_constant,
                "residual": float(law.residual[index]),
                "(k+1) KL": mixture_residual(mixture, step),
                "bound": abs(float(law.upper[index])),
            }
        )
    section.show(rows, "nats per leaf drawn; l in units of the alignment volume")
    for name in ("R18", "R9", *(f"R{number}" for number in range(1, 21) if number not in (9, 18))):
        section.more(f"{name}: the derivation, step by step", explain(name))
    return section


def _simulation_section(plan: Preset, seed: int, data: Path) -> Section:
    """An exact curve of the mixture compressor, and the constants fitted from it."""
    from elastomath.figures import curve_figure, law_figure
    from sim.mixture import simulate_mixture

    ks = ",".join(f"{k:g}" for k in plan.k)
    section = Section(
        "simulation", "A simulated curve and its constants", command=f"elastomath simulate mixture --k {ks}"
    )
    curve = simulate_mixture(k=plan.k, alpha=1.5, leaves=4096, l_max=3.0, points=13, seeds=(seed,))
    section.data.append(str(_beside(data, curve.write(data / "simulation.csv"))))
    section.say(
        "Pareto leaf masses (alpha = 1.5, 4,096 leaves), pre-training the union of three equal datasets. The compressor "
        "is exact, so the effective volumes of R16 have to be the nominal ones, from the curve alone."
    )
    section.draw(
        curve_figure(curve),
        "Compression rates as the perturbation grows: alignment gives way, pre-training hardly moves.",
    )
    section.draw(
        law_figure(curve.run(curve.runs[0])), "The residual of the balance between its bounds (R5), for the first run."
    )
    constants = _fit(section, curve)
    for run in constants["runs"]:
        error = run["kappa"]["estimate"] / run["nominal_kappa"] - 1.0
        section.check(
            f"kappa from the curve, k = {run['nominal_kappa']:g}",
            "within 0.1% of k",
            f"{100 * error:+.4f}%",
            abs(error) < 1e-3,
        )
    noisy = simulate_mixture(k=plan.k, alpha=1.5, leaves=4096, l_max=3.0, points=13, seeds=(seed,), noise=1e-3)
    section.say(
        "With noise of 0.001 bits on every reading, the intervals widen; an end that the readings do not bound is open:"
    )
    _fit(section, noisy)
    return section


def _rates_section(plan: Preset, data: Path, device: str, dtype: str, seed: int) -> Section:
    """Bits per byte of the model on positive and negative reviews."""
    from elastomath.ledger import Ledger
    from empirical.data import read_documents
    from empirical.models import load_model
    from empirical.rates import measurement

    specs = [f"{REVIEWS}:{kind}/rotten_tomatoes" for kind in ("positive", "negative")]
    command = f"elastomath measure --model {MODEL} --data {' '.join(specs)} --window 128 --limit {plan.documents * 5}"
    section = Section("rates", "Bits per byte on film reviews", command=command)
    wanted = {
        "stage": "measure",
        "model": MODEL,
        "data": specs,
        "limit": plan.documents * 5,
        "dtype": dtype,
        "seed": seed,
    }
    with Ledger(data / "report.sqlite") as ledger:
        result = ledger.get(wanted)
        if result is None:
            documents = [read_documents(spec, limit=plan.documents * 5) for spec in specs]
            loaded = load_model(MODEL, device=device, dtype=dtype)
            result = measurement(loaded, documents, window=128, seed=seed)
            ledger.put(wanted, result)
    with whole_file(data / "rates.json") as aside:
        aside.write_text(json.dumps(result, indent=1))
    section.data.append("rates.json")
    section.say(
        f"{result['model']} ({result['dtype']}; weights rounded to 4 bits in the file they come from), windows of "
        f"{result['window']} tokens, pooled over documents in the convention of lm-evaluation-harness; one standard error "
        "from resampling documents."
    )
    section.show(result["results"])
    rates = [row["bits_per_byte"] for row in result["results"]]
    section.check(
        "bits per byte of the base on both kinds",
        "between 0.5 and 3",
        f"{rates[0]:.3f}, {rates[1]:.3f}",
        all(0.5 < r < 3 for r in rates),
    )
    return section


def _stiffness_section(plan: Preset, data: Path, device: str, seed: int) -> Section:
    """The tilt probe on the model."""
    from empirical.stiffness import CASES, StiffnessSettings, stiffness

    from .figures import probe_figure, signs_figure

    settings = StiffnessSettings(model=MODEL, positions=plan.positions, seed=seed)
    command = f"elastomath experiment stiffness --model {MODEL} --positions {plan.positions} --seed {seed}"
    section = Section("stiffness", "The tilt probe: the law on a real model", command=command)
    result = stiffness(settings, data / "stiffness", device=device)
    section.data += ["stiffness/stiffness.csv", "stiffness/stiffness.json"]
    rows = result["probe"]
    section.say(
        f"The model is frozen; its probabilities at {plan.positions:,} token positions of film reviews are tilted by "
        f"{settings.features} features, so that the joint optimum at known volumes (k, 1, l) is reached exactly. The laws are "
        "theorems here: what passing shows is that the machinery is right, and what the constants and signs are for these texts."
    )
    for name, meaning in CASES.items():
        section.say(f"{name}: {meaning}.")
    section.show(
        [
            {
                "run": row["run"],
                "gradient norm": row["gradient_norm"],
                "1 + cosine": row["one_plus_cosine"],
                "ratio / k - 1": row["stiffness_ratio"] / row["k"] - 1.0,
                "R5 ratio at the first l": row["r5_ratio"][0],
                "kappa from the curve": interval(row["kappa"]),
                "dH_a > 0 at": _where(row, "align_rises"),
                "dH_p < 0 at": _where(row, "pretrain_falls"),
            }
            for row in rows
        ]
    )
    section.draw(
        probe_figure(rows), "R5 on the model: strictly inside its bound, and half of it as the perturbation shrinks."
    )
    section.draw(
        signs_figure(rows), "The signs that the theorem wants, case by case: they need more than the union (section 5)."
    )
    for row in rows:
        if row["case"] != "union":
            continue
        name = f"k = {row['k']:g}"
        section.check(
            f"gradient norm of the joint optimum, {name}", "< 1e-11", row["gradient_norm"], row["gradient_norm"] < 1e-11
        )
        section.check(
            f"1 + cosine of the gradients, {name}", "< 1e-12", row["one_plus_cosine"], row["one_plus_cosine"] < 1e-12
        )
        ratio = row["stiffness_ratio"] / row["k"] - 1.0
        section.check(f"stiffness ratio over k, {name}", "1 within 1e-6", f"1 {ratio:+.1e}", abs(ratio) < 1e-6)
        section.check(f"R5 inside its bound at every l, {name}", "yes", row["r5_holds"], row["r5_holds"])
        first = row["r5_ratio"][row["perturbations"].index(0.1) - 1]
        section.check(f"residual over bound at l = 0.1, {name}", "0.49 to 0.51", first, 0.49 < first < 0.51)
        error = row["kappa_error"]
        section.check(f"kappa from the curve, {name}", "within 0.05% of k", f"{100 * error:+.5f}%", abs(error) < 5e-4)
    _signs_checks(section, rows)
    section.head("Controls that have to fail, and noise")
    controls = result["controls"]
    table = []
    for control in controls:
        error = control["right_endpoint_error"]
        missed = error is None or abs(error) > 5e-4
        section.check(
            f"a right-endpoint rule misses kappa, {control['run']}", "off by more than 0.05%", _percent(error), missed
        )
        row = {"run": control["run"], "right-endpoint rule": interval(control["right_endpoint_kappa"])}
        table.append(row | {f"noise {n['noise_nats']:g} nats": interval(n["kappa"]) for n in control["noise"]})
        widths = [_width(n["kappa"]) for n in control["noise"]]
        wider = all(b >= a for a, b in itertools.pairwise(widths)) and widths[-1] > widths[0]
        seen = ", ".join("open" if w == float("inf") else f"{w:.3g}" for w in widths)
        section.check(f"noise widens the interval of kappa, {control['run']}", "wider with more noise", seen, wider)
    section.show(table, "kappa with its 95% interval")
    return section


def _signs_checks(section: Section, rows: list[dict[str, Any]]) -> None:
    """The signs of each case at the smallest positive l, against what theory or section 5 says."""
    by_case = {row["case"]: row for row in reversed(rows)}
    union, halves, separate, shared = (by_case[case] for case in ("union", "halves", "separate", "shared"))
    for row, statement in (
        (union, "union of three: signs of the theorem at l = 0.1"),
        (halves, "union of two (R18): signs at l = 0.1"),
    ):
        seen = f"dH_a {row['response'][1][1]:+.1e}, dH_p {row['response'][0][1]:+.1e}"
        section.check(statement, "dH_a > 0 > dH_p", seen, row["align_rises"][1] and row["pretrain_falls"][1])
    seen = f"dH_a {separate['response'][1][1]:+.1e}, dH_p {separate['response'][0][1]:+.1e}"
    section.check(
        "separate samples (control): the signs fail",
        "not dH_a > 0 > dH_p",
        seen,
        not (separate["align_rises"][1] and separate["pretrain_falls"][1]),
    )
    seen = f"dH_a {shared['response'][1][1]:+.1e}"
    section.check("D_t shares half of D_a (control): dH_a > 0 fails", "dH_a < 0", seen, not shared["align_rises"][1])


def _rebound_section(chosen: dict[str, Any], data: Path, device: str, dtype: str, seed: int) -> Section:
    """The small rebound run."""
    from elastomath.figures import curve_figure
    from empirical.rebound import ReboundSettings, rebound

    from .figures import divergence_figure, rebound_figure

    settings = ReboundSettings(model=MODEL, **{"seeds": (seed,), **chosen})
    command = f"elastomath experiment rebound --model {MODEL} --seeds {','.join(map(str, settings.seeds))}"
    section = Section("rebound", "A rebound run", command=command)
    result = rebound(settings, data / "rebound", device=device, dtype=dtype)
    section.data += ["rebound/rebound.csv", "rebound/rebound.json"]
    section.say(
        f"The model is adapted to {settings.adapt_volume} film reviews of both kinds, aligned on positive ones, then perturbed with "
        f"negative ones (AdamW, learning rate {settings.learning_rate:g}, batch {settings.batch}, a fresh optimiser a phase, "
        f"{settings.warmup} warm-up steps). The contrast is the rate on held-out negative reviews minus that on positive ones, "
        f"{settings.held_out} of each; it has to rise when the model is aligned. The control perturbs with both kinds."
    )
    readings = result["readings"]
    section.draw(
        rebound_figure(readings),
        "The contrast at each stage, and its fall under the perturbation, with one standard error.",
    )
    section.draw(divergence_figure(readings), "Divergence of the model from its base on held-out reviews.")
    for reading in readings:
        section.show(
            [
                {
                    "phase": r["phase"],
                    "examples": r["volume"],
                    "positive": r["rates"]["align"],
                    "negative": r["rates"]["perturb"],
                }
                | {"contrast": r["contrast"], "change": r["contrast_change"], "se": r["contrast_change_se"]}
                | {"KL(base||model)": r["kl_forward"], "KL(model||base)": r["kl_reverse"]}
                for r in reading["rows"]
            ],
            f"{reading['run']}: bits per token; changes count from the adapted model, and from the aligned one under perturbation",
        )
        aligned = [r for r in reading["rows"] if r["phase"] == "aligned"][-1]
        last = [r for r in reading["rows"] if r["phase"] == "perturb"][-1]
        for row, wanted, sign in ((aligned, "rises", 1), (last, "falls", -1)):
            z = row["contrast_change"] / row["contrast_change_se"]
            section.check(
                f"{reading['run']}: the contrast {wanted} ({row['phase']} {row['volume']})",
                "beyond 2 standard errors",
                f"{z:+.1f} se",
                sign * z > 2,
            )
    curve = Curve.read(result["curve"])
    section.draw(
        curve_figure(curve), "The curve that the fit reads: rates on held-out reviews against negative examples."
    )
    constants = _fit(section, curve)
    missed = [run["run"] for run in constants["runs"] if not run["bound"]["holds"]]
    if missed:
        section.say(
            f"R5 is missed by {', '.join(missed)}: from a joint optimum no perturbation can lower the volume-weighted rates of "
            "pre-training and alignment, and here further training on any reviews still does (held-out text standing for the "
            "training data). These models were not trained to a joint optimum: what they show first is unfinished learning of "
            "the domain, not the spring."
        )
    section.say(
        "A fine-tuned model is not at a joint optimum, so nothing forces these constants to be the nominal ones, and few readings "
        "with noise leave most ends open. One seed at this scale: it shows that the pipeline measures, not that F2 holds or fails."
    )
    return section


def _fit(section: Section, curve: Curve) -> dict[str, Any]:
    from empirical.fit import fit

    constants = fit(curve)
    section.show(
        [
            {"run": run["run"]}
            | {name: interval(run[name]) for name in ("K_pretrain", "K_align", "kappa")}
            | {"nominal kappa": run["nominal_kappa"], "R5 holds": run["bound"]["holds"]}
            for run in constants["runs"]
        ],
        f"effective volumes (R16) with their 95% intervals, in {curve.frame['volume_unit'].iloc[0]}",
    )
    return constants


def _where(row: dict[str, Any], key: str) -> str:
    signs = [f"{step:g}" for step, good in zip(row["perturbations"], row[key], strict=True) if good]
    if len(signs) == len(row[key]):
        return f"every l to {signs[-1]}"
    return f"l = {', '.join(signs)}" if signs else "no l"


def _width(constant: dict[str, Any]) -> float:
    if constant["low"] is None or constant["high"] is None:
        return float("inf")
    return float(constant["high"] - constant["low"])


def _percent(error: float | None) -> str:
    return "no finite value" if error is None else f"{100 * error:+.2g}%"


def _beside(data: Path, path: Path) -> Path:
    return path.relative_to(data)


def _provenance(preset: str, seed: int, seconds: float, data: Path) -> list[dict[str, Any]]:
    packages = ("numpy", "scipy", "sympy", "python-flint", "torch", "transformers")
    installed = []
    for package in packages:
        try:
            installed.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    rows = {
        "elastomath": __version__,
        "preset, seed": f"{preset}, {seed}",
        "Python": platform.python_version(),
        "packages": ", ".join(installed),
        "machine": f"{platform.system()} {platform.machine()}, {_cores()} cores",
        "seconds": f"{seconds:.0f}",
        "data": f"{data.name}/ beside this file",
    }
    if preset != "theory":
        from empirical.catalog import CATALOG

        rows |= {name: f"{CATALOG[name].file}, SHA-256 {CATALOG[name].sha256}" for name in (MODEL, REVIEWS)}
    return [{"what": key, "value": value} for key, value in rows.items()]


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _not_shown(preset: str) -> list[str]:
    lines = [
        "Resistance (F1), scale (F3), and the paper's own models and sizes: not run here.",
        "The interval of a fitted constant is profiled on the readings of one run.",
    ]
    if preset == "theory":
        return ["No language model was measured: use the preset quick for that.", *lines]
    return ["Weights come from a 4-bit file: rates are those of the rounded model.", *lines]
