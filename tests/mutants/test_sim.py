"""Break one line of the sources or compressors at a time: the test beside its oracle has to turn red."""

from __future__ import annotations

import importlib.util
import inspect
import textwrap
from pathlib import Path

import pytest


def beside(name):
    place = Path(__file__).parents[1] / "unit" / "sim" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"mutated_{place.stem}", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOURCES, COUNTING, PATHS = (
    beside("sources/test_sources"),
    beside("compressors/test_counting"),
    beside("compressors/test_paths"),
)
CLASS = {"order": 1}

# The names of the modules that these tests run: doctests import copies of their own.
MARKOV, GRAMMAR = SOURCES.MarkovTree.masses.__globals__, SOURCES.Grammar.inside.__globals__
UNIONS, FAMILIES = (f.__globals__ for f in (SOURCES.opposite, SOURCES.family))
COUNTS, MIXTURE = COUNTING.CountingCompressor.train.__globals__, PATHS.MixtureCompressor.masses.__globals__
MANY = PATHS.mixture_path.__globals__
USERS = (SOURCES.__dict__, COUNTING.__dict__, PATHS.__dict__, MARKOV, GRAMMAR, UNIONS, FAMILIES, MANY)


def again(name):
    """A test of counting on compressors whose tables are made anew."""

    def run(*arguments):
        COUNTING.compressor.cache_clear()
        getattr(COUNTING, name)(*arguments)

    return run


MUTANTS = [
    # name, module, class or None, function, line, broken line, test
    (
        "the parent of a word lacks its newest symbol",
        *(
            MARKOV,
            "MarkovTree",
            "laws",
            "np.tile(used[-1], (self.alphabet, 1))",
            "np.repeat(used[-1], self.alphabet, 0)",
        ),
        lambda: SOURCES.test_masses_of_a_markov_tree_by_looking_up_suffixes(2, 3, 7),
    ),
    (
        "the past read backwards",
        *(MARKOV, "MarkovTree", "log_probabilities", "symbols[:, back : back + later]"),
        "symbols[:, self.order - 1 - back : self.order - 1 - back + later]",
        lambda: SOURCES.test_masses_of_a_markov_tree_by_looking_up_suffixes(2, 3, 7),
    ),
    (
        "one symbol too early",
        *(MARKOV, None, "_draw", "edges[row, symbol] <= top", "edges[row, symbol] <= 0.9 * top"),
        SOURCES.test_samples_have_the_masses_and_one_seed_one_sample,
    ),
    (
        "laws that are not turned",
        *(
            UNIONS,
            None,
            "opposite",
            "np.flip(np.take_along_axis(laws, order, axis=-1), axis=-1)",
            "np.take_along_axis(laws, order, -1)",
        ),
        SOURCES.test_opposite_turns_ranks_round_and_back,
    ),
    (
        "conflict rounded down",
        *(UNIONS, None, "chosen", "[: round(conflict * parts)]", "[: int(conflict * parts)]"),
        SOURCES.test_conflict_is_the_share_of_contexts_with_the_opposite_law,
    ),
    (
        "unequal thirds",
        *(UNIONS, None, "pretrained", "np.full(3, 1.0 / 3.0)", "np.array([0.34, 0.33, 0.33])"),
        SOURCES.test_life_cycles,
    ),
    (
        "the last cut of a string is left out",
        *(GRAMMAR, "Grammar", "inside", "for s in range(1, n):", "for s in range(1, max(n - 1, 2)):"),
        SOURCES.test_catalan_numbers,
    ),
    (
        "the two children change places",
        *(GRAMMAR, "Grammar", "inside", '"nbc,bx->ncx"', '"ncb,bx->ncx"'),
        SOURCES.test_inside_masses_by_parsing_every_string,
    ),
    (
        "filled up with the first symbol",
        *(GRAMMAR, "Grammar", "masses", "out[place + size ** (length - n) - 1]", "out[place]"),
        SOURCES.test_strings_are_filled_up_with_the_end_symbol,
    ),
    (
        "a dial that adds to the whole",
        *(FAMILIES, None, "family_rows", "(1.0 - overlap) * rows[2]", "(1.0 - overlap**2) * rows[2]"),
        lambda: SOURCES.test_the_dial_takes_its_share_from_the_alignment_data("union"),
    ),
    (
        "half the prior",
        *(COUNTS, "CountingCompressor", "predictions", "(counts + self.prior)", "(counts + 0.5 * self.prior)"),
        lambda: again("test_expected_counts_by_dictionaries")(CLASS),
    ),
    (
        "the past read from the wrong end",
        *(COUNTS, "CountingCompressor", "tables", "here.reshape(-1, size**context, size).sum(axis=0)"),
        "here.reshape(size**context, -1, size).sum(axis=1)",
        lambda: again("test_expected_counts_by_dictionaries")(CLASS),
    ),
    (
        "nothing decays",
        *(COUNTS, "CountingCompressor", "train", "kept = math.exp(-h * added)", "kept = 1.0"),
        lambda: again("check_forgetting")(0.05),
    ),
    (
        "the last sequence decays, too",
        *(COUNTS, "CountingCompressor", "_drawn", "np.arange(count - 1, -1, -1.0)", "np.arange(count, 0, -1.0)"),
        lambda: again("test_sampled_sequences_decay_one_after_another")({}),
    ),
    (
        "the same sequences in every phase",
        *(COUNTS, "CountingCompressor", "_drawn", "[self.seed, dataset, state.drawn]", "[self.seed, dataset, 0]"),
        lambda: again("test_sampled_sequences_decay_one_after_another")({}),
    ),
    (
        "the residual without its prior",
        *(COUNTS, "CountingCompressor", "residual", "+ size * self.prior) * q", "+ 0.0) * q"),
        lambda: again("test_r5_holds_with_the_prior_as_a_regulariser")(CLASS, 0.5),
    ),
    (
        "the gradient's sign",
        *(
            COUNTS,
            "CountingCompressor",
            "gradients",
            "counts.sum(1, keepdims=True) * q - counts",
            "counts - counts.sum(1, keepdims=True) * q",
        ),
        lambda: again("test_gradients_balance_at_the_optimum_and_are_derivatives")(CLASS),
    ),
    (
        "joint samples that are not nested",
        *(COUNTS, "CountingCompressor", "optimum", "[self.seed, dataset]", "[self.seed, dataset, count]"),
        again("test_one_history_one_state_and_nested_joint_samples"),
    ),
    (
        "the mixture's sum of volumes",
        *(MIXTURE, "MixtureCompressor", "masses", "state / total @", "state / (total + 1.0) @"),
        PATHS.test_training_in_sequence_is_joint_training,
    ),
    (
        "the mixture's gradient",
        *(
            MIXTURE,
            "MixtureCompressor",
            "gradients",
            "self.masses(state) - self.problem.masses",
            "self.problem.masses - self.masses(state)",
        ),
        PATHS.test_the_mixture_is_the_optimum_and_its_gradients_those_of_a_softmax,
    ),
    (
        "N_0 in place of N in a derivative",
        *(
            MANY,
            None,
            "mixture_path",
            "(sums.outside[:, -1:] - sums.gram) / volumes.sum(axis=1, keepdims=True)",
            "(sums.outside[:, -1:] - sums.gram) / volumes[:, :2].sum(axis=1, keepdims=True)",
        ),
        lambda: PATHS.test_each_path_is_what_the_mixture_says(300),
    ),
    (
        "alignment counts k times",
        *(
            MANY,
            "MixturePath",
            "residual",
            "self.configuration.k * change[0] + change[1]",
            "self.configuration.k * (change[0] + change[1])",
        ),
        PATHS.test_the_law_read_from_a_path,
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant[0] for mutant in MUTANTS])
def test_mutant_is_seen(mutant, monkeypatch):
    _, module, owner, name, line, broken, check = mutant
    check()
    whole = module[name] if owner is None else inspect.getattr_static(module[owner], name)
    function = whole.fget if isinstance(whole, property) else whole
    source = textwrap.dedent(inspect.getsource(function)).removeprefix("@property\n")
    assert source.count(line) == 1, "the line to break is not there"
    scope: dict = {}
    exec(compile(source.replace(line, broken), f"<mutant of {name}>", "exec"), module | {"__name__": name}, scope)
    changed = property(scope[name]) if isinstance(whole, property) else scope[name]
    if owner is None:
        for user in USERS:
            if name in user:
                monkeypatch.setitem(user, name, changed)
    else:
        monkeypatch.setattr(module[owner], name, changed)
    MARKOV["_drawing"].cache_clear()
    try:
        with pytest.raises(AssertionError):
            check()
    finally:
        MARKOV["_drawing"].cache_clear()
        COUNTING.compressor.cache_clear()
