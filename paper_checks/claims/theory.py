"""R1-R27: the results of the theory, each judged by its derivation, its certified instances and its random ones."""

from __future__ import annotations

from .claim import FAILS, HOLDS, LEVELS, WITH_CONSTANTS, Claim, Evidence, Finding, only_if

TITLES = {
    "R1": (
        "Response",
        "As the perturbation grows, the code of dataset i changes by dH_i/dl = (1 - sum_x P_i P_t / q)/N: it lengthens where the "
        "overlap with the perturbation, the sum, is below 1.",
    ),
    "R2": (
        "Balance law",
        "Weighted by volume, the changes add up to 0: k dH_p + dH_a + l dH_t = 0 for any distributions and any volumes.",
    ),
    "R3": (
        "Theta with its constant",
        "By volume, alignment loses 1/(1 - eps) times what pre-training gains: -(dH_a/dl)/(k dH_p/dl) = 1/(1 - eps), "
        "eps = l (T - 1)/(1 - A), with A the overlap of alignment data with the perturbation and T that of the perturbation with itself.",
    ),
    "R4": (
        "Signs",
        "Alignment loses (dH_a > 0) iff its overlap A with the perturbation is below 1; then pre-training gains (dH_p < 0) iff the eps "
        "of R3 is below 1; each changes sign at most once, from - to +.",
    ),
    "R5": (
        "Finite law",
        "0 <= k DeltaH_p + DeltaH_a = (k+1) KL(q_0 || q_L) <= (L/2)(H_t(0) - H_t(L)) for mixtures, q_0 before and q_L after a perturbation "
        "L; for any class it is between 0 and L (H_t(0) - H_t(L)).",
    ),
    "R6": (
        "Any model class",
        "The finite law (R5) and the effective volumes (R16) hold at global optima of any model class; an optimum that training missed "
        "costs what it missed.",
    ),
    "R7": (
        "First-order law of fine-tuning",
        "At a stationary point w_p DeltaH_p + w_a DeltaH_a, weighted by the volumes w, is an elastic energy of second order; a constant "
        "of elasticity exists iff the gradients of H_p and H_a are antiparallel.",
    ),
    "R8": (
        "Union law",
        "Where the pre-training data holds data like the perturbation, the signs and the constant follow from the shares of its parts "
        "and from R, what the other parts lose over what alignment loses.",
    ),
    "R9": ("Necessity", "Which assumptions of the paper's theorem (Thm 4.2) are needed: each is dropped in turn."),
    "R10": (
        "Depth",
        "Merging leaves never raises T, the overlap of the perturbation with itself; with three exchangeable parts 1 - A, of the "
        "alignment data, falls with it only in expectation.",
    ),
    "R11": (
        "Volume",
        "The response of alignment falls as (1 - A)/k with the pre-training volume k: the theorem does not by itself give the paper's "
        "finding that rebound grows with it (F3).",
    ),
    "R12": (
        "Divergences",
        "The mixture balances the divergences D(P_i || q) exactly; the reverse ones, D(q || P_i), are balanced by the geometric pool, "
        "q ~ prod P_i^(w_i/N).",
    ),
    "R13": (
        "Rebound in joint compression",
        "More aligned falls faster only below a volume of alignment n; the volume m* that undoes it never falls in proportion to n.",
    ),
    "R14": (
        "Codes under mismatch",
        "Real Huffman codes obey the finite law (R5) and the effective volumes (R16) exactly; Shannon's miss by less than k + 1 bits.",
    ),
    "R15": (
        "Real code lengths",
        "nu blocks take nu H <= E[bits] < nu (H + 1), with H their entropy in bits; the paper's formula (Thm 3.4) misses by anything in "
        "(-1, 1) bits a block.",
    ),
    "R16": (
        "Effective volumes",
        "The curve alone tells the volumes that pre-training and alignment count for: K_p = k and K_a = 1 at joint optima.",
    ),
    "R17": ("Ceilings on tampering", "Under mixtures no string lengthens by more than ln(1 + L/(k+1)) nats."),
    "R18": (
        "The theorem made true",
        "Where pre-training data is half alignment data and half perturbation, P_p = (P_a + P_t)/2, and 0 < L < 1, alignment loses and "
        "pre-training gains in any model class, by volume 1 to (1 + 2 L/k)/(1 - L) times as much.",
    ),
    "R19": (
        "Forgetting",
        "A sequential run is a joint run with decayed volumes: kappa = K_p/K_a does not grow with a long pre-training (exponent beta = 0 "
        "in |D_p|) and falls with alignment (slope -1 in |D_a|, or steeper).",
    ),
    "R20": (
        "Overlaps in closed form",
        "Of n equal parts with independent masses of mean mu and Laplace transform phi, A_n = (n/mu) int phi^(n-2) phi'^2 dt; Pareto "
        "masses by the digamma function psi and exponential integrals E_n.",
    ),
    "R21": (
        "The logit law",
        "Gradient descent on a logarithmic loss moves a contrast z by A(z_n) = A(z_0) + c n while aligning, A(z) = z + e^z, and by "
        "B(z) = B(z_n) - c m while perturbing, B(z) = z - e^-z.",
    ),
    "R22": (
        "Durability",
        "m* = [B(z_n) - B(z_0)]/c opposed examples undo n aligned ones, B(z) = z - e^-z; one more aligned example buys dm*/dn = (1-p)/p; "
        "going back from z_2 to z_1 is cheaper than going up iff z_1 + z_2 > 0.",
    ),
    "R23": (
        "The first fall depends on what is measured",
        "The first opposed example moves the contrast by c p, the code length by c p (1-p), the probability by c p^2 (1-p).",
    ),
    "R24": (
        "What volumes count for",
        "A mixture that behaves alike has K_p -> 1/((1-pi) c) and K_a = n - (D - 1 + e^-D)/c, with pi the share of wanted responses at "
        "the base and D = z_n - z_0; kappa = (1-p)/(p-pi): beta = 0 in |D_p|, at most -1 in n.",
    ),
    "R25": (
        "Two backward passes",
        "c is eta |grad z|^2/B, with the learning rate eta and batches of B, and either gradient of the pair tells it before training.",
    ),
    "R26": (
        "The optimiser is part of the law",
        "With SGD m* never falls in n; with Adam's moments carried from alignment into the attack it does, as in the paper's Table 3.",
    ),
    "R27": (
        "Joint optima or not",
        "Runs r, s with volumes w and rates H are joint optima of some class iff w_r . H_r <= w_r . H_s for all pairs; the null vector "
        "of the response of rates to volumes is what volumes count for.",
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
        where=f"docs/results/{id}.md",
        verdict=RECORDED[id],
        check=_check(id),
        depends=DEPENDS.get(id, ()),
        command=f"elastomath verify --only {id}",
        figure=FIGURES.get(id, ""),
    )
    for id, (title, statement) in TITLES.items()
)
