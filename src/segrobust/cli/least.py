"""``segrobust least``: the least perturbation for a wanted harm; heavy imports happen inside."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from segrobust.cli.output import columns, print_text
from segrobust.errors import PhotoError, UsageError

if TYPE_CHECKING:
    from segrobust.attacks.recipes.base import Recipe
    from segrobust.attacks.stealth import Least, Tried
    from segrobust.models.base import Segmenter
    from segrobust.types import Image

Finish = Callable[[Callable[[], int], str], NoReturn]
NOT_REACHED = 4
SCHEMA = "segrobust.least/1"

LEAST = """Find the least change of a photo that brings the mIoU of the attacker's own prompts down to a wanted value.

\b
Example (offline, with the embedded model):
  segrobust least examples/coffee.png --miou 0.5 --tries 3 --set steps=5 -o runs/least.png

Every budget that is tried is a whole attack. Exit code 4: not even the largest one reached it.
"""


@dataclass(frozen=True)
class Wanted:
    """What ``segrobust least`` was asked for; see its options."""

    photo: Path
    model: str
    device: str
    recipe: str
    parameters: Sequence[str]
    search: dict[str, Any]
    out: Path


def add_commands(app: typer.Typer, finish: Finish, epilog: str) -> None:
    """Give the command line its command; arguments as those of ``cli.plans.add_commands``."""

    @app.command(help=LEAST, epilog=epilog)
    def least(
        photo: Annotated[Path, typer.Argument(help="A photo.")],
        model: Annotated[str, typer.Option("-m", "--model", help="Name, folder or file.")] = "nano",
        recipe: Annotated[str, typer.Option("--attack", help="Recipe (segrobust ls attacks).")] = "rga",
        miou: Annotated[float, typer.Option(help="The wanted mIoU, at least 0 and below 1.")] = 0.5,
        norm: Annotated[str, typer.Option(help="What is least: l2, linf or contrast.")] = "l2",
        eps: Annotated[str | None, typer.Option(help="The largest budget, in that norm. [what 8/255 is]")] = None,
        tries: Annotated[int, typer.Option(help="Budgets that are tried at most.")] = 8,
        parameters: Annotated[
            list[str] | None, typer.Option("--set", help="A parameter of the recipe as key=value; repeatable.")
        ] = None,
        seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
        out: Annotated[Path, typer.Option("-o", "--output", help="The photo, as PNG.")] = Path("runs/least.png"),
    ) -> None:
        """See ``segrobust least --help``."""
        search = {"wanted_miou": miou, "norm": norm, "most": eps, "tries": tries, "seed": seed}
        wanted = Wanted(photo, model, device, recipe, parameters or (), search, out)
        finish(lambda: find_least(wanted), "interrupted")


def find_least(wanted: Wanted) -> int:
    """Search, save the photo that was found beside the trail as JSON, and print the trail.

    Raises:
        UsageError: an output that is no PNG, a recipe or a setting that there is not.
        PhotoError: the photo cannot be read.
    """
    if wanted.out.suffix.lower() != ".png":
        raise UsageError(f"{wanted.out} must end in .png: only that keeps every pixel")
    from segrobust.attacks.stealth import least
    from segrobust.io.images import read_image
    from segrobust.models import load

    recipe = _recipe(wanted)
    image, model = read_image(wanted.photo), load(wanted.model, device=wanted.device)

    def say(tried: "Tried") -> None:
        typer.echo(f"tried {tried.budget}: mIoU {tried.miou:.3f}", err=True)

    found = least(model, image, recipe, on_try=say, **wanted.search)
    rows = [["budget", "mIoU", "L2", "max diff /255", "reached"]]
    rows += [
        [t.budget, f"{t.miou:.3f}", f"{t.l2:.3f}", str(t.linf_255), "yes" if t.reached else "no"] for t in found.trail
    ]
    for line in columns(rows):
        print_text(line)
    if found.result is None or found.found is None:
        print_text(f"\nnot reached: {found.trail[0].budget} leaves an mIoU of {found.trail[0].miou:.3f}")
        return NOT_REACHED
    _save(wanted, found, model, image)
    print_text(f"\nsaved {wanted.out}: L2 {found.found.l2:.3f}, mIoU {found.found.miou:.3f}")
    return 0


def _recipe(wanted: Wanted) -> "Recipe":
    """The recipe with its parameters, which are looked at before a model is loaded.

    Raises:
        UsageError: there is none of this name, or not with such a parameter.
    """
    from segrobust.attacks.recipes import make_recipe
    from segrobust.attacks.recipes.table import parameters_of
    from segrobust.cli.commands import checked_parameters

    make_recipe(wanted.recipe)  # refuses an unknown name
    return make_recipe(wanted.recipe, **checked_parameters(wanted.parameters, parameters_of(wanted.recipe), "--set "))


def _save(wanted: Wanted, found: "Least", model: "Segmenter", image: "Image") -> None:
    """The photo, read back and measured again as anybody could; and what led to it."""
    from segrobust.attacks.queries.goal import mean_iou
    from segrobust.io.images import read_image, write_png

    assert found.result is not None
    assert found.found is not None
    saved = read_image(write_png(wanted.out, found.result.image.pixels))
    again = mean_iou(model.answer(image, found.prompts), model.answer(saved, found.prompts))
    if saved.fingerprint != found.result.image.fingerprint or abs(again - found.found.miou) > 1e-6:
        raise PhotoError(
            f"{wanted.out} read back is not what was measured (mIoU {again:.6f}): write it to another disk"
        )
    record = {
        "schema": SCHEMA, "photo": str(wanted.photo), "photo_sha256": image.fingerprint, "model": wanted.model,
        "attack": found.result.attack, "settings": dict(found.result.settings), **wanted.search,
        "found": asdict(found.found), "trail": [asdict(tried) for tried in found.trail],
        "saved_sha256": saved.fingerprint,
    }  # fmt: skip
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    wanted.out.with_suffix(".json").write_text(text, "utf-8")
