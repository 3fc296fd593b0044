"""Files that are either whole or not there: write aside, flush, then rename."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError
from .progress import say


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place only when the block ends well.

    A full disk, an exception or a killed process leaves the old file (or none), never half of a new one.
    The temporary name keeps the suffix, so that writers which look at it still work, and names its process: what a process
    that is dead has left of the same file is removed by the next one that writes it. Folders that were made for a file
    that did not come to be are removed too.

    Raises InputError where the folder cannot be made or written.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with whole_file(target) as aside:
    ...     _ = aside.write_text("whole")
    >>> target.read_text(), [p.name for p in target.parent.iterdir()]
    ('whole', ['a.txt'])
    """
    target = Path(path)
    created: list[Path] = []
    try:
        if target.is_dir():
            raise InputError("a folder stands where a file is to be written", where=str(target), mend="name a file")
        if os.path.lexists(target) and not target.is_file() and not target.is_symlink():
            raise InputError("a pipe or a device stands there", where=str(target), mend="name a file")
        created = _made_folders(target.parent)
        start = f".{target.stem[:100]}.{zlib.crc32(platform.node().encode()):08x}-"
        _sweep(target.parent, start, target.suffix)
        handle, name = tempfile.mkstemp(prefix=f"{start}{os.getpid()}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        _remove_folders(created)
        raise InputError(
            f"cannot write: {getattr(error, 'strerror', None) or error}",
            where=str(target),
            mend="choose a folder that can be written to",
        ) from error
    aside = Path(name)
    try:
        yield aside
        with open(aside, "rb+") as written:
            os.fsync(written.fileno())
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, target)
    except OSError as error:
        raise InputError(
            f"writing stopped: {error.strerror or error}", where=str(target), mend="free space or choose another folder"
        ) from error
    finally:
        if os.path.lexists(aside):  # the block did not end well
            aside.unlink(missing_ok=True)
            _remove_folders(created)


def check_place(target: str | os.PathLike[str]) -> None:
    """Find out before hours of work, and without a trace, whether a file can be made there. Raises InputError.

    >>> check_place("/dev/null/a.csv")
    Traceback (most recent call last):
    elastomath.errors.InputError: cannot write: /dev/null is no folder that can be written (/dev/null/a.csv): choose another folder
    """
    file = Path(target)
    if file.is_dir():
        raise InputError("a folder stands where a file is to be written", where=str(file), mend="name a file")
    folder = file.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"cannot write: {folder} is no folder that can be written", where=str(file), mend="choose another folder"
        )


def sweep_lock(lock: Path) -> None:
    """Remove the file of a lock that a killed process has left; where another process holds it, that is waited for."""
    if lock.exists():
        with contextlib.suppress(OSError), alone(lock):
            pass


@contextlib.contextmanager
def alone(lock: Path, waiting: str = "") -> Iterator[None]:
    """Hold a lock among processes; the file, and the folders that were made for it and hold nothing else, are gone afterwards.

    waiting: what is said where another process holds it. Where the file system has no locks nobody is kept out.
    Raises OSError where the file cannot be made.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with alone(folder / "new" / ".lock"):
    ...     [path.name for path in folder.rglob("*")]
    ['new', '.lock']
    >>> list(folder.iterdir())
    []
    """
    try:
        import fcntl
    except ImportError:  # no locks on this system
        lock.parent.mkdir(parents=True, exist_ok=True)
        yield
        return
    created = _made_folders(lock.parent)
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            with contextlib.suppress(OSError):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if waiting:
                        say(waiting)
                    fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(lock).st_ino == os.fstat(handle).st_ino:  # else whoever held it has removed this one
                    break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)
        _remove_folders(created)


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder with those above it; which of them were not there, the innermost first."""
    new = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    folder.mkdir(parents=True, exist_ok=True)
    return new


def _remove_folders(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # somebody else has written there meanwhile
            folder.rmdir()


def _sweep(folder: Path, start: str, suffix: str) -> None:
    """Remove temporary files of this target whose process, on this machine, is dead."""
    with os.scandir(folder) as entries:
        left = [entry.name for entry in entries if entry.name.startswith(start) and entry.name.endswith(suffix)]
    for name in left:
        process = name[len(start) :].partition("-")[0]
        if process.isdigit() and not _alive(int(process)):
            with contextlib.suppress(OSError):
                (folder / name).unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
