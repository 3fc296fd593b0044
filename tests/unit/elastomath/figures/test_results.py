"""Figures of results: what is drawn is what there is, and an axis says its unit."""

from elastomath.figures.results import END, FIGURES, counted


def test_a_full_stop_is_a_symbol_and_no_end():
    """The end was drawn as a dot, so that "a" and "a.b" had one node for an end and for a symbol."""
    assert counted(["a", "a.b"], 3) == {"": 2, "a": 2, "a" + END: 1, "a.": 1, "a.b": 1}
    for responses in (["a.", "a", "a"], ["", ".", ".."], ["é.é"]):
        nodes = counted(responses, 5)
        ends = {node[:-1]: count for node, count in nodes.items() if node.endswith(END)}
        assert ends == {response: responses.count(response) for response in responses}
        for node, count in nodes.items():
            if not node.endswith(END):
                assert count == sum(response.startswith(node) for response in responses)


def test_a_response_is_by_unit_of_the_perturbation():
    for name in ("R1", "R11"):
        (axes,) = FIGURES[name]().axes
        assert axes.get_ylabel().endswith("nats per unit of l")
