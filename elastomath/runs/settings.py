"""Settings: frozen dataclasses whose fields say what they mean, check what they are given, and are read from files.

A field that is made by `setting` carries its help, the name of its option and its gate (`elastomath.checks`). So one list of
fields is the documentation, the options of a command line, the keys of a configuration file and the checks.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Self

from ..checks import Gate, whole
from ..errors import InputError
from ..foreign import SETTINGS_BYTES, text_of
from ..memory import affordable

Values = dict[str, Any]
"""Values of settings by name."""

EACH = 8
"""Bytes that each of a count takes at least."""


def setting(
    default: Any, help: str = "", *, option: str = "", gate: Gate | None = None, each: float | None = None
) -> Any:
    """A field of settings: its default, what it means, the name of its option where it has another one, and its gate.

    each: bytes of memory that each takes of what a whole number counts (`EACH` where nothing is said); 0 where it counts
    nothing, as a seed. So every count has an upper end.

    A class that only changes the default of a field writes ``name: kind = default``: the rest is that of the class before it.
    """
    about = {"help": help, "option": option, "gate": gate, "each": each}
    return field(default=default, metadata={name: value for name, value in about.items() if value not in ("", None)})


@dataclass(frozen=True)
class Field:
    """One setting as the command line and a file see it."""

    name: str
    kind: Any
    default: Any
    help: str
    option: str

    def read(self, value: Any, where: str) -> Any:
        """A value of the kind of this field from what a file or an option gives. Raises InputError for another kind.

        >>> Field("seeds", tuple[int, ...], (0,), "", "--seeds").read("3, 4", "--seeds")
        (3, 4)
        >>> Field("rate", float | None, None, "", "--rate").read("1e-5", "a.yaml")
        1e-05
        >>> Field("batch", int, 8, "", "--batch").read(2.5, "a.toml")
        Traceback (most recent call last):
        elastomath.errors.InputError: cannot read 2.5 (a.toml, batch): write a whole number
        """
        if value is None and self.plain is not self.kind:
            return None
        return _read(self.plain, value, where if where.startswith("-") else f"{where}, {self.name}")

    @property
    def plain(self) -> Any:
        """The kind of a value that is not None."""
        if typing.get_origin(self.kind) in (typing.Union, types.UnionType):
            return next(part for part in typing.get_args(self.kind) if part is not type(None))
        return self.kind


@dataclass(frozen=True)
class Settings:
    """The base of all settings. Raises InputError where a value does not pass the gate of its field.

    >>> from elastomath.checks import COUNT
    >>> @dataclass(frozen=True)
    ... class Demo(Settings):
    ...     NAME = "demo"
    ...     batch: int = setting(8, "Examples of a step.", gate=COUNT)
    ...     seeds: tuple[int, ...] = setting((0, 1), "Seeds.")
    >>> print(toml(Demo(batch=4)))
    # Examples of a step.
    batch = 4
    # Seeds.
    seeds = [0, 1]
    >>> Demo(batch=0)
    Traceback (most recent call last):
    elastomath.errors.InputError: batch is 0 (demo): batch has to be a whole number >= 1
    """

    NAME: ClassVar[str] = "settings"

    def __post_init__(self) -> None:
        for own in fields(self):
            gate = _about(type(self), own.name).get("gate")
            value = getattr(self, own.name)
            if gate is not None:
                gate(value, own.name, self.NAME)
            for count in value if isinstance(value, tuple) else (value,):
                if isinstance(count, int) and not isinstance(count, bool):
                    each = _about(type(self), own.name).get("each", EACH)
                    whole(count, own.name, self.NAME)
                    if each:
                        affordable(count, each, own.name, self.NAME)

    @classmethod
    def listed(cls) -> list[Field]:
        """The settings that a person may give, each with its default."""
        kinds = typing.get_type_hints(cls)
        rows = []
        for own in fields(cls):
            about = _about(cls, own.name)
            option = about.get("option") or f"--{own.name.replace('_', '-')}"
            default = None if own.default is MISSING else own.default
            rows.append(Field(own.name, kinds[own.name], default, about.get("help", ""), option))
        return rows

    @classmethod
    def presets(cls) -> dict[str, Any]:
        """The presets by name: files ``presets/NAME.toml`` beside the module of the class."""
        folder = resources.files(cls.__module__.rpartition(".")[0]) / "presets"
        files = sorted(folder.iterdir(), key=lambda file: file.name) if folder.is_dir() else []
        return {file.name.removesuffix(".toml"): file for file in files if file.name.endswith(".toml")}

    @classmethod
    def values_of(cls, preset: str | None) -> Values:
        """What a preset sets, by name; nothing where there is none. Raises InputError for a preset that is not there."""
        if preset is None:
            return {}
        presets = cls.presets()
        if preset not in presets:
            mend = f"choose from {', '.join(presets)}" if presets else "leave it away"
            raise InputError(f"no preset {preset!r}", where="--preset", mend=mend)
        return cls.values_from(presets[preset])

    @classmethod
    def values_from(cls, file: Any) -> Values:
        """What a TOML or YAML file sets, by name. Raises InputError for a name that is no setting, and for another kind of value."""
        return read_values(cls.listed(), file)

    @classmethod
    def of(cls, preset: str | None = None, given: Mapping[str, Any] | None = None) -> Self:
        """The settings of a preset with what was given in their place."""
        return cls(**{**cls.values_of(preset), **(given or {})})

    def values(self) -> Values:
        """Every setting of `listed` with its value, by name."""
        return {own.name: getattr(self, own.name) for own in self.listed()}


def read_values(listed: list[Field], file: Any) -> Values:
    """What a TOML or YAML file sets of these fields, by name; InputError names the file and the entry."""
    known = {own.name: own for own in listed}
    values = {}
    for name, value in _entries(file).items():
        if name not in known:
            import difflib

            near = difflib.get_close_matches(str(name), known, n=1)
            mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
            raise InputError(f"no setting {name!r}", where=str(file), mend=mend)
        values[name] = known[name].read(value, str(file))
    return values


def toml(settings: Settings) -> str:
    """The settings as a TOML file that gives them again, each under its help; None stands as a comment, for TOML has no word."""
    values, lines = settings.values(), []
    for own in settings.listed():
        if own.name not in values:
            continue
        value = values[own.name]
        lines += [f"# {own.help}"] if own.help else []
        lines.append(f"# {own.name} is not set" if value is None else f"{own.name} = {_toml(value)}")
    return "\n".join(lines)


def _about(kind: type, name: str) -> dict[str, Any]:
    """The metadata of a field, where it says nothing those of the class before it."""
    values: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        own = base.__dict__.get("__dataclass_fields__", {}).get(name)
        values |= own.metadata if isinstance(own, dataclasses.Field) else {}
    return values


def _entries(file: Any) -> Values:
    name = str(file)
    if isinstance(file, str | Path):
        text = text_of(file, mend="give a TOML or YAML file", most=SETTINGS_BYTES)
    else:
        text = file.read_text(encoding="utf-8")  # a preset, perhaps in an archive
    try:
        if name.endswith((".yaml", ".yml")):
            import yaml

            entries = yaml.safe_load(text) or {}
        else:
            entries = tomllib.loads(text)
    except ModuleNotFoundError as error:
        raise InputError("no reader of YAML", where=name, mend="pip install pyyaml, or write TOML") from error
    except Exception as error:
        known = isinstance(error, tomllib.TOMLDecodeError | RecursionError | ValueError | KeyError)
        if not (known or hasattr(error, "problem_mark") or type(error).__module__.startswith("yaml")):
            raise
        raise InputError(f"cannot read the settings: {error}", where=name, mend="write NAME = VALUE lines") from error
    if not isinstance(entries, dict):
        raise InputError("the settings have no names", where=name, mend="write NAME: VALUE lines")
    return entries


WANTED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    (tuple, int): "whole numbers, with commas between: 16,40,80",
    (tuple, float): "numbers, with commas between: 100,1,0.5",
}
"""What a value of a kind looks like, for messages."""


def _read(kind: Any, value: Any, where: str) -> Any:
    if typing.get_origin(kind) is tuple:
        part = typing.get_args(kind)[0]
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        try:
            return tuple(_scalar(part, item.strip() if isinstance(item, str) else item) for item in items)
        except ValueError as error:
            wanted = WANTED.get((tuple, part), "texts, with commas between")
            raise InputError(f"cannot read {value!r}", where=where, mend=f"write {wanted}") from error
    try:
        return _scalar(kind, value)
    except ValueError as error:
        raise InputError(f"cannot read {value!r}", where=where, mend=f"write {WANTED[kind]}") from error


def _scalar(kind: Any, value: Any) -> Any:
    """``value`` as a number, a text or a truth value. Raises ValueError where it is another thing."""
    good = {bool: bool, str: str, int: int | str, float: int | float | str}[kind]
    if not isinstance(value, good) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(value)
    return kind(value)


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
