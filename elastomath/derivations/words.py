"""What proofs are written in: declared symbols, sums over leaves, functions with a lemma, and when an expression is zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, Protocol

Expr = Any
"""A sympy expression (sympy is imported where it is used, and has no types of its own)."""
Given = tuple[tuple[Expr, Expr], ...]
"""Known sums over leaves: pairs (summand f, value v) that say ``sum_x f = v``."""
Sign = Literal["=", ">=", "<=", ">", "->"]
"""``->`` is the relation of a limit; ``>`` stands in hypotheses only."""

SIGNS = ("positive", "nonnegative", "real")
"""What may be declared of a symbol."""
DIGITS = 50
"""Digits of an evaluation."""


class DerivationError(ArithmeticError):
    """A step of a derivation that does not hold: the message names the step and what is left over."""


class Relation(NamedTuple):
    """``lhs relation rhs``: what a step establishes, what a derivation concludes, and what either assumes."""

    lhs: Expr
    relation: str
    rhs: Expr
    every: Expr | None = None
    """A variable, for each of whose values >= 0 the relation is assumed."""

    @property
    def difference(self) -> Expr:
        """The side that is claimed to be the larger one, minus the other."""
        return self.rhs - self.lhs if self.relation == "<=" else self.lhs - self.rhs

    def text(self) -> str:
        """The relation in plain text."""
        always = f" for every {self.every}" if self.every is not None else ""
        return f"{_plain(self.lhs)} {self.relation} {_plain(self.rhs)}{always}"

    def latex(self) -> str:
        """The relation in LaTeX, without the signs of mathematical mode."""
        import sympy as sp

        sign = {"=": "=", ">=": r"\ge", "<=": r"\le", ">": ">", "->": r"\to"}[self.relation]
        always = rf"\ \forall {sp.latex(self.every)}" if self.every is not None else ""
        return f"{sp.latex(self.lhs, ln_notation=True)} {sign} {sp.latex(self.rhs, ln_notation=True)}{always}"


class Claim(Protocol):
    """What a step says: a relation between two sides, what it may use for it, and what it assumes."""

    @property
    def statement(self) -> str:
        """What the line says, in plain text."""

    @property
    def lhs(self) -> Expr:
        """The left side."""

    @property
    def rhs(self) -> Expr:
        """The right side."""

    @property
    def relation(self) -> Sign:
        """How they compare."""

    @property
    def given(self) -> Given:
        """The sums over leaves that it may use."""

    @property
    def where(self) -> Given:
        """Abbreviations, each with its meaning."""

    @property
    def assume(self) -> tuple[Expr, ...]:
        """Abbreviations whose sign is a hypothesis."""

    @property
    def carried(self) -> tuple[Relation, ...]:
        """What is assumed beyond the signs of the symbols and the given sums."""

    @property
    def limit(self) -> Expr | None:
        """The variable that falls to 0, of a limit."""

    @property
    def witness(self) -> Expr | None:
        """What the difference of the sides is said to equal, where the reason is a witness."""


# --- words: what a proof is written in -----------------------------------------------------------------------------


@cache
def language() -> SimpleNamespace:
    """What proofs are written in: ``Total``, and the symbols and functions declared so far."""
    import sympy as sp

    class Total(sp.Function):  # type: ignore[misc]
        """``sum_x [f(x)]``: the sum of a summand over the leaves in the support of q."""

        nargs = 1

        def _eval_is_nonnegative(self) -> bool | None:
            return True if self.args[0].is_nonnegative else None

        def _eval_is_real(self) -> bool:
            return True

        def _eval_derivative(self, symbol: Expr) -> Expr:
            if isinstance(symbol, language().OnLeaf):
                raise DerivationError(f"a sum over leaves has no derivative in {symbol}, which belongs to one leaf")
            return self.func(self.args[0].diff(symbol))

        def _sympystr(self, printer: Any) -> str:
            return f"sum_x [{printer._print(self.args[0])}]"

        def _latex(self, printer: Any, exp: str | None = None) -> str:
            return rf"\sum_x \left[ {printer._print(self.args[0])} \right]" + (f"^{{{exp}}}" if exp else "")

    class OnLeaf(sp.Symbol):  # type: ignore[misc]
        """A number on the generic leaf."""

    class Same(sp.Symbol):  # type: ignore[misc]
        """A number that is the same on all leaves."""

    return SimpleNamespace(Total=Total, OnLeaf=OnLeaf, Same=Same, functions={}, open={})


def leaf_symbol(name: str, **sign: bool) -> Expr:
    """A mass (or another number) on the generic leaf: >= 0, or ``positive=True``, or ``real=True``.

    It is never equal to a `parameter`, whatever its name. Raises DerivationError for another assumption.
    """
    _expect_signs(name, sign)
    return language().OnLeaf(name, **(sign or {"nonnegative": True}))


def parameter(name: str, **sign: bool) -> Expr:
    """A number that is the same on all leaves, such as a volume: > 0, or ``nonnegative=True``, or ``real=True``.

    It is never equal to a `leaf_symbol`, whatever its name. Raises DerivationError for another assumption.
    """
    _expect_signs(name, sign)
    return language().Same(name, **(sign or {"positive": True}))


def parameters(names: str, **sign: bool) -> tuple[Expr, ...]:
    """Several parameters of one sign: ``parameters("g h")``."""
    return tuple(parameter(name, **sign) for name in names.split())


def open_function(name: str, leaf: bool = False, **sign: bool) -> Expr:
    """A smooth function that a proof leaves open, or whose values it abbreviates; ``leaf``: it differs between leaves.

    Raises DerivationError where the same name was declared otherwise.
    """
    import sympy as sp

    _expect_signs(name, sign)
    sign = sign or {"real": True}
    if language().open.setdefault((name, *sign), leaf) != leaf:
        raise DerivationError(f"{name} is a function on a leaf and one for all leaves at once: choose another name")
    return sp.Function(name, **sign)


def _expect_signs(name: str, sign: Mapping[str, bool]) -> None:
    if sign and (len(sign) != 1 or next(iter(sign)) not in SIGNS or not all(sign.values())):
        raise DerivationError(f"{name} is declared {sign}: a symbol is one of {', '.join(SIGNS)}")


@dataclass(frozen=True)
class _Known:
    """What is known of a function with a name: its body in terms of its arguments, and the lemma that gives its sign.

    conditions: pairs (index, expression): that argument has to equal the expression of the others.
    """

    arguments: tuple[Expr, ...]
    body: Expr
    tex: str | None = None
    lemma: Claim | None = None
    conditions: tuple[tuple[int, Expr], ...] = ()

    def written_out(self, *values: Expr) -> Expr:
        """The body at other arguments."""
        return self.body.subs(dict(zip(self.arguments, values, strict=True)), simultaneous=True)

    def nonnegative(self, values: tuple[Expr, ...]) -> bool | None:
        """True where the lemma covers these arguments by their signs; else None."""
        fits = all(_has_sign(value, _sign_of(symbol)) for symbol, value in zip(self.arguments, values, strict=True))
        return True if self.lemma is not None and fits else None


def _named(name: str, tex: str | None, arguments: Sequence[Expr], body: Expr, **known: Any) -> Expr:
    """A function class of its own; without ``tex`` it is printed as its body."""
    import sympy as sp

    facts = _Known(tuple(arguments), sp.sympify(body), tex, **known)

    def _eval_is_nonnegative(self: Expr) -> bool | None:
        return facts.nonnegative(self.args)

    def _eval_is_real(self: Expr) -> bool | None:
        return facts.nonnegative(self.args)

    def _sympystr(self: Expr, printer: Any) -> str:
        if tex is None:
            return f"({printer._print(facts.written_out(*self.args))})"
        return f"{name}({printer._print(self.args[0])})"

    def _latex(self: Expr, printer: Any, exp: str | None = None) -> str:
        shown = printer._print(facts.written_out(*self.args) if tex is None else self.args[0])
        return rf"{tex or ''}\left( {shown} \right)" + (f"^{{{exp}}}" if exp else "")

    methods = {f.__name__: f for f in (_eval_is_nonnegative, _eval_is_real, _sympystr, _latex)}
    function = type(name, (sp.Function,), {**methods, "nargs": len(facts.arguments)})
    language().functions[function] = facts
    return function


def leaf_function(
    name: str, tex: str, body: Expr, lemma: Callable[[Expr], Claim], arguments: Sequence[Expr] | None = None
) -> Expr:
    """A function such as phi(r) = r - 1 - ln r: shown by its name, written out only where something is decided.

    ``body``: an expression in the ``arguments`` (all its symbols by default). ``lemma``: from the function, the step
    ``function(arguments) >= 0`` that gives it its sign; what this step assumes must be among its arguments, and is then
    asked of whoever uses the function. The first argument is shown, further ones are taken as understood.
    """
    import sympy as sp

    body = sp.sympify(body)
    arguments = tuple(sorted(body.free_symbols, key=str) if arguments is None else arguments)
    stated = _named(name, tex, arguments, body)
    step = lemma(stated)
    if body.free_symbols - set(arguments):
        raise DerivationError(f"{name}: {body} has other symbols than its arguments {arguments}")
    if (step.lhs, step.relation, step.rhs) != (stated(*arguments), ">=", 0) or step.given:
        raise DerivationError(f"{step.statement}: a lemma about {name} says {name}({arguments}) >= 0 and no more")
    shorts = dict(step.where)
    loose = [short for short in step.assume if short not in arguments]
    if loose or len(step.carried) > len(step.assume):
        raise DerivationError(f"{step.statement}: what is assumed of {name} must be among its arguments")
    conditions = tuple(
        (index, _spelled(shorts[argument], tuple(pair for pair in step.where if pair[0] not in arguments)))
        for index, argument in enumerate(arguments)
        if argument in shorts
    )
    return _named(name, tex, arguments, body, lemma=step, conditions=conditions)


def _sign_of(symbol: Expr) -> str:
    return "positive" if symbol.is_positive else "nonnegative" if symbol.is_nonnegative else "real"


def _has_sign(expression: Expr, sign: str) -> bool:
    if sign == "real":
        return True
    return bool(expression.is_positive if sign == "positive" else expression.is_nonnegative)


def _leafwise(expression: Expr) -> bool:
    """Whether the expression belongs to one leaf: a leaf symbol or a function on a leaf stands outside every sum."""
    import sympy as sp
    from sympy.core.function import AppliedUndef

    names = language()
    outside = sp.sympify(expression).replace(names.Total, lambda summand: sp.Integer(0))
    if any(isinstance(symbol, names.OnLeaf) for symbol in outside.free_symbols):
        return True
    return any(names.open.get(_head(f)) for f in outside.atoms(AppliedUndef))


def _head(function: Expr) -> tuple[str, ...]:
    """The name and the sign under which an applied open function was declared."""
    return (function.func.__name__, _sign_of(function))


def _expect_words(expression: Expr, where: str) -> None:
    """Raise DerivationError for a symbol that was not declared, or a word that the language does not have."""
    import sympy as sp
    from sympy.core.function import AppliedUndef

    names = language()
    plain = (sp.Add, sp.Mul, sp.Pow, sp.log, sp.exp, sp.expint, sp.Number, sp.NumberSymbol, sp.Tuple, names.Total)
    for part in sp.preorder_traversal(expression):
        if part.is_Symbol:
            if not isinstance(part, (names.OnLeaf, names.Same)):
                raise DerivationError(f"{where}: {part} is not declared as a leaf symbol or a parameter")
        elif isinstance(part, AppliedUndef):
            if _head(part) not in names.open:
                raise DerivationError(f"{where}: the function {part} is not declared")
        elif isinstance(part, names.Total):
            if part.args[0].has(names.Total):
                raise DerivationError(f"{where}: a sum within a sum: {part}")
        elif part.is_Pow and not (part.exp.is_Integer or part.base.is_nonnegative):
            raise DerivationError(f"{where}: {part} is a root of what is not visibly >= 0")
        elif isinstance(part, sp.Integral):
            if part.has(names.Total):
                raise DerivationError(f"{where}: {part} is an integral of a sum: write the sum of the integrals")
            for symbol, *ends in part.limits:
                if len(ends) != 2 or (symbol.is_nonnegative and not all(e.is_extended_nonnegative for e in ends)):
                    raise DerivationError(f"{where}: {symbol} does not have its sign between {ends}")
        elif isinstance(part, sp.Subs):
            for symbol, point in zip(part.variables, part.point, strict=True):
                if not _has_sign(point, "nonnegative" if symbol.is_nonnegative else "real"):
                    raise DerivationError(f"{where}: {symbol} does not have its sign at {point}")
        elif part is sp.oo and expression.has(sp.Integral):
            continue
        elif not (isinstance(part, (*plain, sp.Derivative)) or part.func in names.functions) or (
            isinstance(part, sp.Number) and not part.is_finite
        ):
            raise DerivationError(f"{where}: {part} is not a word of the language")


def _names(expressions: Sequence[Expr], where: str) -> None:
    """Raise DerivationError where two symbols, or two functions, of these expressions have one name."""
    import sympy as sp

    symbols: dict[str, Expr] = {}
    functions: dict[str, Expr] = {}
    for expression in map(_expr, expressions):
        for symbol in expression.atoms(sp.Symbol):
            if symbols.setdefault(symbol.name, symbol) != symbol:
                raise DerivationError(f"{where}: two symbols are called {symbol}")
        for function in expression.atoms(sp.Function):
            name = function.func.__name__
            if functions.setdefault(name, function.func) != function.func:
                raise DerivationError(f"{where}: two functions are called {name}")


# --- deciding that an expression is zero -------------------------------------------------------------------------
def _replaced(expression: Expr, where: Sequence[tuple[Expr, Expr]]) -> Expr:
    """The expression with abbreviations replaced.

    Each meaning is written out before it is put in, so that no derivative takes a later abbreviation for a constant.
    """
    pairs: list[tuple[Expr, Expr]] = []
    for short, long in reversed(where):
        for later, meaning in pairs:
            long = long.subs(later, meaning)
        pairs.append((short, long))
    expression = _expr(expression)
    for short, meaning in reversed(pairs):
        expression = expression.subs(short, meaning)
    return expression


@lru_cache(maxsize=4096)
def _spelled(expression: Expr, where: tuple[tuple[Expr, Expr], ...]) -> Expr:
    """The expression with abbreviations replaced, functions written out, and derivatives and limits taken."""
    import sympy as sp

    expression = _replaced(expression, where)
    while inside := [f for f in language().functions if expression.has(f)]:
        for function in inside:
            expression = expression.replace(function, language().functions[function].written_out)
    expression = expression.doit()
    if expression.has(sp.nan, sp.zoo, sp.oo, -sp.oo) and not expression.has(sp.Integral):
        raise DerivationError(f"{expression} is not a number")
    return expression


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


def _outermost(expression: Expr, kinds: tuple[type, ...]) -> list[Expr]:
    """The parts of these kinds that are not inside another one."""
    import sympy as sp

    walk, out = sp.preorder_traversal(expression), set()
    for part in walk:
        if isinstance(part, kinds):
            out.add(part)
            walk.skip()
    return sorted(out, key=str)


def _numerator(expression: Expr) -> tuple[Expr, dict[Expr, Expr]]:
    """The numerator over a common denominator, and the unknowns in it with what each one stands for.

    Unknowns are symbols, logarithms and functions left open; a derivative, a value at a point or an integral of a function
    that is left open is an unknown of its own.
    """
    import sympy as sp
    from sympy.core.function import AppliedUndef

    open_terms = {
        term: sp.Dummy(f"open{index}")
        for index, term in enumerate(_outermost(expression, (sp.Subs, sp.Derivative, sp.Integral)))
    }
    back = {dummy: term for term, dummy in open_terms.items()}
    numerator = sp.fraction(sp.together(_logs_apart(expression.xreplace(open_terms))))[0]
    logs = numerator.atoms(AppliedUndef)
    outside = numerator.subs({log: sp.Dummy() for log in logs}).free_symbols & numerator.free_symbols
    return numerator, {unknown: unknown.xreplace(back) for unknown in sorted(logs | outside, key=str)}


@lru_cache(maxsize=4096)
def _is_zero(expression: Expr) -> bool:
    import sympy as sp

    numerator, unknowns = _numerator(expression)
    if not unknowns or numerator == 0:
        return bool(numerator == 0)
    try:
        return bool(sp.polys.rings.ring(list(unknowns), sp.QQ)[0].from_expr(numerator) == 0)
    except ValueError:  # powers with a symbol above
        return bool(sp.simplify(numerator) == 0)


def _left_over(expression: Expr, given: Given, positive: Sequence[Expr]) -> Expr | None:
    """None where the expression is zero by the given sums; otherwise what is left of it.

    The sums in it are joined into one, ``sum_x [e]``; weights lambda with ``e = sum_i lambda_i f_i`` on the generic leaf
    are solved for, and then ``sum_x [e] = sum_i lambda_i v_i`` is the only rule about sums that is used. No weight may be
    infinite: what stands below is visibly not 0, or among ``positive``.
    """
    import sympy as sp

    names = language()
    sums = sorted(expression.atoms(names.Total), key=str)
    if not sums:
        return None if _is_zero(expression) else expression
    if any(term.has(names.Total) for term in _outermost(expression, (sp.Subs, sp.Derivative, sp.Integral))):
        raise DerivationError("a sum stands within a derivative or an integral that was not worked out")
    marks = [sp.Dummy(real=True) for _ in sums]
    marked = expression.xreplace(dict(zip(sums, marks, strict=True)))
    outside = marked.xreplace(dict.fromkeys(marks, sp.Integer(0)))
    summand = sp.Integer(0)
    for mark, total in zip(marks, sums, strict=True):
        factor = sp.expand(sp.diff(marked, mark))
        if factor.free_symbols & set(marks):
            raise DerivationError(f"{total} does not enter linearly")
        if _leafwise(factor):
            raise DerivationError(f"a sum over leaves is multiplied by {factor}, which belongs to one leaf")
        summand += factor * total.args[0]
    if outside.has(sp.nan, sp.zoo) or _leafwise(outside):
        raise DerivationError(f"{outside} belongs to one leaf and stands outside the sum")
    weights = [sp.Dummy(f"lambda{index}") for index in range(len(given))]
    rest = summand - sum((weight * f for weight, (f, _) in zip(weights, given, strict=True)), start=sp.Integer(0))
    numerator, unknowns = _numerator(rest)
    local = [unknown for unknown, meaning in unknowns.items() if _leafwise(meaning)]
    equations = sp.Poly(numerator, *local).coeffs() if local else [numerator]
    solution = next(iter(sp.linsolve(equations, weights)), None) if weights else ()
    if solution is None or (not weights and any(sp.expand(e) != 0 for e in equations)):
        return expression
    values = [sp.cancel(value.subs(dict.fromkeys(weights, 0))) for value in solution]
    for value in values:
        if any(not _is_nonzero(factor, positive) for factor, _ in sp.factor_list(sp.fraction(value)[1])[1]):
            raise DerivationError(f"a given sum is used with the weight {value}, which may be infinite")
    outside += sum((value * v for value, (_, v) in zip(values, given, strict=True)), start=sp.Integer(0))
    return None if _is_zero(outside) else outside


def _is_nonzero(factor: Expr, positive: Sequence[Expr]) -> bool:
    """Whether a factor is visibly not 0, or up to its sign (a factor of) an expression that is known to be > 0."""
    return bool(factor.is_nonzero) or any(_is_zero(factor - known) or _is_zero(factor + known) for known in positive)


def _expr(expression: Expr) -> Expr:
    import sympy as sp

    return sp.sympify(expression)


def _relation(short: Expr) -> Sign:
    """The sign that an abbreviation is declared with, as a relation to 0."""
    return ">" if short.is_positive else ">="


def _plain(expression: Expr) -> str:
    import sympy as sp

    return str(sp.sstr(expression)).replace("log(", "ln(")
