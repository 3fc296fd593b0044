"""The proof language: a derivation is a list of steps, and a step that does not hold cannot be built.

The proofs work on one **generic leaf** of the tree, whose masses under the datasets are symbols, so they hold for every
number of leaves. A sum over leaves is written ``Total(f)``, ``sum_x [f]``, and is known only through what is *given* about
it, such as ``sum_x P(x) = 1``: two sums are equal when their summands differ by a combination of given sums whose total is
right. Sums enter linearly, or the step is refused.

Every symbol is declared, with its sign: `parameter` (a number, the same on all leaves), `leaf_symbol` (a number on the
generic leaf), `open_function` (a function that the proof leaves open). A step is a theorem about all values of these signs.
An abbreviation (``where``) that is declared with a sign must have it: by structure (a square, an exponential, a sum of
masses), by a witness (``signs``), or as a hypothesis (``assume``), which the step and the conclusion then carry and print.

An inequality carries its reason: a witness that equals the difference of the two sides and is visibly >= 0 (a square, a
product of non-negative numbers), or where the difference is 0 and how it moves from there. What one step has proved is
used in the next as ``step.excess``, the difference of its sides, which is then known to be >= 0; `leaf_function` gives it a
name. The conclusion of a derivation is one or more relations, each of which a step must establish. When it is built, every
step is also evaluated on random trees that meet its hypotheses: one that nothing meets is refused.

A derivation that runs (a function with its lemma, an inequality that uses it, a conclusion), and a sign that is assumed:

>>> import sympy as sp
>>> from elastomath.derivations.words import leaf_function, leaf_symbol, parameter
>>> Total = language().Total
>>> q, rho = leaf_symbol("q", positive=True), leaf_symbol("rho", positive=True)
>>> r, y, spare = parameter("r"), parameter("y", nonnegative=True), parameter("E", nonnegative=True)
>>> gap = leaf_function("gap", r"g", r - 1 - sp.log(r), lemma=lambda gap: Step(
...     "r - 1 - ln r is least at 1", (gap(r), ">=", 0), proof=Least(r, at=1, factor=1 / r)))
>>> gibbs = Step(
...     "Gibbs' inequality: no code is shorter than the entropy",
...     (Total(-q * sp.log(rho)), ">=", Total(-q * sp.log(q))),
...     given=((q, 1), (rho, 1)),
...     proof=Witness(Total(q * gap(rho / q))),
... )
>>> derivation = Derivation("R0", "Gibbs", ("masses that sum to 1",), (gibbs,), (gibbs.claim,), "entropy is least")
>>> print(derivation.text().splitlines()[-1])
Hence sum_x [-q*ln(rho)]  >=  sum_x [-q*ln(q)]  (given sum_x [q] = 1, sum_x [rho] = 1)
>>> Step("any number is at most 1", (y, "<=", 1), where=((spare, 1 - y),), proof=Witness(spare))
Traceback (most recent call last):
elastomath.derivations.words.DerivationError: any number is at most 1: E is declared >= 0, but 1 - y is not visibly so: ...
>>> bounded = Step("a number that is at most 1", (y, "<=", 1), where=((spare, 1 - y),), proof=Witness(spare), assume=(spare,))
>>> print(bounded.text().splitlines()[-1])
    assuming 1 - y >= 0
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ..necessity.printing import tex_words
from .evaluation import holds_on
from .words import (
    DerivationError,
    Expr,
    Given,
    Relation,
    Sign,
    _expect_words,
    _expr,
    _has_sign,
    _is_zero,
    _leafwise,
    _left_over,
    _named,
    _names,
    _plain,
    _relation,
    _replaced,
    _sign_of,
    _spelled,
    language,
)

TREES = 2
"""Random trees on which a step is evaluated when it is built."""
ATTEMPTS = 3000
"""Draws after which the hypotheses of a step count as contradictory."""


# --- what makes a step true --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """The two sides differ by zero, after the given sums are used."""

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        step.expect_zero(step.lhs - step.rhs)
        return ""


@dataclass(frozen=True)
class Witness:
    """The difference of the two sides equals an expression that is >= 0 term by term."""

    expression: Expr

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        step.expect_sign(self.expression)
        step.expect_zero(step.difference - self.expression)
        return f"the difference is {_plain(self.expression)}"


@dataclass(frozen=True)
class Rises:
    """The difference of the two sides is 0 at ``variable`` = 0 and its derivative, the witness, is >= 0 from there on.

    The variable is declared >= 0, and the difference is smooth between 0 and any value that it can have.
    """

    variable: Expr
    slope: Expr

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        import sympy as sp

        difference = step.smooth_in(self.variable, step.difference, 0)
        step.expect_zero(difference.subs(self.variable, 0))
        step.expect_sign(self.slope)
        step.expect_zero(sp.diff(difference, self.variable) - self.slope)
        return f"the difference is 0 at {self.variable} = 0 and its derivative there and after is {_plain(self.slope)}"


@dataclass(frozen=True)
class Least:
    """The difference is 0 at ``variable`` = ``at`` and its derivative is ``(variable - at) factor``, factor >= 0."""

    variable: Expr
    at: Expr
    factor: Expr

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        import sympy as sp

        difference = step.smooth_in(self.variable, step.difference, self.at)
        step.expect_zero(difference.subs(self.variable, self.at))
        step.expect_sign(self.factor)
        step.expect_zero(sp.diff(difference, self.variable) - (self.variable - self.at) * self.factor)
        return f"it is 0 at {self.variable} = {_plain(self.at)}, falls before and rises after"


@dataclass(frozen=True)
class ConcaveThenConvex:
    """f(0) = f(touch) = f'(touch) = 0 and f'' = bend/positive, where bend rises in the variable and is >= 0 at ``touch``.

    So f is concave up to some point at or before ``touch`` and convex from there on. On the convex part ``touch`` is a
    minimum with the value 0; on the concave part f is >= 0 at both ends, so it is >= 0 between them.
    """

    variable: Expr
    touch: Expr
    bend: Expr
    positive: Expr
    bend_slope: Expr
    bend_at_touch: Expr

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        import sympy as sp

        y = self.variable
        f, bend = step.smooth_in(y, step.difference, 0, self.touch), step.smooth_in(y, self.bend, 0, self.touch)
        slope = sp.diff(f, y)
        for value in (f.subs(y, 0), f.subs(y, self.touch), slope.subs(y, self.touch)):
            step.expect_zero(value)
        step.expect_zero(sp.diff(slope, y) - self.bend / self.positive)
        step.expect_sign(self.positive, "positive")
        for value, witness in ((sp.diff(bend, y), self.bend_slope), (bend.subs(y, self.touch), self.bend_at_touch)):
            step.expect_sign(witness)
            step.expect_zero(value - witness)
        return f"0 at {y} = 0 and, with its derivative, at {y} = {self.touch}; concave, then convex before {self.touch}"


@dataclass(frozen=True)
class Limit:
    """The left side tends to the right side as ``variable`` falls to 0; the relation of such a step is ``->``."""

    variable: Expr

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        import sympy as sp

        step.expect_free(self.variable)
        left, right = _spelled(step.lhs, step.where), _spelled(step.rhs, step.where)
        if left.has(language().Total) or right.has(self.variable, language().Total) or step.given:
            raise DerivationError(f"{step.statement}: limits are taken on one leaf, to a value without the variable")
        step.expect_zero(sp.limit(left, self.variable, 0, "+") - right)
        return f"as {self.variable} -> 0+"


Proof = Identity | Witness | Rises | Least | ConcaveThenConvex | Limit


@dataclass(frozen=True)
class Step:
    """One line of a derivation, ``lhs relation rhs``, checked when it is built.

    statement  what the line says, in plain text
    formula    the triple (lhs, relation, rhs); the relation is "=", ">=", "<=", or "->" for a limit
    uses       what it rests on: a definition, the normalisation, an earlier result
    given      the sums over leaves that it may use: hypotheses, which it carries
    where      abbreviations, replaced in order before anything is decided; one with a sign must be shown to have it
    proof      what makes it true; Identity() by default
    signs      pairs (abbreviation, witness): the abbreviation equals the witness, which visibly has its sign
    assume     abbreviations whose sign (or, for the value of a function, whose equation) is a hypothesis of the step

    Raises DerivationError when the line does not hold, not for the reason given, or when no tree meets its hypotheses.

    >>> from elastomath.derivations.words import parameter
    >>> x = parameter("x_s", real=True)
    >>> Step("a square", (x**2 + 1, ">=", 2 * x), proof=Witness((x - 1) ** 2)).reason
    'the difference is (x_s - 1)**2'
    >>> Step("a wrong square", (x**2 + 1, ">=", 3 * x), proof=Witness((x - 1) ** 2))
    Traceback (most recent call last):
    elastomath.derivations.words.DerivationError: a wrong square: left over: -x_s
    """

    statement: str
    formula: tuple[Expr, Sign, Expr]
    uses: tuple[str, ...] = ()
    given: Given = ()
    where: tuple[tuple[Expr, Expr], ...] = ()
    proof: Proof = field(default_factory=Identity)
    signs: tuple[tuple[Expr, Expr], ...] = ()
    assume: tuple[Expr, ...] = ()
    reason: str = field(init=False, default="")
    carried: tuple[Relation, ...] = field(init=False, default=())
    """What the step assumes beyond the signs of its symbols and the given sums."""

    def __post_init__(self) -> None:
        import sympy as sp

        lhs, relation, rhs = self.formula
        object.__setattr__(self, "formula", (sp.sympify(lhs), relation, sp.sympify(rhs)))
        for name in ("given", "where", "signs"):
            pairs = tuple((sp.sympify(a), sp.sympify(b)) for a, b in getattr(self, name))
            object.__setattr__(self, name, pairs)
        if type(self.proof) not in Proof.__args__:
            raise DerivationError(f"{self.statement}: {type(self.proof).__name__} is no kind of proof")
        fits = (
            ("=",) if isinstance(self.proof, Identity) else ("->",) if isinstance(self.proof, Limit) else (">=", "<=")
        )
        if self.relation not in fits:
            raise DerivationError(f"{self.statement}: {type(self.proof).__name__} does not prove {self.relation!r}")
        try:
            self._expect_words()
            self._expect_where()
            object.__setattr__(self, "carried", self._establish())
            object.__setattr__(self, "reason", self.proof.check(self))
        except DerivationError as error:
            if str(error).startswith(f"{self.statement}: "):
                raise
            raise DerivationError(f"{self.statement}: {error}") from error
        self.evaluate(TREES)

    @property
    def lhs(self) -> Expr:
        """The left side of the formula."""
        return self.formula[0]

    @property
    def relation(self) -> Sign:
        """How the two sides are said to compare."""
        return self.formula[1]

    @property
    def rhs(self) -> Expr:
        """The right side of the formula."""
        return self.formula[2]

    @property
    def claim(self) -> Relation:
        """What the step establishes, as a relation."""
        return Relation(*self.formula)

    @property
    def limit(self) -> Expr | None:
        """The variable that falls to 0, of a limit."""
        return self.proof.variable if isinstance(self.proof, Limit) else None

    @property
    def witness(self) -> Expr | None:
        """What the difference of the sides is said to equal, where the reason is a witness."""
        return self.proof.expression if isinstance(self.proof, Witness) else None

    @property
    def difference(self) -> Expr:
        """The side that is claimed to be the larger one, minus the other."""
        return self.claim.difference

    @cached_property
    def excess(self) -> Expr:
        """``difference``, known to be >= 0 because this step is proved: for the witnesses of later steps.

        They inherit what this step assumes. Raises DerivationError for an equation, or where sums are given.
        """
        if self.relation not in (">=", "<=") or self.given or self.difference.has(language().Total):
            raise DerivationError(
                f"{self.statement}: only an inequality on one leaf, without given sums, has an excess"
            )
        body = _spelled(self.difference, self.where)
        arguments = sorted(body.free_symbols, key=str)
        return _named(f"excess{len(language().functions)}", None, arguments, body, lemma=self)(*arguments)

    # what is written, and what is known of it
    def _expressions(self) -> list[Expr]:
        proof = [getattr(self.proof, name) for name in vars(self.proof)]
        pairs = [part for pair in (*self.given, *self.where, *self.signs) for part in pair]
        return [self.lhs, self.rhs, *pairs, *self.assume, *proof]

    def _expect_words(self) -> None:
        for expression in map(_expr, self._expressions()):
            _expect_words(expression, self.statement)
        _names(self._expressions(), self.statement)
        for f, v in self.given:
            if f.has(language().Total) or v.has(language().Total) or _leafwise(v):
                raise DerivationError(f"a given sum is a pair of a summand and a number, not {f}, {v}")

    def _expect_where(self) -> None:
        from sympy.core.function import AppliedUndef

        shorts = [short for short, _ in self.where]
        if len(set(shorts)) < len(shorts):
            raise DerivationError("an abbreviation has two meanings")
        for short, long in self.where:
            if not (short.is_Symbol or isinstance(short, AppliedUndef)):
                raise DerivationError(f"{short} is no abbreviation: it is a symbol or the value of a function")
            spelled = _spelled(long, self.where)
            if any(spelled.has(other) for other in shorts):
                raise DerivationError(f"{short} is defined by itself")
            if _leafwise(long) and not _leafwise(short):
                raise DerivationError(f"{short} is a number, and {long} belongs to one leaf")
            if isinstance(short, AppliedUndef) and short not in self.assume:
                self._expect_values_agree(short, spelled)
        self._expect_defined()
        self._expect_no_capture()
        for short in self.assume:
            if short not in shorts:
                raise DerivationError(f"{short} is assumed and not an abbreviation")
        for short, _ in self.signs:
            if short not in shorts:
                raise DerivationError(f"{short} has a witness of its sign and is not an abbreviation")

    def _expect_defined(self) -> None:
        """An abbreviation is a real number wherever the two sides are: its logarithms are theirs, or of what is > 0."""
        import sympy as sp

        sides = [_spelled(e, self.where) for e in (self.lhs, self.rhs, *(f for f, _ in self.given))]
        known = {log.args[0] for side in sides for log in side.atoms(sp.log)}
        for short, long in self.where:
            for log in _replaced(long, self.where).atoms(sp.log):
                argument = _spelled(log.args[0], self.where)
                if not (argument.is_positive or any(_is_zero(argument - other) for other in known)):
                    raise DerivationError(f"{short} has the logarithm of {argument}, which is not visibly > 0")

    def _expect_no_capture(self) -> None:
        """No abbreviation holds the variable of an integral or of a value at a point that it stands in.

        And no derivative takes the value of a given sum for a constant while its summand moves.
        """
        import sympy as sp

        for expression in map(_expr, self._expressions()):
            for part in expression.atoms(sp.Integral, sp.Subs, sp.Derivative):
                variables = set(part.variables)
                if not isinstance(part, sp.Derivative):
                    for short, long in self.where:
                        if part.has(short) and _spelled(long, self.where).free_symbols & variables:
                            raise DerivationError(f"{short} depends on {variables}, which {part} binds")
                for f, v in self.given:
                    moves = _spelled(f, self.where).free_symbols & variables
                    if moves and _spelled(v, self.where).free_symbols & part.args[0].free_symbols - variables:
                        raise DerivationError(f"{part} takes {v} for a constant, the sum of {f}")

    def _expect_values_agree(self, short: Expr, spelled: Expr) -> None:
        """A function is defined at one free argument; its other values follow from that, or are assumed."""
        from sympy.core.function import AppliedUndef

        others = {f for e in self._expressions() for f in _expr(e).atoms(AppliedUndef) if f.func == short.func} - {
            short
        }
        if not others:
            return
        meanings = {other: _spelled(long, self.where) for other, long in self.where if other in others}
        free = [f for f in (short, *meanings) if all(a.is_Symbol for a in f.args) and len(set(f.args)) == len(f.args)]
        if others - set(meanings) or not free:
            raise DerivationError(f"{short} is one value of a function that is left open elsewhere: assume it")
        if free[0] != short:
            at = dict(zip(free[0].args, short.args, strict=True))
            if not _is_zero(meanings[free[0]].subs(at, simultaneous=True).doit() - spelled):
                raise DerivationError(f"{short} and {free[0]} are values of one function, and do not agree")

    def _establish(self) -> tuple[Relation, ...]:
        """Show that every abbreviation has the sign it is declared with; returns what has to be assumed for it."""
        carried: list[Relation] = []
        waiting = [(short, long) for short, long in self.where if _sign_of(short) != "real"]
        unknown = {short for short, _ in waiting}
        object.__setattr__(self, "_unknown", unknown)
        for short, long in self.where:
            if short in self.assume:
                if _sign_of(short) == "real" and short.is_Symbol:
                    raise DerivationError(f"{short} is declared without a sign, so there is nothing to assume")
                if _sign_of(short) == "real":
                    carried.append(Relation(short, "=", long))
                else:
                    carried.append(Relation(_spelled(long, self.where), _relation(short), _expr(0)))
                    unknown.discard(short)
        witnesses = dict(self.signs)
        moved = True
        while moved:
            moved = False
            for short, long in waiting:
                if short not in unknown:
                    continue
                known = self._shown(short, long, witnesses.get(short))
                if known is None:
                    continue
                if known:
                    carried.append(known)
                unknown.discard(short)
                moved = True
        if unknown:
            short = min(unknown, key=str)
            raise DerivationError(
                f"{short} is declared {_relation(short)} 0, but {dict(self.where)[short]} is not visibly so: "
                "derive its sign (signs), or assume it (assume)"
            )
        for f, v in self.given:
            if v.free_symbols and v.is_nonnegative and not self._visible(f, "nonnegative"):
                carried.append(Relation(v, _relation(v), _expr(0)))
        for part in self._lemmas():
            lemma = language().functions[part.func]
            at = dict(zip(lemma.arguments, part.args, strict=True))
            if not lemma.conditions and lemma.lemma is not None:
                for relation in lemma.lemma.carried:
                    sides = [_spelled(_expr(side).subs(at), self.where) for side in (relation.lhs, relation.rhs)]
                    carried.append(Relation(sides[0], relation.relation, sides[1], relation.every))
        return tuple(dict.fromkeys(carried))

    def _shown(self, short: Expr, long: Expr, witness: Expr | None) -> Relation | Literal[False] | None:
        """False where the sign of an abbreviation is shown, the support where it holds there, None where it is neither."""
        sign = _sign_of(short)
        forms = [long, _spelled(long, self.where)]
        if witness is not None:
            self.expect_zero(long - witness)
            forms = [witness]
        for form in forms:
            if self._visible(form, sign):
                return False
        if sign == "positive" and _leafwise(short) and any(self._visible(form, "nonnegative") for form in forms):
            return Relation(_spelled(long, self.where), ">", _expr(0))
        return None

    def _lemmas(self) -> list[Expr]:
        """The applications of functions with a lemma in what the step is proved by."""
        functions = language().functions
        applied = {part for e in self._expressions() for part in _expr(e).atoms(*functions)} if functions else set()
        return sorted(applied, key=str)

    def _visible(self, expression: Expr, sign: str) -> bool:
        """Whether the expression has the sign by the signs of its parts, those not yet shown left out."""
        import sympy as sp

        expression = _expr(expression)
        hidden = {short: sp.Dummy(real=True) for short in self._unknown if expression.has(short)}  # type: ignore[attr-defined]
        expression = expression.xreplace(hidden)
        if not _has_sign(expression, sign):
            return False
        for part in expression.atoms(*language().functions) if language().functions else ():
            for index, meaning in language().functions[part.func].conditions:
                values = dict(zip(language().functions[part.func].arguments, part.args, strict=True))
                asked = _expr(meaning).subs(values, simultaneous=True) - part.args[index]
                if not _is_zero(_spelled(asked, self.where)):
                    raise DerivationError(f"{part}: its argument {part.args[index]} is not {meaning}")
        return True

    def _positive(self) -> list[Expr]:
        """The abbreviations that are known to be > 0, written out."""
        unknown = self._unknown  # type: ignore[attr-defined]
        return [_spelled(short, self.where) for short, _ in self.where if short.is_positive and short not in unknown]

    def expect_zero(self, expression: Expr) -> None:
        """Raise DerivationError unless the expression is zero by the abbreviations and the given sums."""
        known = tuple((_spelled(f, self.where), _spelled(v, self.where)) for f, v in self.given)
        rest = _left_over(_spelled(expression, self.where), known, self._positive())
        if rest is not None:
            raise DerivationError(f"left over: {_plain(rest.expand())}")

    def expect_sign(self, expression: Expr, sign: str = "nonnegative") -> None:
        """Raise DerivationError unless the expression has the sign term by term, by the signs of its symbols."""
        if not self._visible(expression, sign):
            raise DerivationError(
                f"{_plain(_expr(expression))} is not visibly {'> 0' if sign == 'positive' else '>= 0'}"
            )

    def expect_free(self, variable: Expr) -> None:
        """Raise DerivationError unless the variable is a symbol >= 0 that is not an abbreviation."""
        variable = _expr(variable)
        if not (variable.is_Symbol and variable.is_nonnegative) or variable in dict(self.where):
            raise DerivationError(f"{variable} is not a symbol that runs from 0 upwards")

    def smooth_in(self, variable: Expr, expression: Expr, *places: Expr) -> Expr:
        """The expression written out, once it is smooth in the variable, on an interval that holds the places."""
        import sympy as sp

        self.expect_free(variable)
        for place in places:
            if not (_expr(place) == 0 or self._visible(place, _sign_of(variable))):
                raise DerivationError(f"{place} is not among the values of {variable}")
        spelled = _spelled(expression, self.where)
        if any(_spelled(part, self.where).has(variable) for pair in self.given for part in pair):
            raise DerivationError(f"the given sums hold at one value of {variable}")
        object.__setattr__(self, "carried", tuple(self._on_interval(r, variable, places) for r in self.carried))
        positive = self._positive()
        for part in spelled.atoms(sp.Pow, sp.log, sp.expint, sp.Integral):
            if not part.has(variable):
                continue
            if isinstance(part, (sp.expint, sp.Integral)):
                raise DerivationError(f"{part} may not be smooth in {variable}")
            base, power = (part.args[0], None) if isinstance(part, sp.log) else part.as_base_exp()
            if power is not None and power.is_Integer and power > 0:
                continue
            if not (base.is_positive or any(_is_zero(base - known) for known in positive)):
                raise DerivationError(f"{base} is not visibly > 0, so that {part} may not be smooth in {variable}")
        return spelled

    def _on_interval(self, relation: Relation, variable: Expr, places: tuple[Expr, ...]) -> Relation:
        """The hypothesis, which leaves an interval of the variable that holds the places.

        One on a function that is left open is assumed for every value of the variable.
        """
        import sympy as sp
        from sympy.core.function import AppliedUndef

        condition = _expr(relation.lhs - relation.rhs)
        if not condition.has(variable):
            return relation
        if condition.has(AppliedUndef):
            return relation._replace(every=variable)
        sign = "positive" if relation.relation == ">" else "nonnegative"
        straight = _is_zero(sp.diff(condition, variable, 2))
        inside = all(self._visible(sp.cancel(condition.subs(variable, _expr(place))), sign) for place in places)
        if relation.relation == "=" or not (straight and inside):
            raise DerivationError(f"{relation.text()} may leave {variable} other values than an interval from {places}")
        return relation

    # numbers
    def evaluate(self, trees: int = TREES, leaves: int = 3, seed: int = 0) -> None:
        """Evaluate the step on random trees that meet its hypotheses, in high precision.

        Raises DerivationError where a side, a witness or a derived sign contradicts it, or where no tree is found.
        """
        done = 0
        for attempt in range(ATTEMPTS):
            done += holds_on(self, leaves, random.Random(f"{seed} {leaves} {attempt} {self.statement}"))
            if done == trees:
                return
        raise DerivationError(f"{self.statement}: no tree of {leaves} leaves was found that meets its hypotheses")

    def check_on_leaves(self, leaves: int = 3) -> bool:
        """Evaluate a step about sums again, on other random trees with so many leaves.

        Returns False for a step that has no sum in it; raises DerivationError where the sums do not agree.
        """
        if not _spelled(self.difference, self.where).has(language().Total):
            return False
        self.evaluate(TREES, leaves, seed=1)
        return True

    # print
    def conditions(self) -> list[Relation]:
        """The given sums, then what is assumed: the hypotheses of the step beyond the signs of its symbols."""
        return [*(Relation(language().Total(f), "=", v) for f, v in self.given), *self.carried]

    def text(self) -> str:
        """The step in plain text: the statement, the formula, its hypotheses, and what it rests on."""
        lines = [self.statement, f"    {_plain(self.lhs)}  {self.relation}  {_plain(self.rhs)}"]
        if self.reason:
            lines.append(f"    because {self.reason}")
        if self.where:
            lines.append("    where " + ", ".join(f"{_plain(s)} = {_plain(v)}" for s, v in self.where))
        if self.signs:
            shown = (f"{_plain(s)} = {_plain(w)} {_relation(s)} 0" for s, w in self.signs)
            lines.append("    with " + ", ".join(shown))
        if self.given:
            lines.append("    given " + ", ".join(r.text() for r in self.conditions()[: len(self.given)]))
        if self.carried:
            lines.append("    assuming " + ", ".join(r.text() for r in self.carried))
        if self.uses:
            lines.append(f"    by {', '.join(self.uses)}")
        return "\n".join(lines)

    def latex(self) -> str:
        """The step in LaTeX: the statement as text, the formula as a display."""
        import sympy as sp

        stop = "" if self.statement.endswith(".") else "."
        lines = [rf"\item {tex_words(self.statement)}{stop}", rf"\[ {self.claim.latex()} \]"]
        if isinstance(self.proof, Witness):
            lines.append(rf"Difference: \( {sp.latex(self.proof.expression, ln_notation=True)} \ge 0 \).")
        elif self.reason:
            lines.append(f"Because {tex_words(self.reason)}.")
        signs = [Relation(w, _relation(s), sp.Integer(0)) for s, w in self.signs]
        for word, relations in (
            ("Where", [Relation(s, "=", v) for s, v in self.where]),
            ("With", signs),
            ("Given", self.conditions()[: len(self.given)]),
            ("Assuming", list(self.carried)),
        ):
            if relations:
                lines.append(f"{word} {_formulas(relations)}.")
        if self.uses:
            lines.append(f"By {tex_words(', '.join(self.uses))}.")
        return "\n".join(lines)


@dataclass(frozen=True)
class Derivation:
    """A result of the theory with its proof: assumptions, checked steps, conclusion. Build it with `derive`.

    conclusion  relations, each of which one of the steps establishes; they carry the hypotheses of that step
    summary     the conclusion in words, which nothing checks
    letters     what each letter stands for, in words; a key may name several, "s_0, s_1"

    Raises DerivationError where no step establishes a relation of the conclusion, or where there is none.
    """

    id: str
    title: str
    assumptions: tuple[str, ...]
    steps: tuple[Step, ...]
    conclusion: tuple[Relation, ...]
    summary: str
    letters: Mapping[str, str] = field(default_factory=dict)
    grounds: tuple[Step, ...] = field(init=False, default=())
    """The steps that establish the conclusion, one for each relation."""

    def __post_init__(self) -> None:
        if not self.conclusion:
            raise DerivationError(f"{self.id}: a derivation concludes something")
        if any(type(step) is not Step for step in self.steps):
            raise DerivationError(f"{self.id}: a derivation is made of steps")
        _names([e for step in self.steps for e in step._expressions()], self.id)
        object.__setattr__(self, "grounds", tuple(map(self._ground, self.conclusion)))

    def _ground(self, relation: Relation) -> Step:
        for step in self.steps:
            if step.claim == relation:
                return step
        for kinds in (("=",), (">=", "<=")):
            for step in self.steps:
                if step.relation not in kinds or relation.relation not in kinds:
                    continue
                try:
                    for side in (relation.lhs, relation.rhs):
                        _expect_words(_expr(side), self.id)
                    step.expect_zero(relation.difference - step.difference)
                except DerivationError:
                    continue
                return step
        raise DerivationError(f"{self.id}: no step establishes {relation.text()}")

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def check_on_leaves(self, leaves: int = 3) -> int:
        """Evaluate every step about sums again on other trees of ``leaves`` leaves; returns how many there were."""
        return sum(step.check_on_leaves(leaves) for step in self.steps)

    @property
    def hypotheses(self) -> tuple[Relation, ...]:
        """What its conclusion rests on beyond the signs of the symbols: given sums, and what is assumed."""
        return tuple(dict.fromkeys(relation for step in self.grounds for relation in step.conditions()))

    def symbols(self) -> tuple[Expr, ...]:
        """The symbols of the steps that are not abbreviations, in the order of their names."""
        import sympy as sp

        symbols: set[Expr] = set()
        for step in self.steps:
            for side in (step.lhs, step.rhs, *(f for f, _ in step.given)):
                symbols |= _replaced(side, step.where).atoms(sp.Symbol)
        return tuple(sorted(symbols, key=lambda symbol: (symbol.name, str(_sign_of(symbol)))))

    def functions(self) -> list[Relation]:
        """The functions with a name that the steps use, each with its meaning."""
        import sympy as sp

        applied = {f for step in self.steps for e in step._expressions() for f in _expr(e).atoms(sp.Function)}
        defined = {f.func: language().functions[f.func] for f in applied if f.func in language().functions}
        named = [(head, known) for head, known in defined.items() if known.tex is not None]
        named.sort(key=lambda item: item[0].__name__)
        return [Relation(head(*known.arguments), "=", known.body) for head, known in named]

    def names(self) -> set[str]:
        """The letters of the steps: symbols, abbreviations among them, and functions, left open or with a name."""
        import sympy as sp
        from sympy.core.function import AppliedUndef

        expressions = [_expr(e) for step in self.steps for e in step._expressions()]
        symbols = {symbol.name for e in expressions for symbol in e.atoms(sp.Symbol)}
        open_functions = {function.func.__name__ for e in expressions for function in e.atoms(AppliedUndef)}
        return symbols | open_functions | {relation.lhs.func.__name__ for relation in self.functions()}

    def _letters_in_latex(self) -> list[str]:
        """The letters as a list, a letter or a few an item."""
        import sympy as sp

        known = {r.lhs.func.__name__: language().functions[r.lhs.func].tex for r in self.functions()}
        lines = []
        for names, meaning in self.letters.items():
            shown = (rf"\( {known.get(name) or sp.latex(sp.Symbol(name))} \)" for name in names.split(", "))
            lines.append(rf"\item {', '.join(shown)}: {tex_words(meaning)}.")
        return [r"\begin{itemize}", *lines, r"\end{itemize}"] if lines else []

    def _domain(self) -> list[str]:
        """Which symbols stand for numbers of which sign."""
        lines = []
        for leaf, where in ((True, "on a leaf"), (False, "the same on all leaves")):
            for sign, word in (("positive", "> 0"), ("nonnegative", ">= 0"), ("real", "any number")):
                mine = [s for s in self.symbols() if isinstance(s, language().OnLeaf) == leaf and _sign_of(s) == sign]
                if mine:
                    lines.append(f"{', '.join(map(str, mine))} {word} ({where})")
        return lines

    def text(self) -> str:
        """The whole derivation in plain text."""
        lines = [f"{self.id}  {self.title}", "", "Assume " + "; ".join(self.assumptions) + "."]
        lines.append("Numbers: " + "; ".join(self._domain()) + ".")
        lines += ["Functions: " + "; ".join(r.text() for r in self.functions()) + "."] if self.functions() else []
        lines += (
            ["Letters:", *(f"    {names}: {meaning}" for names, meaning in self.letters.items())]
            if self.letters
            else []
        )
        lines.append("")
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number:2d}. " + step.text().replace("\n", "\n    "))
        lines += ["", f"In words: {self.summary}", ""]
        for relation, step in zip(self.conclusion, self.grounds, strict=True):
            formula = f"{_plain(relation.lhs)}  {relation.relation}  {_plain(relation.rhs)}"
            lines.append(f"Hence {formula}" + _in_brackets(step, Relation.text))
        return "\n".join(lines)

    def latex(self) -> str:
        """The whole derivation as a LaTeX fragment (amsmath), with nothing in it that needs a preamble of its own."""
        head = [
            rf"\paragraph{{{self.id}. {tex_words(self.title)}}}",
            f"Assume {tex_words('; '.join(self.assumptions))}.",
            f"Numbers: {tex_words('; '.join(self._domain()))}.",
        ]
        if self.functions():
            head.append(f"Functions: {_formulas(self.functions())}.")
        head += self._letters_in_latex()
        steps = [r"\begin{enumerate}", *(step.latex() for step in self.steps), r"\end{enumerate}"]
        hence = [f"In words: {tex_words(self.summary)}"]
        for relation, step in zip(self.conclusion, self.grounds, strict=True):
            carried = _in_brackets(step, lambda r: rf"\( {r.latex()} \)")
            hence.append(rf"Hence \( {relation.latex()} \){carried}.")
        return "\n".join([*head, *steps, "\n\n".join(hence)])


def _formulas(relations: Sequence[Relation]) -> str:
    """Relations in LaTeX, a formula each, so that a line may break between them."""
    return ", ".join(rf"\( {relation.latex()} \)" for relation in relations)


def _in_brackets(step: Step, shown: Callable[[Relation], str]) -> str:
    """What a relation of the conclusion carries, in brackets."""
    where = ", ".join(shown(Relation(s, "=", v)) for s, v in step.where)
    given = ", ".join(shown(r) for r in step.conditions()[: len(step.given)])
    assumed = ", ".join(shown(r) for r in step.carried)
    words = [f"{word} {part}" for word, part in (("where", where), ("given", given), ("assuming", assumed)) if part]
    if isinstance(step.proof, Limit):
        words.insert(0, shown(Relation(step.proof.variable, "->", _expr(0))))
    return f"  ({'; '.join(words)})" if words else ""
