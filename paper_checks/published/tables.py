"""The numbers printed in the paper: what Tables 1 and 3 say, with intervals, and what they cannot say without seeds.

Source of the numbers: Ji et al., "Language Models Resist Alignment: Evidence From Data Compression", ACL 2025, Tables 1
and 3, copied digit by digit into files beside this one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import SHARE
from elastomath.interval import Interval

if TYPE_CHECKING:
    import pandas as pd

OVER_CLUSTERS = "Student's t over clusters"


@cache
def published_table(number: int) -> pd.DataFrame:
    """Table 1 or Table 3 of the paper as printed; treat it as read-only.

    1: dataset, model, pair ("l-k": inverse theta_l -> theta_k, forward theta_k -> theta_l), inverse_loss, forward_loss
    (training losses, nats per token as far as the paper says). 3: model, safe_examples, kl_after_alignment (nats),
    unsafe_examples_to_kl_below_0.01. Raises InputError for another number.

    >>> len(published_table(1)), len(published_table(3))
    (27, 8)
    """
    import pandas as pd

    if number not in (1, 3):
        raise InputError(f"Table {number}", where="published_table", mend="the paper prints numbers in Tables 1 and 3")
    with files("paper_checks.published").joinpath(f"table{number}.csv").open("rb") as handle:
        return pd.read_csv(handle)


@dataclass(frozen=True, slots=True)
class ResistanceEffect:
    """F1 in Table 1: gaps ``forward loss - inverse loss``, which resistance wants positive, in the unit of the losses.

    pairs, positive        27 printed pairs, and how many have a positive gap
    sign_p                 two-sided sign test as if the 27 pairs were independent, which they are not
    clusters, cluster_positive, cluster_sign_p
                           the same over (dataset, model): the three pairs of a cluster share their models and data
    pooled                 mean gap over clusters, t interval (the clusters' scatter is the only error there is), as if the nine
                           were independent; but they are three datasets crossed with three models
    shared                 (what is shared, pooled, same_target) over the means of the datasets and of the models instead, Student's
                           t with 2 degrees of freedom: these speak of other datasets, and of other models
    same_target            forward theta_1 -> D_2 less inverse theta_3 -> D_2: the two losses that Table 1 prints on the
                           *same* target at the same distance, one pair a cluster: mean with its t interval
    same_target_positive, same_target_sign_p
    target_share           share of the sum of squared gaps that levels of the targets alone would give, an upper bound of
                           their part: ``gap = h_l - h_k``, h_j the mean of the two losses printed on D_j in the cluster
    distance               mean rise of the loss on the same target from a start two slices away instead of one (D_1 and
                           D_3, two values a cluster, averaged): mean with its t interval
    """

    pairs: int
    positive: int
    sign_p: float
    clusters: int
    cluster_positive: int
    cluster_sign_p: float
    pooled: Interval
    same_target: Interval
    same_target_positive: int
    same_target_sign_p: float
    target_share: float
    distance: Interval
    shared: tuple[tuple[str, Interval, Interval], ...]

    def conclusions(self) -> tuple[str, ...]:
        """What Table 1 supports and what it does not, in plain words."""
        pooled, same = self.pooled, self.same_target
        assert pooled.estimate is not None
        assert same.estimate is not None
        return (
            f"{self.positive} of {self.pairs} printed gaps are positive (sign test p = {self.sign_p:.1g} if they were "
            f"independent; {self.cluster_positive} of {self.clusters} clusters, p = {self.cluster_sign_p:.2g}); mean "
            f"{pooled:.4f}",
            f"the two losses of a pair are on different targets, and levels of the targets alone, without any resistance, "
            f"would give {self.target_share:.0%} of the squared gaps: D_1 is printed for inverse runs only and D_3 for "
            "forward runs only, so that the table cannot tell an easier target from resistance there",
            f"on the same target D_2, at the same distance, the inverse loss is lower in {self.same_target_positive} of "
            f"{self.clusters} clusters (p = {self.same_target_sign_p:.2g}), by {same:.4f}, about "
            f"{same.estimate / pooled.estimate:.0%} of the mean gap",
            "these intervals take as independent clusters that share datasets and models, and are too narrow: "
            + ", ".join(f"over the {what} the mean is {gap:.4f}, on D_2 {d_2:.4f}" for what, gap, d_2 in self.shared)
            + "; "
            + self._elsewhere(),
            "without seeds no single gap has an error: 0.0002 and 0.0961 count alike, and no interval speaks of other runs of "
            "these models on these datasets",
        )

    @property
    def same_target_decided(self) -> bool:
        """Whether resistance on the same target is decided by the widest of its intervals: over clusters, datasets and models."""
        return all(interval.sign() > 0 for interval in (self.same_target, *(same for *_, same in self.shared)))

    def _elsewhere(self) -> str:
        """Of which datasets and models the table says that the loss on the same target is lower."""
        decided = [what for what, _, same in self.shared if same.sign() > 0]
        if len(decided) == len(self.shared):
            return "resistance on D_2 is decided for other datasets and models of this kind, too"
        return (
            f"not decided on D_2 for other {' or '.join(w for w, *_ in self.shared if w not in decided)} of this kind"
        )


def resistance_effect(level: float = 0.95) -> ResistanceEffect:
    """The pooled effect over the 27 pairs of Table 1, the sign tests, and the comparison on the same target.

    In a cluster (dataset, model) the six losses are those of theta_i trained on D_j, i != j. Pair 2-1 prints (2 -> 1,
    1 -> 2), 3-2 prints (3 -> 2, 2 -> 3), 3-1 prints (3 -> 1, 1 -> 3). A gap compares losses on two targets, so that a
    lower entropy of D_k can by itself give its sign; D_2 alone is reached from both sides at the same distance.

    >>> effect = resistance_effect()
    >>> effect.positive, effect.same_target_positive, round(effect.pooled.estimate, 4)
    (27, 8, 0.0258)
    """
    from scipy.stats import binomtest

    SHARE(level, "level", "published")
    table = published_table(1)
    gaps = (table["forward_loss"] - table["inverse_loss"]).to_numpy()
    losses = []
    places = table[["dataset", "model"]].drop_duplicates()
    for _, cluster in table.groupby(["dataset", "model"], sort=False):
        pair = cluster.set_index("pair")
        inverse, forward = pair["inverse_loss"], pair["forward_loss"]
        losses.append(  # theta_i on D_j: 2->1, 3->1, 1->2, 3->2, 2->3, 1->3
            [inverse["2-1"], inverse["3-1"], forward["2-1"], inverse["3-2"], forward["3-2"], forward["3-1"]]
        )
    near_1, far_1, up_2, down_2, near_3, far_3 = np.array(losses).T
    levels = [(near_1 + far_1) / 2, (up_2 + down_2) / 2, (near_3 + far_3) / 2]
    effects = np.array([up_2 - near_1, near_3 - down_2, far_3 - far_1])
    by_target = np.array([levels[1] - levels[0], levels[2] - levels[1], levels[2] - levels[0]])
    same, mean_gaps = up_2 - down_2, effects.mean(axis=0)

    def sign_p(values: Array) -> float:
        nonzero = int((values != 0).sum())
        return float(binomtest(int((values > 0).sum()), nonzero).pvalue) if nonzero else 1.0

    def shared(what: str, names: Sequence[Hashable]) -> tuple[str, Interval, Interval]:
        pooled, alike = (
            Interval.of_clusters(v, names, level=level, names=(what, "clusters")) for v in (mean_gaps, same)
        )
        return what, pooled, alike

    return ResistanceEffect(
        pairs=gaps.size,
        positive=int((gaps > 0).sum()),
        sign_p=sign_p(gaps),
        clusters=len(losses),
        cluster_positive=int((mean_gaps > 0).sum()),
        cluster_sign_p=sign_p(mean_gaps),
        pooled=Interval.of_values(mean_gaps, level=level, method=OVER_CLUSTERS),
        same_target=Interval.of_values(same, level=level, method=OVER_CLUSTERS),
        same_target_positive=int((same > 0).sum()),
        same_target_sign_p=sign_p(same),
        target_share=1.0 - float(((effects - by_target) ** 2).sum() / (effects**2).sum()),
        distance=Interval.of_values((far_1 - near_1 + far_3 - near_3) / 2, level=level, method=OVER_CLUSTERS),
        shared=(shared("datasets", places["dataset"].tolist()), shared("models", places["model"].tolist())),
    )


@dataclass(frozen=True, slots=True)
class ReversalExponent:
    """b in ``m* ~ n^b``, Table 3: unsafe examples that bring the KL from the base below 0.01, against safe examples.

    models     b of each model (name, constant): least squares of ln m* on ln n, t interval of n - 2 degrees of freedom
    pooled     one b for all models with an intercept each
    common_p   chance of slopes so different if b is common (F test): small where pooling is wrong
    laws       (law, lowest b, highest b that it allows, one-sided p of a pooled b as far outside; 1 where inside)
    """

    models: tuple[tuple[str, Interval], ...]
    pooled: Interval
    common_p: float
    laws: tuple[tuple[str, float, float, float], ...]


LAWS = (
    ("joint compression (R13)", 1.0, 1.0),
    ("joint compression, stopped at any tolerance (R13)", 1.0, np.inf),
    ("forgetting (R19)", 0.0, 1.0),
    ("forgetting at any tolerance, power of time, any memoryless law of one variable", 0.0, np.inf),
)
"""What each law allows b to be. A law in which the present score alone sets its motion cannot give b < 0: the path from
the higher start passes the lower start on its way down, and from there on is the lower start's path."""


def reversal_exponent(level: float = 0.95) -> ReversalExponent:
    """The exponent of the reversal volume in Table 3 with its interval, for each model and pooled, against each law.

    R13 has m* linear in n (b = 1; under any tolerance on a score or a divergence m*/n never falls, so b >= 1), R19 has it
    rise and saturate (0 < b < 1), and every memoryless law of one variable has b >= 0. The printed numbers come without
    seeds: the scatter around the line is the only error there is.

    >>> found = reversal_exponent()
    >>> [(name, round(b.estimate, 2)) for name, b in found.models], round(found.pooled.estimate, 2)
    ([('Llama2-7B', -0.11), ('Gemma-2B', -0.19)], -0.15)
    """
    from scipy.stats import f, t

    SHARE(level, "level", "published")
    table = published_table(3)
    models, centred, rest = [], [], 0.0
    for name, rows in table.groupby("model", sort=False):
        x, y = (np.log(rows[column].to_numpy()) for column in ("safe_examples", "unsafe_examples_to_kl_below_0.01"))
        x, y = x - x.mean(), y - y.mean()
        slope, spread = float(x @ y / (x @ x)), float(x @ x)
        squares = float(((y - slope * x) ** 2).sum())
        error = float(np.sqrt(squares / (x.size - 2) / spread))
        models.append((str(name), Interval.of_mean(slope, error, x.size - 2, level=level)))
        centred.append((x, y))
        rest += squares
    x, y = (np.concatenate(parts) for parts in zip(*centred, strict=True))
    slope, spread = float(x @ y / (x @ x)), float(x @ x)
    squares, groups = float(((y - slope * x) ** 2).sum()), len(models)
    freedom = x.size - groups - 1
    error = float(np.sqrt(squares / freedom / spread))
    pooled = Interval.of_mean(slope, error, freedom, level=level)
    common = (squares - rest) / (groups - 1) / (rest / (x.size - 2 * groups))
    laws = []
    for law, lowest, highest in LAWS:
        outside = lowest - slope if slope < lowest else slope - highest if slope > highest else None
        laws.append((law, lowest, highest, 1.0 if outside is None else float(t.sf(outside / error, freedom))))
    return ReversalExponent(tuple(models), pooled, float(f.sf(common, groups - 1, x.size - 2 * groups)), tuple(laws))
