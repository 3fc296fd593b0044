"""The verb `rates`: compression rates of datasets, and how they answer to the last one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .terminal import Json, conclude, emit, number_of, numbers, short, table


def rates(
    files: Annotated[
        list[Path],
        typer.Argument(help="One file for each dataset: .npy masses on common leaves, or text (.txt, .jsonl)."),
    ],
    volumes: Annotated[
        str | None,
        typer.Option(
            "--volumes", help="Amount of each dataset, in their order: pretrain, align, perturb, e.g. 100,1,0.5."
        ),
    ] = None,
    depth: Annotated[int, typer.Option("--depth", help="Symbols a block of text, the depth of the pruned tree.")] = 4,
    symbols: Annotated[str, typer.Option("--symbols", help="What a symbol of text is: bytes or bits.")] = "bytes",
    unit: Annotated[str, typer.Option("--unit", help="Unit of information: bits or nats.")] = "bits",
    as_json: Json = False,
) -> int:
    """How long the ideal code of one mixture makes each dataset, and whose code the last dataset lengthens or shortens."""
    from elastomath.rates.datasets import dataset_rates

    weights = None if volumes is None else numbers(volumes, "--volumes")
    result = dataset_rates(files, weights, depth=depth, unit=symbols, rate_unit=unit)
    result["conclusion"] = conclusion(result)

    def show() -> None:
        conclude(result["conclusion"])
        rows = [
            {"dataset": name, "volume": result["volumes"][i], "entropy": result["entropies"][i]}
            | {"rate": result["rates"][i], "shannon": result["code_lengths"]["shannon"][i]}
            | {
                "huffman": result["code_lengths"]["huffman"][i],
                "response": (result["response"] or [None] * len(files))[i],
            }
            for i, name in enumerate(result["datasets"])
        ]
        table(rows, tuple(rows[0]))
        print()
        conclude(_legend(result, depth), blank=False)

    emit(result, as_json, show)
    return 0


def _legend(result: dict[str, Any], depth: int) -> list[str]:
    """What the columns mean, and in which unit: of text, rates are by symbol and code lengths by block."""
    information, symbol = result["unit"].split("/")
    units = f"In {result['unit']}, over {result['leaves']:,} {'leaf' if result['leaves'] == 1 else 'leaves'}."
    if _by_block(result):
        units = (
            f"Rate and response are in {result['unit']}; entropy, shannon and huffman in {information} for a whole block, up to "
            f"{number_of(depth, symbol)}; {number_of(result['leaves'], 'block')} occur."
        )
    columns = (
        "Entropy: under a code of its own; rate: under the ideal code of all datasets mixed by volume; shannon, huffman: under "
        "whole-bit codes of that mixture; response: change of the rate for each unit of volume of the last dataset."
    )
    if result["balance_residual"] is None:
        return [units, columns]
    of = "the changes of the code of a block" if _by_block(result) else "the responses"
    return [units, columns, f"Weighted by volume, {of} add up to 0, to rounding ({result['balance_residual']:.0e})."]


def _by_block(result: dict[str, Any]) -> bool:
    """Whether a leaf is a block of several symbols."""
    return any(abs(symbols - 1) > 1e-9 for symbols in result["symbols_per_leaf"])


def conclusion(result: dict[str, Any]) -> list[str]:
    """What to conclude from `dataset_rates`, in whole sentences; R18's ends where the first dataset is the mean of two others.

    >>> base = {"datasets": ["p", "a", "t"], "volumes": [10.0, 1.0, 0.5], "rates": [1.5, 1.5, 1.6], "entropies": [1.5, 1.3, 1.3],
    ...         "response": [-0.002, 0.034, -0.04], "theta_constant": 2.2, "halves": True, "unit": "bits/symbol"}
    >>> print(conclusion(base)[-1])
    p is the mean of a and t, and there the ratio always lies between 1 and 2.2,
    whatever the masses and the model (R18): here 2.2, at the upper end.
    """
    unit, names = result["unit"], [Path(name).name for name in result["datasets"]]
    if len(set(names)) < len(names):
        names = result["datasets"]
    if len(names) == 1:
        return [
            f"An ideal code made for {names[0]} alone spends {short(result['rates'][0])} {unit} on it; what it takes to write the "
            "code down is not counted."
        ]
    sentences = []
    moved = dict(zip(names, result["response"], strict=True))
    longer, shorter = ([name for name, value in moved.items() if sign * value > 0] for sign in (1, -1))
    effects = [
        f"{verb} the code of {' and '.join(group)}"
        for verb, group in (("lengthens", longer), ("shortens", shorter))
        if group
    ]
    sentences.append(f"More of {names[-1]} {' and '.join(effects) or 'moves no code'}.")
    constant = result["theta_constant"]
    if len(names) == 3 and constant is not None:
        pretrain, align = result["response"][:2]
        k = result["volumes"][0] / result["volumes"][1]
        if align > 0 > pretrain:
            sentences.append(
                f"The theorem's signs hold: alignment loses and pre-training gains. Weighted by volume ({short(k)} to 1), alignment "
                f"loses {short(constant)} times what pre-training gains."
            )
        else:
            sentences.append(
                "These are not the theorem's signs (alignment loses, pre-training gains): it needs more than it states "
                "(elastomath verify --explain R9)."
            )
        if result.get("halves") and result["volumes"][2] < result["volumes"][1]:
            from elastomath.laws.theorem import theta_bounds

            ends = theta_bounds(k, result["volumes"][2] / result["volumes"][1])
            place = "at the upper end" if constant > ends.high * (1 - 1e-9) else "inside"
            sentences.append(
                f"{names[0]} is the mean of {names[1]} and {names[2]}, and there the ratio always lies between {short(ends.low)} and "
                f"{short(ends.high)}, whatever the masses and the model (R18): here {short(constant)}, {place}."
            )
    return sentences
