"""Sources with known masses: Markov trees, grammars, families with a dial, text. Each beside an oracle that shares no code."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from elastomath import InputError, Mixture, kl_divergence, overlap, pareto_masses, response
from sim import (
    FAMILIES,
    Grammar,
    MarkovTree,
    family,
    markov_trees,
    problem_of_family,
    problem_of_grammar,
    problem_of_markov,
)
from sim.sources.problem import Problem
from sim.sources.unions import UNIONS, chosen, life_cycle, opposite

# --- Markov trees -----------------------------------------------------------------------------------------------------


def spelled(row, length, alphabet):
    """The word of a row of the table of `length` symbols."""
    return tuple(row // alphabet ** (length - 1 - i) % alphabet for i in range(length))


def by_suffix(tree, sequence):
    """prod_t pi(x_t | longest suffix in the tree), from a dictionary of nodes."""
    nodes = {
        spelled(row, m, tree.alphabet): tree.own[m][row]
        for m in range(tree.order + 1)
        for row in np.flatnonzero(tree.nodes[m])
    }
    mass = 1.0
    for t, symbol in enumerate(sequence):
        past = tuple(sequence[:t])
        while past not in nodes:
            past = past[1:]
        mass *= nodes[past][symbol]
    return mass


@pytest.mark.parametrize(("alphabet", "order", "length"), [(2, 3, 7), (3, 2, 4), (4, 0, 3), (2, 5, 4)])
def test_masses_of_a_markov_tree_by_looking_up_suffixes(alphabet, order, length):
    tree = MarkovTree.draw(alphabet, order, np.random.default_rng(order + 5), split=0.6)
    assert 1 < tree.contexts < sum(alphabet**m for m in range(order + 1)) or order == 0
    every = list(itertools.product(range(alphabet), repeat=length))
    masses = tree.masses(length)
    np.testing.assert_allclose(masses, [by_suffix(tree, x) for x in every], rtol=1e-12)
    assert masses.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(np.exp(tree.log_probabilities(every).sum(axis=1)), masses, rtol=1e-12)


def test_a_tree_has_contexts_of_several_lengths():
    tree = MarkovTree.draw(2, 6, np.random.default_rng(1), split=0.7)
    assert 1 < tree.contexts < 2**7 - 1
    assert MarkovTree.draw(2, 6, np.random.default_rng(1), split=1.0).contexts == 2**7 - 1
    assert MarkovTree.draw(2, 6, np.random.default_rng(1), split=0.0).contexts == 3


def test_samples_have_the_masses_and_one_seed_one_sample():
    tree = MarkovTree.draw(2, 3, np.random.default_rng(4), split=0.8)
    drawn = tree.sample(200_000, 5, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, tree.sample(200_000, 5, np.random.default_rng(0)))
    masses = tree.masses(5)
    seen = np.bincount(drawn @ 2 ** np.arange(4, -1, -1), minlength=32)
    chi_square = ((seen - 200_000 * masses) ** 2 / (200_000 * masses)).sum()
    assert chi_square < 31 + 5 * np.sqrt(62)
    mutant = tree.masses(5)[::-1]
    assert ((seen - 200_000 * mutant) ** 2 / (200_000 * mutant)).sum() > 1000


def test_a_long_sequence_follows_its_contexts():
    tree = MarkovTree.draw(3, 2, np.random.default_rng(2), split=1.0)
    (sequence,) = tree.sample(1, 300_000, np.random.default_rng(5))
    past = sequence[:-2] * 3 + sequence[1:-1]
    for context in range(9):
        following = np.bincount(sequence[2:][past == context], minlength=3)
        law, count = tree.laws[2][context], following.sum()
        assert np.abs(following - count * law).max() <= 5 * np.sqrt(count * 0.25) + 1
    logs = tree.log_probabilities(sequence[None])
    assert logs.shape == (1, 300_000)
    assert np.isfinite(logs).all()


def test_conflict_is_the_share_of_contexts_with_the_opposite_law():
    for conflict in (0.0, 0.25, 0.5, 1.0):
        _, align, perturb = markov_trees(2, 4, seed=3, split=1.0, conflict=conflict)
        differ = sum((np.abs(a - t).max(axis=1) > 0).sum() for a, t in zip(align.own, perturb.own, strict=True))
        assert differ == round(conflict * 31)
        turned = np.concatenate([t[np.abs(a - t).max(axis=1) > 0] for a, t in zip(align.own, perturb.own, strict=True)])
        of = np.concatenate([a[np.abs(a - t).max(axis=1) > 0] for a, t in zip(align.own, perturb.own, strict=True)])
        np.testing.assert_array_equal(turned, of[:, ::-1])


def test_divergence_grows_with_conflict_and_is_the_sum_over_contexts():
    """KL(P_a || P_t) = sum over contexts of P_a(context) KL(pi_a || pi_t) (chain rule): more contexts, more divergence."""
    found = []
    for conflict in np.linspace(0, 1, 9):
        problem = problem_of_markov(2, 3, 8, seed=1, split=1.0, conflict=float(conflict))
        _, align, perturb = markov_trees(2, 3, seed=1, split=1.0, conflict=float(conflict))
        by_context = 0.0
        for t in range(8):
            prefixes = align.masses(t) if t else np.ones(1)
            m = min(t, 3)
            reached = prefixes.reshape(-1, 2**m).sum(axis=0)
            one, other = align.laws[m], perturb.laws[m]
            by_context += float(reached @ (one * np.log(one / other)).sum(axis=1))
        found.append(kl_divergence(problem.masses[1], problem.masses[2]))
        assert found[-1] == pytest.approx(by_context, rel=1e-10, abs=1e-13)
    assert (np.diff(found) > 0).all()
    assert found[0] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("law", ["dirichlet", "pareto"])
def test_problems_of_markov_trees(law):
    problem = problem_of_markov(3, 2, 5, seed=2, law=law, sharpness=1.5, union="thirds")
    assert problem.masses.shape == (3, 243)
    first = 3 * problem.masses[0] - problem.masses[1] - problem.masses[2]
    np.testing.assert_allclose(first, markov_trees(3, 2, 2, law=law, sharpness=1.5)[0].masses(5), atol=1e-14)
    again = problem_of_markov(3, 2, 5, seed=2, law=law, sharpness=1.5, union="thirds")
    np.testing.assert_array_equal(problem.masses, again.masses)


def test_the_sharpest_laws_are_still_laws():
    tree = MarkovTree.draw(4, 2, np.random.default_rng(0), sharpness=1e-3)
    assert all(np.isfinite(law).all() for law in tree.own)
    assert tree.masses(3).sum() == pytest.approx(1, abs=1e-12)


def test_opposite_turns_ranks_round_and_back():
    laws = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    turned = opposite(laws)
    np.testing.assert_array_equal(opposite(turned), laws)
    np.testing.assert_array_equal(np.sort(turned, axis=1), np.sort(laws, axis=1))
    np.testing.assert_array_equal(turned.argmax(axis=1), laws.argmin(axis=1))


def test_what_disagrees_at_one_conflict_disagrees_at_every_larger_one():
    flags = [chosen(50, c, np.random.default_rng(9)) for c in np.linspace(0, 1, 11)]
    assert [flag.sum() for flag in flags] == [round(5 * i) for i in range(11)]
    assert all((few <= more).all() for few, more in itertools.pairwise(flags))


# --- grammars ---------------------------------------------------------------------------------------------------------


def by_parsing(grammar):
    """Pr[N => string] by the recursion on one string, in plain Python."""
    count = len(grammar.words)

    @cache
    def derive(n, string):
        total = float(grammar.words[n, string[0]]) if len(string) == 1 else 0.0
        for cut in range(1, len(string)):
            for b in range(count):
                for c in range(count):
                    total += grammar.splits[n, b, c] * derive(b, string[:cut]) * derive(c, string[cut:])
        return total

    return lambda string: derive(0, string)


def test_inside_masses_by_parsing_every_string():
    grammar = Grammar.draw(3, 2, np.random.default_rng(0), branch=0.45)
    oracle = by_parsing(grammar)
    for n, chart in enumerate(grammar.inside(5), 1):
        strings = itertools.product((0, 1), repeat=n)
        np.testing.assert_allclose(chart, [oracle(string) for string in strings], rtol=1e-12)


def test_catalan_numbers():
    """S -> a (1-p) | S S (p): Pr[a^n] = Catalan(n-1) p^(n-1) (1-p)^n."""
    grammar = Grammar.of([[0.6]], [[[0.4]]])
    catalan = [1, 1, 2, 5, 14, 42, 132]
    expected = [catalan[n - 1] * 0.4 ** (n - 1) * 0.6**n for n in range(1, 8)]
    np.testing.assert_allclose([chart[0] for chart in grammar.inside(7)], expected, rtol=1e-13)
    masses, longer = grammar.masses(7)
    assert longer == pytest.approx(1 - sum(expected), abs=1e-14)
    assert masses.sum() == pytest.approx(1, abs=1e-14)
    # a^n then EOS (symbol 1): 1...1 with n leading zeros is leaf 2^(7-n) - 1
    np.testing.assert_allclose([masses[2 ** (7 - n) - 1] for n in range(1, 8)], np.array(expected) / sum(expected))


def test_strings_are_filled_up_with_the_end_symbol():
    grammar = Grammar.draw(2, 2, np.random.default_rng(3), branch=0.4)
    masses, longer = grammar.masses(3)
    oracle, total = by_parsing(grammar), 0.0
    seen = Problem(np.stack([masses] * 3), 3, 3).symbols()
    for row, mass in zip(seen.tolist(), masses, strict=True):
        string = tuple(itertools.takewhile(lambda symbol: symbol < 2, row))
        whole = bool(string) and row[len(string) :] == [2] * (3 - len(string))
        assert mass == pytest.approx(oracle(string) / (1 - longer) if whole else 0.0, abs=1e-15)
        total += mass
    assert total == pytest.approx(1)


def test_conflict_keeps_the_lengths_and_turns_the_rules():
    grammar = Grammar.draw(4, 2, np.random.default_rng(5), branch=0.4)
    for conflict in (0.0, 0.5, 1.0):
        other = grammar.conflicting(conflict, np.random.default_rng(0))
        lengths = [[chart.sum() for chart in g.inside(6)] for g in (grammar, other)]
        np.testing.assert_allclose(*lengths, rtol=1e-12)
        turned = (np.abs(grammar.words - other.words).max(axis=1) > 0).sum()
        assert turned == round(4 * conflict)
    np.testing.assert_array_equal(grammar.conflicting(1.0, np.random.default_rng(0)).words, grammar.words[:, ::-1])


def test_problem_of_a_grammar():
    problem = problem_of_grammar(4, 2, 6, seed=1, conflict=0.5)
    assert (problem.alphabet, problem.length, problem.leaves) == (3, 6, 729)
    assert 0 < problem.covariates["longer"] < 0.5
    assert np.isfinite(response(Mixture.of(problem.masses, [10, 1, 0])).derivatives).all()  # the union covers D_t
    same = problem_of_grammar(4, 2, 6, seed=1, conflict=0.0)
    np.testing.assert_array_equal(same.masses[1], same.masses[2])


# --- families with a dial ---------------------------------------------------------------------------------------------


def test_families_are_drawn_in_place_to_the_bits_of_pareto_masses():
    rng = np.random.default_rng(7)
    expected = [pareto_masses(1.3, 70_000, rng) for _ in range(3)]
    np.testing.assert_array_equal(family("independent", 1.3, 70_000, seed=7), expected)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_dial_takes_its_share_from_the_alignment_data(kind):
    _, align, own = family(kind, 1.5, 300, seed=2)
    for share in (0.0, 0.3, 1.0):
        _, same, perturb = family(kind, 1.5, 300, seed=2, overlap=share)
        np.testing.assert_array_equal(same, align)
        np.testing.assert_allclose(perturb - align, (1 - share) * (own - align), atol=1e-16)


@pytest.mark.parametrize("kind", ["independent", "disjoint"])
def test_the_overlap_is_linear_in_the_dial_without_the_union(kind):
    """A(l = 0) = s sum P_a^2/q_0 + (1 - s) A(0), since q_0 does not depend on P_t."""
    shares = np.linspace(0, 1, 6)
    found = [
        response(Mixture.of(family(kind, 1.5, 600, seed=1, overlap=float(s)), [10, 1, 0])).overlaps[1] for s in shares
    ]
    pretrain, align, _ = family(kind, 1.5, 600, seed=1)
    q = (10 * pretrain + align) / 11
    np.testing.assert_allclose(found, (1 - shares) * found[0] + shares * overlap(align, align, q), rtol=1e-12)


@pytest.mark.parametrize("kind", ["union", "union2"])
def test_the_overlap_is_concave_in_the_dial_with_the_union(kind):
    for seed in range(5):
        shares = np.linspace(0, 1, 11)
        found = np.array(
            [
                response(Mixture.of(family(kind, 1.2, 400, seed=seed, overlap=float(s)), [10, 1, 0])).overlaps[1]
                for s in shares
            ]
        )
        assert (np.diff(found, 2) < 0).all()
        assert (found >= (1 - shares) * found[0] + shares * found[-1] - 1e-12).all()
        assert found[-1] >= 1 - 1e-12  # P_t = P_a: the overlap is 1 and more, R4's sign is gone


def test_problem_of_a_family_as_sequences():
    problem = problem_of_family("union", 1.5, 64, seed=4, alphabet=2, overlap=0.5)
    assert (problem.alphabet, problem.length) == (2, 6)
    np.testing.assert_array_equal(problem.masses, np.stack(family("union", 1.5, 64, seed=4, overlap=0.5)))
    with pytest.raises(InputError, match=r"64 leaves, not 3\*\*4"):
        problem_of_family("union", 1.5, 64, alphabet=3)


def test_life_cycles():
    rng = np.random.default_rng(0)
    first, align, perturb = rng.dirichlet(np.ones(9), 3)
    np.testing.assert_allclose(life_cycle(first, align, perturb)[0], (first + align + perturb) / 3)
    np.testing.assert_allclose(life_cycle(first, align, perturb, "halves")[0], (align + perturb) / 2)
    np.testing.assert_allclose(life_cycle(first, align, perturb, "none", 0.1)[0], 0.9 * first + 0.1 / 9)
    assert set(UNIONS) == {"thirds", "halves", "none"}


# --- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: problem_of_markov(1, 2, 3), "out of 1"),
        (lambda: problem_of_markov(2, -1, 3), "0 symbols"),
        (lambda: problem_of_markov(2, 2, 40), "no more than"),
        (lambda: problem_of_markov(2, 2, 3, conflict=1.5), "conflict"),
        (lambda: problem_of_markov(2, 2, 3, split=-0.1), "split"),
        (lambda: problem_of_markov(2, 2, 3, law="zipf"), "zipf"),
        (lambda: problem_of_markov(2, 2, 3, law="pareto", sharpness=1.0), "sharpness"),
        (lambda: problem_of_markov(2, 2, 3, union="quarters"), "quarters"),
        (lambda: problem_of_markov(2, 2, 3, seed=-1), "seed"),
        (lambda: MarkovTree.of([[[0.5, 0.6]]]), "sum to 1"),
        (lambda: MarkovTree.of([[[0.5, 0.5]], [[0.5, 0.5]]]), "shapes"),
        (
            lambda: MarkovTree.of([[[0.5, 0.5]], [[0.5, 0.5]] * 2, [[0.5, 0.5]] * 4], [[1], [1, 0], [1, 1, 1, 1]]),
            "parent",
        ),
        (lambda: MarkovTree.of([[[0.5, 0.5]]]).log_probabilities([[0, 2]]), "symbol 2"),
        (lambda: MarkovTree.of([[[0.5, 0.5]]]).log_probabilities([[0.5]]), "symbols"),
        (lambda: MarkovTree.of([[[0.5, 0.5]]]).sample(0, 3, np.random.default_rng(0)), "count is 0"),
        (lambda: problem_of_grammar(branch=0.6), "branch"),
        (lambda: problem_of_grammar(nonterminals=0), "nonterminals"),
        (lambda: Grammar.of([[0.5]], [[[0.4]]]), "sum to 1"),
        (lambda: Grammar.of([[0.5]], [[0.5]]), "shape"),
        (lambda: Grammar.of([[0.0], [1.0]], [[[0, 1.0], [0, 0]], [[0, 0], [0, 0]]]).masses(3), "no string"),
        (lambda: problem_of_family("union", 1.5, 64, overlap=1.1), "overlap"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
