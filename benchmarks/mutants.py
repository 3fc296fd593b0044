"""A random mutation pass over `elastomath/`: `python -m benchmarks.mutants --seed 0 --count 100 [--only laws/]`.

A mutant is one small edit of one file: a comparison, an operator, a sign, a constant, a condition turned, a statement left
out. Each is put into a copy of the tree, where the tests of its file run: the test file that mirrors it, the doctests of the
module. A test that fails or takes too long kills the mutant.

The verdicts are kept in docs/data/mutants.json, so that the same command goes on where it was stopped; what survives is run anew
with ``--again``, under the other unit tests that import from the file too. A survivor that changes no result is equivalent:
somebody writes ``"verdict": "equivalent"`` and a reason into the record. docs/mutants.md is written from the record.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from elastomath.progress import track
from elastomath.storage import whole_file

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE = ROOT / "docs" / "data" / "mutants.json", ROOT / "docs" / "mutants.md"
COPIED = ("elastomath", "sim", "empirical", "paper_checks", "tests", "pyproject.toml")
LEFT_OUT = ("figures", "derivations", "verification", "style.py", "progress.py")
"""Drawings, and what is itself a check of the theory: `tests/mutants/` breaks those."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass
class Mutant:
    """One edit: ``after`` in the place of ``before``, in the function (or class, or module) ``within``.

    nth      how many edits that read the same stand before it in ``within``;  code: the line, for the reader
    verdict  alive (not run), killed, survived, or equivalent; ``why``: what killed it, or what was found about it
    """

    file: str
    within: str
    line: int
    kind: str
    before: str
    after: str
    nth: int
    code: str
    place: tuple[int, int] = field(default=(0, 0), repr=False)
    verdict: str = "alive"
    why: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What stays when lines move."""
        return self.file, self.within, self.kind, self.before, self.after, self.nth

    def source(self, text: bytes) -> bytes:
        """The file with the edit."""
        first, last = self.place
        return text[:first] + self.after.encode() + text[last:]


# --- edits --------------------------------------------------------------------------------------------------------
def mutants(path: Path) -> list[Mutant]:
    """Every edit of a file, in the order of its lines."""
    text = path.read_bytes()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    listed, name = [], path.relative_to(ROOT).as_posix()
    alike: Counter[tuple[str, ...]] = Counter()
    for node, within, kind, after in _edits(ast.parse(text), ""):
        assert isinstance(node, ast.expr | ast.stmt)
        first = starts[node.lineno - 1] + node.col_offset
        last = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        before = text[first:last].decode()
        code = text[starts[node.lineno - 1] : starts[node.lineno]].decode().strip()
        nth = alike[within, kind, before, after]
        alike[within, kind, before, after] += 1
        listed.append(Mutant(name, within, node.lineno, kind, before, after, nth, code, (first, last)))
    return listed


def _edits(node: ast.AST, within: str) -> Iterator[tuple[ast.AST, str, str, str]]:
    """(node, where it is, kind, its new code) for a node and all below it; types, texts and imports are left alone."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        within = f"{within}.{node.name}".lstrip(".")
    for kind, after in _of(node):
        yield node, within, kind, after
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params", "type_comment", "ctx", "op", "ops"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(
                child, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Raise | ast.Assert
            ):
                yield from _edits(child, within)
            if isinstance(child, ast.Raise):
                yield child, within, "statement", "pass"


def _of(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Compare):
        for place, old in enumerate(node.ops):
            ops: list[ast.cmpop] = list(node.ops)
            ops[place] = COMPARISONS[type(old)]()
            yield "comparison", _code(ast.Compare(node.left, ops, node.comparators))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield "operator", _code(ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield "sign" if isinstance(node.op, ast.USub) else "condition", _code(node.operand)
    elif isinstance(node, ast.BoolOp):
        yield "condition", _code(ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "constant", str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield "constant", str(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield "constant", repr(node.value * 1.5 if node.value else 1.0)
    elif isinstance(node, ast.IfExp):
        yield "condition", _code(ast.IfExp(node.test, node.orelse, node.body))
    elif isinstance(node, ast.AugAssign) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.YieldFrom)
    ):
        yield "statement", "pass"


def _code(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"


def draw(listed: list[Mutant], seed: int, count: int) -> list[Mutant]:
    """``count`` of them at random, of each kind in turn: most edits there are would change a constant."""
    rng = random.Random(seed)
    kinds = [[m for m in listed if m.kind == kind] for kind in sorted({mutant.kind for mutant in listed})]
    for kind in kinds:
        rng.shuffle(kind)
    return [m for turn in itertools.zip_longest(*kinds) for m in turn if m is not None][:count]


# --- runs ---------------------------------------------------------------------------------------------------------
def tests(file: str, tree: Path) -> list[list[str]]:
    """What runs for a file, in order: its own tests and doctests, then other unit tests that import from it."""
    path = Path(file)
    own = Path("tests/unit", path.parent, f"test_{path.stem}.py")
    name = ".".join(path.with_suffix("").parts)
    rest = [
        str(other.relative_to(tree))
        for other in sorted((tree / "tests/unit/elastomath").rglob("test_*.py"))
        if other != tree / own and not other.stem.endswith("_speed") and f"from {name} import" in other.read_text()
    ]
    return [[file, *([str(own)] if (tree / own).exists() else [])], rest]


def red(tree: Path, chosen: list[str], seconds: float) -> str:
    """The first test that fails, "time" where they take too long, "" where all are green.

    In a child of this process, which has loaded what is heavy and nothing of the package that is broken.
    """
    log = tree / "pytest.log"
    child = os.fork()
    if child == 0:
        signal.alarm(math.ceil(seconds))
        os.chdir(tree)
        with log.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
            del sys.modules[name]
        sys.path[:0] = [str(tree)]
        sys.dont_write_bytecode = True
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", *chosen]))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (0, 5):  # 5: no test was collected
        return ""
    if status == -signal.SIGALRM:
        return "time"
    names = [line.split(" - ")[0] for line in log.read_text().splitlines() if line.startswith(("FAILED", "ERROR"))]
    return names[0].split(maxsplit=1)[1] if names else "collection"


def judge(mutant: Mutant, tree: Path, spent: dict[str, float], wide: bool) -> None:
    """Run the tests of one mutant (``wide``: those of other files too), and write down what killed it."""
    target = tree / mutant.file
    original = target.read_bytes()  # as it was when the mutants were listed
    for chosen in tests(mutant.file, tree)[: 2 if wide else 1]:
        if not chosen:
            continue
        key = " ".join(chosen)
        if key not in spent:
            start = time.perf_counter()
            if name := red(tree, chosen, 600):
                raise SystemExit(f"mutants: {name} fails without a mutant; mend it first")
            spent[key] = time.perf_counter() - start
        try:
            target.write_bytes(mutant.source(original))
            name = red(tree, chosen, 30 + 4 * spent[key])
        finally:
            target.write_bytes(original)
        if name:
            mutant.verdict, mutant.why = "killed", name
            return
    mutant.verdict, mutant.why = "survived", ""


# --- the record and its page --------------------------------------------------------------------------------------
def read_record() -> list[Mutant]:
    """The verdicts so far."""
    return [Mutant(**entry) for entry in json.loads(RECORD.read_text())] if RECORD.exists() else []


def keep(record: list[Mutant]) -> None:
    """Write the record and the page."""
    rows = [{name: value for name, value in asdict(mutant).items() if name != "place"} for mutant in record]
    with whole_file(RECORD) as out:
        out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    with whole_file(PAGE) as out:
        out.write_text(page(record))


def page(record: list[Mutant]) -> str:
    """docs/mutants.md."""
    counts = Counter(mutant.verdict for mutant in record)
    by_kind = Counter((mutant.kind, mutant.verdict) for mutant in record)
    lines = [
        "# Mutants",
        "",
        "`make mutants` breaks `elastomath/` at random, one small edit at a time, and runs the tests of the file that was "
        "broken (its own test file and its doctests; what survives them also meets the other unit tests that import from it). "
        "A test that fails, or runs out of "
        "time, kills the mutant. What survives is a line that none of them holds in place: a missing test, or an "
        "edit that changes no result. Files that draw figures, and the derivations and `verify`, which are checks "
        "themselves, are left out; `tests/mutants/` breaks what they check.",
        "",
        f"{len(record)} mutants were run: {counts['killed']} killed, {counts['equivalent']} equivalent, "
        f"{counts['survived']} survived.",
        "",
        "| edit | killed | equivalent | survived |",
        "| --- | --- | --- | --- |",
    ]
    for kind in sorted({mutant.kind for mutant in record}):
        lines.append(f"| {kind} | " + " | ".join(str(by_kind[kind, v]) for v in VERDICTS) + " |")
    for verdict, title in (
        ("survived", "Survivors"),
        ("equivalent", "Equivalent"),
        ("killed", "Killed by a test that was written for it"),
    ):
        rows = [m for m in record if m.verdict == verdict and (verdict != "killed" or m.why.startswith("new: "))]
        lines += ["", f"## {title}", ""]
        if not rows:
            lines.append("None.")
            continue
        lines += ["| where | line | edit | |", "| --- | --- | --- | --- |"]
        for mutant in rows:
            lines.append(
                f"| `{mutant.file.removeprefix('elastomath/')}` {_cell(mutant.within)} | {_cell(mutant.code)} | "
                f"{_cell(mutant.before)} to {_cell(mutant.after)} | {mutant.why.removeprefix('new: ')} |"
            )
    return "\n".join(lines) + "\n"


VERDICTS = ("killed", "equivalent", "survived")


def _cell(code: str) -> str:
    short = " ".join(code.split())
    return "`" + (short if len(short) < 90 else short[:87] + "...").replace("|", "\\|") + "`"


def main(arguments: list[str] | None = None) -> int:
    """Draw, run, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (0)")
    parser.add_argument("--count", type=int, default=100, help="mutants drawn (100)")
    parser.add_argument("--only", default="", help="files below elastomath/ whose path starts so, separated by commas")
    parser.add_argument("--again", action="store_true", help="run the survivors of the record anew, draw none")
    parser.add_argument("--page", action="store_true", help="write the page from the record, run nothing")
    options = parser.parse_args(arguments)

    record = read_record()
    listed = [
        mutant
        for path in sorted((ROOT / "elastomath").rglob("*.py"))
        if not (name := path.relative_to(ROOT / "elastomath").as_posix()).startswith(LEFT_OUT)
        and name.startswith(tuple(options.only.split(",")))
        for mutant in mutants(path)
    ]
    if options.page:
        chosen = []
    elif options.again:
        survivors = {mutant.key for mutant in record if mutant.verdict == "survived"}
        chosen = list({mutant.key: mutant for mutant in listed if mutant.key in survivors}.values())
        gone = survivors - {mutant.key for mutant in listed}
        record = [mutant for mutant in record if mutant.key not in gone]  # the code is not there any more
    else:
        judged = {mutant.key for mutant in record}
        chosen = [mutant for mutant in draw(listed, options.seed, options.count) if mutant.key not in judged]
    for heavy in (
        "flint",
        "hypothesis",
        "mpmath",
        "numba",
        "numpy",
        "scipy.optimize",
        "scipy.special",
        "scipy.stats",
        "sympy",
    ):
        importlib.import_module(heavy)  # once, for all children
    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        tree = Path(name)
        if chosen:
            for part in COPIED:
                source = ROOT / part
                if source.is_dir():
                    shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(source, tree / part)
        for mutant in track(chosen, len(chosen), "mutants"):
            before = next((old for old in record if old.key == mutant.key), None)
            judge(mutant, tree, spent, options.again)
            if before is not None:
                record.remove(before)
                mutant.why = f"new: {mutant.why}" if mutant.verdict == "killed" else before.why
            record.append(mutant)
            record.sort(key=lambda seen: (seen.file, seen.line, seen.kind, seen.after))
            keep(record)
            print(
                f"{mutant.verdict:9} {mutant.file}:{mutant.line}  {mutant.before!r} -> {mutant.after!r}  {mutant.why}"
            )
    keep(record)
    counts = Counter(mutant.verdict for mutant in record)
    print(f"{len(listed)} possible, {len(record)} run: " + ", ".join(f"{counts[v]} {v}" for v in VERDICTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
