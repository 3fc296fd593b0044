"""The paper's open questions: Q1 is measured on real models, Q2 is answered by the ceilings of R17 where they hold."""

from __future__ import annotations

import numpy as np

from .claim import FAILS, Claim, Evidence, Finding, only_if

CEILING = "training is joint compression by a mixture; with forgetting (R19) or in a general class there is no ceiling"


def usefulness(evidence: Evidence) -> Finding:
    """Q2: the ceiling ln(1 + L/(k+1)) on what any perturbation costs a string, the volume that buys it, and where it ends."""
    from elastomath import Mixture
    from elastomath.laws.ceilings import string_ceiling, volume_for
    from elastomath.laws.finite import path_entropies
    from elastomath.laws.forgetting import tampering_ceiling

    proof = [*evidence.verified("R17"), *evidence.verified("R19")]
    rng, closest = np.random.default_rng(evidence.seed), 0.0
    for _ in range(40):
        rows = rng.dirichlet(np.full(int(rng.integers(3, 30)), 0.3), size=3)
        k, step = float(rng.uniform(1, 100)), float(rng.uniform(0.1, 10))
        before, after = path_entropies(Mixture.of(rows, [k, 1.0, 0.0]), [0.0, step]).T
        rise, ceiling = float(after[1] - before[1]), string_ceiling(k + 1.0, step)
        closest = max(closest, rise / ceiling)
        if (
            rise > ceiling * (1 + 1e-12)
            or abs(string_ceiling(volume_for(ceiling, step), step) - ceiling) > 1e-9 * ceiling
        ):
            return Finding(
                FAILS, "sampled", f"DeltaH_a = {rise:.6g} above its ceiling {ceiling:.6g} at k = {k:g}, L = {step:g}"
            )
    if not all(claim.holds for claim in proof):
        return Finding(FAILS, "symbolic", "R17 or R19 does not come out: elastomath verify --only R17,R19")
    bought = volume_for(0.01, 1.0)
    forgets = tampering_ceiling(np.array([1e2, 1e4]), 1e-3)
    return Finding(
        only_if(CEILING),
        "symbolic",
        f"no perturbation of volume L lengthens any string by more than ln(1 + L/(k+1)) nats (random ones reached {closest:.2f} of "
        f"it); 0.01 nats against L = 1 are bought by a volume of {bought:.1f}; with forgetting at eta = 1e-3 the same ceiling is "
        f"{forgets[0]:.2g} nats after 100 steps and {forgets[1]:.3g} after 10,000: nothing is tuned away for good",
        {"closest": closest, "volume": bought},
    )


CLAIMS = (
    Claim(
        "Q2",
        "Can the force be made useful?",
        "There are models that cannot be tuned away: a perturbation of given volume does at most a known damage.",
        "Open question 2",
        only_if(CEILING),
        usefulness,
        depends=("R17", "R19"),
        command="elastomath verify --only R17",
        figure="ceilings",
    ),
)
