"""Definitions 3.1, 3.3 and 3.6, Assumptions 3.2 and A.7, Theorem 3.4, and the compression rate with its normalisation."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from elastomath.interval import Interval

from .claim import FAILS, HOLDS, NOT_SUPPORTED, SUPPORTED, WITH_CONSTANTS, Claim, Evidence, Finding, measured, only_if

DRAWS = 40
"""Random datasets or mixtures for each sampled check."""


def _documents(rng: np.random.Generator) -> list[bytes]:
    """A random dataset: responses of 1 to 12 symbols out of four, with repetitions."""
    letters = np.frombuffer(b"abcd", dtype=np.uint8)
    return [rng.choice(letters, size=rng.integers(1, 13)).tobytes() for _ in range(int(rng.integers(2, 40)))]


def token_tree(evidence: Evidence) -> Finding:
    """Def 3.1: every node carries the number of responses whose first symbols spell it, against a plain count of prefixes."""
    from elastomath.trees.tokentree import TokenTree

    rng, compared = np.random.default_rng(evidence.seed), 0
    for _ in range(DRAWS):
        documents = _documents(rng)
        whole = TokenTree.of(documents, depth=13, first_block=True)
        for depth in range(1, 14):
            cut = whole.prune(depth)
            spelled = Counter((document[:depth], len(document) <= depth) for document in documents)
            ended, full = Counter[bytes](), Counter[bytes]()
            for (prefix, over), count in spelled.items():
                (ended if over and len(prefix) < depth else full)[prefix] += count
            expected = ended + full
            leaves = {cut.spell(leaf): int(count) for leaf, count in enumerate(cut.counts)}
            compared += len(leaves)
            if leaves != dict(expected):
                return Finding(FAILS, "sampled", f"depth {depth} of {documents[:5]}: {leaves} is not {dict(expected)}")
    return Finding(
        HOLDS,
        "sampled",
        f"{DRAWS} random datasets at 13 depths: {compared} leaves carry exactly the responses below them, in integers",
        {"leaves": compared},
    )


def pruned_tree(evidence: Evidence) -> Finding:
    """Def 3.3a: pruning keeps the total, composes, never raises a rate, and costs at most tau ln r, which is attained."""
    from elastomath.trees.jointtree import JointTree, pruning_loss
    from elastomath.trees.tokentree import TokenTree

    rng, closest = np.random.default_rng(evidence.seed), 0.0
    for _ in range(DRAWS):
        depth = int(rng.integers(2, 6))
        fine = JointTree.of([TokenTree.of(_documents(rng), depth) for _ in range(2)])
        for cut in range(depth):
            coarse = fine.prune(cut)
            if coarse.counts.sum(axis=1).tolist() != fine.counts.sum(axis=1).tolist():
                return Finding(FAILS, "sampled", f"cutting {depth} layers to {cut} changes the number of blocks")
            if cut and (fine.prune(cut).prune(cut - 1).counts != fine.prune(cut - 1).counts).any():
                return Finding(
                    FAILS, "sampled", f"cutting to {cut} and then {cut - 1} layers is not cutting to {cut - 1}"
                )
            loss = pruning_loss(fine, coarse, [3.0, 1.0])
            slack = 1e-12 * (1 + loss.cross_entropy_bound)
            if (loss.cross_entropy < -slack).any() or (loss.cross_entropy > loss.cross_entropy_bound + slack).any():
                return Finding(
                    FAILS, "sampled", f"pruning to {cut} layers costs {loss.cross_entropy}, outside its bounds"
                )
            certain = loss.cross_entropy_bound > 0
            closest = max(
                closest, float((loss.cross_entropy[certain] / loss.cross_entropy_bound[certain]).max(initial=0.0))
            )
    return Finding(
        WITH_CONSTANTS,
        "sampled",
        "the number of blocks is kept, cuts compose, no rate rises, and a cut costs dataset i at most tau_i ln r nats a block "
        f"(up to {closest:.3f} of it in {DRAWS} random pairs of trees; attained in the tests)",
        {"closest": closest},
    )


def monotone_depth(evidence: Evidence) -> Finding:
    """Assumption 3.2: the symbols that trained transformers represent, against their size: a trend, and no decided fall."""
    summary = evidence.saved("scale-sim").summary
    rows = summary["depth_by_size"]
    (trend,) = [
        Interval.of_dict(answer["value"]) for answer in summary["answers"] if answer["id"].startswith("depth-by-size")
    ]
    depths = ", ".join(f"{row['parameters']:,}: {row['represented_depth']:.2f}" for row in rows)
    fallen = [
        f"{before['parameters']:,} to {after['parameters']:,}"
        for before, after in itertools.pairwise(rows)
        if None not in (after["high"], before["low"]) and after["high"] < before["low"]
    ]
    lower = [
        after["parameters"]
        for before, after in itertools.pairwise(rows)
        if after["represented_depth"] < before["represented_depth"]
    ]
    detail = (
        f"leading symbols that a transformer codes within {summary['tolerance']:g} nats, by parameters: {depths}; per tenfold "
        f"{trend:+.2f} over seeds. With one training budget for all sizes the mean "
        f"falls at {', '.join(f'{size:,}' for size in lower) or 'none'}, decided at {', '.join(fallen) or 'none'}; the assumption says "
        "exactly, a trained model only approximately"
    )
    return measured(trend.sign() > 0 and not fallen, detail, {"per_tenfold": trend.estimate})


def protocol(evidence: Evidence) -> Finding:
    """Def 3.3b: the words of two datasets coincide unless ends are marked; with END every response comes back."""
    from elastomath.codes.compression import BlockCode
    from elastomath.trees.tokentree import TokenTree

    short, long = [b"ab", b"cd"], [b"abcd"]
    bare = BlockCode.of(TokenTree.of(long, 2))
    alike = str(bare.encode(short).words) == str(bare.encode(long).words)
    rng = np.random.default_rng(evidence.seed)
    for _ in range(DRAWS):
        documents, depth = _documents(rng), int(rng.integers(1, 5))
        code = BlockCode.of_documents(documents, depth)
        message = code.encode(documents)
        if code.decode(message) != documents or (code.marks_ends and message.blocks is not None):
            return Finding(FAILS, "sampled", f"{documents[:4]} at depth {depth} does not come back")
    if not alike:
        return Finding(HOLDS, "sampled", "every response comes back, also without a mark of its end")
    return Finding(
        only_if("the end of a response is marked, or its length sent beside it"),
        "counterexample",
        f'"ab", "cd" and "abcd" are sent alike at d = 2; with a word for the end {DRAWS} random datasets come back whole',
    )


def ideal_length(evidence: Evidence) -> Finding:
    """Thm 3.4 as printed, by the smallest sources where it is neither the length nor a bound (R15a, R15b)."""
    claims = [*evidence.verified("R15a"), *evidence.verified("R15b")]
    right = evidence.verified("R15")
    if all(claim.holds for claim in claims):
        bound = "; what holds: nu H <= E[bits] < nu (H + 1)" if all(claim.holds for claim in right) else ""
        return Finding(FAILS, "counterexample", " ".join(claim.detail for claim in claims) + bound)
    return Finding(HOLDS, "sampled", "no source was found where it fails")


def rate(evidence: Evidence) -> Finding:
    """gamma_i d lies in [H(P_i, q), H + 1) for Shannon's code; pooled, Huffman's lies in [H(q), H(q) + 1) (R14)."""
    from elastomath import Mixture
    from elastomath.rates.rates import code_lengths, rates

    rng, worst = np.random.default_rng(evidence.seed), 0.0
    for _ in range(DRAWS):
        leaves = int(rng.integers(3, 60))
        mixture = Mixture.of(rng.dirichlet(np.full(leaves, 0.5), size=3), rng.uniform(0.1, 10.0, size=3))
        entropies, depth = mixture.cross_entropies() / np.log(2.0), float(rng.integers(1, 9))
        ideal = rates(mixture, np.full(leaves, depth)) / np.log(2.0)
        if not np.allclose(ideal * depth, entropies, rtol=1e-12):
            return Finding(FAILS, "sampled", f"d gamma = {ideal * depth} is not H(P_i, q) = {entropies}")
        real = code_lengths(mixture)
        gap, shares = real["shannon"] - entropies, mixture.volumes / mixture.total
        pooled = float(shares @ (real["huffman"] - entropies))
        worst = max(worst, float(gap.max()), pooled)
        if gap.min() < -1e-9 or gap.max() >= 1.0 or not -1e-9 <= pooled < 1.0:
            return Finding(FAILS, "sampled", f"a code is {gap} or {pooled} bits above H")
    return Finding(
        WITH_CONSTANTS,
        "sampled",
        f"d gamma_i = H(P_i, q) up to less than one bit a block (at most {worst:.3f} in {DRAWS} mixtures): minimising "
        "cross entropy minimises gamma up to 1/d bits a token; a response shorter than d costs d/|x| times as much",
        {"worst": worst},
    )


def normalised_rate(evidence: Evidence) -> Finding:
    """d gamma_i - log M = -E[Y_i log Ybar]: no derivative and no difference changes, and a flat tree gives 0."""
    from elastomath import Mixture
    from elastomath.laws.finite import path_entropies
    from elastomath.rates.rates import normalised_rates

    rng, worst = np.random.default_rng(evidence.seed), 0.0
    for _ in range(DRAWS):
        leaves = int(rng.integers(3, 300))
        mixture = Mixture.of(rng.dirichlet(np.full(leaves, 0.7), size=3), [10.0, 1.0, 0.0])
        steps = np.array([0.0, 0.3, 2.0])
        plain = path_entropies(mixture, steps)
        normal = np.stack([normalised_rates(mixture.at(step)) for step in steps], axis=1)
        gaps = plain - normal - np.log(leaves)
        flat = normalised_rates(Mixture.of(np.full((1, leaves), 1.0 / leaves), [1.0]))
        worst = max(worst, float(np.abs(gaps[np.isfinite(gaps)]).max()), float(np.abs(flat).max()))
    if worst > 1e-11:
        return Finding(FAILS, "sampled", f"H - log M and the normalised rate differ by {worst:.1e}")
    return Finding(
        HOLDS, "sampled", f"H_i - log M on {DRAWS} paths of three volumes to {worst:.0e}; 0 on flat trees of any size"
    )


def elasticity(evidence: Evidence) -> Finding:
    """Def 3.6 under joint compression: the volume that undoes n is m* = n (s_+ - s_p)/(s_p - s_-), whatever k (R13)."""
    from elastomath.laws.rebound import Scores, return_volume, score

    rng, worst, pairs = np.random.default_rng(evidence.seed), 0.0, []
    for _ in range(DRAWS):
        low, base, high = np.sort(rng.uniform(size=3))
        if min(base - low, high - base) < 1e-3:
            continue
        scores, n = Scores(base, high, low), float(rng.uniform(1.0, 1e4))
        back = float(return_volume(scores, n))
        for k in (10.0, 1e3, 1e6):
            worst = max(worst, abs(float(score(scores, k, n, back)) - base))
        pairs.append((back / n, (high - base) / (base - low)))
    ratios = np.array(pairs)
    if worst > 1e-9 or not np.allclose(ratios[:, 0], ratios[:, 1], rtol=1e-9):
        return Finding(FAILS, "sampled", f"the score after m* misses the base's by {worst:.1e}")
    return Finding(
        only_if("the base is much nearer to the aligned than to the opposed target, or a tolerance is allowed"),
        "sampled",
        f"under joint compression |D_b|/|D_a| = (s_+ - s_p)/(s_p - s_-) exactly, whatever the pre-training volume ({len(ratios)} "
        f"instances, {ratios[:, 0].min():.2g} to {ratios[:, 0].max():.2g}): |D_b| << |D_a| is a property of the three targets, "
        "not of k; trained models are in Q1 and Table 3",
        {"ratios": ratios[:, 0].tolist()},
    )


def pareto_masses(evidence: Evidence) -> Finding:
    """Assumption A.7 on film reviews, from the saved table: no depth passes over all leaves; the controls come out."""
    table = evidence.saved("assumption-a7").table()
    text = table[table["leaves_of"].str.fullmatch(r"\d+ (?:bytes|words)")]
    pareto = table[table["leaves_of"].str.startswith(("Pareto", "zeta"))]
    passed = text[text["verdict"] == "not rejected"]["leaves_of"].tolist()
    if not (pareto["verdict"] == "not rejected").all() or not len(text):
        return Finding(NOT_SUPPORTED, "measured", "the test rejects Pareto masses too, so it says nothing about text")
    tails = text[text["verdict"] == "tail only"]["leaves_of"].tolist()
    detail = (
        f"film reviews at {len(text)} depths: over all leaves Pareto passes at {', '.join(passed) or 'none'}, in the tail only "
        f"at {', '.join(tails) or 'none'}; drawn Pareto masses are not rejected. R18 does not need the assumption"
    )
    return measured(passed, detail, {"depths": len(text), "passed": passed})


CLAIMS = (
    Claim(
        "Def3.1", "Token tree",
        "Responses over a finite alphabet are a tree whose EOS leaves carry their probability and whose inner nodes carry the sum "
        "of their children.",
        "Definition 3.1", HOLDS, token_tree, command="elastomath rates FILE --depth 4", figure="tree",
    ),
    Claim(
        "Def3.3a", "Pruned tree",
        "Keeping the top d layers gives leaves that carry the sum of what was cut below them.",
        "Definition 3.3", WITH_CONSTANTS, pruned_tree, depends=("Def3.1",), command="elastomath rates FILE --depth 2",
        figure="tree",
    ),
    Claim(
        "A3.2", "Monotone depth",
        "The depth of the tree that a model represents exactly grows with its number of parameters.",
        "Assumption 3.2", SUPPORTED, monotone_depth, depends=("Def3.3a",), command="elastomath study scale",
        saved="scale-sim", rerun="study scale --out {out}", figure="study-scale",
    ),
    Claim(
        "Def3.3b", "Compression protocol",
        "A response of |x| tokens is sent as ceil(|x|/d) Huffman words of the leaves of the pruned tree, and can be read again.",
        "Definition 3.3", only_if("the end of a response is marked, or its length sent beside it"), protocol,
        depends=("Def3.3a",), command="elastomath verify --only R15", figure="tree",
    ),
    Claim(
        "Thm3.4", "Ideal code length",
        "E[L(x)] = ceil(|x|/d) ceil(-sum p log2 p) bits.",
        "Theorem 3.4", FAILS, ideal_length, depends=("Def3.3b", "R15"), command="elastomath verify --only R15",
        figure="tree",
    ),
    Claim(
        "rate", "Compression rate",
        "gamma_i = E[L_q(x)/|x|] is H(P_i, q)/d up to integer parts, so that minimising training loss minimises it.",
        "Section 3", WITH_CONSTANTS, rate, assumes=("responses fill their blocks",), depends=("Def3.3b", "R14"),
        command="elastomath rates FILE...",
    ),
    Claim(
        "normalised-rate", "Normalised rate",
        "Subtracting log M removes the size of the tree and changes no derivative and no difference.",
        "Section 3", HOLDS, normalised_rate, depends=("rate",), command="elastomath rates FILE... --json",
    ),
    Claim(
        "Def3.6", "Elasticity",
        "There is a simple inverse operation and a D_b with |D_b| << |D_a| that takes the aligned model back within eps_0.",
        "Definition 3.6",
        only_if("the base is much nearer to the aligned than to the opposed target, or a tolerance is allowed"),
        elasticity, depends=("R13",), command="elastomath verify --only R13", figure="rebound-saved",
    ),
    Claim(
        "A.7", "Pareto masses",
        "The leaf masses follow a Pareto law with tail index alpha > 1.",
        "Assumption A.7", NOT_SUPPORTED, pareto_masses, depends=("Def3.3a",),
        command="python -m benchmarks.pages assumption-a7", saved="assumption-a7",
    ),
)  # fmt: skip
