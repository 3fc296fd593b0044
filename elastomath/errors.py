"""Bad input: one line that says what is wrong, where, and how to mend it."""

from __future__ import annotations

LONGEST = 500
"""Characters of each part of a message; the middle of a longer one is left out."""


SPACES = "\u00a0\u2002\u2003\u2007\u2009\u202f"
"""Spaces that a text may be set with: no control, though Python does not call them printable."""


class InputError(ValueError):
    """Input that cannot be used.

    ``str(error)`` is a single line ``what (where): mend``; the command line prints it and exits with code 2. Each part is
    `inert`: what it repeats of the input can neither break the line, nor move the cursor, nor fill the screen.

    >>> print(InputError("mass 3 is negative", where="align.npy", mend="masses have to be >= 0"))
    mass 3 is negative (align.npy): masses have to be >= 0
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = inert(what), inert(where), inert(mend)
        mending = f": {self.mend}" if self.mend else ""
        super().__init__(f"{self.what}{f' ({self.where})' if self.where else ''}{mending}".strip())


def inert(text: str, longest: int | None = LONGEST) -> str:
    r"""Text from elsewhere as one line to print: what is not printable (control characters, escape sequences, marks that
    turn the direction of writing, halves of surrogate pairs) as its escape, spaces and line ends as one space, and of a
    longer text its two ends.

    >>> inert("a\x1b[31m\u202eb\n c")
    'a\\x1b[31m\\u202eb c'
    >>> inert("x" * 1000, 20)
    'xxxxxxxxxx ... 980 characters ... xxxxxxxxxx'
    """
    if longest is not None and len(text) > longest:
        head, tail = longest - longest // 2, longest // 2
        text = f"{text[:head]} ... {len(text) - longest} characters ... {text[len(text) - tail :]}"
    return escaped(" ".join(text.split()))


def escaped(text: str, kept: str = "") -> str:
    r"""Text with every character that is not printable, those of ``kept`` aside, as its escape.

    >>> escaped("a\tb\x07\n", kept="\n")
    'a\\tb\\x07\n'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept or char in SPACES else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def with_extra(extra: str) -> str:
    """How to install an optional part, for the last part of an `InputError`; the project is on no package index.

    >>> with_extra("llm")
    "in the clone of elastomath, pip install -c constraints.txt -e '.[llm]'"
    """
    return f"in the clone of elastomath, pip install -c constraints.txt -e '.[{extra}]'"
