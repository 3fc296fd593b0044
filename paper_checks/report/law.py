"""The section on the law: R1-R27 verified, the constants of one instance, phases and springs."""

from __future__ import annotations

from elastomath import Mixture, finite_law, mixture_residual, path_entropies, response

from ..claims import Evidence
from ..claims.theory import TITLES
from .page import Section
from .presets import Preset


def law_section(plan: Preset, seed: int, evidence: Evidence) -> Section:
    """R1-R27: derived, certified, sampled; the constants of one instance."""
    from elastomath.verification import explain

    section = Section(
        "law", "The law and its constants", command=f"elastomath verify --cases {plan.cases} --seed {seed}"
    )
    section.say(
        "Each result is derived symbolically for a leaf of any tree, certified on exact rational instances in ball "
        "arithmetic, and sampled against an independent evaluation. Where an assumption is dropped, a counterexample "
        "with few leaves shows what breaks. The derivations, step by step, are on the page of details."
    )
    claims = [claim for id in TITLES for claim in evidence.verified(id)]
    for level in dict.fromkeys(claim.level for claim in claims):
        mine = [claim for claim in claims if claim.level == level]
        good = sum(claim.holds for claim in mine)
        section.check(f"R1-R27, {level}", f"{len(mine)} hold", f"{good} of {len(mine)}", good == len(mine))
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
    for name in ("R18", "R9", *(id for id in TITLES if id not in ("R9", "R18"))):
        section.more(
            f"{name}, {TITLES[name][0]}: the derivation, step by step", explain(name), f"derivation-{name.lower()}"
        )
    return section
