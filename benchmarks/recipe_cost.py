"""What each recipe's gradients cost beside the encoder's bare forward and backward pass over the same views.

    python benchmarks/recipe_cost.py [--model nano] [--size 400x600] [--only mi,vmi] [--out runs/recipe_cost.txt]

A recipe is run with its own views and update for some steps and for more, and the difference of the two is divided by
the difference in encoder gradients: what is done once for a photo (its masks, its embedding) is left out. The bare pass
is that of as many prepared inputs at a time as the recipe has views; both are repeated alternately, and the smallest of
each counts; on a CPU in seconds of this process. Recipes that decode masks in their loss have the decoder in their
time, and nothing of it in the bare pass.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch

from segrobust import Image
from segrobust.attacks.recipes import RECIPES, Recipe, attack, make_recipe
from segrobust.attacks.views.base import Canvas, apply_views
from segrobust.models import load
from segrobust.models.base import WhiteBox
from segrobust.regions.everything import segment_everything

ALLOWED = 1.2


def views_of(recipe: Recipe) -> int:
    """How many inputs a gradient is the mean of."""
    draw = torch.Generator().manual_seed(0)
    canvas = apply_views(recipe.pixel_views, Canvas(torch.rand(1, 3, 8, 8)), draw)
    return len(apply_views(recipe.input_views, canvas, draw))


def bare(model: WhiteBox, photo: Image, views: int) -> float:
    """Seconds of one bare gradient, of so many at a time."""
    side = model.prepare(model.resize(torch.rand((1, 3, *photo.size), device=model.device))).shape[-2:]
    inputs = torch.rand((views, 3, *side), device=model.device)
    total = 0.0
    for chunk in inputs.split(model.views_at_a_time(views)):
        leaf = chunk.clone().requires_grad_(True)
        begin = _now(model)
        torch.autograd.grad(model.encode(leaf).sum(), leaf)
        total += _now(model) - begin
    return total / views


def full(model: WhiteBox, photo: Image, recipe: Recipe, steps: tuple[int, int]) -> float:
    """Seconds of one of the recipe's gradients."""
    found = segment_everything(model, photo, dataclasses.replace(model.everything, points_per_side=4))
    seconds, gradients = [], []
    for count in steps:
        begin = _now(model)
        result = attack(model, photo, dataclasses.replace(recipe, steps=count), clean_masks=found)
        seconds.append(_now(model) - begin)
        gradients.append(result.encoder_backward)
    return (seconds[1] - seconds[0]) / max(1, gradients[1] - gradients[0])


def _now(model: WhiteBox) -> float:
    """Seconds: on the CPU those of this process alone, which do not grow when others compute too."""
    if model.device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", default="400x600", help="of the photo, height x width")
    parser.add_argument("--only", help="names, with commas between them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", default="4,8", help="few and more")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="write the lines here too")
    args = parser.parse_args()
    model = load(args.model, device=args.device)
    height, width = (int(part) for part in args.size.split("x"))
    photo = Image(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    few, more = (int(part) for part in args.steps.split(","))
    made = [(name, make_recipe(name)) for name in RECIPES]
    every = [name for name, recipe in made if recipe.steps > 1 and not recipe.blind]
    names = args.only.split(",") if args.only else every
    lines = [f"model {args.model}, photo {args.size}, {model.device}, {torch.get_num_threads()} threads"]
    print(lines[0])
    for name in names:
        recipe = make_recipe(name)
        views = views_of(recipe)
        pairs = [(bare(model, photo, views), full(model, photo, recipe, (few, more))) for _ in range(args.repeats)]
        plain, whole = (min(column) for column in zip(*pairs, strict=True))
        note = "" if whole <= ALLOWED * plain else f"  more than {ALLOWED}"
        lines.append(
            f"{name}: {1000 * whole:.1f} ms a gradient, bare {1000 * plain:.1f} ms, ratio {whole / plain:.3f}{note}"
        )
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
