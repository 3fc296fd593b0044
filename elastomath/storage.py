"""Files that are either whole or not there: write aside, flush, then rename."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place only when the block ends well.

    A full disk, an exception or a killed process leaves the old file (or none), never half of a new one.
    The temporary name keeps the suffix, so that writers which look at it still work.

    Raises InputError where the folder cannot be made or written.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with whole_file(target) as aside:
    ...     _ = aside.write_text("whole")
    >>> target.read_text(), [p.name for p in target.parent.iterdir()]
    ('whole', ['a.txt'])
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise InputError("a folder stands where a file is to be written", where=str(target), mend="name a file")
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}",
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
            f"writing stopped: {error.strerror or error}",
            where=str(target),
            mend="free space or choose another folder",
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
