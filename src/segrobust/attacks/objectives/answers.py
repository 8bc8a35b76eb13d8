"""A goal for the model's answers to prompts, as an objective; many prompts are decoded part by part."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from segrobust.attacks.objectives.masks import Goal, Shown
from segrobust.attacks.objectives.parts import averaged
from segrobust.attacks.seen import Seen
from segrobust.types import Ints, Prompts

AT_A_TIME = 64
"""Prompts decoded together for a gradient; of more, part by part, to bound the memory."""


@dataclass(frozen=True, eq=False)
class Answers:
    """A goal for the answers to a fixed set of prompts, each on its own: the mean over the prompts.

    Attributes:
        prompts: in pixels of the photo.
        goal: for each of the answers.
        multimask: all three answers to each prompt instead of one.
        at_a_time: prompts decoded together.
    """

    prompts: Prompts
    goal: Goal
    multimask: bool = False
    at_a_time: int = AT_A_TIME

    def __post_init__(self) -> None:
        own = isinstance(self.goal, Shown) and self.goal.target.ndim == 3
        if own and len(split(self.prompts, self.at_a_time)) > 1:
            raise ValueError(f"prompts with a mask of their own are decoded together, at most {self.at_a_time}")

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)`` of n views."""
        parts = split(self.prompts, self.at_a_time)
        if len(parts) > 1 and torch.is_grad_enabled():
            return averaged(self._sum, seen, parts, len(self.prompts))
        total = torch.zeros(len(seen), device=seen.features.device)
        for part in parts:
            total = total + self._sum(seen, part)
        return total / len(self.prompts)

    def _sum(self, seen: Seen, prompts: Prompts) -> Tensor:
        return torch.stack([self.goal(answer).sum() for answer in seen.decode(prompts, multimask=self.multimask)])


@dataclass(eq=False)
class SomeAnswers:
    """Some of the prompts, drawn anew for every gradient (ours): the mean of all, cheaper and noisier.

    Attributes:
        answers: all prompts, and a goal that has no mask of its own for each.
        some: how many are drawn, without replacement.
        generator: on the CPU; it is drawn from.
    """

    answers: Answers
    some: int
    generator: torch.Generator
    _drawn: Answers | None = field(default=None, init=False)

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``; a look at the loss without a gradient asks all prompts."""
        if not torch.is_grad_enabled():
            return self.answers(seen)
        if seen.first == 0 or self._drawn is None:
            order = torch.randperm(len(self.answers.prompts), generator=self.generator)
            drawn = take(self.answers.prompts, order[: self.some].sort().values.numpy())
            self._drawn = replace(self.answers, prompts=drawn)
        return self._drawn(seen)


def take(prompts: Prompts, chosen: Ints) -> Prompts:
    """The prompts at some positions of points and then boxes."""
    count = len(prompts.points)
    p, b = chosen[chosen < count], chosen[chosen >= count] - count
    return Prompts(prompts.points[p], prompts.point_masks[p], prompts.boxes[b], prompts.box_masks[b])


def split(prompts: Prompts, size: int) -> list[Prompts]:
    """The prompts in parts of at most ``size``, points first; all in one part if they fit."""
    if len(prompts) <= size:
        return [prompts]
    parts = []
    for start in range(0, len(prompts.points), size):
        stop = start + size
        parts.append(Prompts.of(points=prompts.points[start:stop], point_masks=prompts.point_masks[start:stop]))
    for start in range(0, len(prompts.boxes), size):
        stop = start + size
        parts.append(Prompts.of(boxes=prompts.boxes[start:stop], box_masks=prompts.box_masks[start:stop]))
    return parts
