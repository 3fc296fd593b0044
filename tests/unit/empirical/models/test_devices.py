"""What the C library and torch are asked for before a protocol trains on a CPU."""

from __future__ import annotations

import ctypes
import os
import platform

import pytest

from empirical.models import devices

FREED = """
import ctypes, resource, sys
from empirical.models.devices import hold_memory

if sys.argv[1] == "hold":
    assert hold_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def round_trip():
    block = libc.malloc(1 << 28)
    ctypes.memset(block, 1, 1 << 28)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

first = round_trip()
print(round_trip() - first)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_not_faulted_in_again(python):
    """The same 256 MiB a second time: no page of it where memory is held, 65,536 pages (or 128 huge ones) where not."""
    assert int(python(FREED, "hold")) < 64
    assert int(python(FREED, "plain")) >= 128


@pytest.fixture
def python():
    import subprocess
    import sys

    def run(code: str, *arguments: str) -> str:
        done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return run


def test_another_c_library_is_left_alone(monkeypatch):
    class Other:
        def __init__(self, _: object) -> None:
            pass

    monkeypatch.setattr(ctypes, "CDLL", Other)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    assert devices.hold_memory() is False
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0", "what was asked for stays"
