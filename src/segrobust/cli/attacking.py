"""``segrobust attack``: its options. What it does is in ``cli.commands`` and ``benchmark``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from segrobust.cli import commands

Finish = Callable[[Callable[[], int], str], NoReturn]

ATTACK = """Attack photos and measure what is left of their segmentation.

\b
Examples (offline, with the embedded model):
  segrobust attack examples/coffee.png -o runs/coffee
  segrobust attack examples --controls --steps 20 -o runs/controls
  segrobust attack -c runs/coffee/config.yaml -o runs/again
"""


def add_command(app: typer.Typer, finish: Finish, epilog: str) -> None:
    """Give the command line its command ``attack``.

    Args:
        app: the command line.
        finish: does a command's work and exits with its code.
        epilog: of its help.
    """

    @app.command(help=ATTACK, epilog=epilog)
    def attack(
        photos: Annotated[list[Path] | None, typer.Argument(help="Photos and folders of photos.")] = None,
        config: Annotated[
            Path | None, typer.Option("-c", "--config", help="Settings of an earlier run; flags override.")
        ] = None,
        model: Annotated[
            str | None, typer.Option("-m", "--model", help="Name, folder or file (segrobust ls models). [nano]")
        ] = None,
        checkpoint: Annotated[
            str | None,
            typer.Option("--checkpoint", help="File of weights for the named model. [where they are cached]"),
        ] = None,
        attacks: Annotated[
            list[str] | None, typer.Option("--attack", help="Recipe (segrobust ls attacks); repeatable. [rga]")
        ] = None,
        pattern: Annotated[
            Path | None,
            typer.Option("--universal", help="Also, or only, a perturbation made by segrobust universal train."),
        ] = None,
        controls: Annotated[
            bool, typer.Option("--controls", help="Also run the controls: untargeted (lambda = 0), and random cells.")
        ] = False,
        protocol: Annotated[
            str | None,
            typer.Option(help="strict: budget on the original pixels. paper: at the model's resolution. [strict]"),
        ] = None,
        eps: Annotated[str | None, typer.Option(help="Largest change of a pixel, e.g. 8/255 or 8px. [8/255]")] = None,
        within: Annotated[
            str | None,
            typer.Option(help="Change only a region: box:x1,y1,x2,y2, click:x,y or mask:FILE.png. [everywhere]"),
        ] = None,
        band: Annotated[
            int | None, typer.Option(help="Spend the budget within so many pixels of boundaries. [everywhere]", min=1)
        ] = None,
        steps: Annotated[int | None, typer.Option(help="Gradient steps. [the recipe's, 40 for RGA]")] = None,
        parameters: Annotated[
            list[str] | None,
            typer.Option("--set", help="Change a parameter of the recipes, e.g. --set weight=0.5; repeatable."),
        ] = None,
        seed: Annotated[int | None, typer.Option(help="Seed of everything random. [0]")] = None,
        device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps. [auto]")] = None,
        dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. [float32]")] = None,
        autocast: Annotated[
            str | None, typer.Option(help="bfloat16 or float16: multiply in this type, float32 weights stay. [off]")
        ] = None,
        max_memory: Annotated[
            str | None, typer.Option(help="What the process may take for a gradient, e.g. 6GiB. [what is free]")
        ] = None,
        compile_: Annotated[
            bool | None, typer.Option("--compile/--no-compile", help="Compile the encoder with torch.compile. [off]")
        ] = None,
        points_per_side: Annotated[
            int | None, typer.Option(help="Segment everything's grid; the paper uses 64. [the model's own]")
        ] = None,
        out: Annotated[Path | None, typer.Option("-o", "--output", help="Run folder. [runs/MODEL-ATTACK]")] = None,
        progress: Annotated[bool, typer.Option(help="Show a progress bar on stderr.")] = True,
    ) -> None:
        """See ``segrobust attack --help``."""
        if pattern is not None:
            attacks, parameters = [*(attacks or ()), "universal"], [*(parameters or ()), f"file={pattern}"]
        if band is not None:
            parameters = [*(parameters or ()), f"band={band}"]
        flags = {
            "model": model,
            "checkpoint": checkpoint,
            "attacks": attacks,
            "protocol": protocol,
            "eps": eps,
            "within": within,
            "seed": seed,
            "device": device,
            "dtype": dtype,
            "autocast": autocast,
            "max_memory": max_memory,
            "compile": compile_,
            "points_per_side": points_per_side,
        }
        changed = {key: value for key, value in flags.items() if value is not None}
        words = parameters or []
        finish(
            lambda: commands.attack_photos(photos or [], config, changed, steps, words, controls, out, progress),
            "interrupted; the same command continues where it stopped",
        )
