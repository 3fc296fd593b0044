"""``python -m elastomath`` is the command line, as the script ``elastomath`` is.

The command line lies two floors up and is not imported here: it is run, as a user would run it.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("paper_checks", run_name="__main__", alter_sys=True)
