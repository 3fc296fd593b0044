"""R9 verified: the counterexamples, each assumption of the theorem dropped in turn."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .instances import exact_overlaps, random_volumes, seen_alike, whole_rows
from .tally import COUNTEREXAMPLE, Result, Tally


@dataclass(frozen=True)
class Counterexample:
    """An instance that violates the theorem without one of its assumptions: exact masses, volumes, and what they give."""

    id: str
    title: str
    missing: str
    failing: str
    rows: tuple[tuple[Fraction, ...], ...]
    volumes: tuple[Fraction, ...]

    def responses(self) -> list[Fraction]:
        """dH_p, dH_a, dH_t per unit of l, in exact fractions."""
        total = sum(self.volumes)
        return [(1 - overlap) / total for overlap in exact_overlaps(self.rows, self.volumes)]

    def text(self) -> str:
        """The instance and its responses in plain text."""
        names = ("P_p", "P_a", "P_t")
        masses = [f"    {n} = ({', '.join(map(str, row))})" for n, row in zip(names, self.rows, strict=True)]
        values = [f"dH_{n} = {value}" for n, value in zip("pat", self.responses(), strict=True)]
        return "\n".join(
            [
                f"{self.id}  {self.title}",
                "",
                f"The theorem says dH_p < 0 < dH_a and dH_a = Theta(-k dH_p). Without {self.missing} it fails: {self.failing}.",
                "Leaf masses",
                *masses,
                f"with volumes (k, 1, l) = ({', '.join(map(str, self.volumes))}) give, exactly,",
                "    " + ", ".join(values) + f", -dH_a/(k dH_p) = {self.ratio()}",
            ]
        )

    def latex(self) -> str:
        """The same as a LaTeX fragment."""
        names = ("P_p", "P_a", "P_t")
        masses = [f"{n} = ({', '.join(map(_tex, row))})" for n, row in zip(names, self.rows, strict=True)]
        values = [f"dH_{n}/dl = {_tex(value)}" for n, value in zip("pat", self.responses(), strict=True)]
        missing = re.sub(r"D_p = D_1 u D_2 u D_3", _tex_union, self.missing)
        title = re.sub(r"P_\w( = P_\w)?", lambda name: rf"\( {name[0]} \)", self.title)
        return "\n".join(
            [
                rf"\paragraph{{{self.id}. {title}}}",
                rf"Without {missing} the theorem fails: {_tex_signs(self.failing)}. Leaf masses",
                rf"\[ {', '.join(masses)} \]",
                rf"with volumes \( (k, 1, l) = ({', '.join(map(_tex, self.volumes))}) \) give, exactly,",
                rf"\[ {', '.join(values)} \]",
            ]
        )

    def ratio(self) -> Fraction:
        """-dH_a/(k dH_p), which the theorem wants positive and bounded on both sides."""
        pretrain, align, _ = self.responses()
        return -align / (self.volumes[0] * pretrain)


def _tex_union(words: re.Match[str]) -> str:
    return rf"\( {words[0].replace(' u ', chr(92) + 'cup ')} \)"


def _tex_signs(words: str) -> str:
    return words.replace("dH_p > 0", r"\( dH_p/dl > 0 \)")


def _tex(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else rf"\tfrac{{{value.numerator}}}{{{value.denominator}}}"


COUNTEREXAMPLES = {
    "R9a": Counterexample(
        "R9a",
        "Disjoint supports, no union",
        "the union D_p = D_1 u D_2 u D_3",
        "dH_p > 0, and the ratio of Theta is negative",
        whole_rows([1, 0, 0], [0, 1, 0], [0, 0, 1]),
        (Fraction(10), Fraction(1), Fraction(1, 10)),
    ),
    "R9b": Counterexample(
        "R9b",
        "The alignment data is the perturbation data: P_a = P_t, different from P_p",
        "alignment and perturbation data that differ",
        "both signs flip (only Theta stays: the ratio is 1/(1+l))",
        whole_rows([1, 1], [1, 0], [1, 0]),
        (Fraction(10), Fraction(1), Fraction(1, 10)),
    ),
}
"""The counterexamples of R9 as instances: the smallest trees on which they exist (three leaves, two leaves)."""


def _disjoint(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    example = COUNTEREXAMPLES["R9a"]
    instances = [(example.rows, example.volumes)]
    for _ in range(min(cases, 50)):
        sizes = rng.integers(1, 4, size=3)
        edges = np.concatenate([[0], np.cumsum(sizes)])
        rows = [[0] * int(edges[-1]) for _ in range(3)]
        for row, low, high in zip(rows, edges[:-1], edges[1:], strict=True):
            row[low:high] = [int(count) for count in rng.integers(1, 10, size=high - low)]
        instances.append((whole_rows(*rows), random_volumes(rng)))
    for masses, volumes in instances:
        tally.cases += 1
        total = sum(volumes)
        responses = [(1 - overlap) / total for overlap in exact_overlaps(masses, volumes)]
        tally.true(f"dH_p, dH_a = {responses[:2]}", responses[0] == responses[1] == 1 / total)
        seen_alike(tally, masses, volumes, responses, [1, 1])
    tally.notes.append(
        "P_p, P_a, P_t on one leaf each, k = 10, l = 1/10: dH_p = dH_a = 1/N = 10/111 > 0, so dH_p < 0 fails, and "
        "-dH_a/(k dH_p) = -1/10 < 0, so Theta fails"
    )
    tally.true(
        "the printed instance", example.responses()[0] == Fraction(10, 111) and example.ratio() == Fraction(-1, 10)
    )


def _same(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    example = COUNTEREXAMPLES["R9b"]
    instances = [(example.rows, example.volumes)]
    for _ in range(min(cases, 50)):
        leaves = int(rng.integers(2, 7))
        pretrain, align = rng.integers(1, 10, size=(2, leaves))
        if (pretrain * align.sum() == align * pretrain.sum()).all():
            align[0] += 1
        rows = [[int(count) for count in row] for row in (pretrain, align, align)]
        instances.append((whole_rows(*rows), random_volumes(rng)))
    for masses, volumes in instances:
        tally.cases += 1
        overlaps, total = exact_overlaps(masses, volumes), sum(volumes)
        tally.true(f"A, T = {overlaps[1:]}", overlaps[1] == overlaps[2] > 1)
        responses = [(1 - overlap) / total for overlap in overlaps]
        tally.true(f"dH_p, dH_a = {responses[:2]}", responses[1] < 0 < responses[0])
        seen_alike(tally, masses, volumes, responses, [1, -1])
    pretrain, align, _ = example.responses()
    tally.notes.append(
        f"P_p = (1/2, 1/2), P_a = P_t = (1, 0), k = 10, l = 1/10: dH_p = {pretrain} > 0 > dH_a = {align}: both signs flip"
    )


def _explained(id: str) -> Callable[[str], str]:
    return lambda style: COUNTEREXAMPLES[id].text() if style == "text" else COUNTEREXAMPLES[id].latex()


RESULTS = {
    "R9a": Result(COUNTEREXAMPLE, (("counterexample", _disjoint),), _explained("R9a")),
    "R9b": Result(COUNTEREXAMPLE, (("counterexample", _same),), _explained("R9b")),
}
