"""Files from elsewhere: what they claim of their size and shape is held against their bytes, and against the memory at
hand, before a library reads them. Nothing in them is executed, and pipes, devices and folders are no files here.

The limits are constants of this file; the guide "Files from elsewhere" lists them.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import InputError
from .memory import memory_at_hand

if TYPE_CHECKING:
    import pandas as pd

FileName = str | os.PathLike[str]
TEXT_SHARE: Final = 16
"""A file that is read whole (text, tables) may take this share of the memory at hand: rows of a table take many times their bytes."""
SETTINGS_BYTES: Final = 1 << 20
"""Of a file of settings, of a model's configuration, of a record of a stage."""
JSON_BYTES: Final = 1 << 28
"""Of a JSON file that a command of ours wrote and reads again."""
ARRAY_HEADER: Final = 1 << 16
"""Of the header of a .npy array."""
COLUMNS: Final = 1 << 14
"""Of a Parquet file."""
GGUF_STRING: Final = 1 << 24
GGUF_ENTRIES: Final = 1 << 16
"""Keys, and tensors, of a GGUF file."""
GGUF_ARRAY: Final = 1 << 26
"""Entries of an array in the header of a GGUF file."""
SAFETENSORS_HEADER: Final = 100_000_000
"""Of the header of a safetensors file, as its library has it."""
WEIGHTS_IN_CONFIG: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
LAYERS: Final = 1024
"""That a configuration may name."""
PARQUET: Final = "a Parquet file"
BEGINNINGS: Final = (
    (rb"PAR1", PARQUET),
    (rb"GGUF", "a GGUF file of a model"),
    (rb"\x93NUMPY", "a .npy array"),
    (rb"PK\x03\x04", "a zip archive, a spreadsheet or a checkpoint"),
    (rb"\x80[\x02-\x05]", "a pickle"),
    (rb"EMc\x01", "a file that measure --encode wrote"),
    (rb"SQLite format 3\x00", "a SQLite database"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"%PDF|\x89PNG", "a PDF or PNG file"),
    (rb"\s*<(?:!DOCTYPE|html|\?xml|svg)", "an HTML or XML file"),
    (rb".{8}\{\s*\"", "a safetensors file of a model"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:\{\s*[\"}]|\[\s*[\[{\"])", "a JSON file"),
)
"""How files begin that are no table, and what they are."""


def plain_file(
    path: FileName, where: str = "", mend: str = "name a file", most: int | None = None, what: str = "file"
) -> Path:
    """The path of a regular file of at most ``most`` bytes; ``what`` it should be, for the message.

    Raises InputError for what is not there, a folder, a pipe, a socket, a device, and a file that is larger.

    >>> plain_file("/dev/zero")
    Traceback (most recent call last):
    elastomath.errors.InputError: a device, not a file (/dev/zero): name a file
    """
    file, name = Path(path), where or os.fspath(path)
    try:
        status = os.stat(file)
    except FileNotFoundError as error:
        raise InputError(f"no such {what}", where=name, mend=mend) from error
    except (OSError, ValueError) as error:  # a name with a null byte, or too long
        raise InputError(f"cannot read: {_reason(error)}", where=name, mend=mend) from error
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise InputError(f"{kinds.get(kind, 'a device')}, not a file", where=name, mend=mend)
    if most is not None and status.st_size > most:
        raise InputError(
            f"{status.st_size} bytes, where at most {most} are read",
            where=name,
            mend="give a smaller file, or split it, or use a machine with more memory",
        )
    return file


def kind_of(path: FileName) -> str:
    """What a path plainly is, by how it begins: a folder (of a model), a JSON file, a Parquet file ...; nothing for text and the unknown.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "config.json").write_text('{"layers": 2}')
    >>> kind_of(folder), kind_of(folder / "config.json"), kind_of(folder / "none.csv")
    ('the folder of a model', 'a JSON file', '')
    """
    file = Path(path)
    try:
        if file.is_dir():
            of_model = any((file / name).is_file() for name in ("config.json", "adapter_config.json"))
            return "the folder of a model" if of_model else "a folder"
        if not stat.S_ISREG(os.stat(file).st_mode):  # to open a pipe is to wait for it
            return ""
        with open(file, "rb") as stream:
            start = stream.read(64)
    except (OSError, ValueError):
        return ""
    return next((kind for beginning, kind in BEGINNINGS if re.match(beginning, start, re.DOTALL)), "")


def refuse_kind(path: FileName, wanted: str, mend: str, *, but: str = "") -> None:
    """Raise InputError where a path is plainly another kind of thing (`kind_of`) than what is ``wanted``; ``but``: a kind that is not.

    Of a folder that holds tables, the error names one.
    """
    kind = kind_of(path)
    if kind in ("", but):
        return
    tables = [file for end in ("csv", "parquet") for file in sorted(Path(path).glob(f"*.{end}"))]
    if tables:
        mend = f"name a file in it, such as {os.fspath(tables[0])}"
    raise InputError(f"{kind}, where {wanted} is wanted", where=os.fspath(path), mend=mend)


def bytes_of(
    path: FileName, where: str = "", mend: str = "name a file that can be read", most: int | None = None
) -> bytes:
    """The bytes of a regular file, at most ``most`` of them: by default a share of the memory at hand (`TEXT_SHARE`).

    Raises InputError as `plain_file` does, and where the file cannot be read.
    """
    limit = memory_at_hand() // TEXT_SHARE if most is None else most
    file = plain_file(path, where, mend, limit)
    try:
        with open(file, "rb") as stream:
            data = stream.read(limit + 1)  # it may grow meanwhile
    except OSError as error:
        raise InputError(
            f"cannot read: {_reason(error)}", where=where or os.fspath(path), mend="check its rights"
        ) from error
    return data[:limit]


def text_of(
    path: FileName, where: str = "", mend: str = "name a file that can be read", most: int | None = None
) -> str:
    """The text of a regular file in UTF-8. Raises InputError as `bytes_of` does, and with what it is instead (`kind_of`), or
    the first byte that is not UTF-8.
    """
    try:
        return bytes_of(path, where, mend, most).decode("utf-8")
    except UnicodeDecodeError as error:
        refuse_kind(path, "a text file", "unpack or export it first", but="a JSON file")
        raise InputError(
            f"not UTF-8: byte {error.start + 1} is 0x{error.object[error.start]:02x}",
            where=where or os.fspath(path),
            mend="convert the file to UTF-8",
        ) from error


def json_of(path: FileName, what: str, mend: str, most: int = JSON_BYTES) -> Any:
    """The value of a JSON file; ``what`` it has to be, for the message. Raises InputError for whatever is no JSON."""
    try:
        return json.loads(text_of(path, mend=mend, most=most))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"no {what}: {_reason(error)}", where=os.fspath(path), mend=mend) from error


def array_of(path: FileName, mend: str = "write it again with numpy.save, numbers only") -> NDArray[Any]:
    """The array of a .npy file, without pickle: its header is read and bounded first, and so is what it claims to hold.

    Raises InputError for a header that is none, a shape that is larger than the file, and a file that cannot be read.
    """
    file, name = plain_file(path), os.fspath(path)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        with open(file, "rb") as stream:
            version = npy.read_magic(stream)
            if version not in read:
                raise InputError("it holds records, and only numbers are read")
            shape, _, kind = read[version](stream, max_header_size=ARRAY_HEADER)
            left = os.fstat(stream.fileno()).st_size - stream.tell()
            if kind.hasobject or kind.names or min(shape, default=0) < 0 or len(shape) > 8:
                raise InputError(f"shape {shape} of {kind}, where only numbers are read")
            if math.prod(shape) * kind.itemsize > left:
                raise InputError(f"{left} bytes for an array of shape {shape} and type {kind}")
            stream.seek(0)
            array: NDArray[Any] = np.load(stream, allow_pickle=False, max_header_size=ARRAY_HEADER)
            return array
    except InputError as error:
        raise InputError(f"not a readable .npy array: {error.what}", where=name, mend=mend) from error
    except Exception as error:  # numpy and its parser raise many kinds for a header that is none
        raise InputError(f"not a readable .npy array: {_reason(error)}", where=name, mend=mend) from error


def parquet_of(path: FileName, where: str = "", mend: str = "write it again") -> pd.DataFrame:
    """The table of a Parquet file; its own count of rows, columns and bytes is bounded before they are read.

    Raises InputError for a file that pyarrow cannot read, and for one that takes more than the memory at hand.
    """
    name = where or os.fspath(path)
    file = plain_file(path, name)
    import pyarrow.parquet as parquet

    try:
        metadata = parquet.read_metadata(file)
        size = sum(max(0, metadata.row_group(i).total_byte_size) for i in range(metadata.num_row_groups))
        cells = metadata.num_rows * metadata.num_columns
        if metadata.num_columns > COLUMNS or max(4 * size, 64 * cells) > memory_at_hand():
            raise InputError(
                f"{metadata.num_rows} rows of {metadata.num_columns} columns, {size} bytes",
                where=name,
                mend=f"at most {COLUMNS} columns and what fits the memory: give fewer rows, or use a larger machine",
            )
        # one thread: a damaged page then fails in this thread, and not in a pool
        table = parquet.read_table(file, use_threads=False)
        table.validate(full=True)  # else bytes that are no UTF-8 are found when somebody looks at them
        frame: pd.DataFrame = table.to_pandas(use_threads=False)
        return frame
    except InputError:
        raise
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise InputError(f"not a readable Parquet file: {_reason(error)}", where=name, mend=mend) from error


# --- models -----------------------------------------------------------------------------------------------------------


_GGUF_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value of each kind in a GGUF header; 8 is a string, 9 an array."""


def check_gguf(path: FileName, name: str) -> int:
    """Walk through the header of a GGUF file, which says how long each of its parts is, and return its count of weights.

    Every length is held against what is left of the file, so that the walk is linear in its bytes. Raises InputError
    where the file is no GGUF file or its header claims what is not there or no model has.
    """
    file = plain_file(path, name)
    size = os.stat(file).st_size

    def refuse(what: str) -> InputError:
        return InputError(
            f"the GGUF file is truncated or altered: {what}", where=name, mend="copy the file again, or give another"
        )

    with open(file, "rb") as stream:

        def take(form: str) -> int:
            data = stream.read(struct.calcsize(form))
            if len(data) < struct.calcsize(form):
                raise refuse("its header has no end")
            return int(struct.unpack(form, data)[0])

        def skip(count: int, most: int, what: str) -> None:
            if count > most or count > size - stream.tell():
                raise refuse(f"{what} of {count}")
            stream.seek(count, os.SEEK_CUR)

        if stream.read(4) != b"GGUF":
            raise InputError("not a GGUF file: the magic number is missing", where=name, mend="give another file")
        version = take("<I")
        if version not in (2, 3):
            raise InputError(
                f"version {version} of GGUF", where=name, mend="give a file of version 2 or 3, little-endian"
            )
        tensors, keys = take("<Q"), take("<Q")
        if tensors > GGUF_ENTRIES or keys > GGUF_ENTRIES:
            raise refuse(f"{tensors} tensors and {keys} keys")
        for _ in range(keys):
            skip(take("<Q"), GGUF_STRING, "a name")
            if fault := _skip_gguf_value(take("<I"), size, take, skip):
                raise refuse(fault)
        weights = 0
        for _ in range(tensors):
            skip(take("<Q"), GGUF_STRING, "a name")
            axes = take("<I")
            if axes > 8:
                raise refuse(f"a tensor of {axes} axes")
            count = math.prod([take("<Q") for _ in range(axes)])
            take("<I")
            if take("<Q") > size or count > 32 * size:  # the narrowest kinds hold a weight in 1.5 bits
                raise refuse(f"a tensor of {count} numbers")
            weights += count
        if weights > 32 * size:
            raise refuse(f"{weights} weights in {size} bytes")
    return weights


def _skip_gguf_value(
    kind: int, size: int, take: Callable[[str], int], skip: Callable[[int, int, str], None]
) -> str | None:
    """Go past a value of a kind in the header of a GGUF file of ``size`` bytes; what is wrong with it, else None."""
    if kind == 8:
        skip(take("<Q"), GGUF_STRING, "a text")
    elif kind == 9:
        inner, count = take("<I"), take("<Q")
        if count > GGUF_ARRAY or count > size:
            return f"an array of {count} entries"
        if inner == 8:
            for _ in range(count):
                skip(take("<Q"), GGUF_STRING, "a text")
        elif inner in _GGUF_SIZES:
            skip(count * _GGUF_SIZES[inner], size, "an array")
        else:
            return f"an array of kind {inner}"
    elif kind in _GGUF_SIZES:
        skip(_GGUF_SIZES[kind], size, "a value")
    else:
        return f"a value of kind {kind}"
    return None


def check_safetensors(path: FileName, name: str) -> int:
    """Bound the header of a safetensors file, and return its count of bytes of weights. Raises InputError."""
    file = plain_file(path, name)
    size = os.stat(file).st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= min(SAFETENSORS_HEADER, size - 8):
            raise InputError(
                f"the weights are truncated or altered: a header of {length} bytes in a file of {size}",
                where=name,
                mend="copy the file again",
            )
    return size - 8 - length


def check_model_folder(folder: Path, name: str) -> None:
    """Bound what a model folder claims: its configuration and the headers of its weights. Raises InputError."""
    config = json_of(folder / "config.json", "configuration of a model", "copy config.json again", SETTINGS_BYTES)
    if not isinstance(config, dict):
        raise InputError("config.json holds no configuration", where=name, mend="copy it again")
    _bounded(config, f"{name}, config.json")
    for file in sorted(folder.glob("*.safetensors")):
        check_safetensors(file, os.fspath(file))
    for file in folder.glob("*.json"):
        plain_file(file, os.fspath(file), most=JSON_BYTES)


def check_adapter_folder(folder: Path, config: str, weights: str, name: str) -> int:
    """Bound what the folder of an adapter claims, and return the rank that its configuration names, 0 for none. Raises InputError."""
    settings = json_of(folder / config, "configuration of an adapter", "copy it again", SETTINGS_BYTES)
    if not isinstance(settings, dict):
        raise InputError(f"{config} holds no configuration", where=name, mend="copy it again")
    _bounded(settings, f"{name}, {config}")
    check_safetensors(folder / weights, os.fspath(folder / weights))
    rank = settings.get("r")
    return rank if isinstance(rank, int) else 0


def _bounded(value: Any, where: str, key: str = "") -> None:
    """Refuse numbers that no model has: beyond 2^31, and more layers than `LAYERS`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _bounded(inner, where, str(name))
    elif isinstance(value, list):
        for inner in value:
            _bounded(inner, where, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        most = LAYERS if key in WEIGHTS_IN_CONFIG else 1 << 62 if "max" in key else 1 << 31
        if abs(value) > most:
            raise InputError(
                f"{key} is {value if abs(value) < 10**20 else 'too large'}", where=where, mend=f"at most {most}"
            )


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.splitlines()[0] if text else type(error).__name__
