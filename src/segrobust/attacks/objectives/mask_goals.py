"""Goals of the decoder's answers: masks removed or enlarged (Attack-SAM, ASK, S-RA), min-max over prompts, and doubt.

Each is a setting that says where it asks (``questions``) and what should be answered (``masks``).
"""

from dataclasses import dataclass, field

import torch

from segrobust.attacks.objectives.answers import Answers, SomeAnswers
from segrobust.attacks.objectives.crowd import HardestEmbeddings, HardestPositions, Joint
from segrobust.attacks.objectives.masks import ABSENT, FLOOR, Absent, AtPhotoSize, Doubted, Goal, Removed, Shown
from segrobust.attacks.objectives.questions import Anywhere, Questions
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective
from segrobust.errors import UsageError
from segrobust.models.base import Embedding, Prediction
from segrobust.types import Prompts


@dataclass(frozen=True)
class MaskGoal:
    """What goals of answers share.

    Attributes:
        questions: where the attack asks.
        multimask: push all three answers to a prompt, not only the single one.
        floor: Neg of ClipMSE, -10.
        full: the loss is of logits at the photo's size, not of the decoder's own, a quarter of the input. Takes memory.
        some: how many of the prompts are drawn for each gradient; 0 = all (ours; see ``SomeAnswers``).
    """

    questions: Questions = field(default_factory=Anywhere)
    multimask: bool = False
    floor: float = FLOOR
    full: bool = False
    some: int = 0

    def __post_init__(self) -> None:
        if self.floor >= 0:
            raise UsageError(f"floor is a logit below 0, got {self.floor}")
        if self.some < 0:
            raise UsageError(f"some is a number of prompts, 0 for all, got {self.some}")

    @property
    def needs(self) -> tuple[str, ...]:
        """The decoder, and what the questions need."""
        return ("decoder", *self.questions.needs)

    def prompts(self, scene: Scene) -> Prompts:
        """The questions in pixels of ``scene.source``, which has another size than the photo in protocol ``paper``."""
        return in_source(self.questions(scene), scene)

    def ask(self, scene: Scene, prompts: Prompts, goal: Goal) -> Answers:
        """A goal for all prompts, at the size of the loss."""
        return Answers(prompts, AtPhotoSize(goal) if self.full else goal, self.multimask)

    def drawn(self, scene: Scene, answers: Answers) -> Objective:
        """All of the prompts for every gradient, or some."""
        if not self.some or self.some >= len(answers.prompts):
            return answers
        return SomeAnswers(answers, self.some, scene.torch_stream("some prompts"))


def in_source(prompts: Prompts, scene: Scene) -> Prompts:
    """Prompts in pixels of the photo to those of ``scene.source``."""
    if tuple(scene.source.shape[-2:]) == scene.image.size:
        return prompts
    x, y = scene.source.shape[-1] / scene.image.width, scene.source.shape[-2] / scene.image.height
    return Prompts(prompts.points * [x, y], prompts.point_masks, prompts.boxes * [x, y, x, y], prompts.box_masks)


@torch.no_grad()
def clean_answers(scene: Scene, prompts: Prompts, multimask: bool, full: bool) -> Prediction:
    """What the model answers on the photo itself, at the size of the loss; costs one forward pass."""
    seen = scene.observe(scene.source)
    answer = scene.segmenter.masks(Embedding(seen.features, scene.geometry, seen.extra), prompts, multimask=multimask)
    if not full:
        return answer
    return Prediction(answer.geometry.restore(answer.logits), answer.predicted_iou, answer.geometry)


@dataclass(frozen=True)
class RemoveMasks(MaskGoal):
    """No mask for any of the prompts, each on its own: ClipMSE of the answers (Attack-SAM, ASK separate, S-RA)."""

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        return self.drawn(scene, self.ask(scene, self.prompts(scene), Removed(self.floor)))


@dataclass(frozen=True)
class RemoveJointMask(MaskGoal):
    """No mask for all points together, as one prompt of many clicks (ASK joint, as UAD's authors code it)."""

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        goal: Goal = Removed(self.floor)
        prompts = self.prompts(scene)
        if len(prompts.boxes):
            raise UsageError(f"one prompt of many clicks has no boxes, got {len(prompts.boxes)}")
        return Joint(prompts.points, AtPhotoSize(goal) if self.full else goal, self.multimask)


@dataclass(frozen=True)
class EnlargeMasks(MaskGoal):
    """Mask everywhere: ClipMSE's mirror image, logits above ``-floor`` (Attack-SAM, mask enlargement)."""

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        goal = Shown(torch.ones((1, 1), device=scene.segmenter.device), self.floor)
        return self.drawn(scene, self.ask(scene, self.prompts(scene), goal))


@dataclass(frozen=True)
class Doubt(MaskGoal):
    """Low predicted IoUs, by which segment everything drops its masks (ours): see ``masks.Doubted``.

    Attributes:
        least: a predicted IoU below it is left alone.
    """

    multimask: bool = True
    least: float = 0.0

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        return self.drawn(scene, Answers(self.prompts(scene), Doubted(self.least), self.multimask))


@dataclass(frozen=True)
class DenyPresence(MaskGoal):
    """Nothing is there, by the model's own presence score: see ``masks.Absent``.

    Attributes:
        tau: the logit that is low enough.
    """

    tau: float = ABSENT

    def __call__(self, scene: Scene) -> Objective:
        """The objective.

        Raises:
            CapabilityError: when it first looks, of a family without such a score.
        """
        return self.drawn(scene, Answers(self.prompts(scene), Absent(self.tau, scene.segmenter.name), self.multimask))


@dataclass(frozen=True)
class RemoveFromHardest(MaskGoal):
    """Min-max: no mask for prompts that ascend against the attack: see ``crowd``.

    Attributes:
        move: ``embeddings`` or ``positions``.
        every: gradients between two ascents; 15.
        radius: of the embeddings' ball, in root mean squares.
        step: of one ascent, likewise.
        reach: of positions, as a share of the photo's long side.
        tries: positions that are tried each time.
    """

    move: str = "embeddings"
    every: int = 15
    radius: float = 0.5
    step: float = 0.1
    reach: float = 0.05
    tries: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.move not in ("embeddings", "positions"):
            raise UsageError(f"move {self.move!r} is not one of embeddings, positions")
        if self.every < 1 or min(self.radius, self.step, self.reach) < 0 or self.tries < 1:
            raise UsageError("prompts ascend with every, tries >= 1 and radius, step, reach >= 0")

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        answers = self.ask(scene, self.prompts(scene), Removed(self.floor))
        if self.move == "embeddings":
            return HardestEmbeddings(answers, self.every, self.radius, self.step)
        size = (scene.source.shape[-2], scene.source.shape[-1])
        reach = self.reach * max(size)
        return HardestPositions(answers, size, scene.stream("positions"), reach, self.every, self.tries)
