"""Datasets in files, on a common leaf set, and everything the theory says of their rates (`elastomath rates`)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import rows as as_list
from ..errors import InputError
from ..foreign import array_of, bytes_of, refuse_kind
from ..laws.response import response
from ..mixtures.masses import Masses, as_masses
from ..mixtures.mixture import Mixture
from ..tables import json_object
from ..trees.jointtree import JointTree
from ..trees.tokentree import TokenTree
from ..units import NATS_PER_BIT
from .rates import code_lengths, rate_response, rates

FileName = str | os.PathLike[str]
SYMBOL = {"bytes": "byte", "bits": "symbol"}
SUFFIXES = (".npy", ".txt", ".jsonl")


@dataclass(frozen=True, slots=True, eq=False)
class Datasets:
    """Datasets on a common leaf set.

    ``names``: n file names. ``masses``: P_i, shape (n, M). ``spelled``: symbols a leaf spells, shape (M,), or None for
    leaf masses without text, where a leaf is the symbol. ``symbol``: what a rate is taken per, ``byte`` or ``symbol``.
    """

    names: tuple[str, ...]
    masses: Array
    spelled: NDArray[np.int64] | None
    symbol: str


def read_masses(path: FileName) -> Masses:
    """Leaf masses from a ``.npy`` file: one-dimensional real numbers >= 0 that sum to 1. Shape (M,).

    Nothing in the file is executed (no pickle). Raises InputError for a file that is missing, truncated or pickled,
    and for masses that `as_masses` refuses.
    """
    values, file = array_of(path), os.fspath(path)
    if values.dtype.kind not in "iuf":
        raise InputError(f"masses have type {values.dtype}", where=str(file), mend="save real numbers")
    return as_masses(values, where=str(file))


def read_documents(path: FileName, column: str = "text") -> list[str | bytes]:
    """Documents of a ``.txt`` file (its bytes as they are, UTF-8 or not, as one document) or of a ``.jsonl`` file.

    A line of JSONL is an object whose ``column`` is a string, one document; blank lines are skipped.
    Raises InputError with the line for JSON that is broken or lacks the column.
    """
    file, data = Path(path), bytes_of(path)
    if file.suffix.lower() == ".txt":
        return [data]
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [_document(line, f"{file}, line {i}", column) for i, line in enumerate(lines, 1) if line.strip()]


def read_datasets(files: Sequence[FileName], depth: int = 8, unit: str = "bytes", column: str = "text") -> Datasets:
    """Each file as a dataset: ``.npy`` leaf masses of one length, or text (``.txt``, ``.jsonl``) through the token tree.

    Text is cut into blocks of ``depth`` symbols (see `TokenTree.of`) and put on the union of the leaves.
    Raises InputError for no file, another suffix, masses mixed with text, different lengths, and empty text.
    """
    paths = _paths(files)
    names = tuple(str(path) for path in paths)
    kinds = [_kind(path) for path in paths]
    if len(set(kinds)) > 1:
        first = kinds.index("masses" if kinds[0] == "text" else "text")
        raise InputError(
            f"{kinds[first]} beside {kinds[0]} of {names[0]}",
            where=names[first],
            mend="pass only .npy masses, or only .txt and .jsonl text",
        )
    if kinds[0] == "masses":
        rows = [read_masses(path) for path in paths]
        for name, row in zip(names, rows, strict=True):
            if row.size != rows[0].size:
                raise InputError(
                    f"{row.size} leaves where {names[0]} has {rows[0].size}",
                    where=name,
                    mend="put the masses on a common leaf set",
                )
        return Datasets(names, np.stack(rows), None, "symbol")
    joint = JointTree.of([_tree(path, depth, unit, column) for path in paths])
    return Datasets(names, joint.masses, joint.leaf_set.spelled, SYMBOL[unit])


def dataset_rates(
    files: Sequence[FileName],
    volumes: ArrayLike | None = None,
    depth: int = 8,
    unit: str = "bytes",
    rate_unit: str = "bits",
    column: str = "text",
) -> dict[str, Any]:
    """Rates and response of datasets in files, as JSON values; lists are in the order of the files.

    ``rates``            gamma_i = sum_x P_i(x) (-log q(x)) / s(x), in ``unit``; s = 1 for ``.npy`` masses
    ``response``         d gamma_i/dl in ``unit`` per unit of the last volume l (R1)
    ``unit``             bits (or nats) per byte for text, per symbol for text over bits and for masses (a leaf drawn)
    ``entropies``, ``kl_forward``, ``kl_reverse``   H(P_i), D(P_i || q), D(q || P_i), in ``leaf_unit`` (R12)
    ``normalised``       H(P_i, q) - log M: the normalised rate per block, in ``leaf_unit``
    ``code_lengths``     E_i[L] of the Shannon and the Huffman code of q, in ``leaf_unit`` (R14)
    ``overlaps``         O_i = sum P_i P_t / q: C of the first file, A of the second, T of the last; all under ``all``
    ``balance_residual`` sum w_i dH_i/dl per leaf drawn, which is 0 (R2); ``epsilon``, ``theta_constant`` as in R3
    ``halves``           whether the first dataset is the mean of the other two, to rounding: then R18 bounds ``theta_constant``
    ``uncovered``        tau, the mass of P_t outside the support of the others (R3: then a small l does not help)
    ``datasets``, ``volumes``, ``leaves`` (M), ``symbols_per_leaf`` (E_i[s])

    ``volumes``: w_i > 0, one a file, the last is the perturbation; it may be left out for a single file.
    An infinite or undefined value is None: kl_reverse where dataset i lacks a leaf, and what needs more files
    (response and overlaps two, A, epsilon and theta_constant three). ``rate_unit``: ``bits`` or ``nats``.

    Raises InputError for any input that cannot be used, in one line.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> files = [folder / name for name in ("pretrain.npy", "align.npy", "perturb.npy")]
    >>> for file, row in zip(files, ([0.5, 0.25, 0.25], [0, 0.5, 0.5], [1, 0, 0])):
    ...     np.save(file, np.array(row))
    >>> result = dataset_rates(files, [10, 1, 0.5])
    >>> result["unit"], [round(rate, 4) for rate in result["rates"]], round(result["overlaps"]["C"], 4)
    ('bits/symbol', [1.5014, 1.9386, 1.0641], 1.0455)
    """
    if rate_unit not in ("bits", "nats"):
        raise InputError(f"unknown unit of rates {rate_unit!r}", where="rates", mend="use bits or nats")
    weights = _volumes(volumes, len(_paths(files)))
    data = read_datasets(files, depth, unit, column)
    mixture = Mixture.of(data.masses, weights)
    scale = 1.0 / NATS_PER_BIT if rate_unit == "bits" else 1.0
    to_unit = 1.0 if rate_unit == "bits" else NATS_PER_BIT  # from bits
    cross = mixture.cross_entropies()
    spelled = np.ones(mixture.leaves) if data.spelled is None else data.spelled
    result: dict[str, object] = {
        "unit": f"{rate_unit}/{data.symbol}",
        "leaf_unit": f"{rate_unit}/leaf",
        "datasets": list(data.names),
        "volumes": _json(mixture.volumes),
        "leaves": mixture.leaves,
        "symbols_per_leaf": _json(mixture.components @ spelled),
        "entropies": _json(mixture.entropies() * scale),
        "rates": _json(rates(mixture, data.spelled) * scale),
        "normalised": _json((cross - math.log(mixture.leaves)) * scale),
        "code_lengths": {code: _json(values * to_unit) for code, values in code_lengths(mixture).items()},
        "kl_forward": _json(mixture.kl_forward() * scale),
        "kl_reverse": _json(mixture.kl_reverse() * scale),
    }
    return result | _responses(mixture, data.spelled, scale)


def _responses(mixture: Mixture, spelled: NDArray[np.int64] | None, scale: float) -> dict[str, object]:
    count = len(mixture.volumes)
    keys = ("response", "overlaps", "balance_residual", "epsilon", "theta_constant", "halves", "uncovered")
    if count < 2:
        return dict.fromkeys(keys)
    answer = response(mixture)
    overlaps = _json(answer.overlaps)
    others = mixture.components[:-1].sum(axis=0)
    return {
        "response": _json(rate_response(mixture, spelled) * scale),
        "overlaps": {"C": overlaps[0], "A": overlaps[1] if count > 2 else None, "T": overlaps[-1], "all": overlaps},
        "balance_residual": _number(answer.balance * scale),
        "epsilon": _number(answer.epsilon),
        "theta_constant": _number(answer.theta_constant),
        "halves": _halves(mixture.components),
        "uncovered": _number(float(mixture.components[-1][others == 0].sum())),
    }


def _halves(rows: NDArray[np.float64]) -> bool:
    """Whether the first of three rows of masses is the mean of the others, to rounding."""
    return len(rows) == 3 and bool(np.abs(2 * rows[0] - rows[1] - rows[2]).max() <= 1e-12 * rows.max())


def _paths(files: Sequence[FileName]) -> list[Path]:
    names = [] if isinstance(files, os.PathLike) else as_list(files, "files", "datasets")
    if not names or not all(isinstance(name, str | os.PathLike) for name in names):
        raise InputError("no list of files", where="datasets", mend="name at least one file")
    return [Path(name) for name in names]


def _volumes(volumes: ArrayLike | None, count: int) -> ArrayLike:
    if volumes is None:
        if count == 1:
            return [1.0]
        raise InputError(
            f"no volumes for {count} files", where="volumes", mend="give one number > 0 for each file, in their order"
        )
    try:
        weights = np.asarray(volumes, dtype=np.float64)
    except (TypeError, ValueError):
        return volumes  # refused, with its reason, by the mixture
    for index, value in enumerate(np.atleast_1d(weights)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"volume {index} is {value:g}", where="volumes", mend="volumes have to be finite and > 0")
    return weights


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        refuse_kind(path, "a dataset", f"use one of {', '.join(SUFFIXES)}")
        raise InputError(f"unknown suffix {suffix!r}", where=str(path), mend=f"use one of {', '.join(SUFFIXES)}")
    return "masses" if suffix == ".npy" else "text"


def _tree(path: Path, depth: int, unit: str, column: str) -> TokenTree:
    documents = read_documents(path, column)
    if not any(documents):
        raise InputError("no text", where=str(path), mend="give at least one document that is not empty")
    try:
        return TokenTree.of(documents, depth, unit)
    except InputError as error:  # say which file
        raise InputError(error.what, where=f"{path}, {error.where}", mend=error.mend) from error


def _document(line: bytes, where: str, column: str) -> str:
    try:
        record = json_object(line.decode(), where)
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8", where=where, mend="save the JSONL file as UTF-8") from error
    if column not in record:
        there = ", ".join(repr(name) for name in record) or "none"
        raise InputError(
            f"no column {column!r}", where=where, mend=f"the columns there are {there}; rename one of them"
        )
    text = record[column]
    if not isinstance(text, str):
        raise InputError(f"column {column!r} holds a {type(text).__name__}", where=where, mend="it has to be a string")
    return text


def _json(values: Iterable[float]) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
