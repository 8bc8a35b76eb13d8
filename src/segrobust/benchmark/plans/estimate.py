"""What a plan would cost: items and model calls, counted; minutes, from one short probe of every model."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch

from segrobust.attacks.budget import Box
from segrobust.attacks.recipes import Recipe
from segrobust.attacks.updates.base import State
from segrobust.benchmark.plans.models import check_model, everything_of, load_model
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.variants import shots
from segrobust.benchmark.rows import CLEAN, NO_DEFENCE
from segrobust.defences.names import make_defence
from segrobust.io.datasets import Dataset
from segrobust.models.base import EverythingSettings, Segmenter, WhiteBox
from segrobust.models.ensemble import members
from segrobust.models.ensemble_names import ALTERNATE, members_of, rule_of
from segrobust.models.geometry import to_tensor
from segrobust.randomness import stream, torch_stream
from segrobust.types import Budget, Image, Prompts

DRAWS = 10
"""Of a random defence, at every step of an adaptive attack; see ``defences.adaptive``."""


@dataclass(frozen=True)
class Calls:
    """What one model is asked in a whole plan.

    Attributes:
        gradients: images whose gradient is computed.
        passes: images that are embedded for prompts.
        everything: photos that are segmented whole.
    """

    gradients: int = 0
    passes: int = 0
    everything: int = 0

    def minutes(self, seconds: "Seconds") -> float:
        """How long they take."""
        spent = self.gradients * seconds.gradient + self.passes * seconds.answer + self.everything * seconds.everything
        return spent / 60


@dataclass(frozen=True)
class Seconds:
    """What one call takes.

    Attributes:
        gradient: of one view.
        answer: the plan's prompts on one photo.
        everything: one photo.
    """

    gradient: float = 0.0
    answer: float = 0.0
    everything: float = 0.0


@dataclass
class Estimate:
    """What a plan would do.

    Attributes:
        photos: in all data sets.
        attacks: photos that are made.
        scores: photos that are shown to targets.
        calls: by model.
        seconds: by model, where they were measured.
    """

    photos: int
    attacks: int
    scores: int
    calls: dict[str, Calls]
    seconds: dict[str, Seconds] = field(default_factory=dict)

    @property
    def minutes(self) -> float:
        """In all, on one worker."""
        return sum(calls.minutes(self.seconds[name]) for name, calls in self.calls.items() if name in self.seconds)


def count_calls(plan: Plan, data: Mapping[str, Dataset]) -> Estimate:
    """Count what is to be done, from the plan alone."""
    photos, every = sum(map(len, data.values())), shots(plan)
    gradients, passes, whole = Counter[str](), Counter[str](), Counter[str]()
    attacks = [shot for shot in every if shot.variant.recipe != CLEAN]
    for shot in attacks:
        if shot.surrogate is not None:
            recipe = shot.variant.make()
            if recipe.blind:  # it only asks, once for each of its steps
                passes[shot.surrogate] += recipe.steps
            else:
                gradients[shot.surrogate] += _views(recipe) * _draws(shot.adaptive) * _at_once(shot.surrogate)
    guided = {shot.surrogate for shot in attacks if "masks" in shot.variant.make().needs}
    for name in plan.models:
        asked = plan.protocol("clean") is not None and name == plan.prompt_source
        whole[name] += int(asked or name in guided)
    prompted = any(entry.protocol != "everything" for entry in plan.protocols)
    scores = 0
    for entry in plan.defences:
        shown = sum(shot.faces(entry.defence) for shot in every)
        votes = 1 if entry.defence == NO_DEFENCE else make_defence(entry.defence).votes
        scores += shown * len(plan.targets)
        for target in plan.targets:
            passes[target] += (shown + 1) * votes * prompted
            whole[target] += (shown + 1) * votes * (plan.protocol("everything") is not None)
    calls = {name: Calls(*(photos * c[name] for c in (gradients, passes, whole))) for name in plan.models}
    return Estimate(photos, photos * len(attacks), photos * scores, calls)


def _at_once(surrogate: str) -> int:
    """How many models are asked at every step."""
    return 1 if rule_of(surrogate) == ALTERNATE else max(1, len(members_of(surrogate)))


def _views(recipe: Recipe) -> int:
    """Images whose gradient an attack takes on a photo: steps, asked-for gradients a step, views of each."""
    views = 1
    for view in (*recipe.pixel_views, *recipe.input_views):
        views *= int(getattr(view, "copies", 1)) * int(getattr(view, "images", 1))
    return recipe.steps * views * (_asked(recipe) if recipe.steps else 0)


def _asked(recipe: Recipe) -> int:
    """How often an update asks for a gradient in a step: it is tried on a few grey pixels, without a model."""
    counter = _Counter()
    image = torch.full((1, 3, 4, 4), 0.5)
    state = State(Box.around(image, Budget.parse("8/255")), steps=recipe.steps, generator=torch_stream(0, "estimate"))
    recipe.update(image, counter, state)
    return max(1, counter.asked)


class _Counter:
    """Gradients of no model, counted."""

    asked = 0

    def __call__(self, image: torch.Tensor) -> tuple[float, torch.Tensor]:
        """A loss and a gradient."""
        self.asked += 1
        return 1.0, torch.ones_like(image)

    def loss(self, image: torch.Tensor) -> float:
        """A loss."""
        return 1.0


def _draws(defence: str) -> int:
    return DRAWS if defence != NO_DEFENCE and make_defence(defence).random else 1


def probe(plan: Plan, image: Image, names: Iterable[str], said: Callable[[str], None]) -> dict[str, Seconds]:
    """Load models one by one, which shows that they can be, and measure one call of each kind on a photo.

    Args:
        plan: says how they are loaded and what they are asked.
        image: the photo.
        names: of the models.
        said: is told which model is measured.

    Raises:
        MissingError: a model is not here.
        CapabilityError: it cannot do what the plan asks.
    """
    measured = {}
    for name in names:
        said(name)
        model = load_model(plan, name)
        check_model(plan, name, model)
        measured[name] = _measure(plan, model, image, name in plan.white_boxes)
        del model
    return measured


def _measure(plan: Plan, model: Segmenter, image: Image, attacked: bool) -> Seconds:
    asked = [entry.prompts for entry in plan.protocols if entry.protocol != "everything"]
    count = sum(p.masks * (p.points + p.boxes) for p in asked)
    one = _time(lambda: model.answer(image, _prompts(image, 1)))
    answer = _time(lambda: model.answer(image, _prompts(image, count))) if count else one
    whites = members(model) if attacked and isinstance(model, WhiteBox) else ()
    gradient = sum(_time(partial(_gradient, white, image)) for white in whites) / max(1, len(whites))
    each = max(0.0, answer - one) / max(1, count - 1)
    return Seconds(gradient, answer, one + each * _grid(everything_of(plan, model)))


def _grid(settings: EverythingSettings) -> int:
    return settings.points_per_side**2


def _prompts(image: Image, count: int) -> Prompts:
    points = stream(0, "probe").uniform((0, 0), (image.width - 1, image.height - 1), (count, 2))
    return Prompts.of(points=points)


def _gradient(model: WhiteBox, image: Image) -> None:
    leaf = to_tensor(image.pixels, model.device)[None].requires_grad_(True)
    loss = model.encode(model.prepare(model.resize(leaf))).square().mean()
    torch.autograd.grad(loss, leaf)


def _time(work: Callable[[], object]) -> float:
    """Seconds of the second call: the first one warms up."""
    work()
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin
