"""The probe of a black box: an image is rounded into its budget, shown, and what is answered is compared."""

import math

import torch
from torch import Tensor

from segrobust.attacks.band import Share
from segrobust.attacks.queries.counting import Counted
from segrobust.attacks.queries.goal import mean_iou
from segrobust.attacks.saving import round_into_budget
from segrobust.attacks.updates.base import Probe
from segrobust.errors import CapabilityError
from segrobust.types import Budget, Image, Pixels, Prompts


class Asked(Probe):
    """How much of its answers on a photo a target keeps on an image: their mean IoU over fixed prompts.

    What is shown is what could be saved: 8 bits, inside the budget. The best that was shown is kept.

    Args:
        target: is asked about the photo at once, with one query.
        image: the photo.
        prompts: are asked every time, together.
        budget: holds in all that is shown.
        where: the only pixels that may be changed, or how much of epsilon each has; None: all of it.
        prior: gives the gradients that the target does not.

    Attributes:
        best: the lowest loss so far.
        pixels: what was shown then.
    """

    def __init__(
        self, target: Counted, image: Image, prompts: Prompts, budget: Budget, where: Share | None, prior: Probe | None
    ) -> None:
        self.target, self.image, self.prompts = target, image, prompts
        self.budget, self.where, self.prior = budget, where, prior
        self.clean = target.answer(image, prompts)
        self.best = math.inf
        self.pixels: Pixels = image.pixels

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        """The prior's loss and gradient, nothing where nothing is left to lose; no query.

        Raises:
            CapabilityError: there is no prior.
        """
        if self.prior is None:
            raise CapabilityError(f"model {self.target.name!r} is only asked for masks; it gives no gradients")
        return self.prior(image) if self.best > 0 else (0.0, torch.zeros_like(image))

    def loss(self, image: Tensor) -> float:
        """One query; none where nothing is left to lose, or no query may be made: that image is no better."""
        if self.best <= 0 or self.target.cost(self.prompts) > self.target.left:
            return math.inf
        pixels = round_into_budget(image[0], self.image.pixels, self.budget, self.where)
        found = self.target.answer(Image(pixels, name=self.image.name), self.prompts)
        loss = mean_iou(self.clean, found)
        if loss < self.best:
            self.best, self.pixels = loss, pixels
        return loss
