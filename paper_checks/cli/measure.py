"""The verbs `measure` and `decode`: rates of a language model, files compressed by it, and those files read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elastomath.errors import InputError
from elastomath.foreign import json_of
from elastomath.progress import say

from .terminal import MODEL, Device, Dtype, Json, RemoteCode, Revision, Seed, conclude, emit, number_of, table

if TYPE_CHECKING:
    from empirical.coding.file import Header
    from empirical.data.documents import Documents
    from empirical.models.model import LoadedModel

Adapter = Annotated[
    str | None,
    typer.Option("--adapter", help="A folder in peft's format that is put into the model: LoRA, IA3, prompts ..."),
]
COLUMNS = ("data", "bits_per_byte", "se", "bits_per_token", "bytes", "tokens", "documents", "lossy")


def measure(
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More data, as --data a b c.")] = None,
    model: Annotated[str, typer.Option("--model", help="Name, hub id, folder or GGUF file.")] = MODEL,
    data: Annotated[list[str] | None, typer.Option("--data", help="Text, JSONL, CSV, Parquet or a name.")] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", help="Column of the text, or of the responses (default: text; messages with --chat)."),
    ] = None,
    prompt_column: Annotated[
        str | None, typer.Option("--prompt-column", help="Column that is read before the text and not scored.")
    ] = None,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Chats, in the model's own template: a column of messages whose last turn is scored, or each prompt as the "
            "user's turn.",
        ),
    ] = False,
    window: Annotated[
        int | None, typer.Option("--window", help="Tokens a window (default: the model's context; 256 with --encode).")
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", help="Tokens predicted a window (default: the window).")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Documents read from each file.")] = None,
    documents: Annotated[
        bool, typer.Option("--documents", help="Put what every document costs into the JSON object.")
    ] = False,
    before: Annotated[
        Path | None,
        typer.Option(
            "--before",
            help="What --documents --json printed for another model: also the change since, its error over paired documents.",
        ),
    ] = None,
    encode: Annotated[
        Path | None, typer.Option("--encode", help="Also write the one file given, compressed by the model, here.")
    ] = None,
    adapter: Adapter = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Measure documents that the tokenizer does not give back byte for byte.")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    revision: Revision = None,
    trust_remote_code: RemoteCode = False,
    as_json: Json = False,
) -> int:
    """Bits per UTF-8 byte of a language model on documents, in the convention of lm-evaluation-harness."""
    from empirical.measures.rates import measurement
    from empirical.models.loading import load_model

    specs = [*(data or []), *(more or [])]
    if not specs:
        raise InputError("no data", where="measure", mend="name at least one file with --data")
    if encode is not None:
        _one_file(specs, prompt_column, stride, limit, chat, encode)
        data_sets, prompts = _documents_if_text(specs[0], column or "text"), None
    else:
        data_sets, prompts = _documents(specs, column, prompt_column, chat, limit)
    earlier = None if before is None else _result(before, prompt_column is not None, chat)
    loaded = load_model(
        model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code, adapter=adapter
    )
    if encode is not None and window is None:
        from empirical.coding.tokens import WINDOW

        window = min(WINDOW, loaded.context)
    result = measurement(
        loaded,
        data_sets,
        window=window,
        stride=stride,
        seed=seed,
        prompts=prompts,
        documents=documents,
        before=earlier,
        # an encoded file comes back whole whatever the tokenizer loses: that lies in its corrections
        lossy=lossy or encode is not None,
    )
    if prompt_column is not None:
        result["prompt_column"] = prompt_column
    if chat:
        result["chat"] = True
    if encode is not None:
        from empirical.coding.file import encode_file

        result["encoded"] = encode_file(loaded, Path(specs[0]).expanduser(), encode, window)

    def show() -> None:
        sentences = [_sentence(result["model"], row) for row in result["results"]]
        conclude(sentences if encode is None else [_coded(result["encoded"]), *sentences])
        if result["results"]:
            table(result["results"], COLUMNS + (("change", "change_se") if before is not None else ()))
        given = f", given {prompt_column}" if prompt_column is not None else ", given the turns before" if chat else ""
        given += ", in the tokenizer's chat template" if chat else ""
        within = f" with {result['adapter']}" if adapter is not None else ""
        print(
            f"{result['model']}{within}, {result['dtype']}, window {result['window']}, stride {result['stride']}{given}"
        )

    emit(result, as_json, show)
    return 0


def _coded(coded: Mapping[str, Any]) -> str:
    """What `--encode` concludes.

    >>> _coded({"file": "a.emc", "bytes": 160, "original_bytes": 1000, "header_bytes": 52, "measured_bits_per_byte": 0.862})
    'a.emc holds the 1,000 bytes of the file in 160 (52 of them a header), 84% fewer. By the probabilities of the model 108 are enough.'
    """
    saved = 1 - coded["bytes"] / coded["original_bytes"]
    least = coded["measured_bits_per_byte"] * coded["original_bytes"] / 8
    return (
        f"{coded['file']} holds the {number_of(coded['original_bytes'], 'byte')} of the file in {coded['bytes']:,} "
        f"({coded['header_bytes']} of them a header), {abs(saved):.0%} {'fewer' if saved >= 0 else 'more'}. By the probabilities "
        f"of the model {least:,.0f} are enough."
    )


def _sentence(model: str, row: Mapping[str, Any]) -> str:
    """What a row concludes.

    >>> _sentence("gpt", {"data": "a.txt", "bits_per_byte": 1.69784, "se": 0.0123})
    'gpt needs 1.698 bits for each byte of a.txt, with a standard error of 0.012 over documents.'
    >>> _sentence("gpt", {"data": "a.txt", "bits_per_byte": 1.69784, "se": None, "change": -0.4098, "change_se": 0.0309})
    'gpt needs 1.698 bits for each byte of a.txt. That is 0.41 fewer than before, with a standard error of 0.031 over paired documents.'
    """
    change = row.get("change")
    since = "" if change is None else f" That is {abs(change):.3g} {'fewer' if change < 0 else 'more'} than before"
    if row.get("change_se") is not None:
        since += f", with a standard error of {row['change_se']:.2g} over paired documents"
    error = "" if row.get("se") is None else f", with a standard error of {row['se']:.2g} over documents"
    return (
        f"{model} needs {row['bits_per_byte']:.4g} bits for each byte of {row['data']}{error}.{since and since + '.'}"
    )


def decode(
    file: Annotated[Path, typer.Argument(help="What measure --encode wrote.")],
    out: Annotated[Path, typer.Option("--out", help="Where the bytes go.")],
    model: Annotated[
        str | None, typer.Option("--model", help="The model that encoded, where it has moved or has no name.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Default: the kind that encoded.")] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="Default: the one that encoded.")] = None,
    adapter: Adapter = None,
    trust_remote_code: RemoteCode = False,
    as_json: Json = False,
) -> int:
    """The bytes of a file that `measure --encode` wrote, exactly, with the same model on the same kind of machine."""
    from empirical.coding.file import decode_file
    from empirical.models.loading import load_model

    def load(header: Header) -> LoadedModel:
        if dtype not in (None, header.dtype):
            raise InputError(
                f"encoded in {header.dtype}, not in {dtype}", where=str(file), mend=f"use --dtype {header.dtype}"
            )
        if model is None:
            _at_hand(header.model_name, file)
        return load_model(
            model or header.model_name,
            device=device or header.place,
            dtype=header.dtype,
            revision=header.revision if model is None else None,
            trust_remote_code=trust_remote_code,
            adapter=adapter,
        )

    result = decode_file(file, out, load)

    def show() -> None:
        conclude(
            [
                f"{result['file']} has the {number_of(int(result['bytes']), 'byte')} of the original, as they were (SHA-256 checked), "
                f"from {result['coded_bytes']:,} coded ones, by {result['model']}."
            ],
            blank=False,
        )

    emit(result, as_json, show)
    return 0


def _at_hand(name: str, file: Path) -> None:
    """Refuse to download what only a coded file names: whoever wrote it does not decide what is fetched here."""
    from empirical.fetch.catalog import CATALOG
    from empirical.fetch.fetching import cache_folder

    if name in CATALOG:
        item = CATALOG[name]
        if not (cache_folder() / "files" / item.name / item.file).is_file():
            raise InputError(
                f"the coded file names the model {name}, which is not in the cache",
                where=str(file),
                mend=f"fetch it first: elastomath fetch {name} ({item.size / 1e6:.0f} MB)",
            )
    elif not Path(name).expanduser().exists():
        raise InputError(
            f"the coded file names the model {name}", where=str(file), mend=f"if you trust that, pass --model {name}"
        )


def _result(file: Path, prompts: bool, chat: bool) -> dict[str, Any]:
    """What an earlier `measure --documents --json` printed, if it read texts behind prompts and as chats where they are so now."""
    try:
        result = json_of(file, "result of measure", "give what measure --documents --json printed")
        if not all(isinstance(row, dict) for row in result["results"]):
            raise TypeError("no results")
    except (KeyError, TypeError) as error:
        raise InputError(
            "no result of measure", where=str(file), mend="give what measure --documents --json printed"
        ) from error
    if (result.get("prompt_column") is not None, bool(result.get("chat"))) != (prompts, chat):
        raise InputError(
            "not measured behind prompts, or as chats, as now is",
            where=str(file),
            mend="give --prompt-column and --chat as there, or measure it again",
        )
    return dict(result)


def _documents(
    specs: list[str], column: str | None, prompt_column: str | None, chat: bool, limit: int | None
) -> tuple[list[Documents], list[Documents] | None]:
    """What is scored of each file, and what is read in front of it, if anything is."""
    from empirical.data.chats import user_turn
    from empirical.data.documents import read_chats, read_documents

    if chat and prompt_column is None:
        before, answers = zip(*(read_chats(spec, column or "messages", limit) for spec in specs), strict=True)
        return list(answers), list(before)
    documents = [read_documents(spec, text_column=column or "text", limit=limit) for spec in specs]
    if prompt_column is None:
        return documents, None
    plain = next((item.name for item in documents if not item.columns), None)
    if plain is not None:
        raise InputError("plain text has no columns", where=plain, mend="leave --prompt-column away")
    prompts = [read_documents(spec, text_column=prompt_column, limit=limit) for spec in specs]
    if chat:
        prompts = [
            replace(item, texts=tuple(user_turn(text, f"{item.name}, row {n}") for n, text in enumerate(item.texts, 1)))
            for item in prompts
        ]
    return documents, prompts


def _one_file(
    specs: list[str], prompts: str | None, stride: int | None, limit: int | None, chat: bool, out: Path
) -> None:
    """Refuse what --encode cannot mean: it takes the bytes of one whole file, in disjoint blocks."""
    source = Path(specs[0]).expanduser()
    if len(specs) > 1 or not source.is_file():
        raise InputError(
            f"--encode takes one file, not {', '.join(specs)}", where="measure", mend="name one file with --data"
        )
    for option, value in (
        ("--prompt-column", prompts),
        ("--stride", stride),
        ("--limit", limit),
        ("--chat", chat or None),
    ):
        if value is not None:
            raise InputError(
                f"--encode writes a whole file, {option} is about a part", where="measure", mend=f"leave {option} away"
            )
    if out.exists() and out.samefile(source):
        raise InputError("--encode would write over the data", where=str(out), mend="name another file")


def _documents_if_text(spec: str, column: str) -> list[Documents]:
    """The documents of a file that is encoded, or none where it has no text to measure: its bytes are encoded all the same."""
    from empirical.data.documents import read_documents

    try:
        return [read_documents(spec, text_column=column)]
    except InputError as error:
        if not error.what.startswith(("not UTF-8", "unknown suffix")):
            raise
        say(f"{spec}: {error.what}; the bytes are encoded, and no rate of documents is measured")
        return []
