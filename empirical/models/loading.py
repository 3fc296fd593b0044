"""Causal language models from a catalogue name, a folder, a GGUF file or a hub id; safetensors only, no remote code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from elastomath.errors import InputError, with_extra
from elastomath.foreign import check_gguf, check_model_folder, json_of
from elastomath.memory import affordable
from elastomath.progress import say

from ..fetch.catalog import CATALOG
from ..fetch.fetching import PARTIAL, cache_folder, fetch, folder_lock, sha256_of, sweep_folder
from .devices import pick_device, pick_dtype
from .model import LoadedModel, first_line, quiet

READER_BYTES = 1 << 33
"""Address space of the process that dequantises, beside 32 bytes a weight: the libraries alone reserve gigabytes of it."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
"""What can be the id of a model on the Hugging Face hub."""


def load_model(
    spec: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    cache: str | os.PathLike[str] | None = None,
    adapter: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
) -> LoadedModel:
    """Load a causal language model: a catalogue name, a local folder, a ``.gguf`` file, or an id on the hub.

    A catalogue name is fetched if it is not in the cache. A GGUF file is dequantised to float32 once (a minute or so)
    and kept as safetensors in the cache, by the file's SHA-256 and the version of transformers; later loads take a
    few seconds. ``revision`` is for hub ids; the commit that it stands for is in the result.

    ``dtype``: ``auto`` is bfloat16 where the hardware multiplies it and the model computes in it, else float32. In
    float64 the model's norms, rotations and softmax are float64 too. ``adapter``: a folder in peft's format, of any kind.
    ``tokenizer``: the folder or hub id whose tokenizer is taken, for a folder of weights that has none.

    Every model passes `gate.admit` before it is given back. Raises InputError in one line: an unknown model, no network,
    a truncated file, weights that are not safetensors, not those of its configuration or not finite, a model that needs
    its own code without ``trust_remote_code``, a device or dtype that is not there or in which it does not compute, a
    tokenizer that is missing or another model's, and a model that is not causal.
    """
    name = os.fspath(spec)
    _require_llm()
    from .gate import NumbersError, admit

    place = pick_device(device)
    number = pick_dtype(dtype, place)
    again = {"revision": revision, "trust_remote_code": trust_remote_code, "cache": cache, "adapter": adapter}
    again["tokenizer"] = tokenizer
    loaded = _opened(
        name, number, revision, trust_remote_code, cache, None if tokenizer is None else os.fspath(tokenizer)
    )
    if adapter is not None:
        from .lora import load_adapter

        loaded = load_adapter(loaded, adapter)
    loaded = replace(loaded, device=str(place))
    loaded.model.to(place).eval()
    if loaded.dtype == "float64":
        loaded.model.double()  # what an adapter has brought, too
    try:
        return admit(loaded)
    except NumbersError as error:
        if dtype != "auto" or loaded.dtype == "float32":
            raise
        say(f"{error.what}: float32 instead")
        return load_model(spec, device=device, dtype="float32", **again)  # type: ignore[arg-type]


def _opened(
    name: str,
    number: Any,
    revision: str | None,
    trust_remote_code: bool,
    cache: str | os.PathLike[str] | None,
    lender: str | None,
) -> LoadedModel:
    """The model of a catalogue name, file, folder or hub id, on the CPU, before the gate."""
    digest: str | None = None
    rounding: str | None = None
    options: dict[str, object] = {"trust_remote_code": trust_remote_code}
    path = Path(name).expanduser()
    if name in CATALOG and CATALOG[name].kind != "model":
        raise InputError(f"{name} is data, not a model", where="model", mend=f"choose from {', '.join(_models())}")
    if revision is not None and (name in CATALOG or path.exists()):
        raise InputError(f"{name} has no revisions", where="revision", mend="give a revision with a hub id only")
    if name in CATALOG or (path.is_file() and path.suffix.lower() == ".gguf"):
        file = Path(fetch([name], cache)[0]["path"]) if name in CATALOG else path
        digest = CATALOG[name].sha256 if name in CATALOG else sha256_of(file)
        model, tokenizer, rounding = _load_gguf(file, digest, name, number, cache)
    elif path.is_dir():
        _check_folder(path, name)
        model, tokenizer = _load(str(path), name, number, options, lender)
        digest = _folder_hash(path)
    elif path.exists():
        raise InputError("not a model file", where=name, mend="give a folder, a .gguf file, or a hub id")
    elif not HUB_ID.fullmatch(name) or path.suffix.lower() in (".gguf", ".safetensors", ".bin"):
        raise InputError("no such model file or folder", where=name, mend=_choices())
    else:
        revision, local = _locate(name, revision)
        options |= {"revision": revision, "local_files_only": local}
        model, tokenizer = _load(name, name, number, options, lender)
        revision = getattr(model.config, "_commit_hash", None) or revision
    if rounding is None and getattr(model.config, "quantization_config", None):
        kept = model.config.quantization_config
        method = kept.get("quant_method") if isinstance(kept, dict) else getattr(kept, "quant_method", "unknown")
        rounding = str(getattr(method, "value", method))
    return LoadedModel(model, tokenizer, name, revision, digest, str(number).removeprefix("torch."), "cpu", rounding)


def _check_folder(folder: Path, name: str) -> None:
    """Raise InputError for a folder without configuration or weights, or with a part of the weights missing."""
    if not (folder / "config.json").is_file():
        mend = "give a folder in transformers' format"
        if (folder / "adapter_config.json").is_file():
            mend = "give the base model, and this folder as its adapter"
        raise InputError("the folder holds no config.json", where=name, mend=mend)
    check_model_folder(folder, name)
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return
    try:
        named = json_of(index, "list of the weights' files", "copy it again")["weight_map"].values()
        shards = sorted({file for file in named if Path(file).name == file})  # none outside the folder
        if not shards:
            raise ValueError("no files")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            "the list of the weights' files cannot be read", where=str(index), mend="copy it again"
        ) from error
    gone = [shard for shard in shards if not (folder / shard).is_file()]
    if gone:
        raise InputError(
            f"{len(gone)} of {len(shards)} files of weights are missing, first {gone[0]}",
            where=name,
            mend="copy the missing files",
        )


def _models() -> list[str]:
    return [name for name, item in CATALOG.items() if item.kind == "model"]


def _choices() -> str:
    return f"give a folder, a .gguf file, a hub id, or one of {', '.join(_models())}"


def _require_llm() -> None:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise InputError(f"language models need {error.name}", where="installation", mend=with_extra("llm")) from error


def _load(place: str, name: str, number: Any, options: dict[str, object], lender: str | None = None) -> tuple[Any, Any]:
    """Model and tokenizer from a folder or hub id, the tokenizer perhaps from a ``lender``; nothing is left at its random start."""
    import torch
    import transformers

    from .gate import complete, wide

    local = bool(options.get("local_files_only"))
    try:
        with quiet(), wide() if number == torch.float64 else contextlib.nullcontext():
            model, keys = transformers.AutoModelForCausalLM.from_pretrained(
                place,
                dtype=number,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told in `keys`
                adapter_kwargs={"local_files_only": True} if local else None,  # else an adapter is looked for for 23 s
                **options,
            )
    except Exception as error:  # transformers, safetensors and the hub's client raise many kinds
        raise _refusal(error, name) from error
    complete(keys, name)
    try:
        with quiet():
            own = {"trust_remote_code": options.get("trust_remote_code", False)}
            tokenizer = transformers.AutoTokenizer.from_pretrained(lender or place, **(own if lender else options))
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise _refusal(error, name) from error
        raise InputError(
            f"the tokenizer is missing or cannot be read: {first_line(error)}",
            where=name,
            mend="put tokenizer.json beside the weights",
        ) from error
    return model, tokenizer


def _refusal(error: Exception, name: str) -> InputError:
    """One line for whatever transformers raised."""
    if isinstance(error, InputError):
        return error
    text, line = str(error), first_line(error)
    if "trust_remote_code" in text:
        return InputError(
            "the model needs its own code", where=name, mend="pass --trust-remote-code if you trust its authors"
        )
    if type(error).__name__ == "SafetensorError":
        return InputError(f"the weights are truncated or altered: {line}", where=name, mend="copy the file again")
    kind = re.search(r"model type `([^`]*)`", text)
    if kind and "recognize" in text:
        return InputError(
            f"transformers knows no model of type {kind[1]!r}",
            where=name,
            mend="update transformers, or give another model",
        )
    if "Unrecognized configuration class" in text:
        return InputError(
            "the model is no causal language model", where=name, mend="give a decoder that predicts the next token"
        )
    if "safetensors" in text and isinstance(error, OSError):
        return InputError("no weights in safetensors format", where=name, mend="convert the weights to safetensors")
    if "connect" in text or "outgoing traffic" in text:
        return InputError(
            "no network, and the model is not in the hub's local cache", where=name, mend=f"connect, or {_choices()}"
        )
    mend = "check its files" if Path(name).expanduser().exists() else _choices()
    return InputError(f"the model cannot be loaded: {line}", where=name, mend=mend)


def _locate(name: str, revision: str | None) -> tuple[str | None, bool]:
    """The commit of a hub model and whether only its local copy can be had. Raises InputError for an unknown one."""
    import huggingface_hub
    from huggingface_hub import constants, errors

    if constants.HF_HUB_OFFLINE:
        return revision, True
    try:
        with quiet():
            return huggingface_hub.HfApi().model_info(name, revision=revision, timeout=20).sha, False
    except errors.GatedRepoError as error:
        raise InputError(
            "access to the model has to be asked for", where=name, mend="accept its terms on the hub, and log in"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"no revision {revision!r}", where=name, mend="give a branch, tag or commit") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise InputError("no such model on the hub", where=name, mend=_choices()) from error
    except Exception:  # no network, or a hub that does not answer: what is in its local cache can still be used
        return revision, True


def _folder_hash(folder: Path) -> str | None:
    digests = [sha256_of(file) for file in sorted(folder.glob("*.safetensors"))]
    if len(digests) <= 1:
        return digests[0] if digests else None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _load_gguf(
    file: Path, digest: str, name: str, number: Any, cache: str | os.PathLike[str] | None
) -> tuple[Any, Any, str | None]:
    """Model, tokenizer and rounding of a GGUF file, through its dequantised copy in the cache."""
    import transformers

    home = cache_folder(cache) / "weights" / f"{digest[:32]}-transformers-{transformers.__version__}"
    kept = home / "model"
    if kept.is_dir():
        sweep_folder(home)
        try:
            return (*_load(str(kept), name, number, {}), _rounding(kept))
        except InputError as error:
            say(f"the dequantised weights in the cache cannot be used, making them again ({error})")
            with folder_lock(home):
                shutil.rmtree(kept, ignore_errors=True)
    weights = check_gguf(file, name)  # a damaged file is refused before anything is written
    affordable(weights, 8, "the GGUF file", name, "weights")
    quantised = _file_type(file, name)
    with folder_lock(home):
        if not kept.is_dir():  # else another process made them while this one waited
            aside = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=home))
            try:
                _elsewhere(file, name, quantised, aside, weights)
                for written in (aside, *aside.iterdir()):  # a cache may be shared
                    written.chmod(0o755 if written.is_dir() else 0o644)
                os.replace(aside, kept)
            except OSError as error:
                raise InputError(
                    f"cannot keep the dequantised weights: {error.strerror or error}",
                    where=str(home),
                    mend="free space, or set ELASTOMATH_CACHE to another folder",
                ) from error
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return (*_load(str(kept), name, number, {}), _rounding(kept))


def _elsewhere(file: Path, name: str, quantised: str | None, folder: Path, weights: int) -> None:
    """`_dequantise` in a process of its own, whose memory has an end: the reader of the file is not ours, and may die of it."""
    say(f"{name}: dequantising the weights to float32 (once; a minute or two)")
    given = json.dumps([str(file), name, quantised, str(folder), READER_BYTES + 32 * weights])
    code = "import sys; sys.path[:0] = sys.argv[2:]; from empirical.models import loading; loading.within(sys.argv[1])"
    command = [sys.executable, "-c", code, given, *sys.path]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        output, _ = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise _damaged(RuntimeError(f"its reader ended with code {process.returncode}"), name)
    line = (output.decode("utf-8", "replace").strip().splitlines() or ["null"])[-1]
    refusal = json.loads(line)
    if refusal is not None:
        raise InputError(**refusal)


def within(given: str) -> None:
    """The other side of `_elsewhere`: dequantise within the limit, and print null, or why not, as JSON."""
    file, name, quantised, folder, most = json.loads(given)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        _dequantise(Path(file), name, quantised, Path(folder))
    except InputError as error:
        print(json.dumps({"what": error.what, "where": error.where, "mend": error.mend}))
    else:
        print("null")


def _rounding(folder: Path) -> str | None:
    value = json.loads((folder / "elastomath.json").read_text(encoding="utf-8"))["quantised"]
    return None if value is None else str(value)


def _dequantise(file: Path, name: str, quantised: str | None, folder: Path) -> None:
    """Read a GGUF file with transformers and write model, tokenizer and rounding as a folder in float32."""
    import torch
    import transformers

    from .gate import complete

    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
            model, keys = transformers.AutoModelForCausalLM.from_pretrained(
                **where, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # the reader of a damaged file raises whatever it trips over
        raise _damaged(error, name) from error
    complete(keys, name)
    # the weights are plain float32 now: what marks them as GGUF would keep transformers from saving them
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    record = {"quantised": quantised, "source": file.name}
    (folder / "elastomath.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


def _damaged(error: Exception, name: str) -> InputError:
    return InputError(
        f"the GGUF file is truncated, altered, or of a kind that transformers cannot read: {first_line(error)}",
        where=name,
        mend="copy the file again, or give another",
    )


def _file_type(file: Path, name: str) -> str | None:
    """How most weights of a GGUF file are stored, such as ``Q4_1``; None for plain float32. Raises InputError."""
    import gguf

    try:
        field = gguf.GGUFReader(file).get_field("general.file_type")
        kind = "GGUF" if field is None else gguf.LlamaFileType(int(field.contents())).name
    except Exception as error:  # the reader of a damaged file raises whatever it trips over
        raise _damaged(error, name) from error
    return None if kind == "ALL_F32" else kind.removeprefix("MOSTLY_")
