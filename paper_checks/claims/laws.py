"""Theorem 4.2 as printed and in the form that holds, and the Hooke formula in both directions of the divergence."""

from __future__ import annotations

import numpy as np

from .claim import FAILS, HOLDS, WITH_CONSTANTS, Claim, Evidence, Finding

DRAWS = 60
"""Random mixtures for each sampled check."""


def theorem(evidence: Evidence) -> Finding:
    """Thm 4.2 as printed, against the counterexample of three equal parts (R9h) and those of its other assumptions."""
    claims = evidence.verified("R9")
    broken = [claim for claim in claims if claim.id == "R9h"]
    if broken and all(claim.holds for claim in broken):
        others = [claim.id for claim in claims if claim.level == "counterexample" and claim.id != "R9h" and claim.holds]
        return Finding(
            FAILS,
            "counterexample",
            f"{broken[0].detail} Further ones where an assumption is dropped: {', '.join(others)}. What holds is Thm4.2-finite",
            {"counterexamples": [claim.id for claim in claims if claim.level == "counterexample"]},
        )
    return Finding(HOLDS, "sampled", "the counterexample of three equal parts is none")


def finite_theorem(evidence: Evidence) -> Finding:
    """The finite form with D_p = (D_a + D_t)/2 (R18), by its proof and on random unions, with both constants."""
    from elastomath import Mixture
    from elastomath.laws.finite import path_entropies

    proof = evidence.verified("R18")
    rng, lowest, highest = np.random.default_rng(evidence.seed), np.inf, 0.0
    for _ in range(DRAWS):
        align, perturb = rng.dirichlet(np.full(int(rng.integers(2, 50)), 0.5), size=2)
        k, step = float(10 ** rng.uniform(-1, 3)), float(rng.uniform(0.05, 0.95))
        before, after = path_entropies(
            Mixture.of([(align + perturb) / 2, align, perturb], [k, 1.0, 0.0]), [0.0, step]
        ).T
        moved = after - before
        if not moved[0] < 0 < moved[1]:
            return Finding(FAILS, "sampled", f"signs {moved[:2]} at k = {k:g}, L = {step:g}")
        ratio, bound = -moved[1] / (k * moved[0]), (1 + 2 * step / k) / (1 - step)
        lowest, highest = min(lowest, ratio), max(highest, ratio / bound)
    if not all(claim.holds for claim in proof) or lowest < 1 - 1e-9 or highest > 1 + 1e-9:
        return Finding(FAILS, "sampled", f"ratio from {lowest:.6g}, up to {highest:.6g} of its bound")
    return Finding(
        WITH_CONSTANTS,
        "symbolic",
        f"{proof[0].detail} On {DRAWS} random halves the ratio is at least {lowest:.4f} and at most {highest:.4f} of its bound",
        {"lowest": lowest, "highest_of_bound": highest},
    )


def forward_hooke(evidence: Evidence) -> Finding:
    """|D_i| Delta D(P_i || q): forces balance at joint optima up to the elastic energy, which is (k+1) KL(q_0 || q_L)."""
    from elastomath import Mixture
    from elastomath.laws.springs import springs

    rng, worst, error = np.random.default_rng(evidence.seed), 0.0, 0.0
    for _ in range(DRAWS):
        rows = rng.dirichlet(np.full(int(rng.integers(3, 40)), 1.0), size=3)
        course = springs(Mixture.of(rows, [float(10 ** rng.uniform(0, 2)), 1.0, 0.0]), [0.0, 1e-4, 1.0])
        misses = np.abs(course.forces.sum(axis=0) - course.energy) / np.maximum(
            np.abs(course.forces).max(axis=0), 1e-300
        )
        error = max(error, float(misses[1:].max()))
        worst = max(worst, float(course.energy[1] / np.abs(course.forces[:, 1]).max()))
    law = evidence.verified("R12")
    if error > 1e-8 or worst > 0.1 or not all(claim.holds for claim in law):
        return Finding(
            FAILS, "sampled", f"forces miss the energy by {error:.1e}; at l = 1e-4 they miss balance by {worst:.1e}"
        )
    return Finding(
        WITH_CONSTANTS,
        "symbolic",
        f"sum |D_i| Delta D(P_i || q) is the elastic energy (k+1) KL(q_0 || q_L) exactly; at l = 1e-4 it is at most {worst:.1e} of "
        f"the largest force ({DRAWS} mixtures)",
        {"relative_energy": worst},
    )


def reverse_hooke(evidence: Evidence) -> Finding:
    """|D_i| Delta D(q || P_i), as printed: on three leaves its forces do not balance, even for the smallest perturbation."""
    from elastomath import Mixture
    from elastomath.mixtures.pool import GeometricPool, reverse_balance

    mixture = Mixture.of([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]], [2.0, 1.0, 0.5])
    balance = reverse_balance(mixture)
    share = abs(balance.balance) / float(np.abs(balance.terms).max())
    pool = GeometricPool.of(mixture)
    forces = mixture.volumes * pool.response()
    pooled = abs(float(forces.sum())) / float(np.abs(forces).max())
    law = evidence.verified("R12")
    if share < 1e-6 or pooled > 1e-12 or not all(claim.holds for claim in law):
        return Finding(
            HOLDS, "sampled", f"the mixture misses by {share:.1e}, the pool by {pooled:.1e} of the largest term"
        )
    return Finding(
        FAILS,
        "counterexample",
        f"(.5,.3,.2), (.1,.6,.3), (.2,.2,.6) at volumes 2, 1, 1/2: the forces miss balance by {100 * share:.0f}% of the largest; the "
        f"geometric pool balances them ({pooled:.0e}). With proved signs: verify --only R12",
        {"mixture": share, "pool": pooled},
    )


CLAIMS = (
    Claim(
        "Thm4.2", "The theorem, as printed",
        "With D_p = D_1 u D_2 u D_3 in equal parts, D_a like D_2, D_t like D_3, Pareto masses, k >> 1 and l << 1: "
        "d gamma_a/dl = Theta(-k d gamma_p/dl) and d gamma_p/dl < 0 < d gamma_a/dl.",
        "Theorem 4.2", FAILS, theorem,
        assumes=("A.7", "A3.2", "a union of equal parts", "k >> 1, l << 1", "joint compression"), depends=("R8", "R9"),
        command="elastomath verify --only R9", figure="phase",
    ),
    Claim(
        "Thm4.2-finite", "The theorem made true",
        "If D_p = (D_a + D_t)/2 then, for any distributions, any model class, any joint optima and 0 < L < 1: "
        "DeltaH_p < 0 < DeltaH_a and 1 <= -DeltaH_a/(k DeltaH_p) <= (1 + 2L/k)/(1 - L).",
        "Theorem 4.2, finite form: R18, docs/results/R18.md", WITH_CONSTANTS, finite_theorem, assumes=("joint optima",),
        depends=("R5", "R18"), command="elastomath verify --only R18", figure="law",
    ),
    Claim(
        "Hooke-forward", "Hooke's law, D_KL(data || model)",
        "|D_i| times the change of D_KL(P_i || model) is the same force for pre-training and alignment.",
        "Section 4, with the divergence that training minimises", WITH_CONSTANTS, forward_hooke,
        depends=("R2", "R5", "R12"), command="elastomath verify --only R12", figure="springs",
    ),
    Claim(
        "Hooke-reverse", "Hooke's law, D_KL(model || data)",
        "|D_i| times the change of D_KL(model || P_i), as printed, is the same force for pre-training and alignment.",
        "Section 4, the Hooke formula", FAILS, reverse_hooke, depends=("R12",), command="elastomath verify --only R12",
        figure="springs",
    ),
)  # fmt: skip
