"""Several datasets on one token tree: joint training's common leaf set, pruned together (R10)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array, Integers
from ..checks import an, checked, listed
from ..errors import InputError
from ..mixtures.mixture import Mixture
from .leafset import LeafSet, common_coarsening
from .sequences import checked_depth
from .tokentree import LARGEST_TOTAL, TokenTree, checked_count, checked_threshold, least_count


@dataclass(frozen=True, slots=True, eq=False)
class JointTree:
    """n datasets on a common leaf set.

    ``leaf_set``  the M leaves: see `LeafSet`
    ``counts``    (n, M): how many blocks of dataset i end in the leaf, exact int64, 0 where it has none; float64 masses
                  where one of the trees was made from masses. No column and no row is 0 throughout

    >>> joint = JointTree.of([TokenTree.of(["abc"], 2), TokenTree.of(["bcbc"], 2)])
    >>> joint.counts.tolist(), joint.leaf_set.spelled.tolist()  # ab, bc, c
    ([[1, 0, 1], [0, 2, 0]], [2, 2, 1])
    """

    leaf_set: LeafSet
    counts: NDArray[Any]

    @classmethod
    @checked(trees=listed(an(TokenTree)))
    def of(cls, trees: Sequence[TokenTree]) -> JointTree:
        """Align token trees on the finest leaf set on which all their masses are known (`common_coarsening`).

        It is the union of their leaves where no tree was cut above the depth of another; otherwise a leaf that one tree
        has cut takes in what the others have below it, and their counts are added: masses stay exact, and each row is a
        coarse-graining of its tree. Raises InputError for no tree, and for different alphabets or blocks.
        """
        leaf_set, leaf = common_coarsening([tree.leaf_set for tree in trees])
        exact = all(tree.exact for tree in trees)
        counts = np.zeros((len(trees), leaf_set.size), dtype=np.int64 if exact else np.float64)
        rows = np.repeat(np.arange(len(trees)), [tree.leaves for tree in trees])
        np.add.at(counts, (rows, leaf), np.concatenate([tree.counts if exact else tree.masses for tree in trees]))
        return cls(leaf_set, counts)

    @property
    def leaves(self) -> int:
        """M, the number of leaves."""
        return self.leaf_set.size

    @property
    def exact(self) -> bool:
        """Whether the counts are integers."""
        return self.counts.dtype.kind == "i"

    @property
    def masses(self) -> Array:
        """P_i, shape (n, M): ``P_i(x) = c_i(x) / sum c_i``."""
        return np.asarray(self.counts / self.counts.sum(axis=1, keepdims=True), dtype=np.float64)

    def mixture(self, volumes: ArrayLike) -> Mixture:
        """The mixture q = sum_i w_i P_i / N on this leaf set, with volumes w_i of shape (n,)."""
        return Mixture.of(self.masses, volumes)

    def prune(self, depth: int) -> JointTree:
        """Keep the top ``depth`` layers of all datasets: see `TokenTree.prune`.

        Coarse-graining: masses of a leaf add, for each dataset and so for the mixture; no divergence or T rises (R10).
        Raises InputError unless 0 <= depth <= the tree's.

        >>> JointTree.of([TokenTree.of(["abac"], 2), TokenTree.of(["bcbc"], 2)]).prune(1).counts.tolist()  # a, b
        [[2, 0], [0, 2]]
        """
        return self._cut(*self.leaf_set.prune(checked_depth(depth, 0, self.leaf_set.depth)))

    def prune_by_count(self, least: int) -> JointTree:
        """Make a cut node of every node with fewer than ``least`` blocks of all datasets together.

        The cut is that of the pooled tree (`TokenTree.prune_by_count`), the same for every dataset; pruning
        each tree on its own would leave them only their common coarsening. What the rates lose: `pruning_loss`.
        Raises InputError for ``least`` < 1 and where a tree was made from masses.
        """
        if not self.exact:
            raise InputError("masses have no counts", where="joint tree", mend="prune by mass")
        counts = self.counts if self._blocks <= LARGEST_TOTAL else self.counts.astype(object)
        return self._light(counts.sum(axis=0), min(checked_count(least), self._blocks + 1))

    def prune_by_mass(self, threshold: float, volumes: ArrayLike | None = None) -> JointTree:
        """Make a cut node of every node v with ``q(v) < threshold``, q the mixture with ``volumes`` (the block counts).

        Without volumes the comparison is exact. Raises InputError for a threshold outside 0 ... 1, for volumes that
        `Mixture` refuses, and for no volumes where a tree was made from masses.

        >>> joint = JointTree.of([TokenTree.of(["abacbd"], 2), TokenTree.of(["bcbc"], 2)])  # ab, ac, bc, bd
        >>> pruned = joint.prune_by_mass(0.5)
        >>> pruned.leaf_set.spell(0), pruned.counts.tolist()  # a, bc, bd
        (b'a', [[2, 0, 1], [0, 2, 0]])
        """
        share = checked_threshold(threshold)
        if volumes is not None:
            masses = self.mixture(volumes).masses
            return self._light(masses, min(share, float(np.add.reduceat(masses, [0])[0])))  # the root has all, 1
        if not self.exact:
            raise InputError("no volumes for trees of masses", where="joint tree", mend="give one for each dataset")
        return self.prune_by_count(least_count(share, self._blocks))

    @property
    def _blocks(self) -> int:
        """The blocks of all datasets, each of which has fewer than 2^63."""
        return sum(self.counts.sum(axis=1).tolist())

    def _light(self, weights: NDArray[Any], least: float) -> JointTree:
        return self._cut(*self.leaf_set.cut(*self.leaf_set.light_levels(weights, least)))

    def _cut(self, leaf_set: LeafSet, starts: Integers) -> JointTree:
        return JointTree(leaf_set, np.add.reduceat(self.counts, starts, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class PruningLoss:
    """What coarse-graining takes from each dataset's rates, and what it can take at most; arrays of shape (n,), in nats.

    ``cross_entropy``  H(P_i, q) - H(P_i', q') per block;  ``kl``  D(P_i || q) - D(P_i' || q') per block
    ``rate``           the loss per symbol, each block divided by the symbols that *it* spells, not by those of its cut node
    ``normalised``     the change of H(P_i, q) - log M per block: log(M / M') - cross_entropy; it may have either sign
    ``merged``         tau_i, the mass of P_i in cut nodes that join at least two leaves
    The fields ``*_bound`` are upper bounds; 0 is the lower bound of the first three.
    """

    cross_entropy: Array
    cross_entropy_bound: Array
    kl: Array
    kl_bound: Array
    rate: Array
    rate_bound: Array
    normalised: Array
    merged: Array


@checked(fine=an(JointTree), coarse=an(JointTree))
def pruning_loss(fine: JointTree, coarse: JointTree, volumes: ArrayLike | None = None) -> PruningLoss:
    """How much of each dataset's rate and divergence a pruning merges away, with bounds (Def 3.3a; chain rule).

    Let q = sum_i w_i P_i / N, primes the pruned tree, v its leaves, and P(.|v) the distribution below v. Then
        H(P_i, q) - H(P_i', q') = sum_v P_i(v) H(P_i(.|v), q(.|v))
        D(P_i || q) - D(P_i' || q') = sum_v P_i(v) D(P_i(.|v) || q(.|v))
    from q(x) = q(v) q(x|v): no rate and no divergence rises. Only the v that join at least two leaves count; with
    tau_i = sum of their P_i(v), tau = sum of their q(v), and r = the largest q(v) / min_{x in v} q(x) among them,

        H(P_i, q) - H(P_i', q') <= tau_i log r            as q(x|v) >= 1/r
        D(P_i || q) - D(P_i' || q') <= tau_i log(N tau / (w_i tau_i)) <= N tau / (e w_i)
        gamma_i - gamma_i' <= (tau_i / s) log r           s: the fewest symbols that a merged leaf spells

    The second holds because N q(.|v) q(v) >= w_i P_i(v) P_i(.|v), so that each divergence is at most
    log(N q(v) / (w_i P_i(v))), and the log-sum inequality adds them up.
    Pruning by pooled counts below c, with w_i the counts: leaves count at least 1 and cut nodes at most c - 1, so
    **r <= c - 1**; by mass below theta with leaf masses >= m, r < theta/m. All are attained: the first and third where
    leaves of count 1 fill every cut node up to c - 1 (of s symbols each), the second where what dataset i has below v
    no other dataset has, and N q(v) / (w_i P_i(v)) is the same for all v.
    Divided by the symbols of the *cut node* a rate may rise: what occurs once is shortened without any loss per block.

    ``volumes``: w_i > 0 of shape (n,), by default the number of blocks. Nats per block, or per symbol.
    Raises InputError where ``coarse`` is not a coarse-graining of ``fine``, and for volumes that `Mixture` refuses.

    >>> joint = JointTree.of([TokenTree.of(["aaabacad", "bb"], 2)])  # aa, ab, ac, ad, bb
    >>> loss = pruning_loss(joint, joint.prune_by_count(5))
    >>> loss.cross_entropy / np.log(4), loss.cross_entropy_bound / np.log(4)  # tau = 4/5, r = 4
    (array([0.8]), array([0.8]))
    """
    weights = fine.counts.sum(axis=1) if volumes is None and fine.exact else volumes
    if weights is None:
        raise InputError("no volumes for trees of masses", where="pruning loss", mend="give one for each dataset")
    group, joined = _groups(fine, coarse)
    mixture = fine.mixture(weights)
    volume, total, P, q = mixture.volumes, mixture.total, mixture.components, mixture.masses
    if not (volume > 0).all():
        raise InputError("a volume is 0", where="pruning loss", mend="volumes have to be > 0")
    inside = joined[group]
    P, q, group = P[:, inside], q[inside], group[inside]
    spelled = fine.leaf_set.spelled[inside]
    parts = np.stack([np.bincount(group, row, coarse.leaves) for row in P])
    whole = volume @ parts / total
    below = np.log(whole[group] / q) if group.size else np.zeros(0)
    own = np.divide(parts[:, group], P, out=np.ones_like(P), where=P > 0)
    tau, ratio = P.sum(axis=1), float(np.exp(below.max(initial=0.0)))
    share = np.divide(total * float(whole.sum()), volume * tau, out=np.ones_like(tau), where=tau > 0)
    lost = P @ below
    shortest = max(int(spelled.min(initial=1 << 62)), 1)
    return PruningLoss(
        cross_entropy=lost,
        cross_entropy_bound=tau * math.log(ratio),
        kl=(P * (below - np.log(own))).sum(axis=1),
        kl_bound=tau * np.log(np.maximum(share, 1.0)),
        rate=(P / np.maximum(spelled, 1)) @ below,
        rate_bound=tau / shortest * math.log(ratio),
        normalised=math.log(fine.leaves / coarse.leaves) - lost,
        merged=tau,
    )


def _groups(fine: JointTree, coarse: JointTree) -> tuple[Integers, NDArray[np.bool_]]:
    """The coarse leaf of each fine leaf, and which coarse leaves join at least two."""
    leaf_set, leaf = common_coarsening([coarse.leaf_set, fine.leaf_set])
    group = leaf[coarse.leaves :]
    agree = leaf_set.size == coarse.leaves and len(fine.counts) == len(coarse.counts)
    if not (agree and np.allclose(_summed(fine.counts, group, leaf_set.size), coarse.counts, rtol=1e-9, atol=0)):
        raise InputError(
            "trees that are no pruning of each other",
            where="pruning loss",
            mend="pass a joint tree and what prune, prune_by_count or prune_by_mass made of it",
        )
    return group, np.bincount(group, minlength=coarse.leaves) > 1


def _summed(counts: NDArray[Any], group: Integers, leaves: int) -> NDArray[Any]:
    sums = np.zeros((len(counts), leaves), dtype=counts.dtype)
    np.add.at(sums.T, group, counts.T)
    return sums
