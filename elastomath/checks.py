"""The gates that arguments go through: one for arrays of numbers, one for single numbers, one each for what else travels.

A gate returns its argument in the one type that the code works with, or raises an InputError that names the argument, says
what it is and what it has to be. No gate reads text, dates, masked or complex entries as numbers, and none lets NaN pass
unless it was asked to. Leaf masses have `masses.as_masses`, volumes `mixture.as_volumes`; both are built on these.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from functools import update_wrapper
from inspect import signature
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Array
from .errors import InputError

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
Gate = Callable[[Any, str, str], Any]
"""(value, name of the argument, where) -> the value in the type that the code works with, or an InputError."""


def as_floats(values: Any, name: str, where: str) -> Array:
    """float64 of whatever holds real numbers, of any shape; booleans count as 0 and 1, fractions and decimals are rounded.

    Nothing is asked of the numbers: NaN and infinities pass. Refuses text, dates, masked and complex entries, None, objects.

    >>> as_floats(["1", "2"], "rates", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: rates are not numbers (demo): rates have to be numbers
    """
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    try:
        if isinstance(values, str | bytes | bytearray | memoryview):
            raise TypeError("text")
        given = np.asanyarray(values)
        # float64 would parse text, count dates, and take None for NaN
        if given.dtype.kind not in "biuf" and not (given.dtype == object and all(map(_is_real, given.flat))):
            raise TypeError("text, dates, complex numbers or objects")
        masked = np.ma.is_masked(given)
        with np.errstate(over="ignore"):  # a long double beyond float64 is inf
            array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        single = np.isscalar(values) or values is None
        rule = f"{name} has to be a number" if single else f"{name} have to be numbers"
        raise InputError(f"{name} {'is no number' if single else 'are not numbers'}", where=where, mend=rule) from error
    if masked:
        raise InputError(f"{name} are masked", where=where, mend="leave masked entries out, or fill them")
    return array


def reals(
    values: ArrayLike,
    name: str,
    where: str,
    *,
    shape: Sequence[int | None] | None = None,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    finite: bool = True,
) -> Array:
    """An array of float64: real numbers within bounds, ``above < x < below`` and ``least <= x <= most``, finite unless not asked for.

    ``shape``: the sizes of the axes, None for any size; without it any shape will do, empty ones too. NaN passes only
    where neither ``finite`` nor a bound is asked for. An array of float64 is returned as it is, not copied.

    >>> reals([1, 2.5], "rates", "demo", shape=(None,), least=0)
    array([1. , 2.5])
    >>> reals([1.0, -2.0], "rates", "demo", least=0)
    Traceback (most recent call last):
    elastomath.errors.InputError: entry 1 of rates is -2 (demo): rates have to be finite and >= 0
    """
    array = as_floats(values, name, where)
    if shape is not None and not _fits(array.shape, shape):
        raise InputError(
            f"{name} have shape {array.shape}", where=where, mend=f"{name} need the shape {_shape_text(shape)}"
        )
    if array.size == 0:
        return array
    low, high = float(array.min()), float(array.max())  # NaN if any is
    bounded = finite or max(above, least) > -math.inf or min(below, most) < math.inf
    if not bounded:
        return array
    if (
        not (low >= least and high <= most)
        or (above > -math.inf and not low > above)
        or (below < math.inf and not high < below)
        or (finite and not (low > -math.inf and high < math.inf))
    ):
        wrong = ~((array >= least) & (array <= most))
        wrong |= ~(array > above) if above > -math.inf else False
        wrong |= ~(array < below) if below < math.inf else False
        wrong |= ~np.isfinite(array) if finite else False
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        at = f"entry {index[0] if len(index) == 1 else index} of {name}" if index else name
        rule = _rule(above, least, below, most, finite)
        raise InputError(
            f"{at} is {array[index]:g}", where=where, mend=f"{name} {'have' if index else 'has'} to be {rule}"
        )
    return array


def real(
    value: Any,
    name: str,
    where: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    finite: bool = True,
) -> float:
    """A single real number as a float, within the bounds of `reals`; NaN never passes.

    >>> real(3, "k", "demo", above=0)
    3.0
    >>> real(float("nan"), "k", "demo", above=0)
    Traceback (most recent call last):
    elastomath.errors.InputError: k is nan (demo): k has to be finite and > 0
    """
    if type(value) is float:
        number = value
    else:
        array = as_floats(value, name, where)
        if array.ndim:
            raise InputError(f"{name} has shape {array.shape}", where=where, mend=f"{name} has to be a single number")
        number = float(array)
    good = least <= number <= most and (above == -math.inf or number > above) and (below == math.inf or number < below)
    if not good or (finite and math.isinf(number)):
        raise InputError(
            f"{name} is {number:g}",
            where=where,
            mend=f"{name} has to be {_rule(above, least, below, most, finite) or 'a number'}",
        )
    return number


def exact(
    value: Any, name: str, where: str, *, above: int | None = None, least: int | None = None, most: int | None = None
) -> Fraction:
    """A number as the fraction that it is: integers, fractions, decimals, and floats as the binary fractions they are.

    >>> exact(0.5, "k", "demo", above=0)
    Fraction(1, 2)
    >>> exact("1/2", "k", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: k is '1/2' (demo): k has to be a finite number
    """
    try:
        if isinstance(value, np.ma.MaskedArray | np.datetime64 | np.timedelta64 | np.bool_ | str | bytes):
            raise TypeError("no number")
        fraction = (
            value if type(value) is Fraction else Fraction(value.item() if isinstance(value, np.generic) else value)
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is {_shown(value)}", where=where, mend=f"{name} has to be a finite number") from error
    for end, good, sign in (
        (above, above is None or fraction > above, ">"),
        (least, least is None or fraction >= least, ">="),
        (most, most is None or fraction <= most, "<="),
    ):
        if not good:
            raise InputError(f"{name} is {_shown(value)}", where=where, mend=f"{name} has to be {sign} {end}")
    return fraction


def as_array(values: Any, name: str, where: str) -> NDArray[Any]:
    """An array of whatever type its entries have; refuses masked entries, dates, and rows of different lengths.

    >>> as_array([[1], [1, 2]], "lengths", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: lengths are no array (demo): pass an array of numbers
    """
    try:
        array = np.asanyarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} are no array", where=where, mend="pass an array of numbers") from error
    if np.ma.is_masked(array) or array.dtype.kind in "mM":
        raise InputError(
            f"{name} are {'dates' if array.dtype.kind in 'mM' else 'masked'}",
            where=where,
            mend="pass an array of numbers",
        )
    return np.asarray(array)


def number_or_nan(value: Any, name: str, where: str) -> float:
    """A single number that may be infinite or NaN, where that says that there is none.

    >>> number_or_nan("nan", "mean", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: mean is no number (demo): mean has to be a number
    """
    array = as_floats(value, name, where)
    if array.ndim:
        raise InputError(f"{name} has shape {array.shape}", where=where, mend=f"{name} has to be a single number")
    return float(array)


def positive(value: Any, name: str, where: str) -> float:
    """A finite number > 0.

    >>> positive(0, "k", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: k is 0 (demo): k has to be finite and > 0
    """
    return real(value, name, where, above=0.0)


def whole(value: Any, name: str, where: str, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number as an int, of at most 63 bits; floats and booleans are not taken for one.

    >>> whole(np.int64(3), "leaves", "demo", least=1)
    3
    >>> whole(2.5, "leaves", "demo", least=1)
    Traceback (most recent call last):
    elastomath.errors.InputError: leaves is 2.5 (demo): leaves has to be a whole number >= 1
    """
    bounds = " and ".join(f"{sign} {end}" for sign, end in ((">=", least), ("<=", most)) if end is not None)
    rule = f"{name} has to be a whole number {bounds}".rstrip()
    try:
        if isinstance(value, bool | np.bool_) or np.ma.isMaskedArray(value):
            raise TypeError("no number")
        number = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} is {_shown(value)}", where=where, mend=rule) from error
    if (least is not None and number < least) or (most is not None and number > most) or abs(number) >= 1 << 63:
        raise InputError(f"{name} is {_shown(number)}", where=where, mend=rule)
    return number


def rising(
    values: ArrayLike, name: str, where: str, *, least_size: int = 1, from_zero: bool = False, least: float = -math.inf
) -> Array:
    """Finite numbers in one axis, each above the one before it; the first one 0 where ``from_zero``.

    >>> rising([0, 1, 1], "perturbations", "demo", from_zero=True)
    Traceback (most recent call last):
    elastomath.errors.InputError: perturbations do not rise (demo): give at least 1 in one row, sorted, starting at 0
    """
    array = reals(values, name, where, shape=(None,), least=least)
    if (
        array.size < least_size
        or (from_zero and array[0] != 0)
        or np.count_nonzero(array[1:] > array[:-1]) < array.size - 1
    ):
        start = ", starting at 0" if from_zero else f", >= {least:g}" if least > -math.inf else ""
        raise InputError(
            f"{name} do not rise", where=where, mend=f"give at least {least_size} in one row, sorted{start}"
        )
    return array


def same_shape(where: str, **arrays: Array) -> None:
    """Refuse arrays whose shapes differ; the names of the arguments are the names in the message.

    >>> same_shape("demo", rates=np.ones(2), errors=np.ones(3))
    Traceback (most recent call last):
    elastomath.errors.InputError: rates (2,), errors (3,) (demo): give arrays of one shape
    """
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name.replace('_', ' ')} {array.shape}" for name, array in arrays.items())
        raise InputError(shapes, where=where, mend="give arrays of one shape")


def broadcast(where: str, **arrays: Array) -> tuple[int, ...]:
    """The shape to which arrays broadcast; refuses those that do not.

    >>> broadcast("demo", pretrain=np.ones((2, 1)), perturb=np.ones(3))
    (2, 3)
    """
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name.replace('_', ' ')} {array.shape}" for name, array in arrays.items())
        raise InputError(shapes, where=where, mend="give shapes that broadcast against each other") from error


def choice(value: Any, name: str, where: str, options: Collection[str]) -> str:
    """One of a few words.

    >>> choice("Scan", "threshold", "demo", ("scan", "least"))
    Traceback (most recent call last):
    elastomath.errors.InputError: threshold is 'Scan' (demo): choose one of scan, least
    """
    if not isinstance(value, str) or value not in options:
        raise InputError(f"{name} is {_shown(value)}", where=where, mend=f"choose one of {', '.join(options)}")
    return value


def instance(value: Any, kind: type[T], name: str, where: str, mend: str = "") -> T:
    """An object of one class of this library.

    >>> instance([0.5, 0.5], InputError, "mixture", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: mixture is a list (demo): pass an InputError
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise InputError(
            f"{name} is a {type(value).__name__}", where=where, mend=mend or f"pass {article} {kind.__name__}"
        )
    return value


def generator(seed: Any, where: str) -> np.random.Generator:
    """A random generator from a whole number >= 0, a sequence of them, or a generator that is taken as it is.

    >>> generator(-1, "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: seed is -1 (demo): seed has to be a whole number >= 0, or a numpy Generator
    """
    if isinstance(seed, np.random.Generator):
        return seed
    try:
        single = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        words = seed if single else [operator.index(word) for word in rows(seed, "seed", where)]
        return np.random.default_rng(words)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"seed is {_shown(seed)}", where=where, mend="seed has to be a whole number >= 0, or a numpy Generator"
        ) from error


def rows(values: Any, name: str, where: str, *, empty: bool = False) -> list[Any]:
    """A sequence of rows (a list, a tuple, an array of two axes ...) as a list, each row still to be checked; not empty by default.

    >>> rows(0.5, "datasets", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: datasets is 0.5 (demo): pass a sequence with an entry for each
    """
    if isinstance(values, str | bytes | bytearray | dict | set | frozenset) or not hasattr(values, "__len__"):
        raise InputError(f"{name} is {_shown(values)}", where=where, mend="pass a sequence with an entry for each")
    try:
        listed = list(values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is {_shown(values)}", where=where, mend="pass a sequence with an entry for each"
        ) from error
    if not listed and not empty:
        raise InputError(f"no {name}", where=where, mend="pass at least one")
    return listed


def _is_real(value: object) -> bool:
    if isinstance(value, np.generic | np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "biuf" and not np.ma.is_masked(value)
    return hasattr(value, "__float__") and not isinstance(value, complex)


def _fits(shape: tuple[int, ...], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        size is None or size == have for size, have in zip(wanted, shape, strict=True)
    )


def _shape_text(shape: Sequence[int | None]) -> str:
    sizes = ["n" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _rule(above: float, least: float, below: float, most: float, finite: bool) -> str:
    parts = ["finite"] if finite else []
    parts += [f"> {above:g}"] if above > -math.inf else []
    parts += [f">= {least:g}"] if least > -math.inf else []
    parts += [f"< {below:g}"] if below < math.inf else []
    parts += [f"<= {most:g}"] if most < math.inf else []
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + (parts[-1] if parts else "")


def _shown(value: object) -> str:
    """What a message shows of a value: short, on one line."""
    if isinstance(value, str | float | int) and not isinstance(value, bool):
        try:
            text = repr(value)
        except ValueError:  # an integer too long for Python to print
            return "an integer of too many digits"
        return text if len(text) <= 40 else text[:37] + "..."
    if isinstance(value, Fraction):
        return str(value)
    return repr(value) if value is None or isinstance(value, bool) else f"of type {type(value).__name__}"


# --- gates of whole functions -------------------------------------------------------------------------------------


def checked(**gates: Gate) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that sends arguments through gates, by their names, before the function sees them.

    >>> @checked(volume=POSITIVE)
    ... def halved(volume: float) -> float:
    ...     return volume / 2
    >>> halved(3)
    1.5
    >>> halved("3")
    Traceback (most recent call last):
    elastomath.errors.InputError: volume is no number (halved): volume has to be a number
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        where = function.__qualname__
        places = {name: place for place, name in enumerate(signature(function).parameters)}
        order = [(places[name], name, name.replace("_", " "), gate) for name, gate in gates.items()]

        def gated(*args, **kwargs):  # type: ignore[no-untyped-def]
            passed = list(args)
            for place, name, shown, gate in order:
                if place < len(passed):
                    passed[place] = gate(passed[place], shown, where)
                elif name in kwargs:
                    kwargs[name] = gate(kwargs[name], shown, where)
            return function(*passed, **kwargs)

        # in the globals of its function, by which doctest knows whose it is; it reads no global of this module
        plain = cast(FunctionType, gated)
        copy = FunctionType(
            plain.__code__, cast(FunctionType, function).__globals__, plain.__name__, None, plain.__closure__
        )
        return cast(Callable[P, R], update_wrapper(copy, function))

    return decorate


def number(
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    finite: bool = True,
) -> Gate:
    """The gate `real` with these bounds."""
    return lambda value, name, where: real(
        value, name, where, above=above, least=least, below=below, most=most, finite=finite
    )


def numbers(
    *,
    shape: Sequence[int | None] | None = None,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    finite: bool = True,
    empty: bool = False,
) -> Gate:
    """The gate `reals` with these bounds; without ``finite`` infinities pass, NaN does not. Something has to be given unless ``empty``."""

    def gate(values: Any, name: str, where: str) -> Array:
        array = reals(values, name, where, shape=shape, above=above, least=least, below=below, most=most, finite=finite)
        if not finite and np.isnan(array).any():
            raise InputError(f"an entry of {name} is nan", where=where, mend=f"{name} have to be numbers")
        if not empty and not array.size:
            raise InputError(f"no {name}", where=where, mend="give at least one")
        return array

    return gate


def integer(*, least: int | None = None, most: int | None = None) -> Gate:
    """The gate `whole` with these bounds."""
    return lambda value, name, where: whole(value, name, where, least=least, most=most)


def one_of(*options: str) -> Gate:
    """The gate `choice` with these options."""
    return lambda value, name, where: choice(value, name, where, options)


def an(kind: type, mend: str = "") -> Gate:
    """The gate `instance` of this class."""
    return lambda value, name, where: instance(value, kind, name, where, mend)


def optional(gate: Gate) -> Gate:
    """None, or what passes another gate."""
    return lambda value, name, where: None if value is None else gate(value, name, where)


def listed(gate: Gate, *, empty: bool = True) -> Gate:
    """A sequence whose entries all pass another gate, as a list; it may be empty unless that is refused."""
    return lambda values, name, where: [
        gate(value, f"an entry of {name}", where) for value in rows(values, name, where, empty=empty)
    ]


POSITIVE = number(above=0.0)
NONNEGATIVE = number(least=0.0)
FINITE = number()
REAL = number(finite=False)
ANY: Gate = number_or_nan
SHARE = number(above=0.0, below=1.0)
POSITIVES = numbers(above=0.0)
NONNEGATIVES = numbers(least=0.0)
FINITES = numbers()
REALS = numbers(finite=False)
COUNT = integer(least=1)
SEED: Gate = lambda value, name, where: generator(value, where)  # noqa: E731
