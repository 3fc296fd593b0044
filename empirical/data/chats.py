"""Prompts as a model reads them: words after BOS, or the turns of a chat through the tokenizer's own template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from elastomath.errors import InputError

from .tokens import token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Turn(NamedTuple):
    """What one role says in a chat: ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


class Chat(str):
    """A prompt that is the turns of a chat before the answer: put into the tokenizer's template where it is tokenised.

    As a string it is the turns one after another, which is how prompts are compared, sorted and shown.

    >>> Chat.of([Turn("user", "Why?")]), Chat.of([Turn("user", "Why?")]).turns
    ('user: Why?', (Turn(role='user', content='Why?'),))
    """

    turns: tuple[Turn, ...]

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> Chat:
        """The chat of these turns."""
        chat = cls("\n".join(f"{turn.role}: {turn.content}" for turn in turns))
        chat.turns = tuple(turns)
        return chat


def user_turn(prompt: str, where: str) -> Chat:
    """The chat of one turn, the user's. Raises InputError where there is nothing to say."""
    if not prompt.strip():
        raise InputError("no prompt for the user's turn of a chat", where=where, mend="give one, or leave --chat away")
    return Chat.of([Turn("user", prompt)])


def trimmed(prompt: str) -> str:
    """The prompt without the white space at its end, which the space before the text stands for; a chat as it is."""
    return prompt if isinstance(prompt, Chat) else prompt.rstrip()


def joined(prompt: str, text: str) -> str:
    """What is learnt and counted of a text after its prompt: a space before it, unless there is no prompt or it is a chat.

    >>> joined("Q:", " so "), joined("", "so"), joined(Chat.of([Turn("user", "Q")]), "so")
    (' so', 'so', 'so')
    """
    return f" {text.strip()}" if prompt and not isinstance(prompt, Chat) else text.strip()


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], prefix: int) -> list[list[int]]:
    """The tokens in front of a text, for each prompt.

    A prompt of words is ``prefix`` (BOS, or else EOS) and its tokens, with no second prefix where it spells one itself.
    A `Chat` is what the tokenizer's own template writes up to the answer, its white space kept, and nothing before it.

    Raises InputError for a chat where the tokenizer has no template, or its template refuses the turns.
    """
    keys = [(isinstance(prompt, Chat), prompt) for prompt in prompts]
    distinct = dict.fromkeys(keys)
    words = [chat_text(tokenizer, prompt) if isinstance(prompt, Chat) else prompt for _, prompt in distinct]
    ids = [row.tolist() for row in token_ids(tokenizer, words, "prompts")]
    known = {
        (chat, prompt): list(row) if chat or list(row[:1]) == [prefix] else [prefix, *row]
        for (chat, prompt), row in zip(distinct, ids, strict=True)
    }
    return [list(known[key]) for key in keys]


def chat_text(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> str:
    """What the tokenizer's template makes of the turns, up to where the answer begins. Raises InputError where it does not."""
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "the tokenizer has no chat template",
            where="chat",
            mend="take a model tuned for chats, or leave --chat away",
        )
    turns = [turn._asdict() for turn in chat.turns]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the chat template refuses a chat of {', '.join(turn.role for turn in chat.turns)}: {error}",
            where="chat",
            mend="give the turns that this model knows",
        ) from error
    if not text:
        raise InputError("the chat template writes nothing", where="chat", mend="take a model tuned for chats")
    return str(text)


def read_chat(value: Any, where: str) -> tuple[Chat, str]:
    """The turns before the answer, and the answer: the last turn, which is the assistant's.

    value: a list of ``{"role": ..., "content": ...}``, or JSON of one. Raises InputError for anything else.

    >>> read_chat([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], "row 1")
    ('user: Why?', 'So.')
    """
    turns = read_turns(value, where, least=2)
    if turns[-1].role != "assistant":
        raise InputError(
            f"the last turn is of the {turns[-1].role}", where=where, mend="end with the assistant's answer"
        )
    return Chat.of(turns[:-1]), turns[-1].content


def read_turns(value: Any, where: str, *, least: int) -> tuple[Turn, ...]:
    """The turns of a list of ``{"role": ..., "content": ...}``, or JSON of one. Raises InputError for fewer than ``least``."""
    if isinstance(value, str):
        import json

        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InputError(f"a chat that is not JSON: {error}", where=where, mend=_MEND) from error
    if not hasattr(value, "__len__") or isinstance(value, str | dict) or len(value) < least:
        count = "a turn" if least == 1 else "two turns"
        raise InputError(f"a chat of type {type(value).__name__} without {count}", where=where, mend=_MEND)
    turns = []
    for number, turn in enumerate(value, 1):
        parts = [turn.get(name) if isinstance(turn, dict) else None for name in Turn._fields]
        if not all(isinstance(part, str) for part in parts):
            raise InputError(f"turn {number} has no role or no content that is text", where=where, mend=_MEND)
        turns.append(Turn(*map(str, parts)))
    return tuple(turns)


_MEND = 'write [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
