"""Token trees in files: one uncompressed .npz without pickle, written whole or not at all, held to its invariants when read."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..foreign import member_of, plain_file
from ..storage import whole_file
from .leafset import LeafSet
from .sequences import LARGEST_ALPHABET
from .tokentree import TokenTree

VERSION = 1
MEMBERS = ("token_tree", "symbols", "spelled", "ended", "counts")
"""``token_tree`` is int64: version, depth, alphabet, block. The others are the arrays of `LeafSet` and `TokenTree`."""

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    OSError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    KeyError,
    SyntaxError,
    TypeError,
)
"""What zipfile and numpy raise on damaged bytes."""


def save_tree(path: str | os.PathLike[str], tree: TokenTree) -> None:
    """Write a token tree to one .npz file, which numpy can read too; the same tree gives the same bytes.

    The file is whole or not there (`whole_file`). Raises InputError where it cannot be written, and for a tree that
    breaks an invariant of its layout.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "tree.npz"
    >>> save_tree(file, TokenTree.of(["abcabc"], depth=3))
    >>> load_tree(file).counts
    array([2])
    """
    tree.check(str(path))
    leaves = tree.leaf_set
    header = np.array([VERSION, leaves.depth, leaves.alphabet, leaves.block], dtype=np.int64)
    arrays: dict[str, NDArray[Any]] = dict(
        zip(MEMBERS, (header, leaves.symbols, leaves.spelled, leaves.ended, tree.counts), strict=True)
    )
    with whole_file(path) as aside, open(aside, "wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def load_tree(path: str | os.PathLike[str]) -> TokenTree:
    """Read a token tree that `save_tree` wrote; nothing in the file is executed (no pickle).

    Every invariant of the layout is checked again. Raises InputError, in one line, for a file that is missing,
    truncated, damaged (each array has a checksum), foreign, of a later version, or inconsistent.
    """
    file = plain_file(path, mend="name a file that save_tree wrote")
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if sorted(names) != sorted(f"{name}.npy" for name in MEMBERS):
                raise ValueError(f"it holds {', '.join(names) or 'nothing'}")
            arrays = {name: member_of(archive, name) for name in MEMBERS}
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise InputError(
            f"not a readable token tree: {reason}", where=str(file), mend="build the tree again and save it"
        ) from error
    header = arrays["token_tree"]
    if header.dtype != np.int64 or header.shape != (4,):
        raise InputError("not a token tree's header", where=str(file), mend="build the tree again and save it")
    version, depth, alphabet, block = (int(value) for value in header)
    if version != VERSION or not 2 <= alphabet <= LARGEST_ALPHABET:
        raise InputError(
            f"version {version} over {alphabet} symbols", where=str(file), mend=f"this release reads version {VERSION}"
        )
    leaves = LeafSet(arrays["symbols"], arrays["spelled"], arrays["ended"], depth, alphabet, block)
    tree = TokenTree(leaves, arrays["counts"])
    tree.check(str(file))
    return tree
