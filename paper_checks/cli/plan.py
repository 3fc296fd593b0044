"""The verb `plan`: how many prompts, seeds and readings an answer needs, before anything is run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .terminal import Json, emit, numbers


def plan(
    pilot: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PILOT]",
            help="A curve file of a pilot run of yours; without one, what was measured on SmolLM2-135M.",
        ),
    ] = None,
    n: Annotated[
        str, typer.Option("--n", help="Aligned examples that are planned for, with commas between.")
    ] = "16,64,256",
    width: Annotated[
        float,
        typer.Option(
            "--width", help="Wanted half width of the interval of the undo volume, as a share of the undo volume."
        ),
    ] = 0.25,
    difference: Annotated[
        float | None,
        typer.Option(
            "--difference",
            help="Instead: a share by which the undo volumes of two settings differ, which is to be seen.",
        ),
    ] = None,
    power: Annotated[float, typer.Option("--power", help="With --difference: the chance of seeing it.")] = 0.8,
    level: Annotated[float, typer.Option("--level", help="Confidence level of the interval.")] = 0.95,
    prompts: Annotated[int, typer.Option("--prompts", min=1, help="Held-out prompts of the pilot.")] = 32,
    tokens: Annotated[float, typer.Option("--tokens", help="Tokens of an example, prompt and response.")] = 40.0,
    adapted: Annotated[float, typer.Option("--adapted", help="Examples that the base is trained on first.")] = 160.0,
    c: Annotated[
        float | None,
        typer.Option(
            "--c",
            help="By how much one example moves the log-odds at most, in nats (the constant c of the logit law). Default: the "
            "pilot's.",
        ),
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(
            "--start",
            help="Log-odds of the wanted response before alignment (the contrast), in nats. Default: the pilot's.",
        ),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            "--noise",
            help="Standard deviation of a reading of the log-odds over prompts, in nats. Default: the pilot's.",
        ),
    ] = None,
    scatter: Annotated[
        float | None,
        typer.Option(
            "--scatter", help="Standard deviation of the logarithm of the undo volume over seeds. Default: the pilot's."
        ),
    ] = None,
    speed: Annotated[float | None, typer.Option("--speed", help="Tokens a second, for the time it takes.")] = None,
    durability: Annotated[
        float | None,
        typer.Option("--durability", help="Instead: what makes a behaviour last this many opposed examples."),
    ] = None,
    attack: Annotated[
        float, typer.Option("--attack", help="With --durability: the attacker's learning rate, in units of your own.")
    ] = 1.0,
    beta: Annotated[
        str | None,
        typer.Option(
            "--beta",
            help="With --durability: also preference training (DPO) at these values of its temperature beta, commas between.",
        ),
    ] = None,
    replay: Annotated[
        float,
        typer.Option("--replay", help="With --durability: also aligned examples mixed into the attack, at this share."),
    ] = 0.1,
    ceiling: Annotated[
        float | None,
        typer.Option(
            "--ceiling",
            help="With --durability: the most nats that the attack may add to the code length of the wanted response.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """How many prompts, seeds and readings measure an undo volume (the opposed examples after which a behaviour stands where it
    stood before alignment), and what they cost; or what makes a behaviour last.

    What is expected comes from the logit law: one example moves the log-odds of the wanted response by at most a constant c, which
    `elastomath predict` measures in a model.
    """
    from dataclasses import replace

    from elastomath.checks import positive, real
    from elastomath.curve import LARGEST, Curve
    from elastomath.fit.course import courses
    from elastomath.fit.design import Pilot, pilot_of
    from elastomath.fit.design import plan as planned

    aligned = numbers(n, "--n")
    supposed = Pilot(tokens=positive(tokens, "--tokens", "plan"))
    if pilot is not None:
        supposed = pilot_of(list(courses(Curve.read(pilot))), prompts, supposed.tokens)
    if start is not None:
        supposed = replace(supposed, start=real(start, "--start", "plan"))
    for name, value in (("constant", c), ("noise", noise), ("scatter", scatter)):
        if value is not None:
            supposed = replace(supposed, **{name: positive(value, f"--{name}", "plan")})
    if durability is not None:
        from .levers import plan_durability

        return plan_durability(
            positive(durability, "--durability", "plan"),
            supposed.constant,
            supposed.start,
            attack=positive(attack, "--attack", "plan"),
            betas=[] if beta is None else numbers(beta, "--beta"),
            replay=replay,
            ceiling=None if ceiling is None else positive(ceiling, "--ceiling", "plan"),
            as_json=as_json,
        )
    if speed is not None:
        real(speed, "--speed", "plan", least=1 / LARGEST)
    design = planned(supposed, aligned, width=width, difference=difference, power=power, level=level, adapted=adapted)

    def show() -> None:
        for sentence in design.sentences(speed):
            print(sentence)
        print(
            f"\nRead at {', '.join(f'{volume:g}' for volume in design.readings)} opposed examples, and once before alignment."
        )
        print(
            f"Supposed: one example moves the log-odds by at most c = {supposed.constant:.3g} nats; they are {supposed.start:.3g} before "
            f"alignment. A reading scatters by {supposed.noise:.3g} nats over prompts, the undo volume by {supposed.scatter:.0%} over "
            f"seeds. An example has {supposed.tokens:g} tokens."
        )
        print("Not shown: how far these constants move along training; a pilot of your own says it for your model.")

    summary = asdict(design) | {"conclusion": design.sentences(speed)}
    emit(summary, as_json, show)
    return 0
