"""The token tree of a few responses (Def 3.1) and what pruning leaves of it (Def 3.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from elastomath.errors import InputError
from elastomath.figures import INK, STYLES, WIDTH, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

END = "."
"""How the end of a response is drawn."""


@styled
def tree_figure(responses: Sequence[str], cut: int) -> Figure:
    """Left the whole tree of a few short responses, right its top ``cut`` layers; a number is a node's count of responses.

    Circles are inner nodes, squares EOS leaves, triangles nodes below which something was cut: each carries the sum of what
    was below it. Raises InputError for no response, or for a cut below 1.
    """
    from matplotlib.figure import Figure

    if not responses or cut < 1:
        raise InputError(f"{len(responses)} responses, cut {cut}", where="tree figure", mend="give both, at least one")
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    depth = max(len(response) for response in responses) + 1
    for panel, (title, layers) in enumerate((("the token tree", depth), (f"pruned to {cut} layers", cut)), 1):
        axes = figure.add_subplot(1, 2, panel)
        axes.set_title(title)
        _draw(axes, counted(responses, layers), depth)
    return figure


def counted(responses: Sequence[str], layers: int) -> dict[str, int]:
    """The nodes of the tree cut at ``layers``: how many responses go through the prefix, or end there (prefix and a dot).

    >>> counted(["a", "ab", "ab"], 2)
    {'': 3, 'a': 3, 'a.': 1, 'ab': 2}
    """
    nodes: Counter[str] = Counter()
    for response in responses:
        spelled = response + END
        nodes.update(spelled[:place] for place in range(min(layers, len(spelled)) + 1))
    return dict(sorted(nodes.items(), key=lambda node: (len(node[0]), node[0])))


def _draw(axes: Axes, nodes: dict[str, int], depth: int) -> None:
    children: dict[str, list[str]] = {node: [] for node in nodes}
    for node in nodes:
        if node:
            children[node[:-1]].append(node)
    places: dict[str, float] = {}

    def place(node: str) -> float:
        below = [place(child) for child in sorted(children[node])]
        places[node] = sum(below) / len(below) if below else float(sum(not children[n] and n in places for n in places))
        return places[node]

    place("")
    for node, count in nodes.items():
        x, y = places[node], -len(node)
        if node:
            axes.plot([places[node[:-1]], x], [y + 1, y], color=INK, lw=1.0, zorder=1)
            axes.text((places[node[:-1]] + x) / 2, y + 0.5, "EOS" if node[-1] == END else node[-1], fontsize=8, ha="center",
                      va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8}, zorder=2)  # fmt: skip
        ended, is_cut = node.endswith(END), not children[node] and not node.endswith(END)
        style = STYLES[1] if ended else STYLES[2] if is_cut else STYLES[0]
        axes.plot(
            x, y, marker="s" if ended else "^" if is_cut else "o", ms=13, color="white", mec=style[0], mew=1.5, zorder=3
        )
        axes.text(x, y - 0.02, str(count), fontsize=8.5, ha="center", va="center", zorder=4)
    axes.set_xlim(-0.7, max(places.values()) + 0.7)
    axes.set_ylim(-depth - 0.4, 0.5)
    axes.axis("off")
