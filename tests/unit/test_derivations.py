"""The derivations: each one is built and checked twice, and no false step can be built."""

import random

import pytest
import sympy as sp
from sympy.core.function import AppliedUndef

from elastomath import proof
from elastomath.derivations import builders, definitions, derive, finite
from elastomath.errors import InputError
from elastomath.proof import DerivationError, Identity, Limit, Rises, Step, Witness

n = definitions.symbols()
AT = definitions.mixture_at(n)
POOLED = definitions.pooled_sums(n)
DERIVED = list(builders())


@pytest.mark.parametrize("id", DERIVED)
def test_each_result_is_derived_with_stated_assumptions(id):
    result = derive(id)
    assert result.id == id
    assert result.assumptions
    assert len(result.steps) >= 5
    assert derive(id) is result


@pytest.mark.parametrize("id", DERIVED)
def test_text_and_latex_show_every_step(id):
    result = derive(id)
    text, latex = result.text(), result.latex()
    assert all(step.statement in text for step in result)
    assert result.conclusion in text
    assert latex.count(r"\item") == len(result.steps)
    assert latex.count(r"\[") == latex.count(r"\]") == len(result.steps)
    assert latex.count("{") == latex.count("}")
    assert "Dummy" not in text + latex
    assert "log(" not in text


@pytest.mark.parametrize("leaves", [2, 3])
@pytest.mark.parametrize("id", ["R1", "R2", "R4", "R5"])
def test_sums_hold_on_explicit_symbolic_leaves(id, leaves):
    assert derive(id).check_on_leaves(leaves) >= 2


def test_unknown_id_names_the_choices():
    with pytest.raises(InputError, match="R1, R2, R3"):
        derive("R99")


# --- every step again, in numbers -----------------------------------------------------------------------------------


def numbers(step, rng, leaves=4):
    """Both sides of a step on a random tree: sums are taken leaf by leaf, named sums from what is given."""
    masses = {}
    for symbol in sorted(proof.language().leaf, key=str):
        row = [rng.uniform(0.05, 1.0) for _ in range(leaves)]
        masses[symbol] = [value / sum(row) for value in row]
    values = {symbol: sp.Float(rng.uniform(0.3, 3.0)) for symbol in sorted(proof.language().parameters, key=str)}
    values[n.delta] = sp.Float(1e-7)
    masses[n.b] = [value * values[n.B] for value in masses[n.b]]
    known = [(proof._spelled(f, step.where), proof._spelled(v, step.where)) for f, v in step.given]

    def over_leaves(summand):
        here = summand.free_symbols & proof.language().leaf
        return sum(summand.xreplace({s: sp.Float(masses[s][leaf]) for s in here} | values) for leaf in range(leaves))

    named = {}
    for f, v in known:
        for symbol in v.free_symbols - set(values):
            shown = (over_leaves(f) - v.subs(symbol, 0).subs(values)) / sp.diff(v, symbol).subs(values)
            named[symbol] = shown
    out = []
    for side in (step.lhs, step.rhs):
        value = proof._spelled(chosen_functions(proof._spelled(side, step.where)), ())
        value = value.replace(n.Total, over_leaves).xreplace(named).xreplace(values)
        value = value.xreplace(
            {symbol: sp.Float(masses[symbol][0]) for symbol in value.free_symbols & proof.language().leaf}
        )
        free = {symbol: sp.Float(0.3 + 0.1 * index) for index, symbol in enumerate(sorted(value.free_symbols, key=str))}
        out.append((value, free))
    free = out[0][1] | out[1][1]
    here = [{symbol: sp.Float(row[leaf]) for symbol, row in masses.items()} for leaf in range(leaves)]
    if not all(meant(short, long, {**free, **named, **values}, here) for short, long in step.where):
        return None
    return [float(value.xreplace(free)) for value, _ in out]


def chosen_functions(expression):
    """A function that the proof leaves open, as one that falls: 1/(1 + u)."""
    return expression.replace(lambda e: isinstance(e, AppliedUndef), lambda e: 1 / (1 + e.args[0]))


def meant(short, long, values, leaves):
    """Whether an abbreviation has the sign that the proof assumes of it, on every leaf (open where it is not a number)."""
    long = sp.sympify(long)
    if not short.is_nonnegative or long.has(sp.Derivative, sp.Integral, sp.Subs):
        return True
    shown = [long.xreplace(values | masses) for masses in leaves]
    return not any(value.is_real and value.is_number and value < 0 for value in shown)


def exact_in_numbers():
    """Steps whose sides can be evaluated as they stand.

    Not those about limits or about tau on uncovered leaves, nor inequalities that assume something of an open function.
    """
    for id in DERIVED:
        for number, step in enumerate(derive(id).steps, 1):
            uncovered = "tau" in step.statement or "only P_t" in step.statement
            assumed = step.relation != "=" and proof._spelled(step.difference, step.where).has(AppliedUndef)
            if not isinstance(step.proof, Limit) and not uncovered and not assumed:
                yield pytest.param(step, id=f"{id}-{number}")


@pytest.mark.parametrize("step", list(exact_in_numbers()))
def test_every_step_holds_in_numbers(step):
    rng = random.Random(7)
    drawn = [shown for _ in range(40) if (shown := numbers(step, rng))][:3]
    assert len(drawn) == 3
    for left, right in drawn:
        slack = 1e-9 * (1 + abs(left))
        if step.relation == "=":
            assert abs(left - right) < slack
        elif step.relation == ">=":
            assert left >= right - slack
        else:
            assert left <= right + slack


# --- steps that must not pass -----------------------------------------------------------------------------------------

x = sp.Symbol("x", nonnegative=True)
z = sp.Symbol("z", real=True)
code = sp.Derivative(-n.P * sp.log(n.q), n.l)
response_given = ((n.P, 1), (n.P * n.t / n.q, n.O))
path, fall_of = definitions.path_ends(n), n.Total(n.t * sp.log(n.q_L / n.q_0))
residual_of = n.Total(n.b * sp.log(n.q_0 / n.q_L))

FALSE_STEPS = {
    "response with its sign flipped": lambda: Step("", n.Total(code), (n.O - 1) / n.N, given=response_given, where=AT),
    "response over N_0 instead of N": lambda: Step("", n.Total(code), (1 - n.O) / n.B, given=response_given, where=AT),
    "response without the normalisation": lambda: Step(
        "", n.Total(code), (1 - n.O) / n.N, given=response_given[1:], where=AT
    ),
    "balance without the perturbation's volume": lambda: Step(
        "", n.Total((n.b + n.t) * (1 / n.N - n.t / (n.N * n.q))), 0, given=POOLED, where=AT
    ),
    "balance with masses that sum to 2": lambda: Step(
        "", n.Total(n.q - n.t), 0, given=((n.b, n.B), (n.t, 2)), where=AT
    ),
    "a sum of products as a product of sums": lambda: Step("", n.Total(n.P * n.t), 1, given=((n.P, 1), (n.t, 1))),
    "chi-square with a wrong witness": lambda: Step(
        "",
        n.Total(n.t**2 / n.q),
        1,
        ">=",
        given=POOLED,
        where=AT,
        proof=Witness(n.Total((n.t - n.q) ** 2)),
    ),
    "the upper bound turned round": lambda: Step(
        "",
        n.L * fall_of - residual_of,
        0,
        "<=",
        given=POOLED,
        where=path,
        proof=Witness(n.N_L * n.Total(n.q_L * n.Gap(n.q_0 / n.q_L))),
    ),
    "residual = N KL instead of N_0 KL": lambda: Step(
        "", residual_of, n.N_L * n.Total(n.q_0 * sp.log(n.q_0 / n.q_L)), given=POOLED, where=path
    ),
    "residual with KL the other way round": lambda: Step(
        "", residual_of, n.B * n.Total(n.q_L * sp.log(n.q_L / n.q_0)), given=POOLED, where=path
    ),
    "the leading constant 0.49": lambda: Step(
        "", finite.sharp_gamma(n.w) / n.w, sp.Rational(49, 100), proof=Limit(n.w)
    ),
    "c at most 0.49 L": lambda: Step(
        "",
        sp.Rational(98, 100) * n.w**2 / 2 + n.w,
        (1 + n.w) * sp.log(1 + n.w),
        ">=",
        proof=Rises(n.w, sp.Rational(98, 100) * n.w - sp.log(1 + n.w)),
    ),
    "a sharper logarithm": lambda: Step("", sp.log(1 + n.w), n.w, ">=", proof=Rises(n.w, -n.w / (1 + n.w))),
    "a witness of unknown sign": lambda: Step("", z, 0, ">=", proof=Witness(z)),
    "a difference that does not start at 0": lambda: Step("", x - 1, 0, ">=", proof=Rises(x, sp.Integer(1))),
    "an inequality without a reason": lambda: Step("", x, 0, ">=", proof=Identity()),
    "an identity by a witness": lambda: Step("", x, 0, "=", proof=Witness(x)),
    "one leaf's mass taken out of a sum": lambda: Step("", n.t * n.Total(n.P), n.t, given=((n.P, 1),)),
    "one leaf's mass beside a sum": lambda: Step("", n.Total(n.P), n.t, given=((n.P, 1),)),
    "psi with a smaller constant": lambda: Step(
        "",
        (1 + finite.sharp_gamma(n.w) * n.y / n.w * sp.Rational(99, 100)) * sp.log((1 + n.y) / (1 + n.w))
        - (n.y - n.w) * sp.log(1 + n.w) / n.w,
        0,
        ">=",
        where=finite.psi_lemma()[-1].where,
        proof=finite.psi_lemma()[-1].proof,
    ),
}


@pytest.mark.parametrize("name", FALSE_STEPS)
def test_a_false_step_cannot_be_built(name):
    with pytest.raises(DerivationError):
        FALSE_STEPS[name]()


def test_explicit_leaves_catch_what_a_broken_generic_leaf_would_let_through(monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(Step, "expect_zero", lambda self, expression: None)
        step = Step("false", n.Total(n.q), 2, given=POOLED, where=AT)
    with pytest.raises(DerivationError, match="differ on 3 leaves"):
        step.check_on_leaves(3)


@pytest.mark.parametrize("id", ["R1", "R2", "R4", "R5"])
def test_another_definition_of_the_mixture_breaks_every_proof(id, monkeypatch):
    def unnormalised(base, base_volume, perturb, perturbation):
        return (base + perturbation * perturb) / base_volume, base_volume

    monkeypatch.setattr(definitions, "joint_mass", unnormalised)
    with pytest.raises(DerivationError):
        builders()[id]()


def test_a_smaller_sharp_constant_breaks_the_finite_law(monkeypatch):
    gamma = finite.sharp_gamma
    monkeypatch.setattr(finite, "sharp_gamma", lambda w: sp.Rational(999, 1000) * gamma(w))
    with pytest.raises(DerivationError):
        builders()["R5"]()


def test_a_symbol_is_on_a_leaf_or_a_parameter_and_never_both():
    with pytest.raises(DerivationError, match="at once"):
        proof.parameter("t", nonnegative=True)
    with pytest.raises(DerivationError, match="at once"):
        proof.leaf_symbol("k", positive=True)
    assert proof.parameter("k") == n.k
