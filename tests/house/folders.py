"""The folders of the house: their order, the arrows between them, the noun of each result, and their tables in CONTRIBUTING.md.

``python tests/house/folders.py`` prints the tables; with ``--write`` they go between their markers in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("elastomath", "sim", "empirical", "paper_checks")
ORDER = (
    "elastomath",
    "elastomath/mixtures",
    "elastomath/certify",
    "elastomath/necessity",
    "elastomath/pareto",
    "elastomath/runs",
    "elastomath/laws",
    "elastomath/defences",
    "elastomath/trees",
    "elastomath/derivations",
    "elastomath/fit",
    "elastomath/codes",
    "elastomath/tails",
    "elastomath/testing",
    "elastomath/rates",
    "elastomath/verification",
    "elastomath/figures",
    "sim",
    "sim/sources",
    "sim/compressors",
    "sim/cycles",
    "sim/studies",
    "empirical",
    "empirical/fetch",
    "empirical/data",
    "empirical/behaviours",
    "empirical/models",
    "empirical/measures",
    "empirical/training",
    "empirical/coding",
    "empirical/stiffness",
    "empirical/laboratory",
    "empirical/rebound",
    "empirical/resistance",
    "empirical/inversion",
    "empirical/durability",
    "empirical/scale",
    "empirical/defence",
    "empirical/tracking",
    "empirical/logs",
    "paper_checks/published",
    "paper_checks/claims",
    "paper_checks/report",
    "paper_checks/cli",
    "paper_checks",
)
"""Every folder, the ground first. An import goes down this list: a folder may use those before it, and none behind it."""
START, END = "<!-- folders: made by tests/house/folders.py -->", "<!-- end of folders -->"
NOUNS_START, NOUNS_END = "<!-- results: made by tests/house/folders.py -->", "<!-- end of results -->"
PLACES = ("laws", "mixtures", "certify", "derivations", "verification")
"""Folders of `elastomath/` in which files have the noun of a result as their name."""

Sources = Mapping[str, str]
Arrow = tuple[str, str, str]
"""(folder that imports, folder that is imported, FILE:LINE)."""


def sources(root: Path = ROOT) -> dict[str, str]:
    """The text of every module and every stub of a face, by its path below ``root``."""
    paths = sorted(path for package in PACKAGES for end in ("*.py", "*.pyi") for path in (root / package).rglob(end))
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def folder_of(path: str) -> str:
    """The folder of a file.

    >>> folder_of("elastomath/laws/response.py"), folder_of("elastomath/curve.py")
    ('elastomath/laws', 'elastomath')
    """
    return path.rpartition("/")[0]


def file_arrows(house: Sources) -> Iterator[tuple[str, str, int]]:
    """(file that imports, file that is imported, line) for every import, wherever in the file it stands.

    Imports inside functions and for type checkers count, and so does `import_module` of a written name. A name that is
    taken from a face counts as one of the file that the face takes it from.
    """
    modules = {_module(path): path for path in house if path.endswith(".py")}
    for path, text in house.items():
        if path.endswith(".py"):
            for name, line in _imports(path, text):
                target = _home(name, modules, house)
                if target is not None and target != path:
                    yield path, target, line


def arrows(house: Sources) -> list[Arrow]:
    """The arrows between different folders, with the places where they are drawn."""
    return [
        (folder_of(path), folder_of(target), f"{path}:{line}")
        for path, target, line in file_arrows(house)
        if folder_of(path) != folder_of(target)
    ]


def breaches(house: Sources) -> list[str]:
    """What breaks the order: an import upwards, a folder without a place in the order, a face that names another folder."""
    place = {folder: index for index, folder in enumerate(ORDER)}
    unknown = {folder_of(path) for path in house} - set(ORDER)
    found = [f"{folder}: no place in ORDER" for folder in sorted(unknown)]
    found += [
        f"{where}: {folder} imports {target}, which stands above it"
        for folder, target, where in arrows(house)
        if not unknown & {folder, target} and place[folder] < place[target]
    ]
    for path, text in house.items():
        if path.endswith(".pyi") and "/" in folder_of(path):
            taken = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
            for node in taken:
                own = isinstance(node, ast.ImportFrom) and node.level == 1 and "." not in (node.module or ".")
                if not own or f"{folder_of(path)}/{node.module}.py" not in house:
                    found.append(f"{path}:{node.lineno}: a face names its own folder only")
    return found


def circles(house: Sources) -> list[list[str]]:
    """Files that import each other in a circle, imports inside functions counted."""
    edges: dict[str, set[str]] = defaultdict(set)
    for path, target, _ in file_arrows(house):
        if not target.endswith("__init__.py"):
            edges[path].add(target)
    order = graphlib.TopologicalSorter(edges)
    found = []
    while True:
        try:
            order.prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]
            found.append(sorted(set(circle)))
            edges = {path: targets if path not in circle else targets - set(circle) for path, targets in edges.items()}
            order = graphlib.TopologicalSorter(edges)
        else:
            return sorted(found)


def table(house: Sources) -> str:
    """The folders in their order: the first sentence of the face, and the folders that each imports (the ground aside)."""
    uses = defaultdict(set)
    for folder, target, _ in arrows(house):
        uses[folder].add(target)
    rows = ["| folder | is | imports, besides `elastomath/*.py` |", "| --- | --- | --- |"]
    for folder in ORDER:
        says = ast.get_docstring(ast.parse(house[f"{folder}/__init__.py"])) or ""
        says = " ".join(says.split("\n\n")[0].split()).partition(": ")[2] if "/" not in folder else says.split("\n")[0]
        names = [name for name in ORDER if name in uses[folder] and name != "elastomath"]
        rows.append(f"| `{folder}` | {says.rstrip('.')} | {', '.join(f'`{_short(name, folder)}`' for name in names)} |")
    return "\n".join(rows)


def nouns(house: Sources, folder: str, name: str) -> dict[str, str]:
    """The noun of each result, R1 first: the file of ``folder`` whose dictionary ``name`` has it as a key; cases (R9a) aside."""
    found = {}
    for path, text in house.items():
        if folder_of(path) == folder and path.endswith(".py"):
            for node in ast.parse(text).body:
                target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
                if getattr(target, "id", "") == name and isinstance(value := getattr(node, "value", None), ast.Dict):
                    keys = [key.value for key in value.keys if isinstance(key, ast.Constant)]
                    found |= {str(key): Path(path).stem for key in keys if str(key)[1:].isdigit()}
    return dict(sorted(found.items(), key=lambda item: int(item[0][1:])))


def results_table(house: Sources) -> str:
    """For each noun its results, and the files and folders that have its name."""
    by_noun: dict[str, list[str]] = {}
    for id, noun in nouns(house, "elastomath/derivations", "BUILDERS").items():
        by_noun.setdefault(noun, []).append(id)
    rows = ["| noun | results | stands in `elastomath/` |", "| --- | --- | --- |"]
    for noun, ids in by_noun.items():
        files = [f"{place}/{noun}.py" for place in PLACES if f"elastomath/{place}/{noun}.py" in house]
        files = ([f"{noun}/"] if f"elastomath/{noun}/__init__.py" in house else []) + files
        rows.append(f"| {noun} | {', '.join(ids)} | {', '.join(f'`{file}`' for file in files)} |")
    return "\n".join(rows)


def page(text: str, house: Sources) -> str:
    """CONTRIBUTING.md with the tables between their markers."""
    for start, end, inner in ((START, END, table(house)), (NOUNS_START, NOUNS_END, results_table(house))):
        head, rest = text.split(start)
        text = f"{head}{start}\n{inner}\n{end}{rest.split(end)[1]}"
    return text


def _short(name: str, folder: str) -> str:
    package, _, own = name.partition("/")
    return own if own and package == folder.partition("/")[0] else name


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


@cache
def _taken(stub: str) -> dict[str, str]:
    """The names that a face lists, each with the module that it is taken from."""
    nodes = [node for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in reversed(nodes) for alias in node.names}


@cache
def _imports(path: str, text: str) -> list[tuple[str, int]]:
    """The dotted names that a file imports; those of ``from X import Y`` as X.Y. Read once, however often the house is."""
    return list(_read_imports(path, text))


def _read_imports(path: str, text: str) -> Iterator[tuple[str, int]]:
    here = path.removesuffix(".py").split("/")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            yield from ((".".join([*base, alias.name]), node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__", "find_spec"} and isinstance(node.args[0].value, str):
                yield node.args[0].value, node.lineno


def _home(name: str, modules: Mapping[str, str], house: Sources) -> str | None:
    """The file behind a dotted name; None where it is none of the house."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = modules.get(".".join(parts[:length]))
        if path is None:
            continue
        stub = house.get(f"{path}i")
        if stub is not None and length < len(parts) and parts[length] in _taken(stub):
            return _home(".".join([*parts[:length], _taken(stub)[parts[length]]]), modules, house)
        return path
    return None


def main() -> None:
    house = sources()
    if "--write" in sys.argv[1:]:
        target = ROOT / "CONTRIBUTING.md"
        target.write_text(page(target.read_text(encoding="utf-8"), house), encoding="utf-8")
    else:
        print(table(house), results_table(house), sep="\n\n")


if __name__ == "__main__":
    main()
