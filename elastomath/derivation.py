"""R1-R5 derived from the definitions: a derivation is a list of steps, and a step that does not hold cannot be built.

The proofs work on one **generic leaf** of the tree, whose masses under the datasets are symbols, so they hold for every
number of leaves. A sum over leaves is written ``sum_x [...]`` and is known only through what is *given* about it, such
as ``sum_x P(x) = 1``: two sums are equal when their summands differ by a combination of given sums whose total is right.
Every such step is checked a second time on an explicit tree of three leaves with symbolic masses.

An inequality carries its reason: a witness that equals the difference of the two sides and is visibly >= 0 (a square, a
product of non-negative numbers, phi(r) = r - 1 - ln r), or the fact that the difference starts at 0 and rises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

from .errors import InputError

Expr = Any
"""A sympy expression (sympy is imported where it is used, and has no types of its own)."""
Given = tuple[tuple[Expr, Expr], ...]
"""Known sums over leaves: pairs (summand f, value v) that say ``sum_x f = v``."""
Relation = Literal["=", ">=", "<="]


class DerivationError(ArithmeticError):
    """A step of a derivation that does not hold: the message names the step and what is left over."""


@cache
def _language() -> SimpleNamespace:
    """The symbols and the three functions that the derivations are written in (made once, since sympy is slow to load)."""
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

    class Gap(sp.Function):  # type: ignore[misc]
        """``phi(r) = r - 1 - ln r``, which is >= 0 for r > 0 (`_gap_lemma`)."""

        def _eval_is_nonnegative(self) -> bool | None:
            return True if self.args[0].is_positive else None

        def _sympystr(self, printer: Any) -> str:
            return f"phi({printer._print(self.args[0])})"

        def _latex(self, printer: Any, exp: str | None = None) -> str:
            return rf"\varphi\left( {printer._print(self.args[0])} \right)" + (f"^{{{exp}}}" if exp else "")

    class Psi(sp.Function):  # type: ignore[misc]
        """``psi(y)`` of R5: (1 + gamma y/w) ln((1+y)/(1+w)) - (y - w) ln(1+w)/w, >= 0 for y >= 0 (`_psi_lemma`)."""

        def _eval_is_nonnegative(self) -> bool | None:
            return True if self.args[0].is_nonnegative and self.args[1].is_positive else None

        def _sympystr(self, printer: Any) -> str:
            return f"psi({printer._print(self.args[0])})"

        def _latex(self, printer: Any, exp: str | None = None) -> str:
            return rf"\psi\left( {printer._print(self.args[0])} \right)" + (f"^{{{exp}}}" if exp else "")

    positive = {name: sp.Symbol(name, positive=True) for name in ("k", "l", "L", "B", "w", "r", "delta")}
    masses = {name: sp.Symbol(name, nonnegative=True) for name in ("p", "a", "t", "b", "P")}
    names = SimpleNamespace(**positive, **masses, Total=Total, Gap=Gap, Psi=Psi)
    names.y = sp.Symbol("y", nonnegative=True)  # L t/b on a leaf
    names.leaf = frozenset({*masses.values(), names.y, sp.Symbol("rho", positive=True)})
    names.rho = sp.Symbol("rho", positive=True)  # the leaf mass of any other compressor
    for name in ("O", "C", "A", "T"):
        setattr(names, name, sp.Symbol(name, nonnegative=True))
    # leaf masses and total volume as functions of l, and the same at the two ends of a path
    names.q, names.N = sp.Function("q", positive=True)(names.l), sp.Function("N", positive=True)(names.l)
    names.q_0, names.q_L, names.N_L = (sp.Symbol(name, positive=True) for name in ("q_0", "q_L", "N_L"))
    return names


def joint_mass(base: Expr, base_volume: Expr, perturb: Expr, perturbation: Expr) -> tuple[Expr, Expr]:
    """The definition everything starts from: ``q = (b + l t)/(B + l)``, ``N = B + l`` on one leaf. Returns (q, N).

    ``b = sum_{i != t} w_i P_i`` pools every dataset but the perturbation, ``B`` is their volume: nothing below asks how
    many they are.

    >>> import sympy as sp
    >>> joint_mass(*sp.symbols("b B t l"))
    ((b + l*t)/(B + l), B + l)
    """
    total = base_volume + perturbation
    return (base + perturbation * perturb) / total, total


def _gamma(w: Expr) -> Expr:
    """gamma(w) = (1 + w) ln(1 + w)/w - 1, so that c(L) = B gamma(L/B)."""
    import sympy as sp

    return (1 + w) * sp.log(1 + w) / w - 1


def _psi(y: Expr, w: Expr) -> Expr:
    import sympy as sp

    return (1 + _gamma(w) * y / w) * sp.log((1 + y) / (1 + w)) - (y - w) * sp.log(1 + w) / w


# --- deciding that an expression is zero -------------------------------------------------------------------------


def _spelled(expression: Expr, where: Sequence[tuple[Expr, Expr]]) -> Expr:
    """The expression with abbreviations replaced, phi and psi written out, and derivatives and limits taken."""
    import sympy as sp

    names = _language()
    expression = sp.sympify(expression)
    for short, long in where:
        expression = expression.subs(short, long)
    expression = expression.replace(names.Gap, lambda r: r - 1 - sp.log(r)).replace(names.Psi, _psi)
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
    """The numerator over a common denominator, and the unknowns in it: symbols and logarithms."""
    import sympy as sp
    from sympy.core.function import AppliedUndef

    numerator = sp.fraction(sp.together(_logs_apart(expression)))[0]
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

    names = _language()
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
    elastomath.derivation.DerivationError: a wrong square: left over: -x
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

        names = _language()
        witness = self.proof.expression if isinstance(self.proof, Witness) else sp.Integer(0)
        expression = _spelled(self.difference - witness, self.where)
        if not expression.has(names.Total):
            return False
        columns: list[dict[Expr, Expr]] = [{} for _ in range(leaves)]
        for symbol in sorted(names.leaf, key=str):
            for leaf, column in enumerate(columns):
                column[symbol] = sp.Symbol(f"{symbol}{leaf + 1}", positive=True)

        def over_leaves(summand: Expr) -> Expr:
            summand = summand if summand.has(sp.log) else sp.factor(summand)
            return sp.Add(*(summand.subs(column, simultaneous=True) for column in columns))

        values: dict[Expr, Expr] = {}
        known = [(_spelled(f, self.where), _spelled(v, self.where)) for f, v in self.given]
        for f, v in known:
            if (f in names.leaf and v.is_number) or f == names.b:
                columns[-1][f] = v - sp.Add(*(column[f] for column in columns[:-1]))
        for f, v in known:
            if f not in names.leaf or not (v.is_number or f == names.b):
                (symbol,) = v.free_symbols - {names.k, names.l, names.B, names.L, names.w}
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


# --- the derivations ---------------------------------------------------------------------------------------------

NORMALISED = "normalisation of the masses"
MIXTURE = "definition of the mixture"
CODE = "definition of the cross entropy"


def _at(names: SimpleNamespace) -> tuple[tuple[Expr, Expr], ...]:
    """q(l) and N(l) on the generic leaf, all datasets but the perturbation pooled."""
    q, total = joint_mass(names.b, names.B, names.t, names.l)
    return ((names.q, q), (names.N, total))


def _at_three(names: SimpleNamespace) -> tuple[tuple[Expr, Expr], ...]:
    """q(l) and N(l) for pre-training (k), alignment (1) and perturbation (l)."""
    q, total = joint_mass(names.k * names.p + names.a, names.k + 1, names.t, names.l)
    return ((names.q, q), (names.N, total))


def _path(names: SimpleNamespace) -> tuple[tuple[Expr, Expr], ...]:
    """The two ends of a path: q_0 = b/B, and q_L, N_L after L more of the perturbation."""
    q, total = joint_mass(names.b, names.B, names.t, names.L)
    return ((names.q_L, q), (names.N_L, total), (names.q_0, names.b / names.B))


def _pooled(names: SimpleNamespace) -> Given:
    return ((names.b, names.B), (names.t, 1))


def _three(names: SimpleNamespace) -> Given:
    return ((names.p, 1), (names.a, 1), (names.t, 1))


def _gap_lemma() -> list[Step]:
    """phi(r) = r - 1 - ln r >= 0: it is 0 at r = 1 and grows to both sides."""
    n = _language()
    y = n.y
    return [
        Step(
            "phi(r) >= 0 for r >= 1, with r = 1 + y",
            n.Gap(1 + y),
            0,
            ">=",
            ("definition of phi",),
            proof=Rises(y, y / (1 + y)),
        ),
        Step(
            "phi(r) >= 0 for 0 < r <= 1, with r = 1/(1 + y)",
            n.Gap(1 / (1 + y)),
            0,
            ">=",
            ("definition of phi",),
            proof=Rises(y, y / (1 + y) ** 2),
        ),
    ]


def _derive_response() -> Derivation:
    import sympy as sp

    n = _language()
    at, three = _at(n), _at_three(n)
    code = sp.Derivative(-n.P * sp.log(n.q), n.l)
    steps = [
        Step("q is a mass distribution", n.Total(n.q), 1, uses=(MIXTURE, NORMALISED), given=_pooled(n), where=at),
        Step(
            "On one leaf, the derivative of the summand of H(P, q)",
            code,
            n.P / n.N - n.P * n.t / (n.N * n.q),
            uses=(MIXTURE, CODE),
            where=at,
        ),
        Step(
            "Summed over leaves, with the overlap O = sum_x P P_t / q: the response of any dataset P",
            n.Total(code),
            (1 - n.O) / n.N,
            uses=("step 2", NORMALISED, "definition of the overlap"),
            given=((n.P, 1), (n.P * n.t / n.q, n.O)),
            where=at,
        ),
    ]
    for mass, overlap, word in ((n.p, n.C, "pre-training"), (n.a, n.A, "alignment"), (n.t, n.T, "perturbation")):
        steps.append(
            Step(
                f"The response of the {word} data, volumes (k, 1, l)",
                n.Total(sp.Derivative(-mass * sp.log(n.q), n.l)),
                (1 - overlap) / n.N,
                uses=("step 3",),
                given=((mass, 1), (mass * n.t / n.q, overlap)),
                where=three,
            )
        )
    steps += [
        Step(
            "T - 1 is the chi-square divergence of P_t from q, so dH_t <= 0",
            n.Total(n.t**2 / n.q),
            1,
            ">=",
            uses=(MIXTURE, NORMALISED),
            given=_pooled(n),
            where=at,
            proof=Witness(n.Total((n.t - n.q) ** 2 / n.q)),
        ),
        Step(
            "The overlaps, weighted by volume, add up to N",
            n.k * n.C + n.A + n.l * n.T,
            n.N,
            uses=(MIXTURE, NORMALISED),
            where=(
                (n.C, n.Total(n.p * n.t / n.q)),
                (n.A, n.Total(n.a * n.t / n.q)),
                (n.T, n.Total(n.t**2 / n.q)),
                *three,
            ),
            given=_three(n),
        ),
        Step(
            "So A <= N (and kC <= N, lT <= N alike)",
            n.Total(n.a * n.t / n.q),
            n.N,
            "<=",
            uses=("step 8",),
            where=three,
            given=_three(n),
            proof=Witness(n.Total((n.k * n.p + n.l * n.t) * n.t / n.q)),
        ),
    ]
    return Derivation(
        "R1",
        "Response",
        (
            "leaf masses P >= 0 with sum 1 and volumes > 0, any number of datasets (b = sum of w P and B = sum of w over "
            "all but the perturbation)",
            "sums over the support of q, which holds every leaf of positive mass (l > 0, or P_t covered by the others)",
        ),
        tuple(steps),
        "dH_i/dl = (1 - sum_x P_i P_t / q) / N for every dataset: dH_p = (1-C)/N, dH_a = (1-A)/N, dH_t = (1-T)/N <= 0, "
        "with A <= N, C <= N/k, T <= N/l.",
    )


def _derive_balance() -> Derivation:
    import sympy as sp

    n = _language()
    at = _at(n)
    tau = sp.Symbol("tau", nonnegative=True)
    steps = [
        Step(
            "On one leaf, the responses weighted by volume (b collects the others, so their number does not matter)",
            n.b * (1 / n.N - n.t / (n.N * n.q)) + n.l * n.t * (1 / n.N - n.t / (n.N * n.q)),
            n.q - n.t,
            uses=("R1", MIXTURE),
            where=at,
        ),
        Step(
            "Summed over leaves: the balance law, for any distributions, volumes and number of datasets",
            n.Total((n.b + n.l * n.t) * (1 / n.N - n.t / (n.N * n.q))),
            0,
            uses=("step 1", NORMALISED),
            given=_pooled(n),
            where=at,
        ),
        Step(
            "The same in the overlaps of three datasets",
            (n.k * (1 - n.C) + (1 - n.A) + n.l * (1 - n.T)) / n.N,
            0,
            uses=("R1", NORMALISED),
            where=(
                (n.C, n.Total(n.p * n.t / n.q)),
                (n.A, n.Total(n.a * n.t / n.q)),
                (n.T, n.Total(n.t**2 / n.q)),
                *_at_three(n),
            ),
            given=_three(n),
        ),
        *_gap_lemma(),
        Step(
            "q minimises sum_i w_i H(P_i, .): any other masses rho cost N KL(q || rho) more",
            n.Total(-(n.b + n.l * n.t) * sp.log(n.rho)) - n.Total(-(n.b + n.l * n.t) * sp.log(n.q)),
            n.N * n.Total(n.q * sp.log(n.q / n.rho)),
            uses=(MIXTURE, CODE),
            where=at,
        ),
        Step(
            "and that is >= 0 (Gibbs), so the balance law is the envelope theorem at this minimum",
            n.N * n.Total(n.q * sp.log(n.q / n.rho)),
            0,
            ">=",
            uses=("phi >= 0 (steps 4, 5)", NORMALISED),
            given=(*_pooled(n), (n.rho, 1)),
            where=at,
            proof=Witness(n.N * n.Total(n.q * n.Gap(n.rho / n.q))),
        ),
        Step(
            "Without coverage, at l -> 0, with mass tau of P_t outside the support of q_0: the others' balance is tau",
            n.Total(n.b * (1 / n.B - n.t / n.b)),
            tau,
            uses=("R1 on the leaves of q_0", NORMALISED),
            given=((n.b, n.B), (n.t, 1 - tau)),
        ),
    ]
    return Derivation(
        "R2",
        "Balance law",
        ("the standing hypotheses of R1", "no assumption on the distributions (no Pareto law, no union)"),
        tuple(steps),
        "sum_i w_i dH_i/dl = 0, that is k dH_p + dH_a + l dH_t = 0; without coverage k dH_p + dH_a -> tau as l -> 0.",
    )


def _derive_theta() -> Derivation:
    import sympy as sp

    n = _language()
    total = n.k + 1 + n.l
    epsilon = sp.Symbol("epsilon", real=True)
    alpha, chi = sp.Symbol("alpha", positive=True), sp.Symbol("chi", nonnegative=True)
    x, z, tau = sp.Symbol("x", nonnegative=True), sp.Symbol("z", positive=True), sp.Symbol("tau", nonnegative=True)
    response_a, response_t = (1 - n.A) / total, (1 - n.T) / total
    eps = n.l * (n.T - 1) / (1 - n.A)
    steps = [
        Step(
            "k dH_p from the balance law, with eps = l (T-1)/(1-A)",
            -response_a - n.l * response_t,
            -(1 - epsilon) * response_a,
            uses=("R1", "R2"),
            where=((epsilon, eps),),
        ),
        Step(
            "The same from R1 alone, where kC = N - A - lT",
            n.k * (1 - n.C) / total,
            -(1 - epsilon) * response_a,
            uses=("R1", "R1 step 8"),
            where=((n.C, (total - n.A - n.l * n.T) / n.k), (epsilon, eps)),
        ),
        Step(
            "So the constant, for A != 1 and eps != 1",
            -response_a / (-response_a - n.l * response_t),
            1 / (1 - epsilon),
            uses=("step 1",),
            where=((epsilon, eps),),
        ),
        Step(
            "Where A = 1 - alpha < 1: eps >= 0 (T = 1 + chi, chi the chi-square divergence of P_t from q)",
            n.l * (n.T - 1) / (1 - n.A),
            0,
            ">=",
            uses=("R1 step 7",),
            where=((n.T, 1 + chi), (n.A, 1 - alpha)),
            proof=Witness(n.l * chi / alpha),
        ),
        Step(
            "so with eps = x/(x+z) in [0, 1) the constant is at least 1",
            1 / (1 - epsilon),
            1,
            ">=",
            uses=("step 4",),
            where=((epsilon, x / (x + z)),),
            proof=Witness(x / z),
        ),
        Step(
            "Two-sided Theta, above: eps <= 1 - delta (eps = 1 - delta - x) keeps the constant at or below 1/delta",
            1 / (1 - epsilon),
            1 / n.delta,
            "<=",
            where=((epsilon, 1 - n.delta - x),),
            proof=Witness(x / (n.delta * (n.delta + x))),
        ),
        Step(
            "and below: eps >= -M (1 - eps = z > 0, M = z - 1 + x) keeps it at or above 1/(1+M)",
            1 / (1 - epsilon),
            1 / (1 + sp.Symbol("M")),
            ">=",
            where=((epsilon, 1 - z), (sp.Symbol("M"), z - 1 + x)),
            proof=Witness(x / (z * (z + x))),
        ),
        Step(
            "Without coverage a leaf that only P_t has adds N P_t to lT",
            n.l * n.t**2 / n.q,
            n.N * n.t,
            uses=(MIXTURE,),
            where=(*_at(n), (n.b, sp.Integer(0))),
        ),
        Step(
            "so eps does not vanish with l: eps -> N_0 tau/(1 - A)",
            (n.l * (n.T - 1) + (n.B + n.l) * tau) / (1 - n.A),
            n.B * tau / (1 - n.A),
            uses=("step 8", "A and the covered part of T converge"),
            proof=Limit(n.l),
        ),
    ]
    return Derivation(
        "R3",
        "Theta, with its constant",
        ("the standing hypotheses of R1", "A != 1 and eps != 1"),
        tuple(steps),
        "-(dH_a/dl)/(k dH_p/dl) = 1/(1 - eps), eps = l (T-1)/(1-A); -M <= eps <= 1 - delta puts it in [1/(1+M), 1/delta]; "
        "where dH_p < 0 < dH_a it is >= 1.",
    )


def _derive_signs() -> Derivation:
    import sympy as sp

    n = _language()
    at, total = _at(n), n.k + 1 + n.l
    alpha, chi = sp.Symbol("alpha", nonnegative=True), sp.Symbol("chi", nonnegative=True)
    u, epsilon = sp.Symbol("u", positive=True), sp.Symbol("epsilon", real=True)
    ratio = sp.Function("r", real=True)(n.l)
    shared = sp.Function("q_u", positive=True)(u)
    by_share = ((shared, (1 - u) * n.q_0 + u * n.t),)
    second = sp.Derivative(-n.P * sp.log(shared), (u, 2))
    steps = [
        Step(
            "dH_a > 0 exactly where A < 1",
            n.N * n.Total(sp.Derivative(-n.P * sp.log(n.q), n.l)),
            1 - n.A,
            uses=("R1 for P = P_a", "N > 0"),
            given=((n.P, 1), (n.P * n.t / n.q, n.A)),
            where=at,
        ),
        Step(
            "and then k dH_p = -(1 - eps) dH_a is < 0 exactly where eps < 1",
            n.k * (1 - n.C) / total,
            -(1 - epsilon) * (1 - n.A) / total,
            uses=("R3",),
            where=((n.C, (total - n.A - n.l * n.T) / n.k), (epsilon, n.l * (n.T - 1) / (1 - n.A))),
        ),
        Step(
            "A = 1 + alpha >= 1 forces dH_p >= 0 (T = 1 + chi)",
            n.k * (1 - n.C) / total,
            0,
            ">=",
            uses=("R1 steps 7, 8",),
            where=((n.C, (total - n.A - n.l * n.T) / n.k), (n.A, 1 + alpha), (n.T, 1 + chi)),
            proof=Witness((alpha + n.l * chi) / total),
        ),
        Step(
            "In the share u = l/N the mixture moves on a straight line from q_0 to P_t",
            n.q,
            (1 - u) * n.q_0 + u * n.t,
            uses=(MIXTURE,),
            where=(*at, (u, n.l / (n.B + n.l)), (n.q_0, n.b / n.B)),
        ),
        Step(
            "so each H_i is convex in u, leaf by leaf",
            second,
            0,
            ">=",
            uses=("step 4", CODE),
            where=by_share,
            proof=Witness(n.P * (n.t - n.q_0) ** 2 / shared**2),
        ),
        Step(
            "and N^2 dH_i/dl = N_0 dH_i/du: the sign in l is the sign of a derivative that never falls",
            n.N**2 * sp.Derivative(-n.P * sp.log(n.q), n.l),
            n.B * sp.Subs(sp.Derivative(-n.P * sp.log((1 - u) * n.b / n.B + u * n.t), u), u, n.l / (n.B + n.l)),
            uses=("steps 4, 5", "chain rule"),
            where=at,
        ),
        Step(
            "The same without the change of variable, r = P_t/q: d/dl of N (1 - O) is at least 0",
            n.Total(sp.Derivative(n.N * n.P - n.N * n.P * n.t / n.q, n.l)),
            0,
            ">=",
            uses=("R1", NORMALISED, "Jensen"),
            given=((n.P, 1),),
            where=((ratio, n.t / n.q), *at),
            proof=Witness(n.Total(n.P * (ratio - 1) ** 2)),
        ),
    ]
    return Derivation(
        "R4",
        "Signs",
        ("the standing hypotheses of R1",),
        tuple(steps),
        "dH_a > 0 iff A < 1; then dH_p < 0 iff eps < 1; A >= 1 forces dH_p >= 0. N^2 dH_i/dl never falls in l, so each "
        "derivative changes sign at most once, from - to +, and A(0) < 1 gives dH_a > 0 for all l.",
    )


def _psi_lemma() -> list[Step]:
    """psi(y) >= 0 for y >= 0, and what it needs about gamma."""
    import sympy as sp

    n = _language()
    y, w = n.y, n.w
    gamma, excess = sp.Symbol("gamma", nonnegative=True), sp.Symbol("D", nonnegative=True)
    return [
        Step(
            "gamma(w) = (1+w) ln(1+w)/w - 1 is >= 0",
            (1 + w) * sp.log(1 + w),
            w,
            ">=",
            proof=Rises(w, sp.log(1 + w)),
        ),
        Step(
            "A lower bound on the logarithm",
            sp.log(1 + w),
            2 * w / (2 + w),
            ">=",
            proof=Rises(w, w**2 / ((1 + w) * (2 + w) ** 2)),
        ),
        Step(
            "psi(y) >= 0 for y >= 0; it is 0 at y = 0 (leaves that P_t misses) and at y = w (leaves that do not move)",
            n.Psi(y, w),
            0,
            ">=",
            uses=("gamma >= 0", "D = ln(1+w) - 2w/(2+w) >= 0"),
            where=((gamma, _gamma(w)), (excess, sp.log(1 + w) - 2 * w / (2 + w))),
            proof=ConcaveThenConvex(
                y,
                w,
                bend=gamma * y / w + 2 * gamma / w - 1,
                positive=(1 + y) ** 2,
                bend_slope=gamma / w,
                bend_at_touch=(w + 2) * (1 + w) / w**2 * excess,
            ),
        ),
    ]


def _derive_finite() -> Derivation:
    import sympy as sp

    n = _language()
    path, pooled = _path(n), _pooled(n)
    start, chi = sp.Symbol("l_0", nonnegative=True), sp.Symbol("chi", nonnegative=True)
    residual = n.Total(-n.b * sp.log(n.q_L)) - n.Total(-n.b * sp.log(n.q_0))
    fall = n.Total(-n.t * sp.log(n.q_0)) - n.Total(-n.t * sp.log(n.q_L))
    loss = n.Total(n.b * sp.log(n.q_0 / n.q_L))
    in_share = (*path, (n.L, n.w * n.B))
    moved = 1 + n.delta * n.w / ((1 - n.delta) * (1 + n.w))  # q_L/q_0 on the leaves of P_t, in the extremal family
    along = sp.log(n.b / n.B) - sp.log((n.b + n.L * n.t) / (n.B + n.L))
    ratio = sp.Function("r", nonnegative=True)(n.l)
    steps = [
        Step(
            "The residual is exactly N_0 KL(q_0 || q_L)",
            residual,
            n.B * n.Total(n.q_0 * sp.log(n.q_0 / n.q_L)),
            uses=(MIXTURE, CODE),
            where=path,
        ),
        *_gap_lemma(),
        Step(
            "so it is >= 0",
            residual,
            0,
            ">=",
            uses=("step 1", "phi >= 0 (steps 2, 3)", NORMALISED),
            given=pooled,
            where=path,
            proof=Witness(n.B * n.Total(n.q_0 * n.Gap(n.q_L / n.q_0))),
        ),
        Step(
            "L (H_t(0) - H_t(L)) exceeds the residual by exactly N_L KL(q_L || q_0)",
            n.L * fall - residual,
            n.N_L * n.Total(n.q_L * sp.log(n.q_L / n.q_0)),
            uses=(MIXTURE, CODE),
            where=path,
        ),
        Step(
            "which is >= 0: the upper bound of any model class",
            n.L * fall - residual,
            0,
            ">=",
            uses=("step 5", "phi >= 0 (steps 2, 3)", NORMALISED),
            given=pooled,
            where=path,
            proof=Witness(n.N_L * n.Total(n.q_L * n.Gap(n.q_0 / n.q_L))),
        ),
        Step(
            "From any start l_0, pool l_0 of P_t into b: the others' residual is l_0 (H_t(l_0) - H_t(l_1)) more",
            n.Total((n.b - start * n.t) * sp.log(n.q_0 / n.q_L)),
            start * fall + residual,
            uses=("steps 1-6 with b, B at l_0 and L = l_1 - l_0",),
            where=path,
        ),
        Step(
            "Small L, first order: the residual has slope 0 at L = 0",
            n.Total(sp.Subs(sp.Derivative(n.b * along, n.L), n.L, 0)),
            0,
            uses=("step 1", NORMALISED),
            given=pooled,
        ),
        Step(
            "Small L, second order: residual = L^2 (T_0 - 1)/(2 N_0) + O(L^3)",
            n.Total(sp.Subs(sp.Derivative(n.b * along, (n.L, 2)), n.L, 0)),
            (n.T - 1) / n.B,
            uses=("step 1", "T_0 = sum_x P_t^2 / q_0"),
            given=(*pooled, (n.t**2 * n.B / n.b, n.T)),
        ),
        Step(
            "H_t is convex in l (T = 1 + chi, r = P_t/q): N^2 d^2H_t/dl^2 = sum_x P_t r^2 - 1 >= 0",
            n.N**2 * n.Total(sp.Derivative(-n.t * sp.log(n.q), (n.l, 2))),
            0,
            ">=",
            uses=("R1 step 7", NORMALISED),
            given=((n.t, 1), (n.t**2 / n.q, 1 + chi)),
            where=((ratio, n.t / n.q), *_at(n)),
            proof=Witness(n.Total(n.t * (ratio - 1 - chi) ** 2) + chi * (2 + chi)),
        ),
        *_psi_lemma(),
        Step(
            "For mixtures, with w = L/N_0 and c = N_0 gamma(w): c (H_t(0) - H_t(L)) - residual is a sum of psi",
            n.B * _gamma(n.w) * fall - loss,
            0,
            ">=",
            uses=("step 1", "psi >= 0 (step 13)", NORMALISED),
            given=pooled,
            where=((n.y, n.L * n.t / n.b), *in_share),
            proof=Witness(n.Total(n.b * n.Psi(n.y, n.w))),
        ),
        Step(
            "c is at most L/2, so L/2 will do in place of L (w c/L = gamma, multiplied out)",
            n.w**2 / 2 + n.w,
            (1 + n.w) * sp.log(1 + n.w),
            ">=",
            uses=("phi >= 0",),
            proof=Rises(n.w, n.Gap(1 + n.w)),
        ),
        Step("1/2 is sharp as L -> 0", _gamma(n.w) / n.w, sp.Rational(1, 2), proof=Limit(n.w)),
        Step(
            "c is sharp at every L: P_t = q_0 given an event of probability 1 - delta, delta -> 0",
            n.B * (-(1 - n.delta) * sp.log(moved) + n.delta * sp.log(1 + n.w)) / sp.log(moved),
            n.B * _gamma(n.w),
            uses=("step 1 on the leaves of the event and the rest",),
            proof=Limit(n.delta),
        ),
    ]
    return Derivation(
        "R5",
        "Finite law",
        (
            "leaf masses with sum 1, volumes > 0, P_t covered by the others (else H_t(0) is infinite and the bound empty)",
            "b = sum of w P and B = N_0 = sum of w over all but the perturbation; L > 0",
        ),
        tuple(steps),
        "0 <= k DeltaH_p + DeltaH_a = (k+1) KL(q_0 || q_L) = L (H_t(0) - H_t(L)) - N_L KL(q_L || q_0) "
        "<= c (H_t(0) - H_t(L)) with c = N_0 [(N_L/L) ln(N_L/N_0) - 1] <= L/2; c is the best constant at every L.",
    )


_BUILDERS: dict[str, Callable[[], Derivation]] = {
    "R1": _derive_response,
    "R2": _derive_balance,
    "R3": _derive_theta,
    "R4": _derive_signs,
    "R5": _derive_finite,
}

DERIVED: tuple[str, ...] = tuple(_BUILDERS)
"""The results that have a derivation."""


@cache
def derive(id: str) -> Derivation:
    """The derivation of a result (R1 ... R5), every step checked while it is built; built once and kept.

    Raises InputError for an id without a derivation, DerivationError where a step does not hold.

    >>> derive("R2").conclusion.split(",")[0]
    'sum_i w_i dH_i/dl = 0'
    """
    if id not in _BUILDERS:
        raise InputError(f"no derivation of {id!r}", where="derive", mend=f"choose one of {', '.join(DERIVED)}")
    return _BUILDERS[id]()
