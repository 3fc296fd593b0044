"""The two newest minor versions of transformers, trl, peft and lm-evaluation-harness under the tests that meet them: `make versions`.

    python -m benchmarks.versions [PACKAGE[==VERSION] ...]

Each version gets an environment of its own on top of this one (its site-packages are seen, nothing in them is changed) and runs
the tests of its row in `TESTS`. The table says what passed; the exit code is 1 where something did not.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

TRACKING = "tests/integration/test_tracking.py"
TESTS = {
    "transformers": (
        TRACKING,
        "tests/unit/empirical/models/test_outputs.py",
        "tests/unit/empirical/models/test_loading.py",
    ),
    "trl": (TRACKING, "tests/unit/empirical/training/test_tune.py"),
    "peft": ("tests/unit/empirical/models/test_peft.py", TRACKING),
    "lm-eval": ("tests/acceptance/test_logs_lm_eval.py",),
}
"""The tests that meet each package."""
PARTS = {"lm-eval": 3}
"""How many numbers of a version name a minor release, where it is not two: lm-evaluation-harness has been at 0.4 since 2023."""

LEFT_OUT = {"trl": ("1.15.0",)}
"""Versions that pyproject.toml leaves out, with its reason."""


def newest(versions: list[str], count: int = 2, parts: int = 2) -> list[str]:
    """The newest release of each of the newest minor versions, which are those that differ in the first ``parts`` numbers.

    >>> newest(["1.16.0", "1.15.1", "1.15.0", "1.14.0"]), newest(["0.4.13", "0.4.12", "0.4.11"], parts=3)
    (['1.16.0', '1.15.1'], ['0.4.13', '0.4.12'])
    """
    found: dict[tuple[str, ...], str] = {}
    for version in versions:
        numbers = tuple(version.split("."))
        if all(number.isdigit() for number in numbers):
            found.setdefault(numbers[:parts], version)
    return list(found.values())[:count]


def released(package: str) -> list[str]:
    """The versions that the package index has, the newest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", package]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = re.search(r"Available versions: (.*)", done.stdout)
    versions = [] if told is None else [version.strip() for version in told[1].split(",")]
    return [version for version in versions if version not in LEFT_OUT.get(package, ())]


def tried(package: str, version: str, folder: Path) -> str:
    """What the tests of a package say under one version of it: pytest's last line, or why it could not be installed."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    (Path(own) / "below.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [str(python), "-m", "pip", "install", "--quiet", f"{package}=={version}"]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"not installed: {done.stderr.strip().splitlines()[-1]}"
    pytest = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not acceptance or acceptance",
        *TESTS[package],
    ]
    done = subprocess.run(pytest, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["nothing was said"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return "passed" if done.returncode == 0 else "; ".join(failed[:5]) or lines[-1]


def main(arguments: list[str]) -> int:
    """Try what was asked for, by default everything, and print a row for each."""
    good = True
    for asked in arguments or list(TESTS):
        package, _, version = asked.partition("==")
        for each in [version] if version else newest(released(package), parts=PARTS.get(package, 2)):
            with tempfile.TemporaryDirectory(prefix="elastomath-versions-") as folder:
                told = tried(package, each, Path(folder) / "environment")
            good &= told == "passed"
            print(f"{package:<13} {each:<9} {told}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
