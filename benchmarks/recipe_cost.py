"""What each recipe's gradients cost beside the encoder's bare forward and backward pass over the same views.

    python -m benchmarks.recipe_cost [--model nano] [--size 400x600] [--only mi,vmi]
        [--out benchmarks/results/recipe_cost.json]
    python -m benchmarks.recipe_cost --model SAM-B --only falsify,ask-joint --steps 3
        --out benchmarks/results/recipe_cost_sam_b.json

``SAM-B``, ``SAM-L`` and ``SAM-H`` are of full size, with random weights; the masks on the photo are then nano's.

A recipe is run with its own views and update. Each of its steps, but the first and the last, is followed by the bare
pass of as many prepared inputs at a time as the recipe has views, so that both are measured on the same machine in the
same state; the median of their ratios counts, on a CPU of seconds of this process. What is done once for a photo (its
masks, its embedding) is left out. Printed are, in bare passes:

- the whole price of a gradient, the decoder's included where the attack pushes answers;
- the bare pass with the recipe's own loss of what it gives: the decoder on the attack's prompts, where it has some, is
  in it, and it is the part of the price that is the method itself;
- the first as a multiple of the second: what the loop, the views and the update add.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.full_size import SIZES, random_sam
from PIL import Image as Pictures

from segrobust import Image
from segrobust.attacks.recipes import RECIPES, Recipe, attack, make_recipe
from segrobust.attacks.seen import Objective, Seen, during, layers_of
from segrobust.attacks.updates.base import Probe, State
from segrobust.attacks.views.base import Canvas, apply_views
from segrobust.errors import CapabilityError
from segrobust.io.images import read_image
from segrobust.models import load
from segrobust.models.base import WhiteBox
from segrobust.models.geometry import to_tensor
from segrobust.models.options import LoadOptions
from segrobust.regions.everything import segment_everything
from segrobust.types import Masks

ALLOWED = 1.2
PHOTO = Path(__file__).resolve().parent.parent / "examples/coffee.png"


def views_of(recipe: Recipe) -> int:
    """How many inputs a gradient is the mean of."""
    draw = torch.Generator().manual_seed(0)
    canvas = apply_views(recipe.pixel_views, Canvas(torch.rand(1, 3, 8, 8)), draw)
    return len(apply_views(recipe.input_views, canvas, draw))


@dataclass(frozen=True)
class Cost:
    """Of a recipe's gradient, in bare passes.

    Attributes:
        attack: the recipe.
        whole: all of it.
        loss: the bare pass with the recipe's loss.
        decodes: the decoder is in that loss.
    """

    attack: str
    whole: float
    loss: float
    decodes: bool

    @property
    def reason(self) -> str:
        """What makes it cost more than ``ALLOWED`` bare passes; empty if it does not."""
        if self.whole <= ALLOWED:
            return ""
        if self.whole > ALLOWED * self.loss:
            return "the loop"
        return "the decoder" if self.decodes else "the loss"

    def __str__(self) -> str:
        mark = f"  ABOVE {ALLOWED}: {self.reason}" if self.reason else ""
        beside = self.whole / self.loss
        return (
            f"{self.attack}: {self.whole:.2f} bare passes; with its loss {self.loss:.2f}, {beside:.2f} beside it{mark}"
        )


@dataclass(eq=False)
class Noted:
    """A recipe's goal, which also keeps the objective that it made."""

    goal: Any
    made: Objective | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """See ``Goal``."""
        needs: tuple[str, ...] = self.goal.needs
        return needs

    def __call__(self, scene: Any) -> Objective:
        self.made = self.goal(scene)
        return self.made


@dataclass(eq=False)
class Timed:
    """A recipe's update, whose steps are timed, and the bare passes after each of them.

    Attributes:
        update: the recipe's own.
        bare: one bare pass over all views.
        loss: the same, with the recipe's loss.
        now: the clock.
        whole: seconds of a gradient in each step.
        plain: of a bare pass after it.
        lossy: of a bare pass with the loss after it.
    """

    update: Any
    bare: Callable[[], None]
    loss: Callable[[], None]
    now: Callable[[], float]
    whole: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    lossy: list[float] = field(default_factory=list)
    _calls: int = 0

    def __call__(self, image: torch.Tensor, probe: Probe, state: State) -> float:
        self._calls = 0

        def counted(at: torch.Tensor) -> tuple[float, torch.Tensor]:
            self._calls += 1
            return probe(at)

        begin = self.now()
        found: float = self.update(image, counted, state)
        state.box.project_(image)  # the loop's, which comes too late to be timed here; doing it twice changes nothing
        self.whole.append((self.now() - begin) / self._calls)  # of all views, as the bare pass
        for work, seconds in ((self.bare, self.plain), (self.loss, self.lossy)):
            begin = self.now()
            work()
            seconds.append(self.now() - begin)
        return found


def measure(model: WhiteBox, photo: Image, found: Masks, recipe: Recipe, steps: int) -> tuple[Cost, float]:
    """The cost of a recipe's gradients, medians over its steps, and the seconds of a bare pass.

    Args:
        model: is attacked.
        photo: is attacked.
        found: its masks.
        recipe: one that takes gradients.
        steps: how many; the first warms up, and the last one is often another than the others.
    """
    views, goal = views_of(recipe), Noted(recipe.goal)
    with torch.no_grad():
        inputs = model.prepare(model.resize(to_tensor(photo.pixels, model.device)[None]))
    inputs = inputs.expand(views, -1, -1, -1).contiguous()
    geometry = model.geometry(photo.size)

    def bare() -> None:
        for chunk in inputs.split(model.views_at_a_time(views)):
            leaf = chunk.clone().requires_grad_(True)
            with torch.enable_grad():
                out = model.encode(leaf).sum()
            torch.autograd.grad(out, leaf)

    def with_loss() -> None:
        assert goal.made is not None
        first = 0
        for chunk in inputs.split(model.views_at_a_time(views)):
            leaf = chunk.clone().requires_grad_(True)
            with torch.enable_grad():
                with during(goal.made, first):
                    observed = model.observe(leaf, layers_of(goal.made))
                shown = (observed.features, observed.layers, observed.extra, model, geometry)
                loss = goal.made(Seen(*shown, None, first, views, leaf)).sum()
            torch.autograd.grad(loss, leaf)
            first += len(chunk)

    clock = Timed(recipe.update, bare, with_loss, lambda: _now(model))
    made = dataclasses.replace(recipe, goal=goal, update=clock, steps=steps)
    attack(model, photo, made, clean_masks=found)
    kept = slice(1, -1) if steps > 2 else slice(None)
    whole, plain, lossy = (seconds[kept] for seconds in (clock.whole, clock.plain, clock.lossy))
    cost = Cost(recipe.name, _ratio(whole, plain), _ratio(lossy, plain), "decoder" in recipe.goal.needs)
    return cost, statistics.median(plain)


def _ratio(first: Sequence[float], second: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def _now(model: WhiteBox) -> float:
    """Seconds: on the CPU those of this process alone, which do not grow when others compute too."""
    if model.device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measured(names: Sequence[str]) -> list[str]:
    """The recipes that take gradients of the target."""
    return [name for name in names if make_recipe(name).steps and not make_recipe(name).blind]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", default="400x600", help="of the photo, height x width")
    parser.add_argument("--only", help="names, with commas between them")
    parser.add_argument("--steps", type=int, default=8, help="of each recipe; half as many with many views")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="write what docs/attacks.md shows")
    args = parser.parse_args()
    full = args.model in SIZES
    if full:
        device = "cpu" if args.device == "auto" else args.device
        model: WhiteBox = random_sam(args.model, LoadOptions(device=device, dtype=torch.float32))
    else:
        model = load(args.model, device=args.device)
    finder = load("nano", device=args.device) if full else model
    height, width = (int(part) for part in args.size.split("x"))
    picture = read_image(PHOTO).pixels
    photo = Image(np.asarray(Pictures.fromarray(picture).resize((width, height))), name=PHOTO.stem)
    found = segment_everything(finder, photo, dataclasses.replace(finder.everything, points_per_side=4))
    weights = " (random weights)" if full else ""
    where = f"model {args.model}{weights}, photo {args.size}, {model.device}, {torch.get_num_threads()} threads"
    print(where, flush=True)
    costs, seconds = [], []
    for name in args.only.split(",") if args.only else measured(list(RECIPES)):
        recipe = make_recipe(name)
        steps = args.steps if views_of(recipe) < 4 else max(3, args.steps // 2)
        try:
            cost, bare = measure(model, photo, found, recipe, steps)
        except CapabilityError as error:
            print(f"{name}: left out, {error}", flush=True)
            continue
        costs.append(cost)
        seconds.append(bare)
        print(cost, flush=True)
    print(f"a bare pass of all views took {1000 * min(seconds):.0f} to {1000 * max(seconds):.0f} ms")
    if args.out:
        command = f"python -m benchmarks.recipe_cost --model {args.model} --size {args.size} --steps {args.steps}"
        command += f" --only {args.only}" if args.only else ""
        rows = [dataclasses.asdict(cost) | {"reason": cost.reason} for cost in costs]
        stored = {"command": command, "where": where, "allowed": ALLOWED, "rows": rows}
        args.out.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
