"""The options of a verb from the fields of its settings: one list of fields is help, options, keys of a file, and defaults.

Settings lie in files that import torch, so that the options of a protocol are made when the protocol is asked for, not before.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from elastomath.runs.conduct import ProtocolSummary
from elastomath.runs.settings import Field, Settings, read_values, toml

from .groups import examples
from .terminal import Device, Dtype, Json, RemoteCode, emit, table

Preset = Annotated[
    str | None,
    typer.Option("--preset", help="quick, or paper-... : settings by name; what is given beside it prevails."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="TOML or YAML file of settings, which prevail over the preset; options prevail over both."
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print all settings as a file for --config; run nothing.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the grid, tokens, memory and time; load no weights, run nothing.")
]
Executor = Annotated[
    str, typer.Option("--executor", help="here, local (processes), slurm, slurm-local, or tcp://HOST:PORT (Dask).")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Runs side by side on the executor.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the results.")]


@dataclass(frozen=True)
class Protocol:
    """What the command line knows of a protocol.

    settings  their class;  run  ``run(settings, out, device=..., dtype=..., ...)`` -> the JSON object
    show      prints the result for people;  figure  of the result, saved as ``out/NAME.svg``;  dtype  the default of --dtype
    """

    settings: type[Settings]
    run: Callable[..., ProtocolSummary]
    show: Callable[[ProtocolSummary], None]
    figure: Callable[[ProtocolSummary], Any] | None = None
    dtype: str = "auto"


class ProtocolCommand(TyperCommand):
    """A command whose options are made when they are asked for."""

    protocol: Callable[[], Protocol]

    @functools.cached_property
    def made(self) -> TyperCommand:
        """The command with the options of its protocol."""
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name=self.name)(command_of(str(self.name), type(self).protocol()))
        return typing.cast(TyperCommand, typer.main.get_command(app))

    @property
    def params(self) -> list[Any]:
        """The options."""
        return self.made.params

    @params.setter
    def params(self, _: Any) -> None:
        """Nothing is set: the options are those of the protocol."""

    def invoke(self, ctx: Any) -> Any:
        """Run the protocol with what was given."""
        return self.made.invoke(ctx)


def protocol(
    app: typer.Typer, *commands: str, under: str = "experiment ", panel: str | None = None
) -> Callable[[Callable[[], Protocol]], Callable[[], Protocol]]:
    """Register a protocol as a verb; the docstring of the function that gives it is the help, its name the verb."""

    def register(give: Callable[[], Protocol]) -> Callable[[], Protocol]:
        epilog = examples(*(f"elastomath {under}{command}" for command in commands))
        kind = type("OwnCommand", (ProtocolCommand,), {"protocol": staticmethod(give)})
        app.command(give.__name__, cls=kind, help=give.__doc__, epilog=epilog, rich_help_panel=panel)(_unused)
        return give

    return register


def command_of(name: str, protocol: Protocol) -> Callable[..., int]:
    """The function of a verb, its signature made of the settings' fields and of where the protocol runs."""
    fields = protocol.settings.listed()

    def command(**options: Any) -> int:
        given = {own.name: own.read(options[own.name], own.option) for own in fields if options[own.name] is not None}
        config, where = options["config"], {name: options[name] for name in running}
        from_file = {} if config is None else read_values(fields, config)
        settings = protocol.settings.of(options.get("preset"), {**from_file, **given})
        if options["print_config"]:
            print(toml(settings))
            return 0
        if options["dry_run"]:
            return _show_plan(settings, where, options["as_json"])
        return _conduct(name, protocol, settings, options["out"], where, options["as_json"])

    def shared(
        preset: Preset = None,
        config: Config = None,
        device: Device = "auto",
        dtype: Dtype = protocol.dtype,
        trust_remote_code: RemoteCode = False,
        executor: Executor = "here",
        workers: Workers = 1,
        print_config: PrintConfig = False,
        dry_run: DryRun = False,
        out: Out = Path("out") / name,
        as_json: Json = False,
    ) -> None:
        """The options that are of no setting."""

    kinds = typing.get_type_hints(shared, include_extras=True)
    taken = _places(protocol.run)
    running: list[str] = [
        part for part in ("device", "dtype", "trust_remote_code", "executor", "workers") if part in taken
    ]
    rest = [
        part.replace(annotation=kinds[part.name], kind=Parameter.KEYWORD_ONLY)
        for part in inspect.signature(shared).parameters.values()
        if part.name in taken or part.name not in ("executor", "workers")
    ]
    rest = rest if protocol.settings.presets() else rest[1:]
    first = [part for part in rest if part.name in ("preset", "config")]
    parameters = [*first, *map(_parameter, fields), *rest[len(first) :]]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {part.name: part.annotation for part in parameters}
    return command


def _unused() -> None:
    """What stands in typer's place for the function of a verb: `ProtocolCommand.invoke` calls another one."""


def _parameter(own: Field) -> Parameter:
    """A setting as a parameter that typer makes an option of; one that is not given is None, which a preset can tell from one that is."""
    from empirical.laboratory.estimate import as_option

    kind = str if typing.get_origin(own.plain) is tuple else own.plain
    flag = f"{own.option}/--no-{own.option.removeprefix('--')}" if kind is bool else own.option
    default = own.option if own.default is True else flag.rpartition("/")[2] if kind is bool else as_option(own.default)
    shown = (
        "" if own.default in (None, (), "") else f"  [default: {default.removeprefix('--')}]"
    )  # typer's own stands in brackets
    option = typer.Option(flag, help=f"{own.help}{shown}", show_default=False)
    return Parameter(own.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])


def _show_plan(settings: Settings, where: dict[str, Any], as_json: bool) -> int:
    """What `--dry-run` prints, for the settings of any protocol."""
    from empirical.laboratory.estimate import plan_of

    plan = plan_of(settings, device=where["device"], dtype=where["dtype"])

    def show() -> None:
        table(plan["grid"], tuple(plan["grid"][0]))
        for line in plan["lines"]:
            print(line)

    emit(plan, as_json, show)
    return 0


def _conduct(name: str, protocol: Protocol, settings: Settings, out: Path, where: dict[str, Any], as_json: bool) -> int:
    """Run the protocol, save its figure, print the JSON object or what was found in words; the exit code."""
    result = protocol.run(settings, out, **where)
    figure = out / f"{name}.svg"
    if protocol.figure is not None:
        from elastomath.style import save_figure

        save_figure(protocol.figure(result), figure)

    def show() -> None:
        protocol.show(result)
        for line in result.get("failures", ()):
            print(line)
        print(f"curve: {result['curve']}" + (f", figure: {figure}" if protocol.figure is not None else ""))

    emit(result, as_json, show)
    return 0 if not result["runs"]["failed"] else 1


def _places(run: Callable[..., Any]) -> set[str]:
    """The names of what a protocol's function takes; ``**where`` stands for all of `Where`."""
    from empirical.laboratory.conduct import Where

    parameters = inspect.signature(run).parameters.values()
    named = {part.name for part in parameters}
    return named | set(Where.__annotations__) if any(part.kind is part.VAR_KEYWORD for part in parameters) else named
