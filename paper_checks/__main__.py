"""``python -m paper_checks`` is the command line, where the script ``elastomath`` is not on the path."""

from .cli.commands import main

if __name__ == "__main__":
    main()
