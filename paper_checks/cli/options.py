"""The options that the protocols of `experiment` share, and how what was given becomes a protocol's settings."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .terminal import emit, integers, numbers, table

Preset = Annotated[
    str | None,
    typer.Option("--preset", help="quick, or paper-... : settings by name; what is given beside it prevails."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the grid, tokens, memory and time; load no weights, run nothing.")
]
Executor = Annotated[
    str, typer.Option("--executor", help="here, local (processes), slurm, slurm-local, or tcp://HOST:PORT (Dask).")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Runs side by side on the executor.")]

Model = Annotated[str | None, typer.Option("--model", help="Name, hub id, folder or GGUF file.")]
Align = Annotated[str | None, typer.Option("--align", help="Data that is aligned to: SPEC, or SPEC#KIND.")]
Perturb = Annotated[str | None, typer.Option("--perturb", help="The opposed data: SPEC, or SPEC#KIND.")]
AdaptVolume = Annotated[
    int | None, typer.Option("--adapt-volume", help="Examples of both kinds first: D_p, the start of the scale.")
]
AlignVolume = Annotated[int | None, typer.Option("--align-volume", help="Examples of the whole alignment.")]
AlignVolumes = Annotated[str | None, typer.Option("--align-volumes", help="Examples, rising; a run each.")]
PerturbVolumes = Annotated[str | None, typer.Option("--perturb-volumes", help="Examples, rising.")]
HeldOut = Annotated[int | None, typer.Option("--held-out", help="Documents of each kind that are only measured.")]
Control = Annotated[
    bool | None, typer.Option("--control/--no-control", help="The same start with text of both kinds, too.")
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        help="Before every text, not counted (default: 'Film review:' for film-reviews, nothing for other data); with "
        "#KIND instead of the words of its dataset, {prompt} for the row's own.",
    ),
]
Chat = Annotated[
    bool | None,
    typer.Option(
        "--chat", help="Put the prompts into the chat template of the model's own tokenizer.", show_default=False
    ),
]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Of a text.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", help="Constant after the warm-up.")]
Batch = Annotated[int | None, typer.Option("--batch", help="Examples of a step.")]
LoraRank = Annotated[int | None, typer.Option("--lora-rank", help="Train an adapter of this rank instead.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Seeds, runs of their own for each.")]


class ProtocolCommand(TyperCommand):
    """A command whose help shows the defaults of its protocol's settings, which are no defaults of its options.

    An option that is not given is None, so that a preset can tell it from one that is. The settings are imported when
    help is asked for, and not before.
    """

    settings: Callable[[], dict[str, Any]]

    def show_defaults(self) -> None:
        """Put the default of every option that stands for a setting into its help."""
        from empirical.laboratory.estimate import as_option

        settings = type(self).settings()
        for option in self.params:
            if option.default is None and settings.get(str(option.name)) is not None:
                option.show_default = as_option(settings[str(option.name)])  # type: ignore[attr-defined]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options, each with its default."""
        self.show_defaults()
        super().format_options(ctx, formatter)


def with_defaults(settings: Callable[[], dict[str, Any]]) -> type[ProtocolCommand]:
    """The class of a command whose help shows these settings, by the names of its options."""
    return type("SettingsCommand", (ProtocolCommand,), {"settings": staticmethod(settings)})


def given(context: typer.Context, settings: type, leave: Sequence[str] = ()) -> dict[str, Any]:
    """What was given on the command line for fields of ``settings``, by their names; a list is read by its field's kind.

    leave  fields that this command's options of the same name do not mean
    """
    kinds = typing.get_type_hints(settings)
    options = {option.name: option.opts[0] for option in context.command.params}
    found = {}
    for name, value in context.params.items():
        if name in kinds and name not in leave and value is not None:
            read = _READ.get(kinds[name])
            found[name] = tuple(read(value, options[name])) if read else value
    return found


def words(text: str, option: str = "") -> list[str]:
    """``a, b`` as its parts without the spaces around them."""
    return [part.strip() for part in text.split(",")]


_READ: dict[Any, Callable[[str, str], Sequence[Any]]] = {
    tuple[int, ...]: integers,
    tuple[float, ...]: numbers,
    tuple[str, ...]: words,
}


def running(context: typer.Context) -> dict[str, Any]:
    """Where a protocol runs and its results go: device, dtype, remote code, executor, workers and ``out``."""
    names = ("out", "device", "dtype", "trust_remote_code", "executor", "workers")
    return {name: context.params[name] for name in names}


def show_plan(context: typer.Context, settings: Any) -> int:
    """What `--dry-run` prints, for the settings of any protocol."""
    from empirical.laboratory.estimate import plan_of

    result = plan_of(settings, device=context.params["device"], dtype=context.params["dtype"])

    def show() -> None:
        table(result["grid"], tuple(result["grid"][0]))
        for line in result["lines"]:
            print(line)

    emit(result, context.params["as_json"], show)
    return 0
