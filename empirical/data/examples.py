"""What a model is trained on: a text after a prompt, and a pair of texts of which one is preferred."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from elastomath.errors import InputError


@dataclass(frozen=True, slots=True)
class Example:
    """A ``text`` after a ``prompt``; the prompt may be empty, and is not counted in the loss where there is one."""

    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Preference:
    """Two texts after one ``prompt``: the ``chosen`` one is preferred to the ``rejected`` one."""

    prompt: str
    chosen: str
    rejected: str


def pairs(examples_plus: Sequence[Example], examples_minus: Sequence[Example], *, prompt: str = "") -> list[Preference]:
    """Preference pairs from examples of the preferred and of the rejected kind; each example is in one pair at most.

    Where prompts agree (white space around them aside), examples are paired under their prompt, in the order given; an
    example whose prompt has no partner left is dropped. Where no prompt is on both sides, the two lists are paired in
    order under the common ``prompt``. Two equal texts make no pair.

    Raises InputError where no pair can be made.

    >>> plus, minus = [Example("Q1", "yes"), Example("Q2", "good")], [Example("Q2", "bad"), Example("Q2", "worse")]
    >>> pairs(plus, minus)
    [Preference(prompt='Q2', chosen='good', rejected='bad')]
    >>> pairs([Example("A", "up")], [Example("B", "down")], prompt="Review:")
    [Preference(prompt='Review:', chosen='up', rejected='down')]
    """
    waiting: dict[str, deque[Example]] = defaultdict(deque)
    for example in examples_minus:
        waiting[example.prompt.strip()].append(example)
    shared = any(example.prompt.strip() in waiting for example in examples_plus)
    preferences = []
    if shared:
        for plus in examples_plus:
            partners = waiting[plus.prompt.strip()]
            minus = next((other for other in partners if other.text.strip() != plus.text.strip()), None)
            if minus is not None:
                partners.remove(minus)
                preferences.append(Preference(plus.prompt, plus.text, minus.text))
    else:
        matched = zip(examples_plus, examples_minus, strict=False)
        preferences = [Preference(prompt, a.text, b.text) for a, b in matched if a.text.strip() != b.text.strip()]
    if not preferences:
        raise InputError(
            f"no pair in {len(examples_plus)} preferred and {len(examples_minus)} rejected examples",
            where="pairs",
            mend="give at least one of each kind, with different texts",
        )
    return preferences


def fill(template: str, prompt: str) -> str:
    """The template with the prompt in place of ``{prompt}``; other braces stay as they are.

    >>> fill("USER: {prompt} ASSISTANT:", "Why {so}?")
    'USER: Why {so}? ASSISTANT:'
    """
    return template.replace("{prompt}", prompt)
