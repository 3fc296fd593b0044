"""Bad input: one line that says what is wrong, where, and how to mend it."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used.

    ``str(error)`` is a single line ``what (where): mend``; the command line prints it and exits with code 2.

    >>> print(InputError("mass 3 is negative", where="align.npy", mend="masses have to be >= 0"))
    mass 3 is negative (align.npy): masses have to be >= 0
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        line = what + (f" ({where})" if where else "") + (f": {mend}" if mend else "")
        super().__init__(" ".join(line.split()))


def with_extra(extra: str) -> str:
    """How to install an optional part, for the last part of an `InputError`; the project is on no package index.

    >>> with_extra("llm")
    "in the clone of elastomath, pip install -c constraints.txt -e '.[llm]'"
    """
    return f"in the clone of elastomath, pip install -c constraints.txt -e '.[{extra}]'"
