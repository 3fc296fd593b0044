"""The verbs `experiment PROTOCOL`: protocols on real language models, each resumed by the same command."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from elastomath.errors import InputError

from .options import (
    AdaptVolume,
    Align,
    AlignVolume,
    AlignVolumes,
    Batch,
    Chat,
    Control,
    DryRun,
    Executor,
    HeldOut,
    LearningRate,
    LoraRank,
    MaxTokens,
    Model,
    Perturb,
    PerturbVolumes,
    Preset,
    Prompt,
    Seeds,
    Workers,
    given,
    running,
    show_plan,
    with_defaults,
    words,
)
from .terminal import (
    MODEL,
    Device,
    Dtype,
    Json,
    RemoteCode,
    Revision,
    Seed,
    emit,
    interval,
    numbers,
    short,
    signs,
    table,
)

experiment = typer.Typer(
    help="A protocol on a real language model, resumed by the same command.",
    epilog="Example: elastomath experiment stiffness --k 10,100    Example: elastomath experiment rebound --seeds 0,1",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _of_stiffness() -> dict[str, Any]:
    from empirical.stiffness.run import StiffnessSettings

    return asdict(StiffnessSettings())


def _of_rebound() -> dict[str, Any]:
    from empirical.rebound.settings import ReboundSettings

    return asdict(ReboundSettings())


def _of_resistance() -> dict[str, Any]:
    from empirical.resistance.run import ResistanceSettings

    return asdict(ResistanceSettings())


def _of_inversion() -> dict[str, Any]:
    from empirical.inversion.settings import InversionSettings

    return asdict(InversionSettings())


def _of_scale() -> dict[str, Any]:
    from empirical.scale.settings import chosen_settings

    usual = chosen_settings(None, {}, {})
    rebound = {name: value for name, value in asdict(usual.rebounds[0]).items() if name != "model"}
    return {**asdict(usual)["family"], **rebound}


@experiment.command(
    cls=with_defaults(_of_stiffness),
    epilog="Example: elastomath experiment stiffness --k 10,100 --features 128 --out out/stiffness",
)
def stiffness(
    context: typer.Context,
    model: Annotated[str, typer.Option("--model", help="Name, hub id, folder or GGUF file.")] = MODEL,
    texts: Annotated[
        str | None, typer.Option("--texts", help="Three data sets D_1,D_a,D_t, with commas between.")
    ] = None,
    k: Annotated[str, typer.Option("--k", help="|D_p| / |D_a|, one run each.")] = "10,100",
    perturbations: Annotated[str | None, typer.Option("--l", help="|D_t| / |D_a|, rising from 0.")] = None,
    features: Annotated[int, typer.Option("--features", help="Features of the tilt.")] = 128,
    positions: Annotated[int, typer.Option("--positions", help="Token positions, a third for each text.")] = 3840,
    window: Annotated[int, typer.Option("--window", help="Positions in a row of text.")] = 128,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of the forward passes; the probe itself is float64.")
    ] = "float32",
    revision: Revision = None,
    trust_remote_code: RemoteCode = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("out/stiffness"),
    as_json: Json = False,
) -> int:
    """The tilt probe: the law on a real model's own distributions, at known volumes (theory, section 5)."""
    from empirical.stiffness.run import StiffnessSettings
    from empirical.stiffness.run import stiffness as run

    chosen = given(context, StiffnessSettings, leave=("texts",))
    if texts is not None:
        parts = tuple(words(texts))
        if len(parts) != 3 or not all(parts):
            raise InputError(
                f"--texts names {len(parts)} data sets", where="experiment stiffness", mend="name three: D_1,D_a,D_t"
            )
        chosen["texts"] = parts
    settings = StiffnessSettings(**chosen)
    result = run(settings, out, device=device, dtype=dtype, trust_remote_code=trust_remote_code)

    def show() -> None:
        rows = [
            {
                "run": row["run"],
                "gradient norm": row["gradient_norm"],
                "1 + cos": row["one_plus_cosine"],
                "ratio": row["stiffness_ratio"],
                "kappa (R16)": row["kappa"]["estimate"],
                "R5 ratio": row["r5_ratio"][0],
                "dH_a > 0": signs(row["align_rises"]),
                "dH_p < 0": signs(row["pretrain_falls"]),
            }
            for row in result["probe"]
        ]
        table(rows, tuple(rows[0]))
        print(f"curve: {result['curve']}")

    emit(result, as_json, show)
    return 0 if not result["runs"]["failed"] else 1


@experiment.command(
    cls=with_defaults(_of_rebound),
    epilog="Example: elastomath experiment rebound --preset quick    "
    "Example: elastomath experiment rebound --preset paper-rebound --dry-run",
)
def rebound(
    context: typer.Context,
    preset: Preset = None,
    model: Model = None,
    align: Align = None,
    perturb: Perturb = None,
    directions: Annotated[
        str | None, typer.Option("--directions", help="forward, exchanged (roles swapped), or both.")
    ] = None,
    algorithms: Annotated[
        str | None, typer.Option("--algorithm", help="Of the alignment: sft, dpo, kto, simpo, ppo; commas between.")
    ] = None,
    behaviour: Annotated[
        str | None, typer.Option("--behaviour", help="Also score generated text: tfidf, or a hub classifier.")
    ] = None,
    adapt_volume: AdaptVolume = None,
    pretrain_volume: Annotated[
        float | None, typer.Option("--pretrain-volume", help="Nominal |D_p| in examples, where nothing is adapted.")
    ] = None,
    align_volumes: AlignVolumes = None,
    perturb_volumes: PerturbVolumes = None,
    held_out: HeldOut = None,
    control: Control = None,
    prompt: Prompt = None,
    chat: Chat = None,
    max_tokens: MaxTokens = None,
    learning_rate: LearningRate = None,
    batch: Batch = None,
    lora_rank: LoraRank = None,
    seeds: Seeds = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    revision: Revision = None,
    trust_remote_code: RemoteCode = False,
    executor: Executor = "here",
    workers: Workers = 1,
    dry_run: DryRun = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("out/rebound"),
    as_json: Json = False,
) -> int:
    """Align on one kind of text, perturb with the opposed kind: contrast of rates and divergence to the base (F2)."""
    from empirical.rebound.run import rebound as run
    from empirical.rebound.settings import DIRECTIONS, ReboundSettings, rebound_settings

    chosen = given(context, ReboundSettings)
    if directions == "both":
        chosen["directions"] = tuple(DIRECTIONS)
    settings = rebound_settings(preset, chosen)
    if dry_run:
        return show_plan(context, settings)
    result = run(settings, **running(context))

    def show() -> None:
        for reading in result["readings"]:
            print(reading["run"])
            table(
                reading["rows"], ("phase", "volume", "contrast", "contrast_change", "contrast_change_se", "kl_forward")
            )
        for group in result["falls"]:
            print(f"{group['algorithm']}, {group['direction']}: slope per doubling of the alignment volume, bits/token")
            for name in ("first_fall", "depth", "first_excess", "excess_depth"):
                slope = (group.get(name) or {}).get("slope")
                if slope is not None:
                    laws = "; ".join(f"{law['name']} {short(law['slopes'][name]['slope'])}" for law in group["laws"])
                    print(
                        f"  {name.replace('_', ' ')}: {interval(slope)}, se over documents "
                        f"{short(slope['se_documents'])}; predicted: {laws}"
                    )
        _failures(result)
        print(f"curve: {result['curve']}")

    emit(result, as_json, show)
    return 0 if not result["runs"]["failed"] else 1


@experiment.command(
    cls=with_defaults(_of_resistance),
    epilog="Example: elastomath experiment resistance --seeds 0,1    "
    "Example: elastomath experiment resistance --align beavertails#safe --align-volume 3000",
)
def resistance(
    context: typer.Context,
    preset: Preset = None,
    model: Model = None,
    align: Align = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", help="Data whose prompts or first words are used.")
    ] = None,
    align_volume: AlignVolume = None,
    volumes: Annotated[
        str | None,
        typer.Option("--volumes", help="Samples of a run, rising: measured after each, trained to the last."),
    ] = None,
    held_samples: Annotated[int | None, typer.Option("--held-samples", help="Samples that are only measured.")] = None,
    sample_tokens: Annotated[int | None, typer.Option("--sample-tokens", help="Of a sample, at most.")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="Of the samples.")] = None,
    held_out: HeldOut = None,
    prompt: Prompt = None,
    chat: Chat = None,
    prompt_words: Annotated[int | None, typer.Option("--prompt-words", help="Words of a text to go on from.")] = None,
    max_tokens: MaxTokens = None,
    learning_rate: LearningRate = None,
    batch: Batch = None,
    lora_rank: LoraRank = None,
    seeds: Seeds = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    revision: Revision = None,
    trust_remote_code: RemoteCode = False,
    executor: Executor = "here",
    workers: Workers = 1,
    dry_run: DryRun = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("out/resistance"),
    as_json: Json = False,
) -> int:
    """Slices of one alignment, each trained on the others' samples: losses and excess code lengths both ways (F1)."""
    from empirical.resistance.figures import resistance_figure
    from empirical.resistance.run import ResistanceSettings, resistance_settings
    from empirical.resistance.run import resistance as run

    settings = resistance_settings(preset, given(context, ResistanceSettings))
    if dry_run:
        return show_plan(context, settings)
    return _told(run(settings, **running(context)), out / "resistance.svg", resistance_figure, as_json)


@experiment.command(
    cls=with_defaults(_of_inversion),
    epilog="Example: elastomath experiment inversion --seeds 0,1    "
    "Example: elastomath experiment inversion --low 0.5 --high 0.8 --budget 512",
)
def inversion(
    context: typer.Context,
    preset: Preset = None,
    model: Model = None,
    align: Align = None,
    opposed: Annotated[str | None, typer.Option("--opposed", help="The opposed data: SPEC, or SPEC#KIND.")] = None,
    adapt_volume: AdaptVolume = None,
    align_volume: AlignVolume = None,
    low: Annotated[float | None, typer.Option("--low", help="The lower level of alignment.")] = None,
    high: Annotated[float | None, typer.Option("--high", help="The higher level of alignment.")] = None,
    budget: Annotated[int | None, typer.Option("--budget", help="Most examples of a leg.")] = None,
    readings: Annotated[int | None, typer.Option("--readings", help="Readings on the way up.")] = None,
    held_out: HeldOut = None,
    control: Control = None,
    measure: Annotated[str | None, typer.Option("--measure", help="Of alignment: contrast, or behaviour.")] = None,
    prompt: Prompt = None,
    chat: Chat = None,
    max_tokens: MaxTokens = None,
    learning_rate: LearningRate = None,
    batch: Batch = None,
    lora_rank: LoraRank = None,
    seeds: Seeds = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    revision: Revision = None,
    trust_remote_code: RemoteCode = False,
    executor: Executor = "here",
    workers: Workers = 1,
    dry_run: DryRun = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("out/inversion"),
    as_json: Json = False,
) -> int:
    """Between two levels of alignment: examples, tokens, steps and bits down against up (Q1)."""
    from empirical.inversion.figures import inversion_figure
    from empirical.inversion.run import inversion as run
    from empirical.inversion.settings import InversionSettings, inversion_settings

    settings = inversion_settings(preset, given(context, InversionSettings))
    if dry_run:
        return show_plan(context, settings)
    return _told(run(settings, **running(context)), out / "inversion.svg", inversion_figure, as_json)


@experiment.command(
    cls=with_defaults(_of_scale),
    epilog="Example: elastomath experiment scale --seeds 0,1,2    "
    "Example: elastomath experiment scale --models EleutherAI/pythia-160m --revisions step1000,step64000",
)
def scale(
    context: typer.Context,
    preset: Annotated[
        str | None, typer.Option("--preset", help="quick (a family trained here), paper-size or paper-volume.")
    ] = None,
    models: Annotated[str | None, typer.Option("--models", help="Models instead of a family, commas between.")] = None,
    revisions: Annotated[
        str | None, typer.Option("--revisions", help="Of one model, or one for each model; commas between.")
    ] = None,
    pretrain_volumes: Annotated[
        str | None, typer.Option("--pretrain-volumes", help="|D_p| of each model in examples, commas between.")
    ] = None,
    sizes: Annotated[str | None, typer.Option("--sizes", help="Of the family: WIDTHxLAYERS, commas between.")] = None,
    volumes: Annotated[
        str | None, typer.Option("--volumes", help="Of the family: examples of pre-training, rising.")
    ] = None,
    vocabulary: Annotated[int | None, typer.Option("--vocabulary", help="Tokens of the family's tokenizer.")] = None,
    texts: Annotated[
        str | None, typer.Option("--texts", help="What the family is pre-trained on, commas between.")
    ] = None,
    align: Align = None,
    perturb: Perturb = None,
    adapt_volume: AdaptVolume = None,
    align_volumes: AlignVolumes = None,
    perturb_volumes: PerturbVolumes = None,
    held_out: HeldOut = None,
    prompt: Prompt = None,
    chat: Chat = None,
    max_tokens: MaxTokens = None,
    learning_rate: LearningRate = None,
    batch: Batch = None,
    seeds: Seeds = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="Of the layers; auto: bfloat16 where it helps.")] = "float32",
    trust_remote_code: RemoteCode = False,
    executor: Executor = "here",
    workers: Workers = 1,
    dry_run: DryRun = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("out/scale"),
    as_json: Json = False,
) -> int:
    """Rebound against model size and pre-training volume: a family trained here, or given models (F3)."""
    from empirical.rebound.settings import ReboundSettings
    from empirical.scale.family import FamilySettings
    from empirical.scale.figures import scale_figure
    from empirical.scale.run import scale as run
    from empirical.scale.settings import chosen_settings

    settings = chosen_settings(
        preset,
        given(context, ReboundSettings),
        given(context, FamilySettings, leave=("learning_rate", "batch")),  # these are of alignment and perturbation
        models=words(models) if models else [],
        revisions=words(revisions) if revisions else [],
        pretrain_volumes=numbers(pretrain_volumes, "--pretrain-volumes") if pretrain_volumes else [],
    )
    if dry_run:
        return show_plan(context, settings)
    return _told(run(settings, **running(context)), out / "scale.svg", scale_figure, as_json)


def _told(result: dict[str, Any], file: Path, draw: Any, as_json: bool) -> int:
    """Save the figure beside the curve, then the JSON object, or what was found in words; the exit code."""
    from elastomath.style import save_figure

    save_figure(draw(result), file)

    def show() -> None:
        for line in result["reading"]:
            print(line)
        _failures(result)
        print(f"curve: {result['curve']}, figure: {file}")

    emit(result, as_json, show)
    return 0 if not result["runs"]["failed"] else 1


def _failures(result: dict[str, Any]) -> None:
    for line in result.get("failures", ()):
        print(line)
