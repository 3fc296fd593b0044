"""The entry point of the command line: ``elastomath``, ``python -m elastomath`` and ``python -m paper_checks``.

Signals are answered from here on, before the verbs are loaded.
"""

from __future__ import annotations

import sys

from .cli.signals import guarded


def main() -> None:
    """Run the command line, unless a file of the user's hides one of our packages."""
    guarded(_run)


def _run() -> int:
    hidden = shadowed()
    if hidden:
        name, place = hidden
        print(
            f"elastomath: {place} hides the package {name!r} of elastomath: rename it, or run from another folder",
            file=sys.stderr,
        )
        return 2
    from .cli.commands import run

    return run()


def shadowed() -> tuple[str, str] | None:
    """A package of ours that another file or folder on the path stands before, and where that lies; None where all is well.

    The top-level names ``sim`` and ``empirical`` are ours; a user's ``sim.py`` in the current folder comes first where Python
    puts that folder on the path (``python -m``, scripts beside it, PYTHONPATH).
    """
    import importlib.util
    from pathlib import Path

    home = Path(__file__).resolve().parents[1]
    for name in ("elastomath", "sim", "empirical"):
        spec = importlib.util.find_spec(name)
        place = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        if place is None or Path(place).resolve().parent.parent != home:
            return name, str(place)
    return None


if __name__ == "__main__":
    main()
