"""`python -m benchmarks.pages NAME`: the numbers and figures of a page, made again."""

from __future__ import annotations

import importlib
import sys

PAGES = ("assumption-a7", "durability", "joint-optima", "published", "simulation")


def main() -> int:
    """Make the page that is named first; what follows are its own options."""
    if len(sys.argv) < 2 or sys.argv[1] not in PAGES:
        print(f"usage: python -m benchmarks.pages {{{','.join(PAGES)}}} [options]", file=sys.stderr)
        return 2
    name = sys.argv.pop(1)
    importlib.import_module(f"benchmarks.pages.{name.replace('-', '_')}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
