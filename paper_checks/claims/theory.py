"""R1-R27: the results of the theory, each judged by its derivation, its certified instances and its random ones."""

from __future__ import annotations

from .claim import FAILS, HOLDS, LEVELS, WITH_CONSTANTS, Claim, Evidence, Finding, only_if

TITLES = {
    "R1": ("Response", "dH_i/dl = (1 - sum_x P_i P_t / q)/N for every dataset."),
    "R2": ("Balance law", "k dH_p + dH_a + l dH_t = 0 for any distributions and any volumes."),
    "R3": ("Theta with its constant", "-(dH_a/dl)/(k dH_p/dl) = 1/(1 - eps), eps = l (T - 1)/(1 - A)."),
    "R4": ("Signs", "dH_a > 0 iff A < 1; then dH_p < 0 iff eps < 1; each changes sign at most once, from - to +."),
    "R5": (
        "Finite law",
        "0 <= k DeltaH_p + DeltaH_a = (k+1) KL(q_0 || q_L) <= (L/2)(H_t(0) - H_t(L)) for mixtures, and with L for any class.",
    ),
    "R6": ("Any model class", "R5 and R16 hold at global optima of any class; a missed optimum costs what it misses."),
    "R7": (
        "First-order law of fine-tuning",
        "At a stationary point w_p DeltaH_p + w_a DeltaH_a is an elastic energy of second order; a constant exists iff the "
        "gradients are antiparallel.",
    ),
    "R8": ("Union law", "With D_t in D_p the signs and the constant follow from the shares and the overlaps R."),
    "R9": ("Necessity", "Which assumptions of Thm 4.2 are needed: each is dropped in turn."),
    "R10": (
        "Depth",
        "Coarse-graining never raises T; with three exchangeable parts 1 - A follows only in expectation.",
    ),
    "R11": ("Volume", "The response falls as (1 - A)/k: the theorem does not by itself give F3 (volume)."),
    "R12": ("Divergences", "The mixture balances D(P_i || q) exactly, the geometric pool balances D(q || P_i)."),
    "R13": ("Rebound in joint compression", "More aligned falls faster only below a volume; m*/n never falls in n."),
    "R14": ("Codes under mismatch", "Real Huffman codes obey R5 and R16 exactly; Shannon's miss by less than k + 1."),
    "R15": ("Real code lengths", "nu H <= E[bits] < nu (H + 1); Thm 3.4 as printed misses by anything in (-1, 1)."),
    "R16": ("Effective volumes", "The curve alone tells the volumes that pre-training and alignment count for."),
    "R17": ("Ceilings on tampering", "Under mixtures no string lengthens by more than ln(1 + L/(k+1)) nats."),
    "R18": ("The theorem made true", "With P_p = (P_a + P_t)/2 signs and constant hold in any model class, 0 < L < 1."),
    "R19": (
        "Forgetting",
        "A sequential run is a joint run with decayed volumes: beta = 0 in |D_p|, slope -1 in |D_a|.",
    ),
    "R20": (
        "Overlaps in closed form",
        "A_n = (n/mu) int phi^(n-2) phi'^2 dt for i.i.d. masses; Pareto by psi and E_n.",
    ),
    "R21": (
        "The logit law",
        "Gradient descent on a logarithmic loss moves a contrast by A(z_n) = A(z_0) + c n and B(z) = B(z_n) - c m.",
    ),
    "R22": (
        "Durability",
        "m* = [B(z_n) - B(z_0)]/c, dm*/dn = (1-p)/p; going back is cheaper than going up iff z_1 + z_2 > 0.",
    ),
    "R23": (
        "The first fall depends on what is measured",
        "c p in the contrast, c p (1-p) in the code length, c p^2 (1-p) in the probability.",
    ),
    "R24": (
        "What volumes count for",
        "K_p -> 1/((1-pi) c), K_a = n - (D - 1 + e^-D)/c, kappa = (1-p)/(p-pi): beta = 0 in |D_p|, at most -1 in n.",
    ),
    "R25": ("Two backward passes", "c is eta |grad z|^2/B, and either gradient of the pair tells it before training."),
    "R26": (
        "The optimiser is part of the law",
        "With SGD m* never falls in n; with Adam's moments carried over it does, as in Table 3.",
    ),
    "R27": (
        "Joint optima or not",
        "Runs are joint optima of some class iff w_r . H_r <= w_r . H_s for all pairs; the null vector is what volumes count for.",
    ),
}
"""Title and statement of each result."""

RECORDED = {
    "R1": HOLDS,
    "R2": HOLDS,
    "R3": WITH_CONSTANTS,
    "R4": only_if("A < 1 (then dH_a > 0) and eps < 1 (then dH_p < 0)"),
    "R5": WITH_CONSTANTS,
    "R6": WITH_CONSTANTS,
    "R7": WITH_CONSTANTS,
    "R8": only_if("l (pi_a + R) < pi_t, given dH_a > 0; with constants"),
    "R9": only_if("P_p is a union of P_a and P_t, l < pi_t/pi_a, at the joint optimum; k, law and shares are free"),
    "R10": only_if("1 - A is meant in expectation (pathwise for T, and for 1 - A of two parts)"),
    "R11": HOLDS,
    "R12": WITH_CONSTANTS,
    "R13": only_if("n < m + k (s_+ + s_- - 2 s_p)/(s_+ - s_-); m*/n never falls in n"),
    "R14": WITH_CONSTANTS,
    "R15": WITH_CONSTANTS,
    "R16": HOLDS,
    "R17": only_if("the class is closed under mixing (pooled), and for one string if it is that of mixtures"),
    "R18": WITH_CONSTANTS,
    "R19": WITH_CONSTANTS,
    "R20": HOLDS,
    "R21": WITH_CONSTANTS,
    "R22": WITH_CONSTANTS,
    "R23": only_if("the measure is stated"),
    "R24": WITH_CONSTANTS,
    "R25": only_if("closure holds and the gradients are antiparallel"),
    "R26": WITH_CONSTANTS,
    "R27": WITH_CONSTANTS,
}
"""The verdict on record of each result."""


def judge(id: str, evidence: Evidence) -> Finding:
    """The verdict of `elastomath verify` on a result, if every level and every case of it holds."""
    claims = evidence.verified(id)
    own = [claim for claim in claims if claim.id == id]
    failed = [claim for claim in claims if not claim.holds]
    if failed:
        first = failed[0]
        return Finding(FAILS, first.level, f"{first.id} ({first.level}): {first.detail}")
    level = min((claim.level for claim in own), key=LEVELS.index)
    cases = ", ".join(f"{claim.level} {claim.cases}" for claim in own)
    examples = [claim.id for claim in claims if claim.id != id]
    detail = f"{own[0].detail} [{cases}{'; cases ' + ', '.join(dict.fromkeys(examples)) if examples else ''}]"
    return Finding(own[0].verdict, level, detail, {"claims": len(claims)})


def _check(id: str):  # type: ignore[no-untyped-def]
    def check(evidence: Evidence) -> Finding:
        return judge(id, evidence)

    check.__doc__ = f"{id} as `elastomath verify` judges it."
    return check


DEPENDS = {
    "R2": ("R1",),
    "R3": ("R1", "R2"),
    "R4": ("R1",),
    "R5": ("R2",),
    "R6": ("R5",),
    "R7": ("R2",),
    "R8": ("R3",),
    "R9": ("R3", "R8"),
    "R10": ("R8", "R20"),
    "R11": ("R1", "R20"),
    "R12": ("R2",),
    "R14": ("R6",),
    "R16": ("R2", "R6"),
    "R17": ("R5",),
    "R18": ("R6",),
    "R19": ("R13",),
    "R22": ("R21",),
    "R23": ("R21",),
    "R24": ("R7", "R21", "R23"),
    "R25": ("R21",),
    "R26": ("R22",),
    "R27": ("R2", "R6"),
}
"""What each result rests on."""
FIGURES = {
    "R4": "phase",
    "R5": "law",
    "R3": "law",
    "R18": "law",
    "R16": "simulation",
    "R12": "springs",
    "R15": "tree",
    "R8": "phase",
}
"""The sections of the report that draw a result."""

CLAIMS = tuple(
    Claim(
        id=id,
        title=title,
        claim=statement,
        where=f"theory, section {2 if int(id[1:]) <= 20 else 6}, {id}",
        verdict=RECORDED[id],
        check=_check(id),
        depends=DEPENDS.get(id, ()),
        command=f"elastomath verify --only {id}",
        figure=FIGURES.get(id, ""),
    )
    for id, (title, statement) in TITLES.items()
)
