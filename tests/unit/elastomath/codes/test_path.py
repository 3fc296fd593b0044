"""Optimal codes along a perturbation: every change found, the law at its tight constants, ties of any kind."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from elastomath import InputError
from elastomath.codes.lengths import huffman_lengths, shannon_lengths
from elastomath.codes.path import code_path
from elastomath.verification.codes import heap_lengths, instances, least_cost, unions


def other_ties(weights):
    return np.array(heap_lengths(weights.tolist(), nodes_first=True))


def mixed(rows, volumes, step):
    masses = [[Fraction(c, sum(row)) for c in row] for row in rows]
    return [sum(w * p for w, p in zip([*volumes, step], column, strict=True)) for column in zip(*masses, strict=True)]


@pytest.mark.parametrize("name", instances())
@pytest.mark.parametrize("code", [None, other_ties])
def test_every_change_is_found(name, code):
    """On a fine grid the least cost is that of the code which the path says is optimal there."""
    rows, volumes, end = instances()[name]
    path = code_path(rows, volumes, end, code=code)
    for step in [end * j / 97 for j in range(98)]:
        weights = mixed(rows, volumes, step)
        j = sum(change <= step for change in path.breakpoints)
        assert sum(w * int(n) for w, n in zip(weights, path.codes[j], strict=True)) == least_cost(weights)


def test_the_bound_of_any_class_is_attained_where_half_of_it_would_do_for_mixtures():
    rows, volumes, _ = instances()["three leaves"]
    (change,) = code_path(rows, volumes, 1).breakpoints
    path = code_path(rows, volumes, change + Fraction(1, 10**6))
    assert path.bound * Fraction(99999, 100000) < path.residual < path.bound
    before = code_path(rows, volumes, 1, change - Fraction(1, 10**6))
    assert before.floor < before.residual < before.floor * Fraction(100001, 100000)


def test_both_ends_of_the_theorem_are_attained():
    rows, k = unions()["many changes"]
    path = code_path(rows, [k, 1], Fraction(99, 100))
    assert len(path.breakpoints) == 10
    change = path.breakpoints[len(path.breakpoints) // 2]
    part = code_path(rows, [k, 1], change + Fraction(1, 10**9), change - Fraction(1, 10**9))
    assert part.theta == (1 + 2 * change / k) / (1 - change)
    early = code_path(rows, [k, 1], path.breakpoints[0] + Fraction(1, 10**9))
    top = (1 + 2 * early.end / k) / (1 - early.end)
    assert top * Fraction(999999, 1000000) < early.theta <= top


def test_a_tie_at_zero_gives_the_other_end():
    """The code that changes at l = 0 has the constant 1: P_a and P_t share two leaves the other way round."""
    align, perturb = [1, 1, 2, 4], [2, 1, 1, 4]
    union = [x + y for x, y in zip(align, perturb, strict=True)]
    path = code_path([union, align, perturb], [1, 1], Fraction(1, 2), code=lambda w: huffman_lengths(w))
    for j, step in enumerate(path.breakpoints):
        pretrain, moved, _ = path.changes(j, j + 1)
        assert -moved / pretrain == (1 + 2 * step) / (1 - step) >= 1


def test_two_codes_that_are_optimal_all_the_way_differ_for_single_datasets_only():
    """P_t says nothing about leaves 0 to 2, which tie; the start's code is one and the end's the other."""
    calls = []

    def alternating(weights):
        calls.append(1)
        return np.array([1, 2, 2]) if len(calls) % 2 else np.array([2, 1, 2])

    path = code_path([[2, 1, 1], [1, 2, 1], [1, 1, 1]], [1, 1], 1, code=alternating)
    assert path.changes() == (Fraction(1, 4), Fraction(-1, 4), 0)
    assert path.breakpoints == (1,)
    assert path.residual == path.work == path.bound == 0


def test_leaves_that_only_the_perturbation_has_need_no_coverage():
    rows, volumes, end = instances()["not covered"]
    path = code_path(rows, volumes, end)
    assert all((code >= 1).all() for code in path.codes)
    assert 0 < path.residual <= path.bound


def test_shannon_is_no_model_class_and_breaks_the_law():
    flat, one = [1] * 8, [1] + [0] * 7

    def shannon(step):
        weights = mixed([flat, flat, one], [10, 1], step)
        return shannon_lengths([Fraction(weight) for weight in weights])

    moved = shannon(Fraction(1, 100)) - shannon(Fraction(0))
    assert moved.tolist() == [0] + [1] * 7  # residual 11 * 7/8 of the margin k + 1 = 11, where R5's bound is 0


def test_weights_beyond_64_bits_are_exact():
    rows = [[1 << 60, 3, 5, 1], [1, 1 << 59, 7, 2], [1, 1, 1 << 58, 9]]
    path = code_path(rows, [Fraction(10**9, 7), Fraction(1, 3)], 10**9)
    assert path.residual == path.work
    assert 0 <= path.residual <= path.bound


def test_a_long_path_of_many_leaves():
    rng = np.random.default_rng(0)
    align, perturb = rng.zipf(1.5, (2, 300)).clip(max=1000)
    path = code_path([align + perturb, align, perturb], [10, 1], 3)
    assert len(path.breakpoints) == 25
    assert path.residual == path.work
    assert 0 < path.residual < path.bound


def worse_in_between(weights):
    """Optimal at the ends of the path, and not where the two codes meet."""
    lengths = huffman_lengths(weights)
    return lengths if sum(weights) in (18, 48) else lengths + 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: code_path([[1, 1]], [], 1), "1 datasets"),
        (lambda: code_path([[1, 1], [1]], [1], 1), "one length"),
        (lambda: code_path([[1.5, 1], [1, 1]], [1], 1), "integers"),
        (lambda: code_path([[0, 0], [1, 1]], [1], 1), "negative counts, or none"),
        (lambda: code_path([[-1, 2], [1, 1]], [1], 1), "negative counts, or none"),
        (lambda: code_path([[], []], [1], 1), "integers"),
        (lambda: code_path([[1, 1], [1, 1]], [0], 1), "one > 0"),
        (lambda: code_path([[1, 1], [1, 1]], [1, 1], 1), "2 volumes"),
        (lambda: code_path([[1, 1], [1, 1]], [1], 1, 2), "perturbations from 2 to 1"),
        (lambda: code_path([[1, 1], [1, 1]], [1], float("nan")), "finite"),
        (lambda: code_path([[1, 1, 1], [4, 1, 1], [1, 1, 10]], [2, 1], 1, code=worse_in_between), "not optimal"),
        (lambda: code_path([[1 << 62, 1 << 62, 1], [1, 1, 1]], [1], 1), "beyond 2\\^63"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_two_paths_are_two_objects():
    """Arrays have no single truth: a path is equal to itself only, and asking is no error."""
    first, second = (code_path([[3, 1, 2], [1, 4, 1]], [2], 1) for _ in range(2))
    assert first != second
