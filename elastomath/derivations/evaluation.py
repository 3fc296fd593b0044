"""A step of a derivation on a random tree, in numbers of high precision: the second check, which shares no algebra.

Numbers and masses are drawn by their signs, the given sums are met by scaling or by solving, and what the step assumes
selects among the draws. An abbreviation whose sign was derived and not assumed fails the step where a draw contradicts it.
"""

from __future__ import annotations

import random
from typing import Any

from .words import (
    DIGITS,
    Claim,
    DerivationError,
    Expr,
    _expr,
    _leafwise,
    _plain,
    _relation,
    _sign_of,
    _spelled,
    language,
)

CLOSE = 1e-20
"""Relative size of a difference that counts as 0 at so many digits."""
NEAR = (1e-6, 1e-18, 1e-30)
"""Values of the variable of a limit: the distance to the limit has to fall, and to a tenth of what it is worth."""


class _UndefinedError(Exception):
    """A draw at which an expression is not a real number, or a hypothesis does not hold."""


class Tree:
    """Numbers for the symbols of a step: one for a parameter, one for each leaf for a leaf symbol."""

    def __init__(self, step: Claim, leaves: int, rng: random.Random) -> None:
        import mpmath

        self.step, self.leaves, self.rng = step, leaves, rng
        self.context = mpmath.mp
        self.where = dict(step.where)
        self.numbers: dict[Expr, Any] = {}
        self.rows: dict[Expr, list[Any]] = {}
        self.functions: dict[Any, list[Any]] = {}
        self.spread = rng.choice((1, 1, 4, 20))
        self._memo: dict[tuple[Expr, int | None], Any] = {}

    def draw(self, symbol: Expr) -> Any:
        """A number of the sign of a symbol, of any size within the spread."""
        size = self.context.mpf(self.rng.randint(1, 97)) / self.rng.randint(1, 97)
        size = size if size < 1 else 1 + (size - 1) * self.spread / 20
        return size if symbol.is_nonnegative or self.rng.random() < 0.5 else -size

    def row(self, symbol: Expr) -> list[Any]:
        """The numbers of a leaf symbol."""
        if symbol not in self.rows:
            self.rows[symbol] = [self.draw(symbol) for _ in range(self.leaves)]
        return self.rows[symbol]

    def fix(self, symbol: Expr, value: Any) -> None:
        """Give a parameter its value."""
        if symbol.is_nonnegative and not (value > 0 or (value == 0 and not symbol.is_positive)):
            raise _UndefinedError
        self.numbers[symbol] = value
        self._memo.clear()

    def value(self, expression: Expr, leaf: int | None = None, scope: dict[Expr, Any] | None = None) -> Any:
        """The expression on a leaf (None: outside every sum, where leaf symbols are those of the first leaf)."""
        if scope is not None:
            return self._value(expression, leaf, scope)
        key = (expression, leaf)
        if key not in self._memo:
            self._memo[key] = self._value(expression, leaf, None)
        return self._memo[key]

    def _value(self, e: Expr, leaf: int | None, scope: dict[Expr, Any] | None) -> Any:
        import sympy as sp
        from sympy.core.function import AppliedUndef

        names, mp = language(), self.context
        if scope is not None and e in scope:
            return scope[e]
        if e in self.where:
            return self.value(self.where[e], leaf)
        if e.is_Symbol:
            if isinstance(e, names.OnLeaf):
                return self.row(e)[leaf or 0]
            if e not in self.numbers:
                self.numbers[e] = self.draw(e)
            return self.numbers[e]
        if e.is_Rational:
            return mp.mpf(int(e.p)) / int(e.q)
        if e.is_Add:
            return mp.fsum(self.value(part, leaf, scope) for part in e.args)
        if e.is_Mul:
            return mp.fprod(self.value(part, leaf, scope) for part in e.args)
        if e.is_Pow:
            base, power = self.value(e.base, leaf, scope), self.value(e.exp, leaf, scope)
            if (base == 0 and power < 0) or (base < 0 and not e.exp.is_Integer):
                raise _UndefinedError
            return base ** (int(e.exp) if e.exp.is_Integer else power)
        if isinstance(e, sp.log):
            argument = self.value(e.args[0], leaf, scope)
            if argument <= 0:
                raise _UndefinedError
            return mp.log(argument)
        if isinstance(e, sp.exp):
            return mp.exp(self.value(e.args[0], leaf, scope))
        if isinstance(e, names.Total):
            return mp.fsum(self.value(e.args[0], index, scope) for index in range(self.leaves))
        if e.func in names.functions:
            known = names.functions[e.func]
            inner = [self.value(part, leaf, scope) for part in e.args]
            return self.value(known.body, leaf, dict(zip(known.arguments, inner, strict=True)))
        if isinstance(e, AppliedUndef):
            return self.value(self._chosen(e, leaf), leaf, scope)
        return self._calculus(e, leaf, scope)

    def _chosen(self, function: Expr, leaf: int | None) -> Expr:
        """A function that is left open, as a polynomial of third degree with coefficients of its sign."""
        import sympy as sp

        key = (
            function.func.__name__,
            leaf if language().open.get((function.func.__name__, _sign_of(function))) else None,
        )
        if key not in self.functions:
            low = 1 if function.is_nonnegative else -9
            self.functions[key] = [sp.Rational(self.rng.randint(low, 9), self.rng.randint(1, 9)) for _ in range(4)]
        argument = function.args[0]
        return sum(c * argument**power for power, c in enumerate(self.functions[key]))

    def _calculus(self, e: Expr, leaf: int | None, scope: dict[Expr, Any] | None) -> Any:
        """A derivative, an integral or another function: worked out by sympy, then evaluated."""
        import sympy as sp
        from sympy.core.function import AppliedUndef

        if scope is None:
            e = _spelled(e, self.step.where)
        chosen = e
        if e.has(AppliedUndef):
            chosen = e.replace(
                lambda part: isinstance(part, AppliedUndef), lambda part: self._chosen(part, leaf)
            ).doit()
        if chosen.has(sp.Derivative, sp.Subs, sp.Integral, sp.expint):
            free = {s: sp.Float(str(self.value(s, leaf, scope)), DIGITS) for s in chosen.free_symbols}
            number = chosen.subs(free).evalf(DIGITS)
            if not number.is_real:
                raise _UndefinedError
            return self.context.mpf(str(number))
        return self.value(chosen, leaf, scope)

    def leafs(self, short: Expr) -> range:
        """The leaves on which an abbreviation is looked at."""
        return range(self.leaves if _leafwise(short) else 1)


def _meet_given(tree: Tree) -> None:
    """Scale masses and solve for named sums until every given sum holds."""
    import sympy as sp

    step, names = tree.step, language()
    bare = [(f, v) for f, v in step.given if isinstance(f, names.OnLeaf) and f not in tree.where]
    for f, v in bare:
        total, row = tree.value(v), tree.row(f)
        if f.is_nonnegative:
            if total <= 0:
                raise _UndefinedError
            tree.rows[f] = [mass * total / sum(row) for mass in row]
        else:
            tree.rows[f] = [*row[:-1], total - sum(row[:-1])]
        tree._memo.clear()
    solved: set[Expr] = {s for _, v in bare for s in v.free_symbols}
    for pair in step.given:
        if pair in bare:
            continue
        f, v = pair
        others = [part for other in step.given if other is not pair for part in other]
        free = [s for s in v.free_symbols if isinstance(s, names.Same) and s not in solved and s not in tree.where]
        free = [s for s in free if not sp.diff(v, s).has(s) and not f.has(s)]
        if not free:
            continue
        symbol = min(free, key=lambda s: (sum(part.has(s) for part in others), str(s)))
        total = tree.context.fsum(tree.value(f, leaf) for leaf in range(tree.leaves))
        slope, rest = tree.value(sp.diff(v, symbol)), tree.value(v.subs(symbol, 0))
        if slope == 0:
            raise _UndefinedError
        tree.fix(symbol, (total - rest) / slope)
        solved.add(symbol)
    for f, v in step.given:
        if not _close(tree.context.fsum(tree.value(f, leaf) for leaf in range(tree.leaves)), tree.value(v)):
            raise _UndefinedError


def _close(left: Any, right: Any) -> bool:
    return bool(abs(left - right) <= CLOSE * (1 + abs(left) + abs(right)))


def holds_on(step: Claim, leaves: int, rng: random.Random) -> bool:
    """Whether a random tree meets the hypotheses of a step; raises DerivationError where the step fails on it."""
    import mpmath

    with mpmath.workdps(2 * DIGITS if step.limit is not None else DIGITS):
        tree = Tree(step, leaves, rng)
        try:
            if step.limit is not None:
                return _tends(tree, step, step.limit)
            _meet_given(tree)
            _select(tree)
            sides = [tree.value(side) for side in (step.lhs, step.rhs)]
        except (_UndefinedError, ZeroDivisionError):
            return False
        try:
            _expect_derived(tree)
            witness = None if step.witness is None else tree.value(_expr(step.witness))
        except _UndefinedError as error:
            raise DerivationError(
                f"{step.statement}: its sides are numbers where its abbreviations or witness are not"
            ) from error
        except ZeroDivisionError:
            return False
        left, right = sides
        ahead = left - right if step.relation == ">=" else right - left
        if not (_close(left, right) or (step.relation != "=" and ahead >= 0)):
            raise DerivationError(
                f"{step.statement}: on {leaves} leaves the sides are {float(left)} and {float(right)}"
            )
        if witness is not None and not _close(witness, ahead):
            raise DerivationError(f"{step.statement}: the witness is {float(witness)}, not {float(ahead)}")
    return True


def _select(tree: Tree) -> None:
    """Turn a draw away that does not meet what the step assumes."""
    for relation in tree.step.carried:
        difference = _expr(relation.lhs) - _expr(relation.rhs)
        if relation.relation == "=":
            continue  # an equation on an open function: the abbreviation has that value
        for leaf in range(tree.leaves if _leafwise(difference) else 1):
            for part in range(1 if relation.every is None else 9):
                scope = {relation.every: tree.value(relation.every) * part / 8} if part else None
                value = tree.value(difference, leaf, scope)
                if not (value > 0 or (relation.relation == ">=" and value == 0)):
                    raise _UndefinedError


def _expect_derived(tree: Tree) -> None:
    """Raise DerivationError where an abbreviation does not have the sign that was derived for it."""
    for short, long in tree.step.where:
        for leaf in tree.leafs(short):
            value = tree.value(long, leaf)
            if not short.is_nonnegative:
                continue
            if value < -CLOSE or (short.is_positive and value <= 0):
                raise DerivationError(
                    f"{tree.step.statement}: {short} is {float(value)}, and declared {_relation(short)} 0: {_plain(long)}"
                )


def _tends(tree: Tree, step: Claim, variable: Expr) -> bool:
    """Whether the left side comes near the right side as the variable of the limit falls."""
    gaps = []
    for near in NEAR:
        tree.fix(variable, tree.context.mpf(near))
        _select(tree)
        gaps.append(abs(tree.value(step.lhs) - tree.value(step.rhs)))
    if not (gaps[2] <= gaps[1] <= gaps[0] or gaps[2] < CLOSE) or gaps[2] > 0.1 * (1 + abs(tree.value(step.rhs))):
        raise DerivationError(f"{step.statement}: the distance to the limit is {[float(gap) for gap in gaps]}")
    return True
