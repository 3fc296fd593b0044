"""What a simulated sweep says, in whole sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elastomath.curve import Curve


def conclusion(curve: Curve, records: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """What the last perturbation did to each dataset, over all runs of the curve, and what undid an alignment.

    records: ``runs`` of a sweep's JSON file, for the volumes that undid an alignment; none for joint optima without a ledger.

    >>> curve = Curve.from_paths("demo", {"pretrain": 10, "align": 1, "perturb": 1}, [0, 1],
    ...     {"pretrain": [1.0, 0.99], "align": [1.0, 1.15], "perturb": [1.0, 0.6]}, "bits/symbol", "symbols")
    >>> print(conclusion(curve)[0])
    The perturbation lengthened the code of the alignment data by 0.15 bits/symbol and shortened that of the
    pre-training data by 0.01: alignment gives way, as the theorem says.
    """
    align, pretrain, ratios, turns = [], [], [], []
    runs = [run for run in curve if {"align", "pretrain"} <= set(run.components) and len(run.perturbations) > 1]
    volumes = [dict(zip(run.components, run.volumes, strict=True)) for run in runs]
    known = all(  # a volume of 1 stands for one that is not known, but in symbols, as simulations count
        run.volume_unit == "symbols" or min(volume["align"], volume["pretrain"]) > 1
        for run, volume in zip(runs, volumes, strict=True)
    )
    for run, volume in zip(runs, volumes, strict=True):
        change = dict(zip(run.components, run.rates - run.rates[:, :1], strict=True))
        align.append(float(change["align"][-1]))
        pretrain.append(float(change["pretrain"][-1]))
        good = (change["align"][1:] > 0) & (change["pretrain"][1:] < 0)
        first = int(np.argmin(good)) if not good.all() else len(good)  # readings before the first with another sign
        if first < len(good):
            turns.append((run.perturbations[first : first + 2] / (volume["align"] if known else 1.0)).tolist())
        if first and known:
            lost, gained = volume["align"] * change["align"][1], volume["pretrain"] * change["pretrain"][1]
            ratios.append(-float(lost / gained))
    if not align:
        return []
    unit = curve.frame["rate_unit"].iloc[0]
    lost_word, gained_word = _moved(align), _moved(pretrain)
    sentence = (
        f"{lost_word} the code of the alignment data{_by(align, unit)} and {gained_word} that of the pre-training "
        f"data{_by(pretrain, '')}"
    )
    if not turns:
        sentences = [f"The perturbation {sentence}: alignment gives way, as the theorem says."]
    elif len(turns) == len(align) and max(last for last, _ in turns) == 0:
        sentences = [
            f"The perturbation {sentence}: the theorem's signs (alignment loses, pre-training gains) hold nowhere."
        ]
    else:
        whole = len(align) - len(turns)
        beside = f", and as far as they were read in {whole} of {len(align)} runs" if whole else ""
        last, after = (_span(list(places)) for places in zip(*turns, strict=True))
        of = "times the alignment data" if known else runs[0].volume_unit
        sentences = [
            f"The largest perturbation {sentence}.",
            f"The theorem's signs (alignment loses, pre-training gains) hold up to a perturbation of {last} {of}, and no longer "
            f"at the next reading, {after}{beside}.",
        ]
    if ratios:
        among = (
            ""
            if len(ratios) == len(align)
            else f" in the {len(ratios)} of {len(align)} runs that have these signs there"
        )
        times = "as much as" if _span(ratios) == "1" else f"{_span(ratios)} times what"
        sentences.append(
            f"At the smallest perturbation, weighted by volume, alignment lost {times} pre-training gained{among}."
        )
    return sentences + _undone(records)


def _moved(changes: list[float]) -> str:
    if all(change > 0 for change in changes):
        return "lengthened"
    return "shortened" if all(change < 0 for change in changes) else "changed"


def _by(changes: list[float], unit: str) -> str:
    sizes = [abs(change) for change in changes] if _moved(changes) != "changed" else changes
    return f" by {_span(sizes)}{' ' + unit if unit else ''}"


def _span(values: list[float]) -> str:
    """The smallest and the largest of the values in two digits, or one number where they look alike."""
    low, high = (f"{value:.2g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _undone(records: Sequence[Mapping[str, Any]]) -> list[str]:
    entries = [entry for row in records for entry in row["record"]["runs"] if entry.get("undo")]
    shares = [entry["undo"]["volume"] / entry["volumes"][1] for entry in entries if entry["undo"]["volume"] is not None]
    if not entries:
        return []
    kept = len(entries) - len(shares)
    never = f"; {kept} of {len(entries)} were not undone within the search" if kept else ""
    if not shares:
        return [f"None of {len(entries)} alignments was undone within the search."]
    return [f"An alignment was undone by {_span(shares)} times its own volume of perturbation{never}."]
