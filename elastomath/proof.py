"""The proof language: a derivation is a list of steps, and a step that does not hold cannot be built.

The proofs work on one **generic leaf** of the tree, whose masses under the datasets are symbols, so they hold for every
number of leaves. A sum over leaves is written ``sum_x [...]`` and is known only through what is *given* about it, such
as ``sum_x P(x) = 1``: two sums are equal when their summands differ by a combination of given sums whose total is right.
Every such step is checked a second time on an explicit tree of three leaves with symbolic masses.

An inequality carries its reason: a witness that equals the difference of the two sides and is visibly >= 0 (a square, a
product of non-negative numbers, phi(r) = r - 1 - ln r), or the fact that the difference starts at 0 and rises.

A derivation makes its symbols with `leaf_symbol` (a mass on the generic leaf), `parameter` (a volume, the same on all
leaves) and `leaf_function` (a function with a known sign, written out only where something is decided).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

Expr = Any
"""A sympy expression (sympy is imported where it is used, and has no types of its own)."""
Given = tuple[tuple[Expr, Expr], ...]
"""Known sums over leaves: pairs (summand f, value v) that say ``sum_x f = v``."""
Relation = Literal["=", ">=", "<="]


class DerivationError(ArithmeticError):
    """A step of a derivation that does not hold: the message names the step and what is left over."""


@cache
def language() -> SimpleNamespace:
    """What proofs are written in: ``Total``, and the leaf symbols, parameters and functions made so far."""
    import sympy as sp

    class Total(sp.Function):  # type: ignore[misc]
        """``sum_x [f(x)]``: the sum of a summand over the leaves in the support of q."""

        def _eval_is_nonnegative(self) -> bool | None:
            return True if self.args[0].is_nonnegative else None

        def _eval_is_real(self) -> bool:
            return True

        def _sympystr(self, printer: Any) -> str:
            return f"sum_x [{printer._print(self.args[0])}]"

        def _latex(self, printer: Any, exp: str | None = None) -> str:
            return rf"\sum_x \left[ {printer._print(self.args[0])} \right]" + (f"^{{{exp}}}" if exp else "")

    return SimpleNamespace(Total=Total, leaf=set(), parameters=set(), functions={})


def leaf_symbol(name: str, **assumptions: bool) -> Expr:
    """A mass (or another number) on the generic leaf, >= 0 unless other sympy assumptions are given.

    Raises DerivationError where a `parameter` of another derivation is the same symbol.
    """
    return _registered(name, assumptions or {"nonnegative": True}, language().leaf, language().parameters)


def parameter(name: str, **assumptions: bool) -> Expr:
    """A number that is the same on all leaves and may be chosen freely, such as a volume; > 0 unless said otherwise.

    Raises DerivationError where a `leaf_symbol` of another derivation is the same symbol.
    """
    return _registered(name, assumptions or {"positive": True}, language().parameters, language().leaf)


def _registered(name: str, assumptions: dict[str, bool], mine: set[Expr], others: set[Expr]) -> Expr:
    import sympy as sp

    symbol = sp.Symbol(name, **assumptions)
    if symbol in others:  # equal names and assumptions are one symbol, and every derivation would see it both ways
        raise DerivationError(f"{name} is a number on a leaf and a parameter at once: choose another name")
    mine.add(symbol)
    return symbol


def leaf_function(
    name: str, tex: str, written_out: Callable[..., Expr], nonnegative: Callable[..., bool | None]
) -> Expr:
    """A function such as phi(r) = r - 1 - ln r: shown by its name, written out only where something is decided.

    ``nonnegative``: from the arguments, True where the function is known to be >= 0 (a lemma proves it), else None.
    The first argument is shown, further ones are taken as understood.
    """
    import sympy as sp

    def _eval_is_nonnegative(self: Expr) -> bool | None:
        return nonnegative(*self.args)

    def _sympystr(self: Expr, printer: Any) -> str:
        return f"{name}({printer._print(self.args[0])})"

    def _latex(self: Expr, printer: Any, exp: str | None = None) -> str:
        return rf"{tex}\left( {printer._print(self.args[0])} \right)" + (f"^{{{exp}}}" if exp else "")

    made = type(name, (sp.Function,), {f.__name__: f for f in (_eval_is_nonnegative, _sympystr, _latex)})
    language().functions[made] = written_out
    return made


# --- deciding that an expression is zero -------------------------------------------------------------------------
def _spelled(expression: Expr, where: Sequence[tuple[Expr, Expr]]) -> Expr:
    """The expression with abbreviations replaced, functions written out, and derivatives and limits taken."""
    import sympy as sp

    expression = sp.sympify(expression)
    for short, long in where:
        expression = expression.subs(short, long)
    for function, written_out in language().functions.items():
        expression = expression.replace(function, written_out)
    return expression.doit()


def _logs_apart(expression: Expr) -> Expr:
    """ln of products as sums of ln of irreducible factors, each one an unknown of its own: what is left is rational."""
    import sympy as sp

    ln = sp.Function("ln", real=True)

    def split(argument: Expr) -> Expr:
        out = sp.Integer(0)
        for part, sign in zip(sp.fraction(sp.together(argument)), (1, -1), strict=True):
            constant, factors = sp.factor_list(part)
            for factor, power in [(constant, 1), *factors]:
                if factor != 1:
                    out += sign * power * ln(factor)
        return out

    return expression.replace(sp.log, split)


def _numerator(expression: Expr) -> tuple[Expr, list[Expr]]:
    """The numerator over a common denominator, and the unknowns in it: symbols, logarithms, functions left open.

    A derivative or an integral of a function that is left open is an unknown of its own.
    """
    import sympy as sp
    from sympy.core.function import AppliedUndef

    expression = _logs_apart(expression)
    still_open = sorted(expression.atoms(sp.Derivative, sp.Integral), key=str)
    expression = expression.subs({term: sp.Dummy(f"open{index}") for index, term in enumerate(still_open)})
    numerator = sp.fraction(sp.together(expression))[0]
    logs = numerator.atoms(AppliedUndef)
    outside = numerator.subs({log: sp.Dummy() for log in logs}).free_symbols & numerator.free_symbols
    return numerator, sorted(logs | outside, key=str)


def _is_zero(expression: Expr) -> bool:
    import sympy as sp

    numerator, unknowns = _numerator(expression)
    if not unknowns:
        return bool(numerator == 0)
    return bool(sp.polys.rings.ring(unknowns, sp.QQ)[0].from_expr(numerator) == 0)


def _left_over(expression: Expr, given: Given) -> Expr | None:
    """None where the expression is zero by the given sums; otherwise what is left of it.

    The sums in it are joined into one, ``sum_x [e]``; weights lambda with ``e = sum_i lambda_i f_i`` on the generic leaf
    are solved for, and then ``sum_x [e] = sum_i lambda_i v_i`` is the only rule about sums that is used.
    """
    import sympy as sp

    names = language()
    sums = sorted(expression.atoms(names.Total), key=str)
    marks = [sp.Dummy() for _ in sums]
    outside = sp.expand(expression.subs(dict(zip(sums, marks, strict=True))))
    summand = sp.Integer(0)
    for mark, total in zip(marks, sums, strict=True):
        factor = outside.coeff(mark, 1)
        if factor.free_symbols & names.leaf:
            raise DerivationError(f"a sum over leaves is multiplied by {factor}, which belongs to one leaf")
        summand += factor * total.args[0]
        outside = outside.coeff(mark, 0)
    if outside.free_symbols & names.leaf and sums:
        raise DerivationError(f"{outside} belongs to one leaf and stands outside the sum")
    weights = [sp.Dummy(f"lambda{index}") for index in range(len(given))] if sums else []
    known = given if sums else ()
    rest = summand - sum((weight * f for weight, (f, _) in zip(weights, known, strict=True)), start=sp.Integer(0))
    if sums:
        numerator, unknowns = _numerator(rest)
        local = [unknown for unknown in unknowns if unknown.free_symbols & names.leaf]
        equations = sp.Poly(numerator, *local).coeffs() if local else [numerator]
        solution = next(iter(sp.linsolve(equations, weights)), None) if weights else ()
        if solution is None or (not weights and any(sp.expand(e) != 0 for e in equations)):
            return expression
        values = [value.subs(dict.fromkeys(weights, 0)) for value in solution]
        outside += sum((value * v for value, (_, v) in zip(values, known, strict=True)), start=sp.Integer(0))
    return None if _is_zero(outside) else outside


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
    """The difference of the two sides is 0 at ``variable`` = 0 and its derivative, the witness, is >= 0 from there on."""

    variable: Expr
    slope: Expr

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        import sympy as sp

        difference = _spelled(step.difference, step.where)
        step.expect_zero(difference.subs(self.variable, 0))
        step.expect_sign(self.slope)
        step.expect_zero(sp.diff(difference, self.variable) - self.slope)
        return f"the difference is 0 at {self.variable} = 0 and its derivative there and after is {_plain(self.slope)}"


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

        f, y = _spelled(step.difference, step.where), self.variable
        slope = sp.diff(f, y)
        for value in (f.subs(y, 0), f.subs(y, self.touch), slope.subs(y, self.touch)):
            step.expect_zero(value)
        step.expect_zero(sp.diff(slope, y) - self.bend / self.positive)
        if not self.positive.is_positive:
            raise DerivationError(f"{step.statement}: {self.positive} is not visibly positive")
        bend = _spelled(self.bend, step.where)
        for value, witness in ((sp.diff(bend, y), self.bend_slope), (bend.subs(y, self.touch), self.bend_at_touch)):
            step.expect_sign(witness)
            step.expect_zero(value - witness)
        return f"0 at {y} = 0 and, with its derivative, at {y} = {self.touch}; concave, then convex before {self.touch}"


@dataclass(frozen=True)
class Limit:
    """The left side tends to the right side as ``variable`` falls to 0."""

    variable: Expr

    def check(self, step: Step) -> str:
        """Return what was proved, or raise DerivationError."""
        import sympy as sp

        step.expect_zero(sp.limit(_spelled(step.lhs, step.where), self.variable, 0, "+") - step.rhs)
        return f"as {self.variable} -> 0+"


Proof = Identity | Witness | Rises | ConcaveThenConvex | Limit


@dataclass(frozen=True)
class Step:
    """One line of a derivation, ``lhs relation rhs``, checked when it is built.

    statement  what the line says, in plain text
    uses       what it rests on: a definition, the normalisation, an earlier result
    given      the sums over leaves that it may use
    where      abbreviations, replaced in order before anything is decided
    proof      what makes it true; Identity() by default

    Raises DerivationError when the line does not hold, or not for the reason given.

    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> Step("a square", x**2 + 1, 2 * x, ">=", proof=Witness((x - 1) ** 2)).reason
    'the difference is (x - 1)**2'
    >>> Step("a wrong square", x**2 + 1, 3 * x, ">=", proof=Witness((x - 1) ** 2))
    Traceback (most recent call last):
    elastomath.proof.DerivationError: a wrong square: left over: -x
    """

    statement: str
    lhs: Expr
    rhs: Expr
    relation: Relation = "="
    uses: tuple[str, ...] = ()
    given: Given = ()
    where: tuple[tuple[Expr, Expr], ...] = ()
    proof: Proof = field(default_factory=Identity)
    reason: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if isinstance(self.proof, Identity | Limit) != (self.relation == "="):
            raise DerivationError(f"{self.statement}: {type(self.proof).__name__} does not prove {self.relation!r}")
        object.__setattr__(self, "reason", self.proof.check(self))

    @property
    def difference(self) -> Expr:
        """The side that is claimed to be the larger one, minus the other."""
        return self.rhs - self.lhs if self.relation == "<=" else self.lhs - self.rhs

    def expect_zero(self, expression: Expr) -> None:
        """Raise DerivationError unless the expression is zero by the abbreviations and the given sums."""
        known = tuple((_spelled(f, self.where), _spelled(v, self.where)) for f, v in self.given)
        rest = _left_over(_spelled(expression, self.where), known)
        if rest is not None:
            raise DerivationError(f"{self.statement}: left over: {rest}")

    def expect_sign(self, expression: Expr) -> None:
        """Raise DerivationError unless the expression is >= 0 term by term, by the signs of its symbols."""
        import sympy as sp

        if not sp.sympify(expression).is_nonnegative:
            raise DerivationError(f"{self.statement}: {expression} is not visibly >= 0")

    def check_on_leaves(self, leaves: int = 3) -> bool:
        """Check a step about sums again on an explicit tree, every mass a symbol and the last fixed by its given sum.

        Returns False for a step that has no sum in it; raises DerivationError where the sums do not agree.
        """
        import sympy as sp

        names = language()
        witness = self.proof.expression if isinstance(self.proof, Witness) else sp.Integer(0)
        expression = _spelled(self.difference - witness, self.where)
        if not expression.has(names.Total):
            return False
        columns: list[dict[Expr, Expr]] = [{} for _ in range(leaves)]
        for symbol in sorted(names.leaf, key=str):
            for leaf, column in enumerate(columns):
                sign = {"positive": True} if symbol.is_nonnegative else {"real": True}
                column[symbol] = sp.Symbol(f"{symbol}{leaf + 1}", **sign)

        def over_leaves(summand: Expr) -> Expr:
            summand = summand if summand.has(sp.log) else sp.factor(summand)
            return sp.Add(*(summand.subs(column, simultaneous=True) for column in columns))

        values: dict[Expr, Expr] = {}
        known = [(_spelled(f, self.where), _spelled(v, self.where)) for f, v in self.given]
        fixed = [f in names.leaf and v.free_symbols <= names.parameters for f, v in known]
        for (f, v), on_last in zip(known, fixed, strict=True):
            if on_last:
                columns[-1][f] = v - sp.Add(*(column[f] for column in columns[:-1]))
        for (f, v), on_last in zip(known, fixed, strict=True):
            if not on_last:
                (symbol,) = v.free_symbols - names.parameters
                values[symbol] = (over_leaves(f) - v.subs(symbol, 0)) / sp.diff(v, symbol)  # v is affine in its symbol
        explicit = expression.replace(names.Total, over_leaves).subs(values)
        if not _is_zero(explicit):
            raise DerivationError(f"{self.statement}: the sums differ on {leaves} leaves")
        return True

    def text(self) -> str:
        """The step in plain text: the statement, the formula, and what it rests on."""
        lines = [self.statement, f"    {_plain(self.lhs)}  {self.relation}  {_plain(self.rhs)}"]
        if self.reason:
            lines.append(f"    because {self.reason}")
        if self.where:
            lines.append("    where " + ", ".join(f"{_plain(s)} = {_plain(v)}" for s, v in self.where))
        if self.uses:
            lines.append(f"    by {', '.join(self.uses)}")
        return "\n".join(lines)

    def latex(self) -> str:
        """The step in LaTeX: the statement as text, the formula as a display."""
        import sympy as sp

        sign = {"=": "=", ">=": r"\ge", "<=": r"\le"}[self.relation]
        formula = rf"\[ {sp.latex(self.lhs, ln_notation=True)} {sign} {sp.latex(self.rhs, ln_notation=True)} \]"
        lines = [rf"\item {_tex_words(self.statement)}.", formula]
        if isinstance(self.proof, Witness):
            lines.append(rf"Difference: \( {sp.latex(self.proof.expression, ln_notation=True)} \ge 0 \).")
        elif self.reason:
            lines.append(f"Because {_tex_words(self.reason)}.")
        if self.where:
            pairs = (rf"{sp.latex(s)} = {sp.latex(v, ln_notation=True)}" for s, v in self.where)
            lines.append(rf"Where \( {', '.join(pairs)} \).")
        if self.uses:
            lines.append(f"By {_tex_words(', '.join(self.uses))}.")
        return "\n".join(lines)


@dataclass(frozen=True)
class Derivation:
    """A result of the theory with its proof: assumptions, checked steps, conclusion. Build it with `derive`."""

    id: str
    title: str
    assumptions: tuple[str, ...]
    steps: tuple[Step, ...]
    conclusion: str

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def check_on_leaves(self, leaves: int = 3) -> int:
        """Check every step about sums again on an explicit tree of ``leaves`` leaves; returns how many there were."""
        return sum(step.check_on_leaves(leaves) for step in self.steps)

    def text(self) -> str:
        """The whole derivation in plain text."""
        lines = [f"{self.id}  {self.title}", "", "Assume " + "; ".join(self.assumptions) + ".", ""]
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number:2d}. " + step.text().replace("\n", "\n    "))
        return "\n".join([*lines, "", f"Hence {self.conclusion}"])

    def latex(self) -> str:
        """The whole derivation as a LaTeX fragment (amsmath), with nothing in it that needs a preamble of its own."""
        head = [
            rf"\paragraph{{{self.id}. {_tex_words(self.title)}}}",
            f"Assume {_tex_words('; '.join(self.assumptions))}.",
        ]
        steps = [r"\begin{enumerate}", *(step.latex() for step in self.steps), r"\end{enumerate}"]
        return "\n".join([*head, *steps, f"Hence {_tex_words(self.conclusion)}"])


def _plain(expression: Expr) -> str:
    import sympy as sp

    return str(sp.sstr(expression)).replace("log(", "ln(")


def _tex_words(words: str) -> str:
    for sign, safe in (
        ("\\", r"\textbackslash "),
        ("{", r"\{"),
        ("}", r"\}"),
        ("_", r"\_"),
        ("^", r"\^{}"),
        ("&", r"\&"),
        ("%", r"\%"),
        ("#", r"\#"),
        ("$", r"\$"),
        ("~", r"\textasciitilde "),
        ("<", r"\(<\)"),
        (">", r"\(>\)"),
    ):
        words = words.replace(sign, safe)
    return words
