"""The verb `info`: what is installed and where files lie, to paste into an issue."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from elastomath import __version__

from .terminal import Json, emit

PACKAGES = (
    "numpy", "scipy", "pandas", "numba", "sympy", "python-flint", "matplotlib",
    "torch", "transformers", "tokenizers", "peft", "trl", "constriction", "submitit", "distributed",
)  # fmt: skip
"""The packages whose versions matter, the optional ones last."""


def info(as_json: Json = False) -> int:
    """Versions, device, caches and optional packages of this installation: what to paste into an issue."""
    result = installation()

    def show() -> None:
        width = max(map(len, result["packages"]))
        print(f"elastomath {result['elastomath']}, Python {result['python']}, {result['system']}")
        print(f"code        {result['code']}")
        print(f"device      {result['device']}, {result['cores']} cores")
        print(f"dtype       {result['dtype']}")
        for name, folder in result["caches"].items():
            print(f"{name:<11} {folder['path']} ({folder['megabytes']:.0f} MB)")
        print("packages")
        for name, version in result["packages"].items():
            print(f"  {name:<{width}}  {version or 'not installed'}")

    emit(result, as_json, show)
    return 0


def installation() -> dict[str, Any]:
    """What `elastomath info` tells, as a JSON object."""
    from empirical.fetch.fetching import cache_folder

    code = importlib.util.find_spec("elastomath")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    device, dtype = _hardware()
    return {
        "elastomath": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "code": str(Path(str(code and code.origin)).parents[1]),
        "device": device,
        "dtype": dtype,
        "cores": cores,
        "caches": {"cache": _folder(cache_folder())},
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _hardware() -> tuple[str, str]:
    """The device and the dtype that ``auto`` stands for, in words."""
    if importlib.util.find_spec("torch") is None:
        return "none: torch is not installed", "none"
    from empirical.models.devices import held_and_computed, pick_device

    device = pick_device("auto")
    stored, computed = held_and_computed("auto", "auto", device)
    return str(device), f"auto holds weights in {stored}, computes in {computed}"


class Folder(TypedDict):
    """A folder of the cache, and what it takes."""

    path: str
    megabytes: float


def _folder(path: Path) -> Folder:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
    return {"path": str(path), "megabytes": size / 1e6}
