"""The section on the tilt probe: the law on a real model."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from .page import Section, interval
from .presets import MODEL, Preset

if TYPE_CHECKING:
    from elastomath.interval import Ends
    from empirical.stiffness.results import Control, ProbeRow


def stiffness_section(plan: Preset, data: Path, device: str, seed: int) -> Section:
    """The tilt probe on the model."""
    from empirical.stiffness.run import stiffness
    from empirical.stiffness.settings import CASES, StiffnessSettings

    from .figures import probe_figure, signs_figure

    settings = StiffnessSettings(model=MODEL, positions=plan.positions, seed=seed)
    command = f"elastomath experiment stiffness --model {MODEL} --positions {plan.positions} --seed {seed}"
    section = Section("stiffness", "The tilt probe: the law on a real model", command=command)
    result = stiffness(settings, data / "stiffness", device=device)
    section.data += ["stiffness/stiffness.csv", "stiffness/stiffness.json"]
    rows: list[ProbeRow] = result["probe"]
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
                "residual over its bound (R5) at the first l": row["r5_ratio"][0],
                "kappa from the curve": interval(row["kappa"]),
                "dH_a > 0 at": _where(row["perturbations"], row["align_rises"]),
                "dH_p < 0 at": _where(row["perturbations"], row["pretrain_falls"]),
            }
            for row in rows
        ]
    )
    section.draw(
        probe_figure(rows),
        "The finite law (R5) on the model: strictly inside its bound, and half of it as the perturbation shrinks.",
    )
    section.draw(signs_figure(rows), "The signs that the theorem wants, case by case: they need more than the union.")
    for row in rows:
        if row["case"] == "union":
            _union_checks(section, row)
    _signs_checks(section, rows)
    _controls(section, result["controls"])
    return section


def _union_checks(section: Section, row: ProbeRow) -> None:
    """What R2, R5, R7 and R16 force where pre-training data are the union of both parts."""
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
    section.check(
        f"residual over bound at l = 0.1, {name}", "0.49 to 0.51", first, first is not None and 0.49 < first < 0.51
    )
    error = row["kappa_error"]
    near = error is not None and abs(error) < 5e-4
    section.check(f"kappa from the curve, {name}", "within 0.05% of k", _percent(error), near)


def _controls(section: Section, controls: list[Control]) -> None:
    """A wrong quadrature has to miss kappa, and noise has to widen its interval."""
    section.head("Controls that have to fail, and noise")
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
        bounds = ", ".join("open" if w == float("inf") else f"{w:.3g}" for w in widths)
        section.check(f"noise widens the interval of kappa, {control['run']}", "wider with more noise", bounds, wider)
    section.show(table, "kappa with its 95% interval")


def _signs_checks(section: Section, rows: list[ProbeRow]) -> None:
    """The signs of each case at the smallest positive l, against what is derived or worked out for it."""
    by_case = {row["case"]: row for row in reversed(rows)}
    union, halves, separate, shared = (by_case[case] for case in ("union", "halves", "separate", "shared"))
    for row, statement in (
        (union, "union of three: signs of the theorem at l = 0.1"),
        (halves, "union of two (R18): signs at l = 0.1"),
    ):
        signs = f"dH_a {row['response'][1][1]:+.1e}, dH_p {row['response'][0][1]:+.1e}"
        section.check(statement, "dH_a > 0 > dH_p", signs, row["align_rises"][1] and row["pretrain_falls"][1])
    signs = f"dH_a {separate['response'][1][1]:+.1e}, dH_p {separate['response'][0][1]:+.1e}"
    section.check(
        "separate samples (control): the signs fail",
        "not dH_a > 0 > dH_p",
        signs,
        not (separate["align_rises"][1] and separate["pretrain_falls"][1]),
    )
    signs = f"dH_a {shared['response'][1][1]:+.1e}"
    section.check("D_t shares half of D_a (control): dH_a > 0 fails", "dH_a < 0", signs, not shared["align_rises"][1])


def _where(steps: list[float], flags: list[bool]) -> str:
    signs = [f"{step:g}" for step, good in zip(steps, flags, strict=True) if good]
    if len(signs) == len(flags):
        return f"every l to {signs[-1]}"
    return f"l = {', '.join(signs)}" if signs else "no l"


def _width(constant: Ends) -> float:
    if constant["low"] is None or constant["high"] is None:
        return float("inf")
    return float(constant["high"] - constant["low"])


def _percent(error: float | None) -> str:
    return "no finite value" if error is None else f"{100 * error:+.2g}%"
