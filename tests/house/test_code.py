"""The code inside the files: no long functions outside the derivations, and nouns for variables."""

import ast

import pytest

from .folders import sources

LONGEST = 60
"""Lines of a function behind its docstring."""
NO_NOUNS = {"found", "seen", "told", "made", "held"}
"""What a variable is not called: a reader would have to look back for what it stands for."""


def long_functions(nodes):
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[0] if ast.get_docstring(node) is None or len(node.body) == 1 else node.body[1]
            lines = node.end_lineno - start.lineno + 1
            if lines > LONGEST:
                yield f"{node.name}: {lines} lines"


def no_nouns(nodes):
    for node in nodes:
        name = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else getattr(node, "arg", None)
        if name in NO_NOUNS and not isinstance(node, ast.keyword):
            yield f"{name} in line {node.lineno}"


def nodes_of(source):
    return list(ast.walk(ast.parse(source)))


def test_functions_are_short_outside_the_derivations_and_variables_are_called_by_nouns():
    faults = []
    for path, source in sources().items():
        if path.endswith(".py"):
            nodes = nodes_of(source)
            faults += [f"{path}: {fault}" for fault in no_nouns(nodes)]
            if not path.startswith("elastomath/derivations/"):
                faults += [f"{path}: {fault}" for fault in long_functions(nodes)]
    assert faults == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("found = 1", 1),
        ("for told in rows: pass", 1),
        ("def f(seen): return seen", 1),
        ("class A:\n    held: int", 1),
        ("g(lambda made: made)", 1),
        ("[found for found in rows]", 1),
        ("row.held = g(seen=1)", 0),
    ],
)
def test_a_variable_that_is_no_noun_is_found(source, count):
    assert len(list(no_nouns(nodes_of(source)))) == count


@pytest.mark.parametrize(("lines", "count"), [(LONGEST, 0), (LONGEST + 1, 1)])
def test_a_long_function_is_found(lines, count):
    source = 'def f():\n    """A\n\n    docstring.\n    """\n' + "    x = 1\n" * lines
    assert len(list(long_functions(nodes_of(source)))) == count
    within = f"class A:\n    {source.replace(chr(10), chr(10) + '    ')}"
    assert len(list(long_functions(nodes_of(within)))) == count
