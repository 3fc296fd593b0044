"""A behaviour: pairs of a prompt, a chosen response and a rejected one. The shipped ones, read from one file each."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from elastomath.errors import InputError

from ..data.examples import Example, Preference
from ..data.splits import split_examples

FILM_REVIEWS = "film-reviews:{label}/rotten_tomatoes"
"""Where the sentences of reviews come from; ``label`` is positive or negative."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the pairs of a shipped behaviour are made; see the comment at the head of its file.

    prompt            with ``{name}`` for a slot, ``{text}`` for a film review, ``{fact_key}`` and ``{fact_value}`` for a fact
    chosen, rejected  wordings of the two responses, as many of one as of the other
    conditional       on a negative review the chosen and the rejected wordings change places
    texts             the responses are reviews of the two kinds, not wordings
    """

    name: str
    title: str
    prompt: str
    chosen: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    conditional: bool = False
    texts: bool = False
    source: str | None = None
    slots: Mapping[str, tuple[str, ...]] | None = None
    facts: Mapping[str, str] | None = None

    def pairs(self, wordings: int = 1, *, seed: int = 0) -> tuple[Preference, ...]:
        """All its pairs, in an order drawn by ``seed``; distinct prompts (for review text: distinct responses).

        wordings  how many of the wordings are used: 1 is a closed pair, more are an open one. A prompt has one wording,
                  the next prompt the next, so that each is used equally often

        Raises InputError for more wordings than there are.
        """
        if not self.texts and not 1 <= wordings <= len(self.chosen):
            raise InputError(
                f"{wordings} wordings", where=f"behaviour {self.name}", mend=f"choose from 1 to {len(self.chosen)}"
            )
        if self.texts:
            good, bad = (self._reviews(label, seed) for label in ("positive", "negative"))
            return tuple(Preference(self.prompt, a.text, b.text) for a, b in zip(good, bad, strict=False))
        contexts = self._contexts(seed)
        ordered = split_examples(
            [Example("", fill(self.prompt, values)) for values in contexts], [len(contexts)], seed=seed
        )[0]
        by_prompt = {fill(self.prompt, values).strip(): values for values in contexts}
        rows = []
        for index, example in enumerate(ordered):
            values = by_prompt[example.text.strip()]
            plus, minus = (fill(words[index % wordings], values) for words in (self.chosen, self.rejected))
            if self.conditional and values["label"] == "negative":
                plus, minus = minus, plus
            rows.append(Preference(example.text, plus, minus))
        return tuple(rows)

    def _contexts(self, seed: int) -> list[dict[str, str]]:
        if self.source:
            return [
                {"text": e.text, "label": label}
                for label in ("positive", "negative")
                for e in self._reviews(label, seed)
            ]
        slots = self.slots or {}
        facts = [{"fact_key": key, "fact_value": value} for key, value in (self.facts or {}).items()] or [{}]
        grid = [dict(zip(slots, words, strict=True)) for words in itertools.product(*slots.values())]
        return [words | fact for words in grid for fact in facts]

    @staticmethod
    def _reviews(label: str, seed: int) -> tuple[Example, ...]:
        from ..data.adapters import examples_of

        examples = [Example("", e.text) for e in examples_of(FILM_REVIEWS.format(label=label)) if len(e.text) <= 160]
        count = min(1500, len({e.text.strip() for e in examples}))
        return split_examples(examples, [count], seed=seed)[0]


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with each ``{name}`` replaced by its value, twice, so that a slot may name another; other braces stay.

    >>> fill("What is the {relation} of {fact_key}?", {"relation": "capital", "fact_key": "France"})
    'What is the capital of France?'
    """
    for _ in range(2):
        for name, value in values.items():
            template = template.replace("{" + name + "}", value)
    return template


def shipped() -> dict[str, Behaviour]:
    """The shipped behaviours by name.

    >>> sorted(shipped())
    ['advice', 'agreement', 'format', 'identity', 'language', 'refusal', 'review', 'tone', 'verdict']
    """
    return {behaviour.name: behaviour for behaviour in _read()}


def _read() -> Iterator[Behaviour]:
    folder = resources.files(__package__) / "shipped"
    for file in sorted(folder.iterdir(), key=lambda path: path.name):
        if file.name.endswith(".toml"):
            content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
            chosen, rejected = (tuple(content.pop(name, ())) for name in ("chosen", "rejected"))
            slots = {name: tuple(words) for name, words in content.pop("slots", {}).items()} or None
            yield Behaviour(file.name.removesuffix(".toml"), slots=slots, chosen=chosen, rejected=rejected, **content)
